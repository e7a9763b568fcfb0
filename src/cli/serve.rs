//! `serve`: the repository over HTTP, for pulls and for browsers.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use osier::error::During as _;
use osier::http::server::{Method, Received, Server, ServerOptions};
use osier::serve::{ServeOptions, Site};
use serde_json::json;

use super::context::Context;
use super::elsewhere::KEY_DIRECTORIES;
use super::error::Failure;
use super::interrupt::{self, Second};
use super::json;
use super::options::path;
use super::output::Output;
use super::signatures::global_keyrings;
use super::trivial_httpd::printable;

/// The options of `serve`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Listen on ADDRESS (default 127.0.0.1)
    #[arg(long, value_name = "ADDRESS")]
    address: Option<String>,
    /// Listen on PORT; 0 lets the system choose (default 8080)
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Answer to this name, too; may be repeated
    #[arg(long, value_name = "NAME")]
    host: Vec<String>,
    /// Add a line for each request to PATH (- for standard output)
    #[arg(long, value_name = "PATH", value_parser = path())]
    log_file: Option<PathBuf>,
    /// Print a JSON document when ready
    #[arg(long)]
    json: bool,
}

const DEFAULT_PORT: u16 = 8080;

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { address, port, host, log_file, json } = args;
    let defaults = ServeOptions::default();
    let address: IpAddr = match address.as_deref() {
        None => defaults.address,
        Some(text) => {
            text.parse().map_err(|_| Failure::failed(format!("Invalid address {text}")))?
        }
    };
    let port: u16 = match port.as_deref() {
        None => DEFAULT_PORT,
        Some(text) => text.parse().map_err(|_| Failure::failed(format!("Invalid port {text}")))?,
    };
    let repo = context.open_repo()?;
    let path = repo.path().to_owned();
    let options = ServeOptions {
        address,
        hosts: host,
        key_directories: KEY_DIRECTORIES.map(PathBuf::from).to_vec(),
        keyrings: Some(global_keyrings()),
    };
    let site = Site::new(repo, &options)?;
    let log = match log_file.as_deref() {
        None => None,
        Some(path) => Some(Log::open(path, &context.out)?),
    };

    // Signals that come from here on end the server in order.
    let (sender, signals) = mpsc::channel();
    interrupt::listen(Second::Ends, move |signal| {
        let _ = sender.send(signal);
    });
    let named = format!("{address}, port {port}");
    let listener = TcpListener::bind((address, port)).during("listening on", &named)?;
    let server = Server::start(listener, ServerOptions::default(), move |request| {
        let answer = site.answer(request);
        if let Some(log) = &log {
            log.write(request, answer.status);
        }
        answer
    });
    let server = server.during("listening on", &named)?;

    let bound = server.address();
    let url = format!("http://{bound}/");
    if json {
        let address = bound.ip().to_string();
        let document = json!({ "url": url, "address": address, "port": bound.port() });
        json::print(&document, &context.out)?;
    } else {
        writeln!(context.out, "Serving {} at {url}", path.display())?;
    }
    context.out.flush()?;
    if signals.recv().is_err() {
        // No thread waits for signals, so that they end the program by themselves.
        loop {
            thread::park();
        }
    }
    Ok(())
}

/// Where requests are written down. A log that cannot be written any more is given up.
struct Log(Target);

enum Target {
    Output(Output),
    File(Arc<Mutex<File>>),
}

impl Log {
    fn open(path: &Path, out: &Output) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self(Target::Output(out.clone())));
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        Ok(Self(Target::File(Arc::new(Mutex::new(file.during("opening", path)?)))))
    }

    fn write(&self, request: &Received, status: u16) {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let method = match request.method {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Other => "OTHER",
        };
        let query = request.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
        let target = printable(&format!("{}{query}", request.raw_path));
        let line = format!("{time} {method} {target} {status}\n");
        match &self.0 {
            Target::Output(out) => {
                let _ = out.write_str(&line).and_then(|()| out.flush());
            }
            Target::File(file) => {
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                let _ = file.write_all(line.as_bytes());
            }
        }
    }
}
