//! What the operator is told of links: how they are, and how it goes when one is tested.

use std::sync::Arc;

use super::{Lane, Link, Peer, State, Way};
use crate::admin::{AdminReply, PeerStatus};
use crate::federation::{Protocol, Traffic};
use crate::hub::address::Domain;
use crate::node::Io;
use crate::node::io::{ControlId, Output};

/// What is looked into: a domain that can't be inquired of lacks nothing.
const TESTED: [Traffic; 2] = [Traffic::Messages, Traffic::Presence];

/// An operator who waits to hear how it goes.
#[derive(Debug)]
pub(super) struct Test {
    id: ControlId,
    /// What has not come out yet.
    pending: Vec<Traffic>,
    /// Could all that has come out be reached?
    reached: bool,
    steps: Vec<String>,
}

impl Peer {
    /// A step that whoever tests this peer is to hear of.
    pub(super) fn note(&mut self, step: impl Fn() -> String) {
        for test in &mut self.tests {
            test.steps.push(step());
        }
    }

    fn rows(&self, domain: &str, load: impl Fn(Traffic) -> usize) -> Vec<PeerStatus> {
        let row =
            |protocol: Option<Protocol>, state: &str, link: Option<&Link>, lanes: &[Traffic]| PeerStatus {
                domain: domain.to_owned(),
                protocol: protocol.map(|protocol| protocol.name().to_owned()),
                carries: lanes.iter().map(|traffic| traffic.name().to_owned()).collect(),
                state: state.to_owned(),
                address: link.and_then(|link| link.address).map(|address| address.to_string()),
                waiting: lanes.iter().map(|traffic| load(*traffic)).sum(),
                trouble: lanes.iter().find_map(|traffic| self.lane(*traffic).trouble.clone()),
            };
        let mut rows = Vec::new();
        for protocol in Protocol::ALL {
            let link = self.link(protocol);
            let state = match link.state {
                State::Down => continue,
                State::Dialing { .. } => "connecting",
                State::Greeting { .. } => "greeting",
                State::Up { .. } => "up",
            };
            let lanes: Vec<_> = self.on(protocol).chain(self.trying(protocol)).collect();
            rows.push(row(Some(protocol), state, Some(link), &lanes));
        }
        for traffic in Traffic::ALL {
            let state = match self.lane(traffic) {
                Lane { way: Way::Resolving, .. } => "resolving",
                Lane { way: Way::Waiting { .. }, .. } => "waiting",
                Lane { way: Way::Idle, trouble: Some(_), .. } => "idle",
                Lane { way: Way::Idle | Way::Trying(_) | Way::On(_), .. } => continue,
            };
            rows.push(row(None, state, None, &[traffic]));
        }
        if rows.is_empty() {
            rows.push(row(None, "idle", None, &[]));
        }
        rows
    }
}

impl Io {
    /// `hearth peer test`: says how it went when each kind of traffic has a link, or none can be had.
    pub(in crate::node) fn test_peer(&mut self, id: ControlId, domain: &Domain) {
        let refused = |why: String| {
            let reply = AdminReply::PeerTest { reached: false, steps: vec![why] };
            Output::Control { id, reply }
        };
        if !self.links.admits(domain.as_str(), &self.config.federation) {
            let denied = refused(format!("{domain} is denied by the rules about peers"));
            return self.outputs.push_back(denied);
        }
        let Some((name, peer)) = self.links.get(self.now, domain.as_str()) else {
            let full = refused("there are links to too many domains: try again in a minute".to_owned());
            return self.outputs.push_back(full);
        };
        let pending = TESTED.to_vec();
        peer.tests.push(Test { id, pending, reached: true, steps: Vec::new() });
        for traffic in TESTED {
            let Some(peer) = self.links.peers.get_mut(&name) else { return };
            match peer.lane(traffic).way {
                Way::Idle | Way::Waiting { .. } => self.start(&name, traffic),
                Way::On(protocol) => self.join(&name, traffic, protocol),
                Way::Resolving | Way::Trying(_) => {}
            }
        }
        self.arm_peer(&name);
    }

    /// One kind of traffic has a link now, or none can be had: that is what testers wait for.
    pub(super) fn tested(&mut self, domain: &Arc<str>, traffic: Traffic, reached: bool, step: String) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        for mut test in std::mem::take(&mut peer.tests) {
            if let Some(at) = test.pending.iter().position(|pending| *pending == traffic) {
                test.pending.remove(at);
                test.reached &= reached;
                test.steps.push(step.clone());
            }
            if test.pending.is_empty() {
                let reply = AdminReply::PeerTest { reached: test.reached, steps: test.steps };
                self.outputs.push_back(Output::Control { id: test.id, reply });
            } else {
                peer.tests.push(test);
            }
        }
    }

    /// The links, for the operator; `load` tells what waits for a domain.
    pub(in crate::node) fn peers(&self, load: impl Fn(&str, Traffic) -> usize) -> Vec<PeerStatus> {
        let mut peers: Vec<_> = self.links.peers.iter().collect();
        peers.sort_unstable_by_key(|(domain, _)| *domain);
        peers.iter().flat_map(|(domain, peer)| peer.rows(domain, |traffic| load(domain, traffic))).collect()
    }
}
