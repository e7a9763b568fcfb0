//! Secret keys and the files that hold them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use zeroize::Zeroizing;

use super::engine::{Engine, SignatureType};
use super::error::SignError;
use super::key_text::{self, KeyBytes, Kind};
use super::{base64, ed25519};
use crate::error::OsError;
use crate::input;

/// The largest file of keys that is read, in bytes.
pub const MAX_KEY_FILE_SIZE: u64 = 1 << 20;

/// A secret key. It is wiped when it is dropped, and shown nowhere.
#[derive(Clone)]
pub struct SecretKey {
    engine: Engine,
    bytes: KeyBytes,
}

impl SecretKey {
    /// The key that a text on the command line stands for: base64, or for dummy signatures the text
    /// itself.
    ///
    /// # Errors
    /// When an ed25519 key has the wrong length. An spki key is not looked at before it signs.
    pub fn parse(engine: Engine, text: &str) -> Result<Self, SignError> {
        match engine.signature_type() {
            SignatureType::Dummy => Ok(Self::of_text(engine, text.as_bytes())),
            _ => Self::new(engine, base64::decode(text.as_bytes())),
        }
    }

    /// A key of bytes: seed and public key for ed25519, DER for spki.
    ///
    /// # Errors
    /// As in [`SecretKey::parse`].
    pub fn from_bytes(engine: Engine, bytes: &[u8]) -> Result<Self, SignError> {
        Self::new(engine, Zeroizing::new(bytes.to_vec()))
    }

    fn new(engine: Engine, bytes: KeyBytes) -> Result<Self, SignError> {
        if engine.signature_type() == SignatureType::Ed25519 {
            ed25519::check_secret(&bytes)?;
        }
        Ok(Self { engine, bytes })
    }

    fn of_text(engine: Engine, text: &[u8]) -> Self {
        Self { engine, bytes: Zeroizing::new(text.to_vec()) }
    }

    /// The engine that the key is for.
    pub fn engine(&self) -> Engine {
        self.engine
    }

    /// The key itself.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey({}, ...)", self.engine.signature_type())
    }
}

/// A file of secret keys that was read.
///
/// ```text
/// ed25519   one base64 key a line, or PEM as OpenSSL writes it
/// spki      PEM: -----BEGIN PRIVATE KEY-----
/// dummy     one text a line
/// ```
pub struct SecretKeyFile {
    path: PathBuf,
    text: KeyBytes,
    /// The permissions of a regular file.
    mode: Option<u32>,
}

impl SecretKeyFile {
    /// Reads a file, or what comes through a pipe, of at most [`MAX_KEY_FILE_SIZE`].
    ///
    /// # Errors
    /// When it cannot be read, is of another kind or larger; when others than its owner may write
    /// it.
    pub fn open(path: &Path) -> Result<Self, SignError> {
        let (text, mode) = read(path)
            .map_err(|error| SignError::Open { path: path.to_owned(), source: OsError(error) })?;
        match mode {
            Some(mode) if mode & 0o022 != 0 => {
                Err(SignError::WritableByOthers { path: path.to_owned(), mode })
            }
            _ => Ok(Self { path: path.to_owned(), text, mode }),
        }
    }

    /// The same for a file that must be a regular one.
    ///
    /// # Errors
    /// `File object 'F' is not a regular file`, when there is none or it is something else; as in
    /// [`SecretKeyFile::open`].
    pub fn open_regular(path: &Path) -> Result<Self, SignError> {
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => Self::open(path),
            _ => Err(SignError::NotRegularFile(path.to_owned())),
        }
    }

    /// What the user should hear: that others may read the file.
    pub fn warning(&self) -> Option<String> {
        let mode = self.mode.filter(|mode| mode & 0o044 != 0)?;
        let path = self.path.display();
        Some(format!("others may read the secret key in '{path}' (mode {mode:04o})"))
    }

    /// All keys.
    ///
    /// # Errors
    /// When one of them is none, or there is none: `no valid keys in file 'F'`.
    pub fn keys(&self, engine: Engine) -> Result<Vec<SecretKey>, SignError> {
        let all: Vec<SecretKey> = self
            .texts(engine)
            .map(|key| SecretKey::new(engine, key?))
            .collect::<Result<_, SignError>>()?;
        match all.is_empty() {
            true => Err(SignError::NoSecretKeys(self.path.clone())),
            false => Ok(all),
        }
    }

    /// The first key; nothing behind it is looked at.
    ///
    /// # Errors
    /// When it is none, or there is none.
    pub fn first_key(&self, engine: Engine) -> Result<SecretKey, SignError> {
        match self.texts(engine).next() {
            None => Err(SignError::NoFirstKey(self.path.clone())),
            Some(Err(error)) => {
                Err(SignError::Reading { path: self.path.clone(), error: Box::new(error) })
            }
            Some(Ok(key)) => SecretKey::new(engine, key),
        }
    }

    fn texts(&self, engine: Engine) -> impl Iterator<Item = Result<KeyBytes, SignError>> + '_ {
        key_text::keys(engine.signature_type(), Kind::Secret, &self.text)
    }
}

impl fmt::Debug for SecretKeyFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKeyFile").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The contents of a file and, of a regular one, the permissions.
fn read(path: &Path) -> io::Result<(KeyBytes, Option<u32>)> {
    if FileType::from_raw_mode(rustix::fs::stat(path)?.st_mode) != FileType::RegularFile {
        let text = Zeroizing::new(input::read_named(path)?);
        return Ok((text, None));
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let file = input::require_regular(file)?;
    let stat = rustix::fs::fstat(&file)?;
    if stat.st_size as u64 > MAX_KEY_FILE_SIZE {
        return Err(io::Error::other(format!("larger than {MAX_KEY_FILE_SIZE} bytes")));
    }
    // Room for all of it, so that no copy is left in memory while it grows.
    let mut text = Zeroizing::new(Vec::with_capacity(stat.st_size as usize + 64));
    file.take(MAX_KEY_FILE_SIZE).read_to_end(&mut text)?;
    Ok((text, Some(stat.st_mode & 0o7777)))
}
