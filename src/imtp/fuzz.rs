//! Entry points for fuzzing the codec: each takes any octets and panics if a promise is broken. They are
//! run by the fuzz targets and, on generated input, by the tests.

use super::Protocol;
use super::command::{Command, Failure, Fault, Response};
use super::error_type::ErrorType;
use super::framer::{BadStream, Bounds, Framer, Step};
use super::message::{Astrength, Kind, Message, Scratch};
use super::method::{Method, Side};
use super::url::{Identifier, Subscription, Url, Visited};
use super::write::{self, Relayed};
use crate::fuzz::{Pieces, Taken};
use crate::hub::address::{Address, Domain, Domains};
use crate::hub::pattern::Class;

/// Small, so that inputs of a fuzzer's size reach them.
const BOUNDS: Bounds = Bounds { headers: 512, count: 40, auth: 16, payload: 64 };

/// One piece of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Skip(usize),
    Nop,
    Mech(Vec<String>),
    Message { start: String, headers: Option<Fault>, payload: Option<Vec<u8>> },
    Oversized { start: String, headers: Option<Fault> },
    Broken(BadStream),
}

/// A stream gives the same pieces however it is cut up, each of them is judged without a panic, and the pieces
/// are all of the stream. The first octet says how it is cut.
pub fn stream(data: &[u8]) {
    crate::fuzz::stream::<Stream>(data);
}

/// A stream under way.
struct Stream {
    framer: Framer,
    scratch: Scratch,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream { framer: Framer::new(), scratch: Scratch::new() }
    }
}

impl Pieces for Stream {
    type Piece = Piece;

    /// A start line with its end, the headers, a line too many of them, and a payload.
    fn bound(size: usize) -> usize {
        1024 + 2 + 512 + 256 + 64 + size
    }

    fn step(&mut self, seen: &[u8]) -> Taken<Piece> {
        let Stream { framer, scratch } = self;
        match framer.step(seen, &BOUNDS, scratch) {
            Step::More => Taken::More,
            Step::Skip(n) => Taken::Piece(n, Piece::Skip(n)),
            Step::Nop(n) => Taken::Piece(n, Piece::Nop),
            Step::Mech(n, list) => Taken::Piece(n, Piece::Mech(list.names().map(str::to_owned).collect())),
            Step::Message(n, message) => {
                judge(&message);
                let payload = message.payload().map(<[u8]>::to_vec);
                let start = format!("{:?}", message.start());
                Taken::Piece(n, Piece::Message { start, headers: message.fault(), payload })
            }
            Step::Oversized(n, message) => {
                judge(&message);
                let start = format!("{:?}", message.start());
                Taken::Piece(n, Piece::Oversized { start, headers: message.fault() })
            }
            Step::Broken(bad) => {
                let again = framer.step(b"=nop\r\n", &BOUNDS, scratch);
                assert!(matches!(again, Step::Broken(again) if again == bad));
                Taken::Last(Piece::Broken(bad))
            }
        }
    }

    fn skipped(piece: &Piece) -> Option<usize> {
        if let Piece::Skip(n) = piece { Some(*n) } else { None }
    }

    fn skip(count: usize) -> Piece {
        Piece::Skip(count)
    }
}

/// The domains of a server that folds case.
fn ours() -> Domains {
    Domains::new(Domain::parse("alpha.example").into_iter().collect())
}

/// A message is read as whatever it may be; what can be read, written and read again is the same.
fn judge(message: &Message<'_>) {
    let _ = message.astrength();
    for protocol in [Protocol::Imtp, Protocol::Pitp] {
        match message.start().kind {
            Kind::Command => {
                for side in [Side::Client, Side::Home, Side::Peer] {
                    if let Ok(command) = Command::parse(message, protocol, side, &ours()) {
                        assert_eq!(command.source().is_some(), command.method().source().is_some());
                        assert_eq!(command.target().is_some(), command.method().target().is_some());
                        again(message, &command, protocol, side);
                    }
                }
            }
            _ => {
                let Some(method) = Method::of(message.start().method) else { continue };
                if let Ok(Response::Error(failure)) = Response::parse(message, method, protocol) {
                    failure_again(message, &failure, method, protocol);
                }
            }
        }
    }
}

/// Reads the one message in these octets.
fn only(octets: &[u8], read: impl FnOnce(&Message<'_>)) {
    let mut scratch = Scratch::new();
    match Framer::new().step(octets, &Bounds::PROVEN, &mut scratch) {
        Step::Message(n, message) if n == octets.len() => read(&message),
        step => {
            unreachable!("{step:?} from {}", String::from_utf8_lossy(octets));
        }
    }
}

fn again(message: &Message<'_>, command: &Command<'_>, protocol: Protocol, side: Side) {
    let mut extras = Vec::new();
    let mut astrength = Astrength::Strong;
    // It is never relayed.
    if command.method() != Method::Auth {
        message.copy_extras(&mut extras);
        astrength = Astrength::Medium;
    }
    let relayed = Relayed { astrength: Some(astrength), extras: &extras, visited: None };
    let mut written = Vec::new();
    write::command(&mut written, 7, command, &relayed);
    only(&written, |message| {
        assert_eq!(message.start().id, "7");
        // Signs of another spelling of the same are gone: folds in lists, schemes of patterns.
        let read = Command::parse(message, protocol, side, &ours());
        let mut twice = Vec::new();
        if let Ok(read) = &read {
            assert_eq!(message.astrength(), astrength);
            write::command(&mut twice, 7, read, &relayed);
        }
        assert_eq!(twice, written, "{command:?} and {read:?}");
        let mut kept = Vec::new();
        message.copy_extras(&mut kept);
        assert_eq!(kept, extras, "octet for octet");
    });
}

fn failure_again(message: &Message<'_>, failure: &Failure<'_>, method: Method, protocol: Protocol) {
    let mut extras = Vec::new();
    if method != Method::Auth {
        message.copy_extras(&mut extras);
    }
    let mut written = Vec::new();
    let relayed = Relayed { extras: &extras, ..Relayed::default() };
    write::error(&mut written, "a1", method.as_str(), failure, &relayed);
    only(&written, |message| match Response::parse(message, method, protocol) {
        Ok(Response::Error(read)) => assert_eq!(read, *failure),
        other => unreachable!("{other:?} of {failure:?}"),
    });
}

/// Any text is read as any value without a panic; what is a value keeps its promises; and any text can be
/// written as a description.
pub fn value(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for protocol in [Protocol::Imtp, Protocol::Pitp] {
        if let Some(Url::Own(identifier)) = Url::parse(&text, protocol) {
            identifier_is_one(identifier);
        }
        if let Some(subscription) = Subscription::parse(&text, protocol) {
            assert!(subscription.id.is_none_or(|id| !id.is_empty()));
        }
        if let Ok(class) = Class::parse([&*text], protocol.schemes(), &ours()) {
            let stored = Class::parse_stored(class.to_stored(), protocol.schemes(), &ours());
            assert_eq!(stored.as_ref(), Ok(&class), "stored and read");
        }
    }
    if let Some(visited) = Visited::parse(&text) {
        assert!(visited.domains().all(|domain| visited.has(domain)));
    }
    let mut written = Vec::new();
    write::refuse(&mut written, "a1", "send", ErrorType::Loop, &text);
    only(&written, |message| {
        let read = Response::parse(message, Method::Send, Protocol::Imtp);
        assert!(matches!(read, Ok(Response::Error(_))), "{read:?}");
    });
}

fn identifier_is_one(identifier: Identifier<'_>) {
    let whole = format!("{}@{}", identifier.local(), identifier.domain());
    assert_eq!(whole, identifier.as_str());
    let Ok(address) = identifier.address(&ours()) else {
        assert!(identifier.local().len() > 64, "{whole} is an address");
        return;
    };
    assert!(identifier.plain().is_none_or(|plain| Address::parse(plain, &ours()).as_ref() == Ok(&address)));
    assert_eq!(Address::parse_quoted(address.as_str(), &ours()).as_ref(), Ok(&address), "canonical");
    let written = Identifier::parse(address.as_str());
    assert_eq!(written, Some(Identifier::of(&address)), "can be written");
}
