//! GVariant: bytes to values, values to text, and text to values.

use osier::gvariant::text::{self, Annotate};
use osier::gvariant::{Type, Value, Variant};

/// Broken values may be much larger than their bytes: an array of a hundred broken tuples of a
/// thousand numbers.
const MOST_WORK: usize = 1 << 18;

/// A type string, a NUL, and the bytes of a value.
pub fn gvariant(data: &[u8]) {
    let Some((ty, bytes)) = typed(data) else { return };
    check_value(ty, bytes);
    // Text takes a hundred times as long as bytes do.
    if bytes.len() < 300
        && let Ok(view) = Variant::decode(ty, bytes)
    {
        check_text(view);
    }
}

/// Takes apart what [`gvariant`] is given.
pub fn typed(data: &[u8]) -> Option<(Type<'_>, &[u8])> {
    let mut parts = data.splitn(2, |byte| *byte == 0);
    let ty = str::from_utf8(parts.next()?).ok()?;
    Some((Type::parse(ty).ok()?, parts.next()?))
}

/// What is in normal form is written again as it was; what is not reads as something that is.
pub fn check_value(ty: Type<'_>, bytes: &[u8]) {
    match Variant::decode(ty, bytes) {
        Ok(view) => {
            assert_eq!(view.byteswapped().view().byteswapped().bytes(), bytes);
            let value = Value::from_bytes(ty.as_str(), bytes.to_vec());
            assert_eq!(value.as_ref().map(Value::bytes), Ok(bytes));
            check_children(view);
        }
        Err(_) if bytes.len() * ty.as_str().len() < MOST_WORK => {
            let value = Variant::new(ty, bytes).to_value();
            assert!(value.view().is_normal());
            assert_ne!(value.bytes(), bytes);
        }
        Err(_) => {}
    }
}

/// Children that are asked for one by one are those of the iterator.
fn check_children(view: Variant<'_>) {
    let mut count = 0;
    for (index, child) in view.children().enumerate() {
        if index < 8 {
            assert_eq!(view.child(index).map(|child| child.bytes()), Some(child.bytes()));
            check_children(child);
        }
        count = index + 1;
    }
    assert_eq!((view.len(), view.child(count).is_none()), (count, true));
}

/// The printed form reads as the value that it was printed from. In deep values GLib counts the
/// levels of an annotation's type on top of those around it, and refuses what it has printed
/// itself; so do we.
fn check_text(view: Variant<'_>) {
    let printed = text::print(view, Annotate::Yes);
    if printed.len() < MOST_WORK && is_printable(view) {
        let read = text::parse(None, &printed);
        if read
            .as_ref()
            .is_err_and(|error| error.to_string().ends_with("type declaration recurses too deeply"))
        {
            return;
        }
        assert_eq!(read.as_ref(), Ok(&view.to_value()), "{printed}");
        let brief = text::print(view, Annotate::No);
        assert_eq!(text::parse(Some(view.ty()), &brief), read, "{brief}");
    }
}

/// What text cannot say: which of the many not-a-numbers it is, and doubles that `strtod` calls out
/// of range.
fn is_printable(view: Variant<'_>) -> bool {
    match view.as_f64() {
        Some(number) => number == 0.0 || number.is_normal() || number.is_infinite(),
        None => view.children().all(is_printable),
    }
}

/// A value in text form; what stands before a NUL is its type.
pub fn variant_text(data: &[u8]) {
    let Ok(input) = str::from_utf8(data) else { return };
    let (ty, input) = match input.split_once('\0') {
        Some((ty, input)) => match Type::parse(ty) {
            Ok(ty) => (Some(ty), input),
            Err(_) => return,
        },
        None => (None, input),
    };
    match text::parse(ty, input) {
        Ok(value) => {
            assert!(ty.is_none_or(|ty| ty == value.ty()));
            assert!(value.view().is_normal(), "{input}");
            check_text(value.view());
        }
        Err(error) => assert!(error.offset.is_none_or(|offset| offset <= input.len()), "{error}"),
    }
}
