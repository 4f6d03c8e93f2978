//! What a user keeps at his contact place: his profile, his access control list, his mappings and their documents.

use std::collections::VecDeque;
use std::sync::Arc;

use hearth::client::blocking::Client;
use hearth::client::blocking::transfer::Presence;
use hearth::client::transfer::Body;
use hearth::client::{self, Error};
use hearth::sim::chance::Chance;

use super::worker::{Tally, Trouble, Worker, wrong};
use crate::home::{Home, Resident};
use crate::line::{self, Anew};

/// Which of the two lists that SIMP replaces as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// The profile; what it says of the user is his presence.
    Profile,
    /// The access control list.
    AccessList,
}

/// Replaces a list again and again.
pub struct Entries {
    what: What,
    line: Anew<Client>,
    count: u64,
    /// What may be there: the last that was acknowledged, and what was asked for since.
    allowed: VecDeque<client::Entries>,
}

impl Entries {
    /// Of a user of his own.
    pub fn new(home: &Arc<Home>, what: What) -> Entries {
        let local = match what {
            What::Profile => "profile",
            What::AccessList => "list",
        };
        Entries { what, line: Anew::new(home, local, line::simp), count: 0, allowed: VecDeque::new() }
    }

    fn nth(&self) -> client::Entries {
        let count = self.count;
        let pair = |key: &str, value: String| (key.to_owned(), value);
        match self.what {
            What::Profile => vec![
                pair("message", format!("here for the {count}th time")),
                pair("padding", count.to_string().repeat(1 + count as usize % 700)),
            ],
            What::AccessList => vec![
                pair(&format!("user{count}@x.example"), "send".into()),
                pair("everybody", "send fetch subscribe unsubscribe change end".into()),
                pair("@y.example", "+send ".repeat(count as usize % 7)),
            ],
        }
    }

    fn found(&mut self) -> Result<client::Entries, Error> {
        match self.what {
            What::Profile => self.line.get()?.get_profile(),
            What::AccessList => self.line.get()?.get_acl(),
        }
    }
}

impl Worker for Entries {
    fn name(&self) -> String {
        format!("{:?} of {}", self.what, self.line.address())
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        vec![resident(&self.line)]
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        if self.allowed.is_empty() {
            let found = self.found()?;
            self.allowed.push_back(found);
        }
        self.count += 1;
        let entries = self.nth();
        self.allowed.push_back(entries.clone());
        match self.what {
            What::Profile => self.line.get()?.set_profile(&entries)?,
            What::AccessList => self.line.get()?.set_acl(&entries)?,
        };
        self.allowed = VecDeque::from([entries]);
        tally.acknowledge();
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        let found = self.found()?;
        if !self.allowed.is_empty() && !self.allowed.contains(&found) {
            return wrong(format!("{found:.200?} is none of {:.200?}", self.allowed));
        }
        self.allowed = VecDeque::from([found]);
        Ok(())
    }
}

/// A class and what it is shown.
type Mapping = (Vec<String>, Option<String>);

/// Edits a list of mappings.
pub struct Mappings {
    line: Anew<Presence>,
    chance: Chance,
    count: u64,
    list: Vec<Mapping>,
    /// What the list is if the edit under way was made.
    next: Option<Vec<Mapping>>,
}

/// A list, for people.
fn brief(list: &[Mapping]) -> Vec<String> {
    let shown = |shown: &Option<String>| match shown {
        Some(text) => format!("{} octets {:.60}", text.len(), text.lines().last().unwrap_or_default()),
        None => "nothing".to_owned(),
    };
    list.iter().map(|(class, document)| format!("{} {}", class.join(" "), shown(document))).collect()
}

/// Mappings of one list.
const MAPPINGS: usize = 6;

impl Mappings {
    /// Of a user of his own.
    pub fn new(home: &Arc<Home>, chance: Chance) -> Mappings {
        let line = Anew::new(home, "mappings", line::pitp);
        Mappings { line, chance, count: 0, list: Vec::new(), next: None }
    }

    fn document(&mut self) -> Option<String> {
        if self.chance.percent(15) {
            return None;
        }
        let (address, count) = (self.line.address(), self.count);
        let padding = "x".repeat(self.chance.below(2000));
        Some(format!("contact = im:{address} {{ status = open }}\r\nnote = \"{count} {padding}\"\r\n"))
    }

    fn class(&self) -> Vec<String> {
        vec![format!("presence:user{}@c.example", self.count), "presence:*@*.example".to_owned()]
    }

    fn found(&mut self) -> Result<Vec<Mapping>, Error> {
        let line = self.line.get()?;
        let mut list = Vec::new();
        while let Some(class) = line.get_class(list.len() as u32 + 1)? {
            let shown = line.fetch_for_update(list.len() as u32 + 1)?;
            list.push((class, shown.map(|body| body.text().into_owned())));
        }
        Ok(list)
    }
}

impl Worker for Mappings {
    fn name(&self) -> String {
        format!("mappings of {}", self.line.address())
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        vec![resident(&self.line)]
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        let mut next = self.list.clone();
        let (document, class) = (self.document(), self.class());
        let body = document.as_deref().map(Body::plain);
        let patterns: Vec<&str> = class.iter().map(String::as_str).collect();
        let at = self.chance.below(next.len());
        let number = at as u32 + 1;
        let edit = if next.is_empty() { 0 } else { self.chance.below(4) };
        match edit {
            0 if next.len() < MAPPINGS => next.insert(at, (class.clone(), document)),
            0 | 1 => drop(next.remove(at)),
            2 => next[at].1 = document,
            _ => next[at].0.clone_from(&class),
        }
        let inserts = next.len() > self.list.len();
        let deletes = next.len() < self.list.len();
        self.next = Some(next.clone());
        let line = self.line.get()?;
        match edit {
            _ if inserts => line.insert_mapping(number, &patterns, body.as_ref())?,
            _ if deletes => line.delete_mapping(number)?,
            2 => line.change(number, body.as_ref())?,
            _ => line.set_class(number, &patterns)?,
        }
        (self.list, self.next) = (next, None);
        tally.acknowledge();
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        let found = self.found()?;
        if found != self.list && self.next.as_ref() != Some(&found) {
            let next = self.next.as_deref().map(brief);
            return wrong(format!("{:?} is neither {:?} nor {next:?}", brief(&found), brief(&self.list)));
        }
        (self.list, self.next) = (found, None);
        Ok(())
    }
}

/// The account of a connection.
pub fn resident<T>(line: &Anew<T>) -> (Arc<Home>, Resident) {
    (Arc::clone(line.home()), Resident { local: line.local().to_owned(), keeps: false })
}
