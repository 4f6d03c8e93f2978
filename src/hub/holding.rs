//! Octets of messages that are under way: each may wait for a silent endpoint or an unreachable domain, in
//! memory all the while, and there may be very many of them.
//!
//! So whoever sends them, a user of ours or another domain, has a bound on their sum. What is small is not
//! counted: of that no more is under way than the bound on requests of one connection allows.

use std::collections::HashMap;

use compact_str::CompactString;
use foldhash::fast::FixedState;

use super::address::{Address, Domains};
use super::op::{Envelope, Request};
use crate::limits;

/// Messages up to so many octets are not counted.
const SMALL: usize = 4 * 1024;

/// Who has how many octets under way: users of ours by address, others by domain.
#[derive(Debug)]
pub(super) struct Holding(HashMap<CompactString, usize, FixedState>);

/// Who answers for what an address sends, and how much that may be.
fn account<'a>(from: &'a Address, domains: &Domains) -> (&'a str, usize) {
    if domains.contains(from.domain()) {
        (from.as_str(), limits::HELD_PER_USER)
    } else {
        (from.domain(), limits::HELD_PER_PEER)
    }
}

impl Holding {
    pub fn new(seed: u64) -> Holding {
        Holding(HashMap::with_hasher(FixedState::with_seed(seed)))
    }

    /// What a request counts for: its body, and what is kept of its own form beside that.
    pub fn weight(envelope: &Envelope<'_>) -> usize {
        let Request::Message(message) = &envelope.request else { return 0 };
        let native = envelope.native.as_ref().map_or(0, |native| native.octets.len());
        let weight = message.body.len() + native;
        if weight > SMALL { weight } else { 0 }
    }

    /// So much more is under way; false if that is too much.
    pub fn take(&mut self, from: &Address, domains: &Domains, weight: usize) -> bool {
        let (who, bound) = account(from, domains);
        let held = self.0.entry(CompactString::new(who)).or_default();
        let fits = *held + weight <= bound;
        if fits {
            *held += weight;
        } else if *held == 0 {
            self.0.remove(who);
        }
        fits
    }

    /// It is not any more.
    pub fn release(&mut self, from: &Address, domains: &Domains, weight: usize) {
        let (who, _) = account(from, domains);
        let Some(held) = self.0.get_mut(who) else { return };
        *held = held.saturating_sub(weight);
        if *held == 0 {
            self.0.remove(who);
        }
    }

    /// Does nobody hold anything?
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::hub::address::Domain;

    #[test]
    fn users_and_other_domains_have_their_share() {
        let domains = Domains::new(vec![Domain::parse("a.test").unwrap()]);
        let who = |text: &str| Address::parse(text, &domains).unwrap();
        let mut holding = Holding::new(7);
        assert!(holding.take(&who("alice@a.test"), &domains, limits::HELD_PER_USER));
        assert!(!holding.take(&who("alice@a.test"), &domains, 1));
        assert!(holding.take(&who("bob@a.test"), &domains, 1));
        assert!(holding.take(&who("x@b.test"), &domains, limits::HELD_PER_PEER));
        assert!(!holding.take(&who("y@b.test"), &domains, 1));
        holding.release(&who("x@b.test"), &domains, 1);
        assert!(holding.take(&who("y@b.test"), &domains, 1));
        holding.release(&who("z@b.test"), &domains, limits::HELD_PER_PEER);
        holding.release(&who("alice@a.test"), &domains, limits::HELD_PER_USER);
        holding.release(&who("bob@a.test"), &domains, 1);
        assert!(holding.is_empty());
    }
}
