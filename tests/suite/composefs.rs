//! composefs images and digests: those of the golden fixtures, of generated trees, and what an
//! image says about a tree.

mod decoder;
mod generated;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::composefs::{FileDigests, ImageOptions, VerityHasher, checkout_image, image_digest};
use osier::object::{DirMeta, FileHeader, Xattrs};
use osier::progress::Silent;
use osier::repo::Repo;
use osier::repo::tree::Node;

use crate::support::{
    Program, expected, extract_repo, extract_tree, golden, golden_commit, osier, program, scratch,
};
use decoder::{Found, decode};
use generated::{Item, generate, store};

fn golden_image(name: &str) -> Vec<u8> {
    let mut image = Vec::new();
    let file = fs::File::open(golden(format!("repos/tree1.{name}.cfs.gz"))).unwrap();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(file), &mut image).unwrap();
    image
}

/// The digest of a golden image as `composefs-digest.txt` has it.
fn golden_digest() -> String {
    String::from_utf8(expected("composefs-digest.txt")).unwrap().trim_end().to_owned()
}

fn checked_out(repo: &Repo, commit: &Checksum, digests: FileDigests) -> (Vec<u8>, Checksum) {
    let directory = scratch();
    let destination = directory.path().join("image");
    let options = ImageOptions { digests, ..ImageOptions::default() };
    let digest = checkout_image(repo, commit, &destination, &options, &Silent).unwrap();
    (fs::read(destination).unwrap(), digest)
}

#[test]
fn the_golden_images_are_made_from_every_mode() {
    for name in ["plain", "archive", "bare", "bare-user"] {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let repo = Repo::open(&repo).unwrap();
        let commit =
            golden_commit(if name == "archive" { "c1" } else { "plain-c1" }).parse().unwrap();
        for (digests, image) in
            [(FileDigests::Recorded, "verity"), (FileDigests::Omitted, "noverity")]
        {
            let (bytes, digest) = checked_out(&repo, &commit, digests);
            assert!(bytes == golden_image(image), "{name}: {image} differs");
            let is_golden = digest.to_hex() == golden_digest();
            assert_eq!(is_golden, digests == FileDigests::Recorded, "{name}: {digest}");
        }
    }
}

#[test]
fn the_golden_commit_with_its_digest_is_reproduced() {
    let directory = scratch();
    let Some(_) = extract_tree("tree1", directory.path()) else { return };
    let program = osier().in_directory(directory.path());
    let repo = Path::new("r");
    program.repo(repo, ["init", "--mode=bare"]).success();
    let commit = [
        "commit",
        "-b",
        "cfs",
        "--timestamp=@1700000000",
        "--generate-composefs-metadata",
        "--tree=dir=tree1",
    ];
    assert_eq!(program.repo(repo, commit).line(), golden_commit("composefs"));
    let show = ["show", "--print-metadata-key=ostree.composefs.digest.v0", "--print-hex", "cfs"];
    assert_eq!(program.repo(repo, show).line(), golden_digest());
    for (option, name) in [("--composefs", "verity"), ("--composefs-noverity", "noverity")] {
        // Umask and what is there before do not matter.
        fs::write(directory.path().join(name), "old").unwrap();
        program.repo(repo, ["checkout", option, "cfs", name]).success();
        let path = directory.path().join(name);
        assert!(fs::read(&path).unwrap() == golden_image(name), "{name}");
        assert_eq!(fs::metadata(path).unwrap().permissions().mode(), 0o100_644);
    }
}

/// Seed, entries, and the digests of the images with and without the digests of files, as ostree
/// 2026.4 with libcomposefs 1.0.8 makes them.
const GENERATED: [(u64, usize, &str, &str); 6] = [
    (
        1,
        10,
        "bbcd4446943d2b0af0045dd8567f858e433348f588cd178f954fd7e64bf63f89",
        "6b23e49660fd78a1cdda4e055a31ffffa40b60419689ce2257d6285908a152a2",
    ),
    (
        2,
        100,
        "325c7c1f6aaedba0b00baef82b61aa08e41f909b6b550f54eb5c1b095b2d6d68",
        "3870d12d1a667c7449f8165ce092e42f58bafa26f6726fed2fcb1ded7a5b43ec",
    ),
    (
        3,
        400,
        "b39f3dd63ee9aa1e7f774218e697c5fab6a2b4d412ceae4966bad4c881cfc80d",
        "f4fc9dc4d9ef56d8d8bf64d2052b26fa65c8df2c768171a8097ec161b7d63333",
    ),
    (
        4,
        1000,
        "719c3d89b29548a7f934fac322be584ea91d60e1720cee9a23b009ce78bb8afb",
        "7ef4352e3ec2dcee7dd9cf6cd91d1935d53d1395a5d7902f32a3c749c86d1a27",
    ),
    (
        5,
        3000,
        "9537149b316b89d39d45de658a6c3e27531cbcaa10f5ff99da803079654e86f0",
        "b025df50b8c9d3bf6e64e432a8e375de77dc967b03e301e68c83a9d179275f12",
    ),
    (
        6,
        3000,
        "e284728a7f24cb905452df9dcdea010dd6366352d9f18a87688a2933f6d5a857",
        "de2419475a725be5a52897ba8156ff95b338d8e922e8cbd1456bba8f01d08551",
    ),
];

#[test]
fn generated_trees_have_the_images_of_the_real_program() {
    for (seed, size, with_digests, without) in GENERATED {
        let directory = scratch();
        let (repo, commit) = store(&directory.path().join("r"), &generate(seed, size));
        let (image, digest) = checked_out(&repo, &commit, FileDigests::Recorded);
        assert_eq!(digest.to_hex(), with_digests, "{seed}");
        let mut hasher = VerityHasher::new();
        hasher.update(&image);
        assert_eq!(hasher.finish(), digest, "{seed}: the digest is that of the file");
        let root = Node::root_of(&repo.load_commit(&commit).unwrap());
        assert_eq!(
            image_digest(&repo, &root, &Silent).unwrap(),
            digest,
            "{seed}: the digest without the file"
        );
        assert_eq!(checked_out(&repo, &commit, FileDigests::Omitted).1.to_hex(), without, "{seed}");
    }
}

#[test]
fn one_thread_and_many_make_the_same_image_and_find_the_same_error() {
    let directory = scratch();
    let (repo, commit) = store(&directory.path().join("r"), &generate(31, 500));
    let root = Node::root_of(&repo.load_commit(&commit).unwrap());
    let with_threads = |number| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(number).build().unwrap();
        pool.install(|| image_digest(&repo, &root, &Silent)).map_err(|error| error.chain())
    };
    let digest = with_threads(1).unwrap();
    assert_eq!(with_threads(7), Ok(digest));
    for prefix in fs::read_dir(directory.path().join("r/objects")).unwrap() {
        for object in
            fs::read_dir(prefix.unwrap().path()).unwrap().map(|object| object.unwrap().path())
        {
            if object.extension().is_some_and(|extension| extension == "filez") {
                fs::remove_file(object).unwrap();
            }
        }
    }
    let error = with_threads(1).unwrap_err();
    assert!(error.contains("Couldn't find file object"), "{error}");
    for _ in 0..10 {
        assert_eq!(with_threads(7), Err(error.clone()));
    }
}

#[test]
fn an_image_says_what_the_tree_says() {
    for (seed, size) in [(11, 20), (12, 500), (13, 1500)] {
        let directory = scratch();
        let root = generate(seed, size);
        let (repo, commit) = store(&directory.path().join("r"), &root);
        for digests in [FileDigests::Recorded, FileDigests::Omitted] {
            let found = decode(&checked_out(&repo, &commit, digests).0);
            let mut wanted = BTreeMap::new();
            add_expected(
                &repo,
                &Node::root_of(&repo.load_commit(&commit).unwrap()),
                digests,
                "",
                &mut wanted,
            );
            add_made_up(&mut wanted);
            for (path, entry) in &wanted {
                assert_eq!(found.get(path), Some(entry), "{seed}: {path}");
            }
            assert_eq!(found.len(), wanted.len(), "{seed}");
        }
    }
}

/// What an image must say about all below a node.
fn add_expected(
    repo: &Repo,
    node: &Node,
    digests: FileDigests,
    path: &str,
    wanted: &mut BTreeMap<String, Found>,
) {
    match node {
        Node::Directory { dirtree, dirmeta } => {
            let tree = repo.load_dirtree(dirtree).unwrap();
            let DirMeta { mode, uid, gid, xattrs } = repo.load_dirmeta(dirmeta).unwrap();
            let links = 2 + tree.dirs.len() as u32;
            let found =
                Found { mode, uid, gid, links, xattrs: escaped(&xattrs), ..Found::default() };
            wanted.insert(path.to_owned(), found);
            for (name, file) in &tree.files {
                add_expected(repo, &Node::File(*file), digests, &format!("{path}/{name}"), wanted);
            }
            for dir in &tree.dirs {
                let node = Node::Directory { dirtree: dir.dirtree, dirmeta: dir.dirmeta };
                add_expected(repo, &node, digests, &format!("{path}/{}", dir.name), wanted);
            }
        }
        Node::File(file) => {
            let object = repo.load_file(file).unwrap();
            let size = if object.header.is_symlink() {
                object.header.symlink_target.len() as u64
            } else {
                object.size
            };
            let is_external = !object.header.is_symlink() && size > 0;
            let FileHeader { uid, gid, mode, symlink_target: target, xattrs } =
                object.header.clone();
            let mut xattrs = escaped(&xattrs);
            if is_external {
                let hex = file.to_hex();
                let redirect = format!("/{}/{}.file", &hex[..2], &hex[2..]);
                xattrs.insert(b"trusted.overlay.redirect".to_vec(), redirect.into_bytes());
                let metacopy = match digests {
                    FileDigests::Omitted => Vec::new(),
                    FileDigests::Recorded => {
                        let mut hasher = VerityHasher::new();
                        let mut update = |chunk: &[u8]| {
                            hasher.update(chunk);
                            Ok(())
                        };
                        object.read_chunks(&mut update).unwrap();
                        [&[0, 36, 0, 1][..], hasher.finish().as_bytes()].concat()
                    }
                };
                xattrs.insert(b"trusted.overlay.metacopy".to_vec(), metacopy);
            }
            wanted
                .insert(path.to_owned(), Found { mode, uid, gid, links: 1, size, xattrs, target });
        }
    }
}

fn escaped(xattrs: &Xattrs) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let escape = |name: &[u8]| match name.strip_prefix(b"trusted.overlay.") {
        Some(rest) => [b"trusted.overlay.overlay.", rest].concat(),
        None => name.to_vec(),
    };
    xattrs.iter().map(|(name, value)| (escape(name), value.to_vec())).collect()
}

/// What no commit has.
fn add_made_up(wanted: &mut BTreeMap<String, Found>) {
    for name in ["usr", "etc", "boot", "var", "sysroot"] {
        if let Entry::Vacant(place) = wanted.entry(format!("/{name}")) {
            place.insert(Found { mode: 0o040_755, links: 2, ..Found::default() });
            wanted.get_mut("").unwrap().links += 1;
        }
    }
    let root = wanted.get_mut("").unwrap();
    let label = root.xattrs.get_key_value(&b"security.selinux"[..]);
    let xattrs = label.into_iter().map(|(name, label)| (name.clone(), label.clone())).collect();
    let whiteout = Found {
        mode: 0o020_644,
        uid: root.uid,
        gid: root.gid,
        links: 1,
        xattrs,
        ..Found::default()
    };
    root.xattrs.insert(b"trusted.overlay.opaque".to_vec(), b"y".to_vec());
    for byte in 0..=255 {
        wanted.entry(format!("/{byte:02x}")).or_insert_with(|| whiteout.clone());
    }
}

#[test]
fn fsck_erofs_finds_nothing_wrong() {
    let Some(program) = program("fsck.erofs") else { return };
    for (seed, size) in [(21, 50), (22, 600), (23, 3000)] {
        let directory = scratch();
        let (repo, commit) = store(&directory.path().join("r"), &generate(seed, size));
        let image = directory.path().join("image");
        checkout_image(&repo, &commit, &image, &ImageOptions::default(), &Silent).unwrap();
        let output = program.run([Path::new("-d3"), &image]);
        assert_eq!(output.status, 0, "{output:?}");
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(messages.contains("No errors found"), "{seed}: {messages}");
    }
}

/// A repository `r` in a fresh directory with a commit `main` of a small tree, and osier to run
/// there.
fn small() -> (tempfile::TempDir, Program) {
    let directory = scratch();
    fs::create_dir_all(directory.path().join("tree/usr")).unwrap();
    fs::write(directory.path().join("tree/usr/f"), "hi\n").unwrap();
    let program = osier().in_directory(directory.path());
    program.run(["--repo=r", "init", "--mode=archive"]).success();
    let commit = [
        "--repo=r",
        "commit",
        "-b",
        "main",
        "--owner-uid=0",
        "--owner-gid=0",
        "--no-xattrs",
        "tree",
    ];
    program.run(commit.iter().chain(&["--generate-composefs-metadata"])).success();
    (directory, program)
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn the_destination_is_the_commit_s_name_unless_it_is_given() {
    let (directory, program) = small();
    assert_eq!(program.run(["--repo=r", "checkout", "--composefs", "main"]).success(), "");
    assert_eq!(
        program
            .run(["--repo=r", "checkout", "--composefs", "--fsync=yes", "main", "other"])
            .success(),
        ""
    );
    assert_eq!(names_in(directory.path()), ["main", "other", "r", "tree"]);
    let [image, other] =
        ["main", "other"].map(|name| fs::read(directory.path().join(name)).unwrap());
    assert!(image == other);
    // What both options together mean is decided by the second.
    program
        .run(["--repo=r", "checkout", "--composefs", "--composefs-noverity", "main", "other"])
        .success();
    program.run(["--repo=r", "checkout", "--composefs-noverity", "main", "third"]).success();
    let [other, third] =
        ["other", "third"].map(|name| fs::read(directory.path().join(name)).unwrap());
    assert!(other == third && other != image);
}

#[test]
fn options_for_directories_are_refused_with_an_image() {
    let (directory, program) = small();
    for options in [
        "--union-add",
        "--union-identical -H",
        "--whiteouts",
        "--process-passthrough-whiteouts",
        "--subpath=/usr",
        "-H",
        "-C",
        "-z",
        "-M",
        "--skip-list=/dev/null",
        "--disable-cache",
        "--selinux-policy=/",
        "--selinux-prefix=/x",
        "--from-stdin",
        "--from-file=/dev/null",
    ] {
        for option in ["--composefs", "--composefs-noverity"] {
            let arguments = ["--repo=r", "checkout", option]
                .into_iter()
                .chain(options.split(' '))
                .chain(["main", "out"]);
            let message = program.run(arguments).failure();
            assert_eq!(message, "Specified options are incompatible with --composefs", "{options}");
        }
    }
    assert_eq!(names_in(directory.path()), ["r", "tree"]);
    // As upstream: these have nothing to say about an image.
    for option in ["-U", "--union", "--allow-noent", "--fsync=no"] {
        program.run(["--repo=r", "checkout", "--composefs", option, "main", "out"]).success();
    }
}

#[test]
fn an_image_without_the_digest_that_the_commit_names_is_not_kept() {
    let (directory, program) = small();
    let add = |branch: &str, value: &str| {
        let metadata = format!("--add-metadata=ostree.composefs.digest.v0={value}");
        program.run(["--repo=r", "commit", "-b", branch, &metadata, "--tree=ref=main"]).success();
    };
    let sevens = vec!["7"; 32].join(",");
    add("wrong", &format!("[byte {sevens}]"));
    add("short", "[byte 1,2]");
    add("text", "'text'");
    fs::write(directory.path().join("kept"), "old").unwrap();
    let checkout =
        |option: &str, branch: &str| program.run(["--repo=r", "checkout", option, branch, "kept"]);
    let show = ["show", "--print-metadata-key=ostree.composefs.digest.v0", "--print-hex", "main"];
    let digest = program.repo(Path::new("r"), show).line();
    let message = checkout("--composefs", "wrong").failure();
    let sevens = "07".repeat(32);
    let expected = format!(
        "Generated composefs image digest ({digest}) doesn't match expected digest ({sevens})"
    );
    assert_eq!(message, expected);
    let message = checkout("--composefs", "short").failure();
    assert_eq!(message, "Expected composefs fs-verity in metadata has the wrong size");
    assert_eq!(fs::read(directory.path().join("kept")).unwrap(), b"old");
    assert_eq!(names_in(directory.path()), ["kept", "r", "tree"]);
    // Without digests of files the image has another one anyway; what is no byte string is not
    // looked at.
    checkout("--composefs-noverity", "wrong").success();
    checkout("--composefs", "text").success();
}

#[test]
fn a_destination_that_cannot_be_written_is_named() {
    let (directory, program) = small();
    fs::create_dir(directory.path().join("dir")).unwrap();
    let checkout = |destination: &str| {
        program.run(["--repo=r", "checkout", "--composefs", "main", destination]).failure()
    };
    assert_eq!(checkout("dir"), "renameat(dir): Is a directory");
    assert_eq!(checkout("missing/file"), "creating missing/file: No such file or directory");
    assert_eq!(checkout(".."), ".. is not the name of a file");
    assert_eq!(names_in(directory.path()), ["dir", "r", "tree"]);
}

#[test]
fn what_an_image_cannot_have_is_refused() {
    let file = |xattrs: Vec<(&str, usize)>, target: usize| {
        let xattrs = xattrs
            .into_iter()
            .map(|(name, size)| (name.as_bytes().to_vec(), vec![b'v'; size]))
            .collect();
        let mode = if target > 0 { 0o120_777 } else { 0o100_644 };
        let (symlink_target, xattrs) = ("t".repeat(target), Xattrs::from_pairs(xattrs).unwrap());
        Item::File(FileHeader { uid: 0, gid: 0, mode, symlink_target, xattrs }, Vec::new())
    };
    let long = format!("user.{}", "n".repeat(251));
    let table = [
        ("f", file(vec![("user.x", 32_742)], 0), ""),
        (
            "f",
            file(vec![("user.x", 32_743)], 0),
            "Setting composefs xattrs for user.x: Numerical result out of range",
        ),
        ("f", file(vec![("user.x", 30_000), ("user.y", 2729)], 0), ""),
        (
            "f",
            file(vec![("user.x", 30_000), ("user.y", 2730)], 0),
            "Setting composefs xattrs for user.y: Numerical result out of range",
        ),
        ("f", file(vec![(&long[..255], 1)], 0), ""),
        (
            "f",
            file(vec![(&long, 1)], 0),
            &format!("Setting composefs xattrs for {long}: Numerical result out of range"),
        ),
        ("l", file(Vec::new(), 4095), ""),
        ("l", file(Vec::new(), 4096), "File name too long"),
        (&"n".repeat(255), file(Vec::new(), 0), ""),
        (&"n".repeat(256), file(Vec::new(), 0), "File name too long"),
    ];
    for (name, item, expected) in table {
        let directory = scratch();
        let dirmeta = DirMeta { uid: 0, gid: 0, mode: 0o040_755, xattrs: Xattrs::new() };
        let root = Item::Directory(dirmeta, BTreeMap::from([(name.to_owned(), item)]));
        let (repo, commit) = store(&directory.path().join("r"), &root);
        let file =
            repo.load_dirtree(&repo.load_commit(&commit).unwrap().root_dirtree).unwrap().files[0].1;
        let destination = directory.path().join("image");
        let result =
            checkout_image(&repo, &commit, &destination, &ImageOptions::default(), &Silent);
        match (result, expected) {
            (Ok(_), "") => {
                decode(&fs::read(&destination).unwrap());
            }
            (Ok(_), expected) => panic!("{name}: no error, but not {expected}"),
            (Err(error), expected) => {
                assert_eq!(
                    error.chain(),
                    format!("Checking out composefs: Processing {file}: {expected}")
                );
                assert_eq!(names_in(directory.path()), ["r"]);
            }
        }
    }
}

#[test]
fn missing_and_endless_trees_end_with_an_error() {
    let (directory, program) = small();
    let objects = directory.path().join("r/objects");
    let of_kind = |extension: &str| -> Vec<PathBuf> {
        let prefixes = fs::read_dir(&objects).unwrap().map(|prefix| prefix.unwrap().path());
        let files = prefixes
            .flat_map(|prefix| fs::read_dir(prefix).unwrap().map(|file| file.unwrap().path()));
        files.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
    };
    let checkout =
        |option: &str| program.run(["--repo=r", "checkout", option, "main", "out"]).failure();

    // Only the content is damaged: it is read for its digest.
    let file = of_kind("filez").remove(0);
    let good = fs::read(&file).unwrap();
    let hex = format!(
        "{}{}",
        file.parent().unwrap().file_name().unwrap().to_str().unwrap(),
        file.file_stem().unwrap().to_str().unwrap()
    );
    fs::write(&file, &good[..good.len() - 1]).unwrap();
    let message = checkout("--composefs");
    assert!(
        message.starts_with(&format!(
            "Checking out composefs: Processing {hex}: malformed object {hex}.file: "
        )),
        "{message}"
    );
    program.run(["--repo=r", "checkout", "--composefs-noverity", "main", "fine"]).success();
    fs::remove_file(&file).unwrap();
    let missing =
        format!("Checking out composefs: Processing {hex}: Couldn't find file object '{hex}'");
    assert_eq!(checkout("--composefs"), missing);
    assert_eq!(checkout("--composefs-noverity"), missing);
    fs::write(&file, good).unwrap();

    // The directory `usr` gets itself as a subdirectory.
    let repo = Repo::open(&directory.path().join("r")).unwrap();
    let commit = repo.load_commit(&repo.resolve_rev("main").unwrap()).unwrap();
    let mut usr = repo.load_dirtree(&commit.root_dirtree).unwrap().dirs.remove(0);
    let hex = usr.dirtree.to_hex();
    usr.name = "again".to_owned();
    let endless = osier::object::DirTree { files: Vec::new(), dirs: vec![usr] };
    fs::write(objects.join(&hex[..2]).join(format!("{}.dirtree", &hex[2..])), endless.encode())
        .unwrap();
    let expected = format!(
        "Checking out composefs: malformed object {hex}.dirtree: the directory contains itself"
    );
    assert_eq!(checkout("--composefs"), expected);
    assert_eq!(names_in(directory.path()), ["fine", "r", "tree"]);
}

#[test]
fn the_digest_of_a_commit_is_made_of_objects_that_are_only_staged_yet() {
    let (directory, program) = small();
    let show = |repo: &str| {
        let key = "--print-metadata-key=ostree.composefs.digest.v0";
        program.repo(Path::new(repo), ["show", key, "--print-hex", "main"]).line()
    };
    // The image's digest as ostree 2026.4 computes it.
    assert_eq!(show("r"), "46b6be191728ed0efdb9b0b866a3c2c749f414f32b6e4421e8ad06c4b6ef22d2");
    for (name, mode) in [("a", "bare-user-only"), ("b", "archive"), ("c", "bare-user")] {
        if mode == "bare-user" && !crate::support::needs_user_xattrs() {
            continue;
        }
        let repo = Path::new(name);
        program.repo(repo, ["init", &format!("--mode={mode}")]).success();
        // Without syncing nothing is staged.
        program
            .repo(repo, ["config", "set", "core.fsync", if name == "b" { "false" } else { "true" }])
            .success();
        let owner = ["--owner-uid=0", "--owner-gid=0", "--no-xattrs"];
        let commit = ["commit", "-b", "main", "--generate-composefs-metadata", "--tree=dir=tree"];
        program.repo(repo, commit.iter().chain(&owner)).success();
        assert_eq!(show(name), show("r"), "{mode}");
    }
    // Half of the tree is a base, which is in the repository or in its parent.
    fs::create_dir_all(directory.path().join("more/opt")).unwrap();
    fs::write(directory.path().join("more/opt/g"), "ho\n").unwrap();
    program.run(["--repo=d", "init", "--mode=bare-user-only"]).success();
    let parent = directory.path().join("a");
    program.run(["--repo=d", "config", "set", "core.parent", parent.to_str().unwrap()]).success();
    let base = program.run(["--repo=a", "rev-parse", "main"]).line();
    for repo in ["a", "d"] {
        let commit = [
            "commit",
            "-b",
            "main",
            "--generate-composefs-metadata",
            "--base",
            &base,
            "--tree=dir=more",
        ];
        program.repo(Path::new(repo), commit).success();
    }
    assert_eq!(show("a"), show("d"));
    program.run(["--repo=d", "checkout", "--composefs", "main", "image"]).success();
}

#[test]
fn wishes_for_integrity_are_no_obstacle_but_requirements_are() {
    let (directory, program) = small();
    let config = directory.path().join("r/config");
    let plain = fs::read_to_string(&config).unwrap();
    for (text, expected) in [
        ("[ex-integrity]\ncomposefs=yes\n", ""),
        ("[ex-integrity]\ncomposefs=maybe\nfsverity=maybe\n", ""),
        ("[ex-integrity]\ncomposefs=0\nfsverity=no\n", ""),
        ("[ex-integrity]\ncomposefs=on\n", "opening repo: Invalid tri-state value: on"),
        ("[ex-integrity]\nfsverity=Maybe\n", "opening repo: Invalid tri-state value: Maybe"),
        (
            "[ex-integrity]\nfsverity=yes\n",
            "opening repo: ex-integrity.fsverity: not supported yet",
        ),
        ("[ex-fsverity]\nopportunistic=true\n", ""),
        ("[ex-fsverity]\nrequired=true\n", "opening repo: ex-fsverity.required: not supported yet"),
        (
            "[ex-fsverity]\nrequired=maybe\n",
            "opening repo: Key file contains key “required” which has a value that cannot be \
             interpreted.",
        ),
    ] {
        fs::write(&config, format!("{plain}\n{text}")).unwrap();
        let output = program.run(["--repo=r", "refs"]);
        match expected {
            "" => assert_eq!(output.success(), "main\n", "{text}"),
            expected => assert_eq!(output.failure(), expected, "{text}"),
        }
    }
}
