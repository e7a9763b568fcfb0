//! The lines of a kickstart file, and which of them are commands.

use super::{Problem, words};

/// Sections that hold a script.
const SCRIPTS: [&[u8]; 5] = [b"%pre", b"%pre-install", b"%post", b"%onerror", b"%traceback"];
/// Sections that hold something else.
const OTHERS: [&[u8]; 4] = [b"%packages", b"%addon", b"%anaconda", b"%certificate"];

/// One line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line<'a> {
    /// The line number, from 1.
    pub(super) number: usize,
    /// The line, including its end.
    pub(super) bytes: &'a [u8],
    /// The place of the line.
    pub(super) place: Place,
}

/// The place of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Outside of all sections: a command, a comment or blank.
    Outside,
    /// It opens or closes a section, or is not allowed.
    Border,
    /// In a section with a script.
    Script,
    /// In another section.
    Section,
}

/// Problems of lines that are not errors.
pub(super) type Warning = (usize, String);

/// Splits a file into lines, which together are the whole file. Invalid sections, and lines that
/// include another file, go to `problems`.
pub(super) fn classify<'a>(
    file: &'a [u8],
    problems: &mut Vec<Problem>,
) -> (Vec<Line<'a>>, Vec<Warning>) {
    let mut state = State { open: None, warnings: Vec::new() };
    let mut lines = Vec::new();
    for (index, bytes) in split_lines(file).enumerate() {
        let number = index + 1;
        let place = state.place(number, bytes).unwrap_or_else(|problem| {
            problems.push(problem);
            Place::Border
        });
        lines.push(Line { number, bytes, place });
    }
    if let Some(section) = state.open {
        problems.push(Problem::at(section.line, "the section that begins here has no %end"));
    }
    (lines, state.warnings)
}

/// The state after some lines.
struct State {
    open: Option<Section>,
    warnings: Vec<Warning>,
}

impl State {
    /// Takes the next line.
    fn place(&mut self, number: usize, line: &[u8]) -> Result<Place, Problem> {
        match self.open {
            Some(section) => self.place_in(section, number, line),
            None => self.place_outside(number, line),
        }
    }

    fn place_outside(&mut self, number: usize, line: &[u8]) -> Result<Place, Problem> {
        let words = words::split(line).map_err(|what| Problem::at(number, what))?;
        let word = words.first().map_or(b"".as_slice(), |word| &word.value);
        if matches!(word, b"%include" | b"%ksappend") {
            return Err(included(number, word));
        }
        if word == b"%end" {
            return Err(Problem::at(number, "%end closes no section"));
        }
        if !word.starts_with(b"%") {
            return Ok(Place::Outside);
        }
        if !is_known(word) {
            self.warnings.push((
                number,
                format!("{} is taken for a section that the installer knows", show(word)),
            ));
        }
        self.open = Some(Section::opened_by(word, number));
        Ok(Place::Border)
    }

    fn place_in(&mut self, section: Section, number: usize, line: &[u8]) -> Result<Place, Problem> {
        match first_word(line) {
            b"%end" => {
                self.open = None;
                return Ok(Place::Border);
            }
            // A script may only write such a line to a file, but the installer follows it
            // nevertheless.
            b"%include" if section.place == Place::Script => {
                self.warnings
                    .push((number, "the installer follows %include in scripts too".to_owned()));
            }
            word @ (b"%include" | b"%ksappend") => return Err(included(number, word)),
            word if is_known(word) => {
                let message = format!(
                    "{} begins before the section of line {} has ended",
                    show(word),
                    section.line
                );
                return Err(Problem::at(number, message));
            }
            _ => {}
        }
        Ok(section.place)
    }
}

/// The section that a line is in.
#[derive(Clone, Copy)]
struct Section {
    line: usize,
    /// The place of the lines in it.
    place: Place,
}

impl Section {
    fn opened_by(word: &[u8], line: usize) -> Self {
        Self { line, place: if SCRIPTS.contains(&word) { Place::Script } else { Place::Section } }
    }
}

fn is_known(word: &[u8]) -> bool {
    SCRIPTS.contains(&word) || OTHERS.contains(&word)
}

fn included(number: usize, word: &[u8]) -> Problem {
    let message = format!(
        "{}: only flat files can be used, resolve it with `ksflatten -c IN -v VERSION -o OUT`",
        show(word)
    );
    Problem::at(number, message)
}

fn show(word: &[u8]) -> String {
    word.escape_ascii().to_string()
}

/// Up to the first white space; nothing for a blank line.
fn first_word(line: &[u8]) -> &[u8] {
    line.split(|byte| byte.is_ascii_whitespace() || *byte == 0x0b)
        .find(|word| !word.is_empty())
        .unwrap_or_default()
}

/// Lines including their ends, as Python's `splitlines` splits them: the installer's parser counts
/// that way, and a command after a form feed is a command.
fn split_lines(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = file;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let length =
            (0..rest.len()).find_map(|at| Some(at + line_end(&rest[at..])?)).unwrap_or(rest.len());
        let (line, after) = rest.split_at(length);
        rest = after;
        Some(line)
    })
}

/// The length of the line end at the start of `text`, in bytes.
fn line_end(text: &[u8]) -> Option<usize> {
    match text {
        [b'\r', b'\n', ..] | [0xc2, 0x85, ..] => Some(2),
        [b'\n' | b'\r' | 0x0b | 0x0c | 0x1c..=0x1e, ..] => Some(1),
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(file: &str) -> Vec<Place> {
        sound(file).0.into_iter().map(|line| line.place).collect()
    }

    fn sound(file: &str) -> (Vec<Line<'_>>, Vec<Warning>) {
        let mut problems = Vec::new();
        let result = classify(file.as_bytes(), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        result
    }

    fn message(file: &str) -> String {
        let mut problems = Vec::new();
        classify(file.as_bytes(), &mut problems);
        problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn lines_end_where_python_ends_them() {
        let file = "a\nb\r\nc\rd\x0be\x0cf\x1cg\u{85}h\u{2028}i\u{2029}j".as_bytes();
        let lines: Vec<_> = split_lines(file).map(|line| line[0]).collect();
        assert_eq!(lines, b"abcdefghij");
        assert_eq!(split_lines(file).collect::<Vec<_>>().concat(), file);
        assert_eq!(split_lines(b"\n\n").count(), 2);
        assert_eq!(split_lines(b"").count(), 0);
    }

    #[test]
    fn only_lines_outside_of_sections_are_commands() {
        use Place::{Border, Outside, Script, Section};
        let file = "text\n  %post --nochroot\necho\n%notasection\n%end\n%packages\n@core\n%end # \
            x\nreboot";
        assert_eq!(
            places(file),
            [Outside, Border, Script, Script, Border, Border, Section, Border, Outside]
        );
        for header in ["%pre", "%pre-install", "%post", "%onerror", "%traceback"] {
            assert_eq!(
                places(&format!("{header}\nx\n%end\n")),
                [Border, Script, Border],
                "{header}"
            );
        }
        for header in ["%packages", "%addon org_x", "%anaconda", "%certificate --filename=a"] {
            assert_eq!(
                places(&format!("{header}\nx\n%end\n")),
                [Border, Section, Border],
                "{header}"
            );
        }
    }

    #[test]
    fn sections_that_the_installer_refuses_are_refused() {
        assert_eq!(message("a\n%post\nx\n"), "2: the section that begins here has no %end");
        assert_eq!(
            message("%post\n%pre\n%end\n"),
            "2: %pre begins before the section of line 1 has ended"
        );
        let all = "1: %end closes no section; 3: %pre begins before the section of line 2 has \
            ended; 2: the section that begins here has no %end";
        assert_eq!(message("%end\n%post\n%pre\n"), all);
    }

    #[test]
    fn included_files_are_refused_where_they_count() {
        let flat =
            "only flat files can be used, resolve it with `ksflatten -c IN -v VERSION -o OUT`";
        assert_eq!(message("a\n %include b\n"), format!("2: %include: {flat}"));
        assert_eq!(message("%packages\n%include b\n%end\n"), format!("2: %include: {flat}"));
        assert_eq!(message("%ksappend b\n"), format!("1: %ksappend: {flat}"));
        let (lines, warnings) = sound("%post\n%include x\n%end\n");
        assert_eq!((lines[1].place, warnings.len(), warnings[0].0), (Place::Script, 1, 2));
        assert_eq!(sound("# %include b\n").0[0].place, Place::Outside);
    }

    #[test]
    fn an_unknown_section_is_one_with_a_warning() {
        let (lines, warnings) = sound("%other\nostreesetup\n%end\n");
        assert_eq!(lines[1].place, Place::Section);
        assert_eq!(
            warnings,
            [(1, "%other is taken for a section that the installer knows".to_owned())]
        );
    }
}
