//! Verifies a disk image with `qemu-img`.
//!
//! `qemu-img info` succeeds for any file: junk is `raw` to it, and a truncated qcow2 still `qcow2`.
//! Only `qemu-img check` finds truncation; its exit status is 0 for a clean image, 2 for a corrupt
//! one, 3 for leaked space only, 63 for a format without checks, 1 when it could not check.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::error::{During, Result};

use super::regular::{self, Links};

/// A format of disk images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// QEMU's own, which grows as it is filled.
    Qcow2,
    /// The plain bytes of the disk.
    Raw,
}

impl Format {
    /// Parses QEMU's name of a format.
    ///
    /// # Errors
    /// For any other.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "qcow2" => Ok(Self::Qcow2),
            "raw" => Ok(Self::Raw),
            _ => Err(format!("`{text}` is neither qcow2 nor raw")),
        }
    }

    /// QEMU's name, which is also the file name extension.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Qcow2 => "qcow2",
            Self::Raw => "raw",
        }
    }
}

/// The arguments of `qemu-img info`. `file` must be absolute, or a colon in it would be taken for a
/// protocol.
pub(crate) fn info_arguments(file: &Path) -> [OsString; 3] {
    ["info".into(), "--output=json".into(), file.into()]
}

/// The arguments of `qemu-img check`.
pub(crate) fn check_arguments(file: &Path) -> [OsString; 3] {
    ["check".into(), "--output=json".into(), file.into()]
}

/// The arguments of `qemu-img convert` to a qcow2, compressed or not. The format of the source is
/// given, not guessed: a guest can write data to a raw disk that looks like another format.
pub(crate) fn convert_arguments(from: (&Path, Format), to: &Path, compress: bool) -> Vec<OsString> {
    let (file, format) = from;
    let mut arguments: Vec<OsString> =
        ["convert", "-f", format.as_str(), "-O", "qcow2"].map(OsString::from).into();
    if compress {
        arguments.push("-c".into());
    }
    arguments.extend([file.into(), to.into()]);
    arguments
}

/// The output of `qemu-img info` for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    /// As QEMU calls it.
    pub(crate) format: String,
    /// The size of the disk in it, in bytes.
    pub(crate) virtual_size: u64,
    /// The space that the file takes, in bytes.
    pub(crate) actual_size: u64,
    /// Whether the image is marked as corrupt.
    pub(crate) corrupt: bool,
    /// Another file that holds a part of the disk: the image alone would be useless.
    pub(crate) other_file: Option<String>,
}

impl Info {
    /// Parses the output of `qemu-img info --output=json`.
    ///
    /// # Errors
    /// When something is missing in it.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(json).map_err(|error| format!("is no JSON: {error}"))?;
        let number = |key: &str| document[key].as_u64().ok_or_else(|| format!("has no {key}"));
        let specific = &document["format-specific"]["data"];
        let other =
            document["backing-filename"].as_str().or_else(|| specific["data-file"].as_str());
        Ok(Self {
            format: document["format"].as_str().ok_or("has no format")?.to_owned(),
            virtual_size: number("virtual-size")?,
            actual_size: number("actual-size")?,
            corrupt: specific["corrupt"].as_bool().unwrap_or(false),
            other_file: other.map(str::to_owned),
        })
    }
}

/// The result of `qemu-img check` for an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Soundness {
    /// Nothing is wrong.
    Clean,
    /// Only space is leaked.
    Leaks(String),
    /// The format has no check.
    Unknown,
    /// It is broken, or could not be checked; with qemu-img's message.
    Broken(String),
}

impl Soundness {
    /// Evaluates the result of `qemu-img check --output=json`; `status` is `None` when a signal
    /// ended it.
    pub(crate) fn of(status: Option<i32>, stdout: &[u8], stderr: &str) -> Self {
        let counts: Value = serde_json::from_slice(stdout).unwrap_or_default();
        let count = |key: &str| counts[key].as_u64().filter(|count| *count > 0);
        let words = stderr.lines().map(str::trim).find(|line| !line.is_empty());
        match status {
            // Not every version reflects errors during the check in its status.
            Some(0) if count("check-errors").is_none() && count("corruptions").is_none() => {
                Self::Clean
            }
            Some(3) => {
                Self::Leaks(format!("{} leaked clusters", count("leaks").unwrap_or_default()))
            }
            Some(63) => Self::Unknown,
            _ => {
                let found = ["corruptions", "check-errors"]
                    .into_iter()
                    .filter_map(|key| Some((count(key)?, key)));
                let found: Vec<_> = found
                    .map(|(count, key)| format!("{count} {}", key.replace('-', " ")))
                    .collect();
                let status = status.map_or("killed by a signal".to_owned(), |status| {
                    format!("exit status {status}")
                });
                let parts = (!found.is_empty())
                    .then(|| found.join(", "))
                    .into_iter()
                    .chain(words.map(str::to_owned));
                let parts: Vec<_> = parts.collect();
                Self::Broken(if parts.is_empty() { status } else { parts.join(": ") })
            }
        }
    }
}

/// The requirements on an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted<'a> {
    /// Any of these formats.
    pub(crate) formats: &'a [Format],
    /// The minimum size of the disk, in bytes.
    pub(crate) virtual_size: u64,
    /// The minimum space taken, in bytes: an empty disk takes 200 KiB.
    pub(crate) actual_size: u64,
}

/// Decides whether a file is a valid image, and of which format; the second value has warnings.
///
/// # Errors
/// Everything that is wrong with it, in one line without its name.
pub(crate) fn judge(
    info: &Info,
    soundness: &Soundness,
    wanted: &Wanted<'_>,
) -> Result<(Format, Vec<String>), String> {
    let mut wrong = Vec::new();
    let mut warnings = Vec::new();
    let format = wanted.formats.iter().copied().find(|format| format.as_str() == info.format);
    if format.is_none() {
        let names: Vec<_> = wanted.formats.iter().map(|format| format.as_str()).collect();
        wrong.push(format!("its format is {}, not {}", info.format, names.join(" or ")));
    }
    if let Some(other) = &info.other_file {
        wrong.push(format!("a part of it is in another file, {other}"));
    }
    if info.corrupt {
        wrong.push("it is marked as corrupt".to_owned());
    }
    match soundness {
        Soundness::Clean => {}
        Soundness::Leaks(leaks) => warnings.push(format!("qemu-img check: {leaks}")),
        Soundness::Unknown if format == Some(Format::Raw) => {}
        Soundness::Unknown => wrong.push("qemu-img has no check for it".to_owned()),
        Soundness::Broken(words) => wrong.push(format!("qemu-img check: {words}")),
    }
    if info.virtual_size < wanted.virtual_size {
        let (found, least) = (info.virtual_size, wanted.virtual_size);
        wrong
            .push(format!("the disk in it has {found} bytes, not the {least} that were asked for"));
    }
    if info.actual_size < wanted.actual_size {
        let (found, least) = (info.actual_size, wanted.actual_size);
        wrong.push(format!(
            "it takes {found} bytes, and no installed system takes less than {least}"
        ));
    }
    match format {
        Some(format) if wrong.is_empty() => Ok((format, warnings)),
        _ => Err(wrong.join("; ")),
    }
}

/// Position and value of the signature on a disk that BIOS or UEFI can boot.
const BOOT_SIGNATURE: (usize, [u8; 2]) = (510, [0x55, 0xaa]);

/// Whether a raw disk has a partition table at all: qemu-img calls any file a raw disk.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn has_partition_table(disk: &Path) -> Result<bool> {
    let (at, signature) = BOOT_SIGNATURE;
    let mut start = Vec::new();
    let file = regular::open(disk, Links::Refuse)?;
    file.take(at as u64 + 2).read_to_end(&mut start).during("reading", disk)?;
    Ok(start.get(at..) == Some(&signature))
}

/// The checksum file of an image, in the style that release pages carry.
pub(crate) fn checksum_file(name: &str, size: u64, sha256: &str) -> String {
    format!("# {name}: {size} bytes\nSHA256 ({name}) = {sha256}\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const GIB: u64 = 1 << 30;

    fn info() -> Info {
        Info {
            format: "qcow2".into(),
            virtual_size: 10 * GIB,
            actual_size: GIB,
            corrupt: false,
            other_file: None,
        }
    }

    fn verdict(info: &Info, soundness: Soundness) -> Result<(Format, Vec<String>), String> {
        let wanted = Wanted {
            formats: &[Format::Qcow2, Format::Raw],
            virtual_size: 10 * GIB,
            actual_size: 64 << 20,
        };
        judge(info, &soundness, &wanted)
    }

    #[test]
    fn what_info_prints_is_read() {
        let document = json!({
            "virtual-size": 10 * GIB, "format": "qcow2", "actual-size": GIB, "filename": "x",
            "format-specific": { "type": "qcow2", "data": { "corrupt": false } },
            "children": [{ "info": { "format": "file", "virtual-size": 7, "actual-size": 8 } }],
        });
        assert_eq!(Info::parse(document.to_string().as_bytes()), Ok(info()));
        let mut changed = document.clone();
        changed["format-specific"]["data"] = json!({ "corrupt": true, "data-file": "d.raw" });
        let expected = Info { corrupt: true, other_file: Some("d.raw".into()), ..info() };
        assert_eq!(Info::parse(changed.to_string().as_bytes()), Ok(expected));
        changed["backing-filename"] = json!("b.qcow2");
        assert_eq!(
            Info::parse(changed.to_string().as_bytes()).unwrap().other_file.as_deref(),
            Some("b.qcow2")
        );
        for (text, message) in [
            ("", "is no JSON: EOF while parsing a value at line 1 column 0"),
            ("[]", "has no format"),
            (r#"{"format":"raw","actual-size":1}"#, "has no virtual-size"),
            (r#"{"format":"raw","virtual-size":-1,"actual-size":1}"#, "has no virtual-size"),
            (r#"{"format":"raw","virtual-size":1}"#, "has no actual-size"),
        ] {
            assert_eq!(Info::parse(text.as_bytes()).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn the_end_of_check_is_read() {
        let broken = |words: &str| Soundness::Broken(words.to_owned());
        for (status, stdout, stderr, expected) in [
            (Some(0), r#"{"check-errors":0}"#, "", Soundness::Clean),
            (Some(0), r#"{"check-errors":2}"#, "", broken("2 check errors")),
            (Some(1), "", "qemu-img: Could not open 'x'\n", broken("qemu-img: Could not open 'x'")),
            (
                Some(2),
                r#"{"corruptions":645}"#,
                "ERROR: a\nERROR: b\n",
                broken("645 corruptions: ERROR: a"),
            ),
            (
                Some(3),
                r#"{"leaks":4}"#,
                "Leaked cluster 5\n",
                Soundness::Leaks("4 leaked clusters".into()),
            ),
            (
                Some(63),
                "",
                "qemu-img: This image format does not support checks\n",
                Soundness::Unknown,
            ),
            (Some(9), "", "", broken("exit status 9")),
            (None, "", "", broken("killed by a signal")),
        ] {
            assert_eq!(Soundness::of(status, stdout.as_bytes(), stderr), expected, "{status:?}");
        }
    }

    #[test]
    fn an_image_is_one_if_everything_fits() {
        assert_eq!(verdict(&info(), Soundness::Clean), Ok((Format::Qcow2, vec![])));
        let raw = Info { format: "raw".into(), ..info() };
        assert_eq!(verdict(&raw, Soundness::Unknown), Ok((Format::Raw, vec![])));
        let leaks = Soundness::Leaks("1 leaked clusters".into());
        assert_eq!(
            verdict(&info(), leaks),
            Ok((Format::Qcow2, vec!["qemu-img check: 1 leaked clusters".into()]))
        );
    }

    #[test]
    fn everything_that_is_wrong_is_told() {
        let odd = Info {
            format: "vmdk".into(),
            virtual_size: 9,
            actual_size: 8,
            corrupt: true,
            other_file: Some("b".into()),
        };
        let expected = "its format is vmdk, not qcow2 or raw; a part of it is in another file, b; \
            it is marked as corrupt; qemu-img has no check for it; the disk in it has 9 bytes, not \
            the 10737418240 that were asked for; it takes 8 bytes, and no installed system takes \
            less than 67108864";
        assert_eq!(verdict(&odd, Soundness::Unknown).unwrap_err(), expected);
        assert_eq!(
            verdict(&info(), Soundness::Unknown).unwrap_err(),
            "qemu-img has no check for it"
        );
        assert_eq!(
            verdict(&info(), Soundness::Broken("x".into())).unwrap_err(),
            "qemu-img check: x"
        );
    }

    #[test]
    fn command_lines_are_those_of_the_manual() {
        let words = |arguments: &[OsString]| -> Vec<String> {
            arguments.iter().map(|word| word.to_str().unwrap().to_owned()).collect()
        };
        let (from, to) = (Path::new("/a"), Path::new("/b"));
        assert_eq!(words(&info_arguments(from)), ["info", "--output=json", "/a"]);
        assert_eq!(words(&check_arguments(from)), ["check", "--output=json", "/a"]);
        let arguments = convert_arguments((from, Format::Raw), to, true);
        assert_eq!(words(&arguments), ["convert", "-f", "raw", "-O", "qcow2", "-c", "/a", "/b"]);
        let arguments = convert_arguments((from, Format::Qcow2), to, false);
        assert_eq!(words(&arguments), ["convert", "-f", "qcow2", "-O", "qcow2", "/a", "/b"]);
    }

    #[test]
    fn a_raw_disk_has_a_partition_table() {
        let directory = tempfile::tempdir().unwrap();
        let disk = directory.path().join("disk");
        for (bytes, expected) in [(vec![0; 600], false), (vec![0; 10], false), (Vec::new(), false)]
        {
            std::fs::write(&disk, bytes).unwrap();
            assert_eq!(has_partition_table(&disk).unwrap(), expected);
        }
        let mut bytes = vec![0; 600];
        bytes[510..512].copy_from_slice(&[0x55, 0xaa]);
        std::fs::write(&disk, bytes).unwrap();
        assert!(has_partition_table(&disk).unwrap());
    }

    #[test]
    fn the_checksum_file_is_in_the_style_of_release_pages() {
        let expected = "# a-1.qcow2: 612368384 bytes\nSHA256 (a-1.qcow2) = 00ff\n";
        assert_eq!(checksum_file("a-1.qcow2", 612_368_384, "00ff"), expected);
    }
}
