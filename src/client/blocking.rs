//! A small blocking front: [`Login`] and [`Session`] over sockets, in clear or on TLS; [`transfer`] has the
//! same for IMTP and PITP.
//!
//! One thread, one [`Client`]. A call that asks something waits for its reply; what else happens in the
//! meantime is kept for [`Client::next_event`]. To have several requests under way, use
//! [`Client::start`] and [`Client::reply`].

mod pipe;
pub mod transfer;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

pub use pipe::{Alarm, Place, Tls};

use pipe::Pipe;

use super::{
    Account, Answer, Entries, Error, Event, Incoming, Login, Message, Presence, RequestId, Session, Ticket,
};
use crate::limits;

/// What is spoken, for TLS.
const SIMP: &[u8] = b"simp/1.0";

/// How long a request waits for its reply if nothing else is said: longer than a server gives the home
/// server of another domain ([`limits::ANSWER_REMOTE`]).
pub const PATIENCE: Duration = Duration::from_secs(limits::ANSWER_REMOTE.as_secs() + 5);

/// A user's client, online.
#[derive(Debug)]
pub struct Client {
    session: Session,
    pipe: Pipe,
    tls: Option<Tls>,
    profile: Entries,
    patience: Duration,
    events: VecDeque<Event>,
    replies: BTreeMap<RequestId, Result<Answer, Error>>,
    abandoned: Vec<RequestId>,
}

impl Client {
    /// Logs in and goes online.
    ///
    /// # Errors
    /// [`Error::Refused`] if the server does not want us, and all the other kinds.
    pub fn login(place: &Place, account: Account) -> Result<Client, Error> {
        let deadline = Instant::now() + PATIENCE;
        let mut pipe = Pipe::open(place.host(), place.port(), place.tls(), SIMP, deadline)?;
        let mut login = Login::new(account.clone(), pipe.is_private());
        let mut buffer = [0; 4096];
        let ticket = loop {
            pipe.write(login.unsent())?;
            login.sent(login.unsent().len());
            let Some(count) = pipe.read(&mut buffer, deadline)? else { continue };
            let data = buffer.get(..count).unwrap_or_default();
            if count == 0 {
                return Err(Error::Ended);
            }
            if let Some(ticket) = login.receive(data)? {
                break ticket;
            }
        };
        Client::connect(&ticket, place.tls().cloned(), account)
    }

    /// Goes online with a ticket, got by a login or a divert.
    ///
    /// # Errors
    /// As [`Client::login`].
    pub fn connect(ticket: &Ticket, tls: Option<Tls>, account: Account) -> Result<Client, Error> {
        let deadline = Instant::now() + PATIENCE;
        let pipe = Pipe::open(&ticket.host, ticket.port, tls.as_ref(), SIMP, deadline)?;
        let session = Session::new(account, ticket, pipe.is_private());
        let mut client = Client {
            session,
            pipe,
            tls,
            profile: Entries::new(),
            patience: PATIENCE,
            events: VecDeque::new(),
            replies: BTreeMap::new(),
            abandoned: Vec::new(),
        };
        loop {
            client.turn(deadline)?;
            match client.events.pop_front() {
                Some(Event::Connected { profile }) => {
                    client.profile = profile;
                    return Ok(client);
                }
                Some(Event::Ended) => return Err(Error::Ended),
                _ => {}
            }
        }
    }

    /// Follows a divert to the other server; this client is then that of the new session. Requests
    /// without a reply have failed.
    ///
    /// # Errors
    /// As [`Client::login`]; the old session stays as it was.
    pub fn follow(&mut self, ticket: &Ticket) -> Result<(), Error> {
        let mut next = Client::connect(ticket, self.tls.clone(), self.session.account().clone())?;
        next.session.number_after(&self.session);
        self.session.end();
        self.flush()?;
        self.pipe.finish();
        // What still waits for a reply has failed; what has been told is not lost.
        self.session.closed();
        self.sort();
        self.events.retain(|event| !matches!(event, Event::Ended));
        self.events.append(&mut next.events);
        (self.session, self.pipe, self.profile) = (next.session, next.pipe, next.profile);
        Ok(())
    }

    /// How long calls wait for their replies from now on, instead of [`PATIENCE`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// The profile as it was at the login.
    pub fn profile(&self) -> &Entries {
        &self.profile
    }

    /// Sends plain text and waits until it is answered: the answer's text.
    ///
    /// # Errors
    /// [`Error::Refused`] if it was not delivered; after [`Error::Timeout`] or [`Error::Ended`] nobody
    /// can tell.
    pub fn send(&mut self, to: &str, text: &str) -> Result<String, Error> {
        self.send_message(&Message::text(to, text))
    }

    /// Sends a message and waits until it is answered: the answer's text.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub fn send_message(&mut self, message: &Message) -> Result<String, Error> {
        let id = self.session.send(message)?;
        self.okayed(id)
    }

    /// Somebody's presence.
    ///
    /// # Errors
    /// [`Error::Refused`] if it isn't told, and all the other kinds.
    pub fn fetch(&mut self, whom: &str) -> Result<Presence, Error> {
        let id = self.session.fetch(whom)?;
        match self.reply(id, self.patience)? {
            Answer::Presence(presence) => Ok(presence),
            _ => Err(wrong_kind()),
        }
    }

    /// Watches somebody, for a duration or for the longest that is granted: his presence, the duration
    /// granted, and what ends the subscription.
    ///
    /// # Errors
    /// [`Error::Refused`] if it isn't granted, and all the other kinds.
    pub fn subscribe(
        &mut self,
        whom: &str,
        duration: Option<Duration>,
    ) -> Result<(Presence, Duration, String), Error> {
        let milliseconds = duration.map_or(-1, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
        let id = self.session.subscribe(whom, milliseconds)?;
        match self.reply(id, self.patience)? {
            Answer::Subscribed { presence, duration, opaque } => {
                Ok((presence, Duration::from_millis(u64::try_from(duration).unwrap_or(0)), opaque))
            }
            _ => Err(wrong_kind()),
        }
    }

    /// Ends a subscription.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is none of that `opaque`, and all the other kinds.
    pub fn unsubscribe(&mut self, whom: &str, opaque: &str) -> Result<String, Error> {
        let id = self.session.unsubscribe(whom, opaque)?;
        self.okayed(id)
    }

    /// What somebody's home server says of itself.
    ///
    /// # Errors
    /// All kinds.
    pub fn inquire(&mut self, whom: &str) -> Result<String, Error> {
        let id = self.session.inquire(whom)?;
        self.okayed(id)
    }

    /// Our profile.
    ///
    /// # Errors
    /// All kinds.
    pub fn get_profile(&mut self) -> Result<Entries, Error> {
        let id = self.session.get_profile();
        self.entries(id)
    }

    /// Replaces our profile; on return it is kept for good.
    ///
    /// # Errors
    /// All kinds.
    pub fn set_profile(&mut self, profile: &[(String, String)]) -> Result<String, Error> {
        let id = self.session.set_profile(profile)?;
        self.okayed(id)
    }

    /// Our access control list.
    ///
    /// # Errors
    /// All kinds.
    pub fn get_acl(&mut self) -> Result<Entries, Error> {
        let id = self.session.get_acl();
        self.entries(id)
    }

    /// Replaces our access control list; on return it is kept for good.
    ///
    /// # Errors
    /// All kinds.
    pub fn set_acl(&mut self, acl: &[(String, String)]) -> Result<String, Error> {
        let id = self.session.set_acl(acl)?;
        self.okayed(id)
    }

    /// Ends somebody's subscriptions to our presence.
    ///
    /// # Errors
    /// [`Error::Refused`] if he has none, and all the other kinds.
    pub fn drop_subscription(&mut self, subscriber: &str) -> Result<String, Error> {
        let id = self.session.drop_subscription(subscriber)?;
        self.okayed(id)
    }

    /// Issues a request without waiting for its reply, which [`Client::reply`] gets.
    ///
    /// # Errors
    /// Those of the request, and [`Error::Network`].
    pub fn start(
        &mut self,
        request: impl FnOnce(&mut Session) -> Result<RequestId, Error>,
    ) -> Result<RequestId, Error> {
        let id = request(&mut self.session)?;
        self.flush()?;
        Ok(id)
    }

    /// The reply to a request, waiting for it if need be. After a timeout it can't be had any more.
    ///
    /// # Errors
    /// What came of the request, or [`Error::Timeout`].
    pub fn reply(&mut self, id: RequestId, within: Duration) -> Result<Answer, Error> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(outcome) = self.replies.remove(&id) {
                return outcome;
            }
            if let Err(error) = self.turn(deadline) {
                self.abandoned.push(id);
                return Err(error);
            }
        }
    }

    /// The next thing that happens, if it does so in the time given. Replies are no events here.
    ///
    /// # Errors
    /// [`Error::Server`], [`Error::Network`]; after [`Event::Ended`] always [`Error::Ended`].
    pub fn next_event(&mut self, within: Duration) -> Result<Option<Event>, Error> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.turn(deadline) {
                Ok(()) => {}
                Err(Error::Timeout) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the sender of a message that it has arrived.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn okay(&mut self, message: Incoming, text: &str) -> Result<(), Error> {
        self.session.okay(message, text);
        self.flush()
    }

    /// Tells the sender of a message that it is not taken.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn refuse(&mut self, message: Incoming, text: &str) -> Result<(), Error> {
        self.session.refuse(message, text);
        self.flush()
    }

    /// Goes offline in order.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn close(mut self) -> Result<(), Error> {
        self.session.end();
        self.flush()?;
        self.pipe.finish();
        Ok(())
    }

    fn okayed(&mut self, id: RequestId) -> Result<String, Error> {
        match self.reply(id, self.patience)? {
            Answer::Okay(text) => Ok(text),
            _ => Err(wrong_kind()),
        }
    }

    fn entries(&mut self, id: RequestId) -> Result<Entries, Error> {
        match self.reply(id, self.patience)? {
            Answer::Entries(entries) => Ok(entries),
            _ => Err(wrong_kind()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.pipe.write(self.session.unsent())?;
        self.session.sent(self.session.unsent().len());
        Ok(())
    }

    /// Writes what waits, reads once, and sorts what that brings.
    fn turn(&mut self, deadline: Instant) -> Result<(), Error> {
        self.flush()?;
        let mut buffer = [0; 16 * 1024];
        match self.pipe.read(&mut buffer, deadline)? {
            None => {}
            Some(0) => {
                self.session.closed();
                if self.sort() == 0 {
                    return Err(Error::Ended);
                }
            }
            Some(count) => {
                self.session.receive(buffer.get(..count).unwrap_or_default())?;
                self.sort();
                self.flush()?;
            }
        }
        Ok(())
    }

    fn sort(&mut self) -> usize {
        let mut count = 0;
        while let Some(event) = self.session.poll_event() {
            count += 1;
            match event {
                Event::Replied { id, outcome } => match self.abandoned.iter().position(|a| *a == id) {
                    Some(at) => drop(self.abandoned.swap_remove(at)),
                    None => drop(self.replies.insert(id, outcome)),
                },
                event => self.events.push_back(event),
            }
        }
        count
    }
}

fn wrong_kind() -> Error {
    Error::Server("a reply of the wrong kind".into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread;

    use super::*;
    use crate::client::Proof;
    use crate::credential::Secret;

    const HEADER: &str = "<?xml version=\"1.0\"?>\n<stream>\n";

    fn object(entries: &[(&str, &str)]) -> String {
        let mut out = Vec::new();
        crate::simp::write::object(&mut out, entries.iter().copied());
        String::from_utf8(out).unwrap()
    }

    /// The server's side of one connection: waits for a piece of text, then says something.
    struct Script {
        stream: TcpStream,
        heard: String,
    }

    impl Script {
        fn accept(listener: &TcpListener) -> Script {
            let stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            Script { stream, heard: String::new() }
        }

        /// Reads up to a text and with it.
        fn await_text(&mut self, text: &str) {
            let mut buffer = [0; 1024];
            while !self.heard.contains(text) {
                let count = self.stream.read(&mut buffer).unwrap();
                assert!(count > 0, "the client is gone; it said {:?}", self.heard);
                self.heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            let end = self.heard.find(text).unwrap() + text.len();
            self.heard.drain(..end);
        }

        fn say(&mut self, text: &str) {
            self.stream.write_all(text.as_bytes()).unwrap();
        }

        /// Admits a client with a notification connection at the same listener.
        fn log_in(listener: &TcpListener) -> Script {
            let port = listener.local_addr().unwrap().port().to_string();
            let mut routing = Script::accept(listener);
            routing.await_text("</properties>");
            routing.say(HEADER);
            routing.say(&object(&[
                ("action", "challenge"),
                ("response", "1"),
                ("nonce", "n"),
                ("opaque", "o"),
                ("algorithm", "MD5"),
                ("min version", "1.0"),
                ("max version", "1.0"),
                ("host", "127.0.0.1"),
                ("port", &port),
            ]));
            Script::connected(listener)
        }

        fn connected(listener: &TcpListener) -> Script {
            let mut own = Script::accept(listener);
            own.await_text("</properties>");
            own.say(HEADER);
            own.say(&object(&[("action", "self"), ("response", "1"), ("message", "hi")]));
            own
        }
    }

    fn listen() -> (TcpListener, Place) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::clear("127.0.0.1", listener.local_addr().unwrap().port());
        (listener, place)
    }

    fn alice() -> Account {
        Account::new("alice@example.org", Proof::DeviceKey(Secret::new("key".into()))).unwrap()
    }

    #[test]
    fn logs_in_asks_is_told_and_goes() {
        let (listener, place) = listen();
        let server = thread::spawn(move || {
            let mut own = Script::log_in(&listener);
            own.await_text("</properties>");
            // A message comes before the reply; the reply is found all the same.
            own.say(&object(&[
                ("action", "send"),
                ("request", "1"),
                ("to", "alice@example.org"),
                ("from", "bob@example.net"),
                ("type", "text/plain"),
                ("body", "noon?"),
            ]));
            own.say(&object(&[("action", "okay"), ("response", "2"), ("message", "delivered")]));
            own.await_text(
                "<entry key=\"response\">1</entry><entry key=\"message\">read</entry></properties>",
            );
            own.await_text("</stream>");
        });
        let mut client = Client::login(&place, alice()).unwrap();
        assert_eq!(client.profile(), &[("message".to_owned(), "hi".to_owned())]);
        assert_eq!(client.send("bob@example.net", "lunch?").unwrap(), "delivered");
        let event = client.next_event(Duration::from_secs(20)).unwrap();
        let Some(Event::Message { id, message }) = event else { panic!("{event:?}") };
        assert_eq!(message.body, "noon?");
        client.okay(id, "read").unwrap();
        client.close().unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_server_that_goes_away_fails_what_waits() {
        let (listener, place) = listen();
        let server = thread::spawn(move || Script::log_in(&listener).await_text("</properties>"));
        let mut client = Client::login(&place, alice()).unwrap();
        assert!(matches!(client.fetch("bob@example.net"), Err(Error::Ended)));
        assert!(matches!(client.next_event(Duration::from_secs(20)), Ok(Some(Event::Ended))));
        assert!(matches!(client.next_event(Duration::from_secs(20)), Err(Error::Ended)));
        server.join().unwrap();
        // Nobody listens any more.
        assert!(matches!(Client::login(&place, alice()), Err(Error::Network(_))));
    }

    #[test]
    fn a_late_reply_is_thrown_away() {
        let (listener, place) = listen();
        let server = thread::spawn(move || {
            let mut own = Script::log_in(&listener);
            own.await_text("<entry key=\"request\">3</entry>");
            own.say(&object(&[("action", "okay"), ("response", "2"), ("message", "late")]));
            own.say(&object(&[("action", "okay"), ("response", "3"), ("message", "right")]));
            own.await_text("</stream>");
        });
        let mut client = Client::login(&place, alice()).unwrap();
        let late = client.start(|session| session.inquire("bob@example.net")).unwrap();
        assert!(matches!(client.reply(late, Duration::ZERO), Err(Error::Timeout)));
        assert_eq!(client.inquire("bob@example.net").unwrap(), "right");
        client.close().unwrap();
        server.join().unwrap();
    }

    #[test]
    fn follows_a_divert() {
        // SIMP-6.5-3, SIMP-7.2-7
        let (listener, place) = listen();
        let server = thread::spawn(move || {
            let mut first = Script::log_in(&listener);
            first.say(&object(&[
                ("action", "divert"),
                ("nonce", "m"),
                ("opaque", "p"),
                ("algorithm", "MD5"),
                ("host", "127.0.0.1"),
                ("port", &listener.local_addr().unwrap().port().to_string()),
            ]));
            let mut second = Script::connected(&listener);
            first.await_text("</stream>");
            second.await_text("</properties>");
            second.say(&object(&[("action", "okay"), ("response", "2"), ("message", "here")]));
            second.await_text("</stream>");
        });
        let mut client = Client::login(&place, alice()).unwrap();
        let event = client.next_event(Duration::from_secs(20)).unwrap();
        let Some(Event::Diverted(ticket)) = event else { panic!("{event:?}") };
        client.follow(&ticket).unwrap();
        assert_eq!(client.inquire("bob@example.net").unwrap(), "here");
        client.close().unwrap();
        server.join().unwrap();
    }
}
