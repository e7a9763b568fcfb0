//! What a sender may write, other than objects: everything else is refused, whatever it is.

use std::path::Path;

use super::super::there;
use crate::checksum::Checksum;
use crate::delta_format::{DeltaIndex, DeltaName, Signed, Superblock, index_path};
use crate::error::{Error, Result};
use crate::gvariant::{DecodeError, Dict};
use crate::input::quotable;
use crate::keyfile::{KeyFile, text_of};
use crate::object::{ObjectName, ObjectType};
use crate::refspec::RefName;
use crate::repo::{CommitState, Config, Repo};
use crate::summary::Summary;

/// Refuses a small file that no push writes, or that is not what its name says.
///
/// # Errors
/// That is it.
pub(super) fn check_put(repo: Option<&Repo>, name: &str, bytes: &[u8]) -> Result<()> {
    let malformed = |source| Error::Malformed { what: name.to_owned(), source };
    if name == there::CONFIG {
        return check_config(bytes);
    }
    let Some(repo) = repo else { return Err(Error::failed("there is no repository yet")) };
    match name {
        "summary" => Summary::decode(bytes).map(drop).map_err(malformed),
        "summary.sig" => Dict::decode(bytes).map(drop).map_err(malformed),
        _ => match (name.strip_prefix("refs/heads/"), name.strip_prefix("delta-indexes/")) {
            (Some(name), _) => check_ref(repo, &RefName::parse(name)?, bytes),
            (_, Some(_)) => check_index(name, bytes),
            _ => Err(refused(name)),
        },
    }
}

fn refused(name: &str) -> Error {
    Error::failed(format!("'{}' is nothing that a push writes", quotable(name)))
}

/// A new repository is like any other that a push makes. Nothing else can be set.
fn check_config(bytes: &[u8]) -> Result<()> {
    let malformed = |source| Error::Malformed { what: there::CONFIG.to_owned(), source };
    let keyfile = text_of(bytes).and_then(KeyFile::parse).map_err(malformed)?;
    let config = Config::from_keyfile(keyfile)?;
    match there::new_config(config.collection_id.as_ref()).as_bytes() == bytes {
        true => Ok(()),
        false => Err(Error::failed("the config is none that a push writes")),
    }
}

/// A ref is set when its commit is there. That all below it is was made sure when it came.
fn check_ref(repo: &Repo, name: &RefName, bytes: &[u8]) -> Result<()> {
    let text = std::str::from_utf8(bytes).ok().and_then(|text| text.strip_suffix('\n'));
    let commit = text.and_then(|text| Checksum::from_hex(text).ok());
    let commit =
        commit.ok_or_else(|| Error::failed(format!("the ref {name} would hold no checksum")))?;
    let what = match repo.has_object(&ObjectName::new(commit, ObjectType::Commit))? {
        false => "not there",
        true if repo.commit_state(&commit)? != CommitState::Complete => "partial there",
        true => return Ok(()),
    };
    Err(Error::failed(format!("the ref {name} would name the commit {commit}, which is {what}")))
}

fn check_index(name: &str, bytes: &[u8]) -> Result<()> {
    let malformed = |source| Error::Malformed { what: name.to_owned(), source };
    let index = DeltaIndex::decode(bytes).map_err(malformed)?;
    let targets: Vec<Checksum> = index.deltas.iter().map(|(delta, _)| delta.to).collect();
    match targets.first() {
        Some(to)
            if targets.iter().all(|other| other == to) && index_path(to) == Path::new(name) =>
        {
            Ok(())
        }
        _ => Err(refused(name)),
    }
}

/// The delta that a file belongs to.
///
/// # Errors
/// When it is none of a delta.
pub(super) fn check_delta_path(path: &str) -> Result<DeltaName> {
    let mut words = path.split('/');
    let parts = (words.next(), words.next(), words.next(), words.next(), words.next());
    let (Some("deltas"), Some(prefix), Some(rest), Some(file), None) = parts else {
        return Err(refused(path));
    };
    let is_number = (1..=9).contains(&file.len()) && file.bytes().all(|byte| byte.is_ascii_digit());
    let name = DeltaName::of_directory(prefix, rest).filter(|name| {
        (is_number || file == "superblock") && name.directory().join(file) == Path::new(path)
    });
    name.ok_or_else(|| refused(path))
}

/// Refuses a superblock that is none, or of another delta.
///
/// # Errors
/// That is it.
pub(super) fn check_superblock(name: &DeltaName, path: &str, bytes: &[u8]) -> Result<()> {
    let malformed = |source| Error::Malformed { what: path.to_owned(), source };
    let signed = Signed::decode(bytes).map_err(malformed)?;
    let inner = signed.as_ref().map_or(bytes, |signed| signed.superblock);
    let superblock = Superblock::decode(inner).map_err(malformed)?;
    match superblock.to == name.to && superblock.from == name.from {
        true => Ok(()),
        false => Err(malformed(DecodeError::new("it is that of another delta"))),
    }
}
