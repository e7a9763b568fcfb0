//! `cat`: prints the content of files.

use osier::repo::tree::{self, Node};

use super::context::Context;
use super::error::Failure;

/// The options of `cat`.
#[derive(clap::Args)]
pub(super) struct Args {
    arguments: Vec<String>,
}

/// How many symbolic links in a row are followed, as Linux does.
const MAX_LINKS: usize = 40;

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_repo()?;
    let Some((rev, paths)) = arguments.split_first().filter(|(_, paths)| !paths.is_empty()) else {
        return Err(Failure::usage("A COMMIT and at least one PATH argument are required"));
    };
    let commit = repo.load_commit(&repo.resolve_rev(rev)?)?;
    let root = Node::root_of(&commit);
    for path in paths {
        let mut place = tree::lookup(&repo, &root, path)?;
        let mut links = 0;
        let file = loop {
            let Node::File(checksum) = &place.node else {
                return Err(Failure::failed("Can't open directory"));
            };
            let file = repo.load_file(checksum)?;
            if !file.header.is_symlink() {
                break file;
            }
            if links == MAX_LINKS {
                return Err(Failure::failed(format!("{path}: Too many levels of symbolic links")));
            }
            links += 1;
            place = tree::lookup_from(&repo, &root, &place.parent(), &file.header.symlink_target)?;
        };
        let mut written = Ok(());
        file.read_chunks(&mut |chunk| {
            if written.is_ok() {
                written = context.out.write_bytes(chunk);
            }
            Ok(())
        })?;
        written?;
    }
    Ok(())
}
