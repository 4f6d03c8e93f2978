//! A day of mixed load, simulated: what a server holds at its end is what it held after the first hours.
//!
//! Three domains and both families, federated; users come and go, write to each other, publish, watch with leases that
//! run out, leave messages for those who are away; a server is stopped or dies every two hours. Looked at all the time:
//! the sizes of all that can grow in a node, its connections, its database; told at the end, hour by hour. It stands
//! alone, so that the process's memory is its own: `HEARTH_HOURS=N`, `HEARTH_SEED=N`, and `--nocapture` for the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId, Stage};
use hearth::sim::stage::publish;
use hearth::sim::world::{HostId, World, config};
use hearth::store::record::{Change, WatcherPolicy};

const DOMAINS: [(&str, &str); 3] = [("a.test", "simp"), ("b.test", "imtp"), ("c.test", "imtps")];
const NAMES: [&str; 4] = ["ana", "bob", "cem", "dag"];
/// Between two things that happen, in seconds.
const PACE: u64 = 4;
/// The first hours fill what is then reused.
const WARM: usize = 6;
/// Connections of one user: older ones go first.
const CONNECTIONS: usize = 5;

struct User {
    address: String,
    name: &'static str,
    home: HostId,
    conns: Vec<(ClientId, char)>,
}

struct Day {
    world: World,
    users: Vec<User>,
    next: u32,
    /// The greatest sizes of the present hour, of any host.
    most: BTreeMap<&'static str, usize>,
}

impl Day {
    fn new(seed: u64) -> Day {
        let mut world = World::new(seed);
        world.quiet = true;
        let mut users = Vec::new();
        for (domain, families) in DOMAINS {
            let address = world.next_address();
            let home = world.add_host(config(&[domain], address));
            publish(&mut world, domain, families, address);
            for name in NAMES {
                let address = format!("{name}@{domain}");
                world.add_user(home, &address);
                let watchers = WatcherPolicy::Allow;
                world.change(home, Change::SetWatchers { address: address.clone(), watchers });
                let keeps = name == "dag";
                world.change(home, Change::SetKeepsMessages { address: address.clone(), keeps });
                users.push(User { address, name, home, conns: Vec::new() });
            }
        }
        Day { world, users, next: 0, most: BTreeMap::new() }
    }

    /// Something happens.
    fn step(&mut self) {
        let who = self.world.chance.below(self.users.len());
        match self.world.chance.between(0, 99) {
            0..=11 => self.come(who),
            12..=21 => self.go(who),
            22..=64 => self.write(who),
            65..=79 => self.publish(who),
            _ => self.watch(who),
        }
        self.world.run_for(Duration::from_secs(PACE));
        for user in &mut self.users {
            for (id, _) in &user.conns {
                self.world.client(*id).inbox.clear();
            }
            let gone: Vec<_> = user.conns.extract_if(.., |(id, _)| self.world.peek(*id).closed).collect();
            gone.into_iter().for_each(|(id, _)| self.world.forget(id));
        }
        self.measure();
    }

    fn come(&mut self, who: usize) {
        if self.users[who].conns.len() >= CONNECTIONS {
            self.go(who);
        }
        let User { name, home, conns, .. } = &mut self.users[who];
        let kind = ['s', 'i', 'p'][self.world.chance.below(3)];
        let id = match kind {
            's' => self.world.begin_login(*home, "s", name, &format!("key-of-{name}")),
            'i' => self.world.begin_enter(*home, "i/im", name),
            _ => self.world.begin_enter(*home, "p/pr", name),
        };
        conns.push((id, kind));
        self.world.answers(id, Answer::Okay, Answer::Okay);
        let inbox = format!("im:{}", self.users[who].address);
        if self.world.await_login(id) == Stage::In && kind == 'i' {
            self.world.request(id, &[("action", "listen"), ("Inbox", &inbox)]);
        }
    }

    fn go(&mut self, who: usize) {
        if let Some((id, _)) = self.users[who].conns.first().copied() {
            let rough = self.world.chance.percent(20);
            self.world.close(id, rough);
        }
    }

    /// A connection of somebody's for one of these purposes.
    fn live(&self, who: usize, kinds: &str) -> Option<(ClientId, char)> {
        let ready = |(id, kind): &&(ClientId, char)| {
            let client = self.world.peek(*id);
            kinds.contains(*kind) && client.stage == Stage::In && !client.closed
        };
        self.users[who].conns.iter().rev().find(ready).copied()
    }

    fn write(&mut self, who: usize) {
        let Some((id, kind)) = self.live(who, "si") else { return };
        let to = self.world.chance.below(self.users.len());
        let (from, to) = (self.users[who].address.clone(), self.users[to].address.clone());
        self.next += 1;
        let body = format!("message {} ", self.next).repeat(self.world.chance.below(40) + 1);
        let (sender, inbox) = (format!("im:{from}"), format!("im:{to}"));
        let simp =
            [("action", "send"), ("to", &*to), ("from", &*from), ("type", "text/plain"), ("body", &*body)];
        let imtp = [("action", "send"), ("Sender", &*sender), ("Inbox", &*inbox), ("body", &*body)];
        self.world.request(id, if kind == 's' { &simp } else { &imtp });
    }

    fn publish(&mut self, who: usize) {
        let Some((id, kind)) = self.live(who, "sp") else { return };
        self.next += 1;
        let address = &self.users[who].address;
        let (text, presentity) = (format!("description {}", self.next), format!("presence:{address}"));
        let document = format!("contact = im:{address} {{ status = open }}\r\nnote = \"{text}\"\r\n");
        let profile = [("action", "set profile"), ("message", &*text)];
        let action = ["change", "change", "insert-mapping", "delete-mapping"][self.world.chance.below(4)];
        let mapping = [
            ("action", action),
            ("Presentity", &*presentity),
            ("Mapping", "1"),
            ("Wpattern", "*"),
            ("body", &*document),
        ];
        let mapping = match action {
            "insert-mapping" => mapping.to_vec(),
            "change" => [&mapping[..3], &mapping[4..]].concat(),
            _ => mapping[..3].to_vec(),
        };
        self.world.request(id, if kind == 's' { &profile[..] } else { &mapping });
    }

    fn watch(&mut self, who: usize) {
        let Some((id, kind)) = self.live(who, "sp") else { return };
        let to = self.world.chance.below(self.users.len());
        let (from, to) = (self.users[who].address.clone(), self.users[to].address.clone());
        let (watcher, presentity) = (format!("/presence:{from}"), format!("presence:{to}"));
        let duration = (self.world.chance.between(60, 7200) * 1000).to_string();
        let what = ["subscribe", "subscribe", "unsubscribe", "fetch"][self.world.chance.below(4)];
        let simp = [("action", what), ("to", &*to), ("from", &*from), ("duration", &*duration)];
        let named = if what == "fetch" { ("Watcher", &watcher[1..]) } else { ("Subscription", &*watcher) };
        let pitp = [("action", what), named, ("Presentity", &*presentity)];
        if kind == 's' && what != "unsubscribe" {
            self.world.request(id, &simp);
        } else if kind == 'p' {
            self.world.request(id, &pitp);
        }
    }

    /// A server is stopped, or dies, and is back soon.
    fn restart(&mut self, hour: u64) {
        let host = HostId((hour / 2) as usize % DOMAINS.len());
        if hour.is_multiple_of(4) {
            self.world.crash(host);
        } else {
            self.world.shutdown(host);
        }
        self.world.run_for(Duration::from_secs(20));
        self.world.start(host);
    }

    fn measure(&mut self) {
        for host in &self.world.hosts {
            let (octets, free) = host.disk.octets();
            let node = host.node.as_ref().expect("a running server").gauge();
            let disk = [("database octets", octets as usize), ("of them free", free as usize)];
            for (what, size) in node.into_iter().chain(disk) {
                let most = self.most.entry(what).or_default();
                *most = (*most).max(size);
            }
        }
    }
}

/// The memory that this process has, in KiB.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

// design 5, 9: nothing grows without bound
#[test]
fn after_a_day_of_mixed_load_a_server_holds_what_it_held_after_some_hours() {
    let of = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let hours = of("HEARTH_HOURS").unwrap_or(24);
    let mut day = Day::new(of("HEARTH_SEED").unwrap_or(1));
    let mut table: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let (mut messages, mut logins) = (0, 0);
    for hour in 0..hours {
        let end = day.world.now + 3_600_000;
        while day.world.now < end {
            day.step();
        }
        for host in 0..DOMAINS.len() {
            let status = day.world.status(HostId(host));
            (messages, logins) = (messages + status.messages_delivered, logins + status.logins);
        }
        if hour % 2 == 1 {
            day.restart(hour / 2 * 2);
        }
        for (what, most) in std::mem::take(&mut day.most) {
            table.entry(what).or_default().push(most);
        }
        // What the simulator keeps of connections that are over grows, and is none of the server's.
        let simulator = day.world.remembers() / 1024;
        table.entry("simulator KiB").or_default().push(simulator);
        table.entry("resident KiB").or_default().push(resident().saturating_sub(simulator));
    }
    for (what, sizes) in &table {
        println!("{what:>18} {sizes:?}");
    }
    println!("{messages} messages delivered and {logins} logins, by the counts of servers that start anew");
    assert!(messages > 0 && logins > 0);
    for (what, sizes) in &table {
        let Some((early, late)) =
            sizes.split_at_checked(hours as usize / 2).filter(|_| hours as usize > 2 * WARM)
        else {
            continue;
        };
        let (early, late) = (early.iter().max().unwrap(), late.iter().max().unwrap());
        // What comes together by chance differs; what grows by what happens would be twice as much, at the least.
        let slack = match *what {
            "database octets" | "of them free" => 64 * 1024,
            "pooled octets" | "partial octets" | "unsent octets" => 64 * 1024,
            "resident KiB" => 6 * 1024,
            "simulator KiB" => continue,
            _ => 24,
        };
        assert!(
            *late <= early + early / 4 + slack,
            "{what} in the later half: {late}, in the first: {early}"
        );
    }
}
