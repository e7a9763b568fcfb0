//! Compressed archives, whole and damaged: the verdict of the real program, and an error wherever
//! bytes are missing or a checksum is wrong. What hostile archives take in memory is bounded.

use std::path::Path;
use std::process::Command;

use crate::support::archives::{Compress, FORMATS, bzip2, gzip, record, xz, zstd};
use crate::support::{osier, osier_path, ostree, program, scratch};

/// The header of a tar entry, with its content.
fn entry(name: &[u8], flag: u8, target: &[u8], content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    let old = header.as_old_mut();
    let put = |field: &mut [u8; 100], text: &[u8]| {
        let length = text.len().min(100);
        field[..length].copy_from_slice(&text[..length]);
    };
    put(&mut old.name, name);
    put(&mut old.linkname, target);
    old.linkflag = [flag];
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    let mut entry = [header.as_bytes(), content].concat();
    entry.resize(entry.len().next_multiple_of(512), 0);
    entry
}

/// An archive with a file of numbers that compress a little, with as many zeros at its end as
/// `padded` says.
fn sample(padded: usize) -> Vec<u8> {
    let numbers: Vec<u8> = (0..20_000_u32)
        .flat_map(|number| (number.wrapping_mul(number) >> 3).to_le_bytes())
        .collect();
    let mut archive =
        [entry(b"./", b'5', b"", b""), entry(b"./file", b'0', b"", &numbers)].concat();
    archive.resize(archive.len() + 1024 + padded, 0);
    archive
}

/// A frame of zstd that decoders skip.
const SKIPPABLE: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";

/// Commits of one program, and what came of them: the commit or the error.
fn verdict(
    program: &crate::support::Program,
    repo: &Path,
    archive: &[u8],
) -> Result<String, String> {
    let path = repo.with_extension("archive");
    std::fs::write(&path, archive).unwrap();
    if !repo.exists() {
        program.repo(repo, ["init", "--mode=bare-user-only"]).success();
    }
    let tree = format!("--tree=tar={}", path.display());
    let output = program.repo(repo, ["commit", "--orphan", "--timestamp=@1", &tree]);
    output.assert_no_panic();
    match output.status {
        0 => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        _ => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Sound archives in every form, by name.
fn sound() -> Vec<(String, Vec<u8>)> {
    let plain = sample(0);
    let (head, tail) = plain.split_at(50_000);
    let mut archives = Vec::new();
    for (name, compress) in FORMATS {
        archives.push((name.to_owned(), compress(&plain)));
        archives.push((format!("{name}, padded inside"), compress(&sample(300_000))));
        archives.push((format!("{name}, two parts"), [compress(head), compress(tail)].concat()));
        archives.push((
            format!("{name}, an empty part"),
            [compress(head), compress(b""), compress(tail)].concat(),
        ));
    }
    for (name, compress) in [("gzip", gzip as Compress), ("bzip2", bzip2)] {
        for end in [&b"garbage behind the end"[..], &[0; 7], &[0; 1000], b"\x1f", b"BZ"] {
            archives.push((
                format!("{name}, then {} bytes", end.len()),
                [&compress(&plain), end].concat(),
            ));
        }
    }
    archives
        .push(("xz, padding".to_owned(), [xz(head), vec![0; 4], xz(tail), vec![0; 8]].concat()));
    let frames = [SKIPPABLE, &zstd(head), SKIPPABLE, &zstd(tail), SKIPPABLE].concat();
    archives.push(("zstd, frames to be skipped".to_owned(), frames));
    archives
}

#[test]
fn sound_archives_in_every_form_become_the_commits_of_the_real_program() {
    let directory = scratch();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    let expected = verdict(&osier(), &ours, &sample(0)).unwrap();
    let ostree = ostree();
    for (name, archive) in sound() {
        let found = verdict(&osier(), &ours, &archive);
        assert_eq!(found.as_ref(), Ok(&expected), "{name}");
        if let Some(ostree) = &ostree {
            assert_eq!(found, verdict(ostree, &theirs, &archive), "{name}");
        }
    }
}

#[test]
fn archives_with_missing_bytes_are_errors() {
    let directory = scratch();
    let (ours, theirs) = (directory.path().join("ours"), directory.path().join("theirs"));
    let ostree = ostree();
    for (name, compress) in FORMATS {
        // What is missing is behind the end of the archive, in the second half, and of the first
        // bytes.
        for (form, whole) in [("", compress(&sample(0))), (", padded", compress(&sample(300_000)))]
        {
            let length = whole.len();
            for kept in [
                length - 1,
                length - 2,
                length - 4,
                length - 5,
                length - 8,
                length - 12,
                length / 2,
                100,
                20,
            ] {
                let what = format!("{name}{form}: {kept} of {length} bytes");
                let found = verdict(&osier(), &ours, &whole[..kept]);
                assert!(found.is_err(), "{what}");
                // libarchive does not look at what is far behind the end of an archive.
                if let (Some(ostree), "") = (&ostree, form) {
                    let theirs = verdict(ostree, &theirs, &whole[..kept]);
                    assert!(theirs.is_err(), "{what}: {theirs:?}");
                }
            }
        }
    }
}

#[test]
fn a_changed_byte_in_what_is_checked_is_an_error() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    for (name, compress) in FORMATS {
        let whole = compress(&sample(300_000));
        let length = whole.len();
        // Size, sum, index and footer at the end; content in the middle.
        let at_the_end: &[usize] = match name {
            "gzip" => &[1, 4, 5, 8],
            "xz" => &[1, 3, 5, 9, 12, 14, 20],
            "bzip2" => &[2, 4],
            // Without a sum there is nothing that could be wrong.
            _ if whole[4] & 4 == 0 => &[],
            _ => &[1, 4],
        };
        let mut places: Vec<usize> = at_the_end.iter().map(|from_end| length - from_end).collect();
        if name != "zstd" || whole[4] & 4 != 0 {
            places.extend([length / 2, length / 3]);
        }
        for at in places {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            let found = verdict(&osier(), &repo, &damaged);
            assert!(found.is_err(), "{name}: byte {at} of {length}: {found:?}");
        }
    }
}

#[test]
fn a_sum_that_zstd_itself_writes_is_checked() {
    let Some(zstd) = program("zstd") else { return };
    let directory = scratch();
    let repo = directory.path().join("repo");
    let archive = zstd.run_with_input(["-q", "-c", "--check"], &sample(300_000)).stdout;
    assert!(verdict(&osier(), &repo, &archive).is_ok());
    for from_end in [1, 2, 3, 4] {
        let mut damaged = archive.clone();
        let at = damaged.len() - from_end;
        damaged[at] ^= 1;
        let found = verdict(&osier(), &repo, &damaged);
        assert_eq!(found, Err("error: Zstd decompression failed".to_owned()), "{from_end}");
    }
}

#[test]
fn a_pipe_is_read_to_its_end_behind_every_decompressor() {
    let directory = scratch();
    let repo = directory.path().join("repo");
    osier().repo(&repo, ["init", "--mode=archive"]).success();
    let repo_option = format!("--repo={}", repo.display());
    let mut archives: Vec<(&str, Vec<u8>)> =
        FORMATS.iter().map(|(name, compress)| (*name, compress(&sample(1 << 20)))).collect();
    // More than a pipe holds: the writer waits until all of it was taken.
    archives.push(("gzip, then garbage", [gzip(&sample(0)), vec![b'x'; 1 << 20]].concat()));
    archives.push(("bzip2, then garbage", [bzip2(&sample(0)), vec![b'x'; 1 << 20]].concat()));
    archives.push(("plain, then garbage", [sample(0), vec![b'x'; 1 << 20]].concat()));
    for (name, archive) in archives {
        let input = directory.path().join("input");
        std::fs::write(&input, &archive).unwrap();
        let script = format!(
            "set -o pipefail; cat {} | {} {repo_option} commit --orphan --timestamp=@1 --tree=tar=-",
            input.display(),
            osier_path()
        );
        let output = Command::new("bash").args(["-c", &script]).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// Commits an archive with no more memory than `limit` KiB, stacks of threads included; returns the
/// error.
fn within_memory(archive: &[u8], limit: u64) -> Result<(), String> {
    let directory = scratch();
    let place = directory.path();
    osier().repo(&place.join("repo"), ["init", "--mode=archive"]).success();
    std::fs::write(place.join("bomb"), archive).unwrap();
    let script = format!(
        "ulimit -v {limit}; exec {} --repo=repo commit -b main --tar-autocreate-parents \
         --tree=tar=bomb",
        osier_path()
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script])
        .current_dir(place)
        .env("RAYON_NUM_THREADS", "2")
        .env("MALLOC_ARENA_MAX", "1");
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    match output.status.code() {
        Some(0) => Ok(()),
        Some(1) => Err(stderr),
        _ => panic!("{:?}: {stderr}", output.status),
    }
}

#[test]
fn a_bomb_of_xattrs_takes_no_more_memory_than_a_batch_may() {
    let records = record("SCHILY.xattr.user.a", &vec![0; 4 << 20]);
    let bomb = [entry(b"x", b'x', b"", &records), entry(b"file", b'0', b"", b"")].concat();
    // Each part is a few hundred bytes; together they are 460 MB.
    let archive = [zstd(&bomb).repeat(110), zstd(&[0; 1024])].concat();
    assert!(archive.len() < 1_000_000, "{}", archive.len());
    assert_eq!(within_memory(&archive, 400_000), Ok(()));
}

#[test]
fn a_bomb_of_link_targets_takes_no_more_memory_than_a_batch_may() {
    let target = vec![b't'; 1 << 20];
    let bomb =
        [entry(b"././@LongLink", b'K', b"", &target), entry(b"link", b'2', b"t", b"")].concat();
    let archive = [zstd(&bomb).repeat(450), zstd(&[0; 1024])].concat();
    assert!(archive.len() < 1_000_000, "{}", archive.len());
    assert_eq!(within_memory(&archive, 400_000), Ok(()));
}

#[test]
fn a_bomb_of_targets_in_cpio_takes_no_more_memory_than_a_batch_may() {
    let symlink = |name: &str, mode: u32, target: &[u8]| {
        let (name_size, size) = (name.len() as u32 + 1, target.len() as u32);
        let mut entry = b"070701".to_vec();
        for number in [9, mode, 0, 0, 1, 1, size, 8, 1, 0, 0, name_size, 0] {
            entry.extend_from_slice(format!("{number:08x}").as_bytes());
        }
        for bytes in [format!("{name}\0").as_bytes(), target] {
            entry.extend_from_slice(bytes);
            entry.resize(entry.len().next_multiple_of(4), 0);
        }
        entry
    };
    let bomb = symlink("link", 0o120_777, &vec![b't'; 1 << 20]);
    let archive = [zstd(&bomb).repeat(450), zstd(&symlink("TRAILER!!!", 0, b""))].concat();
    assert!(archive.len() < 1_000_000, "{}", archive.len());
    assert_eq!(within_memory(&archive, 400_000), Ok(()));
}

#[test]
fn a_bomb_of_names_is_refused_for_what_it_would_take() {
    let name =
        |fill: &[u8]| [[&fill.repeat(200)[..], b"/"].concat().repeat(20), b"n\0".to_vec()].concat();
    let bomb = [
        entry(b"././@LongLink", b'L', b"", &name(b"a")),
        entry(b"././@LongLink", b'K', b"", &name(b"b")),
        entry(b"link", b'1', b"t", b""),
    ]
    .concat();
    let part = zstd(&bomb.repeat(100));
    let archive = [part.repeat(300), zstd(&[0; 1024])].concat();
    assert!(archive.len() < 1_000_000, "{}", archive.len());
    let refused = within_memory(&archive, 1_000_000).unwrap_err();
    assert!(refused.starts_with("error: the names in the archive take over 3"), "{refused}");
}
