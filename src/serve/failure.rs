//! Why a request has no answer.

use crate::error::Error;

/// A status with a text for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) status: u16,
    pub(super) message: String,
}

impl Failure {
    pub(super) fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// There is nothing at this URL.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(404, message)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::RefNotFound { .. }
            | Error::MissingMetadata { .. }
            | Error::MissingFile { .. }
            | Error::NoSuchPath { .. }
            | Error::InvalidChecksum(_)
            | Error::InvalidRefspec(_) => 404,
            _ => 500,
        };
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self { status, message }
    }
}
