//! Which static delta a commit is pulled by, and what comes before its parts.
//!
//! ```text
//! offers   the deltas to a commit, by the summary and by its index
//! choice   one from a complete commit that is here, the newest; else one from nothing
//! begin    the superblock: fetched, compared with its digest, its commit verified and written
//! ```

use std::ops::Range;
use std::sync::Arc;

use super::super::checks::{Candidate, Checks};
use super::super::dry_run::Purpose;
use super::super::plan::WantedCommit;
use super::super::refs::Found;
use super::super::space::Space;
use super::super::{DeltaUse, Want};
use crate::checksum::Checksum;
use crate::delta::{self, Envelope, Requirement};
use crate::delta_format::{
    DeltaIndex, DeltaName, ObjectList, PartHeader, Superblock, deltas_in_map, index_path,
};
use crate::error::{Error, OfObject, Result};
use crate::gvariant::Dict;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::refspec::Refspec;
use crate::remote::origin::{Ask, Fetched, Origin, Side};
use crate::repo::{CommitState, Repo, Transaction};
use crate::summary::{Summary, key};

/// A delta whose superblock is here.
pub(super) struct Delta {
    pub(super) name: DeltaName,
    /// What its commit was wanted by.
    pub(super) want: Want,
    /// The superblock's file.
    file: Vec<u8>,
    /// So that the superblock, which may have many parts, is not read again for each.
    parts: Vec<PartPlace>,
}

/// What a superblock says of a part, with places in its file.
struct PartPlace {
    /// Without the objects.
    header: PartHeader<'static>,
    objects: Range<usize>,
    /// The part itself, if it is inlined.
    inlined: Option<Range<usize>>,
}

impl Delta {
    fn new(name: DeltaName, want: Want, file: Vec<u8>) -> Result<Self> {
        let superblock = Envelope::decode(&file)?.superblock()?;
        let inlined = superblock.inlined_parts();
        let place = |(number, part): (usize, &PartHeader<'_>)| {
            let PartHeader { version, checksum, size, content_size, objects } = *part;
            let none = ObjectList::default();
            PartPlace {
                header: PartHeader { version, checksum, size, content_size, objects: none },
                objects: place_in(&file, objects.bytes()),
                inlined: inlined.part(number).map(|part| place_in(&file, part)),
            }
        };
        let parts = superblock.parts.iter().enumerate().map(place).collect();
        Ok(Self { name, want, file, parts })
    }

    /// The superblock, which is read anew.
    pub(super) fn superblock(&self) -> Result<Superblock<'_>> {
        Envelope::decode(&self.file)?.superblock()
    }

    /// What the superblock says of a part.
    ///
    /// # Errors
    /// When it has no such part.
    pub(super) fn part(&self, number: usize) -> Result<PartHeader<'_>> {
        let place = self.place(number)?;
        let objects = self.file.get(place.objects.clone()).unwrap_or_default();
        Ok(PartHeader { objects: ObjectList::decode(objects).map_err(refused)?, ..place.header })
    }

    /// The bytes of a part's file.
    pub(super) fn part_size(&self, number: usize) -> u64 {
        self.parts.get(number).map_or(0, |place| place.header.size)
    }

    /// The checksum of a part's file.
    pub(super) fn part_checksum(&self, number: usize) -> Option<Checksum> {
        self.parts.get(number).map(|place| place.header.checksum)
    }

    /// A part that is in the superblock.
    pub(super) fn inlined_part(&self, number: usize) -> Option<&[u8]> {
        let range = self.parts.get(number)?.inlined.clone()?;
        Some(self.file.get(range).unwrap_or_default())
    }

    fn place(&self, number: usize) -> Result<&PartPlace> {
        let missing = || Error::failed(format!("there is no part {number} of {}", self.name));
        self.parts.get(number).ok_or_else(missing)
    }
}

/// Where in a file bytes are that were taken from it.
fn place_in(file: &[u8], bytes: &[u8]) -> Range<usize> {
    let start = bytes.as_ptr().addr().saturating_sub(file.as_ptr().addr());
    start..start.saturating_add(bytes.len())
}

/// How a commit is pulled.
pub(super) enum Choice {
    /// Object by object.
    Objects,
    /// Not at all: it is there, and only deltas may be used.
    Nothing,
    /// By this delta.
    Delta(Arc<Delta>),
}

/// What a search for deltas serves.
pub(super) struct Goal {
    pub(super) purpose: Purpose,
    /// What has to fit.
    pub(super) space: Space,
}

/// The search for deltas in one pull.
pub(super) struct Search<'s, 'r> {
    pub(super) transaction: &'s Transaction<'r>,
    pub(super) origin: &'s Origin<'s>,
    pub(super) checks: &'s Checks<'s>,
    offers: Vec<(DeltaName, Checksum)>,
    /// Whether the server has an index for each commit with deltas.
    indexed: bool,
    /// Whether the server has said by a summary or the index which deltas there are.
    is_told: bool,
    /// Indexes and superblocks that were asked for.
    pub(super) requests: u64,
    pub(super) goal: Goal,
}

/// A delta to try.
struct Candidacy {
    name: DeltaName,
    digest: Option<Checksum>,
}

impl<'s, 'r> Search<'s, 'r> {
    /// Prepares for the deltas that a summary offers; `indexed` says that each commit with deltas
    /// has an index.
    ///
    /// # Errors
    /// When the summary's map of deltas is malformed.
    pub(super) fn new(
        transaction: &'s Transaction<'r>,
        origin: &'s Origin<'s>,
        checks: &'s Checks<'s>,
        (summary, indexed): (Option<&Summary>, bool),
        goal: Goal,
    ) -> Result<Self> {
        let map = summary.and_then(|summary| summary.metadata.get(key::STATIC_DELTAS));
        let offers = match map.and_then(|map| Dict::from_variant(map.view())) {
            Some(map) => deltas_in_map(&map).map_err(refused)?,
            None => Vec::new(),
        };
        let is_told = summary.is_some() || indexed;
        let requests = 0;
        Ok(Self { transaction, origin, checks, offers, indexed, is_told, requests, goal })
    }

    fn repo(&self) -> &'r Repo {
        self.transaction.repo()
    }

    fn is_required(&self) -> bool {
        self.checks.options.deltas == DeltaUse::Required
    }

    /// Decides how a commit is pulled. The commit of a delta is written, and marked as partial.
    ///
    /// # Errors
    /// When deltas are required and there is none; when a superblock cannot be fetched, is another
    /// one than was offered, or its commit is refused.
    pub(super) fn choose(&mut self, found: &Found) -> Result<Choice> {
        let target = found.commit;
        let is_complete = self.is_complete(&target)?;
        let candidacy = match self.is_told {
            true => {
                let offers = self.offers_to(&target)?;
                if is_complete {
                    let nothing = self.is_required();
                    return Ok(if nothing { Choice::Nothing } else { Choice::Objects });
                }
                self.best(&offers, found)?
            }
            false => self.guess(found, is_complete)?,
        };
        let Some(candidacy) = candidacy else {
            if !self.is_required() || is_complete {
                return Ok(Choice::Objects);
            }
            let name = found.want.name().map(|name| name.as_str()).unwrap_or_default();
            return Err(Error::failed(format!(
                "Static deltas required, but none found for {name} to {target}"
            )));
        };
        self.begin(&candidacy, found)
    }

    /// The deltas to a commit: those of its index, then those of the summary.
    fn offers_to(&mut self, target: &Checksum) -> Result<Vec<(DeltaName, Checksum)>> {
        let mut offers = Vec::new();
        if self.indexed {
            self.requests += 1;
            let path = index_path(target);
            let path = path.to_string_lossy();
            if let Fetched::File(bytes, _) =
                self.origin.fetch(Side::Content, &path, &Ask::default())?
            {
                offers = DeltaIndex::decode(&bytes).map_err(refused)?.deltas;
            }
        }
        for (name, digest) in &self.offers {
            if !offers.iter().any(|(known, _)| known == name) {
                offers.push((*name, *digest));
            }
        }
        offers.retain(|(name, _)| name.to == *target);
        Ok(offers)
    }

    /// The delta from the newest commit that is there, else the one from nothing.
    fn best(&self, offers: &[(DeltaName, Checksum)], found: &Found) -> Result<Option<Candidacy>> {
        let mut best: Option<(u64, Candidacy)> = None;
        for (name, digest) in offers {
            let Some(from) = name.from else { continue };
            if !self.is_complete(&from)? {
                continue;
            }
            let time = self.repo().load_commit(&from)?.timestamp;
            if best.as_ref().is_none_or(|(newest, _)| time > *newest) {
                best = Some((time, Candidacy { name: *name, digest: Some(*digest) }));
            }
        }
        if let Some((_, candidacy)) = best {
            return Ok(Some(candidacy));
        }
        let scratch = offers.iter().find(|(name, _)| name.from.is_none());
        let Some((name, digest)) = scratch else { return Ok(None) };
        // With most of it there already, objects are less. Where only deltas may be used it is the
        // only one; upstream then pulls objects.
        let has_current = match self.current(found)? {
            Some(current) => {
                self.repo().has_object(&ObjectName::new(current, ObjectType::Commit))?
            }
            None => false,
        };
        let use_it = !has_current || self.is_required();
        Ok(use_it.then_some(Candidacy { name: *name, digest: Some(*digest) }))
    }

    /// The delta that an old server may have, which cannot say.
    fn guess(&self, found: &Found, is_complete: bool) -> Result<Option<Candidacy>> {
        if is_complete {
            return Ok(None);
        }
        let from = match self.current(found)? {
            Some(current) if current == found.commit => return Ok(None),
            Some(current) if self.is_complete(&current)? => Some(current),
            _ => None,
        };
        let name = DeltaName { from, to: found.commit };
        Ok(Some(Candidacy { name, digest: None }))
    }

    /// The present commit of a ref.
    fn current(&self, found: &Found) -> Result<Option<Checksum>> {
        let Some(name) = found.want.name() else { return Ok(None) };
        let refspec = Refspec { remote: self.checks.options.remote.clone(), name: name.clone() };
        self.repo().try_resolve_rev(&refspec.to_string())
    }

    fn is_complete(&self, commit: &Checksum) -> Result<bool> {
        Ok(self.repo().has_object(&ObjectName::new(*commit, ObjectType::Commit))?
            && self.repo().commit_state(commit)? == CommitState::Complete)
    }

    /// Fetches the superblock, and writes the commit in it if it passes the checks.
    fn begin(&mut self, candidacy: &Candidacy, found: &Found) -> Result<Choice> {
        let name = candidacy.name;
        let path = name.superblock_path();
        self.requests += 1;
        let file =
            match self.origin.fetch(Side::Content, &path.to_string_lossy(), &Ask::default())? {
                Fetched::File(bytes, _) => bytes,
                Fetched::Absent | Fetched::NotModified if self.is_required() => {
                    let from = name.from.map_or("(null)".to_owned(), |from| from.to_string());
                    return Err(Error::failed(format!(
                        "Static deltas required, but none found for {from} to {}",
                        name.to
                    )));
                }
                Fetched::Absent | Fetched::NotModified => return Ok(Choice::Objects),
            };
        match candidacy.digest {
            Some(digest) if digest != Checksum::of(&file) => {
                return Err(Error::failed(format!("Invalid checksum for static delta {name}")));
            }
            None if self.checks.options.demands.summary.demands_gpg() => {
                return Err(Error::failed(
                    "GPG verification enabled, but no summary signatures found \
                     (use gpg-verify-summary=false in remote config to disable)",
                ));
            }
            _ => {}
        }
        let delta = Delta::new(name, found.want.clone(), file)?;
        let envelope = Envelope::decode(&delta.file)?;
        self.verify_signature(&envelope)?;
        let superblock = envelope.superblock()?;
        if superblock.name() != name {
            let other = superblock.name();
            return Err(Error::failed(format!("Static delta {name} is in fact {other}")));
        }
        for fallback in &superblock.fallbacks {
            fallback.file().map_err(refused)?;
        }
        self.count_content(&superblock)?;
        if self.goal.purpose == Purpose::Fetch {
            self.write_commit(&superblock, found)?;
        }
        Ok(Choice::Delta(Arc::new(delta)))
    }

    /// Verifies the signature of a superblock where the config of the repository asks for that.
    fn verify_signature(&self, envelope: &Envelope<'_>) -> Result<()> {
        match (Requirement::of(self.repo())?, &envelope.signatures) {
            (Requirement::Never, _) | (Requirement::WhereSigned, None) => return Ok(()),
            (Requirement::Always, None) => {
                return Err(Error::failed("no signatures in static-delta"));
            }
            (_, Some(_)) => {}
        }
        let mut last = Error::failed("no keys to verify the signature of a static delta with");
        for engine in &self.checks.options.demands.commits.engines {
            let Ok(keys) = &engine.keys else { continue };
            match delta::verify(envelope, keys) {
                Ok(_) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Counts what is missing of a delta, which must fit.
    fn count_content(&mut self, superblock: &Superblock<'_>) -> Result<()> {
        let mut content = 0u64;
        for part in &superblock.parts {
            if !delta::is_present(self.transaction, part)? {
                content = content.saturating_add(part.content_size);
            }
        }
        for fallback in &superblock.fallbacks {
            if !self.transaction.was_present(&fallback.name)? {
                content = content.saturating_add(fallback.content_size);
            }
        }
        self.goal.space.add_delta(content)
    }

    /// Writes the commit of a superblock, unless it is there: then the scan checks it.
    fn write_commit(&self, superblock: &Superblock<'_>, found: &Found) -> Result<()> {
        let name = ObjectName::new(superblock.to, ObjectType::Commit);
        if self.transaction.was_present(&name)? {
            return Ok(());
        }
        super::metadata::verify(&name, superblock.commit)?;
        let commit = Commit::decode(superblock.commit).of_object(name)?;
        let detached = superblock.detached_metadata().map(|metadata| metadata.encode());
        let wanted = WantedCommit {
            commit: superblock.to,
            found_by: Some(found.want.clone()),
            is_parent: false,
        };
        self.checks.check(&Candidate {
            wanted: &wanted,
            bytes: superblock.commit,
            commit: &commit,
            detached: detached.as_deref(),
            is_stored: false,
        })?;
        if self.repo().commit_state(&superblock.to)? == CommitState::Complete {
            self.repo().mark_commit(&superblock.to, CommitState::Partial)?;
        }
        delta::apply_commit(self.transaction, superblock)
    }
}

fn refused(error: crate::gvariant::DecodeError) -> Error {
    Error::failed(error.what)
}
