//! Where the time of a run has gone: to the node, to the store, to the rest; and its longest moments.

use std::fs;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::rig::Failure;

/// Longer than this, and it is looked whether the processor was taken away meanwhile.
const LONG: Duration = Duration::from_micros(100);
/// Moments remembered.
const LONGEST: usize = 12;

/// Who has spent it.
#[derive(Clone, Copy)]
pub enum Kind {
    /// The node: what the loop's thread does beside system calls.
    Node,
    /// The reader's and the writer's thread.
    Store,
}

/// One call of the node that took long.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moment {
    /// Microseconds.
    pub micros: f64,
    /// What came in.
    pub what: String,
    /// How many connections there were.
    pub place: usize,
}

/// Calls of the node, watched one by one.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Calls {
    /// How many took less than 2^(n/8) ns, and not less than the next smaller.
    counts: Vec<u64>,
    /// The longest of each kind, longest first.
    pub longest: Vec<Moment>,
}

impl Calls {
    fn note(&mut self, took: Duration, what: &'static str, place: usize) {
        let nanos = (took.as_nanos() as f64).max(1.0);
        let bucket = (nanos.log2() * 8.0).ceil() as usize;
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        let micros = nanos / 1000.0;
        if self.longest.len() < LONGEST || self.longest.last().is_some_and(|last| last.micros < micros) {
            self.longest.push(Moment { micros, what: what.to_owned(), place });
            self.longest.sort_by(|a, b| b.micros.total_cmp(&a.micros));
            self.longest.truncate(LONGEST);
        }
    }

    /// So many parts of a thousand took no longer, microseconds.
    pub fn per_mille(&self, part: f64) -> f64 {
        let all: u64 = self.counts.iter().sum();
        let mut left = (all as f64 * part / 1000.0).ceil() as u64;
        for (bucket, count) in self.counts.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 {
                return (bucket as f64 / 8.0).exp2() / 1000.0;
            }
        }
        0.0
    }

    /// The longest, microseconds.
    pub fn longest(&self) -> f64 {
        self.longest.first().map_or(0.0, |moment| moment.micros)
    }
}

/// The account.
#[derive(Default)]
pub struct Spent {
    node: Duration,
    store: Duration,
    begun: Option<Instant>,
    place: usize,
    /// Calls are watched one by one, here.
    pub calls: Option<Calls>,
    waited: Duration,
}

impl Spent {
    /// The node's turn begins.
    pub fn begin(&mut self, place: usize) {
        self.place = place;
        if self.calls.is_some() {
            self.waited = waited();
        }
        self.begun = Some(Instant::now());
    }

    /// It ends.
    pub fn end(&mut self, kind: Kind) {
        if let Some(begun) = self.begun.take() {
            self.add(kind, begun.elapsed());
        }
    }

    /// So much more.
    pub fn add(&mut self, kind: Kind, span: Duration) {
        match kind {
            Kind::Node => self.node += span,
            Kind::Store => self.store += span,
        }
    }

    /// One call begins, if they are watched.
    pub fn watch(&self) -> Option<Instant> {
        self.calls.is_some().then(Instant::now)
    }

    /// It is over.
    pub fn watched(&mut self, begun: Option<Instant>, what: &'static str) {
        let (Some(begun), Some(calls)) = (begun, &mut self.calls) else { return };
        let mut took = begun.elapsed();
        if took > LONG {
            // Without the time that other processes have had.
            let now = waited();
            took = took.saturating_sub(now.saturating_sub(self.waited));
            self.waited = now;
        }
        calls.note(took, what, self.place);
    }
}

/// How long this thread has waited for a processor so far.
fn waited() -> Duration {
    schedule().map_or(Duration::ZERO, |(_, waited)| waited)
}

/// How long this thread has had a processor so far, and how long it has waited for one.
fn schedule() -> Result<(Duration, Duration), Failure> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let mut nanos = text.split(' ').map(|n| n.parse().map(Duration::from_nanos));
    match (nanos.next(), nanos.next()) {
        (Some(Ok(had)), Some(Ok(waited))) => Ok((had, waited)),
        _ => Err(Failure("no schedstat".to_owned())),
    }
}

/// The CPU time of the node and of the store from one moment to another: timed by the clock, times the share of
/// the time in which this thread wanted a processor that it has had one.
pub struct Meter {
    had: Duration,
    waited: Duration,
    node: Duration,
    store: Duration,
}

impl Meter {
    /// From now on.
    ///
    /// # Errors
    /// If the kernel does not account for it.
    pub fn start(spent: &Spent) -> Result<Meter, Failure> {
        // Giving the processor up has its time accounted for.
        std::thread::yield_now();
        let (had, waited) = schedule()?;
        Ok(Meter { had, waited, node: spent.node, store: spent.store })
    }

    /// Until now, microseconds: the node's, and the store's.
    ///
    /// # Errors
    /// As before.
    pub fn micros(&self, spent: &Spent) -> Result<(f64, f64), Failure> {
        std::thread::yield_now();
        let (had, waited) = schedule()?;
        let (had, waited) = ((had - self.had).as_secs_f64(), (waited - self.waited).as_secs_f64());
        let share = if had > 0.0 { had / (had + waited) } else { 1.0 };
        let micros = |span: Duration| span.as_secs_f64() * 1e6 * share;
        Ok((micros(spent.node - self.node), micros(spent.store - self.store)))
    }
}
