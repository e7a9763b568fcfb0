//! `push` through the real ssh, to sshd on loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use super::world::World;
use crate::support::{find, lacks, osier_path, program};

/// sshd for one test. It ends with the value.
struct Sshd {
    child: Child,
    port: u16,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// sshd is not on every user's search path.
fn sshd_path() -> Option<PathBuf> {
    let usual = Some(PathBuf::from("/usr/sbin/sshd")).filter(|path| path.is_file());
    find("sshd").or(usual)
}

fn make_key(directory: &Path, name: &str) -> Option<String> {
    let path = directory.join(name);
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"];
    let made = program("ssh-keygen")?.run(arguments.map(Into::into).into_iter().chain([path]));
    assert_eq!(made.status, 0);
    Some(fs::read_to_string(directory.join(format!("{name}.pub"))).unwrap())
}

impl Sshd {
    /// Starts one that lets a key in for `command` only, if one is given.
    #[track_caller]
    fn start(directory: &Path, command: Option<&str>) -> Option<Self> {
        let Some(path) = sshd_path() else {
            lacks(&["sshd"]);
            return None;
        };
        make_key(directory, "host_key")?;
        let key = make_key(directory, "key")?;
        let options = command.map(|command| format!("restrict,command=\"{command}\" "));
        let authorized = options.unwrap_or_default() + &key;
        fs::write(directory.join("authorized"), authorized).unwrap();
        // It wants the directory for programs without rights, even if it starts none.
        if rustix::process::geteuid().is_root() {
            fs::create_dir_all("/run/sshd").ok()?;
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let at = directory.display();
        let config = format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host_key\nPidFile none\n\
             AuthorizedKeysFile {at}/authorized\nPasswordAuthentication no\nUsePAM no\n\
             KbdInteractiveAuthentication no\nStrictModes no\nPermitRootLogin yes\n"
        );
        fs::write(directory.join("sshd_config"), config).unwrap();
        let mut sshd = Command::new(path);
        sshd.args(["-D", "-e", "-f"]).arg(directory.join("sshd_config"));
        let log = fs::File::create(directory.join("sshd.log")).unwrap();
        sshd.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut sshd = Self { child: sshd.spawn().unwrap(), port };
        for _ in 0..400 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(sshd);
            }
            if sshd.child.try_wait().unwrap().is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(25));
        }
        let log = fs::read_to_string(directory.join("sshd.log")).unwrap_or_default();
        panic!("sshd does not listen: {log}");
    }

    fn ssh(directory: &Path) -> String {
        let at = directory.display();
        format!(
            "ssh -F none -i {at}/key -o IdentitiesOnly=yes -o IdentityAgent=none \
             -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={at}/known -o LogLevel=ERROR"
        )
    }
}

#[test]
fn a_push_arrives_through_the_real_ssh() {
    let world = World::new("bare-user-only");
    let Some(sshd) = Sshd::start(world.path(), None) else { return };
    let commit = world.commit("src", "main", "tree");
    let url = format!("ssh://127.0.0.1:{}{}/dst", sshd.port, world.path().display());
    let ssh = format!("--ssh={}", Sshd::ssh(world.path()));
    world.push_to("src", &url, &[&ssh]).success();
    world.check(&[("main", &commit)]);
    let next = world.commit("src", "main", "tree");
    world.push_to("src", &url, &[&ssh]).success();
    world.check(&[("main", &next)]);
    let error = world.push_to("src", &url, &[&ssh, "--receiver=/none/osier"]).failure();
    assert!(error.contains("127.0.0.1 said nothing (exit status 127: "), "{error}");
}

#[test]
fn a_real_key_with_a_forced_command_can_only_push() {
    let world = World::new("archive");
    let root = world.path().join("root");
    fs::create_dir(&root).unwrap();
    let command = format!("{} receive --root={}", osier_path(), root.display());
    let Some(sshd) = Sshd::start(world.path(), Some(&command)) else { return };
    let commit = world.commit("src", "main", "tree");
    let ssh = Sshd::ssh(world.path());
    let option = format!("--ssh={ssh}");
    let url = format!("ssh://127.0.0.1:{}/os", sshd.port);
    world.run("src", &["push", &url, &option]).success();
    let there = fs::read_to_string(root.join("os/refs/heads/main")).unwrap();
    assert_eq!(there, format!("{commit}\n"));
    let touched = world.path().join("touched");
    let call = format!("{ssh} -p {} 127.0.0.1 touch {}", sshd.port, touched.display());
    let output = Command::new("sh").args(["-c", &call]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(!touched.exists());
}
