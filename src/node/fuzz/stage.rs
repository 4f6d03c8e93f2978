//! What is around a node that is fuzzed: peers, a disk, DNS, helpers, operators and a clock, each of which does
//! what the script says, and never what the driver of a node would not do.

mod ear;
mod logins;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::Lines;
use crate::clock::{Date, Now, Tick};
use crate::config::Config;
use crate::credential::Secret;
use crate::federation::{DnsError, Place, Protocol, Published, Service, Strength, Target};
use crate::hub::address::Domains;
use crate::limits::{self, Limits};
use crate::node::io::{Alpn, ConnId, ControlId, DialId, Input, Job, JobId, JobResult, Output, TlsPeer};
use crate::node::{Conn, Node, Role, Seed};
use crate::sim::disk::{Disk, Health};
use crate::sim::stage::password;
use crate::sim::world::config;
use crate::store::record::{Change, Write};
use crate::store::{KeyFile, Store};
use ear::Ear;

/// The domain of the node.
const HOME: &str = "a.test";
/// Its users; each has a password and a device key, and his name is both.
const USERS: [&str; 2] = ["alice", "bob"];
/// Octets that a script may hand in: as many as a few floods take.
const MOST: usize = 4 << 20;
/// Wake-ups that a script may take.
const WAKES: u32 = 3000;
/// The driver's patience with a close that has to write first.
const FLUSH: Duration = Duration::from_secs(3);

/// What the `m` of a script makes late, or fail.
mod late {
    pub const READS: u8 = 1;
    pub const RESOLVES: u8 = 2;
    pub const VERIFIES: u8 = 4;
    pub const COMMITS: u8 = 8;
    pub const DIALS: u8 = 16;
    pub const FULL: u8 = 32;
    pub const BROKEN: u8 = 64;
    pub const UNREACHABLE: u8 = 128;
}

/// A connection, seen from its other end.
struct Peer {
    id: ConnId,
    tls: bool,
    /// Its handshake is done, if it has one.
    secured: bool,
    /// What it has said and the node does not read yet, and whether it has ended its stream behind that.
    inbox: Vec<u8>,
    ended: bool,
    told_end: bool,
    paused: bool,
    /// It does not read.
    deaf: bool,
    closing: Option<Tick>,
    ear: Ear,
    /// What it was told, for whoever wants to read it whole.
    heard: Option<Vec<u8>>,
}

/// See the module.
pub(super) struct Stage {
    node: Node,
    config: Arc<Config>,
    now: Now,
    disk: Disk,
    peers: Vec<Peer>,
    speaking: usize,
    generation: u32,
    number: u64,
    late: u8,
    jobs: Vec<(JobId, Job)>,
    dials: VecDeque<(DialId, Place, Tick)>,
    dns: Result<Published, DnsError>,
    last: Vec<u8>,
    asked: u64,
    /// Clients have been told to go elsewhere, or may have been.
    diverts: bool,
    replied: u64,
    spent: usize,
    wakes: u32,
    shutting: bool,
    ended: bool,
}

impl Stage {
    /// A server with two users, just started; none if SQLite has no memory.
    pub fn new() -> Option<Stage> {
        let file = KeyFile::from_bytes([7; 32]);
        let mut store = Store::memory(&file).ok()?;
        let date = Date(crate::sim::host::START);
        let mut writes = Vec::new();
        for user in USERS {
            let address = format!("{user}@{HOME}");
            let password = password(user);
            writes.push(Write::Admin(Change::AddAccount { address: address.clone(), password, date }));
            let (label, secret) = ("phone".to_owned(), Secret::new(user.to_owned()));
            writes.push(Write::Admin(Change::AddKey { address: address.clone(), label, secret, date }));
            writes.push(Write::Admin(Change::SetKeepsMessages { address, keeps: user == "bob" }));
        }
        store.commit(&writes).ok()?;
        let mut config = config(&[HOME, "b.test"], IpAddr::V4(Ipv4Addr::LOCALHOST));
        // Small, so that a short script reaches them.
        config.limits = Limits {
            unproven_per_address: 12,
            connections_per_address: 16,
            kept_messages: 3,
            kept_octets: 4096,
            ..Limits::default()
        };
        let config = Arc::new(config);
        let now = Now { tick: Tick::at(1000), date };
        let seed = Seed {
            config: config.clone(),
            random: [1; 32],
            key: file.derive("challenge"),
            calendar: Default::default(),
        };
        let mut stage = Stage {
            node: Node::new(now, seed),
            config,
            now,
            disk: Disk::new(store),
            peers: Vec::new(),
            speaking: 0,
            generation: 0,
            number: 100,
            late: 0,
            jobs: Vec::new(),
            dials: VecDeque::new(),
            dns: Err(DnsError::Nothing),
            last: Vec::new(),
            asked: 0,
            diverts: false,
            replied: 0,
            spent: 0,
            wakes: 0,
            shutting: false,
            ended: false,
        };
        stage.pump();
        Some(stage)
    }

    /// Does one step of a script; one that makes no sense here is passed over.
    pub fn step(&mut self, op: u8, with: &[u8]) {
        if self.ended || self.wakes > WAKES {
            return;
        }
        let arg = |at: usize| with.get(at).copied().unwrap_or_default();
        match op {
            b'o' => self.open(arg(0), arg(1), arg(2), arg(3)),
            b'l' => self.log_in(arg(0), arg(1)),
            b'b' => self.say(with, usize::MAX),
            b'p' => self.say(with, 3),
            b'*' => {
                for _ in 0..=arg(0) {
                    let again = self.last.clone();
                    self.say(&again, usize::MAX);
                }
            }
            b'a' => self.answer(arg(0)),
            b'h' => self.peer(|peer| peer.ended = true),
            b'x' => {
                if let Some(id) = self.current().map(|peer| peer.id) {
                    self.gone(id);
                }
            }
            b'c' => self.speaking = usize::from(arg(0)),
            b'w' => self.peer(|peer| peer.deaf = !peer.deaf),
            b't' => self.pass(span(arg(0))),
            b'T' => {
                let hours = i64::from(arg(0)) - 64;
                self.now.date = Date(self.now.date.0 + hours * 3_600_000);
            }
            b'm' => self.set_late(arg(0)),
            b'j' => self.finish_job(usize::from(arg(0)), arg(1)),
            b'k' => self.commit_one(),
            b'd' => self.finish_dial(arg(0) & 1 == 0),
            b'n' => self.dns = dns(arg(0)),
            b'r' => self.ask(with),
            b'g' => self.reconfigure(arg(0)),
            b'f' => self.node.handle(self.now, Input::Crowded { count: 1 + usize::from(arg(0) % 4) }),
            b'u' => {
                self.shutting = true;
                self.node.handle(self.now, Input::Shutdown);
            }
            _ => {}
        }
        self.pump();
    }

    fn current(&mut self) -> Option<&mut Peer> {
        let count = self.peers.len().max(1);
        self.peers.get_mut(self.speaking % count)
    }

    fn peer(&mut self, act: impl FnOnce(&mut Peer)) {
        if let Some(peer) = self.current() {
            act(peer);
        }
    }

    fn set_late(&mut self, late: u8) {
        self.late = late;
        self.disk.health = match late {
            _ if late & late::BROKEN != 0 => Health::Broken,
            _ if late & late::FULL != 0 => Health::Full,
            _ => Health::Well,
        };
    }

    /// Somebody connects. A listener opens nothing once the end has begun.
    fn open(&mut self, listener: u8, from: u8, protocol: u8, certificate: u8) {
        if self.shutting || self.peers.len() >= 64 {
            return;
        }
        let listener = usize::from(listener) % self.config.listen.len().max(1);
        let Some(listen) = self.config.listen.get(listener).cloned() else { return };
        let address = match from % 4 {
            0 => Ipv4Addr::LOCALHOST,
            host => Ipv4Addr::new(192, 0, 2, host),
        };
        let spoken = [Protocol::Simp, Protocol::Imtp, Protocol::Pitp];
        let spoken = match listener {
            0 | 1 => Protocol::Simp,
            2 => spoken.get(usize::from(protocol) % 4).copied().unwrap_or(Protocol::Simp),
            3 => Protocol::Imtp,
            _ => Protocol::Pitp,
        };
        let id = self.name(spoken, false, listen.tls);
        let peer = SocketAddr::from((address, 20_000));
        self.node.handle(self.now, Input::Accepted { conn: id, listener, peer, local: listen.address });
        if !listen.tls {
            return self.peer(|peer| peer.secured = true);
        }
        let alpn = if protocol % 4 == 3 { Alpn::None } else { spoken.into() };
        let names = match certificate % 4 {
            0 => Vec::new(),
            1 => vec!["c.test".to_owned()],
            2 => vec!["c.test".to_owned(), "a.test".to_owned()],
            // It never gets so far.
            _ => return,
        };
        let tls = TlsPeer { alpn, names, end_point: Some(Arc::from(&b"end point"[..])) };
        self.node.handle(self.now, Input::Secured { conn: id, tls });
        self.peer(|peer| peer.secured = true);
    }

    /// A name for a new connection, spoken for from now on.
    fn name(&mut self, protocol: Protocol, link: bool, tls: bool) -> ConnId {
        let taken = |slot: u32| self.peers.iter().any(|peer| peer.id.slot == slot);
        let slot = (0..).find(|slot| !taken(*slot)).unwrap_or_default();
        self.generation += 1;
        let id = ConnId { slot, generation: self.generation };
        self.speaking = self.peers.len();
        self.peers.push(Peer {
            id,
            tls,
            secured: false,
            inbox: Vec::new(),
            ended: false,
            told_end: false,
            paused: false,
            deaf: false,
            closing: None,
            ear: Ear::new(protocol, link),
            heard: None,
        });
        id
    }

    /// The peer that is spoken for says something, in pieces of this size.
    fn say(&mut self, with: &[u8], size: usize) {
        if with.is_empty() || self.spent + with.len() > MOST {
            return;
        }
        self.last = with.to_vec();
        let Some(peer) = self.current().filter(|peer| !peer.ended) else { return };
        let asked = peer.ear.asked.first().map(|(id, _)| id.clone()).unwrap_or_default();
        self.number += 1;
        let number = self.number.to_string();
        let mut said = Vec::new();
        for octet in with {
            match octet {
                0xFE => said.extend_from_slice(number.as_bytes()),
                0xFD => said.extend_from_slice(asked.as_bytes()),
                other => said.push(*other),
            }
        }
        self.spent += said.len();
        for piece in said.chunks(size.min(said.len()).max(1)) {
            self.peer(|peer| peer.inbox.extend_from_slice(piece));
            self.pump();
        }
    }

    /// The oldest request to the peer that is spoken for is answered.
    fn answer(&mut self, how: u8) {
        let Some(peer) = self.current().filter(|peer| !peer.ended) else { return };
        let Some(answer) = peer.ear.answer(how) else { return };
        peer.inbox.extend_from_slice(&answer);
    }

    /// A connection is gone: the node is told, once.
    fn gone(&mut self, id: ConnId) {
        let Some(at) = self.peers.iter().position(|peer| peer.id == id) else { return };
        self.peers.remove(at);
        if at < self.speaking {
            self.speaking -= 1;
        }
        self.node.handle(self.now, Input::Closed { conn: id });
    }

    /// An operator asks.
    fn ask(&mut self, json: &[u8]) {
        let mut lines = Lines::default();
        lines.receive(json);
        lines.receive(b"\n");
        while let Some(request) = lines.next_request() {
            let Ok(request) = request else { continue };
            self.asked += 1;
            self.node.handle(self.now, Input::Control { id: ControlId(self.asked), request });
        }
    }

    fn reconfigure(&mut self, how: u8) {
        let mut config = (*self.config).clone();
        config.federation.open = how & 1 == 0;
        config.federation.require = if how & 2 == 0 { Strength::Medium } else { Strength::Strong };
        config.simp.routing = match how >> 2 & 3 {
            0 | 1 => crate::config::Routing::Verified,
            2 => crate::config::Routing::Open,
            _ => crate::config::Routing::Closed,
        };
        if how & 16 != 0 {
            config.simp.divert = Some(("b.test".to_owned(), 7468));
            self.diverts = true;
        }
        if how & 32 != 0 {
            config.limits.requests_per_second_user = 1;
            config.limits.requests_per_second_peer = 1;
        }
        self.node.reconfigure(Arc::new(config));
    }

    /// Time passes; what is to happen in it happens at its time.
    fn pass(&mut self, time: Duration) {
        let end = self.now.tick + time;
        let mut at_once = 0;
        while self.wakes <= WAKES && !self.ended {
            let closing = self.peers.iter().filter_map(|peer| peer.closing).min();
            let dial = self.dials.front().map(|(_, _, until)| *until);
            let next = [self.node.next_wake(), closing, dial].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            at_once = if next <= self.now.tick { at_once + 1 } else { 0 };
            assert!(at_once < 100, "woken without end at {:?}", self.now.tick);
            self.wakes += 1;
            self.advance(next);
            if dial.is_some_and(|until| until <= self.now.tick) {
                self.finish_dial(false);
            }
            let late = self.peers.iter().find(|p| p.closing.is_some_and(|until| until <= self.now.tick));
            if let Some(id) = late.map(|peer| peer.id) {
                self.gone(id);
            }
            if self.node.next_wake().is_some_and(|at| at <= self.now.tick) {
                self.node.handle(self.now, Input::Wake);
            }
            self.pump();
            self.check();
        }
        self.advance(end);
    }

    fn advance(&mut self, to: Tick) {
        let passed = to.since(self.now.tick);
        self.now.tick = self.now.tick + passed;
        self.now.date = self.now.date + passed;
    }

    /// Carries everything until nothing more happens by itself.
    fn pump(&mut self) {
        for _ in 0..10_000 {
            let mut more = self.hand_in();
            self.node.settle(self.now);
            while let Some(output) = self.node.poll_output() {
                more = true;
                self.perform(output);
            }
            more |= self.take_out();
            more |= self.work();
            if !more || self.ended {
                return;
            }
        }
        unreachable!("there is no end to what happens at {:?}", self.now.tick);
    }

    /// What peers have said is read, as far as the node reads.
    fn hand_in(&mut self) -> bool {
        let mut more = false;
        for at in 0..self.peers.len() {
            let Some(peer) = self.peers.get_mut(at) else { break };
            if peer.paused || peer.closing.is_some() || !peer.secured {
                continue;
            }
            let conn = peer.id;
            if !peer.inbox.is_empty() {
                more = true;
                let data = std::mem::take(&mut peer.inbox);
                self.node.handle(self.now, Input::Bytes { conn, data: &data });
            } else if peer.ended && !std::mem::replace(&mut peer.told_end, true) {
                more = true;
                self.node.handle(self.now, Input::HalfClosed { conn });
            }
        }
        more
    }

    /// What the node has to say is written, as far as peers read.
    fn take_out(&mut self) -> bool {
        let mut more = false;
        let mut gone = Vec::new();
        for peer in &mut self.peers {
            let said = self.node.unsent(peer.id).to_vec();
            if !peer.deaf && !said.is_empty() {
                peer.ear.hear(&said);
                if let Some(heard) = &mut peer.heard {
                    heard.extend_from_slice(&said);
                }
                self.node.sent(self.now, peer.id, said.len());
            }
            if peer.closing.is_some() && (!peer.deaf || said.is_empty()) {
                gone.push(peer.id);
            }
        }
        for id in gone {
            more = true;
            self.gone(id);
        }
        more
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Write(conn) => {
                let known = self.peers.iter().any(|peer| peer.id == conn);
                assert!(known || self.node.unsent(conn).is_empty(), "writes to nobody");
            }
            Output::Close { conn, flush } => {
                let until = self.now.tick + FLUSH;
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == conn) {
                    assert!(peer.closing.is_none(), "closed twice");
                    peer.closing = Some(until);
                    if !flush {
                        self.gone(conn);
                    }
                }
            }
            Output::Reading { conn, on } => {
                if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == conn) {
                    peer.paused = !on;
                }
            }
            Output::Known(conn) => assert!(self.peers.iter().any(|peer| peer.id == conn), "of nobody"),
            Output::Dial { dial, place, .. } => {
                self.dials.push_back((dial, place, self.now.tick + limits::DIAL));
            }
            Output::Job { job, work } => self.jobs.push((job, work)),
            Output::Commit(batch) => self.disk.pending.push_back(batch),
            Output::Control { .. } => self.replied += 1,
            Output::Ended => self.ended = true,
        }
    }

    /// Helpers do what is not to be late.
    fn work(&mut self) -> bool {
        let late = self.late;
        let mut more = false;
        let prompt = |work: &Job| match work {
            Job::Read(_) => late & late::READS == 0,
            Job::Resolve(..) => late & late::RESOLVES == 0,
            Job::VerifyPassword { .. } => late & late::VERIFIES == 0,
        };
        while let Some(at) = self.jobs.iter().position(|(_, work)| prompt(work)) {
            more = true;
            self.finish_job(at, 0);
        }
        while late & late::COMMITS == 0 && !self.disk.pending.is_empty() {
            more = true;
            self.commit_one();
        }
        while late & late::DIALS == 0 && !self.dials.is_empty() {
            more = true;
            self.finish_dial(late & late::UNREACHABLE == 0);
        }
        more
    }

    fn commit_one(&mut self) {
        for committed in self.disk.commit_next(1) {
            self.node.handle(self.now, Input::Committed(committed));
        }
    }

    fn finish_job(&mut self, at: usize, how: u8) {
        let count = self.jobs.len().max(1);
        if self.jobs.is_empty() {
            return;
        }
        let (job, work) = self.jobs.remove(at % count);
        let result = match (how % 3, work) {
            (1, Job::Read(_)) => JobResult::Read(crate::store::record::Reading::Failed),
            (1, Job::Resolve(..)) => JobResult::Resolved(Err(DnsError::Failed)),
            (2, _) => JobResult::Overloaded,
            (_, Job::Read(read)) => JobResult::Read(self.disk.read(&read)),
            (_, Job::Resolve(..)) => JobResult::Resolved(self.dns.clone()),
            (_, Job::VerifyPassword { verifier, password, .. }) => {
                JobResult::Verified(verifier.strip_prefix("sim:") == Some(password.expose()))
            }
        };
        self.node.handle(self.now, Input::Done { job, result });
    }

    fn finish_dial(&mut self, well: bool) {
        let Some((dial, place, _)) = self.dials.pop_front() else { return };
        if !well || self.peers.len() >= 64 {
            return self.node.handle(self.now, Input::DialFailed { dial, why: "refused".to_owned() });
        }
        let conn = self.name(place.protocol, true, place.tls);
        self.peer(|peer| peer.secured = true);
        self.node.handle(self.now, Input::Connected { dial, conn });
    }
}

impl Stage {
    /// What must hold after every step.
    pub fn check(&mut self) {
        if self.ended {
            return;
        }
        let core = &self.node.core;
        let conns = &core.io.conns;
        let ids = conns.ids();
        assert_eq!(ids.len(), conns.len());
        assert_eq!(ids.len(), self.peers.len(), "a connection that has ended is gone");
        let (mut endpoints, mut buffered) = (0, 0);
        for peer in &self.peers {
            let conn = conns.get(peer.id);
            assert_eq!(conn.is_some_and(|conn| conn.closing), peer.closing.is_some(), "{:?}", peer.id);
            let Some(conn) = conn else { continue };
            endpoints += usize::from(matches!(conn.role, Role::Endpoint { .. } | Role::Client(_)));
            let unsent = conns.unsent(peer.id).len();
            assert!(unsent <= limits::UNSENT || conn.closing, "{unsent} octets wait for a slow reader");
            assert!(unsent <= limits::UNSENT + (1 << 19), "{unsent} octets wait on a closed connection");
            // What was read at one go comes on top.
            let bound = limits::COMMAND + limits::HEADERS + self.last.len().saturating_mul(20).max(1 << 16);
            assert!(conn.partial.len() <= bound, "{} octets are kept unread", conn.partial.len());
            assert!(usize::from(conn.waiting) <= limits::REQUESTS_IN_FLIGHT_LINK + 1, "{}", conn.waiting);
            assert!(peer.tls || conn.tls.is_none());
            buffered += unsent + conn.partial.len();
        }
        let strangers =
            self.peers.iter().filter_map(|peer| conns.get(peer.id)).filter(|conn| conn.unproven());
        let held: usize = strangers.map(|conn| conn.partial.len()).sum();
        assert_eq!(core.guard.unfinished(), held, "octets of strangers' unfinished commands");
        assert!(buffered <= 64 * (limits::UNSENT + limits::COMMAND));
        let status = self.node.status(self.now);
        assert_eq!(status.connections, self.peers.len(), "what is told of connections");
        assert_eq!(status.endpoints, endpoints, "what is told of endpoints");
        // Who was diverted is online without an endpoint, for a while.
        let most = if self.diverts { usize::MAX } else { endpoints };
        assert!(status.users_online <= most.min(USERS.len() + self.asked as usize));
        let role = |id: &ConnId| conns.get(*id).map(|conn: &Conn| &conn.role);
        let links = ids.iter().filter(|id| matches!(role(id), Some(Role::Link(_)))).count();
        assert!(status.links <= links, "{} links are up, of {links} connections", status.links);
        assert_eq!(core.io.jobs.under_way(), self.jobs.len(), "jobs under way");
        assert!(core.io.timers.size() <= 64 * (self.generation as usize + 64), "timers pile up");
        assert!(self.replied <= self.asked, "operators are answered once");
    }

    /// How many endpoints there are.
    #[cfg(test)]
    pub fn online(&self) -> usize {
        self.node.core.hub.sizes().1
    }

    /// Everything ends: no connection, request, job or place at the door may be left.
    pub fn wind_down(mut self) {
        self.set_late(late::UNREACHABLE);
        self.wakes = 0;
        self.pump();
        while let Some(id) = self.peers.first().map(|peer| peer.id) {
            self.gone(id);
            self.pump();
        }
        self.pass(limits::ANSWER_REMOTE * 3);
        if self.ended {
            return;
        }
        assert!(self.wakes <= WAKES, "{} wake-ups in a minute and a half without anybody", self.wakes);
        self.check();
        assert!(!self.shutting, "the end comes");
        let (online, endpoints, _, waiting) = self.node.core.hub.sizes();
        assert_eq!((online, endpoints, waiting), (0, 0, 0), "online, endpoints, requests");
        assert_eq!(self.node.core.guard.connections(), 0, "connections at the door");
        assert_eq!(self.node.core.guard.crowding(), None, "strangers at the door");
        assert_eq!(self.node.core.turns.asking(), 0, "turns to ask DNS");
        assert_eq!(self.replied, self.asked, "every operator has his answer");
    }
}

fn span(arg: u8) -> Duration {
    let seconds = [0, 1, 3, 5, 10, 25, 31, 61, 121, 301, 601];
    match seconds.get(usize::from(arg) % 12) {
        Some(0) => Duration::from_millis(1),
        Some(seconds) => Duration::from_secs(*seconds),
        None => Duration::from_millis(250),
    }
}

/// What DNS says, of whichever domain.
fn dns(which: u8) -> Result<Published, DnsError> {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1 + which % 3));
    let target = |service: Service| Target {
        service,
        priority: 0,
        weight: 1,
        port: service.protocol().port(),
        host: "im.c.test".to_owned(),
        addresses: vec![address],
    };
    let published = |services: &[Service], addresses: Vec<IpAddr>| Published {
        targets: services.iter().copied().map(target).collect(),
        declined: Vec::new(),
        addresses,
    };
    match which / 3 % 8 {
        0 => Err(DnsError::Nothing),
        1 => Err(DnsError::Failed),
        2 => Ok(published(&[], vec![address])),
        3 => Ok(published(&[Service::Simp], Vec::new())),
        4 => Ok(published(&[Service::ImServers, Service::PresenceServers], Vec::new())),
        5 => Ok(published(&[Service::ImServersTls, Service::PresenceServersTls, Service::Simps], Vec::new())),
        6 => Ok(Published { declined: Service::PEERS.to_vec(), ..published(&[], vec![address]) }),
        _ => Ok(published(&Service::PEERS, vec![address])),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_it_must_be_is_found() {
        let spoil: [fn(&mut Stage); 5] = [
            |stage| drop(stage.peers.pop()),
            |stage| {
                let domain = crate::hub::address::Domain::parse("x").unwrap();
                stage.jobs.push((JobId(99), Job::Resolve(domain, crate::node::io::Asker::Operator)))
            },
            |stage| stage.replied += 1,
            |stage| {
                let id = stage.peers[0].id;
                stage.node.core.io.conns.get_mut(id).unwrap().hold(b"unseen by the guard");
            },
            |stage| {
                let id = stage.peers[0].id;
                stage.node.core.io.conns.get_mut(id).unwrap().closing = true;
            },
        ];
        for spoil in spoil {
            let mut stage = Stage::new().unwrap();
            stage.step(b'o', &[0]);
            stage.check();
            spoil(&mut stage);
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| stage.check())).is_err());
        }
    }
}
