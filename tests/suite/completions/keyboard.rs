//! Completions as the user meets them: a terminal, a shell, the tab key.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Program, has_programs, osier_path, scratch, search_path_after};

/// A shell needs no longer for anything, on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(30);
/// After this time without an effect the key is pressed again, as people do to see a list.
const NEXT_PRESS: Duration = Duration::from_millis(1500);
/// Letters before the key is pressed.
const MOST_PRESSES: u32 = 4;

const REF: &str = "exampleos/22/x86_64/host";

/// A directory with the repository `repo`, the tree `tree`, and what must not be offered:
/// `bare-folder`.
struct Place {
    directory: tempfile::TempDir,
    commit: String,
}

impl Place {
    fn new() -> Self {
        let directory = scratch();
        let path = directory.path();
        for made in ["bin", "tree/usr/bin", "bare-folder"] {
            fs::create_dir_all(path.join(made)).unwrap();
        }
        fs::write(path.join("tree/usr/bin/tool"), "tool").unwrap();
        symlink(osier_path(), path.join("bin/osier")).unwrap();
        symlink("osier", path.join("bin/ostree")).unwrap();
        let osier = Program::other(osier_path(), "osier").in_directory(path);
        osier.run(["init", "--repo=repo", "--mode=bare-user-only"]).success();
        osier.run(["commit", "--repo=repo", "-b", REF, "-s", "Compose 22.0", "tree"]).success();
        let version = "--add-metadata-string=version=22.1";
        let commit = osier
            .run(["commit", "--repo=repo", "-b", REF, "-s", "Compose 22.1", version, "tree"])
            .line();
        fs::write(
            path.join("compose.conf"),
            "[compose]\nrepo=repo\ntreefile=t\ncachedir=cache\nwork=work\n",
        )
        .unwrap();
        osier.run(["remote", "add", "--repo=repo", "origin", "http://example.org"]).success();
        Self { directory, commit }
    }
}

/// A shell in a terminal of its own.
struct Terminal {
    tmux: Program,
    socket: PathBuf,
}

impl Terminal {
    fn start(place: &Place, shell: &str) -> Self {
        let directory = place.directory.path();
        let path = search_path_after(&directory.join("bin"));
        let tmux = Program::other("tmux", "tmux").in_directory(directory);
        let tmux = tmux
            .with("PATH", path)
            .with("TERM", "xterm")
            .with("HOME", directory)
            .with("SHELL", "/bin/sh");
        let terminal = Self { tmux, socket: directory.join("tmux") };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "220", "-y", "30", shell]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let socket = self.socket.to_str().unwrap();
        self.tmux.run(["-S", socket].iter().chain(arguments)).success()
    }

    fn type_text(&self, text: &str) {
        self.tmux(&["send-keys", "-l", text]);
    }

    fn press(&self, key: &str) {
        self.tmux(&["send-keys", key]);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-J"])
    }

    /// Waits for a text on the screen.
    fn shows(&self, text: &str, patience: Duration) -> bool {
        let start = Instant::now();
        loop {
            if self.screen().contains(text) {
                return true;
            }
            if start.elapsed() > patience {
                return false;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// Runs a command and waits for its end.
    #[track_caller]
    fn run(&self, command: &str) {
        self.type_text(&format!("{command}; echo do''ne"));
        self.press("Enter");
        assert!(self.shows("\ndone", PATIENCE), "{command}: {}", self.screen());
        self.press("C-l");
    }

    /// Types a line, presses the tab key, and looks for what is on the screen then.
    #[track_caller]
    fn complete(&self, typed: &str, expected: &str) {
        self.type_text(typed);
        assert!(self.shows(typed, PATIENCE), "{typed}: {}", self.screen());
        let presses = (0..MOST_PRESSES).any(|press| {
            self.press("Tab");
            let is_last = press + 1 == MOST_PRESSES;
            self.shows(expected, if is_last { PATIENCE } else { NEXT_PRESS })
        });
        let screen = self.screen();
        assert!(presses, "{typed}: no {expected} in {screen}");
        assert!(!screen.contains("bare-folder"), "{typed}: {screen}");
        self.press("C-c");
        self.press("C-l");
        self.run("true");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let socket = self.socket.to_str().unwrap();
        self.tmux.run(["-S", socket, "kill-server"]);
    }
}

/// Presses the tab key in the shell `program`, called as `shell`, once `set_up` was run.
#[track_caller]
fn completes_values(program: &'static str, shell: &str, set_up: &str) {
    if !has_programs(&[program, "tmux"]) {
        return;
    }
    let place = Place::new();
    let terminal = Terminal::start(&place, shell);
    terminal.run(set_up);
    let commit = place.commit.as_str();
    let (parent, whole_parent) = (
        format!("osier --repo=repo commit --parent={}", &commit[..9]),
        format!("--parent={commit}"),
    );
    // zsh quotes what it would expand.
    let parent_rev =
        if program == "zsh" { "exampleos/22/x86_64/host\\^" } else { "exampleos/22/x86_64/host^" };
    for (typed, expected) in [
        ("osier rev-p", "osier rev-parse"),
        ("osier init --mo", "--mode="),
        ("osier init --mode=b", "bare-user-only"),
        ("osier init --mode=bare-user-", "--mode=bare-user-only"),
        ("osier init --mode arch", "--mode archive"),
        ("osier --repo=repo ls exam", REF),
        ("osier log --repo repo exam", REF),
        ("ostree --repo=repo refs exam", REF),
        ("osier --repo=repo ls exampleos/22/x86_64/host /u", "/usr/"),
        ("osier --repo=repo cat exampleos/22/x86_64/host /usr/bin/t", "/usr/bin/tool"),
        ("osier remote --repo=repo show-url or", "show-url origin"),
        ("osier bench --only=checkout-l", "--only=checkout-links"),
        ("osier completions z", "completions zsh"),
        ("osier --repo=rep", "--repo=repo/"),
        ("osier commit --tree=dir=tre", "--tree=dir=tree/"),
        ("osier pull-local repo exam", REF),
        ("osier --repo=repo show exampleos/22/x86_64/host^", parent_rev),
        ("osier --repo=repo show --print-metadata-key=ver", "--print-metadata-key=version"),
        ("osier compose publish --config=compose.conf ", &commit[..9]),
        (&parent, &whole_parent),
    ] {
        terminal.complete(typed, expected);
    }
    terminal.run("export OSTREE_REPO=$PWD/repo");
    terminal.complete("osier show exam", REF);
    terminal.run("unset OSTREE_REPO 2>/dev/null; set -e OSTREE_REPO 2>/dev/null; set +e; cd repo");
    terminal.complete("osier export exam", REF);
}

#[test]
fn the_tab_key_completes_values_in_bash() {
    completes_values("bash", "bash --norc --noprofile -i", "source <(osier completions bash)");
}

#[test]
fn the_tab_key_completes_values_in_zsh() {
    let set_up = "autoload -U compinit; compinit -u -D; source <(osier completions zsh)";
    completes_values("zsh", "zsh -f -i", set_up);
}

#[test]
fn the_tab_key_completes_values_in_fish() {
    completes_values("fish", "fish --no-config", "osier completions fish | source");
}
