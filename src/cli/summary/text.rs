//! Summaries as text and as JSON.

use osier::Error;
use osier::date;
use osier::gvariant::text::{Annotate, print as print_variant};
use osier::gvariant::{Type, Value, Variant};
use osier::summary::{SUMMARY_TYPE, Summary, SummaryRef, key, ref_key};
use osier::units::format_size;
use serde_json::json;

use super::super::error::Failure;
use super::super::json::{self, Numbers};
use super::super::output::Output;

/// What is printed of a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Part {
    /// Refs and metadata, for reading.
    All,
    /// The GVariant, in its text format.
    Raw,
    /// The keys of the metadata.
    Keys,
    /// The value of one key.
    Key(String),
}

/// Prints the bytes of a summary.
pub(in super::super) fn print(
    bytes: &[u8],
    part: &Part,
    json: bool,
    out: &Output,
) -> Result<(), Failure> {
    let decode = || Summary::decode(bytes).map_err(malformed);
    match part {
        Part::All if json => json::print(&document(&decode()?)?, out),
        Part::All => print_all(&decode()?, out),
        Part::Raw => {
            let ty = Type::parse(SUMMARY_TYPE).map_err(|error| Failure::failed(error.what))?;
            let view = Variant::decode(ty, bytes).map_err(malformed)?;
            if json {
                return json::print(&json::variant_of(view, Numbers::BigEndian), out);
            }
            writeln!(out, "{}", print_variant(view.byteswapped().view(), Annotate::Yes))
        }
        Part::Keys => {
            let metadata = decode()?.metadata;
            if json {
                return json::print(&json::keys(&metadata), out);
            }
            let mut keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            keys.into_iter().try_for_each(|key| writeln!(out, "{key}"))
        }
        Part::Key(key) => {
            let metadata = decode()?.metadata;
            let Some(value) = metadata.get(key) else {
                return Err(Failure::failed(format!("No such metadata key '{key}'")));
            };
            if json {
                return json::print(&json::with_key(key, value.view(), Numbers::BigEndian), out);
            }
            writeln!(out, "{}", print_variant(value.view().byteswapped().view(), Annotate::Yes))
        }
    }
}

fn malformed(source: osier::gvariant::DecodeError) -> Failure {
    Failure::Error(Error::Malformed { what: "summary".to_owned(), source })
}

/// The summary as JSON.
fn document(summary: &Summary) -> Result<serde_json::Value, Failure> {
    let metadata = |key| summary.metadata.get(key).map(Value::view);
    let own = metadata(key::COLLECTION_ID).and_then(|id| id.as_str());
    let mut refs: Vec<_> = summary.refs.iter().map(|entry| ref_document(own, entry)).collect();
    for (collection, entries) in summary.collection_map().map_err(malformed)? {
        refs.extend(entries.iter().map(|entry| ref_document(Some(&collection), entry)));
    }
    Ok(json!({
        "collection_id": own,
        "last_modified": metadata(key::LAST_MODIFIED).and_then(seconds).map(json::time),
        "expires": metadata(key::EXPIRES).and_then(seconds).map(json::time),
        "refs": refs,
        "metadata": json::metadata(&summary.metadata, Numbers::BigEndian),
    }))
}

fn ref_document(collection: Option<&str>, entry: &SummaryRef) -> serde_json::Value {
    let metadata = |key| entry.metadata.get(key).map(Value::view);
    json!({
        "collection_id": collection,
        "ref": entry.name,
        "commit": entry.commit.to_hex(),
        "commit_bytes": entry.commit_size,
        "version": metadata(ref_key::VERSION).and_then(|version| version.as_str()),
        "timestamp": metadata(ref_key::TIMESTAMP).and_then(seconds).map(json::time),
        "metadata": json::metadata(&entry.metadata, Numbers::BigEndian),
    })
}

fn print_all(summary: &Summary, out: &Output) -> Result<(), Failure> {
    let own = summary.metadata.get(key::COLLECTION_ID).and_then(|id| id.view().as_str());
    for entry in &summary.refs {
        print_ref(own, entry, out)?;
    }
    for (collection, refs) in summary.collection_map().map_err(malformed)? {
        for entry in &refs {
            print_ref(Some(&collection), entry, out)?;
        }
    }
    for (key, value) in summary.metadata.iter() {
        print_metadata(key, value, out)?;
    }
    Ok(())
}

fn print_ref(collection: Option<&str>, entry: &SummaryRef, out: &Output) -> Result<(), Failure> {
    match collection {
        Some(collection) => writeln!(out, "* ({collection}, {})", entry.name)?,
        None => writeln!(out, "* {}", entry.name)?,
    }
    writeln!(
        out,
        "    Latest Commit ({}):\n      {}",
        format_size(entry.commit_size),
        entry.commit
    )?;
    for (key, value) in entry.metadata.iter() {
        let view = value.view();
        let (label, text) = match key {
            ref_key::VERSION => (Some("Version"), view.as_str().map(str::to_owned)),
            ref_key::TIMESTAMP => (Some("Timestamp"), timestamp(view)),
            _ => (None, None),
        };
        let text = text.unwrap_or_else(|| print_variant(view, Annotate::No));
        match label {
            Some(label) => writeln!(out, "    {label} ({key}): {text}")?,
            None => writeln!(out, "    {key}: {text}")?,
        }
    }
    writeln!(out)
}

fn print_metadata(key: &str, value: &Value, out: &Output) -> Result<(), Failure> {
    let view = value.view();
    let (label, text) = match key {
        key::STATIC_DELTAS => (Some("Static Deltas"), None),
        key::LAST_MODIFIED => (Some("Last-Modified"), timestamp(view)),
        key::EXPIRES => (Some("Expires"), timestamp(view)),
        key::COLLECTION_ID => (Some("Collection ID"), view.as_str().map(str::to_owned)),
        key::COLLECTION_MAP => (Some("Collection Map"), Some("(printed above)".to_owned())),
        key::MODE => (Some("Repository Mode"), view.as_str().map(str::to_owned)),
        key::TOMBSTONE_COMMITS => {
            let text = view.as_bool().map(|yes| if yes { "Yes" } else { "No" }.to_owned());
            (Some("Has Tombstone Commits"), text)
        }
        _ => (None, None),
    };
    let text = text.unwrap_or_else(|| print_variant(view, Annotate::No));
    match label {
        Some(label) => writeln!(out, "{label} ({key}): {text}"),
        None => writeln!(out, "{key}: {text}"),
    }
}

/// A time in the local zone; `None` for a value of another type.
fn timestamp(value: Variant<'_>) -> Option<String> {
    Some(
        date::format_local_summary(seconds(value)?.cast_signed())
            .unwrap_or_else(|| "invalid".to_owned()),
    )
}

/// Seconds since 1970, which are stored in big-endian order.
fn seconds(value: Variant<'_>) -> Option<u64> {
    value.as_u64().map(u64::from_be)
}
