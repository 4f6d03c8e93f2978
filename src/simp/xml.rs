//! The little of XML 1.0 that SIMP's grammar needs, shared by the framer and the object parser:
//! white space, characters, references, the declaration, comments and processing instructions.
//!
//! A general XML reader is not used here: the framer must be restartable at any octet while owning no
//! buffer, and a `send` must be read in a fraction of a microsecond. Documents of this grammar are
//! compared with a general reader in the tests.

use std::fmt;

use memchr::{memchr, memchr_iter, memchr3};

/// Why a stream can't be read on (OC-26, OC-27, OC-30): the connection ends it and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadStream {
    /// It does not start with an XML 1.0 declaration and `<stream>`.
    Header,
    /// It declares an encoding other than UTF-8.
    Encoding,
    /// It has a document type declaration.
    Doctype,
    /// Not well-formed, or an element or attribute that the grammar does not have.
    Markup,
    /// Text where only elements may be.
    Text,
    /// Octets that are not UTF-8.
    Utf8,
    /// A character that XML 1.0 excludes.
    Character,
    /// A reference that is ill-formed or to an entity that is not predefined.
    Reference,
    /// A command, or what comes between two, is over the limit.
    TooLarge,
}

impl fmt::Display for BadStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadStream::Header => "no XML 1.0 declaration and <stream> at the start",
            BadStream::Encoding => "an encoding other than UTF-8",
            BadStream::Doctype => "a document type declaration",
            BadStream::Markup => "markup that is ill-formed or not of this protocol",
            BadStream::Text => "text between elements",
            BadStream::Utf8 => "octets that are not UTF-8",
            BadStream::Character => "a character that XML excludes",
            BadStream::Reference => "a reference to no predefined entity or character",
            BadStream::TooLarge => "a command over the limit",
        })
    }
}

impl std::error::Error for BadStream {}

/// How some octets begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With the whole literal.
    Whole,
    /// They are a part of the literal: more may decide.
    Part,
    /// With something else.
    Other,
}

/// Does `data` start with `literal`, as far as it goes?
pub(super) fn start(data: &[u8], literal: &[u8]) -> Start {
    if data.starts_with(literal) {
        Start::Whole
    } else if literal.starts_with(data) {
        Start::Part
    } else {
        Start::Other
    }
}

/// `S` of XML 1.0 (production 3).
pub(super) fn is_space(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b'\r')
}

/// The index of the first octet from `at` on that is not white space.
pub(super) fn after_spaces(data: &[u8], at: usize) -> usize {
    let rest = data.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| !is_space(*b)).unwrap_or(rest.len())
}

/// Markup that runs to a terminator and in which nothing else is markup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    /// `<!-- ... -->`
    Comment,
    /// `<![CDATA[ ... ]]>`
    Cdata,
    /// `<? ... ?>`
    Instruction,
}

impl Section {
    /// What it begins with.
    pub(super) const fn opening(self) -> &'static [u8] {
        match self {
            Section::Comment => b"<!--",
            Section::Cdata => b"<![CDATA[",
            Section::Instruction => b"<?",
        }
    }

    /// What it ends with; the last octet is `>`.
    pub(super) const fn closing(self) -> &'static [u8] {
        match self {
            Section::Comment => b"-->",
            Section::Cdata => b"]]>",
            Section::Instruction => b"?>",
        }
    }

    /// Which one begins at the start of `data` (which starts with `<!` or `<?`); none: too little to tell.
    pub(super) fn at(data: &[u8]) -> Result<Option<Section>, BadStream> {
        let mut partial = false;
        for section in [Section::Comment, Section::Cdata, Section::Instruction] {
            match start(data, section.opening()) {
                Start::Whole => return Ok(Some(section)),
                Start::Part => partial = true,
                Start::Other => {}
            }
        }
        match data.get(2) {
            _ if partial => Ok(None),
            Some(b'D') => Err(BadStream::Doctype),
            _ => Err(BadStream::Markup),
        }
    }

    /// The index after the terminator of the section whose content starts at `content`. Octets before
    /// `from` are known to hold no terminator's last octet.
    pub(super) fn end(self, data: &[u8], content: usize, from: usize) -> Option<usize> {
        let closing = self.closing();
        memchr_iter(b'>', data.get(from..)?).map(|i| from + i + 1).find(|end| {
            let start = end.saturating_sub(closing.len());
            start >= content && data.get(start..*end) == Some(closing)
        })
    }

    /// Checks a whole section, from its first octet to its last, for what its content may be.
    pub(super) fn check(self, whole: &[u8]) -> Result<(), BadStream> {
        let inside = (self.opening().len(), whole.len().saturating_sub(self.closing().len()));
        let content = whole.get(inside.0..inside.1).ok_or(BadStream::Markup)?;
        let (text, _) = characters(content)?;
        let good = match self {
            Section::Comment => !text.contains("--") && !text.ends_with('-'),
            Section::Cdata => true,
            Section::Instruction => {
                let target = text.split([' ', '\t', '\n', '\r']).next().unwrap_or_default();
                is_name(target) && !target.eq_ignore_ascii_case("xml")
            }
        };
        if good { Ok(()) } else { Err(BadStream::Markup) }
    }
}

/// `Name` of XML 1.0 (production 5).
fn is_name(text: &str) -> bool {
    let starts = |c: char| {
        matches!(c, ':' | '_' | 'A'..='Z' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}'
            | '\u{F8}'..='\u{2FF}' | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}'
            | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}' | '\u{2C00}'..='\u{2FEF}'
            | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
            | '\u{10000}'..='\u{EFFFF}')
    };
    let goes_on = |c: char| {
        starts(c)
            || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
    };
    text.chars().next().is_some_and(starts) && text.chars().all(goes_on)
}

/// What occurs somewhere in a text, so that its parts need not be searched for it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Traits {
    /// A `]`.
    pub(super) bracket: bool,
    /// An `&`.
    pub(super) ampersand: bool,
    /// A CR.
    pub(super) carriage_return: bool,
}

/// Octets as text, if they are UTF-8 and each character is a `Char` of XML 1.0 (production 2). Each
/// pass is one that the compiler or memchr does many octets at a time.
pub(super) fn characters(data: &[u8]) -> Result<(&str, Traits), BadStream> {
    let text = std::str::from_utf8(data).map_err(|_| BadStream::Utf8)?;
    let mut traits = Traits::default();
    if data.iter().fold(false, |found, &b| found | ((b < b' ') & (b != b'\n'))) {
        if data.iter().any(|&b| b < b' ' && !is_space(b)) {
            return Err(BadStream::Character);
        }
        traits.carriage_return = memchr(b'\r', data).is_some();
    }
    if let Some(i) = memchr3(b'&', b']', 0xEF, data) {
        let rest = data.get(i..).unwrap_or_default();
        traits.bracket = memchr(b']', rest).is_some();
        traits.ampersand = memchr(b'&', rest).is_some();
        // U+FFFE and U+FFFF.
        let excluded = |at: usize| matches!(rest.get(at..at + 3), Some([_, 0xBF, 0xBE | 0xBF]));
        if memchr_iter(0xEF, rest).any(excluded) {
            return Err(BadStream::Character);
        }
    }
    Ok((text, traits))
}

/// `Char` of XML 1.0 (production 2).
pub(super) fn is_text(text: &str) -> bool {
    // Most texts have nothing that may be excluded; this test does many octets at once.
    let doubtful = |found, b| found | ((b < b' ') & (b != b'\n')) | (b == 0xEF);
    !text.bytes().fold(false, doubtful) || text.chars().all(is_char)
}

/// A `Char` of XML 1.0.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FFFD}' | '\u{10000}'..)
}

/// Reads the reference whose `&` stands just before `rest`: the character, and how many octets it took.
pub(super) fn reference(rest: &[u8]) -> Result<(char, usize), BadStream> {
    for (name, c) in [(&b"amp;"[..], '&'), (b"lt;", '<'), (b"gt;", '>'), (b"quot;", '"'), (b"apos;", '\'')] {
        if rest.starts_with(name) {
            return Ok((c, name.len()));
        }
    }
    let (digits, radix, skipped) = match rest {
        [b'#', b'x', digits @ ..] => (digits, 16, 2),
        [b'#', digits @ ..] => (digits, 10, 1),
        _ => return Err(BadStream::Reference),
    };
    let mut code = 0u32;
    for (i, &b) in digits.iter().enumerate() {
        match char::from(b).to_digit(radix) {
            Some(digit) => code = code.saturating_mul(radix).saturating_add(digit),
            None if b == b';' && i > 0 => {
                let c = char::from_u32(code).filter(|c| is_char(*c)).ok_or(BadStream::Character)?;
                return Ok((c, skipped + i + 1));
            }
            None => break,
        }
    }
    Err(BadStream::Reference)
}

/// Checks a whole XML declaration, `<?xml` to `?>` (production 23; OC-27).
pub(super) fn declaration(whole: &[u8]) -> Result<(), BadStream> {
    let inside = whole.strip_prefix(b"<?xml").and_then(|d| d.strip_suffix(b"?>")).ok_or(BadStream::Header)?;
    let mut rest = inside;
    let mut next = None;
    for name in [&b"version"[..], b"encoding", b"standalone"] {
        let found = next.take().map_or_else(|| pseudo_attribute(rest), Ok)?;
        match found {
            Some((given, value, after)) if given == name => match name {
                b"version" if value != b"1.0" => return Err(BadStream::Header),
                b"encoding" if !value.eq_ignore_ascii_case(b"utf-8") => return Err(BadStream::Encoding),
                b"standalone" if value != b"yes" && value != b"no" => return Err(BadStream::Header),
                _ => rest = after,
            },
            _ if name == b"version" => return Err(BadStream::Header),
            other => next = Some(other),
        }
    }
    if after_spaces(rest, 0) == rest.len() { Ok(()) } else { Err(BadStream::Header) }
}

/// Name, value and the rest after it.
type PseudoAttribute<'a> = (&'a [u8], &'a [u8], &'a [u8]);

/// `S name S? = S? "value"` at the start of `data`; none if there is nothing but white space.
fn pseudo_attribute(data: &[u8]) -> Result<Option<PseudoAttribute<'_>>, BadStream> {
    let skip = |d: &mut &[u8]| *d = d.trim_ascii_start();
    let mut rest = data;
    skip(&mut rest);
    if rest.is_empty() {
        return Ok(None);
    }
    if rest.len() == data.len() {
        return Err(BadStream::Header);
    }
    let end = rest.iter().position(|b| !b.is_ascii_lowercase()).ok_or(BadStream::Header)?;
    let (name, after) = rest.split_at(end);
    rest = after;
    skip(&mut rest);
    rest = rest.strip_prefix(b"=").ok_or(BadStream::Header)?;
    skip(&mut rest);
    let (quote, after) =
        rest.split_first().filter(|(q, _)| matches!(q, b'"' | b'\'')).ok_or(BadStream::Header)?;
    let end = after.iter().position(|b| b == quote).ok_or(BadStream::Header)?;
    Ok(Some((name, &after[..end], &after[end + 1..])))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn declarations() {
        // SIMP-3.5-2, SIMP-3.5-6, OC-27
        let good: [&[u8]; 8] = [
            b"<?xml version=\"1.0\"?>",
            b"<?xml version='1.0'?>",
            b"<?xml version = '1.0' ?>",
            b"<?xml\n version=\"1.0\"\tencoding=\"UTF-8\"?>",
            b"<?xml version='1.0' encoding='utf-8'?>",
            b"<?xml version='1.0' encoding='Utf-8' standalone='yes'?>",
            b"<?xml version='1.0' standalone=\"no\" ?>",
            b"<?xml   version='1.0'   ?>",
        ];
        for d in good {
            assert_eq!(declaration(d), Ok(()), "{}", String::from_utf8_lossy(d));
        }
        for (d, why) in [
            (&b"<?xml?>"[..], BadStream::Header),
            (b"<?xml ?>", BadStream::Header),
            (b"<?xml version=\"1.1\"?>", BadStream::Header),
            (b"<?xml version=\"1.0'?>", BadStream::Header),
            (b"<?xml version=1.0?>", BadStream::Header),
            (b"<?xml version?>", BadStream::Header),
            (b"<?xmlversion='1.0'?>", BadStream::Header),
            (b"<?xml encoding='UTF-8'?>", BadStream::Header),
            (b"<?xml encoding='UTF-8' version='1.0'?>", BadStream::Header),
            (b"<?xml version='1.0'encoding='UTF-8'?>", BadStream::Header),
            (b"<?xml version='1.0' standalone='yes' encoding='UTF-8'?>", BadStream::Header),
            (b"<?xml version='1.0' version='1.0'?>", BadStream::Header),
            (b"<?xml version='1.0' standalone='maybe'?>", BadStream::Header),
            (b"<?xml version='1.0' x?>", BadStream::Header),
            (b"<?xml version='1.0' encoding='ISO-8859-1'?>", BadStream::Encoding),
            (b"<?xml version='1.0' encoding='UTF-16' standalone='yes'?>", BadStream::Encoding),
        ] {
            assert_eq!(declaration(d), Err(why), "{}", String::from_utf8_lossy(d));
        }
    }

    #[test]
    fn references() {
        // OC-26: the five entities and characters; nothing else
        for (text, c) in [
            ("amp;", '&'),
            ("lt;", '<'),
            ("gt;", '>'),
            ("quot;", '"'),
            ("apos;", '\''),
            ("#65;", 'A'),
            ("#x41;", 'A'),
            ("#x1F600;", '\u{1F600}'),
            ("#x1f600;x", '\u{1F600}'),
            ("#0000000000000000065;", 'A'),
            ("#9;", '\t'),
            ("#13;", '\r'),
            ("#x10FFFF;", '\u{10FFFF}'),
        ] {
            let (found, len) = reference(text.as_bytes()).unwrap();
            assert_eq!((found, len), (c, text.find(';').unwrap() + 1), "{text}");
        }
        for text in
            ["", "amp", "AMP;", "nbsp;", ";", "#;", "#x;", "#X41;", "#12a;", "# 12;", "#-1;", "#+1;", "#1"]
        {
            assert_eq!(reference(text.as_bytes()), Err(BadStream::Reference), "{text}");
        }
        for text in
            ["#0;", "#8;", "#x1F;", "#xD800;", "#xDFFF;", "#xFFFE;", "#65535;", "#x110000;", "#4294967361;"]
        {
            assert_eq!(reference(text.as_bytes()), Err(BadStream::Character), "{text}");
        }
        let huge = format!("#{};", "9".repeat(5000));
        assert_eq!(reference(huge.as_bytes()), Err(BadStream::Character));
    }

    #[test]
    fn characters_of_xml() {
        // SIMP-4.2.1.1-1, OC-24
        for good in ["", "a\tb\nc\r", "\u{7f}\u{80}\u{fffd}\u{10000}\u{e000}", "\u{ffef}\u{efff}"] {
            assert!(characters(good.as_bytes()).is_ok() && is_text(good), "{good:?}");
        }
        for bad in ["\0", "a\u{1}", "\u{b}", "\u{c}", "\u{1f}b", "\u{fffe}", "x\u{ffff}y"] {
            assert!(!is_text(bad), "{bad:?}");
            assert_eq!(characters(bad.as_bytes()), Err(BadStream::Character), "{bad:?}");
        }
        let encoded: [&[u8]; 6] =
            [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc\xe2\x82", b"\xc1\xbf"];
        for bad in encoded {
            assert_eq!(characters(bad), Err(BadStream::Utf8), "{bad:?}");
        }
    }

    #[test]
    fn names() {
        assert!(is_name("xml-stylesheet") && is_name("_a:b.c1") && is_name("é"));
        assert!(!is_name("") && !is_name("1a") && !is_name("-a") && !is_name("a b") && !is_name("a!"));
    }
}
