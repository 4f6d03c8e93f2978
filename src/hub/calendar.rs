//! The calendar of leases: by what the store knows when a subscription is over.
//!
//! The wall clock may be set at any time, and who sets it means no subscription. So leases go by a calendar of their
//! own, which runs with the monotonic clock and takes from the wall clock only how long the server was down: by how
//! much that is ahead of this calendar is written down whenever it has jumped, and taken off at the next start. It never
//! goes back: a wall clock that is wrong at the start, or was before it, would have leases last for years.

use super::{AGAIN, Due, Hub, Then};
use crate::clock::{Date, Now, Tick};
use crate::limits;
use crate::store::record::{KeptCalendar, Write};

/// What the wall clock gains or loses before it is written down, milliseconds. What is put right bit by bit is no jump.
const JUMP: u64 = 60_000;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calendar {
    /// Its date at [`Tick`] 0, milliseconds.
    origin: i64,
    /// By how much the wall clock is ahead of it, as the store knows: milliseconds.
    noted: i64,
    /// By how much the wall clock was ahead of the monotonic one when it was least so since the start: milliseconds.
    least: i64,
    /// The store has yet to answer, or has failed and is left alone for a while.
    pub waits: bool,
}

impl Calendar {
    /// It goes on from what the store has of it.
    pub fn resume(now: Now, kept: KeptCalendar) -> Calendar {
        let KeptCalendar { ahead: noted, latest } = kept;
        // No lease was longer than they may be when it was granted: it is no earlier than then.
        let reached = latest.map(|date| date.0.saturating_sub(limits::LEASE.as_millis() as i64));
        let reached = reached.map(|date| date.saturating_sub(now.tick.millis() as i64));
        let origin = ahead(now).saturating_sub(noted).max(reached.unwrap_or(i64::MIN));
        Calendar { origin, noted, least: ahead(now), waits: false }
    }

    /// The date of a moment.
    pub fn date(&self, tick: Tick) -> Date {
        Date(self.origin.saturating_add(tick.millis() as i64))
    }

    /// The moment of a date, now if it has passed. No lease is longer than [`limits::LEASE`], whatever the clock said
    /// when it was written down.
    pub fn moment(&self, now: Now, date: Date) -> Tick {
        now.tick + date.since(self.date(now.tick)).min(limits::LEASE)
    }

    /// What the wall clock says, or less: if it was set forward while the server runs, what it would say otherwise. By
    /// this what waits for users is too old, whose dates are the wall clock's.
    pub fn believed(&mut self, now: Now) -> Date {
        self.least = self.least.min(ahead(now));
        Date(self.least.saturating_add(now.tick.millis() as i64))
    }

    /// By how much the wall clock is ahead, if it has jumped and nobody has told the store.
    fn jumped(&mut self, now: Now) -> Option<i64> {
        self.least = self.least.min(ahead(now));
        let found = ahead(now).saturating_sub(self.origin);
        let jumped = !self.waits && found.abs_diff(self.noted) > JUMP;
        self.waits |= jumped;
        jumped.then_some(found)
    }
}

impl Hub {
    /// Writes down that the wall clock was set.
    pub(super) fn note_jump(&mut self, now: Now) {
        if let Some(ahead) = self.calendar.jumped(now) {
            self.write(Write::SetCalendar { ahead }, Then::JumpNoted { ahead });
        }
    }

    /// It is written down, or has to be written again.
    pub(super) fn jump_noted(&mut self, now: Now, ahead: i64, kept: bool) {
        if kept {
            self.calendar.noted = ahead;
            self.calendar.waits = false;
        } else {
            self.timers.arm(now.tick + AGAIN, Due::Notes);
        }
    }
}

/// By how much the wall clock is ahead of the monotonic one, milliseconds.
fn ahead(now: Now) -> i64 {
    now.date.0.saturating_sub(now.tick.millis() as i64)
}
