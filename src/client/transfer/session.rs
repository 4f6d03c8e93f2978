//! One connection, from the server's greeting to its end.
//!
//! After the login the program's commands get numbers, and what comes of them comes back as events, in any
//! order; several can be under way. What a service's commands and answers mean is told by its [`Service`].

use std::collections::{BTreeMap, VecDeque};

use super::login::{Exchange, Login, Turn};
use super::types::Failure;
use super::wire::{Said, Wire};
use crate::client::Error;
use crate::hub::address::{Address, Domain, Domains};
use crate::imtp::Protocol;
use crate::imtp::command::{Auth, Command, Fault, Okay, Response};
use crate::imtp::error_type::{ErrorType, Reason};
use crate::imtp::message::{Kind, Message};
use crate::imtp::method::{Method, Side};
use crate::imtp::url::Identifier;
use crate::imtp::write::{self, Relayed};

/// Messages, or presence: what is said on a connection after the login.
pub trait Service: Default + std::fmt::Debug {
    /// Which of the two.
    const PROTOCOL: Protocol;
    /// What its commands are answered with.
    type Answer: std::fmt::Debug;
    /// What its server tells unasked.
    type Notice: std::fmt::Debug;

    /// What an ok means.
    fn okayed(&mut self, method: Method, okay: &Okay<'_>, ours: &Domains) -> Self::Answer;

    /// A command about somebody has failed.
    fn failed(&mut self, method: Method, about: Option<&Address>, why: &Failure);

    /// The server asks or tells something.
    fn told(&mut self, message: &Message<'_>, command: &Command<'_>, ours: &Domains) -> Told<Self::Notice>;
}

/// What becomes of a command of the server's.
#[derive(Debug)]
pub enum Told<N> {
    /// It is answered with ok at once; the program is told.
    Okay(N),
    /// The program is told, and answers.
    Later(N),
    /// It is refused; nobody is told.
    Refuse(ErrorType, &'static str),
}

/// A command of the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub(super) u64);

/// What has happened.
#[derive(Debug)]
pub enum Event<S: Service> {
    /// We are logged in: commands may be given.
    Ready,
    /// A command was answered, or failed.
    Replied {
        /// Which.
        id: RequestId,
        /// By what.
        outcome: Result<S::Answer, Error>,
    },
    /// The server tells something.
    Told(S::Notice),
    /// The server is about to stop: the program is asked to connect elsewhere (COMMON-14.2-2).
    Moving,
    /// The connection is gone.
    Ended,
}

/// A connection. Until [`Event::Ready`] nothing may be asked.
#[derive(Debug)]
pub struct Session<S: Service> {
    wire: Wire,
    pub(super) talk: Talk<S>,
}

/// All but the input, so that it can be changed while a message borrows the input.
#[derive(Debug)]
pub(super) struct Talk<S: Service> {
    exchange: Exchange,
    pub own: Address,
    pub ours: Domains,
    pub out: Vec<u8>,
    last_id: u64,
    waiting: BTreeMap<u64, Waiting>,
    pub service: S,
    events: VecDeque<Event<S>>,
    ended: bool,
}

#[derive(Debug)]
struct Waiting {
    method: Method,
    about: Option<Address>,
}

impl<S: Service> Session<S> {
    /// Waits for the server's greeting, and logs in when it has come.
    pub fn new(login: Login) -> Session<S> {
        let own = login.address.clone();
        let ours = Domains::new(Domain::parse(own.domain()).into_iter().collect());
        // Seen from home the case of a local part says nothing.
        let own = Address::parse(own.as_str(), &ours).unwrap_or(own);
        let talk = Talk {
            exchange: Exchange::new(login),
            own,
            ours,
            out: Vec::new(),
            last_id: 0,
            waiting: BTreeMap::new(),
            service: S::default(),
            events: VecDeque::new(),
            ended: false,
        };
        Session { wire: Wire::new(), talk }
    }

    /// Whose it is.
    pub fn address(&self) -> &Address {
        &self.talk.own
    }

    /// Are we logged in?
    pub fn is_ready(&self) -> bool {
        self.talk.exchange.is_done()
    }

    /// An address as it is compared: of our own domain the case says nothing.
    ///
    /// # Errors
    /// [`Error::Caller`] if it is none, or one that can't be written in these protocols.
    pub fn resolve(&self, whom: &str) -> Result<Address, Error> {
        self.talk.resolve(whom)
    }

    /// Takes in octets from the connection. Afterwards there may be events and octets to write.
    ///
    /// # Errors
    /// [`Error::Failed`] if the login was refused, [`Error::Server`] if the stream can't be read on or the
    /// server is not ours: the connection is to be closed.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), Error> {
        self.wire.receive(data);
        loop {
            if self.talk.exchange.is_done() {
                self.wire.prove();
            }
            let Some(said) = self.wire.step()? else { return Ok(()) };
            match said {
                Said::Nothing => {}
                Said::Mech(list) => {
                    let turn = self.talk.exchange.listed(list)?;
                    self.talk.turn(turn);
                }
                Said::Message(message) if message.start().kind == Kind::Command => {
                    self.talk.asked(&message)?;
                }
                Said::Message(message) => self.talk.answered(&message)?,
                Said::Oversized(message) => self.talk.oversized(&message)?,
            }
        }
    }

    /// The connection is gone: what waits for an answer has failed.
    pub fn closed(&mut self) {
        self.talk.end();
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event<S>> {
        self.talk.events.pop_front()
    }

    /// What waits to be written.
    pub fn unsent(&self) -> &[u8] {
        &self.talk.out
    }

    /// The first `count` octets of it have been written.
    pub fn sent(&mut self, count: usize) {
        self.talk.out.drain(..count.min(self.talk.out.len()));
    }

    /// Says nothing, so that the connection is seen to live (COMMON-10-4).
    pub fn nop(&mut self) {
        self.talk.out.extend_from_slice(write::NOP);
    }
}

impl<S: Service> Talk<S> {
    pub fn resolve(&self, whom: &str) -> Result<Address, Error> {
        let address = Address::parse_quoted(whom, &self.ours)
            .map_err(|_| Error::Caller("an address has the form user@domain"))?;
        match Identifier::parse(address.as_str()) {
            Some(_) => Ok(address),
            None => Err(Error::Caller("IMTP and PITP have no names but ASCII")),
        }
    }

    /// Gives a command; the address is whom it is about, where that matters for the answer.
    pub fn request(&mut self, about: Option<Address>, command: &Command<'_>) -> Result<RequestId, Error> {
        if self.ended {
            return Err(Error::Ended);
        }
        if !self.exchange.is_done() {
            return Err(Error::Caller("not logged in yet"));
        }
        Ok(RequestId(self.command(about, command)))
    }

    fn command(&mut self, about: Option<Address>, command: &Command<'_>) -> u64 {
        self.last_id += 1;
        self.waiting.insert(self.last_id, Waiting { method: command.method(), about });
        write::command(&mut self.out, self.last_id, command, &Relayed::default());
        self.last_id
    }

    fn turn(&mut self, turn: Turn) {
        match turn {
            Turn::Begin(mechanism, initial) => {
                let auth = Auth::Begin { mechanism: mechanism.name(), initial: Some(&initial) };
                self.command(None, &Command::Auth(auth));
            }
            Turn::Done => self.events.push_back(Event::Ready),
        }
    }

    /// A command of the server's.
    fn asked(&mut self, message: &Message<'_>) -> Result<(), Error> {
        if !self.exchange.is_done() {
            return Err(Error::Server("a command before the login".into()));
        }
        let start = message.start();
        let parsed = Command::parse(message, S::PROTOCOL, Side::Home, &self.ours);
        let command = match parsed {
            Ok(command) => command,
            Err(fault) => {
                let said = fault.to_string();
                write::refuse(&mut self.out, start.id, start.method, fault.error_type(), &said);
                return Ok(());
            }
        };
        let okay = |out: &mut Vec<u8>| {
            write::ok(out, start.id, command.method(), None, None, &Relayed::default());
        };
        if command == Command::Shutdown {
            okay(&mut self.out);
            self.events.push_back(Event::Moving);
            return Ok(());
        }
        match self.service.told(message, &command, &self.ours) {
            Told::Okay(notice) => {
                okay(&mut self.out);
                self.events.push_back(Event::Told(notice));
            }
            Told::Later(notice) => self.events.push_back(Event::Told(notice)),
            Told::Refuse(error, why) => write::refuse(&mut self.out, start.id, start.method, error, why),
        }
        Ok(())
    }

    /// A response. One to nothing is passed over (TOC-36).
    fn answered(&mut self, message: &Message<'_>) -> Result<(), Error> {
        let start = message.start();
        let Some((id, Waiting { method, about })) = self.take(start.id) else { return Ok(()) };
        if start.method != method.as_str() {
            // It has no answer yet: that the connection is closed will be one.
            self.waiting.insert(id, Waiting { method, about });
            return Err(Error::Server(format!(
                "an answer to {} where one to {method:?} is due",
                start.method
            )));
        }
        let response = Response::parse(message, method, S::PROTOCOL);
        if method == Method::Auth {
            return self.auth_answered(response);
        }
        let outcome = match response {
            Ok(Response::Ok(okay)) => Ok(self.service.okayed(method, &okay, &self.ours)),
            Ok(Response::Error(failure)) => {
                let failure = Failure::from(&failure);
                self.service.failed(method, about.as_ref(), &failure);
                Err(Error::Failed(failure))
            }
            Err(fault) => Err(Error::Server(fault.to_string())),
        };
        self.events.push_back(Event::Replied { id: RequestId(id), outcome });
        Ok(())
    }

    fn take(&mut self, id: &str) -> Option<(u64, Waiting)> {
        // Ours have no leading zeros, so that each is spelt in one way.
        let number = id.parse().ok().filter(|number: &u64| number.to_string() == id)?;
        self.waiting.remove(&number).map(|waiting| (number, waiting))
    }

    fn auth_answered(&mut self, response: Result<Response<'_>, Fault>) -> Result<(), Error> {
        match response.map_err(|fault| Error::Server(fault.to_string()))? {
            Response::Ok(okay) => self.exchange.accepted(okay.payload.map(|payload| payload.octets)),
            Response::Error(failure) if failure.reason == Reason::Known(ErrorType::SaslChallenge) => {
                let response = self.exchange.challenged(failure.challenge.unwrap_or_default())?;
                self.command(None, &Command::Auth(Auth::Continue { response: &response }));
                Ok(())
            }
            Response::Error(failure) => Err(Error::Failed(Failure::from(&failure))),
        }
    }

    /// A message whose payload is passed over, as there is no room for it.
    fn oversized(&mut self, message: &Message<'_>) -> Result<(), Error> {
        let start = message.start();
        if start.kind == Kind::Command {
            let error = Method::of(start.method).map_or(ErrorType::UnknownMethod, Method::too_much);
            write::refuse(&mut self.out, start.id, start.method, error, "the payload is too large");
        } else if let Some((id, waiting)) = self.take(start.id) {
            let error = Error::Server("an answer that is too large".into());
            // Of its login the program knows no number; without an answer to that there is none.
            if waiting.method == Method::Auth {
                return Err(error);
            }
            self.events.push_back(Event::Replied { id: RequestId(id), outcome: Err(error) });
        }
        Ok(())
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // Of its login the program knows no number.
        let waiting = std::mem::take(&mut self.waiting);
        for (id, _) in waiting.into_iter().filter(|(_, waiting)| waiting.method != Method::Auth) {
            self.events.push_back(Event::Replied { id: RequestId(id), outcome: Err(Error::Ended) });
        }
        self.events.push_back(Event::Ended);
    }
}
