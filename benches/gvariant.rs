//! Reading and writing the metadata that grows large: directories of 10,000 files, summaries of
//! 5,000 refs.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use osier::Checksum;
use osier::gvariant::{Dict, Type, Value, Variant};
use osier::object::{DIRTREE_TYPE, DirEntry, DirTree, DirTreeReader, SUMMARY_TYPE};

fn tree() -> DirTree {
    let sum = |number: u32| Checksum::of(&number.to_le_bytes());
    let dir = |number| DirEntry {
        name: format!("dir-{number:02}"),
        dirtree: sum(number),
        dirmeta: sum(0),
    };
    DirTree {
        files: (0..10_000).map(|number| (format!("file-{number:05}"), sum(number))).collect(),
        dirs: (0..10).map(dir).collect(),
    }
}

fn dirtree(criterion: &mut Criterion) {
    let tree = tree();
    let bytes = tree.encode();
    let mut group = criterion.benchmark_group("dirtree of 10,000 files");
    group.bench_function("encode", |bencher| bencher.iter(|| black_box(&tree).encode()));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| DirTree::decode(black_box(&bytes)).unwrap())
    });
    group.bench_function("visit, checked", |bencher| {
        bencher.iter(|| {
            let reader = DirTreeReader::new(black_box(&bytes)).unwrap();
            reader
                .files()
                .map(|file| file.unwrap())
                .map(|file| file.name.len() + usize::from(file.checksum[0]))
                .sum::<usize>()
        });
    });
    let view = || Variant::new(Type::parse(DIRTREE_TYPE).unwrap(), black_box(&bytes));
    group.bench_function("visit as variant", |bencher| {
        bencher.iter(|| {
            let files = view().child(0).unwrap();
            let visit = |file: Variant<'_>| {
                let mut members = file.children();
                members.next().unwrap().bytes().len()
                    + usize::from(members.next().unwrap().bytes()[0])
            };
            files.children().map(visit).sum::<usize>()
        });
    });
    group.bench_function("check normal form", |bencher| bencher.iter(|| view().is_normal()));
    group.bench_function("one name by bisection", |bencher| {
        bencher.iter(|| {
            let files = view().child(0).unwrap();
            let (mut low, mut high) = (0, files.len());
            while low < high {
                let middle = low.midpoint(high);
                let name = files.child(middle).unwrap().child(0).unwrap().as_str().unwrap();
                if name < black_box("file-07777") { low = middle + 1 } else { high = middle }
            }
            low
        });
    });
    group.finish();
}

fn summary(criterion: &mut Criterion) {
    let reference = |number: u32| {
        let mut metadata = Dict::new();
        metadata.push("ostree.commit.timestamp", Value::uint64(u64::from(number).to_be()));
        let sum = Checksum::of(&number.to_le_bytes());
        let commit =
            vec![Value::uint64(200), Value::bytes_value(sum.as_bytes()), metadata.to_value()];
        Value::tuple(vec![
            Value::string(&format!("app/org.example.App{number:05}/x86_64/stable")),
            Value::tuple(commit),
        ])
    };
    let write = || {
        let refs = Value::array("(s(taya{sv}))", (0..5000).map(reference).collect());
        Value::tuple(vec![refs, Dict::new().to_value()])
    };
    let bytes = write().into_bytes();
    let mut group = criterion.benchmark_group("summary of 5,000 refs");
    group.bench_function("write as values", |bencher| bencher.iter(write));
    let view = || Variant::new(Type::parse(SUMMARY_TYPE).unwrap(), black_box(&bytes));
    group.bench_function("visit", |bencher| {
        let visit = |entry: Variant<'_>| {
            let mut members = entry.children();
            let name = members.next().unwrap().as_str().unwrap();
            let mut commit = members.next().unwrap().children();
            name.len()
                + commit.next().unwrap().as_u64().unwrap() as usize
                + commit.next().unwrap().bytes().len()
        };
        bencher.iter(|| view().child(0).unwrap().children().map(visit).sum::<usize>());
    });
    group.bench_function("check normal form", |bencher| bencher.iter(|| view().is_normal()));
    group.bench_function("rebuild", |bencher| bencher.iter(|| view().byteswapped()));
    group.finish();
}

criterion_group!(benches, dirtree, summary);
criterion_main!(benches);
