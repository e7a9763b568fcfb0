//! Objects as JSON.

use osier::Checksum;
use osier::object::{Commit, DirMeta, DirTree, ObjectName, ObjectType};
use osier::repo::{CommitState, FileObject, Repo};
use serde_json::{Value, json};

use super::{Numbers, metadata, mode, related, time, xattrs};
use crate::cli::error::Failure;

/// The object with this checksum: a commit if there is one, else a dirmeta, a dirtree or a file.
pub(in crate::cli) fn object(
    repo: &Repo,
    checksum: &Checksum,
    numbers: Numbers,
) -> Result<Value, Failure> {
    let is_there = |object_type| repo.has_object(&ObjectName::new(*checksum, object_type));
    if is_there(ObjectType::Commit)? {
        return commit(repo, checksum, &repo.load_commit(checksum)?, numbers);
    }
    if is_there(ObjectType::DirMeta)? {
        return Ok(dirmeta(checksum, &repo.load_dirmeta(checksum)?));
    }
    if is_there(ObjectType::DirTree)? {
        return Ok(dirtree(checksum, &repo.load_dirtree(checksum)?));
    }
    Ok(file(checksum, &repo.load_file(checksum)?))
}

/// A commit with its detached metadata and its state.
pub(in crate::cli) fn commit(
    repo: &Repo,
    checksum: &Checksum,
    commit: &Commit,
    numbers: Numbers,
) -> Result<Value, Failure> {
    let detached = repo.load_detached_metadata(checksum)?;
    let state = match repo.commit_state(checksum)? {
        CommitState::Complete => "complete",
        CommitState::Partial => "partial",
        CommitState::PartialFsck => "damaged",
    };
    Ok(json!({
        "type": "commit",
        "checksum": checksum.to_hex(),
        "parent": commit.parent.as_ref().map(Checksum::to_hex),
        "content_checksum": commit.content_checksum().to_hex(),
        "root_dirtree": commit.root_dirtree.to_hex(),
        "root_dirmeta": commit.root_dirmeta.to_hex(),
        "timestamp": time(commit.timestamp),
        "version": commit.version(),
        "subject": commit.subject,
        "body": commit.body,
        "related": related(&commit.related),
        "metadata": metadata(&commit.metadata, numbers),
        "detached_metadata": detached.map(|detached| metadata(&detached, numbers)),
        "state": state,
    }))
}

fn dirmeta(checksum: &Checksum, dirmeta: &DirMeta) -> Value {
    json!({
        "type": "dirmeta",
        "checksum": checksum.to_hex(),
        "mode": mode(dirmeta.mode),
        "uid": dirmeta.uid,
        "gid": dirmeta.gid,
        "xattrs": xattrs(&dirmeta.xattrs),
    })
}

fn dirtree(checksum: &Checksum, DirTree { files, dirs }: &DirTree) -> Value {
    let files =
        files.iter().map(|(name, checksum)| json!({ "name": name, "checksum": checksum.to_hex() }));
    let dirs = dirs
        .iter()
        .map(|dir| json!({ "name": dir.name, "dirtree": dir.dirtree.to_hex(), "dirmeta": dir.dirmeta.to_hex() }));
    json!({
        "type": "dirtree",
        "checksum": checksum.to_hex(),
        "files": files.collect::<Value>(),
        "dirs": dirs.collect::<Value>(),
    })
}

fn file(checksum: &Checksum, file: &FileObject) -> Value {
    let mut object =
        json!({ "type": "file", "checksum": checksum.to_hex(), "file_type": file_type(file) });
    file_fields(&mut object, file);
    object
}

/// The kind of a file.
pub(in crate::cli) fn file_type(file: &FileObject) -> &'static str {
    if file.header.is_symlink() { "symlink" } else { "regular" }
}

/// Adds the details of a file: `target` of a symbolic link, `size` of any other.
pub(in crate::cli) fn file_fields(object: &mut Value, file: &FileObject) {
    let header = &file.header;
    object["mode"] = mode(header.mode);
    object["uid"] = header.uid.into();
    object["gid"] = header.gid.into();
    match header.is_symlink() {
        true => object["target"] = header.symlink_target.as_str().into(),
        false => object["size"] = file.size.into(),
    }
    object["xattrs"] = xattrs(&header.xattrs);
}
