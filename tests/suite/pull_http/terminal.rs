//! What a pull shows on a terminal, as the real program shows it on one.

use std::thread;
use std::time::Duration;

use super::faults::{faulty, is_file};
use super::*;
use crate::support::gnupg::Home;
use crate::support::{Program, osier_path, program};

/// What a program prints on a terminal, and its status.
fn on_terminal(path: &Path, repo: &Path, arguments: &str) -> Option<(String, i32)> {
    let script = program("script")?;
    let command = format!("{} --repo={} {arguments}", path.display(), repo.display());
    let output = script.with("TERM", "xterm").with("OSTREE_DUMMY_SIGN_ENABLED", "1").run([
        "-qec",
        &command,
        "/dev/null",
    ]);
    Some((String::from_utf8(output.stdout).unwrap(), output.status))
}

/// The states of a line, and what is printed between them.
fn states(printed: &str) -> Vec<String> {
    printed.split(['\x1b']).map(|part| part.trim_end().to_owned()).collect()
}

/// Without times, which differ.
fn timeless(text: &str) -> String {
    let at = text.find(" in ").unwrap_or(text.len());
    let end = text[at..].find(" seconds").map_or(text.len(), |end| at + end);
    format!("{}{}", &text[..at], &text[end..])
}

#[test]
fn a_pull_shows_what_the_real_program_shows() {
    let Some(ostree) = ostree() else { return };
    let Some(home) = Home::with_keys(&["t@example.org"]) else { return };
    let directory = scratch();
    let source = published(directory.path());
    let key = home.fingerprint("t@example.org");
    let gpg = format!("--gpg-homedir={}", home.path().display());
    osier().repo(&source, ["gpg-sign", &gpg, "main", &key]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let keyring = directory.path().join("keyring");
    fs::write(&keyring, home.gpg(&["--export", &key])).unwrap();
    let shown = |path: &Path, name: &str, (arguments, gpg): (&str, &str)| {
        let repo = destination(directory.path(), name, ("bare-user", &server.url));
        let import = keyring.to_str().unwrap();
        osier().repo(&repo, ["remote", "gpg-import", "-k", import, "origin"]).success();
        let set = ["config", "set", "--group=remote \"origin\"", "gpg-verify", gpg];
        osier().repo(&repo, set).success();
        on_terminal(path, &repo, arguments)
    };
    for call in [
        ("pull origin main", "true"),
        ("pull origin main", "false"),
        ("pull origin nope", "true"),
        ("pull --mirror origin main", "true"),
    ] {
        let Some((mine, status)) = shown(Path::new(osier_path()), "mine", call) else { return };
        let (theirs, expected) = shown(&ostree.path, "theirs", call).unwrap();
        assert_eq!(status, expected, "{call:?} {mine} {theirs}");
        let keep = |text: &str| -> Vec<String> {
            // States in between depend on the time. Errors are red and bold, in several ways.
            let passing = ["Receiving ", "Writing objects: ", "Scanning metadata: "];
            let is_passing = |state: &String| passing.iter().any(|begin| state.contains(begin));
            let states = states(text).into_iter().filter(|state| !is_passing(state));
            let plain = states.map(|state| match state.strip_prefix('[') {
                Some(style) => style.split_once('m').unwrap().1.trim().to_owned(),
                None => timeless(&state),
            });
            plain.filter(|state| !state.is_empty()).collect()
        };
        let (mine, theirs) = (keep(&mine), keep(&theirs));
        let count = |states: &[String]| -> Vec<String> {
            // 2026.4 does not count detached metadata that are not there.
            states.iter().map(|state| state.replace(char::is_numeric, "#")).collect()
        };
        assert_eq!(count(&mine), count(&theirs), "{call:?}");
        assert_eq!(
            mine.iter().any(|state| state.contains("Good signature")),
            call.1 == "true" && status == 0
        );
    }
}

#[test]
fn the_line_changes_as_often_as_asked_and_ends_with_the_result() {
    let directory = scratch();
    let source = published(directory.path());
    let server = faulty(&source, |asked, _| {
        if is_file(asked) {
            thread::sleep(Duration::from_millis(150));
        }
        None
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let slow = "pull --max-outstanding-fetcher-requests=2 --update-frequency=50 origin main";
    let Some((printed, status)) = on_terminal(Path::new(osier_path()), &repo, slow) else { return };
    assert_eq!(status, 0, "{printed}");
    let states = states(&printed);
    assert_eq!(states[..2], ["", "7"], "{printed:?}");
    let receiving: Vec<_> =
        states.iter().filter(|s| s.starts_with("8Receiving objects: ")).collect();
    assert!(receiving.len() > 10, "{states:?}");
    let total = format!("/{})", FILES + 5);
    assert!(receiving.last().unwrap().contains(&total), "{receiving:?}");
    // In the first second there is no speed yet.
    assert!(receiving[0].contains(") -/s "), "{receiving:?}");
    let last = receiving.last().unwrap();
    assert!(last.contains("B/s ") || last.contains("bytes/s "), "{last}");
    assert!(receiving.iter().any(|state| state.ends_with(" remaining")), "{receiving:?}");
    let end = states.last().unwrap();
    assert!(end.starts_with("8") && end.contains(" content objects fetched; "), "{states:?}");
    assert!(printed.ends_with("content written\r\n"), "{printed:?}");
    // A pipe gets the result alone.
    let repo = destination(directory.path(), "piped", ("bare-user", &server.url));
    let piped = Program::other(osier_path(), "osier").repo(&repo, ["pull", "origin", "main"]);
    assert!(!piped.success().contains('\x1b'));
}

#[test]
fn the_line_ends_before_what_an_interrupted_pull_says() {
    let directory = scratch();
    let source = published(directory.path());
    let asked_for = directory.path().join("asked");
    let seen = asked_for.clone();
    let server = faulty(&source, move |asked, stream| {
        if !is_file(asked) {
            return None;
        }
        fs::write(&seen, "").unwrap();
        let _ = std::io::Read::read(stream, &mut [0; 10]);
        Some(Then::Close)
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let script = directory.path().join("script");
    let text = format!(
        "{} --repo={} pull origin main & pid=$!\n\
         until [ -e {} ]; do sleep 0.05; done\nkill -TERM $pid\nwait $pid\n",
        osier_path(),
        repo.display(),
        asked_for.display()
    );
    fs::write(&script, text).unwrap();
    let Some(program) = program("script") else { return };
    let command = format!("sh {}", script.display());
    let output = program.with("TERM", "xterm").run(["-qec", &command, "/dev/null"]);
    let printed = String::from_utf8(output.stdout).unwrap();
    let (_, said) = printed.split_once("interrupted: what was written is in ").expect(&printed);
    assert!(said.contains("/tmp/staging-"), "{printed}");
    let before = printed.split("interrupted: ").next().unwrap();
    let line = before.trim_end_matches("warning: ");
    assert!(line.ends_with("\r\n") || line.ends_with('\n'), "{printed:?}");
}
