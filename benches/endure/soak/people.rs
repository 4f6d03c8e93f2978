//! Honest users: those who talk, and those who come and go.

use std::sync::Arc;
use std::time::Duration;

use hearth::client::blocking::Client;
use hearth::client::blocking::transfer::Presence;
use hearth::client::{self, Error};
use hearth::sim::chance::Chance;

use crate::home::{Home, Resident};
use crate::kill::worker::{LONG, Tally, Trouble, Worker, wrong};
use crate::line::{self, Line};
use crate::rig::house::Service;

/// Messages until both log out and in again.
const TALK: u64 = 50;
/// Users who come and go.
const PEOPLE: u64 = 40;

/// Somebody who writes to somebody else, who answers.
pub struct Talk {
    ends: [(Arc<Home>, String, Service); 2],
    lines: Option<[Line; 2]>,
    chance: Chance,
    count: u64,
}

impl Talk {
    /// From the one place to the other.
    pub fn new(
        number: usize,
        (from, writes): (&Arc<Home>, Service),
        (to, reads): (&Arc<Home>, Service),
        chance: Chance,
    ) -> Talk {
        let end =
            |home: &Arc<Home>, name: &str, service| (Arc::clone(home), format!("{name}{number}"), service);
        Talk { ends: [end(from, "talker", writes), end(to, "hearer", reads)], lines: None, chance, count: 0 }
    }

    fn come(&mut self) -> Result<&mut [Line; 2], Error> {
        if self.lines.is_none() {
            let login =
                |(home, local, service): &(Arc<Home>, String, Service)| Line::login(home, local, *service);
            self.lines = Some([login(&self.ends[0])?, login(&self.ends[1])?]);
        }
        self.lines.as_mut().ok_or(Error::Ended)
    }
}

impl Worker for Talk {
    fn name(&self) -> String {
        let [(from, writer, _), (to, reader, _)] = &self.ends;
        format!("{} writes to {}", from.address(writer), to.address(reader))
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        let resident = |(home, local, _): &(Arc<Home>, String, Service)| {
            (Arc::clone(home), Resident { local: local.clone(), keeps: false })
        };
        self.ends.iter().map(resident).collect()
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        self.count += 1;
        let text = format!("{} {}", self.count, "x".repeat(self.chance.below(800)));
        let refuses = self.chance.percent(10);
        let to = self.ends[1].0.address(&self.ends[1].1);
        let [writer, reader] = self.come()?;
        let sent = writer.start(&to, &text)?;
        let Some(heard) = tally.wait_for(|moment| reader.hear(moment))? else {
            return wrong(format!("{text:.40} never came"));
        };
        if heard.text != text {
            return wrong(format!("{:.40} came instead of {text:.40}", heard.text));
        }
        if refuses {
            reader.refuse(heard)?
        } else {
            reader.okay(heard)?
        }
        if writer.outcome(sent, LONG)? == refuses {
            return wrong(format!("{text:.40} was answered wrongly"));
        }
        tally.acknowledge();
        if self.count.is_multiple_of(TALK)
            && let Some(lines) = self.lines.take()
        {
            for line in lines {
                line.close()?;
            }
        }
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}

/// Users who log in over some protocol, look about, and go: in order or not.
pub struct Comings {
    home: Arc<Home>,
    other: Arc<Home>,
    chance: Chance,
}

impl Comings {
    /// Of one home, with contacts at both.
    pub fn new(home: &Arc<Home>, other: &Arc<Home>, chance: Chance) -> Comings {
        Comings { home: Arc::clone(home), other: Arc::clone(other), chance }
    }

    fn anybody(&mut self) -> String {
        format!("guest{}", self.chance.between(1, PEOPLE))
    }

    fn simp(&mut self, local: &str) -> Result<Client, Error> {
        let contacts = [self.anybody(), self.anybody()];
        let contacts = [self.home.address(&contacts[0]), self.other.address(&contacts[1])];
        let (whom, count) = (self.anybody(), self.chance.between(0, 1_000_000));
        let mut client = line::simp(&self.home, local)?;
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let profile = [
            ("message".to_owned(), format!("back for a moment {count}")),
            ("buddies".to_owned(), client::buddies(&[("friends", &contacts)])?),
        ];
        client.set_profile(&profile)?;
        client.fetch(&self.other.address(&whom))?;
        client.next_event(Duration::from_millis(50))?;
        Ok(client)
    }

    fn pitp(&mut self, local: &str) -> Result<Presence, Error> {
        let whom = self.anybody();
        let mut client = line::pitp(&self.home, local)?;
        client.subscribe(&self.other.address(&whom))?;
        client.next_event(Duration::from_millis(50))?;
        Ok(client)
    }
}

impl Worker for Comings {
    fn name(&self) -> String {
        format!("guests of {}", self.home.domain)
    }

    fn residents(&self) -> Vec<(Arc<Home>, Resident)> {
        let guest = |number| Resident { local: format!("guest{number}"), keeps: false };
        (1..=PEOPLE).map(|number| (Arc::clone(&self.home), guest(number))).collect()
    }

    fn work(&mut self, tally: &Tally) -> Result<(), Trouble> {
        let local = self.anybody();
        let in_order = self.chance.percent(70);
        match self.chance.below(3) {
            0 => {
                let client = self.simp(&local)?;
                if in_order {
                    client.close()?;
                }
            }
            1 => {
                let line = Line::login(&self.home, &local, Service::Imtp)?;
                if in_order {
                    line.close()?;
                }
            }
            _ => {
                let client = self.pitp(&local)?;
                if in_order {
                    client.close()?;
                }
            }
        }
        tally.acknowledge();
        Ok(())
    }

    fn verify(&mut self) -> Result<(), Trouble> {
        Ok(())
    }
}
