//! A whole home server without I/O: connections, timers, jobs, hub.

pub mod io;

use std::sync::Arc;

use crate::clock::{Now, Tick};
use crate::config::Config;
use io::{ConnId, Input, Output};

/// A home server. Drive it: `handle` an input, then `settle` once the inputs of this tick are in,
/// then take outputs until there are none; call again at `next_wake` at the latest.
pub struct Node {
    config: Arc<Config>,
}

/// What a node is made from.
pub struct Seed {
    /// The checked configuration.
    pub config: Arc<Config>,
    /// All the randomness it will ever use.
    pub random: [u8; 32],
    /// From the key file: seals login challenges.
    pub key: [u8; 32],
}

impl Node {
    /// A node that has just started. Its first outputs read what it needs from the store.
    pub fn new(now: Now, seed: Seed) -> Node {
        let _ = now;
        Node { config: seed.config }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        let _ = (now, input, &self.config);
    }

    /// Ends a tick: what merges within one (notifications, writes to the store) becomes output.
    pub fn settle(&mut self, now: Now) {
        let _ = now;
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// When `Input::Wake` is wanted, if nothing happens before.
    pub fn next_wake(&self) -> Option<Tick> {
        None
    }

    /// What waits to be written to a connection.
    pub fn unsent(&self, conn: ConnId) -> &[u8] {
        let _ = conn;
        &[]
    }

    /// The first `count` octets of it have been written.
    pub fn sent(&mut self, now: Now, conn: ConnId, count: usize) {
        let _ = (now, conn, count);
    }

    /// A new configuration (SIGHUP): rules about peers, limits, SIMP's settings. Domains, listeners and the
    /// data directory stay as they were at the start.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        self.config = config;
    }
}
