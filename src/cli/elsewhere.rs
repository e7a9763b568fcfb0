//! Signatures that are made elsewhere: by a program, or before, in a file. `sign`, `gpg-sign` and
//! `summary` take them; which public keys they have to be valid with is decided here for all three.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osier::error::{During as _, Error, Result};
use osier::input;
use osier::process::{Call, Interrupt};
use osier::repo::Repo;
use osier::sign::attach::{Attachable, Keys};
use osier::sign::exec::{self, EXEC_TIMEOUT, Payload};
use osier::sign::{SignError, VerificationKeys};
use osier::signer::{PayloadKind, Signature, Signer};

use super::error::{Failure, warn};
use super::interrupt;
use super::signing;

/// The name of OpenPGP where a signature type is asked for.
const GPG: &str = "gpg";

/// Where keys are trusted or revoked for the whole system.
pub(super) const KEY_DIRECTORIES: [&str; 2] = ["/etc/ostree", "/usr/share/ostree"];

/// The public keys that the user names, as the values of options.
#[derive(Debug, Default)]
pub(super) struct KeyOptions {
    /// `--sign-type`.
    pub(super) sign_type: Option<String>,
    /// `--verify-key`.
    pub(super) verify_key: Vec<String>,
    /// `--keys-file`.
    pub(super) keys_file: Option<PathBuf>,
    /// `--keys-dir`.
    pub(super) keys_dir: Option<PathBuf>,
    /// `--gpg-homedir`.
    pub(super) gpg_homedir: Option<PathBuf>,
}

impl KeyOptions {
    /// For OpenPGP.
    #[cfg(feature = "gpg")]
    pub(super) fn gpg() -> Self {
        Self { sign_type: Some(GPG.to_owned()), ..Self::default() }
    }

    /// The keys that these options and the system have.
    pub(super) fn load(&self, repo: &Repo) -> Result<Keys, Failure> {
        if self.sign_type.as_deref() == Some(GPG) {
            return self.load_openpgp(repo);
        }
        let mut keys = VerificationKeys::new(signing::engine(self.sign_type.as_deref())?);
        self.add_to(&mut keys).map_err(Error::from)?;
        Ok(Keys::Engine(keys))
    }

    fn add_to(&self, keys: &mut VerificationKeys) -> Result<(), SignError> {
        self.verify_key.iter().try_for_each(|key| keys.add_inline(key))?;
        if let Some(file) = &self.keys_file {
            return keys.load_file(file);
        }
        if !self.verify_key.is_empty() {
            return Ok(());
        }
        match keys.load_directories(&self.directories()) {
            Err(SignError::NoKeysLoaded(_)) if self.keys_dir.is_none() => Ok(()),
            loaded => loaded,
        }
    }

    /// Where keys are looked for when the user gives none.
    pub(super) fn directories(&self) -> Vec<PathBuf> {
        match &self.keys_dir {
            Some(directory) => vec![directory.clone()],
            None => KEY_DIRECTORIES.map(PathBuf::from).to_vec(),
        }
    }

    #[cfg(feature = "gpg")]
    fn load_openpgp(&self, repo: &Repo) -> Result<Keys, Failure> {
        use osier::remote::keyrings::{self, Directories};
        use osier::sign::openpgp::{Keyring, UnknownKeys};

        for (is_given, option) in
            [(!self.verify_key.is_empty(), "--verify-key"), (self.keys_dir.is_some(), "--keys-dir")]
        {
            if is_given {
                let message = format!("{option} is not for OpenPGP keys; use --keys-file");
                return Err(Failure::usage(message));
            }
        }
        let now = super::clock::now().cast_signed();
        let Some(file) = &self.keys_file else {
            let global = super::signatures::global_keyrings();
            let homedir = self.gpg_homedir.as_deref();
            let directories = Directories { global: Some(&global), homedir };
            let keyring = keyrings::of_all_remotes(repo, &directories)?;
            return Ok(Keys::OpenPgp { keyring, unknown: UnknownKeys::Accepted, now });
        };
        let mut keyring = Keyring::default();
        if keyring.add(&read(file)?, file) == 0 {
            let message = format!("no OpenPGP keys in file '{}'", file.display());
            return Err(Failure::failed(message));
        }
        Ok(Keys::OpenPgp { keyring, unknown: UnknownKeys::Refused, now })
    }

    #[cfg(not(feature = "gpg"))]
    fn load_openpgp(&self, _: &Repo) -> Result<Keys, Failure> {
        let _ = &self.gpg_homedir;
        Err(Failure::failed("GPG has been disabled at build time"))
    }
}

/// Where a signature comes from.
#[derive(Debug)]
enum Source {
    /// It was made before.
    File(Vec<u8>),
    /// A program makes it.
    Program { call: Call, timeout: Duration, interrupt: Interrupt },
}

/// Signs with what was made elsewhere, unless the public keys refute it.
#[derive(Debug)]
pub(super) struct Elsewhere {
    source: Source,
    keys: Keys,
}

impl Elsewhere {
    /// The signature in a file.
    pub(super) fn file(path: &Path, keys: Keys) -> Result<Self, Failure> {
        Ok(Self { source: Source::File(read(path)?), keys })
    }

    /// That of a program, which gets so many seconds.
    pub(super) fn program(
        program: &str,
        arguments: &[String],
        seconds: Option<i32>,
        keys: Keys,
    ) -> Result<Self, Failure> {
        let timeout = match seconds.map(u64::try_from) {
            None => EXEC_TIMEOUT,
            Some(Ok(seconds @ 1..)) => Duration::from_secs(seconds),
            Some(_) => return Err(Failure::failed("--exec-timeout must be positive")),
        };
        let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
        let call = Call::new(&[program.to_owned()], &environment)?.args(arguments);
        Ok(Self { source: Source::Program { call, timeout, interrupt: interrupt::flag() }, keys })
    }

    /// The keys that decide.
    #[cfg(feature = "gpg")]
    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }
}

impl Signer for Elsewhere {
    fn sign(&self, kind: PayloadKind, payload: &[u8]) -> Result<Signature> {
        let metadata_key = self.keys.metadata_key();
        let made = match &self.source {
            Source::File(bytes) => bytes.clone(),
            Source::Program { call, timeout, interrupt } => {
                let signature_type = self.keys.type_name();
                let payload = Payload { signature_type, kind, bytes: payload };
                exec::sign(call, &payload, *timeout, interrupt)?
            }
        };
        let (bytes, known) = self.keys.check(payload, &made)?;
        if known == Attachable::NotTried {
            let kind = kind.name();
            warn(&format!("warning: there is no public key to verify the {kind}'s signature with"));
        }
        Ok(Signature { metadata_key, bytes })
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    input::read_named(path).during("reading", path)
}
