//! Asking `qemu-img` about a file.

use std::path::Path;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::process::{Call, Ending, Interrupt, ask};

use super::super::qemu::{self, Format, Info, Soundness, Wanted};

/// How long it may take: a check reads all metadata of an image, not its content.
const TIMEOUT: Duration = Duration::from_secs(1800);

/// An image that passed.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) format: Format,
    /// Bytes of the disk in it.
    pub(super) virtual_size: u64,
    pub(super) warnings: Vec<String>,
}

/// Looks at a file and decides whether it is what was wanted.
///
/// # Errors
/// When it is not, with everything that is wrong with it; when qemu-img cannot be run, or a signal
/// comes.
pub(super) fn inspect(
    file: &Path,
    wanted: &Wanted<'_>,
    qemu_img: &Call,
    interrupt: &Interrupt,
) -> Result<Judged> {
    let refused = |what: String| {
        Error::failed(format!("{} is no image that can be published: {what}", file.display()))
    };
    let answer = ask(&qemu_img.clone().args(qemu::info_arguments(file)), TIMEOUT, interrupt)?;
    if answer.ending != Ending::Exit(0) {
        return Err(refused(format!("qemu-img info: {}", answer.complaint())));
    }
    let info = Info::parse(&answer.stdout)
        .map_err(|what| refused(format!("what qemu-img info prints {what}")))?;
    let answer = ask(&qemu_img.clone().args(qemu::check_arguments(file)), TIMEOUT, interrupt)?;
    let status = match answer.ending {
        Ending::Exit(status) => Some(status),
        Ending::Signal(_) => None,
    };
    let soundness = Soundness::of(status, &answer.stdout, &answer.stderr);
    let (format, warnings) = qemu::judge(&info, &soundness, wanted).map_err(refused)?;
    Ok(Judged { format, virtual_size: info.virtual_size, warnings })
}

/// Refuses a raw disk without a partition table: it may be any file.
pub(super) fn check_raw(disk: &Path) -> Result<()> {
    match qemu::has_partition_table(disk).context(|| "looking for a partition table".to_owned())? {
        true => Ok(()),
        false => {
            let why = "is no image that can be published: it has no partition table, so it may be \
                any file";
            Err(Error::failed(format!("{} {why}", disk.display())))
        }
    }
}
