//! Ends a pull to which nothing comes any more.
//!
//! Every request has limits of its own, but the user can switch off the one for slow transfers.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::http::Url;

/// How many of the awaited files an error names.
const NAMED: usize = 3;

/// What a pull waits for.
pub(super) struct Watch {
    limit: Duration,
    /// When something last happened.
    since: Instant,
    /// The bytes that had come by then.
    bytes: u64,
    awaited: BTreeMap<u64, Url>,
    next: u64,
}

impl Watch {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, since: Instant::now(), bytes: 0, awaited: BTreeMap::new(), next: 0 }
    }

    /// A file is asked for; the number is for [`Watch::ends`].
    pub(super) fn begins(&mut self, url: Option<&Url>) -> u64 {
        self.next += 1;
        self.awaited.extend(url.map(|url| (self.next, url.clone())));
        self.next
    }

    /// It has come, or will not.
    pub(super) fn ends(&mut self, number: u64) {
        self.awaited.remove(&number);
    }

    /// Something has happened.
    pub(super) fn stirs(&mut self) {
        self.since = Instant::now();
    }

    /// Looks whether bytes have come.
    ///
    /// # Errors
    /// With the URLs of what is awaited when nothing has happened for too long.
    pub(super) fn check(&mut self, bytes: u64) -> Result<()> {
        if bytes != self.bytes {
            self.bytes = bytes;
            self.stirs();
        }
        if self.since.elapsed() < self.limit {
            return Ok(());
        }
        let named: Vec<String> = self.awaited.values().take(NAMED).map(Url::to_string).collect();
        let more = match self.awaited.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let seconds = self.limit.as_secs();
        let named = named.join(", ");
        Err(Error::failed(format!("nothing has come for {seconds} seconds of {named}{more}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_awaited_is_named_and_bytes_keep_the_pull_alive() {
        let url = |number: usize| Url::parse(&format!("http://h/{number}")).unwrap();
        let mut watch = Watch::new(Duration::ZERO);
        let numbers: Vec<u64> = (0..5).map(|number| watch.begins(Some(&url(number)))).collect();
        watch.ends(numbers[1]);
        let message = watch.check(0).unwrap_err().chain();
        let files = "http://h/0, http://h/2, http://h/3 and 1 more";
        assert_eq!(message, format!("nothing has come for 0 seconds of {files}"));
        watch.ends(numbers[0]);
        let message = watch.check(0).unwrap_err().chain();
        assert!(message.ends_with(" of http://h/2, http://h/3, http://h/4"), "{message}");

        let mut watch = Watch::new(Duration::from_secs(100));
        let past = Instant::now().checked_sub(Duration::from_secs(200)).unwrap();
        watch.since = past;
        assert!(watch.check(0).is_err());
        watch.check(1).unwrap();
        watch.since = past;
        watch.stirs();
        watch.check(1).unwrap();
    }
}
