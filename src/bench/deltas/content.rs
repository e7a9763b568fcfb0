//! Bytes that compress about as well as those of real files.

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// Lines of words.
    Words,
    /// A few hundred sequences of bytes with numbers between them, as in machine code.
    Code,
    /// What does not compress at all.
    Noise,
}

/// Words, and sequences of machine code.
const VOCABULARY: u64 = 3000;
const INSTRUCTIONS: u64 = 700;
const WORDS_PER_LINE: u64 = 12;

impl Content {
    /// So many bytes.
    pub(super) fn make(self, size: usize, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(size + 64);
        while bytes.len() < size {
            match self {
                Self::Words => {
                    letters(skewed(dice, VOCABULARY), &mut bytes);
                    bytes.push(if dice.below(WORDS_PER_LINE) == 0 { b'\n' } else { b' ' });
                }
                Self::Code => {
                    let mut instruction = Dice::new(7, skewed(dice, INSTRUCTIONS));
                    for _ in 0..2 + instruction.below(5) {
                        bytes.push(instruction.below(256) as u8);
                    }
                    match dice.below(4) {
                        0 => bytes.push(dice.below(256) as u8),
                        1 => {
                            let address = skewed(dice, 5000).wrapping_mul(40_503);
                            bytes.extend_from_slice(&(address as u32).to_le_bytes());
                        }
                        _ => {}
                    }
                }
                Self::Noise => bytes.extend_from_slice(&dice.roll().to_le_bytes()),
            }
        }
        bytes.truncate(size);
        bytes
    }
}

/// A number below `end`; small ones are more frequent.
fn skewed(dice: &mut Dice, end: u64) -> u64 {
    dice.below(end) * dice.below(end) / end
}

fn letters(word: u64, bytes: &mut Vec<u8>) {
    const FREQUENT: &[u8] = b"etaoinshrdlucmfwypvbgk";
    let mut letters = Dice::new(8, word);
    for _ in 0..2 + letters.below(9) {
        bytes.push(FREQUENT[skewed(&mut letters, FREQUENT.len() as u64) as usize]);
    }
}

/// SplitMix64, a generator of numbers.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(purpose: u64, number: u64) -> Self {
        let mut dice = Self(purpose.wrapping_mul(0x5851_f42d_4c95_7f2d) ^ number);
        dice.0 = dice.roll();
        dice
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// A number in that range; each order of magnitude is as frequent as the others.
    pub(super) fn between(&mut self, least: u64, most: u64) -> u64 {
        let doublings = (most as f64 / least as f64).log2();
        let power = self.below(1 << 20) as f64 / (1 << 20) as f64 * doublings;
        (least as f64 * power.exp2()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_the_same_each_time_and_of_its_kind() {
        for content in [Content::Words, Content::Code, Content::Noise] {
            let make = |number| content.make(10_000, &mut Dice::new(1, number));
            assert!(make(1) == make(1) && make(1) != make(2), "{content:?}");
            assert_eq!(make(1).len(), 10_000);
        }
        let text = Content::Words.make(1000, &mut Dice::new(1, 1));
        assert!(text.iter().all(|byte| byte.is_ascii_lowercase() || b" \n".contains(byte)));
    }

    #[test]
    fn numbers_lie_in_their_range() {
        let mut dice = Dice::new(1, 1);
        for _ in 0..1000 {
            assert!(dice.below(7) < 7 && (500..=24_000).contains(&dice.between(500, 24_000)));
        }
        assert_eq!(dice.below(0), 0);
    }
}
