//! A directory tree as entries.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use osier::source::{Directory, Entry, EntryKind};
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::support::{is_root, needs_root, needs_user_xattrs, scratch, skip};

fn message<T: std::fmt::Debug>(result: osier::Result<T>) -> String {
    result.unwrap_err().chain()
}

#[test]
fn entries_come_in_the_order_of_their_bytes() {
    let tree = scratch();
    for name in ["b", "Upper", "a.b", "ä", "a-b", "a\nb", "a"] {
        fs::write(tree.path().join(name), name).unwrap();
    }
    fs::create_dir(tree.path().join("d")).unwrap();
    symlink("nowhere", tree.path().join("l")).unwrap();
    let entries = Directory::open(tree.path()).unwrap().entries().unwrap();
    let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["Upper", "a", "a\nb", "a-b", "a.b", "b", "d", "l", "ä"]);
    assert_eq!(entries[6], Entry { name: "d".to_owned(), kind: EntryKind::Directory });
    assert_eq!(entries[7], Entry { name: "l".to_owned(), kind: EntryKind::Symlink });
    assert_eq!(entries[8].kind, EntryKind::File);
}

#[test]
fn a_directory_larger_than_the_listing_buffer_is_listed_whole_and_again() {
    let tree = scratch();
    let mut expected: Vec<String> = (0..1500).map(|number| format!("{number:0>40}")).collect();
    for name in &expected {
        fs::write(tree.path().join(name), "").unwrap();
    }
    expected.sort();
    let directory = Directory::open(tree.path()).unwrap();
    for _ in 0..2 {
        let names: Vec<String> =
            directory.entries().unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(names, expected);
    }
}

#[test]
fn files_directories_and_symlinks_are_read_below_their_directory() {
    let tree = scratch();
    fs::create_dir(tree.path().join("d")).unwrap();
    fs::write(tree.path().join("d/f"), "content").unwrap();
    symlink("../some where/é", tree.path().join("d/l")).unwrap();
    let root = Directory::open(tree.path()).unwrap();
    let directory = root.open_directory("d").unwrap();
    assert_eq!((root.path().as_str(), directory.path().as_str()), ("/", "/d"));
    assert_eq!(
        (root.child_path("d"), directory.child_path("f")),
        ("/d".to_owned(), "/d/f".to_owned())
    );
    assert_eq!(directory.symlink_target("l").unwrap(), "../some where/é");
    assert_eq!(directory.metadata_of("l").unwrap().kind(), Some(EntryKind::Symlink));

    let file = directory.open_file("f").unwrap();
    let truth = fs::metadata(tree.path().join("d/f")).unwrap();
    let found = file.metadata;
    assert_eq!((found.uid, found.gid, found.mode), (truth.uid(), truth.gid(), truth.mode()));
    assert_eq!((found.size, found.dev, found.ino), (7, truth.dev(), truth.ino()));
    assert_eq!(found.mtime, (truth.mtime(), u64::try_from(truth.mtime_nsec()).unwrap()));
    assert_eq!(directory.metadata_of("f").unwrap(), found);
    assert_eq!(directory.metadata().unwrap().mode & 0o170_000, 0o040_000);
    let mut content = String::new();
    file.into_file().read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
}

#[test]
fn the_root_must_be_a_directory_and_no_symlink() {
    let tree = scratch();
    let (file, link) = (tree.path().join("f"), tree.path().join("l"));
    fs::write(&file, "").unwrap();
    symlink(".", &link).unwrap();
    let opendir = |path: &Path, why: &str| format!("opendir({}): {why}", path.display());
    assert_eq!(message(Directory::open(&file)), opendir(&file, "Not a directory"));
    assert_eq!(message(Directory::open(&link)), opendir(&link, "Not a directory"));
    let missing = tree.path().join("x");
    assert_eq!(message(Directory::open(&missing)), opendir(&missing, "No such file or directory"));
    assert_eq!(Directory::open(&link.join("")).unwrap().entries().unwrap().len(), 2);
}

#[test]
fn nothing_is_reached_through_a_symlink() {
    let tree = scratch();
    fs::create_dir(tree.path().join("d")).unwrap();
    fs::write(tree.path().join("f"), "").unwrap();
    symlink("d", tree.path().join("ld")).unwrap();
    symlink("f", tree.path().join("lf")).unwrap();
    let root = Directory::open(tree.path()).unwrap();
    assert_eq!(message(root.open_directory("ld")), "opendir(ld): Not a directory");
    assert_eq!(message(root.open_file("lf")), "openat(lf): Too many levels of symbolic links");
    assert_eq!(message(root.open_file("d")), "Not a regular file or symlink: d");
}

#[test]
fn pipes_sockets_and_devices_are_refused_with_their_path_and_without_waiting() {
    let tree = scratch();
    fs::create_dir(tree.path().join("d")).unwrap();
    let pipe = tree.path().join("d/p");
    mknodat(CWD, &pipe, FileType::Fifo, Mode::from(0o644), 0).unwrap();
    let directory = Directory::open(tree.path()).unwrap().open_directory("d").unwrap();
    assert_eq!(message(directory.entries()), "Not a regular file or symlink: d/p");
    assert_eq!(message(directory.open_file("p")), "Not a regular file or symlink: d/p");

    fs::remove_file(&pipe).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("d/s")).unwrap();
    assert_eq!(message(directory.entries()), "Not a regular file or symlink: d/s");

    if needs_root() {
        mknodat(CWD, tree.path().join("null"), FileType::CharacterDevice, Mode::from(0o666), 0x103)
            .unwrap();
        let root = Directory::open(tree.path()).unwrap();
        assert_eq!(message(root.entries()), "Not a regular file or symlink: null");
    }
}

#[test]
fn names_and_targets_that_are_not_utf_8_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let tree = scratch();
    let odd = std::ffi::OsStr::from_bytes(b"x\xff");
    symlink(odd, tree.path().join("l")).unwrap();
    let root = Directory::open(tree.path()).unwrap();
    assert_eq!(message(root.symlink_target("l")), "Invalid UTF-8 in symlink target of l");
    fs::write(tree.path().join(odd), "").unwrap();
    assert_eq!(message(root.entries()), "Invalid UTF-8 in filename x\u{fffd}");
}

#[test]
fn what_may_not_be_read_is_reported_with_its_path() {
    if is_root() {
        // Root reads everything; a vanished file stands in for the forbidden one.
        let tree = scratch();
        fs::create_dir(tree.path().join("d")).unwrap();
        let directory = Directory::open(tree.path()).unwrap().open_directory("d").unwrap();
        assert_eq!(message(directory.open_file("f")), "openat(d/f): No such file or directory");
        assert_eq!(
            message(directory.open_directory("g")),
            "opendir(d/g): No such file or directory"
        );
        assert_eq!(
            message(directory.symlink_target("l")),
            "readlinkat(d/l): No such file or directory"
        );
        assert_eq!(message(directory.metadata_of("m")), "fstatat(d/m): No such file or directory");
        assert_eq!(
            message(directory.xattrs_of_symlink("l")),
            "llistxattr(d/l): No such file or directory"
        );
        return;
    }
    let tree = scratch();
    let file = tree.path().join("f");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
    let root = Directory::open(tree.path()).unwrap();
    assert_eq!(message(root.open_file("f")), "openat(f): Permission denied");
}

#[test]
fn xattrs_are_sorted_and_empty_ones_left_out() {
    if !needs_user_xattrs() {
        return;
    }
    let tree = scratch();
    let file = tree.path().join("f");
    fs::write(&file, "").unwrap();
    let long = vec![b'x'; 3000];
    for (name, value) in
        [("user.b", &b"2"[..]), ("user.empty", b""), ("user.a-long", &long), ("user.a", b"\0\xff")]
    {
        setxattr(&file, name, value, XattrFlags::empty()).unwrap();
        setxattr(tree.path(), name, value, XattrFlags::empty()).unwrap();
    }
    let expected = [(&b"user.a"[..], &b"\0\xff"[..]), (b"user.a-long", &long), (b"user.b", b"2")]
        .map(|(n, v)| (n.to_vec(), v.to_vec()));
    let root = Directory::open(tree.path()).unwrap();
    let file = root.open_file("f").unwrap();
    assert_eq!(pairs(&root.xattrs_of_file("f", &file).unwrap()), expected);
    assert_eq!(pairs(&root.xattrs().unwrap()), expected);
}

#[test]
fn many_names_of_xattrs_fit_too() {
    if !needs_user_xattrs() {
        return;
    }
    let tree = scratch();
    let file = tree.path().join("f");
    fs::write(&file, "").unwrap();
    let names: Vec<String> = (0..12).map(|number| format!("user.{number:0>60}")).collect();
    for name in &names {
        setxattr(&file, name, b"1", XattrFlags::empty()).unwrap();
    }
    let root = Directory::open(tree.path()).unwrap();
    let found = pairs(&root.xattrs_of_file("f", &root.open_file("f").unwrap()).unwrap());
    let expected: Vec<_> =
        names.iter().map(|name| (name.clone().into_bytes(), b"1".to_vec())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_symlink_has_xattrs_of_its_own() {
    if !needs_root() {
        return;
    }
    let tree = scratch();
    let link = tree.path().join("l");
    symlink("f", &link).unwrap();
    let root = Directory::open(tree.path()).unwrap();
    assert_eq!(pairs(&root.xattrs_of_symlink("l").unwrap()), []);
    if rustix::fs::lsetxattr(&link, "trusted.osier", b"1", XattrFlags::empty()).is_err() {
        return skip("the scratch directory's file system has no trusted xattrs");
    }
    assert_eq!(
        pairs(&root.xattrs_of_symlink("l").unwrap()),
        [(b"trusted.osier".to_vec(), b"1".to_vec())]
    );
}

#[test]
fn a_file_system_without_xattrs_has_none() {
    let proc = Directory::open(Path::new("/proc/self/")).unwrap();
    assert_eq!(pairs(&proc.xattrs().unwrap()), []);
    assert_eq!(pairs(&proc.xattrs_of_symlink("exe").unwrap()), []);
}

fn pairs(xattrs: &osier::object::Xattrs) -> Vec<(Vec<u8>, Vec<u8>)> {
    xattrs.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

#[test]
fn a_skip_list_may_name_what_no_object_can_be_made_of() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    fs::create_dir_all(tree.join("gnupg")).unwrap();
    fs::write(tree.join("gnupg/key"), "").unwrap();
    for (name, kind) in [("gnupg/S.agent", FileType::Socket), ("pipe", FileType::Fifo)] {
        mknodat(CWD, tree.join(name), kind, Mode::from_raw_mode(0o600), 0).unwrap();
    }
    let (repo, list) = (directory.path().join("repo"), directory.path().join("list"));
    let osier = crate::support::osier();
    osier.repo(&repo, ["init", "--mode=archive"]).success();
    let commit = |lines: &str| {
        fs::write(&list, lines).unwrap();
        let list = format!("--skip-list={}", list.display());
        let output = osier.repo(
            &repo,
            ["commit", "-b", "main", &list, &format!("--tree=dir={}", tree.display())],
        );
        (output.status, String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(
        commit("/pipe\n"),
        (1, "error: Not a regular file or symlink: gnupg/S.agent\n".to_owned())
    );
    let unmatched = "Unmatched skip-list path: /gone\nerror: Unmatched skip-list paths\n";
    assert_eq!(commit("/pipe\n/gone\n/gnupg/S.agent\n"), (1, unmatched.to_owned()));
    assert_eq!(commit("/pipe\n/gnupg/S.agent\n"), (0, String::new()));
    let listed = osier.repo(&repo, ["ls", "-R", "--nul-filenames-only", "main"]).success();
    assert_eq!(listed, "/\0/gnupg\0/gnupg/key\0");
}
