//! The simulator itself: the same seed gives the same run, another seed another one.

use std::time::Duration;

use hearth::sim::client::Answer;
use hearth::sim::world::{HostId, World};

/// Two homes that exchange messages and news for a while.
fn run(seed: u64) -> (u64, String) {
    let mut world = World::new(seed);
    let homes: Vec<HostId> = ["a.test", "b.test"].map(|d| world.add_home(&[d])).to_vec();
    world.add_user(homes[0], "alice@a.test");
    world.add_user(homes[1], "bob@b.test");
    let alice = world.login(homes[0], "alice", "alice", "key-of-alice");
    let bob = world.login(homes[1], "bob", "bob", "key-of-bob");
    world.answers(bob, Answer::Okay, Answer::Okay);
    for body in ["one", "two", "three"] {
        let entries = [
            ("action", "send"),
            ("to", "bob@b.test"),
            ("from", "alice@a.test"),
            ("type", "text/plain"),
            ("body", body),
        ];
        world.request(alice, &entries);
    }
    world.run_for(Duration::from_secs(1));
    world.crash(homes[1]);
    world.run_for(Duration::from_secs(1));
    world.start(homes[1]);
    world.run_for(Duration::from_secs(60));
    (world.trace(), world.transcript())
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let (first, second) = (run(11), run(11));
    assert_eq!(first.1, second.1);
    assert_eq!(first.0, second.0);
}

#[test]
fn another_seed_gives_another_run() {
    assert_ne!(run(11).0, run(12).0);
}
