//! `remote list`: lists remotes.

use osier::remote;
use serde_json::json;

use super::super::context::Context;
use super::super::error::Failure;
use super::super::json;
use super::super::options::OWN_OPTIONS;

/// The options of `remote list`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Show remote URLs in list
    #[arg(short = 'u', long)]
    show_urls: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { show_urls, json } = args;
    let repo = context.open_repo()?;
    let remotes = remote::list(&repo, None)?;
    if json {
        let objects =
            remotes.iter().map(|remote| Ok(json!({ "name": remote.name, "url": remote.url()? })));
        let objects = objects.collect::<Result<Vec<_>, osier::Error>>()?;
        return json::print(&json!({ "remotes": objects }), &context.out);
    }
    // Upstream counts bytes.
    let width = remotes.iter().map(|remote| remote.name.len()).max().unwrap_or_default();
    for remote in remotes {
        match show_urls {
            true => {
                let blanks = " ".repeat(width - remote.name.len());
                writeln!(context.out, "{}{blanks}  {}", remote.name, remote.require_url()?)?;
            }
            false => writeln!(context.out, "{}", remote.name)?,
        }
    }
    Ok(())
}
