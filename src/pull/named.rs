//! Single objects by their names, verified, for whoever knows which ones are missing: from a
//! repository on this machine, or from a server.
//!
//! Nothing is linked: an object that is damaged here may share its file with the source's.

use super::PullOptions;
use super::checks::{Candidate, Checks};
#[cfg(feature = "pull")]
use super::http::Server;
use super::local::Importer;
use super::plan::WantedCommit;
use crate::checksum::Checksum;
use crate::error::{OfObject, Result};
use crate::gvariant::Dict;
use crate::map::FileBytes;
use crate::object::{Commit, ObjectName, ObjectType};
use crate::refspec::CollectionId;
#[cfg(feature = "pull")]
use crate::remote::origin::Origin;
use crate::repo::{Repo, Transaction, Trust, verify_metadata};

/// Where objects are fetched from.
#[derive(Clone, Copy, Debug)]
pub enum Supply<'s> {
    /// A repository on this machine.
    Repo(&'s Repo),
    /// A server.
    #[cfg(feature = "pull")]
    Server(&'s Origin<'s>),
}

/// Fetches objects of one source. May be used by many threads at once.
pub(crate) struct Supplier<'t, 'r> {
    transaction: &'t Transaction<'r>,
    checks: Checks<'t>,
    from: From<'t, 'r>,
}

enum From<'t, 'r> {
    Repo(Importer<'t, 'r>),
    #[cfg(feature = "pull")]
    Server(Box<Server<'t, 'r>>),
}

impl<'t, 'r> Supplier<'t, 'r> {
    /// Prepares to fetch. Commits must fulfil what the options demand of signatures and, with a
    /// collection, bindings.
    ///
    /// # Errors
    /// When a repository cannot be looked at.
    pub(crate) fn new(
        transaction: &'t Transaction<'r>,
        supply: Supply<'t>,
        options: &'t PullOptions,
        collection: Option<CollectionId>,
    ) -> Result<Self> {
        let from = match supply {
            Supply::Repo(repo) => {
                let (trust, modes) = (Trust::Untrusted, options.file_modes);
                From::Repo(Importer::new(transaction, repo, trust, modes)?.that_copies())
            }
            #[cfg(feature = "pull")]
            Supply::Server(origin) => {
                From::Server(Box::new(Server::new(transaction, origin, options)))
            }
        };
        let checks = Checks::new(transaction.repo(), options, collection)?;
        Ok(Self { transaction, checks, from })
    }

    /// Fetches an object, verifies it and stores it; `false` if the source does not have it.
    ///
    /// # Errors
    /// When what the source has is damaged or does not fulfil the demands; when it cannot be
    /// fetched or written.
    pub(crate) fn fetch(&self, name: &ObjectName) -> Result<bool> {
        match name.object_type {
            ObjectType::Commit => self.commit(name),
            ObjectType::CommitMeta => self.detached(&name.checksum),
            _ => match &self.from {
                From::Repo(importer) if !importer.is_in_source(name)? => Ok(false),
                From::Repo(importer) if name.object_type == ObjectType::File => {
                    importer.file(&name.checksum).map(|_| true)
                }
                From::Repo(importer) => importer.metadata(name).map(|_| true),
                #[cfg(feature = "pull")]
                From::Server(server) => server.store(name),
            },
        }
    }

    /// A commit, with its detached metadata unless sound ones are here.
    fn commit(&self, name: &ObjectName) -> Result<bool> {
        let commit = name.checksum;
        let detached = self.load_detached(&commit)?;
        let Some(bytes) = self.load_commit(name)? else { return Ok(false) };
        verify_metadata(name, &bytes)?;
        self.check(&commit, &bytes, detached.as_deref())?;
        let has_own =
            matches!(self.transaction.repo().load_detached_metadata(&commit), Ok(Some(_)));
        if let Some(detached) = detached.filter(|_| !has_own) {
            self.store_detached(&commit, &detached)?;
        }
        self.transaction.write_metadata_as(name, &bytes, Trust::Trusted)?;
        Ok(true)
    }

    /// Detached metadata of a commit that is here.
    fn detached(&self, commit: &Checksum) -> Result<bool> {
        let Some(detached) = self.load_detached(commit)? else { return Ok(false) };
        let name = ObjectName::new(*commit, ObjectType::Commit);
        let bytes = self.transaction.repo().load_verified(&name)?;
        self.check(commit, &bytes, Some(&detached))?;
        self.store_detached(commit, &detached)?;
        Ok(true)
    }

    fn store_detached(&self, commit: &Checksum, bytes: &[u8]) -> Result<()> {
        let name = ObjectName::new(*commit, ObjectType::CommitMeta);
        Dict::decode(bytes).of_object(name)?;
        self.transaction.write_metadata_as(&name, bytes, Trust::Trusted)
    }

    fn check(&self, commit: &Checksum, bytes: &[u8], detached: Option<&[u8]>) -> Result<()> {
        let name = ObjectName::new(*commit, ObjectType::Commit);
        let wanted = WantedCommit { commit: *commit, found_by: None, is_parent: false };
        self.checks.check(&Candidate {
            wanted: &wanted,
            bytes,
            commit: &Commit::decode(bytes).of_object(name)?,
            detached,
            // If none came, those that are here count.
            is_stored: true,
        })
    }

    fn load_commit(&self, name: &ObjectName) -> Result<Option<FileBytes>> {
        match &self.from {
            From::Repo(importer) if importer.is_in_source(name)? => importer.load(name).map(Some),
            From::Repo(_) => Ok(None),
            #[cfg(feature = "pull")]
            From::Server(server) => server.load_commit(&name.checksum),
        }
    }

    fn load_detached(&self, commit: &Checksum) -> Result<Option<FileBytes>> {
        match &self.from {
            From::Repo(importer) => importer.load_detached_metadata(commit),
            #[cfg(feature = "pull")]
            From::Server(server) => server.load_detached(commit),
        }
    }
}
