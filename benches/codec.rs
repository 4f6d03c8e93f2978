//! What the SIMP codec costs: nanoseconds per command, read and written, best of several rounds.
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
    measure("write        send", || {
        out.clear();
        write::send(&mut out, black_box(1_234_567), &message(black_box(BODY)));
    });
    measure("write        okay", || {
        out.clear();
        write::okay(&mut out, black_box("1234567"), black_box("okay"));
    });
    let Command::Request { object, request: Request::Send(_), .. } =
        Command::read(full.trim_ascii_end(), &mut scratch).unwrap()
    else {
        unreachable!()
    };
    let mut entries = Vec::new();
    write::relayed_entries(&mut entries, &object);
    measure("write        entries to relay, 8", || {
        out.clear();
        write::relayed_entries(&mut out, black_box(&object));
    });
    measure("write        relay", || {
        out.clear();
        write::relay(&mut out, black_box(42), black_box(&entries));
    });
}
