//! Time as it is handed in: nothing inside the node reads a clock.

use std::num::NonZeroU64;
use std::ops::Add;
use std::time::Duration;

/// A point on the monotonic clock: milliseconds since the driver started. For timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(
    /// One more than these: there are many that may be none, which so take no more room.
    NonZeroU64,
);

impl Tick {
    /// So many milliseconds after the start.
    pub const fn at(millis: u64) -> Tick {
        Tick(NonZeroU64::MIN.saturating_add(millis))
    }

    /// How many.
    pub const fn millis(self) -> u64 {
        self.0.get() - 1
    }

    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.millis().saturating_sub(earlier.millis()))
    }
}

impl Default for Tick {
    fn default() -> Tick {
        Tick::at(0)
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, span: Duration) -> Tick {
        Tick(self.0.saturating_add(span.as_millis() as u64))
    }
}

/// A date: milliseconds since 1970-01-01T00:00:00Z on the wall clock, which may jump. For people and leases.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
pub struct Date(pub i64);

impl Add<Duration> for Date {
    type Output = Date;
    fn add(self, span: Duration) -> Date {
        Date(self.0.saturating_add(span.as_millis() as i64))
    }
}

impl Date {
    /// The time from `earlier` to `self`, zero if `earlier` is later.
    pub fn since(self, earlier: Date) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

/// Both clocks at one moment; every input of the node carries one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// The monotonic clock.
    pub tick: Tick,
    /// The wall clock.
    pub date: Date,
}
