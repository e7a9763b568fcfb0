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
use super::engine::Engine;
use super::error::SignError;
use super::secret::SecretKey;
use super::signature_type::SignatureType;
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::engine::Dummy;
    use super::super::keys::VerificationKeys;
    use super::super::secret::{SecretKeyFile, sign};
    use super::super::verify::verify;
    use super::*;

    fn engine(ty: SignatureType) -> Engine {
        Engine::new(ty, Dummy::Allowed).unwrap()
    }

    #[test]
    fn a_new_pair_is_written_once_and_signs() {
        let scratch = tempfile::tempdir().unwrap();
        let base = scratch.path().join("name.with.dots");
        let ed25519 = engine(SignatureType::Ed25519);
        let pair = generate(ed25519).unwrap();
        let (secret, public) = pair.write(&base).unwrap();
        assert_eq!(secret, scratch.path().join("name.with.dots.sec"));
        assert_eq!(public, scratch.path().join("name.with.dots.pub"));
        assert_eq!(secret.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let file = SecretKeyFile::open(&secret).unwrap();
        assert_eq!(file.warning(), None);
        let signature = sign(&file.first_key(ed25519).unwrap(), b"data").unwrap();
        let mut keys = VerificationKeys::new(ed25519);
        keys.load_file(&public).unwrap();
        assert!(verify(&keys, b"data", [&signature[..]]).is_ok());
        assert_ne!(generate(ed25519).unwrap().public, pair.public);

        let before = std::fs::read(&secret).unwrap();
        let error = crate::Error::from(generate(ed25519).unwrap().write(&base).unwrap_err());
        assert_eq!(error.chain(), format!("writing {}: File exists", secret.display()));
        assert_eq!(std::fs::read(&secret).unwrap(), before);
        // Half a pair is not left behind.
        std::fs::remove_file(&secret).unwrap();
        assert!(pair.write(&base).is_err());
        assert!(!secret.exists());
    }

    #[test]
    fn only_ed25519_keys_are_made() {
        let error = generate(engine(SignatureType::Spki)).unwrap_err();
        assert_eq!(error.to_string(), "spki: only ed25519 keys can be made");
    }
}
