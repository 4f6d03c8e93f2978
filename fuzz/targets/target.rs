#![no_main]
//! All fuzz targets in one program: `FUZZ_TARGET` names the one that is run.

use std::sync::OnceLock;

static TARGET: OnceLock<hearth::fuzz::Target> = OnceLock::new();

libfuzzer_sys::fuzz_target!(
    init: {
        let name = std::env::var("FUZZ_TARGET").expect("FUZZ_TARGET names a target");
        TARGET.get_or_init(|| hearth::fuzz::target(&name).expect("FUZZ_TARGET is none of hearth::fuzz::TARGETS"));
    },
    |data: &[u8]| {
        if let Some(target) = TARGET.get() {
            target(data);
        }
    }
);
