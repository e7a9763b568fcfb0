//! The text format of GVariant.
