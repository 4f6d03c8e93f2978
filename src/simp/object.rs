//! Properties objects: from the octets of one `<properties>` element to its entries.
//!
//! Second in the flow of what is received, after the [framer](super::framer) and before
//! [`Command::parse`](super::command::Command::parse). Keys and values are borrowed from the input where
//! nothing is escaped, else from the arena of a [`Scratch`] that is used again for every object, so
//! that in steady state reading allocates nothing.
//!
//! Two kinds of fault are told apart. What is not XML of the grammar breaks the stream (OC-26, OC-27):
//! [`BadObject::Stream`]. An object that is well-formed but breaks a rule of objects (a key twice, a
//! value over its limit: OC-28, OC-30) is refused alone: [`BadObject::Malformed`].

use std::fmt;

use memchr::{memchr, memchr2, memmem};

use super::xml::{self, BadStream, Section, Traits, after_spaces, is_space};
use crate::limits;

macro_rules! keys {
    ($($key:ident $text:literal)*) => {
        /// The keys that SIMP 1.0 gives a meaning, and `algorithms` (what a client can do, best first),
        /// which is our extension of `login`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Key {
            $(#[doc = concat!("`", $text, "`")] $key,)*
        }

        impl Key {
            /// All of them, in the order of their declaration.
            pub const ALL: [Key; 26] = [$(Key::$key),*];

            /// As it is written on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Key::$key => $text,)* }
            }

            /// The start tag of its entry.
            pub(super) const fn tag(self) -> &'static str {
                match self { $(Key::$key => concat!("<entry key=\"", $text, "\">"),)* }
            }
        }
    };
}

keys! {
    Action "action"
    Request "request"
    Response "response"
    To "to"
    From "from"
    ReplyTo "reply to"
    Regarding "regarding"
    Subscriber "subscriber"
    Type "type"
    Body "body"
    Message "message"
    Status "status"
    Online "online"
    Duration "duration"
    Opaque "opaque"
    User "user"
    Nonce "nonce"
    Algorithm "algorithm"
    Algorithms "algorithms"
    MinVersion "min version"
    MaxVersion "max version"
    Host "host"
    Port "port"
    Authorization "authorization"
    Version "version"
    Unreliable "unreliable"
}

impl Key {
    /// The key so written, if it is one of these. Asked for every entry: its length and a letter or
    /// three leave one candidate.
    pub fn of(text: &str) -> Option<Key> {
        let key = match text.as_bytes() {
            [b't', _] => Key::To,
            [b'f', _, _, _] => Key::From,
            [b't', _, _, _] => Key::Type,
            [b'b', _, _, _] => Key::Body,
            [b'u', _, _, _] => Key::User,
            [b'h', _, _, _] => Key::Host,
            [b'p', _, _, _] => Key::Port,
            [b'n', _, _, _, _] => Key::Nonce,
            [b'a', _, _, _, _, _] => Key::Action,
            [b's', _, _, _, _, _] => Key::Status,
            [b'o', b'n', _, _, _, _] => Key::Online,
            [b'o', _, _, _, _, _] => Key::Opaque,
            [b'r', _, _, _, _, _, _] => Key::Request,
            [b'm', _, _, _, _, _, _] => Key::Message,
            [b'v', _, _, _, _, _, _] => Key::Version,
            [b'r', _, b's', _, _, _, _, _] => Key::Response,
            [b'r', _, _, _, _, _, _, _] => Key::ReplyTo,
            [b'd', _, _, _, _, _, _, _] => Key::Duration,
            [b'r', _, _, _, _, _, _, _, _] => Key::Regarding,
            [b'a', _, _, _, _, _, _, _, _] => Key::Algorithm,
            [b's', _, _, _, _, _, _, _, _, _] => Key::Subscriber,
            [b'a', _, _, _, _, _, _, _, _, _] => Key::Algorithms,
            [b'u', _, _, _, _, _, _, _, _, _] => Key::Unreliable,
            [b'm', b'i', _, _, _, _, _, _, _, _, _] => Key::MinVersion,
            [b'm', _, _, _, _, _, _, _, _, _, _] => Key::MaxVersion,
            [b'a', _, _, _, _, _, _, _, _, _, _, _, _] => Key::Authorization,
            _ => return None,
        };
        if key.as_str() == text { Some(key) } else { None }
    }
}

/// Why one object is refused while its stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A key occurs twice (OC-28).
    Duplicate,
    /// Too many entries, or a key, value, body, identifier or profile over its limit (OC-30).
    TooLarge,
    /// No `action` (OC-28).
    NoAction,
    /// Both `request` and `response` (OC-61).
    BothIds,
    /// A required entry is missing (SIMP-4.2.2-1).
    Missing(Key),
    /// A value does not fit its type (SIMP-4.2.2-2, SIMP-4.2.2-3).
    Value(Key),
}

/// The text of the `error` that answers it (OC-62).
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Duplicate => f.write_str("malformed command: a key occurs twice"),
            Fault::TooLarge => f.write_str("too large"),
            Fault::NoAction => f.write_str("malformed command: there is no 'action'"),
            Fault::BothIds => f.write_str("malformed command: both 'request' and 'response'"),
            Fault::Missing(key) => write!(f, "malformed command: there is no '{}'", key.as_str()),
            Fault::Value(key) => write!(f, "malformed command: '{}' has no proper value", key.as_str()),
        }
    }
}

/// Whom a malformed object concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concerns<'a> {
    /// It has exactly one `request`: an `error` answers it (OC-28).
    Request(&'a str),
    /// It was meant as the reply to this request of ours, which thereby has failed.
    Response(&'a str),
    /// Nobody: ignored, but counted.
    Nobody,
}

/// A malformed object or command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed<'a> {
    /// Whom to tell.
    pub concerns: Concerns<'a>,
    /// What is wrong.
    pub fault: Fault,
}

/// Why there is no object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadObject<'a> {
    /// The stream is broken.
    Stream(BadStream),
    /// This object is refused; the stream goes on.
    Malformed(Malformed<'a>),
}

/// A part of the input or, with the highest bit of `start` set, of the arena.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

const ARENA: u32 = 1 << 31;

/// One entry: where its parts are.
#[derive(Debug, Clone, Copy)]
struct Slot {
    key: Span,
    value: Span,
    /// The element in the input.
    element: Span,
    /// Can the element be copied into another stream as it is?
    verbatim: bool,
}

/// Where objects are taken apart: kept from one to the next so that nothing is allocated anew. It grows
/// to the largest object it has seen (at most a few hundred KiB); one serves a whole node.
#[derive(Debug, Default)]
pub struct Scratch {
    arena: String,
    slots: Vec<Slot>,
    /// For each [`Key`]: its slot's index and one, or zero.
    known: [u16; Key::ALL.len()],
    /// The slots with other keys.
    others: Vec<u16>,
}

impl Scratch {
    /// An empty one.
    pub fn new() -> Scratch {
        Scratch::default()
    }

    fn clear(&mut self) {
        self.arena.clear();
        self.slots.clear();
        self.others.clear();
        self.known = [0; Key::ALL.len()];
    }
}

/// One entry of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The key, unescaped.
    pub key: &'a str,
    /// The value, unescaped.
    pub value: &'a str,
    /// The element as it came, if it can be copied into another stream as it is: it has no CDATA
    /// section, comment, processing instruction or raw CR.
    pub raw: Option<&'a [u8]>,
}

/// A properties object: a map from string to string (SIMP-3.2-2).
#[derive(Clone, Copy)]
pub struct Object<'a> {
    text: &'a str,
    scratch: &'a Scratch,
}

impl<'a> Object<'a> {
    /// Reads one whole `<properties>` element, as the framer found it.
    ///
    /// # Errors
    /// [`BadObject`], which says whether the stream or only this object is bad.
    pub fn parse(data: &'a [u8], scratch: &'a mut Scratch) -> Result<Object<'a>, BadObject<'a>> {
        scratch.clear();
        if data.len() >= ARENA as usize {
            return Err(BadObject::Stream(BadStream::TooLarge));
        }
        let (text, traits) = xml::characters(data).map_err(BadObject::Stream)?;
        let mut reader =
            Reader { bytes: text.as_bytes(), text, at: 0, traits, scratch, fault: None, ids: [0; 2] };
        reader.properties().map_err(BadObject::Stream)?;
        if reader.at != data.len() {
            return Err(BadObject::Stream(BadStream::Markup));
        }
        reader.finish()
    }

    /// Reads a properties object that is a document of its own, such as the value of the profile's
    /// `buddies`: there may be a declaration, and white space, comments and instructions around the
    /// element (SIMP-3.7-7, OC-49).
    ///
    /// # Errors
    /// [`BadObject`]; of either kind the document is bad, and no stream is concerned.
    pub fn parse_document(text: &'a str, scratch: &'a mut Scratch) -> Result<Object<'a>, BadObject<'a>> {
        scratch.clear();
        if text.len() >= ARENA as usize {
            return Err(BadObject::Stream(BadStream::TooLarge));
        }
        let (text, traits) = xml::characters(text.as_bytes()).map_err(BadObject::Stream)?;
        let mut reader =
            Reader { bytes: text.as_bytes(), text, at: 0, traits, scratch, fault: None, ids: [0; 2] };
        reader.prolog().and_then(|()| reader.properties()).map_err(BadObject::Stream)?;
        reader.asides().map_err(BadObject::Stream)?;
        if reader.at != text.len() {
            return Err(BadObject::Stream(BadStream::Text));
        }
        reader.finish()
    }

    /// The value of one of the known keys.
    pub fn get(&self, key: Key) -> Option<&'a str> {
        let slot = self.scratch.slots.get(self.place(key)?)?;
        Some(self.part(slot.value))
    }

    /// The value of any key.
    pub fn find(&self, key: &str) -> Option<&'a str> {
        self.entries().find(|entry| entry.key == key).map(|entry| entry.value)
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.scratch.slots.len()
    }

    /// Has it no entry?
    pub fn is_empty(&self) -> bool {
        self.scratch.slots.is_empty()
    }

    /// All entries, in the order of the input (which means nothing, SIMP-3.2-3).
    pub fn entries(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let object = *self;
        object.scratch.slots.iter().map(move |slot| object.entry(slot))
    }

    /// All entries but the one of a known key.
    pub fn entries_but(&self, key: Key) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let object = *self;
        let left_out = object.place(key);
        let slots = object.scratch.slots.iter().enumerate();
        slots.filter(move |(at, _)| Some(*at) != left_out).map(move |(_, slot)| object.entry(slot))
    }

    /// Has it no entries but of these keys?
    pub fn has_only(&self, keys: &[Key]) -> bool {
        keys.iter().filter(|key| self.place(**key).is_some()).count() == self.len()
    }

    /// Which of the entries is that of a known key.
    fn place(&self, key: Key) -> Option<usize> {
        let index = self.scratch.known.get(key as usize).copied().unwrap_or_default();
        usize::from(index).checked_sub(1)
    }

    fn entry(&self, slot: &Slot) -> Entry<'a> {
        let raw = self.text.as_bytes().get(slot.element.start as usize..slot.element.end as usize);
        Entry { key: self.part(slot.key), value: self.part(slot.value), raw: raw.filter(|_| slot.verbatim) }
    }

    fn part(&self, span: Span) -> &'a str {
        let from = if span.start & ARENA != 0 { self.scratch.arena.as_str() } else { self.text };
        from.get((span.start & !ARENA) as usize..span.end as usize).unwrap_or_default()
    }

    /// A fault of this object, told to whom it concerns.
    pub(super) fn malformed(&self, fault: Fault) -> Malformed<'a> {
        let concerns = match (self.get(Key::Request), self.get(Key::Response)) {
            (Some(id), _) => Concerns::Request(id),
            (None, Some(id)) => Concerns::Response(id),
            (None, None) => Concerns::Nobody,
        };
        Malformed { concerns, fault }
    }
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.entries().map(|e| (e.key, e.value))).finish()
    }
}

/// Equal if they are the same map.
impl PartialEq for Object<'_> {
    fn eq(&self, other: &Object<'_>) -> bool {
        self.len() == other.len() && self.entries().all(|e| other.find(e.key) == Some(e.value))
    }
}

/// Takes one document apart.
struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    /// Of the whole text.
    traits: Traits,
    scratch: &'a mut Scratch,
    /// The first fault that is only this object's.
    fault: Option<Fault>,
    /// How many entries `request` and `response` there are.
    ids: [u8; 2],
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn spaces(&mut self) {
        self.at = after_spaces(self.bytes, self.at);
    }

    /// Takes the literal if it comes next.
    fn takes<const N: usize>(&mut self, literal: &[u8; N]) -> bool {
        let found = self.rest().first_chunk() == Some(literal);
        if found {
            self.at += N;
        }
        found
    }

    fn expect<const N: usize>(&mut self, literal: &[u8; N]) -> Result<(), BadStream> {
        if self.takes(literal) { Ok(()) } else { Err(BadStream::Markup) }
    }

    /// What may come before the root element of a document.
    fn prolog(&mut self) -> Result<(), BadStream> {
        self.spaces();
        if self.rest().starts_with(b"<?xml") && self.rest().get(5).is_some_and(|b| is_space(*b)) {
            let end = Section::Instruction.end(self.rest(), 5, 5).ok_or(BadStream::Header)?;
            xml::declaration(self.rest().get(..end).unwrap_or_default())?;
            self.at += end;
        }
        self.asides()
    }

    /// White space, comments and instructions.
    fn asides(&mut self) -> Result<(), BadStream> {
        loop {
            self.spaces();
            if !matches!(self.rest(), [b'<', b'!' | b'?', ..]) {
                return Ok(());
            }
            if self.section()?.0 == Section::Cdata {
                return Err(BadStream::Text);
            }
        }
    }

    /// A whole section, checked; gives what it is and its content.
    fn section(&mut self) -> Result<(Section, &'a str), BadStream> {
        let section = Section::at(self.rest())?.ok_or(BadStream::Markup)?;
        let content = section.opening().len();
        let end = section.end(self.rest(), content, content).ok_or(BadStream::Markup)?;
        section.check(self.rest().get(..end).unwrap_or_default())?;
        let inside = self.text.get(self.at + content..self.at + end - section.closing().len());
        self.at += end;
        Ok((section, inside.unwrap_or_default()))
    }

    /// The `properties` element.
    fn properties(&mut self) -> Result<(), BadStream> {
        self.expect(b"<properties")?;
        self.spaces();
        if self.takes(b"/>") {
            return Ok(());
        }
        self.expect(b">")?;
        loop {
            self.spaces();
            match self.rest() {
                [b'<', b'e', ..] => self.entry()?,
                [b'<', b'/', ..] => {
                    self.expect(b"</properties")?;
                    self.spaces();
                    return self.expect(b">");
                }
                [b'<', b'!' | b'?', ..] => self.asides()?,
                [b'<', ..] => return Err(BadStream::Markup),
                _ => return Err(BadStream::Text),
            }
        }
    }

    /// An `entry` element (SIMP-3.2-5).
    fn entry(&mut self) -> Result<(), BadStream> {
        let start = self.at;
        // As everybody writes it; else with white space wherever it may be.
        if !self.takes(b"<entry key=") {
            self.expect(b"<entry")?;
            let name = self.at;
            self.spaces();
            if self.at == name {
                return Err(BadStream::Markup);
            }
            self.expect(b"key")?;
            self.spaces();
            self.expect(b"=")?;
            self.spaces();
        }
        let key = self.quoted()?;
        self.spaces();
        let (value, mut verbatim) = if self.takes(b"/>") {
            (Span { start: self.at as u32, end: self.at as u32 }, true)
        } else {
            self.expect(b">")?;
            let value = self.value()?;
            self.expect(b"</entry")?;
            if !self.takes(b">") {
                self.spaces();
                self.expect(b">")?;
            }
            value
        };
        let element = Span { start: start as u32, end: self.at as u32 };
        if verbatim && self.traits.carriage_return {
            let octets = self.bytes.get(start..self.at).unwrap_or_default();
            verbatim = memchr(b'\r', octets).is_none();
        }
        self.keep(Slot { key, value, element, verbatim });
        Ok(())
    }

    /// The quoted value of the attribute `key`.
    fn quoted(&mut self) -> Result<Span, BadStream> {
        let quote = *self.rest().first().filter(|q| matches!(q, b'"' | b'\'')).ok_or(BadStream::Markup)?;
        self.at += 1;
        let start = self.at;
        let special = |b: &u8| *b == quote || matches!(b, b'<' | b'&' | b'\t' | b'\n' | b'\r');
        let next = |from: usize| {
            let rest = self.bytes.get(from..).unwrap_or_default();
            let i = rest.iter().position(special).ok_or(BadStream::Markup)?;
            Ok((from + i, rest.get(i).copied().unwrap_or_default()))
        };
        let (mut end, mut found) = next(start)?;
        if found == quote {
            self.at = end + 1;
            return Ok(Span { start: start as u32, end: end as u32 });
        }
        let begun = self.scratch.arena.len();
        let mut from = start;
        loop {
            self.scratch.arena.push_str(self.text.get(from..end).unwrap_or_default());
            match found {
                b'<' => return Err(BadStream::Markup),
                b'&' => {
                    let (c, len) = xml::reference(self.bytes.get(end + 1..).unwrap_or_default())?;
                    self.scratch.arena.push(c);
                    from = end + 1 + len;
                }
                b'\r' if self.bytes.get(end + 1) == Some(&b'\n') => from = end + 1,
                b'\t' | b'\n' | b'\r' => {
                    self.scratch.arena.push(' ');
                    from = end + 1;
                }
                _ => break,
            }
            (end, found) = next(from)?;
        }
        self.at = end + 1;
        Ok(self.arena_since(begun))
    }

    /// The content of an entry, up to `</`; and whether it can be copied as it is.
    fn value(&mut self) -> Result<(Span, bool), BadStream> {
        let start = self.at;
        let rest = self.rest();
        let end = if self.traits.ampersand { memchr2(b'<', b'&', rest) } else { memchr(b'<', rest) };
        let end = end.ok_or(BadStream::Markup)?;
        let plain = rest.get(end..).is_some_and(|r| r.starts_with(b"</"));
        if !plain || self.traits.carriage_return {
            return self.mixed();
        }
        self.check_text(rest.get(..end).unwrap_or_default())?;
        self.at = start + end;
        Ok((Span { start: start as u32, end: self.at as u32 }, true))
    }

    /// The same where something is escaped or normalised: the value goes to the arena.
    fn mixed(&mut self) -> Result<(Span, bool), BadStream> {
        let begun = self.scratch.arena.len();
        let mut verbatim = true;
        loop {
            let rest = self.rest();
            let end = memchr2(b'<', b'&', rest).ok_or(BadStream::Markup)?;
            self.check_text(rest.get(..end).unwrap_or_default())?;
            self.push_lines(self.text.get(self.at..self.at + end).unwrap_or_default());
            self.at += end;
            match self.rest() {
                [b'&', after @ ..] => {
                    let (c, len) = xml::reference(after)?;
                    self.scratch.arena.push(c);
                    self.at += 1 + len;
                }
                [b'<', b'/', ..] => return Ok((self.arena_since(begun), verbatim)),
                [b'<', b'!' | b'?', ..] => {
                    verbatim = false;
                    if let (Section::Cdata, content) = self.section()? {
                        self.push_lines(content);
                    }
                }
                _ => return Err(BadStream::Markup),
            }
        }
    }

    /// `]]>` must not stand in text (production 14).
    #[inline]
    fn check_text(&self, text: &[u8]) -> Result<(), BadStream> {
        if self.traits.bracket && memmem::find(text, b"]]>").is_some() {
            return Err(BadStream::Markup);
        }
        Ok(())
    }

    /// Text into the arena, each CR LF and each CR as one LF (XML 1.0 2.11).
    fn push_lines(&mut self, text: &str) {
        if !self.traits.carriage_return {
            return self.scratch.arena.push_str(text);
        }
        let mut pieces = text.split('\r');
        self.scratch.arena.push_str(pieces.next().unwrap_or_default());
        for piece in pieces {
            self.scratch.arena.push('\n');
            self.scratch.arena.push_str(piece.strip_prefix('\n').unwrap_or(piece));
        }
    }

    fn arena_since(&self, begun: usize) -> Span {
        Span { start: begun as u32 | ARENA, end: self.scratch.arena.len() as u32 }
    }

    /// Adds an entry, unless it is over a limit.
    fn keep(&mut self, slot: Slot) {
        let size = |span: Span| (span.end - (span.start & !ARENA)) as usize;
        if size(slot.key) > limits::KEY || size(slot.value) > limits::VALUE {
            self.fault.get_or_insert(Fault::TooLarge);
        }
        let key = {
            let from = if slot.key.start & ARENA != 0 { self.scratch.arena.as_str() } else { self.text };
            Key::of(from.get((slot.key.start & !ARENA) as usize..slot.key.end as usize).unwrap_or_default())
        };
        let index = self.scratch.slots.len();
        match key {
            Some(key) => {
                if let Some(count) = self.ids.get_mut((key as usize).wrapping_sub(Key::Request as usize)) {
                    *count = count.saturating_add(1);
                }
                let known = self.scratch.known.get_mut(key as usize);
                match known {
                    Some(known @ 0) => *known = index as u16 + 1,
                    _ => {
                        self.fault.get_or_insert(Fault::Duplicate);
                        return;
                    }
                }
            }
            None if index < limits::ENTRIES => self.scratch.others.push(index as u16),
            None => {}
        }
        if index >= limits::ENTRIES {
            self.fault.get_or_insert(Fault::TooLarge);
            // The known ones are few and tell whom to answer.
            if key.is_none() {
                return;
            }
        }
        self.scratch.slots.push(slot);
    }

    /// The object, or the fault that is its own.
    fn finish(mut self) -> Result<Object<'a>, BadObject<'a>> {
        if self.fault.is_none() && self.has_duplicate() {
            self.fault = Some(Fault::Duplicate);
        }
        if self.fault.is_some() {
            // Of two `request` entries none can be answered.
            for (key, count) in [Key::Request, Key::Response].into_iter().zip(self.ids) {
                if count > 1 {
                    self.scratch.known[key as usize] = 0;
                }
            }
        }
        let object = Object { text: self.text, scratch: self.scratch };
        match self.fault {
            None => Ok(object),
            Some(fault) => Err(BadObject::Malformed(object.malformed(fault))),
        }
    }

    /// Does one of the keys without a meaning occur twice? The others were found as they came.
    fn has_duplicate(&mut self) -> bool {
        let Scratch { others, slots, arena, .. } = &mut *self.scratch;
        let text = self.text;
        let key = |index: u16| {
            let span = slots.get(usize::from(index)).map_or(Span { start: 0, end: 0 }, |slot| slot.key);
            let from = if span.start & ARENA != 0 { arena.as_str() } else { text };
            from.get((span.start & !ARENA) as usize..span.end as usize).unwrap_or_default()
        };
        // Sorted, so that a thousand keys cost no million comparisons.
        others.sort_unstable_by(|a, b| key(*a).cmp(key(*b)));
        others.windows(2).any(|pair| matches!(pair, [a, b] if key(*a) == key(*b)))
    }
}
