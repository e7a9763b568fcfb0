//! The superblock of a delta whose parts are finished.

use super::GenerateOptions;
use crate::checksum::Checksum;
use crate::delta_format::{
    DeltaName, ENDIANNESS, Endianness, Fallback, ObjectList, PART_TYPE, PartHeader, Signed,
    Superblock,
};
use crate::error::{Error, OfObject, Result};
use crate::gvariant::{Dict, Type, Variant};
use crate::object::{ObjectName, ObjectType};
use crate::repo::Repo;
use crate::signer::{PayloadKind, Signer, sign_all};

/// A part that has been compressed.
#[derive(Debug)]
pub(super) struct FinishedPart {
    /// The checksum of its file.
    pub(super) checksum: Checksum,
    /// Bytes of its file.
    pub(super) size: u64,
    /// Bytes of the objects, without symlinks.
    pub(super) content_size: u64,
    pub(super) objects: Vec<ObjectName>,
    /// Its file, if that is to be in the superblock.
    pub(super) inlined: Option<Vec<u8>>,
}

impl FinishedPart {
    fn header<'l>(&self, list: &'l [u8]) -> PartHeader<'l> {
        PartHeader {
            version: 0,
            checksum: self.checksum,
            size: self.size,
            content_size: self.content_size,
            // The list was made of objects that a part can have.
            objects: ObjectList::decode(list).unwrap_or_default(),
        }
    }
}

/// Serialises the superblock, and signs it if there are signers.
pub(super) fn superblock(
    repo: &Repo,
    name: &DeltaName,
    options: &GenerateOptions,
    parts: &[FinishedPart],
    fallbacks: &[(Fallback, u64)],
) -> Result<Vec<u8>> {
    let commit = repo.load_metadata(&ObjectName::new(name.to, ObjectType::Commit))?;
    let detached = detached_metadata(repo, &name.to)?;
    let mark = [options.byte_order.mark()];
    let ty = |ty: &'static str| Type::parse(ty).map_err(|error| Error::failed(error.what));
    let mut metadata = vec![(ENDIANNESS, Variant::new(ty("y")?, &mark))];
    let paths: Vec<String> = (0..parts.len()).map(|number| name.part_path(number)).collect();
    for (part, path) in parts.iter().zip(&paths) {
        if let Some(file) = &part.inlined {
            metadata.push((path, Variant::new(ty(PART_TYPE)?, file)));
        }
    }
    let commitmeta = name.commitmeta_path();
    if let Some(detached) = &detached {
        metadata.push((&commitmeta, Variant::new(ty(Dict::TYPE)?, detached)));
    }
    let lists: Vec<Vec<u8>> = parts.iter().map(|part| ObjectList::encode(&part.objects)).collect();
    let superblock = Superblock {
        metadata,
        timestamp: options.timestamp,
        from: name.from,
        to: name.to,
        commit: &commit,
        parents: &[],
        endianness: Endianness::Marked(options.byte_order),
        parts: parts.iter().zip(&lists).map(|(part, list)| part.header(list)).collect(),
        fallbacks: fallbacks.iter().map(|(fallback, _)| *fallback).collect(),
    };
    let bytes = superblock.encode();
    if options.signers.is_empty() {
        return Ok(bytes);
    }
    let signers = options.signers.iter().map(|signer| signer.as_ref() as &dyn Signer);
    let signatures = sign_all(signers, PayloadKind::Delta, &bytes, &Dict::new())?;
    Ok(Signed { superblock: &bytes, signatures }.encode())
}

/// The detached metadata of a commit, which may be there and empty.
fn detached_metadata(repo: &Repo, commit: &Checksum) -> Result<Option<Vec<u8>>> {
    let name = ObjectName::new(*commit, ObjectType::CommitMeta);
    match repo.load_metadata(&name) {
        Ok(bytes) => Dict::decode(&bytes).of_object(name).map(|metadata| Some(metadata.encode())),
        Err(Error::MissingMetadata { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
