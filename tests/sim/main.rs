//! Behaviour, in the simulator: several home servers in one process on one seed.
//!
//! What can be told as a conversation stands in `tests/scripts`, one file for each kind of behaviour
//! (their language: `hearth::sim::script`); the rest is here. Each conversation is acted out with
//! several seeds: other latencies, other pieces. `HEARTH_SEEDS=N` asks for more, `HEARTH_SEEDS=A..B` for some of them, `HEARTH_SEED=N` for
//! one in particular (or for those from it on), `HEARTH_ONLY=TEXT` for the conversations whose title contains the text.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod campaign;
mod conversations;
mod divert;
mod faults;
mod grammar;
mod hostile;
mod kept;
mod leases;
mod matrix;
mod peers;
mod people;
mod reports;
mod truth;
mod world;

use std::ops::Range;

/// The seeds to run with: `few` unless the environment says otherwise.
pub fn seeds(few: u64) -> Range<u64> {
    let of = |name: &str| std::env::var(name).ok();
    let number = |text: String| text.parse::<u64>().ok();
    let many = of("HEARTH_SEEDS");
    if let Some((from, to)) = many.as_deref().and_then(|many| many.split_once("..")) {
        return from.parse().expect("HEARTH_SEEDS=A..B")..to.parse().expect("HEARTH_SEEDS=A..B");
    }
    match of("HEARTH_SEED").and_then(number) {
        Some(seed) => seed..seed + many.and_then(number).unwrap_or(1),
        None => 1..1 + many.and_then(number).unwrap_or(few),
    }
}
