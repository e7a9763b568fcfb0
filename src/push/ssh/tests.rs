//! The two ends against each other's worst: whoever is at the other end, both end soon and with a
//! clear error, and nothing is published that is not whole.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::connection::Connection;
use super::frame::{Kind, Payload};
use super::machine::Machine;
use super::receive::{Received, serve};
use super::stream::{Input, Output, Patience, Peer};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::{DirMeta, DirTree, ObjectName, ObjectType};
use crate::push::Directory;
use crate::push::destination::{Batch, Destination, Expected, Item, Put};
use crate::push::there::new_config;
use crate::repo::{OpenOptions, Trust};

const HASTE: Patience = Patience {
    silence: Duration::from_millis(300),
    beat: Duration::from_millis(50),
    stuck: Duration::from_millis(600),
    greeting: Duration::from_millis(300),
};
const CALM: Patience = Patience {
    silence: Duration::from_secs(60),
    beat: Duration::from_secs(10),
    stuck: Duration::from_secs(60),
    greeting: Duration::from_secs(60),
};

fn file(stream: UnixStream) -> File {
    OwnedFd::from(stream).into()
}

/// A far end with a directory; returns the sender's end of the connection.
fn far_end(path: &Path, patience: Patience) -> (UnixStream, JoinHandle<Result<Received>>) {
    let directory = Directory::new(path, &OpenOptions::default(), Trust::Untrusted).unwrap();
    let (here, there) = UnixStream::pair().unwrap();
    let output = there.try_clone().unwrap();
    let serving = move || serve(&directory, (file(there), file(output)), patience);
    (here, thread::spawn(serving))
}

/// A sender whose far end says these bytes, and then nothing more or is gone.
fn sender(said: Vec<u8>, is_gone: bool, patience: Patience) -> (Result<Machine>, UnixStream) {
    let (here, mut there) = UnixStream::pair().unwrap();
    let mut listener = there.try_clone().unwrap();
    thread::spawn(move || std::io::copy(&mut listener, &mut std::io::sink()));
    thread::spawn({
        let mut there = there.try_clone().unwrap();
        move || {
            let _ = there.write_all(&said);
            if is_gone {
                let _ = there.shutdown(Shutdown::Write);
            }
        }
    });
    there.flush().unwrap();
    let peer = Peer::new("host", patience);
    let output = Output::of_own_pipe(file(here.try_clone().unwrap()), peer.clone()).unwrap();
    let input = Input::new(file(here), peer);
    let connection = Connection::begin(input, output, None);
    (connection.map(|connection| Machine::over("ssh://host/path".to_owned(), connection)), there)
}

fn frame(kind: Kind, payload: &[u8]) -> Vec<u8> {
    [&[kind as u8], &(payload.len() as u32).to_be_bytes()[..], payload].concat()
}

fn frames(all: &[(Kind, Payload)]) -> Vec<u8> {
    all.iter().flat_map(|(kind, payload)| frame(*kind, &payload.0)).collect()
}

fn greeted(bytes: &[u8]) -> Vec<u8> {
    [b"osier-receive 1\n", bytes].concat()
}

fn none() -> Payload {
    Payload::default()
}

fn put(name: &str, bytes: &[u8]) -> Vec<u8> {
    let header = none().text(name).unwrap().expected(&Expected::Anything).unwrap();
    frames(&[(Kind::Put, header.number(bytes.len() as u64)), (Kind::Bytes, Payload(bytes.into()))])
}

fn new_repository() -> Vec<u8> {
    put("config", new_config(None).as_bytes())
}

/// A batch of one item with this content.
fn batch(item: &Item, bytes: &[u8], length: u64) -> Vec<u8> {
    let item = none().item(item).unwrap();
    frames(&[
        (Kind::Begin, none()),
        (Kind::Offer, item),
        (Kind::Item, none().small_number(0)),
        (Kind::Bytes, Payload(bytes.into())),
        (Kind::End, none().number(length)),
        (Kind::Commit, none()),
    ])
}

fn object(object_type: ObjectType, bytes: &[u8]) -> Item {
    Item::Object(ObjectName::new(Checksum::of(bytes), object_type))
}

/// What the far end says last to a sender of these bytes, and how it ends.
fn said_to(bytes: &[u8]) -> (String, Result<Received>, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (mut here, serving) = far_end(&directory.path().join("repo"), CALM);
    here.write_all(bytes).unwrap();
    here.shutdown(Shutdown::Write).unwrap();
    let mut said = Vec::new();
    here.read_to_end(&mut said).unwrap();
    let said = String::from_utf8_lossy(&said).into_owned();
    (said, serving.join().unwrap(), directory)
}

#[test]
fn a_hostile_sender_is_told_why_and_publishes_nothing() {
    let meta = DirMeta { uid: 0, gid: 0, mode: 0o40755, xattrs: Default::default() }.encode();
    let empty = DirTree::default().encode();
    let missing = Checksum::of(b"missing");
    let tree = DirTree { files: vec![("x".to_owned(), missing)], dirs: Vec::new() }.encode();
    let file = object(ObjectType::File, b"file");
    let wrong = object(ObjectType::DirMeta, b"other");
    let delta = |path: &str| Item::Delta(path.to_owned());
    let to_missing = format!("{missing}\n");
    let huge = none().text("summary").unwrap().expected(&Expected::Anything).unwrap();
    for (bytes, expected) in [
        (frame(Kind::Done, &[]), "Done is not expected here"),
        (b"?\0\0\0\0".to_vec(), "there is no frame of kind 63"),
        (b"P\xff\xff\xff\xff".to_vec(), "a frame of 4294967295 bytes is too long"),
        (frame(Kind::Put, b"\0\x09x"), "a frame is too short"),
        (frame(Kind::ListRefs, b"x"), "a frame has 1 bytes too many"),
        (frame(Kind::Hold, &[]), "is no repository yet"),
        (put("summary", b""), "there is no repository yet"),
        (put("config", b"[core]\nrepo_version=1\nmode=bare\n"), "none that a push writes"),
        (put("config", b"[core]\nrepo_version=1\nmode=archive-z2\n"), "none that a push writes"),
        (put("../x", b"x"), "'../x' is nothing that a push writes"),
        (put("/etc/x", b"x"), "'/etc/x' is nothing that a push writes"),
        (put("objects/ab/cd.filez", b"x"), "is nothing that a push writes"),
        (put("state/x.commitpartial", b""), "is nothing that a push writes"),
        (put("summary", b"not one"), "summary"),
        (put("delta-indexes/aa/bb.index", b""), "is nothing that a push writes"),
        (put("refs/heads/../x", to_missing.as_bytes()), "Invalid ref name ../x"),
        (put("refs/heads/main", b"x\n"), "the ref main would hold no checksum"),
        (put("refs/heads/main", to_missing.as_bytes()), "which is not there"),
        (frames(&[(Kind::Put, huge.number(u64::MAX))]), "is longer than"),
        (batch(&file, b"no filez", 8), "file"),
        (batch(&wrong, &meta, meta.len() as u64), "Corrupted"),
        (batch(&object(ObjectType::DirMeta, b"x"), b"x", 1), "dirmeta"),
        (batch(&object(ObjectType::DirMeta, &meta), &meta, 1), "bytes came"),
        (batch(&object(ObjectType::DirTree, &tree), &tree, tree.len() as u64), "is not there"),
        (batch(&object(ObjectType::CommitMeta, b"x"), b"x", 1), "commitmeta"),
        (batch(&delta("deltas/../../x"), b"x", 1), "is nothing that a push writes"),
        (batch(&delta("deltas/ab/cd/superblock"), b"x", 1), "is nothing that a push writes"),
        (frames(&[(Kind::Begin, none()), (Kind::Put, none())]), "Put is not expected in a batch"),
        (
            frames(&[(Kind::Begin, none()), (Kind::Item, none().small_number(7))]),
            "nobody asked for the item 7",
        ),
        (frames(&[(Kind::Begin, none()), (Kind::Offer, Payload(vec![5; 33]))]), "of type 5"),
    ] {
        let before = match expected {
            "is no repository yet" | "there is no repository yet" => Vec::new(),
            _ => new_repository(),
        };
        let (said, ended, directory) = said_to(&greeted(&[before, bytes].concat()));
        assert!(said.contains(expected), "{expected}: {said}");
        assert_eq!(ended.unwrap(), Received::Refused, "{expected}");
        let refs = directory.path().join("repo/refs/heads");
        assert!(is_empty_or_missing(&refs), "{expected}");
        assert!(!directory.path().join("x").exists());
    }
    // What is right is taken.
    let right = [
        new_repository(),
        batch(&object(ObjectType::DirMeta, &meta), &meta, meta.len() as u64),
        batch(&object(ObjectType::DirTree, &empty), &empty, empty.len() as u64),
        frame(Kind::Finish, &[]),
    ];
    assert_eq!(said_to(&greeted(&right.concat())).1.unwrap(), Received::Finished);
}

fn is_empty_or_missing(directory: &Path) -> bool {
    std::fs::read_dir(directory).map_or(true, |mut names| names.next().is_none())
}

#[test]
fn a_sender_that_ends_early_leaves_nothing() {
    let meta = DirMeta { uid: 0, gid: 0, mode: 0o40755, xattrs: Default::default() }.encode();
    let all = greeted(
        &[
            new_repository(),
            batch(&object(ObjectType::DirMeta, &meta), &meta, meta.len() as u64),
            frame(Kind::Finish, &[]),
        ]
        .concat(),
    );
    for length in (0..all.len()).step_by(3) {
        let (_, ended, _directory) = said_to(&all[..length]);
        let error = ended.map(|ended| assert_eq!(ended, Received::Refused, "{length}"));
        let error = error.err().map(|error| error.chain()).unwrap_or_default();
        assert!(error.is_empty() || error.contains("the sender"), "{length}: {error}");
    }
    assert_eq!(said_to(&all).1.unwrap(), Received::Finished);
}

#[test]
fn a_sender_that_gives_up_is_no_error() {
    for before in [Vec::new(), frame(Kind::Begin, &[])] {
        let bytes = [new_repository(), before, frame(Kind::Abandon, &[])].concat();
        assert_eq!(said_to(&greeted(&bytes)).1.unwrap(), Received::Abandoned);
    }
}

#[test]
fn a_silent_sender_is_not_waited_for() {
    for before in ["", "osier-receive 1\n", "osier-receive 1\nP\0\0"] {
        let directory = tempfile::tempdir().unwrap();
        let (mut here, serving) = far_end(&directory.path().join("repo"), HASTE);
        here.write_all(before.as_bytes()).unwrap();
        let mut said = String::new();
        let _ = here.read_to_string(&mut said);
        let error = serving.join().unwrap().map_or_else(|error| error.chain(), |_| said);
        assert!(error.contains("the sender has not answered for 0 s"), "{before}: {error}");
    }
}

#[test]
fn versions_are_negotiated_and_what_is_no_version_is_refused() {
    for (greeting, expected) in [
        ("osier-receive 1\n", None),
        ("osier-receive 2 with=more\n", None),
        ("osier-receive 4000000000\n", None),
        ("osier-receive 0\n", Some("host speaks version 0, which there is not")),
        ("osier-receive x\n", Some("host answered 'osier-receive x', which is no greeting")),
        ("Welcome!\nosier-receive 1\n", Some("host answered 'Welcome!', which is no greeting")),
        ("\n", Some("host said nothing")),
    ] {
        let (machine, _there) = sender(greeting.into(), false, CALM);
        let error = machine.map(drop).err().map(|error| error.chain());
        match expected {
            None => assert_eq!(error, None, "{greeting}"),
            Some(expected) => assert!(error.unwrap().starts_with(expected), "{greeting}"),
        }
    }
    let long = vec![b'x'; 1 << 20];
    let (machine, _there) = sender(long, false, CALM);
    assert!(machine.map(drop).unwrap_err().chain().starts_with("host answered 'xxx"));
    let (machine, _there) = sender(Vec::new(), false, HASTE);
    assert_eq!(machine.map(drop).unwrap_err().chain(), "host has not answered for 0 s");
}

/// What a push of an item to a far end that says these bytes fails with.
fn upload_error(said: &[u8]) -> String {
    let (machine, _there) = sender(greeted(said), true, CALM);
    let machine = machine.unwrap();
    let items = [object(ObjectType::DirMeta, b"x")];
    let load = |_: &Item| -> Result<crate::push::Body> { Ok(Box::new(&b"x"[..])) };
    let uploaded = machine.upload(&Batch { items: &items, load: &load, done: &|_, _| () });
    uploaded.unwrap_err().chain()
}

#[test]
fn a_hostile_far_end_is_an_error_and_no_harm() {
    let refused = frames(&[(Kind::Refused, none().text("no\u{1b}[2J").unwrap())]);
    for (said, expected) in [
        (refused.clone(), "host: no\\u{1b}[2J"),
        (Vec::new(), "host ended the connection (no answer)"),
        (b"W\0\0".to_vec(), "host ended in the middle"),
        (frame(Kind::Wanted, &[0; 9]), "Wanted is no answer to that"),
        (frame(Kind::Kept, &none().small_number(1).number(1).0), "Kept is no answer to that"),
        (frame(Kind::Kept, &[]), "a frame is too short"),
        (frame(Kind::Missing, &[]), "Missing is no answer to that"),
        ([frame(Kind::Wanted, &[1]), refused].concat(), "host: no\\u{1b}[2J"),
        ([frame(Kind::Wanted, &[1]), frame(Kind::Wanted, &[1])].concat(), "Wanted is no answer"),
    ] {
        let error = upload_error(&said);
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let ask = |said: &[u8]| sender(greeted(said), true, CALM).0.unwrap();
    let names = frames(&[(Kind::Names, none().text("../x").unwrap())]);
    assert!(ask(&names).list_refs().unwrap_err().chain().contains("Invalid ref name ../x"));
    let endless = frame(Kind::Names, &[]);
    assert!(ask(&endless).list_refs().unwrap_err().chain().contains("Names is no answer"));
    let objects = frame(Kind::Names, &[9; 33]);
    let error = ask(&objects).list_objects(&mut |_| ()).unwrap_err().chain();
    assert!(error.contains("there are no objects of type 9"), "{error}");
    let stored = |size: u64, bytes: &[u8]| {
        let header = none().text("v").unwrap().number(size);
        frames(&[(Kind::Stored, header), (Kind::Bytes, Payload(bytes.into()))])
    };
    for (said, expected) in [
        (stored(u64::MAX, b""), "summary is larger than 10 bytes"),
        (stored(5, b"123456"), "summary is longer than announced"),
        (stored(5, b""), "Bytes is no answer"),
        (stored(5, b"1234"), "host ended the connection"),
    ] {
        let error = ask(&said).read(&["summary".to_owned()], 10).unwrap_err().chain();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    // It is over then.
    let machine = ask(&frame(Kind::Kept, &[]));
    assert!(machine.hold().is_err());
    let error = machine.hold().map(drop).unwrap_err().chain();
    assert_eq!(error, "the connection to host is closed");
}

#[test]
fn a_far_end_that_is_only_alive_is_not_waited_for_for_ever() {
    let said = greeted(&frame(Kind::Alive, &[]));
    let (machine, mut there) = sender(said, false, HASTE);
    let machine = machine.unwrap();
    let alive = thread::spawn(move || {
        while there.write_all(&frame(Kind::Alive, &[])).is_ok() {
            thread::sleep(Duration::from_millis(10));
        }
    });
    let error = machine.list_refs().unwrap_err().chain();
    assert_eq!(error, "host has been busy for more than 0 s");
    drop(machine);
    alive.join().unwrap();
}

#[test]
fn a_slow_end_is_waited_for_as_long_as_it_is_alive() {
    let directory = tempfile::tempdir().unwrap();
    let silence = Duration::from_secs(2);
    let patient = Patience { silence, beat: Duration::from_millis(100), ..CALM };
    let (here, serving) = far_end(&directory.path().join("repo"), patient);
    let peer = Peer::new("host", patient);
    let output = Output::of_own_pipe(file(here.try_clone().unwrap()), peer.clone()).unwrap();
    let connection = Connection::begin(Input::new(file(here), peer), output, None).unwrap();
    let machine = Machine::over("name".to_owned(), connection);
    let config = new_config(None);
    assert_eq!(machine.put_if("config", config.as_bytes(), &Expected::Absent).unwrap(), Put::Done);
    assert!(machine.list_refs().unwrap().is_empty());
    let items = [object(ObjectType::DirMeta, b"x")];
    let load = |_: &Item| -> Result<crate::push::Body> {
        // Longer than either would wait for one that is gone.
        thread::sleep(silence * 5 / 4);
        Err(crate::Error::failed("cannot be loaded"))
    };
    let uploaded = machine.upload(&Batch { items: &items, load: &load, done: &|_, _| () });
    assert_eq!(uploaded.unwrap_err().chain(), "cannot be loaded");
    assert_eq!(serving.join().unwrap().unwrap(), Received::Abandoned);
}
