//! Reads what commits reach, each dirtree once, and finds which of them reach each object.
//!
//! The first pass reads commits and dirtrees level by level, in parallel, and notes what each
//! refers to. The second one goes through them in an order in which everything comes after all that
//! refers to it: the class of an object is the union of theirs.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::Table;
use super::classes::{Classes, Runs};
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::object::{DirTreeReader, ObjectName, ObjectType};
use crate::repo::Repo;

/// A commit to begin with.
#[derive(Clone, Copy, Debug)]
pub(in crate::prune) struct Root {
    pub(in crate::prune) commit: Checksum,
    pub(in crate::prune) dirtree: Checksum,
    pub(in crate::prune) dirmeta: Checksum,
}

/// A dirtree that could not be read.
#[derive(Debug)]
pub(in crate::prune) struct Hole {
    pub(in crate::prune) object: ObjectName,
    pub(in crate::prune) error: Error,
    /// The commits that reach it.
    pub(in crate::prune) commits: Vec<Checksum>,
}

/// The low bits of an object's number say which part of the names it is in.
const PART_BITS: u32 = 8;
/// The most objects in one part.
const MOST_IN_PART: u32 = 1 << (32 - PART_BITS);

/// Numbers for names.
struct Names(Vec<Mutex<HashMap<ObjectName, u32>>>);

impl Names {
    /// The number of a name, and whether it is new; `None` when there are too many.
    fn number(&self, name: ObjectName) -> Option<(u32, bool)> {
        let part = name.checksum.as_bytes()[0];
        let mut names = self.0[usize::from(part)].lock().unwrap_or_else(PoisonError::into_inner);
        let next = names.len() as u32;
        let mut is_new = false;
        let number = *names.entry(name).or_insert_with(|| {
            is_new = true;
            next
        });
        (number < MOST_IN_PART).then_some((number << PART_BITS | u32::from(part), is_new))
    }
}

/// What an object refers to, by number.
type References = (u32, Vec<u32>);

/// Walks commits, and returns what they reach and the dirtrees that could not be read, sorted.
///
/// # Errors
/// When there are too many objects.
pub(in crate::prune) fn walk(repo: &Repo, roots: &[Root]) -> Result<(Table, Vec<Hole>)> {
    let names = Names((0..=255u8).map(|_| Mutex::default()).collect());
    let number = |name| {
        names.number(name).ok_or_else(|| Error::failed("there are more than 4 billion objects"))
    };
    let mut references: Vec<References> = Vec::new();
    let mut level = Vec::new();
    for Root { commit, dirtree, dirmeta } in roots {
        let (parent, _) = number(ObjectName::new(*commit, ObjectType::Commit))?;
        let dirtree = ObjectName::new(*dirtree, ObjectType::DirTree);
        let ((dirmeta, _), (child, is_new)) =
            (number(ObjectName::new(*dirmeta, ObjectType::DirMeta))?, number(dirtree)?);
        level.extend(is_new.then_some((dirtree, child)));
        references.push((parent, vec![child, dirmeta]));
    }
    let mut holes = Vec::new();
    while !level.is_empty() {
        let read = |(name, parent): &(ObjectName, u32)| {
            let mut below = Vec::new();
            let mut children = Vec::new();
            let bytes = match repo.load_verified(name) {
                Ok(bytes) => bytes,
                Err(error) => return Ok((Err((*name, *parent, error)), below)),
            };
            let reader = DirTreeReader::new(&bytes).of_object(*name)?;
            for file in reader.files() {
                let checksum = Checksum::from_bytes(*file.of_object(*name)?.checksum);
                children.push(number(ObjectName::new(checksum, ObjectType::File))?.0);
            }
            for dir in reader.dirs() {
                let dir = dir.of_object(*name)?;
                let dirtree =
                    ObjectName::new(Checksum::from_bytes(*dir.dirtree), ObjectType::DirTree);
                let dirmeta = Checksum::from_bytes(*dir.dirmeta);
                children.push(number(ObjectName::new(dirmeta, ObjectType::DirMeta))?.0);
                let (child, is_new) = number(dirtree)?;
                children.push(child);
                below.extend(is_new.then_some((dirtree, child)));
            }
            children.sort_unstable();
            children.dedup();
            Ok((Ok((*parent, children)), below))
        };
        let found = level.par_iter().map(read).collect::<Result<Vec<_>>>()?;
        level.clear();
        for (found, below) in found {
            level.extend(below);
            match found {
                Ok(found) => references.push(found),
                Err(hole) => holes.push(hole),
            }
        }
    }
    let commits = roots.iter().map(|root| root.commit).collect();
    classify(commits, names, &references, holes)
}

/// A dirtree that could not be read, with its number.
type Unread = (ObjectName, u32, Error);

fn classify(
    commits: Vec<Checksum>,
    names: Names,
    references: &[References],
    holes: Vec<Unread>,
) -> Result<(Table, Vec<Hole>)> {
    let parts = names.0.into_iter().map(|part| part.into_inner());
    let parts: Vec<_> = parts.map(|part| part.unwrap_or_else(PoisonError::into_inner)).collect();
    // Numbers without gaps: those of each part follow those of the part before.
    let mut starts = Vec::with_capacity(parts.len());
    let mut total = 0usize;
    for part in &parts {
        starts.push(total);
        total += part.len();
    }
    let dense = |number: u32| {
        starts[(number & ((1 << PART_BITS) - 1)) as usize] + (number >> PART_BITS) as usize
    };
    // What refers to each object: the places in `references`, one object after another.
    let mut ends = vec![0usize; total + 1];
    for child in references.iter().flat_map(|(_, children)| children) {
        ends[dense(*child) + 1] += 1;
    }
    for index in 0..total {
        ends[index + 1] += ends[index];
    }
    let mut filled = ends.clone();
    let mut referrers = vec![0u32; ends[total]];
    for (place, (_, children)) in references.iter().enumerate() {
        for child in children {
            let slot = &mut filled[dense(*child)];
            referrers[*slot] = place as u32;
            *slot += 1;
        }
    }
    drop(filled);
    let mut place_of: Vec<Option<u32>> = vec![None; total];
    let mut waiting = Vec::with_capacity(references.len());
    for (place, (parent, _)) in references.iter().enumerate() {
        let parent = dense(*parent);
        place_of[parent] = Some(place as u32);
        waiting.push(ends[parent + 1] - ends[parent]);
    }
    let mut classes = Classes::default();
    // By place in `references`.
    let mut class_of = vec![0u32; references.len()];
    let mut of = Vec::new();
    let mut done = 0;
    // The commits come first there, and nothing refers to them.
    let mut ready: Vec<usize> = (0..commits.len()).rev().collect();
    while let Some(place) = ready.pop() {
        let (parent, children) = &references[place];
        let parent = dense(*parent);
        class_of[place] = match u32::try_from(place) {
            Ok(commit) if place < commits.len() => classes.number(Runs::from([(commit, commit)])),
            _ => {
                of.clear();
                of.extend(
                    referrers[ends[parent]..ends[parent + 1]]
                        .iter()
                        .map(|place| class_of[*place as usize]),
                );
                classes.union(&mut of)
            }
        };
        done += 1;
        for child in children {
            let Some(place) = place_of[dense(*child)].map(|place| place as usize) else { continue };
            waiting[place] -= 1;
            if waiting[place] == 0 {
                ready.push(place);
            }
        }
    }
    if done != references.len() {
        return Err(Error::failed("a dirtree contains itself"));
    }
    let mut class = |index: usize| match place_of[index] {
        Some(place) => class_of[place as usize],
        None => {
            of.clear();
            let by = &referrers[ends[index]..ends[index + 1]];
            of.extend(by.iter().map(|place| class_of[*place as usize]));
            classes.union(&mut of)
        }
    };
    let hole_classes: Vec<u32> = holes.iter().map(|(_, number, _)| class(dense(*number))).collect();
    let mut objects = Vec::with_capacity(parts.len());
    for (part, start) in parts.into_iter().zip(&starts) {
        let with_class =
            part.into_iter().map(|(name, number)| (name, class(start + number as usize)));
        let mut with_class: Vec<_> = with_class.collect();
        with_class.sort_unstable();
        objects.push(with_class);
    }
    let table = Table { commits, classes: classes.runs, objects };
    let holes = holes.into_iter().zip(hole_classes).map(|((object, _, error), class)| Hole {
        object,
        error,
        commits: table.of_class(class).copied().collect(),
    });
    let mut holes: Vec<Hole> = holes.collect();
    holes.sort_unstable_by_key(|hole| hole.object);
    Ok((table, holes))
}
