//! A summary and a signature that are not of the same time, as between the two renames of a server
//! that publishes, or from a cache on the way.

use super::faults::faulty;
use super::*;

/// A server whose `summary` and `summary.sig` can be set; everything else is a repository's.
struct Stage {
    directory: tempfile::TempDir,
    source: PathBuf,
    server: Server,
    repo: PathBuf,
}

/// One state of the two files.
struct Pair {
    summary: Vec<u8>,
    signature: Vec<u8>,
}

impl Stage {
    /// A remote that demands signatures of the summary, with the server's first state.
    fn new() -> (Self, Pair) {
        let directory = scratch();
        let source = published(directory.path());
        let key = directory.path().join("key");
        osier().run(["sign", "--generate-key", "--out", key.to_str().unwrap()]).success();
        let served = directory.path().join("served");
        fs::create_dir(&served).unwrap();
        let server = faulty(&source, move |asked, stream| {
            if !asked.path.starts_with("/summary") {
                return None;
            }
            let bytes = fs::read(served.join(&asked.path[1..])).unwrap();
            let _ = stream.write_all(&answer("200 OK", &[], &bytes));
            Some(Then::Keep)
        });
        let repo = destination(directory.path(), "repo", ("bare-user", &server.url));
        let public = fs::read_to_string(key.with_extension("pub")).unwrap();
        for (name, value) in
            [("sign-verify-summary", "ed25519"), ("verification-ed25519-key", public.trim())]
        {
            osier()
                .repo(&repo, ["config", "set", "--group=remote \"origin\"", name, value])
                .success();
        }
        let stage = Self { directory, source, server, repo };
        let pair = stage.publish();
        stage.serve(&pair.summary, &pair.signature);
        (stage, pair)
    }

    fn publish(&self) -> Pair {
        let secret = fs::read_to_string(self.directory.path().join("key.sec")).unwrap();
        let sign = format!("--sign={}", secret.trim());
        osier().repo(&self.source, ["summary", "-u", "--sign-type=ed25519", &sign]).success();
        let read = |name: &str| fs::read(self.source.join(name)).unwrap();
        Pair { summary: read("summary"), signature: read("summary.sig") }
    }

    /// Another commit, published.
    fn change(&self) -> Pair {
        fs::write(self.directory.path().join("tree/first"), "second\n").unwrap();
        let tree = self.directory.path().join("tree");
        let commit = ["commit", "-b", "main", "--canonical-permissions", tree.to_str().unwrap()];
        osier().repo(&self.source, commit).success();
        self.publish()
    }

    fn serve(&self, summary: &[u8], signature: &[u8]) {
        let served = self.directory.path().join("served");
        fs::write(served.join("summary"), summary).unwrap();
        fs::write(served.join("summary.sig"), signature).unwrap();
    }

    fn pull(&self) -> Output {
        pull(&self.repo, &["origin", "main"])
    }

    fn cached(&self) -> [Vec<u8>; 2] {
        ["origin", "origin.sig"]
            .map(|name| fs::read(self.repo.join("tmp/cache/summaries").join(name)).unwrap())
    }
}

#[test]
fn an_old_summary_with_a_new_signature_is_refused_and_the_cache_stays() {
    let (stage, old) = Stage::new();
    stage.pull().success();
    let first = rev(&stage.repo, "origin:main");
    let new = stage.change();
    stage.serve(&old.summary, &new.signature);
    let error = stage.pull().failure();
    assert!(error.contains("ed25519"), "{error}");
    assert_eq!(rev(&stage.repo, "origin:main"), first);
    assert_eq!(stage.cached(), [old.summary, old.signature]);
    assert_sound(&stage.repo);
    // When the server is done it goes on.
    stage.serve(&new.summary, &new.signature);
    stage.pull().success();
    assert_eq!(rev(&stage.repo, "origin:main"), rev(&stage.source, "main"));
    assert_eq!(stage.cached(), [new.summary, new.signature]);
    assert_sound(&stage.repo);
}

#[test]
fn a_new_summary_with_the_old_signature_is_the_old_pair_of_the_cache() {
    let (stage, old) = Stage::new();
    stage.pull().success();
    let first = rev(&stage.repo, "origin:main");
    let new = stage.change();
    stage.serve(&new.summary, &old.signature);
    stage.pull().success();
    assert_eq!(rev(&stage.repo, "origin:main"), first);
    assert_eq!(stage.cached(), [old.summary, old.signature]);
}

#[test]
fn without_a_cache_either_mixture_is_refused() {
    let (stage, old) = Stage::new();
    let new = stage.change();
    for (summary, signature) in [(&old.summary, &new.signature), (&new.summary, &old.signature)] {
        stage.serve(summary, signature);
        let error = stage.pull().failure();
        assert!(error.contains("ed25519"), "{error}");
        assert_eq!(osier().repo(&stage.repo, ["refs", "--list"]).success(), "");
        assert_eq!(fs::read_dir(stage.repo.join("tmp/cache/summaries")).unwrap().count(), 0);
    }
    assert!(stage.server.paths().iter().all(|path| path.starts_with("/summary")));
}

#[test]
fn a_cache_that_a_kill_has_mixed_heals() {
    let (stage, old) = Stage::new();
    stage.pull().success();
    let new = stage.change();
    stage.serve(&new.summary, &new.signature);
    // As after a kill between the two renames of the new pair, in either order.
    for (summary, signature) in [(&new.summary, &old.signature), (&old.summary, &new.signature)] {
        let cache = stage.repo.join("tmp/cache/summaries");
        fs::write(cache.join("origin"), summary).unwrap();
        fs::write(cache.join("origin.sig"), signature).unwrap();
        stage.pull().success();
        assert_eq!(rev(&stage.repo, "origin:main"), rev(&stage.source, "main"));
        assert_eq!(stage.cached(), [new.summary.clone(), new.signature.clone()]);
    }
}
