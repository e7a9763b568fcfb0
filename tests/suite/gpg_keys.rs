//! `remote gpg-import` and `remote gpg-list-keys`, held against the real program, with keys that
//! gpg makes.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::gnupg::Home;
use crate::support::{Output, Program, osier, ostree, scratch, skip};

const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Both programs with a repository each, and keys in the directory `keys`.
struct World {
    directory: tempfile::TempDir,
    programs: [Program; 2],
}

impl World {
    /// `None` where a program is missing.
    #[track_caller]
    fn new() -> Option<Self> {
        let ostree = ostree()?;
        let directory = scratch();
        for name in ["theirs", "ours"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let place = |program: Program, name: &str| {
            let program = program.in_directory(directory.path().join(name));
            program.run(["init", "--repo=r", "--mode=archive"]).success();
            program
        };
        let programs = [place(ostree, "theirs"), place(osier(), "ours")];
        Some(Self { directory, programs })
    }

    /// The same call in both; the words must be equal.
    #[track_caller]
    fn alike(&self, arguments: &[&str], input: &[u8]) -> Output {
        let [theirs, ours] = self.programs.each_ref().map(|program| {
            let all = ["remote", "--repo=r"].iter().chain(arguments);
            let mut output = program.run_with_input(all, input);
            output.assert_no_panic();
            let shown = String::from_utf8(output.stderr).unwrap();
            output.stderr = shown.replace("/theirs/", "/ours/").into_bytes();
            output
        });
        let words = |output: &Output| {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            (output.status, text(&output.stdout), text(&output.stderr))
        };
        assert_eq!(words(&ours), words(&theirs), "{arguments:?}");
        ours
    }

    /// What the real program lists of a keyring of its own, of one of ours, and what we list.
    #[track_caller]
    fn listed(&self, remote: &str) -> String {
        let listed = self.alike(&["gpg-list-keys", remote], b"").success();
        let [theirs, _] = &self.programs;
        let in_ours = theirs.clone().in_directory(self.directory.path().join("ours"));
        let by_theirs = in_ours.run(["remote", "--repo=r", "gpg-list-keys", remote]).success();
        assert_eq!(by_theirs, listed);
        listed
    }

    /// A fresh remote in both.
    #[track_caller]
    fn add(&self, remote: &str) {
        self.alike(&["add", "--no-gpg-verify", remote, "http://x"], b"").success();
    }
}

/// The time at which the keys are made.
const MADE: &str = "20240102T030405";

/// A home with three keys of different kinds.
#[track_caller]
fn home_with_keys() -> Option<Home> {
    let home = Home::new()?;
    home.generate(MADE, "Ann <Ann+x@Example.org>", ["ed25519", "sign", "0"]);
    home.generate(MADE, "bob@example.org", ["ed25519", "sign", "2024-06-01"]);
    home.generate(MADE, "No Mail", ["rsa2048", "cert,sign", "0"]);
    Some(home)
}

/// Writes what gpg exports to a file of its home and returns the path.
#[track_caller]
fn export(home: &Home, name: &str, arguments: &[&str]) -> String {
    write(home, name, &home.gpg(arguments))
}

/// Writes a file of the home of gpg and returns its path.
fn write(home: &Home, name: &str, bytes: &[u8]) -> String {
    let path = home.file(name);
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn keys_are_imported_counted_and_listed_as_by_the_real_program() {
    let (Some(world), Some(keys)) = (World::new(), home_with_keys()) else { return };
    let first = export(&keys, "first.asc", &["--armor", "--export", "Ann"]);
    let ann = keys.fingerprint("Ann");
    keys.gpg(&["--quick-add-key", &ann, "cv25519", "encr", "0"]);
    keys.gpg(&["--quick-add-uid", &ann, "Ann Two <two@example.org>"]);
    let armoured = export(&keys, "all.asc", &["--armor", "--export"]);
    let binary = export(&keys, "all.gpg", &["--export"]);
    let secret = export(&keys, "secret.gpg", &["--export-secret-keys"]);
    let bob = export(&keys, "bob.asc", &["--armor", "--export", "bob"]);
    let import = |remote: &str, files: &[&str]| {
        let mut arguments = vec!["gpg-import", remote];
        files.iter().for_each(|file| arguments.extend(["-k", *file]));
        world.alike(&arguments, b"").line()
    };
    let said = |count: &str, remote: &str| format!("Imported {count} to remote \"{remote}\"");

    // Of a key that is there only what is new is added, and it does not count.
    world.add("a");
    assert_eq!(import("a", &[&first]), said("1 GPG key", "a"));
    assert_eq!(import("a", &[&first]), said("0 GPG keys", "a"));
    assert_eq!(world.listed("a").matches("UID: ").count(), 1);
    assert_eq!(import("a", &[&armoured]), said("2 GPG keys", "a"));
    let listed = world.listed("a");
    let lines = |start: &str| listed.lines().filter(|line| line.starts_with(start)).count();
    assert_eq!((lines("Key: "), lines("  UID: "), lines("  Subkey: ")), (3, 4, 1), "{listed}");
    assert!(listed.contains("  Expired: Sat Jun \u{2007}1 12:00:00 2024\n"), "{listed}");

    for (remote, files, count) in [
        ("binary", &[&*binary][..], "3 GPG keys"),
        ("secret", &[&secret], "3 GPG keys"),
        ("several", &[&bob, &first], "2 GPG keys"),
    ] {
        world.add(remote);
        assert_eq!(import(remote, files), said(count, remote));
        assert!(!world.listed(remote).is_empty());
    }
    let arguments = ["add", "added", "http://x", &format!("--gpg-import={armoured}")];
    assert_eq!(world.alike(&arguments, b"").line(), said("3 GPG keys", "added"));
    assert_eq!(world.listed("added"), listed);
    world.alike(&["delete", "added"], b"").success();
    for place in ["theirs", "ours"] {
        let keyring = world.directory.path().join(place).join("r/added.trustedkeys.gpg");
        assert!(!keyring.exists(), "{place}");
    }
}

#[test]
fn ids_choose_exactly_one_key_each() {
    let (Some(world), Some(keys)) = (World::new(), home_with_keys()) else { return };
    let binary = keys.gpg(&["--export"]);
    let ann = keys.fingerprint("Ann");
    let bob = keys.fingerprint("bob");
    let unspaced = format!("0x{}", &bob[24..]);
    for (number, (ids, count)) in [
        (&[&*ann][..], 1),
        (&[&ann[24..], &unspaced], 2),
        (&[&bob[32..]], 1),
        (&["BOB@Example"], 1),
        (&["<bob@example.org>", "=No Mail"], 2),
    ]
    .into_iter()
    .enumerate()
    {
        let remote = format!("r{number}");
        world.add(&remote);
        let arguments = [&["gpg-import", "--stdin", &remote], ids].concat();
        world.alike(&arguments, &binary).success();
        assert_eq!(world.listed(&remote).matches("Key: ").count(), count, "{ids:?}");
    }
    world.add("none");
    for (id, reason) in [
        ("ann", "Invalid value"),
        ("DEADBEEFDEADBEEF", "End of file"),
        ("nobody@example.org", "End of file"),
        ("example.org", "Ambiguous name"),
    ] {
        let arguments = ["gpg-import", "--stdin", "none", &ann, id];
        let expected = format!("GPG: Unable to find key \"{id}\": GPGME: {reason}");
        assert_eq!(world.alike(&arguments, &binary).failure(), expected);
        let expected = format!("GPG: Unable to find key \"{ann}\": GPGME: End of file");
        assert_eq!(world.alike(&arguments, b"").failure(), expected);
    }
    assert_eq!(world.listed("none"), "");
}

#[test]
fn what_holds_no_keys_is_refused_and_what_is_whole_before_damage_is_taken() {
    let (Some(world), Some(keys)) = (World::new(), home_with_keys()) else { return };
    let binary = keys.gpg(&["--export"]);
    let armoured = String::from_utf8(keys.gpg(&["--armor", "--export"])).unwrap();
    let checksum = armoured.lines().find(|line| line.len() == 5 && line.starts_with('=')).unwrap();
    const NO_DATA: &str = "error: GPG: Unable to export keys: GPGME: No data\n";
    for (number, (bytes, count)) in [
        (b"".to_vec(), None),
        (b"[core]\n".to_vec(), None),
        ([b"\n", &*binary].concat(), None),
        (fs::read(keys.file("pubring.kbx")).unwrap(), None),
        (armoured.replace(checksum, "=AAAA").into_bytes(), None),
        (format!("words\n\n{armoured}words\n").into_bytes(), Some(3)),
        (binary[..binary.len() - 5].to_vec(), Some(2)),
        ([&*binary, b"words"].concat(), Some(2)),
    ]
    .into_iter()
    .enumerate()
    {
        let remote = format!("r{number}");
        world.add(&remote);
        let output = world.alike(&["gpg-import", "--stdin", &remote], &bytes);
        match count {
            None => assert_eq!(String::from_utf8(output.stderr).unwrap(), NO_DATA, "{number}"),
            Some(count) => {
                let expected = format!("Imported {count} GPG keys to remote \"{remote}\"");
                assert_eq!(output.line(), expected, "{number}");
            }
        }
        world.listed(&remote);
    }
}

#[test]
fn wrong_calls_are_refused_in_the_same_words() {
    let Some(world) = World::new() else { return };
    world.add("a");
    for (arguments, message) in [
        (&["gpg-import"][..], "NAME must be specified"),
        (&["gpg-import", "--stdin", "-k", "x"], "NAME must be specified"),
        (
            &["gpg-import", "a", "--stdin", "--keyring=x"],
            "--keyring and --stdin are mutually exclusive",
        ),
        (&["gpg-import", "a"], "GPG: Unable to export keys: GPGME: No data"),
        (&["gpg-import", "a", "x"], "GPG: Unable to find key \"x\": GPGME: Invalid value"),
        (&["gpg-import", "nope"], "GPG: Remote \"nope\" not found"),
        (&["gpg-import", "nope", "--stdin"], "GPG: Remote \"nope\" not found"),
        (
            &["gpg-import", "nope", "-k", "/nonexistent"],
            "Error opening file /nonexistent: No such file or directory",
        ),
        (&["gpg-list-keys", "nope"], "Remote \"nope\" not found"),
        (&["gpg-list-keys", ""], "Remote \"\" not found"),
    ] {
        assert_eq!(world.alike(arguments, b"").failure(), message, "{arguments:?}");
    }
    for arguments in [
        &["gpg-import", "--help"][..],
        &["gpg-list-keys", "--help"],
        &["gpg-import", "a", "-k", "absent"],
        &["gpg-import", "a", "-k", "r"],
        &["add", "b", "http://x", "--gpg-import=absent"],
        &["list"],
    ] {
        world.alike(arguments, b"");
    }
}

#[test]
fn keys_of_the_system_are_listed_without_a_name_and_never_with_one() {
    let (Some(world), Some(keys)) = (World::new(), home_with_keys()) else { return };
    let home = world.directory.path().join("global");
    fs::create_dir(&home).unwrap();
    keys.gpg(&["--output", home.join("x.gpg").to_str().unwrap(), "--export", "bob"]);
    keys.gpg(&["--output", home.join("trustdb.gpg").to_str().unwrap(), "--export", "Ann"]);
    let World { directory, programs } = world;
    let programs = programs.map(|program| program.with("OSTREE_GPG_HOME", &home));
    let world = World { directory, programs };
    let listed = world.alike(&["gpg-list-keys"], b"").success();
    assert!(listed.starts_with(&format!("Key: {}\n", keys.fingerprint("bob"))), "{listed}");
    assert_eq!(listed.matches("Key: ").count(), 1);
    world.add("a");
    assert_eq!(world.listed("a"), "");
    let path = format!("--set=gpgkeypath={}", home.display());
    world.alike(&["add", "b", "http://x", &path], b"").success();
    assert_eq!(world.listed("b").matches("Key: ").count(), 2);
    world.alike(&["add", "c", "http://x", &format!("{path};/nonexistent")], b"").success();
    let message = world.alike(&["gpg-list-keys", "c"], b"").failure();
    assert_eq!(message, "opendir(/nonexistent): No such file or directory");
}

#[test]
fn addresses_are_those_that_gpgme_sees() {
    let (Some(world), Some(keys)) = (World::new(), home_with_keys()) else { return };
    let users = [
        "X <nope>",
        "X <a@b@c>",
        "X <A@B> <C@D>",
        "X <A B@c>",
        "X <\u{e4}@B.org>",
        "X (c) <Q@R.com> tail",
        "X <@c>",
        "X <a@b.>",
        "plain",
    ];
    users.iter().for_each(|user| keys.generate(MADE, user, ["ed25519", "sign", "0"]));
    world.add("a");
    world.alike(&["gpg-import", "--stdin", "a"], &keys.gpg(&["--export"])).success();
    let listed = world.listed("a");
    assert_eq!(listed.matches("UID: ").count(), 3 + users.len());
    assert!(listed.contains("  Direct update URL: https://b/.well-known/"), "{listed}");
}

#[test]
fn the_keys_of_debian_are_listed_alike() {
    if !Path::new(DEBIAN_KEYS).is_file() {
        return skip("there is no debian-archive-keyring");
    }
    let Some(world) = World::new() else { return };
    let files: Vec<PathBuf> = fs::read_dir(Path::new(DEBIAN_KEYS).parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with("debian-") && name.ends_with(".gpg")
        })
        .collect();
    assert!(files.contains(&DEBIAN_KEYS.into()));
    for (number, file) in files.iter().enumerate() {
        let remote = format!("r{number}");
        world.add(&remote);
        world.alike(&["gpg-import", &remote, "-k", file.to_str().unwrap()], b"").success();
        assert!(world.listed(&remote).starts_with("Key: "), "{file:?}");
    }
}
