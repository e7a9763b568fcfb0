//! `osier bench`, on a tree so small that the figures mean nothing.

use std::fs;
use std::path::Path;

use osier::bench::STEPS;
use serde_json::Value;

use crate::support::{Program, has_programs, osier_path, ostree, scratch};

/// `bench` is no command of `ostree`, so the program goes by its own name.
fn own() -> Program {
    Program::other(osier_path(), "osier")
}

/// A tree with a directory, a link, two equal files and an empty one.
fn small_tree(path: &Path) {
    fs::create_dir_all(path.join("directory/below")).unwrap();
    for (name, content) in [
        ("a", "same"),
        ("directory/b", "same"),
        ("directory/below/empty", ""),
        ("text", "Words.\n"),
    ] {
        fs::write(path.join(name), content).unwrap();
    }
    std::os::unix::fs::symlink("a", path.join("link")).unwrap();
}

/// One round with everything small; prints JSON.
fn bench(directory: &Path, more: &[&str]) -> Value {
    let tree = directory.join("tree");
    if !tree.exists() {
        small_tree(&tree);
    }
    let options = [
        "bench",
        "--json",
        "--rounds=1",
        "--refs=30",
        "--objects=40",
        &format!("--tree={}", tree.display()),
        &format!("--scratch={}", directory.display()),
    ];
    let printed = own().run(options.iter().chain(more)).success();
    let left: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with("osier-bench")), "{left:?}");
    serde_json::from_str(&printed).unwrap()
}

fn names(document: &Value) -> Vec<&str> {
    document["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].as_str().unwrap())
        .collect()
}

#[test]
fn every_step_is_measured_for_both_programs() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let svg = directory.path().join("chart.svg");
    let ostree = format!("--ostree={}", ostree.path.display());
    let document = bench(directory.path(), &[&ostree, &format!("--svg={}", svg.display())]);
    assert_eq!(names(&document), STEPS.iter().map(|step| step.name).collect::<Vec<_>>());
    for step in document["steps"].as_array().unwrap() {
        for side in ["osier", "ostree"] {
            let figures = &step[side];
            assert!(figures["median_seconds"].as_f64().unwrap() > 0.0, "{step}");
            assert!(
                figures["fastest_seconds"].as_f64() <= figures["median_seconds"].as_f64(),
                "{step}"
            );
            // On a busy machine a short run may be over before anybody looks at its memory.
            assert!(figures["peak_memory_bytes"].as_u64() != Some(0), "{step}");
            assert!(figures["cpu_seconds"].as_f64().unwrap() > 0.0, "{step}");
        }
        let seconds = |side: &str| step[side]["median_seconds"].as_f64().unwrap();
        let ratio = step["times_faster"].as_f64().unwrap();
        assert!((ratio * seconds("osier") / seconds("ostree") - 1.0).abs() < 1e-9, "{step}");
    }
    let tree = &document["tree"];
    assert_eq!(
        (&tree["files"], &tree["symlinks"], &tree["directories"]),
        (&4.into(), &1.into(), &3.into())
    );
    assert_eq!(tree["bytes"], 15);
    assert_eq!(
        (&document["rounds"], &document["refs"], &document["objects"]),
        (&1.into(), &30.into(), &40.into())
    );
    assert_eq!(document["commit"].as_str().unwrap().len(), 64);
    assert!(document["ostree_version"].as_str().unwrap().starts_with("20"), "{document}");
    assert!(document["limit"]["cpu_seconds"].as_f64().unwrap() > 0.0);
    // "same" and "Words.\n", each in a block of its own, and nothing.
    assert!(
        (10..40).contains(&document["limit"]["deflated_bytes"].as_u64().unwrap()),
        "{}",
        document["limit"]
    );
    check_svg(&fs::read_to_string(&svg).unwrap(), &document);
}

/// The picture is a tree of elements, and names every step.
fn check_svg(text: &str, document: &Value) {
    let mut open = Vec::new();
    for tag in text.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap();
        match tag.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if tag.ends_with('/') || tag.starts_with('?') => {}
            None => open.push(tag.split_whitespace().next().unwrap()),
        }
    }
    assert_eq!(open, [""; 0]);
    for step in document["steps"].as_array().unwrap() {
        let title = step["step"].as_str().unwrap();
        assert!(text.contains(&format!(">{title}</text>")), "{title} is not in the picture");
    }
    assert!(text.contains(&format!("and ostree {}", document["ostree_version"].as_str().unwrap())));
}

#[test]
fn osier_alone_runs_the_steps_asked_for() {
    let directory = scratch();
    let document = bench(directory.path(), &["--no-ostree", "--only=fsck", "--only=stat-cache"]);
    // What they need is run, but not shown.
    assert_eq!(names(&document), ["stat-cache", "fsck"]);
    for step in document["steps"].as_array().unwrap() {
        assert_eq!((&step["ostree"], &step["times_faster"]), (&Value::Null, &Value::Null));
        assert_eq!(step["content_bytes"], 15);
    }
    assert_eq!(document["ostree_version"], Value::Null);
    assert_eq!(document["filez_bytes"]["ostree"], Value::Null);
    assert_eq!(document["limit"], Value::Null);
}

#[test]
fn the_table_has_a_line_for_each_step() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    let table = own()
        .run(["bench", "--no-ostree", "--rounds=2", "--only=prune", "--objects=100", &scratch])
        .success();
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with(
            "0 files, 0 symlinks, 1 directories, 0.0 MB; 10000 refs; 100 objects to prune; "
        ),
        "{table}"
    );
    assert_eq!(lines[1].split_whitespace().next(), Some("osier"));
    assert!(lines[2].starts_with("prune, many objects"), "{table}");
    assert_eq!(lines[3], "medians of 2 rounds; no ostree to compare with");
    assert_eq!(lines.len(), 4, "{table}");
}

#[test]
fn steps_that_need_no_tree_are_measured_without_one() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    let steps =
        STEPS.iter().filter(|step| !step.is_of_tree).map(|step| format!("--only={}", step.name));
    let options =
        ["bench", "--json", "--no-ostree", "--rounds=1", "--refs=30", "--objects=40", &scratch];
    let options: Vec<String> = options.map(str::to_owned).into_iter().chain(steps).collect();
    let document: Value = serde_json::from_str(&own().run(&options).success()).unwrap();
    assert_eq!(names(&document), ["log", "summary", "prune"]);
    assert_eq!((&document["tree"]["files"], &document["tree"]["bytes"]), (&0.into(), &0.into()));
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    let failure =
        |arguments: &[&str]| own().run(["bench", &scratch].iter().chain(arguments)).failure();
    assert_eq!(failure(&["--rounds=0"]), "at least one round is needed");
    let message = failure(&["--only=fsck", "--only=push"]);
    assert!(
        message.starts_with("no step is called 'push'; there are commit, again, "),
        "{message}"
    );
    assert_eq!(
        failure(&["--no-ostree", "--ostree=ostree"]),
        "--ostree and --no-ostree cannot be used together"
    );
    assert_eq!(failure(&["somewhere"]), "Too many arguments given");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_program_with_other_results_is_found_out() {
    let directory = scratch();
    let tree = directory.path().join("tree");
    small_tree(&tree);
    // It commits, but something else.
    let other = directory.path().join("other");
    let program = osier_path();
    fs::write(
        &other,
        format!(
            "#!/bin/sh\nexec {program} \"$@\" $(case $2 in commit) echo --owner-uid=77;; esac)\n"
        ),
    )
    .unwrap();
    fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let options = [
        "bench".to_owned(),
        "--rounds=1".to_owned(),
        "--only=commit".to_owned(),
        format!("--tree={}", tree.display()),
        format!("--scratch={}", directory.path().display()),
        format!("--ostree={}", other.display()),
    ];
    let message = own().run(options).failure();
    assert!(message.starts_with("the results of 'first commit, archive' differ: o"), "{message}");
}

#[test]
fn growth_is_measured_on_repositories_of_several_sizes() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    let text = own().run(["bench", "--scale=1000", &scratch]).success();
    let headings = [
        "| objects | 10 | memory | 100 | memory | 1,000 | memory | growth | bytes each |",
        "| refs | 1 | memory | 10 | memory | 100 | memory | growth | bytes each |",
        "| commits in a chain | 1 | memory | 10 | memory | growth | bytes each |",
        "| files in one directory | 1 | memory | 10 | memory | 100 | memory | growth | bytes each |",
        "| bytes in one file | 64,420 | memory | 644,200 | memory | 6,442,000 | memory | growth | bytes each |",
        "| levels of directories | 20 | memory | 200 | memory | growth | bytes each |",
    ];
    let found: Vec<&str> = text.lines().filter(|line| line.ends_with("| bytes each |")).collect();
    assert_eq!(found, headings);
    let rows: Vec<&str> = text.lines().filter(|line| line.contains(" s | ")).collect();
    assert_eq!(rows.len(), 9 + 5 + 5 + 7 + 5 + 7, "{text}");
    for operation in [
        "prune of one half",
        "pull-local, to bare-user",
        "first commit, archive",
        "checkout -U",
        "export",
    ] {
        assert!(rows.iter().any(|row| row.starts_with(&format!("| {operation} |"))), "{text}");
    }
    // Sizes are what they are called, so the memory for one more of something is a number.
    assert!(!text.contains("Not measured"), "{text}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn growth_is_not_measured_beside_anything_else_or_on_nothing() {
    let failure = |arguments: &[&str]| own().run(["bench"].iter().chain(arguments)).failure();
    assert_eq!(
        failure(&["--scale", "--json"]),
        "--scale goes with --scratch, and with no other option"
    );
    assert_eq!(failure(&["--scale=10"]), "fewer than 1000 objects say nothing about growth");
}

#[test]
fn pulls_are_measured_over_both_protocols() {
    if !has_programs(&["nginx", "openssl"]) {
        return;
    }
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    // The program stands in for `ostree` where that is missing.
    let other = ostree()
        .map_or_else(|| osier_path().to_owned(), |ostree| ostree.path.display().to_string());
    let ostree = format!("--ostree={other}");
    let options = ["bench", "--remote", "--json", "--objects=30", "--rtt=0,40", &ostree, &scratch];
    let document: Value = serde_json::from_str(&own().run(options).success()).unwrap();
    let pulls = document["pulls"].as_array().unwrap();
    let name = |pull: &Value| {
        let protocol = pull["protocol"].as_str().unwrap();
        format!("{protocol} {} {}", pull["rtt_ms"], pull["nothing_to_do"])
    };
    let expected = [
        "http1 0 false",
        "http1 0 true",
        "http2 0 false",
        "http2 0 true",
        "http1 40 false",
        "http1 40 true",
        "http2 40 false",
        "http2 40 true",
    ];
    assert_eq!(pulls.iter().map(name).collect::<Vec<_>>(), expected);
    for pull in pulls {
        let is_again = pull["nothing_to_do"] == true;
        for side in ["osier", "ostree"] {
            let figures = &pull[side];
            assert_eq!(figures["objects"], 30, "{pull}");
            assert_eq!(figures["objects_per_second"].is_null(), is_again, "{pull}");
            assert!(figures["cpu_seconds"].as_f64().unwrap() > 0.0, "{pull}");
            // A connection, the summary, and a chain of metadata.
            if pull["rtt_ms"] == 40 {
                assert!(figures["seconds"].as_f64().unwrap() > 0.08, "{pull}");
            }
        }
        assert!(pull["times_faster"].as_f64().unwrap() > 0.0, "{pull}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn pulls_that_cannot_be_measured_are_refused() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    let failure =
        |arguments: &[&str]| own().run(["bench", &scratch].iter().chain(arguments)).failure();
    assert_eq!(failure(&["--rtt=5"]), "--rtt goes with --remote only");
    assert_eq!(
        failure(&["--remote", "--scale"]),
        "--tree, --refs, --svg and --scale cannot be used with --remote"
    );
    if !has_programs(&["nginx", "openssl"]) {
        return;
    }
    assert_eq!(
        failure(&["--remote", "--only=commit"]),
        "no protocol is called 'commit'; there are http1, http2"
    );
    assert_eq!(
        failure(&["--remote", "--objects=9"]),
        "fewer than 10 objects say nothing about pulls"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn deltas_are_made_and_applied_by_both_programs() {
    let directory = scratch();
    let scratch = format!("--scratch={}", directory.path().display());
    // The program stands in for `ostree` where that is missing.
    let other = ostree()
        .map_or_else(|| osier_path().to_owned(), |ostree| ostree.path.display().to_string());
    let ostree = format!("--ostree={other}");
    let options = ["bench", "--deltas", "--json", "--size=1", &ostree, &scratch];
    let document: Value = serde_json::from_str(&own().run(options).success()).unwrap();
    let deltas = document["deltas"].as_array().unwrap();
    let cases: Vec<&str> = deltas.iter().map(|delta| delta["case"].as_str().unwrap()).collect();
    assert_eq!(cases, ["update", "apply-update", "whole", "apply-whole", "image"]);
    for delta in deltas {
        let [osier, ostree] =
            ["osier", "ostree"].map(|side| delta[side]["delta_bytes"].as_f64().unwrap());
        assert!(osier > 1000.0 && osier < ostree * 1.01 + 100.0, "{delta}");
        assert!(delta["times_faster"].as_f64().unwrap() > 0.0, "{delta}");
    }
    let failure =
        |arguments: &[&str]| own().run(["bench", &scratch].iter().chain(arguments)).failure();
    assert_eq!(failure(&["--size=1"]), "--size goes with --deltas only");
    assert_eq!(
        failure(&["--deltas", "--remote"]),
        "--tree, --refs, --objects, --svg, --scale and --remote cannot be used with --deltas"
    );
    assert_eq!(
        failure(&["--deltas", "--only=commit"]),
        "no case is called 'commit'; there are update, apply-update, whole, apply-whole, image"
    );
    assert_eq!(
        failure(&["--deltas", "--size=0"]),
        "a release of less than 1 MB says nothing about deltas"
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}
