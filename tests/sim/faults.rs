//! Random workloads with every fault there is, and what must hold all the same.
//!
//! Users of three homes log in, write, watch, change profiles and lists, and go, while hosts crash,
//! disks fill, links break and clocks jump. Checked: nothing okayed is lost, nothing refused is
//! delivered afterwards, every request is answered or its connection closed, and when all is quiet
//! nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId, Stage};
use hearth::sim::disk::Health;
use hearth::sim::reader::Object;
use hearth::sim::world::{HostId, World};

use crate::seeds;

const DOMAINS: [&str; 3] = ["a.test", "b.test", "c.test"];
const NAMES: [&str; 3] = ["x", "y", "z"];
const STEPS: usize = 250;
/// Longer than any answer may take.
const PATIENCE: u64 = 45_000;

/// A user and what is known of him.
struct User {
    address: String,
    home: HostId,
    endpoints: Vec<ClientId>,
    /// The last description that was okayed, and those asked for since.
    description: Option<String>,
    asked: Vec<String>,
}

/// What a request was for.
enum Purpose {
    Message(String),
    Description(usize, String),
    Other,
}

struct Workload {
    world: World,
    users: Vec<User>,
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
        let mut world = World::new(seed);
        let mut users = Vec::new();
        for domain in DOMAINS {
            let home = world.add_home(&[domain]);
            for name in NAMES {
                let address = format!("{name}@{domain}");
                world.add_user(home, &address);
                users.push(User {
                    address,
                    home,
                    endpoints: Vec::new(),
                    description: None,
                    asked: Vec::new(),
                });
            }
        }
        let (open, refused, delivered, okayed) = Default::default();
        Workload { world, users, open, refused, delivered, okayed, next: 0 }
    }

    fn step(&mut self) {
        let who = self.world.chance.below(self.users.len());
        match self.world.chance.between(0, 99) {
            0..=14 => self.log_in(who),
            15..=19 => self.log_out(who),
            20..=59 => self.write(who),
            60..=69 => self.describe(who),
            70..=84 => self.watch(who),
            _ => self.fault(),
        }
        let pause = self.world.chance.between(0, 400);
        self.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    fn log_in(&mut self, who: usize) {
        let user = &self.users[who];
        let name = user.address.split('@').next().unwrap().to_owned();
        let label = format!("{}#{}", user.address, user.endpoints.len());
        let endpoint = self.world.begin_login(user.home, &label, &name, &format!("key-of-{name}"));
        let sends = [Answer::Okay, Answer::Okay, Answer::Okay, Answer::Error, Answer::ByHand];
        let sends = sends[self.world.chance.below(sends.len())];
        self.world.answers(endpoint, sends, Answer::Okay);
        self.users[who].endpoints.push(endpoint);
    }

    fn endpoint(&mut self, who: usize) -> Option<ClientId> {
        let live: Vec<ClientId> = self.users[who]
            .endpoints
            .iter()
            .copied()
            .filter(|e| self.world.peek(*e).stage == Stage::In && !self.world.peek(*e).closed)
            .collect();
        (!live.is_empty()).then(|| live[self.world.chance.below(live.len())])
    }

    fn log_out(&mut self, who: usize) {
        if let Some(endpoint) = self.endpoint(who) {
            let rough = self.world.chance.percent(30);
            self.world.close(endpoint, rough);
        }
    }

    fn ask(&mut self, who: usize, purpose: Purpose, entries: &[(&str, &str)]) {
        if let Some(endpoint) = self.endpoint(who) {
            let id = self.world.request(endpoint, entries);
            self.open.insert((endpoint, id), (self.world.now, purpose));
        }
    }

    fn write(&mut self, who: usize) {
        let to = self.world.chance.below(self.users.len());
        let (to, from) = (self.users[to].address.clone(), self.users[who].address.clone());
        self.next += 1;
        // Between two homes a message may be on its way when its sender is told that it failed.
        let near = to.split_once('@').unwrap().1 == from.split_once('@').unwrap().1;
        let body = format!("message {} {}", self.next, if near { "near" } else { "far" });
        let entries =
            [("action", "send"), ("to", &*to), ("from", &*from), ("type", "text/plain"), ("body", &*body)];
        self.ask(who, Purpose::Message(body.clone()), &entries);
    }

    fn describe(&mut self, who: usize) {
        if self.endpoint(who).is_none() {
            return;
        }
        self.next += 1;
        let text = format!("description {}", self.next);
        self.users[who].asked.push(text.clone());
        let entries = [("action", "set profile"), ("message", &*text)];
        self.ask(who, Purpose::Description(who, text.clone()), &entries);
    }

    fn watch(&mut self, who: usize) {
        let to = self.world.chance.below(self.users.len());
        let (to, from) = (self.users[to].address.clone(), self.users[who].address.clone());
        let duration = ["-1", "5000", "60000", "0"][self.world.chance.below(4)];
        let action = ["subscribe", "fetch", "inquire"][self.world.chance.below(3)];
        let entries = [("action", action), ("to", &*to), ("from", &*from), ("duration", duration)];
        self.ask(who, Purpose::Other, &entries);
    }

    fn fault(&mut self) {
        let host = HostId(self.world.chance.below(DOMAINS.len()));
        let other = self.world.chance.below(DOMAINS.len());
        let (ip, other) = (self.world.hosts[host.0].ip(), self.world.hosts[other].ip());
        match self.world.chance.between(0, 8) {
            0 | 1 => self.world.crash(host),
            2 => {
                self.world.shutdown(host);
            }
            3 => self.world.cut(ip, other),
            4 if ip != other => self.world.partition(ip, other),
            5 => {
                let health = [Health::Full, Health::Broken, Health::Stuck];
                self.world.host(host).disk.health = health[self.world.chance.below(3)];
            }
            6 => {
                let jump = self.world.chance.between(0, 7_200_000) as i64 - 3_600_000;
                self.world.host(host).clock += jump;
            }
            7 => self.world.dns.slow(DOMAINS[host.0], 3000),
            _ => self.mend(),
        }
        if self.world.chance.percent(70) {
            self.mend();
        }
    }

    /// Everything works again.
    fn mend(&mut self) {
        self.world.heal();
        for (index, domain) in DOMAINS.iter().enumerate() {
            self.world.host(HostId(index)).disk.health = Health::Well;
            self.world.dns.slow(domain, 0);
            self.world.start(HostId(index));
        }
    }

    /// Takes what everybody has received and checks it.
    fn collect(&mut self) {
        let endpoints: Vec<ClientId> = self.users.iter().flat_map(|u| u.endpoints.iter().copied()).collect();
        let mut replies = Vec::new();
        for endpoint in endpoints {
            while let Some((at, object)) = self.world.client(endpoint).inbox.pop_front() {
                match object.get("response") {
                    Some(id) if id != "connect" => replies.push((endpoint, id.to_owned(), object)),
                    _ if object.action() == "send" => self.received(endpoint, at, &object),
                    _ => {}
                }
            }
        }
        for (endpoint, id, reply) in replies {
            self.answered(endpoint, id, &reply);
        }
        let (now, world) = (self.world.now, &self.world);
        self.open.retain(|(endpoint, id), (since, purpose)| {
            let closed = world.peek(*endpoint).closed;
            let about = match purpose {
                Purpose::Message(body) | Purpose::Description(_, body) => body.as_str(),
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
                self.refused.insert(body, self.world.now);
            }
            (Purpose::Description(who, text), "okay") => {
                let user = &mut self.users[who];
                user.asked.retain(|asked| *asked != text);
                user.description = Some(text);
            }
            (Purpose::Description(..) | Purpose::Other, _) => {}
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
        self.mend();
        self.world.run_for(Duration::from_millis(PATIENCE + 1000));
        self.collect();
        assert!(self.open.is_empty(), "{} requests are not answered", self.open.len());
        let endpoints: Vec<ClientId> = self.users.iter().flat_map(|u| u.endpoints.iter().copied()).collect();
        for endpoint in endpoints {
            self.world.close(endpoint, false);
        }
        self.world.run_for(Duration::from_secs(20 * 60));
        for (host, domain) in DOMAINS.iter().enumerate() {
            let status = self.world.status(HostId(host));
            let left = (status.endpoints, status.users_online, status.connections, status.requests_waiting);
            assert_eq!(left, (0, 0, 0, 0), "{domain} when all is quiet: {status:?}");
            assert_eq!(self.world.hosts[host].connections(), 0);
        }
        for who in 0..self.users.len() {
            self.check_description(who);
        }
    }

    fn check_description(&mut self, who: usize) {
        let User { address, home, description, asked, .. } = &self.users[who];
        let name = address.split('@').next().unwrap().to_owned();
        let (home, address, description, asked) =
            (*home, address.clone(), description.clone(), asked.clone());
        let endpoint = self.world.login(home, &address, &name, &format!("key-of-{name}"));
        let me = self.world.client(endpoint).take(|o| o.action() == "self").expect("a profile");
        let kept = me.get("message").map(str::to_owned);
        let fits = kept == description || kept.as_ref().is_some_and(|k| asked.contains(k));
        assert!(fits, "{address} had {description:?} okayed and has {kept:?}");
        self.world.close(endpoint, false);
    }
}

// SIMP-1-3 SIMP-1-4 SIMP-3.6-2
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
        for who in 0..workload.users.len() {
            let user = &workload.users[who];
            let name = user.address.split('@').next().unwrap().to_owned();
            let (home, address) = (user.home, user.address.clone());
            let endpoint = workload.world.login(home, &address, &name, &format!("key-of-{name}"));
            workload.world.answers(endpoint, Answer::Okay, Answer::Okay);
            workload.users[who].endpoints.push(endpoint);
        }
        for _ in 0..200 {
            let who = workload.world.chance.below(workload.users.len());
            workload.write(who);
            let pause = workload.world.chance.between(0, 20);
            workload.world.run_for(Duration::from_millis(pause));
        }
        workload.world.run_for(Duration::from_secs(5));
        workload.collect();
        assert!(workload.open.is_empty());
        assert_eq!(workload.refused.len(), 0);
        assert_eq!(workload.okayed.len(), 200);
    }
}
