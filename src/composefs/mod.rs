//! composefs images: a commit as one file that the kernel can mount, with the content of its files
//! elsewhere.
//!
//! The image is an EROFS file system with all directories, symlinks and metadata. Its regular files
//! are holes, with overlayfs xattrs that name the object of a bare repository with their content
//! and the fs-verity digest it must have. So the fs-verity digest of the image vouches for the
//! whole tree; a commit can name it in its metadata, under [`DIGEST_KEY`]. Images are byte for byte
//! those of libcomposefs 1.0 in the way that libostree uses it (docs/format.md, section 17).
//!
//! ```text
//! outline  a commit's tree -> what is in the image, in its order
//! tree     -> inodes; files are read here, if their digests are wanted
//! xattrs   the inodes' xattrs, equal ones once
//! layout   positions in the image
//! image    -> bytes
//! verity   bytes -> digest
//! ```
//!
//! Only names and metadata are held in memory; images are made piece by piece.

mod image;
mod layout;
mod outline;
mod tree;
mod verity;
mod xattrs;

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::path::Path;

use rustix::fs::{Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::dir::{self, Dir};
use crate::error::{Context, During, Error, Result};
use crate::object::Commit;
use crate::progress::Progress;
use crate::repo::Repo;
use crate::repo::tree::Node;

use tree::Tree;

pub use verity::VerityHasher;

/// The key in a commit's metadata of the digest of its image, an `ay` of 32 bytes.
pub const DIGEST_KEY: &str = "ostree.composefs.digest.v0";

/// The mode of image files, regardless of the umask.
const IMAGE_MODE: Mode = Mode::from_raw_mode(0o644);

/// Whether an image has the fs-verity digests of file contents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileDigests {
    /// It has. The content of each file is read to compute them.
    #[default]
    Recorded,
    /// It has not: its own digest then covers metadata only.
    Omitted,
}

/// How an image is checked out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// Whether it has the digests of files.
    pub digests: FileDigests,
    /// Sync the file before it gets its name.
    pub fsync: bool,
}

/// Computes the digest of the image of a tree, with the digests of files in it; this is what
/// [`DIGEST_KEY`] names.
///
/// # Errors
/// When an object cannot be read; when the tree has something that an image cannot represent, such
/// as names of more than 255 bytes.
pub fn image_digest(repo: &Repo, root: &Node, progress: &dyn Progress) -> Result<Checksum> {
    write_image(repo, root, FileDigests::Recorded, &mut |_| Ok(()), progress)
}

/// Writes the image of a commit to a file, replacing what has its name, and returns the image's
/// digest. An image with the digests of files must have the digest that the commit names, if it
/// names one.
///
/// # Errors
/// As [`image_digest`]; when the file cannot be written or the digest is another. There is no file
/// then, or still the one that was there.
pub fn checkout_image(
    repo: &Repo,
    commit: &Checksum,
    destination: &Path,
    options: &ImageOptions,
    progress: &dyn Progress,
) -> Result<Checksum> {
    let commit = repo.load_commit(commit)?;
    let expected = match options.digests {
        FileDigests::Recorded => expected_digest(&commit)?,
        FileDigests::Omitted => None,
    };
    let mut unfinished = Unfinished::create(destination)?;
    let mut write = |bytes: &[u8]| unfinished.file.write_all(bytes).during("writing", destination);
    let digest = write_image(repo, &Node::root_of(&commit), options.digests, &mut write, progress)?;
    if let Some(expected) = expected.filter(|expected| *expected != digest) {
        let message = format!(
            "Generated composefs image digest ({digest}) doesn't match expected digest ({expected})"
        );
        return Err(Error::failed(message));
    }
    if options.fsync {
        unfinished.file.sync_all().during("syncing", destination)?;
    }
    unfinished.finish(destination)?;
    Ok(digest)
}

fn write_image(
    repo: &Repo,
    root: &Node,
    digests: FileDigests,
    sink: &mut image::Sink<'_>,
    progress: &dyn Progress,
) -> Result<Checksum> {
    let tree = Tree::load(repo, root, digests, progress)
        .context(|| "Checking out composefs".to_owned())?;
    let mut hasher = VerityHasher::new();
    image::write(&tree, &mut |bytes| {
        hasher.update(bytes);
        sink(bytes)
    })?;
    Ok(hasher.finish())
}

/// The digest that a commit names; upstream ignores one that is not a byte string.
fn expected_digest(commit: &Commit) -> Result<Option<Checksum>> {
    let Some(value) = commit.metadata.get(DIGEST_KEY).filter(|value| value.type_string() == "ay")
    else {
        return Ok(None);
    };
    match Checksum::from_slice(value.view().as_bytes().unwrap_or_default()) {
        Some(digest) => Ok(Some(digest)),
        None => Err(Error::failed("Expected composefs fs-verity in metadata has the wrong size")),
    }
}

/// A file next to its destination, which is removed unless it is finished.
struct Unfinished {
    file: File,
    directory: Dir,
    /// In the directory, until it is finished.
    name: Option<OsString>,
}

impl Unfinished {
    fn create(destination: &Path) -> Result<Self> {
        let Some(name) = destination.file_name() else {
            return Err(Error::failed(format!(
                "{} is not the name of a file",
                destination.display()
            )));
        };
        let (directory, _) = Dir::open_parent(destination).during("creating", destination)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        let process = rustix::process::getpid().as_raw_nonzero();
        let mut number = 0_u64;
        loop {
            let mut unfinished = OsString::from(".");
            unfinished.push(name);
            unfinished.push(format!(".{process}-{number}"));
            match dir::open(&directory, &unfinished, flags, Mode::from_raw_mode(0o600)) {
                Ok(file) => return Ok(Self { file, directory, name: Some(unfinished) }),
                Err(Errno::EXIST) => number += 1,
                Err(error) => return Err(error).during("creating", destination),
            }
        }
    }

    /// Gives the file its mode and name.
    fn finish(mut self, destination: &Path) -> Result<()> {
        rustix::fs::fchmod(&self.file, IMAGE_MODE).calling("fchmod", destination)?;
        if let (Some(name), Some(last)) = (&self.name, destination.file_name()) {
            let (from, to) = ((&self.directory, name), (&self.directory, last));
            dir::rename(from, to, RenameFlags::empty()).calling("renameat", destination)?;
        }
        self.name = None;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // There is an error already, or a panic.
            let _ = dir::remove_file(&self.directory, name);
        }
    }
}
