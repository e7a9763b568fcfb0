//! `static-delta show`: describes a delta.

use osier::Checksum;
use osier::delta::{
    self, DeltaDescription, DeltaFile, OperationCounts, PartDescription, PayloadDescription,
};
use osier::delta_format::{InlinedParts, Superblock};
use osier::gvariant::DecodeError;
use osier::repo::Repo;
use osier::units::format_size;
use serde_json::{Value, json};

use super::super::context::Context;
use super::super::error::Failure;
use super::super::json;
use super::super::options::OWN_OPTIONS;
use super::super::output::Output;

/// The options of `static-delta show`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { json, arguments } = args;
    let repo = context.open_repo()?;
    let Some(named) = arguments.first() else {
        return Err(Failure::failed("DELTA must be specified"));
    };
    let delta = super::open(&repo, named)?;
    let envelope = delta.envelope()?;
    let signed = envelope.signatures.is_some();
    if !json {
        // Upstream prints this before it finds out what is wrong.
        let from = Superblock::decode_source(envelope.superblock);
        print_head(named, signed, from, &context.out)?;
    }
    let superblock = envelope.superblock()?;
    let description = DeltaDescription::new(&superblock, signed);
    let inlined = superblock.inlined_parts();
    let shown = Shown { repo: &repo, delta: &delta, superblock: &superblock, inlined, description };
    match json {
        true => json::print(&shown.document(named)?, &context.out),
        false => shown.print(&context.out),
    }
}

fn print_head(
    named: &str,
    signed: bool,
    from: Result<Option<Checksum>, DecodeError>,
    out: &Output,
) -> Result<(), Failure> {
    writeln!(out, "Delta: {named}")?;
    writeln!(out, "Signed: {}", if signed { "yes" } else { "no" })?;
    match from {
        Ok(Some(from)) => writeln!(out, "From: {from}"),
        Ok(None) => writeln!(out, "From <scratch>"),
        Err(error) => Err(Failure::failed(error.what)),
    }
}

struct Shown<'d> {
    repo: &'d Repo,
    delta: &'d DeltaFile,
    superblock: &'d Superblock<'d>,
    inlined: InlinedParts<'d>,
    description: DeltaDescription,
}

impl Shown<'_> {
    fn payload(&self, number: usize) -> Result<PayloadDescription, Failure> {
        let inlined = self.inlined.part(number);
        Ok(delta::describe(self.repo, self.delta, self.superblock, number, inlined)?)
    }

    /// Prints what is known before each part is read, as upstream does.
    fn print(&self, out: &Output) -> Result<(), Failure> {
        let delta = &self.description;
        writeln!(out, "To: {}", delta.to)?;
        writeln!(out, "Endianness: {}", delta.endianness)?;
        writeln!(out, "Timestamp: {}", delta.timestamp)?;
        writeln!(out, "Number of parents: {}", delta.parents)?;
        writeln!(out, "Number of fallback entries: {}", delta.fallbacks.len())?;
        for fallback in &delta.fallbacks {
            writeln!(out, "  {}", fallback.name.checksum)?;
        }
        let size = |what: &str, bytes: u64| {
            writeln!(out, "Total {what}: {bytes} ({})", format_size(bytes))
        };
        let (fallbacks, fallback_content) = delta.fallback_sizes();
        size("Fallback Size", fallbacks)?;
        size("Fallback Uncompressed Size", fallback_content)?;
        writeln!(out, "Number of parts: {}", delta.parts.len())?;
        for (number, part) in delta.parts.iter().enumerate() {
            let PartDescription { objects, size, content_size } = part;
            writeln!(out, "PartMeta{number}: nobjects={objects} size={size} usize={content_size}")?;
            let payload = self.payload(number)?;
            let PayloadDescription { modes, xattr_sets, blob_size, operations_size, operations } =
                payload;
            writeln!(
                out,
                "PartPayload{number}: nmodes={modes} nxattrs={xattr_sets} blobsize={blob_size} \
                 opsize={operations_size}"
            )?;
            let OperationCounts {
                open_splice_and_close,
                open,
                write,
                set_read_source,
                unset_read_source,
                close,
                patch,
            } = operations;
            writeln!(
                out,
                "PartPayloadOps{number}: openspliceclose={open_splice_and_close} open={open} \
                 write={write} setread={set_read_source} unsetread={unset_read_source} \
                 close={close} bspatch={patch}"
            )?;
        }
        let (parts, part_content) = delta.part_sizes();
        size("Part Size", parts)?;
        size("Part Uncompressed Size", part_content)?;
        size("Size", parts.saturating_add(fallbacks))?;
        size("Uncompressed Size", part_content.saturating_add(fallback_content))
    }

    fn document(&self, named: &str) -> Result<Value, Failure> {
        let delta = &self.description;
        let fallback = |fallback: &osier::delta_format::Fallback| {
            json!({
                "checksum": fallback.name.checksum.to_string(),
                "size": fallback.size,
                "content_size": fallback.content_size,
            })
        };
        let parts = (0..delta.parts.len()).map(|number| self.part(number));
        let (parts_size, parts_content) = delta.part_sizes();
        let (fallbacks_size, fallbacks_content) = delta.fallback_sizes();
        Ok(json!({
            "delta": named,
            "signed": delta.signed,
            "from": delta.from.map(|from| from.to_string()),
            "to": delta.to.to_string(),
            "endianness": delta.endianness.to_string(),
            "timestamp": json::time(delta.timestamp),
            "parents": delta.parents,
            "fallbacks": delta.fallbacks.iter().map(fallback).collect::<Vec<_>>(),
            "parts": parts.collect::<Result<Vec<_>, _>>()?,
            "size": parts_size.saturating_add(fallbacks_size),
            "content_size": parts_content.saturating_add(fallbacks_content),
        }))
    }

    fn part(&self, number: usize) -> Result<Value, Failure> {
        let PartDescription { objects, size, content_size } = self.description.parts[number];
        let payload = self.payload(number)?;
        let operations = payload.operations;
        Ok(json!({
            "objects": objects,
            "size": size,
            "content_size": content_size,
            "inlined": self.inlined.part(number).is_some(),
            "modes": payload.modes,
            "xattr_sets": payload.xattr_sets,
            "blob_size": payload.blob_size,
            "operations_size": payload.operations_size,
            "operations": {
                "open_splice_and_close": operations.open_splice_and_close,
                "open": operations.open,
                "write": operations.write,
                "set_read_source": operations.set_read_source,
                "unset_read_source": operations.unset_read_source,
                "close": operations.close,
                "patch": operations.patch,
            },
        }))
    }
}
