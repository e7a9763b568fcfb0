//! `man`: writes a man page for the program and one for each of its commands. `ostree` has no such
//! command.
//!
//! Options come from the definitions that the help is made of, everything else from [`pages`].

mod collections;
#[cfg(feature = "delta")]
mod delta_pages;
mod pages;
mod publishing;
#[cfg(feature = "pull")]
mod pulls;
mod remotes;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man;
use osier::error::During as _;
use osier::input;

use super::builtin::Commands;
use super::definition::{self, PROGRAM};
use super::error::Failure;
use super::options::path;
use pages::Page;

/// The options of `man`.
#[derive(clap::Args)]
pub(super) struct Args {
    #[arg(value_parser = path())]
    arguments: Vec<PathBuf>,
}

pub(super) fn run(args: Args, all: Commands) -> Result<(), Failure> {
    let Args { arguments } = args;
    let directory = match &arguments[..] {
        [] => return Err(Failure::usage("DIR must be specified")),
        [directory] => directory,
        _ => return Err(Failure::usage("Too many arguments given")),
    };
    fs::create_dir_all(directory).during("creating", directory)?;
    let mut program = definition::program(all);
    // Prefixes the commands' names with that of the program.
    program.build();
    let mut files = Vec::new();
    add_pages(&program, &mut files).during("making pages for", directory)?;
    let written = input::replace_within(directory, &files);
    written.or_else(|(name, error)| Ok(Err(error).during("writing", directory.join(name))?))
}

fn add_pages(command: &Command, files: &mut Vec<(OsString, Vec<u8>)>) -> io::Result<()> {
    command.get_subcommands().try_for_each(|each| add_pages(each, files))?;
    let man = Man::new(command.clone())
        .manual(PROGRAM)
        .source(concat!("osier ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    render(&man, command, &mut text)?;
    files.push((man.get_filename().into(), text));
    Ok(())
}

/// The pages of all commands.
fn all_pages() -> impl Iterator<Item = &'static Page> {
    #[cfg(feature = "delta")]
    let deltas = delta_pages::PAGES;
    #[cfg(not(feature = "delta"))]
    let deltas: &[Page] = &[];
    #[cfg(feature = "pull")]
    let pulls = pulls::PAGES;
    #[cfg(not(feature = "pull"))]
    let pulls: &[Page] = &[];
    let always = pages::PAGES.iter().chain(remotes::PAGES).chain(collections::PAGES);
    always.chain(publishing::PAGES).chain(deltas).chain(pulls)
}

fn render(man: &Man, command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let name = name.strip_prefix(PROGRAM).unwrap_or(name).trim_start_matches('-');
    let page = all_pages().find(|page| page.command.replace(' ', "-") == name);
    man.render_title(out)?;
    man.render_name_section(out)?;
    man.render_synopsis_section(out)?;
    let Some(page) = page else { return man.render_options_section(out) };
    out.extend(section("DESCRIPTION", page.details).bytes());
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }
    man.render_options_section(out)?;
    out.extend(after_options(page).bytes());
    Ok(())
}

/// The sections after the options.
fn after_options(page: &Page) -> String {
    let mut text = section("EXIT STATUS", "");
    text.push_str(&entries(exit_statuses(page.command)));
    text.push_str(&section("ENVIRONMENT", ""));
    let environment = match page.environment {
        [] => &[("LC_ALL, LC_CTYPE, LANG", "Not looked at: output is always UTF-8.")],
        variables => variables,
    };
    text.push_str(&entries(environment));
    text.push_str(&section("FILES", ""));
    match page.files {
        [] => text.push_str("Only those that are named as arguments.\n"),
        files => text.push_str(&entries(files)),
    }
    text.push_str(&section("EXAMPLES", ""));
    for (about, lines) in page.examples {
        text.push_str(&format!(".PP\n{}\n.PP\n.RS 4\n.nf\n", escaped(about)));
        for line in lines.lines() {
            text.push_str(&format!("{}\n", escaped(line)));
        }
        text.push_str(".fi\n.RE\n");
    }
    text.push_str(&section("SEE ALSO", ""));
    let own = if page.command.is_empty() { None } else { Some(PROGRAM.to_owned()) };
    let related = page.see_also.iter().map(|command| format!("{PROGRAM}-{command}"));
    let pages = own.into_iter().chain(related).chain(["ostree".to_owned()]);
    let pages: Vec<String> = pages.map(|page| format!("\\fB{}\\fR(1)", escaped(&page))).collect();
    text.push_str(&format!("{}\n", pages.join(", ")));
    text
}

fn exit_statuses(command: &str) -> &'static [(&'static str, &'static str)] {
    match command {
        "compare" => &[
            ("0", "Both are equal."),
            ("1", "They are different."),
            ("2", "Something could not be compared, or the comparison failed."),
        ],
        "compose tree" => &[
            ("0", "The tree is published, or composed with --no-publish, or nothing has changed."),
            ("1", "It failed; what was published before still is."),
            ("77", "Nothing has changed, with --unchanged-exit-77."),
        ],
        "fsck" => &[
            ("0", "Everything is as it should be."),
            ("1", "Something is missing, corrupted or could not be read, or the check failed."),
        ],
        _ => &[
            ("0", "The command did what it should."),
            ("1", "It failed; standard error says why."),
        ],
    }
}

fn section(heading: &str, text: &str) -> String {
    let text = if text.is_empty() { String::new() } else { format!("{}\n", escaped(text)) };
    format!(".SH {heading}\n{text}")
}

fn entries(entries: &[(&str, &str)]) -> String {
    entries
        .iter()
        .map(|(name, text)| format!(".TP\n\\fB{}\\fR\n{}\n", escaped(name), escaped(text)))
        .collect()
}

/// A text with roff's special characters escaped.
fn escaped(text: &str) -> String {
    let text =
        text.replace('\\', "\\e").replace('-', "\\-").replace('~', "\\(ti").replace('^', "\\(ha");
    let text = text.replace('\'', "\\(aq").replace('`', "\\(ga");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::builtin::{self, Action};
    use crate::cli::builtins::BUILTINS;

    #[test]
    fn every_command_has_a_page_and_every_page_a_command() {
        let mut names = vec![String::new()];
        for (name, _) in builtin::commands(BUILTINS, PROGRAM, None) {
            names.push(name.to_owned());
            let group = builtin::find(BUILTINS, PROGRAM, name.as_ref());
            if let Some(group) = group.filter(|group| matches!(group.action, Action::Group(_))) {
                let commands = builtin::commands(BUILTINS, PROGRAM, Some(group)).into_iter();
                names.extend(commands.map(|(command, _)| format!("{name} {command}")));
            }
        }
        let mut pages: Vec<String> = all_pages().map(|page| page.command.to_owned()).collect();
        let related = all_pages().flat_map(|page| page.see_also).map(|name| (*name).to_owned());
        let known: Vec<String> = names.iter().map(|name| name.replace(' ', "-")).collect();
        for name in related {
            assert!(known.contains(&name), "{name}");
        }
        pages.sort();
        names.sort();
        assert_eq!(pages, names);
    }

    #[test]
    fn nothing_is_left_for_roff() {
        assert_eq!(escaped(".x -- '~' \\ ^"), "\\&.x \\-\\- \\(aq\\(ti\\(aq \\e \\(ha");
    }
}
