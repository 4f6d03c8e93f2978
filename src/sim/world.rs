//! The world of a simulation: an event queue ordered by time, and what is in it.
//!
//! Events of one millisecond are one tick of each node: all of them are handed in, then the node is
//! settled and its outputs are done. What comes of them is queued with a delay drawn by chance.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::admin::{AdminReply, AdminRequest};
use crate::config::{Config, Federation, Listen, ListenProtocol, Simp};
use crate::federation::{Family, IMTP_PORT, PITP_PORT, Service, Strength};
use crate::hub::address::{Domain, Domains};
use crate::limits::{self, Limits};
use crate::node::io::{ControlId, Input};
use crate::node::{Node, Seed};
use crate::store::{KeyFile, Store};

use super::chance::Chance;
use super::client::{Client, ClientId};
use super::disk::{Disk, Health};
use super::dns::Dns;
use super::event::Event;
use super::host::Host;
use super::net::{End, Weather, Wire};

/// A host's index in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostId(pub usize);

/// Port of routing connections.
pub const ROUTING: u16 = 7467;
/// Port of notification connections.
pub const NOTIFICATION: u16 = 7468;
/// Port of TLS.
pub const TLS: u16 = 7443;

/// Lines of the transcript that are kept.
const TRANSCRIPT: usize = 4000;

/// Everything that is simulated.
pub struct World {
    /// What it was made from.
    pub seed: u64,
    /// All chance.
    pub chance: Chance,
    /// Milliseconds since the start.
    pub now: u64,
    /// How the network behaves.
    pub weather: Weather,
    /// No transcript is kept: the same happens, in less time.
    pub quiet: bool,
    /// What the resolvers know.
    pub dns: Dns,
    /// The home servers.
    pub hosts: Vec<Host>,
    pub(super) wires: Vec<Wire>,
    pub(super) clients: Vec<Client>,
    /// Addresses where a test plays a server, and the clients made by connections to them.
    pub(super) puppets: BTreeMap<SocketAddr, Vec<ClientId>>,
    pub(super) next_port: u16,
    events: BTreeMap<(u64, u64), Event>,
    sequence: u64,
    trace: u64,
    transcript: std::collections::VecDeque<String>,
}

/// A configuration for tests: plain and TLS listeners on one loopback address, peers believed by
/// their published address.
pub fn config(domains: &[&str], address: IpAddr) -> Config {
    let listen = |protocol, port, tls, notification| Listen {
        protocol,
        address: SocketAddr::new(address, port),
        tls,
        notification,
        clear: false,
    };
    Config {
        domains: Domains::new(domains.iter().filter_map(|d| Domain::parse(d).ok()).collect()),
        data_dir: "/nowhere".into(),
        listen: vec![
            listen(ListenProtocol::Simp, ROUTING, false, false),
            listen(ListenProtocol::Simp, NOTIFICATION, false, true),
            listen(ListenProtocol::Tls, TLS, true, false),
            listen(ListenProtocol::Imtp, IMTP_PORT, false, false),
            listen(ListenProtocol::Pitp, PITP_PORT, false, false),
        ],
        tls: None,
        nameservers: Vec::new(),
        federation: Federation { order: Family::ALL.to_vec(), require: Strength::Medium, open: true },
        peers: Vec::new(),
        simp: Simp::default(),
        limits: Limits::default(),
    }
}

impl World {
    /// An empty one.
    pub fn new(seed: u64) -> World {
        World {
            seed,
            chance: Chance::new(seed),
            now: 0,
            weather: Weather::default(),
            quiet: false,
            dns: Dns::default(),
            hosts: Vec::new(),
            wires: Vec::new(),
            clients: Vec::new(),
            puppets: BTreeMap::new(),
            next_port: 20_000,
            events: BTreeMap::new(),
            sequence: 0,
            trace: 0xcbf2_9ce4_8422_2325,
            transcript: Default::default(),
        }
    }

    /// The address of the host that is added next.
    pub fn next_address(&self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, 0, self.hosts.len() as u8 + 1, 1))
    }

    /// Adds a home server of these domains, publishes it in DNS and starts it.
    pub fn add_home(&mut self, domains: &[&str]) -> HostId {
        let config = config(domains, self.next_address());
        for domain in domains {
            let address = self.next_address();
            self.dns.publish(domain, Service::Simp, address, ROUTING);
        }
        self.add_host(config)
    }

    /// Adds a home server with this configuration, without DNS, and starts it.
    pub fn add_host(&mut self, config: Config) -> HostId {
        let key = self.chance.octets();
        let file = KeyFile::from_bytes(key);
        let store = Store::memory(&file).expect("a store in memory");
        let key = file.derive("challenge");
        let domains: Vec<String> = config.domains.iter().map(|d| d.to_string()).collect();
        self.hosts.push(Host {
            name: domains[0].clone(),
            config: Arc::new(config),
            certificate: domains,
            node: None,
            life: 0,
            born: 0,
            disk: Disk::new(store),
            key,
            slots: Vec::new(),
            blocked: Vec::new(),
            dirty: false,
            wake: None,
            spins: 0,
            clock: 0,
            leapt: 0,
            calendar: 0,
            calendar_leapt: 0,
            ended: false,
            older: false,
            replies: Vec::new(),
            next_control: 1,
        });
        let host = HostId(self.hosts.len() - 1);
        self.start(host);
        host
    }

    /// The host that is home to a domain.
    pub fn home_of(&self, domain: &str) -> Option<HostId> {
        self.hosts.iter().position(|h| h.config.domains.contains(domain)).map(HostId)
    }

    /// Starts the process, on whatever its store holds.
    pub fn start(&mut self, host: HostId) {
        let random = self.chance.octets();
        let (h, at) = (&mut self.hosts[host.0], self.now);
        if h.node.is_some() {
            return;
        }
        h.life += 1;
        h.born = at;
        let kept = h.disk.calendar();
        let reached =
            kept.latest.map(|date| date.0 - limits::LEASE.as_millis() as i64 - h.now(at).date.0 + h.clock);
        let calendar = (h.clock - kept.ahead).max(reached.unwrap_or(i64::MIN));
        h.calendar_leapt += (calendar - h.calendar).max(0);
        h.calendar = calendar;
        h.ended = false;
        h.wake = None;
        let seed = Seed { config: h.config.clone(), random, key: h.key, calendar: kept };
        h.node = Some(Node::new(h.now(at), seed));
        h.dirty = true;
        self.note(format!("{} starts", self.hosts[host.0].name));
        self.settle_hosts();
    }

    /// Gives a running process another configuration, as SIGHUP does; a later start finds it too.
    pub fn reconfigure(&mut self, host: HostId, config: Config) {
        self.note(format!("{} reads its configuration anew", self.hosts[host.0].name));
        let h = &mut self.hosts[host.0];
        h.config = Arc::new(config);
        if let Some(node) = &mut h.node {
            node.reconfigure(h.config.clone());
            h.dirty = true;
        }
        self.settle_hosts();
    }

    /// Ends the process at once: what was not committed is lost, its connections break.
    pub fn crash(&mut self, host: HostId) {
        self.note(format!("{} crashes", self.hosts[host.0].name));
        let h = &mut self.hosts[host.0];
        h.node = None;
        h.life += 1;
        h.wake = None;
        h.disk.abandon();
        h.blocked.clear();
        let slots = std::mem::take(&mut h.slots);
        for (wire, side) in slots.into_iter().filter_map(|s| s.wire) {
            self.abandon(wire, side);
        }
    }

    /// Ends the process in order and waits until it has ended; false if it did not in the time that a server takes for that.
    pub fn shutdown(&mut self, host: HostId) -> bool {
        self.give(host.0, Input::Shutdown);
        self.settle_hosts();
        let ended = self.run_until(limits::SHUTDOWN, |w| w.hosts[host.0].ended);
        // What is unsent is flushed by the driver before the process goes.
        self.run_for(Duration::from_millis(100));
        self.crash(host);
        ended
    }

    /// Asks as an operator, on the control socket.
    pub fn control(&mut self, host: HostId, request: AdminRequest) -> AdminReply {
        let id = self.begin_control(host, request);
        let answered = |w: &World| w.hosts[host.0].replies.iter().any(|(i, _)| *i == id);
        assert!(
            self.run_until(Duration::from_secs(60), answered),
            "{} answers its operator",
            self.hosts[host.0].name
        );
        let replies = &mut self.hosts[host.0].replies;
        let at = replies.iter().position(|(i, _)| *i == id).expect("just seen");
        replies.swap_remove(at).1
    }

    /// Asks as an operator; the answer will be among the host's `replies`.
    pub fn begin_control(&mut self, host: HostId, request: AdminRequest) -> ControlId {
        let h = &mut self.hosts[host.0];
        let id = ControlId(h.next_control);
        h.next_control += 1;
        self.give(host.0, Input::Control { id, request });
        self.settle_hosts();
        id
    }

    /// Runs for so long.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span.as_millis() as u64;
        while self.next_time().is_some_and(|t| t <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Runs until something is so, at most for `limit`. Was it so in the end?
    pub fn run_until(&mut self, limit: Duration, done: impl Fn(&World) -> bool) -> bool {
        let end = self.now + limit.as_millis() as u64;
        loop {
            if done(self) {
                return true;
            }
            if self.next_time().is_none_or(|t| t > end) {
                self.now = end;
                return false;
            }
            self.step();
        }
    }

    /// Runs until nothing is under way: no octets, no jobs, no commits but of a stuck disk, and no wake-up due within a
    /// tenth of a second. False if that is not so within `limit`.
    pub fn settle(&mut self, limit: Duration) -> bool {
        let quiet = |w: &World| {
            w.events.iter().all(|(&(at, _), event)| match event {
                Event::Wake { .. } | Event::Deadline { .. } => at > w.now + 100,
                Event::Commit { host, .. } => w.hosts[*host].disk.health == Health::Stuck,
                _ => false,
            })
        };
        self.run_until(limit, quiet)
    }

    /// Octets that the simulation keeps of all connections there ever were, about: a long run grows by them.
    pub fn remembers(&self) -> usize {
        let names: usize = self.clients.iter().map(|client| client.name.capacity()).sum();
        self.wires.capacity() * size_of::<Wire>() + self.clients.capacity() * size_of::<Client>() + names
    }

    /// A number that two runs of the same seed have in common: all that has happened, hashed.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// What happened lately, for people.
    pub fn transcript(&self) -> String {
        self.transcript.iter().fold(String::new(), |all, line| all + line + "\n")
    }

    /// Notes a line in the transcript.
    pub fn note(&mut self, line: String) {
        if self.quiet {
            return;
        }
        if self.transcript.len() == TRANSCRIPT {
            self.transcript.pop_front();
        }
        self.transcript.push_back(format!("{:>9.3}  {line}", self.now as f64 / 1000.0));
    }

    /// Mixes something that happened into the trace (FNV-1a).
    pub(super) fn mix(&mut self, octets: &[u8]) {
        for octet in octets.iter().chain(&self.now.to_le_bytes()) {
            self.trace = (self.trace ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) fn after(&mut self, delay: u64, event: Event) {
        self.at(self.now + delay, event);
    }

    pub(super) fn at(&mut self, time: u64, event: Event) {
        self.sequence += 1;
        self.events.insert((time.max(self.now), self.sequence), event);
    }

    fn next_time(&self) -> Option<u64> {
        self.events.keys().next().map(|&(time, _)| time)
    }

    /// One tick: all events of the next moment at which there are any.
    fn step(&mut self) {
        let Some(time) = self.next_time() else { return };
        if time > self.now {
            self.hosts.iter_mut().for_each(|h| h.spins = 0);
        }
        self.now = time;
        while let Some((&key, _)) = self.events.first_key_value().filter(|((t, _), _)| *t == time) {
            if let Some(event) = self.events.remove(&key) {
                self.happen(event);
            }
        }
        self.settle_hosts();
    }

    /// Settles every node that something happened to.
    pub(super) fn settle_hosts(&mut self) {
        for host in 0..self.hosts.len() {
            if std::mem::take(&mut self.hosts[host].dirty) {
                self.drain(host);
            }
        }
    }

    /// A client of the world.
    pub fn client(&mut self, id: ClientId) -> &mut Client {
        &mut self.clients[id.0]
    }

    /// A client, to look at.
    pub fn peek(&self, id: ClientId) -> &Client {
        &self.clients[id.0]
    }

    /// Breaks every wire between two addresses, as a lost route does after long.
    pub fn cut(&mut self, a: IpAddr, b: IpAddr) {
        for wire in 0..self.wires.len() {
            let [x, y] = self.wires[wire].addresses.map(|s| s.ip());
            if ((x, y) == (a, b) || (x, y) == (b, a)) && self.wires[wire].ends.iter().any(|e| *e != End::Gone)
            {
                self.break_wire(wire);
            }
        }
    }

    /// Lets two addresses reach each other no more.
    pub fn partition(&mut self, a: IpAddr, b: IpAddr) {
        self.note(format!("{a} and {b} are cut off from each other"));
        self.weather.partitions.push((a, b));
    }

    /// Nothing that the first sends arrives at the second any more.
    pub fn deafen(&mut self, from: IpAddr, to: IpAddr) {
        self.note(format!("{to} does not hear {from}"));
        self.weather.one_way.push((from, to));
    }

    /// Ends all partitions; what was held arrives.
    pub fn heal(&mut self) {
        self.note("the network is whole again".to_owned());
        self.weather.partitions.clear();
        self.weather.one_way.clear();
        for wire in 0..self.wires.len() {
            for (direction, what) in std::mem::take(&mut self.wires[wire].held) {
                self.travel(wire, direction, what);
            }
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.quiet {
            eprintln!("{}the simulation's seed is {}", self.transcript(), self.seed);
        }
    }
}
