//! `receive`: the far end of a push to another machine. `ostree` has no such command.

use std::env;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

use osier::error::During as _;
use osier::push::{Directory, Received, below, path_of_command, receive, refuse};
use osier::repo::Trust;
use rustix::stdio::{stdin, stdout};
use rustix::termios::isatty;

use super::context::{self, Context};
use super::error::Failure;
use super::options::path;

/// The options of `receive`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Receive only into repositories below DIR
    #[arg(long, value_name = "DIR", value_parser = path())]
    root: Option<PathBuf>,
    /// The repository, which need not be there yet.
    #[arg(value_parser = path())]
    arguments: Vec<PathBuf>,
}

pub(super) fn run(args: Args, _: &mut Context) -> Result<(), Failure> {
    let Args { root, arguments } = args;
    if isatty(stdin()) || isatty(stdout()) {
        return Err(Failure::failed(
            "receive is started by `osier push ssh://HOST/PATH` through ssh, not on a terminal",
        ));
    }
    let (input, output) = (duplicate(stdin())?, duplicate(stdout())?);
    let directory = place(root, arguments)
        .and_then(|path| Ok(Directory::new(&path, &context::open_options()?, Trust::Untrusted)?));
    let directory = match directory {
        Ok(directory) => directory,
        // The sender has the user who wants to know.
        Err(Failure::Error(error)) if refuse(&error, duplicate(stdin())?, output).is_ok() => {
            return Err(Failure::Status(1));
        }
        Err(failure) => return Err(failure),
    };
    match receive(&directory, input, output)? {
        Received::Finished | Received::Abandoned => Ok(()),
        Received::Refused => Err(Failure::Status(1)),
    }
}

fn duplicate(stream: impl AsFd) -> Result<File, Failure> {
    let duplicate = stream.as_fd().try_clone_to_owned();
    Ok(duplicate.map(File::from).during("preparing", "standard input and output")?)
}

fn place(root: Option<PathBuf>, arguments: Vec<PathBuf>) -> Result<PathBuf, Failure> {
    let given = match arguments.len() {
        0 => None,
        1 => arguments.into_iter().next(),
        _ => return Err(Failure::usage("There is more than one PATH")),
    };
    let Some(root) = root else {
        return given.ok_or_else(|| Failure::usage("PATH must be specified"));
    };
    let path = match given {
        Some(path) => path.to_string_lossy().into_owned(),
        None => {
            let command = env::var("SSH_ORIGINAL_COMMAND").unwrap_or_default();
            path_of_command(&command)?
        }
    };
    Ok(below(&root, &path)?)
}
