//! Updating and printing the summary.

use std::fs;
use std::path::Path;

use osier::Checksum;
use osier::commit::{CommitOptions, Description, Source, commit};
use osier::gvariant::{Dict, Value};
use osier::progress::Silent;
use osier::pull::{PullOptions, Want, pull_local};
use osier::refs::{Change, change, reset};
use osier::refspec::{CollectionId, CollectionRef, RefName, Refspec, RemoteName};
use osier::repo::{ConfigEdit, ListRefs, Repo, RepoMode};
use osier::source::MemoryTree;
use osier::summary::{self, Summary, UpdateOptions, store};

use crate::support::{
    assert_same_repository, assert_same_text, expected, extract_repo, golden_commit, osier, ostree,
    scratch,
};

/// When the golden summaries were made.
const GOLDEN_NOW: u64 = 1_704_164_645;

fn read(path: impl AsRef<Path>) -> Vec<u8> {
    fs::read(path.as_ref()).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

#[test]
fn golden_summaries_are_read_and_written_back() {
    for (name, refs) in [("archive", 6), ("plain", 1), ("gpg", 1)] {
        let directory = scratch();
        let Some(repo) = extract_repo(name, directory.path()) else { continue };
        let bytes = read(repo.join("summary"));
        let summary = Summary::decode(&bytes).unwrap();
        assert_eq!(summary.encode(), bytes, "{name}");
        assert_eq!(summary.refs.len(), refs, "{name}");
    }
}

#[test]
fn the_golden_summary_of_plain_is_made_again() {
    let directory = scratch();
    let Some(path) = extract_repo("plain", directory.path()) else { return };
    let golden = read(path.join("summary"));
    let config = read(path.join("config"));
    fs::remove_file(path.join("summary")).unwrap();
    let repo = Repo::open(&path).unwrap();
    summary::regenerate(&repo, &Dict::new(), GOLDEN_NOW).unwrap();
    assert_eq!(read(path.join("summary")), golden);
    assert_eq!(read(path.join("config")), config);
}

#[test]
fn the_golden_summary_of_archive_is_made_again_with_its_metadata_commit_and_delta_indexes() {
    let directory = scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    let golden = read(path.join("summary"));
    let metadata_commit = golden_commit("ostree-metadata");
    let object =
        path.join(format!("objects/{}/{}.commit", &metadata_commit[..2], &metadata_commit[2..]));
    let commit = read(&object);
    let indexes = crate::support::snapshot(&path.join("delta-indexes"));
    assert_eq!(indexes.keys().filter(|name| name.ends_with(".index")).count(), 3);
    fs::remove_file(&object).unwrap();
    fs::remove_file(path.join("refs/heads/ostree-metadata")).unwrap();
    fs::remove_dir_all(path.join("delta-indexes")).unwrap();

    let metadata = Dict::from_iter([
        ("org.example.extra", Value::string("yes")),
        ("ostree.summary.expires", Value::uint64(1)),
    ]);
    let options = UpdateOptions {
        metadata,
        now: GOLDEN_NOW,
        commit_timestamp: GOLDEN_NOW,
        ..UpdateOptions::default()
    };
    summary::update(&Repo::open(&path).unwrap(), &options).unwrap();
    assert_eq!(read(&object), commit);
    assert_eq!(
        read(path.join("refs/heads/ostree-metadata")),
        format!("{metadata_commit}\n").into_bytes()
    );
    assert_eq!(
        crate::support::differences(
            &indexes,
            &crate::support::snapshot(&path.join("delta-indexes"))
        ),
        [""; 0]
    );
    assert_eq!(read(path.join("summary")), golden);
    assert!(!path.join("summary.sig").exists(), "the old signature does not fit the new summary");
}

#[test]
fn indexes_of_commits_without_deltas_are_removed() {
    let directory = scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    let index = path.join("delta-indexes/is/xWHHmZMYE0OZbL39yhStIz66gMEPJmg_YqcM8g348.index");
    assert!(index.exists());
    fs::remove_dir_all(path.join("deltas/HP")).unwrap();
    summary::regenerate(&Repo::open(&path).unwrap(), &Dict::new(), 1).unwrap();
    assert!(!index.exists());
    let written = Summary::decode(&read(path.join("summary"))).unwrap();
    let deltas =
        Dict::from_variant(written.metadata.get("ostree.static-deltas").unwrap().view()).unwrap();
    assert_eq!(deltas.len(), 2);
}

#[test]
fn a_summary_can_leave_the_deltas_out() {
    let directory = scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    osier().repo(&path, ["config", "set", "core.no-deltas-in-summary", "true"]).success();
    summary::regenerate(&Repo::open(&path).unwrap(), &Dict::new(), 1).unwrap();
    let written = Summary::decode(&read(path.join("summary"))).unwrap();
    assert!(!written.metadata.contains_key("ostree.static-deltas"));
}

#[test]
fn a_ref_to_a_missing_commit_leaves_the_old_summary() {
    let directory = scratch();
    let Some(path) = extract_repo("plain", directory.path()) else { return };
    let old = read(path.join("summary"));
    fs::write(path.join("refs/heads/broken"), format!("{}\n", "a".repeat(64))).unwrap();
    let error = summary::regenerate(&Repo::open(&path).unwrap(), &Dict::new(), 1).unwrap_err();
    assert_eq!(error.chain(), format!("No such metadata object {}.commit", "a".repeat(64)));
    assert_eq!(read(path.join("summary")), old);
}

#[test]
fn the_summary_follows_refs_when_the_config_says_so() {
    let directory = scratch();
    let Some(path) = extract_repo("plain", directory.path()) else { return };
    let names = || -> Vec<String> {
        let summary = Summary::decode(&read(path.join("summary"))).unwrap();
        summary.refs.into_iter().map(|entry| entry.name).collect()
    };
    let main = "golden/x86_64/main";
    osier().repo(&path, ["refs", "--create=a", main]).success();
    assert_eq!(names(), [main]);
    osier().repo(&path, ["config", "set", "core.auto-update-summary", "true"]).success();
    osier().repo(&path, ["refs", "--create=b", main]).success();
    assert_eq!(names(), ["a", "b", main]);
    osier().repo(&path, ["refs", "--delete", "a"]).success();
    assert_eq!(names(), ["b", main]);
    osier().repo(&path, ["reset", "b", "golden/x86_64/main^"]).success();
    let summary = Summary::decode(&read(path.join("summary"))).unwrap();
    assert_eq!(summary.refs[0].commit.to_hex(), golden_commit("plain-c2"));
}

#[test]
fn golden_summaries_are_printed_as_stored() {
    let directory = scratch();
    let Some(path) = extract_repo("archive", directory.path()) else { return };
    for (option, stored) in [("--view", "summary-view.txt"), ("--raw", "summary-raw.txt")] {
        let output = osier().repo(&path, ["summary", option]);
        assert_same_text(stored, ("osier", &output.stdout), (stored, &expected(stored)));
        assert_eq!((output.status, output.stderr), (0, Vec::new()));
    }
    let keys = osier().repo(&path, ["summary", "--list-metadata-keys"]).success();
    let listed = [
        "org.example.extra",
        "ostree.static-deltas",
        "ostree.summary.collection-id",
        "ostree.summary.collection-map",
        "ostree.summary.expires",
        "ostree.summary.indexed-deltas",
        "ostree.summary.last-modified",
        "ostree.summary.mode",
        "ostree.summary.tombstone-commits",
    ];
    assert_eq!(keys.lines().collect::<Vec<_>>(), listed);
    let print = |key: &str| osier().repo(&path, ["summary", "--print-metadata-key", key]);
    assert_eq!(print("org.example.extra").line(), "'yes'");
    assert_eq!(print("ostree.summary.last-modified").line(), "uint64 1704164645");
    assert_eq!(print("nosuch").failure(), "No such metadata key 'nosuch'");
}

#[test]
fn times_are_shown_in_the_local_zone() {
    let directory = scratch();
    let Some(path) = extract_repo("plain", directory.path()) else { return };
    for (zone, time) in [
        ("UTC", "2024-01-02T03:04:05+00"),
        ("Asia/Kolkata", "2024-01-02T08:34:05+05:30"),
        ("America/St_Johns", "2024-01-01T23:34:05-03:30"),
    ] {
        let shown = osier().with("TZ", zone).repo(&path, ["summary", "-v"]).success();
        assert!(
            shown.contains(&format!("Last-Modified (ostree.summary.last-modified): {time}\n")),
            "{zone}: {shown}"
        );
    }
}

#[test]
fn what_cannot_be_done_is_refused() {
    let directory = scratch();
    let Some(path) = extract_repo("plain", directory.path()) else { return };
    let before = crate::support::snapshot(&path);
    for (arguments, message) in [
        (&["summary"][..], "No option specified; use -u to update summary"),
        (&["summary", "-m", "a=1"], "No option specified; use -u to update summary"),
        (&["summary", "-u", "-m", "a"], "Missing '=' in KEY=VALUE metadata 'a'"),
        (&["summary", "-u", "-m", "=1"], "Empty metadata key"),
        (&["summary", "-u", "-m", "a=xx"], "Error parsing variant ‘xx’: : 0-2:unknown keyword"),
    ] {
        assert_eq!(osier().repo(&path, arguments).failure(), message, "{arguments:?}");
    }
    assert_eq!(crate::support::differences(&before, &crate::support::snapshot(&path)), [""; 0]);
    fs::write(path.join("summary"), "garbage").unwrap();
    for option in ["--view", "--raw", "--list-metadata-keys"] {
        assert_eq!(osier().repo(&path, ["summary", option]).failure(), "summary: Not normal form");
    }
    fs::remove_file(path.join("summary")).unwrap();
    assert_eq!(
        osier().repo(&path, ["summary", "-v"]).failure(),
        "openat(summary): No such file or directory"
    );
}

/// Both programs update the summary of a copy each; the copies must be the same but for the time.
#[track_caller]
fn update_alike(golden: &str, setup: &[&[&str]], arguments: &[&str]) {
    let Some(ostree) = ostree() else { return };
    let (left, right) = (scratch(), scratch());
    let Some(theirs) = extract_repo(golden, left.path()) else { return };
    let Some(ours) = extract_repo(golden, right.path()) else { return };
    for repo in [&theirs, &ours] {
        for step in setup {
            ostree.repo(repo, *step).success();
        }
    }
    let update = [&["summary", "-u"], arguments].concat();
    ostree.with("SOURCE_DATE_EPOCH", "1700000001").repo(&theirs, &update).success();
    osier().with("SOURCE_DATE_EPOCH", "1700000001").repo(&ours, &update).success();
    assert_same_repository(&theirs, &ours);
}

#[test]
fn updates_agree_with_the_real_program() {
    let metadata = ["-m", "a=1", "-m", "b=uint32 4", "-m", "a='x'", "-m", "map={'k': <1>}"];
    update_alike("plain", &[], &[]);
    update_alike("plain", &[], &metadata);
    update_alike("archive", &[], &[]);
    update_alike("archive", &[], &metadata);
    update_alike("pruned", &[], &metadata);
    update_alike("gpg", &[&["refs", "-c", "--create=org.example.A:x", "signed"]], &[]);
    update_alike("bare-user-only", &[&["refs", "--create=rem:x", "golden/x86_64/main"]], &[]);
    let overrides = ["-m", "ostree.summary.mode='x'", "-m", "ostree.summary.expires=uint64 1"];
    update_alike("plain", &[&["refs", "-A", "--create=alias", "golden/x86_64/main"]], &overrides);
}

#[test]
fn many_refs_and_keys_are_ordered_as_by_the_real_program() {
    let names: Vec<String> =
        (0..40).map(|number| format!("--create=r{}", number * 7 % 101)).collect();
    let setup: Vec<Vec<&str>> =
        names.iter().map(|name| vec!["refs", name, "golden/x86_64/main"]).collect();
    let setup: Vec<&[&str]> = setup.iter().map(Vec::as_slice).collect();
    let keys: Vec<String> = (0..60).map(|number| format!("key.{number}={number}")).collect();
    let arguments: Vec<&str> = keys.iter().flat_map(|key| ["-m", key]).collect();
    update_alike("plain", &setup, &arguments);
}

#[test]
fn the_summary_follows_what_the_library_does_to_refs() {
    let directory = scratch();
    let path = directory.path().join("repo");
    let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
    let ask = |repo: &Repo| {
        repo.edit_config(|keyfile| {
            keyfile.set_bool("core", "auto-update-summary", true).unwrap();
            Ok(ConfigEdit::Write)
        })
    };
    ask(&repo).unwrap();
    let refs = |repo: &Repo| -> Vec<(String, Checksum)> {
        store::load(repo)
            .unwrap()
            .refs
            .into_iter()
            .map(|entry| (entry.name, entry.commit))
            .collect()
    };
    let refspec = |text: &str| Refspec::parse(text).unwrap();
    let make = |timestamp| {
        let branch = Some(refspec("main"));
        let sources = vec![Source::Memory(MemoryTree::default())];
        let options =
            CommitOptions { branch, sources, ..CommitOptions::new(Description::new(timestamp)) };
        commit(&repo, &options, &Silent).unwrap().commit
    };
    let (first, second) = (make(1), make(2));
    let named = |name: &str, commit| (name.to_owned(), commit);
    assert_eq!(refs(&repo), [named("main", second)]);
    change(&repo, &[Change::Set(refspec("old"), first), Change::Set(refspec("o:remote"), first)])
        .unwrap();
    assert_eq!(refs(&repo), [named("main", second), named("old", first)]);
    reset(&repo, refspec("main"), first).unwrap();
    change(&repo, &[Change::Delete(refspec("old"))]).unwrap();
    assert_eq!(refs(&repo), [named("main", first)]);

    let other = Repo::create(&directory.path().join("other"), RepoMode::Archive, None).unwrap();
    ask(&other).unwrap();
    let wanted = vec![Want::parse("main").unwrap(), Want::Commit(second)];
    pull_local(&other, &repo, &PullOptions { wanted, ..PullOptions::default() }, &Silent).unwrap();
    assert_eq!(refs(&other), [named("main", first)]);
}

#[test]
fn a_ref_of_a_collection_is_pulled_into_the_mirror() {
    let directory = scratch();
    let collection = CollectionId::parse("org.example.Os").unwrap();
    let source =
        Repo::create(&directory.path().join("source"), RepoMode::Archive, Some(&collection))
            .unwrap();
    let make = |collection: &str| {
        let metadata = vec![("ostree.collection-binding".to_owned(), Value::string(collection))];
        let branch = Some(Refspec::parse("main").unwrap());
        let sources = vec![Source::Memory(MemoryTree::default())];
        let description = Description { metadata, ..Description::new(1) };
        commit(
            &source,
            &CommitOptions { branch, sources, ..CommitOptions::new(description) },
            &Silent,
        )
        .unwrap()
        .commit
    };
    let made = make("org.example.Os");
    let target = Repo::create(&directory.path().join("target"), RepoMode::Archive, None).unwrap();
    let name =
        CollectionRef { collection: collection.clone(), name: RefName::parse("main").unwrap() };
    let pull = |name: &CollectionRef, remote: Option<&str>| {
        let wanted = vec![Want::CollectionRef(name.clone())];
        let remote = remote.map(|remote| RemoteName::parse(remote).unwrap());
        pull_local(
            &target,
            &source,
            &PullOptions { wanted, remote, ..PullOptions::default() },
            &Silent,
        )
    };
    pull(&name, None).unwrap();
    assert_eq!(target.list_collection_refs(None).unwrap(), [(name.clone(), made)]);
    assert_eq!(target.list_refs(None, ListRefs::Full).unwrap(), []);
    pull(&name, Some("origin")).unwrap();
    assert_eq!(
        target.list_refs(None, ListRefs::Full).unwrap(),
        [(Refspec::parse("origin:main").unwrap(), made)]
    );
    let absent = CollectionRef { name: RefName::parse("none").unwrap(), ..name.clone() };
    assert_eq!(
        pull(&absent, None).unwrap_err().chain(),
        "Collection–ref (org.example.Os, none) not found"
    );
    let foreign = make("org.example.Other");
    let expected = format!(
        "Commit {foreign}: Commit has collection ID ‘org.example.Other’ in collection binding \
         metadata, while the remote it came from has collection ID ‘org.example.Os’"
    );
    assert_eq!(pull(&name, None).unwrap_err().chain(), expected);
}

#[test]
fn a_mirrored_ref_is_of_the_collection_that_the_summary_of_the_source_names() {
    let directory = scratch();
    let collection = CollectionId::parse("org.example.Os").unwrap();
    let source = directory.path().join("source");
    let source = Repo::create(&source, RepoMode::Archive, Some(&collection)).unwrap();
    let options = CommitOptions {
        branch: Some(Refspec::parse("main").unwrap()),
        sources: vec![Source::Memory(MemoryTree::default())],
        ..CommitOptions::new(Description::new(1))
    };
    let made = commit(&source, &options, &Silent).unwrap().commit;
    let name = RefName::parse("main").unwrap();
    let pull = |target: &str| {
        let target = Repo::create(&directory.path().join(target), RepoMode::Archive, None).unwrap();
        let options = PullOptions {
            wanted: vec![Want::Ref(name.clone())],
            mirror: true,
            verify_bindings: false,
            ..PullOptions::default()
        };
        pull_local(&target, &source, &options, &Silent).unwrap();
        let own = target.list_refs(None, ListRefs::Full).unwrap();
        (own, target.list_collection_refs(None).unwrap())
    };
    assert_eq!(pull("without").0, [(Refspec::parse("main").unwrap(), made)]);
    summary::update(&source, &UpdateOptions { now: 1, ..Default::default() }).unwrap();
    let mirrored = CollectionRef { collection, name: name.clone() };
    assert_eq!(pull("with"), (vec![], vec![(mirrored, made)]));
}

#[test]
fn of_several_updates_at_once_the_last_has_all_refs() {
    const ROUNDS: usize = 15;
    let directory = scratch();
    let Some(path) = extract_repo("plain", directory.path()) else { return };
    osier().repo(&path, ["config", "set", "core.auto-update-summary", "true"]).success();
    let commit = Repo::open(&path).unwrap().resolve_rev("golden/x86_64/main").unwrap();
    std::thread::scope(|scope| {
        for name in ["a", "b", "c"] {
            let path = &path;
            scope.spawn(move || {
                let repo = Repo::open(path).unwrap();
                for round in 0..ROUNDS {
                    let refspec = Refspec::parse(&format!("{name}/{round}")).unwrap();
                    change(&repo, &[Change::Set(refspec, commit)]).unwrap();
                }
            });
        }
    });
    let repo = Repo::open(&path).unwrap();
    let listed = repo.list_ref_names(None, ListRefs::Full).unwrap();
    assert_eq!(listed.len(), 3 * ROUNDS + 1);
    let summary: Vec<_> =
        store::load(&repo).unwrap().refs.into_iter().map(|entry| entry.name).collect();
    assert_eq!(summary, listed.iter().map(ToString::to_string).collect::<Vec<_>>());
}
