//! Subscriptions abroad that this server has asked for by itself, for a contact list or an endpoint, and their ends.
//!
//! They last no longer than what they were asked for, and a crash ends that, too, while the presentity's server goes
//! on until a lease is over, or news is refused. So each is noted in the store when it is granted, and the note goes
//! when the presentity's server has answered its end. What is noted at the start of the server is ended then. A
//! server that can't be reached is tried until the lease is over, or for a day.
//!
//! Nobody waits for a note: a crash before it is committed leaves the lease to itself.

use std::collections::BTreeMap;
use std::time::Duration;

use super::account::AccountKey;
use super::address::Address;
use super::op::{Answer, Envelope, Native, Origin, Reply, Request, Trail};
use super::subscription::Holder;
use super::watching::{Waiter, is_passing};
use super::{Due, Errand, Hub, Kind, Outlet, Purpose, Then};
use crate::clock::{Now, Tick};
use crate::store::record::{AccountId, Leftover, Outbound, Outcome, Read, Write};

/// Ends that wait for an answer, or to be tried again, at most. Beyond that nobody looks what becomes of them until
/// the next start.
const MOST: usize = 100_000;
/// What an earlier run has left is ended so many at a time, and so long after each other.
const LEFT_AT_ONCE: u32 = 500;
const LEFT_PAUSE: Duration = Duration::from_secs(1);
/// Until a server that can't be reached is tried again: doubled so many times.
const RETRY: Duration = Duration::from_secs(5);
const DOUBLED: u8 = 8;
/// Tries for what has no lease: a day of them.
const TRIES: u8 = 76;

/// A subscription abroad that is to end.
#[derive(Debug)]
struct Ending {
    account: AccountId,
    from: Address,
    to: Address,
    token: String,
    expires: Option<Tick>,
    tries: u8,
    /// Who wants to hear of it.
    waiter: Option<Waiter>,
}

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct Endings {
    all: BTreeMap<u32, Ending>,
    last: u32,
    /// What an earlier run has left was looked at up to this row.
    after: i64,
    /// Notes that the store would not take, and users whose watchers wait for one.
    unnoted: Vec<(AccountKey, Holder, Address)>,
    untaken: Vec<AccountKey>,
}

impl Endings {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len() + self.unnoted.len() + self.untaken.len()
    }
}

impl Hub {
    /// What was granted is written down. What ends with this server anyway is not.
    pub(super) fn note(&mut self, key: AccountKey, holder: Holder, presentity: &Address) {
        if self.domains.contains(presentity.domain()) {
            return;
        }
        let Some(account) = self.accounts.get(key) else { return };
        let Some(watching) = account.watching(holder, presentity).filter(|w| !w.token.is_empty()) else {
            return;
        };
        let (presentity, token) = (presentity.clone(), watching.token.to_string());
        let expires = watching.expires.map(|end| self.calendar.date(end));
        let outbound = Outbound { presentity, token, expires, automatic: true };
        let then = Then::Noted { key, holder, presentity: outbound.presentity.clone() };
        self.write(Write::PutOutbound { account: account.id, outbound }, then);
    }

    /// It is written down, or has to be written again.
    pub(super) fn noted(
        &mut self,
        now: Now,
        key: AccountKey,
        holder: Holder,
        presentity: Address,
        outcome: Option<Outcome>,
    ) {
        if outcome.is_none() {
            self.note_later(now);
            self.endings.unnoted.push((key, holder, presentity));
        }
    }

    /// The store would not take a note of what this user's watchers are told.
    pub(super) fn untaken(&mut self, now: Now, key: AccountKey) {
        self.note_later(now);
        self.endings.untaken.push(key);
    }

    fn note_later(&mut self, now: Now) {
        if self.endings.unnoted.is_empty() && self.endings.untaken.is_empty() {
            self.timers.arm(now.tick + super::AGAIN, Due::Notes);
        }
    }

    /// What the store would not take is written again, if it is still so.
    pub(super) fn note_again(&mut self) {
        self.calendar.waits = false;
        for (key, holder, presentity) in std::mem::take(&mut self.endings.unnoted) {
            self.note(key, holder, &presentity);
        }
        for key in std::mem::take(&mut self.endings.untaken) {
            self.mark_dirty(key);
        }
    }

    /// It has ended by itself.
    pub(super) fn unnote(&mut self, key: AccountKey, presentity: &Address, token: String) {
        if token.is_empty() || self.domains.contains(presentity.domain()) {
            return;
        }
        let Some(account) = self.accounts.get(key) else { return };
        let (account, presentity) = (account.id, presentity.clone());
        self.write(Write::RemoveOutbound { account, presentity, token: Some(token) }, Then::Nothing);
    }

    /// Ends what this server has asked for by itself. `expires`: when its lease is over.
    pub(super) fn end_own(
        &mut self,
        now: Now,
        key: AccountKey,
        to: Address,
        (token, expires): (String, Option<Tick>),
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        if self.domains.contains(to.domain()) {
            let from = account.address.clone();
            return self.end_foreign(now, from, to, token, out);
        }
        let (account, from) = (account.id, account.address.clone());
        let ending = Ending { account, from, to, token, expires, tries: 0, waiter: None };
        self.begin_ending(now, ending, (None, Trail::OURS), out);
    }

    /// The same for an endpoint that waits for the answer, and has said it in its own way.
    #[allow(clippy::too_many_arguments)] // who waits, what for, and how it was said
    pub(super) fn end_for(
        &mut self,
        now: Now,
        key: AccountKey,
        waiter: Waiter,
        to: Address,
        (token, expires): (String, Option<Tick>),
        way: (Option<Native<'_>>, Trail<'_>),
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        let (account, from) = (account.id, account.address.clone());
        let ending = Ending { account, from, to, token, expires, tries: 0, waiter: Some(waiter) };
        self.begin_ending(now, ending, way, out);
    }

    fn begin_ending(
        &mut self,
        now: Now,
        ending: Ending,
        (native, trail): (Option<Native<'_>>, Trail<'_>),
        out: &mut impl Outlet,
    ) {
        let (to, from) = (ending.to.clone(), ending.from.clone());
        let request = Request::Unsubscribe { token: ending.token.clone().into() };
        let envelope = Envelope { to, from, request, native, trail };
        if self.endings.all.len() >= MOST {
            let origin = ending.waiter.map_or(Origin::Nobody, |(handle, tag)| Origin::Peer { handle, tag });
            return self.request(now, origin, envelope, out);
        }
        let endings = &mut self.endings;
        endings.last = endings.last.wrapping_add(1);
        let number = endings.last;
        endings.all.insert(number, ending);
        self.request(now, Origin::Hub(Errand::End { ending: number }), envelope, out);
    }

    /// The presentity's server has answered, or could not be reached.
    pub(super) fn ending_answered(
        &mut self,
        now: Now,
        number: u32,
        reply: &Reply<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(ending) = self.endings.all.get_mut(&number) else { return };
        if let Some((handle, tag)) = ending.waiter.take() {
            out.answer(handle, &tag, Kind::Unsubscribe, &ending.to, reply);
        }
        let passing = matches!(&reply.answer, Answer::Refused { refusal, .. } if is_passing(*refusal));
        let lasts = ending.expires.map_or(ending.tries < TRIES, |end| end > now.tick);
        if passing && lasts {
            let pause = RETRY * (1 << u32::from(ending.tries.min(DOUBLED)));
            ending.tries = ending.tries.saturating_add(1);
            return self.timers.arm(now.tick + pause, Due::Ending(number));
        }
        let Some(ending) = self.endings.all.remove(&number) else { return };
        if !self.is_held(&ending) {
            let Ending { account, to, token, .. } = ending;
            let write = Write::RemoveOutbound { account, presentity: to, token: Some(token) };
            self.write(write, Then::Nothing);
        }
    }

    /// A server that could not be reached is asked again.
    pub(super) fn ending_due(&mut self, now: Now, number: u32, out: &mut impl Outlet) {
        let Some(ending) = self.endings.all.get(&number) else { return };
        if self.is_held(ending) {
            self.endings.all.remove(&number);
            return;
        }
        let request = Request::Unsubscribe { token: ending.token.clone().into() };
        let envelope = Envelope::ours(ending.from.clone(), ending.to.clone(), request);
        self.request(now, Origin::Hub(Errand::End { ending: number }), envelope, out);
    }

    /// Is it wanted, perhaps again? An endpoint's subscriptions to one presentity have the same name.
    fn is_held(&self, ending: &Ending) -> bool {
        let account = self.loaded(&ending.from).and_then(|key| self.accounts.get(key));
        account.is_some_and(|account| account.watching.of(&ending.to).iter().any(|w| w.token == ending.token))
    }

    /// Asks the store what an earlier run has left.
    pub(super) fn look_for_leftovers(&mut self, now: Now, out: &mut impl Outlet) {
        if self.endings.all.len() > MOST / 2 {
            return self.timers.arm(now.tick + LEFT_PAUSE, Due::Leftovers);
        }
        out.read(Read::Leftovers { after: self.endings.after, limit: LEFT_AT_ONCE }, Purpose::Leftovers);
    }

    /// What it has left is ended. None: the store has failed.
    pub(super) fn leftovers_read(
        &mut self,
        now: Now,
        leftovers: Option<Vec<Leftover>>,
        out: &mut impl Outlet,
    ) {
        let more = leftovers.as_ref().is_none_or(|leftovers| leftovers.len() == LEFT_AT_ONCE as usize);
        if more {
            self.timers.arm(now.tick + LEFT_PAUSE, Due::Leftovers);
        }
        for Leftover { row, account, watcher, outbound } in leftovers.unwrap_or_default() {
            self.endings.after = row;
            let Outbound { presentity: to, token, expires, .. } = outbound;
            let expires = expires.map(|end| self.calendar.moment(now, end));
            let ending = Ending { account, from: watcher, to, token, expires, tries: 0, waiter: None };
            // It may be of this run already.
            if !self.is_held(&ending) {
                self.begin_ending(now, ending, (None, Trail::OURS), out);
            }
        }
    }
}
