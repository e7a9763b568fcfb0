//! What a machine may lack: programs that nothing but Rust and a linker brings along, and rights.
//!
//! A test asks here before it uses any of them. What is missing is said once a test, on the real
//! standard error (the test runner captures `print!` and `eprint!` only), and in one line when the
//! whole run is over. With `OSIER_REQUIRE_OSTREE=1` a test fails instead.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};

use super::Program;

/// The search path where the environment has none.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What `setup-tests` installs apart from packages.
const CHECKERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/checkers");

/// The search path of the tests and of every program that they run.
pub fn search_path() -> &'static OsStr {
    static PATH: OnceLock<OsString> = OnceLock::new();
    PATH.get_or_init(|| std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into()))
}

/// The search path with a directory in front.
pub fn search_path_after(directory: &Path) -> OsString {
    let mut path = directory.as_os_str().to_owned();
    path.push(":");
    path.push(search_path());
    path
}

/// A program on the search path, if it is there.
pub fn find(name: &str) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    std::env::split_paths(search_path()).map(|directory| directory.join(name)).find(is_program)
}

/// Whether all of these programs are there; says which are missing.
#[track_caller]
pub fn has_programs(names: &[&'static str]) -> bool {
    let missing: Vec<&str> = names.iter().copied().filter(|name| find(name).is_none()).collect();
    let there = missing.is_empty();
    if !there {
        lacks(&missing);
    }
    there
}

/// A program that a test cannot do without; says so where it is missing.
#[track_caller]
pub fn program(name: &'static str) -> Option<Program> {
    let path = has_programs(&[name]).then(|| find(name))?;
    Some(Program::other(path?, name))
}

/// pykickstart's checker: named by `OSIER_KSVALIDATOR`, on the search path, or as `setup-tests`
/// installs it.
#[track_caller]
pub fn ksvalidator() -> Option<PathBuf> {
    checker("OSIER_KSVALIDATOR", find("ksvalidator"), "pykickstart/bin/ksvalidator", "ksvalidator")
}

/// The schema of Oz for templates: named by `OSIER_TDL_SCHEMA`, or as the package or `setup-tests`
/// installs it.
#[track_caller]
pub fn template_schema() -> Option<PathBuf> {
    let modules = Path::new("usr/lib/python3/dist-packages/oz/tdl.rng");
    let packaged = Path::new("/").join(modules);
    let installed = format!("oz/{}", modules.display());
    checker(
        "OSIER_TDL_SCHEMA",
        packaged.is_file().then_some(packaged),
        &installed,
        "the schema of Oz",
    )
}

#[track_caller]
fn checker(
    variable: &str,
    usual: Option<PathBuf>,
    installed: &str,
    name: &'static str,
) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from);
    // Both come from the world of Python, and are of no use without it.
    let installed = find("python3").map(|_| Path::new(CHECKERS).join(installed));
    let found = given.or(usual).or(installed).filter(|path| path.is_file());
    if found.is_none() {
        lacks(&[name]);
    }
    found
}

/// Says which programs a test misses; with `OSIER_REQUIRE_OSTREE=1` it fails.
#[track_caller]
pub fn lacks(programs: &[&str]) {
    let verb = if programs.len() == 1 { "is" } else { "are" };
    let reason = format!("{} {verb} missing", listed(programs.iter().copied()));
    note(&reason, |lacking| {
        lacking.programs.extend(programs.iter().map(|name| (*name).to_owned()))
    });
}

/// Says why a test does not run, or not wholly; with `OSIER_REQUIRE_OSTREE=1` it fails.
#[track_caller]
pub fn skip(reason: &str) {
    note(reason, |lacking| lacking.reasons.extend([reason.to_owned()]));
}

/// What one test lacks.
#[derive(Default)]
struct Lacking {
    programs: BTreeSet<String>,
    reasons: BTreeSet<String>,
}

#[track_caller]
fn note(reason: &str, add: impl FnOnce(&mut Lacking)) {
    assert!(
        std::env::var_os("OSIER_REQUIRE_OSTREE").is_none_or(|value| value != "1"),
        "cannot run: {reason}"
    );
    static TESTS: Mutex<BTreeMap<String, Lacking>> = Mutex::new(BTreeMap::new());
    let mut tests = TESTS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("a test").to_owned();
    if !tests.contains_key(&test) {
        let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {reason}");
    }
    add(tests.entry(test).or_default());
    Closing::line(&total(&tests));
}

/// The line at the end of the run.
fn total(tests: &BTreeMap<String, Lacking>) -> String {
    let count = |number: usize| format!("{number} test{}", if number == 1 { "" } else { "s" });
    let (without_programs, others): (Vec<&Lacking>, Vec<_>) =
        tests.values().partition(|test| !test.programs.is_empty());
    let mut parts = Vec::new();
    if !without_programs.is_empty() {
        let programs: BTreeSet<&str> =
            without_programs.iter().flat_map(|test| &test.programs).map(String::as_str).collect();
        let verb = if programs.len() == 1 { "is" } else { "are" };
        let number = count(without_programs.len());
        let programs = listed(programs);
        parts.push(format!(
            "{number} compared nothing: {programs} {verb} missing; `./setup-tests` installs them"
        ));
    }
    if !others.is_empty() {
        let reasons: BTreeSet<&str> =
            others.iter().flat_map(|test| &test.reasons).map(String::as_str).collect();
        let reasons = reasons.into_iter().collect::<Vec<_>>().join("; ");
        parts.push(format!("{} left something out: {reasons}", count(others.len())));
    }
    parts.join(". ")
}

/// `a`, `a and b`, `a, b and c`.
fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let mut names: Vec<&str> = names.into_iter().collect();
    match names.pop() {
        Some(last) if !names.is_empty() => format!("{} and {last}", names.join(", ")),
        last => last.unwrap_or_default().to_owned(),
    }
}

/// Prints a line when the run is over. The test runner has no place for that, so a shell waits for
/// the end of its standard input, which comes with the end of this process, however it ends, and
/// prints the last line that it has read.
struct Closing(Child);

impl Closing {
    const SCRIPT: &str =
        "while IFS= read -r line; do last=$line; done; printf '\\n%s\\n' \"$last\" >&2";

    /// Sets the line.
    fn line(line: &str) {
        static CLOSING: Mutex<Option<Closing>> = Mutex::new(None);
        let mut closing = CLOSING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if closing.is_none() {
            *closing = Self::start().ok();
        }
        if let Some(pipe) = closing.as_mut().and_then(|Self(shell)| shell.stdin.as_mut()) {
            let _ = writeln!(pipe, "{}", line.replace('\n', " "));
        }
    }

    fn start() -> std::io::Result<Self> {
        let shell = Command::new("sh")
            .args(["-c", Self::SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        shell.map(Self)
    }
}

#[test]
fn what_is_missing_is_reported_in_one_line() {
    let lacking = |programs: &[&str], reasons: &[&str]| Lacking {
        programs: programs.iter().map(|name| (*name).to_owned()).collect(),
        reasons: reasons.iter().map(|reason| (*reason).to_owned()).collect(),
    };
    let mut tests = BTreeMap::from([("one".to_owned(), lacking(&["strace"], &[]))]);
    assert_eq!(
        total(&tests),
        "1 test compared nothing: strace is missing; `./setup-tests` installs them"
    );
    tests.insert("two".to_owned(), lacking(&["ostree", "git"], &["needs root"]));
    tests.insert("three".to_owned(), lacking(&[], &["needs root"]));
    let expected = "2 tests compared nothing: git, ostree and strace are missing; `./setup-tests` \
        installs them. 1 test left something out: needs root";
    assert_eq!(total(&tests), expected);
}

#[test]
fn programs_are_found_on_the_search_path_only() {
    let shell = find("sh").unwrap();
    assert!(std::env::split_paths(search_path()).any(|directory| directory.join("sh") == shell));
    assert_eq!(find("no-such-program"), None);
    // A directory is no program, and neither is a file that may not be run.
    let name = Path::new(env!("CARGO_MANIFEST_DIR")).file_name().unwrap().to_str().unwrap();
    assert_eq!(find(&format!("../{name}")), None);
    assert_eq!(find("../../etc/passwd"), None);
}

/// Runs some tests of this suite where no program but the shell can be found.
fn run_bare(tests: &[&str], require: &str) -> super::Output {
    let directory = super::scratch();
    std::os::unix::fs::symlink(find("sh").unwrap(), directory.path().join("sh")).unwrap();
    let suite = Program::other(std::env::current_exe().unwrap(), "suite");
    let suite = suite.with("PATH", directory.path()).with("OSIER_REQUIRE_OSTREE", require);
    suite.run(["--exact", "--test-threads=2"].iter().chain(tests))
}

#[test]
fn without_programs_each_test_says_once_what_is_missing_and_the_run_ends_with_a_total() {
    let tests = [
        "compose_tree::a_version_is_one_line",
        "deflate::whatever_is_fed_comes_out_as_from_zlib",
        "http::tls::a_server_is_trusted_by_its_root_and_no_other",
        "remote::calls_do_what_they_do_in_the_real_program",
        "support::optional::programs_are_found_on_the_search_path_only",
    ];
    let verb = |names: &str| if names.contains(" and ") { "are missing" } else { "is missing" };
    let output = run_bare(&tests, "0");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let stdout = output.success();
    assert!(stdout.contains("\ntest result: ok. 5 passed; "), "{stdout}");
    let mut lines: Vec<&str> = said.lines().filter(|line| !line.is_empty()).collect();
    let total = lines.pop().unwrap();
    lines.sort_unstable();
    let skipped = tests.into_iter().zip(["python3", "python3", "nginx and openssl", "ostree"]);
    let skipped: Vec<String> =
        skipped.map(|(test, name)| format!("SKIPPED {test}: {name} {}", verb(name))).collect();
    assert_eq!(lines, skipped);
    let expected = "4 tests compared nothing: nginx, openssl, ostree and python3 are missing; \
        `./setup-tests` installs them";
    assert_eq!(total, expected);

    for (test, name) in tests.into_iter().zip(["python3", "python3", "nginx and openssl", "ostree"])
    {
        let output = run_bare(&[test], "1");
        assert_eq!(output.status, 101, "{output:?}");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains(&format!("cannot run: {name} {}", verb(name))), "{said}");
    }
}

#[test]
fn scripts_that_were_compared_with_nothing_are_no_success() {
    let output = run_bare(&["differential::command_lines_do_the_same_in_bare_user_only_mode"], "0");
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let stdout = output.success();
    assert!(stdout.contains("\ntest result: ok. 1 passed; "), "{stdout}");
    assert_eq!(said.matches("SKIPPED ").count(), 1, "{said}");
}
