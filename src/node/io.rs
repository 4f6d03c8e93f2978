//! What goes into a node and what comes out of it.
//!
//! The driver (the event loop, or the simulator) hands in one [`Input`] at a time with the time it
//! happened, then takes [`Output`]s until there are none, in order. Connections are named by the
//! driver, links that are yet to be connections by the node.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::admin::{AdminReply, AdminRequest};
use crate::federation::{DnsError, Place, Protocol, Published};
use crate::hub::address::{Address, Domain};
use crate::store::record::{Batch, Committed, Read, Reading};

/// A connection, named by the driver: a slot that is used again, and which use of it this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId {
    /// Small and dense: the node keeps its connections in a table by slot.
    pub slot: u32,
    /// Grows with every use of the slot.
    pub generation: u32,
}

/// An attempt of the node to connect somewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialId(pub u64);

/// Work that the node has given away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(pub u64);

/// An operator's open request on the control socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlId(pub u64);

/// An application protocol chosen by ALPN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// `simp/1.0`.
    Simp,
    /// `imtp`.
    Imtp,
    /// `pitp`.
    Pitp,
    /// The peer named none; a listener of one protocol serves that one, and the port of all SIMP.
    None,
}

impl From<Protocol> for Alpn {
    fn from(protocol: Protocol) -> Alpn {
        match protocol {
            Protocol::Simp => Alpn::Simp,
            Protocol::Imtp => Alpn::Imtp,
            Protocol::Pitp => Alpn::Pitp,
        }
    }
}

/// Who is at the other end of a TLS connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsPeer {
    /// The protocol chosen.
    pub alpn: Alpn,
    /// The DNS names of the peer's certificate, if it showed one that a trusted authority signed;
    /// lower-case, wildcards left out.
    pub names: Vec<String>,
    /// What SCRAM-PLUS binds to: `tls-server-end-point` of the certificate that we showed, where that is
    /// defined ([`end_point`](crate::credential::channel::end_point)). Shared by all connections.
    pub end_point: Option<Arc<[u8]>>,
}

/// What happens to a node.
#[derive(Debug)]
pub enum Input<'a> {
    /// A connection was accepted. On a TLS listener nothing but `Secured` or `Closed` follows at first.
    Accepted {
        /// Its name.
        conn: ConnId,
        /// Index into the configuration's `listen`.
        listener: usize,
        /// The other end.
        peer: SocketAddr,
        /// Our end.
        local: SocketAddr,
    },
    /// The TLS handshake of an accepted connection is done.
    Secured {
        /// Which.
        conn: ConnId,
        /// Who is there.
        tls: TlsPeer,
    },
    /// A dial succeeded (on TLS: after the handshake, with a certificate that names the domain).
    Connected {
        /// Which dial.
        dial: DialId,
        /// The connection's name from now on.
        conn: ConnId,
    },
    /// A dial failed.
    DialFailed {
        /// Which.
        dial: DialId,
        /// Why, for the log and for `hearth peer test`.
        why: String,
    },
    /// Octets have arrived (deciphered).
    Bytes {
        /// Where.
        conn: ConnId,
        /// At most what one read gives.
        data: &'a [u8],
    },
    /// The driver is short of room for connections: so many should go of those who have not shown who they are, of
    /// other domains' servers, and of our own links.
    Crowded {
        /// How many.
        count: usize,
    },
    /// The peer will send no more; it may still read.
    HalfClosed {
        /// Which.
        conn: ConnId,
    },
    /// The connection is gone, for whatever reason. Its name means nothing from now on.
    Closed {
        /// Which.
        conn: ConnId,
    },
    /// A job is done.
    Done {
        /// Which.
        job: JobId,
        /// What came of it.
        result: JobResult,
    },
    /// A batch was committed or rolled back.
    Committed(Committed),
    /// An operator asks something.
    Control {
        /// For the reply.
        id: ControlId,
        /// What.
        request: AdminRequest,
    },
    /// Time has passed: the moment named by `next_wake` has come.
    Wake,
    /// End in order: [`Output::Ended`] comes when all is told and kept.
    Shutdown,
}

/// Who wants something of DNS. Each has a share of what is looked up at a time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Asker {
    /// A user of ours.
    User(Address),
    /// A connection from there, or from that network, says that it speaks for a domain.
    Stranger(IpAddr),
    /// Whoever runs this server.
    Operator,
}

/// Work that would block, given to a helper.
#[derive(Debug, Clone)]
pub enum Job {
    /// Ask DNS about a domain.
    Resolve(Domain, Asker),
    /// Ask the store.
    Read(Read),
    /// Check a password (argon2id). Answered [`JobResult::Overloaded`] if too many wait.
    VerifyPassword {
        /// The verifier, in the PHC string format.
        verifier: String,
        /// What was given.
        password: crate::credential::Secret,
        /// He has proved himself from that address before: he does not wait behind strangers.
        known: bool,
    },
}

/// What came of a [`Job`].
#[derive(Debug, Clone)]
pub enum JobResult {
    /// Of `Resolve`.
    Resolved(Result<Published, DnsError>),
    /// Of `Read`.
    Read(Reading),
    /// Of `VerifyPassword`.
    Verified(bool),
    /// The helpers have too much to do; nothing was done.
    Overloaded,
}

/// What a node wants done.
#[derive(Debug)]
pub enum Output {
    /// The connection has octets to be written: take them with `Node::unsent` and `Node::sent`.
    /// Given once each time the connection goes from nothing to write to something to write.
    Write(ConnId),
    /// Close it: after what is unsent has been written (`flush`, at most a few seconds), or at once.
    /// `Closed` follows.
    Close {
        /// Which.
        conn: ConnId,
        /// Write what is unsent first.
        flush: bool,
    },
    /// Stop reading from it, or go on.
    Reading {
        /// Which.
        conn: ConnId,
        /// Read on?
        on: bool,
    },
    /// It has shown who it is: it goes before strangers.
    Known(ConnId),
    /// Connect. `Connected` or `DialFailed` follows, in any case within [`crate::limits::DIAL`].
    Dial {
        /// The attempt's name.
        dial: DialId,
        /// Where.
        place: Place,
        /// Whose certificate is expected.
        domain: Domain,
    },
    /// Do this. `Done` follows.
    Job {
        /// Its name.
        job: JobId,
        /// What.
        work: Job,
    },
    /// Commit this. `Committed` follows, in the order of the batches.
    Commit(Batch),
    /// Answer the operator.
    Control {
        /// Whose request.
        id: ControlId,
        /// The answer.
        reply: AdminReply,
    },
    /// All is told and kept: the process may end.
    Ended,
}
