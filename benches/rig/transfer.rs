//! hearth's load over IMTP and PITP: clients as cheap as can be.
//!
//! As for SIMP: logins are done blocking; then the connections go to the generator, whose texts are made
//! beforehand but for their ids. What comes is told apart by its first line and by the `Content-Length` that
//! this one server writes last in every head.

use std::net::TcpStream;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use memchr::memmem::Finder;
use memchr::{memchr, memrchr};
use sha2::{Digest, Sha256};

use super::Failure;
use super::engine::{Replies, Wire};
use super::lines::push_id;
use super::pipe::{Pipe, Target};

const HEAD_END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"Content-Length: ";

/// One message at the start of what was read.
pub struct Piece<'a> {
    id: &'a [u8],
    /// What stands between its id and the end of the first line.
    pub rest: &'a [u8],
    /// Its payload.
    pub payload: &'a [u8],
    /// All its octets.
    length: usize,
    /// Is it a command?
    command: bool,
}

/// Finds messages.
pub struct Reader(Finder<'static>);

impl Reader {
    /// Ready.
    pub fn new() -> Reader {
        Reader(Finder::new(HEAD_END))
    }

    /// The next message; nothing, if there is no whole one. Lists of mechanisms and NOPs are passed over: their
    /// octets count as the message's.
    pub fn next<'a>(&self, input: &'a [u8]) -> Option<Piece<'a>> {
        let mut start = 0;
        while input.get(start) == Some(&b'=') {
            start += memchr(b'\n', &input[start..])? + 1;
        }
        let head_end = start + self.0.find(&input[start..])?;
        let head = &input[start..head_end];
        let last = &head[memrchr(b'\n', head).map_or(0, |at| at + 1)..];
        let mut length = 0;
        for digit in last.strip_prefix(LENGTH).unwrap_or_default() {
            length = 10 * length + usize::from(digit - b'0');
        }
        let body = head_end + HEAD_END.len();
        let payload = input.get(body..body + length)?;
        let line = &head[..memchr(b'\r', head).unwrap_or(head.len())];
        let space = memchr(b' ', line)?;
        let command = line[0] == b'>';
        Some(Piece { id: &line[1..space], rest: &line[space + 1..], payload, length: body + length, command })
    }

    /// Answers every command in `input` with ok: octets used, and commands answered.
    fn answer_all(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        let (mut used, mut answered) = (0, 0);
        while let Some(piece) = self.next(&input[used..]) {
            used += piece.length;
            if piece.command {
                for part in [b"<", piece.id, b" ok (", piece.rest, b")\r\n\r\n"] {
                    out.extend_from_slice(part);
                }
                answered += 1;
            }
        }
        (used, answered)
    }
}

/// One who answers whatever he is asked with ok, and counts.
pub struct Answerer(Reader);

impl Answerer {
    /// Ready.
    pub fn new() -> Answerer {
        Answerer(Reader::new())
    }

    /// Octets used, and commands answered.
    pub fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        self.0.answer_all(input, out)
    }
}

/// Messages from one user to another.
pub struct Messages {
    reader: Reader,
    /// For each pair what stands behind the id.
    texts: Vec<Vec<u8>>,
}

impl Messages {
    /// Texts for pairs of addresses, with payloads of `body` octets.
    pub fn new(pairs: &[(String, String)], body: usize) -> Messages {
        let payload = "x".repeat(body);
        let texts = pairs.iter().map(|(from, to)| {
            let text = format!(
                " send\r\nSender: im:{from}\r\nInbox: im:{to}\r\nContent-Type: text/plain\r\n\
                 Content-Length: {body}\r\n\r\n{payload}"
            );
            text.into_bytes()
        });
        Messages { reader: Reader::new(), texts: texts.collect() }
    }
}

impl Wire for Messages {
    fn message(&self, pair: usize, id: u64, out: &mut Vec<u8>) {
        out.push(b'>');
        push_id(id, out);
        out.extend_from_slice(&self.texts[pair]);
    }

    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize {
        self.reader.answer_all(input, out).0
    }

    fn replies(&self, input: &[u8]) -> Replies {
        let mut replies = Replies::default();
        while let Some(piece) = self.reader.next(&input[replies.used..]) {
            replies.used += piece.length;
            if piece.rest.starts_with(b"ok ") {
                replies.done += 1;
            } else {
                replies.failed += 1;
            }
        }
        replies
    }
}

/// The client's part of SCRAM-SHA-256 (RFC 5802 3) for the one password and salt that all accounts have: its slow
/// part is done once, so that a login costs the generator no more than the server.
pub struct Keys {
    challenge_end: String,
    client: [u8; 32],
    stored: [u8; 32],
}

impl Keys {
    /// Of the password with this salt, at the least cost.
    ///
    /// # Errors
    /// None that can happen.
    pub fn new(password: &str, salt: &[u8]) -> Result<Keys, Failure> {
        const ITERATIONS: u32 = 4096;
        // PBKDF2 of one block.
        let mut last = hmac(password.as_bytes(), &[salt, &[0, 0, 0, 1]].concat())?;
        let mut salted = last;
        for _ in 1..ITERATIONS {
            last = hmac(password.as_bytes(), &last)?;
            salted.iter_mut().zip(&last).for_each(|(all, one)| *all ^= one);
        }
        let client = hmac(&salted, b"Client Key")?;
        let challenge_end = format!(",s={},i={ITERATIONS}", STANDARD.encode(salt));
        Ok(Keys { challenge_end, client, stored: Sha256::digest(client).into() })
    }

    /// The second `auth`, which answers the challenge to the first.
    ///
    /// # Errors
    /// If it is no challenge for this salt.
    pub fn answer(&self, user: &str, challenge: &str) -> Result<String, Failure> {
        let last = self.prove(&bare(user), challenge)?;
        let length = last.len();
        Ok(format!(">2 auth\r\nContent-Length: {length}\r\n\r\n{last}"))
    }

    fn prove(&self, bare: &str, challenge: &str) -> Result<String, Failure> {
        let nonce = challenge.strip_suffix(&*self.challenge_end);
        let nonce = nonce.ok_or_else(|| Failure(format!("not the challenge expected: {challenge}")))?;
        let without_proof = format!("c=biws,{nonce}");
        let mut proof = hmac(&self.stored, format!("{bare},{challenge},{without_proof}").as_bytes())?;
        proof.iter_mut().zip(&self.client).for_each(|(octet, key)| *octet ^= key);
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }
}

/// What SCRAM calls the bare first message.
fn bare(user: &str) -> String {
    format!("n={user},r=fyko+d2lbbFgONRv9qkxdawL")
}

/// The first `auth`.
pub fn auth(user: &str) -> String {
    let first = format!("n,,{}", bare(user));
    let length = first.len();
    format!(">1 auth\r\nMechanism: SCRAM-SHA-256\r\nContent-Length: {length}\r\n\r\n{first}")
}

/// Asks for all messages to a user.
pub fn listen(user: &str) -> String {
    format!(">3 listen\r\nInbox: im:{user}\r\n\r\n")
}

fn hmac(key: &[u8], text: &[u8]) -> Result<[u8; 32], Failure> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
    mac.update(text);
    Ok(mac.finalize().into_bytes().into())
}

/// A blocking connection, for the login and what comes before the generator takes over.
pub struct Session {
    pipe: Pipe,
    input: Vec<u8>,
    reader: Reader,
}

impl Session {
    /// Connects and logs a user in.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn login(target: &Target, user: &str, keys: &Keys) -> Result<Session, Failure> {
        let pipe = Pipe::open(target, target.address)?;
        let mut session = Session { pipe, input: Vec::new(), reader: Reader::new() };
        // Its list of mechanisms is known: it has to be there, since nothing is said before it.
        session.pipe.fill(&mut session.input)?;
        let challenge = session.ask(&auth(user), "error (auth)")?;
        session.ask(&keys.answer(user, &challenge)?, "ok (auth)")?;
        Ok(session)
    }

    /// Asks for the messages to a user.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn listen(&mut self, user: &str) -> Result<(), Failure> {
        self.ask(&listen(user), "ok (listen)").map(|_| ())
    }

    /// Says something and takes the answer, which must have this status: its payload.
    ///
    /// # Errors
    /// If it has another.
    pub fn ask(&mut self, command: &str, status: &str) -> Result<String, Failure> {
        self.pipe.write(command.as_bytes())?;
        loop {
            if let Some(piece) = self.reader.next(&self.input) {
                let payload = std::str::from_utf8(piece.payload)?.to_owned();
                let said = String::from_utf8_lossy(&self.input[..piece.length]);
                if piece.command || piece.rest != status.as_bytes() {
                    return Err(Failure(format!("instead of {status}: {said}")));
                }
                let length = piece.length;
                self.input.drain(..length);
                return Ok(payload);
            }
            self.pipe.fill(&mut self.input)?;
        }
    }

    /// The connection, and what has been read from it after the last answer.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.pipe.into_stream(), self.input)
    }
}
