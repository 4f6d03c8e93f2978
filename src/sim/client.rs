//! The other end of a connection: a client, or another domain's server played by a test.
//!
//! A client writes and reads the wire by code of its own, in SIMP, IMTP or PITP; what it has received waits in
//! `inbox` until a test takes it, each message as an [`Object`]. Requests that it receives it may answer by itself.

use std::collections::VecDeque;
use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

use crate::federation::Protocol;
use crate::node::io::Alpn;

use super::net::WireId;
use super::reader::{Object, Reader};
use super::sasl::Entrance;
use super::transfer;

/// A client's index in the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClientId(pub usize);

/// How a connection is read, which depends on its protocol.
#[derive(Debug)]
pub enum Speech {
    /// SIMP.
    Simp(Reader),
    /// IMTP or PITP.
    Transfer(Protocol, transfer::Reader),
}

impl Speech {
    /// At the beginning of a connection.
    pub fn of(protocol: Protocol) -> Speech {
        match protocol {
            Protocol::Simp => Speech::Simp(Reader::default()),
            Protocol::Imtp | Protocol::Pitp => Speech::Transfer(protocol, transfer::Reader::default()),
        }
    }

    /// Which protocol it is.
    pub fn protocol(&self) -> Protocol {
        match self {
            Speech::Simp(_) => Protocol::Simp,
            Speech::Transfer(protocol, _) => *protocol,
        }
    }

    /// Takes in octets and gives what is complete.
    ///
    /// # Errors
    /// What a server has no business to write.
    pub fn read(&mut self, data: &[u8]) -> Result<Vec<Object>, String> {
        match self {
            Speech::Simp(reader) => reader.read(data),
            Speech::Transfer(_, reader) => reader.read(data),
        }
    }

    /// Has the server ended its stream? IMTP and PITP have no end but that of the connection.
    pub fn ended(&self) -> bool {
        match self {
            Speech::Simp(reader) => reader.ended(),
            Speech::Transfer(..) => true,
        }
    }

    /// An object as octets.
    pub fn write(&self, object: &Object) -> Vec<u8> {
        match self {
            Speech::Simp(_) => object.to_xml().into_bytes(),
            Speech::Transfer(..) => transfer::write(object),
        }
    }
}

/// What a client does with a request that it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Leaves it to the test; it waits in the inbox.
    ByHand,
    /// Answers `okay` or `ok` and keeps it in the inbox.
    Okay,
    /// Answers `error` and keeps it in the inbox.
    Error,
}

/// How a login is to be done.
#[derive(Debug, Clone)]
pub struct Login {
    /// The `user` entry, and what the digest is made with.
    pub user: String,
    /// The secret.
    pub key: String,
    /// The extra entry `algorithms`, if any.
    pub algorithms: Option<String>,
    /// The `version` of `connect`.
    pub version: String,
    /// The connection that will be the notification connection.
    pub endpoint: ClientId,
}

/// What becomes of an endpoint's login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is no endpoint that logs in by itself.
    Plain,
    /// Waiting for the challenge, or for the answer to `connect`.
    LoggingIn,
    /// `self` has come.
    In,
    /// `error` has come, or the connection broke before `self`.
    Refused,
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// For transcripts.
    pub name: String,
    /// Its connection and its side of it, while it has one.
    pub wire: Option<(WireId, usize)>,
    /// Its address.
    pub address: SocketAddr,
    /// Its protocol, and what has been read of it.
    pub speech: Speech,
    /// What has come and was not taken, and when (milliseconds).
    pub inbox: VecDeque<(u64, Object)>,
    /// What it does with `send`.
    pub sends: Answer,
    /// What it does with notifications.
    pub notes: Answer,
    /// The number of its next request.
    pub next_request: u64,
    /// The id of the request last taken from the inbox, and its action.
    pub asked: Option<(String, String)>,
    /// The server's side of the connection is closed.
    pub closed: bool,
    /// Written before the connection was open.
    pub outgoing: Vec<u8>,
    /// Octets received in all.
    pub received: usize,
    /// Set on a routing connection that logs in for an endpoint.
    pub login: Option<Login>,
    /// An authentication by SASL that is under way.
    pub entrance: Option<Entrance>,
    /// A played server that lets everybody in by itself.
    pub welcoming: bool,
    /// Of an endpoint.
    pub stage: Stage,
    /// Names of the TLS certificate it shows, if it opens with TLS.
    pub tls: Option<Vec<String>>,
    /// The protocol it names on TLS.
    pub alpn: Alpn,
}

impl Client {
    /// One that is not connected yet.
    pub fn new(name: &str, address: SocketAddr) -> Client {
        Client {
            name: name.to_owned(),
            wire: None,
            address,
            speech: Speech::of(Protocol::Simp),
            inbox: VecDeque::new(),
            sends: Answer::ByHand,
            notes: Answer::Okay,
            next_request: 1,
            asked: None,
            closed: false,
            outgoing: Vec::new(),
            received: 0,
            login: None,
            entrance: None,
            welcoming: false,
            stage: Stage::Plain,
            tls: None,
            alpn: Alpn::Simp,
        }
    }

    /// Takes the first object in the inbox that is wanted.
    pub fn take(&mut self, wanted: impl Fn(&Object) -> bool) -> Option<Object> {
        let at = self.inbox.iter().position(|(_, object)| wanted(object))?;
        let (_, object) = self.inbox.remove(at)?;
        if let Some(id) = object.get("request") {
            self.asked = Some((id.to_owned(), object.action().to_owned()));
        }
        Some(object)
    }

    /// What this client answers by itself to an object, if anything.
    pub fn automatic(&self, object: &Object) -> Option<Object> {
        let id = object.get("request")?;
        let answer = match object.action() {
            "send" => self.sends,
            "note change" | "note subscription end" => self.notes,
            "change-notify" | "terminate-notify" => self.notes,
            "subscribe-notify" | "unsubscribe-notify" | "fetch-notify" | "shutdown" => self.notes,
            _ => Answer::ByHand,
        };
        self.speech.answer(answer, id, object.action())
    }
}

impl Speech {
    /// An answer to a request of this id and action.
    fn answer(&self, answer: Answer, id: &str, action: &str) -> Option<Object> {
        let simp = matches!(self, Speech::Simp(_));
        let entries = match (answer, simp) {
            (Answer::ByHand, _) => return None,
            (Answer::Okay, true) => vec![("action", "okay"), ("message", "by itself")],
            (Answer::Error, true) => vec![("action", "error"), ("message", "by itself")],
            (Answer::Okay, false) => vec![("action", "ok"), ("method", action)],
            (Answer::Error, false) => {
                vec![("action", "error"), ("method", action), ("Error-Type", "resources")]
            }
        };
        let mut answer = Object::new(&entries);
        answer.entries.insert(1, ("response".to_owned(), id.to_owned()));
        Some(answer)
    }
}

/// `authorization` for a challenge: Base64 of the digest of `user:key:nonce` (SIMP-7.1-4 to 6).
pub fn authorization(algorithm: &str, user: &str, key: &str, nonce: &str) -> String {
    digest(algorithm, &format!("{user}:{key}:{nonce}"))
}

/// Base64 of the digest of a text; `PLAIN` is the text itself.
pub fn digest(algorithm: &str, text: &str) -> String {
    match algorithm.to_ascii_uppercase().as_str() {
        "PLAIN" => STANDARD.encode(text),
        "SHA-256" => STANDARD.encode(sha2::Sha256::digest(text)),
        _ => STANDARD.encode(md5::Md5::digest(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_equal_those_computed_by_other_means() {
        // SIMP-7.1-4, SIMP-7.1-5, SIMP-7.1-6, OC-11, OC-12, OC-13
        for (algorithm, user, key, nonce, want) in [
            ("MD5", "alice", "correct horse", "7f3a9c51e0b24d68", "OZj9/qxoYz93hRSA3X/2yg=="),
            ("MD5", "alice", "correct horse", "c0ffee00d15ea5e5", "63gHr08vGq/BwVIZ/gpFZw=="),
            ("MD5", "bob", "a:b", "n:1", "UuueofQS5hqEecrdVUdcqw=="),
            ("MD5", "zo\u{eb}", "p\u{e2}ss w\u{f6}rd", "42", "Bxy2q4T7Z5CSI9PgfaBfkQ=="),
            ("MD5", "alice@example.org", "correct horse", "7f3a9c51e0b24d68", "8xW2YbOcfa+GXXrrFlEgSQ=="),
            (
                "SHA-256",
                "alice",
                "correct horse",
                "7f3a9c51e0b24d68",
                "jT2nW4q37pxY0C/KYyjvCyeErs4u1dT0K54k6mZZqtg=",
            ),
        ] {
            assert_eq!(authorization(algorithm, user, key, nonce), want);
        }
    }
}
