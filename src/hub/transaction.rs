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

/// Bits of a [`TxId`] that name the slot: at most a million requests wait at once.
const SLOT_BITS: u32 = 20;

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
}

#[derive(Debug)]
struct Slot {
    generation: u64,
    transaction: Option<Transaction>,
}

impl Transactions {
    /// Takes one in; gives it back if there are too many.
    pub fn open(&mut self, transaction: Transaction) -> Result<TxId, Box<Transaction>> {
        if let Some(slot) = self.free.pop() {
            let place = &mut self.slots[slot as usize];
            place.generation += 1;
            place.transaction = Some(transaction);
            return Ok(TxId(place.generation << SLOT_BITS | u64::from(slot)));
        }
        let slot = self.slots.len() as u64;
        if slot >> SLOT_BITS != 0 {
            return Err(Box::new(transaction));
        }
        self.slots.push(Slot { generation: 1, transaction: Some(transaction) });
        Ok(TxId(1 << SLOT_BITS | slot))
    }

    pub fn get_mut(&mut self, id: TxId) -> Option<&mut Transaction> {
        let slot = self.slots.get_mut(slot_of(id))?;
        if slot.generation != id.0 >> SLOT_BITS { None } else { slot.transaction.as_mut() }
    }

    pub fn get(&self, id: TxId) -> Option<&Transaction> {
        let slot = self.slots.get(slot_of(id))?;
        if slot.generation != id.0 >> SLOT_BITS { None } else { slot.transaction.as_ref() }
    }

    pub fn close(&mut self, id: TxId) -> Option<Transaction> {
        let index = slot_of(id);
        let slot = self.slots.get_mut(index)?;
        if slot.generation != id.0 >> SLOT_BITS {
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

/// What one endpoint or one peer has yet to answer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(TxId, Tick)>,
    /// When the timer comes that stands for the oldest one, or for one that was.
    armed: Option<Tick>,
    /// How many in a row were not answered in time.
    pub unanswered: u8,
}

impl Queue {
    /// One more; true if a timer has to be armed for it.
    pub fn push(&mut self, id: TxId, deadline: Tick) -> bool {
        self.waiting.push_back((id, deadline));
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
        let Some(at) = self.waiting.iter().position(|(waiting, _)| *waiting == id) else { return false };
        self.waiting.remove(at);
        self.unanswered = 0;
        true
    }

    /// The oldest one whose time is over.
    pub fn overdue(&mut self, now: Tick) -> Option<TxId> {
        let (id, deadline) = *self.waiting.front()?;
        if deadline > now {
            return None;
        }
        self.waiting.pop_front();
        self.unanswered = self.unanswered.saturating_add(1);
        Some(id)
    }

    /// When the oldest one is due; without any, the timer is spent.
    pub fn rearm(&mut self) -> Option<Tick> {
        self.armed = self.waiting.front().map(|(_, deadline)| *deadline);
        self.armed
    }

    /// All of them, when nobody will answer any more.
    pub fn drain(&mut self) -> VecDeque<(TxId, Tick)> {
        std::mem::take(&mut self.waiting)
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = TxId> {
        self.waiting.iter().map(|(id, _)| *id)
    }
}
