//! The guard at the door: counts connections and failed logins, and says who has to wait.
//!
//! Failures count against the address they come from and against the account they aim at. A user who
//! has proved himself from an address before is let in from there however many others fail beside
//! him: an attacker must not be able to lock out his neighbours.
//!
//! Where there is no room for all strangers, those of the address that has the most of them go first: who comes
//! alone gets in, however many others one attacker brings. An address is what one customer of a provider has:
//! with IPv6 that is a network.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use super::conns::Bucket;
use super::io::ConnId;
use crate::clock::{Now, Tick};
use crate::hub::address::Address;
use crate::limits::{self, Limits};
use crate::table::Table;

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
/// A bucket of logins that was not drawn from for so long is full.
const REFILLED: Duration = Duration::from_secs(10);
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

    /// How many addresses have asked, or wait to.
    pub fn asking(&self) -> usize {
        self.0.len()
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

/// The address that counts: with IPv6 a customer has a whole network of 64 bits.
fn customer(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

/// The connections of one address.
#[derive(Debug, Default)]
struct Door {
    /// All of them.
    all: usize,
    /// Those that have not shown who they are, oldest first.
    strangers: VecDeque<ConnId>,
    /// Octets of theirs that are no whole commands yet.
    octets: usize,
    /// Addresses are told apart by when they came, too.
    serial: u64,
}

impl Door {
    /// Its place among all: the last has the most strangers, and of several such has been there longest.
    fn rank(&self, ip: IpAddr) -> (usize, Reverse<u64>, IpAddr) {
        (self.strangers.len(), Reverse(self.serial), ip)
    }
}

/// Who may come in.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    open: Table<IpAddr, Door>,
    /// The addresses that have strangers.
    ranks: BTreeSet<(usize, Reverse<u64>, IpAddr)>,
    serial: u64,
    /// Octets of unfinished commands of all strangers.
    octets: usize,
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
    pub fn opened(&mut self, ip: IpAddr, id: ConnId, limits: &Limits) -> bool {
        let ip = customer(ip);
        if self.open.get(&ip).is_none() {
            self.serial += 1;
            self.open.insert(ip, Door { serial: self.serial, ..Door::default() });
        }
        let Some(door) = self.open.get_mut(&ip) else { return false };
        self.ranks.remove(&door.rank(ip));
        door.all += 1;
        door.strangers.push_back(id);
        self.ranks.insert(door.rank(ip));
        door.all <= limits.connections_per_address && door.strangers.len() <= limits.unproven_per_address
    }

    /// It has shown who it is, or nobody asks any more.
    pub fn proved(&mut self, ip: IpAddr, id: ConnId) {
        let ip = customer(ip);
        let Some(door) = self.open.get_mut(&ip) else { return };
        let Some(at) = door.strangers.iter().position(|stranger| *stranger == id) else { return };
        self.ranks.remove(&door.rank(ip));
        door.strangers.remove(at);
        if door.strangers.is_empty() {
            door.strangers = VecDeque::new();
        } else {
            self.ranks.insert(door.rank(ip));
        }
    }

    /// It is gone.
    pub fn closed(&mut self, ip: IpAddr) {
        let ip = customer(ip);
        let Some(door) = self.open.get_mut(&ip) else { return };
        door.all = door.all.saturating_sub(1);
        if door.all == 0 {
            self.ranks.remove(&door.rank(ip));
            self.open.remove(&ip);
        }
    }

    /// Room is needed: the oldest stranger of the address that has the most.
    pub fn crowding(&self) -> Option<ConnId> {
        let (.., ip) = self.ranks.last()?;
        self.open.get(ip)?.strangers.front().copied()
    }

    /// A stranger's unfinished command has become longer or shorter. Who of them must go, if all hold too much
    /// by now: those of the address that holds most.
    pub fn holds(&mut self, ip: IpAddr, before: usize, after: usize) -> Option<Vec<ConnId>> {
        let door = self.open.get_mut(&customer(ip))?;
        door.octets = door.octets.saturating_sub(before) + after;
        self.octets = self.octets.saturating_sub(before) + after;
        if after <= before || self.octets <= limits::UNFINISHED {
            return None;
        }
        let most = self.open.values().max_by_key(|door| (door.octets, Reverse(door.serial)))?;
        Some(most.strangers.iter().copied().collect())
    }

    /// Octets of strangers' unfinished commands, as it counts them.
    pub fn unfinished(&self) -> usize {
        self.octets
    }

    /// How many connections it counts.
    pub fn connections(&self) -> usize {
        self.open.values().map(|door| door.all).sum()
    }

    /// May this address ask for another challenge now?
    pub fn may_ask(&mut self, now: Now, ip: IpAddr, limits: &Limits) -> bool {
        let ip = customer(ip);
        if self.logins.len() >= ENTRIES && !self.logins.contains_key(&ip) {
            // A bucket that nobody has drawn from for a while is full again.
            thin_out(&mut self.logins, now, |bucket| bucket.last_used() + REFILLED, |_| 1);
        }
        self.logins.entry(ip).or_insert_with(|| Bucket::new(now)).take(now, limits.logins_per_second)
    }

    /// May this user try to log in from this address now? What others have failed at with his account counts only
    /// where there is something to `guess`: nobody guesses a device key.
    pub fn may_try(&self, now: Now, ip: IpAddr, user: &Address, guess: bool) -> bool {
        let ip = customer(ip);
        let waits = |failures: Option<&Failures>, bound| {
            failures.is_some_and(|f| f.count >= bound && f.until > now.tick)
        };
        let pair = (ip, user.clone());
        if waits(self.pairs.get(&pair), PAIR) {
            return false;
        }
        self.knows(now, ip, user)
            || !(waits(self.addresses.get(&ip), ADDRESS) || guess && waits(self.accounts.get(user), ACCOUNT))
    }

    /// Has this user proved himself from this address lately?
    pub fn knows(&self, now: Now, ip: IpAddr, user: &Address) -> bool {
        self.proved.get(&(customer(ip), user.clone())).is_some_and(|until| *until > now.tick)
    }

    /// A login has failed; `guess` as above.
    pub fn failed(&mut self, now: Now, ip: IpAddr, user: Option<&Address>, guess: bool) {
        let ip = customer(ip);
        if let Some(user) = user {
            count(&mut self.pairs, now, (ip, user.clone()));
            if guess {
                count(&mut self.accounts, now, user.clone());
            }
        }
        count(&mut self.addresses, now, ip);
    }

    /// A login has succeeded.
    pub fn succeeded(&mut self, now: Now, ip: IpAddr, user: &Address) {
        let pair = (customer(ip), user.clone());
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
        // Who aims at many things in turn must not have it forgotten what others aim at in earnest.
        thin_out(table, now, |failures| failures.until, |failures| failures.count);
    }
    let failures = table.entry(key).or_insert(Failures { count: 0, until: now.tick });
    if failures.until <= now.tick {
        *failures = Failures { count: 0, until: now.tick + MEMORY };
    }
    failures.count = failures.count.saturating_add(1);
}

/// Makes room in a full table: what is over goes, and while that is less than half, what counts least. So it is
/// not gone through again before half of it is new.
fn thin_out<K, V>(
    table: &mut HashMap<K, V>,
    now: Now,
    until: impl Fn(&V) -> Tick,
    count: impl Fn(&V) -> u32,
) {
    table.retain(|_, entry| until(entry) > now.tick);
    let mut least = 1;
    while table.len() > ENTRIES / 2 {
        table.retain(|_, entry| count(entry) > least);
        least *= 2;
    }
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
            guard.failed(now, ip, Some(&user(&format!("u{}@a.test", n % 30))), true);
        }
        assert!(!guard.may_try(now, ip, &user("stranger@a.test"), true));
        assert!(guard.may_try(now, ip, &user("alice@a.test"), true));
        for _ in 0..PAIR {
            guard.failed(now, ip, Some(&user("alice@a.test")), true);
        }
        assert!(!guard.may_try(now, ip, &user("alice@a.test"), true));
        assert!(guard.may_try(now, "127.0.0.2".parse().unwrap(), &user("alice@a.test"), true));
        now.tick = now.tick + MEMORY;
        assert!(guard.may_try(now, ip, &user("alice@a.test"), true));
        assert!(guard.may_try(now, ip, &user("stranger@a.test"), true));
    }

    fn conn(slot: u32) -> ConnId {
        ConnId { slot, generation: 0 }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn many_addresses_may_ask_at_the_same_time() {
        // design: an attacker must not be able to lock out others; nor may a crowd that comes back
        let limits = Limits { logins_per_second: 1, ..Limits::default() };
        let (mut guard, now) = (Guard::default(), Now::default());
        for n in 0..2 * ENTRIES as u32 {
            assert!(guard.may_ask(now, IpAddr::V4(n.into()), &limits), "{n}");
        }
        let one = IpAddr::V4(7.into());
        let asked = (0..100).filter(|_| guard.may_ask(now, one, &limits)).count();
        assert_eq!(asked, 10);
    }

    #[test]
    fn addresses_have_their_share_of_connections() {
        let limits = Limits { unproven_per_address: 2, connections_per_address: 3, ..Limits::default() };
        let ip = ip("127.0.0.1");
        let mut guard = Guard::default();
        assert!(guard.opened(ip, conn(1), &limits) && guard.opened(ip, conn(2), &limits));
        assert!(!guard.opened(ip, conn(3), &limits));
        guard.proved(ip, conn(3));
        guard.closed(ip);
        guard.proved(ip, conn(1));
        assert!(guard.opened(ip, conn(4), &limits));
        assert!(!guard.opened(ip, conn(5), &limits));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let limits = Limits { unproven_per_address: 2, ..Limits::default() };
        let mut guard = Guard::default();
        assert!(guard.opened(ip("2001:db8::1"), conn(1), &limits));
        assert!(guard.opened(ip("2001:db8::2:1"), conn(2), &limits));
        assert!(!guard.opened(ip("2001:db8::3:1"), conn(3), &limits));
        assert!(guard.opened(ip("2001:db8:0:1::1"), conn(4), &limits));
        // The same IPv4 address, however it is written.
        assert!(guard.opened(ip("192.0.2.1"), conn(5), &limits));
        assert!(guard.opened(ip("::ffff:192.0.2.1"), conn(6), &limits));
        assert!(!guard.opened(ip("192.0.2.1"), conn(7), &limits));
    }

    #[test]
    fn the_crowd_makes_room_and_not_who_comes_alone() {
        let limits = Limits::default();
        let mut guard = Guard::default();
        guard.opened(ip("127.0.0.1"), conn(0), &limits);
        for slot in 1..=6 {
            guard.opened(ip(if slot % 2 == 0 { "127.0.0.2" } else { "127.0.0.3" }), conn(slot), &limits);
        }
        let mut gone = Vec::new();
        while let Some(stranger) = guard.crowding() {
            gone.push(stranger.slot);
            let from = match stranger.slot {
                0 => "127.0.0.1",
                slot if slot % 2 == 0 => "127.0.0.2",
                _ => "127.0.0.3",
            };
            guard.proved(ip(from), stranger);
            guard.closed(ip(from));
        }
        // Among equals, who has been there longest; whoever came alone is among the last three.
        assert_eq!(gone, [1, 2, 3, 4, 0, 5, 6]);
    }

    #[test]
    fn whoever_holds_most_unfinished_goes_first() {
        let limits = Limits::default();
        let mut guard = Guard::default();
        guard.opened(ip("127.0.0.1"), conn(0), &limits);
        guard.opened(ip("127.0.0.2"), conn(1), &limits);
        guard.opened(ip("127.0.0.2"), conn(2), &limits);
        assert_eq!(guard.holds(ip("127.0.0.1"), 0, limits::UNFINISHED / 3), None);
        assert_eq!(guard.holds(ip("127.0.0.2"), 0, limits::UNFINISHED / 2), None);
        let must_go = guard.holds(ip("127.0.0.1"), 0, limits::UNFINISHED / 6 + 10);
        assert_eq!(must_go, Some(vec![conn(0)]), "they hold as much, and he came first");
        assert_eq!(guard.holds(ip("127.0.0.1"), limits::UNFINISHED / 3, 0), None);
        let must_go = guard.holds(ip("127.0.0.2"), 0, limits::UNFINISHED / 2);
        assert_eq!(must_go, Some(vec![conn(1), conn(2)]));
    }

    #[test]
    fn nobody_keeps_the_owner_of_a_device_key_out_from_elsewhere() {
        // design 4: device keys are random
        let alice = Address::parse("alice@a.test", &Domains::default()).unwrap();
        let mut guard = Guard::default();
        let now = Now::default();
        for n in 0..2 * ACCOUNT {
            guard.failed(now, ip(&format!("10.0.{}.{n}", n / 250)), Some(&alice), false);
        }
        assert!(guard.may_try(now, ip("10.9.9.9"), &alice, true), "nobody has tried his password");
        for n in 0..2 * ACCOUNT {
            guard.failed(now, ip(&format!("10.0.{}.{n}", n / 250)), Some(&alice), true);
        }
        assert!(!guard.may_try(now, ip("10.9.9.9"), &alice, true));
        assert!(guard.may_try(now, ip("10.9.9.9"), &alice, false));
    }

    #[test]
    fn a_flood_of_names_does_not_hide_who_is_aimed_at() {
        let user = |name: &str| Address::parse(name, &Domains::default()).unwrap();
        let mut guard = Guard::default();
        let now = Now::default();
        for n in 0..ACCOUNT {
            guard.failed(now, ip(&format!("10.0.0.{n}")), Some(&user("alice@a.test")), true);
        }
        for n in 0..2 * ENTRIES {
            guard.failed(
                now,
                ip(&format!("10.1.{}.{}", n / 200 % 250, n % 200)),
                Some(&user(&format!("u{n}@a.test"))),
                true,
            );
        }
        assert!(!guard.may_try(now, ip("10.9.9.9"), &user("alice@a.test"), true));
        assert!(guard.accounts.len() <= ENTRIES && guard.pairs.len() <= ENTRIES);
    }
}
