//! The connection for messages.

use std::collections::BTreeMap;
use std::time::Instant;

use super::{Events, Home, Inbox, SILENCE, Stop, keep};
use crate::cli::chat::state::{Delivery, Token};
use crate::cli::chat::update::Event;
use crate::cli::harmless::one_line;
use crate::client::Error;
use crate::client::blocking::PATIENCE;
use crate::client::blocking::transfer::Client;
use crate::client::transfer::imtp::{Answer, Imtp, Notice, Sent};
use crate::client::transfer::{self, Body, Failure, RequestId};
use crate::imtp::error_type::ErrorType;

/// What it is told.
#[derive(Debug)]
pub enum Command {
    /// A message: its name, to whom, and what.
    Send(Token, String, String),
    /// What those who write to us are told besides; none: nothing.
    Away(Option<String>),
}

/// Messages without an answer.
type Waiting = BTreeMap<RequestId, (Token, Instant)>;

/// Works until it is told to end.
pub fn run(home: &Home, first: Client<Imtp>, mut inbox: Inbox<Command>, events: &Events) {
    let mut away = None;
    let tell = |line| drop(events.send(Event::Messages(line)));
    keep(home, Some(first), &mut inbox, tell, |mut client, inbox| {
        let mut waiting = Waiting::new();
        let stop = serve(&mut client, inbox, &mut away, &mut waiting, events);
        for (token, _) in waiting.into_values() {
            let why = "the connection was cut before the answer".to_owned();
            let _ = events.send(Event::Answered(token, Delivery::Unknown(why)));
        }
        if matches!(stop, Stop::Over) {
            // The other end may be gone already.
            let _ = client.close();
        }
        stop
    });
}

fn serve(
    client: &mut Client<Imtp>,
    inbox: &mut Inbox<Command>,
    away: &mut Option<Body>,
    waiting: &mut Waiting,
    events: &Events,
) -> Stop {
    let mut work = || -> Result<(), Error> {
        client.listen(&[], &[])?;
        loop {
            while let Some(command) = inbox.next() {
                told(client, command, away, waiting, events)?;
            }
            if inbox.is_over() {
                return Ok(());
            }
            answers(client, waiting, events);
            let now = Instant::now();
            if waiting.values().any(|(_, until)| *until <= now) {
                return Err(Error::Timeout);
            }
            let until = waiting.values().map(|(_, until)| *until - now).min().unwrap_or(SILENCE).min(SILENCE);
            match client.next_event(until)? {
                Some(transfer::Event::Told(Notice { id, message })) => {
                    client.okay(id, away.as_ref())?;
                    let _ = events.send(Event::Received(message));
                }
                Some(transfer::Event::Moving | transfer::Event::Ended) => return Err(Error::Ended),
                Some(_) => {}
                None if now.elapsed() >= SILENCE => client.nop()?,
                None => {}
            }
        }
    };
    match work() {
        Ok(()) => Stop::Over,
        Err(error) => Stop::Lost(error),
    }
}

fn told(
    client: &mut Client<Imtp>,
    command: Command,
    away: &mut Option<Body>,
    waiting: &mut Waiting,
    events: &Events,
) -> Result<(), Error> {
    match command {
        Command::Away(words) => {
            *away = words.map(|words| Body::plain(if words.is_empty() { "away" } else { &words }));
            Ok(())
        }
        Command::Send(token, to, text) => {
            match client.start(|session| session.send(&to, &Body::plain(&text))) {
                Ok(id) => {
                    waiting.insert(id, (token, Instant::now() + PATIENCE));
                    let _ = events.send(Event::Answered(token, Delivery::Sending));
                    Ok(())
                }
                Err(Error::Caller(why)) => {
                    let _ = events.send(Event::Answered(token, Delivery::Failed(why.to_owned())));
                    Ok(())
                }
                Err(error) => {
                    let why = "the connection was cut while it was sent".to_owned();
                    let _ = events.send(Event::Answered(token, Delivery::Unknown(why)));
                    Err(error)
                }
            }
        }
    }
}

fn answers(client: &mut Client<Imtp>, waiting: &mut Waiting, events: &Events) {
    waiting.retain(|id, (token, _)| {
        let Some(outcome) = client.try_reply(*id) else { return true };
        let _ = events.send(Event::Answered(*token, delivery(outcome)));
        false
    });
}

/// What an answer means.
pub fn delivery(outcome: Result<Answer, Error>) -> Delivery {
    match outcome {
        Ok(Answer::Sent(sent)) => taken(&sent),
        Ok(Answer::Listening) => Delivery::Delivered,
        Err(Error::Failed(failure)) => Delivery::Failed(why(&failure)),
        Err(Error::Caller(why)) => Delivery::Failed(why.to_owned()),
        Err(error) => Delivery::Unknown(super::reason(&error)),
    }
}

fn taken(sent: &Sent) -> Delivery {
    let said = sent.said.as_ref().map(|body| one_line(&body.text())).filter(|said| !said.is_empty());
    match (said, &sent.unreliable) {
        (Some(said), _) => Delivery::Answered(said),
        (None, Some(who)) => {
            Delivery::Answered(format!("{} does not tell whether he reads it", one_line(who)))
        }
        (None, None) => Delivery::Delivered,
    }
}

/// Why a message has failed, for people.
pub fn why(failure: &Failure) -> String {
    let said = match failure.known() {
        Some(ErrorType::NoListeners) => "he is not online",
        Some(ErrorType::TargetNotFound) => "there is no such address",
        Some(ErrorType::TargetAuthorization) => "he does not take your messages",
        Some(ErrorType::Communications) => "his server can't be reached",
        Some(ErrorType::Resources) => "a server is too busy",
        Some(ErrorType::Quota) => "too much at once",
        Some(ErrorType::SourceAuthorization) => "his server does not believe that it comes from yours",
        Some(ErrorType::Loop) => "it went round in a loop",
        _ => return one_line(&failure.to_string()),
    };
    match failure.known() {
        // What the server has to add says more only here.
        Some(ErrorType::Resources | ErrorType::Quota | ErrorType::SourceAuthorization) => {
            let more = failure.description.as_deref().map(|d| format!(" ({})", one_line(d)));
            format!("{said}{}", more.unwrap_or_default())
        }
        _ => said.to_owned(),
    }
}
