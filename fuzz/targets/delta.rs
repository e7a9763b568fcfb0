//! Static deltas: superblocks, parts, indexes.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::sync::Mutex;

use osier::Checksum;
use osier::delta::{self, Envelope, PartBytes};
use osier::delta_format::{
    Compression, DeltaIndex, Mode, ObjectList, Operation, PartHeader, Patch, Payload,
    PayloadWriter, Signed, Superblock,
};
use osier::object::{FileHeader, ObjectName, ObjectType, Xattrs};
use osier::repo::{Repo, RepoMode, Transaction};

/// A superblock, signed or not. Written again and read again it is the same.
pub fn delta_superblock(data: &[u8]) {
    let Ok(envelope) = Envelope::decode(data) else { return };
    if let Some(signatures) = envelope.signatures {
        let signed = Signed { superblock: envelope.superblock, signatures };
        assert_eq!(Signed::decode(&signed.encode()), Ok(Some(signed)));
    }
    let Ok(superblock) = Superblock::decode(envelope.superblock) else { return };
    let written = superblock.encode();
    let read = Superblock::decode(&written).expect("what was written is read");
    assert_eq!(read.encode(), written);
    assert_eq!((read.from, read.to), (superblock.from, superblock.to));
    // Without a mark the order is guessed from sizes, which are the same.
    assert_eq!(read.endianness, superblock.endianness);
    assert_eq!(read.parts, superblock.parts);
    assert_eq!(read.fallbacks, superblock.fallbacks);
    let inlined = superblock.inlined_parts();
    for (number, part) in superblock.parts.iter().enumerate().take(100) {
        assert_eq!(inlined.part(number), superblock.inlined_part(number));
        assert_eq!(part.objects.iter().count(), part.objects.len());
        let _ = (part.check_version(), superblock.inlined_part(number));
    }
    let _ = superblock.detached_metadata();
    superblock.fallbacks.iter().for_each(|fallback| drop(fallback.file()));
    let description = delta::DeltaDescription::new(&superblock, false);
    let _ = (description.part_sizes(), description.fallback_sizes());
}

/// The index of a target.
pub fn delta_index(data: &[u8]) {
    let Ok(index) = DeltaIndex::decode(data) else { return };
    let read = DeltaIndex::decode(&index.encode()).expect("what was written is read");
    for delta in &read.deltas {
        assert!(index.deltas.contains(delta), "{}", delta.0);
    }
    for (name, _) in &index.deltas {
        assert_eq!(name.to_string().parse(), Ok(*name));
        let directory = name.directory();
        let mut names = directory.iter().skip(1).map(|name| name.to_str().unwrap());
        let (prefix, rest) = (names.next().unwrap(), names.next().unwrap());
        assert_eq!(osier::delta_format::DeltaName::of_directory(prefix, rest), Some(*name));
    }
}

/// What the file is that the patches and pieces of parts come from; make-corpus has the same.
const OLD: &[u8] = b"the old content of a file";

/// A place and how many parts were executed there.
type Used = Option<(Place, u32)>;

/// Executes a part in the repository that has the old file, and looks at the repository.
fn with_place<T>(work: impl FnOnce(&Place) -> T) -> T {
    /// What parts have made stays until the transaction ends.
    const MOST_USES: u32 = 4096;
    thread_local! {
        static USED: RefCell<Used> = const { RefCell::new(None) };
    }
    USED.with_borrow_mut(|used| {
        let used = match used {
            Some((_, uses)) if *uses == MOST_USES => used.insert((place(), 0)),
            _ => used.get_or_insert_with(|| (place(), 0)),
        };
        used.1 += 1;
        work(&used.0)
    })
}

/// A repository with that file, and a transaction that is never committed.
struct Place {
    transaction: Transaction<'static>,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repo");
    Repo::create(&path, RepoMode::BareUserOnly, None).unwrap();
    // A disk that is nearly full is no finding.
    let mut config = std::fs::OpenOptions::new().append(true).open(path.join("config")).unwrap();
    config.write_all(b"min-free-space-percent=0\n").unwrap();
    let repo = Repo::open(&path).unwrap();
    let xattrs = Xattrs::new();
    let symlink_target = String::new();
    let header = FileHeader { uid: 0, gid: 0, mode: 0o100_644, symlink_target, xattrs };
    let transaction = Transaction::begin(&repo).unwrap();
    transaction.write_bytes(&header, OLD).unwrap();
    transaction.commit().unwrap();
    // Still reachable, so that it does not count as lost.
    static KEPT: Mutex<Vec<&'static Repo>> = Mutex::new(Vec::new());
    let repo: &'static Repo = Box::leak(Box::new(repo));
    KEPT.lock().unwrap().push(repo);
    Place { transaction: Transaction::begin(repo).unwrap(), _folder: folder }
}

/// The number of objects, 33 bytes for each, and a part that is to make them.
pub fn delta_part(data: &[u8]) {
    let Some((count, rest)) = data.split_first() else { return };
    let Some((list, part)) = rest.split_at_checked(33 * usize::from(*count)) else { return };
    let Ok(objects) = ObjectList::decode(list) else { return };
    let checksum = Checksum::of(part);
    let header =
        PartHeader { version: 0, checksum, size: part.len() as u64, content_size: 0, objects };
    with_place(|place| {
        let _ = delta::apply_part(&place.transaction, &header, PartBytes::File(&mut &*part));
        for object in objects.iter() {
            // The transaction is not committed, so only what was there before is.
            let is_old = object == old();
            assert_eq!(place.transaction.repo().has_object(&object).unwrap(), is_old);
        }
    });
    if let Some((0, payload)) = part.split_first() {
        look_at(&Payload::new(payload));
    }
}

fn old() -> ObjectName {
    file(OLD)
}

fn file(content: &[u8]) -> ObjectName {
    let header = FileHeader {
        uid: 0,
        gid: 0,
        mode: 0o100_644,
        symlink_target: String::new(),
        xattrs: Xattrs::new(),
    };
    let bytes = [&header.content_header(), content].concat();
    ObjectName::new(Checksum::of(&bytes), ObjectType::File)
}

/// The size of the new file, eight bytes, and a patch: what it makes of the old file is what a plain
/// reading of the format makes of it, and what that refuses makes nothing.
pub fn bspatch(data: &[u8]) {
    let Some((size, patch)) = data.split_first_chunk() else { return };
    let size = u64::from_le_bytes(*size);
    let made = patched(patch, size);
    let content = made.as_deref().unwrap_or_default();
    let mut part = PayloadWriter::default();
    let mode = part.mode(Mode { uid: 0, gid: 0, mode: 0o100_644 });
    let xattrs = part.xattrs(&Xattrs::new());
    let source = part.append(old().checksum.as_bytes());
    let slice = part.append(patch);
    part.push(Operation::SetReadSource { offset: source.offset });
    part.push(Operation::Open { mode, xattrs, size });
    part.push(Operation::Patch(slice));
    part.push(Operation::Close);
    let applied = apply(&[file(content)], &[&[0], &part.encode()[..]].concat());
    assert_eq!(applied.is_ok(), made.is_some(), "{applied:?}");
}

/// What a patch makes of the old file, byte by byte.
fn patched(mut patch: &[u8], size: u64) -> Option<Vec<u8>> {
    let number = |patch: &mut &[u8]| {
        let (bytes, rest) = patch.split_first_chunk()?;
        *patch = rest;
        let number = u64::from_le_bytes(*bytes);
        let magnitude = i128::from(number & !(1 << 63));
        Some(if number >> 63 == 0 { magnitude } else { -magnitude })
    };
    // A size that no memory holds is refused.
    isize::try_from(size).ok()?;
    let (mut made, mut position) = (Vec::new(), 0i128);
    while (made.len() as u64) < size {
        let [diff, extra, seek] = [number(&mut patch)?, number(&mut patch)?, number(&mut patch)?];
        for (length, is_diff) in [(diff, true), (extra, false)] {
            let length = usize::try_from(length).ok().filter(|length| *length < 1 << 31)?;
            let (bytes, rest) = patch.split_at_checked(length)?;
            patch = rest;
            for (byte, place) in bytes.iter().zip(position..) {
                let old = usize::try_from(place).ok().and_then(|place| OLD.get(place));
                let old = old.filter(|_| is_diff).copied().unwrap_or_default();
                made.push(byte.wrapping_add(old));
            }
        }
        for step in [diff, seek] {
            position += step;
            i64::try_from(position).ok()?;
        }
    }
    (made.len() as u64 == size).then_some(made)
}

/// An xz stream as a part without objects: it is refused if it cannot be decompressed to its end,
/// else it does what its payload does when it is not compressed.
pub fn xz(data: &[u8]) {
    const MOST: u64 = 1 << 20;
    let applied = apply(&[], &[&[Compression::Xz.byte()], data].concat());
    let (mut rest, mut payload) = (data, Vec::new());
    let reader = lzma_rust2::XzReader::new_mem_limit(&mut rest, false, 100 << 10);
    let decompressed = reader.take(MOST).read_to_end(&mut payload);
    if payload.len() as u64 == MOST {
        return;
    }
    let applied = applied.map_err(|error| error.chain());
    if decompressed.is_ok() && rest.is_empty() {
        let plain = apply(&[], &[&[Compression::None.byte()], &payload[..]].concat());
        assert_eq!(applied, plain.map_err(|error| error.chain()));
    } else {
        assert!(applied.is_err(), "{decompressed:?}, {} bytes are left", rest.len());
    }
}

/// Executes a part with its right checksum in the repository that has the old file.
fn apply(names: &[ObjectName], part: &[u8]) -> osier::Result<delta::PartStats> {
    let list = ObjectList::encode(names);
    let objects = ObjectList::decode(&list).unwrap();
    let (checksum, size) = (Checksum::of(part), part.len() as u64);
    let header = PartHeader { version: 0, checksum, size, content_size: 0, objects };
    with_place(|place| delta::apply_part(&place.transaction, &header, PartBytes::File(&mut &*part)))
}

/// Reads the operations to their end, whatever the objects are, and writes them again.
fn look_at(payload: &Payload<'_>) {
    for object in [ObjectType::File, ObjectType::DirTree] {
        let mut operations = payload.operations();
        while let Some(Ok(operation)) = operations.next(Some(object)) {
            let mut written = Vec::new();
            operation.encode_into(&mut written);
            let again = osier::delta_format::Operations::new(&written).next(Some(object));
            assert_eq!(again, Some(Ok(operation)));
            if let Operation::Patch(slice) = operation
                && let Ok(patch) = slice.of(payload.blob)
            {
                let made: usize = Patch::new(patch, 1 << 20)
                    .map_while(Result::ok)
                    .map(|record| record.diff.len() + record.extra.len())
                    .sum();
                assert!(made <= patch.len());
            }
        }
    }
    for index in [0, payload.modes() as u64, u64::MAX] {
        let _ = (payload.mode(index), payload.xattrs(index));
    }
}
