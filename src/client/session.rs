//! The second half: a notification connection, from `connect` to its end.
//!
//! Requests of the program get numbers, and their replies come back as events, in any order
//! (SIMP-3.6-4). What the server asks is answered here where only one answer is right (`note change`,
//! unknown requests); messages are for the program to answer.

use std::collections::{BTreeMap, VecDeque};

use super::login::Ticket;
use super::stream::{Reader, Said};
use super::types::ima;
use super::{Account, Entries, Error, Message, Presence, ReceivedMessage};
use crate::limits;
use crate::simp::command::{self, Command, OneWay, Parties, Reply, Request, Version};
use crate::simp::object::{Concerns, Malformed};
use crate::simp::write;

/// The first request on a notification connection (SIMP-7.2-2).
const CONNECT: u64 = 1;

/// A request of the program's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

/// A message that waits for the program's answer. It can be answered once.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming(String);

/// What a request was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `okay`, with a text for people.
    Okay(String),
    /// Of `fetch`.
    Presence(Presence),
    /// Of `subscribe`.
    Subscribed {
        /// The presence now.
        presence: Presence,
        /// For how long it was granted, milliseconds.
        duration: i64,
        /// Needed to end it.
        opaque: String,
    },
    /// Of `get profile` and `get acl`.
    Entries(Entries),
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// We are online.
    Connected {
        /// The user's profile.
        profile: Entries,
    },
    /// A request was answered, or failed.
    Replied {
        /// Which.
        id: RequestId,
        /// By what.
        outcome: Result<Answer, Error>,
    },
    /// A message has come: answer it by [`Session::okay`] or [`Session::refuse`].
    Message {
        /// For the answer.
        id: Incoming,
        /// The message.
        message: ReceivedMessage,
    },
    /// Somebody's presence has changed.
    Changed(Presence),
    /// A subscription of ours was ended before its time; the last known presence.
    SubscriptionEnded(Presence),
    /// Somebody watches us (also given for each watcher after the login).
    Subscriber(String),
    /// Somebody no longer watches us.
    SubscriberGone(String),
    /// The server is about to close this connection: with the ticket the program may go on elsewhere
    /// (SIMP-6.5-3), or let the session end (SIMP-6.5-4).
    Diverted(Ticket),
    /// The session is over: the server has ended its stream.
    Ended,
}

/// What would answer a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Profile,
    Okay,
    Presence,
    Subscription,
    Entries,
}

/// A notification connection.
#[derive(Debug)]
pub struct Session {
    account: Account,
    private: bool,
    reader: Reader,
    talk: Talk,
}

/// All but the input, so that it can be changed while a command borrows the input.
#[derive(Debug)]
struct Talk {
    out: Vec<u8>,
    last_id: u64,
    waiting: BTreeMap<u64, Expected>,
    events: VecDeque<Event>,
    ended: bool,
}

impl Session {
    /// Begins with `connect`. `private`: the connection is on TLS or loopback.
    pub fn new(account: Account, ticket: &Ticket, private: bool) -> Session {
        let mut out = write::HEADER.to_vec();
        write::connect(&mut out, CONNECT, &ticket.authorization, &ticket.opaque, Version::V1_0);
        let talk = Talk {
            out,
            last_id: CONNECT,
            waiting: BTreeMap::from([(CONNECT, Expected::Profile)]),
            events: VecDeque::new(),
            ended: false,
        };
        Session { account, private, reader: Reader::default(), talk }
    }

    /// Whose it is.
    pub fn account(&self) -> &Account {
        &self.account
    }

    /// Is the connection on TLS or loopback?
    pub fn is_private(&self) -> bool {
        self.private
    }

    /// Numbers this session's requests on from those of another, so that a program that goes on elsewhere
    /// after a divert never sees a number twice.
    pub fn number_after(&mut self, earlier: &Session) {
        self.talk.last_id = self.talk.last_id.max(earlier.talk.last_id);
    }

    /// Takes in octets from the connection. Afterwards there may be events and octets to write.
    ///
    /// # Errors
    /// [`Error::Server`] if the stream can't be read on, [`Error::Refused`] if `connect` was refused.
    pub fn receive(&mut self, data: &[u8]) -> Result<(), Error> {
        self.reader.receive(data);
        while let Some(said) = self.reader.next()? {
            match said {
                Said::Command(Command::Request { id, request, .. }) => self.talk.asked(id, request),
                Said::Command(Command::Reply { id, reply }) => self.talk.replied(id, reply)?,
                Said::Command(Command::OneWay(OneWay::Divert(challenge))) => {
                    let ticket = Ticket::new(&self.account, &challenge, self.private)?;
                    self.talk.events.push_back(Event::Diverted(ticket));
                }
                Said::Command(Command::OneWay(one_way)) => self.talk.told(one_way),
                Said::Command(Command::Ignored) => {}
                Said::Malformed(malformed) => self.talk.malformed(&malformed)?,
                Said::End => self.talk.end(),
            }
        }
        Ok(())
    }

    /// The connection is gone: what waits for a reply has failed.
    pub fn closed(&mut self) {
        self.talk.end();
    }

    /// What has happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
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

    /// Ends our stream: after writing what is unsent, close the connection (SIMP-7.3-1).
    pub fn end(&mut self) {
        self.talk.out.extend_from_slice(write::END);
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`Error::Caller`] if an address is none or the body is too large.
    pub fn send(&mut self, message: &Message) -> Result<RequestId, Error> {
        if message.body.len() > limits::BODY {
            return Err(Error::Caller("the message is larger than 64 KiB"));
        }
        let message = command::Message {
            parties: parties(&self.account, &message.to)?,
            reply_to: message.reply_to.as_deref().map(ima).transpose()?,
            content_type: &message.content_type,
            body: &message.body,
        };
        Ok(self.talk.request(Expected::Okay, |out, id| write::send(out, id, &message)))
    }

    /// Asks for somebody's presence, once.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn fetch(&mut self, whom: &str) -> Result<RequestId, Error> {
        let parties = parties(&self.account, whom)?;
        Ok(self.talk.request(Expected::Presence, |out, id| write::fetch(out, id, &parties)))
    }

    /// Asks to be told of changes of somebody's presence, for `duration` milliseconds; negative asks for
    /// the longest that is granted.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn subscribe(&mut self, whom: &str, duration: i64) -> Result<RequestId, Error> {
        let parties = parties(&self.account, whom)?;
        Ok(self.talk.request(Expected::Subscription, |out, id| write::subscribe(out, id, &parties, duration)))
    }

    /// Ends a subscription, by what was given out for it.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn unsubscribe(&mut self, whom: &str, opaque: &str) -> Result<RequestId, Error> {
        let parties = parties(&self.account, whom)?;
        Ok(self.talk.request(Expected::Okay, |out, id| write::unsubscribe(out, id, &parties, opaque)))
    }

    /// Asks about somebody's home server.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn inquire(&mut self, whom: &str) -> Result<RequestId, Error> {
        let parties = parties(&self.account, whom)?;
        Ok(self.talk.request(Expected::Okay, |out, id| write::inquire(out, id, &parties)))
    }

    /// Asks for our profile.
    pub fn get_profile(&mut self) -> RequestId {
        self.talk.request(Expected::Entries, write::get_profile)
    }

    /// Replaces our profile.
    ///
    /// # Errors
    /// [`Error::Caller`] if it has a key that a profile must not have (SIMP-3.7-3), or a key twice.
    pub fn set_profile(&mut self, profile: &[(String, String)]) -> Result<RequestId, Error> {
        let entries = entries(profile)?;
        Ok(self.talk.request(Expected::Okay, |out, id| write::set_profile(out, id, entries)))
    }

    /// Asks for our access control list.
    pub fn get_acl(&mut self) -> RequestId {
        self.talk.request(Expected::Entries, write::get_acl)
    }

    /// Replaces our access control list.
    ///
    /// # Errors
    /// [`Error::Caller`] if it has a key twice, or one that no object may have.
    pub fn set_acl(&mut self, acl: &[(String, String)]) -> Result<RequestId, Error> {
        let entries = entries(acl)?;
        Ok(self.talk.request(Expected::Okay, |out, id| write::set_acl(out, id, entries)))
    }

    /// Ends somebody's subscriptions to our presence.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn drop_subscription(&mut self, subscriber: &str) -> Result<RequestId, Error> {
        let subscriber = ima(subscriber)?;
        Ok(self.talk.request(Expected::Okay, |out, id| write::drop_subscription(out, id, subscriber)))
    }

    /// Tells the sender of a message that it has arrived.
    pub fn okay(&mut self, message: Incoming, text: &str) {
        write::okay(&mut self.talk.out, &message.0, text);
    }

    /// Tells the sender of a message that it is not taken.
    pub fn refuse(&mut self, message: Incoming, text: &str) {
        write::error(&mut self.talk.out, &message.0, text);
    }
}

impl Talk {
    fn request(&mut self, expected: Expected, write: impl FnOnce(&mut Vec<u8>, u64)) -> RequestId {
        // A counter never used again in this stream (SIMP-3.6-6).
        self.last_id += 1;
        if self.ended {
            let outcome = Err(Error::Ended);
            self.events.push_back(Event::Replied { id: RequestId(self.last_id), outcome });
        } else {
            write(&mut self.out, self.last_id);
            self.waiting.insert(self.last_id, expected);
        }
        RequestId(self.last_id)
    }

    /// A request of the server's.
    fn asked(&mut self, id: &str, request: Request<'_>) {
        let event = match request {
            Request::Send(message) => {
                let message = ReceivedMessage {
                    from: message.parties.from.as_str().to_owned(),
                    reply_to: message.reply_to.map(|address| address.as_str().to_owned()),
                    content_type: message.content_type.to_owned(),
                    body: message.body.to_owned(),
                };
                self.events.push_back(Event::Message { id: Incoming(id.to_owned()), message });
                return;
            }
            Request::NoteChange(note) => Event::Changed(note.presence.into()),
            Request::NoteSubscriptionEnd(note) => Event::SubscriptionEnded(note.presence.into()),
            // SIMP-11-1
            _ => return write::error(&mut self.out, id, "unrecognized request"),
        };
        // The only proper reply (SIMP-6.1-5).
        write::okay(&mut self.out, id, "okay");
        self.events.push_back(event);
    }

    /// A reply of the server's; one that nobody waits for is ignored (OC-61).
    fn replied(&mut self, id: &str, reply: Reply<'_>) -> Result<(), Error> {
        let Some((id, expected)) = self.take(id) else { return Ok(()) };
        let outcome = outcome(expected, reply);
        if expected == Expected::Profile {
            let Answer::Entries(profile) = outcome? else { return Ok(()) };
            self.events.push_back(Event::Connected { profile });
        } else {
            self.events.push_back(Event::Replied { id: RequestId(id), outcome });
        }
        Ok(())
    }

    fn take(&mut self, id: &str) -> Option<(u64, Expected)> {
        let id = id.parse().ok()?;
        Some((id, self.waiting.remove(&id)?))
    }

    /// A one-way command of the server's.
    fn told(&mut self, one_way: OneWay<'_>) {
        match one_way {
            OneWay::NoteSubscription { subscriber } => {
                self.events.push_back(Event::Subscriber(subscriber.as_str().to_owned()));
            }
            OneWay::NoteSubscriptionLapse { subscriber } => {
                self.events.push_back(Event::SubscriberGone(subscriber.as_str().to_owned()));
            }
            // Dealt with by the session, which can answer it.
            OneWay::Divert(_) => {}
        }
    }

    fn malformed(&mut self, malformed: &Malformed<'_>) -> Result<(), Error> {
        match malformed.concerns {
            Concerns::Request(id) => write::error(&mut self.out, id, &malformed.fault.to_string()),
            Concerns::Response(id) => match self.take(id) {
                Some((_, Expected::Profile)) => return Err(Error::Server(malformed.fault.to_string())),
                Some((id, _)) => {
                    let outcome = Err(Error::Server(malformed.fault.to_string()));
                    self.events.push_back(Event::Replied { id: RequestId(id), outcome });
                }
                None => {}
            },
            Concerns::Nobody => {}
        }
        Ok(())
    }

    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        // Of `connect` the program knows no number.
        let waiting = std::mem::take(&mut self.waiting);
        for (id, _) in waiting.into_iter().filter(|(_, expected)| *expected != Expected::Profile) {
            self.events.push_back(Event::Replied { id: RequestId(id), outcome: Err(Error::Ended) });
        }
        self.events.push_back(Event::Ended);
    }
}

/// What a reply means to a request that expects something.
fn outcome(expected: Expected, reply: Reply<'_>) -> Result<Answer, Error> {
    match (expected, reply) {
        (_, Reply::Error { message }) => Err(Error::Refused(message.to_owned())),
        (Expected::Okay, Reply::Okay { message, .. }) => Ok(Answer::Okay(message.to_owned())),
        (Expected::Presence, Reply::Describe { presence, .. }) => Ok(Answer::Presence(presence.into())),
        (Expected::Subscription, Reply::Describe { presence, subscription: Some(granted) }) => {
            Ok(Answer::Subscribed {
                presence: presence.into(),
                duration: granted.duration,
                opaque: granted.opaque.to_owned(),
            })
        }
        (Expected::Profile | Expected::Entries, Reply::Own(own)) => {
            Ok(Answer::Entries(own.iter().map(|e| (e.key.to_owned(), e.value.to_owned())).collect()))
        }
        _ => Err(Error::Server("a reply of the wrong kind".into())),
    }
}

fn parties<'a>(account: &'a Account, to: &'a str) -> Result<Parties<'a>, Error> {
    Ok(Parties { to: ima(to)?, from: ima(account.address())? })
}

/// Entries that the caller wants to set.
fn entries(entries: &[(String, String)]) -> Result<impl Iterator<Item = (&str, &str)>, Error> {
    let reserved = ["action", "request", "response"];
    if entries.iter().any(|(key, _)| reserved.contains(&key.as_str())) {
        return Err(Error::Caller("the keys 'action', 'request' and 'response' can't be set"));
    }
    let mut keys: Vec<&str> = entries.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    if keys.windows(2).any(|pair| pair.first() == pair.last()) {
        return Err(Error::Caller("a key is there twice"));
    }
    Ok(entries.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}
