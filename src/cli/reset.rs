//! `reset`: lets a ref point to another commit.

use osier::refspec::Refspec;
use osier::repo::Transaction;
use osier::summary;

use super::clock;
use super::context::Context;
use super::error::Failure;
use super::refs;

/// The options of `reset`.
#[derive(clap::Args)]
pub(super) struct Args {
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_writable_repo()?;
    let [name, rev, ..] = &arguments[..] else {
        return Err(Failure::usage("A REF and COMMIT argument is required"));
    };
    let invalid = || Failure::failed(format!("Invalid ref '{name}'"));
    let refspec = Refspec::parse(name).map_err(|_| invalid())?;
    if !refs::exists(&repo, &refspec)? {
        return Err(invalid());
    }
    let commit = repo.resolve_rev(rev)?;
    // Upstream moves the ref to a commit that is not there, too, and leaves a repository that does not pass its fsck.
    repo.load_commit(&commit)?;
    let mut transaction = Transaction::begin(&repo)?;
    transaction.set_ref(refspec, Some(commit));
    transaction.commit()?;
    Ok(summary::auto_update(&repo, clock::now())?)
}
