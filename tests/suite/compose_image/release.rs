//! A small release: a published tree, a configuration, and a stand-in for ImageFactory on the
//! search path.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::support::{
    self, Output, Program, Snapshot, osier_path, raw_snapshot, scratch, search_path_after, skip,
};

/// The ref of the tree.
pub const REF: &str = "exampleos/22/x86_64/host";
/// The version of its commit.
pub const VERSION: &str = "22.3";
/// What the stand-in calls its image.
pub const UUID: &str = "71438501-a38c-490c-83f5-813959d7a364";

const KICKSTART: &str = "\
text
bootloader --timeout=1
ostreesetup --nogpg --osname=old --remote=old --url=http://old.example.org/repo/ --ref=old/ref
clearpart --all --initlabel
part / --fstype=ext4 --size=3000 --grow
reboot
%post
echo @OSTREE_REF@ @OSTREE_VERSION@
%end
";

/// What `[image]` says unless a test changes it. A disk of 1 GiB in files of a few KiB is enough.
const IMAGE: &str = "\
kickstart=os.ks
ostree-url=http://content.example.org/repo/
osname=exampleos
distribution=Fedora 22
arch=x86_64
install-url=http://packages.example.org/22/x86_64/os/
disk-gib=1
memory-mib=2048
min-size-mib=1
format=qcow2
output=images
name=exampleos-{version}
timeout=60s
";

/// A directory with everything in it.
pub struct Release {
    directory: TempDir,
    published: Snapshot,
}

impl Release {
    /// Publishes a tree; `None` where a program is missing that is needed.
    pub fn new() -> Option<Self> {
        if !has_programs() {
            return None;
        }
        let directory = scratch();
        let path = directory.path();
        let tree = path.join("tree/usr/bin");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("true"), "#!/bin/sh\n").unwrap();
        let repo = path.join("repo");
        let osier = program();
        osier.repo(&repo, ["init", "--mode=archive"]).success();
        let version = format!("--add-metadata-string=version={VERSION}");
        let tree = path.join("tree");
        osier.repo(&repo, ["commit", "-b", REF, &version, tree.to_str().unwrap()]).success();
        osier.repo(&repo, ["summary", "-u"]).success();
        fs::create_dir(path.join("bin")).unwrap();
        let stand_in =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/compose_image/imagefactory");
        symlink(stand_in, path.join("bin/imagefactory")).unwrap();
        fs::write(path.join("os.ks"), KICKSTART).unwrap();
        fs::write(path.join("tree.json"), "{}").unwrap();
        let published = raw_snapshot(&repo);
        let release = Self { directory, published };
        release.configure(&[]);
        release.body_of(|disk| qcow2(disk, "1G", "2M"));
        Some(release)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes the configuration, with other values for some keys of `[image]`; an empty value takes
    /// a key away.
    pub fn configure(&self, changes: &[(&str, &str)]) {
        // Scratch space may be small.
        self.configure_with_free(0, changes);
    }

    /// The same, where so many MiB must be free.
    pub fn configure_with_free(&self, min_free_mib: u64, changes: &[(&str, &str)]) {
        let mut lines: Vec<String> = IMAGE.lines().map(str::to_owned).collect();
        for (key, value) in changes {
            lines.retain(|line| !line.starts_with(&format!("{key}=")));
            if !value.is_empty() {
                lines.push(format!("{key}={value}"));
            }
        }
        let compose = format!(
            "[compose]\nrepo=repo\ntreefile=tree.json\ncachedir=cache\nwork=work\nref={REF}\n\
             umask=0022\nmin-free-mib={min_free_mib}\n\n[image]\n{}\n",
            lines.join("\n")
        );
        fs::write(self.path("compose.conf"), compose).unwrap();
    }

    /// Makes the file whose bytes the stand-in gives out as its image.
    pub fn body_of(&self, make: impl FnOnce(&Path)) {
        let body = self.path("body");
        let _ = fs::remove_file(&body);
        make(&body);
    }

    pub fn commit(&self) -> String {
        program().repo(&self.path("repo"), ["rev-parse", REF]).line()
    }

    /// The command line up to its options.
    pub fn call(&self, options: &[&str]) -> Vec<OsString> {
        let mut call: Vec<OsString> = ["compose", "image", "--config"].map(OsString::from).into();
        call.push(self.path("compose.conf").into());
        call.extend(options.iter().map(OsString::from));
        call
    }

    /// From now on osier knows the loopback by the name `LOOPBACK`, too: every spelling of its
    /// addresses is refused. Where nothing can be mounted the test is skipped.
    #[track_caller]
    pub fn name_the_loopback(&self) -> bool {
        let (hosts, wrapper) = (self.path("hosts"), self.path(WRAPPER));
        fs::write(&hosts, format!("127.0.0.1 localhost {LOOPBACK}\n")).unwrap();
        let (hosts, osier) = (hosts.display(), osier_path());
        let script = format!(
            "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind {hosts} /etc/hosts && exec \
             \"$@\"' sh {osier} \"$@\"\n"
        );
        fs::write(&wrapper, script).unwrap();
        fs::set_permissions(&wrapper, PermissionsExt::from_mode(0o755)).unwrap();
        if self.program("built").run(["--version"]).status == 0 {
            return true;
        }
        skip("cannot mount, so the loopback has no other name");
        false
    }

    /// osier with the stand-in behaving as `case`.
    pub fn program(&self, case: &str) -> Program {
        let named = self.path(WRAPPER);
        let program = if named.exists() { Program::other(named, "osier") } else { program() };
        program
            .with("PATH", search_path_after(&self.path("bin")))
            // Where names are asked for over the network, the answer shall not take long.
            .with("RES_OPTIONS", "timeout:1 attempts:1")
            .with("STAND_IN", case)
            .with("STAND_IN_BODY", self.path("body"))
            .with("STAND_IN_RECORD", self.path("record"))
    }

    /// `compose image` with the stand-in behaving as `case`.
    #[track_caller]
    pub fn run(&self, case: &str, options: &[&str]) -> Output {
        let output = self.program(case).run(self.call(options));
        output.assert_no_panic();
        output
    }

    /// Whether the stand-in has been asked for an image.
    pub fn was_asked(&self) -> bool {
        self.path("record").exists()
    }

    /// What the stand-in was given.
    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("record")).unwrap()).unwrap()
    }

    /// The directories of all runs, oldest first.
    pub fn runs(&self) -> Vec<PathBuf> {
        let mut runs: Vec<_> = fs::read_dir(self.path("work"))
            .map(|entries| entries.map(|entry| entry.unwrap().path()).collect())
            .unwrap_or_default();
        runs.sort_by_key(|run: &PathBuf| fs::metadata(run).unwrap().modified().unwrap());
        runs
    }

    /// The directory of the only run, and its report.
    #[track_caller]
    pub fn only_run(&self) -> (PathBuf, Value) {
        let runs = self.runs();
        assert_eq!(runs.len(), 1, "{runs:?}");
        let report = report_of(&runs[0]);
        (runs[0].clone(), report)
    }

    /// What is in the output directory, hidden files too.
    pub fn images(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path("images")).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// What must hold after every run, however it ended: what is published is the same to the last
    /// byte.
    #[track_caller]
    pub fn assert_nothing_public_changed(&self) {
        assert!(raw_snapshot(&self.path("repo")) == self.published, "the repository has changed");
    }

    /// Fails unless there is a failed run whose report says so, nothing new in the output
    /// directory, and a storage that was kept.
    #[track_caller]
    pub fn assert_failed_without_image(&self, output: Output, message: &str) {
        let shown = output.clone();
        let found = self.shortened(&output.failure());
        assert_eq!(found, message, "{shown:?}");
        assert_eq!(self.images(), [""; 0], "{shown:?}");
        let (run, report) = self.only_run();
        assert_eq!(report["status"], "failed", "{report:#}");
        assert_eq!(self.shortened(report["error"].as_str().unwrap()), message);
        let storage = run.join("storage");
        assert_eq!(report["image"]["storage"], storage.to_str().unwrap());
        assert!(storage.is_dir());
        assert!(!run.join("tmp").exists());
        self.assert_nothing_public_changed();
    }

    /// Forgets all runs.
    pub fn forget_runs(&self) {
        for name in ["work", "images"] {
            let _ = fs::remove_dir_all(self.path(name));
        }
        let _ = fs::remove_file(self.path("record"));
    }

    /// A message with `DIR`, `RUN` and `UUID` for what differs from run to run.
    pub fn shortened(&self, message: &str) -> String {
        let mut message = message.to_owned();
        for run in self.runs() {
            message = message.replace(run.to_str().unwrap(), "RUN");
        }
        message.replace(self.directory.path().to_str().unwrap(), "DIR").replace(UUID, "UUID")
    }
}

/// Whether the machine has what the images of tests are made with; skips if not.
#[track_caller]
pub fn has_programs() -> bool {
    support::has_programs(&["qemu-img", "qemu-io", "python3"])
}

/// The report of a run.
pub fn report_of(run: &Path) -> Value {
    serde_json::from_slice(&fs::read(run.join("report.json")).unwrap()).unwrap()
}

/// osier under its own name.
pub fn program() -> Program {
    Program::other(osier_path(), "osier")
}

/// What runs osier where the loopback has another name.
const WRAPPER: &str = "bin/osier-with-hosts";
/// That name.
pub const LOOPBACK: &str = "content.test";

/// Runs a program of the machine.
#[track_caller]
pub fn tool(name: &'static str, arguments: &[&str]) -> Output {
    Program::other(name, name).run(arguments)
}

/// A qcow2 with a disk of that size, of which so much is filled.
pub fn qcow2(file: &Path, size: &str, filled: &str) {
    let file = file.to_str().unwrap();
    tool("qemu-img", &["create", "-q", "-f", "qcow2", file, size]).success();
    tool("qemu-io", &["-c", &format!("write -q -P 0x5a 1M {filled}"), file]).success();
}
