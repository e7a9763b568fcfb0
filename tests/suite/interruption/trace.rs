//! System calls as strace records them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use crate::support::{Program, can_trace, osier};

/// The calls of osier that change a file system.
const CALLS: &str = "write,rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,link,linkat,symlink,symlinkat,fsync,fdatasync,syncfs,fchmod,fchmodat,fchown,fchownat,fsetxattr,utimensat,ftruncate,copy_file_range";

/// A system call.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    /// As strace writes them: descriptors as `3</path>`, texts in quotes.
    pub arguments: Vec<String>,
    result: String,
    /// The line in which it begins.
    pub start: usize,
    /// The line in which it ends; another one when other threads came between.
    pub end: usize,
}

/// Runs osier under strace in that directory; `None` where that cannot be done.
#[track_caller]
pub fn record(at: &Path, arguments: &[&str]) -> Option<Vec<Call>> {
    if !can_trace() {
        return None;
    }
    let strace = Program::other("strace", "strace").in_directory(at);
    let trace = format!("trace={CALLS}");
    let program = osier().path;
    let options =
        ["-f", "-qq", "-y", "-s", "4096", "-o", "trace", "-e", &trace, program.to_str().unwrap()];
    strace.run([&options, arguments].concat()).success();
    Some(parse(&fs::read_to_string(at.join("trace")).unwrap()))
}

fn parse(text: &str) -> Vec<Call> {
    let mut calls = Vec::new();
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if let Some(beginning) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (number, beginning));
        } else if let Some(resumed) = rest.strip_prefix("<... ") {
            let (start, beginning) = unfinished.remove(thread).unwrap();
            let (_, ending) = resumed.split_once(" resumed>").unwrap();
            calls.extend(Call::parse(&format!("{beginning}{ending}"), start, number));
        } else {
            calls.extend(Call::parse(rest, number, number));
        }
    }
    calls.sort_by_key(|call| call.start);
    calls
}

impl Call {
    /// `None` for lines about signals and ends of threads.
    fn parse(line: &str, start: usize, end: usize) -> Option<Self> {
        let (call, result) = line.rsplit_once(") ")?;
        let (name, arguments) = call.split_once('(')?;
        let result = result.trim_start().strip_prefix("= ")?.to_owned();
        Some(Self { name: name.to_owned(), arguments: split(arguments), result, start, end })
    }

    pub fn succeeded(&self) -> bool {
        !self.result.starts_with('-')
    }

    pub fn is_rename(&self) -> bool {
        self.name.starts_with("rename") && self.succeeded()
    }

    /// Whether it syncs the file or directory whose path ends so.
    pub fn is_sync_of(&self, path: &str) -> bool {
        matches!(self.name.as_str(), "fsync" | "fdatasync") && self.fd_path(0).ends_with(path)
    }

    /// The path of the descriptor at that place.
    pub fn fd_path(&self, place: usize) -> String {
        let found = self.arguments.get(place).and_then(|argument| argument.split_once('<'));
        found.map(|(_, path)| path.trim_end_matches('>').to_owned()).unwrap_or_default()
    }

    /// The number of the descriptor at that place.
    pub fn fd_number(&self, place: usize) -> &str {
        self.arguments
            .get(place)
            .and_then(|argument| argument.split_once('<'))
            .map_or("", |(number, _)| number)
    }

    /// The path that a directory at that place and the name after it make, or a call without
    /// directories has there.
    pub fn path(&self, place: usize) -> String {
        if !self.name.contains("at") {
            // `rename(FROM, TO)`: the places are counted as if there were directories.
            return self
                .arguments
                .get(place / 2)
                .map(|name| name.trim_matches('"').to_owned())
                .unwrap_or_default();
        }
        let name =
            self.arguments.get(place + 1).map(|name| name.trim_matches('"')).unwrap_or_default();
        if name.starts_with('/') {
            name.to_owned()
        } else {
            format!("{}/{name}", self.fd_path(place))
        }
    }
}

/// Splits arguments at commas that stand neither in quotes nor in the path of a descriptor.
fn split(arguments: &str) -> Vec<String> {
    let (mut quoted, mut depth) = (false, 0);
    let mut parts = vec![String::new()];
    for c in arguments.chars() {
        match c {
            '"' => quoted = !quoted,
            '<' if !quoted => depth += 1,
            '>' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        parts.last_mut().unwrap().push(c);
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}
