//! `diff`: reports what differs between two commits or directories.

use std::path::PathBuf;

use osier::Checksum;
use osier::diff::{Diff, DiffOptions, DiffStats, DiffTree, diff, stats};
use osier::repo::Repo;
use osier::units::format_size;

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::{OWN_OPTIONS, integer};
use super::output::Output;

/// The options of `diff`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Print various statistics
    #[arg(long)]
    stats: bool,
    /// Print filesystem diff
    #[arg(long)]
    fs_diff: bool,
    /// Skip output of extended attributes
    #[arg(long)]
    no_xattrs: bool,
    /// Use file ownership user id for local files
    #[arg(long, value_name = "UID", value_parser = integer)]
    owner_uid: Option<i32>,
    /// Use file ownership group id for local files
    #[arg(long, value_name = "GID", value_parser = integer)]
    owner_gid: Option<i32>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { stats: wants_stats, fs_diff, no_xattrs, owner_uid, owner_gid, json, arguments } =
        args;
    let repo = context.open_repo()?;
    let (first, second) = match &arguments[..] {
        [] => return Err(Failure::usage("REV must be specified")),
        [rev] => (format!("{rev}^"), rev.clone()),
        [first, second, ..] => (first.clone(), second.clone()),
    };
    // A negative number means none.
    let owner = |id: Option<i32>| id.and_then(|id| u32::try_from(id).ok());
    let options =
        DiffOptions { owner_uid: owner(owner_uid), owner_gid: owner(owner_gid), no_xattrs };
    let differences = match fs_diff || !wants_stats {
        true => Some(diff(&repo, &tree(&repo, &first)?, &tree(&repo, &second)?, &options)?),
        false => None,
    };
    if let (Some(diff), false) = (&differences, json) {
        print_diff(diff, &context.out)?;
    }
    let common = match wants_stats {
        true => Some(stats(&repo, &repo.resolve_rev(&first)?, &repo.resolve_rev(&second)?)?),
        false => None,
    };
    if json {
        return print_json(differences.as_ref(), common.as_ref(), &context.out);
    }
    common.map_or(Ok(()), |stats| print_stats(&stats, &context.out))
}

fn tree(repo: &Repo, argument: &str) -> Result<DiffTree, Failure> {
    if argument.starts_with('/') || argument.starts_with("./") {
        return Ok(DiffTree::Directory(PathBuf::from(argument)));
    }
    let commit: Checksum = repo.resolve_rev(argument)?;
    Ok(DiffTree::Commit(commit))
}

fn print_diff(Diff { modified, removed, added }: &Diff, out: &Output) -> Result<(), Failure> {
    for (letter, paths) in [('M', modified), ('D', removed), ('A', added)] {
        for path in paths {
            writeln!(out, "{letter}    {path}")?;
        }
    }
    Ok(())
}

fn print_stats(stats: &DiffStats, out: &Output) -> Result<(), Failure> {
    writeln!(out, "[A] Object Count: {}", stats.objects_in_first)?;
    writeln!(out, "[B] Object Count: {}", stats.objects_in_second)?;
    writeln!(out, "Common Object Count: {}", stats.common_objects)?;
    writeln!(out, "Common Object Size: {}", format_size(stats.common_bytes))
}

/// One object on one line. `modified`, `removed` and `added` are lists of paths and there unless
/// only `--stats` was asked for; `stats` is there with `--stats`.
fn print_json(diff: Option<&Diff>, stats: Option<&DiffStats>, out: &Output) -> Result<(), Failure> {
    let mut object = serde_json::Map::new();
    if let Some(Diff { modified, removed, added }) = diff {
        for (name, paths) in [("modified", modified), ("removed", removed), ("added", added)] {
            object.insert(name.to_owned(), serde_json::json!(paths));
        }
    }
    if let Some(stats) = stats {
        let stats = serde_json::json!({
            "objects_in_first": stats.objects_in_first,
            "objects_in_second": stats.objects_in_second,
            "common_objects": stats.common_objects,
            "common_bytes": stats.common_bytes,
        });
        object.insert("stats".to_owned(), stats);
    }
    json::print(&serde_json::Value::Object(object), out)
}
