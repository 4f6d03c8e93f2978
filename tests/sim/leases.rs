//! What a home server has asked for at another by itself, and lost in a crash: it is ended there, so that its users can
//! go on watching.

use std::time::Duration;

use hearth::hub::address::{Address, Domains};
use hearth::limits::{SUBSCRIPTIONS_NAMED, SUBSCRIPTIONS_PER_PAIR};
use hearth::sim::client::Stage;
use hearth::sim::clients::client_address;
use hearth::sim::sasl::Entrance;
use hearth::sim::stage::publish;
use hearth::sim::world::{HostId, World, config};
use hearth::store::record::{Change, Read, Reading, WatcherPolicy};

use crate::seeds;

/// Two homes: `a.test`, which asks the other one by this family, and `b.test`, which tells it news by SIMP.
fn homes(seed: u64, asks_by: &str) -> (World, HostId, HostId) {
    let mut world = World::new(seed);
    let home = |world: &mut World, domain, family| {
        let address = world.next_address();
        let home = world.add_host(config(&[domain], address));
        publish(world, domain, family, address);
        home
    };
    let (a, b) = (home(&mut world, "a.test", "simp"), home(&mut world, "b.test", asks_by));
    world.add_user(a, "alice@a.test");
    world.add_user(b, "bob@b.test");
    let change = Change::SetWatchers { address: "bob@b.test".to_owned(), watchers: WatcherPolicy::Allow };
    world.change(b, change);
    (world, a, b)
}

/// How much the presentity's home has of something.
fn size(world: &World, home: HostId, wanted: &str) -> usize {
    let node = world.hosts[home.0].node.as_ref().expect("a running node");
    let mut gauge = node.gauge().into_iter();
    gauge.find(|(what, _)| *what == wanted).expect("a gauge of it").1
}

/// Subscriptions that the presentity's home has.
fn watches(world: &World, home: HostId) -> usize {
    size(world, home, "watches")
}

// PITP-11.7-5 PITP-15.11-2 OC-41
#[test]
fn connections_that_are_lost_in_crashes_keep_nobody_from_watching_anew() {
    for (seed, family) in seeds(4).zip(["imtp", "simp"].into_iter().cycle()) {
        let (mut world, a, b) = homes(seed, family);
        let bob = world.login(b, "bob", "bob", "key-of-bob");
        for crash in 0..SUBSCRIPTIONS_NAMED + 2 {
            let credentials = world.credentials("alice", "password-of-alice");
            let label = format!("alice#{crash}/pr");
            let alice = world.connect(a, &label, client_address(), None, Some(Entrance::new(credentials)));
            assert_eq!(world.await_login(alice), Stage::In);
            let entries = [
                ("action", "subscribe"),
                ("Subscription", "/presence:alice@a.test"),
                ("Presentity", "presence:bob@b.test"),
            ];
            let id = world.request(alice, &entries);
            let answer = world.reply(alice, &id).expect("an answer");
            assert_eq!(answer.action(), "ok", "{answer} after {crash} crashes, asked by {family}");
            // News do not find out which of a user's subscriptions are lost, if they name none.
            world.request(bob, &[("action", "set profile"), ("message", &*format!("said {crash}"))]);
            world.run_for(Duration::from_secs(1));
            world.crash(a);
            world.start(a);
            world.run_for(Duration::from_secs(10));
            assert_eq!(watches(&world, b), 0, "what {crash} crashes have left, asked by {family}");
        }
    }
}

// SIMP-15-1 OC-41 OC-48
#[test]
fn contact_lists_of_users_whose_home_crashes_again_and_again_still_work() {
    for (seed, family) in seeds(4).zip(["simp", "imtp"].into_iter().cycle()) {
        let (mut world, a, b) = homes(seed, family);
        world.login(b, "bob", "bob", "key-of-bob");
        for crash in 0..SUBSCRIPTIONS_PER_PAIR + 2 {
            let alice = world.login(a, &format!("alice#{crash}"), "alice", "key-of-alice");
            if crash == 0 {
                let buddies = "<properties><entry key=\"x\">bob@b.test</entry></properties>";
                world.request(alice, &[("action", "set profile"), ("buddies", buddies)]);
            }
            let shown = world.expect(alice, Duration::from_secs(30), |o| o.action() == "note change");
            assert!(shown.is_some(), "nothing is shown after {crash} crashes, asked by {family}");
            world.run_for(Duration::from_secs(1));
            world.crash(a);
            world.start(a);
        }
        world.run_for(Duration::from_secs(10));
        assert_eq!(watches(&world, b), 0, "what crashes have left, asked by {family}");
    }
}

// OC-40 PITP-11.7-5: who sets the clock of a server ends no subscription, nor does a restart after it
#[test]
fn a_clock_that_is_set_ends_no_lease() {
    const MONTH: i64 = 30 * 24 * 3600 * 1000;
    for (seed, (jump, crashes)) in
        seeds(4).zip([(MONTH, true), (MONTH, false), (-MONTH, true), (MONTH, true)])
    {
        let (mut world, a, b) = homes(seed, "simp");
        let alice = world.login(a, "alice", "alice", "key-of-alice");
        world.request(
            alice,
            &[
                ("action", "subscribe"),
                ("to", "bob@b.test"),
                ("from", "alice@a.test"),
                ("duration", "86400000"),
            ],
        );
        assert!(world.expect(alice, Duration::from_secs(30), |o| o.action() == "describe").is_some());
        let tells = |world: &mut World, status: &str| {
            let told = world.expect(alice, Duration::from_secs(3600), |o| o.get("status") == Some(status));
            assert!(told.is_some(), "{status} is not told after a jump by {jump} ms; crashes: {crashes}");
        };
        world.host(b).jump(jump);
        if crashes {
            world.login(b, "bob", "bob", "key-of-bob");
            tells(&mut world, "online");
            world.crash(b);
            world.start(b);
            tells(&mut world, "offline");
        }
        world.login(b, "bob", "bob", "key-of-bob");
        tells(&mut world, "online");
    }
}

// SIMP-5.3-5 OC-41
#[test]
fn leases_that_end_while_nobody_is_told_leave_nothing() {
    for seed in seeds(2) {
        let (mut world, _, b) = homes(seed, "simp");
        world.add_user(b, "ann@b.test");
        let ann = world.login(b, "ann", "ann", "key-of-ann");
        for _ in 0..50 {
            for _ in 0..SUBSCRIPTIONS_PER_PAIR {
                let entries = [
                    ("action", "subscribe"),
                    ("to", "bob@b.test"),
                    ("from", "ann@b.test"),
                    ("duration", "1000"),
                ];
                let id = world.request(ann, &entries);
                assert_eq!(world.reply(ann, &id).expect("an answer").action(), "describe");
            }
            world.run_for(Duration::from_secs(2));
        }
        assert!(size(&world, b, "leases") <= 2 * SUBSCRIPTIONS_PER_PAIR, "bob is not there");
    }
}

// OC-40: whose clock was ahead and is put right while the server is down, or is behind at every start, keeps nobody's
// lease for ever
#[test]
fn a_clock_that_was_set_back_makes_no_lease_last() {
    const MONTH: i64 = 30 * 24 * 3600 * 1000;
    let subscribe = |world: &mut World, alice, duration: &str| {
        let asked =
            [("action", "subscribe"), ("to", "bob@b.test"), ("from", "alice@a.test"), ("duration", duration)];
        world.request(alice, &asked);
        assert!(world.expect(alice, Duration::from_secs(30), |o| o.action() == "describe").is_some());
    };
    let address = Address::parse("bob@b.test", &Domains::default()).unwrap();
    let kept = |world: &World, home: HostId| {
        let Reading::Account(Some(bob)) = world.hosts[home.0].disk.read(&Read::Account(address.clone()))
        else {
            panic!("bob's account");
        };
        bob.watched_by.len()
    };
    for (seed, put_right) in seeds(4).zip([false, true].into_iter().cycle()) {
        let (mut world, a, b) = homes(seed, "simp");
        let alice = world.login(a, "alice", "alice", "key-of-alice");
        subscribe(&mut world, alice, "86400000");
        subscribe(&mut world, alice, "20000");
        for start in 0..3 {
            world.crash(b);
            world.host(b).jump(-MONTH);
            world.start(b);
            if put_right {
                world.run_for(Duration::from_secs(1));
                world.host(b).jump(MONTH);
            }
            world.run_for(Duration::from_secs(15 * 60));
            assert_eq!(kept(&world, b), 1, "leases after start {start}, put right: {put_right}");
        }
        let bob = world.login(b, "bob", "bob", "key-of-bob");
        assert!(
            world.expect(alice, Duration::from_secs(60), |o| o.get("status") == Some("online")).is_some()
        );
        world.close(bob, false);
        world.run_for(Duration::from_secs(24 * 3600));
        assert_eq!(kept(&world, b), 0, "leases a day later, put right: {put_right}");
    }
}
