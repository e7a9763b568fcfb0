//! The OpenPGP signatures of commits and of the summary, verified and printed.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use osier::gvariant::Dict;
use osier::object::{ObjectName, ObjectType, detached};
use osier::refspec::Refspec;
use osier::remote::{self, keyrings};
use osier::repo::Repo;
use osier::sign::openpgp::{self, Fingerprint, Keyring, SigReport};
use osier::summary::store;
use osier::{Checksum, Error};

use super::clock;
use super::error::Failure;
use super::output::Output;

/// The keyrings of the system, unless the environment names others.
const GLOBAL_KEYRINGS: &str = "/usr/share/ostree/trusted.gpg.d";
/// The value of `--gpg-verify-remote` that stands for the remote in the argument.
const REMOTE_OF_ARGUMENT: &str = "auto";

/// The number of the hash algorithm that gpg still accepts, although collisions are known.
const SHA1: u8 = 2;

/// Where the keys are looked for.
pub(super) struct Places<'p> {
    /// `--gpg-homedir`.
    pub(super) homedir: Option<&'p Path>,
    /// `--gpg-verify-remote`.
    pub(super) remote: Option<&'p str>,
    /// The argument that names the commit.
    pub(super) rev: &'p str,
}

/// Prints what verification says of a commit's signatures; nothing for an unsigned one.
pub(super) fn print(
    repo: &Repo,
    commit: &Checksum,
    places: &Places<'_>,
    out: &Output,
) -> Result<(), Failure> {
    let Some(metadata) = repo.load_detached_metadata(commit)? else { return Ok(()) };
    let Some(signatures) = detached::signatures(&metadata, detached::GPG_KEY) else {
        return Ok(());
    };
    let global = global_keyrings();
    let keyring = match remote_of(repo, places)? {
        Some(name) => keyrings::of_remote(repo, None, &name, Some(&global))?,
        None => {
            let directories =
                keyrings::Directories { global: Some(&global), homedir: places.homedir };
            keyrings::of_all_remotes(repo, &directories)?
        }
    };
    let data = repo.load_metadata(&ObjectName::new(*commit, ObjectType::Commit))?;
    let (reports, zone) = (verify(&data, signatures, &keyring)?, TimeZone::system());
    let counted = openpgp::counted(&reports);
    writeln!(out, "Found {}:", signatures_text(counted.len()))?;
    counted.iter().try_for_each(|report| write!(out, "\n{}", report.describe("  ", &zone)))
}

/// Prints what verification says of the signatures of a summary, `data`: nothing when they are of
/// another kind or cannot be read.
pub(super) fn print_of_summary(
    repo: &Repo,
    data: &[u8],
    homedir: Option<&Path>,
    out: &Output,
) -> Result<(), Failure> {
    let Some(stored) = store::load_signature(repo)? else {
        return writeln!(out, "Summary is unsigned");
    };
    let Ok(metadata) = Dict::decode(&stored) else { return Ok(()) };
    let Some(signatures) = detached::signatures(&metadata, detached::GPG_KEY) else {
        return Ok(());
    };
    let global = global_keyrings();
    let keyring = keyrings::Directories { global: Some(&global), homedir }.keyring()?;
    let (reports, zone) = (verify(data, signatures, &keyring)?, TimeZone::system());
    let counted = openpgp::counted(&reports);
    writeln!(out, "\nFound {} on the summary:", signatures_text(counted.len()))?;
    counted.iter().try_for_each(|report| write!(out, "\n{}", report.describe("  ", &zone)))
}

/// What verification says of the OpenPGP signatures in detached metadata; `None` when there are
/// none, and then the keys are not looked for.
pub(super) fn verify_present<'k>(
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

/// Whether one of the signatures is by the key that `wanted` finds among those of the system and of
/// the directory that the user names.
pub(super) fn is_signed(
    metadata: &Dict,
    data: &[u8],
    homedir: Option<&Path>,
    wanted: impl FnOnce(&Keyring) -> Option<Fingerprint>,
) -> Result<bool, Error> {
    let global = global_keyrings();
    let mut keyring = Keyring::default();
    let reports = verify_present(metadata, data, || {
        keyring = keyrings::Directories { global: Some(&global), homedir }.keyring()?;
        Ok(&keyring)
    })?;
    let (Some(reports), Some(key)) = (reports, wanted(&keyring)) else { return Ok(false) };
    Ok(!openpgp::elements_by(&reports, key).is_empty())
}

/// The error for a commit that has a signature of the key already.
pub(super) fn already_signed(id: &str) -> Error {
    Error::failed(format!("Commit is already signed with GPG key {id}"))
}

fn verify<'s>(
    data: &[u8],
    signatures: impl Iterator<Item = &'s [u8]>,
    keyring: &Keyring,
) -> Result<Vec<SigReport>, Failure> {
    let signatures: Vec<&[u8]> = signatures.collect();
    let now = clock::now().cast_signed();
    let reports = openpgp::verify(data, &signatures, keyring, now).map_err(osier::Error::from)?;
    reports.iter().enumerate().for_each(|(place, report)| explain(place + 1, report));
    Ok(reports)
}

pub(super) fn signatures_text(count: usize) -> String {
    format!("{count} signature{}", if count == 1 { "" } else { "s" })
}

/// The remote whose keys are wanted, if it is one's.
fn remote_of(repo: &Repo, places: &Places<'_>) -> Result<Option<String>, Failure> {
    match places.remote {
        Some(REMOTE_OF_ARGUMENT)
            if !remote::names(repo)?.iter().any(|n| n == REMOTE_OF_ARGUMENT) =>
        {
            let refspec = Refspec::parse(places.rev).ok();
            Ok(refspec.and_then(|refspec| refspec.remote).map(|name| name.to_string()))
        }
        name => Ok(name.map(str::to_owned)),
    }
}

/// Shows with `--verbose` what upstream's words leave out.
fn explain(number: usize, report: &SigReport) {
    let key = match report.fingerprint {
        Some(fingerprint) => fingerprint.to_string(),
        None => report.key_id.to_string(),
    };
    let keyring = report.keyring.as_deref().map_or("none".into(), Path::to_string_lossy);
    log::debug!("signature {number}: {}, key {key}, keyring {keyring}", report.state);
    if report.hash == SHA1 {
        log::debug!("warning: signature {number} is over a SHA-1 digest, which can be forged");
    }
}

/// Where the keyrings of the system are; the directory need not exist.
pub(super) fn global_keyrings() -> PathBuf {
    std::env::var_os("OSTREE_GPG_HOME").map_or_else(|| GLOBAL_KEYRINGS.into(), PathBuf::from)
}
