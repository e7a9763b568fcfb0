//! The static deltas that lead to pushed commits: parts, then superblocks, then the indexes that
//! clients find them in. A delta that is there already stays as it is.

use std::collections::BTreeMap;

use super::PushOptions;
use super::content::delta_files;
use super::destination::{Destination, Expected, Item, Put};
use super::there::MAX_SMALL;
use super::wanted::Moving;
use crate::checksum::{Checksum, Hasher};
use crate::delta_format::{DeltaIndex, DeltaName, index_path};
use crate::error::{Error, Result};
use crate::repo::{Repo, deltas};

/// The most that is read of an index, in bytes.
const MAX_INDEX: u64 = 64 * MAX_SMALL;
/// How often an index is written anew because another builder has written it meanwhile.
const ATTEMPTS: u32 = 100;

/// Deltas to be sent.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// The files of their parts.
    pub(super) parts: Vec<Item>,
    /// Their superblocks.
    pub(super) superblocks: Vec<Item>,
    /// All deltas that lead to pushed commits here, with the digests of their superblocks.
    pub(super) deltas: Vec<(DeltaName, Checksum)>,
}

/// Decides which deltas are sent.
///
/// # Errors
/// When one cannot be read here, or an index not there.
pub(super) fn plan(repo: &Repo, destination: &dyn Destination, moving: &[Moving]) -> Result<Plan> {
    let mut wanted = deltas::list(repo)?;
    wanted.retain(|name| moving.iter().any(|moving| moving.commit == name.to));
    let mut plan = Plan::default();
    for (to, names) in by_target(wanted.into_iter().map(|name| (name, name))) {
        let (there, _) = read_index(destination, &to)?;
        for name in names {
            if let Some(known) = there.deltas.iter().find(|(other, _)| *other == name) {
                plan.deltas.push(*known);
                continue;
            }
            for file in delta_files(repo, &name.directory())? {
                match file.ends_with("/superblock") {
                    true => plan.superblocks.push(Item::Delta(file)),
                    false => plan.parts.push(Item::Delta(file)),
                }
            }
            plan.deltas.push((name, digest(repo, &name)?));
        }
    }
    Ok(plan)
}

fn by_target<T>(names: impl Iterator<Item = (DeltaName, T)>) -> BTreeMap<Checksum, Vec<T>> {
    let mut by_target = BTreeMap::<Checksum, Vec<T>>::new();
    for (name, value) in names {
        by_target.entry(name.to).or_default().push(value);
    }
    by_target
}

fn digest(repo: &Repo, name: &DeltaName) -> Result<Checksum> {
    let path = name.superblock_path().to_string_lossy().into_owned();
    let mut superblock = super::content::load(repo, &Item::Delta(path.clone()))?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        use crate::error::During as _;
        match superblock.read(&mut buffer).during("reading", &path)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&buffer[..length]),
        }
    }
}

/// Adds the deltas to the indexes there.
///
/// # Errors
/// When an index cannot be read or written.
pub(super) fn index(
    destination: &dyn Destination,
    deltas: &[(DeltaName, Checksum)],
    options: &PushOptions,
) -> Result<()> {
    for (to, own) in by_target(deltas.iter().map(|delta| (delta.0, *delta))) {
        add_to_index(destination, (&to, &own), options)?;
    }
    Ok(())
}

fn add_to_index(
    destination: &dyn Destination,
    (to, own): (&Checksum, &[(DeltaName, Checksum)]),
    options: &PushOptions,
) -> Result<()> {
    for _ in 0..ATTEMPTS {
        let (mut index, stored) = read_index(destination, to)?;
        let before = index.deltas.clone();
        index.deltas.retain(|(name, _)| own.iter().all(|(other, _)| other != name));
        index.deltas.extend_from_slice(own);
        index.deltas.sort_unstable();
        if index.deltas == before {
            return Ok(());
        }
        let expected = if options.is_locked() { stored } else { Expected::Anything };
        if destination.put_if(&path(to), &index.encode(), &expected)? == Put::Done {
            return Ok(());
        }
    }
    Err(Error::failed(format!(
        "{} of {} changed whenever it was to be written",
        path(to),
        destination.name()
    )))
}

fn path(to: &Checksum) -> String {
    index_path(to).to_string_lossy().into_owned()
}

fn read_index(destination: &dyn Destination, to: &Checksum) -> Result<(DeltaIndex, Expected)> {
    let stored = destination.read(&[path(to)], MAX_INDEX)?.pop().flatten();
    let Some(stored) = stored else { return Ok((DeltaIndex::default(), Expected::Absent)) };
    let index = DeltaIndex::decode(&stored.bytes).map_err(|source| Error::Malformed {
        what: format!("{} of {}", path(to), destination.name()),
        source,
    })?;
    Ok((index, Expected::as_read(Some(&stored))))
}
