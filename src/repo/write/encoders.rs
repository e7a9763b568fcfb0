//! The encoders of a transaction that writes to an archive. Never more exist than are used at the
//! same time.

use super::pool::Pool;
use crate::deflate::{Deflater, Settings};
use crate::object::FileHeader;

/// Encoders that wait for their next file.
#[derive(Debug, Default)]
pub(in crate::repo) struct Encoders(Pool<Encoder>);

/// Encodes a file whose content comes piece by piece as a `.filez`.
pub(in crate::repo) struct Encoder {
    deflater: Deflater,
    /// Output that is not written yet.
    pub(in crate::repo) packed: Vec<u8>,
}

impl Encoders {
    /// An encoder for a file of `size` bytes; it is returned with [`Encoders::put`], unless the
    /// file is abandoned.
    pub(in crate::repo) fn take(
        &self,
        settings: Settings,
        header: &FileHeader,
        size: u64,
    ) -> Encoder {
        let kept = self.0.take().filter(|encoder| encoder.deflater.settings() == settings);
        let mut encoder = kept
            .unwrap_or_else(|| Encoder { deflater: Deflater::new(settings), packed: Vec::new() });
        encoder.packed.clear();
        encoder.packed.extend_from_slice(&header.archive_header(size));
        if !header.is_symlink() {
            encoder.deflater.begin();
        }
        encoder
    }

    pub(in crate::repo) fn put(&self, encoder: Encoder) {
        self.0.put(encoder);
    }
}

impl Encoder {
    pub(in crate::repo) fn push(&mut self, content: &[u8]) {
        self.deflater.push(content, &mut self.packed);
    }

    pub(in crate::repo) fn finish(&mut self) {
        self.deflater.finish(&mut self.packed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Encoding;
    use crate::object::Xattrs;

    #[test]
    fn an_encoder_is_used_again_for_files_with_the_same_settings_only() {
        let encoders = Encoders::default();
        let header = FileHeader {
            uid: 0,
            gid: 0,
            mode: 0o100_644,
            symlink_target: String::new(),
            xattrs: Xattrs::default(),
        };
        let fast = Settings { encoding: Encoding::Fast, level: 6 };
        let mut encoder = encoders.take(fast, &header, 5);
        encoder.push(b"hello");
        encoder.finish();
        let packed = encoder.packed.clone();
        let place = encoder.packed.as_ptr();
        encoders.put(encoder);
        let mut encoder = encoders.take(fast, &header, 5);
        assert_eq!(encoder.packed.as_ptr(), place);
        encoder.push(b"hello");
        encoder.finish();
        assert_eq!(encoder.packed, packed);
        encoders.put(encoder);
        let zlib = Settings { encoding: Encoding::Zlib, level: 6 };
        assert_eq!(encoders.take(zlib, &header, 5).deflater.settings(), zlib);
        assert!(encoders.0.take().is_none());
    }
}
