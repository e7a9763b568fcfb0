//! `compose tree`: turns packages into a published commit.

use std::path::PathBuf;

use osier::compose::config::check_version;
use osier::compose::{TreeOptions, tree};
use osier::error::Error;
use osier::refspec::RefName;

use super::super::context::{Context, absolute};
use super::super::error::Failure;
use super::super::options::path;
use super::display::Display;
use super::{
    ResultFormat, before_run, catch_signals, load_config, no_arguments, print_result, set_umask,
    surroundings,
};

/// The options of `compose tree`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", value_parser = path())]
    config: Option<PathBuf>,
    /// Check everything and print the command lines that would be run; write nothing
    #[arg(long)]
    dry_run: bool,
    /// Publish in this repository instead of the configuration's
    #[arg(long, value_name = "PATH", value_parser = path())]
    repo: Option<PathBuf>,
    /// Publish this ref instead of the configuration's
    #[arg(long = "ref", value_name = "REF")]
    ref_name: Option<String>,
    /// Give the commit this version instead of the configuration's
    #[arg(long = "version", value_name = "VERSION", id = "version-of-commit")]
    with_version: Option<String>,
    /// Make a commit even if nothing has changed
    #[arg(long)]
    force: bool,
    /// Stop when the commit is verified and signed; `compose publish` continues
    #[arg(long)]
    no_publish: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Write the output of programs only to their logs
    #[arg(short, long)]
    quiet: bool,
    /// End with status 77 if nothing has changed
    #[arg(long)]
    unchanged_exit_77: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        config,
        dry_run,
        repo,
        ref_name,
        with_version,
        force,
        no_publish,
        json,
        quiet,
        unchanged_exit_77,
        arguments,
    } = args;
    no_arguments(&arguments)?;
    let config = before_run(json, context, || {
        let mut config = load_config(config.as_deref())?;
        if let Some(repo) = repo {
            config.tree.repo = absolute(&repo)?;
        }
        if let Some(name) = ref_name {
            config.tree.ref_name = Some(RefName::parse(&name).map_err(Error::from)?);
        }
        if let Some(version) = with_version {
            check_version(&version)
                .map_err(|what| Failure::failed(format!("--version: {what}")))?;
            config.tree.version = Some(version);
        }
        Ok(config)
    })?;
    let options = TreeOptions { force, publish: !no_publish };
    let display = Display::new(quiet);
    let surroundings = surroundings(catch_signals()?, &display)?;
    if dry_run {
        let (report, line) =
            before_run(json, context, || Ok(tree::preview(&config, options, &surroundings)?))?;
        if !json {
            return writeln!(context.out, "{line}");
        }
        let mut document = report.to_json();
        document["command_lines"] = vec![line].into();
        return writeln!(context.out, "{document:#}");
    }
    set_umask(&config);
    let result = tree::compose(&config, options, &surroundings);
    print_result(result, &ResultFormat { json, quiet, unchanged_exit_77 }, context)
}
