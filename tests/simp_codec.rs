//! The SIMP codec from outside: streams of octets to commands and back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use hearth::limits;
use hearth::simp::command::{Command, Request};
use hearth::simp::framer::{BadStream, Framer, Step};
use hearth::simp::object::Scratch;

/// What a stream holds, piece by piece: objects as they came, then how it stands at its end.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Pieces {
    objects: Vec<Vec<u8>>,
    opened: bool,
    ended: bool,
    broken: Option<BadStream>,
}

/// Feeds the stream in pieces of the given sizes (over and over).
fn feed(stream: &[u8], sizes: &[usize], limit: usize) -> Pieces {
    let mut framer = Framer::new();
    let mut pieces = Pieces { objects: Vec::new(), opened: false, ended: false, broken: None };
    let (mut start, mut end) = (0, 0);
    let mut sizes = sizes.iter().cycle();
    while end < stream.len() && pieces.broken.is_none() && !pieces.ended {
        end = stream.len().min(end + sizes.next().unwrap());
        loop {
            let data = &stream[start..end];
            start += match framer.step(data, limit) {
                Step::Skip(n) => n,
                Step::Opened(n) => {
                    assert!(!pieces.opened);
                    pieces.opened = true;
                    n
                }
                Step::Object(n) => {
                    pieces.objects.push(data[..n].to_vec());
                    n
                }
                Step::Ended(n) => {
                    start += n;
                    pieces.ended = true;
                    break;
                }
                Step::More => break,
                Step::Broken(bad) => {
                    pieces.broken = Some(bad);
                    break;
                }
            };
        }
    }
    pieces
}

/// The same result however it is cut up.
fn frame(stream: &[u8]) -> Pieces {
    let whole = feed(stream, &[stream.len().max(1)], limits::COMMAND);
    for sizes in [&[1][..], &[2], &[3, 7, 1], &[13, 1, 1, 64]] {
        assert_eq!(feed(stream, sizes, limits::COMMAND), whole, "{}", String::from_utf8_lossy(stream));
    }
    whole
}

const LOGIN: &str = r#"<?xml version="1.0"?>
<stream>
<properties><entry key="action">login</entry><entry key="request">1</entry><entry key="user">alice</entry></properties>
</stream>
"#;

#[test]
fn login_example() {
    // SIMP-3.5-1, SIMP-3.5-2, SIMP-3.5-4, SIMP-7.1-1: example (a)
    let pieces = frame(LOGIN.as_bytes());
    assert!(pieces.opened && pieces.ended && pieces.broken.is_none());
    assert_eq!(pieces.objects.len(), 1);
    let mut scratch = Scratch::new();
    let Command::Request { id, request, .. } = Command::read(&pieces.objects[0], &mut scratch).unwrap()
    else {
        panic!("not a request")
    };
    assert_eq!(id, "1");
    assert_eq!(request, Request::Login { user: "alice", algorithms: None });
}
