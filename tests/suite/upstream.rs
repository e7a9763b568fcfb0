//! The upstream test-suite with osier as `ostree`, see tests/upstream/README.md.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{find, has_programs, lacks, osier_path, scratch, skip};

/// Where Debian's package `ostree-tests` puts the suite.
const INSTALLED_TESTS: &str = "/usr/libexec/installed-tests/libostree";

/// What the files that are tried call, and cannot do without.
const RUN_BY_THE_SUITE: [&str; 4] = ["python3", "strace", "setfattr", "gpg"];

/// The stages of `stages.tsv` whose files are tried even before they are in `passing.txt`.
const STAGES: [&str; 5] = ["core", "local", "signing", "remote", "delta"];

#[test]
fn what_passed_of_the_upstream_suite_still_passes() {
    if !Path::new(INSTALLED_TESTS).is_dir() {
        return lacks(&["ostree-tests"]);
    }
    if !has_programs(&RUN_BY_THE_SUITE) {
        return;
    }
    let expected = passing();
    let directory = scratch();
    let (list, report) = (directory.path().join("list"), directory.path().join("report.json"));
    let tried: BTreeSet<String> = expected.iter().cloned().chain(files_of(&STAGES)).collect();
    std::fs::write(&list, tried.iter().map(|file| format!("{file}\n")).collect::<String>())
        .unwrap();

    let output = Command::new(find("python3").unwrap())
        .arg(upstream("run"))
        .arg(small_program(directory.path()))
        .arg("--list")
        .arg(&list)
        .arg("--expect")
        .arg(upstream("in-scope.tsv"))
        .arg("--json")
        .arg(&report)
        .arg("--verbose")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let reported = String::from_utf8_lossy(&output.stdout);
    let passed = passed_files(&report, &reported);

    let lost: Vec<_> = expected.difference(&passed).collect();
    assert!(
        lost.is_empty(),
        "no longer passing: {lost:?}\n{reported}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let gained: Vec<_> = passed.difference(&expected).collect();
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "upstream: {}", reported.lines().last().unwrap_or("no total"));
    if !gained.is_empty() {
        let _ = writeln!(
            stderr,
            "upstream: newly passing, add to tests/upstream/passing.txt: {gained:?}"
        );
    }
}

/// A program that only runs osier as `ostree`. The suite commits the program under test into
/// repositories and makes deltas of it; an unoptimised osier has far too many bytes for that.
fn small_program(directory: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let path = directory.join("ostree");
    let script = format!("#!/bin/bash\nexec -a ostree '{}' \"$@\"\n", osier_path());
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn no_file_was_ever_taken_out_of_the_list_of_passing_ones() {
    let now = passing();
    let known: BTreeSet<String> =
        files_of(&["core", "local", "signing", "delta", "remote"]).collect();
    let unknown: Vec<_> = now.difference(&known).collect();
    assert!(unknown.is_empty(), "not in stages.tsv: {unknown:?}");

    let root = env!("CARGO_MANIFEST_DIR");
    if !Path::new(root).join(".git").exists() {
        return skip("no git history to look into");
    }
    if !has_programs(&["git"]) {
        return;
    }
    let arguments =
        ["-c", "safe.directory=*", "log", "-p", "--format=", "--", "tests/upstream/passing.txt"];
    let output = Command::new("git")
        .current_dir(root)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let history = String::from_utf8_lossy(&output.stdout);
    let once_there = history
        .lines()
        .filter_map(|line| line.strip_prefix('+'))
        .filter(|line| line.starts_with("test-"));
    let lost: BTreeSet<&str> = once_there.filter(|file| !now.contains(*file)).collect();
    assert!(lost.is_empty(), "taken out of passing.txt: {lost:?}");
}

fn upstream(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/upstream").join(name)
}

fn passing() -> BTreeSet<String> {
    let text = std::fs::read_to_string(upstream("passing.txt")).unwrap();
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn files_of(stages: &[&str]) -> impl Iterator<Item = String> {
    let text = std::fs::read_to_string(upstream("stages.tsv")).unwrap();
    let rows: Vec<(String, String)> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect();
    rows.into_iter()
        .filter(move |(_, stage)| stages.contains(&stage.as_str()))
        .map(|(file, _)| file)
}

/// The files that the runner's report calls passed.
fn passed_files(report: &Path, reported: &str) -> BTreeSet<String> {
    let bytes =
        std::fs::read(report).unwrap_or_else(|error| panic!("no report: {error}\n{reported}"));
    let report: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let results = report["results"].as_array().unwrap();
    let passed = results.iter().filter(|result| result["result"] == "PASS");
    passed.map(|result| result["file"].as_str().unwrap().to_owned()).collect()
}
