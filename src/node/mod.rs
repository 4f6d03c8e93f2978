//! A whole home server without I/O: connections, timers, jobs, hub.
//!
//! The driver hands in one [`Input`] at a time, calls [`Node::settle`] when the inputs of a tick are in,
//! and takes outputs until there are none. Everything a node does follows from its inputs and its seed.

mod conns;
pub mod fuzz;
mod gauge;
mod guard;
pub(crate) mod intake;
pub mod io;
mod jobs;
mod links;
mod protocols;
mod room;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod trust;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::admin::{AdminReply, AdminRequest, Status};
use crate::clock::{Now, Tick};
use crate::config::{Config, Listen, ListenProtocol, Routing};
use crate::federation::{Protocol, Traffic};
use crate::hub::address::Domain;
use crate::hub::op::{Answer, Refusal, Reply, TxId};
use crate::hub::{AccountKey, Hub, Leg};
use crate::limits;
use crate::simp::login::Desk;
use crate::simp::object::Scratch;
use crate::store::record::{KeptCalendar, Reading};
use crate::timers::Timers;
use conns::Conns;
use guard::{Guard, Turns};
use io::{Alpn, ConnId, ControlId, Input, JobId, JobResult, Output};
use jobs::Jobs;
use links::Links;

pub(crate) use conns::{Conn, Role, Wire, handle_of};
pub(crate) use jobs::Purpose;
pub(crate) use wire::tag;

/// What a node is made from.
pub struct Seed {
    /// The checked configuration.
    pub config: Arc<Config>,
    /// All the randomness it will ever use.
    pub random: [u8; 32],
    /// From the key file: seals login challenges.
    pub key: [u8; 32],
    /// From the store: what it knows of the calendar of leases.
    pub calendar: KeptCalendar,
}

/// A home server. Drive it: `handle` an input, then `settle` once the inputs of this tick are in,
/// then take outputs until there are none; call again at `next_wake` at the latest.
pub struct Node {
    core: Core,
    started: Tick,
    /// An orderly end is under way: it is forced then.
    ending: Option<Tick>,
    ended: bool,
}

/// The hub and what is around it.
pub(crate) struct Core {
    pub hub: Hub,
    pub io: Io,
    pub desk: Desk,
    /// From the key file: what nobody knows but us.
    pub key: Zeroizing<[u8; 32]>,
    pub guard: Guard,
    pub turns: Turns,
    /// Where commands are taken apart; lent to a connection while it is read.
    pub scratch: Scratch,
    /// The same for IMTP and PITP.
    pub imtp_scratch: crate::imtp::message::Scratch,
    /// Where the native form of a request is put together; lent likewise.
    pub native: Vec<u8>,
    pub counters: Counters,
}

/// What only the node can count.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub logins_failed: u64,
    pub connections_cut: u64,
}

/// Everything but the hub: what the hub's effects act upon.
pub(crate) struct Io {
    pub now: Now,
    pub config: Arc<Config>,
    pub conns: Conns,
    pub jobs: Jobs,
    pub links: Links,
    pub outputs: VecDeque<Output>,
    pub events: VecDeque<Event>,
    pub timers: Timers<Due>,
    pub random: ChaCha20Rng,
    pub recent: wire::Recent,
}

/// What a timer of the node's is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    Conn(ConnId),
    Link(Arc<str>),
    /// The rules about peers are to be read again.
    Rules,
}

/// What has to follow once the hub has returned.
#[derive(Debug)]
pub(crate) enum Event {
    /// The account of a login is in memory, or can't be had.
    Ready(ConnId, Option<AccountKey>),
    /// A connection that owes too much, or has broken the rules, is closed at once.
    Cut(ConnId),
    /// A connection may be read again.
    Resume(ConnId),
    /// A connection whose peer has ended his stream has its last answer.
    Finish(ConnId),
    /// The link that this traffic to a domain went over is gone, or none can be had.
    LinkFailed(Arc<str>, Traffic, Refusal),
    /// What was to be asked of a domain can't be said in the protocol of its link.
    Unsaid(Arc<str>, TxId, Refusal),
}

impl Node {
    /// A node that has just started. Its first outputs read what it needs from the store.
    pub fn new(now: Now, seed: Seed) -> Node {
        let mut random = ChaCha20Rng::from_seed(seed.random);
        let mut hub_seed = [0; 32];
        random.fill_bytes(&mut hub_seed);
        let config = seed.config;
        let open = config.simp.routing == Routing::Open;
        let desk = Desk::new(now, seed.key, &mut random);
        let hub = Hub::new(
            config.domains.clone(),
            config.limits.clone(),
            open,
            crate::simp::adapter::contacts,
            hub_seed,
        );
        let io = Io {
            now,
            config,
            conns: Conns::default(),
            jobs: Jobs::default(),
            links: Links::default(),
            outputs: VecDeque::new(),
            events: VecDeque::new(),
            timers: Timers::default(),
            random,
            recent: wire::Recent::default(),
        };
        let mut core = Core {
            hub,
            io,
            desk,
            key: Zeroizing::new(seed.key),
            guard: Guard::default(),
            turns: Turns::default(),
            scratch: Scratch::new(),
            imtp_scratch: crate::imtp::message::Scratch::new(),
            native: Vec::new(),
            counters: Counters::default(),
        };
        core.io.read_rules();
        core.hub.start(now, seed.calendar, &mut core.io);
        Node { core, started: now.tick, ending: None, ended: false }
    }

    /// Takes in one event.
    pub fn handle(&mut self, now: Now, input: Input<'_>) {
        let core = &mut self.core;
        core.io.now = now;
        match input {
            Input::Bytes { conn, data } => intake::received(core, now, conn, data),
            Input::Accepted { conn, listener, peer, local } => {
                let listen = core.io.config.listen.get(listener);
                let tls = listen.is_some_and(|l| l.tls || l.protocol == ListenProtocol::Tls);
                let role = if tls { Role::Handshake } else { Role::Fresh };
                let mut place =
                    Conn::new(now, peer, local, listener as u16, role, spoken(listen, Alpn::None));
                place.notification = listen.is_some_and(|l| l.notification);
                core.io.conns.insert(conn, place);
                core.arm(conn, now.tick + limits::HEADER);
                if !core.guard.opened(peer.ip(), conn, &core.io.config.limits) {
                    core.io.events.push_back(Event::Cut(conn));
                } else if !tls {
                    protocols::accepted(core, now, conn);
                }
            }
            Input::Secured { conn, tls } => {
                let core = &mut *core;
                if let Some(place) = core.io.conns.get_mut(conn) {
                    let listen = core.io.config.listen.get(usize::from(place.listener));
                    place.wire = Wire::of(spoken(listen, tls.alpn));
                    place.tls = Some(Box::new(tls));
                    place.role = Role::Fresh;
                    protocols::accepted(core, now, conn);
                }
            }
            Input::Connected { dial, conn } => core.io.connected(dial, conn),
            Input::DialFailed { dial, why } => core.io.dial_failed(dial, why),
            Input::Crowded { count } => core.make_room(now, count),
            Input::HalfClosed { conn } => intake::peer_ended(core, now, conn),
            Input::Closed { conn } => core.closed(now, conn),
            Input::Done { job, result } => core.done(now, job, result),
            Input::Committed(committed) => core.hub.committed(now, committed, &mut core.io),
            Input::Control { id, request } => self.control(now, id, request),
            Input::Wake => {}
            Input::Shutdown => self.shutdown(now),
        }
        self.core.follow_up(now);
    }

    /// Ends a tick: what is due is done, and what merges within a tick (notifications, writes to the store)
    /// becomes output.
    pub fn settle(&mut self, now: Now) {
        let core = &mut self.core;
        core.io.now = now;
        core.hub.wake(now, &mut core.io);
        // What is left is due with the next tick, which comes at once.
        for _ in 0..limits::DUE_AT_ONCE {
            let Some(due) = core.io.timers.due(now.tick) else { break };
            match due {
                Due::Conn(id) => protocols::due(core, now, id),
                Due::Rules => core.io.read_rules(),
                Due::Link(domain) => {
                    core.io.link_due(&domain, |traffic| core.hub.remote_load(&domain, traffic));
                }
            }
        }
        core.follow_up(now);
        let batch = core.hub.settle(now, &mut core.io);
        core.follow_up(now);
        if let Some(batch) = batch {
            core.io.outputs.push_back(Output::Commit(batch));
        }
        self.maybe_end(now);
    }

    /// The next thing to do, in order.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.core.io.outputs.pop_front()
    }

    /// When `Input::Wake` is wanted, if nothing happens before.
    pub fn next_wake(&self) -> Option<Tick> {
        [self.core.hub.next_wake(), self.core.io.timers.next(), self.ending].into_iter().flatten().min()
    }

    /// What waits to be written to a connection.
    pub fn unsent(&self, conn: ConnId) -> &[u8] {
        self.core.io.conns.unsent(conn)
    }

    /// The first `count` octets of it have been written.
    pub fn sent(&mut self, now: Now, conn: ConnId, count: usize) {
        self.core.io.now = now;
        self.core.io.conns.sent(conn, count);
    }

    /// A new configuration (SIGHUP): rules about peers, limits, SIMP's settings. Domains, listeners and the
    /// data directory stay as they were at the start.
    pub fn reconfigure(&mut self, config: Arc<Config>) {
        let old = &self.core.io.config;
        let config = Config {
            domains: old.domains.clone(),
            listen: old.listen.clone(),
            data_dir: old.data_dir.clone(),
            ..(*config).clone()
        };
        self.core.hub.reconfigure(config.limits.clone(), config.simp.routing == Routing::Open);
        let old = std::mem::replace(&mut self.core.io.config, Arc::new(config));
        self.core.io.expel();
        self.core.io.judge_anew(&old);
    }

    fn control(&mut self, now: Now, id: ControlId, request: AdminRequest) {
        let core = &mut self.core;
        let reply = match request {
            AdminRequest::Change(change) => return core.hub.admin(id, change),
            AdminRequest::Status => AdminReply::Status(Box::new(self.status(now))),
            AdminRequest::Peers => {
                AdminReply::Peers(core.io.peers(|domain, traffic| core.hub.remote_load(domain, traffic).0))
            }
            AdminRequest::PeerTest { domain } => match Domain::parse(&domain) {
                Ok(domain) if core.hub.domains().contains(domain.as_str()) => {
                    AdminReply::Failed(format!("{domain} is a domain of this server"))
                }
                Ok(domain) => return core.io.test_peer(id, &domain),
                Err(bad) => AdminReply::Failed(format!("{domain}: {bad}")),
            },
        };
        self.core.io.outputs.push_back(Output::Control { id, reply });
    }

    fn status(&self, now: Now) -> Status {
        let core = &self.core;
        let (users_online, endpoints, accounts_in_memory, requests_waiting) = core.hub.sizes();
        let counters = core.hub.counters;
        let up = |protocol: Protocol| (protocol.name().to_owned(), core.io.links.up(protocol));
        let links: BTreeMap<_, _> = Protocol::ALL.into_iter().map(up).collect();
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: now.tick.since(self.started).as_secs(),
            domains: core.hub.domains().iter().map(ToString::to_string).collect(),
            users_online,
            endpoints,
            connections: core.io.conns.len(),
            links: links.values().sum(),
            links_by_protocol: links,
            accounts_in_memory,
            requests_waiting,
            messages: counters.messages,
            messages_delivered: counters.messages_delivered,
            messages_refused: counters.messages_refused,
            messages_kept: counters.messages_kept,
            notifications: counters.notifications,
            logins: counters.logins,
            logins_failed: core.counters.logins_failed,
            connections_cut: core.counters.connections_cut,
            batches: counters.batches,
            batches_failed: counters.batches_failed,
        }
    }

    /// Clients are diverted or told the end; watchers elsewhere hear that their users are offline.
    fn shutdown(&mut self, now: Now) {
        if self.ending.is_some() {
            return;
        }
        self.ending = Some(now.tick + limits::SHUTDOWN);
        for id in self.core.io.conns.ids() {
            protocols::shut_down(&mut self.core, now, id);
        }
    }

    /// The end has come when everybody has left and all is told and kept, or when time is over.
    fn maybe_end(&mut self, now: Now) {
        let Some(deadline) = self.ending.filter(|_| !self.ended) else { return };
        let core = &mut self.core;
        let (_, endpoints, _, waiting) = core.hub.sizes();
        if (endpoints == 0 && waiting == 0 && core.hub.is_settled()) || now.tick >= deadline {
            self.ended = true;
            self.ending = None;
            for id in core.io.conns.ids() {
                core.io.end(id);
            }
            core.io.outputs.push_back(Output::Ended);
        }
    }
}

/// What is spoken on an accepted connection: what its listener is for, or, on the port of all, what the
/// peer has chosen; SIMP if he has chosen nothing.
fn spoken(listen: Option<&Listen>, alpn: Alpn) -> Protocol {
    match (listen.map(|listen| listen.protocol), alpn) {
        (Some(ListenProtocol::Imtp), _) | (Some(ListenProtocol::Tls), Alpn::Imtp) => Protocol::Imtp,
        (Some(ListenProtocol::Pitp), _) | (Some(ListenProtocol::Tls), Alpn::Pitp) => Protocol::Pitp,
        (Some(ListenProtocol::Simp | ListenProtocol::Tls) | None, _) => Protocol::Simp,
    }
}

impl Core {
    /// Does what the last input has left to be done.
    fn follow_up(&mut self, now: Now) {
        while let Some(event) = self.io.events.pop_front() {
            match event {
                Event::Ready(id, key) => protocols::account_ready(self, now, id, key),
                Event::Cut(id) => self.cut(now, id),
                Event::Resume(id) => intake::resume(self, now, id),
                Event::Finish(id) => self.io.end(id),
                Event::LinkFailed(domain, traffic, refusal) => {
                    self.io.links.forget_queue(&domain, traffic);
                    self.hub.remote_failed(now, &domain, traffic, refusal, &mut self.io);
                }
                Event::Unsaid(domain, tx, refusal) => {
                    let reply = Reply::ours(Answer::refused(refusal));
                    self.hub.answered(now, Leg::Remote(&domain), tx, reply, &mut self.io);
                }
            }
        }
    }

    /// Closes a connection at once: its endpoint is gone from now on.
    pub fn cut(&mut self, now: Now, id: ConnId) {
        if self.io.conns.get(id).is_some_and(|conn| !conn.closing) {
            self.counters.connections_cut += 1;
        }
        self.leave(now, id);
        self.io.close_conn(id, false);
    }

    /// What a connection stood for ends; the connection itself may live on for its last answers.
    pub fn leave(&mut self, now: Now, id: ConnId) {
        let Some(conn) = self.io.conns.get_mut(id) else { return };
        let (ip, unproven) = (conn.peer.ip(), conn.unproven());
        match std::mem::replace(&mut conn.role, Role::Ending) {
            Role::Endpoint { endpoint, .. } => {
                conn.logged_out = true;
                self.hub.detach(now, endpoint, &mut self.io);
            }
            Role::Client(endpoint) => {
                conn.logged_out = true;
                self.hub.detach(now, endpoint, &mut self.io);
            }
            Role::Link(domain) => {
                self.io.link_closed(&domain, id);
            }
            // There is no stream yet that could be ended.
            Role::Handshake => self.io.close_conn(id, false),
            Role::Fresh | Role::Routing(_) | Role::Proving(_) | Role::Server(_) | Role::Ending => {}
        }
        if unproven {
            self.disown(ip, id);
        }
    }

    /// A connection is no stranger's any more: it has shown who it is, or is on its way out.
    pub fn disown(&mut self, ip: std::net::IpAddr, id: ConnId) {
        let Some(conn) = self.io.conns.get_mut(id) else { return self.guard.proved(ip, id, 0) };
        self.guard.proved(ip, id, std::mem::take(&mut conn.held) as usize);
        if !matches!(conn.role, Role::Ending) {
            self.io.outputs.push_back(Output::Known(id));
        }
    }

    fn closed(&mut self, now: Now, id: ConnId) {
        self.leave(now, id);
        if let Some(conn) = self.io.conns.remove(id)
            && conn.listener != u16::MAX
        {
            self.guard.closed(conn.peer.ip());
        }
    }

    /// Sets a connection's timer, if none comes earlier.
    pub fn arm(&mut self, id: ConnId, at: Tick) {
        let Some(conn) = self.io.conns.get_mut(id) else { return };
        if conn.armed.is_none_or(|armed| at < armed) {
            conn.armed = Some(at);
            self.io.timers.arm(at, Due::Conn(id));
        }
    }

    fn done(&mut self, now: Now, job: JobId, result: JobResult) {
        let Some(purpose) = self.io.jobs.close(job) else { return };
        match (purpose, result) {
            (Purpose::Hub(purpose), JobResult::Read(reading)) => {
                self.hub.read_done(now, purpose, reading, &mut self.io);
            }
            (Purpose::Hub(purpose), _) => self.hub.read_done(now, purpose, Reading::Failed, &mut self.io),
            (Purpose::Resolve(domain), JobResult::Resolved(answer)) => self.io.resolved(&domain, answer),
            (Purpose::Resolve(domain), _) => {
                self.io.resolved(&domain, Err(crate::federation::DnsError::Failed));
            }
            (Purpose::Vouch(id, domain), JobResult::Resolved(answer)) => {
                self.dns_says(now, id, domain, answer.ok());
            }
            (Purpose::Vouch(id, domain), _) => self.dns_says(now, id, domain, None),
            (Purpose::Credentials(id), JobResult::Read(Reading::Credentials(record))) => {
                protocols::credentials_read(self, now, id, Ok(record));
            }
            (Purpose::Credentials(id), _) => protocols::credentials_read(self, now, id, Err(())),
            (Purpose::Password(id), JobResult::Verified(fits)) => {
                protocols::verified(self, now, id, Some(fits));
            }
            (Purpose::Password(id), _) => protocols::verified(self, now, id, None),
            (Purpose::PeerRules, JobResult::Read(Reading::PeerRules(rules))) => {
                self.io.rules_read(Some(rules));
            }
            (Purpose::PeerRules, _) => self.io.rules_read(None),
        }
    }
}
