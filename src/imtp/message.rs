//! Messages: a start line, raw headers and a payload, before anybody knows what they mean.
//!
//! Second in the flow of what is received: the [framer](super::framer) makes them, and
//! [`Command::parse`](super::command::Command::parse) or
//! [`Response::parse`](super::command::Response::parse) reads them. Everything is borrowed from the input; where
//! the headers are stands in a [`Scratch`] that is used again for every message, so that in steady state
//! reading allocates nothing. A relay takes from here, octet for octet, the headers that it must pass on.

use super::command::Fault;
use super::method::Method;
use super::{Protocol, url};
use crate::hub::pattern::split_scheme;

/// The headers with which a server hands over what it has kept; they are between it and its clients.
const OF_KEPT: [&str; 3] = ["Hearth-Item:", "Hearth-Sent:", "Hearth-Regarding:"];

macro_rules! headers {
    ($($name:ident $text:literal)*) => {
        /// The headers that have a meaning, and the one that is forbidden.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Header {
            $(#[doc = concat!("`", $text, "`")] $name,)*
        }

        impl Header {
            /// All of them.
            pub const ALL: [Header; 23] = [$(Header::$name),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(Header::$name => $text,)* }
            }
        }
    };
}

headers! {
    ContentLength "Content-Length"
    ContentType "Content-Type"
    ContentTransferEncoding "Content-Transfer-Encoding"
    Astrength "Astrength"
    AStrength "AStrength"
    ErrorType "Error-Type"
    ErrorDescription "Error-Description"
    ErrorOriginator "Error-Originator"
    Unreliable "Unreliable"
    Mechanism "Mechanism"
    Abort "Abort"
    Presentity "Presentity"
    Watcher "Watcher"
    Mapping "Mapping"
    Wpattern "Wpattern"
    Subscription "Subscription"
    Sender "Sender"
    Inbox "Inbox"
    Only "Only"
    Except "Except"
    Visited "Visited"
    OrigSender "Orig-Sender"
    OrigInbox "Orig-Inbox"
}

impl Header {
    /// The header of this name; the case counts (COMMON-10-28). Asked for every header: its length and a
    /// letter or two leave one candidate.
    pub fn of(name: &str) -> Option<Header> {
        let bytes = name.as_bytes();
        let header = match (bytes.len(), bytes.first()?) {
            (4, b'O') => Header::Only,
            (5, b'A') => Header::Abort,
            (5, b'I') => Header::Inbox,
            (6, b'S') => Header::Sender,
            (6, b'E') => Header::Except,
            (7, b'W') => Header::Watcher,
            (7, b'M') => Header::Mapping,
            (7, b'V') => Header::Visited,
            (8, b'W') => Header::Wpattern,
            (9, b'A') if bytes.get(1) == Some(&b'S') => Header::AStrength,
            (9, b'A') => Header::Astrength,
            (9, b'M') => Header::Mechanism,
            (10, b'P') => Header::Presentity,
            (10, b'E') => Header::ErrorType,
            (10, b'U') => Header::Unreliable,
            (10, b'O') => Header::OrigInbox,
            (11, b'O') => Header::OrigSender,
            (12, b'S') => Header::Subscription,
            (12, b'C') => Header::ContentType,
            (14, b'C') => Header::ContentLength,
            (16, b'E') => Header::ErrorOriginator,
            (17, b'E') => Header::ErrorDescription,
            (25, b'C') => Header::ContentTransferEncoding,
            _ => return None,
        };
        if header.as_str() == name { Some(header) } else { None }
    }

    /// May it stand several times in one message? Of any other only the first counts (COMMON-10-24).
    pub fn is_repeatable(self) -> bool {
        matches!(
            self,
            Header::Wpattern | Header::Subscription | Header::Only | Header::Except | Header::OrigInbox
        )
    }
}

/// How far the authenticity of a message can be trusted; the smaller, the weaker (COMMON-11.4-2 to -6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Astrength {
    /// Anybody could have forged it.
    None,
    /// Somebody who listened earlier could.
    Weak,
    /// Somebody who substitutes packets or answers of the DNS could.
    Medium,
    /// Nobody, even in control of all links.
    Strong,
}

impl Astrength {
    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Astrength::None => "none",
            Astrength::Weak => "weak",
            Astrength::Medium => "medium",
            Astrength::Strong => "strong",
        }
    }

    /// Any other word counts as none (TOC-51).
    fn of(text: &str) -> Astrength {
        match text {
            "strong" => Astrength::Strong,
            "medium" => Astrength::Medium,
            "weak" => Astrength::Weak,
            _ => Astrength::None,
        }
    }
}

/// The first line of a command or response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start<'a> {
    /// A command, or a response.
    pub kind: Kind,
    /// Letters and digits; compared octet by octet.
    pub id: &'a str,
    /// Letters, digits and hyphens; of a response, the command's.
    pub method: &'a str,
}

impl Start<'_> {
    /// The number of a command of ours that a response belongs to, if its identifier is spelt as
    /// [`write::command`](super::write::command) does.
    pub fn number(self) -> Option<u64> {
        let spelt =
            self.id.bytes().all(|b| b.is_ascii_digit()) && (self.id == "0" || !self.id.starts_with('0'));
        if spelt { self.id.parse().ok() } else { None }
    }
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `>`
    Command,
    /// `<… ok`
    Ok,
    /// `<… error`
    Error,
}

/// One header in the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Where its first line begins.
    pub start: u32,
    /// Where its value begins: after the colon.
    pub value: u32,
    /// After the CRLF of its last line.
    pub end: u32,
    /// Which it is, if we know it.
    pub header: Option<Header>,
}

/// Where messages are taken apart: kept from one to the next so that nothing is allocated anew. At most
/// as many entries as the [bounds](super::framer::Bounds) allow headers; one serves a whole node.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(super) slots: Vec<Slot>,
    /// For each [`Header`]: the index of its first slot and one, or zero.
    pub(super) known: [u16; Header::ALL.len()],
    /// What is wrong with the headers.
    pub(super) fault: Option<Fault>,
}

impl Scratch {
    /// An empty one.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    pub(super) fn clear(&mut self) {
        self.slots.clear();
        self.known = [0; Header::ALL.len()];
        self.fault = None;
    }

    pub(super) fn push(&mut self, slot: Slot) {
        self.slots.push(slot);
        let Some(first) = slot.header.and_then(|header| self.known.get_mut(header as usize)) else { return };
        if *first == 0 {
            *first = u16::try_from(self.slots.len()).unwrap_or(0);
        }
    }
}

/// A message as it came.
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    pub(super) start: Start<'a>,
    /// From the start line to the empty line; empty if there is a fault.
    pub(super) head: &'a str,
    pub(super) payload: Option<&'a [u8]>,
    pub(super) scratch: &'a Scratch,
}

impl<'a> Message<'a> {
    /// Its first line.
    pub fn start(&self) -> Start<'a> {
        self.start
    }

    /// The payload; a present and empty one is not the same as none.
    pub fn payload(&self) -> Option<&'a [u8]> {
        self.payload
    }

    /// What is wrong with the headers as such: then none of them can be asked for.
    pub fn fault(&self) -> Option<Fault> {
        self.scratch.fault
    }

    /// The value of a header, the first of several, without the white space and folds around it.
    pub fn get(&self, header: Header) -> Option<&'a str> {
        let index = self.scratch.known.get(header as usize).copied().unwrap_or_default();
        self.scratch.slots.get(usize::from(index).checked_sub(1)?).map(|slot| self.value(slot))
    }

    /// All values of a header that may be repeated.
    pub fn all(&self, header: Header) -> impl Iterator<Item = &'a str> + use<'a> {
        let message = *self;
        // Most messages have none: the slots are looked through only where there is one.
        let slots = match self.get(header) {
            Some(_) => message.scratch.slots.as_slice(),
            None => &[],
        };
        slots.iter().filter(move |slot| slot.header == Some(header)).map(move |slot| message.value(slot))
    }

    fn value(&self, slot: &Slot) -> &'a str {
        url::trim(self.head.get(slot.value as usize..slot.end as usize).unwrap_or_default())
    }

    /// How strong it says that it is: without saying, fully (COMMON-11.4-7). Of both spellings the weaker
    /// counts (TOC-50).
    pub fn astrength(&self) -> Astrength {
        let said = |header| self.get(header).map_or(Astrength::Strong, Astrength::of);
        said(Header::Astrength).min(said(Header::AStrength))
    }

    /// The headers that a relay has to pass on besides those it writes itself, each with its CRLF, as they
    /// came: unknown ones, known ones that this method does not define (TOC-41), and, of what
    /// may not be repeated, all but the first (COMMON-10-22, COMMON-10-25). `Orig-Sender` and `Orig-Inbox` are
    /// among them, since nobody on the way does anything with them.
    pub fn extras(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let message = *self;
        self.extra_slots().filter_map(move |slot| message.raw(slot))
    }

    /// Appends the extras to a buffer, with a scheme where one is missing in a URL (TOC-53). What a server says to
    /// its own clients of a message that it has kept is not for anybody else to say, and is left out.
    pub fn copy_extras(&self, out: &mut Vec<u8>) {
        for slot in self.extra_slots() {
            let (value, raw) = (self.value(slot), self.raw(slot).unwrap_or_default());
            if OF_KEPT.iter().any(|name| raw.starts_with(name.as_bytes())) {
                continue;
            }
            let name = match slot.header {
                Some(header @ (Header::OrigSender | Header::OrigInbox)) => Some(header.as_str()),
                _ => None,
            };
            match name {
                Some(name) if self.start.method == Method::Send.as_str() && split_scheme(value).is_none() => {
                    for part in [name, ": ", Protocol::Imtp.scheme(), ":", value, "\r\n"] {
                        out.extend_from_slice(part.as_bytes());
                    }
                }
                _ => out.extend_from_slice(raw),
            }
        }
    }

    fn raw(&self, slot: &Slot) -> Option<&'a [u8]> {
        self.head.as_bytes().get(slot.start as usize..slot.end as usize)
    }

    fn extra_slots(&self) -> impl Iterator<Item = &'a Slot> + use<'a> {
        let message = *self;
        let method = Method::of(self.start.method);
        let slots = message.scratch.slots.iter().enumerate();
        slots.filter(move |(index, slot)| message.is_extra(method, *index, slot)).map(|(_, slot)| slot)
    }

    fn is_extra(&self, method: Option<Method>, index: usize, slot: &Slot) -> bool {
        let (Some(header), Some(method)) = (slot.header, method) else { return slot.header.is_none() };
        let first = self.scratch.known.get(header as usize).copied().unwrap_or_default();
        let repeated = usize::from(first) != index + 1;
        let defined = match self.start.kind {
            Kind::Command => method.defines(header),
            kind => method.response_defines(kind == Kind::Ok, header),
        };
        match header {
            // Written anew at every hop, once; or never.
            Header::ContentLength
            | Header::ContentTransferEncoding
            | Header::Astrength
            | Header::AStrength => false,
            Header::Visited if defined => false,
            Header::ContentType => self.payload.is_some() && repeated,
            Header::OrigSender | Header::OrigInbox => true,
            // It may be repeated only in the ok of `start-wi`.
            Header::Subscription if self.start.kind == Kind::Command => !defined || repeated,
            header => !defined || !header.is_repeatable() && repeated,
        }
    }
}
