//! Generated repositories of any size: many small objects, many refs, long histories.
//!
//! They are written through the library, so they equal a user's repository, and are the same each
//! time.

use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::gvariant::Dict;
use crate::object::{Commit, DirEntry, DirMeta, DirTree, FileHeader, ObjectType, Xattrs};
use crate::progress::Progress;
use crate::refspec::{RefName, Refspec};
use crate::repo::{OpenOptions, Repo, RepoMode, Transaction};
use crate::threads;
use crate::trial::check_interrupt;

/// Files in each directory of a synthetic tree.
const FILES_PER_DIRECTORY: u64 = 1000;

/// Folders that many refs are spread over.
const REF_FOLDERS: usize = 20;

/// A root directory: its dirtree and its dirmeta.
pub(super) type Root = (Checksum, Checksum);

/// Creates an archive with this many objects, half of which (rounded down) only a commit without a
/// ref needs. The branch has the name used by the comparing benchmark.
pub(super) fn write_prunable(
    path: &Path,
    objects: u64,
    branch: &str,
    progress: &dyn Progress,
) -> Result<()> {
    let repo = create(path)?;
    let mut transaction = Transaction::begin(&repo)?;
    let kept = write_objects(&transaction, 0..objects.div_ceil(2), "kept", progress)?;
    write_objects(&transaction, objects.div_ceil(2)..objects, "unreachable", progress)?;
    transaction.set_ref(local(branch)?, Some(kept));
    transaction.commit()?;
    Ok(())
}

/// Adds this many refs to an archive, in a few folders, each to a separate commit on top of the
/// branch. Creating them one command at a time would take minutes.
pub(super) fn write_refs(path: &Path, branch: &str, refs: usize) -> Result<()> {
    let repo = Repo::open_with(path, &unsynced())?;
    let parent = repo.resolve_rev(branch)?;
    let commit = repo.load_commit(&parent)?;
    let mut transaction = Transaction::begin(&repo)?;
    for number in 0..refs {
        let commit = Commit {
            parent: Some(parent),
            subject: format!("Commit of ref {number}"),
            ..commit.clone()
        };
        let checksum = transaction.write_metadata(ObjectType::Commit, &commit.encode())?;
        transaction
            .set_ref(local(&format!("group{}/ref{number}", number % REF_FOLDERS))?, Some(checksum));
    }
    transaction.commit()?;
    Ok(())
}

/// Creates an archive that is written without syncing.
pub(super) fn create(path: &Path) -> Result<Repo> {
    Repo::create_with(path, RepoMode::Archive, None, &unsynced())
}

/// Without syncing: the repository is discarded after measuring.
fn unsynced() -> OpenOptions {
    OpenOptions { disable_fsync: true, ..OpenOptions::default() }
}

/// Writes a commit with as many objects as the range has numbers: the commit itself, those of its
/// directories, and files for the rest. The numbers make the files differ from those of other
/// ranges.
pub(super) fn write_objects(
    transaction: &Transaction<'_>,
    numbers: Range<u64>,
    subject: &str,
    progress: &dyn Progress,
) -> Result<Checksum> {
    let root = write_files(transaction, files_among(numbers), progress)?;
    write_commit(transaction, root, None, subject)
}

/// The numbers of the range that are files, when its other objects are a commit, a dirmeta, the
/// root's dirtree and a dirtree for each directory.
fn files_among(numbers: Range<u64>) -> Range<u64> {
    let objects = numbers.end.saturating_sub(numbers.start);
    let files_and_dirtrees = objects.saturating_sub(3);
    let dirtrees = files_and_dirtrees.div_ceil(FILES_PER_DIRECTORY + 1);
    numbers.start..numbers.start + files_and_dirtrees.saturating_sub(dirtrees)
}

/// Writes small files, in directories that are not too large.
pub(super) fn write_files(
    transaction: &Transaction<'_>,
    numbers: Range<u64>,
    progress: &dyn Progress,
) -> Result<Root> {
    let dirmeta = write_dirmeta(transaction)?;
    let directories = numbers.end.saturating_sub(numbers.start).div_ceil(FILES_PER_DIRECTORY);
    let dirs = (0..directories).into_par_iter().map(|directory| {
        let first = numbers.start + directory * FILES_PER_DIRECTORY;
        let files = first..numbers.end.min(first + FILES_PER_DIRECTORY);
        let dirtree = write_directory(transaction, files, progress)?;
        Ok(DirEntry { name: format!("directory-{directory:06}"), dirtree, dirmeta })
    });
    let root = DirTree { files: Vec::new(), dirs: threads::run(|| dirs.collect())? };
    Ok((transaction.write_metadata(ObjectType::DirTree, &root.encode())?, dirmeta))
}

/// Writes one directory with a small file for each number.
pub(super) fn write_directory(
    transaction: &Transaction<'_>,
    numbers: Range<u64>,
    progress: &dyn Progress,
) -> Result<Checksum> {
    let header = FileHeader {
        uid: 0,
        gid: 0,
        mode: 0o100_644,
        symlink_target: String::new(),
        xattrs: Xattrs::new(),
    };
    let files = numbers.into_par_iter().map(|number| {
        check_interrupt(progress)?;
        let content = format!("This is file number {number} of a synthetic repository.\n");
        Ok((format!("file-{number:08}"), transaction.write_bytes(&header, content.as_bytes())?))
    });
    let dirtree = DirTree { files: threads::run(|| files.collect())?, dirs: Vec::new() };
    transaction.write_metadata(ObjectType::DirTree, &dirtree.encode())
}

/// The metadata of every synthetic directory.
pub(super) fn write_dirmeta(transaction: &Transaction<'_>) -> Result<Checksum> {
    let dirmeta = DirMeta { uid: 0, gid: 0, mode: 0o040_755, xattrs: Xattrs::new() };
    transaction.write_metadata(ObjectType::DirMeta, &dirmeta.encode())
}

/// Writes a commit of the time 1.
pub(super) fn write_commit(
    transaction: &Transaction<'_>,
    (root_dirtree, root_dirmeta): Root,
    parent: Option<Checksum>,
    subject: &str,
) -> Result<Checksum> {
    let commit = Commit {
        metadata: Dict::new(),
        parent,
        related: Vec::new(),
        subject: subject.to_owned(),
        body: String::new(),
        timestamp: 1,
        root_dirtree,
        root_dirmeta,
    };
    transaction.write_metadata(ObjectType::Commit, &commit.encode())
}

/// The refspec of a local branch.
pub(super) fn local(branch: &str) -> Result<Refspec> {
    Ok(Refspec { remote: None, name: RefName::parse(branch)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;
    use crate::prune::{Depth, PruneOptions, Roots, prune};

    #[test]
    fn a_prunable_repository_has_the_objects_that_were_asked_for() {
        for objects in [10, 2007] {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("repo");
            write_prunable(&path, objects, "main", &Silent).unwrap();
            let repo = Repo::open(&path).unwrap();
            // Both commits have the same dirmeta.
            assert_eq!(repo.list_objects().unwrap().len() as u64, objects - 1, "{objects}");
            let options =
                PruneOptions { roots: Roots::Refs(Depth::Unlimited), ..PruneOptions::default() };
            let stats = prune(&repo, &options, &Silent).unwrap();
            assert_eq!(
                stats.objects_total - stats.objects_deleted,
                objects.div_ceil(2),
                "{objects}"
            );
        }
    }
}
