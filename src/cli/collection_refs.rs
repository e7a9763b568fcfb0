//! `COLLECTION-ID REF` pairs of arguments.

use std::ffi::OsString;

use osier::refspec::{CollectionId, CollectionRef, RefName};

use super::error::Failure;

/// Refuses anything but pairs, and at least one.
pub(super) fn check_pairs(arguments: &[OsString]) -> Result<(), Failure> {
    match arguments.len() {
        0 | 1 => Err(Failure::usage("At least one COLLECTION-ID REF pair must be specified")),
        length if length % 2 == 1 => {
            Err(Failure::usage("Only complete COLLECTION-ID REF pairs may be specified"))
        }
        _ => Ok(()),
    }
}

/// The refs that the pairs name.
pub(super) fn parse_pairs(arguments: &[OsString]) -> Result<Vec<CollectionRef>, Failure> {
    let (pairs, _) = arguments.as_chunks::<2>();
    let parse = |[collection, name]: &[OsString; 2]| {
        let collection = CollectionId::parse(&collection.to_string_lossy());
        let collection = collection.map_err(osier::Error::from)?;
        let name = RefName::parse(&name.to_string_lossy()).map_err(osier::Error::from)?;
        Ok(CollectionRef { collection, name })
    };
    pairs.iter().map(parse).collect()
}
