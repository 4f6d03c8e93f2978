//! The loop: carries octets between sockets and a node.
//!
//! A tick: poll; read every readable socket once into one shared buffer and feed the node straight
//! from it; let the node settle; carry out what it wants; write every connection that has something
//! to write, all of it at once. Sockets are registered once, edge-triggered, for both directions.
//! Nothing here blocks but the poll.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read};
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Poll, Token};
use rustix::time::{ClockId, clock_gettime};

use crate::clock::{Date, Now, Tick};
use crate::config::{Config, Listen};
use crate::limits;
use crate::node::Node;
use crate::node::io::{ConnId, DialId, Input, Job, JobId, Output};
use crate::server::answers::{Answer, Answers, Inbox};
use crate::server::conn::{Deadlines, Due, Stage, Table};
use crate::server::control::Control;
use crate::server::keys::Keys;
use crate::server::reload;
use crate::server::signals::{Signal, Signals};
use crate::server::tls::Outgoing;
use crate::server::transfer::Held;
use crate::store::record::Batch;

/// Octets read from a connection at one go.
const READ: usize = 64 * 1024;
/// Events taken from the kernel at one go.
const EVENTS: usize = 1024;
/// The same from one that shall not keep others waiting.
const SLICE: usize = 16 * 1024;
/// Whoever had more than so many octets to be read has much to say.
const MUCH: usize = 4 * 1024;
/// What strangers and those who have much to say may cost in one tick, in octets: while a user waits beside them,
/// and while nobody does.
const BESIDE: usize = 32 * 1024;
const ALONE: usize = 128 * 1024;
/// The least that one read of theirs counts for, and a step of a TLS handshake, which costs up to a millisecond.
const STEP: usize = 1024;
const HANDSHAKE: usize = 8 * 1024;
/// Rounds of input and output in one tick before the sockets are looked at again.
const ROUNDS: usize = 8;
/// From `Close` to the end, if the peer does not end it.
const CLOSING: Duration = Duration::from_secs(3);
/// After the node has ended: for peers to take the last octets.
const FAREWELL: Duration = Duration::from_secs(1);

/// What the loop drives: a [`Node`], or a test's stand-in.
pub(super) trait Driven {
    /// See [`Node::handle`].
    fn handle(&mut self, now: Now, input: Input<'_>);
    /// See [`Node::settle`].
    fn settle(&mut self, now: Now);
    /// See [`Node::poll_output`].
    fn poll_output(&mut self) -> Option<Output>;
    /// See [`Node::next_wake`].
    fn next_wake(&self) -> Option<Tick>;
    /// See [`Node::unsent`].
    fn unsent(&self, conn: ConnId) -> &[u8];
    /// See [`Node::sent`].
    fn sent(&mut self, now: Now, conn: ConnId, count: usize);
    /// See [`Node::reconfigure`].
    fn reconfigure(&mut self, config: Arc<Config>);
}

impl Driven for Node {
    fn handle(&mut self, now: Now, input: Input<'_>) {
        Node::handle(self, now, input);
    }
    fn settle(&mut self, now: Now) {
        Node::settle(self, now);
    }
    fn poll_output(&mut self) -> Option<Output> {
        Node::poll_output(self)
    }
    fn next_wake(&self) -> Option<Tick> {
        Node::next_wake(self)
    }
    fn unsent(&self, conn: ConnId) -> &[u8] {
        Node::unsent(self, conn)
    }
    fn sent(&mut self, now: Now, conn: ConnId, count: usize) {
        Node::sent(self, now, conn, count);
    }
    fn reconfigure(&mut self, config: Arc<Config>) {
        Node::reconfigure(self, config);
    }
}

/// What would block, done elsewhere.
pub(super) trait Work {
    /// Does a job, from the next [`Work::begin`] on; the answer comes through the inbox.
    fn job(&self, job: JobId, work: Job);
    /// That were all jobs for now: those that wait for others of their kind begin.
    fn begin(&self);
    /// Commits a batch; the answer comes through the inbox.
    fn commit(&self, batch: Batch);
}

/// Both clocks, from one start. Ticks go on while the machine sleeps: what others wait for is over by then, and so are
/// the leases that they have given.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Since the machine's.
    start: Duration,
    /// Tests set the clock forward instead of waiting, milliseconds.
    #[cfg(test)]
    pub(super) ahead: Arc<std::sync::atomic::AtomicU64>,
}

impl Clock {
    /// Tick zero is now.
    pub(super) fn start() -> Clock {
        Clock {
            start: since_boot(),
            #[cfg(test)]
            ahead: Arc::default(),
        }
    }

    /// The time.
    pub(super) fn now(&self) -> Now {
        let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let tick = since_boot().saturating_sub(self.start).as_millis() as u64;
        #[cfg(test)]
        let tick = tick + self.ahead.load(std::sync::atomic::Ordering::SeqCst);
        Now { tick: Tick::at(tick), date: Date(date.as_millis() as i64) }
    }
}

/// The clock that goes on while the machine sleeps.
#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

/// How long the machine has been up.
fn since_boot() -> Duration {
    let time = clock_gettime(CLOCK);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What the configuration says of it, with the real address.
    pub listen: Listen,
    /// Somebody may wait to be accepted.
    pub ready: bool,
}

/// A dial that is under way.
#[derive(Debug)]
pub(super) struct Dialling {
    /// Its name.
    pub dial: DialId,
    /// On TLS: whose certificate is expected, and what is to be spoken.
    pub tls: Option<(crate::hub::address::Domain, crate::federation::Protocol)>,
}

/// What a loop is made of.
pub(super) struct Parts<N> {
    /// What it drives.
    pub node: N,
    /// The clock that the node was started with.
    pub clock: Clock,
    /// The poll that everything is registered with.
    pub poll: Poll,
    /// Where helpers' answers come in.
    pub inbox: Inbox,
    /// For helpers that the loop itself starts.
    pub answers: Answers,
    /// Who does what would block.
    pub work: Box<dyn Work + Send>,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// The operator's socket.
    pub control: Option<Control>,
    /// TLS.
    pub keys: Keys,
    /// The process's signals, if it is this loop that hears them.
    pub signals: Option<Signals>,
    /// The configuration, as it is in force.
    pub config: Arc<Config>,
    /// Where to read it again.
    pub config_path: Option<PathBuf>,
    /// How many connections it may hold.
    pub room: usize,
}

impl<N> Parts<N> {
    /// With a node made from what was in its place.
    pub(super) fn with_node<M>(self, make: impl FnOnce(N) -> M) -> Parts<M> {
        Parts {
            node: make(self.node),
            clock: self.clock,
            poll: self.poll,
            inbox: self.inbox,
            answers: self.answers,
            work: self.work,
            listeners: self.listeners,
            control: self.control,
            keys: self.keys,
            signals: self.signals,
            config: self.config,
            config_path: self.config_path,
            room: self.room,
        }
    }
}

/// The loop.
pub(super) struct Driver<N> {
    pub(super) node: N,
    pub(super) now: Now,
    pub(super) poll: Poll,
    pub(super) table: Table,
    pub(super) deadlines: Deadlines,
    pub(super) dials: HashMap<u32, Dialling>,
    pub(super) keys: Keys,
    pub(super) listeners: Vec<Listener>,
    /// Where we listen, for the choice of a source address.
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) room: usize,
    /// Accepting rests until then: the machine is out of descriptors.
    pub(super) rest: Option<Tick>,
    pub(super) notices: Notices,
    /// Connections to be read in this tick, or in the next: those that go first.
    pub(super) ready: Vec<ConnId>,
    /// Strangers, and those who have much to say: some of them in each tick, in turn.
    pub(super) patient: VecDeque<ConnId>,
    /// The room of the last such list.
    spare: Vec<ConnId>,
    /// Connections to be written.
    pub(super) writes: Vec<ConnId>,
    /// Connections whose first octets wait for more.
    pub(super) held: Vec<Held>,
    /// Connections that the node has not heard the end of.
    pub(super) gone: Vec<ConnId>,
    /// Connections that are closing, in this order; some of them are gone already.
    pub(super) closing: VecDeque<ConnId>,
    /// Dials that the node has not heard the failure of.
    pub(super) failed: Vec<(DialId, String)>,
    pub(super) buffer: Box<[u8]>,
    pub(super) cipher: Outgoing,
    /// Something is left to be done at once.
    busy: bool,
    clock: Clock,
    inbox: Inbox,
    answers: Answers,
    work: Box<dyn Work + Send>,
    control: Option<Control>,
    signals: Option<Signals>,
    config: Arc<Config>,
    config_path: Option<PathBuf>,
    /// An end is wanted, and must be by then.
    ending: Option<Tick>,
    ended: bool,
}

/// Lines that are logged at most once a minute.
#[derive(Debug, Default)]
pub(super) struct Notices {
    exhausted: Option<Tick>,
    crowded: Option<Tick>,
    clear: Option<Tick>,
}

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Conn(ConnId),
    Listener(u32),
    ControlListener,
    ControlClient(u32),
    Inbox,
    Signals(u32),
}

impl Source {
    /// Kinds other than connections take the place of slots that no table reaches.
    const FIRST_KIND: u32 = u32::MAX - 4;

    /// As the kernel carries it.
    pub(super) fn token(self) -> Token {
        let (high, low) = match self {
            Source::Conn(id) => (id.generation, id.slot),
            Source::Listener(index) => (index, Source::FIRST_KIND),
            Source::ControlListener => (0, Source::FIRST_KIND + 1),
            Source::ControlClient(index) => (index, Source::FIRST_KIND + 2),
            Source::Inbox => (0, Source::FIRST_KIND + 3),
            Source::Signals(index) => (index, Source::FIRST_KIND + 4),
        };
        Token((u64::from(high) << 32 | u64::from(low)) as usize)
    }

    pub(super) fn of(token: Token) -> Source {
        let (high, low) = ((token.0 as u64 >> 32) as u32, token.0 as u32);
        match low.checked_sub(Source::FIRST_KIND) {
            None => Source::Conn(ConnId { slot: low, generation: high }),
            Some(0) => Source::Listener(high),
            Some(1) => Source::ControlListener,
            Some(2) => Source::ControlClient(high),
            Some(3) => Source::Inbox,
            Some(_) => Source::Signals(high),
        }
    }
}

impl<N: Driven> Driver<N> {
    /// Puts the parts together; everything in them is already registered with the poll.
    pub(super) fn new(parts: Parts<N>) -> Driver<N> {
        Driver {
            now: parts.clock.now(),
            addresses: parts.listeners.iter().map(|l| l.listen.address).collect(),
            node: parts.node,
            poll: parts.poll,
            table: Table::default(),
            deadlines: Deadlines::default(),
            dials: HashMap::new(),
            keys: parts.keys,
            listeners: parts.listeners,
            room: parts.room,
            rest: None,
            notices: Notices::default(),
            ready: Vec::new(),
            patient: VecDeque::new(),
            spare: Vec::new(),
            writes: Vec::new(),
            held: Vec::new(),
            gone: Vec::new(),
            closing: VecDeque::new(),
            failed: Vec::new(),
            buffer: vec![0; READ].into_boxed_slice(),
            cipher: Outgoing::default(),
            busy: true,
            clock: parts.clock,
            inbox: parts.inbox,
            answers: parts.answers,
            work: parts.work,
            control: parts.control,
            signals: parts.signals,
            config: parts.config,
            config_path: parts.config_path,
            ending: None,
            ended: false,
        }
    }

    /// Runs until the node has ended, or its time to do so is over.
    ///
    /// # Errors
    /// The operating system refuses to poll.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            match self.poll.poll(&mut events, self.timeout()) {
                Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e),
                _ => {}
            }
            self.now = self.clock.now();
            self.tick(&events);
            if self.is_over() {
                return Ok(());
            }
        }
    }

    fn tick(&mut self, events: &Events) {
        self.busy = false;
        for event in events {
            self.hear(event);
        }
        if self.node.next_wake().is_some_and(|at| at <= self.now.tick) {
            self.node.handle(self.now, Input::Wake);
        }
        self.expire();
        self.accept_all();
        self.read_all();
        self.serve_control();
        for _ in 0..ROUNDS {
            self.report_losses();
            self.node.settle(self.now);
            self.carry_out();
            self.release_held();
            self.write_all();
            // What was written may have made the node want more.
            let more = self.carry_out();
            if !more && self.writes.is_empty() && self.gone.is_empty() && self.failed.is_empty() {
                return;
            }
        }
        self.busy = true;
    }

    /// How long the poll may wait.
    fn timeout(&self) -> Option<Duration> {
        if self.busy || !(self.ready.is_empty() && self.patient.is_empty()) || self.can_accept() {
            return Some(Duration::ZERO);
        }
        let control = self.control.as_ref().and_then(Control::next_wake);
        let held = self.held.first().map(|held| held.until);
        let next = [self.node.next_wake(), self.deadlines.next(), held, self.rest, self.ending, control];
        let next = next.into_iter().flatten().min()?;
        Some(next.since(self.clock.now().tick))
    }

    fn hear(&mut self, event: &Event) {
        match Source::of(event.token()) {
            Source::Conn(id) => self.conn_event(id, event),
            Source::Listener(index) => {
                if let Some(listener) = self.listeners.get_mut(index as usize) {
                    listener.ready = true;
                }
            }
            Source::ControlListener => self.accept_control(),
            Source::ControlClient(index) => {
                if let Some(control) = &mut self.control {
                    control.event(index);
                }
            }
            Source::Inbox => self.take_answers(),
            Source::Signals(index) => match self.signals.as_mut().and_then(|s| s.heard(index)) {
                Some(Signal::End) => self.end(),
                Some(Signal::Reload) => self.reload(),
                None => {}
            },
        }
    }

    fn take_answers(&mut self) {
        self.inbox.heard();
        while let Some(answer) = self.inbox.take() {
            match answer {
                Answer::Done(job, result) => self.node.handle(self.now, Input::Done { job, result }),
                Answer::Committed(committed) => self.node.handle(self.now, Input::Committed(committed)),
                Answer::Stop => self.end(),
                Answer::Reloaded(Ok(new)) => {
                    self.config = new.config;
                    self.keys = new.keys;
                    self.node.reconfigure(self.config.clone());
                    log::info!("configuration and certificates were read again");
                    if !new.restart.is_empty() {
                        let keys = new.restart.join(", ");
                        log::warn!("changed, but in force only after a restart: {keys}");
                    }
                }
                Answer::Reloaded(Err(why)) => log::error!("nothing was changed: {why}"),
            }
        }
    }

    /// An orderly end is wanted; a second wish for it is not waited for.
    fn end(&mut self) {
        if self.ending.is_some() {
            self.ending = Some(self.now.tick);
            return;
        }
        log::info!("ending");
        self.ending = Some(self.now.tick + limits::SHUTDOWN);
        self.listeners.clear();
        self.node.handle(self.now, Input::Shutdown);
    }

    fn reload(&mut self) {
        reload::start(self.config.clone(), self.config_path.clone(), self.answers.clone());
    }

    fn is_over(&self) -> bool {
        match self.ending {
            Some(at) if at <= self.now.tick => true,
            _ => self.ended && !self.table.in_stage(|s| matches!(s, Stage::Flushing | Stage::Lingering)),
        }
    }

    fn accept_control(&mut self) {
        if let Some(control) = &mut self.control {
            let token = |index| Source::ControlClient(index).token();
            control.accept(self.poll.registry(), self.now.tick, token);
        }
    }

    fn serve_control(&mut self) {
        if self.control.as_ref().is_some_and(|c| c.wants_accept(self.now.tick)) {
            self.accept_control();
        }
        let Some(control) = &mut self.control else { return };
        let (node, now) = (&mut self.node, self.now);
        let sink = |id, request| node.handle(now, Input::Control { id, request });
        self.busy |= control.serve(&mut self.buffer, now.tick, sink);
    }

    /// Tells the node what is no more.
    fn report_losses(&mut self) {
        for conn in mem::take(&mut self.gone) {
            self.node.handle(self.now, Input::Closed { conn });
            self.table.release(conn);
        }
        for (dial, why) in mem::take(&mut self.failed) {
            self.node.handle(self.now, Input::DialFailed { dial, why });
        }
    }

    /// Does what the node wants; true if it wanted anything.
    fn carry_out(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = self.node.poll_output() {
            any = true;
            match output {
                Output::Write(conn) => self.want_write(conn),
                Output::Close { conn, flush } => self.close(conn, flush),
                Output::Reading { conn, on } => self.set_reading(conn, on),
                Output::Known(conn) => {
                    if let Some(conn) = self.table.get_mut(conn) {
                        conn.known = true;
                    }
                }
                Output::Dial { dial, place, domain } => self.dial(dial, place, domain),
                Output::Job { job, work } => self.work.job(job, work),
                Output::Commit(batch) => self.work.commit(batch),
                Output::Control { id, reply } => {
                    if let Some(control) = &mut self.control {
                        self.busy |= control.reply(id, &reply);
                    }
                }
                Output::Ended => {
                    self.ended = true;
                    let soon = self.now.tick + FAREWELL;
                    self.ending = Some(self.ending.map_or(soon, |at| at.min(soon)));
                }
            }
        }
        if any {
            self.work.begin();
        }
        any
    }

    fn close(&mut self, id: ConnId, flush: bool) {
        let Some(conn) = self.table.get_mut(id) else { return };
        if !flush || !matches!(conn.stage, Stage::Open | Stage::Flushing | Stage::Lingering) {
            self.lose(id, "closed");
        } else if !conn.is_closing() {
            conn.stage = Stage::Flushing;
            conn.paused = false;
            self.deadlines.set(self.now.tick + CLOSING, id, Due::Closing);
            self.closing.push_back(id);
            self.writes.push(id);
            self.want_read(id);
        }
    }

    fn set_reading(&mut self, id: ConnId, on: bool) {
        let Some(conn) = self.table.get_mut(id) else { return };
        if !conn.is_closing() {
            conn.paused = !on;
            self.want_read(id);
        }
    }

    /// Puts a connection on the list of those to be read, if it is to be.
    pub(super) fn want_read(&mut self, id: ConnId) {
        if let Some(conn) = self.table.get_mut(id)
            && conn.readable
            && !(conn.queued || conn.paused || conn.ended || conn.stage == Stage::Dialling)
        {
            conn.queued = true;
            if conn.known && !conn.much {
                self.ready.push(id);
            } else {
                self.patient.push_back(id);
            }
        }
    }

    /// Users first; then some of the strangers, and of those who have much to say: however many of them there
    /// are, and however much they say, a user waits only so long.
    fn read_all(&mut self) {
        let mut list = mem::replace(&mut self.ready, mem::take(&mut self.spare));
        let alone = list.is_empty();
        for id in list.drain(..) {
            self.read_turn(id, SLICE);
        }
        self.spare = list;
        let (mut left, slice) = if alone { (ALONE, READ) } else { (BESIDE, SLICE) };
        for _ in 0..self.patient.len() {
            if left == 0 {
                break;
            }
            let Some(id) = self.patient.pop_front() else { break };
            let handshake = self.table.get_mut(id).is_some_and(|conn| conn.stage == Stage::Handshake);
            let least = if handshake { HANDSHAKE } else { STEP };
            left = left.saturating_sub(self.read_turn(id, slice).max(least));
        }
    }

    /// A connection's turn to be read: how many octets that were.
    fn read_turn(&mut self, id: ConnId, most: usize) -> usize {
        let Some(conn) = self.table.get_mut(id) else { return 0 };
        conn.queued = false;
        if conn.paused {
            return 0;
        }
        let count = self.read_one(id, most);
        self.want_read(id);
        count
    }

    /// One read, straight into the node. A read that fills its room has left something behind.
    fn read_one(&mut self, id: ConnId, most: usize) -> usize {
        let Some(conn) = self.table.get_mut(id) else { return 0 };
        let room = self.buffer.get_mut(..most).unwrap_or_default();
        match conn.stream.read(room) {
            Ok(0) => self.read_end(id),
            Ok(count) => {
                conn.readable = count == room.len() || conn.hung_up;
                conn.much = count > MUCH;
                if conn.is_closing() {
                    return count;
                }
                if conn.tls.is_some() {
                    self.decipher(id, count);
                } else {
                    let data = self.buffer.get(..count).unwrap_or_default();
                    self.node.handle(self.now, Input::Bytes { conn: id, data });
                }
                self.forget(count);
                return count;
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => conn.readable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => self.lose(id, &e.to_string()),
        }
        0
    }

    /// What was read may have been a password: it does not stay in the buffer, which lives as long as we do.
    fn forget(&mut self, count: usize) {
        if let Some(read) = self.buffer.get_mut(..count) {
            read.fill(0);
        }
    }

    /// The peer has shut down his side.
    fn read_end(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else { return };
        conn.ended = true;
        conn.readable = false;
        let heard = conn.tls.as_ref().is_some_and(|session| session.has_ended());
        match conn.stage {
            Stage::Dialling | Stage::Handshake | Stage::Lingering => self.lose(id, "closed by the peer"),
            Stage::Open if !heard => self.node.handle(self.now, Input::HalfClosed { conn: id }),
            Stage::Open | Stage::Flushing => {}
        }
    }

    /// Takes a connection out; the node hears of it.
    pub(super) fn lose(&mut self, id: ConnId, why: &str) {
        if self.table.remove(id).is_none() {
            return;
        }
        match self.dials.remove(&id.slot) {
            Some(dialling) => {
                self.failed.push((dialling.dial, why.to_owned()));
                self.table.release(id);
            }
            None => self.gone.push(id),
        }
    }

    fn expire(&mut self) {
        while let Some((id, due)) = self.deadlines.pop(self.now.tick) {
            let Some(conn) = self.table.get_mut(id) else { continue };
            match due {
                Due::Dial if self.dials.contains_key(&id.slot) => self.lose(id, "no connection in time"),
                Due::Handshake if conn.stage == Stage::Handshake => self.lose(id, "no handshake in time"),
                Due::Closing => self.lose(id, "closed"),
                Due::Stalled => self.check_progress(id),
                Due::Dial | Due::Handshake => {}
            }
        }
        // Whose end comes in the same tick ends in no order: the list is shortened by who is gone, not by whose turn it is.
        while self.closing.front().is_some_and(|id| self.table.get_mut(*id).is_none()) {
            self.closing.pop_front();
        }
    }

    /// Says so at most once a minute.
    pub(super) fn notice(&mut self, which: fn(&mut Notices) -> &mut Option<Tick>, text: &str) {
        let last = which(&mut self.notices);
        if last.is_none_or(|at| self.now.tick.since(at) >= Duration::from_secs(60)) {
            *last = Some(self.now.tick);
            log::warn!("{text}");
        }
    }
}

impl Notices {
    /// Out of descriptors.
    pub(super) fn exhausted(&mut self) -> &mut Option<Tick> {
        &mut self.exhausted
    }

    /// Strangers go to make room.
    pub(super) fn crowded(&mut self) -> &mut Option<Tick> {
        &mut self.crowded
    }

    /// A client from elsewhere on a clear-text listener.
    pub(super) fn clear(&mut self) -> &mut Option<Tick> {
        &mut self.clear
    }
}
