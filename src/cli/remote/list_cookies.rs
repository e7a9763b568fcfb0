//! `remote list-cookies`: prints the cookies in the jar of a remote.

use osier::date;
use osier::remote::cookies::Jar;

use super::super::context::Context;
use super::super::error::Failure;

/// The options of `remote list-cookies`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    arguments: Vec<String>,
}

pub(in super::super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { arguments } = args;
    let repo = context.open_repo()?;
    let Some(remote) = arguments.first() else {
        return Err(Failure::usage("NAME must be specified"));
    };
    for cookie in Jar::load(&repo, remote)?.cookies() {
        let secure = if cookie.secure { "TRUE" } else { "FALSE" };
        writeln!(context.out, "--\nDomain: {}\nPath: {}", cookie.domain, cookie.path)?;
        writeln!(context.out, "Name: {}\nSecure: {secure}", cookie.name)?;
        // Upstream prints nothing for what is no date.
        if let Some(date) = date::format_utc(cookie.expires) {
            writeln!(context.out, "Expires: {date}")?;
        }
        writeln!(context.out, "Value: {}", cookie.value)?;
    }
    Ok(())
}
