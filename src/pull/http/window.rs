//! How many requests may be under way: as many as the server takes without complaint.
//!
//! It begins with a few, grows by one with each answer until the first complaint, and more slowly
//! afterwards. A complaint (429, 503, a stall) halves it.

/// Requests under way at the beginning.
const FIRST: usize = 16;
/// The most on a server that speaks HTTP/1.1, where each needs a connection.
const MOST_CONNECTIONS: usize = 48;
/// The most on HTTP/2: three connections with a hundred streams each.
const MOST_STREAMS: usize = 300;

/// The number of requests that may be under way.
#[derive(Clone, Debug)]
pub(super) struct Window {
    size: f64,
    most: usize,
    /// What the user allows.
    cap: usize,
    has_shrunk: bool,
}

impl Window {
    /// `cap` is what the user allows.
    pub(super) fn new(cap: Option<usize>) -> Self {
        let cap = cap.unwrap_or(MOST_STREAMS).max(1);
        let most = cap.min(MOST_CONNECTIONS);
        Self { size: FIRST.min(most) as f64, most, cap, has_shrunk: false }
    }

    /// The number of requests that may be under way now.
    pub(super) fn size(&self) -> usize {
        // It is between 1 and `most`.
        self.size as usize
    }

    /// Takes note of an answer.
    pub(super) fn answered(&mut self, http2: bool) {
        // A server may be given up on with HTTP/2.
        self.most = self.cap.min(if http2 { MOST_STREAMS } else { MOST_CONNECTIONS });
        let step = if self.has_shrunk { 1.0 / self.size } else { 1.0 };
        self.size = (self.size + step).min(self.most as f64);
    }

    /// Takes note that the server wants fewer requests.
    pub(super) fn complained(&mut self) {
        self.has_shrunk = true;
        self.size = (self.size / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_grows_with_answers_and_is_halved_by_complaints() {
        let mut window = Window::new(None);
        assert_eq!(window.size(), 16);
        (0..100).for_each(|_| window.answered(false));
        assert_eq!(window.size(), 48);
        (0..300).for_each(|_| window.answered(true));
        assert_eq!(window.size(), 300);
        window.complained();
        assert_eq!(window.size(), 150);
        (0..150).for_each(|_| window.answered(true));
        assert_eq!(window.size(), 150, "one more for each round");
        window.answered(false);
        assert_eq!(window.size(), 48, "from now on each needs a connection");
        (0..20).for_each(|_| window.complained());
        assert_eq!(window.size(), 1);
    }

    #[test]
    fn the_user_may_allow_less() {
        let mut window = Window::new(Some(3));
        assert_eq!(window.size(), 3);
        (0..100).for_each(|_| window.answered(true));
        assert_eq!(window.size(), 3);
        assert_eq!(Window::new(Some(0)).size(), 1);
    }
}
