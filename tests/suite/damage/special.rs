//! Something that is no file in the place of each kind of file of a repository: nothing waits,
//! nothing fills the memory, and a command that needs the file names it.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode};

use super::Victim;
use crate::support::{copy_all, is_root, long_tests, osier_path};

/// What stands there instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    Fifo,
    Socket,
    Directory,
    DanglingLink,
    LinkToItself,
    /// `/dev/zero`, which never ends.
    Device,
    /// A file with holes that is larger than any memory.
    Huge,
}

use Special::*;

const ALL: [Special; 7] = [Fifo, Socket, Directory, DanglingLink, LinkToItself, Device, Huge];

/// No command may take longer.
const LONGEST: Duration = Duration::from_secs(30);
/// Of addresses, in KiB.
const MEMORY: &str = "4000000";

impl Special {
    /// Puts it there.
    fn make(self, path: &Path) {
        let mode = Mode::from_raw_mode(0o644);
        match self {
            Fifo => rustix::fs::mknodat(CWD, path, FileType::Fifo, mode, 0).unwrap(),
            // Its path may be longer than an address can be.
            Socket => {
                let short = tempfile::tempdir().unwrap();
                drop(UnixListener::bind(short.path().join("s")).unwrap());
                if fs::rename(short.path().join("s"), path).is_err() {
                    rustix::fs::mknodat(CWD, path, FileType::Socket, mode, 0).unwrap();
                }
            }
            Directory => fs::create_dir(path).unwrap(),
            DanglingLink => symlink("nowhere", path).unwrap(),
            LinkToItself => symlink(path.file_name().unwrap(), path).unwrap(),
            Device => {
                let zero = rustix::fs::makedev(1, 5);
                rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, zero).unwrap();
            }
            Huge => fs::File::create(path).unwrap().set_len(1 << 40).unwrap(),
        }
    }
}

/// Runs a command with little memory; its status and what it printed to standard error.
fn run(directory: &Path, command: &[&str], what: &str) -> (i32, String) {
    let line = format!("ulimit -v {MEMORY}; exec \"$@\"");
    // Two repositories are compared by their paths.
    let (repo, worst) = if command[0] == "compare" { (None, 2) } else { (Some("--repo=repo"), 1) };
    let mut child = Command::new("sh")
        .args(["-c", &line, "sh", osier_path()])
        .args(repo)
        .args(command)
        .current_dir(directory)
        .env("OSIER_LOCK_TIMEOUT", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(fs::File::create(directory.join("stderr")).unwrap()))
        .spawn()
        .unwrap();
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > LONGEST {
            child.kill().unwrap();
            panic!("{what}: {command:?} does not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let stderr = String::from_utf8_lossy(&fs::read(directory.join("stderr")).unwrap()).into_owned();
    let status = status.code().unwrap_or_else(|| panic!("{what}: {command:?} {status}: {stderr}"));
    assert!(
        (0..=worst).contains(&status) && !stderr.contains("panicked"),
        "{what}: {command:?} {status}: {stderr}"
    );
    (status, stderr)
}

/// A kind of file: its path, and the commands that must refuse what is no file there.
struct Kind {
    path: String,
    needed_by: &'static [&'static [&'static str]],
}

fn kinds(victim: &Victim) -> Vec<Kind> {
    let kind = |path: &str, needed_by: &'static [&'static [&'static str]]| Kind {
        path: path.to_owned(),
        needed_by,
    };
    let object = |extension: &str| victim.objects(extension).swap_remove(0);
    let (first, rest) = victim.commit.split_at(2);
    vec![
        kind("config", &[&["refs"], &["fsck"], &["prune"]]),
        kind("refs/heads/main", &[&["show", "main"], &["checkout", "-U", "main", "out"]]),
        kind("summary", &[&["summary", "-v"], &["summary", "--raw"]]),
        kind("summary.sig", &[]),
        kind(".lock", &[]),
        kind("tmp", &[&["commit", "-b", "new", "--tree=dir=tree"]]),
        kind("tmp/cache/stat-cache", &[]),
        kind(&format!("state/{}.commitpartial", victim.commit), &[]),
        kind("origin.trustedkeys.gpg", &[]),
        kind(
            &format!("objects/{first}/{rest}.commit"),
            &[&["show", "main"], &["fsck"], &["ls", "main"]],
        ),
        kind(&format!("objects/{first}/{rest}.commitmeta"), &[]),
        kind(&object("dirtree"), &[&["fsck"], &["export", "main", "-o", "out.tar"]]),
        kind(&object("dirmeta"), &[&["fsck"], &["checkout", "-U", "main", "out"]]),
        kind(&object("filez"), &[&["fsck"], &["checkout", "-U", "main", "out"]]),
        kind(&format!("objects/{first}"), &[&["show", "main"], &["fsck"]]),
    ]
}

/// Commands that may or may not need it; the short form takes two of them in turn for each case.
const OTHERS: [&[&str]; 10] = [
    &["refs"],
    &["log", "main"],
    &["prune", "--refs-only"],
    &["summary", "-u"],
    &["fsck", "-a", "--delete"],
    &["commit", "-b", "new", "--no-xattrs", "--stat-cache", "--tree=dir=tree"],
    &["refs", "--create=other", "main"],
    &["remote", "list"],
    &["compare", "repo", "sound"],
    &["reset", "main", "main"],
];

#[test]
fn what_is_no_file_makes_no_command_wait_or_eat_the_memory() {
    let victim = Victim::new("archive");
    let root = victim.directory.path();
    copy_all(&victim.path(""), &root.join("sound"));
    let (mut cases, mut runs, started) = (0, 0, Instant::now());
    for kind in kinds(&victim) {
        for special in ALL {
            if special == Device && !is_root() {
                continue;
            }
            cases += 1;
            let what = format!("{special:?} as {}", kind.path);
            let others: Vec<_> = match long_tests() {
                true => OTHERS.to_vec(),
                false => vec![
                    OTHERS[cases % OTHERS.len()],
                    OTHERS[(cases + cases / 10 + 5) % OTHERS.len()],
                ],
            };
            let prepare = || {
                let _ = fs::remove_dir_all(root.join("repo"));
                copy_all(&root.join("sound"), &root.join("repo"));
                let path = victim.path(&kind.path);
                let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir_all(&path));
                special.make(&path);
                let _ = fs::remove_dir_all(root.join("out"));
            };
            let is_fan_out_directory = special == Directory && matches!(kind.path.len(), 3 | 10);
            for (number, command) in kind.needed_by.iter().enumerate() {
                if !long_tests() && number > 0 && cases % 2 == 0 {
                    continue;
                }
                prepare();
                let (status, stderr) = run(root, command, &what);
                runs += 1;
                if !is_fan_out_directory {
                    assert_eq!(status, 1, "{what}: {command:?} did not notice");
                    assert!(stderr.contains("error: "), "{what}: {command:?}: {stderr}");
                    assert!(
                        stderr.lines().all(|line| line.len() < 1000),
                        "{what}: {command:?}: {stderr}"
                    );
                }
            }
            prepare();
            for command in others {
                run(root, command, &what);
                runs += 1;
            }
        }
    }
    println!("{cases} cases, {runs} runs in {:.1?}", started.elapsed());
    assert!(cases >= 90, "only {cases} cases");
}
