//! The fuzz targets of osier, and the mutators that lead the fuzzer past checksums and lengths.

pub mod mutate;
pub mod targets;

use mutate::{Mutator, Random};

/// Fits a mutator to the buffer that libFuzzer hands out.
pub fn in_place(
    mutator: Mutator,
    buffer: &mut [u8],
    (size, max_size, seed): (usize, usize, u32),
    plain: fn(&mut [u8], usize, usize) -> usize,
) -> usize {
    let mut blindly = |bytes: &mut Vec<u8>, most: usize| {
        if most == 0 {
            return bytes.clear();
        }
        let size = bytes.len().min(most);
        bytes.resize(most, 0);
        let size = plain(bytes, size, most);
        bytes.truncate(size);
    };
    let most = max_size.min(buffer.len());
    let mut mutated = mutator(&buffer[..size.min(most)], most, &mut Random::new(seed), &mut blindly);
    mutated.truncate(most);
    buffer[..mutated.len()].copy_from_slice(&mutated);
    mutated.len()
}
