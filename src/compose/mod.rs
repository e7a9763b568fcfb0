//! From packages to a published tree, and from the tree to a disk image.
//!
//! rpm-ostree and ImageFactory are run as programs, for the package and the disk stage only;
//! repository, verification, summary and publishing are ours. Four rules decide the details:
//!
//! 1. A public ref never names a commit that is not complete and verified.
//! 2. The summary is part of publishing: all its bytes exist before the ref moves.
//! 3. A new commit is never lost: from the moment it exists until it is published, a pending ref
//!    holds it.
//! 4. No exit status or file of an external program is believed alone.
//!
//! ```text
//! config     the configuration file
//! arguments  the extra arguments of rpm-ostree that it may give
//! regular    files that others wrote: regular and small, or refused
//! report     report.json
//! run        the directory of a run
//! tree       packages to a published commit, step by step
//! stages     what can be known of all of them before one is run
//! recover    after runs that were killed
//! job        one program of a run, supervised
//! session    a run with its locks: what composing and publishing share
//! plan       what a run will do, down to the command line
//! preflight  what can be known before it
//! check      the list of what was found
//! locks      of the repository, the cache and what is published
//! trust      whether a directory is ours alone
//! cleanup    what a killed program leaves
//! treefile   as rpm-ostree expands it
//! decide     what came of rpm-ostree
//! unapplied  what an unchanged compose leaves undone
//! pending    refs to commits that are not published yet
//! verify     whether a commit may be published
//! publish    ref and summary
//! image      a published commit to a disk image, step by step
//! kickstart  the file that installs it
//! tdl        the template of the guest that installs it
//! imagefactory  its command line, and what proves that it built something
//! qemu       verdicts on disk images
//! ```

mod arguments;
pub mod check;
mod cleanup;
pub mod config;
mod decide;
pub mod image;
mod imagefactory;
mod job;
pub mod kickstart;
mod locks;
mod pending;
mod plan;
mod preflight;
mod publish;
mod qemu;
mod recover;
mod regular;
pub mod report;
mod run;
mod session;
pub mod stages;
pub mod tdl;
pub mod tree;
mod treefile;
mod trust;
pub mod unapplied;
mod verify;

use std::ffi::{OsStr, OsString};

use crate::process::Interrupt;
use crate::progress::Progress;
use crate::repo::OpenOptions;

pub use config::ComposeConfig;
pub use plan::TreeOptions;
pub use session::Failed;

/// What a run gets from whoever asks for it: the library reads neither the environment nor the
/// clock.
pub struct Surroundings<'a> {
    /// The environment that programs get, `PATH` and all.
    pub environment: Vec<(OsString, OsString)>,
    /// The time now, in seconds since 1970.
    pub now: u64,
    /// What the environment says about opening a repository.
    pub open: OpenOptions,
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
