//! `file_contexts`: lines of a pattern, perhaps a file type, and a label.
//!
//! ```text
//! /etc/.*              system_u:object_r:etc_t:s0
//! /etc/cups     -d     system_u:object_r:cupsd_etc_t:s0
//! /tmp/.*              <<none>>
//! ```
//!
//! A pattern is a regular expression for the whole path. Those without any operator count more than
//! the others; among equals the last that matches does. Most patterns begin with a literal piece of
//! path, so a path is only held against the patterns whose literal piece it begins with: a few
//! dozen of thousands.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use crate::gvariant::DecodeError;
use crate::input::quotable;
use crate::object::{S_IFBLK, S_IFCHR, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, S_IFSOCK};

/// The label that is none.
const NONE: &str = "<<none>>";

/// The patterns of a policy.
#[derive(Debug)]
pub(super) struct FileContexts {
    /// Later ones take precedence.
    specs: Vec<Spec>,
    /// Sorted by their prefixes.
    buckets: Vec<Bucket>,
}

/// One line.
#[derive(Debug)]
struct Spec {
    /// Type bits of the only mode that it is for.
    file_type: Option<u32>,
    /// What the path has to match, unless it is the prefix and nothing more.
    pattern: Option<Pattern>,
    label: Option<String>,
}

/// A regular expression that is compiled when it is first needed.
#[derive(Debug)]
struct Pattern {
    text: String,
    place: Place,
    compiled: OnceLock<Result<Regex, String>>,
}

/// The specs whose paths begin with the same literal text.
#[derive(Debug)]
struct Bucket {
    prefix: String,
    /// The longest other prefix that this one begins with.
    parent: Option<usize>,
    specs: Vec<usize>,
}

impl FileContexts {
    /// Reads files, named for messages, of which later ones count more.
    pub(super) fn parse(files: &[(&'static str, Vec<u8>)]) -> Result<Self, DecodeError> {
        let mut lines = Vec::new();
        for (file, text) in files {
            for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
                let place = Place { file, line: index + 1 };
                lines.extend(Line::parse(line, place)?);
            }
        }
        lines.sort_by_key(|line| !has_operator(line.pattern));
        let mut specs = Vec::with_capacity(lines.len());
        let mut by_prefix: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for Line { pattern, file_type, label, place } in lines {
            let (prefix, is_whole) = literal_prefix(pattern);
            by_prefix.entry(prefix).or_default().push(specs.len());
            let compiled = OnceLock::new();
            specs.push(Spec {
                file_type,
                pattern: (!is_whole).then(|| Pattern { text: pattern.to_owned(), place, compiled }),
                label: (label != NONE).then(|| label.to_owned()),
            });
        }
        let mut buckets: Vec<Bucket> = Vec::with_capacity(by_prefix.len());
        for (prefix, specs) in by_prefix {
            let parent = last_prefix_of(&buckets, buckets.len().checked_sub(1), &prefix);
            buckets.push(Bucket { prefix, parent, specs });
        }
        Ok(Self { specs, buckets })
    }

    /// The label of a path.
    pub(super) fn lookup(&self, path: &str, mode: u32) -> Result<Option<&str>, DecodeError> {
        let mut candidates: Vec<usize> = Vec::new();
        let after = self.buckets.partition_point(|bucket| bucket.prefix.as_str() <= path);
        let mut next = last_prefix_of(&self.buckets, after.checked_sub(1), path);
        while let Some(bucket) = next.and_then(|index| self.buckets.get(index)) {
            let is_whole = bucket.prefix.len() == path.len();
            let may_match = |index: &&usize| {
                is_whole || self.specs.get(**index).is_some_and(|s| s.pattern.is_some())
            };
            candidates.extend(bucket.specs.iter().filter(may_match));
            next = bucket.parent;
        }
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        for spec in candidates.into_iter().filter_map(|index| self.specs.get(index)) {
            if spec.file_type.is_some_and(|file_type| file_type != mode & S_IFMT) {
                continue;
            }
            if spec.pattern.as_ref().map_or(Ok(true), |pattern| pattern.is_match(path))? {
                return Ok(spec.label.as_deref());
            }
        }
        Ok(None)
    }
}

/// The bucket with the longest prefix of `text`, at `from` or before; what stands between it and
/// `text` in the order begins with it too, so it is among those that the bucket at `from` begins
/// with.
fn last_prefix_of(buckets: &[Bucket], from: Option<usize>, text: &str) -> Option<usize> {
    let mut next = from;
    while let Some(bucket) = next.and_then(|index| buckets.get(index)) {
        if text.starts_with(&bucket.prefix) {
            return next;
        }
        next = bucket.parent;
    }
    None
}

impl Pattern {
    fn is_match(&self, path: &str) -> Result<bool, DecodeError> {
        let compiled = self.compiled.get_or_init(|| {
            // Not grouped: an alternative at the top goes with only one of the two ends, as in
            // libselinux.
            RegexBuilder::new(&format!("^{}$", self.text))
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
                .map_err(|error| error.to_string().lines().last().unwrap_or_default().to_owned())
        });
        match compiled {
            Ok(regex) => Ok(regex.is_match(path.as_bytes())),
            Err(error) => {
                let Self { text, place: Place { file, line }, .. } = self;
                Err(DecodeError::new(format!(
                    "{file}: line {line}: pattern {} cannot be used: {}",
                    quotable(text),
                    quotable(&error.to_string())
                )))
            }
        }
    }
}

/// Where a line stands.
#[derive(Clone, Copy, Debug)]
struct Place {
    file: &'static str,
    line: usize,
}

/// A line that is no comment.
struct Line<'l> {
    pattern: &'l str,
    file_type: Option<u32>,
    label: &'l str,
    place: Place,
}

impl<'l> Line<'l> {
    fn parse(line: &'l [u8], place: Place) -> Result<Option<Self>, DecodeError> {
        let Place { file, line: number } = place;
        let refuse = |what: &str| Err(DecodeError::new(format!("{file}: line {number} {what}")));
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            return Ok(None);
        }
        let line = match std::str::from_utf8(line) {
            Ok(line) if line.is_ascii() => line,
            _ => return refuse("error due to: Non-ASCII characters found"),
        };
        let mut fields = line.split_ascii_whitespace();
        let (pattern, file_type, label) = match (fields.next(), fields.next(), fields.next()) {
            (Some(pattern), Some(label), None) => (pattern, None, label),
            (Some(pattern), Some(file_type), Some(label)) => (pattern, Some(file_type), label),
            _ => return refuse("is missing fields"),
        };
        let file_type = match file_type {
            None => None,
            Some("--") => Some(S_IFREG),
            Some("-d") => Some(S_IFDIR),
            Some("-l") => Some(S_IFLNK),
            Some("-b") => Some(S_IFBLK),
            Some("-c") => Some(S_IFCHR),
            Some("-p") => Some(S_IFIFO),
            Some("-s") => Some(S_IFSOCK),
            Some(other) => return refuse(&format!("has invalid file type {}", quotable(other))),
        };
        Ok(Some(Self { pattern, file_type, label, place }))
    }
}

fn is_operator(character: char) -> bool {
    ".^$?*+|[({".contains(character)
}

/// Whether the pattern is more than a path. That a backslash can make an operator of a letter does
/// not count.
fn has_operator(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == '\\' {
            characters.next();
        } else if is_operator(character) {
            return true;
        }
    }
    false
}

/// What each path that the pattern matches begins with, and whether that is the only path.
fn literal_prefix(pattern: &str) -> (String, bool) {
    if has_alternatives(pattern) {
        // Of such a pattern libselinux only takes the first directory for literal, and so its
        // meaning depends on that.
        let first = pattern
            .char_indices()
            .skip(1)
            .find(|(_, character)| *character == '/' || is_operator(*character));
        return match first {
            Some((end, '/')) => (pattern[..=end].to_owned(), false),
            _ => (String::new(), false),
        };
    }
    let mut prefix = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(escaped) if !escaped.is_ascii_alphanumeric() => prefix.push(escaped),
                _ => return (prefix, false),
            },
            '?' | '*' | '{' => {
                prefix.pop();
                return (prefix, false);
            }
            _ if is_operator(character) => return (prefix, false),
            _ => prefix.push(character),
        }
    }
    (prefix, true)
}

/// Whether there is a `|` outside of all groups and classes.
fn has_alternatives(pattern: &str) -> bool {
    let (mut depth, mut in_class) = (0_usize, false);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            ']' => in_class = false,
            _ if in_class => {}
            '[' => in_class = true,
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            '|' if depth == 0 => return true,
            _ => {}
        }
    }
    false
}

/// `file_contexts.subs`: lines of two paths; what is below the first is labelled as if it were
/// below the second.
#[derive(Debug)]
pub(super) struct Substitutions(Vec<(String, String)>);

impl Substitutions {
    /// Reads the file. Lines that do not have both paths have no effect.
    pub(super) fn parse(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let pairs = lines.filter_map(|line| {
            let mut fields = line.split_ascii_whitespace();
            Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
        });
        // The last line that fits counts.
        let mut pairs: Vec<_> = pairs.collect();
        pairs.reverse();
        Self(pairs)
    }

    /// The path that stands for this one; `None` if it stands for itself.
    pub(super) fn apply(&self, path: &str) -> Option<String> {
        self.0.iter().find_map(|(from, to)| {
            let rest = path.strip_prefix(from.as_str())?;
            match (rest.is_empty() || rest.starts_with('/'), to.as_str()) {
                (false, _) => None,
                (true, "/") => Some(format!("/{}", rest.trim_start_matches('/'))),
                (true, to) => Some(format!("{to}{rest}")),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{FileContexts, Substitutions};

    const FILE: u32 = 0o100_644;
    const DIRECTORY: u32 = 0o040_755;
    const SYMLINK: u32 = 0o120_777;

    const CONTEXTS: &str = r"
# a comment
/.*             def
/a(/.*)?        a
/b(/.*)?        b
/a/x/.*         ax
/e/.*       --  e_file  and what nobody reads
/e/.*       -d  e_dir
/g\.conf        gconf
/g.*            g
/i/a|b          iab
/j/\w+          j
/k/x{2}         kxx
/l/[[:alpha:]]+ l
/m/.*           m
/m/none.*       <<none>>
/n/[a]          late
/n/a            exact
/n/a|c          alternative
   /o?ptional  -l  link
/twice          first
/twice          second
";

    /// The results of `matchpathcon` for the same lines (with labels that are contexts).
    #[test]
    fn labels_are_those_of_libselinux() {
        let contexts = FileContexts::parse(&[("file_contexts", CONTEXTS.into())]).unwrap();
        for (path, mode, expected) in [
            ("/", DIRECTORY, Some("def")),
            ("/a", DIRECTORY, Some("a")),
            ("/ab", FILE, Some("def")),
            ("/a/y", FILE, Some("a")),
            ("/a/x", FILE, Some("a")),
            ("/a/x/y", FILE, Some("ax")),
            ("/b/x\ny", FILE, Some("b")),
            ("/e/x", FILE, Some("e_file")),
            ("/e/x", DIRECTORY, Some("e_dir")),
            ("/e/x", SYMLINK, Some("def")),
            ("/g.conf", FILE, Some("gconf")),
            ("/gxconf", FILE, Some("g")),
            ("/i/a", FILE, Some("iab")),
            ("/i/ab", FILE, Some("iab")),
            ("/i/b", FILE, Some("iab")),
            ("/i/c/b", FILE, Some("iab")),
            ("/j/abc", FILE, Some("j")),
            ("/j/a.b", FILE, Some("def")),
            ("/k/xx", FILE, Some("kxx")),
            ("/k/x", FILE, Some("def")),
            ("/l/abc", FILE, Some("l")),
            ("/l/a1", FILE, Some("def")),
            ("/m/x", FILE, Some("m")),
            ("/m/none", FILE, None),
            ("/n/a", FILE, Some("exact")),
            ("/n/ab", FILE, Some("alternative")),
            ("/ptional", SYMLINK, Some("link")),
            ("/ptional", FILE, Some("def")),
            ("/twice", FILE, Some("second")),
            ("/é", FILE, Some("def")),
        ] {
            assert_eq!(contexts.lookup(path, mode).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn files_read_later_count_more_but_not_more_than_a_path_without_operators() {
        let text = |text: &str| text.as_bytes().to_vec();
        let files = [
            ("file_contexts", text("/a.* one\n/b one")),
            ("file_contexts.local", text("/[ab].* two\n/c.* two")),
        ];
        let contexts = FileContexts::parse(&files).unwrap();
        let label = |path: &str| contexts.lookup(path, FILE).unwrap();
        assert_eq!(
            ["/ax", "/bx", "/b", "/cx", "/d"].map(label),
            [Some("two"), Some("two"), Some("one"), Some("two"), None]
        );
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        for (line, message) in [
            ("/a", "file_contexts: line 2 is missing fields"),
            ("/a -x b", "file_contexts: line 2 has invalid file type -x"),
            ("/ä b", "file_contexts: line 2 error due to: Non-ASCII characters found"),
        ] {
            let error =
                FileContexts::parse(&[("file_contexts", format!("\n{line}").into())]).unwrap_err();
            assert_eq!(error.what, message);
        }
        let contexts =
            FileContexts::parse(&[("file_contexts", b"/.* b\n/a/( c\n".to_vec())]).unwrap();
        assert_eq!(contexts.lookup("/b", FILE), Ok(Some("b")));
        let message = "file_contexts: line 2: pattern /a/( cannot be used: error: unclosed group";
        assert_eq!(contexts.lookup("/a/b", FILE).unwrap_err().what, message);
    }

    /// The results of `matchpathcon` for the same lines.
    #[test]
    fn the_last_substitution_that_fits_is_made() {
        let text = "# /c /c\n/s /a\n/s/t /b\n/u/t /b\n/u /a\n/y /\n/half\n";
        let substitutions = Substitutions::parse(text.as_bytes());
        for (path, expected) in [
            ("/s", Some("/a")),
            ("/s/x", Some("/a/x")),
            ("/s/t/x", Some("/b/x")),
            ("/u/t/x", Some("/a/t/x")),
            ("/y/a", Some("/a")),
            ("/sx", None),
            ("/half/x", None),
            ("/c", None),
        ] {
            assert_eq!(substitutions.apply(path).as_deref(), expected, "{path}");
        }
    }
}
