//! What differs between two trees, held against the real program and its golden output.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::support::{
    Program, assert_same_text, expected, extract_repo, golden_commit, needs_root,
    needs_user_xattrs, osier, ostree, scratch,
};

fn write(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
}

fn make_first(root: &Path) {
    for dir in ["usr/bin", "usr/lib/deep/deeper", "gone/x/y", "same", "becomes-file", "meta", "zz"]
    {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for name in [
        "usr/bin/kept",
        "usr/bin/changed",
        "usr/bin/removed",
        "usr/lib/deep/deeper/x",
        "gone/x/y/z",
        "gone/a",
        "same/s",
        "becomes-file/in",
        "becomes-directory",
        "meta/m",
        "labelled",
        "at-the-root",
        "zz/owned",
    ] {
        write(&root.join(name), name);
    }
    symlink("kept", root.join("usr/bin/link")).unwrap();
    symlink("x", root.join("link-to-file")).unwrap();
}

/// What [`make_first`] made, changed in every way.
fn make_second(root: &Path) {
    make_first(root);
    let at = |name: &str| root.join(name);
    fs::remove_dir_all(at("gone")).unwrap();
    fs::remove_dir_all(at("becomes-file")).unwrap();
    write(&at("becomes-file"), "");
    fs::remove_file(at("becomes-directory")).unwrap();
    fs::create_dir_all(at("becomes-directory/with/more")).unwrap();
    write(&at("usr/bin/changed"), "otherwise");
    fs::remove_file(at("usr/bin/removed")).unwrap();
    fs::remove_file(at("usr/bin/link")).unwrap();
    symlink("changed", at("usr/bin/link")).unwrap();
    fs::remove_file(at("link-to-file")).unwrap();
    write(&at("link-to-file"), "x");
    fs::remove_file(at("at-the-root")).unwrap();
    for (name, mode) in [("meta", 0o700), ("meta/m", 0o600), ("", 0o711)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    setxattr(at("labelled"), "user.a", b"1", XattrFlags::empty()).unwrap();
    setxattr(at("same"), "user.d", b"2", XattrFlags::empty()).unwrap();
    chown(at("zz/owned"), Some(3), Some(4)).unwrap();
    fs::create_dir_all(at("new/k/j")).unwrap();
    fs::create_dir_all(at("usr/lib/deep/more")).unwrap();
    for name in
        ["new/1", "new/k/2", "zz/new", "new-at-the-root", "usr/bin/new", "usr/lib/deep/deeper/new"]
    {
        write(&at(name), name);
    }
    symlink("anywhere", at("new/k/j/link")).unwrap();
}

/// A repository whose branch `main` went from the first tree to the second, with both trees beside
/// it.
struct Trees {
    directory: tempfile::TempDir,
    ostree: Program,
}

impl Trees {
    #[track_caller]
    fn new(mode: &str) -> Option<Self> {
        let ostree = ostree()?;
        if !needs_root() || !needs_user_xattrs() {
            return None;
        }
        let directory = scratch();
        let trees = Self { ostree: ostree.in_directory(directory.path()), directory };
        for (name, make) in [("first", make_first as fn(&Path)), ("second", make_second)] {
            fs::create_dir(trees.path(name)).unwrap();
            make(&trees.path(name));
        }
        trees.ostree.repo(&trees.path("repo"), ["init", "--mode", mode]).success();
        for name in ["first", "second"] {
            let tree = format!("--tree=dir={name}");
            trees
                .ostree
                .repo(&trees.path("repo"), ["commit", "--timestamp=@1", "-b", "main", &tree])
                .success();
        }
        Some(trees)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn osier(&self, arguments: &[&str]) -> String {
        osier()
            .in_directory(self.directory.path())
            .repo(&self.path("repo"), ["diff"].iter().chain(arguments))
            .success()
    }

    #[track_caller]
    fn compare(&self, arguments: &[&str]) {
        let run = |program: Program| {
            program
                .in_directory(self.directory.path())
                .repo(&self.path("repo"), ["diff"].iter().chain(arguments))
        };
        let (ours, theirs) = (run(osier()), run(self.ostree.clone()));
        let what = format!("diff {}", arguments.join(" "));
        assert_same_text(&what, ("osier", &ours.stdout), ("ostree", &theirs.stdout));
        assert_same_text(&what, ("osier", &ours.stderr), ("ostree", &theirs.stderr));
        assert_eq!(ours.status, theirs.status, "{what}");
    }
}

#[test]
fn the_golden_commits_differ_as_upstream_says() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let [c1, c2, c3] = ["c1", "c2", "c3"].map(golden_commit);
    for (arguments, file) in [
        (vec!["diff", &c1, &c2], "diff.c1-c2.txt"),
        (vec!["diff", &c2, &c3], "diff.c2-c3.txt"),
        (vec!["diff", "--stats", &c1, &c2], "diff-stats.c1-c2.txt"),
    ] {
        let output = osier().repo(&repo, arguments);
        assert_same_text(file, ("osier", &output.stdout), ("golden", &expected(file)));
    }
}

#[test]
fn commits_and_directories_are_compared_in_every_pairing() {
    for mode in ["archive", "bare-user-only"] {
        let Some(trees) = Trees::new(mode) else { return };
        let absolute = trees.path("second");
        let sides =
            ["main", "main^", "./first", "./second", "./second/", absolute.to_str().unwrap()];
        for first in sides {
            for second in sides {
                trees.compare(&[first, second]);
            }
        }
        trees.compare(&["main"]);
        for options in [
            &["--no-xattrs"][..],
            &["--owner-uid=3"],
            &["--owner-uid=0", "--owner-gid=0"],
            &["--owner-uid=-1", "--owner-gid=0x10"],
        ] {
            for pair in [["./first", "./second"], ["main", "./first"], ["main^", "main"]] {
                trees.compare(&[options, &pair].concat());
            }
        }
        for options in [&["--stats"][..], &["--stats", "--fs-diff"], &["--fs-diff"]] {
            trees.compare(&[options, &["main^", "main"]].concat());
        }
    }
}

#[test]
fn a_repository_without_xattrs_compares_none() {
    let Some(trees) = Trees::new("archive") else { return };
    trees
        .ostree
        .repo(&trees.path("repo"), ["config", "set", "core.disable-xattrs", "true"])
        .success();
    for pair in [["main", "./second"], ["main^", "./second"], ["./first", "./second"]] {
        trees.compare(&pair);
    }
}

#[test]
fn wrong_arguments_are_refused_in_the_same_words() {
    let Some(trees) = Trees::new("archive") else { return };
    for arguments in [
        &["main^"][..],
        &["nope", "main"],
        &["main", "nope"],
        &["./first"],
        &["./nothing", "main"],
        &["main", "./nothing"],
        &["./first/same/s", "main"],
        &["first", "main"],
        &["--stats", "main", "./first"],
        &["--owner-uid=x", "main"],
        &["main", "main", "main"],
    ] {
        trees.compare(arguments);
    }
}

#[test]
fn large_directories_are_listed_by_inode_a_thousand_at_a_time() {
    let Some(trees) = Trees::new("archive") else { return };
    for name in ["none", "many"] {
        fs::create_dir(trees.path(name)).unwrap();
    }
    let many = trees.path("many");
    (0..2300).for_each(|number| write(&many.join(format!("f{number}")), ""));
    for number in (0..2300).step_by(3) {
        fs::remove_file(many.join(format!("f{number}"))).unwrap();
        write(&many.join(format!("g{number}")), "");
    }
    trees.compare(&["./none", "./many"]);
    trees.compare(&["./many", "./none"]);
}

#[test]
fn pipes_differ_from_files() {
    let Some(trees) = Trees::new("archive") else { return };
    for name in ["one", "other"] {
        fs::create_dir(trees.path(name)).unwrap();
    }
    mknodat(CWD, trees.path("one/pipe"), FileType::Fifo, Mode::from_raw_mode(0o644), 0).unwrap();
    trees.compare(&["./one", "./other"]);
    trees.compare(&["./other", "./one"]);
    write(&trees.path("other/pipe"), "");
    assert_eq!(trees.osier(&["./one", "./other"]), "M    pipe\n");
}

#[test]
fn json_has_the_same_paths_under_stable_names() {
    let Some(trees) = Trees::new("archive") else { return };
    let text = trees.osier(&["--json", "--stats", "--fs-diff", "main^", "main"]);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let lines = |letter: &str, name: &str| -> String {
        let paths = json[name].as_array().unwrap_or_else(|| panic!("{name}: {json}"));
        paths.iter().map(|path| format!("{letter}    {}\n", path.as_str().unwrap())).collect()
    };
    let plain = lines("M", "modified") + &lines("D", "removed") + &lines("A", "added");
    assert_eq!(plain, trees.osier(&["main^", "main"]));
    let stats = trees.osier(&["--stats", "main^", "main"]);
    for (label, name) in
        [("[A]", "objects_in_first"), ("[B]", "objects_in_second"), ("Common", "common_objects")]
    {
        assert!(
            stats.contains(&format!("{label} Object Count: {}\n", json["stats"][name])),
            "{name}: {json} {stats}"
        );
    }
    assert!(
        stats.contains(&format!("Common Object Size: {} bytes\n", json["stats"]["common_bytes"])),
        "{json} {stats}"
    );
    assert!(!trees.osier(&["--json", "main"]).contains("stats"));
    assert!(!trees.osier(&["--json", "--stats", "main"]).contains("added"));
}

/// The golden archive has deltas from the first commit to the second and from nothing to the first.
#[test]
fn sizes_are_those_of_objects_and_of_the_delta_that_exists() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let [c1, c2, c3] = ["c1", "c2", "c3"].map(golden_commit);
    let sizes = |first: &str, second: &str| {
        let text = osier().repo(&repo, ["diff", "--sizes", "--json", first, second]).success();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document.as_object().unwrap().len(), 1, "{text}");
        document["sizes"].clone()
    };
    let size = |path: PathBuf| fs::metadata(path).unwrap().len();
    let found = sizes(&c1, &c2);
    // What a client lacks that has the first commit, as the real files are.
    let objects = |commit: &str| -> BTreeSet<PathBuf> {
        let client = directory.path().join(commit);
        let client = client.to_str().unwrap();
        osier().run(["init", "--mode=archive", "--repo", client]).success();
        let from = repo.to_str().unwrap();
        osier().repo(Path::new(client), ["pull-local", from, commit]).success();
        let fan_outs = fs::read_dir(Path::new(client).join("objects")).unwrap();
        let files = fan_outs.flat_map(|dir| fs::read_dir(dir.unwrap().path()).unwrap());
        let paths = files.map(|file| file.unwrap().path());
        paths
            .map(|path| path.strip_prefix(client).unwrap().to_owned())
            .filter(|path| path.extension().is_none_or(|kind| kind != "commitmeta"))
            .collect()
    };
    let (one, other) = (objects(&c1), objects(&c2));
    for (name, paths) in [
        ("new", other.difference(&one).collect::<Vec<_>>()),
        ("removed", one.difference(&other).collect()),
        ("shared", one.intersection(&other).collect()),
    ] {
        let files = paths.iter().filter(|path| path.extension().unwrap() == "filez").count();
        let bytes: u64 = paths.iter().map(|path| size(repo.join(path))).sum();
        let expected = serde_json::json!({
            "metadata": paths.len() - files, "files": files, "bytes": bytes,
        });
        assert_eq!(found[name], expected, "{name}");
    }
    let meta = repo.join(format!("objects/{}/{}.commitmeta", &c2[..2], &c2[2..]));
    let (count, meta) = match fs::metadata(meta) {
        Ok(metadata) => (1, metadata.len()),
        Err(_) => (0, 0),
    };
    let new = &found["new"];
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let requests = number(&new["metadata"]) + number(&new["files"]) + count;
    assert_eq!(found["as_objects"]["requests"], requests);
    assert_eq!(found["as_objects"]["bytes"], number(&new["bytes"]) + meta);
    let delta = &found["as_delta"];
    assert_eq!(delta["name"], format!("{c1}-{c2}"));
    let of_delta = [&c1, &c2].map(|commit| osier::Checksum::from_hex(commit).unwrap());
    let name = osier::repo::deltas::DeltaName { from: Some(of_delta[0]), to: of_delta[1] };
    let superblock = size(repo.join(name.superblock_path()));
    assert_eq!(delta["superblock_bytes"], superblock);
    let parts: u64 = fs::read_dir(repo.join(name.superblock_path()).parent().unwrap())
        .unwrap()
        .map(|file| size(file.unwrap().path()))
        .sum();
    assert_eq!(number(&delta["bytes"]), parts + number(&delta["fallback_bytes"]));
    // Without a delta, or without a difference.
    assert_eq!(sizes(&c3, &c1)["as_delta"], serde_json::Value::Null);
    let same = sizes(&c1, &c1);
    assert_eq!(same["as_objects"], serde_json::json!({ "requests": 0, "bytes": 0 }));
    assert_eq!((&same["new"]["files"], &same["new"]["bytes"]), (&0.into(), &0.into()));
    let text = osier().repo(&repo, ["diff", "--sizes", &c1, &c2]).success();
    let starts: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(starts, ["New", "Removed", "Shared", "Fetched as objects", "Fetched as delta"]);
    assert!(text.contains(&format!("Fetched as objects: {requests} files, ")), "{text}");
    let none = osier().repo(&repo, ["diff", "--sizes", &c3, &c1]).success();
    assert!(none.ends_with("Fetched as delta: there is none\n"), "{none}");
}

#[test]
fn what_is_fetched_from_another_repository_than_an_archive_is_known_from_the_commit() {
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("tree")).unwrap();
    write(&at("tree/file"), &"content".repeat(1000));
    let run = |repo: &str, arguments: &[&str]| osier().repo(&at(repo), arguments.iter()).success();
    let tree = format!("--tree=dir={}", at("tree").display());
    run("archive", &["init", "--mode=archive"]);
    for (name, options) in [("recorded", &["--generate-sizes"][..]), ("not-recorded", &[])] {
        let branch = format!("--branch={name}");
        let tree_of = |content: &str| {
            write(&at("tree/file"), content);
            run("archive", &[&["commit", &branch, &tree], options].concat());
        };
        tree_of("first");
        tree_of(&"second".repeat(500));
        run(name, &["init", "--mode=bare-user-only"]);
        let archive = at("archive");
        run(name, &["pull-local", "--depth=1", archive.to_str().unwrap(), name]);
        let fetched = |repo: &str| {
            let text = run(repo, &["diff", "--sizes", "--json", name]);
            let document: serde_json::Value = serde_json::from_str(&text).unwrap();
            document["sizes"]["as_objects"].clone()
        };
        let expected = fetched("archive");
        let found = fetched(name);
        assert_eq!(found["requests"], expected["requests"], "{name}");
        match options.is_empty() {
            true => assert_eq!(found["bytes"], serde_json::Value::Null),
            false => assert_eq!(found["bytes"], expected["bytes"]),
        }
    }
}
