//! Presence between two domains as PITP has it: a subscription lasts until it is ended, and ends with the
//! watcher's connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::client::Error;
use hearth::client::blocking::Client;
use hearth::client::blocking::transfer::Presence;
use hearth::client::transfer::Event;
use hearth::client::transfer::pitp::Notice;

use super::contacts::resident;
use super::worker::{Tally, Trouble, Worker, wrong};
use crate::home::{Home, Resident};
use crate::line::{self, Anew};

/// A subscription whose watcher is gone with his server is found out when there is news for him; what could not be
/// told at once is told again after a minute, and then after five.
const FOUND_OUT: Duration = Duration::from_secs(600);

/// A PITP client at one home that watches somebody at the other.
pub struct Watches {
    watcher: Anew<Presence>,
    owner: Anew<Client>,
    starts: (u64, u64),
    count: u64,
    watching: bool,
    /// Subscriptions of connections that were lost, by token: since when, and in which run of the watcher's server.
    stale: BTreeMap<String, (Instant, u64)>,
}

impl Watches {
    /// Watcher at the first home, the watched user at the second.
    pub fn new(home: &Arc<Home>, other: &Arc<Home>) -> Watches {
        Watches {
            watcher: Anew::new(home, "onlooker", line::pitp),
            owner: Anew::new(other, "shown", line::simp),
            starts: (0, 0),
            count: 0,
            watching: false,
            stale: BTreeMap::new(),
        }
    }

    /// The tokens that the owner's home has for the watcher.
    fn tokens(&self) -> Result<Vec<String>, Trouble> {
        let watcher = self.watcher.address();
        let inbound = self.owner.home().kept(self.owner.local())?.watched_by;
        Ok(inbound.into_iter().filter(|i| i.watcher.as_str() == watcher).map(|i| i.token).collect())
    }

    /// The watcher is gone, or does not know that he watches.
    fn give_up(&mut self) -> Result<(), Trouble> {
        self.watching = false;
        for token in self.tokens()? {
            self.stale.entry(token).or_insert((Instant::now(), self.starts.0));
        }
        Ok(())
    }

    fn fresh(&self) -> Result<usize, Trouble> {
        Ok(self.tokens()?.iter().filter(|token| !self.stale.contains_key(*token)).count())
    }

    /// The owner changes what he says, and the watcher hears of it.
    fn change(&mut self, tally: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        let message = format!("seen {}", self.count);
        self.owner.get()?.set_profile(&[("message".to_owned(), message.clone())])?;
        let watcher = self.watcher.get()?;
        let heard = tally.wait_for(|moment| match watcher.next_event(moment)? {
            Some(Event::Told(Notice::Changed { document, .. })) if document.text().contains(&message) => {
                Ok(Some(()))
            }
            Some(Event::Ended) => Err(Error::Ended),
            _ => Ok(None),
        })?;
        heard.map_or_else(|| wrong(format!("the watcher abroad did not hear of {message:?}")), Ok)
    }
}

impl Worker for Watches {
    fn name(&self) -> String {
        format!("{} watches {}", self.watcher.address(), self.owner.address())
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        vec![resident(&self.watcher), resident(&self.owner)]
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        let owner = self.owner.address();
        self.owner.get()?;
        self.watcher.get()?;
        if self.watcher.home().starts() != self.starts.0 {
            self.give_up()?;
        }
        self.starts = (self.watcher.home().starts(), self.owner.home().starts());
        if !self.watching {
            self.watcher.get()?.subscribe(&owner)?;
            self.watching = true;
            // All that this connection asks for has one token.
            self.stale.retain(|_, (_, start)| *start != self.starts.0);
            tally.acknowledge();
        }
        self.change(tally)?;
        tally.acknowledge();
        if self.count.is_multiple_of(3) {
            self.watching = false;
            self.watcher.get()?.unsubscribe(&owner)?;
            if self.fresh()? > 0 {
                return wrong("the end was acknowledged, and the subscription is there");
            }
            tally.acknowledge();
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        let alive = self.watcher.home().starts() == self.starts.0;
        let tokens = self.tokens()?;
        if alive && self.watching {
            if self.fresh()? != 1 {
                return wrong(format!("the watcher is there, and his subscription is not: {tokens:?}"));
            }
        } else {
            self.give_up()?;
        }
        self.stale.retain(|token, _| tokens.contains(token));
        if let Some((token, _)) = self.stale.iter().find(|(_, (since, _))| since.elapsed() > FOUND_OUT) {
            return wrong(format!("subscription {token} has no watcher any more, and is not found out"));
        }
        Ok(())
    }
}
