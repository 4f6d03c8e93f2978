//! Streams: where each message begins and ends, however the octets come, and when they are cut off.

use hearth::imtp::framer::{BadStream, Bounds, Framer, Step};
use hearth::imtp::fuzz;
use hearth::imtp::message::{Kind, Scratch};
use hearth::limits;
use proptest::prelude::*;

use crate::{Piece, crlf, feed, frame, frame_within, with};

fn message(text: &str) -> Piece {
    Piece::Message(crlf(text))
}

#[track_caller]
fn breaks(stream: &[u8], why: BadStream) {
    let pieces = frame_within(stream, &Bounds::PROVEN);
    assert_eq!(pieces.last(), Some(&Piece::Broken(why)), "{:?}", String::from_utf8_lossy(stream));
}

#[test]
fn notices() {
    // COMMON-10-4, COMMON-10-5, COMMON-10-6, G2, G22
    let names = |names: &[&str]| Piece::Mech(names.iter().map(|n| (*n).to_owned()).collect());
    for (line, piece) in [
        ("=nop\n", Piece::Nop),
        ("=nop \t\n", Piece::Nop),
        ("=mech\n", names(&[])),
        ("=mech PLAIN\n", names(&["PLAIN"])),
        ("=mech A  b_2\t C-3 \n", names(&["A", "b_2", "C-3"])),
        ("=mec8 PLAIN\n", names(&["PLAIN"])),
        ("=future x=y\n", Piece::Nop),
        ("=mechanism PLAIN\n", Piece::Nop),
    ] {
        assert_eq!(frame(line), [piece], "{line:?}");
    }
    for line in
        ["=\n", "= nop\n", "=no_p\n", "=mech A,B\n", "=mech ABCDEFGHIJKLMNOPQRSTU\n", "=\u{e9}\n", "=mech=\n"]
    {
        breaks(&crlf(line), BadStream::StartLine);
    }
    breaks(b"=mech \xff\r\n", BadStream::StartLine);
    breaks(format!("={}\r\n", "x".repeat(limits::START_LINE)).as_bytes(), BadStream::TooLarge);
    let list = "=mech SCRAM-SHA-256 PLAIN\r\n";
    let mut scratch = Scratch::new();
    let Step::Mech(_, list) = Framer::new().step(list.as_bytes(), &Bounds::PROVEN, &mut scratch) else {
        panic!("no list")
    };
    assert!(list.has("plain") && list.has("SCRAM-SHA-256") && !list.has("SCRAM"));
}

#[test]
fn start_lines() {
    // COMMON-10-7, COMMON-10-8, COMMON-10-18, G1, G3, G21
    for (line, kind, id, method) in [
        (">1 send", Kind::Command, "1", "send"),
        (">Az09 \t change-notify \t", Kind::Command, "Az09", "change-notify"),
        ("<1 ok (send)", Kind::Ok, "1", "send"),
        ("<1\tok(send) ", Kind::Ok, "1", "send"),
        ("<1 ok \t(fetch-for-update)", Kind::Ok, "1", "fetch-for-update"),
        ("<1 error (auth)", Kind::Error, "1", "auth"),
        ("<1 nrror (auth)", Kind::Error, "1", "auth"),
    ] {
        with(&crlf(&format!("{line}\n\n")), |message| {
            let start = message.start();
            assert_eq!((start.kind, start.id, start.method), (kind, id, method), "{line}");
            assert_eq!(message.payload(), None);
        });
    }
    // TOC-31
    for line in [
        ">",
        ">1",
        ">1 ",
        "> 1 send",
        "> send",
        ">1send",
        ">1 send x",
        ">1 se_nd",
        ">a-1 send",
        ">\u{e9} send",
        ">1 s\u{e9}nd",
        ">1 send\u{0}",
        "<1 ok",
        "<1 ok send",
        "<1 ok ()",
        "<1 ok (send",
        "<1 ok (send))",
        "<1 ok ( send )",
        "<1 OK (send)",
        "<1 okay (send)",
        "<1 (send)",
        "<ok (send)",
        "<1 ok (send) x",
        ">1 \u{a0}send",
    ] {
        breaks(&crlf(&format!("{line}\n\n")), BadStream::StartLine);
    }
    // Seen at the first octet: nobody waits for more.
    for other in [&b"GET / HTTP/1.1"[..], b"\x16\x03", b" >1 send", b"\0", b"x", b"\xef\xbb\xbf>1 send"] {
        let mut scratch = Scratch::new();
        let step = Framer::new().step(other, &Bounds::PROVEN, &mut scratch);
        assert!(matches!(step, Step::Broken(BadStream::StartLine)), "{other:?}");
    }
}

#[test]
fn line_ends() {
    // TOC-30: never normalised, since another server might see other lines
    for stream in [
        &b"=nop\n"[..],
        b"=nop\r\r\n",
        b"=nop\rx",
        b"\n",
        b"\r\r\n",
        b">1 send\n\n",
        b">1 send\r\nA: b\nC: d\r\n\r\n",
        b">1 send\r\nA: b\rC: d\r\n\r\n",
        b">1 send\r\nA: b\r\r\n\r\n",
        b">1 send\r\nA: b\r\n\n",
        b">1 send\r\nA: b\r\n\r\r\n",
        b">1 send\r\nSender: im:\"a\nInbox: im:x@y\"@b\r\n\r\n",
    ] {
        breaks(stream, BadStream::LineEnd);
    }
    // In a payload they are octets like all others (COMMON-10-2).
    let any: Vec<u8> = (0..=255).chain(*b"\r\n\n\r\r\n>1 send\r\n\r\n").collect();
    let mut stream = format!(">1 send\r\nContent-Length: {}\r\n\r\n", any.len()).into_bytes();
    stream.extend_from_slice(&any);
    let whole = stream.clone();
    stream.extend_from_slice(b"=nop\r\n");
    assert_eq!(frame_within(&stream, &Bounds::PROVEN), [Piece::Message(whole.clone()), Piece::Nop]);
    with(&whole, |message| assert_eq!(message.payload(), Some(&any[..])));
}

#[test]
fn between_messages() {
    // TOC-43
    let eight = "\n".repeat(8);
    let pieces = frame(&format!("{eight}=nop\n{eight}>1 shutdown\n\n{eight}>2 shutdown\n\n"));
    assert_eq!(
        pieces,
        [
            Piece::Skip,
            Piece::Nop,
            Piece::Skip,
            message(">1 shutdown\n\n"),
            Piece::Skip,
            message(">2 shutdown\n\n")
        ]
    );
    assert_eq!(frame(&format!("{eight}\n")).last(), Some(&Piece::Broken(BadStream::EmptyLines)));
}

#[test]
fn content_length() {
    // COMMON-10-10, COMMON-10-24, TOC-31, TOC-42
    for (header, payload) in [
        ("Content-Length: 4", "abcd"),
        ("Content-Length:4", "abcd"),
        ("Content-Length:\t4 \t", "abcd"),
        ("Content-Length:\n  4", "abcd"),
        ("Content-Length: 0000000000000000000000000000000004", "abcd"),
        ("Content-Length: 4\nContent-Length: 2", "abcd"),
        ("Content-Length: 4\nContent-Length: -1", "abcd"),
        ("Content-Length: 0", ""),
        ("content-length: 4\nX: y", ""),
    ] {
        let text = format!(">1 send\n{header}\n\n{payload}");
        assert_eq!(frame(&format!("{text}=nop\n")), [message(&text), Piece::Nop], "{header}");
    }
    with(b">1 send\r\nContent-Length: 0\r\n\r\n", |m| assert_eq!(m.payload(), Some(&b""[..])));
    with(b">1 send\r\ncontent-length: 4\r\n\r\n", |m| assert_eq!(m.payload(), None));
    for length in ["", " ", "-1", "+4", "4x", "x", "4 4", "0x4", "4,4", "4.0", "\u{664}", "4\n 4", "\"4\""] {
        breaks(&crlf(&format!(">1 send\nContent-Length: {length}\n\nabcd")), BadStream::Length);
    }
    // TOC-33
    let huge = "9".repeat(100);
    for length in ["16777217", "4294967296", "9223372036854775808", "18446744073709551620", &huge] {
        breaks(&crlf(&format!(">1 send\nContent-Length: {length}\n\n")), BadStream::TooLarge);
    }
}

#[test]
fn payloads_over_their_limit() {
    // TOC-32, TOC-33: told at once, and what comes of it is not gathered
    for (method, limit) in
        [("send", limits::DOCUMENT), ("auth", limits::AUTH_PAYLOAD), ("frobnicate", limits::DOCUMENT)]
    {
        let head = crlf(&format!(">1 {method}\nA: b\nContent-Length: {}\n\n", limit + 1));
        let mut scratch = Scratch::new();
        let step = Framer::new().step(&head, &Bounds::PROVEN, &mut scratch);
        assert!(matches!(step, Step::Oversized(n, _) if n == head.len()), "{method}: {step:?}");
        let mut stream = head.clone();
        stream.extend(std::iter::repeat_n(b'\n', limit + 1));
        stream.extend_from_slice(b"=nop\r\n");
        for size in [1000, 70_000, stream.len()] {
            let pieces = feed(&stream, &[size], &Bounds::PROVEN);
            assert_eq!(pieces, [Piece::Oversized(head.clone()), Piece::Skip, Piece::Nop], "{method}");
        }
        let mut fits = crlf(&format!(">1 {method}\nContent-Length: {limit}\n\n"));
        fits.extend(std::iter::repeat_n(b'\n', limit));
        assert_eq!(feed(&fits, &[1000], &Bounds::PROVEN), [Piece::Message(fits)]);
    }
    let small = Bounds { headers: 100, count: 9, auth: 10, payload: 3 };
    let stream = crlf(">1 send\nContent-Length: 4\n\nabcd>2 auth\nContent-Length: 10\n\n0123456789");
    let head = crlf(">1 send\nContent-Length: 4\n\n");
    let rest = Piece::Message(stream[head.len() + 4..].to_vec());
    assert_eq!(frame_within(&stream, &small), [Piece::Oversized(head), Piece::Skip, rest]);
}

#[test]
fn limits_of_heads() {
    // TOC-32, TOC-33
    let line = |len: usize| "x".repeat(len);
    let name_of = |len: usize| format!(">1 send\r\n{}: v\r\n\r\n", line(len));
    let value_of = |len: usize| format!(">1 send\r\nX:{}\r\n\r\n", line(len - 2));
    let folded = |lines: usize| format!(">1 send\r\nX: y\r\n{}\r\n", " 012345\r\n".repeat(lines));
    let headers = |count: usize| format!(">1 send\r\n{}\r\n", "X: y\r\n".repeat(count));
    let block = |count: usize| format!(">1 send\r\n{}\r\n", format!("X: {}\r\n", line(995)).repeat(count));
    let id = |len: usize| format!(">{} send\r\n\r\n", line(len));
    let method = |len: usize| format!(">1 {}\r\n\r\n", line(len));
    let start = |len: usize| format!(">1{}send\r\n\r\n", " ".repeat(len - 6));
    for (fits, over, why) in [
        (id(64), id(65), BadStream::StartLine),
        (method(64), method(65), BadStream::StartLine),
        (start(limits::START_LINE), start(limits::START_LINE + 1), BadStream::TooLarge),
        (name_of(64), name_of(65), BadStream::TooLarge),
        (value_of(limits::HEADER_VALUE), value_of(limits::HEADER_VALUE + 1), BadStream::TooLarge),
        (folded(909), folded(910), BadStream::TooLarge),
        (
            headers(limits::HEADER_COUNT.into()),
            headers(usize::from(limits::HEADER_COUNT) + 1),
            BadStream::TooLarge,
        ),
        (block(32), block(33), BadStream::TooLarge),
    ] {
        let whole = Piece::Message(fits.clone().into_bytes());
        assert_eq!(feed(fits.as_bytes(), &[1000], &Bounds::PROVEN), [whole], "{:.40}", fits);
        breaks(over.as_bytes(), why);
    }
    // All patterns that a class may have fit (TOC-34).
    let class = format!(
        ">1 set-class\r\nPresentity: a@b\r\nMapping: 1\r\n{}\r\n",
        "Wpattern: presence:someone@b.example\r\n".repeat(limits::PATTERNS)
    );
    let pieces = feed(class.as_bytes(), &[1000], &Bounds::PROVEN);
    assert_eq!(pieces, [Piece::Message(class.into_bytes())]);
    // Without an end they don't wait for one.
    for endless in
        [format!(">1 send\r\nX: {}", line(8192)), format!(">{}", line(1024)), format!("={}", line(1024))]
    {
        let pieces = feed(endless.as_bytes(), &[endless.len()], &Bounds::PROVEN);
        assert_eq!(pieces, [Piece::Broken(BadStream::TooLarge)]);
    }
    let unproven = block(33);
    let pieces = feed(unproven.as_bytes(), &[1, 400], &Bounds::UNPROVEN);
    assert_eq!(pieces, [Piece::Broken(BadStream::TooLarge)]);
}

#[test]
fn a_message_may_come_octet_by_octet() {
    // COMMON-7-4: were the cost the square of the size, this would take many minutes
    let mut stream = format!(">1 send\r\nX: {}\r\n", "y".repeat(8000));
    stream += &"Y: z\r\n \tz\r\n".repeat(120);
    stream += "Content-Length: 65536\r\n\r\n";
    stream += &"\r".repeat(65536);
    let stream = stream.repeat(8);
    assert_eq!(feed(stream.as_bytes(), &[1], &Bounds::PROVEN).len(), 8);
    let nops = "=nop\r\n".repeat(20_000);
    assert_eq!(feed(nops.as_bytes(), &[1400], &Bounds::PROVEN).len(), 20_000);
}

#[test]
fn an_idle_connection_owns_little() {
    // design 3, design 9
    assert!(size_of::<Framer>() <= 32);
}

fn fragment() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            ">1 send\r\n",
            ">a2 change\r\n",
            ">3 auth\r\n",
            ">4 frobnicate\r\n",
            ">5 subscribe\r\n",
            ">6 listen\r\n",
            ">7 unsubscribe-notify\r\n",
            ">8 insert-mapping\r\n",
            "<9 ok (send)\r\n",
            "<9 error (send)\r\n",
            "<9 error (auth)\r\n",
            "=nop\r\n",
            "=mech PLAIN X\r\n",
            "Sender: im:ana@alpha.example\r\n",
            "Inbox: im:ben@beta.example\r\n",
            "Inbox:\r\n \"b b\"@beta.example\r\n",
            "Presentity: presence:ana@alpha.example\r\n",
            "Subscription: K3/fred@domain.com\r\n",
            "Watcher: /presence:fred@domain.com\r\n",
            "Mapping: 3\r\n",
            "Wpattern: presence:*@*.example.net\r\n",
            "Only: *\r\n",
            "Except: im:x@y\r\n",
            "Visited: a.example\r\n b.example\r\n",
            "Orig-Inbox: x@y\r\n",
            "Mechanism: PLAIN\r\n",
            "Abort:\r\n",
            "Error-Type: loop\r\n",
            "Error-Type: sasl-challenge\r\n",
            "Error-Description: a\r\n b\r\n",
            "Content-Type: text/plain;\r\n charset=\"utf-8\"\r\n",
            "AStrength: weak\r\n",
            "X-Mood: \u{e9}\r\n",
            "Content-Length: 4\r\n",
            "Content-Length: 70\r\n",
            "\r\n",
            "\r\n",
            "\r\n",
            "\r\nabcd",
            "\r",
            "\n",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z:@/*\". \t<>=-]{0,6}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_stream_is_the_same_however_cut(cut in any::<u8>(), parts in prop::collection::vec(fragment(), 0..24)) {
        // COMMON-7-1, COMMON-7-4, COMMON-10-22
        let mut stream = vec![cut];
        stream.extend_from_slice(parts.concat().as_bytes());
        fuzz::stream(&stream);
    }

    #[test]
    fn a_message_of_any_headers(cut in any::<u8>(), start in 0..11_usize, parts in prop::collection::vec(12..38_usize, 0..12)) {
        // COMMON-10-21, COMMON-10-24, COMMON-10-25
        let texts = [">1 send\r\n", ">2 change\r\n", ">3 auth\r\n", ">5 subscribe\r\n", ">6 listen\r\n",
            ">7 unsubscribe-notify\r\n", ">8 insert-mapping\r\n", "<9 ok (send)\r\n", "<9 error (send)\r\n",
            "<9 error (auth)\r\n", ">1 fetch\r\n"];
        let headers = ["Sender: im:ana@alpha.example\r\n", "Inbox:\r\n \"b b\"@beta.example\r\n", "Sender: x:y\r\n",
            "Presentity: presence:ana@alpha.example\r\n", "Subscription: K3 / fred@domain.com\r\n",
            "Subscription: /PRESENCE:a@b\r\n", "Watcher: fred@domain.com\r\n", "Mapping: 3\r\n",
            "Wpattern: *@*.example.net\r\n", "Only: *\r\n", "Except: im:x@y\r\n", "Visited: a.example\r\n b.example\r\n",
            "Visited: c\r\n", "Orig-Inbox: x@y\r\n", "Orig-Sender: im:z@y\r\n", "Mechanism: PLAIN\r\n", "Abort: x\r\n",
            "Error-Type: loop\r\n", "Error-Type: sasl-challenge\r\n", "Error-Description: a\r\n b\r\n",
            "Content-Type: text/plain;\r\n charset=\"utf-8\"\r\n", "Content-Type: application/octet-stream\r\n",
            "AStrength: weak\r\n", "X-Mood: \u{e9}\r\n", "Content-Length: 4\r\n", "Content-Length: 0\r\n"];
        let mut stream = vec![cut];
        stream.extend_from_slice(texts[start].as_bytes());
        for part in parts {
            stream.extend_from_slice(headers[part - 12].as_bytes());
        }
        stream.extend_from_slice(b"\r\nabcd");
        fuzz::stream(&stream);
    }
}
