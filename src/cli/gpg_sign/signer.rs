//! The OpenPGP signatures of a commit: adding and removing them.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use osier::Checksum;
use osier::error::Error;
use osier::object::{ObjectName, ObjectType, detached};
use osier::remote::keyrings::{self, Directories};
use osier::repo::Repo;
use osier::sign::attach::Keys;
use osier::sign::openpgp::{self, Gpg, elements_by};
use osier::signer::{PayloadKind, Signature, Signer as _};

use crate::cli::elsewhere::Elsewhere;
use crate::cli::error::Failure;
use crate::cli::signatures::{self, global_keyrings};
use crate::cli::{clock, gpg_signers, interrupt};

/// Signs a commit with each of the keys. The signatures of keys before one that fails stay.
pub(super) fn sign(
    repo: &Repo,
    commit: &Checksum,
    ids: &[String],
    homedir: Option<&Path>,
) -> Result<(), Failure> {
    let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
    let program = gpg_signers::program();
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let interrupt = interrupt::flag();
    let gpg = Gpg { program: &program, environment: &environment, homedir, interrupt: &interrupt };
    for id in ids {
        let exported = gpg_signers::exported_key(id)?;
        let fingerprint = exported.as_ref().map(|key| key.certificate().fingerprint());
        let present = repo.load_detached_metadata(commit)?.unwrap_or_default();
        gpg_signers::refuse_again(id, fingerprint, &data, &present, homedir)?;
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

/// Adds what was made elsewhere, unless the keys refute it or have signed already.
pub(super) fn attach(repo: &Repo, commit: &Checksum, made: &Elsewhere) -> Result<(), Failure> {
    let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
    let Signature { metadata_key, bytes } = made.sign(PayloadKind::Commit, &data)?;
    let Keys::OpenPgp { keyring, .. } = made.keys() else {
        return Err(Failure::failed("gpg-sign adds OpenPGP signatures only"));
    };
    let keys = openpgp::verify(&data, &[&bytes], keyring, clock::now().cast_signed());
    let keys: Vec<_> = keys.map_err(Error::from)?.iter().filter_map(|it| it.primary).collect();
    repo.edit_detached_metadata(commit, |metadata| {
        let present = signatures::verify_present(&metadata, &data, || Ok(keyring))?;
        let present = present.unwrap_or_default();
        match keys.iter().find(|key| !elements_by(&present, **key).is_empty()) {
            Some(key) => Err(signatures::already_signed(&key.to_string())),
            None => Ok(Some(detached::append(&metadata, metadata_key, &bytes))),
        }
    })?;
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
        let reports = signatures::verify_present(&metadata, &data, || Ok(&keyring))?;
        let Some(reports) = reports else { return Ok(None) };
        let keys = ids.iter().filter_map(|id| keyring.resolve_one(id));
        places.extend(keys.filter_map(|key| elements_by(&reports, key).first().copied()));
        Ok((!places.is_empty()).then(|| detached::remove(&metadata, detached::GPG_KEY, &places)))
    })?;
    Ok(places.len())
}
