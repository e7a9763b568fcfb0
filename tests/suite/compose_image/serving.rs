//! What the web server behind `ostree-url` says, right and wrong, and what becomes of it.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::refusals::assert_refused;
use super::release::{LOOPBACK, REF, Release, program};
use crate::support::{Server, Then};

#[test]
fn a_web_server_must_show_the_same_commit() {
    let Some(release) = Release::new().filter(Release::name_the_loopback) else { return };
    let (mirror, old) = (release.path("mirror"), release.commit());
    let server = Server::start(&release.path(""));
    let url = server.url.replace("127.0.0.1", LOOPBACK) + "/mirror";
    assert_ne!(url, format!("{}/mirror", server.url));
    release.configure(&[("ostree-url", &url)]);
    let osier = program();
    osier.repo(&mirror, ["init", "--mode=archive"]).success();
    assert_refused(
        &release,
        &[],
        &format!("{url} serves no commit as {REF}, the repository has {old}"),
    );
    let tree = release.path("tree");
    let other =
        osier.repo(&mirror, ["commit", "-b", REF, "-s", "other", tree.to_str().unwrap()]).line();
    let expected = format!("{url} serves commit {other} as {REF}, the repository has {old}");
    assert_refused(&release, &[], &expected);
    osier.repo(&mirror, ["summary", "-u"]).success();
    osier.repo(&mirror, ["pull-local", release.path("repo").to_str().unwrap(), REF]).success();
    // Clients go by the summary.
    assert_refused(&release, &[], &expected);
    osier.repo(&mirror, ["summary", "-u"]).success();
    release.run("built", &["-q"]).success();
    assert_eq!(release.only_run().1["warnings"], serde_json::json!([]));
    drop(server);
    release.run("built", &["-q", "--force"]).success();
}

#[test]
fn what_an_odd_server_says_is_a_warning_or_an_error_and_never_believed() {
    let Some(release) = Release::new().filter(Release::name_the_loopback) else { return };
    let server = Server::answering(|asked, stream| {
        let path = asked.path.as_str();
        let head = match path.split('/').nth(1).unwrap() {
            "broken" => "503 Service Unavailable\r\nContent-Length: 0",
            "secret" => "403 Forbidden\r\nContent-Length: 0",
            "circle" => "302 Found\r\nLocation: summary\r\nContent-Length: 0",
            "long" => "200 OK\r\nContent-Length: 999999999999",
            "page" => "200 OK\r\nContent-Length: 15\r\n\r\n<html>Log in!\r\n",
            "cut" => "200 OK\r\nContent-Length: 100\r\n\r\nhalf",
            "ref" if path.ends_with("/summary") => "404 Not Found\r\nContent-Length: 0",
            "ref" => "200 OK\r\nContent-Length: 7\r\n\r\n<html>\n",
            "garbage" => "\0\u{1}",
            _ => "404 Not Found\r\nContent-Length: 0",
        };
        let _ = stream.write_all(format!("HTTP/1.1 {head}\r\n\r\n").as_bytes());
        while path.starts_with("/long/") && stream.write_all(&[b'x'; 4096]).is_ok() {}
        Then::Close
    });
    let odd = server.url.replace("127.0.0.1", LOOPBACK);
    let own = release.commit();
    for (path, message) in [
        ("nothing", format!("URL serves no commit as {REF}, the repository has {own}")),
        ("page", "asking URL: its summary: Not normal form".to_owned()),
        ("ref", format!("asking URL: its refs/heads/{REF} holds no checksum")),
    ] {
        let url = format!("{odd}/{path}/");
        release.configure(&[("ostree-url", &url)]);
        assert_refused(&release, &[], &message.replace("URL", &url));
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (base, why) in [
        (format!("{odd}/broken/"), "Server returned HTTP 503"),
        (format!("{odd}/secret/"), "Server returned HTTP 403"),
        (format!("{odd}/circle/"), "more than 5 redirects"),
        (format!("{odd}/long/"), "exceeded maximum size of 134217728 bytes"),
        (format!("{odd}/cut/"), "end of file before message length reached"),
        (format!("{odd}/garbage/"), "the answer is not HTTP"),
        (format!("http://{LOOPBACK}:{closed}/"), "Connection refused"),
    ] {
        release.configure(&[("ostree-url", &base)]);
        let output = release.run("built", &["-q"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        output.success();
        let warnings = release.only_run().1["warnings"].clone();
        let warning = warnings[0].as_str().unwrap();
        assert!(
            warning.starts_with(&format!("{base} was not asked which commit it serves: ")),
            "{warning}"
        );
        assert!(warning.contains(why), "{warning} instead of {why}");
        assert_eq!(
            (warnings.as_array().unwrap().len(), stderr),
            (1, format!("warning: {warning}\n"))
        );
        assert_eq!(release.images(), ["exampleos-22.3-CHECKSUM", "exampleos-22.3.qcow2"]);
        release.forget_runs();
    }
}

#[test]
fn a_signal_does_not_wait_for_a_silent_server() {
    let Some(release) = Release::new().filter(Release::name_the_loopback) else { return };
    // It takes connections, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{LOOPBACK}:{}/", listener.local_addr().unwrap().port());
    release.configure(&[("ostree-url", &url)]);
    let program = release.program("built");
    let mut command = Command::new(&program.path);
    command.args(release.call(&["--json"])).env_clear().envs(program.variables());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let (_connection, _) = listener.accept().unwrap();
    let started = Instant::now();
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.ends_with(b"error: interrupted\n"), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["status"], &report["error"]), (&json!("failed"), &json!("interrupted")));
    assert!(
        !release.was_asked() && !release.path("work").exists() && !release.path("images").exists()
    );
}
