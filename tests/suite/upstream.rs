//! The upstream test-suite with osier as `ostree`.
