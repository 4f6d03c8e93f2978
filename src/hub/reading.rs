//! What the store is asked, and what waits for its answer: accounts are read when they are first needed, and those
//! who were online when the server last ended after they have had time to come back.

use super::account::Account;
use super::account::AccountKey;
use super::address::Address;
use super::op::{Answer, Refusal};
use super::transaction::Kind;
use super::{AGAIN, Due, Hub, Name, Outlet, Parked, Purpose, RETURN_AT_ONCE};
use crate::clock::Now;
use crate::store::record::{Read, Reading};

impl Hub {
    /// Does something with an account of ours, reading it first if need be.
    pub(super) fn with_account(&mut self, now: Now, address: Address, parked: Parked, out: &mut impl Outlet) {
        match self.names.get_mut(&address) {
            Some(Name::Here(key)) => {
                let key = *key;
                self.unpark(now, Some(key), parked, out);
            }
            Some(Name::Loading(waiting, _)) => waiting.push(parked),
            None => {
                self.names.insert(address.clone(), Name::Loading(vec![parked], self.epoch));
                out.read(Read::Account(address.clone()), Purpose::Account(address));
            }
        }
    }

    fn unpark(&mut self, now: Now, key: Option<AccountKey>, parked: Parked, out: &mut impl Outlet) {
        match (parked, key) {
            (Parked::Request { origin, envelope, arrived }, key) => {
                let kind = Kind::from(&envelope.request);
                self.arrived = Some(arrived);
                match key {
                    Some(key) => self.request_here(now, origin, kind, key, *envelope, out),
                    None => {
                        let answer = Answer::refused(Refusal::NotFound);
                        self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
                    }
                }
                self.arrived = None;
            }
            (Parked::Login(handle), key) => self.prepared(handle, key, out),
            (Parked::Failure { kind, replaces }, Some(key)) => self.failure_here(now, key, kind, replaces),
            (Parked::Failure { replaces, .. }, None) => self.remove_replaced(replaces),
            (Parked::Look, Some(key)) => self.mark_dirty(key),
            (Parked::Look, None) => {}
        }
    }

    /// The store has answered.
    pub fn read_done(&mut self, now: Now, purpose: Purpose, reading: Reading, out: &mut impl Outlet) {
        match (purpose, reading) {
            (Purpose::Account(address), Reading::Account(record)) => {
                let Some(Name::Loading(waiting, epoch)) = self.names.remove(&address) else { return };
                if epoch != self.epoch {
                    // The operator has changed something since: what was read may be out of date.
                    self.names.insert(address.clone(), Name::Loading(waiting, self.epoch));
                    return out.read(Read::Account(address.clone()), Purpose::Account(address));
                }
                let key = record.map(|record| {
                    let mut account = Account::from_record(now, &self.calendar, *record, &self.domains);
                    account.contacts = (self.contacts)(&account.profile, &self.domains).into();
                    let address = account.address.clone();
                    let unsure = account.told_online.is_some() || account.untold;
                    let key = self.accounts.insert(account);
                    self.weigh(key);
                    self.names.insert(address, Name::Here(key));
                    // Those who were online when the server ended have time to come back.
                    if unsure && !self.returning {
                        self.mark_dirty(key);
                    }
                    key
                });
                for parked in waiting {
                    self.unpark(now, key, parked, out);
                }
                if let Some(key) = key {
                    self.may_forget(key);
                }
            }
            (Purpose::Account(address), _) => {
                // The store has failed: nobody is told that the user does not exist.
                let Some(Name::Loading(waiting, _)) = self.names.remove(&address) else { return };
                for parked in waiting {
                    match parked {
                        Parked::Request { origin, envelope, .. } => {
                            let kind = Kind::from(&envelope.request);
                            let answer = Answer::refused(Refusal::Resources);
                            self.reply(now, origin, kind, &envelope.from, &envelope.to, answer, out);
                        }
                        Parked::Login(handle) => out.ready(handle, None),
                        Parked::Failure { kind, replaces: None } => {
                            self.report_again(now, address.clone(), kind);
                        }
                        // The kept message is still there: the next sweep finds it again.
                        Parked::Failure { replaces: Some(_), .. } => {}
                        Parked::Look => self.expect(now, [address.clone()]),
                    }
                }
            }
            (Purpose::Items(key), Reading::Items(items)) => self.items_read(now, key, Some(items), out),
            (Purpose::Items(key), _) => self.items_read(now, key, None, out),
            (Purpose::ToldOnline, Reading::Addresses(addresses)) => self.expect(now, addresses),
            (Purpose::ToldOnline, _) => self.timers.arm(now.tick + AGAIN, Due::Missing),
            (Purpose::Expired, Reading::Expired(expired)) => self.messages_expired(now, expired, out),
            (Purpose::Leftovers, Reading::Leftovers(left)) => self.leftovers_read(now, Some(left), out),
            (Purpose::Leftovers, _) => self.leftovers_read(now, None, out),
            (Purpose::Expired, _) => {}
        }
    }

    /// These are to be looked after: when all have had time to come back, or soon if they have had that.
    fn expect(&mut self, now: Now, addresses: impl IntoIterator<Item = Address>) {
        if self.expected.is_empty() && !self.returning {
            self.timers.arm(now.tick + AGAIN, Due::Return);
        }
        self.expected.extend(addresses);
    }

    /// Those who were online when the server last ended and have not come back are offline: their watchers
    /// hear of it, some at a time.
    pub(super) fn look_after_missing(&mut self, now: Now, out: &mut impl Outlet) {
        self.returning = false;
        // Not all of them are moved for each lot: there may be a million.
        for _ in 0..RETURN_AT_ONCE {
            let Some(address) = self.expected.pop_front() else { break };
            self.with_account(now, address, Parked::Look, out);
        }
        if !self.expected.is_empty() {
            self.timers.arm(now.tick + AGAIN, Due::Return);
        }
    }
}
