//! Endpoints come and go: a user is online while he has one.

use compact_str::CompactString;

use super::account::{AccountKey, Endpoint};
use super::address::Address;
use super::op::{Answer, EndpointId, Handle, News, Refusal};
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

    /// A user has come: he is online from now on. Tell the endpoint what it is owed with
    /// [`Hub::welcome`] after it has had its own answer.
    ///
    /// # Errors
    /// [`Refusal::QuotaExceeded`] if he has too many endpoints, [`Refusal::NotFound`] if he is gone.
    pub fn attach(
        &mut self,
        now: Now,
        key: AccountKey,
        handle: Handle,
        proof: CompactString,
    ) -> Result<EndpointId, Refusal> {
        let account = self.accounts.get_mut(key).filter(|a| !a.locked).ok_or(Refusal::NotFound)?;
        let taken = account
            .endpoints
            .iter()
            .filter_map(|id| self.endpoints.get(id.0 as usize))
            .fold(0_u8, |taken, endpoint| taken | 1 << endpoint.place);
        let place = taken.trailing_ones();
        if place as usize >= limits::ENDPOINTS {
            return Err(Refusal::QuotaExceeded);
        }
        let endpoint = Endpoint {
            account: key,
            place: place as u8,
            handle,
            proof,
            diverted: false,
            queue: super::transaction::Queue::default(),
        };
        let id = EndpointId(self.endpoints.insert(endpoint) as u32);
        account.endpoints.push(id);
        account.held_until = None;
        self.counters.logins += 1;
        if !account.is_online() {
            account.forget_ended_leases(now.date);
            account.set_online(Some(now.date));
            self.online += 1;
            self.mark_dirty(key);
            self.schedule(now, key);
        }
        Ok(id)
    }

    /// What a new endpoint is owed: who watches its user now (SIMP-6.3-3), and what has waited for him.
    pub fn welcome(&mut self, now: Now, id: EndpointId, out: &mut impl Outlet) {
        let Some((key, handle)) = self.endpoints.get(id.0 as usize).map(|e| (e.account, e.handle)) else {
            return;
        };
        for watcher in self.watchers(now, key) {
            out.tell(handle, News::WatcherCame(&watcher));
        }
        self.collect_owed(key);
        self.deliver_items(key, out);
    }

    /// An endpoint has gone. What it has not answered has failed (OC-72).
    pub fn detach(&mut self, now: Now, id: EndpointId, out: &mut impl Outlet) {
        let Some(mut endpoint) = self.endpoints.try_remove(id.0 as usize) else { return };
        let key = endpoint.account;
        if let Some(account) = self.accounts.get_mut(key) {
            account.endpoints.retain(|other| *other != id);
            if account.endpoints.is_empty() {
                if endpoint.diverted {
                    account.held_until = Some(now.tick + limits::DIVERT);
                    self.schedule(now, key);
                } else {
                    self.went_offline(now, key, out);
                }
            }
        }
        for (tx, _) in endpoint.queue.drain() {
            self.leg_done(now, Some(endpoint.place), tx, Answer::refused(Refusal::NoListeners), out);
        }
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
            account.held_until = None;
            if account.endpoints.is_empty() {
                self.went_offline(now, key, out);
            }
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
            self.leg_done(now, Some(place), tx, Answer::refused(Refusal::NoAnswer), out);
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
