//! Runs seeds, on every processor there is, and shows those that fail.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use super::{Campaign, STEPS};
use crate::seeds;

/// Seeds that CI runs.
const SEEDS: u64 = 1000;
/// One in so many has no faults: then more is promised.
const CALM: u64 = 8;
/// After so many seeds a line says how far it is.
const LOT: u64 = 1000;

/// One campaign. Gives how many beliefs were looked at.
fn run(seed: u64, quiet: bool) -> usize {
    let calm = seed.is_multiple_of(CALM);
    let mut campaign = Campaign::new(seed, calm, quiet);
    (0..if calm { 2 * STEPS } else { STEPS }).for_each(|_| campaign.step());
    campaign.finish()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned()
}

// COMMON-7-2 COMMON-7-3 COMMON-8-2 COMMON-8-3 IMTP-16.2-10 PITP-15.1-4 PITP-15.1-5 PITP-15.11-2 SIMP-1-3 SIMP-6.1-3
// PITP-15.13-3 PITP-15.14-1 PITP-15.9-4 SIMP-6.2-2
#[test]
fn whatever_fails_no_promise_is_broken_in_any_protocol() {
    let (range, began) = (seeds(SEEDS), Instant::now());
    let (next, done, believed) = (AtomicU64::new(range.start), AtomicU64::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= range.end {
                return;
            }
            match catch_unwind(AssertUnwindSafe(|| run(seed, true))) {
                Ok(count) => believed.fetch_add(count, Ordering::Relaxed),
                Err(panic) => {
                    eprintln!("seed {seed}: {}", words(&*panic));
                    failures.lock().unwrap().push(seed);
                    0
                }
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(LOT) {
                eprintln!("{done} seeds, the last of them {seed}, in {:?}", began.elapsed());
            }
        }
    };
    let processors = std::env::var("HEARTH_THREADS").ok().and_then(|n| n.parse().ok());
    let processors: usize =
        processors.or(std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    std::thread::scope(|scope| (0..processors).for_each(|_| drop(scope.spawn(work))));
    let mut failures = failures.into_inner().unwrap();
    failures.sort_unstable();
    if let Some(&first) = failures.first() {
        eprintln!(
            "{failures:?} have failed; HEARTH_SEED={first} cargo test --test sim campaign shows the first again:"
        );
        // The same again, with its steps.
        run(first, false);
    }
    assert!(failures.is_empty(), "these seeds broke a promise, see above: {failures:?}");
    assert!(believed.into_inner() > 0 || range.end - range.start < 20);
}
