//! A published commit to a disk image, step by step.
//!
//! ```text
//! check          what is published, both files in memory, the programs     fails: nothing is written
//! prepare        the run's directory; ksvalidator and xmllint, if there
//! imagefactory   into a storage of this run's own                          fails: the storage is kept
//! inspect        four pieces of evidence, and qemu-img's word
//! output         converted or copied, hashed; then image and checksum file appear
//! ```

mod checksums;
mod inspect;
mod output;
mod plan;
mod programs;
mod published;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::checksum::Checksum;
use crate::error::{During, Error, Result};
use crate::process::{Call, Ending, Finished, Stopped, describe, shell_line_with};
use crate::progress::Event;
use crate::refspec::RefName;
use crate::repo::Repo;

use super::Surroundings;
use super::check::{Findings, Severity};
use super::config::{ComposeConfig, ImageConfig};
use super::imagefactory::{self, BuildLog, Files};
use super::job::{self, Job};
use super::preflight;
use super::qemu::{self, Format, Wanted};
use super::recover::{Claim, Recovery};
use super::report::{Report, Status};
use super::run::{DeadRun, Run};
use super::session::{Failed, end, new_report, not_begun, take_findings};
use super::trust;
use inspect::Judged;
use output::Output;
use plan::{Plan, Texts};
use programs::{LANGUAGE, Programs};

pub use output::Existing;

/// The options besides the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageOptions {
    /// The commit, which must be the published one, and defaults to it.
    pub commit: Option<String>,
    /// What happens to an image of the same name.
    pub existing: Existing,
}

/// A converted image in the directory of a run, before it is copied to where images appear.
const CONVERTED: &str = "converted.qcow2";

/// The largest file that a disk of this size can need: all of it, plus the overhead of a format.
fn most_bytes(virtual_size: u64) -> u64 {
    virtual_size.saturating_add(virtual_size / 8).saturating_add(64 << 20)
}

/// The names of the two directories that fill up, for messages.
const WORK: &str = "work directory";
const OUTPUT: &str = "output directory";

/// A run that is ready to start.
struct Prepared<'c> {
    plan: Plan<'c>,
    programs: Programs,
    output: Output,
    work: PathBuf,
}

impl<'c> Prepared<'c> {
    /// Checks everything that can be checked; a missing program is recorded with `severity`.
    fn new(
        config: &'c ComposeConfig,
        options: &ImageOptions,
        surroundings: &Surroundings<'_>,
        severity: Severity,
        findings: &mut Findings,
    ) -> Option<Self> {
        let image = findings.take(image_of(config))?;
        let programs = Programs::find(image, surroundings, severity, findings);
        let ref_name = preflight::ref_name(&config.tree, surroundings, findings)?;
        let plan = Repo::open_with(&config.tree.repo, &surroundings.open).and_then(|repo| {
            Plan::new(image, &repo, &ref_name, options.commit.as_deref(), &surroundings.interrupt)
        });
        let plan = findings.take(plan)?;
        let directory = findings.take(absolute(&image.output))?;
        let work = findings.take(absolute(&config.tree.work))?;
        let needed = config.tree.min_free_mib;
        findings.take(trust::check(&work));
        preflight::output(WORK, &work, needed, findings);
        let will_do = preflight::output(OUTPUT, &directory, needed, findings);
        let output =
            Output::new(directory, plan.file_name(), plan.checksum_name(), options.existing);
        if will_do {
            findings.take(output.check_free());
        }
        plan.warnings.iter().for_each(|warning| findings.warning(warning));
        Some(Self { plan, programs, output, work })
    }

    /// The report as far as it is known before the run.
    fn note(&self, findings: &Findings, report: &mut Report, surroundings: &Surroundings<'_>) {
        let published = &self.plan.published;
        report.ref_name = Some(published.ref_name.as_str().to_owned());
        report.commit = Some(published.commit);
        report.version.clone_from(&published.version);
        take_findings(findings, report, surroundings);
    }
}

fn image_of(config: &ComposeConfig) -> Result<&ImageConfig> {
    config.image.as_ref().ok_or_else(|| Error::failed("the configuration has no group [image]"))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).during("finding", path)
}

/// Checks everything about the image, if there is to be one, that can be checked before there is a
/// commit; `name` is the ref, if it is known.
pub fn check(
    config: &ComposeConfig,
    name: Option<&RefName>,
    surroundings: &Surroundings<'_>,
    findings: &mut Findings,
) {
    let Some(image) = &config.image else { return };
    Programs::find(image, surroundings, Severity::Error, findings);
    if let Some(directory) = findings.take(absolute(&image.output)) {
        preflight::output(OUTPUT, &directory, config.tree.min_free_mib, findings);
    }
    // Any commit, version and ref will do: nothing of the result is used.
    let Some(name) = name.cloned().or_else(|| RefName::parse("unknown").ok()) else { return };
    let texts = Texts::new(image, &name, &Checksum::from_bytes([0; 32]), Some("0"));
    let Some(texts) = findings.take(texts) else { return };
    texts.kickstart.warnings.iter().for_each(|warning| findings.warning(warning));
}

/// The result of a dry run.
#[derive(Clone, Debug)]
pub struct Preview {
    /// The report before the run.
    pub report: Report,
    /// The command lines for a shell, with `RUN` for the directory of the run and `UUID` for
    /// ImageFactory's identifier of the image.
    pub command_lines: Vec<String>,
    /// The kickstart file.
    pub kickstart: Vec<u8>,
    /// The template.
    pub template: String,
}

/// Plans a run; nothing is written, and the programs need not be installed.
///
/// # Errors
/// Everything that would keep the run from starting.
pub fn preview(
    config: &ComposeConfig,
    options: &ImageOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Preview> {
    let mut findings = Findings::default();
    let prepared = Prepared::new(config, options, surroundings, Severity::Warning, &mut findings);
    surroundings.interrupt.check()?;
    let findings = findings.into_result()?;
    let prepared = prepared.ok_or_else(|| Error::failed("the run cannot be planned"))?;
    let mut report = Report { status: Status::DryRun, ..new_report(&config.tree, surroundings) };
    prepared.note(&findings, &mut report, surroundings);
    let Prepared { plan, programs, work, output: _ } = prepared;
    let run = work.join("RUN");
    let files = Files::below(&run);
    let body = files.storage.join("UUID.body");
    let qemu_img = |arguments: Vec<_>| programs.qemu_img.clone().args(arguments);
    let language = ("LC_ALL", OsString::from(LANGUAGE));
    // Short queries of programs need no separate directory for temporary files.
    let asked = |call: &Call| shell_line_with(std::slice::from_ref(&language), &call.argv);
    let set = [language.clone(), ("TMPDIR", run.join("tmp").into())];
    let runs = |call: &Call| shell_line_with(&set, &call.argv);
    let mut command_lines: Vec<String> =
        programs.checks(&files.kickstart, &files.template).iter().map(asked).collect();
    command_lines.push(runs(&programs.imagefactory.clone().args(plan.arguments(&files))));
    command_lines.push(asked(&qemu_img(qemu::info_arguments(&body).into())));
    command_lines.push(asked(&qemu_img(qemu::check_arguments(&body).into())));
    if plan.image.compress {
        let temporary = run.join(CONVERTED);
        command_lines.push(runs(&qemu_img(qemu::convert_arguments(
            (&body, Format::Qcow2),
            &temporary,
            true,
        ))));
        command_lines.push(asked(&qemu_img(qemu::info_arguments(&temporary).into())));
        command_lines.push(asked(&qemu_img(qemu::check_arguments(&temporary).into())));
    }
    let (kickstart, template) = (plan.kickstart.bytes, plan.template);
    Ok(Preview { report, command_lines, kickstart, template })
}

/// Builds an image of the published commit.
///
/// # Errors
/// The first error, with the report so far. There is no new file in the output directory then.
pub fn build(
    config: &ComposeConfig,
    options: &ImageOptions,
    surroundings: &Surroundings<'_>,
) -> Result<Report, Failed> {
    let mut report = new_report(&config.tree, surroundings);
    // This comes first, or an image that lacks only its checksum would be in the way.
    let work = absolute(&config.tree.work);
    if let Err(error) =
        work.and_then(|work| recover(config, &work, surroundings, &mut report.warnings))
    {
        return Err(not_begun(report, error));
    }
    let mut findings = Findings::default();
    let prepared = Prepared::new(config, options, surroundings, Severity::Error, &mut findings);
    let findings = match surroundings.interrupt.check().and_then(|()| findings.into_result()) {
        Ok(findings) => findings,
        Err(error) => return Err(not_begun(report, error)),
    };
    let Some(prepared) = prepared else {
        return Err(not_begun(report, Error::failed("the run cannot be planned")));
    };
    prepared.note(&findings, &mut report, surroundings);
    let begun = surroundings.interrupt.check();
    let begun = begun.and_then(|()| Run::begin(&prepared.work, surroundings.now, report.clone()));
    let run = match begun {
        Ok(run) => run,
        Err(error) => return Err(not_begun(report, error)),
    };
    let files = Files::below(&run.path(""));
    let mut build =
        Build { prepared, surroundings, files, mode: 0o666 & !config.tree.umask, run, log: None };
    let result = build.work();
    let Build { run, log, .. } = build;
    end(run, log, result, surroundings)
}

/// Cleans up after image runs that were killed. Runs of the tree stage are left to the next of
/// their kind, which holds the lock of their cache.
fn recover(
    config: &ComposeConfig,
    work: &Path,
    surroundings: &Surroundings<'_>,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let Some(image) = &config.image else { return Ok(()) };
    let directory = absolute(&image.output)?;
    let recovery = Recovery {
        // A run with another output directory is left to runs with that configuration.
        claim: &|dead| match dead.report.image_file() {
            Some(file) if file.parent() == Some(&directory) => Claim::Yes,
            _ => Claim::No,
        },
        finish: &|dead| {
            recover_output(dead, &directory)?;
            dead.remove(CONVERTED)?;
            Ok(Vec::new())
        },
        warn: &mut |message| {
            surroundings.progress.event(Event::Warning(&message));
            warnings.push(message);
        },
    };
    recovery.run(work, &surroundings.environment).map(drop)
}

/// Removes what a killed run has left in the output directory, or finishes it.
///
/// # Errors
/// When that cannot be done.
fn recover_output(dead: &DeadRun, directory: &Path) -> Result<()> {
    let name = dead.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let file = dead.report.image_file().and_then(Path::file_name);
    // Only a name is taken from the report; the directory comes from the configuration.
    match file.and_then(|file| file.to_str()) {
        Some(image) => output::recover(directory, image, name),
        None => Ok(()),
    }
}

/// A run in progress.
struct Build<'b> {
    prepared: Prepared<'b>,
    surroundings: &'b Surroundings<'b>,
    files: Files,
    /// Permissions of the image.
    mode: u32,
    run: Run,
    /// The log of the program that ran last, until it is known to have succeeded.
    log: Option<PathBuf>,
}

impl Build<'_> {
    fn work(&mut self) -> Result<Status> {
        self.prepare()?;
        let body = self.run_imagefactory()?;
        let judged = self.inspect(&body)?;
        self.surroundings.interrupt.check()?;
        if let Err(error) = self.output(&body, judged) {
            // It can be made again from the body, which is kept.
            self.clear_away(&[CONVERTED]);
            return Err(error);
        }
        self.clear_away(&["storage", "images", CONVERTED]);
        self.run.report.stage = "done";
        Ok(Status::Built)
    }

    fn warn(&mut self, message: String) {
        self.run.warn(self.surroundings.progress, message);
    }

    /// Writes ImageFactory's input files, and has other programs check them.
    fn prepare(&mut self) -> Result<()> {
        let Files { configuration, kickstart, template, storage, work } = self.files.clone();
        let name = self.prepared.output.file();
        self.run.report.image = Some(json!({
            "file": name.to_string_lossy(), "storage": storage.to_string_lossy(),
        }));
        self.run.step("prepare")?;
        for directory in [&storage, &work] {
            fs::create_dir(directory).during("creating", directory)?;
        }
        let plan = &self.prepared.plan;
        let text = imagefactory::configuration(&self.files, plan.image.timeout.as_secs());
        fs::write(&configuration, text).during("writing", &configuration)?;
        fs::write(&kickstart, &plan.kickstart.bytes).during("writing", &kickstart)?;
        fs::write(&template, &plan.template).during("writing", &template)?;
        for call in self.prepared.programs.checks(&kickstart, &template) {
            if let Some(warning) = programs::check(&call, &self.surroundings.interrupt)? {
                self.warn(warning);
            }
        }
        self.surroundings.interrupt.check()
    }

    /// Runs a long-running program, with its output in a log of that name.
    fn run_program(
        &mut self,
        call: Call,
        name: &'static str,
        on_line: &mut dyn FnMut(&str),
    ) -> Result<Finished> {
        let timeout = self.prepared.plan.time_limit();
        let job =
            Job { task: name, call, log: format!("{name}.log"), attempt: 1, timeout, cache: None };
        self.log = Some(self.run.path(&job.log));
        job.run(&mut self.run, self.surroundings, on_line)
    }

    /// Runs ImageFactory, and returns the file that it verifiably made.
    fn run_imagefactory(&mut self) -> Result<PathBuf> {
        self.run.step("imagefactory")?;
        let call = self
            .prepared
            .programs
            .imagefactory
            .clone()
            .args(self.prepared.plan.arguments(&self.files));
        let mut build_log = BuildLog::default();
        let finished = self.run_program(call, "imagefactory", &mut |line| build_log.line(line))?;
        let url = &self.prepared.plan.image.ostree_url;
        if let Err(error) =
            job::not_stopped("ImageFactory", self.prepared.plan.time_limit(), &finished)
        {
            return Err(match finished.stopped {
                Some(Stopped::Interrupt) => {
                    self.warn(
                        "a guest of ImageFactory may still run: `virsh list --all` shows it"
                            .to_owned(),
                    );
                    error
                }
                Some(Stopped::Timeout) => {
                    let hint =
                        build_log.failure(url).unwrap_or_else(|| imagefactory::stall_causes(url));
                    Error::failed(format!("{error}: {hint}"))
                }
                _ => error,
            });
        }
        match finished.ending {
            Ending::Exit(0) => {
                let body =
                    imagefactory::body(&build_log, &self.files.storage).map_err(|error| {
                        match build_log.failure(url) {
                            Some(failure) => Error::failed(format!("{error}: {failure}")),
                            None => error,
                        }
                    })?;
                self.log = None;
                Ok(body)
            }
            ending => {
                let words = build_log.failure(url).unwrap_or_else(|| describe(ending));
                Err(Error::failed(format!("ImageFactory failed: {words}")))
            }
        }
    }

    /// The fourth piece of evidence.
    fn inspect(&mut self, body: &Path) -> Result<Judged> {
        self.run.step("inspect")?;
        let image = self.prepared.plan.image;
        // An ImageFactory that ignores the format makes raw disks.
        let formats: &[Format] = if image.format == Format::Raw {
            &[Format::Raw]
        } else {
            &[Format::Qcow2, Format::Raw]
        };
        let wanted = Wanted {
            formats,
            virtual_size: image.disk_gib << 30,
            actual_size: image.min_size_mib << 20,
        };
        let judged = inspect::inspect(
            body,
            &wanted,
            &self.prepared.programs.qemu_img,
            &self.surroundings.interrupt,
        )?;
        if judged.format == Format::Raw && image.arch.has_boot_signature() {
            inspect::check_raw(body)?;
        }
        judged
            .warnings
            .iter()
            .for_each(|warning| self.warn(format!("{}: {warning}", body.display())));
        if judged.format != image.format {
            self.warn(format!(
                "ImageFactory made a raw disk, not {}; it is converted",
                image.format.as_str()
            ));
        }
        Ok(judged)
    }

    /// Makes the image in the output directory from the body, and publishes it.
    fn output(&mut self, body: &Path, judged: Judged) -> Result<()> {
        let image = self.prepared.plan.image;
        let name = self.run.report.run.clone();
        let storage = self.files.storage.clone();
        self.run.report.image = Some(json!({
            "file": self.prepared.output.file().to_string_lossy(),
            "storage": storage.to_string_lossy(),
        }));
        self.run.step("output")?;
        let mut converted = None;
        if image.compress || judged.format != image.format {
            converted = Some(self.convert(body, &judged)?);
        }
        let mut temporary = self.prepared.output.temporary(&name)?;
        let from = converted.as_deref().unwrap_or(body);
        output::copy(
            from,
            most_bytes(judged.virtual_size),
            &mut temporary,
            &self.surroundings.interrupt,
        )?;
        let published =
            self.prepared.output.publish(temporary, self.mode, &self.surroundings.interrupt)?;
        let plan = &self.prepared.plan;
        self.run.report.image = Some(json!({
            "file": published.file.to_string_lossy(),
            "format": image.format.as_str(),
            "size": published.size,
            "virtual_size": judged.virtual_size,
            "sha256": published.sha256.to_hex(),
            "commit": plan.published.commit.to_hex(),
            "ref": plan.published.ref_name.as_str(),
        }));
        Ok(())
    }

    /// Converts the body in the directory of the run, which no one else can write to, and verifies
    /// the result.
    fn convert(&mut self, body: &Path, judged: &Judged) -> Result<PathBuf> {
        let to = self.run.path(CONVERTED);
        // qemu-img would follow a link that a program has put there.
        self.run.remove(CONVERTED)?;
        let arguments =
            qemu::convert_arguments((body, judged.format), &to, self.prepared.plan.image.compress);
        let call = self.prepared.programs.qemu_img.clone().args(arguments);
        let mut last = String::new();
        let finished = self.run_program(call, "qemu-img", &mut |line| {
            if !line.trim().is_empty() {
                line.clone_into(&mut last);
            }
        })?;
        job::not_stopped("qemu-img convert", self.prepared.plan.time_limit(), &finished)?;
        if finished.ending != Ending::Exit(0) {
            let words = if last.is_empty() { describe(finished.ending) } else { last };
            return Err(Error::failed(format!("qemu-img convert failed: {words}")));
        }
        self.log = None;
        // It may be smaller than any body, because it is compressed.
        let wanted =
            Wanted { formats: &[Format::Qcow2], virtual_size: judged.virtual_size, actual_size: 0 };
        let result = inspect::inspect(
            &to,
            &wanted,
            &self.prepared.programs.qemu_img,
            &self.surroundings.interrupt,
        )?;
        result.warnings.into_iter().for_each(|warning| self.warn(warning));
        Ok(to)
    }

    /// Removes intermediate files.
    fn clear_away(&mut self, names: &[&str]) {
        for name in names {
            if let Err(error) = self.run.remove(name) {
                self.warn(error.chain());
            }
        }
    }
}
