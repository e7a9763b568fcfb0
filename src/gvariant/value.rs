//! Owned values.

use std::fmt;

use super::{DecodeError, Encoder, Type, Variant};

/// An owned value: a type and its serialisation, in normal form.
#[derive(Clone, PartialEq, Eq)]
pub struct Value {
    ty: String,
    bytes: Vec<u8>,
}

impl Value {
    /// Takes serialised bytes, which must be in normal form (`Not normal form`).
    pub fn from_bytes(ty: &str, bytes: Vec<u8>) -> Result<Self, DecodeError> {
        Variant::decode(Type::parse(ty)?, &bytes)?;
        Ok(Self { ty: ty.to_owned(), bytes })
    }

    /// A view for reading.
    pub fn view(&self) -> Variant<'_> {
        Variant::new(self.ty(), &self.bytes)
    }

    /// The type of the value.
    pub fn ty(&self) -> Type<'_> {
        Type::trusted(&self.ty)
    }

    /// The type of the value in GVariant's notation, such as `a{sv}`.
    pub fn type_string(&self) -> &str {
        &self.ty
    }

    /// The serialised value, in normal form.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the serialised value out.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn basic(ty: &str, bytes: &[u8]) -> Self {
        Self { ty: ty.to_owned(), bytes: bytes.to_vec() }
    }

    /// A string (`s`). GVariant ends strings at the first NUL, so what follows one is dropped.
    pub fn string(text: &str) -> Self {
        Self::text("s", text)
    }

    /// An object path (`o`); the text must follow D-Bus' grammar.
    pub fn object_path(text: &str) -> Result<Self, DecodeError> {
        Self::from_bytes("o", Self::text("o", text).bytes)
    }

    /// A signature (`g`); the text must be types without maybes.
    pub fn signature(text: &str) -> Result<Self, DecodeError> {
        Self::from_bytes("g", Self::text("g", text).bytes)
    }

    fn text(ty: &str, text: &str) -> Self {
        let mut encoder = Encoder::with_capacity(text.len() + 1);
        encoder.put_text(text);
        Self { ty: ty.to_owned(), bytes: encoder.finish() }
    }

    /// A boolean (`b`).
    pub fn boolean(value: bool) -> Self {
        Self::basic("b", &[u8::from(value)])
    }

    /// A byte (`y`).
    pub fn byte(value: u8) -> Self {
        Self::basic("y", &[value])
    }

    /// A signed 16-bit number (`n`).
    pub fn int16(value: i16) -> Self {
        Self::basic("n", &value.to_le_bytes())
    }

    /// An unsigned 16-bit number (`q`).
    pub fn uint16(value: u16) -> Self {
        Self::basic("q", &value.to_le_bytes())
    }

    /// A signed 32-bit number (`i`).
    pub fn int32(value: i32) -> Self {
        Self::basic("i", &value.to_le_bytes())
    }

    /// An unsigned 32-bit number (`u`).
    pub fn uint32(value: u32) -> Self {
        Self::basic("u", &value.to_le_bytes())
    }

    /// A signed 64-bit number (`x`).
    pub fn int64(value: i64) -> Self {
        Self::basic("x", &value.to_le_bytes())
    }

    /// An unsigned 64-bit number (`t`).
    pub fn uint64(value: u64) -> Self {
        Self::basic("t", &value.to_le_bytes())
    }

    /// A handle (`h`).
    pub fn handle(value: i32) -> Self {
        Self::basic("h", &value.to_le_bytes())
    }

    /// A floating-point number (`d`).
    pub fn double(value: f64) -> Self {
        Self::basic("d", &value.to_le_bytes())
    }

    /// Bytes (`ay`).
    pub fn bytes_value(bytes: &[u8]) -> Self {
        Self::basic("ay", bytes)
    }

    /// Bytes with a NUL after them (`ay`), which is how file names and the like are written.
    pub fn bytestring(bytes: &[u8]) -> Self {
        Self { ty: "ay".to_owned(), bytes: [bytes, &[0]].concat() }
    }

    /// An array of strings (`as`).
    pub fn strings(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        Self::array("s", texts.into_iter().map(|text| Self::string(text.as_ref())).collect())
    }

    /// A variant (`v`) that holds a value.
    pub fn variant(value: Value) -> Self {
        let mut encoder = Encoder::with_capacity(value.bytes.len() + value.ty.len() + 1);
        encoder.put(&value.bytes);
        encoder.end_variant(&value.ty);
        Self { ty: "v".to_owned(), bytes: encoder.finish() }
    }

    /// A tuple.
    pub fn tuple(members: Vec<Value>) -> Self {
        let types: String = members.iter().map(|member| member.ty.as_str()).collect();
        Self::of_members(format!("({types})"), &members)
    }

    /// A dictionary entry. The key must be of a basic type.
    pub fn dict_entry(key: Value, value: Value) -> Self {
        Self::of_members(format!("{{{}{}}}", key.ty, value.ty), &[key, value])
    }

    fn of_members(ty: String, members: &[Value]) -> Self {
        let mut encoder = Encoder::new();
        encoder.container(Type::trusted(&ty), members.iter(), |encoder, member| {
            encoder.put(&member.bytes)
        });
        Self { ty, bytes: encoder.finish() }
    }

    /// An array. All elements must be of the element type, which must be a valid type.
    pub fn array(element_type: &str, elements: Vec<Value>) -> Self {
        debug_assert!(
            elements.iter().all(|element| element.ty == element_type),
            "the elements are of another type"
        );
        let ty = format!("a{element_type}");
        let mut encoder = Encoder::new();
        encoder.container(Type::trusted(&ty), elements.iter(), |encoder, element| {
            encoder.put(&element.bytes)
        });
        Self { ty, bytes: encoder.finish() }
    }

    /// A maybe that holds a value.
    pub fn just(value: Value) -> Self {
        let Value { ty, mut bytes } = value;
        if Type::trusted(&ty).fixed_size().is_none() {
            bytes.push(0);
        }
        Self { ty: format!("m{ty}"), bytes }
    }

    /// A maybe that holds nothing. The type it could hold must be a valid one.
    pub fn nothing(element_type: &str) -> Self {
        Self { ty: format!("m{element_type}"), bytes: Vec::new() }
    }

    /// The bytes of a view that is in normal form.
    pub(super) fn copied(view: Variant<'_>) -> Self {
        Self::basic(view.ty().as_str(), view.bytes())
    }

    /// Serialises again what a view shows, with all numbers changed in place.
    fn rebuilt(view: Variant<'_>, change: fn(&mut [u8])) -> Self {
        let mut encoder = Encoder::new();
        encoder.put_rebuilt(view, change);
        Self { ty: view.ty().as_str().to_owned(), bytes: encoder.finish() }
    }
}

impl Variant<'_> {
    /// A copy with the bytes of all numbers reversed.
    pub fn byteswapped(&self) -> Value {
        Value::rebuilt(*self, |number| number.reverse())
    }

    /// A copy, in normal form.
    pub fn to_value(&self) -> Value {
        if self.is_normal() { Value::copied(*self) } else { Value::rebuilt(*self, |_| ()) }
    }
}

impl Encoder {
    /// Writes a tuple, dictionary entry or array with `put` called for each child at the right
    /// place.
    fn container<T>(
        &mut self,
        ty: Type<'_>,
        children: impl Iterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        let alignment = ty.alignment();
        let mut framing = self.begin(alignment);
        if let Some(element) = ty.element() {
            let (fixed, alignment) = (element.fixed_size().is_some(), element.alignment());
            for child in children {
                self.align(alignment);
                put(self, child);
                if !fixed {
                    framing.end_child(self);
                }
            }
            return self.end_array(framing);
        }
        let mut members = ty.members();
        for child in children {
            let Some(member) = members.next() else { break };
            self.align(member.alignment());
            put(self, child);
            if member.fixed_size().is_none() && !members.is_empty() {
                framing.end_child(self);
            }
        }
        match ty.fixed_size() {
            Some(_) if ty == Type::UNIT => self.put(&[0]),
            Some(_) => self.align(alignment),
            None => self.end_tuple(framing),
        }
    }

    fn put_rebuilt(&mut self, view: Variant<'_>, change: fn(&mut [u8])) {
        let ty = view.ty();
        let start = self.len();
        match ty.class() {
            b'(' | b'{' => {
                self.container(ty, view.children(), |this, child| this.put_rebuilt(child, change))
            }
            b'a' if ty.as_str() == "ay" => self.put(view.bytes()),
            b'a' => {
                self.container(ty, view.children(), |this, child| this.put_rebuilt(child, change))
            }
            b'v' => {
                if let Some(content) = view.as_variant() {
                    self.put_rebuilt(content, change);
                    self.end_variant(content.ty().as_str());
                }
            }
            b'm' => {
                if let Some(content) = view.as_maybe().flatten() {
                    self.put_rebuilt(content, change);
                    if content.ty().fixed_size().is_none() {
                        self.put(&[0]);
                    }
                }
            }
            b's' | b'o' | b'g' => self.put_text(view.as_str().unwrap_or_default()),
            b'b' => self.put(&[u8::from(view.as_bool() == Some(true))]),
            _ => {
                let size = ty.fixed_size().unwrap_or(0);
                let zeros = [0; 8];
                let number = if view.bytes().is_empty() {
                    zeros.get(..size).unwrap_or_default()
                } else {
                    view.bytes()
                };
                self.put(number);
                change(self.written_mut(start));
            }
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [", self.ty)?;
        for byte in &self.bytes {
            write!(f, "{byte:02x}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gvariant::Dict;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn dict(entries: &[(&str, Value)]) -> Value {
        entries.iter().map(|(key, value)| (*key, value.clone())).collect::<Dict>().to_value()
    }

    #[test]
    fn values_serialise_as_in_the_formats_document() {
        let table = [
            (dict(&[]), "a{sv}", ""),
            (dict(&[("k", Value::string("v"))]), "a{sv}", "6b0000000000000076000073020d"),
            (dict(&[("k", Value::boolean(true))]), "a{sv}", "6b00000000000000010062020c"),
            (dict(&[("k", Value::uint64(1))]), "a{sv}", "6b00000000000000010000000000000000740213"),
            (
                dict(&[("k", Value::string("v")), ("longer", Value::uint32(5))]),
                "a{sv}",
                "6b0000000000000076000073020000006c6f6e6765720000050000000075070d1f",
            ),
            (Value::strings(["a", "bc"]), "as", "61006263000205"),
            (
                Value::array("ay", [&[1, 2][..], &[3]].map(Value::bytes_value).to_vec()),
                "aay",
                "0102030203",
            ),
            (
                Value::tuple(vec![Value::string("f"), Value::bytes_value(&[0xaa; 4])]),
                "(say)",
                "6600aaaaaaaa02",
            ),
            (
                Value::tuple(vec![Value::byte(1), Value::uint64(2)]),
                "(yt)",
                "01000000000000000200000000000000",
            ),
            (Value::just(Value::string("x")), "ms", "780000"),
            (Value::variant(Value::variant(Value::byte(1))), "v", "0100790076"),
            (Value::nothing("s"), "ms", ""),
            (Value::just(Value::byte(7)), "my", "07"),
            (Value::tuple(vec![]), "()", "00"),
            (Value::array("as", vec![Value::strings([""; 0])]), "aas", "00"),
            (
                Value::tuple(vec![Value::uint64(1), Value::byte(2)]),
                "(ty)",
                "01000000000000000200000000000000",
            ),
            (Value::dict_entry(Value::string("k"), Value::byte(1)), "{sy}", "6b000102"),
            (Value::bytestring(b"ab"), "ay", "616200"),
        ];
        for (value, ty, bytes) in table {
            assert_eq!((value.type_string(), hex(value.bytes())), (ty, bytes.to_owned()));
            assert_eq!(
                Value::from_bytes(ty, value.bytes().to_vec()),
                Ok(value.clone()),
                "{value:?} in normal form"
            );
            assert_eq!(Value::rebuilt(value.view(), |_| ()), value);
        }
    }

    #[test]
    fn offsets_widen_when_the_container_passes_255_bytes() {
        let long =
            |first, second| Value::strings(["x".repeat(first), "y".repeat(second)]).into_bytes();
        let narrow = long(126, 125);
        assert_eq!((narrow.len(), hex(&narrow[narrow.len() - 3..])), (255, "007ffd".to_owned()));
        let wide = long(126, 126);
        assert_eq!((wide.len(), hex(&wide[wide.len() - 6..])), (258, "79007f00fe00".to_owned()));
    }

    #[test]
    fn swapping_bytes_reaches_every_number_and_nothing_else() {
        let metadata =
            |number| dict(&[("k", Value::tuple(vec![Value::uint32(number), Value::string("ab")]))]);
        let swapped =
            Value::tuple(vec![Value::uint16(0x0102), metadata(0x0102_0304)]).view().byteswapped();
        assert_eq!(swapped, Value::tuple(vec![Value::uint16(0x0201), metadata(0x0403_0201)]));
    }

    #[test]
    fn strings_end_before_their_first_nul() {
        assert_eq!(Value::string("a\0b"), Value::string("a"));
    }
}
