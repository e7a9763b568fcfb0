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
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::RenameFlags;

use super::read::objects::MAX_METADATA_SIZE;
use super::write::replace::random_letters;
use super::{ConfigEdit, Repo};
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Error, Result};
use crate::gvariant::{Dict, Value};
use crate::input;
use crate::object::{ObjectName, ObjectType};

/// The key of the map from delta names to digests, in the summary and in delta indexes.
pub const STATIC_DELTAS: &str = "ostree.static-deltas";

/// Names a static delta; `Display` is what users type: `TO` or `FROM-TO` in hexadecimal digits.
///
/// The order is the one of upstream's index: deltas from nothing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeltaName {
    /// The commit that must be there already; `None` when the delta needs nothing.
    pub from: Option<Checksum>,
    /// The commit that the delta leads to.
    pub to: Checksum,
}

impl fmt::Display for DeltaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{from}-{}", self.to),
            None => write!(f, "{}", self.to),
        }
    }
}

impl DeltaName {
    /// The delta's directory, relative to the repository.
    pub fn directory(&self) -> PathBuf {
        let name = match self.from {
            Some(from) => format!("{}-{}", from.to_base64(), self.to.to_base64()),
            None => self.to.to_base64(),
        };
        split("deltas", &name, "")
    }

    /// The name of the directory `deltas/PREFIX/REST`; `None` if no delta has such a directory.
    fn of_directory(prefix: &str, rest: &str) -> Option<Self> {
        let name = format!("{prefix}{rest}");
        let (from, to) = match name.split_once('-') {
            Some((from, to)) => (Some(Checksum::from_base64(from)?), to),
            None => (None, name.as_str()),
        };
        Some(Self { from, to: Checksum::from_base64(to)? })
    }
}

/// The index of the deltas to a commit, relative to the repository.
pub fn index_path(to: &Checksum) -> PathBuf {
    split("delta-indexes", &to.to_base64(), ".index")
}

fn split(directory: &str, name: &str, suffix: &str) -> PathBuf {
    let (prefix, rest) = name.split_at(2);
    PathBuf::from(format!("{directory}/{prefix}/{rest}{suffix}"))
}

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
    let mut map = Dict::new();
    for name in names {
        let path = name.directory().join("superblock");
        let superblock = input::read_stored(repo.dir(), &path, MAX_METADATA_SIZE);
        let superblock = superblock.during("reading", repo.path().join(path))?;
        map.push(name.to_string(), Value::bytes_value(Checksum::of(&superblock).as_bytes()));
    }
    Ok(map.in_table_order())
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
        let mut index = Dict::new();
        index.push(STATIC_DELTAS, digests(repo, names)?.to_value());
        let path = index_path(to);
        let bytes = index.encode();
        if read_if_present(repo, &path)?.as_ref() != Some(&bytes) {
            let directory = path.parent().unwrap_or(&path);
            let made = dir::make_dirs(repo.dir(), directory, 0o777);
            made.during("creating", repo.path().join(directory))?;
            repo.replace_file(&path, &bytes)?;
        }
        wanted.insert(path);
    }
    for (prefix, rest) in two_levels(&repo.path().join("delta-indexes"))? {
        let path = Path::new("delta-indexes").join(prefix).join(&rest);
        if rest.ends_with(".index") && !wanted.contains(&path) {
            dir::remove_file(repo.dir(), &path).during("removing", repo.path().join(path))?;
        }
    }
    if !repo.config().indexed_deltas {
        repo.edit_config(|keyfile| {
            let changed = keyfile.set_bool("core", "indexed-deltas", true);
            changed.map_err(|source| Error::Malformed { what: "config".to_owned(), source })?;
            Ok(ConfigEdit::Write)
        })?;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    // Names from the golden repository `archive`, whose directories ostree made.
    const C1: &str = "6d7db1e20af1b7bd81fd73677c8179a909059164c9a98637517f636dafa44143";
    const C2: &str = "1cff384c55a0129652a190c7a2c8d4255d733ee48bb4f54f07c0098741094f2c";

    #[test]
    fn a_delta_from_nothing_is_named_after_its_target() {
        let name = DeltaName { from: None, to: Checksum::from_hex(C1).unwrap() };
        assert_eq!(name.to_string(), C1);
        assert_eq!(
            name.directory(),
            Path::new("deltas/bX/2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM")
        );
        assert_eq!(
            DeltaName::of_directory("bX", "2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM"),
            Some(name)
        );
    }

    #[test]
    fn a_delta_between_commits_has_both_names() {
        let name =
            DeltaName { from: Checksum::from_hex(C1).ok(), to: Checksum::from_hex(C2).unwrap() };
        assert_eq!(name.to_string(), format!("{C1}-{C2}"));
        let directory = name.directory();
        let rest = directory.file_name().unwrap().to_str().unwrap();
        assert!(rest.starts_with("2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM-HP84TFWg"), "{rest}");
        assert_eq!(DeltaName::of_directory("bX", rest), Some(name));
    }

    #[test]
    fn other_directories_are_no_deltas() {
        for rest in [
            "",
            "2x4",
            "2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQU",
            "2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM-",
        ] {
            assert_eq!(DeltaName::of_directory("bX", rest), None, "{rest}");
        }
    }

    #[test]
    fn deltas_from_nothing_come_first() {
        let (c1, c2) = (Checksum::from_hex(C1).unwrap(), Checksum::from_hex(C2).unwrap());
        let mut names = [DeltaName { from: Some(c1), to: c2 }, DeltaName { from: None, to: c2 }];
        names.sort_unstable();
        assert_eq!(names[0].from, None);
    }
}
