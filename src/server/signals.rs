//! The process's signals, heard by the loop through pipes of their own.

use std::io::{self, Read};
use std::os::unix::net::UnixStream as StdStream;
use std::sync::Arc;

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::{pipe, unregister};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    /// SIGTERM, SIGINT.
    End,
    /// SIGHUP.
    Reload,
}

/// The signals we listen to, and what they mean.
const HEARD: [(i32, Signal); 3] = [(SIGTERM, Signal::End), (SIGINT, Signal::End), (SIGHUP, Signal::Reload)];

/// The pipes.
#[derive(Debug)]
pub(super) struct Signals(Vec<(UnixStream, Signal, SigId)>);

impl Signals {
    /// Listens from now on; `token` names a pipe by its index.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn install(registry: &Registry, token: impl Fn(u32) -> Token) -> io::Result<Signals> {
        // A file at the process's limit is a failed write, not an end.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        let mut pipes = Vec::new();
        for (index, (number, signal)) in HEARD.into_iter().enumerate() {
            let (theirs, ours) = StdStream::pair()?;
            ours.set_nonblocking(true)?;
            let mut ours = UnixStream::from_std(ours);
            registry.register(&mut ours, token(index as u32), Interest::READABLE)?;
            pipes.push((ours, signal, pipe::register(number, theirs)?));
        }
        Ok(Signals(pipes))
    }

    /// Something came through a pipe: what does it mean?
    pub(super) fn heard(&mut self, index: u32) -> Option<Signal> {
        let (pipe, signal, _) = self.0.get_mut(index as usize)?;
        let mut drain = [0; 64];
        let count = pipe.read(&mut drain).unwrap_or(0);
        (count > 0).then_some(*signal)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (_, _, id) in self.0.drain(..) {
            unregister(id);
        }
    }
}
