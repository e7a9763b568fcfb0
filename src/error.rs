//! The one error type of the library.
//!
//! Each variant says what was being done and to which path or object. `Display` never repeats its
//! `source()`: the code that prints an error joins the chain with `: `, see [`Error::chain`]. There
//! is deliberately no `From<io::Error>`: a bare `?` on a file operation does not compile, and
//! [`During::during`] is the way through.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::checksum::{Checksum, InvalidChecksum};
use crate::gvariant::DecodeError;
use crate::object::{ObjectName, ObjectType};
use crate::refspec::InvalidRefspec;

/// The result of the library's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("{action} {}", path.display())]
    Io {
        /// What was being done, as in `reading`.
        action: &'static str,
        /// To which file.
        path: PathBuf,
        /// The operating system's answer.
        source: OsError,
    },
    /// The operating system refused something, reported in upstream's format: `openat(PATH): No
    /// such file or directory`.
    #[error("{call}({})", path.display())]
    SystemCall {
        /// The system call's name.
        call: &'static str,
        /// To which file.
        path: PathBuf,
        /// The operating system's answer.
        source: OsError,
    },
    /// No such object is in the repository or its parents.
    #[error("No such metadata object {object}")]
    MissingMetadata {
        /// The object that was looked for.
        object: ObjectName,
    },
    /// No such file object is in the repository or its parents.
    #[error("Couldn't find file object '{checksum}'")]
    MissingFile {
        /// The checksum of the file object that was looked for.
        checksum: Checksum,
    },
    /// A directory has too little to make the tree of a benchmark of.
    #[error("{} has only {} files with {} bytes; {} files with {} bytes are needed",
        path.display(), found.0, found.1, needed.0, needed.1)]
    SmallSample {
        /// The directory that the files were to be taken from.
        path: PathBuf,
        /// The files in it, and their bytes.
        found: (u64, u64),
        /// How many there must be.
        needed: (u64, u64),
    },
    /// The bytes of an object do not match its name.
    #[error("Corrupted {} object; checksum expected='{}' actual='{actual}'", object.object_type, object.checksum)]
    CorruptedObject {
        /// The object's name.
        object: ObjectName,
        /// The checksum of what was found.
        actual: Checksum,
    },
    /// The bytes of an object do not follow its format.
    #[error("malformed object {object}")]
    MalformedObject {
        /// The object that cannot be decoded.
        object: ObjectName,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// Bytes from outside that are no object do not follow their format; `what` names the file or
    /// argument.
    #[error("{what}")]
    Malformed {
        /// What was being read.
        what: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// A commit has no file or directory of that path.
    #[error("No such file or directory: {path}")]
    NoSuchPath {
        /// The absolute path as far as it was looked for.
        path: String,
    },
    /// A rev names nothing.
    #[error("Refspec '{refspec}' not found")]
    RefNotFound {
        /// What the user gave.
        refspec: String,
    },
    /// A text is no checksum.
    #[error(transparent)]
    InvalidChecksum(#[from] InvalidChecksum),
    /// A text is no ref, refspec, remote name or collection id.
    #[error(transparent)]
    InvalidRefspec(#[from] InvalidRefspec),
    /// Another process locked the repository for longer than `core.lock-timeout-secs`.
    #[error("Locking repo {kind} failed: Resource temporarily unavailable")]
    LockTimeout {
        /// `exclusive` or `shared`.
        kind: &'static str,
    },
    /// What is to hold refs of collections on removable media is in the wrong place.
    #[error("--destination-repo must {must}")]
    UsbDestination {
        /// What it must be, or not be.
        must: &'static str,
    },
    /// Writing more would leave less free space than the repository's config wants.
    #[error("{limit} would be exceeded, at least {size} requested")]
    MinFreeSpace {
        /// The limit, as in `min-free-space-percent '3%'`.
        limit: String,
        /// What the object needs.
        size: String,
    },
    /// A source file changed while it was being read, so no object was written for it.
    #[error("{} changed while it was being read", path.display())]
    SourceChanged {
        /// The path of the source file.
        path: PathBuf,
    },
    /// The operating system refused something, and upstream has words of its own for what it was.
    #[error("{what}")]
    Refused {
        /// As in `Couldn't open ref 'a'`.
        what: String,
        /// What the operating system says.
        source: OsError,
    },
    /// What was being done when the inner error came, in upstream's words.
    #[error("{what}")]
    During {
        /// As in `Inspecting path '/a'`.
        what: String,
        /// What went wrong meanwhile.
        source: Box<Error>,
    },
    /// Any other refusal; the text is upstream's where upstream has one.
    #[error("{0}")]
    Failed(String),
}

impl Error {
    /// An error with only a message.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::Failed(message.into())
    }

    /// What the operating system has refused, in upstream's words.
    pub(crate) fn refused(what: impl Into<String>, error: impl Into<io::Error>) -> Self {
        Self::Refused { what: what.into(), source: OsError(error.into()) }
    }

    /// The right "missing" error for the object's type.
    pub fn missing(object: ObjectName) -> Self {
        match object.object_type {
            ObjectType::File => Self::MissingFile { checksum: object.checksum },
            _ => Self::MissingMetadata { object },
        }
    }

    /// The error and all its sources on one line, joined with `: `.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut source = self.source();
        while let Some(error) = source {
            line.push_str(": ");
            line.push_str(&error.to_string());
            source = error.source();
        }
        line
    }

    /// The kind of the operating system's error, if it was one.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::Io { source, .. }
            | Self::SystemCall { source, .. }
            | Self::Refused { source, .. } => Some(source.0.kind()),
            Self::During { source, .. } => source.io_kind(),
            _ => None,
        }
    }
}

/// An error of the operating system; `Display` is its text without Rust's `(os error N)`.
#[derive(Debug)]
pub struct OsError(pub io::Error);

impl fmt::Display for OsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        match text.rfind(" (os error ") {
            Some(end) => f.write_str(&text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl StdError for OsError {}

/// Adds what was being done to an error.
pub trait During<T> {
    /// `action` is a word such as `reading`, `path` the file it was done to.
    fn during(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;

    /// The same in upstream's form `CALL(PATH)`, for the places where upstream's tests or users
    /// look for it.
    fn calling(self, call: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T, E: Into<io::Error>> During<T> for std::result::Result<T, E> {
    fn during(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| Error::Io {
            action,
            path: path.as_ref().to_owned(),
            source: OsError(error.into()),
        })
    }

    fn calling(self, call: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|error| Error::SystemCall {
            call,
            path: path.as_ref().to_owned(),
            source: OsError(error.into()),
        })
    }
}

/// Puts upstream's words for the step before an error of ours.
pub trait Context<T> {
    /// `what` is only built when there is an error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::During { what: what(), source: Box::new(source) })
    }
}

/// Names the object whose bytes could not be decoded.
pub trait OfObject<T> {
    /// Turns a [`DecodeError`] into [`Error::MalformedObject`].
    fn of_object(self, object: ObjectName) -> Result<T>;
}

impl<T> OfObject<T> for std::result::Result<T, DecodeError> {
    fn of_object(self, object: ObjectName) -> Result<T> {
        self.map_err(|source| Error::MalformedObject { object, source })
    }
}
