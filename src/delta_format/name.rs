//! Names of deltas and the paths of their files.
//!
//! ```text
//! deltas/AB/CDEF...             the directory; the text after deltas/ is NAME without the slash, and
//!                               NAME is base64(to) or base64(from)-base64(to)
//! delta-indexes/AB/CDEF....index     the index of a target; NAME is base64(to)
//! ```

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::checksum::{Checksum, InvalidChecksum};

/// Names a static delta; `Display` is what users type: `TO` or `FROM-TO` in hexadecimal digits.
///
/// The order is that of an index: deltas from nothing first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeltaName {
    /// The commit that must be there already; `None` when the delta needs nothing.
    pub from: Option<Checksum>,
    /// The commit that the delta leads to.
    pub to: Checksum,
}

impl fmt::Display for DeltaName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{from}-{}", self.to),
            None => write!(f, "{}", self.to),
        }
    }
}

impl FromStr for DeltaName {
    type Err = InvalidChecksum;

    /// Reads what users type. Only the first `-` separates.
    fn from_str(text: &str) -> Result<Self, InvalidChecksum> {
        match text.split_once('-') {
            Some((from, to)) => {
                Ok(Self { from: Some(Checksum::from_hex(from)?), to: Checksum::from_hex(to)? })
            }
            None => Ok(Self { from: None, to: Checksum::from_hex(text)? }),
        }
    }
}

impl DeltaName {
    /// The delta's directory, relative to the repository.
    pub fn directory(&self) -> PathBuf {
        let name = match self.from {
            Some(from) => format!("{}-{}", from.to_base64(), self.to.to_base64()),
            None => self.to.to_base64(),
        };
        split("deltas", &name, "")
    }

    /// The superblock's file, relative to the repository.
    pub fn superblock_path(&self) -> PathBuf {
        self.directory().join("superblock")
    }

    /// A part's file, relative to the repository; also the key of a part that is inlined.
    pub fn part_path(&self, number: usize) -> String {
        text(&self.directory().join(number.to_string()))
    }

    /// The key of the commit's detached metadata in a superblock.
    pub fn commitmeta_path(&self) -> String {
        text(&self.directory().join("commitmeta"))
    }

    /// The name of the directory `deltas/PREFIX/REST`; `None` if no delta has such a directory.
    pub fn of_directory(prefix: &str, rest: &str) -> Option<Self> {
        let name = format!("{prefix}{rest}");
        let (from, to) = match name.split_once('-') {
            Some((from, to)) => (Some(Checksum::from_base64(from)?), to),
            None => (None, name.as_str()),
        };
        Some(Self { from, to: Checksum::from_base64(to)? })
    }
}

/// The index of the deltas to a commit, relative to the repository.
pub fn index_path(to: &Checksum) -> PathBuf {
    split("delta-indexes", &to.to_base64(), ".index")
}

fn split(directory: &str, name: &str, suffix: &str) -> PathBuf {
    let (prefix, rest) = name.split_at(2);
    PathBuf::from(format!("{directory}/{prefix}/{rest}{suffix}"))
}

/// A path that was made of ASCII.
fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Names from the golden repository `archive`, whose directories ostree made.
    const C1: &str = "6d7db1e20af1b7bd81fd73677c8179a909059164c9a98637517f636dafa44143";
    const C2: &str = "1cff384c55a0129652a190c7a2c8d4255d733ee48bb4f54f07c0098741094f2c";

    #[test]
    fn a_delta_from_nothing_is_named_after_its_target() {
        let name = DeltaName { from: None, to: Checksum::from_hex(C1).unwrap() };
        assert_eq!(name.to_string(), C1);
        assert_eq!(C1.parse(), Ok(name));
        let directory = "deltas/bX/2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM";
        assert_eq!(name.directory(), Path::new(directory));
        assert_eq!(name.superblock_path(), Path::new(directory).join("superblock"));
        assert_eq!(name.part_path(12), format!("{directory}/12"));
        assert_eq!(name.commitmeta_path(), format!("{directory}/commitmeta"));
        assert_eq!(
            DeltaName::of_directory("bX", "2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM"),
            Some(name)
        );
    }

    #[test]
    fn a_delta_between_commits_has_both_names() {
        let name =
            DeltaName { from: Checksum::from_hex(C1).ok(), to: Checksum::from_hex(C2).unwrap() };
        assert_eq!(name.to_string(), format!("{C1}-{C2}"));
        assert_eq!(format!("{C1}-{C2}").parse(), Ok(name));
        let directory = name.directory();
        let rest = directory.file_name().unwrap().to_str().unwrap();
        assert!(rest.starts_with("2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM-HP84TFWg"), "{rest}");
        assert_eq!(DeltaName::of_directory("bX", rest), Some(name));
    }

    #[test]
    fn other_texts_are_no_names() {
        let message = |text: &str| text.parse::<DeltaName>().unwrap_err().to_string();
        assert_eq!(message("GARBAGE"), "Invalid rev GARBAGE");
        assert_eq!(message(""), "Invalid rev ");
        assert_eq!(message(&format!("{C1}-")), "Invalid rev ");
        assert_eq!(message(&format!("{C1}-{C2}-x")), format!("Invalid rev {C2}-x"));
        let upper = C1.to_uppercase();
        assert_eq!(message(&upper), format!("Invalid character '68' in rev '{upper}'"));
    }

    #[test]
    fn other_directories_are_no_deltas() {
        for rest in [
            "",
            "2x4",
            "2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQU",
            "2x4grxt72B_XNnfIF5qQkFkWTJqYY3UX9jba+kQUM-",
        ] {
            assert_eq!(DeltaName::of_directory("bX", rest), None, "{rest}");
        }
    }

    #[test]
    fn deltas_from_nothing_come_first() {
        let (c1, c2) = (Checksum::from_hex(C1).unwrap(), Checksum::from_hex(C2).unwrap());
        let mut names = [DeltaName { from: Some(c1), to: c2 }, DeltaName { from: None, to: c2 }];
        names.sort_unstable();
        assert_eq!(names[0].from, None);
    }
}
