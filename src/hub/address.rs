//! Addresses: `local@domain`, parsed once at the edge and then only compared.
//!
//! Every protocol names people by the same thing under another scheme (`alice@example.org`,
//! `im:alice@example.org`, `sip:alice@example.org`), so the hub knows one type. A parsed address is
//! canonical: its domain is a lower-case A-label name, and its local part is lower-cased when, and
//! only when, the domain is one of ours (another domain's local parts belong to that domain and are
//! never folded). After that equality of addresses is equality of bytes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Longest local part in bytes (RFC 5321 4.5.3.1.1; OC-22).
pub const MAX_LOCAL: usize = 64;
/// Longest domain in bytes (RFC 1035 2.3.4).
pub const MAX_DOMAIN: usize = 255;

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadAddress {
    /// Not exactly one `@`.
    At,
    /// The local part is empty, too long, or holds a character that no account name may have.
    Local,
    /// The domain is empty, too long, or no host name.
    Domain,
}

impl fmt::Display for BadAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadAddress::At => "an address has exactly one '@'",
            BadAddress::Local => "the part before '@' is not a user name",
            BadAddress::Domain => "the part after '@' is not a domain name",
        })
    }
}

impl std::error::Error for BadAddress {}

/// A domain name: lower-case A-labels joined by dots, without a trailing dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Domain(Arc<str>);

impl Domain {
    /// Parses a domain, turning U-labels into A-labels and upper case into lower.
    ///
    /// # Errors
    /// [`BadAddress::Domain`] if it is no host name.
    pub fn parse(text: &str) -> Result<Domain, BadAddress> {
        if is_canonical_domain(text) {
            return Ok(Domain(text.into()));
        }
        if text.is_ascii() {
            let lower = text.to_ascii_lowercase();
            return if is_canonical_domain(&lower) {
                Ok(Domain(lower.into()))
            } else {
                Err(BadAddress::Domain)
            };
        }
        let ascii = idna::domain_to_ascii_strict(text).map_err(|_| BadAddress::Domain)?;
        if is_canonical_domain(&ascii) { Ok(Domain(ascii.into())) } else { Err(BadAddress::Domain) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Domain {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// Letters, digits and hyphens in labels of 1 to 63, no upper case.
fn is_canonical_domain(text: &str) -> bool {
    let (mut label, mut last) = (0, b'.');
    for octet in text.bytes() {
        match octet {
            b'.' if label > 0 && last != b'-' => label = 0,
            b'a'..=b'z' | b'0'..=b'9' => label += 1,
            b'-' if label > 0 => label += 1,
            _ => return false,
        }
        if label > 63 {
            return false;
        }
        last = octet;
    }
    label > 0 && last != b'-' && text.len() <= MAX_DOMAIN
}

/// One person, service or room: `local@domain`, canonical. Cheap to clone. Hashes and compares like its text,
/// so that it can be looked up by it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    text: Arc<str>,
    at: u8,
}

impl Address {
    /// Parses `local@domain`; `ours` tells which domains fold the case of local parts.
    ///
    /// # Errors
    /// [`BadAddress`], naming the part that is wrong.
    pub fn parse(text: &str, ours: &Domains) -> Result<Address, BadAddress> {
        let (local, domain) = text.split_once('@').ok_or(BadAddress::At)?;
        if domain.contains('@') {
            return Err(BadAddress::At);
        }
        if !is_local(local) {
            return Err(BadAddress::Local);
        }
        if is_canonical_domain(domain) {
            let folded = ours.contains(domain) && local.chars().any(|c| !is_folded(c));
            if !folded {
                return Ok(Address { text: text.into(), at: local.len() as u8 });
            }
        }
        let domain = Domain::parse(domain)?;
        let local = if ours.contains(domain.as_str()) { local.to_lowercase() } else { local.to_owned() };
        // Folding may make it longer, or another kind of text: U+0130 becomes an i and a mark.
        if !is_local(&local) {
            return Err(BadAddress::Local);
        }
        Ok(Address { text: format!("{local}@{domain}").into(), at: local.len() as u8 })
    }

    /// Parses an address whose local part may be a quoted string (`"Jane Smith"@example.org`), for protocols
    /// that have them. Quotes and backslashes that are not needed say nothing: `"joe"@d` is `joe@d`, and
    /// `"a\b"@d` is `ab@d`; what needs quotes keeps them, with as few backslashes as can be. Only
    /// printable ASCII can be quoted.
    ///
    /// # Errors
    /// [`BadAddress`], naming the part that is wrong.
    pub fn parse_quoted(text: &str, ours: &Domains) -> Result<Address, BadAddress> {
        let Some(quoted) = text.strip_prefix('"') else { return Address::parse(text, ours) };
        let mut content = String::new();
        let mut chars = quoted.char_indices();
        let end = loop {
            match chars.next().ok_or(BadAddress::Local)? {
                (at, '"') => break at + 1,
                (_, '\\') => match chars.next() {
                    Some((_, c @ ' '..='~')) => content.push(c),
                    _ => return Err(BadAddress::Local),
                },
                (_, c @ ' '..='~') => content.push(c),
                _ => return Err(BadAddress::Local),
            }
        };
        let domain = quoted.get(end..).and_then(|rest| rest.strip_prefix('@')).ok_or(BadAddress::At)?;
        let domain = Domain::parse(domain)?;
        if ours.contains(domain.as_str()) {
            content.make_ascii_lowercase();
        }
        let local = if is_local(&content) { content } else { quote(&content) };
        if local.len() > MAX_LOCAL {
            return Err(BadAddress::Local);
        }
        Ok(Address::of(&local, domain.as_str()))
    }

    /// An address of a server's own: both parts are canonical already.
    pub(super) fn of(local: &str, domain: &str) -> Address {
        Address { text: format!("{local}@{domain}").into(), at: local.len() as u8 }
    }

    /// Somebody else of the same domain, by a local part that is canonical.
    pub fn neighbour(&self, local: &'static str) -> Address {
        Address::of(local, self.domain())
    }

    /// The part before the `@` of the address; a quoted one may hold others.
    pub fn local(&self) -> &str {
        &self.text[..usize::from(self.at)]
    }

    /// The part after `@`.
    pub fn domain(&self) -> &str {
        &self.text[usize::from(self.at) + 1..]
    }

    /// The whole address.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Borrow<str> for Address {
    fn borrow(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A quoted string with the fewest backslashes.
fn quote(content: &str) -> String {
    let mut quoted = String::with_capacity(content.len() + 2);
    quoted.push('"');
    for c in content.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn is_folded(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_uppercase();
    }
    let mut lower = c.to_lowercase();
    lower.next() == Some(c) && lower.next().is_none()
}

/// `dot-atom` of RFC 5322 with letters and digits of any script (OC-22).
fn is_local(local: &str) -> bool {
    let mut last = '.';
    local.len() <= MAX_LOCAL
        && local.chars().all(|c| {
            let before = std::mem::replace(&mut last, c);
            match c {
                'a'..='z' | '0'..='9' => true,
                '.' => before != '.',
                '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`'
                | '{' | '|' | '}' | '~' => true,
                c => c.is_alphanumeric(),
            }
        })
        && last != '.'
}

/// The domains that this server is home to; the first is the default one.
#[derive(Debug, Clone, Default)]
pub struct Domains(Vec<Domain>);

impl Domains {
    /// From the configuration's list.
    pub fn new(domains: Vec<Domain>) -> Domains {
        Domains(domains)
    }

    /// Is this (canonical) domain one of ours?
    pub fn contains(&self, domain: &str) -> bool {
        self.0.iter().any(|d| d.as_str() == domain)
    }

    /// The domain of users who give only their local part.
    pub fn default_domain(&self) -> Option<&Domain> {
        self.0.first()
    }

    /// The address that the name of a login means: a name in the default domain, or an address, which may be
    /// another domain's. None: nobody's.
    pub fn named(&self, name: &str) -> Option<Address> {
        let address = if name.contains('@') {
            Address::parse(name, self)
        } else {
            Address::parse(&format!("{name}@{}", self.default_domain()?), self)
        };
        address.ok()
    }

    /// The same, if it is one of ours. None: nobody who could exist here.
    pub fn user(&self, name: &str) -> Option<Address> {
        self.named(name).filter(|address| self.contains(address.domain()))
    }

    /// All of them, the default one first.
    pub fn iter(&self) -> impl Iterator<Item = &Domain> {
        self.0.iter()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ours() -> Domains {
        Domains::new(vec![Domain::parse("example.org").unwrap()])
    }

    #[test]
    fn own_local_parts_fold_and_foreign_ones_do_not() {
        // SIMP-1-1, OC-09
        let parse = |t: &str| Address::parse(t, &ours()).unwrap().to_string();
        assert_eq!(parse("Alice@Example.ORG"), "alice@example.org");
        assert_eq!(parse("Alice@example.org"), "alice@example.org");
        assert_eq!(parse("Bob@Example.NET"), "Bob@example.net");
        assert_eq!(parse("ZOË@example.org"), "zoë@example.org");
        assert_eq!(parse("x@bücher.example"), "x@xn--bcher-kva.example");
        // U+0130 folds to an i with a mark, which no local part has.
        assert_eq!(Address::parse("\u{130}van@example.org", &ours()), Err(BadAddress::Local));
        assert_eq!(parse("\u{130}van@example.net"), "\u{130}van@example.net");
    }

    #[test]
    fn an_address_is_found_by_its_text() {
        let address = Address::parse("Alice@example.org", &ours()).unwrap();
        let known = std::collections::HashSet::from([address]);
        assert!(known.contains("alice@example.org"));
    }

    #[test]
    fn quotes_stay_only_where_they_are_needed() {
        // COMMON-9-2, COMMON-9-3, TOC-55, TOC-56
        let parse = |t: &str| Address::parse_quoted(t, &ours()).map(|a| a.to_string());
        for (text, canonical) in [
            (r#""joe"@example.net"#, r#"joe@example.net"#),
            (r#"joe@example.net"#, r#"joe@example.net"#),
            (r#""a\b"@example.net"#, r#"ab@example.net"#),
            (r#""Jane Smith"@Example.NET"#, r#""Jane Smith"@example.net"#),
            (r#""Jane Smith"@example.org"#, r#""jane smith"@example.org"#),
            (r#""J\oe"@example.org"#, r#"joe@example.org"#),
            (r#""a\ \"b\\"@example.net"#, r#""a \"b\\"@example.net"#),
            (r#""a@b"@example.net"#, r#""a@b"@example.net"#),
            (r#""a..b"@example.net"#, r#""a..b"@example.net"#),
            (r#"""@example.net"#, r#"""@example.net"#),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(canonical), "{text}");
        }
        let address = Address::parse_quoted(r#""a@b"@example.net"#, &ours()).unwrap();
        assert_eq!((address.local(), address.domain()), (r#""a@b""#, "example.net"));
        let long = format!("\"{} \"@example.net", "a".repeat(62));
        for (text, part) in [
            (r#""a"b"@example.net"#, BadAddress::At),
            (r#""a@example.net"#, BadAddress::Local),
            (r#""a\"@example.net"#, BadAddress::Local),
            (r#""a"example.net"#, BadAddress::At),
            (r#""a"@"#, BadAddress::Domain),
            (r#""a"@example.net."#, BadAddress::Domain),
            ("\"a\tb\"@example.net", BadAddress::Local),
            ("\"a\\\tb\"@example.net", BadAddress::Local),
            ("\"a\u{7f}\"@example.net", BadAddress::Local),
            ("\"zo\u{eb}\"@example.net", BadAddress::Local),
            (&long, BadAddress::Local),
        ] {
            assert_eq!(parse(text), Err(part), "{text}");
        }
    }

    #[test]
    fn bad_addresses_say_which_part() {
        // SIMP-4.2.1.2-1, SIMP-4.2.1.2-2
        let bad = |t: &str| Address::parse(t, &ours()).unwrap_err();
        assert_eq!(bad("alice"), BadAddress::At);
        assert_eq!(bad("a@b@c"), BadAddress::At);
        assert_eq!(bad("@b"), BadAddress::Local);
        assert_eq!(bad("a b@c"), BadAddress::Local);
        assert_eq!(bad("\"a\"@c"), BadAddress::Local);
        assert_eq!(bad(".a@c"), BadAddress::Local);
        assert_eq!(bad("a@"), BadAddress::Domain);
        assert_eq!(bad("a@[127.0.0.1]"), BadAddress::Domain);
        assert_eq!(bad("a@-b.c"), BadAddress::Domain);
        assert_eq!(bad(&format!("{}@c", "a".repeat(65))), BadAddress::Local);
    }
}
