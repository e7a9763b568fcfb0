//! Tar and cpio, compressed or not, and the records of PAX by themselves.

use std::io::Cursor;

use osier::object::Xattrs;
use osier::source::archive::{Archive, Entry, Kind};

/// Contents may have holes as large as they like; this many bytes show that they can be read.
const ENOUGH: usize = 1 << 20;

/// An archive. It is read twice, with the contents and without; the entries are the same.
pub fn archive(data: &[u8]) {
    let (skimmed, is_whole) = entries(data, |_, _| true);
    let mut left = ENOUGH;
    let (read, is_read) = entries(data, |archive, entry| read_content(archive, entry, &mut left));
    assert_eq!(skimmed.get(..read.len()), Some(&read[..]));
    if is_read {
        assert!(is_whole);
        assert_eq!(skimmed, read);
    }
}

/// The records of an extended header, with a file behind it. Its xattrs are those of an object, or
/// are refused.
pub fn pax(records: &[u8]) {
    let header = |flag, size: usize| {
        let mut block = [0; 512];
        block[..4].copy_from_slice(b"file");
        block[124..135].copy_from_slice(format!("{size:011o}").as_bytes());
        block[156] = flag;
        block[257..263].copy_from_slice(b"ustar\0");
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    };
    let mut bytes = [&header(b'x', records.len())[..], records].concat();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes.extend_from_slice(&header(b'0', 0));
    let (found, _) = entries(&bytes, |_, _| true);
    for entry in found {
        let Ok(xattrs) = Xattrs::from_pairs(entry.xattrs) else { continue };
        assert_eq!(Xattrs::decode(&xattrs.encode()), Ok(xattrs));
    }
}

/// The entries up to the first for which `visit` returns false, and whether that was the end of a
/// sound archive.
fn entries(data: &[u8], mut visit: impl FnMut(&mut Archive, &Entry) -> bool) -> (Vec<Entry>, bool) {
    let mut entries = Vec::new();
    let Ok(mut archive) = Archive::open(Box::new(Cursor::new(data.to_vec()))) else {
        return (entries, false);
    };
    loop {
        match archive.next_entry() {
            Ok(Some(entry)) => {
                let go_on = visit(&mut archive, &entry);
                entries.push(entry);
                if !go_on {
                    return (entries, false);
                }
            }
            Ok(None) => return (entries, true),
            Err(_) => return (entries, false),
        }
    }
}

/// Reads all content of an entry, which is as long as it said; false if that was an error or
/// enough.
fn read_content(archive: &mut Archive, entry: &Entry, left: &mut usize) -> bool {
    let size = match entry.kind {
        Kind::Regular { size } | Kind::HardLink { size, .. } => size,
        Kind::Directory | Kind::Symlink { .. } | Kind::Special => return true,
    };
    let mut buffer = [0; 1000];
    let mut total = 0;
    loop {
        match archive.read_content(&mut buffer) {
            Ok(0) => {
                assert_eq!(total, size);
                return true;
            }
            Ok(count) => {
                total += count as u64;
                assert!(total <= size);
                *left = left.saturating_sub(count);
                if *left == 0 {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}
