//! What can happen, and what a node's outputs set going.

use std::net::{IpAddr, SocketAddr};

use crate::credential::Secret;
use crate::federation::Protocol;
use crate::limits;
use crate::node::io::{Alpn, ConnId, DialId, Input, Job, JobId, JobResult, Output, TlsPeer};
use crate::store::record::{Committed, Read};

use super::client::{ClientId, Speech};
use super::disk::Health;
use super::net::{Arrival, End, Wire, WireId};
use super::older;
use super::world::World;

/// Wake-ups of one node within one millisecond before it is taken for a runaway.
const SPINS: u32 = 1000;
/// The driver's patience with a close that has to write first, in milliseconds.
const FLUSH: u64 = 5000;

/// Who opens a connection.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    /// A node's dial.
    Node { host: usize, life: u32, dial: DialId, tls: bool, alpn: Alpn, domain: String },
    /// A client, with the names of its certificate if it speaks TLS.
    Client(ClientId),
}

/// Something that is going to happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A connection attempt reaches its target.
    Syn { caller: Caller, from: SocketAddr, to: SocketAddr },
    /// A dial is over.
    Dialled { host: usize, life: u32, dial: DialId, result: Result<WireId, String> },
    /// A client's connection is open, or not.
    Opened { client: ClientId, wire: Option<WireId> },
    /// A TLS handshake is done at the side that accepted.
    Secured { wire: WireId, tls: TlsPeer },
    /// Something reaches the end of a wire that `direction` leads to.
    Arrive { wire: WireId, direction: usize, what: Arrival },
    /// A node hears that its connection is closed.
    Gone { host: usize, life: u32, conn: ConnId },
    /// The driver's patience with a close is at its end.
    Deadline { host: usize, life: u32, conn: ConnId },
    /// A job is done.
    Done { host: usize, life: u32, job: JobId, result: JobResult },
    /// The reader of the store gets to a question.
    Read { host: usize, life: u32, job: JobId, read: Read },
    /// The writer of the store gets to the oldest batch.
    Commit { host: usize, life: u32 },
    /// The node hears what became of a batch.
    Told { host: usize, life: u32, committed: Committed },
    /// A node wanted to be woken.
    Wake { host: usize, life: u32 },
}

impl World {
    /// Does one event.
    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Syn { caller, from, to } => self.syn(caller, from, to),
            Event::Dialled { host, life, dial, result } => self.dialled(host, life, dial, result),
            Event::Opened { client, wire } => self.opened(client, wire),
            Event::Secured { wire, tls } => self.secured(wire, tls),
            Event::Arrive { wire, direction, what } => self.arrive(wire.0, direction, what),
            Event::Gone { host, life, conn } => {
                if self.alive(host, life) {
                    self.hosts[host].slots[conn.slot as usize].used = false;
                    self.give(host, Input::Closed { conn });
                }
            }
            Event::Deadline { host, life, conn } => {
                if self.alive(host, life) && self.hosts[host].slot(conn).is_some_and(|s| s.closing) {
                    self.finish_close(host, conn, false);
                }
            }
            Event::Done { host, life, job, result } => {
                if self.alive(host, life) {
                    self.give(host, Input::Done { job, result });
                }
            }
            Event::Read { host, life, job, read } => {
                if self.alive(host, life) && !self.store_step(host) {
                    let result = JobResult::Read(self.hosts[host].disk.read(&read));
                    self.give(host, Input::Done { job, result });
                }
            }
            Event::Commit { host, life } => self.commit(host, life),
            Event::Told { host, life, committed } => {
                if self.alive(host, life) && !self.store_step(host) {
                    self.give(host, Input::Committed(committed));
                }
            }
            Event::Wake { host, life } => self.wake(host, life),
        }
    }

    fn alive(&self, host: usize, life: u32) -> bool {
        self.hosts[host].life == life && self.hosts[host].node.is_some()
    }

    /// Hands an input to a node.
    pub(super) fn give(&mut self, host: usize, input: Input<'_>) {
        self.mix(&[host as u8, kind(&input)]);
        if let Input::Bytes { data, .. } = &input {
            self.mix(data);
        }
        let now = self.hosts[host].now(self.now);
        if let Some(node) = &mut self.hosts[host].node {
            node.handle(now, input);
            self.hosts[host].dirty = true;
        }
    }

    fn wake(&mut self, host: usize, life: u32) {
        if !self.alive(host, life) || self.hosts[host].wake.is_none_or(|at| at > self.now) {
            return;
        }
        self.hosts[host].wake = None;
        self.hosts[host].spins += 1;
        assert!(self.hosts[host].spins < SPINS, "{} is woken without end", self.hosts[host].name);
        self.give(host, Input::Wake);
    }

    /// Settles a node and does all that it wants done.
    pub(super) fn drain(&mut self, host: usize) {
        let now = self.hosts[host].now(self.now);
        let Some(node) = &mut self.hosts[host].node else { return };
        node.settle(now);
        for conn in std::mem::take(&mut self.hosts[host].blocked) {
            self.pump(host, conn);
        }
        while let Some(output) = self.hosts[host].node.as_mut().and_then(|n| n.poll_output()) {
            self.perform(host, output);
        }
        let h = &mut self.hosts[host];
        let wanted = h.node.as_ref().and_then(|n| n.next_wake()).map(|t| (t.millis() + h.born).max(self.now));
        if let Some(at) = wanted
            && h.wake.is_none_or(|set| at < set)
        {
            h.wake = Some(at);
            let life = h.life;
            self.at(at, Event::Wake { host, life });
        }
    }

    fn perform(&mut self, host: usize, output: Output) {
        let life = self.hosts[host].life;
        match output {
            // In a simulation everybody is heard in turn.
            Output::Known(_) => {}
            Output::Write(conn) => self.pump(host, conn),
            Output::Close { conn, flush } => {
                if let Some(slot) = self.hosts[host].slot(conn) {
                    slot.closing = true;
                    if flush {
                        self.after(FLUSH, Event::Deadline { host, life, conn });
                        self.pump(host, conn);
                    } else {
                        self.finish_close(host, conn, true);
                    }
                }
            }
            Output::Reading { conn, on } => {
                if let Some((wire, side)) = self.hosts[host].slot(conn).and_then(|s| s.wire) {
                    let direction = 1 - side;
                    self.wires[wire.0].pipes[direction].paused = !on;
                    self.after(0, Event::Arrive { wire, direction, what: Arrival::Octets(0) });
                }
            }
            Output::Dial { dial, place, domain } => {
                let ip = self.hosts[host].ip();
                let from = self.ephemeral(ip);
                let domain = domain.to_string();
                let alpn = place.protocol.into();
                let caller = Caller::Node { host, life, dial, tls: place.tls, alpn, domain };
                let delay = self.latency();
                self.after(delay, Event::Syn { caller, from, to: place.address });
            }
            Output::Job { job, work } => self.begin_job(host, job, work),
            Output::Commit(batch) => {
                let disk = &mut self.hosts[host].disk;
                disk.pending.push_back(batch);
                let first = disk.pending.len() == 1;
                if !self.store_step(host) && first {
                    self.next_commit(host);
                }
            }
            Output::Control { id, reply } => self.hosts[host].replies.push((id, reply)),
            Output::Ended => self.hosts[host].ended = true,
        }
    }

    fn begin_job(&mut self, host: usize, job: JobId, work: Job) {
        let life = self.hosts[host].life;
        match work {
            Job::Resolve(domain, _) => {
                let (answer, late) = self.dns.look_up(domain.as_str());
                let delay = self.chance.between(1, 15) + late;
                let result = JobResult::Resolved(answer);
                self.after(delay, Event::Done { host, life, job, result });
            }
            Job::Read(read) => {
                if self.store_step(host) {
                    return;
                }
                let (low, high) = self.hosts[host].disk.read_takes();
                let delay = self.chance.between(low, high);
                self.after(delay, Event::Read { host, life, job, read });
            }
            Job::VerifyPassword { verifier, password, .. } => {
                let delay = self.chance.between(20, 60);
                let result = JobResult::Verified(password_fits(&verifier, &password));
                self.after(delay, Event::Done { host, life, job, result });
            }
        }
    }

    /// A step between a node and its store; true if the process dies at it.
    fn store_step(&mut self, host: usize) -> bool {
        let dies = self.hosts[host].disk.step();
        if dies {
            self.note(format!("{}: a step of its store", self.hosts[host].name));
            self.crash(super::world::HostId(host));
        }
        dies
    }

    fn next_commit(&mut self, host: usize) {
        let h = &self.hosts[host];
        let ((low, high), life) = (h.disk.commit_takes(), h.life);
        let delay = self.chance.between(low, high);
        self.after(delay, Event::Commit { host, life });
    }

    fn commit(&mut self, host: usize, life: u32) {
        if !self.alive(host, life) {
            return;
        }
        if self.hosts[host].disk.health == Health::Stuck {
            self.after(50, Event::Commit { host, life });
            return;
        }
        if self.store_step(host) {
            return;
        }
        // As the writer does: whatever waits goes into one transaction.
        let most = self.hosts[host].disk.pending.len();
        let writes: usize = self.hosts[host].disk.pending.iter().map(|batch| batch.writes.len()).sum();
        let half = self.chance.below(writes + 1);
        self.hosts[host].disk.half_commit(most, half);
        if self.store_step(host) {
            return;
        }
        let committed = self.hosts[host].disk.commit_next(most);
        if self.store_step(host) {
            return;
        }
        for committed in committed {
            // The answer is on its way to the node for a while: a crash may fall in between.
            // Answers keep their order.
            let at = (self.now + self.chance.between(0, 2)).max(self.hosts[host].disk.told);
            self.hosts[host].disk.told = at;
            self.at(at, Event::Told { host, life, committed });
        }
        if !self.hosts[host].disk.pending.is_empty() {
            self.next_commit(host);
        }
    }

    /// Moves what a node has unsent onto the wire, as far as there is room.
    fn pump(&mut self, host: usize, conn: ConnId) {
        let now = self.hosts[host].now(self.now);
        while let Some(slot) = self.hosts[host].slot(conn).copied() {
            let Some((wire, side)) = slot.wire else { return };
            let room = self.wires[wire.0].pipes[side].room();
            let split = self.chance.percent(self.weather.splitting);
            let [one, other] = self.wires[wire.0].ends;
            let older = older::is_between(&self.hosts, one, other);
            let Some(node) = &mut self.hosts[host].node else { return };
            let unsent = node.unsent(conn);
            if unsent.is_empty() {
                if slot.closing {
                    self.finish_close(host, conn, false);
                }
                return;
            }
            if room == 0 {
                return;
            }
            let most = unsent.len().min(room);
            let count = if split { 1 + self.chance.below(most) } else { most };
            let (data, count) = match older {
                true => older::without_our_words(unsent, count),
                false => (unsent[..count].to_vec(), count),
            };
            node.sent(now, conn, count);
            self.mix(&data);
            self.wires[wire.0].pipes[side].octets.extend(data);
            self.travel(wire.0, side, Arrival::Octets(count));
        }
    }

    /// Closes a node's end of a connection; `rough`: what is under way may be lost.
    fn finish_close(&mut self, host: usize, conn: ConnId, rough: bool) {
        let life = self.hosts[host].life;
        let Some(slot) = self.hosts[host].slot(conn) else { return };
        let Some((wire, side)) = slot.wire.take() else { return };
        self.wires[wire.0].ends[side] = End::Gone;
        let what = if rough && self.chance.percent(50) { Arrival::Reset } else { Arrival::Fin };
        self.travel(wire.0, side, what);
        self.after(0, Event::Gone { host, life, conn });
    }

    /// The end of a crashed host: its kernel closes what the process held.
    pub(super) fn abandon(&mut self, wire: WireId, side: usize) {
        self.wires[wire.0].ends[side] = End::Gone;
        let what = if self.chance.percent(50) { Arrival::Reset } else { Arrival::Fin };
        self.travel(wire.0, side, what);
    }

    /// Both ends of a wire find out that it is dead; what is under way is lost.
    pub(super) fn break_wire(&mut self, wire: usize) {
        self.wires[wire].broken = true;
        for direction in [0, 1] {
            self.travel(wire, direction, Arrival::Reset);
        }
    }

    /// Sends something along a wire: it arrives after what was sent before it.
    pub(super) fn travel(&mut self, wire: usize, direction: usize, what: Arrival) {
        let at = (self.now + self.latency() + self.sent_again()).max(self.wires[wire].pipes[direction].last);
        self.wires[wire].pipes[direction].last = at;
        self.at(at, Event::Arrive { wire: WireId(wire), direction, what });
    }

    /// How much later something comes because it, or the kernel's next try, was lost.
    fn sent_again(&mut self) -> u64 {
        let (mut late, mut pause) = (0, 200);
        while self.weather.loss > 0 && pause < 5000 && self.chance.percent(self.weather.loss) {
            late += pause;
            pause *= 2;
        }
        late
    }

    pub(super) fn latency(&mut self) -> u64 {
        let (low, high) = self.weather.latency;
        self.chance.between(low, high)
    }

    pub(super) fn ephemeral(&mut self, ip: IpAddr) -> SocketAddr {
        self.next_port = if self.next_port == u16::MAX { 20_000 } else { self.next_port + 1 };
        SocketAddr::new(ip, self.next_port)
    }

    fn arrive(&mut self, wire: usize, direction: usize, what: Arrival) {
        let reader = 1 - direction;
        let w = &mut self.wires[wire];
        if w.broken && what != Arrival::Reset {
            return;
        }
        let [a, b] = w.addresses.map(|s| s.ip());
        let (from, to) = if direction == 0 { (a, b) } else { (b, a) };
        if self.weather.deaf(from, to) {
            w.held.push((direction, what));
            return;
        }
        let pipe = &mut w.pipes[direction];
        match what {
            Arrival::Octets(count) => pipe.arrived += count,
            Arrival::Fin => pipe.fin_arrived = true,
            Arrival::Reset => {}
        }
        match w.ends[reader] {
            End::Gone => {
                if w.ends[direction] == End::Gone {
                    // Nobody will ever read it.
                    pipe.octets = Default::default();
                    pipe.arrived = 0;
                    return;
                }
                if matches!(what, Arrival::Octets(1..)) {
                    pipe.octets.clear();
                    pipe.arrived = 0;
                    self.travel(wire, reader, Arrival::Reset);
                }
            }
            End::Client(client) => match what {
                Arrival::Reset => self.client_closed(client, true),
                _ => self.feed_client(wire, direction, client),
            },
            End::Node { host, conn } => match what {
                Arrival::Reset => {
                    w.ends[reader] = End::Gone;
                    if let Some(slot) = self.hosts[host].slot(conn) {
                        slot.wire = None;
                        slot.used = false;
                        self.give(host, Input::Closed { conn });
                    }
                }
                _ => self.feed_node(wire, direction, host, conn),
            },
        }
    }

    /// Hands what has arrived to a node, in pieces.
    fn feed_node(&mut self, wire: usize, direction: usize, host: usize, conn: ConnId) {
        if self.hosts[host].slot(conn).is_none_or(|s| s.handshake) {
            return;
        }
        let mut moved = false;
        loop {
            let pipe = &mut self.wires[wire].pipes[direction];
            if pipe.paused || pipe.arrived == 0 {
                break;
            }
            let most = pipe.arrived.min(16 * 1024);
            let split = self.chance.percent(self.weather.splitting);
            let count = if split { 1 + self.chance.below(most) } else { most };
            pipe.arrived -= count;
            let data: Vec<u8> = pipe.octets.drain(..count).collect();
            self.give(host, Input::Bytes { conn, data: &data });
            moved = true;
        }
        if moved {
            self.unblock(wire, direction);
        }
        let pipe = &mut self.wires[wire].pipes[direction];
        if !pipe.paused && std::mem::take(&mut pipe.fin_arrived) {
            self.give(host, Input::HalfClosed { conn });
        }
    }

    /// The writer of a direction may have room again.
    pub(super) fn unblock(&mut self, wire: usize, direction: usize) {
        if let End::Node { host, conn } = self.wires[wire].ends[direction] {
            self.hosts[host].blocked.push(conn);
            self.hosts[host].dirty = true;
        }
    }

    fn syn(&mut self, caller: Caller, from: SocketAddr, to: SocketAddr) {
        if self.weather.parted(from.ip(), to.ip()) {
            let patience = limits::DIAL.as_millis() as u64;
            return self.refuse(caller, "timed out", patience - 50);
        }
        let late = 1 + self.latency();
        if self.puppets.contains_key(&to) {
            return self.answer_as_puppet(caller, from, to, late);
        }
        let listener = self.hosts.iter().enumerate().find_map(|(host, h)| {
            let listener = h.config.listen.iter().position(|l| l.address == to)?;
            h.node.as_ref().map(|_| (host, listener))
        });
        let Some((host, listener)) = listener else {
            return self.refuse(caller, "connection refused", late);
        };
        let tls = self.hosts[host].config.listen[listener].tls;
        let shown = match &caller {
            Caller::Node { host, tls, .. } => tls.then(|| self.hosts[*host].certificate.clone()),
            Caller::Client(client) => self.clients[client.0].tls.clone(),
        };
        // A client that speaks in clear where TLS is meant gets a connection, and never a handshake.
        let mute = tls && matches!(&caller, Caller::Client(_)) && shown.is_none();
        if tls != shown.is_some() && !mute {
            return self.refuse(caller, "handshake failure", late);
        }
        if let Caller::Node { domain, .. } = &caller
            && tls
            && !self.hosts[host].certificate.contains(domain)
        {
            return self.refuse(caller, "the certificate names another domain", late);
        }
        let wire = WireId(self.wires.len());
        let conn = self.hosts[host].open((wire, 1), tls);
        self.wires.push(Wire::new([End::Gone, End::Node { host, conn }], [from, to]));
        self.give(host, Input::Accepted { conn, listener, peer: from, local: to });
        let mut wait = late;
        if let Some(names) = shown {
            wait += self.latency();
            let alpn = match &caller {
                Caller::Node { alpn, .. } => *alpn,
                Caller::Client(client) => self.clients[client.0].alpn,
            };
            let end_point = Some(self.hosts[host].end_point());
            let tls = TlsPeer { alpn, names, end_point };
            self.after(wait, Event::Secured { wire, tls });
        }
        self.wires[wire.0].pipes[1].last = self.now + wait;
        match caller {
            Caller::Node { host, life, dial, .. } => {
                self.after(wait, Event::Dialled { host, life, dial, result: Ok(wire) });
            }
            Caller::Client(client) => self.after(wait, Event::Opened { client, wire: Some(wire) }),
        }
    }

    /// A connection to an address where a test plays the server.
    fn answer_as_puppet(&mut self, caller: Caller, from: SocketAddr, to: SocketAddr, late: u64) {
        let Caller::Node { host, life, dial, .. } = caller else {
            return self.refuse(caller, "connection refused", late);
        };
        let client = self.new_client("puppet", to.ip());
        let wire = WireId(self.wires.len());
        self.wires.push(Wire::new([End::Gone, End::Client(client)], [from, to]));
        self.clients[client.0].wire = Some((wire, 1));
        self.clients[client.0].notes = super::client::Answer::ByHand;
        let spoken = Protocol::ALL.into_iter().find(|protocol| protocol.port() == to.port());
        self.clients[client.0].speech = Speech::of(spoken.unwrap_or(Protocol::Simp));
        self.puppets.entry(to).or_default().push(client);
        self.wires[wire.0].pipes[1].last = self.now + late;
        self.after(late, Event::Dialled { host, life, dial, result: Ok(wire) });
        if self.clients[client.0].speech.protocol() != Protocol::Simp {
            // Whoever wants to authenticate there is believed.
            self.clients[client.0].welcoming = true;
            self.send(client, &super::sasl::greeting());
        }
    }

    fn refuse(&mut self, caller: Caller, why: &str, delay: u64) {
        match caller {
            Caller::Node { host, life, dial, .. } => {
                self.after(delay, Event::Dialled { host, life, dial, result: Err(why.to_owned()) });
            }
            Caller::Client(client) => self.after(delay, Event::Opened { client, wire: None }),
        }
    }

    fn dialled(&mut self, host: usize, life: u32, dial: DialId, result: Result<WireId, String>) {
        if !self.alive(host, life) {
            if let Ok(wire) = result {
                self.abandon(wire, 0);
            }
            return;
        }
        match result {
            Ok(wire) => {
                let conn = self.hosts[host].open((wire, 0), false);
                self.wires[wire.0].ends[0] = End::Node { host, conn };
                self.give(host, Input::Connected { dial, conn });
            }
            Err(why) => self.give(host, Input::DialFailed { dial, why }),
        }
    }

    fn secured(&mut self, wire: WireId, tls: TlsPeer) {
        if let End::Node { host, conn } = self.wires[wire.0].ends[1]
            && let Some(slot) = self.hosts[host].slot(conn)
        {
            slot.handshake = false;
            self.give(host, Input::Secured { conn, tls });
            self.feed_node(wire.0, 0, host, conn);
        }
    }
}

/// In a simulation a verifier is `sim:` and the password: argon2 is slow on purpose.
fn password_fits(verifier: &str, password: &Secret) -> bool {
    verifier.strip_prefix("sim:") == Some(password.expose())
}

/// A number for the kind of an input, for the trace.
fn kind(input: &Input<'_>) -> u8 {
    match input {
        Input::Accepted { .. } => 0,
        Input::Secured { .. } => 1,
        Input::Connected { .. } => 2,
        Input::DialFailed { .. } => 3,
        Input::Bytes { .. } => 4,
        Input::HalfClosed { .. } => 5,
        Input::Closed { .. } => 6,
        Input::Done { .. } => 7,
        Input::Committed(_) => 8,
        Input::Control { .. } => 9,
        Input::Wake => 10,
        Input::Shutdown => 11,
        Input::Crowded { .. } => 12,
    }
}
