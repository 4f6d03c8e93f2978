//! Subscriptions with leases, to users of the same domain and of another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::client::blocking::Client;
use hearth::client::{Error, Event};
use hearth::hub::address::Address;
use hearth::sim::chance::Chance;

use super::contacts::resident;
use super::worker::{LONG, Tally, Trouble, Worker, date, wrong};
use crate::home::{Home, Resident};
use crate::line::{self, Anew};

/// Subscriptions that are held at a time: the two owners grant eight each.
const HELD: usize = 7;
/// Until it is seen again whether there is room.
const FULL: Duration = Duration::from_millis(20);
/// A lease that is over so soon may be over already.
const SOON: i64 = 3500;
/// The server's idea of now is that of the moment when it was woken, and its calendar of leases runs with the monotonic
/// clock: what the wall clock is put right by meanwhile lies between them.
const SLACK: i64 = 2000;

/// A subscription that was granted.
#[derive(Debug, Clone, Copy)]
struct Lease {
    owner: usize,
    /// It is over between these dates.
    from: i64,
    to: i64,
}

/// What was under way at the end.
#[derive(Debug)]
enum Doubt {
    None,
    /// A grant of this owner.
    Grant(usize),
    /// The end of one that had been granted.
    End(String),
}

/// Somebody who watches two users, again and again.
pub struct Leases {
    watcher: Anew<Client>,
    owners: [Anew<Client>; 2],
    /// The starts of both homes when all was last well.
    starts: (u64, u64),
    chance: Chance,
    count: u64,
    live: BTreeMap<String, Lease>,
    ended: BTreeMap<String, usize>,
    /// Over, or about to be, and perhaps not yet forgotten.
    lapsed: BTreeSet<String>,
    /// Those of them that may still count: whose, and until when.
    lapsing: Vec<(usize, i64)>,
    doubt: Doubt,
}

impl Leases {
    /// Watchers at the first home, watched users at the second.
    pub fn new((home, other): (&Arc<Home>, &Arc<Home>), chance: Chance) -> Leases {
        let far = if Arc::ptr_eq(home, other) { "" } else { "far" };
        let owner = |number: u32| Anew::new(other, &format!("watched{number}{far}"), line::simp);
        Leases {
            watcher: Anew::new(home, &format!("watcher{far}"), line::simp),
            owners: [owner(0), owner(1)],
            starts: (1, 1),
            chance,
            count: 0,
            live: BTreeMap::new(),
            ended: BTreeMap::new(),
            lapsed: BTreeSet::new(),
            lapsing: Vec::new(),
            doubt: Doubt::None,
        }
    }

    fn is_far(&self) -> bool {
        !Arc::ptr_eq(self.watcher.home(), self.owners[0].home())
    }

    /// What is over, or is about to be, is not looked at any more.
    fn lapse(&mut self, now: i64) {
        self.lapsing.retain(|(_, to)| *to + SLACK > now);
        for (token, lease) in self.live.extract_if(.., |_, lease| lease.from <= now + SOON) {
            self.lapsing.push((lease.owner, lease.to));
            self.lapsed.insert(token);
        }
    }

    /// How many subscriptions to an owner may count.
    fn held(&self, owner: usize) -> usize {
        let live = self.live.values().filter(|lease| lease.owner == owner).count();
        live + self.lapsing.iter().filter(|(whose, _)| *whose == owner).count()
    }

    fn subscribe(&mut self, owner: usize) -> Result<(), Trouble> {
        let lengths = [
            None,
            Some(Duration::from_secs(3600)),
            Some(Duration::from_secs(90)),
            Some(Duration::from_secs(3)),
        ];
        let length = lengths[self.chance.below(lengths.len())];
        let address = self.owners[owner].address();
        let begun = date();
        let (_, granted, token) = self.watcher.get()?.subscribe(&address, length)?;
        let granted = granted.as_millis() as i64;
        self.live.insert(token, Lease { owner, from: begun + granted - SLACK, to: date() + granted + SLACK });
        Ok(())
    }

    /// Compares what both sides' databases have with what was promised.
    fn compare(&mut self) -> Result<(), Trouble> {
        let watcher = self.watcher.address();
        let held = self.watcher.home().kept(self.watcher.local())?.watching;
        let now = date();
        self.lapse(now);
        for number in 0..self.owners.len() {
            let owner = &self.owners[number];
            let (address, granted) = (owner.address(), owner.home().kept(owner.local())?.watched_by);
            let is = |address: &Address, text: &str| address.as_str() == text;
            let granted: BTreeMap<_, _> = granted
                .into_iter()
                .filter(|inbound| is(&inbound.watcher, &watcher))
                .map(|inbound| (inbound.token, inbound.expires))
                .collect();
            let held: BTreeMap<_, _> = held
                .iter()
                .filter(|outbound| is(&outbound.presentity, &address))
                .map(|outbound| (outbound.token.clone(), outbound.expires))
                .collect();
            for (token, lease) in self.live.iter().filter(|(_, lease)| lease.owner == number) {
                let ending = matches!(&self.doubt, Doubt::End(ending) if ending == token);
                for (side, leases) in [("owner", &granted), ("watcher", &held)] {
                    // Between servers a lease may be the watcher's side's own affair.
                    let fits = match leases.get(token) {
                        None => ending,
                        Some(Some(end)) => (lease.from..=lease.to).contains(&end.0),
                        Some(None) => side == "owner" && self.is_far(),
                    };
                    if !fits {
                        let found = leases.get(token);
                        return wrong(format!("{token} of {lease:?} at the {side}'s: {found:?}, now {now}"));
                    }
                }
            }
            let doubtful = matches!(&self.doubt, Doubt::Grant(owner) if *owner == number);
            let found = granted.keys().chain(held.keys()).cloned().collect();
            self.judge_others(number, doubtful, found)?;
        }
        Ok(())
    }

    /// Subscriptions that are there, but not as promised.
    fn judge_others(&mut self, owner: usize, doubtful: bool, found: BTreeSet<String>) -> Result<(), Trouble> {
        let known = |token: &String| self.live.contains_key(token) || self.lapsed.contains(token);
        let others: Vec<String> = found.into_iter().filter(|token| !known(token)).collect();
        if let Some(token) = others.iter().find(|token| self.ended.contains_key(*token)) {
            return wrong(format!("subscription {token} was ended and is there again"));
        }
        if others.len() > usize::from(doubtful) {
            return wrong(format!("subscriptions that nobody asked for: {others:?}"));
        }
        for token in others {
            self.end(owner, &token)?;
        }
        Ok(())
    }

    /// Ends one that may be over already, and may stay in the database for a while then.
    fn end(&mut self, owner: usize, token: &str) -> Result<(), Trouble> {
        self.lapsed.insert(token.to_owned());
        let address = self.owners[owner].address();
        match self.watcher.get()?.unsubscribe(&address, token) {
            Ok(_) | Err(Error::Refused(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Each that is there can be ended; each that was ended can't be ended again.
    fn try_them(&mut self) -> Result<(), Trouble> {
        if let Doubt::End(token) = std::mem::replace(&mut self.doubt, Doubt::None)
            && let Some(lease) = self.live.remove(&token)
        {
            self.end(lease.owner, &token)?;
        }
        for (token, owner) in std::mem::take(&mut self.ended) {
            let address = self.owners[owner].address();
            match self.watcher.get()?.unsubscribe(&address, &token) {
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return wrong(format!("subscription {token} was ended, and could be ended again")),
            }
        }
        Ok(())
    }

    /// A change reaches the watcher by what he was granted before.
    fn change(&mut self) -> Result<(), Trouble> {
        let Some(lease) = self.live.values().find(|lease| lease.from > date() + LONG.as_millis() as i64)
        else {
            return Ok(());
        };
        self.count += 1;
        let owner = &mut self.owners[lease.owner];
        let message = format!("changed {}", self.count);
        self.watcher.get()?;
        owner.get()?.set_profile(&[("message".to_owned(), message.clone())])?;
        let (address, deadline) = (owner.address(), Instant::now() + LONG);
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.watcher.get()?.next_event(left)? {
                Some(Event::Changed(presence))
                    if presence.regarding == address && presence.message == message =>
                {
                    return Ok(());
                }
                Some(Event::Ended) => return Err(Error::Ended.into()),
                Some(_) => {}
                None => return wrong(format!("the watcher did not hear of {message:?}")),
            }
        }
    }
}

impl Worker for Leases {
    fn name(&self) -> String {
        format!("subscriptions of {} to {}", self.watcher.address(), self.owners[0].address())
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        vec![resident(&self.watcher), resident(&self.owners[0]), resident(&self.owners[1])]
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        let now = date();
        self.lapse(now);
        if self.live.len() >= HELD || self.live.len() > 2 && self.chance.percent(30) {
            let at = self.chance.below(self.live.len());
            let Some((token, lease)) = self.live.iter().nth(at).map(|(t, l)| (t.clone(), *l)) else {
                return Ok(());
            };
            self.doubt = Doubt::End(token.clone());
            self.watcher.get()?.unsubscribe(&self.owners[lease.owner].address(), &token)?;
            self.live.remove(&token);
            self.ended.insert(token, lease.owner);
        } else {
            let owner = usize::from(self.held(0) > self.held(1));
            if self.held(owner) >= HELD {
                tally.wait(FULL);
                return Ok(());
            }
            self.doubt = Doubt::Grant(owner);
            self.subscribe(owner)?;
        }
        self.doubt = Doubt::None;
        tally.acknowledge();
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        let starts = (self.watcher.home().starts(), self.owners[0].home().starts());
        let before = std::mem::replace(&mut self.starts, starts);
        self.compare()?;
        self.try_them()?;
        // A watcher's server that was away when it should have been told is told again after a while only.
        if !self.is_far() || starts.0 == before.0 && starts.1 == before.1 + 1 {
            self.change()?;
        }
        Ok(())
    }
}
