//! Objects, and the summary: what decodes is encoded as it was.

use osier::deflate::Inflater;
use osier::gvariant::{Dict, Type};
use osier::object::{
    COMMIT_TYPE, Commit, DIRMETA_TYPE, DIRTREE_TYPE, DirMeta, DirTree, FileHeader, SUMMARY_TYPE,
    SizeEntry, Xattrs,
};
use osier::summary::Summary;

use super::gvariant::check_value;

/// A commit object, and the sizes in its metadata.
pub fn commit(data: &[u8]) {
    check_as(COMMIT_TYPE, data);
    let Ok(commit) = Commit::decode(data) else { return };
    assert_eq!(commit.encode(), data);
    let _ = (commit.version(), commit.content_checksum());
    for entry in
        commit.metadata.get("ostree.sizes").iter().flat_map(|sizes| sizes.view().children())
    {
        if let Some(Ok(sizes)) = entry.as_bytes().map(SizeEntry::decode) {
            assert_eq!(SizeEntry::decode(&sizes.encode()), Ok(sizes));
        }
    }
}

/// A dirtree object.
pub fn dirtree(data: &[u8]) {
    check_as(DIRTREE_TYPE, data);
    if let Ok(tree) = DirTree::decode(data) {
        assert_eq!(tree.encode(), data);
    }
}

/// A dirmeta object.
pub fn dirmeta(data: &[u8]) {
    check_as(DIRMETA_TYPE, data);
    if let Ok(meta) = DirMeta::decode(data) {
        assert_eq!(meta.encode(), data);
    }
    // The xattr `user.ostreemeta` of files has the same form.
    if let Ok(header) = FileHeader::decode_meta(data) {
        assert_eq!(
            FileHeader::decode_meta(&header.encode_meta()).map(|header| header.xattrs),
            Ok(header.xattrs.sorted())
        );
    }
    if let Ok(xattrs) = Xattrs::decode(data) {
        assert_eq!(xattrs.encode(), data);
    }
}

/// Detached metadata, tombstones, and every other `a{sv}` that stands alone.
pub fn detached(data: &[u8]) {
    check_as(Dict::TYPE, data);
    let Ok(dict) = Dict::decode(data) else { return };
    assert_eq!(dict.encode(), data);
    let sorted = dict.in_table_order();
    assert_eq!(sorted.iter().count(), sorted.len());
    assert_eq!(Dict::decode(&sorted.encode()).as_ref(), Ok(&sorted));
    for (key, value) in dict.iter() {
        assert!(dict.contains_key(key) && sorted.contains_key(key));
        assert!(value.view().is_normal());
    }
}

/// A file of an archive repository.
pub fn filez(data: &[u8]) {
    let Some((prefix, rest)) = data.split_first_chunk() else { return };
    let Ok(length) = FileHeader::decode_prefix(*prefix, data.len() as u64) else { return };
    let Some((header, content)) = rest.split_at_checked(length) else { return };
    inflate(content);
    let Ok((header, size)) = FileHeader::decode_archive_header(header) else { return };
    let encoded = header.archive_header(size);
    assert_eq!(
        FileHeader::decode_archive_header(&encoded[FileHeader::PREFIX_BYTES..]),
        Ok((header.clone(), size))
    );
    let hashed = header.content_header();
    let read = FileHeader::decode_content_header(&hashed[FileHeader::PREFIX_BYTES..]);
    assert_eq!(read.map(|read| read.content_header()), Ok(hashed));
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
        assert!(
            step.consumed > 0 || !step.output.is_empty() || finished || needs_input,
            "no progress"
        );
        input = &input[step.consumed..];
        if finished || needs_input || produced > ENOUGH {
            return;
        }
    }
}

/// A summary file.
pub fn summary(data: &[u8]) {
    check_as(SUMMARY_TYPE, data);
    if let Ok(summary) = Summary::decode(data) {
        assert_eq!(summary.encode(), data);
        let _ = summary.collection_map();
        for entry in &summary.refs {
            detached(&entry.metadata.encode());
        }
        detached(&summary.metadata.encode());
    }
}

fn check_as(ty: &str, data: &[u8]) {
    check_value(Type::parse(ty).expect("the type of an object"), data);
}
