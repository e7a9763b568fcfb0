//! What clients and caches are told about a file.

use object_store::{Attribute, Attributes};

/// The content of such a file never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";
/// Such a file may be replaced, but hardly ever is.
const A_DAY: &str = "public, max-age=86400";
/// Such a file is replaced by every push.
const SHORT: &str = "public, max-age=10, must-revalidate";

/// The content type and the cache control of a file, by the end of its name.
pub(super) fn headers(name: &str) -> Attributes {
    let (content_type, cache) = kind(name);
    [(Attribute::ContentType, content_type), (Attribute::CacheControl, cache)].into_iter().collect()
}

fn kind(name: &str) -> (&'static str, &'static str) {
    const BINARY: &str = "application/octet-stream";
    let is_in =
        |directory: &str| name.starts_with(directory) || name.contains(&format!("/{directory}"));
    let ends = [".filez", ".dirtree", ".dirmeta", ".commit"];
    match name {
        _ if is_in("refs/heads/") => ("text/plain", SHORT),
        _ if is_in("objects/") && ends.iter().any(|end| name.ends_with(end)) => (BINARY, FOR_EVER),
        _ if is_in("deltas/") => (BINARY, A_DAY),
        _ if name.ends_with("config") => ("text/plain", SHORT),
        _ => (BINARY, SHORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_kept_for_ever_and_refs_shortly() {
        for (name, expected) in [
            ("objects/ab/cd.filez", ("application/octet-stream", FOR_EVER)),
            ("pre/fix/objects/ab/cd.commit", ("application/octet-stream", FOR_EVER)),
            ("objects/ab/cd.commitmeta", ("application/octet-stream", SHORT)),
            ("refs/heads/a.commit", ("text/plain", SHORT)),
            ("summary", ("application/octet-stream", SHORT)),
            ("pre/summary.sig", ("application/octet-stream", SHORT)),
            ("config", ("text/plain", SHORT)),
            ("deltas/ab/cd/superblock", ("application/octet-stream", A_DAY)),
            ("delta-indexes/ab/cd.index", ("application/octet-stream", SHORT)),
        ] {
            assert_eq!(kind(name), expected, "{name}");
        }
    }
}
