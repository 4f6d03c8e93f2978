//! The driver's table of connections: a dense slab, a few octets for each.
//!
//! An idle plain connection is a descriptor and some flags; buffers belong to the loop (for reading)
//! and to the node (for writing). A TLS connection adds its session.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use mio::net::TcpStream;

use crate::clock::Tick;
use crate::node::io::ConnId;
use crate::server::tls::Session;

/// A connection, as the driver sees it.
#[derive(Debug)]
pub(super) struct Conn {
    /// The socket.
    pub stream: TcpStream,
    /// Of a TLS connection.
    pub tls: Option<Box<Session>>,
    /// When a write last made progress, in seconds of the tick clock.
    pub progress: u32,
    /// Where it is in its life.
    pub stage: Stage,
    /// There may be something to read: an edge was seen and not all was read since.
    pub readable: bool,
    /// The peer has shut down or reset: read on until the end shows.
    pub hung_up: bool,
    /// The end of the peer's octets was seen.
    pub ended: bool,
    /// The node wants no octets now.
    pub paused: bool,
    /// The socket took less than was offered: wait for it to be writable.
    pub blocked: bool,
    /// A deadline for `blocked` is set.
    pub watched: bool,
    /// On the list of connections to be read.
    pub queued: bool,
    /// The node knows who is there.
    pub known: bool,
    /// There was much to be read last time.
    pub much: bool,
    /// It was accepted, and we have said nothing yet: the first words wait a little for more.
    pub fresh: bool,
}

/// Where a connection is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Our connect is under way.
    Dialling,
    /// The TLS handshake is under way.
    Handshake,
    /// Octets go both ways.
    Open,
    /// The node is done with it: write what is left.
    Flushing,
    /// All is written and our side is shut: wait for the peer's end, reading past what he still says.
    Lingering,
}

impl Conn {
    /// A connection whose socket has just been made.
    pub(super) fn new(stream: TcpStream, stage: Stage) -> Conn {
        Conn {
            stream,
            tls: None,
            progress: 0,
            stage,
            readable: false,
            hung_up: false,
            ended: false,
            paused: false,
            blocked: false,
            watched: false,
            queued: false,
            known: false,
            much: false,
            fresh: false,
        }
    }

    /// Has the node let go of it?
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Flushing | Stage::Lingering)
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    conn: Option<Conn>,
}

/// All connections, by slot. A slot is taken again only after the node has heard that its last use is over.
#[derive(Debug, Default)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u32>,
    live: usize,
}

impl Table {
    /// Puts a connection in, and names it.
    pub(super) fn insert(&mut self, conn: Conn) -> ConnId {
        self.live += 1;
        if let Some(slot) = self.free.pop()
            && let Some(entry) = self.slots.get_mut(slot as usize)
        {
            entry.conn = Some(conn);
            return ConnId { slot, generation: entry.generation };
        }
        let slot = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, conn: Some(conn) });
        ConnId { slot, generation: 0 }
    }

    /// The connection of that name, if it is still that one.
    pub(super) fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation == id.generation { entry.conn.as_mut() } else { None }
    }

    /// Takes the connection out. Its slot stays taken until [`Table::release`].
    pub(super) fn remove(&mut self, id: ConnId) -> Option<Conn> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let conn = entry.conn.take()?;
        self.live -= 1;
        Some(conn)
    }

    /// Gives the slot of a removed connection back.
    pub(super) fn release(&mut self, id: ConnId) {
        if let Some(entry) = self.slots.get_mut(id.slot as usize)
            && entry.generation == id.generation
            && entry.conn.is_none()
        {
            entry.generation = entry.generation.wrapping_add(1);
            self.free.push(id.slot);
        }
    }

    /// Open connections.
    pub(super) fn live(&self) -> usize {
        self.live
    }

    /// The names of those in a stage.
    pub(super) fn in_stage(&self, wanted: impl Fn(Stage) -> bool) -> bool {
        self.slots.iter().filter_map(|s| s.conn.as_ref()).any(|c| wanted(c.stage))
    }
}

/// What a connection's time is up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Due {
    /// Connecting, or the TLS handshake after it.
    Dial,
    /// The TLS handshake of an accepted connection.
    Handshake,
    /// A write makes no progress.
    Stalled,
    /// What is left to write, and the peer's end.
    Closing,
}

/// The driver's own timers, soonest first. They are never cancelled: whoever is told checks whether it still matters.
#[derive(Debug, Default)]
pub(super) struct Deadlines(BinaryHeap<Reverse<(Tick, ConnId, Due)>>);

impl Deadlines {
    /// Sets one.
    pub(super) fn set(&mut self, at: Tick, conn: ConnId, due: Due) {
        self.0.push(Reverse((at, conn, due)));
    }

    /// The soonest.
    pub(super) fn next(&self) -> Option<Tick> {
        self.0.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes one that is due.
    pub(super) fn pop(&mut self, now: Tick) -> Option<(ConnId, Due)> {
        if self.next()? > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, conn, due))| (conn, due))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn conn() -> Conn {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        Conn::new(TcpStream::from_std(stream), Stage::Open)
    }

    #[test]
    fn a_slot_is_reused_only_once_it_is_released_and_then_under_another_name() {
        let mut table = Table::default();
        let first = table.insert(conn());
        let second = table.insert(conn());
        assert!(table.remove(first).is_some());
        assert!(table.get_mut(first).is_none());
        let third = table.insert(conn());
        assert_ne!(third.slot, first.slot);
        table.release(first);
        table.release(first);
        let fourth = table.insert(conn());
        assert_eq!(fourth.slot, first.slot);
        assert_ne!(fourth.generation, first.generation);
        assert!(table.get_mut(first).is_none());
        assert!(table.remove(first).is_none());
        assert!(table.get_mut(second).is_some());
        assert_eq!(table.live(), 3);
    }

    #[test]
    fn an_idle_connection_is_small() {
        assert!(std::mem::size_of::<Slot>() <= 48, "{}", std::mem::size_of::<Slot>());
    }
}
