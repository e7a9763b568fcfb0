//! Replays every seed and past finding of the fuzz targets, without cargo-fuzz.

use std::fs;
use std::path::{Path, PathBuf};

use osier::commit::StatCacheRecords;
use osier::gvariant::{Type, Variant};
use osier::source::archive::Archive;

#[path = "../../fuzz/mutate/mod.rs"]
mod mutate;
#[path = "../../fuzz/targets/mod.rs"]
mod targets;

use crate::support::{program, skip};
use mutate::{Mutator, Random};

/// What keeps the seeds of a target small enough to be replayed at every run.
const MOST_SEEDS: usize = 100;
const LARGEST_SEED: usize = 4096;

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("the corpus of {target}: {error}"));
    let paths = entries.map(|entry| entry.unwrap().path()).filter(|path| !is_added_by_a_run(path));
    paths.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Whether cargo-fuzz has given the file its name, a SHA-1; git ignores it.
fn is_added_by_a_run(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap();
    name.len() == 40 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[test]
fn git_ignores_what_a_fuzzing_run_adds_to_the_corpus_and_nothing_else() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if !root.join(".git").exists() {
        return skip("no git repository to ask");
    }
    let Some(git) = program("git") else { return };
    let git = git.in_directory(root);
    for (name, ignored) in [
        ("356a192b7913b04c54574d18c28d46e6395428ab", true),
        ("seed-01", false),
        ("a-finding", false),
    ] {
        let path = format!("fuzz/corpus/summary/{name}");
        let output = git.run(["-c", "safe.directory=*", "check-ignore", "--no-index", "-q", &path]);
        assert_eq!(output.status, i32::from(!ignored), "{output:?}");
        assert_eq!(is_added_by_a_run(Path::new(&path)), ignored, "{name}");
    }
    let kept = git.run(["-c", "safe.directory=*", "ls-files", "fuzz/corpus"]).success();
    let ignored: Vec<&str> =
        kept.lines().filter(|path| is_added_by_a_run(Path::new(path))).collect();
    assert!(ignored.is_empty(), "never replayed: {ignored:?}");
}

#[test]
fn every_file_of_the_corpus_passes_its_target() {
    for (name, run) in targets::TARGETS {
        let files = corpus(name);
        assert!(
            (1..=MOST_SEEDS).contains(&files.len()),
            "the corpus of {name} has {} files",
            files.len()
        );
        for (path, bytes) in files {
            assert!(bytes.len() <= LARGEST_SEED, "{} is large", path.display());
            if std::panic::catch_unwind(|| run(&bytes)).is_err() {
                panic!("{} does not pass", path.display());
            }
        }
    }
}

#[test]
fn every_target_has_its_program_and_its_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let listed: Vec<String> = targets::TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for folder in ["fuzz_targets", "corpus"] {
        let names = fs::read_dir(fuzz.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        let mut expected = listed.clone();
        expected.sort();
        assert_eq!(names, expected, "{folder}");
    }
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for name in &listed {
        assert!(manifest.contains(&format!("name = \"{name}\"\n")), "{name} is not built");
    }
}

/// Whether bytes are what a target takes apart, and not refused at once.
type WellFormed = fn(&[u8]) -> bool;

#[test]
fn most_of_what_the_mutators_make_is_well_formed_and_new() {
    fn normal(ty: &str, bytes: &[u8]) -> bool {
        Variant::decode(Type::parse(ty).unwrap(), bytes).is_ok()
    }
    let typed: WellFormed =
        |bytes| targets::typed(bytes).is_some_and(|(ty, value)| Variant::decode(ty, value).is_ok());
    let mutators: [(&str, Mutator, WellFormed); 15] = [
        ("archive", mutate::archive, is_archive),
        ("bspatch", mutate::bspatch, is_patch),
        ("commit", mutate::commit, |bytes| normal(osier::object::COMMIT_TYPE, bytes)),
        ("delta_part", mutate::delta_part, is_part),
        ("delta_superblock", mutate::delta_superblock, |bytes| {
            normal(osier::delta_format::SUPERBLOCK_TYPE, bytes)
        }),
        ("detached", mutate::detached, |bytes| normal("a{sv}", bytes)),
        ("dirmeta", mutate::dirmeta, |bytes| normal(osier::object::DIRMETA_TYPE, bytes)),
        ("dirtree", mutate::dirtree, |bytes| normal(osier::object::DIRTREE_TYPE, bytes)),
        ("filez", mutate::filez, is_filez),
        ("gvariant", mutate::typed_value, typed),
        ("gvariant_oracle", mutate::typed_value, typed),
        ("pax", mutate::pax, |bytes| bytes.first().is_some_and(u8::is_ascii_digit)),
        ("stat_cache", mutate::stat_cache, |bytes| {
            StatCacheRecords::decode(bytes.to_vec()).is_ok()
        }),
        ("summary", mutate::summary, |bytes| normal(osier::object::SUMMARY_TYPE, bytes)),
        ("xz", mutate::xz, is_xz),
    ];
    for (name, mutator, is_well_formed) in mutators {
        let (_, run) = targets::TARGETS.into_iter().find(|(target, _)| *target == name).unwrap();
        let (mut all, mut changed, mut well_formed) = (0, 0, 0);
        for (path, bytes) in corpus(name).into_iter().filter(|(_, bytes)| is_well_formed(bytes)) {
            for seed in 0..6 {
                // In place of libFuzzer's mutations: another byte somewhere.
                let mut at = Random::new(seed ^ 0xffff);
                let mut plain = |bytes: &mut Vec<u8>, _: usize| {
                    let at = at.below(bytes.len());
                    if let Some(byte) = bytes.get_mut(at) {
                        *byte = byte.wrapping_add(1);
                    }
                };
                let most = 2 * LARGEST_SEED;
                let mutated = mutator(&bytes, most, &mut Random::new(seed), &mut plain);
                assert!(mutated.len() <= most);
                if std::panic::catch_unwind(|| run(&mutated)).is_err() {
                    panic!("{} with seed {seed} does not pass", path.display());
                }
                all += 1;
                changed += usize::from(mutated != bytes);
                well_formed += usize::from(is_well_formed(&mutated));
            }
        }
        assert!(
            all > 0 && changed * 2 > all && well_formed * 2 > all,
            "{name}: {changed}, {well_formed} of {all}"
        );
    }
}

/// Numbers and lengths of keys may be anything, and the arithmetic behind must not mind.
#[test]
fn keys_and_signatures_with_changed_bytes_pass_their_target() {
    changed_bytes_pass("openpgp");
}

/// So may offsets and lengths of deltas, and what the operations are.
#[test]
fn deltas_with_changed_bytes_pass_their_targets() {
    ["bspatch", "delta_index", "delta_part", "delta_superblock", "xz"]
        .into_iter()
        .for_each(changed_bytes_pass);
}

fn changed_bytes_pass(target: &str) {
    let (_, run) = targets::TARGETS.into_iter().find(|(name, _)| *name == target).unwrap();
    for (path, bytes) in corpus(target).into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
        let mut random = Random::new(bytes.len() as u32);
        for round in 0..40 {
            let mut changed = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = random.below(changed.len());
                match random.below(4) {
                    0 => changed[at] ^= 1 << random.below(8),
                    1 => changed[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
                    2 => changed.truncate(at + 1),
                    _ => changed.insert(at, random.below(256) as u8),
                }
            }
            if std::panic::catch_unwind(|| run(&changed)).is_err() {
                panic!("{} does not pass in round {round}: {changed:02x?}", path.display());
            }
        }
    }
}

fn is_filez(bytes: &[u8]) -> bool {
    use osier::object::FileHeader;
    let Some((prefix, rest)) = bytes.split_first_chunk() else { return false };
    let length = FileHeader::decode_prefix(*prefix, bytes.len() as u64);
    let header = length.ok().and_then(|length| rest.get(..length));
    header.is_some_and(|header| {
        Variant::decode(Type::parse("(tuuuusa(ayay))").unwrap(), header).is_ok()
    })
}

fn is_archive(bytes: &[u8]) -> bool {
    let archive = Archive::open(Box::new(std::io::Cursor::new(bytes.to_vec())));
    archive.and_then(|mut archive| archive.next_entry()).is_ok_and(|entry| entry.is_some())
}

/// Whether it is a payload in normal form behind the objects, and not compressed.
fn is_part(bytes: &[u8]) -> bool {
    let Some((count, rest)) = bytes.split_first() else { return false };
    rest.get(33 * usize::from(*count)..).is_some_and(|part| {
        let payload = part.strip_prefix(&[0]);
        payload.is_some_and(|payload| {
            Variant::decode(Type::parse("(a(uuu)aa(ayay)ayay)").unwrap(), payload).is_ok()
        })
    })
}

/// Whether the first record is one: its bytes are there.
fn is_patch(bytes: &[u8]) -> bool {
    let Some(patch) = bytes.get(8..) else { return false };
    osier::delta_format::Patch::new(patch, u64::MAX).next().is_some_and(|record| record.is_ok())
}

/// Whether the header of the first block is intact.
fn is_xz(bytes: &[u8]) -> bool {
    use std::io::Read;
    let read = lzma_rust2::XzReader::new_mem_limit(bytes, false, 100 << 10).read(&mut [0]);
    !read.is_err_and(|error| {
        error.to_string().contains("header") || error.to_string().contains("magic")
    })
}
