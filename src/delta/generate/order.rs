//! Work that is done in parallel and whose results are used in their order.

use std::collections::{HashMap, HashSet};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::error::Result;

/// How long a thread sleeps that has nothing to do before it looks for work again.
const IDLE: Duration = Duration::from_millis(5);

/// Items with their weights, in order.
pub(super) struct Queue<'q, T> {
    pub(super) items: &'q [T],
    /// The bytes that the result of an item takes.
    pub(super) weight: &'q (dyn Fn(&T) -> u64 + Sync),
    /// Items that take long, by their indices: work on them begins in this order before that on
    /// others, as far as their results take no more than half of what may wait.
    pub(super) first: &'q [usize],
    /// The bytes of results that may wait.
    pub(super) most: u64,
}

/// How many results may wait, however small they are.
const MOST_RESULTS: usize = 4096;

impl<T: Sync> Queue<'_, T> {
    /// Works on all items and passes the results to `consume`, one after the other.
    ///
    /// # Errors
    /// The error of the first item that fails.
    pub(super) fn run<R: Send>(
        &self,
        work: impl Fn(&T) -> Result<R> + Sync,
        mut consume: impl FnMut(&T, R) -> Result<()> + Send,
    ) -> Result<()> {
        let results = Results::<R>::default();
        let (work, results) = (&work, &results);
        let (first, first_weight) = self.first();
        rayon::scope_fifo(|scope| {
            let start = |number: usize| {
                let item = &self.items[number];
                scope.spawn_fifo(move |_| results.put(number, work(item)));
            };
            first.iter().copied().for_each(start);
            let first: HashSet<usize> = first.into_iter().collect();
            let (mut started, mut waiting) = (0, first_weight);
            for (index, item) in self.items.iter().enumerate() {
                while let Some(next) = self.items.get(started) {
                    if !first.contains(&started) {
                        let weight = (self.weight)(next);
                        let is_full =
                            waiting + weight > self.most || started - index >= MOST_RESULTS;
                        if is_full && started > index {
                            break;
                        }
                        start(started);
                        waiting += weight;
                    }
                    started += 1;
                }
                let result = results.take(index);
                waiting -= (self.weight)(item);
                consume(item, result?)?;
            }
            Ok(())
        })
    }

    /// The items that are begun first, and the weight of their results.
    fn first(&self) -> (Vec<usize>, u64) {
        let mut sum = 0;
        let fits = |index: &usize| {
            let weight = (self.weight)(&self.items[*index]);
            let is_within = sum + weight <= self.most / 2;
            sum += if is_within { weight } else { 0 };
            is_within
        };
        let first = self.first.iter().copied().filter(fits).collect();
        (first, sum)
    }
}

/// Results that have not been used.
struct Results<R> {
    ready: Mutex<HashMap<usize, Result<R>>>,
    changed: Condvar,
}

impl<R> Default for Results<R> {
    fn default() -> Self {
        Self { ready: Mutex::default(), changed: Condvar::new() }
    }
}

impl<R> Results<R> {
    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Result<R>>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, number: usize, result: Result<R>) {
        self.lock().insert(number, result);
        self.changed.notify_all();
    }

    fn take(&self, number: usize) -> Result<R> {
        loop {
            if let Some(result) = self.lock().remove(&number) {
                return result;
            }
            wait(&self.changed, &self.ready);
        }
    }
}

/// Does some other work of the pool, or sleeps for a while if there is none.
fn wait<T>(changed: &Condvar, mutex: &Mutex<T>) {
    if rayon::yield_now() == Some(rayon::Yield::Executed) {
        return;
    }
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    drop(changed.wait_timeout(guard, IDLE));
}

/// Memory that jobs take from before they start.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: u64,
    taken: Mutex<u64>,
    returned: Condvar,
}

/// Memory that has been taken, until it is dropped.
#[derive(Debug)]
pub(super) struct Taken<'b> {
    budget: &'b Budget,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes: u64) -> Self {
        Self { bytes, taken: Mutex::new(0), returned: Condvar::new() }
    }

    /// How much there is, in bytes.
    pub(super) fn limit(&self) -> u64 {
        self.bytes
    }

    /// Waits until so much is free, or nothing is taken: what is more than the budget is done
    /// alone. Who has taken something must not wait for others.
    pub(super) fn take(&self, bytes: u64) -> Taken<'_> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while *taken > 0 && taken.saturating_add(bytes) > self.bytes {
            taken = self.returned.wait(taken).unwrap_or_else(PoisonError::into_inner);
        }
        *taken = taken.saturating_add(bytes);
        Taken { budget: self, bytes }
    }

    /// Takes memory for what waits; works on something else until it is free.
    pub(super) fn take_working(&self, bytes: u64) -> Taken<'_> {
        loop {
            {
                let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
                if *taken == 0 || taken.saturating_add(bytes) <= self.bytes {
                    *taken = taken.saturating_add(bytes);
                    return Taken { budget: self, bytes };
                }
            }
            wait(&self.returned, &self.taken);
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut taken = self.budget.taken.lock().unwrap_or_else(PoisonError::into_inner);
        *taken = taken.saturating_sub(self.bytes);
        drop(taken);
        self.budget.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::threads;

    #[test]
    fn results_come_in_order_and_not_too_many_wait() {
        let items: Vec<u64> = (0..500).collect();
        let waiting = Mutex::new((0u64, 0u64));
        let mut seen = Vec::new();
        let queue = Queue { items: &items, weight: &|_| 10, first: &[], most: 100 };
        threads::run(|| {
            queue.run(
                |item| {
                    let mut waiting = waiting.lock().unwrap();
                    waiting.0 += 1;
                    waiting.1 = waiting.1.max(waiting.0);
                    Ok(item * 2)
                },
                |item, double| {
                    waiting.lock().unwrap().0 -= 1;
                    seen.push((*item, double));
                    Ok(())
                },
            )
        })
        .unwrap();
        assert_eq!(seen, items.iter().map(|item| (*item, item * 2)).collect::<Vec<_>>());
        assert!(waiting.into_inner().unwrap().1 <= 10);
    }

    #[test]
    fn what_takes_long_is_begun_first_and_used_in_its_turn() {
        let items: Vec<u64> = (0..50).collect();
        let begun = Mutex::new(Vec::new());
        let mut seen = Vec::new();
        let queue =
            Queue { items: &items, weight: &|item| *item, first: &[49, 40, 30, 7], most: 180 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let work = |item: &u64| {
            begun.lock().unwrap().push(*item);
            Ok(())
        };
        let consume = |item: &u64, ()| {
            seen.push(*item);
            Ok(())
        };
        pool.install(|| queue.run(work, consume)).unwrap();
        let mut begun = begun.into_inner().unwrap();
        // Half of 180 has room for 49 and 40 only.
        assert_eq!((begun[..3].to_vec(), begun.len()), (vec![49, 40, 0], 50));
        begun.sort_unstable();
        assert_eq!((begun, seen), (items.clone(), items));
    }

    #[test]
    fn the_first_error_counts() {
        let items: Vec<u64> = (0..100).collect();
        let queue = Queue { items: &items, weight: &|_| 1, first: &[99, 98], most: 1000 };
        for _ in 0..20 {
            let mut consumed = 0;
            let failed = threads::run(|| {
                queue.run(
                    |item| match item {
                        60.. => Err(Error::failed(item.to_string())),
                        _ => Ok(()),
                    },
                    |_, ()| {
                        consumed += 1;
                        Ok(())
                    },
                )
            });
            assert_eq!((failed.unwrap_err().to_string().as_str(), consumed), ("60", 60));
        }
    }

    #[test]
    fn what_is_more_than_the_budget_is_done_alone() {
        let budget = Budget::new(10);
        drop(budget.take(50));
        let (one, other) = (budget.take(6), budget.take(4));
        std::thread::scope(|scope| {
            let third = scope.spawn(|| drop(budget.take(5)));
            std::thread::sleep(Duration::from_millis(20));
            assert!(!third.is_finished());
            drop(one);
            third.join().unwrap();
        });
        drop(other);
        assert_eq!(*budget.taken.lock().unwrap(), 0);
    }
}
