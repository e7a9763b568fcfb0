//! The `osier` program.

fn main() {}
