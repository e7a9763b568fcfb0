//! What a policy has removed, or would remove, by its rules.

use super::deltas::Doomed;
use super::verdicts::Verdict;
use super::{Candidate, Marked, PolicyOptions};
use crate::object::ObjectType;

/// Counts of what was removed, or would have been.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyReport {
    /// Objects that were there before.
    pub objects_total: u64,
    /// Objects that were removed, commits among them.
    pub objects_deleted: u64,
    /// Objects that no commit reaches, but that are too young to be removed.
    pub objects_young: u64,
    /// Commits that were removed.
    pub commits_deleted: u64,
    /// Static deltas that were removed.
    pub deltas_deleted: u64,
    /// The size of all that was removed, in bytes.
    pub bytes_freed: u64,
    /// One for each rule for refs, in their order, then the others.
    pub rows: Vec<PolicyRow>,
}

/// What went because of one rule. An object that several commits had which went counts once, for
/// the first of their rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRow {
    /// The rule.
    pub of: RowOf,
    /// Commits that stay.
    pub commits_kept: u64,
    /// Commits that were removed.
    pub commits_deleted: u64,
    /// Objects that were removed, commits among them.
    pub objects_deleted: u64,
    /// Static deltas to its commits that were removed.
    pub deltas_deleted: u64,
    /// The size of all of this, in bytes.
    pub bytes_freed: u64,
}

/// What a row stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RowOf {
    /// The refs that a pattern matches, and no earlier one.
    Pattern(String),
    /// Refs that no pattern matches.
    OtherRefs,
    /// Commits that no ref leads to.
    InNoRef,
    /// Objects that no commit reaches, and deltas to commits that are not there.
    #[default]
    InNoCommit,
}

impl PolicyReport {
    pub(super) fn new(options: &PolicyOptions) -> Self {
        let patterns = options.policy.refs.iter().map(|rule| rule.pattern.to_string());
        let of = patterns.map(RowOf::Pattern);
        let of = of.chain([RowOf::OtherRefs, RowOf::InNoRef, RowOf::InNoCommit]);
        let rows = of.map(|of| PolicyRow { of, ..PolicyRow::default() }).collect();
        Self { rows, ..Self::default() }
    }

    /// Counts everything that is about to be removed.
    pub(super) fn count(&mut self, marked: &Marked, deltas: &[Doomed]) {
        self.objects_total = marked.found.objects_total;
        self.objects_young = marked.found.objects_young;
        for verdict in marked.verdicts.of.values().filter(|verdict| verdict.is_kept()) {
            self.row(Some(verdict.row())).commits_kept += 1;
        }
        for Candidate { name, bytes, row } in &marked.found.candidates {
            let is_commit = u64::from(name.object_type == ObjectType::Commit);
            let row = self.row(*row);
            row.objects_deleted += 1;
            row.bytes_freed += bytes;
            row.commits_deleted += is_commit;
            self.objects_deleted += 1;
            self.bytes_freed += bytes;
            self.commits_deleted += is_commit;
        }
        for Doomed { name, bytes } in deltas {
            let row = self.row(marked.verdicts.of.get(&name.to).copied().map(Verdict::row));
            row.deltas_deleted += 1;
            row.bytes_freed += bytes;
            self.deltas_deleted += 1;
            self.bytes_freed += bytes;
        }
    }

    /// Takes out an object that has turned out to be needed, or that another process has removed.
    pub(super) fn discount(&mut self, Candidate { name, bytes, row }: &Candidate) {
        let is_commit = u64::from(name.object_type == ObjectType::Commit);
        let row = self.row(*row);
        row.objects_deleted -= 1;
        row.bytes_freed -= bytes;
        row.commits_deleted -= is_commit;
        self.objects_deleted -= 1;
        self.bytes_freed -= bytes;
        self.commits_deleted -= is_commit;
    }

    fn row(&mut self, row: Option<usize>) -> &mut PolicyRow {
        let last = self.rows.len() - 1;
        &mut self.rows[row.unwrap_or(last).min(last)]
    }
}
