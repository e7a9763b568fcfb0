//! The comparing benchmark: osier and the machine's `ostree` do the same work, in turns.
//!
//! ```text
//! step       the table of measured commands
//! side       one of the two programs: its repositories and figures
//! child      running and measuring a program
//! limit      the cost of hashing and deflating alone
//! sample     a tree to commit
//! synthetic  generated repositories
//! scale      the cost of operations as repositories grow
//! remote     pulls from a web server
//! deltas     making and applying static deltas
//! ```
//!
//! Every round starts with fresh directories, because creating files right after deleting a tree is
//! many times slower on some file systems, and nothing is deleted before the end. Before the clock
//! starts, dirty data of the previous step is written out, and as much memory as a step may write
//! is touched once, so that no program waits for a virtual machine to provide it. The programs run
//! with fsync on, as users run them. After each step both must have the same result.

mod child;
mod deltas;
mod limit;
mod place;
mod remote;
mod sample;
mod scale;
mod side;
mod step;
mod synthetic;

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{During, Error, Result};
use crate::progress::Progress;
use crate::trial::{Scratch, Steps};

pub use child::Measurement;
pub use deltas::{
    DeltaCase, DeltaFigures, DeltaRow, DeltasOptions, DeltasReport, SMALLEST_RELEASE, run_deltas,
};
pub use limit::Limit;
pub use remote::{FEWEST_OBJECTS, Protocol, RemoteOptions, RemoteReport, RemoteRow, run_remote};
pub use sample::{TreeSize, build_sample, measure_tree};
pub use scale::{ScaleOptions, ScaleReport, ScaleRow, ShapeReport, run_scale};
pub use side::Figures;
pub use step::{STEPS, Step, find as find_step};

use side::{Side, Work, check_agreement, median};

/// The options of a comparison.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// The program under test.
    pub osier: PathBuf,
    /// The program to compare with; without one only osier is measured.
    pub ostree: Option<PathBuf>,
    /// The tree to commit; by default a sample of the machine's files, see [`build_sample`].
    pub tree: Option<PathBuf>,
    /// An existing directory for trees and repositories. A subdirectory is created in it and
    /// removed at the end.
    pub scratch: PathBuf,
    /// The number of rounds; the report holds medians.
    pub rounds: usize,
    /// The number of refs in the summary.
    pub refs: usize,
    /// The number of objects in the repository that is pruned.
    pub objects: u64,
    /// The names of the steps to measure; all if empty.
    pub only: Vec<String>,
}

impl Default for BenchOptions {
    fn default() -> Self {
        Self {
            osier: PathBuf::from("osier"),
            ostree: None,
            tree: None,
            scratch: PathBuf::from("/var/tmp"),
            rounds: 5,
            refs: 10_000,
            objects: 300_000,
            only: Vec::new(),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// The step that was measured.
    pub step: &'static Step,
    /// The figures of osier.
    pub osier: Figures,
    /// The figures of `ostree`, if it took part.
    pub ostree: Option<Figures>,
    /// Content bytes that pass through the program, for steps that handle content.
    pub content_bytes: Option<u64>,
}

impl Row {
    /// How many times faster osier was.
    pub fn ratio(&self) -> Option<f64> {
        let ostree = self.ostree.as_ref()?;
        Some(ostree.median.as_secs_f64() / self.osier.median.as_secs_f64())
    }

    /// Content bytes that osier handled in a second of processor time.
    pub fn bytes_per_cpu_second(&self) -> Option<f64> {
        let seconds = self.osier.cpu.as_secs_f64();
        self.content_bytes.filter(|_| seconds > 0.0).map(|bytes| bytes as f64 / seconds)
    }
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was committed.
    pub tree: TreeSize,
    /// The number of rounds.
    pub rounds: usize,
    /// Refs in the summary.
    pub refs: usize,
    /// Objects in the repository that was pruned.
    pub objects: u64,
    /// The version that `ostree` reports.
    pub ostree_version: Option<String>,
    /// One for each step.
    pub rows: Vec<Row>,
    /// The lower bound for a first commit; `None` if no first commit was measured.
    pub limit: Option<Limit>,
    /// The outcome of the first commit, equal in all programs and rounds, if there was one.
    pub first_commit: Option<FirstCommit>,
}

/// The first commit into an archive.
#[derive(Clone, Debug)]
pub struct FirstCommit {
    /// Its id, the same for both programs.
    pub commit: String,
    /// The total size of the `.filez` in osier's archive, in bytes.
    pub osier_archive_bytes: u64,
    /// The total size of the `.filez` in the archive of `ostree`, in bytes.
    pub ostree_archive_bytes: Option<u64>,
}

impl Report {
    /// The processor time of the first commit, as a multiple of the limit's.
    pub fn times_limit(&self) -> Option<f64> {
        let limit = self.limit?.cpu.as_secs_f64();
        let row = self.rows.iter().find(|row| row.step.name == FIRST_COMMIT)?;
        (limit > 0.0).then(|| row.osier.cpu.as_secs_f64() / limit)
    }
}

/// The step that the limit is shown for.
const FIRST_COMMIT: &str = "commit";

/// Runs the benchmark.
///
/// # Errors
/// When the two programs have different results; when one of them fails; [`Error::SmallSample`]
/// when a tree is needed and none can be built; `interrupted`, when the progress requests it. The
/// scratch directory is removed first.
pub fn run(options: &BenchOptions, progress: &dyn Progress) -> Result<Report> {
    if options.rounds == 0 {
        return Err(Error::failed("at least one round is needed"));
    }
    let steps = step::selection(&options.only)?;
    let is_wanted =
        |step: &Step| options.only.is_empty() || options.only.iter().any(|name| name == step.name);
    let mut sides = vec![Side::new("osier", &options.osier)];
    sides.extend(options.ostree.as_ref().map(|ostree| Side::new("ostree", ostree)));
    let ostree_version = options.ostree.as_deref().map(child::version).transpose()?.flatten();
    let needs_tree = steps.iter().any(|step| step.is_of_tree && is_wanted(step));
    let builds_tree = needs_tree && options.tree.is_none();
    let is_of_commit = steps.iter().any(|step| step.name == FIRST_COMMIT && is_wanted(step));
    let prunes = steps.iter().any(|step| step.repo == step::PRUNABLE);
    let turns = |step: &&'static Step| sides.iter().filter(|side| side.takes_part_in(step)).count();
    let in_round = usize::from(is_of_commit) + steps.iter().map(turns).sum::<usize>();
    let preparations = usize::from(builds_tree) + usize::from(prunes);
    let scratch = Scratch::create(&options.scratch, "osier-bench", progress)?;
    let mut announced = Steps::new(progress, preparations + options.rounds * in_round);
    let tree = match &options.tree {
        Some(tree) => tree.clone(),
        None if builds_tree => {
            announced.begin("building the tree")?;
            build_sample(Path::new("/usr"), &scratch.path.join("tree"), progress)?
        }
        None => empty_tree(&scratch.path)?,
    };
    let prunable = scratch.path.join(step::PRUNABLE);
    if prunes {
        announced.begin("building the repository to prune")?;
        synthetic::write_prunable(&prunable, options.objects, step::BRANCH, progress)?;
    }
    let size = measure_tree(&tree)?;
    let work = Work { scratch: scratch.path.clone(), tree, prunable, refs: options.refs, size };
    let mut limits = Vec::new();
    for round in 0..options.rounds {
        let in_round = if options.rounds > 1 {
            format!(", round {} of {}", round + 1, options.rounds)
        } else {
            String::new()
        };
        for side in &mut sides {
            side.start_round(&work.scratch, round, progress)?;
        }
        if is_of_commit {
            announced.begin(&format!("hashing and deflating alone{in_round}"))?;
            child::warm_memory(work.size.bytes_to_write());
            limits.push(limit::measure(&work.tree, progress)?);
        }
        for step in &steps {
            // The programs alternate in going first.
            sides.rotate_left(1);
            for side in sides.iter_mut().filter(|side| side.takes_part_in(step)) {
                announced.begin(&format!("{}: {}{in_round}", side.name, step.title))?;
                side.run(step, &work, progress)?;
            }
            check_agreement(&sides, step)?;
        }
    }
    sides.sort_by_key(|side| side.name != "osier");
    let rows = steps.iter().filter(|step| is_wanted(step)).map(|step| Row {
        step,
        osier: sides[0].figures(step),
        ostree: sides.get(1).map(|side| side.figures(step)),
        content_bytes: step.handles_content.then_some(work.size.bytes),
    });
    Ok(Report {
        tree: work.size,
        rounds: options.rounds,
        refs: options.refs,
        objects: options.objects,
        ostree_version,
        rows: rows.collect(),
        limit: middle(&limits),
        first_commit: first_commit(&sides)?,
    })
}

/// The tree to commit where its content does not matter.
fn empty_tree(scratch: &Path) -> Result<PathBuf> {
    let tree = scratch.join("tree");
    fs::create_dir(&tree).during("creating", &tree)?;
    Ok(tree)
}

/// The median of each figure separately.
fn middle(limits: &[Limit]) -> Option<Limit> {
    let deflated_bytes = limits.first()?.deflated_bytes;
    let time = median(limits.iter().map(|limit| limit.time));
    Some(Limit { time, cpu: median(limits.iter().map(|limit| limit.cpu)), deflated_bytes })
}

fn first_commit(sides: &[Side]) -> Result<Option<FirstCommit>> {
    let Some(commit) = sides[0].outcome(FIRST_COMMIT) else { return Ok(None) };
    Ok(Some(FirstCommit {
        commit: commit.to_owned(),
        osier_archive_bytes: sides[0].archive_bytes()?,
        ostree_archive_bytes: sides.get(1).map(Side::archive_bytes).transpose()?,
    }))
}
