//! GVariant's text format, held against GLib's.

use osier::gvariant::text::{self, Annotate};
use osier::gvariant::{Type, Value};
use proptest::prelude::*;

/// What GLib 2.74 answered; `variant_text/make-table` says how it was asked.
const TABLE: &str = include_str!("variant_text/table.tsv");

fn unescape(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(match character {
            '\\' => match characters.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                other => other.unwrap(),
            },
            _ => character,
        });
    }
    plain
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_text_of_the_table_is_read_printed_and_refused_as_by_glib() {
    let mut checked = 0;
    for line in TABLE.lines() {
        let columns: Vec<&str> = line.split('\t').collect();
        let hint =
            if columns[0].is_empty() { None } else { Some(Type::parse(columns[0]).unwrap()) };
        let answer = match text::parse(hint, &unescape(columns[1])) {
            Err(error) => vec!["ERR".to_owned(), error.what],
            Ok(value) => vec![
                value.type_string().to_owned(),
                hexadecimal(value.bytes()),
                text::print(value.view(), Annotate::Yes),
                text::print(value.view(), Annotate::No),
            ],
        };
        let expected: Vec<String> = columns[2..].iter().map(|column| unescape(column)).collect();
        assert_eq!(answer, expected, "{line}");
        checked += 1;
    }
    assert_eq!(checked, 693);
}

#[test]
fn nesting_ends_at_128_levels_in_every_bracket_and_keyword() {
    for opening in ["[", "(", "<", "{", "just ", "int32 ", "@i ", "{1:", "{1,", "(1,"] {
        let error = text::parse(None, &opening.repeat(100_000)).unwrap_err();
        assert!(!error.what.is_empty());
    }
    assert_eq!(
        text::parse(None, &"[".repeat(1000)).unwrap_err().what,
        "128:variant nested too deeply"
    );
}

#[test]
fn characters_beyond_unicode_are_refused() {
    assert_eq!(
        text::parse(None, r"'\ud800'").unwrap_err().what,
        "3-7:invalid 4-character unicode escape"
    );
    assert_eq!(
        text::parse(None, r"'\U00110000'").unwrap_err().what,
        "3-11:invalid 8-character unicode escape"
    );
}

/// A value's type and the value, the same type for every element of an array.
fn types() -> impl Strategy<Value = String> {
    let basic =
        prop::sample::select(vec!["b", "y", "n", "q", "i", "u", "x", "t", "h", "d", "s", "o", "g"]);
    let leaf = prop_oneof![8 => basic.clone().prop_map(str::to_owned), 1 => Just("v".to_owned()), 1 => Just("()".to_owned())];
    leaf.prop_recursive(4, 12, 3, move |inner| {
        prop_oneof![
            inner.clone().prop_map(|element| format!("a{element}")),
            inner.clone().prop_map(|element| format!("m{element}")),
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|members| format!("({})", members.concat())),
            (basic.clone(), inner.clone()).prop_map(|(key, value)| format!("{{{key}{value}}}")),
            (basic.clone(), inner).prop_map(|(key, value)| format!("a{{{key}{value}}}")),
        ]
    })
}

fn values_of(ty: &str) -> BoxedStrategy<Value> {
    let parsed = Type::parse(ty).unwrap();
    match parsed.class() {
        b'b' => any::<bool>().prop_map(Value::boolean).boxed(),
        b'y' => any::<u8>().prop_map(Value::byte).boxed(),
        b'n' => any::<i16>().prop_map(Value::int16).boxed(),
        b'q' => any::<u16>().prop_map(Value::uint16).boxed(),
        b'i' => any::<i32>().prop_map(Value::int32).boxed(),
        b'u' => any::<u32>().prop_map(Value::uint32).boxed(),
        b'x' => any::<i64>().prop_map(Value::int64).boxed(),
        b't' => any::<u64>().prop_map(Value::uint64).boxed(),
        b'h' => any::<i32>().prop_map(Value::handle).boxed(),
        // What is too small to be precise cannot be read back, by GLib neither, and all NaN look
        // alike.
        b'd' => prop_oneof![
            (prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::INFINITE)
                .prop_map(Value::double),
            any::<i32>().prop_map(|number| Value::double(f64::from(number) / 8.0)),
        ]
        .boxed(),
        b's' => "[^\0]{0,8}|['\"\\\\\n\t\u{7f}\u{200b}é😀a]{0,6}"
            .prop_map(|text| Value::string(&text))
            .boxed(),
        b'o' => "(/[A-Za-z0-9_]{1,3}){1,3}|/"
            .prop_map(|text| Value::object_path(&text).unwrap())
            .boxed(),
        b'g' => "[bynqiuxthdsogv]{0,3}(a\\{sv\\})?"
            .prop_map(|text| Value::signature(&text).unwrap())
            .boxed(),
        b'v' => types().prop_flat_map(|ty| values_of(&ty)).prop_map(Value::variant).boxed(),
        b'm' => {
            let element = parsed.element().unwrap().as_str().to_owned();
            let nothing = Value::nothing(&element);
            prop_oneof![1 => Just(nothing), 2 => values_of(&element).prop_map(Value::just)].boxed()
        }
        b'a' => {
            let element = parsed.element().unwrap().as_str().to_owned();
            let elements = prop::collection::vec(values_of(&element), 0..4);
            let array = elements.prop_map(move |elements| Value::array(&element, elements)).boxed();
            if ty == "ay" {
                let strings = "[^\0]{0,6}".prop_map(|text| Value::bytestring(text.as_bytes()));
                return prop_oneof![array, strings].boxed();
            }
            array
        }
        b'(' => parsed
            .members()
            .map(|ty| values_of(ty.as_str()))
            .collect::<Vec<_>>()
            .prop_map(Value::tuple)
            .boxed(),
        _ => {
            let members: Vec<_> = parsed.members().map(|ty| values_of(ty.as_str())).collect();
            members
                .prop_map(|mut pair| {
                    pair.pop().map(|value| Value::dict_entry(pair.remove(0), value)).unwrap()
                })
                .boxed()
        }
    }
}

proptest! {
    #[test]
    fn what_is_printed_with_annotations_reads_back(
        value in types().prop_flat_map(|ty| values_of(&ty)),
    ) {
        let printed = text::print(value.view(), Annotate::Yes);
        prop_assert_eq!(text::parse(None, &printed), Ok(value), "{}", printed);
    }

    #[test]
    fn what_is_printed_without_annotations_reads_back_as_its_type(
        value in types().prop_flat_map(|ty| values_of(&ty)),
    ) {
        let printed = text::print(value.view(), Annotate::No);
        prop_assert_eq!(text::parse(Some(value.ty()), &printed), Ok(value.clone()), "{}", printed);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\PC\n]{0,40}|[-\\[\\](){}<>@,:'\"\\\\a-z0-9 \
        .é+]{0,40}") {
        let _ = text::parse(None, &text);
        let _ = text::parse(Some(Type::parse("a{sv}").unwrap()), &text);
    }
}
