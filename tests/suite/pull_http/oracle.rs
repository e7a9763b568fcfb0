//! What osier asks a server for, held against the requests of the real program at the same server:
//! the same files or fewer, never twice, and no header that it does not send.

use std::collections::BTreeMap;

use super::*;

/// What was asked, for a scenario.
struct Requests {
    mine: Vec<Asked>,
    theirs: Vec<Asked>,
}

impl Requests {
    /// Runs the same calls with both programs, and returns the requests of the last one.
    fn of(server: &Server, directory: &Path, mode: &str, calls: &[&[&str]]) -> Option<Self> {
        let ostree = ostree()?;
        let run = |program: &crate::support::Program, name: &str| {
            let repo = destination(directory, name, (mode, &server.url));
            let (last, first) = calls.split_last().unwrap();
            for call in first {
                program.repo(&repo, ["pull"].iter().chain(*call)).success();
            }
            let before = server.asked().len();
            program.repo(&repo, ["pull"].iter().chain(*last)).success();
            assert_sound(&repo);
            server.asked().split_off(before)
        };
        Some(Self { mine: run(&osier(), "mine"), theirs: run(&ostree, "theirs") })
    }

    fn mine(&self) -> Vec<&str> {
        self.mine.iter().map(|asked| asked.path.as_str()).collect()
    }

    /// Nothing more than the real program asks for, and nothing in another way.
    #[track_caller]
    fn check(&self, scenario: &str) {
        let count = |asked: &[Asked]| {
            let mut counts: BTreeMap<String, usize> = BTreeMap::new();
            for one in asked {
                *counts.entry(one.path.clone()).or_default() += 1;
            }
            counts
        };
        let (mine, theirs) = (count(&self.mine), count(&self.theirs));
        for (path, times) in &mine {
            assert_eq!(*times, 1, "{scenario}: {path}");
            assert!(theirs.contains_key(path), "{scenario}: {path} is asked for by osier only");
        }
        assert!(self.mine.len() <= self.theirs.len(), "{scenario}");
        for one in &self.mine {
            let other = self.theirs.iter().find(|other| other.path == one.path).unwrap();
            for (name, value) in &one.headers {
                let theirs = other.header(name);
                assert!(theirs.is_some(), "{scenario}: {} {name}: {value}", one.path);
                // Upstream's dates end with a zone that is none.
                let theirs = theirs.map(|value| value.replace("UTC", "GMT"));
                let is_own = name == "user-agent";
                assert!(is_own || theirs.as_deref() == Some(value), "{scenario}: {name} {value}");
            }
            let names: Vec<&str> = one.headers.iter().map(|(name, _)| name.as_str()).collect();
            assert!(!names.contains(&"range") && !names.contains(&"accept-encoding"), "{names:?}");
            assert!(one.header("user-agent").unwrap().starts_with("libostree/2"), "{one:?}");
        }
    }
}

/// Each position of `expected` in the order of what was asked.
#[track_caller]
fn assert_begins(asked: &[&str], expected: &[&str]) {
    assert_eq!(asked[..expected.len()], *expected, "{asked:?}");
}

fn object(commit: &str, ending: &str) -> String {
    format!("/objects/{}/{}.{ending}", &commit[..2], &commit[2..])
}

/// The index of the deltas to a commit.
fn index(commit: &str) -> String {
    let raw = osier::Checksum::from_hex(commit).unwrap();
    let name = raw.to_base64();
    format!("/delta-indexes/{}/{}.index", &name[..2], &name[2..])
}

#[test]
fn the_first_pull_and_the_second_ask_for_what_is_promised() {
    let directory = scratch();
    let source = published(directory.path());
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let commit = rev(&source, "main");
    let (meta, own, index) =
        (object(&commit, "commitmeta"), object(&commit, "commit"), index(&commit));
    let root = osier().repo(&source, ["ls", "-dC", &commit, "/"]).line();
    let root: Vec<String> =
        root.split(' ').filter(|word| word.len() == 64).map(str::to_owned).collect();
    let first: &[&[&str]] = &[&["origin", "main"]];
    let Some(requests) = Requests::of(&server, directory.path(), "bare-user", first) else {
        return;
    };
    requests.check("the first pull");
    let mine = requests.mine();
    assert_begins(&mine, &["/summary.sig", "/summary", &index, &meta, &own]);
    let mut next = mine[5..7].to_vec();
    next.sort_unstable();
    let mut expected = [object(&root[0], "dirtree"), object(&root[1], "dirmeta")];
    expected.sort_unstable();
    assert_eq!(next, expected, "the root comes next");
    // The rest: two dirtrees and the files; all directories have one dirmeta.
    assert_eq!(mine.len(), 7 + 2 + FILES);

    let second: &[&[&str]] = &[&["origin", "main"], &["origin", "main"]];
    let requests = Requests::of(&server, directory.path(), "bare-user", second).unwrap();
    requests.check("the second pull");
    assert_eq!(requests.mine(), ["/summary.sig", "/summary", &index, &meta]);

    let pinned = format!("main@{commit}");
    let call: &[&[&str]] = &[&["origin", &pinned]];
    let requests = Requests::of(&server, directory.path(), "bare-user", call).unwrap();
    requests.check("REF@HEX");
    assert_begins(&requests.mine(), &["/config", &index, &meta, &own]);
    assert_eq!(requests.mine().len(), 4 + 4 + FILES);

    let requests = Requests::of(&server, directory.path(), "archive", call).unwrap();
    requests.check("REF@HEX to an archive");
    assert_begins(&requests.mine(), &[&meta, &own]);

    let requests = Requests::of(&server, directory.path(), "archive", first).unwrap();
    requests.check("to an archive");
    assert_begins(&requests.mine(), &["/summary.sig", "/summary", &meta, &own]);

    let call: &[&[&str]] = &[&["--disable-static-deltas", "origin", &pinned]];
    let requests = Requests::of(&server, directory.path(), "bare-user", call).unwrap();
    requests.check("REF@HEX without deltas");
    assert_begins(&requests.mine(), &[&meta, &own]);
}

#[test]
fn a_server_without_a_summary_is_asked_for_refs_and_superblocks() {
    let directory = scratch();
    let source = published(directory.path());
    let server = Server::start(&source);
    let (commit, parent) = (rev(&source, "main"), rev(&source, "main^"));
    let base64 = |hex: &str| osier::Checksum::from_hex(hex).unwrap().to_base64();
    let superblock = |name: &str| format!("/deltas/{}/{}/superblock", &name[..2], &name[2..]);
    let scratch_delta = superblock(&base64(&commit));
    let delta = superblock(&format!("{}-{}", base64(&parent), base64(&commit)));
    let (meta, own) = (object(&commit, "commitmeta"), object(&commit, "commit"));
    let begin = ["/summary.sig", "/summary", "/refs/heads/main"];
    let call: &[&[&str]] = &[&["origin", "main"]];
    let Some(requests) = Requests::of(&server, directory.path(), "bare-user", call) else { return };
    requests.check("without a summary");
    assert_begins(&requests.mine(), &[&begin[..], &[&scratch_delta, &meta, &own]].concat());
    let old = format!("main@{parent}");
    let call: &[&[&str]] = &[&["--disable-static-deltas", "origin", &old], &["origin", "main"]];
    let requests = Requests::of(&server, directory.path(), "bare-user", call).unwrap();
    requests.check("an update without a summary");
    assert_begins(&requests.mine(), &[&begin[..], &[&delta, &meta, &own]].concat());
}

#[test]
fn every_other_kind_of_pull_asks_for_nothing_that_the_real_program_does_not() {
    let directory = scratch();
    let source = published(directory.path());
    let parent = rev(&source, "main^");
    let from = format!("--from={parent}");
    osier().repo(&source, ["static-delta", "generate", &from, "main"]).success();
    osier().repo(&source, ["summary", "-u"]).success();
    let server = Server::start(&source);
    let old = format!("main@{parent}");
    let first: &[&str] = &["--disable-static-deltas", "origin", &old];
    let main: &[&str] = &["origin", "main"];
    let calls: [(&str, &str, &[&[&str]]); 9] = [
        ("by a delta", "bare-user", &[first, main]),
        ("nothing to do after a delta", "bare-user", &[first, main, main]),
        (
            "an update by objects",
            "bare-user",
            &[first, &["--disable-static-deltas", "origin", "main"]],
        ),
        ("an update of an archive", "archive", &[first, main]),
        (
            "all parents",
            "bare-user",
            &[&["--disable-static-deltas", "--depth=-1", "origin", "main"]],
        ),
        ("commits alone", "bare-user", &[&["--commit-metadata-only", "origin", "main"]]),
        (
            "a subpath",
            "bare-user",
            &[&["--disable-static-deltas", "--subpath=/usr/share", "origin", "main"]],
        ),
        ("a mirror", "archive", &[&["--mirror", "origin"]]),
        ("a mirror again", "archive", &[&["--mirror", "origin"], &["--mirror", "origin"]]),
    ];
    for (name, mode, calls) in calls {
        let Some(requests) = Requests::of(&server, directory.path(), mode, calls) else { return };
        requests.check(name);
    }
}
