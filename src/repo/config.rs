//! The `config` file of a repository: parsed once, validated when the repository is opened.
//!
//! Keys, defaults and messages: docs/format.md, section 4.

use std::path::PathBuf;

use crate::deflate::Encoding;
use crate::error::{Error, Result};
use crate::gvariant::DecodeError;
use crate::input::quotable;
use crate::keyfile::KeyFile;
use crate::refspec::CollectionId;

use super::{OpenOptions, RepoMode};

/// The settings in a repository's `config`.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file itself, for `config get` and for keys that operations look up themselves.
    pub keyfile: KeyFile,
    /// `core.mode`.
    pub mode: RepoMode,
    /// `core.collection-id`.
    pub collection_id: Option<CollectionId>,
    /// `core.parent`: a repository that objects, refs and remotes are looked up in when they are
    /// not in this one.
    pub parent: Option<PathBuf>,
    /// `core.fsync`: whether anything is synced at all.
    pub fsync: bool,
    /// `core.per-object-fsync`: sync each file object by itself, without staging.
    pub per_object_fsync: bool,
    /// `core.disable-xattrs`: neither read nor report xattrs.
    pub disable_xattrs: bool,
    /// `core.tmp-expiry-secs`: the age at which unknown files in `tmp/` are removed, in seconds.
    pub tmp_expiry_secs: u64,
    /// `core.locking`.
    pub locking: bool,
    /// `core.lock-timeout-secs`; negative means no limit.
    pub lock_timeout_secs: i64,
    /// `core.min-free-space-percent` and `-size`.
    pub min_free_space: MinFreeSpace,
    /// `core.enable-uncompressed-cache`.
    pub enable_uncompressed_cache: bool,
    /// `core.tombstone-commits`.
    pub tombstone_commits: bool,
    /// `core.auto-update-summary` or its older name `core.commit-update-summary`.
    pub auto_update_summary: bool,
    /// `core.no-deltas-in-summary`.
    pub no_deltas_in_summary: bool,
    /// `core.indexed-deltas`.
    pub indexed_deltas: bool,
    /// `archive.zlib-level`, 1 to 9.
    pub zlib_level: u32,
    /// `archive.deflate`, specific to osier: `zlib` for exactly the bytes that ostree writes, else
    /// `fast`.
    pub deflate: Encoding,
}

/// How much space of the file system a transaction must leave free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinFreeSpace {
    /// Nothing.
    None,
    /// A percentage of the file system's size.
    Percent(u8),
    /// A size in MiB.
    Mebibytes(u64),
}

const DEFAULT_TMP_EXPIRY_SECS: u64 = 86400;
const DEFAULT_LOCK_TIMEOUT_SECS: i64 = 300;
const DEFAULT_MIN_FREE_SPACE_PERCENT: u8 = 3;
const DEFAULT_ZLIB_LEVEL: i64 = 6;

impl Config {
    /// Validates a parsed `config`.
    ///
    /// # Errors
    /// [`Error::Failed`], [`Error::Malformed`] or [`Error::InvalidRefspec`] in upstream's words for
    /// a value that it refuses.
    pub fn from_keyfile(keyfile: KeyFile) -> Result<Self> {
        let core = Group { keyfile: &keyfile, name: "core" };
        let version = core.required("repo_version")?;
        if version != "1" {
            return Err(Error::failed(format!(
                "Invalid repository version '{}'",
                quotable(&version)
            )));
        }
        let mode_text = core.string("mode")?.unwrap_or_else(|| "bare".to_owned());
        let mode = RepoMode::parse(&mode_text).ok_or_else(|| {
            Error::failed(format!(
                "Invalid mode '{}' in repository configuration",
                quotable(&mode_text)
            ))
        })?;
        if core.boolean("archive", false)? {
            let message = "This version of OSTree no longer supports \"archive\" repositories; use archive-z2 instead";
            return Err(Error::failed(message));
        }
        let collection_id = core.string("collection-id")?;
        let collection_id = collection_id.map(|text| CollectionId::parse(&text)).transpose()?;
        let archive = Group { keyfile: &keyfile, name: "archive" };
        let zlib_level = archive.number("zlib-level", DEFAULT_ZLIB_LEVEL).clamp(1, 9);
        let deflate = match archive.string("deflate")? {
            None => Encoding::default(),
            Some(name) => Encoding::parse(&name).ok_or_else(|| {
                Error::failed(format!(
                    "Invalid archive.deflate '{}' in repository configuration",
                    quotable(&name)
                ))
            })?,
        };
        check_default_repo_finders(&core)?;
        check_sysroot(&Group { keyfile: &keyfile, name: "sysroot" })?;
        check_integrity(&keyfile)?;
        Ok(Self {
            mode,
            collection_id,
            parent: core.string("parent")?.filter(|path| !path.is_empty()).map(PathBuf::from),
            fsync: core.boolean("fsync", true)?,
            per_object_fsync: core.boolean("per-object-fsync", false)?,
            disable_xattrs: core.boolean("disable-xattrs", false)?,
            tmp_expiry_secs: u64::try_from(
                core.number("tmp-expiry-secs", DEFAULT_TMP_EXPIRY_SECS as i64),
            )
            .unwrap_or(0),
            locking: core.boolean("locking", true)?,
            lock_timeout_secs: core.number("lock-timeout-secs", DEFAULT_LOCK_TIMEOUT_SECS),
            min_free_space: min_free_space(&core)?,
            enable_uncompressed_cache: core.boolean("enable-uncompressed-cache", true)?,
            tombstone_commits: core.boolean("tombstone-commits", false)?,
            auto_update_summary: core.boolean("auto-update-summary", false)?
                || core.boolean("commit-update-summary", false)?,
            no_deltas_in_summary: core.boolean("no-deltas-in-summary", false)?,
            indexed_deltas: core.boolean("indexed-deltas", false)?,
            zlib_level: u32::try_from(zlib_level).expect("the level was clamped to 1 to 9"),
            deflate,
            keyfile,
        })
    }

    /// Applies the overrides of the environment.
    pub(super) fn with(mut self, options: &OpenOptions) -> Self {
        self.fsync &= !options.disable_fsync;
        self.per_object_fsync |= options.per_object_fsync;
        self.deflate = options.deflate.unwrap_or(self.deflate);
        self
    }
}

/// One group of the file, with defaults.
struct Group<'k> {
    keyfile: &'k KeyFile,
    name: &'static str,
}

impl Group<'_> {
    fn required(&self, key: &str) -> Result<String> {
        if !self.keyfile.has_group(self.name) {
            return Err(Error::failed(format!("Key file does not have group “{}”", self.name)));
        }
        self.string(key)?.ok_or_else(|| {
            Error::failed(format!("Key file does not have key “{key}” in group “{}”", self.name))
        })
    }

    fn string(&self, key: &str) -> Result<Option<String>> {
        self.keyfile.get(self.name, key).map_err(config_error)
    }

    fn boolean(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.keyfile.get_bool(self.name, key).map_err(config_error)?.unwrap_or(default))
    }

    /// Upstream reads numbers with `strtoll`: anything after the digits is ignored, and no digits
    /// mean 0.
    fn number(&self, key: &str, default: i64) -> i64 {
        let Some(text) = self.keyfile.get_raw(self.name, key) else { return default };
        let text = text.trim_start();
        let digits_start = usize::from(text.starts_with(['-', '+']));
        let end = text[digits_start..]
            .find(|c: char| !c.is_ascii_digit())
            .map_or(text.len(), |at| at + digits_start);
        let saturated = if text.starts_with('-') { i64::MIN } else { i64::MAX };
        match text[..end].parse() {
            Ok(number) => number,
            Err(_) if end > digits_start => saturated,
            Err(_) => 0,
        }
    }
}

fn config_error(error: DecodeError) -> Error {
    Error::failed(error.to_string())
}

fn min_free_space(core: &Group<'_>) -> Result<MinFreeSpace> {
    let percent_text = core.string("min-free-space-percent")?;
    let percent = match &percent_text {
        None => DEFAULT_MIN_FREE_SPACE_PERCENT,
        Some(text) => Some(text.as_str())
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .filter(|&percent: &u8| percent <= 99)
            .ok_or_else(|| {
                Error::failed(format!("Invalid min-free-space-percent '{}'", quotable(text)))
            })?,
    };
    if let Some(text) = core.string("min-free-space-size")? {
        let refused = |why: &str| {
            Error::failed(format!("Invalid min-free-space-size '{}': {why}", quotable(&text)))
        };
        let form = "It should be of the format '123MB', '123GB' or '123TB'";
        let (digits, shift) = [("MB", 0), ("GB", 10), ("TB", 20)]
            .into_iter()
            .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))
            .filter(|(digits, _)| {
                !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
            })
            .ok_or_else(|| refused(form))?;
        let mebibytes = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(1 << shift))
            // The number of bytes must fit into 64 bits, too.
            .filter(|&number| number <= u64::MAX >> 20)
            .ok_or_else(|| refused("Value was too high"))?;
        if mebibytes > 0 {
            return Ok(MinFreeSpace::Mebibytes(mebibytes));
        }
        // A size alone, even 0, switches the default percentage off.
        if percent_text.is_none() {
            return Ok(MinFreeSpace::None);
        }
    }
    Ok(if percent == 0 { MinFreeSpace::None } else { MinFreeSpace::Percent(percent) })
}

fn check_default_repo_finders(core: &Group<'_>) -> Result<()> {
    if core.keyfile.get_raw(core.name, "default-repo-finders").is_none() {
        return Ok(());
    }
    let finders = core
        .keyfile
        .get_list(core.name, "default-repo-finders")
        .map_err(config_error)?
        .unwrap_or_default();
    if finders.is_empty() {
        return Err(Error::failed("Invalid empty default-repo-finders configuration"));
    }
    match finders.iter().find(|name| !["config", "lan", "mount"].contains(&name.as_str())) {
        Some(name) => {
            Err(Error::failed(format!("Invalid configured repo-finder '{}'", quotable(name))))
        }
        None => Ok(()),
    }
}

fn check_sysroot(sysroot: &Group<'_>) -> Result<()> {
    if let Some(name) = sysroot.string("bootloader")? {
        const BOOTLOADERS: [&str; 7] =
            ["auto", "none", "grub2", "syslinux", "uboot", "zipl", "aboot"];
        if !BOOTLOADERS.contains(&name.as_str()) {
            return Err(Error::failed(format!(
                "Invalid bootloader configuration: '{}'",
                quotable(&name)
            )));
        }
    }
    let entries = sysroot
        .keyfile
        .get_list(sysroot.name, "bls-append-except-default")
        .map_err(config_error)?;
    if entries.unwrap_or_default().iter().any(|entry| !entry.contains('=')) {
        let form =
            "bls-append-except-default key must be of the form \"key1=value1;key2=value2...\"";
        return Err(Error::failed(form));
    }
    Ok(())
}

/// Refuses a config that requires fs-verity, which osier does not enable on objects. Where it is
/// only preferred, the setting is ignored; so is composefs, which concerns deployments and prefers
/// fs-verity.
fn check_integrity(keyfile: &KeyFile) -> Result<()> {
    let (integrity, older) = ("ex-integrity", Group { keyfile, name: "ex-fsverity" });
    is_required(keyfile, integrity, "composefs")?;
    if is_required(keyfile, integrity, "fsverity")? {
        return Err(Error::failed(format!("{integrity}.fsverity: not supported yet")));
    }
    older.boolean("opportunistic", false)?;
    if older.boolean("required", false)? {
        return Err(Error::failed("ex-fsverity.required: not supported yet"));
    }
    Ok(())
}

/// Whether a feature is required (`yes`), rather than preferred (`maybe`) or off (`no`, the
/// default).
fn is_required(keyfile: &KeyFile, group: &str, key: &str) -> Result<bool> {
    let Some(value) = keyfile.get(group, key).map_err(config_error)? else { return Ok(false) };
    match value.as_str() {
        "yes" | "true" | "1" => Ok(true),
        "maybe" | "no" | "false" | "0" => Ok(false),
        _ => Err(Error::failed(format!("Invalid tri-state value: {}", quotable(&value)))),
    }
}
