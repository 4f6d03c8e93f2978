//! Without a terminal: messages that come are lines on stdout, `ADDRESS TEXT` on stdin is a message. At the
//! end of stdin it waits until every message has its answer, and ends.

use std::collections::BTreeMap;
use std::io::{BufRead, Read, stdin};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::state::{Delivery, State, Token};
use super::update::{Event, Line, shown};
use super::wire::{Handle, messages};
use crate::cli::failure::{Done, Failure};
use crate::cli::harmless::one_line;
use crate::cli::output::{self, complain, say};
use crate::limits;

/// What happens.
enum Said {
    /// A line of stdin.
    Line(String),
    /// Its end, or why it can't be read.
    End(Option<String>),
    /// Something else.
    Event(Event),
}

/// Runs until stdin ends and all is answered.
pub fn run(mut state: State, messages: Handle<messages::Command>, happening: Receiver<Event>) -> Done {
    let (tell, said) = channel();
    read(tell.clone());
    std::thread::spawn(move || {
        for event in happening {
            if tell.send(Said::Event(event)).is_err() {
                break;
            }
        }
    });
    let mut work = Work { waiting: BTreeMap::new(), failed: 0, ended: false };
    while let Ok(said) = said.recv() {
        work.happened(&mut state, &messages, said);
        if work.ended && work.waiting.is_empty() || !output::is_read() {
            break;
        }
    }
    messages.end();
    match work.failed {
        0 => Ok(()),
        1 => Err(Failure::new("one message was not delivered")),
        count => Err(Failure::new(format!("{count} messages were not delivered"))),
    }
}

struct Work {
    /// Messages without an answer, and to whom they are.
    waiting: BTreeMap<Token, String>,
    failed: usize,
    ended: bool,
}

impl Work {
    fn happened(&mut self, state: &mut State, messages: &Handle<messages::Command>, said: Said) {
        match said {
            Said::Line(line) => self.line(state, messages, &line),
            Said::End(why) => {
                self.ended = true;
                if let Some(why) = why {
                    self.fail(format_args!("stdin can't be read: {why}"));
                }
            }
            Said::Event(Event::Received(message)) => {
                let from = one_line(&message.sender);
                for line in shown(&message.body).split('\n') {
                    say!("{from}: {line}");
                }
            }
            Said::Event(Event::Answered(token, delivery)) => self.answered(token, delivery),
            Said::Event(Event::Messages(Line::Down(why, again))) => {
                complain!("hearth: no connection: {why}; again in {} s", again.as_secs());
            }
            Said::Event(_) => {}
        }
    }

    fn line(&mut self, state: &mut State, messages: &Handle<messages::Command>, line: &str) {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() {
            return;
        }
        let (to, text) = line.split_once(' ').unwrap_or((line, ""));
        let Some(to) = state.resolve(to) else {
            return self.fail(format_args!("{to} is no address: write ADDRESS TEXT"));
        };
        let token = state.token();
        self.waiting.insert(token, to.clone());
        messages.tell(messages::Command::Send(token, to, text.to_owned()));
    }

    fn answered(&mut self, token: Token, delivery: Delivery) {
        if matches!(delivery, Delivery::Waiting | Delivery::Sending) {
            return;
        }
        let Some(to) = self.waiting.remove(&token) else { return };
        match delivery {
            Delivery::Failed(why) => self.fail(format_args!("not delivered to {to}: {why}")),
            Delivery::Unknown(why) => self.fail(format_args!("not known to be delivered to {to}: {why}")),
            Delivery::Answered(words) => complain!("hearth: {to} says: {words}"),
            Delivery::Delivered | Delivery::Waiting | Delivery::Sending => {}
        }
    }

    fn fail(&mut self, why: std::fmt::Arguments<'_>) {
        self.failed += 1;
        complain!("hearth: {why}");
    }
}

/// Hands on the lines of stdin.
fn read(tell: Sender<Said>) {
    std::thread::spawn(move || {
        loop {
            let mut line = Vec::new();
            // One octet more than fits, so that what is too long is seen to be.
            let mut most = stdin().lock().take(limits::BODY as u64 + 1024);
            let said = match most.read_until(b'\n', &mut line) {
                Ok(0) => Said::End(None),
                Ok(_) => match String::from_utf8(line) {
                    Ok(line) => Said::Line(line.trim_end_matches('\n').to_owned()),
                    Err(_) => Said::End(Some("it is not UTF-8".to_owned())),
                },
                Err(error) => Said::End(Some(error.to_string())),
            };
            let last = matches!(said, Said::End(_));
            if tell.send(said).is_err() || last {
                return;
            }
        }
    });
}
