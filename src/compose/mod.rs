//! From packages to a published tree, and from the tree to a disk image.
//!
//! rpm-ostree and ImageFactory are run as programs, for the package and the disk stage only; repository, verification,
//! summary and publishing are ours. Four rules decide the details:
//!
//! 1. A public ref never names a commit that is not complete and verified.
//! 2. The summary is part of publishing: all its bytes exist before the ref moves.
//! 3. A new commit is never lost: from the moment it exists until it is published, a pending ref holds it.
//! 4. No exit status or file of an external program is believed alone.
//!
//! ```text
//! config     the configuration file
//! program    running external programs
//! report     report.json and the directory of a run
//! check      what can be known before a run
//! ```

pub mod check;
pub mod config;
pub mod program;
pub mod report;

use std::ffi::{OsStr, OsString};

use crate::progress::Progress;

pub use config::ComposeConfig;
pub use program::Interrupt;

/// What a run gets from whoever asks for it: the library reads neither the environment nor the clock.
pub struct Surroundings<'a> {
    /// The environment that programs get, `PATH` and all.
    pub environment: Vec<(OsString, OsString)>,
    /// The time now, in seconds since 1970.
    pub now: u64,
    /// Whether the user wants the run to end.
    pub interrupt: Interrupt,
    /// Who is told how it comes along.
    pub progress: &'a dyn Progress,
}

impl Surroundings<'_> {
    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_os_str())
    }
}
