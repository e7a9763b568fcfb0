//! The parts of deltas.

use std::sync::Arc;

use super::delta::Delta;
use super::driver::Driver;
use super::task::{Task, What};
use super::work::Job;
use crate::delta;
use crate::error::{Error, Result};
use crate::progress::Event;
use crate::pull::DeltaUse;
use crate::pull::dry_run::Purpose;

impl Driver<'_, '_, '_, '_> {
    /// Asks for what a delta consists of. Its commit is scanned when all its parts are there.
    pub(super) fn begin_delta(&mut self, delta: &Arc<Delta>) -> Result<()> {
        let transaction = self.work.receiver.transaction;
        let superblock = delta.superblock()?;
        if self.work.purpose == Purpose::Count {
            self.parts_left.insert(delta.name.to, 0);
            self.plan.want(&delta.name.to, &delta.want);
            return Ok(());
        }
        let mut missing = 0u64;
        for fallback in &superblock.fallbacks {
            if !transaction.was_present(&fallback.name)? {
                self.urgent.push(Task::new(self.work.origin, What::Object(fallback.name), None));
                missing = missing.saturating_add(fallback.size);
            }
        }
        self.parts_left.insert(delta.name.to, superblock.parts.len());
        let inlined = superblock.inlined_parts();
        for (number, header) in superblock.parts.iter().enumerate() {
            let is_inlined = inlined.part(number).is_some();
            let own_size = if is_inlined { 0 } else { header.size };
            self.tally.parts += u64::from(!is_inlined);
            self.tally.part_bytes.1 = self.tally.part_bytes.1.saturating_add(own_size);
            if delta::is_present(transaction, header)? {
                self.stats.delta_parts_fetched += u64::from(!is_inlined);
                self.tally.part_bytes.0 = self.tally.part_bytes.0.saturating_add(own_size);
                self.part_is_done(delta);
                continue;
            }
            if is_inlined {
                self.waiting += 1;
                // The workers live as long as the driver.
                let _ = self.jobs.send(Job::Inlined(Arc::clone(delta), number));
            } else {
                let what = What::Part(Arc::clone(delta), number);
                self.parts.push_back(Task::new(self.work.origin, what, Some(header.size)));
                missing = missing.saturating_add(header.size);
            }
        }
        self.tally.expects_bytes(Some(missing));
        if superblock.parts.is_empty() {
            self.plan.want(&delta.name.to, &delta.want);
        }
        Ok(())
    }

    pub(super) fn part_is_done(&mut self, delta: &Delta) {
        let Some(left) = self.parts_left.get_mut(&delta.name.to) else { return };
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.plan.want(&delta.name.to, &delta.want);
        }
    }

    /// A part cannot be had. What it should have brought comes object by object, unless only deltas
    /// may be used.
    pub(super) fn part_has_failed(
        &mut self,
        delta: &Delta,
        number: Option<usize>,
        error: Error,
    ) -> Result<()> {
        if self.work.checks.options.deltas == DeltaUse::Required {
            return Err(error);
        }
        let part = number.map_or("an inlined part".to_owned(), |number| format!("part {number}"));
        let name = delta.name;
        let warning = format!(
            "warning: {part} of the static delta {name} is not used, its objects are fetched: {}",
            error.chain()
        );
        self.work.progress.event(Event::Warning(&warning));
        self.part_is_done(delta);
        Ok(())
    }
}
