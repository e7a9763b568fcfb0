//! `checkout`: checks out a commit into a directory.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier::checkout::{CheckoutOptions, CheckoutStats, HardLinks, Overwrite, Relabel, checkout};
use osier::composefs::{FileDigests, ImageOptions, checkout_image};
use osier::error::Context as _;
use osier::labels::Policy;
use osier::source::SkipList;
use osier::{Checksum, Error};
use serde_json::{Value, json};

use super::context::Context;
use super::error::Failure;
use super::interrupt;
use super::json;
use super::options::{OWN_OPTIONS, path};
use super::values;

/// The options of `checkout`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Do not change file ownership or initialize extended attributes
    #[arg(short = 'U', long)]
    user_mode: bool,
    /// Do not update or use the internal repository uncompressed object cache
    #[arg(long)]
    disable_cache: bool,
    /// Checkout sub-directory PATH
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// Keep existing directories, overwrite existing files
    #[arg(long)]
    union: bool,
    /// Keep existing files/directories, only add new
    #[arg(long)]
    union_add: bool,
    /// When layering checkouts, error out if a file would be replaced with a different version, but
    /// add new files and directories
    #[arg(long)]
    union_identical: bool,
    /// Process 'whiteout' (Docker style) entries
    #[arg(long)]
    whiteouts: bool,
    /// Enable overlayfs whiteout extraction into char 0:0 devices
    #[arg(long)]
    process_passthrough_whiteouts: bool,
    /// Do nothing if specified path does not exist
    #[arg(long)]
    allow_noent: bool,
    /// Process many checkouts from standard input
    #[arg(long)]
    from_stdin: bool,
    /// Process many checkouts from input file
    #[arg(long, value_name = "FILE", value_parser = path())]
    from_file: Option<PathBuf>,
    /// Specify how to invoke fsync()
    #[arg(long, value_name = "POLICY", value_parser = values::fsync_policy)]
    fsync: Option<bool>,
    /// Do not fall back to full copies if hardlinking fails
    #[arg(short = 'H', long)]
    require_hardlinks: bool,
    /// Never hardlink (but may reflink if available)
    #[arg(short = 'C', long)]
    force_copy: bool,
    #[arg(short = 'z', long, hide = true)]
    force_copy_zerosized: bool,
    /// Suppress mode bits outside of 0775 for directories (suid, world writable, etc.)
    #[arg(short = 'M', long)]
    bareuseronly_dirs: bool,
    /// File containing list of files to skip
    #[arg(long, value_name = "FILE", value_parser = path())]
    skip_list: Option<PathBuf>,
    /// Set SELinux labels based on policy in root filesystem PATH (may be /); implies --force-copy
    #[arg(long, value_name = "PATH", value_parser = path())]
    selinux_policy: Option<PathBuf>,
    /// When setting SELinux labels, prefix all paths by PREFIX
    #[arg(long, value_name = "PREFIX")]
    selinux_prefix: Option<String>,
    /// Only create a composefs image of the commit
    #[arg(long)]
    composefs: bool,
    /// Only create a composefs image of the commit, without fs-verity digests
    #[arg(long)]
    composefs_noverity: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<PathBuf>,
}

/// The commits and where they go.
struct Plan {
    destination: PathBuf,
    trees: Trees,
    /// Make a composefs image instead of a directory.
    image: Option<FileDigests>,
    options: CheckoutOptions,
    /// A missing subpath is not an error.
    allow_missing: bool,
}

/// What is checked out.
enum Trees {
    /// One commit, or a part of it.
    One(String),
    /// Everything in a list of NUL-separated pairs of a commit and a path in it.
    Listed(Vec<u8>),
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let repo = context.open_repo()?;
    let json = args.json;
    let Plan { destination, trees, image, options, allow_missing } = plan(args)?;
    if let (Some(digests), Trees::One(rev)) = (image, &trees) {
        let commit = repo.resolve_rev(rev)?;
        let options = ImageOptions { digests, fsync: options.fsync };
        checkout_image(&repo, &commit, &destination, &options, &context.progress_for(json))?;
        let tree = tree_document(&commit, None, None);
        return print_document(json, "image", &destination, vec![tree], context);
    }
    let (path, existed) = (destination.clone(), destination.symlink_metadata().is_ok());
    let progress =
        context.display_for(json).that_leaves(move || interrupt::about_checkout(&path, existed));
    let mut trees_done = Vec::new();
    let mut checkout_one = |rev: &str, options: &CheckoutOptions| -> Result<(), Failure> {
        let commit = repo.resolve_rev(rev)?;
        let stats = match checkout(&repo, &commit, &destination, options, &progress) {
            Err(Error::NoSuchPath { .. }) if allow_missing => None,
            Err(error) if matches!(trees, Trees::Listed(_)) => {
                return Err::<(), Error>(error)
                    .context(|| format!("Processing tree {commit}"))
                    .map_err(Failure::from);
            }
            result => Some(result?),
        };
        trees_done.push(tree_document(&commit, options.subpath.as_deref(), stats.as_ref()));
        Ok(())
    };
    match &trees {
        Trees::One(rev) => checkout_one(rev, &options)?,
        Trees::Listed(list) => {
            for (rev, subpath) in pairs(list)? {
                checkout_one(
                    rev,
                    &CheckoutOptions { subpath: subpath.map(str::to_owned), ..options.clone() },
                )?;
            }
        }
    }
    print_document(json, "directory", &destination, trees_done, context)
}

/// A tree that was checked out, or one whose subpath is missing.
fn tree_document(commit: &Checksum, subpath: Option<&str>, stats: Option<&CheckoutStats>) -> Value {
    let statistics = stats.map(|stats| {
        json!({
            "files_linked": stats.files_linked,
            "files_copied": stats.files_copied,
            "content_bytes_written": stats.content_bytes_written,
        })
    });
    json!({ "commit": commit.to_hex(), "subpath": subpath, "statistics": statistics })
}

fn print_document(
    json: bool,
    kind: &str,
    destination: &Path,
    trees: Vec<Value>,
    context: &Context,
) -> Result<(), Failure> {
    if !json {
        return Ok(());
    }
    let document =
        json!({ "type": kind, "destination": destination.display().to_string(), "trees": trees });
    json::print(&document, &context.out)
}

fn plan(args: Args) -> Result<Plan, Failure> {
    let Args {
        user_mode,
        disable_cache,
        subpath,
        union,
        union_add,
        union_identical,
        whiteouts,
        process_passthrough_whiteouts,
        allow_noent,
        from_stdin,
        from_file,
        fsync,
        require_hardlinks,
        force_copy,
        force_copy_zerosized,
        bareuseronly_dirs,
        skip_list,
        selinux_policy,
        selinux_prefix,
        composefs,
        composefs_noverity,
        json: _,
        arguments,
    } = args;
    let mut arguments = arguments.into_iter();
    let Some(commit) = arguments.next() else {
        return Err(Failure::usage("COMMIT must be specified"));
    };
    // Upstream has an older and a newer implementation; these options lead to the newer one, which
    // supports neither of the two below.
    let is_new_style = disable_cache
        || whiteouts
        || process_passthrough_whiteouts
        || require_hardlinks
        || union_add
        || union_identical
        || force_copy
        || force_copy_zerosized
        || bareuseronly_dirs
        || skip_list.is_some()
        || selinux_policy.is_some();
    let image = match (composefs, composefs_noverity) {
        (_, true) => Some(FileDigests::Omitted),
        (true, false) => Some(FileDigests::Recorded),
        (false, false) => None,
    };
    let is_listed = from_stdin || from_file.is_some();
    // Upstream accepts the last three and ignores them, so that the image is not of what was
    // requested.
    if image.is_some()
        && (is_new_style || selinux_prefix.is_some() || subpath.is_some() || is_listed)
    {
        return Err(Failure::failed("Specified options are incompatible with --composefs"));
    }
    let overwrite = match (union, union_add, union_identical) {
        (true, true, _) => {
            return Err(Failure::failed("Cannot specify both --union and --union-add"));
        }
        (true, _, true) => {
            return Err(Failure::failed("Cannot specify both --union and --union-identical"));
        }
        (_, true, true) => {
            return Err(Failure::failed("Cannot specify both --union-add and --union-identical"));
        }
        (_, _, true) if !require_hardlinks => {
            return Err(Failure::failed("--union-identical requires --require-hardlinks"));
        }
        (true, ..) => Overwrite::Union,
        (_, true, _) => Overwrite::UnionAdd,
        (_, _, true) => Overwrite::UnionIdentical,
        _ => Overwrite::Nothing,
    };
    let hard_links = match (require_hardlinks, force_copy || selinux_policy.is_some()) {
        (true, true) => {
            return Err(Failure::failed(
                "Cannot specify both --require-hardlinks and --force-copy",
            ));
        }
        (true, false) => HardLinks::Required,
        (false, true) => HardLinks::Never,
        (false, false) => HardLinks::WherePossible,
    };
    let relabel = match (selinux_policy, selinux_prefix) {
        (Some(root), prefix) => {
            let policy = match Policy::open(&root) {
                Err(error @ Error::SystemCall { .. }) => {
                    Err(error).context(|| "selinux-policy: ".to_owned())?
                }
                opened => opened?,
            };
            policy.map(|policy| Relabel { policy: Arc::new(policy), prefix })
        }
        (None, Some(_)) => {
            return Err(Failure::failed(
                "Cannot specify --selinux-prefix without --selinux-policy",
            ));
        }
        (None, None) => None,
    };
    let (destination, trees) = if is_listed {
        (commit, Trees::Listed(read_list(from_file.as_deref())?))
    } else {
        let rev = commit
            .to_str()
            .map(str::to_owned)
            .ok_or_else(|| Failure::failed("Invalid byte sequence in conversion input"))?;
        (arguments.next().unwrap_or(commit), Trees::One(rev))
    };
    let options = CheckoutOptions {
        user_mode,
        overwrite,
        subpath,
        hard_links,
        plain_directory_modes: bareuseronly_dirs,
        whiteouts,
        passthrough_whiteouts: process_passthrough_whiteouts,
        skip_list: skip_list.map(|path| SkipList::read(&path)).transpose()?,
        relabel,
        uncompressed_cache: !is_new_style,
        fsync: fsync.unwrap_or(false),
    };
    Ok(Plan { destination, trees, image, options, allow_missing: allow_noent && !is_new_style })
}

fn read_list(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut list = Vec::new();
    let Some(path) = file else {
        std::io::stdin()
            .lock()
            .read_to_end(&mut list)
            .map_err(|error| io_failure("Error reading from file", error))?;
        return Ok(list);
    };
    let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    osier::input::read_named(path)
        .map_err(|error| io_failure(&format!("Error opening file {}", shown.display()), error))
}

fn io_failure(what: &str, error: std::io::Error) -> Failure {
    Failure::failed(format!("{what}: {}", osier::error::OsError(error)))
}

/// The commits of a list with the paths in them; the last pair may lack its path.
fn pairs(list: &[u8]) -> Result<Vec<(&str, Option<&str>)>, Failure> {
    let Ok(text) = std::str::from_utf8(list) else {
        return Err(Failure::failed("Invalid byte sequence in conversion input"));
    };
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let mut pieces = text.strip_suffix('\0').unwrap_or(text).split('\0');
    let mut pairs = Vec::new();
    while let Some(rev) = pieces.next() {
        pairs.push((rev, pieces.next()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_pairs_of_which_the_last_may_be_half() {
        let read = |list: &'static [u8]| pairs(list).ok().unwrap();
        assert_eq!(read(b""), []);
        assert_eq!(read(b"a"), [("a", None)]);
        assert_eq!(read(b"a\0"), [("a", None)]);
        assert_eq!(read(b"a\0/x\0b\0/y\0"), [("a", Some("/x")), ("b", Some("/y"))]);
        assert_eq!(read(b"a\0\0b"), [("a", Some("")), ("b", None)]);
    }
}
