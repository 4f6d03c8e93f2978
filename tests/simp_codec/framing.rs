//! Streams: where each object begins and ends, however the octets come.

use hearth::limits;
use hearth::simp::framer::{BadStream, Framer, Step};
use hearth::simp::fuzz;
use hearth::simp::write;
use proptest::prelude::*;

/// What a stream holds: its objects as they came, and how it stands at its end.
#[derive(Debug, PartialEq, Eq, Clone, Default)]
pub struct Pieces {
    pub objects: Vec<String>,
    pub opened: bool,
    pub ended: bool,
    pub broken: Option<BadStream>,
}

/// Feeds a stream in pieces of these sizes, over and over.
fn feed(stream: &[u8], sizes: &[usize], limit: usize) -> Pieces {
    let mut framer = Framer::new();
    let mut pieces = Pieces::default();
    let (mut start, mut end) = (0, 0);
    for size in sizes.iter().cycle() {
        end = stream.len().min(end + size);
        loop {
            let data = &stream[start..end];
            match framer.step(data, limit) {
                Step::Skip(n) => start += n,
                Step::Opened(n) => {
                    assert!(!std::mem::replace(&mut pieces.opened, true) && framer.is_open());
                    start += n;
                }
                Step::Object(n) => {
                    pieces.objects.push(String::from_utf8_lossy(&data[..n]).into_owned());
                    start += n;
                }
                Step::Ended(n) => {
                    assert!(n > 0);
                    pieces.ended = true;
                    return pieces;
                }
                Step::Broken(bad) => {
                    assert_eq!(framer.step(b"</stream>", limit), Step::Broken(bad), "for good");
                    pieces.broken = Some(bad);
                    return pieces;
                }
                Step::More => break,
            }
        }
        if end == stream.len() {
            break;
        }
    }
    pieces
}

/// The pieces of a stream, after checking that they are the same however it is cut up.
pub fn frame_within(stream: &[u8], limit: usize) -> Pieces {
    let whole = feed(stream, &[stream.len().max(1)], limit);
    for sizes in [&[1][..], &[2], &[3, 7, 1], &[13, 1, 1, 64]] {
        assert_eq!(feed(stream, sizes, limit), whole, "{}", String::from_utf8_lossy(stream));
    }
    whole
}

pub fn frame(stream: &str) -> Pieces {
    frame_within(stream.as_bytes(), limits::COMMAND)
}

const HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

#[track_caller]
fn breaks(stream: &str, why: BadStream) {
    assert_eq!(frame(stream).broken, Some(why), "{stream:?}");
}

#[test]
fn what_we_write_is_a_stream() {
    // SIMP-3.5-1, SIMP-3.5-2, SIMP-3.5-3, SIMP-3.5-4, SIMP-3.5-6, OC-27
    assert_eq!(write::HEADER, HEADER.as_bytes());
    let mut stream = write::HEADER.to_vec();
    stream.extend_from_slice(write::KEEP_ALIVE);
    stream.extend_from_slice(write::END);
    let pieces = frame_within(&stream, limits::COMMAND);
    assert_eq!(pieces, Pieces { opened: true, ended: true, ..Pieces::default() });
}

#[test]
fn headers_that_are_taken() {
    // SIMP-3.5-2, SIMP-3.5-6, OC-27
    for header in [
        "<?xml version=\"1.0\"?><stream>",
        "<?xml version='1.0'?>\r\n\t <stream>",
        "<?xml version='1.0' encoding='UTF-8'?><stream>",
        "<?xml version='1.0' encoding='utf-8' standalone='yes' ?><stream >",
        "\u{FEFF}<?xml version=\"1.0\"?>\n<stream\n>",
        "<?xml version=\"1.0\"?><!-- <stream> --><?pi <stream>?><stream>",
    ] {
        let pieces = frame(&format!("{header}<properties/></stream>"));
        assert!(pieces.opened && pieces.ended && pieces.objects.len() == 1, "{header:?}: {pieces:?}");
    }
    // OC-29: opened and ended
    for stream in ["<?xml version=\"1.0\"?><stream/>", "<?xml version=\"1.0\"?><stream />"] {
        let pieces = frame(stream);
        assert!(pieces.opened && pieces.ended && pieces.broken.is_none(), "{stream:?}: {pieces:?}");
    }
}

#[test]
fn headers_that_are_not() {
    // SIMP-3.5-2, SIMP-3.5-5, SIMP-3.5-6, OC-26, OC-27
    for (stream, why) in [
        ("<stream>", BadStream::Header),
        (" <?xml version=\"1.0\"?><stream>", BadStream::Header),
        ("\u{FEFF}\u{FEFF}<?xml version=\"1.0\"?><stream>", BadStream::Header),
        ("<?xml version=\"1.1\"?><stream>", BadStream::Header),
        ("<?xmlversion=\"1.0\"?><stream>", BadStream::Header),
        ("<?xml version=\"1.0\" encoding=\"UTF-16\"?><stream>", BadStream::Encoding),
        ("<?xml version=\"1.0\" encoding=\"latin1\"?><stream>", BadStream::Encoding),
        ("<?xml version=\"1.0\"?>x<stream>", BadStream::Header),
        ("<?xml version=\"1.0\"?><!DOCTYPE stream><stream>", BadStream::Doctype),
        ("<?xml version=\"1.0\"?><stream to='x'>", BadStream::Markup),
        ("<?xml version=\"1.0\"?><streams>", BadStream::Markup),
        ("<?xml version=\"1.0\"?><properties/>", BadStream::Markup),
        ("<?xml version=\"1.0\"?></stream>", BadStream::Markup),
        ("<?xml version=\"1.0\"?><?xml version=\"1.0\"?><stream>", BadStream::Markup),
        ("<?xml version=\"1.0\"?><![CDATA[x]]><stream>", BadStream::Text),
        ("<?xml version=\"1.0\"?><stream/x>", BadStream::Markup),
    ] {
        breaks(stream, why);
    }
    // Seen at the first octet that can't be right: nobody waits for more.
    for other in ["G", "\r\n", "\u{16}", "<s", "<?xmp"] {
        assert_eq!(Framer::new().step(other.as_bytes(), 8192), Step::Broken(BadStream::Header), "{other:?}");
    }
}

#[test]
fn between_objects() {
    // SIMP-3.2-1, SIMP-3.2-4, SIMP-3.5-5, OC-26, OC-27
    let pieces = frame(&format!(
        "{HEADER}<properties/>\r\n\t <!-- </stream> <properties> -->\n<?pi </stream> > ?><properties ></properties >\
         <properties\n/><properties><entry key='a'>b</entry></properties\t></stream\n>"
    ));
    assert_eq!(
        pieces.objects,
        [
            "<properties/>",
            "<properties ></properties >",
            "<properties\n/>",
            "<properties><entry key='a'>b</entry></properties\t>"
        ]
    );
    assert!(pieces.ended);
    for (rest, why) in [
        ("x", BadStream::Text),
        ("\u{e9}", BadStream::Text),
        ("&amp;", BadStream::Text),
        ("<![CDATA[ ]]>", BadStream::Text),
        ("<!DOCTYPE x>", BadStream::Doctype),
        ("<!ENTITY x>", BadStream::Markup),
        ("<!-- a -- b -->", BadStream::Markup),
        ("<!-- a --->", BadStream::Markup),
        ("<!-- \u{1} -->", BadStream::Character),
        ("<?XML x?>", BadStream::Markup),
        ("<? x?>", BadStream::Markup),
        ("<??>", BadStream::Markup),
        ("<entry key='a'/>", BadStream::Markup),
        ("<Properties/>", BadStream::Markup),
        ("<propertiesx/>", BadStream::Markup),
        ("<properties x='1'/>", BadStream::Markup),
        ("</properties>", BadStream::Markup),
        ("</stream x>", BadStream::Markup),
        ("</stream/>", BadStream::Markup),
        ("<stream>", BadStream::Markup),
        ("<properties></propertiesx>", BadStream::Markup),
        ("<properties></properties/>", BadStream::Markup),
        ("<properties><!DOCTYPE x></properties>", BadStream::Doctype),
        ("<properties><!x></properties>", BadStream::Markup),
    ] {
        breaks(&format!("{HEADER}{rest}"), why);
    }
    assert_eq!(
        frame_within(b"<?xml version='1.0'?><stream><!-- \xff -->", 8192).broken,
        Some(BadStream::Utf8)
    );
}

#[test]
fn sections_hide_end_tags() {
    // OC-26, SIMP-3.5-5
    for (inside, hidden) in [
        ("<![CDATA[</properties>]]>", true),
        ("<![CDATA[]] ></properties>]]>", true),
        ("<![CDATA[]></properties>]]>", true),
        ("<![CDATA[<!--]]>", true),
        ("<!--</properties>-->", true),
        ("<!--></properties>-->", true),
        ("<!---></properties>-->", true),
        ("<!--<![CDATA[-->", true),
        ("<?x </properties>?>", true),
        ("<?></properties>?>", true),
        ("! ? <a !? \u{e9}!", true),
        // These sections end sooner than they seem to.
        ("<![CDATA[]]></properties>]]>", false),
        ("<![CDATA[]]]></properties>]]>", false),
        ("<!----></properties>-->", false),
        ("<?x?></properties>?>", false),
    ] {
        let element = format!("<properties><entry key='a'>{inside}</entry></properties>");
        let pieces = frame(&format!("{HEADER}{element}<properties/></stream>"));
        if hidden {
            assert_eq!(pieces.objects, [element, "<properties/>".to_owned()]);
        } else {
            let end = element.find("</properties>").unwrap() + "</properties>".len();
            assert_eq!(pieces.objects.first().map(String::as_str), element.get(..end));
        }
    }
}

#[test]
fn sizes() {
    // OC-30: a command over the limit closes; so does a header or a comment
    let element = format!("<properties><entry key='a'>{}</entry></properties>", "x".repeat(400));
    let stream = format!("{HEADER}{element}\n{element}");
    let within = frame_within(stream.as_bytes(), element.len());
    assert_eq!((within.objects.len(), within.broken), (2, None));
    let over = frame_within(stream.as_bytes(), element.len() - 1);
    assert_eq!((over.objects.len(), over.broken), (0, Some(BadStream::TooLarge)));
    for endless in [
        format!("<?xml {}", " ".repeat(600)),
        format!("<?xml version='1.0'?><stream{}", " ".repeat(600)),
        format!("{HEADER}<properties{}", "\n".repeat(600)),
        format!("{HEADER}<properties></properties{}", "\n".repeat(600)),
        format!("{HEADER}<!--{}", "-".repeat(600)),
        format!("{HEADER}<?{}", "?".repeat(600)),
        format!("{HEADER}<properties><![CDATA[{}", "]".repeat(600)),
        format!("{HEADER}<properties>{}", "<".repeat(600)),
    ] {
        assert_eq!(frame_within(endless.as_bytes(), 512).broken, Some(BadStream::TooLarge), "{endless}");
    }
    // White space between commands is never too much: it is dropped as it comes (OC-53).
    let quiet = format!("{HEADER}{}</stream>", "\n".repeat(2000));
    assert!(frame_within(quiet.as_bytes(), 512).ended);
}

#[test]
fn hostile_input_is_not_searched_again_and_again() {
    // OC-30: were the cost the square of the size, this would take many minutes
    for unit in ["<![CDATA[</properties>]]>", "<!---->", "<?a?>", "!?<", "</properties", " ", "]", "-", "<x>"]
    {
        let body = unit.repeat((limits::COMMAND - 200) / unit.len());
        for element in [
            format!("<properties><entry key='a'>{body}</entry></properties>"),
            format!("<properties><!--{body}--></properties>"),
            format!("<properties{}></properties{}>", " ".repeat(60_000), " ".repeat(60_000)),
        ] {
            let stream = format!("{HEADER}{element}</stream>");
            for size in [1, 1400] {
                let pieces = feed(stream.as_bytes(), &[size], limits::COMMAND);
                assert!(!pieces.objects.is_empty() || pieces.broken.is_some());
            }
        }
    }
}

#[test]
fn nothing_counts_after_the_end() {
    // SIMP-3.5-4, OC-29
    let mut framer = Framer::new();
    let stream = b"<?xml version='1.0'?><stream></stream>";
    let mut at = 0;
    while let Step::Skip(n) | Step::Opened(n) | Step::Ended(n) = framer.step(&stream[at..], 512) {
        at += n;
    }
    assert_eq!(at, stream.len());
    assert_eq!(framer.step(b"<properties/>", 512), Step::Skip(13));
    assert_eq!(framer.step(b"", 512), Step::More);
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            HEADER,
            "<properties>",
            "</properties>",
            "<properties/>",
            "<entry key='a'>",
            "<entry key=\"b\"/>",
            "</entry>",
            "<!--",
            "-->",
            "<![CDATA[",
            "]]>",
            "<?",
            "?>",
            "</stream>",
            "<entry key='action'>send</entry>",
            "<entry key='request'>1</entry>",
            "&lt;",
            "&#13;",
            "\r\n",
            "<",
            ">",
            "]",
            "-",
            "!",
            "\u{e9}",
        ])
        .prop_map(str::to_owned),
        "[a-z<>&!?\\-\\] '\"]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_stream_is_the_same_however_cut(cut in any::<u8>(), parts in prop::collection::vec(fragment(), 0..40), header: bool) {
        // SIMP-3.5-5
        let mut stream = vec![cut];
        if header {
            stream.extend_from_slice(HEADER.as_bytes());
        }
        stream.extend_from_slice(parts.concat().as_bytes());
        fuzz::stream(&stream);
    }
}
