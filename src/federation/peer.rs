//! Another domain as we talk to it. What is said on a connection is taken as said by one domain alone
//! (TOC-16), so a server of several domains talks to each of its peers once for each of them.
//!
//! The name of such a pair is the peer's domain, followed, if it is not for our first domain, by a space and the
//! one of ours that is spoken for: short for nearly everybody, and a text like any other name.

use std::borrow::Cow;

/// The name of a peer: `ours` is the domain of ours that we talk to it for, none for the first.
pub fn name<'a>(domain: &'a str, ours: Option<&str>) -> Cow<'a, str> {
    match ours {
        None => Cow::Borrowed(domain),
        Some(ours) => Cow::Owned(format!("{domain} {ours}")),
    }
}

/// The peer's domain.
pub fn domain(name: &str) -> &str {
    name.split(' ').next().unwrap_or(name)
}

/// The domain of ours that it is talked to for, if it is not the first.
pub fn ours(name: &str) -> Option<&str> {
    name.split_once(' ').map(|(_, ours)| ours)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_tells_both_domains() {
        // TOC-16
        for (domain, ours, name) in
            [("b.test", None, "b.test"), ("b.test", Some("a2.test"), "b.test a2.test")]
        {
            assert_eq!(super::name(domain, ours), name);
            assert_eq!((super::domain(name), super::ours(name)), (domain, ours));
        }
    }
}
