//! Measures how the cost of each operation grows with a repository, in time and in memory, for
//! osier alone.
//!
//! A [`Shape`] is a kind of repository that is large in one way. It is created in several sizes,
//! and operations run on each, one after the other. The output of an operation is removed before
//! the next one, because the largest sizes do not fit on the disk several times.

use std::fs;
use std::path::{Path, PathBuf};

use super::child::{self, Measurement};
use super::synthetic::{self, create, local};
use crate::error::{During, Error, Result};
use crate::object::{DirEntry, DirTree, ObjectType};
use crate::progress::Progress;
use crate::repo::Transaction;
use crate::trial::{Scratch, Steps, check_interrupt};

/// The options of a measurement.
#[derive(Clone, Debug)]
pub struct ScaleOptions {
    /// The program under test.
    pub osier: PathBuf,
    /// An existing directory for repositories. A subdirectory is created in it and removed at the
    /// end.
    pub scratch: PathBuf,
    /// Objects in the largest repository; everything else is in proportion to it.
    pub objects: u64,
}

/// The results of a run.
#[derive(Clone, Debug)]
pub struct ScaleReport {
    /// One for each kind of repository.
    pub shapes: Vec<ShapeReport>,
}

/// The figures of one kind of repository.
#[derive(Clone, Debug)]
pub struct ShapeReport {
    /// The unit of its size, such as refs.
    pub unit: &'static str,
    /// The sizes, smallest first.
    pub sizes: Vec<u64>,
    /// One for each operation.
    pub rows: Vec<ScaleRow>,
    /// Why sizes are missing, if some could not be made.
    pub skipped: Option<String>,
}

/// One operation on repositories of one kind.
#[derive(Clone, Debug)]
pub struct ScaleRow {
    /// A short form of the command.
    pub operation: &'static str,
    /// One for each size.
    pub runs: Vec<Measurement>,
}

impl ShapeReport {
    /// The growth in time relative to the growth of the repository, from the last size but one to
    /// the last: 1 is linear growth. `None` for fewer than two sizes.
    pub fn growth(&self, row: &ScaleRow) -> Option<f64> {
        let (larger, smaller) = (row.runs.last()?, row.runs.iter().rev().nth(1)?);
        let (more, fewer) = (self.sizes.last()?, self.sizes.iter().rev().nth(1)?);
        let times = larger.time.as_secs_f64() / smaller.time.as_secs_f64();
        Some(times / (*more as f64 / *fewer as f64))
    }

    /// Bytes of memory for each additional unit, from the smallest size to the largest. `None` for
    /// fewer than two.
    pub fn bytes_each(&self, row: &ScaleRow) -> Option<f64> {
        let (more, fewer) = (*self.sizes.last()? as f64, *self.sizes.first()? as f64);
        let (larger, smaller) =
            (row.runs.last()?.peak_memory as f64, row.runs.first()?.peak_memory as f64);
        (more > fewer).then(|| (larger - smaller) / (more - fewer))
    }
}

/// The branch of every commit.
const BRANCH: &str = "main";

/// The branch with half of the content of [`BRANCH`].
const HALF: &str = "half";

/// The depth of nested directories, independent of the largest repository.
const DEPTH: u64 = 200;

/// Bytes of a file for each object of the largest repository: 6 GiB for a million.
const FILE_BYTES_PER_OBJECT: u64 = (6 << 30) / 1_000_000;

/// A kind of repository.
struct Shape {
    unit: &'static str,
    /// The largest size, computed from the number of objects in the largest repository.
    sizes: fn(u64) -> Vec<u64>,
    /// Creates `repo`, or the directory `tree`, in a directory.
    make: fn(&Path, u64, &dyn Progress) -> Result<()>,
    /// Free bytes that the operations need for each unit.
    bytes_each: u64,
    /// Files that the operations need for each unit.
    files_each: u64,
    operations: &'static [Operation],
}

/// A command to measure.
struct Operation {
    name: &'static str,
    /// Commands to run before, unmeasured; the first word names the repository.
    before: &'static [&'static [&'static str]],
    /// What to remove before that.
    make_room: &'static [&'static str],
    /// The command; the first word names the repository. `@name` is a path in the directory of the
    /// size.
    command: &'static [&'static str],
    /// What to remove afterwards.
    remove: &'static [&'static str],
}

const fn operation(name: &'static str, command: &'static [&'static str]) -> Operation {
    Operation { name, before: &[], make_room: &[], command, remove: &[] }
}

const FSCK: Operation = operation("fsck", &["repo", "fsck", "-q"]);
const LS: Operation = operation("ls -R", &["repo", "ls", "-R", BRANCH]);
const LOG: Operation = operation("log", &["repo", "log", BRANCH]);
const REFS: Operation = operation("refs", &["repo", "refs"]);
const SUMMARY: Operation = operation("summary -u", &["repo", "summary", "-u"]);
const PULL: Operation = Operation {
    name: "pull-local, to bare-user",
    make_room: &[],
    before: &[&["pulled", "init", "--mode=bare-user"]],
    command: &["pulled", "pull-local", "--depth=-1", "@repo"],
    remove: &["pulled"],
};
const EXPORT: Operation = Operation {
    name: "export",
    make_room: &[],
    before: &[],
    command: &["repo", "export", "--output=@export.tar", BRANCH],
    remove: &["export.tar"],
};
const DIFF: Operation = operation("diff", &["repo", "diff", HALF, BRANCH]);
/// Keeps the tree for [`COMMIT`].
const CHECKOUT: Operation =
    operation("checkout -U", &["repo", "checkout", "-U", "--disable-cache", BRANCH, "@tree"]);
const PRUNE: Operation = operation("prune, nothing to remove", &["repo", "prune", "--refs-only"]);
/// Comes last, because it removes most of the repository.
const PRUNE_HALF: Operation = Operation {
    name: "prune of one half",
    make_room: &[],
    before: &[&["repo", "refs", "--delete", BRANCH]],
    command: &["repo", "prune", "--refs-only"],
    remove: &[],
};
/// The repository that was read before is removed to make room for another.
const COMMIT: Operation = Operation {
    name: "first commit, archive",
    make_room: &["repo"],
    before: &[&["committed", "init", "--mode=archive"]],
    command: &["committed", "commit", "-b", BRANCH, "--timestamp=1970-01-01", "--tree=dir=@tree"],
    remove: &[],
};
const AGAIN: Operation = Operation {
    name: "same tree again",
    make_room: &[],
    before: &[],
    command: &["committed", "commit", "-b", BRANCH, "--timestamp=1970-01-01", "--tree=dir=@tree"],
    remove: &[],
};
/// For a tree that was created without a repository.
const COMMIT_FILE: Operation = Operation {
    name: "first commit, archive",
    make_room: &[],
    before: &[&["repo", "init", "--mode=archive"]],
    command: &["repo", "commit", "-b", BRANCH, "--timestamp=1970-01-01", "--tree=dir=@tree"],
    remove: &["tree"],
};
const CHECKOUT_FILE: Operation = Operation { remove: &["tree"], ..CHECKOUT };

static SHAPES: [Shape; 6] = [
    Shape {
        unit: "objects",
        sizes: |objects| parts(objects, [100, 10, 1]),
        make: make_objects,
        bytes_each: 2 * 4096,
        files_each: 2,
        operations: &[FSCK, LS, DIFF, PULL, EXPORT, CHECKOUT, PRUNE_HALF, COMMIT, AGAIN],
    },
    Shape {
        unit: "refs",
        sizes: |objects| parts(objects, [1000, 100, 10]),
        make: make_refs,
        bytes_each: 4 * 4096,
        files_each: 4,
        operations: &[REFS, SUMMARY, FSCK, PULL, PRUNE],
    },
    Shape {
        unit: "commits in a chain",
        sizes: |objects| parts(objects, [10_000, 1000, 100]),
        make: make_chain,
        bytes_each: 2 * 4096,
        files_each: 2,
        operations: &[LOG, FSCK, SUMMARY, PULL, PRUNE],
    },
    Shape {
        unit: "files in one directory",
        sizes: |objects| parts(objects, [1000, 100, 10]),
        make: make_directory,
        bytes_each: 3 * 4096,
        files_each: 3,
        operations: &[FSCK, LS, PULL, EXPORT, CHECKOUT, COMMIT, AGAIN],
    },
    Shape {
        unit: "bytes in one file",
        sizes: |objects| parts(objects.saturating_mul(FILE_BYTES_PER_OBJECT), [100, 10, 1]),
        make: make_file,
        bytes_each: 1,
        files_each: 0,
        operations: &[COMMIT_FILE, FSCK, PULL, EXPORT, CHECKOUT_FILE],
    },
    Shape {
        unit: "levels of directories",
        sizes: |_| vec![DEPTH / 10, DEPTH],
        make: make_deep,
        bytes_each: 3 * 4096,
        files_each: 6,
        operations: &[FSCK, LS, PULL, EXPORT, CHECKOUT, COMMIT, AGAIN],
    },
];

/// Growing sizes, at least 1 each.
fn parts(whole: u64, divisors: [u64; 3]) -> Vec<u64> {
    let mut sizes = divisors.map(|divisor| (whole / divisor).max(1)).to_vec();
    sizes.dedup();
    sizes
}

/// Runs all measurements. Sizes for which there is no room are left out, and the report says so.
///
/// # Errors
/// When a repository cannot be made, or an operation fails.
pub fn run_scale(options: &ScaleOptions, progress: &dyn Progress) -> Result<ScaleReport> {
    const SMALLEST: u64 = 1000;
    if options.objects < SMALLEST {
        return Err(Error::failed(format!(
            "fewer than {SMALLEST} objects say nothing about growth"
        )));
    }
    let scratch = Scratch::create(&options.scratch, "osier-bench", progress)?;
    // The repository is created first, then the operations run.
    let runs = |shape: &Shape| (shape.sizes)(options.objects).len() * (1 + shape.operations.len());
    let mut steps = Steps::new(progress, SHAPES.iter().map(runs).sum());
    let mut shapes = Vec::new();
    for (number, shape) in SHAPES.iter().enumerate() {
        let sizes = (shape.sizes)(options.objects);
        let rows = shape
            .operations
            .iter()
            .map(|operation| ScaleRow { operation: operation.name, runs: Vec::new() });
        let mut report = ShapeReport {
            unit: shape.unit,
            sizes: Vec::new(),
            rows: rows.collect(),
            skipped: None,
        };
        for size in sizes {
            if let Some(reason) = lacks_room(&scratch.path, shape, size)? {
                report.skipped = Some(reason);
                break;
            }
            let directory = scratch.path.join(format!("{number}-{size}"));
            fs::create_dir(&directory).during("creating", &directory)?;
            steps.begin(&format!("making {size} {}", shape.unit))?;
            (shape.make)(&directory, size, progress)?;
            let place = Place { osier: &options.osier, directory: &directory, progress };
            for (operation, row) in shape.operations.iter().zip(&mut report.rows) {
                steps.begin(&format!("osier: {} with {size} {}", operation.name, shape.unit))?;
                row.runs.push(measure(&place, operation, size.saturating_mul(shape.bytes_each))?);
            }
            report.sizes.push(size);
            fs::remove_dir_all(&directory).during("removing", &directory)?;
        }
        shapes.push(report);
    }
    Ok(ScaleReport { shapes })
}

fn lacks_room(scratch: &Path, shape: &Shape, size: u64) -> Result<Option<String>> {
    let found = rustix::fs::statvfs(scratch).during("looking at", scratch)?;
    let (bytes, files) =
        (size.saturating_mul(shape.bytes_each), size.saturating_mul(shape.files_each));
    // A tenth more, for overhead.
    let (needed_bytes, needed_files) = (bytes + bytes / 10, files + files / 10);
    let free_bytes = found.f_bavail.saturating_mul(found.f_frsize);
    let lacking = if free_bytes < needed_bytes {
        format!("{needed_bytes} bytes are needed, {free_bytes} are free")
    // File systems without a limit report 0.
    } else if found.f_files > 0 && found.f_favail < needed_files {
        format!("{needed_files} files are needed, there is room for {}", found.f_favail)
    } else {
        return Ok(None);
    };
    Ok(Some(format!("{size} {} have no room in {}: {lacking}", shape.unit, scratch.display())))
}

/// Where operations run.
struct Place<'p> {
    osier: &'p Path,
    directory: &'p Path,
    progress: &'p dyn Progress,
}

/// Runs an operation with `memory` bytes of memory ready.
fn measure(place: &Place<'_>, operation: &Operation, memory: u64) -> Result<Measurement> {
    let Place { osier, directory, progress } = *place;
    let run = |command: &[&str]| {
        let (repo, arguments) =
            command.split_first().ok_or_else(|| Error::failed("a command without repository"))?;
        let repo = directory.join(repo);
        if arguments.first() == Some(&"init") {
            fs::create_dir(&repo).during("creating", &repo)?;
        }
        let in_directory = format!("{}/", directory.display());
        let arguments: Vec<String> =
            arguments.iter().map(|argument| argument.replacen('@', &in_directory, 1)).collect();
        child::run(osier, &repo, &arguments, progress)
    };
    remove(directory, operation.make_room)?;
    for command in operation.before {
        run(command)?;
    }
    child::warm_memory(memory);
    // Only the figures matter; the output can grow with the repository.
    let measured = Measurement { stdout: String::new(), ..run(operation.command)? };
    remove(directory, operation.remove)?;
    Ok(measured)
}

fn remove(directory: &Path, names: &[&str]) -> Result<()> {
    for name in names {
        let path = directory.join(name);
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
            .during("removing", &path)?;
    }
    Ok(())
}

fn make_objects(directory: &Path, objects: u64, progress: &dyn Progress) -> Result<()> {
    let repo = create(&directory.join("repo"))?;
    let mut transaction = Transaction::begin(&repo)?;
    // The commits and dirtrees of the half are not counted among the objects.
    let whole = synthetic::write_objects(&transaction, 0..objects, "all", progress)?;
    let half = synthetic::write_objects(&transaction, 0..objects / 2, "one half", progress)?;
    transaction.set_ref(local(BRANCH)?, Some(whole));
    transaction.set_ref(local(HALF)?, Some(half));
    transaction.commit()?;
    Ok(())
}

fn make_refs(directory: &Path, refs: u64, progress: &dyn Progress) -> Result<()> {
    let repo = create(&directory.join("repo"))?;
    let mut transaction = Transaction::begin(&repo)?;
    let root = synthetic::write_files(&transaction, 0..10, progress)?;
    for number in 0..refs {
        check_interrupt(progress)?;
        let commit =
            synthetic::write_commit(&transaction, root, None, &format!("commit of ref {number}"))?;
        transaction
            .set_ref(local(&format!("group{:03}/ref{number:06}", number % 100))?, Some(commit));
    }
    transaction.commit()?;
    Ok(())
}

fn make_chain(directory: &Path, commits: u64, progress: &dyn Progress) -> Result<()> {
    let repo = create(&directory.join("repo"))?;
    let mut transaction = Transaction::begin(&repo)?;
    let root = synthetic::write_files(&transaction, 0..10, progress)?;
    let mut last = None;
    for number in 0..commits {
        check_interrupt(progress)?;
        last =
            Some(synthetic::write_commit(&transaction, root, last, &format!("commit {number}"))?);
    }
    transaction.set_ref(local(BRANCH)?, last);
    transaction.commit()?;
    Ok(())
}

fn make_directory(directory: &Path, files: u64, progress: &dyn Progress) -> Result<()> {
    let repo = create(&directory.join("repo"))?;
    let mut transaction = Transaction::begin(&repo)?;
    let dirmeta = synthetic::write_dirmeta(&transaction)?;
    let dirtree = synthetic::write_directory(&transaction, 0..files, progress)?;
    let commit = synthetic::write_commit(&transaction, (dirtree, dirmeta), None, "one directory")?;
    transaction.set_ref(local(BRANCH)?, Some(commit));
    transaction.commit()?;
    Ok(())
}

/// A tree with a sparse file: no repository, because writing the object is one of the operations.
fn make_file(directory: &Path, bytes: u64, _progress: &dyn Progress) -> Result<()> {
    let tree = directory.join("tree");
    fs::create_dir(&tree).during("creating", &tree)?;
    let path = tree.join("file");
    let file = fs::File::create(&path).during("creating", &path)?;
    file.set_len(bytes).during("extending", &path)
}

fn make_deep(directory: &Path, levels: u64, progress: &dyn Progress) -> Result<()> {
    const FILES_PER_LEVEL: u64 = 1;
    let repo = create(&directory.join("repo"))?;
    let mut transaction = Transaction::begin(&repo)?;
    let dirmeta = synthetic::write_dirmeta(&transaction)?;
    let mut dirtree = synthetic::write_directory(&transaction, 0..FILES_PER_LEVEL, progress)?;
    for _ in 1..levels {
        let below = DirEntry { name: "below".to_owned(), dirtree, dirmeta };
        let level = DirTree { files: Vec::new(), dirs: vec![below] };
        dirtree = transaction.write_metadata(ObjectType::DirTree, &level.encode())?;
    }
    let commit = synthetic::write_commit(&transaction, (dirtree, dirmeta), None, "deep")?;
    transaction.set_ref(local(BRANCH)?, Some(commit));
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn growth_is_derived_from_the_figures() {
        let run = |seconds, peak_memory| Measurement {
            time: Duration::from_secs(seconds),
            peak_memory,
            ..Measurement::default()
        };
        let row = |runs| ScaleRow { operation: "fsck", runs };
        let shape = ShapeReport {
            unit: "objects",
            sizes: vec![10, 100, 1000],
            rows: Vec::new(),
            skipped: None,
        };
        let linear = row(vec![run(1, 1000), run(3, 2000), run(30, 100_000)]);
        assert_eq!(shape.growth(&linear), Some(1.0));
        assert_eq!(shape.bytes_each(&linear), Some(100.0));
        let quadratic = row(vec![run(1, 1000), run(3, 1000), run(300, 1000)]);
        assert_eq!(shape.growth(&quadratic), Some(10.0));
        assert_eq!(shape.bytes_each(&quadratic), Some(0.0));
        let alone = ShapeReport { sizes: vec![10], ..shape };
        assert_eq!(
            (alone.growth(&row(vec![run(1, 1)])), alone.bytes_each(&row(vec![run(1, 1)]))),
            (None, None)
        );
    }

    #[test]
    fn what_does_not_fit_is_left_out_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let file = SHAPES.iter().find(|shape| shape.unit == "bytes in one file").unwrap();
        assert_eq!(lacks_room(directory.path(), file, 1).unwrap(), None);
        let reason = lacks_room(directory.path(), file, 1 << 60).unwrap().unwrap();
        let start = format!(
            "{} bytes in one file have no room in {}: ",
            1_u64 << 60,
            directory.path().display()
        );
        assert!(reason.starts_with(&start), "{reason}");
    }
}
