//! What an IMTP or PITP connection remembers beside what every connection does: how far its stream has been
//! read, which of the peer's commands wait for their answers, and how far the authentication has come.

use std::collections::{HashMap, VecDeque};

use compact_str::CompactString;
use foldhash::fast::RandomState;

use super::Protocol;
use super::framer::Framer;
use super::method::Method;
use crate::clock::{Now, Tick};
use crate::credential::Secret;
use crate::credential::sasl::Mechanism;
use crate::credential::scram;
use crate::hub::Epoch;
use crate::hub::address::{Address, Domain};

/// Ids of commands of ours whose answers mean nothing to anybody but us are below this; those of requests that
/// cross the hub are not.
pub(super) const NOTICES: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Session {
    /// Which of the two is spoken.
    pub protocol: Protocol,
    /// How far the stream has been read.
    pub framer: Framer,
    /// The mechanisms offered: a bit for each of [`Mechanism::ALL`]. They never change (TOC-18).
    pub offered: u8,
    /// It was authenticated by a password in clear.
    pub by_password: bool,
    /// Authentications of this connection that have failed.
    pub failures: u8,
    /// Answers to nothing that was asked.
    pub strays: u8,
    /// Our own connection to a peer: how far its greeting has come.
    pub greeting: Greeting,
    /// NOPs that were read lately: how many, in the minute that began then.
    nops: (u16, Tick),
    /// The last id of a command that nobody waits for.
    notices: u32,
    /// Commands of the peer's that wait for our answers: on a link there may be thousands.
    pub asked: HashMap<CompactString, Method, RandomState>,
    /// Our commands that nobody waits for, oldest first.
    pub told: VecDeque<(u32, Method)>,
    /// Authentication under way.
    pub exchange: Option<Box<Exchange>>,
    /// Whose connection it is, once a user has proved himself.
    pub user: Option<Address>,
}

/// How far the authentication of our own connection has come (8.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Greeting {
    /// The first list of mechanisms has yet to come.
    #[default]
    Listening,
    /// EXTERNAL has been asked for; the fingerprint is that of the list.
    Asked(u32),
    /// It was granted: the second list has yet to come.
    Granted(u32),
    /// It may be spoken on.
    Over,
}

/// NOPs and lines that mean nothing, a minute (TOC-14).
const NOPS: u16 = 600;

impl Session {
    /// Of a new connection.
    pub fn new(protocol: Protocol) -> Session {
        Session {
            protocol,
            framer: Framer::new(),
            offered: 0,
            by_password: false,
            failures: 0,
            strays: 0,
            greeting: Greeting::default(),
            nops: (0, Tick::default()),
            notices: 0,
            asked: HashMap::default(),
            told: VecDeque::new(),
            exchange: None,
            user: None,
        }
    }

    /// Is this mechanism offered?
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        self.offered & bit(mechanism) != 0
    }

    /// Offers it.
    pub fn offer(&mut self, mechanism: Mechanism) {
        self.offered |= bit(mechanism);
    }

    /// The names of what is offered, the best first.
    pub fn mechanisms(&self) -> impl Iterator<Item = &'static str> + use<> {
        let offered = self.offered;
        Mechanism::ALL.into_iter().filter(move |m| offered & bit(*m) != 0).map(Mechanism::name)
    }

    /// One more line without a meaning; false if there were too many of late.
    pub fn may_nop(&mut self, now: Now) -> bool {
        if now.tick.since(self.nops.1).as_secs() >= 60 {
            self.nops = (0, now.tick);
        }
        self.nops.0 += 1;
        self.nops.0 <= NOPS
    }

    /// The id of a command of ours that nobody waits for; none if the peer leaves too many of them unanswered.
    pub fn tell(&mut self, method: Method, most: usize) -> Option<u64> {
        if self.told.len() >= most {
            return None;
        }
        self.notices = self.notices % (NOTICES as u32 - 1) + 1;
        self.told.push_back((self.notices, method));
        Some(u64::from(self.notices))
    }

    /// A command of the peer's has its answer: which was it?
    pub fn answered(&mut self, id: &str) -> Option<Method> {
        self.asked.remove(id)
    }

    /// Nothing was said for a while: what is not used is given back.
    pub fn rest(&mut self) {
        self.asked.shrink_to_fit();
        self.told.shrink_to_fit();
    }

    /// Is a command of this id still waiting for its answer (COMMON-10-19)?
    pub fn is_waiting(&self, id: &str) -> bool {
        self.asked.contains_key(id)
    }
}

fn bit(mechanism: Mechanism) -> u8 {
    1 << Mechanism::ALL.iter().position(|m| *m == mechanism).unwrap_or(7)
}

/// An authentication under way (8.1).
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The `auth` that has yet to be answered.
    pub id: CompactString,
    /// How far it has come.
    pub stage: Stage,
    /// Whom the user claims to be, if it can be anybody of ours.
    pub address: Option<Address>,
    /// How he has proved it.
    pub proof: CompactString,
    /// The verifier that his proof fits.
    pub against: Box<str>,
    /// The state of the operator's changes when the credentials were asked for.
    pub epoch: Epoch,
    /// What is sent along with the ok.
    pub last: Vec<u8>,
}

/// See [`Exchange`].
#[derive(Debug)]
pub(crate) enum Stage {
    /// The first message of the mechanism has yet to come.
    Begun(Mechanism),
    /// SCRAM: the keys are being read.
    Looking(scram::ClientFirst),
    /// SCRAM: challenged.
    Challenged(Box<scram::Exchange>),
    /// PLAIN: the verifier is being read, or the password is being checked.
    Password(Option<Secret>),
    /// EXTERNAL: DNS is being asked whether this is a server of the domain.
    Asking(Domain),
    /// Proved: the account is being read.
    Proved,
    /// Failed: to be told then.
    Failed(Tick),
}
