//! Subscriptions to the presence of our users: granting, telling, ending.
//!
//! A watcher may hold several leases on one presentity, but is told each change once. At the end of a
//! tick every account whose presence may have changed compares what each watcher was last told with
//! what is true now, so changes within a tick merge, and so do changes while a notification is on its
//! way. What a watcher was told counts from his `okay` on.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::account::{Account, AccountKey};
use super::address::Address;
use super::op::{Answer, Envelope, Lease, NOTIFIER, News, Origin, Refusal, Report, Request};
use super::transaction::Kind;
use super::{Errand, Hub, Outlet, Then};
use crate::clock::{Date, Now, Tick};
use crate::limits;
use crate::store::record::{Inbound, Outbound, Write};

/// One watcher of one of our users.
#[derive(Debug)]
pub(super) struct Watch {
    pub watcher: Address,
    leases: Vec<Held>,
    /// The presence he has said `okay` to, as a fingerprint.
    told: u64,
    telling: Telling,
    /// A user of ours who was away when he should have been told; he is told when he is back.
    owed: bool,
}

#[derive(Debug)]
struct Held {
    token: String,
    /// None: it lasts until it is ended.
    expires: Option<Date>,
    /// In the store. Those of our own users' contact lists are not: they end with the online period.
    durable: bool,
    /// Its end is being committed.
    ending: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Telling {
    /// Nothing on its way.
    Quiet,
    /// He has been told this and has not answered; so many tries went unanswered before.
    Asked { fingerprint: u64, tries: u8 },
    /// He will be told again then.
    Again { at: Tick, tries: u8 },
}

impl Held {
    fn lasts(&self, now: Date) -> bool {
        self.expires.is_none_or(|end| end > now)
    }
}

impl Watch {
    pub fn is_settled(&self) -> bool {
        self.telling == Telling::Quiet && !self.owed && self.leases.iter().all(|l| l.durable && !l.ending)
    }

    fn is_live(&self, now: Date) -> bool {
        self.leases.iter().any(|lease| lease.lasts(now))
    }
}

/// Somebody whom one of our users watches.
#[derive(Debug)]
pub(super) struct Watching {
    pub presentity: Address,
    pub token: String,
    /// None: it lasts until it is ended.
    pub expires: Option<Date>,
    /// Made by us for his contact list, not by his client.
    pub automatic: bool,
    pub state: WatchingState,
    /// The presence last passed on, as a fingerprint.
    pub seen: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WatchingState {
    /// Granted; an automatic one is renewed then.
    Live { renew: Option<Tick> },
    /// On its way.
    Asking { tries: u8 },
    /// To be asked again then.
    Again { at: Tick, tries: u8 },
    /// Refused; not asked again in this online period.
    Refused,
}

impl Watching {
    pub fn kept(outbound: Outbound) -> Watching {
        Watching {
            presentity: outbound.presentity,
            token: outbound.token,
            expires: outbound.expires,
            automatic: outbound.automatic,
            state: WatchingState::Live { renew: None },
            seen: None,
        }
    }

    pub fn is_settled(&self) -> bool {
        !self.automatic
    }

    /// Is his lease not over yet?
    pub fn lasts(&self, now: Date) -> bool {
        self.expires.is_none_or(|end| end > now)
    }
}

/// What makes two presences the same to a watcher.
pub(super) fn fingerprint(online: bool, since: Option<Date>, description: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (online, since, description).hash(&mut hasher);
    hasher.finish()
}

impl Account {
    pub fn fingerprint_of(&self, online: Option<Date>) -> u64 {
        fingerprint(online.is_some(), online, &self.description)
    }

    fn find_watch(&self, watcher: &Address) -> Option<usize> {
        self.watches.iter().find(|(_, watch)| watch.watcher == *watcher).map(|(at, _)| at)
    }

    /// Adds a lease. True if it is the pair's first: then the watcher counts as told `told`. One who
    /// watches already has other endpoints, perhaps, that have yet to hear what this one is told.
    pub fn add_lease(&mut self, now: Date, inbound: Inbound, durable: bool, told: u64) -> bool {
        let lease = Held { token: inbound.token, expires: inbound.expires, durable, ending: false };
        if let Some(watch) = self.find_watch(&inbound.watcher).and_then(|at| self.watches.get_mut(at)) {
            if watch.telling == Telling::Quiet {
                if !watch.is_live(now) {
                    watch.told = told;
                }
                watch.owed = false;
            }
            watch.leases.push(lease);
            return false;
        }
        self.watches.insert(Watch {
            watcher: inbound.watcher,
            leases: vec![lease],
            told,
            telling: Telling::Quiet,
            owed: false,
        });
        true
    }

    /// Forgets the leases that have ended while he was offline: nobody is told of those.
    pub fn forget_ended_leases(&mut self, now: Date) {
        self.watches.retain(|_, watch| {
            watch.leases.retain(|lease| lease.lasts(now) || lease.ending);
            !watch.leases.is_empty()
        });
    }

    /// The earliest moment at which something about his watchers or those he watches is due.
    fn next_due(&self, now: Now) -> Option<Tick> {
        let on_tick = |date: Date| now.tick + date.since(now.date);
        let leases = self
            .watches
            .iter()
            .filter(|_| self.is_online())
            .flat_map(|(_, watch)| &watch.leases)
            .filter_map(|lease| lease.expires.map(on_tick));
        let again = self.watches.iter().filter_map(|(_, watch)| match watch.telling {
            Telling::Again { at, .. } => Some(at),
            Telling::Quiet | Telling::Asked { .. } => None,
        });
        let watching = self.watching.iter().filter_map(|watching| match watching.state {
            WatchingState::Live { renew } => renew,
            WatchingState::Again { at, .. } => Some(at),
            WatchingState::Asking { .. } | WatchingState::Refused => None,
        });
        leases.chain(again).chain(watching).chain(self.held_until).min()
    }
}

impl Hub {
    /// Grants a subscription, once it is on the disk (SIMP-5.3-3 to SIMP-5.3-7).
    pub(super) fn subscribe(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        watcher: Address,
        lease: Lease,
        out: &mut impl Outlet,
    ) {
        let longest = limits::LEASE.as_millis() as i64;
        let millis = match lease {
            Lease::Longest => longest,
            Lease::Millis(millis) => millis.min(longest),
        };
        let token = self.random_token();
        let Some(account) = self.accounts.get_mut(key) else { return };
        let presentity = account.address.clone();
        let refusal = if millis <= 0 {
            Some(Refusal::Malformed)
        } else {
            let pair = account.find_watch(&watcher).and_then(|at| account.watches.get(at));
            let leases = pair.map_or(0, |w| w.leases.iter().filter(|l| l.lasts(now.date)).count());
            let full = account.watches.len() >= limits::SUBSCRIPTIONS_PER_ACCOUNT && pair.is_none();
            (full || leases >= limits::SUBSCRIPTIONS_PER_PAIR).then_some(Refusal::QuotaExceeded)
        };
        if let Some(refusal) = refusal {
            return self.reply(
                now,
                origin,
                Kind::Subscribe,
                &watcher,
                &presentity,
                Answer::refused(refusal),
                out,
            );
        }
        let durable = !matches!(origin, Origin::Hub(Errand::Watch { .. }));
        let expires = Date(now.date.0.saturating_add(millis));
        let inbound = Inbound { watcher, token, expires: Some(expires), named: false };
        if durable {
            let id = account.id;
            account.unsettled += 1;
            let write = Write::AddInbound { account: id, inbound: inbound.clone() };
            self.write(write, Then::Subscribed { key, origin, inbound, millis });
        } else {
            self.subscribed(now, key, origin, inbound, millis, false, out);
        }
    }

    /// The subscription is kept: from now on it counts.
    #[allow(clippy::too_many_arguments)] // what a grant consists of
    pub(super) fn subscribed(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        inbound: Inbound,
        millis: i64,
        durable: bool,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else {
            return super::orphaned(origin, Kind::Subscribe, out);
        };
        let watcher = inbound.watcher.clone();
        let token = inbound.token.clone();
        if !account.permits(&watcher, super::acl::Operation::Subscribe) {
            // The owner has forbidden it while it was being written down (OC-37).
            let presentity = account.address.clone();
            if durable {
                let write =
                    Write::RemoveInbound { account: account.id, leases: vec![(watcher.clone(), token)] };
                self.write(write, Then::Nothing);
            }
            let answer = Answer::refused(Refusal::TargetRefuses);
            return self.reply(now, origin, Kind::Subscribe, &watcher, &presentity, answer, out);
        }
        let told = account.shown;
        let first = account.add_lease(now.date, inbound, durable, told);
        let report = Report { presentity: account.address.clone(), presence: account.presence() };
        let presentity = account.address.clone();
        let answer = Answer::Granted { report, millis, token: token.into() };
        self.reply(now, origin, Kind::Subscribe, &watcher, &presentity, answer, out);
        if first {
            self.tell(key, News::WatcherCame(&watcher), out);
        } else {
            self.mark_dirty(key);
        }
        self.schedule(now, key);
        self.note_told(key);
    }

    /// Ends a subscription for its watcher (SIMP-5.4-3, SIMP-5.4-4).
    pub(super) fn unsubscribe(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        watcher: Address,
        token: &str,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let lease =
            account.find_watch(&watcher).and_then(|at| account.watches.get_mut(at)).and_then(|watch| {
                watch.leases.iter_mut().find(|l| l.token == token && !l.ending && l.lasts(now.date))
            });
        let Some(lease) = lease else {
            let presentity = account.address.clone();
            let answer = Answer::refused(Refusal::NotSubscribed);
            return self.reply(now, origin, Kind::Unsubscribe, &watcher, &presentity, answer, out);
        };
        lease.ending = true;
        let (durable, token) = (lease.durable, lease.token.clone());
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
        let mut last = false;
        if let Some(at) = account.find_watch(&watcher) {
            if let Some(watch) = account.watches.get_mut(at) {
                if done {
                    watch.leases.retain(|lease| lease.token != token);
                    last = watch.leases.is_empty();
                } else {
                    watch.leases.iter_mut().filter(|l| l.token == token).for_each(|l| l.ending = false);
                }
            }
            if last {
                account.watches.remove(at);
            }
        }
        let answer = if done { Answer::Ok("".into()) } else { Answer::refused(Refusal::Resources) };
        self.reply(now, origin, Kind::Unsubscribe, &watcher, &presentity, answer, out);
        if last {
            self.tell(key, News::WatcherWent(&watcher), out);
        }
    }

    /// The owner throws a watcher out (SIMP-10.1-2); all his leases end (OC-55).
    pub fn drop_watcher(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        watcher: &Address,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let owner = account.address.clone();
        let Some(watch) = account.find_watch(watcher).and_then(|at| account.watches.get(at)) else {
            let answer = Answer::refused(Refusal::NotSubscribed);
            return self.reply(now, origin, Kind::Own, &owner, &owner, answer, out);
        };
        let leases = watch.leases.iter().map(|lease| (watcher.clone(), lease.token.clone())).collect();
        account.unsettled += 1;
        let write = Write::RemoveInbound { account: account.id, leases };
        self.write(write, Then::Dropped { key, origin, watcher: watcher.clone() });
    }

    /// The dropping is committed: the owner has his answer, the watcher and the owner's endpoints learn of it.
    pub(super) fn dropped(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        watcher: &Address,
        out: &mut impl Outlet,
    ) {
        let Some(owner) = self.accounts.get(key).map(|account| account.address.clone()) else { return };
        self.reply(now, origin, Kind::Own, &owner, &owner, Answer::Ok("".into()), out);
        self.end_watch(now, key, watcher, out);
    }

    /// Forgets a watcher, with all his leases, and says so to him and to the owner (SIMP-6.2-2, SIMP-6.4-2).
    fn end_watch(&mut self, now: Now, key: AccountKey, watcher: &Address, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(at) = account.find_watch(watcher) else { return };
        self.forget_watch(key, at);
        let Some(account) = self.accounts.get(key) else { return };
        let report = Report { presentity: account.address.clone(), presence: account.presence() };
        let from = self.notifier(report.presentity.domain());
        let end = Envelope { to: watcher.clone(), from, request: Request::End(report), native: None };
        self.request(now, Origin::Nobody, end, out);
        self.tell(key, News::WatcherWent(watcher), out);
    }

    /// Forgets a watcher with all his leases, in memory and in the store.
    fn forget_watch(&mut self, key: AccountKey, at: usize) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(watch) = account.watches.try_remove(at) else { return };
        let watcher = watch.watcher;
        let durable = watch.leases.into_iter().filter(|l| l.durable);
        let leases: Vec<_> = durable.map(|l| (watcher.clone(), l.token)).collect();
        if !leases.is_empty() {
            let write = Write::RemoveInbound { account: account.id, leases };
            self.write(write, Then::Nothing);
        }
    }

    /// Ends every subscription that the access control list would no longer grant (OC-37).
    pub(super) fn end_refused_watches(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let refused: Vec<_> = account
            .watches
            .iter()
            .filter(|(_, watch)| !account.permits(&watch.watcher, super::acl::Operation::Subscribe))
            .map(|(_, watch)| watch.watcher.clone())
            .collect();
        for watcher in refused {
            self.end_watch(now, key, &watcher, out);
        }
    }

    /// Ends all subscriptions to an account that goes away.
    pub(super) fn end_all_watches(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let watchers: Vec<_> = account.watches.iter().map(|(_, watch)| watch.watcher.clone()).collect();
        for watcher in watchers {
            self.end_watch(now, key, &watcher, out);
        }
    }

    /// Tells every watcher who was last told something else (SIMP-6.1-3).
    pub(super) fn notify_watchers(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.dirty = false;
        if account.watches.is_empty() {
            return;
        }
        let current = account.shown;
        let due: Vec<u32> = account
            .watches
            .iter()
            .filter(|(_, w)| {
                w.told != current && !w.owed && w.telling == Telling::Quiet && w.is_live(now.date)
            })
            .map(|(at, _)| at as u32)
            .collect();
        for watch in due {
            self.notify(now, key, watch, 0, out);
        }
        self.note_told(key);
    }

    /// Tells one watcher the present state.
    fn notify(&mut self, now: Now, key: AccountKey, watch: u32, tries: u8, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let fingerprint = account.shown;
        let report = Report { presentity: account.address.clone(), presence: account.presence() };
        let Some(place) = account.watches.get_mut(watch as usize) else { return };
        place.telling = Telling::Asked { fingerprint, tries };
        let to = place.watcher.clone();
        let from = self.notifier(report.presentity.domain());
        self.counters.notifications += 1;
        let change = Envelope { to, from, request: Request::Change(report), native: None };
        self.request(now, Origin::Hub(Errand::Notify { key, watch }), change, out);
    }

    /// A watcher has answered a notification, or has not (SIMP-6.1-5 to SIMP-6.1-7, OC-43).
    pub(super) fn notified(
        &mut self,
        now: Now,
        key: AccountKey,
        at: u32,
        watcher: &Address,
        answer: &Answer<'_>,
        out: &mut impl Outlet,
    ) {
        let local = self.domains.contains(watcher.domain());
        let Some(account) = self.accounts.get_mut(key) else { return };
        let current = account.shown;
        let Some(watch) = account.watches.get_mut(at as usize).filter(|w| w.watcher == *watcher) else {
            return;
        };
        let Telling::Asked { fingerprint, tries } = watch.telling else { return };
        watch.telling = Telling::Quiet;
        match answer {
            Answer::Ok(_) => {
                watch.told = fingerprint;
                if fingerprint != current {
                    self.mark_dirty(key);
                }
                self.note_told(key);
            }
            Answer::Refused { refusal: Refusal::NoListeners, .. } if local => watch.owed = true,
            Answer::Refused {
                refusal: Refusal::NoAnswer | Refusal::Communications | Refusal::Resources,
                ..
            } if usize::from(tries) < limits::NOTIFY_RETRY.len() => {
                let at = now.tick + limits::NOTIFY_RETRY[usize::from(tries)];
                watch.telling = Telling::Again { at, tries: tries + 1 };
                self.schedule(now, key);
            }
            Answer::Refused { .. } | Answer::Described(_) | Answer::Granted { .. } => {
                self.forget_watch(key, at as usize);
                self.tell(key, News::WatcherWent(watcher), out);
            }
        }
    }

    /// A user of ours is back: presentities of ours who could not tell him something do it now.
    pub(super) fn collect_owed(&mut self, key: AccountKey) {
        let Some(account) = self.accounts.get(key) else { return };
        let watcher = account.address.clone();
        let presentities: Vec<_> = account
            .watching
            .iter()
            .filter(|w| self.domains.contains(w.presentity.domain()))
            .filter_map(|w| self.loaded(&w.presentity))
            .collect();
        for presentity in presentities {
            let Some(account) = self.accounts.get_mut(presentity) else { continue };
            let Some(watch) = account.find_watch(&watcher).and_then(|at| account.watches.get_mut(at)) else {
                continue;
            };
            if std::mem::take(&mut watch.owed) {
                self.mark_dirty(presentity);
            }
        }
    }

    /// The list of present watchers, for an endpoint that has just come (SIMP-6.3-3).
    pub(super) fn watchers(&self, now: Now, key: AccountKey) -> Vec<Address> {
        let Some(account) = self.accounts.get(key) else { return Vec::new() };
        account.watches.iter().filter(|(_, w)| w.is_live(now.date)).map(|(_, w)| w.watcher.clone()).collect()
    }

    /// Arms the account's timer for whatever is due first.
    pub(super) fn schedule(&mut self, now: Now, key: AccountKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(due) = account.next_due(now) else { return };
        // A lease whose end the wall clock has not reached yet is looked at again a moment later.
        let due = due.max(now.tick + std::time::Duration::from_millis(1));
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
        let mut gone = Vec::new();
        let mut again = Vec::new();
        for (at, watch) in account.watches.iter_mut() {
            watch.leases.retain(|lease| lease.lasts(now.date) || lease.ending);
            if watch.leases.is_empty() {
                gone.push(at);
            } else if let Telling::Again { at: due, tries } = watch.telling
                && due <= now.tick
            {
                again.push((at as u32, tries));
            }
        }
        let lapsed: Vec<_> = gone.into_iter().map(|at| account.watches.remove(at).watcher).collect();
        for watcher in &lapsed {
            self.tell(key, News::WatcherWent(watcher), out);
        }
        for (watch, tries) in again {
            self.notify(now, key, watch, tries, out);
        }
        self.contacts_due(now, key, out);
        self.divert_due(now, key, out);
        self.schedule(now, key);
    }

    /// Notes in the store that watchers may believe him online, or that none does any more, so that a restart
    /// can put it right. Only for those who are watched: nobody else is told anything.
    fn note_told(&mut self, key: AccountKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let current = account.shown;
        let mut durable = account.watches.iter().filter(|(_, w)| w.leases.iter().any(|l| l.durable));
        let since = match account.online() {
            Some(_) => account.online().filter(|_| durable.next().is_some()),
            None if durable.any(|(_, watch)| watch.told != current) => account.told_online,
            None => None,
        };
        if account.told_online != since {
            account.told_online = since;
            let write = Write::SetToldOnline { account: account.id, since };
            self.write(write, Then::Nothing);
        }
    }

    /// The server's own address in a domain (SIMP-6-2).
    pub(super) fn notifier(&self, domain: &str) -> Address {
        let known = self.notifiers.iter().find(|address| address.domain() == domain);
        known.cloned().unwrap_or_else(|| Address::of(NOTIFIER, domain))
    }
}
