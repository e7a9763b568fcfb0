//! Contents of many kinds, to be compressed.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

/// A linear congruential generator: no dependence on a crate's idea of randomness.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// Bytes without any order.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    skewed(seed, length, 256, 1)
}

/// Bytes below `symbols`, the lower the more frequent the higher `skew` is.
fn skewed(seed: u64, length: usize, symbols: usize, skew: u32) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    (0..length).map(|_| (0..skew).map(|_| dice.below(symbols)).min().unwrap() as u8).collect()
}

/// Different words of four bytes that the encoder, as it hashes today, puts into the same chain: an
/// attack on its speed. The factor is the inverse of the encoder's.
fn colliding_words(seed: u64, count: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let mut word = || (0x5eed_0000 | dice.below(3000) as u32).wrapping_mul(0x0e8b_2f51);
    (0..count).flat_map(|_| word().to_le_bytes()).collect()
}

/// A bit of everything, so that a stream has blocks of every form and matches from near and far.
pub fn mixture(seed: u64, length: usize) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let words: Vec<Vec<u8>> = (0..200).map(|word| skewed(word, 2 + dice.below(9), 64, 2)).collect();
    let mut content = Vec::with_capacity(length + 1000);
    while content.len() < length {
        match dice.below(40) {
            0 => content.extend(noise(content.len() as u64, 1 + dice.below(900))),
            1 => content.extend(std::iter::repeat_n(dice.below(256) as u8, 1 + dice.below(900))),
            2..10 if content.len() > 10 => {
                let start = content.len() - 1 - dice.below(content.len().min(40_000) - 1);
                let end = (start + 3 + dice.below(200)).min(content.len());
                content.extend_from_within(start..end);
            }
            _ => content.extend_from_slice(&words[dice.below(words.len())]),
        }
    }
    content.truncate(length);
    content
}

/// Names and contents; together a few megabytes.
pub fn all() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |name: &str, content: Vec<u8>| all.push((name.to_owned(), content));
    add("nothing", Vec::new());
    for length in [1, 2, 3, 4, 5, 9] {
        add("few bytes", b"aabaaabaaaab"[..length].to_vec());
    }
    for length in [255, 259, 263, 1000, 33_000, 70_000, 200_000] {
        add("zeros", vec![0; length]);
    }
    for period in [2, 3, 5, 257, 258, 259, 4095, 4096, 4097, 32_505, 32_506, 32_507, 32_768] {
        add(&format!("noise every {period}"), noise(9, period).repeat(90_000 / period));
    }
    for length in [100, 5000, 100_000] {
        add("noise", noise(11, length));
    }
    for (symbols, skew) in
        [(2, 1), (4, 1), (4, 3), (16, 1), (100, 2), (200, 1), (250, 1), (256, 4), (256, 40)]
    {
        add(&format!("{symbols} symbols, {skew} times skewed"), skewed(13, 110_000, symbols, skew));
    }
    // Fibonacci frequencies, for codes that are longer than allowed.
    let mut fibonacci: Vec<u8> = Vec::new();
    let (mut one, mut next) = (1usize, 1usize);
    for symbol in 0..20 {
        fibonacci.extend(std::iter::repeat_n(symbol * 11, one));
        (one, next) = (next, one + next);
    }
    let mut dice = Dice::new(17);
    for at in (1..fibonacci.len()).rev() {
        fibonacci.swap(at, dice.below(at + 1));
    }
    add("fibonacci", fibonacci);
    let rising =
        |width: usize| (0..60_000u32).flat_map(|n| n.to_be_bytes()[4 - width..].to_vec()).collect();
    add("16-bit numbers", rising(2));
    add("32-bit numbers", rising(4));
    add("words that share a chain", colliding_words(19, 12_000));
    for seed in 0..4 {
        add("mixture", mixture(seed, 70_000 + seed as usize * 60_000));
    }
    for (name, content) in real_files() {
        add(&name, content);
    }
    all
}

/// Programs, their source and compressed files, as far as the machine has them.
pub fn real_files() -> Vec<(String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files =
        vec![root.join("Cargo.lock"), root.join("src/deflate/block.rs"), "/etc/passwd".into()];
    for directory in ["/usr/bin", "/usr/share/doc/ostree", "/usr/lib/locale/C.utf8"] {
        let mut found: Vec<PathBuf> = fs::read_dir(directory)
            .map(|entries| {
                entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.is_file())
                    .collect()
            })
            .unwrap_or_default();
        found.sort();
        let step = (found.len() / 5).max(1);
        files.extend(found.into_iter().step_by(step));
    }
    let mut contents: Vec<(String, Vec<u8>)> = files
        .into_iter()
        .filter_map(|path| Some((path.display().to_string(), fs::read(&path).ok()?)))
        .collect();
    contents.iter_mut().for_each(|(_, content)| content.truncate(130_000));
    contents
}

/// A piece of a generated content.
#[derive(Clone, Debug)]
pub enum Mix {
    Noise(u64, usize),
    Skewed(u64, usize, usize),
    Run(u8, usize),
    Mixture(u64, usize),
    /// A copy of what stands so far back.
    Copy(usize, usize),
}

/// Lists of pieces, up to a few hundred kilobytes.
pub fn mixes() -> impl Strategy<Value = Vec<Mix>> {
    let piece = prop_oneof![
        (any::<u64>(), 0usize..20_000).prop_map(|(seed, length)| Mix::Noise(seed, length)),
        (any::<u64>(), 1usize..256, 0usize..30_000)
            .prop_map(|(seed, symbols, length)| Mix::Skewed(seed, symbols, length)),
        (any::<u8>(), 0usize..3000).prop_map(|(byte, length)| Mix::Run(byte, length)),
        (any::<u64>(), 0usize..70_000).prop_map(|(seed, length)| Mix::Mixture(seed, length)),
        (1usize..40_000, 0usize..30_000).prop_map(|(back, length)| Mix::Copy(back, length)),
        // Close to what matches can reach.
        (32_500usize..32_512, 3usize..300).prop_map(|(back, length)| Mix::Copy(back, length)),
    ];
    prop::collection::vec(piece, 0..12)
}

impl Mix {
    pub fn content(pieces: &[Self]) -> Vec<u8> {
        let mut content = Vec::new();
        for piece in pieces {
            match *piece {
                Self::Noise(seed, length) => content.extend(noise(seed, length)),
                Self::Skewed(seed, symbols, length) => {
                    content.extend(skewed(seed, length, symbols, 2))
                }
                Self::Run(byte, length) => content.extend(std::iter::repeat_n(byte, length)),
                Self::Mixture(seed, length) => content.extend(mixture(seed, length)),
                Self::Copy(back, length) if back <= content.len() => {
                    let start = content.len() - back;
                    (start..start + length).for_each(|at| content.push(content[at]));
                }
                Self::Copy(..) => {}
            }
        }
        content
    }
}
