//! What composing reads.

use std::path::Path;

use osier::Checksum;
use osier::compose::kickstart::{self, Values};
use osier::refspec::RefName;

/// A kickstart file. What was rewritten is left as it is when it is rewritten again.
pub fn kickstart(data: &[u8]) {
    let reference = RefName::parse("exampleos/22/x86_64/host").expect("a legal name");
    let values = Values {
        url: "http://content.example.org/repo/",
        reference: &reference,
        osname: Some("with blank"),
        remote: None,
        nogpg: Some(true),
        commit: &Checksum::from_bytes([0x5a; 32]),
        version: Some("22.3"),
    };
    let rewrite = |file: &[u8]| kickstart::rewrite(Path::new("x.ks"), file, &values);
    if let Ok(first) = rewrite(data) {
        let second = rewrite(&first.bytes).expect("what was rewritten can be read");
        assert_eq!((second.bytes, second.setup), (first.bytes, first.setup));
    }
}
