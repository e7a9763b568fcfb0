//! `compose publish`: publishes a commit that `compose tree --no-publish`, or a run that failed
//! later, has left.

use std::path::PathBuf;

use osier::compose::tree;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::display::Display;
use super::{
    ResultFormat, before_run, catch_signals, load_config, print_result, set_umask, surroundings,
};

/// The options of `compose publish`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Configuration file
    #[arg(long, value_name = "FILE", value_parser = path())]
    config: Option<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    /// Print nothing but errors and warnings
    #[arg(short, long)]
    quiet: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { config, json, quiet, arguments } = args;
    let config = before_run(json, context, || load_config(config.as_deref()))?;
    let [commit] = &arguments[..] else {
        return Err(Failure::usage("one COMMIT must be given"));
    };
    let display = Display::new(quiet);
    let surroundings = surroundings(catch_signals()?, &display)?;
    set_umask(&config);
    let result = tree::publish(&config, commit, &surroundings);
    print_result(result, &ResultFormat { json, quiet, unchanged_exit_77: false }, context)
}
