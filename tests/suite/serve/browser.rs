//! The pages in a real browser: from the keyboard, on a narrow screen, light and dark.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::support::has_programs;

/// A session of Chromium, driven over the protocol of WebDriver.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        let profile = scratch();
        let mut driver = std::process::Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(driver.stdout.take().unwrap());
        let port = output.lines().map(Result::unwrap).find_map(|line| {
            line.rsplit_once("successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let mut browser =
            Self { driver, port: port.unwrap(), session: String::new(), _profile: profile };
        let data = format!("--user-data-dir={}", browser._profile.path().display());
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            &data,
        ];
        let wanted = json!({"goog:chromeOptions": {"args": arguments}});
        let wanted = json!({"capabilities": {"alwaysMatch": wanted}});
        let started = browser.call("POST", "/session", &wanted);
        browser.session = format!("/session/{}", started["sessionId"].as_str().unwrap());
        browser
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        let (mut reader, mut length) = (BufReader::new(stream), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut answer = vec![0; length];
        reader.read_exact(&mut answer).unwrap();
        let answer: Value = serde_json::from_slice(&answer).unwrap();
        let value = answer["value"].clone();
        assert!(value.get("error").is_none(), "{path}: {value}");
        value
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.call("POST", &format!("{}{path}", self.session), body)
    }

    fn open(&self, url: &str) {
        self.post("/url", &json!({ "url": url }));
    }

    fn url(&self) -> String {
        let url = self.call("GET", &format!("{}/url", self.session), &Value::Null);
        url.as_str().unwrap().to_owned()
    }

    /// Presses and releases keys.
    fn press(&self, keys: &str) {
        let actions: Vec<Value> = keys
            .chars()
            .flat_map(|key| {
                let key = key.to_string();
                [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})]
            })
            .collect();
        let keyboard = json!({"type": "key", "id": "keyboard", "actions": actions});
        self.post("/actions", &json!({ "actions": [keyboard] }));
    }

    #[track_caller]
    fn ask(&self, expression: &str) -> Value {
        let script = format!("return {expression}");
        self.post("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// The text of what has the focus.
    fn focused(&self) -> Value {
        self.ask("document.activeElement.innerText")
    }

    fn emulate(&self, command: &str, parameters: &Value) {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters }));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() && !std::thread::panicking() {
            self.call("DELETE", &self.session, &json!({}));
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";

#[test]
fn a_browser_gets_along_with_the_keyboard_and_a_narrow_screen() {
    if !has_programs(&["chromium", "chromedriver"]) {
        return;
    }
    let scene = scene("archive");
    let served = scene.serve();
    let root = format!("http://localhost:{}", served.port());
    let browser = Browser::start();
    browser.open(&root);
    browser.press(TAB);
    assert_eq!(browser.focused(), "Skip to the content");
    let outline = browser.ask("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(outline, "solid");
    browser.press(ENTER);
    assert_eq!(browser.ask("document.activeElement.id"), "content");
    // From there to the first ref, and to its commit.
    for _ in 0..4 {
        if browser.focused() == "exampleos/x86_64/main" {
            break;
        }
        browser.press(TAB);
    }
    assert_eq!(browser.focused(), "exampleos/x86_64/main");
    browser.press(ENTER);
    let commit = format!("{root}/-/commit/{}", scene.commits[1]);
    assert_eq!(browser.url(), commit);
    assert_eq!(browser.ask("document.querySelector('h1').innerText"), format!("{SUBJECT} 1<2"));
    // The form works without a mouse.
    browser.ask("document.getElementById('path').focus()");
    browser.press(&format!("hello{ENTER}"));
    assert_eq!(browser.url(), format!("{}?path=hello", commit.replace("commit", "search")));
    assert_eq!(browser.ask("document.querySelector('.paths').innerText"), "/usr/bin/hello");

    let metrics = json!({"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": true});
    browser.emulate("Emulation.setDeviceMetricsOverride", &metrics);
    let second = &scene.commits[1];
    let diff = format!("/-/diff/{}/{second}", scene.commits[0]);
    let [tree, file] = ["tree", "file"].map(|kind| format!("/-/{kind}/{second}"));
    let pages = ["/", &format!("/-/commit/{second}"), &tree, &format!("{file}/large.txt"), &diff];
    for page in pages {
        browser.open(&format!("{root}{page}"));
        let width = browser.ask("document.documentElement.scrollWidth");
        assert!(width.as_u64().unwrap() <= 360, "{page} is {width} wide");
        assert_eq!(browser.ask("document.scripts.length"), 0);
    }
    for (scheme, ground) in [("light", "rgb(252, 252, 250)"), ("dark", "rgb(22, 24, 21)")] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.emulate("Emulation.setEmulatedMedia", &json!({ "features": features }));
        assert_eq!(browser.ask("getComputedStyle(document.body).backgroundColor"), ground);
    }
}
