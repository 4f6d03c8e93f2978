//! A server ends in order and names another one with the same accounts and the same key file.

use std::time::Duration;

use hearth::sim::client::{Stage, authorization};
use hearth::sim::clients::PATIENCE;
use hearth::sim::reader::Object;
use hearth::sim::world::{NOTIFICATION, World, config};

use crate::seeds;

// SIMP-6.5-1 SIMP-6.5-2 SIMP-6.5-3 SIMP-7.2-7 OC-54
#[test]
fn a_diverted_client_connects_elsewhere_without_a_new_login() {
    for seed in seeds(5) {
        let mut world = World::new(seed);
        let mut settings = config(&["a.test"], world.next_address());
        settings.simp.divert = Some(("127.0.2.1".to_owned(), NOTIFICATION));
        let first = world.add_host(settings);
        let settings = config(&["a.test"], world.next_address());
        let second = world.add_host(settings);
        // The same key file: restarted with it.
        world.crash(second);
        world.host(second).key = world.hosts[first.0].key;
        world.start(second);
        world.add_user(first, "alice@a.test");
        world.add_user(second, "alice@a.test");

        let alice = world.login(first, "alice", "alice", "key-of-alice");
        assert!(world.shutdown(first), "it ends");
        let divert = world.expect(alice, PATIENCE, |o| o.action() == "divert").expect("divert");
        let of = |key: &str| divert.get(key).unwrap().to_owned();
        assert!(divert.get("request").is_none() && divert.get("response").is_none());
        assert!(world.run_until(PATIENCE, |w| w.peek(alice).closed), "the old connection is closed");

        let again = world.new_client("alice again", hearth::sim::clients::client_address());
        world.open(again, format!("{}:{}", of("host"), of("port")).parse().unwrap());
        world.write_header(again);
        let proof = authorization(&of("algorithm"), "alice", "key-of-alice", &of("nonce"));
        let connect = Object::new(&[
            ("action", "connect"),
            ("request", "1"),
            ("authorization", &proof),
            ("opaque", &of("opaque")),
            ("version", "1.0"),
        ]);
        world.send(again, &connect);
        let reply = world.reply(again, "1").expect("an answer");
        assert_eq!(reply.action(), "self", "seed {seed}: {reply}");
    }
}

// SIMP-6.5-4 OC-54
#[test]
fn a_diverted_client_may_end_its_session() {
    let mut world = World::new(1);
    let mut settings = config(&["a.test"], world.next_address());
    settings.simp.divert = Some(("127.0.2.1".to_owned(), NOTIFICATION));
    let home = world.add_host(settings);
    world.add_user(home, "alice@a.test");
    let alice = world.login(home, "alice", "alice", "key-of-alice");
    assert_eq!(world.peek(alice).stage, Stage::In);
    assert!(world.shutdown(home), "it ends in order though nobody goes");
    assert!(world.run_until(Duration::from_secs(1), |w| w.peek(alice).closed));
}
