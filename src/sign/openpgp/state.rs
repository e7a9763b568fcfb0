//! What is known of keys at a time; [`super::model`] finds it out.

use std::sync::OnceLock;

/// What is known of a certificate at a time.
#[derive(Debug)]
pub(super) struct Model {
    /// The time, in seconds since 1970.
    pub now: i64,
    /// Whether the primary key has a valid signature over itself or a user id.
    pub is_valid: bool,
    pub is_revoked: bool,
    /// When the primary key expires, in seconds since 1970.
    pub expires: Option<i64>,
    pub may_sign: bool,
    /// User ids, the primary one first.
    pub users: Vec<UserState>,
    pub subkeys: Vec<OnceLock<SubkeyState>>,
}

/// What is known of a user id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserState {
    pub text: String,
    pub is_valid: bool,
    pub is_revoked: bool,
}

/// What is known of a subkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SubkeyState {
    /// Whether the primary key says that it belongs to it.
    pub is_valid: bool,
    pub is_revoked: bool,
    /// When it expires by itself, in seconds since 1970.
    pub expires: Option<i64>,
    /// Whether it may sign, and says itself that it belongs to the primary key.
    pub may_sign: bool,
}

impl Model {
    /// Whether the primary key has expired.
    pub fn has_expired(&self) -> bool {
        has_passed(self.expires, self.now)
    }
}

/// Whether a time has come.
pub(super) fn has_passed(time: Option<i64>, now: i64) -> bool {
    time.is_some_and(|time| time <= now)
}
