//! The golden deltas of ostree 2026.4, read and written again.

use std::io::Read;
use std::path::PathBuf;

use super::{ByteOrder, Compression, Endianness, Payload, PayloadWriter, Signed, Superblock};
use crate::checksum::Checksum;
use crate::object::Commit;

const NAMES: [&str; 6] =
    ["bigendian", "chunked", "fallback", "nobsdiff-inline", "scratch-inline", "signed-inline"];

fn read(name: &str, file: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/deltas");
    std::fs::read(folder.join(name).join(file)).unwrap()
}

/// Takes a part apart and puts it together again.
fn rebuild(part: &[u8], header: &super::PartHeader<'_>) -> (Vec<u8>, Vec<u8>) {
    let (first, compressed) = part.split_first().unwrap();
    assert_eq!(Compression::of_byte(*first), Ok(Compression::Xz));
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(compressed, false).read_to_end(&mut bytes).unwrap();
    let payload = Payload::new(&bytes);
    let mut writer = PayloadWriter::default();
    for index in 0..payload.modes() as u64 {
        assert_eq!(writer.mode(payload.mode(index).unwrap()), index);
    }
    for index in 0..payload.xattr_sets() as u64 {
        assert_eq!(writer.xattrs(&payload.xattrs(index).unwrap()), index);
    }
    writer.append(payload.blob);
    let mut objects = header.objects.iter().peekable();
    let mut operations = payload.operations();
    while let Some(operation) = operations.next(objects.peek().map(|name| name.object_type)) {
        let operation = operation.unwrap();
        if matches!(
            operation,
            super::Operation::Metadata(_) | super::Operation::File { .. } | super::Operation::Close
        ) {
            objects.next().unwrap();
        }
        writer.push(operation);
    }
    assert_eq!(objects.next(), None, "each object is made");
    (writer.encode(), bytes)
}

#[test]
fn golden_deltas_come_back_byte_for_byte() {
    for name in NAMES {
        let file = read(name, "superblock");
        let signed = Signed::decode(&file).unwrap();
        assert_eq!(signed.is_some(), name == "signed-inline");
        let bytes = match &signed {
            Some(signed) => {
                assert_eq!(signed.encode(), file, "{name}");
                signed.superblock
            }
            None => &file,
        };
        let superblock = Superblock::decode(bytes).unwrap();
        assert_eq!(superblock.encode(), bytes, "{name}");
        assert_eq!(Checksum::of(superblock.commit), superblock.to, "{name}");
        let order = if name == "bigendian" { ByteOrder::Big } else { ByteOrder::Little };
        assert_eq!(superblock.endianness, Endianness::Marked(order), "{name}");
        assert!(superblock.timestamp > Commit::decode(superblock.commit).unwrap().timestamp - 1);
        assert_eq!(superblock.fallbacks.is_empty(), name != "fallback", "{name}");
        for fallback in &superblock.fallbacks {
            assert!(fallback.file().is_ok() && fallback.content_size > 1_000_000, "{fallback:?}");
        }
        for (number, header) in superblock.parts.iter().enumerate() {
            header.check_version().unwrap();
            let part = match superblock.inlined_part(number) {
                Some(part) => part.to_vec(),
                None => {
                    let part = read(name, &number.to_string());
                    assert_eq!(Checksum::of(&part), header.checksum, "{name} {number}");
                    part
                }
            };
            assert_eq!(part.len() as u64, header.size, "{name} {number}");
            let (written, read) = rebuild(&part, header);
            assert!(written == read, "{name} {number}");
        }
    }
}

#[test]
fn a_delta_without_a_mark_has_the_order_that_its_sizes_make_sense_in() {
    for name in NAMES.into_iter().filter(|name| *name != "signed-inline") {
        let file = read(name, "superblock");
        let mut superblock = Superblock::decode(&file).unwrap();
        let order = superblock.endianness.order();
        superblock.metadata.retain(|(key, _)| *key != super::ENDIANNESS);
        let unmarked = superblock.encode();
        let guessed = Superblock::decode(&unmarked).unwrap();
        let expected = match order {
            ByteOrder::Little => Endianness::Unknown,
            ByteOrder::Big => Endianness::Guessed,
        };
        assert_eq!(guessed.endianness, expected, "{name}");
        assert_eq!(guessed.parts, superblock.parts, "{name}");
    }
}

#[test]
fn what_is_no_superblock_has_no_target() {
    let good = read("chunked", "superblock");
    let none = "Invalid checksum of length 0 expected 32";
    for bytes in [&[][..], b"foreign", &good[..good.len() / 2], &[0; 100]] {
        assert_eq!(Superblock::decode(bytes).unwrap_err().what, none);
    }
}

#[test]
fn objects_and_versions_that_are_not_known_are_refused() {
    let good = read("fallback", "superblock");
    let superblock = Superblock::decode(&good).unwrap();
    let with = |change: &dyn Fn(&mut Superblock<'_>)| {
        let mut changed = superblock.clone();
        change(&mut changed);
        let bytes = changed.encode();
        Superblock::decode(&bytes)
            .map(|read| read.parts[0].check_version())
            .map_err(|error| error.what)
    };
    assert_eq!(with(&|_| ()), Ok(Ok(())));
    let newer = with(&|changed| changed.parts[0].version = 1).unwrap().unwrap_err();
    assert_eq!(newer.what, "Delta part has too new version 1");
    let mut list =
        super::ObjectList::encode(&superblock.parts[0].objects.iter().collect::<Vec<_>>());
    assert_eq!(super::ObjectList::decode(&list), Ok(superblock.parts[0].objects));
    list[0] = 5;
    assert_eq!(super::ObjectList::decode(&list).unwrap_err().what, "Invalid object type '5'");
    let cut = super::ObjectList::decode(&list[1..]).unwrap_err();
    assert_eq!(cut.what, format!("Invalid checksum array length {}", list.len() - 1));
    let mut fallback = superblock.fallbacks[0];
    fallback.name.object_type = crate::object::ObjectType::DirTree;
    let name = fallback.name;
    let metadata = format!("Found metadata object as fallback: {name}");
    assert_eq!(fallback.file().unwrap_err().what, metadata);
    fallback.name.object_type = crate::object::ObjectType::CommitMeta;
    let refused = with(&|changed| changed.fallbacks.push(fallback)).unwrap_err();
    assert_eq!(refused, "Invalid object type '6'");
}
