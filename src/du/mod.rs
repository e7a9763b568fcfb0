//! What refs, commits and directories take of a repository: objects and bytes, what they share and
//! what each has for itself, and what no ref leads to.
//!
//! A ref takes what its commits take, back to the oldest that is there: that is what it keeps from
//! being pruned. Objects count once for each ref, commit or directory, however often it has them.

mod graph;
mod measure;

use crate::checksum::Checksum;
use crate::error::Result;
use crate::progress::{Event, Progress};
use crate::repo::{ListRefs, Repo};
use graph::Graph;
use measure::Measure;

pub use graph::Sizes;

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuOptions {
    /// The refs or other revs to look at; all refs if empty. All refs count for what is shared.
    pub revs: Vec<String>,
    /// How many parents of each commit count with it; `None` for all.
    pub depth: Option<u32>,
    /// What there is a row for.
    pub rows: Rows,
    /// A commit whose objects do not count: what is left is what an update from it brings.
    pub since: Option<Checksum>,
    /// Whether the content of files is measured, too.
    pub sizes: Sizes,
}

/// What there is a row for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// Each ref.
    Revs,
    /// Each commit of each ref.
    Commits,
    /// Each directory of each ref's youngest commit, down to this depth; 0 is the root alone.
    Directories(usize),
}

/// A number of objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub objects: u64,
    /// The bytes that they take on disk.
    pub bytes: u64,
    /// The bytes of their content, if that was asked.
    pub inflated: Option<u64>,
}

impl Amount {
    fn none(sizes: Sizes) -> Self {
        Self { inflated: (sizes == Sizes::Inflated).then_some(0), ..Self::default() }
    }

    fn add(&mut self, other: Self) {
        self.objects += other.objects;
        self.bytes = self.bytes.saturating_add(other.bytes);
        let sum = self.inflated.zip(other.inflated);
        self.inflated = sum.map(|(a, b)| a.saturating_add(b));
    }
}

/// What one ref, commit or directory takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The ref or rev.
    pub rev: String,
    /// Its commit; of [`Rows::Commits`] one of its history.
    pub commit: Checksum,
    /// The directory, of [`Rows::Directories`].
    pub path: Option<String>,
    /// All objects.
    pub all: Amount,
    /// The objects that no other ref (of [`Rows::Commits`] no other commit of any ref) has; `None`
    /// for directories.
    pub exclusive: Option<Amount>,
}

/// What a repository consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// In the order of refs; commits from the youngest on, directories in name order.
    pub rows: Vec<Row>,
    /// The objects of all rows.
    pub rows_together: Amount,
    /// The objects that no ref leads to, whatever the depth.
    pub in_no_ref: Amount,
    /// All objects: commits with their detached metadata, dirtrees, dirmetas and files.
    pub repository: Amount,
}

/// Measures. Objects that are missing take nothing; of ones that are damaged a warning tells.
///
/// # Errors
/// When a rev cannot be resolved, and when refs, commits or the directories of objects cannot be
/// read.
pub fn du(repo: &Repo, options: &DuOptions, progress: &dyn Progress) -> Result<Usage> {
    progress.event(Event::Started { task: "looking at objects", total: None });
    let read = Graph::read(repo, options.sizes);
    progress.event(Event::Finished);
    let (graph, failed) = read?;
    for error in failed {
        progress.event(Event::Warning(&error.chain()));
    }
    let refs = all_refs(repo)?;
    let selected: Vec<(String, Checksum)> = match options.revs.as_slice() {
        [] => refs.clone(),
        revs => revs
            .iter()
            .map(|rev| Ok((rev.clone(), repo.resolve_rev(rev)?)))
            .collect::<Result<_>>()?,
    };
    let measure = Measure { repo, graph: &graph, options };
    let since = match options.since {
        Some(commit) => measure.reached_from(&[commit]),
        None => vec![false; graph.len()],
    };
    let (rows, rows_together) = match options.rows {
        Rows::Revs => measure.holders(
            measure.with_histories(&selected)?,
            measure.with_histories(&refs)?,
            &since,
        ),
        Rows::Commits => {
            measure.holders(measure.commits_of(&selected)?, measure.commits_of(&refs)?, &since)
        }
        Rows::Directories(depth) => measure.directories(&selected, depth, &since)?,
    };
    let (repository, in_no_ref) = measure.repository(&refs)?;
    Ok(Usage { rows, rows_together, in_no_ref, repository })
}

/// All refs with their commits, those of mirrors last.
fn all_refs(repo: &Repo) -> Result<Vec<(String, Checksum)>> {
    let own = repo.list_refs(None, ListRefs::Full)?.into_iter();
    let own = own.map(|(refspec, commit)| (refspec.to_string(), commit));
    let mirrored = repo.list_collection_refs(None)?.into_iter();
    let own_collection = repo.collection_id();
    let mirrored = mirrored.filter(|(name, _)| Some(&name.collection) != own_collection.as_ref());
    Ok(own.chain(mirrored.map(|(name, commit)| (name.to_string(), commit))).collect())
}
