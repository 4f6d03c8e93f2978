//! What the codecs of SIMP and of IMTP cost: nanoseconds per command, read and written, best of several rounds.
//!
//! `cargo bench --bench codec`
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::hint::black_box;
use std::time::Instant;

use hearth::limits;
use hearth::simp::command::{Command, Ima, Message, Parties, Request};
use hearth::simp::framer::{Framer, Step};
use hearth::simp::object::{Object, Scratch};
use hearth::simp::write;

const BODY: &str = "The quick brown fox jumps over the lazy dog, sixty-four octets..";

fn message(body: &str) -> Message<'_> {
    Message {
        parties: Parties {
            to: Ima::parse("bob@example.net").unwrap(),
            from: Ima::parse("alice@example.org").unwrap(),
        },
        reply_to: None,
        content_type: "text/plain",
        body,
    }
}

/// Prints the best of twenty rounds.
fn measure(name: &str, mut operation: impl FnMut()) {
    const TIMES: u32 = 20_000;
    let best = (0..20)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..TIMES {
                operation();
            }
            begun.elapsed().as_nanos() as f64 / f64::from(TIMES)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:44} {best:8.1} ns");
}

/// A framer inside a stream.
fn opened() -> Framer {
    let mut framer = Framer::new();
    let mut data = write::HEADER;
    while let Step::Skip(n) | Step::Opened(n) = framer.step(data, limits::COMMAND) {
        data = &data[n..];
    }
    framer
}

/// A message as it comes from a client and goes to another.
fn imtp(out: &mut Vec<u8>) {
    use hearth::hub::address::Domains;
    use hearth::imtp::Protocol::Imtp;
    use hearth::imtp::command::{Command, Response};
    use hearth::imtp::framer::{Bounds, Framer, Step};
    use hearth::imtp::message::{Message, Scratch};
    use hearth::imtp::method::{Method, Side};
    use hearth::imtp::write::{self, Relayed};

    let mut send = b">1234567 send\r\nSender: im:alice@example.org\r\nInbox: im:bob@example.net\r\n\
Content-Type: text/plain\r\nContent-Length: 64\r\n\r\n"
        .to_vec();
    send.extend_from_slice(BODY.as_bytes());
    let ours = Domains::default();
    let mut scratch = Scratch::new();
    fn one<'a>(octets: &'a [u8], scratch: &'a mut Scratch) -> Message<'a> {
        let Step::Message(_, message) = Framer::new().step(octets, &Bounds::PROVEN, scratch) else {
            unreachable!()
        };
        message
    }
    measure(&format!("imtp frame   send, {} octets", send.len()), || {
        black_box(one(black_box(&send), &mut scratch).payload());
    });
    measure("imtp command send", || {
        let message = one(black_box(&send), &mut scratch);
        black_box(Command::parse(&message, Imtp, Side::Client, &ours).unwrap());
    });
    measure("imtp relay   send, read and written", || {
        out.clear();
        let message = one(black_box(&send), &mut scratch);
        let command = Command::parse(&message, Imtp, Side::Client, &ours).unwrap();
        let relayed =
            Relayed { astrength: Some(message.astrength()), extras: &[], visited: Some("example.org") };
        write::command(out, 1_234_567, &command, &relayed);
    });
    let ok = b"<1234567 ok (send)\r\n\r\n";
    measure("imtp answer  ok, read and written", || {
        out.clear();
        let message = one(black_box(ok), &mut scratch);
        assert!(matches!(Response::parse(&message, Method::Send, Imtp), Ok(Response::Ok(_))));
        write::ok(out, "1234567", Method::Send, None, None, &Relayed::default());
    });
}

fn main() {
    let mut send = Vec::new();
    write::send(&mut send, 1_234_567, &message(BODY));
    let mut okay = Vec::new();
    write::okay(&mut okay, "1234567", "okay");
    // The most that a `send` usually has: eight entries, something escaped.
    let full = b"<properties><entry key=\"action\">send</entry><entry key=\"request\">1234567</entry>\
<entry key=\"to\">bob@example.net</entry><entry key=\"from\">alice@example.org</entry>\
<entry key=\"reply to\">team@example.org</entry><entry key=\"type\">text/plain</entry>\
<entry key=\"thread\">0c9f</entry><entry key=\"body\">3 &lt; 4 &amp; lunch? The quick brown fox jumps over</entry></properties>\n";

    let mut scratch = Scratch::new();
    for (name, command) in [("send", &send[..]), ("send, 8 entries, escapes", full), ("okay", &okay[..])] {
        let mut framer = opened();
        measure(&format!("frame        {name}, {} octets", command.len()), || {
            let Step::Object(n) = framer.step(black_box(command), limits::COMMAND) else { unreachable!() };
            let Step::Skip(_) = framer.step(&command[n..], limits::COMMAND) else { unreachable!() };
        });
        let object = command.trim_ascii_end();
        measure(&format!("object       {name}"), || {
            black_box(Object::parse(black_box(object), &mut scratch).unwrap().len());
        });
        measure(&format!("command      {name}"), || {
            assert!(!matches!(Command::read(black_box(object), &mut scratch).unwrap(), Command::Ignored));
        });
    }

    let mut out = Vec::with_capacity(64 * 1024);
    imtp(&mut out);
    measure("write        send", || {
        out.clear();
        write::send(&mut out, black_box(1_234_567), &message(black_box(BODY)));
    });
    measure("write        okay", || {
        out.clear();
        write::okay(&mut out, black_box("1234567"), black_box("okay"));
    });
    let Command::Request { object, request: Request::Send(sent), .. } =
        Command::read(full.trim_ascii_end(), &mut scratch).unwrap()
    else {
        unreachable!()
    };
    let mut entries = Vec::new();
    write::relayed_entries(&mut entries, &object, &sent.parties);
    measure("write        entries to relay, 8", || {
        out.clear();
        write::relayed_entries(&mut out, black_box(&object), &sent.parties);
    });
    measure("write        relay", || {
        out.clear();
        write::relay(&mut out, black_box(42), black_box(&entries));
    });
}
