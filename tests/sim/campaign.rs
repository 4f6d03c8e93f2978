//! The campaign: three domains with mixed protocols, every fault there is, and what must hold all the same.
//!
//! Some users have only SIMP, some only IMTP and PITP, some both at once; the domains reach each other by the one
//! family or the other, as the seed has it. They write, watch, publish and go, while hosts crash, disks fill, links
//! break and clocks jump. Checked: nothing that was okayed is lost, nothing refused is delivered afterwards or to
//! anybody twice, every request is answered once or its connection closed; when all is quiet every live watcher has
//! been told what is true, and when all have gone nothing is left over.
//!
//! A seed takes a fraction of a second, so that CI runs a thousand; `HEARTH_SEEDS=100000` asks for more.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId, Stage};
use hearth::sim::clients::PATIENCE;
use hearth::sim::reader::Object;
use hearth::sim::stage::publish;
use hearth::sim::world::{HostId, World, config};
use hearth::store::record::{Change, WatcherPolicy};

use crate::people::{DOMAINS, fault, mend};
use crate::seeds;

const SEEDS: u64 = 500;
const STEPS: usize = 60;
/// Longer than any answer may take, in milliseconds.
const ANSWERED: u64 = 45_000;
/// Users at each home: one of them has SIMP only, one IMTP and PITP only, one both.
const NAMES: [&str; 3] = ["s", "t", "b"];

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Simp,
    Inbox,
    Watcher,
}

struct Conn {
    id: ClientId,
    line: Line,
    /// An inbox has asked for its messages; a watcher for its watchers, at the end.
    asked: bool,
}

struct User {
    address: String,
    name: &'static str,
    home: HostId,
    conns: Vec<Conn>,
    /// He has a mapping list, whose first mapping everybody sees.
    publishes: bool,
    /// What comes while he is away is kept for him.
    keeps: bool,
}

impl User {
    fn lines(&self) -> &'static [Line] {
        match self.name {
            "s" => &[Line::Simp],
            "t" => &[Line::Inbox, Line::Watcher],
            _ => &[Line::Simp, Line::Inbox, Line::Watcher],
        }
    }
}

enum Purpose {
    /// By its body, and for whom.
    Message(String, usize),
    /// Whose, and the text that is to be kept.
    Keep(usize, &'static str, String),
    /// To whose presence.
    Subscribe(String),
    Other,
}

/// Texts that somebody asked to keep: when, and when that was okayed.
type Kept = BTreeMap<String, (u64, Option<u64>)>;

struct Campaign {
    world: World,
    users: Vec<User>,
    open: BTreeMap<(ClientId, String), (u64, Purpose)>,
    refused: BTreeMap<String, u64>,
    okayed: BTreeSet<String>,
    delivered: BTreeSet<(ClientId, String)>,
    /// What was okayed because it is kept.
    owed: BTreeSet<String>,
    kept: BTreeMap<(usize, &'static str), Kept>,
    /// What a connection believes of those whom it watches.
    beliefs: BTreeMap<(ClientId, String), String>,
    /// News since a subscription was asked for: newer than its answer, whatever comes first.
    news: BTreeMap<(ClientId, String), String>,
    /// Who watches, as his connections know it.
    watchers: BTreeMap<ClientId, BTreeSet<String>>,
    next: u32,
    /// What goes to and fro may go by different families.
    crosswise: bool,
    /// Subscriptions by the names that their presentities know.
    names: BTreeMap<ClientId, BTreeSet<String>>,
    /// Nothing is broken.
    calm: bool,
}

/// What is said of somebody's presence, as his watcher's family says it.
fn state(object: &Object) -> String {
    let of = |key: &str| object.get(key).unwrap_or_default();
    match object.get("body") {
        Some(document) => document.to_owned(),
        None => format!("{} {}", of("status"), of("message")),
    }
}

/// Are these the same presence? One that was published may have come as a document on one way, and in SIMP's words
/// on another: then only what both can say is the same.
fn agree(a: &str, b: &str, published: bool) -> bool {
    let open = |text: &str| text.contains("status = open") || text.starts_with("online");
    a == b || (published && open(a) == open(b))
}

/// The address in a URL or a subscription.
fn plain(url: &str) -> String {
    url.rsplit(['/', ':']).next().unwrap_or_default().to_owned()
}

fn document(address: &str, text: &str) -> String {
    format!("contact = im:{address} {{ status = open }}\r\nnote = \"{text}\"\r\n")
}

impl Campaign {
    fn new(seed: u64) -> Campaign {
        let mut world = World::new(seed);
        let slowest = [5, 12, 60, 250][world.chance.below(4)];
        world.weather.latency = (1, slowest);
        let (mut users, mut reached) = (Vec::new(), BTreeSet::new());
        let keeping = world.chance.percent(40);
        for domain in DOMAINS {
            let address = world.next_address();
            let home = world.add_host(config(&[domain], address));
            let families = ["simp", "imtp", "imtp+simp", "imtps"][world.chance.below(4)];
            reached.extend(families.split('+'));
            world.note(format!("{domain} is reached by {families}"));
            publish(&mut world, domain, families, address);
            for name in NAMES {
                let address = format!("{name}@{domain}");
                world.add_user(home, &address);
                let watchers = WatcherPolicy::Allow;
                world.change(home, Change::SetWatchers { address: address.clone(), watchers });
                let keeps = keeping && name == "b";
                world.change(home, Change::SetKeepsMessages { address: address.clone(), keeps });
                users.push(User { address, name, home, conns: Vec::new(), publishes: false, keeps });
            }
        }
        let mut campaign = Campaign {
            world,
            users,
            open: BTreeMap::new(),
            refused: BTreeMap::new(),
            okayed: BTreeSet::new(),
            delivered: BTreeSet::new(),
            owed: BTreeSet::new(),
            kept: BTreeMap::new(),
            beliefs: BTreeMap::new(),
            news: BTreeMap::new(),
            watchers: BTreeMap::new(),
            next: 0,
            crosswise: reached.len() > 1,
            names: BTreeMap::new(),
            calm: false,
        };
        campaign.open_lists();
        campaign
    }

    /// Some have a list of mappings from the beginning.
    fn open_lists(&mut self) {
        for who in 0..self.users.len() {
            if self.users[who].name == "s" || self.world.chance.percent(60) {
                continue;
            }
            let client = self.come(who, Line::Watcher);
            assert_eq!(self.world.await_login(client), Stage::In);
            let (address, text) = (self.users[who].address.clone(), format!("first of {who}"));
            let (presentity, document) = (format!("presence:{address}"), document(&address, &text));
            let insert = [
                ("action", "insert-mapping"),
                ("Presentity", &*presentity),
                ("Mapping", "1"),
                ("Wpattern", "*"),
                ("body", &*document),
            ];
            let id = self.world.request(client, &insert);
            assert_eq!(self.world.reply(client, &id).expect("an answer").action(), "ok");
            self.users[who].publishes = true;
            let now = self.world.now;
            self.kept.entry((who, "document")).or_default().insert(document, (now, Some(now)));
        }
    }

    fn come(&mut self, who: usize, line: Line) -> ClientId {
        let User { address, name, home, conns, .. } = &mut self.users[who];
        let label = format!("{address}#{}", conns.len());
        let world = &mut self.world;
        let id = match line {
            Line::Simp => world.begin_login(*home, &label, name, &format!("key-of-{name}")),
            Line::Inbox => world.begin_enter(*home, &format!("{label}/im"), name),
            Line::Watcher => world.begin_enter(*home, &format!("{label}/pr"), name),
        };
        conns.push(Conn { id, line, asked: false });
        id
    }

    fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.world.chance.below(from.len())]
    }

    /// A live connection of a user for one of these purposes.
    fn live(&mut self, who: usize, lines: &[Line]) -> Option<(ClientId, Line)> {
        let world = &self.world;
        let ready = |c: &&Conn| {
            let client = world.peek(c.id);
            lines.contains(&c.line) && client.stage == Stage::In && !client.closed
        };
        let live: Vec<_> = self.users[who].conns.iter().filter(ready).map(|c| (c.id, c.line)).collect();
        (!live.is_empty()).then(|| self.choose(&live))
    }

    fn step(&mut self, faults: bool) {
        self.calm = !faults;
        let who = self.world.chance.below(self.users.len());
        match self.world.chance.between(0, 99) {
            0..=24 => {
                let line = self.choose(self.users[who].lines());
                let client = self.come(who, line);
                let sends =
                    self.choose(&[Answer::Okay, Answer::Okay, Answer::Okay, Answer::Error, Answer::ByHand]);
                self.world.answers(client, sends, Answer::Okay);
            }
            25..=31 => {
                if let Some((client, _)) = self.live(who, &[Line::Simp, Line::Inbox, Line::Watcher]) {
                    let rough = self.world.chance.percent(30);
                    self.world.close(client, rough);
                }
            }
            32..=54 => self.write(who),
            55..=66 => self.keep(who),
            67..=88 => self.watch(who),
            _ if faults => fault(&mut self.world),
            _ => self.end(who),
        }
        let pause = self.world.chance.between(0, 400);
        self.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    /// A presentity lets somebody watch him no more, or everybody again.
    fn end(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Watcher]) else { return };
        let presentity = format!("presence:{}", self.users[who].address);
        let whom = self.world.chance.below(self.users.len());
        let whom = self.users[whom].address.clone();
        let names = self.names.get(&client).into_iter().flatten().last().cloned();
        let class = self.choose(&["*", "*", "presence:*@a.test", "presence:nobody@a.test"]);
        match (line, names, self.world.chance.percent(50)) {
            (Line::Simp, ..) => {
                let drop = [("action", "drop subscription"), ("subscriber", &*whom)];
                self.ask(client, Purpose::Other, &drop);
            }
            (_, None, _) => {
                self.ask(client, Purpose::Other, &[("action", "start-wi"), ("Presentity", &*presentity)]);
            }
            (_, Some(name), true) => {
                self.names.entry(client).or_default().remove(&name);
                let entries =
                    [("action", "terminate"), ("Presentity", &*presentity), ("Subscription", &*name)];
                self.ask(client, Purpose::Other, &entries);
            }
            _ if self.users[who].publishes => {
                let entries = [
                    ("action", "set-class"),
                    ("Presentity", &*presentity),
                    ("Mapping", "1"),
                    ("Wpattern", class),
                ];
                self.ask(client, Purpose::Other, &entries);
            }
            _ => {}
        }
    }

    fn ask(&mut self, client: ClientId, purpose: Purpose, entries: &[(&str, &str)]) {
        let id = self.world.request(client, entries);
        self.open.insert((client, id), (self.world.now, purpose));
    }

    fn write(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Inbox]) else { return };
        let whom = self.world.chance.below(self.users.len());
        let near = self.users[who].home == self.users[whom].home;
        let (from, to) = (self.users[who].address.clone(), self.users[whom].address.clone());
        self.next += 1;
        // Between two homes a message may be on its way when its sender is told that it failed.
        let body = format!("message {} {}", self.next, if near { "near" } else { "far" });
        let purpose = Purpose::Message(body.clone(), whom);
        let (sender, inbox) = (format!("im:{from}"), format!("im:{to}"));
        let simp =
            [("action", "send"), ("to", &*to), ("from", &*from), ("type", "text/plain"), ("body", &*body)];
        let imtp = [("action", "send"), ("Sender", &*sender), ("Inbox", &*inbox), ("body", &*body)];
        self.ask(client, purpose, if line == Line::Simp { &simp } else { &imtp });
    }

    /// Something that is to be kept: a profile, or what others are shown.
    fn keep(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Watcher]) else { return };
        self.next += 1;
        let address = self.users[who].address.clone();
        let presentity = format!("presence:{address}");
        let (what, text) = match line {
            Line::Watcher => ("document", document(&address, &self.next.to_string())),
            _ => ("profile", format!("description {}", self.next)),
        };
        let profile = [("action", "set profile"), ("message", &*text)];
        let change = [("action", "change"), ("Presentity", &*presentity), ("Mapping", "1"), ("body", &*text)];
        let entries = if line == Line::Watcher { &change[..] } else { &profile[..] };
        if line == Line::Watcher && !self.users[who].publishes {
            return;
        }
        self.kept.entry((who, what)).or_default().insert(text.clone(), (self.world.now, None));
        self.ask(client, Purpose::Keep(who, what, text.clone()), entries);
    }

    fn watch(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Watcher]) else { return };
        let to = self.world.chance.below(self.users.len());
        let (from, to) = (self.users[who].address.clone(), self.users[to].address.clone());
        let what = self.choose(&["subscribe", "subscribe", "subscribe", "fetch", "unsubscribe"]);
        let duration = self.choose(&["-1", "-1", "3000"]);
        let purpose = match (what, line) {
            // A short lease is over before the end, and promises nothing of it.
            ("subscribe", Line::Simp) if duration != "-1" => Purpose::Other,
            ("subscribe", _) => {
                self.news.remove(&(client, to.clone()));
                Purpose::Subscribe(to.clone())
            }
            _ => Purpose::Other,
        };
        let (watcher, presentity) = (format!("presence:{from}"), format!("presence:{to}"));
        let subscription = format!("/{watcher}");
        match (line, what) {
            (Line::Simp, "unsubscribe") => {}
            (Line::Simp, _) => {
                let entries = [("action", what), ("to", &*to), ("from", &*from), ("duration", duration)];
                self.ask(client, purpose, &entries);
            }
            (_, "fetch") => {
                let entries = [("action", what), ("Watcher", &*watcher), ("Presentity", &*presentity)];
                self.ask(client, purpose, &entries);
            }
            _ => {
                if what == "unsubscribe" {
                    self.beliefs.remove(&(client, to.clone()));
                    // What was asked for before this is taken back with it.
                    self.open.values_mut().for_each(|(_, purpose)| {
                        if matches!(purpose, Purpose::Subscribe(whom) if *whom == to) {
                            *purpose = Purpose::Other;
                        }
                    });
                }
                let entries =
                    [("action", what), ("Subscription", &*subscription), ("Presentity", &*presentity)];
                self.ask(client, purpose, &entries);
            }
        }
    }

    /// Takes what everybody has received and checks it.
    fn collect(&mut self) {
        let mut all = Vec::new();
        for who in 0..self.users.len() {
            for at in 0..self.users[who].conns.len() {
                let Conn { id, line, asked } = self.users[who].conns[at];
                if line == Line::Inbox && !asked && self.world.peek(id).stage == Stage::In {
                    self.users[who].conns[at].asked = true;
                    let inbox = format!("im:{}", self.users[who].address);
                    self.ask(id, Purpose::Other, &[("action", "listen"), ("Inbox", &*inbox)]);
                }
                let inbox = std::mem::take(&mut self.world.client(id).inbox);
                all.extend(inbox.into_iter().map(|(time, object)| (time, id, object)));
            }
        }
        // In the order of their arrival anywhere: what was delivered comes before the word that it was.
        all.sort_by_key(|(time, _, object)| (*time, object.get("response").is_some()));
        all.into_iter().for_each(|(time, client, object)| self.heard(client, time, &object));
        let (now, world) = (self.world.now, &self.world);
        self.open.retain(|(client, id), (since, _)| {
            let closed = world.peek(*client).closed;
            let name = &world.peek(*client).name;
            assert!(
                closed || now - *since < ANSWERED,
                "{id} of {name}, of {since}, is not answered at {now}"
            );
            !closed
        });
    }

    fn heard(&mut self, client: ClientId, time: u64, object: &Object) {
        if let Some(id) = object.get("response") {
            return self.answered(client, id, object);
        }
        let about = object.get("regarding").or(object.get("Presentity")).map(plain).unwrap_or_default();
        let key = (client, about);
        let watcher = object.get("subscriber").or(object.get("Subscription")).map(plain).unwrap_or_default();
        match object.action() {
            "send" => self.received(client, time, object),
            "note change" | "change-notify" => {
                self.news.insert(key.clone(), state(object));
                if let Some(belief) = self.beliefs.get_mut(&key) {
                    *belief = state(object);
                }
            }
            "note subscription end" | "terminate-notify" => {
                self.beliefs.remove(&key);
            }
            "subscribe-notify" => {
                let name = object.get("Subscription").unwrap_or_default().to_owned();
                self.names.entry(client).or_default().insert(name);
            }
            "note subscription" => {
                self.watchers.entry(client).or_default().insert(watcher);
            }
            "note subscription lapse" => {
                self.watchers.entry(client).or_default().remove(&watcher);
            }
            _ => {}
        }
    }

    fn answered(&mut self, client: ClientId, id: &str, answer: &Object) {
        // The answers to a login are none of ours.
        let Some((since, purpose)) = self.open.remove(&(client, id.to_owned())) else {
            assert!(matches!(id, "connect" | "auth1" | "auth2"), "an answer to nothing: {answer}");
            return;
        };
        let okay = matches!(answer.action(), "okay" | "ok" | "describe");
        match purpose {
            Purpose::Message(body, whom) if okay => {
                let arrived = self.delivered.iter().any(|(_, delivered)| *delivered == body);
                let kept = self.users[whom].keeps && !arrived;
                assert!(arrived || kept, "{body} was okayed and is lost");
                let sure = answer.get("Unreliable").is_none();
                assert!(sure || self.users[whom].keeps, "{body} has arrived: {answer}");
                if kept {
                    self.owed.insert(body.clone());
                }
                self.okayed.insert(body);
            }
            Purpose::Message(body, _) => {
                self.refused.insert(body, self.world.now);
            }
            Purpose::Keep(who, what, text) if okay => {
                let now = self.world.now;
                self.kept.entry((who, what)).or_default().insert(text, (since, Some(now)));
            }
            Purpose::Subscribe(about) if okay => {
                let key = (client, about);
                let newer = self.news.get(&key).cloned();
                self.beliefs.insert(key, newer.unwrap_or(state(answer)));
            }
            // It is over if it is not wanted; else what was granted before goes on.
            Purpose::Subscribe(about) => {
                let lasting = ["target-authorization", "target-not-found", "not-subscribed", "malformed"];
                if answer.get("Error-Type").is_some_and(|error| lasting.contains(&error)) {
                    self.beliefs.remove(&(client, about));
                }
            }
            Purpose::Keep(..) => {}
            Purpose::Other => {
                let names = answer.all("Subscription").map(str::to_owned);
                self.names.entry(client).or_default().extend(names);
                let watchers = answer.all("Subscription").map(plain);
                self.watchers.entry(client).or_default().extend(watchers);
            }
        }
    }

    fn received(&mut self, client: ClientId, at: u64, object: &Object) {
        let body = object.get("body").unwrap_or_default().to_owned();
        // Reports of failures come as messages, too.
        if !body.starts_with("message ") {
            return;
        }
        if let Some(refused) = self.refused.get(&body).filter(|_| body.ends_with("near")) {
            assert!(at <= *refused, "{body} was refused at {refused} and delivered at {at}");
        }
        let fresh = self.delivered.insert((client, body.clone()));
        // What was kept comes again, under its name, until it is answered.
        let keeps = self.users.iter().any(|u| u.keeps && u.conns.iter().any(|c| c.id == client));
        assert!(fresh || keeps, "{body} came twice to one connection");
    }

    /// All is mended, and it is quiet. Gives how many beliefs were looked at.
    fn finish(mut self) -> usize {
        mend(&mut self.world);
        self.run(ANSWERED);
        // Those who came last have asked for their messages only now.
        self.run(PATIENCE.as_millis() as u64);
        assert!(self.open.is_empty(), "{} requests are not answered", self.open.len());
        let counted = self.all_come();
        let believed = self.check_beliefs(&counted);
        self.check_owed();
        (0..self.users.len()).for_each(|who| self.check_kept(who));
        for client in self.users.iter().flat_map(|u| &u.conns).map(|c| c.id).collect::<Vec<_>>() {
            self.world.close(client, false);
        }
        // Whoever watches from elsewhere and is away is tried for a day.
        self.world.run_for(Duration::from_secs(26 * 3600));
        for (host, domain) in DOMAINS.iter().enumerate() {
            let status = self.world.status(HostId(host));
            let left = (status.endpoints, status.users_online, status.connections, status.requests_waiting);
            assert_eq!(left, (0, 0, 0, 0), "{domain} when all is quiet: {status:?}");
            assert_eq!(self.world.hosts[host].connections(), 0);
        }
        believed
    }

    fn run(&mut self, millis: u64) {
        self.world.run_for(Duration::from_millis(millis));
        self.collect();
    }

    /// What was kept comes to him who was away.
    fn check_owed(&mut self) {
        for who in 0..self.users.len() {
            if self.users[who].keeps {
                let client = self.come(who, Line::Inbox);
                self.world.answers(client, Answer::Okay, Answer::Okay);
                assert_eq!(self.world.await_login(client), Stage::In);
            }
        }
        for _ in 0..6 {
            self.run(30_000);
        }
        let arrived: BTreeSet<&String> = self.delivered.iter().map(|(_, body)| body).collect();
        let lost: Vec<&String> = self.owed.iter().filter(|body| !arrived.contains(body)).collect();
        assert!(lost.is_empty(), "{lost:?} were kept, and never came");
    }

    /// Everybody comes once more, learns who watches him, and all settles. By the one who is watched.
    fn all_come(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let mut last = Vec::new();
        for who in 0..self.users.len() {
            let line = if self.users[who].name == "s" { Line::Simp } else { Line::Watcher };
            if line == Line::Simp
                && let Some((client, _)) = self.live(who, &[Line::Simp])
            {
                // There is room for eight.
                self.world.close(client, false);
                self.world.run_for(Duration::from_millis(600));
            }
            let client = self.come(who, line);
            assert_eq!(self.world.await_login(client), Stage::In, "{} comes again", self.users[who].address);
            last.push(client);
        }
        self.run(600_000);
        for (who, client) in last.iter().enumerate() {
            if self.users[who].name != "s" {
                let presentity = format!("presence:{}", self.users[who].address);
                let start = [("action", "start-wi"), ("Presentity", &*presentity)];
                self.ask(*client, Purpose::Other, &start);
            }
        }
        self.run(2000);
        let watchers = last.iter().map(|c| self.watchers.remove(c).unwrap_or_default());
        self.users.iter().map(|u| u.address.clone()).zip(watchers).collect()
    }

    /// What live watchers believe is what a fetch says. A watcher of SIMP, whose subscriptions outlive his
    /// connections, may have lost one while something was broken; then he is not counted either.
    fn check_beliefs(&mut self, counted: &BTreeMap<String, BTreeSet<String>>) -> usize {
        let crosswise = self.crosswise;
        let mut checked = 0;
        for who in 0..self.users.len() {
            let from = self.users[who].address.clone();
            for at in 0..self.users[who].conns.len() {
                let Conn { id, line, .. } = self.users[who].conns[at];
                if self.world.peek(id).closed {
                    continue;
                }
                let beliefs: Vec<_> =
                    self.beliefs.range((id, String::new())..).take_while(|((c, _), _)| *c == id).collect();
                let beliefs: Vec<_> =
                    beliefs.into_iter().map(|((_, about), state)| (about.clone(), state.clone())).collect();
                for (about, believed) in beliefs {
                    if line == Line::Simp && !counted[&about].contains(&from) {
                        continue;
                    }
                    let Some(truth) = self.truth(id, line, &from, &about) else { continue };
                    let published = self.users.iter().any(|u| u.address == about && u.publishes);
                    assert!(
                        agree(&believed, &truth, published && crosswise),
                        "{believed:?} {truth:?} what {from} believes of {about} on {:?}",
                        self.world.peek(id).name
                    );
                    assert!(counted[&about].contains(&from), "{from} watches {about}, who does not know it");
                    checked += 1;
                }
            }
        }
        checked
    }

    /// What a fetch says; none if he may not see it any more, and may have missed the word of that.
    fn truth(&mut self, client: ClientId, line: Line, from: &str, about: &str) -> Option<String> {
        let (watcher, presentity) = (format!("presence:{from}"), format!("presence:{about}"));
        let simp = [("action", "fetch"), ("to", about), ("from", from)];
        let pitp = [("action", "fetch"), ("Watcher", &*watcher), ("Presentity", &*presentity)];
        let id = self.world.request(client, if line == Line::Simp { &simp } else { &pitp });
        let answer = self.world.expect(client, PATIENCE, |o| o.get("response") == Some(&id));
        let answer = answer.expect("an answer");
        let denied = answer.get("Error-Type") == Some("target-authorization")
            || answer.get("message").is_some_and(|words| words.contains("not available"));
        if denied {
            assert!(!self.calm, "{from} believes to watch {about}, and is told {answer}");
            return None;
        }
        assert!(matches!(answer.action(), "describe" | "ok"), "the truth about {about} is {answer}");
        Some(state(&answer))
    }

    /// What is kept is what was okayed last, or something asked for since.
    fn check_kept(&mut self, who: usize) {
        for what in ["profile", "document"] {
            let Some(kept) = self.kept.remove(&(who, what)) else { continue };
            let found = self.find(who, what);
            let since = match found.as_ref().map(|text| kept.get(text)) {
                None => 0,
                Some(None) => {
                    panic!("{what} of {} is {found:?}, which nobody asked for", self.users[who].address)
                }
                Some(Some((_, okayed))) => okayed.unwrap_or(u64::MAX),
            };
            let newer = kept.values().any(|(asked, okayed)| okayed.is_some() && *asked > since);
            let lost = found.is_none() && kept.values().any(|(_, okayed)| okayed.is_some());
            assert!(!newer && !lost, "{what} of {} is {found:?} after {kept:?}", self.users[who].address);
        }
    }

    fn find(&mut self, who: usize, what: &str) -> Option<String> {
        if what == "profile" {
            let (home, name) = (self.users[who].home, self.users[who].name);
            if let Some((client, _)) = self.live(who, &[Line::Simp]) {
                self.world.close(client, false);
                self.world.run_for(Duration::from_millis(600));
            }
            let client = self.world.login(home, "looker", name, &format!("key-of-{name}"));
            let profile = self.world.client(client).take(|o| o.action() == "self").expect("a profile");
            self.world.close(client, false);
            return profile.get("message").map(str::to_owned);
        }
        let (client, _) = self.live(who, &[Line::Watcher]).expect("he has come");
        let presentity = format!("presence:{}", self.users[who].address);
        let fetch = [("action", "fetch-for-update"), ("Presentity", &*presentity), ("Mapping", "1")];
        let id = self.world.request(client, &fetch);
        self.world.reply(client, &id).expect("an answer").get("body").map(str::to_owned)
    }
}

fn run(seeds: impl Iterator<Item = u64>) {
    let mut believed = 0;
    let mut failures = Vec::new();
    for seed in seeds {
        let one = || {
            let mut campaign = Campaign::new(seed);
            (0..STEPS).for_each(|_| campaign.step(true));
            campaign.finish()
        };
        match catch_unwind(AssertUnwindSafe(one)) {
            Ok(count) => believed += count,
            Err(_) => failures.push(seed),
        }
    }
    assert!(failures.is_empty(), "these seeds broke a promise, see above: {failures:?}");
    assert!(believed > 0);
}

// COMMON-7-2 COMMON-7-3 COMMON-8-2 COMMON-8-3 IMTP-16.2-10 PITP-15.1-4 PITP-15.1-5 PITP-15.11-2 SIMP-1-3 SIMP-6.1-3
#[test]
fn whatever_fails_no_promise_is_broken_in_any_protocol() {
    run(seeds(SEEDS));
}

// The other half, so that two processors have something to do.
#[test]
fn whatever_fails_no_promise_is_broken_in_any_protocol_ever() {
    if std::env::var_os("HEARTH_SEED").is_none() && std::env::var_os("HEARTH_SEEDS").is_none() {
        run(SEEDS + 1..=2 * SEEDS);
    }
}

// PITP-15.13-3 PITP-15.14-1 PITP-15.9-4 SIMP-6.2-2
#[test]
fn where_nothing_fails_all_know_what_is_true_and_what_is_over() {
    for seed in seeds(60) {
        let mut campaign = Campaign::new(seed);
        (0..2 * STEPS).for_each(|_| campaign.step(false));
        campaign.finish();
    }
}

/// All that happens follows from the seed, faults and all: what has failed can be seen again.
#[test]
fn a_campaign_can_be_seen_again() {
    let run = |seed| {
        let mut campaign = Campaign::new(seed);
        (0..STEPS).for_each(|_| campaign.step(true));
        (campaign.world.trace(), campaign.world.now)
    };
    assert_eq!(run(3), run(3));
    assert_ne!(run(3), run(4));
}
