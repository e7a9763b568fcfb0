//! Which commits reach each object.
//!
//! Every object has a class, the set of the commits that reach it, and objects with equal sets
//! share one. There are few: in a history nearly all objects are in the commits from one to
//! another. So what any choice of commits keeps is answered without looking at trees, and a table
//! holds for as long as the commits do, because what a commit reaches never changes. It is kept in
//! a file, see [`mod@cache`].

mod cache;
mod classes;
mod walk;

use std::collections::HashMap;

use rayon::prelude::*;

use crate::checksum::Checksum;
use crate::object::ObjectName;

use classes::{Classes, Runs, normal};

pub(super) use cache::{load, save};
pub(super) use walk::{Root, walk};

/// The commits that reach each object.
#[derive(Debug)]
pub(super) struct Table {
    /// By number.
    commits: Vec<Checksum>,
    /// Sets of commits, by number.
    classes: Vec<Runs>,
    /// By the first byte of their checksums, and sorted: objects with their classes.
    objects: Vec<Vec<(ObjectName, u32)>>,
}

impl Default for Table {
    fn default() -> Self {
        Self { commits: Vec::new(), classes: Vec::new(), objects: vec![Vec::new(); 256] }
    }
}

impl Table {
    pub(super) fn commits(&self) -> &[Checksum] {
        &self.commits
    }

    /// The commits of a class.
    fn of_class(&self, class: u32) -> impl Iterator<Item = &Checksum> {
        let runs = self.classes.get(class as usize).into_iter().flatten();
        runs.flat_map(|(first, last)| *first..=*last)
            .filter_map(|number| self.commits.get(number as usize))
    }

    /// What each class is worth: the best that its commits are, in the sense of `Ord`.
    pub(super) fn best<T: Ord + Copy + Send + Sync>(
        &self,
        of: impl Fn(&Checksum) -> T + Sync,
    ) -> Vec<Option<T>> {
        // Level by level the best of 1, 2, 4 ... commits, so that two of them are that of any run.
        let mut levels: Vec<Vec<T>> = vec![self.commits.iter().map(of).collect()];
        while let Some(last) = levels.last().filter(|last| last.len() > 1 << (levels.len() - 1)) {
            let width = 1 << (levels.len() - 1);
            let next = last.iter().zip(&last[width..]).map(|(one, other)| *one.max(other));
            let next = next.collect();
            levels.push(next);
        }
        let of_run = |(first, last): &(u32, u32)| {
            let length = last.checked_sub(*first)?.checked_add(1)?;
            let level = levels.get(length.ilog2() as usize)?;
            let second = (last + 1).checked_sub(1 << length.ilog2())?;
            Some(*level.get(*first as usize)?.max(level.get(second as usize)?))
        };
        let best = |runs: &Runs| runs.iter().filter_map(of_run).max();
        self.classes.par_iter().map(best).collect()
    }

    /// The class of an object.
    pub(super) fn class(&self, name: &ObjectName) -> Option<u32> {
        let objects = self.objects.get(usize::from(name.checksum.as_bytes()[0]))?;
        let found = objects.binary_search_by(|(other, _)| other.cmp(name)).ok()?;
        objects.get(found).map(|(_, class)| *class)
    }

    /// Calls `each` with sorted names that start with this byte, and their classes.
    pub(super) fn join(
        &self,
        first: u8,
        names: &[ObjectName],
        mut each: impl FnMut(&ObjectName, Option<u32>),
    ) {
        let mut objects = self.objects[usize::from(first)].iter().peekable();
        for name in names {
            while objects.next_if(|(other, _)| other < name).is_some() {}
            each(name, objects.next_if(|(other, _)| other == name).map(|(_, class)| *class));
        }
    }

    /// Both tables in one, of these commits alone, with their numbers in this order. What none of
    /// them reaches is left out.
    pub(super) fn merged(self, other: Self, order: &[Checksum]) -> Self {
        let numbers: HashMap<Checksum, u32> = order.iter().copied().zip(0..).collect();
        let mut classes = Classes::default();
        let [ours, theirs] = [&self, &other].map(|table| table.renumbered(&numbers, &mut classes));
        let mut both = Vec::with_capacity(2);
        let mut objects = Vec::with_capacity(256);
        for (a, b) in self.objects.into_iter().zip(other.objects) {
            let known = |from: Vec<(ObjectName, u32)>, to: &[Option<u32>]| {
                let kept = from.into_iter().filter_map(|(name, class)| {
                    let class = to.get(class as usize).copied().flatten();
                    class.map(|class| (name, class))
                });
                kept.collect::<Vec<_>>()
            };
            let (a, b) = (known(a, &ours), known(b, &theirs));
            if b.is_empty() {
                objects.push(a);
                continue;
            }
            let mut merged = Vec::with_capacity(a.len() + b.len());
            let mut a = a.into_iter().peekable();
            for (name, class) in b {
                while let Some(before) = a.next_if(|(other, _)| *other < name) {
                    merged.push(before);
                }
                both.push(class);
                both.extend(a.next_if(|(other, _)| *other == name).map(|(_, class)| class));
                merged.push((name, classes.union(&mut both)));
                both.clear();
            }
            merged.extend(a);
            objects.push(merged);
        }
        Self { commits: order.to_vec(), classes: classes.runs, objects }
    }

    /// The numbers of the classes among others, with other numbers for the commits; `None` for
    /// those that none of these commits is in.
    fn renumbered(
        &self,
        numbers: &HashMap<Checksum, u32>,
        classes: &mut Classes,
    ) -> Vec<Option<u32>> {
        let renumber = |class: u32| {
            let commits = self.of_class(class).filter_map(|commit| numbers.get(commit));
            normal(commits.map(|number| (*number, *number)).collect())
        };
        let renumbered: Vec<Runs> =
            (0..self.classes.len() as u32).into_par_iter().map(renumber).collect();
        renumbered
            .into_iter()
            .map(|runs| (!runs.is_empty()).then(|| classes.number(runs)))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_of_a_class_is_that_of_its_commits() {
        let commits: Vec<Checksum> = (0..13u8).map(|number| Checksum::of(&[number])).collect();
        let worth = |commit: &Checksum| commit.as_bytes()[0];
        let ranges = (0..13u32).flat_map(|first| (first..13).map(move |last| (first, last)));
        let classes: Vec<Runs> = ranges.map(|run| Runs::from([run])).collect();
        let table = Table { commits, classes, ..Table::default() };
        for (class, best) in table.best(worth).into_iter().enumerate() {
            let expected = table.of_class(class as u32).map(worth).max();
            assert_eq!(best, expected, "{:?}", table.classes[class]);
            assert!(best.is_some());
        }
    }
}
