//! Our reading of GVariants, held against the independent crate `zgvariant`.

use osier::gvariant::Variant;
use zvariant::serialized::{Context, Data};
use zvariant::{LE, Variant as Theirs, to_bytes};

use super::gvariant::typed;

/// A type string, a NUL, and the bytes of a value: what is in normal form shows both the same
/// value, and what the other reads and writes again as it was is in normal form for us.
///
/// Bugs of `zgvariant` 2.0 that are known are left out by name, see [`known_bug`].
pub fn gvariant_oracle(data: &[u8]) {
    let Some((ty, bytes)) = typed(data) else { return };
    if bug_of_type(ty.as_str()).is_some() || may_panic(data) {
        return;
    }
    // A value alone has no type that the other could be told at run time; one in a variant has.
    let wrapped = [bytes, b"\0", ty.as_str().as_bytes()].concat();
    let context = Context::new(LE, 0);
    let data = Data::new(&wrapped[..], context);
    let theirs = data.deserialize::<Theirs<'_>>().map(|(value, _)| value);
    match Variant::decode(ty, bytes) {
        Ok(ours) => {
            if known_bug(ours).is_none() {
                let theirs =
                    theirs.unwrap_or_else(|error| panic!("only we read {wrapped:02x?}: {error}"));
                assert!(agrees(ours, &theirs), "{wrapped:02x?} is {theirs:?} to them");
            }
        }
        Err(_) => {
            let Ok(theirs) = theirs else { return };
            let is_known = holds_unchecked_text(&theirs)
                || known_bug(Variant::new(ty, bytes).to_value().view()).is_some();
            if !is_known && let Ok(written) = to_bytes(context, &theirs) {
                assert!(written.bytes() != wrapped, "only they read {wrapped:02x?} as {theirs:?}");
            }
        }
    }
}

/// B9: whether there is something that it takes without looking at it.
fn holds_unchecked_text(theirs: &Theirs<'_>) -> bool {
    match theirs {
        Theirs::ObjectPath(_) | Theirs::Signature(_) => true,
        Theirs::Variant(content) => holds_unchecked_text(content),
        Theirs::Array(array) => array.inner().iter().any(holds_unchecked_text),
        Theirs::Structure(tuple) => tuple.fields().iter().any(holds_unchecked_text),
        Theirs::Maybe(maybe) => maybe.inner().as_ref().is_some_and(holds_unchecked_text),
        Theirs::Dict(dict) => {
            dict.iter().any(|(key, value)| holds_unchecked_text(key) || holds_unchecked_text(value))
        }
        _ => false,
    }
}

/// The bug of `zgvariant` that values of the type run into.
fn bug_of_type(ty: &str) -> Option<&'static str> {
    if ty.contains("()") {
        return Some("B3: () in a type is refused");
    }
    if ty.contains('h') {
        return Some("handles are file descriptors, which this crate does not have");
    }
    if ty.match_indices('{').any(|(at, _)| !ty[..at].ends_with('a')) {
        return Some("B3: an entry of a dictionary without its array is refused");
    }
    // In `{`, `(`, `a` and `m`; the limit of the other is 32 for arrays and tuples.
    let depth = ty.bytes().filter(|class| b"({am".contains(class)).count();
    (depth > 24).then_some("B8: nesting is limited to 32")
}

/// Whether there is a type of so many members that reading it may panic, which is B6.
fn may_panic(data: &[u8]) -> bool {
    data.split(|byte| !b"bynqiuxthdsogvam(){}".contains(byte)).any(|run| run.len() > 100)
}

/// The bug of `zgvariant` that a value runs into.
fn known_bug(view: Variant<'_>) -> Option<&'static str> {
    let is_empty = |child: Variant<'_>| child.bytes().is_empty();
    let class = view.ty().class();
    match class {
        b'(' | b'{' if view.len() > 1 && view.children().all(is_empty) => {
            return Some("B1, B10: a tuple of empty members");
        }
        b'a' if !view.is_empty() && view.children().all(is_empty) => {
            return Some("B2: an array of empty containers");
        }
        b'a' if view.ty().as_str().starts_with("a{") => {
            let keys: Vec<_> =
                view.children().filter_map(|entry| Some(entry.child(0)?.bytes())).collect();
            let unique: std::collections::BTreeSet<_> = keys.iter().collect();
            if unique.len() < keys.len() {
                return Some("B4: of equal keys the last one counts");
            }
        }
        // What is refused of the type of a value is refused of one that stands for itself.
        b'g' => return view.as_str().and_then(bug_of_type),
        b'v' => {
            let content = view.as_variant()?;
            return bug_of_type(content.ty().as_str()).or_else(|| known_bug(content));
        }
        _ => {}
    }
    view.children().find_map(known_bug)
}

/// Whether both read the same. The order of dictionaries is not looked at: theirs have none (B4).
fn agrees(ours: Variant<'_>, theirs: &Theirs<'_>) -> bool {
    let all = |theirs: &[Theirs<'_>]| {
        ours.len() == theirs.len()
            && ours.children().zip(theirs).all(|(ours, theirs)| agrees(ours, theirs))
    };
    match theirs {
        Theirs::U8(number) => ours.as_byte() == Some(*number),
        Theirs::Bool(value) => ours.as_bool() == Some(*value),
        Theirs::I16(number) => ours.as_i16() == Some(*number),
        Theirs::U16(number) => ours.as_u16() == Some(*number),
        Theirs::I32(number) => ours.as_i32() == Some(*number),
        Theirs::U32(number) => ours.as_u32() == Some(*number),
        Theirs::I64(number) => ours.as_i64() == Some(*number),
        Theirs::U64(number) => ours.as_u64() == Some(*number),
        Theirs::F64(number) => ours.as_f64().map(f64::to_bits) == Some(number.to_bits()),
        Theirs::Str(text) => ours.as_str() == Some(text),
        Theirs::ObjectPath(path) => ours.as_str() == Some(path),
        // A signature of several types is a tuple of them for the other.
        Theirs::Signature(signature) => {
            ours.as_str() == Some(&signature.to_string())
                || ours.as_str() == Some(&signature.to_string_no_parens())
        }
        Theirs::Variant(content) => ours.as_variant().is_some_and(|ours| agrees(ours, content)),
        Theirs::Array(array) => all(array.inner()),
        Theirs::Structure(tuple) => all(tuple.fields()),
        Theirs::Maybe(maybe) => match (ours.as_maybe(), maybe.inner()) {
            (Some(Some(ours)), Some(theirs)) => agrees(ours, theirs),
            (Some(None), None) => true,
            _ => false,
        },
        Theirs::Dict(dict) => {
            let mut entries: Vec<_> = dict.iter().collect();
            ours.children().all(|ours| {
                let (Some(key), Some(value)) = (ours.child(0), ours.child(1)) else { return false };
                let found = entries.iter().position(|(theirs, _)| agrees(key, theirs));
                found.is_some_and(|at| agrees(value, entries.swap_remove(at).1))
            }) && entries.is_empty()
        }
    }
}
