//! The codec of IMTP and PITP from outside: streams of octets to messages, messages to commands, and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod commands;
mod examples;
mod framing;
mod identifiers;
mod relaying;
mod responses;
mod writing;

use hearth::hub::address::{Domain, Domains};
use hearth::imtp::Protocol;
use hearth::imtp::command::{Command, Fault, Response};
use hearth::imtp::framer::{BadStream, Bounds, Framer, Step};
use hearth::imtp::message::{Message, Scratch};
use hearth::imtp::method::{Method, Side};

/// The domain whose local parts fold.
fn ours() -> Domains {
    Domains::new(vec![Domain::parse("alpha.example").unwrap()])
}

/// Text with the line ends of the wire.
fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// What a step was, without what it borrows.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Skip,
    Nop,
    Mech(Vec<String>),
    Message(Vec<u8>),
    Oversized(Vec<u8>),
    Broken(BadStream),
}

/// Feeds a stream in pieces of these sizes, over and over; runs of skipped octets count as one piece.
fn feed(stream: &[u8], sizes: &[usize], bounds: &Bounds) -> Vec<Piece> {
    let mut framer = Framer::new();
    let mut scratch = Scratch::new();
    let mut pieces = Vec::new();
    let (mut start, mut end) = (0, 0);
    for size in sizes.iter().cycle() {
        end = stream.len().min(end + size);
        loop {
            let data = &stream[start..end];
            let (taken, piece) = match framer.step(data, bounds, &mut scratch) {
                Step::More => break,
                Step::Skip(n) => (n, Piece::Skip),
                Step::Nop(n) => (n, Piece::Nop),
                Step::Mech(n, list) => (n, Piece::Mech(list.names().map(str::to_owned).collect())),
                Step::Message(n, _) => (n, Piece::Message(data[..n].to_vec())),
                Step::Oversized(n, message) => {
                    assert_eq!(message.payload(), None);
                    (n, Piece::Oversized(data[..n].to_vec()))
                }
                Step::Broken(bad) => {
                    let again = framer.step(b"=nop\r\n", bounds, &mut scratch);
                    assert!(matches!(again, Step::Broken(again) if again == bad), "for good");
                    pieces.push(Piece::Broken(bad));
                    return pieces;
                }
            };
            start += taken;
            if piece != Piece::Skip || pieces.last() != Some(&Piece::Skip) {
                pieces.push(piece);
            }
        }
        if end == stream.len() {
            break;
        }
    }
    pieces
}

/// The pieces of a stream, after checking that they are the same however it is cut up.
fn frame_within(stream: &[u8], bounds: &Bounds) -> Vec<Piece> {
    let whole = feed(stream, &[stream.len().max(1)], bounds);
    for sizes in [&[1][..], &[2], &[3, 7, 1], &[13, 1, 1, 64], &[1500]] {
        assert_eq!(feed(stream, sizes, bounds), whole, "{}", String::from_utf8_lossy(stream));
    }
    whole
}

fn frame(stream: &str) -> Vec<Piece> {
    frame_within(&crlf(stream), &Bounds::PROVEN)
}

/// Does something with the one message of these octets.
#[track_caller]
fn with<R>(octets: &[u8], read: impl FnOnce(&Message<'_>) -> R) -> R {
    let mut scratch = Scratch::new();
    match Framer::new().step(octets, &Bounds::PROVEN, &mut scratch) {
        Step::Message(n, message) if n == octets.len() => read(&message),
        other => panic!("{other:?} of {:?}", String::from_utf8_lossy(octets)),
    }
}

/// Does something with the command of this text.
#[track_caller]
fn command<R>(
    text: &str,
    protocol: Protocol,
    side: Side,
    read: impl FnOnce(Result<Command<'_>, Fault>) -> R,
) -> R {
    with(&crlf(text), |message| read(Command::parse(message, protocol, side, &ours())))
}

/// Does something with the response of this text.
#[track_caller]
fn response<R>(
    text: &str,
    method: Method,
    protocol: Protocol,
    read: impl FnOnce(Result<Response<'_>, Fault>) -> R,
) -> R {
    with(&crlf(text), |message| read(Response::parse(message, method, protocol)))
}
