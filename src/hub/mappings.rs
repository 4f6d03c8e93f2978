//! Who sees what of a user's presence: the ordered list of mappings from watcher class to document that his
//! client edits by number (PITP-5-2 to PITP-5-7).
//!
//! Edits of one list are done one after another: each is checked, written down, and only then made in memory
//! and answered; the next one waits for that (TOC-74). What the watchers are then told follows from comparing
//! what each sees with what he was last told.

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use super::account::AccountKey;
use super::address::{Address, Domains};
use super::op::{Answer, EndpointId, Origin, Refusal};
use super::pattern::{Class, PRESENCE};
use super::subscription::mark_of;
use super::transaction::Kind;
use super::{Hub, Outlet, Then};
use crate::clock::Now;
use crate::limits;
use crate::store::record::{Document, Gist, Mapping, MappingEdit, Outcome, Shown, Write};

/// What the watchers of a mapping see.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub document: Arc<Document>,
    pub gist: Gist,
    pub description: Option<Arc<str>>,
    /// A fingerprint of the document.
    pub mark: u64,
}

impl Seen {
    fn new(shown: Shown) -> Seen {
        let description = shown.gist.description.as_deref().map(Arc::from);
        Seen { mark: mark_of(&shown.document), document: shown.document, gist: shown.gist, description }
    }
}

#[derive(Debug)]
struct Entry {
    /// Never used again within this list.
    id: u64,
    class: Class,
    shown: Option<Seen>,
    /// Counts the changes of what is shown.
    version: u64,
}

/// A user's list.
#[derive(Debug, Default)]
pub(super) struct List {
    entries: Vec<Entry>,
    ids: u64,
    /// The first of them is being written down.
    edits: VecDeque<Pending>,
}

#[derive(Debug)]
struct Pending {
    origin: Origin,
    endpoint: EndpointId,
    at: u32,
    edit: Edit,
}

/// What is done to the list.
#[derive(Debug, Clone)]
pub enum Edit {
    /// A new mapping takes this number.
    Insert {
        /// For whom.
        class: Class,
        /// What they see.
        shown: Option<Shown>,
    },
    /// It goes.
    Delete,
    /// Its watchers see this from now on.
    Show(Option<Shown>),
    /// It is for these watchers from now on.
    Classify(Class),
}

/// A mapping that an endpoint has fetched in order to change it (PITP-15.5-3).
#[derive(Debug)]
pub(super) struct Guard {
    number: u32,
    id: u64,
    version: u64,
}

/// Which mapping was found to be a watcher's, and in which state of the list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    state: u32,
    at: u32,
}

/// What a watcher sees.
pub(super) enum View<'a> {
    /// The user has said nothing about who sees what: what is known of him.
    Live,
    /// Nothing.
    Denied,
    /// This.
    Shown(&'a Seen),
}

impl List {
    /// As it was written down; none if nothing was.
    pub fn from_records(mappings: Vec<Mapping>, domains: &Domains) -> Option<Box<List>> {
        if mappings.is_empty() {
            return None;
        }
        let mut list = List::default();
        for mapping in mappings {
            // It was parsed before it was written down; one edited by hand that is none lets nobody in.
            let class = Class::parse_stored(&mapping.class, &PRESENCE, domains).unwrap_or_default();
            list.insert(list.entries.len(), class, mapping.shown);
        }
        Some(Box::new(list))
    }

    fn insert(&mut self, at: usize, class: Class, shown: Option<Shown>) {
        self.ids += 1;
        let entry = Entry { id: self.ids, class, shown: shown.map(Seen::new), version: 0 };
        self.entries.insert(at.min(self.entries.len()), entry);
    }

    /// The first mapping whose class has the watcher decides (PITP-5-4 to PITP-5-6).
    pub fn view(&self, watcher: &Address) -> View<'_> {
        self.view_at(self.find(watcher))
    }

    /// The same for one whose mapping may have been found before. `state`: counts what has happened to the list
    /// that may have changed which mapping is whose.
    pub fn view_again(&self, watcher: &Address, state: u32, found: &Cell<Found>) -> View<'_> {
        if found.get().state != state {
            found.set(Found { state, at: self.find(watcher) as u32 });
        }
        self.view_at(found.get().at as usize)
    }

    /// The first mapping whose class has the watcher; beyond the last: none.
    fn find(&self, watcher: &Address) -> usize {
        let decides = self.entries.iter().position(|entry| entry.class.contains(watcher));
        decides.unwrap_or(self.entries.len())
    }

    fn view_at(&self, at: usize) -> View<'_> {
        if self.entries.is_empty() {
            return View::Live;
        }
        self.entries.get(at).and_then(|entry| entry.shown.as_ref()).map_or(View::Denied, View::Shown)
    }

    /// Has the user said who sees what?
    pub fn decides(&self) -> bool {
        !self.entries.is_empty()
    }

    pub fn is_settled(&self) -> bool {
        self.edits.is_empty()
    }

    fn entry(&self, number: u32) -> Result<&Entry, Refusal> {
        let index = (number as usize).checked_sub(1).ok_or(Refusal::OutOfRange)?;
        self.entries.get(index).ok_or(Refusal::OutOfRange)
    }

    /// Octets of all documents.
    fn octets(&self) -> usize {
        self.entries.iter().map(octets_of).sum()
    }

    /// May it be done?
    fn check(&self, at: u32, edit: &Edit) -> Result<(), Refusal> {
        let mut replaced = 0;
        let grows = match edit {
            Edit::Insert { shown, .. } => {
                if at == 0 || at as usize > self.entries.len() + 1 {
                    return Err(Refusal::OutOfRange);
                }
                if self.entries.len() >= limits::MAPPINGS {
                    return Err(Refusal::QuotaExceeded);
                }
                shown.as_ref()
            }
            Edit::Show(shown) => {
                replaced = octets_of(self.entry(at)?);
                shown.as_ref()
            }
            Edit::Delete | Edit::Classify(_) => {
                self.entry(at)?;
                None
            }
        };
        let more = grows.map_or(0, |shown| shown.document.octets.len());
        let fits = more == 0 || self.octets() - replaced + more <= limits::PRESENCE_OCTETS;
        if fits { Ok(()) } else { Err(Refusal::QuotaExceeded) }
    }

    fn make(&mut self, at: u32, edit: Edit) {
        let index = (at as usize).saturating_sub(1);
        match edit {
            Edit::Insert { class, shown } => self.insert(index, class, shown),
            Edit::Delete => {
                if index < self.entries.len() {
                    self.entries.remove(index);
                }
            }
            Edit::Show(shown) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    let shown = shown.map(Seen::new);
                    // The same again is no change (TOC-73).
                    let same = match (&entry.shown, &shown) {
                        (Some(old), Some(new)) => old.document == new.document,
                        (None, None) => true,
                        (Some(_), None) | (None, Some(_)) => false,
                    };
                    entry.version += u64::from(!same);
                    entry.shown = shown;
                }
            }
            Edit::Classify(class) => {
                if let Some(entry) = self.entries.get_mut(index) {
                    entry.class = class;
                }
            }
        }
    }
}

fn octets_of(entry: &Entry) -> usize {
    entry.shown.as_ref().map_or(0, |shown| shown.document.octets.len())
}

impl Edit {
    fn record(&self, at: u32) -> MappingEdit {
        match self {
            Edit::Insert { class, shown } => MappingEdit::Insert {
                at,
                mapping: Mapping { class: class.to_stored().to_owned(), shown: shown.clone() },
            },
            Edit::Delete => MappingEdit::Delete { at },
            Edit::Show(shown) => MappingEdit::SetShown { at, shown: shown.clone() },
            Edit::Classify(class) => MappingEdit::SetClass { at, class: class.to_stored().to_owned() },
        }
    }
}

impl Hub {
    /// The mapping of this number, for its owner: who it is for and what they see.
    fn entry_of(&self, id: EndpointId, number: u32) -> Result<(&Entry, AccountKey), Refusal> {
        let endpoint = self.endpoints.get(id.0 as usize).ok_or(Refusal::NotFound)?;
        let account = self.accounts.get(endpoint.account).ok_or(Refusal::NotFound)?;
        let list = account.list.as_ref().ok_or(Refusal::OutOfRange)?;
        Ok((list.entry(number)?, endpoint.account))
    }

    /// Who a mapping is for (PITP-15.7-2).
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`].
    pub fn class(&self, id: EndpointId, number: u32) -> Result<&Class, Refusal> {
        self.entry_of(id, number).map(|(entry, _)| &entry.class)
    }

    /// What a mapping shows, for an endpoint that is about to change it: if somebody else does meanwhile, the
    /// endpoint's next [`Edit::Show`] of that number is refused (PITP-15.5-2, PITP-15.5-3).
    ///
    /// # Errors
    /// [`Refusal::OutOfRange`].
    pub fn fetch_for_update(
        &mut self,
        id: EndpointId,
        number: u32,
    ) -> Result<Option<Arc<Document>>, Refusal> {
        let (entry, _) = self.entry_of(id, number)?;
        let document = entry.shown.as_ref().map(|shown| Arc::clone(&shown.document));
        let guard = Guard { number, id: entry.id, version: entry.version };
        if let Some(watcher) = self.endpoints.get_mut(id.0 as usize).and_then(|e| e.watcher_mut()) {
            watcher.guards.retain(|guard| guard.number != number);
            if watcher.guards.len() >= limits::MAPPINGS {
                watcher.guards.remove(0);
            }
            watcher.guards.push(guard);
        }
        Ok(document)
    }

    /// Edits the list of the user behind an endpoint; answered when it is committed. The numbers count from 1.
    pub fn edit(
        &mut self,
        now: Now,
        origin: Origin,
        endpoint: EndpointId,
        at: u32,
        edit: Edit,
        out: &mut impl Outlet,
    ) {
        let key = self.endpoints.get(endpoint.0 as usize).map(|endpoint| endpoint.account);
        let Some((key, account)) = key.and_then(|key| Some((key, self.accounts.get_mut(key)?))) else {
            return super::orphaned(origin, Kind::Own, out);
        };
        let list = account.list.get_or_insert_default();
        list.edits.push_back(Pending { origin, endpoint, at, edit });
        if list.edits.len() == 1 {
            self.next_edit(now, key, out);
        }
    }

    /// Starts with the first of the edits that can be made; those before it are refused.
    fn next_edit(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        loop {
            let Some(account) = self.accounts.get_mut(key) else { return };
            let Some(list) = account.list.as_mut() else { return };
            let Some(first) = list.edits.front() else {
                if !list.decides() {
                    account.list = None;
                }
                return self.may_forget(key);
            };
            let at = first.at;
            let endpoint = self.endpoints.get_mut(first.endpoint.0 as usize).filter(|e| e.account == key);
            let raced = match (&first.edit, endpoint.and_then(|e| e.watcher_mut())) {
                (Edit::Show(_), Some(watcher)) => take_guard(&mut watcher.guards, at).is_some_and(|guard| {
                    list.entry(at).is_ok_and(|e| e.id != guard.id || e.version != guard.version)
                }),
                _ => false,
            };
            let checked = list.check(at, &first.edit);
            let refusal = checked.err().or(raced.then_some(Refusal::Raced));
            let Some(refusal) = refusal else {
                let id = account.id;
                let write = Write::EditMapping { account: id, edit: first.edit.record(at) };
                account.unsettled += 1;
                self.about_to_change(key);
                return self.write(write, Then::Edited { key });
            };
            let owner = account.address.clone();
            if let Some(refused) = list.edits.pop_front() {
                let answer = Answer::refused(refusal);
                self.reply(now, refused.origin, Kind::Own, &owner, &owner, answer, out);
            }
        }
    }

    /// The first edit is committed, or could not be.
    pub(super) fn edited(
        &mut self,
        now: Now,
        key: AccountKey,
        outcome: Option<Outcome>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(list) = account.list.as_mut() else { return };
        let Some(Pending { origin, endpoint, at, edit }) = list.edits.pop_front() else { return };
        if outcome == Some(Outcome::Done) {
            let endpoint = self.endpoints.get_mut(endpoint.0 as usize).filter(|e| e.account == key);
            if let Some(watcher) = endpoint.and_then(|endpoint| endpoint.watcher_mut()) {
                renumber(&mut watcher.guards, at, &edit);
            }
            list.make(at, edit);
            account.list_changed();
        }
        self.own_reply(now, key, origin, Kind::Own, None, outcome, out);
        if outcome == Some(Outcome::Done) {
            self.end_refused_watches(now, key, out);
            self.mark_dirty(key);
        }
        self.next_edit(now, key, out);
    }
}

/// The guard of a number is spent by the first change of it, whatever becomes of that.
fn take_guard(guards: &mut Vec<Guard>, number: u32) -> Option<Guard> {
    let at = guards.iter().position(|guard| guard.number == number)?;
    Some(guards.swap_remove(at))
}

/// An endpoint's own insertions and deletions move what it guards (TOC-73).
fn renumber(guards: &mut Vec<Guard>, at: u32, edit: &Edit) {
    match edit {
        Edit::Insert { .. } => {
            guards.iter_mut().filter(|guard| guard.number >= at).for_each(|guard| guard.number += 1);
        }
        Edit::Delete => {
            guards.retain(|guard| guard.number != at);
            guards.iter_mut().filter(|guard| guard.number > at).for_each(|guard| guard.number -= 1);
        }
        Edit::Show(_) | Edit::Classify(_) => {}
    }
}
