//! Wrong logins: one account from many addresses, many accounts from one.

use std::collections::{HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use memchr::memmem::find;

use super::Orders;
use super::swarm::{Caller, Swarm};
use crate::rig::Failure;

/// Attempts of one attack.
const ATTEMPTS: u64 = 100_000;
/// Addresses that the one account is attacked from.
const SOURCES: usize = 500;
/// The account whose true owner comes and goes meanwhile.
const VICTIM: &str = "newcomer0";

/// What became of the attempts.
#[derive(Default)]
struct Attempts {
    made: u64,
    /// Looked into, and found wrong.
    wrong: u64,
    /// Refused without that.
    refused: u64,
}

impl Attempts {
    fn told(&self, began: Instant) -> String {
        format!(
            "{} attempts in {:.0} s: {} answered as wrong, {} refused as too many",
            self.made,
            began.elapsed().as_secs_f64(),
            self.wrong,
            self.refused
        )
    }
}

/// Whose account a member attacks: every other one the victim's.
fn account(member: usize) -> String {
    if member.is_multiple_of(2) { VICTIM.to_owned() } else { format!("alice{}", member / 2 % 100) }
}

/// Where from: the many accounts all from one address.
fn address(member: usize, sources: usize) -> usize {
    if member.is_multiple_of(2) { member / 2 % (sources - 1) + 1 } else { 0 }
}

/// Members that ask for challenges, and members that answer them.
struct Guessers {
    simp: SocketAddr,
    challenges: VecDeque<(String, String)>,
    attempts: Attempts,
    /// Connections that have said nothing, for want of a challenge.
    silent: HashSet<usize>,
}

/// One of so many members asks.
const DESKS: usize = 16;
const HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";
const END: &[u8] = b"</properties>";

fn is_desk(member: usize) -> bool {
    (member / 2).is_multiple_of(DESKS)
}

/// The value of a key in a command of the server's.
fn value<'a>(object: &'a str, key: &str) -> Option<&'a str> {
    let rest = object.split_once(&format!("key=\"{key}\">"))?.1;
    Some(rest.split_once('<')?.0)
}

impl Guessers {
    /// Says nothing yet if there is no challenge to answer.
    fn guess(&mut self, member: usize, out: &mut Vec<u8>) {
        let Some((nonce, opaque)) = self.challenges.pop_front() else {
            self.silent.insert(member);
            return;
        };
        self.attempts.made += 1;
        let wrong = &nonce[..nonce.len().min(8)];
        let text = format!(
            "{HEADER}<properties><entry key=\"action\">connect</entry><entry key=\"request\">1</entry>\
             <entry key=\"authorization\">{wrong}0123456789abcdef01234567</entry>\
             <entry key=\"opaque\">{opaque}</entry><entry key=\"version\">1.0</entry></properties>\n"
        );
        out.extend_from_slice(text.as_bytes());
    }
}

impl Caller for Guessers {
    fn target(&self, _: usize) -> SocketAddr {
        self.simp
    }

    fn source(&self, member: usize, sources: usize) -> usize {
        address(member, sources)
    }

    fn opened(&mut self, member: usize, out: &mut Vec<u8>) {
        if is_desk(member) {
            out.extend_from_slice(HEADER.as_bytes());
        } else {
            self.guess(member, out);
        }
    }

    fn turn(&mut self, member: usize, out: &mut Vec<u8>) -> bool {
        if is_desk(member) && self.challenges.len() < 5000 {
            let user = account(member);
            for _ in 0..20 {
                let text = format!(
                    "<properties><entry key=\"action\">login</entry><entry key=\"request\">1</entry>\
                     <entry key=\"user\">{user}</entry></properties>\n"
                );
                out.extend_from_slice(text.as_bytes());
            }
        } else if self.silent.remove(&member) {
            self.guess(member, out);
        }
        true
    }

    fn heard(&mut self, member: usize, input: &mut Vec<u8>, _: &mut Vec<u8>) -> bool {
        while let Some(at) = find(input, END) {
            let object: Vec<u8> = input.drain(..at + END.len()).collect();
            let object = String::from_utf8_lossy(&object);
            match (is_desk(member), value(&object, "nonce"), value(&object, "opaque")) {
                (true, Some(nonce), Some(opaque)) => {
                    self.challenges.push_back((nonce.to_owned(), opaque.to_owned()));
                }
                (true, ..) => {
                    self.attempts.made += 1;
                    self.attempts.refused += 1;
                }
                (false, ..) => {
                    self.attempts.wrong += 1;
                    return false;
                }
            }
        }
        true
    }

    fn enough(&self) -> bool {
        self.attempts.made >= ATTEMPTS
    }
}

/// Digests with the wrong secret.
pub fn digest(orders: &Orders) -> Result<String, Failure> {
    let began = Instant::now();
    let (challenges, silent, attempts) = Default::default();
    let mut guessers = Guessers { simp: orders.simp, challenges, silent, attempts };
    Swarm::new(1900, SOURCES, Duration::from_millis(20))?.run(&mut guessers, orders.end())?;
    Ok(guessers.attempts.told(began))
}

/// How to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// With a wrong proof.
    Scram,
    /// With a wrong password.
    Plain,
}

/// Members that authenticate by SASL.
struct Provers {
    imtp: SocketAddr,
    mechanism: Mechanism,
    attempts: Attempts,
}

impl Provers {
    fn begin(&mut self, member: usize, out: &mut Vec<u8>) {
        self.attempts.made += 1;
        let user = account(member);
        let (name, first) = match self.mechanism {
            Mechanism::Scram => ("SCRAM-SHA-256", format!("n,,n={user},r=fyko+d2lbbFgONRv9qkxdawL")),
            Mechanism::Plain => ("PLAIN", format!("\0{user}\0wrong-password")),
        };
        let length = first.len();
        let text = format!(">1 auth\r\nMechanism: {name}\r\nContent-Length: {length}\r\n\r\n{first}");
        out.extend_from_slice(text.as_bytes());
    }
}

/// The next whole message: its head and its payload.
fn message(input: &mut Vec<u8>) -> Option<(String, String)> {
    while input.first() == Some(&b'=') {
        let line = input.iter().position(|octet| *octet == b'\n')?;
        input.drain(..=line);
    }
    let end = find(input, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.trim().parse().ok());
    let length: usize = length.unwrap_or(0);
    let payload = String::from_utf8_lossy(input.get(end..end + length)?).into_owned();
    input.drain(..end + length);
    Some((head, payload))
}

impl Caller for Provers {
    fn target(&self, _: usize) -> SocketAddr {
        self.imtp
    }

    fn source(&self, member: usize, sources: usize) -> usize {
        address(member, sources)
    }

    fn opened(&mut self, member: usize, out: &mut Vec<u8>) {
        self.begin(member, out);
    }

    fn heard(&mut self, member: usize, input: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
        while let Some((head, payload)) = message(input) {
            if head.contains("sasl-challenge") {
                let nonce = payload.split(',').next().unwrap_or_default();
                let last = format!("c=biws,{nonce},p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
                let length = last.len();
                let text = format!(">2 auth\r\nContent-Length: {length}\r\n\r\n{last}");
                out.extend_from_slice(text.as_bytes());
                continue;
            }
            if head.contains("sasl-failure") {
                self.attempts.wrong += 1;
            } else {
                self.attempts.refused += 1;
            }
            self.begin(member, out);
        }
        true
    }

    fn enough(&self) -> bool {
        self.attempts.made >= ATTEMPTS
    }
}

/// Wrong proofs, or wrong passwords.
pub fn sasl(orders: &Orders, mechanism: Mechanism) -> Result<String, Failure> {
    let began = Instant::now();
    let mut provers = Provers { imtp: orders.imtp, mechanism, attempts: Attempts::default() };
    Swarm::new(1900, SOURCES, Duration::from_secs(1))?.run(&mut provers, orders.end())?;
    Ok(provers.attempts.told(began))
}
