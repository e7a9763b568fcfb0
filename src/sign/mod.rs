//! Signatures of commits, summaries and deltas: engines and keys.
//!
//! Bytes in, verdict out: nothing here knows a repository. How signatures are stored is in
//! [`crate::object::detached`], what a commit or a summary is signed by in [`crate::signer`].
//!
//! ```text
//! engine     ed25519, spki, dummy, and which may be used
//! secret     secret keys and their files                  keys       public keys, and revoked ones
//! generate   new keys                                     signers    keys and programs as `Signer`s
//! verify     data, signatures, keys                       attach     signatures made elsewhere
//! policy     which signatures are demanded                exec       programs that sign
//! ```
//!
//! ```
//! use osier::gvariant::Dict;
//! use osier::object::detached;
//! use osier::sign::{self, Dummy, Engine, SignatureType, VerificationKeys};
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

pub mod attach;
mod base64;
mod dummy;
mod ed25519;
mod engine;
mod error;
pub mod exec;
mod generate;
mod key_text;
mod keys;
#[cfg(feature = "gpg")]
pub mod openpgp;
mod policy;
mod secret;
mod signature_type;
mod signers;
mod spki;
mod verdict;
mod verify;

pub use engine::{Dummy, Engine};
pub use error::SignError;
pub use generate::{KeyPair, generate};
pub use keys::VerificationKeys;
#[cfg(feature = "gpg")]
pub use policy::GpgPolicy;
pub use policy::{Accepted, EngineKeys, Policy, PolicyError};
pub use secret::{MAX_KEY_FILE_SIZE, SecretKey, SecretKeyFile, sign};
pub use signature_type::SignatureType;
pub use signers::ExecSigner;
#[cfg(feature = "gpg")]
pub use signers::{AgentSigner, OpenPgpSigner};
pub use verify::{Verified, verify, verify_detached};
