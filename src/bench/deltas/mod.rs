//! Static deltas: osier and the machine's `ostree` make and apply the same ones.
//!
//! ```text
//! releases  two releases of a system, and two disk images
//! content   what their files hold
//! ```
//!
//! Both programs make their deltas from the same archive, and each applies its own to a repository
//! in the mode bare-user. Nothing is fetched by itself, so that each delta is complete.

mod content;
mod releases;

use std::fs;
use std::path::{Path, PathBuf};

use super::child::{self, Measurement};
use super::side::Figures;
use crate::error::{During, Error, Result};
use crate::progress::Progress;
use crate::repo::Repo;
use crate::trial::{Scratch, Steps};
use releases::Release;

/// The options of a measurement of deltas.
#[derive(Clone, Debug)]
pub struct DeltasOptions {
    /// The program under test.
    pub osier: PathBuf,
    /// The program to compare with; without one only osier is measured.
    pub ostree: Option<PathBuf>,
    /// An existing directory for trees and repositories. A subdirectory is created in it and
    /// removed at the end.
    pub scratch: PathBuf,
    /// Bytes of a release, at least [`SMALLEST_RELEASE`]. A disk image has four sevenths of it.
    pub bytes: u64,
    /// What is measured.
    pub cases: Vec<DeltaCase>,
    /// The number of rounds; the report holds medians.
    pub rounds: usize,
}

/// The smallest release that is measured, in bytes.
pub const SMALLEST_RELEASE: u64 = 1_000_000;

/// What is done with a delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeltaCase {
    /// Made from one release to the next.
    Update,
    /// That one applied.
    ApplyUpdate,
    /// Made from nothing to the first release.
    Whole,
    /// That one applied.
    ApplyWhole,
    /// Made from one disk image to another.
    Image,
}

impl DeltaCase {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Update, Self::ApplyUpdate, Self::Whole, Self::ApplyWhole, Self::Image];

    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Update => "update",
            Self::ApplyUpdate => "apply-update",
            Self::Whole => "whole",
            Self::ApplyWhole => "apply-whole",
            Self::Image => "image",
        }
    }

    /// The description for readers.
    pub fn title(self) -> &'static str {
        match self {
            Self::Update => "generate, two releases",
            Self::ApplyUpdate => "apply it",
            Self::Whole => "generate from nothing",
            Self::ApplyWhole => "apply it",
            Self::Image => "generate, two images",
        }
    }

    /// The goal: how many times faster than `ostree` osier should be.
    pub fn goal(self) -> f64 {
        match self {
            Self::Update => 3.0,
            Self::ApplyUpdate | Self::ApplyWhole => 2.0,
            Self::Whole | Self::Image => 1.7,
        }
    }

    /// The commits that the delta is between.
    fn commits(self) -> (Option<&'static str>, &'static str) {
        match self {
            Self::Update | Self::ApplyUpdate => (Some(FIRST), SECOND),
            Self::Whole | Self::ApplyWhole => (None, FIRST),
            Self::Image => (Some(FIRST_IMAGE), SECOND_IMAGE),
        }
    }

    /// For what is applied: how it is made.
    fn maker(self) -> Option<Self> {
        match self {
            Self::ApplyUpdate => Some(Self::Update),
            Self::ApplyWhole => Some(Self::Whole),
            Self::Update | Self::Whole | Self::Image => None,
        }
    }
}

const FIRST: &str = "first";
const SECOND: &str = "second";
const FIRST_IMAGE: &str = "first-image";
const SECOND_IMAGE: &str = "second-image";

/// One line of the table.
#[derive(Clone, Debug)]
pub struct DeltaRow {
    /// What was measured.
    pub case: DeltaCase,
    /// The figures of osier.
    pub osier: DeltaFigures,
    /// The figures of `ostree`, if it took part.
    pub ostree: Option<DeltaFigures>,
}

/// The figures of one program.
#[derive(Clone, Debug, Default)]
pub struct DeltaFigures {
    /// Time and memory.
    pub run: Figures,
    /// Bytes of all files of the delta.
    pub bytes: u64,
}

impl DeltaRow {
    /// How many times faster osier was.
    pub fn ratio(&self) -> Option<f64> {
        let ostree = self.ostree.as_ref()?;
        Some(ostree.run.median.as_secs_f64() / self.osier.run.median.as_secs_f64())
    }
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct DeltasReport {
    /// The number of rounds.
    pub rounds: usize,
    /// Bytes of a release.
    pub bytes: u64,
    /// The version that `ostree` reports.
    pub ostree_version: Option<String>,
    /// One for each case.
    pub rows: Vec<DeltaRow>,
}

/// Measures deltas.
///
/// # Errors
/// When one of the programs fails, or a delta that was applied has not brought everything;
/// `interrupted`, when the progress requests it. The scratch directory is removed first.
pub fn run_deltas(options: &DeltasOptions, progress: &dyn Progress) -> Result<DeltasReport> {
    if options.rounds == 0 {
        return Err(Error::failed("at least one round is needed"));
    }
    if options.bytes < SMALLEST_RELEASE {
        return Err(Error::failed("a release of less than 1 MB says nothing about deltas"));
    }
    let ostree_version = options.ostree.as_deref().map(child::version).transpose()?.flatten();
    let mut programs = vec![("osier", options.osier.as_path())];
    programs.extend(options.ostree.as_deref().map(|ostree| ("ostree", ostree)));
    let is_wanted = |case: &DeltaCase| options.cases.contains(case);
    let is_needed = |case: &DeltaCase| {
        is_wanted(case) || options.cases.iter().any(|other| other.maker() == Some(*case))
    };
    let cases: Vec<DeltaCase> = DeltaCase::ALL.into_iter().filter(is_needed).collect();
    let scratch = Scratch::create(&options.scratch, "osier-bench", progress)?;
    let runs = cases.len() * options.rounds * programs.len();
    let mut announced = Steps::new(progress, 1 + runs);
    announced.begin("building two releases")?;
    let bench = Bench { options, scratch: &scratch.path, progress };
    bench.build_archive(&cases)?;
    let mut rows = Vec::new();
    for case in cases {
        let mut results = [const { Vec::new() }; 2];
        for round in 0..options.rounds {
            // The programs alternate in going first.
            programs.rotate_left(1);
            for (name, program) in &programs {
                announced.begin(&format!("{name}: {} ({})", case.title(), case.name()))?;
                let place = Place { name, program, round };
                results[usize::from(*name != "osier")].push(bench.measure(case, &place)?);
            }
        }
        let figures = |results: &[(Measurement, u64)]| DeltaFigures {
            run: Figures::of(results.iter().map(|(measured, _)| measured)),
            bytes: results.last().map_or(0, |(_, bytes)| *bytes),
        };
        let [osier, ostree] = &results;
        let ostree = (!ostree.is_empty()).then(|| figures(ostree));
        rows.push(DeltaRow { case, osier: figures(osier), ostree });
    }
    rows.retain(|row| is_wanted(&row.case));
    Ok(DeltasReport { rounds: options.rounds, bytes: options.bytes, ostree_version, rows })
}

struct Bench<'b> {
    options: &'b DeltasOptions,
    scratch: &'b Path,
    progress: &'b dyn Progress,
}

/// A program in a round.
struct Place<'p> {
    name: &'p str,
    program: &'p Path,
    round: usize,
}

impl Bench<'_> {
    fn archive(&self) -> PathBuf {
        self.scratch.join("archive")
    }

    /// Commits what the deltas are between.
    fn build_archive(&self, cases: &[DeltaCase]) -> Result<()> {
        let Self { options, progress, .. } = *self;
        self.create_repo(&self.archive(), "archive")?;
        let commits = cases.iter().map(|case| case.commits());
        let mut branches: Vec<&str> =
            commits.flat_map(|(from, to)| from.into_iter().chain([to])).collect();
        branches.sort_unstable();
        branches.dedup();
        for branch in branches {
            let tree = self.scratch.join(format!("tree-{branch}"));
            let image_bytes = options.bytes / 7 * 4;
            match branch {
                FIRST => releases::write(&tree, options.bytes, Release::First, progress)?,
                SECOND => releases::write(&tree, options.bytes, Release::Second, progress)?,
                FIRST_IMAGE => releases::write_image(&tree, image_bytes, Release::First)?,
                _ => releases::write_image(&tree, image_bytes, Release::Second)?,
            }
            let tree_option = format!("--tree=dir={}", tree.display());
            let owner = ["--owner-uid=0", "--owner-gid=0", "--timestamp=@1", &tree_option];
            self.osier(&self.archive(), &[&["commit", "-b", branch][..], &owner].concat())?;
            fs::remove_dir_all(&tree).during("removing", &tree)?;
        }
        Ok(())
    }

    fn create_repo(&self, path: &Path, mode: &str) -> Result<()> {
        fs::create_dir(path).during("creating", path)?;
        self.osier(path, &["init", &format!("--mode={mode}")])
    }

    /// Runs osier without keeping the figures.
    fn osier(&self, repo: &Path, arguments: &[&str]) -> Result<()> {
        child::run(&self.options.osier, repo, &words(arguments), self.progress).map(drop)
    }

    /// Returns the figures, and the bytes of the delta.
    fn measure(&self, case: DeltaCase, place: &Place<'_>) -> Result<(Measurement, u64)> {
        let Place { name, program, round } = place;
        let maker = case.maker();
        let made = maker.unwrap_or(case).name();
        let delta = self.scratch.join(format!("{name}-{round}-{made}"));
        let (from, to) = case.commits();
        child::warm_memory(self.options.bytes.saturating_mul(2));
        let measured = match maker {
            None => {
                fs::create_dir(&delta).during("creating", &delta)?;
                let file = format!("--filename={}", delta.join("superblock").display());
                let from = from.map_or("--empty".to_owned(), |from| format!("--from={from}"));
                let to = format!("--to={to}");
                let all = "--min-fallback-size=0";
                let arguments = ["static-delta", "generate", all, &from, &to, &file];
                child::run(program, &self.archive(), &words(&arguments), self.progress)?
            }
            Some(_) => {
                let repo = self.scratch.join(format!("{name}-{round}-{}", case.name()));
                self.create_repo(&repo, "bare-user")?;
                let archive = self.archive().display().to_string();
                if let Some(from) = from {
                    self.osier(&repo, &["pull-local", &archive, from])?;
                }
                let delta = delta.display().to_string();
                let arguments = words(&["static-delta", "apply-offline", &delta]);
                let measured = child::run(program, &repo, &arguments, self.progress)?;
                self.check(&repo, to)?;
                fs::remove_dir_all(&repo).during("removing", &repo)?;
                measured
            }
        };
        Ok((Measurement { stdout: String::new(), ..measured }, files_bytes(&delta)?))
    }

    /// Verifies that a commit has come with all that it needs: nothing is left to pull.
    fn check(&self, repo: &Path, branch: &str) -> Result<()> {
        let commit = Repo::open(&self.archive())?.resolve_rev(branch)?;
        let count = || Ok::<_, Error>(Repo::open(repo)?.list_objects()?.len());
        let before = count()?;
        let archive = self.archive().display().to_string();
        self.osier(repo, &["pull-local", &archive, &commit.to_string()])?;
        match count()? - before {
            0 => Ok(()),
            missing => {
                let path = repo.display();
                Err(Error::failed(format!("{path} lacks {missing} objects of the delta")))
            }
        }
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The sum of the sizes of all files of a delta.
fn files_bytes(directory: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).during("reading", directory)? {
        let entry = entry.during("reading", directory)?;
        bytes += entry.metadata().during("reading", entry.path())?.len();
    }
    Ok(bytes)
}
