//! Running one program with the clock on.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{During, Error, Result};

/// How often a running program's memory is looked at.
const SAMPLING_INTERVAL: Duration = Duration::from_millis(2);

/// What a run took.
#[derive(Clone, Debug)]
pub struct Measurement {
    /// From start to end.
    pub time: Duration,
    /// The most memory in use, in bytes, as far as samples saw it.
    pub peak_memory: u64,
    /// What the program printed.
    pub stdout: String,
}

/// Runs `PROGRAM --repo=REPO ARGUMENTS` to its end; a failure of the program is an error with its words.
pub(super) fn run(program: &Path, repo: &Path, arguments: &[String]) -> Result<Measurement> {
    let printed = repo.with_extension("stdout");
    let stdout = fs::File::create(&printed).during("creating", &printed)?;
    let mut command = Command::new(program);
    command.arg(format!("--repo={}", repo.display())).args(arguments).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    // What earlier steps wrote must not be written out, or waited for, at this one's expense.
    rustix::fs::sync();
    let started = Instant::now();
    let child = command.spawn().during("running", program)?;
    let process = child.id();
    let over = AtomicBool::new(false);
    let (output, time, peak_memory) = thread::scope(|scope| {
        let sampler = scope.spawn(|| sample_memory(process, &over));
        let output = wait(child, program);
        let time = started.elapsed();
        over.store(true, Ordering::Relaxed);
        (output, time, sampler.join().unwrap_or_default())
    });
    let (status, stderr) = output?;
    if !status {
        return Err(Error::failed(format!("{} {} failed: {}", program.display(), arguments.join(" "), stderr.trim())));
    }
    let stdout = fs::read(&printed).during("reading", &printed)?;
    Ok(Measurement { time, peak_memory, stdout: String::from_utf8_lossy(&stdout).into_owned() })
}

/// Whether the program succeeded, and what it wrote to standard error.
fn wait(child: Child, program: &Path) -> Result<(bool, String)> {
    let output = child.wait_with_output().during("waiting for", program)?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

/// The highest water mark that was seen.
fn sample_memory(process: u32, over: &AtomicBool) -> u64 {
    let mut peak = 0;
    while !over.load(Ordering::Relaxed) {
        // Between its end and our noticing, a process has no such line any more.
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        peak = peak.max(high_water_mark(&status).unwrap_or(0));
        thread::sleep(SAMPLING_INTERVAL);
    }
    peak
}

/// In bytes, from the text of `/proc/PID/status`.
fn high_water_mark(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read_from_the_status_of_a_process() {
        let status = "Name:\tosier\nVmPeak:\t  99999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(high_water_mark(status), Some(12345 * 1024));
        assert_eq!(high_water_mark("Name:\tzombie\n"), None);
    }

    #[test]
    fn a_failing_program_is_an_error_with_its_words() {
        let directory = tempfile::tempdir().unwrap();
        let repo = directory.path().join("repo");
        let script = directory.path().join("program");
        fs::write(&script, "#!/bin/sh\necho 'error: no such thing' >&2\nexit 1\n").unwrap();
        fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let message = run(&script, &repo, &["refs".to_owned()]).unwrap_err().to_string();
        assert_eq!(message, format!("{} refs failed: error: no such thing", script.display()));
    }
}
