//! Messages kept for those who are away, through every fault: what was accepted reaches its reader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId};
use hearth::store::record::Change;

use crate::people::{MONTH, People};
use crate::seeds;

struct Workload {
    people: People,
    /// Requests by endpoint and id: the message's text.
    asked: BTreeMap<(ClientId, String), String>,
    /// Messages accepted, and messages read and answered with `okay`.
    accepted: BTreeSet<String>,
    read: BTreeSet<String>,
    next: u32,
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let mut people = People::new(seed);
        let users: Vec<_> = people.users.iter().map(|u| (u.home, u.address.clone())).collect();
        for (home, address) in users {
            people.world.change(home, Change::SetKeepsMessages { address, keeps: true });
        }
        let (asked, accepted, read) = Default::default();
        Workload { people, asked, accepted, read, next: 0 }
    }

    fn log_in(&mut self, who: usize) {
        let endpoint = self.people.log_in(who);
        self.people.world.answers(endpoint, Answer::Okay, Answer::Okay);
    }

    fn step(&mut self) {
        let who = self.people.anyone();
        match self.people.world.chance.between(0, 99) {
            0..=14 => self.log_in(who),
            15..=29 => self.people.log_out(who),
            30..=84 => self.write(who),
            _ => self.people.fault(),
        }
        let pause = self.people.world.chance.between(0, 300);
        self.people.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    fn write(&mut self, who: usize) {
        let to = self.people.anyone();
        let (to, from) = (self.people.users[to].address.clone(), self.people.users[who].address.clone());
        self.next += 1;
        let body = format!("message {} to {to}", self.next);
        let entries =
            [("action", "send"), ("to", &*to), ("from", &*from), ("type", "text/plain"), ("body", &*body)];
        if let Some(endpoint) = self.people.endpoint(who) {
            let id = self.people.world.request(endpoint, &entries);
            self.asked.insert((endpoint, id), body);
        }
    }

    fn collect(&mut self) {
        for endpoint in self.people.endpoints() {
            while let Some((_, object)) = self.people.world.client(endpoint).inbox.pop_front() {
                let reply = object.get("response").map(|id| (endpoint, id.to_owned()));
                if let Some(body) = reply.and_then(|reply| self.asked.remove(&reply)) {
                    if object.action() == "okay" {
                        self.accepted.insert(body);
                    }
                } else if object.action() == "send" {
                    self.read.insert(object.get("body").unwrap_or_default().to_owned());
                }
            }
        }
    }

    /// All is mended, and everybody comes and reads.
    fn finish(mut self) {
        self.people.mend();
        self.people.world.run_for(Duration::from_secs(60));
        for _ in 0..2 {
            for who in 0..self.people.users.len() {
                self.log_in(who);
            }
            self.people.world.run_for(Duration::from_secs(60));
            self.collect();
        }
        // What was too old by a clock that had jumped is not delivered any more.
        let world = &self.people.world;
        let home = |body: &str| body.split_once('@').and_then(|(_, domain)| world.home_of(domain)).unwrap();
        let young = |body: &&String| world.hosts[home(body).0].leapt < MONTH;
        let lost: Vec<&String> = self.accepted.difference(&self.read).filter(young).collect();
        assert!(lost.is_empty(), "accepted and never read: {lost:?}");
        assert!(!self.accepted.is_empty());
    }
}

#[test]
fn what_was_accepted_is_read_in_the_end() {
    for seed in seeds(8) {
        let mut workload = Workload::new(seed);
        for _ in 0..200 {
            workload.step();
        }
        workload.finish();
    }
}
