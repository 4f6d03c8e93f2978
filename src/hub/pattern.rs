//! Patterns of addresses: who may see what (watcher classes), and whom somebody listens to.
//!
//! A pattern is given as text, `SCHEME:LOCAL@DOMAIN` with stars, and parsed once. What it is compared with is an
//! [`Address`], so a scheme that names our addresses matters only in that others do not: each service
//! says which are its own ([`Schemes`]). The owner gets his patterns back as he spelt them, so a class
//! keeps the text too; that is also how it is stored.

use std::fmt;

use super::address::{Address, Domain, Domains};
use crate::limits;

/// Which schemes name what, for one service.
#[derive(Debug)]
pub struct Schemes {
    /// They name this service's addresses; the first is meant where none is written (TOC-53).
    pub own: &'static [&'static str],
    /// They name addresses in the same way, of another service: such a pattern has to be well-formed, and matches
    /// nobody here.
    pub kin: &'static [&'static str],
}

/// Presentities and watchers.
pub const PRESENCE: Schemes = Schemes { own: &["presence"], kin: &["im"] };

/// Inboxes and senders; `imto` is an older name of `im` (TOC-54).
pub const MESSAGES: Schemes = Schemes { own: &["im", "imto"], kin: &["presence"] };

/// Why a text is no pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadPattern {
    /// It is none of the five kinds.
    Malformed,
    /// A class of more than [`limits::PATTERNS`].
    TooMany,
}

impl fmt::Display for BadPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BadPattern::Malformed => "not a pattern",
            BadPattern::TooMany => "too many patterns",
        })
    }
}

impl std::error::Error for BadPattern {}

/// Some of all addresses (COMMON-11.3-1 to -5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `*`
    Everybody,
    /// `SCHEME:*` of an own scheme: every address.
    Scheme,
    /// `SCHEME:*@DOMAIN`: exactly this domain.
    Domain(Domain),
    /// `SCHEME:*@*.DOMAIN`: every domain below this one, at any depth, not itself.
    Subdomains(Domain),
    /// `SCHEME:LOCAL@DOMAIN`
    One(Address),
    /// Something of another scheme: none of the addresses.
    Foreign,
}

impl Pattern {
    /// Parses a pattern. A star before `@`, or alone after the scheme, is always the wildcard; the local part
    /// that is a star is written `"*"` (G13). Without a scheme the first own one is meant.
    ///
    /// # Errors
    /// [`BadPattern::Malformed`]
    pub fn parse(text: &str, schemes: &Schemes, ours: &Domains) -> Result<Pattern, BadPattern> {
        if text == "*" {
            return Ok(Pattern::Everybody);
        }
        if !text.is_ascii() || text.len() > limits::IDENTIFIER {
            return Err(BadPattern::Malformed);
        }
        let Some((scheme, rest)) = split_scheme(text) else { return Pattern::of_address(text, ours) };
        let is_one_of = |names: &[&str]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        if is_one_of(schemes.own) {
            Pattern::of_address(rest, ours)
        } else if is_one_of(schemes.kin) {
            Pattern::of_address(rest, ours).map(|_| Pattern::Foreign)
        } else if is_url_rest(rest) {
            Ok(Pattern::Foreign)
        } else {
            Err(BadPattern::Malformed)
        }
    }

    /// What comes after one of the schemes that name addresses.
    fn of_address(text: &str, ours: &Domains) -> Result<Pattern, BadPattern> {
        let domain = |text| Domain::parse(text).map_err(|_| BadPattern::Malformed);
        if text == "*" {
            Ok(Pattern::Scheme)
        } else if let Some(above) = text.strip_prefix("*@*.") {
            domain(above).map(Pattern::Subdomains)
        } else if let Some(whole) = text.strip_prefix("*@") {
            domain(whole).map(Pattern::Domain)
        } else {
            Address::parse_quoted(text, ours).map(Pattern::One).map_err(|_| BadPattern::Malformed)
        }
    }

    /// Is the address one of these?
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Pattern::Everybody | Pattern::Scheme => true,
            Pattern::Domain(domain) => domain.as_str() == address.domain(),
            Pattern::Subdomains(domain) => parents(address.domain()).any(|parent| parent == domain.as_str()),
            Pattern::One(one) => one == address,
            Pattern::Foreign => false,
        }
    }
}

/// The scheme of a URL and what follows its colon, if it has a scheme. What an address begins with is never
/// taken for one: a colon stands in quotes there.
pub fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    let end = text.bytes().position(|b| !is_scheme(b))?;
    let rest = text.get(end..)?.strip_prefix(':')?;
    (end > 0).then(|| (text.get(..end).unwrap_or_default(), rest))
}

/// Are these the characters of RFC 1738, as after the colon of any URL?
pub fn is_url_rest(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().all(|(i, b)| match b {
        b'$' | b'-' | b'_' | b'.' | b'+' | b'!' | b'*' | b'\'' | b'(' | b')' | b',' | b';' | b'/' | b'?'
        | b':' | b'@' | b'&' | b'=' => true,
        b'%' => {
            matches!(bytes.get(i + 1..i + 3), Some([a, b]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit())
        }
        b => b.is_ascii_alphanumeric(),
    })
}

/// The domains above a domain, the nearest first.
fn parents(domain: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(domain.split_once('.'), |(_, above)| above.split_once('.')).map(|(_, above)| above)
}

/// A set of patterns: whoever one of them matches belongs to it, and to the empty one nobody does
/// (PITP-5-3). Sorted, so that a long one costs a few comparisons.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Class {
    /// As given, in that order, each but the last followed by a line feed; each has its scheme.
    spellings: Box<str>,
    everybody: bool,
    ones: Box<[Address]>,
    domains: Box<[Domain]>,
    subdomains: Box<[Domain]>,
}

impl Class {
    /// Parses the patterns of a class.
    ///
    /// # Errors
    /// [`BadPattern`] if one of them is malformed, or there are too many.
    pub fn parse<'t>(
        patterns: impl IntoIterator<Item = &'t str>,
        schemes: &Schemes,
        ours: &Domains,
    ) -> Result<Class, BadPattern> {
        let mut class = Class::default();
        let mut spellings = String::new();
        let (mut ones, mut domains, mut subdomains) = (Vec::new(), Vec::new(), Vec::new());
        for (number, text) in patterns.into_iter().enumerate() {
            if number == limits::PATTERNS {
                return Err(BadPattern::TooMany);
            }
            match Pattern::parse(text, schemes, ours)? {
                Pattern::Everybody | Pattern::Scheme => class.everybody = true,
                Pattern::Domain(domain) => domains.push(domain),
                Pattern::Subdomains(domain) => subdomains.push(domain),
                Pattern::One(address) => ones.push(address),
                Pattern::Foreign => {}
            }
            if number > 0 {
                spellings.push('\n');
            }
            if let (None, true, Some(scheme)) = (split_scheme(text), text != "*", schemes.own.first()) {
                spellings.push_str(scheme);
                spellings.push(':');
            }
            spellings.push_str(text);
        }
        class.spellings = spellings.into();
        class.ones = sorted(ones);
        class.domains = sorted(domains);
        class.subdomains = sorted(subdomains);
        Ok(class)
    }

    /// A class as [`Class::to_stored`] gave it.
    ///
    /// # Errors
    /// [`BadPattern`] if it is not one.
    pub fn parse_stored(text: &str, schemes: &Schemes, ours: &Domains) -> Result<Class, BadPattern> {
        Class::parse(text.split('\n').filter(|line| !line.is_empty()), schemes, ours)
    }

    /// The spellings, joined by line feeds.
    pub fn to_stored(&self) -> &str {
        &self.spellings
    }

    /// Does the address belong to it?
    pub fn contains(&self, address: &Address) -> bool {
        let has = |set: &[Domain], name: &str| set.binary_search_by(|d| d.as_str().cmp(name)).is_ok();
        self.everybody
            || self.ones.binary_search(address).is_ok()
            || has(&self.domains, address.domain())
            || !self.subdomains.is_empty() && parents(address.domain()).any(|d| has(&self.subdomains, d))
    }

    /// The patterns as they were given, in that order; a scheme that was missing is there (TOC-53).
    pub fn spellings(&self) -> impl Iterator<Item = &str> {
        self.spellings.split('\n').filter(|line| !line.is_empty())
    }

    /// Has it no pattern?
    pub fn is_empty(&self) -> bool {
        self.spellings.is_empty()
    }
}

fn sorted<T: Ord>(mut items: Vec<T>) -> Box<[T]> {
    items.sort_unstable();
    items.dedup();
    items.into()
}

/// Whose messages somebody wants (IMTP-16.1-3, IMTP-16.1-4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// If it has any pattern: only senders of this class.
    pub only: Class,
    /// Nobody of this class.
    pub except: Class,
}

impl Filter {
    /// Does it let nobody through at all?
    pub fn accepts_nobody(&self) -> bool {
        self.except.everybody
    }

    /// Does it let everybody through?
    pub fn accepts_everybody(&self) -> bool {
        (self.only.is_empty() || self.only.everybody) && self.except.is_empty()
    }

    /// Does the sender get through?
    pub fn accepts(&self, sender: &Address) -> bool {
        (self.only.is_empty() || self.only.contains(sender)) && !self.except.contains(sender)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn ours() -> Domains {
        Domains::new(vec![Domain::parse("domain.com").unwrap()])
    }

    fn address(text: &str) -> Address {
        Address::parse_quoted(text, &ours()).unwrap()
    }

    fn parse(text: &str) -> Result<Pattern, BadPattern> {
        Pattern::parse(text, &PRESENCE, &ours())
    }

    fn class(patterns: &[&str]) -> Class {
        Class::parse(patterns.iter().copied(), &PRESENCE, &ours()).unwrap()
    }

    #[test]
    fn five_kinds() {
        // COMMON-11.3-1, COMMON-11.3-2, COMMON-11.3-3, COMMON-11.3-4, COMMON-11.3-5, TOC-53, TOC-54, TOC-55
        // TOC-58, G12, G13
        let everybody = ["fred@example.net", "x@domain.com", "\"a b\"@eu.example.net"];
        for (pattern, yes, no) in [
            ("*", &everybody[..], &[][..]),
            ("presence:*", &everybody, &[]),
            ("PRESENCE:*", &everybody, &[]),
            ("im:*", &[], &everybody),
            ("pres:*", &[], &everybody),
            ("zephyr:*", &[], &everybody),
            ("zephyr:bob", &[], &everybody),
            (
                "presence:*@Example.net",
                &["fred@example.net"],
                &["fred@eu.example.net", "fred@bad-example.net", "fred@net"],
            ),
            (
                "presence:*@*.example.net",
                &["a@eu.example.net", "a@x.eu.example.net"],
                &["a@example.net", "a@badexample.net", "a@net", "a@x.net"],
            ),
            ("*@example.net", &["fred@example.net"], &["fred@domain.com"]),
            ("presence:Fred@example.net", &["Fred@example.net"], &["fred@example.net"]),
            ("presence:Fred@Domain.com", &["fred@domain.com"], &["fre@domain.com"]),
            ("fred@example.net", &["fred@example.net"], &[]),
            ("presence:fr*@example.net", &["fr*@example.net"], &["fred@example.net"]),
            ("presence:\"*\"@example.net", &["*@example.net"], &["fred@example.net"]),
            ("presence:\"a:b\"@example.net", &["\"a:b\"@example.net"], &["ab@example.net"]),
            ("\"a:b\"@example.net", &["\"a:b\"@example.net"], &["ab@example.net"]),
        ] {
            let parsed = parse(pattern).unwrap();
            let alone = class(&[pattern]);
            for (who, matches) in yes.iter().map(|w| (w, true)).chain(no.iter().map(|w| (w, false))) {
                assert_eq!(parsed.matches(&address(who)), matches, "{pattern} of {who}");
                assert_eq!(alone.contains(&address(who)), matches, "class of {pattern} of {who}");
            }
        }
        let sender = address("ana@alpha.example");
        for pattern in ["im:ana@alpha.example", "imto:ana@alpha.example", "ana@alpha.example", "IM:*"] {
            assert!(Pattern::parse(pattern, &MESSAGES, &ours()).unwrap().matches(&sender), "{pattern}");
        }
        assert_eq!(Pattern::parse("presence:*", &MESSAGES, &ours()), Ok(Pattern::Foreign));
    }

    #[test]
    fn no_pattern() {
        // COMMON-11.3-5, G12, TOC-56, TOC-57
        for bad in [
            "",
            ":",
            "presence:",
            "presence:fred@*.example.net",
            "presence:fred@*",
            "*:fred@example.net",
            "**",
            "presence:**",
            "presence:*@",
            "presence:*@*.",
            "presence:*@*",
            "presence:*@*.*.example.net",
            "presence:*@.example.net",
            "presence:*@example.net.",
            "presence:*fred@b\u{fc}cher.example",
            "im:fred@*.example.net",
            "im:fred",
            "fred",
            "zephyr:a b",
            "zephyr:%4",
            "zephyr:%zz",
            "zephyr:\"x\"",
            "presence:fred@example.net\n*",
            "presence:\"a\nb\"@example.net",
            "presence:a b@example.net",
            "presence:a,b@example.net",
        ] {
            assert_eq!(parse(bad), Err(BadPattern::Malformed), "{bad:?}");
        }
    }

    #[test]
    fn a_class_keeps_its_spellings() {
        // PITP-5-3, PITP-15.7-2, TOC-53
        let given = ["presence:Harry@Domain.com", "alice@domain.com", "*@example.net", "zephyr:x", "*"];
        let kept = [
            "presence:Harry@Domain.com",
            "presence:alice@domain.com",
            "presence:*@example.net",
            "zephyr:x",
            "*",
        ];
        let some = class(&given);
        assert_eq!(some.spellings().collect::<Vec<_>>(), kept);
        let again = Class::parse_stored(some.to_stored(), &PRESENCE, &ours()).unwrap();
        assert_eq!(again, some);
        let nobody = class(&[]);
        assert!(
            nobody.is_empty() && !nobody.contains(&address("a@b")) && nobody.spellings().next().is_none()
        );
        assert_eq!(Class::parse_stored("", &PRESENCE, &ours()), Ok(nobody));
        let many = vec!["*"; limits::PATTERNS + 1];
        assert_eq!(Class::parse(many, &PRESENCE, &ours()), Err(BadPattern::TooMany));
    }

    #[test]
    fn filters() {
        // IMTP-16.1-3, IMTP-16.1-4, and the table of the catalogue
        let class = |patterns: &[&str]| Class::parse(patterns.iter().copied(), &MESSAGES, &ours()).unwrap();
        let filter = Filter {
            only: class(&["im:*@alpha.example", "im:*@*.alpha.example"]),
            except: class(&["im:bulk@alpha.example"]),
        };
        for (sender, delivered) in [
            ("ana@alpha.example", true),
            ("ana@eu.alpha.example", true),
            ("bulk@alpha.example", false),
            ("bulk@eu.alpha.example", true),
            ("ana@beta.example", false),
        ] {
            assert_eq!(filter.accepts(&address(sender)), delivered, "{sender}");
        }
        assert!(Filter::default().accepts(&address("ana@beta.example")));
        // What passes everybody without a look at him.
        let freely = |only: &[&str], except: &[&str]| {
            Filter { only: class(only), except: class(except) }.accepts_everybody()
        };
        assert!(freely(&[], &[]) && freely(&["a@b.example", "*"], &[]));
        assert!(
            !freely(&["a@b.example"], &[]) && !freely(&["zephyr:*"], &[]) && !freely(&[], &["a@b.example"])
        );
        let nobody = Filter { except: class(&["*"]), ..Filter::default() };
        assert!(!nobody.accepts(&address("ana@beta.example")));
    }
}
