//! Requests on their way: who waits, who has not answered yet, and until when.
//!
//! A transaction is found by its [`TxId`] without a search; whoever has to answer it keeps it in a
//! [`Queue`] in the order of deadlines, so that one timer per queue is enough.

use std::collections::VecDeque;

use compact_str::CompactString;

use super::account::AccountKey;
use super::address::Address;
use super::op::{Answer, Origin, Refusal, Reply, Request, TxId};
use crate::clock::{Date, Tick};
use crate::federation::Traffic;

/// Bits of a [`TxId`] that name the slot: at most a million requests wait at once. Above them stands its number
/// among all requests, so that names grow with time.
const SLOT_BITS: u32 = 20;

/// Gaps that a [`Queue`] keeps among those that wait, beside as many as there are of these.
const GAPS: usize = 16;

/// What was asked, when the rest of the request is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A message.
    Message,
    /// The presence, once.
    Fetch,
    /// The presence, for a time.
    Subscribe,
    /// No more of it.
    Unsubscribe,
    /// What server is this?
    Inquire,
    /// News of somebody's presence.
    Change,
    /// The end of a subscription.
    End,
    /// Something between a user and his own contact place.
    Own,
}

impl From<&Request<'_>> for Kind {
    fn from(request: &Request<'_>) -> Kind {
        match request {
            Request::Message(_) => Kind::Message,
            Request::Fetch => Kind::Fetch,
            Request::Subscribe { .. } => Kind::Subscribe,
            Request::Unsubscribe { .. } => Kind::Unsubscribe,
            Request::Inquire => Kind::Inquire,
            Request::Change(_) => Kind::Change,
            Request::End(_) => Kind::End,
        }
    }
}

impl Kind {
    /// Over which of its peer's services it goes.
    pub fn traffic(self) -> Traffic {
        match self {
            Kind::Message | Kind::Own => Traffic::Messages,
            Kind::Inquire => Traffic::Inquiries,
            Kind::Fetch | Kind::Subscribe | Kind::Unsubscribe | Kind::Change | Kind::End => Traffic::Presence,
        }
    }
}

/// Who has yet to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// Endpoints of an account.
    Endpoints {
        /// Whose.
        key: AccountKey,
        /// A bit for the place of each.
        places: u32,
        /// Those of them whose answer may say more than `ok`, if the one who asked can hear it: an `ok` of another
        /// is not the last word while one of these is out.
        talkative: u32,
    },
    /// The home server of the recipient's domain.
    Remote,
}

/// A request on its way.
#[derive(Debug)]
pub(super) struct Transaction {
    pub origin: Origin,
    pub kind: Kind,
    pub from: Address,
    pub to: Address,
    pub sent: Date,
    pub waiting: Waiting,
    /// The name that a subscription was asked for under.
    pub name: Option<CompactString>,
    /// The lease that was asked for, milliseconds.
    pub lease: Option<i64>,
    /// The octets that its sender has under way with it.
    pub weight: u32,
    /// The best that has been said so far.
    pub best: Option<Box<Reply<'static>>>,
}

/// How good an answer is, when several endpoints give one each (IMTP-16.2-15, IMTP-16.2-16, TOC-61): any `ok`
/// is better than any refusal, a message in return better than none, certainty better than doubt; what a person
/// said is worth more than that another of his endpoints does not understand, or keeps silent, or has gone.
pub(super) fn worth(answer: &Answer<'_>) -> u8 {
    match answer {
        Answer::Ok(thanks) => match (&thanks.payload, &thanks.unreliable) {
            (Some(_), None) => BEST,
            (Some(_), Some(_)) => 12,
            (None, None) => 11,
            (None, Some(_)) => OK,
        },
        Answer::Described(_) | Answer::Granted { .. } => BEST,
        Answer::Refused { words: Some(_), .. } => 4,
        Answer::Refused { refusal: Refusal::Unsupported, words: None } => 2,
        Answer::Refused { refusal: Refusal::NoAnswer, words: None } => 1,
        Answer::Refused { refusal: Refusal::NoListeners, words: None } => 0,
        Answer::Refused { words: None, .. } => 3,
    }
}

/// Nothing better can come.
pub(super) const BEST: u8 = 13;
/// The least worth of an `ok`.
pub(super) const OK: u8 = 10;

/// All of them, by slot.
#[derive(Debug, Default)]
pub(super) struct Transactions {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many there have been.
    opened: u64,
}

#[derive(Debug)]
struct Slot {
    /// Of the last one that it was for.
    number: u64,
    transaction: Option<Transaction>,
}

impl Transactions {
    /// Takes one in; gives it back if there are too many. Its name is greater than all before.
    pub fn open(&mut self, transaction: Transaction) -> Result<TxId, Box<Transaction>> {
        let slot = self.free.pop().unwrap_or(self.slots.len() as u32);
        if slot >> SLOT_BITS != 0 {
            return Err(Box::new(transaction));
        }
        self.opened += 1;
        let place = Slot { number: self.opened, transaction: Some(transaction) };
        match self.slots.get_mut(slot as usize) {
            Some(free) => *free = place,
            None => self.slots.push(place),
        }
        Ok(TxId(self.opened << SLOT_BITS | u64::from(slot)))
    }

    pub fn get_mut(&mut self, id: TxId) -> Option<&mut Transaction> {
        let slot = self.slots.get_mut(slot_of(id))?;
        if slot.number != id.0 >> SLOT_BITS { None } else { slot.transaction.as_mut() }
    }

    pub fn get(&self, id: TxId) -> Option<&Transaction> {
        let slot = self.slots.get(slot_of(id))?;
        if slot.number != id.0 >> SLOT_BITS { None } else { slot.transaction.as_ref() }
    }

    pub fn close(&mut self, id: TxId) -> Option<Transaction> {
        let index = slot_of(id);
        let slot = self.slots.get_mut(index)?;
        if slot.number != id.0 >> SLOT_BITS {
            return None;
        }
        let transaction = slot.transaction.take()?;
        self.free.push(index as u32);
        Some(transaction)
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}

fn slot_of(id: TxId) -> usize {
    (id.0 & ((1 << SLOT_BITS) - 1)) as usize
}

/// What one endpoint or one peer has yet to answer, oldest first. One that is answered out of turn leaves a gap
/// until those before it are gone, so that the longest queue costs a few comparisons.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// In the order of their names; the first and the last are no gaps.
    waiting: VecDeque<Place>,
    /// Of these, the gaps.
    gaps: usize,
    /// When the timer comes that stands for the oldest one, or for one that was.
    armed: Option<Tick>,
    /// How many in a row were not answered in time.
    pub unanswered: u8,
}

#[derive(Debug)]
struct Place {
    id: TxId,
    deadline: Tick,
    answered: bool,
}

impl Queue {
    /// One more, whose name is greater than all before; true if a timer has to be armed for it.
    pub fn push(&mut self, id: TxId, deadline: Tick) -> bool {
        debug_assert!(self.waiting.back().is_none_or(|last| last.id < id), "in the order of names");
        self.waiting.push_back(Place { id, deadline, answered: false });
        let arm = self.armed.is_none();
        if arm {
            self.armed = Some(deadline);
        }
        arm
    }

    /// Is it this queue's timer that has come? One may be left from an earlier owner of the name.
    pub fn is_due(&self, now: Tick) -> bool {
        self.armed.is_some_and(|at| at <= now)
    }

    /// It has been answered; false if it was not waiting.
    pub fn answered(&mut self, id: TxId) -> bool {
        let Ok(at) = self.waiting.binary_search_by_key(&id, |place| place.id) else { return false };
        match self.waiting.get_mut(at) {
            Some(place) if !place.answered => place.answered = true,
            _ => return false,
        }
        self.gaps += 1;
        self.close_gaps();
        self.unanswered = 0;
        true
    }

    /// Gaps at either end go, and all of them when most of the queue is gaps.
    fn close_gaps(&mut self) {
        while self.waiting.pop_front_if(|first| first.answered).is_some() {
            self.gaps -= 1;
        }
        while self.waiting.pop_back_if(|last| last.answered).is_some() {
            self.gaps -= 1;
        }
        if self.gaps > self.len() + GAPS {
            self.waiting.retain(|place| !place.answered);
            self.gaps = 0;
        }
    }

    /// The oldest one whose time is over.
    pub fn overdue(&mut self, now: Tick) -> Option<TxId> {
        let first = self.waiting.pop_front_if(|first| first.deadline <= now)?;
        self.close_gaps();
        self.unanswered = self.unanswered.saturating_add(1);
        Some(first.id)
    }

    /// When the oldest one is due; without any, the timer is spent.
    pub fn rearm(&mut self) -> Option<Tick> {
        self.armed = self.waiting.front().map(|first| first.deadline);
        self.armed
    }

    /// All of them, oldest first, when nobody will answer any more.
    pub fn drain(&mut self) -> Vec<TxId> {
        let all = self.iter().collect();
        self.waiting = VecDeque::new();
        self.gaps = 0;
        all
    }

    pub fn len(&self) -> usize {
        self.waiting.len() - self.gaps
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = TxId> {
        self.waiting.iter().filter(|place| !place.answered).map(|place| place.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(ids: impl IntoIterator<Item = u64>) -> Queue {
        let mut queue = Queue::default();
        for id in ids {
            queue.push(TxId(id), Tick::at(id));
        }
        queue
    }

    fn waiting(queue: &Queue) -> Vec<u64> {
        queue.iter().map(|id| id.0).collect()
    }

    #[test]
    fn each_is_answered_once_and_in_any_order() {
        // OC-61
        let mut queue = queue(1..=5);
        for (id, was, left) in [
            (3, true, &[1, 2, 4, 5][..]),
            (3, false, &[1, 2, 4, 5]),
            (9, false, &[1, 2, 4, 5]),
            (1, true, &[2, 4, 5]),
            (1, false, &[2, 4, 5]),
            (5, true, &[2, 4]),
            (2, true, &[4]),
            (4, true, &[]),
            (4, false, &[]),
        ] {
            assert_eq!((queue.answered(TxId(id)), &waiting(&queue)[..]), (was, left), "{id}");
            assert_eq!(queue.len(), left.len());
        }
    }

    #[test]
    fn those_overdue_are_the_oldest_that_are_not_answered() {
        // OC-59
        let mut queue = queue(1..=5);
        assert_eq!(queue.overdue(Tick::at(0)), None);
        assert!(queue.answered(TxId(2)));
        let over: Vec<_> = std::iter::from_fn(|| queue.overdue(Tick::at(4))).collect();
        assert_eq!((over, queue.unanswered), (vec![TxId(1), TxId(3), TxId(4)], 3));
        assert_eq!(queue.rearm(), Some(Tick::at(5)));
        assert_eq!(queue.drain(), [TxId(5)]);
        assert_eq!((queue.len(), queue.rearm()), (0, None));
    }

    #[test]
    fn one_that_is_never_answered_keeps_no_others_in_memory() {
        let mut queue = queue(0..10_000);
        for id in (1..10_000).rev().step_by(2).chain((2..10_000).step_by(2)) {
            assert!(queue.answered(TxId(id)));
            assert!(queue.waiting.len() <= 2 * queue.len() + GAPS);
        }
        assert_eq!(waiting(&queue), [0]);
    }
}
