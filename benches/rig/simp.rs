//! hearth's load: a stock SIMP 1.0 client, made as cheap as one can be.
//!
//! Logins are done blocking, one after the other; then the connections go to the generator, whose
//! texts are made beforehand but for their ids, and whose answers are found by searching for what
//! this one server is known to write, not by a parser.

use std::net::{IpAddr, SocketAddr, TcpStream};

use hearth::credential::Algorithm;
use memchr::memmem::{Finder, find};

use super::Failure;
use super::engine::{Replies, Wire};
use super::lines::push_id;
use super::pipe::{Pipe, Target};

/// The first words of any stream.
pub const HEADER: &[u8] = b"<?xml version=\"1.0\"?>\n<stream>\n";
const END: &[u8] = b"</properties>";

/// Reads up to and with the end of a properties object; what follows stays in `input`.
fn object(pipe: &mut Pipe, input: &mut Vec<u8>) -> Result<String, Failure> {
    loop {
        if let Some(at) = find(input, END) {
            let object = input.drain(..at + END.len()).collect();
            return Ok(String::from_utf8(object)?);
        }
        pipe.fill(input)?;
    }
}

/// The value of a key; the server's own texts hold nothing that needs unescaping.
///
/// # Errors
/// If there is none.
pub fn value<'a>(object: &'a str, key: &str) -> Result<&'a str, Failure> {
    let missing = || Failure(format!("no {key:?} in {object}"));
    let at = object.find(&format!("key=\"{key}\">")).ok_or_else(missing)?;
    let rest = &object[at + key.len() + 7..];
    Ok(&rest[..rest.find('<').ok_or_else(missing)?])
}

/// `login`, on a routing connection.
pub fn login(user: &str) -> String {
    format!(
        "<properties><entry key=\"action\">login</entry><entry key=\"request\">1</entry>\
         <entry key=\"user\">{user}</entry></properties>\n"
    )
}

/// `connect`, the first words on a notification connection after the header, by MD5 digest.
///
/// # Errors
/// If the challenge is none.
pub fn connect(user: &str, secret: &str, challenge: &str) -> Result<String, Failure> {
    let proof = Algorithm::Md5.authorization(user, secret, value(challenge, "nonce")?);
    let opaque = value(challenge, "opaque")?;
    Ok(format!(
        "<properties><entry key=\"action\">connect</entry><entry key=\"request\">1</entry>\
         <entry key=\"authorization\">{}</entry><entry key=\"opaque\">{opaque}</entry>\
         <entry key=\"version\">1.0</entry></properties>\n",
        *proof
    ))
}

/// A routing connection, for logins.
pub struct Routing {
    target: Target,
    pipe: Pipe,
    input: Vec<u8>,
}

impl Routing {
    /// Opens it.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(target: &Target) -> Result<Routing, Failure> {
        let mut pipe = Pipe::open(target, target.address)?;
        pipe.write(HEADER)?;
        Ok(Routing { target: target.clone(), pipe, input: Vec::new() })
    }

    /// From now on notification connections come from this address of this machine.
    pub fn come_from(&mut self, ip: IpAddr) {
        self.target.from = Some(ip);
    }

    /// Asks for a login: the challenge.
    ///
    /// # Errors
    /// If there is none.
    pub fn challenge(&mut self, user: &str) -> Result<String, Failure> {
        self.pipe.write(login(user).as_bytes())?;
        object(&mut self.pipe, &mut self.input)
    }

    /// Logs a user in by MD5 digest, on a new notification connection; gives the connection, and
    /// what has been read from it after the reply.
    ///
    /// # Errors
    /// If the server refuses.
    pub fn login(&mut self, user: &str, secret: &str) -> Result<(TcpStream, Vec<u8>), Failure> {
        let challenge = self.challenge(user)?;
        let address =
            SocketAddr::new(value(&challenge, "host")?.parse()?, value(&challenge, "port")?.parse()?);
        let text = [HEADER, connect(user, secret, &challenge)?.as_bytes()].concat();
        let mut pipe = Pipe::open(&self.target, address)?;
        pipe.write(&text)?;
        let mut input = Vec::new();
        let reply = object(&mut pipe, &mut input)?;
        if value(&reply, "action")? != "self" {
            return Err(Failure(format!("login refused: {reply}")));
        }
        Ok((pipe.into_stream(), input))
    }
}

/// Two finders for every object: its end, and where an id or an action begins.
struct Marks {
    end: Finder<'static>,
    request: Finder<'static>,
    okay: Finder<'static>,
}

/// Messages from one user to another, over their notification connections.
pub struct Messages {
    marks: Marks,
    /// For each pair what stands before the id, and after it.
    texts: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Messages {
    /// Texts for pairs of addresses, with bodies of `body` octets.
    pub fn new(pairs: &[(String, String)], body: usize) -> Messages {
        let body = "x".repeat(body);
        let texts = pairs.iter().map(|(from, to)| {
            let head = "<properties><entry key=\"action\">send</entry><entry key=\"request\">".to_owned();
            let rest = format!(
                "</entry><entry key=\"to\">{to}</entry><entry key=\"from\">{from}</entry>\
                 <entry key=\"type\">text/plain</entry><entry key=\"body\">{body}</entry></properties>\n"
            );
            (head.into_bytes(), rest.into_bytes())
        });
        Messages { texts: texts.collect(), marks: Marks::new() }
    }
}

impl Marks {
    fn new() -> Marks {
        Marks { end: Finder::new(END), request: Finder::new(b"\"request\">"), okay: Finder::new(b">okay<") }
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
        answer_all(&self.marks, input, out).0
    }

    fn replies(&self, input: &[u8]) -> Replies {
        let mut replies = Replies::default();
        while let Some(length) = self.marks.end.find(&input[replies.used..]) {
            let object = &input[replies.used..replies.used + length];
            if self.marks.okay.find(object).is_some() {
                replies.done += 1;
            } else {
                replies.failed += 1;
            }
            replies.used += length + END.len();
        }
        replies
    }
}

/// Answers every complete request in `input` with `okay`: octets used, and requests answered.
fn answer_all(marks: &Marks, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
    let (mut used, mut answered) = (0, 0);
    while let Some(length) = marks.end.find(&input[used..]) {
        let object = &input[used..used + length];
        if let Some(at) = marks.request.find(object) {
            let rest = &object[at + 10..];
            let id = &rest[..memchr::memchr(b'<', rest).unwrap_or(0)];
            out.extend_from_slice(b"<properties><entry key=\"action\">okay</entry><entry key=\"response\">");
            out.extend_from_slice(id);
            out.extend_from_slice(b"</entry><entry key=\"message\">okay</entry></properties>\n");
            answered += 1;
        }
        used += length + END.len();
    }
    (used, answered)
}

/// One who answers whatever he is asked with `okay`, and counts.
pub struct Answerer(Marks);

impl Answerer {
    /// Ready.
    pub fn new() -> Answerer {
        Answerer(Marks::new())
    }

    /// Octets used, and requests answered.
    pub fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        answer_all(&self.0, input, out)
    }
}
