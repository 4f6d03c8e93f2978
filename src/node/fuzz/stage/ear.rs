//! The other end of a connection listens: what the node writes is well-formed in the protocol that is spoken,
//! and what it asks is remembered for an answer.

use crate::federation::Protocol;
use crate::imtp::{self, error_type::ErrorType, message, method::Method, method::Side, write::Relayed};
use crate::limits;
use crate::simp;
use crate::simp::object::{self, BadObject, Concerns, Malformed};

/// See the module.
pub(super) struct Ear {
    wire: Wire,
    input: Vec<u8>,
    /// Ids and methods of requests that want an answer, oldest first.
    pub asked: Vec<(String, String)>,
}

enum Wire {
    Simp(simp::framer::Framer, Box<object::Scratch>),
    Imtp(imtp::framer::Framer, Box<message::Scratch>, imtp::Protocol, Side),
}

impl Ear {
    /// `link`: the node has connected to a server of another domain.
    pub fn new(protocol: Protocol, link: bool) -> Ear {
        let side = if link { Side::Peer } else { Side::Home };
        let imtp = |protocol| {
            Wire::Imtp(imtp::framer::Framer::new(), Box::new(message::Scratch::new()), protocol, side)
        };
        let wire = match protocol {
            Protocol::Simp => Wire::Simp(simp::framer::Framer::new(), Box::new(object::Scratch::new())),
            Protocol::Imtp => imtp(imtp::Protocol::Imtp),
            Protocol::Pitp => imtp(imtp::Protocol::Pitp),
        };
        Ear { wire, input: Vec::new(), asked: Vec::new() }
    }

    /// Listens.
    pub fn hear(&mut self, said: &[u8]) {
        self.input.extend_from_slice(said);
        let mut used = 0;
        while let Some(rest) = self.input.get(used..).filter(|rest| !rest.is_empty()) {
            let taken = match &mut self.wire {
                Wire::Simp(framer, scratch) => simp_step(framer, scratch, rest, &mut self.asked),
                Wire::Imtp(framer, scratch, protocol, side) => {
                    imtp_step(framer, scratch, (*protocol, *side), rest, &mut self.asked)
                }
            };
            match taken {
                Some(taken) => used += taken,
                None => break,
            }
        }
        self.input.drain(..used);
        assert!(self.asked.len() <= 10_000);
    }

    /// An answer to the oldest request.
    pub fn answer(&mut self, how: u8) -> Option<Vec<u8>> {
        if self.asked.is_empty() {
            return None;
        }
        let (id, name) = self.asked.remove(0);
        let mut out = Vec::new();
        match (&self.wire, how % 3) {
            (Wire::Simp(..), 0) => simp::write::okay(&mut out, &id, "okay"),
            (Wire::Simp(..), _) => simp::write::error(&mut out, &id, "no"),
            (Wire::Imtp(..), 0) => {
                let method = Method::of(&name)?;
                imtp::write::ok(&mut out, &id, method, None, None, &Relayed::default());
            }
            (Wire::Imtp(..), 1) => {
                imtp::write::refuse(&mut out, &id, &name, ErrorType::NoListeners, "no");
            }
            (Wire::Imtp(..), _) => {
                imtp::write::refuse(&mut out, &id, &name, ErrorType::SourceAuthorization, "no");
            }
        }
        Some(out)
    }
}

fn simp_step(
    framer: &mut simp::framer::Framer,
    scratch: &mut object::Scratch,
    rest: &[u8],
    asked: &mut Vec<(String, String)>,
) -> Option<usize> {
    use simp::command::Command;
    use simp::framer::Step;
    match framer.step(rest, limits::COMMAND) {
        Step::More => None,
        Step::Skip(n) | Step::Opened(n) | Step::Ended(n) => Some(n),
        Step::Object(n) => {
            let object = rest.get(..n).unwrap_or_default();
            match Command::read(object, scratch) {
                Ok(Command::Request { id, .. }) => asked.push((id.to_owned(), String::new())),
                Ok(_) => {}
                // How he has named his request is his affair, and it comes back whole.
                Err(BadObject::Malformed(Malformed { concerns: Concerns::Response(id), .. }))
                    if id.len() > limits::SEQUENCE_ID => {}
                Err(bad) => unreachable!("{bad:?} in {}", String::from_utf8_lossy(object)),
            }
            Some(n)
        }
        Step::Broken(bad) => unreachable!("{bad:?} at {}", String::from_utf8_lossy(rest)),
    }
}

fn imtp_step(
    framer: &mut imtp::framer::Framer,
    scratch: &mut message::Scratch,
    (protocol, side): (imtp::Protocol, Side),
    rest: &[u8],
    asked: &mut Vec<(String, String)>,
) -> Option<usize> {
    use imtp::command::Command;
    use imtp::framer::{Bounds, Step};
    match framer.step(rest, &Bounds::HOME, scratch) {
        Step::More => None,
        Step::Skip(n) | Step::Nop(n) | Step::Mech(n, _) => Some(n),
        Step::Message(n, message) => {
            let start = message.start();
            let written = || String::from_utf8_lossy(rest.get(..n).unwrap_or_default()).into_owned();
            assert_eq!(message.fault(), None, "{}", written());
            if start.kind == message::Kind::Command {
                let ours = super::Domains::default();
                let read = Command::parse(&message, protocol, side, &ours);
                assert!(read.is_ok(), "{read:?} in {}", written());
                asked.push((start.id.to_owned(), start.method.to_owned()));
            }
            Some(n)
        }
        Step::Oversized(..) | Step::Broken(_) => {
            unreachable!("what was written can't be read: {}", String::from_utf8_lossy(rest))
        }
    }
}
