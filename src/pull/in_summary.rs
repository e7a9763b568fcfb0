//! Refs looked up in a summary.

#[cfg(feature = "pull")]
use super::Want;
use super::refs::{InSource, Lookup};
use crate::error::{Error, Result};
use crate::refspec::{CollectionId, CollectionRef, RefName};
use crate::summary::{Summary, SummaryRef, key};

/// An empty file is a summary without refs, as upstream has it.
pub(super) fn decode_summary(bytes: &[u8]) -> Result<Summary> {
    match bytes {
        [] => Ok(Summary::default()),
        bytes => Summary::decode(bytes).map_err(|source| Error::failed(source.to_string())),
    }
}

/// All refs of a summary, as requests.
///
/// # Errors
/// When one has an invalid name.
#[cfg(feature = "pull")]
pub(super) fn all_in(summary: &Summary) -> Result<Vec<Want>> {
    let mut wanted = Vec::new();
    for entry in &summary.refs {
        wanted.push(Want::Ref(RefName::parse(&entry.name)?));
    }
    for (collection, refs) in summary.collection_map().map_err(malformed)? {
        let collection = CollectionId::parse(&collection)?;
        for entry in refs {
            let name = RefName::parse(&entry.name)?;
            wanted
                .push(Want::CollectionRef(CollectionRef { collection: collection.clone(), name }));
        }
    }
    Ok(wanted)
}

/// The refs in a summary.
pub(super) struct InSummary<'s> {
    summary: &'s Summary,
    collection: Option<CollectionId>,
}

impl<'s> InSummary<'s> {
    /// For a summary whose collection id is validated.
    ///
    /// # Errors
    /// When it is no collection id.
    pub(super) fn new(summary: &'s Summary) -> Result<Self> {
        let collection = summary.metadata.get(key::COLLECTION_ID);
        let collection = collection.and_then(|value| value.view().as_str().map(str::to_owned));
        let collection = collection.as_deref().map(CollectionId::parse).transpose()?;
        Ok(Self { summary, collection })
    }

    /// The collection of the refs that are the repository's own.
    pub(super) fn into_collection(self) -> Option<CollectionId> {
        self.collection
    }
}

impl Lookup for InSummary<'_> {
    fn find(&self, name: &RefName) -> Result<InSource> {
        let entry = entry(&self.summary.refs, name).ok_or_else(|| {
            Error::failed(format!("No such branch '{name}' in repository summary"))
        })?;
        Ok(found(entry, self.collection.clone()))
    }

    fn find_in_collection(&self, name: &CollectionRef) -> Result<InSource> {
        let absent = || {
            let CollectionRef { collection, name } = name;
            Error::failed(format!("No such branch ({collection}, {name}) in repository summary"))
        };
        if self.collection.as_ref() == Some(&name.collection) {
            let entry = entry(&self.summary.refs, &name.name).ok_or_else(absent)?;
            return Ok(found(entry, self.collection.clone()));
        }
        let map = self.summary.collection_map().map_err(malformed)?;
        let refs = map.iter().find(|(id, _)| *id == name.collection.as_str());
        let entry = refs.and_then(|(_, refs)| entry(refs, &name.name)).ok_or_else(absent)?;
        Ok(found(entry, Some(name.collection.clone())))
    }
}

fn entry<'r>(refs: &'r [SummaryRef], name: &RefName) -> Option<&'r SummaryRef> {
    refs.iter().find(|entry| entry.name == name.as_str())
}

fn found(entry: &SummaryRef, collection: Option<CollectionId>) -> InSource {
    // Summaries of other programs may say nothing of the size.
    let size = Some(entry.commit_size).filter(|size| *size > 0);
    InSource { commit: entry.commit, size, collection }
}

fn malformed(source: crate::gvariant::DecodeError) -> Error {
    Error::Malformed { what: "summary".to_owned(), source }
}
