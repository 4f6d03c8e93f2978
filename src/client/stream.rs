//! Input of one connection, from octets to commands.

use super::Error;
use crate::limits;
use crate::simp::command::Command;
use crate::simp::framer::{Framer, Step};
use crate::simp::object::{BadObject, Malformed, Scratch};

/// What the server has said next.
pub(super) enum Said<'a> {
    /// A well-formed command.
    Command(Command<'a>),
    /// A command that is none; the stream goes on.
    Malformed(Malformed<'a>),
    /// `</stream>`: it says no more.
    End,
}

/// Octets received and not yet understood.
#[derive(Debug, Default)]
pub(super) struct Reader {
    framer: Framer,
    input: Vec<u8>,
    /// How many of `input` are dealt with.
    used: usize,
    scratch: Scratch,
}

impl Reader {
    /// Takes in what was read.
    pub(super) fn receive(&mut self, data: &[u8]) {
        self.input.drain(..self.used);
        self.used = 0;
        self.input.extend_from_slice(data);
    }

    /// The next thing said, if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<Said<'_>>, Error> {
        let length = loop {
            let rest = self.input.get(self.used..).unwrap_or_default();
            match self.framer.step(rest, limits::COMMAND) {
                Step::Skip(n) | Step::Opened(n) => self.used += n,
                Step::Object(n) => break n,
                Step::Ended(n) => {
                    self.used += n;
                    return Ok(Some(Said::End));
                }
                Step::More => return Ok(None),
                Step::Broken(bad) => return Err(bad.into()),
            }
        };
        let from = self.used;
        self.used += length;
        let object = self.input.get(from..self.used).unwrap_or_default();
        match Command::read(object, &mut self.scratch) {
            Ok(command) => Ok(Some(Said::Command(command))),
            Err(BadObject::Malformed(malformed)) => Ok(Some(Said::Malformed(malformed))),
            Err(BadObject::Stream(bad)) => Err(bad.into()),
        }
    }
}
