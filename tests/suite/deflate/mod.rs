//! The encoders, held against zlib itself, which Python brings along: here the one that gives
//! zlib's own bytes.

mod contents;
mod fast;
mod oracle;

use osier::deflate::{Deflater, Encoding, Inflater, Settings};
use proptest::prelude::*;

use contents::{Mix, noise};
use oracle::Oracle;

use crate::support::one_of;

/// What ostree feeds its compressor with.
const USUAL_STEP: usize = 8192;

#[test]
fn every_kind_of_content_becomes_zlibs_bytes_at_every_level() {
    let Some(oracle) = Oracle::start() else { return };
    let mut deflaters: Vec<Deflater> = (1..=9).map(zlib).collect();
    for (number, (name, content)) in contents::all().into_iter().enumerate() {
        let levels = deflaters.iter_mut().zip(1..).skip(number % one_of(3)).step_by(one_of(3));
        for (deflater, level) in levels {
            let expected = oracle.deflate(level, USUAL_STEP, &content);
            let packed = deflate(deflater, &content, USUAL_STEP);
            assert_same(
                &expected,
                &packed,
                &format!("{name}, {} bytes, level {level}", content.len()),
            );
        }
    }
}

#[test]
fn the_size_of_the_pieces_does_not_matter() {
    let Some(oracle) = Oracle::start() else { return };
    let content = contents::mixture(7, 300_000);
    for level in [1, 3, 6, 9] {
        let expected = oracle.deflate(level, 0, &content);
        let mut deflater = zlib(level);
        for step in [1, 13, 258, 4096, 32_768, 65_535, 65_536, 65_537, 1 << 20] {
            // zlib's word that it does not matter to zlib either.
            assert!(
                oracle.deflate(level, step, &content) == expected,
                "zlib, level {level}, steps of {step}"
            );
            assert_same(
                &expected,
                &deflate(&mut deflater, &content, step),
                &format!("level {level}, steps of {step}"),
            );
        }
    }
}

#[test]
fn sizes_around_every_limit_become_zlibs_bytes() {
    let Some(oracle) = Oracle::start() else { return };
    let (text, noise) = (contents::mixture(3, 140_000), noise(5, 140_000));
    // The longest match; the reach of matches, with and without zlib's margin; the symbols of a
    // block; the window.
    let limits = [2, 6, 258, 262, 16_383, 32_506, 32_768, 65_274, 65_536, 98_042, 98_304, 131_072];
    let mut deflater = zlib(6);
    for limit in limits {
        for length in limit - 2..=limit + 2 {
            for (name, content) in [
                ("text", &text[..length]),
                ("noise", &noise[..length]),
                ("zeros", &vec![0; length]),
            ] {
                let expected = oracle.deflate(6, USUAL_STEP, content);
                assert_same(
                    &expected,
                    &deflate(&mut deflater, content, USUAL_STEP),
                    &format!("{length} bytes of {name}"),
                );
            }
        }
    }
}

#[test]
fn all_three_forms_of_blocks_occur() {
    // Otherwise the comparisons above would show less than they seem to.
    let form = |content: &[u8]| deflate(&mut zlib(6), content, USUAL_STEP)[0] >> 1 & 3;
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
    fn whatever_is_fed_comes_out_as_from_zlib(
        mix in contents::mixes(),
        level in 1u32..=9,
        step in 1usize..100_000,
    ) {
        let Some(oracle) = Oracle::start() else { return Ok(()) };
        let content = Mix::content(&mix);
        // In large steps for zlib, whose bytes could depend on them.
        let expected = oracle.deflate(level, 0, &content);
        let packed = deflate(&mut zlib(level), &content, step);
        prop_assert!(expected == packed, "{} and {} bytes", expected.len(), packed.len());
    }
}

fn zlib(level: u32) -> Deflater {
    Deflater::new(Settings { encoding: Encoding::Zlib, level })
}

fn deflate(deflater: &mut Deflater, content: &[u8], step: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    deflater.begin();
    content.chunks(step).for_each(|piece| deflater.push(piece, &mut packed));
    deflater.finish(&mut packed);
    packed
}

/// Says where the two part, in the stream and in what it stands for.
#[track_caller]
fn assert_same(expected: &[u8], packed: &[u8], what: &str) {
    if expected != packed {
        let at = expected.iter().zip(packed).take_while(|(one, other)| one == other).count();
        let (zlib, ours) = (expected.len(), packed.len());
        let good = inflated_length(packed)
            .map_or("which is broken".to_owned(), |l| format!("which holds {l} bytes"));
        panic!(
            "{what}: zlib gives {zlib} bytes, ours are {ours} ({good}); the first difference is at \
             {at}"
        );
    }
}

fn inflated_length(packed: &[u8]) -> Option<usize> {
    let mut inflater = Inflater::new();
    inflater.begin();
    let (mut input, mut length) = (packed, 0);
    loop {
        let step = inflater.push(input).ok()?;
        length += step.output.len();
        if step.finished {
            return Some(length);
        }
        if step.needs_input && step.consumed == input.len() {
            return None;
        }
        input = &input[step.consumed..];
    }
}
