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

use super::engine::Engine;
use super::error::SignError;
use super::key_text::{self, KeyBytes, Kind};
use super::secret::MAX_KEY_FILE_SIZE;
use super::signature_type::SignatureType;
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

    /// The same for the text of a file; errors name it `path`.
    ///
    /// # Errors
    /// When there is no good key in it.
    pub fn load_text(&mut self, text: &[u8], path: &Path) -> Result<(), SignError> {
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

    /// Takes the keys of a text out of use. Whatever else is in it, no key may be missed.
    pub fn revoke_text(&mut self, text: &[u8]) {
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

#[cfg(test)]
mod tests {
    use super::super::engine::Dummy;
    use super::*;

    fn new(ty: SignatureType) -> VerificationKeys {
        VerificationKeys::new(Engine::new(ty, Dummy::Allowed).unwrap())
    }

    /// A line that stands for the key of that byte repeated.
    fn line(byte: u8) -> String {
        use ::base64::Engine as _;
        ::base64::engine::general_purpose::STANDARD.encode([byte; 32]) + "\n"
    }

    fn firsts(keys: &VerificationKeys) -> Vec<u8> {
        keys.iter().map(|key| key[0]).collect()
    }

    #[test]
    fn bad_lines_among_good_ones_are_left_out() {
        let table = [
            (line(1) + "# note\n" + &line(2) + "\r\n" + &line(1), Ok(vec![2, 1])),
            (line(3).trim_end().to_owned(), Ok(vec![3])),
            (String::new(), Err("signature: ed25519: no valid keys in file 'F'")),
            (line(1) + "\n" + &line(2), Err("Invalid base64 blob format")),
            ("\n".to_owned(), Err("Invalid base64 blob format")),
            (
                "YQ==\nYWI=\n".to_owned(),
                Err("ed25519: unable to read from NULL key-data input stream: \
                     Invalid ed25519 public key: Ill-formed input: expected 32 bytes, got 1 bytes"),
            ),
        ];
        for (text, expected) in table {
            let mut keys = new(SignatureType::Ed25519);
            let loaded = keys.load_text(text.as_bytes(), Path::new("F"));
            let loaded = loaded.map(|()| firsts(&keys)).map_err(|error| error.to_string());
            assert_eq!(loaded, expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn pem_blocks_are_the_keys_of_spki_files() {
        let block = |label: &str, key: &str| {
            format!("text\n-----BEGIN {label}-----\r\n{key}\n\n-----END {label}-----\n")
        };
        let mut keys = new(SignatureType::Spki);
        let text = block("PUBLIC KEY", "YQ\n==") + "\n" + &block("PUBLIC KEY", "YmM=");
        keys.load_text(text.as_bytes(), Path::new("F")).unwrap();
        assert_eq!(keys.iter().collect::<Vec<_>>(), [&b"bc"[..], b"a"]);
        for (text, expected) in [
            (block("PRIVATE KEY", ""), "Unexpected label \"PRIVATE KEY\""),
            ("no block\n".to_owned(), "signature: spki: no valid keys in file 'F'"),
        ] {
            let loaded = keys.load_text(text.as_bytes(), Path::new("F"));
            assert_eq!(loaded.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn default_directories_are_loaded_and_what_is_revoked_in_any_is_out_of_use() {
        let scratch = tempfile::tempdir().unwrap();
        let bases = ["etc", "share", "absent"].map(|name| scratch.path().join(name));
        let write = |name: &str, text: &str| {
            let path = scratch.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let load = || {
            let mut keys = new(SignatureType::Ed25519);
            keys.load_directories(&bases).map(|()| firsts(&keys)).map_err(|error| error.to_string())
        };
        let none = Err("signature: ed25519: no keys loaded".to_owned());
        assert_eq!(load(), none);
        write("etc/revoked.ed25519", &line(3));
        assert_eq!(load(), none);
        write("share/trusted.ed25519", &(line(1) + &line(3)));
        write("etc/trusted.ed25519.d/any-name", &line(2));
        write("etc/trusted.ed25519.d/directory/not-looked-at", &line(9));
        write("etc/trusted.ed25519.d/broken", "\n");
        assert_eq!(load(), Ok(vec![1, 2]));
        // No empty or broken line hides a revoked key.
        write("share/revoked.ed25519.d/list", &("\n# note\n".to_owned() + &line(2)));
        assert_eq!(load(), Ok(vec![1]));
        write("share/revoked.ed25519.d/more", &line(1));
        assert_eq!(load(), Ok(vec![]));
        // Keys of files are not looked up in the lists.
        let mut keys = new(SignatureType::Ed25519);
        keys.load_file(&bases[1].join("trusted.ed25519")).unwrap();
        assert_eq!(firsts(&keys), [3, 1]);
    }

    #[test]
    fn what_is_no_regular_file_has_no_keys() {
        let scratch = tempfile::tempdir().unwrap();
        let pipe = scratch.path().join("pipe");
        let kind = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
        for path in [pipe.as_path(), scratch.path(), Path::new("/dev/zero"), Path::new("/nowhere")]
        {
            let error = new(SignatureType::Spki).load_file(path).unwrap_err().to_string();
            assert_eq!(error, format!("File object '{}' is not a regular file", path.display()));
        }
    }
}
