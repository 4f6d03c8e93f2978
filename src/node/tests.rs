//! A node at the level of its inputs and outputs: what one tick may take.

use super::*;
use crate::sim::world::config;

#[test]
fn a_crowd_of_timers_does_not_keep_others_waiting() {
    // design 3, OC-69: what is due for many at the same moment is done some at a time
    let config = config(&["a.test"], [127, 0, 0, 1].into());
    let local = config.listen[0].address;
    let mut now = Now::default();
    let mut node = Node::new(
        now,
        Seed { config: Arc::new(config), random: [7; 32], key: [7; 32], calendar: Default::default() },
    );
    let crowd = limits::DUE_AT_ONCE as u32 * 5 / 2;
    for slot in 0..crowd {
        let conn = ConnId { slot, generation: 0 };
        let peer = std::net::SocketAddr::from((std::net::Ipv4Addr::from_bits(0x7f00_0000 + slot), 4000));
        node.handle(now, Input::Accepted { conn, listener: 0, peer, local });
    }
    node.settle(now);
    while node.poll_output().is_some() {}
    // None of them has said anything.
    now.tick = now.tick + limits::HEADER;
    let mut closed = Vec::new();
    while node.next_wake().is_some_and(|at| at <= now.tick) {
        node.handle(now, Input::Wake);
        node.settle(now);
        let outputs = std::iter::from_fn(|| node.poll_output());
        closed.push(outputs.filter(|output| matches!(output, Output::Close { .. })).count());
    }
    assert_eq!(closed.iter().sum::<usize>(), crowd as usize);
    assert!(closed.iter().all(|count| *count <= limits::DUE_AT_ONCE), "{closed:?}");
}
