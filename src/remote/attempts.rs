//! What to do after a request has failed: ask the next mirror, wait and begin again, or give up.

use std::time::Duration;

use crate::http::{HttpError, HttpErrorKind, RetryPolicy};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// The mirror that is asked now.
    pub mirror: usize,
    /// How often all mirrors have failed.
    retries: u32,
    /// Whether a mirror has said that there is no such file.
    is_missing_somewhere: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Another attempt, at the mirror that [`Attempts::mirror`] names now.
    Again(Duration),
    /// There is no such file.
    Absent,
    /// The error is final.
    GiveUp,
}

impl Attempts {
    /// For a file that came from that mirror, until it broke off.
    pub fn at(mirror: usize) -> Self {
        Self { mirror, ..Self::default() }
    }

    /// Takes note of a failure at one of `mirrors` places. `dice` is any random number.
    pub fn failed(&mut self, error: &HttpError, mirrors: usize, retry: &Retry, dice: u32) -> Next {
        let is_absent = is_absent(error.kind);
        self.is_missing_somewhere |= is_absent;
        // Too large or malformed somewhere is no reason to give up elsewhere.
        if self.mirror + 1 < mirrors && error.kind != HttpErrorKind::Invalid {
            self.mirror += 1;
            return Next::Again(Duration::ZERO);
        }
        if is_absent {
            return Next::Absent;
        }
        self.mirror = 0;
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

    fn run(mirrors: usize, retries: u32, kinds: &[HttpErrorKind]) -> Vec<(Next, usize)> {
        let policy = RetryPolicy { retries, ..RetryPolicy::default() };
        let retry = Retry { policy, scope: RetryScope::Transient };
        let mut attempts = Attempts::default();
        kinds
            .iter()
            .map(|kind| (attempts.failed(&error(*kind), mirrors, &retry, 0), attempts.mirror))
            .collect()
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
    fn what_one_mirror_does_not_have_is_absent_if_the_others_fail() {
        let kinds = [HttpErrorKind::Missing, HttpErrorKind::Unreachable];
        assert_eq!(run(2, 0, &kinds), [(NOW, 1), (Next::Absent, 0)]);
        assert_eq!(run(1, 5, &[HttpErrorKind::Denied(403)]), [(Next::Absent, 0)]);
        assert_eq!(run(1, 5, &[HttpErrorKind::Denied(401)]), [(Next::GiveUp, 0)]);
    }

    #[test]
    fn retries_can_be_limited_to_what_servers_say() {
        let retry = Retry { policy: RetryPolicy::default(), scope: RetryScope::Answers };
        let next = |kind| Attempts::default().failed(&error(kind), 1, &retry, 0);
        assert_eq!(next(HttpErrorKind::Busy(408, None)), NOW);
        assert_eq!(next(HttpErrorKind::Busy(503, None)), Next::GiveUp);
        assert_eq!(next(HttpErrorKind::CutShort), Next::GiveUp);
    }
}
