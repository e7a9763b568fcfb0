//! The signers that there are: keys, the gpg program and other programs.

#[cfg(feature = "gpg")]
use std::ffi::OsString;
#[cfg(feature = "gpg")]
use std::path::PathBuf;
use std::time::Duration;

use super::exec::{self, Payload};
#[cfg(feature = "gpg")]
use super::openpgp;
use super::secret::{self, SecretKey};
use super::signature_type::SignatureType;
use crate::error::Result;
#[cfg(feature = "gpg")]
use crate::object::detached;
use crate::process::{Call, Interrupt};
use crate::signer::{PayloadKind, Signature, Signer};

impl Signer for SecretKey {
    fn sign(&self, _: PayloadKind, payload: &[u8]) -> Result<Signature> {
        let metadata_key = self.engine().signature_type().metadata_key();
        Ok(Signature { metadata_key, bytes: secret::sign(self, payload)? })
    }
}

/// A program that signs, see [`exec`].
#[derive(Clone, Debug)]
pub struct ExecSigner {
    /// The program with its arguments and environment.
    pub call: Call,
    /// What it makes.
    pub signature_type: SignatureType,
    /// How long it may take.
    pub timeout: Duration,
    /// Whether the user wants to stop.
    pub interrupt: Interrupt,
}

impl Signer for ExecSigner {
    fn sign(&self, kind: PayloadKind, bytes: &[u8]) -> Result<Signature> {
        let payload = Payload { signature_type: self.signature_type.name(), kind, bytes };
        let signature = exec::sign(&self.call, &payload, self.timeout, &self.interrupt)?;
        Ok(Signature { metadata_key: self.signature_type.metadata_key(), bytes: signature })
    }
}

/// An exported OpenPGP key.
#[cfg(feature = "gpg")]
#[derive(Debug)]
pub struct OpenPgpSigner {
    /// The key.
    pub key: openpgp::SecretKey,
    /// The time of the signature, in seconds since 1970.
    pub now: i64,
}

#[cfg(feature = "gpg")]
impl Signer for OpenPgpSigner {
    fn sign(&self, _: PayloadKind, payload: &[u8]) -> Result<Signature> {
        let bytes = self.key.sign(payload, self.now)?;
        Ok(Signature { metadata_key: detached::GPG_KEY, bytes })
    }
}

/// A key that the gpg program has.
#[cfg(feature = "gpg")]
#[derive(Clone, Debug)]
pub struct AgentSigner {
    /// What the user calls the key.
    pub id: String,
    /// The name or path of the program.
    pub program: String,
    /// The environment that it gets.
    pub environment: Vec<(OsString, OsString)>,
    /// Where its keys are, if not at the usual place.
    pub homedir: Option<PathBuf>,
    /// Whether the user wants to stop.
    pub interrupt: Interrupt,
}

#[cfg(feature = "gpg")]
impl Signer for AgentSigner {
    fn sign(&self, _: PayloadKind, payload: &[u8]) -> Result<Signature> {
        let gpg = openpgp::Gpg {
            program: &self.program,
            environment: &self.environment,
            homedir: self.homedir.as_deref(),
            interrupt: &self.interrupt,
        };
        let bytes = gpg.sign(&self.id, payload)?;
        Ok(Signature { metadata_key: detached::GPG_KEY, bytes })
    }
}
