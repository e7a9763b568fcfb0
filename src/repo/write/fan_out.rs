//! The directories `00` to `ff` that objects are in.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::Mode;
use rustix::io::Errno;

/// Which of the 256 directories `00` to `ff` are known to exist in some directory.
#[derive(Debug)]
pub(in crate::repo) struct FanOut([AtomicBool; 256]);

impl Default for FanOut {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicBool::new(false)))
    }
}

impl FanOut {
    /// Makes the directory `prefix` (two hexadecimal digits) in `dir` unless it is known to be there.
    pub(in crate::repo) fn ensure(&self, dir: BorrowedFd<'_>, prefix: &str) -> Result<(), Errno> {
        let known = u8::from_str_radix(prefix, 16).ok().map(|index| &self.0[usize::from(index)]);
        if known.is_some_and(|known| known.load(Ordering::Relaxed)) {
            return Ok(());
        }
        match rustix::fs::mkdirat(dir, prefix, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
        if let Some(known) = known {
            known.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}
