//! What rpm-ostree compares with, and what counts as unchanged.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::world::{REF, World};

/// The options of the newest call that say what came before.
fn compared(world: &World) -> Vec<String> {
    let call = world.calls().pop().unwrap();
    let argv =
        call["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_owned());
    let names = ["--previous-commit=", "--parent=", "--no-parent", "--force-nocache"];
    argv.filter(|word| names.iter().any(|name| word.starts_with(name))).collect()
}

/// rpm-ostree compares with nothing, and gives no parent, if the treefile has no ref.
#[test]
fn a_ref_that_only_the_configuration_names_keeps_its_history() {
    let Some(world) = World::new() else { return };
    fs::write(
        world.path("exampleos-host.json"),
        r#"{ "repos": ["base"], "packages": ["payload"] }"#,
    )
    .unwrap();
    world.set_config(&format!("ref={REF}\n"));
    world.tree(&[]).success();
    let first = world.public_commit().unwrap();
    assert_eq!(compared(&world), [""; 0]);
    assert_eq!(world.rev(&format!("{REF}^")), None);
    world.tree(&[]).success();
    assert_eq!(world.report()["status"], "unchanged");
    assert_eq!(
        compared(&world),
        [format!("--previous-commit={first}"), format!("--parent={first}")]
    );
    world.change(2);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_eq!(world.rev(&format!("{REF}^")).as_deref(), Some(first.as_str()));
    assert_eq!(world.report()["status"], "published");
    world.assert_served(&second);
    // Without a parent on purpose it still compares.
    world.set_config(&format!("ref={REF}\nextra-args=--no-parent\n"));
    world.tree(&[]).success();
    assert_eq!(world.report()["status"], "unchanged");
    world.change(3);
    world.tree(&[]).success();
    assert_eq!(world.rev(&format!("{REF}^")), None);
    // So does a ref on the command line, and a dry run that cannot read the treefile.
    world.set_config("");
    let third = world.public_commit().unwrap();
    world.tree(&["--ref", REF]).success();
    assert_eq!(
        (world.report()["status"].as_str(), world.public_commit()),
        (Some("unchanged"), Some(third.clone()))
    );
    fs::remove_file(world.path("bin/rpm-ostree")).unwrap();
    let line = world.tree(&["--dry-run", "--ref", REF]).success();
    assert!(line.contains(&format!(" --previous-commit={third} --parent={third} ")), "{line}");
}

#[test]
fn an_end_with_status_0_and_without_files_is_no_proof_that_nothing_has_changed() {
    let Some((world, first)) = World::composed() else { return };
    world.change(2);
    let before = world.public();
    let message = world.tree_with("nothing", &[]).failure();
    let expected = "rpm-ostree ended with exit status 0, but it made no commit and did not say \
        that nothing has changed";
    assert_eq!(message, expected);
    assert_eq!(
        (&world.report()["status"], &world.report()["error"]),
        (&json!("failed"), &json!(expected))
    );
    let message = world.tree_with("liar", &[]).failure();
    assert!(
        message.starts_with("rpm-ostree says that nothing has changed, but its input hash is "),
        "{message}"
    );
    assert!(message.contains(&format!(" and that of {first} is ")), "{message}");
    assert_eq!(world.public(), before);
    world.assert_served(&first);
    world.tree(&[]).success();
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
}

#[test]
fn extra_arguments_that_would_spoil_the_evidence_are_refused_in_every_spelling() {
    let Some(world) = World::new() else { return };
    for (argument, expected) in [
        ("--help", "--help is osier's to give"),
        ("--help-all", "--help-all is osier's to give"),
        ("--version", "--version is osier's to give"),
        ("--repo=/x", "--repo is osier's to give"),
        ("-r/x", "`-r/x`: write the long form of an option, --NAME or --NAME=VALUE"),
        ("-r=/x", "`-r=/x`: write the long form of an option, --NAME or --NAME=VALUE"),
        ("-h", "`-h`: write the long form of an option, --NAME or --NAME=VALUE"),
        ("--rep=/x", "--rep is an abbreviation of --repo; write the whole name"),
        ("--proxy", "--proxy takes a value; write --proxy=VALUE"),
        ("--", "`--`: write the long form of an option, --NAME or --NAME=VALUE"),
    ] {
        world.set_config(&format!("extra-args=--cache-only;{argument}\n"));
        let message = world.tree(&[]).failure();
        let path = world.path("compose.conf");
        assert_eq!(message, format!("{}: [compose] extra-args: {expected}", path.display()));
    }
    assert!(world.calls().is_empty() && !world.repo().exists());
}

#[test]
fn a_version_or_metadata_that_an_unchanged_compose_leaves_out_is_said() {
    let Some(world) = World::new() else { return };
    world.set_config("metadata=org.example.build=1;org.example.same=x\n");
    world.tree(&[]).success();
    let first = world.public_commit().unwrap();
    assert_eq!(world.report()["unapplied"], json!([]));
    world.set_config("metadata=org.example.build=2;org.example.same=x;org.example.new=y\n");
    let output = world.tree(&["--version=22.7"]);
    let reported = "not applied, because packages and treefile are unchanged: org.example.build 2 \
        (the commit has 1), org.example.new y (the commit has none), version 22.7 (the commit has \
        22); --force composes anew";
    assert!(
        String::from_utf8_lossy(&output.stderr).contains(&format!("warning: {reported}\n")),
        "{output:?}"
    );
    assert_eq!(output.success(), format!("{REF} is unchanged: {first} (22)\n{reported}\n"));
    let report = world.report();
    assert_eq!((&report["status"], &report["version"]), (&json!("unchanged"), &json!("22")));
    let unapplied = |key: &str, wanted: &str, found: Option<&str>| json!({ "key": key, "wanted": wanted, "found": found });
    let expected = [
        unapplied("org.example.build", "2", Some("1")),
        unapplied("org.example.new", "y", None),
        unapplied("version", "22.7", Some("22")),
    ];
    assert_eq!(report["unapplied"], json!(expected));
    assert!(report["warnings"].as_array().unwrap().contains(&json!(reported)));
    world.tree(&["--version=22.7", "--force"]).success();
    let report = world.report();
    assert_eq!(
        (&report["status"], &report["version"], &report["unapplied"]),
        (&json!("published"), &json!("22.7"), &json!([]))
    );
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    world.tree(&["--version=22.7"]).success();
    assert_eq!(
        (&world.report()["status"], &world.report()["unapplied"]),
        (&json!("unchanged"), &json!([]))
    );
    // The same through extra arguments.
    world.set_config("extra-args=--add-metadata-string=org.example.build=3\n");
    world.tree(&[]).success();
    assert_eq!(
        world.report()["unapplied"],
        json!([unapplied("org.example.build", "3", Some("2"))])
    );
}

/// rpm-ostree labels the first commit of a ref with the policy of the host.
#[test]
fn check_says_that_the_host_has_no_selinux_policy() {
    if Path::new("/etc/selinux/config").exists() || Path::new("/usr/etc/selinux/config").exists() {
        return crate::support::skip("the machine may have an SELinux policy");
    }
    let Some(world) = World::new() else { return };
    let treefile = world.path("exampleos-host.json");
    let text = fs::read_to_string(&treefile).unwrap();
    let expected = format!(
        "{}: there is no SELinux policy on this host, and rpm-ostree needs one to label the first \
         commit of a ref: install an SELinux policy where rpm-ostree runs (Fedora: \
         selinux-policy-targeted, Debian: selinux-policy-default), or set \"selinux\": false in \
         the treefile for a system without SELinux",
        treefile.display()
    );
    let check = || {
        let stdout = world.osier().run(["compose", "check", "--config=compose.conf"]).success();
        let reported = stdout.lines().filter(|line| line.contains("SELinux")).map(str::to_owned);
        reported.collect::<Vec<_>>()
    };
    // It is the default of rpm-ostree.
    assert_eq!(check(), [format!("warning: {expected}")]);
    fs::write(&treefile, text.replace("{ \"ref\"", "{ \"selinux\": true, \"ref\"")).unwrap();
    assert_eq!(check(), [format!("warning: {expected}")]);
    fs::write(&treefile, text.replace("{ \"ref\"", "{ \"selinux\": false, \"ref\"")).unwrap();
    assert_eq!(check(), [""; 0]);
    fs::write(&treefile, &text).unwrap();
    world.tree(&[]).success();
    assert_eq!(check(), [""; 0], "the commit of before has the policy");
}
