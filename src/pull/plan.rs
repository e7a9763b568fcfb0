//! A pull as a state machine: which objects are wanted, which have been requested, and which follow
//! from those that have arrived.
//!
//! There is no I/O here, no thread and no clock. A source takes what is wanted, gets it in any
//! order, and answers for each thing; what that leads to is wanted next. A source that has
//! everything at hand takes all at once, one that is far away takes as much as it can ask for at a
//! time. Every dirtree below a commit that is not complete is wanted, even if it is stored: a pull
//! that was cut short may have left it without what it lists. The answer is then the stored one.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use super::names::Names;
use super::{PullOptions, Want};
use crate::checksum::Checksum;
use crate::error::{OfObject, Result};
use crate::gvariant::DecodeError;
use crate::object::{Commit, DirTreeReader, ObjectName, ObjectType};

/// What is asked for first: all that can lead to more comes before content.
const CLASSES: usize = 2;

fn class(object_type: ObjectType) -> usize {
    usize::from(object_type == ObjectType::File)
}

/// What is wanted and known. Memory grows with what has been found: at most 90 bytes an object, and
/// with subpaths the paths of directories that wait.
pub(super) struct Plan {
    /// How many generations of parents are followed; `None` is all.
    depth: Option<u32>,
    /// Whether nothing is wanted but commits.
    commits_only: bool,
    /// The only paths that are wanted; all if there are none.
    subpaths: Vec<String>,
    /// With subpaths, where the dirtrees are that are wanted.
    paths: HashMap<Checksum, String>,
    commits: HashMap<Checksum, KnownCommit>,
    wanted_commits: VecDeque<WantedCommit>,
    /// The objects that were wanted once, as long as others can be found.
    known: Names,
    /// Those that were not handed out yet, by their numbers.
    wanted: [Vec<u32>; CLASSES],
    /// Commits, dirtrees and dirmetas that were handed out and not answered yet.
    unanswered: usize,
    /// File objects that were found.
    files: u64,
}

/// A commit that was handed out, or soon will be.
struct KnownCommit {
    /// The fewest steps from a requested commit.
    generation: u32,
    /// Known once the commit has arrived.
    parent: Option<Checksum>,
}

/// A commit to get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedCommit {
    pub(super) commit: Checksum,
    /// What it was found by; `None` for a parent.
    pub(super) found_by: Option<Want>,
    /// Whether it is wanted only because another one names it as its parent. It may be absent then.
    pub(super) is_parent: bool,
}

/// What a source has of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Completeness {
    /// All that it reaches is stored.
    Complete,
    /// Objects may be missing.
    Partial,
}

impl Plan {
    pub(super) fn new(options: &PullOptions) -> Self {
        let subpaths: Vec<_> =
            options.subpaths.iter().map(|path| path.trim_end_matches('/').to_owned()).collect();
        // The root is everything.
        let all = subpaths.iter().any(String::is_empty);
        Self {
            depth: options.depth,
            commits_only: options.commit_metadata_only,
            subpaths: if all { Vec::new() } else { subpaths },
            paths: HashMap::new(),
            commits: HashMap::new(),
            wanted_commits: VecDeque::new(),
            known: Names::default(),
            wanted: Default::default(),
            unanswered: 0,
            files: 0,
        }
    }

    /// Asks for a commit with its parents.
    pub(super) fn want(&mut self, commit: &Checksum, found_by: &Want) {
        let wanted =
            WantedCommit { commit: *commit, found_by: Some(found_by.clone()), is_parent: false };
        self.want_commit(wanted, 0);
    }

    fn want_commit(&mut self, wanted: WantedCommit, mut generation: u32) {
        match self.commits.entry(wanted.commit) {
            Entry::Vacant(entry) => {
                entry.insert(KnownCommit { generation, parent: None });
                // A history is followed to its end before the next one is begun.
                if wanted.is_parent {
                    self.wanted_commits.push_front(wanted);
                } else {
                    self.wanted_commits.push_back(wanted);
                }
            }
            Entry::Occupied(_) => {
                // It is known, but perhaps more of its parents are wanted than before.
                let mut next = Some(wanted.commit);
                while let Some(commit) = next {
                    let Some(known) =
                        self.commits.get_mut(&commit).filter(|known| known.generation > generation)
                    else {
                        break;
                    };
                    known.generation = generation;
                    next =
                        known.parent.filter(|_| self.depth.is_none_or(|depth| generation < depth));
                    generation = generation.saturating_add(1);
                    if let Some(parent) = next.filter(|parent| !self.commits.contains_key(parent)) {
                        let wanted =
                            WantedCommit { commit: parent, found_by: None, is_parent: true };
                        return self.want_commit(wanted, generation);
                    }
                }
            }
        }
    }

    /// Hands out the next commit; [`Plan::commit_arrived`] or [`Plan::commit_is_absent`] is the
    /// answer.
    pub(super) fn next_commit(&mut self) -> Option<WantedCommit> {
        let wanted = self.wanted_commits.pop_front()?;
        self.unanswered += 1;
        Some(wanted)
    }

    /// A commit has arrived: its parent is wanted if the depth says so, its tree unless it is
    /// complete.
    ///
    /// # Errors
    /// When it is its own ancestor, which only damaged commits can be.
    pub(super) fn commit_arrived(
        &mut self,
        name: &Checksum,
        commit: &Commit,
        completeness: Completeness,
    ) -> Result<()> {
        self.unanswered = self.unanswered.saturating_sub(1);
        if completeness == Completeness::Partial && !self.commits_only {
            self.want_object(ObjectName::new(commit.root_dirmeta, ObjectType::DirMeta))?;
            self.want_dirtree(commit.root_dirtree, String::new())?;
        }
        let Some(known) = self.commits.get_mut(name) else { return Ok(()) };
        let generation = known.generation;
        known.parent = commit.parent;
        let Some(parent) =
            commit.parent.filter(|_| self.depth.is_none_or(|depth| generation < depth))
        else {
            return Ok(());
        };
        if self.leads_to(&parent, name) {
            return Err(DecodeError::new("the commit is its own ancestor"))
                .of_object(ObjectName::new(parent, ObjectType::Commit));
        }
        let wanted = WantedCommit { commit: parent, found_by: None, is_parent: true };
        self.want_commit(wanted, generation.saturating_add(1));
        Ok(())
    }

    /// The source does not have the commit. It stays wanted if it is asked for again.
    pub(super) fn commit_is_absent(&mut self, wanted: &WantedCommit) {
        self.unanswered = self.unanswered.saturating_sub(1);
        self.commits.remove(&wanted.commit);
    }

    /// Whether the known history of a commit has another one in it.
    fn leads_to(&self, commit: &Checksum, ancestor: &Checksum) -> bool {
        // No known history goes in a circle: the commit that would close it has been refused.
        let mut next = Some(*commit);
        while let Some(commit) = next {
            if commit == *ancestor {
                return true;
            }
            next = self.commits.get(&commit).and_then(|known| known.parent);
        }
        false
    }

    /// All commits that were requested or reached as parents.
    pub(super) fn into_commits(self) -> impl Iterator<Item = Checksum> {
        self.commits.into_keys()
    }

    fn want_object(&mut self, name: ObjectName) -> Result<()> {
        if let Some(number) = self.known.insert(name)? {
            self.files += u64::from(name.object_type == ObjectType::File);
            self.wanted[class(name.object_type)].push(number);
        }
        Ok(())
    }

    /// The number of file objects found so far.
    #[cfg(feature = "pull")]
    pub(super) fn files_found(&self) -> u64 {
        self.files
    }

    /// Whether objects may be found that are not known yet.
    #[cfg(feature = "pull")]
    pub(super) fn grows(&self) -> bool {
        let [metadata, _] = &self.wanted;
        self.unanswered > 0 || !self.wanted_commits.is_empty() || !metadata.is_empty()
    }

    /// Hands out at most this many objects, in no order: dirtrees and dirmetas, or files if there
    /// are none of these. [`Plan::arrived`] is the answer for each. The last one found comes first,
    /// so that few wait.
    pub(super) fn take(&mut self, most: usize) -> Vec<ObjectName> {
        let known = &self.known;
        let wanted = self.wanted.iter_mut().find(|wanted| !wanted.is_empty());
        let taken: Vec<_> = wanted
            .map(|wanted| wanted.drain(wanted.len().saturating_sub(most)..))
            .into_iter()
            .flatten()
            .map(|number| known.name(number))
            .collect();
        if taken.first().is_some_and(|name| name.object_type != ObjectType::File) {
            self.unanswered += taken.len();
        } else if self.unanswered == 0 && self.wanted_commits.is_empty() {
            // Nothing can lead to more.
            match taken.is_empty() {
                true => self.known = Names::default(),
                false => self.known.forget(),
            }
        }
        taken
    }

    /// A dirtree, dirmeta or file is stored now; what a dirtree lists is wanted.
    ///
    /// # Errors
    /// When a dirtree is malformed; nothing of it is wanted then.
    pub(super) fn arrived(&mut self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        if name.object_type == ObjectType::File {
            return Ok(());
        }
        self.unanswered = self.unanswered.saturating_sub(1);
        if name.object_type != ObjectType::DirTree {
            return Ok(());
        }
        let path = self.paths.remove(&name.checksum);
        let reader = DirTreeReader::new(bytes).of_object(*name)?;
        reader.check().of_object(*name)?;
        for file in reader.files() {
            let file = file.of_object(*name)?;
            if path.as_ref().is_some_and(|path| !self.is_wanted(&join(path, file.name))) {
                continue;
            }
            self.want_object(ObjectName::new(
                Checksum::from_bytes(*file.checksum),
                ObjectType::File,
            ))?;
        }
        for dir in reader.dirs() {
            let dir = dir.of_object(*name)?;
            let below = path.as_ref().map(|path| join(path, dir.name)).unwrap_or_default();
            if path.is_some() && !self.is_wanted(&below) && !self.leads_to_wanted(&below) {
                continue;
            }
            self.want_object(ObjectName::new(
                Checksum::from_bytes(*dir.dirmeta),
                ObjectType::DirMeta,
            ))?;
            self.want_dirtree(Checksum::from_bytes(*dir.dirtree), below)?;
        }
        Ok(())
    }

    fn want_dirtree(&mut self, checksum: Checksum, path: String) -> Result<()> {
        let name = ObjectName::new(checksum, ObjectType::DirTree);
        if !self.subpaths.is_empty() && !self.known.contains(&name) {
            self.paths.insert(checksum, path);
        }
        self.want_object(name)
    }

    /// Whether a path is one of the subpaths, or below one.
    fn is_wanted(&self, path: &str) -> bool {
        let below = |parent: &String| {
            path.strip_prefix(parent.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.subpaths.iter().any(below)
    }

    /// Whether a subpath is below a directory.
    fn leads_to_wanted(&self, directory: &str) -> bool {
        let below =
            |path: &String| path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'));
        self.subpaths.iter().any(below)
    }
}

fn join(directory: &str, name: &str) -> String {
    format!("{directory}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Dict;
    use crate::object::{DirEntry, DirTree};
    use crate::refspec::RefName;

    fn plan(depth: Option<u32>, commit_metadata_only: bool) -> Plan {
        Plan::new(&PullOptions { depth, commit_metadata_only, ..PullOptions::default() })
    }

    fn checksum(number: u8) -> Checksum {
        Checksum::from_bytes([number; 32])
    }

    fn object(number: u8, object_type: ObjectType) -> ObjectName {
        ObjectName::new(checksum(number), object_type)
    }

    /// A commit with dirtree 100 and dirmeta 200.
    fn commit(parent: Option<u8>) -> Commit {
        Commit {
            metadata: Dict::default(),
            parent: parent.map(checksum),
            related: Vec::new(),
            subject: String::new(),
            body: String::new(),
            timestamp: 0,
            root_dirtree: checksum(100),
            root_dirmeta: checksum(200),
        }
    }

    fn dirtree(files: &[u8], dirs: &[u8]) -> Vec<u8> {
        let files = files.iter().map(|file| (format!("f{file:03}"), checksum(*file))).collect();
        let dirs = dirs.iter().map(|dir| DirEntry {
            name: format!("d{dir:03}"),
            dirtree: checksum(*dir),
            dirmeta: checksum(200),
        });
        DirTree { files, dirs: dirs.collect() }.encode()
    }

    /// Answers for all commits from a history where each one's parent has the next number, up to 9;
    /// returns what was asked for.
    fn answer(plan: &mut Plan, completeness: Completeness) -> Vec<u8> {
        let mut asked = Vec::new();
        while let Some(wanted) = plan.next_commit() {
            let number = wanted.commit.as_bytes()[0];
            asked.push(number);
            if number > 9 {
                assert!(wanted.is_parent);
                plan.commit_is_absent(&wanted);
            } else {
                plan.commit_arrived(&wanted.commit, &commit(Some(number + 1)), completeness)
                    .unwrap();
            }
        }
        asked
    }

    fn sorted(mut names: Vec<ObjectName>) -> Vec<ObjectName> {
        names.sort_unstable();
        names
    }

    #[test]
    fn parents_are_followed_as_deep_as_asked_for_and_each_commit_once() {
        let mut plan = plan(Some(2), true);
        plan.want(&checksum(3), &Want::Ref(RefName::parse("main").unwrap()));
        assert_eq!(answer(&mut plan, Completeness::Partial), [3, 4, 5]);
        // What is known needs no second answer, but two steps from it there is more than before.
        plan.want(&checksum(4), &Want::Commit(checksum(4)));
        assert_eq!(answer(&mut plan, Completeness::Partial), [6]);
        plan.want(&checksum(5), &Want::Commit(checksum(5)));
        plan.want(&checksum(1), &Want::Commit(checksum(1)));
        assert_eq!(answer(&mut plan, Completeness::Partial), [7, 1, 2]);
        assert!(plan.take(usize::MAX).is_empty());
        let mut commits: Vec<u8> = plan.into_commits().map(|commit| commit.as_bytes()[0]).collect();
        commits.sort_unstable();
        assert_eq!(commits, [1, 2, 3, 4, 5, 6, 7]);
    }

    #[test]
    fn a_history_may_end_at_a_parent_that_is_absent() {
        let mut plan = plan(None, true);
        plan.want(&checksum(8), &Want::Commit(checksum(8)));
        assert_eq!(answer(&mut plan, Completeness::Partial), [8, 9, 10]);
        assert_eq!(plan.into_commits().count(), 2);
    }

    #[test]
    fn a_commit_that_is_its_own_ancestor_is_refused_by_its_name() {
        let mut plan = plan(None, true);
        plan.want(&checksum(1), &Want::Commit(checksum(1)));
        for (number, parent) in [(1, 2), (2, 3)] {
            assert_eq!(plan.next_commit().map(|wanted| wanted.commit), Some(checksum(number)));
            plan.commit_arrived(&checksum(number), &commit(Some(parent)), Completeness::Partial)
                .unwrap();
        }
        let error =
            plan.commit_arrived(&checksum(3), &commit(Some(2)), Completeness::Partial).unwrap_err();
        let message = format!(
            "malformed object {}: the commit is its own ancestor",
            object(2, ObjectType::Commit)
        );
        assert_eq!(error.chain(), message);
    }

    #[test]
    fn only_the_tree_of_a_partial_commit_is_wanted() {
        let mut plan = plan(Some(0), false);
        plan.want(&checksum(1), &Want::Commit(checksum(1)));
        assert_eq!(answer(&mut plan, Completeness::Complete), [1]);
        assert!(plan.take(usize::MAX).is_empty());
        plan.want(&checksum(2), &Want::Commit(checksum(2)));
        assert_eq!(answer(&mut plan, Completeness::Partial), [2]);
        let root = [object(100, ObjectType::DirTree), object(200, ObjectType::DirMeta)];
        assert_eq!(sorted(plan.take(usize::MAX)), root);
    }

    #[test]
    fn what_leads_to_more_comes_before_files_and_each_object_once() {
        let mut plan = plan(Some(0), false);
        plan.want(&checksum(1), &Want::Commit(checksum(1)));
        answer(&mut plan, Completeness::Partial);
        assert_eq!(plan.take(usize::MAX).len(), 2);
        plan.arrived(&object(100, ObjectType::DirTree), &dirtree(&[1, 2], &[101, 102])).unwrap();
        // The dirmeta of the root is the directories', too.
        let mut taken = plan.take(1);
        taken.extend(plan.take(1));
        assert_eq!(
            sorted(taken),
            [object(101, ObjectType::DirTree), object(102, ObjectType::DirTree)]
        );
        // Answers come in any order. Until the last one is there a file can be found that is known.
        plan.arrived(&object(102, ObjectType::DirTree), &dirtree(&[2, 3], &[])).unwrap();
        let mut files = plan.take(2);
        assert!(plan.known.len() > files.len());
        plan.arrived(&object(101, ObjectType::DirTree), &dirtree(&[1, 2, 3, 4], &[102])).unwrap();
        plan.arrived(&object(200, ObjectType::DirMeta), &[]).unwrap();
        files.extend(plan.take(usize::MAX));
        assert_eq!(sorted(files), [1, 2, 3, 4].map(|file| object(file, ObjectType::File)));
        assert_eq!(plan.known.len(), 0);
        assert!(plan.take(usize::MAX).is_empty());
        assert_eq!(plan.known.memory(), 0);
    }

    /// As docs/limits.md says: a pull of a million objects must not take more than 90 MB for what
    /// it knows, at the worst moment of everything that doubles.
    #[test]
    fn the_queue_takes_no_more_than_90_bytes_for_each_object() {
        let mut plan = plan(Some(0), false);
        plan.want(&checksum(1), &Want::Commit(checksum(1)));
        answer(&mut plan, Completeness::Partial);
        plan.take(usize::MAX);
        let (mut found, mut tree) = (2, object(100, ObjectType::DirTree));
        for directory in 0..200u32 {
            let checksum = |file: u32| Checksum::of(&(directory * 1000 + file).to_le_bytes());
            let files = (0..500).map(|file| (format!("{file:03}"), checksum(file))).collect();
            let next = checksum(999);
            let dirs = vec![DirEntry {
                name: "next".to_owned(),
                dirtree: next,
                dirmeta: Checksum::from_bytes([200; 32]),
            }];
            plan.arrived(&tree, &DirTree { files, dirs }.encode()).unwrap();
            tree = ObjectName::new(next, ObjectType::DirTree);
            assert_eq!(plan.take(usize::MAX), [tree]);
            found += 501;
            assert_eq!(plan.known.len(), found);
            let waiting: usize = plan.wanted.iter().map(Vec::capacity).sum();
            let bytes = plan.known.memory() + size_of::<u32>() * waiting;
            assert!(bytes <= 90 * found, "{bytes} for {found}");
        }
        // Nothing leads to more: only what waits is left, and in the end nothing.
        plan.arrived(&tree, &dirtree(&[], &[])).unwrap();
        plan.arrived(&object(200, ObjectType::DirMeta), &[]).unwrap();
        assert_eq!(plan.take(1000).len(), 1000);
        assert_eq!(plan.known.len(), 0);
        while !plan.take(1000).is_empty() {}
        assert_eq!(plan.known.memory(), 0);
    }

    #[test]
    fn nothing_of_a_malformed_dirtree_is_wanted() {
        let mut plan = plan(Some(0), false);
        plan.want(&checksum(1), &Want::Commit(checksum(1)));
        answer(&mut plan, Completeness::Partial);
        plan.take(usize::MAX);
        let name = object(100, ObjectType::DirTree);
        let mut bytes = dirtree(&[1, 2], &[]);
        // The name of the second file is no name.
        let second = bytes.windows(4).position(|window| window == b"f002").unwrap();
        bytes[second] = b'/';
        let error = plan.arrived(&name, &bytes).unwrap_err();
        assert!(
            error.chain().starts_with(&format!("malformed object {name}: ")),
            "{}",
            error.chain()
        );
        assert!(plan.take(usize::MAX).is_empty());
    }
}
