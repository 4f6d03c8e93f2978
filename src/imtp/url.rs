//! Identifiers and the other values that name somebody: URLs, subscriptions, lists of visited domains.
//!
//! Values of headers become these types once, when a command is read. They borrow the spelling that came, since a
//! relay never changes it but for a missing scheme (TOC-53); [`Identifier::address`] gives what is
//! compared. On the wire an identifier is ASCII, so a user whose local part is not can't be named here.

use crate::hub::address::{Address, BadAddress, Domains};
use crate::hub::pattern::{is_url_rest, split_scheme};
use crate::limits;

use super::Protocol;

/// Without the white space and folds around it.
pub(super) fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t', '\r', '\n'])
}

/// A URL: somebody of this service, or something of another scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Url<'a> {
    /// `presence:` in PITP, `im:` in IMTP.
    Own(Identifier<'a>),
    /// Only a local gateway knows what it is (TOC-59).
    Other(&'a str),
}

impl<'a> Url<'a> {
    /// Reads a URL without white space around it. Without a scheme the service's own is meant (TOC-53).
    pub fn parse(text: &'a str, protocol: Protocol) -> Option<Url<'a>> {
        if text.len() > limits::IDENTIFIER {
            return None;
        }
        let Some((scheme, rest)) = split_scheme(text) else { return Identifier::parse(text).map(Url::Own) };
        let schemes = protocol.schemes();
        let is_one_of = |names: &[&str]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        if is_one_of(schemes.own) {
            Identifier::parse(rest).map(Url::Own)
        } else if is_one_of(schemes.kin) {
            Identifier::parse(rest).map(|_| Url::Other(text))
        } else {
            is_url_rest(rest).then_some(Url::Other(text))
        }
    }

    /// Whom of this service it names.
    pub fn identifier(self) -> Option<Identifier<'a>> {
        match self {
            Url::Own(identifier) => Some(identifier),
            Url::Other(_) => None,
        }
    }
}

impl<'a> From<&'a Address> for Url<'a> {
    fn from(address: &'a Address) -> Url<'a> {
        Url::Own(Identifier::of(address))
    }
}

/// `local@domain` as it was spelt, ASCII without control characters (TOC-56).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identifier<'a> {
    text: &'a str,
    /// Where the `@` before the domain is.
    at: usize,
}

impl<'a> Identifier<'a> {
    /// Reads what comes after the scheme.
    pub fn parse(text: &'a str) -> Option<Identifier<'a>> {
        let at = if text.starts_with('"') { quoted_end(text)? } else { dotted_end(text)? };
        let domain = text.get(at..)?.strip_prefix('@')?;
        is_domain(domain).then_some(Identifier { text, at })
    }

    /// Of an address, which is spelt so already.
    pub fn of(address: &'a Address) -> Identifier<'a> {
        Identifier { text: address.as_str(), at: address.local().len() }
    }

    /// As it was spelt.
    pub fn as_str(self) -> &'a str {
        self.text
    }

    /// The part before `@`, with its quotes.
    pub fn local(self) -> &'a str {
        self.text.get(..self.at).unwrap_or_default()
    }

    /// The part after `@`, in any case.
    pub fn domain(self) -> &'a str {
        self.text.get(self.at + 1..).unwrap_or_default()
    }

    /// The text, if nothing in it is quoted: then
    /// [`Hub::locate`](crate::hub::Hub::locate) may find the address without making one.
    pub fn plain(self) -> Option<&'a str> {
        if self.text.starts_with('"') { None } else { Some(self.text) }
    }

    /// The address, which is what is compared. Of our own domains the case doesn't count, of others it does.
    ///
    /// # Errors
    /// [`BadAddress`] if the local part is longer than any account's.
    pub fn address(self, ours: &Domains) -> Result<Address, BadAddress> {
        Address::parse_quoted(self.text, ours)
    }
}

/// The length of the dotted string at the start.
fn dotted_end(text: &str) -> Option<usize> {
    let mut before = b'.';
    for (i, b) in text.bytes().enumerate() {
        match b {
            b'@' => return (before != b'.').then_some(i),
            b'.' if before == b'.' => return None,
            b'.'
            | b'!'
            | b'#'..=b'\''
            | b'*'
            | b'+'
            | b'-'
            | b'/'
            | b'='
            | b'?'
            | b'^'..=b'`'
            | b'{'..=b'~' => {}
            b if b.is_ascii_alphanumeric() => {}
            _ => return None,
        }
        before = b;
    }
    None
}

/// The length of the quoted string at the start.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (i, b) in text.bytes().enumerate().skip(1) {
        match b {
            b' '..=b'~' if escaped => escaped = false,
            b'"' => return Some(i + 1),
            b'\\' => escaped = true,
            b' '..=b'~' => {}
            _ => return None,
        }
    }
    None
}

/// Labels of letters, digits and inner hyphens, joined by dots (COMMON-9-4).
pub(super) fn is_domain(text: &str) -> bool {
    // Seen from here the text begins and ends with a dot.
    let (mut before, mut label) = (b'.', 0);
    for b in text.bytes().chain([b'.']) {
        match b {
            b'.' if matches!(before, b'.' | b'-') || label > 63 => return false,
            b'-' if before == b'.' => return false,
            b'.' => label = 0,
            b if b.is_ascii_alphanumeric() || b == b'-' => label += 1,
            _ => return false,
        }
        before = b;
    }
    text.len() <= limits::DOMAIN
}

/// Which subscription: a watcher, and what his home server calls the connection it was made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Letters and digits; none between a watcher and his home server (PITP-11.7-3, -6, -7).
    pub id: Option<&'a str>,
    /// Who watches.
    pub watcher: Url<'a>,
}

impl<'a> Subscription<'a> {
    /// Reads `[id] / url`, with white space and folds around the slash (PITP-11.7-1).
    pub fn parse(text: &'a str, protocol: Protocol) -> Option<Subscription<'a>> {
        let (id, url) = text.split_once('/')?;
        let id = trim(id);
        if id.len() > limits::CONNECTION_ID || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let watcher = Url::parse(trim(url), protocol)?;
        Some(Subscription { id: if id.is_empty() { None } else { Some(id) }, watcher })
    }
}

/// The domains that a message has passed through (IMTP-11.8-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Visited<'a>(&'a str);

impl<'a> Visited<'a> {
    /// Reads a list of domains with white space or folds between them.
    pub fn parse(text: &'a str) -> Option<Visited<'a>> {
        let list = Visited(text);
        list.domains().all(is_domain).then_some(list)
    }

    /// In the order of the way.
    pub fn domains(self) -> impl Iterator<Item = &'a str> {
        self.0.split([' ', '\t', '\r', '\n']).filter(|domain| !domain.is_empty())
    }

    /// Has it been there?
    pub fn has(self, domain: &str) -> bool {
        self.domains().any(|d| d.eq_ignore_ascii_case(domain))
    }

    /// As it came; folds are possible.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}
