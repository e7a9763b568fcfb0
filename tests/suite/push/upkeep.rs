//! What was pushed into a bucket is pruned, checked and compared there.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::store::Shop;
use crate::json::shapes::{misfit, schemas};
use crate::support::Output;

impl Shop {
    /// A command on what is in the bucket.
    fn upkeep(&self, call: &[&str]) -> Output {
        let (url, endpoint) = (self.url(), self.endpoint(0));
        self.program().run(call.iter().chain(&[&url[..], &endpoint]).copied())
    }

    #[track_caller]
    fn upkeep_json(&self, call: &[&str]) -> (Value, i32) {
        let output = self.upkeep(&[call, &["--json"]].concat());
        output.assert_no_panic();
        let document: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let schemas = schemas();
        assert_eq!(misfit(&schemas, &schemas[call[0]], &document), None, "{document}");
        (document, output.status)
    }
}

#[test]
fn a_prune_removes_what_no_ref_reaches_and_nothing_young() {
    let Some(shop) = Shop::open("pruned", "archive") else { return };
    let tree = shop.world.path().join("tree");
    fs::write(tree.join("dir/old"), "old\n").unwrap();
    shop.world.commit("src", "main", "tree");
    fs::remove_file(tree.join("dir/old")).unwrap();
    let middle = shop.world.commit("src", "main", "tree");
    shop.world.run("src", &["static-delta", "generate", "main"]).success();
    shop.push("src", &["--depth=-1"]).success();
    fs::write(tree.join("dir/new"), "new\n").unwrap();
    let last = shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();

    let prune = |options: &[&str]| {
        let (document, status) = shop.upkeep_json(&[&["prune"], options].concat());
        assert_eq!(status, 0);
        let fields = ["objects_total", "objects_deleted", "objects_young", "delta_files_deleted"];
        fields.map(|field| document[field].as_u64().unwrap())
    };
    // Three commits with their dirtrees, three files of them all, two of one each, a dirmeta.
    let total = 3 + 6 + 4 + 2 + 1;
    assert_eq!(prune(&["--guard=0"]), [total, 0, 0, 0]);
    // The first two are younger than the guard, and keep what they reach.
    assert_eq!(prune(&["--depth=0"]), [total, 0, 0, 0]);
    let stray = format!("/pruned/os/objects/00/{:062}.filez", 0);
    shop.store.put(&stray, b"stray");
    assert_eq!(prune(&["--depth=0"]), [total + 1, 0, 1, 0]);
    shop.store.delete(&stray);
    // Of the first two: commits, dirtrees, one file. Of the delta: its superblock, part and index.
    assert_eq!(prune(&["--depth=0", "--guard=0", "--dry-run"]), [total, 7, 0, 3]);
    assert_eq!(prune(&["--depth=0", "--guard=0"]), [total, 7, 0, 3]);
    assert_eq!(prune(&["--depth=0", "--guard=0"]), [total - 7, 0, 0, 0]);
    let there = |commit: &str| {
        let path = format!("/pruned/os/objects/{}/{}.commit", &commit[..2], &commit[2..]);
        shop.store.get(&path).head.contains(" 200 ")
    };
    assert_eq!([&middle, &last].map(|commit| there(commit)), [false, true]);
    shop.check(&[("main", &last)]);
    let said = shop.upkeep(&["prune", "--depth=0", "--guard=0"]).success();
    assert_eq!(said, format!("Total objects: {}\nNo unreachable objects\n", total - 7));
}

#[test]
fn a_prune_of_what_is_not_whole_removes_nothing() {
    let Some(shop) = Shop::open("not-whole", "archive") else { return };
    shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();
    let commit = shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();
    let objects = shop.world.objects("src");
    let dirtree = objects.iter().find(|name| name.ends_with(".dirtree")).unwrap();
    shop.store.delete(&format!("/not-whole/os/objects/{dirtree}"));
    let prune = ["prune", "--depth=0", "--guard=0"];
    let error = shop.upkeep(&prune).failure();
    let name = dirtree.replace('/', "");
    assert_eq!(error, format!("s3://not-whole/os: No such metadata object {name}"));
    shop.push("src", &["--list"]).success();
    assert!(shop.upkeep(&prune).success().contains("Deleted 1 objects"));
    shop.check(&[("main", &commit)]);
    let error = shop.upkeep(&["prune", "--only-branch=main"]).failure();
    assert!(error.ends_with("of a bucket only --depth and --guard decide what is kept"), "{error}");
}

#[test]
fn a_check_names_what_is_missing_and_what_is_damaged() {
    let Some(shop) = Shop::open("checked", "archive") else { return };
    let commit = shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();
    let clean = "object fsck of 1 commits completed successfully - no errors found.\n";
    assert!(shop.upkeep(&["fsck"]).success().ends_with(clean));
    assert!(shop.upkeep(&["fsck", "-q"]).success().ends_with(clean));

    let objects = shop.world.objects("src");
    let files: Vec<&String> = objects.iter().filter(|name| name.ends_with(".filez")).collect();
    let large = files
        .iter()
        .max_by_key(|name| {
            fs::metadata(shop.world.path().join("src/objects").join(name)).unwrap().len()
        })
        .unwrap();
    let small = files.iter().find(|name| name != &large).unwrap();
    shop.store.delete(&format!("/checked/os/objects/{small}"));
    let mut bytes = fs::read(shop.world.path().join("src/objects").join(large)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    shop.store.put(&format!("/checked/os/objects/{large}"), &bytes);
    let (document, status) = shop.upkeep_json(&["fsck"]);
    assert_eq!(status, 1);
    assert_eq!((&document["ok"], &document["corrupted"]), (&json!(false), &json!(true)));
    let findings: Vec<_> = document["findings"].as_array().unwrap().iter().collect();
    let hex = |name: &str| name.replace('/', "").split('.').next().unwrap().to_owned();
    let mut expected = [(hex(small), "missing"), (hex(large), "corrupted")];
    expected.sort();
    assert_eq!(findings.len(), 2);
    for (finding, (object, fault)) in findings.iter().zip(&expected) {
        assert_eq!((&finding["object"], &finding["fault"]), (&json!(object), &json!(fault)));
        assert_eq!(finding["commits"], json!([commit]));
        assert_eq!(finding["refs"], json!(["main"]));
    }
    let error = shop.upkeep(&["fsck"]).failure();
    assert!(error.ends_with("Repository corruption encountered"), "{error}");
    shop.store.delete(&format!("/checked/os/objects/{large}"));
    shop.push("src", &["--list"]).success();
    assert!(shop.upkeep(&["fsck", "-q"]).success().ends_with(clean));
}

#[test]
fn a_comparison_names_what_differs() {
    let Some(shop) = Shop::open("compared", "bare-user-only") else { return };
    let first = shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();
    let compare = || {
        let (url, endpoint) = (shop.url(), shop.endpoint(0));
        shop.program().run(["compare", "src", &url, &endpoint])
    };
    let equal = compare();
    assert_eq!((equal.status, equal.success().as_str()), (0, "equal: 8 objects, 1 refs\n"));
    let second = shop.world.commit("src", "main", "tree");
    let different = compare();
    assert_eq!(different.status, 1);
    let expected = format!(
        "refs/heads/main: commit: {second} in the first, {first} in the second\n\
         {second}.commit: only in the first\n\
         different: 9 objects, 1 refs, 2 differences\n"
    );
    assert_eq!(String::from_utf8(different.stdout).unwrap(), expected);
}

#[test]
fn directories_and_names_of_destinations_are_kept_up_too() {
    let world = super::world::World::new("archive");
    world.commit("src", "main", "tree");
    world.push("src", &[]).success();
    let url = world.url();
    let program = world.program();
    assert_eq!(
        program.run(["prune", "--dry-run", &url]).success(),
        "Total objects: 8\nNo unreachable objects\n"
    );
    program.run(["fsck", "-q", &url]).success();
    program.run(["compare", "--summary", "src", &url]).assert_no_panic();
    for (call, expected) in [
        (&["prune", "--guard=1", &url][..], "--guard is for buckets only"),
        (&["fsck", "gs://x/y"], "'gs://x/y': only stores that speak S3 are supported yet"),
        (
            &["prune", "--repo=src", "store"],
            "'store' is neither a URL, such as file:///PATH, nor has the config a group [push \"store\"]",
        ),
        (&["fsck", "--profile=ci", "--repo=src"], "DEST must be specified"),
    ] {
        let error = program.run(call).failure();
        assert!(error.contains(expected), "{error}");
    }
    let config = world.path().join("src/config");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("{text}\n[push \"store\"]\nurl={url}\n")).unwrap();
    let said = world.run("src", &["prune", "store"]).success();
    assert_eq!(said, "Total objects: 8\nNo unreachable objects\n");
    assert!(Path::new(&world.path().join("dst/objects")).is_dir());
}

#[test]
fn a_pull_reads_a_bucket_with_signed_requests() {
    let Some(shop) = Shop::open("private", "bare-user-only") else { return };
    let first = shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();
    fs::write(shop.world.path().join("tree/dir/new"), "new\n").unwrap();
    let second = shop.world.commit("src", "main", "tree");
    shop.world.run("src", &["static-delta", "generate", "main"]).success();
    shop.push("src", &[]).success();

    let endpoint = shop.endpoint(0).replace("--", "--set=");
    let call = ["remote", "add", "--no-gpg-verify", &endpoint, "origin", "s3://private/os"];
    shop.world.run("client", &["init", "--mode=bare-user-only"]).success();
    shop.world.run("client", &call).success();
    let client = Path::new("client");
    let latest = ["pull", "origin", "main"];
    let nobody = shop.world.program().repo(client, latest).failure();
    assert!(nobody.starts_with("s3://private/os: there are no credentials"), "{nobody}");
    // The store lets in whoever does not sign at all, but not with a wrong signature.
    let wrong = shop.program().with("AWS_SECRET_ACCESS_KEY", "wrongsecret");
    let error = wrong.repo(client, latest).failure();
    assert!(error.starts_with("s3://private/os: SignatureDoesNotMatch: "), "{error}");
    assert!(!error.contains("wrongsecret"), "{error}");

    shop.program().repo(client, ["pull", "origin", &format!("main@{first}")]).success();
    shop.program().repo(client, ["pull", "--require-static-deltas", "origin", "main"]).success();
    shop.world.run("client", &["fsck"]).success();
    assert_eq!(shop.world.run("client", &["rev-parse", "origin:main"]).line(), second);
    let listed = shop.program().repo(client, ["remote", "refs", "origin"]).success();
    assert_eq!(listed, "origin:main\n");
}
