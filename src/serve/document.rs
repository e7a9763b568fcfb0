//! The views as JSON. docs/json.md has their shapes.

use serde_json::{Value, json};

use super::view::{
    Brief, CommitView, Content, DiffRow, DiffView, Entry, FileView, HistoryEnd, Pages, RefsView,
    RowKind, SearchView, SignatureRow, TreeView,
};
use crate::checksum::Checksum;
use crate::diff::ObjectSums;
use crate::error::Result;
use crate::json::{Numbers, commit as commit_object, mode, time, xattrs};
use crate::repo::Repo;

fn pages(pages: &Pages) -> Value {
    json!({ "page": pages.page, "pages": pages.pages, "total": pages.total })
}

fn brief(brief: &Brief) -> Value {
    json!({
        "commit": brief.checksum.to_hex(),
        "subject": brief.subject,
        "version": brief.version,
        "timestamp": time(brief.timestamp),
    })
}

pub(super) fn refs(view: &RefsView) -> Value {
    let refs = view.refs.iter().map(|row| {
        json!({
            "ref": row.name,
            "commit": row.commit.to_hex(),
            "subject": row.brief.as_ref().ok().map(|brief| &brief.subject),
            "version": row.brief.as_ref().ok().and_then(|brief| brief.version.as_ref()),
            "timestamp": row.brief.as_ref().ok().map(|brief| time(brief.timestamp)),
            "error": row.brief.as_ref().err(),
        })
    });
    json!({
        "mode": view.mode.as_str(),
        "collection": view.collection,
        "has_summary": view.has_summary,
        "refs": refs.collect::<Value>(),
        "pages": pages(&view.pages),
    })
}

/// # Errors
/// When the detached metadata is malformed.
pub(super) fn commit(repo: &Repo, view: &CommitView) -> Result<Value> {
    let mut document = commit_object(repo, &view.checksum, &view.commit, Numbers::BigEndian)?;
    let signatures = view.signatures.iter().map(|SignatureRow { kind, is_valid, text }| {
        json!({ "type": kind, "is_valid": is_valid, "text": text })
    });
    document["refs"] = json!(view.refs);
    document["signatures"] = signatures.collect();
    document["history"] = view.history.iter().map(brief).collect();
    let (next, missing) = match view.end {
        HistoryEnd::Beginning => (None, None),
        HistoryEnd::More(next) => (Some(next), None),
        HistoryEnd::Missing(missing) => (None, Some(missing)),
    };
    document["history_next"] = json!(next.as_ref().map(Checksum::to_hex));
    document["history_missing"] = json!(missing.as_ref().map(Checksum::to_hex));
    Ok(document)
}

fn path(names: &[String]) -> String {
    format!("/{}", names.join("/"))
}

pub(super) fn tree(view: &TreeView) -> Value {
    let entries = view.rows.iter().map(|row| {
        let mut entry = json!({ "name": row.name, "checksum": row.checksum.to_hex() });
        match &row.kind {
            RowKind::Directory => entry["type"] = "directory".into(),
            RowKind::File { mode: bits, size } => {
                entry["type"] = "regular".into();
                entry["mode"] = mode(*bits);
                entry["size"] = (*size).into();
            }
            RowKind::Symlink { target } => {
                entry["type"] = "symlink".into();
                entry["target"] = target.as_str().into();
            }
            RowKind::Unreadable(error) => {
                entry["type"] = "unreadable".into();
                entry["error"] = error.as_str().into();
            }
        }
        entry
    });
    json!({
        "type": "directory",
        "commit": view.commit.to_hex(),
        "path": path(&view.names),
        "dirtree": view.dirtree.to_hex(),
        "dirmeta": view.dirmeta.to_hex(),
        "mode": mode(view.meta.mode),
        "uid": view.meta.uid,
        "gid": view.meta.gid,
        "xattrs": xattrs(&view.meta.xattrs),
        "entries": entries.collect::<Value>(),
        "pages": pages(&view.pages),
    })
}

pub(super) fn file(view: &FileView) -> Value {
    let header = &view.header;
    let mut document = json!({
        "type": if header.is_symlink() { "symlink" } else { "regular" },
        "commit": view.commit.to_hex(),
        "path": path(&view.names),
        "checksum": view.checksum.to_hex(),
        "mode": mode(header.mode),
        "uid": header.uid,
        "gid": header.gid,
        "xattrs": xattrs(&header.xattrs),
    });
    match &view.content {
        Content::Symlink => document["target"] = header.symlink_target.as_str().into(),
        Content::Text { text, is_whole } => {
            document["text"] = text.as_str().into();
            document["text_is_whole"] = (*is_whole).into();
        }
        Content::Binary => document["text"] = Value::Null,
    }
    if !header.is_symlink() {
        document["size"] = view.size.into();
    }
    document
}

pub(super) fn diff(view: &DiffView) -> Value {
    let sums = |sums: &ObjectSums| {
        let ObjectSums { metadata, files, bytes } = sums;
        json!({ "metadata": metadata, "files": files, "bytes": bytes })
    };
    let entry = |entry: &Entry| match entry {
        Entry::Directory => json!({ "type": "directory" }),
        Entry::Symlink => json!({ "type": "symlink" }),
        Entry::File(size) => json!({ "type": "regular", "size": size }),
        Entry::Unknown => json!({ "type": "unreadable" }),
    };
    let changes = view.rows.iter().map(|DiffRow { change, path, before, after }| {
        json!({
            "change": change.word(),
            "path": path,
            "from": before.as_ref().map(entry),
            "to": after.as_ref().map(entry),
        })
    });
    json!({
        "from": brief(&view.from),
        "to": brief(&view.to),
        "modified": view.modified,
        "removed": view.removed,
        "added": view.added,
        "sizes": {
            "new": sums(&view.sizes.new),
            "removed": sums(&view.sizes.removed),
            "shared": sums(&view.sizes.shared),
            "as_objects": {
                "requests": view.sizes.wire.requests, "bytes": view.sizes.wire.bytes,
            },
        },
        "changes": changes.collect::<Value>(),
        "pages": pages(&view.pages),
    })
}

pub(super) fn search(view: &SearchView) -> Value {
    let hits = view.hits.iter().map(|hit| {
        json!({ "path": hit.path, "type": if hit.is_directory { "directory" } else { "file" } })
    });
    json!({
        "commit": view.commit.to_hex(),
        "wanted": view.wanted,
        "after": view.after,
        "hits": hits.collect::<Value>(),
        "seen": view.seen,
        "next": view.next,
    })
}

pub(super) fn error(status: u16, message: &str) -> Value {
    json!({ "status": status, "error": message })
}
