//! Sums up what is reached from where.

use std::collections::HashSet;

use super::graph::Graph;
use super::{Amount, DuOptions, Row};
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::object::{DirTreeReader, ObjectName, ObjectType};
use crate::repo::tree::TreePath;
use crate::repo::{Repo, walk};

/// A ref or rev with its commit.
type Named = (String, Checksum);

/// What is measured.
pub(super) struct Measure<'m> {
    pub(super) repo: &'m Repo,
    pub(super) graph: &'m Graph,
    pub(super) options: &'m DuOptions,
}

/// Something that has commits: a ref with its history, or one of these commits.
pub(super) struct Holder {
    /// The ref.
    name: String,
    /// What distinguishes it from others.
    key: String,
    tip: Checksum,
    commits: Vec<Checksum>,
}

/// That no holder has an object, and that several have it.
const NOBODY: u32 = u32::MAX;
const SEVERAL: u32 = u32::MAX - 1;

impl Measure<'_> {
    /// Refs as holders.
    pub(super) fn with_histories(&self, refs: &[Named]) -> Result<Vec<Holder>> {
        let holder = |(name, tip): &Named| {
            let commits = self.history(tip, self.options.depth)?;
            Ok(Holder { name: name.clone(), key: name.clone(), tip: *tip, commits })
        };
        refs.iter().map(holder).collect()
    }

    /// Their commits as holders, each with the first ref that has it.
    pub(super) fn commits_of(&self, refs: &[Named]) -> Result<Vec<Holder>> {
        let (mut holders, mut known) = (Vec::new(), HashSet::new());
        for (name, tip) in refs {
            let commits = self.history(tip, self.options.depth)?.into_iter();
            let holder = |tip: Checksum| Holder {
                name: name.clone(),
                key: tip.to_hex(),
                tip,
                commits: vec![tip],
            };
            holders.extend(commits.filter(|commit| known.insert(*commit)).map(holder));
        }
        Ok(holders)
    }

    /// A commit and its parents, as far as they are there.
    fn history(&self, tip: &Checksum, depth: Option<u32>) -> Result<Vec<Checksum>> {
        let most = depth.map_or(usize::MAX, |parents| parents as usize);
        let steps = walk::history(self.repo, tip).take(most.saturating_add(1));
        let there = steps.take_while(|step| {
            // A ref may name a commit that is not there.
            !matches!(step, Err(Error::MissingMetadata { .. }))
        });
        there.map(|step| step.map(|(commit, _)| commit)).collect()
    }

    fn numbers(&self, commits: &[Checksum]) -> Vec<u32> {
        let number =
            |commit: &Checksum| self.graph.number(&ObjectName::new(*commit, ObjectType::Commit));
        commits.iter().filter_map(number).collect()
    }

    fn none(&self) -> Amount {
        Amount::none(self.options.sizes)
    }

    /// Which objects commits reach.
    pub(super) fn reached_from(&self, commits: &[Checksum]) -> Vec<bool> {
        let mut reached = vec![false; self.graph.len()];
        self.graph.reach(&self.numbers(commits), |number| {
            !std::mem::replace(&mut reached[number as usize], true)
        });
        reached
    }

    /// A row for each of `shown`, and all of them together. `all` count for what is shared; those
    /// that are shown may be among them. Objects of `since` do not count.
    pub(super) fn holders(
        &self,
        shown: Vec<Holder>,
        all: Vec<Holder>,
        since: &[bool],
    ) -> (Vec<Row>, Amount) {
        let keys: HashSet<&str> = shown.iter().map(|holder| holder.key.as_str()).collect();
        let others: Vec<Holder> =
            all.into_iter().filter(|other| !keys.contains(other.key.as_str())).collect();
        let mut owners = vec![NOBODY; self.graph.len()];
        let mut last = vec![NOBODY; self.graph.len()];
        let mut amounts = vec![self.none(); shown.len()];
        let mut together = self.none();
        for (holder, index) in shown.iter().chain(&others).zip(0..SEVERAL) {
            self.graph.reach(&self.numbers(&holder.commits), |number| {
                let at = number as usize;
                if since[at] || std::mem::replace(&mut last[at], index) == index {
                    return false;
                }
                if let Some(amount) = amounts.get_mut(index as usize) {
                    amount.add(self.graph.amount(number));
                    if owners[at] == NOBODY {
                        together.add(self.graph.amount(number));
                    }
                }
                owners[at] = if owners[at] == NOBODY { index } else { SEVERAL };
                true
            });
        }
        let mut exclusive = vec![self.none(); shown.len()];
        for (owner, number) in owners.iter().zip(0..) {
            if let Some(amount) = exclusive.get_mut(*owner as usize) {
                amount.add(self.graph.amount(number));
            }
        }
        let rows = shown.into_iter().zip(amounts).zip(exclusive);
        let row = |((holder, all), exclusive): ((Holder, Amount), Amount)| Row {
            rev: holder.name,
            commit: holder.tip,
            path: None,
            all,
            exclusive: Some(exclusive),
        };
        (rows.map(row).collect(), together)
    }

    /// A row for each directory of commits down to a depth, and all of them together.
    pub(super) fn directories(
        &self,
        revs: &[Named],
        depth: usize,
        since: &[bool],
    ) -> Result<(Vec<Row>, Amount)> {
        let mut rows = Vec::new();
        let mut last = vec![NOBODY; self.graph.len()];
        let mut together = self.none();
        for (name, commit) in revs {
            let root = self.repo.load_commit(commit)?;
            let mut waiting = vec![(TreePath::default(), root.root_dirtree, root.root_dirmeta)];
            while let Some((path, dirtree, dirmeta)) = waiting.pop() {
                let names = [(dirtree, ObjectType::DirTree), (dirmeta, ObjectType::DirMeta)];
                let names = names.map(|(checksum, ty)| ObjectName::new(checksum, ty));
                let roots: Vec<u32> =
                    names.iter().filter_map(|name| self.graph.number(name)).collect();
                let (mut all, index) = (self.none(), rows.len() as u32);
                self.graph.reach(&roots, |number| {
                    let before = &mut last[number as usize];
                    if since[number as usize] || *before == index {
                        return false;
                    }
                    let amount = self.graph.amount(number);
                    if std::mem::replace(before, index) == NOBODY {
                        together.add(amount);
                    }
                    all.add(amount);
                    true
                });
                if path.depth() < depth {
                    self.open(&names[0], &path, &mut waiting)?;
                }
                let path = Some(path.text());
                rows.push(Row { rev: name.clone(), commit: *commit, path, all, exclusive: None });
            }
        }
        Ok((rows, together))
    }

    /// Adds the subdirectories of a directory; the first one is at the end.
    fn open(
        &self,
        name: &ObjectName,
        path: &TreePath,
        waiting: &mut Vec<(TreePath, Checksum, Checksum)>,
    ) -> Result<()> {
        let bytes = self.repo.load_metadata(name)?;
        let reader = DirTreeReader::new(&bytes).of_object(*name)?;
        let begin = waiting.len();
        for dir in reader.dirs() {
            let dir = dir.of_object(*name)?;
            let checksums = [dir.dirtree, dir.dirmeta].map(|bytes| Checksum::from_bytes(*bytes));
            waiting.push((path.child(dir.name), checksums[0], checksums[1]));
        }
        waiting[begin..].reverse();
        Ok(())
    }

    /// All objects, and those that no ref leads to.
    pub(super) fn repository(&self, refs: &[Named]) -> Result<(Amount, Amount)> {
        let mut commits = Vec::new();
        for (_, tip) in refs {
            commits.extend(self.history(tip, None)?);
        }
        let reached = self.reached_from(&commits);
        let (mut all, mut in_no_ref) = (self.none(), self.none());
        for (is_reached, number) in reached.into_iter().zip(0..) {
            let amount = self.graph.amount(number);
            all.add(amount);
            if !is_reached {
                in_no_ref.add(amount);
            }
        }
        Ok((all, in_no_ref))
    }
}
