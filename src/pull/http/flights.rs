//! Requests without an answer so far, and which of them take too long.
//!
//! A request that takes three times as long as others did is made of the next mirror, too. The
//! answer that comes first counts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::task::Task;

/// How much slower than the median a request may be.
const MOST_MEDIANS: u32 = 3;
/// No request is too slow before that.
const SOON: Duration = Duration::from_millis(500);
/// What is too slow while little is known.
const FIRST_LIMIT: Duration = Duration::from_secs(5);
/// Answers after which something is known, and those that the median is taken of.
const FEW_ANSWERS: usize = 8;
const REMEMBERED: usize = 64;

/// All of them, by number.
#[derive(Default)]
pub(super) struct Flights {
    under_way: BTreeMap<u64, Flight>,
    times: Times,
}

/// A file that is asked for.
pub(super) struct Flight {
    pub(super) task: Task,
    first: Leg,
    second: Option<Leg>,
    /// The mirror of the leg that has failed while the other one goes on.
    failed: Option<usize>,
}

/// One request for it.
#[derive(Clone, Copy)]
struct Leg {
    mirror: usize,
    asked: Instant,
}

/// What an answer means for the file.
pub(super) enum Landing {
    /// Another answer has come before.
    Overtaken,
    /// The request to another mirror goes on.
    GoesOn,
    /// Nothing else is under way for it.
    Last(Box<Flight>),
}

impl Flights {
    /// How many files are asked for.
    pub(super) fn len(&self) -> usize {
        self.under_way.len()
    }

    /// A file is asked for at the mirror that its attempts name.
    pub(super) fn begins(&mut self, number: u64, task: Task) {
        let first = Leg { mirror: task.attempts.mirror(), asked: task.asked };
        self.under_way.insert(number, Flight { task, first, second: None, failed: None });
    }

    /// An answer of that mirror has come, and is good.
    pub(super) fn answered(&mut self, number: u64, mirror: usize) -> Option<Flight> {
        let flight = self.under_way.remove(&number)?;
        let leg = flight.second.filter(|leg| leg.mirror == mirror).unwrap_or(flight.first);
        self.times.add(leg.asked.elapsed());
        Some(flight)
    }

    /// The request to that mirror has failed.
    pub(super) fn failed(&mut self, number: u64, mirror: usize) -> Landing {
        let Some(flight) = self.under_way.get_mut(&number) else { return Landing::Overtaken };
        if flight.second.is_some() && flight.failed.is_none() {
            flight.failed = Some(mirror);
            return Landing::GoesOn;
        }
        match self.under_way.remove(&number) {
            Some(flight) => Landing::Last(Box::new(flight)),
            None => Landing::Overtaken,
        }
    }

    /// Those that another mirror is to be asked for now, with the number of that mirror.
    pub(super) fn late(&mut self, now: Instant) -> Vec<(u64, usize)> {
        let limit = self.times.limit();
        let mut late = Vec::new();
        for (number, flight) in &mut self.under_way {
            let is_late = now.saturating_duration_since(flight.first.asked) > limit;
            if !is_late || flight.second.is_some() {
                continue;
            }
            if let Some(mirror) = flight.task.attempts.following() {
                flight.second = Some(Leg { mirror, asked: now });
                late.push((*number, mirror));
            }
        }
        late
    }

    /// The file of that number.
    pub(super) fn task(&self, number: u64) -> Option<&Task> {
        Some(&self.under_way.get(&number)?.task)
    }
}

impl Flight {
    /// The task after an answer of that mirror; what is known of the others is noted.
    pub(super) fn landed_at(self, mirror: usize) -> Task {
        let Self { mut task, first, second, failed } = self;
        if let Some(failed) = failed {
            task.attempts.mirrors().failed(failed);
        } else if second.is_some() && mirror != first.mirror {
            task.attempts.mirrors().overtaken(first.mirror);
        }
        task.attempts.mirrors().answered(mirror);
        task.attempts.move_to(mirror);
        task
    }

    /// The task after all requests for it have failed.
    pub(super) fn crashed(self) -> Task {
        let Self { mut task, first, second, .. } = self;
        if let Some(second) = second {
            task.attempts.mirrors().failed(first.mirror);
            task.attempts.move_to(second.mirror);
        }
        task
    }
}

/// How long the last answers took.
#[derive(Default)]
struct Times {
    last: Vec<Duration>,
    /// Where the next one goes.
    next: usize,
}

impl Times {
    fn add(&mut self, time: Duration) {
        match self.last.get_mut(self.next) {
            Some(place) => *place = time,
            None => self.last.push(time),
        }
        self.next = (self.next + 1) % REMEMBERED;
    }

    /// What is too slow now.
    fn limit(&self) -> Duration {
        if self.last.len() < FEW_ANSWERS {
            return FIRST_LIMIT;
        }
        let mut sorted = self.last.clone();
        let (_, median, _) = sorted.select_nth_unstable(self.last.len() / 2);
        median.saturating_mul(MOST_MEDIANS).max(SOON)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_times_the_median_is_too_slow_but_never_half_a_second() {
        let mut times = Times::default();
        assert_eq!(times.limit(), FIRST_LIMIT);
        (0..FEW_ANSWERS).for_each(|_| times.add(Duration::from_millis(2)));
        assert_eq!(times.limit(), SOON);
        (0..REMEMBERED).for_each(|_| times.add(Duration::from_millis(400)));
        assert_eq!(times.last.len(), REMEMBERED);
        assert_eq!(times.limit(), Duration::from_millis(1200));
        // A few slow ones change nothing.
        (0..REMEMBERED / 2).for_each(|_| times.add(Duration::from_secs(60)));
        assert_eq!(times.limit(), Duration::from_millis(1200).max(times.limit()));
        (0..REMEMBERED).for_each(|_| times.add(Duration::from_millis(300)));
        assert_eq!(times.limit(), Duration::from_millis(900));
    }
}
