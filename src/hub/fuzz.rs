//! Entry points for fuzzing names: each takes any octets and panics if a promise is broken.

use super::address::{Address, Domain, Domains};
use super::pattern::{Class, MESSAGES, PRESENCE, Pattern};

fn ours() -> Domains {
    Domains::new(Domain::parse("a.test").into_iter().collect())
}

/// What is a domain or an address is one again as it is written, and the same one; how it is spelt makes no
/// difference where it must not.
pub fn name(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let ours = ours();
    if let Ok(domain) = Domain::parse(&text) {
        assert_eq!(Domain::parse(domain.as_str()).as_ref(), Ok(&domain));
        assert_eq!(Domain::parse(&domain.as_str().to_uppercase()), Ok(domain.clone()), "{domain}");
        assert!(domain.as_str().len() <= crate::limits::DOMAIN && domain.as_str().is_ascii());
    }
    for parse in [Address::parse, Address::parse_quoted] {
        let Ok(address) = parse(&text, &ours) else { continue };
        assert_eq!(Address::parse_quoted(address.as_str(), &ours), Ok(address.clone()), "{address:?}");
        assert_eq!(format!("{}@{}", address.local(), address.domain()), address.as_str());
        assert!(!address.as_str().contains(char::is_control), "{address:?}");
        assert!(Domain::parse(address.domain()).is_ok());
        if ours.contains(address.domain()) {
            let shouted = format!("{}@{}", address.local().to_ascii_uppercase(), address.domain());
            assert_eq!(Address::parse_quoted(&shouted, &ours), Ok(address), "case says nothing at home");
        }
    }
    for named in [ours.named(&text), ours.user(&text)].into_iter().flatten() {
        assert_eq!(Address::parse(named.as_str(), &ours), Ok(named));
    }
}

/// What is a pattern matches the addresses that it names, stored or not; many of them, a line each, are a class,
/// which contains whoever matches one of them. The first line is the address that is asked about.
pub fn pattern(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (ours, mut lines) = (ours(), text.lines());
    let Ok(address) = Address::parse_quoted(lines.next().unwrap_or_default(), &ours) else { return };
    for schemes in [&MESSAGES, &PRESENCE] {
        let spelt: Vec<&str> = lines.clone().take(20).collect();
        let patterns: Result<Vec<Pattern>, _> =
            spelt.iter().map(|line| Pattern::parse(line, schemes, &ours)).collect();
        let class = Class::parse(spelt.iter().copied(), schemes, &ours);
        if let Ok(class) = &class {
            let stored = Class::parse_stored(class.to_stored(), schemes, &ours);
            assert_eq!(stored.as_ref(), Ok(class), "stored and read");
            assert_eq!(stored.is_ok_and(|stored| stored.contains(&address)), class.contains(&address));
        }
        if let (Ok(patterns), Ok(class)) = (patterns, class) {
            assert_eq!(patterns.iter().any(|pattern| pattern.matches(&address)), class.contains(&address));
        }
        assert!(Pattern::parse("*", schemes, &ours).is_ok_and(|everybody| everybody.matches(&address)));
    }
}
