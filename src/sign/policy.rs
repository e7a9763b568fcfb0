//! Which signatures data need, and whether they have them.
//!
//! A remote can demand OpenPGP signatures, signatures of the other types, or both; then both are
//! needed. Of OpenPGP signatures one has to be valid; of the others one of any engine that is in
//! use.

use std::sync::Arc;

#[cfg(feature = "gpg")]
use jiff::tz::TimeZone;

use super::error::SignError;
use super::keys::VerificationKeys;
#[cfg(feature = "gpg")]
use super::openpgp::{self, GpgError, Keyring, SigReport};
use super::signature_type::SignatureType;
use super::verify::{Verified, verify_detached};
use crate::error::Error;
use crate::gvariant::Dict;
use crate::object::detached;

/// The signatures that are demanded.
#[derive(Debug, Default)]
pub struct Policy {
    /// The keys of valid OpenPGP signatures; `None` when none is demanded.
    #[cfg(feature = "gpg")]
    pub gpg: Option<GpgPolicy>,
    /// The engines of which one has to find a valid signature, in the order in which they are
    /// asked; empty when no such signature is demanded.
    pub engines: Vec<EngineKeys>,
}

/// What OpenPGP signatures are verified with.
#[cfg(feature = "gpg")]
#[derive(Clone, Debug)]
pub struct GpgPolicy {
    /// The keys, each of them trusted, or why they cannot be read; that is an error only when
    /// something is verified.
    pub keyring: Result<Arc<Keyring>, Arc<Error>>,
    /// The time of the verification, in seconds since 1970.
    pub now: i64,
    /// The time zone of messages.
    pub zone: TimeZone,
}

/// An engine with its keys.
#[derive(Debug)]
pub struct EngineKeys {
    /// The engine's type.
    pub signature_type: SignatureType,
    /// The keys, or why there are none; that is an error only of data with such a signature.
    pub keys: Result<VerificationKeys, Arc<SignError>>,
}

/// The signatures that made data acceptable.
#[derive(Debug, Default)]
pub struct Accepted {
    /// What came of each OpenPGP signature, if any was demanded; one at least is valid.
    #[cfg(feature = "gpg")]
    pub gpg: Vec<SigReport>,
    /// The other signature, if one was demanded.
    pub signature: Option<Verified>,
}

/// Why data are not acceptable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// There are no OpenPGP signatures.
    #[error(
        "GPG verification enabled, but no signatures found \
         (use gpg-verify=false in remote config to disable)"
    )]
    NoGpgSignatures,
    /// There are none that can be read.
    #[error("No GPG signatures found")]
    NoReadableGpgSignatures,
    /// The keys cannot be read.
    #[error("{}", .0.chain())]
    Keyring(Arc<Error>),
    /// The OpenPGP signatures cannot be looked at.
    #[cfg(feature = "gpg")]
    #[error(transparent)]
    Gpg(GpgError),
    /// No OpenPGP signature is valid; the text describes each.
    #[error("{0}")]
    GpgRefused(String),
    /// There is nothing that could have signatures.
    #[error("Can't verify commit without detached metadata")]
    NoDetachedMetadata,
    /// There is no signature that an engine in use knows.
    #[error("No signatures found")]
    NoSignatures,
    /// No engine has found a valid signature.
    #[error("{}{first}", others_text(*.others))]
    SignRefused {
        /// Why the first one did not.
        first: Arc<SignError>,
        /// How many others did not either.
        others: usize,
    },
}

fn others_text(others: usize) -> String {
    match others {
        0 => String::new(),
        count => format!("({count} other invalid signatures): "),
    }
}

impl PolicyError {
    /// Whether it is about OpenPGP signatures.
    pub fn is_gpg(&self) -> bool {
        !matches!(self, Self::NoDetachedMetadata | Self::NoSignatures | Self::SignRefused { .. })
    }
}

impl Policy {
    /// Whether nothing is demanded.
    pub fn is_empty(&self) -> bool {
        !self.demands_gpg() && self.engines.is_empty()
    }

    /// Whether an OpenPGP signature is demanded.
    pub fn demands_gpg(&self) -> bool {
        #[cfg(feature = "gpg")]
        return self.gpg.is_some();
        #[cfg(not(feature = "gpg"))]
        false
    }

    /// Verifies data with the signatures in `stored`: the detached metadata of a commit, or a
    /// `summary.sig`. `None` is a commit without detached metadata.
    ///
    /// # Errors
    /// When a demanded signature is missing or none is valid. OpenPGP comes first.
    pub fn verify(&self, data: &[u8], stored: Option<&Dict>) -> Result<Accepted, PolicyError> {
        Ok(Accepted {
            #[cfg(feature = "gpg")]
            gpg: self.verify_gpg(data, stored)?,
            signature: self.verify_others(data, stored)?,
        })
    }

    #[cfg(feature = "gpg")]
    fn verify_gpg(
        &self,
        data: &[u8],
        stored: Option<&Dict>,
    ) -> Result<Vec<SigReport>, PolicyError> {
        let Some(policy) = &self.gpg else { return Ok(Vec::new()) };
        let signatures = stored.and_then(|dict| detached::signatures(dict, detached::GPG_KEY));
        let signatures: Vec<&[u8]> = signatures.ok_or(PolicyError::NoGpgSignatures)?.collect();
        if signatures.is_empty() {
            return Err(PolicyError::NoReadableGpgSignatures);
        }
        let keyring = policy.keyring.as_ref().map_err(|e| PolicyError::Keyring(Arc::clone(e)))?;
        let reports =
            openpgp::verify(data, &signatures, keyring, policy.now).map_err(PolicyError::Gpg)?;
        match openpgp::is_accepted(&reports) {
            true => Ok(reports),
            false => Err(PolicyError::GpgRefused(openpgp::refusal(&reports, &policy.zone))),
        }
    }

    fn verify_others(
        &self,
        data: &[u8],
        stored: Option<&Dict>,
    ) -> Result<Option<Verified>, PolicyError> {
        if self.engines.is_empty() {
            return Ok(None);
        }
        let stored = stored.ok_or(PolicyError::NoDetachedMetadata)?;
        let (mut first, mut failures) = (None, 0);
        for EngineKeys { signature_type, keys } in &self.engines {
            if detached::signatures(stored, signature_type.metadata_key()).is_none() {
                continue;
            }
            let error = match keys {
                Ok(keys) => match verify_detached(keys, data, stored) {
                    Ok(verified) => return Ok(Some(verified)),
                    Err(error) => Arc::new(error),
                },
                Err(error) => Arc::clone(error),
            };
            first = first.or(Some(error));
            failures += 1;
        }
        let first = first.ok_or(PolicyError::NoSignatures)?;
        Err(PolicyError::SignRefused { first, others: failures - 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::super::engine::{Dummy, Engine};
    use super::super::secret::sign;
    use super::*;
    use crate::gvariant::Value;

    const DATA: &[u8] = b"data";

    fn dummy(keys: &[&str]) -> EngineKeys {
        let engine = Engine::new(SignatureType::Dummy, Dummy::Allowed).unwrap();
        let mut loaded = VerificationKeys::new(engine);
        keys.iter().for_each(|key| loaded.add_inline(key).unwrap());
        EngineKeys { signature_type: SignatureType::Dummy, keys: Ok(loaded) }
    }

    fn broken() -> EngineKeys {
        let error = SignError::NoKeysLoaded(SignatureType::Ed25519);
        EngineKeys { signature_type: SignatureType::Ed25519, keys: Err(Arc::new(error)) }
    }

    fn signed(entries: &[(SignatureType, &[u8])]) -> Dict {
        entries.iter().fold(Dict::new(), |dict, (ty, signature)| {
            detached::append(&dict, ty.metadata_key(), signature)
        })
    }

    fn outcome(engines: Vec<EngineKeys>, stored: Option<&Dict>) -> Result<bool, String> {
        let policy = Policy { engines, ..Policy::default() };
        let accepted = policy.verify(DATA, stored).map_err(|error| error.to_string())?;
        Ok(accepted.signature.is_some())
    }

    #[test]
    fn nothing_is_looked_at_when_nothing_is_demanded() {
        assert!(Policy::default().is_empty());
        assert_eq!(outcome(Vec::new(), None), Ok(false));
    }

    #[test]
    fn one_valid_signature_of_any_engine_is_enough() {
        let engine = Engine::new(SignatureType::Ed25519, Dummy::Refused).unwrap();
        let pair = super::super::generate(engine).unwrap();
        let signature = sign(&pair.secret, DATA).unwrap();
        let mut keys = VerificationKeys::new(engine);
        keys.add_inline(&pair.public).unwrap();
        let ed25519 =
            || EngineKeys { signature_type: SignatureType::Ed25519, keys: Ok(keys.clone()) };
        let both =
            signed(&[(SignatureType::Ed25519, &signature), (SignatureType::Dummy, b"wrong")]);
        assert_eq!(outcome(vec![dummy(&["right"]), ed25519()], Some(&both)), Ok(true));
        // What an engine that is not in use would say does not count.
        let alone = signed(&[(SignatureType::Ed25519, &signature)]);
        let none = Err("No signatures found".to_owned());
        assert_eq!(outcome(vec![dummy(&["right"])], Some(&alone)), none);
        assert_eq!(outcome(vec![ed25519()], Some(&alone)), Ok(true));
    }

    #[test]
    fn the_first_failure_is_reported_with_the_number_of_the_others() {
        let both = signed(&[(SignatureType::Ed25519, &[0; 64]), (SignatureType::Dummy, b"wrong")]);
        for (engines, stored, expected) in [
            (vec![dummy(&["a"])], None, "Can't verify commit without detached metadata"),
            (vec![dummy(&["a"])], Some(Dict::new()), "No signatures found"),
            (
                vec![dummy(&["a"])],
                Some(both.clone()),
                "signature: dummy: incorrect signatures found: 1",
            ),
            (vec![broken()], Some(both.clone()), "signature: ed25519: no keys loaded"),
            (
                vec![broken(), dummy(&["a"])],
                Some(both),
                "(1 other invalid signatures): signature: ed25519: no keys loaded",
            ),
        ] {
            assert_eq!(outcome(engines, stored.as_ref()), Err(expected.to_owned()));
        }
    }

    #[cfg(feature = "gpg")]
    #[test]
    fn openpgp_signatures_are_demanded_besides_the_others() {
        let gpg = GpgPolicy { keyring: Ok(Arc::default()), now: 0, zone: TimeZone::UTC };
        let text = |policy: &Policy, stored: Option<&Dict>| {
            policy.verify(DATA, stored).map(drop).map_err(|error| {
                assert!(error.is_gpg());
                error.to_string()
            })
        };
        let absent = "GPG verification enabled, but no signatures found (use gpg-verify=false in \
                      remote config to disable)";
        let policy = Policy { gpg: Some(gpg), engines: vec![dummy(&["a"])] };
        let only_dummy = signed(&[(SignatureType::Dummy, b"a")]);
        assert_eq!(text(&policy, None), Err(absent.to_owned()));
        assert_eq!(text(&policy, Some(&only_dummy)), Err(absent.to_owned()));
        let empty: Dict =
            [(detached::GPG_KEY, Value::array("ay", Vec::new()))].into_iter().collect();
        assert_eq!(text(&policy, Some(&empty)), Err("No GPG signatures found".to_owned()));
    }
}
