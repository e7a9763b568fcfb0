//! Stops osier between two system calls, puts a link in the place of something that it works on,
//! and lets it go on.
//!
//! A first run under strace shows which calls have to do with the place. Every further run is
//! stopped behind one of them. What the link leads to, the victim, is a copy of what stood there,
//! so that whatever is removed or replaced by its path is found in it, too. The victim must stay as
//! it was, down to inodes, link counts and times.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{copy_all, long_tests, osier, osier_path, scratch, search_path};

/// The calls behind which osier is stopped: those that take a name, and those that read a
/// directory.
const CALLS: &str = "%file,getdents64";

/// At so many moments each place is swapped; `OSIER_LONG_TESTS=1` takes all.
const MOMENTS: usize = 8;

/// No command takes longer, even when the machine does other things.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// A directory in which a command works.
pub struct Place {
    directory: tempfile::TempDir,
    program: PathBuf,
}

/// What came of the runs of a command in which one place was swapped.
struct Round<'a> {
    place: &'a Place,
    call: &'a [&'a str],
    swapped: &'a str,
    /// What must have been opened before.
    named: &'a [&'a str],
}

/// Behind that call of a thread: its name, and the how many-th of that name it is.
type Moment<'c> = (&'c str, u32);

/// All of a victim, by path.
type Victim = BTreeMap<PathBuf, Entry>;

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    inode: u64,
    mode: u32,
    owner: (u32, u32),
    links: u64,
    modified: (i64, i64),
    content: Vec<u8>,
}

impl Place {
    /// A place that `prepare` fills.
    pub fn new(prepare: impl FnOnce(&Path)) -> Self {
        let directory = scratch();
        fs::create_dir(directory.path().join("before")).unwrap();
        prepare(&directory.path().join("before"));
        Self { directory, program: osier().path }
    }

    /// Calls osier by its own name, under which it has more commands.
    pub fn own(mut self) -> Self {
        self.program = osier_path().into();
        self
    }

    fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    /// Runs the command once for each moment and each of the paths, which lead to directories or
    /// files in the place. One that is not there yet is taken for a file that the command is going
    /// to make. `named` are directories that the call names: a link that stands there before osier
    /// has opened all of them is the user's.
    #[track_caller]
    pub fn attack(&self, call: &[&str], named: &[&str], within: &[&str]) {
        let calls = self.record(call);
        let mut missed = Vec::new();
        let named_ones = named.iter().map(|&path| (path, named));
        for (swapped, named) in named_ones.chain(within.iter().map(|&path| (path, &[][..]))) {
            let round = Round { place: self, call, swapped, named };
            let mut moments = round.moments(&calls);
            if moments.len() > MOMENTS && !long_tests() {
                let last = moments.len() - 1;
                moments = (0..MOMENTS).map(|part| moments[part * last / (MOMENTS - 1)]).collect();
            }
            if moments.iter().filter(|&&moment| round.run(moment)).count() == 0 {
                missed.push((swapped, moments));
            }
        }
        assert!(missed.is_empty(), "{call:?} never comes to {missed:?}\n{calls}");
    }

    /// The command's calls, with the paths of descriptors.
    #[track_caller]
    fn record(&self, call: &[&str]) -> String {
        self.renew();
        let (status, stderr) = self.run(call, &[], &mut |_| {});
        assert!((0..=1).contains(&status), "{call:?} without a link: {stderr}");
        fs::read_to_string(self.calls()).unwrap()
    }

    fn calls(&self) -> PathBuf {
        self.directory.path().join("calls")
    }

    fn renew(&self) {
        for name in ["work", "victim", "away"] {
            let path = self.directory.path().join(name);
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
        let _ = fs::remove_file(self.calls());
        copy_all(&self.directory.path().join("before"), &self.work());
    }

    /// Runs the command under strace; `meanwhile` happens whenever it is stopped, and gets the
    /// calls so far.
    fn run(
        &self,
        call: &[&str],
        options: &[&str],
        meanwhile: &mut dyn FnMut(&str),
    ) -> (i32, String) {
        let stderr = self.directory.path().join("stderr");
        let mut command = Command::new("strace");
        let trace = format!("trace={CALLS}");
        command.args(["-f", "-qq", "-y", "-s", "4096", "-e", &trace]).args(options);
        command.arg("-o").arg(self.calls());
        command.arg(&self.program).args(call);
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C.UTF-8")
            .env("RAYON_NUM_THREADS", "1")
            .current_dir(self.work())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&stderr).unwrap());
        let status = watch(command.spawn().unwrap(), &self.calls(), meanwhile);
        (status, fs::read_to_string(stderr).unwrap())
    }
}

impl Round<'_> {
    /// When the place may be swapped: behind each call that has to do with it, and before it.
    fn moments<'c>(&self, calls: &'c str) -> Vec<Moment<'c>> {
        let path = self.place.work().join(self.swapped);
        let (whole, name) = (path.to_str().unwrap(), path.file_name().unwrap().to_str().unwrap());
        let concerns = |line: &str| {
            line.contains(whole)
                || line.contains(&format!("\"{name}"))
                || line.contains(&format!("/{name}\""))
        };
        // The calls of each thread: the moment behind it, and whether it has to do with the place.
        let mut threads: BTreeMap<&str, Vec<(Moment<'_>, bool)>> = BTreeMap::new();
        let (mut is_open, mut end) = (false, 0);
        for line in calls.split_inclusive('\n') {
            end += line.len();
            let (thread, call) = line.split_once(' ').unwrap();
            let Some((name, _)) = call.trim_start().split_once('(') else { continue };
            let thread = threads.entry(thread).or_default();
            let number = thread.iter().filter(|((other, _), _)| *other == name).count() + 1;
            is_open = is_open || self.is_open(&calls[..end]);
            thread.push(((name, number as u32), is_open && concerns(call)));
        }
        let mut moments = Vec::new();
        for thread in threads.values() {
            let next = thread.iter().skip(1).map(|(_, concerns)| *concerns).chain([false]);
            let either = thread.iter().zip(next).filter(|((_, this), next)| *this || *next);
            for ((moment, _), _) in either {
                if !moments.contains(moment) {
                    moments.push(*moment);
                }
            }
        }
        moments
    }

    /// Whether all directories that the call names have been opened.
    fn is_open(&self, calls: &str) -> bool {
        self.named.iter().all(|name| {
            let path = format!("<{}>", self.place.work().join(name).display());
            calls.lines().any(|line| line.contains(" open") && line.trim_end().ends_with(&path))
        })
    }

    /// Whether the command came to that moment, with the place as it should be for a swap.
    #[track_caller]
    fn run(&self, (name, number): Moment<'_>) -> bool {
        let what = format!("{:?}: {} swapped behind {name} {number}", self.call, self.swapped);
        let inject = format!("inject={name}:signal=SIGSTOP:when={number}");
        // strace itself fails now and then when a thread ends while it is stopped.
        for _ in 0..5 {
            self.place.renew();
            let mut before = None;
            let (status, stderr) = self.place.run(self.call, &["-e", &inject], &mut |calls| {
                // Another thread may have come to its call of that number.
                if before.is_none() && self.is_open(calls) {
                    before = self.swap();
                }
            });
            if stderr.contains("strace: ptrace(") {
                continue;
            }
            assert!(!stderr.contains("panicked") && (0..=1).contains(&status), "{what}: {stderr}");
            if let Some(before) = &before {
                let after = victim(&self.victim());
                assert_untouched(before, &after, &format!("{what} (status {status}, {stderr})"));
            }
            return before.is_some();
        }
        panic!("{what}: strace fails each time");
    }

    fn victim(&self) -> PathBuf {
        self.place.directory.path().join("victim")
    }

    /// Puts a link to the victim in the place; what the victim is.
    fn swap(&self) -> Option<Victim> {
        let (at, to) = (self.place.work().join(self.swapped), self.victim());
        if at.exists() {
            copy_all(&at, &to);
            fs::rename(&at, self.place.directory.path().join("away")).unwrap();
        } else {
            fs::write(&to, "precious").unwrap();
        }
        if symlink(&to, &at).is_err() {
            // Where the directory above is not there either, it is too early.
            fs::remove_file(&to).unwrap();
            return None;
        }
        Some(victim(&to))
    }
}

fn victim(path: &Path) -> Victim {
    let entries = walkdir::WalkDir::new(path).into_iter().map(Result::unwrap);
    let read = |entry: walkdir::DirEntry| {
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        let content = match entry.file_type() {
            kind if kind.is_file() => fs::read(entry.path()).unwrap(),
            kind if kind.is_symlink() => {
                fs::read_link(entry.path()).unwrap().into_os_string().into_encoded_bytes()
            }
            _ => Vec::new(),
        };
        let found = Entry {
            inode: metadata.ino(),
            mode: metadata.mode(),
            owner: (metadata.uid(), metadata.gid()),
            links: metadata.nlink(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            content,
        };
        (entry.into_path(), found)
    };
    entries.map(read).collect()
}

#[track_caller]
fn assert_untouched(before: &Victim, after: &Victim, what: &str) {
    let paths = before.keys().chain(after.keys().filter(|path| !before.contains_key(*path)));
    let how = |path: &&PathBuf| match (before.get(*path), after.get(*path)) {
        (Some(before), Some(after)) if before == after => None,
        (Some(before), Some(after)) => Some(format!("changed from {before:?} to {after:?}")),
        (Some(_), None) => Some("gone".to_owned()),
        (None, _) => Some("new".to_owned()),
    };
    let changed: Vec<_> = paths.filter_map(|path| Some((path, how(&path)?))).collect();
    assert!(changed.is_empty(), "{what}: the victim was changed: {changed:#?}");
}

/// Waits for the end of a command under strace; whenever that stops it, `meanwhile` happens.
/// Returns the exit status.
fn watch(mut child: Child, log: &Path, meanwhile: &mut dyn FnMut(&str)) -> i32 {
    let (started, mut stops) = (Instant::now(), 0);
    loop {
        let calls = fs::read_to_string(log).unwrap_or_default();
        // A thread's number is as good as the process'.
        let traced = calls.split(' ').next().and_then(|number| number.parse().ok());
        let traced = traced.and_then(Pid::from_raw);
        let stopped = calls.matches("--- stopped by SIGSTOP ---").count();
        if stopped > stops {
            meanwhile(&calls);
            stops = stopped;
        }
        if stops > 0 {
            let _ = traced.map(|traced| kill_process(traced, Signal::CONT));
        }
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap_or(-1);
        }
        if started.elapsed() > TIME_LIMIT {
            let _ = traced.map(|traced| kill_process(traced, Signal::KILL));
            let _ = child.kill();
            panic!("no end after {TIME_LIMIT:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
}
