//! `trivial-httpd`: a web server for tests of clients, which can fail on purpose. `ostree` had it
//! as a command before 2026 and has it as a program of its own.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{self, PipeWriter, Read as _, Write};
use std::net::{IpAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{fmt, thread};

use osier::error::{During as _, Error, OsError};
use osier::http::server::{Answer, Files, Method, Received, Server, ServerOptions};
use osier::input;

use super::context::Context;
use super::error::Failure;
use super::options::{OWN_OPTIONS, integer, path};

/// The options of `trivial-httpd`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Fork into background when ready
    #[arg(short = 'd', long)]
    daemonize: bool,
    /// Automatically exit when directory is deleted
    #[arg(long)]
    autoexit: bool,
    /// Use the specified TCP port
    #[arg(short = 'P', long, value_name = "PORT", value_parser = integer)]
    port: Option<i32>,
    /// Write port number to PATH (- for standard output)
    #[arg(short = 'p', long, value_name = "PATH", value_parser = path())]
    port_file: Option<PathBuf>,
    /// Force range requests by only serving half of files
    #[arg(long)]
    force_range_requests: bool,
    /// Require username foouser, password barpw
    #[arg(long)]
    require_basic_auth: bool,
    /// Generate random HTTP 500 errors approximately for PERCENTAGE requests
    #[arg(long, value_name = "PERCENTAGE", value_parser = integer)]
    random_500s: Option<i32>,
    /// Limit HTTP 500 errors to MAX (default 100)
    #[arg(long, value_name = "MAX", value_parser = integer)]
    random_500s_max: Option<i32>,
    /// Generate random HTTP 408 errors approximately for PERCENTAGE requests
    #[arg(long, value_name = "PERCENTAGE", value_parser = integer)]
    random_408s: Option<i32>,
    /// Limit HTTP 408 errors to MAX (default 100)
    #[arg(long, value_name = "MAX", value_parser = integer)]
    random_408s_max: Option<i32>,
    /// Put logs here (use - for stdout)
    #[arg(long, value_name = "PATH", value_parser = path())]
    log_file: Option<PathBuf>,
    /// Expect given cookies in the http request
    #[arg(long, value_name = "KEY=VALUE")]
    expected_cookies: Vec<String>,
    /// Expect given headers in the http request
    #[arg(long, value_name = "KEY=VALUE")]
    expected_header: Vec<String>,
    /// Listen on ADDRESS (default 127.0.0.1)
    #[arg(long, value_name = "ADDRESS", help_heading = OWN_OPTIONS)]
    address: Option<String>,
    #[arg(value_parser = path())]
    arguments: Vec<PathBuf>,
}

/// Tells the program started by `--daemonize` that it is in the background.
const IN_BACKGROUND: &str = "OSIER_TRIVIAL_HTTPD_IN_BACKGROUND";
/// The user and password of `--require-basic-auth`, `foouser:barpw`.
const CREDENTIALS: &str = "Zm9vdXNlcjpiYXJwdw==";
/// How often to see whether the directory is still there.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
const DEFAULT_FAULTS: u32 = 100;

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        daemonize,
        autoexit,
        port,
        port_file,
        force_range_requests,
        require_basic_auth,
        random_500s,
        random_500s_max,
        random_408s,
        random_408s_max,
        log_file,
        expected_cookies,
        expected_header,
        address,
        arguments,
    } = args;
    let directory = arguments.first().map_or(Path::new("."), PathBuf::as_path);
    let files = Arc::new(Files::open(directory).calling("opendir", directory)?);
    let faults = [
        Fault::new(500, "--random-500s", random_500s, random_500s_max)?,
        Fault::new(408, "--random-408s", random_408s, random_408s_max)?,
    ];
    let cookies = pairs("--expected-cookies", &expected_cookies)?;
    let headers = pairs("--expected-header", &expected_header)?;
    let port = port.unwrap_or(0);
    let port = u16::try_from(port).map_err(|_| Failure::failed(format!("Invalid port {port}")))?;
    let address = match address.as_deref() {
        None => IpAddr::from([127, 0, 0, 1]),
        Some(text) => {
            text.parse().map_err(|_| Failure::failed(format!("Invalid address {text}")))?
        }
    };
    if daemonize && env::var_os(IN_BACKGROUND).is_none() {
        return start_in_background();
    }

    let is_on_stdout = log_file.as_deref() == Some(Path::new("-"));
    let log = Log::open(log_file.as_deref(), context)?;
    log.write(format_args!("serving at root {}", directory.display()));
    let listener =
        TcpListener::bind((address, port)).during("listening on", address.to_string())?;
    let rules = Rules {
        files: Arc::clone(&files),
        needs_credentials: require_basic_auth,
        cookies,
        headers,
        faults,
        cuts_objects: force_range_requests,
        log,
    };
    let server =
        Server::start(listener, ServerOptions::default(), move |request| rules.answer(request));
    let server = server.during("listening on", address.to_string())?;
    let port = server.address().port();
    match port_file.as_deref() {
        None => {}
        Some(path) if path == Path::new("-") => {
            writeln!(context.out, "{port}")?;
            context.out.flush()?;
        }
        Some(path) => {
            input::replace_named(path, format!("{port}\n").as_bytes())
                .map_err(|error| cannot("Failed to create file", path, error))?;
        }
    }
    if daemonize {
        let keeps_stdout = is_on_stdout;
        leave_foreground(keeps_stdout).during("leaving", "the foreground")?;
    }
    while !(autoexit && files.is_removed()) {
        thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}

/// What requests have to meet, and what becomes of them.
struct Rules {
    files: Arc<Files>,
    needs_credentials: bool,
    cookies: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    faults: [Fault; 2],
    cuts_objects: bool,
    log: Log,
}

impl Rules {
    /// In upstream's order; what is refused before it is looked at is not in the log.
    fn answer(&self, request: &Received) -> Answer {
        if self.needs_credentials && !has_credentials(request) {
            return Answer::new(401).with("www-authenticate", "Basic realm=auth-test");
        }
        if request.method == Method::Other {
            return Answer::new(501);
        }
        let path = String::from_utf8_lossy(&request.path);
        self.log.write(format_args!("serving {}", printable(&path)));
        let answer = match self.refusal(request) {
            Some(answer) => answer,
            None => self.files.answer(request),
        };
        self.log.write(format_args!("  status: {} ({})", answer.reason(), answer.status));
        let is_file = answer.header("etag").is_some() && answer.status == 200;
        // As upstream has it, which strips the first slash.
        let is_object = path.trim_start_matches('/').contains("/objects/");
        match self.cuts_objects && is_file && is_object && request.method == Method::Get {
            true => answer.cut_in_half().with("connection", "close"),
            false => answer,
        }
    }

    fn refusal(&self, request: &Received) -> Option<Answer> {
        for (name, value) in &self.cookies {
            if !has_cookie(request, name, value) {
                self.log.write(format_args!("Expected cookie not found {name}={value}"));
                return Some(Answer::new(403));
            }
        }
        for (name, value) in &self.headers {
            let found =
                request.headers.iter().rev().find(|(own, _)| own.eq_ignore_ascii_case(name));
            match found {
                Some((_, found)) if found == value => {}
                Some((_, found)) => {
                    let found = printable(found);
                    self.log
                        .write(format_args!("Expected header {name}: {value} but found {found}"));
                    return Some(Answer::new(403));
                }
                None => {
                    self.log.write(format_args!("Expected header not found {name}"));
                    return Some(Answer::new(403));
                }
            }
        }
        self.faults.iter().find(|fault| fault.happens()).map(|fault| Answer::new(fault.status))
    }
}

/// A status that some requests get at random.
struct Fault {
    status: u16,
    percentage: u32,
    left: AtomicU32,
}

impl Fault {
    fn new(
        status: u16,
        option: &str,
        percentage: Option<i32>,
        most: Option<i32>,
    ) -> Result<Self, Failure> {
        let percentage = percentage.unwrap_or(0);
        let allowed = u32::try_from(percentage).ok().filter(|percentage| *percentage < 100);
        let invalid =
            |option: &str, value: i32| Failure::failed(format!("Invalid {option}={value}"));
        let left = match most {
            Some(most) => {
                u32::try_from(most).map_err(|_| invalid(&format!("{option}-max"), most))?
            }
            None => DEFAULT_FAULTS,
        };
        let percentage = allowed.ok_or_else(|| invalid(option, percentage))?;
        Ok(Self { status, percentage, left: left.into() })
    }

    /// Whether it happens now.
    fn happens(&self) -> bool {
        let mut random = [0; 4];
        let filled =
            rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty());
        let dice = filled.map_or(u32::MAX, |_| u32::from_ne_bytes(random)) % 100;
        let spend = |left: u32| left.checked_sub(1);
        dice < self.percentage
            && self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

/// A log, if one is wanted. One that cannot be written any more is given up without a word.
struct Log(Option<Mutex<Box<dyn Write + Send>>>);

impl Log {
    fn open(path: Option<&Path>, context: &Context) -> Result<Self, Failure> {
        let writer: Box<dyn Write + Send> = match path {
            None => return Ok(Self(None)),
            Some(path) if path == Path::new("-") => Box::new(context.out.clone()),
            Some(path) => {
                let created =
                    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
                Box::new(created.map_err(|error| cannot("Error opening file", path, error))?)
            }
        };
        Ok(Self(Some(Mutex::new(writer))))
    }

    fn write(&self, what: fmt::Arguments<'_>) {
        let Some(writer) = &self.0 else { return };
        let time = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S%.6f").to_string();
        let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = writer.write_all(format!("{time} - {what}\n").as_bytes());
        let _ = writer.flush();
    }
}

fn pairs(option: &str, texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let missing = || Failure::failed(format!("Missing '=' in KEY=VALUE for {option}"));
    let split = |text: &String| {
        let (key, value) = text.split_once('=').ok_or_else(missing)?;
        Ok((key.to_owned(), value.to_owned()))
    };
    texts.iter().map(split).collect()
}

fn has_credentials(request: &Received) -> bool {
    let given = request.header("authorization").and_then(|header| header.split_once(' '));
    given.is_some_and(|(scheme, credentials)| {
        scheme.eq_ignore_ascii_case("basic") && credentials.trim() == CREDENTIALS
    })
}

fn has_cookie(request: &Received, name: &str, value: &str) -> bool {
    let headers = request.headers.iter().filter(|(own, _)| own == "cookie");
    let cookies = headers.flat_map(|(_, header)| header.split(';')).map(str::trim);
    let mut pairs = cookies.filter_map(|cookie| cookie.split_once('='));
    pairs.any(|(own, found)| {
        let unquoted = found.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        own == name && unquoted.unwrap_or(found) == value
    })
}

/// A text from outside on one line of the log.
pub(super) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => printable.extend(character.escape_default()),
            false => printable.push(character),
        }
    }
    printable
}

fn cannot(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::Error(Error::Refused {
        what: format!("{what} “{}”", path.display()),
        source: OsError(error),
    })
}

/// Starts this program again and returns when it serves.
fn start_in_background() -> Result<(), Failure> {
    let program = env::current_exe().during("finding", "the program")?;
    let mut arguments = env::args_os();
    let name = arguments.next().unwrap_or_default();
    let (mut ready, says_ready): (_, PipeWriter) = io::pipe().during("creating", "a pipe")?;
    // It reports on its standard input, which it has no other use for.
    let child = Command::new(&program)
        .arg0(name)
        .args(arguments)
        .env(IN_BACKGROUND, "1")
        .stdin(Stdio::from(OwnedFd::from(says_ready)))
        .spawn();
    let mut child = child.during("running", &program)?;
    let mut word = Vec::new();
    ready.read_to_end(&mut word).during("reading from", &program)?;
    if !word.is_empty() {
        return Ok(());
    }
    // It has said why.
    let status = child.wait().during("waiting for", &program)?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(Failure::Status(code.filter(|code| *code != 0).unwrap_or(1)))
}

/// Reports that the server is ready, and leaves terminal and pipes to others.
fn leave_foreground(keeps_stdout: bool) -> io::Result<()> {
    rustix::process::setsid()?;
    let null = File::options().read(true).write(true).open("/dev/null")?;
    rustix::io::write(rustix::stdio::stdin(), b"ready")?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stderr(&null)?;
    if !keeps_stdout {
        rustix::stdio::dup2_stdout(&null)?;
    }
    Ok(())
}
