//! Octets meant to be dear to read: bombs of XML and of headers, lengths that are lies, floods of commands.

use std::net::SocketAddr;
use std::time::Duration;

use super::Orders;
use super::swarm::{Caller, Got, Swarm};
use crate::rig::Failure;

const SIMP_HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

/// What one kind of bomb is made of.
struct Bomb {
    place: SocketAddr,
    /// What is said first.
    fuse: Vec<u8>,
    /// And then, over and over.
    charge: Vec<u8>,
}

impl Bomb {
    fn new(place: SocketAddr, fuse: &str, charge: &str) -> Bomb {
        Bomb { place, fuse: fuse.as_bytes().to_vec(), charge: charge.as_bytes().to_vec() }
    }
}

/// Members that each throw one kind, and come back when they are thrown out.
struct Throwers {
    bombs: Vec<Bomb>,
    sent: u64,
    heard: u64,
}

impl Caller for Throwers {
    fn target(&self, member: usize) -> SocketAddr {
        self.bombs[member % self.bombs.len()].place
    }

    fn opened(&mut self, member: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bombs[member % self.bombs.len()].fuse);
    }

    fn turn(&mut self, member: usize, out: &mut Vec<u8>) -> bool {
        let charge = &self.bombs[member % self.bombs.len()].charge;
        out.extend_from_slice(charge);
        self.sent += charge.len() as u64;
        true
    }

    fn heard(&mut self, _: usize, input: &mut Vec<u8>, _: &mut Vec<u8>) -> bool {
        self.heard += input.len() as u64;
        input.clear();
        true
    }
}

impl Throwers {
    fn told(&self, got: &Got) -> String {
        format!(
            "{} MiB sent over {} connections, {} ended by the server after {:.2} s",
            self.sent >> 20,
            got.opened,
            got.ended,
            got.life()
        )
    }
}

/// Octets of one charge.
const CHARGE: usize = 8 * 1024;

fn throw(orders: &Orders, bombs: Vec<Bomb>, members: usize) -> Result<String, Failure> {
    let mut throwers = Throwers { bombs, sent: 0, heard: 0 };
    let got = Swarm::new(members, 100, Duration::from_millis(50))?.run(&mut throwers, orders.end())?;
    Ok(throwers.told(&got))
}

/// Entities, depth, attributes, entries, and nothing at all without end.
pub fn xml(orders: &Orders) -> Result<String, Failure> {
    let place = orders.simp;
    let open = format!("{SIMP_HEADER}<properties>");
    let entity = "<?xml version=\"1.0\"?><!DOCTYPE s [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">\
                  <!ENTITY c \"&b;&b;&b;&b;&b;\">]><stream>&c;";
    let repeated = |text: &str| text.repeat(CHARGE / text.len());
    let bombs = vec![
        Bomb::new(place, entity, &repeated("&c;")),
        Bomb::new(place, SIMP_HEADER, &repeated("<properties>")),
        Bomb::new(place, &format!("{open}<entry key=\""), &repeated("k")),
        Bomb::new(place, &open, &repeated("<entry key=\"a\">x</entry>")),
        Bomb::new(place, &format!("{open}<entry key=\"a\">"), &repeated("&amp;")),
        Bomb::new(place, &format!("{SIMP_HEADER}<!--"), &repeated("- ")),
        Bomb::new(place, SIMP_HEADER, &repeated("<!-- -->")),
        Bomb::new(place, SIMP_HEADER, &repeated(" ")),
        Bomb::new(place, "<?xml version=\"1.0\"", &repeated(" ")),
        Bomb::new(place, SIMP_HEADER, &repeated("<properties></properties>")),
    ];
    throw(orders, bombs, 400)
}

/// Headers without end, thousands of headers, lengths that nobody could mean, lines of nothing.
pub fn headers(orders: &Orders) -> Result<String, Failure> {
    let repeated = |text: &str| text.repeat(CHARGE / text.len());
    let lengths = ["99999999999999999999", "18446744073709551615", "4294967296", "16777216", "65537", "-1"];
    let mut bombs = Vec::new();
    for place in [orders.imtp, orders.pitp] {
        bombs.push(Bomb::new(place, ">1 send\r\nX: ", &repeated("x")));
        bombs.push(Bomb::new(place, ">1 send\r\n", &repeated("X: y\r\n")));
        bombs.push(Bomb::new(place, ">1 send\r\nX: y\r\n", &repeated(" z\r\n")));
        bombs.push(Bomb::new(place, ">", &repeated("9")));
        bombs.push(Bomb::new(place, "", &repeated("\r\n")));
        bombs.push(Bomb::new(place, "", &repeated("=nop\r\n")));
        for length in lengths {
            let fuse = format!(">1 send\r\nContent-Length: {length}\r\n\r\n");
            bombs.push(Bomb::new(place, &fuse, &repeated("x")));
        }
    }
    throw(orders, bombs, 400)
}

/// Commands one after the other without waiting for an answer, by strangers; half of them read the answers.
pub fn pipeline(orders: &Orders) -> Result<String, Failure> {
    let repeated = |text: &str| text.repeat(CHARGE / text.len());
    let command = |action: &str, more: &str| {
        format!(
            "<properties><entry key=\"action\">{action}</entry><entry key=\"request\">1</entry>{more}</properties>\n"
        )
    };
    let login = command("login", "<entry key=\"user\">alice0</entry>");
    let inquire = command(
        "inquire",
        "<entry key=\"from\">a@evil.test</entry><entry key=\"to\">b@attacked.test</entry>",
    );
    let bombs = || {
        vec![
            Bomb::new(orders.simp, SIMP_HEADER, &repeated(&login)),
            Bomb::new(orders.simp, SIMP_HEADER, &repeated(&inquire)),
            Bomb::new(orders.simp, SIMP_HEADER, &repeated(&command("dance", ""))),
            Bomb::new(orders.imtp, "", &repeated(">1 fetch\r\nPresentity: presence:a@attacked.test\r\n\r\n")),
            Bomb::new(orders.imtp, "", &repeated(">1 auth\r\nMechanism: NONE\r\n\r\n")),
        ]
    };
    let mut throwers = Throwers { bombs: bombs(), sent: 0, heard: 0 };
    let pace = Duration::from_millis(20);
    let mut deaf = Throwers { bombs: bombs(), sent: 0, heard: 0 };
    let (first, second) = std::thread::scope(|scope| {
        let readers = scope.spawn(|| Swarm::new(100, 50, pace)?.run(&mut throwers, orders.end()));
        let others = Swarm::new(100, 50, pace).and_then(|s| s.beside(1).deaf().run(&mut deaf, orders.end()));
        (readers.join(), others)
    });
    let first = first.map_err(|_| "an attacker has failed")??;
    Ok(format!(
        "readers: {}, {} MiB heard; deaf: {}",
        throwers.told(&first),
        throwers.heard >> 20,
        deaf.told(&second?)
    ))
}
