//! What servers say about files of a remote.

use osier::http::Url;
use osier::remote::metalink::{Digest, Metalink};

/// A metalink: what it says can be used.
pub fn metalink(data: &[u8]) {
    for file in ["summary", "summary.sig"] {
        let Ok(metalink) = Metalink::parse(data, file) else { continue };
        assert!(metalink.size > 0 && (1..=1000).contains(&metalink.urls.len()));
        for url in &metalink.urls {
            Url::parse(url).expect("only URLs are taken");
        }
        let digits = match metalink.digest {
            Digest::Sha256(_) => 64,
            Digest::Sha512(_) => 128,
        };
        assert_eq!(metalink.digest.to_hex().len(), digits);
        metalink.check(b"").expect_err("no size is zero");
    }
}
