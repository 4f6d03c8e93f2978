//! Presence between two domains as PITP has it: a subscription lasts until it is ended, and ends with the
//! watcher's connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::client::Error;
use hearth::client::blocking::Client;
use hearth::client::blocking::transfer::Presence;
use hearth::client::transfer::Event;
use hearth::client::transfer::pitp::Notice;

use super::contacts::resident;
use super::worker::{LONG, Tally, Trouble, Worker, wrong};
use crate::home::{Home, Resident};
use crate::line::{self, Anew};

/// Between two looks at what the owner's home has.
const LOOK: Duration = Duration::from_millis(20);

/// A PITP client at one home that watches somebody at the other.
pub struct Watches {
    watcher: Anew<Presence>,
    owner: Anew<Client>,
    /// The watcher's other client: it ends what was granted at the very moment of a kill, which nobody has noted.
    tidy: Anew<Client>,
    starts: (u64, u64),
    count: u64,
    watching: bool,
}

impl Watches {
    /// Watcher at the first home, the watched user at the second.
    pub fn new(home: &Arc<Home>, other: &Arc<Home>) -> Watches {
        Watches {
            watcher: Anew::new(home, "onlooker", line::pitp),
            owner: Anew::new(other, "shown", line::simp),
            tidy: Anew::new(home, "onlooker", line::simp),
            starts: (0, 0),
            count: 0,
            watching: false,
        }
    }

    /// The tokens that the owner's home has for the watcher.
    fn tokens(&self) -> Result<Vec<String>, Trouble> {
        let watcher = self.watcher.address();
        let inbound = self.owner.home().kept(self.owner.local())?.watched_by;
        Ok(inbound.into_iter().filter(|i| i.watcher.as_str() == watcher).map(|i| i.token).collect())
    }

    /// Those that are left when all is ended that is to end, or has been waited for for long.
    fn left(&self) -> Result<Vec<String>, Trouble> {
        let deadline = Instant::now() + LONG;
        loop {
            let tokens = self.tokens()?;
            if tokens.len() <= 1 || Instant::now() > deadline {
                return Ok(tokens);
            }
            std::thread::sleep(LOOK);
        }
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
            self.watching = false;
        }
        self.starts = (self.watcher.home().starts(), self.owner.home().starts());
        if !self.watching {
            self.watcher.get()?.subscribe(&owner)?;
            self.watching = true;
            tally.acknowledge();
        }
        self.change(tally)?;
        tally.acknowledge();
        if self.count.is_multiple_of(3) {
            self.watching = false;
            self.watcher.get()?.unsubscribe(&owner)?;
            let tokens = self.tokens()?;
            if !tokens.is_empty() {
                return wrong(format!("the end was acknowledged, and {tokens:?} are there"));
            }
            tally.acknowledge();
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        self.watching &= self.watcher.home().starts() == self.starts.0;
        let tokens = self.left()?;
        if tokens.len() > 1 {
            return wrong(format!(
                "subscriptions that have lost their connections are not ended: {tokens:?}"
            ));
        }
        if self.watching {
            if tokens.is_empty() {
                return wrong("the watcher is there, and his subscription is not");
            }
            return Ok(());
        }
        let owner = self.owner.address();
        for token in tokens {
            match self.tidy.get()?.unsubscribe(&owner, &token) {
                Ok(_) | Err(Error::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
