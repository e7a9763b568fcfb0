//! `remote add`: adds a remote.

use std::ffi::OsString;
use std::path::PathBuf;

use osier::remote::{self, Existing, SIGNATURE_TYPES, Setting, key};

use super::super::context::Context;
use super::super::error::Failure;
use super::super::options::path;
use super::{Place, gpg_import};

/// The options of `remote add`.
#[derive(clap::Args)]
pub(in super::super) struct Args {
    /// Set config option KEY=VALUE for remote
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Disable GPG verification
    #[arg(long)]
    no_gpg_verify: bool,
    /// Disable signature verification
    #[arg(long)]
    no_sign_verify: bool,
    /// Verify signatures using KEYTYPE=inline:PUBKEY or KEYTYPE=file:/path/to/key
    #[arg(long, value_name = "KEYTYPE=[inline|file]:PUBKEY")]
    sign_verify: Vec<String>,
    /// Do nothing if the provided remote exists
    #[arg(long)]
    if_not_exists: bool,
    /// Replace the provided remote if it exists
    #[arg(long)]
    force: bool,
    /// Import GPG key from FILE
    #[arg(long, value_name = "FILE", value_parser = path())]
    gpg_import: Option<PathBuf>,
    /// This remote has content not fetched via libostree
    #[arg(long, value_name = "NAME")]
    custom_backend: Option<String>,
    /// Use URL when fetching content
    #[arg(long, value_name = "URL")]
    contenturl: Option<String>,
    /// Globally unique ID for this repository as an collection of refs for redistribution to other
    /// repositories
    #[arg(long, value_name = "COLLECTION-ID")]
    collection_id: Option<String>,
    /// Path to OSTree repository (defaults to /sysroot/ostree/repo)
    #[arg(long, value_name = "PATH")]
    repo: Option<OsString>,
    /// Use sysroot at PATH (overrides --repo)
    #[arg(long, value_name = "PATH", value_parser = path())]
    sysroot: Option<PathBuf>,
    arguments: Vec<String>,
}

pub(in super::super) fn run(mut args: Args, context: &mut Context) -> Result<(), Failure> {
    let place = Place::open(context, args.sysroot.as_deref())?;
    let mut arguments = std::mem::take(&mut args.arguments).into_iter();
    let (Some(name), url) = (arguments.next(), arguments.next()) else { return Err(no_name()) };
    if url.is_none() && args.custom_backend.is_none() {
        return Err(no_name());
    }
    let existing = match (args.if_not_exists, args.force) {
        (true, true) => {
            return Err(Failure::usage("Can only specify one of --if-not-exists and --force"));
        }
        (true, false) => Existing::Keep,
        (false, true) => Existing::Replace,
        (false, false) => Existing::Refuse,
    };
    let gpg_import = args.gpg_import.take();
    let settings = into_settings(args, url, arguments.collect())?;
    remote::add(&place.repo, place.sysroot(), &name, &settings, existing)?;
    match gpg_import {
        Some(file) => {
            let keys = gpg_import::read_keys(&file)?;
            gpg_import::import(&place.repo, &name, &keys, &[], &context.out)
        }
        None => Ok(()),
    }
}

fn no_name() -> Failure {
    Failure::usage("NAME and URL must be specified")
}

/// The options of the remote, in upstream's order.
fn into_settings(
    args: Args,
    url: Option<String>,
    branches: Vec<String>,
) -> Result<Vec<(String, Setting)>, Failure> {
    let Args {
        set,
        no_gpg_verify,
        no_sign_verify,
        sign_verify,
        if_not_exists: _,
        force: _,
        gpg_import: _,
        custom_backend,
        contenturl,
        collection_id,
        repo: _,
        sysroot: _,
        arguments: _,
    } = args;
    let mut settings = Vec::new();
    let mut push = |key: &str, setting| settings.push((key.to_owned(), setting));
    if let Some(url) = url {
        match url.strip_prefix("metalink=") {
            Some(metalink) => push(key::METALINK, Setting::Text(metalink.to_owned())),
            None => push(key::URL, Setting::Text(url)),
        }
    }
    if !branches.is_empty() {
        push(key::BRANCHES, Setting::List(branches));
    }
    for (key, text) in [(key::CONTENT_URL, contenturl), (key::CUSTOM_BACKEND, custom_backend)] {
        if let Some(text) = text {
            push(key, Setting::Text(text));
        }
    }
    for option in set {
        let pair = option
            .split_once('=')
            .ok_or_else(|| Failure::failed("Missing '=' in KEY=VALUE for --set"))?;
        push(pair.0, Setting::Text(pair.1.to_owned()));
    }
    if no_gpg_verify || no_sign_verify {
        push(key::GPG_VERIFY, Setting::Boolean(false));
    }
    if no_sign_verify {
        if !sign_verify.is_empty() {
            return Err(Failure::failed("Cannot specify both --sign-verify and --no-sign-verify"));
        }
        push(key::SIGN_VERIFY, Setting::Boolean(false));
    }
    let mut kinds = Vec::new();
    for option in &sign_verify {
        let VerificationKey { kind, place, value } = VerificationKey::parse(option)?;
        push(&place(kind), Setting::Text(value.to_owned()));
        kinds.push(kind);
    }
    if !kinds.is_empty() {
        push(key::SIGN_VERIFY, Setting::Text(kinds.join(",")));
    }
    if let Some(id) = collection_id {
        push(key::COLLECTION_ID, Setting::Text(id));
    }
    Ok(settings)
}

/// Converts `KIND=inline:KEY` or `KIND=file:PATH` to the remote's option.
struct VerificationKey<'a> {
    kind: &'a str,
    /// The name of the option for a kind.
    place: fn(&str) -> String,
    value: &'a str,
}

impl<'a> VerificationKey<'a> {
    fn parse(text: &'a str) -> Result<Self, Failure> {
        let Some((kind, reference)) = text.split_once('=') else {
            return Err(Failure::failed(format!(
                "Failed to parse KEYTYPE=[inline|file]:DATA in {text}"
            )));
        };
        if !SIGNATURE_TYPES.contains(&kind) {
            return Err(Failure::failed("Requested signature type is not implemented"));
        }
        let (place, value) = reference.split_once(':').unwrap_or((reference, ""));
        let place: fn(&str) -> String = match place {
            "inline" => key::verification_key,
            "file" => key::verification_file,
            other => {
                return Err(Failure::failed(format!(
                    "Invalid key reference {other}, expected inline|file"
                )));
            }
        };
        Ok(Self { kind, place, value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verification_key_is_inline_or_a_file() {
        for (text, expected) in [
            ("ed25519=inline:KEY=", ("verification-ed25519-key", "KEY=")),
            ("spki=file:/a:b", ("verification-spki-file", "/a:b")),
            ("dummy=inline:", ("verification-dummy-key", "")),
        ] {
            let Ok(VerificationKey { kind, place, value }) = VerificationKey::parse(text) else {
                panic!("{text}")
            };
            assert_eq!((&*place(kind), value), expected, "{text}");
        }
        for (text, message) in [
            ("ed25519", "Failed to parse KEYTYPE=[inline|file]:DATA in ed25519"),
            ("gpg=inline:x", "Requested signature type is not implemented"),
            ("ed25519=url:x", "Invalid key reference url, expected inline|file"),
            ("ed25519=", "Invalid key reference , expected inline|file"),
        ] {
            let result = VerificationKey::parse(text);
            assert!(
                matches!(result, Err(Failure::Error(error)) if error.chain() == message),
                "{text}"
            );
        }
    }
}
