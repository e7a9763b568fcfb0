//! `commit --tree=tar=` of cpio archives, against the real program.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{has_programs, osier, ostree, scratch};

/// One entry of a `newc` archive.
#[derive(Clone, Copy)]
struct Entry<'e> {
    path: &'e str,
    mode: u32,
    inode: u32,
    links: u32,
    owner: (u32, u32),
    content: &'e str,
}

const ROOT: Entry<'_> =
    Entry { path: ".", mode: 0o040_755, inode: 1, links: 2, owner: (0, 0), content: "" };

/// A file that has `links` names.
const fn file<'e>(path: &'e str, inode: u32, links: u32, content: &'e str) -> Entry<'e> {
    Entry { path, mode: 0o100_644, inode, links, owner: (0, 0), content }
}

const fn other(path: &str, mode: u32) -> Entry<'_> {
    Entry { path, mode, inode: 9, links: 1, owner: (0, 0), content: "" }
}

fn append(archive: &mut Vec<u8>, Entry { path, mode, inode, links, owner, content }: Entry<'_>) {
    let (size, name_size) = (content.len() as u32, path.len() as u32 + 1);
    archive.extend_from_slice(b"070701");
    for number in [inode, mode, owner.0, owner.1, links, 1, size, 8, 1, 0, 0, name_size, 0] {
        archive.extend_from_slice(format!("{number:08x}").as_bytes());
    }
    for bytes in [format!("{path}\0").as_bytes(), content.as_bytes()] {
        archive.extend_from_slice(bytes);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
}

fn newc(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        append(&mut archive, *entry);
    }
    append(&mut archive, other("TRAILER!!!", 0));
    archive
}

/// What a commit of the archive comes to: its id, or the error.
fn committed(program: crate::support::Program, repo: &Path, archive: &Path) -> String {
    let tree = format!("--tree=tar={}", archive.display());
    let output = program.repo(repo, ["commit", "--orphan", "--timestamp=@1", &tree]);
    String::from_utf8(if output.status == 0 { output.stdout } else { output.stderr }).unwrap()
}

#[test]
fn cpio_archives_become_the_commits_of_the_real_program() {
    let Some(_) = ostree() else { return };
    let directory = scratch();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    osier().repo(&ours, ["init", "--mode=bare-user"]).success();
    ostree().unwrap().repo(&theirs, ["init", "--mode=bare-user"]).success();
    let owned = Entry { owner: (3, 4), mode: 0o104_755, ..file("a", 5, 1, "x") };
    let symlink = |path, inode, content| Entry { mode: 0o120_777, ..file(path, inode, 2, content) };
    let cases: &[&[Entry<'_>]] = &[
        &[],
        &[file("a", 5, 1, "x")],
        &[ROOT],
        &[ROOT, owned, Entry { path: "d", ..ROOT }, file("d/b", 6, 1, "")],
        &[ROOT, file("/a", 5, 1, "x"), file("./b", 6, 1, "y")],
        // Content may come with any of the names; the first of the later names that brings some
        // decides.
        &[ROOT, file("a", 5, 3, ""), file("b", 5, 3, ""), file("c", 5, 3, "ccc")],
        &[ROOT, file("a", 5, 3, "aaa"), file("b", 5, 3, ""), file("c", 5, 3, "")],
        &[ROOT, file("a", 5, 3, "aaa"), file("b", 5, 3, "bbb"), file("c", 5, 3, "ccc")],
        &[ROOT, file("a", 5, 3, ""), file("b", 5, 3, ""), file("c", 5, 3, "")],
        // More names than were announced: the third is another file.
        &[ROOT, file("a", 5, 2, ""), file("b", 5, 2, "bb"), file("c", 5, 2, "cc")],
        &[ROOT, symlink("s", 7, "target"), symlink("s2", 7, "target")],
        &[ROOT, symlink("s", 7, "target"), symlink("s2", 7, "")],
        &[ROOT, other("device", 0o020_644)],
        &[ROOT, other("pipe", 0o010_644)],
        &[ROOT, other("nothing", 0o644)],
        &[ROOT, file("a/b", 5, 1, "x")],
        &[ROOT, file("../b", 5, 1, "x")],
    ];
    for (number, entries) in cases.iter().enumerate() {
        let archive = directory.path().join(format!("{number}.cpio"));
        std::fs::write(&archive, newc(entries)).unwrap();
        let expected = committed(ostree().unwrap(), &theirs, &archive);
        assert_eq!(committed(osier(), &ours, &archive), expected, "case {number}");
    }
}

#[test]
fn every_format_of_cpio_is_read_compressed_too() {
    let (true, Some(_)) = (has_programs(&["cpio"]), ostree()) else { return };
    let directory = scratch();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    osier().repo(&ours, ["init", "--mode=bare-user"]).success();
    ostree().unwrap().repo(&theirs, ["init", "--mode=bare-user"]).success();
    let script = "
        mkdir -p tree/usr/bin; cd tree
        echo contents > usr/bin/foo; ln usr/bin/foo usr/foo; ln -s bin/foo usr/link
        seq 100000 > usr/large; : > usr/empty
        for format in newc crc odc bin; do
            find . | sort | cpio --quiet -o -H $format > ../$format.cpio
        done
        gzip < ../odc.cpio > ../compressed.cpio";
    let made = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory.path())
        .stdin(Stdio::null())
        .output();
    assert!(made.unwrap().status.success());
    let mut commits = Vec::new();
    for format in ["newc", "crc", "odc", "bin", "compressed"] {
        let archive = directory.path().join(format!("{format}.cpio"));
        let expected = committed(ostree().unwrap(), &theirs, &archive);
        assert_eq!(committed(osier(), &ours, &archive), expected, "{format}");
        commits.push(expected);
    }
    assert!(
        commits[0].len() == 65 && commits.iter().all(|commit| *commit == commits[0]),
        "{commits:?}"
    );
}

#[test]
fn damaged_cpio_archives_are_refused() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=bare-user"]).success();
    let whole = newc(&[ROOT, file("a", 5, 1, "content")]);
    let path = directory.path().join("damaged.cpio");
    for length in 6..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = committed(osier(), &repo, &path);
        let found = error.trim_end().ends_with(": Truncated cpio archive")
            || error == "error: Truncated cpio archive\n";
        // The padding of the last entry is not missed.
        assert!(found || length + 4 > whole.len(), "{length}: {error}");
    }
    for (at, bytes, message) in [
        (20, &b"zz"[..], "error: Damaged cpio archive\n"),
        (116, b"xxxxxx", "error: Damaged cpio archive\n"),
        (
            94,
            b"7fffffff",
            "error: Rejecting malformed cpio archive: a name or symlink target is too long\n",
        ),
        (54, b"ffffffff", "error: Truncated cpio archive\n"),
    ] {
        let mut damaged = whole.clone();
        damaged[at..at + bytes.len()].copy_from_slice(bytes);
        std::fs::write(&path, &damaged).unwrap();
        assert_eq!(committed(osier(), &repo, &path), message, "at {at}");
    }
}
