//! An ImageFactory and other users that lay traps: special files, links, floods, planted runs. No
//! foreign file is touched, and nothing hangs.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use super::release::{Release, UUID, report_of};

const IMAGE: &str = "exampleos-22.3.qcow2";
const CHECKSUM: &str = "exampleos-22.3-CHECKSUM";

/// Lets shell commands run after the stand-in has built: with `$run` for the directory of the run,
/// `$meta` and `$body` for what the stand-in left, and `$D` for the directory of the release.
fn hook(release: &Release, after: &str) {
    let (program, real) = (release.path("bin/imagefactory"), release.path("bin/real-imagefactory"));
    if !real.exists() {
        fs::rename(&program, &real).unwrap();
    }
    let (real, root) = (real.display(), release.path(""));
    let script = format!(
        "#!/bin/sh
case \"$*\" in *--version*) exec {real} \"$@\";; esac
{real} \"$@\" || exit $?
run=$(dirname \"$TMPDIR\"); D={}
meta=$run/storage/{UUID}.meta; body=$run/storage/{UUID}.body
{after}
exit 0
",
        root.display()
    );
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

fn precious(release: &Release, name: &str) -> PathBuf {
    let path = release.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "precious").unwrap();
    path
}

#[track_caller]
fn assert_precious(path: &Path) {
    assert_eq!(fs::read(path).unwrap(), b"precious", "{}", path.display());
}

/// A process of another program, with that temporary directory.
fn foreign(temporary: &Path) -> Child {
    Command::new("sleep").arg("1000").env("TMPDIR", temporary).spawn().unwrap()
}

#[track_caller]
fn assert_lives(mut process: Child) {
    let is_there = process.try_wait().unwrap().is_none();
    let _ = process.kill();
    let _ = process.wait();
    assert!(is_there, "a foreign process was killed");
}

#[test]
fn what_imagefactory_leaves_is_only_read_if_it_is_regular_and_small() {
    let Some(release) = Release::new() else { return };
    let unproved = "ImageFactory gave no proof of an image: ";
    for (after, message) in [
        ("rm $meta; mkfifo $meta", "RUN/storage/UUID.meta is no regular file".to_owned()),
        ("ln -sf /dev/zero $meta", "RUN/storage/UUID.meta is no regular file".to_owned()),
        (
            "cp $meta $meta.2; ln -sf $meta.2 $meta",
            "RUN/storage/UUID.meta is no regular file".to_owned(),
        ),
        ("truncate -s 100G $meta", "RUN/storage/UUID.meta has more than 8388608 bytes".to_owned()),
        ("rm $body; mkfifo $body", format!("{unproved}RUN/storage/UUID.body is no regular file")),
        ("ln -sf /dev/zero $body", format!("{unproved}RUN/storage/UUID.body is no regular file")),
        (
            "cp $body $body.2; ln -sf $body.2 $body",
            format!("{unproved}RUN/storage/UUID.body is no regular file"),
        ),
    ] {
        hook(&release, after);
        let started = Instant::now();
        let output = release.run("built", &["-q"]);
        assert!(started.elapsed() < Duration::from_secs(60), "{after}");
        release.assert_failed_without_image(output, &message);
        release.forget_runs();
    }
}

#[test]
fn logs_and_reports_of_a_run_are_not_written_through_links() {
    let Some(release) = Release::new() else { return };
    release.configure(&[("compress", "true")]);
    let victim = precious(&release, "victim/file");
    for (after, message) in [
        (
            "ln -s $D/victim/file $run/report.json.new; exit 1",
            Some("ImageFactory failed: exit status 1"),
        ),
        ("ln -s $D/victim/file $run/qemu-img.log", Some("creating RUN/qemu-img.log: File exists")),
        ("mkfifo $run/qemu-img.log", Some("creating RUN/qemu-img.log: File exists")),
        // qemu-img would write through it.
        ("ln -s $D/victim/file $run/converted.qcow2", None),
        ("rm -r $run/images; ln -s $D/victim $run/images", None),
    ] {
        hook(&release, after);
        let output = release.run("built", &["-q"]);
        match message {
            Some(message) => release.assert_failed_without_image(output, message),
            None => drop(output.success()),
        }
        assert_precious(&victim);
        release.forget_runs();
    }
}

/// What was converted is of no use then: the body is kept.
#[test]
fn a_converted_image_that_cannot_be_copied_goes() {
    let Some(release) = Release::new() else { return };
    release.configure(&[("compress", "true")]);
    hook(&release, "mkdir -p $D/images; : > $D/images/exampleos-22.3.qcow2");
    let message = release.run("built", &["-q"]).failure();
    assert!(
        message.ends_with("exampleos-22.3.qcow2 exists already; --force replaces it"),
        "{message}"
    );
    let (run, _) = release.only_run();
    assert!(
        run.join("storage").is_dir()
            && run.join("qemu-img.log").exists()
            && !run.join("converted.qcow2").exists()
    );
}

#[test]
fn a_temporary_directory_that_was_swapped_leads_to_no_foreign_processes_and_files() {
    for swap in [
        "rmdir \"$TMPDIR\"; ln -s \"$D/other\" \"$TMPDIR\"",
        "rmdir \"$TMPDIR\"; mkfifo \"$TMPDIR\"",
    ] {
        for end in ["exit 0", "kill -9 $PPID; exec sleep 1000"] {
            let Some(release) = Release::new() else { return };
            let victim = precious(&release, "other/file");
            hook(&release, &format!("{swap}; {end}"));
            let process = foreign(&release.path("other"));
            let first = release.program("built").run(release.call(&["-q"]));
            assert_eq!(first.status == 0, end == "exit 0", "{first:?}");
            if end != "exit 0" {
                hook(&release, "");
                release.run("built", &["-q"]).success();
            }
            assert_lives(process);
            assert_precious(&victim);
            assert_eq!(release.images(), [CHECKSUM, IMAGE]);
            for run in release.runs() {
                assert!(fs::symlink_metadata(run.join("tmp")).is_err(), "{swap} {end}");
            }
        }
    }
}

/// A killed run that somebody made up: its report names foreign files, its `tmp` leads elsewhere.
#[test]
fn a_planted_run_renames_removes_and_kills_nothing() {
    let Some(release) = Release::new() else { return };
    let (images, victim) = (release.path("images"), precious(&release, "victim/passwd"));
    fs::create_dir(&images).unwrap();
    let process = foreign(&release.path("victim"));
    for file in [
        images.join("x.qcow2"),
        images.join("../victim/passwd"),
        victim.clone(),
        images.join(".."),
        images.join("passwd"),
        images.clone(),
        "victim/passwd".into(),
        "".into(),
    ] {
        let run = release.path("work/20200101T000000Z-0000");
        fs::create_dir_all(&run).unwrap();
        fs::write(run.join("running"), "").unwrap();
        fs::write(run.join(".x.20200101T000000Z-0000-CHECKSUM"), "owned").unwrap();
        fs::write(release.path("victim/.passwd.20200101T000000Z-0000-CHECKSUM"), "owned").unwrap();
        fs::write(images.join(".passwd.20200101T000000Z-0000-CHECKSUM"), "owned").unwrap();
        symlink(release.path("victim"), run.join("tmp")).unwrap();
        let image = json!({
            "file": file.to_str(), "storage": release.path("victim").to_str(), "checksum-file": victim.to_str(),
            "temporary": run.join(".x.20200101T000000Z-0000").to_str(),
        });
        let document = json!({ "stage": "output", "image": image, "cache": { "path": victim.to_str(), "before": [] } });
        fs::write(run.join("report.json"), document.to_string()).unwrap();
        release.run("built", &["-q", "--force"]).success();
        assert_precious(&victim);
        assert!(release.path("victim/.passwd.20200101T000000Z-0000-CHECKSUM").exists());
        assert!(!images.join("passwd").exists() && !release.path("victim-CHECKSUM").exists());
        release.forget_runs();
        fs::create_dir(&images).unwrap();
    }
    assert_lives(process);
    release.assert_nothing_public_changed();
}

#[test]
fn what_lies_under_the_names_of_a_killed_run_is_not_followed() {
    let Some(release) = Release::new() else { return };
    let victim = precious(&release, "victim/file");
    let (images, name) = (release.path("images"), "20200101T000000Z-0000");
    for trap in ["link", "fifo", "directory"] {
        let run = release.path("work").join(name);
        fs::create_dir_all(&run).unwrap();
        fs::create_dir_all(&images).unwrap();
        fs::write(run.join("running"), "").unwrap();
        let document =
            json!({ "stage": "output", "image": { "file": images.join(IMAGE).to_str() } });
        fs::write(run.join("report.json"), document.to_string()).unwrap();
        for half in [format!(".{IMAGE}.{name}"), format!(".{IMAGE}.{name}-CHECKSUM")] {
            let half = images.join(half);
            match trap {
                "link" => symlink(&victim, half).unwrap(),
                "fifo" => fifo(&half),
                _ => fs::create_dir(half).unwrap(),
            }
        }
        let output = release.run("built", &["-q"]);
        if trap == "directory" {
            let message = release.shortened(&output.failure());
            assert_eq!(
                message,
                format!("removing DIR/images/.{IMAGE}.{name}-CHECKSUM: Is a directory")
            );
        } else {
            output.success();
            assert_eq!(
                (release.images(), report_of(&run)["error"].as_str()),
                (vec![CHECKSUM.into(), IMAGE.into()], Some("killed"))
            );
        }
        assert_precious(&victim);
        release.forget_runs();
    }
}

#[test]
fn links_and_special_files_in_the_output_directory_are_not_written_through() {
    let Some(release) = Release::new() else { return };
    let (images, victim) = (release.path("images"), precious(&release, "victim/file"));
    for taken in [IMAGE, CHECKSUM] {
        for link in [true, false] {
            // Put there while ImageFactory runs, so that the check before it has seen nothing.
            let put = if link { "ln -s $D/victim/file" } else { "mkfifo" };
            hook(&release, &format!("mkdir -p $D/images; {put} $D/images/{taken}"));
            let message = release.run("built", &["-q"]).failure();
            assert_eq!(
                message,
                format!("{} exists already; --force replaces it", images.join(taken).display())
            );
            assert_precious(&victim);
            assert_eq!(release.images(), [taken]);
            release.forget_runs();
            // What is replaced is the name.
            release.run("built", &["-q", "--force"]).success();
            assert_precious(&victim);
            assert_eq!(release.images(), [CHECKSUM, IMAGE]);
            let is_regular =
                |name: &str| fs::symlink_metadata(images.join(name)).unwrap().is_file();
            assert!(is_regular(IMAGE) && is_regular(CHECKSUM));
            release.forget_runs();
        }
    }
}

/// `images` becomes a link to another directory after the image was begun: what was opened first
/// gets the image.
#[test]
fn an_output_directory_that_is_swapped_while_the_image_is_copied_leads_to_no_other() {
    let Some(release) = Release::new() else { return };
    // Long enough to be looked at.
    release.configure(&[("format", "raw"), ("disk-gib", "8")]);
    release.body_of(|disk| {
        let file = fs::File::create(disk).unwrap();
        file.set_len(8 << 30).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, &[0x5a; 2 << 20], 1 << 20).unwrap();
        std::os::unix::fs::FileExt::write_at(&file, &[0x55, 0xaa], 510).unwrap();
    });
    let victim = precious(&release, "victim/file");
    let (images, moved) = (release.path("images"), release.path("moved"));
    let program = release.program("built");
    let mut child = program.start(release.call(&["-q"]));
    let started = Instant::now();
    let has_begun = || fs::read_dir(&images).is_ok_and(|mut entries| entries.next().is_some());
    while !has_begun() {
        assert!(started.elapsed() < Duration::from_secs(60) && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(2));
    }
    fs::rename(&images, &moved).unwrap();
    symlink(release.path("victim"), &images).unwrap();
    assert!(child.wait().unwrap().success());
    let names = |directory: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&moved), [CHECKSUM, "exampleos-22.3.raw"]);
    assert_eq!(names(&release.path("victim")), ["file"]);
    assert_precious(&victim);
}
