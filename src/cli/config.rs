//! `config`: reads and changes the repository's `config` file.

use osier::Error;
use osier::gvariant::DecodeError;
use osier::repo::{Config, ConfigEdit, Repo};
use serde_json::json;

use super::context::Context;
use super::error::Failure;
use super::json;
use super::options::OWN_OPTIONS;

/// The options of `config`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Group name
    #[arg(long, value_name = "")]
    group: Option<String>,
    /// Print a JSON document
    #[arg(long, help_heading = OWN_OPTIONS)]
    json: bool,
    operation: Vec<String>,
}

pub(super) fn run(args: Args, context: &mut Context) -> Result<(), Failure> {
    let Args { group, json, operation } = args;
    let repo = context.open_repo()?;
    let Some((operation, arguments)) = operation.split_first() else {
        return Err(Failure::usage("OPERATION must be specified"));
    };
    let most_arguments = if operation == "set" { 2 } else { 1 };
    if arguments.len() > most_arguments {
        return Err(Failure::usage("Too many arguments given"));
    }
    let needs_key = if group.is_some() {
        "Group name and key must be specified"
    } else {
        "KEY must be specified"
    };
    match (operation.as_str(), arguments) {
        ("get", [name]) => {
            let (group, key) = split_name(group.as_deref(), name)?;
            let value = repo.config().keyfile.require(group, key).map_err(failure)?;
            match json {
                true => json::print(
                    &json!({ "group": group, "key": key, "value": value }),
                    &context.out,
                ),
                false => writeln!(context.out, "{value}"),
            }
        }
        ("set", [name, value]) => {
            let (group, key) = split_name(group.as_deref(), name)?;
            let old_value = set(&repo, group, key, value)?;
            let change = Change { group, key, value: Some(value), old_value };
            change.print_if(json, context)
        }
        ("unset", [name]) => {
            let (group, key) = split_name(group.as_deref(), name)?;
            let mut old_value = None;
            repo.edit_config(|keyfile| {
                old_value = keyfile.get(group, key).ok().flatten();
                keyfile.remove(group, key);
                Ok(ConfigEdit::Write)
            })?;
            Change { group, key, value: None, old_value }.print_if(json, context)
        }
        ("get" | "unset", _) => Err(Failure::failed(needs_key)),
        ("set", _) if group.is_some() => {
            Err(Failure::failed("GROUP name, KEY and VALUE must be specified"))
        }
        ("set", _) => Err(Failure::failed("KEY and VALUE must be specified")),
        _ => {
            let message = format!("Unknown operation {operation}");
            Err(context.unknown_word(message, operation, &["get", "set", "unset"]))
        }
    }
}

/// A key that got another value, or none.
struct Change<'c> {
    group: &'c str,
    key: &'c str,
    value: Option<&'c str>,
    old_value: Option<String>,
}

impl Change<'_> {
    fn print_if(self, json: bool, context: &Context) -> Result<(), Failure> {
        if !json {
            return Ok(());
        }
        let Self { group, key, value, old_value } = self;
        json::print(
            &json!({ "group": group, "key": key, "value": value, "old_value": old_value }),
            &context.out,
        )
    }
}

/// Sets a key, unless the repository could no longer be opened afterwards. Returns the previous
/// value, if it can be read.
fn set(repo: &Repo, group: &str, key: &str, value: &str) -> Result<Option<String>, Failure> {
    let mut old_value = None;
    repo.edit_config(|keyfile| {
        old_value = keyfile.get(group, key).ok().flatten();
        keyfile.set_string(group, key, value).map_err(|error| Error::failed(error.to_string()))?;
        Config::from_keyfile(keyfile.clone())?;
        Ok(ConfigEdit::Write)
    })?;
    Ok(old_value)
}

/// Group and key: the whole name is the key if the group was given, else it is split at the first
/// dot.
fn split_name<'n>(group: Option<&'n str>, name: &'n str) -> Result<(&'n str, &'n str), Failure> {
    let parts = match group {
        Some(group) => Some((group, name)),
        None => name.split_once('.'),
    };
    parts.ok_or_else(|| Failure::failed("Key must be of the form \"sectionname.keyname\""))
}

fn failure(error: DecodeError) -> Failure {
    Failure::failed(error.to_string())
}
