//! The yardstick: a relay that forwards what it reads between paired sockets and does nothing else.
//!
//! It runs as a process of its own (the benchmark's own binary with `relay ADDRESS`), as lean as a mio program can be: edge-triggered,
//! one read and one write for each wake-up of a socket, nothing allocated after the start. The first
//! connection accepted is paired with the second, the third with the fourth, and so on.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::Failure;

const LISTENER: Token = Token(usize::MAX);
/// More than sixteen messages of any kind the benchmark sends, so that a short read means "drained".
const BUFFER: usize = 64 * 1024;

/// Is this process to be the relay? Then it is, until the generator ends it.
///
/// # Errors
/// Whatever the sockets say.
pub fn asked_for() -> Result<bool, Failure> {
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() != Some("relay") {
        return Ok(false);
    }
    run(words.next().unwrap_or_default().parse()?)?;
    Ok(true)
}

/// Listens, prints the address on a line of its own, and relays until the generator ends it.
fn run(address: SocketAddr) -> io::Result<()> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address)?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("{}", listener.local_addr()?);
    let mut sockets: Vec<TcpStream> = Vec::new();
    let mut events = Events::with_capacity(1024);
    let mut buffer = vec![0; BUFFER];
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            match event.token() {
                LISTENER => accept(&poll, &listener, &mut sockets)?,
                Token(index) => forward(&mut sockets, index, &mut buffer)?,
            }
        }
    }
}

fn accept(poll: &Poll, listener: &TcpListener, sockets: &mut Vec<TcpStream>) -> io::Result<()> {
    loop {
        let (mut socket, _) = match listener.accept() {
            Ok(accepted) => accepted,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        };
        socket.set_nodelay(true)?;
        poll.registry().register(&mut socket, Token(sockets.len()), Interest::READABLE)?;
        sockets.push(socket);
    }
}

/// One read, one write. The generator never has more under way than the socket buffers hold, so a
/// write that can't take all of it is an error of the benchmark.
fn forward(sockets: &mut [TcpStream], index: usize, buffer: &mut [u8]) -> io::Result<()> {
    loop {
        let count = match sockets[index].read(buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e),
        };
        // The other one of 0 and 1, of 2 and 3, ...
        sockets[index ^ 1].write_all(&buffer[..count])?;
        if count < buffer.len() {
            return Ok(());
        }
    }
}
