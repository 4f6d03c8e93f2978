//! What watchers believe, in the end: the truth. Users come and go, describe themselves and watch each
//! other at random; when all is quiet, every watcher's last news equals what a fetch says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId};
use hearth::sim::clients::PATIENCE;
use hearth::sim::reader::Object;
use hearth::sim::world::HostId;
use hearth::store::record::{Change, WatcherPolicy};

use crate::people::{DOMAINS, People};
use crate::seeds;

/// A state as it was told: status and description.
type State = (String, String);

fn state(object: &Object) -> State {
    let of = |key: &str| object.get(key).unwrap_or_default().to_owned();
    (of("status"), of("message"))
}

#[derive(Default)]
struct Belief {
    /// Subscriptions that this endpoint has asked for, by id, and whom they are about.
    asked: BTreeMap<String, String>,
    /// What it believes of those whom it watches.
    about: BTreeMap<String, State>,
    /// News that came since a subscription was asked for is newer than its answer.
    news: BTreeMap<String, State>,
}

struct Workload {
    people: People,
    beliefs: BTreeMap<ClientId, Belief>,
    /// Who watches, as an endpoint of the one who is watched was told when it came.
    watchers: BTreeMap<ClientId, BTreeSet<String>>,
    next: u32,
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let mut people = People::new(seed);
        let users: Vec<_> = people.users.iter().map(|u| (u.home, u.address.clone())).collect();
        for (home, address) in users {
            people.world.change(home, Change::SetWatchers { address, watchers: WatcherPolicy::Allow });
        }
        Workload { people, beliefs: BTreeMap::new(), watchers: BTreeMap::new(), next: 0 }
    }

    fn step(&mut self) {
        let who = self.people.anyone();
        match self.people.world.chance.between(0, 99) {
            0..=19 => {
                let endpoint = self.people.log_in(who);
                self.people.world.answers(endpoint, Answer::Okay, Answer::Okay);
            }
            20..=34 => self.people.log_out(who),
            35..=64 => self.describe(who),
            _ => self.watch(who),
        }
        let pause = self.people.world.chance.between(0, 60);
        self.people.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    fn describe(&mut self, who: usize) {
        self.next += 1;
        let text = format!("description {}", self.next % 5);
        if let Some(endpoint) = self.people.endpoint(who) {
            self.people.world.request(endpoint, &[("action", "set profile"), ("message", &*text)]);
        }
    }

    fn watch(&mut self, who: usize) {
        let to = self.people.anyone();
        let (to, from) = (self.people.users[to].address.clone(), self.people.users[who].address.clone());
        if let Some(endpoint) = self.people.endpoint(who) {
            let entries = [("action", "subscribe"), ("to", &*to), ("from", &*from), ("duration", "-1")];
            let id = self.people.world.request(endpoint, &entries);
            let belief = self.beliefs.entry(endpoint).or_default();
            belief.news.remove(&to);
            belief.asked.insert(id, to);
        }
    }

    fn collect(&mut self) {
        for endpoint in self.people.endpoints() {
            while let Some((_, object)) = self.people.world.client(endpoint).inbox.pop_front() {
                let belief = self.beliefs.entry(endpoint).or_default();
                let regarding = object.get("regarding").unwrap_or_default().to_owned();
                match object.action() {
                    "describe" => {
                        let about = object.get("response").and_then(|id| belief.asked.remove(id));
                        assert_eq!(about.as_ref(), Some(&regarding), "{object}");
                        let newer = belief.news.get(&regarding).cloned();
                        belief.about.insert(regarding, newer.unwrap_or(state(&object)));
                    }
                    "note change" => {
                        belief.news.insert(regarding.clone(), state(&object));
                        if let Some(about) = belief.about.get_mut(&regarding) {
                            *about = state(&object);
                        }
                    }
                    "note subscription" | "note subscription lapse" => {
                        let watcher = object.get("subscriber").unwrap_or_default().to_owned();
                        let watchers = self.watchers.entry(endpoint).or_default();
                        match object.action() {
                            "note subscription" => watchers.insert(watcher),
                            _ => watchers.remove(&watcher),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    /// Lets hosts crash and links break now and then.
    fn fault(&mut self) {
        let host = HostId(self.people.world.chance.below(DOMAINS.len()));
        let other = self.people.world.chance.below(DOMAINS.len());
        if self.people.world.chance.percent(60) {
            self.people.world.crash(host);
            self.people.mend();
        } else {
            let (ip, other) = (self.people.world.hosts[host.0].ip(), self.people.world.hosts[other].ip());
            self.people.world.cut(ip, other);
        }
    }

    /// Everybody comes once more, and learns who watches him.
    fn all_come(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let mut endpoints = Vec::new();
        for who in 0..self.people.users.len() {
            // There is room for eight.
            self.people.log_out(who);
            self.people.world.run_for(Duration::from_millis(100));
            let endpoint = self.people.log_in(who);
            self.people.world.answers(endpoint, Answer::Okay, Answer::Okay);
            endpoints.push(endpoint);
        }
        self.people.world.run_for(Duration::from_secs(600));
        self.collect();
        let users = self.people.users.iter().map(|u| u.address.clone());
        users.zip(endpoints.iter().map(|e| self.watchers.remove(e).unwrap_or_default())).collect()
    }

    /// When all is quiet. Gives how many beliefs were looked at.
    fn finish(mut self, faults: bool) -> usize {
        self.people.mend();
        self.people.world.run_for(Duration::from_secs(600));
        self.collect();
        // What a broken link may cost is the subscription; but he who counts as a watcher knows.
        let counted = faults.then(|| self.all_come());
        let mut checked = 0;
        for who in 0..self.people.users.len() {
            let from = self.people.users[who].address.clone();
            for endpoint in self.people.users[who].endpoints.clone() {
                if self.people.world.peek(endpoint).closed {
                    continue;
                }
                let belief = self.beliefs.remove(&endpoint).unwrap_or_default();
                for (about, believed) in belief.about {
                    if counted.as_ref().is_some_and(|counted| !counted[&about].contains(&from)) {
                        continue;
                    }
                    let entries = [("action", "fetch"), ("to", &*about), ("from", &*from)];
                    let id = self.people.world.request(endpoint, &entries);
                    let there = |o: &Object| o.get("response") == Some(&id);
                    let truth = self.people.world.expect(endpoint, PATIENCE, there).expect("an answer");
                    assert_eq!(believed, state(&truth), "what {from} believes of {about}");
                    checked += 1;
                }
            }
        }
        checked
    }
}

// SIMP-6.1-3 SIMP-15-2 OC-43 OC-47
#[test]
fn when_all_is_quiet_watchers_know_the_truth() {
    let mut checked = 0;
    for seed in seeds(12) {
        let mut workload = Workload::new(seed);
        for _ in 0..250 {
            workload.step();
        }
        checked += workload.finish(false);
    }
    assert!(checked > 0);
}

// SIMP-6.1-3 OC-43 OC-72
#[test]
fn whoever_counts_as_a_watcher_knows_the_truth_whatever_has_broken() {
    let mut checked = 0;
    for seed in seeds(8) {
        let mut workload = Workload::new(seed);
        for _ in 0..200 {
            if workload.people.world.chance.percent(4) {
                workload.fault();
            }
            workload.step();
        }
        checked += workload.finish(true);
    }
    assert!(checked > 0);
}
