//! The real program killed under load, started again, and asked for all that it has promised: the rounds of
//! `cargo bench --bench endure -- kill`, a few of them, by one seed. `HEARTH_KILLS` and `HEARTH_SEED` ask for others.

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
    let number = |name, or| std::env::var(name).map_or(or, |number| number.parse().unwrap());
    let options = kill::Options {
        times: number("HEARTH_KILLS", 20),
        seed: Some(number("HEARTH_SEED", 4)),
        verbose: false,
    };
    let mut report = rig::report::Report::default();
    let good = kill::run(&options, &mut report).map_err(|rig::Failure(why)| why).unwrap();
    assert!(good, "see the seed and the round above\n{report}");
}
