//! Public keys that signatures are tried with: where they come from, and which are revoked.
//!
//! ```text
//! DIRECTORY/trusted.TYPE     DIRECTORY/trusted.TYPE.d/*     public keys
//! DIRECTORY/revoked.TYPE     DIRECTORY/revoked.TYPE.d/*     keys not to be trusted any longer
//! ```
//!
//! The directories are `/etc/ostree` and the `ostree` directory of the shared data, unless the user
//! names another one. A revoked key is not tried, wherever it is trusted; but only who loads the
//! directories hears of it.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::engine::{Engine, SignatureType};
use super::error::SignError;
use super::key_text::{self, KeyBytes, Kind};
use super::secret::MAX_KEY_FILE_SIZE;
use super::{base64, ed25519};
use crate::error::OsError;
use crate::input;

/// The public keys of one engine.
#[derive(Clone, Debug)]
pub struct VerificationKeys {
    engine: Engine,
    trusted: Vec<Vec<u8>>,
    revoked: Vec<Vec<u8>>,
}

impl VerificationKeys {
    /// No keys yet.
    pub fn new(engine: Engine) -> Self {
        Self { engine, trusted: Vec::new(), revoked: Vec::new() }
    }

    /// The engine that the keys are for.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// Whether there are none, not even revoked ones that are trusted.
    pub fn is_empty(&self) -> bool {
        self.trusted.is_empty()
    }

    /// The keys in the order in which they are tried: the newest first, without the revoked ones.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.trusted.iter().rev().filter(|key| !self.revoked.contains(key)).map(Vec::as_slice)
    }

    /// Adds the key that a text stands for: base64, or for dummy signatures the text itself.
    ///
    /// # Errors
    /// When an ed25519 key has the wrong length. An spki key is not looked at before it is tried.
    pub fn add_inline(&mut self, text: &str) -> Result<(), SignError> {
        match self.engine.signature_type() {
            SignatureType::Dummy => self.add_bytes(text.as_bytes()),
            _ => self.add_bytes(&base64::decode(text.as_bytes())),
        }
    }

    /// Adds a key. One that is there already stays where it is.
    ///
    /// # Errors
    /// As for [`VerificationKeys::add_inline`].
    pub fn add_bytes(&mut self, key: &[u8]) -> Result<(), SignError> {
        if self.engine.signature_type() == SignatureType::Ed25519 {
            ed25519::check_public(key)?;
        }
        add(&mut self.trusted, key);
        Ok(())
    }

    /// Takes a key out of use.
    ///
    /// # Errors
    /// When an ed25519 key has the wrong length.
    pub fn revoke_bytes(&mut self, key: &[u8]) -> Result<(), SignError> {
        if self.engine.signature_type() == SignatureType::Ed25519 {
            ed25519::check_revoked(key)?;
        }
        add(&mut self.revoked, key);
        Ok(())
    }

    /// Adds the keys of a file: one a line in base64 for ed25519, PEM blocks for spki, one text a
    /// line for dummy. Bad keys among good ones are left out. It may have at most
    /// [`MAX_KEY_FILE_SIZE`].
    ///
    /// # Errors
    /// When it is no regular file, cannot be read, or has no good key.
    pub fn load_file(&mut self, path: &Path) -> Result<(), SignError> {
        let bytes = read(path)?;
        self.load_text(&bytes, path)
    }

    fn load_text(&mut self, text: &[u8], path: &Path) -> Result<(), SignError> {
        let signature_type = self.engine.signature_type();
        let (mut any_good, mut first_bad) = (false, None);
        for key in key_text::keys(signature_type, Kind::Public, text) {
            match self.add_bytes(&key?) {
                Ok(()) => any_good = true,
                Err(error) => first_bad = first_bad.or(Some(error)),
            }
        }
        match first_bad {
            _ if any_good => Ok(()),
            None => Err(SignError::NoPublicKeys { signature_type, path: path.to_owned() }),
            Some(first) => Err(SignError::OnlyBadKeys { signature_type, first: first.into() }),
        }
    }

    /// Adds the keys of the default directories below each of `bases`, and takes those out of use
    /// that are revoked in any of them. What cannot be read is passed over.
    ///
    /// # Errors
    /// `signature: TYPE: no keys loaded`, when no file has a good key.
    pub fn load_directories(&mut self, bases: &[PathBuf]) -> Result<(), SignError> {
        let signature_type = self.engine.signature_type();
        let mut any_loaded = false;
        for file in bases.iter().flat_map(|base| files(base, "trusted", signature_type)) {
            match self.load_file(&file) {
                Ok(()) => any_loaded = true,
                Err(error) => log::debug!("no keys in {}: {error}", file.display()),
            }
        }
        for file in bases.iter().flat_map(|base| files(base, "revoked", signature_type)) {
            match read(&file) {
                Ok(text) => self.revoke_text(&text),
                Err(error) => log::debug!("no keys in {}: {error}", file.display()),
            }
        }
        match any_loaded {
            true => Ok(()),
            false => Err(SignError::NoKeysLoaded(signature_type)),
        }
    }

    /// Whatever else is in a list of revoked keys, no key in it may be missed.
    fn revoke_text(&mut self, text: &[u8]) {
        let keys = key_text::keys(self.engine.signature_type(), Kind::Public, text);
        for key in keys {
            if let Err(error) = key.and_then(|key: KeyBytes| self.revoke_bytes(&key)) {
                log::debug!("no key to revoke: {error}");
            }
        }
    }
}

fn add(keys: &mut Vec<Vec<u8>>, key: &[u8]) {
    if !keys.iter().any(|known| known == key) {
        keys.push(key.to_vec());
    }
}

/// A file and what is in the directory of the same name with `.d`.
fn files(base: &Path, list: &str, signature_type: SignatureType) -> Vec<PathBuf> {
    let file = base.join(format!("{list}.{signature_type}"));
    let directory = base.join(format!("{list}.{signature_type}.d"));
    let entries = fs::read_dir(directory).into_iter().flatten();
    std::iter::once(file).chain(entries.filter_map(|entry| Some(entry.ok()?.path()))).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, SignError> {
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        _ => return Err(SignError::NotRegularFile(path.to_owned())),
    }
    input::read_stored(rustix::fs::CWD, path, MAX_KEY_FILE_SIZE).map_err(|error| {
        match error.kind() {
            ErrorKind::NotFound => SignError::NotRegularFile(path.to_owned()),
            _ => SignError::Open { path: path.to_owned(), source: OsError(error) },
        }
    })
}
