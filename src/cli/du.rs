//! `du`: what refs, commits and directories take. `ostree` has no such command.

use osier::du::{Amount, DuOptions, Row, Rows, Sizes, Usage, du};
use osier::units::format_size;
use serde_json::{Value, json};

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::integer;

/// The options of `du`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Count DEPTH parents of each commit with it (default: -1=all; 0 with --since)
    #[arg(long, value_name = "DEPTH", value_parser = integer)]
    depth: Option<i32>,
    /// A row for each commit
    #[arg(long)]
    commits: bool,
    /// A row for each directory of the youngest commit down to depth N
    #[arg(long, value_name = "N", value_parser = integer)]
    max_depth: Option<i32>,
    /// Leave out what REV has
    #[arg(long, value_name = "REV")]
    since: Option<String>,
    /// The size of the content, too
    #[arg(long)]
    inflated: bool,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
    /// Refs.
    revs: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let repo = context.open_repo()?;
    let rows = match (args.commits, args.max_depth) {
        (true, Some(_)) => return Err(Failure::failed("--commits and --max-depth conflict")),
        (true, None) => Rows::Commits,
        (false, None) => Rows::Revs,
        (false, Some(depth)) => match usize::try_from(depth) {
            Ok(depth) => Rows::Directories(depth),
            Err(_) => return Err(Failure::failed("--max-depth must be at least 0")),
        },
    };
    // What is updated needs no history.
    let usual = if args.since.is_some() { 0 } else { -1 };
    let depth = u32::try_from(args.depth.unwrap_or(usual)).ok();
    let options = DuOptions {
        revs: args.revs,
        depth,
        rows,
        since: args.since.map(|rev| repo.resolve_rev(&rev)).transpose()?,
        sizes: if args.inflated { Sizes::Inflated } else { Sizes::Stored },
    };
    let progress = context.progress_for(args.json);
    let usage = du(&repo, &options, &progress)?;
    drop(progress);
    match args.json {
        true => json::print(&document(&usage), &context.out),
        false => context.out.write_str(&table(&usage, rows, args.inflated)),
    }
}

fn document(usage: &Usage) -> Value {
    let Usage { rows, rows_together, in_no_ref, repository } = usage;
    let row = |row: &Row| {
        json!({
            "ref": row.rev,
            "commit": row.commit.to_hex(),
            "path": row.path,
            "amount": amount(&row.all),
            "exclusive": row.exclusive.as_ref().map(amount),
        })
    };
    json!({
        "rows": rows.iter().map(row).collect::<Vec<_>>(),
        "rows_together": amount(rows_together),
        "in_no_ref": amount(in_no_ref),
        "repository": amount(repository),
    })
}

fn amount(amount: &Amount) -> Value {
    let Amount { objects, bytes, inflated } = amount;
    json!({"objects": objects, "bytes": bytes, "inflated_bytes": inflated})
}

/// The rows under a head; numbers are on the right of their columns.
fn table(usage: &Usage, rows: Rows, inflated: bool) -> String {
    let head = ["OBJECTS", "ON DISK", "CONTENT", "EXCLUSIVE", "OF"].map(str::to_owned);
    let mut lines = vec![head];
    lines.extend(usage.rows.iter().map(|row| {
        let of = match &row.path {
            Some(path) => format!("{} {path}", row.rev),
            None if rows == Rows::Commits => format!("{} in {}", row.commit, row.rev),
            None => row.rev.clone(),
        };
        line(&row.all, row.exclusive.as_ref(), of)
    }));
    for (amount, of) in [
        (&usage.rows_together, "all of these"),
        (&usage.in_no_ref, "in no ref"),
        (&usage.repository, "the repository"),
    ] {
        lines.push(line(amount, None, of.to_owned()));
    }
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..4).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, width) in widths.iter().enumerate() {
            if column != 2 || inflated {
                text.push_str(&format!("{:>width$}  ", line[column]));
            }
        }
        text.push_str(&line[4]);
        text.push('\n');
    }
    text
}

fn line(amount: &Amount, exclusive: Option<&Amount>, of: String) -> [String; 5] {
    [
        amount.objects.to_string(),
        format_size(amount.bytes),
        amount.inflated.map(format_size).unwrap_or_default(),
        exclusive.map(|exclusive| format_size(exclusive.bytes)).unwrap_or_default(),
        of,
    ]
}
