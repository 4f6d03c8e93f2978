//! IMTP: messages out and in.
//!
//! A session hears nothing until it [listens](Session::listen); each message that comes then waits for
//! [`okay`](Session::okay) or [`refuse`](Session::refuse), which is what its sender is told.

use super::{Body, Failure, RequestId, Service, Told};
use crate::client::Error;
use crate::hub::address::{Address, Domains};
use crate::hub::pattern::{BadPattern, Class, Filter};
use crate::imtp::Protocol;
use crate::imtp::command::{self, Command, Okay};
use crate::imtp::error_type::ErrorType;
use crate::imtp::message::{Header, Message};
use crate::imtp::method::Method;
use crate::imtp::url::Url;
use crate::imtp::write::{self, Relayed};
use crate::limits;

/// The service of messages.
#[derive(Debug, Default)]
pub struct Imtp;

/// A connection for messages.
pub type Session = super::Session<Imtp>;

/// A message that waits for the program's answer. It can be answered once.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming(String);

/// A message that has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// From whom: an address, or the whole URL where it is of another scheme than ours.
    pub sender: String,
    /// Who wrote it, where a list has passed it on; nobody has checked that.
    pub original_sender: Option<String>,
    /// When it was sent, milliseconds since 1970, if it has waited for us on a server of hearth's kind; nobody
    /// has checked that.
    pub sent: Option<i64>,
    /// For a report of a server: the recipient of the message that it is about; nobody has checked that.
    pub regarding: Option<String>,
    /// What he says.
    pub body: Body,
}

/// A message was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// What the recipient's side says of itself: that he is away, for example.
    pub said: Option<Body>,
    /// Behind whom nobody knows what becomes of it (6.4): a domain or a URL. None: the recipient has it.
    pub unreliable: Option<String>,
}

/// What a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `listen`: messages come from now on.
    Listening,
    /// `send`
    Sent(Sent),
}

/// What the server tells: a message has come.
#[derive(Debug)]
pub struct Notice {
    /// For the answer.
    pub id: Incoming,
    /// The message.
    pub message: Received,
}

impl Service for Imtp {
    const PROTOCOL: Protocol = Protocol::Imtp;
    type Answer = Answer;
    type Notice = Notice;

    fn okayed(&mut self, method: Method, okay: &Okay<'_>, _: &Domains) -> Answer {
        if method == Method::Listen {
            return Answer::Listening;
        }
        Answer::Sent(Sent {
            said: okay.payload.as_ref().map(Body::from),
            unreliable: okay.unreliable.map(str::to_owned),
        })
    }

    fn failed(&mut self, _: Method, _: Option<&Address>, _: &Failure) {}

    fn told(&mut self, message: &Message<'_>, command: &Command<'_>, ours: &Domains) -> Told<Notice> {
        let Command::Send(send) = command else {
            return Told::Refuse(ErrorType::UnknownMethod, "clients are only sent messages");
        };
        let received = Received {
            sender: name(send.sender, ours),
            original_sender: message
                .get(Header::OrigSender)
                .and_then(|text| Url::parse(text, Protocol::Imtp))
                .map(|url| name(url, ours)),
            sent: extra(message, "Hearth-Sent").and_then(|text| text.parse().ok()),
            regarding: extra(message, "Hearth-Regarding")
                .and_then(|text| Url::parse(text, Protocol::Imtp))
                .map(|url| name(url, ours)),
            body: Body::from(&send.message),
        };
        Told::Later(Notice { id: Incoming(message.start().id.to_owned()), message: received })
    }
}

impl Session {
    /// Asks for the messages to us: of all senders, or of those of the patterns `only`; and not those of `except`.
    /// It replaces what was asked before (IMTP-16.1-6).
    ///
    /// # Errors
    /// [`Error::Caller`] if a pattern is none.
    pub fn listen(&mut self, only: &[&str], except: &[&str]) -> Result<RequestId, Error> {
        let class = |patterns: &[&str]| {
            Class::parse(patterns.iter().copied(), Protocol::Imtp.schemes(), &self.talk.ours).map_err(pattern)
        };
        let filter = Filter { only: class(only)?, except: class(except)? };
        let own = self.talk.own.clone();
        let listen = command::Listen { inbox: Url::from(&own), filter };
        self.talk.request(None, &Command::Listen(listen))
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address, or the message is too large.
    pub fn send(&mut self, to: &str, message: &Body) -> Result<RequestId, Error> {
        if message.octets.len() > limits::BODY {
            return Err(Error::Caller("the message is larger than 64 KiB"));
        }
        let (own, to) = (self.talk.own.clone(), self.talk.resolve(to)?);
        let send = command::Send {
            sender: Url::from(&own),
            inbox: Url::from(&to),
            visited: None,
            message: message.payload(),
        };
        self.talk.request(None, &Command::Send(send))
    }

    /// Tells the sender of a message that it has arrived, and what there is to say for now: that the user is
    /// away, for example.
    pub fn okay(&mut self, message: Incoming, said: Option<&Body>) {
        let payload = said.map(Body::payload);
        let Incoming(id) = message;
        write::ok(&mut self.talk.out, &id, Method::Send, None, payload.as_ref(), &Relayed::default());
    }

    /// Tells the sender of a message that it is not taken.
    pub fn refuse(&mut self, message: Incoming, error: ErrorType, description: &str) {
        let Incoming(id) = message;
        write::refuse(&mut self.talk.out, &id, Method::Send.as_str(), error, description);
    }
}

pub(super) fn pattern(bad: BadPattern) -> Error {
    Error::Caller(match bad {
        BadPattern::Malformed => "a pattern is a user@domain, *@domain, *@*.domain, or *",
        BadPattern::TooMany => "too many patterns",
    })
}

/// The value of a header that the protocol does not know.
fn extra<'a>(message: &Message<'a>, name: &str) -> Option<&'a str> {
    message.extras().find_map(|line| {
        let (found, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        (found == name).then_some(value.trim())
    })
}

/// As it is compared, where it is an address.
pub(super) fn name(url: Url<'_>, ours: &Domains) -> String {
    match url {
        Url::Own(identifier) => {
            identifier.address(ours).map_or_else(|_| identifier.as_str().to_owned(), |a| a.to_string())
        }
        Url::Other(text) => text.to_owned(),
    }
}
