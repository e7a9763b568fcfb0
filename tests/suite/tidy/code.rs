//! Rust as far as the rules need it: which names a file imports, and which paths it writes out.

/// What one name of a `use` stands for: `use a::{b as c}` is `a::b` under the name `c`.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub name: String,
    pub path: Vec<String>,
    /// Imported for others: `pub use`, or with any narrower `pub`.
    pub is_reexport: bool,
}

/// The code of a file up to its tests.
#[derive(Debug)]
pub struct Code {
    pub imports: Vec<Import>,
    /// The paths of at least two names, outside of imports: `a::b::c`.
    pub paths: Vec<Vec<String>>,
    /// The names that stand alone, outside of imports.
    pub names: Vec<String>,
}

impl Code {
    pub fn parse(text: &str) -> Self {
        let text = match text.find("#[cfg(test)]\nmod ") {
            Some(end) => &text[..end],
            None => text,
        };
        let tokens = tokens(text);
        let mut code = Self { imports: Vec::new(), paths: Vec::new(), names: Vec::new() };
        let mut at = 0;
        while at < tokens.len() {
            if tokens[at] == "use" {
                let end = tokens[at..]
                    .iter()
                    .position(|token| token == ";")
                    .map_or(tokens.len(), |end| at + end);
                let is_reexport = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
                code.add_imports(&tokens[at + 1..end], &[], is_reexport);
                at = end;
            } else if is_name(&tokens[at]) {
                let mut path = vec![tokens[at].clone()];
                while tokens.get(at + 1).is_some_and(|next| next == "::")
                    && tokens.get(at + 2).is_some_and(|next| is_name(next))
                {
                    path.push(tokens[at + 2].clone());
                    at += 2;
                }
                match path.len() {
                    1 => code.names.append(&mut path),
                    _ => code.paths.push(path),
                }
            }
            at += 1;
        }
        code
    }

    /// What stands between `use` and `;`, or between the braces after `before::`.
    fn add_imports(&mut self, tokens: &[String], before: &[String], is_reexport: bool) {
        for branch in branches(tokens) {
            let mut path = before.to_vec();
            let mut name = None;
            let mut rest = branch;
            while let Some((first, after)) = rest.split_first() {
                match first.as_str() {
                    "::" => {}
                    "{" => {
                        self.add_imports(&after[..after.len() - 1], &path, is_reexport);
                        name = None;
                        path.clear();
                        break;
                    }
                    "as" => {
                        name = after.first().cloned();
                        break;
                    }
                    "self" if !path.is_empty() => {}
                    other => path.push(other.to_owned()),
                }
                rest = after;
            }
            if let Some(last) = path.last() {
                self.imports.push(Import {
                    name: name.unwrap_or_else(|| last.clone()),
                    path,
                    is_reexport,
                });
            }
        }
    }
}

/// The parts between the commas that stand in no braces.
fn branches(tokens: &[String]) -> Vec<&[String]> {
    let mut depth = 0_i32;
    let branches = tokens.split(|token| {
        depth += i32::from(token == "{") - i32::from(token == "}");
        token == "," && depth == 0
    });
    branches.filter(|branch| !branch.is_empty()).collect()
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Names, `::`, and every other character by itself; without comments, and without what stands in
/// quotes.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let begins = |at: usize, what: &str| {
        what.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
    };
    let mut tokens: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let from = at;
        at += 1;
        if begins(from, "//") {
            at = (from..chars.len()).find(|&end| chars[end] == '\n').unwrap_or(chars.len());
        } else if begins(from, "/*") {
            at = (from..chars.len()).find(|&end| begins(end, "*/")).unwrap_or(chars.len()) + 2;
        } else if chars[from] == '"' {
            let raw = tokens.pop_if(|token| *token == "r" || *token == "br");
            let hashes = tokens.iter().rev().take_while(|token| *token == "#").count();
            at = match raw {
                None if hashes > 0
                    && tokens.len() > hashes
                    && tokens[tokens.len() - hashes - 1].ends_with('r') =>
                {
                    let end = format!("\"{}", "#".repeat(hashes));
                    (at..chars.len()).find(|&at| begins(at, &end)).unwrap_or(chars.len())
                        + end.len()
                }
                Some(_) => {
                    (at..chars.len()).find(|&at| chars[at] == '"').unwrap_or(chars.len()) + 1
                }
                None => end_of_string(&chars, at),
            };
        } else if chars[from] == '\'' {
            // A character, else a lifetime.
            if begins(at, "\\") {
                at = (at + 2..chars.len()).find(|&end| chars[end] == '\'').unwrap_or(chars.len())
                    + 1;
            } else if begins(at + 1, "'") {
                at += 2;
            }
        } else if is_name(&chars[from].to_string()) {
            while chars.get(at).is_some_and(|c| c.is_alphanumeric() || *c == '_') {
                at += 1;
            }
            tokens.push(chars[from..at].iter().collect());
        } else if begins(from, "::") {
            at += 1;
            tokens.push("::".to_owned());
        } else if !chars[from].is_whitespace() {
            tokens.push(chars[from].to_string());
        }
    }
    tokens
}

fn end_of_string(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn imports(text: &str) -> Vec<String> {
        let show = |import: &Import| {
            let public = if import.is_reexport { "pub " } else { "" };
            format!("{public}{} = {}", import.name, import.path.join("::"))
        };
        Code::parse(text).imports.iter().map(show).collect()
    }

    #[test]
    fn imports_are_taken_apart() {
        assert_eq!(imports("use crate::repo::Repo;"), ["Repo = crate::repo::Repo"]);
        assert_eq!(imports("pub(crate) use a::b as c;"), ["pub c = a::b"]);
        let nested = "use crate::{dir::{self, Dir}, repo::{self as other, read::{tree, walk}}};";
        let wanted = [
            "dir = crate::dir",
            "Dir = crate::dir::Dir",
            "other = crate::repo",
            "tree = crate::repo::read::tree",
            "walk = crate::repo::read::walk",
        ];
        assert_eq!(imports(nested), wanted);
        assert_eq!(
            imports("use super::*;\n#[cfg(test)]\nmod tests { use super::x; }"),
            ["* = super::*"]
        );
    }

    #[test]
    fn paths_are_found_outside_of_comments_and_quotes() {
        let text = r##"
            /// See [`crate::a::b`].
            fn f<'a>(x: &'a str) -> crate::Result<()> {
                let c = ['"', '\'', 'x']; /* d::e */
                log::debug!("not g::h \" here"); r"i::j"; r#"k" l::m"#;
                super::fsck::run::<Checksum>(Self::of(c))
            }
        "##;
        let paths: Vec<String> =
            Code::parse(text).paths.iter().map(|path| path.join("::")).collect();
        assert_eq!(paths, ["crate::Result", "log::debug", "super::fsck::run", "Self::of"]);
        assert!(Code::parse(text).names.contains(&"Checksum".to_owned()));
    }
}
