//! `static-delta generate`: makes deltas between commits.

use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use osier::Checksum;
use osier::delta::{Comparison, GenerateOptions, GenerateStats, KindStats, Target, generate};
use osier::delta_format::{ByteOrder, DeltaName};
use osier::repo::Repo;
use osier::repo::walk::history;
use osier::sign::{SecretKey, SecretKeyFile};
use osier::signer::Signer;
use osier::units::{format_size, percent};
use serde_json::{Value, json};

use super::super::clock;
use super::super::context::Context;
use super::super::error::{Failure, warn};
use super::super::json;
use super::super::options::{OWN_OPTIONS, path};
use super::super::signing;

/// The options of `static-delta generate`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Create delta from revision REV
    #[arg(long, value_name = "REV")]
    from: Vec<String>,
    /// Create delta from scratch
    #[arg(long)]
    empty: bool,
    /// Inline delta parts into main delta
    #[arg(long)]
    inline: bool,
    /// Create delta to revision REV
    #[arg(long, value_name = "REV")]
    to: Option<String>,
    /// Disable use of bsdiff
    #[arg(long)]
    disable_bsdiff: bool,
    /// Only generate if a delta does not already exist
    #[arg(short = 'n', long)]
    if_not_exists: bool,
    /// Choose metadata endianness ('l' or 'B')
    #[arg(long, value_name = "ENDIAN")]
    set_endianness: Option<String>,
    /// Swap metadata endianness from host order
    #[arg(long)]
    swap_endianness: bool,
    /// Minimum uncompressed size in megabytes for individual HTTP request
    #[arg(long, value_name = "")]
    min_fallback_size: Option<String>,
    /// Maximum size in megabytes to consider bsdiff compression for input files
    #[arg(long, value_name = "")]
    max_bsdiff_size: Option<String>,
    /// Maximum size of delta chunks in megabytes
    #[arg(long, value_name = "")]
    max_chunk_size: Option<String>,
    #[arg(long, value_name = "PATH", value_parser = path(), help = FILENAME_HELP)]
    filename: Option<PathBuf>,
    /// Sign the delta with
    #[arg(long, value_name = "KEY_ID")]
    sign: Vec<String>,
    /// Signature type to use (defaults to 'ed25519')
    #[arg(long, value_name = "NAME")]
    sign_type: Option<String>,
    /// Read key(s) from file
    #[arg(long, value_name = "NAME", value_parser = path())]
    keys_file: Option<PathBuf>,
    /// Work with N threads (default: one for each processor)
    #[arg(long, value_name = "N", value_parser = threads, help_heading = OWN_OPTIONS)]
    jobs: Option<NonZeroUsize>,
    /// Take at most SIZE of memory, as in 512M (default: a quarter of it, at least 1G)
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = OWN_OPTIONS)]
    memory: Option<u64>,
    /// Make a delta from each of the last N commits before TO, too
    #[arg(long, value_name = "N", value_parser = commits, help_heading = OWN_OPTIONS)]
    from_refs: Option<NonZeroUsize>,
    /// Drop the delta if it takes more than PERCENT of what the objects take
    #[arg(long, value_name = "PERCENT", value_parser = percentage, help_heading = OWN_OPTIONS)]
    if_smaller: Option<u64>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

const FILENAME_HELP: &str = "Write the delta content to PATH (a directory).  \
     If not specified, the OSTree repository is used";

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let repo = context.open_repo()?;
    let Some(to) = args.to.as_ref().or(args.arguments.first()) else {
        return Err(Failure::failed("TO revision must be specified"));
    };
    if args.empty && !args.from.is_empty() {
        return Err(Failure::failed("Cannot specify both --empty and --from=REV"));
    }
    repo.check_writable()?;
    let sources = sources(&repo, &args, to)?;
    if sources.len() > 1 && args.filename.is_some() {
        return Err(Failure::failed("--filename is for one delta, and there would be several"));
    }
    let to = repo.resolve_rev(to)?;
    let byte_order = byte_order(&args)?;
    let mut target = None;
    let mut deltas = Vec::new();
    let progress = context.progress_for(args.json);
    for from in &sources {
        let name = DeltaName { from: *from, to };
        if args.if_not_exists && repo.path().join(name.superblock_path()).exists() {
            if !args.json {
                writeln!(context.out, "Delta {name} already exists.")?;
            }
            deltas.push(document(&name, None));
            continue;
        }
        if !args.json {
            let from = from.map_or_else(|| "empty".to_owned(), |from| from.to_string());
            writeln!(context.out, "Generating static delta:\n  From: {from}\n  To:   {to}")?;
        }
        let target = match &target {
            Some(target) => target,
            None => {
                let loaded = Target::load(&repo, &to)?;
                let is_shared = sources.len() > 1;
                target.insert(if is_shared { loaded.for_several() } else { loaded })
            }
        };
        let options = options(&args, byte_order)?;
        let stats = generate(target, from.as_ref(), &options, &progress)?;
        if !args.json {
            report(&name, &stats, context)?;
        }
        deltas.push(document(&name, Some(&stats)));
    }
    match args.json {
        true => json::print(&json!({ "deltas": deltas }), &context.out),
        false => Ok(()),
    }
}

/// The commits that deltas are made from.
fn sources(repo: &Repo, args: &Args, to: &str) -> Result<Vec<Option<Checksum>>, Failure> {
    let mut sources = Vec::new();
    if args.empty {
        sources.push(None);
    }
    for rev in &args.from {
        sources.push(Some(repo.resolve_rev(rev)?));
    }
    if let Some(count) = args.from_refs {
        let ancestors = history(repo, &repo.resolve_rev(to)?).skip(1).take(count.get());
        for step in ancestors {
            let (commit, _) = step?;
            if !sources.contains(&Some(commit)) {
                sources.push(Some(commit));
            }
        }
    }
    if sources.is_empty() {
        sources.push(Some(repo.resolve_rev(&format!("{to}^"))?));
    }
    Ok(sources)
}

/// Says what has become of a delta: that it was dropped, or on a terminal what it is made of.
fn report(name: &DeltaName, stats: &GenerateStats, context: &Context) -> Result<(), Failure> {
    let cost = format!(
        "{} to fetch for {} of objects ({} %)",
        format_size(stats.bytes()),
        format_size(stats.loose_bytes),
        percent(stats.bytes(), stats.loose_bytes)
    );
    if !stats.is_written {
        return writeln!(context.out, "Delta {name} dropped: {cost}");
    }
    if io::stderr().is_terminal() {
        let GenerateStats { rolled, patched, whole, metadata, fallbacks, .. } = stats;
        let kinds = [
            ("rollsum", rolled),
            ("bsdiff", patched),
            ("whole", whole),
            ("metadata", metadata),
            ("fallback", fallbacks),
        ];
        let kinds = kinds.into_iter().filter(|(_, kind)| kind.objects > 0);
        let kinds: Vec<String> = kinds
            .map(|(what, KindStats { objects, bytes })| {
                format!("{what} {objects}, {}", format_size(*bytes))
            })
            .collect();
        warn(&format!("{cost}: {}", kinds.join("; ")));
    }
    Ok(())
}

/// A delta in the document of `--json`; without statistics it was there already.
fn document(name: &DeltaName, stats: Option<&GenerateStats>) -> Value {
    let status = match stats {
        None => "exists",
        Some(GenerateStats { is_written: true, .. }) => "made",
        Some(_) => "dropped",
    };
    let kind =
        |KindStats { objects, bytes }: &KindStats| json!({ "objects": objects, "bytes": bytes });
    let stats = stats.map(|stats| {
        json!({
            "parts": stats.parts,
            "part_bytes": stats.part_bytes,
            "loose_bytes": stats.loose_bytes,
            "rolled": kind(&stats.rolled),
            "patched": kind(&stats.patched),
            "whole": kind(&stats.whole),
            "metadata": kind(&stats.metadata),
            "fallbacks": kind(&stats.fallbacks),
        })
    });
    json!({
        "name": name.to_string(),
        "from": name.from.map(|from| from.to_string()),
        "to": name.to.to_string(),
        "status": status,
        "statistics": stats,
    })
}

fn byte_order(args: &Args) -> Result<ByteOrder, Failure> {
    let chosen = match args.set_endianness.as_deref() {
        None | Some("l") => ByteOrder::Little,
        Some("B") => ByteOrder::Big,
        Some(other) => return Err(Failure::failed(format!("Invalid endianness '{other}'"))),
    };
    Ok(match (chosen, args.swap_endianness) {
        (order, false) => order,
        (ByteOrder::Little, true) => ByteOrder::Big,
        (ByteOrder::Big, true) => ByteOrder::Little,
    })
}

fn options(args: &Args, byte_order: ByteOrder) -> Result<GenerateOptions, Failure> {
    let defaults = GenerateOptions::new(clock::commit_time()?);
    let bytes = |text: &Option<String>| text.as_deref().map(megabytes);
    let comparison = match (args.disable_bsdiff, bytes(&args.max_bsdiff_size)) {
        (true, _) => Comparison::None,
        (false, Some(max_size)) => Comparison::Bsdiff { max_size },
        (false, None) => defaults.comparison,
    };
    Ok(GenerateOptions {
        inline: args.inline,
        comparison,
        min_fallback_size: bytes(&args.min_fallback_size).unwrap_or(defaults.min_fallback_size),
        max_chunk_size: bytes(&args.max_chunk_size).unwrap_or(defaults.max_chunk_size),
        byte_order,
        file: args.filename.clone(),
        if_smaller: args.if_smaller,
        signers: signers(args)?,
        threads: args.jobs,
        memory: args.memory,
        ..defaults
    })
}

/// The keys of the command line, then those of the file. Which type they are of matters only if
/// there are any.
fn signers(args: &Args) -> Result<Vec<Arc<dyn Signer>>, Failure> {
    if args.sign.is_empty() && args.keys_file.is_none() {
        return Ok(Vec::new());
    }
    if args.filename.is_none() {
        warn(
            "warning: a signed delta in the repository can only be pulled by osier; --filename writes it elsewhere",
        );
    }
    let engine = signing::engine(args.sign_type.as_deref())?;
    let mut signers: Vec<Arc<dyn Signer>> = Vec::new();
    for key in &args.sign {
        signers.push(Arc::new(SecretKey::parse(engine, key).map_err(osier::Error::from)?));
    }
    if let Some(path) = &args.keys_file {
        let file = SecretKeyFile::open_regular(path).map_err(osier::Error::from)?;
        if let Some(warning) = file.warning() {
            warn(&format!("warning: {warning}"));
        }
        for key in file.keys(engine).map_err(osier::Error::from)? {
            signers.push(Arc::new(key));
        }
    }
    Ok(signers)
}

/// A number of megabytes in bytes, as upstream reads it: decimal digits, whatever follows them, cut
/// to 32 bits; no digits are 0.
fn megabytes(text: &str) -> u64 {
    const MEGABYTE: u64 = 1_000_000;
    let text = text.trim_start_matches([' ', '\t', '\n', '\u{b}', '\u{c}', '\r']);
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = digits.bytes().take_while(u8::is_ascii_digit);
    let number = digits.fold(0u64, |number, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
    });
    let number = if is_negative && number < u64::MAX { number.wrapping_neg() } else { number };
    (number & u64::from(u32::MAX)) * MEGABYTE
}

fn commits(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("Invalid number of commits '{text}'"))
}

/// A number, with or without a percent sign.
fn percentage(text: &str) -> Result<u64, String> {
    let number = text.strip_suffix('%').unwrap_or(text);
    number.parse().map_err(|_| format!("Invalid percentage '{text}'"))
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| format!("Invalid number of threads '{text}'"))
}

/// A number of bytes, with `K`, `M`, `G` or `T` for powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        Some(b'T') => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(1 << shift));
    number.ok_or_else(|| format!("Invalid size '{text}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn megabytes_are_read_as_upstream_does() {
        let cases = [
            ("4", 4_000_000),
            (" 12x", 12_000_000),
            ("", 0),
            ("x", 0),
            ("-1", 4_294_967_295_000_000),
            ("4294967297", 1_000_000),
        ];
        for (text, expected) in cases {
            assert_eq!(megabytes(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes_have_units() {
        let cases =
            [("5", Some(5)), ("2k", Some(2048)), ("3G", Some(3 << 30)), ("1T", Some(1 << 40))];
        for (text, expected) in cases {
            assert_eq!(size(text).ok(), expected, "{text}");
        }
        for text in ["", "M", "1.5G", "-1", "99999999999T"] {
            assert_eq!(size(text), Err(format!("Invalid size '{text}'")));
        }
    }
}
