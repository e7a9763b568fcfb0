//! `pull-local`: pulls commits from a repository on this machine.

use std::ffi::OsString;
use std::path::Path;
#[cfg(feature = "gpg")]
use std::sync::Arc;

use osier::pull::{FileModes, PullOptions, PullStats, Want, pull_local};
use osier::refspec::{RefName, RemoteName};
#[cfg(feature = "gpg")]
use osier::remote::{Demands, GpgDemands};
use osier::repo::{ListRefs, OpenOptions, Repo, Trust};
use osier::units::format_size;

use super::context::{self, Context};
use super::error::Failure;
use super::json;
use super::options::{OWN_OPTIONS, integer};
use super::pulled;
#[cfg(feature = "gpg")]
use super::trust::trust;

/// The options of `pull-local`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Fetch only the commit metadata
    #[arg(long)]
    commit_metadata_only: bool,
    /// Add REMOTE to refspec
    #[arg(long, value_name = "REMOTE")]
    remote: Option<String>,
    /// Do not invoke fsync()
    #[arg(long)]
    disable_fsync: bool,
    /// Perform writes in such a way that avoids stalling concurrent processes
    #[arg(long)]
    per_object_fsync: bool,
    /// Verify checksums of local sources (always enabled for HTTP pulls)
    #[arg(long)]
    untrusted: bool,
    /// Reject regular files with mode outside of 0775 (world writable, suid, etc.)
    #[arg(long)]
    bareuseronly_files: bool,
    /// Require static deltas
    #[arg(long)]
    require_static_deltas: bool,
    /// Do not use static deltas
    #[arg(long)]
    disable_static_deltas: bool,
    /// GPG verify commits (must specify --remote)
    #[arg(long)]
    gpg_verify: bool,
    /// GPG verify summary (must specify --remote)
    #[arg(long)]
    gpg_verify_summary: bool,
    /// Do not verify commit bindings
    #[arg(long)]
    disable_verify_bindings: bool,
    /// Traverse DEPTH parents (-1=infinite) (default: 0)
    #[arg(long, value_name = "DEPTH", value_parser = integer)]
    depth: Option<i32>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    /// The source, then refs.
    rest: Vec<OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        commit_metadata_only,
        remote,
        disable_fsync,
        per_object_fsync,
        untrusted,
        bareuseronly_files,
        require_static_deltas,
        // There are no deltas to disable: a local source is read object by object.
        disable_static_deltas: _,
        gpg_verify,
        gpg_verify_summary,
        disable_verify_bindings,
        depth,
        json,
        rest,
    } = args;
    let open = OpenOptions { disable_fsync, per_object_fsync, ..context::open_options()? };
    let repo = context.open_repo_with(&open)?;
    repo.check_writable()?;
    let Some((source, wanted)) = rest.split_first() else {
        return Err(Failure::usage("DESTINATION must be specified"));
    };
    let source =
        Repo::open_with(&context::absolute(Path::new(source))?, &context::open_options()?)?;
    if (gpg_verify || gpg_verify_summary) && remote.is_none() {
        return Err(Failure::failed("Must specify remote name to enable gpg verification"));
    }
    #[cfg(not(feature = "pull"))]
    if require_static_deltas {
        return Err(Failure::failed("this osier is built without the feature 'pull'"));
    }
    #[cfg(not(feature = "gpg"))]
    if gpg_verify || gpg_verify_summary {
        return Err(Failure::failed("GPG has been disabled at build time"));
    }
    #[cfg(feature = "gpg")]
    let demands = {
        let gpg = GpgDemands { commits: gpg_verify, summary: gpg_verify_summary };
        Demands::gpg_only(&repo, None, remote.as_deref().unwrap_or_default(), gpg, &trust())
    };
    let wanted = wanted.iter().map(|text| Want::parse(&text.to_string_lossy()));
    let wanted = wanted
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Failure::failed(error.to_string()))?;
    let options = PullOptions {
        remote: remote.map(|remote| remote_name(&source, &remote, &wanted)).transpose()?.flatten(),
        wanted,
        depth: pulled::generations(depth)?,
        commit_metadata_only,
        trust: if untrusted { Trust::Untrusted } else { Trust::Trusted },
        file_modes: if bareuseronly_files { FileModes::BareUserOnly } else { FileModes::Any },
        verify_bindings: !disable_verify_bindings,
        #[cfg(feature = "gpg")]
        demands: Arc::new(demands),
        ..PullOptions::default()
    };
    #[cfg(feature = "pull")]
    if require_static_deltas {
        return pull_deltas(&repo, &source, options, (context, json));
    }
    let stats = pull_local(&repo, &source, &options, &context.transaction_progress(&repo, json))?;
    if json {
        return json::print(
            &pulled::document(&repo, &options, &all_of(&source)?, &stats)?,
            &context.out,
        );
    }
    writeln!(context.out, "{}", status_line(&stats))
}

/// Pulls by static deltas only. As upstream, which then treats the source like a server.
#[cfg(feature = "pull")]
fn pull_deltas(
    repo: &Repo,
    source: &Repo,
    mut options: PullOptions,
    (context, json): (&mut Context, bool),
) -> Result<(), Failure> {
    use std::time::Instant;

    use osier::pull::{DeltaUse, Source, SummaryCache, pull_http};
    use osier::remote::attempts::Retry;
    use osier::remote::origin::Origin;

    use super::pull_output::{Place, status_line};

    options.deltas = DeltaUse::Required;
    if options.wanted.is_empty() {
        let refs = source.list_refs(None, ListRefs::Full)?;
        options.wanted = refs.into_iter().map(|(refspec, _)| Want::Ref(refspec.name)).collect();
    }
    let (progress, started) = (context.transaction_progress(repo, json), Instant::now());
    let origin = Origin::of_directory(source.path(), Retry::default(), &progress)?;
    let from = Source {
        name: "",
        branches: &[],
        collection: source.collection_id(),
        origin: &origin,
        cache: SummaryCache::None,
        local_caches: &[],
    };
    let stats = pull_http(repo, &from, &options, &progress)?;
    drop(progress);
    if json {
        return json::print(
            &pulled::document(repo, &options, &all_of(source)?, &stats)?,
            &context.out,
        );
    }
    writeln!(context.out, "{}", status_line(&stats, Place::Server, started.elapsed()))
}

/// The remote to which the refs will belong. Upstream checks its name when it sets a ref, and not
/// if there is none.
fn remote_name(
    source: &Repo,
    remote: &str,
    wanted: &[Want],
) -> Result<Option<RemoteName>, Failure> {
    if let Ok(name) = RemoteName::parse(remote) {
        return Ok(Some(name));
    }
    let first = wanted.iter().find_map(Want::name).cloned();
    let first = match first {
        None if wanted.is_empty() => source
            .list_ref_names(None, ListRefs::Full)?
            .into_iter()
            .next()
            .map(|refspec| refspec.name),
        first => first,
    };
    match first {
        Some(name) => Err(Failure::failed(format!("Invalid refspec {remote}:{name}"))),
        None => Ok(None),
    }
}

/// The refs that are pulled when none are given.
fn all_of(source: &Repo) -> Result<Vec<RefName>, Failure> {
    let refs = source.list_ref_names(None, ListRefs::Full)?;
    Ok(refs.into_iter().map(|refspec| refspec.name).collect())
}

fn status_line(stats: &PullStats) -> String {
    let PullStats {
        metadata_objects_imported,
        content_objects_imported,
        content_bytes_written,
        transferred_bytes,
        ..
    } = *stats;
    let transferred = match transferred_bytes {
        0 => String::new(),
        // What upstream counts as fetched comes from the same machine, so it reports 0 seconds.
        bytes if bytes < 1024 => format!("{bytes} B transferred in 0 seconds; "),
        bytes => format!("{} KiB transferred in 0 seconds; ", bytes / 1024),
    };
    format!(
        "{metadata_objects_imported} metadata, {content_objects_imported} content objects \
         imported; {transferred}{} content written",
        format_size(content_bytes_written)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_line_is_upstreams() {
        let stats = PullStats {
            metadata_objects_imported: 5,
            content_objects_imported: 6,
            ..PullStats::default()
        };
        assert_eq!(
            status_line(&stats),
            "5 metadata, 6 content objects imported; 0 bytes content written"
        );
        let stats = PullStats {
            transferred_bytes: 14,
            content_bytes_written: 1500,
            ..PullStats::default()
        };
        let expected = "0 metadata, 0 content objects imported; 14 B transferred in 0 seconds; \
            1.5\u{a0}kB content written";
        assert_eq!(status_line(&stats), expected);
        let stats = PullStats { transferred_bytes: 3040, ..PullStats::default() };
        let expected = "0 metadata, 0 content objects imported; 2 KiB transferred in 0 seconds; 0 \
            bytes content written";
        assert_eq!(status_line(&stats), expected);
    }
}
