//! Room for one more subscription to a user's presence: how many each watcher, each domain and all of them may hold.
//!
//! While he is offline nobody is told that a lease has ended, so no timer runs for it: what is over then goes when
//! room is needed, or when he comes online.

use smallvec::SmallVec;

use super::account::Account;
use super::address::Address;
use super::subscription::{Held, Watch};
use crate::clock::Tick;
use crate::limits;

impl Account {
    /// Forgets the leases that have ended while he was offline: nobody is told of those.
    pub fn forget_ended_leases(&mut self, now: Tick) {
        self.watches.retain(|watch| is_left(watch, now));
    }

    /// May one more subscription of this watcher be taken? `granting`: those that are being written down. Those
    /// whose end is being written down are over by then. Of another domain half of all there may be are taken at
    /// most, and of all others three quarters, so that they keep out nobody of his own domain, or whom he watches.
    pub fn makes_room_for<'g>(
        &mut self,
        now: Tick,
        watcher: &Address,
        named: bool,
        granting: impl Iterator<Item = (&'g Address, bool)> + Clone,
    ) -> bool {
        if !self.is_online() {
            let places: SmallVec<[usize; 8]> = self.watches.of(watcher).map(|(place, _)| place).collect();
            for place in places {
                if self.watches.get_mut(place).is_some_and(|watch| !is_left(watch, now)) {
                    self.watches.remove(place);
                }
            }
            if self.watches.len() >= limits::SUBSCRIPTIONS_PER_ACCOUNT / 2 {
                self.forget_ended_leases(now);
            }
        }
        let (mut all, mut shares, mut his) = (self.watches.len(), false, 0);
        for (_, watch) in self.watches.of(watcher).filter(|(_, watch)| watch.named == named) {
            shares |= !named;
            his += watch.leases.iter().filter(|lease| lease.lasts(now) && !lease.ending).count();
        }
        for (whose, is_named) in granting.clone() {
            all += 1;
            if is_named == named && whose == watcher {
                shares |= !named;
                his += 1;
            }
        }
        if all >= limits::SUBSCRIPTIONS_PER_ACCOUNT {
            let over = |watch: &Watch| watch.leases.iter().all(|lease| lease.ending);
            all -= self.watches.iter().filter(|(_, watch)| over(watch)).count();
        }
        let most = if named { limits::SUBSCRIPTIONS_NAMED } else { limits::SUBSCRIPTIONS_PER_PAIR };
        let (half, home) = (limits::SUBSCRIPTIONS_PER_ACCOUNT / 2, self.address.domain());
        let known = || watcher.domain() == home || self.watches_back(watcher);
        let left_to_strangers = || {
            let domains = self.watches.iter().map(|(_, watch)| watch.watcher.domain());
            let domains = domains.chain(granting.clone().map(|(whose, _)| whose.domain()));
            let count = |(there, abroad), domain: &str| {
                (there + usize::from(domain == watcher.domain()), abroad + usize::from(domain != home))
            };
            let (there, abroad) = domains.fold((0, 0), count);
            there < half && abroad < limits::SUBSCRIPTIONS_OF_STRANGERS
        };
        let share = all < half || known() || left_to_strangers();
        his < most && (shares || (share && all < limits::SUBSCRIPTIONS_PER_ACCOUNT))
    }
}

/// Drops a watcher's leases that are over. Has he any left?
fn is_left(watch: &mut Watch, now: Tick) -> bool {
    watch.leases.retain(|lease: &mut Held| lease.lasts(now) || lease.ending);
    !watch.leases.is_empty()
}
