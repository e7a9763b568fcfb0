//! An object store that speaks S3 as a destination.
//!
//! All that is async is here, on a runtime of its own that runs while a caller waits.
//!
//! ```text
//! credentials  who pushes: the environment, or a profile
//! profile      the files of the AWS tools
//! connector    HTTP, by the client of this crate
//! crypto       the digests that requests are signed with
//! window       how many requests are under way
//! send         many files at a time
//! fetch        opens many objects at a time
//! list         the names of files
//! signing      what lets a pull read the files
//! headers      content types, and how long caches keep what
//! failure      what a store says when it refuses something
//! ```

mod connector;
mod credentials;
mod crypto;
mod failure;
mod fetch;
mod headers;
mod list;
mod profile;
mod send;
mod signing;
mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{
    GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use tokio::runtime::Runtime;

use super::destination::{
    Batch, Conditions, Destination, Expected, Hold, Put, Stored, Version, object_of_path,
};
use crate::error::{Error, Result};
use crate::object::{ObjectName, ObjectType};
use crate::push::store::{Listed, Store, Take};
use crate::refspec::RefName;
use failure::failed;
use headers::headers;
use window::Window;

pub use credentials::{StoreOptions, Variables};
pub use signing::to_pull_from;

/// The directory of refs.
const REFS: &str = "refs/heads";
/// The directory of objects.
const OBJECTS: &str = "objects";
/// Small files that are read at a time.
const READ_AT_A_TIME: usize = 32;
/// Files that are removed at a time where each takes a request.
const REMOVED_AT_A_TIME: usize = 64;
/// How often a condition is tried again that fails although it holds.
const ATTEMPTS: u32 = 3;
/// What no version has.
const NO_VERSION: &str = "\"00000000000000000000000000000000\"";

/// A bucket, or what is below a prefix in one.
pub struct Bucket {
    name: String,
    prefix: String,
    store: Arc<AmazonS3>,
    runtime: Runtime,
    window: Arc<Window>,
    /// Whether the store wants the versions in conditions without their quotes.
    bare_versions: AtomicBool,
}

impl Bucket {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When there are no credentials, or options are wrong.
    pub fn new(options: &StoreOptions) -> Result<Self> {
        let window = Arc::new(Window::new());
        let store = credentials::store(options, &window)?;
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Error::failed(format!("starting the network: {error}")))?;
        Ok(Self {
            name: options.name(),
            prefix: options.prefix.clone(),
            store: Arc::new(store),
            runtime,
            window,
            bare_versions: AtomicBool::new(false),
        })
    }

    /// The place of a file in the bucket.
    fn path(&self, name: &str) -> Result<Path> {
        let full = match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        };
        Path::parse(&full).map_err(|error| Error::failed(format!("{}: {error}", self.name)))
    }

    async fn read_one(&self, name: &str, limit: u64) -> Result<Option<Stored>> {
        let path = self.path(name)?;
        let failed = |error| failed(&self.name, name, &error);
        let found = match self.store.get_opts(&path, GetOptions::default()).await {
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            found => found.map_err(failed)?,
        };
        let version = Version(found.meta.e_tag.clone().unwrap_or_default());
        let (mut bytes, mut chunks) = (Vec::new(), found.into_stream());
        while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
            if bytes.len() as u64 + chunk.len() as u64 > limit {
                let message = format!("{}/{name}: larger than {limit} bytes", self.name);
                return Err(Error::failed(message));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(Stored { bytes, version }))
    }

    /// Writes a small file.
    async fn write(&self, name: &str, bytes: &[u8], mode: PutMode) -> object_store::Result<()> {
        let path = self.path(name).map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: error.chain().into(),
        })?;
        let attributes = headers(path.as_ref());
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let payload = PutPayload::from(bytes.to_vec());
        self.store.put_opts(&path, payload, options).await.map(drop)
    }

    async fn remove_all(&self, paths: Vec<Path>) -> Result<()> {
        let failed = |error| failed(&self.name, "", &error);
        let many = stream::iter(paths.clone().into_iter().map(Ok)).boxed();
        match self.store.delete_stream(many).try_for_each(async |_| Ok(())).await {
            Err(error) if is_unknown(&error) => {}
            removed => return removed.map_err(failed),
        }
        // Some stores take one name at a time only.
        let one = |path: Path| async move {
            match self.store.delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error),
            }
        };
        let removals = stream::iter(paths).map(one).buffer_unordered(REMOVED_AT_A_TIME);
        removals.try_for_each(async |()| Ok(())).await.map_err(failed)
    }

    /// The condition that a file has this version.
    fn has_version(&self, version: &str) -> PutMode {
        let version = match self.bare_versions.load(Ordering::Relaxed) {
            true => version.trim_matches('"'),
            false => version,
        };
        PutMode::Update(UpdateVersion { e_tag: Some(version.to_owned()), version: None })
    }

    async fn put(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Put> {
        for _ in 0..ATTEMPTS {
            let mode = match expected {
                Expected::Anything => PutMode::Overwrite,
                Expected::Absent => PutMode::Create,
                Expected::Version(Version(version)) => self.has_version(version),
            };
            match self.write(name, bytes, mode).await {
                Ok(()) => return Ok(Put::Done),
                Err(
                    object_store::Error::AlreadyExists { .. }
                    | object_store::Error::Precondition { .. },
                ) => {}
                Err(error) => return Err(failed(&self.name, name, &error)),
            }
            let there = self.read_one(name, bytes.len() as u64 + (1 << 20)).await?;
            // An answer may have been lost, and the request sent again.
            if there.as_ref().is_some_and(|there| there.bytes == bytes) {
                return Ok(Put::Done);
            }
            if Expected::as_read(there.as_ref()) != *expected {
                return Ok(Put::Lost);
            }
            // It is what is expected, so the store does not understand the condition.
            self.bare_versions.fetch_xor(true, Ordering::Relaxed);
        }
        Err(Error::failed(format!(
            "{}/{name}: the store refuses to write it although it has not changed",
            self.name
        )))
    }

    async fn try_conditions(&self, name: &str, stored: &Stored) -> Result<Conditions> {
        use object_store::Error as E;
        let broken = |how: &str| Ok(Conditions::Broken(how.to_owned()));
        let bytes = &stored.bytes;
        match self.write(name, bytes, PutMode::Create).await {
            Ok(()) => return broken("writes a file that is there in spite of If-None-Match"),
            Err(E::AlreadyExists { .. } | E::Precondition { .. }) => {}
            Err(error) if is_unknown(&error) => return broken("does not know If-None-Match"),
            Err(error) => return Err(failed(&self.name, name, &error)),
        }
        match self.write(name, bytes, self.has_version(NO_VERSION)).await {
            Ok(()) => return broken("writes a file that has changed in spite of If-Match"),
            Err(E::AlreadyExists { .. } | E::Precondition { .. }) => {}
            Err(error) if is_unknown(&error) => return broken("does not know If-Match"),
            Err(error) => return Err(failed(&self.name, name, &error)),
        }
        for _ in 0..ATTEMPTS {
            let now = self.read_one(name, bytes.len() as u64).await?;
            let Some(Stored { version: Version(version), .. }) = now else { break };
            match self.write(name, bytes, self.has_version(&version)).await {
                Ok(()) => return Ok(Conditions::Honoured),
                Err(E::AlreadyExists { .. } | E::Precondition { .. }) => {}
                Err(error) => return Err(failed(&self.name, name, &error)),
            }
            self.bare_versions.fetch_xor(true, Ordering::Relaxed);
        }
        broken("does not write a file that has not changed with If-Match")
    }
}

/// Whether the store says that it cannot do that.
fn is_unknown(error: &object_store::Error) -> bool {
    let text = error.to_string();
    text.contains("NotImplemented") || text.contains("501 ")
}

impl Destination for Bucket {
    fn name(&self) -> &str {
        &self.name
    }

    fn list_refs(&self) -> Result<Vec<RefName>> {
        let mut names = Vec::new();
        let mut take = |file: &Listed<'_>| names.extend(RefName::parse(file.name));
        self.runtime.block_on(self.list_some(REFS, usize::MAX, &mut take))?;
        Ok(names)
    }

    fn list_objects(&self, found: &mut dyn FnMut(ObjectName)) -> Result<()> {
        let mut take = |file: &Listed<'_>| {
            // Detached metadata changes.
            let object = object_of_path(file.name);
            object
                .filter(|name| name.object_type != ObjectType::CommitMeta)
                .into_iter()
                .for_each(&mut *found);
        };
        self.runtime.block_on(self.list_fanned(OBJECTS, &mut take))
    }

    fn read(&self, names: &[String], limit: u64) -> Result<Vec<Option<Stored>>> {
        let reads: Vec<_> = names.iter().map(|name| self.read_one(name, limit)).collect();
        let all = stream::iter(reads).buffered(READ_AT_A_TIME).try_collect();
        self.runtime.block_on(all)
    }

    fn upload(&self, batch: &Batch<'_>) -> Result<()> {
        send::upload(self, batch)
    }

    fn put_if(&self, name: &str, bytes: &[u8], expected: &Expected) -> Result<Put> {
        self.runtime.block_on(self.put(name, bytes, expected))
    }

    fn probe(&self, name: &str, stored: &Stored) -> Result<Conditions> {
        self.runtime.block_on(self.try_conditions(name, stored))
    }

    fn hold(&self) -> Result<Hold<'_>> {
        Ok(Hold::default())
    }
}

impl Store for Bucket {
    fn list(&self, directory: &str, found: &mut dyn FnMut(&Listed<'_>)) -> Result<()> {
        match directory {
            OBJECTS => self.runtime.block_on(self.list_fanned(OBJECTS, found)),
            other => self.runtime.block_on(self.list_some(other, usize::MAX, found)).map(drop),
        }
    }

    fn fetch(&self, objects: &[ObjectName], take: &Take<'_>) -> Result<()> {
        fetch::fetch(self, objects, take)
    }

    fn remove(&self, names: &[String]) -> Result<()> {
        let paths = names.iter().map(|name| self.path(name)).collect::<Result<Vec<Path>>>()?;
        self.runtime.block_on(self.remove_all(paths))
    }
}
