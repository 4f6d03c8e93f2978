//! Access control lists: who may ask what of a user (SIMP-3.8).
//!
//! A list is kept as its owner wrote it and parsed once when it is loaded or set. A user who never
//! set one has the default list, which follows the operator's watcher policy.

use super::address::{Address, Domain};
use crate::store::record::{Entries, WatcherPolicy};

/// What is asked, as far as access control tells it apart (SIMP-3.8-3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A message.
    Send,
    /// The presence, once.
    Fetch,
    /// The presence, for a time.
    Subscribe,
    /// No more of it.
    Unsubscribe,
    /// News of somebody's presence.
    Change,
    /// The end of a subscription.
    End,
}

impl Operation {
    const ALL: [(Operation, &'static str); 6] = [
        (Operation::Send, "send"),
        (Operation::Fetch, "fetch"),
        (Operation::Subscribe, "subscribe"),
        (Operation::Unsubscribe, "unsubscribe"),
        (Operation::Change, "change"),
        (Operation::End, "end"),
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The operations of one entry: permitted outright, and permitted to signed requests only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Permits {
    plain: u8,
    signed: u8,
}

impl Permits {
    /// White-space-separated operations (SIMP-3.8-6), `+` before those that need a signature (SIMP-3.8-7).
    fn parse(text: &str) -> Option<Permits> {
        let mut permits = Permits::default();
        for word in text.split([' ', '\t', '\n', '\r']).filter(|w| !w.is_empty()) {
            let (name, signed) = match word.strip_prefix('+') {
                Some(name) => (name, true),
                None => (word, false),
            };
            let (operation, _) = Operation::ALL.iter().find(|(_, n)| *n == name)?;
            if signed {
                permits.signed |= operation.bit();
            } else {
                permits.plain |= operation.bit();
            }
        }
        Some(permits)
    }

    /// `+` wins over the plain form (OC-31), and no signature exists in 1.0 (OC-39).
    fn allow(self, operation: Operation) -> bool {
        self.plain & !self.signed & operation.bit() != 0
    }
}

/// A list whose owner set it, parsed. Sorted by key, so that a long one costs a few comparisons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AccessList {
    addresses: Vec<(Address, Permits)>,
    domains: Vec<(Domain, Permits)>,
    everybody: Option<Permits>,
}

/// Why a list can't be set (OC-35).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadList;

impl AccessList {
    /// Parses a list as its owner wrote it.
    ///
    /// # Errors
    /// [`BadList`] on a key that is no address, `@domain` or `everybody`, on an unknown operation,
    /// and on two keys for the same one.
    pub fn parse(entries: &Entries, domains: &super::address::Domains) -> Result<AccessList, BadList> {
        let mut list = AccessList::default();
        for (key, value) in entries {
            let permits = Permits::parse(value).ok_or(BadList)?;
            if key == "everybody" {
                if list.everybody.replace(permits).is_some() {
                    return Err(BadList);
                }
            } else if let Some(domain) = key.strip_prefix('@') {
                list.domains.push((Domain::parse(domain).map_err(|_| BadList)?, permits));
            } else {
                list.addresses.push((Address::parse(key, domains).map_err(|_| BadList)?, permits));
            }
        }
        list.addresses.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        list.domains.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let twice = list.addresses.windows(2).any(|w| w[0].0 == w[1].0)
            || list.domains.windows(2).any(|w| w[0].0 == w[1].0);
        if twice { Err(BadList) } else { Ok(list) }
    }

    /// A list that lets nobody do anything.
    pub fn nobody() -> AccessList {
        AccessList { everybody: Some(Permits::default()), ..AccessList::default() }
    }

    /// The decision of SIMP-3.8-8 to 3.8-13: one entry decides; without any, all is permitted.
    pub fn permits(&self, from: &Address, operation: Operation) -> bool {
        let chosen = self
            .addresses
            .binary_search_by(|(a, _)| a.cmp(from))
            .map(|i| self.addresses[i].1)
            .or_else(|_| {
                self.domains
                    .binary_search_by(|(d, _)| d.as_str().cmp(from.domain()))
                    .map(|i| self.domains[i].1)
            })
            .ok()
            .or(self.everybody);
        chosen.is_none_or(|permits| permits.allow(operation))
    }
}

/// The list of a user who never set one (OC-36, design 4): everything for his own domain; for others
/// no fetching and watching, unless the operator's policy lets them.
pub fn default_permits(owner: &Address, policy: WatcherPolicy, from: &Address, operation: Operation) -> bool {
    match operation {
        Operation::Send | Operation::Unsubscribe | Operation::Change | Operation::End => true,
        Operation::Fetch | Operation::Subscribe => {
            policy == WatcherPolicy::Allow || from.domain() == owner.domain()
        }
    }
}

/// The default list as its owner sees it.
pub fn default_entries(owner: &Address, policy: WatcherPolicy) -> Entries {
    let others = match policy {
        WatcherPolicy::Allow => "send fetch subscribe unsubscribe change end",
        WatcherPolicy::Ask | WatcherPolicy::Refuse => "send unsubscribe change end",
    };
    vec![
        (format!("@{}", owner.domain()), "send fetch subscribe unsubscribe change end".into()),
        ("everybody".into(), others.into()),
    ]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::address::Domains;
    use super::*;

    fn list(entries: &[(&str, &str)]) -> Result<AccessList, BadList> {
        let entries = entries.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        AccessList::parse(&entries, &Domains::default())
    }

    fn permits(list: &AccessList, from: &str, operation: Operation) -> bool {
        list.permits(&Address::parse(from, &Domains::default()).unwrap(), operation)
    }

    #[test]
    fn worked_examples_without_signatures() {
        // SIMP-3.8-5 to SIMP-3.8-13, OC-33, OC-34, OC-39: A1 to A15 as far as 1.0 goes
        let acl = list(&[
            ("bob@example.net", "send fetch\n subscribe\tunsubscribe"),
            ("notifier@example.net", "change end"),
            ("@spam.example", ""),
            ("@partner.example", "+send fetch"),
            ("everybody", "+send +fetch +subscribe +unsubscribe +change +end"),
        ])
        .unwrap();
        let table = [
            ("bob@example.net", Operation::Send, true),
            ("bob@example.net", Operation::Change, false),
            ("notifier@example.net", Operation::Change, true),
            ("notifier@example.net", Operation::End, true),
            ("carol@example.net", Operation::Send, false),
            ("eve@spam.example", Operation::Send, false),
            ("dan@partner.example", Operation::Fetch, true),
            ("dan@partner.example", Operation::Send, false),
            ("dan@partner.example", Operation::Subscribe, false),
            ("eve@mail.spam.example", Operation::Send, false),
        ];
        for (from, operation, want) in table {
            assert_eq!(permits(&acl, from, operation), want, "{from} {operation:?}");
        }
        let empty = list(&[]).unwrap();
        let one = list(&[("bob@example.net", "")]).unwrap();
        for (operation, _) in Operation::ALL {
            assert!(permits(&empty, "x@y", operation));
            assert!(permits(&one, "carol@example.com", operation));
            assert!(!permits(&one, "bob@example.net", operation));
        }
    }

    #[test]
    fn plus_wins_and_bad_lists_are_refused() {
        // OC-31, OC-35
        let both = list(&[("everybody", "send +send")]).unwrap();
        assert!(!permits(&both, "x@y", Operation::Send));
        assert_eq!(list(&[("everybody", "sing")]), Err(BadList));
        assert_eq!(list(&[("nobody", "send")]), Err(BadList));
        assert_eq!(list(&[("@", "send")]), Err(BadList));
        assert_eq!(list(&[("a@B.c", ""), ("a@b.C", "")]), Err(BadList));
    }

    #[test]
    fn the_default_list_says_what_it_does() {
        // OC-36: the entries shown and the decisions made are the same
        let owner = Address::parse("a@b.c", &Domains::default()).unwrap();
        for policy in [WatcherPolicy::Refuse, WatcherPolicy::Ask, WatcherPolicy::Allow] {
            let shown = AccessList::parse(&default_entries(&owner, policy), &Domains::default()).unwrap();
            for from in ["x@b.c", "x@y.z"] {
                let from = Address::parse(from, &Domains::default()).unwrap();
                for (operation, _) in Operation::ALL {
                    assert_eq!(
                        shown.permits(&from, operation),
                        default_permits(&owner, policy, &from, operation)
                    );
                }
            }
        }
    }
}
