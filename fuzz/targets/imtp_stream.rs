#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| hearth::imtp::fuzz::stream(data));
