//! What an operator asks of a running server through its control socket: one JSON object a line, one
//! answer a line. The same [`Change`]s are made directly on the database when no server runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::store::record::{Change, Outcome};

/// A request, octets: a change with its verifiers takes a few hundred.
pub const LINE: usize = 64 * 1024;

/// What has been read of a connection to the control socket, taken apart into requests. Device keys come this way:
/// nothing of it is left when it was dealt with.
#[derive(Debug, Default)]
pub struct Lines {
    input: Zeroizing<Vec<u8>>,
    spoilt: bool,
}

impl Lines {
    /// Takes in what was read. Nothing more comes of a connection on which a line was too long.
    pub fn receive(&mut self, data: &[u8]) {
        if self.spoilt {
            return;
        }
        let whole = self.input.len() + data.len();
        if whole > self.input.capacity() {
            let mut roomy = Zeroizing::new(Vec::with_capacity(whole.max(2 * self.input.len())));
            roomy.extend_from_slice(&self.input);
            self.input = roomy;
        }
        self.input.extend_from_slice(data);
    }

    /// The next whole line: a request, or why it is none. None: it has yet to come.
    pub fn next_request(&mut self) -> Option<Result<AdminRequest, String>> {
        let Some(end) = memchr::memchr(b'\n', &self.input) else {
            if self.input.len() <= LINE {
                return None;
            }
            self.input = Zeroizing::default();
            self.spoilt = true;
            return Some(Err("a request is at most 64 KiB".to_owned()));
        };
        let request = serde_json::from_slice(self.input.get(..end).unwrap_or_default());
        self.input = Zeroizing::new(self.input.get(end + 1..).unwrap_or_default().to_vec());
        Some(request.map_err(|e| format!("no request that this version knows: {e}")))
    }

    /// Is there a whole line?
    pub fn has_more(&self) -> bool {
        memchr::memchr(b'\n', &self.input).is_some()
    }

    /// Has there been a line that was too long?
    pub fn is_spoilt(&self) -> bool {
        self.spoilt
    }
}

/// A request on the control socket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminRequest {
    /// Change what is kept; answered after it is committed.
    Change(Change),
    /// How is the server?
    Status,
    /// Find and connect to the home server of a domain, and say how it went.
    PeerTest {
        /// Which domain.
        domain: String,
    },
    /// The peers that the server has links with.
    Peers,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AdminReply {
    /// What came of a change.
    Outcome(Outcome),
    /// How the server is.
    Status(Box<Status>),
    /// The links.
    Peers(Vec<PeerStatus>),
    /// How a peer is reached: the steps taken, in words.
    PeerTest {
        /// Is it reached, for messages and for presence?
        reached: bool,
        /// What was tried and what came of it, a line each.
        steps: Vec<String>,
    },
    /// It could not be done; why, in one line.
    Failed(String),
}

/// How a running server is. Counters count from its start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Its domains.
    pub domains: Vec<String>,
    /// Users with at least one live endpoint.
    pub users_online: usize,
    /// Live endpoints.
    pub endpoints: usize,
    /// Open connections of any kind.
    pub connections: usize,
    /// Links to peers that are up.
    pub links: usize,
    /// The same by the protocol's name.
    pub links_by_protocol: BTreeMap<String, usize>,
    /// Accounts held in memory.
    pub accounts_in_memory: usize,
    /// Requests that wait for an answer.
    pub requests_waiting: usize,
    /// Messages that users and peers asked to have delivered.
    pub messages: u64,
    /// Of those, delivered.
    pub messages_delivered: u64,
    /// Of those, refused or failed.
    pub messages_refused: u64,
    /// Of those, kept for a login.
    pub messages_kept: u64,
    /// Presence notifications sent.
    pub notifications: u64,
    /// Logins that succeeded.
    pub logins: u64,
    /// Logins that failed.
    pub logins_failed: u64,
    /// Connections closed for breaking the protocol or a limit.
    pub connections_cut: u64,
    /// Batches committed.
    pub batches: u64,
    /// Batches that failed (a full disk, say).
    pub batches_failed: u64,
}

/// A link to a peer domain, or what is without one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// The domain.
    pub domain: String,
    /// What the link speaks: `simp`, `imtp`, `pitp`; none where there is no link yet.
    pub protocol: Option<String>,
    /// What goes over it, or wants to: `messages`, `presence`.
    pub carries: Vec<String>,
    /// `up`, `greeting`, `connecting`; without a link `resolving`, `waiting`, `idle`.
    pub state: String,
    /// The address in use or last tried.
    pub address: Option<String>,
    /// Requests on their way.
    pub waiting: usize,
    /// What went wrong last.
    pub trouble: Option<String>,
}
