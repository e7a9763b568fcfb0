//! What is shown while osier works, and what a signal does then.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use osier::checkout::{CheckoutOptions, checkout};
use osier::commit::{CommitOptions, Description, Source, commit};
use osier::progress::{Event, Progress};
use osier::pull::{PullOptions, Want, pull_local};
use osier::refspec::Refspec;
use osier::repo::{Repo, RepoMode};
use osier::source::{Modifier, SkipList};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Program, has_programs, osier_path, scratch};

/// Nothing takes longer unless it hangs.
const PATIENCE: Duration = Duration::from_secs(60);

/// Wants totals, and lets no step pass before there is one.
#[derive(Default)]
struct Recorder {
    totals: Mutex<Vec<(u64, Option<u64>)>>,
    done: Mutex<(u64, u64)>,
}

impl Progress for Recorder {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Total { steps, bytes } => self.totals.lock().unwrap().push((steps, bytes)),
            Event::Advanced { steps, bytes } => {
                let started = Instant::now();
                while self.totals.lock().unwrap().is_empty() {
                    assert!(started.elapsed() < PATIENCE, "no total while there is work");
                    thread::sleep(Duration::from_millis(1));
                }
                let mut done = self.done.lock().unwrap();
                *done = (done.0 + steps, done.1 + bytes);
            }
            _ => {}
        }
    }

    fn wants_totals(&self) -> bool {
        true
    }
}

impl Recorder {
    /// The only total, and what was done in the end.
    #[track_caller]
    fn seen(self) -> ((u64, Option<u64>), (u64, u64)) {
        let totals = self.totals.into_inner().unwrap();
        assert_eq!(totals.len(), 1, "{totals:?}");
        (totals[0], self.done.into_inner().unwrap())
    }
}

/// Four files, one of them empty, a link and three directories.
fn small_tree(path: &Path) {
    fs::create_dir_all(path.join("directory/below")).unwrap();
    for (name, size) in [("a", 10), ("directory/b", 200), ("directory/below/c", 3000), ("empty", 0)]
    {
        fs::write(path.join(name), vec![b'x'; size]).unwrap();
    }
    std::os::unix::fs::symlink("a", path.join("link")).unwrap();
}

fn options(tree: &Path, skip_list: Option<&str>) -> CommitOptions {
    CommitOptions {
        branch: Some(Refspec::parse("main").unwrap()),
        sources: vec![Source::Directory(tree.to_owned())],
        modifier: Modifier { skip_list: skip_list.map(SkipList::parse), ..Modifier::default() },
        ..CommitOptions::new(Description::new(1))
    }
}

#[test]
fn a_commit_a_checkout_and_a_pull_know_their_totals_before_they_are_done() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    small_tree(&tree);
    let repo = Repo::create(&directory.path().join("repo"), RepoMode::Archive, None).unwrap();
    for (skipped, total) in [(None, (5, 3210)), (Some("/directory/below\n/link\n"), (3, 210))] {
        let recorder = Recorder::default();
        commit(&repo, &options(&tree, skipped), &recorder).unwrap();
        assert_eq!(recorder.seen(), ((total.0, Some(total.1)), total), "{skipped:?}");
    }
    let commit = commit(&repo, &options(&tree, None), &osier::progress::Silent).unwrap().commit;

    for (number, skipped, total) in [(0, None, 5), (1, Some("/directory/below/\n/link\n"), 3)] {
        let recorder = Recorder::default();
        let skip_list = skipped.map(SkipList::parse);
        let options = CheckoutOptions { user_mode: true, skip_list, ..CheckoutOptions::default() };
        checkout(
            &repo,
            &commit,
            &directory.path().join(format!("out-{number}")),
            &options,
            &recorder,
        )
        .unwrap();
        let ((steps, bytes), done) = recorder.seen();
        assert_eq!((steps, bytes, done.0), (total, None, total), "{skipped:?}");
    }

    let other = Repo::create(&directory.path().join("other"), RepoMode::Archive, None).unwrap();
    // The second time all is there already.
    for _ in 0..2 {
        let recorder = Recorder::default();
        let options =
            PullOptions { wanted: vec![Want::parse("main").unwrap()], ..PullOptions::default() };
        pull_local(&other, &repo, &options, &recorder).unwrap();
        let ((steps, bytes), done) = recorder.seen();
        assert_eq!((steps, bytes), (done.0, None));
    }
}

#[test]
fn nothing_is_counted_ahead_for_those_who_do_not_ask() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    small_tree(&tree);
    let repo = Repo::create(&directory.path().join("repo"), RepoMode::Archive, None).unwrap();
    let totals = Mutex::new(0);
    let slow = |event: Event<'_>| match event {
        Event::Total { .. } => *totals.lock().unwrap() += 1,
        // Longer than the time after which would be counted.
        Event::Advanced { .. } => thread::sleep(Duration::from_millis(150)),
        _ => {}
    };
    commit(&repo, &options(&tree, None), &slow).unwrap();
    assert_eq!(*totals.lock().unwrap(), 0);
}

/// A running osier that is given a signal.
struct Running {
    child: Child,
    stderr: BufReader<ChildStderr>,
    read: String,
}

impl Running {
    fn start(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr, read: String::new() }
    }

    fn osier<A: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
        // The tests may have been started in the background of a shell, which ignores signals
        // there.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP,INT,TERM", osier_path()]);
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Reads standard error up to a line that contains that.
    fn wait_for_line(&mut self, text: &str) {
        loop {
            let before = self.read.len();
            assert_ne!(
                self.stderr.read_line(&mut self.read).unwrap(),
                0,
                "no {text}: {}",
                self.read
            );
            if self.read[before..].contains(text) {
                return;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// The signal that ended it, and all of standard error.
    fn end(mut self) -> (Option<i32>, String) {
        self.stderr.read_to_string(&mut self.read).unwrap();
        (self.child.wait().unwrap().signal(), self.read)
    }
}

#[track_caller]
fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < PATIENCE, "not in time: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn init(directory: &Path, mode: &str) -> PathBuf {
    let repo = directory.join("repo");
    Repo::create(&repo, RepoMode::parse(mode).unwrap(), None).unwrap();
    repo
}

/// A commit of a tar whose beginning came through a pipe; it waits for the rest.
fn waiting_commit(repo: &Path, mut command: Command) -> (Running, std::process::ChildStdin) {
    command.stdin(Stdio::piped());
    let mut running = Running::start(command);
    let mut header = tar::Header::new_gnu();
    header.set_path("file").unwrap();
    header.set_size(5);
    header.set_mode(0o644);
    header.set_cksum();
    let mut stdin = running.child.stdin.take().unwrap();
    stdin.write_all(header.as_bytes()).unwrap();
    let descriptors = PathBuf::from(format!("/proc/{}/fd", running.child.id()));
    let is_staging = |path: PathBuf| path.starts_with(repo.join("tmp")) && path.ends_with("osier");
    wait_until("a staging directory", || {
        let mut open = fs::read_dir(&descriptors).unwrap().flatten();
        open.any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(is_staging))
    });
    (running, stdin)
}

fn commit_of_a_pipe(repo: &Path) -> [String; 6] {
    let repo = format!("--repo={}", repo.display());
    [&repo, "commit", "--branch=main", "--timestamp=@1", "--tree=tar=-", "--tar-autocreate-parents"]
        .map(str::to_owned)
}

#[test]
fn an_interrupted_commit_names_what_it_leaves_and_dies_of_the_signal() {
    let directory = scratch();
    let repo = init(directory.path(), "archive");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (running, stdin) = waiting_commit(&repo, Running::osier(commit_of_a_pipe(&repo)));
        running.signal(signal);
        let (ended, stderr) = running.end();
        drop(stdin);
        assert_eq!(ended, Some(signal.as_raw()), "{stderr}");
        let left: Vec<_> =
            fs::read_dir(repo.join("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect();
        let staging = left.iter().find(|path| path.is_dir() && !path.ends_with("cache")).unwrap();
        let advice = "the next commit or pull takes it over";
        assert_eq!(
            stderr,
            format!("interrupted: what was written is in {}; {advice}\n", staging.display())
        );
    }
}

#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let directory = scratch();
    let repo = init(directory.path(), "archive");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT HUP; exec \"$@\"", "sh", osier_path()]);
    command.args(commit_of_a_pipe(&repo));
    let (running, mut stdin) = waiting_commit(&repo, command);
    running.signal(Signal::INT);
    running.signal(Signal::HUP);
    thread::sleep(Duration::from_millis(50));
    let mut rest = vec![0; 512 * 3];
    rest[..5].copy_from_slice(b"12345");
    stdin.write_all(&rest).unwrap();
    drop(stdin);
    assert_eq!(running.end(), (None, String::new()));
    assert!(repo.join("refs/heads/main").exists());
}

#[test]
fn an_interrupted_checkout_names_the_directory_that_is_incomplete() {
    let directory = scratch();
    let (repo, tree) = (init(directory.path(), "archive"), directory.path().join("tree"));
    fs::create_dir(&tree).unwrap();
    for number in 0..4000 {
        fs::write(tree.join(format!("file-{number}")), number.to_string()).unwrap();
    }
    let opened = Repo::open(&repo).unwrap();
    commit(&opened, &options(&tree, None), &osier::progress::Silent).unwrap();
    for (name, existed, advice) in [
        ("new", false, "remove it and check out again"),
        ("old", true, "the same command again completes it"),
    ] {
        let out = directory.path().join(name);
        if existed {
            fs::create_dir(&out).unwrap();
        }
        let repo = format!("--repo={}", repo.display());
        let call = [&repo, "checkout", "-U", "--union", "main", out.to_str().unwrap()];
        let running = Running::start(Running::osier(call));
        wait_until("a file", || {
            fs::read_dir(&out).is_ok_and(|mut entries| entries.next().is_some())
        });
        running.signal(Signal::INT);
        let (ended, stderr) = running.end();
        assert_eq!(ended, Some(2), "{stderr}");
        assert_eq!(stderr, format!("interrupted: {} is incomplete; {advice}\n", out.display()));
    }
}

#[test]
fn an_interrupted_export_names_the_archive_that_is_incomplete() {
    let directory = scratch();
    let (repo, tree) = (init(directory.path(), "archive"), directory.path().join("tree"));
    fs::create_dir(&tree).unwrap();
    for number in 0..20_000 {
        fs::write(tree.join(format!("file-{number}")), number.to_string()).unwrap();
    }
    let opened = Repo::open(&repo).unwrap();
    commit(&opened, &options(&tree, None), &osier::progress::Silent).unwrap();
    let archive = directory.path().join("a.tar");
    let repo = format!("--repo={}", repo.display());
    let running =
        Running::start(Running::osier([&repo, "export", "-o", archive.to_str().unwrap(), "main"]));
    wait_until("some of the archive", || {
        fs::metadata(&archive).is_ok_and(|metadata| metadata.len() > 0)
    });
    running.signal(Signal::INT);
    let (ended, stderr) = running.end();
    assert_eq!(ended, Some(2), "{stderr}");
    let advice = "the same command again replaces it";
    assert_eq!(stderr, format!("interrupted: {} is incomplete; {advice}\n", archive.display()));
}

/// A program that does what osier does, but hangs when it is to commit, and leaves its process id
/// in a file.
fn hanging(directory: &Path) -> (PathBuf, PathBuf) {
    let (program, started) = (directory.join("hanging"), directory.join("started"));
    let text = format!(
        "#!/bin/sh\ncase $2 in commit) echo $$ > {0}.new; mv {0}.new {0}; sleep 60; esac\nexec {1} \
         \"$@\"\n",
        started.display(),
        osier_path(),
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    (program, started)
}

#[test]
fn an_interrupted_bench_or_comparison_ends_its_program_and_removes_its_directory() {
    let directory = scratch();
    let (tree, place) = (directory.path().join("tree"), directory.path().join("place"));
    small_tree(&tree);
    fs::create_dir(&place).unwrap();
    let (program, started) = hanging(directory.path());
    let scratch = format!("--scratch={}", place.display());
    let (tree_option, ostree) =
        (format!("--tree={}", tree.display()), format!("--ostree={}", program.display()));
    let with = format!("--with={}", program.display());
    let bench = ["bench", "--only=commit", "--rounds=1", &tree_option, &ostree, &scratch];
    let compare = ["compare", &with, &scratch, tree.to_str().unwrap()];
    for (call, signal) in [
        (&bench[..], Signal::TERM),
        (&bench, Signal::INT),
        (&compare, Signal::INT),
        (&compare, Signal::HUP),
    ] {
        let _ = fs::remove_file(&started);
        let running = Running::start(Running::osier(call));
        wait_until("the program", || started.exists());
        running.signal(signal);
        let (ended, stderr) = running.end();
        assert_eq!(ended, Some(signal.as_raw()), "{stderr}");
        let last = format!("interrupted: removing what was made in {}", place.display());
        assert_eq!(stderr.lines().last(), Some(last.as_str()), "{stderr}");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 0, "{stderr}");
        let process = fs::read_to_string(&started).unwrap();
        assert!(!Path::new("/proc").join(process.trim()).exists(), "the program goes on");
    }
}

#[test]
fn a_bench_that_prepares_is_interrupted_too() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    for call in [
        &["bench", "--no-ostree", "--only=prune", "--objects=3000000", &scratch][..],
        &["bench", "--scale", &scratch],
    ] {
        let mut running = Running::start(Running::osier(call));
        running.wait_for_line("step 1 of ");
        running.signal(Signal::TERM);
        let (ended, stderr) = running.end();
        assert_eq!(ended, Some(15), "{stderr}");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{stderr}");
    }
}

#[test]
fn each_step_is_a_line_where_there_is_no_terminal() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    small_tree(&tree);
    let scratch = format!("--scratch={}", directory.path().display());
    let osier = Program::other(osier_path(), "osier");
    let tree_option = format!("--tree={}", tree.display());
    let output =
        osier.run(["bench", "--no-ostree", "--only=commit", "--rounds=2", &tree_option, &scratch]);
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    output.success();
    let expected = "step 1 of 4: hashing and deflating alone, round 1 of 2\n\
        step 2 of 4: osier: first commit, archive, round 1 of 2\n\
        step 3 of 4: hashing and deflating alone, round 2 of 2\n\
        step 4 of 4: osier: first commit, archive, round 2 of 2\n";
    assert_eq!(stderr, expected);
    let with = osier_path();
    let output =
        osier.run(["compare", &format!("--with={with}"), &scratch, tree.to_str().unwrap()]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(
        lines[..2],
        [&format!("step 1 of 12: archive: {with} commits"), "step 2 of 12: archive: osier commits"]
    );
    assert_eq!((lines.len(), lines[11]), (12, "step 12 of 12: bare-user-only: comparing"));
}

#[test]
fn on_a_terminal_the_line_is_alive_and_gone_after_control_c() {
    if !has_programs(&["script"]) {
        return;
    }
    let directory = scratch();
    let (tree, place) = (directory.path().join("tree"), directory.path().join("place"));
    small_tree(&tree);
    fs::create_dir(&place).unwrap();
    let (program, started) = hanging(directory.path());
    let call = format!(
        "stty cols 200; {} compare --with={} --scratch={} {}; echo status $?",
        osier_path(),
        program.display(),
        place.display(),
        tree.display(),
    );
    let mut command = Command::new("env");
    command.args([
        "--default-signal=INT",
        "script",
        "--quiet",
        "--return",
        "--command",
        &format!("trap : INT; {call}"),
        "/dev/null",
    ]);
    // Whatever runs the tests may have taken the terminal's kind away.
    command.env("TERM", "xterm").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = command.spawn().unwrap();
    wait_until("the program", || started.exists());
    // Some ticks of the clock.
    thread::sleep(Duration::from_millis(1200));
    let mut stdin = terminal.stdin.take().unwrap();
    stdin.write_all(b"\x03").unwrap();
    let mut shown = String::new();
    terminal.stdout.take().unwrap().read_to_string(&mut shown).unwrap();
    drop(stdin);
    terminal.wait().unwrap();
    assert!(shown.contains("step 1 of 12 [") && shown.contains(" 1s archive: "), "{shown:?}");
    assert!(!shown.contains("step 1 of 12: "), "{shown:?}");
    let (_, end) = shown.rsplit_once("step 1 of 12").unwrap();
    let cleared =
        format!("\r\x1b[2Kinterrupted: removing what was made in {}\r\n", place.display());
    assert!(end.contains(&cleared), "{shown:?}");
    assert!(end.ends_with("status 130\r\n"), "{shown:?}");
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}
