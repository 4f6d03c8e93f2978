//! The control socket: how the command line talks to a running server.
//!
//! A Unix socket in the data directory that only the server's own user can open. A line holds one
//! [`AdminRequest`] as JSON, a line holds its [`AdminReply`]; one request of a client is under way at a
//! time. The server's end lives on the loop like any other connection; [`ask`] is the client's end.

use std::fmt;
use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use zeroize::Zeroizing;

use crate::admin::{AdminReply, AdminRequest, Lines};
use crate::clock::Tick;
use crate::node::io::ControlId;

/// The socket's name in the data directory.
pub const SOCKET: &str = "control.sock";
/// Clients at once.
const CLIENTS: usize = 32;
/// A client that asks nothing for so long is sent away.
const IDLE: Duration = Duration::from_secs(60);
/// From a failure to take somebody in to the next try.
const RETRY: Duration = Duration::from_secs(1);
/// How long [`ask`] waits: longer than a test of a peer takes, by DNS and over all its addresses.
const PATIENCE: Duration = Duration::from_secs(60);

/// The server's end.
#[derive(Debug)]
pub(super) struct Control {
    listener: UnixListener,
    path: PathBuf,
    clients: Slab<Client>,
    serial: u32,
    /// Somebody could not be taken in, for want of descriptors: try again then.
    again: Option<Tick>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    serial: u32,
    input: Lines,
    output: Vec<u8>,
    readable: bool,
    ended: bool,
    waiting: bool,
    active: Tick,
}

impl Control {
    /// Makes the socket, in place of one that a dead server left; the caller holds the lock on the data
    /// directory. It is born where nobody else can reach it and moved into place with its mode set.
    ///
    /// # Errors
    /// The operating system's; a path too long for a Unix socket is one.
    pub(super) fn open(data_dir: &Path) -> io::Result<Control> {
        let nursery = data_dir.join(".ctl");
        let born = nursery.join("s");
        let path = data_dir.join(SOCKET);
        let _ = fs::remove_file(&born);
        let _ = fs::remove_dir(&nursery);
        fs::DirBuilder::new().mode(0o700).create(&nursery)?;
        let made = StdListener::bind(&born).and_then(|listener| {
            fs::set_permissions(&born, fs::Permissions::from_mode(0o600))?;
            fs::rename(&born, &path)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        let _ = fs::remove_file(&born);
        let _ = fs::remove_dir(&nursery);
        let listener = UnixListener::from_std(made?);
        Ok(Control { listener, path, clients: Slab::new(), serial: 0, again: None })
    }

    /// Tells the loop of the listener.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        registry.register(&mut self.listener, token, Interest::READABLE)
    }

    /// Takes in those who wait; `token` names a client by its index.
    pub(super) fn accept(&mut self, registry: &Registry, now: Tick, token: impl Fn(u32) -> Token) {
        self.again = None;
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(_) => return self.again = Some(now + RETRY),
            };
            if self.clients.len() >= CLIENTS && !self.make_room() {
                let reply = AdminReply::Failed("too many commands at once: try again".to_owned());
                let _ = stream.write(&line(&reply));
                continue;
            }
            let entry = self.clients.vacant_entry();
            let both = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, token(entry.key() as u32), both).is_err() {
                continue;
            }
            self.serial = self.serial.wrapping_add(1);
            entry.insert(Client {
                stream,
                serial: self.serial,
                input: Lines::default(),
                output: Vec::new(),
                readable: false,
                ended: false,
                waiting: false,
                active: now,
            });
        }
    }

    /// Sends the client away who has asked nothing for the longest time. False: all wait for an answer.
    fn make_room(&mut self) -> bool {
        let idle = self.clients.iter().filter(|(_, client)| !client.waiting);
        let oldest = idle.min_by_key(|(_, client)| (client.active, client.serial)).map(|(index, _)| index);
        oldest.and_then(|index| self.clients.try_remove(index)).is_some()
    }

    /// The socket of a client can be read or written again.
    pub(super) fn event(&mut self, index: u32) {
        if let Some(client) = self.clients.get_mut(index as usize) {
            client.readable = true;
        }
    }

    /// Reads each client that has something to say, once, and hands on whole requests.
    /// True if there is more to be done at once.
    pub(super) fn serve(
        &mut self,
        buffer: &mut [u8],
        now: Tick,
        mut sink: impl FnMut(ControlId, AdminRequest),
    ) -> bool {
        let mut more = false;
        let mut done = Vec::new();
        for (index, client) in &mut self.clients {
            let id = ControlId(u64::from(client.serial) << 32 | index as u64);
            let alive = client.read(buffer, now);
            if let Some(request) = client.next_request() {
                sink(id, request);
            }
            let idle = !client.waiting && now.since(client.active) >= IDLE;
            if !alive || idle || !client.flush() || client.is_done() {
                done.push(index);
            } else {
                more |= client.has_more();
            }
        }
        for index in done {
            self.clients.remove(index);
        }
        more
    }

    /// When an idle client's time is up, or somebody is to be taken in at last.
    pub(super) fn next_wake(&self) -> Option<Tick> {
        let idle = self.clients.iter().filter(|(_, c)| !c.waiting).map(|(_, c)| c.active + IDLE).min();
        idle.into_iter().chain(self.again).min()
    }

    /// Is it time to try [`Control::accept`] again?
    pub(super) fn wants_accept(&self, now: Tick) -> bool {
        self.again.is_some_and(|at| at <= now)
    }

    /// Answers a request; a client that has gone away misses it. True if there is more to be done at once.
    pub(super) fn reply(&mut self, id: ControlId, reply: &AdminReply) -> bool {
        let index = (id.0 & u64::from(u32::MAX)) as usize;
        let Some(client) = self.clients.get_mut(index) else { return false };
        if u64::from(client.serial) != id.0 >> 32 {
            return false;
        }
        client.waiting = false;
        client.output.extend_from_slice(&line(reply));
        if !client.flush() || client.is_done() {
            self.clients.remove(index);
            return false;
        }
        client.has_more()
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl Client {
    /// One read, if there is something to read and nothing under way. False: the client is gone.
    fn read(&mut self, buffer: &mut [u8], now: Tick) -> bool {
        if !self.readable || self.ended || self.waiting {
            return true;
        }
        match self.stream.read(buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.active = now;
                let read = buffer.get_mut(..count).unwrap_or_default();
                self.input.receive(read);
                // The loop's buffer lives as long as the server.
                read.fill(0);
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => self.readable = false,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
        }
        true
    }

    /// The next whole line, if none is under way; what is no request is answered here.
    fn next_request(&mut self) -> Option<AdminRequest> {
        while !self.waiting {
            match self.input.next_request()? {
                Ok(request) => {
                    self.waiting = true;
                    return Some(request);
                }
                Err(why) => self.refuse(&why),
            }
            self.ended |= self.input.is_spoilt();
        }
        None
    }

    fn refuse(&mut self, why: &str) {
        self.output.extend_from_slice(&line(&AdminReply::Failed(why.to_owned())));
    }

    /// Writes what the socket takes. False: the client is gone.
    fn flush(&mut self) -> bool {
        if self.output.is_empty() {
            return true;
        }
        match self.stream.write(&self.output) {
            Ok(count) => {
                self.output.drain(..count);
                true
            }
            Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        }
    }

    fn is_done(&self) -> bool {
        self.ended && !self.waiting && self.output.is_empty() && !self.input.has_more()
    }

    fn has_more(&self) -> bool {
        !self.waiting && (self.readable && !self.ended || self.input.has_more())
    }
}

fn line(reply: &AdminReply) -> Vec<u8> {
    let mut text = serde_json::to_vec(reply).unwrap_or_else(|_| b"{\"failed\":\"no words for it\"}".to_vec());
    text.push(b'\n');
    text
}

/// Why a running server gave no answer.
#[derive(Debug)]
pub enum AskError {
    /// No server runs on this data directory.
    NotRunning,
    /// It could not be asked, or gave no answer that we understand.
    Failed(io::Error),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AskError::NotRunning => f.write_str("no server is running on this data directory"),
            AskError::Failed(e) if e.kind() == ErrorKind::PermissionDenied => {
                f.write_str("the server's control socket is not yours: run the command as the server's user")
            }
            AskError::Failed(e) => write!(f, "the running server could not be asked: {e}"),
        }
    }
}

impl std::error::Error for AskError {}

/// Asks the server that runs on this data directory. Blocks until it has answered, at most a minute.
///
/// # Errors
/// [`AskError::NotRunning`] if there is none; otherwise what went wrong.
pub fn ask(data_dir: &Path, request: &AdminRequest) -> Result<AdminReply, AskError> {
    let stream = StdStream::connect(data_dir.join(SOCKET)).map_err(|e| match e.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AskError::NotRunning,
        _ => AskError::Failed(e),
    })?;
    exchange(&stream, request).map_err(|e| match e.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            AskError::Failed(io::Error::new(ErrorKind::TimedOut, "no answer within a minute"))
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            AskError::Failed(io::Error::new(e.kind(), "it ended before it answered"))
        }
        _ => AskError::Failed(e),
    })
}

fn exchange(mut stream: &StdStream, request: &AdminRequest) -> io::Result<AdminReply> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut text = Zeroizing::new(serde_json::to_vec(request)?);
    text.push(b'\n');
    stream.write_all(&text)?;
    let mut answer = Vec::new();
    BufReader::new(stream).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&answer)?)
}
