//! Deltas between generated pairs of trees: each program applies, shows and verifies what each has
//! made, and both make the same.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, lsetxattr};

use crate::delta_generate::shape;
use crate::support::{
    Dice, Program, assert_same_text, has_xattrs, long_tests, osier, ostree, scratch,
};

/// A file or link of a tree; directories follow from the names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    content: Content,
    mode: u32,
    xattr: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    Link(String),
}

type Tree = BTreeMap<String, Entry>;

/// What the two trees of a pair are to each other.
#[derive(Clone, Copy, Debug)]
enum Change {
    Identical,
    /// The first has nothing in it.
    FromEmpty,
    /// The second has nothing in it.
    ToEmpty,
    /// Only modes and xattrs differ.
    Metadata,
    /// All files have other names.
    Renames,
    /// Everything.
    Mixed,
}

const CHANGES: [Change; 8] = [
    Change::Mixed,
    Change::Identical,
    Change::Metadata,
    Change::FromEmpty,
    Change::Renames,
    Change::ToEmpty,
    Change::Mixed,
    Change::Mixed,
];

const DIRECTORIES: [&str; 6] = ["", "usr/", "usr/lib/", "usr/share/doc/", "etc/", "opt/x/y/z/"];
const ENDINGS: [&str; 6] = ["", ".so.1", ".so.2.3", ".txt", ".gz", ".xz"];

fn name(dice: &mut Dice) -> String {
    let directory = DIRECTORIES[dice.below(6) as usize];
    let ending = ENDINGS[dice.below(6) as usize];
    format!("{directory}f{}{ending}", dice.below(40))
}

fn mode(dice: &mut Dice) -> u32 {
    [0o644, 0o755, 0o600, 0o640, 0o664][dice.below(5) as usize]
}

fn content(dice: &mut Dice) -> Content {
    let text = |dice: &mut Dice, lines: u64| {
        let start = dice.below(50);
        (start..start + lines).flat_map(|line| format!("line {line} of text\n").into_bytes())
    };
    match dice.below(9) {
        0 => Content::Link(format!("../target-{}", dice.below(30))),
        1 => Content::Bytes(Vec::new()),
        2 | 3 => Content::Bytes(text(dice, 3).collect()),
        4 => Content::Bytes(text(dice, 2000).collect()),
        5 => Content::Bytes(vec![dice.below(3) as u8; 20_000]),
        // Of blocks, which others may share.
        6 => Content::Bytes((0..1 + dice.below(10)).flat_map(|_| block(dice.below(12))).collect()),
        7 => {
            let length = 100 + dice.below(3000) as usize;
            Content::Bytes(dice.bytes(length))
        }
        _ => Content::Bytes(dice.bytes(90_000)),
    }
}

fn block(number: u64) -> Vec<u8> {
    Dice::new(1_000_000 + number).bytes(9000)
}

fn generated(dice: &mut Dice) -> Tree {
    let count = 5 + dice.below(25);
    let mut tree = Tree::new();
    for _ in 0..count {
        let name = name(dice);
        let xattr = (dice.below(6) == 0).then(|| dice.below(4) as u8);
        tree.insert(name, Entry { content: content(dice), mode: mode(dice), xattr });
    }
    tree
}

fn edited(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let place = dice.below(bytes.len() as u64 + 1) as usize;
    match dice.below(5) {
        0 => bytes.truncate(place),
        1 => drop(bytes.splice(place..place, *b"inserted")),
        2 => bytes.rotate_left(place),
        3 => bytes.extend_from_slice(&block(dice.below(12))),
        _ => {
            for _ in 0..=dice.below(4) {
                let place = dice.below(bytes.len().max(1) as u64) as usize;
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= 0x20;
                }
            }
        }
    }
    bytes
}

fn changed(tree: &Tree, change: Change, dice: &mut Dice) -> Tree {
    let mut new = Tree::new();
    for (old_name, old) in tree {
        let mut entry = old.clone();
        let mut new_name = old_name.clone();
        let what = match change {
            Change::Identical => 0,
            Change::Metadata => 1,
            Change::Renames => 2,
            Change::FromEmpty | Change::ToEmpty | Change::Mixed => dice.below(7),
        };
        match what {
            0 => {}
            1 => {
                entry.mode = mode(dice);
                entry.xattr = (dice.below(2) == 0).then(|| dice.below(4) as u8);
            }
            2 => new_name = name(dice),
            3 => continue,
            4 => entry.content = content(dice),
            _ => {
                if let Content::Bytes(bytes) = &old.content {
                    entry.content = Content::Bytes(edited(bytes, dice));
                }
            }
        }
        new.insert(new_name, entry);
    }
    if matches!(change, Change::Mixed) {
        new.extend(generated(dice).into_iter().take(4));
    }
    new
}

/// The two trees of a pair.
fn pair(change: Change, dice: &mut Dice) -> (Tree, Tree) {
    let tree = generated(dice);
    let other = changed(&tree, change, dice);
    match change {
        Change::FromEmpty => (Tree::new(), tree),
        Change::ToEmpty => (tree, Tree::new()),
        _ => (tree, other),
    }
}

fn build(tree: &Tree, at: &Path, with_xattrs: bool) {
    let _ = fs::remove_dir_all(at);
    fs::create_dir(at).unwrap();
    for (name, Entry { content, mode, xattr }) in tree {
        let path = at.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            Content::Link(target) => symlink(target, &path).unwrap(),
            Content::Bytes(bytes) => {
                fs::write(&path, bytes).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                if let (Some(number), true) = (xattr, with_xattrs) {
                    lsetxattr(&path, "user.number", &[*number], XattrFlags::empty()).unwrap();
                }
            }
        }
    }
}

/// A place with a repository that has a pair of commits, `main^` and `main`.
struct Place {
    directory: tempfile::TempDir,
    programs: [(&'static str, Program); 2],
    /// The mode of those who apply the deltas.
    client: &'static str,
    commits: [String; 2],
}

impl Place {
    fn new(ostree: Program, change: Change, dice: &mut Dice) -> Self {
        let directory = scratch();
        let at = directory.path();
        let with_xattrs = has_xattrs(at, "user.osier");
        let ready = |program: Program| {
            program.with("OSTREE_DUMMY_SIGN_ENABLED", "1").with("SOURCE_DATE_EPOCH", "5")
        };
        let programs = [("osier", ready(osier())), ("ostree", ready(ostree))];
        let repo = at.join("repo");
        osier().repo(&repo, ["init", "--mode=archive"]).success();
        let (first, second) = pair(change, dice);
        let commit = |tree: &Tree, time: &str| {
            build(tree, &at.join("tree"), with_xattrs);
            let tree = format!("--tree=dir={}", at.join("tree").display());
            let time = format!("--timestamp=@{time}");
            let owner: &[&str] = match with_xattrs {
                true => &["--owner-uid=0", "--owner-gid=0"],
                false => &["--canonical-permissions"],
            };
            let call = [&["commit", "-b", "main", &time, &tree], owner].concat();
            osier().repo(&repo, call).line()
        };
        let commits = [commit(&first, "1000"), commit(&second, "2000")];
        let client = if with_xattrs { "bare-user" } else { "bare-user-only" };
        // What every client has.
        let base = at.join("base");
        osier().repo(&base, ["init", &format!("--mode={client}")]).success();
        osier().repo(&base, ["pull-local", repo.to_str().unwrap(), &commits[0]]).success();
        Self { directory, programs, client, commits }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn id(&self) -> String {
        self.commits.join("-")
    }

    /// Lets a program make the delta in the repository; returns its directory.
    fn generate(&self, program: &Program, options: &[&str]) -> PathBuf {
        let _ = fs::remove_dir_all(self.path("repo/deltas"));
        let call = ["static-delta", "generate", "main"];
        program.repo(&self.path("repo"), [&call[..], options].concat()).success();
        let prefix = fs::read_dir(self.path("repo/deltas")).unwrap().next().unwrap();
        let delta = fs::read_dir(prefix.unwrap().path()).unwrap().next().unwrap();
        delta.unwrap().path()
    }

    /// Both programs print the same of the delta in the repository.
    fn compare(&self, call: &[&str], what: &str) {
        let [ours, theirs] = self.programs.each_ref().map(|(_, program)| {
            let output = program.repo(&self.path("repo"), call);
            format!("{}\n{}", output.status, String::from_utf8_lossy(&output.stdout))
        });
        let what = format!("{what}: {call:?}");
        assert_same_text(&what, ("ostree", theirs.as_bytes()), ("osier", ours.as_bytes()));
    }

    /// A program takes a client to the second commit; both find nothing wrong there.
    fn apply(&self, program: &Program, delta: &Path, what: &str) {
        let client = self.path("client");
        let _ = fs::remove_dir_all(&client);
        crate::support::copy_all(&self.path("base"), &client);
        let call = ["static-delta", "apply-offline", "--sign-type=dummy"];
        let arguments = [&call[..], &[delta.to_str().unwrap(), "key"]].concat();
        let output = program.repo(&client, arguments);
        assert_eq!(output.status, 0, "{what}: {output:?}");
        osier().repo(&client, ["refs", "--create=main", &self.commits[1]]).success();
        for (name, program) in &self.programs {
            let output = program.repo(&client, ["fsck", "--quiet"]);
            assert_eq!(output.status, 0, "{what}, checked by {name}: {output:?}");
        }
        let list = |repo: &str| {
            osier().repo(&self.path(repo), ["ls", "-RCX", &self.commits[1], "/"]).success()
        };
        assert_eq!(list("client"), list("repo"), "{what}");
    }
}

/// Options as a throw of dice has them.
fn options(dice: &mut Dice) -> Vec<&'static str> {
    let mut options = vec![["--set-endianness=l", "--set-endianness=B"][dice.below(2) as usize]];
    let optional: [&[&str]; 4] = [
        &["--disable-bsdiff"],
        &["--inline"],
        &["--sign-type=dummy", "--sign=key"],
        &["--max-bsdiff-size=0"],
    ];
    for option in optional {
        if dice.below(3) == 0 {
            options.extend(option);
        }
    }
    options
}

#[test]
fn each_program_applies_what_each_has_made_of_generated_pairs() {
    let Some(ostree) = ostree() else { return };
    let rounds = if long_tests() { 120 } else { 8 };
    for round in 0..rounds {
        let mut dice = Dice::new(round);
        let change = CHANGES[round as usize % CHANGES.len()];
        let place = Place::new(ostree.clone(), change, &mut dice);
        let options = options(&mut dice);
        let what = format!("pair {round}, {change:?}, {options:?}, {}", place.client);
        let mut shapes = Vec::new();
        for (maker, program) in &place.programs {
            let what = format!("{what}, made by {maker}");
            let delta = place.generate(program, &options);
            // The real program looks for inlined parts in files.
            if !options.contains(&"--inline") {
                place.compare(&["static-delta", "show", &place.id()], &what);
            }
            let verify = ["static-delta", "verify", "--sign-type=dummy", &place.id()];
            for key in ["key", "wrong"] {
                place.compare(&[&verify[..], &[key]].concat(), &what);
            }
            for (who, program) in &place.programs {
                place.apply(program, &delta, &format!("{what}, applied by {who}"));
            }
            shapes.push(shape(&delta).0);
        }
        assert!(shapes[0] == shapes[1], "{what}: {shapes:?}");
    }
}
