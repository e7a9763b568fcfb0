//! `completions`: prints scripts that let a shell complete commands, options and values. `ostree`
//! has no such command.
//!
//! The scripts know only osier's name: at each tab press they call `osier completions SHELL` for
//! the completions at the cursor. [`answer`] parses the line by the rules of
//! [`options`](super::options), [`values`] knows what each option and argument may be. Answers have
//! a head line, `KIND TAB PREFIX TAB VALUE`, then a line for each candidate, `TEXT TAB
//! DESCRIPTION`. KIND says whether the shell is to add the names of files: `words`, `files` or
//! `directories`; PREFIX is the part of the word at the cursor before the value, as in `--repo=`.
//!
//! Bash passes the line instead of words, and takes KIND and then the rest of each candidate after
//! the last character at which it breaks words.

mod answer;
mod line;
mod shell_words;
mod values;

use std::ffi::OsString;
use std::path::Path;

use super::builtin::Commands;
use super::context::Context;
use super::error::Failure;
use super::suggest;
use answer::Answer;
use shell_words::BashLine;

/// The options of `completions`.
#[derive(clap::Args)]
pub(super) struct Args {
    arguments: Vec<OsString>,
}

/// The shells and their scripts.
const SCRIPTS: [(&str, &str); 3] = [
    ("bash", include_str!("osier.bash")),
    ("fish", include_str!("osier.fish")),
    ("zsh", include_str!("osier.zsh")),
];

/// The names of the shells.
pub(super) fn shells() -> impl Iterator<Item = &'static str> {
    SCRIPTS.iter().map(|(shell, _)| *shell)
}

pub(super) fn run(args: Args, context: &mut Context, all: Commands) -> Result<(), Failure> {
    let Args { arguments } = args;
    let mut arguments =
        arguments.into_iter().map(|argument| argument.to_string_lossy().into_owned());
    let Some(shell) = arguments.next() else {
        return Err(Failure::usage("SHELL must be specified"));
    };
    let Some((_, script)) = SCRIPTS.iter().find(|(name, _)| *name == shell) else {
        let hint = suggest::hint(&shell, &shells().collect::<Vec<_>>());
        return Err(Failure::failed(format!(
            "no completions for '{shell}', only for bash, fish and zsh{hint}"
        )));
    };
    let asked: Vec<String> = arguments.collect();
    match (shell.as_str(), &asked[..]) {
        (_, []) => context.out.write_str(script),
        ("bash", [line, breaks]) => {
            let line = BashLine::parse(line, breaks);
            let answer = answer(all, &line.words, &line.current);
            context.out.write_str(&for_bash(&answer, &line))
        }
        ("bash", _) => Err(Failure::usage("Too many arguments given")),
        (_, [words @ .., current]) => {
            context.out.write_str(&for_others(&answer(all, words, current)))
        }
    }
}

/// The completions at the cursor; the first word is the program.
fn answer(all: Commands, words: &[String], current: &str) -> Answer {
    // Assignments may precede the program.
    let start = words
        .iter()
        .position(|word| matches!(file_name(word), "osier" | "ostree"))
        .unwrap_or_default();
    match words.get(start..).and_then(<[String]>::split_first) {
        Some((program, words)) => answer::answer(all, program, words, current),
        None => Answer::default(),
    }
}

fn file_name(word: &str) -> &str {
    Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn for_bash(answer: &Answer, line: &BashLine) -> String {
    let mut text = format!("{}\n", answer.kind.as_str());
    for (candidate, _) in &answer.candidates {
        let whole = format!("{}{candidate}", answer.prefix);
        // The text before the last break is kept.
        let Some(rest) = whole.strip_prefix(&line.kept) else { continue };
        text.push_str(&if line.is_quoted { rest.to_owned() } else { shell_words::quoted(rest) });
        text.push('\n');
    }
    text
}

fn for_others(answer: &Answer) -> String {
    let Answer { kind, prefix, value, candidates } = answer;
    let mut text = format!("{}\t{prefix}\t{value}\n", kind.as_str());
    for (candidate, about) in candidates {
        text.push_str(&format!("{candidate}\t{about}\n"));
    }
    text
}
