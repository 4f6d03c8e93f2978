//! Commands and responses: what a message means.
//!
//! Third in the flow of what is received. A command becomes one of the twenty of the draft, every required
//! header there and of its syntax, or is refused with a [`Fault`], which says what to answer. These are steps 2 and 3
//! of the order of checks (3.8); who may speak for the source, and what follows, is decided later. The same
//! types are what [`write`](super::write) takes.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use super::Protocol;
use super::error_type::{ErrorType, Reason};
use super::framer::is_mechanism;
use super::message::{Header, Kind, Message};
use super::method::{Allowed, Method, Side};
use super::url::{Subscription, Url, Visited};
use crate::hub::address::Domains;
use crate::hub::op::TxId;
use crate::hub::pattern::{BadPattern, Class, Filter};
use crate::mime::is_media_type;

/// Why a command is refused before anything is done. Its text is the `Error-Description` (TOC-44).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A line among the headers is no header, or continues none, or is blank but not empty.
    Line,
    /// The headers are not UTF-8, or have control characters (TOC-39).
    Text,
    /// The service has no such method, or the sender may not send it (COMMON-10-26, TOC-25).
    UnknownMethod,
    /// `Content-Transfer-Encoding` (COMMON-10-16, COMMON-10-17).
    Encoding,
    /// A payload where none is allowed (TOC-37).
    Payload,
    /// No payload where one is required.
    NoPayload,
    /// A required header is missing (TOC-40).
    Missing(Header),
    /// A header does not fit its syntax (COMMON-10-20).
    Value(Header),
    /// A client gives a connection-id, which only servers do (PITP-11.7-4, PITP-11.7-8).
    ConnectionId,
    /// A class or filter of too many patterns (TOC-34).
    Patterns,
    /// A payload over its limit, which is answered with this type (TOC-33).
    TooLarge(ErrorType),
    /// A response to another command, or not as it has to be (TOC-48).
    Response,
}

impl Fault {
    /// What the command is answered with.
    pub fn error_type(self) -> ErrorType {
        match self {
            Fault::UnknownMethod => ErrorType::UnknownMethod,
            Fault::Patterns => ErrorType::Quota,
            Fault::TooLarge(error) => error,
            _ => ErrorType::Malformed,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::Line => "a line among the headers is not a header",
            Fault::Text => "the headers are not text",
            Fault::UnknownMethod => "this method is not served here",
            Fault::Encoding => "Content-Transfer-Encoding is not allowed",
            Fault::Payload => "this method has no payload",
            Fault::NoPayload => "there is no payload",
            Fault::Missing(header) => return write!(f, "there is no {}", header.as_str()),
            Fault::Value(header) => return write!(f, "{} has no proper value", header.as_str()),
            Fault::ConnectionId => "a client leaves the connection-id of Subscription blank",
            Fault::Patterns => "too many patterns",
            Fault::TooLarge(_) => "the payload is too large",
            Fault::Response => "the response is not as it has to be",
        })
    }
}

/// A payload with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Its media type, if it says so; else the [protocol's](Protocol::default_type). Folds are undone.
    pub content_type: Option<Cow<'a, str>>,
    /// Any octets.
    pub octets: &'a [u8],
}

/// Which mapping of a presentity's list (PITP-11.5-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// From 1.
    Number(NonZeroU32),
    /// Well-formed, and larger than any list: `mapping-range`.
    TooLarge,
}

impl Mapping {
    /// Reads a positive decimal number without leading zeros.
    pub fn parse(text: &str) -> Option<Mapping> {
        if !text.bytes().all(|b| b.is_ascii_digit()) || !matches!(text.as_bytes().first(), Some(b'1'..)) {
            return None;
        }
        Some(text.parse().map_or(Mapping::TooLarge, Mapping::Number))
    }
}

/// `auth` (14.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth<'a> {
    /// Begins an exchange.
    Begin {
        /// A name in any case (G22).
        mechanism: &'a str,
        /// The initial response; an empty one is not the same as none.
        initial: Option<&'a [u8]>,
    },
    /// Answers a challenge.
    Continue {
        /// The response.
        response: &'a [u8],
    },
    /// Ends the exchange.
    Abort,
}

/// `fetch` (15.4), `fetch-notify` (15.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fetch<'a> {
    /// Who reads.
    pub watcher: Url<'a>,
    /// Whose presence.
    pub presentity: Url<'a>,
}

/// `subscribe`, `terminate`, `unsubscribe` and the three that notify of them (15.11 to 15.16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watch<'a> {
    /// Who watches.
    pub subscription: Subscription<'a>,
    /// Whom.
    pub presentity: Url<'a>,
}

/// `change-notify` (15.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeNotify<'a> {
    /// Whose presence has changed.
    pub presentity: Url<'a>,
    /// For whom.
    pub subscription: Subscription<'a>,
    /// What he sees now.
    pub document: Payload<'a>,
}

/// One mapping of a presentity's list: `delete-mapping`, `fetch-for-update`, `get-class` (15.3, 15.5, 15.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At<'a> {
    /// Whose list.
    pub presentity: Url<'a>,
    /// Which mapping.
    pub mapping: Mapping,
}

/// `change` (15.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change<'a> {
    /// Which mapping.
    pub at: At<'a>,
    /// What it shows from now on; without it, nothing: access is denied (PITP-15.1-3).
    pub document: Option<Payload<'a>>,
}

/// `insert-mapping` (15.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InsertMapping<'a> {
    /// Which number it gets.
    pub at: At<'a>,
    /// Whom it is for.
    pub class: Class,
    /// What it shows them, if anything.
    pub document: Option<Payload<'a>>,
}

/// `set-class` (15.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetClass<'a> {
    /// Which mapping.
    pub at: At<'a>,
    /// Whom it is for from now on.
    pub class: Class,
}

/// `listen` (16.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen<'a> {
    /// Whose messages are wanted.
    pub inbox: Url<'a>,
    /// From whom.
    pub filter: Filter,
}

/// `send` (16.2). `Orig-Sender` and `Orig-Inbox` are well-formed and stay in the message
/// ([`Message::extras`] has them): nothing is done by them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send<'a> {
    /// From whom.
    pub sender: Url<'a>,
    /// To whom.
    pub inbox: Url<'a>,
    /// Where it has been; none, if it comes from its sender.
    pub visited: Option<Visited<'a>>,
    /// What is said.
    pub message: Payload<'a>,
}

/// A well-formed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// `auth`
    Auth(Auth<'a>),
    /// `shutdown`: the client is asked to move to another server.
    Shutdown,
    /// `change`
    Change(Change<'a>),
    /// `change-notify`
    ChangeNotify(ChangeNotify<'a>),
    /// `delete-mapping`
    DeleteMapping(At<'a>),
    /// `fetch`
    Fetch(Fetch<'a>),
    /// `fetch-for-update`
    FetchForUpdate(At<'a>),
    /// `fetch-notify`
    FetchNotify(Fetch<'a>),
    /// `get-class`
    GetClass(At<'a>),
    /// `insert-mapping`
    InsertMapping(InsertMapping<'a>),
    /// `set-class`
    SetClass(SetClass<'a>),
    /// `start-wi`
    StartWi {
        /// Whose watchers are to be told of.
        presentity: Url<'a>,
    },
    /// `subscribe`
    Subscribe(Watch<'a>),
    /// `subscribe-notify`
    SubscribeNotify(Watch<'a>),
    /// `terminate`
    Terminate(Watch<'a>),
    /// `terminate-notify`
    TerminateNotify(Watch<'a>),
    /// `unsubscribe`
    Unsubscribe(Watch<'a>),
    /// `unsubscribe-notify`
    UnsubscribeNotify(Watch<'a>),
    /// `listen`
    Listen(Listen<'a>),
    /// `send`
    Send(Send<'a>),
}

impl<'a> Command<'a> {
    /// Reads a command of this service that came from this side; `ours` tells which domains fold the case of local
    /// parts.
    ///
    /// What only clients send is read from a server of another domain too: if it speaks for a source that isn't its
    /// own, that has to be answered first (3.8). Whoever takes commands of such a server asks
    /// [`Method::is_sent_by`] after that.
    ///
    /// # Errors
    /// [`Fault`]: what is wrong with it, which says what to answer.
    pub fn parse(
        message: &Message<'a>,
        protocol: Protocol,
        side: Side,
        ours: &Domains,
    ) -> Result<Command<'a>, Fault> {
        let method = Command::admitted(message, protocol, side)?;
        match (method.payload(), message.payload()) {
            (Allowed::No, Some(_)) => return Err(Fault::Payload),
            (Allowed::Must, None) => return Err(Fault::NoPayload),
            _ => {}
        }
        Reader { message: *message, protocol, ours }.command(method, side)
    }

    /// What is answered to a command whose payload is over its limit
    /// ([`Step::Oversized`](super::framer::Step::Oversized)), unless who sent it has to hear something about himself first.
    pub fn oversized(message: &Message<'a>, protocol: Protocol, side: Side) -> Fault {
        match Command::admitted(message, protocol, side) {
            Ok(method) if method.payload() == Allowed::No => Fault::Payload,
            Ok(method) => Fault::TooLarge(method.too_much()),
            Err(fault) => fault,
        }
    }

    /// The checks that come before what a method has in particular.
    fn admitted(message: &Message<'a>, protocol: Protocol, side: Side) -> Result<Method, Fault> {
        let method = Method::of(message.start().method).filter(|m| m.is_of(protocol));
        let method = method.ok_or(Fault::UnknownMethod)?;
        let is_sent = method.is_sent_by(side) || side == Side::Peer && method.is_sent_by(Side::Client);
        if !is_sent || message.start().kind != Kind::Command {
            return Err(Fault::UnknownMethod);
        }
        if let Some(fault) = message.fault() {
            return Err(fault);
        }
        if message.get(Header::ContentTransferEncoding).is_some() {
            return Err(Fault::Encoding);
        }
        Ok(method)
    }

    /// Which it is.
    pub fn method(&self) -> Method {
        match self {
            Command::Auth(_) => Method::Auth,
            Command::Shutdown => Method::Shutdown,
            Command::Change(_) => Method::Change,
            Command::ChangeNotify(_) => Method::ChangeNotify,
            Command::DeleteMapping(_) => Method::DeleteMapping,
            Command::Fetch(_) => Method::Fetch,
            Command::FetchForUpdate(_) => Method::FetchForUpdate,
            Command::FetchNotify(_) => Method::FetchNotify,
            Command::GetClass(_) => Method::GetClass,
            Command::InsertMapping(_) => Method::InsertMapping,
            Command::SetClass(_) => Method::SetClass,
            Command::StartWi { .. } => Method::StartWi,
            Command::Subscribe(_) => Method::Subscribe,
            Command::SubscribeNotify(_) => Method::SubscribeNotify,
            Command::Terminate(_) => Method::Terminate,
            Command::TerminateNotify(_) => Method::TerminateNotify,
            Command::Unsubscribe(_) => Method::Unsubscribe,
            Command::UnsubscribeNotify(_) => Method::UnsubscribeNotify,
            Command::Listen(_) => Method::Listen,
            Command::Send(_) => Method::Send,
        }
    }

    /// For whom the requestor speaks (6.1).
    pub fn source(&self) -> Option<Url<'a>> {
        match self {
            Command::Auth(_)
            | Command::Shutdown
            | Command::FetchNotify(_)
            | Command::SubscribeNotify(_)
            | Command::TerminateNotify(_)
            | Command::UnsubscribeNotify(_) => None,
            Command::Change(Change { at, .. })
            | Command::InsertMapping(InsertMapping { at, .. })
            | Command::SetClass(SetClass { at, .. })
            | Command::DeleteMapping(at)
            | Command::FetchForUpdate(at)
            | Command::GetClass(at) => Some(at.presentity),
            Command::ChangeNotify(notify) => Some(notify.presentity),
            Command::StartWi { presentity } => Some(*presentity),
            Command::Terminate(watch) => Some(watch.presentity),
            Command::Fetch(fetch) => Some(fetch.watcher),
            Command::Subscribe(watch) | Command::Unsubscribe(watch) => Some(watch.subscription.watcher),
            Command::Listen(listen) => Some(listen.inbox),
            Command::Send(send) => Some(send.sender),
        }
    }

    /// To whom it is to be done.
    pub fn target(&self) -> Option<Url<'a>> {
        match self {
            Command::Fetch(fetch) => Some(fetch.presentity),
            Command::Subscribe(watch) => Some(watch.presentity),
            Command::Send(send) => Some(send.inbox),
            _ => None,
        }
    }
}

/// The ok to a command.
#[derive(Debug, Clone)]
pub struct Okay<'a> {
    /// The document, or what an absent reader says, or data of the authentication.
    pub payload: Option<Payload<'a>>,
    /// Who could not get a final acknowledgement (6.4): a domain or a URL, as it came.
    pub unreliable: Option<&'a str>,
    message: Message<'a>,
    protocol: Protocol,
}

impl<'a> Okay<'a> {
    /// The patterns of a class, in answer to `get-class`.
    pub fn patterns(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.message.all(Header::Wpattern)
    }

    /// Who watches, in answer to `start-wi`.
    pub fn subscriptions(&self) -> impl Iterator<Item = Subscription<'a>> + use<'a> {
        let protocol = self.protocol;
        self.message.all(Header::Subscription).filter_map(move |text| Subscription::parse(text, protocol))
    }
}

/// The error to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure<'a> {
    /// What kind of failure.
    pub reason: Reason<'a>,
    /// For people; as it came, folds are possible.
    pub description: Option<&'a str>,
    /// Who has failed, if it is not the answering party: a domain or a URL, as it came (6.3).
    pub originator: Option<&'a str>,
    /// With `sasl-challenge`: the challenge.
    pub challenge: Option<&'a [u8]>,
}

/// A well-formed response.
#[derive(Debug, Clone)]
pub enum Response<'a> {
    /// It is done.
    Ok(Okay<'a>),
    /// It is not done.
    Error(Failure<'a>),
}

impl<'a> Response<'a> {
    /// Reads the response to a command of this method.
    ///
    /// # Errors
    /// [`Fault`]: the requestor is told `communications` (TOC-48).
    pub fn parse(message: &Message<'a>, method: Method, protocol: Protocol) -> Result<Response<'a>, Fault> {
        if let Some(fault) = message.fault() {
            return Err(fault);
        }
        if message.start().method != method.as_str() {
            return Err(Fault::Response);
        }
        let none = Domains::default();
        let reader = Reader { message: *message, protocol, ours: &none };
        match message.start().kind {
            Kind::Command => Err(Fault::Response),
            Kind::Ok => reader.okay(method).map(Response::Ok),
            Kind::Error => reader.failure(method).map(Response::Error),
        }
    }
}

/// Takes an ok off the front of `data` if it is written exactly as [`write::ok`](super::write::ok) writes the one that
/// most commands of ours get: what it answers, and how many octets it took. `of` knows which method that was of.
/// Nobody need take such a one apart. None: it is something else, or not whole.
pub(super) fn plain_ok(data: &[u8], of: impl FnOnce(TxId) -> Option<Method>) -> Option<(TxId, usize)> {
    let [b'<', rest @ ..] = data else { return None };
    let (tx, rest) = TxId::read(rest)?;
    let rest = rest.strip_prefix(b" ok (")?;
    let rest = rest.strip_prefix(of(tx)?.as_str().as_bytes())?;
    let rest = rest.strip_prefix(b")\r\n\r\n")?;
    Some((tx, data.len() - rest.len()))
}

/// Reads the headers of one message.
struct Reader<'a, 'd> {
    message: Message<'a>,
    protocol: Protocol,
    ours: &'d Domains,
}

impl<'a> Reader<'a, '_> {
    fn command(&self, method: Method, side: Side) -> Result<Command<'a>, Fault> {
        Ok(match method {
            Method::Auth => Command::Auth(self.auth()?),
            Method::Shutdown => Command::Shutdown,
            Method::Change => Command::Change(Change { at: self.at()?, document: self.payload()? }),
            Method::ChangeNotify => Command::ChangeNotify(ChangeNotify {
                presentity: self.url(Header::Presentity)?,
                subscription: self.subscription(Header::Subscription)?,
                document: self.payload()?.ok_or(Fault::NoPayload)?,
            }),
            Method::DeleteMapping => Command::DeleteMapping(self.at()?),
            Method::Fetch => Command::Fetch(self.fetch()?),
            Method::FetchForUpdate => Command::FetchForUpdate(self.at()?),
            Method::FetchNotify => Command::FetchNotify(self.fetch()?),
            Method::GetClass => Command::GetClass(self.at()?),
            Method::InsertMapping => Command::InsertMapping(InsertMapping {
                at: self.at()?,
                class: self.class(Header::Wpattern)?,
                document: self.payload()?,
            }),
            Method::SetClass => {
                Command::SetClass(SetClass { at: self.at()?, class: self.class(Header::Wpattern)? })
            }
            Method::StartWi => Command::StartWi { presentity: self.url(Header::Presentity)? },
            Method::Subscribe => Command::Subscribe(self.watch_of(side)?),
            Method::SubscribeNotify => Command::SubscribeNotify(self.watch()?),
            Method::Terminate => Command::Terminate(self.watch()?),
            Method::TerminateNotify => Command::TerminateNotify(self.watch()?),
            Method::Unsubscribe => Command::Unsubscribe(self.watch_of(side)?),
            Method::UnsubscribeNotify => Command::UnsubscribeNotify(self.watch_ended()?),
            Method::Listen => Command::Listen(Listen {
                inbox: self.url(Header::Inbox)?,
                filter: Filter { only: self.class(Header::Only)?, except: self.class(Header::Except)? },
            }),
            Method::Send => Command::Send(self.send()?),
        })
    }

    fn get(&self, header: Header) -> Result<&'a str, Fault> {
        self.message.get(header).ok_or(Fault::Missing(header))
    }

    fn url(&self, header: Header) -> Result<Url<'a>, Fault> {
        Url::parse(self.get(header)?, self.protocol).ok_or(Fault::Value(header))
    }

    fn subscription(&self, header: Header) -> Result<Subscription<'a>, Fault> {
        Subscription::parse(self.get(header)?, self.protocol).ok_or(Fault::Value(header))
    }

    fn at(&self) -> Result<At<'a>, Fault> {
        let presentity = self.url(Header::Presentity)?;
        let mapping = Mapping::parse(self.get(Header::Mapping)?).ok_or(Fault::Value(Header::Mapping))?;
        Ok(At { presentity, mapping })
    }

    fn fetch(&self) -> Result<Fetch<'a>, Fault> {
        Ok(Fetch { watcher: self.url(Header::Watcher)?, presentity: self.url(Header::Presentity)? })
    }

    fn watch(&self) -> Result<Watch<'a>, Fault> {
        let subscription = self.subscription(Header::Subscription)?;
        Ok(Watch { subscription, presentity: self.url(Header::Presentity)? })
    }

    /// What a watcher asks for himself.
    fn watch_of(&self, side: Side) -> Result<Watch<'a>, Fault> {
        let watch = self.watch()?;
        if side == Side::Client && watch.subscription.id.is_some() {
            return Err(Fault::ConnectionId);
        }
        Ok(watch)
    }

    /// `Subscription`, or `Watcher` in its syntax, or `Watcher` with a URL (TOC-87).
    fn watch_ended(&self) -> Result<Watch<'a>, Fault> {
        if self.message.get(Header::Subscription).is_some() {
            return self.watch();
        }
        let text = self.get(Header::Watcher)?;
        let subscription = Subscription::parse(text, self.protocol)
            .or_else(|| Some(Subscription { id: None, watcher: Url::parse(text, self.protocol)? }))
            .ok_or(Fault::Value(Header::Watcher))?;
        Ok(Watch { subscription, presentity: self.url(Header::Presentity)? })
    }

    fn class(&self, header: Header) -> Result<Class, Fault> {
        Class::parse(self.message.all(header), self.protocol.schemes(), self.ours).map_err(|bad| match bad {
            BadPattern::Malformed => Fault::Value(header),
            BadPattern::TooMany => Fault::Patterns,
        })
    }

    fn send(&self) -> Result<Send<'a>, Fault> {
        let send = Send {
            sender: self.url(Header::Sender)?,
            inbox: self.url(Header::Inbox)?,
            visited: match self.message.get(Header::Visited) {
                Some(text) => Some(Visited::parse(text).ok_or(Fault::Value(Header::Visited))?),
                None => None,
            },
            message: self.payload()?.ok_or(Fault::NoPayload)?,
        };
        if self.message.get(Header::OrigSender).is_some() {
            self.url(Header::OrigSender)?;
        }
        if self.message.all(Header::OrigInbox).any(|text| Url::parse(text, self.protocol).is_none()) {
            return Err(Fault::Value(Header::OrigInbox));
        }
        Ok(send)
    }

    fn auth(&self) -> Result<Auth<'a>, Fault> {
        let payload = self.message.payload();
        if payload.is_some() && !self.is_sasl_type() {
            return Err(Fault::Value(Header::ContentType));
        }
        match (self.message.get(Header::Mechanism), self.message.get(Header::Abort), payload) {
            (Some(name), ..) if is_mechanism(name) => Ok(Auth::Begin { mechanism: name, initial: payload }),
            (Some(_), ..) => Err(Fault::Value(Header::Mechanism)),
            (None, Some(_), _) => Ok(Auth::Abort),
            (None, None, Some(response)) => Ok(Auth::Continue { response }),
            (None, None, None) => Err(Fault::NoPayload),
        }
    }

    /// Is the payload of an `auth` of the only type allowed (COMMON-14.1-9)?
    fn is_sasl_type(&self) -> bool {
        let said = self.message.get(Header::ContentType);
        said.is_none_or(|said| said.eq_ignore_ascii_case("application/octet-stream"))
    }

    fn payload(&self) -> Result<Option<Payload<'a>>, Fault> {
        let Some(octets) = self.message.payload() else { return Ok(None) };
        let content_type = match self.message.get(Header::ContentType).map(unfolded) {
            Some(text) if !is_media_type(&text) => return Err(Fault::Value(Header::ContentType)),
            other => other,
        };
        Ok(Some(Payload { content_type, octets }))
    }

    fn okay(&self, method: Method) -> Result<Okay<'a>, Fault> {
        let payload = match method.ok_payload() {
            // There may be none; it is ignored (TOC-37).
            Allowed::No => None,
            Allowed::Must if self.message.payload().is_none() => return Err(Fault::NoPayload),
            _ if method == Method::Auth && !self.is_sasl_type() => {
                return Err(Fault::Value(Header::ContentType));
            }
            _ => self.payload()?,
        };
        let subscriptions = self.message.all(Header::Subscription);
        if method == Method::StartWi
            && subscriptions.map(|s| Subscription::parse(s, self.protocol)).any(|s| s.is_none())
        {
            return Err(Fault::Value(Header::Subscription));
        }
        let unreliable = self.message.get(Header::Unreliable);
        let unreliable = unreliable.filter(|_| method.response_defines(true, Header::Unreliable));
        Ok(Okay { payload, unreliable, message: self.message, protocol: self.protocol })
    }

    fn failure(&self, method: Method) -> Result<Failure<'a>, Fault> {
        let reason = Reason::parse(self.get(Header::ErrorType)?).ok_or(Fault::Value(Header::ErrorType))?;
        let is_challenge = method == Method::Auth && reason == Reason::Known(ErrorType::SaslChallenge);
        let challenge = match self.message.payload() {
            None if is_challenge => return Err(Fault::NoPayload),
            Some(_) if is_challenge && !self.is_sasl_type() => return Err(Fault::Value(Header::ContentType)),
            payload => payload.filter(|_| is_challenge),
        };
        Ok(Failure {
            reason,
            description: self.message.get(Header::ErrorDescription),
            originator: self.message.get(Header::ErrorOriginator),
            challenge,
        })
    }
}

/// A value on one line: each fold becomes a space.
pub fn unfolded(text: &str) -> Cow<'_, str> {
    if !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let lines = text.split("\r\n").map(|line| line.trim_matches([' ', '\t']));
    Cow::Owned(lines.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::super::framer::{Bounds, Framer, Step};
    use super::super::message::Scratch;
    use super::super::write::{self, Relayed};
    use super::*;

    #[test]
    fn the_ok_that_nearly_all_are_is_read_as_any_other() {
        // COMMON-10-8, TOC-48
        let none = Relayed::default();
        for (id, method) in [("1048576", Method::ChangeNotify), ("18446744073709551615", Method::Send)] {
            let mut ok = Vec::new();
            write::ok(&mut ok, id, method, None, None, &none);
            let whole = ok.len();
            ok.extend_from_slice(b">1 send");
            let tx = TxId(id.parse().unwrap());
            let read = |data| plain_ok(data, |read| Some(method).filter(|_| read == tx));
            assert_eq!(read(&ok), Some((tx, whole)));
            assert_eq!(plain_ok(&ok, |_| Some(Method::Change)), None);
            assert_eq!(plain_ok(&ok, |_| None), None);
            let mut scratch = Scratch::new();
            let mut framer = Framer::new();
            let Step::Message(taken, message) = framer.step(&ok, &Bounds::PROVEN, &mut scratch) else {
                panic!("a whole message");
            };
            let Ok(Response::Ok(okay)) = Response::parse(&message, method, Protocol::Imtp) else {
                panic!("an ok");
            };
            assert_eq!((taken, okay.payload, okay.unreliable), (whole, None, None));
            assert_eq!((message.start().number(), message.extras().count()), (Some(tx.0), 0));
            for cut in 0..whole {
                assert_eq!(read(&ok[..cut]), None, "{cut}");
            }
        }
        for other in [
            "<01 ok (send)\r\n\r\n",
            "< ok (send)\r\n\r\n",
            "<x1 ok (send)\r\n\r\n",
            "<1  ok (send)\r\n\r\n",
            "<1 ok (send) \r\n\r\n",
            "<1 error (send)\r\n\r\n",
            ">1 ok (send)\r\n\r\n",
            "<1 ok (send)\r\nUnreliable: b.test\r\n\r\n",
            "<1 ok (send)\r\nContent-Length: 0\r\n\r\n",
            "<18446744073709551616 ok (send)\r\n\r\n",
        ] {
            assert_eq!(plain_ok(other.as_bytes(), |_| Some(Method::Send)), None, "{other:?}");
        }
    }
}
