//! The group `[sign]`: what signs commits and the summary. It names keys, and holds none.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use crate::sign::SignatureType;
use crate::sign::exec::EXEC_TIMEOUT;

/// The group `[sign]`. Everything in it signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignConfig {
    /// Keys that gpg has, by what gpg calls them.
    pub gpg_keys: Vec<String>,
    /// Where gpg has them, if not at the usual place.
    pub gpg_homedir: Option<PathBuf>,
    /// The name or path of gpg.
    pub gpg_program: Option<String>,
    /// Files with an exported secret key of gpg.
    pub gpg_key_files: Vec<PathBuf>,
    /// Files with ed25519 secret keys.
    pub ed25519_key_files: Vec<PathBuf>,
    /// Files with secret keys that say themselves what they are for, in PEM.
    pub spki_key_files: Vec<PathBuf>,
    /// A program that signs.
    pub exec: Option<ExecConfig>,
}

/// A program that signs, see [`exec`](crate::sign::exec).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecConfig {
    /// Its name or path, and its arguments.
    pub program: Vec<String>,
    /// What it makes.
    pub signature_type: SignatureType,
    /// The file with the public key that its signatures are valid with.
    pub public_key_file: PathBuf,
    /// How long it may take.
    pub timeout: Duration,
}

const KEYS: [&str; 10] = [
    "gpg-keys",
    "gpg-homedir",
    "gpg-program",
    "gpg-key-files",
    "ed25519-key-files",
    "spki-key-files",
    "exec",
    "exec-type",
    "exec-public-key-file",
    "exec-timeout",
];

impl SignConfig {
    /// Whether nothing signs.
    pub fn is_empty(&self) -> bool {
        self.gpg_keys.is_empty()
            && self.gpg_key_files.is_empty()
            && self.ed25519_key_files.is_empty()
            && self.spki_key_files.is_empty()
            && self.exec.is_none()
    }
}

pub(super) fn read(mut reader: Reader<'_>) -> SignConfig {
    reader.only(&KEYS);
    let gpg_program = reader.text("gpg-program").map(|program| match program.contains('/') {
        true => reader.relative(&program).to_string_lossy().into_owned(),
        false => program,
    });
    let config = SignConfig {
        gpg_keys: reader.list("gpg-keys"),
        gpg_homedir: reader.text("gpg-homedir").map(|path| reader.relative(&path)),
        gpg_program,
        gpg_key_files: paths(&mut reader, "gpg-key-files"),
        ed25519_key_files: paths(&mut reader, "ed25519-key-files"),
        spki_key_files: paths(&mut reader, "spki-key-files"),
        exec: exec(&mut reader),
    };
    if cfg!(not(feature = "gpg")) {
        for key in KEYS.into_iter().filter(|key| key.starts_with("gpg-")) {
            if reader.has_value(key) {
                reader.wrong::<()>(key, "GPG has been disabled at build time");
            }
        }
    } else if config.gpg_keys.is_empty() {
        without_effect(&mut reader, &["gpg-homedir", "gpg-program"], "gpg-keys");
    }
    if config.exec.is_none() {
        let keys = ["exec-type", "exec-public-key-file", "exec-timeout"];
        without_effect(&mut reader, &keys, "exec");
    }
    if config.is_empty() {
        reader.empty(
            "nothing in it signs: give gpg-keys, gpg-key-files, ed25519-key-files, \
                      spki-key-files or exec",
        );
    }
    config
}

fn paths(reader: &mut Reader<'_>, key: &str) -> Vec<PathBuf> {
    reader.list(key).iter().map(|path| reader.relative(path)).collect()
}

fn exec(reader: &mut Reader<'_>) -> Option<ExecConfig> {
    let program = reader.optional_program("exec")?;
    let signature_type = match reader.text("exec-type").as_deref() {
        None | Some("ed25519") => SignatureType::Ed25519,
        Some("spki") => SignatureType::Spki,
        Some(other) => {
            reader.wrong("exec-type", &format!("`{other}` is neither ed25519 nor spki"))?
        }
    };
    Some(ExecConfig {
        program,
        signature_type,
        public_key_file: reader.required_path("exec-public-key-file"),
        timeout: reader.duration("exec-timeout", EXEC_TIMEOUT),
    })
}

/// Records those of the keys that are there, although nothing comes of them without another.
fn without_effect(reader: &mut Reader<'_>, keys: &[&str], needed: &str) {
    for key in keys {
        if reader.has_value(key) && !reader.has_value(needed) {
            reader.wrong::<()>(key, &format!("has no effect without {needed}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::ComposeConfig;
    use super::*;

    fn parse(lines: &str) -> Result<SignConfig, Vec<String>> {
        let tree = "[compose]\nrepo=repo\ntreefile=t.json\ncachedir=c\nwork=work\n";
        let text = format!("{tree}[sign]\n{lines}");
        ComposeConfig::parse(&text, Path::new("/e")).map(|config| config.tree.sign)
    }

    #[test]
    #[cfg(feature = "gpg")]
    fn every_key_is_read() {
        let config = parse(
            "gpg-keys=0123456789ABCDEF;a@example.com\ngpg-homedir=gnupg\ngpg-program=tools/gpg\n\
             gpg-key-files=a.gpg\ned25519-key-files=keys/a;/b\nspki-key-files=c\n\
             exec=tools/sign --slot 3\nexec-type=spki\nexec-public-key-file=d\nexec-timeout=5m\n",
        );
        let expected = SignConfig {
            gpg_keys: vec!["0123456789ABCDEF".to_owned(), "a@example.com".to_owned()],
            gpg_homedir: Some("/e/gnupg".into()),
            gpg_program: Some("/e/tools/gpg".to_owned()),
            gpg_key_files: vec!["/e/a.gpg".into()],
            ed25519_key_files: vec!["/e/keys/a".into(), "/b".into()],
            spki_key_files: vec!["/e/c".into()],
            exec: Some(ExecConfig {
                program: ["/e/tools/sign", "--slot", "3"].map(str::to_owned).into(),
                signature_type: SignatureType::Spki,
                public_key_file: "/e/d".into(),
                timeout: Duration::from_secs(300),
            }),
        };
        assert_eq!(config, Ok(expected));
        let config = parse("exec=sign\nexec-public-key-file=/k\n").unwrap();
        let exec = config.exec.as_ref().unwrap();
        assert_eq!((exec.signature_type, exec.timeout), (SignatureType::Ed25519, EXEC_TIMEOUT));
        assert_eq!((&exec.program[..], config.is_empty()), (&["sign".to_owned()][..], false));
    }

    #[test]
    fn what_is_wrong_or_has_no_effect_is_reported() {
        let nothing = "[sign]: nothing in it signs: give gpg-keys, gpg-key-files, \
                       ed25519-key-files, spki-key-files or exec";
        for (lines, expected) in [
            ("", &[nothing][..]),
            ("ed25519-key-files=;\n", &[nothing]),
            ("key=1\n", &["[sign] unknown key key"]),
            ("exec=sign\n", &["[sign] exec-public-key-file: is missing"]),
            ("exec=\n", &["[sign] exec: is empty"]),
            (
                "exec=a\nexec-type=dummy\nexec-public-key-file=k\n",
                &["[sign] exec-type: `dummy` is neither ed25519 nor spki"],
            ),
            (
                "spki-key-files=k\nexec-type=spki\nexec-timeout=5m\n",
                &[
                    "[sign] exec-type: has no effect without exec",
                    "[sign] exec-timeout: has no effect without exec",
                ],
            ),
        ] {
            assert_eq!(parse(lines).unwrap_err(), expected, "{lines}");
        }
    }

    #[test]
    #[cfg(feature = "gpg")]
    fn a_home_of_gpg_without_keys_has_no_effect() {
        let problems = parse("gpg-homedir=h\nspki-key-files=k\n").unwrap_err();
        assert_eq!(problems, ["[sign] gpg-homedir: has no effect without gpg-keys"]);
    }

    #[test]
    #[cfg(not(feature = "gpg"))]
    fn keys_of_gpg_are_refused_where_gpg_is_not_built() {
        let problems = parse("gpg-keys=A\ngpg-key-files=k\n").unwrap_err();
        let expected = ["gpg-keys", "gpg-key-files"]
            .map(|key| format!("[sign] {key}: GPG has been disabled at build time"));
        assert_eq!(problems, expected);
    }
}
