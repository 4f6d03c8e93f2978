//! The guard at the door: counts connections and failed logins, and says who has to wait.
//!
//! Failures count against the address they come from and against the account they aim at. A user who
//! has proved himself from an address before is let in from there however many others fail beside
//! him: an attacker must not be able to lock out his neighbours.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use super::conns::Bucket;
use super::io::ConnId;
use crate::clock::{Now, Tick};
use crate::hub::address::Address;
use crate::limits::Limits;

/// Failures of one account from one address until that pair has to wait.
const PAIR: u32 = 10;
/// Failures from one address until strangers from there have to wait.
const ADDRESS: u32 = 200;
/// Failures of one account, from anywhere, until strange addresses have to wait.
const ACCOUNT: u32 = 100;
/// Questions to DNS for one address's connections at a time.
const ASKING: usize = 4;
/// How long failures count, and how long one has to wait.
const MEMORY: Duration = Duration::from_secs(300);
/// How long a user who has proved himself is known by his address.
const PROVED: Duration = Duration::from_secs(24 * 3600);
/// Entries of each table; at the bound what is over is swept.
const ENTRIES: usize = 50_000;

/// Failures within a time.
#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    until: Tick,
}

/// Whom routing connections may speak for is asked of DNS a few at a time for each address, so that one
/// address can't take all the resolver's time.
#[derive(Debug, Default)]
pub(crate) struct Turns(HashMap<IpAddr, (usize, VecDeque<ConnId>)>);

impl Turns {
    /// Addresses and connections that are remembered.
    pub fn len(&self) -> usize {
        self.0.values().map(|(_, waiting)| 1 + waiting.len()).sum()
    }

    /// Is it this connection's turn? If not it is remembered.
    pub fn take(&mut self, ip: IpAddr, conn: ConnId) -> bool {
        let (asking, waiting) = self.0.entry(ip).or_default();
        if *asking < ASKING {
            *asking += 1;
            return true;
        }
        waiting.push_back(conn);
        false
    }

    /// One connection of this address has its answer.
    pub fn done(&mut self, ip: IpAddr) {
        if let Some((asking, _)) = self.0.get_mut(&ip) {
            *asking = asking.saturating_sub(1);
        }
    }

    /// Who of this address may take the turn that is free?
    pub fn next(&mut self, ip: IpAddr) -> Option<ConnId> {
        let (asking, waiting) = self.0.get_mut(&ip)?;
        if *asking >= ASKING {
            return None;
        }
        let next = waiting.pop_front();
        if *asking == 0 && next.is_none() {
            self.0.remove(&ip);
        }
        next
    }
}

/// Who may come in.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// By address: connections, and those that have not shown who they are.
    open: HashMap<IpAddr, (usize, usize)>,
    logins: HashMap<IpAddr, Bucket>,
    pairs: HashMap<(IpAddr, Address), Failures>,
    addresses: HashMap<IpAddr, Failures>,
    accounts: HashMap<Address, Failures>,
    proved: HashMap<(IpAddr, Address), Tick>,
    swept: Tick,
}

impl Guard {
    /// Entries of all its tables.
    pub fn len(&self) -> usize {
        let failures = self.pairs.len() + self.addresses.len() + self.accounts.len();
        self.open.len() + self.logins.len() + failures + self.proved.len()
    }

    /// One more connection; false if its address has too many.
    pub fn opened(&mut self, ip: IpAddr, limits: &Limits) -> bool {
        let (all, unproven) = self.open.entry(ip).or_default();
        *all += 1;
        *unproven += 1;
        *all <= limits.connections_per_address && *unproven <= limits.unproven_per_address
    }

    /// It has shown who it is.
    pub fn proved(&mut self, ip: IpAddr) {
        if let Some((_, unproven)) = self.open.get_mut(&ip) {
            *unproven = unproven.saturating_sub(1);
        }
    }

    /// It is gone.
    pub fn closed(&mut self, ip: IpAddr, unproven: bool) {
        let Some((all, strangers)) = self.open.get_mut(&ip) else { return };
        *all = all.saturating_sub(1);
        *strangers = strangers.saturating_sub(usize::from(unproven));
        if *all == 0 {
            self.open.remove(&ip);
        }
    }

    /// May this address ask for another challenge now?
    pub fn may_ask(&mut self, now: Now, ip: IpAddr, limits: &Limits) -> bool {
        if self.logins.len() >= ENTRIES && !self.logins.contains_key(&ip) {
            // A bucket that nobody has drawn from for a minute is full again.
            self.logins.retain(|_, bucket| now.tick.since(bucket.last_used()) < Duration::from_secs(60));
            if self.logins.len() >= ENTRIES {
                return false;
            }
        }
        self.logins.entry(ip).or_insert_with(|| Bucket::new(now)).take(now, limits.logins_per_second)
    }

    /// May this user try to log in from this address now?
    pub fn may_try(&self, now: Now, ip: IpAddr, user: &Address) -> bool {
        let waits = |failures: Option<&Failures>, bound| {
            failures.is_some_and(|f| f.count >= bound && f.until > now.tick)
        };
        let pair = (ip, user.clone());
        if waits(self.pairs.get(&pair), PAIR) {
            return false;
        }
        self.proved.get(&pair).is_some_and(|until| *until > now.tick)
            || !(waits(self.addresses.get(&ip), ADDRESS) || waits(self.accounts.get(user), ACCOUNT))
    }

    /// A login has failed.
    pub fn failed(&mut self, now: Now, ip: IpAddr, user: Option<&Address>) {
        if let Some(user) = user {
            count(&mut self.pairs, now, (ip, user.clone()));
            count(&mut self.accounts, now, user.clone());
        }
        count(&mut self.addresses, now, ip);
    }

    /// A login has succeeded.
    pub fn succeeded(&mut self, now: Now, ip: IpAddr, user: &Address) {
        let pair = (ip, user.clone());
        self.pairs.remove(&pair);
        if self.proved.len() >= ENTRIES && now.tick.since(self.swept) >= MEMORY {
            self.swept = now.tick;
            self.proved.retain(|_, until| *until > now.tick);
        }
        if self.proved.len() < ENTRIES {
            self.proved.insert(pair, now.tick + PROVED);
        }
    }
}

fn count<K: std::hash::Hash + Eq>(table: &mut HashMap<K, Failures>, now: Now, key: K) {
    if table.len() >= ENTRIES && !table.contains_key(&key) {
        table.retain(|_, failures| failures.until > now.tick);
        if table.len() >= ENTRIES {
            return;
        }
    }
    let failures = table.entry(key).or_insert(Failures { count: 0, until: now.tick });
    if failures.until <= now.tick {
        *failures = Failures { count: 0, until: now.tick + MEMORY };
    }
    failures.count = failures.count.saturating_add(1);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hub::address::Domains;

    #[test]
    fn failures_make_wait_but_not_the_neighbours() {
        // design: failed logins are counted per address and per account
        let user = |name: &str| Address::parse(name, &Domains::default()).unwrap();
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let mut guard = Guard::default();
        let mut now = Now::default();
        guard.succeeded(now, ip, &user("alice@a.test"));
        for n in 0..ADDRESS {
            guard.failed(now, ip, Some(&user(&format!("u{}@a.test", n % 30))));
        }
        assert!(!guard.may_try(now, ip, &user("stranger@a.test")));
        assert!(guard.may_try(now, ip, &user("alice@a.test")));
        for _ in 0..PAIR {
            guard.failed(now, ip, Some(&user("alice@a.test")));
        }
        assert!(!guard.may_try(now, ip, &user("alice@a.test")));
        assert!(guard.may_try(now, "127.0.0.2".parse().unwrap(), &user("alice@a.test")));
        now.tick = now.tick + MEMORY;
        assert!(guard.may_try(now, ip, &user("alice@a.test")));
        assert!(guard.may_try(now, ip, &user("stranger@a.test")));
    }

    #[test]
    fn addresses_have_their_share_of_connections() {
        let limits = Limits { unproven_per_address: 2, connections_per_address: 3, ..Limits::default() };
        let ip: IpAddr = "127.0.0.1".parse().unwrap();
        let mut guard = Guard::default();
        assert!(guard.opened(ip, &limits) && guard.opened(ip, &limits));
        assert!(!guard.opened(ip, &limits));
        guard.closed(ip, true);
        guard.proved(ip);
        assert!(guard.opened(ip, &limits));
        assert!(!guard.opened(ip, &limits));
    }
}
