//! Makes static deltas. What a delta contains and how is upstream's choice in everything, so that
//! the payloads of the parts are the same bytes; only their compression differs.
//!
//! ```text
//! plan      what is new, and which old file each new file is compared with
//! rollsum   which of these share enough blocks                               all pairs in parallel
//! jobs      every object in its order, read or patched                       in parallel, some ahead
//! parts     filled with one object after the other
//! compress  every part that is full                                          in parallel
//! output    a file for each part, and at last the superblock
//! ```
//!
//! How many threads there are makes no difference to the result: jobs are independent of each
//! other, and their results are used in their order.

mod bsdiff;
mod compress;
mod content;
mod job;
mod memory;
mod options;
mod order;
mod output;
mod parts;
mod plan;
mod report;
mod rollsum;
mod shared;
mod similar;
mod stats;
mod superblock;
mod walk;
mod xz;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

pub use options::{Comparison, GenerateOptions};
pub use stats::{GenerateStats, KindStats};

use crate::checksum::Checksum;
use crate::delta_format::{DeltaName, Fallback};
use crate::error::Result;
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::repo::Repo;
use crate::threads;
use crate::units::format_size;
use job::{Job, Prepared};
use memory::Limits;
use order::{Budget, Queue};
use output::Output;
use parts::{Part, Parts};
use plan::{Candidate, NewFile, Plan, Tree};
use report::Report;
use rollsum::Matches;
use shared::Shared;
use similar::Pair;
use stats::Advance;
use superblock::{FinishedPart, superblock};

/// A commit that deltas lead to. Several deltas to it share what has been read of it.
#[derive(Debug)]
pub struct Target<'r> {
    repo: &'r Repo,
    tree: Tree,
    shared: Shared,
}

impl<'r> Target<'r> {
    /// Reads what the commit reaches.
    ///
    /// # Errors
    /// When one of its dirtrees is missing or malformed.
    pub fn load(repo: &'r Repo, commit: &Checksum) -> Result<Self> {
        Ok(Self { repo, tree: Tree::load(repo, commit)?, shared: Shared::default() })
    }

    /// Keeps what is found out for one delta for the others that will be made, within the budget of
    /// memory: files that several old commits have are compared once.
    #[must_use]
    pub fn for_several(self) -> Self {
        Self { shared: Shared::kept(), ..self }
    }
}

/// Makes a delta from a commit, or from nothing, to the target, and writes it into the repository
/// or where the options say. Indexes and the summary stay as they are.
///
/// What upstream prints while it does so comes as [`Event::Detail`]. A delta that is larger than
/// the options allow is not written, and one of that name that was there is removed.
///
/// # Errors
/// When an object is missing or damaged, something cannot be written, or a signer fails. What has
/// been written until then is no delta: the superblock comes last.
pub fn generate(
    target: &Target<'_>,
    from: Option<&Checksum>,
    options: &GenerateOptions,
    progress: &dyn Progress,
) -> Result<GenerateStats> {
    let Target { repo, tree: to, shared } = target;
    let name = DeltaName { from: from.copied(), to: to.commit };
    let output = Output::open(repo, &name, options.file.as_deref())?;
    threads::run_with(options.threads, || {
        let from = from.map(|from| Tree::load(repo, from)).transpose()?;
        let plan = plan::plan(repo, from.as_ref(), to)?;
        let report = Report::new(progress);
        let limits = Limits::most(options, shared);
        let budget = Budget::new(limits.work);
        let work = Work { repo, options, report: &report, budget, limits, shared, output: &output };
        let (jobs, fallbacks) = work.jobs(plan, progress)?;
        let limits = limits.needed(options, &jobs, rayon::current_num_threads() as u64);
        let work = Work { budget: Budget::new(limits.work), limits, ..work };
        let (parts, mut stats) = work.parts(&jobs, &fallbacks, progress)?;
        work.report_totals(&jobs, &parts, &mut stats)?;
        if options.if_smaller.is_some_and(|percent| !stats.is_below(percent)) {
            output.discard(if options.inline { 0 } else { parts.len() })?;
            return Ok(stats);
        }
        let bytes = superblock(repo, &name, options, &parts, &fallbacks)?;
        output.write_superblock(&bytes)?;
        output.remove_others(parts.len())?;
        Ok(GenerateStats { is_written: true, ..stats })
    })
}

/// A delta that is being made.
struct Work<'w> {
    repo: &'w Repo,
    options: &'w GenerateOptions,
    report: &'w Report<'w>,
    /// The memory of jobs and compression.
    budget: Budget,
    limits: Limits,
    shared: &'w Shared,
    output: &'w Output<'w>,
}

/// Jobs, and files that are to be fetched by themselves, with the sizes of their streams.
type Jobs = (Vec<Job>, Vec<(Fallback, u64)>);

/// What to do with a pair of files.
enum Choice {
    Rollsum(Matches),
    Bsdiff,
    /// The new file is sent whole: not even reading the old one would help.
    Whole,
    /// It is sent whole because comparing takes too much memory, in bytes.
    TooLarge(u64),
}

impl Work<'_> {
    /// Decides how each object is written.
    fn jobs(&self, plan: Plan, progress: &dyn Progress) -> Result<Jobs> {
        let Plan { metadata, metadata_count, files, symlinks, candidates } = plan;
        let count = candidates.len();
        self.report.line(format!("modified: {count}"));
        self.report.line(format!(
            "new reachable: metadata={metadata_count} content regular={} symlink={}",
            files.len(),
            symlinks.len()
        ));
        let advance = Advance::compare(progress, count);
        let choices = candidates.par_iter().map(|candidate| {
            let choice = self.choose(candidate);
            advance.step(candidate.new_size);
            choice
        });
        let choices: Vec<Choice> = choices.collect::<Result<_>>()?;
        drop(advance);
        let (mut rolled, mut patched) = (Vec::new(), Vec::new());
        for (candidate, choice) in candidates.into_iter().zip(choices) {
            match choice {
                Choice::Rollsum(matches) => {
                    self.report.line(rollsum_line(&candidate, &matches));
                    rolled.push((candidate.pair.new, (candidate, matches)));
                }
                Choice::Bsdiff => patched.push((candidate.pair.new, candidate)),
                Choice::Whole => {}
                Choice::TooLarge(bytes) => progress.event(Event::Warning(&format!(
                    "{} is not compared with {}, which would take {} of memory",
                    candidate.pair.new,
                    candidate.pair.old,
                    format_size(bytes)
                ))),
            }
        }
        self.report.line(format!("rollsum for {}/{count} modified", rolled.len()));
        let rolled_names = rolled.iter().map(|(name, _)| *name);
        let compared: HashSet<Checksum> =
            rolled_names.chain(patched.iter().map(|(name, _)| *name)).collect();
        let mut jobs: Vec<Job> = metadata.into_iter().map(Job::Metadata).collect();
        let rolled = walk::in_table_order(rolled).into_iter();
        jobs.extend(rolled.map(|(_, (candidate, matches))| Job::Rolled { candidate, matches }));
        let patched = walk::in_table_order(patched).into_iter().enumerate();
        jobs.extend(patched.map(|(number, (_, candidate))| Job::Patched { candidate, number }));
        let mut fallbacks = Vec::new();
        for (name, file) in files.into_iter().filter(|(name, _)| !compared.contains(name)) {
            match self.is_fallback(&file) {
                true => fallbacks.push((self.fallback(&name, &file)?, file.stream_size)),
                false => jobs.push(Job::Plain { name, size: file.size }),
            }
        }
        jobs.extend(symlinks.into_iter().map(Job::Symlink));
        Ok((jobs, fallbacks))
    }

    fn choose(&self, candidate: &Candidate) -> Result<Choice> {
        let Candidate { pair, old_size, new_size, is_readable } = *candidate;
        if !is_readable {
            return Ok(Choice::Whole);
        }
        let both = old_size.saturating_add(new_size);
        let matches = self.shared.matches(pair, || {
            let _taken = self.budget.take(both);
            let (_, old) = content::load(self.repo, &pair.old)?;
            let (_, new) = content::load(self.repo, &pair.new)?;
            Ok(Some(rollsum::matches(&old, &new)).filter(Matches::suffice))
        })?;
        if let Some(matches) = matches {
            return Ok(Choice::Rollsum(matches));
        }
        let memory = bsdiff::memory(old_size, new_size);
        Ok(match self.options.comparison {
            Comparison::Bsdiff { max_size } if both <= max_size => {
                let fits = memory <= self.budget.limit() && both <= bsdiff::MAX_SIZE;
                if fits { Choice::Bsdiff } else { Choice::TooLarge(memory) }
            }
            _ => Choice::Whole,
        })
    }

    fn is_fallback(&self, file: &NewFile) -> bool {
        let limit = self.options.min_fallback_size;
        limit > 0 && file.stream_size > limit
    }

    fn fallback(&self, name: &Checksum, file: &NewFile) -> Result<Fallback> {
        let name = ObjectName::new(*name, ObjectType::File);
        Ok(Fallback { name, size: self.repo.stored_size(&name)?, content_size: file.size })
    }

    /// Prepares all objects, fills the parts, and compresses and writes these.
    fn parts(
        &self,
        jobs: &[Job],
        fallbacks: &[(Fallback, u64)],
        progress: &dyn Progress,
    ) -> Result<(Vec<FinishedPart>, GenerateStats)> {
        let advance = Advance::write(progress, jobs);
        let mut stats = GenerateStats::default();
        fallbacks.iter().for_each(|(fallback, _)| stats.fallbacks.add(fallback.size));
        let finished = Mutex::new(Vec::new());
        let waiting = Budget::new(self.limits.parts);
        let patches = jobs.iter().filter(|job| matches!(job, Job::Patched { .. })).count();
        rayon::scope(|scope| {
            let mut number = 0;
            let mut parts = Parts::new(self.options.max_chunk_size, |part: Part| {
                let index = number;
                number += 1;
                self.report.reserve(index);
                let bytes = part.payload.estimated_size();
                let taken = waiting.take_working(bytes);
                let (finished, advance) = (&finished, &advance);
                scope.spawn(move |_| {
                    let content_size = part.content_size;
                    let done = self.finish(index, part);
                    advance.compressed(content_size);
                    drop(taken);
                    let mut finished = finished.lock().unwrap_or_else(PoisonError::into_inner);
                    finished.push((index, done));
                });
                Ok(())
            });
            let mut fallbacks = Some(fallbacks);
            let first = job::longest(jobs);
            let (weight, most) = (&Job::weight, self.limits.prepared);
            let queue = Queue { items: jobs, weight, first: &first, most };
            queue.run(
                |job| self.prepare(job),
                |job, prepared| {
                    match job {
                        Job::Patched { number, .. } => self.report_patch(*number, patches),
                        Job::Plain { .. } | Job::Symlink(_) => {
                            self.report_fallbacks(fallbacks.take());
                        }
                        Job::Metadata(_) | Job::Rolled { .. } => {}
                    }
                    stats.count(job, &prepared);
                    advance.step(job.size());
                    job.object(&prepared).map_or(Ok(()), |object| parts.add(&object))
                },
            )?;
            self.report_fallbacks(fallbacks);
            parts.finish()
        })?;
        let mut finished = finished.into_inner().unwrap_or_else(PoisonError::into_inner);
        finished.sort_unstable_by_key(|(index, _)| *index);
        let finished = finished.into_iter().map(|(_, part)| part).collect::<Result<_>>();
        Ok((finished?, stats))
    }

    /// Reads an object, or compares it with an old one unless that has been done for another delta.
    fn prepare(&self, job: &Job) -> Result<Prepared> {
        let Job::Patched { candidate, .. } = job else { return job.read(self.repo) };
        let Candidate { pair, .. } = *candidate;
        let patch = match self.shared.patch(&pair) {
            Some(patch) => patch,
            None => {
                let _taken = self.budget.take_working(job.memory());
                let (_, old) = content::load(self.repo, &pair.old)?;
                let (_, new) = content::load(self.repo, &pair.new)?;
                Arc::new(bsdiff::diff(&old, &new))
            }
        };
        self.shared.keep(pair, &patch, self.limits.shared);
        Ok(Prepared::Patch(self.repo.load_file(&pair.new)?.header, patch))
    }

    /// Compresses a part and writes it, unless it belongs into the superblock.
    fn finish(&self, index: usize, part: Part) -> Result<FinishedPart> {
        let Part { payload, objects, content_size } = part;
        let bytes = payload.encode();
        let file = compress::compress(&bytes, &self.budget)?;
        drop(bytes);
        self.report.fill(
            index,
            format!(
                "part {} n:{} compressed:{} uncompressed:{content_size}",
                index + 1,
                objects.len(),
                file.len()
            ),
        );
        let (checksum, size) = (Checksum::of(&file), file.len() as u64);
        let inlined = match self.options.inline {
            true => Some(file),
            false => {
                self.output.write_part(index, &file)?;
                None
            }
        };
        Ok(FinishedPart { checksum, size, content_size, objects, inlined })
    }

    fn report_patch(&self, number: usize, patches: usize) {
        let step = patches / 10;
        if step == 0 || number.is_multiple_of(step) {
            self.report.line(format!("processing bsdiff: [{number}/{patches}]"));
        }
    }

    fn report_fallbacks(&self, fallbacks: Option<&[(Fallback, u64)]>) {
        for (fallback, size) in fallbacks.unwrap_or_default() {
            let name = fallback.name.checksum;
            self.report.line(format!("fallback for {name} ({})", format_size(*size)));
        }
    }

    /// Reports the statistics of the whole.
    fn report_totals(
        &self,
        jobs: &[Job],
        parts: &[FinishedPart],
        stats: &mut GenerateStats,
    ) -> Result<()> {
        let (mut loose, mut rolled, mut rolled_bytes, mut patched) = (0u64, 0, 0u64, 0);
        let mut compared = 0u64;
        let stored = |candidate: &Candidate| {
            self.repo.stored_size(&ObjectName::new(candidate.pair.new, ObjectType::File))
        };
        for job in jobs {
            match job {
                Job::Metadata(name) => loose += self.repo.stored_size(name)?,
                Job::Plain { name, .. } | Job::Symlink(name) => {
                    loose += self.repo.stored_size(&ObjectName::new(*name, ObjectType::File))?;
                }
                Job::Rolled { matches, candidate } => {
                    compared += stored(candidate)?;
                    rolled += 1;
                    rolled_bytes += matches.bytes();
                }
                Job::Patched { candidate, .. } => {
                    compared += stored(candidate)?;
                    patched += 1;
                }
            }
        }
        let uncompressed: u64 = parts.iter().map(|part| part.content_size).sum();
        let compressed: u64 = parts.iter().map(|part| part.size).sum();
        self.report
            .line(format!("uncompressed={uncompressed} compressed={compressed} loose={loose}"));
        self.report.line(format!("rollsum={rolled} objects, {rolled_bytes} bytes"));
        self.report.line(format!("bsdiff={patched} objects"));
        stats.parts = parts.len() as u64;
        stats.part_bytes = compressed;
        stats.loose_bytes = loose + compared + stats.fallbacks.bytes;
        Ok(())
    }
}

fn rollsum_line(candidate: &Candidate, matches: &Matches) -> String {
    let Pair { old, new } = candidate.pair;
    let Matches { matches: found, shared_labels, chunks } = matches;
    let bytes = matches.bytes();
    format!(
        "rollsum for {old} -> {new}; crcs={shared_labels} bufs={} total={chunks} matchsize={bytes}",
        found.len()
    )
}
