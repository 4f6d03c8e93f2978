//! Very many connections of one attacker, from many addresses, in one loop.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::source;
use crate::rig::Failure;

/// Connections begun in one round of the loop.
const BEGUN: usize = 64;
/// The longest rest of the loop.
const REST: Duration = Duration::from_millis(10);

/// What the members of a swarm do.
pub trait Caller {
    /// Where a member connects to.
    fn target(&self, member: usize) -> SocketAddr;
    /// It is connected: what it says goes into `out`.
    fn opened(&mut self, member: usize, out: &mut Vec<u8>);
    /// It has heard something, and takes what it understands off `input`; false: it hangs up.
    fn heard(&mut self, member: usize, input: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        let _ = (member, out);
        input.clear();
        true
    }
    /// Something may be said unasked, as far as the last has gone out: called for all, over and over; false: it
    /// hangs up.
    fn turn(&mut self, member: usize, out: &mut Vec<u8>) -> bool {
        let _ = (member, out);
        true
    }
    /// Its address, of so many.
    fn source(&self, member: usize, sources: usize) -> usize {
        member % sources
    }
    /// Does a member come back at once when its connection has ended?
    fn comes_back(&self) -> bool {
        true
    }
    /// It is over before its time.
    fn enough(&self) -> bool {
        false
    }
}

/// What they got.
#[derive(Debug, Default)]
pub struct Got {
    /// Connections that were made.
    pub opened: u64,
    /// That could not be made.
    pub refused: u64,
    /// That the server has ended.
    pub ended: u64,
    /// How long those had lived.
    pub lived: Duration,
    /// Most connections at a time.
    pub most: usize,
    /// At the end.
    pub left: usize,
}

impl Got {
    /// The mean life of connections that the server has ended, seconds.
    pub fn life(&self) -> f64 {
        self.lived.as_secs_f64() / self.ended.max(1) as f64
    }
}

struct Line {
    stream: TcpStream,
    began: Instant,
    connected: bool,
    input: Vec<u8>,
    out: Vec<u8>,
}

/// See the module.
pub struct Swarm {
    poll: Poll,
    lines: Vec<Option<Line>>,
    /// Who is to connect next.
    waiting: Vec<usize>,
    sources: usize,
    /// The first of them.
    base: usize,
    /// Whether members read what they are told.
    reads: bool,
    /// Pause between two turns of all.
    pace: Duration,
    live: usize,
    buffer: Vec<u8>,
    got: Got,
}

impl Swarm {
    /// So many members, from so many addresses, with a turn for each every `pace`.
    ///
    /// # Errors
    /// The system's.
    pub fn new(members: usize, sources: usize, pace: Duration) -> Result<Swarm, Failure> {
        Ok(Swarm {
            poll: Poll::new()?,
            lines: (0..members).map(|_| None).collect(),
            waiting: (0..members).rev().collect(),
            sources,
            base: 0,
            reads: true,
            pace,
            live: 0,
            buffer: vec![0; 16 * 1024],
            got: Got::default(),
        })
    }

    /// From other addresses than its fellows.
    pub fn beside(mut self, number: usize) -> Swarm {
        self.base = number * self.sources;
        self
    }

    /// Nobody reads anything.
    pub fn deaf(mut self) -> Swarm {
        self.reads = false;
        self
    }

    /// Lets them loose until then.
    ///
    /// # Errors
    /// The system's.
    pub fn run(mut self, caller: &mut impl Caller, end: Instant) -> Result<Got, Failure> {
        let mut events = Events::with_capacity(1024);
        let (mut next, mut turned) = (0, Instant::now());
        while Instant::now() < end && !caller.enough() {
            let rest = if self.waiting.is_empty() { REST } else { Duration::ZERO };
            self.poll.poll(&mut events, Some(rest))?;
            for event in &events {
                let Token(member) = event.token();
                self.event(member, event.is_writable(), caller);
            }
            for _ in 0..BEGUN {
                let Some(member) = self.waiting.pop() else { break };
                self.begin(member, caller);
            }
            // Turns are spread over the pace.
            let share = turned.elapsed().as_secs_f64() / self.pace.as_secs_f64().max(1e-6);
            let count = ((share * self.lines.len() as f64) as usize).min(self.lines.len());
            if count > 0 {
                turned = Instant::now();
            }
            for _ in 0..count {
                self.turn(next, caller);
                next = (next + 1) % self.lines.len();
            }
            self.got.most = self.got.most.max(self.live);
        }
        self.got.left = self.live;
        Ok(self.got)
    }

    fn begin(&mut self, member: usize, caller: &impl Caller) {
        let from = SocketAddr::new(IpAddr::V4(source(self.base + caller.source(member, self.sources))), 0);
        match dial(from, caller.target(member)) {
            Ok(mut stream) => {
                let both = Interest::READABLE | Interest::WRITABLE;
                if self.poll.registry().register(&mut stream, Token(member), both).is_ok() {
                    let (input, out) = (Vec::new(), Vec::new());
                    let line = Line { stream, began: Instant::now(), connected: false, input, out };
                    self.lines[member] = Some(line);
                }
            }
            Err(_) => {
                self.got.refused += 1;
                if caller.comes_back() {
                    self.waiting.insert(0, member);
                }
            }
        }
    }

    fn event(&mut self, member: usize, writable: bool, caller: &mut impl Caller) {
        let Some(line) = &mut self.lines[member] else { return };
        if !line.connected {
            if !writable {
                return;
            }
            if line.stream.take_error().ok().flatten().is_some() || line.stream.peer_addr().is_err() {
                self.got.refused += 1;
                return self.drop_line(member, caller, false);
            }
            line.connected = true;
            line.began = Instant::now();
            self.live += 1;
            self.got.opened += 1;
            caller.opened(member, &mut line.out);
        }
        self.serve(member, caller);
    }

    fn serve(&mut self, member: usize, caller: &mut impl Caller) {
        let Some(line) = &mut self.lines[member] else { return };
        while self.reads {
            match line.stream.read(&mut self.buffer) {
                Ok(0) => return self.drop_line(member, caller, true),
                Ok(count) => {
                    line.input.extend_from_slice(&self.buffer[..count]);
                    if !caller.heard(member, &mut line.input, &mut line.out) {
                        let _ = flush(line);
                        return self.drop_line(member, caller, false);
                    }
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.drop_line(member, caller, true),
            }
        }
        if flush(line).is_err() {
            self.drop_line(member, caller, true);
        }
    }

    fn turn(&mut self, member: usize, caller: &mut impl Caller) {
        let Some(line) = self.lines[member].as_mut().filter(|line| line.connected) else { return };
        if line.out.is_empty() && !caller.turn(member, &mut line.out) {
            return self.drop_line(member, caller, false);
        }
        if flush(line).is_err() {
            self.drop_line(member, caller, true);
        }
    }

    fn drop_line(&mut self, member: usize, caller: &impl Caller, by_server: bool) {
        let Some(line) = self.lines[member].take() else { return };
        if line.connected {
            self.live -= 1;
            if by_server {
                self.got.ended += 1;
                self.got.lived += line.began.elapsed();
            }
        }
        if caller.comes_back() {
            self.waiting.insert(0, member);
        }
    }
}

fn flush(line: &mut Line) -> std::io::Result<()> {
    while !line.out.is_empty() {
        match line.stream.write(&line.out) {
            Ok(count) => drop(line.out.drain(..count)),
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Begins to connect from an address; the socket leaves nothing behind when it is closed.
pub fn dial(from: SocketAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_linger(Some(Duration::ZERO))?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&from.into())?;
    match socket.connect(&to.into()) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::WouldBlock || e.raw_os_error() == Some(115) => {}
        Err(e) => return Err(e),
    }
    Ok(TcpStream::from_std(socket.into()))
}
