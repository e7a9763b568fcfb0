//! Making static deltas: the same choices as the real program, whose deltas have the same payloads.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use osier::delta::{self, ApplyOptions, GenerateOptions, Target};
use osier::delta_format::{Compression, Signed, Superblock};
use osier::object::ObjectName;
use osier::progress::{Event, Progress};
use osier::repo::Repo;

use crate::support::{
    Program, extract_repo, golden, golden_commit, needs_user_xattrs, osier, osier_path, ostree,
    program, scratch,
};

/// The time of the golden deltas.
const GOLDEN_TIME: &str = "1704164645";

/// A delta without what depends on compression and on the time.
#[derive(Debug, PartialEq, Eq)]
pub struct Shape {
    name: String,
    metadata: Vec<(String, Vec<u8>)>,
    commit: Vec<u8>,
    endianness: String,
    parts: Vec<(u64, Vec<ObjectName>, Vec<u8>)>,
    fallbacks: Vec<(ObjectName, u64, u64)>,
}

/// Reads a delta from the directory of its superblock. Also returns its size in bytes.
pub fn shape(directory: &Path) -> (Shape, u64) {
    let file = fs::read(directory.join("superblock")).unwrap();
    let signed = Signed::decode(&file).unwrap();
    let bytes = signed.as_ref().map_or(&file[..], |signed| signed.superblock);
    let superblock = Superblock::decode(bytes).unwrap();
    let mut size = file.len() as u64;
    let mut parts = Vec::new();
    for (number, header) in superblock.parts.iter().enumerate() {
        let part = match superblock.inlined_part(number) {
            Some(part) => part.to_vec(),
            None => fs::read(directory.join(number.to_string())).unwrap(),
        };
        assert_eq!(part.len() as u64, header.size);
        assert_eq!(osier::Checksum::of(&part), header.checksum);
        assert_eq!(part[0], Compression::Xz.byte());
        let mut payload = Vec::new();
        lzma_rust2::XzReader::new(&part[1..], false).read_to_end(&mut payload).unwrap();
        parts.push((header.content_size, header.objects.iter().collect(), payload));
        size += if superblock.inlined_part(number).is_some() { 0 } else { header.size };
    }
    let metadata = superblock.metadata.iter().map(|(key, value)| {
        let is_part = value.ty().as_str() == "(yay)";
        let bytes = if is_part { Vec::new() } else { value.bytes().to_vec() };
        ((*key).to_owned(), bytes)
    });
    let fallbacks = superblock.fallbacks.iter();
    let shape = Shape {
        name: superblock.name().to_string(),
        metadata: metadata.collect(),
        commit: superblock.commit.to_vec(),
        endianness: superblock.endianness.to_string(),
        parts,
        fallbacks: fallbacks
            .map(|fallback| (fallback.name, fallback.size, fallback.content_size))
            .collect(),
    };
    (shape, size)
}

/// Makes a delta outside of the repository; returns its directory and what was printed to standard
/// error, without the sizes of compressed data.
fn generate(program: &Program, repo: &Path, to: &Path, arguments: &[&str]) -> String {
    fs::create_dir(to).unwrap();
    let filename = format!("--filename={}", to.join("superblock").display());
    let arguments = [&["static-delta", "generate", &filename], arguments].concat();
    let output = program.clone().with("SOURCE_DATE_EPOCH", GOLDEN_TIME).repo(repo, arguments);
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    output.success();
    without_sizes(&stderr)
}

fn without_sizes(text: &str) -> String {
    let masked = |word: &str| match word.split_once("compressed") {
        Some(("", size)) => format!("compressed{}", &size[..1]),
        _ => word.to_owned(),
    };
    text.lines()
        .map(|line| line.split(' ').map(masked).collect::<Vec<_>>().join(" ") + "\n")
        .collect()
}

#[test]
fn golden_deltas_are_made_again() {
    let directory = scratch();
    let Some(repo) = extract_repo("archive", directory.path()) else { return };
    let [c1, c2, c3] = ["c1", "c2", "c3"].map(golden_commit);
    let (from_c1, from_c2) = (format!("--from={c1}"), format!("--from={c2}"));
    let secret = fs::read_to_string(golden("keys/test.ed25519.sec")).unwrap();
    let sign = format!("--sign={}", secret.lines().next().unwrap());
    let cases: [(&str, &[&str]); 6] = [
        ("scratch-inline", &["--empty", "--inline", &c1]),
        ("bigendian", &["--set-endianness=B", &from_c1, &c2]),
        ("nobsdiff-inline", &["--disable-bsdiff", "--inline", &from_c1, &c2]),
        ("fallback", &["--min-fallback-size=1", &from_c2, &c3]),
        ("chunked", &["--max-chunk-size=1", "--min-fallback-size=0", "--empty", &c3]),
        ("signed-inline", &["--inline", &sign, &from_c1, &c2]),
    ];
    let (mut ours, mut theirs) = (0, 0);
    for (name, arguments) in cases {
        let made = directory.path().join(name);
        generate(&osier(), &repo, &made, arguments);
        let (made, made_size) = shape(&made);
        let (expected, expected_size) = shape(&golden("deltas").join(name));
        assert!(made == expected, "{name}: {made:?} {expected:?}");
        (ours, theirs) = (ours + made_size, theirs + expected_size);
    }
    // These are small and of lines that differ in a number, where the encoders differ most.
    assert!(ours * 100 <= theirs * 102, "{ours} bytes, upstream's are {theirs}");
}

/// Bytes that do not compress.
fn noise(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// A repository with two commits, `main^` and `main`, between which everything changes that makes a
/// difference to a delta.
fn changes(directory: &Path, mode: &str) -> PathBuf {
    let tree = directory.join("tree");
    let write = |name: &str, bytes: &[u8]| {
        let path = tree.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let changed = |mut bytes: Vec<u8>, places: &[usize]| {
        places.iter().for_each(|place| bytes[*place] ^= 0x55);
        bytes
    };
    let text = |count: usize| (0..count).flat_map(|line| format!("line {line}\n").into_bytes());
    for number in 0..40u32 {
        write(&format!("usr/lib/lib{number}.so.1"), &noise(number, 9000 + number as usize * 700));
        write(&format!("usr/share/{number}/doc"), format!("doc {number}").as_bytes());
    }
    write("usr/bin/rolled", &noise(100, 300_000));
    write("usr/bin/patched", &noise(101, 120_000));
    write("usr/bin/secret", &noise(102, 50_000));
    write("usr/bin/whole", &noise(103, 1_200_000));
    write("usr/share/text", &text(20_000).collect::<Vec<_>>());
    write("usr/share/packed.xz", &noise(104, 40_000));
    write("usr/share/zeros", &vec![0; 100_000]);
    write("empty", b"");
    std::os::unix::fs::symlink("usr/bin", tree.join("bin")).unwrap();
    let secret = |mode| {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(tree.join("usr/bin/secret"), fs::Permissions::from_mode(mode)).unwrap();
    };
    secret(0o640);
    let repo = directory.join("repo");
    let program = osier();
    program.repo(&repo, ["init", &format!("--mode={mode}")]).success();
    let commit = |time: &str| {
        let owner = ["--owner-uid=0", "--owner-gid=0"];
        let tree = format!("--tree=dir={}", tree.display());
        let arguments = ["commit", "-b", "main", &format!("--timestamp=@{time}"), &tree];
        program.repo(&repo, [&arguments[..], &owner].concat()).success();
    };
    commit("1000");
    for number in 0..40u32 {
        let bytes = changed(noise(number, 9000 + number as usize * 700), &[number as usize, 5000]);
        write(&format!("usr/lib/lib{number}.so.{}", 1 + number % 3), &bytes);
        if number % 4 == 0 {
            write(&format!("usr/share/{number}/doc"), format!("new {number}").as_bytes());
        }
    }
    write("usr/bin/rolled", &changed(noise(100, 300_000), &[150_000, 299_999]));
    write("usr/bin/patched", &changed(noise(101, 120_000), &[0, 60_000]));
    write("usr/bin/secret", &changed(noise(102, 50_000), &[25_000]));
    write("usr/bin/whole2", &noise(105, 1_300_000));
    write("usr/share/text", &text(20_000).skip(100).collect::<Vec<_>>());
    write("usr/share/packed.xz", &changed(noise(104, 40_000), &[20_000]));
    write("usr/share/zeros", &vec![0; 120_000]);
    std::os::unix::fs::symlink("usr/share", tree.join("share")).unwrap();
    commit("2000");
    repo
}

/// Options without those that name commits.
const OPTIONS: [&[&str]; 10] = [
    &[],
    &["--inline"],
    &["--disable-bsdiff"],
    &["--max-bsdiff-size=0"],
    &["--min-fallback-size=1"],
    &["--min-fallback-size=0"],
    &["--max-chunk-size=0"],
    &["--min-fallback-size=0", "--max-chunk-size=1"],
    &["--set-endianness=B"],
    &["--set-endianness=B", "--swap-endianness", "--max-chunk-size=2x"],
];

#[test]
fn deltas_have_the_payloads_of_the_real_programs() {
    let Some(ostree) = ostree() else { return };
    for mode in ["archive", "bare-user"] {
        if mode == "bare-user" && !needs_user_xattrs() {
            continue;
        }
        let directory = scratch();
        let repo = changes(directory.path(), mode);
        for (number, options) in OPTIONS.iter().enumerate() {
            // The mode makes a difference to fallbacks only.
            if mode == "bare-user" && options.first() != Some(&"--min-fallback-size=1") {
                continue;
            }
            for source in ["--from=main^", "--empty"] {
                // Compressing takes long here.
                if source == "--empty" && number > 0 {
                    continue;
                }
                let arguments = [options, &[source, "main"][..]].concat();
                let made = |program: &Program, who: &str| {
                    let to = directory.path().join(format!("{who}-{number}{source}"));
                    let printed = generate(program, &repo, &to, &arguments);
                    (printed, shape(&to))
                };
                let (expected_text, (expected, expected_size)) = made(&ostree, "theirs");
                let (text, (made, made_size)) = made(&osier(), "ours");
                assert_eq!(text, expected_text, "{mode} {arguments:?}");
                assert!(made == expected, "{mode} {arguments:?}");
                assert!(made_size * 100 <= expected_size * 101, "{made_size} {expected_size}");
            }
        }
    }
}

#[test]
fn the_real_program_applies_them() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    // A part for each object would also be one for the empty file, which 2022.7 cannot apply.
    let cases: [&[&str]; 3] = [&[], &["--max-chunk-size=1"], &["--inline", "--disable-bsdiff"]];
    for (number, options) in cases.iter().enumerate() {
        let applied = directory.path().join(format!("applied-{number}"));
        ostree.repo(&applied, ["init", "--mode=bare-user-only"]).success();
        let apply = |source: &str, to: &str| {
            let delta = directory.path().join(format!("{number}-{to}"));
            let arguments = [&[source, to, "--min-fallback-size=0"], *options].concat();
            generate(&osier(), &repo, &delta, &arguments);
            let delta = delta.to_str().unwrap();
            ostree.repo(&applied, ["static-delta", "apply-offline", delta]).success();
        };
        apply("--empty", "main^");
        apply("--from=main^", "main");
        let commit = osier().repo(&repo, ["rev-parse", "main"]).line();
        ostree.repo(&applied, ["refs", "--create=main", &commit]).success();
        ostree.repo(&applied, ["fsck"]).success();
    }
}

#[test]
fn the_number_of_threads_and_the_memory_make_no_difference() {
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let made = |name: &str, options: &[&str]| {
        let to = directory.path().join(name);
        let arguments = [&["--max-chunk-size=1", "--from=main^", "main"], options].concat();
        let printed = generate(&osier(), &repo, &to, &arguments);
        let mut names: Vec<_> =
            fs::read_dir(&to).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        let files: Vec<_> =
            names.into_iter().map(|name| (fs::read(to.join(&name)).unwrap(), name)).collect();
        (printed, files)
    };
    let one = made("one", &["--jobs=1"]);
    assert!(one.1.len() > 3, "several parts");
    assert!(one == made("two", &["--jobs=2"]));
    assert!(one == made("seven", &["--jobs=7", "--memory=64M"]));
    assert!(one == made("default", &[]));
}

#[test]
fn files_that_memory_does_not_suffice_for_are_sent_whole_and_said_so() {
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let to = directory.path().join("delta");
    let printed = generate(&osier(), &repo, &to, &["--memory=1M", "--from=main^", "main"]);
    let whole = printed.lines().filter(|line| line.contains("of memory")).count();
    assert!(whole > 0 && printed.contains(" is not compared with "), "{printed}");
    let default = directory.path().join("default");
    generate(&osier(), &repo, &default, &["--from=main^", "main"]);
    assert!(shape(&to).1 > shape(&default).1);
}

#[test]
fn several_sources_are_worked_on_one_after_the_other() {
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let rev = |rev: &str| osier().repo(&repo, ["rev-parse", rev]).line();
    let (parent, main) = (rev("main^"), rev("main"));
    let arguments = ["static-delta", "generate", "--from=main^", "--from=main", "main"];
    let printed = osier().repo(&repo, arguments).success();
    let block = |from: &str| format!("Generating static delta:\n  From: {from}\n  To:   {main}\n");
    assert_eq!(printed, block(&parent) + &block(&main));
    let list = osier().repo(&repo, ["static-delta", "list"]).success();
    let mut list: Vec<_> = list.lines().map(str::to_owned).collect();
    list.sort_unstable();
    let mut expected = vec![format!("{parent}-{main}"), format!("{main}-{main}")];
    expected.sort_unstable();
    assert_eq!(list, expected);
    let again = [&arguments[..], &["-n"]].concat();
    let printed = osier().repo(&repo, again).success();
    let exists = |from: &str| format!("Delta {from}-{main} already exists.\n");
    assert_eq!(printed, exists(&parent) + &exists(&main));
}

#[test]
fn parts_of_an_older_delta_go_and_files_have_fixed_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let made = |options: &[&str]| {
        let arguments = [&["static-delta", "generate", "main"], options].concat();
        osier().repo(&repo, arguments).success();
        let deltas = fs::read_dir(repo.join("deltas")).unwrap();
        let prefix = deltas.map(|entry| entry.unwrap().path()).next().unwrap();
        let delta = fs::read_dir(prefix).unwrap().next().unwrap().unwrap().path();
        let mut names = Vec::new();
        for entry in fs::read_dir(delta).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
            names.push(entry.file_name().into_string().unwrap());
        }
        names.sort_unstable();
        names
    };
    assert!(made(&["--max-chunk-size=0"]).len() > 40);
    assert_eq!(made(&[]), ["0", "superblock"]);
    assert!(!repo.join("delta-indexes").exists());
}

#[test]
fn errors_are_those_of_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let cases: [&[&str]; 10] = [
        &[],
        &["nope"],
        &["--from=nope", "main"],
        &["--empty", "--from=main^", "main"],
        &["--from=main^", "--to=nope", "main"],
        &["main^"],
        &["--set-endianness=x", "main"],
        &["--filename=", "main"],
        &["--filename=missing/x", "main"],
        &["--sign=x", "--sign-type=nope", "--filename=x", "main"],
    ];
    for case in cases {
        let run = |program: &Program| {
            let program = program.clone().in_directory(directory.path());
            let output = program.repo(&repo, [&["static-delta", "generate"], case].concat());
            (String::from_utf8(output.stdout.clone()).unwrap(), output.failure())
        };
        assert_eq!(run(&osier()), run(&ostree), "{case:?}");
    }
    let failed = |arguments: &[&str]| {
        let arguments = [&["static-delta", "generate", "main"], arguments].concat();
        osier().in_directory(directory.path()).repo(&repo, arguments).failure()
    };
    assert_eq!(failed(&["--jobs=0"]), "Invalid number of threads '0'");
    assert_eq!(failed(&["--memory=x"]), "Invalid size 'x'");
    assert_eq!(
        failed(&["--from=main", "--from=main^", "--filename=x"]),
        "--filename is for one delta, and there would be several"
    );
}

#[test]
fn a_delta_that_is_not_small_enough_is_dropped_and_leaves_nothing() {
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let run = |arguments: &[&str]| {
        let output = osier().repo(&repo, [&["static-delta", "generate"], arguments].concat());
        output.success()
    };
    let statistics = |arguments: &[&str]| {
        let document: serde_json::Value =
            serde_json::from_str(&run(&[&["--json", "main"], arguments].concat())).unwrap();
        document["deltas"][0].clone()
    };
    let made = statistics(&[]);
    assert_eq!(made["status"], "made");
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let figures = &made["statistics"];
    let bytes = number(&figures["part_bytes"]) + number(&figures["fallbacks"]["bytes"]);
    let percent = (bytes * 100).div_ceil(number(&figures["loose_bytes"]));
    let delta = {
        let prefix = fs::read_dir(repo.join("deltas")).unwrap().next().unwrap().unwrap().path();
        fs::read_dir(prefix).unwrap().next().unwrap().unwrap().path()
    };
    let parts: u64 = (0..number(&figures["parts"]))
        .map(|part| fs::metadata(delta.join(part.to_string())).unwrap().len())
        .sum();
    assert_eq!(number(&figures["part_bytes"]), parts);
    // Every new object is of one kind, and all together are those that a client would fetch.
    let kinds = ["rolled", "patched", "whole", "metadata", "fallbacks"];
    let objects: u64 = kinds.iter().map(|kind| number(&figures[*kind]["objects"])).sum();
    let sizes = osier().repo(&repo, ["diff", "--sizes", "--json", "main"]).success();
    let sizes: serde_json::Value = serde_json::from_str(&sizes).unwrap();
    let new = &sizes["sizes"]["new"];
    // The commit itself is in the superblock.
    assert_eq!(objects, number(&new["metadata"]) + number(&new["files"]) - 1);
    let commit = osier().repo(&repo, ["rev-parse", "main"]).line();
    let commit = repo.join(format!("objects/{}/{}.commit", &commit[..2], &commit[2..]));
    let loose = number(&new["bytes"]) - fs::metadata(commit).unwrap().len();
    assert_eq!(number(&figures["loose_bytes"]), loose);
    assert!(kinds.iter().all(|kind| number(&figures[*kind]["bytes"]) > 0 || *kind == "fallbacks"));

    let enough = format!("--if-smaller={percent}");
    assert_eq!(statistics(&[&enough])["status"], "made");
    assert!(delta.join("superblock").exists());
    let too_few = format!("--if-smaller={}%", percent - 1);
    let dropped = statistics(&[&too_few]);
    assert_eq!((&dropped["status"], &dropped["statistics"]), (&"dropped".into(), figures));
    assert!(!delta.exists());
    let text = run(&["main", &too_few]);
    let last = text.lines().last().unwrap();
    let start = format!("Delta {} dropped: ", made["name"].as_str().unwrap());
    assert!(last.starts_with(&start) && last.ends_with(&format!("({percent} %)")), "{text}");
    // Elsewhere, too; what else is there stays.
    let outside = directory.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("other"), "").unwrap();
    let file = format!("--filename={}", outside.join("superblock").display());
    for inline in [&[][..], &["--inline"]] {
        run(&[&["main", &file][..], inline].concat());
        assert!(outside.join("superblock").exists());
        run(&[&["main", &file, &too_few][..], inline].concat());
        let mut names: Vec<_> =
            fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort_unstable();
        let expected = if inline.is_empty() { vec!["other"] } else { vec!["0", "other"] };
        if !inline.is_empty() {
            // A part of the delta before, which the inlined one had left.
            fs::write(outside.join("0"), "").unwrap();
            continue;
        }
        assert_eq!(names, expected);
    }
}

#[test]
fn the_last_commits_are_sources_of_a_delta_each() {
    let directory = scratch();
    let repo = changes(directory.path(), "archive");
    let tree = format!("--tree=dir={}", directory.path().join("tree").display());
    osier().repo(&repo, ["commit", "-b", "main", "--timestamp=@3000", &tree]).success();
    let rev = |rev: &str| osier().repo(&repo, ["rev-parse", rev]).line();
    let [main, parent, first] = ["main", "main^", "main^^"].map(rev);
    let generate = |arguments: &[&str]| {
        let call = ["static-delta", "generate", "--json", "--disable-bsdiff", "main"];
        let document = osier().repo(&repo, [&call[..], arguments].concat()).success();
        let document: serde_json::Value = serde_json::from_str(&document).unwrap();
        let deltas = document["deltas"].as_array().unwrap().clone();
        let field = |delta: &serde_json::Value, name: &str| delta[name].as_str().map(str::to_owned);
        deltas
            .iter()
            .map(|delta| (field(delta, "from"), field(delta, "status").unwrap()))
            .collect::<Vec<_>>()
    };
    let delta = |from: Option<&String>, status: &str| (from.cloned(), status.to_owned());
    assert_eq!(generate(&["--from-refs=1"]), [delta(Some(&parent), "made")]);
    // There are no more commits than that.
    let expected =
        [delta(None, "made"), delta(Some(&parent), "exists"), delta(Some(&first), "made")];
    assert_eq!(generate(&["--from-refs=9", "--empty", "-n"]), expected);
    let both = ["--from-refs=1", "--from", &first];
    assert_eq!(generate(&both), [delta(Some(&first), "made"), delta(Some(&parent), "made")]);
    let list = osier().repo(&repo, ["static-delta", "list"]).success();
    let mut names = [main.clone(), format!("{parent}-{main}"), format!("{first}-{main}")];
    names.sort_unstable();
    let mut list: Vec<_> = list.lines().collect();
    list.sort_unstable();
    assert_eq!(list, names);
    let failed = |arguments: &[&str]| {
        osier().repo(&repo, [&["static-delta", "generate", "main"], arguments].concat()).failure()
    };
    assert_eq!(failed(&["--from-refs=0"]), "Invalid number of commits '0'");
    assert_eq!(failed(&["--if-smaller=x"]), "Invalid percentage 'x'");
    let message = "--filename is for one delta, and there would be several";
    assert_eq!(failed(&["--from-refs=2", "--filename=x"]), message);
}

/// A phase of an operation: its name, the steps and bytes that there are, and those that were done.
#[derive(Clone, Debug, Default)]
struct Phase {
    task: String,
    total: (u64, u64),
    done: (u64, u64),
    is_over: bool,
}

/// The phases that an operation goes through.
fn phases(work: impl FnOnce(&dyn Progress)) -> Vec<Phase> {
    let phases = Mutex::new(Vec::<Phase>::new());
    let record = |event: Event<'_>| {
        let mut phases = phases.lock().unwrap();
        if let Event::Started { task, total } = event {
            let total = (total.unwrap_or(0), 0);
            phases.push(Phase { task: task.to_owned(), total, ..Phase::default() });
        }
        let Some(phase) = phases.last_mut() else { return };
        match event {
            Event::Total { steps, bytes } => phase.total = (steps, bytes.unwrap()),
            Event::Advanced { steps, bytes } => {
                assert!(!phase.is_over);
                phase.done = (phase.done.0 + steps, phase.done.1 + bytes);
            }
            Event::Finished => phase.is_over = true,
            _ => {}
        }
    };
    work(&record);
    phases.into_inner().unwrap()
}

#[test]
fn progress_goes_from_the_beginning_to_the_end() {
    let directory = scratch();
    let path = changes(directory.path(), "archive");
    let repo = Repo::open(&path).unwrap();
    let [main, parent] = ["main", "main^"].map(|rev| repo.resolve_rev(rev).unwrap());
    let file = directory.path().join("superblock");
    let options = GenerateOptions {
        file: Some(file.clone()),
        min_fallback_size: 0,
        ..GenerateOptions::new(1)
    };
    let target = Target::load(&repo, &main).unwrap();
    let made = phases(|progress| {
        delta::generate(&target, Some(&parent), &options, progress).unwrap();
    });
    let tasks: Vec<&str> = made.iter().map(|phase| phase.task.as_str()).collect();
    assert_eq!(tasks, ["comparing files", "static delta"]);
    let client = directory.path().join("client");
    osier().repo(&client, ["init", "--mode=bare-user-only"]).success();
    let parent = parent.to_string();
    osier().repo(&client, ["pull-local", path.to_str().unwrap(), &parent]).success();
    let client = Repo::open(&client).unwrap();
    let applied = phases(|progress| {
        delta::apply_offline(&client, &file, &ApplyOptions::default(), progress).unwrap();
    });
    assert_eq!(applied.len(), 1);
    for phase in made.iter().chain(&applied) {
        assert!(phase.is_over && phase.total.0 > 20, "{phase:?}");
        assert_eq!(phase.done.0, phase.total.0, "{phase:?}");
        // Metadata is not known before, and not counted behind.
        let (done, total) = (phase.done.1, phase.total.1);
        assert!(done.abs_diff(total) * 10 < total || total == 0, "{phase:?}");
    }
    // Once more: everything is there.
    let again = phases(|progress| {
        delta::apply_offline(&client, &file, &ApplyOptions::default(), progress).unwrap();
    });
    assert_eq!((again[0].done, again[0].is_over), (again[0].total, true));
}

#[test]
fn on_a_terminal_the_last_line_says_what_the_delta_is_made_of() {
    let Some(script) = program("script") else { return };
    let directory = scratch();
    changes(directory.path(), "archive");
    let line = format!("{} static-delta generate --repo=repo main", osier_path());
    let script = script.in_directory(directory.path()).with("TERM", "xterm");
    let shown = script.run(["-qec", &line, "/dev/null"]).success();
    let last = shown.lines().last().unwrap();
    assert!(last.contains(" to fetch for ") && last.contains(" of objects ("), "{shown}");
    for kind in ["rollsum ", "bsdiff ", "whole ", "metadata "] {
        assert!(last.contains(kind), "{last}");
    }
    // With --verbose there is a line for each file.
    let verbose = osier()
        .repo(&directory.path().join("repo"), ["static-delta", "generate", "--verbose", "main"]);
    let text = String::from_utf8(verbose.stderr.clone()).unwrap();
    verbose.success();
    for kind in ["bsdiff ", "rollsum ", "whole "] {
        let count = text
            .lines()
            .filter(|line| line.contains(kind) && line.contains(" bytes") && line.contains("OT: "));
        assert!(count.count() > 0, "{kind}: {text}");
    }
}
