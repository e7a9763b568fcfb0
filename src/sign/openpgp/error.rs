//! What can go wrong with OpenPGP.

use super::id::KeyId;
use super::report::SigState;
use crate::error::Error;

/// An error of OpenPGP, in upstream's words where it has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpgError {
    /// The stored signatures are no signature packets.
    #[error("GPG: Unable to complete signature verification: GPGME: No data")]
    NoData,
    /// There are more signatures than are looked at.
    #[error("GPG: more than {0} signatures")]
    TooManySignatures(usize),
    /// There are no keys in what is to be imported.
    #[error("GPG: Unable to export keys: GPGME: No data")]
    NoKeys,
    /// A key to import is not among the given ones.
    #[error("GPG: Unable to find key \"{0}\": GPGME: End of file")]
    KeyNotFound(String),
    /// What should choose a key to import has fewer than eight characters.
    #[error("GPG: Unable to find key \"{0}\": GPGME: Invalid value")]
    KeyIdTooShort(String),
    /// What should choose a key to import chooses several.
    #[error("GPG: Unable to find key \"{0}\": GPGME: Ambiguous name")]
    AmbiguousKeyId(String),
    /// The keyring would hold more than is read.
    #[error("GPG: the keyring would be too large")]
    TooLarge,
    /// No secret key has that id.
    #[error("No gpg key found with ID {id} (homedir: {homedir})")]
    NoSecretKey {
        /// As the user gave it.
        id: String,
        /// As the user gave it, or `<default>`.
        homedir: String,
    },
    /// No secret key matches.
    #[error("Unable to lookup key ID {0}: GPGME: Invalid value")]
    SecretKeyLookup(String),
    /// Several secret keys match.
    #[error("gpg key id {id} ambiguous (homedir: {homedir}). Try the fingerprint instead")]
    AmbiguousKey {
        /// As the user gave it.
        id: String,
        /// As the user gave it, or `<default>`.
        homedir: String,
    },
    /// The key cannot sign (any more).
    #[error("Failure signing commit file: GPGME: Unusable secret key")]
    UnusableSecretKey,
    /// The program failed in another way.
    #[error("Failure signing commit file: {0}")]
    SigningFailed(String),
    /// The program is not there.
    #[error("{program}: No such file or directory (needed to sign with key {id})")]
    NoProgram {
        /// Its name.
        program: String,
        /// The key.
        id: String,
    },
    /// A secret key is protected by a passphrase.
    #[error(
        "the secret key is protected by a passphrase; import it into gpg and sign with its key id"
    )]
    EncryptedSecretKey,
    /// What should be an exported secret key is none.
    #[error("no secret key found")]
    NotASecretKey,
    /// What was made elsewhere is no signature.
    #[error("no OpenPGP signature found")]
    NotASignature,
    /// A signature made elsewhere is not valid.
    #[error("the signature is not attached: {state}, key ID {key}")]
    NotAttached {
        /// What it is.
        state: SigState,
        /// The key that it is said to be made by.
        key: KeyId,
    },
}

impl From<GpgError> for Error {
    fn from(error: GpgError) -> Self {
        Self::failed(error.to_string())
    }
}
