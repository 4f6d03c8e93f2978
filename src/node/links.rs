//! Links: our own connections to the home servers of other domains, one per domain and protocol,
//! opened on demand, closed when idle.
//!
//! What is to be said to a domain goes in *lanes*, one for each kind of traffic: messages and presence may be
//! taken by different servers of the domain, in different protocols, and fail apart from each other. A lane goes over one link
//! at a time; SIMP's carries all lanes.
//!
//! ```text
//!  lane:  Idle --request--> Resolving --places--> Trying --the link is up--> On --link closed, idle--> Idle
//!          |  \---- a link that serves is up or being made ----^  |
//!          |                                     \- none is left -> Waiting --time--> Idle
//!  link:  Down --> Dialing --connected--> Greeting --taken in--> Up --idle, closed--> Down
//!                                            \---- refused ----> Down: each lane that waits tries its next place
//! ```
//!
//! Requests wait in a lane's bounded queue until it has a link; when none can be had they all fail and the
//! next ones wait for the next try, which comes after a pause that doubles up to [`PAUSE_MOST`].
//!
//! A request that was written to a link that is then lost has failed, and is not sent again: whether it was
//! carried out is unknown (TOC-45, TOC-46).

mod reach;
mod report;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::conns::{Bucket, Vouched};
use super::io::{Asker, ConnId, DialId, Job, Output};
use super::{Due, Event, Io, Purpose, Role, wire};
use crate::clock::{Now, Tick};
use crate::config::Federation;
use crate::federation::route::Dead;
use crate::federation::{Family, Place, Protocol, Strength, Traffic, peer};
use crate::hub::Kind;
use crate::hub::address::Domain;
use crate::hub::op::{Envelope, Refusal, Request, TxId};
use crate::limits;
use crate::store::record::{PeerRule, Read};
use report::Test;

/// The first pause after no link could be had.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest.
pub const PAUSE_MOST: Duration = Duration::from_secs(8);
/// Until the rules about peers are read again where that has failed.
const RULES_AGAIN: Duration = Duration::from_secs(1);
/// So many of those who wait for a domain ask DNS about it: one may have to wait for his turn longer than others.
const ASKERS: usize = 4;
/// Peer domains remembered; one more than that has to wait until one is forgotten.
const DOMAINS: usize = 20_000;
/// So often at most those of them are forgotten that could not be reached, where there are too many.
const SWEEP: Duration = Duration::from_secs(1);

/// Lines a second that the log gets at its usual level of what others bring about; some more at once.
const TOLD: u32 = 1;

/// What a link is doing.
#[derive(Debug, Default)]
enum State {
    #[default]
    Down,
    Dialing {
        dial: DialId,
        place: Place,
        until: Tick,
    },
    /// Connected; the peer has yet to greet us: to open his stream (SIMP), or to take us for who we are.
    Greeting {
        conn: ConnId,
        place: Place,
        until: Tick,
    },
    /// In use; whether it still is of use is looked at when `check` comes.
    Up {
        conn: ConnId,
        check: Tick,
    },
}

/// A connection of ours to one domain in one protocol.
#[derive(Debug, Default)]
struct Link {
    state: State,
    /// In use, or tried last.
    address: Option<SocketAddr>,
    used: Tick,
}

/// How one kind of traffic gets to one domain.
#[derive(Debug, Default)]
enum Way {
    #[default]
    Idle,
    Resolving,
    /// Waits for this link.
    Trying(Protocol),
    /// Goes over this link, which is up.
    On(Protocol),
    /// No link could be had.
    Waiting {
        until: Tick,
    },
}

/// One kind of traffic to one domain. All that the domain has yet to answer of it is in the queue, or was
/// written to the one link that it is on.
#[derive(Debug, Default)]
struct Lane {
    way: Way,
    /// When it came, and what.
    queue: VecDeque<(Tick, TxId, Envelope<'static>)>,
    /// Octets in it.
    queued: usize,
    round: Round,
    failures: u32,
    trouble: Option<String>,
}

impl Lane {
    /// All that waits.
    fn take_queue(&mut self) -> VecDeque<(Tick, TxId, Envelope<'static>)> {
        self.queued = 0;
        std::mem::take(&mut self.queue)
    }
}

/// What a request takes in memory while it waits, octets.
fn size(envelope: &Envelope<'_>) -> usize {
    let body = match &envelope.request {
        Request::Message(message) => message.body.len(),
        _ => 0,
    };
    size_of::<Envelope<'_>>() + body + envelope.native.as_ref().map_or(0, |native| native.octets.len())
}

/// In whose share of DNS a request's domain is looked up: news go out for the one whose they are.
fn asker(envelope: &Envelope<'_>) -> Asker {
    Asker::User(match &envelope.request {
        Request::Change(notice) | Request::End(notice) => notice.report.presentity.clone(),
        _ => envelope.from.clone(),
    })
}

/// A search for a link.
#[derive(Debug, Default)]
struct Round {
    /// The places are known.
    asked: bool,
    places: VecDeque<Place>,
    failed: Vec<Place>,
    give_up: Tick,
    trouble: String,
    /// DNS is sure that there is nothing.
    nothing: bool,
}

impl Round {
    /// The next place that was not tried in vain meanwhile, for another lane.
    fn next_place(&mut self) -> Option<Place> {
        while let Some(place) = self.places.pop_front() {
            if !self.failed.contains(&place) {
                return Some(place);
            }
        }
        None
    }
}

/// A link that has never been wanted.
static DOWN: Link = Link { state: State::Down, address: None, used: Tick::at(0) };

/// A lane that nothing has gone on yet.
static UNUSED: Lane = Lane {
    way: Way::Idle,
    queue: VecDeque::new(),
    queued: 0,
    round: Round {
        asked: false,
        places: VecDeque::new(),
        failed: Vec::new(),
        give_up: Tick::at(0),
        trouble: String::new(),
        nothing: false,
    },
    failures: 0,
    trouble: None,
};

/// Another domain. It may be one that a user has made up: of most there is a lane and nothing else.
#[derive(Debug, Default)]
struct Peer {
    links: [Option<Box<Link>>; 3],
    lanes: [Option<Box<Lane>>; 3],
    /// Who has asked DNS, for whichever lane, since it was last at rest.
    askers: Vec<Asker>,
    /// Questions to it without an answer.
    questions: usize,
    used: Tick,
    /// When its timer comes.
    armed: Option<Tick>,
    tests: Vec<Test>,
}

impl Peer {
    fn link(&self, protocol: Protocol) -> &Link {
        let [simp, imtp, pitp] = &self.links;
        let link = match protocol {
            Protocol::Simp => simp,
            Protocol::Imtp => imtp,
            Protocol::Pitp => pitp,
        };
        link.as_deref().unwrap_or(&DOWN)
    }

    fn link_mut(&mut self, protocol: Protocol) -> &mut Link {
        let [simp, imtp, pitp] = &mut self.links;
        let link = match protocol {
            Protocol::Simp => simp,
            Protocol::Imtp => imtp,
            Protocol::Pitp => pitp,
        };
        link.get_or_insert_default()
    }

    fn lane(&self, traffic: Traffic) -> &Lane {
        let [messages, presence, inquiries] = &self.lanes;
        let lane = match traffic {
            Traffic::Messages => messages,
            Traffic::Presence => presence,
            Traffic::Inquiries => inquiries,
        };
        lane.as_deref().unwrap_or(&UNUSED)
    }

    fn lane_mut(&mut self, traffic: Traffic) -> &mut Lane {
        let [messages, presence, inquiries] = &mut self.lanes;
        let lane = match traffic {
            Traffic::Messages => messages,
            Traffic::Presence => presence,
            Traffic::Inquiries => inquiries,
        };
        lane.get_or_insert_default()
    }

    /// The lanes that are on a link.
    fn on(&self, protocol: Protocol) -> impl Iterator<Item = Traffic> + use<> {
        let on = move |lane: &Lane| matches!(lane.way, Way::On(p) if p == protocol);
        let which = Traffic::ALL.map(|traffic| on(self.lane(traffic)).then_some(traffic));
        which.into_iter().flatten()
    }

    /// The lanes that wait for a link.
    fn trying(&self, protocol: Protocol) -> impl Iterator<Item = Traffic> + use<> {
        let waits = move |lane: &Lane| matches!(lane.way, Way::Trying(p) if p == protocol);
        let which = Traffic::ALL.map(|traffic| waits(self.lane(traffic)).then_some(traffic));
        which.into_iter().flatten()
    }

    /// The protocol of a link that carries this and is up, else of one that is being made; by the operator's
    /// order.
    fn serving(&self, order: &[Family], traffic: Traffic) -> Option<Protocol> {
        let mut protocols = order.iter().chain(&Family::ALL).filter_map(|family| family.protocol(traffic));
        let up = protocols.clone().find(|p| matches!(self.link(*p).state, State::Up { .. }));
        up.or_else(|| protocols.find(|p| !matches!(self.link(*p).state, State::Down)))
    }

    /// A link without use is given up: whoever wants one next connects again.
    fn rests(&mut self, protocol: Protocol) {
        for traffic in self.on(protocol) {
            self.lane_mut(traffic).way = Way::Idle;
        }
        self.link_mut(protocol).state = State::Down;
    }

    /// Which link, greeted or not, this connection is.
    fn by_conn(&self, id: ConnId) -> Option<Protocol> {
        Protocol::ALL.into_iter().find(|protocol| match self.link(*protocol).state {
            State::Greeting { conn, .. } | State::Up { conn, .. } => conn == id,
            State::Down | State::Dialing { .. } => false,
        })
    }

    /// Those that there are.
    fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().flatten().map(Box::as_ref)
    }

    /// Those that there are.
    fn lanes(&self) -> impl Iterator<Item = &Lane> {
        self.lanes.iter().flatten().map(Box::as_ref)
    }

    /// Has it no links, and nothing that wants one?
    fn is_quiet(&self) -> bool {
        self.links().all(|link| matches!(link.state, State::Down))
            && self.lanes().all(|lane| matches!(lane.way, Way::Idle))
            && self.tests.is_empty()
    }

    /// Has it nothing but a pause until it is tried again, or not even that?
    fn is_out_of_reach(&self) -> bool {
        self.links().all(|link| matches!(link.state, State::Down))
            && self.lanes().all(|lane| matches!(lane.way, Way::Idle | Way::Waiting { .. }))
            && self.lanes().all(|lane| lane.queue.is_empty())
            && self.tests.is_empty()
    }

    /// When something has to be looked at.
    fn next(&self) -> Option<Tick> {
        if self.is_quiet() {
            return Some(self.used + limits::LINK_IDLE);
        }
        let links = self.links().filter_map(|link| match link.state {
            State::Down => None,
            State::Dialing { until, .. } | State::Greeting { until, .. } => Some(until),
            State::Up { check, .. } => Some(check),
        });
        let lanes = self.lanes().filter_map(|lane| match lane.way {
            Way::Waiting { until } => Some(until),
            Way::Idle | Way::Resolving | Way::Trying(_) | Way::On(_) => None,
        });
        links.chain(lanes).min()
    }
}

/// How long a link is kept without use.
fn idle(protocol: Protocol) -> Duration {
    match protocol {
        Protocol::Simp => limits::LINK_IDLE,
        Protocol::Imtp | Protocol::Pitp => limits::LINK_IDLE_GREETED,
    }
}

/// All links, and what is known of peers.
#[derive(Debug, Default)]
pub(crate) struct Links {
    peers: HashMap<Arc<str>, Box<Peer>>,
    dials: HashMap<DialId, (Arc<str>, Protocol)>,
    next_dial: u64,
    swept: Tick,
    dead: Dead,
    /// The operator's rules.
    pub rules: HashMap<Domain, PeerRule>,
    /// They could not be read: until they are, no other domain is talked to.
    pub unruled: bool,
    /// What the log has been told.
    told: Option<Bucket>,
}

impl Links {
    /// The level at which the log is told what others have brought about: anybody can name domains that don't exist,
    /// thousands a second, and shall not fill the disk with them.
    fn level(&mut self, now: Now) -> log::Level {
        match self.told.get_or_insert_with(|| Bucket::new(now)).take(now, TOLD) {
            true => log::Level::Info,
            false => log::Level::Debug,
        }
    }

    /// How much there is of peers and of what waits for them ([`super::Node::gauge`]).
    pub fn gauge(&self) -> [(&'static str, usize); 4] {
        let lanes = self.peers.values().flat_map(|peer| peer.lanes());
        [
            ("peers", self.peers.len()),
            ("link queues", lanes.map(|lane| lane.queue.len()).sum()),
            ("dials", self.dials.len()),
            ("dead places", self.dead.size()),
        ]
    }

    /// Is this domain talked to at all?
    pub fn admits(&self, domain: &str, federation: &Federation) -> bool {
        if self.unruled {
            return false;
        }
        match self.rules.get(domain) {
            Some(PeerRule::Allow) => true,
            Some(PeerRule::Deny) => false,
            None => federation.open,
        }
    }

    /// All of this that waits for a link has failed: it must not be sent after all.
    pub fn forget_queue(&mut self, domain: &str, traffic: Traffic) {
        if let Some(peer) = self.peers.get_mut(domain) {
            drop(peer.lane_mut(traffic).take_queue());
        }
    }

    /// How many links of a protocol are up.
    pub fn up(&self, protocol: Protocol) -> usize {
        self.peers.values().filter(|peer| matches!(peer.link(protocol).state, State::Up { .. })).count()
    }

    fn get(&mut self, now: Now, domain: &str) -> Option<(Arc<str>, &mut Peer)> {
        if !self.peers.contains_key(domain) {
            if self.peers.len() >= DOMAINS && now.tick.since(self.swept) >= SWEEP {
                self.swept = now.tick;
                // Whoever names ever new domains must not keep others from those that are there.
                self.peers.retain(|_, peer| !peer.is_out_of_reach());
            }
            if self.peers.len() >= DOMAINS {
                return None;
            }
            self.peers.insert(domain.into(), Box::default());
        }
        let name = Arc::clone(self.peers.get_key_value(domain)?.0);
        let peer = self.peers.get_mut(domain)?;
        peer.used = now.tick;
        Some((name, peer))
    }
}

impl Io {
    /// Hands a request to a peer's server, or has it wait for a link.
    pub(super) fn forward_to(
        &mut self,
        domain: &str,
        tx: TxId,
        envelope: &Envelope<'_>,
    ) -> Result<(), Refusal> {
        if !self.links.admits(peer::domain(domain), &self.config.federation) {
            return Err(Refusal::Communications);
        }
        let (now, traffic) = (self.now, Kind::from(&envelope.request).traffic());
        if let Some(peer) = self.links.peers.get_mut(domain)
            && let Way::On(protocol) = peer.lane(traffic).way
            && let State::Up { conn, .. } = peer.link(protocol).state
        {
            wire::can_say(protocol, envelope)?;
            peer.used = now.tick;
            peer.link_mut(protocol).used = now.tick;
            let (config, recent) = (&self.config, &mut self.recent);
            let say = |out: &mut Vec<u8>| wire::say(protocol, out, tx, envelope, config, recent, false);
            if self.conns.write(now, conn, &mut self.outputs, say).is_err() {
                self.events.push_back(Event::Cut(conn));
                return Err(Refusal::Communications);
            }
            return Ok(());
        }
        let mut sayable = Err(Refusal::Unsupported);
        for protocol in Family::ALL.into_iter().filter_map(|family| family.protocol(traffic)) {
            sayable = sayable.or_else(|_| wire::can_say(protocol, envelope));
        }
        sayable?;
        let Some((domain, peer)) = self.links.get(now, domain) else { return Err(Refusal::Resources) };
        let lane = peer.lane_mut(traffic);
        let size = size(envelope);
        if lane.queue.len() >= limits::QUEUED_PER_LINK || lane.queued + size > limits::QUEUED_OCTETS_PER_LINK
        {
            return Err(Refusal::Resources);
        }
        lane.queued += size;
        lane.queue.push_back((now.tick, tx, envelope.clone().into_owned()));
        match lane.way {
            Way::Idle => self.start(&domain, traffic),
            Way::Resolving => self.ask_dns(&domain, asker(envelope)),
            Way::Trying(_) | Way::On(_) | Way::Waiting { .. } => {}
        }
        self.arm_peer(&domain);
        Ok(())
    }

    /// Sets the timer of a domain, if none comes earlier.
    fn arm_peer(&mut self, domain: &Arc<str>) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        if let Some(at) = peer.next()
            && peer.armed.is_none_or(|armed| at < armed)
        {
            peer.armed = Some(at);
            self.timers.arm(at, Due::Link(Arc::clone(domain)));
        }
    }

    /// A link's connection is gone. One that was still being greeted has refused us; of one that was up,
    /// what it has not answered has failed. Without any that is no failure.
    pub(super) fn link_closed(&mut self, domain: &Arc<str>, id: ConnId) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let Some(protocol) = peer.by_conn(id) else { return };
        if let State::Greeting { place, .. } = peer.link(protocol).state {
            return self.attempt_failed(domain, place, "closed before it took us in".to_owned());
        }
        peer.link_mut(protocol).state = State::Down;
        for traffic in peer.on(protocol) {
            peer.lane_mut(traffic).way = Way::Idle;
            let refusal = Refusal::Communications;
            self.events.push_back(Event::LinkFailed(Arc::clone(domain), traffic, refusal));
        }
        self.arm_peer(domain);
    }

    /// The domain's timer: an attempt that takes too long, a pause that is over, a link without use. `load`
    /// tells how many requests of a kind are on their way there, and how many in a row got no answer.
    pub(super) fn link_due(&mut self, domain: &Arc<str>, load: impl Fn(Traffic) -> (usize, u8)) {
        let now = self.now;
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        if peer.armed.is_none_or(|armed| armed > now.tick) {
            return;
        }
        peer.armed = None;
        for protocol in Protocol::ALL {
            let Some(peer) = self.links.peers.get(domain) else { return };
            match peer.link(protocol).state {
                State::Dialing { dial, until, .. } if until <= now.tick => {
                    self.dial_failed(dial, "no answer in time".to_owned());
                }
                State::Greeting { conn, until, .. } if until <= now.tick => {
                    self.link_refused(conn, "no greeting in time".to_owned());
                }
                State::Up { conn, check } if check <= now.tick => {
                    self.check(domain, protocol, conn, &load);
                }
                State::Down | State::Dialing { .. } | State::Greeting { .. } | State::Up { .. } => {}
            }
        }
        for traffic in Traffic::ALL {
            let Some(peer) = self.links.peers.get_mut(domain) else { return };
            if matches!(peer.lane(traffic).way, Way::Waiting { until } if until <= now.tick) {
                let lane = peer.lane_mut(traffic);
                lane.way = Way::Idle;
                if !lane.queue.is_empty() {
                    self.start(domain, traffic);
                }
            }
        }
        let peer = self.links.peers.get(domain);
        if peer.is_some_and(|peer| peer.is_quiet() && now.tick.since(peer.used) >= limits::LINK_IDLE) {
            self.links.peers.remove(domain);
        }
        self.arm_peer(domain);
    }

    /// Is a link that is up still of use?
    fn check(
        &mut self,
        domain: &Arc<str>,
        protocol: Protocol,
        conn: ConnId,
        load: impl Fn(Traffic) -> (usize, u8),
    ) {
        let now = self.now;
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let loads = || peer.on(protocol).map(&load);
        let waiting: usize = loads().map(|(waiting, _)| waiting).sum();
        let unanswered = loads().map(|(_, unanswered)| unanswered).max().unwrap_or(0);
        let last = peer.link(protocol).used;
        if waiting == 0 && now.tick.since(last) >= idle(protocol) {
            peer.rests(protocol);
            return self.end(conn);
        }
        let check = (last + idle(protocol)).min(now.tick + limits::LINK_IDLE);
        let check = check.max(now.tick + limits::ANSWER_REMOTE);
        peer.link_mut(protocol).state = State::Up { conn, check };
        if unanswered >= limits::UNANSWERED {
            let level = self.links.level(now);
            log::log!(level, "{domain} does not answer: its {} link is closed", protocol.name());
            self.events.push_back(Event::Cut(conn));
        }
    }

    /// There is no room for more connections: links on which nothing is on its way, by what `load` tells, make some, those
    /// that have had no use for longest. An eighth of them, if that is more than are to go: they are not gone through
    /// for each. How many have gone.
    pub(super) fn give_up_idle_links(&mut self, most: usize, load: impl Fn(&str, Traffic) -> usize) -> usize {
        let mut idle = Vec::new();
        for (domain, peer) in &self.links.peers {
            for protocol in Protocol::ALL {
                if let State::Up { conn, .. } = peer.link(protocol).state
                    && peer.on(protocol).all(|traffic| load(domain, traffic) == 0)
                {
                    idle.push((peer.link(protocol).used, Arc::clone(domain), protocol, conn));
                }
            }
        }
        // Also by name, so that it is the same whenever this is run again.
        idle.sort_unstable_by(|(a, at, ..), (b, by, ..)| (a, at).cmp(&(b, by)));
        idle.truncate(most.max(idle.len() / 8));
        for (_, domain, protocol, conn) in &idle {
            if let Some(peer) = self.links.peers.get_mut(domain) {
                peer.rests(*protocol);
            }
            self.end(*conn);
            self.arm_peer(domain);
        }
        idle.len()
    }

    /// The rules about peers are read: at the start, and again until that succeeds.
    pub(super) fn read_rules(&mut self) {
        let job = self.jobs.open(Purpose::PeerRules);
        self.outputs.push_back(Output::Job { job, work: Job::Read(Read::PeerRules) });
    }

    /// They have been read, or could not be: who is denied must not come in because of a trouble with the disk.
    pub(super) fn rules_read(&mut self, rules: Option<Vec<(Domain, PeerRule)>>) {
        let failed = rules.is_none();
        if failed && !self.links.unruled {
            log::error!("the rules about peers can't be read: until they can, no other domain is talked to");
        } else if !failed && self.links.unruled {
            log::info!("the rules about peers have been read");
        }
        self.links.unruled = failed;
        match rules {
            Some(rules) => self.links.rules = rules.into_iter().collect(),
            None => self.timers.arm(self.now.tick + RULES_AGAIN, Due::Rules),
        }
        self.expel();
    }

    /// Connections of other domains' servers that are no longer wanted end.
    pub(super) fn expel(&mut self) {
        for id in self.conns.visitors() {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            match &mut conn.role {
                Role::Server(domain) if !self.links.admits(domain, &self.config.federation) => {
                    log::info!("{domain} is denied by the rules about peers: its connection is closed");
                    self.events.push_back(Event::Cut(id));
                }
                // One such connection may speak for several domains.
                Role::Routing(Vouched(known)) => {
                    known.retain(|(domain, ..)| self.links.admits(domain, &self.config.federation));
                }
                _ => {}
            }
        }
    }

    /// Links in clear end where the configuration no longer lets them be: all but those set by hand.
    pub(super) fn give_up_clear_links(&mut self) {
        if self.config.federation.require != Strength::Strong {
            return;
        }
        let by_hand = |domain: &str, protocol, address| {
            let place = Place { protocol, tls: false, address };
            let mut peers =
                self.config.peers.iter().filter(|set| set.domain.as_str() == peer::domain(domain));
            peers.any(|set| set.place == place)
        };
        let mut names: Vec<_> = self.links.peers.keys().cloned().collect();
        names.sort_unstable();
        let why = || "in clear, and require = \"strong\" wants TLS".to_owned();
        let mut begun = Vec::new();
        for name in names {
            let Some(peer) = self.links.peers.get_mut(&name) else { continue };
            for lane in peer.lanes.iter_mut().flatten() {
                lane.round.places.retain(|at| at.tls || by_hand(&name, at.protocol, at.address));
            }
            for protocol in Protocol::ALL {
                match peer.link(protocol).state {
                    State::Dialing { place, .. } | State::Greeting { place, .. }
                        if !place.tls && !by_hand(&name, protocol, place.address) =>
                    {
                        begun.push((Arc::clone(&name), protocol));
                    }
                    State::Up { conn, .. } => {
                        let clear = self.conns.get(conn).filter(|conn| conn.tls.is_none());
                        if clear.is_some_and(|conn| !by_hand(&name, protocol, conn.peer)) {
                            self.events.push_back(Event::Cut(conn));
                        }
                    }
                    _ => {}
                }
            }
        }
        for (name, protocol) in begun {
            match self.links.peers.get(&name).map(|peer| &peer.link(protocol).state) {
                Some(&State::Dialing { dial, .. }) => self.dial_failed(dial, why()),
                Some(&State::Greeting { conn, .. }) => self.link_refused(conn, why()),
                _ => {}
            }
        }
    }

    /// The operator's rule about a peer has changed: links and connections that are no longer wanted end.
    pub(super) fn rule_changed(&mut self, domain: &str, rule: Option<PeerRule>) {
        let Ok(domain) = Domain::parse(domain) else { return };
        match rule {
            Some(rule) => self.links.rules.insert(domain.clone(), rule),
            None => self.links.rules.remove(&domain),
        };
        if self.links.admits(domain.as_str(), &self.config.federation) {
            return;
        }
        let mut denied: Vec<_> =
            self.links.peers.keys().filter(|name| peer::domain(name) == domain.as_str()).cloned().collect();
        denied.sort_unstable();
        for name in denied {
            self.deny(&name);
        }
        self.expel();
    }

    /// The links to this peer end.
    fn deny(&mut self, name: &Arc<str>) {
        let denied = format!("{name} is denied by the rules about peers");
        for traffic in Traffic::ALL {
            self.tested(name, traffic, false, denied.clone());
            // What was on its way there, or waited to be, has failed.
            let refusal = Refusal::Communications;
            self.events.push_back(Event::LinkFailed(Arc::clone(name), traffic, refusal));
        }
        let Some(peer) = self.links.peers.remove(name) else { return };
        for link in peer.links.into_iter().flatten() {
            match link.state {
                State::Up { conn, .. } => self.end(conn),
                State::Greeting { conn, .. } => self.close_conn(conn, false),
                State::Down | State::Dialing { .. } => {}
            }
        }
    }
}
