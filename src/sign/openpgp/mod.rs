//! OpenPGP: keyrings, signatures and the words about them, without GnuPG.
//!
//! ```text
//! packet armour signature   the format: bytes in, parts out
//! key model                 a key as it is stored, and what its own signatures make of it
//! keyring files             sets of keys, and which files hold them
//! verify report userid      a signature's state, and how it is described
//! find list import          keys by what users call them, their list, and adding some
//! sign agent                signing here with an exported key, and through the gpg program
//! attach                    signatures that were made elsewhere
//! ```
//! What the crate `pgp` does is the arithmetic. Everything about packets is read here, within
//! limits, because what is read comes from anywhere; and what makes a key good is decided here,
//! because it has to be what gpg 2.2 decides.
//!
//! ```
//! # use std::path::Path;
//! use osier::sign::openpgp::{self, Keyring};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let (data, signature) = (b"data", b"-----BEGIN PGP SIGNATURE-----\n\niAA=\n");
//! let mut keyring = Keyring::default();
//! keyring.add_file(Path::new("origin.trustedkeys.gpg"))?;
//! match openpgp::verify(data, &[signature], &keyring, 1_700_000_000) {
//!     Ok(reports) if openpgp::is_accepted(&reports) => println!("signed"),
//!     Ok(reports) => println!("{}", openpgp::refusal(&reports, &jiff::tz::TimeZone::UTC)),
//!     Err(error) => println!("{error}"),
//! }
//! # Ok(())
//! # }
//! ```

mod agent;
mod armour;
mod attach;
mod error;
mod files;
mod find;
mod id;
mod import;
mod key;
mod keyring;
mod list;
mod model;
mod packet;
mod report;
mod sign;
mod signature;
mod state;
mod userid;
mod verify;

pub use agent::Gpg;
pub use attach::{UnknownKeys, attachable};
pub use error::GpgError;
pub(crate) use files::MAX_KEYRING_SIZE;
pub use files::{Absent, split_key_path};
pub use find::elements_by;
pub use id::{Fingerprint, KeyId};
pub use import::{Imported, import};
pub use key::Certificate;
pub use keyring::Keyring;
pub use list::list;
pub use report::{SigReport, SigState, counted, format_c, is_accepted, refusal};
pub use sign::SecretKey;
pub use verify::verify;
