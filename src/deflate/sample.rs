//! Guessing, from samples, whether deflating is worth its cost.

use flate2::{Compress, Compression, FlushCompress};

/// How many pieces are looked at, and how large each is, in bytes.
const SAMPLES: usize = 4;
const SAMPLE_SIZE: usize = 4 << 10;
/// Content below this size is deflated without asking.
const MIN_SIZE: usize = SAMPLES * SAMPLE_SIZE * 2;
/// A sample whose bytes carry more bits each than this is tried out; most content is far below.
const SUSPICIOUS_BITS: f64 = 7.6;
/// What a trial must save to call the content worth deflating.
const WORTHWHILE_SHARE: f64 = 0.98;

/// Whether deflating `content` will make it noticeably smaller, judged by a few samples. Only content whose bytes are
/// spread almost evenly, as those of compressed files are, is tried out with the quickest level.
pub fn shrinks(content: &[u8]) -> bool {
    if content.len() < MIN_SIZE {
        return true;
    }
    let stride = (content.len() - SAMPLE_SIZE) / (SAMPLES - 1);
    let samples: [&[u8]; SAMPLES] = std::array::from_fn(|index| &content[index * stride..][..SAMPLE_SIZE]);
    let mut counts = [0u32; 256];
    for sample in samples {
        for &byte in sample {
            counts[usize::from(byte)] += 1;
        }
    }
    entropy(&counts) < SUSPICIOUS_BITS || trial(samples)
}

/// Bits per byte that the frequencies alone ask for.
fn entropy(counts: &[u32; 256]) -> f64 {
    let total = f64::from(counts.iter().sum::<u32>());
    let bits = |&count: &u32| f64::from(count) * (total / f64::from(count)).log2();
    counts.iter().filter(|&&count| count > 0).map(bits).sum::<f64>() / total
}

fn trial(samples: [&[u8]; SAMPLES]) -> bool {
    let mut compress = Compress::new(Compression::fast(), false);
    let mut output = Vec::with_capacity(SAMPLES * SAMPLE_SIZE + 1024);
    for (index, sample) in samples.iter().enumerate() {
        let flush = if index + 1 == SAMPLES { FlushCompress::Finish } else { FlushCompress::None };
        if compress.compress_vec(sample, &mut output, flush).is_err() {
            return true;
        }
    }
    (output.len() as f64) < (SAMPLES * SAMPLE_SIZE) as f64 * WORTHWHILE_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A linear congruential generator is random enough for deflate.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn noise_does_not_shrink_and_text_does() {
        assert!(!shrinks(&noise(1 << 20)));
        assert!(shrinks(&b"all work and no play ".repeat(10_000)));
        assert!(shrinks(&noise(100)), "small content is deflated without asking");
    }

    #[test]
    fn noise_that_repeats_shrinks() {
        assert!(shrinks(&noise(1000).repeat(1000)));
    }
}
