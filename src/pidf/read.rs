//! From octets to a [`Doc`]: the grammar, read as leniently as it can be without guessing.
//!
//! One pass without recursion. Time and memory are bounded by the caps on a document's length, depth and
//! number of definitions in [`limits`]. Names and values stay where they are in the text.

use std::fmt;

use super::doc::{Definition, Doc, Name, Raw};
use crate::limits;

/// The names of this prefix declare the prefixes of others (PIDF-6-1).
const NAMESPACE: &str = "namespace";

/// Reads a document in UTF-8.
///
/// # Errors
/// [`IllFormed`], also when a document is larger than the limits: then nothing of it is known.
pub fn parse(octets: &[u8]) -> Result<Doc<'_>, IllFormed> {
    if octets.len() > limits::DOCUMENT {
        return Err(IllFormed { line: 1, why: Why::TooLong });
    }
    let text = std::str::from_utf8(octets)
        .map_err(|error| IllFormed::at(octets, error.valid_up_to(), Why::NotUtf8))?;
    // Legal nowhere, so that below only the characters of the structure are looked at.
    if let Some((at, _)) = text.char_indices().find(|(_, c)| is_illegal(*c)) {
        return Err(IllFormed::at(octets, at, Why::Character));
    }
    let mut reader = Reader { text, at: 0, read: Vec::new(), open: Vec::new(), prefixes: Vec::new() };
    match reader.read() {
        Ok(()) => Ok(Doc::new(reader.read)),
        Err(why) => Err(IllFormed::at(octets, reader.at, why)),
    }
}

/// Characters that stand neither in values nor between them (P5).
pub(super) fn is_illegal(c: char) -> bool {
    matches!(c, '\0'..='\x08' | '\x0b' | '\x0c' | '\x0e'..='\x1f' | '\x7f' | '\u{fffe}' | '\u{ffff}')
}

/// Why a text is no document, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IllFormed {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong there.
    pub why: Why,
}

impl IllFormed {
    fn at(octets: &[u8], at: usize, why: Why) -> IllFormed {
        let ends = octets.get(..at).unwrap_or(octets).iter().filter(|octet| **octet == b'\n').count();
        IllFormed { line: ends as u32 + 1, why }
    }
}

impl fmt::Display for IllFormed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::TooLong => "the document is too long",
            Why::TooMany => "too many definitions",
            Why::TooDeep => "too many braces in each other",
            Why::NotUtf8 => "the text is not UTF-8",
            Why::Character => "a control character",
            Why::Name => "a name of letters, digits, '-' and ':' is expected, beginning with a letter",
            Why::NoEquals => "no '=' after a name",
            Why::Quote => "a quote is not closed",
            Why::Brace => "a brace is not closed",
            Why::Escape => "a backslash stands only in quotes, before a quote or another backslash",
        };
        write!(f, "line {} of the presence document: {why}", self.line)
    }
}

impl std::error::Error for IllFormed {}

/// What can be wrong with a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Longer than [`limits::DOCUMENT`].
    TooLong,
    /// More than [`limits::DEFINITIONS`].
    TooMany,
    /// Deeper than [`limits::DOCUMENT_DEPTH`].
    TooDeep,
    /// Not UTF-8.
    NotUtf8,
    /// A character that may stand nowhere.
    Character,
    /// Something else than a name where a definition begins.
    Name,
    /// No `=` after a name.
    NoEquals,
    /// A quoted value without end.
    Quote,
    /// A subtree without end.
    Brace,
    /// A backslash in an unquoted value, or before anything but a quote or a backslash (P6).
    Escape,
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    read: Vec<Definition<'a>>,
    /// The definitions whose subtrees we are in.
    open: Vec<u32>,
    /// The prefixes declared so far in these contexts, outer ones first.
    prefixes: Vec<Prefix<'a>>,
}

/// A declared prefix.
struct Prefix<'a> {
    prefix: &'a str,
    /// The definition that declares it; none if its value is no URL: then it only bars others after it.
    by: Option<u32>,
    /// How deep it was declared.
    depth: usize,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Why> {
        loop {
            match self.next() {
                None if self.open.is_empty() => return Ok(()),
                None => return Err(Why::Brace),
                Some(b'}') => {
                    let index = self.open.pop().ok_or(Why::Name)?;
                    self.at += 1;
                    let left = self.prefixes.partition_point(|prefix| prefix.depth <= self.open.len());
                    self.prefixes.truncate(left);
                    self.complete(index);
                }
                Some(_) => self.definition()?,
            }
        }
    }

    /// One definition, up to the brace that opens its subtree; before it, perhaps, some without a value.
    fn definition(&mut self) -> Result<(), Why> {
        let length = Name::length(self.rest());
        let mut name = Name::parse(self.take(length)).ok_or(Why::Name)?;
        loop {
            if self.next() != Some(b'=') {
                return Err(Why::NoEquals);
            }
            self.at += 1;
            let value = match self.next() {
                Some(b'"') => self.quoted()?,
                _ => self.unquoted()?,
            };
            let next = self.next();
            if next == Some(b'=')
                && !value.quoted
                && let Some(following) = Name::parse(value.text)
            {
                // P4: the value was empty, and what looks like it is the next name.
                let index = self.push(name, Raw::default())?;
                self.complete(index);
                name = following;
                continue;
            }
            let index = self.push(name, value)?;
            if next == Some(b'{') {
                self.at += 1;
                if self.open.len() >= limits::DOCUMENT_DEPTH {
                    return Err(Why::TooDeep);
                }
                self.open.push(index);
            } else {
                self.complete(index);
            }
            return Ok(());
        }
    }

    /// A value in quotes, which are not a part of it.
    fn quoted(&mut self) -> Result<Raw<'a>, Why> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek() {
                None => return Err(Why::Quote),
                Some(b'"') => break,
                Some(b'\\') => match self.rest().as_bytes().get(1) {
                    Some(b'"' | b'\\') => {
                        escaped = true;
                        self.at += 2;
                    }
                    Some(_) => return Err(Why::Escape),
                    None => return Err(Why::Quote),
                },
                Some(_) => self.at += 1,
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(Raw { text, quoted: true, escaped })
    }

    /// The longest run of the characters of an unquoted value (P2, P3, P8); may be none.
    fn unquoted(&mut self) -> Result<Raw<'a>, Why> {
        let inside = !self.open.is_empty();
        let ends = |octet: &u8| {
            matches!(octet, b' ' | b'\t' | b'\r' | b'\n' | b'{' | b'\\') || (inside && *octet == b'}')
        };
        let rest = self.rest().as_bytes();
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let text = self.take(length);
        if self.peek() == Some(b'\\') {
            return Err(Why::Escape);
        }
        Ok(Raw { text, quoted: false, escaped: false })
    }

    fn push(&mut self, name: Name<'a>, value: Raw<'a>) -> Result<u32, Why> {
        if self.read.len() >= limits::DEFINITIONS {
            return Err(Why::TooMany);
        }
        let index = self.read.len() as u32;
        let declared = name.prefix().filter(|prefix| *prefix != NAMESPACE).and_then(|prefix| {
            // The innermost, and those without a URL are as if they were not there.
            self.prefixes.iter().rev().filter(|p| p.prefix == prefix).find_map(|p| p.by)
        });
        self.read.push(Definition { name, value, end: index + 1, declared });
        Ok(index)
    }

    /// A definition has ended, with its subtree: from here on counts what it declares (PIDF-6-1).
    fn complete(&mut self, index: u32) {
        let end = self.read.len() as u32;
        let Some(definition) = self.read.get_mut(index as usize) else { return };
        definition.end = end;
        if definition.name.prefix() != Some(NAMESPACE) {
            return;
        }
        let prefix = definition.name.local();
        let depth = self.open.len();
        // Of two in one context the first counts (PIDF-5-3).
        if !self.prefixes.iter().any(|p| p.depth == depth && p.prefix == prefix) {
            let by = definition.value.is_url().then_some(index);
            self.prefixes.push(Prefix { prefix, by, depth });
        }
    }

    /// The next octet that is no white space (P1).
    fn next(&mut self) -> Option<u8> {
        let rest = self.rest().as_bytes();
        let space = |octet: &u8| matches!(octet, b' ' | b'\t' | b'\r' | b'\n');
        self.at += rest.iter().position(|octet| !space(octet)).unwrap_or(rest.len());
        self.peek()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, length: usize) -> &'a str {
        let taken = self.rest().get(..length).unwrap_or_default();
        self.at += taken.len();
        taken
    }
}
