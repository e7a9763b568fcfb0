//! Arguments, read by the rules of GLib's GOption.
//!
//! clap holds the definitions and the typed values; this layer decides which argument is an option,
//! which is its value and which is neither, and passes them to clap in an unambiguous form:
//! `--option=value` for all options, then `--`, then the rest. The rules, as observed in ostree:
//!
//! - Options and arguments come in any order; `--` ends the options, and only the first one is
//!   dropped.
//! - `--option=value` or `--option value`, where the value may look like anything. The last value
//!   counts.
//! - A flag ignores anything after a `=`.
//! - An option that can do without its value (there are such only among osier's own) has it after a
//!   `=` or not at all: what follows it is never taken, so that a path behind it stays an argument.
//! - Short options are bundled (`-RC`); one of them may take the next argument as its value.
//!   `-ovalue` is no value.
//! - `-h`, `-?`, `--help` and `--help-all` take effect at once, as does an error: the first one
//!   wins.
//! - If a command and the global table have the same short letter, both take effect.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::suggest;

/// The heading of the options that `ostree` does not have; named as the `help_heading` of each of
/// them. They are accepted under any name of the program, and listed unless that is `ostree`.
pub(super) const OWN_OPTIONS: &str = "osier Options";

/// The result of parsing the arguments.
pub(super) enum Request {
    /// The help text.
    Help,
    /// What the command does.
    Run(Parsed),
}

/// Options that were read.
pub(super) struct Parsed {
    /// Those that every command has.
    pub(super) global: GlobalArguments,
    /// Those of the command.
    pub(super) matches: ArgMatches,
}

/// The options of every command.
#[derive(Args)]
pub(super) struct GlobalArguments {
    /// Print debug information during command processing
    #[arg(short, long)]
    pub(super) verbose: bool,
    /// Print version information and exit
    #[arg(long)]
    pub(super) version: bool,
}

/// The option of every command that works on a repository.
#[derive(Args)]
pub(super) struct RepoArgument {
    /// Path to OSTree repository (defaults to current directory or /sysroot/ostree/repo)
    #[arg(long, value_name = "PATH")]
    pub(super) repo: Option<OsString>,
}

/// Why arguments cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misuse {
    /// The error, in upstream's wording.
    pub(super) message: String,
    /// For an unknown option: the one that was probably meant, if any.
    pub(super) unknown: Option<Guess>,
}

/// The option that was meant, with its dashes.
pub(super) type Guess = Option<String>;

impl From<String> for Misuse {
    fn from(message: String) -> Self {
        Self { message, unknown: None }
    }
}

/// Reads the arguments of a command whose own options are `table`.
pub(super) fn read(table: Command, arguments: Vec<OsString>) -> Result<Request, Misuse> {
    let mut reader = Reader::new(table);
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        match argument.as_bytes() {
            b"--" => {
                reader.rest.extend(arguments);
                break;
            }
            b"--help" | b"--help-all" => return Ok(Request::Help),
            [b'-', b'-', ..] => reader.long(&argument, &mut arguments)?,
            [b'-', _, ..] => {
                let bundle = reader.short(&argument, &mut arguments);
                if bundle.map_err(|misuse| reader.or_long(&argument, misuse))? == Bundle::Help {
                    return Ok(Request::Help);
                }
            }
            _ => reader.rest.push(argument),
        }
    }
    Ok(Request::Run(reader.finish()?))
}

/// The options of every command, as a table.
pub(super) fn global_table() -> Command {
    GlobalArguments::augment_args(blank_table())
}

/// A table without options, in which a repeated option is no error.
pub(super) fn blank_table() -> Command {
    Command::new("osier").disable_help_flag(true).args_override_self(true)
}

/// Parses a path; unlike clap's own, an empty one too: the command reports that.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The sentence for an error of clap's: that of the value's parser where there is one.
pub(super) fn message(error: &clap::Error) -> String {
    match (error.kind(), error.source()) {
        (ErrorKind::InvalidUtf8, _) => "Invalid byte sequence in conversion input".to_owned(),
        (_, Some(source)) => source.to_string(),
        (_, None) => error
            .to_string()
            .trim_start_matches("error: ")
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Whether a bundle of short options asks for the help.
#[derive(PartialEq, Eq)]
enum Bundle {
    Help,
    Taken,
}

/// A table and what was read for it.
struct Table {
    command: Command,
    arguments: Vec<OsString>,
}

impl Table {
    fn new(command: Command) -> Self {
        Self { command, arguments: vec!["osier".into()] }
    }

    fn long(&self, name: &[u8]) -> Option<Arg> {
        self.command
            .get_arguments()
            .find(|arg| arg.get_long().is_some_and(|long| long.as_bytes() == name))
            .cloned()
    }

    fn short(&self, letter: u8) -> Option<Arg> {
        self.command
            .get_arguments()
            .find(|arg| arg.get_short() == Some(char::from(letter)))
            .cloned()
    }

    /// Records an option under its long name.
    fn push(&mut self, option: &Arg, value: Option<&OsStr>) {
        let mut argument = format!("--{}", option.get_long().unwrap_or_default()).into_bytes();
        if let Some(value) = value {
            argument.push(b'=');
            argument.extend_from_slice(value.as_bytes());
        }
        self.arguments.push(OsString::from_vec(argument));
    }

    fn matches(self) -> Result<ArgMatches, String> {
        self.command.try_get_matches_from(self.arguments).map_err(|error| message(&error))
    }
}

struct Reader {
    /// The command's own table first, then the global one.
    tables: [Table; 2],
    rest: Vec<OsString>,
}

impl Reader {
    fn new(table: Command) -> Self {
        Self { tables: [Table::new(table), Table::new(global_table())], rest: Vec::new() }
    }

    /// `--name`, `--name=value` or `--name value`.
    fn long(
        &mut self,
        argument: &OsStr,
        following: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Misuse> {
        let bytes = &argument.as_bytes()[2..];
        let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
            Some(end) => (&bytes[..end], Some(OsStr::from_bytes(&bytes[end + 1..]))),
            None => (bytes, None),
        };
        for table in &mut self.tables {
            let Some(option) = table.long(name) else { continue };
            if !takes_value(&option) {
                table.push(&option, None);
                return Ok(());
            }
            let spelling = format!("--{}", String::from_utf8_lossy(name));
            let value = match value {
                Some(value) => value.to_owned(),
                None if can_do_without_value(&option) => {
                    table.push(&option, None);
                    return Ok(());
                }
                None => {
                    following.next().ok_or_else(|| format!("Missing argument for {spelling}"))?
                }
            };
            check_value(&option, &spelling, &value)?;
            table.push(&option, Some(&value));
            return Ok(());
        }
        Err(self.unknown(argument))
    }

    /// `-abc` or `-abc value`.
    fn short(
        &mut self,
        argument: &OsStr,
        following: &mut impl Iterator<Item = OsString>,
    ) -> Result<Bundle, Misuse> {
        let mut value_taken = false;
        let mut all_known = true;
        for &letter in &argument.as_bytes()[1..] {
            if all_known && matches!(letter, b'h' | b'?') {
                return Ok(Bundle::Help);
            }
            let mut known = false;
            for table in &mut self.tables {
                let Some(option) = table.short(letter) else { continue };
                known = true;
                if !takes_value(&option) {
                    table.push(&option, None);
                    continue;
                }
                let spelling = format!("-{}", char::from(letter));
                if value_taken {
                    return Err(format!("Error parsing option {spelling}").into());
                }
                value_taken = true;
                let value =
                    following.next().ok_or_else(|| format!("Missing argument for {spelling}"))?;
                check_value(&option, &spelling, &value)?;
                table.push(&option, Some(&value));
            }
            all_known &= known;
        }
        match all_known {
            true => Ok(Bundle::Taken),
            false => Err(self.unknown(argument)),
        }
    }

    /// An invalid bundle of short options may be a long option with a single dash.
    fn or_long(&self, argument: &OsStr, misuse: Misuse) -> Misuse {
        let typed = argument.to_string_lossy();
        let name = typed.split('=').next().unwrap_or_default().trim_start_matches('-');
        let is_long =
            name.len() > 1 && self.tables.iter().any(|table| table.long(name.as_bytes()).is_some());
        if is_long { Misuse { unknown: Some(Some(format!("--{name}"))), ..misuse } } else { misuse }
    }

    /// No table has this option.
    fn unknown(&self, argument: &OsStr) -> Misuse {
        let options = self.tables.iter().flat_map(|table| table.command.get_arguments());
        let names = options
            .filter(|option| !option.is_hide_set())
            .filter_map(Arg::get_long)
            .chain(["help"]);
        let known: Vec<String> = names.map(|name| format!("--{name}")).collect();
        let typed = argument.to_string_lossy();
        let name = typed.split('=').next().unwrap_or_default().trim_start_matches('-');
        // A bundle of short options is only taken for a misspelled long option if it is a word.
        let is_word = typed.starts_with("--") || name.chars().count() > 2;
        let guess = if is_word { suggest::closest(&format!("--{name}"), &known) } else { None };
        Misuse { message: format!("Unknown option {typed}"), unknown: Some(guess) }
    }

    fn finish(self) -> Result<Parsed, String> {
        let [mut table, global] = self.tables;
        let global = global.matches()?;
        let global = GlobalArguments::from_arg_matches(&global).map_err(|error| message(&error))?;
        if table.command.get_positionals().next().is_some() {
            table.arguments.push("--".into());
            table.arguments.extend(self.rest);
        }
        Ok(Parsed { global, matches: table.matches()? })
    }
}

/// Whether an option takes a value.
pub(super) fn takes_value(option: &Arg) -> bool {
    !matches!(option.get_action(), ArgAction::SetTrue)
}

/// Whether the value of an option is optional.
pub(super) fn can_do_without_value(option: &Arg) -> bool {
    takes_value(option) && option.get_num_args().is_some_and(|number| number.min_values() == 0)
}

/// Checks a value as soon as it is read, since the first error is reported.
fn check_value(option: &Arg, spelling: &str, value: &OsStr) -> Result<(), String> {
    let mut table = Table::new(blank_table().arg(option.clone()));
    table.push(option, Some(value));
    let Err(error) = table.command.try_get_matches_from(table.arguments) else { return Ok(()) };
    let value = value.display();
    Err(match error.source().and_then(|source| source.downcast_ref()) {
        Some(BadInteger::Malformed) => {
            format!("Cannot parse integer value “{value}” for {spelling}")
        }
        Some(BadInteger::OutOfRange) => {
            format!("Integer value “{value}” for {spelling} out of range")
        }
        None => message(&error),
    })
}

/// Why a text is not an integer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadInteger {
    /// It has other characters.
    #[error("Cannot parse integer value")]
    Malformed,
    /// It does not fit into 32 bits.
    #[error("Integer value out of range")]
    OutOfRange,
}

/// Parses an `INT` argument as C's `strtol` does with base 0: blanks, a sign, then decimal, octal
/// or hex digits. For use as the `value_parser` of an `i32` field.
pub(super) fn integer(text: &str) -> Result<i32, BadInteger> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => (-1, &text[1..]),
        [b'+', ..] => (1, &text[1..]),
        _ => (1, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(BadInteger::Malformed);
    }
    // Anything that does not fit 128 bits does not fit 32.
    let magnitude = i128::from_str_radix(digits, radix).map_err(|_| BadInteger::OutOfRange)?;
    i32::try_from(sign * magnitude).map_err(|_| BadInteger::OutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table with one option of each kind; `-v` is in the global table, too.
    #[derive(Debug, PartialEq, Eq, Default, Args)]
    struct Sample {
        #[arg(short, long)]
        view: bool,
        #[arg(short = 'R', long)]
        recursive: bool,
        #[arg(short, long)]
        subject: Option<String>,
        #[arg(short, long)]
        branch: Option<OsString>,
        #[arg(short, long, value_parser = integer)]
        depth: Option<i32>,
        #[arg(long)]
        tree: Vec<String>,
        #[arg(long, require_equals = true, value_parser = path())]
        cache: Option<Option<PathBuf>>,
        #[arg(value_parser = path())]
        rest: Vec<PathBuf>,
    }

    fn sample(arguments: &[&str]) -> Result<(Sample, bool), String> {
        let table = Sample::augment_args(blank_table());
        match read(table, arguments.iter().map(OsString::from).collect())
            .map_err(|misuse| misuse.message)?
        {
            Request::Help => Err("help".to_owned()),
            Request::Run(parsed) => {
                let sample =
                    Sample::from_arg_matches(&parsed.matches).map_err(|error| message(&error))?;
                Ok((sample, parsed.global.verbose))
            }
        }
    }

    fn taken(arguments: &[&str]) -> Sample {
        sample(arguments).unwrap().0
    }

    #[test]
    fn options_and_arguments_stand_in_any_order() {
        let expected = Sample {
            recursive: true,
            rest: vec!["a".into(), "-".into(), "b".into()],
            ..Sample::default()
        };
        assert_eq!(taken(&["a", "-R", "-", "b"]), expected);
        assert_eq!(taken(&["a", "-", "b", "--recursive", "--recursive"]), expected);
    }

    #[test]
    fn only_the_first_double_dash_is_dropped() {
        let rest = vec!["a".into(), "-R".into(), "--".into(), "--bogus".into()];
        assert_eq!(
            taken(&["a", "--", "-R", "--", "--bogus"]),
            Sample { rest, ..Sample::default() }
        );
    }

    #[test]
    fn a_value_is_taken_whatever_it_looks_like_and_the_last_one_counts() {
        for (arguments, subject) in [
            (&["--subject", "--recursive"][..], "--recursive"),
            (&["-s", "--"], "--"),
            (&["--subject="], ""),
            (&["--subject=a=b"], "a=b"),
            (&["--subject=a", "-s", "b"], "b"),
        ] {
            let expected = Sample { subject: Some(subject.to_owned()), ..Sample::default() };
            assert_eq!(taken(arguments), expected, "{arguments:?}");
        }
        assert_eq!(taken(&["--tree=a", "--tree", "b"]).tree, ["a", "b"]);
    }

    #[test]
    fn short_options_are_bundled_with_one_value_at_most() {
        let expected =
            Sample { recursive: true, subject: Some("x".to_owned()), ..Sample::default() };
        assert_eq!(taken(&["-Rs", "x"]), expected);
        assert_eq!(taken(&["-sR", "x"]), expected);
        for (arguments, expected) in [
            (&["-sb", "x", "y"][..], "Error parsing option -b"),
            (&["-Rs"], "Missing argument for -s"),
            (&["-sZ"], "Missing argument for -s"),
            (&["-sZ", "x"], "Unknown option -sZ"),
            (&["-sx"], "Missing argument for -s"),
            (&["-s=x", "y"], "Unknown option -s=x"),
            (&["-RZh"], "Unknown option -RZh"),
            (&["-RhZ"], "help"),
        ] {
            assert_eq!(sample(arguments).unwrap_err(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn a_letter_that_two_tables_know_acts_in_both() {
        assert_eq!(sample(&["-v"]).unwrap(), (Sample { view: true, ..Sample::default() }, true));
        assert_eq!(
            sample(&["--view"]).unwrap(),
            (Sample { view: true, ..Sample::default() }, false)
        );
        assert_eq!(sample(&["--verbose"]).unwrap(), (Sample::default(), true));
    }

    #[test]
    fn a_flag_ignores_what_stands_after_an_equals_sign() {
        assert_eq!(taken(&["--recursive=no"]), Sample { recursive: true, ..Sample::default() });
    }

    #[test]
    fn a_value_that_may_be_left_out_stands_after_an_equals_sign() {
        for (arguments, cache, rest) in [
            (&["--cache", "a"][..], Some(None), &["a"][..]),
            (&["--cache=f", "a"], Some(Some("f")), &["a"]),
            (&["a", "--cache"], Some(None), &["a"]),
            (&["--cache=", "a"], Some(Some("")), &["a"]),
            (&["--cache=f", "--cache", "--", "a"], Some(None), &["a"]),
            (&["--cache", "--cache=f"], Some(Some("f")), &[]),
        ] {
            let cache = cache.map(|cache| cache.map(PathBuf::from));
            let rest = rest.iter().map(PathBuf::from).collect();
            assert_eq!(
                taken(arguments),
                Sample { cache, rest, ..Sample::default() },
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn the_first_error_counts() {
        for (arguments, expected) in [
            (&["--bogus", "--help"][..], "Unknown option --bogus"),
            (&["--help", "--bogus"], "help"),
            (&["--depth=x", "--help"], "Cannot parse integer value “x” for --depth"),
            (&["-d", "x", "--bogus"], "Cannot parse integer value “x” for -d"),
            (&["--depth=x", "--depth=1"], "Cannot parse integer value “x” for --depth"),
            (&["--rec"], "Unknown option --rec"),
            (&["--help=x"], "Unknown option --help=x"),
            (&["--subject"], "Missing argument for --subject"),
        ] {
            assert_eq!(sample(arguments).unwrap_err(), expected, "{arguments:?}");
        }
    }

    #[test]
    fn an_unknown_option_comes_with_the_one_that_was_meant() {
        for (argument, guess) in [
            ("--brnach=x", Some("--branch")),
            ("--recursiv", Some("--recursive")),
            ("--verison", Some("--version")),
            ("--hlep", Some("--help")),
            ("-branch", Some("--branch")),
            ("-tree=x", Some("--tree")),
            ("--bogus", None),
            ("-Z", None),
            ("-RZ", None),
        ] {
            let misuse = read(Sample::augment_args(blank_table()), vec![argument.into()])
                .map(|_| ())
                .unwrap_err();
            assert_eq!(misuse.unknown, Some(guess.map(str::to_owned)), "{argument}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_where_text_is_asked_for() {
        let bad = |prefix: &[u8]| OsString::from_vec([prefix, b"\xff"].concat());
        let table = || Sample::augment_args(blank_table());
        let error = |arguments| read(table(), arguments).map(|_| ()).unwrap_err().message;
        assert_eq!(error(vec![bad(b"--subject=")]), "Invalid byte sequence in conversion input");
        assert!(read(table(), vec![bad(b"--branch="), bad(b"x")]).is_ok());
    }

    #[test]
    fn integers_are_decimal_octal_or_hex() {
        for (text, expected) in [
            ("5", Ok(5)),
            ("+5", Ok(5)),
            (" \t-5", Ok(-5)),
            ("010", Ok(8)),
            ("-0x10", Ok(-16)),
            ("0", Ok(0)),
            ("00", Ok(0)),
            ("2147483647", Ok(i32::MAX)),
            ("-2147483648", Ok(i32::MIN)),
            ("2147483648", Err(BadInteger::OutOfRange)),
            ("9999999999999999999999999999999999999999999999", Err(BadInteger::OutOfRange)),
            ("", Err(BadInteger::Malformed)),
            ("-", Err(BadInteger::Malformed)),
            ("--1", Err(BadInteger::Malformed)),
            ("0x", Err(BadInteger::Malformed)),
            ("0b1", Err(BadInteger::Malformed)),
            ("08", Err(BadInteger::Malformed)),
            ("1 ", Err(BadInteger::Malformed)),
            ("\u{662}", Err(BadInteger::Malformed)),
        ] {
            assert_eq!(integer(text), expected, "{text:?}");
        }
    }
}
