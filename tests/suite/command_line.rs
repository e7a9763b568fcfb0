//! The command line, held against the real program's: the same arguments must give the same output
//! and exit status.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use super::support::{Program, osier, osier_path, ostree, scratch, search_path_after};

/// Commands of `ostree` that osier does not have (yet): they are not in its help.
const NOT_IN_OSIER: &[&str] = &["admin"];

/// Options that came after the 2022.7 that the tests compare with, and so are missing in its help;
/// CLI.md section 8.
const NEW_OPTIONS: &[&str] = &[
    "--selinux-labeling-epoch=EPOCH",
    "--composefs",
    "--json",
    "--json-events",
    "--composefs-noverity",
    "-r, --revision",
    "--print-hex",
    "--list-metadata-keys",
    "--list-detached-metadata-keys",
    "--print-metadata-key=KEY",
    "--sign-from-file=PATH",
    "--keys-file=NAME",
    "--keys-dir=NAME",
    "--generate-composefs-metadata",
    "--disable-static-deltas",
    "--disable-retry-on-network-errors",
    "--low-speed-limit-bytes=N",
    "--low-speed-time-seconds=N",
    "--max-outstanding-fetcher-requests=N",
];

/// Options whose help differs because osier's do more.
const OTHER_HELP: &[&str] = &["--dry-run"];

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

/// Single calls, read as a shell would without quotes; an argument in `'` may hold blanks. They run
/// in order, in a directory with the repository `r`, the directory `d` and the file `f`.
const CALLS: &str = include_str!("command_line/calls.txt");

/// What the real program does before the calls that read.
const HISTORY: &str = include_str!("command_line/history.txt");

/// Calls that read, after [`HISTORY`].
const READING_CALLS: &str = include_str!("command_line/reading_calls.txt");

/// A directory in which both programs find the same things.
struct Playground {
    directory: tempfile::TempDir,
    program: Program,
}

impl Playground {
    /// The repository is the real program's work, so that a fault of osier's shows only where it is
    /// looked for.
    fn new(program: &Program, ostree: &Program) -> Self {
        let directory = scratch();
        fs::create_dir(directory.path().join("d")).unwrap();
        fs::write(directory.path().join("d/file"), "content\n").unwrap();
        fs::write(directory.path().join("f"), "a file\n").unwrap();
        fs::create_dir_all(directory.path().join("e/sub/empty")).unwrap();
        fs::write(directory.path().join("e/sub/run"), "#!/bin/sh\n").unwrap();
        fs::set_permissions(directory.path().join("e/sub/run"), fs::Permissions::from_mode(0o755))
            .unwrap();
        std::os::unix::fs::symlink("../file", directory.path().join("e/sub/link")).unwrap();
        ostree
            .clone()
            .in_directory(directory.path())
            .run(["init", "--repo=r", "--mode=archive"])
            .success();
        let program = program.clone().in_directory(directory.path());
        let program = program.with("SOURCE_DATE_EPOCH", "1700000000").with("EDITOR", "true");
        Self { directory, program }
    }

    /// What a call printed and how it ended, without what differs by design: where it ran, and what
    /// 2022.7 or osier does not have.
    fn run(&self, call: &[String]) -> String {
        // Only newer releases than the one here list refs in name order; CLI.md section 2.
        let is_unordered = call.iter().any(|argument| argument == "refs");
        let output = self.program.run(call);
        output.assert_no_panic();
        let comparable = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes)
                .replace(self.directory.path().to_str().unwrap(), "DIRECTORY");
            let text = text.replace(self.program.path.to_str().unwrap(), "ostree");
            // Options that only one of the programs has decide how wide the column of names is.
            let narrow =
                |line: &str| match line.strip_prefix("  -").and_then(|l| l.split_once("  ")) {
                    Some((names, help)) => format!("  -{names}  {}", help.trim_start()),
                    None => line.to_owned(),
                };
            let text: String = text.split_inclusive('\n').map(narrow).collect();
            let mut lines: Vec<&str> =
                text.split_inclusive('\n').filter(|line| !is_exempt(line)).collect();
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

/// Whether a line of a help text is there in one of the programs only, or not the same in both.
fn is_exempt(line: &str) -> bool {
    let word = line.strip_prefix("  ").and_then(|rest| rest.split("  ").next()).unwrap_or_default();
    [NOT_IN_OSIER, NEW_OPTIONS, OTHER_HELP].iter().any(|words| words.contains(&word))
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
            different.push(format!(
                "===== {}\n--- osier\n{our_result}\n--- ostree\n{their_result}",
                call.join(" ")
            ));
        }
    }
    assert!(
        different.is_empty(),
        "{} of {}:\n{}",
        different.len(),
        calls.len(),
        different.join("\n")
    );
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
                // As the last argument, an option that takes a value has none; a flag lets the next
                // error through.
                calls.push(vec![command.clone(), name.clone()]);
                calls.push(vec![command.clone(), format!("{name}=x"), "--bogus".to_owned()]);
                calls.push(vec![command.clone(), name.clone(), "--bogus".to_owned()]);
                calls.push(vec![
                    command.clone(),
                    name.clone(),
                    "--".to_owned(),
                    "--bogus".to_owned(),
                ]);
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
        let expected = if *name == "admin" {
            "admin: not part of osier"
        } else {
            &format!("{name}: not supported yet")
        };
        assert_eq!(osier().run([*name, "x", "--help"]).failure(), *expected);
    }
}

#[test]
fn a_repository_that_cannot_be_made_is_an_error_with_its_path() {
    let directory = scratch();
    fs::write(directory.path().join("file"), "").unwrap();
    for place in ["no/such/place", "file"] {
        let message =
            osier().in_directory(directory.path()).run(["init", "--repo", place]).failure();
        assert!(message.starts_with("Creating repo: ") && message.contains(place), "{message}");
    }
}

#[test]
fn the_version_block_is_the_real_programs_in_shape() {
    let version = osier().run(["--version"]).success();
    assert_eq!(
        version,
        "libostree:\n Version: '2026.4'\n Features:\n  - composefs\n  - gpgme\n  \
         - libarchive\n  - sign-ed25519\n  - sign-spki\n"
    );
    assert_eq!(osier().run(["commit", "-b", "x", "--version", "nothing"]).success(), version);
    let Some(ostree) = ostree() else { return };
    let theirs = ostree.run(["--version"]).success();
    let shape = |text: &str| text.lines().filter(|line| !line.starts_with("  - ")).count();
    assert_eq!(shape(&version), shape(&theirs), "{theirs}");
    // 2022.7 has none of these, or as Debian builds it.
    let newer = ["composefs", "sign-ed25519", "sign-spki"].map(|name| format!("  - {name}"));
    let is_newer = |line: &str| newer.iter().any(|newer| newer == line);
    for feature in version.lines().filter(|line| line.starts_with("  - ") && !is_newer(line)) {
        assert!(
            theirs.lines().any(|line| line == feature),
            "{feature} is no feature of the real program"
        );
    }
}

#[test]
fn called_by_its_own_name_it_tells_its_own_version_first() {
    let osier = Program::other(osier_path(), "osier");
    let own = concat!("osier ", env!("CARGO_PKG_VERSION"), "\nlibostree:\n Version: '2026.4'\n");
    assert!(osier.run(["--version"]).success().starts_with(own));
    let usage = format!("Usage:\n  {} init [OPTION…]\n", osier_path());
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
        let path = search_path_after(directory.path());
        let output =
            program.clone().with("PATH", path).in_directory(directory.path()).run(arguments(call));
        let name = program.path.to_str().unwrap();
        let texts = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).replace(name, "ostree"));
        let texts = texts.map(|text| {
            text.split_inclusive('\n').filter(|line| !is_exempt(line)).collect::<String>()
        });
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

#[test]
fn without_the_option_the_repository_is_found_alike() {
    let Some(ostree) = ostree() else { return };
    let both = [Playground::new(&osier(), &ostree), Playground::new(&ostree, &ostree)];
    for playground in &both {
        let path = playground.directory.path();
        fs::create_dir_all(path.join("half/objects")).unwrap();
        fs::create_dir_all(path.join("root/ostree")).unwrap();
        for place in ["root/ostree/repo", "named"] {
            playground.program.run(["init", "--mode=archive", "--repo", place]).success();
            playground
                .program
                .run(arguments(&format!("commit --repo={place} -b {place} d")))
                .success();
        }
        playground.program.run(arguments("commit --repo=r -b here d")).success();
    }
    for (inside, variables) in [
        ("r", &[][..]),
        ("r", &[("OSTREE_REPO", "../named")]),
        (".", &[]),
        ("half", &[]),
        ("half", &[("OSTREE_REPO", "../named")]),
        (".", &[("OSTREE_REPO", "named")]),
        (".", &[("OSTREE_REPO", "nope")]),
        (".", &[("OSTREE_REPO", "f")]),
        (".", &[("OSTREE_REPO", "d")]),
        (".", &[("OSTREE_REPO", "")]),
        (".", &[("OSTREE_SYSROOT", "root")]),
        (".", &[("OSTREE_SYSROOT", "nope")]),
        (".", &[("OSTREE_SYSROOT", "root"), ("OSTREE_REPO", "nope")]),
        (".", &[("OSTREE_SYSROOT", "root"), ("OSTREE_REPO", "named")]),
    ] {
        let [ours, theirs] = both.each_ref().map(|playground| {
            let directory = playground.directory.path().join(inside);
            let mut program = playground.program.clone().in_directory(directory);
            for (name, value) in variables {
                program = program.with(*name, *value);
            }
            Playground { directory: tempfile::tempdir().unwrap(), program }.run(&arguments("refs"))
        });
        let [ours, theirs] = [(ours, &both[0]), (theirs, &both[1])].map(|(text, playground)| {
            text.replace(playground.directory.path().to_str().unwrap(), "DIRECTORY")
        });
        assert_eq!(ours, theirs, "in {inside} with {variables:?}");
    }
}

#[test]
fn the_editor_writes_the_message_alike() {
    let Some(ostree) = ostree() else { return };
    let both = [Playground::new(&osier(), &ostree), Playground::new(&ostree, &ostree)];
    for (call, script) in [
        ("-b x", "printf 'subject\\n\\n body \\n#no\\nmore\\n\\n' > \"$1\""),
        ("-b x -s given", "true"),
        ("-b x -s given -m lost", "true"),
        ("-b x -s given -F f", "sed -i 's/given/changed/' \"$1\""),
        ("--orphan -s given", "echo last >> \"$1\""),
        ("-b x", "true"),
        ("-b x", "printf '\\377' > \"$1\""),
        ("-b x", "exit 3"),
    ] {
        let results = both.each_ref().map(|playground| {
            let editor = playground.directory.path().join("editor");
            fs::write(&editor, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&editor, fs::Permissions::from_mode(0o755)).unwrap();
            let program = playground.program.clone().with("OSTREE_EDITOR", "./editor");
            let output = program.run(arguments(&format!("commit --repo=r -e {call} d")));
            (
                output.status,
                String::from_utf8(output.stdout).unwrap(),
                String::from_utf8(output.stderr).unwrap(),
            )
        });
        assert_eq!(results[0], results[1], "{call} with {script}");
    }
}

/// Runs osier with something else for its standard output; returns its exit status and standard
/// error.
fn run_into(stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let mut command = Command::new(osier_path());
    let output = command.arg("--help").stdout(stdout).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn output_without_a_reader_ends_the_program_quietly() {
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

#[test]
fn verbose_tells_what_is_done_on_standard_error() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=bare-user-only"]).success();
    std::fs::create_dir(directory.path().join("tree")).unwrap();
    let tree = format!("--tree=dir={}", directory.path().join("tree").display());
    let output =
        osier().repo(&repo, ["commit", "--verbose", "-b", "main", "--timestamp=@1", &tree]);
    let commit = String::from_utf8(output.stdout).unwrap();
    let reported = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status, 0, "{reported}");
    assert!(reported.lines().all(|line| line.starts_with("OT: ")), "{reported}");
    for line in [
        format!("OT: Preparing transaction in repository {}", repo.display()),
        "OT: Locking repo shared".to_owned(),
        format!("OT: Setting ref main to {}", commit.trim_end()),
    ] {
        assert!(reported.lines().any(|reported| reported == line), "{line} is not in\n{reported}");
    }
    let pruned = osier().repo(&repo, ["prune", "-v"]);
    let reported = String::from_utf8(pruned.stderr).unwrap();
    assert!(
        reported.contains(&format!("OT: Traversing commit {}", commit.trim_end())),
        "{reported}"
    );
    assert_eq!(osier().repo(&repo, ["prune"]).stderr, b"");
}

#[test]
fn under_its_own_name_a_mistyped_word_gets_one_line_with_what_was_meant() {
    let own = Program::other(osier_path(), "osier");
    for (call, expected) in [
        ("--repo=r comit", "Unknown command 'comit'; did you mean 'commit'?"),
        ("comit --repo=r -b x", "Unknown command 'comit'; did you mean 'commit'?"),
        ("-v chekcout --bogus", "Unknown command 'chekcout'; did you mean 'checkout'?"),
        ("revparse x", "Unknown command 'revparse'; did you mean 'rev-parse'?"),
        ("remote-add x", "Unknown command 'remote-add'; did you mean 'remote add'?"),
        ("benhc", "Unknown command 'benhc'; did you mean 'bench'?"),
        ("remote --repo=r lst", "Unknown \"remote\" subcommand 'lst'; did you mean 'list'?"),
        ("compose tre", "Unknown \"compose\" subcommand 'tre'; did you mean 'tree'?"),
        (
            "init --repo=r --mode=bear",
            "Invalid mode 'bear' in repository configuration; did you mean 'bare'?",
        ),
        (
            "init --repo=r --mode=bare-usr",
            "Invalid mode 'bare-usr' in repository configuration; did you mean 'bare-user'?",
        ),
        ("init --repo=r --mode=x", "Invalid mode 'x' in repository configuration"),
        ("frobnicate", "Unknown command 'frobnicate'; 'osier --help' lists what there is"),
        (
            "remote frobnicate",
            "Unknown \"remote\" subcommand 'frobnicate'; 'osier remote --help' lists what there is",
        ),
        (
            "--repo r ls",
            "Unknown command 'r'; before the command, the repository is given as --repo=r",
        ),
        ("--repo=r", "No command specified; 'osier --help' lists them"),
        ("--verison", "Unknown option --verison; did you mean '--version'?"),
        ("commit --brnach=x", "Unknown option --brnach=x; did you mean '--branch'?"),
        ("commit -branch=x", "Missing argument for -b; did you mean '--branch'?"),
        ("--rpeo=r refs", "Unknown option --rpeo=r; did you mean '--repo'?"),
        (
            "remote add --no-gpg-verfy a b",
            "Unknown option --no-gpg-verfy; did you mean '--no-gpg-verify'?",
        ),
        ("ls --bogus", "Unknown option --bogus; 'osier ls --help' lists what there is"),
        ("ls -Z", "Unknown option -Z; 'osier ls --help' lists what there is"),
    ] {
        let output = own.run(arguments(call));
        let stderr = String::from_utf8_lossy(&output.stderr).replace(osier_path(), "osier");
        assert_eq!(stderr, format!("error: {expected}\n"), "{call}");
        assert_eq!((output.stdout.as_slice(), output.status), (&b""[..], 1), "{call}");
    }
    // Values come after the repository has been opened.
    let directory = scratch();
    let repo = format!("--repo={}", directory.path().join("repo").display());
    own.run(["init", &repo, "--mode=archive"]).success();
    std::fs::create_dir(directory.path().join("tree")).unwrap();
    for (call, expected, meant) in [
        (&["config", "gett", "core.mode"][..], "Unknown operation gett", "; did you mean 'get'?"),
        (&["config", "frobnicate", "core.mode"], "Unknown operation frobnicate", ""),
    ] {
        let call = [call, &[&repo]].concat();
        assert_eq!(own.run(&call).failure(), format!("{expected}{meant}"));
        assert_eq!(osier().run(&call).failure(), expected);
    }
    let call = ["init", "--repo=r", "--mode=bear"];
    assert_eq!(osier().run(call).failure(), "Invalid mode 'bear' in repository configuration");
    // Status 1 of a comparison is a verdict.
    assert_eq!(own.run(["compare", "--exat"]).status, 2);
    assert!(own.run(["comit", "--help"]).success().starts_with("Usage:\n"));
}
