//! One of the two programs, with its repositories and figures.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::{self, Measurement};
use super::place::Place;
use super::sample::{self, TreeSize};
use super::step::{REPOS, Step};
use crate::error::{During, Error, Result};
use crate::progress::Progress;

/// One program's figures for one step.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// The median of all rounds.
    pub median: Duration,
    /// The time of the fastest round.
    pub fastest: Duration,
    /// Processor time of all threads, in the program and in the kernel; the median of all rounds.
    pub cpu: Duration,
    /// The peak memory of the program over all rounds, in bytes, sampled from `/proc`. 0 if no
    /// sample was taken in time.
    pub peak_memory: u64,
}

impl Figures {
    /// Needs at least one run.
    pub(super) fn of<'m>(runs: impl Iterator<Item = &'m Measurement> + Clone) -> Self {
        Self {
            median: median(runs.clone().map(|run| run.time)),
            fastest: runs.clone().map(|run| run.time).min().unwrap_or_default(),
            cpu: median(runs.clone().map(|run| run.cpu)),
            peak_memory: runs.map(|run| run.peak_memory).max().unwrap_or_default(),
        }
    }
}

/// For an even number of values, the upper one of the two in the middle.
pub(super) fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The input of both programs.
pub(super) struct Work {
    pub(super) scratch: PathBuf,
    pub(super) tree: PathBuf,
    pub(super) prunable: PathBuf,
    pub(super) refs: usize,
    pub(super) size: TreeSize,
}

/// One of the two programs.
pub(super) struct Side {
    /// `osier` or `ostree`.
    pub(super) name: &'static str,
    program: PathBuf,
    directory: PathBuf,
    measured: BTreeMap<&'static str, Vec<Measurement>>,
    /// The result of each step, the same in every round.
    outcomes: BTreeMap<&'static str, String>,
}

impl Side {
    pub(super) fn new(name: &'static str, program: &Path) -> Self {
        let (measured, outcomes) = (BTreeMap::new(), BTreeMap::new());
        Self { name, program: program.to_owned(), directory: PathBuf::new(), measured, outcomes }
    }

    /// Whether this program can run the step.
    pub(super) fn takes_part_in(&self, step: &Step) -> bool {
        self.name == "osier" || step.ostree_has.is_none()
    }

    /// Makes the repositories of the round.
    pub(super) fn start_round(
        &mut self,
        scratch: &Path,
        round: usize,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.directory = scratch.join(format!("{}-{round}", self.name));
        for (name, mode) in REPOS {
            let repo = self.directory.join(name);
            fs::create_dir_all(&repo).during("creating", &repo)?;
            child::run(
                &self.program,
                &repo,
                &["init".to_owned(), format!("--mode={mode}")],
                progress,
            )?;
        }
        Ok(())
    }

    /// Runs a step that the program takes part in.
    pub(super) fn run(&mut self, step: &Step, work: &Work, progress: &dyn Progress) -> Result<()> {
        let Work { scratch: _, tree, prunable, refs, size } = work;
        let (program, directory) = (&self.program, &self.directory);
        let place = Place { program, directory, tree, prunable, refs: *refs, progress };
        (step.prepare)(&place)?;
        child::warm_memory(size.bytes_to_write());
        let measured =
            child::run(&self.program, &place.path(step.repo), &(step.arguments)(&place), progress)?;
        let outcome = (step.outcome)(&place, &measured)?;
        self.note(step, measured, outcome)
    }

    fn note(&mut self, step: &Step, measured: Measurement, outcome: String) -> Result<()> {
        // The text may be long, and has been evaluated.
        let measured = Measurement { stdout: String::new(), ..measured };
        self.measured.entry(step.name).or_default().push(measured);
        match self.outcomes.insert(step.name, outcome.clone()) {
            Some(before) if before != outcome => {
                let message = format!(
                    "{} gave two results for '{}': {before} and {outcome}",
                    self.name, step.title
                );
                Err(Error::failed(message))
            }
            _ => Ok(()),
        }
    }

    /// The program's result of the step, if it ran it.
    pub(super) fn outcome(&self, step: &str) -> Option<&str> {
        self.outcomes.get(step).map(String::as_str)
    }

    /// The figures of the step, or of the one that stands in for it.
    pub(super) fn figures(&self, step: &Step) -> Figures {
        let name = step.ostree_has.filter(|_| !self.takes_part_in(step)).unwrap_or(step.name);
        Figures::of(self.measured.get(name).into_iter().flatten())
    }

    /// The total size of the archive's `.filez`, in bytes.
    pub(super) fn archive_bytes(&self) -> Result<u64> {
        sample::bytes_with_extension(&self.directory.join("archive/objects"), "filez")
    }
}

/// Verifies that both programs had the same result.
pub(super) fn check_agreement(sides: &[Side], step: &Step) -> Result<()> {
    let mut results = sides.iter().filter_map(|side| Some((side.name, side.outcome(step.name)?)));
    let Some((first, expected)) = results.next() else { return Ok(()) };
    match results.find(|(_, result)| *result != expected) {
        None => Ok(()),
        Some((other, result)) => {
            let title = step.title;
            Err(Error::failed(format!(
                "the results of '{title}' differ: {first} has {expected}, {other} has {result}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::step::find;

    fn side(name: &'static str, outcomes: &[&str]) -> Side {
        let mut side = Side::new(name, Path::new(name));
        for outcome in outcomes {
            side.note(find("commit").unwrap(), Measurement::default(), (*outcome).to_owned())
                .unwrap();
        }
        side
    }

    #[test]
    fn programs_that_do_not_agree_are_an_error() {
        let step = find("commit").unwrap();
        check_agreement(&[side("osier", &["a", "a"]), side("ostree", &["a"])], step).unwrap();
        check_agreement(&[side("osier", &["a"]), side("ostree", &[])], step).unwrap();
        let error =
            check_agreement(&[side("osier", &["a"]), side("ostree", &["b"])], step).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the results of 'first commit, archive' differ: osier has a, ostree has b"
        );
        let error =
            side("osier", &["a"]).note(step, Measurement::default(), "b".to_owned()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "osier gave two results for 'first commit, archive': a and b"
        );
    }

    #[test]
    fn figures_are_medians_and_the_largest_peak() {
        let mut side = side("osier", &[]);
        for (milliseconds, peak_memory) in [(30, 5), (10, 9), (20, 7)] {
            let time = Duration::from_millis(milliseconds);
            let measured = Measurement { time, cpu: time * 2, peak_memory, stdout: String::new() };
            side.note(find("log").unwrap(), measured, String::new()).unwrap();
        }
        let figures = side.figures(find("log").unwrap());
        assert_eq!(
            (figures.median, figures.fastest),
            (Duration::from_millis(20), Duration::from_millis(10))
        );
        assert_eq!((figures.cpu, figures.peak_memory), (Duration::from_millis(40), 9));
    }

    #[test]
    fn what_ostree_cannot_do_is_held_against_what_it_has() {
        let mut ostree = side("ostree", &[]);
        let measured = Measurement { time: Duration::from_secs(9), ..Measurement::default() };
        ostree.note(find("again").unwrap(), measured, String::new()).unwrap();
        let cached = find("stat-cache").unwrap();
        assert!(!ostree.takes_part_in(cached));
        assert_eq!(ostree.figures(cached).median, Duration::from_secs(9));
    }
}
