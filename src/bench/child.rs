//! Runs one program and measures it.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::error::{During, Error, Result};
use crate::progress::Progress;
use crate::trial;

/// The first interval for sampling a program's memory: the shortest runs take milliseconds.
const FIRST_INTERVAL: Duration = Duration::from_micros(200);
/// The longest sampling interval.
const SAMPLING_INTERVAL: Duration = Duration::from_millis(50);
/// The interval is this fraction of the time that the program has been running, within the limits
/// above, so that sampling takes no significant processor time: that would slow a program that uses
/// all processors more than one that does not.
const SAMPLES_PER_TIME: u32 = 20;
/// The field of `/proc/PID/status` with the peak memory of a process.
const HIGH_WATER_MARK: &str = "VmHWM:";
/// The smallest page size, in bytes.
const PAGE_LEN: usize = 4096;

/// The cost of a run.
#[derive(Clone, Debug, Default)]
pub struct Measurement {
    /// From start to end.
    pub time: Duration,
    /// Processor time of all its threads, in the program and in the kernel.
    pub cpu: Duration,
    /// The peak memory in bytes, as sampled; 0 if the program ended before the first sample.
    pub peak_memory: u64,
    /// What the program printed.
    pub stdout: String,
}

/// Touches this many bytes of memory, at most half of what is available, and frees them. A virtual
/// machine takes back memory that has not been used for a while, and the next user waits for it,
/// page by page; that would otherwise dominate the cost of steps that write much.
pub(super) fn warm_memory(bytes: u64) {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let available = value_of(&meminfo, "MemAvailable:").unwrap_or(0);
    let mut memory = vec![0u8; usize::try_from(bytes.min(available / 2)).unwrap_or(0)];
    // Pages of zeros are not allocated until something else is written.
    memory.iter_mut().step_by(PAGE_LEN).for_each(|byte| *byte = 1);
    std::hint::black_box(&memory);
}

/// Runs `PROGRAM --repo=REPO ARGUMENTS` to its end; if the program fails, the error contains its
/// message. Other children of this process must not end meanwhile, or their processor time would be
/// counted.
pub(super) fn run(
    program: &Path,
    repo: &Path,
    arguments: &[String],
    progress: &dyn Progress,
) -> Result<Measurement> {
    let printed = repo.with_extension("stdout");
    let mut command = Command::new(program);
    command
        .arg(format!("--repo={}", repo.display()))
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .env("TZ", "UTC");
    // Data of earlier steps must not be written back at this one's expense.
    rustix::fs::sync();
    let before = cpu_time(UsageWho::RUSAGE_CHILDREN)?;
    let (mut peak_memory, started) = (0, Instant::now());
    let watch = |process| {
        peak_memory = peak_memory.max(memory_of(process));
        (started.elapsed() / SAMPLES_PER_TIME).clamp(FIRST_INTERVAL, SAMPLING_INTERVAL)
    };
    let trial::Ended { status, time, stderr } =
        trial::run(&mut command, &printed, progress, watch)?;
    if !status.success() {
        let words = String::from_utf8_lossy(&stderr);
        return Err(Error::failed(format!(
            "{} {} failed: {}",
            program.display(),
            arguments.join(" "),
            words.trim()
        )));
    }
    let cpu = cpu_time(UsageWho::RUSAGE_CHILDREN)?.saturating_sub(before);
    let stdout = fs::read(&printed).during("reading", &printed)?;
    Ok(Measurement {
        time,
        cpu,
        peak_memory,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
    })
}

/// The version in what `PROGRAM --version` prints, which is YAML with a line `Version: '2022.7'`;
/// `None` if there is none.
pub(super) fn version(program: &Path) -> Result<Option<String>> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .during("running", program)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().find_map(|line| line.trim().strip_prefix("Version:"));
    Ok(version.map(|version| version.trim().trim_matches('\'').to_owned()))
}

/// Processor time so far, user and system: of this process, or of its children that have ended.
pub(super) fn cpu_time(who: UsageWho) -> Result<Duration> {
    let usage = getrusage(who).map_err(|error| Error::failed(format!("getrusage: {error}")))?;
    let duration = |time: TimeVal| {
        let seconds = Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0));
        seconds + Duration::from_micros(u64::try_from(time.tv_usec()).unwrap_or(0))
    };
    Ok(duration(usage.user_time()) + duration(usage.system_time()))
}

/// The peak memory of a process so far.
fn memory_of(process: u32) -> u64 {
    // A process that has ended but not been waited for has no such line.
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    value_of(&status, HIGH_WATER_MARK).unwrap_or(0)
}

/// In bytes, from the text of `/proc/PID/status` or `/proc/meminfo`.
fn value_of(text: &str, key: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(key))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Silent;

    /// A program that runs these shell commands.
    fn script(directory: &Path, commands: &str) -> std::path::PathBuf {
        let script = directory.join("program");
        fs::write(&script, format!("#!/bin/sh\n{commands}\n")).unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        script
    }

    #[test]
    fn the_high_water_mark_is_read_from_the_status_of_a_process() {
        let status = "Name:\tosier\nVmPeak:\t  99999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(value_of(status, HIGH_WATER_MARK), Some(12345 * 1024));
        assert_eq!(value_of("Name:\tzombie\n", HIGH_WATER_MARK), None);
    }

    #[test]
    fn a_failing_program_is_an_error_with_its_words() {
        let directory = tempfile::tempdir().unwrap();
        let repo = directory.path().join("repo");
        let script = script(directory.path(), "echo 'error: no such thing' >&2\nexit 1");
        let message = run(&script, &repo, &["refs".to_owned()], &Silent).unwrap_err().to_string();
        assert_eq!(message, format!("{} refs failed: error: no such thing", script.display()));
    }

    #[test]
    fn the_processor_time_of_a_program_is_measured_and_so_are_its_time_and_memory() {
        let directory = tempfile::tempdir().unwrap();
        let repo = directory.path().join("repo");
        let busy = script(
            directory.path(),
            "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; echo $1 $2",
        );
        let measured = run(&busy, &repo, &["word".to_owned()], &Silent).unwrap();
        assert_eq!(measured.stdout, format!("--repo={} word\n", repo.display()));
        assert!(measured.cpu > Duration::from_millis(5), "{measured:?}");
        let asleep = script(directory.path(), "sleep 0.3");
        let measured = run(&asleep, &repo, &[], &Silent).unwrap();
        assert!(measured.time >= Duration::from_millis(300), "{measured:?}");
        assert!(measured.peak_memory > 100_000, "{measured:?}");
    }

    #[test]
    fn the_version_is_what_the_program_calls_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let yaml = script(
            directory.path(),
            "printf 'libostree:\\n Version: '\"'\"'2022.7'\"'\"'\\n Git: x\\n'",
        );
        assert_eq!(version(&yaml).unwrap().as_deref(), Some("2022.7"));
        let silent = script(directory.path(), "true");
        assert_eq!(version(&silent).unwrap(), None);
    }
}
