//! Random workloads with every fault there is, and what must hold all the same.
//!
//! Users of three homes log in, write, watch, change profiles and lists, and go, while hosts crash,
//! disks fill, links break and clocks jump. Checked: nothing okayed is lost, nothing refused is
//! delivered afterwards, every request is answered or its connection closed, and when all is quiet
//! nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId};
use hearth::sim::reader::Object;
use hearth::sim::world::HostId;

use crate::people::{DOMAINS, People};
use crate::seeds;

const STEPS: usize = 250;
/// Longer than any answer may take, in milliseconds.
const PATIENCE: u64 = 45_000;

/// Something that a user keeps at his contact place: all that he asked to put there.
#[derive(Default)]
struct Kept {
    /// By text: when it was asked for, and when it was okayed, if it was.
    asked: BTreeMap<String, (u64, Option<u64>)>,
}

impl Kept {
    /// Can this be what is there now? Nothing asked for after its okay may have been okayed too.
    fn allows(&self, found: Option<&String>) -> bool {
        let since = match found.map(|text| self.asked.get(text)) {
            None => 0,
            Some(None) => return false,
            Some(Some((_, okayed))) => okayed.unwrap_or(u64::MAX),
        };
        !self.asked.values().any(|(asked, okayed)| okayed.is_some() && *asked > since)
            && (found.is_some() || self.asked.values().all(|(_, okayed)| okayed.is_none()))
    }
}

/// What a request was for.
enum Purpose {
    Message(String),
    /// Whose, `profile` or `acl`, and the text put into it.
    Keep(usize, &'static str, String),
    Other,
}

struct Workload {
    people: People,
    kept: BTreeMap<(usize, &'static str), Kept>,
    /// Requests without an answer: by endpoint and id, when they were made.
    open: BTreeMap<(ClientId, String), (u64, Purpose)>,
    /// Messages that were refused, and when; and how often each was delivered, to which endpoint.
    refused: BTreeMap<String, u64>,
    delivered: BTreeMap<(ClientId, String), u32>,
    okayed: BTreeSet<String>,
    next: u32,
}

impl Workload {
    fn new(seed: u64) -> Workload {
        let (kept, open, refused, delivered, okayed) = Default::default();
        Workload { people: People::new(seed), kept, open, refused, delivered, okayed, next: 0 }
    }

    fn step(&mut self) {
        let who = self.people.anyone();
        match self.people.world.chance.between(0, 99) {
            0..=14 => {
                let endpoint = self.people.log_in(who);
                let sends = [Answer::Okay, Answer::Okay, Answer::Okay, Answer::Error, Answer::ByHand];
                let sends = self.people.choose(&sends);
                self.people.world.answers(endpoint, sends, Answer::Okay);
            }
            15..=19 => self.people.log_out(who),
            20..=59 => self.write(who),
            60..=71 => self.keep(who),
            72..=84 => self.watch(who),
            _ => self.people.fault(),
        }
        let pause = self.people.world.chance.between(0, 400);
        self.people.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    fn ask(&mut self, who: usize, purpose: Purpose, entries: &[(&str, &str)]) {
        if let Some(endpoint) = self.people.endpoint(who) {
            let id = self.people.world.request(endpoint, entries);
            if let Purpose::Keep(who, what, text) = &purpose {
                let kept = self.kept.entry((*who, *what)).or_default();
                kept.asked.insert(text.clone(), (self.people.world.now, None));
            }
            self.open.insert((endpoint, id), (self.people.world.now, purpose));
        }
    }

    fn write(&mut self, who: usize) {
        let to = self.people.anyone();
        let (to, from) = (self.people.users[to].address.clone(), self.people.users[who].address.clone());
        self.next += 1;
        // Between two homes a message may be on its way when its sender is told that it failed.
        let near = to.split_once('@').unwrap().1 == from.split_once('@').unwrap().1;
        let body = format!("message {} {}", self.next, if near { "near" } else { "far" });
        let entries =
            [("action", "send"), ("to", &*to), ("from", &*from), ("type", "text/plain"), ("body", &*body)];
        self.ask(who, Purpose::Message(body.clone()), &entries);
    }

    fn keep(&mut self, who: usize) {
        self.next += 1;
        if self.people.world.chance.percent(50) {
            let text = format!("description {}", self.next);
            let entries = [("action", "set profile"), ("message", &*text)];
            self.ask(who, Purpose::Keep(who, "profile", text.clone()), &entries);
        } else {
            let key = format!("nobody-{}@d.test", self.next);
            let all = "send fetch subscribe unsubscribe change end";
            let entries = [("action", "set acl"), (&*key, ""), ("everybody", all)];
            self.ask(who, Purpose::Keep(who, "acl", key.clone()), &entries);
        }
    }

    fn watch(&mut self, who: usize) {
        let to = self.people.anyone();
        let (to, from) = (self.people.users[to].address.clone(), self.people.users[who].address.clone());
        let duration = self.people.choose(&["-1", "5000", "60000", "0"]);
        let action = self.people.choose(&["subscribe", "fetch", "inquire"]);
        let entries = [("action", action), ("to", &*to), ("from", &*from), ("duration", duration)];
        self.ask(who, Purpose::Other, &entries);
    }

    /// Takes what everybody has received and checks it.
    fn collect(&mut self) {
        let mut replies = Vec::new();
        for endpoint in self.people.endpoints() {
            while let Some((at, object)) = self.people.world.client(endpoint).inbox.pop_front() {
                match object.get("response") {
                    Some("connect") => {}
                    Some(id) => replies.push((endpoint, id.to_owned(), object)),
                    None if object.action() == "send" => self.received(endpoint, at, &object),
                    None => {}
                }
            }
        }
        for (endpoint, id, reply) in replies {
            self.answered(endpoint, id, &reply);
        }
        let (now, world) = (self.people.world.now, &self.people.world);
        self.open.retain(|(endpoint, id), (since, purpose)| {
            let closed = world.peek(*endpoint).closed;
            let about = match purpose {
                Purpose::Message(text) | Purpose::Keep(_, _, text) => text.as_str(),
                Purpose::Other => "another request",
            };
            assert!(closed || now - *since < PATIENCE, "{about} ({id}) of {since} is not answered at {now}");
            !closed
        });
    }

    fn answered(&mut self, endpoint: ClientId, id: String, reply: &Object) {
        let (_, purpose) = self.open.remove(&(endpoint, id)).expect("a reply to a request, and only one");
        match (purpose, reply.action()) {
            (Purpose::Message(body), "okay") => {
                let there = self.delivered.keys().any(|(_, b)| *b == body);
                assert!(there, "{body} was okayed and never delivered");
                self.okayed.insert(body);
            }
            (Purpose::Message(body), "error") => {
                self.refused.insert(body, self.people.world.now);
            }
            (Purpose::Keep(who, what, text), "okay") => {
                let kept = self.kept.entry((who, what)).or_default();
                kept.asked.get_mut(&text).expect("asked for").1 = Some(self.people.world.now);
            }
            (Purpose::Keep(..) | Purpose::Other, _) => {}
            (Purpose::Message(body), other) => panic!("{other} answers {body}"),
        }
    }

    fn received(&mut self, endpoint: ClientId, at: u64, object: &Object) {
        let body = object.get("body").unwrap_or_default().to_owned();
        if !body.starts_with("message ") {
            return;
        }
        if let Some(refused) = self.refused.get(&body).filter(|_| body.ends_with("near")) {
            assert!(at <= *refused, "{body} was refused at {refused} and delivered at {at}");
        }
        let times = self.delivered.entry((endpoint, body.clone())).or_default();
        *times += 1;
        assert_eq!(*times, 1, "{body} came twice to one endpoint");
    }

    /// All is mended; everybody goes; nothing is left. Then what was okayed is looked at.
    fn finish(mut self) {
        self.people.mend();
        self.people.world.run_for(Duration::from_millis(PATIENCE + 1000));
        self.collect();
        assert!(self.open.is_empty(), "{} requests are not answered", self.open.len());
        for endpoint in self.people.endpoints() {
            self.people.world.close(endpoint, false);
        }
        self.people.world.run_for(Duration::from_secs(20 * 60));
        for (host, domain) in DOMAINS.iter().enumerate() {
            let status = self.people.world.status(HostId(host));
            let left = (status.endpoints, status.users_online, status.connections, status.requests_waiting);
            assert_eq!(left, (0, 0, 0, 0), "{domain} when all is quiet: {status:?}");
            assert_eq!(self.people.world.hosts[host].connections(), 0);
        }
        for who in 0..self.people.users.len() {
            self.check_kept(who);
        }
    }

    /// What is kept is what was okayed last, or something asked for since.
    fn check_kept(&mut self, who: usize) {
        let user = &self.people.users[who];
        let (home, address, name) = (user.home, user.address.clone(), user.name);
        let world = &mut self.people.world;
        let endpoint = world.login(home, &address, name, &format!("key-of-{name}"));
        let profile = world.client(endpoint).take(|o| o.action() == "self").expect("a profile");
        let id = world.request(endpoint, &[("action", "get acl")]);
        let acl = world.reply(endpoint, &id).expect("a list");
        let found = [
            ("profile", profile.get("message").map(str::to_owned)),
            ("acl", acl.entries.iter().map(|(key, _)| key.clone()).find(|key| key.starts_with("nobody-"))),
        ];
        for (what, found) in found {
            let kept = self.kept.remove(&(who, what)).unwrap_or_default();
            assert!(kept.allows(found.as_ref()), "{address}'s {what} is {found:?} after {:?}", kept.asked);
        }
        self.people.world.close(endpoint, false);
    }
}

// SIMP-1-3 SIMP-1-4 SIMP-3.6-2 SIMP-8.2-1 SIMP-9.2-1
#[test]
fn whatever_fails_nothing_promised_is_lost() {
    for seed in seeds(12) {
        let mut workload = Workload::new(seed);
        for _ in 0..STEPS {
            workload.step();
        }
        workload.finish();
    }
}

/// The same without faults: nothing fails that should not.
#[test]
fn where_nothing_fails_everything_arrives() {
    for seed in seeds(4) {
        let mut workload = Workload::new(seed);
        for who in 0..workload.people.users.len() {
            let endpoint = workload.people.log_in(who);
            workload.people.world.answers(endpoint, Answer::Okay, Answer::Okay);
            workload.people.world.await_login(endpoint);
        }
        for _ in 0..200 {
            let who = workload.people.anyone();
            workload.write(who);
            let pause = workload.people.world.chance.between(0, 20);
            workload.people.world.run_for(Duration::from_millis(pause));
        }
        workload.people.world.run_for(Duration::from_secs(5));
        workload.collect();
        assert!(workload.open.is_empty());
        assert_eq!(workload.refused.len(), 0);
        assert_eq!(workload.okayed.len(), 200);
    }
}

/// All that happens follows from the seed, faults and all: what has failed can be seen again.
#[test]
fn a_workload_can_be_seen_again() {
    let run = |seed| {
        let mut workload = Workload::new(seed);
        (0..120).for_each(|_| workload.step());
        (workload.people.world.trace(), workload.people.world.now)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
