//! A real tree to commit, chosen from the machine's files, always in the same way.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::progress::Progress;
use crate::trial::check_interrupt;

/// The least number of files in the tree.
const MIN_FILES: u64 = 20_000;

/// The least content of the tree, in bytes.
const MIN_BYTES: u64 = 300_000_000;

/// Once there are enough bytes, larger files are left out until there are enough files.
const SMALL_FILE: u64 = 16 * 1024;

/// Larger files are never taken: one would be most of the work.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The size of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeSize {
    /// Regular files.
    pub files: u64,
    /// Symbolic links.
    pub symlinks: u64,
    /// Directories, the root included.
    pub directories: u64,
    /// Bytes in the regular files.
    pub bytes: u64,
}

impl TreeSize {
    /// An upper bound for what a commit or checkout of the tree writes, in bytes.
    pub(super) fn bytes_to_write(&self) -> u64 {
        self.bytes.saturating_mul(2)
    }
}

/// Measures a tree.
pub fn measure_tree(tree: &Path) -> Result<TreeSize> {
    let mut size = TreeSize::default();
    for entry in WalkDir::new(tree) {
        let entry = entry.map_err(std::io::Error::from).during("reading", tree)?;
        let metadata =
            entry.metadata().map_err(std::io::Error::from).during("reading", entry.path())?;
        if metadata.is_dir() {
            size.directories += 1;
        } else if metadata.is_symlink() {
            size.symlinks += 1;
        } else {
            size.files += 1;
            size.bytes += metadata.len();
        }
    }
    Ok(size)
}

/// Copies a sample of the files and links below `source` to the new directory `tree`: at least
/// 20,000 files and 300 MB, the same ones each time. Files that cannot be read are left out.
pub fn build_sample(source: &Path, tree: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    let mut chosen = choose(candidates(source, progress)?);
    // Written in the order of packages and archives, so that neighbours in the tree are neighbours
    // in memory and on disk.
    chosen.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    let files = chosen.iter().filter(|candidate| !candidate.is_link).count() as u64;
    let bytes: u64 = chosen.iter().map(|candidate| candidate.size).sum();
    if files < MIN_FILES || bytes < MIN_BYTES {
        let (found, needed) = ((files, bytes), (MIN_FILES, MIN_BYTES));
        return Err(Error::SmallSample { path: source.to_owned(), found, needed });
    }
    fs::create_dir(tree).during("creating", tree)?;
    for candidate in &chosen {
        check_interrupt(progress)?;
        let target = tree.join(&candidate.path);
        let parent = target.parent().unwrap_or(tree);
        fs::create_dir_all(parent).during("creating", parent)?;
        let origin = source.join(&candidate.path);
        if candidate.is_link {
            let destination = fs::read_link(&origin).during("reading", &origin)?;
            symlink(destination, &target).during("creating", &target)?;
        } else {
            fs::copy(&origin, &target).during("copying", &origin)?;
        }
    }
    Ok(tree.to_owned())
}

/// A file or link that may be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Candidate {
    path: PathBuf,
    size: u64,
    is_link: bool,
}

/// All candidates, in an order that does not depend on their directories, so that every kind of
/// file is in the sample, and that is the same each time.
fn candidates(source: &Path, progress: &dyn Progress) -> Result<Vec<Candidate>> {
    let mut all: Vec<(Checksum, Candidate)> = WalkDir::new(source)
        .into_iter()
        .take_while(|_| !progress.is_interrupted())
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let metadata = entry.metadata().ok()?;
            let is_link = metadata.is_symlink();
            let path = entry.path().strip_prefix(source).ok()?.to_owned();
            // Names that are not UTF-8 cannot be committed.
            let place = Checksum::of(path.to_str()?.as_bytes());
            let readable = || fs::File::open(entry.path()).is_ok();
            let taken = is_link || (metadata.is_file() && metadata.len() <= MAX_FILE && readable());
            let size = if is_link { 0 } else { metadata.len() };
            taken.then_some((place, Candidate { path, size, is_link }))
        })
        .collect();
    all.sort_by_key(|(place, _)| *place);
    check_interrupt(progress)?;
    Ok(all.into_iter().map(|(_, candidate)| candidate).collect())
}

fn choose(candidates: Vec<Candidate>) -> Vec<Candidate> {
    let (mut files, mut bytes) = (0, 0);
    let mut chosen = Vec::new();
    for candidate in candidates {
        let enough_files = files >= MIN_FILES;
        let enough_bytes = bytes >= MIN_BYTES;
        if enough_files && enough_bytes {
            break;
        }
        if enough_bytes && candidate.size > SMALL_FILE {
            continue;
        }
        files += u64::from(!candidate.is_link);
        bytes += candidate.size;
        chosen.push(candidate);
    }
    chosen
}

/// The sum of the sizes of all files with that extension.
pub(super) fn bytes_with_extension(directory: &Path, extension: &str) -> Result<u64> {
    let mut bytes = 0;
    for entry in WalkDir::new(directory) {
        let entry = entry.map_err(std::io::Error::from).during("reading", directory)?;
        if entry.path().extension().is_some_and(|found| found == extension) {
            bytes += entry
                .metadata()
                .map_err(std::io::Error::from)
                .during("reading", entry.path())?
                .len();
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(number: u64, size: u64) -> Candidate {
        Candidate { path: PathBuf::from(number.to_string()), size, is_link: false }
    }

    #[test]
    fn files_are_taken_until_there_are_enough_of_both() {
        let even = choose((0..100_000).map(|number| candidate(number, 15_000)).collect());
        assert_eq!(even.len() as u64, MIN_FILES);
        let small = choose((0..1_000_000).map(|number| candidate(number, 1000)).collect());
        assert_eq!(small.iter().map(|taken| taken.size).sum::<u64>(), MIN_BYTES);
    }

    #[test]
    fn large_files_are_left_out_once_there_are_bytes_enough() {
        let sizes = (0..100_000).map(|number| if number % 2 == 0 { 1_000_000 } else { 100 });
        let chosen =
            choose((0..).zip(sizes).map(|(number, size)| candidate(number, size)).collect());
        assert_eq!(chosen.len() as u64, MIN_FILES);
        assert_eq!(chosen.iter().filter(|taken| taken.size > SMALL_FILE).count(), 300);
    }

    #[test]
    fn a_source_that_is_too_small_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("file"), b"12345").unwrap();
        let refused = build_sample(
            directory.path(),
            &directory.path().join("tree"),
            &crate::progress::Silent,
        );
        let message = refused.unwrap_err().to_string();
        let needed = "20000 files with 300000000 bytes are needed";
        assert_eq!(
            message,
            format!("{} has only 1 files with 5 bytes; {needed}", directory.path().display())
        );
    }
}
