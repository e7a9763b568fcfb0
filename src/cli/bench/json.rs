//! The figures as JSON; the fields are documented in `docs/json.md`.

use osier::bench::{Figures, Report, Row};
use serde_json::{Value, json};

pub(super) fn of_report(report: &Report, machine: &str) -> Value {
    let Report { tree, rounds, refs, objects, ostree_version, rows, limit, first_commit } = report;
    let limit = limit.map(|limit| {
        json!({
            "seconds": limit.time.as_secs_f64(),
            "cpu_seconds": limit.cpu.as_secs_f64(),
            "deflated_bytes": limit.deflated_bytes,
            "times_cpu_of_commit": report.times_limit(),
        })
    });
    let filez = first_commit.as_ref().map(
        |first| json!({ "osier": first.osier_archive_bytes, "ostree": first.ostree_archive_bytes }),
    );
    json!({
        "machine": machine,
        "osier_version": env!("CARGO_PKG_VERSION"),
        "ostree_version": ostree_version,
        "tree": {
            "files": tree.files,
            "symlinks": tree.symlinks,
            "directories": tree.directories,
            "bytes": tree.bytes,
        },
        "rounds": rounds,
        "refs": refs,
        "objects": objects,
        "commit": first_commit.as_ref().map(|first| &first.commit),
        "filez_bytes": filez,
        "limit": limit,
        "steps": rows.iter().map(of_row).collect::<Vec<_>>(),
    })
}

fn of_row(row: &Row) -> Value {
    json!({
        "name": row.step.name,
        "step": row.step.title,
        "goal": row.step.goal,
        "osier": figures(&row.osier),
        "ostree": row.ostree.as_ref().map(figures),
        "times_faster": row.ratio(),
        "content_bytes": row.content_bytes,
        "bytes_per_cpu_second": row.bytes_per_cpu_second(),
    })
}

fn figures(figures: &Figures) -> Value {
    json!({
        "median_seconds": figures.median.as_secs_f64(),
        "fastest_seconds": figures.fastest.as_secs_f64(),
        "cpu_seconds": figures.cpu.as_secs_f64(),
        "peak_memory_bytes": (figures.peak_memory > 0).then_some(figures.peak_memory),
    })
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    #[test]
    fn figures_and_ratios_stand_beside_each_other() {
        let document = of_report(&report(), "2 x Abacus");
        assert_eq!(document["machine"], "2 x Abacus");
        assert_eq!(document["limit"]["times_cpu_of_commit"], 1.2);
        let step = &document["steps"][0];
        assert_eq!(step["name"], "commit");
        assert_eq!(step["times_faster"], 4.5);
        assert_eq!(step["bytes_per_cpu_second"], 1e8);
        assert_eq!(step["osier"]["cpu_seconds"], 3.0);
        assert_eq!(document["steps"][1]["bytes_per_cpu_second"], Value::Null);
    }

    #[test]
    fn what_was_not_measured_is_null() {
        let mut report = report();
        report.rows[0].ostree = None;
        report.limit = None;
        report.first_commit = None;
        let document = of_report(&report, "2 x Abacus");
        assert_eq!(document["steps"][0]["times_faster"], Value::Null);
        assert_eq!(document["steps"][0]["ostree"], Value::Null);
        assert_eq!(document["limit"], Value::Null);
        assert_eq!(document["commit"], Value::Null);
        assert_eq!(document["filez_bytes"], Value::Null);
    }
}
