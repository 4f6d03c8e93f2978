//! Clients of IMTP and PITP over sockets: [`Session`] with deadlines.
//!
//! One thread, one [`Client`]. A call that asks something waits for its answer; what else happens in the
//! meantime is kept for [`Client::next_event`]. To have several commands under way, use
//! [`Client::start`] and [`Client::reply`].

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::pipe::{Alarm, Pipe, Place};
use super::{PATIENCE, wrong_kind};
use crate::client::transfer::imtp::{self, Imtp, Incoming, Sent};
use crate::client::transfer::pitp::{self, Pitp, Watcher};
use crate::client::transfer::{Body, Channel, Event, Login, RequestId, Service, Session};
use crate::client::{Account, Error};
use crate::credential::scram::NONCE;
use crate::imtp::Protocol;
use crate::imtp::error_type::ErrorType;

/// A client of messages.
pub type Messages = Client<Imtp>;
/// A client of presence.
pub type Presence = Client<Pitp>;

/// A user's client of one service.
#[derive(Debug)]
pub struct Client<S: Service> {
    session: Session<S>,
    pipe: Pipe,
    patience: Duration,
    events: VecDeque<Event<S>>,
    replies: BTreeMap<RequestId, Result<S::Answer, Error>>,
    abandoned: Vec<RequestId>,
}

/// What a turn has brought.
enum Turned {
    Nothing,
    /// Events or answers.
    Happened,
    /// The alarm has rung.
    Rung,
}

impl<S: Service> Client<S> {
    /// Connects and logs in.
    ///
    /// # Errors
    /// [`Error::Failed`] if the server does not want us, and all the other kinds.
    pub fn login(place: &Place, account: &Account) -> Result<Client<S>, Error> {
        let deadline = Instant::now() + PATIENCE;
        let alpn: &[u8] = match S::PROTOCOL {
            Protocol::Imtp => b"imtp",
            Protocol::Pitp => b"pitp",
        };
        let pipe = Pipe::open(place.host(), place.port(), place.tls(), alpn, deadline)?;
        let channel = match () {
            () if pipe.is_tls() => Channel::Tls(pipe.end_point()),
            () if pipe.is_private() => Channel::Loopback,
            () => Channel::Clear,
        };
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|error| Error::Network(std::io::Error::other(error)))?;
        let mut client = Client {
            session: Session::new(Login::new(account, channel, nonce)?),
            pipe,
            patience: PATIENCE,
            events: VecDeque::new(),
            replies: BTreeMap::new(),
            abandoned: Vec::new(),
        };
        loop {
            client.turn(deadline)?;
            match client.events.pop_front() {
                Some(Event::Ready) => return Ok(client),
                Some(Event::Ended) => return Err(Error::Ended),
                _ => {}
            }
        }
    }

    /// How long calls wait for their answers from now on, instead of [`PATIENCE`].
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Ends waits of this client from another thread.
    pub fn alarm(&self) -> Alarm {
        self.pipe.alarm()
    }

    /// Gives a command without waiting for its answer, which [`Client::reply`] gets.
    ///
    /// # Errors
    /// Those of the command, and [`Error::Network`].
    pub fn start(
        &mut self,
        request: impl FnOnce(&mut Session<S>) -> Result<RequestId, Error>,
    ) -> Result<RequestId, Error> {
        let id = request(&mut self.session)?;
        self.flush()?;
        Ok(id)
    }

    /// The answer to a command, waiting for it if need be. After a timeout it can't be had any more.
    ///
    /// # Errors
    /// What came of the command, or [`Error::Timeout`].
    pub fn reply(&mut self, id: RequestId, within: Duration) -> Result<S::Answer, Error> {
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

    /// The answer to a command, if it is there.
    pub fn try_reply(&mut self, id: RequestId) -> Option<Result<S::Answer, Error>> {
        self.replies.remove(&id)
    }

    /// The next thing that happens, if it does so in the time given and before the [`Alarm`] rings or an answer
    /// comes. Answers are no events here.
    ///
    /// # Errors
    /// [`Error::Server`], [`Error::Network`]; after [`Event::Ended`] always [`Error::Ended`].
    pub fn next_event(&mut self, within: Duration) -> Result<Option<Event<S>>, Error> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            match self.turn(deadline) {
                Ok(Turned::Nothing) => {}
                Ok(Turned::Happened) => return Ok(self.events.pop_front()),
                Ok(Turned::Rung) | Err(Error::Timeout) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Shows that the connection lives.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn nop(&mut self) -> Result<(), Error> {
        self.session.nop();
        self.flush()
    }

    /// Goes offline in order.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn close(mut self) -> Result<(), Error> {
        self.flush()?;
        self.pipe.finish();
        Ok(())
    }

    fn ask(
        &mut self,
        request: impl FnOnce(&mut Session<S>) -> Result<RequestId, Error>,
    ) -> Result<S::Answer, Error> {
        let id = self.start(request)?;
        self.reply(id, self.patience)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.pipe.write(self.session.unsent())?;
        self.session.sent(self.session.unsent().len());
        Ok(())
    }

    /// Writes what waits, reads once, and sorts what that brings.
    fn turn(&mut self, deadline: Instant) -> Result<Turned, Error> {
        self.flush()?;
        let mut buffer = [0; 16 * 1024];
        match self.pipe.read(&mut buffer, deadline)? {
            None => Ok(Turned::Rung),
            Some(0) => {
                self.session.closed();
                if self.sort() == 0 { Err(Error::Ended) } else { Ok(Turned::Happened) }
            }
            Some(count) => {
                self.session.receive(buffer.get(..count).unwrap_or_default())?;
                let happened = self.sort() > 0;
                self.flush()?;
                Ok(if happened { Turned::Happened } else { Turned::Nothing })
            }
        }
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

impl Client<Imtp> {
    /// Asks for messages: see [`imtp::Session::listen`].
    ///
    /// # Errors
    /// [`Error::Failed`] if it isn't granted, and all the other kinds.
    pub fn listen(&mut self, only: &[&str], except: &[&str]) -> Result<(), Error> {
        self.ask(|session| session.listen(only, except)).map(drop)
    }

    /// Sends a message and waits until it is answered.
    ///
    /// # Errors
    /// [`Error::Failed`] if it was not delivered; after [`Error::Timeout`] or [`Error::Ended`] nobody can tell.
    pub fn send(&mut self, to: &str, message: &Body) -> Result<Sent, Error> {
        match self.ask(|session| session.send(to, message))? {
            imtp::Answer::Sent(sent) => Ok(sent),
            imtp::Answer::Listening => Err(wrong_kind()),
        }
    }

    /// Tells the sender of a message that it has arrived, and what there is to say.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn okay(&mut self, message: Incoming, said: Option<&Body>) -> Result<(), Error> {
        self.session.okay(message, said);
        self.flush()
    }

    /// Tells the sender of a message that it is not taken.
    ///
    /// # Errors
    /// [`Error::Network`].
    pub fn refuse(&mut self, message: Incoming, error: ErrorType, why: &str) -> Result<(), Error> {
        self.session.refuse(message, error, why);
        self.flush()
    }
}

impl Client<Pitp> {
    /// What somebody shows us now.
    ///
    /// # Errors
    /// [`Error::Failed`] if that is nothing, and all the other kinds.
    pub fn fetch(&mut self, whom: &str) -> Result<Body, Error> {
        self.ask(|session| session.fetch(whom)).and_then(document)
    }

    /// What somebody shows us now; changes of it come as events.
    ///
    /// # Errors
    /// [`Error::Failed`] if that is nothing, and all the other kinds.
    pub fn subscribe(&mut self, whom: &str) -> Result<Body, Error> {
        self.ask(|session| session.subscribe(whom)).and_then(document)
    }

    /// No more of that.
    ///
    /// # Errors
    /// All kinds.
    pub fn unsubscribe(&mut self, whom: &str) -> Result<(), Error> {
        self.ask(|session| session.unsubscribe(whom)).map(drop)
    }

    /// What a mapping shows from now on: see [`pitp::Session::change`]. On return it is kept for good; so with
    /// the next three.
    ///
    /// # Errors
    /// All kinds.
    pub fn change(&mut self, mapping: u32, document: Option<&Body>) -> Result<(), Error> {
        self.ask(|session| session.change(mapping, document)).map(drop)
    }

    /// A new mapping gets this number.
    ///
    /// # Errors
    /// All kinds.
    pub fn insert_mapping(&mut self, at: u32, class: &[&str], document: Option<&Body>) -> Result<(), Error> {
        self.ask(|session| session.insert_mapping(at, class, document)).map(drop)
    }

    /// A mapping goes.
    ///
    /// # Errors
    /// All kinds.
    pub fn delete_mapping(&mut self, mapping: u32) -> Result<(), Error> {
        self.ask(|session| session.delete_mapping(mapping)).map(drop)
    }

    /// For whom a mapping is from now on.
    ///
    /// # Errors
    /// All kinds.
    pub fn set_class(&mut self, mapping: u32, class: &[&str]) -> Result<(), Error> {
        self.ask(|session| session.set_class(mapping, class)).map(drop)
    }

    /// For whom a mapping is; none, if there is no such mapping.
    ///
    /// # Errors
    /// All kinds.
    pub fn get_class(&mut self, mapping: u32) -> Result<Option<Vec<String>>, Error> {
        match self.ask(|session| session.get_class(mapping)) {
            Ok(pitp::Answer::Class(patterns)) => Ok(Some(patterns)),
            Ok(_) => Err(wrong_kind()),
            Err(Error::Failed(why)) if why.known() == Some(ErrorType::MappingRange) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What a mapping shows, if anything; the next change of it fails if it is no longer that.
    ///
    /// # Errors
    /// All kinds.
    pub fn fetch_for_update(&mut self, mapping: u32) -> Result<Option<Body>, Error> {
        match self.ask(|session| session.fetch_for_update(mapping))? {
            pitp::Answer::Shown(document) => Ok(document),
            _ => Err(wrong_kind()),
        }
    }

    /// Who watches us now; who comes, goes or looks comes as events.
    ///
    /// # Errors
    /// All kinds.
    pub fn start_wi(&mut self) -> Result<Vec<Watcher>, Error> {
        match self.ask(|session| session.start_wi())? {
            pitp::Answer::Watchers(watchers) => Ok(watchers),
            _ => Err(wrong_kind()),
        }
    }

    /// Ends a subscription to our presence.
    ///
    /// # Errors
    /// [`Error::Failed`] if there is none, and all the other kinds.
    pub fn terminate(&mut self, watcher: &Watcher) -> Result<(), Error> {
        self.ask(|session| session.terminate(watcher)).map(drop)
    }
}

fn document(answer: pitp::Answer) -> Result<Body, Error> {
    match answer {
        pitp::Answer::Document(body) => Ok(body),
        _ => Err(wrong_kind()),
    }
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

    const LONG: Duration = Duration::from_secs(60);

    /// The server's side of a connection: waits for a piece of text, then says something.
    struct Script {
        stream: TcpStream,
        heard: String,
    }

    impl Script {
        /// Accepts a client and lets it in by PLAIN.
        fn accept(listener: &TcpListener) -> Script {
            let stream = listener.accept().unwrap().0;
            stream.set_read_timeout(Some(LONG)).unwrap();
            let mut script = Script { stream, heard: String::new() };
            script.say("=mech PLAIN\n");
            script.await_text("pencil");
            script.say("<1 ok (auth)\n\n=mech PLAIN\n");
            script
        }

        /// Reads up to a text and with it.
        fn await_text(&mut self, text: &str) {
            let (text, mut buffer) = (text.replace('\n', "\r\n"), [0; 1024]);
            while !self.heard.contains(&text) {
                let count = self.stream.read(&mut buffer).unwrap();
                assert!(count > 0, "the client is gone; it said {:?}", self.heard);
                self.heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
            }
            let end = self.heard.find(&text).unwrap() + text.len();
            self.heard.drain(..end);
        }

        fn say(&mut self, text: &str) {
            self.stream.write_all(text.replace('\n', "\r\n").as_bytes()).unwrap();
        }
    }

    fn listen() -> (TcpListener, Place, Account) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let place = Place::clear("127.0.0.1", listener.local_addr().unwrap().port());
        let account = Account::new("ana@a.test", Proof::Password(Secret::new("pencil".into()))).unwrap();
        (listener, place, account)
    }

    #[test]
    fn logs_in_sends_hears_and_goes() {
        let (listener, place, account) = listen();
        let server = thread::spawn(move || {
            let mut own = Script::accept(&listener);
            own.await_text(">2 listen\n");
            own.say("<2 ok (listen)\n\n");
            own.await_text("\n\nhi");
            // A message comes before the answer; the answer is found all the same.
            own.say(">a send\nSender: im:ben@b.test\nInbox: im:ana@a.test\nContent-Length: 2\n\nyo<3 ok (send)\n\n");
            own.await_text("<a ok (send)\n\n");
            assert_eq!(own.stream.read(&mut [0; 9]).unwrap(), 0);
        });
        let mut ana = Messages::login(&place, &account).unwrap();
        ana.listen(&[], &[]).unwrap();
        assert_eq!(
            ana.send("ben@b.test", &Body::plain("hi")).unwrap(),
            Sent { said: None, unreliable: None }
        );
        let Some(Event::Told(told)) = ana.next_event(LONG).unwrap() else { panic!() };
        assert_eq!(told.message.body.text(), "yo");
        ana.okay(told.id, None).unwrap();
        ana.close().unwrap();
        server.join().unwrap();
    }

    #[test]
    fn waits_end_by_the_alarm_and_by_their_time_and_late_answers_are_thrown_away() {
        let (listener, place, account) = listen();
        let server = thread::spawn(move || {
            let mut own = Script::accept(&listener);
            own.await_text(">3 get-class\n");
            own.say("<2 ok (get-class)\nWpattern: *\n\n<3 error (get-class)\nError-Type: mapping-range\n\n");
            own.await_text(">4 fetch\n");
        });
        let mut ana = Presence::login(&place, &account).unwrap();
        let alarm = ana.alarm();
        let ringing = thread::spawn(move || alarm.ring());
        assert!(matches!(ana.next_event(LONG), Ok(None)));
        ringing.join().unwrap();
        assert!(matches!(ana.next_event(Duration::ZERO), Ok(None)));
        let late = ana.start(|session| session.get_class(1)).unwrap();
        assert!(matches!(ana.reply(late, Duration::ZERO), Err(Error::Timeout)));
        assert_eq!(ana.get_class(2).unwrap(), None);
        assert!(ana.try_reply(late).is_none());
        // The server goes away instead of answering.
        assert!(matches!(ana.fetch("ben@b.test"), Err(Error::Ended)));
        assert!(matches!(ana.next_event(LONG), Ok(Some(Event::Ended))));
        assert!(matches!(ana.next_event(LONG), Err(Error::Ended)));
        server.join().unwrap();
        assert!(matches!(Presence::login(&place, &account), Err(Error::Network(_))));
    }
}
