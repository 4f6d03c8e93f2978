//! Subscriptions to the presence of our users: granting and ending them; `telling` says what the watchers
//! are told.
//!
//! There are two kinds. Where the presentity's server gives out a token and a lease, a watcher may hold
//! several leases on one presentity, but is told each change once, for all of his endpoints. Where the
//! watcher's server names the subscription, each of that watcher's names is a watch of its own, told by
//! itself and without a lease: it lasts until it is ended.
//!
//! Leases run by the monotonic clock, so that a wall clock that is set ends none; only what is in the store has dates.

use std::cell::Cell;
use std::hash::BuildHasher;
use std::num::NonZeroU64;
use std::time::Duration;

use compact_str::CompactString;
use foldhash::quality::FixedState;
use smallvec::{SmallVec, smallvec};

use super::account::{Account, AccountKey};
use super::address::Address;
use super::calendar::Calendar;
use super::delivery::Asked;
use super::granting::Next;
use super::mappings::Found;
use super::op::{
    Answer, EndpointId, Envelope, Lease, News, Notice, Origin, Presence, Refusal, Report, Request,
};
use super::telling::Telling;
use super::transaction::Kind;
use super::{Errand, Hub, Outlet, Then};
use crate::clock::{Date, Now, Tick};
use crate::limits;
use crate::store::record::{Document, Inbound, Outbound, Write};

/// One watcher of one of our users, or one of his connections if his server tells them apart.
#[derive(Debug)]
pub(super) struct Watch {
    pub watcher: Address,
    /// Tells this use of the slot from another.
    pub serial: u32,
    /// Named by the watcher's server: it has one lease, whose token is that name.
    pub named: bool,
    /// Most have one.
    pub leases: SmallVec<[Held; 1]>,
    /// The presence he has said `okay` to, as a fingerprint.
    pub told: u64,
    pub telling: Telling,
    /// A user of ours who was away when he should have been told; he is told when he is back.
    pub owed: bool,
    /// Where the watcher was found last, if he is a user of ours.
    pub here: Option<AccountKey>,
    /// Which mapping was last found to be his.
    pub mapping: Cell<Found>,
}

#[derive(Debug)]
pub(super) struct Held {
    pub token: CompactString,
    /// None: it lasts until it is ended.
    pub expires: Option<Tick>,
    /// In the store. Those of our own users' contact lists and connections are not: they end with those.
    pub durable: bool,
    /// Its end is being committed.
    pub ending: bool,
    /// Granted while its watcher was being told something: how he answers that says nothing about it.
    pub crossing: bool,
}

impl Held {
    pub fn lasts(&self, now: Tick) -> bool {
        self.expires.is_none_or(|end| end > now)
    }
}

impl Watch {
    pub fn is_settled(&self) -> bool {
        self.telling == Telling::Quiet && !self.owed && self.leases.iter().all(|l| l.durable && !l.ending)
    }

    /// Does it outlive this run of the server?
    pub fn is_durable(&self) -> bool {
        self.leases.iter().any(|lease| lease.durable)
    }

    pub fn is_live(&self, now: Tick) -> bool {
        self.leases.iter().any(|lease| lease.lasts(now))
    }

    /// The name that its watcher's server gave it, if it did.
    pub fn name(&self) -> Option<&str> {
        self.leases.first().filter(|_| self.named).map(|lease| lease.token.as_str())
    }
}

/// Somebody whom one of our users watches.
#[derive(Debug)]
pub(super) struct Watching {
    pub presentity: Address,
    /// What ends it: given out by the presentity's server, or made up here as its name.
    pub token: CompactString,
    /// None: it lasts until it is ended.
    pub expires: Option<Tick>,
    /// The other server knows nothing of that: we end it.
    pub unleased: bool,
    pub holder: Holder,
    pub state: WatchingState,
    /// The presence last passed on, as a fingerprint.
    pub seen: Option<NonZeroU64>,
    /// It was granted, and has not ended since as far as we know, whatever became of asking again.
    pub granted: bool,
    /// Of the request that it is answered by: others belong to what was watched before.
    pub ask: u32,
    /// Those who wait to hear what becomes of it.
    pub waiting: Vec<super::watching::Waiter>,
}

// There are as many as there are contacts on all lists, and each has both.
const _: () = assert!(size_of::<Watching>() <= 120 && size_of::<Watch>() <= 128);

/// For whom somebody is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// For a client that asked for it, and outlives its connection.
    Client,
    /// By the contact place, for the user's contact list, while he is online.
    List,
    /// For this endpoint, as long as it is there.
    Endpoint(EndpointId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchingState {
    /// Granted; it is renewed then, unless its client does that.
    Live { renew: Option<Tick> },
    /// On its way.
    Asking { tries: u8 },
    /// To be asked again then.
    Again { at: Tick, tries: u8 },
    /// Refused; not asked again in this online period.
    Refused,
}

impl Watching {
    pub fn kept(now: Now, calendar: &Calendar, outbound: Outbound) -> Watching {
        Watching {
            presentity: outbound.presentity,
            token: outbound.token.into(),
            expires: outbound.expires.map(|end| calendar.moment(now, end)),
            unleased: false,
            holder: Holder::Client,
            state: WatchingState::Live { renew: None },
            seen: None,
            granted: true,
            ask: 0,
            waiting: Vec::new(),
        }
    }

    /// One that is about to be asked for.
    pub fn asking(presentity: Address, holder: Holder, token: CompactString) -> Watching {
        Watching {
            presentity,
            token,
            expires: None,
            unleased: false,
            holder,
            state: WatchingState::Asking { tries: 0 },
            seen: None,
            granted: false,
            ask: 0,
            waiting: Vec::new(),
        }
    }

    pub fn is_settled(&self) -> bool {
        self.holder == Holder::Client
    }

    /// When there is something to do about it.
    pub fn next_due(&self) -> Option<Tick> {
        let due = match self.state {
            WatchingState::Live { renew } => renew,
            WatchingState::Again { at, .. } => Some(at),
            WatchingState::Asking { .. } | WatchingState::Refused => None,
        };
        let end = self.expires.filter(|_| self.unleased);
        due.into_iter().chain(end).min()
    }

    /// Is his lease not over yet?
    pub fn lasts(&self, now: Tick) -> bool {
        self.expires.is_none_or(|end| end > now)
    }
}

/// What makes two presences the same to a watcher.
pub(super) fn fingerprint(online: bool, since: Option<Date>, description: &str) -> u64 {
    FixedState::default().hash_one((online, since, description))
}

/// The same for documents: octets and type (TOC-77).
pub(super) fn mark_of(document: &Document) -> u64 {
    FixedState::default().hash_one((&document.content_type, &document.octets))
}

/// What was shown of a presence.
pub(super) fn mark_of_presence(presence: &Presence) -> NonZeroU64 {
    let mark = match &presence.document {
        Some(document) => mark_of(document),
        None => fingerprint(presence.online, presence.since, &presence.description),
    };
    mark.try_into().unwrap_or(NonZeroU64::MIN)
}

impl Account {
    pub fn fingerprint_of(&self, online: Option<Date>) -> u64 {
        fingerprint(online.is_some(), online, &self.description)
    }

    /// The watch that all unnamed leases of a watcher share.
    fn shared_watch(&self, watcher: &Address) -> Option<usize> {
        self.watches.of(watcher).find(|(_, watch)| !watch.named).map(|(at, _)| at)
    }

    /// The watch that the watcher's server has named so.
    fn named_watch(&self, watcher: &Address, name: &str) -> Option<usize> {
        self.watches.of(watcher).find(|(_, watch)| watch.name() == Some(name)).map(|(at, _)| at)
    }

    /// Is there a subscription of this name, and is it to stay?
    fn holds(&self, now: Tick, watcher: &Address, name: &str) -> bool {
        let watch = self.named_watch(watcher, name).and_then(|at| self.watches.get(at));
        watch.is_some_and(|watch| watch.leases.iter().any(|lease| lease.lasts(now) && !lease.ending))
    }

    /// The watch that has this lease.
    fn watch_with(&self, watcher: &Address, token: &str) -> Option<usize> {
        let has = |watch: &Watch| watch.leases.iter().any(|lease| lease.token == token);
        self.watches.of(watcher).find(|(_, watch)| has(watch)).map(|(at, _)| at)
    }

    /// Does somebody watch who has to hear of every change, also after a restart?
    pub fn is_watched_for_long(&self) -> bool {
        self.watches.iter().any(|(_, watch)| watch.is_durable())
    }

    /// Online, and the store may not know that anybody was told so.
    pub fn is_told_unnoted(&self) -> bool {
        self.is_online() && !self.told_kept
    }

    fn is_watched_by(&self, watcher: &Address) -> bool {
        self.watches.of(watcher).next().is_some()
    }

    /// Adds a lease; the watcher counts as told `told`. True if he watches for the first time. One who
    /// watches already has other endpoints, perhaps, that have yet to hear what this one is told.
    pub fn add_lease(
        &mut self,
        now: Tick,
        inbound: Inbound,
        expires: Option<Tick>,
        durable: bool,
        told: u64,
    ) -> bool {
        let Inbound { watcher, token, named, .. } = inbound;
        let first = !self.is_watched_by(&watcher);
        let same = if named { self.named_watch(&watcher, &token) } else { self.shared_watch(&watcher) };
        let mut lease = Held { token: token.into(), expires, durable, ending: false, crossing: false };
        if let Some(watch) = same.and_then(|at| self.watches.get_mut(at)) {
            lease.crossing = matches!(watch.telling, Telling::Asked { .. });
            if matches!(watch.telling, Telling::Again { .. }) {
                // His server is there again: what he could not be told is not put off any longer.
                watch.telling = Telling::Quiet;
                watch.leases.push(lease);
                return false;
            }
            if watch.telling == Telling::Quiet {
                if named || !watch.is_live(now) {
                    watch.told = told;
                }
                watch.owed = false;
            }
            if named {
                watch.leases.clear();
            }
            watch.leases.push(lease);
            return false;
        }
        self.serial = self.serial.wrapping_add(1);
        let leases = smallvec![lease];
        let serial = self.serial;
        self.watches.insert(Watch {
            watcher,
            serial,
            named,
            leases,
            told,
            telling: Telling::Quiet,
            owed: false,
            here: None,
            mapping: Cell::default(),
        });
        first
    }

    /// The earliest moment at which something about his watchers or those he watches is due.
    pub fn next_due(&self) -> Option<Tick> {
        let leases = self
            .watches
            .iter()
            .filter(|_| self.is_online())
            .flat_map(|(_, watch)| &watch.leases)
            .filter_map(|lease| lease.expires);
        let again = self.watches.iter().filter_map(|(_, watch)| match watch.telling {
            Telling::Again { at, .. } => Some(at),
            Telling::Quiet | Telling::Asked { .. } => None,
        });
        let watching = self.watching.iter().filter_map(|watching| watching.next_due());
        leases.chain(again).chain(watching).chain(self.held_until).min()
    }
}

impl Hub {
    /// Grants a subscription, once it is on the disk (SIMP-5.3-3 to SIMP-5.3-7, PITP-15.11-2). One that is ending
    /// is none any more: the new one of its name is written down after its end.
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        watcher: Address,
        asked: Asked,
        out: &mut impl Outlet,
    ) {
        if let Some(name) = &asked.name
            && let Some(waiting) = self.granting.waiting(key, &watcher, name)
        {
            return waiting.push((origin, Next::Subscribe(asked)));
        }
        let longest = limits::LEASE.as_millis() as i64;
        let millis = match asked.lease {
            Lease::Longest => Some(longest),
            Lease::Millis(millis) => Some(millis.min(longest)),
            Lease::Open => None,
        };
        let token = asked.name.is_none().then(|| self.random_token());
        let Some(account) = self.accounts.get_mut(key) else { return };
        let presentity = account.address.clone();
        let again = asked.name.as_ref().is_some_and(|name| account.holds(now.tick, &watcher, name));
        let refusal = if millis.is_some_and(|millis| millis <= 0) {
            Some(Refusal::Malformed)
        } else {
            let granting = self.granting.of(key);
            let room = again || account.makes_room_for(now.tick, &watcher, asked.name.is_some(), granting);
            (!room).then_some(Refusal::QuotaExceeded)
        };
        if let Some(refusal) = refusal {
            let answer = Answer::refused(refusal);
            return self.reply(now, origin, Kind::Subscribe, &watcher, &presentity, answer, out);
        }
        // What ends with a connection or an online period of one of our own users need not be remembered.
        let named = asked.name.is_some();
        let ours = self.domains.contains(watcher.domain());
        let errand = matches!(origin, Origin::Hub(Errand::Watch { .. }));
        let durable = !(errand || named && ours);
        let token = asked.name.or(token).unwrap_or_default();
        let expires = millis.map(|millis| Date(self.calendar.date(now.tick).0.saturating_add(millis)));
        let inbound = Inbound { watcher, token, expires, named };
        if durable && (!again || account.is_told_unnoted()) {
            self.granting.begin(key, &inbound);
            self.write_grant(key, origin, inbound, millis);
        } else {
            self.subscribed(now, key, origin, inbound, millis, durable, out);
        }
    }

    /// Writes a subscription down. Whoever is granted it hears that he is online: a restart has to know, if it
    /// comes right behind.
    pub(super) fn write_grant(
        &mut self,
        key: AccountKey,
        origin: Origin,
        inbound: Inbound,
        millis: Option<i64>,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.unsettled += 1;
        let (id, online) = (account.id, account.online());
        if account.is_told_unnoted() || online.is_some() && account.told_online != online {
            self.set_told_online(key, online);
        }
        let write = Write::AddInbound { account: id, inbound: inbound.clone() };
        self.write(write, Then::Subscribed { key, origin, inbound, millis });
    }

    /// The subscription is kept: from now on it counts.
    #[allow(clippy::too_many_arguments)] // what a grant consists of
    pub(super) fn subscribed(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        inbound: Inbound,
        millis: Option<i64>,
        durable: bool,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else {
            return super::orphaned(origin, Kind::Subscribe, out);
        };
        let (watcher, token) = (inbound.watcher.clone(), inbound.token.clone());
        let expires = millis.map(|millis| now.tick + Duration::from_millis(millis.max(0) as u64));
        let end = expires.filter(|_| account.is_online());
        let presentity = account.address.clone();
        let presence = account.presence_for(&watcher);
        let Some(presence) = presence.filter(|_| account.permits(&watcher, super::acl::Operation::Subscribe))
        else {
            // The owner has forbidden it while it was being written down (OC-37).
            if durable {
                let leases = vec![(watcher.clone(), token)];
                let write = Write::RemoveInbound { account: account.id, leases };
                self.write(write, Then::Nothing);
            }
            let answer = Answer::refused(Refusal::TargetRefuses);
            return self.reply(now, origin, Kind::Subscribe, &watcher, &presentity, answer, out);
        };
        let told = account.shown_to(&watcher, inbound.named);
        let known = inbound.named && account.named_watch(&watcher, &token).is_some();
        let first = account.add_lease(now.tick, inbound, expires, durable, told);
        let report = Report { presentity: presentity.clone(), presence };
        let answer = Answer::Granted { report, millis, token: token.clone().into() };
        self.reply(now, origin, Kind::Subscribe, &watcher, &presentity, answer, out);
        if first {
            self.tell(key, News::WatcherCame(&watcher), out);
        } else {
            self.mark_dirty(key);
        }
        if !known {
            self.tell(key, News::Subscribed(&watcher, &token), out);
        }
        if let Some(end) = end {
            self.schedule_at(now, key, end);
        }
        self.note_told(key);
        self.ask_back(now, key, &watcher, out);
    }

    /// Ends a subscription for its watcher (SIMP-5.4-3, SIMP-5.4-4, PITP-15.15-2).
    pub(super) fn unsubscribe(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        watcher: Address,
        token: &str,
        out: &mut impl Outlet,
    ) {
        if let Some(waiting) = self.granting.waiting(key, &watcher, token) {
            // It crosses its own beginning, and ends it when that is done.
            return waiting.push((origin, Next::Unsubscribe));
        }
        let Some(account) = self.accounts.get_mut(key) else { return };
        let watch = account.watch_with(&watcher, token).and_then(|at| account.watches.get_mut(at));
        let lease = watch.and_then(|watch| {
            watch.leases.iter_mut().find(|l| l.token == token && !l.ending && l.lasts(now.tick))
        });
        let Some(lease) = lease else {
            let presentity = account.address.clone();
            let answer = Answer::refused(Refusal::NotSubscribed);
            return self.reply(now, origin, Kind::Unsubscribe, &watcher, &presentity, answer, out);
        };
        lease.ending = true;
        let (durable, token) = (lease.durable, lease.token.to_string());
        if durable {
            let leases = vec![(watcher.clone(), token.clone())];
            let write = Write::RemoveInbound { account: account.id, leases };
            account.unsettled += 1;
            self.write(write, Then::Unsubscribed { key, origin, watcher, token });
        } else {
            self.unsubscribed(now, key, origin, watcher, &token, true, out);
        }
    }

    /// The end of a subscription is committed, or could not be.
    #[allow(clippy::too_many_arguments)] // what an end consists of
    pub(super) fn unsubscribed(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        watcher: Address,
        token: &str,
        done: bool,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let presentity = account.address.clone();
        if !done
            && let Some(at) = account.watch_with(&watcher, token)
            && let Some(watch) = account.watches.get_mut(at)
        {
            watch.leases.iter_mut().filter(|l| l.token == token).for_each(|l| l.ending = false);
        }
        let answer = if done { Answer::done() } else { Answer::refused(Refusal::Resources) };
        self.reply(now, origin, Kind::Unsubscribe, &watcher, &presentity, answer, out);
        if done {
            self.lease_gone(key, &watcher, token, out);
        }
    }

    /// A lease is over, in memory; whoever wants to know of the user's watchers does. True if its watch is
    /// over with it.
    fn lease_gone(&mut self, key: AccountKey, watcher: &Address, token: &str, out: &mut impl Outlet) -> bool {
        let Some(account) = self.accounts.get_mut(key) else { return false };
        let Some(at) = account.watch_with(watcher, token) else { return false };
        let Some(watch) = account.watches.get_mut(at) else { return false };
        watch.leases.retain(|lease| lease.token != token);
        let last = watch.leases.is_empty();
        if last {
            account.watches.remove(at);
        }
        let gone = !account.is_watched_by(watcher);
        self.tell(key, News::Unsubscribed(watcher, token), out);
        if gone {
            self.tell(key, News::WatcherWent(watcher), out);
        }
        last
    }

    /// The owner throws a watcher out (SIMP-10.1-2): all his leases end (OC-55), or only the one of this token
    /// (PITP-15.13-3).
    pub fn drop_watcher(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        watcher: &Address,
        token: Option<&str>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let owner = account.address.clone();
        let leases: Vec<_> = account
            .watches
            .of(watcher)
            .flat_map(|(_, watch)| &watch.leases)
            .filter(|lease| token.is_none_or(|token| lease.token == token))
            .map(|lease| (watcher.clone(), lease.token.to_string()))
            .collect();
        if leases.is_empty() {
            let answer = Answer::refused(Refusal::NotSubscribed);
            return self.reply(now, origin, Kind::Own, &owner, &owner, answer, out);
        }
        account.unsettled += 1;
        let write = Write::RemoveInbound { account: account.id, leases };
        let token = token.map(str::to_owned);
        self.write(write, Then::Dropped { key, origin, watcher: watcher.clone(), token });
    }

    /// The dropping is committed: the owner has his answer, the watcher and the owner's endpoints learn of it.
    pub(super) fn dropped(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        watcher: &Address,
        token: Option<&str>,
        out: &mut impl Outlet,
    ) {
        let Some(owner) = self.accounts.get(key).map(|account| account.address.clone()) else { return };
        self.reply(now, origin, Kind::Own, &owner, &owner, Answer::done(), out);
        match token {
            Some(token) => self.end_lease(now, key, watcher, token, out),
            // Also what he has got meanwhile.
            None => self.end_watches(now, key, out, |_, watch| watch.watcher == *watcher),
        }
    }

    /// Ends a lease, and tells its watcher if it was the last of its watch.
    fn end_lease(
        &mut self,
        now: Now,
        key: AccountKey,
        watcher: &Address,
        token: &str,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        let watch = account.watch_with(watcher, token).and_then(|at| account.watches.get(at));
        let Some(named) = watch.map(|watch| watch.named) else { return };
        // Who may not see anything any more is not told what there is now.
        let presence = account.presence_for(watcher).unwrap_or_else(Presence::unknown);
        let report = Report { presentity: account.address.clone(), presence };
        if self.lease_gone(key, watcher, token, out) {
            let from = self.notifier(report.presentity.domain());
            let named = named || !self.domains.contains(watcher.domain());
            let notice = Notice { report, name: named.then(|| token.to_owned().into()) };
            let end = Envelope::ours(from, watcher.clone(), Request::End(notice));
            self.request(now, Origin::Nobody, end, out);
        }
    }

    /// A watcher wants no news: he is forgotten with all his leases, in memory and in the store, and the owner is
    /// told. What he has asked for since is for the news to come: that he is told.
    pub(super) fn forget_watch(&mut self, key: AccountKey, at: usize, out: &mut impl Outlet) {
        for (watcher, token) in self.strike_out(key, at, |lease| !lease.crossing) {
            self.lease_gone(key, &watcher, &token, out);
        }
        self.mark_dirty(key);
    }

    /// Ends a watch, in memory and in the store, and tells its watcher (SIMP-6.2-2, PITP-15.9-4).
    fn end_watch(&mut self, now: Now, key: AccountKey, at: usize, out: &mut impl Outlet) {
        for (watcher, token) in self.strike_out(key, at, |_| true) {
            self.end_lease(now, key, &watcher, &token, out);
        }
    }

    /// Takes these leases of a watch out of the store, and gives them: each is still in memory.
    fn strike_out(
        &mut self,
        key: AccountKey,
        at: usize,
        which: impl Fn(&Held) -> bool,
    ) -> Vec<(Address, String)> {
        let Some(account) = self.accounts.get(key) else { return Vec::new() };
        let Some(watch) = account.watches.get(at) else { return Vec::new() };
        let named = |lease: &Held| (watch.watcher.clone(), lease.token.to_string());
        let ended = || watch.leases.iter().filter(|lease| which(lease));
        let all: Vec<_> = ended().map(named).collect();
        let leases: Vec<_> = ended().filter(|l| l.durable && !l.ending).map(named).collect();
        if !leases.is_empty() {
            let write = Write::RemoveInbound { account: account.id, leases };
            self.write(write, Then::Nothing);
        }
        all
    }

    /// Ends every subscription that would not be granted any more (OC-37, PITP-15.8-5).
    pub(super) fn end_refused_watches(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        self.end_watches(now, key, out, |account, watch| {
            !account.permits(&watch.watcher, super::acl::Operation::Subscribe)
        });
    }

    /// Ends all subscriptions to an account that goes away.
    pub(super) fn end_all_watches(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        self.end_watches(now, key, out, |_, _| true);
    }

    fn end_watches(
        &mut self,
        now: Now,
        key: AccountKey,
        out: &mut impl Outlet,
        ends: impl Fn(&Account, &Watch) -> bool,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        let ending: Vec<_> =
            account.watches.iter().filter(|(_, watch)| ends(account, watch)).map(|(at, _)| at).collect();
        for at in ending {
            self.end_watch(now, key, at, out);
        }
    }

    /// The list of present watchers, for an endpoint that has just come (SIMP-6.3-3).
    pub(super) fn watchers(&self, now: Now, key: AccountKey) -> Vec<Address> {
        let Some(account) = self.accounts.get(key) else { return Vec::new() };
        let mut watchers: Vec<Address> = Vec::new();
        for (_, watch) in account.watches.iter().filter(|(_, w)| w.is_live(now.tick)) {
            // Only those who hold several can be on it twice.
            if !watch.named || !watchers.contains(&watch.watcher) {
                watchers.push(watch.watcher.clone());
            }
        }
        watchers
    }

    /// From now on this endpoint hears who watches its user (PITP-15.10-2); this is who does now, with what
    /// each subscription is called (PITP-15.10-3).
    pub fn watchers_wanted(&mut self, now: Now, id: EndpointId) -> Vec<(Address, String)> {
        let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { return Vec::new() };
        let key = endpoint.account;
        let Some(watcher) = endpoint.watcher_mut() else { return Vec::new() };
        watcher.wants_watchers = true;
        let Some(account) = self.accounts.get(key) else { return Vec::new() };
        let leases = account.watches.iter().flat_map(|(_, watch)| {
            let lasting = watch.leases.iter().filter(|lease| lease.lasts(now.tick) && !lease.ending);
            lasting.map(|lease| (watch.watcher.clone(), lease.token.to_string()))
        });
        leases.collect()
    }

    /// Arms the account's timer for whatever is due first.
    pub(super) fn schedule(&mut self, now: Now, key: AccountKey) {
        let due = self.accounts.get(key).and_then(|account| account.next_due());
        if let Some(due) = due {
            self.schedule_at(now, key, due);
        }
    }

    /// Arms it for something that is due then, and was not before.
    pub(super) fn schedule_at(&mut self, now: Now, key: AccountKey, due: Tick) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        // What is due already is looked at a moment later.
        let due = due.max(now.tick + Duration::from_millis(1));
        if account.timer.is_none_or(|armed| due < armed) {
            account.timer = Some(due);
            self.timers.arm(due, super::Due::Account(key));
        }
    }

    /// The account's timer has come: leases end, notifications repeat, contacts are renewed, a divert is over.
    pub(super) fn account_due(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.timer.is_none_or(|armed| armed > now.tick) {
            return;
        }
        account.timer = None;
        let mut over = Vec::new();
        let mut again = Vec::new();
        for (at, watch) in account.watches.iter() {
            let ended = watch.leases.iter().filter(|lease| !lease.lasts(now.tick) && !lease.ending);
            over.extend(ended.map(|lease| (watch.watcher.clone(), lease.token.to_string())));
            if let Telling::Again { at: due, tries } = watch.telling
                && due <= now.tick
            {
                again.push((at as u32, tries));
            }
        }
        for (watcher, token) in over {
            self.lease_gone(key, &watcher, &token, out);
        }
        for (watch, tries) in again {
            self.notify(now, key, watch, tries, out);
        }
        self.contacts_due(now, key, out);
        self.divert_due(now, key, out);
        self.schedule(now, key);
    }
}
