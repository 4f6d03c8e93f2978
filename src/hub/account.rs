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
use super::calendar::Calendar;
use super::lists::{Watched, Watchers};
use super::mappings::{List, Seen, View};
use super::op::{EndpointId, Handle, Presence, Seat};
use super::pattern::Filter;
use super::subscription::{Watch, Watching};
use super::transaction::Queue;
use crate::clock::{Date, Now, Tick};
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
    /// Those of them that take messages from somebody.
    pub listeners: u8,
    /// Who sees what of his presence, if he ever said so.
    pub list: Option<Box<List>>,
    /// Counts the changes of that list.
    list_state: u32,
    /// When the present online period began.
    online: Option<Date>,
    /// What watchers are to see now, as a fingerprint.
    pub shown: u64,
    /// The online period that the store knows the watchers were told of, or is about to.
    pub told_online: Option<Date>,
    /// The store does know of one, be it an earlier one.
    pub told_kept: bool,
    /// Watchers have yet to be told something.
    pub untold: bool,
    /// The store knows that.
    pub untold_kept: bool,
    /// Notes of what they were told that are being committed.
    pub noting: u32,
    /// Who watches him.
    pub watches: Watchers,
    /// Of these, the one that was last found to be behind.
    behind: usize,
    /// Of the last of these.
    pub serial: u32,
    /// Whom he watches.
    pub watching: Watched,
    /// Whom he has on the contact list of his profile, in order.
    pub contacts: Box<[Address]>,
    /// Reports and kept messages that wait in the store.
    pub waiting: u32,
    /// Of those, the ones on their way to an endpoint now.
    pub delivering: u32,
    /// The oldest of those that wait, which no endpoint here wants.
    pub unwanted: u32,
    /// An endpoint or an item has come since those were sent.
    pub more: bool,
    /// Presence may have changed since the watchers were last looked at.
    pub dirty: bool,
    /// Writes about him that are not committed yet.
    pub unsettled: u32,
    /// Of those, changes of his access list and profile.
    pub settings: u8,
    /// A divert is under way: he counts as online until then.
    pub held_until: Option<Tick>,
    /// A timer stands for the next lease to end or notification to repeat.
    pub timer: Option<Tick>,
    /// On the list of those that may be forgotten.
    pub idle: bool,
}

impl Account {
    pub fn from_record(now: Now, calendar: &Calendar, record: AccountRecord, domains: &Domains) -> Account {
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
            listeners: 0,
            list: List::from_records(record.mappings, domains),
            list_state: 1,
            online: None,
            shown: 0,
            told_online: record.told_online,
            told_kept: record.told_online.is_some(),
            untold: record.untold,
            untold_kept: record.untold,
            noting: 0,
            watches: Watchers::default(),
            behind: 0,
            serial: 0,
            // What this server had asked for by itself is not taken up again: `ending` looks after it.
            watching: record
                .watching
                .into_iter()
                .filter(|outbound| !outbound.automatic)
                .map(|outbound| Watching::kept(now, calendar, outbound))
                .collect(),
            contacts: Box::default(),
            waiting: record.waiting,
            delivering: 0,
            unwanted: 0,
            more: false,
            dirty: false,
            unsettled: 0,
            settings: 0,
            held_until: None,
            timer: None,
            idle: false,
        };
        account.set_profile(record.profile);
        account.shown = account.fingerprint_of(None);
        for inbound in record.watched_by {
            let told = account.fingerprint_for(&inbound.watcher, inbound.named, record.told_online);
            // What he was told is unknown: he is told again.
            let told = if record.untold { !told } else { told };
            let expires = inbound.expires.map(|end| calendar.moment(now, end));
            account.add_lease(Tick::default(), inbound, expires, true, told);
        }
        account
    }

    /// Would watchers see a difference in this profile?
    pub fn says_the_same(&self, profile: &Entries) -> bool {
        message_of(profile) == &*self.description
    }

    /// Replaces the profile; true if what watchers see has changed by it.
    pub fn set_profile(&mut self, profile: Entries) -> bool {
        let changed = !self.says_the_same(&profile);
        if changed {
            self.description = Arc::from(message_of(&profile));
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

    /// Is his mapping list being changed?
    pub fn is_editing(&self) -> bool {
        self.list.as_ref().is_some_and(|list| !list.is_settled())
    }

    /// What everybody sees of him who sees anything, unless he has said who sees what.
    fn presence(&self) -> Presence {
        Presence {
            online: self.online.is_some(),
            since: self.online,
            description: Arc::clone(&self.description),
            document: None,
        }
    }

    /// His mapping list; of a user who is locked nobody sees what he has published.
    fn list(&self) -> Option<&List> {
        self.list.as_deref().filter(|_| !self.locked)
    }

    fn view(&self, watcher: &Address) -> View<'_> {
        self.list().map_or(View::Live, |list| list.view(watcher))
    }

    /// What this watcher sees of him; none: nothing at all. A published document says what it says; what it
    /// leaves open is seen as it is (design 6).
    pub fn presence_for(&self, watcher: &Address) -> Option<Presence> {
        self.presence_of(self.view(watcher))
    }

    fn presence_of(&self, view: View<'_>) -> Option<Presence> {
        match view {
            View::Live => Some(self.presence()),
            View::Denied => None,
            View::Shown(shown) => Some(self.shown_by(shown, self.online)),
        }
    }

    /// What a published document says of him, if he has been online since then.
    fn shown_by(&self, shown: &Seen, since: Option<Date>) -> Presence {
        let gist = &shown.gist;
        let online = gist.open.unwrap_or(since.is_some());
        Presence {
            online,
            since: if online { gist.since.or(since) } else { None },
            description: shown.description.clone().unwrap_or_else(|| Arc::clone(&self.description)),
            document: Some(Arc::clone(&shown.document)),
        }
    }

    /// What makes two presences the same to this watcher. One who is told of each subscription by itself
    /// gets the document, so that is what counts.
    pub fn fingerprint_for(&self, watcher: &Address, named: bool, online: Option<Date>) -> u64 {
        self.fingerprint_in(self.view(watcher), named, online)
    }

    fn fingerprint_in(&self, view: View<'_>, named: bool, online: Option<Date>) -> u64 {
        match view {
            View::Live if online == self.online => self.shown,
            View::Live => self.fingerprint_of(online),
            View::Denied => 0,
            View::Shown(shown) if named => shown.mark,
            View::Shown(shown) => {
                let seen = self.shown_by(shown, online);
                super::subscription::fingerprint(seen.online, seen.since, &seen.description)
            }
        }
    }

    /// The same, now.
    pub fn shown_to(&self, watcher: &Address, named: bool) -> u64 {
        self.fingerprint_for(watcher, named, self.online)
    }

    /// The same for one who watches; which mapping is his is found once.
    pub fn shown_in(&self, watch: &Watch) -> u64 {
        self.fingerprint_in(self.view_in(watch), watch.named, self.online)
    }

    /// What somebody sees who watches; none: nothing at all.
    pub fn presence_in(&self, watch: &Watch) -> Option<Presence> {
        self.presence_of(self.view_in(watch))
    }

    fn view_in(&self, watch: &Watch) -> View<'_> {
        match self.list() {
            Some(list) => list.view_again(&watch.watcher, self.list_state, &watch.mapping),
            None => View::Live,
        }
    }

    /// Which mapping is whose has to be found anew.
    pub fn list_changed(&mut self) {
        self.list_state = self.list_state.wrapping_add(1);
    }

    /// Is there a watcher who has to hear of every change, also after a restart, and has not heard the last? The
    /// search goes on where the last one has found somebody, so that it costs little while watchers answer.
    pub fn has_watcher_behind(&mut self) -> bool {
        let is_behind = |at: &usize| {
            let watch = self.watches.get(*at);
            watch.is_some_and(|watch| watch.told != self.shown_in(watch) && watch.is_durable())
        };
        let found = (self.behind..self.watches.places()).chain(0..self.behind).find(is_behind);
        self.behind = found.unwrap_or(0);
        found.is_some()
    }

    /// The decision of the contact place (SIMP-3.8-1): the access control list says whether, the mapping list
    /// what (design 6). Who has said what is to be seen of him has said enough, unless a list of his forbids it.
    pub fn permits(&self, from: &Address, operation: Operation) -> bool {
        let watches = matches!(operation, Operation::Fetch | Operation::Subscribe);
        if watches && self.list.as_ref().is_some_and(|list| list.decides()) {
            let seen = !matches!(self.view(from), View::Denied);
            return seen && self.acl.as_ref().is_none_or(|acl| acl.1.permits(from, operation));
        }
        match &self.acl {
            Some(acl) => acl.1.permits(from, operation),
            None => {
                acl::default_permits(&self.address, self.policy, from, operation)
                    || (self.policy == WatcherPolicy::Ask && watches && self.watches_back(from))
            }
        }
    }

    /// Does he watch this one, or will he when he is back?
    pub(super) fn watches_back(&self, whom: &Address) -> bool {
        !self.watching.of(whom).is_empty() || self.contacts.binary_search(whom).is_ok()
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
            && self.noting == 0
            && !self.dirty
            && self.delivering == 0
            && self.list.as_ref().is_none_or(|list| list.is_settled())
            && self.watches.iter().all(|(_, watch)| watch.is_settled())
            && self.watching.iter().all(Watching::is_settled)
    }
}

/// What a profile says of its user (SIMP-3.7-4).
fn message_of(profile: &Entries) -> &str {
    profile.iter().find(|(key, _)| key == "message").map_or("", |(_, value)| value)
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
    pub takes: Takes,
    pub queue: Queue,
}

/// What an endpoint takes.
#[derive(Debug)]
pub(super) enum Takes {
    /// All there is.
    Everything,
    /// Messages, from those it listens to.
    Messages(Listens),
    /// News of those it watches.
    News(Box<Watcher>),
}

/// To whom an inbox listens.
#[derive(Debug)]
pub(super) enum Listens {
    /// To nobody, or not yet.
    No,
    /// To everybody, as most do: that needs no memory.
    Freely,
    /// To those who pass.
    To(Box<Filter>),
}

impl Listens {
    /// By what was asked for. A filter that lets nobody through ends it (TOC-62).
    pub fn by(filter: Filter) -> Listens {
        if filter.accepts_nobody() {
            Listens::No
        } else if filter.accepts_everybody() {
            Listens::Freely
        } else {
            Listens::To(Box::new(filter))
        }
    }
}

/// An endpoint that watches by itself.
#[derive(Debug)]
pub(super) struct Watcher {
    /// What its subscriptions are named (PITP-11.7-5).
    pub token: String,
    /// Does it want to hear who watches its user?
    pub wants_watchers: bool,
    /// Entries of the mapping list that it has fetched in order to change them.
    pub guards: Vec<super::mappings::Guard>,
}

impl Endpoint {
    /// Does it take messages from this sender?
    pub fn listens_to(&self, sender: &Address) -> bool {
        match &self.takes {
            Takes::Everything => true,
            Takes::Messages(Listens::No) => false,
            Takes::Messages(Listens::Freely) => true,
            Takes::Messages(Listens::To(filter)) => filter.accepts(sender),
            Takes::News(_) => false,
        }
    }

    /// Does it take messages from anybody?
    pub fn listens(&self) -> bool {
        matches!(self.takes, Takes::Everything | Takes::Messages(Listens::Freely | Listens::To(_)))
    }

    pub fn seat(&self) -> Seat {
        match self.takes {
            Takes::Everything => Seat::Whole,
            Takes::Messages(_) => Seat::Inbox,
            Takes::News(_) => Seat::Watcher,
        }
    }

    pub fn watcher(&self) -> Option<&Watcher> {
        match &self.takes {
            Takes::News(watcher) => Some(watcher),
            Takes::Everything | Takes::Messages(_) => None,
        }
    }

    pub fn watcher_mut(&mut self) -> Option<&mut Watcher> {
        match &mut self.takes {
            Takes::News(watcher) => Some(watcher),
            Takes::Everything | Takes::Messages(_) => None,
        }
    }
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

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Account> {
        self.slots.iter().filter_map(|(_, account)| account.as_deref())
    }
}
