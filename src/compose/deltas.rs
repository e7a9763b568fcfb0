//! Static deltas to a commit that is about to be published, see the group `[delta]`.
//!
//! They are made after the commit was signed, because its signatures are in them, and before its
//! ref and the summary move, so that clients find both together. A delta that is there already,
//! with the same signatures, is not made again: a run that was killed goes on where it was.

use std::sync::{Mutex, PoisonError};

use log::debug;

use crate::checksum::Checksum;
use crate::delta::{self, Comparison, DeltaCost, DeltaFile, GenerateOptions, Target, generate};
use crate::delta_format::{DeltaName, Superblock};
use crate::error::{Error, Result};
use crate::progress::Event;
use crate::repo::walk::history;
use crate::repo::{CommitState, Repo, deltas};

use super::config::DeltaConfig;
use super::report::DeltaFacts;
use super::session::{Session, during};
use super::signing::Keys;

/// The commits that deltas start from, `None` for nothing, once the ref `old` names moves to a
/// commit, or for the commit that it names already. Commits that are missing or partial are left
/// out.
///
/// # Errors
/// When a commit cannot be read.
pub(super) fn sources(
    repo: &Repo,
    config: &DeltaConfig,
    old: Option<Checksum>,
    commit: Option<Checksum>,
) -> Result<Vec<Option<Checksum>>> {
    let mut sources = Vec::new();
    for step in old.iter().flat_map(|old| history(repo, old)) {
        let (source, _) = step?;
        if sources.len() as u64 == config.from_commits {
            break;
        }
        if Some(source) != commit && repo.commit_state(&source)? == CommitState::Complete {
            sources.push(Some(source));
        }
    }
    sources.extend(config.from_scratch.then_some(None));
    Ok(sources)
}

/// A source in a sentence.
pub(super) fn named(source: Option<Checksum>) -> String {
    source.map_or_else(|| "nothing".to_owned(), |source| source.to_hex())
}

impl<'s> Session<'s> {
    /// Makes the deltas to a commit that are not there yet, and their index. `old` is what the ref
    /// names until the commit is published. Returns whether there are new ones.
    pub(super) fn deltas(
        &mut self,
        commit: &Checksum,
        old: Option<Checksum>,
        keys: &Keys,
    ) -> Result<bool> {
        let Some(config) = &self.config.delta else { return Ok(false) };
        self.run.step("delta")?;
        let sources = sources(self.repo, config, old, Some(*commit))?;
        let mut target = None;
        let mut made = false;
        for from in sources {
            self.surroundings.interrupt.check()?;
            let name = DeltaName { from, to: *commit };
            let facts = match self.delta(config, &name, &mut target, keys) {
                Ok(facts) => facts,
                Err(error) if config.required => {
                    let what = format!("no delta from {}", named(from));
                    return Err(during(what, error));
                }
                Err(error) => {
                    let error = error.chain();
                    self.warn(format!("no delta from {}: {error}", named(from)));
                    DeltaFacts { error: Some(error), ..DeltaFacts::planned(from) }
                }
            };
            made |= facts.made;
            self.run.report.deltas.push(facts);
            self.run.save()?;
        }
        if made {
            deltas::reindex_target(self.repo, commit)?;
        }
        Ok(made)
    }

    /// Makes one, unless it is there. The target is loaded when it is needed.
    fn delta(
        &mut self,
        config: &DeltaConfig,
        name: &DeltaName,
        target: &mut Option<Target<'s>>,
        keys: &Keys,
    ) -> Result<DeltaFacts> {
        let signers = if config.sign { keys } else { &Keys::NONE };
        if let Some(facts) = current(self.repo, name, signers)? {
            return Ok(facts);
        }
        let target = match target {
            Some(target) => target,
            None => target.insert(Target::load(self.repo, &name.to)?),
        };
        let options = self.generate_options(config, signers);
        let progress = self.surroundings.progress;
        let warnings = Mutex::new(Vec::new());
        let passed_on = |event: Event<'_>| match event {
            Event::Detail(text) => debug!("delta: {text}"),
            Event::Warning(text) => {
                let mut warnings = warnings.lock().unwrap_or_else(PoisonError::into_inner);
                warnings.push(text.to_owned());
            }
            event => progress.event(event),
        };
        let generated = generate(target, name.from.as_ref(), &options, &passed_on);
        for warning in warnings.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.warn(format!("delta from {}: {warning}", named(name.from)));
        }
        generated?;
        let cost = delta::cost(self.repo, name)?
            .ok_or_else(|| Error::failed("the delta was made, but reading it back shows none"))?;
        Ok(DeltaFacts { made: true, ..DeltaFacts::of(&cost) })
    }

    fn generate_options(&self, config: &DeltaConfig, signers: &Keys) -> GenerateOptions {
        let time = self.config.source_date_epoch.unwrap_or_else(|| self.run.now());
        let defaults = GenerateOptions::new(time);
        let comparison = match (config.bsdiff, config.max_bsdiff_size) {
            (false, _) => Comparison::None,
            (true, Some(max_size)) => Comparison::Bsdiff { max_size },
            (true, None) => defaults.comparison,
        };
        GenerateOptions {
            inline: config.inline,
            comparison,
            min_fallback_size: config.min_fallback_size.unwrap_or(defaults.min_fallback_size),
            max_chunk_size: config.max_chunk_size.unwrap_or(defaults.max_chunk_size),
            signers: signers.delta_signers(),
            threads: config.jobs,
            memory: config.memory,
            ..defaults
        }
    }
}

/// What is to be said of a delta that is there already, with the signatures that the commit has now
/// and those of the signers, and all parts.
fn current(repo: &Repo, name: &DeltaName, signers: &Keys) -> Result<Option<DeltaFacts>> {
    let Ok(file) = DeltaFile::of_repo(repo, name) else { return Ok(None) };
    // What cannot be read is made again.
    let Ok(envelope) = file.envelope() else { return Ok(None) };
    let Ok(superblock) = envelope.superblock() else { return Ok(None) };
    let is_signed = match &envelope.signatures {
        Some(signatures) => signers.have_signed_delta(envelope.superblock, signatures),
        None => signers.is_empty(),
    };
    let metadata = repo.load_detached_metadata(&name.to)?.unwrap_or_default();
    let is_current = is_signed
        && superblock.name() == *name
        && superblock.detached_metadata().unwrap_or_default() == metadata
        && has_parts(repo, name, &superblock);
    let cost = DeltaCost::of(&superblock, file.bytes().len() as u64);
    Ok(is_current.then(|| DeltaFacts::of(&cost)))
}

fn has_parts(repo: &Repo, name: &DeltaName, superblock: &Superblock<'_>) -> bool {
    let has = |number: usize, size: u64| {
        let path = repo.path().join(name.part_path(number));
        path.symlink_metadata().is_ok_and(|found| found.is_file() && found.len() == size)
    };
    let (mut parts, inlined) = (superblock.parts.iter().enumerate(), superblock.inlined_parts());
    parts.all(|(number, part)| inlined.part(number).is_some() || has(number, part.size))
}
