//! Writing: commands, as octets at the end of a connection's output.
//!
//! Last in the flow of what is sent. Each function appends one whole command, one line, so that what is
//! in a buffer between two calls can always be sent (SIMP-3.5-7). Requests are numbered (SIMP-3.6-7),
//! replies repeat the peer's identifier. Any text can be written: what XML excludes is replaced by
//! U+FFFD (OC-24). Nothing is allocated but the buffer's growth.

use super::command::{Challenge, Granted, Ima, Message, Note, Parties, Presence, Version};
use super::object::{Key, Object};

/// The start of a stream, written at once on accept or connect (OC-27).
pub const HEADER: &[u8] = b"<?xml version=\"1.0\"?>\n<stream>\n";
/// The end of a stream (SIMP-3.5-4).
pub const END: &[u8] = b"</stream>\n";
/// Between commands, means nothing: keeps a silent connection alive (OC-53).
pub const KEEP_ALIVE: &[u8] = b"\n";

const OPEN: &[u8] = b"<properties>";
const CLOSE: &[u8] = b"</properties>\n";

/// `send` (SIMP-5.1-1).
pub fn send(out: &mut Vec<u8>, id: u64, message: &Message<'_>) {
    let line = Line::request(out, "send", id).parties(&message.parties);
    let line = match message.reply_to {
        Some(address) => line.text(Key::ReplyTo, address.as_str()),
        None => line,
    };
    line.text(Key::Type, message.content_type).text(Key::Body, message.body).end();
}

/// `fetch` (SIMP-5.2-1).
pub fn fetch(out: &mut Vec<u8>, id: u64, parties: &Parties<'_>) {
    Line::request(out, "fetch", id).parties(parties).end();
}

/// `subscribe` (SIMP-5.3-1); `duration` in milliseconds, negative for the longest.
pub fn subscribe(out: &mut Vec<u8>, id: u64, parties: &Parties<'_>, duration: i64) {
    Line::request(out, "subscribe", id).parties(parties).number(Key::Duration, duration).end();
}

/// `unsubscribe` (SIMP-5.4-1).
pub fn unsubscribe(out: &mut Vec<u8>, id: u64, parties: &Parties<'_>, opaque: &str) {
    Line::request(out, "unsubscribe", id).parties(parties).text(Key::Opaque, opaque).end();
}

/// `inquire` (SIMP-5.5-1).
pub fn inquire(out: &mut Vec<u8>, id: u64, parties: &Parties<'_>) {
    Line::request(out, "inquire", id).parties(parties).end();
}

/// `note change` (SIMP-6.1-1), to one of many who are all told the same: [`note_entries`].
pub fn note_change(out: &mut Vec<u8>, id: u64, to: Ima<'_>, entries: &[u8]) {
    let line = Line::request(out, "note change", id).text(Key::To, to.as_str());
    line.0.extend_from_slice(entries);
    line.end();
}

/// The entries of a `note change` that say by whom and what is noted.
pub fn note_entries(out: &mut Vec<u8>, from: Ima<'_>, presence: &Presence<'_>) {
    Line(out).text(Key::From, from.as_str()).presence(presence);
}

/// `note subscription end` (SIMP-6.2-1).
pub fn note_subscription_end(out: &mut Vec<u8>, id: u64, note: &Note<'_>) {
    Line::request(out, "note subscription end", id).parties(&note.parties).presence(&note.presence).end();
}

/// `login` (SIMP-7.1-1), with what the client can do, if it says so.
pub fn login(out: &mut Vec<u8>, id: u64, user: &str, algorithms: Option<&str>) {
    let line = Line::request(out, "login", id).text(Key::User, user);
    match algorithms {
        Some(algorithms) => line.text(Key::Algorithms, algorithms).end(),
        None => line.end(),
    }
}

/// `connect` (SIMP-7.2-3).
pub fn connect(out: &mut Vec<u8>, id: u64, authorization: &str, opaque: &str, version: Version) {
    Line::request(out, "connect", id)
        .text(Key::Authorization, authorization)
        .text(Key::Opaque, opaque)
        .version(Key::Version, version)
        .end();
}

/// `get profile` (SIMP-8.1-1).
pub fn get_profile(out: &mut Vec<u8>, id: u64) {
    Line::request(out, "get profile", id).end();
}

/// `set profile` (SIMP-8.2-1): all entries of the new one.
pub fn set_profile<'e>(out: &mut Vec<u8>, id: u64, entries: impl IntoIterator<Item = (&'e str, &'e str)>) {
    Line::request(out, "set profile", id).entries(entries).end();
}

/// `get acl` (SIMP-9.1-1).
pub fn get_acl(out: &mut Vec<u8>, id: u64) {
    Line::request(out, "get acl", id).end();
}

/// `set acl` (SIMP-9.2-1): all entries of the new one.
pub fn set_acl<'e>(out: &mut Vec<u8>, id: u64, entries: impl IntoIterator<Item = (&'e str, &'e str)>) {
    Line::request(out, "set acl", id).entries(entries).end();
}

/// `drop subscription` (SIMP-10.1-1).
pub fn drop_subscription(out: &mut Vec<u8>, id: u64, subscriber: Ima<'_>) {
    Line::request(out, "drop subscription", id).text(Key::Subscriber, subscriber.as_str()).end();
}

/// `okay` (3.3).
pub fn okay(out: &mut Vec<u8>, id: &str, message: &str) {
    Line::reply(out, "okay", id).text(Key::Message, message).end();
}

/// `okay` of somebody who could not see it arrive: `who` that was, is an entry of our own.
pub fn okay_unreliable(out: &mut Vec<u8>, id: &str, message: &str, who: &str) {
    Line::reply(out, "okay", id).text(Key::Message, message).text(Key::Unreliable, who).end();
}

/// `error` (3.3).
pub fn error(out: &mut Vec<u8>, id: &str, message: &str) {
    Line::reply(out, "error", id).text(Key::Message, message).end();
}

/// `describe`, in reply to `fetch` (SIMP-5.2-3) or, with what was granted, to `subscribe` (SIMP-5.3-5).
pub fn describe(out: &mut Vec<u8>, id: &str, presence: &Presence<'_>, granted: Option<Granted<'_>>) {
    let line = Line::reply(out, "describe", id).presence(presence);
    match granted {
        Some(granted) => {
            line.number(Key::Duration, granted.duration).text(Key::Opaque, granted.opaque).end();
        }
        None => line.end(),
    }
}

/// `challenge` (SIMP-7.1-2); the versions are both 1.0.
pub fn challenge(out: &mut Vec<u8>, id: &str, challenge: &Challenge<'_>) {
    Line::reply(out, "challenge", id)
        .challenge(challenge)
        .version(Key::MinVersion, Version::V1_0)
        .version(Key::MaxVersion, Version::V1_0)
        .end();
}

/// `self`: a profile (SIMP-8.1-1) or an access control list (SIMP-9.1-1).
pub fn own<'e>(out: &mut Vec<u8>, id: &str, entries: impl IntoIterator<Item = (&'e str, &'e str)>) {
    Line::reply(out, "self", id).entries(entries).end();
}

/// `note subscription` (SIMP-6.3-1).
pub fn note_subscription(out: &mut Vec<u8>, subscriber: &str) {
    Line::one_way(out, "note subscription").text(Key::Subscriber, subscriber).end();
}

/// `note subscription lapse` (SIMP-6.4-1).
pub fn note_subscription_lapse(out: &mut Vec<u8>, subscriber: &str) {
    Line::one_way(out, "note subscription lapse").text(Key::Subscriber, subscriber).end();
}

/// `divert` (SIMP-6.5-1).
pub fn divert(out: &mut Vec<u8>, challenge: &Challenge<'_>) {
    Line::one_way(out, "divert").challenge(challenge).end();
}

/// A properties object of any entries: a command of no other function here, or a document of its own.
pub fn object<'e>(out: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'e str, &'e str)>) {
    out.extend_from_slice(OPEN);
    Line(out).entries(entries).end();
}

/// All entries of a received request but `request` (OC-64), as [`relay`] takes them: copied as they
/// are where that can be, else written anew.
///
/// Who it is from and to is said in the words of `parties`, however it was spelt.
pub fn relayed_entries(out: &mut Vec<u8>, request: &Object<'_>, parties: &Parties<'_>) {
    for entry in request.entries_but(Key::Request) {
        let value = match entry.key {
            key if key == Key::From.as_str() => parties.from.as_str(),
            key if key == Key::To.as_str() => parties.to.as_str(),
            _ => entry.value,
        };
        match entry.raw.filter(|_| value == entry.value) {
            Some(raw) => out.extend_from_slice(raw),
            None => self::entry(out, entry.key, value),
        }
    }
}

/// A request with an identifier of ours and entries from [`relayed_entries`].
pub fn relay(out: &mut Vec<u8>, id: u64, entries: &[u8]) {
    out.extend_from_slice(OPEN);
    let line = Line(out).id(id);
    line.0.extend_from_slice(entries);
    line.end();
}

/// Entries alone, as [`relay`] takes them.
pub fn entries<'e>(out: &mut Vec<u8>, entries: impl IntoIterator<Item = (&'e str, &'e str)>) {
    for (key, value) in entries {
        entry(out, key, value);
    }
}

/// The command being written.
struct Line<'o>(&'o mut Vec<u8>);

impl<'o> Line<'o> {
    fn request(out: &'o mut Vec<u8>, action: &str, id: u64) -> Line<'o> {
        Line::one_way(out, action).id(id)
    }

    fn reply(out: &'o mut Vec<u8>, action: &str, id: &str) -> Line<'o> {
        Line::one_way(out, action).text(Key::Response, id)
    }

    fn one_way(out: &'o mut Vec<u8>, action: &str) -> Line<'o> {
        out.extend_from_slice(OPEN);
        Line(out).text(Key::Action, action)
    }

    fn with(self, key: Key, value: impl FnOnce(&mut Vec<u8>)) -> Line<'o> {
        self.0.extend_from_slice(key.tag().as_bytes());
        value(self.0);
        self.0.extend_from_slice(b"</entry>");
        self
    }

    fn text(self, key: Key, value: &str) -> Line<'o> {
        self.with(key, |out| text(out, value))
    }

    fn id(self, id: u64) -> Line<'o> {
        self.with(Key::Request, |out| digits(out, id))
    }

    fn number(self, key: Key, value: i64) -> Line<'o> {
        self.with(key, |out| {
            if value < 0 {
                out.push(b'-');
            }
            digits(out, value.unsigned_abs());
        })
    }

    fn version(self, key: Key, version: Version) -> Line<'o> {
        self.with(key, |out| {
            digits(out, version.major.into());
            out.push(b'.');
            digits(out, version.minor.into());
        })
    }

    fn parties(self, parties: &Parties<'_>) -> Line<'o> {
        self.text(Key::To, parties.to.as_str()).text(Key::From, parties.from.as_str())
    }

    fn presence(self, presence: &Presence<'_>) -> Line<'o> {
        let line = self
            .text(Key::Regarding, presence.regarding.as_str())
            .text(Key::Status, presence.status.as_str());
        let line = match presence.online {
            Some(date) => line.number(Key::Online, date.0),
            None => line,
        };
        line.text(Key::Message, presence.message)
    }

    fn challenge(self, challenge: &Challenge<'_>) -> Line<'o> {
        self.text(Key::Nonce, challenge.nonce)
            .text(Key::Opaque, challenge.opaque)
            .text(Key::Algorithm, challenge.algorithm)
            .text(Key::Host, challenge.host)
            .number(Key::Port, challenge.port.into())
    }

    fn entries<'e>(self, entries: impl IntoIterator<Item = (&'e str, &'e str)>) -> Line<'o> {
        for (key, value) in entries {
            entry(self.0, key, value);
        }
        self
    }

    fn end(self) {
        self.0.extend_from_slice(CLOSE);
    }
}

fn entry(out: &mut Vec<u8>, key: &str, value: &str) {
    out.extend_from_slice(b"<entry key=\"");
    attribute(out, key);
    out.extend_from_slice(b"\">");
    text(out, value);
    out.extend_from_slice(b"</entry>");
}

fn digits(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Has a value at most so many octets when it is written?
pub fn fits(value: &str, most: usize) -> bool {
    const LONGEST: usize = "&amp;".len();
    value.len() * LONGEST <= most || escaped_len(value) <= most
}

fn escaped_len(value: &str) -> usize {
    let longer = |b| match b {
        b'&' | b'\r' => 4,
        b'<' | b'>' => 3,
        _ => 0,
    };
    value.len() + value.bytes().map(longer).sum::<usize>()
}

/// Character data. CR is written as a reference, since a raw one reads as LF; `>` because of `]]>`.
fn text(out: &mut Vec<u8>, value: &str) {
    escaped(out, value, |b| match b {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// An attribute's value in double quotes. White space but the space is written as references, since it
/// would be read as spaces.
fn attribute(out: &mut Vec<u8>, value: &str) {
    escaped(out, value, |b| match b {
        b'&' => Some("&amp;"),
        b'<' => Some("&lt;"),
        b'>' => Some("&gt;"),
        b'"' => Some("&quot;"),
        b'\t' => Some("&#9;"),
        b'\n' => Some("&#10;"),
        b'\r' => Some("&#13;"),
        _ => None,
    });
}

/// May this octet have to be written in another way?
#[inline]
const fn is_special(b: u8) -> bool {
    (b < b' ') | (b == b'&') | (b == b'<') | (b == b'>') | (b == b'"') | (b == 0xEF)
}

/// The same of all octets: for short values that is faster than many octets at once.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < table.len() {
        table[b] = is_special(b as u8);
        b += 1;
    }
    table
};

fn escaped(out: &mut Vec<u8>, value: &str, escape: impl Fn(u8) -> Option<&'static str>) {
    // Most values have nothing to escape.
    let special = if value.len() < 64 {
        value.bytes().any(|b| SPECIAL[usize::from(b)])
    } else {
        value.bytes().fold(false, |found, b| found | is_special(b))
    };
    if !special {
        return out.extend_from_slice(value.as_bytes());
    }
    let bytes = value.as_bytes();
    let mut from = 0;
    for (i, &b) in bytes.iter().enumerate() {
        let (replacement, len) = match (escape(b), b) {
            (Some(reference), _) => (reference, 1),
            (None, b'\t' | b'\n' | b' '..0xEF | 0xF0..) => continue,
            (None, 0xEF) => match bytes.get(i..i + 3) {
                Some([_, 0xBF, 0xBE | 0xBF]) => ("\u{FFFD}", 3),
                _ => continue,
            },
            (None, _) => ("\u{FFFD}", 1),
        };
        out.extend_from_slice(bytes.get(from..i).unwrap_or_default());
        out.extend_from_slice(replacement.as_bytes());
        from = i + len;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
}
