//! Links at the level of a node's inputs and outputs: which place is tried when, and what fails with what.

use super::*;
use crate::admin::{AdminReply, PeerStatus};
use crate::federation::{DnsError, Published, Service, StaticPeer, Target};
use crate::hub::address::{Address, Domains};
use crate::hub::op::{Message, Request};
use crate::node::io::{ControlId, Input, Job, Output};
use crate::node::{Node, Seed};
use crate::sim::world::config;

const B: &str = "b.test";

struct Rig {
    node: Node,
    now: Now,
    next: u32,
    outputs: Vec<Output>,
}

fn place(protocol: Protocol, last: u8) -> Place {
    Place { protocol, tls: false, address: ([127, 0, 9, last], protocol.port()).into() }
}

impl Rig {
    /// A server of a.test on 127.0.0.1 for which b.test is at these places.
    fn new(by_hand: &[Place], order: &[Family]) -> Rig {
        let mut config = config(&["a.test"], [127, 0, 0, 1].into());
        config.federation.order = order.to_vec();
        let domain = Domain::parse(B).unwrap();
        config.peers =
            by_hand.iter().map(|place| StaticPeer { domain: domain.clone(), place: *place }).collect();
        let now = Now::default();
        let node = Node::new(
            now,
            Seed { config: Arc::new(config), random: [7; 32], key: [7; 32], calendar: Default::default() },
        );
        let mut rig = Rig { node, now, next: 0, outputs: Vec::new() };
        rig.outputs();
        rig
    }

    fn io(&mut self) -> &mut Io {
        self.node.core.io.now = self.now;
        &mut self.node.core.io
    }

    fn ask(&mut self, request: Request<'_>) -> Result<(), Refusal> {
        self.ask_as("alice@a.test", request)
    }

    fn ask_as(&mut self, from: &str, request: Request<'_>) -> Result<(), Refusal> {
        let address = |text| Address::parse(text, &Domains::default()).unwrap();
        let envelope = Envelope::ours(address(from), address("bob@b.test"), request);
        self.next += 1;
        let tx = TxId(u64::from(self.next));
        self.io().forward_to(B, tx, &envelope)
    }

    fn message(&mut self) {
        self.ask(Request::Message(text(b"hello"))).unwrap();
    }

    fn fetch(&mut self) {
        self.ask(Request::Fetch).unwrap();
    }

    fn outputs(&mut self) -> Vec<Output> {
        let mut all = std::mem::take(&mut self.outputs);
        all.extend(std::iter::from_fn(|| self.node.poll_output()));
        all
    }

    /// The dials that were ordered since the last time.
    fn dials(&mut self) -> Vec<(DialId, Place)> {
        let all = self.outputs();
        let (dials, others) = all.into_iter().partition(|output| matches!(output, Output::Dial { .. }));
        self.outputs = others;
        let of = |output| match output {
            Output::Dial { dial, place, .. } => (dial, place),
            other => panic!("{other:?}"),
        };
        Vec::into_iter(dials).map(of).collect()
    }

    /// The one dial that was.
    fn dialled(&mut self, expected: Place) -> DialId {
        let dials = self.dials();
        let [(dial, place)] = dials[..] else { panic!("{dials:?}") };
        assert_eq!(place, expected);
        dial
    }

    /// It succeeds.
    fn connect(&mut self, place: Place) -> ConnId {
        let dial = self.dialled(place);
        self.next += 1;
        let conn = ConnId { slot: self.next, generation: 1 };
        self.io().connected(dial, conn);
        if place.protocol == Protocol::Simp {
            self.io().link_ready(conn);
        }
        conn
    }

    fn fail(&mut self, place: Place) {
        let dial = self.dialled(place);
        self.io().dial_failed(dial, "refused".to_owned());
    }

    /// How many questions to DNS there are since the last time.
    fn questions(&mut self) -> usize {
        let asks = |output: &Output| matches!(output, Output::Job { work: Job::Resolve(..), .. });
        self.outputs().iter().filter(|output| asks(output)).count()
    }

    fn resolved(&mut self, answer: Result<Published, DnsError>) {
        self.io().resolved(&Arc::from(B), answer);
    }

    /// What has failed since the last time.
    fn failed(&mut self) -> Vec<Traffic> {
        let failed = |event| match event {
            Event::LinkFailed(_, traffic, _) => Some(traffic),
            _ => None,
        };
        self.io().events.drain(..).filter_map(failed).collect()
    }

    fn rows(&mut self) -> Vec<PeerStatus> {
        self.io().peers(|_, _| 0)
    }

    /// Each link or lane: its protocol, state, and what it carries.
    fn seen(&mut self) -> Vec<String> {
        let row = |row: PeerStatus| {
            format!("{} {}: {}", row.protocol.unwrap_or_default(), row.state, row.carries.join(" "))
        };
        self.rows().into_iter().map(row).collect()
    }

    fn unsent(&self, conn: ConnId) -> String {
        String::from_utf8(self.node.unsent(conn).to_vec()).unwrap()
    }

    fn pass(&mut self, span: Duration) {
        self.now.tick = self.now.tick + span;
        self.io().link_due(&Arc::from(B), |_| (0, 0));
    }
}

fn text(body: &[u8]) -> Message<'_> {
    let content_type = "text/plain".into();
    Message {
        content_type,
        body: body.into(),
        reply_to: None,
        note: None,
        hears_more: false,
        extras: Vec::new(),
    }
}

const IMTP: Protocol = Protocol::Imtp;
const PITP: Protocol = Protocol::Pitp;
const SIMP: Protocol = Protocol::Simp;

// IMTP-6.3-1, PITP-6.3-1, design 7: one link per domain and protocol
#[test]
fn messages_and_presence_have_links_of_their_own_that_fail_apart() {
    let mut rig = Rig::new(&[place(IMTP, 1), place(PITP, 2)], &Family::ALL);
    rig.message();
    rig.message();
    let im = rig.connect(place(IMTP, 1));
    rig.fetch();
    let presence = rig.connect(place(PITP, 2));
    assert_eq!(rig.seen(), ["imtp greeting: messages", "pitp greeting: presence"]);
    // Nothing is said before the peer has taken us in.
    assert_eq!((rig.unsent(im), rig.unsent(presence)), (String::new(), String::new()));
    rig.io().link_ready(im);
    assert_eq!(rig.seen(), ["imtp up: messages", "pitp greeting: presence"]);
    rig.io().link_refused(presence, "not authorized".to_owned());
    assert_eq!(rig.failed(), [Traffic::Presence]);
    assert_eq!(rig.seen(), ["imtp up: messages", " waiting: presence"]);
    rig.io().link_closed(&Arc::from(B), im);
    assert_eq!(rig.failed(), [Traffic::Messages]);
}

// SIMP-5.1-1: one connection carries both
#[test]
fn a_simp_link_carries_both_and_takes_both_with_it() {
    let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
    rig.message();
    let conn = rig.connect(place(SIMP, 1));
    rig.fetch();
    assert_eq!(rig.dials(), []);
    assert_eq!(rig.seen(), ["simp up: messages presence"]);
    let said = rig.unsent(conn);
    assert!(said.find("hello") < said.find("fetch") && said.contains("hello"), "{said}");
    rig.io().link_closed(&Arc::from(B), conn);
    assert_eq!(rig.failed(), [Traffic::Messages, Traffic::Presence]);
}

// SIMP-5.5-1: what IMTP has no word for goes by SIMP beside it
#[test]
fn inquiries_go_over_simp_alone() {
    let mut rig = Rig::new(&[place(IMTP, 1), place(SIMP, 2)], &Family::ALL);
    rig.message();
    let im = rig.connect(place(IMTP, 1));
    rig.io().link_ready(im);
    rig.ask(Request::Inquire).unwrap();
    let simp = rig.connect(place(SIMP, 2));
    assert!(rig.unsent(simp).contains("inquire") && !rig.unsent(im).contains("inquire"));
    rig.message();
    assert_eq!(rig.seen(), ["simp up: inquiries", "imtp up: messages"]);
}

// design 7: the operator's order; a dead place of one protocol is followed by the next protocol's
#[test]
fn the_places_of_all_protocols_are_tried_in_order() {
    let places = [place(IMTP, 1), place(IMTP, 2), place(SIMP, 3)];
    let mut rig = Rig::new(&places, &Family::ALL);
    rig.message();
    rig.fail(place(IMTP, 1));
    // TOC-10: neither connecting nor greeting takes for ever
    let mute = rig.connect(place(IMTP, 2));
    rig.pass(limits::GREETING);
    let conn = rig.connect(place(SIMP, 3));
    assert!(rig.unsent(conn).contains("hello"));
    assert_eq!(rig.failed(), []);
    // Too late.
    rig.io().link_ready(mute);
    assert_eq!(rig.seen(), ["simp up: messages"]);

    let mut rig = Rig::new(&places, &[Family::Simp, Family::Imtp]);
    rig.message();
    rig.fail(place(SIMP, 3));
    let shut = rig.connect(place(IMTP, 1));
    rig.io().link_closed(&Arc::from(B), shut);
    rig.fail(place(IMTP, 2));
    assert_eq!(rig.failed(), [Traffic::Messages]);
}

// A lane that has joined the other's attempt goes on by itself when that comes to nothing.
#[test]
fn what_waits_for_a_link_goes_over_to_the_next_one_that_serves_it() {
    let places = [place(SIMP, 1), place(PITP, 2)];
    let mut rig = Rig::new(&places, &[Family::Simp, Family::Imtp]);
    rig.message();
    rig.fetch();
    rig.fail(place(SIMP, 1));
    assert_eq!(rig.failed(), [Traffic::Messages]);
    // SIMP's place is not tried twice in vain.
    let presence = rig.connect(place(PITP, 2));
    assert_eq!(rig.seen(), ["pitp greeting: presence", " waiting: messages"]);
    rig.io().link_ready(presence);
    assert_eq!(rig.seen(), ["pitp up: presence", " waiting: messages"]);
    assert_eq!(rig.failed(), []);
}

fn target(service: Service, last: u8) -> Target {
    let port = service.protocol().port();
    let addresses = vec![[127, 0, 9, last].into()];
    Target { service, priority: 0, weight: 0, port, host: String::new(), addresses }
}

// design 7: whoever has a domain may write any address into its zone
#[test]
fn a_server_for_others_does_not_connect_to_its_own_machine_because_dns_says_so() {
    let refused = |rig: &mut Rig| {
        rig.message();
        let targets = vec![target(Service::Simp, 3)];
        rig.resolved(Ok(Published { targets, ..Published::default() }));
        rig.dials().is_empty()
    };
    assert!(!refused(&mut Rig::new(&[], &Family::ALL)));
    let mut rig = Rig::new(&[], &Family::ALL);
    let mut config = (*rig.io().config).clone();
    config.listen[2].address = "192.0.2.7:7443".parse().unwrap();
    rig.io().config = Arc::new(config.clone());
    assert!(refused(&mut rig));
    assert_eq!(rig.failed(), [Traffic::Messages]);
    // Whom the operator has set by hand he means.
    let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
    config.peers = rig.io().config.peers.clone();
    rig.io().config = Arc::new(config);
    rig.message();
    rig.dialled(place(SIMP, 1));
}

// OC-27, design 7: what users have said is for a server of the protocol only
#[test]
fn nothing_is_said_where_simp_is_not_spoken() {
    let header = "<?xml version=\"1.0\"?>\n<stream>\n";
    for (said, spoken) in [(header, true), ("220 mail.b.test ESMTP\r\n", false), ("", false)] {
        let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
        rig.message();
        let dial = rig.dialled(place(SIMP, 1));
        let conn = ConnId { slot: 7, generation: 1 };
        rig.node.handle(rig.now, Input::Connected { dial, conn });
        assert_eq!(rig.unsent(conn), header);
        rig.node.handle(rig.now, Input::Bytes { conn, data: said.as_bytes() });
        assert_eq!(rig.unsent(conn).contains("hello"), spoken, "{said}");
        rig.pass(limits::GREETING);
        assert_eq!(rig.seen() == ["simp up: messages"], spoken, "{said}");
        assert_eq!(rig.unsent(conn).contains("hello"), spoken, "{said}");
    }
}

// TOC-4: no answer is no reason to guess
#[test]
fn dns_is_asked_once_for_both_kinds() {
    let mut rig = Rig::new(&[], &Family::ALL);
    rig.message();
    rig.fetch();
    assert_eq!(rig.questions(), 1);
    let targets = vec![target(Service::ImServers, 1), target(Service::Simp, 3)];
    rig.resolved(Ok(Published { targets, ..Published::default() }));
    let dials = rig.dials();
    assert_eq!(dials.iter().map(|(_, place)| *place).collect::<Vec<_>>(), [place(IMTP, 1), place(SIMP, 3)]);
    // SIMP is there by the time that IMTP has failed.
    rig.next += 1;
    let conn = ConnId { slot: rig.next, generation: 1 };
    rig.io().connected(dials[1].0, conn);
    rig.io().link_ready(conn);
    rig.io().dial_failed(dials[0].0, "refused".to_owned());
    assert_eq!(rig.seen(), ["simp up: messages presence"]);
    assert!(rig.unsent(conn).contains("hello"));

    for error in [DnsError::Failed, DnsError::Nothing] {
        let mut rig = Rig::new(&[], &Family::ALL);
        rig.message();
        rig.resolved(Err(error));
        assert_eq!((rig.dials(), rig.failed()), (vec![], vec![Traffic::Messages]));
        // The next ones wait until it is time to try again.
        rig.outputs();
        rig.message();
        assert_eq!(rig.questions(), 0);
        rig.pass(PAUSE);
        assert_eq!(rig.questions(), 1);
    }
}

// TOC-6
#[test]
fn we_never_connect_to_ourselves() {
    let own = Place { address: ([127, 0, 0, 1], SIMP.port()).into(), ..place(SIMP, 1) };
    let mut rig = Rig::new(&[own], &Family::ALL);
    rig.message();
    assert_eq!((rig.dials(), rig.failed()), (vec![], vec![Traffic::Messages]));
    let trouble = rig.rows().into_iter().find_map(|row| row.trouble).unwrap();
    assert!(trouble.contains("this server itself"), "{trouble}");

    // Neighbours: another address with our port, and our address with another port.
    let port = Place { address: ([127, 0, 0, 1], 9999).into(), ..own };
    for other in [place(SIMP, 1), port] {
        let mut rig = Rig::new(&[own, other], &Family::ALL);
        rig.message();
        rig.dialled(other);
    }

    // On all addresses: nobody else can have our port on loopback.
    let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
    let mut config = (*rig.io().config).clone();
    config.listen[0].address = ([0, 0, 0, 0], SIMP.port()).into();
    rig.io().config = Arc::new(config);
    rig.message();
    assert_eq!((rig.dials(), rig.failed()), (vec![], vec![Traffic::Messages]));
}

// TOC-45: whoever was told that there is no answer is not served after all
#[test]
fn what_has_waited_too_long_is_not_sent() {
    let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
    rig.message();
    rig.now.tick = rig.now.tick + limits::ANSWER_REMOTE;
    rig.ask(Request::Message(text(b"later"))).unwrap();
    let conn = rig.connect(place(SIMP, 1));
    let said = rig.unsent(conn);
    assert!(said.contains("later") && !said.contains("hello"), "{said}");
}

// IMTP-16.2-1: what one protocol can say another may not
#[test]
fn what_a_link_cannot_say_is_refused_and_the_link_goes_on() {
    let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
    rig.message();
    let address = |text| Address::parse(text, &Domains::default()).unwrap();
    let octets = Request::Message(text(b"\xff"));
    let envelope = Envelope::ours(address("alice@a.test"), address("bob@b.test"), octets).into_owned();
    let peer = rig.io().links.peers.get_mut(B).unwrap();
    peer.lane_mut(Traffic::Messages).queue.push_front((Tick::at(0), TxId(99), envelope));
    let conn = rig.connect(place(SIMP, 1));
    assert!(rig.unsent(conn).contains("hello"));
    let events: Vec<_> = rig.io().events.drain(..).collect();
    assert!(
        matches!(&events[..], [Event::Unsaid(_, TxId(99), Refusal::Unsupported)]),
        "and nothing else: {events:?}"
    );
}

// OC-72, TOC-11, COMMON-7-8
#[test]
fn a_link_without_use_ends_in_order() {
    let mut rig = Rig::new(&[place(SIMP, 1), place(PITP, 2)], &[Family::Imtp, Family::Simp]);
    rig.fetch();
    let presence = rig.connect(place(PITP, 2));
    rig.io().link_ready(presence);
    rig.message();
    rig.connect(place(SIMP, 1));
    rig.pass(limits::LINK_IDLE);
    assert_eq!(rig.seen(), ["pitp up: presence"]);
    rig.pass(limits::LINK_IDLE_GREETED);
    assert_eq!(rig.seen(), Vec::<String>::new());
    assert_eq!(rig.failed(), []);
    let closes = |output: &&Output| matches!(output, Output::Close { flush: true, .. });
    assert_eq!(rig.outputs().iter().filter(closes).count(), 2);
}

#[test]
fn a_test_of_a_peer_tells_of_both_kinds() {
    let mut rig = Rig::new(&[place(IMTP, 1), place(PITP, 2)], &Family::ALL);
    let domain = Domain::parse(B).unwrap();
    rig.io().test_peer(ControlId(1), &domain);
    let dials = rig.dials();
    rig.io().dial_failed(dials[1].0, "refused".to_owned());
    let im = ConnId { slot: 1, generation: 1 };
    rig.io().connected(dials[0].0, im);
    assert!(!rig.outputs().iter().any(|output| matches!(output, Output::Control { .. })));
    rig.io().link_ready(im);
    let outputs = rig.outputs();
    let reply = outputs.iter().find_map(|output| match output {
        Output::Control { id: ControlId(1), reply: AdminReply::PeerTest { reached, steps } } => {
            Some((reached, steps.join("\n")))
        }
        _ => None,
    });
    let (reached, steps) = reply.unwrap();
    assert!(!reached);
    assert_eq!(
        steps,
        "connecting to 127.0.9.1:4687 by imtp\n\
         connecting to 127.0.9.2:7487 by pitp\n\
         127.0.9.2:7487 by pitp: refused\n\
         presence: no link: 127.0.9.2:7487 by pitp: refused\n\
         connected to 127.0.9.1:4687\n\
         127.0.9.1:4687 takes us for who we are\n\
         messages: a link to 127.0.9.1:4687 by imtp is up"
    );
}

#[test]
fn while_the_rules_cannot_be_read_nobody_is_talked_to() {
    let mut rig = Rig::new(&[place(Protocol::Imtp, 1)], &[Family::Imtp]);
    rig.io().rules_read(None);
    let request = || Request::Message(text(b"hello"));
    assert_eq!(rig.ask(request()), Err(Refusal::Communications));
    let reads = |rig: &mut Rig| {
        let is_read =
            |output: &Output| matches!(output, Output::Job { work: Job::Read(Read::PeerRules), .. });
        rig.outputs().iter().filter(|output| is_read(output)).count()
    };
    assert_eq!(reads(&mut rig), 0);
    rig.now.tick = rig.now.tick + RULES_AGAIN;
    rig.node.settle(rig.now);
    assert_eq!(reads(&mut rig), 1);
    let denied = Domain::parse("c.test").unwrap();
    rig.io().rules_read(Some(vec![(denied, PeerRule::Deny)]));
    assert!(rig.ask(request()).is_ok());
    let links = &rig.node.core.io.links;
    assert!(!links.admits("c.test", &rig.node.core.io.config.federation));
}

#[test]
fn domains_that_are_out_of_reach_make_room_for_others() {
    // design 7: a peer that is dead costs the others nothing.
    let mut rig = Rig::new(&[place(Protocol::Simp, 1)], &[Family::Simp]);
    let address = |text: &str| Address::parse(text, &Domains::default()).unwrap();
    rig.message();
    rig.connect(place(Protocol::Simp, 1));
    rig.now.tick = rig.now.tick + SWEEP;
    let now = rig.now;
    for n in 1..DOMAINS {
        rig.io().links.get(now, &format!("d{n}.test")).unwrap();
    }
    let domain: Arc<str> = Arc::from("one-more.test");
    let request = Request::Message(text(b"hello"));
    let envelope = Envelope::ours(address("alice@a.test"), address("bob@one-more.test"), request);
    assert_eq!(rig.io().forward_to(&domain, TxId(9), &envelope), Ok(()));
    assert_eq!(rig.io().links.peers.len(), 2, "the one that is linked, and the new one");
}

#[test]
fn dns_is_asked_in_the_name_of_each_who_waits() {
    // design 7: who asks so much that his turn comes late keeps nobody else waiting
    let mut rig = Rig::new(&[], &[Family::Simp]);
    let say = |rig: &mut Rig, from: &str| rig.ask_as(from, Request::Message(text(b"hello"))).unwrap();
    say(&mut rig, "mallory@a.test");
    say(&mut rig, "mallory@a.test");
    assert_eq!(rig.questions(), 1);
    say(&mut rig, "alice@a.test");
    assert_eq!(rig.questions(), 1);
    rig.resolved(Err(DnsError::Failed));
    assert_eq!(rig.failed(), [], "there is another question");
    rig.resolved(Err(DnsError::Failed));
    assert_eq!(rig.failed(), [Traffic::Messages]);
    // Both wait for the next try, and ask again when it comes; no more than a few do.
    say(&mut rig, "mallory@a.test");
    say(&mut rig, "alice@a.test");
    rig.pass(PAUSE);
    assert_eq!(rig.questions(), 2);
    for n in 0..9 {
        say(&mut rig, &format!("u{n}@a.test"));
    }
    assert_eq!(rig.questions(), ASKERS - 2);
    let addresses = vec![[127, 0, 9, 7].into()];
    rig.resolved(Ok(Published { addresses, ..Published::default() }));
    rig.dialled(place(SIMP, 7));
    rig.resolved(Err(DnsError::Failed));
    assert_eq!((rig.failed(), rig.seen()), (vec![], vec!["simp connecting: messages".to_owned()]));
}

#[test]
fn a_domain_that_nobody_serves_takes_a_few_hundred_octets() {
    // design 9: a user may name ever new ones
    let mut rig = Rig::new(&[], &[Family::Simp]);
    rig.message();
    rig.resolved(Err(DnsError::Nothing));
    assert_eq!(rig.failed(), [Traffic::Messages]);
    let peer = &rig.io().links.peers[B];
    let lanes: usize = peer.lanes().map(|lane| size_of::<Lane>() + lane.queue.capacity() * 280).sum();
    assert_eq!((peer.links().count(), peer.askers.capacity()), (0, 0));
    assert!(size_of::<Peer>() + lanes <= 400, "{} + {lanes}", size_of::<Peer>());
}

// design 7, 9: whoever makes up names of domains that are served keeps nobody out
#[test]
fn links_without_use_make_room_and_where_strangers_are_more_they_do() {
    let mut rig = Rig::new(&[place(SIMP, 1)], &Family::ALL);
    rig.message();
    let conn = rig.connect(place(SIMP, 1));
    // What is on its way is waited for.
    assert_eq!(rig.io().give_up_idle_links(1, |_, traffic| usize::from(traffic == Traffic::Messages)), 0);
    rig.outputs();
    let closed = |rig: &mut Rig| -> Vec<ConnId> {
        rig.node.handle(rig.now, Input::Crowded { count: 1 });
        let of = |output| match output {
            Output::Close { conn, .. } => Some(conn),
            _ => None,
        };
        rig.outputs().into_iter().filter_map(of).collect()
    };
    let strangers = [5, 6].map(|slot| ConnId { slot, generation: 9 });
    for stranger in strangers {
        let (peer, local) = (([127, 0, 0, 9], 4000).into(), place(SIMP, 2).address);
        rig.node.handle(rig.now, Input::Accepted { conn: stranger, listener: 0, peer, local });
    }
    assert_eq!(closed(&mut rig), strangers[..1]);
    assert_eq!(closed(&mut rig), strangers[1..]);
    assert_eq!(closed(&mut rig), [conn]);
    assert_eq!((closed(&mut rig), rig.failed()), (vec![], vec![]));
    // Whoever has something to say connects again.
    rig.message();
    let again = rig.connect(place(SIMP, 1));
    assert!(rig.unsent(again).contains("hello"));
}
