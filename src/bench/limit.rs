//! The lower bound for a first commit into an archive: reading, hashing and deflating the files on
//! all processors. No objects, no directories, nothing written.

use std::collections::HashSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::resource::UsageWho;
use rayon::prelude::*;
use walkdir::WalkDir;

use super::child::cpu_time;
use crate::checksum::{Checksum, Hasher};
use crate::deflate::{Deflater, Encoding, Settings};
use crate::error::{During, Result};
use crate::progress::Progress;
use crate::threads;
use crate::trial::check_interrupt;

/// The defaults of archives.
const SETTINGS: Settings = Settings { encoding: Encoding::Fast, level: 6 };

/// How much of a file is read at a time, in bytes; larger files are read a second time to be
/// deflated, as by a commit.
const READ_SIZE: usize = 1 << 20;

/// The cost of the bare work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limit {
    /// From start to end.
    pub time: Duration,
    /// Processor time of all threads.
    pub cpu: Duration,
    /// Bytes produced by the encoder.
    pub deflated_bytes: u64,
}

/// Does the work once. Files with equal content are deflated once.
pub(super) fn measure(tree: &Path, progress: &dyn Progress) -> Result<Limit> {
    let files = largest_first(tree)?;
    let seen = Mutex::new(HashSet::new());
    let (before, started) = (cpu_time(UsageWho::RUSAGE_SELF)?, Instant::now());
    let state = || (vec![0; READ_SIZE], Deflater::new(SETTINGS), Vec::new());
    let sizes = files.par_iter().map_init(state, |(buffer, deflater, output), path| {
        check_interrupt(progress)?;
        let mut file = File::open(path).during("opening", path)?;
        let (checksum, size) = hash(&mut file, buffer).during("reading", path)?;
        if !seen.lock().unwrap_or_else(PoisonError::into_inner).insert(checksum) {
            return Ok(0);
        }
        deflate(&mut file, size, buffer, deflater, output).during("compressing", path)
    });
    let deflated_bytes = threads::run(|| sizes.sum::<Result<u64>>())?;
    let time = started.elapsed();
    Ok(Limit { time, cpu: cpu_time(UsageWho::RUSAGE_SELF)?.saturating_sub(before), deflated_bytes })
}

/// All regular files, ordered so that no thread is left with a large one at the end.
fn largest_first(tree: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(tree) {
        let entry = entry.map_err(std::io::Error::from).during("reading", tree)?;
        if entry.file_type().is_file() {
            let size = entry
                .metadata()
                .map_err(std::io::Error::from)
                .during("reading", entry.path())?
                .len();
            files.push((size, entry.into_path()));
        }
    }
    files.sort_unstable_by(|a, b| b.cmp(a));
    Ok(files.into_iter().map(|(_, path)| path).collect())
}

/// Leaves the last part read in the buffer, which is the whole file if it fits.
fn hash(file: &mut File, buffer: &mut [u8]) -> std::io::Result<(Checksum, usize)> {
    let (mut hasher, mut total) = (Hasher::new(), 0);
    loop {
        // A full buffer is emptied; a file that fits ends with an empty read after its content.
        let room = total % buffer.len();
        let length = file.read(&mut buffer[room..])?;
        if length == 0 {
            return Ok((hasher.finish(), total));
        }
        hasher.update(&buffer[room..room + length]);
        total += length;
    }
}

fn deflate(
    file: &mut File,
    size: usize,
    buffer: &mut [u8],
    deflater: &mut Deflater,
    output: &mut Vec<u8>,
) -> std::io::Result<u64> {
    output.clear();
    let mut held = size.min(buffer.len());
    if size > buffer.len() {
        file.seek(SeekFrom::Start(0))?;
        held = file.read(buffer)?;
    }
    deflater.begin();
    let mut bytes = 0;
    loop {
        deflater.push(&buffer[..held], output);
        bytes += output.len() as u64;
        output.clear();
        if size <= buffer.len() {
            break;
        }
        held = file.read(buffer)?;
        if held == 0 {
            break;
        }
    }
    deflater.finish(output);
    Ok(bytes + output.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn equal_files_are_deflated_once_and_large_ones_in_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let large: Vec<u8> =
            (0..3_000_000_u32).flat_map(|number| (number / 100).to_le_bytes()).collect();
        for (name, content) in
            [("a", b"same".as_slice()), ("b", b"same"), ("c", b""), ("large", &large)]
        {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let mut deflater = Deflater::new(SETTINGS);
        let expected: usize = [b"same".as_slice(), b"", &large]
            .map(|content| {
                let mut output = Vec::new();
                deflater.begin();
                content.chunks(READ_SIZE).for_each(|piece| deflater.push(piece, &mut output));
                deflater.finish(&mut output);
                output.len()
            })
            .iter()
            .sum();
        let limit = measure(directory.path(), &crate::progress::Silent).unwrap();
        assert_eq!(limit.deflated_bytes, expected as u64);
        assert!(limit.time > Duration::ZERO);
    }

    #[test]
    fn hashing_leaves_a_small_file_in_the_buffer() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        for size in [0, 1, 15, 16, 17, 40] {
            let content: Vec<u8> = (0..size).collect();
            fs::write(&path, &content).unwrap();
            let mut buffer = [0; 16];
            let found = hash(&mut File::open(&path).unwrap(), &mut buffer).unwrap();
            assert_eq!(found, (Checksum::of(&content), content.len()));
            if content.len() <= buffer.len() {
                assert_eq!(buffer[..content.len()], content);
            }
        }
    }
}
