//! The program with all of its commands as one clap definition, from which completions and man
//! pages are made.

use clap::{Arg, ArgAction, Command, ValueHint};

use super::builtin::{self, Action, Builtin, Commands};
use super::options;

/// The name under which the program has all commands.
pub(super) const PROGRAM: &str = "osier";

/// Value names that denote a path.
const PATHS: [&str; 4] = ["DIR", "FILE", "HOMEDIR", "PATH"];

/// The program, with a subcommand for each of its commands.
pub(super) fn program(all: Commands) -> Command {
    let table = complete(options::blank_table(), "OSTree repository tooling").name(PROGRAM);
    let commands = all.iter().filter_map(|builtin| command(builtin, builtin.name));
    table
        .override_usage(format!("{PROGRAM} [OPTION…] COMMAND"))
        .disable_help_subcommand(true)
        .subcommands(commands)
}

/// A command with its own options and those of every command, or with its own commands; `None` if
/// it is not implemented. `name` is what the user types for it.
fn command(builtin: &Builtin, name: &'static str) -> Option<Command> {
    let Builtin { name: full_name, arguments, about, action } = builtin;
    let table = match *action {
        Action::Run { repo, define, .. } => builtin::table(repo, define),
        Action::Group(commands) => {
            let commands =
                commands.iter().filter_map(|each| command(each, each.short_name(builtin)));
            options::blank_table().disable_help_subcommand(true).subcommands(commands)
        }
        Action::Refuse(_) => return None,
    };
    let usage = format!("{PROGRAM} {full_name} [OPTION…] {arguments}");
    Some(complete(table, about).name(name).override_usage(usage.trim_end().to_owned()))
}

/// Adds the common options, and details for completions and man pages.
fn complete(table: Command, about: &'static str) -> Command {
    let mut table =
        table.about(about).version(env!("CARGO_PKG_VERSION")).disable_version_flag(true).arg(
            Arg::new("help")
                .short('h')
                .long("help")
                .help("Show help options")
                .action(ArgAction::SetTrue),
        );
    for arg in options::global_table().get_arguments() {
        if table.get_arguments().any(|own| own.get_long() == arg.get_long()) {
            continue;
        }
        let taken = table
            .get_arguments()
            .any(|own| own.get_short().is_some() && own.get_short() == arg.get_short());
        table = table.arg(if taken { arg.clone().short(None) } else { arg.clone() });
    }
    // The usage names the arguments as ostree does.
    let table = table.mut_args(|arg| if arg.is_positional() { arg.hide(true) } else { arg });
    table.mut_args(|arg| match value_name(&arg).as_deref() {
        Some("") => arg.value_name("VALUE"),
        Some(name) if PATHS.contains(&name) => arg.value_hint(ValueHint::AnyPath),
        _ => arg,
    })
}

fn value_name(arg: &Arg) -> Option<String> {
    arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string)
}
