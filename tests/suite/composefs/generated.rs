//! Trees of every sort of entry that an image treats in its own way, the same on each run.

use std::collections::BTreeMap;
use std::path::Path;

use osier::Checksum;
use osier::gvariant::Dict;
use osier::object::{Commit, DirEntry, DirMeta, DirTree, FileHeader, ObjectType, Xattrs};
use osier::repo::{Repo, RepoMode, Transaction};

/// A file or directory of a commit.
pub enum Item {
    Directory(DirMeta, BTreeMap<String, Item>),
    File(FileHeader, Vec<u8>),
}

/// Numbers that look like chance.
pub struct Chance(u64);

impl Chance {
    /// A number below `limit`.
    fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }

    fn of<T: Clone>(&mut self, choice: &[T]) -> T {
        choice[self.below(choice.len())].clone()
    }

    fn one_in(&mut self, number: usize) -> bool {
        self.below(number) == 0
    }

    fn name(&mut self) -> String {
        match self.below(6) {
            // As the whiteouts of the root.
            0 => format!("{:02x}", self.below(256)),
            // Before and behind `.` and `..`.
            1 => format!(
                "{}{}",
                self.of(&["!", "-", "..x", ".x", "~", "ä", "日", "a.", "a-"]),
                self.below(30)
            ),
            2 => self.of(&["x", "Y"]).repeat(1 + self.below(255)),
            3 => self.of(&["etc", "usr", "var", "boot", "sysroot", "opt"]).to_owned(),
            _ => format!("{}-{}", self.of(&["file", "lib", "z"]), self.below(100_000)),
        }
    }

    fn xattrs(&mut self) -> Xattrs {
        const NAMES: [&str; 14] = [
            "user.a",
            "user.b",
            "user.",
            "security.selinux",
            "security.capability",
            "trusted.overlay.redirect",
            "trusted.overlay.overlay.metacopy",
            "trusted.overlay.",
            "trusted.other",
            "user.overlay.opaque",
            "system.posix_acl_access",
            "system.posix_acl_default",
            "system.posix_acl_accessory",
            "no-prefix",
        ];
        let mut xattrs = BTreeMap::new();
        for _ in 0..self.of(&[0, 0, 1, 2, 5]) {
            let name = match self.one_in(20) {
                true => format!("user.{}", "n".repeat(1 + self.below(250))),
                false => self.of(&NAMES).to_owned(),
            };
            let value = match self.below(8) {
                0 => vec![b'v'; self.of(&[200, 900, 1500])],
                1 => Vec::new(),
                2 => vec![0, 0xff, self.below(256) as u8],
                _ => format!("value-{}", self.below(5)).into_bytes(),
            };
            xattrs.insert(name.into_bytes(), value);
        }
        Xattrs::from_pairs(xattrs.into_iter().collect()).unwrap()
    }

    fn owner(&mut self) -> u32 {
        self.of(&[0, 0, 0, 1000, 65_535, 65_536, u32::MAX - 1])
    }

    fn dirmeta(&mut self) -> DirMeta {
        let mode = 0o040_000 | self.of(&[0o755, 0o700, 0o1777, 0o2775]);
        DirMeta { uid: self.owner(), gid: self.owner(), mode, xattrs: self.xattrs() }
    }

    fn item(&mut self, depth: usize, left: &mut usize) -> Item {
        *left = left.saturating_sub(1);
        match self.below(10) {
            0..3 if depth < 8 => self.directory(depth, left),
            3 | 4 => {
                let target = "t".repeat(self.of(&[1, 8, 31, 32, 33, 100, 700, 2000]));
                let header = self.header(0o120_777, target);
                // libcomposefs 1.0 aborts where a target does not fit behind its inode.
                Item::File(
                    FileHeader {
                        xattrs: if header.symlink_target.len() > 700 {
                            Xattrs::new()
                        } else {
                            header.xattrs
                        },
                        ..header
                    },
                    Vec::new(),
                )
            }
            _ => {
                let mode = 0o100_000 | self.of(&[0o644, 0o755, 0o4755, 0]);
                let length = self.of(&[0, 1, 5, 4096, 4097, 10_000]);
                let content = (0..length).map(|_| b'a' + self.below(3) as u8 % 3).collect();
                Item::File(self.header(mode, String::new()), content)
            }
        }
    }

    fn header(&mut self, mode: u32, symlink_target: String) -> FileHeader {
        FileHeader {
            uid: self.owner(),
            gid: self.owner(),
            mode,
            symlink_target,
            xattrs: self.xattrs(),
        }
    }

    fn directory(&mut self, depth: usize, left: &mut usize) -> Item {
        let count = if depth == 0 { *left } else { self.of(&[0, 1, 3, 30, 200]).min(*left) };
        let dirmeta = self.dirmeta();
        let mut items = BTreeMap::new();
        for _ in 0..count {
            if *left == 0 {
                break;
            }
            items.insert(self.name(), self.item(depth + 1, left));
        }
        Item::Directory(dirmeta, items)
    }
}

/// A tree of about `size` entries.
pub fn generate(seed: u64, size: usize) -> Item {
    Chance(seed).directory(0, &mut size.clone())
}

/// Makes an archive with one commit, of this tree.
pub fn store(path: &Path, root: &Item) -> (Repo, Checksum) {
    let repo = Repo::create(path, RepoMode::Archive, None).unwrap();
    let mut transaction = Transaction::begin(&repo).unwrap();
    let (root_dirtree, root_dirmeta) = write_directory(&transaction, root);
    let commit = Commit {
        metadata: Dict::new(),
        parent: None,
        related: Vec::new(),
        subject: String::new(),
        body: String::new(),
        timestamp: 1,
        root_dirtree,
        root_dirmeta,
    };
    let commit = transaction.write_metadata(ObjectType::Commit, &commit.encode()).unwrap();
    transaction.set_ref(osier::refspec::Refspec::parse("main").unwrap(), Some(commit));
    transaction.commit().unwrap();
    (repo, commit)
}

fn write_directory(transaction: &Transaction<'_>, item: &Item) -> (Checksum, Checksum) {
    let Item::Directory(dirmeta, items) = item else { panic!("not a directory") };
    let mut dirtree = DirTree::default();
    for (name, item) in items {
        match item {
            Item::File(header, content) => {
                dirtree
                    .files
                    .push((name.clone(), transaction.write_bytes(header, content).unwrap()));
            }
            Item::Directory(..) => {
                let (dirtree_of, dirmeta) = write_directory(transaction, item);
                dirtree.dirs.push(DirEntry { name: name.clone(), dirtree: dirtree_of, dirmeta });
            }
        }
    }
    let dirmeta = transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode()).unwrap();
    (transaction.write_metadata(ObjectType::DirTree, &dirtree.encode()).unwrap(), dirmeta)
}
