//! Properties objects: what they hold, and which fault is whose.

use hearth::limits;
use hearth::simp::framer::BadStream;
use hearth::simp::fuzz;
use hearth::simp::object::{BadObject, Concerns, Fault, Key, Malformed, Object, Scratch};
use proptest::prelude::*;

use crate::{object, read};

fn entry(inside: &str) -> String {
    format!("<properties>{inside}</properties>")
}

/// The only entry of an object.
#[track_caller]
fn one(inside: &str) -> (String, String) {
    let mut entries = read(entry(inside).as_bytes()).unwrap();
    assert_eq!(entries.len(), 1, "{inside}");
    entries.remove(0)
}

/// The fault of a malformed object.
#[track_caller]
fn fault(data: &[u8]) -> (Fault, String) {
    let mut scratch = Scratch::new();
    match Object::parse(data, &mut scratch) {
        Err(BadObject::Malformed(Malformed { concerns, fault })) => (fault, format!("{concerns:?}")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn entries() {
    // SIMP-3.2-4, SIMP-3.2-5, SIMP-3.2-7, SIMP-4.2.1.1-1
    assert_eq!(read(b"<properties/>").unwrap(), []);
    assert_eq!(read(b"<properties ></properties >").unwrap(), []);
    for inside in [
        "<entry key=\"a\">b</entry>",
        "<entry key='a'>b</entry>",
        " <entry\n\tkey = \"a\" >b</entry\r\n> ",
        "<!-- x --><entry key='a'>b</entry><?pi?>",
        "<entry key='&#97;'>&#x62;</entry>",
        "<entry key='a'><![CDATA[b]]></entry>",
        "<entry key='a'><!-- x -->b<?pi?></entry>",
    ] {
        assert_eq!(one(inside), ("a".to_owned(), "b".to_owned()), "{inside}");
    }
    for inside in ["<entry key='@bad'></entry>", "<entry key='@bad'/>", "<entry key='@bad' />"] {
        assert_eq!(one(inside), ("@bad".to_owned(), String::new()), "{inside}");
    }
    assert_eq!(one("<entry key=''>\u{e9}\u{1F600}</entry>"), (String::new(), "\u{e9}\u{1F600}".to_owned()));
}

#[test]
fn order_means_nothing() {
    // SIMP-3.2-3
    let (mut one, mut other, mut third) = (Scratch::new(), Scratch::new(), Scratch::new());
    let a = Object::parse(
        b"<properties><entry key='a'>1</entry><entry key='to'>2</entry></properties>",
        &mut one,
    );
    let b = Object::parse(
        b"<properties><entry key='to'>2</entry><entry key='a'>1</entry></properties>",
        &mut other,
    );
    let c = Object::parse(
        b"<properties><entry key='to'>1</entry><entry key='a'>1</entry></properties>",
        &mut third,
    );
    assert_eq!(a, b);
    assert_ne!(a, c);
    assert_eq!(a.unwrap().get(Key::To), Some("2"));
    assert_eq!(a.unwrap().find("a"), Some("1"));
}

#[test]
fn text_is_unescaped_and_its_lines_normalised() {
    // SIMP-3.2-6, OC-26 (XML 1.0 2.11, 4.1, 4.6)
    for (text, value) in [
        ("3 &lt; 4 &amp; 5 &gt; 2 &quot;&apos;", "3 < 4 & 5 > 2 \"'"),
        (" a\n b ", " a\n b "),
        ("a\r\nb\rc\r\r\nd", "a\nb\nc\n\nd"),
        ("a&#13;\nb&#13;&#10;c", "a\r\nb\r\nc"),
        ("a\r&#10;b", "a\n\nb"),
        ("a\r<!---->\nb", "a\n\nb"),
        ("<![CDATA[<a>&amp;]]]]><![CDATA[>\r\n]]>", "<a>&amp;]]>\n"),
        ("]]&gt; ]] >", "]]> ]] >"),
        ("a<!-- b -->c<?d e?>f", "acf"),
        ("\u{7f}\u{85}\u{2028}\u{fffd}", "\u{7f}\u{85}\u{2028}\u{fffd}"),
        ("\u{ff21}\u{feff}]&#x41;", "\u{ff21}\u{feff}]A"),
    ] {
        assert_eq!(one(&format!("<entry key='k'>{text}</entry>")).1, value, "{text:?}");
    }
}

#[test]
fn keys_are_attributes() {
    // SIMP-3.2-5, SIMP-3.2-7 (XML 1.0 3.3.3)
    for (key, value) in [
        ("'a\"b'", "a\"b"),
        ("\"a'b\"", "a'b"),
        ("'a&apos;b&lt;&amp;'", "a'b<&"),
        ("'a\tb\nc\rd\r\ne'", "a b c d e"),
        ("'a&#9;b&#10;c&#13;&#13;&#10;d'", "a\tb\nc\r\r\nd"),
        ("' a  b '", " a  b "),
        ("'a>b]]>'", "a>b]]>"),
    ] {
        assert_eq!(one(&format!("<entry key={key}>x</entry>")).0, value, "{key:?}");
    }
}

#[test]
fn what_breaks_the_stream() {
    // SIMP-3.2-4, SIMP-3.2-5, SIMP-3.5-5, SIMP-3.5-6, OC-26, OC-27
    for (inside, why) in [
        ("x", BadStream::Text),
        ("&amp;", BadStream::Text),
        ("<![CDATA[]]>", BadStream::Text),
        ("<entry>x</entry>", BadStream::Markup),
        ("<entry/>", BadStream::Markup),
        ("<entry key>x</entry>", BadStream::Markup),
        ("<entry key=a>x</entry>", BadStream::Markup),
        ("<entry Key='a'>x</entry>", BadStream::Markup),
        ("<entrykey='a'>x</entry>", BadStream::Markup),
        ("<entry key='a' key='b'>x</entry>", BadStream::Markup),
        ("<entry key='a' lang='b'>x</entry>", BadStream::Markup),
        ("<entry key='a'lang='b'>x</entry>", BadStream::Markup),
        ("<entry key='a<b'>x</entry>", BadStream::Markup),
        ("<entry key='a>x</entry>", BadStream::Markup),
        ("<entry key='a'>x</entries>", BadStream::Markup),
        ("<entry key='a'>x</ entry>", BadStream::Markup),
        ("<entry key='a'>x", BadStream::Markup),
        ("<entry key='a'><b/></entry>", BadStream::Markup),
        ("<entry key='a'><entry key='b'/></entry>", BadStream::Markup),
        ("<entry key='a'>]]></entry>", BadStream::Markup),
        ("<entry key='a'>x&amp;]]>y</entry>", BadStream::Markup),
        ("<entry key='a'><!DOCTYPE x></entry>", BadStream::Doctype),
        ("<entry key='a'><!-- -- --></entry>", BadStream::Markup),
        ("<entry key='a'><?xml x?></entry>", BadStream::Markup),
        ("<item key='a'/>", BadStream::Markup),
        ("<properties/>", BadStream::Markup),
        ("<!DOCTYPE x>", BadStream::Doctype),
        ("<entry key='a'>&nbsp;</entry>", BadStream::Reference),
        ("<entry key='a'>a & b</entry>", BadStream::Reference),
        ("<entry key='a&b;'/>", BadStream::Reference),
        ("<entry key='a'>&#0;</entry>", BadStream::Character),
        ("<entry key='a'>&#xD83D;&#xDE00;</entry>", BadStream::Character),
        ("<entry key='&#xFFFE;'/>", BadStream::Character),
        ("<entry key='a'>&#99999999999999999999;</entry>", BadStream::Character),
        ("<entry key='a'>\u{1}</entry>", BadStream::Character),
        ("<entry key='a'>\u{ffff}</entry>", BadStream::Character),
    ] {
        assert_eq!(read(entry(inside).as_bytes()), Err(BadObject::Stream(why)), "{inside}");
    }
    for octets in [&b"\xff"[..], b"\xc0\xaf", b"\xed\xa0\x80", b"\xf8\x88\x80\x80\x80", b"\xe2\x82"] {
        let element = [b"<properties><entry key='a'>", octets, b"</entry></properties>"].concat();
        assert_eq!(read(&element), Err(BadObject::Stream(BadStream::Utf8)), "{octets:?}");
    }
    for element in
        ["", "<", "<properties", "<properties x='1'/>", "<properties>", "<properties/> ", "x<properties/>"]
    {
        assert!(matches!(read(element.as_bytes()), Err(BadObject::Stream(_))), "{element}");
    }
}

#[test]
fn a_key_twice_is_the_objects_own_fault() {
    // SIMP-3.2-2, OC-28
    let id = "<entry key='request'>7</entry>";
    for twice in [
        "<entry key='x'>1</entry><entry key='x'>1</entry>",
        "<entry key='&#120;'>1</entry><entry key='y'/><entry key='x'>2</entry>",
        "<entry key='action'>send</entry><entry key='action'>send</entry>",
    ] {
        let found = fault(entry(&format!("{id}{twice}")).as_bytes());
        assert_eq!(found, (Fault::Duplicate, "Request(\"7\")".to_owned()), "{twice}");
        let found = fault(entry(&format!("{twice}<entry key='response'>8</entry>")).as_bytes());
        assert_eq!(found, (Fault::Duplicate, "Response(\"8\")".to_owned()), "{twice}");
        assert_eq!(fault(entry(twice).as_bytes()), (Fault::Duplicate, "Nobody".to_owned()), "{twice}");
    }
    // Which of two identifiers is meant can't be known.
    assert_eq!(fault(entry(&id.repeat(2)).as_bytes()), (Fault::Duplicate, "Nobody".to_owned()));
    assert_eq!(fault(entry(&id.repeat(300)).as_bytes()), (Fault::Duplicate, "Nobody".to_owned()));
    // Ill-formed markup after it still breaks the stream.
    let broken = entry(&format!("{}<b/>", id.repeat(2)));
    assert_eq!(read(broken.as_bytes()), Err(BadObject::Stream(BadStream::Markup)));
}

#[test]
fn sizes_of_entries() {
    // OC-30: over a limit of an entry the object is refused, not the stream
    let id = ("request", "7");
    let asked = "Request(\"7\")".to_owned();
    let key = "k".repeat(limits::KEY);
    assert!(read(&object(&[(&key, "")])).is_ok());
    let key = "k".repeat(limits::KEY + 1);
    assert_eq!(fault(&object(&[(&key, ""), id])), (Fault::TooLarge, asked.clone()));
    let value = "v".repeat(limits::VALUE);
    assert!(read(&object(&[("a", &value)])).is_ok());
    let value = "v".repeat(limits::VALUE + 1);
    assert_eq!(fault(&object(&[("a", &value), id])), (Fault::TooLarge, asked.clone()));
    // What counts is the value, not its escaped form.
    let value = "<".repeat(limits::VALUE / 4);
    assert!(read(&object(&[("a", &value)])).is_ok());

    let keys: Vec<String> = (0..limits::ENTRIES * 2).map(|i| format!("k{i}")).collect();
    let mut entries: Vec<(&str, &str)> = keys.iter().map(|k| (k.as_str(), "")).collect();
    entries.truncate(limits::ENTRIES);
    assert_eq!(read(&object(&entries)).unwrap().len(), limits::ENTRIES);
    entries.push(id);
    assert_eq!(fault(&object(&entries)), (Fault::TooLarge, asked.clone()));
    entries.extend(keys[limits::ENTRIES..].iter().map(|k| (k.as_str(), "")));
    assert_eq!(fault(&object(&entries)), (Fault::TooLarge, asked));
    entries.push(id);
    assert_eq!(fault(&object(&entries)), (Fault::TooLarge, "Nobody".to_owned()));
}

#[test]
fn a_scratch_serves_many_objects() {
    let mut scratch = Scratch::new();
    for i in 0..3 {
        let data = format!(
            "<properties><entry key='to'>&lt;{i}</entry><entry key='x&amp;'>{i}</entry></properties>"
        );
        let object = Object::parse(data.as_bytes(), &mut scratch).unwrap();
        assert_eq!(
            (object.get(Key::To), object.find("x&")),
            (Some(&*format!("<{i}")), Some(&*format!("{i}")))
        );
        assert_eq!((object.get(Key::From), object.len(), object.is_empty()), (None, 2, false));
        assert!(Object::parse(b"<properties><entry key='from'>&x;", &mut scratch).is_err());
    }
    let empty = Object::parse(b"<properties/>", &mut scratch).unwrap();
    assert!(empty.is_empty() && empty.get(Key::From).is_none());
}

#[test]
fn nothing_is_copied_that_need_not_be() {
    let data = entry("<entry key='to'>plain</entry><entry key='x'>a &lt; b</entry>");
    let mut scratch = Scratch::new();
    let object = Object::parse(data.as_bytes(), &mut scratch).unwrap();
    let inside = |text: &str| data.as_bytes().as_ptr_range().contains(&text.as_ptr());
    let values: Vec<_> = object.entries().collect();
    assert!(inside(values[0].key) && inside(values[0].value));
    assert!(inside(values[1].key) && !inside(values[1].value));
}

#[test]
fn which_entries_may_be_copied_as_they_are() {
    // OC-64: whoever reads the copy must read the same
    for (element, copied) in [
        ("<entry key='a'>b</entry>", true),
        ("<entry key='a'/>", true),
        ("<entry  key = 'a&#9;' >&lt;&#13;\n</entry >", true),
        ("<entry key='a'><![CDATA[b]]></entry>", false),
        ("<entry key='a'>b<!-- c --></entry>", false),
        ("<entry key='a'>b<?c?></entry>", false),
        ("<entry key='a'>b\r\n</entry>", false),
        ("<entry key='a\r'>b</entry>", false),
    ] {
        let data = entry(&format!("<entry key='r'>\r</entry> {element}\n"));
        let mut scratch = Scratch::new();
        let object = Object::parse(data.as_bytes(), &mut scratch).unwrap();
        let raw = object.entries().nth(1).unwrap().raw;
        assert_eq!(raw, copied.then_some(element.as_bytes()), "{element}");
    }
}

#[test]
fn nested_documents() {
    // SIMP-3.7-5, SIMP-3.7-7, OC-49
    let mut scratch = Scratch::new();
    for text in [
        "<properties><entry key='Team'>a@b</entry></properties>",
        "<?xml version=\"1.0\"?>\n<properties><entry key='Team'>a@b</entry></properties>\n",
        "\n <?xml version='1.0' encoding='UTF-8'?> <!-- x --> <properties>\n<entry key='Team'>a@b</entry>\n</properties ><?x?>\n",
    ] {
        let object = Object::parse_document(text, &mut scratch).unwrap();
        assert_eq!((object.len(), object.find("Team")), (1, Some("a@b")), "{text}");
    }
    for (text, why) in [
        ("", BadStream::Markup),
        (" ", BadStream::Markup),
        ("a@b", BadStream::Markup),
        ("<?xml version='1.1'?><properties/>", BadStream::Header),
        ("<?xml version='1.0' encoding='UTF-16'?><properties/>", BadStream::Encoding),
        ("<?xml version='1.0'?><?xml version='1.0'?><properties/>", BadStream::Markup),
        ("<!DOCTYPE properties><properties/>", BadStream::Doctype),
        ("<properties/><properties/>", BadStream::Text),
        ("<properties/>x", BadStream::Text),
        ("<properties/><![CDATA[ ]]>", BadStream::Text),
        ("<stream><properties/></stream>", BadStream::Markup),
        ("<properties>&lol;</properties>", BadStream::Text),
        ("<properties><entry key='a'>\u{1}</entry></properties>", BadStream::Character),
    ] {
        assert_eq!(Object::parse_document(text, &mut scratch), Err(BadObject::Stream(why)), "{text}");
    }
    let twice = "<properties><entry key='a'/><entry key='a'/></properties>";
    let malformed = Malformed { concerns: Concerns::Nobody, fault: Fault::Duplicate };
    assert_eq!(Object::parse_document(twice, &mut scratch), Err(BadObject::Malformed(malformed)));
}

#[test]
fn every_known_key_is_known() {
    // SIMP-3.2-2
    for key in Key::ALL {
        assert_eq!(Key::of(key.as_str()), Some(key));
        let other = format!("{}\u{1}", &key.as_str()[..key.as_str().len() - 1]);
        assert_eq!(Key::of(&other), None);
        assert_eq!(Key::of(&key.as_str().to_uppercase()), None);
    }
    for other in ["", "t", "ta", "reply-to", "minversion", "everybody", "request "] {
        assert_eq!(Key::of(other), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn any_map_is_written_and_read(map in prop::collection::btree_map(".{0,20}", "(?s).{0,60}", 0..20)) {
        // SIMP-3.2-2, SIMP-4.2.1.1-1, OC-24
        let kept = |text: &str| -> String {
            let allowed = |c: char| c >= ' ' && !matches!(c, '\u{fffe}' | '\u{ffff}') || "\t\n\r".contains(c);
            text.chars().map(|c| if allowed(c) { c } else { '\u{fffd}' }).collect()
        };
        let mut expected: Vec<(String, String)> = map.iter().map(|(k, v)| (kept(k), kept(v))).collect();
        expected.dedup_by(|a, b| a.0 == b.0);
        prop_assume!(expected.len() == map.len());
        let entries: Vec<(&str, &str)> = map.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let written = object(&entries);
        prop_assume!(fault_free(&written));
        prop_assert_eq!(read(&written).unwrap(), expected);
        fuzz::object(&written);
    }

    #[test]
    fn any_text_can_be_carried(octets in prop::collection::vec(any::<u8>(), 0..80)) {
        // OC-24
        fuzz::text(&octets);
        fuzz::object(&octets);
        fuzz::document(&octets);
    }
}

/// Replacing excluded characters may make two keys equal.
fn fault_free(data: &[u8]) -> bool {
    !matches!(Object::parse(data, &mut Scratch::new()), Err(BadObject::Malformed(_)))
}
