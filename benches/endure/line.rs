//! Somebody's connection for messages, over either family, that is opened anew after his server has died.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::client::blocking::transfer::Messages;
use hearth::client::blocking::{Client, transfer};
use hearth::client::transfer::Body;
use hearth::client::transfer::imtp::Incoming as Told;
use hearth::client::{Error, Event, Incoming};
use hearth::imtp::error_type::ErrorType;

use crate::home::Home;
use crate::rig::house::Service;

/// How long anything asked may take.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A connection for messages.
pub enum Line {
    /// SIMP.
    Simp(Box<Client>),
    /// IMTP, which listens.
    Imtp(Box<Messages>),
}

/// A message that has come, and what answers it.
pub struct Heard {
    /// Who sent it.
    pub from: String,
    /// What it says.
    pub text: String,
    answer: Answer,
}

enum Answer {
    Simp(Incoming),
    Imtp(Told),
}

/// A message under way.
#[derive(Clone, Copy)]
pub enum Sent {
    /// Over SIMP.
    Simp(hearth::client::RequestId),
    /// Over IMTP.
    Imtp(hearth::client::transfer::RequestId),
}

impl Line {
    /// Logs in, and takes messages from now on.
    ///
    /// # Errors
    /// The client's.
    pub fn login(home: &Home, local: &str, service: Service) -> Result<Line, Error> {
        let (place, account) = (home.place(service), home.account(local, service)?);
        match service {
            Service::Simp => {
                let mut client = Client::login(&place, account)?;
                client.set_patience(PATIENCE);
                Ok(Line::Simp(Box::new(client)))
            }
            Service::Imtp | Service::Pitp => {
                let mut client = Messages::login(&place, &account)?;
                client.set_patience(PATIENCE);
                client.listen(&[], &[])?;
                Ok(Line::Imtp(Box::new(client)))
            }
        }
    }

    /// Sends and waits: is there somebody behind the ok, or is it only kept?
    ///
    /// # Errors
    /// The client's.
    pub fn send(&mut self, to: &str, text: &str) -> Result<bool, Error> {
        match self {
            Line::Simp(client) => Ok(client.send(to, text)? != hearth::hub::KEPT),
            Line::Imtp(client) => Ok(client.send(to, &Body::plain(text))?.unreliable.is_none()),
        }
    }

    /// Sends without waiting.
    ///
    /// # Errors
    /// The client's.
    pub fn start(&mut self, to: &str, text: &str) -> Result<Sent, Error> {
        match self {
            Line::Simp(client) => {
                let message = hearth::client::Message::text(to, text);
                client.start(|session| session.send(&message)).map(Sent::Simp)
            }
            Line::Imtp(client) => {
                let body = Body::plain(text);
                client.start(|session| session.send(to, &body)).map(Sent::Imtp)
            }
        }
    }

    /// What came of a message: was it taken?
    ///
    /// # Errors
    /// The client's; that it was refused is none.
    pub fn outcome(&mut self, sent: Sent, within: Duration) -> Result<bool, Error> {
        let outcome = match (self, sent) {
            (Line::Simp(client), Sent::Simp(id)) => client.reply(id, within).map(drop),
            (Line::Imtp(client), Sent::Imtp(id)) => client.reply(id, within).map(drop),
            _ => Err(Error::Caller("another's message")),
        };
        match outcome {
            Ok(()) => Ok(true),
            Err(Error::Refused(_) | Error::Failed(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next message, if one comes in time.
    ///
    /// # Errors
    /// The client's.
    pub fn hear(&mut self, within: Duration) -> Result<Option<Heard>, Error> {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self {
                Line::Simp(client) => match client.next_event(left)? {
                    Some(Event::Message { id, message }) => {
                        let (from, text) = (message.from, message.body);
                        return Ok(Some(Heard { from, text, answer: Answer::Simp(id) }));
                    }
                    Some(Event::Ended) => return Err(Error::Ended),
                    Some(_) => {}
                    None => return Ok(None),
                },
                Line::Imtp(client) => match client.next_event(left)? {
                    Some(hearth::client::transfer::Event::Told(notice)) => {
                        let (from, text) = (notice.message.sender, notice.message.body.text().into_owned());
                        return Ok(Some(Heard { from, text, answer: Answer::Imtp(notice.id) }));
                    }
                    Some(hearth::client::transfer::Event::Ended) => return Err(Error::Ended),
                    Some(_) => {}
                    None if left.is_zero() => return Ok(None),
                    None => {}
                },
            }
        }
    }

    /// Takes a message.
    ///
    /// # Errors
    /// The client's.
    pub fn okay(&mut self, heard: Heard) -> Result<(), Error> {
        match (self, heard.answer) {
            (Line::Simp(client), Answer::Simp(id)) => client.okay(id, "okay"),
            (Line::Imtp(client), Answer::Imtp(id)) => client.okay(id, None),
            _ => Err(Error::Caller("an answer to another's message")),
        }
    }

    /// Refuses a message.
    ///
    /// # Errors
    /// The client's.
    pub fn refuse(&mut self, heard: Heard) -> Result<(), Error> {
        match (self, heard.answer) {
            (Line::Simp(client), Answer::Simp(id)) => client.refuse(id, "not now"),
            (Line::Imtp(client), Answer::Imtp(id)) => {
                client.refuse(id, ErrorType::TargetAuthorization, "not now")
            }
            _ => Err(Error::Caller("an answer to another's message")),
        }
    }

    /// Goes in order.
    ///
    /// # Errors
    /// The client's.
    pub fn close(self) -> Result<(), Error> {
        match self {
            Line::Simp(client) => client.close(),
            Line::Imtp(client) => client.close(),
        }
    }
}

/// One user's connection of some kind, opened when it is needed and again when his server has been started anew.
pub struct Anew<T> {
    home: Arc<Home>,
    local: String,
    open: Option<(u64, T)>,
    login: fn(&Home, &str) -> Result<T, Error>,
}

impl<T> Anew<T> {
    /// Not open yet.
    pub fn new(home: &Arc<Home>, local: &str, login: fn(&Home, &str) -> Result<T, Error>) -> Anew<T> {
        Anew { home: Arc::clone(home), local: local.to_owned(), open: None, login }
    }

    /// The connection to the server as it runs now.
    ///
    /// # Errors
    /// The client's.
    pub fn get(&mut self) -> Result<&mut T, Error> {
        let starts = self.home.starts();
        if self.open.as_ref().is_none_or(|(start, _)| *start != starts) {
            self.open = Some((starts, (self.login)(&self.home, &self.local)?));
        }
        self.open.as_mut().map(|(_, open)| open).ok_or(Error::Ended)
    }

    /// Whose it is.
    pub fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// His address.
    pub fn address(&self) -> String {
        self.home.address(&self.local)
    }

    /// The local part of it.
    pub fn local(&self) -> &str {
        &self.local
    }
}

/// A SIMP client.
///
/// # Errors
/// The client's.
pub fn simp(home: &Home, local: &str) -> Result<Client, Error> {
    let mut client = Client::login(&home.place(Service::Simp), home.account(local, Service::Simp)?)?;
    client.set_patience(PATIENCE);
    Ok(client)
}

/// A PITP client.
///
/// # Errors
/// The client's.
pub fn pitp(home: &Home, local: &str) -> Result<transfer::Presence, Error> {
    let account = home.account(local, Service::Pitp)?;
    let mut client = transfer::Presence::login(&home.place(Service::Pitp), &account)?;
    client.set_patience(PATIENCE);
    Ok(client)
}
