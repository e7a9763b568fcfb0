//! Suggestions for unknown words.

/// The known word that `typed` most likely means: the only one that begins with `typed`, or one
/// that differs by few edits.
pub(super) fn closest(typed: &str, known: &[String]) -> Option<String> {
    closest_within(typed, known, LETTERS_PER_EDIT)
}

fn closest_within(typed: &str, known: &[String], letters_per_edit: usize) -> Option<String> {
    let mut begun =
        known.iter().filter(|word| typed.chars().count() >= MIN_PREFIX && word.starts_with(typed));
    if let (Some(word), None) = (begun.next(), begun.next()) {
        return Some(word.clone());
    }
    let most_edits = (typed.trim_start_matches('-').chars().count() / letters_per_edit).max(1);
    let rated = known.iter().map(|word| (edits(typed, word), word));
    let (edits, word) = rated.min_by_key(|(edits, _)| *edits)?;
    (edits <= most_edits).then(|| word.clone())
}

/// The suffix of an error about an invalid choice, or nothing: `; did you mean 'bare'?`.
pub(super) fn hint(typed: &str, known: &[&str]) -> String {
    let known: Vec<String> = known.iter().map(|word| (*word).to_owned()).collect();
    closest_within(typed, &known, LETTERS_PER_EDIT_OF_FEW)
        .map(|meant| format!("; did you mean '{meant}'?"))
        .unwrap_or_default()
}

/// A prefix must have at least this many letters.
const MIN_PREFIX: usize = 3;
/// One mistake is allowed for this many letters.
const LETTERS_PER_EDIT: usize = 3;
/// The same where only a few words are possible, so that more mistakes are still unambiguous.
const LETTERS_PER_EDIT_OF_FEW: usize = 2;
/// Longer words are not considered.
const MAX_LEN: usize = 64;

/// How many letters have to be inserted, removed, replaced or swapped with their neighbour to get
/// from one word to the other (the "optimal string alignment" distance).
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    if from.len().max(to.len()) > MAX_LEN {
        return usize::MAX;
    }
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut fewest = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let is_swapped =
                row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *other;
            if is_swapped {
                fewest = fewest.min(before_last[column - 1] + 1);
            }
            current.push(fewest);
        }
        before_last = std::mem::replace(&mut last, current);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted_with_swapped_neighbours_as_one() {
        for (from, to, expected) in [
            ("commit", "commit", 0),
            ("comit", "commit", 1),
            ("commmit", "commit", 1),
            ("ocmmit", "commit", 1),
            ("cimmot", "commit", 2),
            ("", "ls", 2),
            ("ls", "", 2),
            ("ab", "ba", 1),
        ] {
            assert_eq!(edits(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn of_a_few_words_one_is_suggested_in_spite_of_more_mistakes() {
        let modes = ["archive", "bare", "bare-user", "bare-user-only"];
        for (typed, expected) in [
            ("bear", "; did you mean 'bare'?"),
            ("bare-usr", "; did you mean 'bare-user'?"),
            ("arch", "; did you mean 'archive'?"),
            ("frobnicate", ""),
            ("x", ""),
        ] {
            assert_eq!(hint(typed, &modes), expected, "{typed}");
        }
    }

    #[test]
    fn only_a_word_that_is_near_or_begun_is_suggested() {
        let known =
            ["checkout", "checksum", "commit", "ls", "--recursive", "--repo"].map(str::to_owned);
        for (typed, expected) in [
            ("comit", Some("commit")),
            ("sl", Some("ls")),
            ("chekcout", Some("checkout")),
            ("check", None),
            ("checko", Some("checkout")),
            ("--rec", Some("--recursive")),
            ("--rep", Some("--repo")),
            ("--reop", Some("--repo")),
            ("r", None),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(closest(typed, &known).as_deref(), expected, "{typed}");
        }
        assert_eq!(closest(&"x".repeat(100_000), &known), None);
    }
}
