//! What an image contains, before anything but directories has been looked into.
//!
//! Entries are numbered from the root on, one depth after the other, in name order within a
//! directory; so the entries of a directory are adjacent. An image has some entries that the commit
//! has not: the directories that a system is mounted over, and in the root a whiteout for each name
//! that the store of file contents has, which overlayfs lays below.

use std::collections::btree_map::Entry as Place;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{DirTree, ObjectName, ObjectType};
use crate::repo::Repo;
use crate::repo::tree::{Node, check_object_depth, contains_itself};

/// The directories that libostree adds to the root if missing.
const ROOT_DIRECTORIES: [&str; 5] = ["usr", "etc", "boot", "var", "sysroot"];

/// More entries than any system has; directories that contain others many times over could have any
/// number.
const MAX_ENTRIES: usize = 1 << 21;
/// The longest name in bytes.
const MAX_NAME: usize = 255;

/// A file or directory.
pub(super) struct Entry {
    /// Its name in the directory that holds it; empty for the root.
    pub(super) name: Box<str>,
    /// The number of the entry that holds it; the root's own for the root.
    pub(super) parent: usize,
    pub(super) what: What,
}

pub(super) enum What {
    /// A directory of the commit, and the numbers of what it holds.
    Directory { dirtree: Checksum, dirmeta: Checksum, children: Range<usize> },
    /// An empty directory that the commit lacks.
    Added,
    /// A regular file or symlink.
    File(Checksum),
    /// Hides a name of what overlayfs lays below.
    Whiteout,
}

/// Lists everything below a root; the root comes first.
pub(super) fn outline(repo: &Repo, root: &Node) -> Result<Vec<Entry>> {
    let Node::Directory { dirtree, dirmeta } = *root else {
        return Err(Error::failed("Root checkout of composefs must be directory"));
    };
    let what = What::Directory { dirtree, dirmeta, children: 0..0 };
    let mut entries = vec![Entry { name: "".into(), parent: 0, what }];
    let mut number = 0;
    // How often each dirtree was found, and what depth the entries below which number have: depths
    // follow each other.
    let mut found_before: HashMap<Checksum, bool> = HashMap::new();
    let (mut depth, mut end_of_depth) = (0, 1);
    while let Some(entry) = entries.get(number) {
        if number == end_of_depth {
            (depth, end_of_depth) = (depth + 1, entries.len());
        }
        if let What::Directory { dirtree, .. } = entry.what {
            check_object_depth(depth, &dirtree)?;
            // What is in itself is found again, and looked at the first time that happens. A later
            // time ends at the depth.
            if let Some(is_known) = found_before.get_mut(&dirtree) {
                if !*is_known && ancestors(&entries, number).any(|above| *above == dirtree) {
                    return Err(contains_itself(&dirtree));
                }
                *is_known = true;
            } else {
                found_before.insert(dirtree, false);
            }
            let mut found = list(repo, &dirtree)?;
            if number == 0 {
                add_to_root(&mut found);
            }
            let first = entries.len();
            if first + found.len() > MAX_ENTRIES {
                return Err(Error::failed(format!(
                    "more than {MAX_ENTRIES} files and directories in one image"
                )));
            }
            entries.extend(found.into_iter().map(|(name, what)| Entry {
                name: name.into(),
                parent: number,
                what,
            }));
            let end = entries.len();
            if let What::Directory { children, .. } = &mut entries[number].what {
                *children = first..end;
            }
        }
        number += 1;
    }
    Ok(entries)
}

/// The dirtrees that an entry is in, from the one that holds it up to the root.
fn ancestors(entries: &[Entry], mut number: usize) -> impl Iterator<Item = &Checksum> {
    std::iter::from_fn(move || {
        if number == 0 {
            return None;
        }
        number = entries[number].parent;
        match &entries[number].what {
            What::Directory { dirtree, .. } => Some(dirtree),
            _ => None,
        }
    })
}

/// What is in a directory, by name.
fn list(repo: &Repo, dirtree: &Checksum) -> Result<BTreeMap<String, What>> {
    let DirTree { files, dirs } = repo.load_dirtree(dirtree)?;
    let files = files.into_iter().map(|(name, file)| (name, What::File(file)));
    let dirs = dirs.into_iter().map(|dir| {
        let what = What::Directory { dirtree: dir.dirtree, dirmeta: dir.dirmeta, children: 0..0 };
        (dir.name, what)
    });
    let mut found = BTreeMap::new();
    for (name, what) in files.chain(dirs) {
        if name.len() > MAX_NAME {
            return Err(Error::failed(match what {
                What::File(file) => format!("Processing {file}: File name too long"),
                _ => "lcfs_node_add_child: File name too long".to_owned(),
            }));
        }
        match found.entry(name) {
            Place::Vacant(place) => place.insert(what),
            Place::Occupied(place) => {
                let what = DecodeError::new(format!("two entries have the name '{}'", place.key()));
                return Err(what).of_object(ObjectName::new(*dirtree, ObjectType::DirTree));
            }
        };
    }
    Ok(found)
}

fn add_to_root(found: &mut BTreeMap<String, What>) {
    for name in ROOT_DIRECTORIES {
        found.entry(name.to_owned()).or_insert(What::Added);
    }
    for byte in 0..=u8::MAX {
        found.entry(format!("{byte:02x}")).or_insert(What::Whiteout);
    }
}
