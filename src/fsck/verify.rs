//! Verifies one object against its name.

use std::fs;

use rustix::fs::FileType;

use super::finding::Fault;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{self, Repo, RepoMode};

/// What is wrong with an object.
pub(crate) enum Problem {
    /// It is not there.
    Missing,
    /// Its bytes do not match its name.
    Corrupted(Error),
    /// Its bytes could not be read (no permission, a failing disk, no more file descriptors), which
    /// proves nothing about them.
    Unreadable(Error),
}

impl Problem {
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::Missing => Fault::Missing,
            Self::Corrupted(_) => Fault::Corrupted,
            Self::Unreadable(_) => Fault::Unreadable,
        }
    }

    /// Describes what is wrong with the object.
    pub(crate) fn message(&self, name: &ObjectName) -> String {
        match self {
            Self::Missing => format!("Object missing: {name}"),
            Self::Corrupted(error) | Self::Unreadable(error) => error.chain(),
        }
    }
}

/// Reads an object, compares it with its name and checks its structure against its type.
pub(crate) fn verify(repo: &Repo, name: &ObjectName) -> Result<(), Problem> {
    let result = match name.object_type {
        ObjectType::File => verify_file(repo, name),
        _ => verify_metadata(repo, name),
    };
    result.map_err(|error| match error {
        Error::MissingMetadata { object } if object == *name => Problem::Missing,
        Error::MissingFile { .. } => Problem::Missing,
        error if proves_damage(repo, name, &error) => Problem::Corrupted(of_object(name, error)),
        error => unreadable(name, error),
    })
}

/// The description of an object that could not be read.
pub(crate) fn unreadable(name: &ObjectName, error: Error) -> Problem {
    let error = Error::During { what: "could not be read".to_owned(), source: Box::new(error) };
    Problem::Unreadable(of_object(name, error))
}

fn of_object(name: &ObjectName, error: Error) -> Error {
    let what = match name.object_type {
        ObjectType::File => format!("fsck content object {}", name.checksum),
        _ => format!("fsck {name}"),
    };
    Error::During { what, source: Box::new(error) }
}

fn verify_file(repo: &Repo, name: &ObjectName) -> Result<()> {
    let object = repo.load_file(&name.checksum)?;
    let owner = object.header.uid;
    match object.verify() {
        Err(error @ Error::CorruptedObject { .. })
            if repo.mode() == RepoMode::Bare && !sees_all_of(owner) =>
        {
            // Owner, mode and xattrs are the inode's here, and the kernel does not show all of them
            // to everyone.
            Err(Error::During {
                what: "parts of it may be hidden from this user".to_owned(),
                source: Box::new(error),
            })
        }
        verified => verified.map(drop),
    }
}

fn verify_metadata(repo: &Repo, name: &ObjectName) -> Result<()> {
    let bytes = repo.load_metadata(name)?;
    repo::verify_metadata(name, &bytes).map_err(|error| match error {
        // The message already starts with the name of the object.
        Error::MalformedObject { source, .. } => Error::failed(source.what),
        other => other,
    })
}

/// Whether the error is about the bytes of the object, rather than about reading them.
fn proves_damage(repo: &Repo, name: &ObjectName, error: &Error) -> bool {
    match error {
        Error::During { .. } => false,
        // Something that is not a file has the object's name.
        Error::Io { .. } | Error::SystemCall { .. } => is_something_else(repo, name),
        // A part of the object that is stored separately, as the xattrs of bare-split-xattrs.
        Error::MissingMetadata { .. } => false,
        _ => true,
    }
}

/// Whether a special file, or a symlink where there can be none, has the name of the object.
fn is_something_else(repo: &Repo, name: &ObjectName) -> bool {
    let Ok(stat) = repo.stat_object(name) else { return false };
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Directory => false,
        FileType::Symlink => {
            name.object_type != ObjectType::File
                || matches!(repo.mode(), RepoMode::Archive | RepoMode::BareUser)
        }
        _ => true,
    }
}

/// Whether this process sees the true owner and every xattr of a file that appears to have this
/// owner. Reading `trusted.*` xattrs takes a capability, and a user namespace shows all owners that
/// it does not map as the same one.
fn sees_all_of(owner: u32) -> bool {
    /// `CAP_SYS_ADMIN`, as a bit of the line `CapEff`.
    const SYS_ADMIN: u64 = 1 << 21;
    if rustix::process::geteuid().as_raw() == owner && !rustix::process::geteuid().is_root() {
        return true;
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let capabilities =
        capabilities.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let owners = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let shows_all_owners = owners.split_ascii_whitespace().eq(["0", "0", "4294967295"]);
    capabilities & SYS_ADMIN != 0 && shows_all_owners
}
