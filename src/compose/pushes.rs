//! The last step of publishing, see the group `[push]`: what is published here is pushed on.
//!
//! It comes after the ref and the summary have moved, because others may publish the same ref here
//! meanwhile. A run that fails in it has published; the next one, or `compose publish` of the same
//! commit, pushes what is not there yet, even if nothing else is new.

use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::ObjectName;
use crate::process::Interrupt;
use crate::push::{
    self, Batch, Conditions, Deltas, Destination, Expected, Hold, Item, Named, PushOptions,
    PushStats, Put, Stored,
};
use crate::refspec::RefName;

use super::config::PushConfig;
use super::report::PushFacts;
use super::session::{Session, during};
use super::signing::Keys;

impl Session<'_> {
    /// Pushes a commit that is public here to every destination. Of those that fail the first is
    /// the error, if they are required.
    pub(super) fn push(&mut self, name: &RefName, commit: &Checksum, keys: &Keys) -> Result<()> {
        let Some(config) = &self.config.push else { return Ok(()) };
        self.run.step("push")?;
        let mut failed = None;
        for to in &config.to {
            let pushed = self.push_to(config, to, name, keys);
            let facts = match pushed {
                Ok(facts) => facts,
                Err(error) => {
                    let facts = PushFacts::failed(to, error.chain());
                    if !config.required {
                        self.warn(format!("not pushed to {}: {}", facts.to, error.chain()));
                    } else if failed.is_none() {
                        failed = Some((facts.to.clone(), error));
                    }
                    facts
                }
            };
            self.run.report.pushes.push(facts);
            self.run.save()?;
        }
        if let Some((to, error)) = failed {
            let what = format!(
                "{name} is published as {commit}, but not pushed to {to}; \
                 `osier compose publish` continues here"
            );
            return Err(during(what, error));
        }
        self.run.report.stage = "done";
        Ok(())
    }

    fn push_to(
        &self,
        config: &PushConfig,
        to: &str,
        name: &RefName,
        keys: &Keys,
    ) -> Result<PushFacts> {
        let surroundings = self.surroundings;
        surroundings.interrupt.check()?;
        let named = Named::find(self.repo, to)?;
        let destination = (surroundings.open_destination)(&named, &surroundings.open)?;
        let attended =
            Attended { destination: destination.as_ref(), interrupt: &surroundings.interrupt };
        let options = PushOptions {
            refs: vec![name.clone()],
            depth: Some(config.depth),
            deltas: if config.deltas { Deltas::Sent } else { Deltas::Left },
            signers: keys.all(),
            ..PushOptions::new(self.run.now())
        };
        let stats = push::push(self.repo, &attended, &options, surroundings.progress)?;
        Ok(facts(to, &stats))
    }
}

fn facts(to: &str, stats: &PushStats) -> PushFacts {
    PushFacts {
        to: to.to_owned(),
        old_commit: stats.refs.first().and_then(|pushed| pushed.old),
        objects_sent: stats.metadata_objects_sent + stats.content_objects_sent,
        delta_files_sent: stats.delta_files_sent,
        bytes_sent: stats.bytes_sent,
        error: None,
    }
}

/// A destination that is left when the user wants the run to end.
struct Attended<'a> {
    destination: &'a dyn Destination,
    interrupt: &'a Interrupt,
}

impl Destination for Attended<'_> {
    fn name(&self) -> &str {
        self.destination.name()
    }

    fn list_refs(&self) -> Result<Vec<RefName>> {
        self.interrupt.check()?;
        self.destination.list_refs()
    }

    fn list_objects(&self, found: &mut dyn FnMut(ObjectName)) -> Result<()> {
        self.interrupt.check()?;
        self.destination.list_objects(found)
    }

    fn read(&self, names: &[String], limit: u64) -> Result<Vec<Option<Stored>>> {
        self.interrupt.check()?;
        self.destination.read(names, limit)
    }

    fn upload(&self, batch: &Batch<'_>) -> Result<()> {
        let load = |item: &Item| {
            self.interrupt.check()?;
            (batch.load)(item)
        };
        self.destination.upload(&Batch { items: batch.items, load: &load, done: batch.done })
    }

    fn put_if(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Put> {
        self.destination.put_if(name, bytes, expected)
    }

    fn probe(&self, name: &str, stored: &Stored) -> Result<Conditions> {
        self.interrupt.check()?;
        self.destination.probe(name, stored)
    }

    fn hold(&self) -> Result<Hold<'_>> {
        self.interrupt.check()?;
        self.destination.hold()
    }
}
