//! Refusals that strangers hear late: a stranger shall not tell from the time it took why he was refused.

use std::time::Duration;

use compact_str::CompactString;

use super::address::Address;
use super::op::{Answer, Handle, Refusal, Reply};
use super::transaction::Kind;
use super::{Due, Hub, Outlet};
use crate::clock::Now;

/// A stranger hears after this time that a user of ours is unknown, absent or unwilling: long enough to
/// hide which of them it was, and whether the store had to be asked.
const REFUSAL: Duration = Duration::from_millis(100);

/// A refusal that a stranger has yet to hear.
#[derive(Debug)]
pub(super) struct Later {
    handle: Handle,
    tag: CompactString,
    kind: Kind,
    of: Address,
    refusal: Refusal,
}

impl Hub {
    pub(super) fn refuse_later(
        &mut self,
        now: Now,
        handle: Handle,
        tag: CompactString,
        kind: Kind,
        of: Address,
        refusal: Refusal,
    ) {
        let at = self.arrived.unwrap_or(now.tick) + REFUSAL;
        self.refused += 1;
        self.refusals.insert((at, self.refused), Later { handle, tag, kind, of, refusal });
        self.timers.arm(at, Due::Refusals);
    }

    pub(super) fn refuse_due(&mut self, now: Now, out: &mut impl Outlet) {
        while let Some(entry) = self.refusals.first_entry().filter(|entry| entry.key().0 <= now.tick) {
            let Later { handle, tag, kind, of, refusal } = entry.remove();
            out.answer(handle, &tag, kind, &of, &Reply::ours(Answer::refused(refusal)));
        }
    }
}
