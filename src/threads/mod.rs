//! The single thread pool, and the fallback where no thread can be created.
//!
//! rayon creates its global pool on first use and panics when it cannot, as in a container that has
//! reached its process limit. So every operation that works in parallel runs inside [`run`]. The
//! pool is created once, with as many threads as possible; without any, the calling thread does all
//! the work.

mod fold;

#[cfg(feature = "delta")]
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::{Error, Result};

pub(crate) use fold::{Fold, Opened, fold, pieces};

/// The stack size of a thread, in bytes. Nothing recurses into trees, but a waiting thread takes
/// other work on its stack.
const STACK_SIZE: usize = 64 << 20;

/// Runs `work` where it may use rayon. A caller that is in a pool stays there. Take locks before
/// calling this: a thread that waits for its part of one operation may start another one meanwhile,
/// which would wait for a lock of the first.
///
/// # Errors
/// As `work`; when not even the calling thread can be used.
pub(crate) fn run<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    if rayon::current_thread_index().is_some() {
        return work();
    }
    match POOL.get_or_init(make) {
        Some(pool) => pool.install(work),
        None => {
            serial()?;
            work()
        }
    }
}

/// Runs `work` with that many threads of its own, if a number is given; else as [`run`] does, and
/// also where not so many threads can be created.
///
/// # Errors
/// As [`run`].
#[cfg(feature = "delta")]
pub(crate) fn run_with<T: Send>(
    threads: Option<NonZeroUsize>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let pool = threads.map(|threads| {
        ThreadPoolBuilder::new().stack_size(STACK_SIZE).num_threads(threads.get()).build()
    });
    match pool {
        Some(Ok(pool)) => pool.install(work),
        Some(Err(error)) => {
            log::debug!("Working with other threads: {error}");
            run(work)
        }
        None => run(work),
    }
}

/// Processes all items in parallel, the first ones first. The error of the first failing item is
/// returned: an error stops work on later items, not on earlier ones.
///
/// # Errors
/// As `work`.
pub(crate) fn for_each_in_order<T: Sync>(
    items: &[T],
    work: impl Fn(&T) -> Result<()> + Sync,
) -> Result<()> {
    let end = AtomicUsize::new(usize::MAX);
    let first_error = Mutex::new(None);
    items.par_iter().enumerate().for_each(|(index, item)| {
        if index > end.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = work(item) {
            let mut first_error = first_error.lock().unwrap_or_else(PoisonError::into_inner);
            if index < end.fetch_min(index, Ordering::Relaxed) {
                *first_error = Some(error);
            }
        }
    });
    first_error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// A pool with the usual number of threads, or with as many as can be created.
fn make() -> Option<ThreadPool> {
    let mut builder = ThreadPoolBuilder::new().stack_size(STACK_SIZE);
    let mut threads = std::thread::available_parallelism().map_or(1, usize::from);
    loop {
        match builder.build() {
            Ok(pool) => return Some(pool),
            Err(error) if threads == 0 => {
                log::debug!("Working without threads: {error}");
                return None;
            }
            Err(_) => {
                builder = ThreadPoolBuilder::new().stack_size(STACK_SIZE).num_threads(threads)
            }
        }
        threads /= 2;
    }
}

/// Makes the calling thread the only thread of a pool, which it stays in.
fn serial() -> Result<()> {
    allow_stack();
    let pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    pool.map(std::mem::forget)
        .map_err(|error| Error::failed(format!("working without threads: {error}")))
}

/// Raises the stack limit of the main thread to that of the pool's threads. The kernel checks the
/// limit whenever the stack grows, and leaves at least 128 MiB of address space free for it.
fn allow_stack() {
    let limit = getrlimit(Resource::Stack);
    let wanted = limit.maximum.map_or(STACK_SIZE as u64, |most| most.min(STACK_SIZE as u64));
    if limit.current.is_some_and(|current| current < wanted) {
        // If that is not permitted, shallow trees still work.
        let _ = setrlimit(Resource::Stack, Rlimit { current: Some(wanted), ..limit });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_several_errors_the_first_items_is_returned_and_all_before_it_are_done() {
        let items: Vec<usize> = (0..1000).collect();
        for _ in 0..20 {
            let done = AtomicUsize::new(0);
            let failed = run(|| {
                for_each_in_order(&items, |&item| {
                    if item >= 700 && item % 100 == 0 {
                        return Err(Error::failed(item.to_string()));
                    }
                    done.fetch_add(usize::from(item < 700), Ordering::Relaxed);
                    Ok(())
                })
            });
            assert_eq!(failed.unwrap_err().to_string(), "700");
            assert_eq!(done.into_inner(), 700);
        }
    }

    #[test]
    fn a_thread_can_be_a_pool_of_its_own() {
        std::thread::spawn(|| {
            serial().unwrap();
            let own = std::thread::current().id();
            let all: Vec<_> =
                (0..100).into_par_iter().map(|_| std::thread::current().id()).collect();
            assert_eq!(all, vec![own; 100]);
            assert_eq!(run(|| Ok(std::thread::current().id())).unwrap(), own);
        })
        .join()
        .unwrap();
    }
}
