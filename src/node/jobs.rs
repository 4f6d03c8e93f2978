//! Work given away, and what it was for.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::io::{ConnId, JobId};
use crate::hub;
use crate::hub::address::Domain;

/// What the result of a job is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The hub asked the store.
    Hub(hub::Purpose),
    /// Where is the server of a domain that we want to reach?
    Resolve(Arc<str>),
    /// Does this connection, from this address, speak for the domain?
    Vouch(ConnId, (IpAddr, Domain)),
    /// What a login is checked against.
    Credentials(ConnId),
    /// A login's password.
    Password(ConnId),
    /// The rules about peers, at the start.
    PeerRules,
}

/// Jobs under way.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    open: HashMap<JobId, Purpose>,
    next: u64,
}

impl Jobs {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// A name for a new job.
    pub fn open(&mut self, purpose: Purpose) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        self.open.insert(id, purpose);
        id
    }

    /// How many are under way.
    pub fn under_way(&self) -> usize {
        self.open.len()
    }

    /// It is done: what was it for?
    pub fn close(&mut self, id: JobId) -> Option<Purpose> {
        self.open.remove(&id)
    }
}
