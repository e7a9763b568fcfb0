//! What a compose publishes is pushed on.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::world::{REF, World};
use crate::json::shapes::{misfit, schemas};
use crate::support::{Program, osier_path};

/// What the destination has.
fn far(world: &World) -> Option<String> {
    let path = world.path("far").join("refs/heads").join(REF);
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// osier with a script in the place of ssh.
fn program(world: &World) -> Program {
    let script = "#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\nexec /bin/sh -c \"$1\"\n";
    fs::write(world.path("ssh"), script).unwrap();
    fs::set_permissions(world.path("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
    world.osier().clone().with("OSIER_SSH", format!("sh {}", world.path("ssh").display()))
}

fn tree(world: &World, arguments: &[&str]) -> crate::support::Output {
    program(world).run([&["compose", "tree", "--config=compose.conf"], arguments].concat())
}

#[test]
fn what_is_published_is_pushed_to_a_directory_and_to_another_machine() {
    let Some(world) = World::new() else { return };
    fs::create_dir(world.path("far-away")).unwrap();
    world.osier().repo(&world.repo(), ["init", "--mode=archive"]).success();
    let mut config = fs::OpenOptions::new().append(true).open(world.repo().join("config")).unwrap();
    let away = world.path("far-away/os");
    let group =
        format!("\n[push \"away\"]\nurl=ssh://host{}\nreceiver={}\n", away.display(), osier_path());
    config.write_all(group.as_bytes()).unwrap();
    let near = format!("file://{}", world.path("far").display());
    world.osier().run(["sign", "--generate-key", "--out", "key"]).success();
    world.set_config(&format!(
        "[sign]\ned25519-key-files=key.sec\n[delta]\nfrom-scratch=true\n[push]\nto={near};away\n"
    ));
    let output = tree(&world, &["--dry-run", "--json"]);
    let report: Value = serde_json::from_str(&output.success()).unwrap();
    let planned: Vec<&Value> =
        report["pushes"].as_array().unwrap().iter().map(|push| &push["to"]).collect();
    assert_eq!(planned, [&json!(near), &json!("away")]);
    assert!(!world.path("far").exists());
    tree(&world, &[]).success();
    let commit = world.public_commit().unwrap();
    for path in [world.path("far"), away] {
        let ours = fs::read_to_string(path.join("refs/heads").join(REF)).unwrap();
        assert_eq!(ours.trim(), commit);
        world.osier().repo(&path, ["fsck", "--quiet"]).success();
        assert!(path.join("summary.sig").exists());
        assert_eq!(world.osier().repo(&path, ["static-delta", "list"]).line(), commit);
        let keys = format!("--keys-file={}", world.path("key.pub").display());
        let verify = ["sign", "--verify", "-s", "ed25519", &keys, &commit];
        world.osier().repo(&path, verify).success();
    }
    let report = world.report();
    assert_eq!((&report["status"], &report["stage"]), (&json!("published"), &json!("done")));
    let schemas = schemas();
    assert_eq!(misfit(&schemas, &schemas["compose"], &report), None);
    for (push, to) in report["pushes"].as_array().unwrap().iter().zip([&near, "away"]) {
        assert_eq!((&push["to"], &push["error"]), (&json!(to), &Value::Null));
        assert!(push["objects_sent"].as_u64().unwrap() > 3, "{push}");
        assert!(push["delta_files_sent"].as_u64().unwrap() > 1, "{push}");
    }
    // Nothing is new.
    tree(&world, &[]).success();
    let report = world.report();
    assert_eq!(report["status"], "unchanged");
    let pushes = report["pushes"].as_array().unwrap().iter();
    let sent: Vec<&Value> = pushes.map(|push| &push["objects_sent"]).collect();
    assert_eq!(sent, [&json!(0), &json!(0)]);
}

#[test]
fn a_push_that_fails_leaves_what_was_published_and_publish_continues() {
    let Some((world, first)) = World::composed() else { return };
    // Something else is where the destination should be.
    fs::create_dir(world.path("far")).unwrap();
    fs::write(world.path("far/file"), "").unwrap();
    let to = format!("file://{}", world.path("far").display());
    world.set_config(&format!("[push]\nto={to}\n"));
    world.change(2);
    let error = world.tree(&[]).failure();
    let second = world.public_commit().unwrap();
    assert_ne!(second, first);
    let expected = format!(
        "{REF} is published as {second}, but not pushed to {to}; `osier compose publish` continues \
         here: {} is not empty and no repository",
        world.path("far").display()
    );
    assert_eq!(error, expected);
    let report = world.report();
    assert_eq!((&report["status"], &report["stage"]), (&json!("failed"), &json!("push")));
    let error = report["pushes"][0]["error"].as_str().unwrap();
    assert!(error.ends_with("is not empty and no repository"), "{error}");
    world.assert_served(&second);
    fs::remove_file(world.path("far/file")).unwrap();
    world.publish(&second).success();
    assert_eq!(far(&world).as_deref(), Some(&second[..]));
    assert_eq!(
        (&world.report()["status"], &world.report()["stage"]),
        (&json!("unchanged"), &json!("done"))
    );
    // So does the next compose.
    fs::remove_dir_all(world.path("far")).unwrap();
    world.tree(&[]).success();
    assert_eq!(far(&world).as_deref(), Some(&second[..]));
    // A commit that is not published is not pushed.
    world.change(3);
    world.tree(&["--no-publish"]).success();
    assert_eq!(far(&world).as_deref(), Some(&second[..]));
}

#[test]
fn a_push_that_is_not_required_is_a_warning() {
    let Some(world) = World::new() else { return };
    let to = format!("file://{}", world.path("none/deep").display());
    world.set_config(&format!("[push]\nto={to}\nrequired=false\n"));
    world.tree(&[]).success();
    let report = world.report();
    assert_eq!((&report["status"], &report["stage"]), (&json!("published"), &json!("done")));
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains(&format!("not pushed to {to}: Creating repo")), "{warnings}");
}

#[test]
fn a_destination_that_is_none_is_found_before_a_run() {
    let Some((world, first)) = World::composed() else { return };
    world.set_config("[push]\nto=nowhere;https://me:secret@host/x\n");
    let output = world.tree(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!stderr.contains("secret"), "{stderr}");
    assert!(output.failure().contains("'https://host/x': a web server cannot be pushed to"));
    world.set_config("[push]\nto=nowhere\n");
    let error = world.tree(&[]).failure();
    assert!(error.contains("[push] to: 'nowhere' is neither a URL"), "{error}");
    assert_eq!(world.public_commit().unwrap(), first);
}
