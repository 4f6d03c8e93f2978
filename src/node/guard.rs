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
use std::hash::Hash;
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
/// Small tables of each table that is bounded.
const PARTS: usize = 64;
/// Entries of each of them; at the bound room is made in that one.
const ENTRIES: usize = 800;

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
        let (asking, waiting) = self.0.entry(customer(ip)).or_default();
        if *asking < ASKING {
            *asking += 1;
            return true;
        }
        waiting.push_back(conn);
        false
    }

    /// One connection of this address has its answer.
    pub fn done(&mut self, ip: IpAddr) {
        if let Some((asking, _)) = self.0.get_mut(&customer(ip)) {
            *asking = asking.saturating_sub(1);
        }
    }

    /// How many addresses have asked, or wait to.
    pub fn asking(&self) -> usize {
        self.0.len()
    }

    /// Who of this address may take the turn that is free?
    pub fn next(&mut self, ip: IpAddr) -> Option<ConnId> {
        let ip = customer(ip);
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
pub(super) fn customer(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64)),
        ip => ip,
    }
}

/// The connections of one address that have not shown who they are: there is at least one.
#[derive(Debug, Default)]
struct Door {
    /// Oldest first.
    strangers: VecDeque<ConnId>,
    /// Octets of theirs that are no whole commands yet.
    octets: usize,
    /// Addresses are told apart by when they came, too.
    serial: u64,
}

/// The place of an address among others: the last has the most of something, and of several such has been there
/// longest.
type Rank = (usize, Reverse<u64>, IpAddr);

/// The addresses that have some of something.
#[derive(Debug, Default)]
struct Ranks(BTreeSet<Rank>);

impl Ranks {
    /// An address has `after` of it, and had `before`.
    fn moves(&mut self, ip: IpAddr, serial: u64, before: usize, after: usize) {
        self.0.remove(&(before, Reverse(serial), ip));
        if after > 0 {
            self.0.insert((after, Reverse(serial), ip));
        }
    }

    /// Which has most?
    fn most(&self) -> Option<IpAddr> {
        self.0.last().map(|(.., ip)| *ip)
    }
}

/// What is known of somebody for some time.
trait Passing {
    /// When it says nothing any more.
    fn until(&self) -> Tick;
    /// What counts least goes first, and of that what was there first, where there is no room for all.
    fn count(&self) -> u32 {
        1
    }
}

impl Passing for Bucket {
    fn until(&self) -> Tick {
        self.last_used() + REFILLED
    }
}

impl Passing for Failures {
    fn until(&self) -> Tick {
        self.until
    }
    fn count(&self) -> u32 {
        self.count
    }
}

/// Who has proved himself.
impl Passing for Tick {
    fn until(&self) -> Tick {
        *self
    }
}

/// A table that strangers fill, and that stays within bounds.
#[derive(Debug)]
struct Bounded<K, V> {
    table: Table<K, V, PARTS>,
    /// When what is over is to go next: while nobody comes nothing is in anybody's way.
    tidy: Tick,
}

impl<K: Hash + Eq, V> Default for Bounded<K, V> {
    fn default() -> Self {
        Bounded { table: Table::default(), tidy: Tick::default() }
    }
}

impl<K: Hash + Eq, V: Passing> Bounded<K, V> {
    /// The entry of this key, new if it has none.
    fn entry(&mut self, now: Now, key: K, new: impl FnOnce() -> V) -> Option<&mut V> {
        if self.tidy <= now.tick {
            self.table.retain(|entry| entry.until() > now.tick);
            self.tidy = now.tick + MEMORY;
        }
        let part = self.table.part_mut(&key)?;
        if part.len() >= ENTRIES && !part.contains_key(&key) {
            // Half of it, so that it is not gone through again before half of it is new.
            part.retain(|_, entry| entry.until() > now.tick);
            let mut ranks: Vec<(u32, Tick)> = part.values().map(|e| (e.count(), e.until())).collect();
            if ranks.len() > ENTRIES / 2 {
                let middle = *ranks.select_nth_unstable(ENTRIES / 2).1;
                part.retain(|_, entry| (entry.count(), entry.until()) > middle);
            }
        }
        Some(part.entry(key).or_insert_with(new))
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.table.get(key)
    }

    fn remove(&mut self, key: &K) {
        self.table.remove(key);
    }

    fn len(&self) -> usize {
        self.table.len()
    }
}

/// Who may come in.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// How many connections each address has.
    open: Table<IpAddr, usize>,
    /// The addresses that have strangers: those wait but seconds to be known or cut, and so are few.
    doors: Table<IpAddr, Door>,
    /// By strangers.
    crowds: Ranks,
    /// By octets of unfinished commands.
    hoards: Ranks,
    serial: u64,
    /// Octets of unfinished commands of all strangers.
    octets: usize,
    logins: Bounded<IpAddr, Bucket>,
    pairs: Bounded<(IpAddr, Address), Failures>,
    addresses: Bounded<IpAddr, Failures>,
    accounts: Bounded<Address, Failures>,
    proved: Bounded<(IpAddr, Address), Tick>,
}

impl Guard {
    /// Entries of all its tables.
    pub fn len(&self) -> usize {
        let failures = self.pairs.len() + self.addresses.len() + self.accounts.len();
        self.open.len() + self.doors.len() + self.logins.len() + failures + self.proved.len()
    }

    /// One more connection; false if its address has too many.
    pub fn opened(&mut self, ip: IpAddr, id: ConnId, limits: &Limits) -> bool {
        let ip = customer(ip);
        let all = self.open.part_mut(&ip).map(|open| {
            let all = open.entry(ip).or_default();
            *all += 1;
            *all
        });
        self.serial += 1;
        let Some(doors) = self.doors.part_mut(&ip) else { return false };
        let door = doors.entry(ip).or_insert_with(|| Door { serial: self.serial, ..Door::default() });
        door.strangers.push_back(id);
        let strangers = door.strangers.len();
        self.crowds.moves(ip, door.serial, strangers - 1, strangers);
        all.is_some_and(|all| all <= limits.connections_per_address)
            && strangers <= limits.unproven_per_address
    }

    /// It has shown who it is, or nobody asks any more; it held so many octets.
    pub fn proved(&mut self, ip: IpAddr, id: ConnId, held: usize) {
        self.holds(ip, held, 0);
        let ip = customer(ip);
        let Some(door) = self.doors.get_mut(&ip) else { return };
        let Some(at) = door.strangers.iter().position(|stranger| *stranger == id) else { return };
        door.strangers.remove(at);
        let strangers = door.strangers.len();
        self.crowds.moves(ip, door.serial, strangers + 1, strangers);
        if strangers == 0 {
            self.doors.remove(&ip);
        }
    }

    /// It is gone.
    pub fn closed(&mut self, ip: IpAddr) {
        let ip = customer(ip);
        let Some(all) = self.open.get_mut(&ip) else { return };
        *all = all.saturating_sub(1);
        if *all == 0 {
            self.open.remove(&ip);
        }
    }

    /// Room is needed: the oldest stranger of the address that has the most.
    pub fn crowding(&self) -> Option<ConnId> {
        self.doors.get(&self.crowds.most()?)?.strangers.front().copied()
    }

    /// How many strangers there are.
    pub fn strangers(&self) -> usize {
        self.doors.values().map(|door| door.strangers.len()).sum()
    }

    /// A stranger's unfinished command has become longer or shorter. Who of them must go, if all hold too much
    /// by now: those of the address that holds most.
    pub fn holds(&mut self, ip: IpAddr, before: usize, after: usize) -> Option<Vec<ConnId>> {
        let ip = customer(ip);
        let door = self.doors.get_mut(&ip)?;
        let octets = door.octets.saturating_sub(before) + after;
        self.hoards.moves(ip, door.serial, door.octets, octets);
        door.octets = octets;
        self.octets = self.octets.saturating_sub(before) + after;
        if after <= before || self.octets <= limits::UNFINISHED {
            return None;
        }
        let most = self.doors.get(&self.hoards.most()?)?;
        Some(most.strangers.iter().copied().collect())
    }

    /// Octets of strangers' unfinished commands, as it counts them.
    pub fn unfinished(&self) -> usize {
        self.octets
    }

    /// How many connections it counts.
    pub fn connections(&self) -> usize {
        self.open.values().sum()
    }

    /// May this address ask for another challenge now?
    pub fn may_ask(&mut self, now: Now, ip: IpAddr, limits: &Limits) -> bool {
        let ip = customer(ip);
        let bucket = self.logins.entry(now, ip, || Bucket::new(now));
        bucket.is_some_and(|bucket| bucket.take(now, limits.logins_per_second))
    }

    /// May this user try to log in from this address now? What others have failed at with his account counts only
    /// where there is something to `guess`: nobody guesses a device key.
    pub fn may_try(&self, now: Now, ip: IpAddr, user: &Address, guess: bool) -> bool {
        let ip = customer(ip);
        let waits = |failures: Option<&Failures>, bound| {
            failures.is_some_and(|f| f.count >= bound && f.until > now.tick)
        };
        let known = self.knows(now, ip, user);
        if known && !guess {
            // Whoever shares his address with him can't keep him out either.
            return true;
        }
        let pair = (ip, user.clone());
        if waits(self.pairs.get(&pair), PAIR) {
            return false;
        }
        known
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
        if let Some(until) = self.proved.entry(now, pair, Tick::default) {
            *until = now.tick + PROVED;
        }
    }
}

fn count<K: Hash + Eq>(table: &mut Bounded<K, Failures>, now: Now, key: K) {
    let Some(failures) = table.entry(now, key, || Failures { count: 0, until: now.tick }) else { return };
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
        for n in 0..2 * (PARTS * ENTRIES) as u32 {
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
        guard.proved(ip, conn(3), 0);
        guard.closed(ip);
        guard.proved(ip, conn(1), 0);
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
            guard.proved(ip(from), stranger, 0);
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
    fn of_who_is_known_nothing_is_left_but_a_count() {
        // design 9: nothing that a stranger sends costs more for all who are there already
        let limits = Limits::default();
        let mut guard = Guard::default();
        for slot in 0..1000 {
            let from = IpAddr::V4(slot.into());
            assert!(guard.opened(from, conn(slot), &limits));
            guard.holds(from, 0, 7);
            guard.proved(from, conn(slot), 7);
        }
        assert_eq!((guard.connections(), guard.unfinished()), (1000, 0));
        assert_eq!((guard.doors.len(), guard.crowds.0.len(), guard.hoards.0.len()), (0, 0, 0));
        (0..1000).for_each(|slot| guard.closed(IpAddr::V4(u32::into(slot))));
        assert_eq!(guard.len(), 0);
    }

    #[test]
    fn who_has_proved_himself_is_known_until_many_others_have() {
        // design 3: nothing that one input does takes longer for those who are there already
        let user = |n: usize| Address::parse(&format!("u{n}@a.test"), &Domains::default()).unwrap();
        let (mut guard, mut now) = (Guard::default(), Now::default());
        let here = ip("127.0.0.1");
        let all = PARTS * ENTRIES;
        for n in 0..2 * all {
            now.tick = now.tick + Duration::from_millis(1);
            guard.succeeded(now, here, &user(n));
            guard.succeeded(now, here, &user(0));
        }
        assert!((all / 3..=all).contains(&guard.proved.len()), "{}", guard.proved.len());
        let knows = |now, n| guard.knows(now, here, &user(n));
        assert!(knows(now, 0) && !knows(now, 1) && knows(now, 2 * all - all / 4), "by when they came last");
        now.tick = now.tick + PROVED;
        assert!(!knows(now, 0));
    }

    #[test]
    fn what_is_over_is_forgotten() {
        // design 3: who comes and goes leaves nothing, not even where there would be room for it
        let user = |n: u32| Address::parse(&format!("u{n}@a.test"), &Domains::default()).unwrap();
        let (mut guard, mut now, limits) = (Guard::default(), Now::default(), Limits::default());
        for round in 0..20 {
            for n in 0..400 {
                let (from, n) = (IpAddr::V4((round << 16 | n).into()), round << 16 | n);
                assert!(guard.may_ask(now, from, &limits));
                guard.failed(now, from, Some(&user(n)), true);
                guard.succeeded(now, from, &user(n));
            }
            let here = ip("127.0.0.1");
            guard.failed(now, here, Some(&user(0)), true);
            // Who has proved himself is known for a day.
            assert!(guard.len() - guard.proved.len() < 3000, "{}", guard.len());
            now.tick = now.tick + MEMORY;
        }
        assert_eq!(guard.proved.len(), 8000);
        now.tick = now.tick + PROVED;
        guard.succeeded(now, ip("127.0.0.1"), &user(0));
        assert_eq!(guard.proved.len(), 1);
    }

    #[test]
    fn nobody_keeps_the_owner_of_a_device_key_out() {
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
        // Nor where he is known, from behind the same address; who guesses his password there has to wait.
        guard.succeeded(now, ip("10.8.8.8"), &alice);
        for guess in [false, true].repeat(PAIR as usize) {
            guard.failed(now, ip("10.8.8.8"), Some(&alice), guess);
        }
        assert!(guard.may_try(now, ip("10.8.8.8"), &alice, false));
        assert!(!guard.may_try(now, ip("10.8.8.8"), &alice, true));
    }

    #[test]
    fn a_flood_of_names_does_not_hide_who_is_aimed_at() {
        let user = |name: &str| Address::parse(name, &Domains::default()).unwrap();
        let mut guard = Guard::default();
        let now = Now::default();
        for n in 0..ACCOUNT {
            guard.failed(now, ip(&format!("10.0.0.{n}")), Some(&user("alice@a.test")), true);
        }
        for n in 0..2 * PARTS * ENTRIES {
            guard.failed(
                now,
                ip(&format!("10.1.{}.{}", n / 200 % 250, n % 200)),
                Some(&user(&format!("u{n}@a.test"))),
                true,
            );
        }
        assert!(!guard.may_try(now, ip("10.9.9.9"), &user("alice@a.test"), true));
        assert!(guard.accounts.len() <= PARTS * ENTRIES && guard.pairs.len() <= PARTS * ENTRIES);
    }
}
