//! `bench --deltas`: its options, and its figures as text and JSON.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use osier::bench::{
    DeltaCase, DeltaFigures, DeltaRow, DeltasOptions, DeltasReport, run_deltas as run_bench,
};
use serde_json::{Value, json};

use super::{BenchOptions, MB, chosen, machine};
use crate::cli::context::Context;
use crate::cli::error::Failure;

/// MB of a release, unless told otherwise.
const SIZE: u64 = 60;
const BYTES: u64 = 1_000_000;

/// The options of `bench` that go with `--deltas`.
pub(super) struct Options {
    pub(super) osier: PathBuf,
    pub(super) ostree: Option<PathBuf>,
    pub(super) scratch: Option<PathBuf>,
    pub(super) rounds: Option<usize>,
    pub(super) size: Option<u64>,
    pub(super) only: Vec<String>,
    pub(super) json: bool,
}

pub(super) fn run(options: Options, context: &mut Context) -> Result<(), Failure> {
    let Options { osier, ostree, scratch, rounds, size, only, json } = options;
    let options = DeltasOptions {
        osier,
        ostree,
        scratch: scratch.unwrap_or(BenchOptions::default().scratch),
        bytes: size.unwrap_or(SIZE).saturating_mul(BYTES),
        cases: cases(&only)?,
        rounds: rounds.unwrap_or(1),
    };
    let display = context.display().that_cleans_up(&options.scratch);
    let report = display.end(run_bench(&options, &display).map_err(Failure::from))?;
    if json {
        return writeln!(context.out, "{:#}", as_json(&report, &machine()));
    }
    context.out.write_str(&as_table(&report, &machine()))
}

fn cases(names: &[String]) -> Result<Vec<DeltaCase>, Failure> {
    chosen(names, &DeltaCase::ALL, DeltaCase::name, "case")
}

fn as_table(report: &DeltasReport, machine: &str) -> String {
    let DeltasReport { rounds, bytes, ostree_version, rows } = report;
    let mut text = format!("releases of {} MB; {machine}\n", bytes / BYTES);
    let heading = [
        "", "osier", "cpu", "memory", "delta", "ostree", "cpu", "memory", "delta", "faster", "goal",
    ]
    .map(str::to_owned);
    for [name, cells @ ..] in std::iter::once(heading).chain(rows.iter().map(line)) {
        let _ = write!(text, "{name:<24}");
        for cell in cells {
            let _ = write!(text, "{cell:>11}");
        }
        text.push('\n');
    }
    let _ = write!(text, "medians of {rounds} rounds; ");
    let _ = match (ostree_version, rows.iter().any(|row| row.ostree.is_some())) {
        (_, false) => writeln!(text, "no ostree to compare with"),
        (None, true) => writeln!(text, "ostree of an unknown version"),
        (Some(version), true) => writeln!(text, "ostree {version}"),
    };
    text
}

fn line(row: &DeltaRow) -> [String; 11] {
    let none = || "-".to_owned();
    let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    let megabytes = |bytes: u64| match bytes {
        0 => none(),
        bytes => format!("{:.0} MB", bytes as f64 / MB),
    };
    let side = |figures: Option<&DeltaFigures>| {
        figures.map_or([none(), none(), none(), none()], |DeltaFigures { run, bytes }| {
            let size = format!("{:.3} MB", *bytes as f64 / MB);
            [seconds(run.median), seconds(run.cpu), megabytes(run.peak_memory), size]
        })
    };
    let [time, cpu, memory, size] = side(Some(&row.osier));
    let [ostree_time, ostree_cpu, ostree_memory, ostree_size] = side(row.ostree.as_ref());
    [
        row.case.title().to_owned(),
        time,
        cpu,
        memory,
        size,
        ostree_time,
        ostree_cpu,
        ostree_memory,
        ostree_size,
        row.ratio().map_or_else(none, |ratio| format!("{ratio:.1} x")),
        format!("{:.1}", row.case.goal()),
    ]
}

/// The fields are documented in `docs/json.md`.
fn as_json(report: &DeltasReport, machine: &str) -> Value {
    let DeltasReport { rounds, bytes, ostree_version, rows } = report;
    let side = |DeltaFigures { run, bytes }: &DeltaFigures| {
        json!({
            "seconds": run.median.as_secs_f64(),
            "cpu_seconds": run.cpu.as_secs_f64(),
            "peak_memory_bytes": (run.peak_memory > 0).then_some(run.peak_memory),
            "delta_bytes": bytes,
        })
    };
    let row = |row: &DeltaRow| {
        json!({
            "case": row.case.name(),
            "goal": row.case.goal(),
            "osier": side(&row.osier),
            "ostree": row.ostree.as_ref().map(side),
            "times_faster": row.ratio(),
        })
    };
    json!({
        "machine": machine,
        "osier_version": env!("CARGO_PKG_VERSION"),
        "ostree_version": ostree_version,
        "rounds": rounds,
        "bytes": bytes,
        "deltas": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use osier::bench::Figures;

    use super::*;

    fn report() -> DeltasReport {
        let figures = |milliseconds, bytes| {
            let time = Duration::from_millis(milliseconds);
            let run =
                Figures { median: time, fastest: time, cpu: time * 2, peak_memory: 50_000_000 };
            DeltaFigures { run, bytes }
        };
        let row = DeltaRow {
            case: DeltaCase::Update,
            osier: figures(2000, 1_000_000),
            ostree: Some(figures(7000, 1_001_000)),
        };
        let alone = DeltaRow { case: DeltaCase::Image, ostree: None, ..row.clone() };
        DeltasReport {
            rounds: 3,
            bytes: 60_000_000,
            ostree_version: Some("2022.7".to_owned()),
            rows: vec![row, alone],
        }
    }

    #[test]
    fn sizes_stand_beside_each_other() {
        let text = as_table(&report(), "2 x Abacus");
        let lines: Vec<String> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .filter(|cell| !cell.is_empty())
                    .map(str::trim)
                    .collect::<Vec<_>>()
                    .join("|")
            })
            .collect();
        assert_eq!(lines[0], "releases of 60 MB; 2 x Abacus");
        let update = "generate, two releases|2.000 s|4.000 s|50 MB|1.000 MB|7.000 s|14.000 s|50 MB\
            |1.001 MB|3.5 x|3.0";
        assert_eq!(lines[2], update);
        let image = "generate, two images|2.000 s|4.000 s|50 MB|1.000 MB|-|-|-|-|-|1.7";
        assert_eq!(lines[3], image);
        assert_eq!(lines[4], "medians of 3 rounds; ostree 2022.7");
    }

    #[test]
    fn json_has_the_same_figures() {
        let document = as_json(&report(), "2 x Abacus");
        let update = &document["deltas"][0];
        assert_eq!((&update["case"], &update["times_faster"]), (&"update".into(), &3.5.into()));
        assert_eq!(update["ostree"]["delta_bytes"], 1_001_000);
        assert_eq!(document["deltas"][1]["ostree"], Value::Null);
    }

    #[test]
    fn cases_go_by_their_names() {
        assert_eq!(cases(&[]).ok(), Some(DeltaCase::ALL.to_vec()));
        assert_eq!(cases(&["image".to_owned()]).ok(), Some(vec![DeltaCase::Image]));
        let Err(Failure::Error(error)) = cases(&["x".to_owned()]) else { panic!() };
        let expected =
            "no case is called 'x'; there are update, apply-update, whole, apply-whole, image";
        assert_eq!(error.to_string(), expected);
    }
}
