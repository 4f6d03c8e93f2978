//! The campaign: three domains with mixed protocols, every fault there is, and what must hold all the same.
//!
//! Some users have only SIMP, some only IMTP and PITP, some both at once; the domains reach each other by the one
//! family or the other, in clear or on TLS, as the seed has it. They write, watch, publish, shut each other out and
//! go, while hosts crash at any step of their stores, disks are slow, full or nearly full, octets are lost, links
//! break or carry one way only, clocks jump by minutes and by years, and servers come back as an older release or
//! on an older release's database.
//!
//! After every step ([`hears`], [`measures`]): nothing that was okayed is lost, nothing refused is delivered
//! afterwards or to anybody twice, nothing reaches whom it was not meant for or under another name, nothing that an
//! access list forbids by then is heard, no failure is reported more often than there are messages that may have
//! failed, every request is answered once or its connection closed, and all that a node holds is within its bounds.
//! At the end ([`ends`]): every live watcher has been told what is true, what was kept is there, and when all have gone
//! nothing is left over.
//!
//! Besides, a small campaign in which nothing else is wrong is run again and again, while the one or the other process
//! dies at the first step of its store, the second, and so on to its last.
//!
//! `HEARTH_SEEDS=N` or `HEARTH_SEEDS=A..B` asks for more than CI runs; `HEARTH_SEED=N` runs one alone and tells its
//! steps if it fails: `HEARTH_SEED=123 cargo test --test sim campaign`.

mod acts;
mod ends;
mod hears;
mod measures;
mod runner;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId};
use hearth::sim::reader::Object;
use hearth::sim::stage::publish;
use hearth::sim::world::{HostId, World, config};
use hearth::store::record::{Change, WatcherPolicy};

use crate::people::{DOMAINS, fault};

const STEPS: usize = 60;
/// Longer than any answer may take, in milliseconds: what waits for a slow disk has up to 4 s more at either end.
const ANSWERED: u64 = 55_000;
/// Users at each home: one of them has SIMP only, one IMTP and PITP only, one both.
const NAMES: [&str; 3] = ["s", "t", "b"];

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Nothing at all: then more is promised.
    None,
    /// The process of the host dies at this step of its store after the beginning, and only then.
    Death { host: usize, step: u64 },
    /// Whatever there is.
    Any,
}

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
    /// The access lists that he has asked for.
    rules: Vec<Rule>,
}

impl User {
    fn lines(&self) -> &'static [Line] {
        match self.name {
            "s" => &[Line::Simp],
            "t" => &[Line::Inbox, Line::Watcher],
            _ => &[Line::Simp, Line::Inbox, Line::Watcher],
        }
    }

    /// Has he shut this one out, in force since before `then` and until now?
    fn shuts_out(&self, whom: &str, then: u64) -> bool {
        self.rules.iter().any(|rule| {
            let since =
                rule.okayed.is_some_and(|okayed| okayed < then) && rule.shut_out.as_deref() == Some(whom);
            // Another list may have been put in its place since it was asked for.
            let other = |other: &&Rule| other.shut_out.as_deref() != Some(whom) && other.done > rule.asked;
            since && !self.rules.iter().any(|r| other(&r))
        })
    }
}

/// An access list that somebody asked for: all may do everything, but for the one who is shut out.
struct Rule {
    shut_out: Option<String>,
    asked: u64,
    okayed: Option<u64>,
    /// When it was over with, if that is known.
    done: u64,
}

enum Purpose {
    /// By its body.
    Message(String),
    /// Whose, and the text that is to be kept.
    Keep(usize, &'static str, String),
    /// Whose, and which.
    Rule(usize, usize),
    /// To whose presence.
    Subscribe(String),
    Other,
}

/// Texts that somebody asked to keep: when, and when that was okayed.
type Kept = BTreeMap<String, (u64, Option<u64>)>;

/// A message: who wrote it to whom, and when.
#[derive(Clone, Copy)]
struct Sent {
    from: usize,
    to: usize,
    at: u64,
}

struct Campaign {
    world: World,
    users: Vec<User>,
    open: BTreeMap<(ClientId, String), (u64, Purpose)>,
    sent: BTreeMap<String, Sent>,
    refused: BTreeMap<String, u64>,
    okayed: BTreeSet<String>,
    delivered: BTreeSet<(ClientId, String)>,
    arrived: BTreeSet<String>,
    /// Those whose senders went before they were told.
    unanswered: BTreeSet<String>,
    /// What was okayed because it is kept.
    owed: BTreeSet<String>,
    /// Those that were offered, and perhaps refused, before their senders heard that they are kept.
    offered: BTreeSet<String>,
    /// Reports of failures by their names: to whom, of messages to whom.
    reports: BTreeMap<String, (usize, String)>,
    kept: BTreeMap<(usize, &'static str), Kept>,
    /// What describes somebody, whose and since when, by its number.
    words: BTreeMap<u32, (usize, u64)>,
    /// What a connection believes of those whom it watches.
    beliefs: BTreeMap<(ClientId, String), String>,
    /// News since a subscription was asked for: newer than its answer, whatever comes first.
    news: BTreeMap<(ClientId, String), String>,
    /// Who watches, as his connections know it.
    watchers: BTreeMap<ClientId, BTreeSet<String>>,
    /// Who was shut out by whom at some time: what he has missed may not be told again.
    estranged: BTreeSet<(String, String)>,
    next: u32,
    /// What goes to and fro may go by different families.
    crosswise: bool,
    /// Subscriptions by the names that their presentities know.
    names: BTreeMap<ClientId, BTreeSet<String>>,
    trouble: Trouble,
    /// Until this step the servers are of the first release, which has SIMP alone.
    first_release: usize,
    step: usize,
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
    /// One that has not begun.
    fn new(seed: u64, trouble: Trouble, quiet: bool) -> Campaign {
        let mut world = World::new(seed);
        world.quiet = quiet;
        let slowest = [5, 12, 60, 250][world.chance.below(4)];
        world.weather.latency = (1, slowest);
        let (mut users, mut reached) = (Vec::new(), BTreeSet::new());
        let keeping = world.chance.percent(40);
        for domain in DOMAINS {
            let address = world.next_address();
            let home = world.add_host(config(&[domain], address));
            let families = ["simp", "imtp", "imtp+simp", "imtps", "simps"][world.chance.below(5)];
            reached.extend(families.split('+').map(|family| family.trim_end_matches('s')));
            world.note(format!("{domain} is reached by {families}"));
            publish(&mut world, domain, families, address);
            for name in NAMES {
                let address = format!("{name}@{domain}");
                world.add_user(home, &address);
                let watchers = WatcherPolicy::Allow;
                world.change(home, Change::SetWatchers { address: address.clone(), watchers });
                let keeps = keeping && name == "b";
                world.change(home, Change::SetKeepsMessages { address: address.clone(), keeps });
                let (conns, rules) = (Vec::new(), Vec::new());
                users.push(User { address, name, home, conns, publishes: false, keeps, rules });
            }
        }
        let crosswise = reached.len() > 1;
        let first_release = if world.chance.percent(20) { STEPS / 3 } else { 0 };
        let mut campaign = Campaign::over(world, users, crosswise);
        (campaign.trouble, campaign.first_release) = (trouble, first_release);
        if first_release == 0 {
            campaign.open_lists();
        }
        if let Trouble::Death { host, step } = trouble {
            let disk = &mut campaign.world.hosts[host].disk;
            disk.dies_at = Some(disk.steps + step);
        }
        campaign
    }

    fn over(world: World, users: Vec<User>, crosswise: bool) -> Campaign {
        Campaign {
            world,
            users,
            open: BTreeMap::new(),
            sent: BTreeMap::new(),
            refused: BTreeMap::new(),
            okayed: BTreeSet::new(),
            delivered: BTreeSet::new(),
            arrived: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            owed: BTreeSet::new(),
            offered: BTreeSet::new(),
            reports: BTreeMap::new(),
            kept: BTreeMap::new(),
            words: BTreeMap::new(),
            beliefs: BTreeMap::new(),
            news: BTreeMap::new(),
            watchers: BTreeMap::new(),
            estranged: BTreeSet::new(),
            next: 0,
            crosswise,
            names: BTreeMap::new(),
            trouble: Trouble::Any,
            first_release: 0,
            step: 0,
        }
    }

    /// Something happens, by chance; then all is looked at.
    fn step(&mut self) {
        self.step += 1;
        if self.step == self.first_release {
            self.upgrade();
        }
        let who = self.world.chance.below(self.users.len());
        match self.world.chance.between(0, 99) {
            0..=23 => {
                let line = self.choose(self.users[who].lines());
                if line == Line::Simp || !self.at_first() {
                    let client = self.come(who, line);
                    let sends = self.choose(&[
                        Answer::Okay,
                        Answer::Okay,
                        Answer::Okay,
                        Answer::Error,
                        Answer::ByHand,
                    ]);
                    self.world.answers(client, sends, Answer::Okay);
                }
            }
            24..=30 => {
                if let Some((client, _)) = self.live(who, &[Line::Simp, Line::Inbox, Line::Watcher]) {
                    let rough = self.trouble == Trouble::Any && self.world.chance.percent(30);
                    self.world.close(client, rough);
                }
            }
            31..=53 => self.write(who),
            54..=63 => self.keep(who),
            64..=83 => self.watch(who),
            84..=88 => self.shut_out(who),
            _ if self.trouble == Trouble::Any => fault(&mut self.world),
            _ => self.end(who),
        }
        self.restart_some();
        let pause = self.world.chance.between(0, 400);
        self.world.run_for(Duration::from_millis(pause));
        self.collect();
        self.measure();
    }

    /// Servers of the first release, and their clients?
    fn at_first(&self) -> bool {
        self.step < self.first_release
    }

    /// Whoever has died is started again before long.
    fn restart_some(&mut self) {
        for host in 0..DOMAINS.len() {
            if self.world.hosts[host].node.is_none() && self.world.chance.percent(35) {
                self.world.start(HostId(host));
            }
        }
    }

    /// All servers are stopped, and started as this release on the first one's databases.
    fn upgrade(&mut self) {
        for host in 0..DOMAINS.len() {
            self.world.crash(HostId(host));
            self.world.host(HostId(host)).disk.upgrade_from_first();
            self.world.start(HostId(host));
        }
        self.collect();
        crate::people::mend(&mut self.world);
        self.open_lists();
    }
}

/// All that happens follows from the seed, faults and all: what has failed can be seen again.
#[test]
fn a_campaign_can_be_seen_again() {
    let run = |seed, quiet| {
        let mut campaign = Campaign::new(seed, Trouble::Any, quiet);
        (0..STEPS).for_each(|_| campaign.step());
        (campaign.world.trace(), campaign.world.now)
    };
    assert_eq!(run(3, true), run(3, false));
    assert_ne!(run(3, true), run(4, true));
}
