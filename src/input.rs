//! Whole files that come from outside, read without waiting for ever and without filling the
//! memory.
//!
//! What should be a file may be a pipe that nothing writes to, a device that never ends, or larger
//! than any memory. A file of a repository must be a regular one. One that the user has named may
//! also be a pipe that was handed over on purpose, as in `--skip-list=<(...)` or `/dev/stdin`; a
//! named pipe must have a writer within two seconds.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags, RenameFlags};

use crate::dir::{self, Dir};

/// Nothing larger is read where a list, a key or a configuration is wanted, in bytes.
pub const MAX_INPUT_SIZE: u64 = 64 << 20;

/// How long a named pipe may be without a writer.
const WRITER_WAIT: Duration = Duration::from_secs(2);
const POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The file system that pipes without a name are in.
const PIPEFS_MAGIC: i64 = 0x5049_5045;
/// The null device, an empty file to most users.
const NULL_DEVICE: (u32, u32) = (1, 3);
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// Reads a file of at most `limit` bytes that must be a regular one, as those of a repository are.
pub(crate) fn read_stored(
    dir: impl AsFd,
    path: impl AsRef<Path>,
    limit: u64,
) -> io::Result<Vec<u8>> {
    let file = File::from(rustix::fs::openat(dir, path.as_ref(), FLAGS, Mode::empty())?);
    read_up_to(require_regular(file)?, limit)
}

/// Gives the file back if it is a regular one.
pub(crate) fn require_regular(file: File) -> io::Result<File> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    match kind {
        FileType::RegularFile => Ok(file),
        FileType::Directory => Err(io::Error::from(rustix::io::Errno::ISDIR)),
        _ => Err(not_a_file()),
    }
}

/// Reads a file that the user has named, up to [`MAX_INPUT_SIZE`].
///
/// # Errors
/// When it cannot be opened or read, when it is a device, a socket or a named pipe without a
/// writer, and when it is larger.
pub fn read_named(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::from(rustix::fs::open(path, FLAGS, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile | FileType::Directory => read_up_to(file, MAX_INPUT_SIZE),
        FileType::Fifo => {
            let first = if is_named_pipe(&file) { first_bytes(&file)? } else { Vec::new() };
            // From here on there is a writer, and an end when it is done.
            rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
            let rest = read_up_to(file, MAX_INPUT_SIZE)?;
            Ok([first, rest].concat())
        }
        FileType::CharacterDevice if is_null(stat.st_rdev) => Ok(Vec::new()),
        FileType::CharacterDevice if rustix::termios::isatty(&file) => {
            rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
            read_up_to(file, MAX_INPUT_SIZE)
        }
        _ => Err(not_a_file()),
    }
}

/// Creates the file that the user has named for output, or empties the one that is there.
///
/// Nothing is written through a symbolic link to a file, which another user may have put there; one
/// to a pipe, a terminal or a descriptor of this process, as `/dev/stdout` is, is followed.
///
/// # Errors
/// When it cannot be created or is such a link.
pub fn create_named(path: &Path) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
    let created = flags | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
    match rustix::fs::open(path, created, Mode::from_raw_mode(0o666)) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::LOOP) => {
            let in_dev = path.parent() == Some(Path::new("/dev"));
            let is_descriptor = in_dev || path.starts_with("/dev/fd") || path.starts_with("/proc");
            let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
            match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
                FileType::RegularFile if !is_descriptor => {
                    Err(io::Error::from(rustix::io::Errno::LOOP))
                }
                _ => Ok(file),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes a file that the user has named, in the place of what is there: of a link, too, and never
/// through it.
///
/// # Errors
/// When it cannot be written; what was there before stays then.
pub fn replace_named(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (directory, name) = Dir::open_parent(path)?;
    replace_in(&directory, &name, bytes)
}

/// Writes files into the directory that the user has named, each as [`replace_named`] does. The
/// directory stays the same whatever gets its name meanwhile.
///
/// # Errors
/// When one of them cannot be written: its name, and why.
pub fn replace_within(
    directory: &Path,
    files: &[(OsString, Vec<u8>)],
) -> Result<(), (OsString, io::Error)> {
    let opened = Dir::open(directory).map_err(|error| (OsString::new(), error.into()))?;
    files.iter().try_for_each(|(name, bytes)| {
        replace_in(&opened, name, bytes).map_err(|error| (name.clone(), error))
    })
}

/// What [`replace_named`] does, in a directory that is open.
pub(crate) fn replace_in(directory: &Dir, name: &OsStr, bytes: &[u8]) -> io::Result<()> {
    let mut temporary = name.to_owned();
    temporary.push(format!(".{}", std::process::id()));
    // Only a process of this number that was killed can have left one.
    let _ = dir::remove_file(directory, &temporary);
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
    let mut file = dir::open(directory, &temporary, flags, Mode::from_raw_mode(0o666))?;
    let placed = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| {
        Ok(dir::rename((directory, &temporary), (directory, name), RenameFlags::empty())?)
    });
    if placed.is_err() {
        let _ = dir::remove_file(directory, &temporary);
    }
    placed
}

fn is_null(device: u64) -> bool {
    (rustix::fs::major(device), rustix::fs::minor(device)) == NULL_DEVICE
}

fn is_named_pipe(file: &File) -> bool {
    rustix::fs::fstatfs(file).is_ok_and(|system| system.f_type != PIPEFS_MAGIC)
}

/// Waits until something comes through a named pipe.
fn first_bytes(mut file: &File) -> io::Result<Vec<u8>> {
    let started = Instant::now();
    let mut buffer = [0; 512];
    loop {
        match file.read(&mut buffer) {
            // No writer has opened it.
            Ok(0) if started.elapsed() > WRITER_WAIT => {
                return Err(io::Error::other("a pipe that no program writes to"));
            }
            Ok(0) => {}
            Ok(length) => return Ok(buffer[..length].to_vec()),
            // A writer has, and takes its time.
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

fn read_up_to(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 <= limit {
        true => Ok(bytes),
        false => Err(io::Error::other(format!("larger than {limit} bytes"))),
    }
}

fn not_a_file() -> io::Error {
    io::Error::other("not a regular file")
}

/// A text from outside as a message can quote it: its first line, shortened, with no control
/// character in it but tabs.
pub fn quotable(text: &str) -> String {
    const LONGEST: usize = 100;
    let line = text.lines().next().unwrap_or_default();
    let mut quoted = String::new();
    for character in line.chars() {
        if quoted.len() >= LONGEST {
            quoted.push_str("...");
            return quoted;
        }
        match character.is_control() && character != '\t' {
            true => quoted.extend(character.escape_default()),
            false => quoted.push(character),
        }
    }
    if line.len() < text.trim_end_matches(['\n', '\r']).len() {
        quoted.push_str("...");
    }
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let scratch = tempfile::tempdir().unwrap();
        let pipe = scratch.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
            .unwrap();
        let text = |error: io::Error| error.to_string();
        assert_eq!(
            text(read_stored(rustix::fs::CWD, &pipe, 10).unwrap_err()),
            "not a regular file"
        );
        assert_eq!(text(read_named(&pipe).unwrap_err()), "a pipe that no program writes to");
        assert_eq!(text(read_named(Path::new("/dev/zero")).unwrap_err()), "not a regular file");
        assert_eq!(read_named(Path::new("/dev/null")).unwrap(), b"");
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::write(pipe, "a list").unwrap()
        });
        assert_eq!(read_named(&pipe).unwrap(), b"a list");
        writer.join().unwrap();
    }

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_stored(rustix::fs::CWD, &path, 10).unwrap(), b"0123456789");
        let error = read_stored(rustix::fs::CWD, &path, 9).unwrap_err();
        assert_eq!(error.to_string(), "larger than 9 bytes");
    }

    #[test]
    fn a_named_file_takes_the_place_of_a_link() {
        let scratch = tempfile::tempdir().unwrap();
        let [victim, link] = ["victim", "link"].map(|name| scratch.path().join(name));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink("victim", &link).unwrap();
        replace_named(&link, b"new").unwrap();
        assert_eq!(std::fs::read(&link).unwrap(), b"new");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        std::fs::create_dir(scratch.path().join("directory")).unwrap();
        assert!(replace_named(&scratch.path().join("directory"), b"new").is_err());
        assert_eq!(
            std::fs::read_dir(scratch.path()).unwrap().count(),
            3,
            "nothing unfinished is left"
        );
    }

    #[test]
    fn a_quoted_text_is_one_short_line_without_control_characters() {
        for (text, quoted) in [
            ("plain", "plain"),
            ("plain\n", "plain"),
            ("first\nsecond\n", "first..."),
            ("\u{1b}[31mred\u{7}", "\\u{1b}[31mred\\u{7}"),
            ("é", "é"),
            (" a\tb", " a\tb"),
        ] {
            assert_eq!(quotable(text), quoted);
        }
        assert_eq!(quotable(&"x".repeat(5_000)).len(), 103);
    }
}
