//! Caches which objects a repository has, for callers that ask about very many.
//!
//! Listing one of the 256 object directories costs much less per name than looking up a single
//! object. So a directory that is queried often is listed and remembered, unless it holds far more
//! names than there are queries.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::Result;
use crate::object::ObjectName;
use crate::repo::Repo;

/// The number of queries for one directory at which it is first listed.
const FIRST_ATTEMPT: u32 = 8;
/// The next attempt is made after this many times as many queries.
const NEXT_ATTEMPT: u32 = 4;
/// An attempt is abandoned when a directory has more names than this for each query so far.
const NAMES_PER_QUESTION: usize = 16;

/// What is known about the files, dirtrees, dirmetas and commits of one repository. Objects that
/// other processes add meanwhile may be missed.
#[derive(Debug)]
pub(in crate::repo) struct Presence([FanOut; 256]);

/// One of the directories.
#[derive(Debug, Default)]
struct FanOut {
    questions: AtomicU32,
    /// The names in order, once the directory has been listed: half the memory of a hash table.
    names: OnceLock<Box<[ObjectName]>>,
}

impl Default for Presence {
    fn default() -> Self {
        Self(std::array::from_fn(|_| FanOut::default()))
    }
}

impl Presence {
    /// Whether the object is among the listed ones.
    pub(in crate::repo) fn has_listed(&self, name: &ObjectName) -> bool {
        let fan_out = &self.0[usize::from(name.checksum.as_bytes()[0])];
        fan_out.names.get().is_some_and(|names| has(names, name))
    }

    /// Whether `repo`, which has to be the same each time, has the object itself.
    pub(in crate::repo) fn has(&self, repo: &Repo, name: &ObjectName) -> Result<bool> {
        let first = name.checksum.as_bytes()[0];
        let fan_out = &self.0[usize::from(first)];
        if let Some(names) = fan_out.names.get() {
            return Ok(has(names, name));
        }
        let questions = fan_out.questions.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if is_attempt(questions)
            && let Some(names) =
                repo.few_objects_starting_with(first, questions as usize * NAMES_PER_QUESTION)?
        {
            return Ok(has(fan_out.names.get_or_init(|| names.into()), name));
        }
        repo.has_own_object(name)
    }
}

fn has(names: &[ObjectName], name: &ObjectName) -> bool {
    names.binary_search(name).is_ok()
}

/// Whether the number is one of 8, 32, 128 and so on.
fn is_attempt(questions: u32) -> bool {
    questions.is_multiple_of(FIRST_ATTEMPT) && {
        let times = questions / FIRST_ATTEMPT;
        times.is_power_of_two()
            && times.trailing_zeros().is_multiple_of(NEXT_ATTEMPT.trailing_zeros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;
    use crate::object::ObjectType;
    use crate::repo::RepoMode;

    #[test]
    fn attempts_become_rarer() {
        let attempts: Vec<u32> = (1..3000).filter(|&questions| is_attempt(questions)).collect();
        assert_eq!(attempts, [8, 32, 128, 512, 2048]);
    }

    #[test]
    fn answers_are_the_same_before_and_after_the_listing() {
        let directory = tempfile::tempdir().unwrap();
        let repo = Repo::create(&directory.path().join("repo"), RepoMode::Archive, None).unwrap();
        let fan_out = directory.path().join("repo/objects/ab");
        std::fs::create_dir(&fan_out).unwrap();
        let name = |number: u32| {
            let checksum = Checksum::from_hex(&format!("ab{number:062x}")).unwrap();
            ObjectName::new(
                checksum,
                if number.is_multiple_of(2) { ObjectType::File } else { ObjectType::DirTree },
            )
        };
        let file = |number: u32| {
            let extension = if number.is_multiple_of(2) { "filez" } else { "dirtree" };
            fan_out.join(format!("{number:062x}.{extension}"))
        };
        // More than the first attempt takes, fewer than the second.
        for number in (0..600).step_by(3) {
            std::fs::write(file(number), "").unwrap();
        }
        let presence = Presence::default();
        for number in 0..600 {
            assert_eq!(presence.has(&repo, &name(number)).unwrap(), number % 3 == 0, "{number}");
            assert_eq!(presence.0[0xab].names.get().is_some(), number + 1 >= 32, "{number}");
        }
        // It is confused neither with another type of the same checksum nor with another directory.
        let other = ObjectName::new(name(0).checksum, ObjectType::DirTree);
        assert!(!presence.has(&repo, &other).unwrap());
        let elsewhere = ObjectName::new(Checksum::of(b""), ObjectType::File);
        assert!((0..40).all(|_| !presence.has(&repo, &elsewhere).unwrap()));
    }
}
