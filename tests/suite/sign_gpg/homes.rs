//! Keys that the real gpg makes, in directories of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::*;

/// A home directory of gpg; its agent ends with it.
pub struct Home {
    directory: tempfile::TempDir,
    gpg: Program,
    gpgconf: Program,
}

impl Home {
    /// `None` where there is no gpg, which is said.
    #[track_caller]
    pub fn new() -> Option<Self> {
        let (gpg, gpgconf) = (program("gpg")?, program("gpgconf")?);
        // The agent's socket needs a short path.
        let directory = tempfile::Builder::new().prefix("osier-gpg-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let home = |program: Program| program.with("GNUPGHOME", directory.path());
        Some(Self { gpg: home(gpg), gpgconf: home(gpgconf), directory })
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Calls gpg at a time, as in `20250101T000000`, that stands still.
    #[track_caller]
    pub fn at(&self, time: &str, arguments: &[&str]) -> Vec<u8> {
        self.at_with_input(time, arguments, b"")
    }

    #[track_caller]
    pub fn at_with_input(&self, time: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let time = format!("{time}!");
        let fixed = ["--batch", "--yes", "--quiet", "--pinentry-mode=loopback", "--passphrase="];
        let clock = ["--faked-system-time", &time];
        let all: Vec<&str> = fixed.iter().chain(&clock).chain(arguments).copied().collect();
        let output = self.gpg.run_with_input(&all, input);
        assert_eq!(output.status, 0, "{output:?}");
        output.stdout
    }

    /// Makes a key and returns its fingerprint.
    #[track_caller]
    pub fn key(&self, user: &str, kind: (&str, &str), expires: &str) -> String {
        let (algorithm, usage) = kind;
        let arguments = ["--quick-generate-key", user, algorithm, usage, expires];
        self.at("20250101T000000", &arguments);
        let listing =
            self.at("20250101T000000", &["--with-colons", "--list-keys", &format!("={user}")]);
        let listing = String::from_utf8(listing).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
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

impl Drop for Home {
    fn drop(&mut self) {
        self.gpgconf.run(["--kill", "all"]);
    }
}
