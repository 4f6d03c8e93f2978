//! Input of one connection, from octets to messages.

use crate::client::Error;
use crate::imtp::framer::{BadStream, Bounds, Framer, Mechanisms, Step};
use crate::imtp::message::{Message, Scratch};

/// What the server has said next.
pub(super) enum Said<'a> {
    /// Nothing that matters.
    Nothing,
    /// Its mechanisms.
    Mech(Mechanisms<'a>),
    /// A command or response.
    Message(Message<'a>),
    /// The same without its payload, which is larger than any may be.
    Oversized(Message<'a>),
}

/// Octets received and not yet understood.
#[derive(Debug)]
pub(super) struct Wire {
    framer: Framer,
    bounds: Bounds,
    input: Vec<u8>,
    /// How many of `input` are dealt with.
    used: usize,
    scratch: Scratch,
}

impl Wire {
    pub fn new() -> Wire {
        Wire {
            framer: Framer::new(),
            bounds: Bounds::UNPROVEN,
            input: Vec::new(),
            used: 0,
            scratch: Scratch::new(),
        }
    }

    /// The server has shown that it is ours: it may say more.
    pub fn prove(&mut self) {
        self.bounds = Bounds::HOME;
    }

    /// Takes in what was read.
    pub fn receive(&mut self, data: &[u8]) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(data);
    }

    /// The next thing said, if it is complete.
    pub fn step(&mut self) -> Result<Option<Said<'_>>, Error> {
        let Wire { framer, bounds, input, used, scratch } = self;
        let rest = input.get(*used..).unwrap_or_default();
        let (count, said) = match framer.step(rest, bounds, scratch) {
            Step::Skip(n) | Step::Nop(n) => (n, Said::Nothing),
            Step::Mech(n, list) => (n, Said::Mech(list)),
            Step::Message(n, message) => (n, Said::Message(message)),
            Step::Oversized(n, message) => (n, Said::Oversized(message)),
            Step::More => return Ok(None),
            Step::Broken(bad) => return Err(broken(bad)),
        };
        *used += count;
        Ok(Some(said))
    }
}

fn broken(bad: BadStream) -> Error {
    Error::Server(bad.to_string())
}
