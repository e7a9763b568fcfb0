//! `--json`: what docs/json.md promises, on the golden repositories.

pub mod shapes;

use std::path::Path;

use serde_json::{Value, json};

use shapes::{misfit, schemas};

use crate::support::{Program, extract_repo, golden_commit, osier, osier_path, scratch};

#[track_caller]
fn read(repo: &Path, arguments: &[&str]) -> Value {
    let text = osier().repo(repo, arguments.iter().chain(&["--json"])).success();
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Calls `check` with an unpacked golden repository.
#[track_caller]
fn with(name: &str, check: impl FnOnce(&Path)) {
    let directory = scratch();
    if let Some(repo) = extract_repo(name, directory.path()) {
        check(&repo);
    }
}

#[test]
fn refs_have_commits_and_collections() {
    with("archive", |repo| {
        let document = read(repo, &["refs", "golden"]);
        let [c1, c3] = ["c1", "c3"].map(golden_commit);
        assert_eq!(document["refs"][0], json!({ "ref": "alias", "commit": c3 }));
        assert_eq!(document["refs"][2], json!({ "ref": "tag", "commit": c1 }));
        assert_eq!(document["refs"].as_array().unwrap().len(), 5);
        assert_eq!(read(repo, &["refs", "--list", "golden/tag"])["refs"][0]["ref"], "golden/tag");
        let third = json!({ "refs": [{ "collection_id": "org.example.Third", "ref": "third/ref", "commit": c1 }] });
        assert_eq!(read(repo, &["refs", "-c", "org.example.Third"]), third);
        let aliases =
            json!({ "aliases": [{ "ref": "golden/alias", "target": "golden/x86_64/main" }] });
        assert_eq!(read(repo, &["refs", "--alias"]), aliases);
        assert_eq!(read(repo, &["refs", "none"]), json!({ "refs": [] }));
    });
}

#[test]
fn what_changes_refs_or_the_summary_prints_no_json() {
    with("archive", |repo| {
        for (arguments, expected) in [
            (&["refs", "--create=new", "golden/two", "--json"][..], "--json is for listing refs"),
            (&["refs", "--delete", "golden/two", "--json"], "--json is for listing refs"),
            (&["summary", "-u", "--json"], "--json is for reading the summary"),
        ] {
            assert_eq!(osier().repo(repo, arguments).failure(), expected);
        }
        assert_eq!(osier().repo(repo, ["rev-parse", "golden/two"]).line(), golden_commit("two"));
    });
}

#[test]
fn revs_are_resolved_all_or_none() {
    with("archive", |repo| {
        let [c2, c3] = ["c2", "c3"].map(golden_commit);
        let expected = json!({ "revs": [{ "rev": "golden/alias", "commit": c3 }, { "rev": &c3[..7], "commit": c3 }] });
        assert_eq!(read(repo, &["rev-parse", "golden/alias", &c3[..7]]), expected);
        assert_eq!(read(repo, &["rev-parse", "golden/alias^"])["revs"][0]["commit"], c2);
        let output = osier().repo(repo, ["rev-parse", "golden/alias", "none", "--json"]);
        assert_eq!(output.stdout, b"");
        assert_eq!(output.failure(), "Refspec 'none' not found");
    });
}

#[test]
fn a_commit_is_shown_with_its_metadata() {
    with("archive", |repo| {
        let [c2, c3] = ["c2", "c3"].map(golden_commit);
        let commit = read(repo, &["show", "golden/x86_64/main"]);
        let expected = json!({
            "type": "commit",
            "checksum": c3,
            "parent": c2,
            "content_checksum": "c31d3c47cc2baaff4a16f1485549bac61446e3dda323abc88d94120a32114b0c",
            "root_dirtree": "69bc5e5d2f773414c70a9a684e19a15b2844bcb521cb182641f1e4f141fa7e3d",
            "root_dirmeta": "446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488",
            "timestamp": { "seconds": 1_700_172_800, "iso": "2023-11-16T22:13:20Z" },
            "version": "3.0",
            "subject": "",
            "body": "",
            "related": [],
            "metadata": {
                "version": { "type": "s", "value": "3.0" },
                "ostree.ref-binding": { "type": "as", "value": ["golden/also", "golden/x86_64/main"] },
                "ostree.collection-binding": { "type": "s", "value": "org.example.Golden" },
            },
            "detached_metadata": { "ostree.sign.ed25519": { "type": "aay", "value": [concat!(
                "7282c30bccfd4402259d04ba1f1a5f4794df1921f26352564e3a444055bbdce6",
                "f52f63f5a5e8936398cc6e21d905e8f366f706b88f9676b7727159b0466fa607",
            )] } },
            "state": "complete",
        });
        assert_eq!(commit, expected);
        assert_eq!(read(repo, &["show", &c3, "--raw"]), expected);
    });
}

#[test]
fn parts_of_a_commit_are_documents_of_their_own() {
    with("archive", |repo| {
        let c3 = golden_commit("c3");
        let version = json!({ "key": "version", "type": "s", "value": "3.0" });
        assert_eq!(read(repo, &["show", &c3, "--print-metadata-key=version"]), version);
        let keys = json!({ "keys": ["ostree.collection-binding", "ostree.ref-binding", "ostree.sizes", "version"] });
        assert_eq!(read(repo, &["show", &c3, "--list-metadata-keys"]), keys);
        assert_eq!(
            read(repo, &["show", &c3, "--list-detached-metadata-keys"]),
            json!({ "keys": ["ostree.sign.ed25519"] })
        );
        assert_eq!(read(repo, &["show", &c3, "--print-related"]), json!({ "related": [] }));
        let sizes = read(repo, &["show", &c3, "--print-metadata-key=ostree.sizes"]);
        assert_eq!(sizes["type"], "aay");
        let listed = sizes["value"].as_array().unwrap().len();
        let sizes = read(repo, &["show", &c3, "--print-sizes"]);
        assert_eq!(
            sizes["needed"],
            json!({ "compressed_bytes": 0, "unpacked_bytes": 0, "objects": 0 })
        );
        assert_eq!(sizes["total"]["objects"], listed);
    });
}

#[test]
fn numbers_in_metadata_are_turned_around_unless_they_are_wanted_as_stored() {
    with("archive", |repo| {
        let tree = repo.parent().unwrap().join("tree");
        std::fs::create_dir(&tree).unwrap();
        let arguments =
            ["commit", "-b", "numbers", "--add-metadata=n=<uint32 1>", tree.to_str().unwrap()];
        osier().repo(repo, arguments).success();
        let n = |arguments: &[&str]| read(repo, arguments)["metadata"]["n"].clone();
        let inner = |value: u32| json!({ "type": "v", "value": { "type": "u", "value": value } });
        assert_eq!(n(&["show", "numbers"]), inner(0x0100_0000));
        assert_eq!(n(&["show", "-B", "numbers"]), inner(1));
    });
}

#[test]
fn every_kind_of_object_is_shown() {
    with("archive", |repo| {
        let commit = read(repo, &["show", "golden/x86_64/main"]);
        let root = commit["root_dirtree"].as_str().unwrap();
        let dirtree = read(repo, &["show", root]);
        assert_eq!((&dirtree["type"], &dirtree["checksum"]), (&json!("dirtree"), &json!(root)));
        let empty = dirtree["dirs"]
            .as_array()
            .unwrap()
            .iter()
            .find(|dir| dir["name"] == "empty-dir")
            .unwrap();
        assert_eq!(
            empty["dirtree"],
            "f7f96a31c120c09501912da6f8e00941920c222aa8f192a18a9bc37bd4fcc125"
        );
        assert_eq!(empty["dirmeta"], commit["root_dirmeta"]);
        let dirmeta = read(repo, &["show", commit["root_dirmeta"].as_str().unwrap()]);
        let expected = json!({ "type": "dirmeta", "checksum": commit["root_dirmeta"], "mode": "0755", "uid": 0, "gid": 0,
            "xattrs": [] });
        assert_eq!(dirmeta, expected);
        for entry in read(repo, &["ls", "-R", "golden/x86_64/main"])["entries"].as_array().unwrap()
        {
            let Some(checksum) = entry["checksum"].as_str() else { continue };
            let file = read(repo, &["show", checksum]);
            assert_eq!(file["type"], "file");
            assert_eq!(file["file_type"], entry["type"]);
            for field in ["mode", "uid", "gid", "size", "target", "xattrs"] {
                assert_eq!(file[field], entry[field], "{checksum}: {field}");
            }
        }
    });
}

/// The listing of a golden commit, as text made from its JSON.
#[track_caller]
fn listing_as_text(entries: &Value) -> String {
    let mut text = String::new();
    for entry in entries.as_array().unwrap() {
        let field = |name: &str| entry[name].as_str().unwrap().to_owned();
        let (letter, checksums, end) = match entry["type"].as_str().unwrap() {
            "directory" => {
                ('d', format!("{} {}", field("dirtree"), field("dirmeta")), String::new())
            }
            "regular" => ('-', field("checksum"), String::new()),
            "symlink" => ('l', field("checksum"), format!(" -> {}", field("target"))),
            other => panic!("{other}"),
        };
        let (mode, path) = (field("mode"), field("path"));
        let size = entry["size"].as_u64().unwrap_or_default();
        text.push_str(&format!(
            "{letter}0{mode} {} {} {size:>6} {checksums} ",
            entry["uid"], entry["gid"]
        ));
        text.push_str(&format!("{path}{end}\n"));
    }
    text
}

#[test]
fn a_listing_has_all_that_its_text_has() {
    with("archive", |repo| {
        for commit in ["c1", "c2", "c3"].map(golden_commit) {
            let document = read(repo, &["ls", "-R", &commit]);
            assert_eq!(document["commit"], commit);
            let text = osier().repo(repo, ["ls", "-RC", &commit]).success();
            assert_eq!(listing_as_text(&document["entries"]), text);
        }
        let c1 = golden_commit("c1");
        let entries = read(repo, &["ls", "-R", &c1])["entries"].take();
        let mut with_xattrs =
            entries.as_array().unwrap().iter().filter(|entry| entry["xattrs"] != json!([]));
        let directory = with_xattrs.next().unwrap();
        assert_eq!(directory["path"], "/srv/labelled");
        assert_eq!(
            directory["xattrs"],
            json!([{ "name": "user.dir", "value": "6469726563746f7279207861747472" }])
        );
        let file = with_xattrs.next().unwrap();
        assert_eq!(file["path"], "/usr/share/xattrs");
        assert_eq!(file["xattrs"][2], json!({ "name": "user.bin", "value": "0001feff" }));
        assert_eq!(with_xattrs.next(), None);
        assert_eq!(read(repo, &["ls", "-d", &c1, "/a"])["entries"].as_array().unwrap().len(), 1);
    });
}

#[test]
fn a_log_tells_where_the_history_breaks_off() {
    with("archive", |repo| {
        let commits = ["c3", "c2", "c1"].map(golden_commit);
        let document = read(repo, &["log", "golden/x86_64/main"]);
        let listed: Vec<_> = document["commits"]
            .as_array()
            .unwrap()
            .iter()
            .map(|commit| &commit["checksum"])
            .collect();
        assert_eq!(listed, commits.each_ref());
        assert_eq!(document["missing_parent"], Value::Null);
        assert_eq!(document["commits"][0], read(repo, &["show", &commits[0]]));
        let object = repo.join(format!("objects/{}/{}.commit", &commits[2][..2], &commits[2][2..]));
        std::fs::remove_file(object).unwrap();
        let document = read(repo, &["log", "golden/x86_64/main"]);
        assert_eq!(document["commits"].as_array().unwrap().len(), 2);
        assert_eq!(document["missing_parent"], commits[2]);
        let output = osier().repo(repo, ["log", "--json", &commits[2]]);
        assert_eq!(output.stdout, b"");
        assert_eq!(output.failure(), format!("No such metadata object {}.commit", commits[2]));
    });
}

#[test]
fn a_summary_has_the_refs_of_all_collections_and_its_metadata() {
    with("archive", |repo| {
        let document = read(repo, &["summary", "--view"]);
        assert_eq!(document["collection_id"], "org.example.Golden");
        assert_eq!(
            document["last_modified"],
            json!({ "seconds": 1_704_164_645, "iso": "2024-01-02T03:04:05Z" })
        );
        let refs = document["refs"].as_array().unwrap();
        assert_eq!(refs.len(), 8);
        let expected = json!({
            "collection_id": "org.example.Third",
            "ref": "third/ref",
            "commit": golden_commit("c1"),
            "commit_bytes": 684,
            "version": "1.0",
            "timestamp": { "seconds": 1_700_000_000, "iso": "2023-11-14T22:13:20Z" },
            "metadata": {
                "ostree.commit.version": { "type": "s", "value": "1.0" },
                "ostree.commit.timestamp": { "type": "t", "value": 1_700_000_000 },
            },
        });
        assert_eq!(refs[7], expected);
        assert_eq!(
            document["metadata"]["ostree.summary.mode"],
            json!({ "type": "s", "value": "archive-z2" })
        );
        assert_eq!(document["metadata"].get("ostree.summary.collection-map"), None);
        let map = read(repo, &["summary", "--print-metadata-key=ostree.summary.collection-map"]);
        assert_eq!(map["type"], "a{sa(s(taya{sv}))}");
        assert_eq!(map["value"]["org.example.Third"][0][0], "third/ref");
        let keys = read(repo, &["summary", "--list-metadata-keys"]);
        assert_eq!(keys["keys"][0], "org.example.extra");
        let raw = read(repo, &["summary", "--raw"]);
        assert_eq!(raw["type"], "(a(s(taya{sv}))a{sv})");
        assert_eq!(raw["value"][0][0][0], "golden/alias");
        assert_eq!(raw["value"][0][0][1][1], golden_commit("c3"));
    });
}

#[test]
fn a_check_prints_a_document_whatever_it_finds() {
    with("archive", |repo| {
        let expected = json!({
            "ok": true,
            "findings": [],
            "error": null,
            "commits": 7,
            "partial_commits": 0,
            "partial": [],
            "damaged_commits": 0,
            "corrupted": false,
            "unreadable_objects": 0,
            "tombstones": [],
        });
        let found = read(repo, &["fsck"]);
        assert_eq!(found, expected);
        let c1 = golden_commit("c1");
        let entries = read(repo, &["ls", "-d", &c1, "/usr/share/xattrs"]);
        let checksum = entries["entries"][0]["checksum"].as_str().unwrap();
        std::fs::remove_file(repo.join(format!(
            "objects/{}/{}.filez",
            &checksum[..2],
            &checksum[2..]
        )))
        .unwrap();
        let output = osier().repo(repo, ["fsck", "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&found["ok"], &found["corrupted"]), (&json!(false), &json!(true)));
        let finding = &found["findings"][0];
        assert_eq!((&finding["object"], &finding["type"]), (&json!(checksum), &json!("file")));
        assert_eq!(finding["fault"], "missing");
        assert!(finding["commits"].as_array().unwrap().contains(&json!(c1)), "{finding}");
        let refs = finding["refs"].as_array().unwrap();
        for name in ["golden/tag", "(org.example.Third, third/ref)"] {
            assert!(refs.contains(&json!(name)), "{name}: {finding}");
        }
        // Refs of the repository's own collection are named once.
        assert!(!finding["refs"].to_string().contains("(org.example.Golden, "), "{finding}");
        assert_eq!(finding["message"], format!("Object missing: {checksum}.file"));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "error: Repository corruption encountered\n"
        );
        let schemas = schemas();
        assert_eq!(misfit(&schemas, &schemas["fsck"], &found), None, "{found}");
        assert_eq!(read(repo, &["show", &c1])["state"], "damaged");

        let meta = format!("objects/{}/{}.commit", &c1[..2], &c1[2..]);
        std::fs::write(repo.join(meta), "damaged").unwrap();
        let output = osier().repo(repo, ["fsck", "--json"]);
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let message = output.failure();
        assert!(message.contains("Corrupted commit object"), "{message}");
        let finding = json!({
            "object": c1,
            "type": "commit",
            "fault": "corrupted",
            "commits": [c1],
            "refs": found["findings"][0]["refs"],
            "message": message,
        });
        assert_eq!(found, json!({ "ok": false, "findings": [finding], "error": message }));
    });
}

#[test]
fn the_help_lists_the_option_under_the_programs_own_name_only() {
    let own = Program::other(osier_path(), "osier");
    for command in [
        "log",
        "show",
        "ls",
        "refs",
        "rev-parse",
        "summary",
        "fsck",
        "init",
        "config",
        "reset",
        "export",
        "pull-local",
    ] {
        let help = own.run([command, "--help"]).success();
        let (upstream, rest) =
            help.split_once("\nosier Options:\n").unwrap_or_else(|| panic!("{help}"));
        assert!(!upstream.contains("--json"), "{help}");
        let is_it =
            |line: &str| line.starts_with("  --json  ") && line.ends_with("Print a JSON document");
        assert!(rest.lines().any(is_it), "{help}");
        assert!(!osier().run([command, "--help"]).success().contains("json"), "{command}");
    }
}

#[test]
fn what_changes_a_repository_says_what_it_did() {
    let directory = scratch();
    let path = directory.path();
    std::fs::create_dir(path.join("tree")).unwrap();
    std::fs::write(path.join("tree/file"), "content").unwrap();
    let run = |call: &str| -> Value {
        let output = osier().in_directory(path).run(call.split(' ').chain(["--json"])).success();
        serde_json::from_str(&output).unwrap_or_else(|error| panic!("{call}: {error}: {output}"))
    };
    let place = path.join("r").to_str().unwrap().to_owned();
    let made =
        json!({ "repo": place, "mode": "archive-z2", "collection_id": null, "created": true });
    assert_eq!(run("init --repo=r --mode=archive"), made);
    assert_eq!(run("init --repo=r")["created"], false);
    assert_eq!(run("init --repo=r")["mode"], "archive-z2");
    let first = run("commit --repo=r -b main --no-xattrs tree");
    let commit = first["commit"].as_str().unwrap();
    assert_eq!(
        (&first["parent"], &first["ref"], &first["skipped"]),
        (&json!(null), &json!("main"), &json!(false))
    );
    let statistics = &first["statistics"];
    assert_eq!(
        (&statistics["content_objects_written"], &statistics["content_bytes_written"]),
        (&json!(1), &json!(7))
    );
    assert_eq!(statistics["metadata_objects_written"], 3);
    let again = json!({ "commit": commit, "parent": null, "ref": "main", "skipped": true, "statistics": null });
    assert_eq!(run("commit --repo=r -b main --no-xattrs --skip-if-unchanged tree"), again);
    let second = run("commit --repo=r -b main --no-xattrs --table-output -s second tree");
    assert_eq!(second["parent"], commit);
    let moved = json!({ "ref": "main", "commit": commit, "old_commit": second["commit"] });
    assert_eq!(run("reset --repo=r main main^"), moved);
    let orphan = run("commit --repo=r --orphan --no-xattrs tree");
    assert_eq!(orphan["ref"], Value::Null);
    run("init --repo=copy --mode=archive");
    let pulled = run("pull-local --repo=copy --remote=origin r main");
    assert_eq!(pulled["refs"], json!([{ "ref": "origin:main", "commit": commit }]));
    assert_eq!(
        (&pulled["metadata_objects_imported"], &pulled["content_objects_imported"]),
        (&json!(3), &json!(1))
    );
    let out = run("checkout -U --repo=r main out");
    assert_eq!((&out["type"], &out["destination"]), (&json!("directory"), &json!("out")));
    assert_eq!(out["trees"][0]["commit"], commit);
    let archive = run("export --repo=r -o a.tar main");
    assert_eq!(archive["archive_bytes"], std::fs::metadata(path.join("a.tar")).unwrap().len());
    let output = osier().in_directory(path).run(["export", "--repo=r", "main", "--json"]);
    assert_eq!((output.stdout.as_slice(), output.status), (&b""[..], 1));
    let set = |value: Value, old: Value| json!({ "group": "core", "key": "x", "value": value, "old_value": old });
    assert_eq!(run("config --repo=r set core.x 1"), set(json!("1"), json!(null)));
    assert_eq!(run("config --repo=r set core.x 2"), set(json!("2"), json!("1")));
    assert_eq!(
        run("config --repo=r get core.x"),
        json!({ "group": "core", "key": "x", "value": "2" })
    );
    assert_eq!(run("config --repo=r unset core.x"), set(json!(null), json!("2")));
}
