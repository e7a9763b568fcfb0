//! The current time. The library takes it from its caller, except for the summary that follows an
//! operation.

use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use super::error::Failure;
use super::values::source_date_epoch;

/// Seconds since 1970. A clock before 1970 counts as 0.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The time of a commit: `SOURCE_DATE_EPOCH` if the environment has it, else now; in seconds since
/// 1970, with negative numbers as two's complement, as in a commit.
pub(super) fn commit_time() -> Result<u64, Failure> {
    match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Ok(source_date_epoch(&text)?.cast_unsigned()),
        Err(_) => Ok(now()),
    }
}
