//! Objects and metadata as JSON, as `--json` prints them and a server answers them. docs/json.md
//! describes the fields; they are only ever added.

use serde_json::{Map, Value, json};

use crate::checksum::Checksum;
use crate::date;
use crate::error::Result;
use crate::gvariant::{Dict, Variant};
use crate::object::{Commit, Xattrs, key};
use crate::repo::{CommitState, FileObject, Repo};
use crate::summary;

/// How the numbers in metadata are stored.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// As in the metadata of ostree itself and of flatpak.
    BigEndian,
    /// As in GVariant.
    LittleEndian,
}

/// A commit with its detached metadata and its state.
///
/// # Errors
/// When the detached metadata is malformed.
pub fn commit(
    repo: &Repo,
    checksum: &Checksum,
    commit: &Commit,
    numbers: Numbers,
) -> Result<Value> {
    let detached = repo.load_detached_metadata(checksum)?;
    let state = match repo.commit_state(checksum)? {
        CommitState::Complete => "complete",
        CommitState::Partial => "partial",
        CommitState::PartialFsck => "damaged",
    };
    Ok(json!({
        "type": "commit",
        "checksum": checksum.to_hex(),
        "parent": commit.parent.as_ref().map(Checksum::to_hex),
        "content_checksum": commit.content_checksum().to_hex(),
        "root_dirtree": commit.root_dirtree.to_hex(),
        "root_dirmeta": commit.root_dirmeta.to_hex(),
        "timestamp": time(commit.timestamp),
        "version": commit.version(),
        "subject": commit.subject,
        "body": commit.body,
        "related": related(&commit.related),
        "metadata": metadata(&commit.metadata, numbers),
        "detached_metadata": detached.map(|detached| metadata(&detached, numbers)),
        "state": state,
    }))
}

/// A value with its type.
pub fn variant(value: Variant<'_>) -> Value {
    json!({ "type": value.ty().as_str(), "value": plain(value) })
}

/// The same for a value whose numbers are stored in this byte order.
pub fn variant_of(value: Variant<'_>, numbers: Numbers) -> Value {
    match numbers {
        Numbers::BigEndian => variant(value.byteswapped().view()),
        Numbers::LittleEndian => variant(value),
    }
}

/// Metadata about each object of a commit, and about other collections' refs in a summary, which
/// documents contain in another form. These grow with the repository, so they are printed only when
/// requested by key.
const LEFT_OUT: [&str; 2] = [key::SIZES, summary::key::COLLECTION_MAP];

/// Values by key. The first of several with the same key is used, as in a lookup.
pub fn metadata(dict: &Dict, numbers: Numbers) -> Value {
    let mut object = Map::new();
    for (key, value) in dict.iter().filter(|(key, _)| !LEFT_OUT.contains(key)) {
        object.entry(key).or_insert_with(|| variant_of(value.view(), numbers));
    }
    Value::Object(object)
}

/// The closest equivalent in JSON.
fn plain(value: Variant<'_>) -> Value {
    let list = || value.children().map(plain).collect();
    match value.ty().class() {
        b's' | b'o' | b'g' => value.as_str().into(),
        b'b' => value.as_bool().into(),
        b'y' => value.as_byte().into(),
        b'n' => value.as_i16().into(),
        b'q' => value.as_u16().into(),
        b'i' | b'h' => value.as_i32().into(),
        b'u' => value.as_u32().into(),
        b'x' => value.as_i64().into(),
        b't' => value.as_u64().into(),
        b'd' => value.as_f64().into(),
        b'v' => value.as_variant().map(variant).into(),
        b'm' => value.as_maybe().flatten().map(plain).into(),
        b'a' => match (value.as_bytes(), value.ty().element()) {
            (Some(bytes), _) => hex(bytes).into(),
            (None, Some(entry)) if entry.as_str().starts_with("{s") => by_key(value),
            (None, _) => list(),
        },
        _ => list(),
    }
}

/// A dictionary whose keys are strings.
fn by_key(dictionary: Variant<'_>) -> Value {
    let mut object = Map::new();
    for entry in dictionary.children() {
        if let (Some(key), Some(value)) =
            (entry.child(0).and_then(|key| key.as_str()), entry.child(1))
        {
            object.entry(key).or_insert_with(|| plain(value));
        }
    }
    Value::Object(object)
}

/// Seconds since 1970 and the same as a text, which is `null` outside the years 1 to 9999.
pub fn time(seconds: u64) -> Value {
    json!({ "seconds": seconds, "iso": i64::try_from(seconds).ok().and_then(date::format_iso) })
}

/// Names with the commits that they refer to, in the form of a commit's metadata.
pub fn related(related: &[(String, Checksum)]) -> Value {
    related
        .iter()
        .map(|(name, commit)| json!({ "name": name, "commit": commit.to_hex() }))
        .collect()
}

/// Permission bits in octal, as for `chmod`.
pub fn mode(mode: u32) -> Value {
    format!("{:04o}", mode & 0o7777).into()
}

/// Names and values, in their order.
pub fn xattrs(xattrs: &Xattrs) -> Value {
    let entry = |(name, value): (&[u8], &[u8])| match std::str::from_utf8(name) {
        Ok(name) => json!({ "name": name, "value": hex(value) }),
        Err(_) => json!({ "name": null, "name_bytes": hex(name), "value": hex(value) }),
    };
    xattrs.iter().map(entry).collect()
}

/// Bytes as hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The kind of a file.
pub fn file_type(file: &FileObject) -> &'static str {
    if file.header.is_symlink() { "symlink" } else { "regular" }
}

/// Adds the details of a file: `target` of a symbolic link, `size` of any other.
pub fn file_fields(object: &mut Value, file: &FileObject) {
    let header = &file.header;
    object["mode"] = mode(header.mode);
    object["uid"] = header.uid.into();
    object["gid"] = header.gid.into();
    match header.is_symlink() {
        true => object["target"] = header.symlink_target.as_str().into(),
        false => object["size"] = file.size.into(),
    }
    object["xattrs"] = xattrs(&header.xattrs);
}

#[cfg(test)]
mod tests {
    use crate::gvariant::text::parse;

    use super::*;

    #[test]
    fn every_type_has_its_place_in_json() {
        for (text, ty, expected) in [
            ("'a\"b'", "s", json!("a\"b")),
            ("objectpath '/a'", "o", json!("/a")),
            ("signature 'as'", "g", json!("as")),
            ("true", "b", json!(true)),
            ("byte 0xff", "y", json!(255)),
            ("int16 -2", "n", json!(-2)),
            ("uint16 65535", "q", json!(65535)),
            ("-3", "i", json!(-3)),
            ("handle 4", "h", json!(4)),
            ("uint32 4294967295", "u", json!(4_294_967_295_u32)),
            ("int64 -9223372036854775808", "x", json!(i64::MIN)),
            ("uint64 18446744073709551615", "t", json!(u64::MAX)),
            ("1.5", "d", json!(1.5)),
            ("[byte 0x00, 0xab]", "ay", json!("00ab")),
            ("@ay []", "ay", json!("")),
            ("['a', 'b']", "as", json!(["a", "b"])),
            ("@as []", "as", json!([])),
            ("(1, 'a', true)", "(isb)", json!([1, "a", true])),
            ("()", "()", json!([])),
            ("<('a', 1)>", "v", json!({ "type": "(si)", "value": ["a", 1] })),
            (
                "{'b': <1>, 'a': <'x'>}",
                "a{sv}",
                json!({
                    "b": { "type": "i", "value": 1 }, "a": { "type": "s", "value": "x" },
                }),
            ),
            ("{1: 'a'}", "a{is}", json!([[1, "a"]])),
            ("{'a', 1}", "{si}", json!(["a", 1])),
            ("just 'a'", "ms", json!("a")),
            ("@ms nothing", "ms", json!(null)),
        ] {
            let value = parse(None, text).unwrap();
            assert_eq!(value.type_string(), ty, "{text}");
            let found = variant(value.view());
            assert_eq!(
                found.to_string(),
                json!({ "type": ty, "value": expected }).to_string(),
                "{text}"
            );
        }
    }

    #[test]
    fn stored_numbers_are_turned_around_all_the_way_down() {
        let value = parse(None, "<(uint64 1, [<uint16 2>])>").unwrap();
        let found = variant_of(value.view(), Numbers::BigEndian)["value"]["value"].to_string();
        assert_eq!(found, r#"[72057594037927936,[{"type":"q","value":512}]]"#);
        assert_eq!(variant_of(value.view(), Numbers::LittleEndian), variant(value.view()));
    }

    #[test]
    fn the_first_of_two_values_with_the_same_key_counts() {
        let mut dict = Dict::new();
        for text in ["'first'", "'second'"] {
            dict.push("key", parse(None, text).unwrap());
        }
        let expected = json!({ "type": "s", "value": "first" });
        assert_eq!(metadata(&dict, Numbers::BigEndian), json!({ "key": expected }));
        assert_eq!(plain(dict.to_value().view()), json!({ "key": expected }));
    }

    #[test]
    fn times_have_no_text_where_the_calendar_ends() {
        assert_eq!(
            time(1_700_000_000),
            json!({ "seconds": 1_700_000_000, "iso": "2023-11-14T22:13:20Z" })
        );
        assert_eq!(time(253_402_300_800), json!({ "seconds": 253_402_300_800_u64, "iso": null }));
        assert_eq!(time(u64::MAX)["iso"], Value::Null);
    }

    #[test]
    fn names_of_xattrs_that_are_no_text_are_digits() {
        let pairs = vec![(b"user.a".to_vec(), vec![1, 0xff]), (vec![0xff], Vec::new())];
        let expected = json!([
            { "name": "user.a", "value": "01ff" },
            { "name": null, "name_bytes": "ff", "value": "" },
        ]);
        assert_eq!(xattrs(&Xattrs::from_pairs(pairs).unwrap()), expected);
    }
}
