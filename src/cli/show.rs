//! `show`: prints an object, or parts of a commit.

use std::path::{Path, PathBuf};

use osier::Checksum;
use osier::error::{Context as _, During as _};
use osier::gvariant::text::{Annotate, print as print_variant};
use osier::gvariant::{Dict, Type, Variant};
use osier::object::{DIRMETA_TYPE, DIRTREE_TYPE, ObjectName, ObjectType, SizeEntry, key};
use osier::repo::{Repo, RepoMode};
use osier::units::format_size;
use serde_json::{Value, json};

use super::context::Context;
use super::engine_signatures;
use super::error::Failure;
use super::json::{self, Numbers};
use super::ls::xattrs_text;
use super::options::{OWN_OPTIONS, path};
use super::output::Output;
use super::print_commit::{self, Form, print_variant_of};
#[cfg(feature = "gpg")]
use super::signatures;

/// The options of `show`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Show the "related" commits
    #[arg(long)]
    print_related: bool,
    /// Memory map OBJECT (in this case a filename) to the GVariant type string
    #[arg(long, value_name = "TYPE")]
    print_variant_type: Option<String>,
    /// List the available metadata keys
    #[arg(long)]
    list_metadata_keys: bool,
    /// Print string value of metadata key
    #[arg(long, value_name = "KEY")]
    print_metadata_key: Option<String>,
    /// For byte array valued keys, print an unquoted hexadecimal string
    #[arg(long)]
    print_hex: bool,
    /// List the available detached metadata keys
    #[arg(long)]
    list_detached_metadata_keys: bool,
    /// Print string value of detached metadata key
    #[arg(long, value_name = "KEY")]
    print_detached_metadata_key: Option<String>,
    /// Show the commit size metadata
    #[arg(long)]
    print_sizes: bool,
    /// Show raw variant data
    #[arg(long)]
    raw: bool,
    /// Do not automatically convert variant data from big endian
    #[arg(short = 'B', long)]
    no_byteswap: bool,
    /// GPG Homedir to use when looking for keyrings
    #[arg(long, value_name = "HOMEDIR", value_parser = path())]
    gpg_homedir: Option<PathBuf>,
    /// Use REMOTE name for GPG configuration
    #[arg(long, value_name = "REMOTE")]
    gpg_verify_remote: Option<String>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    objects: Vec<String>,
}

/// What to print.
enum Request {
    Key(Dictionary, String),
    Keys(Dictionary),
    Related,
    Variant(String),
    Sizes,
    Object,
}

/// Which metadata of a commit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dictionary {
    Commit,
    Detached,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args {
        print_related,
        print_variant_type,
        list_metadata_keys,
        print_metadata_key,
        print_hex,
        list_detached_metadata_keys,
        print_detached_metadata_key,
        print_sizes,
        raw,
        no_byteswap,
        gpg_homedir,
        gpg_verify_remote,
        json,
        objects,
    } = args;
    let repo = context.open_repo()?;
    #[cfg(not(feature = "gpg"))]
    if gpg_homedir.is_some() || gpg_verify_remote.is_some() {
        return Err(Failure::failed("GPG has been disabled at build time"));
    }
    let Some(object) = objects.first() else {
        return Err(Failure::usage("An object argument is required"));
    };
    // With several requests, this is the order in which ostree picks one.
    let request = if let Some(key) = print_detached_metadata_key {
        Request::Key(Dictionary::Detached, key)
    } else if let Some(key) = print_metadata_key {
        Request::Key(Dictionary::Commit, key)
    } else if list_detached_metadata_keys {
        Request::Keys(Dictionary::Detached)
    } else if list_metadata_keys {
        Request::Keys(Dictionary::Commit)
    } else if print_related {
        Request::Related
    } else if let Some(ty) = print_variant_type {
        Request::Variant(ty)
    } else if print_sizes {
        Request::Sizes
    } else {
        Request::Object
    };
    let form = match (no_byteswap, raw) {
        (true, _) => Form::Unswapped,
        (false, true) => Form::Raw,
        (false, false) => Form::Pretty,
    };
    let out = &context.out;
    if json {
        let numbers =
            if form == Form::Unswapped { Numbers::LittleEndian } else { Numbers::BigEndian };
        return json::print(&document(&repo, object, request, numbers)?, out);
    }
    match request {
        Request::Key(dictionary, key) => {
            let metadata = load(&repo, object, dictionary)?;
            let value = metadata.get(&key).ok_or_else(|| no_such_key(&key))?.view();
            let hex = if print_hex { value.as_bytes() } else { None };
            print_value(value, hex, form, out)
        }
        Request::Keys(dictionary) => {
            let metadata = load(&repo, object, dictionary)?;
            let mut keys: Vec<&str> = metadata.iter().map(|(key, _)| key).collect();
            keys.sort_unstable();
            keys.into_iter().try_for_each(|key| writeln!(out, "{key}"))
        }
        Request::Related => {
            let commit = repo.load_commit(&repo.resolve_rev(object)?)?;
            commit.related.iter().try_for_each(|(name, commit)| writeln!(out, "{name} {commit}"))
        }
        Request::Variant(ty) => print_file(&ty, object.as_ref(), out),
        Request::Sizes => print_sizes_of(&repo, &repo.resolve_rev(object)?, out),
        Request::Object => {
            let Some(commit) = print_object(&repo, object, form, out)? else { return Ok(()) };
            engine_signatures::explain_commit(&repo, &commit)?;
            #[cfg(feature = "gpg")]
            signatures::print(
                &repo,
                &commit,
                &signatures::Places {
                    homedir: gpg_homedir.as_deref(),
                    remote: gpg_verify_remote.as_deref(),
                    rev: object,
                },
                out,
            )?;
            Ok(())
        }
    }
}

/// The same as JSON.
fn document(
    repo: &Repo,
    object: &str,
    request: Request,
    numbers: Numbers,
) -> Result<Value, Failure> {
    Ok(match request {
        Request::Key(dictionary, key) => {
            let metadata = load(repo, object, dictionary)?;
            json::with_key(
                &key,
                metadata.get(&key).ok_or_else(|| no_such_key(&key))?.view(),
                numbers,
            )
        }
        Request::Keys(dictionary) => json::keys(&load(repo, object, dictionary)?),
        Request::Related => {
            json!({ "related": json::related(&repo.load_commit(&repo.resolve_rev(object)?)?.related) })
        }
        Request::Variant(ty) => {
            json::variant_of(file_as_variant(&ty, object.as_ref())?.view(), Numbers::BigEndian)
        }
        Request::Sizes => {
            let [needed, total] = sizes_of(repo, &repo.resolve_rev(object)?)?
                .map(|sizes| json!({ "compressed_bytes": sizes[0], "unpacked_bytes": sizes[1], "objects": sizes[2] }));
            json!({ "needed": needed, "total": total })
        }
        Request::Object => match Checksum::from_hex(object) {
            Ok(checksum) => json::object(repo, &checksum, numbers)?,
            Err(_) => json::object(repo, &repo.resolve_rev(object)?, numbers)?,
        },
    })
}

fn no_such_key(key: &str) -> Failure {
    Failure::failed(format!("No such metadata key '{key}'"))
}

fn load(repo: &Repo, rev: &str, dictionary: Dictionary) -> Result<Dict, Failure> {
    let commit = repo.resolve_rev(rev)?;
    match dictionary {
        Dictionary::Commit => Ok(repo.load_commit(&commit)?.metadata),
        Dictionary::Detached => repo
            .load_detached_metadata(&commit)?
            .ok_or_else(|| Failure::failed(format!("No detached metadata for commit {commit}"))),
    }
}

fn print_value(
    value: Variant<'_>,
    hex: Option<&[u8]>,
    form: Form,
    out: &Output,
) -> Result<(), Failure> {
    if let Some(bytes) = hex {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        return writeln!(out, "{digits}");
    }
    match form {
        Form::Unswapped => writeln!(out, "{}", print_variant(value, Annotate::Yes)),
        Form::Pretty | Form::Raw => {
            writeln!(out, "{}", print_variant(value.byteswapped().view(), Annotate::Yes))
        }
    }
}

/// Prints a file as a value of a given type; parts not in normal form have default values.
fn print_file(ty: &str, path: &Path, out: &Output) -> Result<(), Failure> {
    let value = file_as_variant(ty, path)?;
    writeln!(out, "{}", print_variant(value.view().byteswapped().view(), Annotate::Yes))
}

fn file_as_variant(ty: &str, path: &Path) -> Result<osier::gvariant::Value, Failure> {
    let ty = Type::parse(ty)
        .map_err(|error| Failure::failed(format!("Invalid type '{ty}': {}", error.what)))?;
    let bytes = osier::input::read_named(path).calling("openat", path)?;
    Ok(Variant::new(ty, &bytes).to_value())
}

/// Prints how much of the commit's listed content is missing.
fn print_sizes_of(repo: &Repo, commit: &Checksum, out: &Output) -> Result<(), Failure> {
    let [needed, total] = sizes_of(repo, commit)?;
    for (what, index) in [("Compressed", 0), ("Unpacked", 1)] {
        let (needed, total) = (format_size(needed[index]), format_size(total[index]));
        writeln!(out, "{what} size (needed/total): {needed}/{total}")?;
    }
    writeln!(out, "Number of objects (needed/total): {}/{}", needed[2], total[2])
}

/// Compressed bytes, unpacked bytes and number of objects: first of the missing objects, then of
/// all.
fn sizes_of(repo: &Repo, commit: &Checksum) -> Result<[[u64; 3]; 2], Failure> {
    let commit = repo.load_commit(commit)?;
    let Some(entries) =
        commit.metadata.get(key::SIZES).filter(|value| value.type_string() == "aay")
    else {
        return Err(Failure::failed("No metadata key ostree.sizes in commit"));
    };
    let (mut needed, mut total) = ([0u64; 3], [0u64; 3]);
    for entry in entries.view().children() {
        let bytes = entry.as_bytes().unwrap_or_default();
        let entry = SizeEntry::decode(bytes).map_err(|error| Failure::failed(error.what))?;
        let sums = if repo.has_object(&entry.name)? {
            &mut [&mut total][..]
        } else {
            &mut [&mut total, &mut needed]
        };
        for sum in sums {
            for (sum, value) in sum.iter_mut().zip([entry.stored, entry.unpacked, 1]) {
                *sum = sum.saturating_add(value);
            }
        }
    }
    Ok([needed, total])
}

/// Prints the commit of a rev, or any object whose full checksum is given; returns the commit if it
/// was one.
fn print_object(
    repo: &Repo,
    object: &str,
    form: Form,
    out: &Output,
) -> Result<Option<Checksum>, Failure> {
    let named = Checksum::from_hex(object).ok();
    let is_there = |checksum: &Checksum, object_type| {
        repo.has_object(&ObjectName::new(*checksum, object_type))
    };
    let checksum = match named {
        Some(checksum) if !is_there(&checksum, ObjectType::Commit)? => checksum,
        _ => {
            let commit = named.map_or_else(|| repo.resolve_rev(object), Ok)?;
            print_commit::print(repo, &commit, form, out)?;
            return Ok(Some(commit));
        }
    };
    for (object_type, ty) in
        [(ObjectType::DirMeta, DIRMETA_TYPE), (ObjectType::DirTree, DIRTREE_TYPE)]
    {
        if is_there(&checksum, object_type)? {
            writeln!(out, "{object_type} {checksum}")?;
            let bytes = repo.load_metadata(&ObjectName::new(checksum, object_type))?;
            print_variant_of(ty, &bytes, form, out)?;
            return Ok(None);
        }
    }
    print_file_object(repo, &checksum, out)?;
    Ok(None)
}

fn print_file_object(repo: &Repo, checksum: &Checksum, out: &Output) -> Result<(), Failure> {
    let loaded = repo.load_file(checksum);
    let file = match repo.mode() {
        RepoMode::Archive => loaded?,
        // Upstream opens the object directly there.
        _ => loaded.context(|| format!("Opening content object {checksum}"))?,
    };
    let header = &file.header;
    writeln!(out, "Object: {checksum}\nType: {}", ObjectType::File)?;
    match header.is_symlink() {
        true => writeln!(out, "File Type: symlink\nTarget: {}", header.symlink_target)?,
        false => writeln!(out, "File Type: regular\nSize: {}", file.size)?,
    }
    writeln!(out, "Mode: 0{:04o}\nUid: {}\nGid: {}", header.mode, header.uid, header.gid)?;
    writeln!(out, "Extended Attributes: {{ {} }}", xattrs_text(&header.xattrs)?)
}
