//! A compose with the real rpm-ostree, from RPMs made here. It is in no package that CI can
//! install, so without it the test says that it did not run, and does not fail for that.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::world::{REF, World};
use crate::support::{find, has_programs, is_root};

/// The real program: named by `OSIER_RPM_OSTREE`, or on PATH.
fn rpm_ostree() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("OSIER_RPM_OSTREE") {
        return Some(path.into());
    }
    find("rpm-ostree")
}

fn did_not_run(reason: &str) {
    let _ = writeln!(std::io::stderr(), "DID NOT RUN compose with the real rpm-ostree: {reason}");
}

fn run(program: &str, arguments: &[&str]) {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Builds a package whose files are made by a shell script with `$R` as the root.
fn build(top: &Path, name: &str, version: u32, tags: &str, install: &str) {
    let spec = top.join(format!("{name}.spec"));
    // Only the package of this very name may own directories at the top.
    let directories =
        if name == "filesystem" { r#"-type d -printf '%%%%dir "/%%P"\n' -o"# } else { "" };
    let text = format!(
        "Name: {name}\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\n{tags}\n%global \
         debug_package %{{nil}}\n%global __os_install_post %{{nil}}\nAutoReqProv: no\n\
         %description\nx\n%install\nR=%{{buildroot}}\nmkdir -p $R\n{install}\ncd $R && find . \
         -mindepth 1 {directories} ! -type d -printf '\"/%%P\"\\n' > %{{_builddir}}/{name}.list\n\
         %files -f %{{_builddir}}/{name}.list\n"
    );
    fs::write(&spec, text).unwrap();
    let define = format!("_topdir {}", top.display());
    run("rpmbuild", &["-bb", "--quiet", "--define", &define, spec.to_str().unwrap()]);
}

fn build_packages(world: &World, version: u32) {
    let top = world.path("rpmbuild");
    fs::create_dir_all(top.join("BUILD")).unwrap();
    let filesystem = "for d in usr/bin usr/sbin usr/lib usr/lib64 usr/share/empty etc var run proc \
        sys dev tmp root home opt mnt media boot srv; do mkdir -p $R/$d; done\nfor d in bin sbin \
        lib lib64; do ln -s usr/$d $R/$d; done\necho root:x:0:0:root:/root:/bin/sh > \
        $R/etc/passwd\necho root:x:0: > $R/etc/group";
    build(&top, "filesystem", 1, "", filesystem);
    let shell = "mkdir -p $R/usr/bin\ncp $(command -v busybox) $R/usr/bin/sh";
    build(&top, "static-shell", 1, "Provides: /bin/sh\nRequires: filesystem", shell);
    let payload = format!(
        "mkdir -p $R/usr/lib\nprintf 'ID=exampleos\\nVERSION_ID={version}\\n' > \
         $R/usr/lib/os-release"
    );
    build(&top, "payload", version, "Requires: filesystem", &payload);
    run("createrepo_c", &["--quiet", top.join("RPMS").to_str().unwrap()]);
}

#[test]
fn the_packages_for_a_real_compose_can_be_built() {
    if !has_programs(&["rpm", "rpmbuild", "createrepo_c", "busybox"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    build_packages(&world, 1);
    build_packages(&world, 2);
    let directory = world.path("rpmbuild/RPMS");
    assert!(directory.join("repodata/repomd.xml").is_file());
    let mut packages: Vec<String> = walkdir::WalkDir::new(&directory)
        .into_iter()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|path| path.ends_with(".rpm"))
        .collect();
    packages.sort();
    let listed = |package: &str| {
        let output = Command::new("rpm").args(["-qlp", package]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let [filesystem, old, new, shell] = &packages[..] else { panic!("{packages:?}") };
    let base = listed(filesystem);
    for path in ["/bin", "/etc/passwd", "/usr/lib", "/usr/share/empty", "/var"] {
        assert!(base.lines().any(|line| line == path), "{path} is not in {base}");
    }
    assert!(old.contains("payload-1-1.") && new.contains("payload-2-1."), "{packages:?}");
    assert!(listed(new).lines().any(|line| line == "/usr/lib/os-release"));
    assert!(listed(shell).lines().any(|line| line == "/usr/bin/sh"));
}

/// A world with packages, a package repository and the real program; `None` without that, which is
/// said.
fn real_world(ref_in_treefile: &str, config: &str) -> Option<World> {
    let Some(program) = rpm_ostree() else {
        did_not_run("there is none on PATH, and OSIER_RPM_OSTREE names none");
        return None;
    };
    if !is_root() {
        did_not_run("it needs root");
        return None;
    }
    let world = World::new()?;
    build_packages(&world, 1);
    let treefile = format!(
        "{{ {ref_in_treefile}\"repos\": [\"base\"], \"packages\": [\"filesystem\", \
         \"static-shell\", \"payload\"],\n\"container\": true, \"selinux\": false, \"rpmdb\": \
         \"host\", \"automatic-version-prefix\": \"22\" }}\n"
    );
    fs::write(world.path("exampleos-host.json"), treefile).unwrap();
    let url = world.path("rpmbuild/RPMS");
    let repo = format!("[base]\nname=base\nbaseurl=file://{}\ngpgcheck=0\n", url.display());
    fs::write(world.path("base.repo"), repo).unwrap();
    world.set_config(&format!("program={}\n{config}", program.display()));
    Some(world)
}

#[test]
fn the_real_rpm_ostree_composes_published_trees() {
    let Some(world) = real_world(&format!("\"ref\": \"{REF}\", "), "") else { return };
    world.tree(&[]).success();
    let first = world.public_commit().unwrap();
    world.assert_served(&first);
    world.tree(&[]).success();
    assert_eq!(
        (world.public_commit(), &world.report()["status"]),
        (Some(first.clone()), &"unchanged".into())
    );
    build_packages(&world, 2);
    world.tree(&[]).success();
    let second = world.public_commit().unwrap();
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    world.assert_served(&second);
    let pkgdiff = &world.report()["compose"]["pkgdiff"];
    assert_eq!((&pkgdiff[0][0], &pkgdiff[0][1]), (&"payload".into(), &2.into()));
    world.assert_clean();
}

#[test]
fn the_real_rpm_ostree_follows_a_ref_that_only_the_configuration_names() {
    let Some(world) = real_world("", &format!("ref={REF}\n")) else { return };
    world.tree(&[]).success();
    let first = world.public_commit().unwrap();
    world.tree(&["--version=22.7"]).success();
    assert_eq!(
        (world.public_commit(), &world.report()["status"]),
        (Some(first.clone()), &"unchanged".into())
    );
    assert_eq!(world.report()["unapplied"][0]["wanted"], "22.7");
    build_packages(&world, 2);
    world.tree(&[]).success();
    assert_eq!(world.rev(&format!("{REF}^")), Some(first));
    world.assert_served(&world.public_commit().unwrap());
}
