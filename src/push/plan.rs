//! What to send: everything that the pushed commits reach and the destination does not have.
//!
//! What the destination has follows from its refs: their commits are walked here, as far as they
//! are here. Where that says too little, its objects are listed.

use super::destination::{Destination, Item, object_path};
use super::there::There;
use super::wanted::Moving;
use super::{Listing, PushOptions};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::repo::{
    AtHole, CommitState, MAX_METADATA_SIZE, NO_VISITOR, ObjectSet, Reading, Repo, Walk, walk,
};

/// More objects than this are not sent without asking which of them are there: a push that was
/// killed may have sent most of them. Listing a thousand takes one request.
const LISTED_FROM: usize = 1000;

/// What to send, in the order in which it is sent.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Files.
    pub(super) content: Vec<Item>,
    /// Dirmetas, then dirtrees, each after what it refers to.
    pub(super) metadata: Vec<Item>,
    /// Detached metadata of commits.
    pub(super) detached: Vec<Item>,
    /// Commits.
    pub(super) commits: Vec<Item>,
    /// How many objects are there already.
    pub(super) present: u64,
}

impl Plan {
    /// Everything, in that order.
    pub(super) fn items(&self) -> impl Iterator<Item = &Item> {
        let objects = self.content.iter().chain(&self.metadata);
        objects.chain(&self.detached).chain(&self.commits)
    }
}

/// Decides what to send for the commits of these refs.
///
/// # Errors
/// When something is missing here, or the destination cannot be asked.
pub(super) fn plan(
    repo: &Repo,
    destination: &dyn Destination,
    (moving, there): (&[Moving], &mut There),
    options: &PushOptions,
) -> Result<Plan> {
    let commits = commits(repo, moving, there, options)?;
    for commit in &commits {
        if repo.commit_state(commit)? != CommitState::Complete {
            let message = format!("commit {commit} is partial here, so it cannot be pushed");
            return Err(Error::failed(message));
        }
    }
    let wanted = reached(repo, &commits, AtHole::Fail)?;
    let there = if there.config.is_none() {
        ObjectSet::new()
    } else {
        known_there(repo, destination, (&wanted, there), options)?
    };
    let mut plan = sort(repo, &commits, &wanted, &there)?;
    plan.detached = detached(repo, destination, (&commits, &there))?;
    Ok(plan)
}

/// The detached metadata that is not there, or not the same there: a signature may have been added
/// since its commit was sent.
fn detached(
    repo: &Repo,
    destination: &dyn Destination,
    (commits, there): (&[Checksum], &ObjectSet),
) -> Result<Vec<Item>> {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for commit in commits {
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        match there.contains(&ObjectName::new(*commit, ObjectType::Commit)) {
            _ if !repo.has_object(&name)? => {}
            true => old.push(name),
            false => new.push(Item::Object(name)),
        }
    }
    let paths: Vec<String> = old.iter().map(object_path).collect();
    for (name, stored) in old.iter().zip(destination.read(&paths, MAX_METADATA_SIZE)?) {
        let own = repo.load_metadata(name)?;
        if stored.is_none_or(|stored| stored.bytes != *own) {
            new.push(Item::Object(*name));
        }
    }
    Ok(new)
}

/// The commits of the refs, and as many generations of parents as are wanted, the oldest first; no
/// further than what the refs are set to there.
fn commits(
    repo: &Repo,
    moving: &[Moving],
    there: &There,
    options: &PushOptions,
) -> Result<Vec<Checksum>> {
    let mut commits: Vec<Checksum> = Vec::new();
    for moving in moving {
        let at = commits.len();
        let most = options.depth.map_or(usize::MAX, |depth| depth as usize + 1);
        for step in walk::history(repo, &moving.commit).take(most) {
            let (commit, _) = step?;
            let is_there = there.commits.values().any(|(other, _)| *other == commit);
            if commits.contains(&commit) || (is_there && commit != moving.commit) {
                break;
            }
            commits.push(commit);
        }
        commits[at..].reverse();
    }
    Ok(commits)
}

/// Everything that commits reach.
fn reached(repo: &Repo, commits: &[Checksum], at_hole: AtHole) -> Result<ObjectSet> {
    let reached = ObjectSet::new();
    let at_hole = |_: &ObjectName, _: &Error| at_hole;
    Walk {
        repo,
        reached: &reached,
        reading: Reading::AsStored,
        at_hole: &at_hole,
        visitor: NO_VISITOR,
    }
    .commits(commits)?;
    Ok(reached)
}

/// What is there, as far as it can be known.
fn known_there(
    repo: &Repo,
    destination: &dyn Destination,
    (wanted, there): (&ObjectSet, &mut There),
    options: &PushOptions,
) -> Result<ObjectSet> {
    if options.listing == Listing::Always {
        return listed(destination);
    }
    let known = of_refs(repo, there)?;
    if missing(wanted, &known) < LISTED_FROM {
        return Ok(known);
    }
    // Perhaps another ref has nearly the same tree.
    there.look_at_all(destination)?;
    let known = of_refs(repo, there)?;
    if missing(wanted, &known) < LISTED_FROM {
        return Ok(known);
    }
    listed(destination)
}

/// What the commits that refs are set to there reach. Only commits that are whole here are known
/// well enough.
fn of_refs(repo: &Repo, there: &There) -> Result<ObjectSet> {
    let mut here = Vec::new();
    for (commit, _) in there.commits.values() {
        let name = ObjectName::new(*commit, ObjectType::Commit);
        if repo.has_object(&name)? && repo.commit_state(commit)? == CommitState::Complete {
            here.push(*commit);
        }
    }
    reached(repo, &here, AtHole::Skip)
}

fn missing(wanted: &ObjectSet, known: &ObjectSet) -> usize {
    let missing_in = |first| {
        let (wanted, known) = (wanted.shard(first), known.shard(first));
        wanted.iter().filter(|name| !known.contains(name)).count()
    };
    (0..=255).map(missing_in).sum()
}

fn listed(destination: &dyn Destination) -> Result<ObjectSet> {
    let known = ObjectSet::new();
    destination.list_objects(&mut |name| {
        known.insert(name);
    })?;
    Ok(known)
}

/// Puts what is to be sent in order. A dirtree comes after everything below it.
fn sort(repo: &Repo, commits: &[Checksum], wanted: &ObjectSet, there: &ObjectSet) -> Result<Plan> {
    let (mut plan, mut dirtrees) = (Plan::default(), Vec::new());
    for first in 0..=255u8 {
        let mut names: Vec<ObjectName> = wanted.shard(first).iter().copied().collect();
        names.sort_unstable();
        for name in names {
            match name.object_type {
                _ if there.contains(&name) => plan.present += 1,
                ObjectType::File => plan.content.push(Item::Object(name)),
                ObjectType::DirMeta => plan.metadata.push(Item::Object(name)),
                ObjectType::DirTree => dirtrees.push(name),
                _ => {}
            }
        }
    }
    let is_new = |name: &ObjectName| !there.contains(name);
    if !dirtrees.is_empty() {
        add_dirtrees(repo, (commits, &dirtrees), is_new, &mut plan.metadata)?;
    }
    for commit in commits {
        let name = ObjectName::new(*commit, ObjectType::Commit);
        if is_new(&name) {
            plan.commits.push(Item::Object(name));
        }
    }
    Ok(plan)
}

/// Adds dirtrees, each after those in it.
fn add_dirtrees(
    repo: &Repo,
    (commits, new): (&[Checksum], &[ObjectName]),
    is_new: impl Fn(&ObjectName) -> bool,
    metadata: &mut Vec<Item>,
) -> Result<()> {
    let (entered, mut sorted) = (ObjectSet::new(), Vec::with_capacity(new.len()));
    for commit in commits {
        // A dirtree is on the stack twice: before and after those in it.
        let mut stack = vec![(repo.load_commit(commit)?.root_dirtree, false)];
        while let Some((dirtree, is_done)) = stack.pop() {
            let name = ObjectName::new(dirtree, ObjectType::DirTree);
            if is_done {
                sorted.push(Item::Object(name));
            } else if is_new(&name) && entered.insert(name) {
                stack.push((dirtree, true));
                let below = repo.load_dirtree(&dirtree)?.dirs;
                stack.extend(below.into_iter().map(|dir| (dir.dirtree, false)));
            }
        }
    }
    // A push that was killed may have left a dirtree without one that is below it.
    let below_others = new.iter().filter(|name| !entered.contains(name));
    metadata.extend(below_others.map(|name| Item::Object(*name)));
    metadata.append(&mut sorted);
    Ok(())
}
