//! The directory of a run, `work/RUN`, with its report, which is rewritten at each step.
//!
//! RUN is the time at which the run began, UTC, and four random digits: `20260131T102030Z-1f3c`.
//! While it runs it holds the lock of `RUN/running`, which is removed when it ends: a run that left
//! that file unlocked was killed.
//!
//! The directory is opened once. A program may replace it, or a file in it, by a link: nothing is
//! written through that.

use std::fs::{DirBuilder, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{FileType, Mode, OFlags, RenameFlags, fstat};
use rustix::io::Errno;
use serde_json::Value;

use crate::dir::{self, Dir};
use crate::error::{During, Error, Result};
use crate::progress::{Event, Progress};
use crate::repo::{LockKind, try_lock};

use super::cleanup::Temporary;
use super::regular::{self, LONGEST_JSON};
use super::report::{Report, Status, iso};
use super::trust;

/// A run with its directory.
#[derive(Debug)]
pub struct Run {
    /// The report so far; [`Run::step`] writes it.
    pub report: Report,
    path: PathBuf,
    directory: Dir,
    clock: Instant,
    running: Option<File>,
}

const REPORT: &str = "report.json";
const RUNNING: &str = "running";
/// The temporary directory of the programs of a run.
const TEMPORARY: &str = "tmp";

/// Creates the directory of runs, not writable by others regardless of the umask, and opens it.
fn open_work(work: &Path) -> Result<Dir> {
    trust::check(work)?;
    DirBuilder::new().recursive(true).mode(0o755).create(work).during("creating", work)?;
    // Another process may have created it first.
    trust::check(work)?;
    Dir::open(work).during("opening", work)
}

/// Writes a report; readers see either the old or the new one.
fn write_report(directory: &Dir, path: &Path, document: &Value) -> Result<()> {
    let name = "report.json.new";
    let temporary = path.join(name);
    match dir::remove_file(directory, name) {
        Ok(()) | Err(Errno::NOENT) => {}
        removed => removed.during("removing", &temporary)?,
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let mut file = dir::open(directory, name, flags, Mode::from_raw_mode(0o666))
        .during("creating", &temporary)?;
    let text = format!("{document:#}\n");
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_data())
        .during("writing", &temporary)?;
    dir::rename((directory, name), (directory, REPORT), RenameFlags::empty())
        .during("renaming", &temporary)
}

impl Run {
    /// Creates a directory for a run in `work`, which is created too, and writes the report with
    /// its name, start and status. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When the directory or a file in it cannot be written.
    pub fn begin(work: &Path, now: u64, report: Report) -> Result<Self> {
        Self::begin_named(work, &new_name(now)?, now, report)
    }

    /// The same with a name from [`new_name`].
    ///
    /// # Errors
    /// As [`Run::begin`].
    pub fn begin_named(work: &Path, name: &str, now: u64, report: Report) -> Result<Self> {
        let parent = open_work(work)?;
        let path = work.join(name);
        dir::make_dir(&parent, name, 0o755).during("creating", &path)?;
        let directory = Dir::beneath(&parent, name).during("opening", &path)?;
        let running = path.join(RUNNING);
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        let file = dir::open(&directory, RUNNING, flags, Mode::from_raw_mode(0o666))
            .during("creating", &running)?;
        if !try_lock(&file, LockKind::Exclusive).during("locking", &running)? {
            return Err(Error::failed(format!(
                "another process holds the lock of {}",
                running.display()
            )));
        }
        let report =
            Report { status: Status::Running, run: name.to_owned(), started: now, ..report };
        let run = Self { report, path, directory, clock: Instant::now(), running: Some(file) };
        run.save()?;
        Ok(run)
    }

    /// The directory of the run, or a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.path.clone() } else { self.path.join(name) }
    }

    /// Records the start of a step, and writes the report.
    ///
    /// # Errors
    /// As [`Run::save`].
    pub fn step(&mut self, stage: &'static str) -> Result<()> {
        self.report.stage = stage;
        self.save()
    }

    /// Writes the report; readers see the old one or the new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self) -> Result<()> {
        write_report(&self.directory, &self.path, &self.report.to_json())
    }

    /// Shows the user a warning, and adds it to the report.
    pub(super) fn warn(&mut self, progress: &dyn Progress, message: String) {
        progress.event(Event::Warning(&message));
        self.report.warnings.push(message);
    }

    /// Creates the temporary directory of a program, and records its identity.
    ///
    /// # Errors
    /// When it is there already, or cannot be made.
    pub fn make_temporary(&mut self) -> Result<PathBuf> {
        let path = self.path.join(TEMPORARY);
        dir::make_dir(&self.directory, TEMPORARY, 0o755).during("creating", &path)?;
        let made =
            Dir::beneath(&self.directory, TEMPORARY).and_then(fstat).during("opening", &path)?;
        self.report.temporary = Some(dir::identity(&made));
        Ok(path)
    }

    /// The temporary directory, to be cleaned up.
    pub(super) fn temporary(&self) -> Temporary<'_> {
        Temporary {
            run: &self.directory,
            path: self.path.join(TEMPORARY),
            name: TEMPORARY,
            known: self.report.temporary,
        }
    }

    /// Removes a file of the run, or a directory with everything in it; a missing one is not an
    /// error.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        dir::remove_all(&self.directory, name).during("removing", self.path.join(name))
    }

    /// The current time, in seconds since 1970, computed from the start of the run.
    pub fn now(&self) -> u64 {
        self.report.started.saturating_add(self.clock.elapsed().as_secs())
    }

    /// Records how the run ended, and returns its report.
    ///
    /// # Errors
    /// As [`Run::save`]; the report comes along.
    pub fn finish(mut self, status: Status) -> (Report, Result<()>) {
        self.report.status = status;
        self.report.finished = Some(self.now());
        let saved = self.save();
        if saved.is_ok() {
            let _ = dir::remove_file(&self.directory, RUNNING);
        }
        self.running = None;
        (self.report, saved)
    }
}

/// A name for a run that begins now, in seconds since 1970.
///
/// # Errors
/// When the clock is outside the years 1 to 9999, or the kernel has no random bytes.
pub fn new_name(now: u64) -> Result<String> {
    let time = iso(now).ok_or_else(|| Error::failed("the clock is outside the years 1 to 9999"))?;
    let time: String = time.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let mut random = [0; 2];
    rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
        .during("reading random bytes for", "the name of the run")?;
    Ok(format!("{time}-{:02x}{:02x}", random[0], random[1]))
}

/// A run that was killed: its directory, and its report as far as that can be read.
#[derive(Debug)]
pub struct DeadRun {
    /// The directory.
    pub path: PathBuf,
    /// The report, as far as it can be read.
    pub report: Report,
    /// The report as stored, with any fields of later versions; `null` if there is none.
    document: Value,
    directory: Dir,
    /// Holds the lock, so that no other process cleans up the same run.
    file: File,
}

impl DeadRun {
    /// Finds the runs in `work` that were killed, oldest first. `refused` is called for those that
    /// are left alone because others control them.
    ///
    /// # Errors
    /// When others control `work`, or it cannot be listed.
    pub fn find(work: &Path, refused: &mut dyn FnMut(String)) -> Result<Vec<Self>> {
        trust::check(work)?;
        let parent = match Dir::open(work) {
            Err(Errno::NOENT) => return Ok(Vec::new()),
            parent => parent.during("opening", work)?,
        };
        let mut names = dir::names(&parent).during("listing", work)?;
        names.sort_unstable();
        let mut dead = Vec::new();
        for name in names {
            let path = work.join(&name);
            // Only directories are runs, not links to them.
            let Ok(directory) = Dir::beneath(&parent, &name) else { continue };
            let Some(file) = open_regular(&directory, RUNNING, OFlags::WRONLY) else { continue };
            let stat = fstat(&directory).during("looking at", &path)?;
            if let Some(why) = trust::reason(stat.st_uid, stat.st_mode) {
                refused(format!("the run {} is left alone: it {why}; remove it", path.display()));
                continue;
            }
            let running = path.join(RUNNING);
            if !try_lock(&file, LockKind::Exclusive).during("locking", &running)? {
                continue;
            }
            let text = open_regular(&directory, REPORT, OFlags::RDONLY)
                .and_then(|file| regular::read_open(file, &path.join(REPORT), LONGEST_JSON).ok());
            let document: Value =
                serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default();
            let report = Report::from_json(&document);
            dead.push(Self { path, report, document, directory, file });
        }
        Ok(dead)
    }

    /// Its temporary directory, to be cleaned up.
    pub(super) fn temporary(&self) -> Temporary<'_> {
        Temporary {
            run: &self.directory,
            path: self.path.join(TEMPORARY),
            name: TEMPORARY,
            known: self.report.temporary,
        }
    }

    /// Removes a file of the run, or a directory with everything in it; a missing one is not an
    /// error.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(super) fn remove(&self, name: &str) -> Result<()> {
        dir::remove_all(&self.directory, name).during("removing", self.path.join(name))
    }

    /// Records in its report that the run was killed, so that it is not found again.
    ///
    /// # Errors
    /// When its directory cannot be written.
    pub fn mark_killed(mut self) -> Result<()> {
        if self.document.is_object() {
            self.document["status"] = Status::Failed.as_str().into();
            self.document["error"] = "killed".into();
            write_report(&self.directory, &self.path, &self.document)?;
        }
        dir::remove_file(&self.directory, RUNNING).during("removing", self.path.join(RUNNING))?;
        drop(self.file);
        Ok(())
    }
}

/// Opens a file of a run without following a link and without waiting; nothing if it is no regular
/// one.
fn open_regular(directory: &Dir, name: &str, access: OFlags) -> Option<File> {
    let is_regular =
        |stat: rustix::fs::Stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    if !dir::stat(directory, name).is_ok_and(is_regular) {
        return None;
    }
    let file =
        dir::open(directory, name, access | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
            .ok()?;
    fstat(&file).is_ok_and(is_regular).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use serde_json::json;

    use super::super::report::Command;
    use super::*;
    use crate::process::{Ending, Finished};

    #[test]
    fn a_report_says_at_each_step_how_the_run_stands() {
        let directory = tempfile::tempdir().unwrap();
        let work = directory.path().join("a/work");
        let given = Report { repo: "repo".into(), stage: "lock", ..Report::default() };
        let mut run = Run::begin(&work, 1_700_000_000, given).unwrap();
        let name = run.report.run.clone();
        assert!(name.starts_with("20231114T221320Z-") && name.len() == 21, "{name}");
        let read = || -> Value {
            serde_json::from_slice(&fs::read(work.join(&name).join(REPORT)).unwrap()).unwrap()
        };
        assert_eq!((&read()["status"], &read()["stage"]), (&json!("running"), &json!("lock")));
        let finished = Finished {
            ending: Ending::Exit(0),
            stopped: None,
            time: Duration::from_millis(812_437),
        };
        let argv = vec!["rpm-ostree".into(), "compose".into()];
        run.report.commands.push(Command {
            argv,
            finished: Some(finished),
            log: "x.log".into(),
            attempt: 1,
        });
        run.step("verify").unwrap();
        assert_eq!(read()["stage"], "verify");
        let command = json!({
            "argv": ["rpm-ostree", "compose"], "exit": 0, "signal": null, "seconds": 812.4, "log": "x.log", "attempt": 1,
        });
        assert_eq!(read()["commands"], json!([command]));
        assert!(work.join(&name).join(RUNNING).exists());
        let (report, saved) = run.finish(Status::Published);
        saved.unwrap();
        assert_eq!((report.status, report.finished), (Status::Published, Some(1_700_000_000)));
        assert_eq!(
            (&read()["status"], &read()["finished"]),
            (&json!("published"), &json!("2023-11-14T22:13:20Z"))
        );
        assert!(read().get("image").is_none());
        assert!(!work.join(&name).join(RUNNING).exists());
    }

    #[test]
    fn only_a_killed_run_is_found_dead_and_only_once() {
        let directory = tempfile::tempdir().unwrap();
        let begin = || {
            Run::begin(directory.path(), 0, Report { stage: "compose", ..Report::default() })
                .unwrap()
        };
        let (alive, killed, ended) = (begin(), begin(), begin());
        ended.finish(Status::Failed).1.unwrap();
        let path = killed.path("");
        drop(killed);
        let find = |work: &Path| DeadRun::find(work, &mut |refused| panic!("{refused}"));
        let dead = find(directory.path()).unwrap();
        assert_eq!(dead.iter().map(|run| run.path.as_path()).collect::<Vec<_>>(), [path.as_path()]);
        assert_eq!(
            (dead[0].report.stage, dead[0].report.run.as_str()),
            ("compose", path.file_name().unwrap().to_str().unwrap())
        );
        for run in dead {
            run.mark_killed().unwrap();
        }
        let report: Value = serde_json::from_slice(&fs::read(path.join(REPORT)).unwrap()).unwrap();
        assert_eq!((&report["status"], &report["error"]), (&json!("failed"), &json!("killed")));
        assert!(find(directory.path()).unwrap().is_empty());
        assert!(alive.path(RUNNING).exists());
        assert!(find(&directory.path().join("none")).unwrap().is_empty());
    }
}
