//! `completions`: prints what makes a shell complete commands and options. `ostree` has no such command.

use clap_complete::Shell;

use super::context::Context;
use super::definition::{self, PROGRAM};
use super::error::Failure;

/// The options of `completions`.
#[derive(clap::Args)]
pub(super) struct Args {
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let shell = match &arguments[..] {
        [] => return Err(Failure::usage("SHELL must be specified")),
        [shell] => shell,
        _ => return Err(Failure::usage("Too many arguments given")),
    };
    let shell = match shell.as_str() {
        "bash" => Shell::Bash,
        "fish" => Shell::Fish,
        "zsh" => Shell::Zsh,
        other => return Err(Failure::failed(format!("no completions for '{other}', only for bash, fish and zsh"))),
    };
    // A closed pipe is an error for us and a panic for the generator.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut definition::program(), PROGRAM, &mut script);
    context.out.write_bytes(&script)
}
