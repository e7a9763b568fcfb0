//! Archives to the last byte: what osier compresses in zlib's encoding is what `ostree` compresses.

use std::fs;
use std::path::Path;

use crate::support::{differences, raw_snapshot, skip};
use crate::trees::{for_trees, trees};

use super::able;
use super::pair::Pair;

const COMMIT: &str = "commit -b main --timestamp=@1700000000 --tree=dir=../tree";

#[test]
fn generated_trees_become_the_same_archive_to_the_last_byte() {
    if !able() {
        return;
    }
    for_trees(12, trees(), |tree| {
        let Some(pair) = Pair::new() else { return };
        tree.build(&pair.path("tree"));
        pair.both(&["init", "--mode=archive"]);
        pair.line(&format!("OSIER_DEFLATE=zlib {COMMIT}"));
        assert_same_bytes(&pair);
    });
}

#[test]
fn generated_trees_with_sizes_become_the_same_commits() {
    if !able() {
        return;
    }
    for_trees(12, trees(), |tree| {
        let Some(pair) = Pair::new() else { return };
        tree.build(&pair.path("tree"));
        pair.both(&["init", "--mode=archive"]);
        pair.line(&format!("{COMMIT} --generate-sizes"));
        pair.line("show --print-sizes main");
        // The second time nothing is compressed, the sizes are those of what is there.
        pair.line(&format!("{COMMIT} --generate-sizes"));
        assert_same_bytes(&pair);
    });
}

#[test]
fn programs_and_texts_become_the_same_archive_at_every_level_of_the_config() {
    if !able() {
        return;
    }
    let Some(pair) = Pair::new() else { return };
    real_tree(&pair.path("tree"));
    pair.both(&["init", "--mode=archive"]);
    // `ostree` takes no notice of a key that it does not know.
    pair.line("config set archive.deflate zlib");
    // The last is out of bounds, and taken for the nearest.
    for level in ["", "1", "4", "9", "12"] {
        pair.line("sh: rm -rf repo/objects/* repo/refs/heads/*");
        if !level.is_empty() {
            pair.line(&format!("config set archive.zlib-level {level}"));
        }
        pair.line(COMMIT);
        assert_same_bytes(&pair);
    }
}

#[test]
fn the_environment_decides_before_the_config() {
    let Some(pair) = Pair::new() else { return };
    fs::create_dir(pair.path("tree")).unwrap();
    fs::write(
        pair.path("tree/text"),
        fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.lock")).unwrap(),
    )
    .unwrap();
    pair.both(&["init", "--mode=archive"]);
    pair.line("config set archive.deflate zlib");
    pair.line(&format!("OSIER_DEFLATE=fast {COMMIT}"));
    let found = compare(&pair);
    assert!(found.len() == 1 && found[0].contains(".filez: content differs"), "{found:?}");
    pair.line("config set archive.deflate fast");
    pair.line("sh: rm -rf repo/objects/* repo/refs/heads/*");
    pair.line(&format!("OSIER_DEFLATE=zlib {COMMIT}"));
    assert_same_bytes(&pair);
}

#[track_caller]
fn assert_same_bytes(pair: &Pair) {
    let found = compare(pair);
    assert!(found.is_empty(), "not the same bytes:\n{}", found.join("\n"));
}

fn compare(pair: &Pair) -> Vec<String> {
    differences(&raw_snapshot(&pair.path("theirs/repo")), &raw_snapshot(&pair.path("ours/repo")))
}

/// Some of the machine's programs, also such as are too large to be held in memory, texts and
/// compressed files.
fn real_tree(tree: &Path) {
    const ENOUGH: u64 = 9 << 20;
    fs::create_dir(tree).unwrap();
    let mut total = 0;
    for directory in
        ["/usr/share/doc/ostree", "/usr/share/man/man1", "/usr/bin", "/usr/lib/x86_64-linux-gnu"]
    {
        let copy = tree.join(directory.replace('/', "_"));
        fs::create_dir(&copy).unwrap();
        let Ok(entries) = fs::read_dir(directory) else { continue };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap()).collect();
        files.sort_by_key(|file| file.file_name());
        let mut held = 0;
        for file in files.iter().step_by(7) {
            let size = fs::metadata(file.path()).map_or(0, |metadata| metadata.len());
            if file.file_type().unwrap().is_file() && size > 0 && held + size < ENOUGH / 3 {
                fs::copy(file.path(), copy.join(file.file_name())).unwrap();
                held += size;
            }
        }
        total += held;
    }
    if total < 2 << 20 {
        skip("the machine has too few files to compress");
    }
}
