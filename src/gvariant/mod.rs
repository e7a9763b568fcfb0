//! GVariant.

/// Bytes or text that do not follow their format.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct DecodeError {
    /// What is wrong, in upstream's words where it has some (`Not normal form`).
    pub what: String,
    /// Where, in bytes from the start of the value, when that helps.
    pub offset: Option<usize>,
}

impl DecodeError {
    /// An error without a position.
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into(), offset: None }
    }
}
