//! One connection of a client: octets in, octets out, with deadlines, in clear or on TLS.
//!
//! The socket never blocks; what blocks is the wait for it, which another thread can end by an [`Alarm`].

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token, Waker};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::PATIENCE;
use crate::client::Error;
use crate::credential::channel;

const SOCKET: Token = Token(0);
const ALARM: Token = Token(1);

/// Where a server is, and how to talk to it.
#[derive(Debug, Clone)]
pub struct Place {
    host: String,
    port: u16,
    tls: Option<Tls>,
}

impl Place {
    /// In clear.
    pub fn clear(host: &str, port: u16) -> Place {
        Place { host: host.to_owned(), port, tls: None }
    }

    /// On TLS from the first octet; with SIMP the notification connection too.
    pub fn secured(host: &str, port: u16, tls: Tls) -> Place {
        Place { host: host.to_owned(), port, tls: Some(tls) }
    }

    /// Its name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What its certificate must be, if it speaks TLS.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }
}

/// What a server's certificate must be.
#[derive(Debug, Clone)]
pub struct Tls {
    roots: Arc<RootCertStore>,
    name: ServerName<'static>,
}

impl Tls {
    /// It names `domain` and is signed by one of `roots`.
    ///
    /// # Errors
    /// [`Error::Caller`] if the domain is no host name.
    pub fn new(domain: &str, roots: RootCertStore) -> Result<Tls, Error> {
        let name = domain.to_owned().try_into().map_err(|_| Error::Caller("a domain is a host name"))?;
        Ok(Tls { roots: Arc::new(roots), name })
    }

    fn session(&self, alpn: &[u8]) -> Result<ClientConnection, Error> {
        let mut config =
            ClientConfig::builder().with_root_certificates(Arc::clone(&self.roots)).with_no_client_auth();
        config.alpn_protocols = vec![alpn.to_vec()];
        ClientConnection::new(Arc::new(config), self.name.clone()).map_err(of_tls)
    }
}

/// Ends the wait of the client that it is of, from any thread.
#[derive(Debug, Clone)]
pub struct Alarm(Arc<Waker>);

impl Alarm {
    /// Ends the present wait, or else the next one.
    pub fn ring(&self) {
        // It fails only where the client is gone.
        let _ = self.0.wake();
    }
}

/// A blocking connection.
#[derive(Debug)]
pub(super) struct Pipe {
    poll: Poll,
    events: Events,
    alarm: Alarm,
    rung: bool,
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
}

impl Pipe {
    /// Connects to the first of a host's addresses that answers; on TLS, up to the end of the handshake.
    pub fn open(
        host: &str,
        port: u16,
        tls: Option<&Tls>,
        alpn: &[u8],
        deadline: Instant,
    ) -> Result<Pipe, Error> {
        let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs()?.collect();
        let mut last = Error::Network(io::Error::other("the host has no address"));
        for address in addresses {
            match std::net::TcpStream::connect_timeout(&address, left(deadline)?) {
                Ok(stream) => {
                    let mut pipe = Pipe::over(stream)?;
                    if let Some(tls) = tls {
                        pipe.tls = Some(Box::new(tls.session(alpn)?));
                        pipe.shake_hands(deadline)?;
                    }
                    return Ok(pipe);
                }
                Err(error) => last = error.into(),
            }
        }
        Err(last)
    }

    fn over(stream: std::net::TcpStream) -> Result<Pipe, Error> {
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        let poll = Poll::new()?;
        poll.registry().register(&mut stream, SOCKET, Interest::READABLE | Interest::WRITABLE)?;
        let alarm = Alarm(Arc::new(Waker::new(poll.registry(), ALARM)?));
        Ok(Pipe { poll, events: Events::with_capacity(4), alarm, rung: false, stream, tls: None })
    }

    /// Ends waits of this connection.
    pub fn alarm(&self) -> Alarm {
        self.alarm.clone()
    }

    /// Can nobody listen in on it?
    pub fn is_private(&self) -> bool {
        self.tls.is_some() || self.stream.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    /// Is it on TLS?
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// `tls-server-end-point` of the server's certificate, where there is one.
    pub fn end_point(&self) -> Option<Box<[u8]>> {
        channel::end_point(self.tls.as_ref()?.peer_certificates()?.first()?)
    }

    /// Writes all of it.
    pub fn write(&mut self, mut octets: &[u8]) -> Result<(), Error> {
        let deadline = Instant::now() + PATIENCE;
        while !octets.is_empty() {
            let wrote = match &mut self.tls {
                Some(tls) => tls.writer().write(octets),
                None => self.stream.write(octets),
            };
            match wrote {
                Ok(count) => octets = octets.get(count..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(deadline)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
            self.write_ciphered(deadline)?;
        }
        Ok(())
    }

    /// One read: how many octets came, none at the end; or nothing, since the alarm has rung.
    pub fn read(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<Option<usize>, Error> {
        loop {
            let read = match &self.tls {
                Some(_) => self.read_ciphered(buffer, deadline),
                None => self.stream.read(buffer).map_err(Error::from),
            };
            match read {
                Ok(count) => return Ok(Some(count)),
                Err(Error::Network(e)) => match e.kind() {
                    ErrorKind::WouldBlock => {}
                    ErrorKind::Interrupted => continue,
                    // Ended without a good-bye.
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => return Ok(Some(0)),
                    _ => return Err(e.into()),
                },
                Err(error) => return Err(error),
            }
            if std::mem::take(&mut self.rung) {
                return Ok(None);
            }
            self.wait(deadline)?;
        }
    }

    /// Says that no more comes from us.
    pub fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.send_close_notify();
        }
        // The peer may be gone already, which is as well.
        let _ = self.write_ciphered(Instant::now() + PATIENCE);
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
    }

    fn shake_hands(&mut self, deadline: Instant) -> Result<(), Error> {
        self.write_ciphered(deadline)?;
        while self.tls.as_ref().is_some_and(|tls| tls.is_handshaking()) {
            match self.take_ciphered(deadline) {
                Ok(0) => return Err(Error::Ended),
                Ok(_) => {}
                Err(Error::Network(e)) if e.kind() == ErrorKind::WouldBlock => self.wait(deadline)?,
                Err(Error::Network(e)) if e.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read_ciphered(&mut self, buffer: &mut [u8], deadline: Instant) -> Result<usize, Error> {
        loop {
            let Some(tls) = &mut self.tls else { return Ok(0) };
            match tls.reader().read(buffer) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {}
                read => return Ok(read?),
            }
            if self.take_ciphered(deadline)? == 0 {
                return Ok(0);
            }
        }
    }

    /// Takes in what the socket has, once; answers what of it only concerns TLS.
    fn take_ciphered(&mut self, deadline: Instant) -> Result<usize, Error> {
        let Some(tls) = &mut self.tls else { return Ok(0) };
        let count = tls.read_tls(&mut self.stream)?;
        let processed = tls.process_new_packets().map(drop).map_err(of_tls);
        // An alert, if that was wrong.
        let written = self.write_ciphered(deadline);
        processed.and(written).map(|()| count)
    }

    fn write_ciphered(&mut self, deadline: Instant) -> Result<(), Error> {
        while let Some(tls) = self.tls.as_mut().filter(|tls| tls.wants_write()) {
            match tls.write_tls(&mut self.stream) {
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.wait(deadline)?,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Waits until the socket can go on, or the alarm rings.
    fn wait(&mut self, deadline: Instant) -> Result<(), Error> {
        match self.poll.poll(&mut self.events, Some(left(deadline)?)) {
            Err(e) if e.kind() != ErrorKind::Interrupted => return Err(e.into()),
            _ => {}
        }
        self.rung |= self.events.iter().any(|event| event.token() == ALARM);
        Ok(())
    }
}

fn of_tls(error: rustls::Error) -> Error {
    Error::Network(io::Error::other(error))
}

/// The time until then.
fn left(deadline: Instant) -> Result<Duration, Error> {
    match deadline.saturating_duration_since(Instant::now()) {
        Duration::ZERO => Err(Error::Timeout),
        left => Ok(left),
    }
}
