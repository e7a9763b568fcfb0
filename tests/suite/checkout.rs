//! Checking out, held against the real program: every option in every mode, into nothing and onto
//! what is there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};

use crate::support::{Output, Program, needs_root, needs_user_xattrs, osier, ostree, scratch};

const MODES: [&str; 4] = ["bare", "bare-user", "bare-user-only", "archive"];

/// One entry of a checked out tree, in words.
type Listing = BTreeMap<String, String>;

/// Everything about a tree that two checkouts must agree on. Times are the epoch's or not; link
/// counts are kept apart from 1 because objects are shared.
fn listing(root: &Path) -> Listing {
    let mut entries = Listing::new();
    list(root, ".", &mut entries);
    entries
}

fn list(path: &Path, name: &str, entries: &mut Listing) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    let content = if metadata.is_symlink() {
        format!("-> {}", fs::read_link(path).unwrap().display())
    } else if metadata.is_file() {
        fs::read(path).unwrap().escape_ascii().to_string()
    } else {
        format!("rdev {}", metadata.rdev())
    };
    let is_linked = !metadata.is_dir() && metadata.nlink() > 1;
    let time = if metadata.mtime() == 0 { "epoch" } else { "later" };
    let line = format!(
        "{:o} {}:{} {} {time} {:?} {content}",
        metadata.mode(),
        metadata.uid(),
        metadata.gid(),
        if is_linked { "linked" } else { "alone" },
        xattrs(path),
    );
    entries.insert(name.to_owned(), line);
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            let file_name = entry.unwrap().file_name();
            list(
                &path.join(&file_name),
                &format!("{name}/{}", file_name.to_string_lossy()),
                entries,
            );
        }
    }
}

fn xattrs(path: &Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut all: Vec<String> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 4096];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            format!("{}={}", name.escape_ascii(), value[..length].escape_ascii())
        })
        .collect();
    all.sort();
    all
}

fn write(path: &Path, content: &str, mode: u32) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A tree with everything that checking out treats in a way of its own.
fn make_tree(root: &Path) {
    for dir in ["usr/bin", "usr/share/empty", "etc", "tmp"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    write(&root.join("usr/bin/hello"), "hello", 0o755);
    write(&root.join("usr/bin/su"), "su", 0o4755);
    write(&root.join("usr/bin/sg"), "sg", 0o2775);
    write(&root.join("usr/bin/sticky"), "sticky", 0o1644);
    symlink("hello", root.join("usr/bin/hi")).unwrap();
    symlink("/nonexistent/absolute", root.join("etc/absolute")).unwrap();
    write(&root.join("etc/empty"), "", 0o644);
    write(&root.join("etc/empty-private"), "", 0o600);
    write(&root.join("etc/conf"), "conf", 0o640);
    write(&root.join("etc/unreadable"), "unreadable", 0o200);
    write(&root.join("etc/nothing"), "nothing", 0o000);
    write(&root.join("etc/labelled"), "labelled", 0o644);
    write(&root.join("etc/!early"), "early", 0o644);
    setxattr(root.join("etc/labelled"), "user.a", b"1", XattrFlags::empty()).unwrap();
    setxattr(root.join("etc"), "user.d", b"2", XattrFlags::empty()).unwrap();
    write(&root.join("usr/share/large"), &"large\n".repeat(60_000), 0o644);
    chown(root.join("etc/conf"), Some(5), Some(6)).unwrap();
    chown(root.join("usr/share/empty"), Some(7), Some(8)).unwrap();
    fs::set_permissions(root.join("usr/share/empty"), fs::Permissions::from_mode(0o2750)).unwrap();
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    fs::set_permissions(root.join("usr/share"), fs::Permissions::from_mode(0o777)).unwrap();
    rustix::fs::chownat(
        CWD,
        root.join("usr/bin/hi"),
        Some(rustix::fs::Uid::from_raw(9)),
        None,
        rustix::fs::AtFlags::SYMLINK_NOFOLLOW,
    )
    .unwrap();
}

/// A layer that takes away from the one below.
fn make_layer(root: &Path) {
    for dir in ["usr/bin", "etc", "tmp/.wh.directory", "tmp/.ostree-wh.directory"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    for name in [
        ".wh.usr-local",
        "usr/bin/.wh.hello",
        "usr/bin/.wh.gone",
        "etc/.wh..wh..opq",
        "tmp/.wh.old",
    ] {
        write(&root.join(name), "", 0o644);
    }
    write(&root.join("usr/bin/hello"), "new", 0o755);
    write(&root.join("usr/bin/!first"), "", 0o644);
    write(&root.join("usr/bin/.wh.!first"), "x", 0o644);
    symlink("x", root.join("usr/bin/.wh.su")).unwrap();
    write(&root.join("etc/only"), "only", 0o644);
    write(&root.join("tmp/.ostree-wh.device"), "", 0o640);
    write(&root.join("tmp/.ostree-wh.other"), "content", 0o604);
    chown(root.join("tmp/.ostree-wh.other"), Some(3), Some(4)).unwrap();
    symlink("y", root.join("tmp/.ostree-wh.link")).unwrap();
}

/// A repository of each mode with the commits `main` and `layer`.
struct Repositories {
    directory: tempfile::TempDir,
}

impl Repositories {
    /// `None` where the machine cannot do it.
    #[track_caller]
    fn new(ostree: &Program) -> Option<Self> {
        if !needs_root() || !needs_user_xattrs() {
            return None;
        }
        let directory = scratch();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("tree")).unwrap();
        fs::create_dir(at("layer")).unwrap();
        make_tree(&at("tree"));
        make_layer(&at("layer"));
        for mode in MODES {
            let repo = at(mode);
            ostree.repo(&repo, ["init".to_owned(), format!("--mode={mode}")]).success();
            for (branch, tree) in [("main", "tree"), ("layer", "layer")] {
                let tree = format!("--tree=dir={}", at(tree).display());
                ostree.repo(&repo, ["commit", "--timestamp=@1", "-b", branch, &tree]).success();
            }
        }
        Some(Self { directory })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Runs `checkout` in a directory of its own that `prepare` has filled, and returns what came
    /// of it.
    fn run(
        &self,
        program: &Program,
        mode: &str,
        prepare: &dyn Fn(&Path),
        arguments: &[&str],
    ) -> (Output, Listing, Listing) {
        let place = self.path("place");
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::create_dir(&place).unwrap();
        let cache = self.path(mode).join("uncompressed-objects-cache");
        if cache.exists() {
            fs::remove_dir_all(&cache).unwrap();
        }
        prepare(&place);
        let program = program.clone().in_directory(&place);
        let output = program.repo(&self.path(mode), ["checkout"].iter().chain(arguments));
        (output, listing(&place), listing(&cache))
    }

    /// Fails unless both programs do and say the same.
    #[track_caller]
    fn compare(&self, ostree: &Program, mode: &str, prepare: &dyn Fn(&Path), arguments: &[&str]) {
        let (theirs, their_tree, their_cache) = self.run(ostree, mode, prepare, arguments);
        let (ours, our_tree, our_cache) = self.run(&osier(), mode, prepare, arguments);
        let what = format!("{mode}: checkout {}", arguments.join(" "));
        let texts =
            |output: &Output| (masked(&output.stdout), masked(&output.stderr), output.status);
        assert_eq!(texts(&ours), texts(&theirs), "{what}");
        // Where something failed, the two need not have got equally far.
        if theirs.status == 0 {
            assert_same(&what, &our_tree, &their_tree);
            assert_same(&what, &our_cache, &their_cache);
        }
    }
}

/// Without the names of temporary files.
fn masked(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let Some((before, after)) = text.split_once("renameat(") else { return text.into_owned() };
    let (_, after) = after.split_once(", ").unwrap_or(("", after));
    format!("{before}renameat(TEMPORARY, {after}")
}

#[track_caller]
fn assert_same(what: &str, ours: &Listing, theirs: &Listing) {
    let mut found = Vec::new();
    for name in ours.keys().chain(theirs.keys()).collect::<std::collections::BTreeSet<_>>() {
        let (one, other) = (ours.get(name), theirs.get(name));
        if one != other {
            let shown = |line: Option<&String>| {
                line.map_or("nothing", String::as_str).chars().take(120).collect::<String>()
            };
            found.push(format!("{name}:\n  osier:  {}\n  ostree: {}", shown(one), shown(other)));
        }
    }
    assert!(found.is_empty(), "{what}\n{}", found.join("\n"));
}

fn nothing(_: &Path) {}

#[test]
fn every_way_to_check_out_gives_the_same_tree_in_every_mode() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let options: [&[&str]; 18] = [
        &[],
        &["-U"],
        &["-H"],
        &["-C"],
        &["-M"],
        &["-z"],
        &["-U", "-H"],
        &["-U", "-C"],
        &["-U", "-M"],
        &["-U", "-z"],
        &["-U", "--disable-cache"],
        &["-U", "--fsync=yes"],
        &["-U", "--union"],
        &["-U", "--union-add"],
        &["-U", "-H", "--union-identical"],
        &["-H", "--union-identical"],
        &["-U", "--allow-noent"],
        &["-C", "--union"],
    ];
    for mode in MODES {
        for options in options {
            repositories.compare(&ostree, mode, &nothing, &[options, &["main", "out"]].concat());
        }
    }
}

#[test]
fn a_subpath_is_a_directory_or_a_file_put_into_one() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let subpaths = [
        "/usr",
        "usr/bin",
        "/",
        "/usr/bin/hello",
        "/usr/bin/hi",
        "/etc/empty",
        "/nope",
        "/etc/conf/x",
        "/usr/",
        "",
        ".",
    ];
    for mode in MODES {
        for subpath in subpaths {
            for option in ["-U", "-C", "--allow-noent"] {
                let subpath = format!("--subpath={subpath}");
                repositories.compare(&ostree, mode, &nothing, &[option, &subpath, "main", "out"]);
            }
        }
    }
    let existing = |place: &Path| {
        fs::create_dir(place.join("out")).unwrap();
        fs::set_permissions(place.join("out"), fs::Permissions::from_mode(0o711)).unwrap();
    };
    let twice = |place: &Path| {
        existing(place);
        fs::write(place.join("out/conf"), "mine").unwrap();
    };
    for mode in ["bare", "bare-user"] {
        for options in
            [&["-U"][..], &["-C"], &["--union"], &["--union-add"], &["-H", "--union-identical"]]
        {
            for prepare in [&existing as &dyn Fn(&Path), &twice] {
                repositories.compare(
                    &ostree,
                    mode,
                    prepare,
                    &[options, &["--subpath=/etc/conf", "main", "out"]].concat(),
                );
            }
        }
    }
    repositories.compare(
        &ostree,
        "bare",
        &nothing,
        &["--allow-noent", "-C", "--subpath=/nope", "main", "out"],
    );
    repositories.compare(
        &ostree,
        "bare",
        &nothing,
        &["--allow-noent", "-U", "--subpath=/nope", "main", "out"],
    );
}

/// Fills the directory that a program is to run in.
type Prepare = Box<dyn Fn(&Path)>;

/// What may be at the destination before.
fn obstacles() -> Vec<(&'static str, Prepare)> {
    let out = |place: &Path| {
        fs::create_dir_all(place.join("out/etc")).unwrap();
        fs::set_permissions(place.join("out/etc"), fs::Permissions::from_mode(0o710)).unwrap();
        place.join("out")
    };
    vec![
        ("an empty directory", Box::new(move |place: &Path| drop(out(place)))),
        (
            "a file in the way",
            Box::new(move |place| fs::write(out(place).join("etc/conf"), "mine").unwrap()),
        ),
        (
            "an empty file in the way",
            Box::new(move |place| fs::write(out(place).join("etc/empty"), "mine").unwrap()),
        ),
        (
            "a symlink in the way",
            Box::new(move |place| symlink("conf", out(place).join("etc/absolute")).unwrap()),
        ),
        (
            "a symlink for a file",
            Box::new(move |place| symlink("../../victim", out(place).join("etc/conf")).unwrap()),
        ),
        (
            "a symlink for an empty file",
            Box::new(move |place| symlink("../../victim", out(place).join("etc/empty")).unwrap()),
        ),
        (
            "a directory for a file",
            Box::new(move |place| fs::create_dir_all(out(place).join("etc/conf/x")).unwrap()),
        ),
        (
            "a directory for a symlink",
            Box::new(move |place| fs::create_dir_all(out(place).join("etc/absolute")).unwrap()),
        ),
        (
            "a directory for an empty file",
            Box::new(move |place| fs::create_dir_all(out(place).join("etc/empty")).unwrap()),
        ),
        (
            "a file for a directory",
            Box::new(move |place| fs::write(out(place).join("usr"), "").unwrap()),
        ),
    ]
}

#[test]
fn unions_do_the_same_with_what_is_there() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let unions: [&[&str]; 9] = [
        &[],
        &["--union"],
        &["--union-add"],
        &["-U", "--union"],
        &["-U", "--union-add"],
        &["-C", "--union"],
        &["-C", "--union-add"],
        &["-H", "--union-identical"],
        &["-U", "-H", "--union-identical"],
    ];
    for mode in MODES {
        for union in unions {
            for (what, prepare) in obstacles() {
                let prepare = |place: &Path| {
                    fs::write(place.join("victim"), "untouched").unwrap();
                    prepare(place);
                };
                // Shown when it fails.
                print!("[{what}] ");
                repositories.compare(&ostree, mode, &prepare, &[union, &["main", "out"]].concat());
                assert_eq!(fs::read(repositories.path("place/victim")).unwrap(), b"untouched");
            }
        }
    }
}

#[test]
fn whiteouts_take_away_and_become_devices() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let below = |place: &Path| {
        make_tree(&{
            fs::create_dir(place.join("out")).unwrap();
            place.join("out")
        });
        fs::create_dir_all(place.join("out/usr-local/bin")).unwrap();
        fs::create_dir_all(place.join("out/tmp/old/directory")).unwrap();
        fs::write(place.join("out/usr/bin/gone"), "gone").unwrap();
        fs::write(place.join("out/tmp/device"), "covered").unwrap();
    };
    for mode in ["bare", "bare-user", "archive"] {
        for options in [
            &["--whiteouts"][..],
            &["-U", "--whiteouts"],
            &["--process-passthrough-whiteouts"],
            &["-U", "--process-passthrough-whiteouts"],
            &["-C", "--process-passthrough-whiteouts", "--whiteouts"],
        ] {
            repositories.compare(&ostree, mode, &nothing, &[options, &["layer", "out"]].concat());
            for union in ["--union", "--union-add"] {
                repositories.compare(
                    &ostree,
                    mode,
                    &below,
                    &[options, &[union, "layer", "out"]].concat(),
                );
            }
        }
    }
}

#[test]
fn lists_name_what_is_checked_out_and_what_is_not() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let lists: [&[u8]; 7] = [
        b"",
        b"main",
        b"main\0",
        b"main\0/usr\0main\0/etc\0",
        b"main\0/usr\0nope\0/etc\0",
        b"main\0/nope\0",
        b"main\0\0",
    ];
    for list in lists {
        for options in
            [&["--union"][..], &["-U"], &["-U", "--union", "--allow-noent"], &["-C", "--union"]]
        {
            let prepare = |place: &Path| fs::write(place.join("list"), list).unwrap();
            repositories.compare(
                &ostree,
                "archive",
                &prepare,
                &[options, &["--from-file=list", "out"]].concat(),
            );
        }
    }
    repositories.compare(&ostree, "archive", &nothing, &["--from-file=list", "out"]);
    repositories.compare(&ostree, "archive", &nothing, &["--from-stdin", "out"]);
    let skips = [
        "/usr/share/\n/etc/conf\n",
        "/usr/share\n/etc/\n/zzz\n/usr/bin/hello\n",
        "/\n",
        "share/\n/bin/hello\n/share/\n",
    ];
    for skip in skips {
        let prepare = |place: &Path| fs::write(place.join("skip"), skip).unwrap();
        for options in [&["-U"][..], &["--subpath=/usr"], &["--subpath=/etc/conf"]] {
            repositories.compare(
                &ostree,
                "archive",
                &prepare,
                &[options, &["--skip-list=skip", "main", "out"]].concat(),
            );
        }
    }
    repositories.compare(&ostree, "archive", &nothing, &["--skip-list=nope", "main", "out"]);
}

#[test]
fn wrong_arguments_are_refused_in_the_same_words() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let file = |place: &Path| fs::write(place.join("out"), "").unwrap();
    let cases: [&[&str]; 12] = [
        &["nope", "out"],
        &["main", "no/out"],
        &["main", "a", "b"],
        &["main"],
        &["--union", "--union-add", "main", "out"],
        &["--union", "--union-identical", "main", "out"],
        &["--union-add", "--union-identical", "main", "out"],
        &["--union-identical", "main", "out"],
        &["-H", "-C", "main", "out"],
        &["--fsync=x", "main", "out"],
        &["--bogus", "main", "out"],
        &["main^", "out"],
    ];
    for arguments in cases {
        repositories.compare(&ostree, "archive", &nothing, arguments);
    }
    repositories.compare(&ostree, "archive", &file, &["main", "out"]);
    repositories.compare(&ostree, "archive", &file, &["-C", "--union", "main", "out"]);
}

#[test]
fn missing_and_broken_objects_are_reported_alike() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    for mode in ["bare", "bare-user", "archive"] {
        for extension in ["file", "filez", "dirtree", "dirmeta"] {
            let repo = repositories.path(mode);
            let objects = walk(&repo.join("objects"));
            let kept: Vec<(PathBuf, PathBuf)> = objects
                .into_iter()
                .filter(|path| path.extension().is_some_and(|end| end == extension))
                .map(|path| (path.clone(), path.with_extension("kept")))
                .collect();
            // Only one directory's worth of files: which of several is missed first is each
            // program's own affair.
            kept.iter().for_each(|(path, aside)| fs::rename(path, aside).unwrap());
            repositories.compare(&ostree, mode, &nothing, &["--subpath=/usr/share", "main", "out"]);
            repositories.compare(
                &ostree,
                mode,
                &nothing,
                &["-U", "--subpath=/etc/conf", "main", "out"],
            );
            kept.iter().for_each(|(path, aside)| fs::rename(aside, path).unwrap());
        }
    }
}

fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(walk(&path))
        } else {
            files.push(path)
        }
    }
    files
}

#[test]
fn links_go_to_the_parent_repository_that_has_the_object() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    for (child, parent) in [
        ("bare-user", "bare-user"),
        ("bare", "bare-user"),
        ("archive", "bare-user"),
        ("archive", "archive"),
    ] {
        let repo = repositories.path("child");
        ostree.repo(&repo, ["init", &format!("--mode={child}")]).success();
        let parent = repositories.path(parent);
        ostree.repo(&repo, ["config", "set", "core.parent", parent.to_str().unwrap()]).success();
        for options in [&[][..], &["-U"], &["-U", "-H"], &["-C"]] {
            repositories.compare(&ostree, "child", &nothing, &[options, &["main", "out"]].concat());
        }
        fs::remove_dir_all(&repo).unwrap();
    }
}

#[test]
fn no_symlink_below_the_destination_is_followed() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let trap = |place: &Path| {
        fs::create_dir_all(place.join("out")).unwrap();
        fs::create_dir_all(place.join("elsewhere")).unwrap();
        symlink("../elsewhere", place.join("out/etc")).unwrap();
    };
    for option in ["--union", "--union-add", "-U"] {
        let (output, tree, _) = repositories.run(
            &osier(),
            "archive",
            &trap,
            &["--union", option, "main", "out"][usize::from(option != "-U")..],
        );
        assert_eq!(output.failure(), "opendir(etc): Not a directory");
        assert!(!tree.keys().any(|name| name.starts_with("./elsewhere/")), "{tree:?}");
    }
    // The destination itself is the user's choice.
    let through = |place: &Path| {
        fs::create_dir_all(place.join("real")).unwrap();
        symlink("real", place.join("out")).unwrap();
    };
    repositories.compare(&ostree, "archive", &through, &["--union", "main", "out"]);
}

#[test]
fn a_whiteout_cannot_reach_out_of_its_directory() {
    if !needs_root() {
        return;
    }
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    for name in [".wh...", ".ostree-wh...", ".wh..", ".ostree-wh.."] {
        let tree = at("tree");
        fs::create_dir_all(tree.join("d")).unwrap();
        fs::write(tree.join("d").join(name), "").unwrap();
        let repo = at("repo");
        osier().repo(&repo, ["init", "--mode=archive"]).success();
        let commit = commit_tree(&repo, &tree);
        let out = at("out");
        let arguments = [
            "checkout",
            "-C",
            "--whiteouts",
            "--process-passthrough-whiteouts",
            &commit,
            out.to_str().unwrap(),
        ];
        let message = osier().repo(&repo, arguments).failure();
        assert!(message.contains("whiteout '."), "{message}");
        assert!(repo.join("objects").is_dir() && out.join("d").is_dir());
        for made in [&tree, &repo, &out] {
            fs::remove_dir_all(made).unwrap();
        }
    }
}

/// Commits a directory and returns the commit's checksum.
fn commit_tree(repo: &Path, tree: &Path) -> String {
    use osier::commit::{CommitOptions, Description, Source, commit};
    let repo = osier::repo::Repo::open(repo).unwrap();
    let sources = vec![Source::Directory(tree.to_owned())];
    let options = CommitOptions { sources, ..CommitOptions::new(Description::new(0)) };
    commit(&repo, &options, &osier::progress::Silent).unwrap().commit.to_hex()
}

#[test]
fn a_device_in_the_way_is_replaced_or_kept() {
    let Some(ostree) = ostree() else { return };
    let Some(repositories) = Repositories::new(&ostree) else { return };
    let prepare = |place: &Path| {
        fs::create_dir_all(place.join("out/tmp")).unwrap();
        let device = place.join("out/tmp/device");
        mknodat(CWD, &device, FileType::CharacterDevice, Mode::from_raw_mode(0o644), 0).unwrap();
    };
    for union in ["--union", "--union-add"] {
        repositories.compare(
            &ostree,
            "bare",
            &prepare,
            &["--process-passthrough-whiteouts", union, "layer", "out"],
        );
    }
}

#[test]
fn names_of_any_bytes_are_checked_out() {
    let Some(ostree) = ostree() else { return };
    if !needs_root() {
        return;
    }
    let directory = scratch();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("tree")).unwrap();
    for name in ["new\nline", "ü", " ", "-x", "*", &"n".repeat(255)] {
        fs::write(at("tree").join(name), name).unwrap();
        assert!(name.len() == std::ffi::OsStr::new(name).as_bytes().len());
    }
    ostree.repo(&at("repo"), ["init", "--mode=bare-user"]).success();
    let tree = format!("--tree=dir={}", at("tree").display());
    ostree.repo(&at("repo"), ["commit", "-b", "main", &tree]).success();
    for (program, out) in [(ostree, "theirs"), (osier(), "ours")] {
        program
            .in_directory(directory.path())
            .repo(&at("repo"), ["checkout", "-U", "-C", "main", out])
            .success();
    }
    assert_same("names", &listing(&at("ours")), &listing(&at("theirs")));
}
