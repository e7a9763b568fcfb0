//! Images that are built.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::release::{REF, Release, UUID, VERSION, qcow2, report_of, tool};

#[test]
fn a_published_commit_becomes_a_checked_and_compressed_image() {
    let Some(release) = Release::new() else { return };
    // As a configuration without these keys has it: 64 MiB at least are no empty disk.
    release.configure(&[
        ("min-size-mib", ""),
        ("compress", "true"),
        ("memory-mib", ""),
        ("timeout", "2h"),
    ]);
    release.body_of(|disk| qcow2(disk, "1G", "70M"));
    let commit = release.commit();
    let report: serde_json::Value =
        serde_json::from_str(&release.run("built", &["--json"]).success()).unwrap();

    assert_eq!(release.images(), ["exampleos-22.3-CHECKSUM", "exampleos-22.3.qcow2"]);
    let image = release.path("images/exampleos-22.3.qcow2");
    let metadata = fs::metadata(&image).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o644);
    let sums = tool("sha256sum", &[image.to_str().unwrap()]).line();
    let sha256 = &sums[..64];
    let expected = format!(
        "# exampleos-22.3.qcow2: {} bytes\nSHA256 (exampleos-22.3.qcow2) = {sha256}\n",
        metadata.len()
    );
    assert_eq!(
        fs::read_to_string(release.path("images/exampleos-22.3-CHECKSUM")).unwrap(),
        expected
    );
    let check = super::support::Program::other("sha256sum", "sha256sum")
        .in_directory(release.path("images"));
    check.run(["-c", "exampleos-22.3-CHECKSUM"]).success();
    tool("qemu-img", &["check", image.to_str().unwrap()]).success();
    tool("qemu-img", &["compare", image.to_str().unwrap(), release.path("body").to_str().unwrap()])
        .success();
    assert!(metadata.len() < 10 << 20, "{} bytes are not compressed", metadata.len());

    let (run, written) = release.only_run();
    assert_eq!(report, written);
    assert_eq!(
        (&report["status"], &report["stage"], &report["error"]),
        (&json!("built"), &json!("done"), &json!(null))
    );
    let expected = json!({
        "file": image.to_str().unwrap(), "format": "qcow2", "size": metadata.len(), "virtual_size": 1 << 30,
        "sha256": sha256, "commit": commit, "ref": REF,
    });
    assert_eq!(report["image"], expected);
    assert_eq!(
        (&report["commit"], &report["ref"], &report["version"]),
        (&json!(commit), &json!(REF), &json!(VERSION))
    );
    assert_eq!(report["programs"]["imagefactory"], "1.1.16-stand-in");
    assert!(
        report["programs"]["qemu-img"].as_str().unwrap().starts_with(|c: char| c.is_ascii_digit())
    );
    let warnings = report["warnings"].as_array().unwrap();
    let expected = "http://content.example.org/repo/ was not asked which commit it serves: ";
    assert!(
        warnings.len() == 1 && warnings[0].as_str().unwrap().starts_with(expected),
        "{warnings:?}"
    );
    let programs: Vec<_> =
        report["commands"].as_array().unwrap().iter().map(|command| &command["log"]).collect();
    assert_eq!(programs, ["imagefactory.log", "qemu-img.log"]);
    for gone in ["storage", "images", "tmp", "running"] {
        assert!(!run.join(gone).exists(), "{gone}");
    }
    release.assert_nothing_public_changed();
}

#[test]
fn imagefactory_gets_exactly_what_it_needs() {
    let Some(release) = Release::new() else { return };
    let said = release.run("built", &[]).success();
    let (run, report) = release.only_run();
    let at = |name: &str| run.join(name).to_str().unwrap().to_owned();
    let record = release.record();
    let overrides = r#"{"libvirt":{"memory":2048,"cpus":2,"image_type":"qcow2"}}"#;
    let words = |words: &[&str]| json!(words);
    let arguments = [
        "--config",
        &at("imagefactory.conf"),
        "--timeout",
        "60",
        "--output",
        "log",
        "--debug",
        "base_image",
        "--file-parameter",
        "install_script",
        &at("image.ks"),
        "--parameter",
        "generate_icicle",
        "false",
        "--parameter",
        "oz_overrides",
        overrides,
        &at("image.tdl"),
    ];
    assert_eq!(json!(record["argv"].as_array().unwrap()[1..]), words(&arguments));
    assert_eq!(json!(report["commands"][0]["argv"].as_array().unwrap()[1..]), words(&arguments));
    assert_eq!(
        (&record["env"]["LC_ALL"], &record["env"]["TMPDIR"]),
        (&json!("C.UTF-8"), &json!(at("tmp")))
    );
    assert_eq!(record["env"]["HOME"], "/nonexistent");

    let kickstart = "\
text
bootloader --timeout=1
ostreesetup --nogpg --osname=exampleos --remote=old --url=http://content.example.org/repo/ --ref=exampleos/22/x86_64/host
clearpart --all --initlabel
part / --fstype=ext4 --size=3000 --grow
reboot
%post
echo exampleos/22/x86_64/host 22.3
%end
";
    assert_eq!(record["files"], json!({ "install_script": kickstart }));
    let template = "\
<template>
  <name>exampleos-22.3</name>
  <os>
    <name>Fedora</name>
    <version>22</version>
    <arch>x86_64</arch>
    <install type=\"url\"><url>http://packages.example.org/22/x86_64/os/</url></install>
  </os>
  <description>exampleos/22/x86_64/host 22.3</description>
  <disk><size>1</size></disk>
</template>
";
    assert_eq!(record["template"], template);
    let configuration: serde_json::Value =
        serde_json::from_slice(&fs::read(run.join("imagefactory.conf")).unwrap()).unwrap();
    let expected = json!({
        "imgdir": at("images"), "tmpdir": at("images"), "image_manager": "file",
        "image_manager_args": { "storage_path": at("storage") }, "tdl_require_root_pw": 0, "jeos_config": [],
        "max_concurrent_local_sessions": 1, "timeout": 60, "rhevm_image_format": "qcow2",
        "openstack_image_format": "qcow2", "clients": {},
    });
    assert_eq!(configuration, expected);
    let image = release.path("images/exampleos-22.3.qcow2");
    let sum = tool("sha256sum", &[image.to_str().unwrap()]).line();
    let expected =
        format!("{}: {REF} {} (22.3)\nsha256 {}\n", image.display(), release.commit(), &sum[..64]);
    assert_eq!(said, expected);
    assert!(fs::read(image).unwrap() == fs::read(release.path("body")).unwrap());
}

#[test]
fn a_raw_body_is_converted_or_copied_as_the_configuration_wants() {
    let Some(release) = Release::new() else { return };
    release.body_of(|disk| {
        qcow2(&disk.with_extension("qcow2"), "1G", "2M");
        let (from, to) = (disk.with_extension("qcow2"), disk.to_str().unwrap());
        tool("qemu-img", &["convert", "-O", "raw", from.to_str().unwrap(), to]).success();
        tool(
            "qemu-io",
            &["-f", "raw", "-c", "write -q -P 0x55 510 1", "-c", "write -q -P 0xaa 511 1", to],
        )
        .success();
    });
    let output = release.run("built", &["-q"]);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    output.success();
    assert!(
        stderr.contains("warning: ImageFactory made a raw disk, not qcow2; it is converted\n"),
        "{stderr}"
    );
    let image = release.path("images/exampleos-22.3.qcow2");
    tool("qemu-img", &["check", "-f", "qcow2", image.to_str().unwrap()]).success();
    let body = release.path("body");
    tool("qemu-img", &["compare", "-F", "raw", image.to_str().unwrap(), body.to_str().unwrap()])
        .success();

    release.configure(&[("format", "raw"), ("name", "disk")]);
    release.run("built", &["-q"]).success();
    let image = release.path("images/disk.raw");
    let metadata = fs::metadata(&image).unwrap();
    assert_eq!(metadata.len(), 1 << 30);
    assert!(metadata.blocks() * 512 < 8 << 20, "{} blocks: the holes are gone", metadata.blocks());
    tool(
        "qemu-img",
        &["compare", "-f", "raw", "-F", "raw", image.to_str().unwrap(), body.to_str().unwrap()],
    )
    .success();
}

#[test]
fn an_image_of_that_name_stays_unless_force_says_otherwise() {
    let Some(release) = Release::new() else { return };
    release.run("built", &[]).success();
    let image = release.path("images/exampleos-22.3.qcow2");
    let checksum = release.path("images/exampleos-22.3-CHECKSUM");
    let old = (fs::read(&image).unwrap(), fs::read(&checksum).unwrap());
    fs::remove_file(release.path("record")).unwrap();
    release.body_of(|disk| qcow2(disk, "1G", "3M"));
    let message = release.run("built", &[]).failure();
    assert_eq!(
        release.shortened(&message),
        "DIR/images/exampleos-22.3.qcow2 exists already; --force replaces it"
    );
    assert!(!release.was_asked());
    assert!((fs::read(&image).unwrap(), fs::read(&checksum).unwrap()) == old);
    fs::rename(&image, release.path("kept")).unwrap();
    let message = release.run("built", &[]).failure();
    assert_eq!(
        release.shortened(&message),
        "DIR/images/exampleos-22.3-CHECKSUM has exampleos-22.3.qcow2 already; --force replaces it"
    );
    fs::rename(release.path("kept"), &image).unwrap();
    release.run("built", &["--force"]).success();
    assert!(fs::read(&image).unwrap() == fs::read(release.path("body")).unwrap());
    let check = super::support::Program::other("sha256sum", "sha256sum")
        .in_directory(release.path("images"));
    check.run(["-c", "exampleos-22.3-CHECKSUM"]).success();
    assert_eq!(release.images().len(), 2);
}

#[test]
fn a_dry_run_says_what_would_be_run_and_writes_nothing() {
    let Some(release) = Release::new() else { return };
    release.configure(&[("compress", "true"), ("output", "my images")]);
    let before: Vec<_> =
        fs::read_dir(release.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let said = release.program("built").run(release.call(&["--dry-run"])).success();
    let lines: Vec<String> = said.lines().map(|line| release.shortened(line)).collect();
    let overrides = r#"'{"libvirt":{"memory":2048,"cpus":2,"image_type":"qcow2"}}'"#;
    let (run, body) = ("DIR/work/RUN", "DIR/work/RUN/storage/UUID.body");
    let temporary = "DIR/work/RUN/converted.qcow2";
    let mut expected = vec![
        format!(
            "env LC_ALL=C.UTF-8 TMPDIR={run}/tmp imagefactory --config {run}/imagefactory.conf \
             --timeout 60 --output log --debug base_image --file-parameter install_script \
             {run}/image.ks --parameter generate_icicle false --parameter oz_overrides {overrides} \
             {run}/image.tdl"
        ),
        format!("env LC_ALL=C.UTF-8 qemu-img info --output=json {body}"),
        format!("env LC_ALL=C.UTF-8 qemu-img check --output=json {body}"),
        format!(
            "env LC_ALL=C.UTF-8 TMPDIR={run}/tmp qemu-img convert -f qcow2 -O qcow2 -c {body} \
             {temporary}"
        ),
        format!("env LC_ALL=C.UTF-8 qemu-img info --output=json {temporary}"),
        format!("env LC_ALL=C.UTF-8 qemu-img check --output=json {temporary}"),
    ];
    // Checkers are only there when the machine has them.
    let (checks, rest): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .partition(|line| line.contains(" ksvalidator ") || line.contains(" xmllint "));
    assert_eq!(rest, expected);
    for check in checks {
        let ends = [" -v F22 DIR/work/RUN/image.ks", " DIR/work/RUN/image.tdl"];
        assert!(ends.iter().any(|end| check.ends_with(end)), "{check}");
    }
    let after: Vec<_> =
        fs::read_dir(release.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(before, after);
    assert!(!release.was_asked());

    let preview = release.path("preview");
    let option = format!("--preview={}", preview.display());
    let said =
        release.program("built").run(release.call(&["--dry-run", "--json", &option])).success();
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(
        (&report["status"], &report["commit"]),
        (&json!("dry-run"), &json!(release.commit()))
    );
    let given = report["command_lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap().to_owned());
    let given: Vec<_> = given
        .filter(|line| line.contains(" imagefactory ") || line.contains(" qemu-img "))
        .collect();
    expected
        .iter_mut()
        .zip(&given)
        .for_each(|(expected, given)| assert_eq!(*expected, release.shortened(given)));
    assert_eq!(given.len(), 6);
    let written =
        ["image.ks", "image.tdl"].map(|name| preview.join(name).to_str().unwrap().to_owned());
    assert_eq!(report["preview"], json!(written));
    let kickstart = fs::read_to_string(&written[0]).unwrap();
    assert!(
        kickstart.contains(&format!("--url=http://content.example.org/repo/ --ref={REF}\n")),
        "{kickstart}"
    );
    // Without the programs it is said what they are needed for, and the plan is shown all the same.
    fs::remove_file(release.path("bin/imagefactory")).unwrap();
    let output = release.program("built").run(release.call(&["--dry-run"]));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.success().contains("\nenv LC_ALL=C.UTF-8 qemu-img check "));
    assert!(
        stderr.contains("there is no program `imagefactory` on PATH, needed for building an image"),
        "{stderr}"
    );
    let message = release.program("built").run(release.call(&["--preview=x"])).failure();
    assert_eq!(message, "--preview=DIR needs --dry-run");
}

#[test]
fn a_megabyte_of_log_is_no_trouble() {
    let Some(release) = Release::new() else { return };
    release.run("loud", &["-q"]).success();
    let (run, _) = release.only_run();
    assert!(fs::metadata(run.join("imagefactory.log")).unwrap().len() > 2_000_000);
    assert_eq!(release.images().len(), 2);
}

#[test]
fn the_ref_and_the_commit_may_stand_in_the_name() {
    let Some(release) = Release::new() else { return };
    release.configure(&[("name", "{ref}-{commit}")]);
    release.run("built", &["-q", "--commit", REF]).success();
    let name = format!("exampleos-22-x86_64-host-{}", release.commit());
    assert_eq!(release.images(), [format!("{name}-CHECKSUM"), format!("{name}.qcow2")]);
    assert_eq!(report_of(&release.runs()[0])["image"]["commit"], json!(release.commit()));
    assert!(!release.path("work").join(UUID).exists());
}

#[test]
fn images_of_one_name_share_a_checksum_file_that_holds_for_both() {
    let Some(release) = Release::new() else { return };
    let checked = || {
        let check = super::support::Program::other("sha256sum", "sha256sum")
            .in_directory(release.path("images"));
        check.run(["-c", "exampleos-22.3-CHECKSUM"]).success()
    };
    release.run("built", &["-q"]).success();
    release.configure(&[("format", "raw")]);
    release.body_of(|disk| {
        let disk = disk.to_str().unwrap();
        tool("qemu-img", &["create", "-q", "-f", "raw", disk, "1G"]).success();
        let script = [
            "-c",
            "write -q -P 1 1M 2M",
            "-c",
            "write -q -P 0x55 510 1",
            "-c",
            "write -q -P 0xaa 511 1",
        ];
        tool("qemu-io", &[&["-f", "raw"], &script[..], &[disk]].concat()).success();
    });
    release.run("built", &["-q"]).success();
    let names = ["exampleos-22.3-CHECKSUM", "exampleos-22.3.qcow2", "exampleos-22.3.raw"];
    assert_eq!(release.images(), names);
    assert_eq!(checked(), "exampleos-22.3.qcow2: OK\nexampleos-22.3.raw: OK\n");
    release.configure(&[]);
    release.body_of(|disk| qcow2(disk, "1G", "3M"));
    release.run("built", &["-q", "--force"]).success();
    assert_eq!(release.images(), names);
    assert_eq!(checked(), "exampleos-22.3.raw: OK\nexampleos-22.3.qcow2: OK\n");
    // One that somebody has signed is not added to.
    let signed = "-----BEGIN PGP SIGNED MESSAGE-----\n";
    fs::write(release.path("images/exampleos-22.3-CHECKSUM"), signed).unwrap();
    fs::remove_file(release.path("images/exampleos-22.3.qcow2")).unwrap();
    let message = release.run("built", &["-q"]).failure();
    assert_eq!(
        release.shortened(&message),
        "DIR/images/exampleos-22.3-CHECKSUM exists already; --force replaces it"
    );
    assert_eq!(fs::read_to_string(release.path("images/exampleos-22.3-CHECKSUM")).unwrap(), signed);
}
