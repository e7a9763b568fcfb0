//! The definition of a command, and the lookup of commands by name.

use std::ffi::OsStr;

use clap::{ArgMatches, Args as _, FromArgMatches};

use super::context::Context;
use super::error::Failure;
use super::name::stands_in_for_ostree;
use super::options::{self, RepoArgument};

/// A command of `ostree`.
pub(super) struct Builtin {
    /// What the user types.
    pub(super) name: &'static str,
    /// The rest of the usage line after the options.
    pub(super) arguments: &'static str,
    /// What it does, as in the help of ostree.
    pub(super) about: &'static str,
    /// Its implementation.
    pub(super) action: Action,
}

/// Commands in the order of a help text.
pub(super) type Commands = &'static [Builtin];

/// The implementation of a command.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// An implemented command.
    Run {
        /// Whether it takes `--repo`.
        repo: RepoOption,
        /// Adds its options to a table.
        define: fn(clap::Command) -> clap::Command,
        /// Runs it with its parsed options; it may inspect all commands.
        run: fn(&ArgMatches, &mut Context, Commands) -> Result<(), Failure>,
    },
    /// A group of commands, such as `remote add`.
    Group(Commands),
    /// A command that `ostree` has and osier has not; the text says so.
    Refuse(&'static str),
}

/// Whether a command takes `--repo`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RepoOption {
    /// It works on a repository.
    Known,
    /// It needs no repository.
    Unknown,
}

/// Commands that `ostree` does not have: unknown to the program when it is called by that name.
const OWN: [&str; 12] = [
    "bench",
    "compare",
    "completions",
    "compose",
    "du",
    "find-object",
    "man",
    "metalink",
    "push",
    "receive",
    "serve",
    "trivial-httpd",
];
/// Commands whose exit status is like that of `cmp`: 0 and 1 are answers, so a failure is 2.
const WITH_VERDICT: [&str; 1] = ["compare"];

/// Commands to which `ostree` gives no arguments.
const WITHOUT_ARGUMENTS: [&str; 2] = ["fsck", "prune"];

impl Builtin {
    /// The rest of the usage line after the options, when the program is called by that name.
    pub(super) fn arguments_for(&self, program: &str) -> &'static str {
        match stands_in_for_ostree(program) && WITHOUT_ARGUMENTS.contains(&self.name) {
            true => "",
            false => self.arguments,
        }
    }

    /// What the user types after the name of the group.
    pub(super) fn short_name(&self, group: &Self) -> &'static str {
        self.name.strip_prefix(group.name).map_or(self.name, str::trim_start)
    }

    /// Gives a failure the exit status that failures of the command have.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        if WITH_VERDICT.contains(&self.name) {
            Failure::Trouble(Box::new(failure))
        } else {
            failure
        }
    }

    /// Whether the help of the program lists it, when the program is called by that name.
    pub(super) fn is_listed(&self, program: &str) -> bool {
        let has_action = matches!(self.action, Action::Run { .. } | Action::Group(_));
        has_action && !(stands_in_for_ostree(program) && OWN.contains(&self.name))
    }
}

/// A command in the file `$module`, with `Args` and `run`; `$run` overrides how it is called.
macro_rules! command {
    ($module:ident, $name:literal, $arguments:literal, $about:literal) => {
        $crate::cli::builtin::command!(
            $module,
            $name,
            $arguments,
            $about,
            $crate::cli::builtin::RepoOption::Known
        )
    };
    ($module:ident, $name:literal, $arguments:literal, $about:literal, $repo:expr) => {
        $crate::cli::builtin::command!(
            $module,
            $name,
            $arguments,
            $about,
            $repo,
            |matches, context, _| {
                $module::run($crate::cli::builtin::from_matches(matches)?, context)
            }
        )
    };
    ($module:ident, $name:literal, $arguments:literal, $about:literal, $repo:expr, $run:expr) => {
        Builtin {
            name: $name,
            arguments: $arguments,
            about: $about,
            action: $crate::cli::builtin::Action::Run {
                repo: $repo,
                define: <$module::Args as clap::Args>::augment_args,
                run: $run,
            },
        }
    };
}
pub(super) use command;

/// A command whose features are off.
#[cfg(not(all(feature = "bench", feature = "compose", feature = "pull", feature = "serve")))]
pub(super) const fn left_out(name: &'static str, reason: &'static str) -> Builtin {
    Builtin { name, arguments: "", about: "", action: Action::Refuse(reason) }
}

/// The one with this name, when the program is called by that of `program`.
pub(super) fn find(all: Commands, program: &str, name: &OsStr) -> Option<&'static Builtin> {
    let is_hidden =
        |builtin: &Builtin| stands_in_for_ostree(program) && OWN.contains(&builtin.name);
    all.iter().find(|builtin| builtin.name == name && !is_hidden(builtin))
}

/// The names of the commands of a group, or of the program, when the program is called by that
/// name. Those in groups are given in full: `remote add`.
pub(super) fn names(all: Commands, program: &str, group: Option<&Builtin>) -> Vec<String> {
    let working = |builtin: &&Builtin| builtin.is_listed(program);
    let mut names: Vec<String> =
        commands(all, program, group).into_iter().map(|(name, _)| name.to_owned()).collect();
    if group.is_some() {
        return names;
    }
    let groups = all.iter().filter(working).filter_map(|builtin| match builtin.action {
        Action::Group(commands) => Some(commands),
        _ => None,
    });
    names.extend(groups.flatten().filter(working).map(|builtin| builtin.name.to_owned()));
    names
}

/// The working commands of the group, or of the program when it is called by that name, with what
/// they do.
pub(super) fn commands(
    all: Commands,
    program: &str,
    group: Option<&Builtin>,
) -> Vec<(&'static str, &'static str)> {
    let working = |builtin: &&Builtin| builtin.is_listed(program);
    match group {
        Some(group @ Builtin { action: Action::Group(commands), .. }) => commands
            .iter()
            .filter(working)
            .map(|builtin| (builtin.short_name(group), builtin.about))
            .collect(),
        _ => all.iter().filter(working).map(|builtin| (builtin.name, builtin.about)).collect(),
    }
}

/// The command of a group with this last word.
pub(super) fn find_in(
    group: &Builtin,
    commands: &'static [Builtin],
    name: &OsStr,
) -> Option<&'static Builtin> {
    let name = name.to_str()?;
    commands.iter().find(|builtin| builtin.short_name(group) == name)
}

/// A command's own options, `--repo` first.
pub(super) fn table(repo: RepoOption, define: fn(clap::Command) -> clap::Command) -> clap::Command {
    match repo {
        RepoOption::Known => define(RepoArgument::augment_args(options::blank_table())),
        RepoOption::Unknown => define(options::blank_table()),
    }
}

pub(super) fn from_matches<A: FromArgMatches>(matches: &ArgMatches) -> Result<A, Failure> {
    A::from_arg_matches(matches).map_err(|error| Failure::failed(options::message(&error)))
}
