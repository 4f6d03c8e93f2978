//! The table of connections, and what waits to be written to each.
//!
//! A connection owns a buffer only while it has something to write or half a command to read; buffers
//! that become empty go back to a pool.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use zeroize::Zeroize;

use super::io::{ConnId, Output, TlsPeer};
use crate::clock::{Now, Tick};
use crate::credential::Algorithm;
use crate::federation::Protocol;
use crate::hub::op::{EndpointId, Handle, Strength};
use crate::imtp;
use crate::imtp::session::Session;
use crate::limits;
use crate::simp::framer::Framer;
use crate::simp::login::Attempt;

/// Octets of buffers kept for the next connections that write: enough for a presence change of which
/// thousands are told in one tick.
const POOL: usize = 4 * 1024 * 1024;
/// A new buffer's octets: most commands fit, and it need not grow.
const BUFFER: usize = 512;
/// A buffer that has grown beyond this is not kept.
const POOLED: usize = 64 * 1024;

/// What a connection is for.
#[derive(Debug)]
pub(crate) enum Role {
    /// Its TLS handshake is under way.
    Handshake,
    /// Nobody knows yet: no command has come.
    Fresh,
    /// A routing connection: any client, or the server of other domains.
    Routing(Vouched),
    /// A `connect` is being looked into; or has failed, and is told so when its time has come.
    Proving(Box<Attempt>),
    /// A notification connection: a user's live contact, and how he logged in, for a divert.
    Endpoint { endpoint: EndpointId, user: Box<str>, algorithm: Algorithm },
    /// A user's live contact by a protocol that has a kind of connection for each service.
    Client(EndpointId),
    /// The server of this domain, as it has proved.
    Server(Arc<str>),
    /// Our own connection to the server of this domain.
    Link(Arc<str>),
    /// The peer has ended his stream, or we ours: nothing more is read.
    Ending,
}

/// What is spoken on a connection, and how far it has been read.
#[derive(Debug)]
pub(crate) enum Wire {
    Simp(Framer),
    /// IMTP or PITP.
    Imtp(Box<Session>),
}

impl Wire {
    pub fn of(protocol: Protocol) -> Wire {
        match protocol {
            Protocol::Simp => Wire::Simp(Framer::new()),
            Protocol::Imtp => Wire::Imtp(Box::new(Session::new(imtp::Protocol::Imtp))),
            Protocol::Pitp => Wire::Imtp(Box::new(Session::new(imtp::Protocol::Pitp))),
        }
    }
}

impl Wire {
    /// What is spoken.
    pub fn protocol(&self) -> Protocol {
        match self {
            Wire::Simp(_) => Protocol::Simp,
            Wire::Imtp(session) => match session.protocol {
                imtp::Protocol::Imtp => Protocol::Imtp,
                imtp::Protocol::Pitp => Protocol::Pitp,
            },
        }
    }

    pub fn session_ref(&self) -> Option<&Session> {
        match self {
            Wire::Imtp(session) => Some(session),
            Wire::Simp(_) => None,
        }
    }
}

/// The domains that a routing connection was found to speak for, or not, and until when that holds.
#[derive(Debug, Default)]
pub(crate) struct Vouched(pub Vec<(Arc<str>, bool, Tick)>);

/// Tokens that refill with time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Thousandths of a token that are missing from a full one.
    missing: u64,
    at: Tick,
}

impl Bucket {
    pub fn new(now: Now) -> Bucket {
        Bucket { missing: 0, at: now.tick }
    }

    /// When a token was last wanted.
    pub fn last_used(&self) -> Tick {
        self.at
    }

    /// Takes a token; false if there is none. Holds ten times what flows in a second.
    pub fn take(&mut self, now: Now, per_second: u32) -> bool {
        let refilled = now.tick.since(self.at).as_millis() as u64 * u64::from(per_second);
        self.at = now.tick;
        self.missing = self.missing.saturating_sub(refilled) + 1000;
        let fits = self.missing <= u64::from(per_second) * 10_000;
        if !fits {
            self.missing -= 1000;
        }
        fits
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Conn {
    pub peer: SocketAddr,
    pub local: SocketAddr,
    pub listener: u16,
    /// Only a notification connection may be made here.
    pub notification: bool,
    /// Who is there, if the connection is secured.
    pub tls: Option<Box<TlsPeer>>,
    pub role: Role,
    pub wire: Wire,
    /// The start of a command, or what may not be looked at yet.
    pub partial: Vec<u8>,
    /// What the guard was told of its length, while nobody knows who is there.
    pub held: u32,
    out: Vec<u8>,
    written: usize,
    /// Requests of the peer's that wait for our answers.
    pub waiting: u16,
    pub malformed: u8,
    /// Requests over the rate.
    pub excess: u8,
    pub bucket: Bucket,
    /// Something is being found out: its commands wait.
    pub blocked: bool,
    /// The peer has shut down his side while his commands waited.
    pub ended: bool,
    /// The driver was asked not to read.
    pub paused: bool,
    /// It was a user's live contact until he ended its stream: only last answers go out.
    pub logged_out: bool,
    /// The driver was asked to close it.
    pub closing: bool,
    pub opened: Tick,
    pub heard: Tick,
    pub spoke: Tick,
    /// When its timer comes.
    pub armed: Option<Tick>,
}

impl Conn {
    pub fn new(
        now: Now,
        peer: SocketAddr,
        local: SocketAddr,
        listener: u16,
        role: Role,
        protocol: Protocol,
    ) -> Conn {
        let wire = Wire::of(protocol);
        Conn {
            peer,
            local,
            listener,
            notification: false,
            tls: None,
            role,
            wire,
            partial: Vec::new(),
            held: 0,
            out: Vec::new(),
            written: 0,
            waiting: 0,
            malformed: 0,
            excess: 0,
            bucket: Bucket::new(now),
            blocked: false,
            ended: false,
            paused: false,
            logged_out: false,
            closing: false,
            opened: now.tick,
            heard: now.tick,
            spoke: now.tick,
            armed: None,
        }
    }

    /// Has it not shown who it is?
    pub fn unproven(&self) -> bool {
        matches!(self.role, Role::Handshake | Role::Fresh | Role::Routing(_) | Role::Proving(_))
    }

    /// Keeps octets that can't be taken yet. Before the peer has shown who he is they may be a part of a
    /// password: then no copy is left where they were.
    pub fn hold(&mut self, data: &[u8]) {
        if self.unproven() && self.partial.capacity() - self.partial.len() < data.len() {
            let room = (self.partial.len() + data.len()).max(2 * self.partial.capacity());
            let mut larger = Vec::with_capacity(room);
            larger.extend_from_slice(&self.partial);
            self.wipe();
            self.partial = larger;
        }
        self.partial.extend_from_slice(data);
    }

    /// Forgets what was kept.
    pub fn wipe(&mut self) {
        self.partial.zeroize();
        self.partial = Vec::new();
    }

    /// Is it one whose octets are in clear on a network that others may listen to?
    pub fn exposed(&self) -> bool {
        self.tls.is_none() && !self.peer.ip().is_loopback()
    }

    /// Has the peer begun to speak?
    pub fn stream_is_open(&self) -> bool {
        match &self.wire {
            Wire::Simp(framer) => framer.is_open(),
            Wire::Imtp(_) => true,
        }
    }

    /// The session of a connection on which IMTP or PITP is spoken.
    pub fn session(&mut self) -> Option<&mut Session> {
        match &mut self.wire {
            Wire::Imtp(session) => Some(session),
            Wire::Simp(_) => None,
        }
    }

    /// How sure it is that what is said on it is said by somebody of this domain (TOC-27).
    pub fn strength_of(&self, domain: &str) -> Strength {
        let Role::Routing(vouched) = &self.role else { return self.strength() };
        let certified = self.tls.as_ref().is_some_and(|tls| tls.names.iter().any(|name| name == domain));
        if certified {
            Strength::Strong
        } else if vouched.0.iter().any(|(known, yes, _)| **known == *domain && *yes) {
            // By the address alone.
            Strength::Medium
        } else {
            Strength::None
        }
    }

    /// How sure it is that what is said on it is said by who it belongs to (TOC-27).
    pub fn strength(&self) -> Strength {
        match (&self.tls, &self.role) {
            // Nobody has said who he is, or not for all.
            (_, Role::Fresh | Role::Routing(_)) => Strength::None,
            (Some(_), _) => Strength::Strong,
            (None, Role::Client(_)) if self.wire.session_ref().is_some_and(|s| s.by_password) => {
                Strength::Weak
            }
            (None, _) => Strength::Medium,
        }
    }

    /// What waits to be written.
    pub fn unsent(&self) -> &[u8] {
        self.out.get(self.written..).unwrap_or_default()
    }
}

/// All connections by slot.
#[derive(Debug, Default)]
pub(crate) struct Conns {
    slots: Vec<(u32, Option<Box<Conn>>)>,
    pool: Vec<Vec<u8>>,
    /// Octets of the buffers in the pool.
    pooled: usize,
    count: usize,
    /// Those that may speak for other domains: a new rule about a domain is for them, and there may be a
    /// million others.
    visitors: BTreeSet<ConnId>,
}

/// Why nothing could be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The connection is gone, or going.
    Gone,
    /// It has more to read than a reader may owe: cut it.
    Slow,
}

impl Conns {
    /// How many there are, and the octets that they hold ([`super::Node::gauge`]).
    pub fn gauge(&self) -> [(&'static str, usize); 4] {
        let all = || self.slots.iter().filter_map(|(_, conn)| conn.as_deref());
        [
            ("connections", self.count),
            ("unsent octets", all().map(|conn| conn.unsent().len()).sum()),
            ("partial octets", all().map(|conn| conn.partial.len()).sum()),
            ("pooled octets", self.pooled),
        ]
    }

    pub fn insert(&mut self, id: ConnId, conn: Conn) {
        let slot = id.slot as usize;
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || (0, None));
        }
        if let Some(place) = self.slots.get_mut(slot) {
            self.count += usize::from(place.1.is_none());
            *place = (id.generation, Some(Box::new(conn)));
        }
    }

    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        let (generation, conn) = self.slots.get(id.slot as usize)?;
        if *generation == id.generation { conn.as_deref() } else { None }
    }

    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        let (generation, conn) = self.slots.get_mut(id.slot as usize)?;
        if *generation == id.generation { conn.as_deref_mut() } else { None }
    }

    pub fn remove(&mut self, id: ConnId) -> Option<Box<Conn>> {
        let (generation, conn) = self.slots.get_mut(id.slot as usize)?;
        if *generation != id.generation {
            return None;
        }
        let mut conn = conn.take()?;
        self.count -= 1;
        self.visitors.remove(&id);
        conn.wipe();
        let out = std::mem::take(&mut conn.out);
        self.recycle(out);
        Some(conn)
    }

    /// This one may speak for other domains from now on.
    pub fn visits(&mut self, id: ConnId) {
        self.visitors.insert(id);
    }

    /// All that may, or might have.
    pub fn visitors(&self) -> Vec<ConnId> {
        self.visitors.iter().copied().collect()
    }

    /// How many these are.
    pub fn visiting(&self) -> usize {
        self.visitors.len()
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn ids(&self) -> Vec<ConnId> {
        let live = self.slots.iter().enumerate().filter(|(_, (_, conn))| conn.is_some());
        live.map(|(slot, (generation, _))| ConnId { slot: slot as u32, generation: *generation }).collect()
    }

    /// Writes to a connection: `write` appends to what is already waiting there.
    pub fn write(
        &mut self,
        now: Now,
        id: ConnId,
        outputs: &mut VecDeque<Output>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), NoRoom> {
        let Conns { slots, pool, pooled, .. } = self;
        let Some((_, Some(conn))) = slots.get_mut(id.slot as usize).filter(|(g, _)| *g == id.generation)
        else {
            return Err(NoRoom::Gone);
        };
        if conn.closing {
            return Err(NoRoom::Gone);
        }
        let idle = conn.written == conn.out.len();
        if idle && conn.out.capacity() == 0 {
            conn.out = match pool.pop() {
                Some(buffer) => {
                    *pooled -= buffer.capacity();
                    buffer
                }
                None => Vec::with_capacity(BUFFER),
            };
        }
        write(&mut conn.out);
        conn.spoke = now.tick;
        if idle {
            outputs.push_back(Output::Write(id));
        }
        if conn.out.len() - conn.written > limits::UNSENT { Err(NoRoom::Slow) } else { Ok(()) }
    }

    pub fn unsent(&self, id: ConnId) -> &[u8] {
        self.get(id).map(Conn::unsent).unwrap_or_default()
    }

    pub fn sent(&mut self, id: ConnId, count: usize) {
        let Some(conn) = self.get_mut(id) else { return };
        conn.written = (conn.written + count).min(conn.out.len());
        if conn.written == conn.out.len() {
            let out = std::mem::take(&mut conn.out);
            conn.written = 0;
            self.recycle(out);
        } else if conn.written >= POOLED {
            // A slow reader's buffer does not keep what he has read.
            conn.out.drain(..conn.written);
            conn.written = 0;
        }
    }

    fn recycle(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity != 0 && capacity <= POOLED && self.pooled + capacity <= POOL {
            self.pooled += capacity;
            buffer.clear();
            self.pool.push(buffer);
        }
    }
}

/// The hub's name for a connection.
pub(crate) fn handle_of(id: ConnId) -> Handle {
    Handle(u64::from(id.generation) << 32 | u64::from(id.slot))
}

/// The connection behind the hub's name.
pub(crate) fn conn_of(handle: Handle) -> ConnId {
    ConnId { slot: handle.0 as u32, generation: (handle.0 >> 32) as u32 }
}
