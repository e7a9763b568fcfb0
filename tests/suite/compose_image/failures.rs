//! Every way in which ImageFactory and its images fail: no file appears, and the message says why.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::release::{Release, qcow2, tool};

/// What a stalled guest usually suffers from.
const CAUSES: &str = "usual causes: the guest cannot reach http://content.example.org/repo/ or the \
    package repository, less than 2048 MiB of memory, a kickstart file that asks a question";

#[test]
fn no_exit_status_and_no_file_is_believed_alone() {
    let Some(release) = Release::new() else { return };
    let unproved = "ImageFactory gave no proof of an image: ";
    let no_line = format!("{unproved}it did not say `Image build completed SUCCESSFULLY!`");
    for (case, message) in [
        (
            "install-failed",
            "ImageFactory failed: Installation failed: no space left in the guest".to_owned(),
        ),
        ("silent", no_line.clone()),
        ("sigint", no_line.clone()),
        ("no-line", no_line),
        ("no-uuid", format!("{unproved}it did not say the UUID of the image")),
        ("no-meta", format!("{unproved}RUN/storage/UUID.meta does not exist")),
        ("meta-new", format!("{unproved}RUN/storage/UUID.meta says BUILDING, not COMPLETE")),
        (
            "meta-junk",
            format!(
                "{unproved}RUN/storage/UUID.meta: EOF while parsing an object at \
            line 1 column 1"
            ),
        ),
        ("no-body", format!("{unproved}RUN/storage/UUID.body does not exist")),
        (
            "elsewhere",
            format!(
                "{unproved}the image should be RUN/storage/UUID.body, it says \
            RUN/storage/UUID.body.other"
            ),
        ),
        ("late", "ImageFactory failed: exit status 1".to_owned()),
        (
            "no-plugin",
            "ImageFactory failed: no plugin of this ImageFactory knows the distribution of the \
             template: 'NoneType' object has no attribute 'create_base_image'"
                .to_owned(),
        ),
        (
            "no-activity",
            format!(
                "ImageFactory failed: No disk activity in 300 seconds, failing.  Check screenshot \
                 at RUN/storage/screenshot.ppm ({CAUSES})"
            ),
        ),
    ] {
        let output = release.run(case, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        release.assert_failed_without_image(output, &message);
        // The end of the log is shown, and where it is.
        let log = release.only_run().0.join("imagefactory.log");
        assert!(stderr.contains(&format!("the end of {}:\n", log.display())), "{case}: {stderr}");
        release.forget_runs();
    }
    let output = release.run("old-python", &[]);
    let message = output.failure();
    assert!(
        message.starts_with(
            "ImageFactory failed: this ImageFactory does not work with its Python \
                (1.1.16 needs a patch"
        ),
        "{message}"
    );
    assert_eq!(release.images(), [""; 0]);
    release.forget_runs();
    // After all of that, the next run works.
    release.run("built", &["-q"]).success();
    assert_eq!(release.images().len(), 2);
}

/// Writes a byte into a file.
fn overwrite(file: &Path, at: u64, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

/// Where a big-endian number of eight bytes in a file points to, without a qcow2's flags.
fn offset_at(file: &Path, at: u64) -> u64 {
    let mut bytes = [0; 8];
    fs::File::open(file).unwrap().read_exact_at(&mut bytes, at).unwrap();
    u64::from_be_bytes(bytes) & 0x00ff_ffff_ffff_fe00
}

fn good(disk: &Path) {
    qcow2(disk, "1G", "2M");
}

fn truncated(disk: &Path) {
    good(disk);
    let length = fs::metadata(disk).unwrap().len();
    fs::OpenOptions::new().write(true).open(disk).unwrap().set_len(length - (1 << 20)).unwrap();
}

fn with_backing_file(disk: &Path) {
    let base = disk.with_extension("base");
    good(&base);
    let (disk, base) = (disk.to_str().unwrap(), base.to_str().unwrap());
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", base, disk]).success();
    tool("qemu-io", &["-c", "write -q -P 1 8M 2M", disk]).success();
}

fn with_data_file(disk: &Path) {
    let options = format!("data_file={}", disk.with_extension("data").display());
    tool(
        "qemu-img",
        &["create", "-q", "-f", "qcow2", "-o", &options, disk.to_str().unwrap(), "1G"],
    )
    .success();
}

/// The first cluster of the disk is not counted as used.
fn wrong_refcount(disk: &Path) {
    good(disk);
    let (l1, refcounts) = (offset_at(disk, 40), offset_at(disk, 48));
    let data = offset_at(disk, offset_at(disk, l1) + 8 * 16);
    let block = offset_at(disk, refcounts);
    overwrite(disk, block + data / 65_536 * 2, &[0, 0]);
}

/// The entry of the first used cluster of the disk is gone, the cluster is not.
fn leaking(disk: &Path) {
    good(disk);
    let l2 = offset_at(disk, offset_at(disk, 40));
    overwrite(disk, l2 + 8 * 16, &[0; 8]);
}

#[test]
fn only_a_sound_image_of_the_right_kind_appears() {
    let Some(release) = Release::new() else { return };
    let refused = "RUN/storage/UUID.body is no image that can be published: ";
    let too_small = |bytes: u64| {
        format!("the disk in it has {bytes} bytes, not the 1073741824 that were asked for")
    };
    let takes = |bytes: u64| {
        format!("it takes {bytes} bytes, and no installed system takes less than 1048576")
    };
    type Make = fn(&Path);
    let bodies: [(&str, Make, Vec<String>); 11] = [
        ("truncated", truncated, vec!["qemu-img check: ".into(), " corruptions: ERROR".into()]),
        (
            "corrupt",
            wrong_refcount,
            vec!["qemu-img check: 2 corruptions: ERROR cluster 5 refcount=0 reference=1".into()],
        ),
        (
            "marked",
            |disk| {
                good(disk);
                overwrite(disk, 72, &[0, 0, 0, 0, 0, 0, 0, 2]);
            },
            vec!["it is marked as corrupt".into()],
        ),
        ("junk", |disk| fs::write(disk, vec![0x21; 2 << 20]).unwrap(), vec![too_small(2 << 20)]),
        (
            "junk of the right size",
            |disk| {
                fs::write(disk, vec![0x21; 2 << 20]).unwrap();
                fs::OpenOptions::new().write(true).open(disk).unwrap().set_len(1 << 30).unwrap();
            },
            vec!["it has no partition table, so it may be any file".into()],
        ),
        ("empty", |disk| fs::write(disk, "").unwrap(), vec![too_small(0), takes(0)]),
        (
            "header only",
            |disk| {
                good(disk);
                fs::OpenOptions::new().write(true).open(disk).unwrap().set_len(80).unwrap();
            },
            vec!["qemu-img info: qemu-img: Could not open ".into()],
        ),
        (
            "another format",
            |disk| {
                tool("qemu-img", &["create", "-q", "-f", "vdi", disk.to_str().unwrap(), "1G"])
                    .success();
                tool("qemu-io", &["-c", "write -q -P 1 0 2M", disk.to_str().unwrap()]).success();
            },
            vec!["its format is vdi, not qcow2 or raw".into()],
        ),
        ("too small a disk", |disk| qcow2(disk, "512M", "2M"), vec![too_small(512 << 20)]),
        ("a backing file", with_backing_file, vec!["a part of it is in another file, ".into()]),
        ("a data file", with_data_file, vec!["a part of it is in another file, ".into()]),
    ];
    for (what, make, words) in bodies {
        release.body_of(make);
        let output = release.run("built", &["-q"]);
        let shown = output.clone();
        let message = release.shortened(&output.failure());
        assert!(message.starts_with(refused), "{what}: {shown:?}");
        for words in &words {
            assert!(message.contains(words), "{what}: {message}");
        }
        release.assert_failed_without_image(shown, &message);
        release.forget_runs();
    }
    // Little is in it, though it is sound.
    release.body_of(|disk| {
        drop(
            tool("qemu-img", &["create", "-q", "-f", "qcow2", disk.to_str().unwrap(), "1G"])
                .success(),
        )
    });
    let message = release.run("built", &["-q"]).failure();
    assert!(message.contains("and no installed system takes less than 1048576"), "{message}");
    release.forget_runs();
    release.configure(&[("format", "raw")]);
    release.body_of(good);
    let message = release.run("built", &["-q"]).failure();
    assert!(message.contains("its format is qcow2, not raw"), "{message}");
    assert_eq!(release.images(), [""; 0]);
}

#[test]
fn an_image_that_only_lost_space_appears_with_a_warning() {
    let Some(release) = Release::new() else { return };
    release.body_of(leaking);
    release.run("built", &["-q"]).success();
    let (_, report) = release.only_run();
    let warnings = report["warnings"].to_string();
    assert!(
        warnings.contains(
            "UUID.body: qemu-img check: 1 leaked clusters"
                .replace("UUID", super::release::UUID)
                .as_str()
        ),
        "{warnings}"
    );
    assert_eq!(release.images().len(), 2);
}

#[test]
fn a_full_output_disk_leaves_the_old_image_and_no_litter() {
    let Some(release) = Release::new() else { return };
    if !super::support::needs_root() {
        return;
    }
    fs::create_dir(release.path("images")).unwrap();
    let words = "writing DIR/images/.exampleos-22.3.qcow2.";
    for compress in ["false", "true"] {
        release.configure(&[("compress", compress)]);
        // Chance does not compress.
        release.body_of(|disk| {
            let random = disk.with_extension("random");
            let mut bytes = vec![0; 4 << 20];
            rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).unwrap();
            fs::write(&random, bytes).unwrap();
            let pattern = format!("write -q -s {} 0 4M", random.display());
            tool("qemu-img", &["create", "-q", "-f", "qcow2", disk.to_str().unwrap(), "1G"])
                .success();
            tool("qemu-io", &["-c", &pattern, disk.to_str().unwrap()]).success();
        });
        // The mount is seen by these processes only, and goes with them.
        let images = release.path("images");
        let script = "mount -t tmpfs -o size=2m none \"$1\" || exit 9
            echo old >\"$1/exampleos-22.3.qcow2\"; shift
            \"$@\"; status=$?
            ls -A \"$IMAGES\" >&2; cat \"$IMAGES/exampleos-22.3.qcow2\" >&2; exit $status";
        let mut call: Vec<std::ffi::OsString> =
            ["-m", "sh", "-c", script, "sh"].map(Into::into).into();
        call.push(images.clone().into());
        call.push(crate::support::osier_path().into());
        call.extend(release.call(&["-q", "--force"]));
        let mut unshare =
            super::support::Program::other("unshare", "unshare").with("IMAGES", &images);
        for (name, value) in release.program("built").variables() {
            unshare = unshare.with(name, value);
        }
        let output = unshare.run(call);
        let stderr = release.shortened(&String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status, 1, "{output:?}");
        assert!(stderr.contains(words) && stderr.contains("No space left on device"), "{stderr}");
        assert!(stderr.ends_with("\nexampleos-22.3.qcow2\nold\n"), "{stderr}");
        let (run, report) = release.only_run();
        assert_eq!((&report["status"], &report["stage"]), (&"failed".into(), &"output".into()));
        assert!(run.join("storage").join(format!("{}.body", super::release::UUID)).is_file());
        release.assert_nothing_public_changed();
        let _ = fs::remove_dir_all(release.path("work"));
    }
}
