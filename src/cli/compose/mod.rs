//! `compose`: a group of commands that turn packages into a published tree and a disk image.

mod check;
mod display;
mod image;
mod publish;
mod tree;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::thread;

use osier::compose::report::{Report, Status};
use osier::compose::unapplied;
use osier::compose::{ComposeConfig, Failed, Surroundings};
use osier::error::{During as _, Error};
use osier::process::Interrupt;
use osier::process::log::{last_lines, printable, printable_lines};
use osier::progress::Progress;
use rustix::fs::Mode;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::builtin::{Builtin, Commands, RepoOption, command};
use super::clock;
use super::context::{self, Context};
use super::error::Failure;

/// The commands, in the order of a release.
pub(super) static COMMANDS: Commands = &[
    command!(
        check,
        "compose check",
        "",
        "Check everything that can be known before a run",
        RepoOption::Unknown
    ),
    command!(
        tree,
        "compose tree",
        "",
        "Compose a tree with rpm-ostree and publish it",
        RepoOption::Unknown
    ),
    command!(
        publish,
        "compose publish",
        "COMMIT",
        "Publish a commit composed earlier",
        RepoOption::Unknown
    ),
    command!(
        image,
        "compose image",
        "",
        "Build a disk image of the published tree",
        RepoOption::Unknown
    ),
];

/// How many lines of a log are shown when a program failed.
const SHOWN_LINES: usize = 20;

/// Reads the configuration; its path is made absolute, so that all paths in it are.
fn load_config(path: Option<&Path>) -> Result<ComposeConfig, Failure> {
    let path = path.ok_or_else(|| Failure::usage("--config=FILE must be given"))?;
    Ok(ComposeConfig::load(&context::absolute(path)?)?)
}

/// Reads the usable part of the configuration, and collects its errors.
fn read_config(path: Option<&Path>) -> Result<(Option<ComposeConfig>, Option<Error>), Failure> {
    let path = path.ok_or_else(|| Failure::usage("--config=FILE must be given"))?;
    Ok(ComposeConfig::read(&context::absolute(path)?)?)
}

/// Refuses positional arguments.
fn no_arguments(arguments: &[String]) -> Result<(), Failure> {
    if arguments.is_empty() { Ok(()) } else { Err(Failure::usage("Too many arguments given")) }
}

/// The settings that the library gets from the environment.
fn surroundings<'p>(
    interrupt: Interrupt,
    progress: &'p dyn Progress,
) -> Result<Surroundings<'p>, Failure> {
    let environment: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    Ok(Surroundings {
        environment,
        now: clock::now(),
        open: context::open_options()?,
        open_destination: super::push::open_destination,
        interrupt,
        progress,
    })
}

/// Sets the umask of the process, which a run and the programs that it starts share.
fn set_umask(config: &ComposeConfig) {
    rustix::process::umask(Mode::from_raw_mode(config.tree.umask));
}

/// From now on SIGINT and SIGTERM only set the interrupt flag; the run ends by itself.
fn catch_signals() -> Result<Interrupt, Failure> {
    let interrupt = Interrupt::default();
    let mut signals = Signals::new([SIGINT, SIGTERM]).during("catching signals for", "the run")?;
    let raised = interrupt.clone();
    let listen = move || signals.forever().for_each(|_| raised.raise());
    thread::Builder::new()
        .name("signals".to_owned())
        .spawn(listen)
        .during("starting a thread for", "signals")?;
    Ok(interrupt)
}

/// Reports an error before a run has started: with `--json` there is a report even then.
fn before_run<T>(
    json: bool,
    context: &Context,
    prepare: impl FnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let result = prepare();
    if let (true, Err(Failure::Error(error))) = (json, &result) {
        let report =
            Report { status: Status::Failed, error: Some(error.chain()), ..Report::default() };
        writeln!(context.out, "{:#}", report.to_json())?;
    }
    result
}

/// How the result of a run is printed.
struct ResultFormat {
    json: bool,
    quiet: bool,
    unchanged_exit_77: bool,
}

/// Prints the result of a run.
fn print_result(
    result: Result<Report, Failed>,
    format: &ResultFormat,
    context: &Context,
) -> Result<(), Failure> {
    let ResultFormat { json, quiet, unchanged_exit_77 } = *format;
    match result {
        Ok(report) => {
            if json {
                writeln!(context.out, "{:#}", report.to_json())?;
            } else if !quiet {
                context.out.write_str(&summarize(&report))?;
            }
            match report.status {
                Status::Unchanged if unchanged_exit_77 => Err(Failure::Status(77)),
                _ => Ok(()),
            }
        }
        Err(Failed { report, error, log }) => {
            if json {
                writeln!(context.out, "{:#}", report.to_json())?;
            }
            if let Some(log) = log {
                let lines = last_lines(&log, SHOWN_LINES)?;
                let mut text = format!("the end of {}:\n", log.display());
                lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
                // When standard error is closed, the message cannot be shown.
                let _ = io::stderr().write_all(text.as_bytes());
            }
            // It may quote text chosen by a child.
            let message = error.chain();
            match printable_lines(&message) {
                shown if shown != message => Err(Failure::failed(shown)),
                _ => Err(Failure::Error(error)),
            }
        }
    }
}

/// One or two lines for users. The version is chosen by a child.
fn summarize(report: &Report) -> String {
    let name = report.ref_name.as_deref().unwrap_or_default();
    let commit = report.commit.map(|commit| commit.to_hex()).unwrap_or_default();
    let version = report
        .version
        .as_ref()
        .map(|version| format!(" ({})", printable(version)))
        .unwrap_or_default();
    match report.status {
        Status::Published => format!("{name} => {commit}{version}\n"),
        Status::Unchanged => {
            let unapplied = match report.unapplied.as_slice() {
                [] => String::new(),
                list => format!("{}\n", printable_lines(&unapplied::describe(list))),
            };
            format!("{name} is unchanged: {commit}{version}\n{unapplied}")
        }
        Status::Composed => format!("{commit}{version} waits to be published as {name}\n"),
        Status::Built => {
            let image = |key: &str| {
                report.image.as_ref().and_then(|image| image[key].as_str()).unwrap_or_default()
            };
            format!("{}: {name} {commit}{version}\nsha256 {}\n", image("file"), image("sha256"))
        }
        other => format!("{}\n", other.as_str()),
    }
}
