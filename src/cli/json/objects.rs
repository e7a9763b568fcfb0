//! Objects as JSON.

use osier::Checksum;
use osier::object::{DirMeta, DirTree, ObjectName, ObjectType};
use osier::repo::{FileObject, Repo};
use serde_json::{Value, json};

use super::{Numbers, commit, file_fields, file_type, mode, xattrs};
use crate::cli::error::Failure;

/// The object with this checksum: a commit if there is one, else a dirmeta, a dirtree or a file.
pub(in crate::cli) fn object(
    repo: &Repo,
    checksum: &Checksum,
    numbers: Numbers,
) -> Result<Value, Failure> {
    let is_there = |object_type| repo.has_object(&ObjectName::new(*checksum, object_type));
    if is_there(ObjectType::Commit)? {
        return Ok(commit(repo, checksum, &repo.load_commit(checksum)?, numbers)?);
    }
    if is_there(ObjectType::DirMeta)? {
        return Ok(dirmeta(checksum, &repo.load_dirmeta(checksum)?));
    }
    if is_there(ObjectType::DirTree)? {
        return Ok(dirtree(checksum, &repo.load_dirtree(checksum)?));
    }
    Ok(file(checksum, &repo.load_file(checksum)?))
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
