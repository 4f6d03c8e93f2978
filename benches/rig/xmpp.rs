//! Load over XMPP (RFC 6120, 6121, XEP-0184): clients as cheap as can be.
//!
//! As for the others: logins are done blocking; then the connections go to the generator, whose texts are made
//! beforehand but for their ids, and whose answers are found by searching for what these servers are known to
//! write, not by a parser.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::{Finder, find};
use ring::{digest, hmac, pbkdf2};

use super::Failure;
use super::crowd;
use super::engine::{Conn, Replies, Wire};
use super::lines::push_id;
use super::pipe::{Pipe, Target};

/// The password of every account.
pub const PASSWORD: &str = "benchmark-password";
/// The resource that everybody logs in with.
const RESOURCE: &str = "r";
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

/// What SCRAM-SHA-1 needs of a password for one salt and count of iterations: `ClientKey` and `StoredKey`
/// (RFC 5802 3).
type Pair = (hmac::Tag, hmac::Key);

/// The client's part of SCRAM-SHA-1, the slow step of which is done once for each salt: all accounts share one.
#[derive(Default)]
pub struct Keys(Mutex<HashMap<String, Pair>>);

impl Keys {
    /// The answer to a challenge (RFC 5802 5.1).
    fn prove(&self, bare: &str, challenge: &str) -> Result<String, Failure> {
        let field = |name: &str| challenge.split(',').find_map(|f| f.strip_prefix(name));
        let odd = || Failure(format!("not a challenge: {challenge}"));
        let (nonce, salt) = (field("r=").ok_or_else(odd)?, field("s=").ok_or_else(odd)?);
        let iterations = field("i=").ok_or_else(odd)?;
        let mut known = self.0.lock().map_err(|_| "a thread panicked")?;
        let key = format!("{salt},{iterations}");
        if !known.contains_key(&key) {
            known.insert(key.clone(), derive(&STANDARD.decode(salt)?, iterations.parse()?));
        }
        let (client, stored) = &known[&key];
        let without_proof = format!("c=biws,r={nonce}");
        let signature = hmac::sign(stored, format!("{bare},{challenge},{without_proof}").as_bytes());
        let proof: Vec<u8> = signature.as_ref().iter().zip(client.as_ref()).map(|(a, b)| a ^ b).collect();
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof)))
    }
}

fn derive(salt: &[u8], iterations: NonZeroU32) -> Pair {
    let sha1 = hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY;
    let mut salted = [0; digest::SHA1_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA1, iterations, salt, PASSWORD.as_bytes(), &mut salted);
    let client = hmac::sign(&hmac::Key::new(sha1, &salted), b"Client Key");
    let stored = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, client.as_ref());
    (client, hmac::Key::new(sha1, stored.as_ref()))
}

/// A blocking connection of a user who is logged in and bound to a resource.
pub struct Session {
    pipe: Pipe,
    input: Vec<u8>,
}

impl Session {
    /// Connects and logs `user` of `domain` in, by SCRAM-SHA-1.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn login(address: SocketAddr, domain: &str, user: &str, keys: &Keys) -> Result<Session, Failure> {
        let pipe = Pipe::open(&Target { address, tls: None, from: None }, address)?;
        let mut session = Session { pipe, input: Vec::new() };
        let open = format!(
            "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'>"
        );
        session.ask(&open, b"</stream:features>")?;
        let sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'";
        let bare = format!("n={user},r={NONCE}");
        let first = STANDARD.encode(format!("n,,{bare}"));
        let challenge =
            session.ask(&format!("<auth {sasl} mechanism='SCRAM-SHA-1'>{first}</auth>"), b"</challenge>")?;
        let inner = challenge.split(['>', '<']).rev().nth(2).unwrap_or_default();
        let last = keys.prove(&bare, &String::from_utf8(STANDARD.decode(inner)?)?)?;
        let last = STANDARD.encode(last);
        session.ask(&format!("<response {sasl}>{last}</response>"), b"</success>")?;
        session.ask(&open, b"</stream:features>")?;
        let bind = format!(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>\
             <resource>{RESOURCE}</resource></bind></iq>"
        );
        session.ask(&bind, b"</iq>")?;
        Ok(session)
    }

    /// Says something that has no answer.
    ///
    /// # Errors
    /// If the connection has failed.
    pub fn say(&mut self, text: &str) -> Result<(), Failure> {
        self.pipe.write(text.as_bytes())
    }

    /// Says something and reads up to and with the end of the answer.
    fn ask(&mut self, text: &str, end: &[u8]) -> Result<String, Failure> {
        self.say(text)?;
        loop {
            if let Some(at) = find(&self.input, end) {
                return Ok(String::from_utf8(self.input.drain(..at + end.len()).collect())?);
            }
            for bad in [&b"<failure"[..], b"<stream:error", b"type='error'"] {
                if find(&self.input, bad).is_some() {
                    return Err(Failure(format!("refused: {}", String::from_utf8_lossy(&self.input))));
                }
            }
            self.pipe.fill(&mut self.input)?;
        }
    }

    /// Ends the stream, and waits until the server has done so.
    ///
    /// # Errors
    /// If it does not.
    pub fn close(mut self) -> Result<(), Failure> {
        self.ask("</stream:stream>", b"</stream:stream>").map(|_| ())
    }

    /// The connection.
    pub fn into_stream(self) -> TcpStream {
        self.pipe.into_stream()
    }

    /// The same for the generator.
    ///
    /// # Errors
    /// Whatever the socket says.
    pub fn into_conn(self) -> Result<Conn, Failure> {
        let Session { pipe, input } = self;
        Conn::new(pipe.into_stream(), input)
    }
}

/// What an attribute of a tag says; nothing, if it has none of this name. `name` is given with `='`, and a blank
/// before it.
fn attribute<'a>(tag: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let rest = &tag[find(tag, name)? + name.len()..];
    Some(&rest[..memchr::memchr(b'\'', rest)?])
}

/// Messages from one user to another, with receipts (XEP-0184) as their acknowledgement.
pub struct Messages {
    end: Finder<'static>,
    tag: Finder<'static>,
    received: Finder<'static>,
    /// For each pair what stands before the id, and after it.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Messages {
    /// Texts for pairs of addresses, with bodies of `body` octets; they are sent to the full address, which is
    /// the cheaper way for a server.
    pub fn new(pairs: &[(String, String)], body: usize) -> Messages {
        let body = "x".repeat(body);
        let texts = pairs.iter().map(|(_, to)| {
            let head = format!("<message type='chat' to='{to}/{RESOURCE}' id='");
            let rest = format!("'><body>{body}</body><request xmlns='urn:xmpp:receipts'/></message>");
            (head.into_bytes(), rest.into_bytes())
        });
        let end = Finder::new(b"</message>");
        let (tag, received) = (Finder::new(b"<message"), Finder::new(b"<received"));
        Messages { end, tag, received, texts: texts.collect() }
    }

    /// Octets up to the end of the next message.
    fn next(&self, input: &[u8]) -> Option<usize> {
        self.end.find(input).map(|at| at + b"</message>".len())
    }

    /// Answers one message, if it is one that asks for a receipt.
    fn receipt(&self, message: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let tag = &message[self.tag.find(message)?..];
        let tag = &tag[..memchr::memchr(b'>', tag)?];
        let (from, id) = (attribute(tag, b" from='")?, attribute(tag, b" id='")?);
        for part in [
            b"<message type='chat' to='",
            from,
            b"' id='r",
            id,
            b"'><received xmlns='urn:xmpp:receipts' id='",
            id,
            b"'/></message>",
        ] {
            out.extend_from_slice(part);
        }
        Some(())
    }
}

impl Wire for Messages {
    fn message(&self, pair: usize, id: u64, out: &mut Vec<u8>) {
        let (head, rest) = &self.texts[pair];
        out.extend_from_slice(head);
        push_id(id, out);
        out.extend_from_slice(rest);
    }

    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize {
        let mut used = 0;
        while let Some(length) = self.next(&input[used..]) {
            let _ = self.receipt(&input[used..used + length], out);
            used += length;
        }
        used
    }

    fn replies(&self, input: &[u8]) -> Replies {
        let mut replies = Replies::default();
        while let Some(length) = self.next(&input[replies.used..]) {
            let message = &input[replies.used..replies.used + length];
            // An error has the message's own payload in it, not a receipt.
            if self.received.find(message).is_some() && find(message, b"type='error'").is_none() {
                replies.done += 1;
            } else {
                replies.failed += 1;
            }
            replies.used += length;
        }
        replies
    }
}

/// One whose presence is watched, and those who watch it.
struct Presence {
    tag: Finder<'static>,
}

impl Presence {
    /// The presence at the start of `input`: its tag, and its length; nothing, if there is no whole one.
    fn next(input: &[u8]) -> Option<(&[u8], usize)> {
        let end = memchr::memchr(b'>', input)?;
        let tag = &input[..end];
        if tag.ends_with(b"/") {
            return Some((tag, end + 1));
        }
        Some((tag, find(input, b"</presence>")? + b"</presence>".len()))
    }
}

impl crowd::Script for Presence {
    fn take(&self, input: &[u8], _: &mut Vec<u8>) -> (usize, u64) {
        let (mut used, mut notifications) = (0, 0);
        while let Some(at) = self.tag.find(&input[used..]) {
            let Some((tag, length)) = Presence::next(&input[used + at..]) else {
                return (used + at, notifications);
            };
            // With a description in it: none of the watcher's own.
            notifications += u64::from(!tag.ends_with(b"/"));
            used += at + length;
        }
        // What the input ends with may be the start of a tag.
        let rest = &input[used..];
        let open = memchr::memrchr(b'<', rest).filter(|at| memchr::memchr(b'>', &rest[*at..]).is_none());
        (open.map_or(input.len(), |at| used + at), notifications)
    }

    fn change(&self, number: u64) -> (String, &'static [u8]) {
        (format!("<presence><status>change {number}</status></presence>"), b"")
    }
}

/// The crowd of a server: `star`, watched by so many users, whose names `watcher` gives, all according to the rosters
/// that they have at the server.
///
/// # Errors
/// If a login is refused, or not everybody is told how the star is.
pub fn crowd(
    log_in: impl Fn(&str) -> Result<Session, Failure>,
    star: &str,
    watchers: usize,
    watcher: impl Fn(usize) -> String,
) -> Result<crowd::Crowd, Failure> {
    let mut first = log_in(star)?;
    first.say("<presence><status>here</status></presence>")?;
    let script = Presence { tag: Finder::new(b"<presence") };
    let mut crowd = crowd::Crowd::new(first.into_conn()?, Box::new(script))?;
    for index in 0..watchers {
        let mut conn = log_in(&watcher(index))?.into_conn()?;
        conn.out = b"<presence/>".to_vec();
        crowd.add(conn)?;
    }
    // Everybody is told how the star is.
    crowd.until(crowd.watchers(), b"", 0)?;
    Ok(crowd)
}
