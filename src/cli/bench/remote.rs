//! `bench --remote`: its options, and its figures as text and JSON.

use std::env;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use osier::bench::{
    Figures, Protocol, RemoteOptions, RemoteReport, RemoteRow, run_remote as run_bench,
};
use serde_json::{Value, json};

use super::scale::grouped;
use super::{BenchOptions, MB, chosen, machine};
use crate::cli::context::Context;
use crate::cli::error::Failure;

/// Objects in the archive, unless told otherwise.
const OBJECTS: u64 = 60_000;
/// Where administrators' programs are, which the path of other users may lack.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The options of `bench` that go with `--remote`.
pub(super) struct Options {
    pub(super) osier: PathBuf,
    pub(super) ostree: Option<PathBuf>,
    pub(super) scratch: Option<PathBuf>,
    pub(super) rounds: Option<usize>,
    pub(super) objects: Option<u64>,
    pub(super) rtts: Vec<u64>,
    pub(super) only: Vec<String>,
    pub(super) json: bool,
}

pub(super) fn run(options: Options, context: &mut Context) -> Result<(), Failure> {
    let Options { osier, ostree, scratch, rounds, objects, rtts, only, json } = options;
    let rtts = if rtts.is_empty() { vec![0, 100] } else { rtts };
    let options = RemoteOptions {
        osier,
        ostree,
        nginx: program("nginx", "nginx-light")?,
        openssl: program("openssl", "openssl")?,
        scratch: scratch.unwrap_or(BenchOptions::default().scratch),
        objects: objects.unwrap_or(OBJECTS),
        rtts: rtts.into_iter().map(Duration::from_millis).collect(),
        protocols: protocols(&only)?,
        rounds: rounds.unwrap_or(1),
    };
    let display = context.display().that_cleans_up(&options.scratch);
    let report = display.end(run_bench(&options, &display).map_err(Failure::from))?;
    if json {
        return writeln!(context.out, "{:#}", as_json(&report, &machine()));
    }
    context.out.write_str(&as_table(&report, &machine()))
}

fn protocols(names: &[String]) -> Result<Vec<Protocol>, Failure> {
    chosen(names, &Protocol::ALL, Protocol::name, "protocol")
}

/// A program that `--remote` needs.
fn program(name: &str, package: &str) -> Result<PathBuf, Failure> {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = SYSTEM_DIRECTORIES.iter().map(PathBuf::from);
    let mut places = env::split_paths(&path).chain(system).map(|place| place.join(name));
    places.find(|path| path.is_file()).ok_or_else(|| {
        Failure::failed(format!(
            "{name} is missing; --remote needs it (in Debian the package {package})"
        ))
    })
}

fn as_table(report: &RemoteReport, machine: &str) -> String {
    let RemoteReport { rounds, objects, ostree_version, rows } = report;
    let mut text = format!("{} objects into bare-user; {machine}\n", grouped(*objects));
    let heading = [
        "",
        "osier",
        "objects/s",
        "cpu",
        "memory",
        "ostree",
        "objects/s",
        "cpu",
        "memory",
        "faster",
        "goal",
    ]
    .map(str::to_owned);
    for [name, cells @ ..] in std::iter::once(heading).chain(rows.iter().map(line)) {
        let _ = write!(text, "{name:<36}");
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
    let mut fewer: Vec<(u128, u64)> = rows
        .iter()
        .filter_map(|row| Some((row.rtt.as_millis(), row.ostree.as_ref()?.1)))
        .filter(|(_, others)| others != objects)
        .collect();
    fewer.dedup();
    for (ms, others) in fewer {
        let _ = writeln!(
            text,
            "at {ms} ms ostree pulled {} objects only; the rates are compared",
            grouped(others)
        );
    }
    text
}

fn line(row: &RemoteRow) -> [String; 11] {
    let none = || "-".to_owned();
    let seconds = |time: Duration| format!("{:.3} s", time.as_secs_f64());
    let memory = |figures: &Figures| match figures.peak_memory {
        0 => none(),
        bytes => format!("{:.0} MB", bytes as f64 / MB),
    };
    let rate = |rate: Option<f64>| rate.map_or_else(none, |rate| format!("{rate:.0}"));
    let what = if row.is_again { "nothing to do" } else { "pull" };
    let ostree = row.ostree.as_ref().map(|(figures, _)| figures);
    [
        format!("{}, {} ms, {what}", row.protocol.title(), row.rtt.as_millis()),
        seconds(row.osier.median),
        rate(row.rate()),
        seconds(row.osier.cpu),
        memory(&row.osier),
        ostree.map_or_else(none, |figures| seconds(figures.median)),
        rate(row.ostree_rate()),
        ostree.map_or_else(none, |figures| seconds(figures.cpu)),
        ostree.map_or_else(none, memory),
        row.ratio().map_or_else(none, |ratio| format!("{ratio:.1} x")),
        row.goal().map_or_else(none, |goal| format!("{goal:.1}")),
    ]
}

/// The fields are documented in `docs/json.md`.
fn as_json(report: &RemoteReport, machine: &str) -> Value {
    let RemoteReport { rounds, objects, ostree_version, rows } = report;
    let side = |figures: &Figures, objects: u64, rate: Option<f64>| {
        json!({
            "objects": objects,
            "seconds": figures.median.as_secs_f64(),
            "objects_per_second": rate,
            "cpu_seconds": figures.cpu.as_secs_f64(),
            "peak_memory_bytes": (figures.peak_memory > 0).then_some(figures.peak_memory),
        })
    };
    let row = |row: &RemoteRow| {
        let ostree = row.ostree.as_ref();
        json!({
            "protocol": row.protocol.name(),
            "rtt_ms": u64::try_from(row.rtt.as_millis()).unwrap_or(u64::MAX),
            "nothing_to_do": row.is_again,
            "goal": row.goal(),
            "osier": side(&row.osier, row.objects, row.rate()),
            "ostree": ostree.map(|(figures, objects)| side(figures, *objects, row.ostree_rate())),
            "times_faster": row.ratio(),
        })
    };
    json!({
        "machine": machine,
        "osier_version": env!("CARGO_PKG_VERSION"),
        "ostree_version": ostree_version,
        "rounds": rounds,
        "objects": objects,
        "pulls": rows.iter().map(row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(milliseconds: u64) -> Figures {
        Figures {
            median: Duration::from_millis(milliseconds),
            fastest: Duration::from_millis(milliseconds),
            cpu: Duration::from_millis(milliseconds / 2),
            peak_memory: 50_000_000,
        }
    }

    fn report() -> RemoteReport {
        let row = |is_again, osier, ostree| RemoteRow {
            protocol: Protocol::Http2,
            rtt: Duration::from_millis(100),
            is_again,
            osier: figures(osier),
            objects: 20_000,
            ostree: Some((figures(ostree), 1500)),
        };
        RemoteReport {
            rounds: 3,
            objects: 20_000,
            ostree_version: Some("2022.7".to_owned()),
            rows: vec![row(false, 20_000, 30_000), row(true, 500, 600)],
        }
    }

    #[test]
    fn rates_stand_beside_each_other() {
        let text = as_table(&report(), "2 x Abacus");
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).collect())
            .collect();
        let trimmed = |line: usize| lines[line].iter().map(|cell| cell.trim()).collect::<Vec<_>>();
        assert_eq!(trimmed(0), ["20,000 objects into bare-user; 2 x Abacus"]);
        let pull = [
            "HTTP/2, TLS, 100 ms, pull",
            "20.000 s",
            "1000",
            "10.000 s",
            "50 MB",
            "30.000 s",
            "50",
            "15.000 s",
            "50 MB",
            "20.0 x",
            "15.0",
        ];
        assert_eq!(trimmed(2), pull);
        let again = [
            "HTTP/2, TLS, 100 ms, nothing to do",
            "0.500 s",
            "-",
            "0.250 s",
            "50 MB",
            "0.600 s",
            "-",
            "0.300 s",
            "50 MB",
            "1.2 x",
            "1.0",
        ];
        assert_eq!(trimmed(3), again);
        assert_eq!(trimmed(4), ["medians of 3 rounds; ostree 2022.7"]);
        let fewer = "at 100 ms ostree pulled 1,500 objects only; the rates are compared";
        assert_eq!(trimmed(5), [fewer]);
    }

    #[test]
    fn json_has_the_same_figures() {
        let document = as_json(&report(), "2 x Abacus");
        let pull = &document["pulls"][0];
        assert_eq!((&pull["protocol"], &pull["rtt_ms"]), (&"http2".into(), &100.into()));
        assert_eq!(pull["times_faster"], 20.0);
        assert_eq!(pull["ostree"]["objects"], 1500);
        assert_eq!(document["pulls"][1]["osier"]["objects_per_second"], Value::Null);
        let mut alone = report();
        alone.rows.truncate(1);
        alone.rows[0].ostree = None;
        assert_eq!(as_json(&alone, "")["pulls"][0]["ostree"], Value::Null);
        assert!(as_table(&alone, "").ends_with("no ostree to compare with\n"));
    }

    #[test]
    fn protocols_go_by_their_names() {
        let names = |names: &[&str]| -> Vec<String> {
            names.iter().map(|name| (*name).to_owned()).collect()
        };
        assert_eq!(protocols(&[]).ok(), Some(Protocol::ALL.to_vec()));
        assert_eq!(protocols(&names(&["http2"])).ok(), Some(vec![Protocol::Http2]));
        let Err(Failure::Error(error)) = protocols(&names(&["gopher"])) else { panic!() };
        assert_eq!(error.to_string(), "no protocol is called 'gopher'; there are http1, http2");
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let Err(Failure::Error(error)) = program("no-such-server", "server-light") else {
            panic!()
        };
        assert_eq!(
            error.to_string(),
            "no-such-server is missing; --remote needs it (in Debian the package server-light)"
        );
        assert!(program("sh", "dash").is_ok_and(|path: PathBuf| path.ends_with("sh")));
    }
}
