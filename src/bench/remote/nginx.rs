//! A web server for the time of a measurement: nginx on the loopback interface.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::Protocol;
use crate::error::{During, Error, Result};

/// How long it may take to start.
const START_TIME: Duration = Duration::from_secs(20);

/// The server. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct Nginx {
    child: Child,
    http1: SocketAddr,
    http2: SocketAddr,
    /// The certificate that proves who it is.
    pub(super) certificate: PathBuf,
}

impl Nginx {
    /// Serves `root`, with HTTP/1.1 on one port and HTTP/2 over TLS on another one. Everything else
    /// that it needs is in `directory`, whose path has to be usable in its configuration.
    pub(super) fn start(
        nginx: &Path,
        openssl: &Path,
        directory: &Path,
        root: &Path,
    ) -> Result<Self> {
        fs::create_dir(directory).during("creating", directory)?;
        let certificate = certificate(openssl, directory)?;
        let (http1, http2) = free_addresses().during("looking for", "free ports")?;
        let config = directory.join("nginx.conf");
        let text = configuration(directory, root, [http1, http2])?;
        fs::write(&config, text).during("writing", &config)?;
        let log = directory.join("error");
        let mut command = Command::new(nginx);
        command.arg("-p").arg(directory).arg("-e").arg(&log).arg("-c").arg(&config);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        // An interrupt from the terminal is for the benchmark, which ends it.
        command.process_group(0);
        let child = command.spawn().during("running", nginx)?;
        let mut server = Self { child, http1, http2, certificate };
        server.wait(&log)?;
        Ok(server)
    }

    /// Waits until connections are accepted.
    fn wait(&mut self, log: &Path) -> Result<()> {
        let started = Instant::now();
        while started.elapsed() < START_TIME {
            if self.child.try_wait().during("waiting for", "nginx")?.is_some() {
                break;
            }
            if [self.http1, self.http2].iter().all(|address| TcpStream::connect(address).is_ok()) {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(20));
        }
        let log = fs::read_to_string(log).unwrap_or_default();
        Err(Error::failed(format!("nginx does not start: {}", log.trim())))
    }

    pub(super) fn address(&self, protocol: Protocol) -> SocketAddr {
        match protocol {
            Protocol::Http1 => self.http1,
            Protocol::Http2 => self.http2,
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its id is its own until it is waited for.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// Two ports that are free now.
fn free_addresses() -> std::io::Result<(SocketAddr, SocketAddr)> {
    let bind = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (bind()?, bind()?);
    Ok((one.local_addr()?, other.local_addr()?))
}

/// A certificate for the loopback address, its own root, valid for two days.
fn certificate(openssl: &Path, directory: &Path) -> Result<PathBuf> {
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
         -subj /CN=osier-bench -addext subjectAltName=IP:127.0.0.1 \
         -addext basicConstraints=critical,CA:FALSE -keyout key.pem -out certificate.pem";
    let output = Command::new(openssl)
        .args(arguments.split_whitespace())
        .current_dir(directory)
        .stdin(Stdio::null())
        .output()
        .during("running", openssl)?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(Error::failed(format!("openssl makes no certificate: {}", words.trim())));
    }
    Ok(directory.join("certificate.pem"))
}

/// What is not set is as nginx has it: 1,000 requests for each connection, 128 streams.
fn configuration(directory: &Path, root: &Path, [http1, http2]: [SocketAddr; 2]) -> Result<String> {
    let (directory, root) = (quotable(directory)?, quotable(root)?);
    // The files may be in a directory that is only open to us.
    let user = if geteuid().is_root() { "user root;" } else { "" };
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path \"{directory}/{name}\";"))
        .join(" ");
    Ok(format!(
        "{user} daemon off; worker_processes auto; pid \"{directory}/pid\";
         error_log \"{directory}/error\";
         events {{ worker_connections 1024; }}
         http {{
           access_log off; {paths} sendfile on; tcp_nopush on; root \"{root}\";
           server {{ listen {http1}; }}
           server {{
             listen {http2} ssl http2;
             ssl_certificate \"{directory}/certificate.pem\";
             ssl_certificate_key \"{directory}/key.pem\";
           }}
         }}\n"
    ))
}

fn quotable(path: &Path) -> Result<&str> {
    let is_plain = |text: &&str| !text.contains(['"', '\\', '$', '\n']);
    path.to_str().filter(is_plain).ok_or_else(|| {
        Error::failed(format!("{} cannot be named in a configuration of nginx", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_would_change_the_configuration_are_refused() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        for path in ["/tmp/a\"b", "/tmp/$host", "/tmp/a\nb", "/tmp/a\\"] {
            let error = configuration(Path::new("/tmp"), Path::new(path), [address; 2]);
            assert!(error.unwrap_err().to_string().contains("cannot be named"), "{path}");
        }
        let text = configuration(Path::new("/tmp/a b"), Path::new("/srv"), [address; 2]).unwrap();
        assert!(text.contains("pid \"/tmp/a b/pid\";"), "{text}");
        assert!(text.contains("listen 127.0.0.1:1 ssl http2;"), "{text}");
    }
}
