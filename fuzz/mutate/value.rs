//! GVariants: one node of a value is changed, and the whole serialised again.

use osier::gvariant::{Type, Value, Variant};

use super::{Plain, Random};

/// What changing a node takes.
struct Change<'c> {
    /// How many nodes come before the one to change.
    before: usize,
    most: usize,
    random: &'c mut Random,
    plain: Plain<'c>,
    /// A value from somewhere else, to be put into a variant.
    donor: Value,
}

/// The value with one node changed. It is in normal form.
pub fn mutated(view: Variant<'_>, most: usize, random: &mut Random, plain: Plain<'_>) -> Value {
    let nodes = count(view);
    let (before, from) = (random.below(nodes), random.below(nodes));
    let donor = nth(view, &mut { from }).map_or_else(|| Value::byte(0), |found| found.to_value());
    rebuilt(view, &mut Change { before, most, random, plain, donor })
}

fn count(view: Variant<'_>) -> usize {
    // The bytes of an `ay` are changed as a whole.
    if view.ty().as_str() == "ay" { 1 } else { 1 + view.children().map(count).sum::<usize>() }
}

fn nth<'a>(view: Variant<'a>, before: &mut usize) -> Option<Variant<'a>> {
    if *before == 0 {
        return Some(view);
    }
    *before -= 1;
    if view.ty().as_str() == "ay" {
        None
    } else {
        view.children().find_map(|child| nth(child, before))
    }
}

fn rebuilt(view: Variant<'_>, change: &mut Change<'_>) -> Value {
    let is_chosen = change.before == 0;
    // Beyond every node, so that none after this one is chosen.
    change.before = change.before.checked_sub(1).unwrap_or(usize::MAX);
    if is_chosen {
        return changed(view, change);
    }
    let ty = view.ty();
    if ty.as_str() == "ay" {
        return view.to_value();
    }
    let mut children: Vec<Value> = view.children().map(|child| rebuilt(child, change)).collect();
    match (ty.class(), ty.element()) {
        (b'(', _) => Value::tuple(children),
        (b'{', _) if children.len() == 2 => {
            let value = children.swap_remove(1);
            Value::dict_entry(children.swap_remove(0), value)
        }
        (b'a', Some(element)) => Value::array(element.as_str(), children),
        (b'm', Some(element)) => {
            children.pop().map_or_else(|| Value::nothing(element.as_str()), Value::just)
        }
        (b'v', _) if children.len() == 1 => Value::variant(children.swap_remove(0)),
        _ => view.to_value(),
    }
}

fn changed(view: Variant<'_>, change: &mut Change<'_>) -> Value {
    let ty = view.ty();
    match (ty.class(), ty.element()) {
        (b'a', Some(element)) if ty.as_str() != "ay" => {
            let mut elements: Vec<Value> = view.children().map(|child| child.to_value()).collect();
            change_elements(&mut elements, element, change.random);
            Value::array(element.as_str(), elements)
        }
        (b'm', Some(element)) => match view.as_maybe().flatten() {
            Some(_) => Value::nothing(element.as_str()),
            None => Value::just(default_of(element)),
        },
        (b'v', _) => Value::variant(content(view, change)),
        // A tuple has nothing of its own to change.
        (b'(' | b'{', _) => {
            change.before = 1 + change.random.below(view.len());
            if view.is_empty() { view.to_value() } else { rebuilt(view, change) }
        }
        _ => changed_leaf(view, change),
    }
}

fn change_elements(elements: &mut Vec<Value>, element: Type<'_>, random: &mut Random) {
    let count = elements.len();
    match random.below(6) {
        0 if count > 0 => drop(elements.remove(random.below(count))),
        1 if count > 0 => {
            elements.insert(random.below(count), elements[random.below(count)].clone())
        }
        2 if count > 1 => elements.swap(random.below(count), random.below(count)),
        3 if count > 0 => {
            // Enough of them for framing offsets to become wider.
            let copies = random.below(40);
            let copied = elements[random.below(count)].clone();
            elements.extend(std::iter::repeat_n(copied, copies));
        }
        4 if count > 0 => elements.truncate(random.below(count)),
        _ => elements.push(default_of(element)),
    }
}

/// What a variant shall hold now.
fn content(view: Variant<'_>, change: &mut Change<'_>) -> Value {
    match change.random.below(9) {
        0 => Value::byte(change.random.below(256) as u8),
        1 => Value::uint64(change.random.below(usize::MAX) as u64),
        2 => Value::string("text"),
        3 => Value::array("{sv}", Vec::new()),
        4 => Value::tuple(vec![Value::uint32(1), Value::string(""), Value::bytes_value(&[1, 2])]),
        5 => Value::array("s", vec![Value::string("a"), Value::string("")]),
        6 => view.to_value(),
        7 => Value::just(change.donor.clone()),
        _ => change.donor.clone(),
    }
}

fn changed_leaf(view: Variant<'_>, change: &mut Change<'_>) -> Value {
    let ty = view.ty();
    let mut bytes =
        view.as_str().map_or_else(|| view.bytes().to_vec(), |text| text.as_bytes().to_vec());
    match ty.fixed_size() {
        Some(size) => {
            (change.plain)(&mut bytes, size);
            bytes.resize(size, 0);
        }
        None => {
            let most = change.most.min(bytes.len() + 64);
            (change.plain)(&mut bytes, most);
        }
    }
    if view.as_str().is_some() {
        bytes = String::from_utf8_lossy(&bytes).replace('\0', "").into_bytes();
        bytes.push(0);
    }
    Value::from_bytes(ty.as_str(), bytes).unwrap_or_else(|_| view.to_value())
}

/// What nothing at all reads as.
fn default_of(ty: Type<'_>) -> Value {
    Variant::new(ty, &[]).to_value()
}
