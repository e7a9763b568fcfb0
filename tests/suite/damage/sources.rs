//! Source trees, users and file systems that a commit or a checkout cannot work with.

use super::*;

/// A name for something odd, and what puts it into the source.
type Maker<'a> = (&'a str, Box<dyn Fn() + 'a>);

#[test]
fn a_source_with_what_cannot_be_committed_is_refused_by_name() {
    let victim = Victim::new("archive");
    let before = snapshot(&victim.path(""));
    let source = victim.directory.path().join("source");
    let at = |name: &str| source.join("sub").join(name);
    let raw = |name: &[u8]| source.join("sub").join(std::ffi::OsStr::from_bytes(name));
    let node = |kind: &[&str]| {
        let path = at("bad-name");
        let mut arguments = vec![path.to_str().unwrap()];
        arguments.extend(kind);
        Program::other("mknod", "mknod").run(arguments).success();
    };
    let makers: Vec<Maker<'_>> = vec![
        ("a fifo", Box::new(|| node(&["p"]))),
        (
            "a socket",
            Box::new(|| drop(std::os::unix::net::UnixListener::bind(at("bad-name")).unwrap())),
        ),
        (
            "a file whose name is not UTF-8",
            Box::new(|| fs::write(raw(b"bad-name\xff"), b"").unwrap()),
        ),
        (
            "a directory whose name is not UTF-8",
            Box::new(|| fs::create_dir(raw(b"bad-name\xff")).unwrap()),
        ),
        (
            "a link whose target is not UTF-8",
            Box::new(|| std::os::unix::fs::symlink(raw(b"\xff"), at("bad-name")).unwrap()),
        ),
    ];
    let devices: Vec<Maker<'_>> = vec![
        ("a character device", Box::new(|| node(&["c", "1", "3"]))),
        ("a block device", Box::new(|| node(&["b", "7", "0"]))),
    ];
    let devices = if needs_root() { devices } else { Vec::new() };
    for (what, make) in makers.iter().chain(&devices) {
        fs::create_dir_all(source.join("sub")).unwrap();
        fs::write(at("good"), b"good").unwrap();
        make();
        let output = victim.run(&["commit", "-b", "new", "--tree=dir=source"], what);
        let message = output.failure();
        assert!(message.contains("bad-name"), "{what} is not named: {message}");
        assert_eq!(victim.run(&["refs"], what).success(), "main\n", "{what}");
        fs::remove_dir_all(&source).unwrap();
    }
    let after = snapshot(&victim.path(""));
    let lost: Vec<_> = differences(&before, &after)
        .into_iter()
        .filter(|line| !line.ends_with("on the right"))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(victim.run(&["fsck"], "all that").status, 0);
}

#[test]
fn a_source_that_changes_under_the_walk_never_spoils_the_repository() {
    use std::sync::atomic::{AtomicBool, Ordering};
    const COMMITS: usize = 20;
    let directory = scratch();
    let at = directory.path();
    let program = osier().in_directory(at);
    fs::create_dir_all(at.join("repo")).unwrap();
    program.repo(Path::new("repo"), ["init", "--mode=archive"]).success();
    for number in 0..40 {
        fs::create_dir_all(at.join(format!("tree/{number}"))).unwrap();
        fs::write(at.join(format!("tree/{number}/file")), vec![b'x'; number * 5000]).unwrap();
    }
    let stop = AtomicBool::new(false);
    let (mut committed, mut refused) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut round = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                let folder = at.join(format!("tree/{}", round % 40));
                let file = folder.join("file");
                // Each folder gets every kind of change in turn, so that none of them grows without
                // end.
                match (round / 40 + round) % 5 {
                    0 => drop(fs::write(&file, vec![round as u8; round * 977 % 400_000])),
                    1 => drop(
                        fs::OpenOptions::new()
                            .append(true)
                            .open(&file)
                            .and_then(|mut f| f.write_all(&[7; 70_000])),
                    ),
                    2 => drop(fs::rename(&file, folder.join(format!("moved{}", round % 7)))),
                    3 => drop(
                        fs::File::options().write(true).open(&file).and_then(|f| f.set_len(13)),
                    ),
                    _ => {
                        let _ = fs::remove_dir_all(&folder);
                        let _ = fs::create_dir(&folder);
                        let _ = fs::write(&file, vec![b'n'; round % 200_000]);
                    }
                }
                round += 1;
                // Commits must get somewhere, too, and the file system must not fill up.
                std::thread::sleep(std::time::Duration::from_micros(500));
            }
        });
        for _ in 0..COMMITS {
            let output =
                program.repo(Path::new("repo"), ["commit", "-b", "main", "--tree=dir=tree"]);
            output.assert_no_panic();
            match output.status {
                0 => committed += 1,
                1 => {
                    let message = output.failure();
                    assert!(
                        message.contains("file")
                            || message.contains("moved")
                            || message.contains("tree"),
                        "{message}"
                    );
                    refused += 1;
                }
                _ => panic!("{output:?}"),
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    program.repo(Path::new("repo"), ["fsck"]).success();
    println!("{committed} committed, {refused} refused");
}

#[test]
fn an_unprivileged_user_learns_what_cannot_be_read_or_written() {
    if !needs_root() {
        return;
    }
    let victim = Victim::new("archive");
    let at = victim.directory.path();
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).unwrap();
    // Where the tests run may be out of the user's reach.
    let program = at.join("ostree");
    fs::copy(&osier().path, &program).unwrap();
    let nobody = |arguments: &[&str]| {
        let options = ["--reuid=65534", "--regid=65534", "--clear-groups"];
        let mut all: Vec<&str> = options.to_vec();
        all.push(program.to_str().unwrap());
        all.extend(arguments);
        Program::other("setpriv", "setpriv").in_directory(at).run(all)
    };
    let before = snapshot(&victim.path(""));

    // The repository of another user can be read, not written.
    assert_eq!(nobody(&["--repo=repo", "refs"]).success(), "main\n");
    nobody(&["--repo=repo", "fsck"]).success();
    nobody(&["--repo=repo", "ls", "-R", "main"]).success();
    let writing: [&[&str]; 6] = [
        &["commit", "-b", "x", "--tree=dir=tree"],
        &["refs", "--create=x", "main"],
        &["refs", "--delete", "main"],
        &["summary", "-u"],
        &["config", "set", "a.b", "c"],
        &["reset", "main", "main"],
    ];
    for command in writing {
        let message = nobody(&[&["--repo=repo"], command].concat()).failure();
        assert!(message.contains("ermission denied"), "{command:?}: {message}");
    }
    let changed = differences(&before, &snapshot(&victim.path("")));
    assert!(changed.is_empty(), "{changed:?}");

    // Unreadable sources are named.
    fs::create_dir(at.join("own")).unwrap();
    std::os::unix::fs::chown(at.join("own"), Some(65534), Some(65534)).unwrap();
    nobody(&["--repo=own", "init", "--mode=archive"]).success();
    for (mode, path) in [(0o000, "tree/file"), (0o000, "tree/dir"), (0o600, "tree/other")] {
        let old = fs::metadata(at.join(path)).unwrap().permissions();
        fs::set_permissions(at.join("tree/dir"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(at.join(path), fs::Permissions::from_mode(mode)).unwrap();
        let message = nobody(&["--repo=own", "commit", "-b", "x", "--tree=dir=tree"]).failure();
        let name = path.rsplit('/').next().unwrap();
        assert!(
            message.contains(name) && message.contains("ermission denied"),
            "{path}: {message}"
        );
        fs::set_permissions(at.join(path), old).unwrap();
    }
    assert_eq!(nobody(&["--repo=own", "refs"]).success(), "");

    // An object that cannot be read is named.
    let object = victim.objects("filez").remove(0);
    fs::set_permissions(victim.path(&object), fs::Permissions::from_mode(0o000)).unwrap();
    let message = nobody(&["--repo=repo", "fsck"]).failure();
    assert!(message.contains("ermission denied"), "{message}");
}

#[test]
fn a_full_or_read_only_file_system_costs_an_error_and_nothing_else() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    let at = directory.path();
    fs::create_dir_all(at.join("big")).unwrap();
    fs::create_dir_all(at.join("small")).unwrap();
    fs::write(at.join("small/file"), b"fits\n").unwrap();
    let noise = |seed: u64| {
        let content =
            crate::trees::Content { size: 200_000, kind: crate::trees::ContentKind::Random, seed };
        content.bytes()
    };
    (0..40).for_each(|number| fs::write(at.join(format!("big/{number}")), noise(number)).unwrap());
    // The mount is seen by this shell only and goes away with it.
    let script = r#"
        mkdir m && mount -t tmpfs -o size=3m none m && mkdir m/repo
        "$0" --repo=m/repo init --mode=archive
        "$0" --repo=m/repo commit -b small --tree=dir=small
        set +e
        "$0" --repo=m/repo commit -b big --tree=dir=big 2>limit; echo "limit $?"
        "$0" --repo=m/repo config set core.min-free-space-percent 0
        "$0" --repo=m/repo commit -b big --tree=dir=big 2>full; echo "full $?"
        "$0" --repo=m/repo refs; "$0" --repo=m/repo fsck -q | tail -n 1; echo "fsck $?"
        rm -rf m/repo/tmp/*
        "$0" --repo=m/repo commit -b small --tree=dir=small >/dev/null; echo "again $?"
        mount -o remount,ro m
        "$0" --repo=m/repo commit -b small --tree=dir=small 2>read-only; echo "read-only $?"
        "$0" --repo=m/repo refs --create=x small 2>>read-only; echo "read-only $?"
        "$0" --repo=m/repo summary -u 2>>read-only; echo "read-only $?"
        "$0" --repo=m/repo refs; "$0" --repo=m/repo fsck -q | tail -n 1; echo "fsck $?"
        "$0" --repo=m/repo cat small /file
    "#;
    let program = osier().path;
    let probe =
        Program::other("unshare", "unshare").run(["-m", "mount", "-t", "tmpfs", "none", "/mnt"]);
    if probe.status != 0 {
        return skip(&format!("no right to mount: {}", String::from_utf8_lossy(&probe.stderr)));
    }
    let arguments =
        ["-m".as_ref(), "sh".as_ref(), "-ec".as_ref(), script.as_ref(), program.as_os_str()];
    let output = Program::other("unshare", "unshare").in_directory(at).run(arguments);
    let reported = output.clone().success();
    let lines: Vec<&str> = reported.lines().skip(1).collect();
    let sound = "object fsck of 1 commits completed successfully - no errors found.";
    let sound_again = "object fsck of 2 commits completed successfully - no errors found.";
    let mut wanted = vec!["limit 1", "full 1", "small", sound, "fsck 0", "again 0"];
    wanted.extend([
        "read-only 1",
        "read-only 1",
        "read-only 1",
        "small",
        sound_again,
        "fsck 0",
        "fits",
    ]);
    assert_eq!(lines, wanted, "{output:?}");
    let message = |name: &str| fs::read_to_string(at.join(name)).unwrap();
    assert!(
        message("limit").contains("min-free-space-percent '3%' would be exceeded, at least"),
        "{}",
        message("limit")
    );
    assert!(message("full").contains("No space left on device"), "{}", message("full"));
    assert_eq!(
        message("read-only").matches("Read-only file system").count(),
        3,
        "{}",
        message("read-only")
    );
    assert!(is_root());
}
