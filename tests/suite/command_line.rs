//! The command line, held against the real program's: the same arguments must give the same output and exit status.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{Program, osier, ostree, scratch};

/// Commands of `ostree` that osier does not have (yet): they are not in its help.
const NOT_IN_OSIER: &[&str] = &[
    "admin",
    "checkout",
    "diff",
    "export",
    "find-remotes",
    "create-usb",
    "gpg-sign",
    "prune",
    "pull-local",
    "pull",
    "remote",
    "sign",
    "static-delta",
];

/// Options that came after the 2022.7 that the tests compare with, and so are missing in its help; CLI.md section 8.
const NEW_OPTIONS: &[&str] = &[
    "--selinux-labeling-epoch=EPOCH",
    "-r, --revision",
    "--print-hex",
    "--list-metadata-keys",
    "--list-detached-metadata-keys",
    "--print-metadata-key=KEY",
    "--sign-from-file=PATH",
    "--generate-composefs-metadata",
];

/// Options whose description is osier's own: what they do differs.
const REWORDED_OPTIONS: &[&str] = &["--generate-sizes"];

/// Arguments that every command is called with.
const FOR_EVERY_COMMAND: &[&str] = &[
    "--help",
    "-h",
    "-?",
    "--help-all",
    "-vh",
    "-hv",
    "-hZ",
    "-Zh",
    "-vZh",
    "--help --bogus",
    "--bogus --help",
    "--version --help",
    "--verbose=1 --help",
    "-v --help",
    "--help x",
    "x --help",
    "x y -h",
    "--bogus",
    "--bogus=1",
    "--bogus value",
    "-Z",
    "-vZ",
    "-Z=",
    "-v=",
    "--help=",
    "--help=1",
    "--hel",
    "--verb",
    "--version=1 --bogus",
    "--version --bogus",
    "-é",
    "--é",
    "--=",
    "--=x",
    "-- --help",
];

/// Single calls, read as a shell would without quotes; an argument in `'` may hold blanks. They run in order, in a
/// directory with the repository `r`, the directory `d` and the file `f`.
const CALLS: &str = r#"
bogus
--repo=r bogus
--repo=r
--repo r refs
-v
-v bogus
--verbose
--verbose=1
-q
-vq
--
-- bogus
--bogus
--bogus x
x --bogus
x y
x y -h
-h
-?
--help
--help-all
--help=x
-hx
-xh
-vh
''
--repo
--rep=r
./init
../bin/x
init=
Init

init
--repo
init --repo
init --mode
init --repo=new --mode
init --repo=new --mode=
init --repo=new --mode=bogus
init --repo=new --collection-id=
init --repo=new --collection-id 'a b'
init --repo=new --mode=bogus --collection-id='a b'
init --repo=r --mode=bogus
init --repo=r --collection-id='a b'
init --repo=r --mode=bare
init --repo=new1 --mode archive
init --mode=archive-z2 --repo=new2 extra arguments
--repo=new3 init
-v --repo=new4 --mode bare-user-only init
--repo=new5 init --repo=new6
init --repo new7 --mode=bogus --mode=archive
init --repo=new8 --collection-id=org.example.Os
-- init
--repo=new9 -- init

config
config get
config --repo=nope get
config --repo=nope bogus
config --repo=f get
config --repo=d get
--repo=r config
config --repo=r
config --repo=r get
config --repo=r get a
config --repo=r get a.
config --repo=r get .a
config --repo=r get .
config --repo=r get core.mode
--repo=r config get core.mode
config get core.mode --repo r
config get --repo=nope core.mode --repo=r
config --repo=r get core.mode x
config --repo=r get core.nope
config --repo=r get nope.nope
config --repo=r get core
config --repo=r set
config --repo=r set a
config --repo=r set a b
config --repo=r set a.b
config --repo=r set a.b c d
config --repo=r set a.b c
config --repo=r set a.b.c.d e
config --repo=r get a.b.c.d
config --repo=r set a.b -- -x
config --repo=r get a.b
config --repo=r -- set a.b --
config --repo=r get a.b
config --repo=r bogus
config --repo=r bogus a
config --repo=r bogus a b
config --repo=r bogus a b c
config --repo=r GET a.b
config --repo=r unset
config --repo=r unset a
config --repo=r unset a.b c
config --repo=r unset a.b
config --repo=r unset a.b
config --repo=r unset nope.b
config --repo=r --group
config --repo=r --group x
config --repo=r --group=x get
config --repo=r --group=x get a.b
config --repo=r --group=x get a b
config --repo=r --group=x set
config --repo=r --group=x set a
config --repo=r --group=x set a.b 'c;d  '
config --repo=r --group=x get a.b
config --repo=r --group=x set a ' leading blank'
config --repo=r --group=x get a
config --repo=r --group=x bogus
config --repo=r --group=x unset
config --repo=r --group=x unset a b
config --repo=r --group=x unset a.b
config --repo=r --group= get a.b
config --repo=r --group=y --group=x get a
config --repo=r --group 'remote "x"' set url http://example.com/repo
config --repo=r --group 'remote "x"' get url
config --repo=r get 'remote "x".url'
config --repo=r --group 'remote "x"' unset url

commit
commit --repo=nope -b x
commit -b x d
commit --repo=d -b x d
commit --repo=f -b x d
commit --repo=r -b
commit --repo=r --branch
commit --repo=r -s
commit --repo=r -sb x
commit --repo=r -bs x y
commit --repo=r -bx y
commit --repo=r -bhx y
commit --repo=r -bxh y
commit --repo=r -bxh
commit --repo=r -sx -b x
commit --repo=r -s=x -b x
commit --repo=r -vs
commit --repo=r -sv
commit --repo=r -Ib
commit --repo=r -bI
commit --repo=r -IbX
commit --repo=r -IbX x
commit --repo=r --owner-uid
commit --repo=r --owner-uid=
commit --repo=r --owner-uid=x
commit --repo=r --owner-uid x
commit --repo=r --owner-uid=1x
commit --repo=r --owner-uid=0x
commit --repo=r --owner-uid=0xg
commit --repo=r --owner-uid=08
commit --repo=r --owner-uid=0b1
commit --repo=r --owner-uid='1 '
commit --repo=r --owner-uid='- 1'
commit --repo=r --owner-uid=--1
commit --repo=r --owner-uid=2147483648
commit --repo=r --owner-uid=-2147483649
commit --repo=r --owner-uid=0x80000000
commit --repo=r --owner-uid=99999999999999999999999999999999999999999999999999
commit --repo=r --owner-uid=x --help
commit --repo=r --owner-uid=x --bogus
commit --repo=r --bogus --owner-uid=x
commit --repo=r --owner-uid=x --owner-uid=5
commit --repo=r --owner-uid=5 --owner-uid=x
commit --repo=r --owner-uid=1.5
commit --repo=r --owner-uid=２
commit --repo=r --owner-gid=99999999999
commit --repo=r --fsync=zz d
commit --repo=r
commit --repo=r d
commit --repo=r --orphan nope
commit --repo=r -se x
commit --repo=r --table-output=x
commit --repo=r -b x a b c
commit --repo=r -b x nope
commit --repo=r -b x f
commit --repo=r -b x --tree=x
commit --repo=r -b x --tree=foo=bar
commit --repo=r -b x --tree==bar
commit --repo=r -b x --tree=dir=nope
commit --repo=r -b x --tree=ref=nope
commit --repo=r -b x --tree=ref=
commit --repo=r -b x --base=nope d
commit --repo=r -b x --parent=zz d
commit --repo=r -b x --parent=abc d
commit --repo=r -b x --parent= d
commit --repo=r -b 'x y' d
commit --repo=r -b -x d
commit --repo=r -b :x d
commit --repo=r -b x/ d
commit --repo=r -b x --fsync= d
commit --repo=r -b x --fsync=on d
commit --repo=r -b x --disable-fsync --fsync=zz d
commit --repo=r -b x --timestamp=foo d
commit --repo=r -b x --add-metadata-string=x d
commit --repo=r -b x --add-metadata-string==y d
commit --repo=r -b x --add-metadata=x d
commit --repo=r -b x --add-detached-metadata-string=x d
commit --repo=r -b x --keep-metadata=nope d
commit --repo=r --orphan --keep-metadata=nope d
commit --repo=r -b x --owner-uid=5 --canonical-permissions d
commit --repo=r -b x --owner-gid=5 --canonical-permissions d
commit --repo=r -b x --statoverride=nope d
commit --repo=r -b x --statoverride=f d
commit --repo=r -b x --skip-list=nope d
commit --repo=r -b x --skip-list=f d
commit --repo=r -b x -F nope d
commit --repo=r -b x -e d
commit --repo=r --statoverride=nope --skip-list=alsonope d
commit --repo=r --skip-list=nope d
commit --repo=r -b 'x y' --parent=zz d
commit --repo=r -b x --parent=zz --add-metadata-string=x d
commit --repo=r -b x --add-metadata=x --add-metadata-string=y d
commit --repo=r -b x --add-metadata=x --add-detached-metadata-string=y d
commit --repo=r -b x --canonical-permissions --owner-uid=5 --add-detached-metadata-string=y d
commit --repo=r -b x --canonical-permissions --owner-uid=5 -F nope d
commit --repo=r -b x --canonical-permissions --owner-uid=5 --owner-gid=5 d
commit --repo=r -b x -F nope --base=nope d
commit --repo=r -b x --base=nope --tree=x
commit --repo=r -b x --add-metadata==3 d
commit --repo=r -b x --add-metadata=x=foo d
commit --repo=r -b x --add-metadata 'x=@u "3"' d
commit --repo=r -b x --add-metadata=x= d
commit --repo=r -b x --add-metadata=x=[1,2 d
commit --repo=r -b x d
commit --repo=r -b x --tree=ref=x --tree=dir=d --add-metadata-string=v=1 --add-metadata 'n=uint32 3'
commit --repo=r --branch=x --keep-metadata=v --keep-metadata n d
commit --repo=r --branch=x --keep-metadata=v --keep-metadata z d
commit --repo=r -b x d
commit d -b x --repo=r -s 'a subject' -m 'a body' -I
commit d -bI x --repo=r -s first -s 'the last subject counts'
commit --repo=r --branch=x --owner-uid=0x10 --owner-gid=' 010' d
commit --repo=r --branch=x --owner-uid -5 d
commit --repo=r --branch=x --owner-uid=+5 d
commit --repo=r --branch=x --parent=none d
commit --repo=r --branch=x --parent=0000000000000000000000000000000000000000000000000000000000000000 d
commit --repo=r --branch=x --parent=none --table-output d
commit --repo=r --branch=x --parent=none --table-output --fsync=NO d e g
commit --repo=r --branch=x --skip-if-unchanged d
commit --repo=r --orphan d
commit --repo=r --orphan -b y d
commit --repo=r --orphan -b y --bind-ref=a --bind-ref 'b c' d
commit --repo=r -b y --no-bindings --bind-ref=a d
commit --repo=r -b remote:y d
commit --repo=r -b z --timestamp=@5 --add-metadata-string=k= --add-detached-metadata-string=k=v=w d
commit --repo=r -b z --timestamp=@-5 d
commit --repo=r -b z --timestamp= '2020-01-02 03:04:05 +0100' d
commit --repo=r -b z --timestamp '2020-01-02 03:04:05 +0100' d
commit --repo=r -b z -F f -m ignored d
commit --repo=r -b z -F f -s subject d
commit --repo=r -b z -s subject -e d
commit --repo=r -b z -s subject -m body -e d
commit --repo=r -b z -s subject -F nope -e d
commit --repo=r -b z --no-xattrs --mode-ro-executables --canonical-permissions d
commit --repo=r -b z --link-checkout-speedup --bootable d
commit --repo=r -b z -s '' -m '' d
commit --repo=r -b z -- d
commit --repo=r -b z -- -- d
commit --repo=r -b z -- -d
config --repo=r set core.collection-id org.example.Os
commit --repo=r -b z d
commit --repo=r -b z --no-bindings d
commit --repo=r --orphan d
config --repo=r unset core.collection-id
"#;

/// What the real program does before the calls that read.
const HISTORY: &str = r#"
commit --repo=r -b x -s 'the first' -m 'with a body' --add-metadata-string=version=1 d
commit --repo=r -b x -s 'the second' --owner-uid=7 --owner-gid=8 --add-detached-metadata-string=k=v d
commit --repo=r -b x --add-metadata-string=version=3 --add-metadata 'n=uint32 3' d
commit --repo=r -b deep/y --tree=dir=d --tree=dir=e
commit --repo=r -b remote:z d
refs --repo=r --create=alias --alias deep/y
init --repo=c --mode=bare-user-only --collection-id=org.example.Os
commit --repo=c -b a -s 'in a collection' e
init --repo=empty
"#;

/// Calls that read, after [`HISTORY`].
const READING_CALLS: &str = r#"
cat
cat --repo=r
cat --repo=r x
cat --repo=r x /file
cat --repo=r x file
cat --repo=r x ./file /d/../file
cat --repo=r x file file
cat --repo=r x nope
cat --repo=r x -- -f
cat --repo=r x -- -- f
cat --repo=r deep/y sub/link
cat --repo=r deep/y sub
cat --repo=r nope file
cat --repo=r x^ file
checksum
checksum f
checksum nope
checksum f d
checksum d
checksum --ignore-xattrs f
checksum --repo=r f
fsck
fsck --repo=r
fsck --repo=r extra
fsck -q --repo=r
fsck -aq --repo=r
fsck --repo=c --verify-bindings
fsck --repo=r --verify-bindings
fsck --repo=c --verify-back-refs
fsck --repo=empty
log
log --repo=r
log --repo=r x
log --repo=r x deep/y
log --repo=r x^
log --repo=r x^^^
log --repo=r x^^^^
log --repo=r --raw x^^
log --repo=r remote:z
log --repo=r alias
log --repo=r nope
log --repo=r ''
log --repo=r 00
log --repo=empty x
ls
ls --repo=r
ls --repo=r x
ls --repo=r x /
ls --repo=r x file
ls --repo=r x nope
ls --repo=r x /nope/nope
ls --repo=r -R deep/y
ls --repo=r -RC deep/y
ls --repo=r -RX deep/y
ls --repo=r -RCX deep/y
ls --repo=r -d deep/y /sub
ls --repo=r deep/y /sub /file
ls --repo=r deep/y sub/link sub/
ls --repo=r deep/y sub/link/x
ls --repo=r -R --nul-filenames-only deep/y
ls --repo=r -dRC deep/y
ls --repo=r x^
ls --repo=c -R a
refs
refs --repo=r
refs --repo=r --list
refs --repo=r deep
refs --repo=r --list deep
refs --repo=r deep x
refs --repo=r nope
refs --repo=r remote:
refs --repo=r remote:z
refs --repo=r ''
refs --repo=r -
refs --repo=r -A
refs --repo=r -c
refs --repo=c -c
refs --repo=c -c org.example.Os
refs --repo=c -c org.example.Other
refs --repo=c -c 'no id'
refs --repo=c
refs --repo=r --create
refs --repo=r --create=new
refs --repo=r --create=new nope
refs --repo=r --create=new x y
refs --repo=r --create=x deep/y
refs --repo=r --create='not legal' x
refs --repo=r --create=new x
refs --repo=r --create=new x
refs --repo=r --create=new x --force
refs --repo=r --create=x/below x
refs --repo=r --create=remote:new x
refs --repo=r --create=other:new x
refs --repo=r --create=alias2 -A nope
refs --repo=r --create=alias2 -A x
refs --repo=r --create=x -A deep/y
refs --repo=r --delete
refs --repo=r --delete nope
refs --repo=r --delete deep/y
refs --repo=r --delete alias
refs --repo=r --delete remote:new new
refs --repo=r --delete --create=q x
refs --repo=r
refs --repo=c -c --create=org.example.Os:b a
refs --repo=c -c --create=org.example.Mirror:b a
refs --repo=c -c
refs --repo=c -c --delete org.example.Mirror
refs --repo=c -c
refs --repo=empty
reset
reset --repo=r
reset --repo=r x
reset --repo=r x x^ x
reset --repo=r nope x
reset --repo=r x nope
reset --repo=r x x^
log --repo=r x
rev-parse
rev-parse --repo=r
rev-parse --repo=r x
rev-parse --repo=r x deep/y remote:z
rev-parse --repo=r x nope deep/y
rev-parse --repo=r x^
rev-parse --repo=r x^^^^^
rev-parse --repo=r ^
rev-parse --repo=r ''
rev-parse --repo=r -S
rev-parse --repo=r -S x
rev-parse --repo=c -S
rev-parse --repo=empty --single
rev-parse --repo=r 0123456789
rev-parse --repo=r 0000000000000000000000000000000000000000000000000000000000000000
rev-parse --repo=r remote:nope
rev-parse --repo=r nope:z
rev-parse --repo=r a:b:c
show
show --repo=r
show --repo=r x
show --repo=r x^
show --repo=r x y
show --repo=r nope
show --repo=r --raw x
show --repo=r -B x
show --repo=r --raw -B x
show --repo=r --print-metadata-key=version x
show --repo=r --print-metadata-key=n x
show --repo=r -B --print-metadata-key=n x
show --repo=r --print-metadata-key=nope x
show --repo=r --print-metadata-key
show --repo=r --print-detached-metadata-key=k x
show --repo=r --print-detached-metadata-key=nope x
show --repo=r --print-detached-metadata-key=k deep/y
show --repo=r --print-related x
show --repo=r --print-sizes x
show --repo=r --print-variant-type=ay f
show --repo=r --print-variant-type=s f
show --repo=r --print-variant-type=s nope
show --repo=r 0000000000000000000000000000000000000000000000000000000000000000
show --repo=r 446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488
show --repo=r --raw 446a0ef11b7cc167f3b603e585c7eeeeb675faa412d5ec73f62988eb0b6c5488
show --repo=c a
summary
summary --repo=r
summary --repo=r -v
summary --repo=r --view
summary --repo=r --raw
summary --repo=r extra
summary --repo=r -u -m x
summary --repo=r -u -m x=foo
summary --repo=r -m x=3
summary --repo=r -u -m
summary --repo=r -um 'x=uint32 3'
summary --repo=c -u
summary --repo=empty -u
"#;

/// A directory in which both programs find the same things.
struct Playground {
    directory: tempfile::TempDir,
    program: Program,
}

impl Playground {
    /// The repository is the real program's work, so that a fault of osier's shows only where it is looked for.
    fn new(program: &Program, ostree: &Program) -> Self {
        let directory = scratch();
        fs::create_dir(directory.path().join("d")).unwrap();
        fs::write(directory.path().join("d/file"), "content\n").unwrap();
        fs::write(directory.path().join("f"), "a file\n").unwrap();
        fs::create_dir_all(directory.path().join("e/sub/empty")).unwrap();
        fs::write(directory.path().join("e/sub/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(directory.path().join("e/sub/run"), fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("../file", directory.path().join("e/sub/link")).unwrap();
        ostree.clone().in_directory(directory.path()).run(["init", "--repo=r", "--mode=archive"]).success();
        let program = program.clone().in_directory(directory.path());
        let program = program.with("SOURCE_DATE_EPOCH", "1700000000").with("EDITOR", "true");
        Self { directory, program }
    }

    /// What a call printed and how it ended, without what differs by design: where it ran, and what 2022.7 or osier
    /// does not have.
    fn run(&self, call: &[String]) -> String {
        // Only newer releases than the one here list refs in name order; CLI.md section 2.
        let is_unordered = call.iter().any(|argument| argument == "refs");
        let output = self.program.run(call);
        output.assert_no_panic();
        let comparable = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).replace(self.directory.path().to_str().unwrap(), "DIRECTORY");
            let text = text.replace(self.program.path.to_str().unwrap(), "ostree");
            let mut lines: Vec<&str> = text.split_inclusive('\n').filter(|line| !is_exempt(line)).collect();
            if is_unordered {
                lines.sort_unstable();
            }
            lines.concat()
        };
        format!(
            "stdout:\n{}stderr:\n{}status: {}",
            comparable(&output.stdout),
            comparable(&output.stderr),
            output.status
        )
    }
}

/// Whether a line of a help text is there in one of the programs only.
fn is_exempt(line: &str) -> bool {
    let word = line.strip_prefix("  ").and_then(|rest| rest.split("  ").next()).unwrap_or_default();
    [NOT_IN_OSIER, NEW_OPTIONS, REWORDED_OPTIONS].iter().any(|words| words.contains(&word))
}

/// Splits a call into its arguments.
fn arguments(call: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut quoted = false;
    for c in call.chars() {
        match c {
            '\'' => {
                quoted = !quoted;
                current.get_or_insert_default();
            }
            ' ' if !quoted => arguments.extend(current.take()),
            _ => current.get_or_insert_default().push(c),
        }
    }
    assert!(!quoted, "{call}");
    arguments.extend(current);
    arguments
}

/// Runs the calls one after the other with both programs, each in a directory of its own.
#[track_caller]
fn compare_calls(calls: &[Vec<String>]) {
    compare_calls_after("", calls);
}

/// The same, once the real program has made the same preparations in both directories.
#[track_caller]
fn compare_calls_after(preparations: &str, calls: &[Vec<String>]) {
    let Some(ostree) = ostree() else { return };
    let (ours, theirs) = (Playground::new(&osier(), &ostree), Playground::new(&ostree, &ostree));
    for call in preparations.trim().lines().map(arguments) {
        for playground in [&ours, &theirs] {
            let mut program = playground.program.clone();
            program.path = ostree.path.clone();
            program.run(&call).success();
        }
    }
    let mut different = Vec::new();
    for call in calls {
        let (our_result, their_result) = (ours.run(call), theirs.run(call));
        if our_result != their_result {
            different.push(format!("===== {}\n--- osier\n{our_result}\n--- ostree\n{their_result}", call.join(" ")));
        }
    }
    assert!(different.is_empty(), "{} of {}:\n{}", different.len(), calls.len(), different.join("\n"));
    let config = |directory: &Path| fs::read_to_string(directory.join("r/config")).unwrap();
    assert_eq!(config(ours.directory.path()), config(theirs.directory.path()));
}

/// The commands in osier's help.
fn commands() -> Vec<String> {
    let help = osier().run(["--help"]).success();
    let list = help.split("Builtin Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    list.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
}

#[test]
fn calls_give_the_same_output_and_status() {
    let calls: Vec<_> = CALLS.trim().lines().map(arguments).collect();
    compare_calls(&calls);
}

#[test]
fn reading_calls_give_the_same_output_and_status() {
    let calls: Vec<_> = READING_CALLS.trim().lines().map(arguments).collect();
    compare_calls_after(HISTORY, &calls);
}

#[test]
fn every_command_treats_common_options_alike() {
    let mut calls = Vec::new();
    for command in commands() {
        for rest in FOR_EVERY_COMMAND {
            let mut call = vec![command.clone()];
            call.extend(arguments(rest));
            calls.push(call.clone());
            // Before the command they mean the same.
            if !rest.starts_with("-- ") && !rest.contains(['x', 'y']) && !rest.contains("value") {
                call.rotate_left(1);
                calls.push(call);
            }
        }
    }
    compare_calls(&calls);
}

#[test]
fn every_option_of_every_command_misses_its_argument_alike() {
    let Some(ostree) = ostree() else { return };
    let mut calls = Vec::new();
    for command in commands() {
        let help = ostree.run([command.as_str(), "--help"]).success();
        for line in help.lines().filter_map(|line| line.strip_prefix("  -")) {
            let names = line.split("  ").next().unwrap();
            for name in names.split(", ") {
                let name = format!("-{}", name.split('=').next().unwrap());
                // As the last argument, an option that takes a value has none; a flag lets the next error through.
                calls.push(vec![command.clone(), name.clone()]);
                calls.push(vec![command.clone(), format!("{name}=x"), "--bogus".to_owned()]);
                calls.push(vec![command.clone(), name.clone(), "--bogus".to_owned()]);
                calls.push(vec![command.clone(), name.clone(), "--".to_owned(), "--bogus".to_owned()]);
            }
        }
    }
    // These print the version, which is not the real program's.
    calls.retain(|call| call.get(1).is_none_or(|option| option != "--version"));
    compare_calls(&calls);
}

#[test]
fn commands_that_osier_lacks_are_refused_by_name() {
    let listed: BTreeSet<String> = commands().into_iter().collect();
    for name in NOT_IN_OSIER {
        assert!(!listed.contains(*name), "{name} is there now");
        let expected =
            if *name == "admin" { "admin: not part of osier" } else { &format!("{name}: not supported yet") };
        assert_eq!(osier().run([*name, "x", "--help"]).failure(), *expected);
    }
}

#[test]
fn a_repository_that_cannot_be_made_is_an_error_with_its_path() {
    let directory = scratch();
    fs::write(directory.path().join("file"), "").unwrap();
    for place in ["no/such/place", "file"] {
        let message = osier().in_directory(directory.path()).run(["init", "--repo", place]).failure();
        assert!(message.starts_with("Creating repo: ") && message.contains(place), "{message}");
    }
}

#[test]
fn the_version_block_is_the_real_programs_in_shape() {
    let version = osier().run(["--version"]).success();
    assert_eq!(version, "libostree:\n Version: '2026.4'\n Features:\n  - libarchive\n");
    assert_eq!(osier().run(["commit", "-b", "x", "--version", "nothing"]).success(), version);
    let Some(ostree) = ostree() else { return };
    let theirs = ostree.run(["--version"]).success();
    let shape = |text: &str| text.lines().filter(|line| !line.starts_with("  - ")).count();
    assert_eq!(shape(&version), shape(&theirs), "{theirs}");
    for feature in version.lines().filter(|line| line.starts_with("  - ")) {
        assert!(theirs.lines().any(|line| line == feature), "{feature} is no feature of the real program");
    }
}

#[test]
fn called_by_its_own_name_it_tells_its_own_version_first() {
    let osier = Program::other(env!("CARGO_BIN_EXE_osier"), "osier");
    let own = concat!("osier ", env!("CARGO_PKG_VERSION"), "\nlibostree:\n Version: '2026.4'\n");
    assert!(osier.run(["--version"]).success().starts_with(own));
    let usage = format!("Usage:\n  {} init [OPTION…]\n", env!("CARGO_BIN_EXE_osier"));
    assert!(osier.run(["init", "--help"]).success().starts_with(&usage));
}

#[test]
fn an_unknown_command_is_looked_for_on_the_search_path() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let script = |name: &str, mode| {
        let path = directory.path().join(name);
        fs::write(&path, "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 7\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    script("ostree-hello", 0o755);
    script("ostree-init", 0o755);
    script("ostree-closed", 0o644);
    fs::create_dir(directory.path().join("ostree-folder")).unwrap();
    let run = |program: Program, call: &str| {
        let path = format!("{}:/usr/bin:/bin", directory.path().display());
        let output = program.clone().with("PATH", path).in_directory(directory.path()).run(arguments(call));
        let name = program.path.to_str().unwrap();
        let texts =
            [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).replace(name, "ostree"));
        let texts = texts.map(|text| text.split_inclusive('\n').filter(|line| !is_exempt(line)).collect::<String>());
        (texts, output.status)
    };
    let calls = [
        "hello",
        "hello a 'b c' --d",
        "--repo=r hello a",
        "-v hello",
        "--version hello",
        "hello --help",
        "-- hello -- x",
        "--bogus hello",
        "closed",
        "folder",
        "none",
        "./hello",
        "init --bogus",
    ];
    for call in calls {
        assert_eq!(run(osier(), call), run(ostree.clone(), call), "{call}");
    }
    assert_eq!(run(osier(), "-v hello a"), (["<-v><hello><a>".to_owned(), String::new()], 7));
}

/// Runs osier with something else for its standard output; returns its exit status and standard error.
fn run_into(stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osier"));
    let output = command.arg("--help").stdout(stdout).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn output_that_nobody_reads_ends_the_program_quietly() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    // What a shell shows for a program that SIGPIPE ended.
    assert_eq!(run_into(writer), (Some(141), String::new()));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let message = "error: writing to standard output: No space left on device\n";
    assert_eq!(run_into(full), (Some(1), message.to_owned()));
}
