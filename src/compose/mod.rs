//! From packages to a published tree, and from the tree to a disk image.
//!
//! rpm-ostree and ImageFactory run as external programs, only for packages and disk images;
//! repository, verification, signing, summary and publishing are osier's own. Four rules decide the
//! details:
//!
//! 1. A public ref never points to a commit that is not complete, verified and, if there are keys,
//!    signed.
//! 2. The summary is part of publishing: all its bytes and signatures exist before the ref moves.
//! 3. A new commit is never lost: from the moment it exists until it is published, a pending ref
//!    holds it.
//! 4. No exit status or file of an external program is trusted alone.
//!
//! ```text
//! config     the configuration file
//! arguments  the extra arguments of rpm-ostree that it may contain
//! regular    reading files written by others: regular and small ones only
//! report     report.json
//! run        the directory of a run
//! tree       packages to a published commit, step by step
//! stages     checks of all stages before one runs
//! recover    cleaning up after killed runs
//! job        one program of a run, supervised
//! session    a run with its locks: what composing and publishing share
//! plan       planning a run, down to the command line
//! preflight  checks before a run
//! check      the list of findings
//! locks      of the repository, the cache and what is published
//! trust      whether only we control a directory
//! cleanup    removing what a killed program leaves
//! treefile   as rpm-ostree expands it
//! decide     the result of rpm-ostree
//! unapplied  settings that an unchanged compose does not apply
//! pending    refs to commits that are not published yet
//! verify     whether a commit may be published
//! signing    what signs commits and the summary
//! deltas     static deltas to the commit
//! publish    ref and summary
//! pushes     what is published, to other places
//! image      a published commit to a disk image, step by step
//! kickstart  the file that installs it
//! tdl        the template of the guest that installs it
//! imagefactory  its command line, and the proof that it built an image
//! qemu       verdicts on disk images
//! ```

mod arguments;
pub mod check;
mod cleanup;
pub mod config;
mod decide;
mod deltas;
pub mod image;
mod imagefactory;
mod job;
pub mod kickstart;
mod locks;
mod pending;
mod plan;
mod preflight;
mod publish;
mod pushes;
mod qemu;
mod recover;
mod regular;
pub mod report;
mod run;
mod session;
mod signing;
pub mod stages;
pub mod tdl;
pub mod tree;
mod treefile;
mod trust;
pub mod unapplied;
mod verify;

use std::ffi::{OsStr, OsString};

use crate::error::Result;
use crate::process::Interrupt;
use crate::progress::Progress;
use crate::push::{Destination, Named};
use crate::repo::OpenOptions;

pub use config::ComposeConfig;
pub use plan::TreeOptions;
pub use session::Failed;

/// Opens a destination of `[push]`; a directory with these options.
pub type OpenDestination = fn(&Named, &OpenOptions) -> Result<Box<dyn Destination>>;

/// The inputs that the caller provides for a run, because the library reads neither the environment
/// nor the clock.
pub struct Surroundings<'a> {
    /// The environment of programs, including `PATH`.
    pub environment: Vec<(OsString, OsString)>,
    /// The time now, in seconds since 1970.
    pub now: u64,
    /// The options for opening a repository.
    pub open: OpenOptions,
    /// Opens what is pushed to: credentials and the like come from the environment.
    pub open_destination: OpenDestination,
    /// The user's interrupt.
    pub interrupt: Interrupt,
    /// Receives progress events.
    pub progress: &'a dyn Progress,
}

impl Surroundings<'_> {
    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        self.environment.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_os_str())
    }
}
