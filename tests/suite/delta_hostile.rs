//! Deltas made to do harm, by table: every length and offset at its limits, every byte changed,
//! every cut, and much of everything. Each is refused or does what it says, without a panic, and
//! what is refused leaves nothing behind.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use osier::Checksum;
use osier::delta::{self, ApplyOptions, DeltaDescription, Envelope, PartBytes};
use osier::delta_format::{
    Compression, DeltaIndex, ENDIANNESS, Mode, ObjectList, Operation, PART_TYPE, PartHeader,
    PayloadWriter, Slice, Superblock,
};
use osier::gvariant::{Type, Value, Variant};
use osier::object::{FileHeader, ObjectName, ObjectType, Xattrs};
use osier::progress::Silent;
use osier::repo::{Repo, RepoMode, Transaction};

use crate::support::{golden, osier, scratch};

const OLD: &[u8] = b"the old content of a file";
/// What no part makes: what an earlier part has staged counts as there.
const NEVER: &[u8] = b"never made";

/// Values that offsets, lengths, sizes and numbers may have; `limit` is the first that is too much.
fn limits(limit: u64) -> Vec<u64> {
    let mut values = vec![0, 1, limit.saturating_sub(1), limit, limit + 1];
    for power in [31, 32, 62, 63] {
        values.extend([(1 << power) - 1, 1 << power, (1 << power) + 1]);
    }
    values.extend([u64::MAX - limit, u64::MAX - limit + 1, u64::MAX - 1, u64::MAX]);
    values.sort_unstable();
    values.dedup();
    values
}

fn file(content: &[u8]) -> ObjectName {
    let header = header();
    ObjectName::new(Checksum::of(&[&header.content_header(), content].concat()), ObjectType::File)
}

fn header() -> FileHeader {
    let (symlink_target, xattrs) = (String::new(), Xattrs::new());
    FileHeader { uid: 0, gid: 0, mode: 0o100_644, symlink_target, xattrs }
}

/// A repository with one file.
struct Place {
    repo: Repo,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let directory = scratch();
        let path = directory.path().join("repo");
        let repo = Repo::create(&path, RepoMode::BareUserOnly, None).unwrap();
        let transaction = Transaction::begin(&repo).unwrap();
        transaction.write_bytes(&header(), OLD).unwrap();
        transaction.commit().unwrap();
        Self { repo, directory }
    }

    /// Executes a part for these objects: `Ok`, or the message. Nothing of it stays.
    fn part(&self, objects: &[ObjectName], part: &[u8]) -> Result<(), String> {
        let list = ObjectList::encode(objects);
        let objects = ObjectList::decode(&list).unwrap();
        let (checksum, size) = (Checksum::of(part), part.len() as u64);
        let header = PartHeader { version: 0, checksum, size, content_size: 0, objects };
        let transaction = Transaction::begin(&self.repo).unwrap();
        let applied = delta::apply_part(&transaction, &header, PartBytes::File(&mut &*part));
        let applied = applied.map(drop).map_err(|error| error.chain());
        transaction.abort(None);
        applied
    }

    /// The same with the name of the old file at the beginning of the blob, then `blob`, with one
    /// mode and one set of xattrs.
    fn operations(
        &self,
        objects: &[ObjectName],
        blob: &[u8],
        operations: &[Operation],
    ) -> Result<(), String> {
        let mut payload = PayloadWriter::default();
        payload.mode(Mode { uid: 0, gid: 0, mode: 0o100_644 });
        payload.xattrs(&Xattrs::new());
        payload.append(file(OLD).checksum.as_bytes());
        payload.append(blob);
        operations.iter().for_each(|operation| payload.push(*operation));
        self.part(objects, &[&[Compression::None.byte()], &payload.encode()[..]].concat())
    }

    fn assert_untouched(&self) {
        assert_eq!(self.repo.list_objects().unwrap(), [file(OLD)]);
    }
}

const SET: Operation = Operation::SetReadSource { offset: 0 };

fn begin(size: u64) -> Operation {
    Operation::Open { mode: 0, xattrs: 0, size }
}

#[test]
fn every_slice_at_the_limits_is_taken_or_refused_by_its_name() {
    let place = Place::new();
    // 32 bytes are the name of the old file.
    let blob: Vec<u8> = (0..40).collect();
    let length = 32 + blob.len() as u64;
    let all = [file(OLD).checksum.as_bytes(), &blob[..]].concat();
    for offset in limits(length) {
        for size in limits(length) {
            let end = offset.checked_add(size).filter(|end| *end <= length);
            let slice = Slice { offset, length: size };
            let content = end.map(|end| &all[offset as usize..end as usize]);
            let name = file(content.unwrap_or(NEVER));
            let whole = Operation::File { mode: 0, xattrs: 0, content: slice };
            let range = format!("Invalid offset/length {offset}/{size}");
            let expected = |opcode: &str| match content {
                Some(_) => Ok(()),
                None => Err(format!("opcode {opcode}: {range}")),
            };
            let run = |operations: &[Operation]| place.operations(&[name], &blob, operations);
            assert_eq!(run(&[whole]), expected("open-splice-and-close"), "{slice:?}");
            let write = [begin(size), Operation::Write(slice), Operation::Close];
            if content.is_some() || size < 1 << 31 {
                assert_eq!(run(&write), expected("write"), "{slice:?}");
            }
            // A patch of that slice makes nothing, so only the range matters.
            let empty = [SET, begin(0), Operation::Patch(slice), Operation::Close];
            let patched = if content.is_some() { file(b"") } else { file(NEVER) };
            let patched = place.operations(&[patched], &blob, &empty);
            assert_eq!(patched, content.map(drop).ok_or(range), "{slice:?}");
            let dirmeta = ObjectName::new(Checksum::of(b""), ObjectType::DirMeta);
            let metadata = place.operations(&[dirmeta], &blob, &[Operation::Metadata(slice)]);
            assert!(metadata.is_err_and(|error| error.contains(match content {
                Some(_) => "dirmeta",
                None => "Invalid offset/length",
            })));
            // Of the read source, which is shorter.
            let old = OLD.len() as u64;
            let read = offset.checked_add(size).filter(|end| *end <= old);
            let content = read.map(|end| &OLD[offset as usize..end as usize]);
            if content.is_some() || size < 1 << 31 {
                let [begin, write, close] = write;
                let copied = place.operations(
                    &[file(content.unwrap_or(NEVER))],
                    &blob,
                    &[SET, begin, write, close],
                );
                let message =
                    format!("opcode write: Unexpected EOF reading object {}", file(OLD).checksum);
                // What is there already is not written.
                let is_old = content == Some(OLD);
                assert!(copied == content.map(drop).ok_or(message) || is_old, "{slice:?}");
            }
        }
        let set = place.operations(&[], &blob, &[Operation::SetReadSource { offset }]);
        let fits = offset.checked_add(32).is_some_and(|end| end <= length);
        let expected = match (offset, fits) {
            (0, _) => Ok(()),
            (_, true) => {
                let name = Checksum::from_slice(&all[offset as usize..][..32]).unwrap();
                Err(format!(
                    "opcode set-read-source: Opening content object {name}: Couldn't find file \
                     object '{name}'"
                ))
            }
            (_, false) => Err(format!("opcode set-read-source: Invalid offset/length {offset}/32")),
        };
        assert_eq!(set, expected, "{offset}");
    }
    for index in limits(1).into_iter().filter(|index| *index > 0) {
        let content = Slice { offset: 0, length: 0 };
        for (mode, xattrs, what) in [(index, 0, "mode"), (0, index, "xattr")] {
            let message = format!("Invalid {what} index {index}");
            for (opcode, operation) in [
                ("open-splice-and-close", Operation::File { mode, xattrs, content }),
                ("open", Operation::Open { mode, xattrs, size: 0 }),
            ] {
                let found = place.operations(&[file(b"")], &blob, &[operation]);
                assert_eq!(found, Err(format!("opcode {opcode}: {message}")));
            }
        }
    }
    place.assert_untouched();
}

/// The numbers of a patch's record.
fn record(numbers: [u64; 3], bytes: &[u8]) -> Vec<u8> {
    [&numbers.map(u64::to_le_bytes).concat(), bytes].concat()
}

#[test]
fn every_number_of_a_patch_at_its_limits_makes_what_it_says_or_fails() {
    let place = Place::new();
    let old = OLD.len() as u64;
    let numbers = limits(old);
    let bytes = [0; 64];
    let apply = |patch: &[u8], size: u64, content: &[u8]| {
        let slice = Slice { offset: 32, length: patch.len() as u64 };
        let operations = [SET, begin(size), Operation::Patch(slice), Operation::Close];
        place.operations(&[file(content)], patch, &operations)
    };
    let failed = || Err("bsdiff patch failed".to_owned());
    // There is a negative zero.
    let length = |number: u64| if number == 1 << 63 { 0 } else { number };
    let old_at = |place: i128| {
        usize::try_from(place).ok().and_then(|place| OLD.get(place)).copied().unwrap_or(0)
    };
    for diff in &numbers {
        for extra in [0, 1, old, 1 << 31, 1 << 63, 1 << 63 | 1, u64::MAX] {
            let fits = |length: u64| length <= bytes.len() as u64;
            let size = 26;
            // The old file's beginning, then zeros.
            let lengths = [length(*diff), length(extra)];
            let is_made =
                lengths.iter().all(|length| fits(*length)) && lengths.iter().sum::<u64>() == size;
            let of_old = 0..lengths[0].min(64);
            let mut content: Vec<u8> = of_old.map(|at| old_at(at.into())).collect();
            content.resize(26, 0);
            if !is_made {
                content = NEVER.to_vec();
            }
            let used = if is_made { &bytes[..size as usize] } else { &bytes[..] };
            let found = apply(&record([*diff, extra, 0], used), size, &content);
            assert_eq!(found, if is_made { Ok(()) } else { failed() }, "{diff} {extra}");
        }
        // As a seek, with one byte before and two behind it.
        for sign in [0, 1 << 63] {
            let magnitude = diff & !(1 << 63);
            let seek = magnitude | sign;
            let step = i128::from(magnitude) * if sign == 0 { 1 } else { -1 };
            let patch = [record([1, 0, seek], &[0]), record([2, 0, 0], &[0, 0])].concat();
            let position = 1 + step;
            let content = [OLD[0], old_at(position), old_at(position + 1)];
            let is_made = i64::try_from(position).is_ok();
            // The position behind the last record matters, too.
            let is_made = is_made && i64::try_from(position + 2).is_ok();
            let found = apply(&patch, 3, if is_made { &content } else { NEVER });
            let expected = if is_made { Ok(()) } else { failed() };
            assert_eq!(found, expected, "{seek:#x}");
        }
        // As the size of the new file.
        let found = apply(&record([2, 0, 0], &[0, 0]), *diff, NEVER);
        match *diff {
            2 => unreachable!("it is none of the limits"),
            0 => assert!(found.unwrap_err().contains("Corrupted file object")),
            size if isize::try_from(size).is_err() => {
                let message =
                    format!("Invalid content size {size} in static delta bspatch operation");
                assert!(
                    found == Err(message) || found.unwrap_err().contains("min-free-space"),
                    "{size}"
                );
            }
            _ => assert!(
                matches!(&found, Err(error) if error == "bsdiff patch failed" || error.contains("min-free-space")),
                "{diff}: {found:?}"
            ),
        }
    }
    place.assert_untouched();
}

/// A part that makes a file of each kind, and the objects.
fn small_part() -> (Vec<ObjectName>, Vec<u8>) {
    let mut payload = PayloadWriter::default();
    let mode = payload.mode(Mode { uid: 0, gid: 0, mode: 0o100_644 });
    let link = payload.mode(Mode { uid: 0, gid: 0, mode: 0o120_777 });
    let xattrs = payload.xattrs(&Xattrs::new());
    payload.append(file(OLD).checksum.as_bytes());
    let content = payload.append(b"whole");
    payload.push(Operation::File { mode, xattrs, content });
    let content = payload.append(b"target");
    payload.push(Operation::File { mode: link, xattrs, content });
    payload.push(SET);
    payload.push(begin(7));
    payload.push(Operation::Write(Slice { offset: 0, length: 7 }));
    payload.push(Operation::Close);
    let symlink = FileHeader { mode: 0o120_777, symlink_target: "target".to_owned(), ..header() };
    let symlink = ObjectName::new(Checksum::of(&symlink.content_header()), ObjectType::File);
    (vec![file(b"whole"), symlink, file(&OLD[..7])], payload.encode())
}

/// Each byte with some other values, and each beginning.
fn broken(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let changed = (0..bytes.len()).flat_map(move |place| {
        let values = [0, 1, 0x7f, 0x80, 0xff, bytes[place] ^ 1, bytes[place] ^ 0x20];
        values.into_iter().filter(move |value| *value != bytes[place]).map(move |value| {
            let mut bytes = bytes.to_vec();
            bytes[place] = value;
            bytes
        })
    });
    changed.chain((0..bytes.len()).map(|length| bytes[..length].to_vec()))
}

#[test]
fn a_payload_with_any_byte_changed_or_cut_anywhere_stores_nothing_wrong() {
    let place = Place::new();
    let (objects, payload) = small_part();
    let part = |payload: &[u8]| [&[Compression::None.byte()], payload].concat();
    assert_eq!(place.part(&objects, &part(&payload)), Ok(()));
    let mut refused = 0;
    for payload in broken(&payload) {
        // What is made has the name in the list, or nothing is.
        refused += usize::from(place.part(&objects, &part(&payload)).is_err());
    }
    assert!(refused > 0);
    place.assert_untouched();
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(vec![Compression::Xz.byte()], options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

#[test]
fn an_xz_stream_with_any_byte_changed_or_cut_anywhere_is_refused() {
    let place = Place::new();
    let (objects, payload) = small_part();
    let part = xz(&payload);
    assert_eq!(place.part(&objects, &part), Ok(()));
    for (number, broken) in broken(&part).enumerate() {
        let found = place.part(&objects, &broken);
        // Without its only byte it is a part of nothing, and so it is one that is not compressed.
        let is_nothing = broken.is_empty() || broken[0] == 0;
        assert!(found.is_err() || is_nothing, "{number}: {broken:02x?}");
    }
    place.assert_untouched();
}

/// A stream whose one block never ends: 2 MiB of zeros, again and again.
fn bomb(times: usize) -> Vec<u8> {
    let stream = xz(&vec![0; 4 << 20]);
    let header = 13;
    let block = header + (usize::from(stream[header]) + 1) * 4;
    // A chunk that resets everything stands for itself, wherever it is.
    assert_eq!(stream[block] & 0xe0, 0xe0);
    let compressed = u16::from_be_bytes([stream[block + 3], stream[block + 4]]);
    let chunk = &stream[block..block + 6 + usize::from(compressed) + 1];
    [&stream[..block], &chunk.repeat(times)].concat()
}

#[test]
fn a_decompression_bomb_ends_early_and_leaves_nothing() {
    let place = Place::new();
    let bomb = bomb(4000);
    let found = place.part(&[], &bomb).unwrap_err();
    assert!(found.starts_with("Delta part has more than "), "{found}");
    let bytes: u64 = found.split(' ').nth(5).unwrap().parse().unwrap();
    assert!(bytes < (64 << 20) + 16 * bomb.len() as u64 + (1 << 20), "{found}");
    let tmp = fs::read_dir(place.directory.path().join("repo/tmp")).unwrap();
    let names = tmp.map(|entry| entry.unwrap().file_name()).filter(|name| name != "cache");
    assert_eq!(names.count(), 0);
    place.assert_untouched();
}

fn golden_superblock(name: &str) -> Vec<u8> {
    fs::read(golden("deltas").join(name).join("superblock")).unwrap()
}

/// Looks at everything in a superblock.
fn look(bytes: &[u8]) -> bool {
    let Ok(envelope) = Envelope::decode(bytes) else { return false };
    let Ok(superblock) = envelope.superblock() else { return false };
    let description = DeltaDescription::new(&superblock, false);
    let _ = (description.part_sizes(), description.fallback_sizes());
    let _ = delta::DeltaCost::of(&superblock, bytes.len() as u64).bytes();
    let _ = superblock.detached_metadata();
    superblock.fallbacks.iter().for_each(|fallback| drop(fallback.file()));
    true
}

#[test]
fn a_superblock_with_any_byte_changed_or_cut_anywhere_is_refused_or_read() {
    for name in ["bigendian", "fallback"] {
        let bytes = golden_superblock(name);
        assert!(look(&bytes));
        let (mut read, mut all) = (0, 0);
        for broken in broken(&bytes) {
            read += usize::from(look(&broken));
            all += 1;
        }
        assert!(read > 0 && read < all, "{name}: {read} of {all}");
    }
}

/// Changed framing offsets, names and sizes lead no further than anything else.
#[test]
fn a_delta_with_a_changed_superblock_is_applied_whole_or_not_at_all() {
    let place = Place::new();
    let [path, delta] = ["r", "delta"].map(|name| place.directory.path().join(name));
    let repo = Repo::create(&path, RepoMode::Archive, None).unwrap();
    let apply =
        |delta: &Path| delta::apply_offline(&repo, delta, &ApplyOptions::default(), &Silent);
    apply(&golden("deltas/scratch-inline")).unwrap();
    let before = repo.list_objects().unwrap();
    fs::create_dir(&delta).unwrap();
    fs::copy(golden("deltas/bigendian/0"), delta.join("0")).unwrap();
    let bytes = golden_superblock("bigendian");
    let places = (0..bytes.len()).filter(|at| at % 23 == 0 || at + 30 > bytes.len() || *at < 24);
    let mut applied = 0;
    for place in places {
        for value in [0, 0x7f, 0xff] {
            let mut broken = bytes.clone();
            broken[place] = value;
            fs::write(delta.join("superblock"), &broken).unwrap();
            let result = apply(&delta);
            let mut objects = repo.list_objects().unwrap();
            match result {
                // What is not looked at may say anything.
                Ok(_) => {
                    assert_eq!(objects.len(), before.len() + 11, "{place} {value}");
                    applied += 1;
                    objects.retain(|object| !before.contains(object));
                    for object in objects {
                        repo.delete_object(&object).unwrap();
                    }
                }
                Err(error) => {
                    assert!(broken != bytes, "{}", error.chain());
                    assert!(objects == before, "{place} {value}: {}", error.chain());
                }
            }
        }
    }
    assert!(applied > 0);
}

/// A superblock with many parts, all inlined, or many objects in one part, or many fallbacks.
fn large(parts: usize, objects: usize, fallbacks: usize) -> Vec<u8> {
    let bytes = golden_superblock("fallback");
    let small = Superblock::decode(&bytes).unwrap();
    let name = ObjectName::new(Checksum::of(b"x"), ObjectType::File);
    let list = ObjectList::encode(&vec![name; objects]);
    let objects = ObjectList::decode(&list).unwrap();
    let paths: Vec<String> = (0..parts).map(|number| small.name().part_path(number)).collect();
    let mark = Value::byte(b'l');
    let mut metadata = vec![(ENDIANNESS, mark.view())];
    let part = Variant::new(Type::parse(PART_TYPE).unwrap(), b"\0");
    metadata.extend(paths.iter().rev().map(|path| (path.as_str(), part)));
    let header = PartHeader { objects, ..small.parts[0] };
    let fallback = small.fallbacks[0];
    let (parts, fallbacks) = (vec![header; parts], vec![fallback; fallbacks]);
    Superblock { metadata, parts, fallbacks, ..small }.encode()
}

#[test]
fn many_parts_objects_and_fallbacks_take_time_in_proportion() {
    let place = Place::new();
    for (parts, objects, fallbacks) in
        [(40_000, 1, 0), (1, 1_000_000, 0), (1, 1, 200_000), (20_000, 30, 20_000)]
    {
        let bytes = large(parts, objects, fallbacks);
        let started = Instant::now();
        assert!(look(&bytes));
        let delta = place.directory.path().join("large");
        fs::create_dir_all(&delta).unwrap();
        fs::write(delta.join("superblock"), &bytes).unwrap();
        let error = delta::apply_offline(&place.repo, &delta, &ApplyOptions::default(), &Silent);
        // The source is not there, which is found out before parts are looked at.
        assert!(error.unwrap_err().chain().contains("which is the delta source"));
        let file = delta.join("superblock");
        let arguments = ["static-delta", "show", file.to_str().unwrap()];
        let shown = osier().repo(place.repo.path(), arguments);
        // The parts are not what their headers say, or hold nothing.
        shown.assert_no_panic();
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
    }
    place.assert_untouched();
}

#[test]
fn an_index_with_any_byte_changed_or_cut_anywhere_is_refused_or_read() {
    let directory = scratch();
    let Some(repo) = crate::support::extract_repo("archive", directory.path()) else { return };
    let find = |directory: &Path| {
        let entries = fs::read_dir(directory).unwrap();
        entries.map(|entry| entry.unwrap().path()).next().unwrap()
    };
    let path = find(&find(&repo.join("delta-indexes")));
    let bytes = fs::read(&path).unwrap();
    assert!(!DeltaIndex::decode(&bytes).unwrap().deltas.is_empty());
    let read = broken(&bytes).filter(|bytes| DeltaIndex::decode(bytes).is_ok()).count();
    assert!(read > 0, "a digest may be any");
    // What is wrong in the repository is put right.
    fs::write(&path, b"\0\0garbage").unwrap();
    osier().repo(&repo, ["static-delta", "reindex"]).success();
    assert_eq!(fs::read(&path).unwrap(), bytes);
}
