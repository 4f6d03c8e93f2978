//! Endpoints come and go: a user is online while he has one that takes messages.

use compact_str::CompactString;

use super::account::{AccountKey, Endpoint, Listens, Takes, Watcher};
use super::address::Address;
use super::op::{Answer, EndpointId, Handle, News, Refusal, Reply, Seat};
use super::pattern::Filter;
use super::{Due, Hub, Name, Outlet, Parked};
use crate::clock::Now;
use crate::limits;

impl Hub {
    /// Sees that an account is in memory, for a login that has proved itself: [`Outlet::ready`] follows, now
    /// or when it has been read.
    pub fn prepare(&mut self, now: Now, address: Address, handle: Handle, out: &mut impl Outlet) {
        match self.names.get(&address) {
            Some(Name::Here(key)) => {
                let key = *key;
                self.prepared(handle, Some(key), out);
            }
            _ => self.with_account(now, address, Parked::Login(handle), out),
        }
    }

    pub(super) fn prepared(&mut self, handle: Handle, key: Option<AccountKey>, out: &mut impl Outlet) {
        let usable = key.filter(|key| self.accounts.get(*key).is_some_and(|a| !a.locked));
        out.ready(handle, usable);
    }

    /// A user has come: he is online from now on if the endpoint takes everything. Tell the endpoint what it is
    /// owed with [`Hub::welcome`] after it has had its own answer.
    ///
    /// # Errors
    /// [`Refusal::QuotaExceeded`] if he has too many endpoints, [`Refusal::NotFound`] if he is gone.
    pub fn attach(
        &mut self,
        now: Now,
        key: AccountKey,
        handle: Handle,
        proof: CompactString,
        seat: Seat,
    ) -> Result<EndpointId, Refusal> {
        let token = if seat == Seat::Watcher { self.random_token() } else { String::new() };
        let account = self.accounts.get_mut(key).filter(|a| !a.locked).ok_or(Refusal::NotFound)?;
        let present = account.endpoints.iter().filter_map(|id| self.endpoints.get(id.0 as usize));
        let (taken, alike) = present.fold((0_u32, 0), |(taken, alike), endpoint| {
            (taken | 1 << endpoint.place, alike + usize::from(endpoint.seat() == seat))
        });
        let place = taken.trailing_ones();
        let full =
            place as usize >= limits::ENDPOINTS || (seat == Seat::Whole && alike >= limits::ENDPOINTS_WHOLE);
        if full {
            return Err(Refusal::QuotaExceeded);
        }
        let takes = match seat {
            Seat::Whole => Takes::Everything,
            Seat::Inbox => Takes::Messages(Listens::No),
            Seat::Watcher => {
                Takes::News(Box::new(Watcher { token, wants_watchers: false, guards: Vec::new() }))
            }
        };
        let endpoint = Endpoint {
            account: key,
            place: place as u8,
            handle,
            proof,
            diverted: false,
            takes,
            queue: super::transaction::Queue::default(),
        };
        let id = EndpointId(self.endpoints.insert(endpoint) as u32);
        account.endpoints.push(id);
        self.counters.logins += 1;
        if seat == Seat::Whole {
            self.listens_now(now, key);
        }
        Ok(id)
    }

    /// One more endpoint of his takes messages: that is what being online means.
    fn listens_now(&mut self, now: Now, key: AccountKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.listeners += 1;
        account.held_until = None;
        if !account.is_online() {
            account.forget_ended_leases(now.tick);
            account.set_online(Some(now.date));
            self.online += 1;
            self.mark_dirty(key);
            self.schedule(now, key);
        }
    }

    /// One less does; `diverted`: he will be back in a moment.
    fn listens_no_more(&mut self, now: Now, key: AccountKey, diverted: bool, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.listeners = account.listeners.saturating_sub(1);
        if account.listeners != 0 {
            return;
        }
        if diverted {
            account.held_until = Some(now.tick + limits::DIVERT);
            self.schedule(now, key);
        } else {
            self.went_offline(now, key, out);
        }
    }

    /// An inbox takes messages from those whom the filter lets through, from now on (IMTP-16.1-6); what has
    /// waited for its user comes to it after its own answer with [`Hub::welcome`]. A filter that lets nobody
    /// through ends it (TOC-62).
    pub fn listen(&mut self, now: Now, id: EndpointId, filter: Filter, out: &mut impl Outlet) {
        let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { return };
        let (key, listened) = (endpoint.account, endpoint.listens());
        let Takes::Messages(place) = &mut endpoint.takes else { return };
        *place = Listens::by(filter);
        match (listened, endpoint.listens()) {
            (false, true) => self.listens_now(now, key),
            (true, false) => self.listens_no_more(now, key, false, out),
            (true, true) | (false, false) => {}
        }
    }

    /// What a new endpoint is owed: who watches its user now (SIMP-6.3-3), and what has waited for him.
    pub fn welcome(&mut self, now: Now, id: EndpointId, out: &mut impl Outlet) {
        let Some((key, handle)) = self.endpoints.get(id.0 as usize).map(|e| (e.account, e.handle)) else {
            return;
        };
        let seat = self.endpoints.get(id.0 as usize).map(Endpoint::seat);
        if seat == Some(Seat::Whole) {
            for watcher in self.watchers(now, key) {
                out.tell(handle, News::WatcherCame(&watcher));
            }
            self.collect_owed(key);
        }
        self.deliver_all_items(key, out);
    }

    /// An endpoint has gone. What it has not answered has failed (OC-72).
    pub fn detach(&mut self, now: Now, id: EndpointId, out: &mut impl Outlet) {
        let Some(mut endpoint) = self.endpoints.try_remove(id.0 as usize) else { return };
        let key = endpoint.account;
        if let Some(account) = self.accounts.get_mut(key) {
            account.endpoints.retain(|other| *other != id);
        }
        if endpoint.listens() {
            self.listens_no_more(now, key, endpoint.diverted, out);
        }
        for tx in endpoint.queue.drain() {
            let reply = Reply::ours(Answer::refused(Refusal::NoListeners));
            self.leg_done(now, Some(endpoint.place), tx, reply, out);
        }
        self.unwatch_all(now, key, id, out);
        self.may_forget(key);
    }

    fn went_offline(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.is_online() {
            account.set_online(None);
            self.online -= 1;
        }
        self.mark_dirty(key);
        self.give_up_contacts(now, key, out);
    }

    /// The endpoint was told to go elsewhere: nothing new goes to it, and its user counts as online
    /// until he is back or the time is over (OC-54).
    pub fn divert(&mut self, id: EndpointId) {
        if let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) {
            endpoint.diverted = true;
        }
    }

    /// The account's timer: a diverted user has not come back.
    pub(super) fn divert_due(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.held_until.is_some_and(|until| until <= now.tick) {
            self.end_divert(now, key, out);
        }
    }

    /// If he was diverted, he is not waited for any more.
    pub(super) fn end_divert(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.held_until.take().is_some() && account.listeners == 0 {
            self.went_offline(now, key, out);
        }
    }

    /// The endpoint's timer: requests that were not answered in time have failed; an endpoint that keeps
    /// silent is closed (OC-59).
    pub(super) fn endpoint_due(&mut self, now: Now, id: EndpointId, out: &mut impl Outlet) {
        loop {
            let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { return };
            if !endpoint.queue.is_due(now.tick) {
                return;
            }
            let Some(tx) = endpoint.queue.overdue(now.tick) else { break };
            let place = endpoint.place;
            let reply = Reply::ours(Answer::refused(Refusal::NoAnswer));
            self.leg_done(now, Some(place), tx, reply, out);
        }
        let Some(endpoint) = self.endpoints.get_mut(id.0 as usize) else { return };
        if endpoint.queue.unanswered >= limits::UNANSWERED {
            out.close(endpoint.handle);
            return self.detach(now, id, out);
        }
        if let Some(at) = endpoint.queue.rearm() {
            self.timers.arm(at, Due::Endpoint(id));
        }
    }

    /// Who is behind an endpoint.
    pub fn account_of(&self, id: EndpointId) -> Option<(AccountKey, &Address)> {
        let endpoint = self.endpoints.get(id.0 as usize)?;
        Some((endpoint.account, &self.accounts.get(endpoint.account)?.address))
    }
}
