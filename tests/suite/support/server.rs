//! A web server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::program;

/// Python's web server on a free port of the loopback.
pub struct Server {
    child: Child,
    /// Without a slash at the end.
    pub url: String,
}

impl Server {
    /// Serves a directory; without Python the test is skipped.
    #[track_caller]
    pub fn start(directory: &std::path::Path) -> Option<Self> {
        let mut command = Command::new(program("python3")?.path);
        command.args(["-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]).current_dir(directory);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let url = line.split(['(', ')']).nth(1).unwrap_or_else(|| panic!("{line}")).trim_end_matches('/').to_owned();
        Some(Self { child, url })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
