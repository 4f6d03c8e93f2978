//! The two connections, each on a thread of its own: it does what it is told, tells what happens, and comes back
//! by itself when it was cut off.

pub mod messages;
pub mod presence;

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::update::{Event, Line};
use crate::cli::harmless::one_line;
use crate::client::blocking::transfer::Client;
use crate::client::blocking::{Alarm, Place};
use crate::client::transfer::Service;
use crate::client::{Account, Error};
use crate::imtp::error_type::ErrorType;

/// Between two tries to connect: doubled each time.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same after a login that was refused.
const REFUSED: Duration = Duration::from_secs(600);
/// Silence after which we show that we live.
pub const SILENCE: Duration = Duration::from_secs(60);
/// How long the program waits for a connection to end in order.
const FAREWELL: Duration = Duration::from_secs(3);

/// What a connection is told.
#[derive(Debug)]
pub enum Told<C> {
    /// Something to do.
    Do(C),
    /// It is over.
    End,
}

/// A connection, as the rest of the program has it.
#[derive(Debug)]
pub struct Handle<C> {
    commands: Sender<Told<C>>,
    bell: Bell,
    thread: JoinHandle<()>,
    ended: Receiver<()>,
}

impl<C: Send + 'static> Handle<C> {
    /// Runs a connection's work on a thread.
    pub fn spawn(work: impl FnOnce(Inbox<C>) + Send + 'static) -> Handle<C> {
        let (commands, told) = channel();
        let (alive, ended) = channel();
        let bell = Bell::default();
        let inbox = Inbox { told, held: VecDeque::new(), bell: bell.clone(), over: false };
        let thread = std::thread::spawn(move || {
            let _alive: Sender<()> = alive;
            work(inbox);
        });
        Handle { commands, bell, thread, ended }
    }

    /// Gives it something to do.
    pub fn tell(&self, command: C) {
        // A thread that has ended has said so.
        let _ = self.commands.send(Told::Do(command));
        self.bell.ring();
    }

    /// Ends it, and waits a while until it has said good-bye.
    pub fn end(self) {
        let _ = self.commands.send(Told::End);
        self.bell.ring();
        if self.ended.recv_timeout(FAREWELL) == Err(RecvTimeoutError::Disconnected) {
            let _ = self.thread.join();
        }
    }
}

/// Wakes the thread of a connection, wherever it waits.
#[derive(Debug, Clone, Default)]
struct Bell(Arc<Mutex<Option<Alarm>>>);

impl Bell {
    fn ring(&self) {
        if let Ok(alarm) = self.0.lock()
            && let Some(alarm) = &*alarm
        {
            alarm.ring();
        }
    }

    fn set(&self, alarm: Option<Alarm>) {
        if let Ok(mut place) = self.0.lock() {
            *place = alarm;
        }
    }
}

/// What a connection is told, as its thread has it.
#[derive(Debug)]
pub struct Inbox<C> {
    told: Receiver<Told<C>>,
    /// Told while there was no connection.
    held: VecDeque<C>,
    bell: Bell,
    over: bool,
}

impl<C> Inbox<C> {
    /// The next thing to do, if there is one.
    pub fn next(&mut self) -> Option<C> {
        if let Some(held) = self.held.pop_front() {
            return Some(held);
        }
        match self.told.try_recv() {
            Ok(Told::Do(command)) => Some(command),
            Ok(Told::End) | Err(TryRecvError::Disconnected) => {
                self.over = true;
                None
            }
            Err(TryRecvError::Empty) => None,
        }
    }

    /// Has it been told to end?
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Waits, and keeps what it is told meanwhile.
    fn pause(&mut self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.over {
            match self.told.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Told::Do(command)) => self.held.push_back(command),
                Ok(Told::End) | Err(RecvTimeoutError::Disconnected) => self.over = true,
                Err(RecvTimeoutError::Timeout) => return,
            }
        }
    }
}

/// Where to connect, and as whom.
#[derive(Debug, Clone)]
pub struct Home {
    /// In the order to try.
    pub places: Vec<Place>,
    /// Who.
    pub account: Account,
}

impl Home {
    /// Logs in at the first place that can be reached.
    pub fn login<S: Service>(&self) -> Result<Client<S>, Error> {
        let mut last = Error::Caller("the server has no address");
        for place in &self.places {
            match Client::login(place, &self.account) {
                Ok(client) => return Ok(client),
                Err(error @ Error::Failed(_)) => return Err(error),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

/// Why a connection's work has stopped.
pub enum Stop {
    /// It was told to.
    Over,
    /// The connection is gone.
    Lost(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Stop {
        Stop::Lost(error)
    }
}

/// Keeps a connection up until it is told to end. `first` is one that is up already; `serve` works on one while
/// it lasts.
pub fn keep<S: Service, C>(
    home: &Home,
    first: Option<Client<S>>,
    inbox: &mut Inbox<C>,
    tell: impl Fn(Line),
    mut serve: impl FnMut(Client<S>, &mut Inbox<C>) -> Stop,
) {
    let (mut next, mut pause) = (first.map(Ok), PAUSES.0);
    while !inbox.is_over() {
        let why = match next.take().unwrap_or_else(|| home.login::<S>()) {
            Ok(client) => {
                tell(Line::Up);
                let since = Instant::now();
                inbox.bell.set(Some(client.alarm()));
                let stop = serve(client, inbox);
                inbox.bell.set(None);
                // One that did not last is no reason to hurry.
                if since.elapsed() > PAUSES.1 {
                    pause = PAUSES.0;
                }
                match stop {
                    Stop::Over => return,
                    Stop::Lost(error) => error,
                }
            }
            Err(Error::Failed(failure)) if failure.known() == Some(ErrorType::SaslFailure) => {
                // To try it again and again would only lock the account.
                pause = REFUSED;
                Error::Refused("the password is not right any more; leave and come back".to_owned())
            }
            Err(error) => error,
        };
        tell(Line::Down(reason(&why), pause));
        inbox.pause(pause);
        if inbox.is_over() {
            return;
        }
        pause = if pause == REFUSED { PAUSES.0 } else { (pause * 2).min(PAUSES.1) };
        tell(Line::Connecting);
    }
}

/// An error, for people.
pub fn reason(error: &Error) -> String {
    match error {
        Error::Network(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "the server does not answer".to_owned(),
            std::io::ErrorKind::ConnectionReset => "the connection was cut".to_owned(),
            _ => one_line(&error.to_string()),
        },
        Error::Ended => "the server has closed it".to_owned(),
        Error::Refused(why) => one_line(why),
        error => one_line(&error.to_string()),
    }
}

/// Where events go.
pub type Events = Sender<Event>;
