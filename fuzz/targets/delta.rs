//! Static deltas: superblocks, parts, indexes.

use std::cell::LazyCell;

use osier::Checksum;
use osier::delta::{self, Envelope, PartBytes};
use osier::delta_format::{
    DeltaIndex, ObjectList, Operation, PartHeader, Patch, Payload, Signed, Superblock,
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
    for (number, part) in superblock.parts.iter().enumerate().take(100) {
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

/// A repository with that file, and a transaction that is never committed.
struct Place {
    transaction: Transaction<'static>,
    _folder: tempfile::TempDir,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let repo = Repo::create(&folder.path().join("repo"), RepoMode::BareUserOnly, None).unwrap();
    let xattrs = Xattrs::new();
    let symlink_target = String::new();
    let header = FileHeader { uid: 0, gid: 0, mode: 0o100_644, symlink_target, xattrs };
    let transaction = Transaction::begin(&repo).unwrap();
    transaction.write_bytes(&header, OLD).unwrap();
    transaction.commit().unwrap();
    let repo: &'static Repo = Box::leak(Box::new(repo));
    Place { transaction: Transaction::begin(repo).unwrap(), _folder: folder }
}

/// The number of objects, 33 bytes for each, and a part that is to make them.
pub fn delta_part(data: &[u8]) {
    thread_local! {
        static PLACE: LazyCell<Place> = const { LazyCell::new(place) };
    }
    let Some((count, rest)) = data.split_first() else { return };
    let Some((list, part)) = rest.split_at_checked(33 * usize::from(*count)) else { return };
    let Ok(objects) = ObjectList::decode(list) else { return };
    let checksum = Checksum::of(part);
    let header =
        PartHeader { version: 0, checksum, size: part.len() as u64, content_size: 0, objects };
    PLACE.with(|place| {
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
    let header = FileHeader {
        uid: 0,
        gid: 0,
        mode: 0o100_644,
        symlink_target: String::new(),
        xattrs: Xattrs::new(),
    };
    let bytes = [header.content_header(), OLD.to_vec()].concat();
    ObjectName::new(Checksum::of(&bytes), ObjectType::File)
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
