//! Arguments, read by the rules of GLib's GOption.
//!
//! clap holds the definitions and the typed values; this layer decides which argument is an option, which its value and
//! which neither, and hands clap a form that leaves it no choice: `--option=value` for all options, then `--`, then the
//! rest. The rules, as the real program shows them:
//!
//! - Options and arguments stand in any order; `--` ends the options, and only the first one is dropped.
//! - `--option=value` or `--option value`, the value taken whatever it looks like. The last value counts.
//! - A flag ignores what stands after a `=`.
//! - Short options are bundled (`-RC`); one of them may take the next argument as its value. `-ovalue` is no value.
//! - `-h`, `-?`, `--help` and `--help-all` act at once, so does an error: the first of them counts.
//! - If a command and the global table know the same short letter, both act.

use std::any::TypeId;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

/// What the arguments ask for.
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

/// Reads the arguments of a command whose own options are `table`; the error is a message for the user.
pub(super) fn read(table: Command, arguments: Vec<OsString>) -> Result<Request, String> {
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
                if reader.short(&argument, &mut arguments)? == Bundle::Help {
                    return Ok(Request::Help);
                }
            }
            _ => reader.rest.push(argument),
        }
    }
    reader.finish().map(Request::Run)
}

/// The options of every command, as a table.
pub(super) fn global_table() -> Command {
    GlobalArguments::augment_args(Command::new("osier").disable_help_flag(true).args_override_self(true))
}

/// Parses a path; unlike clap's own, an empty one too: what is wrong with it is for the command to say.
pub(super) fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

/// The sentence for an error that only clap can find, which is little after [`read`].
pub(super) fn message(error: &clap::Error) -> String {
    match error.source() {
        Some(source) => source.to_string(),
        None => error.to_string().trim_start_matches("error: ").lines().next().unwrap_or_default().to_owned(),
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
        self.command.get_arguments().find(|arg| arg.get_long().is_some_and(|long| long.as_bytes() == name)).cloned()
    }

    fn short(&self, letter: u8) -> Option<Arg> {
        self.command.get_arguments().find(|arg| arg.get_short() == Some(char::from(letter))).cloned()
    }

    /// Notes an option under its long name.
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
        Self { tables: [Table::new(table.disable_help_flag(true)), Table::new(global_table())], rest: Vec::new() }
    }

    /// `--name`, `--name=value` or `--name value`.
    fn long(&mut self, argument: &OsStr, following: &mut impl Iterator<Item = OsString>) -> Result<(), String> {
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
                None => following.next().ok_or_else(|| format!("Missing argument for {spelling}"))?,
            };
            check_value(&option, &spelling, &value)?;
            table.push(&option, Some(&value));
            return Ok(());
        }
        Err(format!("Unknown option {}", argument.display()))
    }

    /// `-abc` or `-abc value`.
    fn short(&mut self, argument: &OsStr, following: &mut impl Iterator<Item = OsString>) -> Result<Bundle, String> {
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
                    return Err(format!("Error parsing option {spelling}"));
                }
                value_taken = true;
                let value = following.next().ok_or_else(|| format!("Missing argument for {spelling}"))?;
                check_value(&option, &spelling, &value)?;
                table.push(&option, Some(&value));
            }
            all_known &= known;
        }
        match all_known {
            true => Ok(Bundle::Taken),
            false => Err(format!("Unknown option {}", argument.display())),
        }
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

fn takes_value(option: &Arg) -> bool {
    !matches!(option.get_action(), ArgAction::SetTrue)
}

/// Checks a value as soon as it is read, since the first error counts.
fn check_value(option: &Arg, spelling: &str, value: &OsStr) -> Result<(), String> {
    let value_type = option.get_value_parser().type_id();
    if value_type == TypeId::of::<i32>() {
        return match integer(&value.to_string_lossy()) {
            Ok(_) => Ok(()),
            Err(BadInteger::Malformed) => {
                Err(format!("Cannot parse integer value “{}” for {spelling}", value.display()))
            }
            Err(BadInteger::OutOfRange) => {
                Err(format!("Integer value “{}” for {spelling} out of range", value.display()))
            }
        };
    }
    match value_type == TypeId::of::<String>() && value.to_str().is_none() {
        true => Err("Invalid byte sequence in conversion input".to_owned()),
        false => Ok(()),
    }
}

/// Why a text is no integer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadInteger {
    /// It has other characters.
    #[error("Cannot parse integer value")]
    Malformed,
    /// It does not fit 32 bits.
    #[error("Integer value out of range")]
    OutOfRange,
}

/// Parses an `INT` argument as C's `strtol` does with base 0: blanks, a sign, then decimal, octal or hex digits. To be
/// named as the `value_parser` of an `i32` field.
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
