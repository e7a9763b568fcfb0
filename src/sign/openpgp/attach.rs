//! OpenPGP signatures that were made elsewhere, checked before they are stored.

use super::armour;
use super::error::GpgError;
use super::keyring::Keyring;
use super::report::SigState;
use super::verify::{signatures, verify};

/// What becomes of a signature by a key that is in no keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownKeys {
    /// It is stored as one that cannot be checked here.
    Accepted,
    /// It is refused: the user has said which keys may sign.
    Refused,
}

/// Checks signatures that were made elsewhere, armoured or binary, at a time in seconds since 1970.
/// Returns them binary, and whether all of their keys are known. None of the others is stored
/// unless all known keys say that theirs is valid.
///
/// # Errors
/// When there are no signatures, when anything else is among them, and when a key says that one is
/// not valid.
pub fn attachable(
    data: &[u8],
    made: &[u8],
    keyring: &Keyring,
    unknown: UnknownKeys,
    now: i64,
) -> Result<(Vec<u8>, bool), GpgError> {
    let binary = armour::binary(made);
    match signatures(&binary) {
        Err(GpgError::NoData) => return Err(GpgError::NotASignature),
        found => found?,
    };
    let reports = verify(data, &[&binary], keyring, now)?;
    let mut are_known = true;
    for report in &reports {
        match report.state {
            SigState::Valid => {}
            SigState::Missing if unknown == UnknownKeys::Accepted => are_known = false,
            state => return Err(GpgError::NotAttached { state, key: report.key_id }),
        }
    }
    Ok((binary.into_owned(), are_known))
}
