//! What is asked of a server.

use std::sync::Arc;
use std::time::Instant;

use super::body::Places;
use super::delta::Delta;
use super::partial::Partial;
use super::receive::Kind;
use crate::http::{Request, Url, Validators};
use crate::map::FileBytes;
use crate::object::{ObjectName, ObjectType};
use crate::pull::plan::WantedCommit;
use crate::remote::attempts::{Attempts, Need};
use crate::remote::origin::{MAX_FILE_SIZE, Origin, Side};
use crate::repo::{RepoMode, loose_path};

/// Bodies of at most that many bytes are in memory as a whole.
const SMALL: usize = 64 << 10;

/// A file to get.
pub(super) struct Task {
    pub(super) what: What,
    pub(super) attempts: Attempts,
    /// The number of the last request for it.
    pub(super) number: u64,
    /// When it was last asked for.
    pub(super) asked: Instant,
    /// What an earlier pull has left of it, which is not asked for again.
    pub(super) begun: Option<Partial>,
    /// Whether that is of no use.
    pub(super) is_anew: bool,
    /// The largest it may be, in bytes.
    limit: u64,
}

/// Which file.
pub(super) enum What {
    /// The detached metadata of a commit; there need not be any.
    Detached(WantedCommit),
    /// A commit, with its detached metadata.
    Commit(WantedCommit, Option<FileBytes>),
    /// The tombstone of a commit.
    Tombstone(WantedCommit),
    /// A dirtree, dirmeta or file.
    Object(ObjectName),
    /// The part of that number of a delta.
    Part(Arc<Delta>, usize),
}

impl What {
    fn side(&self) -> Side {
        match self {
            Self::Detached(_) => Side::Meta,
            _ => Side::Content,
        }
    }
}

impl Task {
    /// `size` is the size of the commit or part, if it is known.
    pub(super) fn new(origin: &Origin<'_>, what: What, size: Option<u64>) -> Self {
        let limit = match &what {
            What::Commit(..) => size.unwrap_or(MAX_FILE_SIZE),
            What::Object(name) if name.object_type == ObjectType::File => u64::MAX,
            What::Part(..) => size.unwrap_or(MAX_FILE_SIZE),
            _ => MAX_FILE_SIZE,
        };
        let need = match &what {
            What::Detached(_) | What::Tombstone(_) => Need::Optional,
            What::Commit(wanted, _) if wanted.is_parent => Need::Optional,
            What::Commit(..) | What::Object(_) | What::Part(..) => Need::Required,
        };
        let attempts = Attempts::new(origin.mirrors_of(what.side()), need);
        let asked = Instant::now();
        Self { what, attempts, number: 0, asked, begun: None, is_anew: false, limit }
    }

    /// Its path on the server.
    pub(super) fn path(&self) -> String {
        let object = |name: &ObjectName| format!("objects/{}", loose_path(name, RepoMode::Archive));
        let named = |wanted: &WantedCommit, ty| object(&ObjectName::new(wanted.commit, ty));
        match &self.what {
            What::Detached(wanted) => named(wanted, ObjectType::CommitMeta),
            What::Commit(wanted, _) => named(wanted, ObjectType::Commit),
            What::Tombstone(wanted) => named(wanted, ObjectType::TombstoneCommit),
            What::Object(name) => object(name),
            What::Part(delta, number) => delta.name.part_path(*number),
        }
    }

    /// How its body is looked at.
    pub(super) fn kind(&self) -> Kind {
        match &self.what {
            What::Object(name) => Kind::Object(*name),
            What::Commit(wanted, _) => {
                Kind::Commit(ObjectName::new(wanted.commit, ObjectType::Commit))
            }
            What::Part(delta, number) => Kind::Part(Arc::clone(delta), *number),
            _ => Kind::Plain,
        }
    }

    /// Where it is.
    pub(super) fn places(&self, origin: &Origin<'_>) -> Places {
        Places {
            mirrors: Arc::clone(origin.mirrors_of(self.what.side())),
            path: self.path(),
            mirror: self.attempts.mirror(),
            limit: self.limit,
            retry: *origin.retry(),
        }
    }

    /// The request for it, or for the rest of it.
    pub(super) fn request(&self, url: Url) -> Request {
        let (from, unless) = match &self.begun {
            None => (0, Validators::default()),
            Some(begun) => (begun.length, begun.validators.clone()),
        };
        Request { from, unless, limit: self.limit, collect: SMALL, ..Request::get(url) }
    }
}
