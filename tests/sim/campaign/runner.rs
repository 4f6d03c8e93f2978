//! Runs campaigns, on every processor there is, and shows those that fail.

use std::any::Any;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::{Campaign, STEPS, Trouble};
use crate::seeds;

/// Seeds that CI runs.
const SEEDS: u64 = 1000;
/// Seeds of which a short campaign is run for each death there may be in it: the first of those asked for.
const DEATHS: u64 = 8;
/// One in so many has no faults: then more is promised.
const CALM: u64 = 8;
/// After so many campaigns a line says how far it is.
const LOT: usize = 1000;
/// Steps of a campaign in which a process dies at each step of its store in turn.
const SHORT: usize = 30;

/// One campaign of a seed. Gives how many beliefs were looked at.
fn run(seed: u64, quiet: bool) -> usize {
    let trouble = if seed.is_multiple_of(CALM) { Trouble::None } else { Trouble::Any };
    let mut campaign = Campaign::new(seed, trouble, quiet);
    (0..if trouble == Trouble::None { 2 * STEPS } else { STEPS }).for_each(|_| campaign.step());
    campaign.finish()
}

/// A short one of a seed, in which the one process dies.
fn die(&(seed, host, step): &(u64, usize, u64), quiet: bool) -> usize {
    let mut campaign = Campaign::new(seed, Trouble::Death { host, step }, quiet);
    (0..SHORT).for_each(|_| campaign.step());
    campaign.finish()
}

/// All deaths there are in the short campaign of a seed.
fn deaths(seed: u64) -> Vec<(u64, usize, u64)> {
    let mut campaign = Campaign::new(seed, Trouble::None, true);
    let steps =
        |campaign: &Campaign| campaign.world.hosts.iter().map(|host| host.disk.steps).collect::<Vec<_>>();
    let before = steps(&campaign);
    (0..SHORT).for_each(|_| campaign.step());
    let each = before.into_iter().zip(steps(&campaign)).enumerate();
    each.flat_map(|(host, (from, to))| (1..=to - from).map(move |step| (seed, host, step))).collect()
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or_default().to_owned()
}

/// Runs all cases and gives how many beliefs were looked at in all.
///
/// # Panics
/// If any fails, once all have run; the first that did is run again, and tells its steps.
fn all<C: Debug + Sync>(cases: &[C], run: impl Fn(&C, bool) -> usize + Sync) -> usize {
    let began = Instant::now();
    let (next, done, believed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(case) = cases.get(index) else { return };
            match catch_unwind(AssertUnwindSafe(|| run(case, true))) {
                Ok(count) => believed.fetch_add(count, Ordering::Relaxed),
                Err(panic) => {
                    eprintln!("{case:?}: {}", words(&*panic));
                    failures.lock().unwrap().push(index);
                    0
                }
            };
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done.is_multiple_of(LOT) {
                eprintln!("{done} campaigns, the last of them {case:?}, in {:?}", began.elapsed());
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
        eprintln!("the first that failed again:");
        run(&cases[first], false);
    }
    let failed: Vec<&C> = failures.iter().map(|index| &cases[*index]).collect();
    assert!(failed.is_empty(), "these broke a promise, see above: {failed:?}");
    believed.into_inner()
}

// COMMON-7-2 COMMON-7-3 COMMON-8-2 COMMON-8-3 IMTP-16.2-10 PITP-15.1-4 PITP-15.1-5 PITP-15.11-2 SIMP-1-3 SIMP-6.1-3
// PITP-15.13-3 PITP-15.14-1 PITP-15.9-4 SIMP-6.2-2
#[test]
fn whatever_fails_no_promise_is_broken_in_any_protocol() {
    let cases: Vec<u64> = seeds(SEEDS).collect();
    let believed = all(&cases, |seed, quiet| run(*seed, quiet));
    assert!(believed > 0 || cases.len() < 20);
}

// COMMON-7-2 COMMON-8-2 SIMP-1-3 SIMP-6.1-3
#[test]
fn a_death_at_any_step_of_the_store_breaks_no_promise() {
    let cases: Vec<(u64, usize, u64)> = seeds(DEATHS).take(DEATHS as usize).flat_map(deaths).collect();
    eprintln!("{} deaths", cases.len());
    all(&cases, die);
}
