//! Which file of `src` uses which, by the paths that they write.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::code::{Code, Import};

/// `src/repo/refs/list.rs` is `["repo", "refs", "list"]`, `src/repo/mod.rs` is `["repo"]`,
/// `src/lib.rs` is `[]`.
pub type Module = Vec<String>;

/// The files of the library, and of the command line, which names it `osier`.
#[derive(Debug)]
pub struct Files {
    code: BTreeMap<Module, Code>,
    paths: BTreeMap<Module, PathBuf>,
}

/// How often a name is looked up that others hand on; names that hand on each other end here.
const MAX_REEXPORTS: usize = 16;

impl Files {
    /// `files` are paths below the folder `src`, and what they hold. The file of the program itself
    /// is left out.
    pub fn parse(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let mut parsed = Self { code: BTreeMap::new(), paths: BTreeMap::new() };
        for (path, text) in files {
            if path == Path::new("main.rs") || path.ends_with("tests.rs") {
                continue;
            }
            let module = module_of(&path);
            parsed.code.insert(module.clone(), Code::parse(&text));
            parsed.paths.insert(module, path);
        }
        parsed
    }

    pub fn path(&self, module: &Module) -> &Path {
        &self.paths[module]
    }

    /// For each file the files that it uses, and the names that it takes from them.
    ///
    /// An item belongs to the file that defines it, whatever other file hands it on with `pub use`.
    /// To declare a module is not to use it, and neither is to hand on an item of it, unless the
    /// same file works with the item.
    pub fn uses(&self) -> BTreeMap<&Module, BTreeMap<&Module, BTreeSet<String>>> {
        let mut uses = BTreeMap::new();
        for (module, code) in &self.code {
            let imports = code
                .imports
                .iter()
                .filter(|import| !import.is_reexport || is_worked_with(code, import));
            let mut used: BTreeMap<&Module, BTreeSet<String>> = BTreeMap::new();
            for path in imports.map(|import| &import.path).chain(&code.paths) {
                if let Some(target) = self.file_of(module, path, MAX_REEXPORTS)
                    && target != module
                {
                    used.entry(target).or_default().extend(path.last().cloned());
                }
            }
            uses.insert(module, used);
        }
        uses
    }

    /// The file that defines what a path in `module` names; none for other crates and for local
    /// names.
    fn file_of(&self, module: &Module, path: &[String], lookups: usize) -> Option<&Module> {
        let (first, mut rest) = path.split_first()?;
        let mut place = match first.as_str() {
            "crate" | "osier" => Module::new(),
            "self" => module.clone(),
            "super" => parent(module),
            name => {
                let child = child(module, name);
                if self.code.contains_key(&child) {
                    child
                } else {
                    let import = self
                        .code
                        .get(module)?
                        .imports
                        .iter()
                        .find(|import| import.name == *name)?;
                    return self.follow(module, import, rest, lookups);
                }
            }
        };
        while let Some((name, after)) = rest.split_first() {
            let below = child(&place, name);
            if name == "super" {
                place = parent(&place);
            } else if self.code.contains_key(&below) {
                place = below;
            } else {
                let import =
                    self.code.get(&place)?.imports.iter().find(|import| import.name == *name);
                return match import {
                    Some(import) => self.follow(&place, import, after, lookups),
                    None => self.code.get_key_value(&place).map(|(module, _)| module),
                };
            }
            rest = after;
        }
        self.code.get_key_value(&place).map(|(module, _)| module)
    }

    fn follow(
        &self,
        module: &Module,
        import: &Import,
        rest: &[String],
        lookups: usize,
    ) -> Option<&Module> {
        let is_itself = import.path.first() == Some(&import.name);
        let path = [&import.path[..], rest].concat();
        if is_itself { None } else { self.file_of(module, &path, lookups.checked_sub(1)?) }
    }

    /// The groups of files that use each other in a circle, each with the ties between its files.
    ///
    /// A folder's `mod.rs` holds what its files share and the functions that they serve. What they
    /// take from it is no tie, but what its other files take from one another, from folders beside
    /// it and from those below is.
    pub fn circles(&self) -> Vec<Circle<'_>> {
        let mut uses = self.uses();
        for (from, used) in &mut uses {
            used.retain(|to, _| !from.starts_with(to));
        }
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            uses.keys().map(|module| (*module, reached_from(module, &uses))).collect();
        let mut circles = Vec::new();
        let mut seen: BTreeSet<&Module> = BTreeSet::new();
        for (module, reach) in &reached {
            if !reach.contains(module) || seen.contains(module) {
                continue;
            }
            let files: BTreeSet<&Module> =
                reach.iter().filter(|other| reached[*other].contains(module)).copied().collect();
            seen.extend(&files);
            let ties = files.iter().flat_map(|from| {
                let inside = uses[from].iter().filter(|(to, _)| files.contains(*to));
                inside.map(|(to, names)| (*from, *to, names.clone()))
            });
            circles.push(Circle { ties: ties.collect() });
        }
        circles
    }
}

/// Files that use each other: which uses which, and the names that it takes.
#[derive(Debug)]
pub struct Circle<'a> {
    pub ties: Vec<(&'a Module, &'a Module, BTreeSet<String>)>,
}

fn reached_from<'a>(
    module: &Module,
    uses: &BTreeMap<&'a Module, BTreeMap<&'a Module, BTreeSet<String>>>,
) -> BTreeSet<&'a Module> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&Module> = uses[module].keys().copied().collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(uses[module].keys());
        }
    }
    reached
}

/// Whether the file has the name of what it hands on in its own code, too.
fn is_worked_with(code: &Code, import: &Import) -> bool {
    code.names.contains(&import.name) || code.paths.iter().any(|path| path[0] == import.name)
}

fn parent(module: &Module) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

fn child(module: &Module, name: &str) -> Module {
    [&module[..], &[name.to_owned()]].concat()
}

fn module_of(path: &Path) -> Module {
    let path = path.with_extension("");
    let mut module: Module = path.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|name| name == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> Files {
        Files::parse(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())))
    }

    fn uses(all: &[(&str, &str)]) -> Vec<String> {
        let files = files(all);
        let uses = files.uses();
        let show = |(from, used): (&&Module, &BTreeMap<&Module, BTreeSet<String>>)| {
            let from = files.path(from).display().to_string();
            used.keys()
                .map(|to| format!("{from} -> {}", files.path(to).display()))
                .collect::<Vec<_>>()
        };
        uses.iter().flat_map(show).collect()
    }

    #[test]
    fn every_way_to_name_another_file_is_seen() {
        for code in [
            "use crate::a::b::Item;",
            "use crate::{a::{b::{self}}};",
            "use super::super::a::b;",
            "use crate::a; fn f() { a::b::item() }",
            "fn f() -> crate::a::b::Item {}",
            "fn f(item: super::super::a::b::Item) {}",
            "use crate::a::Handed;",
            "use crate::Top;",
        ] {
            let all = [
                ("lib.rs", "pub mod a; pub mod c; pub use a::Handed as Top;"),
                ("a/mod.rs", "pub mod b; pub use b::Handed;"),
                ("a/b.rs", ""),
                ("c/mod.rs", "mod d;"),
                ("c/d.rs", code),
            ];
            assert!(
                uses(&all).contains(&"c/d.rs -> a/b.rs".to_owned()),
                "{code}: {:?}",
                uses(&all)
            );
        }
    }

    #[test]
    fn declarations_and_items_that_are_handed_on_are_no_use() {
        let all = |code| {
            [
                ("lib.rs", "pub mod a;"),
                ("a/mod.rs", code),
                ("a/b.rs", "use super::Item; use std::b::Other;"),
            ]
        };
        assert_eq!(uses(&all("mod b; pub struct Item; pub use b::Thing;")), ["a/b.rs -> a/mod.rs"]);
        let worked_with = "mod b; pub struct Item(Thing); pub use b::Thing;";
        assert_eq!(uses(&all(worked_with)), ["a/mod.rs -> a/b.rs", "a/b.rs -> a/mod.rs"]);
        assert_eq!(uses(&all("mod b; pub struct Item; fn f() { b::run() }")).len(), 2);
        assert_eq!(
            uses(&all("mod b; pub struct Item; #[cfg(test)]\nmod tests { use super::b; }")).len(),
            1
        );
    }

    #[test]
    fn a_circle_is_found_over_any_number_of_files() {
        let all = [
            ("lib.rs", "pub mod a; pub mod b; pub mod c; pub mod d;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::c::C; use crate::d::D;"),
            ("c.rs", "fn f() { crate::a::run() }"),
            ("d.rs", ""),
        ];
        let files = files(&all);
        let circles = files.circles();
        assert_eq!(circles.len(), 1);
        let ties: Vec<_> = circles[0]
            .ties
            .iter()
            .map(|(from, to, _)| (from[0].as_str(), to[0].as_str()))
            .collect();
        assert_eq!(ties, [("a", "b"), ("b", "c"), ("c", "a")]);
    }
}
