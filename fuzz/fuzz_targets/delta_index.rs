#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};
use osier_fuzz::{in_place, mutate, targets};

fuzz_target!(|data: &[u8]| targets::delta_index(data));
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    in_place(mutate::detached, data, (size, max_size, seed), fuzzer_mutate)
});
