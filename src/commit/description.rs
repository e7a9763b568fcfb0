//! The metadata of a commit object, in the order in which it enters the commit (docs/format.md,
//! section 9).

use super::options::{Bindings, CommitOptions};
use super::tree::Tree;
use crate::checksum::Checksum;
use crate::composefs;
use crate::error::{Error, Result};
use crate::gvariant::{Dict, Value};
use crate::object::key;
use crate::progress::Progress;
use crate::repo::tree::Node;
use crate::repo::{Repo, Transaction};

/// Assembles everything but the composefs digest and the sizes, which are known only when all
/// dirtrees are written.
pub(super) fn metadata(
    repo: &Repo,
    options: &CommitOptions,
    parent: Option<&Checksum>,
    tree: &mut Tree,
) -> Result<Dict> {
    let description = &options.description;
    let mut metadata = Dict::new();
    for (key, value) in &description.metadata {
        metadata.push(key.clone(), value.clone());
    }
    keep_metadata(repo, &description.keep_metadata, parent, &mut metadata)?;
    if let Bindings::Refs(refs) = &description.bindings {
        // Upstream does not check whether the user has given one; readers take the first of the
        // two.
        let branch = options.branch.iter().map(|branch| branch.to_string());
        let mut names: Vec<String> = branch.chain(refs.iter().cloned()).collect();
        names.sort_unstable();
        metadata.push(key::REF_BINDING, Value::strings(&names));
        if let (Some(id), false) =
            (repo.collection_id(), metadata.contains_key(key::COLLECTION_BINDING))
        {
            metadata.push(key::COLLECTION_BINDING, Value::string(id.as_str()));
        }
    }
    if description.bootable {
        let version = kernel_version(repo, tree)?;
        metadata.push(key::BOOTABLE, Value::boolean(true));
        metadata.push(key::LINUX, Value::string(&version));
        metadata = metadata.in_table_order();
    }
    Ok(metadata)
}

/// Adds the digest of the composefs image of the tree, which must have been written.
pub(super) fn add_composefs_digest(
    transaction: &Transaction<'_>,
    root: &(Checksum, Checksum),
    metadata: &mut Dict,
    progress: &dyn Progress,
) -> Result<()> {
    let root = Node::Directory { dirtree: root.0, dirmeta: root.1 };
    let digest = composefs::image_digest(&transaction.view()?, &root, progress)?;
    metadata.push(composefs::DIGEST_KEY, Value::bytes_value(digest.as_bytes()));
    *metadata = metadata.in_table_order();
    Ok(())
}

/// Appends `ostree.sizes` if sizes were recorded.
pub(super) fn add_sizes(transaction: &Transaction<'_>, metadata: &mut Dict) {
    if let Some(sizes) = transaction.recorded_sizes() {
        let entries = sizes.iter().map(|entry| Value::bytes_value(&entry.encode())).collect();
        metadata.push(key::SIZES, Value::array("ay", entries));
    }
}

fn keep_metadata(
    repo: &Repo,
    keys: &[String],
    parent: Option<&Checksum>,
    metadata: &mut Dict,
) -> Result<()> {
    let Some(parent) = parent.filter(|_| !keys.is_empty()) else {
        return match keys.first() {
            Some(_) => Err(Error::failed(
                "Either --branch or --parent must be specified when using --keep-metadata",
            )),
            None => Ok(()),
        };
    };
    let commit = repo.load_commit(parent)?;
    for key in keys {
        let value = commit.metadata.get(key).ok_or_else(|| {
            Error::failed(format!("Missing metadata key '{key}' from commit '{parent}'"))
        })?;
        metadata.push(key.clone(), value.clone());
    }
    Ok(())
}

/// The name of the one directory in `usr/lib/modules` that holds a `vmlinuz`.
fn kernel_version(repo: &Repo, tree: &mut Tree) -> Result<String> {
    let missing = || Error::failed("No kernel found in /usr/lib/modules");
    let mut modules = tree;
    let mut path = String::new();
    for name in ["usr", "lib", "modules"] {
        path.push_str(&format!("/{name}"));
        if !modules.has_directory(name) {
            return Err(Error::failed(format!("No such file or directory: {path}")));
        }
        modules = modules.directory(repo, name)?;
    }
    let mut found = None;
    let names: Vec<String> = modules.directory_names().map(str::to_owned).collect();
    for name in names {
        if modules.directory(repo, &name)?.file("vmlinuz").is_some() {
            if found.is_some() {
                return Err(Error::failed("Multiple kernels found in /usr/lib/modules"));
            }
            found = Some(name);
        }
    }
    found.ok_or_else(missing)
}

/// Whether the parent has exactly this tree.
pub(super) fn is_unchanged(
    repo: &Repo,
    parent: &Checksum,
    root: &(Checksum, Checksum),
) -> Result<bool> {
    let commit = repo.load_commit(parent)?;
    Ok((commit.root_dirtree, commit.root_dirmeta) == *root)
}
