//! `remote list`: lists remotes.

use osier::remote;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `remote list`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show remote URLs in list
    #[arg(short = 'u', long)]
    show_urls: bool,
    /// Print JSON: an array of objects with name and url
    #[arg(long)]
    json: bool,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { show_urls, json } = args;
    let repo = context.open_repo()?;
    let remotes = remote::list(&repo, None)?;
    if json {
        let objects = remotes.iter().map(|remote| Ok(json!({ "name": remote.name, "url": remote.get("url")? })));
        return writeln!(context.out, "{}", Value::Array(objects.collect::<Result<_, osier::Error>>()?));
    }
    // Upstream counts bytes.
    let width = remotes.iter().map(|remote| remote.name.len()).max().unwrap_or_default();
    for remote in remotes {
        match show_urls {
            true => {
                let blanks = " ".repeat(width - remote.name.len());
                writeln!(context.out, "{}{blanks}  {}", remote.name, remote.url()?)?;
            }
            false => writeln!(context.out, "{}", remote.name)?,
        }
    }
    Ok(())
}
