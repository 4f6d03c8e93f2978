//! Whom our users watch, here and elsewhere: for a client that keeps its subscription itself, for a contact
//! list, or for one endpoint as long as it is there. All are remembered, so that news that was asked for can be
//! told from news of strangers (OC-04), and is given to those who asked.

use std::num::NonZeroU64;
use std::time::Duration;

use compact_str::CompactString;

use super::account::{Account, AccountKey};
use super::address::Address;
use super::delivery::Holders;
use super::op::{
    Answer, EndpointId, Envelope, Handle, Lease, Native, Notice, Origin, Presence, Refusal, Reply, Report,
    Request, Trail,
};
use super::subscription::{Holder, Watching, WatchingState, mark_of_presence};
use super::{Errand, Hub, Kind, Outlet, Then};
use crate::clock::Now;
use crate::limits;
use crate::store::record::{Outbound, Outcome, Write};

/// Which of a user's subscriptions to a presentity something is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which<'a> {
    /// All: what tells it has no names for them.
    Any,
    /// Those that share what they are told: all but those of single endpoints.
    Shared,
    /// Those with a lease: they are told as one, by the token of any of them.
    Leased,
    /// The one of this name.
    Named(&'a str),
}

impl Which<'_> {
    fn is(self, watching: &Watching) -> bool {
        match self {
            Which::Any => true,
            Which::Shared => !matches!(watching.holder, Holder::Endpoint(_)),
            Which::Leased => watching.expires.is_some() && !watching.unleased,
            Which::Named(name) => watching.token == name,
        }
    }
}

/// Who waits for an answer, and his name for what he has asked.
pub(super) type Waiter = (Handle, CompactString);

/// How a client has asked: in its family's own form, and over what way.
type Way<'a> = (Option<Native<'a>>, Trail<'a>);

/// Between two tries to reach the server of a contact: doubled each time, up to 16 times.
const RETRY: Duration = Duration::from_secs(60);

impl Hub {
    /// An endpoint wants to watch somebody, until it says otherwise or is gone (PITP-15.11-2). Asked again it is
    /// shown the present state again (TOC-79).
    pub fn watch(
        &mut self,
        now: Now,
        waiter: Waiter,
        id: EndpointId,
        presentity: Address,
        way: Way<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(endpoint) = self.endpoints.get(id.0 as usize) else {
            return refuse(&waiter, &presentity, Refusal::NotFound, out);
        };
        let Some(watcher) = endpoint.watcher() else {
            return refuse(&waiter, &presentity, Refusal::Unsupported, out);
        };
        let (key, token, holder) = (endpoint.account, watcher.token.clone(), Holder::Endpoint(id));
        let Some(account) = self.accounts.get_mut(key) else {
            return refuse(&waiter, &presentity, Refusal::NotFound, out);
        };
        let room = account.watching.len() < limits::SUBSCRIPTIONS_PER_ACCOUNT;
        match account.watching_mut(holder, &presentity) {
            Some(watching) => {
                watching.waiting.push(waiter);
                if matches!(watching.state, WatchingState::Asking { .. }) {
                    return;
                }
            }
            None if room => {
                let mut watching = Watching::asking(presentity.clone(), holder, token.into());
                watching.waiting.push(waiter);
                account.watching.insert(watching);
            }
            None => return refuse(&waiter, &presentity, Refusal::QuotaExceeded, out),
        }
        self.ask_by(now, key, holder, presentity, 0, way, out);
    }

    /// An endpoint wants no more of somebody it watches (PITP-15.15-2).
    pub fn unwatch(
        &mut self,
        now: Now,
        (handle, tag): Waiter,
        id: EndpointId,
        presentity: Address,
        (native, trail): Way<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(key) = self.endpoints.get(id.0 as usize).map(|endpoint| endpoint.account) else { return };
        let Some(account) = self.accounts.get_mut(key) else { return };
        let from = account.address.clone();
        let token = match account.take_watching(Holder::Endpoint(id), &presentity) {
            Some(watching) => {
                overtaken(watching.waiting, &presentity, out);
                if !self.domains.contains(presentity.domain()) {
                    let lease = (watching.token.into(), watching.expires);
                    return self.end_for(now, key, (handle, tag), presentity, lease, (native, trail), out);
                }
                watching.token.into()
            }
            // That there is none is the presentity's server's to say.
            None => self.token_of(id).unwrap_or_default(),
        };
        let request = Request::Unsubscribe { token: token.into() };
        let origin = Origin::Peer { handle, tag };
        self.request(now, origin, Envelope { to: presentity, from, request, native, trail }, out);
    }

    /// An endpoint is gone, and with it all that it watches (PITP-15.11-5).
    pub(super) fn unwatch_all(&mut self, now: Now, key: AccountKey, id: EndpointId, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let holder = Holder::Endpoint(id);
        let held = account.watching.iter().filter(|w| w.holder == holder);
        let presentities: Vec<_> = held.map(|w| w.presentity.clone()).collect();
        for presentity in presentities {
            self.give_up(now, key, holder, &presentity, out);
        }
    }

    pub(super) fn give_up(
        &mut self,
        now: Now,
        key: AccountKey,
        holder: Holder,
        presentity: &Address,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(watching) = account.take_watching(holder, presentity) else { return };
        overtaken(watching.waiting, presentity, out);
        if !watching.token.is_empty() {
            let lease = (watching.token.into(), watching.expires);
            self.end_own(now, key, watching.presentity, lease, out);
        }
    }

    /// Ends a subscription that nobody here wants any more; nobody waits for the answer.
    pub(super) fn end_foreign(
        &mut self,
        now: Now,
        from: Address,
        to: Address,
        token: String,
        out: &mut impl Outlet,
    ) {
        let request = Request::Unsubscribe { token: token.into() };
        self.request(now, Origin::Nobody, Envelope::ours(from, to, request), out);
    }

    /// Asks the presentity's server, which may be this one.
    pub(super) fn ask(
        &mut self,
        now: Now,
        key: AccountKey,
        holder: Holder,
        presentity: Address,
        tries: u8,
        out: &mut impl Outlet,
    ) {
        self.ask_by(now, key, holder, presentity, tries, (None, Trail::OURS), out);
    }

    /// The same, for somebody who has said it in his own way.
    #[allow(clippy::too_many_arguments)] // who asks for what, and how
    fn ask_by(
        &mut self,
        now: Now,
        key: AccountKey,
        holder: Holder,
        presentity: Address,
        tries: u8,
        (native, trail): Way<'_>,
        out: &mut impl Outlet,
    ) {
        let here = self.domains.contains(presentity.domain());
        let (lease, name) = match holder {
            Holder::Endpoint(id) => (Lease::Open, self.token_of(id)),
            // A server elsewhere may be one that gives out no tokens: it gets a name from us.
            Holder::Client | Holder::List => (Lease::Longest, (!here).then(|| self.random_token())),
        };
        let name = name.map(Into::into);
        let Some(account) = self.accounts.get_mut(key) else { return };
        let from = account.address.clone();
        let Some(watching) = account.watching_mut(holder, &presentity) else { return };
        watching.state = WatchingState::Asking { tries };
        self.asks = self.asks.wrapping_add(1);
        watching.ask = self.asks;
        let origin = Origin::Hub(Errand::Watch { key, holder, ask: self.asks });
        let request = Request::Subscribe { lease, name };
        self.request(now, origin, Envelope { to: presentity, from, request, native, trail }, out);
    }

    /// The server of somebody who is watched for a contact list or an endpoint has answered. `ask`: which request.
    pub(super) fn watching_answered(
        &mut self,
        now: Now,
        key: AccountKey,
        (holder, ask): (Holder, u32),
        presentity: &Address,
        reply: Reply<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Account { watching, contacts, .. } = &mut *account;
        let watching = watching.of_mut(presentity).iter_mut().find(|w| w.holder == holder);
        let Some((watching, tries)) = watching.and_then(|watching| match watching.state {
            WatchingState::Asking { tries } if watching.ask == ask => Some((watching, tries)),
            _ => None,
        }) else {
            // He is not wanted any more, or has been asked for anew since.
            if let Answer::Granted { millis, token, .. } = &reply.answer
                && !account.has_given_up(holder, presentity, *millis, token)
            {
                let expires = millis.map(|millis| now.tick + Duration::from_millis(millis.max(0) as u64));
                self.end_own(now, key, presentity.clone(), (token.to_string(), expires), out);
            }
            return;
        };
        let waiting = std::mem::take(&mut watching.waiting);
        match &reply.answer {
            Answer::Granted { report, millis, token } if token.len() <= limits::FOREIGN_TOKEN => {
                let lease = millis.map(|millis| Duration::from_millis(millis.max(1000) as u64));
                watching.state = WatchingState::Live { renew: lease.map(|lease| now.tick + lease * 4 / 5) };
                let before = watching.expires;
                let known = watching.granted && before.is_none() && lease.is_none();
                watching.expires = lease.map(|lease| now.tick + lease);
                watching.granted = true;
                if let Some((known, _)) = self.names.get_key_value(presentity) {
                    // He is a user of ours: his name need not be in memory twice.
                    watching.presentity = known.clone();
                    if let Ok(at) = contacts.binary_search(presentity)
                        && let Some(contact) = contacts.get_mut(at)
                    {
                        *contact = known.clone();
                    }
                }
                let old = std::mem::replace(&mut watching.token, CompactString::from(&**token));
                let report = Report { presentity: presentity.clone(), presence: report.presence.clone() };
                if !waiting.is_empty() {
                    watching.seen = Some(mark_of_presence(&report.presence));
                }
                if !known || old != *token {
                    self.note(key, holder, presentity);
                }
                // One lease is enough: the watcher's server has room for a few only.
                if before.is_some() && !old.is_empty() && old != *token {
                    self.end_own(now, key, presentity.clone(), (old.into(), before), out);
                }
                if waiting.is_empty() {
                    self.show(now, key, holder, report, out);
                }
            }
            Answer::Refused { refusal, .. } if is_passing(*refusal) && waiting.is_empty() => {
                let at = now.tick + RETRY * (1 << u32::from(tries.min(4)));
                watching.state = WatchingState::Again { at, tries: tries.saturating_add(1) };
            }
            // What was granted before and asked for again is still granted, as far as we know.
            Answer::Refused { refusal, .. } if is_passing(*refusal) && watching.granted => {
                let renew = watching.expires.map(|_| now.tick + RETRY);
                watching.state = WatchingState::Live { renew };
            }
            _ if holder == Holder::List => watching.state = WatchingState::Refused,
            _ => {
                let token = account.take_watching(holder, presentity).map(|watching| watching.token.into());
                self.unnote(key, presentity, token.unwrap_or_default());
                if waiting.is_empty() {
                    self.say_ended(now, key, holder, presentity, out);
                }
            }
        }
        for (handle, tag) in waiting {
            out.answer(handle, &tag, Kind::Subscribe, presentity, &reply);
        }
        let account = self.accounts.get(key);
        let due = account.and_then(|account| account.watching(holder, presentity)?.next_due());
        if let Some(due) = due {
            self.schedule_at(now, key, due);
        }
    }

    /// An endpoint hears that what it watches has come to an end without its doing.
    fn say_ended(
        &mut self,
        now: Now,
        key: AccountKey,
        holder: Holder,
        presentity: &Address,
        out: &mut impl Outlet,
    ) {
        let Holder::Endpoint(id) = holder else { return };
        let Some(account) = self.accounts.get(key) else { return };
        let report = Report { presentity: presentity.clone(), presence: Presence::unknown() };
        let from = Address::of(super::op::NOTIFIER, presentity.domain());
        let notice = Notice { report, name: self.token_of(id).map(Into::into) };
        let end = Envelope::ours(from, account.address.clone(), Request::End(notice));
        let to = super::delivery::To::Watchers(Holders::one(id));
        self.fan_out(now, Origin::Nobody, key, to, end, out);
    }

    /// What the subscriptions of an endpoint are named.
    fn token_of(&self, id: EndpointId) -> Option<String> {
        let watcher = self.endpoints.get(id.0 as usize)?.watcher()?;
        Some(watcher.token.clone())
    }

    /// The timer of the account: leases that want renewal, servers that are tried again.
    pub(super) fn contacts_due(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        self.end_unleased(now, key, out);
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.watching.retain(|w| w.holder != Holder::Client || w.lasts(now.tick));
        let due: Vec<_> = account
            .watching
            .iter()
            .filter_map(|w| match w.state {
                WatchingState::Live { renew: Some(at) } if at <= now.tick => {
                    Some((w.holder, w.presentity.clone(), 0))
                }
                WatchingState::Again { at, tries } if at <= now.tick => {
                    Some((w.holder, w.presentity.clone(), tries))
                }
                _ => None,
            })
            .collect();
        for (holder, presentity, tries) in due {
            self.ask(now, key, holder, presentity, tries, out);
        }
    }

    /// Leases that only we know of have run out: the presentities' servers are told that it is over.
    fn end_unleased(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let from = account.address.clone();
        for over in account.watching.extract(|w| w.unleased && !w.lasts(now.tick)) {
            self.end_foreign(now, from.clone(), over.presentity, over.token.into(), out);
        }
    }

    /// A user's own subscription was granted: it is remembered before he hears of it. `asked`: the lease that he
    /// has asked for.
    #[allow(clippy::too_many_arguments)] // what a grant consists of
    pub(super) fn remember_granted(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        presentity: Address,
        asked: Option<i64>,
        mut reply: Reply<'static>,
        out: &mut impl Outlet,
    ) {
        let Answer::Granted { millis, token, .. } = &mut reply.answer else { return };
        // A client that asked for a lease is given one, also where the other server knows of none: its end
        // ends the subscription (OC-40).
        let unleased = millis.is_none();
        let longest = limits::LEASE.as_millis() as i64;
        let lease = millis.unwrap_or(asked.unwrap_or(longest).min(longest)).max(0);
        *millis = Some(lease);
        let token = token.to_string();
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.watching.len() >= limits::SUBSCRIPTIONS_PER_ACCOUNT || token.len() > limits::FOREIGN_TOKEN
        {
            let watcher = account.address.clone();
            self.end_foreign(now, watcher, presentity.clone(), token, out);
            if let Origin::Peer { handle, tag } = origin {
                refuse(&(handle, tag), &presentity, Refusal::QuotaExceeded, out);
            }
            return;
        }
        let expires = now.tick + Duration::from_millis(lease as u64);
        let outbound =
            Outbound { presentity, token, expires: Some(self.calendar.date(expires)), automatic: false };
        // Leases that have run out are forgotten here, so that the list can't grow for ever.
        account.watching.retain(|w| w.holder != Holder::Client || w.lasts(now.tick));
        // News is let in from now on: the other side does not wait for our disk.
        let watching = Watching {
            unleased,
            expires: Some(expires),
            ..Watching::kept(now, &self.calendar, outbound.clone())
        };
        let due = watching.next_due();
        account.watching.insert(watching);
        account.unsettled += 1;
        let write = Write::PutOutbound { account: account.id, outbound: outbound.clone() };
        self.write(write, Then::Remembered { key, origin, outbound, reply: Box::new(reply) });
        if let Some(due) = due {
            self.schedule_at(now, key, due);
        }
    }

    /// It could not be written down: it is not kept here, and ended there.
    pub(super) fn not_remembered(
        &mut self,
        now: Now,
        key: AccountKey,
        outbound: Outbound,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.watching.retain_of(&outbound.presentity, |w| w.token != outbound.token);
        let watcher = account.address.clone();
        self.end_foreign(now, watcher, outbound.presentity, outbound.token, out);
    }

    /// A user's own subscription has ended: by him (with its token) or by the presentity's side. Gives what has to
    /// be written down for it.
    pub(super) fn forget_outbound(
        &mut self,
        key: AccountKey,
        presentity: &Address,
        token: Option<&str>,
    ) -> Vec<Write> {
        let Some(account) = self.accounts.get_mut(key) else { return Vec::new() };
        let over = |w: &Watching| w.holder == Holder::Client && token.is_none_or(|token| token == w.token);
        let id = account.id;
        let watched = account.watching.of(presentity).iter().filter(|w| over(w));
        let writes = watched.map(|w| Write::RemoveOutbound {
            account: id,
            presentity: presentity.clone(),
            token: Some(w.token.to_string()),
        });
        let writes = writes.collect();
        account.watching.retain_of(presentity, |w| !over(w));
        writes
    }

    /// A user ends a subscription of his own elsewhere: it is forgotten here first, so that nothing is left of it
    /// when its end is acknowledged. Gives the request back if there is nothing to forget.
    pub(super) fn forget_first<'e>(
        &mut self,
        origin: Origin,
        envelope: Envelope<'e>,
    ) -> Option<(Origin, Envelope<'e>)> {
        let Request::Unsubscribe { token } = &envelope.request else { return Some((origin, envelope)) };
        let key = self.loaded(&envelope.from).filter(|_| matches!(origin, Origin::Peer { .. }));
        let Some(account) = key.and_then(|key| self.accounts.get_mut(key)) else {
            return Some((origin, envelope));
        };
        let is_it = |w: &Watching| w.holder == Holder::Client && w.token == *token;
        let (Some(key), true) = (key, account.watching.of(&envelope.to).iter().any(is_it)) else {
            return Some((origin, envelope));
        };
        account.unsettled += 1;
        let (account, presentity, token) = (account.id, envelope.to.clone(), Some(token.to_string()));
        let envelope = Box::new(envelope.into_owned());
        let write = Write::RemoveOutbound { account, presentity, token };
        self.write(write, Then::Forgotten { key, origin, envelope });
        None
    }

    /// It is forgotten, or could not be: then nothing has changed.
    pub(super) fn forgotten(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        envelope: Envelope<'static>,
        outcome: Option<Outcome>,
        out: &mut impl Outlet,
    ) {
        if outcome.is_none() {
            let answer = Answer::refused(Refusal::Resources);
            return self.reply(now, origin, Kind::Unsubscribe, &envelope.from, &envelope.to, answer, out);
        }
        if let Request::Unsubscribe { token } = &envelope.request {
            // It is out of the store already.
            self.forget_outbound(key, &envelope.to, Some(token));
        }
        self.request_remote(now, origin, Kind::Unsubscribe, envelope, out);
    }

    /// The presentity's side has ended what was watched for the user: for his contact list it is asked for
    /// again after a while; an endpoint is told.
    pub(super) fn contact_ended(
        &mut self,
        now: Now,
        key: AccountKey,
        presentity: &Address,
        which: Which<'_>,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let is_it = |w: &Watching| which.is(w);
        // Where somebody waits to hear whether it was granted anew, that answer is still to come.
        let over = |w: &Watching| is_it(w) && matches!(w.holder, Holder::Endpoint(_)) && w.waiting.is_empty();
        let gone = account.watching.of(presentity).iter().filter(|w| over(w)).map(|w| w.token.to_string());
        let mut gone: Vec<String> = gone.collect();
        account.watching.retain_of(presentity, |w| !over(w));
        let left = account.watching.of_mut(presentity);
        left.iter_mut().filter(|w| is_it(w)).for_each(|w| w.granted = false);
        if let Some(watching) = left.iter_mut().find(|w| w.holder == Holder::List && is_it(w)) {
            let at = now.tick + RETRY;
            gone.push(std::mem::take(&mut watching.token).into());
            watching.state = WatchingState::Again { at, tries: 1 };
            self.schedule_at(now, key, at);
        }
        for token in gone {
            self.unnote(key, presentity, token);
        }
    }
}

/// May the same be granted a little later?
pub(super) fn is_passing(refusal: Refusal) -> bool {
    use Refusal::{Communications, NoAnswer, NoSuchDomain, QuotaExceeded, Resources};
    matches!(refusal, Communications | NoSuchDomain | NoAnswer | Resources | QuotaExceeded)
}

/// Those who waited for a subscription that was ended before it was granted.
fn overtaken(waiting: Vec<Waiter>, presentity: &Address, out: &mut impl Outlet) {
    for waiter in waiting {
        refuse(&waiter, presentity, Refusal::Communications, out);
    }
}

/// There will be no subscription to this presentity, and we say so ourselves.
fn refuse((handle, tag): &Waiter, presentity: &Address, refusal: Refusal, out: &mut impl Outlet) {
    out.answer(*handle, tag, Kind::Subscribe, presentity, &Reply::ours(Answer::refused(refusal)));
}

impl Account {
    pub fn watching(&self, holder: Holder, presentity: &Address) -> Option<&Watching> {
        self.watching.of(presentity).iter().find(|w| w.holder == holder)
    }

    fn watching_mut(&mut self, holder: Holder, presentity: &Address) -> Option<&mut Watching> {
        self.watching.of_mut(presentity).iter_mut().find(|w| w.holder == holder)
    }

    fn take_watching(&mut self, holder: Holder, presentity: &Address) -> Option<Watching> {
        self.watching.take(presentity, |w| w.holder == holder)
    }

    /// Is what was granted too late over already, or held all the same? An endpoint's subscription is ended under
    /// its name when it is given up; asked for anew it has the same one. Of a token nobody here knew before.
    fn has_given_up(&self, holder: Holder, presentity: &Address, millis: Option<i64>, token: &str) -> bool {
        let named = matches!(holder, Holder::Endpoint(_)) && millis.is_none();
        named || self.watching.of(presentity).iter().any(|w| w.token == token)
    }
}

/// What news by this name is about, among the subscriptions to one presentity. A lease that was given up a moment ago
/// may still lend its name to what is told for the others.
pub(super) fn subscription<'n>(of_it: &[Watching], name: &'n str) -> Which<'n> {
    let own = of_it.iter().any(|w| w.token == name && !Which::Leased.is(w));
    if !own && of_it.iter().any(|w| Which::Leased.is(w)) { Which::Leased } else { Which::Named(name) }
}

/// Does he watch this one, as far as we know? (OC-04, PITP-15.2-6)
pub(super) fn watches(of_it: &[Watching], which: Which<'_>, now: Now) -> bool {
    of_it.iter().any(|w| {
        which.is(w)
            && match w.state {
                WatchingState::Live { .. } => w.holder != Holder::Client || w.lasts(now.tick),
                // The other side may tell the first change before its grant has arrived.
                WatchingState::Asking { .. } => true,
                // What could not be renewed lasts as long as it was granted for.
                WatchingState::Again { .. } => w.granted && w.lasts(now.tick),
                WatchingState::Refused => false,
            }
    })
}

/// Who asked for news of this presentity?
pub(super) fn holders_of(of_it: &[Watching], which: Which<'_>) -> Holders {
    let mut holders = Holders::default();
    for watching in of_it.iter().filter(|w| which.is(w)) {
        match watching.holder {
            Holder::Client | Holder::List => holders.whole = true,
            Holder::Endpoint(id) => holders.add(id),
        }
    }
    // Nobody: it is the subscription of a client, whose grant is still on its way.
    holders.whole |= !holders.any_single();
    holders
}

/// Notes what he is about to be shown of a presentity, by its fingerprint; false if he has seen just that.
pub(super) fn saw(of_it: &mut [Watching], seen: NonZeroU64, which: Which<'_>) -> bool {
    let mut fresh = true;
    for watching in of_it.iter_mut().filter(|w| which.is(w)) {
        fresh &= watching.seen.replace(seen) != Some(seen);
    }
    fresh
}
