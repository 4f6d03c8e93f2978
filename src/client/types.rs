//! What a client's program handles: accounts, messages, presence, and errors by whose fault they are.

use std::fmt;
use std::io;

use super::transfer::Failure;
use crate::credential::Secret;
use crate::limits;
use crate::simp::command::{self, Ima};
use crate::simp::framer::BadStream;
use crate::simp::write;

/// A string-to-string map, in order: a profile, or an access control list.
pub type Entries = Vec<(String, String)>;

/// Why something did not come about, by whose fault it is.
#[derive(Debug)]
pub enum Error {
    /// The caller's: it asked for what can't be asked. Nothing was sent.
    Caller(&'static str),
    /// The server, or the user at the other end, said no; its text.
    Refused(String),
    /// The same with IMTP and PITP, with who said it and why.
    Failed(Failure),
    /// The server's: it broke the protocol.
    Server(String),
    /// The network's, the name service's, or TLS's.
    Network(io::Error),
    /// Nobody's: there was no answer in the time given.
    Timeout,
    /// The connection was closed before the answer came.
    Ended,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Caller(what) => f.write_str(what),
            Error::Refused(text) => write!(f, "refused: {text}"),
            Error::Failed(failure) => write!(f, "refused: {failure}"),
            Error::Server(what) => write!(f, "the server broke the protocol: {what}"),
            Error::Network(error) => write!(f, "no connection: {error}"),
            Error::Timeout => f.write_str("no answer in time"),
            Error::Ended => f.write_str("the server closed the connection"),
        }
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Error {
        Error::Network(error)
    }
}

impl From<BadStream> for Error {
    fn from(bad: BadStream) -> Error {
        Error::Server(bad.to_string())
    }
}

/// What proves who the user is.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A device key (`hearth user key add`): its digest goes over the wire.
    DeviceKey(Secret),
    /// The account's password: goes over the wire itself, so only on TLS or loopback.
    Password(Secret),
}

/// Who logs in, and by what.
#[derive(Debug, Clone)]
pub struct Account {
    address: String,
    proof: Proof,
}

impl Account {
    /// An account `user@domain`.
    ///
    /// # Errors
    /// [`Error::Caller`] if the address is none.
    pub fn new(address: &str, proof: Proof) -> Result<Account, Error> {
        ima(address)?;
        Ok(Account { address: address.to_owned(), proof })
    }

    /// Its address; also the name it logs in with (OC-11).
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What it logs in by.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// To whom.
    pub to: String,
    /// Where answers are preferred, if not at the sender's address (SIMP-5.1-5).
    pub reply_to: Option<String>,
    /// The MIME type of the body (SIMP-5.1-4).
    pub content_type: String,
    /// The body, at most [`limits::BODY`] octets.
    pub body: String,
}

impl Message {
    /// Plain text.
    pub fn text(to: &str, body: &str) -> Message {
        let (to, body) = (to.to_owned(), body.to_owned());
        Message { to, reply_to: None, content_type: "text/plain".into(), body }
    }
}

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// Who sent it.
    pub from: String,
    /// Where he prefers answers, if he says so.
    pub reply_to: Option<String>,
    /// The MIME type of the body (SIMP-5.1-4).
    pub content_type: String,
    /// The body.
    pub body: String,
}

impl ReceivedMessage {
    /// Where an answer is to go: the address its sender prefers, else his own (SIMP-5.1-5).
    pub fn answer_to(&self) -> &str {
        self.reply_to.as_deref().unwrap_or(&self.from)
    }
}

pub use command::State as Status;

/// A user's presence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Presence {
    /// Whose.
    pub regarding: String,
    /// Online or offline.
    pub status: Status,
    /// Since when online, milliseconds since 1970.
    pub online: Option<i64>,
    /// His description of himself.
    pub message: String,
}

impl From<command::Presence<'_>> for Presence {
    fn from(p: command::Presence<'_>) -> Presence {
        Presence {
            regarding: p.regarding.as_str().to_owned(),
            status: p.status,
            online: p.online.map(|date| date.0),
            message: p.message.to_owned(),
        }
    }
}

/// The value of the profile's `buddies`: groups, each with the addresses in it, about whom the user asks
/// to be kept informed while he is online (SIMP-3.7-6, SIMP-3.7-9).
///
/// # Errors
/// [`Error::Caller`] if one of them is no address, or they are too many.
pub fn buddies(groups: &[(&str, &[&str])]) -> Result<String, Error> {
    let all = groups.iter().flat_map(|(_, addresses)| addresses.iter());
    if all.clone().count() > limits::BUDDIES {
        return Err(Error::Caller("too many buddies"));
    }
    for address in all {
        ima(address)?;
    }
    let lists: Vec<String> = groups.iter().map(|(_, addresses)| addresses.join(" ")).collect();
    let mut out = Vec::new();
    write::object(&mut out, groups.iter().zip(&lists).map(|((group, _), list)| (*group, list.as_str())));
    String::from_utf8(out).map_err(|_| Error::Caller("buddies are not text"))
}

/// An address given by the caller.
pub(super) fn ima(text: &str) -> Result<Ima<'_>, Error> {
    Ima::parse(text).ok_or(Error::Caller("an address has the form user@domain"))
}
