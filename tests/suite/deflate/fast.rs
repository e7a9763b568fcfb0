//! The encoder that is quick: what it writes is read by zlib, and is about as large as what zlib
//! would have written.

use osier::deflate::{Deflater, Encoding, Settings};
use proptest::prelude::*;

use super::contents::{self, Mix, noise};
use super::oracle::Oracle;
use super::{USUAL_STEP, deflate};

#[test]
fn zlib_reads_every_kind_of_content_at_every_level() {
    let Some(oracle) = Oracle::start() else { return };
    let mut deflaters: Vec<Deflater> = (1..=9).map(fast).collect();
    for (name, content) in contents::all() {
        for (deflater, level) in deflaters.iter_mut().zip(1..) {
            let packed = deflate(deflater, &content, USUAL_STEP);
            let unpacked = oracle.inflate(&packed);
            assert!(unpacked == content, "{name}, {} bytes, level {level}", content.len());
        }
    }
}

#[test]
fn real_files_are_hardly_larger_than_zlibs_at_any_level() {
    let Some(oracle) = Oracle::start() else { return };
    let files = contents::real_files();
    for level in 1..=9 {
        let mut deflater = fast(level);
        let ours: usize = files
            .iter()
            .map(|(_, content)| deflate(&mut deflater, content, USUAL_STEP).len())
            .sum();
        let zlibs: usize =
            files.iter().map(|(_, content)| oracle.deflate(level, 0, content).len()).sum();
        // Which files there are depends on the machine, and of some kinds zlib's are smaller.
        assert!(ours <= zlibs + zlibs / 200, "level {level}: {ours}, zlib {zlibs}");
    }
}

#[test]
fn ten_megabytes_of_noise_are_stored() {
    let Some(oracle) = Oracle::start() else { return };
    let content = noise(23, 10_000_000);
    for level in [1, 6, 9] {
        let packed = deflate(&mut fast(level), &content, USUAL_STEP);
        // At the end of a block stands a length of four bytes, behind three bits that fill a byte.
        assert!(
            packed.len() - content.len() <= 5 * (content.len() / 20_000),
            "{} bytes",
            packed.len()
        );
        assert!(oracle.inflate(&packed) == content);
    }
}

#[test]
fn all_three_forms_of_blocks_occur() {
    let form = |content: &[u8]| deflate(&mut fast(6), content, USUAL_STEP)[0] >> 1 & 3;
    assert_eq!(form(&noise(1, 20_000)), 0, "stored");
    assert_eq!(form(b"short"), 1, "fixed codes");
    assert_eq!(form(&contents::mixture(1, 20_000)), 2, "codes of its own");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_is_fed_zlib_reads(
        mix in contents::mixes(),
        level in 1u32..=9,
        step in 1usize..100_000,
    ) {
        let Some(oracle) = Oracle::start() else { return Ok(()) };
        let content = Mix::content(&mix);
        let packed = deflate(&mut fast(level), &content, step);
        prop_assert!(oracle.inflate(&packed) == content, "{} bytes, level {level}", content.len());
        prop_assert!(deflate(&mut fast(level), &content, usize::MAX) == packed, "steps of {step} \
            show");
    }
}

fn fast(level: u32) -> Deflater {
    Deflater::new(Settings { encoding: Encoding::Fast, level })
}
