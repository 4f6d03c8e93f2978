//! How octets leave: from the node's queues to the sockets, through TLS where there is TLS; and how
//! TLS's own octets come and go.

use std::mem;
use std::net::Shutdown;
use std::time::Duration;

use crate::clock::{Now, Tick};
use crate::limits;
use crate::node::io::{ConnId, Input};
use crate::server::conn::{Conn, Due, Stage};
use crate::server::poll::{Driven, Driver};
use crate::server::socket;
use crate::server::tls::Event;

/// Ciphered octets that may wait for a socket: what one piece makes, and the peer's provoked answers.
const CIPHERED: usize = 256 * 1024;

/// How long our first octets on an accepted connection wait for more. A client that speaks first gets
/// our stream's opening and the first answer at one go; one that waits for us does not notice.
const HOLD: Duration = Duration::from_millis(5);

/// An accepted connection on which we have said nothing yet.
#[derive(Debug)]
pub(super) struct Held {
    id: ConnId,
    /// Octets that wait.
    size: usize,
    /// When they go, if no more come.
    pub until: Tick,
}

impl<N: Driven> Driver<N> {
    /// The node has octets for a connection: they go in this tick, or are held.
    pub(super) fn want_write(&mut self, id: ConnId) {
        match self.table.get_mut(id) {
            Some(conn) if conn.fresh => {
                conn.fresh = false;
                let (size, until) = (self.node.unsent(id).len(), self.now.tick + HOLD);
                self.held.push(Held { id, size, until });
            }
            _ => self.writes.push(id),
        }
    }

    /// Lets those go whose octets have become more, or have waited enough.
    pub(super) fn release_held(&mut self) {
        let Driver { held, writes, node, now, .. } = self;
        held.retain(|held| {
            let waits = now.tick < held.until && node.unsent(held.id).len() == held.size;
            if !waits {
                writes.push(held.id);
            }
            waits
        });
    }

    /// Writes every connection on the list.
    pub(super) fn write_all(&mut self) {
        let mut writes = mem::take(&mut self.writes);
        for id in writes.drain(..) {
            self.write_one(id);
        }
        if self.writes.is_empty() {
            // The room is used again.
            self.writes = writes;
        }
    }

    /// Writes all that the node has for a connection, with one call; what the socket does not take
    /// waits until it is writable.
    fn write_one(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else { return };
        if conn.blocked || matches!(conn.stage, Stage::Dialling | Stage::Lingering) {
            return;
        }
        if conn.tls.is_some() {
            return self.write_ciphered(id);
        }
        let data = self.node.unsent(id);
        if !data.is_empty() {
            let offered = data.len();
            let flags = if conn.stage == Stage::Flushing { socket::LAST } else { 0 };
            match socket::send(&conn.stream, data, flags) {
                Ok(count) => {
                    conn.blocked = count < offered;
                    if count > 0 {
                        conn.progress = seconds(self.now);
                        self.node.sent(self.now, id, count);
                    }
                }
                Err(why) => return self.lose(id, &why.to_string()),
            }
        }
        self.after_write(id);
    }

    /// As [`Driver::write_one`], a few records at a time.
    fn write_ciphered(&mut self, id: ConnId) {
        if !self.flush_ciphered(id) {
            return;
        }
        loop {
            let Some(conn) = self.table.get_mut(id) else { return };
            if conn.blocked || conn.stage == Stage::Handshake {
                break;
            }
            let Some(session) = conn.tls.as_mut() else { return };
            let data = self.node.unsent(id);
            if data.is_empty() {
                break;
            }
            self.cipher.clear();
            match session.cipher(data, &mut self.cipher) {
                Ok(0) => return self.lose(id, "TLS takes no more"),
                Ok(count) => self.node.sent(self.now, id, count),
                Err(e) => return self.lose(id, &e.to_string()),
            }
            if !self.put_ciphered(id) {
                return;
            }
        }
        self.after_write(id);
    }

    /// Watches a socket that took too little; goes on with the end of one that took everything.
    fn after_write(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else { return };
        if !conn.blocked {
            if conn.stage == Stage::Flushing && self.node.unsent(id).is_empty() {
                self.finish(id);
            }
            return;
        }
        if !conn.watched {
            conn.watched = true;
            conn.progress = seconds(self.now);
            self.deadlines.set(self.now.tick + limits::STALLED, id, Due::Stalled);
        }
    }

    /// Cuts a connection whose peer has taken nothing for long.
    pub(super) fn check_progress(&mut self, id: ConnId) {
        let now = seconds(self.now);
        let Some(conn) = self.table.get_mut(id) else { return };
        let since = u64::from(now.saturating_sub(conn.progress));
        if !conn.blocked {
            conn.watched = false;
        } else if since >= limits::STALLED.as_secs() {
            self.lose(id, "the peer takes nothing");
        } else {
            let left = Duration::from_secs(limits::STALLED.as_secs() - since);
            self.deadlines.set(self.now.tick + left, id, Due::Stalled);
        }
    }

    /// All is written: say so to the peer, and wait for his end unless it has come.
    fn finish(&mut self, id: ConnId) {
        let Some(conn) = self.table.get_mut(id) else { return };
        if let Some(session) = &mut conn.tls {
            self.cipher.clear();
            if session.close(&mut self.cipher).is_err() {
                return self.lose(id, "closed");
            }
            if !self.put_ciphered(id) {
                return;
            }
        }
        let Some(conn) = self.table.get_mut(id) else { return };
        if conn.blocked {
            return;
        }
        if conn.ended || conn.stream.shutdown(Shutdown::Write).is_err() {
            return self.lose(id, "closed");
        }
        conn.stage = Stage::Lingering;
        self.want_read(id);
    }

    /// Deciphers what was read into the buffer and feeds it to the node; writes what TLS wants said.
    pub(super) fn decipher(&mut self, id: ConnId, count: usize) {
        let Driver { table, node, buffer, cipher, keys, dials, now, .. } = self;
        let Some(conn) = table.get_mut(id) else { return };
        let Conn { tls: Some(session), stage, .. } = conn else { return };
        cipher.clear();
        let data = buffer.get_mut(..count).unwrap_or_default();
        let mut sink = |event: Event<'_>| match event {
            Event::Secured(tls) => {
                *stage = Stage::Open;
                match dials.remove(&id.slot) {
                    Some(dialling) => {
                        node.handle(*now, Input::Connected { dial: dialling.dial, conn: id });
                    }
                    None => node.handle(*now, Input::Secured { conn: id, tls }),
                }
            }
            Event::Data(data) => node.handle(*now, Input::Bytes { conn: id, data }),
            Event::HalfClosed => node.handle(*now, Input::HalfClosed { conn: id }),
        };
        let result = session.receive(data, cipher, &keys.trust, &mut sink);
        let alive = self.put_ciphered(id);
        if let (true, Err(e)) = (alive, result) {
            log::debug!("a TLS connection failed: {e}");
            self.lose(id, &format!("TLS: {e}"));
        }
    }

    /// Writes what is in the cipher buffer, behind what already waits. False: the connection is lost.
    fn put_ciphered(&mut self, id: ConnId) -> bool {
        let Some(Conn { stream, tls: Some(session), blocked, progress, .. }) = self.table.get_mut(id) else {
            return false;
        };
        let data = self.cipher.filled();
        let mut taken = 0;
        if session.unsent.is_empty() && !data.is_empty() {
            match socket::send(stream, data, 0) {
                Ok(count) => taken = count,
                Err(why) => {
                    self.lose(id, &why.to_string());
                    return false;
                }
            }
            *progress = seconds(self.now);
        }
        let rest = data.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            *blocked = true;
            session.unsent.extend_from_slice(rest);
            if session.unsent.len() > CIPHERED {
                self.lose(id, "the peer takes nothing");
                return false;
            }
            self.after_write(id);
        }
        true
    }

    /// Writes ciphered octets that an earlier write left. False: the connection is lost.
    fn flush_ciphered(&mut self, id: ConnId) -> bool {
        let Some(Conn { stream, tls: Some(session), blocked, progress, .. }) = self.table.get_mut(id) else {
            return false;
        };
        if session.unsent.is_empty() {
            return true;
        }
        match socket::send(stream, &session.unsent, 0) {
            Ok(count) => {
                if count > 0 {
                    *progress = seconds(self.now);
                }
                if count == session.unsent.len() {
                    session.unsent = Vec::new();
                } else {
                    session.unsent.drain(..count);
                    *blocked = true;
                }
                true
            }
            Err(why) => {
                self.lose(id, &why.to_string());
                false
            }
        }
    }
}

/// Seconds of the tick clock: enough for watching progress.
fn seconds(now: Now) -> u32 {
    (now.tick.millis() / 1000) as u32
}
