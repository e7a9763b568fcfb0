//! The commands, in the order of the program's help.

use std::ffi::OsStr;
use std::path::Path;

use clap::{ArgMatches, Args as _, FromArgMatches};

use super::context::Context;
use super::error::Failure;
use super::options::{self, RepoArgument};
use super::{
    bench, cat, checkout, checksum, commit, compare, completions, compose, config, diff, export, fsck, init, log, ls,
    man, prune, pull_local, refs, remote, reset, rev_parse, show, summary,
};

/// A command of `ostree`.
pub(super) struct Builtin {
    /// What the user types.
    pub(super) name: &'static str,
    /// What the usage line says after the options.
    pub(super) arguments: &'static str,
    /// What it does, in the words of the real program's help.
    pub(super) about: &'static str,
    /// What happens when it is called.
    pub(super) action: Action,
}

/// What a command does when it is called.
#[derive(Clone, Copy)]
pub(super) enum Action {
    /// It works.
    Run {
        /// Whether it knows `--repo`.
        repo: RepoOption,
        /// Adds its options to a table.
        define: fn(clap::Command) -> clap::Command,
        /// Runs it with its parsed options.
        run: fn(&ArgMatches, &mut Context) -> Result<(), Failure>,
    },
    /// It has commands of its own, named after it: `remote add`.
    Group(&'static [Builtin]),
    /// `ostree` has it and osier has not; the text says so.
    Refuse(&'static str),
}

/// Whether a command knows `--repo`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum RepoOption {
    /// It works on a repository.
    Known,
    /// It needs none.
    Unknown,
}

/// What `ostree` does not have: unknown to the program when it is called by that name.
const OWN: [&str; 5] = ["bench", "compare", "completions", "compose", "man"];
/// Their exit status is a verdict like that of `cmp`: 0 and 1 are answers, so a failure is 2.
const WITH_VERDICT: [&str; 1] = ["compare"];

impl Builtin {
    /// What the user types after the name of the group.
    pub(super) fn short_name(&self, group: &Self) -> &'static str {
        self.name.strip_prefix(group.name).map_or(self.name, str::trim_start)
    }

    /// Gives a failure the exit status that failures of the command have.
    pub(super) fn failed(&self, failure: Failure) -> Failure {
        if WITH_VERDICT.contains(&self.name) { Failure::Trouble(Box::new(failure)) } else { failure }
    }

    /// Whether the help of the program lists it, when the program is called by that name.
    pub(super) fn is_listed(&self, program: &str) -> bool {
        let has_action = matches!(self.action, Action::Run { .. } | Action::Group(_));
        has_action && !(stands_in_for_ostree(program) && OWN.contains(&self.name))
    }
}

/// Whether the program is called by the name of the real one; `program` is the name as typed.
pub(super) fn stands_in_for_ostree(program: &str) -> bool {
    Path::new(program).file_name() == Some(OsStr::new("ostree"))
}

/// A command whose file is `$module`, with `Args` and `run`.
macro_rules! command {
    ($module:ident, $name:literal, $arguments:literal, $about:literal) => {
        $crate::cli::builtins::command!($module, $name, $arguments, $about, $crate::cli::builtins::RepoOption::Known)
    };
    ($module:ident, $name:literal, $arguments:literal, $about:literal, $repo:expr) => {
        Builtin {
            name: $name,
            arguments: $arguments,
            about: $about,
            action: $crate::cli::builtins::Action::Run {
                repo: $repo,
                define: <$module::Args as clap::Args>::augment_args,
                run: |matches, context| $module::run($crate::cli::builtins::from_matches(matches)?, context),
            },
        }
    };
}
pub(super) use command;

/// A command that `ostree` has and osier has not.
const fn later(name: &'static str) -> Builtin {
    Builtin { name, arguments: "", about: "", action: Action::Refuse("not supported yet") }
}

/// The same in a group, whose help lists it nevertheless.
pub(super) const fn later_in_group(name: &'static str, about: &'static str) -> Builtin {
    Builtin { name, arguments: "", about, action: Action::Refuse("not supported yet") }
}

static BUILTINS: &[Builtin] = &[
    Builtin { name: "admin", arguments: "", about: "", action: Action::Refuse("not part of osier") },
    command!(bench, "bench", "", "Compare with the ostree of this machine", RepoOption::Unknown),
    command!(cat, "cat", "COMMIT PATH...", "Concatenate contents of files"),
    command!(checkout, "checkout", "COMMIT [DESTINATION]", "Check out a commit into a filesystem tree"),
    command!(checksum, "checksum", "PATH", "Checksum a file or directory", RepoOption::Unknown),
    command!(commit, "commit", "[PATH]", "Commit a new revision"),
    command!(
        compare,
        "compare",
        "REPO_A REPO_B | --with=PROGRAM TREE",
        "Tell whether two repositories are equal",
        RepoOption::Unknown
    ),
    command!(completions, "completions", "SHELL", "Print completions for bash, fish or zsh", RepoOption::Unknown),
    Builtin {
        name: "compose",
        arguments: "",
        about: "Packages to a published tree",
        action: Action::Group(compose::COMMANDS),
    },
    command!(config, "config", "(get KEY|set KEY VALUE|unset KEY)", "Change repo configuration settings"),
    command!(diff, "diff", "REV_OR_DIR REV_OR_DIR", "Compare directory TARGETDIR against revision REV"),
    command!(export, "export", "COMMIT", "Stream COMMIT to stdout in tar format"),
    later("find-remotes"),
    later("create-usb"),
    command!(fsck, "fsck", "", "Check the repository for consistency"),
    later("gpg-sign"),
    command!(init, "init", "", "Initialize a new empty repository"),
    command!(log, "log", "REV", "Show log starting at commit or ref"),
    command!(ls, "ls", "COMMIT [PATH...]", "List file paths"),
    command!(man, "man", "DIR", "Write man pages into a directory", RepoOption::Unknown),
    command!(prune, "prune", "", "Search for unreachable objects"),
    command!(pull_local, "pull-local", "SRC_REPO [REFS...]", "Copy data from SRC_REPO"),
    later("pull"),
    command!(refs, "refs", "[PREFIX]", "List refs"),
    Builtin {
        name: "remote",
        arguments: "",
        about: "Remote commands that may involve internet access",
        action: Action::Group(remote::COMMANDS),
    },
    command!(reset, "reset", "REF COMMIT", "Reset a REF to a previous COMMIT"),
    command!(rev_parse, "rev-parse", "REV", "Output the target of a rev"),
    later("sign"),
    command!(show, "show", "OBJECT", "Output a metadata object"),
    later("static-delta"),
    command!(summary, "summary", "", "Manage summary metadata"),
];

/// All of them.
pub(super) fn all() -> impl Iterator<Item = &'static Builtin> {
    BUILTINS.iter()
}

/// The one with this name, when the program is called by that of `program`.
pub(super) fn find(program: &str, name: &OsStr) -> Option<&'static Builtin> {
    let is_hidden = |builtin: &Builtin| stands_in_for_ostree(program) && OWN.contains(&builtin.name);
    BUILTINS.iter().find(|builtin| builtin.name == name && !is_hidden(builtin))
}

/// What may be typed for a command of the group, or of the program, when the program is called by that name. Those of
/// groups are there in full: `remote add`.
pub(super) fn names(program: &str, group: Option<&Builtin>) -> Vec<String> {
    let working = |builtin: &&Builtin| builtin.is_listed(program);
    let mut names: Vec<String> = commands(program, group).into_iter().map(|(name, _)| name.to_owned()).collect();
    if group.is_some() {
        return names;
    }
    let groups = all().filter(working).filter_map(|builtin| match builtin.action {
        Action::Group(commands) => Some(commands),
        _ => None,
    });
    names.extend(groups.flatten().filter(working).map(|builtin| builtin.name.to_owned()));
    names
}

/// The working commands of the group, or of the program when it is called by that name, with what they do.
pub(super) fn commands(program: &str, group: Option<&Builtin>) -> Vec<(&'static str, &'static str)> {
    let working = |builtin: &&Builtin| builtin.is_listed(program);
    match group {
        Some(group @ Builtin { action: Action::Group(commands), .. }) => {
            commands.iter().filter(working).map(|builtin| (builtin.short_name(group), builtin.about)).collect()
        }
        _ => all().filter(working).map(|builtin| (builtin.name, builtin.about)).collect(),
    }
}

/// The one of a group with this last word.
pub(super) fn find_in(group: &Builtin, commands: &'static [Builtin], name: &OsStr) -> Option<&'static Builtin> {
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
