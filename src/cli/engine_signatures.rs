//! The signatures of the engines, ed25519 and its like, as `--verbose` lists them: the commands
//! that show OpenPGP signatures print none of these.

use osier::Checksum;
use osier::gvariant::Dict;
use osier::object::{ObjectName, ObjectType, detached};
use osier::repo::Repo;
use osier::sign::{SignatureType, VerificationKeys, verify};
use osier::summary::store;

use super::elsewhere::KeyOptions;
use super::error::Failure;
use super::signing;

/// Lists those of a summary, `data`.
pub(super) fn explain_summary(repo: &Repo, data: &[u8]) -> Result<(), Failure> {
    if log::log_enabled!(log::Level::Debug) {
        let stored = store::load_signature(repo)?.unwrap_or_default();
        explain(data, &Dict::decode(&stored).unwrap_or_default());
    }
    Ok(())
}

/// Lists those of a commit.
pub(super) fn explain_commit(repo: &Repo, commit: &Checksum) -> Result<(), Failure> {
    if log::log_enabled!(log::Level::Debug) {
        let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
        explain(&data, &repo.load_detached_metadata(commit)?.unwrap_or_default());
    }
    Ok(())
}

/// Lists signatures, each with the system's key that it is valid with.
fn explain(data: &[u8], metadata: &Dict) {
    for signature_type in SignatureType::ALL {
        let signatures = detached::signatures(metadata, signature_type.metadata_key());
        for (place, signature) in signatures.into_iter().flatten().enumerate() {
            let verdict = verdict(signature_type, data, signature);
            log::debug!("{signature_type} signature {}: {verdict}", place + 1);
        }
    }
}

fn verdict(signature_type: SignatureType, data: &[u8], signature: &[u8]) -> String {
    let engine = match signing::engine(Some(signature_type.name())) {
        Ok(engine) => engine,
        Err(_) => return "not verified, as this type is not allowed".to_owned(),
    };
    let mut keys = VerificationKeys::new(engine);
    if keys.load_directories(&KeyOptions::default().directories()).is_err() {
        return "not verified, as the system has no keys for it".to_owned();
    }
    match verify(&keys, data, [signature]) {
        Ok(verified) => verified.to_string(),
        Err(error) => error.to_string(),
    }
}
