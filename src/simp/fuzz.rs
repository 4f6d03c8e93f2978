//! Entry points for fuzzing the codec: each takes any octets and panics if a promise is broken. They are
//! run by the fuzz targets and, on generated input, by the tests.

use super::command::Command;
use super::framer::{Framer, Step};
use super::object::{BadObject, Object, Scratch};
use super::write;

/// A small limit, so that inputs of a fuzzer's size reach it.
const LIMIT: usize = 512;

/// A stream gives the same pieces however it is cut up, each of them is judged without a panic, and
/// the pieces are all of the stream. The first octet says how it is cut.
pub fn stream(data: &[u8]) {
    let Some((cut, stream)) = data.split_first() else { return };
    let whole = pieces(stream, stream.len());
    assert_eq!(whole, pieces(stream, 1), "octet by octet");
    assert_eq!(whole, pieces(stream, usize::from(*cut) + 1), "in pieces");
}

/// The steps over a stream that comes `size` octets at a time, with where each begins; runs of
/// skipped octets count as one.
fn pieces(stream: &[u8], size: usize) -> Vec<(usize, Step)> {
    let mut framer = Framer::new();
    let mut scratch = Scratch::new();
    let mut pieces = Vec::new();
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = stream.len().min(end + size);
        loop {
            let seen = stream.get(start..end).unwrap_or_default();
            let step = framer.step(seen, LIMIT);
            match (step, pieces.last_mut()) {
                (Step::More, _) => break,
                (Step::Skip(n), Some((_, Step::Skip(before)))) => *before += n,
                _ => pieces.push((start, step)),
            }
            match step {
                Step::Skip(n) | Step::Opened(n) => start += n,
                Step::Object(n) => {
                    object(seen.get(..n).unwrap_or_default());
                    let read = Command::read(seen.get(..n).unwrap_or_default(), &mut scratch);
                    if let Err(BadObject::Stream(bad)) = read {
                        pieces.push((start, Step::Broken(bad)));
                        return pieces;
                    }
                    start += n;
                }
                Step::More | Step::Ended(_) | Step::Broken(_) => return pieces,
            }
        }
        assert!(end - start <= LIMIT, "no more is asked for than the limit");
    }
    pieces
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
    write::relayed_entries(&mut entries, &object);
    write::relay(&mut relayed, 7, &entries);
    let mut other = Scratch::new();
    match Object::parse(relayed.trim_ascii_end(), &mut other) {
        Ok(relayed) => {
            assert_eq!(relayed.find("request"), Some("7"));
            assert!(
                object.entries().filter(|e| e.key != "request").all(|e| relayed.find(e.key) == Some(e.value))
            );
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
