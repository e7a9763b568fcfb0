//! Loose objects: paths, presence, metadata objects, listing.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use rayon::prelude::*;
use rustix::fs::{Dir, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Error, OfObject, Result};
use crate::gvariant::{DecodeError, Dict};
use crate::map::FileBytes;
use crate::object::{Commit, DirMeta, DirTree, ObjectName, ObjectType};
use crate::repo::{Repo, RepoMode};
use crate::threads;

/// The largest metadata object that is read, 128 MiB as upstream.
pub const MAX_METADATA_SIZE: u64 = 128 << 20;

/// The path of an object below `objects`, as in `ab/cdef….dirtree`.
pub(crate) fn loose_path(name: &ObjectName, mode: RepoMode) -> String {
    let hex = name.checksum.to_hex();
    let mut path = String::with_capacity(96);
    path.push_str(&hex[..2]);
    path.push('/');
    path.push_str(&hex[2..]);
    path.push('.');
    path.push_str(name.object_type.extension());
    if mode == RepoMode::Archive && name.object_type == ObjectType::File {
        path.push('z');
    }
    path
}

/// The file name in a loose path.
pub(in crate::repo) fn file_name(loose_path: &str) -> &str {
    loose_path.split_once('/').map_or(loose_path, |(_, name)| name)
}

impl Repo {
    /// Whether the object is in this repository or a parent.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn has_object(&self, name: &ObjectName) -> Result<bool> {
        Ok(self.has_own_object(name)?
            || match self.parent() {
                Some(parent) => parent.has_object(name)?,
                None => false,
            })
    }

    /// Whether the object is in this repository itself.
    ///
    /// # Errors
    /// When the operating system cannot tell.
    pub fn has_own_object(&self, name: &ObjectName) -> Result<bool> {
        match self.stat_object(name) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).during("looking for", self.object_path(name)),
        }
    }

    /// The stored size of the object in bytes, compressed where it is.
    ///
    /// # Errors
    /// When it is missing.
    pub fn stored_size(&self, name: &ObjectName) -> Result<u64> {
        match self.stat_object(name) {
            Ok(stat) => Ok(u64::try_from(stat.st_size).unwrap_or(0)),
            Err(Errno::NOENT) => match self.parent() {
                Some(parent) => parent.stored_size(name),
                None => Err(Error::missing(*name)),
            },
            Err(error) => Err(error).during("looking for", self.object_path(name)),
        }
    }

    /// The path of a loose object, for messages.
    pub(crate) fn object_path(&self, name: &ObjectName) -> PathBuf {
        self.path().join("objects").join(loose_path(name, self.mode()))
    }

    /// Calls `act` with the directory of a loose object of this repository, and the object's name
    /// there.
    pub(crate) fn at_object<T>(
        &self,
        name: &ObjectName,
        act: impl Fn(BorrowedFd<'_>, &str) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let path = loose_path(name, self.mode());
        let first = name.checksum.as_bytes()[0];
        self.fan_outs.within(self.objects_dir(), first, |dir| act(dir, file_name(&path)))
    }

    /// The status of the file at a loose object's path in this repository.
    pub(crate) fn stat_object(&self, name: &ObjectName) -> Result<Stat, Errno> {
        self.at_object(name, |dir, file_name| dir::stat(dir, file_name))
    }

    /// Opens a loose object of this repository for reading; `None` when it is not there.
    pub(crate) fn open_own_object(&self, name: &ObjectName) -> Result<Option<File>> {
        // A fifo in an object's place must not block.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match self.at_object(name, |dir, file_name| {
            rustix::fs::openat(dir, file_name, flags, Mode::empty())
        }) {
            Ok(fd) => Ok(Some(fd.into())),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error).during("opening", self.object_path(name)),
        }
    }

    /// The bytes of a metadata object (commit, dirtree, dirmeta, detached metadata, tombstone, file
    /// xattrs). The checksum is not verified.
    ///
    /// # Errors
    /// [`Error::MissingMetadata`] when it is neither here nor in a parent;
    /// [`Error::MalformedObject`] when it is larger than any metadata object may be, or not a
    /// regular file.
    pub fn load_metadata(&self, name: &ObjectName) -> Result<FileBytes> {
        let Some(file) = self.open_own_object(name)? else {
            return match self.parent() {
                Some(parent) => parent.load_metadata(name),
                None => Err(Error::missing(*name)),
            };
        };
        let during = || self.object_path(name);
        let small = FileBytes::of_small_object(&file);
        if let Ok(Some(bytes)) = small {
            return Ok(bytes);
        }
        let stat = file.metadata().during("reading", during())?;
        if !stat.is_file() {
            return Err(DecodeError::new("not a regular file")).of_object(*name);
        }
        small.during("reading", during())?;
        if stat.len() > MAX_METADATA_SIZE {
            let what = format!("{} bytes are more than a metadata object may have", stat.len());
            return Err(DecodeError::new(what)).of_object(*name);
        }
        FileBytes::of_object(file, stat.len()).during("reading", during())
    }

    /// Loads a commit.
    ///
    /// # Errors
    /// As [`Repo::load_metadata`], and [`Error::MalformedObject`].
    pub fn load_commit(&self, checksum: &Checksum) -> Result<Commit> {
        let name = ObjectName::new(*checksum, ObjectType::Commit);
        Commit::decode(&self.load_metadata(&name)?).of_object(name)
    }

    /// Loads a dirtree.
    ///
    /// # Errors
    /// As [`Repo::load_commit`].
    pub fn load_dirtree(&self, checksum: &Checksum) -> Result<DirTree> {
        let name = ObjectName::new(*checksum, ObjectType::DirTree);
        DirTree::decode(&self.load_metadata(&name)?).of_object(name)
    }

    /// Loads a dirmeta.
    ///
    /// # Errors
    /// As [`Repo::load_commit`].
    pub fn load_dirmeta(&self, checksum: &Checksum) -> Result<DirMeta> {
        let name = ObjectName::new(*checksum, ObjectType::DirMeta);
        DirMeta::decode(&self.load_metadata(&name)?).of_object(name)
    }

    /// Loads the detached metadata of a commit; `None` when it has none.
    ///
    /// # Errors
    /// [`Error::MalformedObject`] when it is not an `a{sv}`.
    pub fn load_detached_metadata(&self, commit: &Checksum) -> Result<Option<Dict>> {
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        match self.load_metadata(&name) {
            Ok(bytes) => Dict::decode(&bytes).of_object(name).map(Some),
            Err(Error::MissingMetadata { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All loose objects of this repository (not its parents') of the types that upstream lists:
    /// file, dirtree, dirmeta, commit and payload link, sorted by checksum.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list_objects(&self) -> Result<Vec<ObjectName>> {
        let list = || {
            (0..=255u8)
                .into_par_iter()
                .map(|first| self.list_objects_starting_with(first))
                .collect()
        };
        let per_directory = threads::run(list).map(|listed: Vec<Vec<ObjectName>>| listed)?;
        Ok(per_directory.concat())
    }

    /// Removes a loose object of this repository and returns whether it was there. Files that
    /// belong to it (the partial mark and the detached metadata of a commit) stay.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn delete_object(&self, name: &ObjectName) -> Result<bool> {
        match self.at_object(name, |dir, file_name| dir::remove_file(dir, file_name)) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error).during("removing", self.object_path(name)),
        }
    }

    /// The commits of this repository whose hexadecimal name starts with `prefix`, sorted.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list_commits_starting_with(&self, prefix: &str) -> Result<Vec<Checksum>> {
        let fan_outs: Vec<u8> = match prefix.get(..2) {
            Some(two) => u8::from_str_radix(two, 16).into_iter().collect(),
            None => (0..=255).filter(|byte| format!("{byte:02x}").starts_with(prefix)).collect(),
        };
        let mut commits = Vec::new();
        for first in fan_outs {
            let names = self.list_objects_starting_with(first)?.into_iter();
            let of_commits = names
                .filter(|name| name.object_type == ObjectType::Commit)
                .map(|name| name.checksum);
            commits.extend(of_commits.filter(|checksum| checksum.to_hex().starts_with(prefix)));
        }
        Ok(commits)
    }

    /// The objects of one of the 256 directories that can be compared with another repository's:
    /// files, dirtrees, dirmetas, commits, detached metadata and tombstones.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub(crate) fn list_comparable_objects_starting_with(
        &self,
        first: u8,
    ) -> Result<Vec<ObjectName>> {
        let parse = |prefix: &str, file_name: &[u8]| {
            let listed = parse_loose_name(prefix, file_name, self.mode());
            let beside = || parse_name_beside_commit(prefix, file_name);
            listed.or_else(beside).filter(|name| name.object_type != ObjectType::PayloadLink)
        };
        names_in_fan_out(self.objects_dir(), first, parse)
            .during("listing", self.path().join("objects").join(format!("{first:02x}")))
    }

    /// [`Repo::list_objects`] for one of the 256 directories.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list_objects_starting_with(&self, first: u8) -> Result<Vec<ObjectName>> {
        list_fan_out(self.objects_dir(), first, self.mode())
            .during("listing", self.path().join("objects").join(format!("{first:02x}")))
    }

    /// The same; `None` when the directory has more than `most` entries.
    pub(in crate::repo) fn few_objects_starting_with(
        &self,
        first: u8,
        most: usize,
    ) -> Result<Option<Vec<ObjectName>>> {
        let parse =
            |prefix: &str, file_name: &[u8]| parse_loose_name(prefix, file_name, self.mode());
        let names = few_names_in_fan_out(self.objects_dir(), first, most, parse);
        let mut names =
            names.during("listing", self.path().join("objects").join(format!("{first:02x}")))?;
        names.iter_mut().for_each(|names| names.sort_unstable());
        Ok(names)
    }
}

/// The objects in one of the 256 directories of `dir`, sorted; none if it is missing.
fn list_fan_out(dir: BorrowedFd<'_>, first: u8, mode: RepoMode) -> Result<Vec<ObjectName>, Errno> {
    names_in_fan_out(dir, first, |prefix, file_name| parse_loose_name(prefix, file_name, mode))
}

fn names_in_fan_out(
    dir: BorrowedFd<'_>,
    first: u8,
    parse: impl Fn(&str, &[u8]) -> Option<ObjectName>,
) -> Result<Vec<ObjectName>, Errno> {
    let mut names = few_names_in_fan_out(dir, first, usize::MAX, parse)?.unwrap_or_default();
    names.sort_unstable();
    Ok(names)
}

/// Unsorted; `None` when the directory has more than `most` entries.
fn few_names_in_fan_out(
    dir: BorrowedFd<'_>,
    first: u8,
    most: usize,
    parse: impl Fn(&str, &[u8]) -> Option<ObjectName>,
) -> Result<Option<Vec<ObjectName>>, Errno> {
    let prefix = format!("{first:02x}");
    let directory = match crate::dir::Dir::beneath(dir, &prefix) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Some(Vec::new())),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for (number, entry) in Dir::new(directory)?.enumerate() {
        if number >= most {
            return Ok(None);
        }
        names.extend(parse(&prefix, entry?.file_name().to_bytes()));
    }
    Ok(Some(names))
}

/// The object that a file name in `objects/XX` represents; `None` for anything that upstream does
/// not list.
fn parse_loose_name(prefix: &str, file_name: &[u8], mode: RepoMode) -> Option<ObjectName> {
    let (rest, extension) = std::str::from_utf8(file_name).ok()?.split_once('.')?;
    let object_type = match (extension, mode) {
        ("filez", RepoMode::Archive) => ObjectType::File,
        ("file", mode) if mode != RepoMode::Archive => ObjectType::File,
        ("dirtree", _) => ObjectType::DirTree,
        ("dirmeta", _) => ObjectType::DirMeta,
        ("commit", _) => ObjectType::Commit,
        ("payload-link", _) => ObjectType::PayloadLink,
        _ => return None,
    };
    Some(ObjectName::new(joined(prefix, rest)?, object_type))
}

/// The checksum whose first two digits are the name of the directory.
fn joined(prefix: &str, rest: &str) -> Option<Checksum> {
    let mut digits = [0; 64];
    let (first, others) = digits.split_at_mut(2);
    if (prefix.len(), rest.len()) != (first.len(), others.len()) {
        return None;
    }
    first.copy_from_slice(prefix.as_bytes());
    others.copy_from_slice(rest.as_bytes());
    Checksum::from_hex_digits(&digits)
}

/// The same for files that belong to a commit and are not listed.
fn parse_name_beside_commit(prefix: &str, file_name: &[u8]) -> Option<ObjectName> {
    let (rest, extension) = std::str::from_utf8(file_name).ok()?.split_once('.')?;
    let object_type = match extension {
        "commitmeta" => ObjectType::CommitMeta,
        "tombstone-commit" => ObjectType::TombstoneCommit,
        _ => return None,
    };
    Some(ObjectName::new(joined(prefix, rest)?, object_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loose_names_round_trip_and_foreign_names_are_not_listed() {
        let checksum = Checksum::of(b"x");
        let name = ObjectName::new(checksum, ObjectType::File);
        let hex = checksum.to_hex();
        let (prefix, rest) = hex.split_at(2);
        assert_eq!(loose_path(&name, RepoMode::Archive), format!("{prefix}/{rest}.filez"));
        assert_eq!(loose_path(&name, RepoMode::Bare), format!("{prefix}/{rest}.file"));
        let listed = |extension: &str, mode| {
            parse_loose_name(prefix, format!("{rest}{extension}").as_bytes(), mode)
        };
        assert_eq!(listed(".filez", RepoMode::Archive), Some(name));
        assert_eq!(listed(".file", RepoMode::Bare), Some(name));
        assert_eq!(listed(".file", RepoMode::Archive), None);
        assert_eq!(listed(".commitmeta", RepoMode::Bare), None);
        assert_eq!(
            listed(".commit", RepoMode::Bare),
            Some(ObjectName::new(checksum, ObjectType::Commit))
        );
        assert_eq!(parse_loose_name(prefix, b"abc.commit", RepoMode::Bare), None);
    }
}
