//! `osier compose tree`, `publish` and `check`, with a stand-in for rpm-ostree and with the real
//! one where it is.

mod attacks;
mod deltas;
mod evidence;
mod failures;
pub mod kills;
mod publishing;
mod pushes;
mod real;
mod serving;
mod signing;
pub mod world;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::support;
use world::{PENDING, REF, World};

use crate::compose_image::release::{has_programs, qcow2};
use crate::support::{Program, osier_path};

#[test]
fn an_empty_directory_becomes_a_published_tree() {
    let Some(world) = World::new() else { return };
    let stdout = world.tree(&["-q"]).success();
    let commit = world.public_commit().unwrap();
    assert_eq!(stdout, "");
    world.assert_served(&commit);
    world.assert_clean();
    assert_eq!(world.rev(PENDING), None);
    let report = world.report();
    let expected = json!({
        "schema": 1, "status": "published", "stage": "done", "ref": REF, "old_commit": null, "commit": commit,
        "version": "22", "changed": true, "signatures": [], "lockfile": "lock.json", "error": null,
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(&report[key], value, "{key}");
    }
    assert_eq!(report["programs"]["rpm-ostree"], "2025.1");
    assert_eq!(report["compose"]["ostree-commit"], commit);
    let summary = fs::read(world.repo().join("summary")).unwrap();
    assert_eq!(report["summary"]["size"], summary.len());
    assert_eq!(report["summary"]["sha256"], osier::Checksum::of(&summary).to_hex());
    let command = &report["commands"][0];
    assert_eq!(
        (&command["exit"], &command["log"], &command["attempt"]),
        (&json!(0), &json!("rpm-ostree.log"), &json!(1))
    );
    let log = fs::read_to_string(world.runs()[0].join("rpm-ostree.log")).unwrap();
    assert!(log.contains(&format!("No previous commit for {REF}\n")), "{log}");
    assert!(log.contains(&format!("Wrote commit: {commit}\n")), "{log}");
}

#[test]
fn the_second_run_says_unchanged_and_moves_nothing() {
    let Some((world, first)) = World::composed() else { return };
    let before = world.public();
    let stdout = world.tree(&[]).success();
    assert_eq!(stdout, format!("{REF} is unchanged: {first} (22)\n"));
    assert_eq!(world.public(), before);
    assert_eq!(
        (&world.report()["status"], &world.report()["changed"]),
        (&json!("unchanged"), &json!(false))
    );
    let output = world.tree(&["--unchanged-exit-77"]);
    assert_eq!(output.status, 77, "{output:?}");
    assert_eq!(world.public(), before);
    world.assert_served(&first);
}

#[test]
fn a_changed_package_gives_a_second_commit_on_top_of_the_first() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let stdout = world.tree(&["--json", "-q"]).success();
    let second = world.public_commit().unwrap();
    assert_ne!(second, first);
    assert_eq!(world.rev(&format!("{REF}^")), Some(first.clone()));
    let report: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["old_commit"], &report["commit"]), (&json!(first), &json!(second)));
    assert_eq!((&report["version"], &report["status"]), (&json!("22.1"), &json!("published")));
    assert_eq!(report, world.report());
    world.assert_served(&second);
}

#[test]
fn force_makes_a_commit_of_the_same_packages() {
    let Some((world, first)) = World::composed() else { return };
    world.tree(&["--force", "--version=22.7 beta"]).success();
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    assert_eq!(world.report()["version"], "22.7 beta");
}

#[test]
fn the_command_line_and_the_environment_are_those_of_the_specification() {
    let Some(world) = World::new() else { return };
    world.set_config(
        "version=22.3\nmetadata=org.example.build=1234\numask=0002\nsource-date-epoch=1700000000\n\
         extra-args=--proxy=http://p:3128\n",
    );
    let line = world.tree(&["--dry-run"]).success();
    assert!(
        !world.repo().exists() && !world.path("work").exists() && !world.path("cache").exists()
    );
    world.tree(&[]).success();
    let [call] = &world.calls()[..] else { panic!("{:?}", world.calls()) };
    let root = world.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let run = world.runs()[0].to_str().unwrap().to_owned();
    let expected = [
        format!("{root}/bin/rpm-ostree"),
        "compose".into(),
        "tree".into(),
        "--unified-core".into(),
        format!("--repo={root}/repo"),
        format!("--cachedir={root}/cache"),
        format!("--write-commitid-to={run}/commitid"),
        format!("--touch-if-changed={run}/changed"),
        format!("--write-composejson-to={run}/compose.json"),
        "--add-metadata-string=version=22.3".into(),
        "--add-metadata-string=org.example.build=1234".into(),
        format!("--ex-write-lockfile-to={run}/lock.json"),
        "--proxy=http://p:3128".into(),
        format!("{root}/exampleos-host.json"),
    ];
    let argv: Vec<&str> =
        call["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    // The interpreter of the stand-in gets the path of the script for its name.
    assert_eq!(argv, expected);
    let run_text = world.path("work").join("RUN").display().to_string();
    let shown = expected[1..].join(" ").replace(&run, &run_text);
    let variables = format!("LC_ALL=C.UTF-8 TMPDIR={run_text}/tmp SOURCE_DATE_EPOCH=1700000000");
    assert_eq!(line, format!("env {variables} rpm-ostree {shown}\n"));
    assert_eq!(call["environment"]["TMPDIR"], format!("{run}/tmp"));
    assert_eq!(call["environment"]["LC_ALL"], "C.UTF-8");
    assert_eq!(call["environment"]["SOURCE_DATE_EPOCH"], "1700000000");
    assert_eq!(call["environment"]["HOME"], "/nonexistent");
    assert_eq!(
        (&call["umask"], &call["group"], &call["in"]),
        (&json!(0o002), &json!(true), &json!("/dev/null"))
    );
    let report = world.report();
    assert_eq!(report["environment"], json!({ "SOURCE_DATE_EPOCH": "1700000000" }));
    assert_eq!(report["compose"]["ostree-timestamp"], "2023-11-14T22:13:20Z");
}

#[test]
fn a_dry_run_needs_no_programs_and_writes_nothing() {
    let Some(world) = World::new() else { return };
    fs::remove_file(world.path("bin/rpm-ostree")).unwrap();
    let output = world.tree(&["--dry-run", "--ref=exampleos/22/x86_64/host", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        stderr.contains(
            "warning: there is no program `rpm-ostree` on PATH, needed for composing a tree"
        ),
        "{stderr}"
    );
    let report: serde_json::Value = serde_json::from_str(&output.success()).unwrap();
    assert_eq!((&report["status"], &report["ref"]), (&json!("dry-run"), &json!(REF)));
    let line = report["command_lines"][0].as_str().unwrap();
    assert!(
        line.ends_with("/exampleos-host.json")
            && line.contains(" rpm-ostree compose tree --unified-core "),
        "{line}"
    );
    assert!(
        !world.repo().exists() && !world.path("work").exists() && !world.path("cache").exists()
    );
    // The treefile has a ref; only nothing can read it.
    let message = world.tree(&["--dry-run"]).failure();
    let treefile = world.path("exampleos-host.json");
    let expected = format!(
        "there is no program `rpm-ostree` on PATH, needed for reading the ref from {} (or give \
         --ref=REF, or `ref` in the configuration)",
        treefile.display()
    );
    assert_eq!(message, expected);
    fs::remove_file(&treefile).unwrap();
    let message = world.tree(&["--dry-run", "--ref=exampleos/22/x86_64/host"]).failure();
    assert_eq!(message, format!("reading {}: No such file or directory", treefile.display()));
}

#[test]
fn another_ref_than_the_treefiles_follows_its_own_history() {
    let Some((world, first)) = World::composed() else { return };
    let other = "exampleos/22/x86_64/testing";
    world.tree(&["--ref", other]).success();
    let commit = world.rev(other).unwrap();
    assert_eq!(world.rev(&format!("{commit}^")), None, "it has no parent");
    world.change(2);
    world.tree(&["--ref", other]).success();
    assert_eq!(world.rev(&format!("{other}^")), Some(commit));
    assert_eq!(world.report()["status"], "published");
    world.assert_served(&first);
    world.tree(&["--ref", other]).success();
    assert_eq!(world.report()["status"], "unchanged");
    // So does another repository.
    world.tree(&["--repo=elsewhere"]).success();
    assert_eq!(world.report()["repo"], world.path("elsewhere").to_str().unwrap());
    assert!(world.path("elsewhere/refs/heads").join(REF).exists());
}

#[test]
fn what_rpm_ostree_prints_is_passed_on_unless_it_is_to_be_quiet() {
    let Some(world) = World::new() else { return };
    let output = world.tree_with("noisy", &[]);
    let log = fs::read(world.runs()[0].join("rpm-ostree.log")).unwrap();
    assert!(log.len() > 2_000_000, "{}", log.len());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let passed =
        stderr.lines().filter(|line| line.starts_with("yyy") || line.starts_with("zzz")).count();
    assert_eq!(passed, 20_000);
    let commit = world.public_commit().unwrap();
    assert_eq!(output.success(), format!("{REF} => {commit} (22)\n"));
    let output = world.tree_with("noisy", &["--quiet"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("yyy"));
    output.success();
}

#[test]
fn a_terminal_shows_the_stage_the_time_and_the_last_line_of_the_log() {
    let Some(world) = World::new() else { return };
    let line = format!("{} compose tree --config=compose.conf --quiet", osier_path());
    // util-linux' script gives a program a terminal.
    let Some(script) = support::program("script") else { return };
    let script = script
        .with("PATH", support::search_path_after(&world.path("bin")))
        .with("OSIER", osier_path())
        .with("STANDIN_MODE", "slow")
        .with("TERM", "xterm")
        .in_directory(world.path(""));
    let shown = script.run(["-qec", &line, "/dev/null"]).success();
    assert!(shown.contains("rpm-ostree 1s Input state hash: "), "{shown:?}");
    assert!(!shown.contains("\nInput state hash: "), "{shown:?}");
    assert!(world.public_commit().is_some());
}

#[test]
fn check_tells_every_problem_at_once() {
    let Some(world) = World::new() else { return };
    world.osier().run(["compose", "check", "--config=compose.conf"]).success();
    world
        .set_config("lockfiles=none.json\nprogram=no-such-program\nref=exampleos/22/x86_64/host\n");
    let config = fs::read_to_string(world.path("compose.conf")).unwrap();
    let config = config
        .replace("min-free-mib=1", "min-free-mib=999999999")
        .replace("create-repo=true\n", "");
    fs::write(world.path("compose.conf"), config.replace("cachedir=cache", "cachedir=repo/cache"))
        .unwrap();
    let output = world.osier().run(["compose", "check", "--config=compose.conf", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let root = world.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    let errors: Vec<&str> =
        document["errors"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let starts = [
        "there is no program `no-such-program` on PATH, needed for composing a tree".to_owned(),
        format!("there is no repository {root}/repo (and create-repo is not set)"),
        format!("the repository {root}/repo has "),
        format!("the cachedir {root}/repo/cache has "),
        format!("the work directory {root}/work has "),
        format!("the cachedir {root}/repo/cache lies in the repository"),
        format!("opening {root}/none.json: No such file or directory"),
    ];
    assert_eq!(errors.len(), starts.len(), "{errors:#?}");
    for (error, start) in errors.iter().zip(&starts) {
        assert!(error.starts_with(start.as_str()), "{error} instead of {start}");
    }
    assert_eq!(output.failure(), "there are 7 problems");
    assert!(!world.repo().exists());
}

/// rpm-ostree takes any remote's ref of the name for what came before, if the repository has none.
#[test]
fn a_remote_that_has_a_ref_of_the_name_does_not_keep_the_first_compose_from_publishing() {
    let Some((other, commit)) = World::composed() else { return };
    let Some(world) = World::new() else { return };
    world.osier().repo(&world.repo(), ["init", "--mode=archive"]).success();
    let source = other.repo();
    let pull = ["pull-local", "--remote=upstream", source.to_str().unwrap(), REF];
    world.osier().repo(&world.repo(), pull).success();
    assert_eq!((world.rev(REF), world.public_commit()), (Some(commit), None));
    world.tree(&[]).success();
    let published = world.public_commit().unwrap();
    assert_eq!(world.rev(&format!("{published}^")), None);
    world.assert_served(&published);
    assert!(world.tree(&[]).success().starts_with(&format!("{REF} is unchanged: {published}")));
}

/// Nothing would sign a new summary, and clients that want a signature would get nothing any more.
#[test]
fn a_signed_summary_is_not_replaced_without_a_key() {
    let Some((world, first)) = World::composed() else { return };
    fs::write(world.repo().join("summary.sig"), "signature").unwrap();
    world.change(2);
    let repo = world.repo();
    let expected = format!(
        "the summary of {} is signed, and the configuration has no key for the next one: add \
         [sign], or remove summary.sig if clients need no signature",
        repo.display()
    );
    assert_eq!(world.tree(&[]).failure(), expected);
    assert_eq!(world.publish(&first).failure(), expected);
    assert_eq!(world.public_commit(), Some(first.clone()));
    assert!(repo.join("summary.sig").exists());
    world.tree(&["--no-publish"]).success();
    fs::remove_file(repo.join("summary.sig")).unwrap();
    world.publish(PENDING).success();
    assert_ne!(world.public_commit(), Some(first));
}

/// They need rpm-ostree for the ref in the treefile only.
#[test]
fn publishing_needs_no_sandbox() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    world.tree(&["--no-publish"]).success();
    let bwrap = world.path("bin/bwrap");
    fs::write(&bwrap, "#!/bin/sh\n[ \"$1\" = --version ] && echo bubblewrap 0.8.0\n").unwrap();
    fs::set_permissions(&bwrap, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(world.tree(&[]).failure().contains("bwrap cannot make a sandbox here"));
    world.publish(PENDING).success();
    assert_ne!(world.public_commit(), Some(first));
}

/// What README.md tells a release engineer to begin with.
#[test]
fn the_example_configuration_takes_an_empty_directory_to_a_published_tree_and_an_image() {
    if !has_programs() {
        return;
    }
    let Some(world) = World::new() else { return };
    for name in ["compose.conf", "exampleos-host.json", "exampleos.repo", "exampleos-host.ks"] {
        let example = format!("{}/examples/compose/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(example, world.path(name)).unwrap();
    }
    fs::remove_file(world.path("base.repo")).unwrap();
    // Scratch space may be small.
    let config = fs::read_to_string(world.path("compose.conf")).unwrap();
    fs::write(world.path("compose.conf"), format!("{config}\n[compose]\nmin-free-mib=1\n"))
        .unwrap();
    let imagefactory =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/compose_image/imagefactory");
    fs::copy(imagefactory, world.path("bin/imagefactory")).unwrap();
    let output = world.osier().run(["compose", "check", "--config=compose.conf", "--json"]);
    let document: serde_json::Value = serde_json::from_str(&output.success()).unwrap();
    assert_eq!(document["errors"], json!([]));
    assert_eq!(document["programs"]["imagefactory"]["version"], "1.1.16-stand-in");
    // Nothing is odd about the files themselves; the machine may lack a sandbox or /dev/fuse.
    let warnings = document["warnings"].to_string();
    assert!(!warnings.contains("exampleos"), "{warnings}");
    world.tree(&["--dry-run"]).success();
    world.tree(&[]).success();
    let commit = world.public_commit().unwrap();
    world.assert_served(&commit);
    let product = ["show", "--print-metadata-key=org.example.product", REF];
    assert_eq!(world.osier().repo(&world.repo(), product).line(), "'exampleos'");

    qcow2(&world.path("body"), "10G", "70M");
    let program =
        world.osier().clone().with("STAND_IN", "built").with("STAND_IN_BODY", world.path("body"));
    program.run(["compose", "image", "--config=compose.conf", "--dry-run"]).success();
    program.run(["compose", "image", "--config=compose.conf", "-q"]).success();
    let check = Program::other("sha256sum", "sha256sum").in_directory(world.path("images"));
    check.run(["-c", "exampleos-22-CHECKSUM"]).success();
    world.assert_served(&commit);
}

#[test]
fn a_configuration_is_refused_with_all_that_is_wrong_in_it() {
    let Some(world) = World::new() else { return };
    world.set_config("speed=fast\nattempts=none\n[sign]\nkeys=1\n[delta]\nfrom-child=true\n");
    let message = world.tree(&[]).failure();
    let path = world.path("compose.conf");
    let expected = format!(
        "{}: [compose] unknown key speed; [compose] attempts: `none` is no number from 1 to 100; \
         [sign] unknown key keys; [delta] unknown key from-child",
        path.display()
    );
    assert_eq!(message, expected);
    for call in
        [&["check"][..], &["tree"], &["tree", "--dry-run"], &["image"], &["image", "--dry-run"]]
    {
        let output =
            world.osier().run([&["compose"], call, &["--config=compose.conf", "--json"]].concat());
        assert_eq!(output.status, 1);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let reported = if call == ["check"] { &document["errors"][0] } else { &document["error"] };
        assert_eq!(reported, &json!(expected), "{call:?}");
    }
}

#[test]
fn what_is_wrong_in_the_configuration_does_not_hide_what_is_wrong_elsewhere() {
    let Some(world) = World::new() else { return };
    world.set_config("speed=fast\nlockfiles=none.json\n[image]\narch=vax\n");
    fs::write(world.path("exampleos-host.json"), "{ \"ref\": ").unwrap();
    let output = world.osier().run(["compose", "check", "--config=compose.conf"]);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let root = world.path("").to_str().unwrap().trim_end_matches('/').to_owned();
    for expected in [
        format!("error: {root}/compose.conf: [compose] unknown key speed; "),
        "; [image] arch: `vax` is none of ".to_owned(),
        format!("error: opening {root}/none.json: No such file or directory"),
        format!("error: {root}/exampleos-host.json: error: Loading treefile: Parsing treefile: "),
    ] {
        assert!(stdout.contains(&expected), "{expected}: {stdout}");
    }
    assert_eq!(output.failure(), "there are 3 problems");
    // Without the paths there is nothing to look at.
    fs::write(world.path("compose.conf"), "[compose]\nrepo=repo\ntreefile=\n").unwrap();
    let output = world.osier().run(["compose", "check", "--config=compose.conf"]);
    assert_eq!(output.failure(), "there is a problem");
}

#[test]
fn verbose_shows_what_is_run() {
    let Some(world) = World::new() else { return };
    let dry = world.tree(&["--dry-run"]).success();
    let output = world.tree(&["-q", "--verbose"]);
    let run = world.runs().pop().unwrap();
    let line = dry.replace(world.path("work/RUN").to_str().unwrap(), run.to_str().unwrap());
    let repo = world.repo();
    let expected = format!(
        "OT: plan: {REF} in {}, published; previous commit: none, parent: none; {line}",
        repo.display()
    );
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains(&expected), "{expected}{stderr}");
    output.success();
}

#[test]
fn a_version_is_one_line() {
    let Some(world) = World::new() else { return };
    let refused =
        |version: &str| world.tree(&["--json", &format!("--version={version}")]).failure();
    assert_eq!(refused(""), "--version: is empty");
    assert_eq!(
        refused("a\nb"),
        "--version: `a\\nb` holds a line break or another control character"
    );
    world.set_config(
        "version=a\\nb\nextra-args=--add-metadata-string=version=8;--previous-inputhash=00\n",
    );
    let message = world.tree(&[]).failure();
    for expected in [
        "[compose] extra-args: the version has a key of its own, `version`",
        "[compose] extra-args: --previous-inputhash is osier's to give",
        "[compose] version: `a\\nb` holds a line break or another control character",
    ] {
        assert!(message.contains(expected), "{message}");
    }
    assert!(!world.repo().exists());
}
