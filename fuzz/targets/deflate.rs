//! The encoders: whatever is compressed comes back, and in which pieces it came does not show.

use osier::deflate::{Deflater, Encoding, Inflater, Settings};

/// Copies make a long content of a short input; this is enough of it, in bytes.
const LONGEST: usize = 1 << 18;

/// The level, the size of the pieces (16 bits), and what the content is made of.
pub fn deflate(data: &[u8]) {
    let Some((&[level, low, high], recipe)) = data.split_first_chunk() else { return };
    let content = content(recipe);
    let step = usize::from(u16::from_le_bytes([low, high])).max(1);
    for encoding in [Encoding::Fast, Encoding::Zlib] {
        let mut deflater = Deflater::new(Settings { encoding, level: u32::from(level % 9) + 1 });
        let whole = packed(&mut deflater, &content, LONGEST);
        assert!(
            packed(&mut deflater, &content, step) == whole,
            "{encoding:?}: pieces of {step} bytes show"
        );
        assert!(unpacked(&whole) == content, "{encoding:?}: something else comes back");
        // A stored block for every 4000 bytes at most.
        assert!(
            whole.len() <= content.len() + content.len() / 800 + 10,
            "{encoding:?}: {} bytes",
            whole.len()
        );
    }
}

/// A byte below 128 is followed by as many literal bytes and one more. Another is followed by the
/// length of a copy less one and the distance less one (16 bits).
fn content(mut recipe: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    while let Some((&step, rest)) = recipe.split_first() {
        if step < 128 {
            let (literals, rest) = rest.split_at(rest.len().min(usize::from(step) + 1));
            content.extend_from_slice(literals);
            recipe = rest;
        } else {
            let Some((&[length, low, high], rest)) = rest.split_first_chunk() else { break };
            let distance = usize::from(u16::from_le_bytes([low, high])) + 1;
            if let Some(start) = content.len().checked_sub(distance) {
                // Many times over, so that far distances come up.
                let times = usize::from(step - 127);
                (start..start + times * (usize::from(length) + 1))
                    .for_each(|at| content.push(content[at]));
            }
            recipe = rest;
        }
        if content.len() >= LONGEST {
            break;
        }
    }
    content.truncate(LONGEST);
    content
}

fn packed(deflater: &mut Deflater, content: &[u8], step: usize) -> Vec<u8> {
    let mut packed = Vec::new();
    deflater.begin();
    content.chunks(step).for_each(|piece| deflater.push(piece, &mut packed));
    deflater.finish(&mut packed);
    packed
}

fn unpacked(packed: &[u8]) -> Vec<u8> {
    let mut inflater = Inflater::new();
    inflater.begin();
    let (mut input, mut unpacked) = (packed, Vec::new());
    loop {
        let step = inflater.push(input).expect("our own encoders write nothing broken");
        unpacked.extend_from_slice(step.output);
        input = &input[step.consumed..];
        if step.finished {
            assert!(input.is_empty(), "{} bytes behind the end", input.len());
            return unpacked;
        }
        assert!(!step.needs_input || !input.is_empty(), "the end is missing");
    }
}
