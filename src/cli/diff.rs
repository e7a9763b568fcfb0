//! `diff`: reports what differs between two commits or directories.

use std::path::PathBuf;

use osier::Checksum;
#[cfg(feature = "delta")]
use osier::delta::{self, DeltaCost};
use osier::diff::{
    Diff, DiffOptions, DiffSizes, DiffStats, DiffTree, ObjectSums, WireSums, diff, sizes, stats,
};
use osier::repo::Repo;
#[cfg(feature = "delta")]
use osier::repo::deltas::DeltaName;
use osier::units::format_size;
#[cfg(feature = "delta")]
use osier::units::percent;
use serde_json::{Value, json};

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
    /// Print how many objects and bytes are new, and what a client fetches for them
    #[arg(long, help_heading = OWN_OPTIONS)]
    sizes: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        stats: wants_stats,
        fs_diff,
        no_xattrs,
        owner_uid,
        owner_gid,
        sizes: wants_sizes,
        json,
        arguments,
    } = args;
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
    let differences = match fs_diff || !(wants_stats || wants_sizes) {
        true => Some(diff(&repo, &tree(&repo, &first)?, &tree(&repo, &second)?, &options)?),
        false => None,
    };
    if let (Some(diff), false) = (&differences, json) {
        print_diff(diff, &context.out)?;
    }
    let commits = || Ok::<_, Failure>((repo.resolve_rev(&first)?, repo.resolve_rev(&second)?));
    let common = match wants_stats {
        true => {
            let (first, second) = commits()?;
            Some(stats(&repo, &first, &second)?)
        }
        false => None,
    };
    let sizes = match wants_sizes {
        true => {
            let (first, second) = commits()?;
            Some(Sizes::of(&repo, first, second)?)
        }
        false => None,
    };
    if json {
        return print_json(differences.as_ref(), common.as_ref(), sizes.as_ref(), &context.out);
    }
    common.map_or(Ok(()), |stats| print_stats(&stats, &context.out))?;
    sizes.map_or(Ok(()), |sizes| sizes.print(&context.out))
}

/// What `--sizes` shows.
struct Sizes {
    objects: DiffSizes,
    /// The delta from the first commit to the second, if there is one.
    #[cfg(feature = "delta")]
    delta: Option<DeltaCost>,
}

impl Sizes {
    fn of(repo: &Repo, first: Checksum, second: Checksum) -> Result<Self, Failure> {
        Ok(Self {
            objects: sizes(repo, &first, &second)?,
            #[cfg(feature = "delta")]
            delta: delta::cost(repo, &DeltaName { from: Some(first), to: second })?,
        })
    }

    fn print(&self, out: &Output) -> Result<(), Failure> {
        let DiffSizes { new, removed, shared, wire } = &self.objects;
        for (what, sums) in [("New", new), ("Removed", removed), ("Shared", shared)] {
            let ObjectSums { metadata, files, bytes } = sums;
            let size = format_size(*bytes);
            writeln!(out, "{what}: {metadata} metadata objects, {files} files, {size} on disk")?;
        }
        let size = wire.bytes.map_or_else(|| "unknown size".to_owned(), format_size);
        writeln!(out, "Fetched as objects: {} files, {size}", wire.requests)?;
        self.print_delta(out)
    }

    #[cfg(feature = "delta")]
    fn print_delta(&self, out: &Output) -> Result<(), Failure> {
        let Some(delta) = &self.delta else {
            return writeln!(out, "Fetched as delta: there is none");
        };
        let DeltaCost { parts, fallbacks, .. } = delta;
        let share = match self.objects.wire.bytes {
            Some(objects) if objects > 0 => {
                format!(", {} % of the objects", percent(delta.bytes(), objects))
            }
            _ => String::new(),
        };
        writeln!(
            out,
            "Fetched as delta: {} files, {} ({parts} parts, {fallbacks} fallbacks){share}",
            delta.requests(),
            format_size(delta.bytes())
        )
    }

    #[cfg(not(feature = "delta"))]
    fn print_delta(&self, _out: &Output) -> Result<(), Failure> {
        Ok(())
    }

    fn document(&self) -> Value {
        let DiffSizes { new, removed, shared, wire: WireSums { requests, bytes } } = &self.objects;
        let sums = |sums: &ObjectSums| {
            let ObjectSums { metadata, files, bytes } = sums;
            json!({ "metadata": metadata, "files": files, "bytes": bytes })
        };
        json!({
            "new": sums(new),
            "removed": sums(removed),
            "shared": sums(shared),
            "as_objects": { "requests": requests, "bytes": bytes },
            "as_delta": self.delta_document(),
        })
    }

    #[cfg(feature = "delta")]
    fn delta_document(&self) -> Option<Value> {
        self.delta.as_ref().map(|delta| {
            json!({
                "name": delta.name.to_string(),
                "requests": delta.requests(),
                "bytes": delta.bytes(),
                "superblock_bytes": delta.superblock_bytes,
                "parts": delta.parts,
                "part_bytes": delta.part_bytes,
                "fallbacks": delta.fallbacks,
                "fallback_bytes": delta.fallback_bytes,
            })
        })
    }

    #[cfg(not(feature = "delta"))]
    fn delta_document(&self) -> Option<Value> {
        None
    }
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
/// only `--stats` or `--sizes` was asked for; `stats` and `sizes` are there with these.
fn print_json(
    diff: Option<&Diff>,
    stats: Option<&DiffStats>,
    sizes: Option<&Sizes>,
    out: &Output,
) -> Result<(), Failure> {
    let mut object = serde_json::Map::new();
    if let Some(Diff { modified, removed, added }) = diff {
        for (name, paths) in [("modified", modified), ("removed", removed), ("added", added)] {
            object.insert(name.to_owned(), json!(paths));
        }
    }
    if let Some(stats) = stats {
        let stats = json!({
            "objects_in_first": stats.objects_in_first,
            "objects_in_second": stats.objects_in_second,
            "common_objects": stats.common_objects,
            "common_bytes": stats.common_bytes,
        });
        object.insert("stats".to_owned(), stats);
    }
    if let Some(sizes) = sizes {
        object.insert("sizes".to_owned(), sizes.document());
    }
    json::print(&Value::Object(object), out)
}
