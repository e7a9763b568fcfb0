//! Decides the result of a run of rpm-ostree from exit status and files together, because each
//! alone can be misleading.
//!
//! | exit | `changed` | `commitid` | meaning |
//! | --- | --- | --- | --- |
//! | 0 | yes | 64 digits | a new commit; `compose.json` names the same |
//! | 0 | no | no | unchanged, if the log says so |
//! | 0 | one of them | | a broken run |
//! | else | | | failed |

use std::path::Path;

use serde_json::Value;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::process::log::last_lines;
use crate::process::{Ending, describe};

use super::regular::{self, LONGEST_JSON, Links};

/// The file with the commit id: 64 hexadecimal digits, without a line feed.
pub(crate) const COMMIT_ID: &str = "commitid";
/// The file that shows that a commit was made.
pub(crate) const CHANGED: &str = "changed";
/// rpm-ostree's description of the commit.
pub(crate) const COMPOSE_JSON: &str = "compose.json";
/// The file with the packages and their checksums.
pub(crate) const LOCK_JSON: &str = "lock.json";

/// The largest `commitid` that is read, in bytes.
const LONGEST_ID: u64 = 128;

/// The result of a run.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Decision {
    /// There is a new commit.
    New {
        /// Its checksum.
        commit: Checksum,
        /// rpm-ostree's description of it.
        compose: Value,
    },
    /// There is nothing new: rpm-ostree reported that it found no changes.
    Unchanged {
        /// Its hash of all inputs of a tree, which the previous commit has in its metadata.
        input_hash: Option<String>,
    },
}

/// rpm-ostree's message when it makes no commit because nothing changed. Without files it is the
/// only sign: a run that printed its help, or only the transaction, also ends with status 0 and
/// without files.
const NO_CHANGES: &str = "No apparent changes since previous commit";
/// The message before that.
const INPUT_HASH: &str = "Input state hash: ";

/// Decides by the exit status and the files in the directory of the run.
///
/// # Errors
/// When the run failed, with the messages from its log, or when exit status and files contradict
/// each other.
pub(crate) fn decide(run: &Path, ending: Ending, log: &Path) -> Result<Decision> {
    if ending != Ending::Exit(0) {
        return Err(Error::failed(failure(ending, log)?));
    }
    let is_there = |name: &str| regular::is_there(&run.join(name));
    let broken = |what: &str| {
        let run = run.display();
        Err(Error::failed(format!(
            "rpm-ostree ended with exit status 0, but {what} in {run}: a broken run"
        )))
    };
    match (is_there(CHANGED)?, is_there(COMMIT_ID)?, is_there(COMPOSE_JSON)?) {
        (false, false, false) => unchanged(log),
        (true, false, _) => broken("there is `changed` and no `commitid`"),
        (false, true, _) => broken("there is `commitid` and no `changed`"),
        (false, false, true) => {
            broken("there is `compose.json` and neither `changed` nor `commitid`")
        }
        (true, true, false) => broken("there is `commitid` and no `compose.json`"),
        (true, true, true) => {
            let commit = read_commit_id(&run.join(COMMIT_ID))?;
            let compose = read_json(&run.join(COMPOSE_JSON), Links::Refuse)?;
            let named = compose["ostree-commit"].as_str().unwrap_or("nothing");
            if named != commit.to_hex() {
                return broken(&format!(
                    "`commitid` says {commit} and `compose.json` says {named}"
                ));
            }
            Ok(Decision::New { commit, compose })
        }
    }
}

/// Looks in the log for proof that nothing has changed.
fn unchanged(log: &Path) -> Result<Decision> {
    let lines = last_lines(log, usize::MAX)?;
    if !lines.iter().any(|line| line.starts_with(NO_CHANGES)) {
        return Err(Error::failed(
            "rpm-ostree ended with exit status 0, but it made no commit and did not say that \
             nothing has changed",
        ));
    }
    let input_hash = lines.iter().rev().find_map(|line| line.strip_prefix(INPUT_HASH));
    Ok(Decision::Unchanged { input_hash: input_hash.map(|hash| hash.trim().to_owned()) })
}

fn read_commit_id(path: &Path) -> Result<Checksum> {
    let text = regular::read(path, Links::Refuse, LONGEST_ID)?;
    let commit = std::str::from_utf8(&text).ok().and_then(|text| Checksum::from_hex(text).ok());
    commit.ok_or_else(|| {
        Error::failed(format!("{} does not hold 64 hexadecimal digits", path.display()))
    })
}

/// Reads a JSON document that a program wrote.
///
/// # Errors
/// When it cannot be read, is not a regular file, is larger than 8 MiB or is not JSON.
pub(crate) fn read_json(path: &Path, links: Links) -> Result<Value> {
    let text = regular::read(path, links, LONGEST_JSON)?;
    serde_json::from_slice(&text)
        .map_err(|error| Error::failed(format!("{}: {error}", path.display())))
}

/// The lines of a log about a failure.
struct LogErrors {
    /// The last `error:` with the indented lines that belong to it.
    error: Option<String>,
    /// Errors of other programs close to it: often the cause.
    near: Vec<String>,
}

/// How many lines before the `error:` are searched for the cause of a failure.
const NEAR: usize = 10;
/// How many of them are quoted.
const MOST_QUOTED: usize = 3;

impl LogErrors {
    /// Earlier output of rpm-ostree may follow its `error:`, because standard output is only
    /// flushed at the end.
    fn read(log: &Path) -> Result<Self> {
        let lines = last_lines(log, 200)?;
        let Some(start) = lines.iter().rposition(|line| line.starts_with("error:")) else {
            return Ok(Self {
                error: None,
                near: complaints(&lines[lines.len().saturating_sub(NEAR)..]),
            });
        };
        let more = lines[start + 1..].iter().take_while(|line| line.starts_with(' '));
        let end = start + 1 + more.clone().count();
        let words = [lines[start].trim_end()].into_iter().chain(more.map(|line| line.trim()));
        let mut near = complaints(&lines[start.saturating_sub(NEAR)..start]);
        near.extend(complaints(&lines[end..lines.len().min(end + NEAR)]));
        near.truncate(MOST_QUOTED);
        Ok(Self { error: Some(words.collect::<Vec<_>>().join(" ")), near })
    }

    fn lines(&self) -> impl Iterator<Item = &String> {
        self.error.iter().chain(&self.near)
    }

    fn has(&self, words: &[&str]) -> bool {
        self.lines().any(|line| words.iter().any(|words| line.contains(words)))
    }
}

/// The last lines in which a program reports an error; those of rpm-ostree itself are quoted
/// anyway.
fn complaints(lines: &[String]) -> Vec<String> {
    let words = [
        "bwrap: ",
        "no such file",
        "not found",
        "permission denied",
        "can't ",
        "cannot ",
        "failed",
        "error",
    ];
    let complains = |line: &&String| {
        let lower = line.to_lowercase();
        !line.starts_with("error:") && words.iter().any(|words| lower.contains(words))
    };
    let found: Vec<&String> = lines.iter().filter(complains).collect();
    let last = &found[found.len().saturating_sub(MOST_QUOTED)..];
    last.iter().map(|line| line.trim().to_owned()).collect()
}

/// Why rpm-ostree failed: its own `error:`, or how it ended, and the related lines of the log.
fn failure(ending: Ending, log: &Path) -> Result<String> {
    let Ending::Exit(_) = ending else {
        return Ok(format!("rpm-ostree failed: {}", describe(ending)));
    };
    let log_errors = LogErrors::read(log)?;
    let mut text = format!(
        "rpm-ostree failed: {}",
        log_errors.error.clone().unwrap_or_else(|| describe(ending))
    );
    if let Some(hint) = hint(&log_errors) {
        text.push_str(&format!(" ({hint})"));
    }
    if !log_errors.near.is_empty() {
        let quoted: Vec<String> = log_errors.near.iter().map(|line| format!("`{line}`")).collect();
        text.push_str(&format!("; near it in the log: {}", quoted.join(", ")));
    }
    Ok(text)
}

/// The hint for when rpm-ostree finds no SELinux policy.
pub(crate) const SELINUX_REMEDY: &str = "install an SELinux policy where rpm-ostree runs (Fedora: \
    selinux-policy-targeted, Debian: selinux-policy-default), or set \"selinux\": false in the \
    treefile for a system without SELinux";

/// A hint about a message of rpm-ostree that does not explain itself.
const HINTS: [(&str, &str); 11] = [
    (
        "bwrap test failed",
        "its sandbox is not allowed here; a container needs the privileges for namespaces and \
         mounts",
    ),
    ("Unable to load SELinux policy from", SELINUX_REMEDY),
    ("SELinux enabled, but no policy found", SELINUX_REMEDY),
    (
        "rofiles-fuse",
        "it needs /dev/fuse and the right to mount with it; a container must be given both",
    ),
    (
        "/dev/fuse",
        "it needs /dev/fuse and the right to mount with it; a container must be given both",
    ),
    (
        "failed to parse pid:",
        "its cache was damaged by a crash of the machine; delete the cachedir",
    ),
    (
        "Locking repo shared failed",
        "another process holds the repository exclusively, perhaps a prune",
    ),
    (
        "No gpg key found with ID",
        "leave gpg-key out of the treefile: a commit is signed after it is verified",
    ),
    ("fchown: Operation not permitted", "it must run as root"),
    (
        "Child process killed by signal 1",
        "so it calls a program of its sandbox that ended with exit status 1",
    ),
    ("Cannot download repomd.xml", "a package repository cannot be reached"),
];

fn hint(log_errors: &LogErrors) -> Option<&'static str> {
    // Signal 1 is not signal 11.
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_digit());
    let holds =
        |line: &str, words: &str| line.split_once(words).is_some_and(|(_, rest)| !goes_on(rest));
    HINTS
        .iter()
        .find(|(words, _)| log_errors.lines().any(|line| holds(line, words)))
        .map(|(_, hint)| *hint)
}

/// Whether another attempt may succeed: the network failed.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn is_worth_another_attempt(ending: Ending, log: &Path) -> Result<bool> {
    let network = [
        "Cannot download repomd.xml",
        "Cannot download Packages/",
        "Curl error",
        "Could not resolve host",
    ];
    Ok(matches!(ending, Ending::Exit(status) if status != 0) && LogErrors::read(log)?.has(&network))
}

/// Whether the log says that a file system is full.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn is_out_of_space(log: &Path) -> Result<bool> {
    let words = ["No space left on device", "min-free-space", "Disk quota exceeded"];
    Ok(last_lines(log, 200)?.iter().any(|line| words.iter().any(|words| line.contains(words))))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn decided(files: &[(&str, &str)], ending: Ending) -> Result<Decision, String> {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let path = directory.path().display().to_string();
        let decision = decide(directory.path(), ending, &directory.path().join("log"));
        decision.map_err(|error| error.to_string().replace(&path, "RUN"))
    }

    #[test]
    fn a_new_commit_needs_all_three_files_to_agree() {
        let json = format!("{{\"ostree-commit\":\"{ID}\",\"ostree-version\":\"22\"}}");
        let decision =
            decided(&[("commitid", ID), ("changed", ""), ("compose.json", &json)], Ending::Exit(0))
                .unwrap();
        let Decision::New { commit, compose } = decision else { panic!("{decision:?}") };
        assert_eq!(
            (commit.to_hex().as_str(), compose["ostree-version"].as_str()),
            (ID, Some("22"))
        );
    }

    #[test]
    fn nothing_counts_as_unchanged_unless_rpm_ostree_says_so() {
        let log = "Input state hash: 77aa\nNo apparent changes since previous commit; use \
            --force-nocache to override\n";
        let unchanged =
            |hash: Option<&str>| Ok(Decision::Unchanged { input_hash: hash.map(str::to_owned) });
        assert_eq!(
            decided(&[("lock.json", "{}"), ("log", log)], Ending::Exit(0)),
            unchanged(Some("77aa"))
        );
        let log = format!("{}\n", log.lines().nth(1).unwrap());
        assert_eq!(decided(&[("log", &log)], Ending::Exit(0)), unchanged(None));
        let expected = "rpm-ostree ended with exit status 0, but it made no commit and did not say \
            that nothing has changed";
        for log in [
            "",
            "Usage:\n  rpm-ostree compose tree\n",
            "Input state hash: 77aa\n",
            "no. No apparent changes since\n",
        ] {
            assert_eq!(
                decided(&[("lock.json", "{}"), ("log", log)], Ending::Exit(0)).unwrap_err(),
                expected,
                "{log}"
            );
        }
        assert_eq!(decided(&[], Ending::Exit(0)).unwrap_err(), expected);
    }

    #[test]
    fn what_does_not_belong_together_is_a_broken_run() {
        let other = format!("{{\"ostree-commit\":\"{}\"}}", ID.replace('0', "f"));
        let line_feed = format!("{ID}\n");
        let rows: &[(&[(&str, &str)], &str)] = &[
            (&[("changed", "")], "but there is `changed` and no `commitid` in RUN"),
            (&[("commitid", ID)], "but there is `commitid` and no `changed` in RUN"),
            (
                &[("compose.json", "{}")],
                "but there is `compose.json` and neither `changed` nor `commitid` in RUN",
            ),
            (
                &[("commitid", ID), ("changed", "")],
                "but there is `commitid` and no `compose.json` in RUN",
            ),
            (
                &[("commitid", ID), ("changed", ""), ("compose.json", &other)],
                "but `commitid` says \
                 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef and \
                 `compose.json` says \
                 f123456789abcdeff123456789abcdeff123456789abcdeff123456789abcdef in RUN",
            ),
            (
                &[("commitid", ID), ("changed", ""), ("compose.json", "[]")],
                "`compose.json` says nothing in RUN",
            ),
            (
                &[("commitid", ID), ("changed", ""), ("compose.json", "{")],
                "RUN/compose.json: EOF while parsing",
            ),
            (
                &[("commitid", &line_feed), ("changed", ""), ("compose.json", "{}")],
                "RUN/commitid does not hold 64 hexadecimal digits",
            ),
            (
                &[("commitid", ""), ("changed", ""), ("compose.json", "{}")],
                "RUN/commitid does not hold 64 hexadecimal digits",
            ),
        ];
        for (files, expected) in rows {
            let message = decided(files, Ending::Exit(0)).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_failed_run_is_told_in_its_own_words_whatever_files_it_left() {
        let log = "Resolving...\nerror: one\nerror: Could not depsolve transaction; 1 problem \
            detected:\n Problem: x\nInput state hash: y\n";
        let message = decided(&[("commitid", ID), ("changed", ""), ("log", log)], Ending::Exit(1))
            .unwrap_err();
        let expected = "rpm-ostree failed: error: Could not depsolve transaction; 1 problem \
            detected: Problem: x";
        assert_eq!(message, expected);
        let log = "openssh-server.post: bwrap: Can't find source path /x: No such file or \
            directory\nDone\nerror: Running %post for openssh-server: bwrap(/bin/sh): Child \
            process killed by signal 1\nInput state hash: y\n";
        let message = decided(&[("log", log)], Ending::Exit(1)).unwrap_err();
        let expected = "rpm-ostree failed: error: Running %post for openssh-server: \
            bwrap(/bin/sh): Child process killed by signal 1 (so it calls a program of its sandbox \
            that ended with exit status 1); near it in the log: `openssh-server.post: bwrap: Can't \
            find source path /x: No such file or directory`";
        assert_eq!(message, expected);
        let log = "error: bwrap(rpmdb): Child process killed by signal 11\nbwrap: execvp rpmdb: No \
            such file or directory\n";
        let message = decided(&[("log", log)], Ending::Exit(1)).unwrap_err();
        let expected = "rpm-ostree failed: error: bwrap(rpmdb): Child process killed by signal 11; \
            near it in the log: `bwrap: execvp rpmdb: No such file or directory`";
        assert_eq!(message, expected);
        // A mirror that failed much earlier is not the cause.
        let log = format!(
            "warning: Cannot download repomd.xml\n{}error: Packages not found: x\n",
            "line\n".repeat(20)
        );
        assert_eq!(
            decided(&[("log", &log)], Ending::Exit(1)).unwrap_err(),
            "rpm-ostree failed: error: Packages not found: x"
        );
        let message = decided(&[("log", "error: old\n")], Ending::Signal(9)).unwrap_err();
        assert_eq!(message, "rpm-ostree failed: killed by signal 9");
        let message =
            decided(&[("log", "error: bwrap test failed, see x\n")], Ending::Exit(1)).unwrap_err();
        assert!(message.ends_with("needs the privileges for namespaces and mounts)"), "{message}");
        assert_eq!(decided(&[], Ending::Exit(1)).unwrap_err(), "rpm-ostree failed: exit status 1");
    }

    #[test]
    fn only_the_network_is_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        fs::write(
            &log,
            "error: Updating rpm-md repo 'base': cannot update repo 'base': Cannot download \
             repomd.xml: x\n",
        )
        .unwrap();
        assert!(is_worth_another_attempt(Ending::Exit(1), &log).unwrap());
        assert!(!is_worth_another_attempt(Ending::Exit(0), &log).unwrap());
        assert!(!is_worth_another_attempt(Ending::Signal(15), &log).unwrap());
        assert!(!is_out_of_space(&log).unwrap());
        fs::write(&log, "error: Packages not found: x\nerror: write: No space left on device\n")
            .unwrap();
        assert!(!is_worth_another_attempt(Ending::Exit(1), &log).unwrap());
        assert!(is_out_of_space(&log).unwrap());
    }
}
