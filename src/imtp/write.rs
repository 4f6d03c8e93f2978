//! Writing: messages, as octets at the end of a connection's output.
//!
//! Last in the flow of what is sent. Each function appends one whole message in the strict form of the draft: one
//! space where white space may be, no folds, every URL with its scheme. Commands of ours are numbered;
//! responses repeat the peer's identifier. Any text can be written: what a header can't hold is
//! replaced. Nothing is allocated but the buffer's growth.

use super::Protocol;
use super::command::{
    At, Auth, Change, ChangeNotify, Command, Failure, Fetch, InsertMapping, Listen, Mapping, Payload, Send,
    SetClass, Watch,
};
use super::error_type::{ErrorType, Reason};
use super::message::{Astrength, Header};
use super::method::Method;
use super::url::{Subscription, Url, Visited};
use crate::hub::pattern::Class;
use crate::limits;

/// `=nop`: means nothing, and keeps a silent connection alive (TOC-11).
pub const NOP: &[u8] = b"=nop\r\n";

/// What a relay adds to a message.
#[derive(Debug, Clone, Copy, Default)]
pub struct Relayed<'a> {
    /// How strong the message is so far; none if it begins here.
    pub astrength: Option<Astrength>,
    /// Headers passed on as they came, each with its CRLF: [`Message::extras`](super::message::Message::extras).
    pub extras: &'a [u8],
    /// With `send`: the domain that stands for this relay (IMTP-16.2-3).
    pub visited: Option<&'a str>,
}

/// The list of mechanisms (COMMON-10-5).
pub fn mech<'m>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'m str>) {
    out.extend_from_slice(b"=mech");
    for name in names {
        out.push(b' ');
        out.extend_from_slice(name.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// The first line of a command.
fn start(out: &mut Vec<u8>, id: u64, method: Method) {
    out.push(b'>');
    digits(out, id);
    out.push(b' ');
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// A command.
pub fn command(out: &mut Vec<u8>, id: u64, command: &Command<'_>, relayed: &Relayed<'_>) {
    start(out, id, command.method());
    let head = Head(out);
    match command {
        Command::Auth(auth) => head.auth(auth),
        Command::Shutdown => head.end(relayed, None),
        Command::Change(Change { at, document }) => head.at(at).end(relayed, document.as_ref()),
        Command::ChangeNotify(ChangeNotify { presentity, subscription, document }) => head
            .url(Header::Presentity, presentity)
            .subscription(Header::Subscription, subscription)
            .end(relayed, Some(document)),
        Command::DeleteMapping(at) | Command::FetchForUpdate(at) | Command::GetClass(at) => {
            head.at(at).end(relayed, None)
        }
        Command::Fetch(Fetch { watcher, presentity })
        | Command::FetchNotify(Fetch { watcher, presentity }) => {
            head.url(Header::Watcher, watcher).url(Header::Presentity, presentity).end(relayed, None)
        }
        Command::InsertMapping(InsertMapping { at, class, document }) => {
            head.at(at).class(Header::Wpattern, class).end(relayed, document.as_ref())
        }
        Command::SetClass(SetClass { at, class }) => {
            head.at(at).class(Header::Wpattern, class).end(relayed, None)
        }
        Command::StartWi { presentity } => head.url(Header::Presentity, presentity).end(relayed, None),
        Command::Subscribe(watch) | Command::SubscribeNotify(watch) | Command::Unsubscribe(watch) => {
            head.watch(watch).end(relayed, None)
        }
        Command::Terminate(watch) | Command::TerminateNotify(watch) => head
            .url(Header::Presentity, &watch.presentity)
            .subscription(Header::Subscription, &watch.subscription)
            .end(relayed, None),
        // Both headers, since the draft contradicts itself (X12, TOC-87).
        Command::UnsubscribeNotify(Watch { subscription, presentity }) => head
            .subscription(Header::Subscription, subscription)
            .subscription(Header::Watcher, subscription)
            .url(Header::Presentity, presentity)
            .end(relayed, None),
        Command::Listen(Listen { inbox, filter }) => head
            .url(Header::Inbox, inbox)
            .class(Header::Only, &filter.only)
            .class(Header::Except, &filter.except)
            .end(relayed, None),
        Command::Send(Send { sender, inbox, visited, message }) => {
            let head = head.url(Header::Sender, sender).url(Header::Inbox, inbox).kind(Some(message));
            head.relayed(relayed).visited(*visited, relayed.visited).octets(message.octets);
        }
    }
}

/// What all `change-notify` of a presentity have in common.
#[derive(Debug, Default)]
pub struct Written {
    /// The line behind the first.
    presentity: Vec<u8>,
    /// The type of the document.
    kind: Vec<u8>,
    /// Its length, the empty line, and the document.
    document: Vec<u8>,
}

impl Written {
    /// Writes it anew.
    pub fn again(&mut self, presentity: &Url<'_>, document: &Payload<'_>) {
        let Written { presentity: line, kind, document: octets } = self;
        [&mut *line, &mut *kind, &mut *octets].into_iter().for_each(Vec::clear);
        Head(line).url(Header::Presentity, presentity);
        Head(kind).kind(Some(document));
        Head(octets).octets(document.octets);
    }
}

/// `change-notify`, of the presentity of `written`: what [`command`] writes.
pub fn notify(out: &mut Vec<u8>, id: u64, watch: &Watch<'_>, relayed: &Relayed<'_>, written: &Written) {
    start(out, id, Method::ChangeNotify);
    out.extend_from_slice(&written.presentity);
    let head = Head(out).subscription(Header::Subscription, &watch.subscription);
    head.0.extend_from_slice(&written.kind);
    head.relayed(relayed).0.extend_from_slice(&written.document);
}

/// An ok, with what it carries if anything.
pub fn ok(
    out: &mut Vec<u8>,
    id: &str,
    method: Method,
    unreliable: Option<&str>,
    payload: Option<&Payload<'_>>,
    relayed: &Relayed<'_>,
) {
    let head = Head::response(out, id, "ok", method.as_str());
    let head = match unreliable {
        Some(who) => head.text(Header::Unreliable, who),
        None => head,
    };
    head.end(relayed, payload);
}

/// The ok to `get-class` (PITP-15.7-2).
pub fn ok_class(out: &mut Vec<u8>, id: &str, class: &Class) {
    let head = Head::response(out, id, "ok", Method::GetClass.as_str());
    head.class(Header::Wpattern, class).end(&Relayed::default(), None);
}

/// The ok to `start-wi` (PITP-15.10-3).
pub fn ok_watchers<'s>(out: &mut Vec<u8>, id: &str, watchers: impl IntoIterator<Item = Subscription<'s>>) {
    let mut head = Head::response(out, id, "ok", Method::StartWi.as_str());
    for watcher in watchers {
        head = head.subscription(Header::Subscription, &watcher);
    }
    head.end(&Relayed::default(), None);
}

/// An error, to a method of any name.
pub fn error(out: &mut Vec<u8>, id: &str, method: &str, failure: &Failure<'_>, relayed: &Relayed<'_>) {
    let mut head = Head::response(out, id, "error", method).text(Header::ErrorType, failure.reason.as_str());
    for (header, text) in
        [(Header::ErrorDescription, failure.description), (Header::ErrorOriginator, failure.originator)]
    {
        if let Some(text) = text {
            head = head.text(header, text);
        }
    }
    let head = head.relayed(relayed);
    match failure.challenge {
        Some(octets) => head.octets(octets),
        None => head.done(),
    }
}

/// An error of our own (COMMON-12-5).
pub fn refuse(out: &mut Vec<u8>, id: &str, method: &str, reason: ErrorType, description: &str) {
    let description = description.get(..description.floor_char_boundary(limits::DESCRIPTION));
    let failure = Failure {
        reason: Reason::Known(reason),
        description: description.filter(|text| !text.is_empty()),
        originator: None,
        challenge: None,
    };
    error(out, id, method, &failure, &Relayed::default());
}

/// A message being written, up to its headers.
struct Head<'o>(&'o mut Vec<u8>);

impl<'o> Head<'o> {
    fn response(out: &'o mut Vec<u8>, id: &str, status: &str, method: &str) -> Head<'o> {
        for part in ["<", id, " ", status, " (", method, ")\r\n"] {
            out.extend_from_slice(part.as_bytes());
        }
        Head(out)
    }

    fn with(self, header: Header, value: impl FnOnce(&mut Vec<u8>)) -> Head<'o> {
        self.0.extend_from_slice(header.as_str().as_bytes());
        self.0.extend_from_slice(b": ");
        value(self.0);
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn text(self, header: Header, value: &str) -> Head<'o> {
        if value.is_empty() {
            // No space before the end of a line.
            self.0.extend_from_slice(header.as_str().as_bytes());
            self.0.extend_from_slice(b":\r\n");
            return self;
        }
        self.with(header, |out| text(out, value))
    }

    fn url(self, header: Header, url: &Url<'_>) -> Head<'o> {
        self.with(header, |out| self::url(out, header, url))
    }

    fn subscription(self, header: Header, subscription: &Subscription<'_>) -> Head<'o> {
        self.with(header, |out| {
            out.extend_from_slice(subscription.id.unwrap_or_default().as_bytes());
            out.push(b'/');
            self::url(out, header, &subscription.watcher);
        })
    }

    /// What names a subscription, in the order of the draft's examples.
    fn watch(self, watch: &Watch<'_>) -> Head<'o> {
        self.subscription(Header::Subscription, &watch.subscription)
            .url(Header::Presentity, &watch.presentity)
    }

    fn at(self, at: &At<'_>) -> Head<'o> {
        self.url(Header::Presentity, &at.presentity).with(Header::Mapping, |out| {
            let number = match at.mapping {
                Mapping::Number(number) => number.get().into(),
                Mapping::TooLarge => u64::MAX,
            };
            digits(out, number);
        })
    }

    fn class(mut self, header: Header, class: &Class) -> Head<'o> {
        for spelling in class.spellings() {
            self = self.text(header, spelling);
        }
        self
    }

    fn auth(self, auth: &Auth<'_>) {
        match auth {
            Auth::Begin { mechanism, initial } => {
                let head = self.text(Header::Mechanism, mechanism);
                match initial {
                    Some(octets) => head.octets(octets),
                    None => head.done(),
                }
            }
            Auth::Continue { response } => self.octets(response),
            Auth::Abort => {
                self.0.extend_from_slice(b"Abort:\r\n");
                self.done();
            }
        }
    }

    fn visited(self, before: Option<Visited<'_>>, here: Option<&str>) -> Head<'o> {
        if before.is_none() && here.is_none() {
            return self;
        }
        self.0.extend_from_slice(b"Visited:");
        for domain in before.iter().flat_map(|list| list.domains()).chain(here) {
            self.0.push(b' ');
            self.0.extend_from_slice(domain.as_bytes());
        }
        self.0.extend_from_slice(b"\r\n");
        self
    }

    fn relayed(self, relayed: &Relayed<'_>) -> Head<'o> {
        self.0.extend_from_slice(relayed.extras);
        match relayed.astrength {
            Some(astrength) => self.text(Header::Astrength, astrength.as_str()),
            None => self,
        }
    }

    /// The type of the payload. It stands before what is passed on, as every header of ours: of one
    /// that is there twice the first counts (COMMON-10-24).
    fn kind(self, payload: Option<&Payload<'_>>) -> Head<'o> {
        match payload.and_then(|payload| payload.content_type.as_deref()) {
            Some(content_type) => self.text(Header::ContentType, content_type),
            None => self,
        }
    }

    fn end(self, relayed: &Relayed<'_>, payload: Option<&Payload<'_>>) {
        let head = self.kind(payload).relayed(relayed);
        match payload {
            Some(payload) => head.octets(payload.octets),
            None => head.done(),
        }
    }

    fn octets(self, octets: &[u8]) {
        let head = self.with(Header::ContentLength, |out| digits(out, octets.len() as u64));
        head.0.extend_from_slice(b"\r\n");
        head.0.extend_from_slice(octets);
    }

    fn done(self) {
        self.0.extend_from_slice(b"\r\n");
    }
}

/// A URL in a header, which says of which service it is.
fn url(out: &mut Vec<u8>, header: Header, url: &Url<'_>) {
    match url {
        Url::Own(identifier) => {
            let protocol = match header {
                Header::Sender | Header::Inbox => Protocol::Imtp,
                _ => Protocol::Pitp,
            };
            out.extend_from_slice(protocol.scheme().as_bytes());
            out.push(b':');
            out.extend_from_slice(identifier.as_str().as_bytes());
        }
        Url::Other(text) => out.extend_from_slice(text.as_bytes()),
    }
}

fn digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A value of free text. What came as the value of a header goes on as it is, folds included; in any other text, what a
/// header can't hold becomes a space or U+FFFD.
fn text(out: &mut Vec<u8>, value: &str) {
    if value.bytes().all(|b| matches!(b, b' '..=b'~')) || is_value(value) {
        return out.extend_from_slice(value.as_bytes());
    }
    let most = value.floor_char_boundary(limits::HEADER_VALUE / 2);
    for c in value.get(..most).unwrap_or_default().chars() {
        let c = match c {
            '\t' | '\r' | '\n' => ' ',
            '\u{0}'..' ' | '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c => c,
        };
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Can it be the value of a header as it is?
fn is_value(text: &str) -> bool {
    let mut lines = text.split("\r\n");
    let is_plain = |line: &str| {
        line.chars().all(|c| match c {
            '\t' => true,
            '\u{0}'..' ' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => false,
            _ => true,
        })
    };
    let goes_on = |line: &str| line.starts_with([' ', '\t']) && !line.trim_matches([' ', '\t']).is_empty();
    text.len() < limits::HEADER_VALUE / 2
        && lines.next().is_some_and(is_plain)
        && lines.all(|line| is_plain(line) && goes_on(line))
}

/// What a relay adds to a `send` on its way.
#[derive(Debug, Clone, Copy)]
pub struct Onward<'a> {
    /// How strong the message is so far.
    pub astrength: Astrength,
    /// The domains that it has passed through, as they came.
    pub before: &'a str,
    /// The domain that stands for this relay (IMTP-16.2-3).
    pub here: &'a str,
    /// Headers of this relay's own, each with its CRLF.
    pub more: &'a str,
}

/// The headers of a `send` that go from hop to hop as they are, but for the unknown ones.
pub fn send_head(out: &mut Vec<u8>, send: &Send<'_>) {
    let head = Head(out).url(Header::Sender, &send.sender).url(Header::Inbox, &send.inbox);
    if let Some(content_type) = &send.message.content_type {
        head.text(Header::ContentType, content_type);
    }
}

/// A `send` on its way: `head` writes its headers that go from hop to hop as they are.
pub fn send(out: &mut Vec<u8>, id: u64, head: impl FnOnce(&mut Vec<u8>), onward: &Onward<'_>, octets: &[u8]) {
    out.push(b'>');
    digits(out, id);
    out.extend_from_slice(b" send\r\n");
    head(out);
    out.extend_from_slice(onward.more.as_bytes());
    let before = Visited::parse(onward.before);
    Head(out)
        .text(Header::Astrength, onward.astrength.as_str())
        .visited(before, Some(onward.here))
        .octets(octets);
}

/// The headers of an error that its origin has given, as they came.
pub fn failure_head(out: &mut Vec<u8>, failure: &Failure<'_>) {
    let mut head = Head(out).text(Header::ErrorType, failure.reason.as_str());
    for (header, text) in
        [(Header::ErrorDescription, failure.description), (Header::ErrorOriginator, failure.originator)]
    {
        if let Some(text) = text {
            head = head.text(header, text);
        }
    }
}

/// Do these headers begin with those of [`failure_head`]?
pub fn is_failure_head(headers: &[u8]) -> bool {
    headers.starts_with(b"Error-Type:")
}

/// An error on its way (6.3): `head` as it came, and who has produced it unless it says so already.
pub fn relay_error(
    out: &mut Vec<u8>,
    id: &str,
    method: Method,
    head: &[u8],
    originator: Option<&str>,
    astrength: Astrength,
) {
    Head::response(out, id, "error", method.as_str());
    out.extend_from_slice(head);
    let says = memchr::memmem::find(head, b"\r\nError-Originator:").is_some();
    let head = match originator.filter(|_| !says) {
        Some(who) => Head(out).text(Header::ErrorOriginator, who),
        None => Head(out),
    };
    head.text(Header::Astrength, astrength.as_str()).done();
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::command::ChangeNotify;
    use super::*;
    use crate::hub::address::{Address, Domains};

    #[test]
    fn what_is_written_once_for_all_is_the_command() {
        // PITP-15.2-1
        let address = |text| Address::parse(text, &Domains::default()).unwrap();
        let presentities = ["a@b.test", "c@b.test"].map(address);
        let watcher = address("w@b.test");
        let mut written = Written::default();
        for (content_type, octets) in [(None, &b"one"[..]), (Some("text/plain"), b""), (None, b"two")] {
            for presentity in &presentities {
                let document = Payload { content_type: content_type.map(Into::into), octets };
                written.again(&Url::from(presentity), &document);
                let relays = [
                    Relayed::default(),
                    Relayed { astrength: Some(Astrength::Weak), extras: b"X: y\r\n", visited: None },
                ];
                for (relayed, id) in relays.iter().flat_map(|relayed| [(relayed, None), (relayed, Some("7"))])
                {
                    let subscription = Subscription { id, watcher: Url::from(&watcher) };
                    let presentity = Url::from(presentity);
                    let notify = ChangeNotify { presentity, subscription, document: document.clone() };
                    let (mut whole, mut parts) = (Vec::new(), Vec::new());
                    command(&mut whole, 17, &Command::ChangeNotify(notify), relayed);
                    super::notify(&mut parts, 17, &Watch { subscription, presentity }, relayed, &written);
                    assert_eq!(String::from_utf8_lossy(&parts), String::from_utf8_lossy(&whole));
                }
            }
        }
    }
}
