//! What goes wrong with keys and signatures, in upstream's words.

use std::fmt::Write;
use std::path::PathBuf;

use super::signature_type::SignatureType;
use crate::error::{Error, OsError};

/// As many keys are named when a signature could not be verified; more are counted.
pub(super) const MOST_NAMED_KEYS: usize = 3;

/// Why something could not be signed or verified. No text of a secret key is ever in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// No signature type has that name.
    #[error("Requested signature type is not implemented")]
    UnknownType,
    /// The type for tests is not allowed.
    #[error("dummy signature type is only for ostree testing")]
    DummyRefused,
    /// A key or a signature has the wrong length.
    #[error("{what}: Ill-formed input: expected {expected} bytes, got {found} bytes")]
    WrongLength {
        /// As in `Invalid ed25519 public key`.
        what: &'static str,
        /// The right length, in bytes.
        expected: usize,
        /// The length, in bytes.
        found: usize,
    },
    /// A key is no key, of an unknown kind or too large.
    #[error("openssl: Failed to initialize spki key{}", because(.reason))]
    UnusableKey {
        /// What is wrong with it; empty when it is simply no key.
        reason: &'static str,
    },
    /// A PEM block holds a key for something else.
    #[error("Invalid ed25519 secret key: the PEM block holds another key")]
    NotEd25519,
    /// The system has no random numbers.
    #[error("no random numbers")]
    NoRandomNumbers(#[source] OsError),
    /// Nothing is signed with this type.
    #[error("{}commit have no signatures of my type", prefix(*.0))]
    NoSignaturesOfType(SignatureType),
    /// No signature was tried with any key.
    #[error("{}", nothing_tried(*.0))]
    NothingTried(SignatureType),
    /// No signature is valid.
    #[error("{}", not_verified(*.signature_type, .tried, *.attempts))]
    NotVerified {
        /// The type of the signatures.
        signature_type: SignatureType,
        /// The public keys of the first attempts.
        tried: Vec<Vec<u8>>,
        /// The number of attempts: of each signature with each key.
        attempts: usize,
    },
    /// Neither file nor default directory has a key.
    #[error("signature: {0}: no keys loaded")]
    NoKeysLoaded(SignatureType),
    /// A file of keys is none or is missing.
    #[error("File object '{}' is not a regular file", .0.display())]
    NotRegularFile(PathBuf),
    /// A file of public keys has none.
    #[error("signature: {signature_type}: no valid keys in file '{}'", path.display())]
    NoPublicKeys {
        /// The type of the keys.
        signature_type: SignatureType,
        /// The file.
        path: PathBuf,
    },
    /// A file of secret keys has none.
    #[error("no valid keys in file '{}'", .0.display())]
    NoSecretKeys(PathBuf),
    /// A file of secret keys of which the first was wanted has none.
    #[error("Reading {}: no key found", .0.display())]
    NoFirstKey(PathBuf),
    /// A file cannot be read.
    #[error("Error opening file {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: OsError,
    },
    /// Each key of a file is a bad one.
    #[error("{signature_type}: unable to read from NULL key-data input stream: {first}")]
    OnlyBadKeys {
        /// The type of the keys.
        signature_type: SignatureType,
        /// What is wrong with the first.
        first: Box<SignError>,
    },
    /// A line of a key file is empty.
    #[error("Invalid base64 blob format")]
    InvalidBlob,
    /// A PEM block is for something else than the key that is wanted.
    #[error("Unexpected label \"{0}\"")]
    UnexpectedLabel(String),
    /// A PEM block ends with another label than it begins with.
    #[error("Unmatched PEM header")]
    UnmatchedHeader,
    /// A PEM block has no end.
    #[error("PEM trailer not found")]
    NoTrailer,
    /// The first key of a file cannot be read. There is nothing between path and error upstream.
    #[error("Reading {}{error}", path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: Box<SignError>,
    },
    /// Others could have put their own key into a file of secret keys.
    #[error("refusing the secret key in '{}': others may write it (mode {mode:04o})", path.display())]
    WritableByOthers {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// No keys of a type can be made.
    #[error("{0}: only ed25519 keys can be made")]
    CannotGenerate(SignatureType),
    /// A new key cannot be written.
    #[error("writing {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: OsError,
    },
    /// A signature made elsewhere is not one.
    #[error("{0}: an empty signature")]
    EmptySignature(SignatureType),
    /// A signature made elsewhere does not belong to what it was attached to.
    #[error("the signature is not attached")]
    NotAttached(#[source] Box<SignError>),
    /// A program that signs has failed.
    #[error("{}: {reason}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// What it says itself, or how it ended.
        reason: String,
    },
    /// A program cannot be run.
    #[error(transparent)]
    Process(Box<Error>),
}

impl From<SignError> for Error {
    fn from(error: SignError) -> Self {
        match error {
            SignError::Process(error) => *error,
            SignError::Open { ref source, .. }
            | SignError::Write { ref source, .. }
            | SignError::NoRandomNumbers(ref source) => {
                let what = error.to_string();
                Self::refused(what, std::io::Error::new(source.0.kind(), source.to_string()))
            }
            SignError::NotAttached(ref inner) => Self::failed(format!("{error}: {inner}")),
            _ => Self::failed(error.to_string()),
        }
    }
}

fn because(reason: &str) -> String {
    match reason {
        "" => String::new(),
        reason => format!(": {reason}"),
    }
}

/// What stands before messages about a type; upstream is not of one mind.
fn prefix(signature_type: SignatureType) -> &'static str {
    match signature_type {
        SignatureType::Ed25519 => "ed25519: ",
        SignatureType::Spki => "spki: ",
        SignatureType::Dummy => "signature: dummy: ",
    }
}

fn nothing_tried(signature_type: SignatureType) -> String {
    let prefix = prefix(signature_type);
    match signature_type {
        SignatureType::Dummy => format!("{prefix}no signatures"),
        _ => format!("{prefix}no signatures found"),
    }
}

fn not_verified(signature_type: SignatureType, tried: &[Vec<u8>], attempts: usize) -> String {
    let prefix = prefix(signature_type);
    if signature_type == SignatureType::Dummy {
        return format!("{prefix}incorrect signatures found: {attempts}");
    }
    if attempts > MOST_NAMED_KEYS {
        return format!("{prefix}Signature couldn't be verified; tried {attempts} keys");
    }
    let keys: Vec<String> = tried.iter().map(|key| format!("key '{}'", hex(key))).collect();
    format!("{prefix}Signature couldn't be verified with: {}", keys.join("; "))
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
