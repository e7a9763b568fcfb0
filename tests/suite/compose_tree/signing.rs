//! The group `[sign]`: commits and summaries that are signed before they are public.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use osier::gvariant::Dict;
use osier::object::detached;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::kills::{Injection, RENAMES, end, nothing_is_half_done, send, traced};
use super::world::{PENDING, REF, World};
use crate::sign_gpg::homes::Home;
use crate::support::{Server, can_trace, has_programs, one_of, ostree, program};

/// Signs what it reads with the key beside it, and writes down what is public at that moment.
const SIGNER: &str = r#"#!/bin/sh
here=$(dirname "$0")
{
  echo "$OSIER_SIGN_KIND $OSIER_SIGN_TYPE $*"
  echo "ref $(cat repo/refs/heads/exampleos/22/x86_64/host 2>/dev/null)"
  echo "pending $(cat repo/refs/remotes/osier-pending/exampleos/22/x86_64/host 2>/dev/null)"
  echo "signed $(find repo/objects -name '*.commitmeta' | wc -l)"
  echo "caller $(tr '\0' ' ' </proc/$PPID/cmdline)"
} >>"$here/asked"
case $(cat "$here/mood" 2>/dev/null) in
  away) echo "the device is away" >&2; exit 3 ;;
  lies) head -c 64 /dev/zero; exit ;;
  slow) sleep 100 ;;
esac
cat >"$here/payload"
openssl pkeyutl -sign -rawin -inkey "$here/device.pem" -in "$here/payload"
"#;

const EXEC: &str = "exec=keys/signer --slot 3\nexec-public-key-file=keys/device.pub\n";

fn write_secret(path: &Path, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

impl World {
    /// Sets the group, after everything else.
    fn sign_with(&self, lines: &str) {
        self.set_config(&format!("[sign]\n{lines}"));
    }

    /// Makes `keys/NAME.sec` and `keys/NAME.pub`; returns the name of the key in reports.
    fn ed25519(&self, name: &str) -> String {
        let base = self.path("keys").join(name);
        fs::create_dir_all(self.path("keys")).unwrap();
        self.osier().run(["sign", "--generate-key", "--out", base.to_str().unwrap()]).success();
        let key = fs::read_to_string(base.with_extension("pub")).unwrap();
        format!("ed25519:{}", hex(&unbase64(key.trim())))
    }

    /// Makes a program that signs with an ed25519 key; returns the name of that key. `None` without
    /// OpenSSL.
    #[track_caller]
    fn signer(&self) -> Option<String> {
        let keys = self.path("keys");
        fs::create_dir_all(&keys).unwrap();
        let openssl = program("openssl")?.in_directory(&keys);
        openssl.run(["genpkey", "-algorithm", "ed25519", "-out", "device.pem"]).success();
        let public = ["pkey", "-in", "device.pem", "-pubout", "-outform", "DER"];
        let der = openssl.run(public).stdout;
        let key = &der[der.len() - 32..];
        fs::write(keys.join("device.pub"), base64(key)).unwrap();
        fs::write(keys.join("signer"), SIGNER).unwrap();
        fs::set_permissions(keys.join("signer"), fs::Permissions::from_mode(0o755)).unwrap();
        Some(format!("ed25519:{}", hex(key)))
    }

    fn mood(&self, mood: &str) {
        fs::write(self.path("keys/mood"), mood).unwrap();
    }

    /// Makes `keys/spki.pem`; returns the name of the key, and its public part as OpenSSL has it.
    #[track_caller]
    fn spki(&self) -> Option<(String, String)> {
        let keys = self.path("keys");
        fs::create_dir_all(&keys).unwrap();
        let openssl = program("openssl")?.in_directory(&keys);
        let curve = ["-pkeyopt", "ec_paramgen_curve:P-256"];
        openssl
            .run(["genpkey", "-algorithm", "EC", "-out", "spki.pem"].iter().chain(&curve))
            .success();
        let public = |form| openssl.run(["pkey", "-in", "spki.pem", "-pubout", "-outform", form]);
        let name = format!("spki:{}", osier::Checksum::of(&public("DER").stdout));
        Some((name, public("PEM").success()))
    }

    fn object(&self, commit: &str, kind: &str) -> PathBuf {
        let (first, rest) = commit.split_at(2);
        self.repo().join(format!("objects/{first}/{rest}.{kind}"))
    }

    fn detached(&self, commit: &str) -> Option<Vec<u8>> {
        fs::read(self.object(commit, "commitmeta")).ok()
    }

    /// There is one signature of each of those keys in a dictionary, as OpenSSL sees it.
    #[track_caller]
    fn assert_openssl_accepts(
        &self,
        signature_type: &str,
        names: &[&str],
        (payload, metadata): (&[u8], &Dict),
    ) {
        let openssl = program("openssl").unwrap().in_directory(self.path("keys"));
        let key = format!("ostree.sign.{signature_type}");
        let signatures: Vec<&[u8]> = detached::signatures(metadata, &key).unwrap().collect();
        assert_eq!(signatures.len(), names.len());
        fs::write(self.path("keys/data"), payload).unwrap();
        for name in names {
            let public = format!("{name}.pem.pub");
            let accepts = |signature: &&&[u8]| {
                fs::write(self.path("keys/signature"), **signature).unwrap();
                let verify = ["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", &public];
                let files = ["-in", "data", "-sigfile", "signature"];
                let digest = ["-digest", "sha256"];
                let digest = if signature_type == "spki" { &digest[..] } else { &[] };
                openssl.run(verify.iter().chain(&files).chain(digest)).status == 0
            };
            assert_eq!(signatures.iter().filter(accepts).count(), 1, "{name}");
        }
    }

    fn summary_and_signature(&self) -> (Vec<u8>, Vec<u8>) {
        let read = |name| fs::read(self.repo().join(name)).unwrap();
        (read("summary"), read("summary.sig"))
    }

    /// Nothing that osier wrote or printed has any of the texts in it.
    #[track_caller]
    fn assert_secret(&self, texts: &[Vec<u8>], printed: &[&[u8]]) {
        let has = |bytes: &[u8]| {
            texts.iter().any(|text| bytes.windows(text.len()).any(|window| window == &text[..]))
        };
        assert!(!printed.iter().any(|bytes| has(bytes)), "printed");
        let mut todo: Vec<_> = ["repo", "work", "cache", "record", "keys/asked"]
            .iter()
            .map(|name| self.path(name))
            .collect();
        let mut read = 0;
        while let Some(path) = todo.pop() {
            if path.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            } else if let Ok(bytes) = fs::read(&path) {
                read += 1;
                assert!(!has(&bytes), "{}", path.display());
            }
        }
        assert!(read > 10, "{read} files only");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = ALPHABET[(word >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn unbase64(text: &str) -> Vec<u8> {
    let digit = |byte| ALPHABET.iter().position(|digit| *digit == byte).unwrap() as u32;
    let (mut bytes, mut word, mut bits) = (Vec::new(), 0, 0);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        (word, bits) = (word << 6 | digit(byte), bits + 6);
        if bits >= 8 {
            bits -= 8;
            bytes.push((word >> bits) as u8);
        }
    }
    bytes
}

/// An ed25519 key as OpenSSL takes it.
fn ed25519_pem(key: &[u8]) -> String {
    let prefix = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    let der = base64(&[&prefix[..], key].concat());
    format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n")
}

/// The forms in which the key in a file might come to light.
fn forms(path: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('-'));
    let body: String = lines.collect();
    let bytes = unbase64(&body);
    // The last bytes of PKCS#8 are the seed; so are the first ones of a bare key.
    let seed = if bytes.len() == 64 { &bytes[..32] } else { &bytes[bytes.len() - 32..] };
    vec![body[..40].into(), seed.to_vec(), hex(seed).into(), hex(seed).to_uppercase().into()]
}

fn texts(value: &Value) -> Vec<String> {
    let mut texts: Vec<String> =
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn every_kind_of_key_signs_commit_and_summary_and_the_real_client_accepts_both() {
    let Some(world) = World::new() else { return };
    let (Some(home), Some(device), Some((spki, spki_pem))) =
        (Home::new(), world.signer(), world.spki())
    else {
        return;
    };
    let held = home.key("Held <held@example.com>", ("ed25519", "sign"), "0");
    let exported = home.key("Exported <exported@example.com>", ("rsa2048", "sign"), "0");
    let secret = home.at("20250601T000000", &["--export-secret-keys", &exported]);
    write_secret(&world.path("keys/exported.gpg"), secret);
    let ed25519 = world.ed25519("release");
    world.sign_with(&format!(
        "gpg-keys=held@example.com\ngpg-homedir={}\ngpg-key-files=keys/exported.gpg\n\
         ed25519-key-files=keys/release.sec\nspki-key-files=keys/spki.pem\n{EXEC}",
        home.path().display()
    ));
    let mut expected =
        vec![format!("gpg:{held}"), format!("gpg:{exported}"), ed25519, spki, device];
    expected.sort_unstable();

    let output = world.osier().run(["compose", "check", "--config=compose.conf", "--json"]);
    let document: Value = serde_json::from_str(&output.success()).unwrap();
    assert_eq!(texts(&document["signers"]), expected);
    assert_eq!(document["errors"], json!([]));
    let stdout = world.osier().run(["compose", "check", "--config=compose.conf"]).success();
    assert!(stdout.contains(&format!("signs with gpg:{held}\n")), "{stdout}");

    let report: Value = serde_json::from_str(&world.tree(&["-q", "--json"]).success()).unwrap();
    assert_eq!(
        (texts(&report["signatures"]), &report["stage"]),
        (expected.clone(), &json!("done"))
    );
    assert_eq!(texts(&report["summary"]["signatures"]), expected);
    assert_eq!(report["summary"]["signed"], true);
    assert!(!report["warnings"].to_string().contains("key"), "{}", report["warnings"]);
    let first = world.public_commit().unwrap();
    world.assert_served(&first);

    for name in ["release", "device"] {
        let key =
            unbase64(fs::read_to_string(world.path(&format!("keys/{name}.pub"))).unwrap().trim());
        fs::write(world.path(&format!("keys/{name}.pem.pub")), ed25519_pem(&key)).unwrap();
    }
    fs::write(world.path("keys/spki.pem.pub"), spki_pem).unwrap();
    let commit = fs::read(world.object(&first, "commit")).unwrap();
    let (summary, signature) = world.summary_and_signature();
    for (payload, metadata) in [(commit, world.detached(&first).unwrap()), (summary, signature)] {
        let metadata = Dict::decode(&metadata).unwrap();
        world.assert_openssl_accepts("ed25519", &["release", "device"], (&payload, &metadata));
        world.assert_openssl_accepts("spki", &["spki"], (&payload, &metadata));
    }

    // A run that finds nothing new signs nothing again.
    let before = (world.detached(&first), world.public(), world.summary_and_signature());
    world.tree(&[]).success();
    assert_eq!(world.report()["status"], "unchanged");
    assert_eq!(texts(&world.report()["signatures"]), expected);
    world.publish(&first).success();
    assert_eq!(
        (world.detached(&first), world.public(), world.summary_and_signature()),
        before,
        "signed once"
    );

    let Some(ostree) = ostree() else { return };
    // A keyring in the repository is one that `show` uses.
    fs::write(world.repo().join("all.trustedkeys.gpg"), home.export(&[])).unwrap();
    let shown = ostree.repo(&world.repo(), ["show", REF]).success();
    assert!(shown.contains("Found 2 signatures:"), "{shown}");
    for name in ["Held <held@", "Exported <exported@"] {
        assert!(shown.contains(&format!("Good signature from \"{name}example.com>\"")), "{shown}");
    }

    // A client that wants everything signed, and one that trusts another key only.
    let server = Server::start(&world.path(""));
    let url = format!("{}/repo", server.url);
    let stranger = home.key("Stranger <stranger@example.com>", ("ed25519", "sign"), "0");
    world.change(2);
    world.tree(&["-q"]).success();
    let knows_ed25519 = ostree.run(["--version"]).success().contains("sign-ed25519");
    for (number, (gpg, bare, trusted)) in [
        (&held, "release", true),
        (&exported, "device", true),
        (&stranger, "release", false),
        (&held, "stranger", !knows_ed25519),
    ]
    .into_iter()
    .enumerate()
    {
        let client = world.path(&format!("client-{number}"));
        ostree.repo(&client, ["init", "--mode=bare-user-only"]).success();
        let keyring = world.path("keys/trusted.gpg");
        fs::write(&keyring, home.export(&[gpg])).unwrap();
        let import = format!("--gpg-import={}", keyring.display());
        let mut add = vec!["remote", "add", "--set=gpg-verify-summary=true", &import];
        if bare == "stranger" {
            world.ed25519(bare);
        }
        let key = fs::read_to_string(world.path(&format!("keys/{bare}.pub"))).unwrap();
        let verify = format!("--sign-verify=ed25519=inline:{}", key.trim());
        if knows_ed25519 {
            add.extend(["--set=sign-verify-summary=true", &verify]);
        }
        add.extend(["exampleos", &url]);
        ostree.repo(&client, add).success();
        let pulled = ostree.repo(&client, ["pull", "exampleos", REF]);
        assert_eq!(pulled.status == 0, trusted, "{number}: {pulled:?}");
    }
}

#[test]
fn the_commit_is_signed_before_the_summary_and_both_before_the_ref_moves() {
    let Some((world, first)) = World::composed() else { return };
    let Some(device) = world.signer() else { return };
    world.sign_with(EXEC);
    world.change(2);
    world.tree(&["-q"]).success();
    let second = world.public_commit().unwrap();
    let asked = fs::read_to_string(world.path("keys/asked")).unwrap();
    let lines: Vec<&str> = asked.lines().filter(|line| !line.starts_with("caller ")).collect();
    let (public, pending) = (format!("ref {first}"), format!("pending {second}"));
    let expected = [
        "commit ed25519 --slot 3",
        &public,
        &pending,
        "signed 0",
        "summary ed25519 --slot 3",
        &public,
        &pending,
        "signed 1",
    ];
    assert_eq!(lines, expected);
    assert_eq!(world.report()["signatures"], json!([device]));
    world.assert_served(&second);
}

#[test]
fn a_tree_that_cannot_be_signed_waits_and_is_published_later() {
    let Some((world, first)) = World::composed() else { return };
    let Some(device) = world.signer() else { return };
    let ed25519 = world.ed25519("release");
    world.sign_with(&format!("ed25519-key-files=keys/release.sec\n{EXEC}"));
    world.change(2);
    let before = world.public();
    let mut printed = Vec::new();
    let mut newest = String::new();
    for (number, (mood, reason)) in [
        ("away", "exit status 3: the device is away"),
        ("lies", "the signature is not attached: ed25519: Signature couldn't be verified with: "),
    ]
    .into_iter()
    .enumerate()
    {
        world.mood(mood);
        let output = match number {
            0 => world.tree(&["--json", "--verbose"]),
            _ => world.publish(PENDING),
        };
        printed.extend([output.stdout.clone(), output.stderr.clone()]);
        let message = output.failure();
        newest = world.rev(PENDING).unwrap();
        let signer = world.path("keys/signer");
        let expected = format!(
            "the commit {newest} waits as {PENDING}: not signed, `osier compose publish` \
             continues here: signing the commit with the program {}: ",
            signer.display()
        );
        assert!(message.starts_with(&expected) && message.contains(reason), "{message}");
        assert_eq!(world.public(), before);
        // All keys sign, or none.
        assert_eq!(world.detached(&newest), None);
        let report = world.report();
        assert_eq!((&report["status"], &report["stage"]), (&json!("failed"), &json!("sign")));
        assert_eq!(report["signatures"], json!([]));
        world.assert_served(&first);
    }
    // Nor does anything else: the key file is gone, and back again.
    let key = fs::read(world.path("keys/release.sec")).unwrap();
    fs::remove_file(world.path("keys/release.sec")).unwrap();
    assert!(world.publish(PENDING).failure().contains("[sign] ed25519-key-files: opening "));
    write_secret(&world.path("keys/release.sec"), key);
    world.mood("");
    world.publish(&newest).success();
    assert_eq!(texts(&world.report()["signatures"]).len(), 2);
    assert!(texts(&world.report()["signatures"]).contains(&device));
    assert!(texts(&world.report()["summary"]["signatures"]).contains(&ed25519));
    assert_eq!((world.rev(PENDING), world.public_commit()), (None, Some(newest.clone())));
    world.assert_served(&newest);
    let secrets: Vec<Vec<u8>> = ["release.sec", "device.pem"]
        .iter()
        .flat_map(|name| forms(&world.path("keys").join(name)))
        .collect();
    let printed: Vec<&[u8]> = printed.iter().map(Vec::as_slice).collect();
    world.assert_secret(&secrets, &printed);
}

#[test]
fn a_summary_that_cannot_be_signed_keeps_the_ref_where_it_is() {
    let Some((world, first)) = World::composed() else { return };
    if world.signer().is_none() {
        return;
    }
    world.sign_with(EXEC);
    // It signs the commit and is away for the summary.
    let script = SIGNER
        .replace("cat >\"$here/payload\"", "cat >\"$here/payload\"; echo away >\"$here/mood\"");
    fs::write(world.path("keys/signer"), script).unwrap();
    world.change(2);
    let before = world.public();
    let message = world.tree(&[]).failure();
    let waiting = world.rev(PENDING).unwrap();
    let expected =
        format!("the commit {waiting} waits as {PENDING}: signing the summary with the program ");
    assert!(message.starts_with(&expected), "{message}");
    assert_eq!(world.public(), before);
    assert!(!world.repo().join("summary.sig").exists());
    assert_eq!(world.report()["stage"], "publish");
    let signed = world.detached(&waiting).unwrap();
    world.mood("");
    fs::write(world.path("keys/signer"), SIGNER).unwrap();
    world.publish(PENDING).success();
    assert_eq!(world.detached(&waiting), Some(signed), "it is not signed again");
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    assert!(world.repo().join("summary.sig").exists());
}

#[test]
fn a_program_that_takes_too_long_is_ended() {
    let Some(world) = World::new() else { return };
    if world.signer().is_none() {
        return;
    }
    world.sign_with(&format!("{EXEC}exec-timeout=1s\n"));
    world.mood("slow");
    let message = world.tree(&[]).failure();
    assert!(message.ends_with("keys/signer did not answer within 1 s"), "{message}");
    assert!(world.rev(PENDING).is_some() && world.public_commit().is_none());
}

#[test]
fn an_agent_that_has_no_passphrase_leaves_the_tree_waiting_until_it_has() {
    let (Some((world, first)), Some(home)) = (World::composed(), Home::new()) else { return };
    let Some(gpgconf) = program("gpgconf") else { return };
    let passphrase = "--passphrase=open-sesame";
    let user = "Locked <locked@example.com>";
    let made = [passphrase, "--quick-generate-key", user, "ed25519", "sign", "0"];
    home.at("20250101T000000", &made);
    // The agent forgets.
    gpgconf.run(["--homedir", home.path().to_str().unwrap(), "--kill", "all"]).success();
    world.sign_with(&format!("gpg-keys=locked@\ngpg-homedir={}\n", home.path().display()));
    // Nobody is asked for it before it is needed.
    world.osier().run(["compose", "check", "--config=compose.conf"]).success();
    world.change(2);
    let output = world.tree(&["-q"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status, 1, "{stderr}");
    let waiting = world.rev(PENDING).unwrap();
    let expected = format!(
        "error: the commit {waiting} waits as {PENDING}: not signed, `osier compose publish` \
         continues here: signing the commit with the gpg key locked@: Failure signing commit file: "
    );
    assert!(stderr.contains(&expected), "{stderr}");
    world.assert_served(&first);
    home.at_with_input("20250305T040506", &[passphrase, "--sign", "-u", "locked@"], b"data");
    world.publish(PENDING).success();
    assert_eq!(world.report()["summary"]["signatures"], world.report()["signatures"]);
    assert!(world.report()["signatures"][0].as_str().unwrap().starts_with("gpg:"));
    world.assert_served(&waiting);
    world.assert_secret(&[b"open-sesame".to_vec()], &[&output.stdout, &output.stderr]);
}

#[test]
fn an_interrupt_ends_a_program_that_signs_and_the_commit_waits() {
    let Some((world, first)) = World::composed() else { return };
    if world.signer().is_none() {
        return;
    }
    world.sign_with(EXEC);
    world.mood("slow");
    world.change(2);
    let child = world.spawn("");
    let started = Instant::now();
    while !world.path("keys/asked").exists() {
        assert!(started.elapsed() < Duration::from_secs(60));
        thread::sleep(Duration::from_millis(10));
    }
    send(&child, Signal::INT);
    let (status, stderr) = end(child);
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.ends_with(": interrupted\n"), "{stderr}");
    world.assert_served(&first);
    world.mood("");
    let waiting = world.rev(PENDING).unwrap();
    world.publish(PENDING).success();
    world.assert_served(&waiting);
}

#[test]
fn a_signed_summary_is_replaced_by_one_that_is_signed() {
    let Some((world, first)) = World::composed() else { return };
    let ed25519 = world.ed25519("release");
    let (repo, old) = (world.repo(), world.ed25519("old"));
    let secret = fs::read_to_string(world.path("keys/old.sec")).unwrap();
    world.osier().repo(&repo, ["summary", "-u", "--sign", secret.trim()]).success();
    world.sign_with("ed25519-key-files=keys/release.sec\n");
    // The old key has no say in it; the repository is signed anew at once, also without news.
    let output = world.tree(&["-q"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    let expected = "warning: the summary had not the signatures of all keys; it was refreshed";
    assert!(stderr.contains(expected), "{stderr}");
    assert_eq!(world.report()["summary"]["signatures"], json!([ed25519]));
    // The commit was public without a signature, and has one now.
    assert_eq!(world.report()["signatures"], json!([ed25519]));
    assert!(world.detached(&first).is_some());
    world.change(2);
    world.tree(&["-q"]).success();
    assert_eq!(world.report()["summary"]["signed"], true);
    world.assert_served(&world.public_commit().unwrap());
    // A new signature by the old key alone is mended, too; one without a key in [sign] is not
    // silently dropped.
    let before = world.summary_and_signature();
    world.sign_with("ed25519-key-files=keys/release.sec;keys/old.sec\n");
    world.tree(&["-q"]).success();
    assert_eq!(texts(&world.report()["summary"]["signatures"]).len(), 2);
    assert_ne!(world.summary_and_signature(), before);
    assert!(texts(&world.report()["signatures"]).contains(&old));
    let Some((spki, _)) = world.spki() else { return };
    world.sign_with("spki-key-files=keys/spki.pem\n");
    let output = world.tree(&["-q", "--force"]);
    let warning = format!(
        "warning: the summary of {} has signatures under ostree.sign.ed25519, and no key in [sign] \
         makes those: publishing drops them",
        repo.display()
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains(&warning), "{output:?}");
    output.success();
    assert_eq!(world.report()["summary"]["signatures"], json!([spki]));
    // Without any key it is refused.
    world.set_config("");
    world.change(3);
    assert!(world.tree(&[]).failure().contains("the configuration has no key for the next one"));
}

#[test]
fn without_publishing_the_commit_is_signed_and_waits() {
    let Some((world, _)) = World::composed() else { return };
    let ed25519 = world.ed25519("release");
    world.sign_with("ed25519-key-files=keys/release.sec\n");
    world.change(2);
    let before = world.public();
    world.tree(&["-q", "--no-publish"]).success();
    let waiting = world.rev(PENDING).unwrap();
    assert_eq!(
        (&world.report()["signatures"], &world.report()["status"]),
        (&json!([ed25519]), &json!("composed"))
    );
    let signed = world.detached(&waiting);
    assert!(signed.is_some() && world.public() == before);
    // Another machine signs it with a key of its own; nothing of that is lost or doubled.
    world.ed25519("elsewhere");
    let other = fs::read_to_string(world.path("keys/elsewhere.sec")).unwrap();
    world.osier().repo(&world.repo(), ["sign", &waiting, other.trim()]).success();
    let signed = world.detached(&waiting);
    world.publish(&waiting).success();
    assert_eq!(world.detached(&waiting), signed);
    assert_eq!(world.public_commit(), Some(waiting));
}

#[test]
fn check_finds_every_key_that_cannot_sign() {
    let Some(world) = World::new() else { return };
    let ed25519 = world.ed25519("good");
    let keys = world.path("keys");
    let secret = fs::read_to_string(keys.join("good.sec")).unwrap();
    for (name, mode) in [("open.sec", 0o644), ("shared.sec", 0o620), ("same.sec", 0o600)] {
        fs::write(keys.join(name), &secret).unwrap();
        fs::set_permissions(keys.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    write_secret(&keys.join("short.sec"), "S0VZ\n");
    write_secret(&keys.join("empty.sec"), "");
    write_secret(
        &keys.join("none.pem"),
        "-----BEGIN PRIVATE KEY-----\nS0VZ\n-----END PRIVATE KEY-----\n",
    );
    fs::write(keys.join("two.pub"), {
        let key = fs::read_to_string(keys.join("good.pub")).unwrap();
        world.ed25519("second");
        key + &fs::read_to_string(keys.join("second.pub")).unwrap()
    })
    .unwrap();
    fs::create_dir(keys.join("directory")).unwrap();
    world.sign_with(
        "ed25519-key-files=keys/good.sec;keys/missing.sec;keys/open.sec;keys/shared.sec;\
         keys/short.sec;keys/empty.sec;keys/directory\n\
         spki-key-files=keys/none.pem\nexec=no-such-signer\nexec-public-key-file=keys/two.pub\n\
         gpg-keys=0123456789ABCDEF\ngpg-program=no-such-gpg\ngpg-key-files=keys/good.sec\n",
    );
    let output = world.osier().run(["compose", "check", "--config=compose.conf", "--json"]);
    assert!(!String::from_utf8_lossy(&output.stdout).contains(secret.trim()));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let at = keys.display();
    let expected = [
        "there is no program `no-such-gpg` on PATH, needed for signing with the keys of gpg"
            .to_owned(),
        format!("[sign] gpg-key-files: {at}/good.sec: no secret key found"),
        format!("[sign] ed25519-key-files: opening {at}/missing.sec: No such file or directory"),
        format!(
            "[sign] ed25519-key-files: refusing the secret key in '{at}/shared.sec': others may \
             write it (mode 0620)"
        ),
        format!(
            "[sign] ed25519-key-files: {at}/short.sec: Invalid ed25519 secret key: Ill-formed \
             input: expected 64 bytes, got 3 bytes"
        ),
        format!("[sign] ed25519-key-files: {at}/empty.sec: no valid keys in file '{at}/empty.sec'"),
        format!("[sign] ed25519-key-files: {at}/directory is no regular file"),
        format!("[sign] spki-key-files: {at}/none.pem: openssl: Failed to initialize spki key"),
        format!("[sign] exec-public-key-file: {at}/two.pub: 2 public keys instead of one"),
        "there is no program `no-such-signer` on PATH, needed for signing".to_owned(),
    ];
    assert_eq!(document["errors"], json!(expected));
    let warnings = document["warnings"].to_string();
    for warning in [
        format!("others may read the secret key in '{at}/open.sec' (mode 0644)"),
        format!(
            "[sign] the ed25519 key in {at}/open.sec is the ed25519 key in {at}/good.sec, and \
             signs once"
        ),
    ] {
        assert!(warnings.contains(&warning), "{warnings}");
    }
    assert_eq!(document["signers"], json!([ed25519]));
    assert_eq!(output.failure(), "there are 10 problems");
    // A run does not begin, and neither does publishing.
    assert!(world.tree(&[]).failure().contains("no-such-signer"));
    assert!(!world.repo().exists() && !world.path("work").exists());
    // A dry run needs no programs.
    world.sign_with(
        "exec=no-such-signer\nexec-public-key-file=keys/good.pub\ngpg-keys=A\n\
         gpg-program=no-such-gpg\n",
    );
    let output = world.tree(&["--dry-run"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    for name in ["no-such-gpg", "no-such-signer"] {
        assert!(stderr.contains(&format!("warning: there is no program `{name}`")), "{stderr}");
    }
}

/// What docs/compose.md tells a release engineer to do.
#[test]
fn the_example_signs_when_its_group_is_taken_into_use() {
    let Some(world) = World::new() else { return };
    for name in ["compose.conf", "exampleos-host.json", "exampleos.repo"] {
        let example = format!("{}/examples/compose/{name}", env!("CARGO_MANIFEST_DIR"));
        fs::copy(example, world.path(name)).unwrap();
    }
    let example = fs::read_to_string(world.path("compose.conf")).unwrap();
    let (before, after) = example.split_once("#[sign]\n").unwrap();
    let key = after.lines().next().unwrap().strip_prefix('#').unwrap();
    let (before, ed25519) = (before.to_owned(), world.ed25519("ed25519"));
    let config = format!("{before}min-free-mib=1\n[sign]\n{key}\n");
    fs::write(world.path("compose.conf"), config).unwrap();
    world.tree(&["-q"]).success();
    assert_eq!(world.report()["signatures"], json!([ed25519]));
    // All keys of the group are known.
    let whole = after.split_once("\n\n").unwrap().0.replace("\n#", "\n");
    let whole = whole.strip_prefix('#').unwrap();
    fs::write(world.path("compose.conf"), format!("{before}[sign]\n{whole}\n")).unwrap();
    let message = world.tree(&[]).failure();
    let homedir = world.path("keys/gnupg");
    let expected = format!("[sign] gpg-homedir: no directory {}", homedir.display());
    if has_programs(&["gpg"]) {
        assert!(message.contains(&expected) && !message.contains("unknown"), "{message}");
    }
}

#[test]
fn check_finds_keys_that_gpg_does_not_have_or_that_cannot_sign() {
    let (Some(world), Some(home)) = (World::new(), Home::new()) else { return };
    let good = home.key("Good <good@example.com>", ("ed25519", "sign"), "0");
    home.key("Old <old@example.com>", ("ed25519", "sign"), "2025-02-01");
    home.key("Idle <idle@example.com>", ("ed25519", "cert"), "0");
    let homedir = home.path().display();
    let unusable = "Failure signing commit file: GPGME: Unusable secret key";
    world.sign_with(&format!(
        "gpg-homedir={homedir}\ngpg-keys={good};0123456789ABCDEF;nobody;example.com;old@;idle@\n"
    ));
    let output = world.osier().run(["compose", "check", "--config=compose.conf", "--json"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected = [
        format!("0123456789ABCDEF: No gpg key found with ID 0123456789ABCDEF (homedir: {homedir})"),
        "nobody: Unable to lookup key ID nobody: GPGME: Invalid value".to_owned(),
        format!(
            "example.com: gpg key id example.com ambiguous (homedir: {homedir}). Try the \
             fingerprint instead"
        ),
        format!("old@: {unusable}"),
        format!("idle@: {unusable}"),
    ]
    .map(|error| format!("[sign] gpg-keys: {error}"));
    assert_eq!(document["errors"], json!(expected));
    assert_eq!(document["signers"], json!([format!("gpg:{good}")]));
    assert!(document["programs"]["gpg"]["version"].is_string());
    world.sign_with("gpg-homedir=nowhere\ngpg-keys=A\n");
    let message = world.tree(&[]).failure();
    let nowhere = world.path("nowhere");
    assert_eq!(message, format!("[sign] gpg-homedir: no directory {}", nowhere.display()));
}

/// Rule 1: whatever is public is signed, and the next run mends a summary that was left behind.
#[test]
fn osier_may_be_killed_at_any_rename_and_what_is_public_is_signed() {
    if !can_trace() || !has_programs(&["python3"]) {
        return;
    }
    let Some(origin) = World::new() else { return };
    let ed25519 = origin.ed25519("release");
    origin.sign_with("ed25519-key-files=keys/release.sec\n");
    origin.tree(&["-q"]).success();
    let first = origin.public_commit().unwrap();
    origin.change(2);
    let key = fs::read_to_string(origin.path("keys/release.pub")).unwrap();
    let (mut moments, mut unsigned) = (0, 0);
    for calls in RENAMES.split(',') {
        for moment in (1..).step_by(one_of(2)) {
            let world = origin.copied();
            let what = format!("signal=KILL:when={moment}");
            if traced(&world, &Injection { calls, what, path: None }).status == 0 {
                break;
            }
            moments += 1;
            let public = world.public_commit().unwrap();
            let verify = ["sign", "--verify", &public, key.trim()];
            world.osier().repo(&world.repo(), verify).success();
            let pending = world.rev(PENDING);
            unsigned +=
                usize::from(pending.is_some_and(|commit| world.detached(&commit).is_none()));
            nothing_is_half_done(&world, &first);
            assert_eq!(world.report()["summary"]["signatures"], json!([ed25519]));
            let second = world.public_commit().unwrap();
            assert_eq!(world.report()["signatures"], json!([ed25519]));
            world.osier().repo(&world.repo(), ["sign", "--verify", &second, key.trim()]).success();
        }
    }
    assert!(moments >= 6 && unsigned >= 1, "{moments} moments, {unsigned} before the signature");
}
