//! Subscriptions between the question and the disk: `subscription` grants them, and they count from then on.

use std::collections::BTreeMap;

use super::account::{Account, AccountKey};
use super::address::Address;
use super::delivery::Asked;
use super::op::Origin;
use super::transaction::Kind;
use super::{Hub, Outlet};
use crate::clock::Now;
use crate::store::record::{Inbound, Outcome};

/// Subscriptions that are being written down, by presentity, watcher and token: they count for the limits, and
/// what is asked of one of them meanwhile waits for it, in order.
#[derive(Debug, Default)]
pub(super) struct Granting(BTreeMap<AccountKey, BTreeMap<(Address, String), Pending>>);

#[derive(Debug)]
struct Pending {
    named: bool,
    waiting: Vec<(Origin, Next)>,
}

/// What is asked of a subscription that is being written down.
#[derive(Debug)]
pub(super) enum Next {
    Subscribe(Asked),
    Unsubscribe,
}

impl Granting {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    pub fn begin(&mut self, key: AccountKey, inbound: &Inbound) {
        let pending = Pending { named: inbound.named, waiting: Vec::new() };
        self.0.entry(key).or_default().insert((inbound.watcher.clone(), inbound.token.clone()), pending);
    }

    /// It was written down, or could not be: what was asked of it meanwhile.
    pub fn end(&mut self, key: AccountKey, inbound: &Inbound) -> Vec<(Origin, Next)> {
        let Some(his) = self.0.get_mut(&key) else { return Vec::new() };
        let ended = his.remove(&(inbound.watcher.clone(), inbound.token.clone()));
        if his.is_empty() {
            self.0.remove(&key);
        }
        ended.map(|pending| pending.waiting).unwrap_or_default()
    }

    /// What waits for this one, if it is being written down.
    pub fn waiting(
        &mut self,
        key: AccountKey,
        watcher: &Address,
        token: &str,
    ) -> Option<&mut Vec<(Origin, Next)>> {
        let his = self.0.get_mut(&key)?;
        his.get_mut(&(watcher.clone(), token.to_owned())).map(|pending| &mut pending.waiting)
    }

    /// Those of an account: whose, and whether they are named.
    pub fn of(&self, key: AccountKey) -> impl Iterator<Item = (&Address, bool)> + Clone {
        let his = self.0.get(&key).into_iter().flatten();
        his.map(|((watcher, _), pending)| (watcher, pending.named))
    }
}

impl Hub {
    /// A subscription is written down, or could not be: whoever asked for it has his answer, and what was asked
    /// of it meanwhile is done now.
    pub(super) fn granted(
        &mut self,
        now: Now,
        key: AccountKey,
        origin: Origin,
        (inbound, millis): (Inbound, Option<i64>),
        outcome: Option<Outcome>,
        out: &mut impl Outlet,
    ) {
        // One of this name may be there still because its end could not be written down, or it was written before.
        let kept = matches!(outcome, Some(Outcome::Done | Outcome::Exists));
        if kept && self.accounts.get(key).is_some_and(Account::is_told_unnoted) {
            // He has come online meanwhile.
            return self.write_grant(key, origin, inbound, millis);
        }
        let waiting = self.granting.end(key, &inbound);
        let (watcher, token) = (inbound.watcher.clone(), inbound.token.clone());
        if kept {
            self.subscribed(now, key, origin, inbound, millis, true, out);
        } else {
            self.own_reply(now, key, origin, Kind::Subscribe, Some(watcher.clone()), outcome, out);
        }
        let there = self.accounts.get(key).is_some();
        for (origin, next) in waiting {
            match next {
                Next::Subscribe(asked) if there => {
                    self.subscribe(now, origin, key, watcher.clone(), asked, out)
                }
                Next::Unsubscribe if there => {
                    self.unsubscribe(now, origin, key, watcher.clone(), &token, out)
                }
                Next::Subscribe(_) => super::orphaned(origin, Kind::Subscribe, out),
                Next::Unsubscribe => super::orphaned(origin, Kind::Unsubscribe, out),
            }
        }
    }
}
