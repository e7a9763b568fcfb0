//! Rules of the house that the compiler does not check.

use std::fs;
use std::path::{Path, PathBuf};

mod code;
mod files;

use files::Files;

/// A file is split long before this; its tests are not counted.
const LONGEST_FILE: usize = 800;

/// The longest line in characters, as in `rustfmt.toml`.
const LONGEST_LINE: usize = 100;

/// Golden folders that no test reads yet, and what they wait for.
const GOLDEN_FOR_LATER: [(&str, &str); 1] = [("keys", "signatures")];

/// The layers are those of the table in `lib.rs`: a module uses what stands in a row above its own,
/// and of its own row only itself.
#[test]
fn modules_use_only_what_stands_above_them() {
    let layers = layers(&read(&root().join("src/lib.rs")));
    assert_eq!(
        layers.last().map(|row| &row[..]),
        Some(&["cli".to_owned()][..]),
        "the last row is the command line"
    );
    let row_of = |module: &str| {
        let found = layers.iter().position(|row| row.iter().any(|name| name == module));
        found.unwrap_or_else(|| panic!("{module} has no place in the table of lib.rs"))
    };
    let files = Files::parse(source_files());
    let mut wrong = Vec::new();
    for (file, used) in files.uses() {
        let Some(module) = file.first() else { continue };
        let row = row_of(module);
        for (target, names) in used {
            // What stands in `lib.rs` itself nothing may use, but for what it hands on.
            let allowed =
                target.first().is_some_and(|target| target == module || row_of(target) < row);
            if !allowed {
                let (file, target) = (files.path(file).display(), files.path(target).display());
                wrong.push(format!("{file} uses {target}: {names:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "against the arrows:\n{}", wrong.join("\n"));
}

#[test]
fn every_module_has_its_place_in_the_table_of_layers() {
    let layers = layers(&read(&root().join("src/lib.rs")));
    let files = Files::parse(source_files());
    let mut modules: Vec<&str> =
        files.uses().keys().filter_map(|file| file.first().map(String::as_str)).collect();
    modules.dedup();
    let mut listed: Vec<&str> = layers.iter().flatten().map(String::as_str).collect();
    listed.sort_unstable();
    assert_eq!(listed, modules);
}

#[test]
fn the_table_of_layers_is_read_as_it_is_written() {
    let text = "//! | what | modules |\n//! | --- | --- |\n//! | bytes | [`one`], `two` |\n//! | \
        more | [`mod@three`] |\n";
    assert_eq!(layers(text), [vec!["one".to_owned(), "two".to_owned()], vec!["three".to_owned()]]);
}

#[test]
fn no_files_form_a_circle() {
    let files = Files::parse(source_files());
    let mut found = String::new();
    for circle in files.circles() {
        found += "\n";
        for (from, to, names) in &circle.ties {
            let (from, to) = (files.path(from).display(), files.path(to).display());
            found += &format!(
                "{from} uses {to}: {}\n",
                Vec::from_iter(names.iter().cloned()).join(", ")
            );
        }
    }
    assert!(found.is_empty(), "files that use each other:\n{found}");
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
        wrong.extend(
            text.lines()
                .filter(|line| is_wrong(line))
                .map(|line| format!("{}: {line}", file.display())),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_file_is_too_long() {
    let files =
        ["src", "tests/suite", "benches", "examples", "fuzz"].into_iter().flat_map(rust_files);
    let long: Vec<_> = files
        .map(|file| (shipped_code(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LONGEST_FILE)
        .map(|(lines, file)| format!("{}: {lines} lines", file.display()))
        .collect();
    assert!(long.is_empty(), "longer than {LONGEST_FILE} lines, split them:\n{}", long.join("\n"));
}

/// rustfmt leaves lines that it cannot break. A long one must be a table or a block of text in a
/// comment, or hold a string literal, a URL or a kickstart command, which are not broken.
#[test]
fn no_line_is_too_long() {
    let mut long = Vec::new();
    for file in ["src", "tests/suite", "benches", "examples"].into_iter().flat_map(rust_files) {
        let mut is_block = false;
        for (index, line) in read(&file).lines().enumerate() {
            let comment = line.trim_start().strip_prefix("//");
            let comment = comment.map(|text| text.trim_start_matches(['/', '!']).trim_start());
            is_block ^= comment.is_some_and(|text| text.starts_with("```"));
            let is_exempt = match comment {
                Some(text) => is_block || text.starts_with('|'),
                None => line.contains('"') || line.contains("://"),
            };
            if line.chars().count() > LONGEST_LINE && !is_exempt {
                long.push(format!("{}:{}: {line}", file.display(), index + 1));
            }
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST_LINE} characters:\n{}", long.join("\n"));
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
    let tests: Vec<String> =
        files.filter(|file| !file.ends_with("tidy.rs")).map(|file| read(&file)).collect();
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
    let machine = [
        concat!("/wo", "rk/"),
        concat!("../sha", "red"),
        concat!("/tmp/", "wt/"),
        concat!("/tmp/", "team"),
    ];
    let mut found = Vec::new();
    for file in all_files(&root()) {
        let bytes = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let inside = |text: &str, needle: &str| {
            text.match_indices(needle)
                .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric()))
        };
        found.extend(
            machine
                .iter()
                .filter(|needle| inside(&text, needle))
                .map(|needle| format!("{}: {needle}", file.display())),
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

/// The files of `src`, by their paths there.
fn source_files() -> Vec<(PathBuf, String)> {
    let inside = |file: &Path| file.strip_prefix(root().join("src")).unwrap().to_owned();
    rust_files("src").iter().map(|file| (inside(file), read(file))).collect()
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
    all_files(&folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|ending| ending == "rs"))
        .collect()
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

/// The rows of the table in the documentation of `lib.rs`, with the modules in the second column of
/// each.
fn layers(text: &str) -> Vec<Vec<String>> {
    // The table of features comes later.
    let table = text.split("# Features").next().unwrap();
    let rows = table
        .lines()
        .filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix(" |")?.split_once(" | "));
    let modules = rows.map(|(_, modules)| modules.split('`').skip(1).step_by(2));
    let rows =
        modules.map(|names| names.map(|name| name.trim_start_matches("mod@").to_owned()).collect());
    rows.filter(|row: &Vec<String>| !row.is_empty()).collect()
}
