//! `metalink`: the metalink of a summary. `ostree` only reads them.

use std::path::PathBuf;

use osier::input;
use osier::remote::metalink::{Described, Digest, Mirror};
use osier::summary::store;
use serde_json::{Value, json};

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::path;

/// The file that clients look for in a metalink.
const FILE: &str = "summary";

/// The options of `metalink`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A repository with this summary, 'URL [LOCATION [PREFERENCE]]' (may be repeated)
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Read mirrors from FILE, one a line
    #[arg(long, value_name = "FILE", value_parser = path())]
    mirrors: Option<PathBuf>,
    /// Write the metalink into FILE instead of standard output
    #[arg(long, value_name = "FILE", value_parser = path())]
    output: Option<PathBuf>,
    /// Write nothing into FILE
    #[arg(long)]
    dry_run: bool,
    /// Print a JSON document
    #[arg(long)]
    json: bool,
    rest: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { mirror: mut texts, mirrors: file, output, dry_run, json, rest } = args;
    if let Some(other) = rest.first() {
        return Err(Failure::usage(format!("Too many arguments: '{other}'")));
    }
    if let Some(file) = file {
        let name = file.display();
        let bytes = input::read_named(&file)
            .map_err(|error| Failure::failed(format!("reading {name}: {error}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::failed(format!("{name}: Invalid UTF-8")))?;
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        texts.extend(lines.map(str::to_owned));
    }
    if texts.is_empty() {
        return Err(Failure::usage("At least one --mirror must be specified"));
    }
    let mirrors = texts.iter().zip(0..).map(|(text, index)| Mirror::parse(text, index, FILE));
    let mirrors = mirrors.collect::<osier::Result<Vec<_>>>()?;
    let repo = context.open_repo()?;
    // One read, so that the time is of the summary that is described.
    let bytes = store::load_bytes(&repo)?;
    let summary = osier::summary::Summary::decode(&bytes)
        .map_err(|error| Failure::failed(format!("summary: {}", error.what)))?;
    let made = summary.metadata.get("ostree.summary.last-modified");
    let made = made.and_then(|value| value.view().as_u64()).map(u64::from_be);
    let described = Described::of(FILE, &bytes, made, mirrors)?;
    let text = described.document();
    if let Some(output) = output.as_ref().filter(|_| !dry_run) {
        input::replace_named(output, text.as_bytes())
            .map_err(|error| Failure::failed(format!("writing {}: {error}", output.display())))?;
    }
    match (json, output) {
        (true, _) => json::print(&document(&described), &context.out),
        (false, None) => context.out.write_str(&text),
        (false, Some(_)) => Ok(()),
    }
}

fn document(described: &Described) -> Value {
    let Described { name, size, digests, timestamp, mirrors } = described;
    let digest = |wanted: fn(&Digest) -> bool| {
        digests.iter().find(|digest| wanted(digest)).map(Digest::to_hex)
    };
    let mirror = |Mirror { url, location, preference }: &Mirror| json!({ "url": url, "location": location, "preference": preference });
    json!({
        "file": name,
        "size": size,
        "sha256": digest(|digest| matches!(digest, Digest::Sha256(_))),
        "sha512": digest(|digest| matches!(digest, Digest::Sha512(_))),
        "timestamp": timestamp,
        "mirrors": mirrors.iter().map(mirror).collect::<Vec<_>>(),
    })
}
