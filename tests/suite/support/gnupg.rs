//! Keys that the real gpg makes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{Program, program};

/// A home directory of gpg. Its agent ends with the value.
#[derive(Debug)]
pub struct Home {
    directory: tempfile::TempDir,
    gpg: Program,
    gpgconf: Program,
}

impl Home {
    /// `None` where gpg is missing, which is reported.
    #[track_caller]
    pub fn new() -> Option<Self> {
        let (gpg, gpgconf) = (program("gpg")?, program("gpgconf")?);
        // The agent's socket needs a short path.
        let directory = tempfile::Builder::new().prefix("osier-gpg-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let home = |program: Program| program.with("GNUPGHOME", directory.path());
        Some(Self { gpg: home(gpg), gpgconf: home(gpgconf), directory })
    }

    /// With an ed25519 key for each of these addresses.
    #[track_caller]
    pub fn with_keys(addresses: &[&str]) -> Option<Self> {
        let home = Self::new()?;
        for address in addresses {
            let user = format!("Test <{address}>");
            home.gpg(&["--quick-generate-key", &user, "ed25519", "sign", "never"]);
        }
        Some(home)
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Calls gpg, and returns what it prints.
    #[track_caller]
    pub fn gpg(&self, arguments: &[&str]) -> Vec<u8> {
        self.gpg_with_input(arguments, b"")
    }

    #[track_caller]
    pub fn gpg_with_input(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let always = ["--batch", "--yes", "--quiet", "--pinentry-mode=loopback", "--passphrase="];
        let all: Vec<&str> = always.iter().chain(arguments).copied().collect();
        let output = self.gpg.run_with_input(&all, input);
        assert_eq!(output.status, 0, "{output:?}");
        output.stdout
    }

    /// Calls gpg at a time, as in `20250101T000000`, that stands still.
    #[track_caller]
    pub fn at(&self, time: &str, arguments: &[&str]) -> Vec<u8> {
        self.at_with_input(time, arguments, b"")
    }

    #[track_caller]
    pub fn at_with_input(&self, time: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let clock = [&*format!("--faked-system-time={time}!")];
        self.gpg_with_input(&[&clock, arguments].concat(), input)
    }

    /// Makes a key without passphrase. `kind` is its algorithm, usage and expiry, in gpg's words.
    #[track_caller]
    pub fn generate(&self, time: &str, user: &str, kind: [&str; 3]) {
        let key = ["--allow-freeform-uid", "--quick-generate-key", user];
        self.at(time, &[&key[..], &kind].concat());
    }

    /// The fingerprint of the primary key that gpg finds for this user.
    #[track_caller]
    pub fn fingerprint(&self, user: &str) -> String {
        let listing = self.gpg(&["--with-colons", "--list-keys", user]);
        let listing = String::from_utf8(listing).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        self.gpgconf.run(["--kill", "all"]);
    }
}
