use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::repo::RepoMode;

fn cookie(domain: &str, path: &str, name: &str, value: &str) -> Cookie {
    Cookie {
        domain: domain.to_owned(),
        subdomains: domain.starts_with('.'),
        path: path.to_owned(),
        secure: false,
        expires: 2_000,
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn scene() -> (tempfile::TempDir, Repo) {
    let scratch = tempfile::tempdir().unwrap();
    let repo = Repo::create(&scratch.path().join("repo"), RepoMode::Archive, None).unwrap();
    (scratch, repo)
}

#[test]
fn lines_are_cookies_or_not() {
    let full = Cookie { secure: true, ..cookie(".d", "/p", "n", "v a") };
    for (line, expected) in [
        (".d\tTRUE\t/p\tTRUE\t2000\tn\tv a", Some(full)),
        ("d FALSE  /  FALSE 2000 n v more", Some(cookie("d", "/", "n", "v"))),
        ("d\tFALSE\t/\tFALSE\t2000\tn\t", Some(cookie("d", "/", "n", ""))),
        ("#HttpOnly_d\tFALSE\t/\tFALSE\t2000\tn\tv", Some(cookie("#HttpOnly_d", "/", "n", "v"))),
        ("# d\tFALSE\t/\tFALSE\t2000\tn\tv", None),
        ("d\tFALSE\t/\tFALSE\tsoon\tn\tv", None),
        ("d FALSE / FALSE 2000 n", None),
        ("", None),
    ] {
        assert_eq!(Cookie::parse(line), expected, "{line:?}");
        if let Some(cookie) = expected.filter(|_| line.contains('\t')) {
            assert_eq!(cookie.to_line(), line);
        }
    }
}

#[test]
fn a_request_takes_along_what_is_meant_for_it() {
    let target = Target { host: "A.example.org", path: "/repo/objects/x", secure: false };
    for (line, sent) in [
        ("a.example.org\tFALSE\t/\tFALSE\t0\tn\tv", true),
        ("a.example.org\tFALSE\t/repo\tFALSE\t2000\tn\tv", true),
        ("a.example.org\tFALSE\t/repo/\tFALSE\t2000\tn\tv", true),
        ("a.example.org\tFALSE\trepo\tFALSE\t2000\tn\tv", true),
        ("a.example.org\tFALSE\t/rep\tFALSE\t2000\tn\tv", false),
        ("a.example.org\tFALSE\t/repo/objects/x/y\tFALSE\t2000\tn\tv", false),
        ("a.example.org\tFALSE\t/Repo\tFALSE\t2000\tn\tv", false),
        ("example.org\tFALSE\t/\tFALSE\t2000\tn\tv", false),
        ("example.org\tTRUE\t/\tFALSE\t2000\tn\tv", true),
        (".example.org\tTRUE\t/\tFALSE\t2000\tn\tv", true),
        (".EXAMPLE.org\tTRUE\t/\tFALSE\t2000\tn\tv", true),
        (".xample.org\tTRUE\t/\tFALSE\t2000\tn\tv", false),
        ("b.a.example.org\tTRUE\t/\tFALSE\t2000\tn\tv", false),
        ("#HttpOnly_.example.org\tTRUE\t/\tFALSE\t2000\tn\tv", true),
        ("a.example.org\tFALSE\t/\tTRUE\t2000\tn\tv", false),
        ("a.example.org\tFALSE\t/\tFALSE\t1000\tn\tv", false),
        ("a.example.org FALSE / FALSE 2000 n v", false),
        ("a.example.org\tFALSE\t/\tFALSE\t2000\t\tv", false),
        ("a.example.org\tFALSE\t/\tFALSE\t2000\tn\tv\u{1b}", false),
    ] {
        let expected = sent.then(|| "n=v".to_owned());
        assert_eq!(Jar::parse(line).header(&target, 1_000), expected, "{line:?}");
    }
    let secure = Jar::parse("h\tFALSE\t/\tTRUE\t0\tn\tv");
    let header = |secure_request| {
        secure.header(&Target { host: "h", path: "/", secure: secure_request }, 1_000)
    };
    assert_eq!((header(true), header(false)), (Some("n=v".to_owned()), None));
    let addresses =
        Jar::parse("0.0.1\tTRUE\t/\tFALSE\t0\tn\tv\n127.0.0.1\tTRUE\t/\tFALSE\t0\tm\tw");
    let target = Target { host: "127.0.0.1", path: "/", secure: false };
    assert_eq!(addresses.header(&target, 0).unwrap(), "m=w");
}

#[test]
fn longer_paths_come_first_and_the_last_of_equal_cookies_counts() {
    let target = Target { host: "h", path: "/objects/x", secure: false };
    let jar = Jar::parse(
        "h\tFALSE\t/\tFALSE\t0\tk\told\nh\tFALSE\t/objects\tFALSE\t0\tobj\t1\n\
         h\tFALSE\t/\tFALSE\t0\tk\tv\r\nh\tFALSE\t/\tFALSE\t0\tlonger\tw\n\
         h\tFALSE\t/\tFALSE\t0\tl\tw\nh\tTRUE\t/\tFALSE\t0\tk\tx\n",
    );
    assert_eq!(jar.header(&target, 0).unwrap(), "obj=1; longer=w; k=x; l=w; k=v");
    let many: String =
        (0..400).map(|number| format!("h\tFALSE\t/\tFALSE\t0\tn{number:03}\tv\n")).collect();
    assert_eq!(Jar::parse(&many).header(&target, 0).unwrap().matches('=').count(), 150);
    let large: String = (0..10)
        .map(|number| format!("h\tFALSE\t/\tFALSE\t0\tn{number}\t{}\n", "v".repeat(1_000)))
        .collect();
    assert_eq!(Jar::parse(&large).header(&target, 0).unwrap().matches('=').count(), 8);
}

#[test]
fn cookies_are_added_and_deleted() {
    let (_scratch, repo) = scene();
    let path = repo.path().join("o.cookies.txt");
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(Jar::load(&repo, "o").unwrap(), Jar::default());
    add(&repo, "o", &cookie("d", "/", "n", "v")).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "d\tFALSE\t/\tFALSE\t2000\tn\tv\n");
    assert_eq!(mode() & 0o600, 0o600);
    fs::write(&path, "# comment\n\nd\tFALSE\t/\tFALSE\t2000\tn\tv\tmore\ne FALSE / FALSE 1 n w")
        .unwrap();
    add(&repo, "o", &cookie(".d", "/", "na me", "v a")).unwrap();
    let found: Vec<Cookie> = Jar::load(&repo, "o").unwrap().cookies().collect();
    assert_eq!(found.len(), 3);
    assert_eq!(found[2], cookie(".d", "/", "na me", "v a"));

    for (domain, path, name) in [("d", "/", "N"), ("d", "", "n"), ("D", "/", "n")] {
        let error = delete(&repo, "o", domain, path, name).unwrap_err();
        assert_eq!(error.chain(), "Cookie not found in jar");
    }
    let kept = "d\tFALSE\t/\tFALSE\t2000\tn\tv\tmore\ne FALSE / FALSE 1 n w\n";
    let last = ".d\tTRUE\t/\tFALSE\t2000\tna me\tv a\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{kept}{last}"));
    delete(&repo, "o", ".d", "/", "na me").unwrap();
    assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode()), (kept, 0o600));
    delete(&repo, "absent", "d", "/", "n").unwrap_err();
    assert_eq!(fs::read(repo.path().join("absent.cookies.txt")).unwrap(), b"");
}

#[test]
fn what_would_break_the_jar_or_lead_out_of_it_is_refused() {
    let (scratch, repo) = scene();
    for wrong in [
        cookie("", "/", "n", "v"),
        cookie("d", "", "n", "v"),
        cookie("d", "/", "", "v"),
        cookie("# d", "/", "n", "v"),
        cookie("d", "/", "n\tx", "v"),
        cookie("d", "/", "n", "v\nd\tFALSE"),
        cookie("d", "/", "n", "v\0"),
    ] {
        assert!(add(&repo, "o", &wrong).unwrap_err().chain().starts_with("Domain, path and name"));
    }
    for name in ["../x", "a/b", ""] {
        let message = add(&repo, name, &cookie("d", "/", "n", "v")).unwrap_err().chain();
        assert!(message.starts_with("Invalid remote name"), "{message}");
    }
    let victim = scratch.path().join("victim");
    fs::write(&victim, "d\tFALSE\t/\tFALSE\t2000\tn\tv\n").unwrap();
    symlink(&victim, repo.path().join("link.cookies.txt")).unwrap();
    fs::create_dir(repo.path().join("folder.cookies.txt")).unwrap();
    fs::write(repo.path().join("large.cookies.txt"), vec![b'\n'; 1 << 20]).unwrap();
    fs::write(repo.path().join("latin.cookies.txt"), b"d\xe4\n").unwrap();
    let chain = |result: Result<()>, name: &str| {
        let path = repo.path().join(format!("{name}.cookies.txt")).display().to_string();
        result.unwrap_err().chain().replace(&path, "JAR")
    };
    let new = cookie("d", "/", "m", "w");
    for (name, reading, writing) in [
        (
            "link",
            "reading JAR: Too many levels of symbolic links",
            "writing JAR: Too many levels of symbolic links",
        ),
        ("folder", "reading JAR: Is a directory", "writing JAR: Is a directory"),
        ("large", "", "writing JAR: larger than 1048576 bytes"),
        ("latin", "JAR: Invalid UTF-8", ""),
    ] {
        if !reading.is_empty() {
            assert_eq!(chain(Jar::load(&repo, name).map(drop), name), reading);
            assert_eq!(chain(delete(&repo, name, "d", "/", "n"), name), reading);
        }
        if !writing.is_empty() {
            assert_eq!(chain(add(&repo, name, &new), name), writing);
        }
    }
    fs::write(repo.path().join("large.cookies.txt"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    assert_eq!(
        chain(Jar::load(&repo, "large").map(drop), "large"),
        "reading JAR: larger than 1048576 bytes"
    );
    assert_eq!(fs::read_to_string(&victim).unwrap(), "d\tFALSE\t/\tFALSE\t2000\tn\tv\n");
}
