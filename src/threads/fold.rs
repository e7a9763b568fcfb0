//! Processes trees with all threads, without recursion.
//!
//! A thread that waits for its part of a parallel iterator takes other work meanwhile, on the same
//! stack. In a wide and deep tree one stack can collect any number of branches that way, each as
//! deep as the tree. Here nothing waits: each part of a tree is a separate task, and the thread
//! that finishes the last part of a directory continues with the directory. So the stack does not
//! grow with the tree.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::Scope;

use crate::error::{Error, Result};

/// How a tree is processed.
pub(crate) trait Fold: Sync {
    /// A part that has not been processed yet: a directory, or some of its files.
    type Part: Send;
    /// The state of a directory while its parts are processed.
    type Open: Send + Sync;
    /// The result of a part.
    type Folded: Send;

    /// Starts a part.
    fn open(&self, part: Self::Part) -> Result<Opened<Self::Open, Self::Part, Self::Folded>>;

    /// Finishes a part when those below it are done; `below` has their results, in order.
    fn close(&self, open: Self::Open, below: Vec<Self::Folded>) -> Result<Self::Folded>;
}

/// The outcome of starting a part.
pub(crate) enum Opened<O, P, F> {
    /// It is finished.
    Whole(F),
    /// It has other parts, which must be finished first.
    Parts(O, Vec<P>),
}

/// Processes a tree, its first parts first. Must be called inside [`run`](super::run).
///
/// # Errors
/// The error of the first failing part in the order of the tree, independent of timing. Some of the
/// parts after it in the same directory may have been skipped.
pub(crate) fn fold<F: Fold>(work: &F, root: F::Part) -> Result<F::Folded> {
    let result = Mutex::new(None);
    rayon::scope(|scope| go_on(scope, work, root, None, &result));
    let result = result.into_inner().unwrap_or_else(PoisonError::into_inner);
    result.unwrap_or_else(|| Err(Error::failed("a part of the tree was lost")))
}

/// A directory whose parts are being processed. Those parts own it: the last one closes it.
struct Level<F: Fold> {
    open: F::Open,
    results: Mutex<Vec<Option<Result<F::Folded>>>>,
    /// The first part that failed.
    first_failed: AtomicUsize,
    above: Above<F>,
}

/// Where the result of a part goes; `None` for the root.
type Above<F> = Option<(Arc<Level<F>>, usize)>;

fn go_on<'s, F: Fold>(
    scope: &Scope<'s>,
    work: &'s F,
    mut part: F::Part,
    mut above: Above<F>,
    result: &'s Mutex<Option<Result<F::Folded>>>,
) {
    loop {
        let is_over = above
            .as_ref()
            .is_some_and(|(level, index)| level.first_failed.load(Ordering::Relaxed) < *index);
        if is_over {
            drop(part);
            return end(work, None, above, result);
        }
        let (open, parts) = match work.open(part) {
            Ok(Opened::Parts(open, parts)) => (open, parts),
            Ok(Opened::Whole(folded)) => return end(work, Some(Ok(folded)), above, result),
            Err(error) => return end(work, Some(Err(error)), above, result),
        };
        let results = Mutex::new(parts.iter().map(|_| None).collect());
        let mut parts = parts.into_iter().enumerate();
        let Some((_, first)) = parts.next() else {
            return end(work, Some(work.close(open, Vec::new())), above, result);
        };
        let level =
            Arc::new(Level { open, results, first_failed: AtomicUsize::new(usize::MAX), above });
        // A thread takes its most recent task first; others steal its oldest.
        for (index, part) in parts.rev() {
            let above = Some((level.clone(), index));
            scope.spawn(move |scope| go_on(scope, work, part, above, result));
        }
        (part, above) = (first, Some((level, 0)));
    }
}

/// Passes a result up, and closes every directory that it completes. `None` means that the part was
/// skipped.
fn end<F: Fold>(
    work: &F,
    mut folded: Option<Result<F::Folded>>,
    mut above: Above<F>,
    result: &Mutex<Option<Result<F::Folded>>>,
) {
    while let Some((level, index)) = above {
        if matches!(folded, Some(Err(_))) {
            level.first_failed.fetch_min(index, Ordering::Relaxed);
        }
        if let Some(place) =
            level.results.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index)
        {
            *place = folded;
        }
        // Exactly one of the owners gets the directory.
        let Some(Level { open, results, above: next, .. }) = Arc::into_inner(level) else { return };
        let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Skipped parts only come after an error.
        let below: Result<Vec<_>> = results.into_iter().flatten().collect();
        folded = Some(below.and_then(|below| work.close(open, below)));
        above = next;
    }
    *result.lock().unwrap_or_else(PoisonError::into_inner) = folded;
}

/// Splits a list into parts large enough to be tasks.
pub(crate) fn pieces<T>(items: Vec<T>) -> impl Iterator<Item = Vec<T>> {
    const AT_A_TIME: usize = 8;
    let mut items = items.into_iter();
    std::iter::from_fn(move || {
        let piece: Vec<T> = items.by_ref().take(AT_A_TIME).collect();
        (!piece.is_empty()).then_some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::run;

    /// Numbers as combs: each has one part a level deeper and `WIDTH` flat ones.
    struct Comb {
        depth: usize,
        fails_from: usize,
    }

    const WIDTH: usize = 3;

    impl Fold for Comb {
        type Part = (usize, usize);
        type Open = usize;
        type Folded = usize;

        fn open(
            &self,
            (depth, tooth): (usize, usize),
        ) -> Result<Opened<usize, (usize, usize), usize>> {
            if depth >= self.fails_from && tooth > 0 {
                return Err(Error::failed(format!("{depth}.{tooth}")));
            }
            let parts = (0..=WIDTH).map(|tooth| (depth + 1, tooth)).collect();
            Ok(if depth == self.depth || tooth > 1 {
                Opened::Whole(1)
            } else {
                Opened::Parts(1, parts)
            })
        }

        fn close(&self, open: usize, below: Vec<usize>) -> Result<usize> {
            Ok(open.wrapping_add(below.into_iter().fold(0, usize::wrapping_add)))
        }
    }

    #[test]
    fn every_part_is_worked_on_once_and_the_first_error_counts() {
        let folded = |depth, fails_from| {
            run(|| fold(&Comb { depth, fails_from }, (0, 0))).map_err(|error| error.to_string())
        };
        assert_eq!(folded(0, 9), Ok(1));
        assert_eq!(folded(1, 9), Ok(5));
        assert_eq!(folded(3, 9), Ok(29));
        assert_eq!(folded(3, 3), Err("3.1".to_owned()));
        assert_eq!(folded(3, 2), Err("3.1".to_owned()));
    }

    /// A chain with two parts at each level.
    struct Chain;

    impl Fold for Chain {
        type Part = usize;
        type Open = ();
        type Folded = usize;

        fn open(&self, depth: usize) -> Result<Opened<(), usize, usize>> {
            Ok(if depth == 0 { Opened::Whole(1) } else { Opened::Parts((), vec![0, depth - 1]) })
        }

        fn close(&self, (): (), below: Vec<usize>) -> Result<usize> {
            Ok(below.into_iter().sum())
        }
    }

    #[test]
    fn the_stack_does_not_grow_with_the_depth() {
        let thread = std::thread::Builder::new().stack_size(128 << 10);
        let folded = thread.spawn(|| {
            rayon::ThreadPoolBuilder::new()
                .num_threads(1)
                .use_current_thread()
                .build()
                .map(std::mem::forget)
                .unwrap();
            fold(&Chain, 1_000_000).unwrap()
        });
        assert_eq!(folded.unwrap().join().unwrap(), 1_000_001);
    }
}
