//! The OpenPGP signatures of a commit: adding and removing them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use osier::Checksum;
use osier::error::Error;
use osier::gvariant::Dict;
use osier::object::{ObjectName, ObjectType, detached};
use osier::remote::keyrings::{self, Directories};
use osier::repo::Repo;
use osier::sign::openpgp::{self, Fingerprint, Gpg, Keyring, SigReport, elements_by};

use crate::cli::error::Failure;
use crate::cli::signatures::global_keyrings;
use crate::cli::signing::{FILE_PREFIX, exported_key};
use crate::cli::{clock, interrupt};

/// Signs a commit with each of the keys. The signatures of keys before one that fails stay.
pub(super) fn sign(
    repo: &Repo,
    commit: &Checksum,
    ids: &[String],
    homedir: Option<&Path>,
) -> Result<(), Failure> {
    let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
    let program = std::env::var("OSIER_GPG").unwrap_or_else(|_| "gpg".to_owned());
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let interrupt = interrupt::flag();
    let gpg = Gpg { program: &program, environment: &environment, homedir, interrupt: &interrupt };
    for id in ids {
        let exported =
            id.strip_prefix(FILE_PREFIX).map(|path| exported_key(path.as_ref())).transpose()?;
        let by_id = |keyring: &Keyring| match &exported {
            Some(key) => Some(key.certificate().fingerprint()),
            None => keyring.resolve_one(id),
        };
        if is_signed(repo, commit, &data, homedir, by_id)? {
            let message = format!("Commit is already signed with GPG key {id}");
            return Err(Failure::failed(message));
        }
        let signature = match &exported {
            Some(key) => {
                key.sign(&data, clock::commit_time()?.cast_signed()).map_err(Error::from)?
            }
            None => gpg.sign(id, &data)?,
        };
        repo.edit_detached_metadata(commit, |metadata| {
            Ok(Some(detached::append(&metadata, detached::GPG_KEY, &signature)))
        })?;
    }
    Ok(())
}

/// Removes the first signature of each of the keys, as far as they are known, and returns how many
/// that were.
pub(super) fn delete(repo: &Repo, commit: &Checksum, ids: &[String]) -> Result<usize, Failure> {
    let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
    let global = global_keyrings();
    let directories = Directories { global: Some(&global), homedir: None };
    let keyring = keyrings::of_all_remotes(repo, &directories)?;
    let mut places = BTreeSet::new();
    repo.edit_detached_metadata(commit, |metadata| {
        let Some(reports) = verify(&metadata, &data, || Ok(&keyring))? else { return Ok(None) };
        let keys = ids.iter().filter_map(|id| keyring.resolve_one(id));
        places.extend(keys.filter_map(|key| elements_by(&reports, key).first().copied()));
        Ok((!places.is_empty()).then(|| detached::remove(&metadata, detached::GPG_KEY, &places)))
    })?;
    Ok(places.len())
}

/// Whether the commit has a signature of the key that `wanted` finds.
fn is_signed(
    repo: &Repo,
    commit: &Checksum,
    data: &[u8],
    homedir: Option<&Path>,
    wanted: impl FnOnce(&Keyring) -> Option<Fingerprint>,
) -> Result<bool, Failure> {
    let metadata = repo.load_detached_metadata(commit)?.unwrap_or_default();
    let global = global_keyrings();
    let mut keyring = Keyring::default();
    let reports = verify(&metadata, data, || {
        keyring = Directories { global: Some(&global), homedir }.keyring()?;
        Ok(&keyring)
    })?;
    let (Some(reports), Some(key)) = (reports, wanted(&keyring)) else { return Ok(false) };
    Ok(!elements_by(&reports, key).is_empty())
}

/// What verification says of the signatures; `None` when there are none, and then the keys are not
/// looked for.
fn verify<'k>(
    metadata: &Dict,
    data: &[u8],
    keyring: impl FnOnce() -> Result<&'k Keyring, Error>,
) -> Result<Option<Vec<SigReport>>, Error> {
    let Some(signatures) = detached::signatures(metadata, detached::GPG_KEY) else {
        return Ok(None);
    };
    let signatures: Vec<&[u8]> = signatures.collect();
    let now = clock::now().cast_signed();
    Ok(Some(openpgp::verify(data, &signatures, keyring()?, now)?))
}
