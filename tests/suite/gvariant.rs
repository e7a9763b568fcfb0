//! GVariant and objects, held against the bytes of real repositories, an independent
//! implementation, and GLib.

use std::collections::BTreeMap;
use std::io::Read;
use std::sync::OnceLock;

use osier::Checksum;
use osier::gvariant::table::HashTable;
use osier::gvariant::{Dict, Type, Value, Variant};
use osier::object::{
    COMMIT_TYPE, Commit, DIRMETA_TYPE, DIRTREE_TYPE, DirMeta, DirTree, FileHeader, SUMMARY_TYPE,
    SizeEntry, Xattrs, tombstone,
};

use crate::support::{GOLDEN_REPOS, golden};

const SUPERBLOCK_TYPE: &str = "(a{sv}tayay(a{sv}aya(say)sstayay)aya(uayttay)a(yaytt))";
const SIGNED_TYPE: &str = "(taya{sv})";
const PART_PAYLOAD_TYPE: &str = "(a(uuu)aa(ayay)ayay)";

/// Where a GVariant is from, its type and its bytes.
type Golden = (String, &'static str, Vec<u8>);

/// Every GVariant in the golden files.
fn golden_variants() -> impl Iterator<Item = (&'static str, &'static str, &'static [u8])> {
    static FOUND: OnceLock<Vec<Golden>> = OnceLock::new();
    FOUND
        .get_or_init(find_golden_variants)
        .iter()
        .map(|(name, ty, bytes)| (name.as_str(), *ty, bytes.as_slice()))
}

fn find_golden_variants() -> Vec<Golden> {
    let mut found = Vec::new();
    for repo in GOLDEN_REPOS {
        let path = golden(format!("repos/{repo}.tar.gz"));
        let file = std::fs::File::open(&path).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            for extension in entry.pax_extensions().unwrap().into_iter().flatten() {
                // The tar crate ends a value at a line feed; the rest of it is then no extension.
                let Ok(extension) = extension else { continue };
                if extension.key() == Ok("SCHILY.xattr.user.ostreemeta") {
                    let value = extension.value_bytes().to_vec();
                    found.push((format!("{name} user.ostreemeta"), "(uuua(ayay))", value));
                }
            }
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            add_file(name, bytes, &mut found);
        }
    }
    for entry in walkdir::WalkDir::new(golden("deltas")) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(golden("")).unwrap().display().to_string();
            add_file(name, std::fs::read(entry.path()).unwrap(), &mut found);
        }
    }
    found
}

fn add_file(name: String, bytes: Vec<u8>, found: &mut Vec<Golden>) {
    let (path, file) = name.rsplit_once('/').unwrap_or(("", &name));
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let ty = match (extension, file) {
        ("commit", _) => COMMIT_TYPE,
        ("dirtree", _) => DIRTREE_TYPE,
        ("dirmeta", _) => DIRMETA_TYPE,
        ("commitmeta" | "tombstone-commit" | "index", _) | (_, "summary.sig") => "a{sv}",
        ("file-xattrs", _) => "a(ayay)",
        ("filez", _) => {
            let prefix = *bytes.first_chunk().unwrap();
            let length = FileHeader::decode_prefix(prefix, bytes.len() as u64).unwrap();
            found.push((name, "(tuuuusa(ayay))", bytes[8..8 + length].to_vec()));
            return;
        }
        (_, "summary") => SUMMARY_TYPE,
        (_, "superblock") if bytes.starts_with(b"OSTSGNDT") => {
            let signed = Variant::decode(Type::parse(SIGNED_TYPE).unwrap(), &bytes).unwrap();
            let inner = signed.child(1).unwrap().as_bytes().unwrap().to_vec();
            found.push((format!("{name} inside"), SUPERBLOCK_TYPE, inner));
            SIGNED_TYPE
        }
        (_, "superblock") => SUPERBLOCK_TYPE,
        (_, number) if path.contains("deltas") && number.parse::<u32>().is_ok() => {
            let mut payload = Vec::new();
            assert_eq!(bytes[0], b'x', "{name}");
            lzma_rust2::XzReader::new(&bytes[1..], false).read_to_end(&mut payload).unwrap();
            found.push((format!("{name} payload"), PART_PAYLOAD_TYPE, payload));
            "(yay)"
        }
        _ => return,
    };
    found.push((name, ty, bytes));
}

/// Takes a value apart and puts it together again, one by one.
fn rebuild(value: Variant<'_>) -> Value {
    let ty = value.ty();
    match ty.class() {
        b'y' => Value::byte(value.as_byte().unwrap()),
        b'b' => Value::boolean(value.as_bool().unwrap()),
        b'n' => Value::int16(value.as_i16().unwrap()),
        b'q' => Value::uint16(value.as_u16().unwrap()),
        b'i' => Value::int32(value.as_i32().unwrap()),
        b'h' => Value::handle(value.as_i32().unwrap()),
        b'u' => Value::uint32(value.as_u32().unwrap()),
        b'x' => Value::int64(value.as_i64().unwrap()),
        b't' => Value::uint64(value.as_u64().unwrap()),
        b'd' => Value::double(value.as_f64().unwrap()),
        b's' => Value::string(value.as_str().unwrap()),
        b'o' => Value::object_path(value.as_str().unwrap()).unwrap(),
        b'g' => Value::signature(value.as_str().unwrap()).unwrap(),
        b'v' => Value::variant(rebuild(value.as_variant().unwrap())),
        b'm' => match value.as_maybe().unwrap() {
            Some(content) => Value::just(rebuild(content)),
            None => Value::nothing(ty.element().unwrap().as_str()),
        },
        b'a' => {
            Value::array(ty.element().unwrap().as_str(), value.children().map(rebuild).collect())
        }
        b'(' => Value::tuple(value.children().map(rebuild).collect()),
        _ => Value::dict_entry(rebuild(value.child(0).unwrap()), rebuild(value.child(1).unwrap())),
    }
}

#[test]
fn every_golden_gvariant_is_in_normal_form_and_comes_back_byte_for_byte() {
    let mut types: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, ty, bytes) in golden_variants() {
        let value = Variant::decode(Type::parse(ty).unwrap(), bytes)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        // One value per byte of a blob would take minutes and show nothing more.
        if bytes.len() < 1 << 16 {
            assert_eq!(rebuild(value).bytes(), bytes, "{name}");
        }
        assert_eq!(value.to_value().bytes(), bytes, "{name}");
        assert_eq!(value.byteswapped().view().byteswapped().bytes(), bytes, "{name}");
        *types.entry(ty).or_default() += 1;
    }
    let kinds: Vec<&str> = types.keys().copied().collect();
    let expected = [
        SUMMARY_TYPE,
        DIRTREE_TYPE,
        PART_PAYLOAD_TYPE,
        COMMIT_TYPE,
        SUPERBLOCK_TYPE,
        SIGNED_TYPE,
        "(tuuuusa(ayay))",
        "(uuua(ayay))",
        "(yay)",
        "a(ayay)",
        "a{sv}",
    ];
    assert_eq!(kinds, expected, "a kind of file is missing: {types:?}");
}

#[test]
fn every_golden_object_comes_back_through_its_struct() {
    for (name, ty, bytes) in golden_variants() {
        let encoded = match ty {
            COMMIT_TYPE => Commit::decode(bytes).map(|commit| commit.encode()),
            DIRTREE_TYPE => DirTree::decode(bytes).map(|tree| tree.encode()),
            "(uuua(ayay))" if name.ends_with("user.ostreemeta") => {
                FileHeader::decode_meta(bytes).map(|header| header.encode_meta())
            }
            DIRMETA_TYPE => DirMeta::decode(bytes).map(|meta| meta.encode()),
            "(tuuuusa(ayay))" => FileHeader::decode_archive_header(bytes).map(|(header, size)| {
                header.archive_header(size).split_off(FileHeader::PREFIX_BYTES)
            }),
            "a(ayay)" => Xattrs::decode(bytes).map(|xattrs| xattrs.encode()),
            "a{sv}" => Dict::decode(bytes).map(|dict| dict.encode()),
            _ => continue,
        };
        assert_eq!(encoded.unwrap_or_else(|error| panic!("{name}: {error}")), bytes, "{name}");
    }
}

#[test]
fn golden_tombstones_and_sizes_are_understood() {
    let (mut tombstones, mut sizes) = (0, 0);
    for (name, ty, bytes) in golden_variants() {
        if let Some(path) = name.strip_suffix(".tombstone-commit") {
            let hex: String =
                path.rsplit('/').take(2).collect::<Vec<_>>().into_iter().rev().collect();
            assert_eq!(tombstone(&Checksum::from_hex(&hex).unwrap()).encode(), bytes);
            tombstones += 1;
        }
        if ty == COMMIT_TYPE {
            let commit = Commit::decode(bytes).unwrap();
            let Some(entries) = commit.metadata.get("ostree.sizes") else { continue };
            for entry in entries.view().children() {
                let bytes = entry.as_bytes().unwrap();
                assert_eq!(SizeEntry::decode(bytes).unwrap().encode(), bytes);
                sizes += 1;
            }
        }
    }
    assert!(tombstones > 0 && sizes > 0, "{tombstones} tombstones, {sizes} sizes");
}

/// The order in which upstream puts keys into a summary's metadata, after those of the user.
const SUMMARY_KEYS: [&str; 7] = [
    "ostree.static-deltas",
    "ostree.summary.last-modified",
    "ostree.summary.mode",
    "ostree.summary.tombstone-commits",
    "ostree.summary.indexed-deltas",
    "ostree.summary.collection-id",
    "ostree.summary.collection-map",
];

#[test]
fn golden_summaries_are_in_the_order_of_the_table_they_were_assembled_in() {
    let mut checked = 0;
    for (name, ty, bytes) in golden_variants() {
        if ty != SUMMARY_TYPE {
            continue;
        }
        let view = Variant::new(Type::parse(ty).unwrap(), bytes);
        let metadata = Dict::from_variant(view.child(1).unwrap()).unwrap();
        let place = |key: &str| {
            SUMMARY_KEYS.iter().position(|known| *known == key).map_or(0, |place| place + 1)
        };
        let mut entries: Vec<(&str, &Value)> = metadata.iter().collect();
        entries.sort_by_key(|(key, _)| place(key));
        let inserted: Dict = entries.into_iter().map(|(key, value)| (key, value.clone())).collect();
        assert_eq!(inserted.in_table_order(), metadata, "{name}");
        for entry in view.child(0).unwrap().children() {
            let metadata = Dict::from_variant(entry.child(1).unwrap().child(2).unwrap()).unwrap();
            let mut entries: Vec<(&str, &Value)> = metadata.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            let inserted: Dict =
                entries.into_iter().map(|(key, value)| (key, value.clone())).collect();
            assert_eq!(inserted.in_table_order(), metadata, "{name}");
            checked += usize::from(metadata.len() > 1);
        }
    }
    assert!(checked > 0, "no ref has two keys");
}

/// The checksums are those of the keys in the order in which GLib 2.74 left them
/// (`g_variant_dict_insert_value`, `g_variant_dict_remove`), for every number of keys up to 300.
#[test]
fn tables_of_all_sizes_iterate_in_the_order_of_glib() {
    let key = |number: usize| format!("ostree.key-{number}-ä");
    let lines = |table: &HashTable<()>| {
        table.iter().map(|(key, ())| key).collect::<Vec<_>>().join("\n") + "\n"
    };
    let (mut inserted, mut removed) = (String::new(), String::new());
    for count in 0..=300 {
        let mut table = HashTable::new();
        for number in 0..count {
            table.insert(key(number), ());
        }
        inserted += &lines(&table);
        for number in (0..count).filter(|number| number % 10 != 0) {
            table.remove(&key(number));
        }
        for number in 0..count / 20 {
            table.insert(format!("more-{number}"), ());
        }
        removed += &lines(&table);
    }
    let checksum = |text: String| Checksum::of(text.as_bytes()).to_hex();
    assert_eq!(
        checksum(inserted),
        "f2af4be954ab660b305f381c7215cdd2a7f08501dfbbbbec469172f4379c53d9"
    );
    assert_eq!(
        checksum(removed),
        "bdc7664a8f6b0583f247acc5f8eaac395e3b7483eac82b30c0c2e70f7ea05f3e"
    );
}
