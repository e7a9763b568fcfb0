//! What to do after a request has failed: ask the next mirror, wait and begin again, or give up.

use std::sync::Arc;
use std::time::Duration;

use super::mirrors::Mirrors;
use crate::http::{HttpError, HttpErrorKind, RetryPolicy, Url};

/// Which failures are worth another attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryScope {
    /// All that may pass.
    #[default]
    Transient,
    /// Only answers that say so: 408 and 500.
    Answers,
}

/// How failed requests are repeated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// How often, and after which waits.
    pub policy: RetryPolicy,
    /// Which of them.
    pub scope: RetryScope,
}

/// The attempts to get one file.
#[derive(Clone, Debug)]
pub struct Attempts {
    mirrors: Arc<Mirrors>,
    /// The order in which they are asked this time.
    order: Arc<[usize]>,
    /// Which of that order is asked now.
    position: usize,
    /// How often all mirrors have failed.
    retries: u32,
    need: Need,
    /// Whether a mirror has said that there is no such file.
    is_missing_somewhere: bool,
}

/// Whether a mirror must have a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// There may be none.
    Optional,
    /// A mirror without it has failed.
    Required,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, at the place that [`Attempts::url`] names now.
    Again(Duration),
    /// There is no such file.
    Absent,
    /// The error is final.
    GiveUp,
}

impl Attempts {
    /// For a file of which nothing has come so far.
    pub fn new(mirrors: &Arc<Mirrors>, need: Need) -> Self {
        Self {
            order: mirrors.order(),
            mirrors: Arc::clone(mirrors),
            position: 0,
            retries: 0,
            need,
            is_missing_somewhere: false,
        }
    }

    /// For a file that came from that mirror until it broke off. All others follow.
    pub fn at(mirrors: &Arc<Mirrors>, mirror: usize) -> Self {
        let attempts = Self::new(mirrors, Need::Required);
        let others = attempts.order.iter().copied().filter(|other| *other != mirror);
        Self { order: [mirror].into_iter().chain(others).collect(), ..attempts }
    }

    /// The number of the mirror that is asked now.
    pub fn mirror(&self) -> usize {
        self.order.get(self.position).copied().unwrap_or(0)
    }

    /// Where the mirror that is asked now has the file; `None` without any mirror.
    pub fn url(&self, path: &str) -> Option<Url> {
        self.mirrors.file(*self.order.get(self.position)?, path)
    }

    /// What is known of the mirrors.
    pub fn mirrors(&self) -> &Mirrors {
        &self.mirrors
    }

    /// The number of the mirror that is asked next if this one fails; `None` if it is the last.
    pub fn following(&self) -> Option<usize> {
        self.order.get(self.position + 1).copied()
    }

    /// Another mirror has been asked meanwhile, and is the one that counts.
    pub fn move_to(&mut self, mirror: usize) {
        let position = self.order.iter().position(|other| *other == mirror);
        self.position = position.unwrap_or(self.position);
    }

    /// What has come is not what it should be: the next mirror is asked, the first after the last.
    pub fn damaged(&mut self) {
        self.mirrors.failed(self.mirror());
        self.position = (self.position + 1) % self.order.len().max(1);
    }

    /// Takes note of a body that goes on, so that its attempts begin anew.
    pub fn goes_on(&mut self) {
        (self.retries, self.is_missing_somewhere) = (0, false);
    }

    /// Takes note of a failure. `dice` is any random number.
    pub fn failed(&mut self, error: &HttpError, retry: &Retry, dice: u32) -> Next {
        let is_absent = is_absent(error.kind);
        self.is_missing_somewhere |= is_absent;
        if !is_absent || self.need == Need::Required {
            self.mirrors.failed(self.mirror());
        }
        // Too large or malformed somewhere is no reason to give up elsewhere.
        if self.position + 1 < self.order.len() && error.kind != HttpErrorKind::Invalid {
            self.position += 1;
            return Next::Again(Duration::ZERO);
        }
        if is_absent {
            return Next::Absent;
        }
        (self.order, self.position) = (self.mirrors.order(), 0);
        let is_in_scope = match retry.scope {
            RetryScope::Transient => true,
            RetryScope::Answers => matches!(error.kind, HttpErrorKind::Busy(408 | 500, _)),
        };
        match retry.policy.wait(error, self.retries, dice).filter(|_| is_in_scope) {
            Some(wait) => {
                self.retries += 1;
                Next::Again(wait)
            }
            None if self.is_missing_somewhere => Next::Absent,
            None => Next::GiveUp,
        }
    }
}

/// Whether an answer means that there is no such file: 403, 404 or 410.
pub fn is_absent(kind: HttpErrorKind) -> bool {
    matches!(kind, HttpErrorKind::Missing | HttpErrorKind::Denied(403))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Next = Next::Again(Duration::ZERO);

    fn error(kind: HttpErrorKind) -> HttpError {
        HttpError::new("http://h/", kind, "x")
    }

    fn attempts(mirrors: usize) -> Attempts {
        let urls = vec![Url::parse("http://h/").unwrap(); mirrors];
        Attempts::new(&Arc::new(Mirrors::new(urls)), Need::Optional)
    }

    fn run(mirrors: usize, retries: u32, kinds: &[HttpErrorKind]) -> Vec<(Next, usize)> {
        let policy = RetryPolicy { retries, ..RetryPolicy::default() };
        let retry = Retry { policy, scope: RetryScope::Transient };
        let mut attempts = attempts(mirrors);
        let fail =
            |kind: &HttpErrorKind| (attempts.failed(&error(*kind), &retry, 0), attempts.mirror());
        kinds.iter().map(fail).collect()
    }

    #[test]
    fn the_next_mirror_is_asked_at_once_and_the_first_one_again_after_the_last() {
        let busy = HttpErrorKind::Busy(500, None);
        assert_eq!(
            run(2, 1, &[busy, HttpErrorKind::Unreachable, busy, busy]),
            [(NOW, 1), (NOW, 0), (NOW, 1), (Next::GiveUp, 0)]
        );
        assert_eq!(
            run(2, 1, &[HttpErrorKind::TooLarge, HttpErrorKind::Missing])[1].0,
            Next::Absent
        );
    }

    #[test]
    fn every_mirror_is_asked_once_a_round_though_their_order_changes() {
        let busy = HttpErrorKind::Busy(500, None);
        let rounds = run(3, 5, &[busy; 12]);
        let mirrors: Vec<usize> = rounds.iter().map(|(_, mirror)| *mirror).collect();
        // Each has failed twice after the second round, so they are at the end one after the other.
        assert_eq!(mirrors, [1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0]);
        let first = attempts(3);
        first.mirrors.failed(1);
        first.mirrors.failed(1);
        let mut attempts = Attempts::new(&first.mirrors, Need::Optional);
        let retry = Retry::default();
        let mut next = || {
            let next = attempts.failed(&error(HttpErrorKind::Missing), &retry, 0);
            (next, attempts.mirror())
        };
        assert_eq!([next(), next()], [(NOW, 2), (NOW, 1)]);
        assert_eq!(next().0, Next::Absent);
    }

    #[test]
    fn after_the_mirror_that_a_file_came_from_all_others_are_asked() {
        let mut attempts = Attempts::at(&attempts(3).mirrors, 2);
        assert_eq!(attempts.mirror(), 2);
        attempts.damaged();
        assert_eq!(attempts.mirror(), 0);
        let missing = error(HttpErrorKind::Missing);
        assert_eq!((attempts.failed(&missing, &Retry::default(), 0), attempts.mirror()), (NOW, 1));
        attempts.damaged();
        assert_eq!(attempts.mirror(), 2);
    }

    #[test]
    fn a_mirror_without_a_file_that_must_be_there_has_failed() {
        let mirrors = Arc::new(Mirrors::new(vec![Url::parse("http://h/").unwrap(); 2]));
        for (need, order) in [(Need::Optional, [0, 1]), (Need::Required, [1, 0])] {
            for _ in 0..2 {
                let mut attempts = Attempts::new(&mirrors, need);
                attempts.failed(&error(HttpErrorKind::Missing), &Retry::default(), 0);
            }
            assert_eq!(*mirrors.order(), order);
        }
    }

    #[test]
    fn what_one_mirror_does_not_have_is_absent_if_the_others_fail() {
        let kinds = [HttpErrorKind::Missing, HttpErrorKind::Unreachable];
        assert_eq!(run(2, 0, &kinds), [(NOW, 1), (Next::Absent, 0)]);
        assert_eq!(run(1, 5, &[HttpErrorKind::Denied(403)]), [(Next::Absent, 0)]);
        assert_eq!(run(1, 5, &[HttpErrorKind::Denied(401)]), [(Next::GiveUp, 0)]);
    }

    #[test]
    fn retries_can_be_limited_to_what_servers_say() {
        let retry = Retry { policy: RetryPolicy::default(), scope: RetryScope::Answers };
        let next = |kind| attempts(1).failed(&error(kind), &retry, 0);
        assert_eq!(next(HttpErrorKind::Busy(408, None)), NOW);
        assert_eq!(next(HttpErrorKind::Busy(503, None)), Next::GiveUp);
        assert_eq!(next(HttpErrorKind::CutShort), Next::GiveUp);
    }
}
