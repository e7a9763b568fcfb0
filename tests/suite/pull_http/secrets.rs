//! What a server is shown, and who else is: credentials, cookies, headers and tokens.

use std::os::unix::fs::PermissionsExt as _;

use super::faults::faulty;
use super::*;

/// The headers that tell a client from others.
const TELLING: [&str; 4] = ["authorization", "cookie", "x-key", "x-own"];

fn shown(asked: &Asked) -> Vec<String> {
    let header = |name: &&str| asked.header(name).map(|value| format!("{name}={value}"));
    TELLING.iter().filter_map(header).collect()
}

fn secret(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    path
}

fn set(repo: &Path, name: &str, value: &Path) {
    let value = value.to_str().unwrap();
    osier().repo(repo, ["config", "set", "--group=remote \"origin\"", name, value]).success();
}

#[test]
fn no_redirect_takes_secrets_to_another_server() {
    let directory = scratch();
    let source = published(directory.path());
    let elsewhere = Server::start(&source);
    // The same machine, by another name.
    let other = elsewhere.url.replace("127.0.0.1", "localhost");
    let server = faulty(&source, move |asked, stream| {
        (asked.path.ends_with(".filez") || asked.path.ends_with(".dirtree")).then(|| {
            let location = format!("{other}{}", asked.path);
            let _ = stream.write_all(&answer("302 Found", &[("Location", &location)], b"moved"));
            Then::Keep
        })
    });
    let with_password = server.url.replace("http://", "http://user:secret@");
    let repo = destination(directory.path(), "repo", ("bare-user", &with_password));
    osier().repo(&repo, ["remote", "add-cookie", "origin", "127.0.0.1", "/", "c", "1"]).success();
    set(&repo, "http-header-file", &secret(directory.path(), "headers", "X-Key: 7\n"));
    let own = ["--http-header=X-Own=8", "origin", "main"];
    pull(&repo, &own).success();
    let home = ["authorization=Basic dXNlcjpzZWNyZXQ=", "cookie=c=1", "x-key=7", "x-own=8"];
    for asked in server.asked() {
        assert_eq!(shown(&asked), home, "{}", asked.path);
    }
    // As libcurl does it, headers of the command line go on, but never those that log in.
    assert_eq!(elsewhere.asked().len(), FILES + 3);
    for asked in elsewhere.asked() {
        assert_eq!(shown(&asked), ["x-own=8"], "{}", asked.path);
    }
    let before = elsewhere.asked().len();
    let repo = destination(directory.path(), "other", ("bare-user", &server.url));
    let own = ["--http-header=Authorization=Bearer 9", "--http-header=Cookie=d=2"];
    pull(&repo, &[own[0], own[1], "origin", "main"]).success();
    for asked in &elsewhere.asked()[before..] {
        assert_eq!(shown(asked), [""; 0], "{}", asked.path);
    }
}

#[test]
fn a_token_is_for_the_servers_of_the_remote_alone() {
    let directory = scratch();
    let source = published(directory.path());
    let server = faulty(&source, |asked, stream| {
        if asked.header("authorization") == Some("Bearer s3same") {
            return None;
        }
        let _ = stream.write_all(&answer("401 No", &[], b""));
        Some(Then::Keep)
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    set(&repo, "token-file", &secret(directory.path(), "token", " s3same\n"));
    pull(&repo, &["origin", "main"]).success();
    assert_sound(&repo);
    // Another server that the user names is not the remote's.
    let other = Server::start(&source);
    pull(&repo, &["--url", &other.url, "origin", "main"]).success();
    assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()));
    // Neither is one that a list of mirrors leads to.
    let text = format!("{}\n", other.url);
    let list = Server::answering(move |_, stream| {
        let _ = stream.write_all(&answer("200 OK", &[], text.as_bytes()));
        Then::Keep
    });
    let url = format!("mirrorlist={}/list", list.url);
    let repo = destination(directory.path(), "listed", ("bare-user", &url));
    set(&repo, "token-file", &directory.path().join("token"));
    pull(&repo, &["origin", "main"]).success();
    let all = other.asked().into_iter().chain(list.asked());
    assert!(all.into_iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn files_of_secrets_are_read_with_care_and_never_shown() {
    let directory = scratch();
    let server = Server::start(directory.path());
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let cases: [(&str, &str, u32, &str); 9] = [
        ("token-file", "s3same", 0o644, "is a secret that everybody may read or write"),
        ("token-file", "s3same", 0o642, "is a secret that everybody may read or write"),
        ("token-file", "s3 same", 0o600, "is no token"),
        ("token-file", "s3same\nmore", 0o600, "is no token"),
        ("token-file", "\n", 0o600, "is no token"),
        ("http-header-file", "X: y\ns3same\n", 0o600, "has no header in line 2"),
        ("http-header-file", "X s3same: y\n", 0o600, "a secret header has a name that is none"),
        ("http-header-file", "X: s3same\u{1}\n", 0o600, "the secret header 'X' has a value"),
        ("http-header-file", "s3same: y\r", 0o604, "is a secret that everybody may read or write"),
    ];
    for (name, text, mode, message) in cases {
        let path = secret(directory.path(), "file", text);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        set(&repo, name, &path);
        for arguments in
            [&["-v", "pull", "origin", "main"][..], &["-v", "remote", "refs", "origin"]]
        {
            let output = osier().repo(&repo, arguments);
            let all = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!all.contains("same"), "{all}");
            let error = output.failure();
            assert!(error.contains(message), "{text:?}: {error}");
        }
        osier().repo(&repo, ["config", "unset", "--group=remote \"origin\"", name]).success();
    }
    set(&repo, "token-file", &directory.path().join("missing"));
    let error = pull(&repo, &["origin", "main"]).failure();
    assert!(error.contains("missing") && error.contains("No such file"), "{error}");
    set(&repo, "token-file", directory.path());
    pull(&repo, &["origin", "main"]).failure();
    assert!(server.asked().is_empty(), "nothing was asked for");
}

#[test]
fn refs_and_summaries_may_come_compressed_and_a_pull_does_not_ask_for_it() {
    use flate2::write::GzEncoder;

    let directory = scratch();
    let source = published(directory.path());
    osier().repo(&source, ["summary", "-u"]).success();
    let original = source.clone();
    let server = faulty(&source, move |asked, stream| {
        let bytes = fs::read(original.join(&asked.path[1..])).ok()?;
        let accepts = asked.header("accept-encoding")?;
        assert_eq!(accepts, "gzip");
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&bytes).unwrap();
        let bytes = encoder.finish().unwrap();
        let _ = stream.write_all(&answer("200 OK", &[("Content-Encoding", "gzip")], &bytes));
        Some(Then::Keep)
    });
    let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
    let refs = osier().repo(&repo, ["remote", "refs", "origin"]).success();
    assert_eq!(refs, "origin:main\n");
    let raw = osier().repo(&repo, ["remote", "summary", "--raw", "origin"]).success();
    assert_eq!(raw, osier().repo(&source, ["summary", "--raw"]).success());
    assert!(server.asked().iter().all(|asked| asked.header("accept-encoding") == Some("gzip")));
    let before = server.asked().len();
    pull(&repo, &["origin", "main"]).success();
    let asked = &server.asked()[before..];
    assert!(asked.iter().all(|asked| asked.header("accept-encoding").is_none()));
    assert_sound(&repo);
}
