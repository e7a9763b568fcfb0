//! `remote add-cookie`: adds a cookie to the jar of a remote.

use jiff::{Timestamp, ToSpan as _};
use osier::remote::cookies::{self, Cookie};

use super::super::clock;
use super::super::context::Context;
use super::super::error::Failure;

/// How long a cookie is sent, as upstream has it.
const YEARS: i64 = 25;

/// The options of `remote add-cookie`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_writable_repo()?;
    let [remote, domain, path, name, value, ..] = arguments.as_slice() else {
        return Err(Failure::usage("NAME, DOMAIN, PATH, COOKIE_NAME and VALUE must be specified"));
    };
    let cookie = Cookie {
        domain: domain.clone(),
        subdomains: domain.starts_with('.'),
        path: path.clone(),
        secure: false,
        expires: years_later(clock::now())?,
        name: name.clone(),
        value: value.clone(),
    };
    Ok(cookies::add(&repo, remote, &cookie)?)
}

/// The same date and time, [`YEARS`] later; the 29th of February becomes the 28th.
fn years_later(now: u64) -> Result<i64, Failure> {
    let now = i64::try_from(now).ok().and_then(|now| Timestamp::from_second(now).ok());
    let later = now.and_then(|now| {
        let now = now.to_zoned(jiff::tz::TimeZone::UTC);
        now.checked_add(YEARS.years()).ok()
    });
    let later = later.ok_or_else(|| Failure::failed("the clock is out of range"))?;
    Ok(later.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_lasts_until_the_same_date() {
        for (now, expected) in [
            // What the real program wrote on 2026-11-30.
            (1_796_045_851, 2_584_964_251),
            // 2024-02-29 12:00:00 and 2049-02-28 12:00:00.
            (1_709_208_000, 2_498_126_400),
        ] {
            assert_eq!(years_later(now).ok(), Some(expected));
        }
        assert!(years_later(u64::MAX).is_err());
    }
}
