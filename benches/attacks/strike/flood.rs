//! Attacks of strangers: connections that are slow, unfinished, too many, or too fast.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::Orders;
use super::swarm::{Caller, Swarm};
use crate::rig::Failure;

const SIMP_HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

/// What TLS clients say first.
fn client_hello(domain: &str) -> Result<Vec<u8>, Failure> {
    let mut config =
        ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = vec![b"simp/1.0".to_vec()];
    let name = domain.to_owned().try_into().map_err(|_| "no server name")?;
    let mut connection = ClientConnection::new(Arc::new(config), name)?;
    let mut hello = Vec::new();
    connection.write_tls(&mut hello)?;
    Ok(hello)
}

/// Members that say what one of a few texts says, some octets at a time.
struct Reciters {
    /// Where to, what at once, and what then.
    parts: Vec<(SocketAddr, Vec<u8>, Vec<u8>)>,
    at: Vec<usize>,
    piece: usize,
    sent: u64,
}

impl Reciters {
    fn new(parts: Vec<(SocketAddr, Vec<u8>, Vec<u8>)>, members: usize, piece: usize) -> Reciters {
        Reciters { parts, at: vec![0; members], piece, sent: 0 }
    }
}

impl Caller for Reciters {
    fn target(&self, member: usize) -> SocketAddr {
        self.parts[member % self.parts.len()].0
    }

    fn opened(&mut self, member: usize, out: &mut Vec<u8>) {
        self.at[member] = 0;
        out.extend_from_slice(&self.parts[member % self.parts.len()].1);
    }

    fn turn(&mut self, member: usize, out: &mut Vec<u8>) -> bool {
        let text = &self.parts[member % self.parts.len()].2;
        let at = self.at[member];
        let rest = &text[at.min(text.len())..];
        let piece = &rest[..rest.len().min(self.piece)];
        out.extend_from_slice(piece);
        self.at[member] += piece.len();
        self.sent += piece.len() as u64;
        true
    }
}

/// 10,000 connections from a hundred addresses, each with an octet a second: in the stream's header, in a
/// command, in a login, in a handshake.
pub fn slow(orders: &Orders) -> Result<String, Failure> {
    let login = "<properties><entry key=\"action\">login</entry><entry key=\"request\">1</entry>\
                 <entry key=\"user\">alice0</entry></properties>\n";
    let auth = ">1 auth\r\nMechanism: PLAIN\r\nContent-Length: 60\r\n\r\n";
    let send = format!(">1 send\r\nSender: im:alice0@{}\r\nInbox: im:bob0\r\n", orders.domain);
    let octets = |text: &str| text.as_bytes().to_vec();
    let parts = vec![
        (orders.simp, Vec::new(), octets(SIMP_HEADER)),
        (orders.simp, octets(SIMP_HEADER), octets(login)),
        (orders.imtp, Vec::new(), octets(auth)),
        (orders.imtp, octets(auth), vec![b'x'; 60]),
        (orders.pitp, Vec::new(), octets(&send)),
        (orders.tls, Vec::new(), client_hello(&orders.domain)?),
    ];
    let mut reciters = Reciters::new(parts, 10_000, 1);
    let got = Swarm::new(10_000, 100, Duration::from_secs(1))?.run(&mut reciters, orders.end())?;
    Ok(format!(
        "{} open at most, {} opened, {} ended by the server after {:.1} s, {} octets sent one by one",
        got.most,
        got.opened,
        got.ended,
        got.life(),
        reciters.sent
    ))
}

/// 4,000 connections from a hundred addresses, each with 120 KiB of a command that never ends.
pub fn halves(orders: &Orders) -> Result<String, Failure> {
    let mut simp = format!("{SIMP_HEADER}<properties><entry key=\"action\">send</entry><entry key=\"body\">");
    simp.push_str(&"x".repeat(60_000));
    simp.push_str("</entry><entry key=\"more\">");
    simp.push_str(&"x".repeat(60_000));
    let mut imtp = ">1 send\r\n".to_owned();
    for header in 0..30 {
        imtp.push_str(&format!("X-{header}: {}\r\n", "x".repeat(1000)));
    }
    let parts =
        vec![(orders.simp, Vec::new(), simp.into_bytes()), (orders.imtp, Vec::new(), imtp.into_bytes())];
    let mut reciters = Reciters::new(parts, 4000, 4096);
    let got = Swarm::new(4000, 100, Duration::from_millis(100))?.run(&mut reciters, orders.end())?;
    Ok(format!(
        "{} open at most, {} ended by the server after {:.1} s, {} MiB sent",
        got.most,
        got.ended,
        got.life(),
        reciters.sent >> 20
    ))
}

/// Members that hang up as soon as they are connected.
struct Passers {
    places: Vec<SocketAddr>,
}

impl Caller for Passers {
    fn target(&self, member: usize) -> SocketAddr {
        self.places[member % self.places.len()]
    }

    fn opened(&mut self, _: usize, _: &mut Vec<u8>) {}

    fn turn(&mut self, _: usize, _: &mut Vec<u8>) -> bool {
        false
    }
}

/// Connections opened and closed as fast as can be.
pub fn open_and_close(orders: &Orders, sources: usize) -> Result<String, Failure> {
    let places = vec![orders.simp, orders.imtp, orders.pitp, orders.tls];
    let got =
        Swarm::new(2000, sources, Duration::from_millis(1))?.run(&mut Passers { places }, orders.end())?;
    Ok(format!("{:.0} connections a second, {} refused", got.opened as f64 / orders.seconds, got.refused))
}

/// Members that stay and say nothing, or just enough.
struct Squatters {
    places: Vec<(SocketAddr, Vec<u8>)>,
}

impl Caller for Squatters {
    fn target(&self, member: usize) -> SocketAddr {
        self.places[member % self.places.len()].0
    }

    fn opened(&mut self, member: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.places[member % self.places.len()].1);
    }
}

/// Each attacker holds as many connections as his process may, from 250 addresses: together more than the
/// server may have. Those that are ended come back at once.
pub fn fill(orders: &Orders) -> Result<String, Failure> {
    let inquiry = "<properties><entry key=\"action\">inquire</entry><entry key=\"request\">1</entry>\
                   <entry key=\"from\">a@evil.test</entry><entry key=\"to\">b@attacked.test</entry></properties>\n";
    let places = vec![
        (orders.simp, Vec::new()),
        (orders.simp, format!("{SIMP_HEADER}{inquiry}").into_bytes()),
        (orders.imtp, Vec::new()),
        (orders.pitp, Vec::new()),
        (orders.tls, client_hello(&orders.domain)?),
    ];
    let swarm = Swarm::new(12_000, 250, Duration::from_secs(1))?.beside(orders.number);
    let got = swarm.run(&mut Squatters { places }, orders.end())?;
    Ok(format!(
        "{} open at most, {} at the end, {} opened, {} ended by the server after {:.1} s",
        got.most,
        got.left,
        got.opened,
        got.ended,
        got.life()
    ))
}

/// Handshakes that cost the server its part: he answers the hello, and hears nothing more.
struct Greeters {
    place: SocketAddr,
    hello: Vec<u8>,
    answered: u64,
}

impl Caller for Greeters {
    fn target(&self, _: usize) -> SocketAddr {
        self.place
    }

    fn opened(&mut self, _: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.hello);
    }

    fn heard(&mut self, _: usize, _: &mut Vec<u8>, _: &mut Vec<u8>) -> bool {
        self.answered += 1;
        false
    }
}

/// Hellos as fast as they are answered, from 500 addresses.
pub fn handshakes(orders: &Orders) -> Result<String, Failure> {
    let hello = client_hello(&orders.domain)?;
    let mut greeters = Greeters { place: orders.tls, hello, answered: 0 };
    let got = Swarm::new(2000, 500, Duration::from_secs(1))?.run(&mut greeters, orders.end())?;
    Ok(format!(
        "{:.0} hellos a second answered, {} connections",
        greeters.answered as f64 / orders.seconds,
        got.opened
    ))
}
