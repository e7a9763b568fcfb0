//! How servers of remotes are spoken to, unless options say otherwise.

use std::env;

use osier::http::{LowSpeed, Proxies};
use osier::remote::attempts::Retry;
use osier::remote::origin::OriginOptions;

use super::clock;
use super::version::OSTREE_VERSION;

/// The options of the program and its environment.
pub(super) fn options() -> OriginOptions {
    OriginOptions {
        url: None,
        // Servers let clients in, or count them, by this name.
        user_agent: format!("libostree/{OSTREE_VERSION}"),
        headers: Vec::new(),
        proxies: Proxies::from_environment(|name| env::var(name).ok()),
        retry: Retry::default(),
        low_speed: Some(LowSpeed::default()),
        gzip: false,
        now: clock::now().cast_signed(),
    }
}
