//! Kamailio's load: SIP user agents (RFC 3261), as cheap as can be.
//!
//! As for the other protocols: agents register blocking; then their connections go to the generator, whose texts
//! are made beforehand but for their ids. What comes is read by line ends and a few names of header fields, as
//! this one server writes them.

use std::cell::RefCell;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use md5::{Digest, Md5};
use memchr::memchr;
use memchr::memmem::{Finder, find};

use super::Failure;
use super::crowd::Script;
use super::engine::{Conn, Replies, Wire};
use super::lines::push_id;

/// The longest wait for a reply.
const PATIENCE: Duration = Duration::from_secs(30);
const HEAD_END: &[u8] = b"\r\n\r\n";
const LENGTH: &[u8] = b"Content-Length: ";
const OK: &[u8] = b"SIP/2.0 200 ";
/// What a request's branch begins with (RFC 3261 8.1.1.7).
const COOKIE: &str = "z9hG4bK";

/// What SIP goes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A connection for each agent.
    Tcp,
    /// A socket for each agent.
    Udp,
}

impl Transport {
    fn via(self) -> &'static str {
        if self == Transport::Tcp { "TCP" } else { "UDP" }
    }

    /// As a parameter of a URI.
    fn parameter(self) -> &'static str {
        if self == Transport::Tcp { ";transport=tcp" } else { "" }
    }
}

/// Finds messages.
struct Reader {
    head_end: Finder<'static>,
    length: Finder<'static>,
}

/// One message at the start of what was read.
struct Piece<'a> {
    head: &'a [u8],
    /// All its octets.
    length: usize,
}

impl Piece<'_> {
    fn is_request(&self) -> bool {
        !self.head.starts_with(b"SIP/")
    }

    /// Is it provisional: is the reply still to come?
    fn is_provisional(&self) -> bool {
        self.head.starts_with(b"SIP/2.0 1")
    }

    /// Appends the reply to this request: 200 with the fields that a reply has to repeat (RFC 3261 8.2.6.2).
    fn answer(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
        let mut rest = self.head;
        while let Some(end) = memchr(b'\n', rest) {
            let line = &rest[..end + 1];
            rest = &rest[end + 1..];
            let kept = [&b"Via: "[..], b"From: ", b"Call-ID: ", b"CSeq: "];
            if kept.iter().any(|name| line.starts_with(name)) {
                out.extend_from_slice(line);
            } else if line.starts_with(b"To: ") {
                out.extend_from_slice(line.trim_ascii_end());
                if find(line, b";tag=").is_none() {
                    out.extend_from_slice(b";tag=b");
                }
                out.extend_from_slice(b"\r\n");
            }
        }
        out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
    }
}

impl Reader {
    fn new() -> Reader {
        Reader { head_end: Finder::new(HEAD_END), length: Finder::new(LENGTH) }
    }

    /// The next message; nothing, if there is no whole one.
    fn next<'a>(&self, input: &'a [u8]) -> Option<Piece<'a>> {
        let head_end = self.head_end.find(input)? + 2;
        let head = &input[..head_end];
        let mut body = 0;
        if let Some(at) = self.length.find(head) {
            for digit in head[at + LENGTH.len()..].iter().take_while(|c| c.is_ascii_digit()) {
                body = 10 * body + usize::from(digit - b'0');
            }
        }
        let length = head_end + 2 + body;
        (input.len() >= length).then_some(Piece { head, length })
    }

    /// Answers every request in `input` with 200: octets used, and requests answered. `reply` is given the heads
    /// of what is none.
    fn answer_all(&self, input: &[u8], out: &mut Vec<u8>, mut reply: impl FnMut(&Piece<'_>)) -> (usize, u64) {
        let (mut used, mut answered) = (0, 0);
        while let Some(piece) = self.next(&input[used..]) {
            used += piece.length;
            if piece.is_request() {
                piece.answer(out);
                answered += 1;
            } else {
                reply(&piece);
            }
        }
        (used, answered)
    }
}

/// The octets of the first message, which is a datagram of its own.
fn first(out: &[u8]) -> usize {
    Reader::new().next(out).map_or(out.len(), |piece| piece.length)
}

/// Messages from one agent to another.
pub struct Messages {
    reader: Reader,
    /// For each pair what stands before, between and after the two places of the id.
    texts: Vec<[Vec<u8>; 3]>,
}

impl Messages {
    /// Texts for pairs of a registered sender and a recipient's address, with bodies of `body` octets.
    pub fn new(pairs: &[(&Agent, String)], body: usize) -> Messages {
        let payload = "x".repeat(body);
        let texts = pairs.iter().enumerate().map(|(index, (sender, to))| {
            let (via, local, from) = (sender.voice.transport.via(), sender.voice.local, sender.voice.address());
            [
                format!("MESSAGE sip:{to} SIP/2.0\r\nVia: SIP/2.0/{via} {local};branch={COOKIE}{index}x"),
                format!(
                    "\r\nMax-Forwards: 70\r\nFrom: <sip:{from}>;tag=a\r\nTo: <sip:{to}>\r\nCall-ID: {index}x"
                ),
                format!(
                    "\r\nCSeq: 1 MESSAGE\r\nContent-Type: text/plain\r\nContent-Length: {body}\r\n\r\n{payload}"
                ),
            ]
            .map(String::into_bytes)
        });
        Messages { texts: texts.collect(), reader: Reader::new() }
    }
}

impl Wire for Messages {
    fn message(&self, pair: usize, id: u64, out: &mut Vec<u8>) {
        let [head, middle, rest] = &self.texts[pair];
        out.extend_from_slice(head);
        push_id(id, out);
        out.extend_from_slice(middle);
        push_id(id, out);
        out.extend_from_slice(rest);
    }

    fn answer(&self, input: &[u8], out: &mut Vec<u8>) -> usize {
        self.reader.answer_all(input, out, |_| ()).0
    }

    fn replies(&self, input: &[u8]) -> Replies {
        let mut replies = Replies::default();
        while let Some(piece) = self.reader.next(&input[replies.used..]) {
            replies.used += piece.length;
            if piece.head.starts_with(OK) {
                replies.done += 1;
            } else if !piece.is_provisional() {
                replies.failed += 1;
            }
        }
        replies
    }
}

/// Where agents register.
#[derive(Debug, Clone)]
pub struct Registrar {
    /// Its address.
    pub address: SocketAddr,
    /// What it is spoken to over.
    pub transport: Transport,
    /// The domain it is home to.
    pub domain: String,
    /// The password of all users.
    pub password: String,
}

/// Who says something: what his requests are made of.
#[derive(Debug, Clone)]
struct Voice {
    transport: Transport,
    local: SocketAddr,
    user: String,
    domain: String,
    /// Requests so far.
    count: u64,
}

impl Voice {
    /// `user@domain`.
    fn address(&self) -> String {
        format!("{}@{}", self.user, self.domain)
    }

    /// Where he is reached.
    fn contact(&self) -> String {
        format!("Contact: <sip:{}@{}{}>\r\n", self.user, self.local, self.transport.parameter())
    }

    /// His next request, with further header fields and a body.
    fn request(&mut self, method: &str, uri: &str, fields: &str, body: &str) -> String {
        self.count += 1;
        let Voice { local, user, count, .. } = &*self;
        let (via, address, port, length) = (self.transport.via(), self.address(), local.port(), body.len());
        // The URI names whom a request is about, but for registrations: there it is where they are made.
        let to = if method == "REGISTER" { format!("sip:{address}") } else { uri.to_owned() };
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{via} {local};branch={COOKIE}{user}{port}r{count}\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{address}>;tag=a\r\nTo: <{to}>\r\nCall-ID: {user}{port}{method}\r\n\
             CSeq: {count} {method}\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        )
    }
}

enum Socket {
    Stream(TcpStream),
    Datagrams(UdpSocket),
}

/// A user agent, blocking: for the registration and what comes before the generator takes over.
pub struct Agent {
    socket: Socket,
    input: Vec<u8>,
    voice: Voice,
}

impl Agent {
    /// Connects.
    ///
    /// # Errors
    /// If nobody listens there.
    fn connect(registrar: &Registrar, user: &str) -> Result<Agent, Failure> {
        let Registrar { address, transport, domain, .. } = registrar;
        let (socket, local) = match transport {
            Transport::Tcp => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                let local = stream.local_addr()?;
                (Socket::Stream(stream), local)
            }
            Transport::Udp => {
                let socket = UdpSocket::bind((address.ip(), 0))?;
                socket.connect(address)?;
                socket.set_read_timeout(Some(PATIENCE))?;
                let local = socket.local_addr()?;
                (Socket::Datagrams(socket), local)
            }
        };
        let (user, domain) = (user.to_owned(), domain.clone());
        let voice = Voice { transport: *transport, local, user, domain, count: 0 };
        Ok(Agent { socket, input: Vec::new(), voice })
    }

    /// Connects and registers, by the digest that the registrar asks for (RFC 2617 3.2.2, without a quality of
    /// protection).
    ///
    /// # Errors
    /// If the registrar refuses.
    pub fn register(registrar: &Registrar, user: &str) -> Result<Agent, Failure> {
        let mut agent = Agent::connect(registrar, user)?;
        let uri = format!("sip:{}", registrar.domain);
        let contact = format!("{}Expires: 7200\r\n", agent.voice.contact());
        let challenge = agent.ask("REGISTER", &uri, &contact)?;
        let (nonce, realm) = (parameter(&challenge, "nonce")?, parameter(&challenge, "realm")?);
        let secret = hex(&format!("{user}:{realm}:{}", registrar.password));
        let response = hex(&format!("{secret}:{nonce}:{}", hex(&format!("REGISTER:{uri}"))));
        let proof = format!(
            "{contact}Authorization: Digest username=\"{user}\",realm=\"{realm}\",nonce=\"{nonce}\",\
             uri=\"{uri}\",response=\"{response}\"\r\n"
        );
        let reply = agent.ask("REGISTER", &uri, &proof)?;
        if !reply.as_bytes().starts_with(OK) {
            return Err(Failure(format!("registration refused: {reply}")));
        }
        Ok(agent)
    }

    /// Says something and gives the head of the reply to it.
    fn ask(&mut self, method: &str, uri: &str, fields: &str) -> Result<String, Failure> {
        let request = self.voice.request(method, uri, fields, "");
        match &mut self.socket {
            Socket::Stream(stream) => stream.write_all(request.as_bytes())?,
            Socket::Datagrams(socket) => drop(socket.send(request.as_bytes())?),
        }
        let reader = Reader::new();
        loop {
            if let Some(piece) = reader.next(&self.input) {
                let (head, length) = (String::from_utf8_lossy(piece.head).into_owned(), piece.length);
                self.input.drain(..length);
                return Ok(head);
            }
            let mut buffer = [0; 4096];
            let count = match &mut self.socket {
                Socket::Stream(stream) => stream.read(&mut buffer)?,
                Socket::Datagrams(socket) => socket.recv(&mut buffer)?,
            };
            if count == 0 {
                return Err(Failure("the server closed a connection at registration".into()));
            }
            self.input.extend_from_slice(&buffer[..count]);
        }
    }

    /// A subscription to somebody's presence (RFC 3856), to be written.
    pub fn subscribe(&mut self, to: &str) -> String {
        let fields = format!(
            "{}Event: presence\r\nAccept: application/pidf+xml\r\nExpires: 3600\r\n",
            self.voice.contact()
        );
        self.voice.request("SUBSCRIBE", &format!("sip:{to}"), &fields, "")
    }

    /// The connection for the generator.
    ///
    /// # Errors
    /// If it can't be made non-blocking.
    pub fn into_conn(self) -> Result<Conn, Failure> {
        match self.socket {
            Socket::Stream(stream) => Conn::new(stream, self.input),
            Socket::Datagrams(socket) => Conn::datagrams(socket, first),
        }
    }

    /// The connection, to be held.
    ///
    /// # Errors
    /// If there are datagrams instead.
    pub fn into_stream(self) -> Result<TcpStream, Failure> {
        match self.socket {
            Socket::Stream(stream) => Ok(stream),
            Socket::Datagrams(_) => Err("no connection".into()),
        }
    }
}

/// A quoted parameter of a challenge.
fn parameter<'a>(head: &'a str, name: &str) -> Result<&'a str, Failure> {
    let missing = || Failure(format!("no {name} in {head}"));
    let at = head.find(&format!("{name}=\"")).ok_or_else(missing)?;
    let rest = &head[at + name.len() + 2..];
    Ok(&rest[..rest.find('"').ok_or_else(missing)?])
}

fn hex(text: &str) -> String {
    Md5::digest(text).iter().map(|octet| format!("{octet:02x}")).collect()
}

/// One who publishes his presence (RFC 3903), and those who watch him.
pub struct Publisher {
    reader: Reader,
    tag: Finder<'static>,
    voice: RefCell<Voice>,
    /// The entity tag of what is published, which the next publication replaces.
    published: RefCell<Option<String>>,
}

/// In the reply to a publication, and in no other.
const PUBLISHED: &[u8] = b"SIP-ETag: ";
/// In the reply to a subscription, and in no other.
pub const SUBSCRIBED: &[u8] = b" SUBSCRIBE\r\n";

impl Publisher {
    /// Speaks for this agent, whose connection goes to the generator.
    pub fn new(agent: &Agent) -> Publisher {
        let (tag, voice) = (Finder::new(PUBLISHED), RefCell::new(agent.voice.clone()));
        Publisher { reader: Reader::new(), tag, voice, published: RefCell::new(None) }
    }
}

impl Script for Publisher {
    fn take(&self, input: &[u8], out: &mut Vec<u8>) -> (usize, u64) {
        self.reader.answer_all(input, out, |reply| {
            if let Some(at) = self.tag.find(reply.head) {
                let rest = &reply.head[at + PUBLISHED.len()..];
                let tag = &rest[..memchr(b'\r', rest).unwrap_or(rest.len())];
                self.published.replace(Some(String::from_utf8_lossy(tag).into_owned()));
            }
        })
    }

    fn change(&self, number: u64) -> (String, &'static [u8]) {
        let mut voice = self.voice.borrow_mut();
        let address = voice.address();
        let document = format!(
            "<?xml version=\"1.0\"?><presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:{address}\">\
             <tuple id=\"a\"><status><basic>open</basic></status><note>change {number}</note></tuple></presence>"
        );
        let replaced = self.published.borrow().as_ref().map(|tag| format!("SIP-If-Match: {tag}\r\n"));
        let fields = format!(
            "Event: presence\r\nExpires: 3600\r\n{}Content-Type: application/pidf+xml\r\n",
            replaced.unwrap_or_default()
        );
        (voice.request("PUBLISH", &format!("sip:{address}"), &fields, &document), PUBLISHED)
    }
}
