//! Entry points for fuzzing the codec: each takes any octets and panics if a promise is broken. They are
//! run by the fuzz targets and, on generated input, by the tests.

use super::command::{Command, Ima, Parties};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::framer::{Framer, Step};
use super::login::{Claim, Desk, choose, claim};
use super::object::{BadObject, Object, Scratch};
use super::write;
use crate::clock::{Date, Now, Tick};
use crate::credential::Algorithm;
use crate::fuzz::{Pieces, Taken};
use crate::hub::address::{Domain, Domains};

/// A small limit, so that inputs of a fuzzer's size reach it.
const LIMIT: usize = 512;

/// A stream gives the same pieces however it is cut up, each of them is judged without a panic, and the pieces
/// are all of the stream. The first octet says how it is cut.
pub fn stream(data: &[u8]) {
    crate::fuzz::stream::<Stream>(data);
}

/// A stream under way.
#[derive(Default)]
struct Stream {
    framer: Framer,
    scratch: Scratch,
}

impl Pieces for Stream {
    type Piece = Step;

    fn bound(_: usize) -> usize {
        LIMIT
    }

    fn step(&mut self, seen: &[u8]) -> Taken<Step> {
        let step = self.framer.step(seen, LIMIT);
        match step {
            Step::More => Taken::More,
            Step::Skip(n) | Step::Opened(n) => Taken::Piece(n, step),
            Step::Object(n) => {
                let seen = seen.get(..n).unwrap_or_default();
                object(seen);
                match Command::read(seen, &mut self.scratch) {
                    Err(BadObject::Stream(bad)) => Taken::Last(Step::Broken(bad)),
                    _ => Taken::Piece(n, step),
                }
            }
            Step::Ended(_) | Step::Broken(_) => Taken::Last(step),
        }
    }

    fn skipped(piece: &Step) -> Option<usize> {
        if let Step::Skip(n) = piece { Some(*n) } else { None }
    }

    fn skip(count: usize) -> Step {
        Step::Skip(count)
    }
}

/// What can be read, written and read again is the same; so is each entry that may be copied as it is,
/// and the object as a document of its own.
pub fn object(data: &[u8]) {
    let mut scratch = Scratch::new();
    let Ok(object) = Object::parse(data, &mut scratch) else { return };

    let mut written = Vec::new();
    write::object(&mut written, object.entries().map(|e| (e.key, e.value)));
    let mut other = Scratch::new();
    assert_eq!(Object::parse(written.trim_ascii_end(), &mut other), Ok(object), "written and read");

    let mut relayed = Vec::new();
    let mut entries = Vec::new();
    let (Some(to), Some(from)) = (Ima::parse("to@a.test"), Ima::parse("from@b.test")) else { return };
    write::relayed_entries(&mut entries, &object, &Parties { to, from });
    write::relay(&mut relayed, 7, &entries);
    let mut other = Scratch::new();
    match Object::parse(relayed.trim_ascii_end(), &mut other) {
        Ok(relayed) => {
            assert_eq!(relayed.find("request"), Some("7"));
            assert!(object.entries().all(|entry| match entry.key {
                "request" => true,
                "to" => relayed.find("to") == Some(to.as_str()),
                "from" => relayed.find("from") == Some(from.as_str()),
                key => relayed.find(key) == Some(entry.value),
            }));
        }
        // One entry too many, since it had no `request`.
        Err(bad) => assert!(matches!(bad, BadObject::Malformed(_)), "relayed: {bad:?}"),
    }

    let text = std::str::from_utf8(data).unwrap_or_default();
    let mut other = Scratch::new();
    assert_eq!(Object::parse_document(text, &mut other), Ok(object), "as a document");
}

/// A nested document is read without a panic, and reading is the inverse of writing.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut scratch = Scratch::new();
    let Ok(object) = Object::parse_document(text, &mut scratch) else { return };
    let mut written = Vec::new();
    write::object(&mut written, object.entries().map(|e| (e.key, e.value)));
    self::object(written.trim_ascii_end());
}

/// Any text can be written as key and value, and is read back with what XML excludes replaced.
pub fn text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, value) = text.split_once('\u{1}').unwrap_or((&text, ""));
    let mut written = Vec::new();
    write::object(&mut written, [(key, value)]);
    let mut scratch = Scratch::new();
    let kept = |c: char| if super::xml::is_char(c) { c } else { '\u{FFFD}' };
    match Object::parse(written.trim_ascii_end(), &mut scratch) {
        Ok(object) => {
            let entry = object.entries().next();
            assert!(entry.is_some_and(|e| {
                e.key.chars().eq(key.chars().map(kept)) && e.value.chars().eq(value.chars().map(kept))
            }));
        }
        Err(bad) => assert!(
            matches!(bad, BadObject::Malformed(_)) && (key.len() > 170 || value.len() > 20_000),
            "written and read: {bad:?}"
        ),
    }
}

/// The parts of the reader of XML by themselves: what they take is what XML 1.0 has.
pub fn xml(data: &[u8]) {
    if let Ok((text, _)) = super::xml::characters(data) {
        assert_eq!(text.as_bytes(), data);
        assert!(text.chars().all(super::xml::is_char) && super::xml::is_text(text));
    }
    if let Ok((c, taken)) = super::xml::reference(data) {
        let spelt = data.get(..taken).unwrap_or_default();
        assert!(super::xml::is_char(c) && spelt.ends_with(b";"), "{spelt:?}");
    }
    let at = super::xml::after_spaces(data, 0);
    assert!(at <= data.len() && data.iter().take(at).all(|octet| super::xml::is_space(*octet)));
    let _ = super::xml::declaration(data);
    if let Ok(Some(section)) = super::xml::Section::at(data) {
        let content = section.opening().len();
        assert!(data.starts_with(section.opening()));
        if let Some(end) = section.end(data, content, content) {
            let whole = data.get(..end).unwrap_or_default();
            assert!(whole.ends_with(section.closing()) && end >= content);
            let _ = section.check(whole);
            // What has not come yet is never the end.
            assert_eq!(section.end(whole.get(..end - 1).unwrap_or_default(), content, content), None);
        }
    }
}

/// A challenge opens once, as it was given; nothing else opens at all. What a client names himself is read
/// without a panic.
pub fn login(data: &[u8]) {
    let Some((flip, data)) = data.split_first_chunk::<2>() else { return };
    let user = String::from_utf8_lossy(data);
    let ours = Domains::new(Domain::parse("a.test").into_iter().collect());
    if let Claim::Ours(address) = claim(&user, &ours) {
        assert_eq!(address.domain(), "a.test");
    }
    let _ = choose(Some(&user), true);
    let now = Now { tick: Tick::at(0), date: Date(1_000_000) };
    let mut random = ChaCha8Rng::from_seed([1; 32]);
    let mut desk = Desk::new(now, [2; 32], &mut random);
    assert!(desk.redeem(now, &user).is_none(), "{user}");
    let Some((nonce, opaque)) = desk.challenge(now, &user, Algorithm::Sha256, &mut random) else { return };
    let mut spoilt = opaque.clone().into_bytes();
    let at = usize::from(flip[0]) % spoilt.len().max(1);
    if let Some(octet) = spoilt.get_mut(at) {
        *octet ^= flip[1];
    }
    let spoilt = String::from_utf8_lossy(&spoilt);
    assert_eq!(desk.redeem(now, &spoilt).is_some(), spoilt == opaque, "{spoilt}");
    let again = desk.redeem(now, &opaque);
    assert_eq!(again.is_some(), spoilt != opaque, "once");
    assert!(again.is_none_or(|ticket| ticket.user == user && ticket.nonce == nonce));
}
