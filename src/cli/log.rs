//! `log`: prints a commit and its ancestors.

use osier::object::ObjectName;
use osier::repo::{Ancestry, Repo};
use osier::{Checksum, Error};
use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::json::{self, List, Numbers};
use super::options::OWN_OPTIONS;
use super::output::Output;
use super::print_commit::{self, Form};

/// The options of `log`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show raw variant data
    #[arg(long)]
    raw: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    revs: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { raw, json, revs } = args;
    let repo = context.open_repo()?;
    let Some(rev) = revs.first() else {
        return Err(Failure::usage("A rev argument is required"));
    };
    if json {
        return print_json(&repo, repo.resolve_rev(rev)?, &context.out);
    }
    let form = if raw { Form::Raw } else { Form::Pretty };
    let mut commit = repo.resolve_rev(rev)?;
    let mut ancestry = Ancestry::default();
    ancestry.enter(&commit)?;
    let mut parent = print_commit::print(&repo, &commit, form, &context.out)?;
    while let Some(checksum) = parent {
        commit = checksum;
        ancestry.enter(&commit)?;
        parent = match print_commit::print(&repo, &commit, form, &context.out) {
            Err(Failure::Error(Error::MissingMetadata { object: ObjectName { checksum, .. } }))
                if checksum == commit =>
            {
                return writeln!(context.out, "<< History beyond this commit not fetched >>");
            }
            other => other?,
        };
    }
    Ok(())
}

fn print_json(repo: &Repo, mut checksum: Checksum, out: &Output) -> Result<(), Failure> {
    let mut commit = repo.load_commit(&checksum)?;
    let mut list = List::begin(out, &json!({}), "commits")?;
    let mut ancestry = Ancestry::default();
    let missing_parent = loop {
        ancestry.enter(&checksum)?;
        list.push(&json::commit(repo, &checksum, &commit, Numbers::BigEndian)?)?;
        let Some(parent) = commit.parent else { break None };
        checksum = parent;
        commit = match repo.load_commit(&parent) {
            Err(Error::MissingMetadata { object }) if object.checksum == parent => {
                break Some(parent);
            }
            other => other?,
        };
    };
    list.finish(&json!({ "missing_parent": missing_parent.map(|parent| parent.to_hex()) }))
}
