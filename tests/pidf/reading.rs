//! Reading: what the grammar leaves open, values that break a rule, and the limits.

use hearth::clock::Date;
use hearth::limits;
use hearth::pidf::{Status, Why, fuzz, parse};
use proptest::prelude::*;

use crate::{contacts, doc, outline, pair, pairs, refused, why};

#[test]
fn an_empty_document_is_legal() {
    // PIDF-4-8, PIDF-5-4
    for text in ["", " ", "\r\n\t \n\r"] {
        let doc = doc(text);
        assert_eq!(doc.top().variables().count(), 0);
        assert!(doc.presentity().is_none() && doc.date().is_none() && contacts(&doc).is_empty());
    }
}

#[test]
fn white_space_stands_anywhere_between() {
    // PIDF-4-4; P1
    let tight = "a=1 b=\"2\"c={d=3 e={}}f=4{}g=5";
    let loose = "\r\n a \t= \n1\n\nb\r=\r\"2\"\r\nc=\t{ d = 3\ne = {\r\n} }\n f = 4 { } g = 5 \n";
    assert_eq!(outline(tight), outline(loose));
    let names: String = outline(tight).into_iter().map(|(depth, name, _)| format!("{depth}{name}")).collect();
    assert_eq!(names, "0a0b0c1d1e0f0g");
}

#[test]
fn names() {
    // PIDF-4-5; P9
    for name in ["a", "Z", "a-", "a:", "a1-:b:c", "namespace:x", "x--::9"] {
        assert_eq!(pairs(&format!("{name}=v")), [pair(name, "v")]);
    }
    for name in ["1a", "-a", ":a", "_a", "\u{e9}", "=", "\"a\"", "}", "{"] {
        assert_eq!(why(&format!("{name} = v")), Why::Name, "{name}");
    }
    for name in ["a_b", "a.b", "a\u{e9}", "a\"b\"", "a b", "a{", "a}", "a 'b'"] {
        assert_eq!(why(&format!("x = y\n{name} = v")), Why::NoEquals, "{name}");
    }
    assert_eq!(why("x = y\na"), Why::NoEquals);
}

#[test]
fn unquoted_values_are_the_longest_run() {
    // PIDF-4-6; P2, P3, P8
    for value in
        ["b=c", "=", "==", "a\"b\"", "}", "}}x", "a}b", "'", "\u{e9}\u{10ffff}\u{fffd}\u{80}", "|~[]^"]
    {
        assert_eq!(pairs(&format!("a = {value}\nz = 1")), [pair("a", value), pair("z", "1")], "{value}");
    }
    // Inside a subtree a brace ends both.
    let expected = [(0, "a", "}"), (1, "b", "c"), (1, "d", ""), (0, "e", "f}")];
    let expected = expected.map(|(d, n, v)| (d, n.to_owned(), v.to_owned()));
    assert_eq!(outline("a = } { b = c d = } e = f}"), expected);
    assert_eq!(outline("a=}{b=c d=}e=f}"), expected);
}

#[test]
fn a_value_may_be_missing() {
    // PIDF-4-3; P4
    assert_eq!(pairs("a ="), [pair("a", "")]);
    assert_eq!(pairs("a =\nb = c"), [pair("a", ""), pair("b", "c")]);
    assert_eq!(pairs("a = b = c = d"), [pair("a", ""), pair("b", ""), pair("c", "d")]);
    assert_eq!(pairs("a = b =\nc=d"), [pair("a", ""), pair("b", "c=d")]);
    // Quoted it is a value, whatever follows; and so is what can't be a name.
    assert_eq!(why("a = \"b\" = c"), Why::Name);
    assert_eq!(why("a = 1b = c"), Why::Name);
    assert_eq!(why("a = = b"), Why::NoEquals);
    let expected = [(0, "a", ""), (1, "b", ""), (1, "c", "d"), (0, "e", ""), (0, "f", "")];
    assert_eq!(outline("a={b= c =d}e={}f="), expected.map(|(d, n, v)| (d, n.to_owned(), v.to_owned())));
}

#[test]
fn quoted_values_hold_lines_and_braces() {
    // PIDF-4-7; P2, P6, P7
    let text = "a = \"x\r\n y\t{}=\"b = \"\\\\\"c=\"\\\"\\\\\\\"\"";
    assert_eq!(pairs(text), [pair("a", "x\r\n y\t{}="), pair("b", "\\"), pair("c", "\"\\\"")]);
    for bad in ["\\n", "\\", "\\x", "\\ ", "\\\u{e9}", "\\\r\n"] {
        assert_eq!(why(&format!("a = \"{bad}z\"")), Why::Escape, "{bad}");
    }
    for open in ["\"", "\"x", "\"x\\\"", "\"x\\", "\"\\\\\\\""] {
        assert_eq!(why(&format!("a = {open}")), Why::Quote, "{open}");
    }
}

#[test]
fn braces_come_in_pairs() {
    // PIDF-4-3
    assert_eq!(why("a = b { c = d"), Why::Brace);
    assert_eq!(why("a = b {"), Why::Brace);
    assert_eq!(why("a = b { c = d } }"), Why::Name);
    assert_eq!(why("a = b { c = \"}"), Why::Quote);
    assert_eq!(why("a = b { } { }"), Why::Name);
    assert_eq!(why("a = b { c }"), Why::NoEquals);
}

#[test]
fn text_is_utf8_without_controls() {
    // PIDF-4-2; P5
    for octets in [&b"a = \"x\"\nb = \xff"[..], b"\na = \xc3", b"a\n= \xed\xa0\x80"] {
        let bad = parse(octets).unwrap_err();
        assert_eq!((bad.why, bad.line), (Why::NotUtf8, 2), "{octets:?}");
    }
    for c in ['\0', '\u{1}', '\u{8}', '\u{b}', '\u{c}', '\u{1f}', '\u{7f}', '\u{fffe}', '\u{ffff}'] {
        for text in [format!("a = x{c}"), format!("a = \"{c}\""), format!("a {c}= x"), c.to_string()] {
            assert_eq!(why(&text), Why::Character, "{text:?}");
        }
    }
    // Legal, though no writer should put them there.
    assert_eq!(pairs("a = \u{85} b = \u{fffd}"), [pair("a", "\u{85}"), pair("b", "\u{fffd}")]);
}

#[test]
fn an_error_names_the_line() {
    let bad = refused("a = b\r\n\r\nc d = e\r\n");
    assert_eq!((bad.line, bad.why), (3, Why::NoEquals));
    assert_eq!(bad.to_string(), "line 3 of the presence document: no '=' after a name");
    let all = [
        refused("1"),
        refused("a"),
        refused("a=\""),
        refused("a={"),
        refused("a=\\"),
        refused("\0"),
        refused(&"a=".repeat(limits::DOCUMENT)),
        parse(b"\xff").unwrap_err(),
    ];
    for bad in all {
        let text = bad.to_string();
        assert!(!text.contains('\n') && text.len() <= limits::DESCRIPTION, "{text}");
    }
}

#[test]
fn a_document_has_its_limits() {
    let nested = |depth: usize| format!("{}{}", "a={".repeat(depth), "}".repeat(depth));
    assert!(parse(nested(limits::DOCUMENT_DEPTH).as_bytes()).is_ok());
    assert_eq!(why(&nested(limits::DOCUMENT_DEPTH + 1)), Why::TooDeep);
    // As deep as it is long.
    assert_eq!(why(&"a={".repeat(limits::DOCUMENT / 3)), Why::TooDeep);
    let wide = |count: usize| "a=b ".repeat(count);
    assert_eq!(outline(&wide(limits::DEFINITIONS)).len(), limits::DEFINITIONS);
    assert_eq!(why(&wide(limits::DEFINITIONS + 1)), Why::TooMany);
    // Each without a value, so that one follows from the other.
    assert_eq!(why(&"a = ".repeat(limits::DOCUMENT / 4)), Why::TooMany);
    let long = |length: usize| format!("a={}", "x".repeat(length - 2));
    assert!(parse(long(limits::DOCUMENT).as_bytes()).is_ok());
    assert_eq!(why(&long(limits::DOCUMENT + 1)), Why::TooLong);
    // The largest there can be of what costs most: every prefix is declared, none is found.
    let half = limits::DEFINITIONS / 2;
    let declared: String = (0..half).map(|n| format!("namespace:p{n}=u:{n} ")).collect();
    let used = "q:x=1 ".repeat(half);
    let text = declared + &used;
    assert!(doc(&text).top().find(Some("u:1"), "x").is_none());
}

#[test]
fn dates() {
    // PIDF-5.2-1, PIDF-5.2-2, PIDF-5.2-3, PIDF-5.2-4
    let date = |value: &str| doc(&format!("date = \"{value}\"")).date();
    let zero = Some(Date(0));
    for value in [
        "Thu, 1 Jan 1970 00:00:00 +0000",
        "1 Jan 1970 00:00 +0000",
        "01 jAN 1970 01:30:00 +0130",
        "thu \t,\t31 DEC 1969\t 19:00:00  -0500",
        "THU,1 Jan 1970 00:00 -0000",
        // A wrong weekday.
        "Mon, 1 Jan 1970 00:00 +0000",
    ] {
        assert_eq!(date(value), zero, "{value}");
    }
    assert_eq!(date("29 Feb 2000 23:59:59 +0000"), Some(Date(951_868_799_000)));
    assert_eq!(date("31 Dec 2016 23:59:60 +0000"), date("1 Jan 2017 00:00:00 +0000"));
    assert_eq!(date("1 Jan 0000 00:00 +0000"), Some(Date(-62_167_219_200_000)));
    for value in [
        "",
        "Thu",
        "Thu,",
        "1 Jan 1970 00:00:00 GMT",
        "1 Jan 1970 00:00:00 Z",
        "1 Jan 1970 00:00:00",
        "1 Jan 70 00:00 +0000",
        "1 Jan 12000 00:00 +0000",
        "001 Jan 1970 00:00 +0000",
        "Thursday, 1 Jan 1970 00:00 +0000",
        "Foo, 1 Jan 1970 00:00 +0000",
        "1 January 1970 00:00 +0000",
        "30 Feb 2000 00:00 +0000",
        "0 Jan 1970 00:00 +0000",
        "29 Feb 1900 00:00 +0000",
        "1 Jan 1970 24:00 +0000",
        "1 Jan 1970 00:60 +0000",
        "1 Jan 1970 00:00:61 +0000",
        "1 Jan 1970 0:00 +0000",
        "1 Jan 1970 00:00:0 +0000",
        "1 Jan 1970 00:00:00:00 +0000",
        "1 Jan 1970 00:00 0000",
        "1 Jan 1970 00:00 +000",
        "1 Jan 1970 00:00 +00000",
        "1 Jan 1970 00:00 +0060",
        "1 Jan 1970 00:00 +2400",
        "1 Jan 1970 00:00 ++000",
        "1 Jan 1970 00:00 +0000 (UTC)",
        "1 Jan 1970 00:00 +0000 ",
        " 1 Jan 1970 00:00 +0000",
        "1 Jan 1970 00:00 +\u{e9}00",
    ] {
        assert_eq!(date(value), None, "{value}");
    }
    // The rest of the document stays.
    assert!(doc("date = now presentity = presence:a@b").presentity().is_some());
}

#[test]
fn contacts_and_what_breaks_a_rule() {
    // PIDF-5.4.1-1, PIDF-5.4.1-2, PIDF-5.4.1-3, PIDF-5.4.2-1, PIDF-5.4.3-1, PIDF-5.4.3-2, PIDF-5-3
    let one = |inside: &str| {
        let text = format!("contact = im:a@b {{ {inside} }}");
        let doc = doc(&text);
        let contact = contacts(&doc).remove(0);
        (contact.status, contact.preference, contact.capabilities.map(|c| c.into_owned()))
    };
    for (word, status) in
        [("open", Status::Open), ("closed", Status::Closed), ("\"deferred\"", Status::Deferred)]
    {
        assert_eq!(one(&format!("status = {word}")).0, Some(status));
    }
    for word in ["Open", "OPEN", "away", "\"open \"", "\"\""] {
        assert_eq!(one(&format!("status = {word}")).0, None, "{word}");
    }
    // The first counts, also if it is none.
    assert_eq!(one("status = Open status = open").0, None);
    for (word, preference) in [("0", 0), ("007", 7), ("4294967295", u32::MAX)] {
        assert_eq!(one(&format!("preference = {word}")).1, Some(preference));
    }
    for word in ["4294967296", "-1", "+1", "1.0", "0x1", "\"\"", "\" 1\"", &"9".repeat(100), "\u{661}"] {
        assert_eq!(one(&format!("preference = {word}")).1, None, "{word}");
    }
    let expression = "(& (color=\"binary\") (type=\"text/plain\"))";
    let quoted = expression.replace('"', "\\\"");
    assert_eq!(one(&format!("capabilities = \"{quoted}\"")).2.as_deref(), Some(expression));
}

#[test]
fn urls_have_a_scheme() {
    // PIDF-5.1-1, PIDF-5.1-2, PIDF-5.4-1
    for url in ["presence:joe@example.net", "zephyr:bob", "X-a+b.1:c"] {
        let text = format!("presentity = {url} contact = {url}");
        assert_eq!(doc(&text).presentity().unwrap(), url);
        assert_eq!(contacts(&doc(&text))[0].url, url);
    }
    for text in ["joe@example.net", "im:", ":x", "1a:b", "a_b:c", "\"a b:c\"", "\"\""] {
        let text = format!("presentity = {text} contact = {text} {{ status = open }} contact = im:a@b");
        let doc = doc(&text);
        assert!(doc.presentity().is_none(), "{text}");
        // It counts as none, and so those after it do.
        assert_eq!(contacts(&doc).len(), 1, "{text}");
    }
}

#[test]
fn declarations_hold_from_their_end_to_the_end_of_their_context() {
    // PIDF-6-1, PIDF-6-3, PIDF-5-3
    let vocabulary = |text: &str, path: &[&str]| {
        let doc = doc(text);
        let mut context = doc.top();
        let mut found = None;
        for name in path {
            let variable = context.variables().find(|v| v.name().as_str() == *name).unwrap();
            context = variable.inside();
            found = variable.vocabulary().map(|url| url.into_owned());
        }
        found
    };
    // Not in the declaration's own subtree.
    let text = "namespace:a = u:1 { a:x = 1 } a:y = 2 { a:z = 3 } b = { a:w = { a:v = } }";
    assert_eq!(vocabulary(text, &["namespace:a", "a:x"]), None);
    for path in [&["a:y"][..], &["a:y", "a:z"], &["b", "a:w"], &["b", "a:w", "a:v"]] {
        assert_eq!(vocabulary(text, path).as_deref(), Some("u:1"), "{path:?}");
    }
    // Declared inside, it is gone after; an outer one is back.
    let text = "namespace:a = u:1 b = { namespace:a = u:2 a:x = namespace:c = u:3 } a:y = 1 c:z = 1";
    assert_eq!(vocabulary(text, &["b", "a:x"]).as_deref(), Some("u:2"));
    assert_eq!(vocabulary(text, &["a:y"]).as_deref(), Some("u:1"));
    assert_eq!(vocabulary(text, &["c:z"]), None);
    // What is no URL declares nothing; the outer one shows, and those after it are still repeats.
    let text = "namespace:a = u:1 b = { namespace:a = nothing namespace:a = u:2 a:x = 1 }";
    assert_eq!(vocabulary(text, &["b", "a:x"]).as_deref(), Some("u:1"));
    // The prefix ends at the first colon; prefixes differ in case; the declaring one is never declared.
    let text = "namespace:a = u:1 namespace:namespace = u:2 a:b:c = 1 A:b = 1 namespace:z = u:3";
    assert_eq!(vocabulary(text, &["a:b:c"]).as_deref(), Some("u:1"));
    assert_eq!(vocabulary(text, &["A:b"]), None);
    assert_eq!(vocabulary(text, &["namespace:z"]), None);
    assert!(doc(text).top().find(Some("u:1"), "b:c").is_some());
    // A quoted URL with escapes is the same URL.
    let text = "namespace:a = \"u:\\\"1\\\\\" a:x = 1";
    assert_eq!(vocabulary(text, &["a:x"]).as_deref(), Some("u:\"1\\"));
}

#[test]
fn names_of_two_prefixes_for_one_vocabulary_are_the_same() {
    // PIDF-6-2, PIDF-5-3
    let text = "namespace:a = u:1 namespace:b = u:1 b:x = first a:x = second x = plain";
    let doc = doc(text);
    assert_eq!(doc.top().find(Some("u:1"), "x").unwrap().value(), "first");
    assert_eq!(doc.top().find(None, "x").unwrap().value(), "plain");
    assert!(doc.top().find(Some("U:1"), "x").is_none());
    assert!(doc.top().find(None, "b").is_none());
}

/// Pieces that the grammar is made of, in any order.
fn soup() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(
        &[
            "a",
            "b:c",
            "namespace:b",
            "u:1",
            "=",
            "= ",
            " = ",
            "{",
            "}",
            " { ",
            " }",
            "\"",
            "\"x y\"",
            "\\",
            "\\\"",
            "\r\n",
            "\n",
            " ",
            "open",
            "contact",
            "status",
            "im:a@b",
            "\u{85}",
            "\u{e9}",
            "\0",
            "1",
            "date",
            "preference",
        ][..],
    );
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

/// Documents that are well-formed more often than not.
fn likely() -> impl Strategy<Value = String> {
    let leaf = ("[a-c](:[a-c])?|namespace:[a-c]", "[a-z0-9:=}]{0,4}|\"[ a-z{}=\r\n]{0,4}\"")
        .prop_map(|(name, value)| format!("{name} = {value} \n"));
    leaf.prop_recursive(4, 40, 5, |inner| {
        ("[a-c]", "[a-z:]{0,4}", prop::collection::vec(inner, 0..5))
            .prop_map(|(name, value, inside)| format!("{name}={value}{{{}}}", inside.concat()))
    })
}

proptest! {
    #[test]
    fn anything_is_read_or_refused(soup in soup(), octets in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz::document(soup.as_bytes());
        fuzz::document(&octets);
    }

    #[test]
    fn what_is_read_is_written_and_read_again(parts in prop::collection::vec(likely(), 0..6)) {
        fuzz::document(parts.concat().as_bytes());
    }

    #[test]
    fn every_beginning_is_read_or_refused(parts in prop::collection::vec(likely(), 0..3)) {
        let text = parts.concat();
        for end in 0..text.len() {
            fuzz::document(&text.as_bytes()[..end]);
        }
    }
}
