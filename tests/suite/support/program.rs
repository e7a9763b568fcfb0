//! Running osier and the real `ostree` under equal conditions.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::optional::{lacks, search_path, search_path_after};

/// No command of a test takes longer unless it hangs.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// The program under test. `OSIER_UNDER_TEST` names another one to put in its place: the real
/// `ostree` shows what the tests themselves get wrong, an osier of the past what they would have
/// found, and an installed osier can be tried where nothing can be built.
pub fn osier_path() -> &'static str {
    static PATH: OnceLock<String> = OnceLock::new();
    PATH.get_or_init(|| {
        std::env::var("OSIER_UNDER_TEST").unwrap_or_else(|_| env!("CARGO_BIN_EXE_osier").to_owned())
    })
}

/// osier, called by the name `ostree`.
pub fn osier() -> Program {
    Program {
        path: as_ostree().join("ostree"),
        name: "osier",
        called: Some("ostree"),
        directory: None,
        variables: Vec::new(),
        user: None,
    }
}

/// The `ostree` on the search path; says why not and returns nothing where there is none.
#[track_caller]
pub fn ostree() -> Option<Program> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = FOUND.get_or_init(|| {
        let mut candidates =
            std::env::split_paths(search_path()).map(|directory| directory.join("ostree"));
        candidates.find(|candidate| is_genuine(candidate))
    });
    if found.is_none() {
        lacks(&["ostree"]);
    }
    let path = found.clone()?;
    Some(Program {
        path,
        name: "ostree",
        called: Some("ostree"),
        directory: None,
        variables: Vec::new(),
        user: None,
    })
}

/// osier itself may be installed under the name.
fn is_genuine(candidate: &Path) -> bool {
    let ours = Path::new(env!("CARGO_BIN_EXE_osier")).canonicalize().ok();
    candidate
        .canonicalize()
        .is_ok_and(|path| Some(&path) != ours.as_ref() && !path.ends_with("osier"))
}

/// The directory that holds the symbolic link `ostree` to osier.
fn as_ostree() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("as-ostree");
        std::fs::create_dir_all(&directory).unwrap();
        // Another test process may be doing the same: make the link aside and rename it into place.
        let fresh = directory.join(format!("ostree.{}", std::process::id()));
        let _ = std::fs::remove_file(&fresh);
        std::os::unix::fs::symlink(osier_path(), &fresh).unwrap();
        std::fs::rename(&fresh, directory.join("ostree")).unwrap();
        directory
    })
}

/// A search path on which `ostree` is osier.
pub fn path_with_osier_as_ostree() -> OsString {
    search_path_after(as_ostree())
}

/// A program to run, and how.
#[derive(Clone, Debug)]
pub struct Program {
    /// The executable.
    pub path: PathBuf,
    /// What messages call it.
    pub name: &'static str,
    called: Option<&'static str>,
    directory: Option<PathBuf>,
    variables: Vec<(OsString, OsString)>,
    user: Option<u32>,
}

impl Program {
    /// Any other program, by its path or by its name on the search path.
    pub fn other(path: impl Into<PathBuf>, name: &'static str) -> Self {
        Self {
            path: path.into(),
            name,
            called: None,
            directory: None,
            variables: Vec::new(),
            user: None,
        }
    }

    /// Runs in that directory.
    pub fn in_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Sets a variable for the program.
    pub fn with(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// What has been set for it, for a test that starts it by itself.
    pub fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        self.variables.iter().cloned()
    }

    /// Runs as that user and the group of the same number, which takes root.
    pub fn for_user(mut self, user: u32) -> Self {
        self.user = Some(user);
        self
    }

    /// Starts the program in a process group of its own, with nothing to read and no
    /// reader of what it prints.
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Child {
        let arguments: Vec<OsString> =
            arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let mut command = self.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.path.display()))
    }

    /// Runs the program to its end.
    #[track_caller]
    pub fn run<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Output {
        self.run_with_input(arguments, b"")
    }

    /// Runs the program with `--repo=REPO` in front.
    #[track_caller]
    pub fn repo<A: AsRef<OsStr>>(
        &self,
        repo: &Path,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        let mut all = vec![OsString::from("--repo=")];
        all[0].push(repo);
        all.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self.run(all)
    }

    /// Runs the program with `input` on its standard input.
    #[track_caller]
    pub fn run_with_input<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
        input: &[u8],
    ) -> Output {
        let arguments: Vec<OsString> =
            arguments.into_iter().map(|argument| argument.as_ref().to_owned()).collect();
        let mut command = self.command(&arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.path.display()));

        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // A program that does not read its input closes the pipe, which is no failure of the test.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = read_in_background(child.stdout.take().unwrap());
        let stderr = read_in_background(child.stderr.take().unwrap());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > TIME_LIMIT {
                let group = rustix::process::Pid::from_child(&child);
                let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
                child.wait().unwrap();
                panic!("{} {arguments:?} hangs: no end after {TIME_LIMIT:?}", self.name);
            }
            thread::sleep(Duration::from_micros(300));
        };
        writer.join().unwrap();
        Output {
            command: describe(self.name, &arguments),
            stdout: stdout.join().unwrap(),
            stderr: stderr.join().unwrap(),
            status: status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)),
        }
    }

    fn command(&self, arguments: &[OsString]) -> Command {
        let mut command = Command::new(&self.path);
        // Usage texts begin with the name by which a program is called: the same for both.
        if let Some(name) = self.called {
            command.arg0(name);
        }
        command.args(arguments).env_clear().env("PATH", search_path()).env("HOME", "/nonexistent");
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        // A time-out ends the whole group, whatever the program has started.
        command.process_group(0);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

fn describe(name: &str, arguments: &[OsString]) -> String {
    let mut line = name.to_owned();
    for argument in arguments {
        line.push(' ');
        line.push_str(&argument.to_string_lossy().escape_debug().to_string());
    }
    line
}

/// What a program did.
#[derive(Clone)]
pub struct Output {
    /// The command line, for messages.
    pub command: String,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error.
    pub stderr: Vec<u8>,
    /// Its exit status, or the negative number of the signal that ended it.
    pub status: i32,
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.command, self.status)?;
        writeln!(f, "--- stdout\n{}", String::from_utf8_lossy(&self.stdout))?;
        write!(f, "--- stderr\n{}", String::from_utf8_lossy(&self.stderr))
    }
}

impl Output {
    /// Fails unless the program succeeded; returns its standard output.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Fails unless the program succeeded; returns the one line it printed.
    #[track_caller]
    pub fn line(self) -> String {
        self.success().trim_end_matches('\n').to_owned()
    }

    /// Fails unless the program ended with status 1 and an `error: ` line; returns that line
    /// without the prefix.
    #[track_caller]
    pub fn failure(self) -> String {
        self.assert_no_panic();
        assert_eq!(self.status, 1, "{self:?}");
        let stderr = String::from_utf8_lossy(&self.stderr);
        let line = stderr.lines().rev().find_map(|line| line.strip_prefix("error: "));
        line.unwrap_or_else(|| panic!("no `error: ` line: {self:?}")).to_owned()
    }

    /// Fails if the program panicked or was ended by a signal.
    #[track_caller]
    pub fn assert_no_panic(&self) {
        let panicked = self.stderr.windows(8).any(|window| window == b"panicked");
        assert!(!panicked && self.status >= 0 && self.status != 101, "{self:?}");
    }
}
