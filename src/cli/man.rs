//! `man`: writes a man page for the program and one for each of its commands. `ostree` has no such command.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Command;
use clap_mangen::Man;
use osier::error::During as _;

use super::context::Context;
use super::definition::{self, PROGRAM};
use super::error::Failure;
use super::options::path;

/// The options of `man`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[arg(value_parser = path())]
    arguments: Vec<PathBuf>,
}

pub(super) fn run(args: Args, _context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let directory = match &arguments[..] {
        [] => return Err(Failure::usage("DIR must be specified")),
        [directory] => directory,
        _ => return Err(Failure::usage("Too many arguments given")),
    };
    fs::create_dir_all(directory).during("creating", directory)?;
    let mut program = definition::program();
    // Gives the commands their names with that of the program before them.
    program.build();
    write(directory, &program)
}

fn write(directory: &Path, command: &Command) -> Result<(), Failure> {
    command.get_subcommands().try_for_each(|each| write(directory, each))?;
    let man = Man::new(command.clone()).manual(PROGRAM).source(concat!("osier ", env!("CARGO_PKG_VERSION")));
    let path = directory.join(man.get_filename());
    let mut page = Vec::new();
    man.render(&mut page).during("making", &path)?;
    Ok(fs::write(&path, page).during("writing", &path)?)
}
