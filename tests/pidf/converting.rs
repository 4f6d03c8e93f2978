//! Between documents and the hub's presence.

use std::sync::Arc;

use hearth::clock::Date;
use hearth::hub::address::{Address, Domains};
use hearth::limits;
use hearth::pidf::{Why, fuzz, gist, of_presence, parse};
use hearth::store::record::Gist;
use proptest::prelude::*;

fn address(text: &str) -> Address {
    Address::parse_quoted(text, &Domains::default()).unwrap()
}

fn said(text: &str) -> Gist {
    gist(None, text.as_bytes()).unwrap()
}

#[test]
fn a_presence_becomes_a_document() {
    // PIDF-4-1, PIDF-5.1-1, PIDF-5.4-1, PIDF-5.4.1-1, PIDF-6-1, PIDF-6-3
    let alice = address("alice@example.org");
    let offline = "presentity = presence:alice@example.org\r\n\
                   contact = im:alice@example.org {\r\n  status = closed\r\n}\r\n";
    assert_eq!(of_presence(&alice, false, None, ""), offline);
    let online = "presentity = presence:alice@example.org\r\n\
                  contact = im:alice@example.org {\r\n  status = open\r\n}\r\n\
                  namespace:hearth = urn:hearth:presence\r\n\
                  hearth:message = \"in the lab: 100%25, \\\"really\\\"%0Atill six\"\r\n\
                  hearth:since = 954428374123\r\n";
    let description = "in the lab: 100%, \"really\"\ntill six";
    let since = Some(Date(954_428_374_123));
    assert_eq!(of_presence(&alice, true, since, description), online);
    let expected = Gist { open: Some(true), since, description: Some(description.to_owned()) };
    assert_eq!(said(online), expected);
    assert_eq!(said(offline), Gist { open: Some(false), since: None, description: None });
    // An address that needs quotes.
    let text = of_presence(&address("\"Jane Smith\"@domain.com"), true, None, "");
    let doc = parse(text.as_bytes()).unwrap();
    assert_eq!(doc.presentity().unwrap(), "presence:\"Jane Smith\"@domain.com");
    assert_eq!(doc.contacts().next().unwrap().url, "im:\"Jane Smith\"@domain.com");
}

#[test]
fn he_can_be_written_to_unless_all_is_closed() {
    // PIDF-5.4.1-2, PIDF-5.4.1-3, PIDF-5.4.1-4, PIDF-5.4.1-5, PIDF-5-4
    for (text, open) in [
        ("", None),
        ("contact = mailto:a@b { status = open }", None),
        ("contact = im:a@b", Some(true)),
        ("contact = im:a@b { status = open }", Some(true)),
        ("contact = IMTO:a@b { status = deferred }", Some(true)),
        ("contact = im:a@b { status = closed }", Some(false)),
        ("contact = im:a@b { status = Closed }", Some(true)),
        ("contact = im:a@b { status = closed } contact = mailto:a@b { status = open }", Some(false)),
        ("contact = im:a@b { status = closed } contact = im:a@c", Some(true)),
        ("contact = im:a@b { status = closed } contact = im:a@c { status = closed }", Some(false)),
        ("x = { contact = im:a@b }", None),
    ] {
        assert_eq!(said(text).open, open, "{text}");
    }
}

#[test]
fn our_vocabulary_is_read_under_any_prefix_and_nothing_else_is() {
    // PIDF-6-2, PIDF-5-1
    let text = "namespace:x = urn:hearth:presence x:message = caf\u{e9} x:since = 7 x:message = no";
    assert_eq!(said(text), Gist { open: None, since: Some(Date(7)), description: Some("caf\u{e9}".into()) });
    for text in [
        "hearth:message = x hearth:since = 7",
        "namespace:hearth = urn:other hearth:message = x hearth:since = 7",
        "message = x since = 7",
        "contact = mailto:a@b { namespace:x = urn:hearth:presence x:message = x x:since = 7 }",
        // Values that break a rule.
        "namespace:x = urn:hearth:presence x:message = 100% x:since = now",
        "namespace:x = urn:hearth:presence x:message = %zz x:since = 99999999999999999999",
        "namespace:x = urn:hearth:presence x:message = %+1 x:since = \" 7\"",
        "namespace:x = urn:hearth:presence x:message = %FF x:since = \"\"",
        "namespace:x = urn:hearth:presence x:message = %\u{e9}",
    ] {
        assert_eq!(said(text), Gist::default(), "{text}");
    }
}

#[test]
fn only_our_type_in_a_known_charset_is_read() {
    // TOC-93, TOC-94, PIDF-4-1, PIDF-4-2
    let (good, bad) = (b"contact = im:a@b".as_slice(), b"a b".as_slice());
    for content_type in [
        None,
        Some("application/presence"),
        Some(" Application/PRESENCE "),
        Some("application/presence;charset=utf-8"),
        Some("application/presence; charset=\"US-ASCII\"; x=y"),
        Some("application/presence; x=\"; charset=latin1; \\\"\"; charset = UTF-8"),
        Some("application/presence;;x"),
    ] {
        assert_eq!(gist(content_type, good).unwrap().open, Some(true), "{content_type:?}");
        assert_eq!(gist(content_type, bad).unwrap_err().why, Why::NoEquals, "{content_type:?}");
        assert_eq!(gist(content_type, b"a = \xff").unwrap_err().why, Why::NotUtf8, "{content_type:?}");
    }
    for content_type in [
        "",
        "text/plain",
        "application/pidf+xml",
        "application/presence2",
        "multipart/signed; boundary=\"application/presence\"",
        "application/presence; charset=iso-8859-1",
        "application/presence; charset=utf-8; CHARSET=\"utf-16\"",
    ] {
        for octets in [good, bad, b"\xff\0"] {
            assert_eq!(gist(Some(content_type), octets), Ok(Gist::default()), "{content_type:?}");
        }
    }
}

#[test]
fn a_description_that_is_too_long_is_cut() {
    for filler in ["x", "\"", "\\", "\n", "\u{e9}", "\u{10ffff}", "\u{85}", "%"] {
        let description = filler.repeat(limits::DOCUMENT);
        let text = of_presence(&address("alice@example.org"), true, None, &description);
        assert!(text.len() <= limits::DOCUMENT && text.len() > limits::DOCUMENT - 4096, "{}", text.len());
        let kept = said(&text).description.unwrap();
        assert!(description.starts_with(&kept) && kept.len() > 10_000);
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_on_the_way_there_and_back(
        online: bool, since: Option<i64>, description: String, octets in prop::collection::vec(any::<u8>(), 0..99),
    ) {
        let alice = address("alice@example.org");
        let since = since.map(Date);
        let text = of_presence(&alice, online, since, &description);
        prop_assert_eq!(&text, &of_presence(&alice, online, since, &Arc::<str>::from(&*description)));
        let gist = said(&text);
        prop_assert_eq!((gist.open, gist.since), (Some(online), since));
        prop_assert_eq!(gist.description.unwrap_or_default(), description);
        fuzz::presence(&octets);
    }
}
