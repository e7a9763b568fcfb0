//! Tar archives of commits, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use osier::commit::{CommitOptions, Description, Source, commit};
use osier::object::{DirEntry, DirTree, ObjectType};
use osier::progress::Silent;
use osier::repo::{Repo, RepoMode, Transaction};
use osier::source::{Attributes, MemoryTree};

use crate::support::{
    expected, extract_repo, golden_commit, needs_root, osier, osier_path, ostree, scratch,
};

const RECORD: usize = 512;

/// The bytes of ours as libarchive 3.6 would have written them: it gave the records of long names
/// another name.
fn with_older_names(archive: &[u8]) -> Vec<u8> {
    let mut bytes = archive.to_vec();
    for record in bytes.chunks_mut(RECORD).filter(|record| record.starts_with(b"././@LongName\0")) {
        record[9..13].copy_from_slice(b"Link");
        record[148..156].copy_from_slice(b"        ");
        let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
        record[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
    bytes
}

#[track_caller]
fn assert_same_bytes(what: &str, ours: &[u8], theirs: &[u8]) {
    if let Some(at) = ours.iter().zip(theirs).position(|(a, b)| a != b) {
        let record = at / RECORD * RECORD;
        let shown = |bytes: &[u8]| {
            bytes[record..(record + RECORD).min(bytes.len())].escape_ascii().to_string()
        };
        panic!(
            "{what} differs at byte {at}, {} of its record\n{}\n{}",
            at - record,
            shown(ours),
            shown(theirs)
        );
    }
    assert_eq!(ours.len(), theirs.len(), "{what}");
}

#[test]
fn the_golden_commit_is_exported_to_the_golden_bytes_from_every_mode() {
    let mut golden = Vec::new();
    flate2::read::GzDecoder::new(&expected("export.c1.tar.gz")[..])
        .read_to_end(&mut golden)
        .unwrap();
    for name in ["archive", "plain", "bare", "bare-user", "bare-split-xattrs"] {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let commit = golden_commit(if name == "archive" { "c1" } else { "plain-c1" });
        let output = osier().repo(&repo, ["export", &commit]);
        assert_eq!(output.status, 0, "{output:?}");
        assert_same_bytes(name, &output.stdout, &golden);
    }
}

/// Names, targets, owners and sizes at the limits of the format; no two equal files, which 2022.7
/// repeats.
fn make_tree(root: &Path) {
    let numbered = |path: &Path| fs::write(path, path.as_os_str().as_encoded_bytes()).unwrap();
    for length in [99, 100, 101, 150, 255] {
        numbered(&root.join("n".repeat(length)));
        symlink("t".repeat(length), root.join("s".repeat(length - 10))).unwrap();
    }
    symlink("t".repeat(3000), root.join("l".repeat(200))).unwrap();
    let directory = root.join("d".repeat(60));
    for length in [37, 38, 39, 40, 100] {
        fs::create_dir_all(directory.join("e".repeat(length))).unwrap();
        numbered(&directory.join("f".repeat(length)));
    }
    for (name, size) in [("record", 512), ("one-more", 513), ("large", 3 << 20), ("held", 1 << 20)]
    {
        fs::write(root.join(name), vec![b'x'; size]).unwrap();
    }
    for number in 0..600 {
        fs::write(root.join(format!("many-{number}")), format!("{number}")).unwrap();
    }
    for (name, uid, gid) in [("fits", 0o7777777, 0), ("too-large", 0o10000000, u32::MAX - 1)] {
        fs::write(root.join(name), name).unwrap();
        chown(root.join(name), Some(uid), Some(gid)).unwrap();
    }
    for (name, mode) in [("setuid", 0o4755), ("sticky", 0o1644), ("closed", 0)] {
        fs::write(root.join(name), name).unwrap();
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(root.join("ü"), "umlaut").unwrap();
}

#[test]
fn archives_are_the_real_programs_byte_for_byte() {
    let Some(ostree) = ostree() else { return };
    if !needs_root() {
        return;
    }
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("tree")).unwrap();
    make_tree(&at("tree"));
    for (mode, time) in [("archive", "@1234567890"), ("bare", "@0"), ("bare-user", "@8589934592")] {
        let repo = at(mode);
        ostree.repo(&repo, ["init", "--mode", mode]).success();
        let tree = format!("--tree=dir={}", at("tree").display());
        ostree.repo(&repo, ["commit", "-b", "main", "--timestamp", time, &tree]).success();
        let subpath = format!("--subpath=/{}", "d".repeat(60));
        for options in [
            &[][..],
            &["--prefix=p"],
            &["--prefix=/p/"],
            &["--prefix="],
            &["--no-xattrs"],
            &[&subpath],
            &[&subpath, "--prefix=p/"],
        ] {
            let run = |program: &crate::support::Program| {
                let output = program.repo(&repo, [&["export", "main"], options].concat());
                assert_eq!(output.status, 0, "{}", String::from_utf8_lossy(&output.stderr));
                output.stdout
            };
            let what = format!("{mode} {options:?}");
            assert_same_bytes(&what, &with_older_names(&run(&osier())), &run(&ostree));
        }
        let [ours, theirs] =
            [(osier(), "ours"), (ostree.clone(), "theirs")].map(|(program, name)| {
                program.repo(&repo, ["export", "-o", at(name).to_str().unwrap(), "main"]).success();
                fs::read(at(name)).unwrap()
            });
        assert_same_bytes("a file", &with_older_names(&ours), &theirs);
    }
}

#[test]
fn equal_files_are_hard_links_to_the_first_and_symlinks_are_not() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    for dir in ["tree/a", "tree/b"] {
        fs::create_dir_all(at(dir)).unwrap();
        fs::write(at(dir).join("same"), "same").unwrap();
        fs::write(at(dir).join("empty"), "").unwrap();
        symlink("same", at(dir).join("link")).unwrap();
    }
    let repo = at("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let commit = {
        use osier::commit::{CommitOptions, Description, Source, commit};
        let sources = vec![Source::Directory(at("tree"))];
        let options = CommitOptions { sources, ..CommitOptions::new(Description::new(0)) };
        let repo = osier::repo::Repo::open(&repo).unwrap();
        commit(&repo, &options, &osier::progress::Silent).unwrap().commit.to_hex()
    };
    let archive = osier().repo(&repo, ["export", "--prefix=p/", &commit]);
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(&archive.stdout[..]).entries().unwrap() {
        let entry = entry.unwrap();
        let link = entry.link_name().unwrap().map(|link| link.display().to_string());
        let kind = char::from(entry.header().entry_type().as_byte());
        entries.insert(entry.path().unwrap().display().to_string(), (kind, link));
    }
    let linked = |to: &str| ('1', Some(to.to_owned()));
    assert_eq!(entries["p/a/same"], ('0', None));
    assert_eq!(entries["p/a/empty"], ('0', None));
    assert_eq!(entries["p/b/same"], linked("p/a/same"));
    assert_eq!(entries["p/b/empty"], linked("p/a/empty"));
    assert_eq!(entries["p/b/link"], ('2', Some("same".to_owned())));
    assert_eq!(entries["p/b/"], ('5', None));
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let directory = scratch();
    let Some(repo) = extract_repo("plain", directory.path()) else { return };
    let commit = golden_commit("plain-c1");
    let fails =
        |arguments: &[&str]| osier().repo(&repo, ["export"].iter().chain(arguments)).failure();
    assert_eq!(fails(&["nope"]), "Refspec 'nope' not found");
    assert_eq!(fails(&[&commit, "--subpath=/nope"]), "No such file or directory: /nope");
    assert_eq!(fails(&[&commit, "--subpath=/usr/bin/hello"]), "Not a directory");
    assert_eq!(fails(&[&commit, "-o", "/nonexistent/file"]), "Failed to open '/nonexistent/file'");
    let output = osier().repo(&repo, ["export"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).ends_with("error: A COMMIT argument is required\n"),
        "{output:?}"
    );
}

/// A commit of 2 * 10^9 files that takes 132 kB: a directory of 2000 files in a hundred others,
/// those in a hundred, and those again.
fn hall_of_mirrors(repo: &Repo) -> String {
    let mut files = MemoryTree::new();
    for number in 0..2000 {
        files.add_file(&format!("{number:06}"), "", Attributes::new(0o644)).unwrap();
    }
    let options = CommitOptions {
        sources: vec![Source::Memory(files)],
        ..CommitOptions::new(Description::new(1))
    };
    let files = commit(repo, &options, &Silent).unwrap().commit;
    let mut commit = repo.load_commit(&files).unwrap();
    let transaction = Transaction::begin(repo).unwrap();
    for _ in 0..3 {
        let dir = |number| DirEntry {
            name: format!("{number:03}"),
            dirtree: commit.root_dirtree,
            dirmeta: commit.root_dirmeta,
        };
        let tree = DirTree { files: Vec::new(), dirs: (0..100).map(dir).collect() };
        commit.root_dirtree =
            transaction.write_metadata(ObjectType::DirTree, &tree.encode()).unwrap();
    }
    let whole = transaction.write_metadata(ObjectType::Commit, &commit.encode()).unwrap();
    transaction.commit().unwrap();
    whole.to_hex()
}

#[test]
fn a_tree_that_is_huge_and_stored_in_little_is_exported_in_little_memory() {
    let directory = scratch();
    let path = directory.path().join("repo");
    let commit = hall_of_mirrors(&Repo::create(&path, RepoMode::Archive, None).unwrap());
    let script = "ulimit -v 400000; exec \"$OSIER\" --repo=\"$REPO\" export \"$COMMIT\"";
    let mut child = Command::new("sh")
        .args(["-c", script])
        .envs([("OSIER", osier_path()), ("COMMIT", &commit)])
        .env("REPO", &path)
        .env("RAYON_NUM_THREADS", "2")
        .env("MALLOC_ARENA_MAX", "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The entries of the first 64 directories, and some.
    const WANTED: u64 = 64 << 20;
    let read =
        std::io::copy(&mut child.stdout.as_mut().unwrap().take(WANTED), &mut std::io::sink());
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(read.unwrap(), WANTED, "it ends early: {status}");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kilobytes: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(kilobytes < 100_000, "it takes {kilobytes} kB");
}
