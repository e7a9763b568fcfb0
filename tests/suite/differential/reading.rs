//! The commands that only read, on a repository that both programs have.

use crate::support::snapshot;

use super::pair::Pair;

/// Files whose content is printed; more would only take time.
const FILES_READ: usize = 6;

/// Objects of each type that are shown.
const OBJECTS_SHOWN: usize = 4;

/// Runs every reading command on `branch`, whose regular files are `files`.
#[track_caller]
pub fn assert_read_alike(pair: &Pair, branch: &str, files: &[String]) {
    let commands: &[&[&str]] = &[
        &["log", branch],
        &["log", "--raw", branch],
        &["show", branch],
        &["show", "--raw", branch],
        &["show", "-B", branch],
        &["show", "--print-related", branch],
        &["show", "--print-metadata-key=ostree.ref-binding", branch],
        &["show", "--print-metadata-key=none", branch],
        &["show", "--print-detached-metadata-key=none", branch],
        &["ls", branch],
        &["ls", "-R", branch],
        &["ls", "-RC", branch],
        &["ls", "-RCX", branch],
        &["ls", "-d", branch, "/"],
        &["ls", "-R", "--nul-filenames-only", branch],
        &["ls", branch, "/not/there"],
        &["cat", branch, "/not/there"],
        &["cat", branch, "/"],
        &["refs"],
        &["refs", "--list"],
        &["refs", "-A"],
        &["refs", "-c"],
        &["rev-parse", branch],
        &["rev-parse", "-S"],
        &["rev-parse", "not-there"],
        &["config", "get", "core.mode"],
        &["summary", "-v"],
        &["fsck"],
        &["fsck", "-q"],
    ];
    for command in commands {
        pair.both(command);
    }
    for file in files.iter().take(FILES_READ) {
        pair.both(&["cat", branch, file]);
        pair.both(&["ls", "-CX", branch, file]);
        let on_disk = format!("../tree{file}");
        pair.both(&["checksum", &on_disk]);
    }
    let mut shown = std::collections::BTreeMap::new();
    for path in snapshot(&pair.path("ours/repo")).keys() {
        let Some((name, kind)) =
            path.strip_prefix("objects/").and_then(|path| path.split_once('.'))
        else {
            continue;
        };
        let so_far = shown.entry(kind.to_owned()).or_insert(0);
        *so_far += 1;
        if *so_far <= OBJECTS_SHOWN {
            let hex = name.replace('/', "");
            pair.both(&["show", &hex]);
            pair.both(&["show", "--raw", &hex]);
            pair.both(&["rev-parse", &hex[..12]]);
        }
    }
}
