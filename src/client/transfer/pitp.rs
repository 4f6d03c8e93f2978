//! PITP: presence, one's own and others'.
//!
//! What others see is a list of mappings, numbered from 1: the first whose class has the watcher shows him its
//! document, or nothing. News of whom the session watches is answered here; so is news of whom it doesn't.

use std::collections::BTreeSet;
use std::num::NonZeroU32;

use super::imtp::{name, pattern};
use super::{Body, Failure, RequestId, Service, Told};
use crate::client::Error;
use crate::hub::address::{Address, Domains};
use crate::hub::pattern::Class;
use crate::imtp::Protocol;
use crate::imtp::command::{self, At, Command, Fetch, Mapping, Okay, Watch};
use crate::imtp::error_type::ErrorType;
use crate::imtp::message::Message;
use crate::imtp::method::Method;
use crate::imtp::url::{Subscription, Url};
use crate::limits;

/// The service of presence.
#[derive(Debug, Default)]
pub struct Pitp {
    /// Whom this session watches, or has asked to.
    watched: BTreeSet<String>,
}

/// A connection for presence.
pub type Session = super::Session<Pitp>;

/// Somebody who watches us, as our server names his subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// What his server calls his connection.
    pub id: Option<String>,
    /// Who he is: an address, or the whole URL where it is of another scheme than ours.
    pub who: String,
}

/// What a command was answered with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is done.
    Done,
    /// Of `fetch` and `subscribe`: what we see of him now.
    Document(Body),
    /// Of `fetch-for-update`: what the mapping shows, if anything.
    Shown(Option<Body>),
    /// Of `get-class`: the patterns.
    Class(Vec<String>),
    /// Of `start-wi`: who watches us now.
    Watchers(Vec<Watcher>),
}

/// What the server tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Somebody whom we watch shows us something else now.
    Changed {
        /// Who.
        presentity: String,
        /// What we see of him now.
        document: Body,
    },
    /// He no longer lets us watch him.
    Terminated {
        /// Who.
        presentity: String,
    },
    /// Somebody has looked at our presence.
    Fetched {
        /// Who.
        watcher: String,
    },
    /// Somebody watches us from now on.
    Subscribed(Watcher),
    /// He doesn't any more.
    Unsubscribed(Watcher),
}

impl Service for Pitp {
    const PROTOCOL: Protocol = Protocol::Pitp;
    type Answer = Answer;
    type Notice = Notice;

    fn okayed(&mut self, method: Method, okay: &Okay<'_>, ours: &Domains) -> Answer {
        let document = || okay.payload.as_ref().map(Body::from);
        match method {
            Method::Fetch | Method::Subscribe => document().map_or(Answer::Done, Answer::Document),
            Method::FetchForUpdate => Answer::Shown(document()),
            Method::GetClass => Answer::Class(okay.patterns().map(str::to_owned).collect()),
            Method::StartWi => Answer::Watchers(okay.subscriptions().map(|s| watcher(&s, ours)).collect()),
            _ => Answer::Done,
        }
    }

    fn failed(&mut self, method: Method, about: Option<&Address>, _: &Failure) {
        if let (Method::Subscribe, Some(whom)) = (method, about) {
            self.watched.remove(whom.as_str());
        }
    }

    fn told(&mut self, _: &Message<'_>, command: &Command<'_>, ours: &Domains) -> Told<Notice> {
        const STRANGER: Told<Notice> =
            Told::Refuse(ErrorType::NotSubscribed, "this client does not watch him");
        match command {
            Command::ChangeNotify(notify) => {
                let presentity = name(notify.presentity, ours);
                if !self.watched.contains(&presentity) {
                    return STRANGER;
                }
                Told::Okay(Notice::Changed { presentity, document: Body::from(&notify.document) })
            }
            Command::TerminateNotify(watch) => {
                let presentity = name(watch.presentity, ours);
                if !self.watched.remove(&presentity) {
                    return STRANGER;
                }
                Told::Okay(Notice::Terminated { presentity })
            }
            Command::FetchNotify(fetch) => Told::Okay(Notice::Fetched { watcher: name(fetch.watcher, ours) }),
            Command::SubscribeNotify(watch) => {
                Told::Okay(Notice::Subscribed(watcher(&watch.subscription, ours)))
            }
            Command::UnsubscribeNotify(watch) => {
                Told::Okay(Notice::Unsubscribed(watcher(&watch.subscription, ours)))
            }
            _ => Told::Refuse(ErrorType::UnknownMethod, "this is not for clients"),
        }
    }
}

impl Session {
    /// What somebody shows us now.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn fetch(&mut self, whom: &str) -> Result<RequestId, Error> {
        let (own, whom) = (self.talk.own.clone(), self.talk.resolve(whom)?);
        let fetch = Fetch { watcher: Url::from(&own), presentity: Url::from(&whom) };
        self.talk.request(None, &Command::Fetch(fetch))
    }

    /// What somebody shows us now, and every change of it until the connection ends.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn subscribe(&mut self, whom: &str) -> Result<RequestId, Error> {
        let whom = self.talk.resolve(whom)?;
        let own = self.talk.own.clone();
        let id = self.talk.request(Some(whom.clone()), &Command::Subscribe(watch(&own, &whom)))?;
        self.talk.service.watched.insert(whom.to_string());
        Ok(id)
    }

    /// No more of that.
    ///
    /// # Errors
    /// [`Error::Caller`] if that is no address.
    pub fn unsubscribe(&mut self, whom: &str) -> Result<RequestId, Error> {
        let whom = self.talk.resolve(whom)?;
        let own = self.talk.own.clone();
        let id = self.talk.request(None, &Command::Unsubscribe(watch(&own, &whom)))?;
        self.talk.service.watched.remove(whom.as_str());
        Ok(id)
    }

    /// What a mapping shows from now on; none: nothing. After [`Session::fetch_for_update`] it fails with
    /// `update-race` if somebody else has changed it since.
    ///
    /// # Errors
    /// [`Error::Caller`] if the document is too large, or the number is none.
    pub fn change(&mut self, mapping: u32, document: Option<&Body>) -> Result<RequestId, Error> {
        fits(document)?;
        let document = document.map(Body::payload);
        let own = self.talk.own.clone();
        let change = command::Change { at: at(&own, mapping)?, document };
        self.talk.request(None, &Command::Change(change))
    }

    /// A new mapping gets this number, at most one more than there are.
    ///
    /// # Errors
    /// [`Error::Caller`] if a pattern is none, the document is too large, or the number is none.
    pub fn insert_mapping(
        &mut self,
        mapping: u32,
        class: &[&str],
        document: Option<&Body>,
    ) -> Result<RequestId, Error> {
        fits(document)?;
        let (class, document) = (self.class(class)?, document.map(Body::payload));
        let own = self.talk.own.clone();
        let insert = command::InsertMapping { at: at(&own, mapping)?, class, document };
        self.talk.request(None, &Command::InsertMapping(insert))
    }

    /// A mapping goes; those behind it move up.
    ///
    /// # Errors
    /// [`Error::Caller`] if the number is none.
    pub fn delete_mapping(&mut self, mapping: u32) -> Result<RequestId, Error> {
        let own = self.talk.own.clone();
        self.talk.request(None, &Command::DeleteMapping(at(&own, mapping)?))
    }

    /// For whom a mapping is from now on.
    ///
    /// # Errors
    /// [`Error::Caller`] if a pattern is none, or the number is none.
    pub fn set_class(&mut self, mapping: u32, class: &[&str]) -> Result<RequestId, Error> {
        let class = self.class(class)?;
        let own = self.talk.own.clone();
        let set = command::SetClass { at: at(&own, mapping)?, class };
        self.talk.request(None, &Command::SetClass(set))
    }

    /// For whom a mapping is. How many there are is found by asking on until `mapping-range`.
    ///
    /// # Errors
    /// [`Error::Caller`] if the number is none.
    pub fn get_class(&mut self, mapping: u32) -> Result<RequestId, Error> {
        let own = self.talk.own.clone();
        self.talk.request(None, &Command::GetClass(at(&own, mapping)?))
    }

    /// What a mapping shows; the next [`Session::change`] of it only succeeds if it still does.
    ///
    /// # Errors
    /// [`Error::Caller`] if the number is none.
    pub fn fetch_for_update(&mut self, mapping: u32) -> Result<RequestId, Error> {
        let own = self.talk.own.clone();
        self.talk.request(None, &Command::FetchForUpdate(at(&own, mapping)?))
    }

    /// Who watches us now; and from now on who comes, goes, or looks.
    ///
    /// # Errors
    /// Those of every command.
    pub fn start_wi(&mut self) -> Result<RequestId, Error> {
        let own = self.talk.own.clone();
        self.talk.request(None, &Command::StartWi { presentity: Url::from(&own) })
    }

    /// Ends a subscription to our presence. It does not keep him from asking again.
    ///
    /// # Errors
    /// [`Error::Caller`] if the watcher is no address.
    pub fn terminate(&mut self, watcher: &Watcher) -> Result<RequestId, Error> {
        let own = self.talk.own.clone();
        let who =
            Url::parse(&watcher.who, Protocol::Pitp).ok_or(Error::Caller("the watcher is no address"))?;
        let subscription = Subscription { id: watcher.id.as_deref(), watcher: who };
        let watch = Watch { subscription, presentity: Url::from(&own) };
        self.talk.request(None, &Command::Terminate(watch))
    }

    fn class(&self, patterns: &[&str]) -> Result<Class, Error> {
        Class::parse(patterns.iter().copied(), Protocol::Pitp.schemes(), &self.talk.ours).map_err(pattern)
    }
}

fn watch<'a>(own: &'a Address, whom: &'a Address) -> Watch<'a> {
    let subscription = Subscription { id: None, watcher: Url::from(own) };
    Watch { subscription, presentity: Url::from(whom) }
}

fn at(own: &Address, mapping: u32) -> Result<At<'_>, Error> {
    let number = NonZeroU32::new(mapping).ok_or(Error::Caller("mappings are numbered from 1"))?;
    Ok(At { presentity: Url::from(own), mapping: Mapping::Number(number) })
}

fn fits(document: Option<&Body>) -> Result<(), Error> {
    if document.is_some_and(|document| document.octets.len() > limits::DOCUMENT) {
        return Err(Error::Caller("the document is larger than 64 KiB"));
    }
    Ok(())
}

fn watcher(subscription: &Subscription<'_>, ours: &Domains) -> Watcher {
    Watcher { id: subscription.id.map(str::to_owned), who: name(subscription.watcher, ours) }
}
