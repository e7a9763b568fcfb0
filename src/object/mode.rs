//! The bits of a file's mode, as `stat(2)` and the objects have them.

/// The bits of a mode that give the type of a file.
pub const S_IFMT: u32 = 0o170_000;
/// A named pipe.
pub const S_IFIFO: u32 = 0o010_000;
/// A character device. Overlayfs takes one with the number 0 for a whiteout.
pub const S_IFCHR: u32 = 0o020_000;
/// A directory.
pub const S_IFDIR: u32 = 0o040_000;
/// A block device.
pub const S_IFBLK: u32 = 0o060_000;
/// A regular file.
pub const S_IFREG: u32 = 0o100_000;
/// A symlink.
pub const S_IFLNK: u32 = 0o120_000;
/// A socket.
pub const S_IFSOCK: u32 = 0o140_000;

/// The bits of a mode that are permissions, with setuid, setgid and the sticky bit.
pub const PERMISSION_BITS: u32 = 0o7777;
