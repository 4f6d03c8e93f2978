//! Pairs of users who write to each other, logged in and ready for the generator; what their messages cost; and
//! the relay's cost beside it.

use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use super::Failure;
use super::engine::{Conn, Crossing, Load, Wire};
use super::house::{self, House, SECRET, Service};
use super::lines::{self, Lines};
use super::pipe::Target;
use super::proc::Process;
use super::report::{median, micros_each};
use super::simp::{self, Routing};
use super::transfer::{self, Keys, Session};

/// Octets of a message's body.
pub const BODY: usize = 64;

/// The names of a pair's users, before the `@`.
pub fn pair(index: usize) -> (String, String) {
    (format!("alice{index}"), format!("bob{index}"))
}

/// All of them.
pub fn users(pairs: usize) -> impl Iterator<Item = String> {
    (0..pairs).map(pair).flat_map(|(a, b)| [a, b])
}

/// Messages in any protocol.
pub type Pairs = Load<Box<dyn Wire>>;

/// Logs pairs in: senders at one house, recipients at the other, which may be the same; each side in a protocol
/// of its own.
///
/// # Errors
/// If a login is refused.
pub fn connect(pairs: usize, from: (&House, Service), to: (&House, Service)) -> Result<Pairs, Failure> {
    let (wire, conns) = log_in(pairs, from, to)?;
    Load::new(wire, conns)
}

/// How messages look, and pairs of connections: the sender's, the recipient's.
pub type LoggedIn = (Box<dyn Wire>, Vec<(Conn, Conn)>);

/// The same, for another generator.
///
/// # Errors
/// If a login is refused.
pub fn log_in(pairs: usize, from: (&House, Service), to: (&House, Service)) -> Result<LoggedIn, Failure> {
    let (mut there, mut here) = (Door::open(to)?, Door::open(from)?);
    let (mut conns, mut names) = (Vec::new(), Vec::new());
    for (alice, bob) in (0..pairs).map(pair) {
        let (alice, bob) = (from.0.user(&alice), to.0.user(&bob));
        let recipient = there.enter(&bob, true)?;
        conns.push((here.enter(&alice, false)?, recipient));
        names.push((alice, bob));
    }
    Ok((Box::new(Crossing { from: wire(from.1, &names), to: wire(to.1, &names) }), conns))
}

fn wire(service: Service, names: &[(String, String)]) -> Box<dyn Wire> {
    match service {
        Service::Simp => Box::new(simp::Messages::new(names, BODY)),
        Service::Imtp | Service::Pitp => Box::new(transfer::Messages::new(names, BODY)),
    }
}

/// Where users log in.
pub enum Door {
    /// SIMP: over this routing connection.
    Simp(Box<Routing>),
    /// IMTP or PITP: there.
    Transfer(Target, Keys),
}

impl Door {
    /// Opens one.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open((house, service): (&House, Service)) -> Result<Door, Failure> {
        let target = house.target(service);
        Ok(match service {
            Service::Simp => Door::Simp(Box::new(Routing::open(&target)?)),
            Service::Imtp | Service::Pitp => Door::Transfer(target, house::keys()?),
        })
    }

    /// Logs a user in, who listens to messages if that has to be asked for; gives the connection.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn log_in(&mut self, user: &str, listens: bool) -> Result<(TcpStream, Vec<u8>), Failure> {
        match self {
            Door::Simp(routing) => routing.login(user, SECRET),
            Door::Transfer(target, keys) => {
                let mut session = Session::login(target, user, keys)?;
                if listens {
                    session.listen(user)?;
                }
                Ok(session.into_parts())
            }
        }
    }

    /// From now on connections come from this address of this machine.
    pub fn come_from(&mut self, ip: IpAddr) {
        match self {
            Door::Simp(routing) => routing.come_from(ip),
            Door::Transfer(target, _) => target.from = Some(ip),
        }
    }

    /// The same for the generator.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn enter(&mut self, user: &str, listens: bool) -> Result<Conn, Failure> {
        let (stream, tail) = self.log_in(user, listens)?;
        Conn::new(stream, tail)
    }
}

/// CPU of some processes for a number of operations, microseconds each.
///
/// # Errors
/// If the load fails, or a process has ended.
pub fn cost<W: Wire>(
    processes: &[&Process],
    load: &mut Load<W>,
    operations: u64,
    window: u64,
) -> Result<f64, Failure> {
    let cpu = || processes.iter().map(|p| p.cpu()).sum::<Result<Duration, Failure>>();
    // Caches, buffers and branch predictors as they are in the middle of things.
    load.run(operations / 10, window, None)?;
    let before = cpu()?;
    load.run(operations, window, None)?;
    Ok(micros_each(cpu()? - before, operations))
}

/// B, to be taken in turn with what is measured by it.
pub struct Yardstick {
    relay: Process,
    load: Load<Lines>,
    operations: u64,
    taken: Vec<f64>,
}

impl Yardstick {
    /// Starts a relay, to be loaded with so many operations at a time.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start(pairs: usize, operations: u64) -> Result<Yardstick, Failure> {
        let (relay, load) = lines::start(pairs, BODY, 0)?;
        Ok(Yardstick { relay, load, operations: operations.max(1), taken: Vec::new() })
    }

    /// Measures it once more.
    ///
    /// # Errors
    /// If the relay fails.
    pub fn take(&mut self) -> Result<(), Failure> {
        self.taken.push(cost(&[&self.relay], &mut self.load, self.operations, 1)?);
        Ok(())
    }

    /// B, microseconds.
    pub fn b(&self) -> f64 {
        median(&self.taken)
    }
}
