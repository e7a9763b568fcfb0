//! Which commits have come since the objects were listed, without listing all again: the directory
//! of a new object has a new modification time.

use std::collections::HashSet;

use rayon::prelude::*;
use rustix::io::Errno;

use super::Time;
use crate::checksum::Checksum;
use crate::dir;
use crate::error::{During, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;
use crate::threads;

/// Two changes less than this many seconds apart may have the same time on some file systems.
const GRANULARITY: i64 = 2;

/// What the directories of objects were like when they were listed.
pub(super) struct Changes {
    /// By the clock of the file system, when the first listing began.
    began: Time,
    /// The modification time of each directory when it was listed; `None` when it may have changed
    /// since without a sign, or was not there.
    times: Vec<Option<Time>>,
    known: HashSet<Checksum>,
    /// Whether nobody has looked again.
    is_first: bool,
}

impl Changes {
    /// # Errors
    /// When no file can be written in `tmp/`, unless the repository is read only.
    pub(super) fn begin(repo: &Repo) -> Result<Self> {
        Ok(Self {
            began: clock(repo)?,
            times: vec![None; 256],
            known: HashSet::new(),
            is_first: true,
        })
    }

    /// When the first listing began. What is there with a later time may have been missed.
    pub(super) fn began(&self) -> Time {
        self.began
    }

    /// Whether [`Self::new_commits`] has not been asked yet.
    pub(super) fn is_first(&self) -> bool {
        self.is_first
    }

    /// Lists all objects, by their directories.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub(super) fn list_all(&mut self, repo: &Repo) -> Result<Vec<Vec<ObjectName>>> {
        let began = self.began.0;
        let list = |first: u8| Ok((time(repo, first)?, repo.list_objects_starting_with(first)?));
        let listed = (0..=255u8).into_par_iter().map(list).collect::<Result<Vec<_>>>()?;
        let (times, names): (Vec<_>, Vec<_>) = listed.into_iter().unzip();
        self.times = times.into_iter().map(|time| settled(time, began)).collect();
        Ok(names)
    }

    /// Commits that are not new.
    pub(super) fn know(&mut self, commits: &[Checksum]) {
        self.known.extend(commits);
    }

    /// Notes that a commit is gone: it is new if it comes again.
    pub(super) fn forget(&mut self, commit: &Checksum) {
        self.known.remove(commit);
    }

    /// The commits that have come since the last call. No one may write meanwhile.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub(super) fn new_commits(&mut self, repo: &Repo) -> Result<Vec<Checksum>> {
        self.is_first = false;
        let now = clock(repo)?.0;
        let look = |first: u8| {
            let time = time(repo, first)?;
            let before = self.times.get(usize::from(first)).copied().flatten();
            let names = match before.is_some() && time == before {
                true => Vec::new(),
                false => repo.list_objects_starting_with(first)?,
            };
            Ok((settled(time, now), names))
        };
        let looked =
            threads::run(|| (0..=255u8).into_par_iter().map(look).collect::<Result<Vec<_>>>())?;
        let mut new = Vec::new();
        self.times.clear();
        for (time, names) in looked {
            self.times.push(time);
            let commits = names.into_iter().filter(|name| name.object_type == ObjectType::Commit);
            new.extend(
                commits.map(|name| name.checksum).filter(|commit| self.known.insert(*commit)),
            );
        }
        Ok(new)
    }
}

/// A time that a later change would change.
fn settled(time: Option<Time>, now: i64) -> Option<Time> {
    time.filter(|(seconds, _)| seconds.saturating_add(GRANULARITY) < now)
}

fn time(repo: &Repo, first: u8) -> Result<Option<Time>> {
    match dir::stat(repo.objects_dir(), format!("{first:02x}")) {
        Ok(stat) => Ok(Some((stat.st_mtime, stat.st_mtime_nsec as i64))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => {
            Err(error).during("looking at", repo.path().join(format!("objects/{first:02x}")))
        }
    }
}

/// The time that the file system would give to a change now.
fn clock(repo: &Repo) -> Result<Time> {
    if !repo.is_writable() {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        return Ok(now.map_or((0, 0), |now| {
            (i64::try_from(now.as_secs()).unwrap_or(i64::MAX), i64::from(now.subsec_nanos()))
        }));
    }
    let (name, file) = repo.create_temporary("clock")?;
    let stat = rustix::fs::fstat(&file);
    let removed = dir::remove_file(repo.tmp()?, &name);
    let path = || repo.path().join("tmp").join(&name);
    let stat = stat.during("looking at", path())?;
    removed.during("removing", path())?;
    Ok((stat.st_ctime, stat.st_ctime_nsec as i64))
}
