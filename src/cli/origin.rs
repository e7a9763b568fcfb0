//! How servers of remotes are spoken to, unless options say otherwise.

use std::env;

use osier::http::{LowSpeed, Proxies};
use osier::remote::attempts::Retry;
use osier::remote::origin::OriginOptions;
use osier::remote::stores::Stores;

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
        stores: stores(),
    }
}

/// What opens buckets to pull from.
#[cfg(feature = "s3")]
fn stores() -> Option<Stores> {
    use std::sync::Arc;

    use osier::push::{self, Named, Place};
    use osier::remote::StoreSettings;
    let open = |url: &str, settings: &StoreSettings| {
        let Place::Store { bucket, prefix } = Place::parse(url)? else {
            return Err(osier::Error::failed(format!("{url}: not a bucket")));
        };
        let StoreSettings { endpoint, region, profile, instance_credentials } = settings.clone();
        let named = Named {
            url: url.to_owned(),
            endpoint,
            region,
            profile,
            instance_credentials,
            ..Named::default()
        };
        push::to_pull_from(&super::destination::store_options(bucket, prefix, named))
    };
    Some(Stores(Arc::new(open)))
}

#[cfg(not(feature = "s3"))]
fn stores() -> Option<Stores> {
    None
}
