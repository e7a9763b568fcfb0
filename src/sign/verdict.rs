//! What came of trying one signature with one key.

/// The only two answers. Whatever is wrong with a signature or happens while it is looked at, it is
/// then not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Valid,
    NotValid,
}

impl<T, E> From<Result<T, E>> for Verdict {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Valid,
            Err(_) => Self::NotValid,
        }
    }
}
