//! `export`: writes a commit as a tar archive.

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use osier::export::{ExportOptions, Padding, export};
use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::interrupt;
use super::json;
use super::options::{OWN_OPTIONS, path};

/// The options of `export`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Skip output of extended attributes
    #[arg(long)]
    no_xattrs: bool,
    /// Checkout sub-directory PATH
    #[arg(long, value_name = "PATH")]
    subpath: Option<String>,
    /// Add PATH as prefix to archive pathnames
    #[arg(long, value_name = "PATH")]
    prefix: Option<String>,
    // The trailing blank is upstream's.
    #[arg(short, long, value_name = "PATH", value_parser = path(), help = "Output to PATH ")]
    output: Option<PathBuf>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

/// The archive is written in pieces of at least this many bytes.
const BUFFER_LEN: usize = 256 << 10;

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    // The archive format does not support xattrs, so they are always left out.
    let Args { no_xattrs: _, subpath, prefix, output, json, arguments } = args;
    let repo = context.open_repo()?;
    let Some(rev) = arguments.first() else {
        return Err(Failure::usage("A COMMIT argument is required"));
    };
    if json && output.is_none() {
        return Err(Failure::failed("--json needs --output: standard output has the archive"));
    }
    let commit = repo.resolve_rev(rev)?;
    let shown_subpath = subpath.clone();
    let mut options =
        ExportOptions { subpath, prefix: prefix.unwrap_or_default(), padding: Padding::Blocks };
    let Some(path) = output else {
        let progress = context.progress_for(json);
        return Ok(export(&repo, &commit, &mut context.out, &options, &progress)?);
    };
    let failed = |_| Failure::failed(format!("Failed to open '{}'", path.display()));
    let file = osier::input::create_named(&path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_file() {
        options.padding = Padding::None;
    }
    let named = path.clone();
    let is_file = options.padding == Padding::None;
    let about = move || is_file.then(|| interrupt::about_export(&named));
    let progress = context.display_for(json).that_leaves(about);
    let mut file = BufWriter::with_capacity(BUFFER_LEN, file);
    export(&repo, &commit, &mut file, &options, &progress)?;
    let error = |error| {
        Failure::failed(format!("writing {}: {}", path.display(), osier::error::OsError(error)))
    };
    file.flush().map_err(error)?;
    if !json {
        return Ok(());
    }
    let bytes = file.get_ref().metadata().map_err(error)?.len();
    let document = json!({
        "commit": commit.to_hex(),
        "subpath": shown_subpath,
        "output": path.display().to_string(),
        "archive_bytes": bytes,
    });
    json::print(&document, &context.out)
}
