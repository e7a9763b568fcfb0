//! What is refused before anything is written.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::release::{REF, Release, program};
use crate::support::{osier_path, skip};

/// Fails unless `compose image` is refused with that message, ImageFactory not asked and nothing
/// written.
#[track_caller]
pub fn assert_refused(release: &Release, options: &[&str], message: &str) {
    let output = release.run("built", options);
    assert_eq!(release.shortened(&output.failure()), message);
    assert!(!release.was_asked());
    for name in ["work", "images"] {
        assert!(!release.path(name).exists(), "{name} was made");
    }
}

#[test]
fn an_image_is_only_made_of_what_is_published() {
    let Some(release) = Release::new() else { return };
    let (repo, old) = (release.path("repo"), release.commit());
    let osier = program();
    let repo_call = |arguments: &[&str]| osier.repo(&repo, arguments).success();
    let tree = release.path("tree");
    let new = osier.repo(&repo, ["commit", "--orphan", tree.to_str().unwrap()]).line();
    assert_refused(
        &release,
        &["--commit", &new],
        &format!("commit {new} is not published: {REF} names {old}"),
    );
    repo_call(&["refs", &new, "--create", &format!("osier-pending:{REF}")]);
    let pending = "it waits for `osier compose publish`, and the installer could not fetch it";
    assert_refused(
        &release,
        &["--commit", &new],
        &format!("commit {new} is not published: {pending}"),
    );
    assert_refused(&release, &["--commit", "none"], "Refspec 'none' not found");
    repo_call(&["reset", REF, &new]);
    let refresh = "`osier compose tree` or `osier summary -u` refreshes it";
    let expected =
        format!("DIR/repo/summary is stale: it has {old} as {REF}, not {new}; {refresh}");
    assert_refused(&release, &[], &expected);
    fs::remove_file(repo.join("summary")).unwrap();
    assert_refused(&release, &[], &format!("DIR/repo/summary is missing; {refresh}"));
    repo_call(&["refs", "--delete", REF]);
    repo_call(&["summary", "-u"]);
    let expected =
        format!("nothing is published as {REF}; {new} waits for `osier compose publish`");
    assert_refused(&release, &[], &expected);
}

#[test]
fn a_file_url_must_show_the_same_commit() {
    let Some(release) = Release::new() else { return };
    let (mirror, old) = (release.path("mirror"), release.commit());
    let osier = program();
    osier.repo(&mirror, ["init", "--mode=archive"]).success();
    let url = format!("file://{}", mirror.display());
    release.configure(&[("ostree-url", &url)]);
    let expected = format!("file://DIR/mirror serves no commit as {REF}, the repository has {old}");
    assert_refused(&release, &[], &expected);
    osier.repo(&mirror, ["pull-local", release.path("repo").to_str().unwrap(), REF]).success();
    release.run("built", &["-q"]).success();
    let warnings = release.only_run().1["warnings"].clone();
    let expected = format!(
        "{}:3: {url} is a path inside the installer, not on this machine",
        release.path("os.ks").display()
    );
    assert_eq!(warnings, serde_json::json!([expected]));
}

#[test]
fn a_kickstart_file_that_cannot_be_used_is_refused_with_its_line() {
    let Some(release) = Release::new() else { return };
    let setup = "ostreesetup --osname=o --url=http://a --ref=r\n";
    for (file, message) in [
        ("text\n".to_owned(), "DIR/os.ks: there is no ostreesetup command"),
        (format!("{setup}\n{setup}"), "DIR/os.ks:3: a second ostreesetup, the first is in line 1"),
        (
            format!("{setup}%include more.ks\n"),
            "DIR/os.ks:2: %include: only flat files can be used, resolve it with `ksflatten -c IN \
             -v VERSION -o OUT`",
        ),
        (
            format!("{setup}%post\n@OSTREE_NAME@\n%end\n"),
            "DIR/os.ks:3: @OSTREE_NAME@ is none of @OSTREE_REF@, @OSTREE_URL@, @OSTREE_OSNAME@, \
             @OSTREE_REMOTE@, @OSTREE_COMMIT@, @OSTREE_VERSION@",
        ),
    ] {
        fs::write(release.path("os.ks"), file).unwrap();
        assert_refused(&release, &[], message);
    }
    fs::remove_file(release.path("os.ks")).unwrap();
    assert_refused(&release, &[], "opening DIR/os.ks: No such file or directory");
}

#[test]
fn values_that_no_image_can_be_made_of_are_refused_with_their_key() {
    let Some(release) = Release::new() else { return };
    for (key, value, message) in [
        (
            "install-url",
            "http://localhost:8000/os/",
            "DIR/compose.conf: [image] install-url: http://localhost:8000/os/ is this machine, \
             which the installer in its guest cannot reach",
        ),
        (
            "ostree-url",
            "http://127.0.0.1/repo/",
            "DIR/compose.conf: [image] ostree-url: http://127.0.0.1/repo/ is this machine, which \
             the installer in its guest cannot reach",
        ),
        (
            "ostree-url",
            "ftp://content.example.org/repo/",
            "DIR/compose.conf: [image] ostree-url: `ftp://content.example.org/repo/` must begin \
             with http://, https:// or file:/// and be a URL",
        ),
        (
            "osname",
            "a\"b",
            "osname: a\\\"b holds a quotation mark, a line break or a control character",
        ),
        (
            "arch",
            "vax",
            "DIR/compose.conf: [image] arch: `vax` is none of i386, x86_64, ppc64, ppc64le, \
             aarch64, armv7l, s390x",
        ),
        (
            "name",
            "a b",
            "name: `a b` must be letters, digits and ._+-, the first a letter or digit",
        ),
        ("name", "{date}", "name: {date} is none of {version}, {commit} and {ref}"),
        (
            "program",
            "image-factory",
            "there is no program `image-factory` on PATH, needed for building an image",
        ),
    ] {
        release.configure(&[(key, value)]);
        assert_refused(&release, &[], message);
    }
    release.configure(&[]);
    let text = fs::read_to_string(release.path("compose.conf")).unwrap();
    fs::write(release.path("compose.conf"), &text[..text.find("[image]").unwrap()]).unwrap();
    assert_refused(&release, &[], "the configuration has no group [image]");
}

#[test]
fn all_problems_are_told_at_once() {
    let Some(release) = Release::new() else { return };
    release.configure(&[("program", "image-factory")]);
    fs::write(release.path("os.ks"), "text\n").unwrap();
    let expected = "there is no program `image-factory` on PATH, needed for building an image; \
        DIR/os.ks: there is no ostreesetup command";
    assert_refused(&release, &[], expected);
}

#[test]
fn compose_check_tells_of_the_image_too() {
    let Some(release) = Release::new() else { return };
    let mut call = release.call(&["--json"]);
    call[1] = "check".into();
    let errors = || {
        let output = release.program("built").run(&call);
        let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let errors = document["errors"].as_array().unwrap().iter();
        errors.map(|error| release.shortened(error.as_str().unwrap())).collect::<Vec<_>>()
    };
    let of_image =
        |errors: &[String]| errors.iter().filter(|error| !error.contains("rpm-ostree")).count();
    let text = fs::read_to_string(release.path("compose.conf")).unwrap();
    assert_eq!(of_image(&errors()), 0, "{:?}", errors());
    fs::write(release.path("os.ks"), "text\n").unwrap();
    fs::write(release.path("images"), "").unwrap();
    fs::write(release.path("compose.conf"), format!("{text}program=image-factory\n")).unwrap();
    let found = errors();
    for expected in [
        "there is no program `image-factory` on PATH, needed for building an image",
        "the output directory DIR/images is no directory",
        "DIR/os.ks: there is no ostreesetup command",
    ] {
        assert!(found.iter().any(|error| error == expected), "{found:?}");
    }
    assert_eq!(of_image(&found), 3, "{found:?}");
    // Without a ref, and with all that can be wrong in the other files.
    let text = text.replace(&format!("ref={REF}\n"), "").replace("tree.json", "none.json");
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("name="))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(release.path("compose.conf"), format!("{text}name=os-{{date}}\n")).unwrap();
    fs::write(release.path("os.ks"), "%include a\n%end\n@OSTREE_FOO@\n").unwrap();
    let found = errors();
    let reported = found.last().unwrap();
    for expected in [
        "DIR/os.ks: there is no ostreesetup command; DIR/os.ks:1: %include: ",
        "; DIR/os.ks:2: %end closes no section; DIR/os.ks:3: @OSTREE_FOO@ is none of ",
        "; name: {date} is none of {version}, {commit} and {ref}",
    ] {
        assert!(reported.contains(expected), "{reported}");
    }
    assert!(!release.was_asked());
}

/// Puts a script on the search path, ahead of the system's programs.
fn script(release: &Release, name: &str, text: &str) {
    let path = release.path("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn checkers_that_are_there_are_asked() {
    let Some(release) = Release::new() else { return };
    script(
        &release,
        "ksvalidator",
        "echo 'The following problem occurred on line 3' >&2; echo 'more' >&2; exit 2",
    );
    let output = release.run("built", &["-q"]);
    let expected = "ksvalidator refuses the file: The following problem occurred on line 3; more";
    release.assert_failed_without_image(output, expected);
    assert!(!release.was_asked());
    release.forget_runs();
    script(
        &release,
        "ksvalidator",
        "echo 'The version F22 is not supported by pykickstart'; exit 1",
    );
    script(&release, "xmllint", "echo 'image.tdl:1: parser error' >&2; exit 1");
    let output = release.run("built", &["-q"]);
    release
        .assert_failed_without_image(output, "xmllint refuses the file: image.tdl:1: parser error");
    release.forget_runs();
    script(&release, "xmllint", "exit 0");
    release.run("built", &["-q"]).success();
    let warnings = release.only_run().1["warnings"].to_string();
    let expected =
        "ksvalidator does not vouch for the file: The version F22 is not supported by pykickstart";
    assert!(warnings.contains(expected), "{warnings}");
}

#[test]
fn the_real_checker_passes_what_a_run_writes() {
    let Some(release) = Release::new() else { return };
    let Some(ksvalidator) = crate::support::ksvalidator() else { return };
    // The script of a virtual environment names its Python, so a link will do.
    std::os::unix::fs::symlink(ksvalidator, release.path("bin/ksvalidator")).unwrap();
    release.run("built", &["-q"]).success();
    assert_eq!(release.images().len(), 2);
}

#[test]
fn without_qemu_img_nothing_is_begun() {
    let Some(release) = Release::new() else { return };
    let program = release.program("built").with("PATH", release.path("bin"));
    let message = program.run(release.call(&["-q"])).failure();
    assert!(
        message.contains("there is no program `qemu-img` on PATH, needed for checking an image"),
        "{message}"
    );
    assert!(!release.was_asked() && !release.path("work").exists());
}

#[test]
fn an_output_directory_that_will_not_do_is_refused_before_an_hour_of_work() {
    let Some(release) = Release::new() else { return };
    release.configure_with_free(1 << 40, &[]);
    let message = release.shortened(&release.run("built", &[]).failure()).replace('\u{a0}', " ");
    let [work, output] = message.split("; ").collect::<Vec<_>>()[..] else { panic!("{message}") };
    for (found, place) in
        [(work, "work directory DIR/work"), (output, "output directory DIR/images")]
    {
        assert!(found.starts_with(&format!("the {place} has ")), "{found}");
        assert!(found.ends_with("B free, needed are 1.2 EB (min-free-mib)"), "{found}");
    }
    assert!(
        !release.was_asked() && !release.path("work").exists() && !release.path("images").exists()
    );
    release.configure(&[("output", "os.ks")]);
    assert_refused(&release, &[], "the output directory DIR/os.ks is no directory");
    release.configure(&[("output", "os.ks/deep")]);
    assert_refused(&release, &[], "the output directory DIR/os.ks/deep is no directory");
    if !crate::support::needs_root() {
        return;
    }
    // Permissions do not stop root; a file system does.
    let read_only = release.path("read-only");
    fs::create_dir(&read_only).unwrap();
    let script = "mount -t tmpfs -o ro none \"$1\" || exit 9; shift; exec \"$@\"";
    release.configure(&[("output", "read-only/images")]);
    let mut unshare = crate::support::Program::other("unshare", "unshare");
    for (name, value) in release.program("built").variables() {
        unshare = unshare.with(name, value);
    }
    let mut call: Vec<std::ffi::OsString> = ["-m", "sh", "-c", script, "sh"].map(Into::into).into();
    call.extend([read_only.into(), osier_path().into()]);
    call.extend(release.call(&["-q"]));
    let output = unshare.run(call);
    if output.status == 9 {
        return skip("cannot mount, so no read-only file system to try");
    }
    let message = release.shortened(&output.failure());
    assert_eq!(message, "DIR/read-only is on a file system that is mounted read-only");
    assert!(!release.was_asked() && !release.path("work").exists());
}
