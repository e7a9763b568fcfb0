//! The extra arguments of `rpm-ostree compose tree` that a configuration may give.
//!
//! A wrong option makes the evidence of a run worthless: `--help` and `--dry-run` end with status 0
//! and compose nothing, a second `--repo` composes into another repository. Parsers accept more
//! than one spelling of an option (`--repo PATH`, `-r PATH`, `-rPATH`, in some an abbreviation such
//! as `--rep`), so only `--NAME` and `--NAME=VALUE` with the whole name are accepted, and the name
//! decides.

use std::path::PathBuf;

/// Options that osier passes itself, that compose nothing, or that change what counts as unchanged.
const OWN: [&str; 20] = [
    "repo",
    "cachedir",
    "unified-core",
    "ex-unified-core",
    "write-commitid-to",
    "touch-if-changed",
    "write-composejson-to",
    "ex-write-lockfile-to",
    "force-nocache",
    "parent",
    "previous-commit",
    "previous-inputhash",
    "dry-run",
    "print-only",
    "download-only",
    "download-only-rpms",
    "workdir",
    "workdir-tmpfs",
    "help",
    "version",
];

/// Permitted options that take a path.
const WITH_PATH: [&str; 4] = ["layer-repo", "source-root", "add-metadata-from-json", "ex-lockfile"];
/// Permitted options that take another value.
const WITH_VALUE: [&str; 3] = ["proxy", "previous-version", "add-metadata-string"];
/// Permitted options without a value.
const ALONE: [&str; 3] = ["cache-only", "no-parent", "ex-lockfile-strict"];

/// Checks an extra argument; relative paths in it are passed through `resolve`.
///
/// # Errors
/// The reason why it is refused.
pub(crate) fn check(argument: &str, resolve: impl Fn(&str) -> PathBuf) -> Result<String, String> {
    let shown = argument.escape_debug();
    let Some(option) = argument.strip_prefix("--").filter(|option| !option.is_empty()) else {
        return Err(match argument.strip_prefix('-') {
            Some(_) => {
                format!("`{shown}`: write the long form of an option, --NAME or --NAME=VALUE")
            }
            None => format!("`{shown}` is no option; write OPTION=VALUE"),
        });
    };
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    if OWN.contains(&name) || name.starts_with("help") {
        return Err(format!("--{} is osier's to give", name.escape_debug()));
    }
    let takes_path = WITH_PATH.contains(&name);
    if takes_path || WITH_VALUE.contains(&name) {
        let value = value.ok_or_else(|| format!("--{name} takes a value; write --{name}=VALUE"))?;
        if name == "add-metadata-string" && value.starts_with("version=") {
            return Err("the version has a key of its own, `version`".to_owned());
        }
        if !takes_path {
            return Ok(argument.to_owned());
        }
        let path = resolve(value);
        let path =
            path.to_str().ok_or_else(|| format!("--{name}: {} is not UTF-8", path.display()))?;
        return Ok(format!("--{name}={path}"));
    }
    if ALONE.contains(&name) {
        return match value {
            Some(_) => Err(format!("--{name} takes no value")),
            None => Ok(argument.to_owned()),
        };
    }
    let known = OWN.iter().chain(&WITH_PATH).chain(&WITH_VALUE).chain(&ALONE);
    match known.into_iter().find(|known| known.starts_with(name)) {
        Some(whole) => Err(format!(
            "--{} is an abbreviation of --{whole}; write the whole name",
            name.escape_debug()
        )),
        // A newer rpm-ostree may support it; an older one rejects it.
        None => Ok(argument.to_owned()),
    }
}

/// The value of a `--add-metadata-string=KEY=VALUE`.
pub(crate) fn metadata_string(argument: &str) -> Option<(&str, &str)> {
    argument.strip_prefix("--add-metadata-string=")?.split_once('=')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn checked(argument: &str) -> Result<String, String> {
        check(argument, |path| Path::new("/os").join(path))
    }

    #[test]
    fn what_would_spoil_the_evidence_is_refused_in_every_spelling() {
        for name in OWN {
            for argument in [format!("--{name}"), format!("--{name}=x")] {
                assert_eq!(checked(&argument).unwrap_err(), format!("--{name} is osier's to give"));
            }
        }
        assert_eq!(checked("--help-all").unwrap_err(), "--help-all is osier's to give");
        for argument in ["-r", "-r/x", "-r=/x", "-h", "-?", "-qr/x", "-", "--"] {
            let expected =
                format!("`{argument}`: write the long form of an option, --NAME or --NAME=VALUE");
            assert_eq!(checked(argument).unwrap_err(), expected);
        }
        for (short, whole) in [
            ("--rep=/x", "repo"),
            ("--dry", "dry-run"),
            ("--h", "help"),
            ("--download", "download-only"),
            ("--no-par", "no-parent"),
            ("--add-metadata-s=version=1", "add-metadata-string"),
            ("--=x", "repo"),
        ] {
            let name = short.split('=').next().unwrap();
            let expected = format!("{name} is an abbreviation of --{whole}; write the whole name");
            assert_eq!(checked(short).unwrap_err(), expected);
        }
        assert_eq!(checked("word").unwrap_err(), "`word` is no option; write OPTION=VALUE");
        assert_eq!(
            checked(" --repo=x").unwrap_err(),
            "` --repo=x` is no option; write OPTION=VALUE"
        );
    }

    #[test]
    fn an_option_cannot_swallow_the_treefile() {
        for name in WITH_PATH.iter().chain(&WITH_VALUE) {
            let expected = format!("--{name} takes a value; write --{name}=VALUE");
            assert_eq!(checked(&format!("--{name}")).unwrap_err(), expected);
        }
        assert_eq!(checked("--no-parent=1").unwrap_err(), "--no-parent takes no value");
        let message = checked("--add-metadata-string=version=8").unwrap_err();
        assert_eq!(message, "the version has a key of its own, `version`");
    }

    #[test]
    fn the_rest_is_passed_on_with_paths_as_the_file_means_them() {
        for (argument, expected) in [
            ("--cache-only", "--cache-only"),
            ("--proxy=http://p:3128", "--proxy=http://p:3128"),
            ("--ex-lockfile=l.json", "--ex-lockfile=/os/l.json"),
            ("--layer-repo=/l", "--layer-repo=/l"),
            ("--source-root=../root", "--source-root=/os/../root"),
            ("--add-metadata-from-json=m.json", "--add-metadata-from-json=/os/m.json"),
            ("--add-metadata-string=a=b=c", "--add-metadata-string=a=b=c"),
            ("--quite-new=1", "--quite-new=1"),
        ] {
            assert_eq!(checked(argument).as_deref(), Ok(expected));
        }
        assert_eq!(metadata_string("--add-metadata-string=a=b=c"), Some(("a", "b=c")));
        assert_eq!(metadata_string("--proxy=a=b"), None);
    }
}
