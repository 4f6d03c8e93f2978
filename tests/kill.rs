//! The real program killed under load, started again, and asked for all that it has promised: the rounds of
//! `cargo bench --bench endure -- kill`, a few of them. `HEARTH_KILLS` says how many.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The benchmark uses more of these.
#![allow(dead_code)]

#[path = "../benches/endure/home.rs"]
mod home;
#[path = "../benches/endure/kill/mod.rs"]
mod kill;
#[path = "../benches/endure/line.rs"]
mod line;
#[path = "../benches/rig/mod.rs"]
mod rig;

/// Design 3, 5, 6: an answer that promises something leaves after it is on the disk.
#[test]
fn what_was_promised_is_there_after_a_kill() {
    let times = std::env::var("HEARTH_KILLS").map_or(20, |times| times.parse().unwrap());
    let options = kill::Options { times, seed: None, verbose: false };
    let mut report = rig::report::Report::default();
    let good = kill::run(&options, &mut report).map_err(|rig::Failure(why)| why).unwrap();
    assert!(good, "see the seed and the round above\n{report}");
}
