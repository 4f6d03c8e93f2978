//! What watchers are told: at the end of a tick every account whose presence may have changed compares what
//! each watcher was last told with what he is to see now, so changes within a tick merge, and so do changes
//! while a notification is on its way. What a watcher was told counts from his `okay` on.

use std::borrow::Cow;
use std::num::NonZeroU64;
use std::time::Duration;

use compact_str::CompactString;

use super::account::AccountKey;
use super::address::Address;
use super::op::{Answer, Envelope, NOTIFIER, Notice, Origin, Presence, Refusal, Report, Request};
use super::subscription::{Watch, mark_of_presence};
use super::{Errand, Hub, Kind, Outlet, Then};
use crate::clock::{Date, Now, Tick};
use crate::limits;
use crate::store::record::Write;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Telling {
    /// Nothing on its way.
    Quiet,
    /// He has been told this and has not answered; so many tries went unanswered before.
    Asked { fingerprint: u64, tries: u8 },
    /// He will be told again then.
    Again { at: Tick, tries: u8 },
}

/// When a notification that was not answered is tried again; none: never, the subscription is over. One that
/// has no lease to end it is worth more patience: its watcher's server may be gone for a day (TOC-81).
fn pause(tries: u8, named: bool) -> Option<Duration> {
    let pauses = if named { &limits::NOTIFY_RETRY_NAMED[..] } else { &limits::NOTIFY_RETRY[..] };
    let last = pauses.last().filter(|_| named && usize::from(tries) < limits::NOTIFY_TRIES_NAMED);
    pauses.get(usize::from(tries)).or(last).copied()
}

/// The fingerprint that was made last, and of what: all who watch somebody are shown the same.
#[derive(Debug, Default)]
pub(super) struct Marks {
    last: Option<(Presence, NonZeroU64)>,
}

impl Marks {
    /// What [`mark_of_presence`] says.
    pub fn of(&mut self, presence: &Presence) -> NonZeroU64 {
        if let Some((last, mark)) = &self.last
            && last == presence
        {
            return *mark;
        }
        let mark = mark_of_presence(presence);
        self.last = Some((presence.clone(), mark));
        mark
    }
}

impl Hub {
    /// Tells every watcher who was last told something else (SIMP-6.1-3, PITP-15.1-5).
    pub(super) fn notify_watchers(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.dirty = false;
        if account.watches.is_empty() && self.granting.of(key).next().is_none() {
            return;
        }
        self.note_told(key);
        let Some(account) = self.accounts.get(key) else { return };
        // Whoever hears that he is online has to hear of the end of it, also after a restart.
        let is_held = |watch: &Watch| account.is_told_unnoted() && watch.is_durable();
        let due: Vec<u32> = account
            .watches
            .iter()
            .filter(|(_, w)| {
                w.telling == Telling::Quiet
                    && !w.owed
                    && w.told != account.shown_in(w)
                    && w.is_live(now.tick)
                    && !is_held(w)
            })
            .map(|(at, _)| at as u32)
            .collect();
        for watch in due {
            if self.told >= limits::TOLD_AT_ONCE {
                // Octets for thousands need not all be in memory at once: the others are told in the next tick.
                return self.mark_dirty(key);
            }
            self.notify(now, key, watch, 0, out);
        }
    }

    /// Tells one watcher the present state.
    pub(super) fn notify(&mut self, now: Now, key: AccountKey, watch: u32, tries: u8, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(place) = account.watches.get(watch as usize) else { return };
        let fingerprint = account.shown_in(place);
        let Some(presence) = account.presence_in(place) else { return };
        let report = Report { presentity: account.address.clone(), presence };
        let document = report.presence.document.as_ref().map_or(0, |document| document.octets.len());
        self.told += report.presence.description.len() + document;
        let Some(place) = account.watches.get_mut(watch as usize) else { return };
        place.telling = Telling::Asked { fingerprint, tries };
        // Until he answers nobody knows what he believes: he has yet to hear the last, also if that is what he was told
        // before.
        place.told = !fingerprint;
        place.leases.iter_mut().for_each(|lease| lease.crossing = false);
        let (to, serial, here) = (place.watcher.clone(), place.serial, place.here);
        // A watcher of another domain may be told in a protocol whose news name a subscription, whatever it was
        // asked for in: any of its tokens will do.
        let foreign = here.is_none() && !self.domains.contains(to.domain());
        let any = place.leases.first().filter(|_| foreign);
        let name = place.name().or(any.map(|lease| lease.token.as_str()));
        // Names given by us fit into it without an allocation.
        let name = name.map(CompactString::new);
        let from = self.notifier(report.presentity.domain());
        self.counters.notifications += 1;
        let name = name.as_deref().map(Cow::Borrowed);
        let change = Envelope::ours(from, to, Request::Change(Notice { report, name }));
        let origin = Origin::Hub(Errand::Notify { key, watch, serial });
        match here.filter(|watcher| self.accounts.get(*watcher).is_some()) {
            Some(watcher) => self.request_here(now, origin, Kind::Change, watcher, change, out),
            None => {
                let here = self.loaded(&change.to);
                let account = self.accounts.get_mut(key);
                if let Some(watch) = account.and_then(|account| account.watches.get_mut(watch as usize)) {
                    watch.here = here;
                }
                self.request(now, origin, change, out);
            }
        }
    }

    /// A watcher has answered a notification, or has not (SIMP-6.1-5 to SIMP-6.1-7, OC-43, TOC-81).
    pub(super) fn notified(
        &mut self,
        now: Now,
        key: AccountKey,
        (at, serial): (u32, u32),
        watcher: &Address,
        answer: &Answer<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(watch) = account.watches.get_mut(at as usize).filter(|w| w.serial == serial) else {
            return;
        };
        let Telling::Asked { fingerprint, tries } = watch.telling else { return };
        watch.telling = Telling::Quiet;
        let named = watch.named;
        let unkind = match answer {
            Answer::Ok(_) => {
                watch.told = fingerprint;
                let watch = account.watches.get(at as usize);
                let changed = watch.is_some_and(|watch| fingerprint != account.shown_in(watch));
                if changed {
                    self.mark_dirty(key);
                }
                return self.note_caught_up(key);
            }
            Answer::Refused { refusal: Refusal::NoListeners, .. }
                if !named && self.domains.contains(watcher.domain()) =>
            {
                watch.owed = true;
                return;
            }
            Answer::Refused { refusal, .. } => *refusal,
            Answer::Described(_) | Answer::Granted { .. } => Refusal::Malformed,
        };
        let passing = match unkind {
            Refusal::NoAnswer | Refusal::Communications | Refusal::NoSuchDomain | Refusal::Resources => true,
            Refusal::NotSubscribed | Refusal::SourceRefused | Refusal::Unsupported | Refusal::Malformed => {
                false
            }
            _ => named,
        };
        if passing && watch.leases.iter().any(|lease| lease.crossing) {
            // He has asked since: his server is there again.
            return self.mark_dirty(key);
        }
        match pause(tries, named).filter(|_| passing) {
            Some(pause) => {
                let at = now.tick + pause;
                watch.telling = Telling::Again { at, tries: tries + 1 };
                self.schedule_at(now, key, at);
            }
            None => self.forget_watch(key, at as usize, out),
        }
    }

    /// A user of ours is back: presentities of ours who could not tell him something do it now.
    pub(super) fn collect_owed(&mut self, key: AccountKey) {
        let Some(account) = self.accounts.get(key) else { return };
        let watcher = account.address.clone();
        let presentities: Vec<_> = account
            .watching
            .iter()
            .filter(|w| self.domains.contains(w.presentity.domain()))
            .filter_map(|w| self.loaded(&w.presentity))
            .collect();
        for presentity in presentities {
            let Some(account) = self.accounts.get_mut(presentity) else { continue };
            let owed = account.watches.of(&watcher).find(|(_, watch)| watch.owed).map(|(at, _)| at);
            if let Some(watch) = owed.and_then(|at| account.watches.get_mut(at)) {
                watch.owed = false;
                self.mark_dirty(presentity);
            }
        }
    }

    /// What watchers see is about to change, with the batch that this goes into: a crash after it must not keep
    /// them from hearing of it.
    pub(super) fn about_to_change(&mut self, key: AccountKey) {
        let granting = self.granting.of(key).next().is_some();
        let Some(account) = self.accounts.get_mut(key) else { return };
        if !account.untold_kept && (granting || account.is_watched_for_long()) {
            account.untold = true;
            account.noting += 1;
            let write = Write::SetUntold { account: account.id, untold: true };
            self.write(write, Then::Untold { key });
        }
    }

    /// Notes in the store that watchers may believe him online, or that none does any more, so that a restart
    /// can put it right. Only for those who are watched: nobody else is told anything.
    pub(super) fn note_told(&mut self, key: AccountKey) {
        self.note_caught_up(key);
        let Some(account) = self.accounts.get_mut(key) else { return };
        // What is noted of somebody online does not depend on who has heard of it already.
        let online = account.online();
        let granting = self.granting.of(key).next().is_some();
        let since = online.filter(|_| granting || account.is_watched_for_long());
        if online.is_some() && account.told_online != since {
            self.set_told_online(key, since);
        }
    }

    /// Notes in the store that all watchers have heard the last.
    fn note_caught_up(&mut self, key: AccountKey) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let untold = account.untold && account.unsettled == 0 && !account.is_editing();
        let noted = account.told_online.is_some() || account.told_kept;
        let told_online = !account.is_online() && noted;
        if !(untold || told_online) || account.has_watcher_behind() {
            return;
        }
        if untold {
            (account.untold, account.untold_kept) = (false, false);
            let write = Write::SetUntold { account: account.id, untold: false };
            self.write(write, Then::Nothing);
        }
        if told_online {
            self.set_told_online(key, None);
        }
    }

    pub(super) fn set_told_online(&mut self, key: AccountKey, since: Option<Date>) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.told_online = since;
        account.told_kept &= since.is_some();
        account.noting += 1;
        let write = Write::SetToldOnline { account: account.id, since };
        self.write(write, Then::Told { key, since });
    }

    /// The store knows of it: what waited for that is told. Or it could not be written down: that is tried again.
    pub(super) fn told_noted(&mut self, now: Now, key: AccountKey, since: Option<Date>, kept: bool) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.noting = account.noting.saturating_sub(1);
        if since.is_some() && kept && account.told_online.is_some() {
            if !std::mem::replace(&mut account.told_kept, true) {
                self.mark_dirty(key);
            }
        } else if since.is_some() && !kept && account.told_online == since {
            account.told_online = None;
            self.untaken(now, key);
        }
        self.may_forget(key);
    }

    /// The store knows that watchers have yet to be told something; or the change itself could not be kept.
    pub(super) fn untold_noted(&mut self, key: AccountKey, kept: bool) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.noting = account.noting.saturating_sub(1);
        account.untold_kept |= kept && account.untold;
        self.may_forget(key);
    }

    /// The server's own address in a domain (SIMP-6-2).
    pub(super) fn notifier(&self, domain: &str) -> Address {
        let known = self.notifiers.iter().find(|address| address.domain() == domain);
        known.cloned().unwrap_or_else(|| Address::of(NOTIFIER, domain))
    }
}
