//! Finds the first field in which two objects differ, and its values.

use std::fmt::Display;

use crate::checksum::Checksum;
use crate::gvariant::Dict;
use crate::gvariant::text::{Annotate, print};
use crate::object::{Commit, DirMeta, DirTree, FileHeader, Xattrs};

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldDifference {
    /// The name of the field: `mode`, `xattrs[2].value`, `metadata["version"]`.
    pub field: String,
    /// The value in the first, as text; `None` if it has no such field.
    pub first: Option<String>,
    /// The value in the second.
    pub second: Option<String>,
}

/// Longer texts are cut off here, in characters.
const MAX_SHOWN: usize = 200;

impl FieldDifference {
    /// For values that are shown unchanged.
    pub(super) fn new(
        field: impl Into<String>,
        first: impl ToString,
        second: impl ToString,
    ) -> Self {
        Self {
            field: field.into(),
            first: Some(first.to_string()),
            second: Some(second.to_string()),
        }
    }

    /// The same difference as part of a larger value.
    pub(super) fn within(mut self, whole: &str) -> Self {
        self.field = format!("{whole}{}", self.field);
        self
    }
}

/// A difference between two values that are shown unchanged.
fn plain<T: PartialEq + Display>(field: &str, first: &T, second: &T) -> Option<FieldDifference> {
    (first != second).then(|| FieldDifference::new(field, first, second))
}

fn texts(field: &str, first: &str, second: &str) -> Option<FieldDifference> {
    let shown = |text: &str| cut(format!("{text:?}"));
    (first != second).then(|| FieldDifference::new(field, shown(first), shown(second)))
}

fn cut(text: String) -> String {
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn bytes(bytes: &[u8]) -> String {
    cut(format!("\"{}\"", bytes.escape_ascii()))
}

/// The first difference between two commits.
pub(super) fn commit(first: &Commit, second: &Commit) -> Option<FieldDifference> {
    let parent = |commit: &Commit| commit.parent.map(|parent| parent.to_hex());
    let related = |commit: &Commit| {
        let each = commit.related.iter().map(|(name, commit)| format!("{name:?} {commit}"));
        cut(format!("[{}]", each.collect::<Vec<_>>().join(", ")))
    };
    dict("metadata", &first.metadata, &second.metadata)
        .or_else(|| optional("parent", parent(first), parent(second)))
        .or_else(|| plain("related", &related(first), &related(second)))
        .or_else(|| texts("subject", &first.subject, &second.subject))
        .or_else(|| texts("body", &first.body, &second.body))
        .or_else(|| plain("timestamp", &first.timestamp, &second.timestamp))
        .or_else(|| plain("root_dirtree", &first.root_dirtree, &second.root_dirtree))
        .or_else(|| plain("root_dirmeta", &first.root_dirmeta, &second.root_dirmeta))
}

/// A difference between two optional values.
pub(super) fn optional(
    field: impl Into<String>,
    first: Option<String>,
    second: Option<String>,
) -> Option<FieldDifference> {
    (first != second).then(|| FieldDifference { field: field.into(), first, second })
}

/// The first difference between two dictionaries.
pub(super) fn dict(name: &str, first: &Dict, second: &Dict) -> Option<FieldDifference> {
    dict_keys(first, second).find_map(|key| dict_value(name, key, first, second)).or_else(|| {
        let keys =
            |dict: &Dict| cut(dict.iter().map(|(key, _)| key).collect::<Vec<_>>().join(", "));
        // Equal values by key, but in another order or with repeated keys.
        (first != second)
            .then(|| FieldDifference::new(format!("the keys of {name}"), keys(first), keys(second)))
    })
}

/// The keys of both: those of the first in its order, then those only in the second.
pub(super) fn dict_keys<'d>(first: &'d Dict, second: &'d Dict) -> impl Iterator<Item = &'d str> {
    let keys = |dict: &'d Dict| dict.iter().map(|(key, _)| key);
    keys(first).chain(keys(second).filter(|key| !first.contains_key(key)))
}

/// The difference between the values of a key.
pub(super) fn dict_value(
    name: &str,
    key: &str,
    first: &Dict,
    second: &Dict,
) -> Option<FieldDifference> {
    let (one, other) = (first.get(key), second.get(key));
    if one == other {
        return None;
    }
    // Numbers in metadata are stored in big-endian order, see docs/json.md.
    let shown = |dict: &Dict| {
        dict.get(key).map(|value| cut(print(value.view().byteswapped().view(), Annotate::Yes)))
    };
    Some(FieldDifference {
        field: format!("{name}[{key:?}]"),
        first: shown(first),
        second: shown(second),
    })
}

/// The first difference between two dirmetas.
pub(super) fn dirmeta(first: &DirMeta, second: &DirMeta) -> Option<FieldDifference> {
    mode(first.mode, second.mode)
        .or_else(|| plain("uid", &first.uid, &second.uid))
        .or_else(|| plain("gid", &first.gid, &second.gid))
        .or_else(|| xattrs(&first.xattrs, &second.xattrs))
}

/// The first difference between what is recorded for two files besides their content.
pub(super) fn header(first: &FileHeader, second: &FileHeader) -> Option<FieldDifference> {
    mode(first.mode, second.mode)
        .or_else(|| plain("uid", &first.uid, &second.uid))
        .or_else(|| plain("gid", &first.gid, &second.gid))
        .or_else(|| texts("symlink_target", &first.symlink_target, &second.symlink_target))
        .or_else(|| xattrs(&first.xattrs.sorted(), &second.xattrs.sorted()))
}

fn mode(first: u32, second: u32) -> Option<FieldDifference> {
    let shown = |mode: u32| format!("0{mode:o}");
    (first != second).then(|| FieldDifference::new("mode", shown(first), shown(second)))
}

fn xattrs(first: &Xattrs, second: &Xattrs) -> Option<FieldDifference> {
    for (index, (one, other)) in first.iter().zip(second.iter()).enumerate() {
        for (part, one, other) in [("name", one.0, other.0), ("value", one.1, other.1)] {
            if one != other {
                return Some(FieldDifference::new(
                    format!("xattrs[{index}].{part}"),
                    bytes(one),
                    bytes(other),
                ));
            }
        }
    }
    let index = first.len().min(second.len());
    let shown = |xattrs: &Xattrs| xattrs.iter().nth(index).map(|(name, _)| bytes(name));
    optional(format!("xattrs[{index}].name"), shown(first), shown(second))
}

/// The first difference between two dirtrees.
pub(super) fn dirtree(first: &DirTree, second: &DirTree) -> Option<FieldDifference> {
    let files = |tree: &DirTree| {
        tree.files.iter().map(|(name, file)| (name.clone(), vec![("", *file)])).collect()
    };
    let dirs = |tree: &DirTree| {
        tree.dirs
            .iter()
            .map(|dir| {
                (dir.name.clone(), vec![(".dirtree", dir.dirtree), (".dirmeta", dir.dirmeta)])
            })
            .collect()
    };
    entries("files", files(first), files(second))
        .or_else(|| entries("dirs", dirs(first), dirs(second)))
}

type Entry = (String, Vec<(&'static str, Checksum)>);

fn entries(list: &str, first: Vec<Entry>, second: Vec<Entry>) -> Option<FieldDifference> {
    let mut pairs = first.iter().zip(&second);
    let Some(((one_name, one), (other_name, other))) = pairs.find(|(one, other)| one != other)
    else {
        let index = first.len().min(second.len());
        let name = |entries: &[Entry]| entries.get(index).map(|(name, _)| format!("{name:?}"));
        return optional(format!("{list}[{index}].name"), name(&first), name(&second));
    };
    if one_name != other_name {
        let index = first.iter().position(|(name, _)| name == one_name).unwrap_or_default();
        let field = format!("{list}[{index}].name");
        return Some(FieldDifference::new(
            field,
            format!("{one_name:?}"),
            format!("{other_name:?}"),
        ));
    }
    let mut parts = one.iter().zip(other);
    parts.find(|(one, other)| one != other).map(|((part, one), (_, other))| {
        FieldDifference::new(format!("{list}[{one_name:?}]{part}"), one, other)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Value;
    use crate::object::DirEntry;

    fn shown(difference: Option<FieldDifference>) -> String {
        match difference {
            None => "equal".to_owned(),
            Some(FieldDifference { field, first, second }) => {
                let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
                format!("{field}: {} | {}", text(first), text(second))
            }
        }
    }

    fn attributes(pairs: &[(&str, &str)]) -> Xattrs {
        let pairs =
            pairs.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        Xattrs::from_pairs(pairs.collect()).unwrap()
    }

    fn a_commit() -> Commit {
        Commit {
            metadata: Dict::from_iter([
                ("version", Value::string("1")),
                ("n", Value::uint32(7_u32.to_be())),
            ]),
            parent: None,
            related: Vec::new(),
            subject: "s".into(),
            body: String::new(),
            timestamp: 5,
            root_dirtree: Checksum::of(b"t"),
            root_dirmeta: Checksum::of(b"m"),
        }
    }

    #[test]
    fn every_field_of_a_commit_is_reported() {
        let parent = Checksum::of(b"p");
        let one = a_commit();
        let reversed =
            Dict::from_iter([("n", Value::uint32(7_u32.to_be())), ("version", Value::string("1"))]);
        let with = |edit: &dyn Fn(&mut Commit)| {
            let mut other = a_commit();
            edit(&mut other);
            shown(commit(&one, &other))
        };
        assert_eq!(with(&|_| {}), "equal");
        assert_eq!(
            with(&|commit| commit.metadata = reversed.clone()),
            "the keys of metadata: version, n | n, version"
        );
        assert_eq!(
            with(&|commit| commit.metadata = Dict::from_iter([("version", Value::string("2"))])),
            "metadata[\"version\"]: '1' | '2'"
        );
        assert_eq!(
            with(&|commit| commit.metadata = Dict::from_iter([("version", Value::string("1"))])),
            "metadata[\"n\"]: uint32 7 | -"
        );
        assert_eq!(
            with(&|commit| commit.metadata.push("x", Value::boolean(true))),
            "metadata[\"x\"]: - | true"
        );
        assert_eq!(with(&|commit| commit.parent = Some(parent)), format!("parent: - | {parent}"));
        assert_eq!(with(&|commit| commit.subject = "t".into()), "subject: \"s\" | \"t\"");
        assert_eq!(with(&|commit| commit.body = "b".into()), "body: \"\" | \"b\"");
        assert_eq!(with(&|commit| commit.timestamp = 6), "timestamp: 5 | 6");
        assert!(with(&|commit| commit.root_dirtree = parent).starts_with("root_dirtree: "));
        assert!(with(&|commit| commit.root_dirmeta = parent).starts_with("root_dirmeta: "));
        assert!(
            with(&|commit| commit.related = vec![("r".into(), parent)])
                .starts_with("related: [] | [\"r\" ")
        );
    }

    #[test]
    fn every_field_of_a_header_is_reported() {
        let header_of = |uid, gid, mode, target: &str, xattrs: &[(&str, &str)]| FileHeader {
            uid,
            gid,
            mode,
            symlink_target: target.into(),
            xattrs: attributes(xattrs),
        };
        let one = header_of(1, 2, 0o100_644, "", &[("user.a", "1"), ("user.b", "2")]);
        for (other, expected) in [
            (header_of(1, 2, 0o100_644, "", &[("user.b", "2"), ("user.a", "1")]), "equal"),
            (header_of(9, 9, 0o104_755, "", &[]), "mode: 0100644 | 0104755"),
            (header_of(9, 2, 0o100_644, "", &[]), "uid: 1 | 9"),
            (header_of(1, 9, 0o100_644, "", &[]), "gid: 2 | 9"),
            (header_of(1, 2, 0o100_644, "x", &[]), "symlink_target: \"\" | \"x\""),
            (
                header_of(1, 2, 0o100_644, "", &[("user.a", "1"), ("user.b", "3")]),
                "xattrs[1].value: \"2\" | \"3\"",
            ),
            (
                header_of(1, 2, 0o100_644, "", &[("user.a", "1"), ("user.c", "2")]),
                "xattrs[1].name: \"user.b\" | \"user.c\"",
            ),
            (header_of(1, 2, 0o100_644, "", &[("user.a", "1")]), "xattrs[1].name: \"user.b\" | -"),
        ] {
            assert_eq!(shown(header(&one, &other)), expected);
        }
        let meta = |mode, xattrs: &[(&str, &str)]| DirMeta {
            uid: 0,
            gid: 0,
            mode,
            xattrs: attributes(xattrs),
        };
        assert_eq!(
            shown(dirmeta(&meta(0o40755, &[]), &meta(0o40700, &[]))),
            "mode: 040755 | 040700"
        );
        assert_eq!(
            shown(dirmeta(&meta(0o40755, &[]), &meta(0o40755, &[("a", "")]))),
            "xattrs[0].name: - | \"a\""
        );
    }

    #[test]
    fn entries_of_directories_are_reported_by_name() {
        let (a, b) = (Checksum::of(b"a"), Checksum::of(b"b"));
        let tree = |files: &[(&str, Checksum)], dirs: &[(&str, Checksum, Checksum)]| DirTree {
            files: files.iter().map(|(name, file)| ((*name).to_owned(), *file)).collect(),
            dirs: dirs
                .iter()
                .map(|(name, tree, meta)| DirEntry {
                    name: (*name).into(),
                    dirtree: *tree,
                    dirmeta: *meta,
                })
                .collect(),
        };
        let one = tree(&[("f", a), ("g", a)], &[("d", a, a)]);
        for (other, expected) in [
            (tree(&[("f", a), ("g", b)], &[]), format!("files[\"g\"]: {a} | {b}")),
            (tree(&[("f", a)], &[]), "files[1].name: \"g\" | -".to_owned()),
            (tree(&[("e", a), ("g", a)], &[]), "files[0].name: \"f\" | \"e\"".to_owned()),
            (
                tree(&[("f", a), ("g", a)], &[("d", a, b)]),
                format!("dirs[\"d\"].dirmeta: {a} | {b}"),
            ),
            (
                tree(&[("f", a), ("g", a)], &[("d", b, b)]),
                format!("dirs[\"d\"].dirtree: {a} | {b}"),
            ),
        ] {
            assert_eq!(shown(dirtree(&one, &other)), expected);
        }
    }

    #[test]
    fn long_values_are_cut_off() {
        let difference = texts("body", &"é".repeat(1000), "").unwrap();
        assert_eq!(difference.first.unwrap().chars().count(), MAX_SHOWN + 1);
    }
}
