//! Checks whether a commit may be published: it is complete, as requested, and follows the public
//! one.

use serde_json::Value;

use crate::checksum::Checksum;
use crate::date;
use crate::error::{Context, Error, Result};
use crate::fsck::verify_commit;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::progress::Progress;
use crate::repo::{CommitState, Repo};

/// The requirements on a commit.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Expected {
    /// Its parent.
    pub(crate) parent: Option<Checksum>,
    /// Its version; any, if absent.
    pub(crate) version: Option<String>,
    /// rpm-ostree's description of it, if it was just composed.
    pub(crate) compose: Option<Value>,
}

/// Whether the commit object itself is in the repository.
///
/// # Errors
/// When the operating system cannot determine it.
pub(crate) fn is_there(repo: &Repo, commit: &Checksum) -> Result<bool> {
    repo.has_object(&ObjectName::new(*commit, ObjectType::Commit))
}

/// Verifies a commit: it is not partial, every object that it reaches exists and matches its name,
/// and it is as expected. Returns the commit.
///
/// # Errors
/// The first problem.
pub(crate) fn verify(
    repo: &Repo,
    commit: &Checksum,
    expected: &Expected,
    progress: &dyn Progress,
) -> Result<Commit> {
    if !is_there(repo, commit)? {
        let path = repo.path().display();
        return Err(Error::failed(format!("the commit {commit} is not in the repository {path}")));
    }
    if repo.commit_state(commit)? != CommitState::Complete {
        let mark = repo.path().join(format!("state/{commit}.commitpartial"));
        return Err(Error::failed(format!(
            "the commit {commit} is partial: there is {}",
            mark.display()
        )));
    }
    verify_commit(repo, commit, progress)
        .context(|| format!("the commit {commit} is not whole"))?;
    let object = repo.load_commit(commit)?;
    agrees(commit, &object, expected)?;
    Ok(object)
}

fn agrees(commit: &Checksum, object: &Commit, expected: &Expected) -> Result<()> {
    let named = |commit: &Option<Checksum>| {
        commit.map_or_else(|| "none".to_owned(), |commit| commit.to_hex())
    };
    let differs = |what: &str, found: &str, expected: &str| {
        Err(Error::failed(format!(
            "the {what} of the commit {commit} is {found}, expected is {expected}"
        )))
    };
    if object.parent != expected.parent {
        return differs("parent", &named(&object.parent), &named(&expected.parent));
    }
    if let Some(version) = &expected.version
        && object.version() != Some(version)
    {
        return differs("version", object.version().unwrap_or("none"), version);
    }
    let Some(compose) = &expected.compose else { return Ok(()) };
    let time = i64::try_from(object.timestamp).ok().and_then(date::format_iso).unwrap_or_default();
    let facts = [
        ("ostree-content-checksum", "content checksum", object.content_checksum().to_hex()),
        ("ostree-timestamp", "timestamp", time),
        ("ostree-version", "version", object.version().unwrap_or("none").to_owned()),
    ];
    for (key, what, found) in facts {
        // Some keys are optional.
        if let Some(said) = compose.get(key).filter(|said| said.as_str() != Some(&found)) {
            let said = said.as_str().map_or_else(|| said.to_string(), str::to_owned);
            return differs(what, &found, &format!("{said}, as compose.json says"));
        }
    }
    Ok(())
}

/// A warning about the time of a commit, if any: clients that check times refuse to go back.
///
/// # Errors
/// When the parent cannot be read.
pub(crate) fn odd_time(repo: &Repo, commit: &Commit) -> Result<Option<String>> {
    let Some(parent) = commit.parent else { return Ok(None) };
    let before = repo.load_commit(&parent)?.timestamp;
    if commit.timestamp >= before {
        return Ok(None);
    }
    let time =
        |seconds: u64| i64::try_from(seconds).ok().and_then(date::format_iso).unwrap_or_default();
    let (new, old) = (time(commit.timestamp), time(before));
    Ok(Some(format!(
        "the new commit is of {new}, its parent of {old}: the clock went back; clients that look \
         at times refuse the update"
    )))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::gvariant::{Dict, Value as Variant};

    #[test]
    fn a_commit_must_be_what_was_asked_for_and_what_was_said_of_it() {
        let (id, parent) = (Checksum::of(b"commit"), Checksum::of(b"parent"));
        let mut metadata = Dict::new();
        metadata.push("version", Variant::string("22.3"));
        let object = Commit {
            metadata,
            parent: Some(parent),
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: 1_769_854_830,
            root_dirtree: Checksum::of(b"tree"),
            root_dirmeta: Checksum::of(b"meta"),
        };
        let content = object.content_checksum().to_hex();
        let compose = json!({
            "ostree-content-checksum": content, "ostree-timestamp": "2026-01-31T10:20:30Z", "ostree-version": "22.3",
        });
        let good = Expected {
            parent: Some(parent),
            version: Some("22.3".to_owned()),
            compose: Some(compose.clone()),
        };
        agrees(&id, &object, &good).unwrap();
        agrees(
            &id,
            &object,
            &Expected { parent: Some(parent), compose: Some(json!({})), ..Expected::default() },
        )
        .unwrap();
        let said = |key: &str| {
            let mut compose = compose.clone();
            compose[key] = "else".into();
            Expected { compose: Some(compose), ..good.clone() }
        };
        for (expected, what) in [
            (
                Expected { parent: None, ..good.clone() },
                format!("parent of the commit {id} is {parent}, expected is none"),
            ),
            (
                Expected { version: Some("23".to_owned()), ..good.clone() },
                format!("version of the commit {id} is 22.3, expected is 23"),
            ),
            (
                said("ostree-content-checksum"),
                format!(
                    "content checksum of the commit {id} is {content}, expected is else, as \
                     compose.json says"
                ),
            ),
            (
                said("ostree-timestamp"),
                format!(
                    "timestamp of the commit {id} is 2026-01-31T10:20:30Z, expected is else, as \
                     compose.json says"
                ),
            ),
            (
                said("ostree-version"),
                format!(
                    "version of the commit {id} is 22.3, expected is else, as compose.json says"
                ),
            ),
        ] {
            let message = agrees(&id, &object, &expected).unwrap_err().to_string();
            assert_eq!(message, format!("the {what}"));
        }
    }
}
