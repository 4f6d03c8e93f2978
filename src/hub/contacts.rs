//! Contact lists: the contact place watches, for its user and while he is online, whom he has on his
//! list (SIMP-15-1, OC-48); and the subscriptions that users make themselves are remembered, so that
//! news of strangers can be told from news that was asked for (OC-04).

use std::time::Duration;

use super::account::AccountKey;
use super::acl::Operation;
use super::address::Address;
use super::op::{Answer, Envelope, Lease, Origin, Refusal, Report, Request};
use super::subscription::{Watching, WatchingState, fingerprint};
use super::{Errand, Hub, Kind, Outlet, Then};
use crate::clock::Now;
use crate::limits;
use crate::store::record::{Outbound, Write};

/// Between two tries to reach the server of a contact: doubled each time, up to 16 times.
const RETRY: Duration = Duration::from_secs(60);

impl Hub {
    /// The contact list of a user who is online, whole: who is new on it is watched, who is no longer on it
    /// is not.
    pub fn set_contacts(&mut self, now: Now, key: AccountKey, list: Vec<Address>, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let gone: Vec<_> = account
            .watching
            .iter()
            .filter(|w| w.automatic && !list.contains(&w.presentity))
            .map(|w| w.presentity.clone())
            .collect();
        let new: Vec<_> = list
            .into_iter()
            .filter(|a| !account.watching.iter().any(|w| w.automatic && w.presentity == *a))
            .collect();
        for presentity in gone {
            self.give_up(now, key, &presentity, out);
        }
        for presentity in new {
            let Some(account) = self.accounts.get_mut(key) else { return };
            account.watching.push(Watching {
                presentity: presentity.clone(),
                token: String::new(),
                expires: Some(now.date),
                automatic: true,
                state: WatchingState::Asking { tries: 0 },
                seen: None,
            });
            self.ask(now, key, presentity, 0, out);
        }
    }

    /// A further endpoint of the user has come: the states of his contacts are asked for anew, so that it
    /// is shown them too.
    pub fn refresh_contacts(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let mut live = Vec::new();
        for watching in account.watching.iter_mut().filter(|w| w.automatic) {
            if matches!(watching.state, WatchingState::Live { .. }) {
                watching.seen = None;
                live.push(watching.presentity.clone());
            }
        }
        for presentity in live {
            self.ask(now, key, presentity, 0, out);
        }
    }

    /// The user has gone: what was watched for him only while he was online is given up.
    pub(super) fn give_up_contacts(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        self.set_contacts(now, key, Vec::new(), out);
    }

    fn give_up(&mut self, now: Now, key: AccountKey, presentity: &Address, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let Some(at) = account.watching.iter().position(|w| w.automatic && w.presentity == *presentity)
        else {
            return;
        };
        let watching = account.watching.swap_remove(at);
        let watcher = account.address.clone();
        if !watching.token.is_empty() {
            self.end_foreign(now, watcher, watching.presentity, watching.token, out);
        }
    }

    /// Ends a subscription that nobody here wants any more; nobody waits for the answer.
    fn end_foreign(&mut self, now: Now, from: Address, to: Address, token: String, out: &mut impl Outlet) {
        let request = Request::Unsubscribe { token: token.into() };
        self.request(now, Origin::Nobody, Envelope { to, from, request, native: None }, out);
    }

    fn ask(&mut self, now: Now, key: AccountKey, presentity: Address, tries: u8, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let from = account.address.clone();
        let Some(watching) = account.contact(&presentity) else { return };
        watching.state = WatchingState::Asking { tries };
        let request = Request::Subscribe(Lease::Longest);
        let origin = Origin::Hub(Errand::Watch { key });
        self.request(now, origin, Envelope { to: presentity, from, request, native: None }, out);
    }

    /// The server of a contact has answered.
    pub(super) fn contact_answered(
        &mut self,
        now: Now,
        key: AccountKey,
        presentity: &Address,
        answer: &Answer<'_>,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let watcher = account.address.clone();
        let Some(watching) = account.contact(presentity) else {
            // The user has left, or has taken him off the list, meanwhile.
            if let Answer::Granted { token, .. } = answer {
                self.end_foreign(now, watcher, presentity.clone(), token.to_string(), out);
            }
            return;
        };
        let WatchingState::Asking { tries } = watching.state else {
            // It was asked for twice, and the other answer came first.
            if let Answer::Granted { token, .. } = answer {
                self.end_foreign(now, watcher, presentity.clone(), token.to_string(), out);
            }
            return;
        };
        match answer {
            Answer::Granted { report, millis, token } if token.len() <= limits::FOREIGN_TOKEN => {
                let lease = Duration::from_millis((*millis).max(1000) as u64);
                watching.state = WatchingState::Live { renew: Some(now.tick + lease * 4 / 5) };
                watching.expires = Some(now.date + lease);
                let old = std::mem::replace(&mut watching.token, token.to_string());
                if !old.is_empty() {
                    self.end_foreign(now, watcher, presentity.clone(), old, out);
                }
                let report = Report { presentity: presentity.clone(), presence: report.presence.clone() };
                self.show(now, key, report, out);
            }
            Answer::Refused {
                refusal: Refusal::Communications | Refusal::NoAnswer | Refusal::Resources,
                ..
            } => {
                let at = now.tick + RETRY * (1 << u32::from(tries.min(4)));
                watching.state = WatchingState::Again { at, tries: tries.saturating_add(1) };
            }
            Answer::Refused { .. } | Answer::Ok(_) | Answer::Described(_) | Answer::Granted { .. } => {
                watching.state = WatchingState::Refused;
            }
        }
        self.schedule(now, key);
    }

    /// The first state of a contact goes to the user like a change of it.
    fn show(&mut self, now: Now, key: AccountKey, report: Report, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let from = Address::of(super::op::NOTIFIER, report.presentity.domain());
        if !account.permits(&from, Operation::Change) || !account.saw(&report) {
            return;
        }
        let to = account.address.clone();
        let change = Envelope { to, from, request: Request::Change(report), native: None };
        self.fan_out(now, Origin::Nobody, key, change, out);
    }

    /// The timer of the account: contacts whose lease wants renewal or whose server is tried again.
    pub(super) fn contacts_due(&mut self, now: Now, key: AccountKey, out: &mut impl Outlet) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.watching.retain(|w| w.automatic || w.lasts(now.date));
        let due: Vec<_> = account
            .watching
            .iter()
            .filter_map(|w| match w.state {
                WatchingState::Live { renew: Some(at) } if at <= now.tick => Some((w.presentity.clone(), 0)),
                WatchingState::Again { at, tries } if at <= now.tick => Some((w.presentity.clone(), tries)),
                _ => None,
            })
            .collect();
        for (presentity, tries) in due {
            self.ask(now, key, presentity, tries, out);
        }
    }

    /// A user's own subscription was granted: it is remembered before he hears of it.
    pub(super) fn remember_granted(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        presentity: Address,
        answer: Answer<'static>,
        out: &mut impl Outlet,
    ) {
        let Answer::Granted { millis, token, .. } = &answer else { return };
        let Some(account) = self.accounts.get_mut(key) else { return };
        if account.watching.len() >= limits::SUBSCRIPTIONS_PER_ACCOUNT || token.len() > limits::FOREIGN_TOKEN
        {
            let (watcher, token) = (account.address.clone(), token.to_string());
            self.end_foreign(now, watcher, presentity, token, out);
            if let Origin::Peer { handle, tag } = origin {
                out.answer(handle, &tag, Kind::Subscribe, &Answer::refused(Refusal::QuotaExceeded));
            }
            return;
        }
        let expires = now.date + Duration::from_millis((*millis).max(0) as u64);
        let outbound =
            Outbound { presentity, token: token.to_string(), expires: Some(expires), automatic: false };
        // Leases that have run out are forgotten here, so that the list can't grow for ever.
        account.watching.retain(|w| w.automatic || w.lasts(now.date));
        // News is let in from now on: the other side does not wait for our disk.
        account.watching.push(Watching::kept(outbound.clone()));
        account.unsettled += 1;
        let write = Write::PutOutbound { account: account.id, outbound: outbound.clone() };
        self.write(write, Then::Remembered { key, origin, outbound, answer });
    }

    /// It could not be written down: it is not kept here, and ended there.
    pub(super) fn not_remembered(
        &mut self,
        now: Now,
        key: AccountKey,
        outbound: Outbound,
        out: &mut impl Outlet,
    ) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        account.watching.retain(|w| w.token != outbound.token || w.presentity != outbound.presentity);
        let watcher = account.address.clone();
        self.end_foreign(now, watcher, outbound.presentity, outbound.token, out);
    }

    /// A user's own subscription has ended: by him (with its token) or by the presentity's side.
    pub(super) fn forget_outbound(&mut self, key: AccountKey, presentity: &Address, token: Option<&str>) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let before = account.watching.len();
        account.watching.retain(|w| {
            w.automatic || w.presentity != *presentity || token.is_some_and(|token| token != w.token)
        });
        if account.watching.len() != before {
            let write = Write::RemoveOutbound {
                account: account.id,
                presentity: presentity.clone(),
                token: token.map(str::to_owned),
            };
            self.write(write, Then::Nothing);
        }
    }

    /// The presentity's side has ended what was watched for the user: asked for again after a while.
    pub(super) fn contact_ended(&mut self, now: Now, key: AccountKey, presentity: &Address) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        if let Some(watching) = account.contact(presentity) {
            watching.token.clear();
            watching.state = WatchingState::Again { at: now.tick + RETRY, tries: 1 };
            self.schedule(now, key);
        }
    }
}

impl super::account::Account {
    fn contact(&mut self, presentity: &Address) -> Option<&mut Watching> {
        self.watching.iter_mut().find(|w| w.automatic && w.presentity == *presentity)
    }

    /// Does he watch this one, as far as we know? (OC-04)
    pub fn watches(&self, presentity: &Address, now: Now) -> bool {
        self.watching.iter().any(|w| {
            w.presentity == *presentity
                && match w.state {
                    WatchingState::Live { .. } => w.automatic || w.lasts(now.date),
                    // The other side may tell the first change before its grant has arrived.
                    WatchingState::Asking { .. } => true,
                    WatchingState::Again { .. } | WatchingState::Refused => false,
                }
        })
    }

    /// Notes what he is about to be shown of a presentity; false if he has seen just that.
    pub fn saw(&mut self, report: &Report) -> bool {
        let presence = &report.presence;
        let seen = fingerprint(presence.online, presence.since, &presence.description);
        let mut fresh = true;
        for watching in self.watching.iter_mut().filter(|w| w.presentity == report.presentity) {
            fresh &= watching.seen.replace(seen) != Some(seen);
        }
        fresh
    }
}
