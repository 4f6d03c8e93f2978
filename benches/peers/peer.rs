//! What a server has to offer to be measured beside the others.

use std::net::TcpStream;

use crate::Bench;
use crate::rig::Failure;
use crate::rig::crowd::Crowd;
use crate::rig::engine::{Conn, Wire};
use crate::rig::group::Group;

/// A kind of server. Each measure asks it for a server of its own, started and populated; `None` where it has
/// no such thing.
pub trait Peer {
    /// As the results call it.
    fn name(&self) -> &'static str;

    /// What is measured: its version.
    ///
    /// # Errors
    /// If it can't be asked.
    fn version(&self) -> Result<String, Failure>;

    /// How it is configured, and why this is its best: a sentence or two.
    fn configuration(&self) -> &'static str;

    /// Pairs of users of one server, ready to exchange acknowledged messages.
    ///
    /// # Errors
    /// If the server can't be brought to it.
    fn messages(&self, _bench: &Bench) -> Result<Option<Messages>, Failure> {
        Ok(None)
    }

    /// Pairs of users of two domains, each with a server of its own.
    ///
    /// # Errors
    /// If the servers can't be brought to it.
    fn federated(&self, _bench: &Bench) -> Result<Option<Messages>, Failure> {
        Ok(None)
    }

    /// One user, watched by many ([`Bench::watchers`]).
    ///
    /// # Errors
    /// If the server can't be brought to it.
    fn watchers(&self, _bench: &Bench) -> Result<Option<Watchers>, Failure> {
        Ok(None)
    }

    /// Users who log in and out ([`Bench::accounts`]).
    ///
    /// # Errors
    /// If the server can't be brought to it.
    fn logins(&self, _bench: &Bench) -> Result<Option<Logins>, Failure> {
        Ok(None)
    }

    /// Users who log in and stay ([`Bench::most_idle`]).
    ///
    /// # Errors
    /// If the server can't be brought to it.
    fn idle(&self, _bench: &Bench) -> Result<Option<Idle>, Failure> {
        Ok(None)
    }
}

/// Servers with pairs of users.
pub struct Messages {
    /// All that work for a message.
    pub servers: Vec<Group>,
    /// How messages look.
    pub wire: Box<dyn Wire>,
    /// The sender's connection, the recipient's.
    pub pairs: Vec<(Conn, Conn)>,
    /// The most messages that may be under way in a pair.
    pub most: u64,
}

/// A server with one user whom others watch.
pub struct Watchers {
    /// It.
    pub server: Group,
    /// They.
    pub crowd: Crowd,
}

/// A server for logins.
pub struct Logins {
    /// It.
    pub server: Group,
    /// Logs the user of this number in, over a new connection, and out.
    pub log_in: Box<dyn Fn(usize) -> Result<(), Failure> + Sync>,
}

/// A server for idle users.
pub struct Idle {
    /// It.
    pub server: Group,
    /// Logs the user of this number in, who shows his presence (where that is another thing) and then is silent.
    pub log_in: Box<dyn FnMut(usize) -> Result<TcpStream, Failure>>,
}
