//! `remote add-cookie`, `delete-cookie` and `list-cookies`, held against the real program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use osier::repo::{Repo, RepoMode};

use crate::support::{Program, osier, ostree, scratch};

fn new_repo(path: &Path) {
    Repo::create(path, RepoMode::Archive, None).unwrap();
}

/// The jar of `o`, with its mode; expiry dates of about 25 years from now are `THEN`.
fn jar(repo: &Path) -> Option<(String, u32)> {
    let path = repo.join("o.cookies.txt");
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    let text = fs::read_to_string(&path).unwrap();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let then = now + 25 * 365 * 24 * 3600 + 6 * 24 * 3600;
    let words = text.split_inclusive(['\t', '\n']).map(|word| match word.trim().parse::<u64>() {
        Ok(number) if number.abs_diff(then) < 2 * 24 * 3600 => word.replace(word.trim(), "THEN"),
        _ => word.to_owned(),
    });
    Some((words.collect(), mode))
}

#[test]
fn calls_do_what_they_do_in_the_real_program() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let run = |program: &Program, name: &str| {
        let place = directory.path().join(name);
        let repo = place.join("repo");
        fs::create_dir(&place).unwrap();
        new_repo(&repo);
        // The real program lists the jar in the current directory.
        let program = program.clone().in_directory(&repo);
        let mut reported = Vec::new();
        for call in [
            "add-cookie --help",
            "delete-cookie --help",
            "list-cookies --help",
            "list-cookies",
            "list-cookies o",
            "add-cookie",
            "add-cookie o d p n",
            "delete-cookie",
            "delete-cookie o d p",
            "delete-cookie o d p n",
            "add-cookie o 127.0.0.1 / foo bar",
            "add-cookie o 127.0.0.1 / baz badger",
            "add-cookie o 127.0.0.1 / baz badger more",
            "add-cookie o .example.org /repo x y",
            "delete-cookie o 127.0.0.1 / BAZ",
            "delete-cookie o 127.0.0.1 /r baz",
            "delete-cookie o 127.0.0 / baz",
            "list-cookies absent",
            "list-cookies --repo=nonexistent o",
            "add-cookie --repo=nonexistent o d p n v",
            "delete-cookie o 127.0.0.1 / baz badger",
            "delete-cookie o .example.org /repo x",
            "list-cookies --bogus",
        ] {
            let words = ["remote"].into_iter().chain(call.split(' '));
            let output = program.run(words);
            output.assert_no_panic();
            let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            let printed = printed
                .replace(program.path.to_str().unwrap(), "ostree")
                .replace(place.to_str().unwrap(), "PLACE");
            reported.push((call, printed, output.status, jar(&repo)));
        }
        // Dates are within the range of dates or are not printed.
        let line = "d\tFALSE\t/p\tTRUE\t1700000000\tn\tv\n#HttpOnly_d\tFALSE\t/\tFALSE\t0\tm\tw\n\
            # a comment\n\nd FALSE / FALSE 99999999999999 blanks v\n";
        fs::write(repo.join("o.cookies.txt"), line).unwrap();
        for call in ["list-cookies o", "delete-cookie o d / blanks"] {
            let output = program.run(["remote"].into_iter().chain(call.split(' ')));
            let printed = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
            reported.push((call, printed, output.status, jar(&repo)));
        }
        reported
    };
    let (expected, reported) = (run(&ostree, "theirs"), run(&osier(), "ours"));
    for (expected, reported) in expected.into_iter().zip(reported) {
        assert_eq!(reported, expected);
    }
}

#[test]
fn the_cookies_of_the_repository_are_listed_and_not_those_nearby() {
    let directory = scratch();
    new_repo(&directory.path().join("repo"));
    let osier = osier().in_directory(directory.path());
    let line = "d\tFALSE\t/p\tFALSE\t1700000000\tna me\tv a\n";
    fs::write(directory.path().join("repo/o.cookies.txt"), line).unwrap();
    fs::write(directory.path().join("o.cookies.txt"), line.replace("na me", "wrong")).unwrap();
    assert_eq!(
        osier.run(["remote", "list-cookies", "--repo=repo", "o"]).success(),
        "--\nDomain: d\nPath: /p\nName: na me\nSecure: FALSE\nExpires: 2023-11-14 22:13:20 +0000\n\
         Value: v a\n"
    );
    osier.run(["remote", "delete-cookie", "--repo=repo", "o", "d", "/p", "na me"]).success();
    assert_eq!(osier.run(["remote", "list-cookies", "--repo=repo", "o"]).success(), "");
}

#[test]
fn what_would_break_a_jar_or_lead_out_of_the_repository_is_refused() {
    let directory = scratch();
    new_repo(&directory.path().join("repo"));
    let osier = osier().in_directory(directory.path());
    let add = |arguments: [&str; 5]| {
        osier.run(["remote", "add-cookie", "--repo=repo"].into_iter().chain(arguments)).failure()
    };
    let refused = "Domain, path and name of a cookie must not be empty, nor any part have control \
        characters";
    assert_eq!(add(["o", "d", "/", "n", "v\nd\tFALSE\t/\tFALSE\t0\tm\tw"]), refused);
    assert_eq!(add(["o", "", "/", "n", "v"]), refused);
    assert_eq!(add(["../o", "d", "/", "n", "v"]), "Invalid remote name ../o");
    std::os::unix::fs::symlink("../victim", directory.path().join("repo/l.cookies.txt")).unwrap();
    fs::write(directory.path().join("victim"), "precious").unwrap();
    assert!(add(["l", "d", "/", "n", "v"]).ends_with("Too many levels of symbolic links"));
    assert_eq!(fs::read_to_string(directory.path().join("victim")).unwrap(), "precious");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}
