//! Blocks of docs/json.md that give the shape of documents, held against real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::{read, with};
use crate::compose_image::release::Release;
use crate::compose_tree::world::World;
use crate::support::{
    Program, golden, golden_commit, has_programs, osier, osier_path, program, scratch,
};

/// The documents of commands that `ostree` does not have.
const OF_OWN_COMMANDS: [&str; 44] = [
    "bench",
    "bench --deltas",
    "bench --remote",
    "bench delta",
    "bench delta side",
    "bench figures",
    "bench limit",
    "bench pull",
    "bench pull side",
    "bench step",
    "compare",
    "compare --with",
    "compare finding",
    "compare mode",
    "compare verdict",
    "compare side",
    "compose",
    "compose cache",
    "compose check",
    "compose command",
    "compose delta",
    "compose image",
    "compose push",
    "compose summary",
    "du",
    "du amount",
    "find-object",
    "metalink",
    "fsck --repair",
    "fsck lost",
    "fsck restored",
    "push",
    "serve",
    "serve commit",
    "serve commit brief",
    "serve diff",
    "serve directory",
    "serve entry",
    "serve error",
    "serve file",
    "serve objects",
    "serve pages",
    "serve refs",
    "serve search",
];

/// Blocks of docs/json.md that give the shape of a document, by their names.
pub fn schemas() -> BTreeMap<String, Value> {
    let text = include_str!("../../../docs/json.md");
    let blocks = text.split("```schema ").skip(1).map(|block| block.split_once("\n```").unwrap().0);
    let named = blocks.map(|block| block.split_once('\n').unwrap());
    named
        .map(|(name, schema)| {
            let schema =
                serde_json::from_str(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
            (name.to_owned(), schema)
        })
        .collect()
}

/// What does not fit, or nothing.
pub fn misfit(schemas: &BTreeMap<String, Value>, schema: &Value, value: &Value) -> Option<String> {
    match (schema, value) {
        (Value::String(types), _) => {
            let fits = types.split('|').any(|name| has_type(schemas, name, value));
            (!fits).then(|| format!("{value} is no {types}"))
        }
        (Value::Array(element), Value::Array(values)) => {
            values.iter().find_map(|value| misfit(schemas, &element[0], value))
        }
        (Value::Object(fields), Value::Object(values)) => {
            let names: Vec<&str> = fields.keys().map(|name| name.trim_end_matches('?')).collect();
            if let Some(unknown) = values.keys().find(|name| !names.contains(&name.as_str())) {
                return Some(format!("{unknown} is not documented"));
            }
            fields.iter().find_map(|(name, schema)| match values.get(name.trim_end_matches('?')) {
                Some(value) => {
                    misfit(schemas, schema, value).map(|misfit| format!("{name}: {misfit}"))
                }
                None if name.ends_with('?') => None,
                None => Some(format!("{name} is missing")),
            })
        }
        _ => Some(format!("{value} is no {schema}")),
    }
}

fn has_type(schemas: &BTreeMap<String, Value>, name: &str, value: &Value) -> bool {
    let has_fields = |fields: &[&str]| fields.iter().all(|field| value.get(field).is_some());
    let text = || value.as_str().unwrap_or_default();
    match name {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "variant" => true,
        "checksum" => text().len() == 64 && text().bytes().all(|byte| byte.is_ascii_hexdigit()),
        "mode" => text().len() == 4 && text().bytes().all(|byte| matches!(byte, b'0'..=b'7')),
        "time" => has_fields(&["seconds", "iso"]),
        "metadata" => value.as_object().is_some_and(|metadata| {
            metadata
                .values()
                .all(|value| value.get("type").is_some() && value.get("value").is_some())
        }),
        "xattrs" => value
            .as_array()
            .is_some_and(|xattrs| xattrs.iter().all(|xattr| xattr.get("value").is_some())),
        quoted if quoted.starts_with('\'') => value.as_str() == Some(quoted.trim_matches('\'')),
        other => {
            let schema =
                schemas.get(other).unwrap_or_else(|| panic!("no schema {other} in docs/json.md"));
            misfit(schemas, schema, value).is_none()
        }
    }
}

#[test]
fn documents_have_the_shape_that_the_documentation_gives() {
    with("archive", |repo| {
        let schemas = schemas();
        let place = repo.parent().unwrap();
        let tree = place.join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("file"), "content").unwrap();
        let path = |name: &str| place.join(name).to_str().unwrap().to_owned();
        let [tree, repo_path, archive, out, part, other] =
            ["tree", "archive", "a.tar", "out", "part", "other"].map(path);
        let repo_path = if Path::new(&repo_path).exists() {
            repo_path
        } else {
            repo.to_str().unwrap().to_owned()
        };
        let [c1, c3] = ["c1", "c3"].map(golden_commit);
        let fallback = golden("deltas/fallback/superblock").to_str().unwrap().to_owned();
        let delta = golden("deltas/scratch-inline").to_str().unwrap().to_owned();
        let commit = read(repo, &["show", &c3]);
        let [root, root_meta] = ["root_dirtree", "root_dirmeta"]
            .map(|field| commit[field].as_str().unwrap().to_owned());
        let files = read(repo, &["ls", "-R", &c3]);
        let file = files["entries"]
            .as_array()
            .unwrap()
            .iter()
            .find_map(|entry| entry["checksum"].as_str())
            .unwrap();
        let root_file = format!("{}/objects/{}/{}.dirtree", repo.display(), &root[..2], &root[2..]);
        let create = format!("--repo={other}");
        let mut tested = BTreeSet::new();
        for (schema, arguments) in [
            ("log", &["log", &c3][..]),
            ("show commit", &["show", &c3]),
            ("show dirtree", &["show", &root]),
            ("show dirmeta", &["show", &root_meta]),
            ("show file", &["show", file]),
            ("show --print-metadata-key", &["show", &c3, "--print-metadata-key=version"]),
            (
                "show --print-metadata-key",
                &["show", &c3, "--print-detached-metadata-key=ostree.sign.ed25519"],
            ),
            ("show --print-metadata-key", &["summary", "--print-metadata-key=ostree.summary.mode"]),
            ("show --list-metadata-keys", &["show", &c3, "--list-metadata-keys"]),
            ("show --list-metadata-keys", &["show", &c3, "--list-detached-metadata-keys"]),
            ("show --list-metadata-keys", &["summary", "--list-metadata-keys"]),
            ("show --print-related", &["show", &c3, "--print-related"]),
            ("show --print-sizes", &["show", &c3, "--print-sizes"]),
            (
                "show --print-variant-type",
                &["show", "--print-variant-type=(a(say)a(sayay))", &root_file],
            ),
            ("summary --raw", &["summary", "--raw"]),
            ("ls", &["ls", "-R", &c3]),
            ("refs", &["refs"]),
            ("refs", &["refs", "-c"]),
            ("refs --alias", &["refs", "--alias"]),
            ("rev-parse", &["rev-parse", "golden/two"]),
            ("summary --view", &["summary", "--view"]),
            ("fsck", &["fsck"]),
            ("diff", &["diff", &c3]),
            ("diff", &["diff", "--stats", &c3]),
            ("diff", &["diff", "--sizes", &c3]),
            ("diff", &["diff", "--sizes", "--fs-diff", "--stats", &c3]),
            ("prune", &["prune", "--no-prune"]),
            ("prune", &["prune", "--deltas-keep=9"]),
            (
                "prune",
                &["prune", "--dry-run", "--refs-only", "--keep-unreferenced-younger-than=1h"],
            ),
            ("remote list", &["remote", "list"]),
            ("static-delta show", &["static-delta", "show", &c1]),
            ("static-delta list", &["static-delta", "list"]),
            ("static-delta indexes", &["static-delta", "indexes"]),
            ("static-delta generate", &["static-delta", "generate", "-n", "--empty", &c3]),
            ("static-delta generate", &["static-delta", "generate", "-n", "--empty", &c3]),
            ("static-delta generate", &["static-delta", "generate", "--if-smaller=0", &c3]),
            ("static-delta apply-offline", &["static-delta", "apply-offline", &delta]),
            ("static-delta show", &["static-delta", "show", &fallback]),
            ("init", &["init", &create]),
            ("init", &["init", &create, "--collection-id=org.example.X"]),
            ("pull-local", &["pull-local", &create, &repo_path, "golden/two"]),
            ("pull-local", &["pull-local", &create, "--remote=r", &repo_path, "golden/two"]),
            ("pull-local", &["pull-local", &create, &repo_path, &c3]),
            ("commit", &["commit", "-b", "new", &tree]),
            ("commit", &["commit", "-b", "new", "--skip-if-unchanged", &tree]),
            ("commit", &["commit", "-b", "new", "--stat-cache", &tree]),
            ("commit", &["commit", "--orphan", &tree]),
            ("reset", &["reset", "new", "new^"]),
            ("checkout", &["checkout", "-U", "new", &out]),
            ("checkout", &["checkout", "-U", "--subpath=/none", "--allow-noent", "new", &part]),
            ("export", &["export", "-o", &archive, "new"]),
            ("config get", &["config", "get", "core.mode"]),
            ("config set", &["config", "set", "core.some-key", "x"]),
            ("config set", &["config", "unset", "core.some-key"]),
        ] {
            let document = if arguments.contains(&create.as_str()) {
                let output = osier().run(arguments.iter().chain(&["--json"])).success();
                serde_json::from_str(&output).unwrap()
            } else {
                read(repo, arguments)
            };
            assert_eq!(
                misfit(&schemas, &schemas[schema], &document),
                None,
                "{arguments:?}: {document}"
            );
            tested.insert(schema);
        }
        // Those that are parts of others are tested with them, and those of other tests here.
        let parts = [
            "commit-statistics",
            "checkout-statistics",
            "static-delta statistics",
            "static-delta kind",
            "diff stats",
            "diff sizes",
            "diff objects",
            "diff delta",
            "entry",
            "fsck finding",
            "summary ref",
            // These need a server.
            "pull",
            "pull --dry-run",
            "pull event error",
            "pull event finished",
            "pull event progress",
            "pull event resolved",
            "pull event retry",
            "pull event started",
            "pull event warning",
            "remote refs",
        ];
        let parts = parts.iter().chain(&OF_OWN_COMMANDS);
        for name in schemas.keys() {
            assert!(
                tested.contains(name.as_str()) || parts.clone().any(|part| part == name),
                "{name} is not tested"
            );
        }
    });
}

/// osier under its own name.
fn own(directory: &Path) -> Program {
    Program::other(osier_path(), "osier").in_directory(directory)
}

#[track_caller]
fn assert_shape(name: &str, text: &str) {
    let document: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}: {text}"));
    let schemas = schemas();
    assert_eq!(misfit(&schemas, &schemas[name], &document), None, "{name}: {document}");
}

#[test]
fn documents_of_comparisons_have_the_shape_that_the_documentation_gives() {
    let directory = scratch();
    let path = directory.path();
    std::fs::create_dir_all(path.join("tree/etc")).unwrap();
    std::fs::write(path.join("tree/etc/file"), "content").unwrap();
    let run = |call: &str| own(path).run(call.split(' '));
    run("init --repo=a --mode=archive").success();
    run("init --repo=b --mode=archive").success();
    run("commit --repo=a -b main --timestamp=@1 tree").success();
    run("commit --repo=a -b other --timestamp=@1 tree").success();
    run("summary --repo=a -u").success();
    std::fs::write(path.join("tree/etc/file"), "changed").unwrap();
    run("commit --repo=b -b main --timestamp=@1 tree").success();
    for (call, status) in [
        ("compare a a --json", 0),
        ("compare a b --json", 1),
        ("compare a b --json --limit=1", 1),
        ("compare a b --json --summary", 1),
    ] {
        let output = run(call);
        assert_eq!(output.status, status, "{output:?}");
        assert_shape("compare", &String::from_utf8_lossy(&output.stdout));
    }
    let program = path.join("program");
    std::os::unix::fs::symlink(osier_path(), &program).unwrap();
    let output = run(&format!("compare --json --scratch=. --with={} tree", program.display()));
    assert_eq!(output.status, 0, "{output:?}");
    assert_shape("compare --with", &String::from_utf8_lossy(&output.stdout));
}

#[test]
fn documents_of_benchmarks_have_the_shape_that_the_documentation_gives() {
    let directory = scratch();
    let path = directory.path();
    std::fs::create_dir_all(path.join("tree")).unwrap();
    std::fs::write(path.join("tree/file"), "content").unwrap();
    let common = "bench --json --rounds=1 --refs=3 --objects=30 --tree=tree --scratch=.";
    let alone = format!("{common} --no-ostree --only=commit --only=prune");
    assert_shape("bench", &own(path).run(alone.split(' ')).success());
    if let Some(ostree) = program("ostree") {
        let beside = format!("{common} --ostree={} --only=commit", ostree.path.display());
        assert_shape("bench", &own(path).run(beside.split(' ')).success());
    }
    let deltas = "bench --deltas --json --no-ostree --size=1 --scratch=.";
    assert_shape("bench --deltas", &own(path).run(deltas.split(' ')).success());
    if has_programs(&["nginx", "openssl"]) {
        let remote = "bench --remote --json --no-ostree --objects=20 --rtt=0 --scratch=.";
        assert_shape("bench --remote", &own(path).run(remote.split(' ')).success());
    }
}

#[test]
fn reports_of_composes_have_the_shape_that_the_documentation_gives() {
    let Some(world) = World::new() else { return };
    let run = |arguments: &[&str]| {
        let call = ["compose", arguments[0], "--config=compose.conf", "--json"];
        String::from_utf8(world.osier().run(call.iter().chain(&arguments[1..])).stdout).unwrap()
    };
    assert_shape("compose check", &run(&["check"]));
    assert_shape("compose", &run(&["tree", "--dry-run"]));
    assert_shape("compose", &run(&["tree", "-q"]));
    assert_shape("compose", &run(&["tree", "-q"]));
    assert_shape("compose", &run(&["tree", "-q", "--ref=not//legal"]));
    let commit = world.public_commit().unwrap();
    assert_shape("compose", &run(&["publish", "-q", &commit]));
}

#[test]
fn reports_of_images_have_the_shape_that_the_documentation_gives() {
    let Some(release) = Release::new() else { return };
    assert_shape("compose", &release.run("built", &["--json"]).success());
}
