//! Bad input of every kind: a clear error that names the object or path, exit status 1, nothing
//! lost, no panic, no hang. The damage is generated, and each test prints how many cases it has
//! tried.

mod calls;
mod matrix;
mod place;
mod sources;
mod special;
mod subject;

use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{
    Output, Program, Snapshot, differences, has_xattrs, is_root, needs_root, one_of, osier,
    raw_snapshot, scratch, scratch_root, skip, snapshot,
};

/// Bits flipped per object, spread over its length.
const FLIPS: usize = 24;

/// A repository with one commit of every kind of object, and what is needed to damage it.
struct Victim {
    directory: tempfile::TempDir,
    program: Program,
    commit: String,
    pristine: Snapshot,
}

/// One way to damage a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    Truncated(usize),
    Extended(usize),
    Flipped(usize),
    Missing,
    /// Replaced by another object's file of the same kind.
    Swapped,
}

impl Victim {
    fn new(mode: &str) -> Self {
        let directory = scratch();
        let tree = directory.path().join("tree");
        fs::create_dir_all(tree.join("dir/empty")).unwrap();
        fs::write(tree.join("file"), b"some content\n".repeat(50)).unwrap();
        fs::write(tree.join("other"), b"other content\n").unwrap();
        fs::write(
            tree.join("dir/noise"),
            (0..3000_u32).flat_map(|n| (n * n).to_be_bytes()).collect::<Vec<_>>(),
        )
        .unwrap();
        fs::set_permissions(tree.join("dir"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("file", tree.join("link")).unwrap();
        let program = osier().in_directory(directory.path());
        fs::create_dir(directory.path().join("repo")).unwrap();
        let repo = Path::new("repo");
        program.repo(repo, ["init", &format!("--mode={mode}")]).success();
        let detached = "--add-detached-metadata-string=detached=x";
        let commit = [
            "commit",
            "-b",
            "main",
            "-s",
            "Subject",
            "--timestamp=@1",
            "--no-xattrs",
            detached,
            "--tree=dir=tree",
        ];
        let commit = program.repo(repo, commit).line();
        program.repo(repo, ["summary", "-u"]).success();
        let pristine = snapshot(&directory.path().join("repo"));
        Self { directory, program, commit, pristine }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join("repo").join(relative)
    }

    /// Runs a command on the repository; however damaged, it must end in good order.
    #[track_caller]
    fn run(&self, arguments: &[&str], what: &str) -> Output {
        let output = self.program.repo(Path::new("repo"), arguments);
        output.assert_no_panic();
        let reported = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status {
            0 => {}
            1 => assert!(
                reported.contains("error: ") || !output.stdout.is_empty(),
                "silent failure after {what}: {output:?}"
            ),
            _ => panic!("after {what}: {output:?}"),
        }
        output
    }

    /// Every command that reads, and the ones that would build on what they read.
    #[track_caller]
    fn run_everything(&self, what: &str) {
        let commands: [&[&str]; 17] = [
            &[
                "commit",
                "--orphan",
                "--timestamp=@1",
                "--owner-uid=1",
                "--tree=ref=main",
                "--skip-list=missing",
            ],
            &[
                "commit",
                "--orphan",
                "--timestamp=@1",
                "--tree=ref=main",
                "--tree=ref=main",
                "--tree=dir=missing",
            ],
            &["log", "main"],
            &["show", "main"],
            &["show", "--raw", "main"],
            &["show", "--print-detached-metadata-key=detached", "main"],
            &["show", &self.commit],
            &["ls", "-RCX", "main"],
            &["cat", "main", "/file"],
            &["cat", "main", "/link"],
            &["rev-parse", "main", "main^"],
            &["rev-parse", &self.commit[..5]],
            &["rev-parse", "-S"],
            &["refs"],
            &["refs", "-A"],
            &["summary", "-v"],
            &["summary", "--raw"],
        ];
        for command in commands {
            self.run(command, what);
        }
    }

    /// Takes away what fsck has noted about commits.
    fn forget_state(&self) {
        for entry in fs::read_dir(self.path("state")).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }

    /// All loose objects of that extension.
    fn objects(&self, extension: &str) -> Vec<String> {
        let ending = format!(".{extension}");
        self.pristine
            .keys()
            .filter(|path| path.starts_with("objects/") && path.ends_with(&ending))
            .cloned()
            .collect()
    }

    /// Fails if anything but the damaged file and notes about the state of commits changed.
    #[track_caller]
    fn assert_nothing_else_touched(&self, damaged: &str, before: &Snapshot, what: &str) {
        let mut after = raw_snapshot(&self.path(""));
        let mut before = before.clone();
        for side in [&mut before, &mut after] {
            side.retain(|path, _| path != damaged && !path.starts_with("state"));
        }
        let changed = differences(&before, &after);
        assert!(changed.is_empty(), "{what} changed {changed:?}");
    }
}

fn damages(length: usize) -> Vec<Damage> {
    let mut all =
        vec![Damage::Missing, Damage::Swapped, Damage::Extended(1), Damage::Extended(4096)];
    let mut cuts =
        vec![0, 1, 3, 4, 7, 8, 9, length / 2, length.saturating_sub(2), length.saturating_sub(1)];
    cuts.sort_unstable();
    cuts.dedup();
    all.extend(cuts.into_iter().filter(|cut| *cut < length).map(Damage::Truncated));
    let bits = length * 8;
    let step = (bits * one_of(4) / FLIPS).max(1) | 1;
    all.extend((0..bits).step_by(step).chain(bits.checked_sub(1)).map(Damage::Flipped));
    all
}

/// Damages the file; `other` is what `Swapped` puts in its place.
fn inflict(path: &Path, pristine: &[u8], damage: Damage, other: &[u8]) {
    let mut bytes = pristine.to_vec();
    match damage {
        Damage::Missing => return fs::remove_file(path).unwrap(),
        Damage::Truncated(length) => bytes.truncate(length),
        Damage::Extended(by) => bytes.extend(std::iter::repeat_n(0x41, by)),
        Damage::Flipped(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
        Damage::Swapped => bytes = other.to_vec(),
    }
    fs::write(path, bytes).unwrap();
}

#[test]
fn damaged_objects_of_archives_are_reported_by_name() {
    damaged_objects("archive", &["commit", "dirtree", "dirmeta", "filez", "commitmeta"]);
}

#[test]
fn damaged_objects_of_bare_user_repositories_are_reported_by_name() {
    if !has_xattrs(scratch_root(), "user.osier") {
        return skip("bare-user needs user xattrs");
    }
    damaged_objects("bare-user", &["commit", "dirtree", "dirmeta", "file", "commitmeta"]);
}

#[test]
fn damaged_objects_of_bare_user_only_repositories_are_reported_by_name() {
    damaged_objects("bare-user-only", &["commit", "dirtree", "dirmeta", "file", "commitmeta"]);
}

fn damaged_objects(mode: &str, extensions: &[&str]) {
    let victim = Victim::new(mode);
    let mut cases = 0;
    for extension in extensions {
        let objects = victim.objects(extension);
        for path in &objects {
            let file = victim.path(path);
            if file.is_symlink() {
                continue;
            }
            let pristine = fs::read(&file).unwrap();
            let other =
                objects.iter().find(|other| *other != path && !victim.path(other).is_symlink());
            let other = other.map(|other| fs::read(victim.path(other)).unwrap());
            for damage in damages(pristine.len()) {
                let swapped = matches!(damage, Damage::Swapped);
                if swapped && other.as_ref().is_none_or(|other| *other == pristine) {
                    continue;
                }
                let what = format!("{damage:?} {path}");
                inflict(&file, &pristine, damage, other.as_deref().unwrap_or_default());
                let before = raw_snapshot(&victim.path(""));
                victim.run_everything(&what);
                let fsck = victim.run(&["fsck"], &what);
                // A commit that fsck has marked as damaged is not looked into again.
                victim.forget_state();
                let all = victim.run(&["fsck", "-a"], &what);
                if *extension != "commitmeta" && !harmless(&victim, extension, damage, &pristine) {
                    assert_names_object(path, &fsck, &what);
                    assert_names_object(path, &all, &what);
                }
                victim.assert_nothing_else_touched(path, &before, &what);
                restore(&victim, &file, &pristine);
                cases += 1;
            }
        }
    }
    let sound = victim.run(&["fsck"], "restoring everything");
    assert_eq!(sound.status, 0, "{sound:?}");
    println!("{mode}: {cases} cases");
    assert!(cases > 150, "only {cases} cases");
}

/// Damage that changes nothing that the checksum covers: the length field and what follows the end
/// of a compressed file.
fn harmless(victim: &Victim, extension: &str, damage: Damage, pristine: &[u8]) -> bool {
    let length = pristine.len();
    // The target of a symlink in a bare-user repository ends with the first NUL or with the file.
    let is_link = extension == "file" && pristine.last() == Some(&0);
    if extension != "filez" {
        return is_link && keeps_target(damage, length);
    }
    match damage {
        Damage::Extended(_) => true,
        // Padding and the size, which the name does not cover.
        Damage::Flipped(bit) if (4..16).contains(&(bit / 8)) => true,
        // Bits of a compressed stream may be of no consequence; then the content is what it was.
        Damage::Flipped(bit) if bit / 8 + 2 >= length => {
            victim.run(&["cat", "main", "/file"], "a flip").stdout == b"some content\n".repeat(50)
        }
        _ => false,
    }
}

fn keeps_target(damage: Damage, length: usize) -> bool {
    matches!(damage, Damage::Extended(_))
        || matches!(damage, Damage::Truncated(to) if to + 1 == length)
}

#[track_caller]
fn assert_names_object(path: &str, output: &Output, what: &str) {
    let hex: String =
        path.trim_start_matches("objects/").split('.').next().unwrap().replace('/', "");
    assert_eq!(output.status, 1, "{what} went unseen: {output:?}");
    let reported = String::from_utf8_lossy(&output.stderr);
    // A wrong checksum inside of an object makes the one that is missing now come up first.
    let names_missing = reported.contains("No such metadata object ")
        || reported.contains("Couldn't find file object '");
    let is_followed = path.ends_with(".commit") || path.ends_with(".dirtree");
    assert!(
        reported.contains(&hex) || (is_followed && names_missing),
        "{what}: the object is not named: {output:?}"
    );
}

fn restore(victim: &Victim, file: &Path, pristine: &[u8]) {
    if file.exists() {
        fs::write(file, pristine).unwrap();
    } else {
        // Only objects that carry no xattrs can be brought back by writing; `.file` of bare-user is
        // re-committed.
        fs::write(file, pristine).unwrap();
        if file.extension().is_some_and(|ending| ending == "file") {
            fs::remove_file(file).unwrap();
            let again = ["commit", "--orphan", "--timestamp=@1", "--no-xattrs", "--tree=dir=tree"];
            victim.program.repo(Path::new("repo"), again).success();
            victim.forget_state();
            let orphan = victim.program.repo(Path::new("repo"), again).line();
            if orphan != victim.commit {
                fs::remove_file(victim.path(&format!(
                    "objects/{}/{}.commit",
                    &orphan[..2],
                    &orphan[2..]
                )))
                .unwrap();
            }
        }
    }
    victim.forget_state();
    // A write through `fs::write` keeps mode and xattrs but not the time that objects of the bare
    // modes have.
    if file.extension().is_some_and(|ending| ending == "file") {
        let epoch = fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
        fs::File::options().write(true).open(file).unwrap().set_times(epoch).unwrap();
    }
}

#[test]
fn damaged_metadata_xattrs_of_bare_user_files_are_reported() {
    if !has_xattrs(scratch_root(), "user.osier") {
        return skip("bare-user needs user xattrs");
    }
    let victim = Victim::new("bare-user");
    let mut cases = 0;
    for path in victim.objects("file") {
        let file = victim.path(&path);
        let mut pristine = vec![0; 4096];
        let length = rustix::fs::getxattr(&file, "user.ostreemeta", &mut pristine[..]).unwrap();
        pristine.truncate(length);
        for damage in damages(length) {
            let mut bytes = pristine.clone();
            match damage {
                Damage::Missing => rustix::fs::removexattr(&file, "user.ostreemeta").unwrap(),
                Damage::Swapped => continue,
                Damage::Truncated(to) => bytes.truncate(to),
                Damage::Extended(by) => bytes.extend(vec![0x41; by.min(512)]),
                Damage::Flipped(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
            }
            if !matches!(damage, Damage::Missing) {
                set_meta(&file, &bytes);
            }
            let what = format!("{damage:?} user.ostreemeta of {path}");
            victim.run_everything(&what);
            assert_names_object(&path, &victim.run(&["fsck"], &what), &what);
            set_meta(&file, &pristine);
            victim.forget_state();
            cases += 1;
        }
    }
    println!("{cases} cases");
    assert!(cases > 50, "only {cases} cases");
}

fn set_meta(file: &Path, bytes: &[u8]) {
    rustix::fs::setxattr(file, "user.ostreemeta", bytes, rustix::fs::XattrFlags::empty()).unwrap();
}

#[test]
fn damaged_summaries_are_refused_or_shown_but_never_end_in_a_panic() {
    let victim = Victim::new("archive");
    let file = victim.path("summary");
    let pristine = fs::read(&file).unwrap();
    let all = damages(pristine.len());
    for damage in &all {
        inflict(&file, &pristine, *damage, b"[core]\n");
        let what = format!("{damage:?} summary");
        victim.run(&["summary", "-v"], &what);
        victim.run(&["summary", "--raw"], &what);
        victim.run(&["summary", "--list-metadata-keys"], &what);
        victim.run(&["summary", "--print-metadata-key=ostree.summary.mode"], &what);
        // A damaged summary is simply replaced.
        let update = victim.run(&["summary", "-u"], &what);
        assert_eq!(update.status, 0, "{what}: {update:?}");
    }
    println!("{} cases", all.len());
}

#[test]
fn a_history_that_leads_back_to_its_start_has_an_end() {
    let subject = subject::Subject::new("archive");
    let hex = |role| &subject.pieces.iter().find(|piece| piece.role == role).unwrap().hex;
    let path =
        |hex: &str| subject.path(&format!("repo/objects/{}/{}.commit", &hex[..2], &hex[2..]));
    let (tip, parent) = (hex(subject::Role::Tip), hex(subject::Role::Parent));
    // What stands under the parent's name says that the parent is its parent.
    fs::copy(path(tip), path(parent)).unwrap();
    let run =
        |repo: &str, arguments: &[&str]| subject.program.repo(Path::new(repo), arguments).failure();
    let reported = format!("malformed object {parent}.commit: the commit is its own ancestor");
    assert_eq!(run("repo", &["log", "main"]), reported);
    assert_eq!(run("repo", &["log", "--json", "main"]), reported);
    assert_eq!(run("target", &["pull-local", "--depth=-1", "repo", "main"]), reported);
    assert!(
        run("repo", &["prune", "--refs-only"])
            .contains(&format!("Corrupted commit object; checksum expected='{parent}'"))
    );
}

#[test]
fn a_ref_is_not_reset_to_a_commit_that_is_not_there() {
    let victim = Victim::new("archive");
    let missing = "0".repeat(64);
    let message = victim.run(&["reset", "main", &missing], "no damage").failure();
    assert_eq!(message, format!("No such metadata object {missing}.commit"));
    assert_eq!(victim.run(&["rev-parse", "main"], "no damage").line(), victim.commit);
}

#[test]
fn garbage_in_refs_is_reported_and_kept_from_the_rest() {
    let victim = Victim::new("archive");
    let hex = &victim.commit;
    let mut garbage: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\n".to_vec(),
        b"nonsense\n".to_vec(),
        hex.as_bytes()[..63].to_vec(),
        format!("{hex}0\n").into_bytes(),
        format!("{hex} {hex}\n").into_bytes(),
        hex.to_uppercase().into_bytes(),
        format!("\n{hex}\n").into_bytes(),
        vec![0; 64],
        vec![0xff; 65],
        vec![b'a'; 1 << 20],
        "ü".repeat(32).into_bytes(),
    ];
    garbage.extend((0..64).map(|at| {
        let mut bytes = format!("{hex}\n").into_bytes();
        bytes[at] = b'g' + (at % 16) as u8;
        bytes
    }));
    let before = snapshot(&victim.path(""));
    for bytes in &garbage {
        fs::write(victim.path("refs/heads/bad"), bytes).unwrap();
        let what =
            format!("ref {}", bytes.iter().take(80).copied().collect::<Vec<_>>().escape_ascii());
        for command in [
            &["rev-parse", "bad"][..],
            &["log", "bad"],
            &["show", "bad"],
            &["ls", "bad"],
            &["cat", "bad", "/file"],
        ] {
            let output = victim.run(command, &what);
            assert_eq!(output.status, 1, "{what}: {output:?}");
        }
        let commit = ["commit", "-b", "bad", "--timestamp=@1", "--tree=dir=tree"];
        for command in [
            &["refs"][..],
            &["fsck"],
            &["summary", "-u"],
            &["refs", "--create=new", "bad"],
            &commit,
        ] {
            let failed = victim.run(command, &what).status == 1;
            if !failed {
                // Whatever a command could do in spite of it, is undone for the next.
                let _ = fs::remove_file(victim.path("refs/heads/new"));
            }
        }
        assert_eq!(victim.run(&["rev-parse", "main"], &what).line(), *hex);
    }
    fs::remove_file(victim.path("refs/heads/bad")).unwrap();
    let mut after = snapshot(&victim.path(""));
    after.retain(|path, _| before.contains_key(path));
    let mut changed = differences(&before, &after);
    changed.retain(|line| !line.starts_with("summary"));
    assert!(changed.is_empty(), "{changed:?}");
    println!("{} cases", garbage.len());
}

#[test]
fn refs_that_are_no_files_are_reported() {
    let victim = Victim::new("archive");
    let bad = victim.path("refs/heads/bad");
    let link = |target: &str| std::os::unix::fs::symlink(target, &bad).unwrap();
    let makers: [(&str, &dyn Fn()); 5] = [
        ("a directory", &|| fs::create_dir(&bad).unwrap()),
        ("a dangling link", &|| link("nothing")),
        ("a link to itself", &|| link("bad")),
        ("a link to a directory", &|| link("..")),
        ("a link out of the repository", &|| link("../../config")),
    ];
    for (what, make) in makers {
        make();
        for command in [
            &["rev-parse", "bad"][..],
            &["refs"],
            &["refs", "-A"],
            &["log", "bad"],
            &["fsck"],
            &["summary", "-u"],
        ] {
            victim.run(command, what);
        }
        assert_eq!(victim.run(&["rev-parse", "bad"], what).status, 1, "{what}");
        if bad.is_symlink() {
            fs::remove_file(&bad).unwrap()
        } else {
            fs::remove_dir(&bad).unwrap()
        }
    }
}

#[test]
fn garbage_in_the_config_is_reported() {
    let victim = Victim::new("archive");
    let core = "[core]\nrepo_version=1\nmode=archive-z2\n";
    let refused: Vec<String> = [
        "",
        "\n",
        "[core]\n",
        "[core",
        "core]\n",
        "=x\n",
        "[core]\n=x\n",
        "[core]\nmode\n",
        "mode=archive-z2\n",
        "\0\0\0\0",
        "[core]\nrepo_version=2\nmode=archive-z2\n",
        "[core]\nrepo_version=x\nmode=archive-z2\n",
        "[core]\nmode=archive-z2\n",
        "[core]\nrepo_version=1\nmode=squashed\n",
        "[core]\nrepo_version=1\nmode=\n",
    ]
    .iter()
    .map(|text| (*text).to_owned())
    .chain(
        [
            "min-free-space-percent=x",
            "min-free-space-percent=100",
            "min-free-space-percent=-1",
            "min-free-space-size=5",
            "min-free-space-size=xMB",
            "min-free-space-size=99999999999999999999TB",
            "fsync=maybe",
            "disable-xattrs=2",
            "archive=true",
            "parent=/nonexistent",
            "default-repo-finders=",
        ]
        .iter()
        .map(|line| format!("{core}{line}\n")),
    )
    .collect();
    for text in &refused {
        fs::write(victim.path("config"), text).unwrap();
        let output = victim.run(&["refs"], text);
        assert_eq!(output.status, 1, "config {text:?} was taken: {output:?}");
        victim.run(&["commit", "-b", "x", "--tree=dir=tree"], text);
        victim.run(&["config", "get", "core.mode"], text);
    }
    // Not refused by everything, but nothing may go wrong beyond an error.
    let tolerated = [
        format!("{core}parent={}\n", victim.path("").display()),
        format!("{core}{}\n", "x=y\n".repeat(100_000)),
        format!("{core}zlib-level=x\n[archive]\nzlib-level=99\n"),
        format!("{core}[remote \"a\"]\nurl=x\n[remote \"a\"]\nurl=y\n"),
        format!("{core}[remote \"../../x\"]\nurl=x\n"),
        format!(
            "{core}payload-link-threshold=x\ntombstone-commits=x\nlock-timeout-secs=x\n\
             tmp-expiry-secs=x\n"
        ),
        format!("{core}collection-id=nodots\n"),
        format!("{core}k=\\q\\\n"),
        format!("{core}{core}"),
    ];
    for text in &tolerated {
        fs::write(victim.path("config"), text).unwrap();
        for command in [
            &["refs"][..],
            &["rev-parse", "nothing"],
            &["fsck"],
            &["config", "set", "a.b", "c"],
            &["log", "main"],
        ] {
            victim.run(command, &text[..text.len().min(200)]);
        }
    }
    for bytes in [&b"\xff\xfe[core]\n"[..], b"[core]\nrepo_version=1\nmode=archive-z2\nx=\xff\n"] {
        fs::write(victim.path("config"), bytes).unwrap();
        victim.run(&["refs"], "bytes that are no UTF-8");
        victim.run(&["config", "set", "a.b", "c"], "bytes that are no UTF-8");
    }
    println!("{} cases", refused.len() + tolerated.len() + 2);
}

#[test]
fn what_is_no_repository_is_refused_by_its_path() {
    let directory = scratch();
    let at = directory.path();
    fs::write(at.join("file"), b"").unwrap();
    fs::create_dir_all(at.join("empty")).unwrap();
    fs::create_dir_all(at.join("half/objects")).unwrap();
    fs::create_dir_all(at.join("wrong")).unwrap();
    fs::write(at.join("wrong/objects"), b"").unwrap();
    fs::write(at.join("wrong/config"), b"[core]\nrepo_version=1\nmode=archive-z2\n").unwrap();
    fs::create_dir_all(at.join("dirconfig/config")).unwrap();
    fs::create_dir_all(at.join("dirconfig/objects")).unwrap();
    fs::create_dir_all(at.join("tree")).unwrap();
    let program = osier().in_directory(at);
    for name in ["file", "empty", "half", "wrong", "dirconfig", "missing", "file/below", ""] {
        for command in [
            &["refs"][..],
            &["log", "main"],
            &["commit", "-b", "x", "--tree=dir=tree"],
            &["fsck"],
            &["summary", "-u"],
        ] {
            let message = program.repo(Path::new(name), command).failure();
            // In upstream's words, which tell what is missing in a directory that exists.
            let inside = ["objects", "config"].iter().any(|part| message.contains(part));
            let named =
                name.is_empty() || inside || message.contains(name.split('/').next().unwrap());
            assert!(named, "{command:?} on {name}: {message}");
        }
    }
}
