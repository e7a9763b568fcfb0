//! Where commands meet a damaged copy of a subject's repository. Several places work side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::calls::Call;
use super::subject::{Damage, Piece, Subject};
use crate::support::{Output, Program, Snapshot, copy_all, differences, raw_snapshot};

/// A directory of its own in that of the subject.
pub struct Place<'s> {
    subject: &'s Subject,
    /// The sound repository.
    sound: &'s Snapshot,
    at: PathBuf,
    program: Program,
    /// What is known of the copy `trial`, if there is one that nothing but damage has changed.
    trial: Option<BTreeMap<PathBuf, Stamp>>,
}

/// What does not stay the same when a file or directory is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp {
    mode: u32,
    owner: (u32, u32),
    /// Inode, size, mtime and ctime with their nanoseconds; of files only.
    content: Option<(u64, u64, [i64; 4])>,
}

impl<'s> Place<'s> {
    pub fn new(subject: &'s Subject, sound: &'s Snapshot, name: &str) -> Self {
        let at = subject.path(name);
        fs::create_dir(&at).unwrap();
        subject.give_away(&at);
        let program = subject.program.clone().in_directory(&at);
        Self { subject, sound, at, program, trial: None }
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.at.join(relative)
    }

    /// What the repository is without damage.
    pub fn sound(&self) -> &'s Snapshot {
        self.sound
    }

    /// Runs the command. What it made beside the repository is there until `clear_output`.
    pub fn run(&self, call: &Call) -> Output {
        match call.arguments[0] {
            // It gets its repositories as arguments.
            "compare" => self.subject.own.clone().in_directory(&self.at).run(call.arguments),
            "pull-local" => {
                copy_all(&self.subject.path("target"), &self.path("pulled"));
                self.program.repo(Path::new("pulled"), call.arguments)
            }
            _ => self.program.repo(Path::new("trial"), call.arguments),
        }
    }

    /// Makes sure that there is a copy with that damage and no other change.
    pub fn prepare(&mut self, damage: Option<(&Piece, Damage)>) {
        if self.trial.is_some() {
            return;
        }
        let trial = self.path("trial");
        if trial.exists() {
            fs::remove_dir_all(&trial).unwrap();
        }
        copy_all(&self.subject.path("repo"), &trial);
        if let Some((piece, damage)) = damage {
            damage.inflict(&trial, piece);
        }
        self.trial = Some(stamps(&trial));
    }

    /// The next command gets another copy.
    pub fn discard(&mut self) {
        self.trial = None;
    }

    /// Removes what a command has made beside the repository.
    pub fn clear_output(&self) {
        for name in ["pulled", "out"] {
            let path = self.path(name);
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else if path.symlink_metadata().is_ok() {
                fs::remove_file(path).unwrap();
            }
        }
    }

    /// The paths that are not as in the sound repository; none if the command has touched nothing,
    /// which takes no reading. A copy that was touched is used up. What is changed within one tick
    /// of the clock has no other stamp, but shows when the next command has touched something.
    pub fn changed(&mut self, damage: Option<(&Piece, Damage)>) -> BTreeSet<String> {
        let trial = self.path("trial");
        if self.trial.as_ref() == Some(&stamps(&trial)) {
            return BTreeSet::new();
        }
        self.discard();
        if let Some((piece, Damage::Forbidden)) = damage {
            // Only to be read here. It may have been removed.
            let _ = fs::set_permissions(trial.join(&piece.path), fs::Permissions::from_mode(0o644));
        }
        let after = raw_snapshot(&trial);
        differences(self.sound, &after)
            .iter()
            .map(|line| line.split(": ").next().unwrap().to_owned())
            .collect()
    }
}

fn stamps(directory: &Path) -> BTreeMap<PathBuf, Stamp> {
    let mut stamps = BTreeMap::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for item in fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            let metadata = path.symlink_metadata().unwrap();
            let times =
                [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
            let content = (!metadata.is_dir()).then(|| (metadata.ino(), metadata.len(), times));
            if metadata.is_dir() {
                directories.push(path.clone());
            }
            stamps.insert(
                path,
                Stamp { mode: metadata.mode(), owner: (metadata.uid(), metadata.gid()), content },
            );
        }
    }
    stamps
}
