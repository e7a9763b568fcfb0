//! What `pull` prints at the end: the status line, or what it would do.

use std::time::Duration;

use osier::pull::{DeltaTotals, DryRun, ObjectTotals, PullStats, RefChange};
use osier::units::format_size;
use serde_json::{Value, json};

/// Where objects came from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Local,
    Server,
}

/// What a pull would do, as JSON.
pub(super) fn dry_run_document(dry_run: &DryRun) -> Value {
    let DeltaTotals { parts_present, parts, bytes_present, bytes, content_bytes } = dry_run.deltas;
    let refs = dry_run.refs.iter().map(|RefChange { name, old, new }| {
        json!({ "ref": name, "old": old.map(|old| old.to_hex()), "new": new.to_hex() })
    });
    let missing = dry_run.missing;
    json!({
        "refs": refs.collect::<Vec<_>>(),
        "parts_present": parts_present,
        "parts": parts,
        "bytes_present": bytes_present,
        "bytes": bytes,
        "content_bytes": content_bytes,
        "missing": {
            "metadata_objects": missing.metadata_objects,
            "content_objects": missing.content_objects,
            "bytes": missing.bytes,
            "content_bytes": missing.content_bytes,
        },
    })
}

/// The same as text: a line for each ref, one for the deltas if there are any, and one for the
/// objects.
pub(super) fn dry_run_text(dry_run: &DryRun) -> String {
    let mut text = String::new();
    for RefChange { name, old, new } in &dry_run.refs {
        text += &match old {
            None => format!("{name}: new -> {new}\n"),
            Some(old) if old == new => format!("{name}: {new} (unchanged)\n"),
            Some(old) => format!("{name}: {old} -> {new}\n"),
        };
    }
    if dry_run.deltas.parts > 0 {
        text += &delta_line(&dry_run.deltas);
        text += "\n";
    }
    let ObjectTotals { metadata_objects, content_objects, bytes, content_bytes } = dry_run.missing;
    text += &format!("{metadata_objects} metadata, {content_objects} content objects missing; ");
    text += &match (bytes, content_bytes) {
        (Some(bytes), Some(content)) => {
            format!("{} to fetch, {} content", format_size(bytes), format_size(content))
        }
        _ => "the source does not list their sizes".to_owned(),
    };
    text + "\n"
}

/// What deltas consist of.
pub(super) fn delta_line(deltas: &DeltaTotals) -> String {
    let DeltaTotals { parts_present, parts, bytes_present, bytes, content_bytes } = *deltas;
    format!(
        "Delta update: {parts_present}/{parts} parts, {}/{}, {} total uncompressed",
        format_size(bytes_present),
        format_size(bytes),
        format_size(content_bytes)
    )
}

/// What came, in one line.
pub(super) fn status_line(stats: &PullStats, place: Place, took: Duration) -> String {
    let mut line = match place {
        Place::Local => format!(
            "{} metadata, {} content objects imported",
            stats.metadata_objects_imported, stats.content_objects_imported
        ),
        Place::Server if stats.delta_parts_fetched > 0 => format!(
            "{} delta parts, {} loose fetched",
            stats.delta_parts_fetched,
            stats.metadata_objects_fetched + stats.content_objects_fetched
        ),
        Place::Server => format!(
            "{} metadata, {} content objects fetched",
            stats.metadata_objects_fetched, stats.content_objects_fetched
        ),
    };
    let (metadata, content) = (stats.metadata_objects_imported, stats.content_objects_imported);
    if place == Place::Server && metadata + content > 0 {
        line += &format!(" ({metadata} meta, {content} content local)");
    }
    let seconds = took.as_secs();
    line += &match stats.transferred_bytes {
        0 => String::new(),
        bytes if bytes < 1024 => format!("; {bytes} B transferred in {seconds} seconds"),
        bytes => format!("; {} KiB transferred in {seconds} seconds", bytes / 1024),
    };
    line + &format!("; {} content written", format_size(stats.content_bytes_written))
}
