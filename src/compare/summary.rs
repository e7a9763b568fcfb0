//! Compares the summaries.

use std::collections::BTreeMap;

use super::fields::{self, FieldDifference, optional};
use super::{Comparison, Side, Subject, Verdict, both};
use crate::error::{Error, Result};
use crate::gvariant::{DecodeError, Dict};
use crate::repo::Repo;
use crate::summary::{Summary, SummaryRef, key, store};

pub(super) fn compare(comparison: &mut Comparison<'_, '_>) -> Result<()> {
    let Some((one, other)) = present(comparison, store::load_bytes_if_present, Subject::Summary)?
    else {
        return present(comparison, store::load_signature, Subject::SummarySignature).and_then(
            |files| files.map_or(Ok(()), |files| signatures(comparison, files, Signed::Same)),
        );
    };
    let signed = if one == other { Signed::Same } else { Signed::Otherwise };
    if one != other {
        let decode =
            |bytes: &[u8]| Summary::decode(bytes).map_err(|source| malformed("summary", source));
        match both(decode(&one), decode(&other)) {
            Ok((one, other)) => summaries(comparison, &one, &other)?,
            Err(verdict) => comparison.found(Subject::Summary, verdict)?,
        }
    }
    match present(comparison, store::load_signature, Subject::SummarySignature)? {
        Some(files) => signatures(comparison, files, signed),
        None => Ok(()),
    }
}

/// Whether the signatures are of equal bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signed {
    Same,
    Otherwise,
}

/// The bytes of a file from both; `None` when nothing is left to compare.
fn present(
    comparison: &mut Comparison<'_, '_>,
    read: impl Fn(&Repo) -> Result<Option<Vec<u8>>>,
    subject: Subject,
) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
    let side = match both(read(comparison.first), read(comparison.second)) {
        Ok((Some(one), Some(other))) => return Ok(Some((one, other))),
        Ok((None, None)) => return Ok(None),
        Ok((Some(_), None)) => Side::First,
        Ok((None, Some(_))) => Side::Second,
        Err(verdict) => return comparison.found(subject, verdict).map(|()| None),
    };
    comparison.found(subject, Verdict::OnlyIn(side)).map(|()| None)
}

fn malformed(what: &str, source: DecodeError) -> Error {
    Error::Malformed { what: what.to_owned(), source }
}

fn summaries(comparison: &mut Comparison<'_, '_>, one: &Summary, other: &Summary) -> Result<()> {
    let mut found = refs("refs", &one.refs, &other.refs);
    let collection_map =
        |summary: &Summary| summary.collection_map().map_err(|source| malformed("summary", source));
    match both(collection_map(one), collection_map(other)) {
        Ok((one, other)) => found.extend(collections(&one, &other)),
        Err(verdict) => comparison.found(Subject::Summary, verdict)?,
    }
    let mut notes = Vec::new();
    for key in fields::dict_keys(&one.metadata, &other.metadata) {
        let value = fields::dict_value("metadata", key, &one.metadata, &other.metadata);
        match key {
            key::LAST_MODIFIED => notes.extend(value),
            // Reported above, ref by ref.
            key::COLLECTION_MAP if !found.is_empty() => {}
            _ => found.extend(value),
        }
    }
    if found.is_empty() && notes.is_empty() {
        // The same values in another order.
        let names = |summary: &Summary| {
            summary.refs.iter().map(|each| each.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        let order = || optional("the order of refs", Some(names(one)), Some(names(other)));
        found.extend(fields::dict("metadata", &one.metadata, &other.metadata).or_else(order));
    }
    if !found.is_empty() {
        comparison.found(Subject::Summary, Verdict::Different(found))?;
    }
    notes.into_iter().try_for_each(|note| comparison.found(Subject::Summary, Verdict::Note(note)))
}

fn collections(
    one: &[(String, Vec<SummaryRef>)],
    other: &[(String, Vec<SummaryRef>)],
) -> Vec<FieldDifference> {
    let by_id = |map: &'_ [(String, Vec<SummaryRef>)]| -> BTreeMap<String, Vec<SummaryRef>> {
        map.iter().cloned().collect()
    };
    let (one, other) = (by_id(one), by_id(other));
    let ids: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let of = |map: &BTreeMap<String, Vec<SummaryRef>>, id: &String| {
        map.get(id).cloned().unwrap_or_default()
    };
    ids.into_iter()
        .flat_map(|id| refs(&format!("collections[{id:?}]"), &of(&one, id), &of(&other, id)))
        .collect()
}

/// The first difference of each ref.
fn refs(list: &str, one: &[SummaryRef], other: &[SummaryRef]) -> Vec<FieldDifference> {
    let by_name = |refs: &'_ [SummaryRef]| -> BTreeMap<String, SummaryRef> {
        refs.iter().map(|each| (each.name.clone(), each.clone())).collect()
    };
    let (one, other) = (by_name(one), by_name(other));
    let names: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let difference = |name: &String| {
        let whole = format!("{list}[{name:?}]");
        let commit = |each: Option<&SummaryRef>| each.map(|each| each.commit.to_hex());
        let (one, other) = (one.get(name), other.get(name));
        optional(format!("{whole}.commit"), commit(one), commit(other)).or_else(|| {
            let (one, other) = (one?, other?);
            let size = |each: &SummaryRef| Some(each.commit_size.to_string());
            optional(format!("{whole}.commit_size"), size(one), size(other)).or_else(|| {
                fields::dict(&format!("{whole}.metadata"), &one.metadata, &other.metadata)
            })
        })
    };
    names.into_iter().filter_map(difference).collect()
}

fn signatures(
    comparison: &mut Comparison<'_, '_>,
    (one, other): (Vec<u8>, Vec<u8>),
    signed: Signed,
) -> Result<()> {
    if one == other {
        return Ok(());
    }
    let decode =
        |bytes: &[u8]| Dict::decode(bytes).map_err(|source| malformed("summary.sig", source));
    let verdict = match (both(decode(&one), decode(&other)), signed) {
        (Err(verdict), _) => verdict,
        (Ok((one, other)), signed) => match (fields::dict("metadata", &one, &other), signed) {
            // Different bytes cannot have the same signature.
            (Some(field), Signed::Otherwise) => Verdict::Note(field),
            (field, _) => Verdict::Different(field.into_iter().collect()),
        },
    };
    comparison.found(Subject::SummarySignature, verdict)
}
