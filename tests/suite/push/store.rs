//! `push` into buckets of a real object store.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::proxy::{Proxy, Spoil};
use super::seaweed::{Seaweed, seaweed};
use super::world::World;
use crate::support::{Dice, Output, Program, has_programs, long_tests, osier, ostree, program};

/// A bucket of its own for a test, and repositories to push from.
pub struct Shop {
    pub world: World,
    pub store: &'static Seaweed,
    bucket: String,
}

impl Shop {
    #[track_caller]
    pub fn open(bucket: &str, mode: &str) -> Option<Self> {
        let store = seaweed()?;
        let world = World::new(mode);
        // Other test runs have stores of their own.
        store.make_bucket(bucket);
        Some(Self { world, store, bucket: bucket.to_owned() })
    }

    pub fn url(&self) -> String {
        format!("s3://{}/os", self.bucket)
    }

    /// Where clients find what is pushed.
    pub fn public(&self, gateway: usize) -> String {
        format!("http://{}/{}/os", self.store.gateways[gateway], self.bucket)
    }

    pub fn program(&self) -> Program {
        let program = self.world.program();
        program
            .with("AWS_ACCESS_KEY_ID", "osieraccess")
            .with("AWS_SECRET_ACCESS_KEY", "osiersecret")
    }

    pub fn endpoint(&self, gateway: usize) -> String {
        format!("--endpoint=http://{}", self.store.gateways[gateway])
    }

    pub fn push(&self, repo: &str, arguments: &[&str]) -> Output {
        self.push_by(&self.program(), repo, arguments)
    }

    fn push_by(&self, program: &Program, repo: &str, arguments: &[&str]) -> Output {
        let (url, endpoint) = (self.url(), self.endpoint(0));
        let call = [&["push", &url, &endpoint], arguments].concat();
        program.repo(Path::new(repo), call)
    }

    #[track_caller]
    fn document(&self, repo: &str, arguments: &[&str]) -> Value {
        let text = self.push(repo, &[&["--json"], arguments].concat()).success();
        serde_json::from_str(&text).unwrap()
    }

    /// The real program, or osier where there is none, mirrors everything, and finds it whole with
    /// these refs.
    #[track_caller]
    pub fn check(&self, refs: &[(&str, &str)]) {
        self.store.settle(&format!("/{}/os/summary", self.bucket));
        let client = self.world.path().join("client");
        let _ = fs::remove_dir_all(&client);
        let program = ostree().unwrap_or_else(osier).in_directory(self.world.path());
        let url = self.public(1);
        for call in [
            &["init", "--mode=archive"][..],
            &["remote", "add", "--no-gpg-verify", "origin", &url],
            &["pull", "--mirror", "origin"],
            &["fsck"],
        ] {
            program.repo(&client, call).success();
        }
        let listed = self.world.run("client", &["refs", "--revision"]).success();
        let listed: Vec<(&str, &str)> =
            listed.lines().map(|line| line.split_once('\t').unwrap()).collect();
        assert_eq!(listed, refs);
    }
}

#[test]
fn a_bucket_becomes_an_archive_for_every_client() {
    for (bucket, mode) in [("modes-archive", "archive"), ("modes-bare", "bare-user-only")] {
        let Some(shop) = Shop::open(bucket, mode) else { return };
        // Several parts.
        fs::write(shop.world.path().join("tree/huge"), Dice::new(1).bytes(20_000_000)).unwrap();
        let commit = shop.world.commit("src", "main", "tree");
        let sent = shop.document("src", &[]);
        assert_eq!(
            (&sent["content_objects_sent"], &sent["summary_written"]),
            (&5.into(), &true.into())
        );
        shop.check(&[("main", &commit)]);
        let sent = shop.document("src", &[]);
        assert_eq!((&sent["bytes_sent"], &sent["summary_written"]), (&0.into(), &false.into()));

        let get = |name: &str| shop.store.get(&format!("/{bucket}/os/{name}"));
        let object = get(&format!("objects/{}/{}.commit", &commit[..2], &commit[2..]));
        assert_eq!(
            object.header("cache-control"),
            Some("public, max-age=31536000, immutable"),
            "{object:?}"
        );
        let found = get("refs/heads/main");
        assert_eq!(found.body, format!("{commit}\n").as_bytes());
        assert_eq!(found.header("content-type"), Some("text/plain"));
        assert_eq!(found.header("cache-control"), Some("public, max-age=10, must-revalidate"));
    }
}

#[test]
fn a_change_takes_few_requests_and_a_listing_finds_what_is_lost() {
    let Some(shop) = Shop::open("requests", "archive") else { return };
    for number in 0..300 {
        fs::write(shop.world.path().join(format!("tree/dir/{number}")), number.to_string())
            .unwrap();
    }
    shop.world.commit("src", "main", "tree");
    shop.push("src", &[]).success();
    fs::write(shop.world.path().join("tree/dir/new"), "new\n").unwrap();
    let commit = shop.world.commit("src", "main", "tree");
    let proxy = Proxy::new(&shop.store.gateways[0], Spoil::Nothing);
    let endpoint = format!("--endpoint={}", proxy.url);
    let document = shop.document("src", &[&endpoint]);
    assert_eq!(document["content_objects_sent"], 1);
    let requests = proxy.requests();
    assert!(requests < 30, "{requests}");
    assert_eq!(shop.document("src", &["--list"])["content_objects_sent"], 0);
    shop.check(&[("main", &commit)]);
}

#[test]
fn a_store_that_throttles_gets_everything_in_the_end() {
    let Some(shop) = Shop::open("throttled", "archive") else { return };
    for number in 0..150 {
        fs::write(shop.world.path().join(format!("tree/dir/{number}")), number.to_string())
            .unwrap();
    }
    fs::write(shop.world.path().join("tree/huge"), Dice::new(2).bytes(20_000_000)).unwrap();
    let commit = shop.world.commit("src", "main", "tree");
    let proxy = Proxy::new(&shop.store.gateways[0], Spoil::OneIn(7));
    let endpoint = format!("--endpoint={}", proxy.url);
    let sent = shop.document("src", &[&endpoint]);
    assert_eq!(sent["content_objects_sent"], 155);
    // Those that were refused came again.
    assert!(proxy.requests() > 155 + 155 / 7);
    shop.check(&[("main", &commit)]);
}

#[test]
fn eight_builders_at_three_gateways_lose_nothing() {
    let Some(shop) = Shop::open("many", "archive") else { return };
    let commits = push_all(&shop, |number| format!("branch/{number}"));
    let refs: Vec<(String, String)> = commits
        .into_iter()
        .enumerate()
        .map(|(number, (commit, pushed))| {
            pushed.success();
            (format!("branch/{number}"), commit)
        })
        .collect();
    let refs: Vec<(&str, &str)> =
        refs.iter().map(|(name, commit)| (&name[..], &commit[..])).collect();
    shop.check(&refs);
}

#[test]
fn of_eight_builders_of_one_ref_one_wins() {
    let Some(shop) = Shop::open("one", "archive") else { return };
    let commits = push_all(&shop, |_| "main".to_owned());
    let (winners, losers): (Vec<_>, Vec<_>) =
        commits.into_iter().partition(|(_, pushed)| pushed.status == 0);
    let [(winner, _)] = &winners[..] else { panic!("{winners:?} {losers:?}") };
    for (_, pushed) in losers {
        let error = pushed.failure();
        let overtaken = format!("was moved to {winner} by somebody else meanwhile");
        let late = format!("the ref main is at {winner} in ");
        assert!(error.contains(&overtaken) || error.starts_with(&late), "{error}");
    }
    shop.check(&[("main", winner)]);
}

/// Eight builders push at the same time; their commits, and how it went.
fn push_all(shop: &Shop, branch: impl Fn(usize) -> String) -> Vec<(String, Output)> {
    let build = |number: usize| {
        let repo = format!("builder{number}");
        shop.world.run(&repo, &["init", "--mode=archive"]).success();
        fs::write(shop.world.path().join("tree/dir/number"), number.to_string()).unwrap();
        let commit = shop.world.commit(&repo, &branch(number), "tree");
        (repo, commit)
    };
    let builders: Vec<(String, String)> = (0..8).map(build).collect();
    thread::scope(|scope| {
        let pushes: Vec<_> = builders
            .iter()
            .enumerate()
            .map(|(number, (repo, _))| {
                scope.spawn(move || shop.push(repo, &[&shop.endpoint(number % 3)]))
            })
            .collect();
        let pushed = pushes.into_iter().map(|push| push.join().unwrap());
        builders.iter().map(|(_, commit)| commit.clone()).zip(pushed).collect()
    })
}

#[test]
fn a_push_that_is_killed_is_finished_by_the_next() {
    let Some(shop) = Shop::open("killed", "bare-user-only") else { return };
    let mut dice = Dice::new(3);
    let mut last = String::new();
    let start = |shop: &Shop| -> Child {
        let program = shop.program();
        let mut command = Command::new(&program.path);
        command.args(["push", "--repo=src", &shop.url(), &shop.endpoint(0)]);
        command.envs(program.variables()).current_dir(shop.world.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    let mut time = Duration::from_millis(500);
    for round in 0..if long_tests() { 50 } else { 4 } {
        for number in 0..100 {
            fs::write(shop.world.path().join(format!("tree/dir/{number}")), dice.bytes(3000))
                .unwrap();
        }
        fs::write(shop.world.path().join("tree/huge"), dice.bytes(9_000_000)).unwrap();
        let commit = shop.world.commit("src", "main", "tree");
        if round > 0 {
            let mut child = start(&shop);
            thread::sleep(dice.moment(time));
            let _ = kill_process(Pid::from_child(&child), Signal::KILL);
            child.wait().unwrap();
            let now = shop.store.get("/killed/os/refs/heads/main").body;
            let now = String::from_utf8(now).unwrap();
            assert!([&last, &commit].iter().any(|known| now.trim_end() == **known), "{now}");
        }
        let started = Instant::now();
        shop.push("src", &[]).success();
        time = started.elapsed();
        shop.check(&[("main", &commit)]);
        last = commit;
    }
}

#[test]
fn what_a_store_refuses_is_said_without_secrets() {
    let Some(shop) = Shop::open("refused", "archive") else { return };
    shop.world.commit("src", "main", "tree");
    let with = |key: &str, secret: &str| {
        shop.world.program().with("AWS_ACCESS_KEY_ID", key).with("AWS_SECRET_ACCESS_KEY", secret)
    };
    let place = "s3://refused/os/refs/heads: ";
    for (program, expected) in [
        (with("osieraccess", "wrongsecret"), "SignatureDoesNotMatch"),
        (with("nobody", "osiersecret"), "InvalidAccessKeyId"),
        (with("pooraccess", "poorsecret"), "AccessDenied"),
    ] {
        let output = shop.push_by(&program, "src", &[]);
        let said = format!("{output:?}");
        assert!(!said.contains("secret"), "{said}");
        let error = output.failure();
        assert!(error.starts_with(&format!("{place}{expected}: ")), "{error}");
    }
    let nobody = shop.world.program();
    assert_eq!(
        shop.push_by(&nobody, "src", &[]).failure(),
        "s3://refused/os: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, \
         or AWS_PROFILE"
    );
    let endpoint = shop.endpoint(0);
    let error = shop
        .program()
        .repo(Path::new("src").to_owned().as_path(), ["push", "s3://never-made/os", &endpoint]);
    let error = error.failure();
    let missing = "s3://never-made/os/refs/heads: NoSuchBucket: ";
    assert!(error.starts_with(missing), "{error}");
    let closed = ["--endpoint=http://127.0.0.1:1"];
    let error = shop.push("src", &closed).failure();
    assert_eq!(error, format!("{place}Connection refused"));
}

#[test]
fn a_clock_that_is_off_is_named() {
    let Some(shop) = Shop::open("clock", "archive") else { return };
    if !has_programs(&["faketime"]) {
        return;
    }
    shop.world.commit("src", "main", "tree");
    let faketime = program("faketime").unwrap().in_directory(shop.world.path());
    let faketime = faketime
        .with("AWS_ACCESS_KEY_ID", "osieraccess")
        .with("AWS_SECRET_ACCESS_KEY", "osiersecret");
    let (osier, url, endpoint) = (shop.program().path, shop.url(), shop.endpoint(0));
    let call = ["-f", "-2h", osier.to_str().unwrap(), "push", "--repo=src", &url, &endpoint];
    let error = faketime.run(call).failure();
    assert!(error.contains("RequestTimeTooSkewed: "), "{error}");
    assert!(error.ends_with("(the clock of this machine is wrong)"), "{error}");
}

#[test]
fn a_store_that_forgets_conditions_is_refused_unless_nobody_else_pushes() {
    let Some(shop) = Shop::open("forgetful", "archive") else { return };
    let commit = shop.world.commit("src", "main", "tree");
    let proxy = Proxy::new(&shop.store.gateways[0], Spoil::Conditions);
    let endpoint = format!("--endpoint={}", proxy.url);
    // Signed requests cannot be changed on the way.
    let program = shop.world.program().with("AWS_SKIP_SIGNATURE", "true");
    let error = shop.push_by(&program, "src", &[&endpoint]).failure();
    assert_eq!(
        error,
        "s3://forgetful/os cannot keep builders from overwriting each other's refs: it writes a file \
         that is there in spite of If-None-Match; --no-lock pushes all the same"
    );
    assert!(shop.store.get("/forgetful/os/refs/heads/main").head.contains(" 404 "));
    shop.push_by(&program, "src", &[&endpoint, "--no-lock"]).success();
    shop.check(&[("main", &commit)]);
    shop.push("src", &[]).success();
}

#[test]
fn the_config_names_destinations_and_profiles_have_credentials() {
    let Some(shop) = Shop::open("named", "archive") else { return };
    let commit = shop.world.commit("src", "main", "tree");
    let config = shop.world.path().join("src/config");
    let mut text = fs::read_to_string(&config).unwrap();
    text.push_str(&format!(
        "\n[push \"store\"]\nurl=s3://named/os\nendpoint=http://{}\nregion=us-east-1\nprofile=ci\n",
        shop.store.gateways[0]
    ));
    fs::write(&config, text).unwrap();
    fs::create_dir(shop.world.path().join(".aws")).unwrap();
    let credentials =
        "[ci]\naws_access_key_id = osieraccess\naws_secret_access_key = osiersecret\n";
    fs::write(shop.world.path().join(".aws/credentials"), credentials).unwrap();
    let program = shop.world.program().with("HOME", shop.world.path());
    program.repo(Path::new("src"), ["push", "store"]).success();
    shop.check(&[("main", &commit)]);
    let error = program.repo(Path::new("src"), ["push", "other"]).failure();
    assert_eq!(
        error,
        "'other' is neither a URL, such as file:///PATH, nor has the config a group [push \"other\"]"
    );
}
