//! How `show` and `log` print a commit.

use osier::Checksum;
use osier::date;
use osier::error::OfObject;
use osier::gvariant::text::{Annotate, print as print_variant};
use osier::gvariant::{Type, Variant};
use osier::object::{COMMIT_TYPE, Commit, ObjectName, ObjectType};
use osier::repo::Repo;

use super::error::Failure;
use super::output::Output;

/// How objects are printed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Human-readable.
    Pretty,
    /// As GVariant text, with all numbers swapped from big-endian.
    Raw,
    /// As GVariant text with the numbers as they are stored, and then human-readable.
    Unswapped,
}

/// Prints a commit and returns its parent. Nothing is printed for a missing commit.
pub(super) fn print(
    repo: &Repo,
    commit: &Checksum,
    form: Form,
    out: &Output,
) -> Result<Option<Checksum>, Failure> {
    let name = ObjectName::new(*commit, ObjectType::Commit);
    let bytes = repo.load_metadata(&name)?;
    let object = Commit::decode(&bytes).of_object(name)?;
    writeln!(out, "commit {commit}")?;
    print_variant_of(COMMIT_TYPE, &bytes, form, out)?;
    if form != Form::Raw {
        print_pretty(&object, out)?;
    }
    Ok(object.parent)
}

/// Prints the bytes of an object of this type, if the format includes them.
pub(super) fn print_variant_of(
    ty: &str,
    bytes: &[u8],
    form: Form,
    out: &Output,
) -> Result<(), Failure> {
    let view = Variant::new(Type::parse(ty).map_err(|error| Failure::failed(error.what))?, bytes);
    match form {
        Form::Pretty => Ok(()),
        Form::Raw => writeln!(out, "{}", print_variant(view.byteswapped().view(), Annotate::Yes)),
        Form::Unswapped => writeln!(out, "{}", print_variant(view, Annotate::Yes)),
    }
}

fn print_pretty(commit: &Commit, out: &Output) -> Result<(), Failure> {
    let Some(date) = date::format_utc(commit.timestamp.cast_signed()) else {
        let timestamp = commit.timestamp;
        return Err(Failure::failed(format!(
            "Failed to read commit: Invalid timestamp: {timestamp}"
        )));
    };
    if let Some(parent) = &commit.parent {
        writeln!(out, "Parent:  {parent}")?;
    }
    writeln!(out, "ContentChecksum:  {}", commit.content_checksum())?;
    writeln!(out, "Date:  {date}")?;
    if let Some(version) = commit.version() {
        writeln!(out, "Version: {version}")?;
    }
    if commit.subject.is_empty() {
        writeln!(out, "(no subject)")?;
    } else {
        writeln!(out)?;
        print_indented(&commit.subject, out)?;
    }
    if !commit.body.is_empty() {
        writeln!(out)?;
        print_indented(&commit.body, out)?;
    }
    writeln!(out)
}

fn print_indented(text: &str, out: &Output) -> Result<(), Failure> {
    // A trailing newline does not begin another line.
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        writeln!(out, "    {line}")?;
    }
    Ok(())
}
