//! `create-usb`: copies refs of collections onto removable media.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::pull::{USB_REPO, UsbOptions, create_usb};
use osier::repo::OpenOptions;

use super::collection_refs::{check_pairs, parse_pairs};
use super::context::{self, Context};
use super::error::Failure;
use super::{clock, options::path};

/// The options of `create-usb`, in the order of its help.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Do not invoke fsync()
    #[arg(long)]
    disable_fsync: bool,
    /// Use custom repository directory within the mount
    #[arg(long, value_name = "DEST", value_parser = path())]
    destination_repo: Option<PathBuf>,
    /// Pull a specific commit (only works when a single ref is specified)
    #[arg(long, value_name = "COMMIT")]
    commit: Option<String>,
    /// The mount point, then pairs.
    rest: Vec<OsString>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { disable_fsync, destination_repo, commit, rest } = args;
    let repo = context.open_repo()?;
    let Some((mount, pairs)) = rest.split_first() else {
        return Err(Failure::usage("A MOUNT-PATH must be specified"));
    };
    check_pairs(pairs)?;
    if commit.is_some() && pairs.len() > 2 {
        return Err(Failure::usage(
            "The --commit option can only be used when a single COLLECTION-ID REF pair is specified",
        ));
    }
    let mount = Path::new(mount);
    check_directory(mount)?;
    let refs = parse_pairs(pairs)?;
    let commit = commit.map(|text| {
        Checksum::from_hex(&text).map_err(|_| Failure::failed(format!("Invalid rev {text}")))
    });
    let destination = destination_repo.unwrap_or_else(|| USB_REPO.into());
    let options = UsbOptions {
        refs,
        commit: commit.transpose()?,
        destination: destination.clone(),
        now: clock::now(),
        open: OpenOptions { disable_fsync, ..context::open_options()? },
    };
    create_usb(&repo, mount, &options, &context.quiet_progress()).map_err(|error| match error {
        osier::Error::UsbDestination { .. } => Failure::usage(error.to_string()),
        error => error.into(),
    })?;
    let count = options.refs.len();
    writeln!(
        context.out,
        "Copied {count}/{count} refs successfully from ‘{}’ to ‘{}’ repository in ‘{}’.",
        repo.path().display(),
        destination.display(),
        mount.display()
    )
}

/// Upstream opens the mount point before it looks at the pairs.
fn check_directory(mount: &Path) -> Result<(), Failure> {
    use osier::error::During as _;
    std::fs::read_dir(mount).calling("opendir", mount)?;
    Ok(())
}
