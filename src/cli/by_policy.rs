//! `prune --policy`: what goes by the rules of a key file. `ostree` has nothing of the kind.

use std::path::PathBuf;
use std::time::Duration;

use osier::input;
use osier::pattern::Pattern;
use osier::prune::{
    Depth, Keep, Pace, Policy, PolicyOptions, PolicyReport, PolicyRow, RowOf, Rule, prune_by_policy,
};
use osier::repo::Repo;
use osier::units::format_size;
use serde_json::{Value, json};

use super::clock;
use super::context::Context;
use super::error::Failure;
use super::json;

/// What was asked for.
pub(super) struct Request {
    /// The policy; without one all refs are kept, this deep.
    pub(super) file: Option<PathBuf>,
    pub(super) depth: Depth,
    pub(super) guard: Option<Duration>,
    pub(super) default_guard: Duration,
    pub(super) dry_run: bool,
    pub(super) json: bool,
}

pub(super) fn run(repo: &Repo, request: &Request, context: &Context) -> Result<(), Failure> {
    let policy = match &request.file {
        Some(file) => {
            let name = file.display().to_string();
            let bytes = input::read_named(file)
                .map_err(|error| Failure::failed(format!("reading {name}: {error}")))?;
            Policy::parse(&name, &bytes)?
        }
        None => everything(request.depth),
    };
    let options = PolicyOptions {
        guard: request.guard.or(policy.unreferenced).unwrap_or(request.default_guard),
        policy,
        now: clock::now(),
        dry_run: request.dry_run,
        pace: Pace::default(),
    };
    let progress = context.progress_for(request.json);
    let report = prune_by_policy(repo, &options, &progress)?;
    drop(progress);
    match request.json {
        true => json::print(&document(&report, request.dry_run), &context.out),
        false => context.out.write_str(&text(&report, request)),
    }
}

/// All refs, with so many parents.
fn everything(depth: Depth) -> Policy {
    let keep = match depth {
        Depth::Unlimited => None,
        Depth::Parents(parents) => Some(Keep { newest: u64::from(parents) + 1, ..Keep::default() }),
    };
    let rule = Rule { pattern: Pattern::new("**"), keep, sources: None };
    Policy { refs: vec![rule], ..Policy::default() }
}

fn document(report: &PolicyReport, dry_run: bool) -> Value {
    let PolicyReport {
        objects_total,
        objects_deleted,
        objects_young,
        commits_deleted,
        deltas_deleted,
        bytes_freed,
        rows,
    } = report;
    let row = |row: &PolicyRow| {
        let PolicyRow {
            of,
            commits_kept,
            commits_deleted,
            objects_deleted,
            deltas_deleted,
            bytes_freed,
        } = row;
        let (of, pattern) = match of {
            RowOf::Pattern(pattern) => ("pattern", Some(pattern)),
            RowOf::OtherRefs => ("other-refs", None),
            RowOf::InNoRef => ("in-no-ref", None),
            RowOf::InNoCommit => ("in-no-commit", None),
        };
        json!({
            "of": of,
            "pattern": pattern,
            "commits_kept": commits_kept,
            "commits_deleted": commits_deleted,
            "objects_deleted": objects_deleted,
            "deltas_deleted": deltas_deleted,
            "bytes_freed": bytes_freed,
        })
    };
    json!({
        "objects_total": objects_total,
        "objects_deleted": objects_deleted,
        "bytes_freed": bytes_freed,
        "dry_run": dry_run,
        "deltas_deleted": deltas_deleted,
        "objects_young": objects_young,
        "commits_deleted": commits_deleted,
        "rules": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

/// A row for each rule of a policy, then the lines that `prune` has without one.
fn text(report: &PolicyReport, request: &Request) -> String {
    let dry_run = request.dry_run;
    let mut text = String::new();
    if request.file.is_some() {
        text.push_str(&table(&report.rows, dry_run));
    }
    let (objects, size) = (report.objects_deleted, format_size(report.bytes_freed));
    let deltas = match report.deltas_deleted {
        0 => String::new(),
        number => format!(" and {number} static deltas"),
    };
    text.push_str(&format!("Total objects: {}\n", report.objects_total));
    text.push_str(&match (objects + report.deltas_deleted, dry_run) {
        (0, _) => "No unreachable objects\n".to_owned(),
        (_, true) => format!("Would delete: {objects} objects{deltas}, freeing {size}\n"),
        (_, false) => format!("Deleted {objects} objects{deltas}, {size} freed\n"),
    });
    if report.objects_young > 0 {
        text.push_str(&format!("Too young to delete: {} objects\n", report.objects_young));
    }
    text
}

/// Numbers are on the right of their columns.
fn table(rows: &[PolicyRow], dry_run: bool) -> String {
    let freed = if dry_run { "WOULD FREE" } else { "FREED" };
    let head = ["KEPT", "DELETED", "OBJECTS", "DELTAS", freed, "COMMITS OF"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(|row| {
        [
            row.commits_kept.to_string(),
            row.commits_deleted.to_string(),
            row.objects_deleted.to_string(),
            row.deltas_deleted.to_string(),
            format_size(row.bytes_freed),
            match &row.of {
                RowOf::Pattern(pattern) => pattern.clone(),
                RowOf::OtherRefs => "(other refs)".to_owned(),
                RowOf::InNoRef => "(in no ref)".to_owned(),
                RowOf::InNoCommit => "(in no commit)".to_owned(),
            },
        ]
    }));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..5).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, width) in widths.iter().enumerate() {
            text.push_str(&format!("{:>width$}  ", line[column]));
        }
        text.push_str(&line[5]);
        text.push('\n');
    }
    text
}
