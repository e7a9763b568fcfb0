//! Naming content: what every commit and every fsck does with each byte that it reads.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use osier::checksum::{Hasher, Messages};
use osier::object::{FileHeader, Xattrs};

const SIZES: [usize; 3] = [1 << 10, 64 << 10, 4 << 20];

fn content(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SHA-256");
    for size in SIZES {
        let bytes: Vec<u8> = (0..size).map(|at| ((at * at) >> 3) as u8).collect();
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(format!("{} KiB", size >> 10), |bencher| {
            bencher.iter(|| {
                let mut hasher = Hasher::new();
                hasher.update(black_box(&bytes));
                hasher.finish()
            });
        });
    }
}

/// Two messages of one length hashed together, as commit hashes the small files of a directory.
fn pairs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SHA-256 of two");
    for size in SIZES {
        let mut messages = Messages::new();
        for seed in 0..2 {
            messages.push(&Vec::from_iter((0..size).map(|at| ((at * at + seed) >> 3) as u8)));
            messages.end();
        }
        group.throughput(Throughput::Bytes(2 * size as u64));
        group.bench_function(format!("{} KiB", size >> 10), |bencher| {
            bencher.iter(|| black_box(&messages).checksums())
        });
    }
}

/// For small files the header is most of the work.
fn header(criterion: &mut Criterion) {
    let xattrs = Xattrs::from_pairs(vec![
        (b"user.b".to_vec(), vec![1; 40]),
        (b"user.a".to_vec(), vec![2; 10]),
    ])
    .unwrap();
    for (name, xattrs) in [("a header", Xattrs::new()), ("a header with two xattrs", xattrs)] {
        let header =
            FileHeader { uid: 0, gid: 0, mode: 0o100_644, symlink_target: String::new(), xattrs };
        criterion
            .bench_function(name, |bencher| bencher.iter(|| black_box(&header).content_header()));
    }
}

criterion_group!(benches, content, pairs, header);
criterion_main!(benches);
