//! Static deltas that a compose makes.

use std::fs;
use std::path::PathBuf;

use osier::Checksum;
use osier::repo::deltas::DeltaName;
use serde_json::{Value, json};

use super::world::{PENDING, REF, World};
use crate::support::{osier, ostree};

/// Where the superblock of a delta is.
fn superblock(world: &World, from: Option<&str>, to: &str) -> PathBuf {
    let commit = |hex: &str| Checksum::from_hex(hex).unwrap();
    let name = DeltaName { from: from.map(commit), to: commit(to) };
    world.repo().join(name.superblock_path())
}

/// What the report says of the deltas: from where, and whether they were made.
fn made(report: &Value) -> Vec<(Value, bool)> {
    let deltas = report["deltas"].as_array().unwrap().iter();
    deltas
        .map(|delta| {
            assert_eq!(delta["error"], Value::Null);
            assert!(delta["bytes"].as_u64().unwrap() > 0, "{delta}");
            (delta["from"].clone(), delta["made"].as_bool().unwrap())
        })
        .collect()
}

#[test]
fn a_commit_is_published_with_deltas_from_the_last_commits_and_from_nothing() {
    let Some((world, first)) = World::composed() else { return };
    world.set_config("[delta]\nfrom-commits=2\nfrom-scratch=true\n");
    let check = world.osier().run(["compose", "check", "--config=compose.conf"]).success();
    let expected = "makes a static delta from each of the last 2 commits of the ref\n\
                    makes a static delta from nothing\n";
    assert!(check.contains(expected), "{check}");
    world.change(2);
    let output = world.tree(&["--dry-run", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_str(&output.success()).unwrap();
    let planned = |from: Value| {
        let nothing = Value::Null;
        json!({ "from": from, "bytes": nothing, "parts": nothing, "fallbacks": nothing, "made": false,
                "error": nothing })
    };
    assert_eq!(report["deltas"], json!([planned(json!(first)), planned(Value::Null)]));
    assert!(
        stderr.contains(&format!("a static delta from {first} would be made\n"))
            && stderr.contains("a static delta from nothing would be made\n"),
        "{stderr}"
    );
    assert!(!world.repo().join("deltas").exists());
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_eq!(made(&world.report()), [(json!(first), true), (Value::Null, true)]);
    world.change(3);
    world.tree(&[]).success();
    let third = world.public_commit().unwrap();
    let expected = [(json!(second), true), (json!(first), true), (Value::Null, true)];
    assert_eq!(made(&world.report()), expected);
    world.assert_served(&third);
    // What the summary and the indexes say.
    let view = world.osier().repo(&world.repo(), ["summary", "--view"]).success();
    for name in [format!("{second}-{third}"), format!("{first}-{third}"), third.clone()] {
        assert!(view.contains(&name), "{view}");
    }
    let indexes = world.osier().repo(&world.repo(), ["static-delta", "indexes"]).success();
    assert!(indexes.contains(&second) && indexes.contains(&third), "{indexes}");
    // A client of the first commit that knows no other files.
    let program = ostree().unwrap_or_else(osier);
    let client = world.path("client");
    program.repo(&client, ["init", "--mode=bare-user-only"]).success();
    let delta = |from: Option<&str>, to: &str| {
        let path = superblock(&world, from, to);
        program.repo(&client, ["static-delta", "apply-offline", path.to_str().unwrap()]).success();
    };
    delta(None, &second);
    delta(Some(&second), &third);
    program.repo(&client, ["refs", "--create=main", &third]).success();
    program.repo(&client, ["fsck"]).success();
}

#[test]
fn an_unchanged_compose_makes_the_deltas_that_are_missing() {
    let Some((world, commit)) = World::composed() else { return };
    world.set_config("[delta]\nfrom-scratch=true\n");
    let stdout = world.tree(&[]).success();
    assert_eq!(stdout, format!("{REF} is unchanged: {commit} (22)\n"));
    assert_eq!(made(&world.report()), [(Value::Null, true)]);
    let warnings = world.report()["warnings"].to_string();
    assert!(!warnings.contains("summary"), "{warnings}");
    let file = superblock(&world, None, &commit);
    let before = (fs::read(&file).unwrap(), world.public());
    world.tree(&[]).success();
    assert_eq!(made(&world.report()), [(Value::Null, false)]);
    assert_eq!((fs::read(&file).unwrap(), world.public()), before);
    // One that has lost a part, or is no delta any more, is made again.
    fs::remove_file(file.with_file_name("0")).unwrap();
    world.tree(&[]).success();
    assert_eq!(made(&world.report()), [(Value::Null, true)]);
    fs::write(&file, "garbage").unwrap();
    world.publish(&commit).success();
    assert_eq!(made(&world.report()), [(Value::Null, true)]);
    world.osier().repo(&world.repo(), ["static-delta", "show", &commit]).success();
    world.assert_served(&commit);
}

#[test]
fn deltas_have_the_signatures_of_the_commit_and_their_own_if_asked_for() {
    let Some((world, first)) = World::composed() else { return };
    let keys = world.path("keys");
    fs::create_dir(&keys).unwrap();
    let out = format!("--out={}", keys.join("ed25519").display());
    world.osier().run(["sign", "--generate-key", &out]).success();
    let scratch = "[delta]\nfrom-scratch=true\n";
    world.set_config(scratch);
    world.tree(&[]).success();
    let file = superblock(&world, None, &first);
    let unsigned = fs::read(&file).unwrap();
    // A signature that is new belongs into the delta, too.
    let sign = "[sign]\ned25519-key-files=keys/ed25519.sec\n";
    world.set_config(&format!("{sign}{scratch}"));
    world.tree(&[]).success();
    assert_eq!(made(&world.report()), [(Value::Null, true)]);
    let signed = fs::read(&file).unwrap();
    assert_ne!(signed, unsigned);
    let verify = |file: &PathBuf| {
        let key = format!("--keys-file={}", keys.join("ed25519.pub").display());
        let file = file.to_str().unwrap();
        world.osier().repo(&world.repo(), ["static-delta", "verify", file, &key])
    };
    assert_eq!(verify(&file).failure(), "no signatures in static-delta");
    let client = world.path("client");
    world.osier().repo(&client, ["init", "--mode=bare-user-only"]).success();
    let apply = ["static-delta", "apply-offline", file.to_str().unwrap()];
    world.osier().repo(&client, apply).success();
    let key = fs::read_to_string(keys.join("ed25519.pub")).unwrap();
    let verified = ["sign", "--verify", "--sign-type=ed25519", &first, key.trim()];
    world.osier().repo(&client, verified).success();
    // With a signature of its own only osier can pull it, which is said.
    world.set_config(&format!("{sign}{scratch}sign=true\n"));
    let output = world.tree(&[]);
    let warning = "warning: [delta] sign: only osier can pull deltas that are signed\n";
    assert!(String::from_utf8_lossy(&output.stderr).contains(warning), "{output:?}");
    output.success();
    assert_eq!(made(&world.report()), [(Value::Null, true)]);
    assert_eq!(verify(&file).success(), "Verification OK\n");
    world.tree(&[]).success();
    assert_eq!(made(&world.report()), [(Value::Null, false)]);
}

#[test]
fn a_delta_that_fails_keeps_the_commit_pending_unless_it_is_not_required() {
    let Some((world, first)) = World::composed() else { return };
    world.set_config("[delta]\n");
    let before = world.public();
    world.change(2);
    // Nothing can be made below a file.
    let obstacle = world.repo().join("deltas");
    fs::write(&obstacle, "").unwrap();
    let message = world.tree(&[]).failure();
    let second = world.rev(PENDING).unwrap();
    let start = format!(
        "the commit {second} waits as {PENDING}: without its deltas, `osier compose publish` \
         continues here: no delta from {first}: "
    );
    assert!(message.starts_with(&start), "{message}");
    assert_eq!(world.public(), before);
    assert_eq!(
        (&world.report()["stage"], &world.report()["status"]),
        (&json!("delta"), &json!("failed"))
    );
    world.set_config("[delta]\nrequired=false\n");
    let output = world.publish(PENDING);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    assert!(stderr.contains(&format!("warning: no delta from {first}: ")), "{stderr}");
    let facts = &world.report()["deltas"][0];
    assert_eq!((&facts["from"], &facts["made"]), (&json!(first), &json!(false)));
    assert!(facts["error"].as_str().unwrap().contains("deltas"), "{facts}");
    fs::remove_file(&obstacle).unwrap();
    world.assert_served(&second);
    // Without the obstacle the first configuration goes on as if nothing had been.
    world.set_config("[delta]\n");
    world.tree(&[]).success();
    assert_eq!(made(&world.report()), [(json!(first), true)]);
}

/// A commit that waits may be signed elsewhere, and what is signed then belongs into the deltas.
#[test]
fn an_unpublished_commit_gets_its_deltas_when_it_is_published() {
    let Some((world, first)) = World::composed() else { return };
    world.set_config("[delta]\n");
    world.change(2);
    world.tree(&["--no-publish"]).success();
    assert_eq!(world.report()["deltas"], json!([]));
    assert!(!world.repo().join("deltas").exists());
    world.publish(PENDING).success();
    assert_eq!(made(&world.report()), [(json!(first), true)]);
    // A commit of which objects are missing on purpose is no source.
    let second = world.public_commit().unwrap();
    fs::write(world.repo().join(format!("state/{second}.commitpartial")), "").unwrap();
    world.change(3);
    world.tree(&[]).success();
    assert_eq!(made(&world.report()), [(json!(first), true)]);
}
