//! One home server of the simulation: its node, the slots of its connections, its disk and clock.

use std::net::IpAddr;
use std::sync::Arc;

use crate::admin::AdminReply;
use crate::clock::{Date, Now, Tick};
use crate::config::Config;
use crate::node::Node;
use crate::node::io::{ConnId, ControlId};

use super::disk::Disk;
use super::net::WireId;

/// The wall clock of every host at the start: 2026-01-05T09:30:00Z.
pub const START: i64 = 1_767_605_400_000;

/// A connection of a node.
#[derive(Debug, Clone, Copy)]
pub struct Slot {
    /// Which use of the slot it is.
    pub generation: u32,
    /// Has the node been told of it, and not yet of its end?
    pub used: bool,
    /// Its wire and side, while it is open.
    pub wire: Option<(WireId, usize)>,
    /// To be closed once nothing is unsent.
    pub closing: bool,
    /// A TLS handshake is under way: nothing is read yet.
    pub handshake: bool,
}

/// A home server.
pub struct Host {
    /// Its first domain.
    pub name: String,
    /// What it was told.
    pub config: Arc<Config>,
    /// The names in its certificate.
    pub certificate: Vec<String>,
    /// The running node; none after a crash.
    pub node: Option<Node>,
    /// Which life of the process this is: what was begun in an earlier one never ends.
    pub life: u32,
    /// When this life began.
    pub born: u64,
    /// What survives a crash.
    pub disk: Disk,
    /// What the key file holds.
    pub key: [u8; 32],
    /// Its connections.
    pub slots: Vec<Slot>,
    /// Connections that may have room for writing again.
    pub blocked: Vec<ConnId>,
    /// Has something happened that the node was not settled after?
    pub dirty: bool,
    /// The wake-up that is set.
    pub wake: Option<u64>,
    /// Wake-ups within this millisecond: a node that always wants another never rests.
    pub spins: u32,
    /// How far its wall clock is off, in milliseconds.
    pub clock: i64,
    /// How far it has jumped forwards altogether, in milliseconds.
    pub leapt: i64,
    /// How far its calendar of leases is off, in milliseconds.
    pub calendar: i64,
    /// How far that has jumped forwards altogether: it died before it had written down that its wall clock had. Its
    /// store may hold leases that are over by it.
    pub calendar_leapt: i64,
    /// `Output::Ended` was given.
    pub ended: bool,
    /// It runs a release that knows none of hearth's own words: they mean nothing to it, nor its own to others.
    pub older: bool,
    /// Answers to operators.
    pub replies: Vec<(ControlId, AdminReply)>,
    /// The name of the next operator's request.
    pub next_control: u64,
}

impl Host {
    /// Its wall clock jumps by so many milliseconds.
    pub fn jump(&mut self, by: i64) {
        self.clock += by;
        self.leapt += by.max(0);
    }

    /// The time as this host's node sees it.
    pub fn now(&self, world: u64) -> Now {
        Now { tick: Tick::at(world - self.born), date: Date(START + world as i64 + self.clock) }
    }

    /// A slot for a new connection.
    pub fn open(&mut self, wire: (WireId, usize), handshake: bool) -> ConnId {
        let free = self.slots.iter().position(|s| !s.used).unwrap_or(self.slots.len());
        let generation = self.slots.get(free).map_or(1, |s| s.generation + 1);
        let fresh = Slot { generation, used: true, wire: Some(wire), closing: false, handshake };
        match self.slots.get_mut(free) {
            Some(slot) => *slot = fresh,
            None => self.slots.push(fresh),
        }
        ConnId { slot: free as u32, generation }
    }

    /// The entry of an open connection.
    pub fn slot(&mut self, conn: ConnId) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(conn.slot as usize)?;
        (slot.generation == conn.generation && slot.wire.is_some()).then_some(slot)
    }

    /// The host's address.
    pub fn ip(&self) -> IpAddr {
        self.config.listen[0].address.ip()
    }

    /// What SCRAM-PLUS binds to: a stand-in for the hash of the certificate.
    pub fn end_point(&self) -> Arc<[u8]> {
        Arc::from(self.certificate.join(",").into_bytes())
    }

    /// Open connections.
    pub fn connections(&self) -> usize {
        self.slots.iter().filter(|s| s.wire.is_some()).count()
    }
}
