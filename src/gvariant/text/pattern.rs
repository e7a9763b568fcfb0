//! Which types a value in text form can have.

use super::Span;
use super::parse::{Kind, Node};
use crate::gvariant::{DecodeError, Type};

/// A set of types: some number of maybes around one of a set of cores.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    /// How many maybes there are, or at least are if there may be `more`: whatever is not `nothing`
    /// or declared may stand for `just` itself, as the first element of `[1, nothing]` does.
    maybes: usize,
    more: bool,
    core: Core,
}

#[derive(Clone, Debug)]
enum Core {
    /// Nothing is known: the element of `[]`, the value of `nothing`.
    Any,
    /// Any numeric type.
    Number,
    /// A string, object path or signature.
    Text,
    /// A type without members, by its character; `v` too.
    Plain(u8),
    Array(Box<Pattern>),
    Tuple(Vec<Pattern>),
    Entry(Box<(Pattern, Pattern)>),
}

impl Pattern {
    fn open(core: Core) -> Self {
        Self { maybes: 0, more: true, core }
    }

    /// The pattern that has exactly this type.
    fn exactly(mut ty: Type<'_>) -> Self {
        let mut maybes = 0;
        while ty.class() == b'm'
            && let Some(element) = ty.element()
        {
            maybes += 1;
            ty = element;
        }
        let core = match ty.class() {
            b'a' => Core::Array(Box::new(
                ty.element().map_or_else(|| Self::open(Core::Any), Self::exactly),
            )),
            b'(' => Core::Tuple(ty.members().map(Self::exactly).collect()),
            b'{' => {
                let mut members = ty.members().map(Self::exactly);
                match (members.next(), members.next()) {
                    (Some(key), Some(value)) => Core::Entry(Box::new((key, value))),
                    _ => Core::Any,
                }
            }
            class => Core::Plain(class),
        };
        Self { maybes, more: false, core }
    }

    /// The types that a value can have.
    pub(super) fn of(node: &Node<'_>) -> Result<Self, DecodeError> {
        Ok(Self::open(match &node.kind {
            Kind::Array(elements) => Core::Array(Box::new(Self::common(elements.iter())?)),
            Kind::Dictionary(entries) => match entries.first() {
                None => Core::Array(Box::new(Self::open(Core::Entry(Box::new((
                    Self { more: false, ..Self::open(Core::Any) },
                    Self::open(Core::Any),
                )))))),
                // The first value alone decides, as in GLib; the keys all do.
                Some((_, value)) => {
                    let key =
                        Self::common(entries.iter().map(|(key, _)| key))?.of_key(node.span)?;
                    Core::Array(Box::new(Self::open(Core::Entry(Box::new((
                        key,
                        Self::of(value)?,
                    ))))))
                }
            },
            Kind::Entry(entry) => {
                let (key, value) = &**entry;
                Core::Entry(Box::new((Self::of(key)?.of_key(node.span)?, Self::of(value)?)))
            }
            Kind::Tuple(members) => {
                Core::Tuple(members.iter().map(Self::of).collect::<Result<_, _>>()?)
            }
            Kind::Variant(_) => Core::Plain(b'v'),
            Kind::Maybe(None) => return Ok(Self { maybes: 1, ..Self::open(Core::Any) }),
            Kind::Maybe(Some(child)) => {
                let child = Self::of(child)?;
                return Ok(Self { maybes: child.maybes + 1, more: true, core: child.core });
            }
            Kind::Boolean(_) => Core::Plain(b'b'),
            Kind::Number(written) if super::number::reads_as_double(written) => Core::Plain(b'd'),
            Kind::Number(_) => Core::Number,
            Kind::Text(_) => Core::Text,
            Kind::ByteString(_) => {
                Core::Array(Box::new(Self { more: false, ..Self::open(Core::Plain(b'y')) }))
            }
            Kind::Typed(written, _) => {
                let ty = Type::parse(written)?;
                return Ok(Self::exactly(ty));
            }
        }))
    }

    /// The types that all the values can have.
    fn common<'n, 't: 'n>(nodes: impl Iterator<Item = &'n Node<'t>>) -> Result<Self, DecodeError> {
        let mut common = Self::open(Core::Any);
        let mut seen: Vec<(Span, Self)> = Vec::new();
        for node in nodes {
            let pattern = Self::of(node)?;
            match common.meet(&pattern) {
                Some(narrower) => common = narrower,
                None => return Err(no_common_type(&seen, node.span, &pattern)),
            }
            seen.push((node.span, pattern));
        }
        Ok(common)
    }

    /// What a key can be, which is no container and no maybe.
    fn of_key(self, whole: Span) -> Result<Self, DecodeError> {
        let basic = match self.core {
            Core::Number | Core::Text => true,
            Core::Plain(class) => class != b'v',
            _ => false,
        };
        if basic && self.maybes == 0 {
            Ok(Self { more: false, ..self })
        } else {
            Err(whole.error("dictionary keys must have basic types"))
        }
    }

    /// The types in both sets.
    fn meet(&self, other: &Self) -> Option<Self> {
        let maybes = self.maybes.max(other.maybes);
        if (maybes > self.maybes && !self.more) || (maybes > other.maybes && !other.more) {
            return None;
        }
        let core = match (&self.core, &other.core) {
            (Core::Any, core) | (core, Core::Any) => core.clone(),
            (Core::Number, Core::Number) => Core::Number,
            (Core::Text, Core::Text) => Core::Text,
            (Core::Number, Core::Plain(class)) | (Core::Plain(class), Core::Number)
                if b"ynqiuxthd".contains(class) =>
            {
                Core::Plain(*class)
            }
            (Core::Text, Core::Plain(class)) | (Core::Plain(class), Core::Text)
                if b"sog".contains(class) =>
            {
                Core::Plain(*class)
            }
            (Core::Plain(class), Core::Plain(same)) if class == same => Core::Plain(*class),
            (Core::Array(one), Core::Array(two)) => Core::Array(Box::new(one.meet(two)?)),
            (Core::Tuple(one), Core::Tuple(two)) if one.len() == two.len() => Core::Tuple(
                one.iter().zip(two).map(|(one, two)| one.meet(two)).collect::<Option<_>>()?,
            ),
            (Core::Entry(one), Core::Entry(two)) => {
                Core::Entry(Box::new((one.0.meet(&two.0)?, one.1.meet(&two.1)?)))
            }
            _ => return None,
        };
        Some(Self { maybes, more: self.more && other.more, core })
    }

    /// The type to take: the fewest maybes, numbers `i`, texts `s`. Nothing where nothing is known.
    pub(super) fn default_type(&self, ty: &mut String) -> Option<()> {
        ty.extend(std::iter::repeat_n('m', self.maybes));
        match &self.core {
            Core::Any => return None,
            Core::Number => ty.push('i'),
            Core::Text => ty.push('s'),
            Core::Plain(class) => ty.push(char::from(*class)),
            Core::Array(element) => {
                ty.push('a');
                element.default_type(ty)?;
            }
            Core::Tuple(members) => {
                ty.push('(');
                members.iter().try_for_each(|member| member.default_type(ty))?;
                ty.push(')');
            }
            Core::Entry(entry) => {
                ty.push('{');
                entry.0.default_type(ty)?;
                entry.1.default_type(ty)?;
                ty.push('}');
            }
        }
        Some(())
    }
}

/// The error that names the first of the earlier values with which the new one has nothing in
/// common.
fn no_common_type(seen: &[(Span, Pattern)], span: Span, pattern: &Pattern) -> DecodeError {
    let other = seen.iter().find(|(_, earlier)| earlier.meet(pattern).is_none());
    let other = other.or(seen.first()).map_or(span, |(span, _)| *span);
    DecodeError {
        what: format!(
            "{}-{},{}-{}:unable to find a common type",
            other.start, other.end, span.start, span.end
        ),
        offset: Some(other.start),
    }
}
