//! Contact lists: the contact place watches, for its user and while he is online, whom he has on his
//! list (SIMP-15-1, OC-48).

use compact_str::CompactString;

use super::account::{Account, AccountKey};
use super::acl::Operation;
use super::address::Address;
use super::delivery::{Holders, To};
use super::op::{Envelope, Notice, Origin, Report, Request};
use super::subscription::{Holder, Watching, WatchingState};
use super::watching::{Which, saw};
use super::{Hub, Outlet};
use crate::clock::Now;

impl Hub {
    /// The user is online by a protocol that shows him his contacts: who is new on his list is watched, who is no
    /// longer on it is not.
    pub fn watch_contacts(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Account { watching, contacts, .. } = account;
        let (mut gone, mut new) = (Vec::new(), Vec::new());
        // Both are in the order of addresses, and nobody is on either twice.
        let mut list = contacts.iter_mut().peekable();
        for watching in watching.iter().filter(|w| w.holder == Holder::List) {
            while let Some(contact) = list.next_if(|contact| **contact < watching.presentity) {
                new.push(contact.clone());
            }
            match list.next_if(|contact| **contact == watching.presentity) {
                // His name need not be in memory twice.
                Some(contact) => *contact = watching.presentity.clone(),
                None => gone.push(watching.presentity.clone()),
            }
        }
        new.extend(list.map(|contact| contact.clone()));
        watching.reserve(new.len());
        for presentity in gone {
            self.give_up(now, key, Holder::List, &presentity, out);
        }
        for presentity in new {
            let Some(account) = self.accounts.get_mut(key) else { return };
            account.watching.insert(Watching::asking(
                presentity.clone(),
                Holder::List,
                CompactString::default(),
            ));
            self.ask(now, key, Holder::List, presentity, 0, out);
        }
    }

    /// A further endpoint of the user has come: the states of his contacts are asked for anew, so that it
    /// is shown them too.
    pub fn refresh_contacts(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let mut live = Vec::new();
        for watching in account.watching.iter_mut().filter(|w| w.holder == Holder::List) {
            if matches!(watching.state, WatchingState::Live { .. }) {
                watching.seen = None;
                live.push(watching.presentity.clone());
            }
        }
        for presentity in live {
            self.ask(now, key, Holder::List, presentity, 0, out);
        }
    }

    /// The user has gone: what was watched for him only while he was online is given up.
    pub(super) fn give_up_contacts(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let listed = account.watching.iter().filter(|w| w.holder == Holder::List);
        let gone: Vec<_> = listed.map(|w| w.presentity.clone()).collect();
        for presentity in gone {
            self.give_up(now, key, Holder::List, &presentity, out);
        }
    }

    /// Somebody watches him now: if he had refused to be watched by him, whom he has on his contact list, he may
    /// have done so because he was not watched himself.
    pub(super) fn ask_back(&mut self, now: Now, key: AccountKey, watcher: &Address, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get(key) else { return };
        let refused = |w: &Watching| w.holder == Holder::List && w.state == WatchingState::Refused;
        if account.watching.of(watcher).iter().any(refused) {
            self.ask(now, key, Holder::List, watcher.clone(), 0, out);
        }
    }

    /// A state that has come with a grant goes to the user like a change of it, unless he has seen just that.
    pub(super) fn show(
        &mut self,
        now: Now,
        key: AccountKey,
        holder: Holder,
        report: Report,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let from = Address::of(super::op::NOTIFIER, report.presentity.domain());
        let name = match holder {
            Holder::Endpoint(_) => account.watching(holder, &report.presentity).map(|w| w.token.clone()),
            Holder::Client | Holder::List => None,
        };
        let which = name.as_deref().map_or(Which::Shared, Which::Named);
        let seen = self.marks.of(&report.presence);
        if !account.permits(&from, Operation::Change)
            || !saw(account.watching.of_mut(&report.presentity), seen, which)
        {
            return;
        }
        let to = account.address.clone();
        let holders = match holder {
            Holder::Endpoint(id) => Holders::one(id),
            Holder::Client | Holder::List => Holders::whole(),
        };
        let notice = Notice { report, name: name.map(Into::into) };
        let change = Envelope::ours(from, to, Request::Change(notice));
        self.fan_out(now, Origin::Nobody, key, To::Watchers(holders), change, out);
    }
}
