#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hearth::pidf::fuzz::presence(data));
