//! Two repositories, object by object.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What is left out: scratch files, the lock, and directories that are only there once needed.
const LEFT_OUT: [&str; 4] = ["tmp", ".lock", "uncompressed-objects-cache", "extensions"];

/// Where the big-endian mode ends in a `.filez`: length, padding, size, owner and group stand
/// before it.
const MODE_END: usize = 4 + 4 + 8 + 4 + 4 + 4;

/// One file of a repository, as far as two programs must agree on it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Type and permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Modification time, of objects of the bare modes only.
    pub seconds: Option<i64>,
    /// Xattrs in name order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The bytes, inflated and with the header in front for `.filez`; a symlink's target; nothing
    /// for a directory.
    pub content: Vec<u8>,
}

/// All of a repository by path.
pub type Snapshot = BTreeMap<String, Entry>;

/// Reads a repository.
pub fn snapshot(repo: &Path) -> Snapshot {
    let mut entries = Snapshot::new();
    add(repo, "", Bytes::Comparable, &mut entries);
    entries
}

/// Reads a repository with the bytes of its files as they are; objects may be damaged.
pub fn raw_snapshot(repo: &Path) -> Snapshot {
    let mut entries = Snapshot::new();
    add(repo, "", Bytes::AsTheyAre, &mut entries);
    entries
}

/// How the content of files is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bytes {
    /// As two programs must agree on them.
    Comparable,
    /// Unchanged.
    AsTheyAre,
}

/// Fails unless both repositories hold the same objects, refs, config, state and summary.
#[track_caller]
pub fn assert_same_repository(left: &Path, right: &Path) {
    let found = differences(&snapshot(left), &snapshot(right));
    assert!(
        found.is_empty(),
        "{} and {} differ:\n{}",
        left.display(),
        right.display(),
        found.join("\n")
    );
}

/// Every path on which the two do not agree, one line each.
pub fn differences(left: &Snapshot, right: &Snapshot) -> Vec<String> {
    let mut found = Vec::new();
    for (path, entry) in left {
        match right.get(path) {
            None => found.push(format!("{path}: only on the left")),
            Some(other) => found.extend(entry_difference(path, entry, other)),
        }
    }
    found.extend(
        right
            .keys()
            .filter(|path| !left.contains_key(*path))
            .map(|path| format!("{path}: only on the right")),
    );
    found
}

fn entry_difference(path: &str, left: &Entry, right: &Entry) -> Option<String> {
    let both = |name: &str, a: String, b: String| {
        Some(format!("{path}: {name} {a} on the left, {b} on the right"))
    };
    if left.mode != right.mode {
        return both("mode", format!("{:o}", left.mode), format!("{:o}", right.mode));
    }
    if left.owner != right.owner {
        return both("owner", format!("{:?}", left.owner), format!("{:?}", right.owner));
    }
    if left.seconds != right.seconds {
        return both("mtime", format!("{:?}", left.seconds), format!("{:?}", right.seconds));
    }
    if left.xattrs != right.xattrs {
        return both("xattrs", show_xattrs(left), show_xattrs(right));
    }
    if left.content != right.content {
        let at = left.content.iter().zip(&right.content).take_while(|(a, b)| a == b).count();
        let around = |bytes: &[u8]| {
            bytes[at.saturating_sub(8)..bytes.len().min(at + 24)].escape_ascii().to_string()
        };
        let lengths = (left.content.len(), right.content.len());
        let (a, b) = (around(&left.content), around(&right.content));
        return Some(format!(
            "{path}: content differs at {at} (lengths {lengths:?}): `{a}` and `{b}`"
        ));
    }
    None
}

fn show_xattrs(entry: &Entry) -> String {
    let all: Vec<_> = entry
        .xattrs
        .iter()
        .map(|(n, v)| format!("{}={}", n.escape_ascii(), v.escape_ascii()))
        .collect();
    format!("[{}]", all.join(", "))
}

fn add(directory: &Path, prefix: &str, taken: Bytes, entries: &mut Snapshot) {
    for item in fs::read_dir(directory).unwrap() {
        let item = item.unwrap();
        let relative = format!("{prefix}{}", item.file_name().to_string_lossy());
        if LEFT_OUT.contains(&relative.as_str()) {
            continue;
        }
        let path = item.path();
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            let bytes = fs::read(&path).unwrap();
            match relative.as_str() {
                _ if taken == Bytes::AsTheyAre => bytes,
                "summary" => masked_summary(&bytes),
                name if name.ends_with(".filez") => inflated(name, &bytes),
                _ => bytes,
            }
        };
        let seconds = (metadata.is_file() && relative.ends_with(".file")).then(|| metadata.mtime());
        let xattrs = xattrs(&path);
        let owner = (metadata.uid(), metadata.gid());
        entries.insert(
            relative.clone(),
            Entry { mode: metadata.mode(), owner, seconds, xattrs, content },
        );
        if metadata.is_dir() {
            add(&path, &format!("{relative}/"), taken, entries);
        }
    }
}

/// Compressors differ, the checksum covers the content: the header as it is, then the content
/// inflated.
fn inflated(name: &str, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.first_chunk::<4>().map(|prefix| u32::from_be_bytes(*prefix) as usize);
    let header_end =
        length.map(|length| length + 8).filter(|end| (MODE_END..=bytes.len()).contains(end));
    let header_end = header_end.unwrap_or_else(|| panic!("{name}: no header"));
    let mut content = bytes[..header_end].to_vec();
    let mut stream = &bytes[header_end..];
    let is_symlink = bytes[MODE_END - 2] & 0xf0 == 0xa0;
    if !is_symlink {
        let mut inflater = flate2::bufread::DeflateDecoder::new(&mut stream);
        inflater.read_to_end(&mut content).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
    assert!(stream.is_empty(), "{name}: {} bytes after the end", stream.len());
    content
}

/// A summary without the one thing in it that the clock decides.
pub fn masked_summary(bytes: &[u8]) -> Vec<u8> {
    const KEY: &[u8] = b"ostree.summary.last-modified\0";
    let mut masked = bytes.to_vec();
    if let Some(start) = bytes.windows(KEY.len()).position(|window| window == KEY) {
        // The value is a variant and so stands at the next multiple of eight.
        let value = (start + KEY.len()).next_multiple_of(8);
        masked[value..value + 8].fill(0);
    }
    masked
}

/// All xattrs of a file, not following symlinks, in name order.
fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap_or(0);
    let mut all: Vec<_> = names[..length]
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            value.truncate(length);
            (name.to_vec(), value)
        })
        .collect();
    all.sort();
    all
}
