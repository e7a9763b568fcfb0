//! The public key that belongs to what signs: its name, and whether a signature is valid with it.

#[cfg(feature = "gpg")]
use std::path::Path;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
#[cfg(feature = "gpg")]
use crate::object::detached;
use crate::sign::attach;
#[cfg(feature = "gpg")]
use crate::sign::openpgp::{self, Keyring};
use crate::sign::{Dummy, Engine, SignError, SignatureType, VerificationKeys, verify};

/// A public key.
#[derive(Debug)]
pub(super) enum Public {
    /// Of type ed25519 or spki; there is exactly one.
    Bare(VerificationKeys),
    /// One of OpenPGP, with its subkeys.
    #[cfg(feature = "gpg")]
    OpenPgp {
        keyring: Keyring,
        /// The time to verify at, in seconds since 1970.
        now: i64,
    },
}

impl Public {
    /// The one key of the set.
    ///
    /// # Errors
    /// When there are more, or it is none of a kind that is known.
    pub(super) fn bare(keys: VerificationKeys) -> Result<Self> {
        match keys.iter().count() {
            1 => {}
            count => return Err(Error::failed(format!("{count} public keys instead of one"))),
        }
        match verify(&keys, b"", [&[0; 64][..]]) {
            Err(error @ SignError::UnusableKey { .. }) => Err(error.into()),
            _ => Ok(Self::Bare(keys)),
        }
    }

    /// A key of that type.
    ///
    /// # Errors
    /// As [`Public::bare`].
    pub(super) fn bare_of_bytes(signature_type: SignatureType, key: &[u8]) -> Result<Self> {
        let mut keys = VerificationKeys::new(Engine::new(signature_type, Dummy::Refused)?);
        keys.add_bytes(key)?;
        Self::bare(keys)
    }

    /// The one key of a binary keyring. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When there is another number of them.
    #[cfg(feature = "gpg")]
    pub(super) fn openpgp(exported: &[u8], now: i64) -> Result<Self> {
        let mut keyring = Keyring::default();
        match keyring.add_binary(exported, Path::new("")) {
            1 => Ok(Self::OpenPgp { keyring, now }),
            count => Err(Error::failed(format!("{count} public keys instead of one"))),
        }
    }

    /// Under which its signatures are stored.
    pub(super) fn metadata_key(&self) -> &'static str {
        match self {
            Self::Bare(keys) => keys.engine().signature_type().metadata_key(),
            #[cfg(feature = "gpg")]
            Self::OpenPgp { .. } => detached::GPG_KEY,
        }
    }

    /// Whether deltas can have its signatures.
    pub(super) fn signs_deltas(&self) -> bool {
        matches!(self, Self::Bare(_))
    }

    /// As reports have it: `gpg:` and the fingerprint of the primary key, `ed25519:` and the key,
    /// or `spki:` and the SHA-256 of the key, which may be long; all in hexadecimal digits.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Bare(keys) => {
                let signature_type = keys.engine().signature_type();
                let key = keys.iter().next().unwrap_or_default();
                let digits = match signature_type {
                    SignatureType::Ed25519 => {
                        key.iter().map(|byte| format!("{byte:02x}")).collect()
                    }
                    _ => Checksum::of(key).to_hex(),
                };
                format!("{signature_type}:{digits}")
            }
            #[cfg(feature = "gpg")]
            Self::OpenPgp { keyring, .. } => {
                let keys = keyring.certificates().iter();
                let fingerprints: Vec<String> =
                    keys.map(|key| key.fingerprint().to_string()).collect();
                format!("gpg:{}", fingerprints.join(" "))
            }
        }
    }

    /// Verifies a signature.
    ///
    /// # Errors
    /// When it is not valid, whatever the reason.
    pub(super) fn verify(&self, data: &[u8], signature: &[u8]) -> Result<()> {
        match self {
            Self::Bare(keys) => Ok(attach::check(keys, data, signature).map(|_| ())?),
            #[cfg(feature = "gpg")]
            Self::OpenPgp { keyring, now } => {
                let reports = openpgp::verify(data, &[signature], keyring, *now)?;
                match openpgp::is_accepted(&reports) {
                    true => Ok(()),
                    false => Err(Error::failed("the signature is not valid with this key")),
                }
            }
        }
    }
}
