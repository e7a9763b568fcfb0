//! What the machine adds to the configuration of remotes: keys of the system, the time.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use osier::remote::Trust;

use super::{clock, elsewhere, signatures, signing};

/// The trust of this machine.
pub(super) fn trust() -> Trust {
    Trust {
        global_keyrings: Some(signatures::global_keyrings()),
        key_directories: elsewhere::KEY_DIRECTORIES.iter().map(PathBuf::from).collect(),
        dummy: signing::dummy(),
        now: clock::now().cast_signed(),
        zone: Some(TimeZone::system()),
    }
}
