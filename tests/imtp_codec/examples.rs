//! The worked examples, octet for octet, both ways: each message is read, and what was read is written.

use hearth::imtp::Protocol;
use hearth::imtp::command::{Auth, Command, Failure, Response};
use hearth::imtp::error_type::{ErrorType, Reason};
use hearth::imtp::framer::{Bounds, Framer, Step};
use hearth::imtp::message::{Header, Kind, Message, Scratch};
use hearth::imtp::method::{Method, Side};
use hearth::imtp::write::{self, Relayed};

use crate::{crlf, feed, ours, with};

/// Writes again what a message says.
pub fn rewritten(message: &Message<'_>, protocol: Protocol, side: Side) -> Vec<u8> {
    let mut extras = Vec::new();
    message.copy_extras(&mut extras);
    let astrength = message.get(Header::Astrength).map(|_| message.astrength());
    let relayed = Relayed { astrength, extras: &extras, visited: None };
    let mut out = Vec::new();
    let start = message.start();
    if start.kind == Kind::Command {
        let command = Command::parse(message, protocol, side, &ours()).unwrap();
        write::command(&mut out, 0, &command, &relayed);
        out.splice(1..2, start.id.bytes());
        return out;
    }
    let Some(method) = Method::of(start.method) else {
        let reason = Reason::parse(message.get(Header::ErrorType).unwrap()).unwrap();
        let failure = Failure { reason, description: None, originator: None, challenge: None };
        write::error(&mut out, start.id, start.method, &failure, &relayed);
        return out;
    };
    match Response::parse(message, method, protocol).unwrap() {
        Response::Ok(okay) if method == Method::StartWi => {
            write::ok_watchers(&mut out, start.id, okay.subscriptions());
        }
        Response::Ok(okay) => {
            write::ok(&mut out, start.id, method, okay.unreliable, okay.payload.as_ref(), &relayed);
        }
        Response::Error(failure) => write::error(&mut out, start.id, start.method, &failure, &relayed),
    }
    out
}

/// Every message of one sender: whole, in pieces, and written again; but for those that we would not write so.
fn check(stream: &[u8], protocol: Protocol, side: Side, not_so: &[&str]) -> usize {
    let whole = feed(stream, &[stream.len()], &Bounds::PROVEN);
    for sizes in [&[1][..], &[2], &[5, 1, 3], &[17]] {
        assert_eq!(feed(stream, sizes, &Bounds::PROVEN), whole);
    }
    let (mut framer, mut scratch) = (Framer::new(), Scratch::new());
    let (mut at, mut messages) = (0, 0);
    while at < stream.len() {
        match framer.step(&stream[at..], &Bounds::PROVEN, &mut scratch) {
            Step::Message(n, message) => {
                let octets = &stream[at..at + n];
                at += n;
                messages += 1;
                if not_so.contains(&message.start().id) {
                    continue;
                }
                let again = rewritten(&message, protocol, side);
                assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(octets));
            }
            Step::Mech(n, list) => {
                let mut again = Vec::new();
                write::mech(&mut again, list.names());
                assert_eq!(again, &stream[at..at + n]);
                at += n;
            }
            Step::Nop(n) => {
                assert_eq!(write::NOP, &stream[at..at + n]);
                at += n;
            }
            other => panic!("{other:?}"),
        }
    }
    messages
}

/// A conversation whose lines say who sends: gives how many messages there were.
fn conversation(text: &str, protocol: Protocol, not_so: &[&str]) -> usize {
    let mut streams: Vec<(&str, String)> = Vec::new();
    for line in text.lines() {
        let (who, rest) = line.split_once(':').unwrap();
        let index = streams.iter().position(|(w, _)| *w == who).unwrap_or_else(|| {
            streams.push((who, String::new()));
            streams.len() - 1
        });
        streams[index].1 += rest.strip_prefix(' ').unwrap_or(rest);
        streams[index].1.push('\n');
    }
    let mut messages = 0;
    for (who, stream) in streams {
        let side = match who {
            "C" | "J>E" | "F>D" | "T>B" => Side::Client,
            "S" | "E>J" | "D>F" | "A>C" => Side::Home,
            _ => Side::Peer,
        };
        messages += check(&crlf(&stream), protocol, side, not_so);
    }
    messages
}

#[test]
fn greeting_nop_and_a_fetch() {
    // COMMON-6.4-1, COMMON-7-1, COMMON-10-4, COMMON-10-5, COMMON-10-7, COMMON-10-8, COMMON-10-9, COMMON-10-10
    // PITP-15.4-1, PITP-15.4-2, COMMON-13-1
    let messages = conversation(
        "S: =mech EXTERNAL SCRAM-SHA-256
C: =nop
C: >7 fetch
C: Watcher: presence:ana@alpha.example
C: Presentity: presence:ben@beta.example
C:
S: <7 ok (fetch)
S: Astrength: strong
S: Content-Length: 53
S:
S: contact = im:ben@beta.example {
S:   status = open
S: }",
        Protocol::Pitp,
        &[],
    );
    assert_eq!(messages, 2);
}

#[test]
fn folds_and_a_relay() {
    // COMMON-8-1, COMMON-10-11, COMMON-10-12, COMMON-10-21, COMMON-10-22, IMTP-16.2-1, IMTP-16.2-2, IMTP-16.2-3
    // IMTP-16.2-9, TOC-49
    let from_client = crlf(
        ">8 send
Sender: im:ana@alpha.example
Inbox:
  im:ben@beta.example
X-Mood: bright and
    cheerful
Content-Length: 7

hello
",
    );
    let onward = crlf(
        ">44 send
Sender: im:ana@alpha.example
Inbox: im:ben@beta.example
X-Mood: bright and
    cheerful
Astrength: strong
Visited: alpha.example
Content-Length: 7

hello
",
    );
    let written = with(&from_client, |message| {
        let command = Command::parse(message, Protocol::Imtp, Side::Client, &ours()).unwrap();
        let mut extras = Vec::new();
        message.copy_extras(&mut extras);
        let relayed =
            Relayed { astrength: Some(message.astrength()), extras: &extras, visited: Some("alpha.example") };
        let mut out = Vec::new();
        write::command(&mut out, 44, &command, &relayed);
        out
    });
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&onward));
    assert_eq!(check(&onward, Protocol::Imtp, Side::Peer, &[]), 1);
    assert_eq!(check(&from_client, Protocol::Imtp, Side::Client, &["8"]), 1);
}

#[test]
fn answers_out_of_order_and_errors_from_beyond() {
    // COMMON-7-2, COMMON-7-3, COMMON-7-4, COMMON-10-18, IMTP-16.1-2, IMTP-16.2-19, COMMON-12-1, COMMON-12-3
    // COMMON-12-7
    let messages = conversation(
        "C: >a listen
C: Inbox: im:ana@alpha.example
C: Except: im:*@spam.example
C: Except: im:*@*.spam.example
C:
C: >b send
C: Sender: im:ana@alpha.example
C: Inbox: im:cleo@beta.example
C: Content-Type: text/plain; charset=UTF-8
C: Content-Length: 6
C:
C: ping
S: <b error (send)
S: Error-Type: no-listeners
S: Error-Description: nobody is at this inbox now
S: Error-Originator: beta.example
S: Astrength: strong
S:
S: <a ok (listen)
S:
T>B: <k1 error (send)
T>B: Error-Type: resources
T>B:
B>A: <q44 error (send)
B>A: Error-Type: resources
B>A: Error-Originator: im:tara@beta.example
B>A: Astrength: strong
B>A:",
        Protocol::Imtp,
        &[],
    );
    assert_eq!(messages, 6);
}

#[test]
fn refusals() {
    // COMMON-10-16, COMMON-10-17, COMMON-10-26, COMMON-12-8, COMMON-12-9
    let stream = crlf(
        ">1 frobnicate
Content-Length: 4

ab
>2 send
Sender: im:ana@alpha.example
Inbox: im:ben@beta.example
Content-Transfer-Encoding: base64
Content-Length: 6

aGk=
",
    );
    let (mut framer, mut scratch) = (Framer::new(), Scratch::new());
    let (mut at, mut answers) = (0, Vec::new());
    while at < stream.len() {
        let Step::Message(n, message) = framer.step(&stream[at..], &Bounds::PROVEN, &mut scratch) else {
            panic!("no message")
        };
        at += n;
        let fault = Command::parse(&message, Protocol::Imtp, Side::Client, &ours()).unwrap_err();
        let said = match fault.error_type() {
            ErrorType::UnknownMethod => String::new(),
            _ => fault.to_string(),
        };
        let start = message.start();
        write::refuse(&mut answers, start.id, start.method, fault.error_type(), &said);
    }
    let expected = crlf(
        "<1 error (frobnicate)
Error-Type: unknown-method

<2 error (send)
Error-Type: malformed
Error-Description: Content-Transfer-Encoding is not allowed

",
    );
    assert_eq!(String::from_utf8_lossy(&answers), String::from_utf8_lossy(&expected));
    assert_eq!(check(&expected, Protocol::Imtp, Side::Home, &[]), 2);
}

#[test]
fn no_document_an_empty_one_and_quotes() {
    // COMMON-9-3, COMMON-10-10, PITP-15.1-1, PITP-15.1-2, PITP-15.1-3
    let messages = conversation(
        r#"C: >1 change
C: Presentity: presence:ana@alpha.example
C: Mapping: 2
C:
C: >2 change
C: Presentity: presence:"ana \"nan\" k"@alpha.example
C: Mapping: 1
C: Content-Length: 0
C:
S: <1 ok (change)
S:
S: <2 error (change)
S: Error-Type: source-authorization
S:"#,
        Protocol::Pitp,
        &[],
    );
    assert_eq!(messages, 4);
}

#[test]
fn subscribing_across_two_domains() {
    // PITP-11.7-1, PITP-11.7-3, PITP-11.7-5, PITP-15.10-1, PITP-15.10-3, PITP-15.11-1, PITP-15.11-3, PITP-15.12-2
    let messages = conversation(
        "J>E: >1 start-wi
J>E: Presentity: presence:joe@example.net
J>E:
E>J: <1 ok (start-wi)
E>J: Subscription: b7Qe/presence:sue@example.net
E>J:
F>D: >1 subscribe
F>D: Subscription: /presence:fred@domain.com
F>D: Presentity: presence:joe@example.net
F>D:
D>E: >a7 subscribe
D>E: Subscription: K3x9/presence:fred@domain.com
D>E: Presentity: presence:joe@example.net
D>E: Astrength: strong
D>E:
E>D: <a7 ok (subscribe)
E>D: Content-Length: 48
E>D:
E>D: contact = im:joe@example.net { status = open }
E>J: >e1 subscribe-notify
E>J: Subscription: K3x9/presence:fred@domain.com
E>J: Presentity: presence:joe@example.net
E>J:
J>E: <e1 ok (subscribe-notify)
J>E:
D>F: <1 ok (subscribe)
D>F: Astrength: strong
D>F: Content-Length: 48
D>F:
D>F: contact = im:joe@example.net { status = open }",
        Protocol::Pitp,
        &[],
    );
    assert_eq!(messages, 8);
}

#[test]
fn a_change_and_who_hears_of_it() {
    // PITP-11.7-6, PITP-15.1-1, PITP-15.2-1, PITP-15.2-2, COMMON-11.4-1
    let messages = conversation(
        "J>E: >2 change
J>E: Presentity: presence:joe@example.net
J>E: Mapping: 3
J>E: Content-Length: 50
J>E:
J>E: contact = im:joe@example.net { status = closed }
E>J: <2 ok (change)
E>J:
E>D: >n1 change-notify
E>D: Presentity: presence:joe@example.net
E>D: Subscription: K3x9/presence:fred@domain.com
E>D: Content-Length: 50
E>D:
E>D: contact = im:joe@example.net { status = closed }
D>F: >d1 change-notify
D>F: Presentity: presence:joe@example.net
D>F: Subscription: /presence:fred@domain.com
D>F: Astrength: strong
D>F: Content-Length: 50
D>F:
D>F: contact = im:joe@example.net { status = closed }
F>D: <d1 ok (change-notify)
F>D:
D>E: <n1 ok (change-notify)
D>E: Astrength: strong
D>E:",
        Protocol::Pitp,
        &[],
    );
    assert_eq!(messages, 6);
}

#[test]
fn terminating_and_unsubscribing() {
    // PITP-15.13-1, PITP-15.14-2, PITP-15.15-1, PITP-15.16-2, PITP-11.7-7, PITP-11.7-9, COMMON-12-6, TOC-87
    let messages = conversation(
        "J>E: >3 terminate
J>E: Presentity: presence:joe@example.net
J>E: Subscription: K3x9/presence:fred@domain.com
J>E:
E>J: <3 ok (terminate)
E>J:
E>J: >e2 unsubscribe-notify
E>J: Subscription: K3x9/presence:fred@domain.com
E>J: Watcher: K3x9/presence:fred@domain.com
E>J: Presentity: presence:joe@example.net
E>J:
E>D: >n2 terminate-notify
E>D: Presentity: presence:joe@example.net
E>D: Subscription: K3x9/presence:fred@domain.com
E>D:
D>F: >d2 terminate-notify
D>F: Presentity: presence:joe@example.net
D>F: Subscription: /presence:fred@domain.com
D>F: Astrength: strong
D>F:
J>E: <e2 ok (unsubscribe-notify)
J>E:
F>D: <d2 ok (terminate-notify)
F>D:
D>E: <n2 ok (terminate-notify)
D>E: Astrength: strong
D>E:
F>D: >2 unsubscribe
F>D: Subscription: /presence:fred@domain.com
F>D: Presentity: presence:joe@example.net
F>D:
D>E: >a8 unsubscribe
D>E: Subscription: K3x9/presence:fred@domain.com
D>E: Presentity: presence:joe@example.net
D>E: Astrength: strong
D>E:
E>D: <a8 error (unsubscribe)
E>D: Error-Type: not-subscribed
E>D:
D>F: <2 error (unsubscribe)
D>F: Error-Type: not-subscribed
D>F: Error-Originator: example.net
D>F: Astrength: strong
D>F:",
        Protocol::Pitp,
        &[],
    );
    assert_eq!(messages, 12);
}

/// A dump as the catalogue prints it.
fn hex(dump: &str) -> Vec<u8> {
    dump.split_whitespace().map(|octet| u8::from_str_radix(octet, 16).unwrap()).collect()
}

const MECH: &str = "3d 6d 65 63 68 20 50 4c 41 49 4e 20 53 43 52 41
4d 2d 53 48 41 2d 32 35 36 0d 0a";

#[test]
fn plain_byte_by_byte() {
    // COMMON-14.1-2, COMMON-14.1-7, COMMON-14.1-10, COMMON-14.1-17, COMMON-14.1-18
    let mut list = Vec::new();
    write::mech(&mut list, ["PLAIN", "SCRAM-SHA-256"]);
    assert_eq!(list, hex(MECH));
    let begin = hex("3e 31 20 61 75 74 68 0d 0a 4d 65 63 68 61 6e 69
73 6d 3a 20 50 4c 41 49 4e 0d 0a 43 6f 6e 74 65
6e 74 2d 4c 65 6e 67 74 68 3a 20 31 32 0d 0a 0d
0a 00 75 73 65 72 00 70 65 6e 63 69 6c");
    let auth = Auth::Begin { mechanism: "PLAIN", initial: Some(b"\0user\0pencil") };
    let mut out = Vec::new();
    write::command(&mut out, 1, &Command::Auth(auth), &Relayed::default());
    assert_eq!(out, begin);
    with(&begin, |message| {
        let read = Command::parse(message, Protocol::Imtp, Side::Client, &ours());
        assert_eq!(read, Ok(Command::Auth(auth)));
    });
    let done = hex("3c 31 20 6f 6b 20 28 61 75 74 68 29 0d 0a 0d 0a");
    let mut out = Vec::new();
    write::ok(&mut out, "1", Method::Auth, None, None, &Relayed::default());
    assert_eq!(out, done);
    for (stream, side) in [(begin, Side::Client), (done, Side::Home), (list, Side::Home)] {
        check(&stream, Protocol::Pitp, side, &[]);
    }
}

#[test]
fn plain_with_a_challenge_and_giving_up() {
    // COMMON-14.1-3, COMMON-14.1-4, COMMON-14.1-5, COMMON-14.1-8, COMMON-14.1-12, COMMON-14.1-13, COMMON-14.1-14
    let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let text = ">1 auth
Mechanism: PLAIN

>2 auth
Content-Length: 12

\0user\0pencil>3 auth
Mechanism: SCRAM-SHA-256
Content-Length: 32

n,,n=user,r=rOprNGfwEbeRWgbNEkqO>4 auth
Abort:

>5 auth
Mechanism: PLAIN
Content-Length: 9

\0user\0pen";
    assert_eq!(check(&crlf(text), Protocol::Imtp, Side::Client, &[]), 5);
    let text = format!(
        "=mech PLAIN SCRAM-SHA-256
<1 error (auth)
Error-Type: sasl-challenge
Content-Length: 0

<2 ok (auth)

<3 error (auth)
Error-Type: sasl-challenge
Content-Length: 86

{challenge}<4 ok (auth)

<5 error (auth)
Error-Type: sasl-failure

"
    );
    assert_eq!(check(&crlf(&text), Protocol::Imtp, Side::Home, &[]), 5);
}

#[test]
fn scram_byte_by_byte() {
    // COMMON-14.1-9, COMMON-14.1-11, COMMON-14.1-13 (RFC 7677 3)
    let client = hex("3e 31 20 61 75 74 68 0d 0a 4d 65 63 68 61 6e 69
73 6d 3a 20 53 43 52 41 4d 2d 53 48 41 2d 32 35
36 0d 0a 43 6f 6e 74 65 6e 74 2d 4c 65 6e 67 74
68 3a 20 33 32 0d 0a 0d 0a 6e 2c 2c 6e 3d 75 73
65 72 2c 72 3d 72 4f 70 72 4e 47 66 77 45 62 65
52 57 67 62 4e 45 6b 71 4f
3e 32 20 61 75 74 68 0d 0a 43 6f 6e 74 65 6e 74
2d 4c 65 6e 67 74 68 3a 20 31 30 36 0d 0a 0d 0a
63 3d 62 69 77 73 2c 72 3d 72 4f 70 72 4e 47 66
77 45 62 65 52 57 67 62 4e 45 6b 71 4f 25 68 76
59 44 70 57 55 61 32 52 61 54 43 41 66 75 78 46
49 6c 6a 29 68 4e 6c 46 24 6b 30 2c 70 3d 64 48
7a 62 5a 61 70 57 49 6b 34 6a 55 68 4e 2b 55 74
65 39 79 74 61 67 39 7a 6a 66 4d 48 67 73 71 6d
6d 69 7a 37 41 6e 64 56 51 3d");
    let server = hex("3c 31 20 65 72 72 6f 72 20 28 61 75 74 68 29 0d
0a 45 72 72 6f 72 2d 54 79 70 65 3a 20 73 61 73
6c 2d 63 68 61 6c 6c 65 6e 67 65 0d 0a 43 6f 6e
74 65 6e 74 2d 4c 65 6e 67 74 68 3a 20 38 36 0d
0a 0d 0a 72 3d 72 4f 70 72 4e 47 66 77 45 62 65
52 57 67 62 4e 45 6b 71 4f 25 68 76 59 44 70 57
55 61 32 52 61 54 43 41 66 75 78 46 49 6c 6a 29
68 4e 6c 46 24 6b 30 2c 73 3d 57 32 32 5a 61 4a
30 53 4e 59 37 73 6f 45 73 55 45 6a 62 36 67 51
3d 3d 2c 69 3d 34 30 39 36
3c 32 20 6f 6b 20 28 61 75 74 68 29 0d 0a 43 6f
6e 74 65 6e 74 2d 4c 65 6e 67 74 68 3a 20 34 36
0d 0a 0d 0a 76 3d 36 72 72 69 54 52 42 69 32 33
57 70 52 52 2f 77 74 75 70 2b 6d 4d 68 55 5a 55
6e 2f 64 42 35 6e 4c 54 4a 52 73 6a 6c 39 35 47
34 3d");
    assert_eq!((client.len(), server.len()), (89 + 138, 153 + 82));
    assert_eq!(check(&client, Protocol::Imtp, Side::Client, &[]), 2);
    assert_eq!(check(&server, Protocol::Imtp, Side::Home, &[]), 2);
    assert_eq!(check(&hex(MECH), Protocol::Imtp, Side::Home, &[]), 0);
}
