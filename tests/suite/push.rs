//! `push`: what arrives is an archive that the real program takes, however many push at a time and
//! whatever interrupts them.

#[cfg(feature = "s3")]
mod ceph;
#[cfg(feature = "s3")]
mod proxy;
mod races;
mod real_ssh;
#[cfg(feature = "s3")]
mod seaweed;
mod ssh;
#[cfg(feature = "s3")]
mod store;
#[cfg(feature = "s3")]
mod upkeep;
pub mod world;

use std::fs;

use serde_json::{Value, json};

use super::json::shapes::{misfit, schemas};
use super::support::{needs_user_xattrs, ostree};
use world::World;

#[test]
fn a_repository_of_any_mode_arrives_as_an_archive() {
    for mode in ["archive", "bare-user-only", "bare-user"] {
        if mode == "bare-user" && !needs_user_xattrs() {
            continue;
        }
        let world = World::new(mode);
        let commit = world.commit("src", "main", "tree");
        let said = world.push("src", &[]).success();
        assert!(said.starts_with(&format!("main: {commit}\n")), "{mode}: {said}");
        world.check(&[("main", &commit)]);
        let Some(ostree) = ostree() else { continue };
        let ostree = ostree.in_directory(world.path());
        for call in [
            "init --repo=client --mode=bare-user-only",
            "remote add --repo=client --no-gpg-verify origin URL",
            "pull --repo=client origin main",
            "fsck --repo=client",
            "checkout --repo=client -U origin:main out",
        ] {
            ostree.run(call.replace("URL", &world.public()).split(' ')).success();
        }
        assert_eq!(fs::read(world.path().join("out/dir/text")).unwrap(), b"text\n");
        assert_eq!(fs::read(world.path().join("out/large")).unwrap(), world::large());
        let target = fs::read_link(world.path().join("out/dir/link")).unwrap();
        assert_eq!(target.to_str(), Some("text"));
    }
}

#[test]
fn only_what_is_new_is_sent() {
    for world in World::each("bare-user-only") {
        world.commit("src", "main", "tree");
        world.push("src", &[]).success();
        fs::write(world.path().join("tree/dir/new"), "new\n").unwrap();
        let commit = world.commit("src", "main", "tree");
        let expected = |written: bool| {
            let document = world.document("src", &[if written { "--json" } else { "--dry-run" }]);
            let counts = ["metadata_objects_sent", "content_objects_sent", "objects_present"];
            (counts.map(|name| document[name].as_u64().unwrap()), document["refs"].clone())
        };
        // The file; its directory, the root and the commit.
        let (dry, refs) = expected(false);
        assert_eq!(dry, [3, 1, 5]);
        assert_eq!(refs[0]["commit"], json!(commit));
        assert_eq!(expected(true), (dry, refs));
        assert_eq!(expected(true).0, [0, 0, 9]);
        world.check(&[("main", &commit)]);
    }
}

#[test]
fn a_dry_run_makes_nothing() {
    let world = World::new("archive");
    world.commit("src", "main", "tree");
    let document = world.document("src", &["--dry-run"]);
    assert_eq!(document["content_objects_sent"], 4);
    assert!(!world.path().join("dst").exists());
    let sizes = world.sizes("src");
    assert_eq!(document["bytes_sent"], sizes);
}

#[test]
fn what_a_listing_misses_is_sent_again() {
    for world in World::each("archive") {
        world.commit("src", "main", "tree");
        world.push("src", &[]).success();
        let filez = world.objects("dst").into_iter().find(|name| name.ends_with(".filez")).unwrap();
        fs::remove_file(world.path().join("dst/objects").join(filez)).unwrap();
        assert_eq!(world.document("src", &["--json"])["content_objects_sent"], 0);
        assert_eq!(world.document("src", &["--list"])["content_objects_sent"], 1);
        world.check(&[]);
    }
}

#[test]
fn a_ref_moves_forward_only() {
    for world in World::each("archive") {
        let first = world.commit("src", "main", "tree");
        world.push("src", &[]).success();
        fs::write(world.path().join("tree/dir/new"), "new\n").unwrap();
        let other = world.commit("other", "main", "tree");
        assert_eq!(
            world.push("other", &["main"]).failure(),
            format!(
                "the ref main is at {first} in {}, which is not an ancestor of {other}; --force moves it all the same",
                world.place()
            )
        );
        world.check(&[("main", &first)]);
        world.push("other", &["--force", "main"]).success();
        world.check(&[("main", &other)]);
        // Behind what is there.
        let next = world.commit("other", "main", "tree");
        world.push("other", &[]).success();
        world.run("other", &["reset", "main", &other]).success();
        assert!(
            world.push("other", &[]).failure().starts_with(&format!("the ref main is at {next}"))
        );
        world.check(&[("main", &next)]);
    }
}

#[test]
fn parents_are_pushed_as_deep_as_is_wanted() {
    for world in World::each("archive") {
        let commits: Vec<String> = (0..4).map(|_| world.commit("src", "main", "tree")).collect();
        let there = || {
            let is_there = |commit: &&String| {
                let path = format!("dst/objects/{}/{}.commit", &commit[..2], &commit[2..]);
                world.path().join(path).exists()
            };
            commits.iter().filter(is_there).count()
        };
        world.push("src", &[]).success();
        assert_eq!(there(), 1);
        world.push("src", &["--depth=1"]).success();
        assert_eq!(there(), 2);
        world.push("src", &["--depth=-1"]).success();
        assert_eq!(there(), 4);
        world.check(&[("main", &commits[3])]);
    }
}

#[test]
fn deltas_arrive_with_their_index_and_in_the_summary() {
    for world in World::each("archive") {
        let old = world.commit("src", "main", "tree");
        world.push("src", &[]).success();
        fs::write(world.path().join("tree/dir/new"), "new\n").unwrap();
        let new = world.commit("src", "main", "tree");
        world.run("src", &["static-delta", "generate", "main"]).success();
        world.push("src", &[]).success();
        let name = format!("{old}-{new}");
        assert_eq!(world.run("dst", &["static-delta", "list"]).line(), name);
        assert!(world.run("dst", &["static-delta", "indexes"]).line().contains(&new));
        world.run("dst", &["static-delta", "verify", &name]).assert_no_panic();
        assert!(world.run("dst", &["summary", "--view"]).success().contains(&name));
        let Some(ostree) = ostree() else { continue };
        let ostree = ostree.in_directory(world.path());
        for call in [
            "init --repo=client --mode=bare-user-only",
            "remote add --repo=client --no-gpg-verify origin URL",
            "pull --repo=client origin main@OLD",
            "pull --repo=client --require-static-deltas origin main",
            "fsck --repo=client",
        ] {
            let call = call.replace("URL", &world.public()).replace("OLD", &old);
            ostree.run(call.split(' ')).success();
        }
    }
}

#[test]
fn a_signed_summary_stays_signed() {
    for world in World::each("archive") {
        world.commit("src", "main", "tree");
        let [public, secret] = world.keys();
        let from_file = format!("--sign-from-file={}", secret.display());
        world.push("src", &[&from_file]).success();
        world.run("client", &["init", "--mode=archive"]).success();
        let key = format!("--set=verification-ed25519-file={}", public.display());
        let url = world.public();
        let add = ["remote", "add", "--no-gpg-verify", "--set=sign-verify-summary=ed25519", &key];
        world.run("client", &[&add[..], &["origin", &url]].concat()).success();
        let listed = || world.run("client", &["remote", "refs", "origin"]).success();
        assert_eq!(listed(), "origin:main\n");
        world.commit("src", "main", "tree");
        let expected = format!(
            "the summary of {} is signed: a new one needs --sign or --gpg-sign",
            world.place()
        );
        assert_eq!(world.push("src", &[]).failure(), expected);
        world.push("src", &[&from_file]).success();
        assert_eq!(listed(), "origin:main\n");
    }
}

#[test]
fn signatures_that_were_added_later_follow() {
    for world in World::each("archive") {
        let commit = world.commit("src", "main", "tree");
        world.push("src", &[]).success();
        let [public, secret] = world.keys();
        let keys = format!("--keys-file={}", secret.display());
        world.run("src", &["sign", "-s", "ed25519", &keys, "main"]).success();
        assert_eq!(world.document("src", &["--json"])["metadata_objects_sent"], 1);
        assert_eq!(world.document("src", &["--json"])["metadata_objects_sent"], 0);
        let keys = format!("--keys-file={}", public.display());
        world.run("dst", &["sign", "--verify", "-s", "ed25519", &keys, &commit]).success();
    }
}

#[test]
fn a_damaged_object_is_not_sent() {
    for (mode, extension) in [("archive", "filez"), ("bare-user-only", "file")] {
        let world = World::new(mode);
        world.commit("src", "main", "tree");
        for ending in [extension, "dirtree", "dirmeta"] {
            let whole = world.objects("src");
            let name = whole.iter().find(|name| name.ends_with(ending)).unwrap();
            let path = world.path().join("src/objects").join(name);
            let bytes = fs::read(&path).unwrap();
            let mut damaged = bytes.clone();
            *damaged.last_mut().unwrap() ^= 1;
            fs::write(&path, damaged).unwrap();
            let hex = name.replace('/', "");
            let hex = hex.split('.').next().unwrap();
            let error = world.push("src", &[]).failure();
            assert!(error.contains(hex), "{mode} {ending}: {error}");
            assert!(!world.path().join("dst/refs/heads/main").exists());
            fs::write(&path, bytes).unwrap();
        }
        let commit = world.run("src", &["rev-parse", "main"]).line();
        world.push("src", &[]).success();
        world.check(&[("main", &commit)]);
    }
}

#[test]
fn what_cannot_be_pushed_to_is_refused() {
    let world = World::new("archive");
    world.commit("src", "main", "tree");
    world.run("bare", &["init", "--mode=bare-user-only"]).success();
    fs::create_dir(world.path().join("full")).unwrap();
    fs::write(world.path().join("full/file"), "").unwrap();
    let place = world.path().display();
    for (name, expected) in [
        (
            "bare",
            format!(
                "{place}/bare is a repository of mode bare-user-only; only an archive can be pushed to"
            ),
        ),
        ("full", format!("{place}/full is not empty and no repository")),
        (
            "none/deep",
            "Creating repo: mkdirat(PLACE/none/deep): No such file or directory"
                .replace("PLACE", &place.to_string()),
        ),
    ] {
        assert_eq!(world.push_to("src", &world.url_of(name), &[]).failure(), expected);
    }
    for (arguments, expected) in [
        (&["none"][..], "Refspec 'none' not found"),
        (&["origin:main"], "Invalid ref name origin:main"),
        (&["--depth=-2"], "Depth must be at least -1"),
    ] {
        assert_eq!(world.push("src", arguments).failure(), expected);
    }
    world.push("src", &[]).success();
    world.run("src", &["refs", "--delete", "main"]).success();
    assert_eq!(
        world.push("src", &[]).failure(),
        format!("{place}/src has no refs of its own to push")
    );
    world.commit("src", "main/below", "tree");
    assert_eq!(
        world.push("src", &[]).failure(),
        format!("{place}/dst has the ref main, so there cannot be main/below")
    );
}

#[test]
fn the_document_has_the_shape_that_the_documentation_gives() {
    let world = World::new("archive");
    world.commit("src", "main", "tree");
    let schemas = schemas();
    for option in ["--dry-run", "--json", "--json"] {
        let document: Value = world.document("src", &[option]);
        assert_eq!(misfit(&schemas, &schemas["push"], &document), None);
    }
}
