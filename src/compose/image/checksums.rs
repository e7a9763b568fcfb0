//! The checksum file beside the images: a comment and a checksum for each of them, in the style of
//! release pages.
//!
//! ```text
//! # exampleos-22.3.qcow2: 612368384 bytes
//! SHA256 (exampleos-22.3.qcow2) = HEX
//! ```
//!
//! Images of one name and different formats share it.

use std::io::Read;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::checksum::Checksum;
use crate::dir::{self, Dir};
use crate::error::{During, Result};

use super::super::qemu::checksum_file;

/// The largest checksum file that is added to, in bytes.
const LONGEST: u64 = 1 << 20;

/// What has the name of a checksum file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing.
    Nothing,
    /// Checksums of images.
    Checksums(Checksums),
    /// Something that cannot be added to: not a file, not in this style, or signed.
    Foreign,
}

/// The lines of a checksum file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Checksums {
    lines: Vec<String>,
}

impl Checksums {
    /// Reads a file in a directory; `path` names it in messages.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub(super) fn read(directory: &Dir, name: &str, path: &Path) -> Result<Found> {
        match dir::stat(directory, name) {
            Err(Errno::NOENT) => return Ok(Found::Nothing),
            Err(error) => return Err(error).during("looking at", path),
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile => {
                return Ok(Found::Foreign);
            }
            Ok(_) => {}
        }
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = match dir::open(directory, name, flags, Mode::empty()) {
            Err(Errno::LOOP) => return Ok(Found::Foreign),
            file => file.during("opening", path)?,
        };
        let metadata = file.metadata().during("looking at", path)?;
        if !metadata.is_file() || metadata.len() > LONGEST {
            return Ok(Found::Foreign);
        }
        let mut bytes = Vec::new();
        file.take(LONGEST).read_to_end(&mut bytes).during("reading", path)?;
        Ok(Self::parse(&bytes).map_or(Found::Foreign, Found::Checksums))
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let is_checksum = |line: &str| {
            let sum = line.strip_prefix("SHA256 (").and_then(|rest| rest.rsplit_once(") = "));
            sum.is_some_and(|(_, hex)| Checksum::from_hex(hex).is_ok())
        };
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let is_known =
            |line: &String| line.is_empty() || line.starts_with('#') || is_checksum(line);
        lines.iter().all(is_known).then_some(Self { lines })
    }

    /// Whether an image is in it.
    pub(super) fn has(&self, image: &str) -> bool {
        self.lines.iter().any(|line| line.starts_with(&sum_of(image)))
    }

    /// Adds an image at the end, replacing an earlier entry of that name.
    pub(super) fn set(&mut self, image: &str, size: u64, sha256: &Checksum) {
        self.replace(image, &checksum_file(image, size, &sha256.to_hex()));
    }

    /// Copies the entry of an image from another file.
    pub(super) fn take(&mut self, image: &str, from: &Self) {
        let lines =
            from.lines.iter().filter(|line| is_about(line, image)).map(|line| format!("{line}\n"));
        self.replace(image, &lines.collect::<String>());
    }

    fn replace(&mut self, image: &str, text: &str) {
        self.lines.retain(|line| !is_about(line, image));
        self.lines.extend(text.lines().map(str::to_owned));
    }

    /// The whole file.
    pub(super) fn to_text(&self) -> String {
        self.lines.iter().map(|line| format!("{line}\n")).collect()
    }
}

fn sum_of(image: &str) -> String {
    format!("SHA256 ({image}) = ")
}

fn is_about(line: &str, image: &str) -> bool {
    line.starts_with(&sum_of(image)) || line.starts_with(&format!("# {image}: "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_has_its_lines() {
        let (one, two) = (Checksum::of(b"1"), Checksum::of(b"2"));
        let mut checksums = Checksums::default();
        checksums.set("a.raw", 1, &one);
        checksums.set("a.raw.qcow2", 2, &one);
        assert!(checksums.has("a.raw") && !checksums.has("a") && !checksums.has("a.qcow2"));
        checksums.set("a.raw", 3, &two);
        let expected = format!(
            "# a.raw.qcow2: 2 bytes\nSHA256 (a.raw.qcow2) = {one}\n# a.raw: 3 bytes\nSHA256 \
             (a.raw) = {two}\n"
        );
        assert_eq!(checksums.to_text(), expected);
        assert_eq!(Checksums::parse(expected.as_bytes()), Some(checksums.clone()));
        let mut other = Checksums::default();
        other.set("b.raw", 9, &two);
        other.set("a.raw", 8, &one);
        other.take("a.raw", &checksums);
        let expected = format!(
            "# b.raw: 9 bytes\nSHA256 (b.raw) = {two}\n# a.raw: 3 bytes\nSHA256 (a.raw) = {two}\n"
        );
        assert_eq!(other.to_text(), expected);
    }

    #[test]
    fn what_others_wrote_is_foreign() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("CHECKSUM");
        let dir = Dir::open(directory.path()).unwrap();
        let read = || Checksums::read(&dir, "CHECKSUM", &path);
        assert_eq!(read().unwrap(), Found::Nothing);
        let sum = format!("SHA256 (a (1)) = {}\n", Checksum::of(b"1"));
        for (text, is_foreign) in [
            (sum.clone(), false),
            (format!("# of 2026\n\n{sum}"), false),
            (String::new(), false),
            (format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{sum}"), true),
            (format!("{}  a\n", Checksum::of(b"1")), true),
            ("SHA256 (a) = 12\n".to_owned(), true),
            ("#".repeat(LONGEST as usize + 1), true),
        ] {
            std::fs::write(&path, &text).unwrap();
            assert_eq!(read().unwrap() == Found::Foreign, is_foreign, "{text:.80}");
        }
        std::fs::write(&path, b"#\xff\n").unwrap();
        assert_eq!(read().unwrap(), Found::Foreign);
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("nowhere", &path).unwrap();
        assert_eq!(read().unwrap(), Found::Foreign);
    }
}
