//! What a user asks of his own contact place, and what the operator does to accounts.
//!
//! A change is answered, and takes effect in memory, when it is committed; if it can't be, nothing
//! has changed.

use super::account::AccountKey;
use super::acl::AccessList;
use super::address::Address;
use super::op::{Answer, Origin, Refusal};
use super::transaction::Kind;
use super::{Hub, Name, Outlet, Parked, Then};
use crate::clock::Now;
use crate::limits;
use crate::node::io::ControlId;
use crate::store::record::{Change, Entries, Outcome, Write};

impl Hub {
    /// The user's profile (SIMP-8.1-1).
    pub fn profile(&self, key: AccountKey) -> Option<&Entries> {
        self.accounts.get(key).map(|account| &account.profile)
    }

    /// The user's access control list as he wrote it, or the default one (SIMP-9.1-1).
    pub fn acl(&self, key: AccountKey) -> Option<Entries> {
        self.accounts.get(key).map(super::account::Account::acl_entries)
    }

    /// Replaces the profile (SIMP-8.2-1, OC-51). The adapter has checked its size and keys.
    /// `contacts` are those on its contact list.
    pub fn set_profile(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        (profile, contacts): (Entries, Vec<Address>),
        out: &mut impl Outlet,
    ) {
        if self.has_too_many_settings(key) {
            return self.own_reply(now, key, origin, Kind::Own, None, Some(Outcome::Full), out);
        }
        if self.accounts.get(key).is_some_and(|account| !account.says_the_same(&profile)) {
            self.about_to_change(key);
        }
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.unsettled += 1;
        account.settings += 1;
        let write = Write::SetProfile { account: account.id, profile: profile.clone() };
        self.write(write, Then::ProfileSet { key, origin, profile, contacts });
    }

    /// Are so many changes of his being committed that another has to be refused?
    fn has_too_many_settings(&self, key: AccountKey) -> bool {
        self.accounts.get(key).is_some_and(|account| account.settings >= limits::SETTINGS_AT_ONCE)
    }

    /// One of them is committed, or could not be.
    pub(super) fn settled(&mut self, key: AccountKey) {
        if let Some(account) = self.accounts.get_mut(key) {
            account.settings = account.settings.saturating_sub(1);
        }
        self.unsettle(key);
    }

    /// The profile is kept.
    pub(super) fn profile_set(
        &mut self,
        now: Now,
        key: AccountKey,
        profile: Entries,
        contacts: Vec<Address>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let online = account.is_online();
        account.contacts = contacts.into();
        if account.set_profile(profile) {
            self.mark_dirty(key);
        }
        if online {
            self.watch_contacts(now, key, out);
        }
        // Whoever was let in by being on it may not be any more, also if its owner has left meanwhile.
        self.end_refused_watches(now, key, out);
    }

    /// Replaces the access control list (SIMP-9.2-1).
    pub fn set_acl(
        &mut self,
        now: Now,
        origin: Origin,
        key: AccountKey,
        acl: Entries,
        out: &mut impl Outlet,
    ) {
        if self.has_too_many_settings(key) {
            return self.own_reply(now, key, origin, Kind::Own, None, Some(Outcome::Full), out);
        }
        let Some(account) = self.accounts.get_mut(key) else { return };
        let owner = account.address.clone();
        match AccessList::parse(&acl, &self.domains) {
            Ok(list) => {
                account.unsettled += 1;
                account.settings += 1;
                let write = Write::SetAcl { account: account.id, acl: acl.clone() };
                self.write(write, Then::AclSet { key, origin, acl: Box::new((acl, list)) });
            }
            Err(_) => {
                let answer = Answer::refused(Refusal::Malformed);
                self.reply(now, origin, Kind::Own, &owner, &owner, answer, out);
            }
        }
    }

    /// The list is kept: subscriptions it would not grant end (OC-37).
    pub(super) fn acl_set(
        &mut self,
        now: Now,
        key: AccountKey,
        acl: Box<(Entries, AccessList)>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.acl = Some(acl);
        self.end_refused_watches(now, key, out);
    }

    /// A change of the operator's; answered when it is committed.
    pub fn admin(&mut self, id: ControlId, change: Change) {
        self.write(Write::Admin(change.clone()), Then::Admin { id, change });
    }

    /// It is committed: what is in memory follows.
    pub(super) fn admin_done(&mut self, now: Now, change: &Change, out: &mut impl Outlet) {
        let address = match change {
            Change::RemoveAccount { address }
            | Change::SetPassword { address, .. }
            | Change::SetLocked { address, .. }
            | Change::SetWatchers { address, .. }
            | Change::SetKeepsMessages { address, .. }
            | Change::RemoveKey { address, .. } => address,
            Change::AddAccount { .. } | Change::AddKey { .. } | Change::SetPeerRule { .. } => return,
        };
        let Some(Name::Here(key)) = self.names.get(address.as_str()) else {
            if let (Change::SetLocked { .. }, Ok(address)) = (change, Address::parse(address, &self.domains))
            {
                self.with_account(now, address, Parked::Look, out);
            }
            return;
        };
        let key = *key;
        match change {
            Change::RemoveAccount { .. } => {
                self.close_endpoints(now, key, None, out);
                self.end_divert(now, key, out);
                if let Some(account) = self.accounts.get_mut(key) {
                    // What he has published went with him: the last that his watchers hear is that he is away.
                    account.locked = true;
                }
                self.end_all_watches(now, key, out);
                self.give_up_contacts(now, key, out);
                self.forget(key);
            }
            Change::SetLocked { locked, .. } => {
                if let Some(account) = self.accounts.get_mut(key) {
                    account.locked = *locked;
                    // As the store has noted in the same transaction.
                    (account.untold, account.untold_kept) = (true, true);
                    self.mark_dirty(key);
                }
                if *locked {
                    self.close_endpoints(now, key, None, out);
                    self.end_divert(now, key, out);
                }
            }
            Change::SetPassword { .. } => self.close_endpoints(now, key, Some(super::PASSWORD), out),
            Change::RemoveKey { label, .. } => {
                let proof = super::key_proof(label);
                self.close_endpoints(now, key, Some(&proof), out);
            }
            Change::SetWatchers { watchers, .. } => {
                if let Some(account) = self.accounts.get_mut(key) {
                    account.policy = *watchers;
                }
                self.end_refused_watches(now, key, out);
            }
            Change::SetKeepsMessages { keeps, .. } => {
                if let Some(account) = self.accounts.get_mut(key) {
                    account.keeps_messages = *keeps;
                }
            }
            Change::AddAccount { .. } | Change::AddKey { .. } | Change::SetPeerRule { .. } => {}
        }
    }

    /// Closes the account's endpoints: all, or those that came in by this proof.
    fn close_endpoints(&mut self, now: Now, key: AccountKey, proof: Option<&str>, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let closing: Vec<_> = account
            .endpoints
            .iter()
            .copied()
            .filter(|id| {
                let endpoint = self.endpoints.get(id.0 as usize);
                endpoint.is_some_and(|e| proof.is_none_or(|proof| e.proof == proof))
            })
            .collect();
        for id in closing {
            if let Some(endpoint) = self.endpoints.get(id.0 as usize) {
                out.close(endpoint.handle);
            }
            self.detach(now, id, out);
        }
    }

    /// The outcome of a committed change, for the operator.
    pub(super) fn outcome_of(outcome: Option<Outcome>) -> Result<Outcome, String> {
        outcome.ok_or_else(|| "the change could not be kept: see the server's log".to_owned())
    }
}
