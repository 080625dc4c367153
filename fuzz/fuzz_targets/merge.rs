#![no_main]
#[path = "../../tests/corpus/harness.rs"]
#[allow(dead_code)]
mod harness;

libfuzzer_sys::fuzz_target!(|data: &[u8]| harness::merge(data));
