//! `bench`: osier against the `ostree` of the machine. `ostree` has no such command.

use std::env;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use osier::bench::{BenchOptions, Figures, Report, Row, run as run_bench};
use osier::error::During;
use serde_json::{Value, json};

use super::context::Context;
use super::error::Failure;

/// Bytes in a MB, as in every size that the program prints.
const MB: f64 = 1e6;

/// The options of `bench`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Commit this tree (default: a sample of /usr with 20,000 files and 300 MB)
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// How often everything is done (default: 5)
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The program to compare with (default: the ostree on PATH)
    #[arg(long, value_name = "PATH")]
    ostree: Option<PathBuf>,
    /// Where to make trees and repositories (default: /var/tmp)
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    #[arg(hide = true)]
    arguments: Vec<std::ffi::OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { tree, rounds, ostree, scratch, json, arguments } = args;
    if !arguments.is_empty() {
        return Err(Failure::usage("Too many arguments given"));
    }
    let osier = env::current_exe().during("finding", "the running program")?;
    let ostree = ostree.or_else(|| on_path("ostree", &osier));
    let defaults = BenchOptions { osier, ostree, tree, ..BenchOptions::default() };
    let options = BenchOptions {
        rounds: rounds.unwrap_or(defaults.rounds),
        scratch: scratch.unwrap_or_else(|| defaults.scratch.clone()),
        ..defaults
    };
    let report = run_bench(&options, &context.progress())?;
    if json {
        return writeln!(context.out, "{:#}", to_json(&report));
    }
    context.out.write_str(&to_table(&report))
}

/// The program of that name on PATH that is not this one.
fn on_path(name: &str, this: &Path) -> Option<PathBuf> {
    let this = this.canonicalize().ok();
    let candidates = env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(name)).collect::<Vec<_>>();
    candidates.into_iter().find(|path| path.canonicalize().is_ok_and(|found| Some(found) != this))
}

fn to_table(report: &Report) -> String {
    let Report { tree, rounds, refs, rows, osier_archive_bytes, ostree_archive_bytes, commit } = report;
    let mut text = format!(
        "{} files, {} symlinks, {} directories, {:.1} MB; {refs} refs; {}\n",
        tree.files,
        tree.symlinks,
        tree.directories,
        tree.bytes as f64 / MB,
        machine(),
    );
    let lines = rows.iter().map(line);
    let heading = ["", "osier", "ostree", "faster", "goal", "memory", "ostree's"].map(str::to_owned);
    for [step, osier, ostree, faster, goal, memory, other] in std::iter::once(heading).chain(lines) {
        let _ = writeln!(text, "{step:<26}{osier:>10}{ostree:>10}{faster:>9}{goal:>7}{memory:>10}{other:>10}");
    }
    let _ = writeln!(text, "medians of {rounds} rounds; both programs gave the commit {commit}");
    let _ = write!(text, "size of the archive's .filez: {:.1} MB", *osier_archive_bytes as f64 / MB);
    match ostree_archive_bytes {
        Some(other) => {
            let more = (*osier_archive_bytes as f64 / *other as f64 - 1.0) * 100.0;
            let _ = writeln!(text, ", ostree's {:.1} MB, {more:+.1} % (limit: +4 %)", *other as f64 / MB);
        }
        None => text.push_str("\nno ostree to compare with\n"),
    }
    text
}

fn line(row: &Row) -> [String; 7] {
    let seconds = |figures: &Figures| seconds(figures.median);
    let memory = |figures: &Figures| format!("{:.0} MB", figures.peak_memory as f64 / MB);
    let none = || "-".to_owned();
    [
        row.step.title().to_owned(),
        seconds(&row.osier),
        row.ostree.as_ref().map_or_else(none, seconds),
        row.ratio().map_or_else(none, |ratio| format!("{ratio:.1} x")),
        format!("{:.1}", row.step.goal()),
        memory(&row.osier),
        row.ostree.as_ref().map_or_else(none, memory),
    ]
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn to_json(report: &Report) -> Value {
    let figures = |figures: &Figures| {
        json!({
            "median_seconds": figures.median.as_secs_f64(),
            "fastest_seconds": figures.fastest.as_secs_f64(),
            "peak_memory_bytes": figures.peak_memory,
        })
    };
    let rows = report.rows.iter().map(|row| {
        json!({
            "step": row.step.title(),
            "goal": row.step.goal(),
            "osier": figures(&row.osier),
            "ostree": row.ostree.as_ref().map(figures),
            "times_faster": row.ratio(),
        })
    });
    json!({
        "machine": machine(),
        "tree": {
            "files": report.tree.files,
            "symlinks": report.tree.symlinks,
            "directories": report.tree.directories,
            "bytes": report.tree.bytes,
        },
        "rounds": report.rounds,
        "refs": report.refs,
        "commit": report.commit,
        "filez_bytes": { "osier": report.osier_archive_bytes, "ostree": report.ostree_archive_bytes },
        "steps": rows.collect::<Vec<_>>(),
    })
}

/// Processor and number of cores, so that a figure can be judged later.
fn machine() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} x {model}")
}

#[cfg(test)]
mod tests {
    use osier::bench::{Step, TreeSize};

    use super::*;

    fn report() -> Report {
        let figures = |milliseconds| Figures {
            median: Duration::from_millis(milliseconds),
            fastest: Duration::from_millis(milliseconds - 1),
            peak_memory: 50_000_000,
        };
        Report {
            tree: TreeSize { files: 20_000, symlinks: 3, directories: 7, bytes: 300_000_000 },
            rounds: 5,
            refs: 2000,
            rows: vec![Row { step: Step::FirstArchive, osier: figures(2000), ostree: Some(figures(9000)) }],
            osier_archive_bytes: 102_000_000,
            ostree_archive_bytes: Some(100_000_000),
            commit: "c0ffee".to_owned(),
        }
    }

    #[test]
    fn the_table_shows_ratios_and_sizes() {
        let text = to_table(&report());
        assert!(text.contains("20000 files, 3 symlinks, 7 directories, 300.0 MB; 2000 refs"), "{text}");
        let row = "first commit, archive        2.000 s   9.000 s    4.5 x    4.0     50 MB     50 MB\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("102.0 MB, ostree's 100.0 MB, +2.0 % (limit: +4 %)"), "{text}");
    }

    #[test]
    fn without_ostree_there_is_nothing_to_compare() {
        let mut report = report();
        report.rows[0].ostree = None;
        report.ostree_archive_bytes = None;
        let text = to_table(&report);
        assert!(text.contains("2.000 s         -        -    4.0     50 MB         -\n"), "{text}");
        assert_eq!(to_json(&report)["steps"][0]["times_faster"], Value::Null);
    }
}
