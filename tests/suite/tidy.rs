//! Rules of the house that the compiler does not check.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which way dependencies point: a module uses only what stands in a row above its own. `cli` is not here, it belongs
/// to the program and so cannot be named by the library.
const LAYERS: [&[&str]; 12] = [
    // `gvariant` holds the error that every decoder returns.
    &["checksum", "gvariant"],
    // `dir` returns the bare answers of the kernel.
    &["keyfile", "refspec", "date", "deflate", "map", "units", "dir", "input"],
    &["object"],
    &["error", "progress", "http"],
    // `threads` returns the error; `trial` is what `compare` and `bench` share.
    &["threads", "trial"],
    &["repo"],
    &["source", "labels", "composefs"],
    &["summary", "remote"],
    &["commit", "checkout", "diff", "export", "fsck", "prune"],
    &["pull"],
    &["compare", "bench", "compose"],
    &["lib", "main", "cli"],
];

/// What `lib.rs` re-exports, and where it stands.
const REEXPORTS: [(&str, &str); 3] = [("Checksum", "checksum"), ("Error", "error"), ("Result", "error")];

/// A file is split long before this; its tests are not counted.
const LONGEST_FILE: usize = 800;

/// Golden folders that no test reads yet, and what they wait for.
const GOLDEN_FOR_LATER: [(&str, &str); 2] = [("deltas", "the codec"), ("keys", "signatures")];

#[test]
fn modules_use_only_what_stands_left_of_them() {
    let layer: BTreeMap<&str, usize> =
        LAYERS.iter().enumerate().flat_map(|(row, names)| names.iter().map(move |name| (*name, row))).collect();
    let mut wrong = Vec::new();
    for file in rust_files("src") {
        let path = module_path(&file);
        let module = path.first().map_or("lib", String::as_str);
        let own = *layer.get(module).unwrap_or_else(|| panic!("{module} has no place in the layers of tidy.rs"));
        if matches!(module, "lib" | "main" | "cli") {
            continue;
        }
        for used in used_modules(&shipped_code(&file), path.len()) {
            let target = REEXPORTS.iter().find(|(name, _)| *name == used).map_or(used.as_str(), |(_, module)| module);
            if target != module && layer.get(target).is_none_or(|row| *row >= own) {
                wrong.push(format!("{}: {module} uses {used}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the arrows:\n{}", wrong.join("\n"));
}

/// A path would be used where the program is hidden from PATH, and miss it where it lies elsewhere.
#[test]
fn tests_name_other_programs_without_a_path() {
    let is_wrong = |line: &str| {
        let starts = ["Command::new(\"", "Program::other(\"", "exec ", "#!"];
        let paths = ["/usr/bin/", "/usr/sbin/", "/usr/local/bin/"].into_iter();
        let mut wrong = paths.flat_map(|path| starts.map(|start| format!("{start}{path}")));
        wrong.any(|wrong| line.contains(&wrong)) && !line.contains("#!/usr/bin/env ")
    };
    assert!(is_wrong(&["Command::new(", "\"/usr/bin/tool\")"].concat()));
    let mut wrong = Vec::new();
    for file in all_files(&root().join("tests/suite")) {
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        wrong.extend(text.lines().filter(|line| is_wrong(line)).map(|line| format!("{}: {line}", file.display())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_layering_check_sees_every_way_to_name_a_module() {
    let seen = |code: &str, depth| used_modules(code, depth);
    assert_eq!(seen("use crate::repo::Repo;", 1), ["repo"]);
    assert_eq!(seen("use crate::{checksum::Checksum, repo::{Repo, refs}, source};", 1), ["checksum", "repo", "source"]);
    assert_eq!(seen("fn f() -> crate::Result<()> { super::fsck::run() }", 1), ["Result", "fsck"]);
    assert_eq!(seen("use super::walk::Entry; use super::super::commit;", 2), ["commit"]);
    assert_eq!(seen("use super::super::walk;", 3), [""; 0]);
}

#[test]
fn no_file_is_too_long() {
    let files = ["src", "tests/suite", "benches", "examples", "fuzz"].into_iter().flat_map(rust_files);
    let long: Vec<_> = files
        .map(|file| (shipped_code(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines, split them:\n{}", long.join("\n"));
}

#[test]
fn every_test_module_is_listed() {
    let main = fs::read_to_string(root().join("tests/suite/main.rs")).unwrap();
    let mut missing = Vec::new();
    for entry in fs::read_dir(root().join("tests/suite")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "main" && !main.lines().any(|line| line == format!("mod {name};")) {
            missing.push(name);
        }
    }
    assert!(missing.is_empty(), "not in tests/suite/main.rs: {missing:?}");
}

#[test]
fn every_golden_folder_is_used() {
    let files = ["src", "tests/suite", "benches", "fuzz"].into_iter().flat_map(rust_files);
    let tests: Vec<String> = files.filter(|file| !file.ends_with("tidy.rs")).map(|file| read(&file)).collect();
    let mut unused = Vec::new();
    for entry in fs::read_dir(root().join("tests/golden")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let mentions = |line: &str| line.contains("golden") && line.contains(&name);
        let used = tests.iter().any(|test| test.lines().any(mentions));
        let later = GOLDEN_FOR_LATER.iter().any(|(folder, _)| *folder == name);
        if entry.path().is_dir() && !used && !later {
            unused.push(name);
        }
    }
    assert!(unused.is_empty(), "no test reads {unused:?} of tests/golden");
}

#[test]
fn nothing_refers_to_the_machine_it_was_written_on() {
    // Taken apart, so that this file does not hold them.
    let machine = [concat!("/wo", "rk/"), concat!("../sha", "red"), concat!("/tmp/", "wt/"), concat!("/tmp/", "team")];
    let mut found = Vec::new();
    for file in all_files(&root()) {
        let bytes = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let inside = |text: &str, needle: &str| {
            text.match_indices(needle).any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric()))
        };
        found.extend(
            machine.iter().filter(|needle| inside(&text, needle)).map(|needle| format!("{}: {needle}", file.display())),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The code of a file up to its tests.
fn shipped_code(file: &Path) -> String {
    let text = read(file);
    match text.find("#[cfg(test)]\nmod ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let folder = root().join(folder);
    if !folder.exists() {
        return Vec::new();
    }
    all_files(&folder).into_iter().filter(|file| file.extension().is_some_and(|ending| ending == "rs")).collect()
}

/// Every file that is, or may be, in the repository: what git ignores is left out.
fn all_files(folder: &Path) -> Vec<PathBuf> {
    let ignored = [".git", "target", "artifacts", "corpus", "proptest-regressions"];
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if ignored.iter().any(|name| entry.file_name() == *name) {
            continue;
        }
        if kind.is_dir() {
            files.extend(all_files(&entry.path()));
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    files
}

/// `src/repo/refs.rs` is `["repo", "refs"]`, `src/repo/mod.rs` is `["repo"]`, `src/lib.rs` is `["lib"]`.
fn module_path(file: &Path) -> Vec<String> {
    let relative = file.strip_prefix(root().join("src")).unwrap().with_extension("");
    let mut path: Vec<String> = relative.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if path.last().is_some_and(|name| name == "mod") {
        path.pop();
    }
    path
}

/// The modules (or re-exported items) of the crate that the code of a module at that depth names.
fn used_modules(code: &str, depth: usize) -> Vec<String> {
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let from_below = "super::".repeat(depth);
    let mut used = Vec::new();
    for (at, rest) in code
        .match_indices("crate::")
        .map(|(at, found)| (at, &code[at + found.len()..]))
        .chain(code.match_indices(&from_below).map(|(at, found)| (at, &code[at + found.len()..])))
    {
        // `super::super::` also holds the shorter path of a module that lies less deep.
        let longer = code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_' || before == ':');
        if longer {
            continue;
        }
        match rest.strip_prefix('{') {
            Some(group) => used.extend(group_items(group)),
            None => used.push(identifier(rest)),
        }
    }
    used
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// The first names of what stands between the braces of a grouped import.
fn group_items(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut items = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => items.push(String::new()),
            _ => items.last_mut().unwrap().push(c),
        }
    }
    items.iter().map(|item| identifier(item.trim())).filter(|name| !name.is_empty()).collect()
}
