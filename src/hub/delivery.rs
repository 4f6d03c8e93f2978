//! Delivery, on one page.
//!
//! 1. A request goes to the home server of its recipient: here, or over a link to another domain.
//! 2. Here the recipient's access control list is asked first. Nobody is told more than that the
//!    recipient is not available, and a stranger is told it after the same time whatever the reason.
//! 3. A message (and news of somebody's presence) goes to every live endpoint of the recipient at
//!    once. The first `ok` decides; only if all refuse or fail is it refused.
//! 4. Without an endpoint a message is refused at once, unless its recipient has opted in to have
//!    messages kept: then it is kept, and answered when it is on the disk.
//! 5. Everything else (fetching, subscribing, …) the home server answers by itself.
//! 6. If the sender of a failed message is no longer there to be told, the failure is kept for his
//!    next login.

use std::borrow::Cow;

use compact_str::CompactString;

use super::account::AccountKey;
use super::acl::Operation;
use super::address::Address;
use super::op::{Answer, EndpointId, Envelope, NOTIFIER, Origin, Refusal, Report, Request, TxId};
use super::transaction::{Kind, Transaction, Waiting};
use super::{Due, Errand, Hub, Leg, Name, Outlet, Parked};
use crate::clock::Now;
use crate::limits;

/// An answer of the kind that the question asks for: another home server may say anything.
fn fitting<'a>(kind: Kind, to: &Address, answer: Answer<'a>) -> Answer<'a> {
    match (kind, answer) {
        // The presence of somebody else than was asked about.
        (Kind::Fetch | Kind::Subscribe, Answer::Described(report) | Answer::Granted { report, .. })
            if report.presentity != *to =>
        {
            Answer::refused(Refusal::NoAnswer)
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
        if let (Request::Unsubscribe { token }, Origin::Peer { .. }) = (&envelope.request, &origin)
            && let Some(key) = self.loaded(&envelope.from)
        {
            // Whatever becomes of it: who wants no more news is shown none.
            self.forget_outbound(key, &envelope.to, Some(token));
        }
        if !self.domains.contains(envelope.to.domain()) {
            return self.request_remote(now, origin, kind, envelope, out);
        }
        if kind == Kind::Inquire {
            let answer = Answer::Ok(Cow::Borrowed(super::PRODUCT));
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        if envelope.to.local() == NOTIFIER {
            let answer = Answer::refused(Refusal::NotFound);
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
            Request::Message(_) if !account.endpoints.is_empty() => {
                self.fan_out(now, origin, key, envelope, out);
            }
            Request::Message(_) => self.message_for_absent(now, origin, key, envelope, out),
            Request::Change(_) | Request::End(_) => self.news_here(now, origin, kind, key, envelope, out),
            Request::Fetch => {
                let report = Report { presentity: account.address.clone(), presence: account.presence() };
                let answer = Answer::Described(report);
                self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
            }
            Request::Subscribe(lease) => {
                let lease = *lease;
                self.subscribe(now, origin, key, envelope.from, lease, out);
            }
            Request::Unsubscribe { token } => {
                let token = token.to_string();
                self.unsubscribe(now, origin, key, envelope.from, &token, out);
            }
            Request::Inquire => {}
        }
    }

    /// News of somebody's presence: only from the presentity's own server, and only if it was asked for
    /// (OC-03, OC-04).
    fn news_here(
        &mut self,
        now: Now,
        origin: Origin,
        kind: Kind,
        key: AccountKey,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let (Request::Change(report) | Request::End(report)) = &envelope.request else { return };
        let own = self.domains.contains(report.presentity.domain());
        let asking = !own && self.is_asking(&envelope.to, &report.presentity);
        let Some(account) = self.accounts.get_mut(key) else { return };
        let refusal =
            if envelope.from.local() != NOTIFIER || envelope.from.domain() != report.presentity.domain() {
                Some(Refusal::SourceRefused)
            } else if !own && !self.open && !asking && !account.watches(&report.presentity, now) {
                Some(Refusal::NotSubscribed)
            } else if account.endpoints.is_empty() {
                Some(Refusal::NoListeners)
            } else {
                None
            };
        if refusal.is_none() || kind == Kind::End {
            account.saw(report);
        }
        if kind == Kind::End && !matches!(refusal, Some(Refusal::SourceRefused | Refusal::NotSubscribed)) {
            let presentity = report.presentity.clone();
            self.forget_outbound(key, &presentity, None);
            self.contact_ended(now, key, &presentity);
        }
        match refusal {
            Some(refusal) => {
                let answer = Answer::refused(refusal);
                self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
            }
            None => self.fan_out(now, origin, key, envelope, out),
        }
    }

    /// Has he asked to watch, and not heard yet? The first news may come before the answer: they travel on
    /// two connections.
    fn is_asking(&self, watcher: &Address, presentity: &Address) -> bool {
        let Some(queue) = self.remotes.get(presentity.domain()) else { return false };
        queue.iter().filter_map(|tx| self.transactions.get(tx)).any(|transaction| {
            transaction.kind == Kind::Subscribe
                && transaction.to == *presentity
                && transaction.from == *watcher
        })
    }

    /// To every live endpoint; the caller has seen that there is one.
    pub(super) fn fan_out(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        envelope: Envelope<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get(key) else { return };
        let mut listening: [Option<EndpointId>; limits::ENDPOINTS] = [None; limits::ENDPOINTS];
        let mut places = 0_u8;
        for (seat, id) in listening.iter_mut().zip(&account.endpoints) {
            if let Some(endpoint) = self.endpoints.get(id.0 as usize).filter(|e| !e.diverted) {
                *seat = Some(*id);
                places |= 1 << endpoint.place;
            }
        }
        let waiting = Waiting::Endpoints(key, places);
        if places == 0 {
            let kind = Kind::from(&envelope.request);
            let answer = Answer::refused(Refusal::NoListeners);
            return self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
        }
        let Some(tx) = self.open(now, origin, &envelope, waiting, out) else { return };
        let deadline = now.tick + limits::ANSWER;
        for id in listening.into_iter().flatten() {
            let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { continue };
            if endpoint.queue.push(tx, deadline) {
                self.timers.arm(deadline, Due::Endpoint(id));
            }
            out.deliver(endpoint.handle, tx, &envelope);
        }
    }

    /// The recipient is at home in another domain.
    fn request_remote(
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
        let Some(tx) = self.open(now, origin, &envelope, Waiting::Remote, out) else { return };
        let domain = envelope.to.domain();
        match out.forward(domain, tx, &envelope) {
            Ok(()) => {
                let deadline = now.tick + limits::ANSWER_REMOTE;
                let domain = match self.remotes.get_mut(domain) {
                    Some(queue) => queue.push(tx, deadline).then(|| domain.into()),
                    None => {
                        let name: std::sync::Arc<str> = domain.into();
                        self.remotes.entry(name.clone()).or_default().push(tx, deadline);
                        Some(name)
                    }
                };
                if let Some(domain) = domain {
                    self.timers.arm(deadline, Due::Remote(domain));
                }
            }
            Err(refusal) => {
                if let Some(transaction) = self.transactions.close(tx) {
                    self.finish(now, transaction, Answer::refused(refusal), out);
                }
            }
        }
    }

    fn open(
        &mut self,
        now: Now,
        origin: Origin,
        envelope: &Envelope<'_>,
        waiting: Waiting,
        out: &mut impl Outlet,
    ) -> Option<TxId> {
        let transaction = Transaction {
            origin,
            kind: Kind::from(&envelope.request),
            from: envelope.from.clone(),
            to: envelope.to.clone(),
            sent: now.date,
            waiting,
            refused: None,
        };
        match self.transactions.open(transaction) {
            Ok(tx) => Some(tx),
            Err(transaction) => {
                self.finish(now, *transaction, Answer::refused(Refusal::Resources), out);
                None
            }
        }
    }

    /// An endpoint or a peer has answered. What nobody waits for any more is thrown away (OC-59, OC-61).
    pub fn answered(&mut self, now: Now, leg: Leg<'_>, tx: TxId, answer: Answer<'_>, out: &mut impl Outlet) {
        let place = match leg {
            Leg::Endpoint(id) => {
                let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { return };
                if !endpoint.queue.answered(tx) {
                    return;
                }
                Some(endpoint.place)
            }
            Leg::Remote(domain) => {
                if !self.remotes.get_mut(domain).is_some_and(|queue| queue.answered(tx)) {
                    return;
                }
                None
            }
        };
        self.leg_done(now, place, tx, answer, out);
    }

    /// One of those who were asked has answered, or won't any more.
    pub(super) fn leg_done(
        &mut self,
        now: Now,
        place: Option<u8>,
        tx: TxId,
        answer: Answer<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(transaction) = self.transactions.get_mut(tx) else { return };
        let mut answer = answer;
        if let (Some(place), Waiting::Endpoints(key, places)) = (place, transaction.waiting)
            && let Answer::Refused { refusal, words } = &answer
        {
            let left = places & !(1 << place);
            if left != 0 {
                transaction.waiting = Waiting::Endpoints(key, left);
                let words = words.as_deref().map(CompactString::new);
                // What a person said is worth more than that another of his endpoints kept silent.
                if transaction.refused.is_none() || words.is_some() {
                    transaction.refused = Some((*refusal, words));
                }
                return;
            }
            if words.is_none()
                && let Some((refusal, words)) = transaction.refused.take()
            {
                answer = Answer::Refused { refusal, words: words.map(|w| Cow::Owned(w.into())) };
            }
        }
        if let Some(transaction) = self.transactions.close(tx) {
            let answer = fitting(transaction.kind, &transaction.to, answer);
            self.finish(now, transaction, answer, out);
        }
    }

    /// A transaction is over.
    pub(super) fn finish(
        &mut self,
        now: Now,
        transaction: Transaction,
        answer: Answer<'_>,
        out: &mut impl Outlet,
    ) {
        let Transaction { origin, kind, from, to, sent, .. } = transaction;
        self.reply_to(now, origin, kind, &from, &to, sent, answer, out);
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
        self.reply_to(now, origin, kind, from, to, now.date, answer, out);
    }

    #[allow(clippy::too_many_arguments)] // as above
    fn reply_to(
        &mut self,
        now: Now,
        origin: Origin,
        kind: Kind,
        from: &Address,
        to: &Address,
        sent: crate::clock::Date,
        answer: Answer<'_>,
        out: &mut impl Outlet,
    ) {
        match origin {
            Origin::Nobody => {}
            Origin::Hub(Errand::Notify { key, watch }) => self.notified(now, key, watch, to, &answer, out),
            Origin::Hub(Errand::Watch { key }) => self.contact_answered(now, key, to, &answer, out),
            Origin::Hub(Errand::Item { key, item }) => self.item_answered(now, key, item, from, &answer, out),
            Origin::Peer { handle, tag } => {
                if kind == Kind::Message {
                    match &answer {
                        Answer::Refused { .. } => self.counters.messages_refused += 1,
                        _ => self.counters.messages_delivered += 1,
                    }
                }
                let ours = self.domains.contains(from.domain());
                if ours && kind == Kind::Subscribe {
                    return self.own_subscription(now, handle, tag, from, to, answer, out);
                }
                // What the recipient says himself is his to say (OC-58).
                if let Answer::Refused { refusal, words: None } = &answer
                    && !ours
                    && refusal.is_about_the_recipient()
                {
                    let refusal = *refusal;
                    return self.refuse_later(now, handle, tag, kind, refusal);
                }
                let told = out.answer(handle, &tag, kind, &answer);
                if let Answer::Refused { refusal, .. } = answer
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
