//! `completions` and `man`, which are made of the same definitions as the help.

mod keyboard;
mod pages;

use std::collections::BTreeSet;
use std::fs;

use crate::support::{Program, osier, osier_path, scratch};

/// osier under its own name, which alone has these commands.
fn own() -> Program {
    Program::other(osier_path(), "osier")
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
fn every_option_of_every_command_is_offered() {
    for command in commands() {
        let answer = own().run(["completions", "fish", "--", "osier", &command, "--"]).success();
        let offered: BTreeSet<String> = answer
            .lines()
            .skip(1)
            .filter_map(|line| line.split(['=', '\t']).next())
            .map(str::to_owned)
            .collect();
        for option in options(&command) {
            assert!(offered.contains(&option), "{command} {option}: {offered:?}");
        }
    }
}

#[test]
fn only_three_shells_have_completions() {
    let failure = |shell| own().run(["completions", shell]).failure();
    assert_eq!(
        failure("csh"),
        "no completions for 'csh', only for bash, fish and zsh; did you mean 'zsh'?"
    );
    assert_eq!(
        failure("powershell"),
        "no completions for 'powershell', only for bash, fish and zsh"
    );
    assert_eq!(own().run(["completions"]).failure(), "SHELL must be specified");
}

/// What fish is offered behind a line; the last word is at the cursor.
fn offered(directory: &std::path::Path, line: &str) -> Vec<String> {
    let words = ["completions", "fish", "--"].into_iter().chain(line.split(' '));
    let answer = own().in_directory(directory).run(words).success();
    answer.lines().skip(1).map(|line| line.split('\t').next().unwrap().to_owned()).collect()
}

#[test]
fn revs_with_a_caret_metadata_keys_and_the_repository_of_a_compose_are_completed() {
    let directory = scratch();
    let path = directory.path();
    fs::create_dir(path.join("tree")).unwrap();
    let run = |call: &str| own().in_directory(path).run(call.split(' ')).success();
    run("init --repo=repo --mode=archive");
    run("commit --repo=repo -b main -s first tree");
    let call = "commit --repo=repo -b main --add-metadata-string=version=2 \
        --add-detached-metadata-string=key=x tree";
    let second = run(call).trim().to_owned();
    run("summary --repo=repo -u");
    fs::write(path.join("c.conf"), "[compose]\nrepo=repo\ntreefile=t\ncachedir=c\nwork=w\n")
        .unwrap();
    fs::write(path.join("broken.conf"), "[compose]\nrepo=\n").unwrap();
    for (line, expected) in [
        ("osier log --repo=repo main^", &["main^"][..]),
        ("osier log --repo=repo main^^", &[]),
        ("osier --repo=repo reset main main^", &["main^"]),
        ("osier --repo=repo diff main^ ma", &["main"]),
        ("osier --repo=repo show --print-metadata-key=v", &["version"]),
        ("osier --repo=repo show main --print-metadata-key ostree.r", &["ostree.ref-binding"]),
        ("osier --repo=repo show main^ --print-metadata-key=v", &[]),
        ("osier --repo=repo show --print-detached-metadata-key=", &["key"]),
        (
            "osier --repo=repo summary --print-metadata-key=ostree.summary.m",
            &["ostree.summary.mode"],
        ),
        ("osier compose publish --config=c.conf ", &[&second]),
        ("osier compose image --config c.conf --commit=", &[&second]),
        ("osier compose publish --config=none.conf ", &[]),
        ("osier compose publish --config=broken.conf ", &[]),
    ] {
        let all = offered(path, line);
        let found: Vec<&str> = all.iter().map(|text| text.rsplit('=').next().unwrap()).collect();
        match expected {
            [] => assert_eq!(found, [""; 0], "{line}"),
            [expected] => assert!(found.contains(expected), "{line}: {found:?}"),
            _ => unreachable!(),
        }
    }
}

#[test]
fn a_question_is_answered_without_a_word_on_standard_error_whatever_is_typed() {
    let directory = scratch();
    for line in [
        "",
        "osier",
        "osier ls ",
        "osier --repo=/none ls x",
        "osier ls none /",
        "'",
        "osier 'a\\",
        "osier cat x y z",
    ] {
        for arguments in
            [&["bash", "--", line, " =:"][..], &["zsh", "--", "osier", line], &["fish", "--", line]]
        {
            let output =
                own().in_directory(directory.path()).run(["completions"].iter().chain(arguments));
            assert_eq!((output.status, output.stderr.as_slice()), (0, &b""[..]), "{output:?}");
        }
    }
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
    let of_groups = [
        ("compose", &["check", "tree", "publish", "image"][..]),
        (
            "remote",
            &[
                "add",
                "add-cookie",
                "delete",
                "delete-cookie",
                "gpg-import",
                "gpg-list-keys",
                "list",
                "list-cookies",
                "refs",
                "show-url",
                "summary",
            ],
        ),
        (
            "static-delta",
            &[
                "apply-offline",
                "delete",
                "generate",
                "indexes",
                "list",
                "reindex",
                "show",
                "verify",
            ],
        ),
    ];
    let of_groups = of_groups
        .iter()
        .flat_map(|(group, commands)| commands.iter().map(move |command| (group, command)));
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
    for command in [
        "completions",
        "man",
        "bench",
        "compare",
        "compose",
        "du",
        "find-object",
        "metalink",
        "push",
        "serve",
    ] {
        let output = osier().run([command, "bash"]);
        assert_eq!(output.failure(), format!("Unknown command '{command}'"));
    }
}
