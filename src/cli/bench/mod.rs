//! `bench`: osier against the `ostree` of the machine. `ostree` has no such command.

mod chart;
mod deltas;
mod json;
mod remote;
mod scale;
mod table;

use std::env;
use std::path::{Path, PathBuf};

use osier::bench::{BenchOptions, STEPS, ScaleOptions, run as run_bench, run_scale};
use osier::error::{During, Error};

use super::context::Context;
use super::error::Failure;

/// Bytes in a MB, as in all sizes that the program prints.
const MB: f64 = 1e6;

/// The options of `bench`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Commit this tree (default: a sample of /usr with 20,000 files and 300 MB)
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Number of rounds (default: 5)
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The program to compare with (default: the ostree on PATH)
    #[arg(long, value_name = "PATH")]
    ostree: Option<PathBuf>,
    /// Measure osier alone
    #[arg(long)]
    no_ostree: bool,
    /// Where to make trees and repositories (default: /var/tmp)
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Number of refs in the summary (default: 10000)
    #[arg(long, value_name = "N")]
    refs: Option<usize>,
    /// Number of objects in the repository that is pruned (default: 300000)
    #[arg(long, value_name = "N")]
    objects: Option<u64>,
    /// Measure this step, such as commit, fsck or prune, and no others; may be repeated
    #[arg(long, value_name = "STEP")]
    only: Vec<String>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Also draw the figures as a chart
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Measure how the cost of osier's operations grows, up to N objects (default: 1000000)
    #[arg(long, value_name = "OBJECTS", num_args = 0..=1, require_equals = true, default_missing_value = "1000000")]
    scale: Option<u64>,
    /// Measure pulls of --objects (default: 60000) from nginx; --only http1 or http2
    #[arg(long)]
    remote: bool,
    /// With --remote: round trips that a proxy adds, in ms; 0 is none (default: 0,100)
    #[arg(long, value_name = "MS", value_delimiter = ',')]
    rtt: Vec<u64>,
    /// Measure static deltas; --only update, apply-update, whole, apply-whole or image
    #[arg(long)]
    deltas: bool,
    /// With --deltas: MB of a release (default: 60)
    #[arg(long, value_name = "MB")]
    size: Option<u64>,
    #[arg(hide = true)]
    arguments: Vec<std::ffi::OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        tree,
        rounds,
        ostree,
        no_ostree,
        scratch,
        refs,
        objects,
        only,
        json,
        svg,
        scale,
        remote,
        rtt,
        deltas,
        size,
        arguments,
    } = args;
    if !arguments.is_empty() {
        return Err(Failure::usage("Too many arguments given"));
    }
    if no_ostree && ostree.is_some() {
        return Err(Failure::usage("--ostree and --no-ostree cannot be used together"));
    }
    if !remote && !rtt.is_empty() {
        return Err(Failure::usage("--rtt goes with --remote only"));
    }
    if remote && (tree.is_some() || refs.is_some() || svg.is_some() || scale.is_some()) {
        return Err(Failure::usage(
            "--tree, --refs, --svg and --scale cannot be used with --remote",
        ));
    }
    if !deltas && size.is_some() {
        return Err(Failure::usage("--size goes with --deltas only"));
    }
    let others =
        [tree.is_some(), refs.is_some(), objects.is_some(), svg.is_some(), scale.is_some(), remote];
    if deltas && others.contains(&true) {
        return Err(Failure::usage(
            "--tree, --refs, --objects, --svg, --scale and --remote cannot be used with --deltas",
        ));
    }
    let osier = env::current_exe().during("finding", "the running program")?;
    if let Some(largest) = scale {
        let others = [
            tree.is_some(),
            rounds.is_some(),
            ostree.is_some(),
            no_ostree,
            refs.is_some(),
            objects.is_some(),
            !only.is_empty(),
            json,
            svg.is_some(),
        ];
        if others.contains(&true) {
            return Err(Failure::usage("--scale goes with --scratch, and with no other option"));
        }
        let scratch = scratch.unwrap_or(BenchOptions::default().scratch);
        let display = context.display().that_cleans_up(&scratch);
        let result = run_scale(&ScaleOptions { osier, scratch, objects: largest }, &display);
        let report = display.end(result.map_err(Failure::from))?;
        return context.out.write_str(&scale::of_report(&report, &machine()));
    }
    let ostree = if no_ostree { None } else { ostree.or_else(|| on_path("ostree", &osier)) };
    if deltas {
        let options = deltas::Options { osier, ostree, scratch, rounds, size, only, json };
        return deltas::run(options, context);
    }
    if remote {
        let options =
            remote::Options { osier, ostree, scratch, rounds, objects, rtts: rtt, only, json };
        return remote::run(options, context);
    }
    let defaults = BenchOptions::default();
    let options = BenchOptions {
        osier,
        ostree,
        tree,
        scratch: scratch.unwrap_or(defaults.scratch),
        rounds: rounds.unwrap_or(defaults.rounds),
        refs: refs.unwrap_or(defaults.refs),
        objects: objects.unwrap_or(defaults.objects),
        only,
    };
    let display = context.display().that_cleans_up(&options.scratch);
    let report = display.end(run_bench(&options, &display).map_err(with_hint))?;
    if let Some(path) = svg {
        let about = chart::About {
            machine: machine(),
            date: jiff::Zoned::now().strftime("%-d %B %Y").to_string(),
        };
        std::fs::write(&path, chart::draw(&report, &about)).during("writing", &path)?;
    }
    if json {
        return writeln!(context.out, "{:#}", json::of_report(&report, &machine()));
    }
    context.out.write_str(&table::of_report(&report, &machine()))
}

/// A hint for the user about an error.
fn with_hint(error: Error) -> Failure {
    match error {
        Error::SmallSample { .. } => {
            let free = STEPS
                .iter()
                .filter(|step| !step.is_of_tree)
                .map(|step| step.name)
                .collect::<Vec<_>>()
                .join(", ");
            Failure::failed(format!(
                "{error}; name a tree with --tree=DIR (--only with {free} needs none)"
            ))
        }
        error => error.into(),
    }
}

/// The program with this name on PATH that is not this one.
fn on_path(name: &str, this: &Path) -> Option<PathBuf> {
    let this = this.canonicalize().ok();
    let candidates = env::split_paths(&env::var_os("PATH")?)
        .map(|directory| directory.join(name))
        .collect::<Vec<_>>();
    candidates.into_iter().find(|path| path.canonicalize().is_ok_and(|found| Some(found) != this))
}

/// What `--only` names of all there is; all of it if it names nothing.
fn chosen<T: Copy>(
    names: &[String],
    all: &[T],
    name_of: fn(T) -> &'static str,
    kind: &str,
) -> Result<Vec<T>, Failure> {
    let known = |name: &String| {
        all.iter().copied().find(|one| name_of(*one) == name).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|one| name_of(*one)).collect();
            let names = names.join(", ");
            Failure::failed(format!("no {kind} is called '{name}'; there are {names}"))
        })
    };
    match names {
        [] => Ok(all.to_vec()),
        names => names.iter().map(known).collect(),
    }
}

/// Processor and number of cores, to put the figures in context.
fn machine() -> String {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model =
        information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("unknown processor", |(_, model)| model.trim());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("{cores} x {model}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_enough_files_gets_a_hint() {
        let error = Error::SmallSample { path: "/usr".into(), found: (3, 4), needed: (5, 6) };
        let Failure::Error(error) = with_hint(error) else { panic!("no error") };
        let expected = "/usr has only 3 files with 4 bytes; 5 files with 6 bytes are needed; \
            name a tree with --tree=DIR (--only with log, summary, prune needs none)";
        assert_eq!(error.to_string(), expected);
    }
}

/// The report shown in the tests of tables and chart.
#[cfg(test)]
mod sample {
    use std::time::Duration;

    use osier::bench::{Figures, FirstCommit, Limit, Report, Row, TreeSize, find_step};

    fn figures(milliseconds: u64) -> Figures {
        Figures {
            median: Duration::from_millis(milliseconds),
            fastest: Duration::from_millis(milliseconds - 1),
            cpu: Duration::from_millis(milliseconds * 3 / 2),
            peak_memory: 50_000_000,
        }
    }

    pub(super) fn report() -> Report {
        let row = |name, osier, ostree| {
            let step = find_step(name).unwrap();
            let content_bytes = step.handles_content.then_some(300_000_000);
            Row { step, osier: figures(osier), ostree: Some(figures(ostree)), content_bytes }
        };
        Report {
            tree: TreeSize { files: 20_000, symlinks: 3, directories: 7, bytes: 300_000_000 },
            rounds: 5,
            refs: 2000,
            objects: 10_000,
            ostree_version: Some("2022.7".to_owned()),
            rows: vec![row("commit", 2000, 9000), row("log", 2, 12)],
            limit: Some(Limit {
                time: Duration::from_millis(1300),
                cpu: Duration::from_millis(2500),
                deflated_bytes: 100_000_000,
            }),
            first_commit: Some(FirstCommit {
                commit: "c0ffee".to_owned(),
                osier_archive_bytes: 102_000_000,
                ostree_archive_bytes: Some(100_000_000),
            }),
        }
    }
}
