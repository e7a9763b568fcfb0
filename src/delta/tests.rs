//! Parts made by hand, right and wrong.

use std::io::{self, Read};

use super::machine::execute;
use super::payload::{PartBytes, read};
use super::{PartStats, apply_part};
use crate::checksum::{Checksum, Hasher};
use crate::delta_format::{
    Mode, ObjectList, Operation, PartHeader, PatchRecord, Payload, PayloadWriter, Slice,
};
use crate::object::{DirMeta, FileHeader, ObjectName, ObjectType, Xattrs};
use crate::progress::Silent;
use crate::repo::{FileReader, OpenOptions, Repo, RepoMode, Transaction};

const FILE_MODE: u32 = 0o100_644;

fn header(mode: u32, target: &str) -> FileHeader {
    FileHeader { uid: 0, gid: 0, mode, symlink_target: target.to_owned(), xattrs: Xattrs::new() }
}

fn named(header: &FileHeader, content: &[u8]) -> ObjectName {
    let mut hasher = Hasher::new();
    hasher.update(&header.content_header());
    hasher.update(content);
    ObjectName::new(hasher.finish(), ObjectType::File)
}

fn file(content: &[u8]) -> ObjectName {
    named(&header(FILE_MODE, ""), content)
}

/// A repository with one file, whose content is `old`.
struct Place {
    repo: Repo,
    source: ObjectName,
    _folder: tempfile::TempDir,
}

const OLD: &[u8] = b"the old content of a file";

impl Place {
    fn new(mode: RepoMode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("repo");
        Repo::create(&path, mode, None).unwrap();
        let options = OpenOptions { disable_fsync: true, ..OpenOptions::default() };
        let repo = Repo::open_with(&path, &options).unwrap();
        let transaction = Transaction::begin(&repo).unwrap();
        transaction.write_bytes(&header(FILE_MODE, ""), OLD).unwrap();
        transaction.commit().unwrap();
        Self { repo, source: file(OLD), _folder: folder }
    }

    /// Executes a part for these objects, with mode 0 and xattrs 0, and the name of the old file at
    /// the beginning of the blob.
    fn run(
        &self,
        objects: &[ObjectName],
        fill: impl FnOnce(&mut PayloadWriter),
    ) -> Result<PartStats, String> {
        let mut part = PayloadWriter::default();
        part.mode(Mode { uid: 0, gid: 0, mode: FILE_MODE });
        part.xattrs(&Xattrs::new());
        part.append(self.source.checksum.as_bytes());
        fill(&mut part);
        let transaction = Transaction::begin(&self.repo).unwrap();
        let list = ObjectList::encode(objects);
        let bytes = part.encode();
        let list = ObjectList::decode(&list).unwrap();
        let result = execute(&transaction, list, &Payload::new(&bytes), &Silent);
        match result {
            Ok(stats) => {
                transaction.commit().unwrap();
                Ok(stats)
            }
            Err(error) => {
                transaction.abort(Some(&error));
                Err(error.chain())
            }
        }
    }

    fn content(&self, name: &ObjectName) -> Vec<u8> {
        let mut content = Vec::new();
        let object = self.repo.load_file(&name.checksum).unwrap();
        FileReader::new(object).read_to_end(&mut content).unwrap();
        content
    }
}

fn open(size: u64) -> Operation {
    Operation::Open { mode: 0, xattrs: 0, size }
}

const SET: Operation = Operation::SetReadSource { offset: 0 };

fn all(operations: &[Operation]) -> impl FnOnce(&mut PayloadWriter) {
    move |part| operations.iter().for_each(|operation| part.push(*operation))
}

#[test]
fn every_operation_does_its_work_in_every_mode() {
    for mode in [RepoMode::BareUserOnly, RepoMode::Archive] {
        let place = Place::new(mode);
        let dirmeta = DirMeta { uid: 0, gid: 0, mode: 0o40_755, xattrs: Xattrs::new() }.encode();
        let directory = ObjectName::new(Checksum::of(&dirmeta), ObjectType::DirMeta);
        let plain = file(b"plain content");
        let rolled = file(b"new the old of a file!");
        let patched = file(b"The old CONTENT of a file...");
        let link = named(&header(0o120_777, "target"), b"");
        let names = [directory, plain, rolled, patched, link];
        let stats = place.run(&names, |part| {
            let slice = part.append(&dirmeta);
            part.push(Operation::Metadata(slice));
            let content = part.append(b"plain content");
            part.push(Operation::File { mode: 0, xattrs: 0, content });
            part.push(open(22));
            let slice = part.append(b"new ");
            part.push(Operation::Write(slice));
            part.push(SET);
            part.push(Operation::Write(Slice { offset: 0, length: 7 }));
            part.push(Operation::Write(Slice { offset: 15, length: 10 }));
            part.push(Operation::UnsetReadSource);
            let slice = part.append(b"!");
            part.push(Operation::Write(slice));
            part.push(Operation::Close);
            part.push(SET);
            part.push(open(28));
            let mut patch = Vec::new();
            let old = b"the old content of a file\0\0\0";
            let new = b"The old CONTENT of a file...";
            let diff: Vec<u8> =
                new.iter().zip(old).map(|(new, old)| new.wrapping_sub(*old)).collect();
            PatchRecord { old_position: 0, diff: &diff[..8], extra: b"" }
                .encode_into(0, &mut patch);
            PatchRecord { old_position: 0, diff: &[], extra: &new[8..15] }
                .encode_into(7, &mut patch);
            PatchRecord { old_position: 0, diff: &diff[15..], extra: b"" }
                .encode_into(0, &mut patch);
            let slice = part.append(&patch);
            part.push(Operation::Patch(slice));
            part.push(Operation::Close);
            part.push(Operation::UnsetReadSource);
            let mode = part.mode(Mode { uid: 0, gid: 0, mode: 0o120_777 });
            let content = part.append(b"target");
            part.push(Operation::File { mode, xattrs: 0, content });
        });
        let expected =
            PartStats { metadata_objects: 1, content_objects: 4, content_bytes: 13 + 22 + 28 };
        assert_eq!(stats, Ok(expected), "{mode}");
        assert_eq!(place.content(&plain), b"plain content");
        assert_eq!(place.content(&rolled), b"new the old of a file!");
        assert_eq!(place.content(&patched), b"The old CONTENT of a file...");
        let symlink = place.repo.load_file(&link.checksum).unwrap();
        assert_eq!(symlink.header.symlink_target, "target");
        assert_eq!(*place.repo.load_metadata(&directory).unwrap(), *dirmeta);
    }
}

/// The last of these parts reads a file that it makes itself, so it cannot be made in any order.
#[test]
fn many_objects_become_the_same_in_parallel() {
    let place = Place::new(RepoMode::BareUserOnly);
    let contents: Vec<Vec<u8>> =
        (0..4200).map(|number| format!("content {number}").into_bytes()).collect();
    let names: Vec<ObjectName> = contents.iter().map(|content| file(content)).collect();
    let stats = place.run(&names, |part| {
        for content in &contents {
            let content = part.append(content);
            part.push(Operation::File { mode: 0, xattrs: 0, content });
        }
    });
    let bytes = contents.iter().map(|content| content.len() as u64).sum();
    let expected = PartStats { metadata_objects: 0, content_objects: 4200, content_bytes: bytes };
    assert_eq!(stats, Ok(expected));
    assert_eq!(place.content(&names[4199]), b"content 4199");
    // The first of several errors is the one that is reported.
    let wrong = [file(b"a"), file(b"b"), file(b"c")];
    let error = place.run(&wrong, |part| {
        for content in [b"a", b"x", b"y"] {
            let content = part.append(content);
            part.push(Operation::File { mode: 0, xattrs: 0, content });
        }
    });
    let expected = format!("expected='{}'", wrong[1].checksum);
    assert!(error.as_ref().unwrap_err().contains(&expected), "{error:?}");
    // It is large, so that another thread would not wait for it.
    let large = b"made here".repeat(1 << 20);
    let [base, copy] = [file(&large), file(b"made")];
    let stats = place.run(&[base, copy], |part| {
        let content = part.append(&large);
        part.push(Operation::File { mode: 0, xattrs: 0, content });
        let name = part.append(base.checksum.as_bytes());
        part.push(Operation::SetReadSource { offset: name.offset });
        part.push(open(4));
        part.push(Operation::Write(Slice { offset: 0, length: 4 }));
        part.push(Operation::Close);
    });
    assert_eq!(stats.unwrap().content_objects, 2);
    assert_eq!(place.content(&copy), b"made");
}

#[test]
fn a_read_source_stays_set_until_a_file_is_closed() {
    let place = Place::new(RepoMode::BareUserOnly);
    let names = [file(b"whole"), file(b"the old"), file(b"blob")];
    let stats = place.run(&names, |part| {
        part.push(SET);
        let content = part.append(b"whole");
        part.push(Operation::File { mode: 0, xattrs: 0, content });
        part.push(open(7));
        part.push(Operation::Write(Slice { offset: 0, length: 7 }));
        part.push(Operation::Close);
        let slice = part.append(b"blob");
        part.push(open(4));
        part.push(Operation::Write(slice));
        part.push(Operation::Close);
        part.push(Operation::UnsetReadSource);
    });
    assert_eq!(stats.map(|stats| stats.content_objects), Ok(3));
}

#[test]
fn objects_that_are_there_are_passed_over() {
    let place = Place::new(RepoMode::BareUserOnly);
    let other = file(b"x");
    let nowhere = Slice { offset: 0, length: u64::MAX };
    let operations =
        [open(5), Operation::Write(nowhere), SET, Operation::Patch(nowhere), Operation::Close];
    let stats = place.run(&[place.source, other], |part| {
        operations.iter().for_each(|operation| part.push(*operation));
        let content = part.append(b"x");
        part.push(Operation::File { mode: 0, xattrs: 0, content });
    });
    let expected = PartStats { content_objects: 1, content_bytes: 1, ..PartStats::default() };
    assert_eq!(stats, Ok(expected));
}

#[test]
fn operations_that_upstream_stops_at_or_worse_are_errors() {
    let place = Place::new(RepoMode::BareUserOnly);
    let new = file(b"new");
    let directory = ObjectName::new(Checksum::of(b""), ObjectType::DirMeta);
    let wrong = Checksum::of(b"wrong");
    let (write, close) = (Operation::Write(Slice { offset: 0, length: 3 }), Operation::Close);
    let whole = |content| Operation::File { mode: 0, xattrs: 0, content };
    let content = Slice { offset: 0, length: 32 };
    let name = file(place.source.checksum.as_bytes());
    let table: &[(&[ObjectName], &[Operation], String)] = &[
        (
            &[new],
            &[whole(Slice { offset: 1, length: 32 })],
            "opcode open-splice-and-close: Invalid offset/length 1/32".to_owned(),
        ),
        (
            &[directory],
            &[Operation::Metadata(Slice { offset: u64::MAX, length: 2 })],
            format!("opcode open-splice-and-close: Invalid offset/length {}/2", u64::MAX),
        ),
        (
            &[directory],
            &[Operation::Metadata(content)],
            format!(
                "opcode open-splice-and-close: Corrupted dirmeta object; checksum expected='{}' actual='{}'",
                directory.checksum,
                Checksum::of(place.source.checksum.as_bytes())
            ),
        ),
        (
            &[new],
            &[whole(content)],
            format!(
                "opcode open-splice-and-close: opcode close: Corrupted file object; checksum \
                expected='{}' actual='{}'",
                new.checksum, name.checksum
            ),
        ),
        (
            &[new],
            &[Operation::Open { mode: 1, xattrs: 0, size: 3 }],
            "opcode open: Invalid mode index 1".to_owned(),
        ),
        (
            &[new],
            &[Operation::Open { mode: 0, xattrs: 7, size: 3 }],
            "opcode open: Invalid xattr index 7".to_owned(),
        ),
        (&[], &[open(3)], "opcode open: Object list exhausted".to_owned()),
        (&[new], &[open(3), open(3)], "opcode open: Output file already open".to_owned()),
        (
            &[new],
            &[open(3), whole(content)],
            "opcode open-splice-and-close: Output file already open".to_owned(),
        ),
        (&[new], &[write], "opcode write: No output file open".to_owned()),
        (&[new], &[close], "opcode close: No output file open".to_owned()),
        (&[new], &[Operation::Patch(content)], "No output file open".to_owned()),
        (&[new], &[open(3), Operation::Patch(content)], "bsdiff patch failed".to_owned()),
        (&[new], &[SET, open(3), Operation::Patch(content)], "bsdiff patch failed".to_owned()),
        (
            &[new],
            &[SET, open(3), Operation::Patch(Slice { offset: 33, length: 0 })],
            "Invalid offset/length 33/0".to_owned(),
        ),
        (
            &[new],
            &[SET, open(u64::MAX >> 1), Operation::Patch(content)],
            "bsdiff patch failed".to_owned(),
        ),
        (
            &[new],
            &[open(3), write, close],
            format!(
                "opcode close: Corrupted file object; checksum expected='{}' actual='{}'",
                new.checksum,
                file(&place.source.checksum.as_bytes()[..3]).checksum
            ),
        ),
        (
            &[new],
            &[open(3), Operation::Write(Slice { offset: 30, length: 3 })],
            "opcode write: Invalid offset/length 30/3".to_owned(),
        ),
        (
            &[new],
            &[SET, open(3), Operation::Write(Slice { offset: 24, length: 2 })],
            format!("opcode write: Unexpected EOF reading object {}", place.source.checksum),
        ),
        (
            &[new],
            &[SET, open(3), Operation::Write(Slice { offset: u64::MAX, length: 2 })],
            format!("opcode write: Unexpected EOF reading object {}", place.source.checksum),
        ),
        (
            &[new],
            &[Operation::SetReadSource { offset: 1 }],
            "opcode set-read-source: Invalid offset/length 1/32".to_owned(),
        ),
        (&[directory], &[open(3)], format!("opcode open: {directory} is not a file")),
    ];
    for (objects, operations, message) in table {
        // What would take all space is refused for that.
        let found = place.run(objects, all(operations)).unwrap_err();
        let is_full = found.starts_with("opcode open: min-free-space");
        assert!(found == *message || is_full, "{operations:?}\n{found}\n{message}");
        assert!(!place.repo.has_object(&new).unwrap());
    }
    let found = place.run(&[new], |part| {
        let name = part.append(wrong.as_bytes());
        part.push(Operation::SetReadSource { offset: name.offset });
    });
    let message = format!(
        "opcode set-read-source: Opening content object {wrong}: Couldn't find file object '{wrong}'"
    );
    assert_eq!(found, Err(message));
    let found = place.run(&[new], |part| {
        let mode = part.mode(Mode { uid: 0, gid: 0, mode: 0o20_644 });
        part.push(Operation::Open { mode, xattrs: 0, size: 0 });
    });
    assert_eq!(found, Err("opcode open: Invalid mode 8612".to_owned()));
    let found = place.run(&[new], |part| {
        let mode = part.mode(Mode { uid: 0, gid: 0, mode: 0o120_777 });
        let content = part.append(b"a\0b");
        part.push(Operation::File { mode, xattrs: 0, content });
    });
    let message = "opcode open-splice-and-close: Invalid UTF-8 in symlink target";
    assert_eq!(found, Err(message.to_owned()));
}

#[test]
fn a_file_that_is_not_closed_is_no_object_and_leaves_nothing() {
    let place = Place::new(RepoMode::BareUserOnly);
    let new = file(b"");
    assert_eq!(place.run(&[new], all(&[open(0)])), Ok(PartStats::default()));
    assert!(!place.repo.has_object(&new).unwrap());
    assert_eq!(place.repo.list_objects().unwrap(), [place.source]);
}

#[test]
fn the_size_announced_binds_only_archives() {
    let new = file(b"new");
    let longer = |part: &mut PayloadWriter| {
        let content = part.append(b"new");
        part.push(open(1));
        part.push(Operation::Write(content));
        part.push(Operation::Close);
    };
    let place = Place::new(RepoMode::BareUserOnly);
    place.run(&[new], longer).unwrap();
    assert_eq!(place.content(&new), b"new");
    let found = Place::new(RepoMode::Archive).run(&[new], longer).unwrap_err();
    assert_eq!(found, format!("opcode close: {new} has 3 bytes where 1 were announced"));
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(vec![b'x'], options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn part_header(part: &[u8]) -> PartHeader<'static> {
    PartHeader {
        version: 0,
        checksum: Checksum::of(part),
        size: part.len() as u64,
        content_size: 0,
        objects: ObjectList::default(),
    }
}

#[test]
fn parts_are_verified_and_decompressed() {
    let place = Place::new(RepoMode::Archive);
    let decoded = |part: &[u8], header: &PartHeader<'_>| {
        let read = read(&place.repo, header, PartBytes::File(&mut &part[..]));
        read.map(|bytes| bytes.to_vec()).map_err(|error| error.chain())
    };
    let whole = |part: &[u8]| decoded(part, &part_header(part));
    assert_eq!(whole(&xz(b"payload")), Ok(b"payload".to_vec()));
    assert_eq!(whole(b"\0payload"), Ok(b"payload".to_vec()));
    assert_eq!(whole(b""), Ok(Vec::new()));
    let message = |part: &[u8]| whole(part).unwrap_err();
    assert_eq!(message(b"gpayload"), "Invalid compression type '103'");
    assert_eq!(message(b"xpayload is no xz stream"), "File format not recognized");
    let good = xz(&b"payload".repeat(1000));
    assert_eq!(message(&good[..good.len() - 20]), "Input buffer too small");
    assert_eq!(
        message(&[&good[..], b"more"].concat()),
        "Delta part has bytes behind its xz stream"
    );
    let mut corrupt = good.clone();
    corrupt[40] ^= 0xff;
    assert_eq!(message(&corrupt), "Data is corrupt");
    // A wrong checksum is reported before anything that is wrong inside.
    let header = part_header(&good);
    let expected = format!(
        "Checksum mismatch in static delta part; expected={} actual={}",
        header.checksum,
        Checksum::of(&corrupt)
    );
    assert_eq!(decoded(&corrupt, &header), Err(expected));
    // An inlined part has no checksum of its own.
    let inlined = read(&place.repo, &part_header(b""), PartBytes::Inlined(&good)).unwrap();
    assert_eq!(*inlined, *b"payload".repeat(1000));
}

#[test]
fn a_decoder_that_wants_much_memory_is_refused() {
    let place = Place::new(RepoMode::Archive);
    let mut options = lzma_rust2::XzOptions::with_preset(1);
    options.lzma_options.dict_size = 128 << 20;
    let part = {
        use std::io::Write;
        let mut writer = lzma_rust2::XzWriter::new(vec![b'x'], options).unwrap();
        writer.write_all(b"payload").unwrap();
        writer.finish().unwrap()
    };
    let error = read(&place.repo, &part_header(&part), PartBytes::Inlined(&part)).unwrap_err();
    assert_eq!(error.chain(), "Exceeded memory limit");
}

#[test]
fn a_payload_may_be_larger_than_its_objects_but_not_without_end() {
    let place = Place::new(RepoMode::Archive);
    let part = xz(&vec![0; 3 << 20]);
    let mut header = part_header(&part);
    let error = read(&place.repo, &header, PartBytes::Inlined(&part)).unwrap_err().chain();
    assert!(error.starts_with("Delta part has more than 1"), "{error}");
    header.content_size = 1 << 20;
    // It goes through a file, which has no name any more.
    let bytes = read(&place.repo, &header, PartBytes::Inlined(&part)).unwrap();
    assert!(matches!(bytes, crate::map::FileBytes::Mapped(_)));
    assert!(bytes.len() == 3 << 20 && bytes.iter().all(|byte| *byte == 0));
    let tmp = std::fs::read_dir(place.repo.path().join("tmp")).unwrap();
    let names = tmp.map(|entry| entry.unwrap().file_name()).filter(|name| name != "cache");
    assert_eq!(names.count(), 0);
}

#[test]
fn a_reader_that_fails_is_not_taken_for_a_broken_part() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the connection is gone"))
        }
    }
    let place = Place::new(RepoMode::Archive);
    let good = xz(b"payload");
    for cut in [0, 1, 20] {
        let mut reader = (&good[..cut]).chain(Broken);
        let transaction = Transaction::begin(&place.repo).unwrap();
        let header = part_header(&good);
        let error = apply_part(&transaction, &header, PartBytes::File(&mut reader)).unwrap_err();
        assert_eq!(error.chain(), "reading a static delta part: the connection is gone");
    }
}
