//! The names of the objects of a pull, each kept once and known by its number from then on.
//!
//! A pull knows every object that it has found, whether or not it has been fetched, so this is what
//! its memory grows with: 33 bytes for the name and 6 to 12 for the table.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use crate::error::{Error, Result};
use crate::object::ObjectName;

/// Names by number, and numbers by name.
#[derive(Debug, Default)]
pub(super) struct Names {
    names: Vec<ObjectName>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Names {
    /// Adds a name. Returns its number if it is new.
    ///
    /// # Errors
    /// When there are 2^32 names already.
    pub(super) fn insert(&mut self, name: ObjectName) -> Result<Option<u32>> {
        let Self { names, numbers, hasher } = self;
        let entry = numbers.entry(
            hasher.hash_one(name),
            |number| names[*number as usize] == name,
            |number| hasher.hash_one(names[*number as usize]),
        );
        let Entry::Vacant(entry) = entry else { return Ok(None) };
        let number = u32::try_from(names.len())
            .map_err(|_| Error::failed("more than 4294967296 objects in one pull"))?;
        entry.insert(number);
        names.push(name);
        Ok(Some(number))
    }

    /// Whether a name is known.
    pub(super) fn contains(&self, name: &ObjectName) -> bool {
        let hash = self.hasher.hash_one(name);
        self.numbers.find(hash, |number| self.names[*number as usize] == *name).is_some()
    }

    /// The name of that number, which [`Names::insert`] has returned.
    pub(super) fn name(&self, number: u32) -> ObjectName {
        self.names[number as usize]
    }

    /// Forgets which names are known; numbers stay valid.
    pub(super) fn forget(&mut self) {
        self.numbers = HashTable::new();
    }

    /// The number of names that are known.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The bytes that all this takes.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        size_of::<ObjectName>() * self.names.capacity() + self.numbers.allocation_size()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Checksum;
    use crate::object::ObjectType;

    fn name(number: u32, object_type: ObjectType) -> ObjectName {
        ObjectName::new(Checksum::of(&number.to_le_bytes()), object_type)
    }

    #[test]
    fn a_name_has_one_number_until_all_are_forgotten() {
        let mut names = Names::default();
        for number in 0..3000 {
            assert_eq!(names.insert(name(number, ObjectType::File)).unwrap(), Some(number));
        }
        for number in 0..3000 {
            assert_eq!(names.insert(name(number, ObjectType::File)).unwrap(), None);
            assert!(names.contains(&name(number, ObjectType::File)));
            assert_eq!(names.name(number), name(number, ObjectType::File));
        }
        // Another type of the same checksum is another object.
        assert!(!names.contains(&name(7, ObjectType::DirTree)));
        assert_eq!(names.insert(name(7, ObjectType::DirTree)).unwrap(), Some(3000));
        names.forget();
        assert!(!names.contains(&name(7, ObjectType::File)));
        assert_eq!(names.name(7), name(7, ObjectType::File));
        assert_eq!(names.insert(name(7, ObjectType::File)).unwrap(), Some(3001));
        assert_eq!(names.len(), 1);
    }
}
