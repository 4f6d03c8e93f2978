//! Links: our own connections to the home servers of other domains, one per domain and protocol,
//! opened on demand, closed when idle.
//!
//! ```text
//!  Idle --request--> Resolving --places--> Dialing --connected--> Up --idle, closed--> Idle
//!                        \------- nothing, all dead --> Waiting --time--> Resolving
//! ```
//!
//! Requests wait in a bounded queue until the link is up; when it can't be had they all fail and the
//! next ones wait for the next try, which comes after a pause that doubles up to [`PAUSE_MOST`].

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::conns::{Conn, Role};
use super::io::{ConnId, ControlId, DialId, Job, Output, TlsPeer};
use super::jobs::Purpose;
use super::{Due, Event, Io};
use crate::admin::{AdminReply, PeerStatus};
use crate::clock::{Now, Tick};
use crate::config::Federation;
use crate::federation::route::{self, Dead};
use crate::federation::{DnsError, Family, Place, Published, Traffic};
use crate::hub::address::Domain;
use crate::hub::op::{Envelope, Refusal, TxId};
use crate::limits;
use crate::simp::{adapter, write};
use crate::store::record::PeerRule;

/// The first pause after a link could not be had.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest.
pub const PAUSE_MOST: Duration = Duration::from_secs(8);
/// One address has this long to answer before the next is tried.
const ATTEMPT: Duration = Duration::from_secs(3);
/// The families that links speak.
const ORDER: &[Family] = &[Family::Simp];
/// Peer domains remembered; one more than that has to wait until one is forgotten.
const DOMAINS: usize = 20_000;

/// What a link is doing.
#[derive(Debug)]
enum State {
    Idle,
    Resolving,
    Dialing { places: VecDeque<Place>, dial: DialId, place: Place, until: Tick, give_up: Tick },
    Up(ConnId),
    Waiting { until: Tick },
}

/// The link to one domain.
#[derive(Debug)]
struct Link {
    state: State,
    queue: VecDeque<(TxId, Envelope<'static>)>,
    used: Tick,
    failures: u32,
    address: Option<SocketAddr>,
    trouble: Option<String>,
    tests: Vec<ControlId>,
    steps: Vec<String>,
}

/// All links, and what is known of peers.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: HashMap<Arc<str>, Link>,
    dials: HashMap<DialId, Arc<str>>,
    next_dial: u64,
    dead: Dead,
    /// The operator's rules.
    pub rules: HashMap<Domain, PeerRule>,
}

impl Links {
    /// Is this domain talked to at all?
    pub fn admits(&self, domain: &str, federation: &Federation) -> bool {
        match self.rules.get(domain) {
            Some(PeerRule::Allow) => true,
            Some(PeerRule::Deny) => false,
            None => federation.open,
        }
    }

    /// All that waits for this link has failed: it must not be sent after all.
    pub fn forget_queue(&mut self, domain: &str) {
        if let Some(link) = self.links.get_mut(domain) {
            link.queue.clear();
        }
    }

    /// How many are up.
    pub fn up(&self) -> usize {
        self.links.values().filter(|link| matches!(link.state, State::Up(_))).count()
    }
}

impl Io {
    /// Hands a request to a peer's server, or has it wait for the link.
    pub(super) fn forward_to(
        &mut self,
        domain: &str,
        tx: TxId,
        envelope: &Envelope<'_>,
    ) -> Result<(), Refusal> {
        if !self.links.admits(domain, &self.config.federation) {
            return Err(Refusal::Communications);
        }
        adapter::can_say(envelope)?;
        let now = self.now;
        if !self.links.links.contains_key(domain) {
            if self.links.links.len() >= DOMAINS {
                return Err(Refusal::Resources);
            }
            self.links.links.insert(domain.into(), Link::new(now));
        }
        let Some(link) = self.links.links.get_mut(domain) else { return Err(Refusal::Resources) };
        link.used = now.tick;
        if let State::Up(conn) = link.state {
            let written =
                self.conns.write(now, conn, &mut self.outputs, |out| adapter::request(out, tx, envelope));
            if written.is_err() {
                self.events.push_back(Event::Cut(conn));
                return Err(Refusal::Communications);
            }
            return Ok(());
        }
        if link.queue.len() >= limits::QUEUED_PER_LINK {
            return Err(Refusal::Resources);
        }
        link.queue.push_back((tx, envelope.clone().into_owned()));
        if matches!(link.state, State::Idle) {
            self.seek(domain);
        }
        Ok(())
    }

    /// Starts looking for the peer's server.
    fn seek(&mut self, domain: &str) {
        let Some((name, link)) = self.links.links.get_key_value(domain) else { return };
        let (name, testing) = (Arc::clone(name), !link.tests.is_empty());
        let mut by_hand = route::by_hand(&self.config.peers, domain, ORDER, Traffic::Messages);
        by_hand.retain(|place| ORDER.contains(&place.protocol.family()));
        if by_hand.is_empty() {
            let Ok(asked) = Domain::parse(domain) else { return };
            if let Some(link) = self.links.links.get_mut(domain) {
                link.state = State::Resolving;
                link.note(testing, || format!("asking DNS about {domain}"));
            }
            let job = self.jobs.open(Purpose::Resolve(name));
            self.outputs.push_back(Output::Job { job, work: Job::Resolve(asked) });
        } else {
            self.try_places(&name, by_hand);
        }
    }

    /// DNS has answered.
    pub(super) fn resolved(&mut self, domain: &Arc<str>, answer: Result<Published, DnsError>) {
        let places = match answer {
            Ok(published) => {
                let (dead, random) = (&self.links.dead, &mut self.random);
                route::published(self.now, &published, ORDER, Traffic::Messages, dead, random)
            }
            Err(DnsError::Nothing) => {
                return self.link_failed(domain, format!("DNS knows no server of {domain}"));
            }
            Err(DnsError::Failed) => {
                return self.link_failed(domain, format!("DNS did not answer about {domain}"));
            }
        };
        if places.is_empty() {
            return self.link_failed(domain, format!("DNS names no address for the servers of {domain}"));
        }
        self.try_places(domain, places);
    }

    fn try_places(&mut self, domain: &Arc<str>, places: Vec<Place>) {
        let give_up = self.now.tick + limits::DIAL;
        self.dial(domain, places.into(), give_up, "no place to try".to_owned());
    }

    fn dial(&mut self, domain: &Arc<str>, mut places: VecDeque<Place>, give_up: Tick, trouble: String) {
        let Some(place) = places.pop_front().filter(|_| self.now.tick < give_up) else {
            return self.link_failed(domain, trouble);
        };
        let Ok(name) = Domain::parse(domain) else { return };
        let dial = DialId(self.links.next_dial);
        self.links.next_dial += 1;
        self.links.dials.insert(dial, Arc::clone(domain));
        let until = (self.now.tick + ATTEMPT).min(give_up);
        self.timers.arm(until, Due::Link(Arc::clone(domain)));
        if let Some(link) = self.links.links.get_mut(domain) {
            let testing = !link.tests.is_empty();
            let tls = if place.tls { " on TLS" } else { "" };
            link.note(testing, || format!("connecting to {}{tls}", place.address));
            link.address = Some(place.address);
            link.state = State::Dialing { places, dial, place, until, give_up };
        }
        self.outputs.push_back(Output::Dial { dial, place, domain: name });
    }

    /// A dial came to nothing: the next place is tried.
    pub(super) fn dial_failed(&mut self, dial: DialId, why: String) {
        let Some(domain) = self.links.dials.remove(&dial) else { return };
        let Some(link) = self.links.links.get_mut(&domain) else { return };
        let State::Dialing { places, dial: current, place, give_up, .. } = &mut link.state else { return };
        if *current != dial {
            return;
        }
        let (places, place, give_up) = (std::mem::take(places), *place, *give_up);
        let trouble = format!("{}: {why}", place.address);
        let testing = !link.tests.is_empty();
        link.note(testing, || trouble.clone());
        self.links.dead.insert(self.now, place.address);
        self.dial(&domain, places, give_up, trouble);
    }

    /// A dial succeeded: the link is up, and what has waited goes out.
    pub(super) fn connected(&mut self, dial: DialId, id: ConnId) {
        let now = self.now;
        let domain = self.links.dials.remove(&dial);
        let link = domain.as_ref().and_then(|domain| self.links.links.get_mut(domain));
        let (Some(domain), Some(link)) = (&domain, link) else {
            return self.outputs.push_back(Output::Close { conn: id, flush: false });
        };
        let State::Dialing { dial: current, place, .. } = link.state else {
            return self.outputs.push_back(Output::Close { conn: id, flush: false });
        };
        if current != dial {
            return self.outputs.push_back(Output::Close { conn: id, flush: false });
        }
        self.links.dead.remove(place.address);
        link.state = State::Up(id);
        link.failures = 0;
        link.trouble = None;
        link.used = now.tick;
        let queue = std::mem::take(&mut link.queue);
        let local = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        let mut conn =
            Conn::new(now, place.address, local, u16::MAX, Role::Link(Arc::clone(domain)), place.protocol);
        let alpn = place.protocol.into();
        conn.tls = place.tls.then(|| Box::new(TlsPeer { alpn, names: Vec::new(), end_point: None }));
        self.conns.insert(id, conn);
        let written = self.conns.write(now, id, &mut self.outputs, |out| {
            out.extend_from_slice(write::HEADER);
            for (tx, envelope) in &queue {
                adapter::request(out, *tx, envelope);
            }
        });
        if written.is_err() {
            self.events.push_back(Event::Cut(id));
        }
        self.timers.arm(now.tick + limits::LINK_IDLE, Due::Link(Arc::clone(domain)));
        self.tests_done(domain, true, format!("connected to {}", place.address));
    }

    /// The link's connection is gone.
    pub(super) fn link_closed(&mut self, domain: &Arc<str>, id: ConnId) {
        let Some(link) = self.links.links.get_mut(domain) else { return };
        if matches!(link.state, State::Up(conn) if conn == id) {
            link.state = State::Idle;
            self.timers.arm(self.now.tick + limits::LINK_IDLE, Due::Link(Arc::clone(domain)));
            self.events.push_back(Event::LinkFailed(Arc::clone(domain)));
        }
    }

    fn link_failed(&mut self, domain: &Arc<str>, trouble: String) {
        let now = self.now;
        let Some(link) = self.links.links.get_mut(domain) else { return };
        log::info!("no link to {domain}: {trouble}");
        let pause = PAUSE * (1 << link.failures.min(10));
        let until = now.tick + pause.min(PAUSE_MOST);
        link.failures = link.failures.saturating_add(1);
        link.state = State::Waiting { until };
        link.trouble = Some(trouble.clone());
        link.queue.clear();
        self.timers.arm(until, Due::Link(Arc::clone(domain)));
        self.events.push_back(Event::LinkFailed(Arc::clone(domain)));
        self.tests_done(domain, false, trouble);
    }

    /// The link's timer: a dial that takes too long, a pause that is over, a link without use.
    /// `waiting` requests are on their way there, of which `unanswered` in a row got no answer.
    pub(super) fn link_due(&mut self, domain: &Arc<str>, waiting: usize, unanswered: u8) {
        let now = self.now;
        let Some(link) = self.links.links.get_mut(domain) else { return };
        match &mut link.state {
            State::Dialing { dial, until, .. } if *until <= now.tick => {
                let dial = *dial;
                self.dial_failed(dial, "no answer in time".to_owned());
            }
            State::Waiting { until } if *until <= now.tick => {
                link.state = State::Idle;
                if link.queue.is_empty() {
                    self.timers.arm(now.tick + limits::LINK_IDLE, Due::Link(Arc::clone(domain)));
                } else {
                    self.seek(domain);
                }
            }
            State::Up(id) => {
                let id = *id;
                if unanswered >= limits::UNANSWERED {
                    log::info!("{domain} does not answer: its link is closed");
                    self.events.push_back(Event::Cut(id));
                } else if waiting == 0 && now.tick.since(link.used) >= limits::LINK_IDLE {
                    link.state = State::Idle;
                    self.timers.arm(now.tick + limits::LINK_IDLE, Due::Link(Arc::clone(domain)));
                    self.end(id);
                } else {
                    let again = (link.used + limits::LINK_IDLE).max(now.tick + limits::ANSWER_REMOTE);
                    self.timers.arm(again, Due::Link(Arc::clone(domain)));
                }
            }
            State::Idle if now.tick.since(link.used) >= limits::LINK_IDLE && link.tests.is_empty() => {
                self.links.links.remove(domain);
            }
            State::Idle | State::Resolving | State::Dialing { .. } | State::Waiting { .. } => {}
        }
    }

    /// `hearth peer test`: says how it went when the link is up or has failed.
    pub(super) fn test_peer(&mut self, id: ControlId, domain: &Domain) {
        let name: Arc<str> = domain.as_str().into();
        if !self.links.admits(domain.as_str(), &self.config.federation) {
            let steps = vec![format!("{domain} is denied by the rules about peers")];
            let reply = AdminReply::PeerTest { reached: false, steps };
            return self.outputs.push_back(Output::Control { id, reply });
        }
        let now = self.now;
        let link = self.links.links.entry(Arc::clone(&name)).or_insert_with(|| Link::new(now));
        link.used = now.tick;
        if matches!(link.state, State::Up(_)) {
            let at = link.address.map_or_else(String::new, |address| format!(" to {address}"));
            let reply = AdminReply::PeerTest { reached: true, steps: vec![format!("a link{at} is up")] };
            return self.outputs.push_back(Output::Control { id, reply });
        }
        link.tests.push(id);
        if matches!(link.state, State::Idle | State::Waiting { .. }) {
            self.seek(&name);
        }
    }

    fn tests_done(&mut self, domain: &Arc<str>, reached: bool, last: String) {
        let Some(link) = self.links.links.get_mut(domain) else { return };
        let mut steps = std::mem::take(&mut link.steps);
        if steps.last() != Some(&last) {
            steps.push(last);
        }
        for id in std::mem::take(&mut link.tests) {
            let reply = AdminReply::PeerTest { reached, steps: steps.clone() };
            self.outputs.push_back(Output::Control { id, reply });
        }
    }

    /// The operator's rule about a peer has changed: a link that is no longer wanted ends.
    pub(super) fn rule_changed(&mut self, domain: &str, rule: Option<PeerRule>) {
        let Ok(domain) = Domain::parse(domain) else { return };
        match rule {
            Some(rule) => self.links.rules.insert(domain.clone(), rule),
            None => self.links.rules.remove(&domain),
        };
        if self.links.admits(domain.as_str(), &self.config.federation) {
            return;
        }
        let Some((name, _)) = self.links.links.get_key_value(domain.as_str()) else { return };
        let name = Arc::clone(name);
        self.tests_done(&name, false, format!("{name} is denied by the rules about peers"));
        if let Some(link) = self.links.links.remove(&name)
            && let State::Up(id) = link.state
        {
            self.end(id);
        }
        // What was on its way there, or waited to be, has failed.
        self.events.push_back(Event::LinkFailed(name));
    }

    /// The links, for the operator; `load` tells what waits for a domain.
    pub(super) fn peers(&self, load: impl Fn(&str) -> usize) -> Vec<PeerStatus> {
        let mut peers: Vec<_> = self
            .links
            .links
            .iter()
            .map(|(domain, link)| PeerStatus {
                domain: domain.to_string(),
                state: match link.state {
                    State::Idle => "idle",
                    State::Resolving => "resolving",
                    State::Dialing { .. } => "connecting",
                    State::Up(_) => "up",
                    State::Waiting { .. } => "waiting",
                }
                .to_owned(),
                address: link.address.map(|address| address.to_string()),
                waiting: load(domain),
                trouble: link.trouble.clone(),
            })
            .collect();
        peers.sort_by(|a, b| a.domain.cmp(&b.domain));
        peers
    }
}

impl Link {
    fn new(now: Now) -> Link {
        Link {
            state: State::Idle,
            queue: VecDeque::new(),
            used: now.tick,
            failures: 0,
            address: None,
            trouble: None,
            tests: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn note(&mut self, testing: bool, step: impl FnOnce() -> String) {
        if testing {
            self.steps.push(step());
        }
    }
}
