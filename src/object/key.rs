//! The keys that upstream gives a meaning to in the metadata of a commit.

/// The refs that a commit was made for (`as`).
pub const REF_BINDING: &str = "ostree.ref-binding";
/// The collection that those refs belong to (`s`).
pub const COLLECTION_BINDING: &str = "ostree.collection-binding";
/// The sizes of all objects that a commit reaches (`aay`, see [`SizeEntry`](super::SizeEntry)).
pub const SIZES: &str = "ostree.sizes";
/// Whether the tree has a kernel (`b`).
pub const BOOTABLE: &str = "ostree.bootable";
/// The version of that kernel (`s`).
pub const LINUX: &str = "ostree.linux";
