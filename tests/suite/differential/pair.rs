//! Two directories side by side, one for each program, with equal command lines run in both.

use std::path::{Path, PathBuf};

use crate::support::{
    Output, Program, assert_same_repository, assert_same_text, osier, ostree, scratch,
};

use super::exceptions::{Part, excepted};

/// A scratch directory with `theirs/repo`, written by the real `ostree`, and `ours/repo`, written
/// by osier. Inputs lie beside the two; commands run inside, so that all paths are the same for
/// both.
pub struct Pair {
    directory: tempfile::TempDir,
    theirs: Program,
    ours: Program,
}

impl Pair {
    /// Nothing where there is no real `ostree`.
    #[track_caller]
    pub fn new() -> Option<Self> {
        let ostree = ostree()?;
        let directory = scratch();
        let place = |program: Program, name: &str| {
            let own = directory.path().join(name);
            std::fs::create_dir_all(own.join("repo")).unwrap();
            // Nothing of the machine's own OSTree deployment, if it has one.
            program.in_directory(own).with("OSTREE_SYSROOT", "/nonexistent")
        };
        let (theirs, ours) = (place(ostree, "theirs"), place(osier(), "ours"));
        Some(Self { directory, theirs, ours })
    }

    /// A path beside the two.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Runs the command with `--repo=repo` in both directories and compares all that can be seen of
    /// it. Returns what osier printed.
    #[track_caller]
    pub fn both(&self, arguments: &[&str]) -> Output {
        let repo = Path::new("repo");
        let (theirs, ours) = (self.theirs.repo(repo, arguments), self.ours.repo(repo, arguments));
        compare(&arguments.join(" "), &theirs, &ours);
        ours
    }

    /// The same, without comparing the messages.
    #[track_caller]
    pub fn both_without_messages(&self, arguments: &[&str]) {
        let repo = Path::new("repo");
        let (theirs, ours) = (self.theirs.repo(repo, arguments), self.ours.repo(repo, arguments));
        compare_results(&arguments.join(" "), &theirs, &ours);
    }

    /// One line of a script. `sh: TEXT` is run by the shell in both directories, with the real
    /// `ostree` on its path; `raw: ARGUMENTS` has no `--repo` in front, `NAME=VALUE ` sets a
    /// variable for the command; everything else is the arguments, split at blanks, `'...'` around
    /// those that hold some.
    #[track_caller]
    pub fn line(&self, line: &str) {
        if let Some(text) = line.strip_prefix("sh: ") {
            for place in ["theirs", "ours"] {
                let shell = Program::other("sh", "sh").in_directory(self.path(place));
                shell.with("OSTREE", &self.theirs.path).run(["-ec", text]).success();
            }
            return;
        }
        let words = words(line);
        let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (mut theirs, mut ours) = (self.theirs.clone(), self.ours.clone());
        while let Some((name, value)) =
            words[0].split_once('=').filter(|(name, _)| !name.starts_with('-'))
        {
            theirs = theirs.with(name, value);
            ours = ours.with(name, value);
            words.remove(0);
        }
        let (theirs, ours) = if words[0] == "raw:" {
            (theirs.run(&words[1..]), ours.run(&words[1..]))
        } else {
            let repo = Path::new("repo");
            (theirs.repo(repo, &words), ours.repo(repo, &words))
        };
        compare(line, &theirs, &ours);
    }

    /// Compares what both programs have written.
    #[track_caller]
    pub fn assert_same_repositories(&self) {
        assert_same_repository(&self.path("theirs/repo"), &self.path("ours/repo"));
    }

    /// Each program checks the other's repository, and both find the same.
    #[track_caller]
    pub fn assert_each_checks_the_other(&self) {
        let arguments = ["fsck"];
        let theirs = self.theirs.repo(&self.path("ours/repo"), arguments);
        let ours = self.ours.repo(&self.path("theirs/repo"), arguments);
        compare("fsck of the other's repository", &theirs, &ours);
        assert_eq!(ours.status, 0, "{ours:?}");
    }
}

#[track_caller]
fn compare(command: &str, theirs: &Output, ours: &Output) {
    compare_results(command, theirs, ours);
    if !excepted(command, Part::Messages) {
        let (theirs, ours) = (messages(&theirs.stderr), messages(&ours.stderr));
        let sides = (("ostree", theirs.as_bytes()), ("osier", ours.as_bytes()));
        assert_same_text(&format!("stderr of `{command}`"), sides.0, sides.1);
    }
}

#[track_caller]
fn compare_results(command: &str, theirs: &Output, ours: &Output) {
    ours.assert_no_panic();
    assert_eq!(theirs.status, ours.status, "status of `{command}`\n{theirs:?}\n{ours:?}");
    if !excepted(command, Part::Output) {
        let (mut theirs, mut ours) = (without_times(theirs), without_times(ours));
        if excepted(command, Part::Order) {
            (theirs, ours) = (sorted_lines(&theirs), sorted_lines(&ours));
        }
        assert_same_text(&format!("stdout of `{command}`"), ("ostree", &theirs), ("osier", &ours));
    }
}

/// Standard error without what must differ: the directory of either side, and the help that
/// precedes a usage error (it lists options that came after 2022.7).
fn messages(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr)
        .replace("/theirs/", "/SIDE/")
        .replace("/ours/", "/SIDE/")
        .replace("/SIDE/../", "/");
    let usage = text.starts_with("Usage:");
    text.split_inclusive('\n').filter(|line| !usage || line.starts_with("error: ")).collect()
}

/// What precedes the time of a summary that is made anew, and what follows it, as `--view` and
/// `--raw` print it: the two programs may run in two seconds.
const LAST_MODIFIED: [(&[u8], u8); 2] = [
    (b"Last-Modified (ostree.summary.last-modified): ", b'\n'),
    (b"'ostree.summary.last-modified': <uint64 ", b'>'),
];

/// Standard output without what depends on the clock. fsck prints how far it has come once a
/// second: only the first and the last such line are dependable, and none of them when it stops at
/// damage, for osier looks at many objects at once.
fn without_times(output: &Output) -> Vec<u8> {
    let is_left_out = |line: &[u8]| {
        let is_end = line.starts_with(b"fsck objects (1/") || line.ends_with(b" 100%\n");
        line.starts_with(b"fsck objects (") && (output.status != 0 || !is_end)
    };
    let lines =
        output.stdout.split_inclusive(|byte| *byte == b'\n').filter(|line| !is_left_out(line));
    let mut text: Vec<u8> = lines.flatten().copied().collect();
    for (before, end) in LAST_MODIFIED {
        if let Some(found) = text.windows(before.len()).position(|window| window == before) {
            let start = found + before.len();
            let length = text[start..].iter().position(|byte| *byte == end).unwrap_or(0);
            text.drain(start..start + length);
        }
    }
    text
}

fn sorted_lines(text: &[u8]) -> Vec<u8> {
    let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_unstable();
    lines.concat()
}

fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn script_lines_are_split_like_the_shell_would() {
    assert_eq!(words("commit -s 'a b' --x='c d'e"), ["commit", "-s", "a b", "--x=c de"]);
}
