//! How a lane comes by a link: places are found and tried in order, until one takes us in or none is left.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{ASKERS, PAUSE, PAUSE_MOST, Round, State, Way, idle};
use crate::config::Listen;
use crate::federation::{DnsError, Place, Protocol, Published, Strength, Traffic, route};
use crate::hub::address::Domain;
use crate::hub::op::Refusal;
use crate::limits;
use crate::node::conns::{Conn, Role};
use crate::node::io::{Asker, ConnId, DialId, Job, Output, TlsPeer};
use crate::node::jobs::Purpose;
use crate::node::{Event, Io, wire};
use crate::simp::write;

/// One address has this long to answer before the next is tried.
const ATTEMPT: Duration = Duration::from_secs(3);

/// Is this an address of our own listeners (TOC-6)? A listener on all addresses has those of loopback, and
/// those that another listener names.
fn is_own(listen: &[Listen], address: SocketAddr) -> bool {
    let ours = |ip: IpAddr| ip.is_loopback() || listen.iter().any(|listen| listen.address.ip() == ip);
    listen.iter().any(|listen| {
        let at = listen.address;
        at.port() == address.port()
            && (at.ip() == address.ip() || at.ip().is_unspecified() && ours(address.ip()))
    })
}

/// How a place is called in a log and a test.
fn named(place: &Place) -> String {
    let tls = if place.tls { " on TLS" } else { "" };
    format!("{} by {}{tls}", place.address, place.protocol.name())
}

impl Io {
    /// A lane that has no link is to get one.
    pub(super) fn start(&mut self, domain: &Arc<str>, traffic: Traffic) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let give_up = self.now.tick + limits::REACH;
        peer.lane_mut(traffic).round = Round { give_up, ..Round::default() };
        self.advance(domain, traffic);
    }

    /// The lane's next step: its next place; else a link that is there anyway; else its places are looked for;
    /// else it has failed.
    fn advance(&mut self, domain: &Arc<str>, traffic: Traffic) {
        let now = self.now;
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let round = &mut peer.lane_mut(traffic).round;
        let (asked, give_up) = (round.asked, round.give_up);
        let Some(place) = round.next_place().filter(|_| now.tick < give_up) else {
            return match peer.serving(&self.config.federation.order, traffic) {
                Some(protocol) => self.join(domain, traffic, protocol),
                None if asked => self.lane_failed(domain, traffic),
                None => self.seek(domain, traffic),
            };
        };
        match peer.link(place.protocol).state {
            State::Down => {
                self.dial(domain, place, give_up);
                self.join(domain, traffic, place.protocol);
            }
            State::Dialing { place: other, .. } | State::Greeting { place: other, .. } => {
                if other != place {
                    // Its turn comes when the other has failed.
                    peer.lane_mut(traffic).round.places.push_front(place);
                }
                self.join(domain, traffic, place.protocol);
            }
            State::Up { .. } => self.join(domain, traffic, place.protocol),
        }
    }

    /// The lane goes over this link: at once if it is up, else when it is.
    pub(super) fn join(&mut self, domain: &Arc<str>, traffic: Traffic, protocol: Protocol) {
        let now = self.now;
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let (address, state) = (peer.link(protocol).address, &peer.link(protocol).state);
        let State::Up { conn, .. } = *state else {
            peer.lane_mut(traffic).way = Way::Trying(protocol);
            return;
        };
        peer.link_mut(protocol).used = now.tick;
        let lane = peer.lane_mut(traffic);
        lane.way = Way::On(protocol);
        lane.round = Round::default();
        lane.failures = 0;
        lane.trouble = None;
        // What has waited for so long has failed: it must not be carried out after all.
        let mut queue = lane.take_queue();
        queue.retain(|(came, ..)| now.tick.since(*came) < limits::ANSWER_REMOTE);
        if !queue.is_empty() {
            let (events, config, recent) = (&mut self.events, &self.config, &mut self.recent);
            let written = self.conns.write(now, conn, &mut self.outputs, |out| {
                for (_, tx, envelope) in &queue {
                    match wire::can_say(protocol, envelope) {
                        Ok(()) => wire::say(protocol, out, *tx, envelope, config, recent, false),
                        Err(why) => events.push_back(Event::Unsaid(Arc::clone(domain), *tx, why)),
                    }
                }
            });
            if written.is_err() {
                self.events.push_back(Event::Cut(conn));
            }
        }
        let at = address.map_or_else(String::new, |address| format!(" to {address}"));
        let step = format!("{}: a link{at} by {} is up", traffic.name(), protocol.name());
        self.tested(domain, traffic, true, step);
    }

    /// Looks for the places of a peer's servers.
    fn seek(&mut self, domain: &Arc<str>, traffic: Traffic) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        peer.lane_mut(traffic).round.asked = true;
        let order = &self.config.federation.order;
        let by_hand = route::by_hand(&self.config.peers, super::peer::domain(domain), order, traffic);
        if !by_hand.is_empty() {
            return self.planned(domain, traffic, by_hand);
        }
        peer.lane_mut(traffic).way = Way::Resolving;
        let mut askers = Vec::new();
        for (.., envelope) in &peer.lane(traffic).queue {
            let asker = super::asker(envelope);
            if !askers.contains(&asker) {
                askers.push(asker);
            }
            if askers.len() == ASKERS {
                break;
            }
        }
        if askers.is_empty() {
            askers.push(Asker::Operator);
        }
        for asker in askers {
            self.ask_dns(domain, asker);
        }
    }

    /// Asks DNS in somebody's name, unless enough have asked: whoever has so much to ask that his turn comes late
    /// must not keep others from the domains that he names.
    pub(super) fn ask_dns(&mut self, domain: &Arc<str>, asker: Asker) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let Ok(asked) = Domain::parse(super::peer::domain(domain)) else { return };
        if peer.askers.len() >= ASKERS || peer.askers.contains(&asker) {
            return;
        }
        if peer.questions == 0 {
            peer.note(|| format!("asking DNS about {domain}"));
        }
        peer.askers.push(asker.clone());
        peer.questions += 1;
        let job = self.jobs.open(Purpose::Resolve(Arc::clone(domain)));
        self.outputs.push_back(Output::Job { job, work: Job::Resolve(asked, asker) });
    }

    /// DNS has answered.
    pub(in crate::node) fn resolved(&mut self, domain: &Arc<str>, answer: Result<Published, DnsError>) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        peer.questions = peer.questions.saturating_sub(1);
        if peer.questions == 0 {
            peer.askers = Vec::new();
        } else if answer == Err(DnsError::Failed) {
            // Somebody else's turn may come in time.
            return;
        }
        for traffic in Traffic::ALL {
            let Some(peer) = self.links.peers.get_mut(domain) else { return };
            if !matches!(peer.lane(traffic).way, Way::Resolving) {
                continue;
            }
            let lane = peer.lane_mut(traffic);
            let why = match &answer {
                Ok(published) => {
                    let (dead, random) = (&self.links.dead, &mut self.random);
                    let order = &self.config.federation.order;
                    let mut places = route::published(self.now, published, order, traffic, dead, random);
                    let strong = self.config.federation.require == Strength::Strong;
                    let own = route::is_own_dns(&self.config);
                    let found = places.len();
                    places.retain(|place| route::may_be_dialled(place.address.ip(), own));
                    if places.is_empty() && found != 0 {
                        lane.round.trouble = format!(
                            "DNS names addresses for {domain} that lead nowhere but to this machine or its link"
                        );
                    }
                    let found = places.len();
                    places.retain(|place| place.tls || !strong);
                    if places.is_empty() && found != 0 {
                        lane.round.trouble = format!(
                            "{domain} takes {} in clear only, and require = \"strong\" wants TLS",
                            traffic.name()
                        );
                    }
                    self.planned(domain, traffic, places);
                    continue;
                }
                Err(DnsError::Nothing) => {
                    lane.round.nothing = true;
                    format!("DNS knows no server of {domain}")
                }
                Err(DnsError::Failed) => format!("DNS did not answer about {domain}"),
            };
            lane.round.trouble = why;
            self.advance(domain, traffic);
        }
        self.arm_peer(domain);
    }

    /// The places to try are known.
    fn planned(&mut self, domain: &Arc<str>, traffic: Traffic, mut places: Vec<Place>) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let named = !places.is_empty();
        places.retain(|place| !is_own(&self.config.listen, place.address));
        let round = &mut peer.lane_mut(traffic).round;
        if round.trouble.is_empty() {
            round.trouble = if named {
                format!("what {domain} names is this server itself, which does not serve it")
            } else {
                format!("DNS names no address of {domain} that takes {}", traffic.name())
            };
        }
        round.places = places.into();
        self.advance(domain, traffic);
    }

    fn dial(&mut self, domain: &Arc<str>, place: Place, give_up: crate::clock::Tick) {
        let asked = Domain::parse(super::peer::domain(domain));
        let (Ok(name), Some(peer)) = (asked, self.links.peers.get_mut(domain)) else {
            return;
        };
        let dial = DialId(self.links.next_dial);
        self.links.next_dial += 1;
        self.links.dials.insert(dial, (Arc::clone(domain), place.protocol));
        let until = (self.now.tick + ATTEMPT).min(give_up);
        peer.note(|| format!("connecting to {}", named(&place)));
        let link = peer.link_mut(place.protocol);
        link.address = Some(place.address);
        link.state = State::Dialing { dial, place, until };
        self.outputs.push_back(Output::Dial { dial, place, domain: name });
    }

    /// A dial came to nothing.
    pub(in crate::node) fn dial_failed(&mut self, dial: DialId, why: String) {
        let Some((domain, protocol)) = self.links.dials.remove(&dial) else { return };
        let Some(peer) = self.links.peers.get(&domain) else { return };
        match peer.link(protocol).state {
            State::Dialing { dial: current, place, .. } if current == dial => {
                self.attempt_failed(&domain, place, why);
            }
            State::Down | State::Dialing { .. } | State::Greeting { .. } | State::Up { .. } => {}
        }
    }

    /// A place does not take us: whoever waits for its link tries his next place.
    pub(super) fn attempt_failed(&mut self, domain: &Arc<str>, place: Place, why: String) {
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        self.links.dead.insert(self.now, place.address);
        let trouble = format!("{}: {why}", named(&place));
        peer.note(|| trouble.clone());
        peer.link_mut(place.protocol).state = State::Down;
        for traffic in peer.trying(place.protocol) {
            let Some(peer) = self.links.peers.get_mut(domain) else { return };
            let round = &mut peer.lane_mut(traffic).round;
            round.failed.push(place);
            round.trouble.clone_from(&trouble);
            self.advance(domain, traffic);
        }
        self.arm_peer(domain);
    }

    /// A dial succeeded. The peer has to greet us first: until [`Io::link_ready`] he is told nothing that users have
    /// said. With SIMP his stream's header is the greeting, and ours is all that he gets: whatever DNS has led us to,
    /// lines of a user's choice are not written to a port where SIMP is not spoken.
    pub(in crate::node) fn connected(&mut self, dial: DialId, id: ConnId) {
        let now = self.now;
        let known = self.links.dials.remove(&dial);
        let found = known.and_then(|(domain, protocol)| {
            let peer = self.links.peers.get_mut(&domain)?;
            match peer.link(protocol).state {
                State::Dialing { dial: current, place, .. } if current == dial => Some((domain, peer, place)),
                State::Down | State::Dialing { .. } | State::Greeting { .. } | State::Up { .. } => None,
            }
        });
        let Some((domain, peer, place)) = found else {
            return self.outputs.push_back(Output::Close { conn: id, flush: false });
        };
        let local = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        let role = Role::Link(Arc::clone(&domain));
        let mut conn = Conn::new(now, place.address, local, u16::MAX, role, place.protocol);
        let alpn = place.protocol.into();
        conn.tls = place.tls.then(|| Box::new(TlsPeer { alpn, names: Vec::new(), end_point: None }));
        self.conns.insert(id, conn);
        self.outputs.push_back(Output::Known(id));
        peer.note(|| format!("connected to {}", place.address));
        let until = now.tick + limits::GREETING;
        peer.link_mut(place.protocol).state = State::Greeting { conn: id, place, until };
        if place.protocol == Protocol::Simp {
            self.write(id, |out| out.extend_from_slice(write::HEADER));
        }
        self.arm_peer(&domain);
    }

    /// The peer has taken us in: the link is up, and what has waited goes out.
    pub(crate) fn link_ready(&mut self, id: ConnId) {
        if let Some((domain, place)) = self.greeting(id) {
            if let Some(peer) = self.links.peers.get_mut(&domain) {
                peer.note(|| match place.protocol {
                    Protocol::Simp => format!("{} speaks SIMP", place.address),
                    Protocol::Imtp | Protocol::Pitp => format!("{} takes us for who we are", place.address),
                });
            }
            self.link_up(&domain, place, id);
            self.arm_peer(&domain);
        }
    }

    /// The peer does not take us in, or can't be understood: the connection ends, the next place is tried.
    pub(crate) fn link_refused(&mut self, id: ConnId, why: String) {
        if let Some((domain, place)) = self.greeting(id) {
            self.attempt_failed(&domain, place, why);
            self.close_conn(id, true);
        }
    }

    /// The link that is being greeted on this connection.
    fn greeting(&self, id: ConnId) -> Option<(Arc<str>, Place)> {
        let Role::Link(domain) = &self.conns.get(id)?.role else { return None };
        let peer = self.links.peers.get(domain)?;
        match peer.link(peer.by_conn(id)?).state {
            State::Greeting { place, .. } => Some((Arc::clone(domain), place)),
            State::Down | State::Dialing { .. } | State::Up { .. } => None,
        }
    }

    fn link_up(&mut self, domain: &Arc<str>, place: Place, conn: ConnId) {
        let now = self.now;
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        self.links.dead.remove(place.address);
        let link = peer.link_mut(place.protocol);
        link.used = now.tick;
        link.state = State::Up { conn, check: now.tick + idle(place.protocol).min(limits::LINK_IDLE) };
        for traffic in peer.trying(place.protocol) {
            self.join(domain, traffic, place.protocol);
        }
    }

    /// No place is left: all that waits has failed, and what comes waits for a while.
    fn lane_failed(&mut self, domain: &Arc<str>, traffic: Traffic) {
        let level = self.links.level(self.now);
        let Some(peer) = self.links.peers.get_mut(domain) else { return };
        let lane = peer.lane_mut(traffic);
        let Round { trouble, nothing, .. } = std::mem::take(&mut lane.round);
        log::log!(level, "no link to {domain} for {}: {trouble}", traffic.name());
        let pause = PAUSE * (1 << lane.failures.min(10));
        lane.failures = lane.failures.saturating_add(1);
        lane.way = Way::Waiting { until: self.now.tick + pause.min(PAUSE_MOST) };
        lane.trouble = Some(trouble.clone());
        drop(lane.take_queue());
        let refusal = if nothing { Refusal::NoSuchDomain } else { Refusal::Communications };
        self.events.push_back(Event::LinkFailed(Arc::clone(domain), traffic, refusal));
        self.tested(domain, traffic, false, format!("{}: no link: {trouble}", traffic.name()));
    }
}
