//! The signatures of a commit, verified with the keys of this machine.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use jiff::tz::TimeZone;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::gvariant::Dict;
use crate::object::{ObjectName, ObjectType, detached};
use crate::remote::keyrings;
use crate::repo::Repo;
use crate::serve::view::SignatureRow;
use crate::sign::openpgp::{self, SigState};
use crate::sign::{Dummy, Engine, SignError, SignatureType, VerificationKeys, verify};

/// Where public keys are. Those of the repository's remotes count, too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::serve) struct Keys {
    /// Directories with `trusted.ed25519` and the like.
    pub(in crate::serve) directories: Vec<PathBuf>,
    /// OpenPGP keyrings; it need not exist.
    pub(in crate::serve) keyrings: Option<PathBuf>,
}

/// More signatures of one kind are only counted: each costs time.
const MAX_SIGNATURES: usize = 16;

impl Keys {
    /// What verification says of each signature in the detached metadata of a commit.
    pub(in crate::serve) fn verify(
        &self,
        repo: &Repo,
        commit: &Checksum,
        metadata: &Dict,
    ) -> Result<Vec<SignatureRow>> {
        let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
        let mut rows = Vec::new();
        for signature_type in SignatureType::ALL {
            let key = signature_type.metadata_key();
            let stored = detached::signatures(metadata, key).into_iter().flatten();
            let mut loaded = None;
            let mut left_out: usize = 0;
            for (place, signature) in stored.enumerate() {
                if place >= MAX_SIGNATURES {
                    left_out += 1;
                    continue;
                }
                let keys = loaded.get_or_insert_with(|| self.engine_keys(signature_type));
                let result = match keys {
                    Ok(keys) => verify(keys, &data, [signature]).map(|found| found.to_string()),
                    Err(reason) => {
                        let (is_valid, text) = (None, (*reason).to_owned());
                        let kind = signature_type.name();
                        rows.push(SignatureRow { kind, is_valid, text });
                        continue;
                    }
                };
                let is_valid = Some(result.is_ok());
                let text = result.unwrap_or_else(|error| error.to_string());
                rows.push(SignatureRow { kind: signature_type.name(), is_valid, text });
            }
            rows.extend(not_verified(signature_type.name(), left_out));
        }
        if let Some(stored) = detached::signatures(metadata, detached::GPG_KEY) {
            self.verify_openpgp(repo, &data, stored, &mut rows)?;
        }
        Ok(rows)
    }

    /// The keys of a type; without any, why.
    fn engine_keys(&self, ty: SignatureType) -> Result<VerificationKeys, &'static str> {
        let engine = Engine::new(ty, Dummy::Refused)
            .map_err(|_| "not verified: this type is only for tests")?;
        let mut keys = VerificationKeys::new(engine);
        match keys.load_directories(&self.directories) {
            Ok(()) => Ok(keys),
            Err(SignError::NoKeysLoaded(_)) => Err("not verified: there are no keys for it here"),
            Err(_) => Err("not verified: the keys for it cannot be read"),
        }
    }

    fn verify_openpgp<'s>(
        &self,
        repo: &Repo,
        data: &[u8],
        stored: impl Iterator<Item = &'s [u8]>,
        rows: &mut Vec<SignatureRow>,
    ) -> Result<()> {
        let stored: Vec<&[u8]> = stored.collect();
        let (tried, left_out) = stored.split_at(stored.len().min(MAX_SIGNATURES));
        let directories = keyrings::Directories { global: self.keyrings.as_deref(), homedir: None };
        let keyring = keyrings::of_all_remotes(repo, &directories)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        match openpgp::verify(data, tried, &keyring, now.cast_signed()).map_err(Error::from) {
            Ok(reports) => {
                for report in openpgp::counted(&reports) {
                    let is_valid = match report.state {
                        SigState::Missing => None,
                        state => Some(state == SigState::Valid),
                    };
                    let text = report.describe("", &TimeZone::UTC).trim().to_owned();
                    rows.push(SignatureRow { kind: "gpg", is_valid, text });
                }
            }
            Err(error) => {
                let text = format!("not verified: {error}");
                rows.push(SignatureRow { kind: "gpg", is_valid: None, text });
            }
        }
        rows.extend(not_verified("gpg", left_out.len()));
        Ok(())
    }
}

fn not_verified(kind: &'static str, count: usize) -> Option<SignatureRow> {
    let text = format!("not verified: {count} more");
    (count > 0).then_some(SignatureRow { kind, is_valid: None, text })
}
