//! Directory trees for the tests: made by proptest, built on disk.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use rustix::fs::XattrFlags;

use crate::support::is_root;

/// A directory with what is in it.
#[derive(Clone, Default)]
pub struct Tree {
    /// Of the directory itself.
    pub meta: Meta,
    /// By name.
    pub children: Vec<(String, Node)>,
}

/// One entry of a directory.
#[derive(Clone, Debug)]
pub enum Node {
    /// A regular file.
    File(Meta, Content),
    /// A symbolic link: owner, xattrs and the target.
    Symlink(Meta, String),
    /// Another name for one of the regular files built before; an ordinary empty file if there is
    /// none.
    HardLink(Index),
    /// A directory.
    Directory(Tree),
}

/// Owner, permissions and xattrs.
#[derive(Clone)]
pub struct Meta {
    /// The owning user, if not the one that builds the tree.
    pub uid: u32,
    /// The owning group.
    pub gid: u32,
    /// Permissions; a symlink has none of its own.
    pub mode: u32,
    /// Names and values.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Default for Meta {
    fn default() -> Self {
        Self { uid: 0, gid: 0, mode: 0o755, xattrs: Vec::new() }
    }
}

/// What is in a regular file.
#[derive(Clone, Debug)]
pub struct Content {
    /// In bytes.
    pub size: usize,
    /// What the bytes look like.
    pub kind: ContentKind,
    /// Files of equal size, kind and seed are equal.
    pub seed: u64,
}

/// How well a file compresses.
#[derive(Clone, Copy, Debug)]
pub enum ContentKind {
    /// All zero.
    Zeros,
    /// Lines of text.
    Text,
    /// Noise.
    Random,
    /// Text first, noise later: what a look at the beginning gets wrong.
    Mixed,
}

impl Content {
    /// The bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let noise_from = match self.kind {
            ContentKind::Zeros => return vec![0; self.size],
            ContentKind::Text => self.size,
            ContentKind::Random => 0,
            ContentKind::Mixed => self.size / 2,
        };
        let mut bytes = Vec::with_capacity(self.size + 64);
        let mut line = 0;
        while bytes.len() < noise_from {
            bytes.extend_from_slice(format!("{} line {line}\n", self.seed).as_bytes());
            line += 1;
        }
        bytes.truncate(noise_from);
        // Knuth's generator; its low bits are poor and so are not used.
        let mut state = self.seed.wrapping_mul(2).wrapping_add(1);
        while bytes.len() < self.size {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            bytes.extend_from_slice(&state.to_le_bytes()[4..]);
        }
        bytes.truncate(self.size);
        bytes
    }
}

impl fmt::Debug for Tree {
    /// One line for each entry, so that a failing tree can be read.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}", self.meta)?;
        for (name, node) in &self.children {
            let text = format!("{node:?}");
            writeln!(f, "    {name:?}: {}", text.trim_end().replace('\n', "\n    "))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o} {}:{}", self.mode, self.uid, self.gid)?;
        self.xattrs.iter().try_for_each(|(name, value)| match value.len() {
            length @ 21.. => write!(f, " {name}=({length} bytes)"),
            _ => write!(f, " {name}={}", value.escape_ascii()),
        })
    }
}

impl Tree {
    /// Makes the tree at `path`, which must not exist. Without root, owners and privileged xattrs
    /// are left out (the tests that need them say so by `needs_root`).
    pub fn build(&self, path: &Path) {
        let mut files = Vec::new();
        self.build_directory(path, &mut files);
    }

    fn build_directory(&self, path: &Path, files: &mut Vec<PathBuf>) {
        fs::create_dir(path).unwrap();
        for (name, node) in &self.children {
            let child = path.join(name);
            match node {
                Node::File(meta, content) => {
                    fs::write(&child, content.bytes()).unwrap();
                    meta.apply(&child);
                    files.push(child);
                }
                Node::Symlink(meta, target) => {
                    symlink(target, &child).unwrap();
                    meta.apply(&child);
                }
                Node::HardLink(index) if !files.is_empty() => {
                    fs::hard_link(index.get(files), &child).unwrap()
                }
                Node::HardLink(_) => fs::write(&child, b"").unwrap(),
                Node::Directory(tree) => tree.build_directory(&child, files),
            }
        }
        self.meta.apply(path);
    }

    /// The paths of all regular files below, `/a/b`, in no particular order.
    pub fn file_paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        for (name, node) in &self.children {
            match node {
                Node::File(..) | Node::HardLink(_) => paths.push(format!("/{name}")),
                Node::Directory(tree) => {
                    paths.extend(tree.file_paths().iter().map(|path| format!("/{name}{path}")))
                }
                Node::Symlink(..) => {}
            }
        }
        paths
    }
}

impl Meta {
    fn apply(&self, path: &Path) {
        let is_symlink = fs::symlink_metadata(path).unwrap().is_symlink();
        // In this order: changing the owner clears setuid bits and capabilities.
        if is_root() {
            std::os::unix::fs::lchown(path, Some(self.uid), Some(self.gid)).unwrap();
        }
        if !is_symlink {
            let needed = if is_root() { 0 } else { 0o700 };
            fs::set_permissions(path, fs::Permissions::from_mode(self.mode | needed)).unwrap();
        }
        for (name, value) in &self.xattrs {
            let privileged = !name.starts_with("user.");
            // The kernel keeps `user.` xattrs off symlinks.
            if (is_symlink && !privileged) || (privileged && !is_root()) {
                continue;
            }
            rustix::fs::lsetxattr(path, name.as_str(), value, XattrFlags::empty())
                .unwrap_or_else(|error| panic!("{name} of {}: {error}", path.display()));
        }
    }
}

/// Runs `test` on that many trees, always the same ones, and shrinks the first that fails.
#[track_caller]
pub fn for_trees<S: Strategy<Value = Tree>>(cases: u32, strategy: S, test: impl Fn(&Tree)) {
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 60, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let result = TestRunner::new_with_rng(config, rng).run(&strategy, |tree| {
        test(&tree);
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, tree)) => {
            panic!("{reason}\nsmallest tree that fails: {tree:?}")
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// Trees of every kind, of up to a few dozen entries mostly, with odd names, modes, owners, xattrs,
/// links and sizes.
pub fn trees() -> impl Strategy<Value = Tree> {
    prop_oneof![
        8 => mixed_tree(),
        1 => wide_tree(),
        1 => deep_tree(),
    ]
}

/// Small trees with every kind of entry.
pub fn mixed_tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        8 => (file_meta(), content()).prop_map(|(meta, content)| Node::File(meta, content)),
        3 => (link_meta(), target()).prop_map(|(meta, target)| Node::Symlink(meta, target)),
        2 => any::<Index>().prop_map(Node::HardLink),
        2 => directory_meta().prop_map(|meta| Node::Directory(Tree { meta, children: Vec::new() })),
    ];
    let node = leaf.prop_recursive(4, 40, 8, |inner| {
        (directory_meta(), btree_map(name(), inner, 0..8)).prop_map(|(meta, children)| {
            Node::Directory(Tree { meta, children: children.into_iter().collect() })
        })
    });
    (directory_meta(), btree_map(name(), node, 0..10))
        .prop_map(|(meta, children)| Tree { meta, children: children.into_iter().collect() })
}

/// One directory with up to 300 entries: file names and directory names around the framing offsets'
/// widths.
fn wide_tree() -> impl Strategy<Value = Tree> {
    (0_usize..300, 0_usize..40, 1_usize..60).prop_map(|(files, directories, name_length)| {
        let file = |number: usize| {
            let content =
                Content { size: number % 3, kind: ContentKind::Text, seed: number as u64 };
            let meta = Meta { mode: 0o644, ..Meta::default() };
            (format!("{number:0name_length$}"), Node::File(meta, content))
        };
        let directory = |number: usize| (format!("d{number}"), Node::Directory(Tree::default()));
        let children = (0..files).map(file).chain((0..directories).map(directory)).collect();
        Tree { meta: Meta::default(), children }
    })
}

/// A chain of directories.
fn deep_tree() -> impl Strategy<Value = Tree> {
    (1_usize..60, file_meta(), content()).prop_map(|(depth, meta, content)| {
        let bottom = Tree {
            meta: Meta::default(),
            children: vec![("bottom".to_owned(), Node::File(meta, content))],
        };
        (0..depth).fold(bottom, |below, level| Tree {
            meta: Meta::default(),
            children: vec![(format!("level {level}"), Node::Directory(below))],
        })
    })
}

/// Names that have broken something somewhere.
const ODD_NAMES: &[&str] = &[
    "a",
    "a-b",
    "a.b",
    "a b",
    "A",
    "Upper",
    "ä",
    "日本語",
    "😀",
    "-dash",
    "--repo=x",
    ".hidden",
    "...",
    "..a",
    "with 'single' and \"double\" quotes",
    "back\\slash",
    "tab\tand\nnewline",
    "\u{1b}[31m",
    "~",
    "#",
    "%s",
    "*?[",
    "\u{feff}bom",
    "e\u{301}",
    "\u{202e}rtl",
    "trailing ",
    " leading",
    "usr",
    "etc",
    "vmlinuz",
    "x=y",
    "@",
    ":",
];

/// Names that the format allows: valid UTF-8, anything but `/` and NUL, at most 255 bytes.
pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "[a-z]{1,8}",
        4 => select(ODD_NAMES).prop_map(str::to_owned),
        1 => (120_usize..=255).prop_map(|length| "n".repeat(length)),
        2 => "[^/\0]{1,20}".prop_filter("not special", |name| name != "." && name != ".." && name.len() <= 255),
    ]
}

fn content() -> impl Strategy<Value = Content> {
    let limits: Vec<usize> =
        [0, 1, 127, 128, 255, 256, 4096, 16384, 32768, 65536, 131_072, 262_144]
            .iter()
            .flat_map(|size: &usize| [size.saturating_sub(1), *size, size + 1])
            .collect();
    let size = prop_oneof![6 => 0_usize..600, 6 => select(limits), 1 => 300_000_usize..1_200_000];
    let kind = select(vec![
        ContentKind::Text,
        ContentKind::Random,
        ContentKind::Zeros,
        ContentKind::Mixed,
    ]);
    // Few seeds, so that equal files come up.
    (size, kind, 0_u64..4).prop_map(|(size, kind, seed)| Content { size, kind, seed })
}

/// Targets of symlinks, some about as long as makes the header change its offset width.
fn target() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-z./]{1,20}",
        2 => select(vec!["/", ".", "..", "../nowhere/ünicode", "/usr/bin/hello", "with space\nand \
            newline"])
            .prop_map(str::to_owned),
        2 => (210_usize..260).prop_map(|length| "t".repeat(length)),
        1 => select(vec![1000, 4000]).prop_map(|length: usize| "t".repeat(length)),
    ]
}

fn owner() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => Just(0),
        2 => select(vec![1, 1000, 65534, 65536, 4_294_967_294]),
        1 => 0..u32::MAX
    ]
}

fn file_meta() -> impl Strategy<Value = Meta> {
    let usual =
        select(vec![0o644, 0o755, 0o600, 0o640, 0o444, 0o555, 0, 0o4755, 0o2755, 0o6711, 0o1644]);
    meta(prop_oneof![6 => usual, 1 => 0_u32..0o10000].boxed())
}

fn directory_meta() -> impl Strategy<Value = Meta> {
    let usual = select(vec![0o755, 0o700, 0o1777, 0o2775, 0o750, 0o555]);
    meta(prop_oneof![6 => usual, 1 => 0_u32..0o10000].boxed())
}

fn link_meta() -> impl Strategy<Value = Meta> {
    meta(Just(0o777).boxed())
}

fn meta(mode: BoxedStrategy<u32>) -> impl Strategy<Value = Meta> {
    let xattrs = prop_oneof![4 => Just(Vec::new()), 1 => vec(xattr(), 1..4)];
    (owner(), owner(), mode, xattrs).prop_map(|(uid, gid, mode, xattrs)| Meta {
        uid,
        gid,
        mode,
        xattrs,
    })
}

fn xattr() -> impl Strategy<Value = (String, Vec<u8>)> {
    let name = prop_oneof![
        3 => "(user|trusted)\\.[a-z]{1,6}",
        1 => select(vec!["user.ä", "user.Z", "user.a.b", "user.a-b", "security.osier"]).prop_map(str::to_owned),
    ];
    // An empty value is dropped on reading; the longer ones are around the offset width of the
    // header.
    let value = prop_oneof![
        1 => Just(Vec::new()),
        4 => vec(any::<u8>(), 1..20),
        2 => (180_usize..260).prop_map(|length| vec![b'v'; length]),
    ];
    (name, value)
}

#[test]
fn the_generated_trees_hold_every_kind_of_entry() {
    let kinds = RefCell::new([0_usize; 6]);
    for_trees(60, trees(), |tree| count_kinds(tree, &mut kinds.borrow_mut()));
    assert!(kinds.borrow().iter().all(|seen| *seen >= 10), "{kinds:?}");
}

fn count_kinds(tree: &Tree, kinds: &mut [usize; 6]) {
    for (_, node) in &tree.children {
        match node {
            Node::File(meta, content) => {
                kinds[0] += 1;
                kinds[1] += usize::from(!meta.xattrs.is_empty());
                kinds[2] += usize::from(content.size > 65536);
            }
            Node::Symlink(..) => kinds[3] += 1,
            Node::HardLink(_) => kinds[4] += 1,
            Node::Directory(below) => {
                kinds[5] += 1;
                count_kinds(below, kinds);
            }
        }
    }
}
