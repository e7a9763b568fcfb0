//! Kickstart files and templates from a generator, held against the programs that read them in
//! earnest.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use osier::Checksum;
use osier::compose::kickstart::{self, Setup, Values};
use osier::compose::tdl::{Arch, Distribution, Template, check_install_url};
use osier::refspec::RefName;

use super::support::{Program, ksvalidator, program, scratch, template_schema};

/// Generated files of each kind.
const COUNT: usize = 120;
/// Of so many kickstart files, one is also read back.
const READ_BACK: usize = 6;

/// Numbers that look like chance and are the same in every run (splitmix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn chance(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// A file as a release engineer might write it, in the syntax of every version since Fedora 22.
fn kickstart_file(numbers: &mut Numbers) -> Vec<u8> {
    let end = numbers.pick(&["\n", "\n", "\n", "\r\n"]);
    let mut file = String::new();
    let mut line = |text: &str| {
        let _ = write!(file, "{text}{end}");
    };
    line("# ostreesetup --osname=x --url=http://comment --ref=y");
    for command in [
        "text",
        "lang en_US.UTF-8",
        "keyboard us",
        "timezone --utc Etc/UTC # here",
        "rootpw --lock --iscrypted locked",
    ] {
        if numbers.chance() {
            line(command);
        }
    }
    line(numbers.pick(&[
        "bootloader --timeout=1 --append=\"no_timer_check console=tty1\"",
        "bootloader",
        "zerombr",
    ]));
    line("");
    let mut options = vec![
        option(numbers, "osname", "exampleos"),
        option(numbers, "url", "http://old.example.org/repo/"),
        option(numbers, "ref", "exampleos/old/x86_64/host"),
    ];
    if numbers.chance() {
        options.push(option(numbers, "remote", "old-remote"));
    }
    if numbers.chance() {
        options.push("--nogpg".to_owned());
    }
    for last in (1..options.len()).rev() {
        options.swap(last, numbers.below(last + 1));
    }
    let blank = numbers.pick(&[" ", "  ", "\t"]);
    let comment = numbers.pick(&["", " # the tree", "#the tree 'x"]);
    line(&format!(
        "{}ostreesetup{blank}{}{comment}",
        numbers.pick(&["", "  "]),
        options.join(blank)
    ));
    line("");
    for command in [
        "clearpart --all --initlabel",
        "part / --fstype=ext4 --size=3000 --grow",
        "reboot",
        "selinux --enforcing",
    ] {
        if numbers.chance() {
            line(command);
        }
    }
    if numbers.chance() {
        line("%packages");
        line("@core");
        line("%end");
    }
    if numbers.chance() {
        line("%post --erroronfail");
        line("ostree admin set-origin --index=0 @OSTREE_REMOTE@ @OSTREE_URL@ '@OSTREE_REF@'");
        line("echo \"@OSTREE_COMMIT@ @OSTREE_VERSION@\" >/etc/tree; ostreesetup --url=x");
        line("  %end");
    }
    file.into_bytes()
}

fn option(numbers: &mut Numbers, name: &str, value: &str) -> String {
    let (equals, quote) = (numbers.pick(&["=", " "]), numbers.pick(&["", "\"", "'"]));
    format!("--{name}{equals}{quote}{value}{quote}")
}

#[test]
fn generated_kickstart_files_are_valid_and_say_what_they_should() {
    let Some(ksvalidator) = ksvalidator() else { return };
    let ksflatten = ksvalidator.with_file_name("ksflatten");
    let directory = scratch();
    let mut numbers = Numbers(1);
    let commit = Checksum::from_bytes([0x5a; 32]);
    let mut cases = Vec::new();
    for index in 0..COUNT {
        let reference = numbers.pick(&[
            "exampleos/22/x86_64/host",
            "a",
            "exampleos/38/aarch64/very-long_name.1/x",
        ]);
        let reference = RefName::parse(reference).unwrap();
        let values = Values {
            url: numbers.pick(&[
                "http://content.example.org/repo/",
                "https://c.example.org/r?a=b&c=d#e",
                "file:///r",
            ]),
            reference: &reference,
            osname: numbers.pick(&[
                None,
                Some("exampleos"),
                Some("with blank"),
                Some("o'dd #$x\\y\\\\"),
                Some("ä"),
            ]),
            remote: numbers.pick(&[None, Some("exampleos"), Some("a b")]),
            nogpg: numbers.pick(&[None, Some(true), Some(false)]),
            commit: &commit,
            version: Some("22.3"),
        };
        let path = directory.path().join(format!("{index}.ks"));
        let result = kickstart::rewrite(&path, &kickstart_file(&mut numbers), &values).unwrap();
        fs::write(&path, &result.bytes).unwrap();
        let version = numbers.pick(&VERSIONS);
        cases.push((path, version, result.setup));
    }
    for version in VERSIONS {
        let files: Vec<&Path> = cases
            .iter()
            .filter(|(_, other, _)| *other == version)
            .map(|(path, ..)| path.as_path())
            .collect();
        assert!(files.len() > 5, "{version}");
        validate(&ksvalidator, &files, version).unwrap_or_else(|message| panic!("{message}"));
    }
    for (path, version, setup) in cases.iter().step_by(READ_BACK) {
        read_back(&ksflatten, path, version, setup);
    }
    assert_eq!(cases.len(), COUNT);
}

/// Versions of the syntax, of which each file is checked with one.
const VERSIONS: [&str; 6] = ["F22", "F28", "F38", "F43", "RHEL7", "RHEL9"];

/// Lets ksvalidator check files; its exit status is the number of errors.
fn validate(ksvalidator: &Path, files: &[&Path], version: &str) -> Result<(), String> {
    let mut arguments = vec![OsString::from("-v"), version.into()];
    arguments.extend(files.iter().map(OsString::from));
    let output = Program::other(ksvalidator, "ksvalidator").run(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let checked = said.lines().filter(|line| line.starts_with("Checking kickstart file ")).count();
    if output.status == 0 && checked == files.len() {
        Ok(())
    } else {
        Err(format!("{version}: {output:?}"))
    }
}

/// What the installer's own parser makes of the file must be what osier thinks it says.
fn read_back(ksflatten: &Path, file: &Path, version: &str, setup: &Setup) {
    let arguments = [OsString::from("-v"), version.into(), "-c".into(), file.into()];
    let flat = Program::other(ksflatten, "ksflatten").run(arguments).success();
    let Setup { url, reference, osname, remote, nogpg } = setup;
    let remote = remote.as_ref().unwrap_or(osname);
    let nogpg = if *nogpg { " --nogpg" } else { "" };
    let expected = format!(
        "ostreesetup --osname=\"{osname}\" --remote=\"{remote}\" --url=\"{url}\" \
         --ref=\"{reference}\"{nogpg}"
    );
    let found = flat.lines().find(|line| line.starts_with("ostreesetup"));
    assert_eq!(found, Some(expected.as_str()), "{}", file.display());
}

#[test]
fn a_broken_kickstart_file_does_not_pass_the_checker() {
    let Some(ksvalidator) = ksvalidator() else { return };
    let directory = scratch();
    let file = directory.path().join("x.ks");
    fs::write(&file, "ostreesetup --osname=o --ref=r\n").unwrap();
    assert!(validate(&ksvalidator, &[&file], "F38").is_err());
}

/// What a template is made of.
struct Parts {
    name: String,
    distribution: Distribution,
    arch: Arch,
    install_url: String,
    description: String,
    disk_gib: u64,
}

impl Parts {
    fn generated(numbers: &mut Numbers) -> Self {
        let distributions =
            ["Fedora 22", "Fedora rawhide", "RHEL 7.4", "CentOS-7.9", "RHEL-9 2", "Fedora 42"];
        let arches =
            ["i386", "x86_64", "ppc64", "ppc64le", "aarch64", "armv7l", "s390x", "armhfp", "i686"];
        let texts = [
            "plain",
            "a & b <c> \"d\" 'e'",
            "]]> & &amp; <!--",
            "ü – 漢字",
            "exampleos/22/x86_64/host 22.3",
        ];
        let urls = [
            "http://p.example.org/os/",
            "https://p.example.org/?a=1&b=<2>",
            "ftp://p.example.org/'x'\"y\"",
        ];
        Self {
            name: format!("exampleos-{}", numbers.below(100)),
            distribution: Distribution::parse(numbers.pick(&distributions)).unwrap(),
            arch: Arch::parse(numbers.pick(&arches)).unwrap(),
            install_url: numbers.pick(&urls).to_owned(),
            description: numbers.pick(&texts).to_owned(),
            disk_gib: 1 + numbers.next() % 65_536,
        }
    }

    fn xml(&self) -> String {
        let Self { name, distribution, arch, install_url, description, disk_gib } = self;
        check_install_url(install_url).unwrap();
        let template = Template {
            name,
            distribution,
            arch: *arch,
            install_url,
            description,
            disk_gib: *disk_gib,
        };
        template.to_xml().unwrap()
    }
}

#[test]
fn generated_templates_fit_the_schema_of_oz() {
    let Some(schema) = template_schema() else { return };
    let Some(xmllint) = program("xmllint") else { return };
    let directory = scratch();
    let mut numbers = Numbers(2);
    let mut arguments = vec![OsString::from("--noout"), "--relaxng".into(), schema.into()];
    for index in 0..COUNT {
        let path = directory.path().join(format!("{index}.tdl"));
        let xml = Parts::generated(&mut numbers).xml();
        assert!(!xml.contains("<?xml"), "{xml}");
        fs::write(&path, xml).unwrap();
        arguments.push(path.into());
    }
    let output = xmllint.run(&arguments);
    assert_eq!(output.status, 0, "{output:?}");
    let valid = String::from_utf8_lossy(&output.stderr)
        .lines()
        .filter(|line| line.ends_with(" validates"))
        .count();
    assert_eq!(valid, COUNT);
    // The check can fail.
    let path = directory.path().join("wrong.tdl");
    fs::write(&path, Parts::generated(&mut numbers).xml().replace("<disk><size>", "<disk><size>x"))
        .unwrap();
    arguments.truncate(3);
    arguments.push(path.into());
    assert_ne!(xmllint.run(&arguments).status, 0);
}

#[test]
fn a_template_says_what_it_should() {
    let Some(xmllint) = program("xmllint") else { return };
    let directory = scratch();
    let path = directory.path().join("x.tdl");
    let mut numbers = Numbers(3);
    for _ in 0..20 {
        let parts = Parts::generated(&mut numbers);
        fs::write(&path, parts.xml()).unwrap();
        let read = |xpath: &str| {
            let arguments =
                [OsString::from("--xpath"), format!("string({xpath})").into(), path.clone().into()];
            xmllint.run(arguments).line()
        };
        assert_eq!(read("/template/description"), parts.description);
        assert_eq!(read("/template/os/arch"), parts.arch.as_str());
        assert_eq!(read("/template/os/install/url"), parts.install_url);
        assert_eq!(read("/template/disk/size"), parts.disk_gib.to_string());
    }
}
