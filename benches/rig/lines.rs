//! The relay's load: a message is a line with a number and a body, the reply a short line.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use memchr::memchr_iter;

use super::Failure;
use super::engine::{Conn, Load, Replies, Wire};
use super::proc::{self, Process};

/// Lines of fixed sizes.
pub struct Lines {
    body: Vec<u8>,
    reply: Vec<u8>,
}

impl Wire for Lines {
    fn message(&self, _: usize, id: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"send ");
        push_id(id, out);
        out.extend_from_slice(&self.body);
        out.push(b'\n');
    }

    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut start = 0;
        for end in memchr_iter(b'\n', input) {
            out.extend_from_slice(b"okay ");
            out.extend_from_slice(&input[start + 5..start + 15]);
            out.extend_from_slice(&self.reply);
            out.push(b'\n');
            start = end + 1;
        }
        start
    }

    fn replies(&self, input: &[u8]) -> Replies {
        let mut replies = Replies::default();
        for end in memchr_iter(b'\n', input) {
            replies.done += 1;
            replies.used = end + 1;
        }
        replies
    }
}

/// Ten digits.
pub fn push_id(id: u64, out: &mut Vec<u8>) {
    let mut digits = *b"0000000000";
    let mut rest = id;
    for digit in digits.iter_mut().rev() {
        *digit += (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

/// Starts a relay and the pairs to load it with: lines with bodies of `body` octets, and replies with
/// `reply` octets beyond the number.
///
/// # Errors
/// If the relay does not start.
pub fn start(pairs: usize, body: usize, reply: usize) -> Result<(Process, Load<Lines>), Failure> {
    let (process, lines, connected) = prepare(pairs, body, reply)?;
    Ok((process, Load::new(lines, connected)?))
}

/// The relay, its lines, and pairs of connections: the sender's, the recipient's.
pub type Prepared = (Process, Lines, Vec<(Conn, Conn)>);

/// The same, for another generator.
///
/// # Errors
/// If the relay does not start.
pub fn prepare(pairs: usize, body: usize, reply: usize) -> Result<Prepared, Failure> {
    let mut command = proc::on_core(proc::SERVER_CORE, &std::env::current_exe()?);
    command.args(["relay", "127.0.0.1:0"]).stdout(Stdio::piped());
    let mut process = Process::start(command)?;
    let mut line = String::new();
    BufReader::new(process.stdout().ok_or("no output")?).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse().map_err(|_| "the relay did not say where it listens")?;
    let mut connected = Vec::with_capacity(pairs);
    for _ in 0..pairs {
        let sender = Conn::new(TcpStream::connect(address)?, Vec::new())?;
        let receiver = Conn::new(TcpStream::connect(address)?, Vec::new())?;
        connected.push((sender, receiver));
    }
    Ok((process, Lines { body: vec![b'x'; body], reply: vec![b'x'; reply] }, connected))
}
