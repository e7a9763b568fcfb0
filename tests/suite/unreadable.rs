//! An object that cannot be read is neither missing nor damaged: nothing is removed or called equal
//! because of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode};

use crate::support::{
    Output, Program, can_trace, copy_all, needs_root, osier, osier_path, scratch,
};

const NOBODY: u32 = 65534;

/// A repository with one commit of a few files in two directories.
fn repository(at: &Path, mode: &str) -> PathBuf {
    let tree = at.join("tree");
    if !tree.exists() {
        fs::create_dir_all(tree.join("etc")).unwrap();
        for name in ["one", "etc/two", "etc/three"] {
            fs::write(tree.join(name), name.repeat(100)).unwrap();
        }
    }
    let repo = at.join("repo");
    osier().repo(&repo, ["init", &format!("--mode={mode}")]).success();
    let tree = format!("--tree=dir={}", tree.display());
    osier()
        .repo(&repo, ["commit", "-b", "main", &tree, "--owner-uid=0", "--owner-gid=0"])
        .success();
    repo
}

fn objects(repo: &Path) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(repo.join("objects"))
        .sort_by_file_name()
        .into_iter()
        .map(Result::unwrap);
    entries
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| entry.path().to_owned())
        .collect()
}

fn object_of(repo: &Path, extension: &str) -> PathBuf {
    let found = objects(repo)
        .into_iter()
        .find(|path| path.extension().is_some_and(|found| found == extension));
    found.unwrap_or_else(|| panic!("no {extension} in {}", repo.display()))
}

/// Gives a repository to the user `nobody`; its objects stay root's.
fn give_directories_away(repo: &Path) {
    for entry in walkdir::WalkDir::new(repo) {
        let entry = entry.unwrap();
        if entry.file_type().is_dir() || entry.file_name() == ".lock" {
            chown(entry.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
}

fn as_nobody(repo: &Path, arguments: &[&str]) -> Output {
    osier().for_user(NOBODY).repo(repo, arguments)
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn fsck_deletes_nothing_that_its_user_may_not_read() {
    if !needs_root() {
        return;
    }
    for (mode, extension) in [
        ("archive", "filez"),
        ("bare", "file"),
        ("archive", "dirmeta"),
        ("archive", "dirtree"),
        ("archive", "commit"),
    ] {
        let directory = scratch();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let repo = repository(directory.path(), mode);
        give_directories_away(&repo);
        let before = objects(&repo);
        let object = object_of(&repo, extension);
        let permissions = fs::metadata(&object).unwrap().permissions();
        fs::set_permissions(&object, fs::Permissions::from_mode(0o600)).unwrap();
        let output = as_nobody(&repo, &["fsck", "--delete"]);
        assert_eq!(output.status, 1, "{mode} {extension}: {output:?}");
        let said = stderr(&output);
        assert!(said.contains(": could not be read: opening "), "{mode} {extension}: {said}");
        assert!(
            said.ends_with("error: 1 object could not be read\n"),
            "{mode} {extension}: {said}"
        );
        assert_eq!(objects(&repo), before, "{mode} {extension}");
        assert_eq!(
            fs::read_dir(repo.join("state")).unwrap().count(),
            0,
            "{mode} {extension}: nothing is partial"
        );
        fs::set_permissions(&object, permissions).unwrap();
        osier().repo(&repo, ["fsck"]).success();
    }
}

#[test]
fn fsck_deletes_what_is_damaged_beside_what_cannot_be_read() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let repo = repository(directory.path(), "archive");
    give_directories_away(&repo);
    let files: Vec<PathBuf> = objects(&repo)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|found| found == "filez"))
        .collect();
    fs::set_permissions(&files[0], fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&files[1], "damaged").unwrap();
    fs::remove_file(&files[2]).unwrap();
    // A socket is no object, and that it cannot be opened is no reason to keep it.
    let dirmeta = object_of(&repo, "dirmeta");
    fs::remove_file(&dirmeta).unwrap();
    let (kind, mode) = (FileType::Socket, Mode::from_raw_mode(0o644));
    rustix::fs::mknodat(rustix::fs::CWD, &dirmeta, kind, mode, 0).unwrap();
    let output = as_nobody(&repo, &["fsck", "--delete"]);
    assert_eq!(output.status, 1, "{output:?}");
    let said = stderr(&output);
    assert!(said.contains(": could not be read: opening "), "{said}");
    assert!(said.ends_with("error: Repository corruption encountered\n"), "{said}");
    assert_eq!([&files[0], &files[1], &dirmeta].map(|path| path.exists()), [true, false, false]);
    assert_eq!(
        fs::read_dir(repo.join("state")).unwrap().count(),
        1,
        "the commit lacks objects now"
    );
}

#[test]
fn fsck_does_not_trust_what_it_is_not_shown() {
    if !needs_root() || !crate::support::has_xattrs(crate::support::scratch_root(), "trusted.osier")
    {
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(directory.path().join("tree")).unwrap();
    let file = directory.path().join("tree/file");
    fs::write(&file, "with an xattr that only root is shown").unwrap();
    rustix::fs::setxattr(&file, "trusted.osier", b"1", rustix::fs::XattrFlags::empty()).unwrap();
    let repo = repository(directory.path(), "bare");
    give_directories_away(&repo);
    let before = objects(&repo);
    let output = as_nobody(&repo, &["fsck", "--delete"]);
    assert_eq!((output.status, objects(&repo)), (1, before), "{output:?}");
    assert!(
        stderr(&output).contains("could not be read: parts of it may be hidden from this user"),
        "{output:?}"
    );
    osier().repo(&repo, ["fsck"]).success();
}

#[test]
fn one_failed_read_of_any_object_deletes_nothing() {
    if !can_trace() {
        return;
    }
    let directory = scratch();
    let repo = repository(directory.path(), "archive");
    let before = objects(&repo);
    let program = osier().path;
    for path in &before {
        let mut failed = 0;
        // The first times that the object's file is opened and read, each alone.
        for (call, number) in
            [("openat", 1), ("openat", 2), ("openat", 3), ("read", 1), ("read", 2), ("pread64", 1)]
        {
            let inject = format!("inject={call}:error=EIO:when={number}");
            let strace = Program::other("strace", "strace").with("RAYON_NUM_THREADS", "1");
            let options =
                ["-f", "-qq", "-o", "/dev/null", "-e", &inject, "-P", path.to_str().unwrap()];
            let at = format!("--repo={}", repo.display());
            let command = [program.to_str().unwrap(), &at, "fsck", "--delete"];
            let output = strace.run([&options[..], &command].concat());
            assert_eq!(objects(&repo), before, "{call} {number} of {}", path.display());
            match output.status {
                0 => continue,
                1 => failed += 1,
                _ => panic!("{output:?}"),
            }
            let said = stderr(&output);
            assert!(said.contains("Input/output error"), "{said}");
            assert!(said.ends_with("error: 1 object could not be read\n"), "{said}");
        }
        assert!(failed > 0, "{} was never read", path.display());
    }
}

#[test]
fn fsck_with_nothing_to_delete_needs_no_writable_repository() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let repo = repository(directory.path(), "archive");
    let _ = fs::remove_file(repo.join(".lock"));
    for arguments in [&["fsck", "--delete"][..], &["fsck", "--add-tombstones"]] {
        let output = as_nobody(&repo, arguments);
        assert_eq!((output.status, stderr(&output)), (0, String::new()), "{output:?}");
    }
    assert!(!repo.join(".lock").exists());
    fs::write(object_of(&repo, "filez"), "damaged").unwrap();
    let before = objects(&repo);
    let output = as_nobody(&repo, &["fsck", "--delete"]);
    assert_eq!((output.status, objects(&repo)), (1, before), "{output:?}");
    assert!(stderr(&output).contains("error: removing "), "{output:?}");
}

#[test]
fn prune_does_not_take_refs_that_it_may_not_see_for_none() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let repo = repository(directory.path(), "archive");
    let tree = format!("--tree=dir={}", directory.path().join("tree/etc").display());
    osier().repo(&repo, ["commit", "-b", "origin:other", &tree]).success();
    give_directories_away(&repo);
    // Who may list a directory but not look at what is in it sees names only.
    chown(repo.join("refs/remotes"), Some(0), Some(0)).unwrap();
    fs::set_permissions(repo.join("refs/remotes"), fs::Permissions::from_mode(0o744)).unwrap();
    let before = objects(&repo);
    let output = as_nobody(&repo, &["prune", "--refs-only"]);
    assert_eq!((output.status, objects(&repo)), (1, before), "{output:?}");
    assert!(stderr(&output).contains("refs/remotes/origin: Permission denied"), "{output:?}");
    let output = as_nobody(&repo, &["refs", "--list", "origin:other"]);
    assert_eq!(output.status, 1, "{output:?}");
}

#[test]
fn compare_does_not_call_equal_what_it_cannot_read() {
    if !can_trace() {
        return;
    }
    let directory = scratch();
    let repo = repository(directory.path(), "archive");
    let copy = directory.path().join("copy");
    copy_all(&repo, &copy);
    let object = object_of(&repo, "filez");
    let other = copy.join(object.strip_prefix(&repo).unwrap());
    let strace = Program::other("strace", "strace");
    let program = Path::new(osier_path());
    let paths = [&object, &other, program, &repo, &copy].map(|path| path.to_str().unwrap());
    let [object, other, program, repo, copy] = paths;
    let inject =
        ["-f", "-qq", "-o", "/dev/null", "-e", "inject=read:error=EIO", "-P", object, "-P", other];
    let output = strace.run([&inject[..], &[program, "compare", repo, copy]].concat());
    assert_eq!(output.status, 2, "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("could not compare: in "), "{said}");
    assert!(said.contains("Input/output error"), "{said}");
}

#[test]
fn a_listing_needs_no_content_that_its_user_may_not_read() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tree = directory.path().join("tree");
    fs::create_dir(&tree).unwrap();
    for (name, mode) in [("shadow", 0o000), ("su", 0o4111), ("key", 0o600)] {
        fs::write(tree.join(name), "secret").unwrap();
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    std::os::unix::fs::symlink("shadow", tree.join("link")).unwrap();
    for mode in ["bare", "bare-user-only"] {
        let repo = directory.path().join("repo");
        osier().repo(&repo, ["init", &format!("--mode={mode}")]).success();
        let options: &[&str] = if mode == "bare" { &[] } else { &["--canonical-permissions"] };
        let tree = format!("--tree=dir={}", tree.display());
        osier()
            .repo(
                &repo,
                [&["commit", "-b", "main", "--owner-uid=0", "--owner-gid=0", &tree], options]
                    .concat(),
            )
            .success();
        for arguments in
            [&["ls", "-R", "main"][..], &["ls", "-RC", "main"], &["ls", "main", "/shadow"]]
        {
            let (theirs, ours) = (as_nobody(&repo, arguments), osier().repo(&repo, arguments));
            assert_eq!((theirs.status, &theirs.stdout), (0, &ours.stdout), "{mode}: {theirs:?}");
        }
        let listed = as_nobody(&repo, &["ls", "-R", "main"]);
        let listed = String::from_utf8(listed.stdout).unwrap();
        let expected = match mode {
            "bare" => [
                "-00000 0 0      6 /shadow\n",
                "-04111 0 0      6 /su\n",
                "l00777 0 0      0 /link -> shadow\n",
            ],
            _ => [
                "-00000 0 0      6 /shadow\n",
                "-00111 0 0      6 /su\n",
                "l00777 0 0      0 /link -> shadow\n",
            ],
        };
        expected.iter().for_each(|line| assert!(listed.contains(line), "{mode}: {listed}"));
        if mode == "bare" {
            let output = as_nobody(&repo, &["ls", "-RX", "main"]);
            assert_eq!(output.status, 1, "xattrs are read from the file: {output:?}");
        }
        fs::remove_dir_all(&repo).unwrap();
    }
}
