//! Disk images of a published tree, with a stand-in for ImageFactory and everything else real.

mod attacks;
mod failures;
mod generated;
mod images;
mod interruption;
mod refusals;
pub mod release;
mod serving;

use super::support;
