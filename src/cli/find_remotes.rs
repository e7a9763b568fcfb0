//! `find-remotes`: finds remotes that have refs of collections, and pulls from them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::{env, fs};

use osier::error::During as _;
use osier::progress::{Event, Progress as _};
use osier::pull::{
    FetchOptions, FindOptions, Finder, FoundRemote, find_remotes, pull_from_remotes,
    removable_mounts,
};
use osier::refspec::CollectionRef;
use osier::remote::origin::OriginOptions;
use osier::repo::{OpenOptions, Repo};

use super::collection_refs::{check_pairs, parse_pairs};
use super::context::{self, Context};
use super::error::Failure;
use super::options::path;
use super::output::Output;
use super::{origin, trust};

/// The options of `find-remotes`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Use custom cache dir
    #[arg(long, value_name = "", value_parser = path())]
    cache_dir: Option<PathBuf>,
    /// Do not invoke fsync()
    #[arg(long)]
    disable_fsync: bool,
    /// Use the specified comma separated list of finders (e.g. config,lan,mount)
    #[arg(long, value_name = "FINDERS")]
    finders: Option<String>,
    /// Pull the updates after finding them
    #[arg(long)]
    pull: bool,
    /// Do a mirror pull (see ostree pull --mirror)
    #[arg(long)]
    mirror: bool,
    /// Pairs.
    rest: Vec<OsString>,
}

/// The kernel's list of mounts.
const MOUNTINFO: &str = "/proc/self/mountinfo";
/// That of libmount, which need not be there.
const UTAB: &str = "/run/mount/utab";

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { cache_dir, disable_fsync, finders, pull, mirror, rest } = args;
    let open = OpenOptions { disable_fsync, ..context::open_options()? };
    let repo = context.open_repo_with(&open)?;
    check_pairs(&rest)?;
    if mirror && !pull {
        return Err(Failure::usage("When --mirror is specified, --pull must also be"));
    }
    if pull {
        repo.check_writable()?;
    }
    if let Some(cache) = &cache_dir {
        fs::read_dir(cache).calling("opendir", cache)?;
    }
    let wanted = without_repeats(parse_pairs(&rest)?);
    let finders = match finders {
        Some(text) => parse_finders(&text)?,
        None => default_finders(&repo, context),
    };
    let options = FindOptions {
        mounts: match finders.contains(&Finder::Mount) {
            true => mounts()?,
            false => Vec::new(),
        },
        finders,
        cache: cache_dir.as_deref(),
        origin: &OriginOptions { gzip: true, ..origin::options() },
        trust: &trust::trust(),
        open: &context::open_options()?,
    };
    let found = find_remotes(&repo, &wanted, &options)?;
    if found.is_empty() {
        return writeln!(context.out, "No results.");
    }
    print(&found, &wanted, &context.out)?;
    if !pull {
        return Ok(());
    }
    let progress = context.transaction_progress(&repo, true);
    let options = FetchOptions { mirror, cache: cache_dir.as_deref() };
    let failed = pull_from_remotes(&repo, &found, &options, &progress);
    drop(progress);
    if !failed.is_empty() {
        let failed: Vec<String> = failed.iter().map(display).collect();
        return Err(Failure::failed(format!(
            "Failed to pull some refs from the remotes: {}",
            failed.join(", ")
        )));
    }
    let count = wanted.len();
    writeln!(context.out, "Pulled {count}/{count} refs successfully.")
}

/// A ref that is given twice is looked for once.
fn without_repeats(refs: Vec<CollectionRef>) -> Vec<CollectionRef> {
    let mut seen = Vec::new();
    for name in refs {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn parse_finders(text: &str) -> Result<Vec<Finder>, Failure> {
    if text.is_empty() {
        return Err(Failure::usage("List of finders in --finders option must not be empty"));
    }
    let mut finders = Vec::new();
    for name in text.split(',') {
        let finder = match name {
            "config" => Finder::Config,
            "mount" => Finder::Mount,
            "lan" => {
                return Err(Failure::usage(
                    "LAN repo finder requested but ostree was compiled without Avahi support",
                ));
            }
            _ => return Err(unknown(name)),
        };
        if finders.contains(&finder) {
            return Err(unknown(name));
        }
        finders.push(finder);
    }
    Ok(finders)
}

fn unknown(name: &str) -> Failure {
    Failure::usage(format!("Unknown or duplicate finder type given in --finders option: ‘{name}’"))
}

/// What `core.default-repo-finders` names; the config has been validated.
fn default_finders(repo: &Repo, context: &Context) -> Vec<Finder> {
    let names = repo.config().keyfile.get_list("core", "default-repo-finders");
    let Ok(Some(names)) = names else { return vec![Finder::Config, Finder::Mount] };
    let mut finders = Vec::new();
    for name in names {
        match name.as_str() {
            "config" => finders.push(Finder::Config),
            "mount" => finders.push(Finder::Mount),
            other => context.quiet_progress().event(Event::Warning(&format!(
                "warning: the finder '{other}' of core.default-repo-finders is not supported"
            ))),
        }
    }
    finders
}

fn mounts() -> Result<Vec<PathBuf>, Failure> {
    let mountinfo = fs::read(MOUNTINFO).during("reading", MOUNTINFO)?;
    let utab = fs::read(UTAB).unwrap_or_default();
    Ok(removable_mounts(&mountinfo, &utab, env::var("USER").ok().as_deref()))
}

fn display(name: &CollectionRef) -> String {
    format!("({}, {})", name.collection, name.name)
}

fn print(found: &[FoundRemote], wanted: &[CollectionRef], out: &Output) -> Result<(), Failure> {
    for (number, remote) in found.iter().enumerate() {
        writeln!(out, "Result {number}: {}", remote.url)?;
        writeln!(out, " - Finder: {}", remote.finder.type_name())?;
        writeln!(out, " - Keyring: {}.trustedkeys.gpg", remote.name)?;
        writeln!(out, " - Priority: {}", remote.finder.priority())?;
        writeln!(out, " - Summary last modified: {}", time(remote.last_modified))?;
        writeln!(out, " - Refs:")?;
        for (name, commit) in &remote.refs {
            let commit = commit.map_or("(not found)".to_owned(), |commit| commit.to_hex());
            writeln!(out, "    - {} = {commit}", display(name))?;
        }
        writeln!(out)?;
    }
    let is_missing = |name: &&CollectionRef| {
        let mut refs = found.iter().flat_map(|remote| &remote.refs);
        !refs.any(|(other, commit)| other == *name && commit.is_some())
    };
    let missing: Vec<&CollectionRef> = wanted.iter().filter(is_missing).collect();
    let count = wanted.len();
    writeln!(out, "{}/{count} refs were found.", count - missing.len())?;
    if !missing.is_empty() {
        writeln!(out, "Refs not found in any remote:")?;
    }
    missing.into_iter().try_for_each(|name| writeln!(out, " - {}", display(name)))
}

fn time(seconds: Option<u64>) -> String {
    let seconds = seconds.filter(|seconds| *seconds > 0).and_then(|s| i64::try_from(s).ok());
    let time = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or("unknown".to_owned(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_to_the_second() {
        assert_eq!(time(Some(1_580_000_000)), "2020-01-26T00:53:20Z");
        assert_eq!(time(Some(0)), "unknown");
        assert_eq!(time(Some(u64::MAX)), "unknown");
        assert_eq!(time(None), "unknown");
    }
}
