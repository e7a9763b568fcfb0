//! Signatures of commits, summaries and deltas: engines, keys and how signatures are stored.
//!
//! Bytes in, verdict out: nothing here knows a repository.
//!
//! ```text
//! engine     ed25519, spki, dummy, and which may be used
//! secret     secret keys and their files                  keys       public keys, and revoked ones
//! detached   signatures in dictionaries of metadata       generate   new keys
//! verify     data, signatures, keys                       attach     signatures made elsewhere
//!                                                         exec       programs that sign
//! signer     what signs a commit or a summary on its way into the repository
//! ```
//!
//! ```
//! use osier::gvariant::Dict;
//! use osier::sign::{self, Dummy, Engine, SignatureType, VerificationKeys, detached};
//!
//! # fn main() -> Result<(), sign::SignError> {
//! let engine = Engine::new(SignatureType::Ed25519, Dummy::Refused)?;
//! let pair = sign::generate(engine)?;
//! let signature = sign::sign(&pair.secret, b"the bytes of a commit")?;
//! let key = SignatureType::Ed25519.metadata_key();
//! let metadata = detached::append(&Dict::new(), key, &signature);
//!
//! let mut keys = VerificationKeys::new(engine);
//! keys.add_inline(&pair.public)?;
//! let verified = sign::verify_detached(&keys, b"the bytes of a commit", &metadata)?;
//! assert!(verified.to_string().starts_with("ed25519: Signature verified successfully with key '"));
//! assert!(sign::verify_detached(&keys, b"other bytes", &metadata).is_err());
//! # Ok(())
//! # }
//! ```

#[cfg(feature = "sign")]
pub mod attach;
#[cfg(feature = "sign")]
mod base64;
pub mod detached;
#[cfg(feature = "sign")]
mod dummy;
#[cfg(feature = "sign")]
mod ed25519;
#[cfg(feature = "sign")]
mod engine;
#[cfg(feature = "sign")]
mod error;
#[cfg(feature = "sign")]
pub mod exec;
#[cfg(feature = "sign")]
mod generate;
#[cfg(feature = "sign")]
mod key_text;
#[cfg(feature = "sign")]
mod keys;
#[cfg(feature = "gpg")]
pub mod openpgp;
#[cfg(feature = "sign")]
mod secret;
#[cfg(feature = "sign")]
mod signature_type;
mod signer;
#[cfg(feature = "sign")]
mod signers;
#[cfg(feature = "sign")]
mod spki;
#[cfg(feature = "sign")]
mod verdict;
#[cfg(feature = "sign")]
mod verify;

#[cfg(feature = "sign")]
pub use engine::{Dummy, Engine};
#[cfg(feature = "sign")]
pub use error::SignError;
#[cfg(feature = "sign")]
pub use generate::{KeyPair, generate};
#[cfg(feature = "sign")]
pub use keys::VerificationKeys;
#[cfg(feature = "sign")]
pub use secret::{MAX_KEY_FILE_SIZE, SecretKey, SecretKeyFile, sign};
#[cfg(feature = "sign")]
pub use signature_type::SignatureType;
pub use signer::{PayloadKind, Signature, Signer, sign_all};
#[cfg(feature = "sign")]
pub use signers::ExecSigner;
#[cfg(feature = "gpg")]
pub use signers::{AgentSigner, OpenPgpSigner};
#[cfg(feature = "sign")]
pub use verify::{Verified, verify, verify_detached};
