//! One node without sockets, fed as the server's loop feeds it (`src/server/poll.rs`): a tick hands in what has
//! come, settles, carries out what the node wants, and takes what it has written. The store is real; its answers
//! come in the tick after, as they do through the loop's inbox. Time is handed in, so it may run as it likes.

use std::mem;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::admin::{AdminReply, AdminRequest};
use hearth::clock::{Date, Now, Tick};
use hearth::config::{Config, ListenProtocol};
use hearth::node::io::{ConnId, ControlId, DialId, Input, Job, JobId, JobResult, Output};
use hearth::node::{Node, Seed};
use hearth::store::record::{Batch, Committed, Read, Reading};
use hearth::store::{KeyFile, Mode, Reader, Store};

use crate::rig::Failure;
use crate::spent::{Kind, Spent};

/// Rounds of input and output in one tick, as in the loop.
const ROUNDS: usize = 8;
/// When the run begins, on the wall clock: 2026-01-05T09:30:00Z.
const START: i64 = 1_767_605_400_000;

/// What comes in with the next tick.
enum Act {
    Accepted(ConnId, usize, SocketAddr),
    /// These octets of the tick's text.
    Bytes(ConnId, Range<usize>),
    HalfClosed(ConnId),
    Connected(DialId, ConnId),
    Done(JobId, JobResult),
    Committed(Committed),
    Control(AdminRequest),
}

/// What a node has written to a connection in the last tick.
#[derive(Default)]
pub struct Heard {
    /// To whom, and which of the octets.
    pub pieces: Vec<(ConnId, Range<usize>)>,
    /// All of them.
    pub octets: Vec<u8>,
}

/// Names of connections, given and taken as the loop's table does.
#[derive(Default)]
struct Slots {
    generations: Vec<u32>,
    free: Vec<u32>,
}

impl Slots {
    fn take(&mut self) -> ConnId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.generations.push(0);
            self.generations.len() as u32 - 1
        });
        ConnId { slot, generation: self.generations[slot as usize] }
    }

    fn release(&mut self, conn: ConnId) {
        self.generations[conn.slot as usize] += 1;
        self.free.push(conn.slot);
    }
}

/// A node, its store, and what is between them and the world.
pub struct Feed {
    node: Node,
    store: Store,
    reader: Reader,
    /// The time as the node is told it.
    pub now: Now,
    local: Vec<SocketAddr>,
    acts: Vec<Act>,
    text: Vec<u8>,
    /// What was written in the last tick, until somebody takes it.
    pub heard: Heard,
    writes: Vec<ConnId>,
    closing: Vec<ConnId>,
    gone: Vec<ConnId>,
    jobs: Vec<(JobId, Job)>,
    batches: Vec<Batch>,
    /// Dials of the last tick that nobody has taken up.
    pub dials: Vec<DialId>,
    /// What operators were told.
    pub replies: Vec<AdminReply>,
    slots: Slots,
    /// Where the time has gone.
    pub spent: Spent,
}

impl Feed {
    /// A node over the folder of a house; `change` may add to its configuration.
    ///
    /// # Errors
    /// If the store can't be opened.
    pub fn open(dir: &Path, change: impl FnOnce(&mut Config)) -> Result<Feed, Failure> {
        let mut config = Config::load(&dir.join("hearth.toml"))?;
        change(&mut config);
        let key = KeyFile::load(&config.key_file())?;
        let store = Store::open(&config.database(), &key, Mode::Open)?;
        let reader = Reader::open(&config.database(), &key)?;
        let now = Now { tick: Tick::at(0), date: Date(START) };
        let local = config.listen.iter().map(|listen| listen.address).collect();
        let seed = Seed {
            config: Arc::new(config),
            random: [7; 32],
            key: key.derive("simp challenge"),
            calendar: Default::default(),
        };
        let mut feed = Feed {
            node: Node::new(now, seed),
            store,
            reader,
            now,
            local,
            acts: Vec::new(),
            text: Vec::new(),
            heard: Heard::default(),
            writes: Vec::new(),
            closing: Vec::new(),
            gone: Vec::new(),
            jobs: Vec::new(),
            batches: Vec::new(),
            dials: Vec::new(),
            replies: Vec::new(),
            slots: Slots::default(),
            spent: Spent::default(),
        };
        feed.rest();
        Ok(feed)
    }

    /// The listener of a protocol.
    pub fn listener(protocol: ListenProtocol) -> usize {
        match protocol {
            ListenProtocol::Simp | ListenProtocol::Tls => 0,
            ListenProtocol::Imtp => 1,
            ListenProtocol::Pitp => 2,
        }
    }

    /// Somebody connects.
    pub fn connect(&mut self, listener: usize, peer: SocketAddr) -> ConnId {
        let conn = self.slots.take();
        self.acts.push(Act::Accepted(conn, listener, peer));
        conn
    }

    /// Somebody says something.
    pub fn say(&mut self, conn: ConnId, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        self.acts.push(Act::Bytes(conn, start..self.text.len()));
    }

    /// Somebody ends his connection.
    pub fn leave(&mut self, conn: ConnId) {
        self.acts.push(Act::HalfClosed(conn));
    }

    /// A dial of the node's succeeds.
    pub fn answer_dial(&mut self, dial: DialId) -> ConnId {
        let conn = self.slots.take();
        self.acts.push(Act::Connected(dial, conn));
        conn
    }

    /// An operator asks for something.
    pub fn control(&mut self, request: AdminRequest) {
        self.acts.push(Act::Control(request));
    }

    /// Is there nothing to come in?
    pub fn is_idle(&self) -> bool {
        self.acts.is_empty()
    }

    /// A reading of the store beside the node's: fills its caches.
    pub fn look(&self, read: &Read) -> Reading {
        self.reader.read(read)
    }

    /// When the loop would wake by itself.
    pub fn next_wake(&self) -> Option<Tick> {
        self.node.next_wake()
    }

    /// Time passes.
    pub fn pass(&mut self, span: Duration) {
        self.now = Now { tick: self.now.tick + span, date: self.now.date + span };
    }

    /// Ticks until nothing comes in any more that the store or the operator has caused.
    pub fn rest(&mut self) {
        loop {
            self.tick();
            if self.is_idle() {
                return;
            }
        }
    }

    /// One turn of the loop.
    pub fn tick(&mut self) {
        let (mut acts, mut text) = (mem::take(&mut self.acts), mem::take(&mut self.text));
        self.heard.pieces.clear();
        self.heard.octets.clear();
        let place = self.slots.generations.len() - self.slots.free.len();
        self.spent.begin(place);
        if self.node.next_wake().is_some_and(|at| at <= self.now.tick) {
            self.input(Input::Wake, "a wake-up");
        }
        for act in acts.drain(..) {
            self.act(act, &text);
        }
        for _ in 0..ROUNDS {
            for conn in mem::take(&mut self.gone) {
                self.input(Input::Closed { conn }, "a closed connection");
                self.slots.release(conn);
            }
            let watched = self.spent.watch();
            self.node.settle(self.now);
            self.spent.watched(watched, "the end of a tick");
            self.carry_out();
            self.write_all();
            let more = self.carry_out();
            if !more && self.writes.is_empty() && self.gone.is_empty() {
                break;
            }
        }
        self.spent.end(Kind::Node);
        text.clear();
        if self.acts.is_empty() {
            // The room is used again.
            (self.acts, self.text) = (acts, text);
        }
        self.help();
    }

    fn act(&mut self, act: Act, text: &[u8]) {
        match act {
            Act::Bytes(conn, range) => self.input(Input::Bytes { conn, data: &text[range] }, "octets"),
            Act::Accepted(conn, listener, peer) => {
                let local = self.local[listener];
                self.input(Input::Accepted { conn, listener, peer, local }, "a new connection");
            }
            Act::HalfClosed(conn) => self.input(Input::HalfClosed { conn }, "the end of a stream"),
            Act::Connected(dial, conn) => self.input(Input::Connected { dial, conn }, "a link"),
            Act::Done(job, result) => self.input(Input::Done { job, result }, "what was read"),
            Act::Committed(committed) => self.input(Input::Committed(committed), "a commit"),
            Act::Control(request) => {
                self.input(Input::Control { id: ControlId(0), request }, "an operator's request");
            }
        }
    }

    fn input(&mut self, input: Input<'_>, what: &'static str) {
        let watched = self.spent.watch();
        self.node.handle(self.now, input);
        self.spent.watched(watched, what);
    }

    fn carry_out(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.node.poll_output() {
            any = true;
            match output {
                Output::Write(conn) => self.writes.push(conn),
                Output::Close { conn, .. } => self.closing.push(conn),
                Output::Job { job, work } => self.jobs.push((job, work)),
                Output::Commit(batch) => self.batches.push(batch),
                Output::Dial { dial, .. } => self.dials.push(dial),
                Output::Control { reply, .. } => self.replies.push(reply),
                Output::Reading { .. } | Output::Known(_) | Output::Ended => {}
            }
        }
        any
    }

    /// Takes what is to be written; the copy stands for the system call.
    fn write_all(&mut self) {
        for conn in self.writes.drain(..) {
            let start = self.heard.octets.len();
            self.heard.octets.extend_from_slice(self.node.unsent(conn));
            let count = self.heard.octets.len() - start;
            self.heard.pieces.push((conn, start..start + count));
            self.node.sent(self.now, conn, count);
        }
        self.gone.append(&mut self.closing);
    }

    /// What the helper threads do.
    fn help(&mut self) {
        if self.jobs.is_empty() && self.batches.is_empty() {
            return;
        }
        let begun = Instant::now();
        for (job, work) in self.jobs.drain(..) {
            let result = match work {
                Job::Read(read) => JobResult::Read(self.reader.read(&read)),
                Job::Resolve(..) | Job::VerifyPassword { .. } => JobResult::Overloaded,
            };
            self.acts.push(Act::Done(job, result));
        }
        let batches = mem::take(&mut self.batches);
        if !batches.is_empty() {
            self.acts.extend(self.store.commit_batches(&batches).into_iter().map(Act::Committed));
        }
        self.spent.add(Kind::Store, begun.elapsed());
    }
}
