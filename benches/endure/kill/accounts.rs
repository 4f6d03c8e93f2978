//! What the operator does by the command line while the server runs: exit status 0 is the acknowledgement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hearth::client::blocking::Client;
use hearth::client::{Account, Proof};
use hearth::credential::Secret;
use hearth::sim::chance::Chance;

use super::worker::{Tally, Trouble, Worker, wrong};
use crate::home::{Home, Resident};
use crate::rig::Failure;
use crate::rig::house::Service;

/// Between two commands, milliseconds at most: each is a process, and some hash a password.
const PAUSE: u64 = 60;
/// Things of each kind that are there at a time.
const THINGS: usize = 12;

/// Something that is there or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Thing {
    Account(String),
    /// Is this account locked?
    Lock(String),
    /// A device key of the one user that lasts, by its label.
    Key(String),
    /// A rule about a domain.
    Rule(String),
}

/// Whether it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Known {
    /// Acknowledged; a key with its secret.
    There(String),
    /// Its end was acknowledged.
    Gone,
    /// It was under way.
    Doubtful,
}

/// Adds and deletes accounts, keys and rules.
pub struct Accounts {
    home: Arc<Home>,
    chance: Chance,
    count: u64,
    things: BTreeMap<Thing, Known>,
}

/// The user who lasts.
const OWNER: &str = "keyed";

impl Accounts {
    /// At one home.
    pub fn new(home: &Arc<Home>, chance: Chance) -> Accounts {
        Accounts { home: Arc::clone(home), chance, count: 0, things: BTreeMap::new() }
    }

    /// Runs one command about a thing.
    fn run(&mut self, tally: &Tally, thing: Thing, add: bool) -> Result<(), Trouble> {
        let owner = self.home.address(OWNER);
        let arguments = match (&thing, add) {
            (Thing::Account(name), true) => vec!["user", "add", name, "--password-stdin"],
            (Thing::Account(name), false) => vec!["user", "del", name],
            (Thing::Lock(name), true) => vec!["user", "lock", name],
            (Thing::Lock(name), false) => vec!["user", "unlock", name],
            (Thing::Key(label), true) => vec!["user", "key", "add", &owner, label],
            (Thing::Key(label), false) => vec!["user", "key", "del", &owner, label],
            (Thing::Rule(domain), true) => vec!["peer", "deny", domain],
            (Thing::Rule(domain), false) => vec!["peer", "forget", domain],
        };
        self.things.insert(thing.clone(), Known::Doubtful);
        let done = self.home.command(&arguments, "an account password\n")?;
        if !done.done {
            // It can fail because the server falls, a moment before that is seen here.
            if tally.is_over() {
                return Err(Trouble::Gone(hearth::client::Error::Ended));
            }
            return wrong(format!("hearth {}: {}", arguments.join(" "), done.complaint));
        }
        let known = if add { Known::There(done.printed) } else { Known::Gone };
        if let (Thing::Account(name), Known::Gone) = (&thing, &known) {
            self.things.remove(&Thing::Lock(name.clone()));
        }
        self.things.insert(thing, known);
        tally.acknowledge();
        Ok(())
    }

    /// What is there of a kind.
    fn there(&self, kind: impl Fn(&Thing) -> bool) -> Vec<Thing> {
        let there = |known: &Known| matches!(known, Known::There(_));
        self.things
            .iter()
            .filter(|(thing, known)| kind(thing) && there(known))
            .map(|(t, _)| t.clone())
            .collect()
    }

    /// What the database has.
    fn found(&self) -> Result<BTreeMap<Thing, ()>, Failure> {
        let reader = self.home.reader()?;
        let mut found = BTreeMap::new();
        reader.users(|user| {
            if user.address.starts_with("extra") {
                if user.locked {
                    found.insert(Thing::Lock(user.address.clone()), ());
                }
                found.insert(Thing::Account(user.address), ());
            }
            true
        })?;
        for key in reader.keys(&self.home.address(OWNER))?.unwrap_or_default() {
            if key.label.starts_with("extra") {
                found.insert(Thing::Key(key.label), ());
            }
        }
        for (domain, _) in reader.peer_rules()? {
            found.insert(Thing::Rule(domain.as_str().to_owned()), ());
        }
        Ok(found)
    }

    /// A key that was given out opens the account.
    fn try_key(&mut self) -> Result<(), Trouble> {
        let keys = self.there(|thing| matches!(thing, Thing::Key(_)));
        let Some(thing) = keys.get(self.chance.below(keys.len())) else { return Ok(()) };
        let Some(Known::There(secret)) = self.things.get(thing) else { return Ok(()) };
        if secret.is_empty() {
            return Ok(());
        }
        let proof = Proof::DeviceKey(Secret::new(secret.clone()));
        let account = Account::new(&self.home.address(OWNER), proof)?;
        Client::login(&self.home.place(Service::Simp), account)?.close()?;
        Ok(())
    }
}

impl Worker for Accounts {
    fn name(&self) -> String {
        format!("accounts of {}", self.home.domain)
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        vec![(Arc::clone(&self.home), Resident { local: OWNER.to_owned(), keeps: false })]
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        let count = self.count;
        let name = self.home.address(&format!("extra{count}"));
        let (thing, kind): (Thing, fn(&Thing) -> bool) = match self.chance.below(6) {
            0 => (Thing::Account(name), |thing| matches!(thing, Thing::Account(_))),
            1 => {
                let accounts = self.there(|thing| matches!(thing, Thing::Account(_)));
                match accounts.get(self.chance.below(accounts.len())) {
                    Some(Thing::Account(name)) => {
                        (Thing::Lock(name.clone()), |thing| matches!(thing, Thing::Lock(_)))
                    }
                    _ => (Thing::Account(name), |thing| matches!(thing, Thing::Account(_))),
                }
            }
            2 | 3 => (Thing::Rule(format!("extra{count}.example")), |thing| matches!(thing, Thing::Rule(_))),
            _ => (Thing::Key(format!("extra{count}")), |thing| matches!(thing, Thing::Key(_))),
        };
        let there = self.there(kind);
        let surplus = there.len() >= THINGS || !there.is_empty() && self.chance.percent(35);
        match there.get(self.chance.below(there.len())).filter(|_| surplus) {
            Some(old) => self.run(tally, old.clone(), false)?,
            None => self.run(tally, thing, true)?,
        }
        tally.wait(Duration::from_millis(self.chance.between(0, PAUSE)));
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        let mut found = self.found()?;
        // The end of an account, perhaps one under way, is the end of its lock.
        self.things.retain(|thing, _| match thing {
            Thing::Lock(name) => found.contains_key(&Thing::Account(name.clone())),
            Thing::Account(_) | Thing::Key(_) | Thing::Rule(_) => true,
        });
        for (thing, known) in &mut self.things {
            let there = found.remove(thing).is_some();
            match known {
                Known::There(_) if !there => return wrong(format!("{thing:?} is gone")),
                Known::Gone if there => return wrong(format!("{thing:?} is there again")),
                // Whose secret nobody knows, if it is a key.
                Known::Doubtful if there => *known = Known::There(String::new()),
                Known::Doubtful => *known = Known::Gone,
                Known::There(_) | Known::Gone => {}
            }
        }
        if let Some((thing, ())) = found.first_key_value() {
            return wrong(format!("nobody made {thing:?}"));
        }
        self.try_key()
    }
}
