//! Links that an attacker puts in the place of a directory while osier works: nothing behind them
//! is removed or written.

mod moments;
mod places;
mod standing;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use crate::support::{Program, has_programs, needs_root, osier, osier_path, scratch, skip};

const DAYS: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Files that only their owner may touch, old enough to be cleaned away in `tmp`.
fn victim(directory: &Path) -> std::path::PathBuf {
    let victim = directory.join("victim");
    fs::create_dir_all(victim.join("d")).unwrap();
    for name in ["old", "d/a", "d/precious"] {
        fs::write(victim.join(name), "precious").unwrap();
        let file = File::options().write(true).open(victim.join(name)).unwrap();
        file.set_modified(SystemTime::now() - DAYS).unwrap();
    }
    File::open(victim.join("d")).unwrap().set_modified(SystemTime::now() - DAYS).unwrap();
    victim
}

fn assert_whole(victim: &Path) {
    let mut names: Vec<_> = walkdir::WalkDir::new(victim)
        .into_iter()
        .map(|entry| {
            entry.unwrap().path().strip_prefix(victim).unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    names.sort();
    assert_eq!(names, ["", "d", "d/a", "d/precious", "old"]);
}

/// Runs a commit whose last source is a tar from standard input, does something before that ends,
/// and returns the status, standard output and standard error.
fn commit_and(repo: &Path, arguments: &[&str], meanwhile: impl FnOnce()) -> (i32, String, String) {
    let mut child = Command::new(osier_path())
        .arg(format!("--repo={}", repo.display()))
        .args(["commit", "--branch=main", "--subject=s"])
        .args(arguments)
        .arg("--tree=tar=-")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The directory of the tar's root: when it has been taken, everything before it has been read.
    let mut header = [0_u8; 512];
    header[..2].copy_from_slice(b"./");
    header[100..108].copy_from_slice(b"0000755\0");
    header[108..116].copy_from_slice(b"0000000\0");
    header[116..124].copy_from_slice(b"0000000\0");
    header[124..136].copy_from_slice(b"00000000000\0");
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = b'5';
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let staging = || {
        let names = fs::read_dir(repo.join("tmp")).unwrap().map(|entry| entry.unwrap().file_name());
        names.into_iter().any(|name| name.to_str().unwrap().starts_with("staging-"))
    };
    while !staging() {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(1500));
    meanwhile();
    stdin.write_all(&[&header[..], &[0; 1024]].concat()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_tmp_that_becomes_a_link_leads_nowhere() {
    let directory = scratch();
    let (repo, victim) = (directory.path().join("repo"), victim(directory.path()));
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let (status, _, stderr) = commit_and(&repo, &[], || {
        fs::rename(repo.join("tmp"), repo.join("away")).unwrap();
        symlink(&victim, repo.join("tmp")).unwrap();
    });
    assert_eq!(status, 0, "{stderr}");
    assert_whole(&victim);
    // What comes after writes nothing behind the link either.
    let refused = osier().repo(&repo, ["refs", "--create=other", "main"]);
    assert_eq!(refused.status, 1);
    assert_whole(&victim);
}

#[test]
fn consume_removes_nothing_behind_a_link_above_the_source() {
    let directory = scratch();
    let (repo, victim) = (directory.path().join("repo"), victim(directory.path()));
    osier().repo(&repo, ["init", "--mode=bare-user"]).success();
    let source = directory.path().join("above/source");
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("d/a"), "a").unwrap();
    fs::create_dir(directory.path().join("elsewhere")).unwrap();
    symlink(&victim, directory.path().join("elsewhere/source")).unwrap();
    let tree = format!("--tree=dir={}", source.display());
    let (status, _, stderr) = commit_and(&repo, &["--consume", &tree], || {
        fs::rename(directory.path().join("above"), directory.path().join("moved")).unwrap();
        symlink("elsewhere", directory.path().join("above")).unwrap();
    });
    assert_eq!(status, 0, "{stderr}");
    assert_whole(&victim);
    assert!(
        !directory.path().join("moved/source").exists(),
        "what was committed is gone, wherever it is now"
    );
}

#[test]
fn consume_keeps_what_appeared_or_changed_meanwhile_and_says_so() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let source = directory.path().join("source");
    fs::create_dir_all(source.join("d")).unwrap();
    for name in ["d/gone", "d/rewritten", "d/exchanged", "d/touched"] {
        fs::write(source.join(name), "before").unwrap();
    }
    let tree = format!("--tree=dir={}", source.display());
    let (status, stdout, stderr) = commit_and(&repo, &["--consume", &tree], || {
        fs::write(source.join("d/new"), "new").unwrap();
        fs::write(source.join("d/rewritten"), "after").unwrap();
        fs::remove_file(source.join("d/exchanged")).unwrap();
        fs::write(source.join("d/exchanged"), "before").unwrap();
        fs::set_permissions(source.join("d/touched"), fs::Permissions::from_mode(0o600)).unwrap();
    });
    assert_eq!((status, stdout.trim().len()), (0, 64), "{stderr}");
    let mut left: Vec<_> =
        fs::read_dir(source.join("d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["exchanged", "new", "rewritten", "touched"]);
    for (name, why) in [
        ("new", "is not in the commit"),
        ("rewritten", "was changed"),
        ("exchanged", "was changed"),
    ] {
        let expected = format!("{} {why} and is kept", source.join("d").join(name).display());
        assert!(stderr.contains(&expected), "{stderr}");
    }
}

#[test]
fn the_stat_cache_is_not_written_through_a_link() {
    let directory = scratch();
    let (repo, victim) = (directory.path().join("repo"), victim(directory.path()));
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    fs::write(source.join("file"), "file").unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    let _ = fs::remove_dir(repo.join("tmp/cache"));
    symlink(&victim, repo.join("tmp/cache")).unwrap();
    let tree = format!("--tree=dir={}", source.display());
    osier().repo(&repo, ["commit", "--branch=main", "--stat-cache", &tree]).success();
    assert_whole(&victim);
}

#[test]
fn a_directory_of_refs_that_is_a_link_is_not_written_through() {
    let directory = scratch();
    let (repo, victim) = (directory.path().join("repo"), victim(directory.path()));
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    osier()
        .repo(&repo, ["commit", "--branch=main", &format!("--tree=dir={}", source.display())])
        .success();
    symlink(&victim, repo.join("refs/heads/v")).unwrap();
    for arguments in [["refs", "--delete", "v/old"].as_slice(), &["refs", "--create=v/new", "main"]]
    {
        osier().repo(&repo, arguments);
        assert_whole(&victim);
    }
    fs::remove_file(repo.join("refs/heads/v")).unwrap();
    let output = directory.path().join("out.tar");
    symlink(victim.join("old"), &output).unwrap();
    let refused =
        osier().repo(&repo, ["export", &format!("--output={}", output.display()), "main"]);
    assert_eq!(refused.status, 1);
    assert_eq!(fs::read(victim.join("old")).unwrap(), b"precious");
}

#[test]
fn special_files_in_a_repository_make_no_command_wait() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let source = directory.path().join("source");
    fs::create_dir(&source).unwrap();
    osier()
        .repo(&repo, ["commit", "--branch=main", &format!("--tree=dir={}", source.display())])
        .success();
    let commands: [&[&str]; 6] = [
        &["refs"],
        &["rev-parse", "fifo"],
        &["log", "fifo"],
        &["prune", "--refs-only"],
        &["summary", "-u"],
        &["fsck"],
    ];
    for place in ["refs/heads/fifo", "config", ".lock"] {
        let path = repo.join(place);
        let away = directory.path().join("away");
        let had = fs::rename(&path, &away).is_ok();
        let made = Command::new("mkfifo").arg(&path).status().unwrap();
        assert!(made.success());
        for command in commands {
            let mut child = Command::new(osier_path())
                .arg(format!("--repo={}", repo.display()))
                .args(command)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let waited = (0..400).find_map(|_| {
                std::thread::sleep(Duration::from_millis(50));
                child.try_wait().unwrap()
            });
            if waited.is_none() {
                child.kill().unwrap();
            }
            let status = waited.and_then(|status| status.code());
            assert!(matches!(status, Some(0 | 1)), "{place}: {command:?} {status:?}");
        }
        fs::remove_file(&path).unwrap();
        if had {
            fs::rename(&away, &path).unwrap();
        }
    }
    assert_eq!(osier().repo(&repo, ["refs"]).line(), "main");
}

#[test]
fn consume_empties_a_mount_point_and_leaves_it() {
    if !needs_root() || !has_programs(&["unshare", "mount"]) {
        return;
    }
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    for name in ["source/d", "mounted"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    fs::write(at("source/d/a"), "a").unwrap();
    osier().repo(&at("repo"), ["init", "--mode=bare"]).success();
    let script = "mount --bind source mounted || exit 9; exec \"$@\"";
    let unshare = Program::other("unshare", "unshare").in_directory(directory.path());
    let options = ["-m", "sh", "-c", script, "sh", osier_path(), "--repo=repo"];
    let call = ["commit", "--branch=main", "--consume", "--tree=dir=mounted"];
    let output = unshare.run(options.iter().chain(&call));
    if output.status == 9 {
        return skip("cannot mount, so no mount point to try");
    }
    let commit = output.line();
    assert_eq!(osier().repo(&at("repo"), ["rev-parse", "main"]).line(), commit);
    assert_eq!(fs::read_dir(at("source")).unwrap().count(), 0);
}
