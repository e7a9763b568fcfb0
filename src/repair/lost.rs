//! Names what is lost with an object that nobody has.

use std::collections::BTreeSet;

use super::{Lost, Open};
use crate::checksum::Checksum;
use crate::error::Result;
use crate::find_object::uses_of;
use crate::object::ObjectName;
use crate::repo::Repo;

/// Adds the commits, refs and paths to lost objects.
pub(super) fn with_uses(
    repo: &Repo,
    lost: Open,
    refs: Vec<(String, Checksum)>,
    most_paths: usize,
) -> Result<Vec<Lost>> {
    if lost.is_empty() {
        return Ok(Vec::new());
    }
    let names: BTreeSet<ObjectName> = lost.keys().copied().collect();
    let mut uses = uses_of(repo, &names, refs, most_paths)?;
    let lost = lost.into_iter().map(|(object, (damage, reasons))| Lost {
        object,
        fault: damage.fault,
        message: damage.message,
        reasons,
        uses: uses.remove(&object).unwrap_or_default(),
    });
    Ok(lost.collect())
}
