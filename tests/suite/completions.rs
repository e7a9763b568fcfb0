//! `completions` and `man`, which are made of the same definitions as the help.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Program, osier, scratch};

/// osier under its own name, which alone has these commands.
fn own() -> Program {
    Program::other(env!("CARGO_BIN_EXE_osier"), "osier")
}

fn commands() -> Vec<String> {
    let help = own().run(["--help"]).success();
    let list = help.split("Builtin Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

/// The long options in a command's help.
fn options(command: &str) -> BTreeSet<String> {
    let help = own().run([command, "--help"]).success();
    let lines = help.lines().filter(|line| line.starts_with("  -"));
    lines
        .filter_map(|line| line.split("--").nth(1)?.split(['=', ' ', '[']).next())
        .map(|name| format!("--{name}"))
        .collect()
}

#[test]
fn bash_completions_know_every_option_and_bash_can_read_them() {
    let script = own().run(["completions", "bash"]).success();
    for command in commands() {
        let case = format!("        osier__subcmd__{})\n", command.replace('-', "__subcmd__"));
        let (_, rest) = script.split_once(&case).unwrap_or_else(|| panic!("no {case} in {script}"));
        let offered: BTreeSet<_> = rest.lines().next().unwrap().split([' ', '"']).collect();
        for option in options(&command) {
            assert!(offered.contains(option.as_str()), "{command} {option}: {offered:?}");
        }
    }
    let Some(bash) = crate::support::program("bash") else { return };
    let directory = scratch();
    let path = directory.path().join("osier.bash");
    fs::write(&path, &script).unwrap();
    bash.run(["-n".as_ref(), path.as_os_str()]).success();
    let ask =
        "source \"$0\"; COMP_WORDS=(osier rev-p); COMP_CWORD=1; _osier osier rev-p osier; echo \"${COMPREPLY[@]}\"";
    let answer = bash.run(["-c".as_ref(), ask.as_ref(), path.as_os_str()]).line();
    assert_eq!(answer, "rev-parse");
}

#[test]
fn other_shells_have_completions_of_their_own() {
    let fish = own().run(["completions", "fish"]).success();
    assert!(fish.starts_with("# Print an optspec") && fish.contains("-l nul-filenames-only"), "{fish}");
    let zsh = own().run(["completions", "zsh"]).success();
    assert!(zsh.starts_with("#compdef osier\n") && zsh.contains("--nul-filenames-only[Print only filenames"), "{zsh}");
    assert_eq!(own().run(["completions", "csh"]).failure(), "no completions for 'csh', only for bash, fish and zsh");
    assert_eq!(own().run(["completions"]).failure(), "SHELL must be specified");
}

#[test]
fn every_command_has_a_man_page_with_every_option() {
    let directory = scratch();
    let pages = directory.path().join("share/man1");
    own().run(["man".as_ref(), pages.as_os_str()]).success();
    let plain = |name: &str| fs::read_to_string(pages.join(name)).unwrap().replace("\\-", "-");
    let program = plain("osier.1");
    for command in commands() {
        assert!(program.contains(&format!("osier-{command}(1)")), "{command}: {program}");
        let page = plain(&format!("osier-{command}.1"));
        for option in options(&command) {
            let entry = format!("\\fB{option}\\fR");
            assert!(page.contains(&entry), "{command} {option}: {page}");
        }
    }
    let of_groups =
        [("compose", &["check", "tree", "publish", "image"][..]), ("remote", &["add", "delete", "list", "show-url"])];
    let of_groups = of_groups.iter().flat_map(|(group, commands)| commands.iter().map(move |command| (group, command)));
    for (group, command) in of_groups.clone() {
        let page = plain(&format!("osier-{group}-{command}.1"));
        assert!(page.contains(&format!("\\fBosier {group} {command}\\fR [")), "{page}");
    }
    assert_eq!(fs::read_dir(&pages).unwrap().count(), commands().len() + of_groups.count() + 1);
    let page = plain("osier-ls.1");
    assert!(page.contains("\nosier-ls - List file paths\n"), "{page}");
    assert!(page.contains("\\fBosier ls\\fR [OPTION…] COMMIT [PATH...]\n"), "{page}");
    assert!(!page.contains("ARGUMENTS"), "{page}");
    assert_eq!(own().run(["man"]).failure(), "DIR must be specified");
}

#[test]
fn the_name_ostree_has_neither_command() {
    for command in ["completions", "man", "bench", "compare", "compose"] {
        let output = osier().run([command, "bash"]);
        assert_eq!(output.failure(), format!("Unknown command '{command}'"));
    }
}
