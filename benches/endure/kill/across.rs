//! Presence between two domains as PITP has it: a subscription lasts until it is ended, and ends with the
//! watcher's connection.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hearth::client::Error;
use hearth::client::blocking::Client;
use hearth::client::blocking::transfer::Presence;
use hearth::client::transfer::Event;
use hearth::client::transfer::pitp::Notice;
use hearth::imtp::error_type::ErrorType;

use super::contacts::resident;
use super::worker::{Tally, Trouble, Worker, wrong};
use crate::home::{Home, Resident};
use crate::line::{self, Anew};

/// Subscriptions of connections that were lost, at most: as many as one watcher may have (`limits::SUBSCRIPTIONS_NAMED`).
const STALE: usize = 32;
/// Until it is asked again where there are too many.
const FULL: Duration = Duration::from_millis(100);

/// A PITP client at one home that watches somebody at the other.
pub struct Watches {
    watcher: Anew<Presence>,
    owner: Anew<Client>,
    /// The watcher's other client: it ends what was granted with a lease, which news does not find out as long as he
    /// watches at all, and of which he may hold a few only.
    tidy: Option<Anew<Client>>,
    starts: (u64, u64),
    count: u64,
    watching: bool,
    /// Subscriptions of connections that were lost, by token: in which run of the watcher's server.
    stale: BTreeMap<String, u64>,
}

impl Watches {
    /// Watcher at the first home, the watched user at the second. `leased`: the first home asks by SIMP, which
    /// knows subscriptions with leases only.
    pub fn new(home: &Arc<Home>, other: &Arc<Home>, leased: bool) -> Watches {
        Watches {
            watcher: Anew::new(home, "onlooker", line::pitp),
            owner: Anew::new(other, "shown", line::simp),
            tidy: leased.then(|| Anew::new(home, "onlooker", line::simp)),
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

    /// Was it granted? While he watches, news by SIMP does not find out which of his subscriptions are stale, and
    /// at some time they are too many; then he does not watch, and news finds them all out.
    fn subscribe(&mut self, tally: &Tally, owner: &str) -> Result<bool, Trouble> {
        match self.watcher.get()?.subscribe(owner) {
            Ok(_) => Ok(true),
            Err(Error::Failed(why)) if why.known() == Some(ErrorType::Quota) && !self.stale.is_empty() => {
                self.count += 1;
                let message = format!("found out {}", self.count);
                self.owner.get()?.set_profile(&[("message".to_owned(), message)])?;
                tally.wait(FULL);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The watcher is gone, or does not know that he watches.
    fn give_up(&mut self) -> Result<(), Trouble> {
        self.watching = false;
        for token in self.tokens()? {
            self.stale.entry(token).or_insert(self.starts.0);
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
            if !self.subscribe(tally, &owner)? {
                return Ok(());
            }
            self.watching = true;
            // All that this connection asks for has one token.
            self.stale.retain(|_, start| *start != self.starts.0);
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
        if let Some(tidy) = &mut self.tidy {
            let owner = self.owner.address();
            for (token, _) in std::mem::take(&mut self.stale) {
                match tidy.get()?.unsubscribe(&owner, &token) {
                    Ok(_) | Err(Error::Refused(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
        }
        if self.stale.len() > STALE {
            return wrong(format!(
                "of {} subscriptions without a watcher none is found out",
                self.stale.len()
            ));
        }
        Ok(())
    }
}
