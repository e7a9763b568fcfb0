//! Secrets that a remote's servers are sent: a token, and headers. They are in files of their own,
//! which nobody but their owner and group may read.
//!
//! Only the servers of `url` and `contenturl` are sent them, not those that a mirror list, a
//! metalink or a redirect leads to.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::config::{Location, RemoteConfig, Source};
use crate::error::{During, Error, Result};
use crate::http::{PrivateHeaders, Url};
use crate::input;

/// No secrets are larger, in bytes.
const MAX_SECRETS_SIZE: u64 = 64 << 10;
/// The bits of a mode that let everybody at the file.
const EVERYBODY: u32 = 0o006;
const FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOCTTY).union(OFlags::CLOEXEC);

/// The headers that the files of a remote's secrets make up.
///
/// # Errors
/// When a file cannot be read, everybody may read or write it, or it has something else. No error
/// has any of the content.
pub(super) fn headers(config: &RemoteConfig) -> Result<PrivateHeaders> {
    let mut headers = Vec::new();
    if let Some(path) = &config.secrets.token {
        let text = read(path)?;
        let token = text.trim();
        let is_token = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_token {
            return Err(malformed(path, "is no token"));
        }
        headers.push(("Authorization".to_owned(), format!("Bearer {token}")));
    }
    if let Some(path) = &config.secrets.headers {
        let text = read(path)?;
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let Some((name, value)) = line.split_once(':') else {
                return Err(malformed(path, &format!("has no header in line {}", index + 1)));
            };
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(PrivateHeaders { headers, servers: servers(config) })
}

/// The servers that the configuration names.
fn servers(config: &RemoteConfig) -> Vec<Url> {
    let own = match &config.location {
        Location::Url(source) => Some(source),
        Location::Metalink(_) | Location::Nowhere => None,
    };
    let url = |source: &Source| match source {
        Source::Base(text) => Url::parse(text).ok(),
        Source::MirrorList(_) => None,
    };
    own.into_iter().chain(&config.content).filter_map(url).collect()
}

fn read(path: &Path) -> Result<String> {
    let opened = rustix::fs::open(path, FLAGS, Mode::empty()).during("opening", path)?;
    let file = input::require_regular(File::from(opened)).during("opening", path)?;
    let mode = rustix::fs::fstat(&file).during("reading", path)?.st_mode;
    if mode & EVERYBODY != 0 {
        return Err(malformed(path, "is a secret that everybody may read or write"));
    }
    let mut text = String::new();
    let limit = MAX_SECRETS_SIZE + 1;
    file.take(limit).read_to_string(&mut text).during("reading", path)?;
    if text.len() as u64 == limit {
        return Err(malformed(path, "is too large for a secret"));
    }
    Ok(text)
}

fn malformed(path: &Path, what: &str) -> Error {
    Error::failed(format!("{} {what}", path.display()))
}
