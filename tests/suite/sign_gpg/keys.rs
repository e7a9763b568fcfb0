//! Lists of keys and imports, held against the real `ostree`.

use super::*;

/// What the real program lists for a keyring file, and what osier does.
#[track_caller]
fn compare_lists(ostree: &Program, name: &str, keyring: &[u8], zone: &str) {
    let directory = scratch();
    let repo = directory.path().join("repo");
    let keys = directory.path().join("keys");
    fs::create_dir(&keys).unwrap();
    fs::write(keys.join("keys.gpg"), keyring).unwrap();
    ostree.repo(&repo, ["init", "--mode=archive"]).success();
    let ostree = ostree.clone().with("OSTREE_GPG_HOME", &keys).with("TZ", zone);
    let output = ostree.repo(&repo, ["remote", "gpg-list-keys"]);
    let mut ring = Keyring::default();
    ring.add_directory(&keys, openpgp::Absent::Refused).unwrap();
    let text = openpgp::list(&ring, now(), &TimeZone::get(zone).unwrap());
    assert_eq!(text, output.success(), "{name} in {zone}");
}

#[test]
fn made_keys_are_listed_as_by_the_real_program() {
    let (Some(home), Some(ostree)) = (Home::new(), ostree()) else { return };
    let sign = ("ed25519", "sign");
    let first = home.key("A B (c) <Ab+1@Example.com>", sign, "20250901T000000");
    home.at("20250201T000000", &["--quick-add-uid", &first, "Same Time B <b@example.com>"]);
    home.at("20250201T000000", &["--quick-add-uid", &first, "Same Time A"]);
    let fifth = home.key("Earlier <e@example.com>", sign, "never");
    for user in ["Longest, Of The Same Time", "Same Time, Last", "Later <same.time@example.com>"] {
        home.at("20250201T000000", &["--quick-add-uid", &fifth, user]);
    }
    let second = home.key("Revoked <r@example.com>", sign, "20250901T000000");
    home.revoke(&second);
    let third = home.key("Subkeys <s@example.com>", ("ed25519", "cert"), "never");
    home.subkey(&third, "20250901T000000");
    home.subkey(&third, "20990901T000000");
    home.at("20250201T000000", &["--quick-add-uid", &third, "Gone <gone@example.com>"]);
    home.at("20250202T000000", &["--quick-revoke-uid", &third, "Gone <gone@example.com>"]);
    let fourth = home.key("Outlived <o@example.com>", sign, "20250901T000000");
    home.subkey(&fourth, "20990901T000000");
    let keys = home.export(&[]);
    for zone in ["UTC", "America/New_York"] {
        compare_lists(&ostree, "made", &keys, zone);
    }
    compare_lists(&ostree, "none", b"no keys", "UTC");
    let twice = home.key("Twice <a@B@example.com>", sign, "never");
    compare_lists(&ostree, "an address with two signs", &home.export(&[&twice]), "UTC");
}

#[test]
fn keyrings_of_distributions_are_listed_as_by_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let found = fs::read_dir("/usr/share/keyrings").into_iter().flatten();
    let mut files: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|kind| kind == "gpg"));
    files.retain(|path| fs::metadata(path).is_ok_and(|file| file.len() < 8 << 20));
    files.sort();
    if files.is_empty() {
        return crate::support::skip("there are no keyrings of a distribution");
    }
    for file in files {
        compare_lists(&ostree, &file.display().to_string(), &fs::read(&file).unwrap(), "UTC");
    }
}

#[test]
fn keys_are_imported_and_counted_as_by_the_real_program() {
    let (Some(home), Some(ostree)) = (Home::new(), ostree()) else { return };
    let one = home.key("One <one@example.com>", ("ed25519", "sign"), "never");
    let two = home.key("Two <two@example.com>", ("ed25519", "sign"), "never");
    let before = home.export(&[&one]);
    home.subkey(&one, "never");
    home.at("20250201T000000", &["--quick-add-uid", &one, "Uno <uno@example.com>"]);
    let after = home.at("20250601T000000", &["--armor", "--export", &one, &two]);
    let repo = home.file("repo");
    ostree.repo(&repo, ["init", "--mode=archive"]).success();
    ostree.repo(&repo, ["remote", "add", "origin", "http://localhost/"]).success();
    let mut keyring = Vec::new();
    for (source, ids, count) in [
        (&before, &[][..], 1),
        (&before, &[], 0),
        (&after, &["one@example.com"], 0),
        (&after, &[&two[24..]], 1),
        (&after, &[], 0),
    ] {
        let imported = openpgp::import(&keyring, source, ids).unwrap();
        keyring = imported.keyring;
        let place = format!("--repo={}", repo.display());
        let arguments = ["remote", "gpg-import", "--stdin", &place, "origin"];
        let all: Vec<&str> = arguments.iter().chain(ids).copied().collect();
        let said = ostree.run_with_input(&all, source).success();
        assert_eq!(imported.new_keys, count);
        let plural = if count == 1 { "" } else { "s" };
        assert_eq!(said, format!("Imported {count} GPG key{plural} to remote \"origin\"\n"));
        let mut ring = Keyring::default();
        ring.add_binary(&keyring, Path::new("ours"));
        let listed = ostree.repo(&repo, ["remote", "gpg-list-keys", "origin"]).success();
        assert_eq!(openpgp::list(&ring, now(), &TimeZone::UTC), listed);
        // What osier has written the real program lists, too.
        let theirs = repo.join("origin.trustedkeys.gpg");
        let kept = fs::read(&theirs).unwrap();
        fs::write(&theirs, &keyring).unwrap();
        assert_eq!(ostree.repo(&repo, ["remote", "gpg-list-keys", "origin"]).success(), listed);
        fs::write(&theirs, kept).unwrap();
    }
    let refused =
        |source: &[u8], ids: &[&str]| openpgp::import(b"", source, ids).unwrap_err().to_string();
    assert_eq!(refused(b"", &[]), "GPG: Unable to export keys: GPGME: No data");
    assert_eq!(
        refused(&after, &["nobody"]),
        "GPG: Unable to find key \"nobody\": GPGME: Invalid value"
    );
}

#[test]
fn keys_are_found_by_what_users_call_them() {
    let Some(home) = Home::new() else { return };
    let one = home.key("One Same <one@example.com>", ("ed25519", "cert"), "never");
    home.subkey(&one, "never");
    let two = home.key("Two Same <two@example.com>", ("ed25519", "sign"), "never");
    let mut ring = Keyring::default();
    ring.add(&home.export(&[]), Path::new("keys"));
    let signature = home.sign(&one, &[], b"data");
    let reports = openpgp::verify(b"data", &[b"", &signature, b""], &ring, now()).unwrap();
    let subkey = reports[0].fingerprint.unwrap().to_string();
    assert_ne!(subkey, one);
    let found = |id: &str| ring.resolve_one(id).map(|it| it.to_string());
    for id in [
        &one,
        &one[24..],
        &one[32..],
        &subkey,
        &subkey[24..],
        "ONE@example.com",
        "One Sa",
        "@one@",
        "=One Same <one@example.com>",
        "<one@example.com>",
        &format!("0x{one}"),
        &format!("{subkey}!"),
    ] {
        assert_eq!(found(id).as_ref(), Some(&one), "{id}");
        assert_eq!(found(&id.to_lowercase()).is_some(), !id.starts_with('='), "{id}");
    }
    assert_eq!(found("two@example.com"), Some(two));
    for id in ["Same", "", "nobody", "<ne@example.com>", "=One Same", "01234567"] {
        assert_eq!(found(id), None, "{id}");
    }
    let primary = reports[0].primary.unwrap();
    assert_eq!(openpgp::elements_by(&reports, primary), [1]);
}
