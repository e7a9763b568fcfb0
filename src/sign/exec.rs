//! Programs that sign, for keys that never leave the device or the service that they are in.
//!
//! The program reads the bytes to sign from its standard input and writes the signature, raw, to
//! its standard output. Its environment says what it signs:
//!
//! ```text
//! OSIER_SIGN_TYPE       ed25519, spki, dummy or gpg
//! OSIER_SIGN_KIND       commit, summary or delta
//! OSIER_SIGN_CHECKSUM   the SHA-256 of what is signed, in hexadecimal digits
//! ```

use std::time::Duration;

use super::error::SignError;
use crate::checksum::Checksum;
use crate::process::{ANSWER_TIMEOUT, Answer, Call, Ending, Interrupt, ask_with_input, describe};
use crate::signer::PayloadKind;

/// How long a program may take that signs, unless the user says otherwise.
pub const EXEC_TIMEOUT: Duration = ANSWER_TIMEOUT;

/// Bytes to be signed, and how.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'p> {
    /// The name of a [`SignatureType`](super::SignatureType), or `gpg`.
    pub signature_type: &'p str,
    /// What the bytes are.
    pub kind: PayloadKind,
    /// The bytes.
    pub bytes: &'p [u8],
}

/// Runs a program that signs, and returns its signature, which is not looked at.
///
/// # Errors
/// When it cannot be run, takes too long, fails, or answers nothing.
pub fn sign(
    call: &Call,
    payload: &Payload<'_>,
    timeout: Duration,
    interrupt: &Interrupt,
) -> Result<Vec<u8>, SignError> {
    let call = call
        .clone()
        .variable("OSIER_SIGN_TYPE", payload.signature_type)
        .variable("OSIER_SIGN_KIND", payload.kind.name())
        .variable("OSIER_SIGN_CHECKSUM", Checksum::of(payload.bytes).to_hex());
    let answer = ask_with_input(&call, payload.bytes, timeout, interrupt)
        .map_err(|error| SignError::Process(Box::new(error)))?;
    let reason = match answer {
        Answer { ending: Ending::Exit(0), ref stdout, .. } if stdout.is_empty() => {
            "no signature".to_owned()
        }
        Answer { ending: Ending::Exit(0), stdout, .. } => return Ok(stdout),
        Answer { ending, .. } => describe(ending),
    };
    let reason = match answer.stderr.trim() {
        "" => reason,
        complaint => format!("{reason}: {complaint}"),
    };
    Err(SignError::Program { program: call.executable, reason })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    fn run(script: &str, timeout: Duration) -> Result<Vec<u8>, String> {
        let program = ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
        let call = Call::new(&program, &[("PATH".into(), "/usr/bin:/bin".into())]).unwrap();
        let payload =
            Payload { signature_type: "spki", kind: PayloadKind::Summary, bytes: b"payload" };
        sign(&call, &payload, timeout, &Interrupt::default())
            .map_err(|error| Error::from(error).chain())
    }

    #[test]
    fn a_program_gets_the_payload_and_hears_what_it_is() {
        let script =
            "printf '%s %s %s\\0' $OSIER_SIGN_TYPE $OSIER_SIGN_KIND $OSIER_SIGN_CHECKSUM; cat";
        let checksum = Checksum::of(b"payload").to_hex();
        let expected = format!("spki summary {checksum}\0payload");
        assert_eq!(run(script, EXEC_TIMEOUT), Ok(expected.into_bytes()));
        // One that does not read it all is none the worse for it.
        assert_eq!(run("printf signature", EXEC_TIMEOUT), Ok(b"signature".to_vec()));
    }

    #[test]
    fn a_program_that_fails_or_says_nothing_is_reported_with_its_complaint() {
        let failed = |script| run(script, EXEC_TIMEOUT).unwrap_err();
        let message = failed("printf half; echo 'no such key' >&2; exit 3");
        assert!(message.ends_with("sh: exit status 3: no such key"), "{message}");
        let message = failed("exit 0");
        assert!(message.ends_with("sh: no signature"), "{message}");
        let message = failed("kill -9 $$");
        assert!(message.ends_with("sh: killed by signal 9"), "{message}");
        let message = run("sleep 100", Duration::from_secs(1)).unwrap_err();
        assert!(message.ends_with("sh did not answer within 1 s"), "{message}");
    }
}
