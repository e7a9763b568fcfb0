//! Static deltas as files: their names, their digests, and the index that clients look them up in
//! (docs/format.md, sections 14.1 and 14.5).
//!
//! ```text
//! deltas/AB/CDEF...              the directory of a delta; the text after deltas/ is NAME without the slash, and
//!                                NAME is base64(to) or base64(from)-base64(to)
//! deltas/AB/CDEF.../superblock   what a client fetches first
//! delta-indexes/AB/CDEF....index an a{sv} per target: which deltas lead to it, with the digests of their superblocks
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::RenameFlags;
use rustix::io::Errno;

use super::read::objects::MAX_METADATA_SIZE;
use super::write::replace::random_letters;
use super::{ConfigEdit, Repo};
use crate::checksum::Checksum;
use crate::delta_format::{DeltaIndex, index_path, map_of_deltas};
use crate::dir;
use crate::error::{During, Error, Result};
use crate::gvariant::Dict;
use crate::input;
use crate::object::{ObjectName, ObjectType};

pub use crate::delta_format::{DeltaName, STATIC_DELTAS};

/// Lists the static deltas of the repository, sorted; directories without a superblock do not
/// count.
///
/// # Errors
/// When a directory cannot be read.
pub fn list(repo: &Repo) -> Result<Vec<DeltaName>> {
    let mut names = Vec::new();
    for (prefix, rest) in two_levels(&repo.path().join("deltas"))? {
        let directory = repo.path().join("deltas").join(&prefix).join(&rest);
        if let Some(name) = DeltaName::of_directory(&prefix, &rest)
            && directory.join("superblock").exists()
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether the target commit of a delta is in the repository or a parent.
///
/// # Errors
/// When the operating system cannot determine it.
pub fn target_exists(repo: &Repo, name: &DeltaName) -> Result<bool> {
    repo.has_object(&ObjectName::new(name.to, ObjectType::Commit))
}

/// Removes a static delta. It disappears atomically: leftovers in `tmp` after an interruption
/// expire.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(repo: &Repo, name: &DeltaName) -> Result<()> {
    let directory = name.directory();
    let tmp = repo.tmp()?;
    let (doomed, ()) = dir::at_free_name(
        || Ok(format!("delta-{}", random_letters()?)),
        |doomed| dir::make_dir(tmp, doomed, 0o700),
        |error, doomed| Err(error).during("creating", repo.path().join("tmp").join(doomed)),
    )?;
    let renamed = dir::rename((repo.dir(), &directory), (tmp, &doomed), RenameFlags::empty());
    if renamed.is_err() {
        let _ = dir::remove_dir(tmp, &doomed);
    }
    renamed.during("removing", repo.path().join(&directory))?;
    dir::remove_all(tmp, &doomed).during("removing", repo.path().join("tmp").join(doomed))
}

/// The map from the names of these deltas to the SHA-256 of their superblocks, in hash-table order
/// as upstream writes it.
///
/// # Errors
/// When a superblock cannot be read.
pub fn digests(repo: &Repo, names: &[DeltaName]) -> Result<Dict> {
    Ok(map_of_deltas(&digests_of(repo, names)?))
}

fn digests_of(repo: &Repo, names: &[DeltaName]) -> Result<Vec<(DeltaName, Checksum)>> {
    let digest = |name: &DeltaName| {
        let path = name.superblock_path();
        let superblock = input::read_stored(repo.dir(), &path, MAX_METADATA_SIZE);
        let superblock = superblock.during("reading", repo.path().join(path))?;
        Ok((*name, Checksum::of(&superblock)))
    };
    names.iter().map(digest).collect()
}

/// Lists the commits that have a delta index, sorted.
///
/// # Errors
/// When a directory cannot be read.
pub fn list_indexes(repo: &Repo) -> Result<Vec<Checksum>> {
    let target = |(prefix, rest): (String, String)| {
        Checksum::from_base64(&format!("{prefix}{}", rest.strip_suffix(".index")?))
    };
    let indexes = two_levels(&repo.path().join("delta-indexes"))?;
    let mut targets: Vec<Checksum> = indexes.into_iter().filter_map(target).collect();
    targets.sort_unstable();
    Ok(targets)
}

/// Makes the delta indexes match the deltas, and records in the config that there are indexes.
///
/// Files that would not change are left alone; indexes of commits without any delta are removed.
///
/// # Errors
/// When a superblock cannot be read, or an index or the config not be written.
pub fn reindex(repo: &Repo) -> Result<()> {
    let mut by_target = BTreeMap::<Checksum, Vec<DeltaName>>::new();
    for name in list(repo)? {
        by_target.entry(name.to).or_default().push(name);
    }
    let mut wanted = BTreeSet::new();
    for (to, names) in &by_target {
        write_index(repo, to, names)?;
        wanted.insert(index_path(to));
    }
    for (prefix, rest) in two_levels(&repo.path().join("delta-indexes"))? {
        let path = Path::new("delta-indexes").join(prefix).join(&rest);
        if rest.ends_with(".index") && !wanted.contains(&path) {
            remove_index(repo, &path)?;
        }
    }
    record_indexes(repo)
}

/// [`reindex`] for the deltas to one commit.
///
/// # Errors
/// As [`reindex`].
pub fn reindex_target(repo: &Repo, to: &Checksum) -> Result<()> {
    let mut names = list(repo)?;
    names.retain(|name| name.to == *to);
    match names.is_empty() {
        true => remove_index(repo, &index_path(to))?,
        false => write_index(repo, to, &names)?,
    }
    record_indexes(repo)
}

fn write_index(repo: &Repo, to: &Checksum, names: &[DeltaName]) -> Result<()> {
    let path = index_path(to);
    let bytes = DeltaIndex { deltas: digests_of(repo, names)? }.encode();
    if read_if_present(repo, &path)?.as_ref() == Some(&bytes) {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(&path);
    let made = dir::make_dirs(repo.dir(), directory, 0o777);
    made.during("creating", repo.path().join(directory))?;
    repo.replace_file(&path, &bytes)
}

fn remove_index(repo: &Repo, path: &Path) -> Result<()> {
    match dir::remove_file(repo.dir(), path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error).during("removing", repo.path().join(path)),
    }
}

fn record_indexes(repo: &Repo) -> Result<()> {
    if repo.config().indexed_deltas {
        return Ok(());
    }
    repo.edit_config(|keyfile| {
        let changed = keyfile.set_bool("core", "indexed-deltas", true);
        changed.map_err(|source| Error::Malformed { what: "config".to_owned(), source })?;
        Ok(ConfigEdit::Write)
    })?;
    Ok(())
}

/// The names `XX/REST` below a directory that may be absent; names that are not UTF-8 are ignored.
fn two_levels(top: &Path) -> Result<Vec<(String, String)>> {
    let mut names = Vec::new();
    for prefix in entries(top)?.into_iter().filter(|prefix| prefix.len() == 2) {
        for rest in entries(&top.join(&prefix))? {
            names.push((prefix.clone(), rest));
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn entries(directory: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error).during("reading", directory),
    };
    let mut names = Vec::new();
    for entry in entries {
        if let Ok(name) = entry.during("reading", directory)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

fn read_if_present(repo: &Repo, path: &Path) -> Result<Option<Vec<u8>>> {
    match input::read_stored(repo.dir(), path, MAX_METADATA_SIZE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).during("reading", repo.path().join(path)),
    }
}
