//! Comparing two outputs so that a person sees at once where they part.

use std::fmt::Write;

/// Lines shown of each side's differing part.
const LINES_SHOWN: usize = 30;

/// Fails unless the two outputs are the same bytes, showing the lines where they differ.
#[track_caller]
pub fn assert_same_text(what: &str, left: (&str, &[u8]), right: (&str, &[u8])) {
    if left.1 == right.1 {
        return;
    }
    let (left_lines, right_lines) = (lines(left.1), lines(right.1));
    let before = left_lines.iter().zip(&right_lines).take_while(|(a, b)| a == b).count();
    let longest_tail = left_lines.len().min(right_lines.len()) - before;
    let tails = left_lines.iter().rev().zip(right_lines.iter().rev());
    let after = tails.take(longest_tail).take_while(|(a, b)| a == b).count();
    let mut message = format!("{what} differs from line {} on\n", before + 1);
    for ((name, _), side) in [(left, &left_lines), (right, &right_lines)] {
        let differing = &side[before..side.len() - after];
        let _ =
            writeln!(message, "--- {name}: {} differing lines of {}", differing.len(), side.len());
        for line in differing.iter().take(LINES_SHOWN) {
            let _ = writeln!(message, "    {line}");
        }
    }
    panic!("{message}");
}

fn lines(bytes: &[u8]) -> Vec<String> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(|line| line.escape_ascii().to_string())
        .collect()
}
