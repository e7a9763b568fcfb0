//! What the commands that pull share: how deep, and what was done, as JSON.

use osier::pull::{PullOptions, PullStats, Want};
use osier::refspec::{RefName, Refspec};
use osier::repo::Repo;
use serde_json::{Value, json};

use super::error::Failure;

/// The refs as they are now, the commits that were asked for by name, and the counts. `all` are the
/// refs that are pulled when none are given.
pub(super) fn document(
    repo: &Repo,
    options: &PullOptions,
    all: &[RefName],
    stats: &PullStats,
) -> Result<Value, Failure> {
    let PullStats {
        metadata_objects_imported,
        content_objects_imported,
        metadata_objects_fetched,
        content_objects_fetched,
        delta_parts_fetched,
        content_bytes_written,
        transferred_bytes,
    } = *stats;
    let wanted: Vec<&RefName> = match options.wanted.as_slice() {
        [] => all.iter().collect(),
        wanted => wanted.iter().filter_map(Want::name).collect(),
    };
    let commits = options.wanted.iter().filter_map(|want| match want {
        Want::Commit(commit) => Some(commit.to_hex()),
        _ => None,
    });
    let commits: Vec<_> = commits.collect();
    let mut refs = Vec::new();
    for name in wanted {
        let remote = options.remote.clone().filter(|_| !options.mirror);
        let name = Refspec { remote, name: name.clone() }.to_string();
        if let Some(commit) = repo.try_resolve_rev(&name)? {
            refs.push(json!({ "ref": name, "commit": commit.to_hex() }));
        }
    }
    Ok(json!({
        "refs": refs,
        "commits": commits,
        "metadata_objects_imported": metadata_objects_imported,
        "content_objects_imported": content_objects_imported,
        "metadata_objects_fetched": metadata_objects_fetched,
        "content_objects_fetched": content_objects_fetched,
        "delta_parts_fetched": delta_parts_fetched,
        "content_bytes_written": content_bytes_written,
        "transferred_bytes": transferred_bytes,
    }))
}

/// The generations of parents that `--depth` stands for; `None` is all.
pub(super) fn generations(depth: Option<i32>) -> Result<Option<u32>, Failure> {
    match depth {
        None => Ok(PullOptions::default().depth),
        Some(-1) => Ok(None),
        Some(depth) => match u32::try_from(depth) {
            Ok(depth) => Ok(Some(depth)),
            // Upstream aborts.
            Err(_) => Err(Failure::failed("Depth must be at least -1")),
        },
    }
}
