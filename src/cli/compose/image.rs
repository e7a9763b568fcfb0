//! `compose image`: builds a disk image of a published commit.

use std::fs;
use std::path::{Path, PathBuf};

use osier::compose::image::{self, Existing, ImageOptions, Preview};
use osier::error::During as _;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::display::Display;
use super::{
    ResultFormat, before_run, catch_signals, load_config, no_arguments, print_result, set_umask,
    surroundings,
};

/// The options of `compose image`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", value_parser = path())]
    config: Option<PathBuf>,
    /// Check everything and print the command lines that would be run; write nothing
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run, write the kickstart file and the template into DIR
    #[arg(long, value_name = "DIR", value_parser = path())]
    preview: Option<PathBuf>,
    /// Build the image of this commit, which must be the published one
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// Replace an image of the same name
    #[arg(long)]
    force: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the output of programs only to their logs
    #[arg(short, long)]
    quiet: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { config, dry_run, preview, commit, force, json, quiet, arguments } = args;
    no_arguments(&arguments)?;
    if preview.is_some() && !dry_run {
        return Err(Failure::usage("--preview=DIR needs --dry-run"));
    }
    let config = before_run(json, context, || load_config(config.as_deref()))?;
    let existing = if force { Existing::Replace } else { Existing::Refuse };
    let options = ImageOptions { commit, existing };
    let display = Display::new(quiet);
    let surroundings = surroundings(catch_signals()?, &display)?;
    if dry_run {
        let shown =
            before_run(json, context, || Ok(image::preview(&config, &options, &surroundings)?))?;
        return show(&shown, preview.as_deref(), json, context);
    }
    set_umask(&config);
    let result = image::build(&config, &options, &surroundings);
    print_result(result, &ResultFormat { json, quiet, unchanged_exit_77: false }, context)
}

/// Prints the commands that would be run.
fn show(
    shown: &Preview,
    directory: Option<&Path>,
    json: bool,
    context: &Context,
) -> Result<(), Failure> {
    let Preview { report, command_lines, kickstart, template } = shown;
    let mut written = Vec::new();
    if let Some(directory) = directory {
        fs::create_dir_all(directory).during("creating", directory)?;
        for (name, content) in
            [("image.ks", kickstart.as_slice()), ("image.tdl", template.as_bytes())]
        {
            let path = directory.join(name);
            fs::write(&path, content).during("writing", &path)?;
            written.push(path.to_string_lossy().into_owned());
        }
    }
    if json {
        let mut report = report.to_json();
        report["command_lines"] = command_lines.clone().into();
        report["preview"] = written.into();
        return writeln!(context.out, "{report:#}");
    }
    for line in command_lines {
        writeln!(context.out, "{line}")?;
    }
    for path in written {
        writeln!(context.out, "# written: {path}")?;
    }
    Ok(())
}
