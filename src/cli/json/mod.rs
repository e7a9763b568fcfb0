//! The output of `--json`, documented in docs/json.md. A document is one object, and fields are
//! only ever added.

mod objects;

use osier::gvariant::{Dict, Variant};
use serde_json::{Value, json};

use super::error::Failure;
use super::output::Output;

pub(super) use objects::object;
pub(super) use osier::json::{
    Numbers, commit, file_fields, file_type, metadata, mode, related, time, variant_of, xattrs,
};

/// Prints a document.
pub(super) fn print(document: &Value, out: &Output) -> Result<(), Failure> {
    writeln!(out, "{document}")
}

/// A document with a list that may be too long for memory: its elements are written as they are
/// found, one on each line.
pub(super) struct List<'c> {
    out: &'c Output,
    separator: &'static str,
}

impl<'c> List<'c> {
    /// Writes the fields before the list, and the name of the list.
    pub(super) fn begin(out: &'c Output, fields: &Value, name: &str) -> Result<Self, Failure> {
        out.write_str("{")?;
        for (key, value) in fields.as_object().into_iter().flatten() {
            write!(out, "{}:{value},", Value::from(key.as_str()))?;
        }
        write!(out, "{}:[", Value::from(name))?;
        Ok(Self { out, separator: "\n" })
    }

    /// Writes an element.
    pub(super) fn push(&mut self, element: &Value) -> Result<(), Failure> {
        write!(self.out, "{}{element}", self.separator)?;
        self.separator = ",\n";
        Ok(())
    }

    /// Writes the fields after the list.
    pub(super) fn finish(self, fields: &Value) -> Result<(), Failure> {
        self.out.write_str("]")?;
        for (key, value) in fields.as_object().into_iter().flatten() {
            write!(self.out, ",{}:{value}", Value::from(key.as_str()))?;
        }
        self.out.write_str("}\n")
    }
}

/// The keys, sorted.
pub(super) fn keys(dict: &Dict) -> Value {
    let mut keys: Vec<&str> = dict.iter().map(|(key, _)| key).collect();
    keys.sort_unstable();
    json!({ "keys": keys })
}

/// A value with its key and its type.
pub(super) fn with_key(key: &str, value: Variant<'_>, numbers: Numbers) -> Value {
    let mut object = json!({ "key": key });
    for (name, value) in variant_of(value, numbers).as_object().into_iter().flatten() {
        object[name] = value.clone();
    }
    object
}
