//! Parts that are compressed in several segments.

use std::fs;

use osier::delta_format::{Compression, Superblock};

use crate::support::{osier, ostree, scratch};

const MIB: usize = 1 << 20;

/// The LZMA2 chunks of a part's only block that begin with a fresh state: one for each segment.
fn fresh_states(part: &[u8]) -> usize {
    assert_eq!(part[0], Compression::Xz.byte());
    let header = 13;
    let mut rest = &part[header + (usize::from(part[header]) + 1) * 4..];
    let mut found = 0;
    while rest[0] != 0 {
        // One that is compressed has two more bytes of a size, and properties if they are new.
        let (head, size) = match rest[0] {
            1..=2 => (3, u16::from_be_bytes([rest[1], rest[2]])),
            control => {
                found += usize::from(control >= 0xa0);
                (5 + usize::from(control >= 0xc0), u16::from_be_bytes([rest[3], rest[4]]))
            }
        };
        rest = &rest[head + usize::from(size) + 1..];
    }
    found
}

#[test]
fn the_real_program_applies_a_part_of_several_segments() {
    let Some(ostree) = ostree() else { return };
    let directory = scratch();
    let path = |name: &str| directory.path().join(name);
    // Mostly zeros, as patches are; and content, here of long repetitions, which is quick.
    let zeros: Vec<u8> =
        (0..8 * MIB + 5).map(|at| if at % 997 == 0 { at as u8 } else { 0 }).collect();
    let content: Vec<u8> = (0..4 * MIB + 3).map(|at| (at % 4093 * (at % 4093)) as u8 | 1).collect();
    fs::create_dir(path("tree")).unwrap();
    fs::write(path("tree/zeros"), &zeros).unwrap();
    fs::write(path("tree/content"), &content).unwrap();
    let (archive, tree, delta) = (path("archive"), path("tree"), path("superblock"));
    osier().repo(&archive, ["init", "--mode=archive"]).success();
    let commit = ["commit", "-b", "main", "--canonical-permissions", tree.to_str().unwrap()];
    let commit = osier().repo(&archive, commit).line();
    let filename = format!("--filename={}", delta.display());
    let generate = ["static-delta", "generate", "--empty", "main", "--min-fallback-size=0"];
    osier().repo(&archive, generate.iter().copied().chain([&*filename])).success();
    let superblock = fs::read(&delta).unwrap();
    assert_eq!(Superblock::decode(&superblock).unwrap().parts.len(), 1);
    // Two of zeros, and one of content before or behind them.
    assert_eq!(fresh_states(&fs::read(path("0")).unwrap()), 3);
    for (name, program) in [("ostree", ostree), ("osier", osier())] {
        let applied = path(&format!("applied-{name}"));
        program.repo(&applied, ["init", "--mode=bare-user-only"]).success();
        let apply = ["static-delta", "apply-offline", delta.to_str().unwrap()];
        program.repo(&applied, apply).success();
        program.repo(&applied, ["fsck", "--all"]).success();
        program.repo(&applied, ["refs", "--create=main", &commit]).success();
        let to = path(&format!("checked-out-{name}"));
        program.repo(&applied, ["checkout", "-U", "main", to.to_str().unwrap()]).success();
        assert!(fs::read(to.join("zeros")).unwrap() == zeros);
        assert!(fs::read(to.join("content")).unwrap() == content);
    }
}
