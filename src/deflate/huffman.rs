//! Prefix codes: from frequencies to code lengths, from lengths to codes.
//!
//! Many codes are optimal for the same frequencies. Which one comes out is part of an encoder's
//! bytes, so for zlib's every choice is made as there: how ties between nodes are decided
//! ([`Ties`]), how codes that got too long are shortened, and that there are at least two.

/// The longest code of literals, lengths and distances, in bits.
pub(super) const MAX_BITS: usize = 15;
/// The most symbols that an alphabet has.
const MAX_SYMBOLS: usize = 286;
/// The most nodes that a tree of them has; there is always a pair to join, so never fewer than two
/// leaves.
const MAX_NODES: usize = 2 * MAX_SYMBOLS;

/// Which of the equally rare nodes of a tree are joined first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ties {
    /// Those that zlib's heap brings to the top.
    AsZlib,
    /// Symbols in their order, then trees in the order of their making, which takes a third of the
    /// time.
    InOrder,
}

/// A prefix code of an alphabet of `N` symbols.
#[derive(Clone, Debug)]
pub(super) struct Code<const N: usize> {
    /// The length of each symbol's code, in bits; zero for a symbol that does not occur.
    pub(super) lengths: [u8; N],
    /// The codes, the first bit lowest.
    pub(super) codes: [u16; N],
    /// How many symbols there are, up to the last that has a code.
    pub(super) used: usize,
}

impl<const N: usize> Code<N> {
    /// The best code for the frequencies in which no code is longer than `max_bits`.
    pub(super) fn of(frequencies: &[u16; N], max_bits: usize, ties: Ties) -> Self {
        let mut lengths = [0; N];
        let used = code_lengths(frequencies, max_bits, ties, &mut lengths);
        Self { lengths, codes: assign(&lengths), used }
    }

    /// The code of the given lengths.
    pub(super) fn with_lengths(lengths: [u8; N]) -> Self {
        Self { lengths, codes: assign(&lengths), used: N }
    }

    /// How many bits it takes to write every symbol as often as `frequencies` says, each with
    /// `extra` bits after it.
    pub(super) fn cost(&self, frequencies: &[u16; N], extra: impl Fn(usize) -> u8) -> u64 {
        let bits = |symbol: usize| u64::from(self.lengths[symbol]) + u64::from(extra(symbol));
        (0..N).map(|symbol| u64::from(frequencies[symbol]) * bits(symbol)).sum()
    }
}

/// Numbers the codes by length and symbol (RFC 1951, section 3.2.2).
fn assign<const N: usize>(lengths: &[u8; N]) -> [u16; N] {
    let mut next = [0u16; MAX_BITS + 2];
    for &length in lengths {
        next[usize::from(length) + 1] += u16::from(length > 0);
    }
    for bits in 1..=MAX_BITS {
        next[bits] = (next[bits] + next[bits - 1]) << 1;
    }
    let mut codes = [0; N];
    for (code, &length) in codes.iter_mut().zip(lengths).filter(|(_, length)| **length > 0) {
        let next = &mut next[usize::from(length)];
        *code = next.reverse_bits() >> (16 - u32::from(length));
        *next += 1;
    }
    codes
}

/// The nodes of a growing tree that have no parent yet, the rarest on top.
struct Heap {
    /// A binary heap from index 1 on. An entry is weight, depth and node packed into one number,
    /// see [`entry`].
    entries: [u64; MAX_SYMBOLS + 2],
    length: usize,
}

/// Orders by weight, then by depth. The node in the lowest 16 bits does not count, see
/// [`is_before`].
fn entry(weight: u32, depth: u8, node: usize) -> u64 {
    u64::from(weight) << 32 | u64::from(depth) << 16 | node as u64
}

/// Whether an entry may stand above another; equal ones may.
fn is_before(one: u64, other: u64) -> bool {
    one >> 16 <= other >> 16
}

impl Heap {
    fn push_unordered(&mut self, entry: u64) {
        self.length += 1;
        self.entries[self.length] = entry;
    }

    fn order(&mut self) {
        for position in (1..=self.length / 2).rev() {
            self.sink(position);
        }
    }

    /// Moves the entry at `position` down until those below it are not before it.
    fn sink(&mut self, mut position: usize) {
        let sinking = self.entries[position];
        loop {
            let mut child = position * 2;
            if child > self.length {
                break;
            }
            if child < self.length && is_before(self.entries[child + 1], self.entries[child]) {
                child += 1;
            }
            if is_before(sinking, self.entries[child]) {
                break;
            }
            self.entries[position] = self.entries[child];
            position = child;
        }
        self.entries[position] = sinking;
    }

    fn replace_top(&mut self, entry: u64) {
        self.entries[1] = entry;
        self.sink(1);
    }

    fn pop(&mut self) -> u64 {
        let top = self.entries[1];
        let last = self.entries[self.length];
        self.length -= 1;
        self.replace_top(last);
        top
    }
}

/// Finds the length of each symbol's code. Returns how many symbols there are, up to the last that
/// got one.
fn code_lengths<const N: usize>(
    frequencies: &[u16; N],
    max_bits: usize,
    ties: Ties,
    lengths: &mut [u8; N],
) -> usize {
    // The frequency in the upper half, the symbol in the lower.
    let mut leaves = [0u32; MAX_SYMBOLS];
    let mut count = 0;
    let mut used = 0;
    for (symbol, &frequency) in
        frequencies.iter().enumerate().filter(|(_, frequency)| **frequency > 0)
    {
        leaves[count] = u32::from(frequency) << 16 | symbol as u32;
        count += 1;
        used = symbol + 1;
    }
    // A code of fewer than two symbols gets some that do not occur: the next of the first three,
    // else the very first.
    while count < 2 {
        let symbol = if used < 3 { used } else { 0 };
        leaves[count] = 1 << 16 | symbol as u32;
        count += 1;
        used = used.max(symbol + 1);
    }
    let leaves = &mut leaves[..count];
    let mut tree = Tree { joined: [0; MAX_NODES], count: 0, parents: [0; MAX_NODES], next: N };
    match ties {
        Ties::AsZlib => tree.grow_as_zlib(leaves),
        Ties::InOrder => tree.grow_in_order(leaves),
    }
    limit_lengths(&tree.joined[..tree.count], &tree.parents, max_bits, lengths);
    used
}

/// A tree in the making. Leaves have the numbers of their symbols, what is joined from them those
/// that follow.
struct Tree {
    /// The nodes that have a parent, the rarest first.
    joined: [u16; MAX_NODES],
    count: usize,
    parents: [u16; MAX_NODES],
    /// The number of the next parent.
    next: usize,
}

impl Tree {
    fn join(&mut self, children: [u16; 2]) -> usize {
        let parent = self.next;
        for child in children {
            self.joined[self.count] = child;
            self.parents[usize::from(child)] = parent as u16;
            self.count += 1;
        }
        self.next += 1;
        parent
    }

    fn grow_as_zlib(&mut self, leaves: &[u32]) {
        let mut heap = Heap { entries: [0; MAX_SYMBOLS + 2], length: 0 };
        for leaf in leaves {
            heap.push_unordered(entry(leaf >> 16, 0, (leaf & 0xffff) as usize));
        }
        heap.order();
        while heap.length > 1 {
            let (rarest, next) = (heap.pop(), heap.entries[1]);
            let parent = self.join([rarest as u16, next as u16]);
            let depth = (rarest >> 16 & 0xff).max(next >> 16 & 0xff) as u8 + 1;
            heap.replace_top(entry((rarest >> 32) as u32 + (next >> 32) as u32, depth, parent));
        }
    }

    /// Parents come into being in the order of their weights, so two queues do what a heap would.
    fn grow_in_order(&mut self, leaves: &mut [u32]) {
        leaves.sort_unstable();
        let mut weights = [0u32; MAX_SYMBOLS];
        let first_parent = self.next;
        let (mut leaf, mut made) = (0, 0);
        // The first parent that has none itself.
        let mut parent = 0;
        while made + 1 < leaves.len() {
            let mut weight = 0;
            let mut rarest = || match leaves.get(leaf) {
                Some(next) if parent == made || next >> 16 <= weights[parent] => {
                    leaf += 1;
                    weight += next >> 16;
                    *next as u16
                }
                _ => {
                    parent += 1;
                    weight += weights[parent - 1];
                    (first_parent + parent - 1) as u16
                }
            };
            let children = [rarest(), rarest()];
            self.join(children);
            weights[made] = weight;
            made += 1;
        }
    }
}

/// Walks the tree from the root, which is the parent of the last in `joined`, to the leaves, and
/// shortens what is too long.
fn limit_lengths<const N: usize>(
    joined: &[u16],
    parents: &[u16; MAX_NODES],
    max_bits: usize,
    lengths: &mut [u8; N],
) {
    let mut depths = [0u8; MAX_NODES];
    let mut counts = [0usize; MAX_BITS + 1];
    let mut too_long = 0usize;
    for &node in joined.iter().rev() {
        let node = usize::from(node);
        let mut bits = usize::from(depths[usize::from(parents[node])]) + 1;
        if bits > max_bits {
            bits = max_bits;
            too_long += 1;
        }
        depths[node] = bits as u8;
        if node < N {
            lengths[node] = bits as u8;
            counts[bits] += 1;
        }
    }
    if too_long == 0 {
        return;
    }
    // Each step makes room for two of the codes that are too long, by moving a shorter leaf one
    // level down.
    loop {
        let bits = (1..max_bits)
            .rev()
            .find(|bits| counts[*bits] > 0)
            .expect("a tree of 2^max_bits leaves at most");
        counts[bits] -= 1;
        counts[bits + 1] += 2;
        counts[max_bits] -= 1;
        too_long = too_long.saturating_sub(2);
        if too_long == 0 {
            break;
        }
    }
    // The lengths are dealt out again, the longest to the rarest.
    let mut leaves = joined.iter().map(|node| usize::from(*node)).filter(|node| *node < N);
    for bits in (1..=max_bits).rev() {
        for leaf in leaves.by_ref().take(counts[bits]) {
            lengths[leaf] = bits as u8;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EITHER: [Ties; 2] = [Ties::AsZlib, Ties::InOrder];

    proptest! {
        #[test]
        fn the_ties_do_not_matter_to_the_cost(
            mut frequencies in prop::collection::vec(0u16..40, 19),
            common in 0u16..2000,
        ) {
            frequencies[7] = common;
            let frequencies: [u16; 19] = frequencies.try_into().unwrap();
            let [as_zlib, in_order] = EITHER.map(|ties| Code::of(&frequencies, MAX_BITS, ties));
            prop_assert_eq!(as_zlib.cost(&frequencies, |_| 0), in_order.cost(&frequencies, |_| 0));
            prop_assert_eq!(as_zlib.used, in_order.used);
        }
    }

    #[test]
    fn frequent_symbols_get_short_codes() {
        for ties in EITHER {
            let code = Code::of(&[10, 1, 0, 2, 5], MAX_BITS, ties);
            assert_eq!(code.lengths, [1, 3, 0, 3, 2]);
            assert_eq!(code.codes, [0b0, 0b011, 0, 0b111, 0b01], "the first bit is the lowest");
            assert_eq!(code.used, 5);
            assert_eq!(
                code.cost(&[10, 1, 0, 2, 5], |symbol| symbol as u8),
                10 + (3 + 1) + 2 * (3 + 3) + 5 * (2 + 4)
            );
        }
    }

    #[test]
    fn there_are_always_two_codes() {
        let cases: [([u16; 5], [u8; 5], usize); 5] = [
            ([0; 5], [1, 1, 0, 0, 0], 2),
            ([7, 0, 0, 0, 0], [1, 1, 0, 0, 0], 2),
            ([0, 7, 0, 0, 0], [0, 1, 1, 0, 0], 3),
            ([0, 0, 7, 0, 0], [1, 0, 1, 0, 0], 3),
            ([0, 0, 0, 0, 7], [1, 0, 0, 0, 1], 5),
        ];
        for ((frequencies, lengths, used), ties) in
            cases.iter().flat_map(|case| EITHER.map(|ties| (*case, ties)))
        {
            let code = Code::of(&frequencies, MAX_BITS, ties);
            assert_eq!((code.lengths, code.used), (lengths, used), "{frequencies:?}");
        }
    }

    #[test]
    fn codes_that_would_be_too_long_are_shortened_and_still_fit() {
        // Fibonacci numbers make the deepest of all trees.
        let mut frequencies = [1u16; 19];
        for symbol in 2..19 {
            frequencies[symbol] = frequencies[symbol - 1] + frequencies[symbol - 2];
        }
        for (max_bits, ties) in [5, 7, 15].iter().flat_map(|bits| EITHER.map(|ties| (*bits, ties)))
        {
            let code = Code::of(&frequencies, max_bits, ties);
            let longest = code.lengths.iter().max().map(|length| usize::from(*length));
            assert_eq!(longest, Some(max_bits));
            let room: u32 =
                code.lengths.iter().map(|length| 1 << (max_bits - usize::from(*length))).sum();
            assert_eq!(room, 1 << max_bits, "every sequence of bits means something");
            assert!(
                code.lengths.is_sorted_by(|one, next| one >= next),
                "no rarer symbol has a shorter code"
            );
        }
    }
}
