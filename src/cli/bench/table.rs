//! The figures as text.

use std::fmt::Write as _;
use std::time::Duration;

use osier::bench::{Figures, Report, Row};

use super::MB;

pub(super) fn of_report(report: &Report, machine: &str) -> String {
    let Report { tree, rounds, refs, objects, ostree_version, rows, limit: _, first_commit: _ } =
        report;
    let mut text = format!(
        "{} files, {} symlinks, {} directories, {:.1} MB; {refs} refs; {objects} objects to prune; {machine}\n",
        tree.files,
        tree.symlinks,
        tree.directories,
        tree.bytes as f64 / MB,
    );
    let heading = ["", "osier", "ostree", "faster", "goal", "memory", "ostree's", "MB/s/core"]
        .map(str::to_owned);
    for [step, osier, ostree, faster, goal, memory, other, rate] in
        std::iter::once(heading).chain(rows.iter().map(line))
    {
        let _ = writeln!(
            text,
            "{step:<26}{osier:>10}{ostree:>10}{faster:>9}{goal:>7}{memory:>10}{other:>10}{rate:>11}"
        );
    }
    let _ = write!(text, "medians of {rounds} rounds; ");
    text.push_str(&match ostree_version {
        Some(version) => format!("ostree {version}\n"),
        None if rows.iter().any(|row| row.ostree.is_some()) => {
            "ostree of an unknown version\n".to_owned()
        }
        None => "no ostree to compare with\n".to_owned(),
    });
    text.push_str(&about_first_commit(report));
    text
}

/// The outcome of the first commit, and its lower bound.
fn about_first_commit(report: &Report) -> String {
    let mut text = String::new();
    if let (Some(limit), Some(times)) = (report.limit, report.times_limit()) {
        let _ = writeln!(
            text,
            "reading, hashing and deflating the same files with nothing around it: {}, {} of processor time; \
             the first commit takes {times:.2} times that",
            seconds(limit.time),
            seconds(limit.cpu),
        );
    }
    let Some(first) = &report.first_commit else { return text };
    let osier = first.osier_archive_bytes as f64;
    let _ =
        write!(text, "commit {}\nsize of the archive's .filez: {:.1} MB", first.commit, osier / MB);
    if let Some(other) = first.ostree_archive_bytes.map(|bytes| bytes as f64) {
        let more = (osier / other - 1.0) * 100.0;
        let _ = write!(text, ", ostree's {:.1} MB, {more:+.1} % (limit: +4 %)", other / MB);
    }
    text.push('\n');
    text
}

fn line(row: &Row) -> [String; 8] {
    let time = |figures: &Figures| seconds(figures.median);
    let none = || "-".to_owned();
    let memory = |figures: &Figures| match figures.peak_memory {
        0 => none(),
        bytes => format!("{:.0} MB", bytes as f64 / MB),
    };
    [
        row.step.title.to_owned(),
        time(&row.osier),
        row.ostree.as_ref().map_or_else(none, time),
        row.ratio().map_or_else(none, |ratio| format!("{ratio:.1} x")),
        format!("{:.1}", row.step.goal),
        memory(&row.osier),
        row.ostree.as_ref().map_or_else(none, memory),
        row.bytes_per_cpu_second().map_or_else(none, |rate| format!("{:.0}", rate / MB)),
    ]
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::sample::report;
    use super::*;

    #[test]
    fn the_table_shows_ratios_and_sizes() {
        let text = of_report(&report(), "2 x Abacus");
        let heading = "20000 files, 3 symlinks, 7 directories, 300.0 MB; 2000 refs; 10000 objects to prune; 2 x Abacus\n";
        assert!(text.starts_with(heading), "{text}");
        let row = "first commit, archive        2.000 s   9.000 s    4.5 x    5.0     50 MB     50 MB        100\n";
        assert!(text.contains(row), "{text}");
        let row = "log                          0.002 s   0.012 s    6.0 x    1.0     50 MB     50 MB          -\n";
        assert!(text.contains(row), "{text}");
        assert!(text.contains("medians of 5 rounds; ostree 2022.7\n"), "{text}");
        assert!(text.contains("102.0 MB, ostree's 100.0 MB, +2.0 % (limit: +4 %)"), "{text}");
        assert!(
            text.contains("2.500 s of processor time; the first commit takes 1.20 times that"),
            "{text}"
        );
    }

    #[test]
    fn without_ostree_there_is_nothing_to_compare() {
        let mut report = report();
        report.rows[0].ostree = None;
        report.rows.truncate(1);
        report.ostree_version = None;
        report.first_commit.as_mut().unwrap().ostree_archive_bytes = None;
        let text = of_report(&report, "2 x Abacus");
        assert!(
            text.contains("2.000 s         -        -    5.0     50 MB         -        100\n"),
            "{text}"
        );
        assert!(text.contains("no ostree to compare with\n"), "{text}");
        assert!(text.ends_with("size of the archive's .filez: 102.0 MB\n"), "{text}");
    }
}
