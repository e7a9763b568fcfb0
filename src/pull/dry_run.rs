//! What a pull would do, without doing it.

use super::checks::Checks;
use super::local::Importer;
use super::plan::Plan;
use super::refs::Target;
#[cfg(feature = "pull")]
use super::space::Missing;
use super::{PullOptions, commits, refs, resolve_local};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::{ObjectName, ObjectType};
use crate::repo::{Repo, Transaction};

/// What a pull is for.
#[cfg(feature = "pull")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To have what is missing.
    Fetch,
    /// To know what is missing, without writing anything.
    Count,
}

/// What a pull would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DryRun {
    /// The refs that would be set, also those that have their commits already.
    pub refs: Vec<RefChange>,
    /// The static deltas that would be used.
    pub deltas: DeltaTotals,
    /// The objects that would come one by one.
    pub missing: ObjectTotals,
}

/// A ref that would be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefChange {
    /// As a refspec, or `(COLLECTION, REF)`.
    pub name: String,
    /// Its commit now.
    pub old: Option<Checksum>,
    /// Its commit afterwards.
    pub new: Checksum,
}

/// What static deltas consist of; fallbacks count as parts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeltaTotals {
    /// Parts of which everything is there.
    pub parts_present: u64,
    /// All parts.
    pub parts: u64,
    /// Bytes of the parts of which everything is there, as they are sent.
    pub bytes_present: u64,
    /// Bytes of all parts, as they are sent.
    pub bytes: u64,
    /// Bytes of the content in all parts.
    pub content_bytes: u64,
}

/// Objects that are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObjectTotals {
    /// Commits, dirtrees and dirmetas.
    pub metadata_objects: u64,
    /// Files.
    pub content_objects: u64,
    /// Bytes of all of them as the source has them; `None` if it does not say that of each.
    pub bytes: Option<u64>,
    /// Bytes of the files' content, uncompressed; `None` if the source does not say that of each.
    pub content_bytes: Option<u64>,
}

impl Default for ObjectTotals {
    /// Nothing.
    fn default() -> Self {
        Self { metadata_objects: 0, content_objects: 0, bytes: Some(0), content_bytes: Some(0) }
    }
}

impl ObjectTotals {
    fn add_bytes(&mut self, bytes: u64) {
        self.bytes = self.bytes.map(|sum| sum.saturating_add(bytes));
    }

    /// Counts a commit, dirtree or dirmeta.
    pub(super) fn add_metadata(&mut self, bytes: &[u8]) {
        self.metadata_objects += 1;
        self.add_bytes(bytes.len() as u64);
    }

    /// Counts a file.
    fn add_file(&mut self, stored: u64, content: u64) {
        self.content_objects += 1;
        self.add_bytes(stored);
        self.content_bytes = self.content_bytes.map(|sum| sum.saturating_add(content));
    }

    /// Counts a file that no list names.
    #[cfg(feature = "pull")]
    pub(super) fn add_file_of_unknown_size(&mut self) {
        self.content_objects += 1;
        (self.bytes, self.content_bytes) = (None, None);
    }

    /// Counts what is missing of what a commit lists.
    #[cfg(feature = "pull")]
    pub(super) fn add(&mut self, missing: &Missing) {
        self.metadata_objects += missing.metadata_objects;
        self.content_objects += missing.content_objects;
        self.add_bytes(missing.stored);
        let content = missing.content_bytes;
        self.content_bytes = self.content_bytes.map(|sum| sum.saturating_add(content));
    }
}

/// Finds out what [`pull_local`](super::pull_local) would do. Nothing in the repository changes.
///
/// # Errors
/// As [`pull_local`](super::pull_local), as far as it gets.
pub fn dry_run_local(repo: &Repo, source: &Repo, options: &PullOptions) -> Result<DryRun> {
    let requested = match options.wanted.as_slice() {
        [] => refs::all_of(source)?,
        wanted => wanted.to_vec(),
    };
    let wanted = resolve_local(source, &requested, repo, options)?;
    let checks = Checks::new(repo, options, source.collection_id())?;
    let transaction = Transaction::begin(repo)?;
    let importer = Importer::new(&transaction, source, options.trust, options.file_modes)?;
    let mut plan = Plan::new(options);
    let mut missing = ObjectTotals::default();
    for found in &wanted.commits {
        plan.want(&found.commit, &found.want);
    }
    let mut space = commits::space(&importer, options)?;
    count_commits(&importer, (&mut plan, space.as_mut()), &checks, &mut missing)?;
    loop {
        let objects = plan.take(OBJECTS_AT_A_TIME);
        if objects.is_empty() {
            break;
        }
        for name in objects {
            count_object(&importer, source, &name, &mut plan, &mut missing)?;
        }
    }
    transaction.abort(None);
    let refs = changes(repo, wanted.refs)?;
    Ok(DryRun { refs, deltas: DeltaTotals::default(), missing })
}

/// Objects that are looked at before what they lead to.
const OBJECTS_AT_A_TIME: usize = 32;

fn count_commits(
    importer: &Importer<'_, '_>,
    forecast: commits::Forecast<'_>,
    checks: &Checks<'_>,
    missing: &mut ObjectTotals,
) -> Result<()> {
    commits::for_each_wanted(importer, forecast, |wanted, is_present| {
        let checked = commits::check(importer, wanted, checks, is_present)?;
        if !is_present {
            missing.add_metadata(&checked.bytes);
        }
        Ok(checked.commit)
    })
}

fn count_object(
    importer: &Importer<'_, '_>,
    source: &Repo,
    name: &ObjectName,
    plan: &mut Plan,
    missing: &mut ObjectTotals,
) -> Result<()> {
    let is_present = importer.is_present(name)?;
    if name.object_type == ObjectType::File {
        if !is_present {
            missing.add_file(source.stored_size(name)?, source.load_file(&name.checksum)?.size);
        }
        return plan.arrived(name, &[]);
    }
    let bytes = if is_present { importer.load_present(name)? } else { importer.load(name)? };
    if !is_present {
        missing.add_metadata(&bytes);
    }
    plan.arrived(name, &bytes)
}

/// What the refs are now, and what they would be.
pub(super) fn changes(repo: &Repo, refs: Vec<(Target, Checksum)>) -> Result<Vec<RefChange>> {
    let change = |(target, new): (Target, Checksum)| {
        let old = match &target {
            Target::Ref(refspec) => repo.try_resolve_rev(&refspec.to_string())?,
            Target::CollectionRef(name) => repo.read_collection_ref(name)?,
        };
        Ok(RefChange { name: target.to_string(), old, new })
    };
    refs.into_iter().map(change).collect()
}
