//! Compares two repositories, object by object and ref by ref.
//!
//! The content of the repositories is compared, not their setup:
//!
//! | what | how |
//! |---|---|
//! | refs | the files below `refs/heads`, `refs/remotes` and `refs/mirrors`; an alias by its target. Of a ref that names two commits, the commits and everything below them are compared, path by path, to tell what differs |
//! | `summary` | by field. Only another `ostree.summary.last-modified` is a note, and so is then another `summary.sig` |
//! | commits, dirtrees, dirmetas | byte for byte; commits with their `.commitpartial` mark |
//! | detached metadata, tombstones | by field |
//! | file objects | by header and content. Between two archives, other compressed bytes are a note |
//! | static deltas | whether they are there |
//!
//! The config, remotes, caches and parent repositories are ignored. Repositories of different modes
//! are compared by what both keep: bare-user-only keeps no owners and xattrs, and with
//! `core.disable-xattrs` a bare repository has no xattrs, so the other's are assumed.
//!
//! Objects are named by their content, so two of the same name that differ cannot both be intact.
//! The damaged one is reported with the first field in which it differs; whether the repositories
//! are equal is then undetermined. Everything else is still compared. Equal bytes count as equal
//! without being verified: `fsck` does that.

mod fields;
mod objects;
mod refs;
#[cfg(feature = "s3")]
mod store;
mod summary;
mod with;

use std::fmt;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::object::ObjectName;
use crate::progress::{Event, Progress};
use crate::repo::deltas::{self, DeltaName};
use crate::repo::{LockKind, Repo};
use crate::threads;

pub use fields::FieldDifference;
#[cfg(feature = "s3")]
pub use store::compare_with_store;
pub use with::{ModeReport, WithOptions, compare_with};

/// What counts as a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompareOptions {
    /// Whether notes count as differences: compressed bytes, and the time of the summary.
    pub exact: bool,
}

/// One of the two repositories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The repository that was named first.
    First,
    /// The repository that was named second.
    Second,
}

/// Something that differs or could not be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The subject of the finding.
    pub subject: Subject,
    /// What was found.
    pub verdict: Verdict,
}

/// The subject of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A file below the repository: `refs/heads/main`.
    Ref(String),
    /// A file or directory in the commits that a ref names.
    Path {
        /// The ref whose commits have the path.
        name: String,
        /// From the root of the commit: `/usr/bin/env`.
        path: String,
    },
    /// The file `summary`.
    Summary,
    /// The file `summary.sig`.
    SummarySignature,
    /// An object.
    Object(ObjectName),
    /// One of the directories of `objects`, which could not be listed.
    Objects(String),
    /// A static delta.
    Delta(DeltaName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ref(name) => f.write_str(name),
            Self::Path { name, path } => write!(f, "{name}:{path}"),
            Self::Summary => f.write_str("summary"),
            Self::SummarySignature => f.write_str("summary.sig"),
            Self::Object(name) => name.fmt(f),
            Self::Objects(directory) => write!(f, "objects/{directory}"),
            Self::Delta(name) => write!(f, "static delta {name}"),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is in only one of the two.
    OnlyIn(Side),
    /// It differs, in these fields.
    Different(Vec<FieldDifference>),
    /// It could not be compared.
    Unknown {
        /// The side that caused it.
        side: Side,
        /// A description of the problem.
        reason: String,
        /// The first field that differs, if it could be determined nevertheless.
        field: Option<FieldDifference>,
    },
    /// It is equal in everything that counts; this differs.
    Note(FieldDifference),
}

/// The result of the comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The repositories are equal.
    Equal,
    /// They are not.
    Different,
    /// Something could not be compared.
    Unknown,
}

/// Counts of what was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CompareReport {
    /// Objects that were in either repository.
    pub objects: u64,
    /// Refs that were in either repository.
    pub refs: u64,
    /// Findings that are differences.
    pub differences: u64,
    /// Findings of what could not be compared.
    pub unknown: u64,
    /// Findings that are notes.
    pub notes: u64,
}

impl CompareReport {
    /// The overall verdict: unknown if anything is, else different if anything is.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self { unknown: 1.., .. } => Outcome::Unknown,
            Self { differences: 1.., .. } => Outcome::Different,
            _ => Outcome::Equal,
        }
    }
}

/// Takes findings one by one, in a fixed order.
pub type Sink<'s> = dyn FnMut(Finding) -> Result<()> + Send + 's;

/// Compares two repositories. Findings go to `sink` as they are made, so that memory does not grow
/// with their number.
///
/// # Errors
/// Those of `sink`, and when a repository cannot be locked or its refs or deltas not be listed.
/// Problems with single objects and refs are findings.
pub fn compare(
    first: &Repo,
    second: &Repo,
    options: &CompareOptions,
    sink: &mut Sink<'_>,
    progress: &dyn Progress,
) -> Result<CompareReport> {
    // Excludes processes that delete objects meanwhile.
    let _locks = (first.lock(LockKind::Shared)?, second.lock(LockKind::Shared)?);
    let mut comparison =
        Comparison { first, second, options, sink, report: CompareReport::default() };
    progress.event(Event::Started { task: "compare", total: None });
    let result = threads::run(|| {
        refs::compare(&mut comparison)?;
        summary::compare(&mut comparison)?;
        compare_deltas(&mut comparison)?;
        objects::compare(&mut comparison, progress)
    });
    progress.event(Event::Finished);
    result.map(|()| comparison.report)
}

/// A running comparison.
struct Comparison<'c, 's> {
    first: &'c Repo,
    second: &'c Repo,
    options: &'c CompareOptions,
    sink: &'c mut Sink<'s>,
    report: CompareReport,
}

impl Comparison<'_, '_> {
    fn found(&mut self, subject: Subject, verdict: Verdict) -> Result<()> {
        let verdict = match verdict {
            Verdict::Note(field) if self.options.exact => Verdict::Different(vec![field]),
            verdict => verdict,
        };
        let count = match &verdict {
            Verdict::OnlyIn(_) | Verdict::Different(_) => &mut self.report.differences,
            Verdict::Unknown { .. } => &mut self.report.unknown,
            Verdict::Note(_) => &mut self.report.notes,
        };
        *count += 1;
        (self.sink)(Finding { subject, verdict })
    }

    fn unknown(&mut self, subject: Subject, side: Side, error: &Error) -> Result<()> {
        self.found(subject, Verdict::unknown(side, error))
    }
}

impl Verdict {
    fn unknown(side: Side, error: &Error) -> Self {
        Self::Unknown { side, reason: error.chain(), field: None }
    }
}

/// Loads the same object from both; the error says from which side it could not be loaded.
fn both<T>(first: Result<T>, second: Result<T>) -> Result<(T, T), Verdict> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (Err(error), _) => Err(Verdict::unknown(Side::First, &error)),
        (_, Err(error)) => Err(Verdict::unknown(Side::Second, &error)),
    }
}

/// Which of two sorted lists have an item.
enum Place<T> {
    One(Side, T),
    Both(T, T),
}

/// Merges two lists that are sorted by the same key.
fn merged<T, K: Ord>(first: Vec<T>, second: Vec<T>, key: impl Fn(&T) -> K) -> Vec<Place<T>> {
    let mut places = Vec::with_capacity(first.len().max(second.len()));
    let (mut first, mut second) = (first.into_iter().peekable(), second.into_iter().peekable());
    loop {
        let order = match (first.peek(), second.peek()) {
            (Some(one), Some(other)) => key(one).cmp(&key(other)),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => return places,
        };
        let one = if order.is_le() { first.next() } else { None };
        let other = if order.is_ge() { second.next() } else { None };
        places.extend(match (one, other) {
            (Some(one), Some(other)) => Some(Place::Both(one, other)),
            (Some(one), None) => Some(Place::One(Side::First, one)),
            (None, other) => other.map(|other| Place::One(Side::Second, other)),
        });
    }
}

fn compare_deltas(comparison: &mut Comparison<'_, '_>) -> Result<()> {
    let (first, second) = (deltas::list(comparison.first)?, deltas::list(comparison.second)?);
    for place in merged(first, second, |name| *name) {
        if let Place::One(side, name) = place {
            comparison.found(Subject::Delta(name), Verdict::OnlyIn(side))?;
        }
    }
    Ok(())
}

/// The two names of something.
type Pair = (Checksum, Checksum);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_lists_are_merged_by_their_keys() {
        let shown = |first: &[u8], second: &[u8]| {
            let places = merged(first.to_vec(), second.to_vec(), |number| *number);
            let text = places.into_iter().map(|place| match place {
                Place::One(Side::First, number) => format!("<{number}"),
                Place::One(Side::Second, number) => format!(">{number}"),
                Place::Both(one, other) => format!("{one}={other}"),
            });
            text.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&[1, 2, 4], &[2, 3, 4, 5]), "<1 2=2 >3 4=4 >5");
        assert_eq!(shown(&[], &[1]), ">1");
        assert_eq!(shown(&[7], &[]), "<7");
        assert_eq!(shown(&[], &[]), "");
    }

    #[test]
    fn what_could_not_be_compared_outweighs_what_differs() {
        let report = |differences, unknown, notes| CompareReport {
            differences,
            unknown,
            notes,
            ..Default::default()
        };
        assert_eq!(report(0, 0, 9).outcome(), Outcome::Equal);
        assert_eq!(report(1, 0, 0).outcome(), Outcome::Different);
        assert_eq!(report(1, 1, 0).outcome(), Outcome::Unknown);
    }
}
