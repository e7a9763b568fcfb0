//! The OpenPGP keys that sign a commit or a summary as it is made.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use osier::error::Result;
use osier::gvariant::Dict;
use osier::process::Interrupt;
use osier::sign::openpgp::{Fingerprint, Keyring, SecretKey};
use osier::sign::{AgentSigner, OpenPgpSigner};
use osier::signer::{PayloadKind, Signature, Signer};

use super::error::Failure;
use super::{clock, secret_file, signatures};

/// Stands before the path of an exported OpenPGP key.
const FILE_PREFIX: &str = "file:";

/// The keys that the user names, in their order.
pub(super) fn of(ids: &[String], homedir: Option<&Path>) -> Result<Vec<Arc<dyn Signer>>, Failure> {
    ids.iter().map(|id| Ok(Arc::new(one(id, homedir)?) as Arc<dyn Signer>)).collect()
}

fn one(id: &str, homedir: Option<&Path>) -> Result<Once, Failure> {
    let homedir = homedir.map(Path::to_owned);
    let exported = exported_key(id)?;
    let fingerprint = exported.as_ref().map(|key| key.certificate().fingerprint());
    let key: Box<dyn Signer> = match exported {
        Some(key) => Box::new(OpenPgpSigner { key, now: clock::commit_time()?.cast_signed() }),
        None => Box::new(AgentSigner {
            id: id.to_owned(),
            program: program(),
            environment: env::vars_os().collect(),
            homedir: homedir.clone(),
            interrupt: Interrupt::default(),
        }),
    };
    Ok(Once { key, id: id.to_owned(), fingerprint, homedir })
}

/// The gpg program.
pub(super) fn program() -> String {
    env::var("OSIER_GPG").unwrap_or_else(|_| "gpg".to_owned())
}

/// The exported key in the file that the user names, if it is a file.
pub(super) fn exported_key(id: &str) -> Result<Option<SecretKey>, Failure> {
    let Some(path) = id.strip_prefix(FILE_PREFIX) else { return Ok(None) };
    let file = secret_file::open(path.as_ref())?;
    Ok(Some(SecretKey::read(file.bytes()).map_err(osier::Error::from)?))
}

/// A key that signs no commit a second time, as far as the keyrings of the system and of the user's
/// directory know it.
#[derive(Debug)]
struct Once {
    key: Box<dyn Signer>,
    id: String,
    /// Known of exported keys.
    fingerprint: Option<Fingerprint>,
    homedir: Option<PathBuf>,
}

impl Signer for Once {
    fn sign(&self, kind: PayloadKind, payload: &[u8]) -> Result<Signature> {
        self.key.sign(kind, payload)
    }

    fn check(&self, kind: PayloadKind, payload: &[u8], present: &Dict) -> Result<()> {
        if kind != PayloadKind::Commit {
            return Ok(());
        }
        refuse_again(&self.id, self.fingerprint, payload, present, self.homedir.as_deref())
    }
}

/// Refuses a key that has signed the commit.
pub(super) fn refuse_again(
    id: &str,
    fingerprint: Option<Fingerprint>,
    commit: &[u8],
    present: &Dict,
    homedir: Option<&Path>,
) -> Result<()> {
    let wanted = |keyring: &Keyring| fingerprint.or_else(|| keyring.resolve_one(id));
    match signatures::is_signed(present, commit, homedir, wanted)? {
        true => Err(signatures::already_signed(id)),
        false => Ok(()),
    }
}
