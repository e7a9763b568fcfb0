//! What a policy decides about each commit.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use super::policy::{Keep, Policy, Rule, Tag};
use crate::checksum::Checksum;
use crate::error::{Error, OfObject, Result};
use crate::gvariant::Dict;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::prune::table::Root;
use crate::repo::{ListRefs, Repo};

/// What there is to know about a commit.
#[derive(Clone, Debug)]
struct Known {
    root: Root,
    parent: Option<Checksum>,
    /// In seconds since 1970.
    timestamp: u64,
    /// Which of the policy's tags it has.
    tags: Vec<bool>,
    /// The refs that it says it was made for.
    bindings: Option<Vec<String>>,
}

/// The row of a report that a commit counts in: a rule, by its number; refs without a rule, or no
/// ref.
pub(super) type Row = usize;

/// What happens to a commit. The larger one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    /// It goes, because of this row; an earlier rule counts.
    Removed(std::cmp::Reverse<Row>),
    /// It stays.
    Kept(std::cmp::Reverse<Row>),
}

impl Verdict {
    fn removed(row: Row) -> Self {
        Self::Removed(std::cmp::Reverse(row))
    }

    fn kept(row: Row) -> Self {
        Self::Kept(std::cmp::Reverse(row))
    }

    pub(super) fn is_kept(self) -> bool {
        matches!(self, Self::Kept(_))
    }

    pub(super) fn row(self) -> Row {
        let (Self::Removed(row) | Self::Kept(row)) = self;
        row.0
    }
}

/// What is decided, and in which order commits are best numbered: histories in one piece.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    pub(super) of: HashMap<Checksum, Verdict>,
    pub(super) order: Vec<Checksum>,
    /// Commits that deltas may lead to, with the number of sources for each; absent for no limit.
    pub(super) targets: HashMap<Checksum, Option<usize>>,
}

/// The commits of a repository, each read once.
pub(super) struct Commits<'r> {
    repo: &'r Repo,
    policy: &'r Policy,
    /// All tags in the policy: those of the rules for refs, then those for deltas.
    tags: Vec<&'r Tag>,
    /// `None` for those that are not there.
    known: HashMap<Checksum, Option<Known>>,
    /// In seconds since 1970.
    now: u64,
}

impl<'r> Commits<'r> {
    pub(super) fn new(repo: &'r Repo, policy: &'r Policy, now: u64) -> Self {
        let rules = policy.refs.iter().chain(&policy.deltas);
        let tags = rules.filter_map(|rule| rule.keep.as_ref()).flat_map(|keep| &keep.tagged);
        Self { repo, policy, tags: tags.collect(), known: HashMap::new(), now }
    }

    /// The row of refs that no rule matches.
    pub(super) fn without_rule(&self) -> Row {
        self.policy.refs.len()
    }

    /// The row of what no ref leads to.
    pub(super) fn in_no_ref(&self) -> Row {
        self.policy.refs.len() + 1
    }

    /// Reads commits. Those that are damaged come back, and are known as missing.
    pub(super) fn read(&mut self, commits: &[Checksum]) -> Vec<(Checksum, Error)> {
        let new: Vec<&Checksum> =
            commits.iter().filter(|commit| !self.known.contains_key(commit)).collect();
        let read: Vec<_> = new.into_par_iter().map(|commit| (*commit, self.load(commit))).collect();
        let mut damaged = Vec::new();
        for (commit, known) in read {
            let known = known.unwrap_or_else(|error| {
                damaged.push((commit, error));
                None
            });
            self.known.insert(commit, known);
        }
        damaged
    }

    pub(super) fn root(&self, commit: &Checksum) -> Option<Root> {
        self.known.get(commit)?.as_ref().map(|known| known.root)
    }

    /// Decides about the histories of all refs as they are now, and the other commits given. These
    /// are kept if `is_young` says so.
    ///
    /// # Errors
    /// When a ref or a commit of a history cannot be read.
    pub(super) fn decide(
        &mut self,
        others: &[Checksum],
        is_young: impl Fn(&Checksum) -> Result<bool>,
    ) -> Result<Verdicts> {
        let mut verdicts = Verdicts::default();
        for (name, tip) in refs(self.repo)? {
            self.decide_history(&name, &tip, &mut verdicts)?;
        }
        let row = self.in_no_ref();
        for commit in others {
            if verdicts.of.contains_key(commit) {
                continue;
            }
            let is_kept = self.is_tagged_in_no_ref(commit) || is_young(commit)?;
            let verdict = if is_kept { Verdict::kept(row) } else { Verdict::removed(row) };
            verdicts.of.insert(*commit, verdict);
            verdicts.order.push(*commit);
            if is_kept {
                verdicts.targets.insert(*commit, None);
            }
        }
        Ok(verdicts)
    }

    fn decide_history(
        &mut self,
        name: &str,
        tip: &Checksum,
        verdicts: &mut Verdicts,
    ) -> Result<()> {
        let find = |rules: &'r [Rule]| rules.iter().position(|rule| rule.pattern.matches(name));
        let policy = self.policy;
        let row = find(&policy.refs).unwrap_or(self.without_rule());
        let keep = policy.refs.get(row).and_then(|rule| rule.keep.as_ref());
        let of_deltas = find(&policy.deltas).and_then(|rule| policy.deltas.get(rule));
        let (mut kept, mut targets) = (Prefix::new(keep), Prefix::default());
        if let Some(rule) = of_deltas {
            targets = Prefix::new(rule.keep.as_ref());
        }
        let first_of_history = verdicts.order.len();
        let mut next = Some(*tip);
        let mut is_tip = true;
        while let Some(commit) = next {
            let now = self.now;
            let Some(known) = self.known(&commit)? else { break };
            let (tags, age) = (known.tags.clone(), now.saturating_sub(known.timestamp));
            next = known.parent;
            let has =
                |wanted: &Tag| self.tags.iter().zip(&tags).any(|(tag, has)| *has && *tag == wanted);
            let is_kept = kept.takes(age, has) || is_tip;
            let verdict = if is_kept { Verdict::kept(row) } else { Verdict::removed(row) };
            is_tip = false;
            match verdicts.of.get_mut(&commit) {
                Some(before) => *before = verdict.max(*before),
                None => {
                    verdicts.of.insert(commit, verdict);
                    verdicts.order.push(commit);
                }
            }
            if targets.takes(age, has) {
                let sources = of_deltas.and_then(|rule| rule.sources);
                verdicts
                    .targets
                    .entry(commit)
                    // No limit is more than any.
                    .and_modify(|before| *before = before.zip(sources).map(|(a, b)| a.max(b)))
                    .or_insert(sources);
            }
        }
        // The oldest one first, so that the next commit comes after it.
        verdicts.order[first_of_history..].reverse();
        Ok(())
    }

    /// Whether a rule for one of the refs that the commit was made for keeps it for a tag. Nothing
    /// leads there any more when commits between it and the ref have been removed.
    fn is_tagged_in_no_ref(&self, commit: &Checksum) -> bool {
        let Some(Some(known)) = self.known.get(commit) else { return false };
        let concerns = |rule: &Rule| match &known.bindings {
            None => true,
            Some(names) => names.iter().any(|name| {
                // A remote or collection may be before it.
                let text = rule.pattern.as_str();
                let bare = text.split_once(':').map_or(text, |(_, bare)| bare);
                crate::pattern::Pattern::new(bare).matches(name)
            }),
        };
        let has = |wanted: &Tag| {
            self.tags.iter().zip(&known.tags).any(|(tag, has)| *has && *tag == wanted)
        };
        let tagged = |rule: &&Rule| rule.keep.iter().flat_map(|keep| &keep.tagged).any(has);
        self.policy.refs.iter().filter(tagged).any(concerns)
    }

    fn known(&mut self, commit: &Checksum) -> Result<Option<&Known>> {
        if !self.known.contains_key(commit) {
            let known = self.load(commit)?;
            self.known.insert(*commit, known);
        }
        Ok(self.known.get(commit).and_then(Option::as_ref))
    }

    fn load(&self, commit: &Checksum) -> Result<Option<Known>> {
        let name = ObjectName::new(*commit, ObjectType::Commit);
        let bytes = match self.repo.load_verified(&name) {
            Err(Error::MissingMetadata { .. }) => return Ok(None),
            other => other?,
        };
        let object = Commit::decode(&bytes).of_object(name)?;
        let detached = match self.tags.is_empty() {
            true => Dict::new(),
            false => self.repo.load_detached_metadata(commit)?.unwrap_or_default(),
        };
        let has = |tag: &&Tag| tag.is_in(&object.metadata) || tag.is_in(&detached);
        Ok(Some(Known {
            root: Root {
                commit: *commit,
                dirtree: object.root_dirtree,
                dirmeta: object.root_dirmeta,
            },
            parent: object.parent,
            timestamp: object.timestamp,
            tags: self.tags.iter().map(has).collect(),
            bindings: object.ref_binding(),
        }))
    }
}

/// Goes down a history, from its newest commit.
#[derive(Default)]
struct Prefix<'k> {
    keep: Option<&'k Keep>,
    seen: u64,
    /// Whether a commit was too old.
    is_old: bool,
}

impl<'k> Prefix<'k> {
    fn new(keep: Option<&'k Keep>) -> Self {
        Self { keep, ..Self::default() }
    }

    /// Whether the next commit is among those that are kept; it is so many seconds old.
    fn takes(&mut self, age: u64, has: impl Fn(&Tag) -> bool) -> bool {
        let Some(keep) = self.keep else { return true };
        self.seen += 1;
        self.is_old |= keep.younger_than.is_none_or(|limit| age > limit.as_secs());
        self.seen <= keep.newest || !self.is_old || keep.tagged.iter().any(has)
    }
}

/// All refs with their commits: refspecs, and `COLLECTION:REF` for mirrored ones. An alias is the
/// ref that it stands for.
fn refs(repo: &Repo) -> Result<Vec<(String, Checksum)>> {
    let listed = repo.list_refs(None, ListRefs::Full)?;
    let mut refs: Vec<(String, Checksum)> =
        listed.into_iter().map(|(refspec, commit)| (refspec.to_string(), commit)).collect();
    let names: HashSet<String> = refs.iter().map(|(name, _)| name.clone()).collect();
    let aliases = repo.list_aliases(None)?.into_iter();
    // What leads elsewhere is like a ref.
    let aliases =
        aliases.filter(|(name, target)| target != name.as_str() && names.contains(target));
    let aliases: HashSet<String> = aliases.map(|(name, _)| name.to_string()).collect();
    refs.retain(|(name, _)| !aliases.contains(name));
    let own_collection = repo.collection_id();
    for (name, _) in repo.list_collection_refs(None)? {
        // Those of remotes are in the list already.
        if own_collection.as_ref() != Some(&name.collection)
            && let Some(commit) = repo.read_collection_ref(&name)?
        {
            refs.push((format!("{}:{}", name.collection, name.name), commit));
        }
    }
    Ok(refs)
}
