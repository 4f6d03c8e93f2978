//! How connections begin: accepted from a listener, or dialled for the node.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::{Shutdown, SocketAddr};

use mio::Interest;
use mio::event::Event;
use mio::net::TcpStream;

use crate::config::ListenProtocol;
use crate::federation::Place;
use crate::hub::address::Domain;
use crate::limits;
use crate::node::io::{ConnId, DialId, Input};
use crate::server::conn::{Conn, Due, Stage};
use crate::server::poll::{Dialling, Driven, Driver, Notices, Source};
use crate::server::socket;
use crate::server::tls::Session;

/// Connections accepted from one listener in one tick: who is in already does not wait for more of them.
const ACCEPTS: usize = 16;
/// Places kept free for those who come next: when fewer are left, some who have not shown who they are must go.
const VACANT: usize = 256;
/// Rest of the accepting when there are no more descriptors: until whoever has to make room is gone.
const REST: std::time::Duration = std::time::Duration::from_millis(20);

impl<N: Driven> Driver<N> {
    /// Is there somebody to be accepted, and room for him?
    pub(super) fn can_accept(&self) -> bool {
        self.rest.is_none() && self.table.live() < self.room && self.listeners.iter().any(|l| l.ready)
    }

    /// Accepts some of those who wait, from each listener.
    pub(super) fn accept_all(&mut self) {
        if self.rest.is_some_and(|until| until <= self.now.tick) {
            self.rest = None;
        }
        let mut any = false;
        for index in 0..self.listeners.len() {
            for _ in 0..ACCEPTS {
                if !self.can_accept() {
                    break;
                }
                let Some(listener) = self.listeners.get_mut(index).filter(|l| l.ready) else { break };
                match listener.socket.accept() {
                    Ok((stream, peer)) => {
                        any = true;
                        self.accepted(index, stream, peer);
                    }
                    Err(e) if e.kind() == ErrorKind::WouldBlock => listener.ready = false,
                    Err(e) if socket::is_exhausted(&e) => {
                        self.rest = Some(self.now.tick + REST);
                        self.notice(Notices::exhausted, &format!("no new connections for now: {e}"));
                        // There are fewer than was thought: who came first is not to stay in the others' way.
                        let some = 1 + self.table.live() / 8;
                        self.end_closing(some);
                        self.crowd_out(some);
                    }
                    // The peer has gone away again, or the like: the next one.
                    Err(_) => {}
                }
            }
        }
        if any || self.table.live() >= self.room {
            self.make_room();
        }
        if self.table.live() >= self.room && self.listeners.iter().any(|l| l.ready) {
            let text = format!("no new connections for now: {} are open (see ulimit -n)", self.table.live());
            self.notice(Notices::exhausted, &text);
        }
    }

    /// Few places are left: who is on his way out goes at once, then whoever the node can do without, so that
    /// the next to come finds a place.
    fn make_room(&mut self) {
        let vacant = VACANT.min(self.room / 8);
        let over = (self.table.live() + vacant).saturating_sub(self.room);
        if over > 0 {
            let ended = self.end_closing(over);
            self.crowd_out(over - ended);
        }
    }

    /// So many of those on their way out are gone; how many there were.
    fn end_closing(&mut self, most: usize) -> usize {
        let live = self.table.live();
        let mut closing = mem::take(&mut self.closing);
        let count = most.min(closing.len());
        for id in closing.drain(..count) {
            if self.table.get_mut(id).is_some_and(|conn| conn.is_closing()) {
                self.lose(id, "closed");
            }
        }
        self.closing = closing;
        live.saturating_sub(self.table.live())
    }

    /// So many have to go, if the node can do without as many.
    fn crowd_out(&mut self, count: usize) {
        if count > 0 {
            self.node.handle(self.now, Input::Crowded { count });
            self.notice(
                Notices::crowded,
                "nearly no room for connections: all but users have to go (see ulimit -n)",
            );
        }
    }

    fn accepted(&mut self, index: usize, stream: TcpStream, peer: SocketAddr) {
        let Some(listener) = self.listeners.get(index) else { return };
        let listen = &listener.listen;
        if !listen.tls && !listen.clear && !socket::is_loopback(peer) {
            let text = format!(
                "refused a client on {}: it serves others than loopback only with tls or clear = true",
                listen.address
            );
            let _ = stream.shutdown(Shutdown::Both);
            return self.notice(Notices::clear, &text);
        }
        let local = if listen.address.ip().is_unspecified() {
            stream.local_addr().unwrap_or(listen.address)
        } else {
            listen.address
        };
        let mut conn = Conn::new(stream, if listen.tls { Stage::Handshake } else { Stage::Open });
        // Without our list of mechanisms a client can't begin; a client of SIMP has most often said something already.
        let greeted = matches!(listen.protocol, ListenProtocol::Imtp | ListenProtocol::Pitp);
        conn.fresh = !greeted;
        let awaited = greeted && !listen.tls;
        if listen.tls {
            let session = self.keys.server.as_ref().map(|keys| keys.accept(listen.protocol));
            let Some(Ok(session)) = session else { return };
            conn.tls = Some(Box::new(session));
        }
        let Some(conn) = self.register(conn) else { return };
        if self.table.get_mut(conn).is_some_and(|c| c.stage == Stage::Handshake) {
            self.deadlines.set(self.now.tick + limits::HEADER, conn, Due::Handshake);
        }
        self.node.handle(self.now, Input::Accepted { conn, listener: index, peer, local });
        // What has been said already is read at once: then one write carries our greeting and the answer.
        if !awaited && let Some(place) = self.table.get_mut(conn) {
            place.readable = true;
            self.want_read(conn);
        }
    }

    /// Gives a connection its name, and tells the kernel of it: once, for its whole life.
    fn register(&mut self, conn: Conn) -> Option<ConnId> {
        let id = self.table.insert(conn);
        let stream = &mut self.table.get_mut(id)?.stream;
        let both = Interest::READABLE | Interest::WRITABLE;
        if self.poll.registry().register(stream, Source::Conn(id).token(), both).is_err() {
            self.table.remove(id);
            self.table.release(id);
            return None;
        }
        Some(id)
    }

    /// Begins to connect.
    pub(super) fn dial(&mut self, dial: DialId, place: Place, domain: Domain) {
        let from = socket::source(&self.addresses, place.address);
        let stream = match socket::dial(place.address, from) {
            Ok(stream) => stream,
            Err(e) => return self.failed.push((dial, e.to_string())),
        };
        let Some(id) = self.register(Conn::new(stream, Stage::Dialling)) else {
            return self.failed.push((dial, "no more sockets".to_owned()));
        };
        let tls = place.tls.then_some((domain, place.protocol));
        self.dials.insert(id.slot, Dialling { dial, tls });
        self.deadlines.set(self.now.tick + limits::DIAL, id, Due::Dial);
    }

    /// Takes in what the kernel says of a connection.
    pub(super) fn conn_event(&mut self, id: ConnId, event: &Event) {
        let Some(conn) = self.table.get_mut(id) else { return };
        conn.hung_up |= event.is_read_closed() || event.is_error();
        conn.readable |= event.is_readable() || conn.hung_up;
        if conn.stage == Stage::Dialling {
            return self.dial_event(id);
        }
        if event.is_error() && (conn.paused || conn.ended) || event.is_write_closed() && conn.ended {
            return self.lose(id, "reset by the peer");
        }
        if event.is_writable() && conn.blocked {
            conn.blocked = false;
            self.writes.push(id);
        }
        self.want_read(id);
    }

    /// Has the connect succeeded, failed, or neither yet?
    fn dial_event(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else { return };
        match connected(&conn.stream) {
            Ok(false) => {}
            Ok(true) => self.dialled(id),
            Err(e) => self.lose(id, &e.to_string()),
        }
    }

    fn dialled(&mut self, id: ConnId) {
        let Some(Dialling { dial, tls }) = self.dials.get(&id.slot) else { return };
        let Some(conn) = self.table.get_mut(id) else { return };
        let Some((domain, protocol)) = tls else {
            conn.stage = Stage::Open;
            let dial = *dial;
            self.dials.remove(&id.slot);
            self.node.handle(self.now, Input::Connected { dial, conn: id });
            return self.want_read(id);
        };
        match Session::connect(self.keys.client.clone(), domain, *protocol) {
            Ok(session) => {
                conn.tls = Some(Box::new(session));
                conn.stage = Stage::Handshake;
                // The first flight.
                self.decipher(id, 0);
                self.want_read(id);
            }
            Err(e) => self.lose(id, &e.to_string()),
        }
    }
}

fn connected(stream: &TcpStream) -> io::Result<bool> {
    if let Some(error) = stream.take_error()? {
        return Err(error);
    }
    match stream.peer_addr() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotConnected => Ok(false),
        Err(e) => Err(e),
    }
}
