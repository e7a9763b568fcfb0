//! The options that say who signs, which `commit` and `summary` share.

use std::env;
#[cfg(feature = "gpg")]
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use osier::sign::{Dummy, Engine, SecretKey, SignatureType};
use osier::signer::Signer;

use super::error::Failure;
use super::secret_file;

/// The values of those options.
pub(super) struct Signing {
    /// `--gpg-sign`.
    pub(super) gpg_sign: Vec<String>,
    /// `--gpg-homedir`.
    pub(super) gpg_homedir: Option<String>,
    /// `--sign`.
    pub(super) sign: Vec<String>,
    /// `--sign-from-file`.
    pub(super) sign_from_file: Vec<PathBuf>,
    /// `--sign-type`.
    pub(super) sign_type: Option<String>,
}

impl Signing {
    /// The signers in the order in which a commit is signed.
    pub(super) fn of_commit(self) -> Result<Vec<Arc<dyn Signer>>, Failure> {
        let mut signers = self.keys()?;
        signers.extend(self.gpg()?);
        Ok(signers)
    }

    /// The signers in the order in which a summary is signed.
    pub(super) fn of_summary(self) -> Result<Vec<Arc<dyn Signer>>, Failure> {
        let mut signers = self.gpg()?;
        signers.extend(self.keys()?);
        Ok(signers)
    }

    /// The keys of the command line, then those of files. Which type they are of matters only if
    /// there are any.
    fn keys(&self) -> Result<Vec<Arc<dyn Signer>>, Failure> {
        if self.sign.is_empty() && self.sign_from_file.is_empty() {
            return Ok(Vec::new());
        }
        let engine = engine(self.sign_type.as_deref())?;
        let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
        for key in &self.sign {
            signers.push(Arc::new(SecretKey::parse(engine, key).map_err(osier::Error::from)?));
        }
        for path in &self.sign_from_file {
            let file = secret_file::open(path)?;
            signers.push(Arc::new(file.first_key(engine).map_err(osier::Error::from)?));
        }
        Ok(signers)
    }

    #[cfg(feature = "gpg")]
    fn gpg(&self) -> Result<Vec<Arc<dyn Signer>>, Failure> {
        let homedir = self.gpg_homedir.as_deref().map(Path::new);
        super::gpg_signers::of(&self.gpg_sign, homedir)
    }

    #[cfg(not(feature = "gpg"))]
    fn gpg(&self) -> Result<Vec<Arc<dyn Signer>>, Failure> {
        match self.gpg_sign.is_empty() && self.gpg_homedir.is_none() {
            true => Ok(Vec::new()),
            false => Err(Failure::failed("GPG has been disabled at build time")),
        }
    }
}

/// The engine that the user names, ed25519 if none.
pub(super) fn engine(name: Option<&str>) -> Result<Engine, Failure> {
    let ty = name.map_or(Ok(SignatureType::Ed25519), SignatureType::parse);
    let engine = ty.and_then(|ty| Engine::new(ty, dummy()));
    Ok(engine.map_err(osier::Error::from)?)
}

/// Whether the environment allows dummy signatures.
pub(super) fn dummy() -> Dummy {
    match env::var_os("OSTREE_DUMMY_SIGN_ENABLED") {
        Some(value) if value == "1" => Dummy::Allowed,
        _ => Dummy::Refused,
    }
}
