//! Static deltas: the golden ones of ostree 2026.4, and ones that are wrong.

use std::fs;
use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::delta::{self, ApplyOptions};
use osier::delta_format::{
    Compression, ENDIANNESS, Endianness, ObjectList, Operation, PartHeader, PayloadWriter, Signed,
    Superblock,
};
use osier::gvariant::Value;
use osier::object::{Commit, ObjectName, ObjectType};
use osier::progress::Silent;
use osier::repo::{Repo, RepoMode};
use osier::sign::{Dummy, Engine, SignatureType, VerificationKeys};

use crate::support::{
    assert_same_text, expected, extract_repo, golden, golden_commit, has_xattrs, osier, scratch,
};

fn golden_delta(name: &str) -> PathBuf {
    golden("deltas").join(name)
}

/// Those that lead from one to the other, in that order.
const GOLDEN: [&str; 5] =
    ["scratch-inline", "bigendian", "nobsdiff-inline", "signed-inline", "chunked"];

#[test]
fn golden_deltas_bring_the_golden_commits() {
    let directory = scratch();
    for mode in ["archive", "bare-user"] {
        if mode == "bare-user" && !has_xattrs(directory.path(), "user.osier") {
            continue;
        }
        let path = directory.path().join(mode);
        let init = ["init", "--repo", path.to_str().unwrap(), "--mode", mode];
        osier().run(init).success();
        for name in GOLDEN {
            let delta = golden_delta(name);
            let apply = ["static-delta", "apply-offline", delta.to_str().unwrap()];
            assert_eq!(osier().repo(&path, apply).success(), "", "{mode} {name}");
        }
        for name in ["c1", "c2", "c3"] {
            let commit = golden_commit(name);
            let file = format!("ls-RCX.{name}.txt");
            let listed = osier().repo(&path, ["ls", "-RCX", &commit, "/"]).success();
            assert_same_text(
                &format!("{mode} {file}"),
                ("ostree 2026.4", &expected(&file)),
                ("osier", listed.as_bytes()),
            );
        }
        osier().repo(&path, ["fsck"]).success();
        let left = fs::read_dir(path.join("tmp")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["cache"], "{mode}");
    }
}

#[test]
fn the_second_of_two_deltas_alone_changes_what_is_not_there() {
    // From nothing to c2 in two steps: each of the second's sources is a file that the first
    // brought.
    let directory = scratch();
    let repo = Repo::create(&directory.path().join("r"), RepoMode::Archive, None).unwrap();
    let apply = |name: &str| {
        delta::apply_offline(&repo, &golden_delta(name), &ApplyOptions::default(), &Silent)
    };
    let c1 = golden_commit("c1");
    let message = format!("Commit {c1}, which is the delta source, is not in repository");
    assert_eq!(apply("nobsdiff-inline").unwrap_err().chain(), message);
    let first = apply("scratch-inline").unwrap();
    assert_eq!((first.parts, first.skipped_parts), (1, 0));
    let objects = first.objects;
    assert_eq!(objects.metadata_objects + objects.content_objects, 47);
    let second = apply("bigendian").unwrap();
    assert_eq!(second.objects.metadata_objects + second.objects.content_objects, 10);
    let again = apply("nobsdiff-inline").unwrap();
    assert_eq!((again.parts, again.skipped_parts), (0, 1));
    let fallback = apply("fallback").unwrap_err().chain();
    let expected = "Cannot execute delta offline: contains nonempty http fallback entries";
    assert_eq!(fallback, expected);
    let c3 = Checksum::from_hex(&golden_commit("c3")).unwrap();
    assert!(!repo.has_object(&ObjectName::new(c3, ObjectType::Commit)).unwrap());
}

#[test]
fn lists_are_those_of_the_golden_repository() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    for (file, command) in [("delta-list.txt", "list"), ("delta-indexes.txt", "indexes")] {
        // Upstream lists in the order of the directory.
        let text = String::from_utf8(expected(file)).unwrap();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        let listed = osier().repo(&repo, ["static-delta", command]).success();
        let mut listed: Vec<&str> = listed.lines().collect();
        listed.sort_unstable();
        assert_eq!(listed, lines, "{file}");
    }
}

#[test]
fn parts_beside_a_superblock_and_inside_of_it_are_shown() {
    let directory = scratch();
    let path = directory.path().join("r");
    osier().run(["init", "--repo", path.to_str().unwrap(), "--mode=archive"]).success();
    for (name, parts) in [("chunked", 5), ("nobsdiff-inline", 1), ("signed-inline", 1)] {
        let file = golden_delta(name).join("superblock");
        let arguments = ["static-delta", "show", file.to_str().unwrap()];
        let text = osier().repo(&path, arguments).success();
        let count = text.lines().filter(|line| line.starts_with("PartPayloadOps")).count();
        assert_eq!(count, parts, "{text}");
        let signed = if name == "signed-inline" { "Signed: yes\n" } else { "Signed: no\n" };
        assert!(text.contains(signed), "{text}");
        let document = osier().repo(&path, arguments.iter().chain(&["--json"])).success();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        assert_eq!(document["parts"].as_array().unwrap().len(), parts);
        assert_eq!(document["parts"][0]["inlined"], name != "chunked");
        let total = format!("Total Size: {} (", document["size"]);
        assert!(text.contains(&total), "{text}");
    }
}

/// The keys in a golden file.
fn keys(file: &str) -> VerificationKeys {
    let engine = Engine::new(SignatureType::Ed25519, Dummy::Refused).unwrap();
    let mut keys = VerificationKeys::new(engine);
    keys.load_file(&golden("keys").join(file)).unwrap();
    keys
}

#[test]
fn a_signed_delta_is_applied_only_with_the_right_key() {
    let directory = scratch();
    let repo = Repo::create(&directory.path().join("r"), RepoMode::Archive, None).unwrap();
    let apply = |repo: &Repo, name: &str, keys: Option<VerificationKeys>| {
        let applied =
            delta::apply_offline(repo, &golden_delta(name), &ApplyOptions { keys }, &Silent);
        applied.map_err(|error| error.chain())
    };
    let (right, wrong) = (keys("test.ed25519.pub"), keys("other.ed25519.pub"));
    // One that is not signed is accepted even with a key, as in upstream.
    apply(&repo, "scratch-inline", Some(wrong.clone())).unwrap();
    let message = apply(&repo, "signed-inline", Some(wrong)).unwrap_err();
    assert!(message.starts_with("ed25519: Signature couldn't be verified with: key"), "{message}");
    let require = |value: &str| {
        let path = directory.path().join("r");
        osier().repo(&path, ["config", "set", "core.sign-verify-deltas", value]).success();
        Repo::open(&path).unwrap()
    };
    let strict = require("true");
    let mandatory = "Key is mandatory to check delta signature";
    assert_eq!(apply(&strict, "signed-inline", None).unwrap_err(), mandatory);
    apply(&strict, "bigendian", None).unwrap();
    let stricter = require("required");
    let unsigned = apply(&stricter, "chunked", Some(right.clone())).unwrap_err();
    assert_eq!(unsigned, "no signatures in static-delta");
    assert_eq!(apply(&stricter, "signed-inline", None).unwrap_err(), mandatory);
    apply(&stricter, "signed-inline", Some(right)).unwrap();
}

#[test]
fn signatures_are_verified_by_the_command() {
    let directory = scratch();
    let path = directory.path().join("r");
    osier().run(["init", "--repo", path.to_str().unwrap(), "--mode=archive"]).success();
    let file = golden_delta("signed-inline").join("superblock");
    let file = file.to_str().unwrap();
    let key = |name: &str| golden("keys").join(name).to_str().unwrap().to_owned();
    let verify = |options: &[&str]| {
        osier().repo(&path, [&["static-delta", "verify", file], options].concat())
    };
    let right = format!("--keys-file={}", key("test.ed25519.pub"));
    assert_eq!(verify(&[&right]).success().as_bytes(), expected("delta-verify.txt"));
    let inline = fs::read_to_string(key("test.ed25519.pub")).unwrap();
    assert_eq!(verify(&[inline.trim()]).success(), "Verification OK\n");
    let wrong = verify(&[&format!("--keys-file={}", key("other.ed25519.pub"))]);
    assert_eq!(wrong.stdout, b"Verification fails\n");
    assert!(wrong.failure().starts_with("ed25519: Signature couldn't be verified with: key"));
    let spki = verify(&["--sign-type=spki", &format!("--keys-file={}", key("test.spki.pub.pem"))]);
    assert_eq!(spki.stdout, b"Verification fails\n");
    let message = "no signature for 'ostree.sign.spki' in static-delta superblock";
    assert_eq!(spki.failure(), message);
    let none = verify(&[&format!("--keys-dir={}", directory.path().display())]);
    assert_eq!(none.stdout, b"");
}

/// Writes a delta with one part, made of the golden one that a function has changed.
fn write_changed(place: &Path, name: &str, change: impl FnOnce(&mut Superblock<'_>)) {
    let bytes = fs::read(golden_delta(name).join("superblock")).unwrap();
    let mut superblock = Superblock::decode(&bytes).unwrap();
    change(&mut superblock);
    fs::create_dir_all(place).unwrap();
    fs::write(place.join("superblock"), superblock.encode()).unwrap();
}

#[test]
fn a_delta_that_brings_less_than_it_lists_is_refused_and_leaves_nothing() {
    let directory = scratch();
    let repo = Repo::create(&directory.path().join("r"), RepoMode::Archive, None).unwrap();
    let place = directory.path().join("delta");
    let part = [&[Compression::None.byte()][..], &PayloadWriter::default().encode()].concat();
    write_changed(&place, "scratch-inline", |superblock| {
        superblock.metadata.retain(|(key, _)| *key == ENDIANNESS);
        superblock.parts[0].checksum = Checksum::of(&part);
    });
    fs::write(place.join("0"), &part).unwrap();
    let apply = || {
        let applied = delta::apply_offline(&repo, &place, &ApplyOptions::default(), &Silent);
        applied.map_err(|error| error.chain())
    };
    assert_eq!(apply().unwrap_err(), "Delta is incomplete: 47 objects missing");
    assert_eq!(repo.list_objects().unwrap(), []);
    fs::write(place.join("0"), b"x").unwrap();
    let message = apply().unwrap_err();
    let expected = format!(
        "Executing delta part 0: Checksum mismatch in static delta part; expected={} actual={}",
        Checksum::of(&part),
        Checksum::of(b"x")
    );
    assert_eq!(message, expected);
    fs::remove_file(place.join("0")).unwrap();
    let message = "Opening deltapart '0': No such file or directory";
    assert_eq!(apply().unwrap_err(), message);
    assert_eq!(repo.list_objects().unwrap(), []);
    // Nor does the commit come back with what is done next.
    let chunked = golden_delta("chunked");
    delta::apply_offline(&repo, &chunked, &ApplyOptions::default(), &Silent).unwrap();
    let c1 = Checksum::from_hex(&golden_commit("c1")).unwrap();
    assert!(!repo.has_object(&ObjectName::new(c1, ObjectType::Commit)).unwrap());
}

#[test]
fn a_superblock_that_lies_is_refused() {
    let directory = scratch();
    let repo = Repo::create(&directory.path().join("r"), RepoMode::Archive, None).unwrap();
    let message = |change: &dyn Fn(&mut Superblock<'_>)| {
        let place = directory.path().join("delta");
        write_changed(&place, "scratch-inline", change);
        let applied = delta::apply_offline(&repo, &place, &ApplyOptions::default(), &Silent);
        applied.unwrap_err().chain()
    };
    let other = Checksum::of(b"other");
    let actual = golden_commit("c1");
    assert_eq!(
        message(&|superblock| superblock.to = other),
        format!(
            "Writing metadata object: Corrupted commit object; checksum expected='{other}' \
             actual='{actual}'"
        )
    );
    assert_eq!(
        message(&|superblock| superblock.parts[0].version = 7),
        "Delta part has too new version 7"
    );
    let list = ObjectList::encode(&[ObjectName::new(other, ObjectType::DirTree)]);
    let listed = message(&|superblock| {
        let list: &'static [u8] = Box::leak(list.clone().into_boxed_slice());
        superblock.parts[0].objects = ObjectList::decode(list).unwrap();
    });
    assert!(listed.starts_with("Executing delta part 0: opcode "), "{listed}");
    assert_eq!(repo.list_objects().unwrap(), []);
}

#[test]
fn a_delta_without_objects_brings_the_commit_alone_if_it_needs_nothing_else() {
    let directory = scratch();
    let repo = Repo::create(&directory.path().join("r"), RepoMode::Archive, None).unwrap();
    let place = directory.path().join("delta");
    fs::create_dir(&place).unwrap();
    let mark = Value::byte(b'l');
    let none = PartHeader {
        version: 0,
        checksum: Checksum::of(b""),
        size: 0,
        content_size: 0,
        objects: ObjectList::default(),
    };
    let bytes = fs::read(golden_delta("scratch-inline").join("superblock")).unwrap();
    let whole = Superblock::decode(&bytes).unwrap();
    let empty = Superblock {
        metadata: vec![(ENDIANNESS, mark.view())],
        parts: vec![none],
        endianness: Endianness::Marked(Default::default()),
        ..whole.clone()
    };
    let apply = |superblock: &[u8]| {
        fs::write(place.join("superblock"), superblock).unwrap();
        let applied = delta::apply_offline(&repo, &place, &ApplyOptions::default(), &Silent);
        applied.map_err(|error| error.chain())
    };
    // Neither the root nor its metadata is there.
    assert_eq!(apply(&empty.encode()).unwrap_err(), "Delta is incomplete: 2 objects missing");
    assert_eq!(repo.list_objects().unwrap(), []);
    delta::apply_offline(&repo, &golden_delta("scratch-inline"), &Default::default(), &Silent)
        .unwrap();
    let before = repo.list_objects().unwrap().len();
    let mut commit = Commit::decode(whole.commit).unwrap();
    commit.subject = "The same tree".to_owned();
    let commit = commit.encode();
    let to = Checksum::of(&commit);
    let same = Superblock { from: Some(whole.to), to, commit: &commit, ..empty };
    let stats = apply(&same.encode()).unwrap();
    assert_eq!((stats.parts, stats.skipped_parts, stats.commit), (0, 1, to));
    let objects = repo.list_objects().unwrap();
    assert!(objects.contains(&ObjectName::new(to, ObjectType::Commit)));
    assert_eq!(objects.len(), before + 1);
    // What is made for signatures and has none is nothing.
    let unsigned = Signed { superblock: &bytes, signatures: Default::default() };
    assert_eq!(apply(&unsigned.encode()).unwrap_err(), "no signatures in static-delta");
}

/// Its operations make all that it lists.
#[test]
fn a_delta_that_does_not_list_what_a_directory_needs_is_refused_and_leaves_nothing() {
    let directory = scratch();
    let create =
        |name: &str| Repo::create(&directory.path().join(name), RepoMode::Archive, None).unwrap();
    let (whole, repo) = (create("whole"), create("r"));
    let scratch = golden_delta("scratch-inline");
    delta::apply_offline(&whole, &scratch, &ApplyOptions::default(), &Silent).unwrap();
    let c1 = Checksum::from_hex(&golden_commit("c1")).unwrap();
    let commit = whole.load_commit(&c1).unwrap();
    let names = [
        ObjectName::new(commit.root_dirmeta, ObjectType::DirMeta),
        ObjectName::new(commit.root_dirtree, ObjectType::DirTree),
    ];
    let mut payload = PayloadWriter::default();
    for name in &names {
        let slice = payload.append(&whole.load_metadata(name).unwrap());
        payload.push(Operation::Metadata(slice));
    }
    let part = [&[Compression::None.byte()][..], &payload.encode()].concat();
    let list = ObjectList::encode(&names);
    let place = directory.path().join("delta");
    write_changed(&place, "scratch-inline", |superblock| {
        superblock.metadata.retain(|(key, _)| *key == ENDIANNESS);
        superblock.parts[0].checksum = Checksum::of(&part);
        let list: &'static [u8] = Box::leak(list.into_boxed_slice());
        superblock.parts[0].objects = ObjectList::decode(list).unwrap();
    });
    fs::write(place.join("0"), &part).unwrap();
    let error = delta::apply_offline(&repo, &place, &ApplyOptions::default(), &Silent);
    let root = whole.load_dirtree(&commit.root_dirtree).unwrap();
    let files = root.files.iter().map(|(_, file)| *file);
    let dirs = root.dirs.iter().flat_map(|dir| [dir.dirtree, dir.dirmeta]);
    let needed: std::collections::BTreeSet<Checksum> =
        files.chain(dirs).filter(|object| *object != commit.root_dirmeta).collect();
    let expected = format!("Delta is incomplete: {} objects missing", needed.len());
    assert_eq!(error.unwrap_err().chain(), expected);
    assert_eq!(repo.list_objects().unwrap(), []);
}
