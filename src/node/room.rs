//! Room for connections: who goes when there are too many for all.
//!
//! Users stay. Everything else can be many because of one who wants nobody to come in: strangers in silence, the
//! servers of a domain, and our links, since who makes up names of domains has us connect to each. So of these three
//! those go first of which there are most; servers and links only if nothing is on its way there. Both connect again when
//! they have something to say.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;

use super::guard::customer;
use super::{Core, Role};
use crate::clock::Now;
use crate::federation::Protocol;

impl Core {
    /// So many have to go, if there are as many who may.
    pub(super) fn make_room(&mut self, now: Now, count: usize) {
        let links: usize = Protocol::ALL.map(|protocol| self.io.links.up(protocol)).iter().sum();
        // Those who ask by SIMP are counted in both.
        let (strangers, servers) = (self.guard.strangers(), self.io.conns.visiting());
        let mut order = [(strangers, 0), (links, 1), (servers, 2)];
        order.sort_by_key(|(size, _)| Reverse(*size));
        let mut left = count;
        for (_, kind) in order {
            if left == 0 {
                return;
            }
            left = left.saturating_sub(match kind {
                0 => self.cut_strangers(now, left),
                1 => self.give_up_links(left),
                _ => self.cut_servers(now, left),
            });
        }
    }

    /// How many have gone; those who have been there for longest, of the address that has most.
    fn cut_strangers(&mut self, now: Now, most: usize) -> usize {
        for gone in 0..most {
            let Some(stranger) = self.guard.crowding() else { return gone };
            self.cut(now, stranger);
        }
        most
    }

    fn give_up_links(&mut self, most: usize) -> usize {
        let Core { hub, io, .. } = self;
        io.give_up_idle_links(most, |domain, traffic| hub.remote_load(domain, traffic).0)
    }

    /// Connections of other domains' servers that wait for no answer: those of the address that has most of them, and
    /// of these who has said nothing for longest. An eighth of them, if that is more: they are not gone through for each.
    fn cut_servers(&mut self, now: Now, most: usize) -> usize {
        let mut of_address: HashMap<IpAddr, usize> = HashMap::new();
        let mut idle = Vec::new();
        for id in self.io.conns.visitors() {
            let Some(conn) = self.io.conns.get(id) else { continue };
            if matches!(conn.role, Role::Server(_)) && conn.waiting == 0 && !conn.closing {
                let address = customer(conn.peer.ip());
                *of_address.entry(address).or_default() += 1;
                idle.push((address, conn.heard, id));
            }
        }
        let has = |address: &IpAddr| of_address.get(address).copied().unwrap_or_default();
        idle.sort_unstable_by_key(|(address, heard, id)| (Reverse(has(address)), *address, *heard, *id));
        idle.truncate(most.max(idle.len() / 8));
        for (_, _, id) in &idle {
            self.cut(now, *id);
        }
        idle.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::io::{ConnId, Input, Output};
    use super::super::{Node, Seed};
    use super::*;
    use crate::sim::world::config;

    #[test]
    fn servers_make_room_too_those_of_the_address_that_has_most() {
        // design 7, 9: a domain costs nothing, and its server may connect as often as it likes
        let config = config(&["a.test"], [127, 0, 0, 1].into());
        let local = config.listen[0].address;
        let now = Now::default();
        let seed =
            Seed { config: Arc::new(config), random: [7; 32], key: [7; 32], calendar: Default::default() };
        let mut node = Node::new(now, seed);
        let conn = |slot| ConnId { slot, generation: 0 };
        for slot in 0..10 {
            let peer = ([127, 0, 9, if slot < 8 { 1 } else { slot as u8 }], 4000).into();
            node.handle(now, Input::Accepted { conn: conn(slot), listener: 0, peer, local });
            if slot < 9 {
                let place = node.core.io.conns.get_mut(conn(slot));
                let place = place.map(|place| place.role = Role::Server("b.test".into()));
                assert!(place.is_some());
                node.core.io.conns.visits(conn(slot));
                node.core.disown(peer.ip(), conn(slot));
            }
        }
        // It waits for an answer.
        node.core.io.conns.get_mut(conn(0)).into_iter().for_each(|conn| conn.waiting = 1);
        while node.poll_output().is_some() {}
        let mut gone = |count| -> Vec<u32> {
            node.handle(now, Input::Crowded { count });
            let of = |output| match output {
                Output::Close { conn, .. } => Some(conn.slot),
                _ => None,
            };
            let gone = std::iter::from_fn(|| node.poll_output()).filter_map(of).collect();
            for slot in 0..10 {
                if node.core.io.conns.get(conn(slot)).is_some_and(|conn| conn.closing) {
                    node.handle(now, Input::Closed { conn: conn(slot) });
                }
            }
            gone
        };
        assert_eq!(gone(1), [1]);
        assert_eq!(gone(5), [2, 3, 4, 5, 6]);
        // The servers are still more than the strangers are.
        assert_eq!(gone(2), [7, 8]);
        assert_eq!((gone(2), gone(1)), (vec![9], vec![]));
    }
}
