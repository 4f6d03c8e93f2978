//! Those whom a server knows from the Internet: guessers of passwords, programs that break off, and domains that
//! aren't there.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use hearth::client::blocking::Client;
use hearth::client::{Account, Error, Proof};
use hearth::credential::Secret;
use hearth::sim::chance::Chance;
use socket2::{Domain, Socket, Type};

use super::names::DEAD;
use crate::home::{Home, Resident};
use crate::kill::worker::{Tally, Trouble, Worker, wrong};
use crate::line::{self, Anew};
use crate::rig::Failure;
use crate::rig::house::Service;

/// How long a stranger waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Of so many wrong logins one is over SIMP, from the address of all the honest users: a few are forgiven.
const NEAR: u64 = 40;
/// Accounts that are aimed at.
const AIMS: u64 = 50;

/// A connection from an address of its own.
fn connect(chance: &mut Chance, to: SocketAddr) -> Result<TcpStream, Failure> {
    let [.., high, low] = (chance.between(1, 60_000) as u32).to_be_bytes();
    let from = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 77, high, low)), 0);
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&from.into())?;
    socket.connect_timeout(&to.into(), PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket.into())
}

/// Guesses passwords of those who are there and of those who aren't.
pub struct Wrong {
    home: Arc<Home>,
    chance: Chance,
    count: u64,
}

impl Wrong {
    /// At one home.
    pub fn new(home: &Arc<Home>, chance: Chance) -> Wrong {
        Wrong { home: Arc::clone(home), chance, count: 0 }
    }

    fn simp(&self, local: &str) -> Result<(), Trouble> {
        let proof = Proof::DeviceKey(Secret::new("a guess".to_owned()));
        let account = Account::new(&self.home.address(local), proof)?;
        match Client::login(&self.home.place(Service::Simp), account) {
            Ok(_) => wrong("a wrong key opens an account"),
            Err(Error::Refused(_) | Error::Ended) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn imtp(&mut self, local: &str) -> Result<(), Failure> {
        let mut stream = connect(&mut self.chance, self.home.at(Service::Imtp))?;
        let guess = format!("\0{}\0a guess", self.home.address(local));
        let auth = format!(">1 auth\r\nMechanism: PLAIN\r\nContent-Length: {}\r\n\r\n{guess}", guess.len());
        stream.write_all(auth.as_bytes())?;
        let (mut heard, mut buffer) = (String::new(), [0; 512]);
        while !heard.contains("<1 ") {
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => heard.push_str(&String::from_utf8_lossy(&buffer[..count])),
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return Ok(()),
                Err(e) => return Err(e.into()),
            }
        }
        if heard.contains("<1 ok") {
            Err(Failure("a wrong password opens an account".into()))
        } else {
            Ok(())
        }
    }
}

impl Worker for Wrong {
    fn name(&self) -> String {
        format!("wrong logins at {}", self.home.domain)
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        let aim = |number| Resident { local: format!("aim{number}"), keeps: false };
        (1..=AIMS).map(|number| (Arc::clone(&self.home), aim(number))).collect()
    }

    fn work(&mut self, _: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        // Half of them are there.
        let local = format!("aim{}", self.chance.between(1, 2 * AIMS));
        if self.count.is_multiple_of(NEAR) { self.simp(&local) } else { Ok(self.imtp(&local)?) }
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Connects and breaks off: at once, after half of something, after nonsense, or after a while.
pub struct Broken {
    home: Arc<Home>,
    chance: Chance,
    slow: Vec<TcpStream>,
}

/// Connections that are left open for a while.
const SLOW: usize = 8;

impl Broken {
    /// At one home.
    pub fn new(home: &Arc<Home>, chance: Chance) -> Broken {
        Broken { home: Arc::clone(home), chance, slow: Vec::new() }
    }
}

impl Worker for Broken {
    fn name(&self) -> String {
        format!("broken connections to {}", self.home.domain)
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        Vec::new()
    }

    fn work(&mut self, _: &Tally) -> Result<(), Trouble> {
        const SAID: [&[u8]; 6] = [
            b"",
            b"<?xml version=\"1.0\"?>\n<stream>\n<properties><entry key=\"action\">login</entry><ent",
            b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
            b">1 auth\r\nMechanism: SCRAM-SHA-256\r\nContent-Length: 400\r\n\r\nn,,n=",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
            b"\xff\xfe\0\0\0\0\0\0\0\0\0\0\0\0",
        ];
        let services = [Service::Simp, Service::Imtp, Service::Pitp];
        let to = self.home.at(services[self.chance.below(services.len())]);
        let mut stream = connect(&mut self.chance, to)?;
        // It may be refused already.
        let _ = stream.write_all(SAID[self.chance.below(SAID.len())]);
        if self.chance.percent(30) {
            self.slow.push(stream);
        }
        if self.slow.len() > SLOW {
            self.slow.remove(0);
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Writes to domains that aren't there, or where nobody listens.
pub struct Nowhere {
    line: Anew<Client>,
    chance: Chance,
    count: u64,
}

impl Nowhere {
    /// From somebody at one home.
    pub fn new(home: &Arc<Home>, chance: Chance) -> Nowhere {
        Nowhere { line: Anew::new(home, "lost", line::simp), chance, count: 0 }
    }
}

impl Worker for Nowhere {
    fn name(&self) -> String {
        "messages to nowhere".to_owned()
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        vec![crate::kill::contacts::resident(&self.line)]
    }

    fn work(&mut self, _: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        let count = self.count;
        let domain =
            if self.chance.percent(50) { format!("{DEAD}{count}.test") } else { format!("gone{count}.test") };
        match self.line.get()?.send(&format!("somebody@{domain}"), "hello?") {
            Ok(_) => wrong(format!("a message to {domain} was taken")),
            Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}
