//! The command line: `ostree`'s commands, options, output and exit status.
//!
//! Each subcommand has a file of its own with its `Args` (spelling), its `run` and its printing;
//! [`builtins`] lists them. [`options`] reads the arguments by the rules of GLib's GOption,
//! [`help`] renders their help texts, and [`Context`] is the context that a command runs in.
//! Meaning and defaults are in the library's options structs.

use std::env;
use std::ffi::{OsStr, OsString};
use std::process::ExitCode;

#[cfg(feature = "bench")]
mod bench;
mod builtin;
mod builtins;
mod by_policy;
mod cat;
mod checkout;
mod checksum;
mod clock;
mod collection_refs;
mod commit;
mod compare;
mod completions;
#[cfg(feature = "compose")]
mod compose;
mod config;
mod context;
mod create_usb;
mod debug;
mod definition;
mod destination;
mod diff;
mod du;
mod editor;
mod elsewhere;
mod engine_signatures;
mod error;
mod export;
mod extension;
mod find_object;
#[cfg(feature = "pull")]
mod find_remotes;
mod fsck;
mod gpg_sign;
#[cfg(feature = "gpg")]
mod gpg_signers;
mod help;
mod init;
mod interrupt;
mod json;
mod log;
mod ls;
mod man;
#[cfg(feature = "http")]
mod metalink;
mod name;
mod options;
#[cfg(feature = "pull")]
mod origin;
mod output;
mod print_commit;
mod progress;
mod prune;
#[cfg(feature = "pull")]
mod pull;
#[cfg(feature = "pull")]
mod pull_events;
mod pull_local;
#[cfg(feature = "pull")]
mod pull_output;
mod pulled;
mod push;
mod receive;
mod refs;
mod remote;
mod repair;
mod reset;
mod rev_parse;
mod secret_file;
#[cfg(feature = "serve")]
mod serve;
mod show;
mod sign;
#[cfg(feature = "gpg")]
mod signatures;
mod signing;
#[cfg(feature = "delta")]
mod static_delta;
mod suggest;
mod summary;
#[cfg(feature = "pull")]
mod transfer_line;
#[cfg(feature = "http")]
mod trivial_httpd;
#[cfg(feature = "gpg")]
mod trust;
mod values;
mod version;

use builtin::{Action, Builtin, Commands, RepoOption};
use builtins::BUILTINS;
use context::Context;
use error::Failure;
use options::{Misuse, Request};
use output::Output;

/// Runs the program and returns its exit status.
pub(super) fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let program = arguments.next().unwrap_or_default().to_string_lossy().into_owned();
    let out = Output::stdout();
    let result = dispatch(&program, arguments.collect(), &out).and_then(|()| out.flush());
    error::exit_code(result)
}

/// Finds the command among the arguments, and runs it.
///
/// `program` is the name by which the program was called, as typed, which the usage lines show. The
/// command is the first argument that does not start with `-`, at any position; all other
/// arguments, including those before it, are parsed by the command.
fn dispatch(program: &str, arguments: Vec<OsString>, out: &Output) -> Result<(), Failure> {
    dispatch_in(program, None, arguments, out)
}

/// The same among the commands of a group, if there is one.
fn dispatch_in(
    program: &str,
    group: Option<(&Builtin, Commands)>,
    mut arguments: Vec<OsString>,
    out: &Output,
) -> Result<(), Failure> {
    let position =
        arguments.iter().position(|argument| !argument.as_encoded_bytes().starts_with(b"-"));
    let named = position.map(|position| arguments[position].clone());
    let find = |name: &OsString| match group {
        Some((group, commands)) => builtin::find_in(group, commands, name),
        None => builtin::find(BUILTINS, program, name),
    };
    if let (Some(position), Some(builtin)) = (position, named.as_ref().and_then(find)) {
        arguments.remove(position);
        return match builtin.action {
            Action::Group(commands) => {
                dispatch_in(program, Some((builtin, commands)), arguments, out)
            }
            _ => run(program, builtin, arguments, out),
        };
    }
    if let (Some(name), None) = (&named, group) {
        extension::replace_process(name, &arguments)?;
    }
    let help = || match group {
        Some((group, commands)) => help::of_group(program, group, commands),
        None => help::of_program(program),
    };
    let group = group.map(|(group, _)| group);
    let is_ostree = self::name::stands_in_for_ostree(program);
    if is_ostree && group.is_some_and(|group| group.name == "static-delta") {
        // Upstream looks for help and for a command in this group by hand, and at nothing else.
        let before = &arguments[..position.unwrap_or(arguments.len())];
        if before.iter().any(|argument| argument == "--help" || argument == "-h") {
            return out.write_str(&help());
        }
        let message = match named {
            Some(name) => format!("Unknown \"static-delta\" subcommand '{}'", name.display()),
            None => "No command specified".to_owned(),
        };
        return Err(Failure::Incomplete(message).after_help(help));
    }
    // ostree reports `--repo` as unknown here, because only commands know it.
    let table = if is_ostree {
        options::blank_table()
    } else {
        builtin::table(RepoOption::Known, |table| table)
    };
    let parsed = match options::read(table, arguments.clone()) {
        Ok(Request::Help) => return out.write_str(&help()),
        Ok(Request::Run(parsed)) => parsed,
        Err(misuse) if is_ostree => {
            return Err(Failure::Incomplete(misuse.message).after_help(help));
        }
        Err(_) if let Some(name) = &named => {
            return Err(unknown_command(program, group, name, &arguments));
        }
        Err(misuse) => return Err(misused(program, group, misuse)),
    };
    if parsed.global.version {
        return version::print(program, out);
    }
    let message = match (named, group) {
        (Some(name), None) if is_ostree => format!("Unknown command '{}'", name.to_string_lossy()),
        (Some(name), Some(group)) if is_ostree => {
            format!("Unknown \"{}\" subcommand '{}'", group.name, name.to_string_lossy())
        }
        (Some(name), _) => return Err(unknown_command(program, group, &name, &arguments)),
        (None, Some(group)) => format!("No \"{}\" subcommand specified", group.name),
        (None, None) if !is_ostree && !arguments.is_empty() => {
            return Err(Failure::failed(format!(
                "No command specified; '{program} --help' lists them"
            )));
        }
        (None, None) => "No command specified".to_owned(),
    };
    Err(Failure::Incomplete(message).after_help(help))
}

/// The one-line error for an unknown command: a suggestion, or how to list the commands.
/// `arguments` are all of them.
fn unknown_command(
    program: &str,
    group: Option<&Builtin>,
    name: &OsStr,
    arguments: &[OsString],
) -> Failure {
    let typed = name.to_string_lossy();
    let (what, prefix) = match group {
        Some(group) => (
            format!("Unknown \"{}\" subcommand '{typed}'", group.name),
            format!("{program} {}", group.name),
        ),
        None => (format!("Unknown command '{typed}'"), program.to_owned()),
    };
    let follows_repo = arguments.windows(2).any(|pair| pair[0] == "--repo" && pair[1] == name);
    let hint = match suggest::closest(&typed, &builtin::names(BUILTINS, program, group)) {
        Some(meant) => format!("did you mean '{meant}'?"),
        None if follows_repo => {
            format!("before the command, the repository is given as --repo={typed}")
        }
        None => format!("'{prefix} --help' lists what there is"),
    };
    Failure::failed(format!("{what}; {hint}"))
}

/// The one-line error for invalid arguments. For an unknown option it has a suggestion, unless the
/// program stands in for `ostree`.
fn misused(program: &str, builtin: Option<&Builtin>, misuse: Misuse) -> Failure {
    let Misuse { message, unknown } = misuse;
    let guess = unknown.filter(|_| !self::name::stands_in_for_ostree(program));
    let command = builtin.map(|builtin| format!(" {}", builtin.name)).unwrap_or_default();
    Failure::failed(match guess {
        Some(Some(meant)) => format!("{message}; did you mean '{meant}'?"),
        Some(None) => format!("{message}; '{program}{command} --help' lists what there is"),
        None => message,
    })
}

/// Parses the arguments of the command, and runs it.
fn run(
    program: &str,
    builtin: &Builtin,
    arguments: Vec<OsString>,
    out: &Output,
) -> Result<(), Failure> {
    run_command(program, builtin, arguments, out).map_err(|failure| builtin.failed(failure))
}

fn run_command(
    program: &str,
    builtin: &Builtin,
    arguments: Vec<OsString>,
    out: &Output,
) -> Result<(), Failure> {
    let (repo, define, run) = match builtin.action {
        Action::Run { repo, define, run } => (repo, define, run),
        Action::Refuse(reason) => {
            return Err(Failure::failed(format!("{}: {reason}", builtin.name)));
        }
        Action::Group(_) => {
            return Err(Failure::failed(format!("{} has commands of its own", builtin.name)));
        }
    };
    let table = builtin::table(repo, define);
    let parsed = match options::read(table.clone(), arguments) {
        Ok(Request::Help) => return out.write_str(&help::of_command(program, builtin, &table)),
        Ok(Request::Run(parsed)) => parsed,
        Err(misuse) => return Err(misused(program, Some(builtin), misuse)),
    };
    if parsed.global.version {
        return version::print(program, out);
    }
    if parsed.global.verbose {
        debug::show();
    }
    let mut context = Context::new(program, out.clone(), &parsed);
    run(&parsed.matches, &mut context, BUILTINS)
        .map_err(|failure| failure.after_help(|| help::of_command(program, builtin, &table)))
}
