//! Secret keys, the files that hold them, and signing.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags};
use zeroize::Zeroizing;

use super::engine::Engine;
use super::error::SignError;
use super::key_text::{self, KeyBytes, Kind};
use super::signature_type::SignatureType;
use super::{base64, dummy, ed25519, spki};
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

    /// The public key that belongs to it, as verification takes it: 32 bytes for ed25519, DER for
    /// spki. A dummy key is its own public key.
    ///
    /// # Errors
    /// When an spki key is none, or of a kind that is not known.
    pub fn public_key(&self) -> Result<Vec<u8>, SignError> {
        match self.engine.signature_type() {
            SignatureType::Ed25519 => ed25519::public_key(&self.bytes),
            SignatureType::Spki => spki::public_key(&self.bytes),
            SignatureType::Dummy => Ok(self.bytes.to_vec()),
        }
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

/// Signs bytes.
///
/// # Errors
/// When an spki key is none, or of a kind that is not known.
pub fn sign(key: &SecretKey, data: &[u8]) -> Result<Vec<u8>, SignError> {
    match key.engine().signature_type() {
        SignatureType::Ed25519 => ed25519::sign(key.bytes(), data),
        SignatureType::Spki => spki::sign(key.bytes(), data),
        SignatureType::Dummy => Ok(dummy::sign(key.bytes())),
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

    /// A file of that text, without a file: nothing is known of who may read or write it.
    pub fn of_text(path: &Path, text: &[u8]) -> Self {
        Self { path: path.to_owned(), text: Zeroizing::new(text.to_vec()), mode: None }
    }

    /// Reads a file that must be a regular one.
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

    /// The content.
    pub fn bytes(&self) -> &[u8] {
        &self.text
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::engine::Dummy;
    use super::*;
    use crate::error::Error;

    const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g
-----END PRIVATE KEY-----
";
    const KEY: &str =
        "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyB5tVYuj+ZU+UB4sRLoqYunkB+FOuaVvtfg45ELrQSWZA==";

    fn engine(ty: SignatureType) -> Engine {
        Engine::new(ty, Dummy::Allowed).unwrap()
    }

    fn first(ty: SignatureType, text: &str) -> Result<Vec<u8>, String> {
        SecretKeyFile::of_text(Path::new("/k/key"), text.as_bytes())
            .first_key(engine(ty))
            .map(|key| key.bytes().to_vec())
            .map_err(|error| Error::from(error).chain())
    }

    #[test]
    fn the_public_key_is_that_of_the_seed() {
        let key = SecretKey::parse(engine(SignatureType::Ed25519), KEY).unwrap();
        assert_eq!(key.public_key().unwrap(), key.bytes()[32..]);
        let dummy = SecretKey::parse(engine(SignatureType::Dummy), "text").unwrap();
        assert_eq!(dummy.public_key().unwrap(), b"text");
    }

    #[test]
    fn the_first_key_of_a_file_is_taken_and_what_is_wrong_with_it_said() {
        let ed25519 = SignatureType::Ed25519;
        let key = SecretKey::parse(engine(ed25519), KEY).unwrap().bytes().to_vec();
        assert_eq!(first(ed25519, KEY), Ok(key.clone()));
        assert_eq!(first(ed25519, &format!("{KEY}\r\n\nanything")), Ok(key.clone()));
        assert_eq!(first(ed25519, OPENSSL), Ok(key));
        let table = [
            (ed25519, "\n", "Reading /k/keyInvalid base64 blob format"),
            (
                ed25519,
                "YQ==\n",
                "Invalid ed25519 secret key: Ill-formed input: expected 64 bytes, got 1 bytes",
            ),
            (ed25519, "", "Reading /k/key: no key found"),
            (SignatureType::Spki, "text\n\n", "Reading /k/key: no key found"),
            (
                SignatureType::Spki,
                "-----BEGIN EC PRIVATE KEY-----\nYQ==\n-----END EC PRIVATE KEY-----",
                "Reading /k/keyUnexpected label \"EC PRIVATE KEY\"",
            ),
            (
                SignatureType::Spki,
                "-----BEGIN PRIVATE KEY-----\nYQ==\n-----END PUBLIC KEY-----\n",
                "Reading /k/keyUnmatched PEM header",
            ),
            (
                SignatureType::Spki,
                "-----BEGIN PRIVATE KEY-----\nYQ==\n",
                "Reading /k/keyPEM trailer not found",
            ),
        ];
        for (ty, text, expected) in table {
            assert_eq!(first(ty, text), Err(expected.to_owned()), "{text}");
        }
        assert_eq!(first(SignatureType::Dummy, "a text\nanother\n"), Ok(b"a text".to_vec()));
    }

    #[test]
    fn all_keys_of_a_file_are_taken() {
        let keys = |text: &str| {
            SecretKeyFile::of_text(Path::new("F"), text.as_bytes())
                .keys(engine(SignatureType::Ed25519))
                .map(|keys| keys.len())
                .map_err(|error| error.to_string())
        };
        assert_eq!(keys(&format!("{KEY}\n{KEY}\n")), Ok(2));
        assert_eq!(keys(&format!("{OPENSSL}{OPENSSL}")), Ok(2));
        assert_eq!(keys(""), Err("no valid keys in file 'F'".to_owned()));
        assert_eq!(
            keys(&format!("{KEY}\nYQ==\n")),
            Err("Invalid ed25519 secret key: Ill-formed input: expected 64 bytes, got 1 bytes"
                .to_owned())
        );
    }

    #[test]
    fn a_file_that_others_may_write_is_refused_and_one_that_they_may_read_warned_of() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("key");
        std::fs::write(&path, KEY).unwrap();
        let shown = path.display();
        for (mode, warned) in [(0o600, false), (0o640, true), (0o644, true), (0o400, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let expected = warned
                .then(|| format!("others may read the secret key in '{shown}' (mode {mode:04o})"));
            assert_eq!(SecretKeyFile::open(&path).unwrap().warning(), expected);
        }
        for mode in [0o660, 0o602, 0o666] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(
                SecretKeyFile::open_regular(&path).unwrap_err().to_string(),
                format!(
                    "refusing the secret key in '{shown}': others may write it (mode {mode:04o})"
                )
            );
        }
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let (absent, large) = (scratch.path().join("absent"), scratch.path().join("large"));
        let message = |error: SignError| Error::from(error).chain();
        assert_eq!(
            message(SecretKeyFile::open(&absent).unwrap_err()),
            format!("Error opening file {}: No such file or directory", absent.display())
        );
        for path in [&absent, scratch.path(), Path::new("/dev/null")] {
            assert_eq!(
                message(SecretKeyFile::open_regular(path).unwrap_err()),
                format!("File object '{}' is not a regular file", path.display())
            );
        }
        std::fs::write(&large, vec![b'\n'; MAX_KEY_FILE_SIZE as usize + 1]).unwrap();
        assert_eq!(
            message(SecretKeyFile::open(&large).unwrap_err()),
            format!("Error opening file {}: larger than 1048576 bytes", large.display())
        );
    }
}
