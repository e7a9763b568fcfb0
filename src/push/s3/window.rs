//! How many files are on their way at a time: fewer when the store asks for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most and the fewest requests under way.
pub(super) const MOST: usize = 64;
const FEWEST: usize = 4;

/// Places for requests. When the store throttles, half of them are taken away, and come back one by
/// one.
#[derive(Debug)]
pub(super) struct Window {
    places: Arc<Semaphore>,
    size: AtomicUsize,
    throttled: AtomicBool,
    /// How many places are still to be taken away.
    excess: AtomicUsize,
    /// Files since the size last changed.
    done: AtomicUsize,
}

impl Window {
    pub(super) fn new() -> Self {
        Self {
            places: Arc::new(Semaphore::new(MOST)),
            size: AtomicUsize::new(MOST),
            throttled: AtomicBool::new(false),
            excess: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
        }
    }

    /// Takes note of an answer that asks for fewer requests.
    pub(super) fn is_throttled(&self) {
        self.throttled.store(true, Ordering::Relaxed);
    }

    /// Waits for a place; `None` never comes, because places are never closed.
    pub(super) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Gives a place back after a file, unless there are to be fewer.
    pub(super) fn leave(&self, place: Option<OwnedSemaphorePermit>) {
        let size = self.size.load(Ordering::Relaxed);
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        if self.throttled.swap(false, Ordering::Relaxed) {
            // Answers to requests that were under way belong to the same throttling.
            if done >= size / 2 && size > FEWEST {
                let next = (size / 2).max(FEWEST);
                self.size.store(next, Ordering::Relaxed);
                self.excess.fetch_add(size - next, Ordering::Relaxed);
                self.done.store(0, Ordering::Relaxed);
            }
        } else if done >= size && size < MOST {
            self.size.store(size + 1, Ordering::Relaxed);
            self.done.store(0, Ordering::Relaxed);
            if !self.take_excess() {
                self.places.add_permits(1);
            }
        }
        if self.take_excess()
            && let Some(place) = place
        {
            place.forget();
        }
    }

    fn take_excess(&self) -> bool {
        let less = |excess: usize| excess.checked_sub(1);
        self.excess.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throttling_halves_the_window_and_it_grows_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let window = Window::new();
        let serve = |files: usize| {
            for _ in 0..files {
                let place = runtime.block_on(window.place());
                window.leave(place);
            }
        };
        serve(100);
        assert_eq!(window.places.available_permits(), MOST);
        window.is_throttled();
        serve(MOST);
        assert_eq!(window.places.available_permits(), MOST / 2 + 1);
        for _ in 0..20 {
            window.is_throttled();
            serve(MOST);
        }
        let left = window.places.available_permits();
        assert!((FEWEST..MOST / 2).contains(&left), "{left}");
        serve(MOST * MOST);
        assert_eq!(window.places.available_permits(), MOST);
    }
}
