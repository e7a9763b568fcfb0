//! What each fuzz target does with its bytes. Errors are fine; a panic, or a value that does not come back, is a bug.
//!
//! The programs in `fuzz_targets` call these, and so does the test that replays every file of `corpus`.

use std::path::Path;

use osier::Checksum;
use osier::compose::kickstart::{self, Values};
use osier::deflate::Inflater;
use osier::gvariant::{Dict, Type, Value, Variant};
use osier::object::{Commit, DirMeta, DirTree, FileHeader, SUMMARY_TYPE};
use osier::refspec::RefName;
use osier::summary::Summary;

/// What takes the fuzzer's bytes.
pub type Target = fn(&[u8]);

/// Every target by name.
pub const TARGETS: [(&str, Target); 7] = [
    ("gvariant", gvariant),
    ("commit", commit),
    ("dirtree", dirtree),
    ("dirmeta", dirmeta),
    ("filez", filez),
    ("summary", summary),
    ("kickstart", kickstart),
];

/// A type string, a NUL, and the bytes of a value.
pub fn gvariant(data: &[u8]) {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let (Some(Ok(text)), Some(bytes)) = (parts.next().map(str::from_utf8), parts.next()) else { return };
    let Ok(ty) = Type::parse(text) else { return };
    check_value(ty, bytes);
}

/// What is in normal form is written again as it was; what is not reads as something that is.
fn check_value(ty: Type<'_>, bytes: &[u8]) {
    match Variant::decode(ty, bytes) {
        Ok(value) => {
            assert_eq!(value.byteswapped().view().byteswapped().bytes(), bytes);
            assert_eq!(Value::from_bytes(ty.as_str(), bytes.to_vec()).map(Value::into_bytes).as_deref(), Ok(bytes));
        }
        // Broken values may be much larger than their bytes: an array of a hundred broken tuples of a thousand numbers.
        Err(_) if bytes.len() * ty.as_str().len() < 1 << 18 => {
            let value = Variant::new(ty, bytes).to_value();
            assert!(value.view().is_normal());
            assert_ne!(value.bytes(), bytes);
        }
        Err(_) => {}
    }
}

/// A commit object.
pub fn commit(data: &[u8]) {
    if let Ok(commit) = Commit::decode(data) {
        assert_eq!(commit.encode(), data);
    }
}

/// A dirtree object.
pub fn dirtree(data: &[u8]) {
    if let Ok(tree) = DirTree::decode(data) {
        assert_eq!(tree.encode(), data);
    }
}

/// A dirmeta object.
pub fn dirmeta(data: &[u8]) {
    if let Ok(meta) = DirMeta::decode(data) {
        assert_eq!(meta.encode(), data);
    }
}

/// A file of an archive repository.
pub fn filez(data: &[u8]) {
    let Some((prefix, rest)) = data.split_first_chunk() else { return };
    let Ok(length) = FileHeader::decode_prefix(*prefix, data.len() as u64) else { return };
    let Some((header, content)) = rest.split_at_checked(length) else { return };
    let Ok((header, size)) = FileHeader::decode_archive_header(header) else { return };
    inflate(content);
    let encoded = header.archive_header(size);
    assert_eq!(FileHeader::decode_archive_header(&encoded[FileHeader::PREFIX_BYTES..]), Ok((header, size)));
}

/// Inflates until the stream ends or is refused, or enough has come out to see that it can go on.
fn inflate(mut input: &[u8]) {
    const ENOUGH: usize = 1 << 20;
    let mut inflater = Inflater::new();
    let mut produced = 0;
    inflater.begin();
    while let Ok(step) = inflater.push(input) {
        produced += step.output.len();
        let (finished, needs_input) = (step.finished, step.needs_input);
        assert!(step.consumed > 0 || !step.output.is_empty() || finished || needs_input, "no progress");
        input = &input[step.consumed..];
        if finished || needs_input || produced > ENOUGH {
            return;
        }
    }
}

/// A summary file, or one of its dictionaries.
pub fn summary(data: &[u8]) {
    if let Ok(ty) = Type::parse(SUMMARY_TYPE) {
        check_value(ty, data);
    }
    if let Ok(summary) = Summary::decode(data) {
        assert_eq!(summary.encode(), data);
        let _ = summary.collection_map();
    }
    if let Ok(dict) = Dict::decode(data) {
        assert_eq!(dict.encode(), data);
        assert_eq!(dict.in_table_order().iter().count(), dict.in_table_order().len());
    }
}

/// A kickstart file. What was rewritten is left as it is when it is rewritten again.
pub fn kickstart(data: &[u8]) {
    let reference = RefName::parse("exampleos/22/x86_64/host").expect("a legal name");
    let values = Values {
        url: "http://content.example.org/repo/",
        reference: &reference,
        osname: Some("with blank"),
        remote: None,
        nogpg: Some(true),
        commit: &Checksum::from_bytes([0x5a; 32]),
        version: Some("22.3"),
    };
    let rewrite = |file: &[u8]| kickstart::rewrite(Path::new("x.ks"), file, &values);
    if let Ok(first) = rewrite(data) {
        let second = rewrite(&first.bytes).expect("what was rewritten can be read");
        assert_eq!((second.bytes, second.setup), (first.bytes, first.setup));
    }
}
