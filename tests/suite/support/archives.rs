//! Parts of archives: compressors, and the records of pax headers.

use std::io::Write;

/// Compresses.
pub type Compress = fn(&[u8]) -> Vec<u8>;

/// The compressors by name.
pub const FORMATS: [(&str, Compress); 4] =
    [("gzip", gzip), ("xz", xz), ("bzip2", bzip2), ("zstd", zstd)];

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder =
        lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(1)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

/// A keyword and its value as an extended header has them.
pub fn record(keyword: &str, value: &[u8]) -> Vec<u8> {
    let body = [b" ", keyword.as_bytes(), b"=", value, b"\n"].concat();
    let digits = (1..).find(|digits| (body.len() + digits).to_string().len() == *digits).unwrap();
    [(body.len() + digits).to_string().as_bytes(), &body].concat()
}
