//! The completions at the cursor of a command line.

use clap::{Arg, Command};

use super::line::{Kind, Line};
use super::values::{self, Value};
use crate::cli::builtin::{self, Action, Builtin, Commands, RepoOption};
use crate::cli::name::stands_in_for_ostree;
use crate::cli::options;

/// What may stand at the cursor.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// Whether file names may, too.
    pub(super) kind: Kind,
    /// The part of the word at the cursor before the value.
    pub(super) prefix: String,
    /// The value typed so far.
    pub(super) value: String,
    /// Values with their descriptions; all begin with what was typed.
    pub(super) candidates: Vec<(String, String)>,
}

/// The completions after `words`, which do not include `program`.
pub(super) fn answer(all: Commands, program: &str, words: &[String], current: &str) -> Answer {
    let mut rest = words.to_vec();
    let mut group: Option<&Builtin> = None;
    loop {
        // The command is the first argument that does not start with `-`, at any position.
        let Some(position) = rest.iter().position(|word| !word.starts_with('-')) else {
            return before_command(all, program, group, current);
        };
        let name = rest.remove(position);
        let found = match group {
            Some(group @ Builtin { action: Action::Group(commands), .. }) => {
                builtin::find_in(group, commands, name.as_ref())
            }
            _ => builtin::find(all, program, name.as_ref()),
        };
        match found {
            Some(builtin @ Builtin { action: Action::Group(_), .. }) => group = Some(builtin),
            Some(builtin) => return of_command(program, builtin, &rest, current),
            None => return Answer::default(),
        }
    }
}

/// Commands, or the options that may precede them.
fn before_command(all: Commands, program: &str, group: Option<&Builtin>, current: &str) -> Answer {
    if current.starts_with('-') {
        let tables = [builtin::table(RepoOption::Known, |table| table), options::global_table()];
        return match current.split_once('=') {
            Some(("--repo", path)) => {
                Answer { kind: Kind::Directories, ..Answer::of("--repo=", path, Vec::new()) }
            }
            Some(_) => Answer::default(),
            None => Answer::of("", current, option_names(program, &tables)),
        };
    }
    let commands = builtin::commands(all, program, group).into_iter();
    Answer::of(
        "",
        current,
        commands.map(|(name, about)| (name.to_owned(), about.to_owned())).collect(),
    )
}

/// Options, values and arguments of a command.
fn of_command(program: &str, builtin: &Builtin, words: &[String], current: &str) -> Answer {
    let Action::Run { repo, define, .. } = builtin.action else { return Answer::default() };
    let tables = [builtin::table(repo, define), options::global_table()];
    let mut line = Line {
        command: builtin.name,
        options: Vec::new(),
        arguments: Vec::new(),
        flags: Vec::new(),
    };
    let mut words = words.iter();
    let mut only_arguments = false;
    while let Some(word) = words.next() {
        let Some(option) = word.strip_prefix('-').filter(|_| !only_arguments && word != "-") else {
            line.arguments.push(word.clone());
            continue;
        };
        if option == "-" {
            only_arguments = true;
            continue;
        }
        let (name, value) = match option.strip_prefix('-') {
            Some(long) => {
                long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)))
            }
            None => (bundled(&tables, option), None),
        };
        match find(&tables, name).filter(|arg| options::takes_value(arg)) {
            Some(arg) if value.is_none() && !options::can_do_without_value(arg) => {
                match words.next() {
                    Some(value) => line.options.push((name.to_owned(), value.clone())),
                    None => return of_value("", current, &line, values::of_option(&line, arg)),
                }
            }
            Some(_) => line.options.push((name.to_owned(), value.unwrap_or_default().to_owned())),
            None => line.flags.push(name.to_owned()),
        }
    }
    if !only_arguments
        && let Some(option) = current.strip_prefix("--")
        && let Some((name, value)) = option.split_once('=')
    {
        let Some(arg) = find(&tables, name).filter(|arg| options::takes_value(arg)) else {
            return Answer::default();
        };
        return of_value(&format!("--{name}="), value, &line, values::of_option(&line, arg));
    }
    if !only_arguments && current.starts_with('-') {
        return Answer::of("", current, option_names(program, &tables));
    }
    of_value("", current, &line, values::of_argument(&line))
}

/// The long name of the one of bundled short options that takes a value.
fn bundled<'t>(tables: &'t [Command; 2], letters: &str) -> &'t str {
    let arguments = || tables.iter().flat_map(Command::get_arguments);
    let of_letter = |letter| arguments().find(|arg| arg.get_short() == Some(letter));
    let args: Vec<&Arg> = letters.chars().filter_map(of_letter).collect();
    let with_value = args.iter().find(|arg| options::takes_value(arg)).or(args.first());
    with_value.and_then(|arg| arg.get_long()).unwrap_or_default()
}

fn find<'t>(tables: &'t [Command; 2], long: &str) -> Option<&'t Arg> {
    tables.iter().flat_map(Command::get_arguments).find(|arg| arg.get_long() == Some(long))
}

/// The options with their help texts; those that need a value end in `=`.
fn option_names(program: &str, tables: &[Command; 2]) -> Vec<(String, String)> {
    let hidden = |arg: &Arg| {
        let is_own = arg.get_help_heading() == Some(options::OWN_OPTIONS);
        arg.is_hide_set() || is_own && stands_in_for_ostree(program)
    };
    let listed = tables.iter().flat_map(Command::get_arguments).filter(|arg| !hidden(arg));
    let mut names: Vec<(String, String)> = listed
        .filter_map(|arg| {
            let equals = if options::takes_value(arg) && !options::can_do_without_value(arg) {
                "="
            } else {
                ""
            };
            let about = arg.get_help().map(ToString::to_string).unwrap_or_default();
            Some((format!("--{}{equals}", arg.get_long()?), about))
        })
        .collect();
    names.push(("--help".to_owned(), "Show help options".to_owned()));
    names.sort();
    names.dedup_by(|one, other| one.0 == other.0);
    names
}

fn of_value(prefix: &str, typed: &str, line: &Line, value: Value) -> Answer {
    let values::Found { inner_prefix, kind, candidates } = values::find(value, typed, line);
    let typed = typed.strip_prefix(inner_prefix.as_str()).unwrap_or(typed);
    Answer { kind, ..Answer::of(&format!("{prefix}{inner_prefix}"), typed, candidates) }
}

impl Answer {
    /// The candidates that begin with what was typed.
    fn of(prefix: &str, typed: &str, mut candidates: Vec<(String, String)>) -> Self {
        candidates.retain(|(text, _)| text.starts_with(typed) && !text.contains(['\t', '\n']));
        Self { kind: Kind::Words, prefix: prefix.to_owned(), value: typed.to_owned(), candidates }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::builtins::BUILTINS;

    /// The candidates of a line; the word at the cursor is the last one.
    fn offered(program: &str, line: &str) -> Vec<String> {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let current = words.pop().unwrap_or_default();
        let answer = answer(BUILTINS, program, &words, &current);
        answer.candidates.into_iter().map(|(text, _)| format!("{}{text}", answer.prefix)).collect()
    }

    fn kind(line: &str) -> (Kind, String, String) {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let current = words.pop().unwrap_or_default();
        let Answer { kind, prefix, value, .. } = answer(BUILTINS, "osier", &words, &current);
        (kind, prefix, value)
    }

    #[test]
    fn commands_options_and_fixed_values_are_offered_where_they_fit() {
        for (line, expected) in [
            ("rev-p", &["rev-parse"][..]),
            ("--repo=r rev-p", &["rev-parse"]),
            ("-v che", &["checkout", "checksum"]),
            ("--re", &["--repo="]),
            ("remote show", &["show-url"]),
            ("remote --repo=r de", &["delete", "delete-cookie"]),
            ("init --mo", &["--mode="]),
            ("init --mode=bare-u", &["--mode=bare-user", "--mode=bare-user-only"]),
            ("init --mode bare-u", &["bare-user", "bare-user-only"]),
            ("--mode=x init --mode=ar", &["--mode=archive"]),
            ("init --mode=x", &[]),
            ("commit --fsync=", &["--fsync=true", "--fsync=false"]),
            ("commit --tree=", &["--tree=dir=", "--tree=tar=", "--tree=ref="]),
            ("bench --only=chec", &["--only=checkout", "--only=checkout-links"]),
            ("completions ", &["bash", "fish", "zsh"]),
            ("completions bash ", &[]),
            ("config ", &["get", "set", "unset"]),
            ("ls -- --re", &[]),
            ("ls --recurs", &["--recursive"]),
            ("ls --nosuch=", &[]),
            ("nosuch ", &[]),
            ("pull ", &[]),
        ] {
            assert_eq!(offered("osier", line), expected, "{line}");
        }
    }

    #[test]
    fn files_are_offered_where_an_option_or_argument_is_one() {
        for (line, expected, prefix, value) in [
            ("--repo=a", Kind::Directories, "--repo=", "a"),
            ("ls --repo a", Kind::Directories, "", "a"),
            ("commit -Fx", Kind::Words, "", "-Fx"),
            ("commit -F x", Kind::Files, "", "x"),
            ("commit -eF x", Kind::Files, "", "x"),
            ("commit --tree=dir=a", Kind::Directories, "--tree=dir=", "a"),
            ("commit --tree=tar=a", Kind::Files, "--tree=tar=", "a"),
            ("commit --tree tar=a", Kind::Files, "tar=", "a"),
            ("commit ", Kind::Directories, "", ""),
            ("export -o x", Kind::Files, "", "x"),
            ("commit -s x", Kind::Words, "", "x"),
            ("man ", Kind::Directories, "", ""),
            ("compose check --config=", Kind::Files, "--config=", ""),
            ("checksum x", Kind::Files, "", "x"),
        ] {
            assert_eq!(kind(line), (expected, prefix.to_owned(), value.to_owned()), "{line}");
        }
    }

    #[test]
    fn under_the_name_of_the_real_program_only_what_its_help_lists_is_offered() {
        assert_eq!(offered("/usr/bin/ostree", "com"), ["commit"]);
        assert_eq!(offered("osier", "com"), ["commit", "compare", "completions", "compose"]);
        assert_eq!(offered("ostree", "log --js"), Vec::<String>::new());
        assert_eq!(offered("osier", "log --js"), ["--json"]);
    }
}
