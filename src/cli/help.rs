//! Help texts in GOption's format, from the clap definitions.

use std::iter;

use clap::Arg;

use super::builtin::Builtin;
use super::builtins::BUILTINS;
use super::name::stands_in_for_ostree;
use super::options;

/// The help text of the program itself.
pub(super) fn of_program(program: &str) -> String {
    let mut options = help_option();
    let global = options::global_table();
    options.application.extend(global.get_arguments().map(Row::of));
    let commands = BUILTINS.iter().filter(|builtin| builtin.is_listed(program));
    let commands: Vec<Row> =
        commands.map(|builtin| Row::new(builtin.name, builtin.about)).collect();
    let width = options.rows().chain(&commands).map(Row::width).max().unwrap_or_default();
    let mut text = format!("Usage:\n  {program} [OPTION…] COMMAND\n\nBuiltin Commands:\n");
    push_rows(&mut text, &commands, width);
    options.push_to(&mut text, width);
    text
}

/// The help text of a group of commands, including unimplemented ones.
pub(super) fn of_group(program: &str, group: &Builtin, commands: &[Builtin]) -> String {
    if group.name == "static-delta" {
        return of_static_delta(program, group, commands);
    }
    let mut options = help_option();
    let global = options::global_table();
    options.application.extend(global.get_arguments().map(Row::of));
    let rows: Vec<Row> =
        commands.iter().map(|builtin| Row::new(builtin.short_name(group), builtin.about)).collect();
    let width = options.rows().chain(&rows).map(Row::width).max().unwrap_or_default();
    let Builtin { name, about, .. } = group;
    let mut text = format!(
        "Usage:\n  {program} {name} [OPTION…] COMMAND\n\n{about}\n\nBuiltin \"{name}\" Commands:\n"
    );
    push_rows(&mut text, &rows, width);
    options.push_to(&mut text, width);
    text
}

/// Upstream writes the help of this group by hand: without options, in a column of its own.
fn of_static_delta(program: &str, group: &Builtin, commands: &[Builtin]) -> String {
    const WIDTH: usize = 17;
    let name = group.name;
    let mut text =
        format!("Usage:\n  {program} {name} [OPTION...] COMMAND\n\nBuiltin \"{name}\" Commands:\n");
    for builtin in commands {
        text.push_str(&format!("  {:WIDTH$}{}\n", builtin.short_name(group), builtin.about));
    }
    text + "\n"
}

/// The help text of a command with its own option table.
pub(super) fn of_command(program: &str, builtin: &Builtin, table: &clap::Command) -> String {
    let mut options = help_option();
    let visible = |arg: &&Arg| !arg.is_positional() && !arg.is_hide_set();
    let own: Vec<&Arg> = table.get_arguments().filter(visible).collect();
    let global = options::global_table();
    let is_hidden = |arg: &&Arg| own.iter().any(|other| other.get_long() == arg.get_long());
    for arg in own.iter().copied().chain(global.get_arguments().filter(|arg| !is_hidden(arg))) {
        let mut row = arg.clone();
        if !own.iter().any(|other| other.get_id() == arg.get_id())
            && own
                .iter()
                .any(|other| other.get_short().is_some() && other.get_short() == arg.get_short())
        {
            // The letter is the command's own in the help, although it acts in both tables.
            row = row.short(None);
        }
        match row.get_help_heading() {
            Some(options::OWN_OPTIONS) if stands_in_for_ostree(program) => {}
            Some(options::OWN_OPTIONS) => options.own.push(Row::of(&row)),
            _ => options.application.push(Row::of(&row)),
        }
    }
    let Builtin { name, about, .. } = builtin;
    let arguments = builtin.arguments_for(program);
    let space = if arguments.is_empty() { "" } else { " " };
    let mut text = format!("Usage:\n  {program} {name} [OPTION…]{space}{arguments}\n\n{about}\n");
    let width = options.rows().map(Row::width).max().unwrap_or_default();
    options.push_to(&mut text, width);
    text
}

/// The groups of options; the last one is there only if it is not empty.
struct Options {
    help: [Row; 1],
    application: Vec<Row>,
    own: Vec<Row>,
}

fn help_option() -> Options {
    Options {
        help: [Row::new("-h, --help", "Show help options")],
        application: Vec::new(),
        own: Vec::new(),
    }
}

impl Options {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.help.iter().chain(&self.application).chain(&self.own)
    }

    fn push_to(&self, text: &mut String, width: usize) {
        text.push_str("\nHelp Options:\n");
        push_rows(text, &self.help, width);
        text.push_str("\nApplication Options:\n");
        push_rows(text, &self.application, width);
        if !self.own.is_empty() {
            text.push_str(&format!("\n{}:\n", options::OWN_OPTIONS));
            push_rows(text, &self.own, width);
        }
        text.push('\n');
    }
}

/// One line: the option or command, and its description.
struct Row {
    left: String,
    right: String,
}

impl Row {
    fn new(left: &str, right: &str) -> Self {
        Self { left: left.to_owned(), right: right.to_owned() }
    }

    fn of(option: &Arg) -> Self {
        let short = option.get_short().map(|letter| format!("-{letter}, ")).unwrap_or_default();
        // An empty value name stands for an option whose argument has no name in the real program's
        // help.
        let named = option
            .get_value_names()
            .and_then(|names| names.first())
            .filter(|name| !name.is_empty());
        let takes_value = option.get_action().takes_values();
        let value = match named.filter(|_| takes_value) {
            Some(name) if options::can_do_without_value(option) => format!("[={name}]"),
            Some(name) => format!("={name}"),
            None => String::new(),
        };
        let left = format!("{short}--{}{value}", option.get_long().unwrap_or_default());
        Self { left, right: option.get_help().map(ToString::to_string).unwrap_or_default() }
    }

    fn width(&self) -> usize {
        self.left.chars().count()
    }
}

/// Blanks after the longest left side, besides the one that ends it.
const GAP: usize = 5;

fn push_rows(text: &mut String, rows: &[Row], width: usize) {
    for row in rows {
        let blanks: String = iter::repeat_n(' ', width + GAP - row.width()).collect();
        text.push_str(&format!("  {}{blanks}{}\n", row.left, row.right));
    }
}
