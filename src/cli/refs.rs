//! `refs`: lists, creates and deletes refs.

use osier::error::Context as _;
use osier::refs::{Change, change};
use osier::refspec::{CollectionId, CollectionRef, InvalidRefspec, Refspec, RemoteName};
use osier::repo::{ListRefs, Repo};
use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;
use super::output::Output;

/// The options of `refs`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Delete refs which match PREFIX, rather than listing them
    #[arg(long)]
    delete: bool,
    /// Do not remove the prefix from the refs
    #[arg(long)]
    list: bool,
    /// Show the commit that each ref points to
    #[arg(short, long)]
    revision: bool,
    /// If used with --create, create an alias, otherwise just list aliases
    #[arg(short = 'A', long)]
    alias: bool,
    /// Create a new ref for an existing commit
    #[arg(long, value_name = "NEWREF")]
    create: Option<String>,
    /// Enable listing collection IDs for refs
    #[arg(short, long)]
    collections: bool,
    /// Overwrite existing refs when creating
    #[arg(long)]
    force: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { delete, list, revision, alias, create, collections, force, json, arguments } = args;
    if json && (create.is_some() || delete) {
        return Err(Failure::failed("--json is for listing refs"));
    }
    if let Some(new) = create {
        let repo = context.open_writable_repo()?;
        let existing = match &arguments[..] {
            [] => {
                return Err(Failure::failed("You must specify a revision when creating a new ref"));
            }
            [existing] => existing,
            _ => {
                return Err(Failure::failed(
                    "You must specify only 1 existing ref when creating a new ref",
                ));
            }
        };
        let overwrite = if force { Overwrite::Yes } else { Overwrite::No };
        match (collections, alias) {
            (true, _) => create_collection_ref(&repo, &new, existing)?,
            (false, true) => create_alias(&repo, &new, existing, overwrite)?,
            (false, false) => create_ref(&repo, &new, existing, overwrite)?,
        }
        return Ok(());
    }
    if delete {
        let repo = context.open_writable_repo()?;
        if arguments.is_empty() {
            return Err(Failure::failed("At least one PREFIX is required when deleting refs"));
        }
        for prefix in &arguments {
            match collections {
                true => delete_collection_refs(&repo, prefix)?,
                false => delete_refs(&repo, prefix)?,
            }
        }
        return Ok(());
    }
    let repo = context.open_repo()?;
    let spelling = if list { ListRefs::Full } else { ListRefs::BelowPrefix };
    let listing = match (collections, alias) {
        (true, _) => Listing::Collections,
        (false, true) => Listing::Aliases,
        (false, false) => Listing::Refs(spelling),
    };
    let prefixes = match &arguments[..] {
        [] => vec![None],
        prefixes => prefixes.iter().map(|prefix| Some(prefix.as_str())).collect(),
    };
    if json {
        return print_json(&repo, listing, &prefixes, &context.out);
    }
    let printer = Printer { repo: &repo, out: &context.out, revision };
    prefixes.into_iter().try_for_each(|prefix| printer.print(listing, prefix))
}

#[derive(Clone, Copy)]
enum Listing {
    Refs(ListRefs),
    Aliases,
    Collections,
}

fn print_json(
    repo: &Repo,
    listing: Listing,
    prefixes: &[Option<&str>],
    out: &Output,
) -> Result<(), Failure> {
    let mut list = Vec::new();
    for prefix in prefixes {
        match listing {
            Listing::Refs(spelling) => {
                let refs = repo.list_refs(*prefix, spelling)?;
                list.extend(refs.iter().map(
                    |(name, commit)| json!({ "ref": name.to_string(), "commit": commit.to_hex() }),
                ));
            }
            Listing::Aliases => {
                let aliases = repo.list_aliases(*prefix)?;
                list.extend(
                    aliases
                        .iter()
                        .map(|(name, target)| json!({ "ref": name.as_str(), "target": target })),
                );
            }
            Listing::Collections => {
                let refs = list_collection(repo, *prefix)?;
                list.extend(refs.iter().map(|(CollectionRef { collection, name }, commit)| {
                    json!({
                        "collection_id": collection.as_str(),
                        "ref": name.as_str(),
                        "commit": commit.to_hex(),
                    })
                }));
            }
        }
    }
    let name = if matches!(listing, Listing::Aliases) { "aliases" } else { "refs" };
    json::print(&json!({ name: list }), out)
}

struct Printer<'c> {
    repo: &'c Repo,
    out: &'c Output,
    revision: bool,
}

impl Printer<'_> {
    fn print(&self, listing: Listing, prefix: Option<&str>) -> Result<(), Failure> {
        match listing {
            Listing::Refs(spelling) => {
                if !self.revision {
                    let names = self.repo.list_ref_names(prefix, spelling)?;
                    return names.iter().try_for_each(|name| writeln!(self.out, "{name}"));
                }
                let refs = self.repo.list_refs(prefix, spelling)?;
                refs.iter()
                    .try_for_each(|(refspec, commit)| self.line(&refspec.to_string(), commit))
            }
            Listing::Aliases => {
                let aliases = self.repo.list_aliases(prefix)?;
                aliases
                    .iter()
                    .try_for_each(|(name, target)| writeln!(self.out, "{name} -> {target}"))
            }
            Listing::Collections => {
                let refs = list_collection(self.repo, prefix)?;
                refs.iter().try_for_each(|(CollectionRef { collection, name }, commit)| {
                    self.line(&format!("({}, {})", collection.as_str(), name.as_str()), commit)
                })
            }
        }
    }

    fn line(&self, name: &str, commit: &osier::Checksum) -> Result<(), Failure> {
        match self.revision {
            true => writeln!(self.out, "{name}\t{commit}"),
            false => writeln!(self.out, "{name}"),
        }
    }
}

fn invalid(error: InvalidRefspec) -> Failure {
    Failure::failed(error.to_string())
}

fn list_collection(
    repo: &Repo,
    collection: Option<&str>,
) -> Result<Vec<(CollectionRef, osier::Checksum)>, Failure> {
    let collection = collection.map(CollectionId::parse).transpose();
    let collection =
        collection.map_err(|error| Failure::failed(format!("Listing refs: {error}")))?;
    Ok(repo.list_collection_refs(collection.as_ref()).context(|| "Listing refs".to_owned())?)
}

/// What to do with an existing ref.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overwrite {
    Yes,
    No,
}

fn create_ref(repo: &Repo, new: &str, rev: &str, overwrite: Overwrite) -> Result<(), Failure> {
    if overwrite == Overwrite::No && is_taken(repo, new)? {
        return Err(already_exists(new));
    }
    let commit = repo.resolve_rev(rev)?;
    Ok(change(repo, &[Change::Set(Refspec::parse(new).map_err(invalid)?, commit)])?)
}

fn create_alias(repo: &Repo, new: &str, target: &str, overwrite: Overwrite) -> Result<(), Failure> {
    // An existing alias may be changed.
    let is_alias =
        || Ok::<_, Failure>(repo.list_aliases(None)?.iter().any(|(name, _)| name.as_str() == new));
    if overwrite == Overwrite::No && is_taken(repo, new)? && !is_alias()? {
        return Err(already_exists(new));
    }
    let Refspec { remote, name } = Refspec::parse(new).map_err(invalid)?;
    if let Some(remote) = remote {
        return Err(Failure::failed(format!("Cannot create alias to remote ref: {remote}")));
    }
    match Refspec::parse(target) {
        Ok(refspec @ Refspec { remote: None, .. }) if exists(repo, &refspec)? => {
            Ok(change(repo, &[Change::Alias { name, target: refspec.name }])?)
        }
        _ => Err(Failure::failed(format!("Cannot create alias to non-existent ref: {target}"))),
    }
}

fn create_collection_ref(repo: &Repo, new: &str, rev: &str) -> Result<(), Failure> {
    let commit = repo.resolve_rev(rev)?;
    let Refspec { remote: collection, name } = Refspec::parse(new).map_err(invalid)?;
    let collection = collection.as_ref().map_or(name.as_str(), RemoteName::as_str);
    let collection = CollectionId::parse(collection).map_err(invalid)?;
    Ok(change(repo, &[Change::SetInCollection(CollectionRef { collection, name }, commit)])?)
}

fn already_exists(name: &str) -> Failure {
    Failure::failed(format!("--create specified but ref {name} already exists"))
}

/// Whether a new ref of this name would hide something that the name refers to now: revs of commits
/// count, refs of other remotes do not.
fn is_taken(repo: &Repo, new: &str) -> Result<bool, Failure> {
    match Refspec::parse(new) {
        Ok(refspec) if !looks_like_commit(new) => exists(repo, &refspec),
        // A directory of refs: writing the ref reports that with a better message.
        Ok(_) if repo.path().join("refs/heads").join(new).is_dir() => Ok(false),
        _ => Ok(repo.try_resolve_rev(new)?.is_some()),
    }
}

fn looks_like_commit(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether exactly this ref exists.
pub(super) fn exists(repo: &Repo, refspec: &Refspec) -> Result<bool, Failure> {
    Ok(repo.list_ref_names(Some(&refspec.to_string()), ListRefs::Full)?.contains(refspec))
}

fn delete_refs(repo: &Repo, prefix: &str) -> Result<(), Failure> {
    let aliases = repo.list_aliases(None)?;
    let mut refs = Vec::new();
    for refspec in repo.list_ref_names(Some(prefix), ListRefs::Full)? {
        let is_target = |target: &str| refspec.remote.is_none() && target == refspec.name.as_str();
        if let Some((alias, _)) = aliases.iter().find(|(_, target)| is_target(target)) {
            return Err(Failure::failed(format!("Ref '{refspec}' has an active alias: '{alias}'")));
        }
        refs.push(Change::Delete(refspec));
    }
    Ok(change(repo, &refs)?)
}

fn delete_collection_refs(repo: &Repo, collection: &str) -> Result<(), Failure> {
    let refs = list_collection(repo, Some(collection))?.into_iter();
    let refs: Vec<_> = refs.map(|(name, _)| Change::DeleteInCollection(name)).collect();
    Ok(change(repo, &refs)?)
}
