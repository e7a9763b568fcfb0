//! Two releases of a made-up system, and two disk images: the same on every machine.
//!
//! ```text
//! share/docs-NNN/page-N.txt   words, 0.5 to 24 kB                        a fifth of the bytes
//! lib/part-NNN/libN.so.1      what looks like machine code, 8 kB to 1 MB  about half
//! lib/large/N                 a sixth of the bytes, a twelfth, and two of 1/25
//! ```
//!
//! In the second release most programs have been linked again: a byte here and there is another one
//! all over the file. Some have new and moved blocks only, some have another name, version or mode,
//! and some are new, gone, or as before.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::content::{Content, Dice};
use crate::error::{During, Result};
use crate::progress::Progress;
use crate::threads;
use crate::trial::check_interrupt;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Release {
    First,
    Second,
}

/// A file of the system, with what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    number: u64,
    path: String,
    content: Content,
    size: usize,
    change: Change,
}

/// What happens to a file between the releases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    /// Differences all over it.
    Relinked,
    /// New and moved blocks behind its beginning.
    Rearranged,
    /// Some lines are new.
    Edited,
    Renamed,
    /// It can be executed.
    Mode,
    Removed,
    Added,
}

const KB: u64 = 1000;

/// Writes a release of about so many bytes to a new directory.
pub(super) fn write(
    tree: &Path,
    bytes: u64,
    release: Release,
    progress: &dyn Progress,
) -> Result<()> {
    let files = files(bytes);
    fs::create_dir(tree).during("creating", tree)?;
    let written = files.par_iter().try_for_each(|file| {
        check_interrupt(progress)?;
        file.write(tree, release)
    });
    threads::run(|| written)
}

/// All files of both releases.
fn files(bytes: u64) -> Vec<File> {
    let mut files = Vec::new();
    let shares = [
        (6, Change::Relinked),
        (12, Change::Rearranged),
        (25, Change::None),
        (25, Change::Relinked),
    ];
    for (number, (share, change)) in (0..).zip(shares) {
        let (path, size) = (format!("lib/large/{number}"), (bytes / share) as usize);
        files.push(File { number, path, content: Content::Code, size, change });
    }
    let (mut number, mut left) = (files.len() as u64, bytes / 5);
    while left > 0 {
        let mut dice = Dice::new(1, number);
        let size = dice.between(500, 24 * KB);
        let change = match dice.below(100) {
            0..15 => Change::Edited,
            15..18 => Change::Renamed,
            18..21 => Change::Removed,
            21..24 => Change::Added,
            _ => Change::None,
        };
        let path = format!("share/docs-{:03}/page-{number}.txt", number / 50);
        files.push(File { number, path, content: Content::Words, size: size as usize, change });
        (number, left) = (number + 1, left.saturating_sub(size));
    }
    let mut left = bytes / 2;
    while left > 0 {
        let mut dice = Dice::new(1, number);
        let size = dice.between(8 * KB, 1000 * KB);
        let change = match dice.below(100) {
            0..50 => Change::Relinked,
            50..60 => Change::Rearranged,
            60..65 => Change::Renamed,
            65..67 => Change::Mode,
            67..69 => Change::Removed,
            69..71 => Change::Added,
            _ => Change::None,
        };
        let path = format!("lib/part-{:03}/lib{number}.so.1", number / 20);
        files.push(File { number, path, content: Content::Code, size: size as usize, change });
        (number, left) = (number + 1, left.saturating_sub(size));
    }
    files
}

impl File {
    fn is_in(&self, release: Release) -> bool {
        match release {
            Release::First => self.change != Change::Added,
            Release::Second => self.change != Change::Removed,
        }
    }

    fn path(&self, release: Release) -> PathBuf {
        let is_renamed = release == Release::Second && self.change == Change::Renamed;
        PathBuf::from(if is_renamed { format!("{}.2", self.path) } else { self.path.clone() })
    }

    fn content(&self, release: Release) -> Vec<u8> {
        let mut bytes = self.content.make(self.size, &mut Dice::new(2, self.number));
        if release == Release::First {
            return bytes;
        }
        let mut dice = Dice::new(3, self.number);
        match self.change {
            Change::Relinked => relink(&mut bytes, &mut dice),
            Change::Rearranged => rearrange(&mut bytes, &mut dice),
            Change::Edited => edit(&mut bytes, &mut dice),
            _ => {}
        }
        bytes
    }

    fn write(&self, tree: &Path, release: Release) -> Result<()> {
        if !self.is_in(release) {
            return Ok(());
        }
        let path = tree.join(self.path(release));
        let parent = path.parent().unwrap_or(tree);
        fs::create_dir_all(parent).during("creating", parent)?;
        fs::write(&path, self.content(release)).during("writing", &path)?;
        let is_executable = self.change == Change::Mode && release == Release::Second;
        let mode = if is_executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).during("changing", &path)
    }
}

/// Adds to bytes all over the file, and puts in some small pieces.
fn relink(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let mut at = dice.below(60) as usize;
    while let Some(byte) = bytes.get_mut(at) {
        *byte = byte.wrapping_add(7);
        at += dice.between(20, 400) as usize;
    }
    let old = std::mem::take(bytes);
    let mut rest = &old[..];
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(rest.len().min(dice.below(200 * KB) as usize + 1));
        bytes.extend_from_slice(piece);
        bytes.extend(Content::Code.make(dice.below(600) as usize, dice));
        rest = behind;
    }
}

/// How much of the beginning stays: two files are compared in blocks only if they begin with the
/// same bytes.
const BEGINNING: usize = 64 << 10;

/// Replaces an eighth of the blocks, and swaps as many.
fn rearrange(bytes: &mut [u8], dice: &mut Dice) {
    const BLOCK: usize = 96 << 10;
    let blocks = bytes.len().saturating_sub(BEGINNING) / BLOCK;
    for number in 0..blocks {
        let start = BEGINNING + number * BLOCK;
        match dice.below(8) {
            0 => {
                let new = Content::Code.make(BLOCK, dice);
                bytes[start..start + BLOCK].copy_from_slice(&new);
            }
            1 => {
                let other = BEGINNING + dice.below(blocks as u64) as usize * BLOCK;
                let (low, high) = (start.min(other), start.max(other));
                let (before, behind) = bytes.split_at_mut(high);
                if low < high {
                    before[low..low + BLOCK].swap_with_slice(&mut behind[..BLOCK]);
                }
            }
            _ => {}
        }
    }
}

/// Puts in some lines.
fn edit(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(5) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        let line = Content::Words.make(dice.between(10, 80) as usize, dice);
        bytes.splice(at..at, line);
    }
}

/// What an image is made of, in bytes.
const EXTENT: usize = 1 << 20;
/// Fewer might all be the same.
const FEWEST_EXTENTS: u64 = 8;

/// Writes a directory with a disk image; of the second one 35 of 100 extents are new.
pub(super) fn write_image(tree: &Path, bytes: u64, release: Release) -> Result<()> {
    fs::create_dir(tree).during("creating", tree)?;
    let extents = (bytes / EXTENT as u64).max(FEWEST_EXTENTS);
    let make = |number: u64| {
        let is_new =
            release == Release::Second && number > 0 && Dice::new(4, number).below(100) < 35;
        let mut dice = Dice::new(if is_new { 6 } else { 5 }, number);
        let content = match dice.below(10) {
            0..5 => Content::Code,
            5..8 => Content::Words,
            _ => Content::Noise,
        };
        content.make(EXTENT, &mut dice)
    };
    let made = threads::run(|| Ok((0..extents).into_par_iter().map(make).collect::<Vec<_>>()))?;
    let path = tree.join("image");
    fs::write(&path, made.concat()).during("writing", &path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure_tree;
    use crate::progress::Silent;

    #[test]
    fn both_releases_have_the_size_that_was_asked_for_and_differ() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = ["first", "second"].map(|name| directory.path().join(name));
        write(&first, 2_000_000, Release::First, &Silent).unwrap();
        write(&second, 2_000_000, Release::Second, &Silent).unwrap();
        for tree in [&first, &second] {
            let size = measure_tree(tree).unwrap();
            assert!((1_600_000..3_500_000).contains(&size.bytes), "{size:?}");
        }
        let content = |tree: &Path, path| fs::read(tree.join(path)).unwrap();
        let (old, new) = (content(&first, "lib/large/0"), content(&second, "lib/large/0"));
        assert!(old != new && new.len() > old.len() && new.len() < old.len() * 11 / 10);
        assert!(content(&first, "lib/large/2") == content(&second, "lib/large/2"));
    }

    #[test]
    fn a_release_is_the_same_each_time() {
        let file = &files(2_000_000)[0];
        assert_eq!(file.size, 333_333);
        let contents = [Release::First, Release::Second].map(|release| file.content(release));
        let again = [Release::First, Release::Second].map(|release| file.content(release));
        assert!(contents == again);
    }

    #[test]
    fn images_share_their_beginning_and_most_extents() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = [Release::First, Release::Second].map(|release| {
            let tree = directory.path().join(format!("{release:?}"));
            write_image(&tree, 20 << 20, release).unwrap();
            fs::read(tree.join("image")).unwrap()
        });
        assert_eq!((first.len(), second.len()), (20 << 20, 20 << 20));
        let extents = first.chunks(EXTENT).zip(second.chunks(EXTENT));
        let same: Vec<bool> = extents.map(|(old, new)| old == new).collect();
        assert!(same[0] && (10..18).contains(&same.iter().filter(|same| **same).count()));
    }
}
