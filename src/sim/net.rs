//! The simulated network: streams between two ends.
//!
//! A [`Wire`] is a TCP connection. Octets keep their order within it and arrive late by chance;
//! different wires overtake each other. What has been written but not yet read is bounded, as a
//! socket's buffers are, so a reader that pauses makes the writer wait.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use crate::node::io::ConnId;

use super::client::ClientId;

/// What the buffers of both ends of one direction hold.
pub const CAPACITY: usize = 64 * 1024;

/// A wire's index in the world; never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WireId(pub usize);

/// Who holds an end of a wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A home server.
    Node {
        /// Index of the host.
        host: usize,
        /// How its node calls it.
        conn: ConnId,
    },
    /// A client.
    Client(ClientId),
    /// Nobody any more: what arrives is answered by a reset.
    Gone,
}

/// What arrives at an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// So many of the octets under way.
    Octets(usize),
    /// The other end will send no more.
    Fin,
    /// The connection is dead.
    Reset,
}

/// One direction.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Written and not yet read; the first `arrived` of them are at the reader.
    pub octets: VecDeque<u8>,
    /// How many have arrived.
    pub arrived: usize,
    /// The reader does not read.
    pub paused: bool,
    /// The end of the stream has arrived behind `arrived` octets.
    pub fin_arrived: bool,
    /// When the last thing sent so far arrives.
    pub last: u64,
}

impl Pipe {
    /// What a writer may add now.
    pub fn room(&self) -> usize {
        CAPACITY.saturating_sub(self.octets.len())
    }
}

/// A TCP connection between two ends.
#[derive(Debug)]
pub struct Wire {
    /// Who holds it; the one at index 0 has opened it.
    pub ends: [End; 2],
    /// Their addresses.
    pub addresses: [SocketAddr; 2],
    /// `pipes[i]` carries what `ends[i]` writes.
    pub pipes: [Pipe; 2],
    /// What arrived while its hosts were cut off from each other, by direction.
    pub held: Vec<(usize, Arrival)>,
    /// It is lost: only the news of that still arrives.
    pub broken: bool,
}

impl Wire {
    /// A new one.
    pub fn new(ends: [End; 2], addresses: [SocketAddr; 2]) -> Wire {
        Wire { ends, addresses, pipes: Default::default(), held: Vec::new(), broken: false }
    }
}

/// How the network behaves.
#[derive(Debug, Clone)]
pub struct Weather {
    /// Milliseconds that anything takes from end to end, at least and at most.
    pub latency: (u64, u64),
    /// Percent of writes and reads that are cut into small pieces.
    pub splitting: u64,
    /// Percent of what is sent that is lost, and sent again by the kernel after a while: it and what is behind it
    /// on the same connection come late.
    pub loss: u64,
    /// Pairs of addresses that can't reach each other.
    pub partitions: Vec<(IpAddr, IpAddr)>,
    /// Pairs of addresses of which the first can't reach the second.
    pub one_way: Vec<(IpAddr, IpAddr)>,
}

impl Default for Weather {
    fn default() -> Weather {
        Weather { latency: (1, 12), splitting: 20, loss: 0, partitions: Vec::new(), one_way: Vec::new() }
    }
}

impl Weather {
    /// Can these two not open a connection? That takes octets both ways.
    pub fn parted(&self, a: IpAddr, b: IpAddr) -> bool {
        self.deaf(a, b) || self.deaf(b, a)
    }

    /// Does nothing that `from` sends arrive at `to`?
    pub fn deaf(&self, from: IpAddr, to: IpAddr) -> bool {
        self.partitions.iter().any(|&(x, y)| (x, y) == (from, to) || (y, x) == (from, to))
            || self.one_way.contains(&(from, to))
    }
}
