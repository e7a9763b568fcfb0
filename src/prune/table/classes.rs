//! Sets of commits, each kept once.

use std::collections::HashMap;

/// Commits by their numbers: sorted ranges with gaps between them, both ends included.
pub(super) type Runs = Box<[(u32, u32)]>;

/// Sets of commits with a number for each.
#[derive(Debug, Default)]
pub(super) struct Classes {
    pub(super) runs: Vec<Runs>,
    numbers: HashMap<Runs, u32>,
    unions: HashMap<Box<[u32]>, u32>,
}

impl Classes {
    /// The number of a set.
    pub(super) fn number(&mut self, runs: Runs) -> u32 {
        if let Some(number) = self.numbers.get(&runs) {
            return *number;
        }
        // There are at most as many as objects, which have numbers of 32 bits.
        let number = self.runs.len() as u32;
        self.runs.push(runs.clone());
        self.numbers.insert(runs, number);
        number
    }

    /// The union of some sets, which are sorted on the way.
    pub(super) fn union(&mut self, of: &mut Vec<u32>) -> u32 {
        of.sort_unstable();
        of.dedup();
        if let [one] = of[..] {
            return one;
        }
        if let Some(known) = self.unions.get(&of[..]) {
            return *known;
        }
        let runs = of.iter().flat_map(|number| self.runs[*number as usize].iter().copied());
        let number = self.number(normal(runs.collect()));
        self.unions.insert(of.clone().into(), number);
        number
    }
}

/// Sorts ranges, and joins those that touch.
pub(super) fn normal(mut ranges: Vec<(u32, u32)>) -> Runs {
    ranges.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_have_one_number() {
        let mut classes = Classes::default();
        let one = |number: u32| Runs::from([(number, number)]);
        let [a, b, c] = [1, 2, 5].map(|number| classes.number(one(number)));
        let both = classes.union(&mut vec![b, a, b]);
        assert_eq!(*classes.runs[both as usize], [(1, 2)]);
        let all = classes.union(&mut vec![c, both]);
        assert_eq!(*classes.runs[all as usize], [(1, 2), (5, 5)]);
        assert_eq!(classes.union(&mut vec![c, b, a]), all);
        assert_eq!(classes.union(&mut vec![c]), c);
        assert_eq!(*normal(vec![(7, 9), (0, 3), (2, 5), (6, 6)]), [(0, 9)]);
    }
}
