//! ImageFactory: its command line, its configuration, and the proof that it built an image.
//!
//! Its exit status is unreliable: after SIGINT, and after a failure with `--output json`, it is 0.
//! A build only counts with all four pieces of evidence: the last line says SUCCESSFULLY, the
//! image's `.meta` file says COMPLETE, its `.body` file exists, and `qemu-img` finds a sound image
//! in it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{During, Error, Result};

use super::qemu::Format;
use super::regular::{self, LONGEST_JSON, Links};

/// The files of a run, all absolute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Files {
    /// ImageFactory's configuration file for this run.
    pub(crate) configuration: PathBuf,
    /// The kickstart file.
    pub(crate) kickstart: PathBuf,
    /// The template.
    pub(crate) template: PathBuf,
    /// The directory for results. Only for this run, so that a result cannot come from another.
    pub(crate) storage: PathBuf,
    /// Its working directory.
    pub(crate) work: PathBuf,
}

impl Files {
    /// In the directory of a run.
    pub(crate) fn below(run: &Path) -> Self {
        Self {
            configuration: run.join("imagefactory.conf"),
            kickstart: run.join("image.ks"),
            template: run.join("image.tdl"),
            storage: run.join("storage"),
            work: run.join("images"),
        }
    }
}

/// The resources of the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// Memory, in MiB.
    pub(crate) memory_mib: u64,
    /// Processors.
    pub(crate) cpus: u64,
    /// The format of the disk; without it, the result would be raw.
    pub(crate) format: Format,
}

/// The text of the configuration file. Command-line options override it.
pub(crate) fn configuration(files: &Files, timeout_seconds: u64) -> String {
    let document = json!({
        "imgdir": files.work.to_string_lossy(),
        "tmpdir": files.work.to_string_lossy(),
        "image_manager": "file",
        "image_manager_args": { "storage_path": files.storage.to_string_lossy() },
        "tdl_require_root_pw": 0,
        // Its absence is a KeyError.
        "jeos_config": [],
        "max_concurrent_local_sessions": 1,
        "timeout": timeout_seconds,
        "rhevm_image_format": "qcow2",
        "openstack_image_format": "qcow2",
        "clients": {},
    });
    format!("{document:#}\n")
}

/// The arguments of ImageFactory. The output is never `json`, because failures would then exit with
/// 0.
pub(crate) fn arguments(files: &Files, guest: Guest, timeout_seconds: u64) -> Vec<OsString> {
    let Guest { memory_mib, cpus, format } = guest;
    let overrides =
        json!({ "libvirt": { "memory": memory_mib, "cpus": cpus, "image_type": format.as_str() } });
    let mut arguments: Vec<OsString> = vec!["--config".into(), files.configuration.clone().into()];
    arguments.extend(["--timeout".into(), timeout_seconds.to_string().into()]);
    arguments.extend(
        ["--output", "log", "--debug", "base_image", "--file-parameter", "install_script"]
            .map(Into::into),
    );
    arguments.push(files.kickstart.clone().into());
    // The finished guest is not booted.
    arguments.extend(
        ["--parameter", "generate_icicle", "false", "--parameter", "oz_overrides"].map(Into::into),
    );
    arguments.extend([overrides.to_string().into(), files.template.clone().into()]);
    arguments
}

/// The information found in the output of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildLog {
    /// Whether the details of the final image have started.
    details: bool,
    /// The identifier of the image.
    id: Option<String>,
    /// The path of the image that it reported.
    file: Option<PathBuf>,
    /// Whether it reported success.
    success: bool,
    /// The last error that it reported.
    error: Option<String>,
    /// A failure with a known cause.
    cause: Option<&'static str>,
    /// The screenshot of a guest that did nothing.
    stalled: Option<String>,
}

/// Failures that ImageFactory reports in an obscure way.
const CAUSES: [(&str, &str); 3] = [
    (
        "'NoneType' object has no attribute 'create_base_image'",
        "no plugin of this ImageFactory knows the distribution of the template",
    ),
    (
        "got an unexpected keyword argument 'encoding'",
        "this ImageFactory does not work with its Python (1.1.16 needs a patch on 3.9 or newer)",
    ),
    (
        "KeyError: 'jeos_config'",
        "this ImageFactory does not work with its Python: it could not read its configuration",
    ),
];

/// Its message that the guest's disk did not change for some time.
const STALLED: &str = "No disk activity in ";

impl BuildLog {
    /// Evaluates a line.
    pub(crate) fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line.contains("= Final Image Details =") {
            self.details = true;
        } else if let Some(id) = line.strip_prefix("UUID: ").filter(|_| self.details) {
            self.id = Some(id.to_owned());
        } else if let Some(file) = line.strip_prefix("Image filename: ").filter(|_| self.details) {
            self.file = Some(file.into());
        } else if line == "Image build completed SUCCESSFULLY!" {
            self.success = true;
        } else if let Some((_, error)) = line.split_once("Image build FAILED with error: ") {
            self.error = Some(error.to_owned());
        } else if line.starts_with("ERROR") || line.contains(" ERROR ") {
            self.error.get_or_insert_with(|| line.to_owned());
        }
        if let Some((_, cause)) = CAUSES.iter().find(|(words, _)| line.contains(words)) {
            self.cause.get_or_insert(cause);
        }
        if let Some(at) = line.find(STALLED) {
            self.stalled = Some(line[at..].to_owned());
        }
    }

    /// Why it failed, as far as it reported that. `url` is where the kickstart file installs from,
    /// the usual cause of a guest that does nothing.
    pub(crate) fn failure(&self, url: &str) -> Option<String> {
        let words = self.error.clone();
        if let Some(stalled) = &self.stalled {
            return Some(format!("{stalled} ({})", stall_causes(url)));
        }
        match (self.cause, words) {
            (Some(cause), Some(words)) => Some(format!("{cause}: {words}")),
            (Some(cause), None) => Some(cause.to_owned()),
            (None, words) => words,
        }
    }
}

/// The usual reasons for a guest that does nothing; `url` is where its kickstart file installs
/// from.
pub(crate) fn stall_causes(url: &str) -> String {
    format!(
        "usual causes: the guest cannot reach {url} or the package repository, less than 2048 MiB \
         of memory, a kickstart file that asks a question"
    )
}

/// Checks the first three pieces of evidence, and returns the path of the body.
///
/// # Errors
/// Which of them is missing.
pub(crate) fn body(build_log: &BuildLog, storage: &Path) -> Result<PathBuf> {
    let missing =
        |what: String| Error::failed(format!("ImageFactory gave no proof of an image: {what}"));
    if !build_log.success {
        return Err(missing("it did not say `Image build completed SUCCESSFULLY!`".to_owned()));
    }
    let Some(id) = build_log.id.as_deref().filter(|id| is_uuid(id)) else {
        return Err(missing("it did not say the UUID of the image".to_owned()));
    };
    let body = storage.join(format!("{id}.body"));
    if let Some(file) = build_log.file.as_deref().filter(|file| *file != body) {
        return Err(missing(format!(
            "the image should be {}, it says {}",
            body.display(),
            file.display()
        )));
    }
    let meta = storage.join(format!("{id}.meta"));
    match status(&meta)?.as_deref() {
        Some("COMPLETE") => {}
        Some(status) => {
            return Err(missing(format!(
                "{} says {}, not COMPLETE",
                meta.display(),
                status.escape_debug()
            )));
        }
        None => return Err(missing(format!("{} does not exist", meta.display()))),
    }
    match fs::symlink_metadata(&body) {
        Ok(metadata) if metadata.is_file() => Ok(body),
        Ok(_) => Err(missing(format!("{} is no regular file", body.display()))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(missing(format!("{} does not exist", body.display())))
        }
        Err(error) => Err(error).during("looking at", body),
    }
}

/// Whether the text is an identifier of ImageFactory, and so safe in a file name.
fn is_uuid(text: &str) -> bool {
    let shape = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.iter().map(|part| part.len()).eq(shape)
        && parts.concat().bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The status in an image's `.meta` file; `None` when there is no such file.
fn status(meta: &Path) -> Result<Option<String>> {
    if !regular::is_there(meta)? {
        return Ok(None);
    }
    let text = regular::read(meta, Links::Refuse, LONGEST_JSON)?;
    let document: Value = serde_json::from_slice(&text).map_err(|error| {
        Error::failed(format!(
            "ImageFactory gave no proof of an image: {}: {error}",
            meta.display()
        ))
    })?;
    Ok(Some(document["status"].as_str().unwrap_or("nothing").to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "71438501-a38c-490c-83f5-813959d7a364";

    fn build_log(lines: &[&str]) -> BuildLog {
        let mut build_log = BuildLog::default();
        for line in lines {
            build_log.line(line);
        }
        build_log
    }

    #[test]
    fn the_command_line_is_the_one_of_the_manual() {
        let files = Files::below(Path::new("/w/RUN"));
        let guest = Guest { memory_mib: 4096, cpus: 2, format: Format::Qcow2 };
        let words: Vec<String> = arguments(&files, guest, 7200)
            .into_iter()
            .map(|word| word.into_string().unwrap())
            .collect();
        let overrides = r#"{"libvirt":{"memory":4096,"cpus":2,"image_type":"qcow2"}}"#;
        assert_eq!(
            words,
            [
                "--config",
                "/w/RUN/imagefactory.conf",
                "--timeout",
                "7200",
                "--output",
                "log",
                "--debug",
                "base_image",
                "--file-parameter",
                "install_script",
                "/w/RUN/image.ks",
                "--parameter",
                "generate_icicle",
                "false",
                "--parameter",
                "oz_overrides",
                overrides,
                "/w/RUN/image.tdl",
            ]
        );
        let text = configuration(&files, 7200);
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["image_manager_args"], json!({ "storage_path": "/w/RUN/storage" }));
        assert_eq!((&document["jeos_config"], &document["timeout"]), (&json!([]), &json!(7200)));
        assert_eq!(
            (&document["imgdir"], &document["image_manager"]),
            (&json!("/w/RUN/images"), &json!("file"))
        );
    }

    #[test]
    fn a_failure_is_told_in_words_that_help() {
        let failure = |line: &str| build_log(&[line]).failure("http://content.example.org/repo/");
        assert_eq!(
            failure(
                "Image build FAILED with error: 'NoneType' object has no attribute \
                'create_base_image'"
            )
            .unwrap(),
            "no plugin of this ImageFactory knows the distribution of the template: 'NoneType' \
             object has no attribute 'create_base_image'"
        );
        let line =
            "TypeError: JSONDecoder.__init__() got an unexpected keyword argument 'encoding'";
        let expected = "this ImageFactory does not work with its Python (1.1.16 needs a patch on \
            3.9 or newer)";
        assert_eq!(failure(line).unwrap(), expected);
        assert_eq!(
            failure(
                "2026 ERROR x: No disk activity in 300 seconds, failing.  Check screenshot at \
                /s/a.png"
            )
            .unwrap(),
            "No disk activity in 300 seconds, failing.  Check screenshot at /s/a.png (usual \
             causes: the guest cannot reach http://content.example.org/repo/ or the package \
             repository, less than 2048 MiB of memory, a kickstart file that asks a question)"
        );
        assert_eq!(failure("ERROR: cannot read x").as_deref(), Some("ERROR: cannot read x"));
        assert_eq!(failure("all is well"), None);
    }

    #[test]
    fn every_piece_of_evidence_is_needed() {
        let directory = tempfile::tempdir().unwrap();
        let storage = directory.path();
        let (body_path, meta) =
            (storage.join(format!("{ID}.body")), storage.join(format!("{ID}.meta")));
        let file_line = format!("Image filename: {}", body_path.display());
        let lines = [
            "============ Final Image Details ============",
            &format!("UUID: {ID}"),
            "Type: base_image",
            &file_line,
            "Image build completed SUCCESSFULLY!",
        ];
        let refused = |lines: &[&str], expected: &str| {
            let message = body(&build_log(lines), storage).unwrap_err().to_string();
            let expected = expected.replace("STORAGE", storage.to_str().unwrap());
            assert_eq!(message, format!("ImageFactory gave no proof of an image: {expected}"));
        };
        refused(&lines, &format!("STORAGE/{ID}.meta does not exist"));
        fs::write(&meta, "{\"status\": \"NEW\"}").unwrap();
        refused(&lines, &format!("STORAGE/{ID}.meta says NEW, not COMPLETE"));
        fs::write(&meta, "{}").unwrap();
        refused(&lines, &format!("STORAGE/{ID}.meta says nothing, not COMPLETE"));
        fs::write(&meta, "").unwrap();
        refused(
            &lines,
            &format!("STORAGE/{ID}.meta: EOF while parsing a value at line 1 column 0"),
        );
        fs::write(&meta, "{\"status\": \"COMPLETE\"}").unwrap();
        refused(&lines, &format!("STORAGE/{ID}.body does not exist"));
        fs::create_dir(&body_path).unwrap();
        refused(&lines, &format!("STORAGE/{ID}.body is no regular file"));
        fs::remove_dir(&body_path).unwrap();
        fs::write(&body_path, "x").unwrap();
        assert_eq!(body(&build_log(&lines), storage).unwrap(), body_path);
        refused(&lines[..4], "it did not say `Image build completed SUCCESSFULLY!`");
        refused(&[lines[0], lines[4]], "it did not say the UUID of the image");
        refused(&[lines[0], "UUID: ../../etc", lines[4]], "it did not say the UUID of the image");
        // A line of the log that only looks like one of the details.
        refused(&[lines[1], lines[0], lines[4]], "it did not say the UUID of the image");
        let elsewhere = [lines[0], lines[1], "Image filename: /x.body", lines[4]];
        refused(&elsewhere, &format!("the image should be STORAGE/{ID}.body, it says /x.body"));
    }
}
