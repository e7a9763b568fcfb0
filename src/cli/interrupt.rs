//! SIGHUP, SIGINT and SIGTERM: what happens before the program ends.
//!
//! Most commands may be killed at any moment, so the signal terminates them as if it had not been
//! caught, after the bar is cleared and a line about leftovers is printed. Signals that were
//! ignored when the program started, as under `nohup`, stay ignored.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc;
use std::thread;

use osier::process::Interrupt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::{flag, low_level};

/// The effect of a second signal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Second {
    /// It ends the program at once, regardless of the handler of the first.
    Ends,
    /// It goes to the handler like the first.
    IsHandled,
}

/// Has `handle` called on a thread of its own for each signal. If no thread can be created, signals
/// have their default effect.
pub(super) fn listen(second: Second, mut handle: impl FnMut(i32) + Send + 'static) {
    let (ready, is_ready) = mpsc::channel();
    let listen = move || {
        let ignored = ignored_signals();
        let wanted: Vec<i32> =
            [SIGHUP, SIGINT, SIGTERM].into_iter().filter(|signal| !ignored(*signal)).collect();
        let Ok(mut signals) = Signals::new(&wanted) else { return };
        if second == Second::Ends {
            let came = Arc::new(AtomicBool::new(false));
            for signal in wanted {
                // In this order the first signal only sets the flag. Without them the second one
                // would have no effect.
                let _ = flag::register_conditional_default(signal, Arc::clone(&came));
                let _ = flag::register(signal, Arc::clone(&came));
            }
        }
        let _ = ready.send(());
        signals.forever().for_each(&mut handle);
    };
    if thread::Builder::new().name("signals".to_owned()).spawn(listen).is_ok() {
        let _ = is_ready.recv();
    }
}

/// From now on signals only raise the flag, which ends the program that a command waits for, and
/// with it the command.
pub(super) fn flag() -> Interrupt {
    let interrupt = Interrupt::default();
    let raised = interrupt.clone();
    listen(Second::IsHandled, move |_| raised.raise());
    interrupt
}

/// Ends the program as the signal would have done.
pub(super) fn die_of(signal: i32) {
    let _ = low_level::emulate_default_handler(signal);
}

/// The signals that the kernel does not deliver.
fn ignored_signals() -> impl Fn(i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    move |signal| mask >> (signal - 1) & 1 == 1
}

/// The line about the staging directory that a transaction of this process leaves in a repository,
/// if there is one.
pub(super) fn about_staging(repo: &Path) -> Option<String> {
    let tmp = repo.canonicalize().ok()?.join("tmp");
    let staging = open_files().into_iter().find_map(|path| {
        let name =
            path.strip_prefix(&tmp).ok()?.components().next()?.as_os_str().to_str()?.to_owned();
        (name.starts_with("staging-") && !name.ends_with("-lock")).then_some(name)
    })?;
    let staging = repo.join("tmp").join(staging);
    Some(format!(
        "interrupted: what was written is in {}; the next commit or pull takes it over",
        staging.display()
    ))
}

/// The paths of this process's open files.
fn open_files() -> Vec<PathBuf> {
    let descriptors = fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    descriptors.filter_map(|descriptor| fs::read_link(descriptor.path()).ok()).collect()
}

/// The line about a directory that is being filled, which `existed` before or not.
pub(super) fn about_checkout(destination: &Path, existed: bool) -> Option<String> {
    destination.symlink_metadata().ok()?;
    let advice = if existed {
        "the same command again completes it"
    } else {
        "remove it and check out again"
    };
    Some(format!("interrupted: {} is incomplete; {advice}", destination.display()))
}

/// The line about an archive that is being written.
pub(super) fn about_export(archive: &Path) -> String {
    format!("interrupted: {} is incomplete; the same command again replaces it", archive.display())
}
