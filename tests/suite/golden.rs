//! The fixtures written by the real `ostree` 2026.4.

use std::collections::BTreeMap;

use crate::support::{GOLDEN_REPOS, extract_repo, golden, scratch, snapshot};

#[test]
fn every_golden_repository_unpacks_to_what_its_manifest_lists() {
    for name in GOLDEN_REPOS {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let manifest = std::fs::read_to_string(golden(format!("manifests/{name}.tsv"))).unwrap();
        let listed: BTreeMap<String, String> = manifest.lines().skip(1).filter_map(manifest_row).collect();
        let found: BTreeMap<String, String> = snapshot(&repo)
            .into_iter()
            .map(|(path, entry)| {
                let xattrs: Vec<_> = entry.xattrs.iter().map(|(name, value)| xattr(name, value)).collect();
                let xattrs = if xattrs.is_empty() { "-".to_owned() } else { xattrs.join(",") };
                let owner = if crate::support::is_root() { entry.owner } else { (0, 0) };
                (path, format!("{:04o} {}:{} {xattrs}", entry.mode & 0o7777, owner.0, owner.1))
            })
            .collect();
        assert_eq!(found, listed, "{name}");
    }
}

/// The path, and what the unpacked file must have: permissions, owner, xattrs.
fn manifest_row(line: &str) -> Option<(String, String)> {
    let columns: Vec<&str> = line.split('\t').collect();
    let path = columns[0];
    let scratch = path == "extensions" || path == "tmp" || path.starts_with("tmp/");
    (!scratch).then(|| (path.to_owned(), format!("{} {} {}", columns[2], columns[3], columns[6])))
}

fn xattr(name: &[u8], value: &[u8]) -> String {
    let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}={hex}", String::from_utf8_lossy(name))
}
