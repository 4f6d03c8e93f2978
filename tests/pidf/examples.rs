//! Worked examples of whole documents, each with what it says.

use hearth::clock::Date;
use hearth::pidf::{Status, Why};

use crate::{contacts, doc, outline, why};

/// 2000-03-30T14:59:34Z
const BEFORE: Date = Date(954_428_374_000);

const PLAIN: &str = r#"presentity = presence:joe@example.net
date = "Thu, 30 Mar 2000 09:59:34 -0500"
contact = mailto:joe@example.net
contact = im:joe@example.net {
  status = deferred
  preference = 1
}
"#;

#[test]
fn plain() {
    // E1: PIDF-4-3, PIDF-4-4, PIDF-5.1-1, PIDF-5.2-1, PIDF-5.2-2, PIDF-5.4-1, PIDF-5.4-2, PIDF-5.4.1-1,
    // PIDF-5.4.1-4, PIDF-5.4.1-5, PIDF-5.4.3-1, PIDF-5.4.3-4
    for text in [PLAIN.to_owned(), PLAIN.replace('\n', "\r\n"), PLAIN.replace('\n', "\r")] {
        let doc = doc(&text);
        assert_eq!(doc.presentity().unwrap(), "presence:joe@example.net");
        assert_eq!(doc.date(), Some(BEFORE));
        let contacts = contacts(&doc);
        let said: Vec<_> = contacts.iter().map(|c| (&*c.url, c.status, c.preference)).collect();
        let expected =
            [("mailto:joe@example.net", None, None), ("im:joe@example.net", Some(Status::Deferred), Some(1))];
        assert_eq!(said, expected);
        let order: Vec<_> = doc.contacts_by_preference().into_iter().map(|c| c.url.into_owned()).collect();
        assert_eq!(order, ["im:joe@example.net", "mailto:joe@example.net"]);
    }
}

#[test]
fn repeats_and_unknowns() {
    // E2: PIDF-5-1, PIDF-5-2, PIDF-5-3, PIDF-5-5, PIDF-5.4.3-2
    let text = r"presentity = presence:a@example.net
mood = { tune = loud contact = im:not-me@example.net }
presentity = presence:b@example.net
Status = open
contact = im:a@example.net { status = open status = closed preference = 4294967296 }
";
    let doc = doc(text);
    assert_eq!(doc.presentity().unwrap(), "presence:a@example.net");
    let contacts = contacts(&doc);
    assert_eq!(contacts.len(), 1);
    assert_eq!(contacts[0].url, "im:a@example.net");
    assert_eq!((contacts[0].status, contacts[0].preference), (Some(Status::Open), None));
    // Not a variable of the draft, but there for who asks.
    assert_eq!(doc.top().find(None, "Status").unwrap().value(), "open");
    let mood = doc.top().find(None, "mood").unwrap();
    assert_eq!(mood.value(), "");
    assert_eq!(mood.inside().find(None, "contact").unwrap().value(), "im:not-me@example.net");
}

#[test]
fn quoting() {
    // E3: PIDF-4-6, PIDF-4-7, PIDF-5.2-3, PIDF-5.2-4
    let text = "note-to-self=\"say \\\"hi\\\" to a\\\\b {now}\"\n\
                contact = \"im:\\\"Jane Smith\\\"@domain.com\"{status=open}\n\
                empty = \"\"\n\
                also-empty =\n\
                date = \"30 mar 2000 14:37:41 +0200\"\n";
    let expected = [
        (0, "note-to-self", "say \"hi\" to a\\b {now}"),
        (0, "contact", "im:\"Jane Smith\"@domain.com"),
        (1, "status", "open"),
        (0, "empty", ""),
        (0, "also-empty", ""),
        (0, "date", "30 mar 2000 14:37:41 +0200"),
    ];
    assert_eq!(outline(text), expected.map(|(d, n, v)| (d, n.to_owned(), v.to_owned())));
    let doc = doc(text);
    assert_eq!(contacts(&doc)[0].status, Some(Status::Open));
    // 2000-03-30T12:37:41Z
    assert_eq!(doc.date(), Some(Date(954_419_861_000)));
}

#[test]
fn namespaces() {
    // E4: PIDF-6-1, PIDF-6-2, PIDF-6-3, PIDF-5-3
    let text = r#"foo:early = ignored
namespace:foo = http://example.net/ns/one
namespace:foo = http://example.net/ns/two
foo:geoloc = "12.3N 18.6W"
contact = im:a@example.net {
  foo:device = pager
  namespace:foo = http://example.net/ns/inner
  foo:device = phone
  namespace:bar = http://example.net/ns/one
  bar:icon = http://example.net/i.png
}
bar:icon = ignored
contact = mailto:a@example.net { foo:device = desk }
"#;
    let (one, inner) = ("http://example.net/ns/one", "http://example.net/ns/inner");
    let doc = doc(text);
    let top = doc.top();
    let value = |variable: Option<hearth::pidf::Variable<'_, '_>>| variable.map(|v| v.value().into_owned());
    assert_eq!(value(top.find(Some(one), "geoloc")).as_deref(), Some("12.3N 18.6W"));
    for name in ["early", "icon"] {
        assert!(top.find(Some(one), name).is_none(), "{name}");
    }
    assert!(top.variables().all(|v| v.vocabulary().is_none_or(|url| url == one)));
    let contacts = contacts(&doc);
    let [first, second] = [contacts[0].inside, contacts[1].inside];
    assert_eq!(value(first.find(Some(one), "device")).as_deref(), Some("pager"));
    assert_eq!(value(first.find(Some(inner), "device")).as_deref(), Some("phone"));
    assert_eq!(value(first.find(Some(one), "icon")).as_deref(), Some("http://example.net/i.png"));
    assert_eq!(value(second.find(Some(one), "device")).as_deref(), Some("desk"));
    assert_eq!(value(second.find(Some(inner), "device")), None);
}

#[test]
fn preferences() {
    // E5: PIDF-5.4.3-3, PIDF-5.4.3-4
    let text = "contact = im:a@example.com { preference = 1 }
                contact = mailto:b@example.com { preference = 3 }
                contact = im:c@example.com { preference = 2 }
                contact = mailto:d@example.com\ncontact = mailto:e@example.com { preference = 3 }
                contact = mailto:f@example.com";
    let doc = doc(text);
    let order: Vec<_> = doc
        .contacts_by_preference()
        .iter()
        .map(|c| c.url.split_once(':').unwrap().1[..1].to_owned())
        .collect();
    // Those that are equal, and those without, in the order of the text.
    assert_eq!(order.concat(), "acbedf");
}

#[test]
fn ill_formed() {
    // E6: PIDF-4-3, PIDF-4-5, PIDF-4-6, PIDF-4-7
    for (text, expected) in [
        ("1st = x", Why::Name),
        ("a b = c", Why::NoEquals),
        ("a = \"open", Why::Quote),
        ("a = { b = c", Why::Brace),
        ("a = \"x\\n\"", Why::Escape),
        ("a = x\\y", Why::Escape),
    ] {
        assert_eq!(why(text), expected, "{text}");
    }
}
