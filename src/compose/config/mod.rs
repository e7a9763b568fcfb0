//! The configuration of `osier compose`, a key file like the repository's own `config`
//! (docs/compose.md).
//!
//! ```text
//! [compose]
//! repo=repo
//! treefile=exampleos-host.json
//! cachedir=cache
//! work=work
//!
//! [sign]
//! ed25519-key-files=keys/ed25519.sec
//!
//! [image]
//! kickstart=exampleos-host.ks
//! ```
//!
//! Paths are relative to the file, lists are split at `;`. Unknown keys and invalid values are
//! errors, and all errors are reported at once.

mod delta;
mod push;
mod reader;
mod sign;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::keyfile::{KeyFile, text_of};
use crate::refspec::RefName;

use super::arguments;
use super::qemu::Format;
use super::regular::{self, Links};
use super::tdl::{Arch, Distribution, check_install_url, check_ostree_url};
use reader::Reader;

pub use delta::DeltaConfig;
pub use push::PushConfig;
pub use sign::{ExecConfig, SignConfig};

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComposeConfig {
    /// The groups `[compose]`, `[sign]`, `[delta]` and `[push]`: packages to a published commit.
    pub tree: TreeConfig,
    /// The group `[image]`, if the file has one: the commit to a disk image.
    pub image: Option<ImageConfig>,
}

/// The groups `[compose]`, `[sign]`, `[delta]` and `[push]`. All paths are absolute, or relative to
/// the current directory if the path of the file was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeConfig {
    /// The repository that is published.
    pub repo: PathBuf,
    /// The treefile, which rpm-ostree reads.
    pub treefile: PathBuf,
    /// The cache of rpm-ostree.
    pub cachedir: PathBuf,
    /// The directory in which each run creates its own.
    pub work: PathBuf,
    /// The ref to publish; the treefile's if absent.
    pub ref_name: Option<RefName>,
    /// Whether a missing repository is created, in archive mode.
    pub create_repo: bool,
    /// The version of the commit; rpm-ostree's automatic one if absent.
    pub version: Option<String>,
    /// The umask of the run. It belongs to the process, so the program sets it, not the library.
    pub umask: u32,
    /// How long rpm-ostree may take.
    pub timeout: Duration,
    /// How often the tree stage is tried when the network fails, at least once.
    pub attempts: u32,
    /// Metadata strings of the commit.
    pub metadata: Vec<(String, String)>,
    /// Package lock files that rpm-ostree reads, later ones win.
    pub lockfiles: Vec<PathBuf>,
    /// Whether the lock files must name every package.
    pub lockfile_strict: bool,
    /// `SOURCE_DATE_EPOCH` of rpm-ostree, in seconds since 1970.
    pub source_date_epoch: Option<u64>,
    /// rpm-ostree, by name or path, and its leading arguments.
    pub program: Vec<String>,
    /// More arguments of `compose tree`.
    pub extra_args: Vec<String>,
    /// How long a lock is waited for.
    pub lock_timeout: Duration,
    /// The free space required on each file system before the run, in MiB.
    pub min_free_mib: u64,
    /// The group `[sign]`; empty if the file has none.
    pub sign: SignConfig,
    /// The group `[delta]`, if the file has one: static deltas are made.
    pub delta: Option<DeltaConfig>,
    /// The group `[push]`, if the file has one: what is published is pushed on.
    pub push: Option<PushConfig>,
}

/// The group `[image]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    /// The kickstart that the image is installed with.
    pub kickstart: PathBuf,
    /// The URL at which the installer finds the published repository.
    pub ostree_url: String,
    /// The name of the system in `/ostree/deploy`.
    pub osname: String,
    /// The name of the remote in the installed system; the kickstart's if absent.
    pub remote: Option<String>,
    /// Whether the installed system does without GPG verification; as the kickstart says if absent.
    pub nogpg: Option<bool>,
    /// The distribution whose installer runs.
    pub distribution: Distribution,
    /// The architecture of the guest.
    pub arch: Arch,
    /// The installation tree.
    pub install_url: String,
    /// Size of the disk, in GiB.
    pub disk_gib: u64,
    /// Memory of the guest, in MiB.
    pub memory_mib: u64,
    /// Processors of the guest.
    pub cpus: u64,
    /// Format of the image.
    pub format: Format,
    /// Whether the image is compressed.
    pub compress: bool,
    /// The directory where the image appears.
    pub output: PathBuf,
    /// The name of the image without its ending; `{version}`, `{commit}` and `{ref}` are replaced.
    pub name: String,
    /// The minimum size of the image on disk, in MiB: an empty disk is smaller.
    pub min_size_mib: u64,
    /// How long ImageFactory may take.
    pub timeout: Duration,
    /// ImageFactory, by name or path, and its leading arguments.
    pub program: Vec<String>,
}

/// Refuses a version with confusing characters.
///
/// # Errors
/// What is wrong with it.
pub fn check_version(version: &str) -> Result<(), String> {
    if version.trim().is_empty() {
        return Err("is empty".to_owned());
    }
    match version.contains(char::is_control) {
        true => Err(format!(
            "`{}` holds a line break or another control character",
            version.escape_debug()
        )),
        false => Ok(()),
    }
}

const COMPOSE_KEYS: [&str; 18] = [
    "repo",
    "treefile",
    "cachedir",
    "work",
    "ref",
    "create-repo",
    "version",
    "umask",
    "timeout",
    "attempts",
    "metadata",
    "lockfiles",
    "lockfile-strict",
    "source-date-epoch",
    "program",
    "extra-args",
    "lock-timeout",
    "min-free-mib",
];

const IMAGE_KEYS: [&str; 18] = [
    "kickstart",
    "ostree-url",
    "osname",
    "remote",
    "nogpg",
    "distribution",
    "arch",
    "install-url",
    "disk-gib",
    "memory-mib",
    "cpus",
    "format",
    "compress",
    "output",
    "name",
    "min-size-mib",
    "timeout",
    "program",
];

/// The largest configuration file, in bytes.
const LONGEST: u64 = 1 << 20;
/// Four hours.
const TREE_TIMEOUT: Duration = Duration::from_secs(4 * 3600);
/// Two hours.
const IMAGE_TIMEOUT: Duration = Duration::from_secs(2 * 3600);
/// Ten minutes.
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);

impl ComposeConfig {
    /// Reads a configuration file.
    ///
    /// # Errors
    /// When it cannot be read, is not a regular file or is larger than 1 MiB, or with all errors in
    /// it.
    pub fn load(path: &Path) -> Result<Self> {
        let (config, problem) = Self::read(path)?;
        match (config, problem) {
            (Some(config), None) => Ok(config),
            (_, problem) => {
                Err(problem
                    .unwrap_or_else(|| Error::failed(format!("{} is empty", path.display()))))
            }
        }
    }

    /// Reads the usable part of a configuration file, and returns all errors in it as one, so that
    /// other checks can go on.
    ///
    /// # Errors
    /// When it cannot be read, is not a regular file or is larger than 1 MiB.
    pub fn read(path: &Path) -> Result<(Option<Self>, Option<Error>)> {
        let bytes = regular::read(path, Links::Follow, LONGEST)?;
        let text = text_of(&bytes)
            .map_err(|source| Error::Malformed { what: path.display().to_string(), source })?;
        let (config, problems) =
            Self::parse_leniently(text, path.parent().unwrap_or(Path::new("")));
        let all = || Error::failed(format!("{}: {}", path.display(), problems.join("; ")));
        Ok((config, (!problems.is_empty()).then(all)))
    }

    /// Reads the text of a configuration whose paths are relative to `directory`; the error lists
    /// everything that is wrong.
    ///
    /// # Errors
    /// A sentence for each group, key or value that cannot be used.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, Vec<String>> {
        match Self::parse_leniently(text, directory) {
            (Some(config), problems) if problems.is_empty() => Ok(config),
            (_, problems) => Err(problems),
        }
    }

    /// The usable configuration, with defaults in place of invalid values, and all errors. `None`
    /// without the paths of `[compose]`.
    fn parse_leniently(text: &str, directory: &Path) -> (Option<Self>, Vec<String>) {
        let keyfile = match KeyFile::parse(text) {
            Ok(keyfile) => keyfile,
            Err(error) => return (None, vec![error.what]),
        };
        let mut problems = Vec::new();
        for group in keyfile.groups() {
            match group {
                "compose" | "sign" | "delta" | "push" | "image" => {}
                other => problems.push(format!("unknown group [{other}]")),
            }
        }
        let mut reader = Reader::new(&keyfile, "compose", directory, &mut problems);
        reader.only(&COMPOSE_KEYS);
        let mut tree = tree(&mut reader);
        let has_paths =
            ["repo", "treefile", "cachedir", "work"].into_iter().all(|key| reader.has_value(key));
        if keyfile.has_group("sign") {
            tree.sign = sign::read(Reader::new(&keyfile, "sign", directory, &mut problems));
        }
        if keyfile.has_group("delta") {
            let reader = Reader::new(&keyfile, "delta", directory, &mut problems);
            tree.delta = Some(delta::read(reader, &tree.sign));
        }
        if keyfile.has_group("push") {
            tree.push = Some(push::read(Reader::new(&keyfile, "push", directory, &mut problems)));
        }
        let before = problems.len();
        let image = if keyfile.has_group("image") {
            let mut reader = Reader::new(&keyfile, "image", directory, &mut problems);
            reader.only(&IMAGE_KEYS);
            image(&mut reader)
        } else {
            None
        };
        let image = image.filter(|_| problems.len() == before);
        (has_paths.then_some(Self { tree, image }), problems)
    }
}

fn tree(reader: &mut Reader<'_>) -> TreeConfig {
    let ref_name = reader.text("ref").and_then(|text| match RefName::parse(&text) {
        Ok(name) => Some(name),
        Err(error) => reader.wrong("ref", &error.to_string()),
    });
    let metadata =
        reader.list("metadata").into_iter().filter_map(|entry| match entry.split_once('=') {
            Some(("version", _)) => {
                reader.wrong("metadata", "the version has a key of its own, `version`")
            }
            Some((key, value)) if !key.is_empty() => Some((key.to_owned(), value.to_owned())),
            _ => reader.wrong("metadata", &format!("`{entry}` is not of the form KEY=VALUE")),
        });
    let metadata = metadata.collect();
    let extra_args = reader.list("extra-args").into_iter();
    let extra_args = extra_args.filter_map(|argument| {
        match arguments::check(&argument, |path| reader.relative(path)) {
            Ok(argument) => Some(argument),
            Err(what) => reader.wrong("extra-args", &what),
        }
    });
    let extra_args = extra_args.collect();
    let version = reader.text("version");
    TreeConfig {
        repo: reader.required_path("repo"),
        treefile: reader.required_path("treefile"),
        cachedir: reader.required_path("cachedir"),
        work: reader.required_path("work"),
        ref_name,
        create_repo: reader.boolean("create-repo", false),
        version: version.filter(|version| match check_version(version) {
            Ok(()) => true,
            Err(what) => reader.wrong::<()>("version", &what).is_some(),
        }),
        umask: reader.umask("umask", 0o022),
        timeout: reader.duration("timeout", TREE_TIMEOUT),
        attempts: u32::try_from(reader.number("attempts", 1, 1..=100)).unwrap_or(1),
        metadata,
        lockfiles: reader.list("lockfiles").iter().map(|name| reader.relative(name)).collect(),
        lockfile_strict: reader.boolean("lockfile-strict", false),
        source_date_epoch: reader.optional_number("source-date-epoch"),
        program: reader.program("program", "rpm-ostree"),
        extra_args,
        lock_timeout: reader.duration("lock-timeout", LOCK_TIMEOUT),
        min_free_mib: reader.number("min-free-mib", 2048, 0..=u64::MAX >> 20),
        sign: SignConfig::default(),
        delta: None,
        push: None,
    }
}

fn image(reader: &mut Reader<'_>) -> Option<ImageConfig> {
    let distribution = reader.parsed("distribution", Distribution::parse);
    let arch = reader.parsed("arch", Arch::parse);
    let format = match reader.text("format").as_deref().map(Format::parse) {
        None => Format::Qcow2,
        Some(Ok(format)) => format,
        Some(Err(message)) => reader.wrong("format", &message).unwrap_or(Format::Qcow2),
    };
    let compress = reader.boolean("compress", false);
    if compress && format == Format::Raw {
        reader.wrong::<()>("compress", "a raw image cannot be compressed");
    }
    let name = reader.required("name");
    if name.contains('/') || name.starts_with('.') {
        reader.wrong::<()>("name", &format!("`{name}` is no plain file name"));
    }
    let ostree_url =
        reader.parsed("ostree-url", |url| check_ostree_url(url).map(|()| url.to_owned()));
    let install_url =
        reader.parsed("install-url", |url| check_install_url(url).map(|()| url.to_owned()));
    let kickstart = reader.required_path("kickstart");
    let output = reader.required_path("output");
    Some(ImageConfig {
        kickstart,
        osname: reader.required("osname"),
        remote: reader.text("remote"),
        nogpg: reader.optional_boolean("nogpg"),
        disk_gib: reader.number("disk-gib", 10, 1..=65_536),
        memory_mib: reader.number("memory-mib", 4096, 256..=1 << 24),
        cpus: reader.number("cpus", 2, 1..=1024),
        format,
        compress,
        output,
        name,
        min_size_mib: reader.number("min-size-mib", 64, 0..=u64::MAX >> 20),
        timeout: reader.duration("timeout", IMAGE_TIMEOUT),
        program: reader.program("program", "imagefactory"),
        // What is missing has been recorded, and everything else has been read by now.
        ostree_url: ostree_url?,
        distribution: distribution?,
        arch: arch?,
        install_url: install_url?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "[compose]\nrepo=repo\ntreefile=t.json\ncachedir=/var/cache\nwork=work\n";

    fn problems(text: &str) -> Vec<String> {
        ComposeConfig::parse(text, Path::new("/etc/os")).unwrap_err()
    }

    #[test]
    fn paths_are_relative_to_the_file_and_the_rest_has_defaults() {
        let ComposeConfig { tree, image } =
            ComposeConfig::parse(SMALL, Path::new("/etc/os")).unwrap();
        assert_eq!(tree.repo, Path::new("/etc/os/repo"));
        assert_eq!(tree.cachedir, Path::new("/var/cache"));
        assert_eq!((tree.umask, tree.attempts, tree.min_free_mib), (0o022, 1, 2048));
        assert_eq!((tree.timeout.as_secs(), tree.lock_timeout.as_secs()), (14_400, 600));
        assert_eq!(tree.program, ["rpm-ostree"]);
        assert_eq!((tree.ref_name, tree.create_repo, image), (None, false, None));
    }

    #[test]
    fn every_key_of_the_tree_is_read() {
        let text = format!(
            "{SMALL}ref=os/22/host\ncreate-repo=true\nversion=22.3\numask=0002\ntimeout=90m\n\
             attempts=2\nmetadata=a.b=1;c=x=y\nlockfiles=lock.json;/o.json\nlockfile-strict=true\n\
             source-date-epoch=1700000000\nprogram=tools/run rpm-ostree -v\n\
             extra-args=--proxy=http://p:1;--cache-only\nlock-timeout=5s\nmin-free-mib=0\n"
        );
        let tree = ComposeConfig::parse(&text, Path::new("/e")).unwrap().tree;
        assert_eq!(tree.ref_name.unwrap().as_str(), "os/22/host");
        assert_eq!(
            (tree.create_repo, tree.version.as_deref(), tree.umask),
            (true, Some("22.3"), 0o002)
        );
        assert_eq!(
            (tree.timeout.as_secs(), tree.attempts, tree.lock_timeout.as_secs()),
            (5400, 2, 5)
        );
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        assert_eq!(tree.metadata, [pair("a.b", "1"), pair("c", "x=y")]);
        assert_eq!(tree.lockfiles, [Path::new("/e/lock.json"), Path::new("/o.json")]);
        assert_eq!((tree.lockfile_strict, tree.source_date_epoch), (true, Some(1_700_000_000)));
        assert_eq!(tree.program, ["/e/tools/run", "rpm-ostree", "-v"]);
        assert_eq!(tree.extra_args, ["--proxy=http://p:1", "--cache-only"]);
        assert_eq!(tree.min_free_mib, 0);
    }

    #[test]
    fn every_key_of_the_image_is_read() {
        let text = format!(
            "{SMALL}[image]\nkickstart=k.ks\nostree-url=http://c/repo\nosname=exampleos\n\
             nogpg=true\ndistribution=CentOS 7.9\narch=x86_64\ninstall-url=http://i/\ndisk-gib=20\n\
             format=qcow2\ncompress=true\noutput=images\nname=os-{{version}}\ntimeout=1d\n"
        );
        let image = ComposeConfig::parse(&text, Path::new("/e")).unwrap().image.unwrap();
        assert_eq!((image.osname.as_str(), image.remote), ("exampleos", None));
        assert_eq!(
            (image.distribution, image.arch.as_str()),
            (Distribution::parse("CentOS 7.9").unwrap(), "x86_64")
        );
        assert_eq!(
            (image.disk_gib, image.memory_mib, image.cpus, image.min_size_mib),
            (20, 4096, 2, 64)
        );
        assert_eq!((image.format, image.compress, image.nogpg), (Format::Qcow2, true, Some(true)));
        assert_eq!(
            (image.output, image.kickstart),
            (PathBuf::from("/e/images"), PathBuf::from("/e/k.ks"))
        );
        assert_eq!((image.name.as_str(), image.timeout.as_secs()), ("os-{version}", 86_400));
        assert_eq!(image.program, ["imagefactory"]);
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let text = "[compose]\nrepo=\ntreefile=t\ncachedir=c\nref=a//b\nspeed=9\ntimeout=4 \
            parsecs\numask=0999\nattempts=0\ncreate-repo=yes\nmetadata=x;version=1\n\
            extra-args=--dry-run;word\n[sign]\nkeys=1\n[delta]\nkeys=1\n[deploy]\n";
        let expected = [
            "unknown group [deploy]",
            "[compose] unknown key speed",
            "[compose] ref: Invalid ref name a//b",
            "[compose] metadata: `x` is not of the form KEY=VALUE",
            "[compose] metadata: the version has a key of its own, `version`",
            "[compose] extra-args: --dry-run is osier's to give",
            "[compose] extra-args: `word` is no option; write OPTION=VALUE",
            "[compose] repo: is empty",
            "[compose] work: is missing",
            "[compose] create-repo: `yes` is neither true nor false",
            "[compose] umask: `0999` is no octal number up to 0777",
            "[compose] timeout: `4 parsecs` is no duration; write 90s, 30m, 4h or 2d",
            "[compose] attempts: `0` is no number from 1 to 100",
            "[sign] unknown key keys",
            "[delta] unknown key keys",
        ];
        assert_eq!(problems(text), expected);
    }

    #[test]
    fn an_image_cannot_be_just_anything() {
        let text = format!(
            "{SMALL}[image]\nkickstart=k\nostree-url=http://localhost/\nosname=o\n\
             distribution=Fedora\narch=vax\ninstall-url=u\nformat=vhd\noutput=o\nname=../x\n\
             disk-gib=0\n"
        );
        let expected = [
            "[image] distribution: `Fedora` is unknown to Oz; write it like `Fedora 22`, `RHEL \
             7.4` or `CentOS 7.9`",
            "[image] arch: `vax` is none of i386, x86_64, ppc64, ppc64le, aarch64, armv7l, s390x",
            "[image] format: `vhd` is neither qcow2 nor raw",
            "[image] name: `../x` is no plain file name",
            "[image] ostree-url: http://localhost/ is this machine, which the installer in its \
             guest cannot reach",
            "[image] install-url: `u` must begin with http://, https:// or ftp:// and hold no \
             blanks",
            "[image] disk-gib: `0` is no number from 1 to 65536",
        ];
        assert_eq!(problems(&text), expected);
        assert_eq!(
            problems("x"),
            ["Key file contains line “x” which is not a key-value pair, group, or comment"]
        );
    }
}
