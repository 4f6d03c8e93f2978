//! Writing: strict, and read back as it was given.

use hearth::pidf::{Name, Writer, parse};
use proptest::prelude::*;

use crate::{outline, pair, pairs};

fn name(text: &str) -> Name<'_> {
    Name::parse(text).unwrap()
}

fn one(value: &str) -> String {
    let mut writer = Writer::new();
    writer.define(name("a"), value);
    writer.finish()
}

#[test]
fn layout() {
    // PIDF-4-3, PIDF-4-4
    let mut writer = Writer::new();
    writer.define(name("presentity"), "presence:joe@example.net");
    writer.open(name("contact"), "im:joe@example.net");
    writer.define(name("status"), "open");
    writer.open(name("x:deep"), "");
    writer.define(name("note"), "gone fishing");
    writer.close();
    writer.close();
    writer.close();
    writer.open(name("z"), "1");
    let expected = "presentity = presence:joe@example.net\r\n\
                    contact = im:joe@example.net {\r\n\
                    \x20 status = open\r\n\
                    \x20 x:deep = \"\" {\r\n\
                    \x20   note = \"gone fishing\"\r\n\
                    \x20 }\r\n\
                    }\r\n\
                    z = 1 {\r\n\
                    }\r\n";
    assert_eq!(writer.finish(), expected);
    assert_eq!(Writer::new().finish(), "");
}

#[test]
fn quotes_where_they_are_needed() {
    // PIDF-4-6, PIDF-4-7; P2, P3, P4
    for plain in ["x", "a=b", "im:a@b", "'", "\u{a0}", "\u{fffd}\u{10ffff}", "|~[]^"] {
        assert_eq!(one(plain), format!("a = {plain}\r\n"));
    }
    for (value, quoted) in [
        ("", ""),
        (" ", " "),
        ("x ", "x "),
        ("a\tb", "a\tb"),
        ("}", "}"),
        ("a{b", "a{b"),
        ("say \"hi\"", "say \\\"hi\\\""),
        ("\"", "\\\""),
        ("a\\b", "a\\\\b"),
    ] {
        assert_eq!(one(value), format!("a = \"{quoted}\"\r\n"));
        assert_eq!(pairs(&one(value)), [pair("a", value)]);
    }
}

#[test]
fn what_cannot_stand_in_a_document_is_written_as_well_as_can_be() {
    // PIDF-4-2; P5, P7
    for (value, written) in [
        ("a\nb\rc\r\nd\n\r", "a\r\nb\r\nc\r\nd\r\n\r\n"),
        ("a\u{85}b", "ab"),
        ("\u{9f}", ""),
        ("a\0b\u{7f}c\u{fffe}", "a\u{fffd}b\u{fffd}c\u{fffd}"),
    ] {
        assert_eq!(one(value), format!("a = \"{written}\"\r\n"));
        assert_eq!(pairs(&one(value)), [pair("a", written)]);
    }
}

#[test]
fn names_are_names() {
    // PIDF-4-5
    for text in ["", "1a", "a_b", "a ", "\u{e9}", "a=", "-a"] {
        assert!(Name::parse(text).is_none(), "{text}");
    }
    let name = name("a:b:c");
    assert_eq!((name.prefix(), name.local(), name.as_str()), (Some("a"), "b:c", "a:b:c"));
}

#[derive(Debug, Clone)]
struct Tree {
    name: String,
    value: String,
    inside: Vec<Tree>,
}

fn tree() -> impl Strategy<Value = Tree> {
    let name = || "[A-Za-z][A-Za-z0-9:-]{0,4}";
    // All that a document can hold, and more of what needs care.
    let value = || {
        prop_oneof![
            "[^\u{0}-\u{1f}\u{7f}-\u{9f}\u{fffe}\u{ffff}]{0,12}",
            "[ \"\\\\{}=a:\t]{0,8}",
            "([ a]|\r\n){0,4}",
            "[a-z]{1,3}",
        ]
    };
    let leaf = (name(), value()).prop_map(|(name, value)| Tree { name, value, inside: Vec::new() });
    leaf.prop_recursive(6, 60, 6, move |inner| {
        (name(), value(), prop::collection::vec(inner, 0..6)).prop_map(|(name, value, inside)| Tree {
            name,
            value,
            inside,
        })
    })
}

fn write(writer: &mut Writer, tree: &Tree, depth: usize, expected: &mut Vec<(usize, String, String)>) {
    expected.push((depth, tree.name.clone(), tree.value.clone()));
    if tree.inside.is_empty() {
        return writer.define(name(&tree.name), &tree.value);
    }
    writer.open(name(&tree.name), &tree.value);
    tree.inside.iter().for_each(|inner| write(writer, inner, depth + 1, expected));
    writer.close();
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was_given(trees in prop::collection::vec(tree(), 0..6)) {
        let mut writer = Writer::new();
        let mut expected = Vec::new();
        trees.iter().for_each(|tree| write(&mut writer, tree, 0, &mut expected));
        let text = writer.finish();
        prop_assert!(text.lines().all(|line| !line.contains(|c: char| c.is_control() && c != '\t')));
        prop_assert_eq!(outline(&text), expected);
    }

    #[test]
    fn any_text_can_be_a_value(value in any::<String>()) {
        prop_assert!(parse(one(&value).as_bytes()).is_ok());
    }
}
