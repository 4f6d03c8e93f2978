//! The generator: pairs of connections that keep a fixed number of messages under way.
//!
//! In each pair a sender issues messages, the other side answers each, and the answer's arrival at
//! the sender completes the operation and starts the next one. One thread, one mio loop, texts made
//! beforehand: the generator must cost less than what it measures, since it has one core as well.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use mio::event::Source;
use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};

use super::Failure;

/// The longest silence before a run is given up.
pub const PATIENCE: Duration = Duration::from_secs(20);
const BUFFER: usize = 256 * 1024;

/// What completed replies a piece of input held.
#[derive(Default)]
pub struct Replies {
    /// Octets that are dealt with; the rest is an incomplete reply.
    pub used: usize,
    /// Operations that succeeded.
    pub done: u64,
    /// Operations that were refused.
    pub failed: u64,
}

/// How messages, answers and replies look.
pub trait Wire {
    /// Appends message number `id` of a pair.
    fn message(&self, pair: usize, id: u64, out: &mut Vec<u8>);
    /// Appends an answer for each complete message in `input`; tells how many octets those were.
    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize;
    /// Counts the complete replies in `input`.
    fn replies(&self, input: &[u8]) -> Replies;
}

/// Messages that begin in one protocol and arrive in another.
pub struct Crossing<A, B> {
    /// How senders speak.
    pub from: A,
    /// How recipients do.
    pub to: B,
}

impl<A: Wire, B: Wire> Wire for Crossing<A, B> {
    fn message(&self, pair: usize, id: u64, out: &mut Vec<u8>) {
        self.from.message(pair, id, out);
    }

    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize {
        self.to.answer(input, out)
    }

    fn replies(&self, input: &[u8]) -> Replies {
        self.from.replies(input)
    }
}

impl Wire for Box<dyn Wire> {
    fn message(&self, pair: usize, id: u64, out: &mut Vec<u8>) {
        (**self).message(pair, id, out);
    }

    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize {
        (**self).answer(input, out)
    }

    fn replies(&self, input: &[u8]) -> Replies {
        (**self).replies(input)
    }
}

enum Socket {
    Stream(TcpStream),
    /// Each message is a datagram: so many octets at the start of what waits to be written.
    Datagrams(UdpSocket, fn(&[u8]) -> usize),
}

impl Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Stream(stream) => stream.read(buffer),
            Socket::Datagrams(socket, _) => socket.recv(buffer),
        }
    }

    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Stream(stream) => stream.write(octets),
            Socket::Datagrams(socket, first) => socket.send(&octets[..first(octets)]),
        }
    }

    /// Does input that leaves room in the buffer mean that there is no more?
    fn is_drained(&self, count: usize, buffer: &[u8]) -> bool {
        matches!(self, Socket::Stream(_)) && count < buffer.len()
    }
}

/// A non-blocking connection with what is left over from its last read and its last write.
pub struct Conn {
    socket: Socket,
    tail: Vec<u8>,
    /// What waits to be written.
    pub out: Vec<u8>,
}

impl Conn {
    /// Takes over a connection, and what has been read from it beyond the login.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn new(stream: std::net::TcpStream, tail: Vec<u8>) -> Result<Conn, Failure> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Conn { socket: Socket::Stream(TcpStream::from_std(stream)), tail, out: Vec::new() })
    }

    /// Takes over a connected socket for datagrams. `first` tells how many octets are the first message of many.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn datagrams(socket: std::net::UdpSocket, first: fn(&[u8]) -> usize) -> Result<Conn, Failure> {
        socket.set_nonblocking(true)?;
        let socket = Socket::Datagrams(UdpSocket::from_std(socket), first);
        Ok(Conn { socket, tail: Vec::new(), out: Vec::new() })
    }

    /// Puts it under the poll's watch.
    ///
    /// # Errors
    /// Whatever the system says.
    pub fn register(&mut self, poll: &Poll, token: usize) -> io::Result<()> {
        let source: &mut dyn Source = match &mut self.socket {
            Socket::Stream(stream) => stream,
            Socket::Datagrams(socket, _) => socket,
        };
        poll.registry().register(source, Token(token), Interest::READABLE | Interest::WRITABLE)
    }

    /// Reads what there is and gives it to `take`, which says how much of it is used.
    ///
    /// # Errors
    /// If the connection has failed or was closed.
    pub fn read(
        &mut self,
        buffer: &mut [u8],
        mut take: impl FnMut(&[u8], &mut Vec<u8>) -> usize,
    ) -> Result<(), Failure> {
        loop {
            let count = match self.socket.read(buffer) {
                Ok(0) => return Err(Failure("the server closed a connection".into())),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            let input = &buffer[..count];
            if self.tail.is_empty() {
                let used = take(input, &mut self.out);
                self.tail.extend_from_slice(&input[used..]);
            } else {
                self.tail.extend_from_slice(input);
                let used = take(&self.tail, &mut self.out);
                self.tail.drain(..used);
            }
            if self.socket.is_drained(count, buffer) {
                return Ok(());
            }
        }
    }

    /// Writes what waits, as far as the socket takes it.
    ///
    /// # Errors
    /// If the connection has failed.
    pub fn flush(&mut self) -> Result<(), Failure> {
        while !self.out.is_empty() {
            match self.socket.write(&self.out) {
                Ok(count) if count == self.out.len() => self.out.clear(),
                Ok(count) => drop(self.out.drain(..count)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }
}

/// All pairs of one server.
pub struct Load<W> {
    wire: W,
    poll: Poll,
    events: Events,
    /// Senders at even places, the ones who answer at odd ones.
    conns: Vec<Conn>,
    /// Of each pair.
    next_ids: Vec<u64>,
    buffer: Vec<u8>,
}

impl<W: Wire> Load<W> {
    /// From connected pairs: sender first.
    ///
    /// # Errors
    /// Whatever the sockets say.
    pub fn new(wire: W, pairs: Vec<(Conn, Conn)>) -> Result<Load<W>, Failure> {
        let poll = Poll::new()?;
        let mut conns: Vec<Conn> = Vec::with_capacity(2 * pairs.len());
        let next_ids = vec![1; pairs.len()];
        for (sender, receiver) in pairs {
            conns.extend([sender, receiver]);
        }
        for (index, conn) in conns.iter_mut().enumerate() {
            conn.register(&poll, index)?;
        }
        Ok(Load { wire, poll, events: Events::with_capacity(1024), conns, next_ids, buffer: vec![0; BUFFER] })
    }

    /// How many pairs there are.
    pub fn pairs(&self) -> usize {
        self.next_ids.len()
    }

    /// Makes `operations` of them, `window` under way in each pair. With `latencies` given, every
    /// operation's time from writing to reply is added there (meant for a window of one).
    ///
    /// # Errors
    /// If the server closes a connection, refuses a message, or stops answering.
    pub fn run(
        &mut self,
        operations: u64,
        window: u64,
        mut latencies: Option<&mut Vec<Duration>>,
    ) -> Result<(), Failure> {
        let (mut issued, mut done) = (0, 0);
        let mut sent_at = Vec::with_capacity(self.pairs());
        for pair in 0..self.pairs() {
            let count = window.min(operations - issued);
            sent_at.push(Instant::now());
            self.issue(pair, count)?;
            issued += count;
        }
        let mut last = Instant::now();
        while done < operations {
            if last.elapsed() > PATIENCE {
                return Err(Failure(format!("no answer any more after {done} of {operations} operations")));
            }
            let before = done;
            self.turn(PATIENCE, |pair, completed| {
                done += completed;
                if let Some(latencies) = &mut latencies {
                    let now = Instant::now();
                    latencies.push(now - sent_at[pair]);
                    sent_at[pair] = now;
                }
                let more = completed.min(operations - issued);
                issued += more;
                more
            })?;
            if done > before {
                last = Instant::now();
            }
        }
        Ok(())
    }

    /// Waits so long for input and deals with what has come: messages are answered, and `completed` is told of each
    /// pair and how many of its operations have been; it says how many are to be started instead.
    ///
    /// # Errors
    /// If the server closes a connection, or refuses a message.
    pub fn turn(
        &mut self,
        wait: Duration,
        mut completed: impl FnMut(usize, u64) -> u64,
    ) -> Result<(), Failure> {
        self.poll.poll(&mut self.events, Some(wait))?;
        for event in &self.events {
            let index = event.token().0;
            let (conn, wire) = (&mut self.conns[index], &self.wire);
            if index % 2 == 1 {
                conn.read(&mut self.buffer, |input, out| wire.answer(input, out))?;
                conn.flush()?;
                continue;
            }
            let (mut done, mut failed) = (0, 0);
            conn.read(&mut self.buffer, |input, _| {
                let replies = wire.replies(input);
                done += replies.done;
                failed += replies.failed;
                replies.used
            })?;
            if failed > 0 {
                return Err(Failure(format!("{failed} operations were refused")));
            }
            if done > 0 {
                let next_id = &mut self.next_ids[index / 2];
                for _ in 0..completed(index / 2, done) {
                    wire.message(index / 2, *next_id, &mut conn.out);
                    *next_id += 1;
                }
            }
            conn.flush()?;
        }
        Ok(())
    }

    /// Starts `count` operations of a pair.
    ///
    /// # Errors
    /// If the connection has failed.
    pub fn issue(&mut self, pair: usize, count: u64) -> Result<(), Failure> {
        let (conn, next_id) = (&mut self.conns[2 * pair], &mut self.next_ids[pair]);
        for _ in 0..count {
            self.wire.message(pair, *next_id, &mut conn.out);
            *next_id += 1;
        }
        conn.flush()
    }
}
