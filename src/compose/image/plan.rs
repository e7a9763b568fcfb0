//! Plans an image run before anything is written.

use std::ffi::OsString;
use std::time::Duration;

use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::process::Interrupt;
use crate::refspec::RefName;
use crate::repo::Repo;

use super::super::config::ImageConfig;
use super::super::imagefactory::{self, Files, Guest};
use super::super::kickstart::{self, Rewritten, Values};
use super::super::regular::{self, Links};
use super::super::tdl::Template;
use super::published::{Published, UntilInterrupt};

/// The largest kickstart file that is read, in bytes.
const LONGEST_KICKSTART: u64 = 4 << 20;

/// The margin on top of ImageFactory's own time limit: it starts its clock late, and reports
/// failures better than we can.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// A planned run.
#[derive(Clone, Debug)]
pub struct Plan<'c> {
    /// The group `[image]`.
    pub image: &'c ImageConfig,
    /// The tree that is installed.
    pub published: Published,
    /// The kickstart file.
    pub kickstart: Rewritten,
    /// The template.
    pub template: String,
    /// The name of the image, without its ending.
    pub name: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl<'c> Plan<'c> {
    /// Plans a run for the commit of a ref, without writing anything. A given commit must be the
    /// published one.
    ///
    /// # Errors
    /// Whatever would lead to a different image than requested; `interrupted` on a signal.
    pub fn new(
        image: &'c ImageConfig,
        repo: &Repo,
        ref_name: &RefName,
        commit: Option<&str>,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let published = Published::find(repo, ref_name, commit)?;
        let fetch = UntilInterrupt::new(interrupt)?;
        let served = published.check_served(&image.ostree_url, &fetch);
        interrupt.check()?;
        let mut warnings: Vec<String> = served?.into_iter().collect();
        let texts = Texts::new(image, ref_name, &published.commit, published.version.as_deref())?;
        warnings.extend(texts.kickstart.warnings.iter().cloned());
        let Texts { kickstart, template, name } = texts;
        Ok(Self { image, published, kickstart, template, name, warnings })
    }

    /// The name of the image in the output directory.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.image.format.as_str())
    }

    /// The name of the file beside it that has its checksum.
    pub fn checksum_name(&self) -> String {
        format!("{}-CHECKSUM", self.name)
    }

    /// The arguments of ImageFactory.
    pub fn arguments(&self, files: &Files) -> Vec<OsString> {
        let ImageConfig { memory_mib, cpus, format, timeout, .. } = *self.image;
        imagefactory::arguments(files, Guest { memory_mib, cpus, format }, timeout.as_secs())
    }

    /// How long ImageFactory may run before it is ended.
    pub fn time_limit(&self) -> Duration {
        let timeout = self.image.timeout;
        timeout + timeout.min(LONGEST_DELAY)
    }
}

/// The input files for ImageFactory and the name of the image.
pub(super) struct Texts {
    pub(super) kickstart: Rewritten,
    template: String,
    name: String,
}

impl Texts {
    /// For that commit.
    pub(super) fn new(
        image: &ImageConfig,
        ref_name: &RefName,
        commit: &Checksum,
        version: Option<&str>,
    ) -> Result<Self> {
        let values = Values {
            url: &image.ostree_url,
            reference: ref_name,
            osname: Some(&image.osname),
            remote: image.remote.as_deref(),
            nogpg: image.nogpg,
            commit,
            version,
        };
        let kickstart = regular::read(&image.kickstart, Links::Follow, LONGEST_KICKSTART)
            .and_then(|file| kickstart::rewrite(&image.kickstart, &file, &values));
        let name = file_stem(&image.name, ref_name, commit, version);
        let (kickstart, name) = both(kickstart, name)?;
        let description = match version {
            Some(version) => format!("{} {version}", ref_name.as_str()),
            None => ref_name.as_str().to_owned(),
        };
        let template = Template {
            name: &name,
            distribution: &image.distribution,
            arch: image.arch,
            install_url: &image.install_url,
            description: &description,
            disk_gib: image.disk_gib,
        };
        Ok(Self { kickstart, template: template.to_xml()?, name })
    }
}

/// Both values, or all errors in one.
fn both<A, B>(one: Result<A>, other: Result<B>) -> Result<(A, B)> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (Err(one), Err(other)) => Err(Error::failed(format!("{}; {}", one.chain(), other.chain()))),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
    }
}

/// Fills in the placeholders of a name such as `exampleos-{version}`.
fn file_stem(
    pattern: &str,
    ref_name: &RefName,
    commit: &Checksum,
    version: Option<&str>,
) -> Result<String> {
    let mut name = String::new();
    let mut rest = pattern;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((key, after)) = after.split_once('}') else {
            return Err(Error::failed(format!("name: `{pattern}` has a brace that is not closed")));
        };
        name.push_str(before);
        match (key, version) {
            ("version", Some(version)) => name.push_str(version),
            ("version", None) => {
                return Err(Error::failed(format!(
                    "name: {{version}} has no value: commit {commit} has no version"
                )));
            }
            ("commit", _) => name.push_str(&commit.to_hex()),
            ("ref", _) => name.push_str(&ref_name.as_str().replace('/', "-")),
            _ => {
                let known = "{version}, {commit} and {ref}";
                return Err(Error::failed(format!("name: {{{key}}} is none of {known}")));
            }
        }
        rest = after;
    }
    name.push_str(rest);
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_the_image_is_of() {
        let ref_name = RefName::parse("os/22/host").unwrap();
        let commit = Checksum::from_bytes([0xab; 32]);
        let name = |pattern: &str, version| {
            file_stem(pattern, &ref_name, &commit, version).map_err(|e| e.to_string())
        };
        assert_eq!(name("a-{version}", Some("22.3")), Ok("a-22.3".into()));
        assert_eq!(name("{ref}_{commit}.x", None), Ok(format!("os-22-host_{}.x", "ab".repeat(32))));
        assert_eq!(name("plain", None), Ok("plain".into()));
        let expected = format!("name: {{version}} has no value: commit {commit} has no version");
        assert_eq!(name("a-{version}", None), Err(expected));
        assert_eq!(
            name("a-{date}", None),
            Err("name: {date} is none of {version}, {commit} and {ref}".into())
        );
        assert_eq!(
            name("a-{version", None),
            Err("name: `a-{version` has a brace that is not closed".into())
        );
    }
}
