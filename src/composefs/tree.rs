//! The inodes of an image, made from the directories and files of a commit.

use std::collections::hash_map::Entry as Place;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use super::FileDigests;
use super::outline::{Entry, What, outline};
use super::verity::VerityHasher;
use super::xattrs::{Pool, Table, XattrId};
use crate::checksum::Checksum;
use crate::error::{Context, Error, Result};
use crate::object::{DirMeta, FileHeader, ObjectName, ObjectType, S_IFCHR, S_IFDIR, Xattrs};
use crate::progress::{Event, Progress};
use crate::repo::tree::Node;
use crate::repo::{Repo, RepoMode, loose_path};
use crate::threads;

/// The longest target of a symlink in bytes.
const MAX_TARGET: usize = 4095;
/// The longest name of an xattr in bytes.
const MAX_XATTR_NAME: usize = 255;
/// Bytes that the xattrs of a file may take in a commit, where each counts [`XATTR_OVERHEAD`]
/// besides name and value.
const MAX_XATTRS_SIZE: usize = 32_755;
const XATTR_OVERHEAD: usize = 7;

/// Where overlayfs finds the content of a regular file, from the root of the store.
const REDIRECT: &[u8] = b"trusted.overlay.redirect";
/// Marks that its content is there, with its required digest.
const METACOPY: &[u8] = b"trusted.overlay.metacopy";
/// Marks a directory as opaque.
const OPAQUE: &[u8] = b"trusted.overlay.opaque";
/// The prefix of names reserved by overlayfs. Those in the commit are escaped to longer names,
/// which overlayfs maps back.
const RESERVED: &[u8] = b"trusted.overlay.";
const ESCAPED: &[u8] = b"trusted.overlay.overlay.";
const LABEL: &[u8] = b"security.selinux";

/// Xattrs by name, so that of two with the same name the later one counts.
type XattrMap = BTreeMap<Vec<u8>, Vec<u8>>;

/// The inodes of an image and their xattrs.
pub(super) struct Tree {
    /// In the order of [`outline`].
    pub(super) inodes: Vec<Inode>,
    pub(super) xattrs: Table,
}

/// A file of an image.
pub(super) struct Inode {
    /// Its name in the directory that holds it; empty for the root.
    pub(super) name: Box<str>,
    /// The number of the inode that holds it; the root's own for the root.
    pub(super) parent: usize,
    pub(super) kind: Kind,
    /// Type and permissions.
    pub(super) mode: u32,
    /// The owner.
    pub(super) uid: u32,
    /// The group.
    pub(super) gid: u32,
    /// In name order.
    pub(super) xattrs: Vec<XattrId>,
}

/// What an inode is.
pub(super) enum Kind {
    /// A directory, with the numbers of what it holds.
    Directory(Range<usize>),
    /// A regular file of this many bytes, stored elsewhere.
    Regular(u64),
    /// A symlink with its target.
    Symlink(String),
    /// A whiteout.
    Whiteout,
}

impl Tree {
    /// Reads everything below a root. The content of files is read only if their digests are
    /// wanted.
    pub(super) fn load(
        repo: &Repo,
        root: &Node,
        digests: FileDigests,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let entries = outline(repo, root)?;
        let files = load_files(repo, &entries, digests, progress)?;
        let mut builder =
            Builder { files, dirmetas: load_dirmetas(repo, &entries)?, pool: Pool::default() };
        let root = builder.root_facts(&entries);
        let mut inodes = entries
            .into_iter()
            .map(|entry| builder.inode(entry, &root))
            .collect::<Result<Vec<_>>>()?;
        let xattrs = builder.pool.finish();
        for inode in &mut inodes {
            xattrs.sort(&mut inode.xattrs);
        }
        Ok(Self { inodes, xattrs })
    }
}

/// The properties of a file object.
struct FileFacts {
    header: FileHeader,
    /// Bytes of content.
    size: u64,
    /// Of content that there is, if it is wanted.
    digest: Option<Checksum>,
}

/// Reads each file once, on all processors.
fn load_files(
    repo: &Repo,
    entries: &[Entry],
    digests: FileDigests,
    progress: &dyn Progress,
) -> Result<HashMap<Checksum, FileFacts>> {
    let mut seen = HashSet::new();
    let mut files = Vec::new();
    for entry in entries {
        if let What::File(file) = entry.what
            && seen.insert(file)
        {
            files.push(file);
        }
    }
    progress.event(Event::Started { task: "composefs", total: Some(files.len() as u64) });
    let first_failed = AtomicUsize::new(usize::MAX);
    let load = |(index, file): (usize, &Checksum)| -> Option<Result<(Checksum, FileFacts)>> {
        // What comes before an error is still read, so that the first error is always the same one.
        if index > first_failed.load(Ordering::Relaxed) {
            return None;
        }
        let loaded = load_file(repo, file, digests).context(|| format!("Processing {file}"));
        match &loaded {
            Ok(FileFacts { size, digest, .. }) => {
                let bytes = if digest.is_some() { *size } else { 0 };
                progress.event(Event::Advanced { steps: 1, bytes });
            }
            Err(_) => {
                first_failed.fetch_min(index, Ordering::Relaxed);
            }
        }
        Some(loaded.map(|facts| (*file, facts)))
    };
    let loaded: Vec<_> =
        threads::run(|| Ok(files.par_iter().enumerate().filter_map(load).collect()))?;
    progress.event(Event::Finished);
    loaded.into_iter().collect()
}

fn load_file(repo: &Repo, file: &Checksum, digests: FileDigests) -> Result<FileFacts> {
    let object = repo.load_file(file)?;
    let mut facts = FileFacts { header: object.header.clone(), size: object.size, digest: None };
    if facts.header.symlink_target.len() > MAX_TARGET {
        return Err(Error::failed("File name too long"));
    }
    if digests == FileDigests::Recorded && !facts.header.is_symlink() && facts.size > 0 {
        let mut hasher = VerityHasher::new();
        object.read_chunks(&mut |chunk| {
            hasher.update(chunk);
            Ok(())
        })?;
        facts.digest = Some(hasher.finish());
    }
    Ok(facts)
}

/// Reads the metadata of each directory once.
fn load_dirmetas(repo: &Repo, entries: &[Entry]) -> Result<HashMap<Checksum, DirMeta>> {
    let mut dirmetas = HashMap::new();
    for entry in entries {
        if let What::Directory { dirmeta, .. } = entry.what
            && let Place::Vacant(place) = dirmetas.entry(dirmeta)
        {
            place.insert(repo.load_dirmeta(&dirmeta)?);
        }
    }
    Ok(dirmetas)
}

/// Turns entries into inodes.
struct Builder {
    files: HashMap<Checksum, FileFacts>,
    dirmetas: HashMap<Checksum, DirMeta>,
    pool: Pool,
}

/// What the whiteouts take over from the root.
struct RootFacts {
    uid: u32,
    gid: u32,
    label: Option<Vec<u8>>,
}

impl Builder {
    fn root_facts(&self, entries: &[Entry]) -> RootFacts {
        let dirmeta = match entries.first() {
            Some(Entry { what: What::Directory { dirmeta, .. }, .. }) => self.dirmetas.get(dirmeta),
            _ => None,
        };
        dirmeta.map_or(RootFacts { uid: 0, gid: 0, label: None }, |dirmeta| RootFacts {
            uid: dirmeta.uid,
            gid: dirmeta.gid,
            label: dirmeta.xattrs.get(LABEL).map(<[u8]>::to_vec),
        })
    }

    fn inode(&mut self, entry: Entry, root: &RootFacts) -> Result<Inode> {
        let Entry { name, parent, what } = entry;
        let (kind, mode, uid, gid, xattrs) = match what {
            What::Directory { dirmeta, children, .. } => {
                let DirMeta { mode, uid, gid, xattrs } = &self.dirmetas[&dirmeta];
                let mut xattrs = escaped(xattrs)?;
                if name.is_empty() {
                    xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
                }
                (Kind::Directory(children), *mode, *uid, *gid, xattrs)
            }
            What::Added => (Kind::Directory(0..0), S_IFDIR | 0o755, 0, 0, XattrMap::new()),
            What::File(file) => {
                let FileFacts { header, size, digest } = &self.files[&file];
                let mut xattrs =
                    escaped(&header.xattrs).context(|| format!("Processing {file}"))?;
                let kind = if header.is_symlink() {
                    Kind::Symlink(header.symlink_target.clone())
                } else {
                    if *size > 0 {
                        xattrs.insert(REDIRECT.to_vec(), redirect(file));
                        xattrs.insert(
                            METACOPY.to_vec(),
                            digest.as_ref().map(metacopy).unwrap_or_default(),
                        );
                    }
                    Kind::Regular(*size)
                };
                (kind, header.mode, header.uid, header.gid, xattrs)
            }
            What::Whiteout => {
                let label = root.label.iter().map(|label| (LABEL.to_vec(), label.clone()));
                (Kind::Whiteout, S_IFCHR | 0o644, root.uid, root.gid, label.collect())
            }
        };
        let xattrs = xattrs.into_iter().map(|(name, value)| self.pool.add(name, value)).collect();
        Ok(Inode { name, parent, kind, mode, uid, gid, xattrs })
    }
}

/// The xattrs of a file as the image has them.
fn escaped(xattrs: &Xattrs) -> Result<XattrMap> {
    let mut escaped = XattrMap::new();
    let mut size = 0;
    for (name, value) in xattrs.iter() {
        size += name.len() + value.len() + XATTR_OVERHEAD;
        if name.len() > MAX_XATTR_NAME || size > MAX_XATTRS_SIZE {
            let name = String::from_utf8_lossy(name);
            let message =
                format!("Setting composefs xattrs for {name}: Numerical result out of range");
            return Err(Error::failed(message));
        }
        let name = match name.strip_prefix(RESERVED) {
            Some(rest) => [ESCAPED, rest].concat(),
            None => name.to_vec(),
        };
        escaped.insert(name, value.to_vec());
    }
    Ok(escaped)
}

/// The path of a file's content in the repository of a booted system, which is a bare one whatever
/// this one is.
fn redirect(file: Checksum) -> Vec<u8> {
    format!("/{}", loose_path(&ObjectName::new(file, ObjectType::File), RepoMode::Bare))
        .into_bytes()
}

/// The digest as overlayfs wants it: version 0, the length of everything, no flags, SHA-256, the
/// digest itself.
fn metacopy(digest: &Checksum) -> Vec<u8> {
    [&[0, 36, 0, 1], &digest.as_bytes()[..]].concat()
}
