//! Delivery, on one page.
//!
//! 1. A request goes to the home server of its recipient: here, or over a link to another domain.
//! 2. Here the recipient's access control list is asked first. Nobody is told more than that the
//!    recipient is not available, and a stranger is told it after the same time whatever the reason.
//! 3. A message goes at once to every live endpoint of the recipient that wants it from this sender; news
//!    of somebody's presence to those that asked for it. The first `ok` decides; if the sender can hear
//!    more than that, another endpoint has a moment to say it. Only if all refuse or fail is it refused.
//! 4. Without an endpoint a message is refused at once, unless its recipient has opted in to have
//!    messages kept: then it is kept, and answered when it is on the disk.
//! 5. Everything else (fetching, subscribing, …) the home server answers by itself.
//! 6. If the sender of a failed message is no longer there to be told, the failure is kept for his
//!    next login.

use std::borrow::Cow;

use compact_str::CompactString;
use smallvec::{SmallVec, smallvec};

use super::account::{Account, AccountKey};
use super::acl::Operation;
use super::address::Address;
use super::holding::Holding;
use super::op::{
    Answer, By, EndpointId, Envelope, Lease, NOTIFIER, News, Origin, Refusal, Reply, Report, Request, Seat,
    Thanks, TxId,
};
use super::transaction::{BEST, Kind, OK, Transaction, Waiting, worth};
use super::watching::{self, Which};
use super::{Due, Errand, Hub, Leg, Name, Outlet, Parked, Then};
use crate::clock::Now;
use crate::federation::peer;
use crate::limits;

/// An answer of the kind that the question asks for: another home server may say anything. `name` is what the
/// subscription asked for was called by us: a server that gives out no tokens grants it under that name.
fn fitting<'a>(kind: Kind, to: &Address, name: Option<&str>, answer: Answer<'a>) -> Answer<'a> {
    match (kind, answer) {
        // The presence of somebody else than was asked about.
        (Kind::Fetch | Kind::Subscribe, Answer::Described(report) | Answer::Granted { report, .. })
            if report.presentity != *to =>
        {
            Answer::refused(Refusal::NoAnswer)
        }
        (Kind::Subscribe, Answer::Granted { report, millis: None, token }) if token.is_empty() => {
            let token = Cow::Owned(name.unwrap_or_default().to_owned());
            Answer::Granted { report, millis: None, token }
        }
        (_, answer @ Answer::Refused { .. })
        | (Kind::Fetch, answer @ Answer::Described(_))
        | (Kind::Subscribe, answer @ Answer::Granted { .. }) => answer,
        // What else it says beside the presence means nothing here.
        (Kind::Fetch, Answer::Granted { report, .. }) => Answer::Described(report),
        (Kind::Fetch | Kind::Subscribe, _) => Answer::refused(Refusal::NoAnswer),
        (_, Answer::Described(_) | Answer::Granted { .. }) => Answer::refused(Refusal::Malformed),
        (_, answer @ Answer::Ok(_)) => answer,
    }
}

impl Hub {
    /// Somebody asks something of somebody. `from` is believed; the answer goes to `origin`, now or later.
    pub fn request(&mut self, now: Now, origin: Origin, envelope: Envelope<'_>, out: &mut impl Outlet) {
        let kind = Kind::from(&envelope.request);
        if kind == Kind::Message {
            self.counters.messages += 1;
        }
        if !self.domains.contains(envelope.to.domain()) {
            let Some((origin, envelope)) = self.forget_first(origin, envelope) else { return };
            return self.request_remote(now, origin, kind, envelope, out);
        }
        if let (Request::Unsubscribe { token }, Origin::Peer { .. }) = (&envelope.request, &origin)
            && let Some(key) = self.loaded(&envelope.from)
        {
            // Whatever becomes of it: who wants no more news is shown none.
            for write in self.forget_outbound(key, &envelope.to, Some(token)) {
                self.write(write, Then::Nothing);
            }
        }
        if kind == Kind::Inquire {
            let answer = Answer::Ok(Thanks::words(super::PRODUCT));
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        if envelope.to.local() == NOTIFIER {
            let answer = Answer::refused(Refusal::NotFound);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        // Before anybody looks for the account: the answer must not tell whether there is one (design 4).
        if let Request::Change(notice) | Request::End(notice) = &envelope.request
            && (envelope.from.local() != NOTIFIER
                || envelope.from.domain() != notice.report.presentity.domain())
        {
            let answer = Answer::refused(Refusal::SourceRefused);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        match self.names.get(&envelope.to) {
            Some(Name::Here(key)) => {
                let key = *key;
                self.request_here(now, origin, kind, key, envelope, out);
            }
            _ => {
                let to = envelope.to.clone();
                let envelope = Box::new(envelope.into_owned());
                let parked = Parked::Request { origin, envelope, arrived: now.tick };
                self.with_account(now, to, parked, out);
            }
        }
    }

    /// The recipient is a user of ours, and in memory.
    pub(super) fn request_here(
        &mut self,
        now: Now,
        origin: Origin,
        kind: Kind,
        key: AccountKey,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        // A contact place ends what it has taken out, whatever lists have come in between.
        let housekeeping = origin == Origin::Nobody && kind == Kind::Unsubscribe;
        let refusal = if account.locked {
            Some(Refusal::NotFound)
        } else if !housekeeping && !account.permits(&envelope.from, operation(kind)) {
            Some(Refusal::TargetRefuses)
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let answer = Answer::refused(refusal);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        match &envelope.request {
            Request::Message(_) if self.listens_to(account, &envelope.from) => {
                self.fan_out(now, origin, key, To::Listeners, envelope, out);
            }
            // He is there, and does not want it of this sender (IMTP-16.1-5).
            Request::Message(_) if account.listeners != 0 => {
                let answer = Answer::refused(Refusal::NoListeners);
                self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
            }
            Request::Message(_) => self.message_for_absent(now, origin, key, envelope, out),
            Request::Change(_) | Request::End(_) => self.news_here(now, origin, kind, key, envelope, out),
            Request::Fetch => {
                let presentity = account.address.clone();
                let answer = match account.presence_for(&envelope.from) {
                    Some(presence) => Answer::Described(Report { presentity, presence }),
                    None => Answer::refused(Refusal::TargetRefuses),
                };
                let fetched = matches!(answer, Answer::Described(_));
                self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
                if fetched {
                    self.tell(key, News::Fetched(&envelope.from), out);
                }
            }
            Request::Subscribe { lease, name } => {
                let asked = Asked { lease: *lease, name: name.as_deref().map(str::to_owned) };
                self.subscribe(now, origin, key, envelope.from, asked, out);
            }
            Request::Unsubscribe { token } => {
                let token = token.to_string();
                self.unsubscribe(now, origin, key, envelope.from, &token, out);
            }
            Request::Inquire => {}
        }
    }

    /// Has he an endpoint that takes messages from this sender?
    fn listens_to(&self, account: &Account, sender: &Address) -> bool {
        let mut endpoints = account.endpoints.iter().filter_map(|id| self.endpoints.get(id.0 as usize));
        endpoints.any(|endpoint| !endpoint.diverted && endpoint.listens_to(sender))
    }

    /// News of somebody's presence, from his own server (OC-03): only if it was asked for (OC-04).
    fn news_here(
        &mut self,
        now: Now,
        origin: Origin,
        kind: Kind,
        key: AccountKey,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let (Request::Change(notice) | Request::End(notice)) = &envelope.request else { return };
        let report = &notice.report;
        // A blank name is that of a subscription whose server was never given one: it is about all there are.
        let named = notice.name.is_some();
        let name = notice.name.as_deref().filter(|name| !name.is_empty());
        let own = self.domains.contains(report.presentity.domain());
        let Some(account) = self.accounts.get(key) else { return };
        let places = account.watching.places_of(&report.presentity);
        let of_it = account.watching.get(places.clone()).unwrap_or_default();
        let which = match name {
            Some(name) => watching::subscription(of_it, name),
            // Where a subscription was named, we say its name ourselves; servers elsewhere may have no way to.
            None if own => Which::Shared,
            None => Which::Any,
        };
        let wanted = !named && (own || self.open) || watching::watches(of_it, which, now);
        let to = To::Watchers(watching::holders_of(of_it, which));
        let refusal = if !wanted && (own || !self.is_asking(&envelope.to, &report.presentity)) {
            Some(Refusal::NotSubscribed)
        } else if account.endpoints.is_empty() {
            Some(Refusal::NoListeners)
        } else {
            None
        };
        let Some(account) = self.accounts.get_mut(key) else { return };
        let mut forgotten = Vec::new();
        if refusal.is_none() || kind == Kind::End {
            watching::saw(account.watching.at_mut(places), self.marks.of(&report.presence), which);
        }
        if kind == Kind::End && refusal != Some(Refusal::NotSubscribed) {
            let presentity = report.presentity.clone();
            forgotten = self.forget_outbound(key, &presentity, name.filter(|_| which != Which::Leased));
            self.contact_ended(now, key, &presentity, which);
        }
        // His okay is that of his home, too: it is given when nothing is left of the subscription here.
        let last = forgotten.pop_if(|_| refusal.is_none());
        for write in forgotten {
            self.write(write, Then::Nothing);
        }
        if let (Some(write), Some(account)) = (last, self.accounts.get_mut(key)) {
            account.unsettled += 1;
            let (to, envelope) = (Box::new(to), Box::new(envelope.into_owned()));
            return self.write(write, Then::EndKept { key, origin, to, envelope });
        }
        match refusal {
            Some(refusal) => {
                let answer = Answer::refused(refusal);
                self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
            }
            None => self.fan_out(now, origin, key, to, envelope, out),
        }
    }

    /// Has he asked to watch, and not heard yet? The first news may come before the answer: they travel on
    /// two connections.
    fn is_asking(&self, watcher: &Address, presentity: &Address) -> bool {
        let Some(remote) = self.remotes.get(&*self.peer_of(presentity, watcher)) else { return false };
        remote.lane(Kind::Subscribe.traffic()).iter().filter_map(|tx| self.transactions.get(tx)).any(
            |transaction| {
                transaction.kind == Kind::Subscribe
                    && transaction.to == *presentity
                    && transaction.from == *watcher
            },
        )
    }

    /// To every live endpoint that takes it; the caller has seen that there may be one.
    pub(super) fn fan_out(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        to: To,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        let mut taking = SmallVec::<[EndpointId; 8]>::new();
        let (mut places, mut talkative) = (0_u32, 0_u32);
        for id in &account.endpoints {
            let Some(endpoint) = self.endpoints.get(id.0 as usize).filter(|e| !e.diverted) else { continue };
            let takes = match &to {
                To::Listeners => endpoint.listens_to(&envelope.from),
                To::AnyListener => endpoint.listens(),
                To::Watchers(holders) => {
                    (holders.whole && endpoint.seat() == Seat::Whole) || holders.has(*id)
                }
            };
            if takes {
                taking.push(*id);
                places |= 1 << endpoint.place;
                if endpoint.seat() == Seat::Inbox {
                    talkative |= 1 << endpoint.place;
                }
            }
        }
        if !matches!(&envelope.request, Request::Message(message) if message.hears_more) {
            talkative = 0;
        }
        let waiting = Waiting::Endpoints { key, places, talkative };
        if places == 0 {
            let kind = Kind::from(&envelope.request);
            let answer = Answer::refused(Refusal::NoListeners);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        let Some(tx) = self.open(now, origin, &envelope, waiting, out) else { return };
        let deadline = now.tick + limits::ANSWER;
        // All queues first: what follows from handing it over may open other requests, and names grow in queues.
        for &id in &taking {
            if let Some(endpoint) = self.endpoints.get_mut(id.0 as usize)
                && endpoint.queue.push(tx, deadline)
            {
                self.timers.arm(deadline, Due::Endpoint(id));
            }
        }
        for &id in &taking {
            let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { continue };
            if let Err(refusal) = out.deliver(endpoint.handle, tx, &envelope) {
                endpoint.queue.answered(tx);
                let place = endpoint.place;
                self.leg_done(now, Some(place), tx, Reply::ours(Answer::refused(refusal)), out);
            }
        }
    }

    /// The recipient is at home in another domain.
    pub(super) fn request_remote(
        &mut self,
        now: Now,
        origin: Origin,
        kind: Kind,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        // Never from one foreign domain to another (OC-07); answers to our own errands may go anywhere.
        if !self.domains.contains(envelope.from.domain()) {
            let answer = Answer::refused(Refusal::NotOurs);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        let mut envelope = envelope;
        if let Request::Subscribe { lease: Lease::Millis(..=0), .. } = &envelope.request {
            // His server may be one that knows of no leases, and would grant it for ever (OC-40).
            let answer = Answer::refused(Refusal::Malformed);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        if let Request::Subscribe { name: name @ None, .. } = &mut envelope.request {
            // The server there may be one that gives out no tokens.
            *name = Some(self.random_token().into());
        }
        let Some(tx) = self.open(now, origin, &envelope, Waiting::Remote, out) else { return };
        let peer = self.peer_of(&envelope.to, &envelope.from);
        let domain: &str = &peer;
        match out.forward(domain, tx, &envelope) {
            Ok(()) => {
                let deadline = now.tick + limits::ANSWER_REMOTE;
                let traffic = kind.traffic();
                let domain = match self.remotes.get_mut(domain) {
                    Some(remote) => remote.lane_mut(traffic).push(tx, deadline).then(|| domain.into()),
                    None => {
                        let name: std::sync::Arc<str> = domain.into();
                        let remote = self.remotes.entry(name.clone()).or_default();
                        remote.lane_mut(traffic).push(tx, deadline);
                        Some(name)
                    }
                };
                if let Some(domain) = domain {
                    self.timers.arm(deadline, Due::Remote(domain, traffic));
                }
            }
            Err(refusal) => {
                if let Some(transaction) = self.transactions.close(tx) {
                    self.finish(now, transaction, Reply::ours(Answer::refused(refusal)), out);
                }
            }
        }
    }

    /// The server of another domain, as it is talked to for one of ours.
    fn peer_of<'a>(&self, to: &'a Address, from: &Address) -> Cow<'a, str> {
        let first = self.domains.default_domain().is_some_and(|domain| domain.as_str() == from.domain());
        peer::name(to.domain(), (!first).then(|| from.domain()))
    }

    fn open(
        &mut self,
        now: Now,
        origin: Origin,
        envelope: &Envelope<'_>,
        waiting: Waiting,
        out: &mut impl Outlet,
    ) -> Option<TxId> {
        let weight = Holding::weight(envelope);
        let swamped = !self.swamped.is_empty()
            && matches!(envelope.request, Request::Message(_))
            && self.swamped.contains(&envelope.from);
        if swamped || (weight != 0 && !self.holding.take(&envelope.from, &self.domains, weight)) {
            let (kind, answer) = (Kind::from(&envelope.request), Answer::refused(Refusal::QuotaExceeded));
            self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
            return None;
        }
        let transaction = Transaction {
            origin,
            kind: Kind::from(&envelope.request),
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            sent: now.date,
            waiting,
            name: match &envelope.request {
                Request::Subscribe { name: Some(name), .. } => Some(CompactString::new(name)),
                _ => None,
            },
            lease: match &envelope.request {
                Request::Subscribe { lease: Lease::Millis(millis), .. } => Some(*millis),
                _ => None,
            },
            weight: weight as u32,
            best: None,
        };
        match self.transactions.open(transaction) {
            Ok(tx) => Some(tx),
            Err(transaction) => {
                let reply = Reply::ours(Answer::refused(Refusal::Resources));
                self.finish(now, *transaction, reply, out);
                None
            }
        }
    }

    /// An endpoint or a peer has answered. What nobody waits for any more is thrown away (OC-59, OC-61).
    pub fn answered(&mut self, now: Now, leg: Leg<'_>, tx: TxId, reply: Reply<'_>, out: &mut impl Outlet) {
        let place = match leg {
            Leg::Endpoint(id) => {
                let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { return };
                if !endpoint.queue.answered(tx) {
                    return;
                }
                Some(endpoint.place)
            }
            Leg::Remote(domain) => {
                let Some(kind) = self.transactions.get(tx).map(|transaction| transaction.kind) else {
                    return;
                };
                let remote = self.remotes.get_mut(domain);
                if !remote.is_some_and(|remote| remote.lane_mut(kind.traffic()).answered(tx)) {
                    return;
                }
                None
            }
        };
        self.leg_done(now, place, tx, reply, out);
    }

    /// What was asked by this name, and of whom, if it is still on its way.
    pub fn asked(&self, tx: TxId) -> Option<(Kind, &Address)> {
        self.transactions.get(tx).map(|transaction| (transaction.kind, &transaction.to))
    }

    /// One of those who were asked has answered, or won't any more.
    pub(super) fn leg_done(
        &mut self,
        now: Now,
        place: Option<u8>,
        tx: TxId,
        reply: Reply<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(transaction) = self.transactions.get_mut(tx) else { return };
        let mut reply = reply;
        if let (Some(place), Waiting::Endpoints { key, places, talkative }) = (place, transaction.waiting) {
            let (left, talkative) = (places & !(1 << place), talkative & !(1 << place));
            let so_far = transaction.best.as_ref().map_or(0, |best| worth(&best.answer));
            let better = transaction.best.is_none() || worth(&reply.answer) > so_far;
            let worth = worth(&reply.answer).max(so_far);
            let decided = worth == BEST || (worth >= OK && talkative == 0);
            if left != 0 && !decided {
                let first_ok = worth >= OK && so_far < OK;
                transaction.waiting = Waiting::Endpoints { key, places: left, talkative };
                if better {
                    transaction.best = Some(Box::new(reply.into_owned()));
                }
                if first_ok {
                    self.timers.arm(now.tick + limits::GRACE, Due::Decided(tx));
                }
                return;
            }
            if !better && let Some(best) = transaction.best.take() {
                reply = *best;
            }
        }
        if let Some(transaction) = self.transactions.close(tx) {
            let name = transaction.name.as_deref();
            reply.answer = fitting(transaction.kind, &transaction.to, name, reply.answer);
            self.finish(now, transaction, reply, out);
        }
    }

    /// Somebody has said `ok` a while ago, and whoever might have said more has not: that was it.
    pub(super) fn decided(&mut self, now: Now, tx: TxId, out: &mut impl Outlet) {
        let Some(best) = self.transactions.get_mut(tx).and_then(|transaction| transaction.best.take()) else {
            return;
        };
        if let Some(transaction) = self.transactions.close(tx) {
            self.finish(now, transaction, *best, out);
        }
    }

    /// A transaction is over.
    pub(super) fn finish(
        &mut self,
        now: Now,
        transaction: Transaction,
        reply: Reply<'_>,
        out: &mut impl Outlet,
    ) {
        let Transaction { origin, kind, from, to, sent, lease, weight, .. } = transaction;
        if weight != 0 {
            self.holding.release(&from, &self.domains, weight as usize);
        }
        self.reply_to(now, origin, (kind, lease), &from, &to, sent, reply, out);
    }

    /// Answers a request that never became a transaction.
    #[allow(clippy::too_many_arguments)] // who waits, what for, and the answer
    pub(super) fn reply(
        &mut self,
        now: Now,
        origin: Origin,
        kind: Kind,
        from: &Address,
        to: &Address,
        answer: Answer<'_>,
        out: &mut impl Outlet,
    ) {
        self.reply_to(now, origin, (kind, None), from, to, now.date, Reply::ours(answer), out);
    }

    #[allow(clippy::too_many_arguments)] // as above
    fn reply_to(
        &mut self,
        now: Now,
        origin: Origin,
        (kind, lease): (Kind, Option<i64>),
        from: &Address,
        to: &Address,
        sent: crate::clock::Date,
        reply: Reply<'_>,
        out: &mut impl Outlet,
    ) {
        let answer = &reply.answer;
        match origin {
            Origin::Nobody => {}
            Origin::Hub(Errand::Notify { key, watch, serial }) => {
                self.notified(now, key, (watch, serial), to, answer, out);
            }
            Origin::Hub(Errand::Watch { key, holder, ask }) => {
                self.watching_answered(now, key, (holder, ask), to, reply, out)
            }
            Origin::Hub(Errand::End { ending }) => self.ending_answered(now, ending, &reply, out),
            Origin::Hub(Errand::Item { key, item }) => self.item_answered(now, key, item, from, answer, out),
            Origin::Peer { handle, tag } => {
                if kind == Kind::Message {
                    match answer {
                        Answer::Refused { .. } => self.counters.messages_refused += 1,
                        _ => self.counters.messages_delivered += 1,
                    }
                }
                let ours = self.domains.contains(from.domain());
                if ours && kind == Kind::Subscribe {
                    return self.own_subscription(now, (handle, tag), from, to, lease, reply, out);
                }
                // What the recipient says himself is his to say (OC-58).
                if let Answer::Refused { refusal, words: None } = answer
                    && from.domain() != to.domain()
                    && reply.by == By::Here
                    && refusal.is_about_the_recipient()
                {
                    let refusal = *refusal;
                    return self.refuse_later(now, handle, tag, kind, to.clone(), refusal);
                }
                let told = out.answer(handle, &tag, kind, to, &reply);
                if let Answer::Refused { refusal, .. } = reply.answer
                    && !told
                    && ours
                    && kind == Kind::Message
                {
                    self.keep_failure(now, from.clone(), to.clone(), sent, refusal, out);
                }
            }
        }
    }
}

/// Which endpoints of the recipient a request goes to.
#[derive(Debug)]
pub(super) enum To {
    /// Those that take messages from its sender.
    Listeners,
    /// Those that take messages from anybody: what the server itself has to say.
    AnyListener,
    /// Those that asked for news of the presentity.
    Watchers(Holders),
}

/// For whom one of our users watches somebody.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// For all his endpoints that take everything.
    pub whole: bool,
    /// For these, which asked for it by themselves: news to one of many needs no allocation.
    single: SmallVec<[EndpointId; 4]>,
}

impl Holders {
    /// All endpoints that take everything.
    pub fn whole() -> Holders {
        Holders { whole: true, ..Holders::default() }
    }

    /// One endpoint, which asked for it by itself.
    pub fn one(id: EndpointId) -> Holders {
        Holders { whole: false, single: smallvec![id] }
    }

    /// One more of these.
    pub fn add(&mut self, id: EndpointId) {
        self.single.push(id);
    }

    /// Did any endpoint ask by itself?
    pub fn any_single(&self) -> bool {
        !self.single.is_empty()
    }

    fn has(&self, id: EndpointId) -> bool {
        self.single.contains(&id)
    }
}

/// A subscription that is asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub lease: Lease,
    pub name: Option<String>,
}

/// What the access control list calls it (SIMP-3.8-4).
fn operation(kind: Kind) -> Operation {
    match kind {
        Kind::Message => Operation::Send,
        Kind::Fetch | Kind::Inquire | Kind::Own => Operation::Fetch,
        Kind::Subscribe => Operation::Subscribe,
        Kind::Unsubscribe => Operation::Unsubscribe,
        Kind::Change => Operation::Change,
        Kind::End => Operation::End,
    }
}
