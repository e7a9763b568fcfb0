//! The signatures that a remote demands, with the keys for them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{KeyPlace, SIGNATURE_TYPES, SignVerify, Verification};
use super::{Remote, keyrings};
use crate::error::{Error, Result};
use crate::repo::Repo;
use crate::sign::{
    Dummy, Engine, EngineKeys, GpgPolicy, Policy, SignError, SignatureType, VerificationKeys,
};

/// What the machine adds to a remote's configuration.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The keyrings of the system; the directory need not exist.
    pub global_keyrings: Option<PathBuf>,
    /// Where public keys of the other types are trusted or revoked for the whole system.
    pub key_directories: Vec<PathBuf>,
    /// Whether dummy signatures are accepted.
    pub dummy: Dummy,
    /// The time of the verification, in seconds since 1970.
    pub now: i64,
    /// The time zone of messages; UTC if `None`.
    pub zone: Option<jiff::tz::TimeZone>,
}

/// The signatures that are demanded of commits and of the summary.
#[derive(Debug, Default)]
pub struct Demands {
    /// Of commits.
    pub commits: Policy,
    /// Of the summary.
    pub summary: Policy,
}

/// Which OpenPGP signatures are demanded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GpgDemands {
    /// Of commits.
    pub commits: bool,
    /// Of the summary.
    pub summary: bool,
}

impl Demands {
    /// What the configuration of a remote of `repo` demands.
    ///
    /// # Errors
    /// In upstream's words when keys are missing or cannot be loaded, even if nothing will be
    /// verified with them.
    pub fn of_remote(
        repo: &Repo,
        sysroot: Option<&Path>,
        remote: &Remote,
        trust: &Trust,
    ) -> Result<Self> {
        let verification = remote.config()?.verification;
        let gpg = GpgDemands { commits: verification.gpg, summary: verification.gpg_summary };
        let mut demands = Self::gpg_only(repo, sysroot, &remote.name, gpg, trust);
        demands.commits.engines = engines(&verification, &verification.sign, trust)?;
        demands.summary.engines = engines(&verification, &verification.sign_summary, trust)?;
        Ok(demands)
    }

    /// OpenPGP signatures only, of keys of the remote `name`.
    ///
    /// That there is no such remote, or that its keys cannot be read, is an error of what has
    /// signatures.
    pub fn gpg_only(
        repo: &Repo,
        sysroot: Option<&Path>,
        name: &str,
        gpg: GpgDemands,
        trust: &Trust,
    ) -> Self {
        if gpg == GpgDemands::default() {
            return Self::default();
        }
        let keyring = keyrings::of_remote(repo, sysroot, name, trust.global_keyrings.as_deref());
        let zone = trust.zone.clone().unwrap_or(jiff::tz::TimeZone::UTC);
        let policy =
            GpgPolicy { keyring: keyring.map(Arc::new).map_err(Arc::new), now: trust.now, zone };
        let demand = |is_demanded: bool| Policy {
            gpg: is_demanded.then(|| policy.clone()),
            ..Policy::default()
        };
        Self { commits: demand(gpg.commits), summary: demand(gpg.summary) }
    }
}

fn engines(
    verification: &Verification,
    demanded: &SignVerify,
    trust: &Trust,
) -> Result<Vec<EngineKeys>> {
    let (names, keys_are_needed): (Vec<&str>, bool) = match demanded {
        SignVerify::Off => return Ok(Vec::new()),
        SignVerify::AnyType => (SIGNATURE_TYPES.to_vec(), false),
        SignVerify::Types(types) => (types.iter().map(String::as_str).collect(), true),
    };
    names
        .into_iter()
        .map(|name| {
            let signature_type = SignatureType::parse(name)?;
            let configured = verification
                .keys
                .iter()
                .filter(|key| key.signature_type == name)
                .map(|key| &key.place);
            let configured: Vec<&KeyPlace> = configured.collect();
            if configured.is_empty() && keys_are_needed {
                let message = format!("No keys found for required signapi type {name}");
                return Err(Error::failed(message));
            }
            let keys = match Engine::new(signature_type, trust.dummy) {
                Err(error) => Err(error),
                Ok(engine) if configured.is_empty() => default_keys(engine, trust),
                Ok(engine) => Ok(configured_keys(engine, &configured)?),
            };
            Ok(EngineKeys { signature_type, keys: keys.map_err(Arc::new) })
        })
        .collect()
}

/// The keys of the system, without the revoked ones.
fn default_keys(engine: Engine, trust: &Trust) -> Result<VerificationKeys, SignError> {
    let mut keys = VerificationKeys::new(engine);
    keys.load_directories(&trust.key_directories)?;
    Ok(keys)
}

/// The keys of the configuration: those of the file first, so that the inline one is tried first.
fn configured_keys(engine: Engine, configured: &[&KeyPlace]) -> Result<VerificationKeys> {
    let mut keys = VerificationKeys::new(engine);
    let name = engine.signature_type();
    for place in configured {
        if let KeyPlace::File(path) = place {
            // Upstream's message has no closing quote either.
            let what = || format!("Failed loading '{name}' keys from '{}", path.display());
            keys.load_file(path).map_err(|error| failed_loading(what(), &error))?;
        }
    }
    for place in configured {
        if let KeyPlace::Inline(text) = place {
            let what = || format!("Failed loading '{name}' keys from inline `verification-key`");
            keys.add_inline(text).map_err(|error| failed_loading(what(), &error))?;
        }
    }
    Ok(keys)
}

fn failed_loading(what: String, error: &SignError) -> Error {
    log::debug!("{what}: {error}");
    Error::failed(what)
}
