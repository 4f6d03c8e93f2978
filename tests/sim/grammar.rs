//! Every command there is, with every entry there is, right and wrong, at random: each request gets one
//! answer of a kind that it may get, nothing else is answered, and nobody falls over.

use std::collections::BTreeMap;
use std::time::Duration;

use hearth::config::Routing;
use hearth::federation::Service;
use hearth::sim::client::{Answer, ClientId, Stage};
use hearth::sim::clients::client_address;
use hearth::sim::reader::Object;
use hearth::sim::world::{HostId, NOTIFICATION, ROUTING, World, config};

use crate::seeds;

/// Actions and what may answer them, besides `error`.
const ACTIONS: [(&str, &str); 22] = [
    ("send", "okay"),
    ("fetch", "describe"),
    ("subscribe", "describe"),
    ("unsubscribe", "okay"),
    ("inquire", "okay"),
    ("note change", "okay"),
    ("note subscription end", "okay"),
    ("login", "challenge"),
    ("connect", "self"),
    ("get profile", "self"),
    ("set profile", "okay"),
    ("get acl", "self"),
    ("set acl", "okay"),
    ("drop subscription", "okay"),
    ("note subscription", "nothing"),
    ("note subscription lapse", "nothing"),
    ("divert", "nothing"),
    ("encapsulate", "nothing"),
    ("dance", "nothing"),
    ("", "nothing"),
    ("SEND", "nothing"),
    ("send ", "nothing"),
];

const ADDRESSES: [&str; 12] = [
    "alice@a.test",
    "bob@a.test",
    "carol@b.test",
    "ALICE@A.TEST",
    "nobody@a.test",
    "x@nowhere.test",
    "stranger@c.test",
    "notifier@a.test",
    "notifier@b.test",
    "notifier@c.test",
    "junk",
    "",
];

/// Keys and the values they may be given.
const KEYS: [(&str, &[&str]); 18] = [
    ("to", &ADDRESSES),
    ("from", &ADDRESSES),
    ("regarding", &ADDRESSES),
    ("subscriber", &ADDRESSES),
    ("reply to", &ADDRESSES),
    ("type", &["text/plain", "text/plain; charset=utf-8", "image/png", "text", "", "a/b/c"]),
    ("body", &["hello", "", "<&>]]>\"'", "\u{1F600}", "a\r\nb"]),
    ("message", &["here", "", "<?xml?>", "]]>"]),
    ("status", &["online", "offline", "Online", ""]),
    ("online", &["0", "1767605400000", "-1", "now", "99999999999999999999"]),
    ("duration", &["-1", "0", "1", "60000", "9223372036854775807", "9223372036854775808", "1e3", ""]),
    ("opaque", &["x", "", "o1"]),
    ("user", &["alice", "bob@a.test", "nobody", "", "a@b@c", "x@elsewhere.test"]),
    ("algorithms", &["MD5", "SHA-256 MD5", "PLAIN", "none", ""]),
    ("authorization", &["OZj9/qxoYz93hRSA3X/2yg==", "", "!"]),
    ("version", &["1.0", "1.1", "01.0", ""]),
    (
        "buddies",
        &["<properties></properties>", "<properties><entry key='x'>bob@a.test</entry></properties>", "<", ""],
    ),
    ("everybody", &["send fetch subscribe unsubscribe change end", "", "+send", "shout"]),
];

struct Play {
    world: World,
    home: HostId,
    clients: Vec<ClientId>,
    /// Requests by connection and id: their action, and the answers they got.
    asked: BTreeMap<(ClientId, String), (&'static str, u32)>,
}

impl Play {
    fn new(seed: u64) -> Play {
        let mut world = World::new(seed);
        let mut settings = config(&["a.test"], world.next_address());
        settings.simp.routing = Routing::Open;
        world.dns.publish("a.test", Service::Simp, world.next_address(), ROUTING);
        let home = world.add_host(settings);
        let other = world.add_home(&["b.test"]);
        world.add_user(home, "alice@a.test");
        world.add_user(home, "bob@a.test");
        world.add_user(other, "carol@b.test");
        let carol = world.login(other, "carol", "carol", "key-of-carol");
        world.answers(carol, Answer::Okay, Answer::Okay);
        Play { world, home, clients: Vec::new(), asked: BTreeMap::new() }
    }

    /// A connection that is open: of a user, or of a stranger.
    fn client(&mut self) -> ClientId {
        self.clients.retain(|c| !self.world.peek(*c).closed);
        let open = self.clients.len();
        if open >= 5 || (open > 0 && self.world.chance.percent(90)) {
            return self.clients[self.world.chance.below(open)];
        }
        let client = match self.world.chance.between(0, 4) {
            0 | 1 => self.user("alice"),
            2 => self.user("bob"),
            3 => self.stranger(ROUTING),
            _ => self.stranger(NOTIFICATION),
        };
        self.clients.push(client);
        client
    }

    fn user(&mut self, name: &str) -> ClientId {
        let client = self.world.begin_login(self.home, name, name, &format!("key-of-{name}"));
        self.world.answers(client, Answer::Okay, Answer::Okay);
        assert_eq!(self.world.await_login(client), Stage::In);
        client
    }

    fn stranger(&mut self, port: u16) -> ClientId {
        let client = self.world.new_client("stranger", client_address());
        let place = self.world.place(self.home, port);
        self.world.open(client, place);
        self.world.write_header(client);
        self.world.run_for(Duration::from_millis(50));
        client
    }

    fn step(&mut self) {
        let client = self.client();
        let (action, _) = ACTIONS[self.world.chance.below(ACTIONS.len())];
        let own = match self.world.peek(client).name.as_str() {
            "alice" => "alice@a.test",
            "bob" => "bob@a.test",
            _ => "stranger@c.test",
        };
        let mut entries = vec![("action", action)];
        for (key, values) in KEYS {
            // Mostly what belongs there: a message that makes sense is worth more than one that does not.
            let value = values[self.world.chance.below(values.len())];
            let value = match key {
                _ if self.world.chance.percent(30) => value,
                "from" if action.starts_with("note ") => "notifier@c.test",
                "from" => own,
                "regarding" => "stranger@c.test",
                _ => value,
            };
            if action == "set acl" && key != "everybody" && self.world.chance.percent(95) {
                continue;
            }
            let often = matches!(
                key,
                "to" | "from" | "regarding" | "type" | "body" | "message" | "status" | "duration"
            );
            if self.world.chance.percent(if often { 90 } else { 40 }) {
                entries.push((key, value));
            }
        }
        if self.world.chance.percent(90) {
            let id = self.world.request(client, &entries);
            self.asked.insert((client, id), (action, 0));
        } else {
            self.world.send(client, &Object::new(&entries));
        }
        let pause = self.world.chance.between(0, 30);
        self.world.run_for(Duration::from_millis(pause));
        self.collect();
    }

    fn collect(&mut self) {
        for client in self.clients.clone() {
            while let Some((_, object)) = self.world.client(client).inbox.pop_front() {
                let Some(id) = object.get("response").filter(|id| *id != "connect") else { continue };
                let asked = self.asked.get_mut(&(client, id.to_owned()));
                let (action, answers) = asked.unwrap_or_else(|| panic!("who asked for {object}?"));
                *answers += 1;
                assert_eq!(*answers, 1, "{action} is answered twice: {object}");
                let fits = ACTIONS.iter().any(|(a, reply)| a == action && *reply == object.action());
                assert!(fits || object.action() == "error", "{action} is answered by {object}");
                assert!(object.get("message").is_some() || matches!(object.action(), "self" | "challenge"));
            }
        }
    }

    fn finish(mut self) {
        self.world.run_for(Duration::from_secs(60));
        self.collect();
        for ((client, id), (action, answers)) in &self.asked {
            let closed = self.world.peek(*client).closed;
            assert!(closed || *answers == 1, "{action} ({id}) of {client:?} is not answered");
        }
        assert_eq!(self.world.status(self.home).requests_waiting, 0);
    }
}

// SIMP-3.6-1 SIMP-3.6-2 SIMP-4.1-1 SIMP-4.2.2-1 SIMP-4.2.2-2 OC-60 OC-61
#[test]
fn each_request_gets_one_answer_of_its_kind() {
    for seed in seeds(25) {
        let mut play = Play::new(seed);
        for _ in 0..300 {
            play.step();
        }
        play.finish();
    }
}
