//! Senders who go away while their messages are under way: each failure that they could not be told is
//! reported to them, once.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId};

use crate::people::People;
use crate::seeds;

struct Workload {
    people: People,
    /// Messages without an answer, by endpoint and id: sender and recipient, and when.
    open: BTreeMap<(ClientId, String), ((String, String), u64)>,
    /// Failures that could not be told, by sender and recipient.
    untold: BTreeMap<(String, String), usize>,
    /// Messages written just when the server put their sender out: it may never have read them.
    perhaps: BTreeMap<(String, String), usize>,
    /// Reports, by whom they reached and about whom: their names.
    reports: BTreeMap<(String, String), BTreeSet<String>>,
    sent: usize,
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let (open, untold, perhaps, reports) = Default::default();
        Workload { people: People::new(seed), open, untold, perhaps, reports, sent: 0 }
    }

    fn log_in(&mut self, who: usize) {
        let endpoint = self.people.log_in(who);
        // Nobody ever answers a message by itself; reports are answered below.
        self.people.world.answers(endpoint, Answer::ByHand, Answer::Okay);
        self.people.world.await_login(endpoint);
    }

    fn write(&mut self, who: usize) {
        let to = self.people.anyone();
        let (to, from) = (self.people.users[to].address.clone(), self.people.users[who].address.clone());
        if let Some(endpoint) = self.people.endpoint(who) {
            let entries = [
                ("action", "send"),
                ("to", &*to),
                ("from", &*from),
                ("type", "text/plain"),
                ("body", "hello"),
            ];
            let id = self.people.world.request(endpoint, &entries);
            self.open.insert((endpoint, id), ((from, to), self.people.world.now));
            self.sent += 1;
        }
    }

    /// Somebody goes, well before his messages have failed.
    fn leave(&mut self, who: usize) {
        let Some(endpoint) = self.people.endpoint(who) else { return };
        self.people.world.run_for(Duration::from_secs(1));
        self.collect();
        // What fails just now may be told to a connection that is just closed: nobody can know.
        let now = self.people.world.now;
        let just = |sent: &u64| [24..=26, 29..=32].iter().any(|span| span.contains(&((now - sent) / 1000)));
        if self.open.values().any(|(_, sent)| just(sent)) {
            return;
        }
        self.people.world.close(endpoint, true);
        self.collect();
    }

    fn collect(&mut self) {
        for who in 0..self.people.users.len() {
            for endpoint in self.people.users[who].endpoints.clone() {
                while let Some((_, object)) = self.people.world.client(endpoint).inbox.pop_front() {
                    if let Some(id) = object.get("response") {
                        self.open.remove(&(endpoint, id.to_owned()));
                    } else if object.get("item").is_some() {
                        let of = |key: &str| object.get(key).unwrap_or_default().to_owned();
                        assert_eq!(of("to"), self.people.users[who].address);
                        self.reports.entry((of("to"), of("regarding"))).or_default().insert(of("item"));
                        let id = of("request");
                        let okay = [("action", "okay"), ("response", &*id), ("message", "")];
                        self.people.world.send(endpoint, &hearth::sim::reader::Object::new(&okay));
                    }
                }
            }
        }
        // Some leave, and some are put out because they never answer.
        let people = &self.people;
        let (untold, perhaps) = (&mut self.untold, &mut self.perhaps);
        self.open.retain(|(endpoint, _), (pair, sent)| {
            let closed = people.world.peek(*endpoint).closed;
            if closed {
                let read = people.world.now - *sent > 500;
                *(if read { &mut *untold } else { &mut *perhaps }).entry(pair.clone()).or_default() += 1;
            }
            !closed
        });
    }

    fn step(&mut self) {
        let who = self.people.anyone();
        match self.people.world.chance.between(0, 99) {
            0..=24 => self.log_in(who),
            25..=39 => self.leave(who),
            40..=94 => self.write(who),
            _ => self.people.world.run_for(Duration::from_secs(20)),
        }
        let pause = self.people.world.chance.between(0, 300);
        self.people.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    fn finish(mut self) -> usize {
        for _ in 0..3 {
            self.people.world.run_for(Duration::from_secs(40));
            self.collect();
            for who in 0..self.people.users.len() {
                self.log_in(who);
            }
        }
        self.people.world.run_for(Duration::from_secs(5));
        self.collect();
        let mut pairs: BTreeSet<_> = self.untold.keys().chain(self.perhaps.keys()).cloned().collect();
        pairs.extend(self.reports.keys().cloned());
        for pair in &pairs {
            let got = self.reports.get(pair).map_or(0, BTreeSet::len);
            let untold = self.untold.get(pair).copied().unwrap_or_default();
            let perhaps = self.perhaps.get(pair).copied().unwrap_or_default();
            let fits = (untold..=untold + perhaps).contains(&got);
            assert!(fits, "{got} reports to {pair:?} of {untold} failures, of {} messages in all", self.sent);
        }
        self.reports.values().map(BTreeSet::len).sum()
    }
}

// SIMP-1-4 design 5
#[test]
fn each_failure_that_could_not_be_told_is_reported_once() {
    let mut reports = 0;
    for seed in seeds(6) {
        let mut workload = Workload::new(seed);
        for _ in 0..150 {
            workload.step();
        }
        reports += workload.finish();
    }
    assert!(reports > 0);
}
