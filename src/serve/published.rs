//! Which files of a repository pulls fetch. No I/O.
//!
//! ```text
//! config  summary  summary.sig  summaries/...
//! objects/XX/YY....EXT
//! refs/...  deltas/...  delta-indexes/...  extensions/...
//! ```
//!
//! Everything else in a repository (`state`, `tmp`, keyrings, locks) is nobody's business.

use crate::checksum::Checksum;
use crate::object::{ObjectName, ObjectType};

/// A file that pulls fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Published {
    Config,
    /// As an archive stores it.
    Object(ObjectName),
    /// At this path in the repository.
    File(String),
}

/// The types of objects that an archive has, with their extensions there.
const TYPES: [(ObjectType, &str); 6] = [
    (ObjectType::File, "filez"),
    (ObjectType::DirTree, "dirtree"),
    (ObjectType::DirMeta, "dirmeta"),
    (ObjectType::Commit, "commit"),
    (ObjectType::CommitMeta, "commitmeta"),
    (ObjectType::TombstoneCommit, "tombstone-commit"),
];

/// The file at a decoded path, if it is one of these.
pub(super) fn published(path: &[u8]) -> Option<Published> {
    let path = str::from_utf8(path).ok()?.trim_start_matches('/');
    if path.contains('\0') {
        return None;
    }
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let components = || rest.split('/');
    match first {
        "config" if path == first => Some(Published::Config),
        "summary" | "summary.sig" if path == first => Some(Published::File(path.to_owned())),
        "objects" => object(rest).map(Published::Object),
        "summaries" | "refs" | "deltas" | "delta-indexes" | "extensions" => {
            let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.');
            components().all(is_plain).then(|| Published::File(path.to_owned()))
        }
        _ => None,
    }
}

fn object(path: &str) -> Option<ObjectName> {
    let (first, rest) = path.split_once('/')?;
    let (rest, extension) = rest.split_once('.')?;
    let (object_type, _) = *TYPES.iter().find(|(_, known)| *known == extension)?;
    if first.len() != 2 {
        return None;
    }
    let checksum = Checksum::from_hex(&format!("{first}{rest}")).ok()?;
    Some(ObjectName::new(checksum, object_type))
}

impl Published {
    /// Whether it never changes: objects are named by their content, detached metadata is not.
    pub(super) fn is_immutable(&self) -> bool {
        match self {
            Self::Object(name) => name.object_type != ObjectType::CommitMeta,
            Self::File(path) => path.starts_with("summaries/"),
            Self::Config => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_pulls_fetch_is_published() {
        let rest = "c".repeat(62);
        let object = |name: &str| format!("/objects/ab/{rest}.{name}");
        let checksum = Checksum::from_hex(&format!("ab{rest}")).unwrap();
        for (_, extension) in TYPES {
            let found = published(object(extension).as_bytes());
            assert!(matches!(found, Some(Published::Object(name)) if name.checksum == checksum));
        }
        for path in ["/summary", "summary.sig", "/refs/heads/a/b", "/deltas/ab/cd/superblock"] {
            let name = path.trim_start_matches('/').to_owned();
            assert_eq!(published(path.as_bytes()), Some(Published::File(name)));
        }
        assert_eq!(published(b"//config"), Some(Published::Config));
        for path in [
            "/",
            "/config/",
            "/config/x",
            "/summary/..",
            "/.lock",
            "/tmp/x",
            "/state/x",
            "/trusted.gpg",
            "/refs",
            "/refs/",
            "/refs/heads//a",
            "/refs/heads/.hidden",
            "/refs/../tmp",
            "/refs/heads/a\0",
            "/objects",
            "/objects/ab",
            &object("file"),
            &object("payload-link"),
            &object("commit/"),
            &format!("/objects/abc/{}.commit", "c".repeat(61)),
            &format!("/objects/AB/{rest}.commit"),
        ] {
            assert_eq!(published(path.as_bytes()), None, "{path}");
        }
        assert_eq!(published(b"/refs/heads/\xff"), None);
    }
}
