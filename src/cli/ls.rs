//! `ls`: lists the files of a commit.

use osier::error::Context as _;
use osier::gvariant::text::{Annotate, print as print_variant};
use osier::gvariant::{Type, Variant};
use osier::object::{DirEntry, DirTree, Xattrs};
use osier::repo::Repo;
use osier::repo::tree::{self, Descent, Node};
use osier::{Checksum, Error};
use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::json::{self, List};
use super::options::OWN_OPTIONS;
use super::output::Output;

/// The options of `ls`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Do not recurse into directory arguments
    #[arg(short, long)]
    dironly: bool,
    /// Print directories recursively
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Print checksum
    #[arg(short = 'C', long)]
    checksum: bool,
    /// Print extended attributes
    #[arg(short = 'X', long)]
    xattrs: bool,
    /// Print only filenames, NUL separated
    #[arg(long)]
    nul_filenames_only: bool,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    arguments: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { dironly, recursive, checksum, xattrs, nul_filenames_only, json, arguments } = args;
    let repo = context.open_repo()?;
    let Some((rev, paths)) = arguments.split_first() else {
        return Err(Failure::usage("An COMMIT argument is required"));
    };
    let checksum_of_commit = repo.resolve_rev(rev)?;
    let commit = repo.load_commit(&checksum_of_commit)?;
    let root = Node::root_of(&commit);
    let depth = match (recursive, dironly) {
        (true, _) => Depth::All,
        (false, true) => Depth::None,
        (false, false) => Depth::Children,
    };
    let out = &context.out;
    let style = match (json, nul_filenames_only) {
        (true, _) => Style::Json(List::begin(
            out,
            &json!({ "commit": checksum_of_commit.to_hex() }),
            "entries",
        )?),
        (false, true) => Style::Names(out),
        (false, false) => Style::Lines { out, checksum, xattrs },
    };
    let mut listing = Listing { repo: &repo, style };
    let default = ["/".to_owned()];
    for path in if paths.is_empty() { &default } else { paths } {
        let inspecting = || format!("Inspecting path '{path}'");
        let place = tree::lookup(&repo, &root, path).context(inspecting)?;
        listing.print(&place.node, &place.path(), depth).map_err(|failure| match failure {
            Failure::Error(error) => {
                Error::During { what: inspecting(), source: Box::new(error) }.into()
            }
            other => other,
        })?;
    }
    listing.finish()
}

/// How deep a directory is listed.
#[derive(Clone, Copy)]
enum Depth {
    None,
    Children,
    All,
}

/// How files are listed.
struct Listing<'c> {
    repo: &'c Repo,
    style: Style<'c>,
}

/// What is printed for each file, and where.
enum Style<'c> {
    /// A line, with or without columns for its checksums and its xattrs.
    Lines { out: &'c Output, checksum: bool, xattrs: bool },
    /// Its path, and a NUL.
    Names(&'c Output),
    /// All of its metadata.
    Json(List<'c>),
}

/// The length of the prefix of the names in a directory, and the subdirectories that have not been
/// printed.
type Level = (usize, std::vec::IntoIter<DirEntry>);

impl Listing<'_> {
    fn print(&mut self, node: &Node, path: &str, depth: Depth) -> Result<(), Failure> {
        let (dirtree, dirmeta) = match node {
            Node::File(checksum) => return self.print_file(checksum, path),
            Node::Directory { dirtree, dirmeta } => (dirtree, dirmeta),
        };
        self.print_directory(dirtree, dirmeta, path)?;
        let is_recursive = match depth {
            Depth::None => return Ok(()),
            Depth::Children => false,
            Depth::All => true,
        };
        // A list instead of recursion: commits may be deep. They share one path, of which each
        // directory knows its length.
        let mut descent = Descent::default();
        let mut path = if path == "/" { String::new() } else { path.to_owned() };
        let mut levels = vec![self.enter(dirtree, &path, &mut descent)?];
        while let Some((prefix_len, dirs)) = levels.last_mut() {
            path.truncate(*prefix_len);
            let Some(dir) = dirs.next() else {
                levels.pop();
                descent.leave();
                continue;
            };
            path.push('/');
            path.push_str(&dir.name);
            self.print_directory(&dir.dirtree, &dir.dirmeta, &path)?;
            if is_recursive {
                levels.push(self.enter(&dir.dirtree, &path, &mut descent)?);
            }
        }
        Ok(())
    }

    /// Prints the files of a directory, and returns its subdirectories with the length of the
    /// prefix of their names.
    fn enter(
        &mut self,
        dirtree: &Checksum,
        prefix: &str,
        descent: &mut Descent,
    ) -> Result<Level, Failure> {
        descent.enter(dirtree)?;
        let DirTree { files, dirs } = self.repo.load_dirtree(dirtree)?;
        for (name, checksum) in &files {
            self.print_file(checksum, &format!("{prefix}/{name}"))?;
        }
        Ok((prefix.len(), dirs.into_iter()))
    }

    fn print_directory(
        &mut self,
        dirtree: &Checksum,
        dirmeta: &Checksum,
        path: &str,
    ) -> Result<(), Failure> {
        match &mut self.style {
            Style::Names(out) => write!(out, "{path}\0"),
            Style::Lines { out, checksum, xattrs } => {
                let meta = self.repo.load_dirmeta(dirmeta)?;
                let checksums =
                    if *checksum { format!("{dirtree} {dirmeta} ") } else { String::new() };
                let xattrs = xattrs_column(&meta.xattrs, *xattrs)?;
                let (mode, uid, gid) = (meta.mode & 0o7777, meta.uid, meta.gid);
                writeln!(out, "d0{mode:04o} {uid} {gid} {:>6} {checksums}{xattrs}{path}", 0)
            }
            Style::Json(list) => {
                let meta = self.repo.load_dirmeta(dirmeta)?;
                list.push(&json!({
                    "path": path,
                    "type": "directory",
                    "dirtree": dirtree.to_hex(),
                    "dirmeta": dirmeta.to_hex(),
                    "mode": json::mode(meta.mode),
                    "uid": meta.uid,
                    "gid": meta.gid,
                    "xattrs": json::xattrs(&meta.xattrs),
                }))
            }
        }
    }

    fn print_file(&mut self, checksum: &Checksum, path: &str) -> Result<(), Failure> {
        if let Style::Names(out) = &self.style {
            return write!(out, "{path}\0");
        }
        match &mut self.style {
            Style::Names(_) => Ok(()),
            Style::Lines { out, checksum: wants_checksum, xattrs } => {
                // Without xattrs the inode is sufficient, and unreadable files can be listed.
                let (header, size) = match *xattrs {
                    true => self.repo.load_file(checksum).map(|file| (file.header, file.size))?,
                    false => self.repo.stat_file(checksum)?,
                };
                let (kind, target) = match header.is_symlink() {
                    true => ('l', format!(" -> {}", header.symlink_target)),
                    false => ('-', String::new()),
                };
                let checksums =
                    if *wants_checksum { format!("{checksum} ") } else { String::new() };
                let xattrs = xattrs_column(&header.xattrs, *xattrs)?;
                let (mode, uid, gid) = (header.mode & 0o7777, header.uid, header.gid);
                writeln!(
                    out,
                    "{kind}0{mode:04o} {uid} {gid} {size:>6} {checksums}{xattrs}{path}{target}"
                )
            }
            Style::Json(list) => {
                let file = self.repo.load_file(checksum)?;
                let mut entry = json!({ "path": path, "type": json::file_type(&file), "checksum": checksum.to_hex() });
                json::file_fields(&mut entry, &file);
                list.push(&entry)
            }
        }
    }

    fn finish(self) -> Result<(), Failure> {
        match self.style {
            Style::Json(list) => list.finish(&json!({})),
            Style::Lines { .. } | Style::Names(_) => Ok(()),
        }
    }
}

fn xattrs_column(xattrs: &Xattrs, wanted: bool) -> Result<String, Failure> {
    Ok(if wanted { format!("{{ {} }} ", xattrs_text(xattrs)?) } else { String::new() })
}

/// Xattrs as GVariant text.
pub(super) fn xattrs_text(xattrs: &Xattrs) -> Result<String, Failure> {
    let bytes = xattrs.encode();
    let ty = Type::parse("a(ayay)").map_err(|error| Failure::failed(error.what))?;
    Ok(print_variant(Variant::new(ty, &bytes), Annotate::Yes))
}
