//! Rewriting whole files.

use proptest::prelude::*;

use super::*;

const FILE: &str = "\
# ostreesetup --osname=a --url=http://old/repo --ref=old/ref
text
%pre
ostreesetup --osname=pre --url=http://pre --ref=pre
%end
ostreesetup --osname=\"os\" --remote=rem --url=\"http://old/repo/\" --ref=old/ref --nogpg  # the tree
%packages
ostreesetup
%end
%post --erroronfail
ostree remote add x http://old/repo
echo @OSTREE_REF@ @OSTREE_URL@ @OSTREE_OSNAME@ @OSTREE_REMOTE@ @OSTREE_COMMIT@ @OSTREE_VERSION@
ostree refs --create old/ref2
ostree admin set-origin --index=0 rem http://new/ rem:old/ref
%end
reboot\n";

struct Given {
    reference: RefName,
    commit: Checksum,
}

impl Given {
    fn new() -> Self {
        Self {
            reference: RefName::parse("new/x86_64/ref").unwrap(),
            commit: Checksum::from_bytes([0xab; 32]),
        }
    }

    fn values(&self) -> Values<'_> {
        Values {
            url: "http://new/repo/",
            reference: &self.reference,
            osname: None,
            remote: None,
            nogpg: None,
            commit: &self.commit,
            version: Some("22.3"),
        }
    }
}

fn rewritten(file: &str, change: impl Fn(&mut Values<'_>)) -> Result<Rewritten, String> {
    let given = Given::new();
    let mut values = given.values();
    change(&mut values);
    rewrite(Path::new("a/x.ks"), file.as_bytes(), &values).map_err(|error| error.chain())
}

fn message(file: &str) -> String {
    rewritten(file, |_| {}).unwrap_err()
}

#[test]
fn the_command_is_rewritten_and_nothing_else() {
    let result = rewritten(FILE, |_| {}).unwrap();
    let expected = FILE
        .replace(
            "--url=\"http://old/repo/\" --ref=old/ref --nogpg",
            "--url=http://new/repo/ --ref=new/x86_64/ref --nogpg",
        )
        .replace("@OSTREE_REF@ @OSTREE_URL@", "new/x86_64/ref http://new/repo/")
        .replace("@OSTREE_OSNAME@ @OSTREE_REMOTE@", "os rem")
        .replace("@OSTREE_COMMIT@ @OSTREE_VERSION@", &format!("{} 22.3", "ab".repeat(32)));
    assert_eq!(String::from_utf8(result.bytes).unwrap(), expected);
    let setup = Setup {
        url: "http://new/repo/".into(),
        reference: "new/x86_64/ref".into(),
        osname: "os".into(),
        remote: Some("rem".into()),
        nogpg: true,
    };
    assert_eq!(result.setup, setup);
    assert_eq!(
        result.warnings,
        [
            "a/x.ks:11: the script still has the old URL http://old/repo",
            "a/x.ks:14: the script still has the old ref old/ref",
        ]
    );
}

#[test]
fn values_of_the_configuration_go_before_those_of_the_file() {
    let change = |values: &mut Values<'_>| {
        values.osname = Some("exampleos");
        values.remote = Some("with blank");
        values.nogpg = Some(false);
    };
    let file = "ostreesetup --osname=o --url=http://a --ref=r --nogpg\n%post\n\
        @OSTREE_OSNAME@/@OSTREE_REMOTE@\n%end\n";
    let result = rewritten(file, change).unwrap();
    let expected = "ostreesetup --osname=exampleos --url=http://new/repo/ --ref=new/x86_64/ref \
        --remote=\"with blank\"\n%post\nexampleos/with blank\n%end\n";
    assert_eq!(String::from_utf8(result.bytes).unwrap(), expected);
}

#[test]
fn a_template_of_nothing_but_tokens_is_filled() {
    let file = "ostreesetup --osname=x --url=@OSTREE_URL@ --ref=@OSTREE_REF@ # @OSTREE_REMOTE@\n\
        %post\nold/ref\n%end\n";
    let result = rewritten(file, |_| {}).unwrap();
    let expected = "ostreesetup --osname=x --url=http://new/repo/ --ref=new/x86_64/ref # x\n%post\n\
        old/ref\n%end\n";
    assert_eq!((result.bytes.as_slice(), result.warnings), (expected.as_bytes(), Vec::new()));
    let file = "ostreesetup --osname=@OSTREE_OSNAME@ --url=x --ref=y\n";
    assert_eq!(
        message(file),
        "a/x.ks:1: --osname is @OSTREE_OSNAME@, and the configuration has no value for it"
    );
    assert!(rewritten(file, |values| values.osname = Some("o")).is_ok());
}

#[test]
fn a_url_that_stays_is_no_leftover() {
    let file = "ostreesetup --osname=x --url=http://new/repo --ref=new/x86_64/ref\n%post\n\
        http://new/repo/ new/x86_64/ref\n%end\n";
    assert_eq!(rewritten(file, |_| {}).unwrap().warnings, [""; 0]);
}

#[test]
fn a_file_url_is_a_path_in_the_installer() {
    let file = "\nostreesetup --osname=x --url=x --ref=y\n";
    let result = rewritten(file, |values| values.url = "file:///install/repo").unwrap();
    assert_eq!(
        result.warnings,
        ["a/x.ks:2: file:///install/repo is a path inside the installer, not on this machine"]
    );
}

#[test]
fn files_that_cannot_be_rewritten_are_refused_with_file_and_line() {
    let setup = "ostreesetup --osname=o --url=http://a --ref=r\n";
    for (file, expected) in [
        ("text\n%post\nostreesetup\n%end\n".to_owned(), "a/x.ks: there is no ostreesetup command"),
        (String::new(), "a/x.ks: there is no ostreesetup command"),
        (
            format!("text\n{setup}\n{setup}"),
            "a/x.ks:4: a second ostreesetup, the first is in line 2",
        ),
        (format!("{setup}x\x0c{setup}"), "a/x.ks:3: a second ostreesetup, the first is in line 1"),
        (
            format!("'ostreesetup' --x\n{setup}"),
            "a/x.ks:1: ostreesetup has no option --x; a/x.ks:2: a second ostreesetup, the first is \
             in line 1",
        ),
        (
            format!("{setup}bootc --x=y\n"),
            "a/x.ks:2: bootc cannot stand beside the ostreesetup of line 1",
        ),
        (
            format!("ostreecontainer --url=x\n{setup}"),
            "a/x.ks:1: ostreecontainer cannot stand beside the ostreesetup of line 2",
        ),
        (
            format!("{setup}%include more.ks\n"),
            "a/x.ks:2: %include: only flat files can be used, resolve it with `ksflatten -c IN -v \
             VERSION -o OUT`",
        ),
        (format!("{setup}part 'x\n"), "a/x.ks:2: a quotation that is not closed"),
        (format!("{setup}%post\n"), "a/x.ks:2: the section that begins here has no %end"),
        (
            "\nostreesetup --osna=o --url=http://a --ref=r\n".to_owned(),
            "a/x.ks:2: --osna is an abbreviation of --osname: write it out",
        ),
        (
            "ostreesetup --url=http://a --ref=r\n".to_owned(),
            "a/x.ks:1: ostreesetup has no --osname",
        ),
        (
            format!("{setup}%post\n@OSTREE_REFS@\n%end\n"),
            "a/x.ks:3: @OSTREE_REFS@ is none of @OSTREE_REF@, @OSTREE_URL@, @OSTREE_OSNAME@, \
             @OSTREE_REMOTE@, @OSTREE_COMMIT@, @OSTREE_VERSION@",
        ),
    ] {
        assert_eq!(message(&file), expected, "{file}");
    }
    let all = message(&format!("{setup}%end\n{setup}part 'x\nbootc\n%post\n@OSTREE_X@\n"));
    let lines: Vec<_> = all.split("; ").filter_map(|problem| problem.split(':').nth(1)).collect();
    assert_eq!(lines, ["2", "3", "4", "5", "6", "7"], "{all}");
    assert!(
        message(&"%end\n".repeat(1000))
            .ends_with("a/x.ks:19: %end closes no section; and 981 more")
    );
    let file = format!("{setup}%post\n@OSTREE_VERSION@\n%end\n");
    let result = rewritten(&file, |values| values.version = None);
    assert_eq!(
        result.unwrap_err(),
        "a/x.ks:3: @OSTREE_VERSION@ has no value: the commit has no version"
    );
    let result = rewritten(&file, |values| values.version = Some("1\n%end"));
    assert!(
        result
            .unwrap_err()
            .starts_with("a/x.ks:3: @OSTREE_VERSION@: 1\\n%end holds a quotation mark")
    );
    let result = rewritten(&file, |values| values.version = Some("%end"));
    assert_eq!(result.unwrap_err(), "a/x.ks:4: %end closes no section");
}

#[test]
fn values_that_cannot_be_written_are_refused_with_their_key() {
    let setup = "ostreesetup --osname=o --url=http://a --ref=r\n";
    let refused = |change: fn(&mut Values<'_>)| rewritten(setup, change).unwrap_err();
    let expected = "ostree-url: HTTP://a does not begin with file:, http: or https:";
    assert_eq!(refused(|values| values.url = "HTTP://a"), expected);
    let expected = "osname: a\\nb holds a quotation mark, a line break or a control character";
    assert_eq!(refused(|values| values.osname = Some("a\nb")), expected);
    assert_eq!(
        refused(|values| values.remote = Some("--x")),
        "remote: --x would be taken for an option"
    );
}

/// A part of a file unrelated to the command, in whole lines.
fn other_lines() -> impl Strategy<Value = Vec<u8>> {
    let blank = proptest::sample::select(vec![
        "\n",
        "\r\n",
        "  \t\n",
        "# ostreesetup --url=x 'open\n",
        "text --non-interactive\r\n",
    ]);
    let section = (
        proptest::sample::select(vec!["%post", "%packages", "%addon x", "%pre --log=/x"]),
        "[ a-z\"'#\\\\=/\t]{0,30}",
    )
        .prop_map(|(header, body)| {
            format!("{header}\nx{body}\r\nostreesetup {body}\n%end\n").into_bytes()
        });
    let raw = proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| {
        // Bytes that end no line and begin no section, in a script.
        let body: Vec<u8> =
            bytes.into_iter().filter(|byte| byte.is_ascii_graphic() || *byte >= 0xf0).collect();
        [b"%post\nx".as_slice(), &body, b"\n%end\n"].concat()
    });
    prop_oneof![blank.prop_map(|text| text.as_bytes().to_vec()), section, raw]
}

proptest! {
    #[test]
    fn untouched_lines_stay_byte_for_byte(
        before in proptest::collection::vec(other_lines(), 0..6),
        after in proptest::collection::vec(other_lines(), 0..6),
        osname in "[a-z \\\\'#$]{1,8}[a-z]",
        old_url in "[a-z:/ ']{0,10}",
        comment in "( #[ -~]{0,10})?\r?\n",
        separate in any::<bool>(),
    ) {
        let (before, after) = (before.concat(), after.concat());
        prop_assume!(!osname.starts_with('-'));
        let joint = if separate { ' ' } else { '=' };
        let old = format!("\tostreesetup --ref{joint}r  --url{joint}x\"{old_url}\" \
            --osname=o{comment}");
        let file = [before.as_slice(), old.as_bytes(), &after].concat();
        let given = Given::new();
        let values = Values { osname: Some(&osname), ..given.values() };
        let result = rewrite(Path::new("x.ks"), &file, &values).unwrap();
        prop_assert!(result.bytes.starts_with(&before), "{}", result.bytes.escape_ascii());
        prop_assert!(result.bytes.ends_with(&after), "{}", result.bytes.escape_ascii());
        let line = &result.bytes[before.len()..result.bytes.len() - after.len()];
        let quoted = words::quote(&osname);
        let expected = format!("\tostreesetup --ref{joint}new/x86_64/ref  \
            --url{joint}http://new/repo/ --osname={quoted}{comment}");
        let expected = expected.as_bytes().escape_ascii().to_string();
        prop_assert_eq!(line.escape_ascii().to_string(), expected);
        prop_assert_eq!(result.setup.osname, osname);
    }

    #[test]
    fn no_file_is_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), line in "[ \
        -~]{0,60}") {
        let file = [bytes.as_slice(), b"\nostreesetup ", line.as_bytes()].concat();
        let given = Given::new();
        let _ = rewrite(Path::new("x.ks"), &file, &given.values());
    }
}
