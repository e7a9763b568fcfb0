//! Keys as the tests of OpenPGP need them.

use std::fs;
use std::ops::Deref;

use crate::support::gnupg;

/// A home directory of gpg, with calls at times of the year 2025.
pub struct Home(gnupg::Home);

impl Deref for Home {
    type Target = gnupg::Home;

    fn deref(&self) -> &gnupg::Home {
        &self.0
    }
}

impl Home {
    /// `None` where gpg is missing, which is reported.
    #[track_caller]
    pub fn new() -> Option<Self> {
        gnupg::Home::new().map(Self)
    }

    /// Makes a key and returns its fingerprint.
    #[track_caller]
    pub fn key(&self, user: &str, (algorithm, usage): (&str, &str), expires: &str) -> String {
        self.generate("20250101T000000", user, [algorithm, usage, expires]);
        self.fingerprint(&format!("={user}"))
    }

    /// Adds a signing subkey.
    #[track_caller]
    pub fn subkey(&self, primary: &str, expires: &str) {
        self.at("20250102T000000", &["--quick-add-key", primary, "ed25519", "sign", expires]);
    }

    /// Revokes a key.
    #[track_caller]
    pub fn revoke(&self, primary: &str) {
        let path = self.file(&format!("openpgp-revocs.d/{primary}.rev"));
        let certificate = fs::read_to_string(path).unwrap().replace("\n:---", "\n---");
        self.at_with_input("20250601T000000", &["--import"], certificate.as_bytes());
    }

    /// Revokes the first subkey of a key, and nothing else.
    #[track_caller]
    pub fn revoke_subkey(&self, primary: &str) {
        let arguments = ["--command-fd=0", "--edit-key", primary];
        let answers = b"key 1\nrevkey\ny\n0\n\ny\nsave\n";
        self.at_with_input("20250601T000000", &arguments, answers);
    }

    /// Signs data on 5 March 2025.
    #[track_caller]
    pub fn sign(&self, key: &str, more: &[&str], data: &[u8]) -> Vec<u8> {
        let arguments = [more, &["--detach-sign", "-u", key, "-o", "-"]].concat();
        self.at_with_input("20250305T040506", &arguments, data)
    }

    /// The public keys, all or some.
    #[track_caller]
    pub fn export(&self, keys: &[&str]) -> Vec<u8> {
        self.at("20250601T000000", &[&["--export"], keys].concat())
    }
}
