//! Compressing and decompressing file content, the most expensive work on an archive.
#![allow(missing_docs, clippy::unwrap_used)]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use osier::deflate::{Deflater, Encoding, Inflater, Settings};

/// The level that archives have unless their config says otherwise.
const LEVEL: u32 = 6;
const SIZE: usize = 1 << 20;

/// Text with about as much repetition as source code, and noise.
fn contents() -> [(&'static str, Vec<u8>); 2] {
    let words = [
        "checksum",
        "repository",
        "commit",
        "dirtree",
        " = ",
        "(",
        ")",
        ";\n",
        "    ",
        "fn ",
        "let ",
        "&self",
    ];
    let mut state = 7_u64;
    let mut next = move || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize
    };
    let mut text = Vec::with_capacity(SIZE + 16);
    while text.len() < SIZE {
        text.extend_from_slice(words[next() % words.len()].as_bytes());
    }
    text.truncate(SIZE);
    let noise = (0..SIZE).map(|_| next() as u8).collect();
    [("text", text), ("noise", noise)]
}

fn deflated(deflater: &mut Deflater, content: &[u8], output: &mut Vec<u8>) {
    output.clear();
    deflater.begin();
    deflater.push(content, output);
    deflater.finish(output);
}

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("1 MiB");
    group.throughput(Throughput::Bytes(SIZE as u64)).sample_size(20);
    let [mut deflater, mut zlib] = [Encoding::Fast, Encoding::Zlib]
        .map(|encoding| Deflater::new(Settings { encoding, level: LEVEL }));
    let mut output = Vec::new();
    for (name, content) in contents() {
        group.bench_function(format!("deflate {name}"), |bencher| {
            bencher.iter(|| deflated(&mut deflater, black_box(&content), &mut output));
        });
        group.bench_function(format!("deflate {name} as zlib does"), |bencher| {
            bencher.iter(|| deflated(&mut zlib, black_box(&content), &mut output));
        });
        deflated(&mut deflater, &content, &mut output);
        let mut inflater = Inflater::new();
        group.bench_function(format!("inflate {name}"), |bencher| {
            bencher.iter(|| {
                inflater.begin();
                let mut input = black_box(&output[..]);
                let mut length = 0;
                loop {
                    let step = inflater.push(input).unwrap();
                    length += step.output.len();
                    if step.finished {
                        break length;
                    }
                    input = &input[step.consumed..];
                }
            });
        });
    }
}

criterion_group!(benches, deflate);
criterion_main!(benches);
