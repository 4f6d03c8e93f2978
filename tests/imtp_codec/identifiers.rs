//! The values of headers that name somebody.

use hearth::hub::address::Address;
use hearth::imtp::Protocol::{self, Imtp, Pitp};
use hearth::imtp::fuzz;
use hearth::imtp::url::{Identifier, Subscription, Url, Visited};
use proptest::prelude::*;

use crate::ours;

/// The address that a URL of the service names.
#[track_caller]
fn address(text: &str, protocol: Protocol) -> String {
    let Some(Url::Own(identifier)) = Url::parse(text, protocol) else { panic!("{text} is not one of ours") };
    identifier.address(&ours()).unwrap().to_string()
}

#[test]
fn schemes() {
    // COMMON-9-8, COMMON-11.1-2, PITP-9-1, IMTP-9-1, TOC-53, TOC-54, TOC-55, TOC-58, TOC-59, G10, G14, X2, X9, X23
    for (text, protocol, named) in [
        ("im:ben@beta.example", Imtp, "ben@beta.example"),
        ("IM:ben@beta.example", Imtp, "ben@beta.example"),
        ("imto:ben@beta.example", Imtp, "ben@beta.example"),
        ("ben@beta.example", Imtp, "ben@beta.example"),
        ("presence:ben@beta.example", Pitp, "ben@beta.example"),
        ("Presence:Ben@Beta.example", Pitp, "Ben@beta.example"),
        ("ben@beta.example", Pitp, "ben@beta.example"),
        ("Ana@Alpha.Example", Pitp, "ana@alpha.example"),
        ("im:a.b+c/d=e@x", Imtp, "a.b+c/d=e@x"),
        ("im:a%20b@x", Imtp, "a%20b@x"),
        ("im:\"Jane Smith\"@domain.com", Imtp, "\"Jane Smith\"@domain.com"),
        ("\"Jane: Smith\"@domain.com", Imtp, "\"Jane: Smith\"@domain.com"),
        ("im:\"joe\"@d", Imtp, "joe@d"),
        ("im:\"a\\b\"@d", Imtp, "ab@d"),
        ("im:*@d", Imtp, "*@d"),
    ] {
        assert_eq!(address(text, protocol), named, "{text}");
    }
    for (text, protocol) in [
        ("presence:ben@beta.example", Imtp),
        ("im:ben@beta.example", Pitp),
        ("pres:ben@beta.example", Pitp),
        ("imto:ben@beta.example", Pitp),
        ("zephyr:bob", Pitp),
        ("mailto:a%40b@c?subject=x", Imtp),
        ("x:", Imtp),
    ] {
        assert_eq!(Url::parse(text, protocol), Some(Url::Other(text)));
    }
}

#[test]
fn malformed() {
    // COMMON-9-1, COMMON-9-2, COMMON-9-3, COMMON-9-4, COMMON-9-5, COMMON-9-6, COMMON-9-7, COMMON-11.1-1, TOC-56
    // TOC-57, G6, G7, G8, G9
    for text in [
        "",
        ":",
        "im:",
        "im:ben",
        "im:@d",
        "im:ben@",
        "im:.ben@d",
        "im:ben.@d",
        "im:b..n@d",
        "im:b n@d",
        "im:b\tn@d",
        "im:b\u{1}n@d",
        "im:b\u{7f}n@d",
        "im:b\u{e9}n@d",
        "im:ben@d\u{e9}",
        "im:ben@-d",
        "im:ben@d-",
        "im:ben@d..e",
        "im:ben@d.",
        "im:ben@.d",
        "im:ben@[127.0.0.1]",
        "im:ben@d,im:x@y",
        "im:ben@d x",
        "im:ben@d (home)",
        "im:a@b@c",
        "im:\"a@d",
        "im:\"a\"b\"@d",
        "im:\"a\\\"@d",
        "im:\"a\tb\"@d",
        "im:\"a\\\tb\"@d",
        "im:\"a\"@",
        "im:\"a\" @d",
        "im: ben@d",
        "im:b:n@d",
        "im:<ben@d>",
        "im:im:ben@d",
        "zephyr:a b",
        "zephyr:%4",
        "zephyr:\"a\"",
        "presence:ben",
        "im:ben@d_e",
        "im:b\r\n en@d",
    ] {
        assert_eq!(Url::parse(text, Imtp), None, "{text:?}");
    }
    // TOC-32
    let label = "d".repeat(63);
    let long = [&label[..]; 3].join(".") + "." + &"d".repeat(61);
    for (local, domain, fits) in [
        ("a", label.clone(), true),
        ("a", format!("{label}d"), false),
        ("a", long.clone(), true),
        ("a", format!("{long}d"), false),
        (&*"a".repeat(700), long.clone(), true),
        (&*"a".repeat(770), long.clone(), false),
    ] {
        assert_eq!(Url::parse(&format!("im:{local}@{domain}"), Imtp).is_some(), fits, "{local}@{domain}");
    }
    // Nobody's local part is so long, so there is nothing to compare.
    let identifier =
        Identifier::parse("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa@d").unwrap();
    assert!(identifier.address(&ours()).is_err());
}

#[test]
fn parts() {
    // TOC-55: a spelling is kept, and known addresses are found without making one
    let plain = Identifier::parse("Ben@Beta.example").unwrap();
    assert_eq!((plain.local(), plain.domain()), ("Ben", "Beta.example"));
    assert_eq!((plain.as_str(), plain.plain()), ("Ben@Beta.example", Some("Ben@Beta.example")));
    let quoted = Identifier::parse("\"a@b\"@d").unwrap();
    assert_eq!((quoted.local(), quoted.domain(), quoted.plain()), ("\"a@b\"", "d", None));
    let address = Address::parse_quoted("\"a@b\"@d", &ours()).unwrap();
    assert_eq!(Identifier::of(&address), quoted);
}

#[test]
fn subscriptions() {
    // PITP-11.7-1, PITP-11.7-2, TOC-84, G16
    let watcher = Url::parse("presence:fred@domain.com", Pitp).unwrap();
    for (text, id) in [
        ("/presence:fred@domain.com", None),
        ("K3x9/presence:fred@domain.com", Some("K3x9")),
        ("K3x9 / presence:fred@domain.com", Some("K3x9")),
        ("K3x9\r\n /\r\n\t presence:fred@domain.com", Some("K3x9")),
        (" /fred@domain.com", None),
        ("1/fred@domain.com", Some("1")),
    ] {
        let read = Subscription::parse(text, Pitp).unwrap();
        assert_eq!((read.id, read.watcher), (id, watcher), "{text}");
    }
    let slash = Subscription::parse("/a/b@domain.com", Pitp).unwrap();
    assert_eq!(slash.watcher, Url::parse("a/b@domain.com", Pitp).unwrap());
    let longest = format!("{}/a@b", "i".repeat(64));
    assert!(Subscription::parse(&longest, Pitp).is_some());
    for text in [
        "",
        "/",
        "K3/",
        "presence:fred@domain.com",
        "K-3/fred@domain.com",
        "K 3/fred@domain.com",
        "\u{e9}/fred@domain.com",
        "K3//fred@domain.com@",
        &format!("i{longest}"),
    ] {
        assert_eq!(Subscription::parse(text, Pitp), None, "{text:?}");
    }
}

#[test]
fn visited() {
    // IMTP-11.8-1, G15
    let list = Visited::parse("alpha.example  Beta.example\r\n\tx").unwrap();
    assert_eq!(list.domains().collect::<Vec<_>>(), ["alpha.example", "Beta.example", "x"]);
    assert!(list.has("ALPHA.example") && list.has("beta.example") && !list.has("example"));
    assert_eq!(Visited::parse("").unwrap().domains().count(), 0);
    for text in ["a,b", "a b_c", "im:a@b", "a.", "a \u{e9}"] {
        assert_eq!(Visited::parse(text), None, "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(800))]

    #[test]
    fn any_value(text in prop_oneof![
        "(im:|presence:|imto:|x:|)(\"[ -~]{0,8}\"|[a-zA-Z.*%]{0,6})@(\\*\\.)?[a-zA-Z.-]{0,12}",
        "[A-Z0-9]{0,3} ?/ ?[a-z.]{1,5}@[a-z.]{1,7}",
        "\\PC{0,20}",
        ".{0,400}",
    ]) {
        // COMMON-10-20, TOC-44
        fuzz::value(text.as_bytes());
    }
}
