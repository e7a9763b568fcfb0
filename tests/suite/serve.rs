//! `serve`: pages, documents, pulls, and what hostile clients and repositories cannot do.

mod browser;
mod hostile;
mod pages;
mod pulls;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use osier::http::server::{Server, ServerOptions};
use osier::repo::Repo;
use osier::serve::{ServeOptions, Site};
use serde_json::Value;

use crate::support::{Program, osier_path, scratch};
use crate::trivial_httpd::{Reply, parse, send};

/// A name that is markup wherever it is not escaped.
const SCRIPT: &str = "<script>alert(1)<";
/// A subject that is markup and has a line of a header.
const SUBJECT: &str = "</title><script>alert('1')</script> \"&amp;";

struct Scene {
    directory: tempfile::TempDir,
    program: Program,
    /// From the first one on.
    commits: Vec<String>,
}

/// Two commits on `exampleos/x86_64/main`, the first with odd names.
fn scene(mode: &str) -> Scene {
    let directory = scratch();
    let program = Program::other(osier_path(), "osier");
    let (repo, tree) = (directory.path().join("repo"), directory.path().join("tree"));
    program.repo(&repo, ["init", &format!("--mode={mode}")]).success();
    fs::create_dir_all(tree.join("usr/bin")).unwrap();
    fs::create_dir_all(tree.join(SCRIPT)).unwrap();
    fs::write(tree.join(SCRIPT).join("q\"u'o&t\ne\u{202e}"), "odd\n").unwrap();
    fs::write(tree.join("usr/bin/hello"), "#!/bin/sh\necho '<b>Hello</b>'\n").unwrap();
    fs::write(tree.join("page.html"), "<script>alert(2)</script>").unwrap();
    fs::write(tree.join("binary"), b"\0\x01\x02\xff").unwrap();
    fs::write(tree.join("large.txt"), "0123456789abcdé\n".repeat(20_000)).unwrap();
    fs::write(tree.join("noise"), noise(300_000)).unwrap();
    symlink("usr/bin", tree.join("bin")).unwrap();
    let commit = |subject: &str, time: &str| {
        let subject = format!("--subject={subject}");
        let arguments = [
            "commit",
            "-b",
            "exampleos/x86_64/main",
            &subject,
            "--body=Body <i>of</i> it",
            "--add-metadata-string=version=1<2",
            "--owner-uid=0",
            "--owner-gid=0",
            time,
            tree.to_str().unwrap(),
        ];
        program.repo(&repo, arguments).line()
    };
    let first = commit("first", "--timestamp=@1577934245");
    fs::write(tree.join("usr/bin/hello"), "#!/bin/sh\n").unwrap();
    fs::write(tree.join("new"), "new\n").unwrap();
    fs::remove_file(tree.join("binary")).unwrap();
    let second = commit(SUBJECT, "--timestamp=@1577934246");
    Scene { directory, program, commits: vec![first, second] }
}

/// Bytes that cannot be compressed.
fn noise(length: usize) -> Vec<u8> {
    let mut state: u64 = 1;
    let next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

impl Scene {
    fn repo(&self) -> PathBuf {
        self.directory.path().join("repo")
    }

    fn serve(&self) -> Served {
        serve(&self.repo())
    }
}

/// A repository that this process serves.
struct Served(Server);

fn serve(repo: &Path) -> Served {
    serve_with(repo, &ServeOptions::default())
}

fn serve_with(repo: &Path, options: &ServeOptions) -> Served {
    let site = Site::new(Repo::open(repo).unwrap(), options).unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let options = ServerOptions::default();
    Served(Server::start(listener, options, move |request| site.answer(request)).unwrap())
}

impl Served {
    fn port(&self) -> u16 {
        self.0.address().port()
    }

    fn ask(&self, method: &str, path: &str, headers: &str) -> Reply {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n"
        );
        parse(&send(self.port(), request.as_bytes()))
    }

    fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, "")
    }

    /// A page that there is.
    #[track_caller]
    fn page(&self, path: &str) -> String {
        let reply = self.get(path);
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("text/html; charset=utf-8"));
        reply.text().to_owned()
    }

    /// The same as JSON.
    #[track_caller]
    fn document(&self, path: &str) -> Value {
        let reply = self.ask("GET", path, "Accept: application/json\r\n");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"));
        serde_json::from_slice(&reply.body).unwrap()
    }
}

/// A running `osier serve`.
struct Command {
    child: Child,
    line: String,
}

impl Command {
    fn start(repo: &Path, options: &[&str]) -> Self {
        let mut child = std::process::Command::new(osier_path())
            .args(["serve", "--port=0"])
            .arg(format!("--repo={}", repo.display()))
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, line }
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
