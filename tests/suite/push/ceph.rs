//! `push` into three nodes of Ceph, of which one is killed meanwhile. Only in the long form: it
//! takes minutes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::seaweed::free_ports;
use super::world::World;
use crate::support::{Dice, has_programs, long_tests, osier, ostree, scratch_root};

const NODES: usize = 3;
const PORTS_OF_A_NODE: usize = 3;
const FILES: usize = 20_000;
/// How long the nodes may take until they are ready.
const PATIENCE: Duration = Duration::from_secs(300);

struct Ceph {
    directory: PathBuf,
    gateways: [String; NODES],
    shell: Child,
}

impl Ceph {
    fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("osier-ceph-").tempdir_in(scratch_root());
        let directory = directory.unwrap().keep();
        let ports = free_ports(NODES * PORTS_OF_A_NODE);
        let gateways =
            std::array::from_fn(|node| format!("127.0.0.1:{}", ports[node * PORTS_OF_A_NODE + 2]));
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/push/ceph.sh");
        let mut shell = Command::new("bash");
        shell.arg(script).arg(&directory).args(ports.iter().map(u16::to_string));
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let ceph = Self { directory, gateways, shell: shell.spawn().unwrap() };
        let started = Instant::now();
        while !ceph.directory.join("ready").exists() {
            assert!(started.elapsed() < PATIENCE, "Ceph is not ready");
            thread::sleep(Duration::from_millis(200));
        }
        ceph
    }

    /// Kills a node: its monitor, OSD and gateway.
    fn kill(&self, node: usize) {
        let processes = fs::read_to_string(self.directory.join(format!("n{node}"))).unwrap();
        for process in processes.lines() {
            let process = Pid::from_raw(process.parse().unwrap()).unwrap();
            kill_process(process, Signal::KILL).unwrap();
        }
    }
}

impl Drop for Ceph {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

#[test]
fn a_node_that_is_killed_during_a_push_loses_nothing() {
    const PROGRAMS: [&str; 6] =
        ["ceph", "ceph-mon", "ceph-osd", "ceph-mgr", "radosgw", "radosgw-admin"];
    if !long_tests() || !has_programs(&PROGRAMS) || !has_programs(&["curl", "openssl"]) {
        return;
    }
    let world = World::new("archive");
    let mut dice = Dice::new(16);
    for number in 0..FILES {
        let directory = world.path().join(format!("tree/{:03}", number / 250));
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(number.to_string()), dice.bytes(1000)).unwrap();
    }
    let commit = world.commit("src", "main", "tree");
    let ceph = Ceph::start();
    let program = world
        .program()
        .with("AWS_ACCESS_KEY_ID", "osieraccess")
        .with("AWS_SECRET_ACCESS_KEY", "osiersecret");
    let endpoint = |node: usize| format!("--endpoint=http://{}", ceph.gateways[node]);

    let started = Instant::now();
    let mut push = Command::new(&program.path);
    push.args(["push", "--repo=src", &endpoint(0), "s3://published/os"]);
    push.envs(program.variables()).current_dir(world.path()).stdin(Stdio::null());
    let mut push = push.stdout(Stdio::null()).spawn().unwrap();
    // Somewhere within the files.
    thread::sleep(Duration::from_secs(5));
    assert!(push.try_wait().unwrap().is_none(), "the push is over already");
    ceph.kill(1);
    assert!(push.wait().unwrap().success());
    println!("{FILES} files in {:?}, one of {NODES} nodes killed after 5 s", started.elapsed());

    let fsck = program.run(["fsck", &endpoint(2), "s3://published/os"]).success();
    assert!(fsck.ends_with("object fsck of 1 commits completed successfully - no errors found.\n"));
    let equal = program.run(["compare", "src", "s3://published/os", &endpoint(2)]);
    assert!(equal.success().starts_with("equal: "));
    let client = ostree().unwrap_or_else(osier).in_directory(world.path());
    let url = format!("http://{}/published/os", ceph.gateways[2]);
    for call in
        [&["init", "--mode=archive"][..], &["remote", "add", "--no-gpg-verify", "origin", &url]]
    {
        client.repo(Path::new("client"), call).success();
    }
    // It asks for one object after the other, so it may take minutes.
    let mut pull = Command::new(&client.path);
    pull.args(["--repo=client", "pull", "--mirror", "origin", "main"]).envs(client.variables());
    pull.current_dir(world.path()).stdin(Stdio::null()).stdout(Stdio::null());
    assert!(pull.status().unwrap().success());
    client.repo(Path::new("client"), ["fsck"]).success();
    assert_eq!(world.run("client", &["rev-parse", "main"]).line(), commit);
}
