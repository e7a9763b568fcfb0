//! When to try again.

use std::time::Duration;

use super::{HttpError, HttpErrorKind};

/// How often and how soon a request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first one.
    pub retries: u32,
    /// The longest wait between two attempts.
    pub longest_wait: Duration,
}

/// The wait before the second retry; it doubles from there. The first retry comes at once.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// The longest `Retry-After` that is honoured.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(300);

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 5, longest_wait: Duration::from_secs(10) }
    }
}

impl RetryPolicy {
    /// How long to wait after an error before retry number `retry` (the first is 0); `None` when
    /// the error is final.
    ///
    /// `dice` is any random number: waits vary by half, so that clients do not come back all at
    /// once.
    pub fn wait(&self, error: &HttpError, retry: u32, dice: u32) -> Option<Duration> {
        if !error.kind.is_transient() || retry >= self.retries {
            return None;
        }
        if let HttpErrorKind::Busy(_, Some(asked)) = error.kind {
            return Some(asked.min(LONGEST_RETRY_AFTER));
        }
        let Some(doublings) = retry.checked_sub(1) else { return Some(Duration::ZERO) };
        let wait = FIRST_WAIT.saturating_mul(1 << doublings.min(20)).min(self.longest_wait);
        // 0.5 to 1.5 times the wait.
        Some(wait.mul_f64(0.5 + f64::from(dice) / f64::from(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(kind: HttpErrorKind, retry: u32, dice: u32) -> Option<u128> {
        let error = HttpError::new("http://h/", kind, "x");
        RetryPolicy::default().wait(&error, retry, dice).map(|wait| wait.as_millis())
    }

    #[test]
    fn waits_double_from_the_second_retry_and_vary_by_half() {
        let waits =
            |dice| (0..6).map(|retry| wait(HttpErrorKind::Broken, retry, dice)).collect::<Vec<_>>();
        assert_eq!(waits(0), [Some(0), Some(50), Some(100), Some(200), Some(400), None]);
        assert_eq!(waits(u32::MAX), [Some(0), Some(150), Some(300), Some(600), Some(1200), None]);
        let patient = RetryPolicy { retries: 100, ..RetryPolicy::default() };
        let error = HttpError::new("http://h/", HttpErrorKind::Stalled, "x");
        assert_eq!(patient.wait(&error, 99, 0), Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_server_may_ask_for_a_wait_and_some_errors_are_final() {
        assert_eq!(wait(HttpErrorKind::Busy(503, Some(Duration::from_secs(2))), 0, 7), Some(2000));
        assert_eq!(
            wait(HttpErrorKind::Busy(429, Some(Duration::from_secs(9999))), 0, 7),
            Some(300_000)
        );
        for kind in [
            HttpErrorKind::Missing,
            HttpErrorKind::Denied(401),
            HttpErrorKind::Status(400),
            HttpErrorKind::Tls,
        ] {
            assert_eq!(wait(kind, 0, 0), None, "{kind:?}");
        }
        for kind in [HttpErrorKind::TooLarge, HttpErrorKind::Invalid] {
            assert_eq!(wait(kind, 0, 0), None, "{kind:?}");
        }
    }
}
