//! A real web server: nginx, on the loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{has_programs, program, scratch};

/// nginx with a directory for its files. It ends with the value.
pub struct Nginx {
    child: Child,
    directory: tempfile::TempDir,
    pub port: u16,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let child = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(child, rustix::process::Signal::QUIT);
        let _ = self.child.wait();
    }
}

impl Nginx {
    /// Fills the directory with `prepare`, which also returns the parts of the configuration for
    /// `http` and for the one `server`. `None`, with a line that says so, where nginx or openssl is
    /// missing.
    #[track_caller]
    pub fn start(prepare: impl FnOnce(&Path, u16) -> [String; 2]) -> Option<Self> {
        if !has_programs(&["nginx", "openssl"]) {
            return None;
        }
        let directory = scratch();
        let root = directory.path();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let [http, server] = prepare(root, port);
        let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|name| format!("{name}_temp_path {}/{name};", root.display()))
            .join(" ");
        let text = format!(
            "daemon off; worker_processes 1; master_process off; pid {root}/pid;
             error_log {root}/error;
             events {{ worker_connections 512; }}
             http {{ {paths} {http} server {{ {server} }} }}",
            root = root.display()
        );
        let user = if rustix::process::geteuid().is_root() { "user root; " } else { "" };
        let config = root.join("nginx.conf");
        fs::write(&config, user.to_owned() + &text).unwrap();
        let child = Command::new(program("nginx")?.path)
            .args(["-p".as_ref(), root.as_os_str(), "-e".as_ref(), root.join("error").as_os_str()])
            .args(["-c".as_ref(), config.as_os_str()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let nginx = Self { child, directory, port };
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(nginx);
            }
            thread::sleep(Duration::from_millis(25));
        }
        let log = fs::read_to_string(nginx.path("error"));
        panic!("nginx does not listen: {}", log.unwrap_or_default());
    }

    /// A file in its directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Calls openssl in a directory.
#[track_caller]
pub fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new(program("openssl").unwrap().path)
        .current_dir(directory)
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}
