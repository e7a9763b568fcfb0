//! `commit --tree=tar=`: archives as the source of a commit. Commit ids and messages are those of
//! the real program.

use std::io::Write;
use std::path::Path;

use crate::support::archives::{bzip2, gzip, record, xz, zstd};
use crate::support::{golden, golden_commit, has_programs, osier, ostree, scratch};

/// One entry of an archive to be made.
#[derive(Clone, Copy)]
struct Entry<'e> {
    path: &'e str,
    /// The type flag of the header: `0` file, `1` hard link, `2` symbolic link, `5` directory ...
    flag: u8,
    mode: u32,
    owner: (u64, u64),
    /// Content of a file, target of a link.
    content: &'e str,
    xattrs: &'e [(&'e str, &'e str)],
}

const ROOT: Entry<'_> = dir(".");

const fn entry<'e>(path: &'e str, flag: u8, mode: u32, content: &'e str) -> Entry<'e> {
    Entry { path, flag, mode, owner: (0, 0), content, xattrs: &[] }
}

const fn dir(path: &str) -> Entry<'_> {
    entry(path, b'5', 0o755, "")
}

const fn file<'e>(path: &'e str, content: &'e str) -> Entry<'e> {
    entry(path, b'0', 0o644, content)
}

const fn link<'e>(path: &'e str, target: &'e str) -> Entry<'e> {
    entry(path, b'1', 0o644, target)
}

fn text_record(keyword: &str, value: &str) -> String {
    String::from_utf8(record(keyword, value.as_bytes())).unwrap()
}

fn append(archive: &mut Vec<u8>, entry: Entry<'_>) {
    if !entry.xattrs.is_empty() {
        let record =
            |(name, value): &(&str, &str)| text_record(&format!("SCHILY.xattr.{name}"), value);
        let records: String = entry.xattrs.iter().map(record).collect();
        append(archive, Entry { path: "x", flag: b'x', content: &records, xattrs: &[], ..entry });
    }
    let is_link = matches!(entry.flag, b'1' | b'2');
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    old.name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
    old.linkflag = [entry.flag];
    if is_link {
        old.linkname[..entry.content.len()].copy_from_slice(entry.content.as_bytes());
    }
    header.set_mode(entry.mode);
    header.set_uid(entry.owner.0);
    header.set_gid(entry.owner.1);
    let content = if is_link { "" } else { entry.content };
    header.set_size(content.len() as u64);
    header.set_cksum();
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(content.as_bytes());
    archive.resize(archive.len().next_multiple_of(512), 0);
}

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut archive = Vec::new();
    for entry in entries {
        append(&mut archive, *entry);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// Commits an archive, and returns the commit's id or the error.
fn commit(repo: &Path, archive: &[u8], flags: &[&str]) -> String {
    let path = repo.with_extension("tar");
    std::fs::write(&path, archive).unwrap();
    if !repo.exists() {
        osier().repo(repo, ["init", "--mode=archive"]).success();
    }
    let tree = format!("--tree=tar={}", path.display());
    let mut arguments = vec!["commit", "--orphan", "--timestamp=@1", &tree];
    arguments.extend(flags);
    let output = osier().repo(repo, arguments);
    let text = if output.status == 0 { output.stdout } else { output.stderr };
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

const AUTOCREATE: &[&str] = &["--tar-autocreate-parents"];
const TWO_FILES: &str = "e45209ae177467507fada48d2e2e44d2f3a3d9bddb04509c15611074454ffa72";
const EMPTY_ROOT: &str = "b6981d09ed2e1fb1052d7ea951990de34483bfec280c65db82244f5d72c863cc";
const LINKED: &str = "0a728a21019362acea21dc7267ef44f8eecfcb318df8292f1ef3fe8ec82dd9c6";
const DEFERRED: &str = "error: ostree-tar: Processing deferred hardlink";

#[test]
fn archives_become_the_commits_and_errors_of_the_real_program() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let owned = Entry { owner: (5, 6), ..file("a/b", "") };
    let table: &[(&[Entry<'_>], &[&str], &str)] = &[
        (&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")], &[], TWO_FILES),
        (&[ROOT, dir("d"), file("/d//x", ""), file("/../a", "hi")], &[], TWO_FILES),
        (&[file("a", "hi"), dir("d"), file("d/./x", ""), ROOT], &[], TWO_FILES),
        (&[ROOT, file("a", "1"), file("a", "hi"), file("d/x", "")], AUTOCREATE, TWO_FILES),
        (&[], &[], "error: Can't commit an empty tree"),
        (&[], AUTOCREATE, EMPTY_ROOT),
        (&[file("a", "")], &[], "error: Can't commit an empty tree"),
        (
            &[file("a", "")],
            AUTOCREATE,
            "7d810eef97466319e66198eb46fae2f6a7bc79044b8ed9703f1b4f5a31e022fb",
        ),
        (&[ROOT, file("a/b/c", "")], &[], "error: No such file or directory: a"),
        (
            &[ROOT, file("a/b/c", "")],
            AUTOCREATE,
            "243c101fb159950b24e0a1aeb7cdc7f8916ba54daf0e99fc0700b7e68b8b6821",
        ),
        // What is made for want of an entry belongs to the owner of the first that needs it.
        (
            &[owned, entry("a", b'5', 0o700, "")],
            AUTOCREATE,
            "28b06ae6742398ffadef138dd17ace3b5dfc385f6c18f21583743c4ab64ab457",
        ),
        (
            &[ROOT, entry("a", b'5', 0o700, ""), file("a/x", ""), entry("a", b'5', 0o711, "")],
            &[],
            "3bef271b3ad7048b7f7e52db067db726fe25b4df1566810d26a9989ac8b1e9f8",
        ),
        (
            &[ROOT, entry("a", b'0', 0o6755, ""), entry("d", b'5', 0o3777, "")],
            &[],
            "6b3fe34975e3cb8046b0601fafabb2e936d398ef92a3f674e6ee6933842cedf9",
        ),
        // Symbolic links keep the permissions that the archive gives them.
        (
            &[ROOT, entry("s", b'2', 0o600, "x")],
            &[],
            "56997c3b7152921b852813c53a8236b565849b5e2c572f118e88131e0e1b5c2e",
        ),
        (&[ROOT, file("a", "1"), link("b", "./a")], &[], LINKED),
        (&[ROOT, link("b", "/a"), file("a", "1")], &[], LINKED),
        (&[ROOT, file("a", "1"), file("b", "2"), link("b", "a")], &[], LINKED),
        (
            &[ROOT, link("b", "q/zz")],
            &[],
            &format!("{DEFERRED} q/zz: Failed to find object: No such file or directory: q"),
        ),
        (
            &[ROOT, link("b", "b")],
            &[],
            &format!("{DEFERRED} b: Failed to find object: No such file or directory: b"),
        ),
        (
            &[ROOT, dir("a"), link("b", "a")],
            &[],
            &format!(
                "{DEFERRED} a: Failed to find object: Expected hardlink file target at \"a\" but \
                 found a directory"
            ),
        ),
        (
            &[ROOT, file("a", "1"), dir("b"), link("b", "a")],
            &[],
            &format!("{DEFERRED} a: Failed to replace file: Can't replace directory with file: b"),
        ),
        // Links to links work if the hash table of targets has them in the right order.
        (
            &[ROOT, file("z", ""), link("c", "b"), link("b", "z")],
            &[],
            "035bc6dcbc715638c052c00144e6f65f5cfb05739de3dabe4564a51455d9efbd",
        ),
        (
            &[ROOT, file("a", ""), link("b", "a"), link("c", "b")],
            &[],
            &format!("{DEFERRED} b: Failed to find object: No such file or directory: b"),
        ),
        (
            &[ROOT, dir("a"), file("a", "")],
            &[],
            "error: ostree-tar: Failed to handle file: ostree-tar: Failed to import file: Can't \
             replace directory with file: a",
        ),
        (
            &[ROOT, file("../x", "")],
            &[],
            "error: While making relative path \"../x\":Invalid uplink '..' in path ../x",
        ),
        (
            &[ROOT, dir("a"), dir("a/.")],
            &[],
            "error: ostree-tar: Failed to handle directory: Invalid self-referential filename '.'",
        ),
        (&[ROOT, entry("c", b'3', 0o644, "")], &[], "error: Unsupported file type for path \"c\""),
        (&[ROOT, entry("c", b'6', 0o644, "")], &[], "error: Unsupported file type for path \"c\""),
    ];
    for (entries, flags, expected) in table {
        let paths: Vec<&str> = entries.iter().map(|entry| entry.path).collect();
        assert_eq!(commit(&repo, &archive(entries), flags), *expected, "{paths:?} {flags:?}");
    }
}

#[test]
fn xattrs_of_an_archive_are_kept_with_empty_ones_and_newlines() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let sorted = [("user.b", "2"), ("user.a", "1")];
    let entries = [ROOT, Entry { xattrs: &sorted, ..file("a", "") }];
    let expected = "879d162efb20e18710890a01a809484dd7bbee77cdc016241409b81c794a3f33";
    assert_eq!(commit(&repo, &archive(&entries), &[]), expected);
    let entries = [ROOT, Entry { xattrs: &[("user.b", "")], ..file("a", "") }];
    let expected = "f92ba9f1cb8666c876fa980f2667940059e3da4164b79b79c39ae87c77fb7036";
    assert_eq!(commit(&repo, &archive(&entries), &[]), expected);
    let entries = [ROOT, Entry { xattrs: &[("user.b", "1\n12 path=no\n")], ..file("a", "") }];
    let id = commit(&repo, &archive(&entries), &[]);
    let listing = osier().repo(&repo, ["ls", "-X", &id, "/a"]).success();
    assert_eq!(
        listing,
        "-00644 0 0      0 { [(b'user.b', [byte 0x31, 0x0a, 0x31, 0x32, 0x20, 0x70, 0x61, 0x74, \
         0x68, 0x3d, 0x6e, 0x6f, 0x0a])] } /a\n"
    );
    let entries = [ROOT, Entry { xattrs: &sorted, ..file("a", "") }];
    assert_eq!(
        commit(&repo, &archive(&entries), &["--no-xattrs"]),
        "7d810eef97466319e66198eb46fae2f6a7bc79044b8ed9703f1b4f5a31e022fb"
    );
}

#[test]
fn the_golden_archive_has_its_golden_commit() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let tree = format!("--tree=tar={}", golden("trees/tree1.tar.gz").display());
    let id =
        osier().repo(&repo, ["commit", "-b", "tar", "--timestamp=@1700000000", &tree]).success();
    assert_eq!(id.trim_end(), golden_commit("from-tar"));
    osier().repo(&repo, ["fsck", "-q"]).success();
}

#[test]
fn archives_may_be_compressed_and_come_from_standard_input() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let plain = archive(&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(&plain).unwrap();
    let mut xz =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    xz.write_all(&plain).unwrap();
    let zstd = ruzstd::encoding::compress_to_vec(
        plain.as_slice(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    for archive in [&gzip, &bzip2.finish().unwrap(), &xz.finish().unwrap(), &zstd] {
        assert_eq!(commit(&repo, archive, &[]), TWO_FILES);
    }
    let repo_option = format!("--repo={}", repo.display());
    let arguments = [repo_option.as_str(), "commit", "--orphan", "--timestamp=@1", "--tree=tar=-"];
    assert_eq!(osier().run_with_input(arguments, &gzip).success().trim_end(), TWO_FILES);
    let failed = osier().run_with_input(arguments, b"no archive");
    assert_eq!(failed.stderr, b"error: archive_read_open_fd: Unrecognized archive format\n");
}

#[test]
fn damaged_archives_are_refused_in_libarchives_words() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let good = archive(&[ROOT, file("a", &"x".repeat(3000)), file("b", "")]);
    for (length, expected) in [
        (0, "error: Can't commit an empty tree"),
        (100, "error: archive_read_open_filename: Unrecognized archive format"),
        (512, EMPTY_ROOT),
        (700, "error: Truncated tar archive"),
        (1024, "error: Truncated tar archive"),
        (2000, "error: Truncated tar archive"),
        (4024, "error: Truncated input file (needed 72 bytes, only 0 available)"),
        (4200, "error: Truncated tar archive"),
    ] {
        assert_eq!(commit(&repo, &good[..length], &[]), expected, "{length}");
    }
    let mut damaged = good.clone();
    damaged[512] ^= 1;
    assert_eq!(commit(&repo, &damaged, &[]), "error: Damaged tar archive");
    damaged[0] ^= 1;
    let expected = "error: archive_read_open_filename: Unrecognized archive format";
    assert_eq!(commit(&repo, &damaged, &[]), expected);
    let missing = osier().repo(&repo, ["commit", "--orphan", "--tree=tar=/nonexistent"]);
    let expected = "error: archive_read_open_filename: Failed to open '/nonexistent'\n";
    assert_eq!(String::from_utf8_lossy(&missing.stderr), expected);
    let leftovers = std::fs::read_dir(repo.join("tmp")).unwrap().flatten();
    let staging = leftovers
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("staging-"))
        .count();
    assert_eq!(staging, 0);
}

#[test]
fn files_with_holes_are_whole_in_every_format_of_gnu_tar() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    std::fs::create_dir(&tree).unwrap();
    for (name, size, every) in [
        ("one", 1 << 20, 500_000),
        ("hole", 5000, 0),
        ("tail", 100_000, 0),
        ("many", 3 << 20, 65_536),
    ] {
        use std::os::unix::fs::FileExt;
        let file = std::fs::File::create(tree.join(name)).unwrap();
        file.set_len(size).unwrap();
        if name == "tail" {
            file.write_all_at(b"x", 0).unwrap();
        }
        for number in 1..(size.checked_div(every).unwrap_or_default()) {
            file.write_all_at(format!("data {number}").as_bytes(), number * every).unwrap();
        }
    }
    if !has_programs(&["tar"]) {
        return;
    }
    let run = |options: &[&str]| {
        let mut tar = std::process::Command::new("tar");
        tar.args(["--owner=0", "--group=0", "--mode=a=rX,u+w", "-cf", "-", "-C"])
            .arg(&tree)
            .args(options)
            .arg(".");
        tar.output().ok().filter(|output| output.status.success()).map(|output| output.stdout)
    };
    let plain = run(&["--format=pax"]).unwrap();
    let repo = directory.path().join("repo");
    let expected = commit(&repo, &plain, &[]);
    for options in [
        &["-S", "--format=gnu"][..],
        &["-S", "--format=pax", "--sparse-version=0.0"],
        &["-S", "--format=pax", "--sparse-version=0.1"],
        &["-S", "--format=pax", "--sparse-version=1.0"],
    ] {
        let sparse = run(options).unwrap();
        assert!(sparse.len() < plain.len() / 4, "{options:?} saves nothing");
        assert_eq!(commit(&repo, &sparse, &[]), expected, "{options:?}");
    }
}

#[test]
fn names_are_filtered_and_filters_see_the_new_names() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let good = archive(&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")]);
    for (filter, expected) in [
        ("^a$,b", "bb5f07443130210a621313d309f53eeb2f9bf7f151bb2cdfd30781387fcbb851"),
        ("^d/(.*)$,\\1", "6c457c3c269a7b9ddd9218c28c59939cdaffba7552595d66da0f6276d0f02ade"),
        (".,Z", "d13eb91055548afd71238714410c15db9d640983e893d43de127e7e649552b7c"),
        ("a,../b", "error: Invalid uplink '..' in path ../b"),
        ("x*,-", "error: No such file or directory: -d-"),
        ("a", "error: Missing ',' in --tar-pathname-filter"),
    ] {
        assert_eq!(
            commit(&repo, &good, &[&format!("--tar-pathname-filter={filter}")]),
            expected,
            "{filter}"
        );
    }
    let skip_list = directory.path().join("skip");
    std::fs::write(&skip_list, "/b\n").unwrap();
    let flags = ["--tar-pathname-filter=^a$,b", &format!("--skip-list={}", skip_list.display())];
    let id = commit(&repo, &good, &flags);
    assert_eq!(
        osier().repo(&repo, ["ls", "-R", "--nul-filenames-only", &id]).success(),
        "/\0/d\0/d/x\0"
    );
}

#[test]
fn many_files_large_and_small_come_out_as_from_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let repo = directory.path().join("repo");
    let contents: Vec<String> =
        (0..40_usize).map(|number| format!("{number} ").repeat(number * number * 200)).collect();
    let names: Vec<String> = (0..40).map(|number| format!("d{}/f{number}", number % 7)).collect();
    let links: Vec<String> = (0..40).map(|number| format!("l{number}")).collect();
    let mut entries = vec![ROOT];
    for ((name, content), link_name) in names.iter().zip(&contents).zip(&links) {
        entries.push(link(link_name, name));
        entries.push(file(name, content));
    }
    let archive = archive(&entries);
    let ours = commit(&repo, &archive, AUTOCREATE);
    let theirs_repo = directory.path().join("theirs");
    ostree.repo(&theirs_repo, ["init", "--mode=archive"]).success();
    let tree = format!("--tree=tar={}", repo.with_extension("tar").display());
    let arguments = ["commit", "--orphan", "--timestamp=@1", "--tar-autocreate-parents", &tree];
    assert_eq!(ours, ostree.repo(&theirs_repo, arguments).success().trim_end());
    osier().repo(&repo, ["fsck", "-q"]).success();
}

#[test]
fn a_compressed_archive_that_is_cut_short_behind_its_last_entry_is_an_error() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let mut plain = archive(&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")]);
    plain.resize(300_000, 0);
    for (compress, truncated) in [
        (gzip as fn(&[u8]) -> Vec<u8>, "error: truncated gzip input"),
        (bzip2, "error: truncated bzip2 input"),
        (xz, "error: Lzma library error:  No progress is possible"),
        (zstd, "error: Truncated zstd input"),
    ] {
        let whole = compress(&plain);
        assert_eq!(commit(&repo, &whole, &[]), TWO_FILES);
        for missing in [1, 3, 8] {
            assert_eq!(commit(&repo, &whole[..whole.len() - missing], &[]), truncated, "{missing}");
        }
    }
}

#[test]
fn a_wrong_checksum_behind_the_last_entry_is_an_error() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let mut plain = archive(&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")]);
    plain.resize(300_000, 0);
    let mut damaged = gzip(&plain);
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    assert_eq!(commit(&repo, &damaged, &[]), "error: gzip decompression failed");
}

#[test]
fn members_follow_each_other_and_what_follows_gzip_and_bzip2_is_ignored() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let plain = archive(&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")]);
    let (head, tail) = plain.split_at(700);
    for compress in [gzip as fn(&[u8]) -> Vec<u8>, bzip2] {
        let parts = [compress(head), compress(b""), compress(tail), b"garbage".to_vec()].concat();
        assert_eq!(commit(&repo, &parts, &[]), TWO_FILES);
    }
    let padded = |zeros| [xz(head), vec![0; 4], xz(tail), vec![0; zeros]].concat();
    assert_eq!(commit(&repo, &padded(8), &[]), TWO_FILES);
    assert_eq!(commit(&repo, &padded(7), &[]), "error: Lzma library error: Corrupted input data");
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let mut plain = archive(&[ROOT, file("./a", "hi"), dir("./d/"), file("d/x", "")]);
    plain.resize(1 << 20, 0);
    let repo_option = format!("--repo={}", repo.display());
    for tree in ["--tree=tar=-", "--tree=tar=/proc/self/fd/0"] {
        let arguments = [repo_option.as_str(), "commit", "--orphan", "--timestamp=@1", tree];
        // That fails when not all of the input was taken.
        assert_eq!(osier().run_with_input(arguments, &plain).success().trim_end(), TWO_FILES);
    }
}

/// An archive whose one file has an extended header before it.
fn with_record(keyword: &str, value: &str) -> Vec<u8> {
    let records = text_record(keyword, value);
    archive(&[ROOT, entry("x", b'x', 0o644, &records), file("f", "x")])
}

#[test]
fn a_path_is_as_long_as_upstream_has_it_and_no_longer() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let path = |last: &str| with_record("path", &("a/".repeat(2047) + last));
    assert_eq!(commit(&repo, &path("ff"), AUTOCREATE).len(), 64);
    let refused = commit(&repo, &path("fff"), AUTOCREATE);
    assert!(
        refused.starts_with("error: While making relative path \"a/a/")
            && refused.ends_with("/...' is too long")
    );
    assert!(refused.len() < 4096);
    assert!(
        commit(&repo, &with_record("path", &"a/".repeat(200_000)), AUTOCREATE)
            .ends_with("' is too long")
    );
}

#[test]
fn names_of_xattrs_are_those_that_objects_can_hold() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let plain = commit(&repo, &with_record("SCHILY.xattr.user.a", "v"), &[]);
    assert_eq!(plain.len(), 64);
    // libarchive reads this name up to its NUL.
    assert_eq!(commit(&repo, &with_record("LIBARCHIVE.xattr.user.a%00b", "dg"), &[]), plain);
    let refused = commit(&repo, &with_record("SCHILY.xattr.user.a\0b", "v"), &[]);
    assert_eq!(refused, "error: Invalid pax extended attributes");
    let refused = commit(&repo, &with_record("LIBARCHIVE.xattr.%00", "dg"), &[]);
    assert!(refused.ends_with("Invalid xattr name (empty or missing NUL) index=0"), "{refused}");
}
