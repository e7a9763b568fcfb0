//! Signing through the gpg program: keys that an agent holds, on a smart card or behind a
//! passphrase. The two calls are those that upstream makes, so that the packets are the same.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::error::GpgError;
use super::find::is_hexadecimal;
use super::verify::signatures;
use crate::error::Result;
use crate::process::{self, Answer, Call, Ending, Interrupt};

/// How long a signature may take: somebody may have to look for a passphrase.
const TIMEOUT: Duration = Duration::from_secs(600);

/// What gpg writes in front of its answers to programs.
const STATUS: &str = "[GNUPG:] ";

/// The gpg program, and where its keys are.
#[derive(Debug)]
pub struct Gpg<'g> {
    /// Its name or path; usually `gpg`.
    pub program: &'g str,
    /// The environment that it gets.
    pub environment: &'g [(OsString, OsString)],
    /// Where its keys are, if not at the usual place.
    pub homedir: Option<&'g Path>,
    /// Whether the user wants to stop.
    pub interrupt: &'g Interrupt,
}

impl Gpg<'_> {
    /// Signs data with the key that `id` names and returns the signature packet, binary. Which
    /// subkey signs is gpg's choice.
    ///
    /// # Errors
    /// When there is no such program or key, several match, or it cannot sign (any more).
    pub fn sign(&self, id: &str, data: &[u8]) -> Result<Vec<u8>> {
        self.must_be_there(id)?;
        let key = self.secret_key(id)?.id;
        let call = self.call()?.args(["--sign", "--detach", "-u", &key, "--", "-"]);
        let answer = process::ask_with_input(&call, data, TIMEOUT, self.interrupt)?;
        if answer.ending == Ending::Exit(0) && signatures(&answer.stdout).is_ok() {
            return Ok(answer.stdout);
        }
        Err(failure(&answer).into())
    }

    /// The public part of the key that `id` names, binary, with its user ids and subkeys. Nothing
    /// is signed, and nobody is asked for a passphrase.
    ///
    /// # Errors
    /// When there is no such program or key, several match, or it cannot sign (any more).
    pub fn public_key(&self, id: &str) -> Result<Vec<u8>> {
        self.must_be_there(id)?;
        let key = self.secret_key(id)?;
        if !key.can_sign {
            return Err(GpgError::UnusableSecretKey.into());
        }
        let call = self.call()?.args(["--export", "--", &key.id]);
        let answer = process::ask(&call, TIMEOUT, self.interrupt)?;
        match answer.ending {
            Ending::Exit(0) if !answer.stdout.is_empty() => Ok(answer.stdout),
            _ => Err(failure(&answer).into()),
        }
    }

    fn must_be_there(&self, id: &str) -> Result<(), GpgError> {
        match process::find(self.program, self.environment) {
            Ok(_) => Ok(()),
            Err(_) => {
                let (program, id) = (self.program.to_owned(), id.to_owned());
                Err(GpgError::NoProgram { program, id })
            }
        }
    }

    /// The one primary key that `id` names.
    fn secret_key(&self, id: &str) -> Result<Listed> {
        let call = self.call()?.args(["--with-colons", "--list-secret-keys", "--", id]);
        let answer = process::ask(&call, TIMEOUT, self.interrupt)?;
        let listing = String::from_utf8_lossy(&answer.stdout);
        let keys = listing.lines().filter(|line| line.starts_with("sec:"));
        let mut keys = keys.filter_map(Listed::parse);
        match (keys.next(), keys.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => {
                Err(GpgError::AmbiguousKey { id: id.to_owned(), homedir: self.place() }.into())
            }
            (None, _) if is_hexadecimal(id) => {
                Err(GpgError::NoSecretKey { id: id.to_owned(), homedir: self.place() }.into())
            }
            (None, _) => Err(GpgError::SecretKeyLookup(id.to_owned()).into()),
        }
    }

    fn call(&self) -> Result<Call> {
        let call = Call::new(&[self.program.to_owned()], self.environment)?;
        let call = call.args(["--batch", "--no-sk-comments"]);
        let call = match self.homedir {
            Some(homedir) => call.arg("--homedir").arg(homedir),
            None => call,
        };
        Ok(call.args(["--status-fd", "2", "--no-tty", "--charset", "utf8"]))
    }

    fn place(&self) -> String {
        self.homedir.map_or("<default>".to_owned(), |path| path.display().to_string())
    }
}

/// A secret key in gpg's listing.
struct Listed {
    /// Its long id.
    id: String,
    /// Whether it, or one of its subkeys, may sign now.
    can_sign: bool,
}

impl Listed {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split(':').skip(4);
        let id = fields.next()?.to_owned();
        // A capital letter is what the whole key can do that has not expired.
        Some(Self { id, can_sign: fields.nth(6)?.contains('S') })
    }
}

/// Why there is no signature.
fn failure(answer: &Answer) -> GpgError {
    let status = || answer.stderr.lines().filter_map(|line| line.strip_prefix(STATUS));
    if status().any(|line| line.starts_with("INV_SGNR ")) {
        return GpgError::UnusableSecretKey;
    }
    let said: Vec<&str> = answer.stderr.lines().filter(|line| !line.starts_with(STATUS)).collect();
    let said = said.join("\n");
    GpgError::SigningFailed(match said.trim() {
        "" => process::describe(answer.ending),
        said => said.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_program_the_key_is_named() {
        let interrupt = Interrupt::default();
        let gpg =
            Gpg { program: "no-such-gpg", environment: &[], homedir: None, interrupt: &interrupt };
        let error = gpg.sign("a@example.com", b"data").unwrap_err();
        let expected =
            "no-such-gpg: No such file or directory (needed to sign with key a@example.com)";
        assert_eq!(error.to_string(), expected);
    }
}
