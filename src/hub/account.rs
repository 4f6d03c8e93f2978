//! Accounts in memory, and the live endpoints of their users.
//!
//! An account is read from the store when it is first needed and stays while it is in use: while the
//! user is online, while something about him waits to be told or committed. What is not in use is
//! forgotten, oldest first, when there is more of it than [`crate::limits::IDLE_ACCOUNTS`].

use std::collections::VecDeque;
use std::sync::Arc;

use compact_str::CompactString;

use super::acl::{self, AccessList, Operation};
use super::address::{Address, Domains};
use super::op::{EndpointId, Handle, Presence};
use super::subscription::{Watch, Watching};
use super::transaction::Queue;
use crate::clock::{Date, Tick};
use crate::store::record::{AccountId, AccountRecord, Entries, WatcherPolicy};

/// An account in memory: its slot, and which use of the slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AccountKey {
    slot: u32,
    generation: u32,
}

/// A user of ours.
#[derive(Debug)]
pub(super) struct Account {
    pub id: AccountId,
    pub address: Address,
    pub locked: bool,
    pub policy: WatcherPolicy,
    pub keeps_messages: bool,
    /// As the owner wrote it, and parsed; none: the default list.
    pub acl: Option<Box<(Entries, AccessList)>>,
    pub profile: Entries,
    pub description: Arc<str>,
    pub endpoints: Vec<EndpointId>,
    /// When the present online period began.
    online: Option<Date>,
    /// What watchers are to see now, as a fingerprint.
    pub shown: u64,
    /// The online period that the store knows the watchers were told of.
    pub told_online: Option<Date>,
    /// Who watches him.
    pub watches: slab::Slab<Watch>,
    /// Whom he watches.
    pub watching: Vec<Watching>,
    /// Reports and kept messages that wait in the store.
    pub waiting: u32,
    /// Of those, the ones on their way to an endpoint now.
    pub delivering: u32,
    /// An endpoint or an item has come since those were sent.
    pub more: bool,
    /// Presence may have changed since the watchers were last looked at.
    pub dirty: bool,
    /// Writes about him that are not committed yet.
    pub unsettled: u32,
    /// A divert is under way: he counts as online until then.
    pub held_until: Option<Tick>,
    /// A timer stands for the next lease to end or notification to repeat.
    pub timer: Option<Tick>,
    /// On the list of those that may be forgotten.
    pub idle: bool,
}

impl Account {
    pub fn from_record(record: AccountRecord, domains: &Domains) -> Account {
        // A list in the store was parsed before it was put there; one that no longer parses (edited by
        // hand) lets nobody in rather than everybody.
        let acl = record.acl.map(|entries| {
            let list = AccessList::parse(&entries, domains).unwrap_or_else(|_| {
                log::warn!("the access control list of {} is damaged: nobody is let in", record.address);
                AccessList::nobody()
            });
            Box::new((entries, list))
        });
        let mut account = Account {
            id: record.id,
            address: record.address,
            locked: record.locked,
            policy: record.watchers,
            keeps_messages: record.keeps_messages,
            acl,
            description: Arc::from(""),
            profile: Entries::new(),
            endpoints: Vec::new(),
            online: None,
            shown: 0,
            told_online: record.told_online,
            watches: slab::Slab::new(),
            watching: record.watching.into_iter().map(Watching::kept).collect(),
            waiting: record.waiting,
            delivering: 0,
            more: false,
            dirty: false,
            unsettled: 0,
            held_until: None,
            timer: None,
            idle: false,
        };
        account.set_profile(record.profile);
        account.shown = account.fingerprint_of(None);
        let told = account.fingerprint_of(record.told_online);
        for inbound in record.watched_by {
            account.add_lease(Date::default(), inbound, true, told);
        }
        account
    }

    /// Replaces the profile; true if what watchers see has changed by it.
    pub fn set_profile(&mut self, profile: Entries) -> bool {
        let message = profile.iter().find(|(key, _)| key == "message").map_or("", |(_, value)| value);
        let changed = *self.description != *message;
        if changed {
            self.description = Arc::from(message);
            self.shown = self.fingerprint_of(self.online);
        }
        self.profile = profile;
        changed
    }

    /// An online period begins; or it ends.
    pub fn set_online(&mut self, since: Option<Date>) {
        self.online = since;
        self.shown = self.fingerprint_of(since);
    }

    /// Since when he is online, if he is.
    pub fn online(&self) -> Option<Date> {
        self.online
    }

    /// Online, or about to be again.
    pub fn is_online(&self) -> bool {
        self.online.is_some()
    }

    pub fn presence(&self) -> Presence {
        Presence {
            online: self.online.is_some(),
            since: self.online,
            description: Arc::clone(&self.description),
        }
    }

    /// The decision of the contact place (SIMP-3.8-1).
    pub fn permits(&self, from: &Address, operation: Operation) -> bool {
        match &self.acl {
            Some(acl) => acl.1.permits(from, operation),
            None => {
                acl::default_permits(&self.address, self.policy, from, operation)
                    || (self.policy == WatcherPolicy::Ask
                        && matches!(operation, Operation::Fetch | Operation::Subscribe)
                        && self.watching.iter().any(|w| w.presentity == *from))
            }
        }
    }

    pub fn acl_entries(&self) -> Entries {
        match &self.acl {
            Some(acl) => acl.0.clone(),
            None => acl::default_entries(&self.address, self.policy),
        }
    }

    /// Nothing would be lost if it were read again from the store.
    pub fn is_idle(&self) -> bool {
        self.endpoints.is_empty()
            && self.online.is_none()
            && self.unsettled == 0
            && !self.dirty
            && self.delivering == 0
            && self.watches.iter().all(|(_, watch)| watch.is_settled())
            && self.watching.iter().all(Watching::is_settled)
    }
}

/// A live contact of a user.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub account: AccountKey,
    /// Its bit in a transaction's set.
    pub place: u8,
    pub handle: Handle,
    /// The device key it came in with, so that revoking the key ends it.
    pub proof: CompactString,
    /// It was told to go elsewhere: nothing new goes to it.
    pub diverted: bool,
    pub queue: Queue,
}

/// Accounts by slot, and those that may be forgotten.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    slots: Vec<(u32, Option<Box<Account>>)>,
    free: Vec<u32>,
    pub idle: VecDeque<AccountKey>,
}

impl Accounts {
    pub fn insert(&mut self, account: Account) -> AccountKey {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push((0, None));
            self.slots.len() as u32 - 1
        });
        let place = &mut self.slots[slot as usize];
        place.0 += 1;
        place.1 = Some(Box::new(account));
        AccountKey { slot, generation: place.0 }
    }

    pub fn get(&self, key: AccountKey) -> Option<&Account> {
        let (generation, account) = self.slots.get(key.slot as usize)?;
        if *generation == key.generation { account.as_deref() } else { None }
    }

    pub fn get_mut(&mut self, key: AccountKey) -> Option<&mut Account> {
        let (generation, account) = self.slots.get_mut(key.slot as usize)?;
        if *generation == key.generation { account.as_deref_mut() } else { None }
    }

    pub fn remove(&mut self, key: AccountKey) -> Option<Box<Account>> {
        let (generation, account) = self.slots.get_mut(key.slot as usize)?;
        if *generation != key.generation {
            return None;
        }
        let account = account.take()?;
        self.free.push(key.slot);
        Some(account)
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }
}
