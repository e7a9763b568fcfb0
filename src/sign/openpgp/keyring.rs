//! A set of keys, in the order of the files that they came from.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::armour;
use super::id::{Fingerprint, KeyId};
use super::key::{Certificate, read};

/// More keys than that are not read into one keyring.
pub(super) const MOST_KEYS: usize = 10_000;

/// Public keys to verify with. The first that brings a primary key wins; later copies are left out.
///
/// Reading keys takes them apart only; their own signatures are checked when a key is asked for,
/// and the answer is kept. A keyring is meant to be made once and shared, by threads as well.
#[derive(Debug, Default)]
pub struct Keyring {
    certificates: Vec<Certificate>,
    /// Which certificates have a key of that id, and which key of theirs it is: 0 is the primary.
    by_id: HashMap<KeyId, Vec<(usize, usize)>>,
    by_fingerprint: HashMap<Fingerprint, usize>,
}

impl Keyring {
    /// Adds the keys of a binary keyring and returns how many primary keys there were. Bytes of
    /// another kind, armour and keyboxes too, hold none. `origin` is the file they are from.
    pub fn add_binary(&mut self, bytes: &[u8], origin: &Path) -> usize {
        let most = MOST_KEYS.saturating_sub(self.certificates.len());
        let certificates = read(bytes, &Arc::from(origin), most);
        let count = certificates.len();
        for certificate in certificates {
            self.push(certificate);
        }
        count
    }

    /// The same for keys that may be armoured.
    pub fn add(&mut self, bytes: &[u8], origin: &Path) -> usize {
        self.add_binary(&armour::binary(bytes), origin)
    }

    fn push(&mut self, certificate: Certificate) {
        let number = self.certificates.len();
        if self.by_fingerprint.contains_key(&certificate.fingerprint()) {
            return;
        }
        self.by_fingerprint.insert(certificate.fingerprint(), number);
        let keys = certificate.subkeys.iter().map(|subkey| subkey.key.fingerprint);
        for (at, fingerprint) in std::iter::once(certificate.fingerprint()).chain(keys).enumerate()
        {
            self.by_id.entry(fingerprint.key_id()).or_default().push((number, at));
        }
        self.certificates.push(certificate);
    }

    /// Whether there are no keys in it.
    pub fn is_empty(&self) -> bool {
        self.certificates.is_empty()
    }

    /// The keys, in the order in which they were added.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The key with an id, and of the same id that with the fingerprint if there is one: the
    /// certificate and which of its keys it is.
    pub(super) fn find(
        &self,
        id: KeyId,
        fingerprint: Option<Fingerprint>,
    ) -> Option<(&Certificate, usize)> {
        let mut found =
            self.by_id.get(&id)?.iter().filter_map(|(certificate, key)| {
                Some((self.certificates.get(*certificate)?, *key))
            });
        found.find(|(certificate, key)| {
            fingerprint.is_none_or(|wanted| {
                certificate.key(*key).is_some_and(|key| key.fingerprint == wanted)
            })
        })
    }
}
