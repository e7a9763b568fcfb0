//! Compares a repository with a store that it was pushed to, by names: each object is named by its
//! content, and `fsck` verifies that.

use std::collections::BTreeMap;

use super::{CompareReport, FieldDifference, Finding, Place, Side, Sink, Subject, Verdict, merged};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::object::{ObjectName, ObjectType};
use crate::progress::{Event, Progress};
use crate::push::{Contents, Store, contents};
use crate::refspec::RefName;
use crate::repo::deltas::{self, DeltaName};
use crate::repo::{ListRefs, LockKind, MAX_METADATA_SIZE, Repo};

/// Compares a repository with a store: the refs of its own, the names of objects and static deltas,
/// and the content of detached metadata. Other refs and tombstones are no matter of the store.
///
/// # Errors
/// Those of `sink`, and when either cannot be read.
pub fn compare_with_store(
    repo: &Repo,
    store: &dyn Store,
    sink: &mut Sink<'_>,
    progress: &dyn Progress,
) -> Result<CompareReport> {
    let _lock = repo.lock(LockKind::Shared)?;
    progress.event(Event::Started { task: "compare", total: None });
    let there = contents(store)?;
    let mut comparison = Comparison { sink, report: CompareReport::default() };
    comparison.refs(repo, &there.refs)?;
    comparison.deltas(repo, there.deltas.clone())?;
    comparison.objects(repo, store, there)?;
    progress.event(Event::Finished);
    Ok(comparison.report)
}

struct Comparison<'c, 's> {
    sink: &'c mut Sink<'s>,
    report: CompareReport,
}

impl Comparison<'_, '_> {
    fn found(&mut self, subject: Subject, verdict: Verdict) -> Result<()> {
        self.report.differences += 1;
        (self.sink)(Finding { subject, verdict })
    }

    fn refs(&mut self, repo: &Repo, there: &BTreeMap<RefName, Checksum>) -> Result<()> {
        let own = repo.list_refs(None, ListRefs::Full)?.into_iter();
        let own = own.filter(|(refspec, _)| refspec.remote.is_none());
        let mut own: Vec<(RefName, Checksum)> =
            own.map(|(refspec, commit)| (refspec.name, commit)).collect();
        own.sort_unstable();
        let there = there.iter().map(|(name, commit)| (name.clone(), *commit)).collect();
        for place in merged(own, there, |(name, _)| name.clone()) {
            self.report.refs += 1;
            let subject = |name: &RefName| Subject::Ref(format!("refs/heads/{name}"));
            match place {
                Place::One(side, (name, _)) => {
                    self.found(subject(&name), Verdict::OnlyIn(side))?;
                }
                Place::Both((name, one), (_, other)) if one != other => {
                    let field = FieldDifference::new("commit", one, other);
                    self.found(subject(&name), Verdict::Different(vec![field]))?;
                }
                Place::Both(..) => {}
            }
        }
        Ok(())
    }

    fn deltas(&mut self, repo: &Repo, there: Vec<DeltaName>) -> Result<()> {
        for place in merged(deltas::list(repo)?, there, |name| *name) {
            if let Place::One(side, name) = place {
                self.found(Subject::Delta(name), Verdict::OnlyIn(side))?;
            }
        }
        Ok(())
    }

    fn objects(&mut self, repo: &Repo, store: &dyn Store, there: Contents) -> Result<()> {
        let mut there = there.objects.into_iter().peekable();
        for first in 0..=255u8 {
            let mut own = repo.list_comparable_objects_starting_with(first)?;
            own.retain(|name| name.object_type != ObjectType::TombstoneCommit);
            own.sort_unstable();
            let mut others = Vec::new();
            while let Some(name) =
                there.next_if(|name| name.checksum.as_bytes().first() == Some(&first))
            {
                others.push(name);
            }
            let mut detached = Vec::new();
            for place in merged(own, others, |name| *name) {
                self.report.objects += 1;
                match place {
                    Place::One(side, name) => {
                        self.found(Subject::Object(name), Verdict::OnlyIn(side))?;
                    }
                    Place::Both(name, _) if name.object_type == ObjectType::CommitMeta => {
                        detached.push(name);
                    }
                    Place::Both(..) => {}
                }
            }
            self.detached(repo, store, &detached)?;
        }
        Ok(())
    }

    fn detached(&mut self, repo: &Repo, store: &dyn Store, names: &[ObjectName]) -> Result<()> {
        let paths: Vec<String> = names.iter().map(crate::push::object_path).collect();
        for (name, stored) in names.iter().zip(store.read(&paths, MAX_METADATA_SIZE)?) {
            let verdict = match stored {
                None => Verdict::OnlyIn(Side::First),
                Some(stored) if stored.bytes == *repo.load_metadata(name)? => continue,
                Some(_) => Verdict::Different(Vec::new()),
            };
            self.found(Subject::Object(*name), verdict)?;
        }
        Ok(())
    }
}
