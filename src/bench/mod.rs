//! The comparing benchmark: the same work done by osier and by the `ostree` of the machine, in turns.
//!
//! Every round starts with fresh directories, because creating files right after deleting a tree is many times slower
//! on some file systems, and nothing is deleted before the end. Whatever the step before has left in memory is
//! written out before the clock starts; the programs themselves run with durability on, as users run them.

mod child;
mod sample;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{During, Error, Result};
use crate::progress::{Event, Progress};

pub use child::Measurement;
pub use sample::{TreeSize, build_sample, measure_tree};

/// The branch that is committed.
const BRANCH: &str = "bench";

/// What is compared, and where.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The program under test.
    pub osier: PathBuf,
    /// The program it is held against; without one only osier is measured.
    pub ostree: Option<PathBuf>,
    /// The tree to commit; without one it is built from what the machine has, see [`build_sample`].
    pub tree: Option<PathBuf>,
    /// An existing directory for trees and repositories. A subdirectory is made in it and taken away at the end.
    pub scratch: PathBuf,
    /// How often everything is done; the report holds medians.
    pub rounds: usize,
    /// Refs that the summary is made of.
    pub refs: usize,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            osier: PathBuf::from("osier"),
            ostree: None,
            tree: None,
            scratch: PathBuf::from("/var/tmp"),
            rounds: 5,
            refs: 2000,
        }
    }
}

/// One kind of work that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The first commit of the tree into a new archive repository.
    FirstArchive,
    /// The same tree again, into the same repository.
    AgainArchive,
    /// The first commit of the tree into a new bare-user repository.
    FirstBareUser,
    /// `fsck` of the archive repository.
    Fsck,
    /// `ls -R` of the commit.
    List,
    /// `log` of the branch.
    Log,
    /// `summary -u` with many refs.
    Summary,
    /// The same tree once more, with a stat cache that knows it. `ostree` has none; it is held against its
    /// [`Step::AgainArchive`].
    CachedArchive,
}

impl Step {
    /// All of them, in the order in which they are run.
    pub const ALL: [Self; 8] = [
        Self::FirstArchive,
        Self::AgainArchive,
        Self::Fsck,
        Self::List,
        Self::Log,
        Self::Summary,
        Self::FirstBareUser,
        // Last, because it leaves more commits behind on one side than on the other.
        Self::CachedArchive,
    ];

    /// What a reader is told.
    pub fn title(self) -> &'static str {
        match self {
            Self::FirstArchive => "first commit, archive",
            Self::AgainArchive => "same tree again, archive",
            Self::FirstBareUser => "first commit, bare-user",
            Self::Fsck => "fsck, archive",
            Self::List => "ls -R",
            Self::Log => "log",
            Self::Summary => "summary -u, many refs",
            Self::CachedArchive => "same tree, stat cache",
        }
    }

    /// How many times faster than `ostree` osier means to be.
    pub fn goal(self) -> f64 {
        match self {
            Self::FirstArchive => 4.0,
            Self::AgainArchive => 25.0,
            Self::FirstBareUser => 3.0,
            Self::Fsck => 3.5,
            Self::List | Self::Log | Self::Summary => 1.0,
            Self::CachedArchive => 100.0,
        }
    }

    fn arguments(self, tree: &Path) -> Vec<String> {
        let commit = || {
            let tree = format!("--tree=dir={}", tree.display());
            ["commit", "-b", BRANCH, "-s", "Benchmark", "--timestamp=@1", &tree].map(str::to_owned).to_vec()
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match self {
            Self::FirstArchive | Self::AgainArchive | Self::FirstBareUser => commit(),
            Self::CachedArchive => [commit(), words(&["--stat-cache"])].concat(),
            Self::Fsck => words(&["fsck", "-q"]),
            Self::List => words(&["ls", "-R", BRANCH]),
            Self::Log => words(&["log", BRANCH]),
            Self::Summary => words(&["summary", "-u"]),
        }
    }

    fn repo(self) -> &'static str {
        if self == Self::FirstBareUser { "bare-user" } else { "archive" }
    }
}

/// One program's figures for one step.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Of all rounds.
    pub median: Duration,
    /// Of all rounds.
    pub fastest: Duration,
    /// The most memory the program had in use in any round, in bytes; sampled from `/proc`.
    pub peak_memory: u64,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was done.
    pub step: Step,
    /// By osier.
    pub osier: Figures,
    /// By `ostree`, if it took part.
    pub ostree: Option<Figures>,
}

impl Row {
    /// How many times faster osier was.
    pub fn ratio(&self) -> Option<f64> {
        let ostree = self.ostree.as_ref()?;
        Some(ostree.median.as_secs_f64() / self.osier.median.as_secs_f64())
    }
}

/// What a run found out.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was committed.
    pub tree: TreeSize,
    /// How often.
    pub rounds: usize,
    /// Refs in the summary.
    pub refs: usize,
    /// One for each step.
    pub rows: Vec<Row>,
    /// Bytes in the `.filez` of osier's archive.
    pub osier_archive_bytes: u64,
    /// Bytes in the `.filez` of the archive of `ostree`.
    pub ostree_archive_bytes: Option<u64>,
    /// The id that both programs gave to the first commit.
    pub commit: String,
}

/// Runs the benchmark. It is an error if the two programs do not agree on a commit id.
pub fn run(options: &BenchOptions, progress: &dyn Progress) -> Result<Report> {
    if options.rounds == 0 {
        return Err(Error::failed("at least one round is needed"));
    }
    let scratch = Scratch::create(&options.scratch)?;
    let tree = match &options.tree {
        Some(tree) => tree.clone(),
        None => {
            progress.event(Event::Started { task: "building the tree", total: None });
            build_sample(Path::new("/usr"), &scratch.path.join("tree"))?
        }
    };
    let size = measure_tree(&tree)?;
    let mut sides = vec![Side::new("osier", &options.osier)];
    sides.extend(options.ostree.as_ref().map(|ostree| Side::new("ostree", ostree)));
    let runs = options.rounds * Step::ALL.len() * sides.len();
    progress.event(Event::Started { task: "benchmark", total: Some(runs as u64) });
    for round in 0..options.rounds {
        for side in &mut sides {
            side.start_round(&scratch.path, round)?;
        }
        for step in Step::ALL {
            // Neither program always comes first.
            sides.rotate_left(1);
            for side in &mut sides {
                side.run(step, &tree, options.refs)?;
                progress.event(Event::Advanced { steps: 1, bytes: 0 });
            }
        }
        sides.sort_by_key(|side| side.name != "osier");
    }
    progress.event(Event::Finished);
    let commit = agreed_commit(&sides)?;
    let rows = Step::ALL.iter().map(|step| Row {
        step: *step,
        osier: sides[0].figures(*step),
        ostree: sides.get(1).map(|side| side.figures(*step)),
    });
    Ok(Report {
        tree: size,
        rounds: options.rounds,
        refs: options.refs,
        rows: rows.collect(),
        osier_archive_bytes: sides[0].archive_bytes()?,
        ostree_archive_bytes: sides.get(1).map(Side::archive_bytes).transpose()?,
        commit,
    })
}

/// The id of the first commit, when all programs, modes and rounds gave the same ids.
fn agreed_commit(sides: &[Side]) -> Result<String> {
    let all = sides.iter().flat_map(|side| &side.commits);
    for (step, commit) in all.clone() {
        if let Some((_, other)) = all.clone().find(|(same, other)| same == step && other != commit) {
            return Err(Error::failed(format!("commit ids differ for '{}': {commit} and {other}", step.title())));
        }
    }
    let first = all.clone().find(|(step, _)| *step == Step::FirstArchive);
    first.map(|(_, commit)| commit.clone()).ok_or_else(|| Error::failed("nothing was committed"))
}

/// One of the two programs, with its repositories and what was measured.
struct Side {
    name: &'static str,
    program: PathBuf,
    /// Whether the program knows [`Step::CachedArchive`].
    has_stat_cache: bool,
    directory: PathBuf,
    measured: Vec<(Step, Measurement)>,
    commits: Vec<(Step, String)>,
}

impl Side {
    fn new(name: &'static str, program: &Path) -> Self {
        let (directory, measured, commits) = (PathBuf::new(), Vec::new(), Vec::new());
        Self { name, program: program.to_owned(), has_stat_cache: name == "osier", directory, measured, commits }
    }

    /// Makes the repositories of the round.
    fn start_round(&mut self, scratch: &Path, round: usize) -> Result<()> {
        self.directory = scratch.join(format!("{}-{round}", self.name));
        for mode in ["archive", "bare-user"] {
            let repo = self.directory.join(mode);
            fs::create_dir_all(&repo).during("creating", &repo)?;
            child::run(&self.program, &repo, &["init".to_owned(), format!("--mode={mode}")])?;
        }
        Ok(())
    }

    fn run(&mut self, step: Step, tree: &Path, refs: usize) -> Result<()> {
        let repo = self.directory.join(step.repo());
        if step == Step::Summary {
            create_refs(&repo, refs)?;
        }
        if step == Step::CachedArchive {
            if !self.has_stat_cache {
                return Ok(());
            }
            // The cache has to be filled first.
            child::run(&self.program, &repo, &step.arguments(tree))?;
        }
        let measurement = child::run(&self.program, &repo, &step.arguments(tree))?;
        if matches!(step, Step::FirstArchive | Step::AgainArchive | Step::FirstBareUser) {
            self.commits.push((step, measurement.stdout.trim().to_owned()));
        }
        self.measured.push((step, measurement));
        Ok(())
    }

    fn figures(&self, step: Step) -> Figures {
        let step = if step == Step::CachedArchive && !self.has_stat_cache { Step::AgainArchive } else { step };
        let of_step = || self.measured.iter().filter(move |(measured, _)| *measured == step).map(|(_, found)| found);
        let mut times: Vec<Duration> = of_step().map(|found| found.time).collect();
        times.sort_unstable();
        Figures {
            median: times.get(times.len() / 2).copied().unwrap_or_default(),
            fastest: times.first().copied().unwrap_or_default(),
            peak_memory: of_step().map(|found| found.peak_memory).max().unwrap_or_default(),
        }
    }

    fn archive_bytes(&self) -> Result<u64> {
        sample::bytes_with_extension(&self.directory.join("archive/objects"), "filez")
    }
}

/// Makes that many refs to the branch's commit, as files: making them one command at a time would take minutes.
fn create_refs(repo: &Path, count: usize) -> Result<()> {
    let heads = repo.join("refs/heads");
    let branch = heads.join(BRANCH);
    let commit = fs::read(&branch).during("reading", &branch)?;
    for number in 0..count {
        let directory = heads.join(format!("group{}", number % 20));
        fs::create_dir_all(&directory).during("creating", &directory)?;
        let path = directory.join(format!("ref{number}"));
        fs::write(&path, &commit).during("writing", &path)?;
    }
    Ok(())
}

/// A directory that goes away in the end.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn create(parent: &Path) -> Result<Self> {
        let path = parent.join(format!("osier-bench-{}", std::process::id()));
        fs::create_dir(&path).during("creating", &path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed stays; the figures are what the user came for.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(name: &'static str, commits: &[&str]) -> Side {
        let mut side = Side::new(name, Path::new(name));
        side.commits = commits.iter().map(|commit| (Step::FirstArchive, (*commit).to_owned())).collect();
        side
    }

    #[test]
    fn programs_that_do_not_agree_on_a_commit_are_an_error() {
        assert_eq!(agreed_commit(&[side("osier", &["a", "a"]), side("ostree", &["a"])]).unwrap(), "a");
        let error = agreed_commit(&[side("osier", &["a"]), side("ostree", &["b"])]).unwrap_err();
        assert_eq!(error.to_string(), "commit ids differ for 'first commit, archive': a and b");
        assert_eq!(agreed_commit(&[side("osier", &[])]).unwrap_err().to_string(), "nothing was committed");
    }

    #[test]
    fn figures_are_the_median_and_the_largest_peak() {
        let mut side = side("osier", &[]);
        for (milliseconds, peak_memory) in [(30, 5), (10, 9), (20, 7)] {
            let time = Duration::from_millis(milliseconds);
            side.measured.push((Step::Log, Measurement { time, peak_memory, stdout: String::new() }));
        }
        let figures = side.figures(Step::Log);
        assert_eq!((figures.median, figures.fastest), (Duration::from_millis(20), Duration::from_millis(10)));
        assert_eq!(figures.peak_memory, 9);
    }
}
