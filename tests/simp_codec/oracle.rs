//! A general XML reader judges the same documents.

use std::fmt::Write as _;

use hearth::simp::object::{BadObject, Object, Scratch};
use proptest::prelude::*;
use quick_xml::events::Event;
use quick_xml::{Reader, XmlVersion};

/// The entries as quick-xml reads them, or none if it finds the document ill-formed or not of the
/// grammar. It leaves some well-formedness to its caller, so it accepts more than XML does.
fn by_oracle(data: &str) -> Option<Vec<(String, String)>> {
    let mut reader = Reader::from_str(data);
    reader.config_mut().check_comments = true;
    let mut entries = Vec::new();
    let mut open: Option<(String, String)> = None;
    let mut depth = 0;
    loop {
        let event = reader.read_event().ok()?;
        match (&event, depth, &mut open) {
            (Event::Start(e) | Event::Empty(e), 0, _) if e.name().as_ref() == "properties" => {
                if e.attributes().next().is_some() {
                    return None;
                }
                depth = if matches!(event, Event::Empty(_)) { 2 } else { 1 };
            }
            (Event::Start(e) | Event::Empty(e), 1, None) if e.name().as_ref() == "entry" => {
                let mut attributes = e.attributes();
                let key = attributes.next()?.ok()?;
                if key.key.as_ref() != "key" || attributes.next().is_some() {
                    return None;
                }
                let key = key.normalized_value(XmlVersion::Explicit1_0).ok()?.into_owned();
                if matches!(event, Event::Empty(_)) {
                    entries.push((key, String::new()));
                } else {
                    open = Some((key, String::new()));
                }
            }
            (Event::Text(text), 1, Some((_, value))) => value.push_str(&text.xml10_content()),
            (Event::CData(text), 1, Some((_, value))) => value.push_str(&text.xml10_content()),
            (Event::GeneralRef(reference), 1, Some((_, value))) => {
                let c = match reference.resolve_char_ref().ok()? {
                    Some(c) => c.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(reference)?.to_owned(),
                };
                value.push_str(&c);
            }
            (Event::Text(text), _, None) if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() => {}
            (Event::End(_), 1, Some(_)) => entries.extend(open.take()),
            (Event::End(_), 1, None) => depth = 2,
            (Event::Comment(_) | Event::PI(_), 1, _) => {}
            (Event::Eof, 2, None) => return Some(entries),
            _ => return None,
        }
    }
}

/// Entries so written that everything the grammar allows occurs.
fn document() -> impl Strategy<Value = String> {
    let space = || prop::sample::select(vec!["", " ", "\n", "\t", "\r\n ", "<!-- a<b -->", "<?p q>?>"]);
    let piece = prop_oneof![
        "[a-z ]{0,8}",
        prop::sample::select(vec![
            "&lt;",
            "&gt;",
            "&amp;",
            "&quot;",
            "&apos;",
            "&#13;",
            "&#x9;",
            "&#128512;",
            "\r\n",
            "\r",
            "\n",
            "]]",
            "]",
            ">",
            "\"",
            "'",
            "\u{e9}",
            "\u{1F600}",
            "<![CDATA[<&>]]>",
            "<![CDATA[]]]]>",
            "<!---->",
            "<?x?>",
        ])
        .prop_map(str::to_owned),
    ];
    let key = prop::sample::select(vec![
        "'to'", "\"from\"", "'a&#9;b'", "'a\tb'", "'a\r\nb'", "'&quot;'", "\"'\"", "'\"'", "''", "'\u{e9}'",
    ]);
    let entry = (space(), key, any::<bool>(), prop::collection::vec(piece, 0..6));
    prop::collection::vec(entry, 0..6).prop_map(|entries| {
        let mut text = String::from("<properties>");
        for (space, key, empty, pieces) in entries {
            if empty {
                write!(text, "{space}<entry key={key}/>").unwrap();
            } else {
                write!(text, "{space}<entry  key = {key} >{}</entry >", pieces.concat()).unwrap();
            }
        }
        text + "</properties>"
    })
}

/// Compares the two readings.
fn compare(text: &str) {
    let mut scratch = Scratch::new();
    let ours = Object::parse(text.as_bytes(), &mut scratch);
    match (ours, by_oracle(text)) {
        (Ok(object), Some(theirs)) => {
            let ours: Vec<_> = object.entries().map(|e| (e.key.to_owned(), e.value.to_owned())).collect();
            assert_eq!(ours, theirs, "{text:?}");
        }
        (Ok(object), None) => panic!("accepted only by us: {text:?} as {object:?}"),
        (Err(BadObject::Malformed(_)), theirs) => {
            let mut keys: Vec<_> = theirs.expect("well-formed").into_iter().map(|(key, _)| key).collect();
            let all = keys.len();
            keys.sort();
            keys.dedup();
            assert!(keys.len() < all, "refused without a reason: {text:?}");
        }
        (Err(BadObject::Stream(_)), _) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn well_formed_documents_are_read_alike(text in document()) {
        // SIMP-3.2-5, SIMP-3.2-6, SIMP-3.5-5
        if !text.contains("]]>") || text.contains("<![CDATA[") {
            let mut scratch = Scratch::new();
            let ours = Object::parse(text.as_bytes(), &mut scratch);
            let bracket = text.replace("<![CDATA[<&>]]>", "").replace("<![CDATA[]]]]>", "").contains("]]>");
            prop_assert!(bracket || !matches!(ours, Err(BadObject::Stream(_))), "{:?} of {:?}", ours, text);
        }
        compare(&text);
    }

    #[test]
    fn damaged_documents_are_never_accepted_by_us_alone(text in document(), at in any::<prop::sample::Index>(), with in "[<>&;'\"/!?=a\\-\\]]{0,2}", cut in 0usize..3) {
        // SIMP-3.5-5
        let mut chars: Vec<char> = text.chars().collect();
        let from = at.index(chars.len());
        let to = (from + cut).min(chars.len());
        chars.splice(from..to, with.chars());
        compare(&chars.into_iter().collect::<String>());
    }
}
