//! `find-object`: what uses an object. `ostree` has no such command.

use osier::find_object::{RefToUse, Use, Wanted, find_object};
use serde_json::{Value, json};

use super::context::Context;
use super::error::Failure;
use super::json::List;
use super::options::integer;

/// Paths of each commit that are shown unless the user says otherwise.
const USUAL_LIMIT: usize = 1000;

/// The options of `find-object`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show at most N paths of each commit (default: 1000)
    #[arg(long, value_name = "N", value_parser = integer)]
    limit: Option<i32>,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
    /// The object.
    object: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let [object] = args.object.as_slice() else {
        return Err(Failure::usage("CHECKSUM must be specified"));
    };
    let limit = match args.limit.map(usize::try_from) {
        None => USUAL_LIMIT,
        Some(Ok(limit)) if limit > 0 => limit,
        Some(_) => return Err(Failure::failed("--limit must be at least 1")),
    };
    let wanted = Wanted::parse(object)?;
    let repo = context.open_repo()?;
    let is_present = wanted.is_present(&repo)?;
    let progress = context.progress_for(args.json);
    let mut count = 0;
    if args.json {
        let fields = json!({"object": object, "is_present": is_present});
        let mut list = List::begin(&context.out, &fields, "commits")?;
        find_object(&repo, wanted, limit, &progress, &mut |user| {
            count += 1;
            list.push(&document(&user))
        })?;
        list.finish(&json!({}))?;
    } else {
        find_object(&repo, wanted, limit, &progress, &mut |user| {
            count += 1;
            context.out.write_str(&text(&user))
        })?;
    }
    drop(progress);
    match (count, is_present) {
        (0, false) => {
            Err(Failure::failed(format!("{object} is not in the repository, and nothing uses it")))
        }
        (0, true) if !args.json => writeln!(context.out, "{object}: no commit uses it"),
        _ => Ok(()),
    }
}

fn document(user: &Use) -> Value {
    let refs =
        user.refs.iter().map(|RefToUse { name, ahead }| json!({"ref": name, "ahead": ahead}));
    json!({
        "commit": user.commit.to_hex(),
        "timestamp": user.timestamp,
        "refs": refs.collect::<Vec<_>>(),
        "paths": user.paths,
        "has_more_paths": user.has_more,
    })
}

fn text(user: &Use) -> String {
    let mut text = format!("commit {}\n", user.commit);
    if user.refs.is_empty() {
        text.push_str("  in no ref\n");
    }
    for RefToUse { name, ahead } in &user.refs {
        let ahead = match ahead {
            0 => String::new(),
            1 => ", 1 commit ago".to_owned(),
            ahead => format!(", {ahead} commits ago"),
        };
        text.push_str(&format!("  in {name}{ahead}\n"));
    }
    for path in &user.paths {
        text.push_str(&format!("  {path}\n"));
    }
    if user.has_more {
        text.push_str("  and more, see --limit\n");
    }
    text
}
