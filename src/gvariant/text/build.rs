//! A tree of syntax and a type to a value.

use super::number;
use super::parse::{Kind, Node};
use super::pattern::Pattern;
use crate::gvariant::{DecodeError, Type, Value};

/// The value with the type that its text suggests.
pub(super) fn inferred(node: &Node<'_>) -> Result<Value, DecodeError> {
    let pattern = Pattern::of(node)?;
    let mut ty = String::new();
    if pattern.default_type(&mut ty).is_none() {
        return Err(node.span.error("unable to infer type"));
    }
    as_type(node, Type::parse(&ty)?)
}

/// The value as one of the type.
pub(super) fn as_type(node: &Node<'_>, ty: Type<'_>) -> Result<Value, DecodeError> {
    let mismatch = || node.span.error(&format!("can not parse as value of type '{}'", ty.as_str()));
    match &node.kind {
        // Declared types have already been used in the inference.
        Kind::Typed(_, child) => return as_type(child, ty),
        Kind::Maybe(child) => {
            let (b'm', Some(element)) = (ty.class(), ty.element()) else { return Err(mismatch()) };
            return Ok(match child {
                Some(child) => Value::just(as_type(child, element)?),
                None => Value::nothing(element.as_str()),
            });
        }
        _ => {}
    }
    let class = ty.class();
    if class == b'm'
        && let Some(element) = ty.element()
    {
        return Ok(Value::just(as_type(node, element)?));
    }
    match &node.kind {
        Kind::Array(elements) if class == b'a' => {
            let element = ty.element().ok_or_else(mismatch)?;
            let elements =
                elements.iter().map(|node| as_type(node, element)).collect::<Result<_, _>>()?;
            Ok(Value::array(element.as_str(), elements))
        }
        Kind::Dictionary(entries) if class == b'a' => {
            let element =
                ty.element().filter(|element| element.class() == b'{').ok_or_else(mismatch)?;
            let entries = entries
                .iter()
                .map(|(key, value)| entry(key, value, element))
                .collect::<Result<_, _>>()?;
            Ok(Value::array(element.as_str(), entries))
        }
        Kind::Entry(pair) if class == b'{' => entry(&pair.0, &pair.1, ty),
        Kind::Tuple(members) if class == b'(' => {
            // The members are looked at before their number is.
            let pairs = members.iter().zip(ty.members());
            let values =
                pairs.map(|(node, ty)| as_type(node, ty)).collect::<Result<Vec<_>, _>>()?;
            if values.len() == members.len() && values.len() == ty.members().count() {
                Ok(Value::tuple(values))
            } else {
                Err(mismatch())
            }
        }
        Kind::Variant(child) if class == b'v' => Ok(Value::variant(inferred(child)?)),
        Kind::Boolean(value) if class == b'b' => Ok(Value::boolean(*value)),
        Kind::Number(written) => number::value(written, class, node.span)?.ok_or_else(mismatch),
        Kind::Text(text) if class == b's' => Ok(Value::string(text)),
        Kind::Text(text) if class == b'o' => {
            Value::object_path(text).map_err(|_| node.span.error("not a valid object path"))
        }
        Kind::Text(text) if class == b'g' => {
            Value::signature(text).map_err(|_| node.span.error("not a valid signature"))
        }
        Kind::ByteString(string) if ty.as_str() == "ay" => Ok(Value::bytestring(string)),
        _ => Err(mismatch()),
    }
}

fn entry(key: &Node<'_>, value: &Node<'_>, ty: Type<'_>) -> Result<Value, DecodeError> {
    let mut members = ty.members();
    let (Some(key_type), Some(value_type)) = (members.next(), members.next()) else {
        return Err(key.span.error(&format!("can not parse as value of type '{}'", ty.as_str())));
    };
    Ok(Value::dict_entry(as_type(key, key_type)?, as_type(value, value_type)?))
}
