//! Framing: where in a stream of octets one message ends and the next begins.
//!
//! First in the flow of what is received: the connection shows its unconsumed octets to the [`Framer`], which
//! says what is at their start. It owns no buffer and can be stopped at any octet, so an idle
//! connection costs its 24 octets. It looks at each octet a bounded number of times however they are cut up,
//! and gives the same pieces. A payload that is too large is never gathered: its head is shown at once, so that the
//! command can be answered, and its octets are skipped as they come (TOC-33).

use memchr::{memchr, memchr2};

use super::command::Fault;
use super::message::{Header, Kind, Message, Scratch, Slot, Start};
use crate::limits;

/// Why a stream can't be read on: the connection is closed without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadStream {
    /// A CR without its LF, or an LF without its CR (TOC-30).
    LineEnd,
    /// The first line of a message is none (TOC-31).
    StartLine,
    /// `Content-Length` is no number (TOC-31).
    Length,
    /// The head is over a limit (TOC-32), or more is announced than would even be skipped (TOC-33).
    TooLarge,
    /// Too many empty lines in a row (TOC-43).
    EmptyLines,
}

impl std::fmt::Display for BadStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            BadStream::LineEnd => "a line does not end in CRLF",
            BadStream::StartLine => "the first line of a message is malformed",
            BadStream::Length => "Content-Length is not a number",
            BadStream::TooLarge => "too large",
            BadStream::EmptyLines => "too many empty lines",
        })
    }
}

/// What one peer may send, octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// All headers of a message together.
    pub headers: usize,
    /// How many of them.
    pub count: u16,
    /// The payload of an `auth`, of its response too.
    pub auth: usize,
    /// Any other payload.
    pub payload: usize,
}

impl Bounds {
    /// Of a peer that has not shown who it is.
    pub const UNPROVEN: Bounds = Bounds {
        headers: limits::HEADERS,
        count: limits::HEADER_COUNT,
        auth: limits::AUTH_PAYLOAD,
        payload: limits::PAYLOAD_UNPROVEN,
    };
    /// Of a peer that has. Messages and presence documents have the same limit.
    pub const PROVEN: Bounds = Bounds { payload: limits::DOCUMENT, ..Bounds::UNPROVEN };
    /// Of a client's own server, whose ok to `start-wi` has a header for every watcher (PITP-15.3-2).
    pub const HOME: Bounds =
        Bounds { headers: limits::HEADERS_CLIENT, count: limits::HEADER_COUNT_CLIENT, ..Bounds::PROVEN };
}

/// What stands at the start of the octets shown to [`Framer::step`]. The number is how many octets it
/// takes: drop them before the next step.
#[derive(Debug, Clone, Copy)]
pub enum Step<'a> {
    /// Nothing of interest: an empty line, or a part of a payload that was too large.
    Skip(usize),
    /// `=nop`, or a line of that kind that we don't know: no effect, but counted (TOC-14).
    Nop(usize),
    /// A list of mechanisms.
    Mech(usize, Mechanisms<'a>),
    /// A whole command or response.
    Message(usize, Message<'a>),
    /// A command or response without the payload that it announces, since that is over its limit: to be
    /// answered with [`Method::too_much`](super::method::Method::too_much). What comes of the payload is
    /// skipped by the next steps.
    Oversized(usize, Message<'a>),
    /// Not enough to tell: call again with the same octets and more.
    More,
    /// The stream can't be read on. Every later step says the same.
    Broken(BadStream),
}

/// The names in a list of mechanisms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mechanisms<'a>(&'a str);

impl<'a> Mechanisms<'a> {
    /// Each name, as it is written; compare them without regard to case (G22).
    pub fn names(self) -> impl Iterator<Item = &'a str> {
        self.0.split([' ', '\t']).filter(|name| !name.is_empty())
    }

    /// Is this mechanism among them?
    pub fn has(self, name: &str) -> bool {
        self.names().any(|n| n.eq_ignore_ascii_case(name))
    }
}

/// Is it 1 to 20 letters, digits, hyphens or underscores (COMMON-10-6)?
pub(super) fn is_mechanism(name: &str) -> bool {
    (1..=20).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// Where in the stream we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Between messages.
    Between,
    /// In the head of a message.
    Head,
    /// The head is there; `wanted` octets are the whole message.
    Payload,
    /// `wanted` octets of a payload are to be skipped.
    Skipping,
    /// Can't be read on.
    Broken(BadStream),
}

/// Finds the pieces of one stream. See the module.
#[derive(Debug, Clone)]
pub struct Framer {
    place: Place,
    /// Empty lines since the last message.
    empty_lines: u8,
    /// Headers of this message so far.
    count: u16,
    /// Octets in which no line ends.
    scanned: u32,
    /// Where the unfinished line starts.
    line: u32,
    /// Where the last header starts.
    header: u32,
    /// Where the headers start; 0 in the start line.
    headers: u32,
    wanted: u32,
}

const _: () = assert!(size_of::<Framer>() <= 32, "every connection has one");

impl Default for Framer {
    fn default() -> Framer {
        Framer::new()
    }
}

impl Framer {
    /// At the start of a stream.
    pub const fn new() -> Framer {
        Framer {
            place: Place::Between,
            empty_lines: 0,
            count: 0,
            scanned: 0,
            line: 0,
            header: 0,
            headers: 0,
            wanted: 0,
        }
    }

    /// Is it between two messages, with nothing of the next one seen? Then whoever knows what a whole message looks
    /// like may take it off without a [`step`](Framer::step), and says so: [`took`](Framer::took).
    pub(super) fn is_between(&self) -> bool {
        self.place == Place::Between && self.scanned == 0
    }

    /// A whole message was taken off.
    pub(super) fn took(&mut self) {
        *self = Framer::new();
    }

    /// Says what is at the start of `data`, all unconsumed octets. After `More` the next call must show the
    /// same octets and further ones.
    pub fn step<'a>(&mut self, data: &'a [u8], bounds: &Bounds, scratch: &'a mut Scratch) -> Step<'a> {
        match self.advance(data, bounds, scratch) {
            Ok(step) => step,
            Err(bad) => {
                self.place = Place::Broken(bad);
                Step::Broken(bad)
            }
        }
    }

    fn advance<'a>(
        &mut self,
        data: &'a [u8],
        bounds: &Bounds,
        scratch: &'a mut Scratch,
    ) -> Result<Step<'a>, BadStream> {
        match (self.place, data) {
            (Place::Broken(bad), _) => Err(bad),
            (_, []) => Ok(Step::More),
            (Place::Skipping, _) => Ok(self.skip(data.len())),
            (Place::Payload, _) if data.len() < self.wanted as usize => Ok(Step::More),
            (Place::Payload, _) => {
                self.forget();
                self.message(data, bounds, scratch)
            }
            (Place::Head, _) | (_, [b'>' | b'<', ..]) => self.message(data, bounds, scratch),
            (_, [b'=', ..]) => self.notice(data),
            (_, [b'\r']) => Ok(Step::More),
            (_, [b'\r', b'\n', ..]) if self.empty_lines == limits::EMPTY_LINES => Err(BadStream::EmptyLines),
            (_, [b'\r', b'\n', ..]) => {
                self.empty_lines += 1;
                Ok(Step::Skip(2))
            }
            (_, [b'\r' | b'\n', ..]) => Err(BadStream::LineEnd),
            _ => Err(BadStream::StartLine),
        }
    }

    /// Back to where nothing of a message has been seen.
    fn forget(&mut self) {
        *self = Framer { empty_lines: self.empty_lines, ..Framer::new() };
    }

    fn skip(&mut self, there: usize) -> Step<'static> {
        let some = there.min(self.wanted as usize);
        self.wanted -= some as u32;
        if self.wanted == 0 {
            self.place = Place::Between;
        }
        Step::Skip(some)
    }

    /// A line that begins with `=`.
    fn notice<'a>(&mut self, data: &'a [u8]) -> Result<Step<'a>, BadStream> {
        let Some(end) = self.line_end(data, limits::START_LINE)? else { return Ok(Step::More) };
        *self = Framer::new();
        let line = text(data.get(1..end).unwrap_or_default())?;
        let word_end =
            line.bytes().position(|b| !b.is_ascii_alphanumeric() && b != b'-').unwrap_or(line.len());
        let (word, rest) = line.split_at_checked(word_end).unwrap_or_default();
        if word.is_empty() || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
            return Err(BadStream::StartLine);
        }
        match word {
            // The second is the word as the draft's grammar spells it (G2).
            "mech" | "mec8" => {
                let list = Mechanisms(rest);
                if list.names().all(is_mechanism) {
                    Ok(Step::Mech(end + 2, list))
                } else {
                    Err(BadStream::StartLine)
                }
            }
            _ => Ok(Step::Nop(end + 2)),
        }
    }

    /// Where the unfinished line ends, before its CRLF. Without an end it must not be longer than `limit`.
    fn line_end(&mut self, data: &[u8], limit: usize) -> Result<Option<usize>, BadStream> {
        let from = self.scanned as usize;
        let found = memchr2(b'\r', b'\n', data.get(from..).unwrap_or_default());
        let end = found.map_or(data.len(), |i| from + i);
        if end - self.line as usize > limit {
            return Err(BadStream::TooLarge);
        }
        self.scanned = end as u32;
        match (data.get(end), data.get(end + 1)) {
            (None, _) | (Some(b'\r'), None) => Ok(None),
            (Some(b'\r'), Some(b'\n')) => Ok(Some(end)),
            _ => Err(BadStream::LineEnd),
        }
    }

    /// A command or response.
    fn message<'a>(
        &mut self,
        data: &'a [u8],
        bounds: &Bounds,
        scratch: &'a mut Scratch,
    ) -> Result<Step<'a>, BadStream> {
        let fresh = self.scanned == 0;
        self.place = Place::Head;
        let mut found = self.head(data, bounds, fresh.then_some(&mut *scratch))?;
        if found.is_some() && !fresh {
            // The scratch has served others meanwhile.
            self.forget();
            found = self.head(data, bounds, Some(&mut *scratch))?;
        }
        let Some((head, Some(start))) = found else { return Ok(Step::More) };
        let raw = data.get(..head).unwrap_or_default();
        let announced = announced(raw, scratch)?;
        let limit = if start.method == "auth" { bounds.auth } else { bounds.payload };
        let whole = head + announced.unwrap_or(0);
        let oversized = announced.is_some_and(|announced| announced > limit);
        if !oversized && data.len() < whole {
            (self.place, self.wanted) = (Place::Payload, whole as u32);
            return Ok(Step::More);
        }
        *self = Framer::new();
        let message = Message {
            start,
            head: characters(raw, scratch),
            payload: announced.and_then(|_| data.get(head..whole)).filter(|_| !oversized),
            scratch,
        };
        if oversized {
            (self.place, self.wanted) = (Place::Skipping, (whole - head) as u32);
            return Ok(Step::Oversized(head, message));
        }
        Ok(Step::Message(whole, message))
    }

    /// Goes on through the lines of a head, and gives its length when it has found the empty line, and the
    /// start line if it was among those. What stands there is noted in the scratch, if it is at hand
    /// and has been since the first line.
    fn head<'a>(
        &mut self,
        data: &'a [u8],
        bounds: &Bounds,
        mut scratch: Option<&mut Scratch>,
    ) -> Result<Option<(usize, Option<Start<'a>>)>, BadStream> {
        let mut start = None;
        if let Some(scratch) = &mut scratch {
            scratch.clear();
        }
        loop {
            let begin = self.line as usize;
            let folded = self.headers > 0 && matches!(data.get(begin), Some(b' ' | b'\t'));
            let limit = if self.headers == 0 {
                limits::START_LINE
            } else {
                let before = if folded { begin - self.header as usize } else { 0 };
                let left = bounds.headers.saturating_sub(begin - self.headers as usize);
                limits::HEADER_VALUE.saturating_sub(before).min(left)
            };
            let Some(end) = self.line_end(data, limit)? else { return Ok(None) };
            let line = data.get(begin..end).unwrap_or_default();
            (self.line, self.scanned) = (end as u32 + 2, end as u32 + 2);
            if self.headers == 0 {
                start = Some(start_line(line)?);
                self.headers = self.line;
                self.header = self.line;
            } else if line.is_empty() {
                return Ok(Some((end + 2, start)));
            } else if folded {
                if let Some(scratch) = &mut scratch {
                    continuation(scratch, line, end + 2);
                }
            } else {
                self.count = self.count.saturating_add(1);
                self.header = begin as u32;
                let colon = memchr(b':', line);
                let too_long = colon.is_some_and(|c| c > limits::HEADER_NAME);
                if too_long || self.count > bounds.count {
                    return Err(BadStream::TooLarge);
                }
                if let Some(scratch) = &mut scratch {
                    first_line(scratch, line, colon, begin);
                }
            }
        }
    }
}

/// Notes the first line of a header.
fn first_line(scratch: &mut Scratch, line: &[u8], colon: Option<usize>, begin: usize) {
    let name = colon.and_then(|colon| line.get(..colon)).unwrap_or_default();
    let name = std::str::from_utf8(name).unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        scratch.fault.get_or_insert(Fault::Line);
    }
    scratch.push(Slot {
        start: begin as u32,
        value: (begin + name.len() + 1) as u32,
        end: (begin + line.len() + 2) as u32,
        header: Header::of(name),
    });
}

/// Notes a line that goes on with the last header.
fn continuation(scratch: &mut Scratch, line: &[u8], end: usize) {
    let blank = line.iter().all(|b| matches!(b, b' ' | b'\t'));
    match scratch.slots.last_mut() {
        Some(slot) if !blank => slot.end = end as u32,
        // Nothing to go on with, or nothing that it says (G23).
        _ => {
            scratch.fault.get_or_insert(Fault::Line);
        }
    }
}

/// `>id method` or `<id status (method)` (COMMON-10-7, COMMON-10-8), white space after it dropped (G21).
fn start_line(line: &[u8]) -> Result<Start<'_>, BadStream> {
    let parse = || {
        let line = std::str::from_utf8(line).ok()?.trim_end_matches([' ', '\t']);
        let is_word = |text: &str, max| {
            (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        let (id, rest) = line.get(1..)?.split_once([' ', '\t'])?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let (kind, method) = match line.as_bytes().first()? {
            b'>' => (Kind::Command, rest),
            _ => {
                let (status, method) = rest.strip_suffix(')')?.split_once('(')?;
                match status.trim_end_matches([' ', '\t']) {
                    "ok" => (Kind::Ok, method),
                    // The second is the word as the draft's grammar spells it (G1).
                    "error" | "nrror" => (Kind::Error, method),
                    _ => return None,
                }
            }
        };
        let fits = is_word(id, limits::ID) && !id.contains('-') && is_word(method, limits::METHOD);
        fits.then_some(Start { kind, id, method })
    };
    parse().ok_or(BadStream::StartLine)
}

/// How large a payload the first `Content-Length` announces.
fn announced(head: &[u8], scratch: &Scratch) -> Result<Option<usize>, BadStream> {
    let Some(slot) = scratch.slots.iter().find(|slot| slot.header == Some(Header::ContentLength)) else {
        return Ok(None);
    };
    let value = head.get(slot.value as usize..slot.end as usize).unwrap_or_default().trim_ascii();
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(BadStream::Length);
    }
    let number = value.iter().fold(0_u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    if number > limits::ABSURD_PAYLOAD {
        return Err(BadStream::TooLarge);
    }
    Ok(usize::try_from(number).ok())
}

/// The head as text, if it is UTF-8 without control characters and every line of it is one (TOC-39).
/// Otherwise nothing of it is to be read, and the scratch says why.
fn characters<'a>(head: &'a [u8], scratch: &mut Scratch) -> &'a str {
    // Most heads are plain; this test does many octets at once. That each CR and LF stands where it may is known.
    let special = head
        .iter()
        .fold(false, |found, b| found | (*b > b'~') | ((*b < b' ') & (*b != b'\r') & (*b != b'\n')));
    let text = std::str::from_utf8(head).ok().filter(|text| {
        !special
            || text.chars().all(|c| match c {
                '\t' | '\r' | '\n' => true,
                '\u{0}'..' ' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => false,
                _ => true,
            })
    });
    match (text, scratch.fault) {
        (Some(text), None) => text,
        (_, fault) => {
            scratch.clear();
            scratch.fault = Some(fault.unwrap_or(Fault::Text));
            ""
        }
    }
}

/// A line that has to be text.
fn text(line: &[u8]) -> Result<&str, BadStream> {
    std::str::from_utf8(line).map_err(|_| BadStream::StartLine)
}
