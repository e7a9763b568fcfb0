//! New keys.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ::base64::Engine as _;
use ::base64::engine::general_purpose::STANDARD;
use rustix::rand::GetRandomFlags;
use zeroize::Zeroizing;

use super::ed25519;
use super::engine::{Engine, SignatureType};
use super::error::SignError;
use super::secret::SecretKey;
use crate::error::OsError;

/// A new key pair.
#[derive(Debug)]
pub struct KeyPair {
    /// The secret key.
    pub secret: SecretKey,
    /// The public key in base64.
    pub public: String,
}

impl KeyPair {
    /// Writes `BASE.sec`, which nobody else may read, and `BASE.pub`, one base64 line each, and
    /// returns their paths. Files that are there already are not touched.
    ///
    /// # Errors
    /// When one of them is there or cannot be written; then neither is left behind.
    pub fn write(&self, base: &Path) -> Result<(PathBuf, PathBuf), SignError> {
        let with = |extension: &str| {
            let mut path = base.as_os_str().to_owned();
            path.push(extension);
            PathBuf::from(path)
        };
        let (secret, public) = (with(".sec"), with(".pub"));
        let line = Zeroizing::new(STANDARD.encode(self.secret.bytes()) + "\n");
        write_new(&secret, line.as_bytes(), 0o600)?;
        let written = write_new(&public, format!("{}\n", self.public).as_bytes(), 0o644);
        if written.is_err() {
            // The error that matters is the one above.
            let _ = std::fs::remove_file(&secret);
        }
        written.map(|()| (secret, public))
    }
}

/// Makes a key pair out of random numbers. Only ed25519 keys can be made.
///
/// # Errors
/// For another engine, or when the system has no random numbers.
pub fn generate(engine: Engine) -> Result<KeyPair, SignError> {
    let signature_type = engine.signature_type();
    if signature_type != SignatureType::Ed25519 {
        return Err(SignError::CannotGenerate(signature_type));
    }
    let mut seed = Zeroizing::new([0; 32]);
    fill(&mut *seed).map_err(|error| SignError::NoRandomNumbers(OsError(error)))?;
    let (secret, public) = ed25519::pair_of_seed(&seed);
    Ok(KeyPair { secret: SecretKey::from_bytes(engine, &secret)?, public: STANDARD.encode(public) })
}

fn fill(mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::rand::getrandom(&mut *bytes, GetRandomFlags::empty()) {
            Ok(length) => bytes = &mut bytes[length..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), SignError> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if written.is_err() {
            let _ = std::fs::remove_file(path);
        }
        written
    };
    written().map_err(|error| SignError::Write { path: path.to_owned(), source: OsError(error) })
}
