//! One TLS connection, without its socket: ciphered octets in, events out, and the other way.
//!
//! Built on rustls' unbuffered interface: octets are deciphered in the loop's own read buffer and
//! ciphered into its write buffer, so that an idle session owns no buffers. What a session does keep
//! is an unfinished record, and ciphered octets that a slow socket did not take.

use std::fmt;
use std::mem;
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus, WriteTraffic};
use rustls::{ClientConfig, CommonState, ServerConfig};
use zeroize::{Zeroize, Zeroizing};

use crate::federation::Protocol;
use crate::hub::address::Domain;
use crate::node::io::{Alpn, TlsPeer};
use crate::server::keys::{ALPN, Trust};

/// Clear octets ciphered at one go: four records of the largest size.
const PIECE: usize = 64 * 1024;
/// More than any record adds to what it carries.
const RECORD_OVERHEAD: usize = 64;
/// The largest record with its header; more octets than this can't be an unfinished one.
const RECORD: usize = 16 * 1024;

/// What comes out of a session.
#[derive(Debug)]
pub(super) enum Event<'a> {
    /// The handshake is done.
    Secured(TlsPeer),
    /// Deciphered octets.
    Data(&'a [u8]),
    /// The peer will send no more.
    HalfClosed,
}

/// A TLS connection.
pub(super) struct Session {
    side: Side,
    /// Ciphered octets that don't yet make a record.
    partial: Vec<u8>,
    /// Ciphered octets that the socket has not taken yet.
    pub(super) unsent: Vec<u8>,
    /// What the certificate that we show binds to, until the handshake is done.
    end_point: Option<Arc<[u8]>>,
    secured: bool,
    /// The peer has said that no more comes: what still does is not looked at.
    ended: bool,
    /// So have we: nothing is looked at any more, since rustls may not be made to complain after that.
    closed: bool,
}

enum Side {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("secured", &self.secured).finish_non_exhaustive()
    }
}

/// Where ciphered octets are put together for one write; the loop owns one.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    buffer: Vec<u8>,
    filled: usize,
}

impl Outgoing {
    /// What is there.
    pub(super) fn filled(&self) -> &[u8] {
        self.buffer.get(..self.filled).unwrap_or_default()
    }

    /// Forgets it; the room stays.
    pub(super) fn clear(&mut self) {
        self.filled = 0;
    }

    /// Room for at least `size` more octets.
    fn room(&mut self, size: usize) -> &mut [u8] {
        if self.buffer.len() - self.filled < size {
            self.buffer.resize(self.filled + size, 0);
        }
        self.buffer.get_mut(self.filled..).unwrap_or_default()
    }
}

/// What a session wants after a step.
enum Step {
    /// Another step.
    Again,
    /// More octets from the peer.
    Wait,
    /// It has given its last.
    Over,
}

impl Session {
    /// The server's end; `end_point` is that of the configuration's certificate.
    ///
    /// # Errors
    /// rustls' own, if the configuration is no good.
    pub(super) fn accept(
        config: Arc<ServerConfig>,
        end_point: Option<Arc<[u8]>>,
    ) -> Result<Session, rustls::Error> {
        let side = Side::Server(UnbufferedServerConnection::new(config)?);
        Ok(Session { end_point, ..Session::new(side) })
    }

    /// The client's end: the peer's certificate must name `domain`, and he is told what is to be spoken.
    ///
    /// # Errors
    /// rustls' own, if the domain is no name for a certificate.
    pub(super) fn connect(
        config: Arc<ClientConfig>,
        domain: &Domain,
        protocol: Protocol,
    ) -> Result<Session, rustls::Error> {
        let name = ServerName::try_from(domain.as_str().to_owned())
            .map_err(|_| rustls::Error::General("no name for a certificate".to_owned()))?;
        let alpn = ALPN.iter().filter(|(alpn, _)| *alpn == protocol.into()).map(|(_, name)| name.to_vec());
        let side = UnbufferedClientConnection::new_with_alpn(config, name, alpn.collect())?;
        Ok(Session::new(Side::Client(side)))
    }

    fn new(side: Side) -> Session {
        Session {
            side,
            partial: Vec::new(),
            unsent: Vec::new(),
            end_point: None,
            secured: false,
            ended: false,
            closed: false,
        }
    }

    /// Has the peer said that no more comes?
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Octets of an unfinished record that it keeps.
    pub(super) fn held(&self) -> usize {
        self.partial.len()
    }

    /// Takes in what was read, which may be nothing; deciphers in place. `out` gets what must be written.
    ///
    /// # Errors
    /// The peer broke TLS, or was not believed; `out` may still hold an alert for him.
    pub(super) fn receive(
        &mut self,
        data: &mut [u8],
        out: &mut Outgoing,
        trust: &Trust,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<(), rustls::Error> {
        if self.ended || self.closed {
            return Ok(());
        }
        if self.partial.is_empty() {
            let used = self.process(data, out, trust, sink)?;
            self.partial.extend_from_slice(data.get(used..).unwrap_or_default());
            return self.check_flight();
        }
        let mut waiting = mem::take(&mut self.partial);
        waiting.extend_from_slice(data);
        let used = self.process(&mut waiting, out, trust, sink);
        // What is clear by now may have been a password.
        let clear = *used.as_ref().unwrap_or(&waiting.len());
        waiting.get_mut(..clear).unwrap_or_default().zeroize();
        let used = used?;
        if used < waiting.len() {
            waiting.drain(..used);
            waiting.shrink_to(RECORD);
            self.partial = waiting;
        }
        self.check_flight()
    }

    /// Of a stranger no more is kept than a handshake takes.
    fn check_flight(&self) -> Result<(), rustls::Error> {
        if !self.secured && self.partial.len() > RECORD {
            return Err(rustls::Error::General("a handshake without end".to_owned()));
        }
        Ok(())
    }

    /// Steps until more is needed; says how many octets are used up.
    fn process(
        &mut self,
        data: &mut [u8],
        out: &mut Outgoing,
        trust: &Trust,
        sink: &mut dyn FnMut(Event<'_>),
    ) -> Result<usize, rustls::Error> {
        let mut used = 0;
        // Octets that came in one go with the end of the handshake: they are news after `Secured`.
        let mut early = Zeroizing::new(Vec::new());
        loop {
            let rest = data.get_mut(used..).unwrap_or_default();
            let (secured, ended) = (self.secured, &mut self.ended);
            let mut take = |event: Event<'_>| match event {
                Event::Data(octets) if !secured => early.extend_from_slice(octets),
                event => {
                    *ended |= matches!(event, Event::HalfClosed);
                    sink(event);
                }
            };
            let (discard, step) = match &mut self.side {
                Side::Server(conn) => advance(conn.process_tls_records(rest), out, &mut take),
                Side::Client(conn) => advance(conn.process_tls_records(rest), out, &mut take),
            };
            used += discard;
            let step = match step {
                Ok(step) => step,
                Err(error) => {
                    self.collect_alert(data.get_mut(used..).unwrap_or_default(), out);
                    return Err(error);
                }
            };
            if !self.secured && !self.state().is_handshaking() {
                self.secured = true;
                let peer = self.peer(trust);
                sink(Event::Secured(peer));
                if !early.is_empty() {
                    sink(Event::Data(&early));
                    early = Zeroizing::default();
                }
            }
            match step {
                Step::Again => {}
                Step::Wait if !self.ended => return Ok(used),
                Step::Wait | Step::Over => return Ok(data.len()),
            }
        }
    }

    /// After an error: what rustls would tell the peer, up to the alert; it must not be asked further
    /// after that. It gets the same octets again, since it may hold positions in them.
    fn collect_alert(&mut self, mut rest: &mut [u8], out: &mut Outgoing) {
        for _ in 0..8 {
            let mut ignore = |_: Event<'_>| ();
            let before = out.filled().len();
            let (discard, step) = match &mut self.side {
                Side::Server(conn) => advance(conn.process_tls_records(rest), out, &mut ignore),
                Side::Client(conn) => advance(conn.process_tls_records(rest), out, &mut ignore),
            };
            let said = out.filled().get(before..).is_some_and(is_alert);
            if said || !matches!(step, Ok(Step::Again)) {
                return;
            }
            rest = rest.get_mut(discard..).unwrap_or_default();
        }
    }

    fn state(&self) -> &CommonState {
        match &self.side {
            Side::Server(conn) => conn,
            Side::Client(conn) => conn,
        }
    }

    fn peer(&mut self, trust: &Trust) -> TlsPeer {
        let end_point = self.end_point.take();
        let state = self.state();
        let chosen = ALPN.iter().find(|(_, name)| state.alpn_protocol() == Some(name));
        let names = state.peer_certificates().map(|chain| trust.names(chain, UnixTime::now()));
        TlsPeer {
            alpn: chosen.map_or(Alpn::None, |(alpn, _)| *alpn),
            names: names.unwrap_or_default(),
            end_point,
        }
    }

    /// Ciphers the first octets of `clear` and says how many. Only after the handshake.
    ///
    /// # Errors
    /// The session can't go on.
    pub(super) fn cipher(&mut self, clear: &[u8], out: &mut Outgoing) -> Result<usize, rustls::Error> {
        let piece = clear.get(..PIECE).unwrap_or(clear);
        let size = piece.len() + (piece.len() / RECORD + 1) * RECORD_OVERHEAD;
        let done = self.when_writable(out, |writable, out| match writable {
            Writable::Server(mut w) => w.encrypt(piece, out.room(size)),
            Writable::Client(mut w) => w.encrypt(piece, out.room(size)),
        })?;
        Ok(if done { piece.len() } else { 0 })
    }

    /// Tells the peer that no more will come.
    ///
    /// # Errors
    /// The session can't go on.
    pub(super) fn close(&mut self, out: &mut Outgoing) -> Result<(), rustls::Error> {
        if !self.secured || self.closed {
            return Ok(());
        }
        self.closed = true;
        self.when_writable(out, |writable, out| match writable {
            Writable::Server(mut w) => w.queue_close_notify(out.room(RECORD_OVERHEAD * 2)),
            Writable::Client(mut w) => w.queue_close_notify(out.room(RECORD_OVERHEAD * 2)),
        })?;
        Ok(())
    }

    /// Gets the session to where it ciphers, and lets `write` do so; false if it isn't to be got there.
    fn when_writable(
        &mut self,
        out: &mut Outgoing,
        write: impl FnOnce(Writable<'_>, &mut Outgoing) -> Result<usize, EncryptError>,
    ) -> Result<bool, rustls::Error> {
        loop {
            // The unfinished record goes in again: rustls may hold positions in it.
            let mut ignore = |_: Event<'_>| ();
            let (discard, step) = match &mut self.side {
                Side::Server(conn) => match conn.process_tls_records(&mut self.partial) {
                    UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(w)), .. } => {
                        return written(write(Writable::Server(w), out), out);
                    }
                    status => advance(status, out, &mut ignore),
                },
                Side::Client(conn) => match conn.process_tls_records(&mut self.partial) {
                    UnbufferedStatus { state: Ok(ConnectionState::WriteTraffic(w)), .. } => {
                        return written(write(Writable::Client(w), out), out);
                    }
                    status => advance(status, out, &mut ignore),
                },
            };
            self.partial.drain(..discard.min(self.partial.len()));
            if !matches!(step?, Step::Again) {
                return Ok(false);
            }
        }
    }
}

enum Writable<'c> {
    Server(WriteTraffic<'c, rustls::server::ServerConnectionData>),
    Client(WriteTraffic<'c, rustls::client::ClientConnectionData>),
}

fn written(result: Result<usize, EncryptError>, out: &mut Outgoing) -> Result<bool, rustls::Error> {
    match result {
        Ok(count) => {
            out.filled += count;
            Ok(true)
        }
        Err(_) => Err(rustls::Error::EncryptError),
    }
}

/// Is this record an alert: by its type, or, where TLS 1.3 hides that, by its length?
fn is_alert(record: &[u8]) -> bool {
    // Header, two octets, the hidden type and the tag: no other message is so short.
    const HIDDEN: usize = 5 + 2 + 1 + 16;
    match record.first() {
        Some(21) => true,
        Some(23) => record.len() == HIDDEN,
        _ => false,
    }
}

/// Does what one state asks for; says how many octets of the input to discard.
fn advance<Data>(
    status: UnbufferedStatus<'_, '_, Data>,
    out: &mut Outgoing,
    sink: &mut dyn FnMut(Event<'_>),
) -> (usize, Result<Step, rustls::Error>) {
    let mut discard = status.discard;
    let step = match status.state {
        Err(error) => Err(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            let mut result = Ok(Step::Again);
            while let Some(record) = traffic.next_record() {
                match record {
                    Ok(record) => {
                        discard += record.discard;
                        sink(Event::Data(record.payload));
                    }
                    Err(error) => {
                        result = Err(error);
                        break;
                    }
                }
            }
            result
        }
        Ok(ConnectionState::EncodeTlsData(mut data)) => {
            let mut size = RECORD_OVERHEAD;
            loop {
                match data.encode(out.room(size)) {
                    Ok(count) => {
                        out.filled += count;
                        break Ok(Step::Again);
                    }
                    Err(EncodeError::InsufficientSize(wanted)) => size = wanted.required_size,
                    Err(EncodeError::AlreadyEncoded) => break Ok(Step::Again),
                }
            }
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // It is on its way with the next write.
            data.done();
            Ok(Step::Again)
        }
        Ok(ConnectionState::PeerClosed) => {
            sink(Event::HalfClosed);
            Ok(Step::Again)
        }
        Ok(ConnectionState::Closed) => Ok(Step::Over),
        Ok(ConnectionState::BlockedHandshake | ConnectionState::WriteTraffic(_)) => Ok(Step::Wait),
        // Early data is never accepted, and other states are unknown to this version.
        Ok(_) => Err(rustls::Error::General("unexpected state".to_owned())),
    };
    (discard, step)
}
