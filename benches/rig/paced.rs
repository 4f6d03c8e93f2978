//! Latency at a fixed rate, without coordinated omission.
//!
//! An open loop: every operation has a due time on a schedule that nobody's slowness moves, and its latency is
//! the time from there to its completion, whenever it was really sent. A server that stalls for a second at
//! 5,000 a second thus shows five thousand late operations, not one.
//!
//! The generator never sleeps: it looks for what has come and for what is due in turn, since it has a core of
//! its own. Waiting by a timer would add the time its core takes to wake up (tens of microseconds on a virtual
//! machine) to every figure. How late it sent what was due is told beside the latencies: those are worth
//! something only while that is small.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::Failure;
use super::engine::{Load, PATIENCE, Wire};
use super::report::per_mille;

/// What went before comes to rest first.
const REST: Duration = Duration::from_millis(500);
/// What comes before the time that counts: caches, buffers and branch predictors as they are in the middle of
/// things.
const WARM_UP: Duration = Duration::from_millis(250);
/// How much later than planned the last reply may come, as a part of the whole time, if the rate was held.
const LEEWAY: u32 = 20;
/// In a short run it may come so late.
const LEAST_LEEWAY: Duration = Duration::from_millis(100);
/// The most operations sent before it is looked for replies again.
const AT_ONCE: u64 = 64;

/// How times are spread.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    /// The half of them is below.
    pub p50: Duration,
    /// All but one of a hundred.
    pub p99: Duration,
    /// All but one of a thousand.
    pub p999: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    fn of(mut times: Vec<Duration>) -> Spread {
        let mut at = |part| per_mille(&mut times, part);
        Spread { p50: at(500), p99: at(990), p999: at(999), max: at(1000) }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p99, p999, max] = [self.p50, self.p99, self.p999, self.max].map(micros);
        write!(f, "p50 {p50:.0}, p99 {p99:.0}, p99.9 {p999:.0}, max {max:.0} µs")
    }
}

/// Microseconds.
pub fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

/// What a rate has shown.
#[derive(Debug, Clone, Copy)]
pub struct Paced {
    /// Operations that were due in a second.
    pub rate: u64,
    /// All operations that were made, with those before the time that counts.
    pub operations: u64,
    /// Operations completed in a second.
    pub completed: f64,
    /// Was the rate held: did the last reply come in time, and were there never more operations under way than
    /// are due in a second?
    pub held: bool,
    /// From the due times to the replies.
    pub latency: Spread,
    /// From the due times to the generator's writing.
    pub lateness: Spread,
}

impl fmt::Display for Paced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Paced { completed, held, latency, lateness, .. } = self;
        if *held {
            write!(f, "{latency}")?;
        } else {
            write!(f, "not held: {completed:.0} per second")?;
        }
        write!(f, " (sent late by p50 {:.0}, p99 {:.0} µs)", micros(lateness.p50), micros(lateness.p99))
    }
}

/// The account of one run.
struct Course {
    rate: u64,
    start: Instant,
    /// Operations before those that count.
    warm: u64,
    /// All of them.
    total: u64,
    issued: u64,
    done: u64,
    /// Too many were under way, and no more are sent.
    given_up: bool,
    /// For each pair what is under way: number and due time. Replies come in the order of messages; if two should
    /// change places, so do their times.
    under_way: Vec<VecDeque<(u64, Instant)>>,
    latencies: Vec<Duration>,
    lateness: Vec<Duration>,
}

impl Course {
    fn new(rate: u64, time: Duration, pairs: usize) -> Course {
        let operations = |time: Duration| (time.as_nanos() * u128::from(rate) / 1_000_000_000) as u64;
        let (warm, counted) = (operations(WARM_UP), operations(time).max(1));
        Course {
            rate,
            start: Instant::now() + Duration::from_millis(1),
            warm,
            total: warm + counted,
            issued: 0,
            done: 0,
            given_up: false,
            under_way: vec![VecDeque::new(); pairs],
            latencies: Vec::with_capacity(counted as usize),
            lateness: Vec::with_capacity(counted as usize),
        }
    }

    /// When an operation has to be sent.
    fn due(&self, number: u64) -> Instant {
        let nanoseconds = u128::from(number) * 1_000_000_000 / u128::from(self.rate);
        self.start + Duration::from_nanos(nanoseconds as u64)
    }

    /// The pair whose turn it is, if there is something to be sent already.
    fn next(&mut self, now: Instant) -> Option<usize> {
        if self.given_up || self.issued == self.total {
            return None;
        }
        let due = self.due(self.issued);
        if due > now {
            return None;
        }
        let pair = (self.issued % self.under_way.len() as u64) as usize;
        self.under_way[pair].push_back((self.issued, due));
        if self.issued >= self.warm {
            self.lateness.push(now - due);
        }
        self.issued += 1;
        self.given_up = self.issued - self.done > self.rate;
        Some(pair)
    }

    /// So many replies have come to a pair.
    fn completed(&mut self, pair: usize, count: u64, now: Instant) {
        let under_way = &mut self.under_way[pair];
        let count = (count as usize).min(under_way.len());
        for (number, due) in under_way.drain(..count) {
            if number >= self.warm {
                self.latencies.push(now - due);
            }
        }
        self.done += count as u64;
    }

    fn over(&self) -> bool {
        self.done == self.issued && (self.given_up || self.issued == self.total)
    }

    fn result(self, end: Instant) -> Paced {
        let (begin, plan) = (self.due(self.warm), self.due(self.total));
        let leeway = ((plan - begin) / LEEWAY).max(LEAST_LEEWAY);
        // Who has given up has not gone on until the end of the plan.
        let until = if self.given_up { end } else { end.max(plan) };
        let time = until.saturating_duration_since(begin).max(Duration::from_millis(1));
        Paced {
            rate: self.rate,
            operations: self.done.max(1),
            completed: self.latencies.len() as f64 / time.as_secs_f64(),
            held: !self.given_up && end <= plan + leeway,
            latency: Spread::of(self.latencies),
            lateness: Spread::of(self.lateness),
        }
    }
}

impl<W: Wire> Load<W> {
    /// Makes `rate` operations a second, spread evenly over time and in turn over the pairs, for so long after a
    /// short warm-up; then waits for what is still under way.
    ///
    /// # Errors
    /// If the server closes a connection, refuses a message, or stops answering.
    pub fn pace(&mut self, rate: u64, time: Duration) -> Result<Paced, Failure> {
        std::thread::sleep(REST);
        let mut course = Course::new(rate.max(1), time, self.pairs());
        let mut last = course.start;
        while !course.over() {
            for _ in 0..AT_ONCE {
                let Some(pair) = course.next(Instant::now()) else { break };
                self.issue(pair, 1)?;
            }
            let before = course.done;
            self.turn(Duration::ZERO, |pair, count| {
                course.completed(pair, count, Instant::now());
                0
            })?;
            if course.done > before || course.done == course.issued {
                last = Instant::now();
            } else if last.elapsed() > PATIENCE {
                let (done, issued) = (course.done, course.issued);
                return Err(Failure(format!("no answer any more after {done} of {issued} operations")));
            }
        }
        Ok(course.result(Instant::now()))
    }
}
