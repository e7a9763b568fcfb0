//! Finds what the configuration says that signs, with all that is wrong with it.

use std::path::Path;

use super::key::Key;
use super::public::Public;
use crate::compose::Surroundings;
use crate::compose::check::{Finding, Findings, Severity};
use crate::compose::config::{ExecConfig, SignConfig};
use crate::compose::regular::{self, Links};
use crate::error::{Context, Result};
use crate::process::Call;
use crate::sign::{
    Dummy, Engine, ExecSigner, SecretKeyFile, SignatureType, VerificationKeys, sign,
};

/// A search. Keys that cannot be used are findings.
pub(super) struct Search<'s> {
    pub(super) config: &'s SignConfig,
    pub(super) surroundings: &'s Surroundings<'s>,
    /// In seconds since 1970.
    #[cfg_attr(not(feature = "gpg"), expect(dead_code, reason = "only keys of gpg have times"))]
    pub(super) now: i64,
    /// How bad a missing program is.
    pub(super) severity: Severity,
    pub(super) findings: &'s mut Findings,
}

impl Search<'_> {
    /// The keys, each once.
    pub(super) fn keys(mut self) -> Vec<Key> {
        let mut found = Vec::new();
        #[cfg(feature = "gpg")]
        found.extend(self.gpg());
        for (name, paths, signature_type) in [
            ("ed25519-key-files", &self.config.ed25519_key_files, SignatureType::Ed25519),
            ("spki-key-files", &self.config.spki_key_files, SignatureType::Spki),
        ] {
            for path in paths {
                let keys = self.bare(path, signature_type);
                found.extend(self.usable(name, keys).into_iter().flatten());
            }
        }
        if let Some(exec) = &self.config.exec {
            let key = self.exec(exec);
            found.extend(self.usable("exec", key).flatten());
        }
        let mut keys: Vec<Key> = Vec::new();
        for key in found {
            match keys.iter().find(|known| known.public.name() == key.public.name()) {
                None => keys.push(key),
                Some(known) => self
                    .findings
                    .warning(format!("[sign] {} is {}, and signs once", key.label, known.label)),
            }
        }
        keys
    }

    /// What was found; an error is one of the configuration's key.
    fn usable<T>(&mut self, name: &str, found: Result<T>) -> Option<T> {
        self.findings.take(found.context(|| format!("[sign] {name}")))
    }

    /// Opens a file of secret keys, with a warning when others may read it.
    fn open(&mut self, path: &Path) -> Result<SecretKeyFile> {
        // Nothing comes out of a pipe twice.
        regular::open(path, Links::Follow)?;
        let file = SecretKeyFile::open(path)?;
        if let Some(text) = file.warning() {
            self.findings.warning(text);
        }
        Ok(file)
    }

    /// The keys of a file, all of which sign.
    fn bare(&mut self, path: &Path, signature_type: SignatureType) -> Result<Vec<Key>> {
        let file = self.open(path)?;
        let keys = || {
            let mut keys = Vec::new();
            for secret in file.keys(Engine::new(signature_type, Dummy::Refused)?)? {
                sign(&secret, b"")?;
                let public = Public::bare_of_bytes(signature_type, &secret.public_key()?)?;
                let label = format!("the {signature_type} key in {}", path.display());
                keys.push(Key::new(label, public, secret));
            }
            Ok(keys)
        };
        keys().context(|| path.display().to_string())
    }

    /// The program that signs; `None` when it is missing and need not be there.
    fn exec(&mut self, exec: &ExecConfig) -> Result<Option<Key>> {
        let ExecConfig { program, signature_type, public_key_file, timeout } = exec;
        let public = || {
            let mut keys = VerificationKeys::new(Engine::new(*signature_type, Dummy::Refused)?);
            keys.load_file(public_key_file)?;
            Public::bare(keys)
        };
        let public = public().context(|| public_key_file.display().to_string());
        let public = self.usable("exec-public-key-file", public);
        let call = match Call::new(program, &self.surroundings.environment) {
            Ok(call) => call,
            Err(error) => {
                let message = format!("{}, needed for signing", error.chain());
                self.findings.list.push(Finding { severity: self.severity, message });
                return Ok(None);
            }
        };
        let Some(public) = public else { return Ok(None) };
        let label = format!("the program {}", call.executable.display());
        let signer = ExecSigner {
            call,
            signature_type: *signature_type,
            timeout: *timeout,
            interrupt: self.surroundings.interrupt.clone(),
        };
        Ok(Some(Key::new(label, public, signer)))
    }
}

#[cfg(feature = "gpg")]
mod gpg {
    use super::*;
    use crate::error::Error;
    use crate::sign::openpgp::{Gpg, SecretKey};
    use crate::sign::{AgentSigner, OpenPgpSigner};

    impl Search<'_> {
        /// The keys that gpg has, and exported ones.
        pub(super) fn gpg(&mut self) -> Vec<Key> {
            let mut found = Vec::new();
            if !self.config.gpg_keys.is_empty() && self.gpg_is_there() {
                for id in &self.config.gpg_keys {
                    let key = self.held(id).context(|| id.clone());
                    found.extend(self.usable("gpg-keys", key));
                }
            }
            for path in &self.config.gpg_key_files {
                let key = self.exported(path);
                found.extend(self.usable("gpg-key-files", key));
            }
            found
        }

        fn program(&self) -> String {
            let variable = || self.surroundings.variable("OSIER_GPG")?.to_str().map(str::to_owned);
            let program = self.config.gpg_program.clone().or_else(variable);
            program.unwrap_or_else(|| "gpg".to_owned())
        }

        fn gpg_is_there(&mut self) -> bool {
            let Surroundings { environment, interrupt, .. } = self.surroundings;
            let call = Call::new(&[self.program()], environment);
            let what_for = "signing with the keys of gpg";
            let found = self.findings.program(call, what_for, self.severity, interrupt);
            let is_there = found.is_some();
            match &self.config.gpg_homedir {
                Some(homedir) if !homedir.is_dir() => {
                    let message = format!("[sign] gpg-homedir: no directory {}", homedir.display());
                    self.findings.error(message);
                    false
                }
                _ => is_there,
            }
        }

        /// A key that gpg has.
        fn held(&self, id: &str) -> Result<Key> {
            let signer = AgentSigner {
                id: id.to_owned(),
                program: self.program(),
                environment: self.surroundings.environment.clone(),
                homedir: self.config.gpg_homedir.clone(),
                interrupt: self.surroundings.interrupt.clone(),
            };
            let gpg = Gpg {
                program: &signer.program,
                environment: &signer.environment,
                homedir: signer.homedir.as_deref(),
                interrupt: &signer.interrupt,
            };
            let public = Public::openpgp(&gpg.public_key(id)?, self.now)?;
            Ok(Key::new(format!("the gpg key {id}"), public, signer))
        }

        /// An exported key.
        fn exported(&mut self, path: &Path) -> Result<Key> {
            let file = self.open(path)?;
            let read = || {
                let key = SecretKey::read(file.bytes())?;
                key.sign(b"", self.now)?;
                Ok::<_, Error>((Public::openpgp(key.public_key(), self.now)?, key))
            };
            let (public, key) = read().context(|| path.display().to_string())?;
            let signer = OpenPgpSigner { key, now: self.now };
            Ok(Key::new(format!("the gpg key in {}", path.display()), public, signer))
        }
    }
}
