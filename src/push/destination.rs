//! Where a push goes to: the few things that a store of files has to do.
//!
//! Names are those of files of an archive repository, relative to it: `objects/ab/cdef….filez`,
//! `refs/heads/main`, `summary`. The calls are coarse, so that a destination keeps its own queue
//! full: nothing is asked for each object.

use std::io::Read;

#[cfg(feature = "s3")]
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::ObjectName;
#[cfg(feature = "s3")]
use crate::object::ObjectType;
use crate::refspec::RefName;
use crate::repo::{RepoLock, RepoMode, loose_path};

/// A store of files, in which a repository is or will be. May be used from several threads.
pub trait Destination: Sync {
    /// What messages call it, without anything secret.
    fn name(&self) -> &str;

    /// The names of all refs below `refs/heads`, in any order.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list_refs(&self) -> Result<Vec<RefName>>;

    /// Passes the names of all objects to `found`: files, dirtrees, dirmetas, commits.
    ///
    /// # Errors
    /// When they cannot be listed.
    fn list_objects(&self, found: &mut dyn FnMut(ObjectName)) -> Result<()>;

    /// Reads files of at most `limit` bytes each, `None` for one that is not there.
    ///
    /// # Errors
    /// When one cannot be read or is larger.
    fn read(&self, names: &[String], limit: u64) -> Result<Vec<Option<Stored>>>;

    /// Stores files, many at a time and in any order; all of them are there when it returns.
    ///
    /// # Errors
    /// Of a file that cannot be loaded or stored. Others may be there already then.
    fn upload(&self, batch: &Batch<'_>) -> Result<()>;

    /// Writes a small file, if what is there is as expected.
    ///
    /// # Errors
    /// When it cannot be written.
    fn put_if(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Put>;

    /// Whether [`Destination::put_if`] keeps its promise, tried with a file that is there and is at
    /// most written with what it has already.
    ///
    /// # Errors
    /// When the file cannot be written.
    fn probe(&self, name: &str, stored: &Stored) -> Result<Conditions>;

    /// Keeps those away that delete objects, as long as the result lives, where that is possible.
    ///
    /// # Errors
    /// When somebody is deleting.
    fn hold(&self) -> Result<Hold<'_>>;
}

/// Lives as long as objects must not be deleted.
#[derive(Debug, Default)]
pub struct Hold<'d> {
    pub(super) _lock: Option<RepoLock<'d>>,
}

/// A file as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The content.
    pub bytes: Vec<u8>,
    /// Which version of the file it is.
    pub version: Version,
}

/// How a destination recognises a version of a file, in its own words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// What has to be there for a file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing.
    Absent,
    /// This version.
    Version(Version),
    /// Anything or nothing: the last writer wins.
    Anything,
}

impl Expected {
    /// What was read, unchanged.
    pub fn as_read(stored: Option<&Stored>) -> Self {
        stored.map_or(Self::Absent, |stored| Self::Version(stored.version.clone()))
    }
}

/// Whether a file was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// It was.
    Done,
    /// Something else is there: somebody was faster.
    Lost,
}

/// Whether a store honours conditions on writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// It does.
    Honoured,
    /// It writes in spite of them, or refuses in spite of them. The text says which, after `it`.
    Broken(String),
}

/// Files to be stored.
pub struct Batch<'b> {
    /// Which.
    pub items: &'b [Item],
    /// Opens what one of them will hold; called from several threads.
    pub load: &'b (dyn Fn(&Item) -> Result<Body> + Sync),
    /// Takes note of one that is stored, and of its bytes.
    pub done: &'b (dyn Fn(&Item, u64) + Sync),
}

/// The content of a file to be stored. An error while it is read means that it must not be stored.
pub type Body = Box<dyn Read + Send>;

/// A file to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An object.
    Object(ObjectName),
    /// A file of a static delta.
    Delta(String),
}

impl Item {
    /// Its name at the destination.
    pub fn path(&self) -> String {
        match self {
            Self::Object(name) => object_path(name),
            Self::Delta(path) => path.clone(),
        }
    }
}

/// The name of an object's file.
pub(crate) fn object_path(name: &ObjectName) -> String {
    format!("objects/{}", loose_path(name, RepoMode::Archive))
}

/// The object that a name below `objects` belongs to, as in `ab/cdef….filez`.
#[cfg(feature = "s3")]
pub(super) fn object_of_path(path: &str) -> Option<ObjectName> {
    let (prefix, rest) = path.split_once('/')?;
    let (digits, extension) = rest.split_once('.')?;
    let object_type = match extension {
        "filez" => ObjectType::File,
        "dirtree" => ObjectType::DirTree,
        "dirmeta" => ObjectType::DirMeta,
        "commit" => ObjectType::Commit,
        "commitmeta" => ObjectType::CommitMeta,
        _ => return None,
    };
    let checksum = Checksum::from_hex(&format!("{prefix}{digits}")).ok()?;
    Some(ObjectName::new(checksum, object_type)).filter(|_| prefix.len() == 2)
}
