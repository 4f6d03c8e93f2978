//! The resolver against a DNS server of the test's own.
use super::*;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::federation::{DnsError, Published, Service};
use crate::node::io::Asker as By;
use crate::server::answers::Inbox;
use crate::server::dns::Dns;

/// Answers like the zone: a name and what it has; `None` gives no answer at all.
type Zone = fn(&str, RecordType) -> Option<Vec<RData>>;

struct Server {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
    done: Arc<AtomicBool>,
}

impl Server {
    fn start(zone: Zone) -> Server {
        // The same port for both: a TCP port may be taken where the UDP port is free.
        let (socket, listener) = loop {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
                break (socket, listener);
            }
        };
        let address = socket.local_addr().unwrap();
        let (queries, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, over) = (queries.clone(), done.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((size, from)) = socket.recv_from(&mut buffer) {
                if over.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(query) = Message::from_vec(&buffer[..size]) else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&query, zone) {
                    let mut octets = answer.to_vec().unwrap();
                    if octets.len() > 1200 {
                        octets = answer.truncate().to_vec().unwrap();
                    }
                    let _ = socket.send_to(&octets, from);
                }
            }
        });
        std::thread::spawn(move || {
            // What is too long for a datagram is asked for again here.
            while let Ok((mut stream, _)) = listener.accept() {
                let mut length = [0; 2];
                let mut octets = Vec::new();
                if stream.read_exact(&mut length).is_err() {
                    return;
                }
                octets.resize(u16::from_be_bytes(length).into(), 0);
                stream.read_exact(&mut octets).unwrap();
                let answer = answer(&Message::from_vec(&octets).unwrap(), zone).unwrap().to_vec().unwrap();
                stream.write_all(&(answer.len() as u16).to_be_bytes()).unwrap();
                stream.write_all(&answer).unwrap();
            }
        });
        Server { address, queries, done }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.done.store(true, Ordering::SeqCst);
        let _ = UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", self.address);
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(query: &Message, zone: Zone) -> Option<Message> {
    let question = query.queries[0].clone();
    let name = question.name().to_ascii().to_lowercase();
    let records = zone(name.trim_end_matches('.'), question.query_type())?;
    let mut answer = Message::response(query.metadata.id, query.metadata.op_code);
    answer.metadata.recursion_available = true;
    if records.is_empty() && name.trim_end_matches('.').ends_with("terse.test") {
        answer.metadata.response_code = ResponseCode::Refused;
    } else if records.is_empty() {
        // Negative answers are kept by the zone's SOA.
        answer.metadata.response_code = ResponseCode::NXDomain;
        let root = Name::from_ascii("test.").unwrap();
        let soa = SOA::new(root.clone(), root.clone(), 1, 60, 60, 60, 60);
        answer.add_authority(Record::from_rdata(root, 60, RData::SOA(soa)));
    }
    for data in records {
        answer.add_answer(Record::from_rdata(question.name().clone(), 300, data));
    }
    answer.add_query(question);
    Some(answer)
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(priority, weight, port, Name::from_ascii(target).unwrap()))
}

fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(127, 0, 1, last)))
}

/// The resolver, with answers coming to the test.
struct Asker {
    poll: Poll,
    inbox: Inbox,
    dns: Dns,
}

impl Asker {
    fn new(server: &Server) -> Asker {
        let poll = Poll::new().unwrap();
        let (answers, inbox) = Answers::new(poll.registry(), Source::Inbox.token()).unwrap();
        Asker { dns: Dns::start(&[server.address], answers).unwrap(), poll, inbox }
    }

    fn ask(&self, job: u64, domain: &str) {
        self.ask_as(job, domain, By::Operator);
    }

    fn ask_as(&self, job: u64, domain: &str, by: By) {
        self.dns.ask(JobId(job), Domain::parse(domain).unwrap(), by);
    }

    fn answer(&mut self) -> (u64, JobResult) {
        let mut events = mio::Events::with_capacity(8);
        loop {
            if let Some(Answer::Done(job, result)) = self.inbox.take() {
                return (job.0, result);
            }
            self.poll.poll(&mut events, Some(PATIENCE)).unwrap();
            assert!(!events.is_empty(), "no answer");
            self.inbox.heard();
        }
    }

    fn look_up(&mut self, domain: &str) -> Result<Published, DnsError> {
        self.ask(1, domain);
        match self.answer() {
            (1, JobResult::Resolved(result)) => result,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn srv_records_come_with_priorities_and_addresses() {
    // RFC 2782; design 7.
    let server = Server::start(|name, kind| {
        Some(match (name, kind) {
            ("_simps._tcp.b.test", RecordType::SRV) => {
                vec![srv(20, 5, 7443, "two.b.test."), srv(10, 7, 7443, "One.b.test.")]
            }
            ("_simp._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 7467, "one.b.test.")],
            ("one.b.test", RecordType::A) => vec![a(1), a(2)],
            ("one.b.test", RecordType::AAAA) => vec![RData::AAAA(AAAA("::1".parse().unwrap()))],
            ("two.b.test", RecordType::A) => vec![a(3)],
            ("b.test", RecordType::A) => vec![a(9)],
            _ => vec![],
        })
    });
    let found = Asker::new(&server).look_up("b.test").unwrap();
    let one: Vec<IpAddr> = ["127.0.1.1", "127.0.1.2", "::1"].iter().map(|t| t.parse().unwrap()).collect();
    let mut targets: Vec<_> = found
        .targets
        .iter()
        .map(|t| (t.service, t.priority, t.weight, t.port, t.host.as_str(), t.addresses.clone()))
        .collect();
    assert!(targets[..2].iter().all(|t| t.0 == Service::Simps));
    targets.sort_by_key(|t| (t.0 == Service::Simp, t.1));
    let two = vec!["127.0.1.3".parse().unwrap()];
    assert_eq!(targets[0], (Service::Simps, 10, 7, 7443, "one.b.test", one.clone()));
    assert_eq!(targets[1], (Service::Simps, 20, 5, 7443, "two.b.test", two));
    assert_eq!(targets[2], (Service::Simp, 0, 0, 7467, "one.b.test", one));
    assert_eq!(found.addresses, ["127.0.1.9".parse::<IpAddr>().unwrap()]);
}

#[test]
fn what_is_not_there_is_nothing_and_asked_once() {
    let server = Server::start(|_, _| Some(vec![]));
    let mut asker = Asker::new(&server);
    assert_eq!(asker.look_up("nobody.test"), Err(DnsError::Nothing));
    let asked = server.queries.load(Ordering::SeqCst);
    assert_eq!(asker.look_up("nobody.test"), Err(DnsError::Nothing));
    assert_eq!(server.queries.load(Ordering::SeqCst), asked, "negative answers are kept");
    // Digits and dots are not asked for at all.
    assert_eq!(asker.look_up("127.0.0.1"), Err(DnsError::Nothing));
    assert_eq!(server.queries.load(Ordering::SeqCst), asked);
}

#[test]
fn every_service_is_asked_for() {
    // design 7; COMMON-6.3-1, IMTP-6.3-1, PITP-6.3-1
    let server = Server::start(|name, kind| {
        Some(match (name, kind) {
            ("_ims-servers._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 1, "im.b.test.")],
            ("_im-servers._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 2, "im.b.test.")],
            ("_presences-servers._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 3, "im.b.test.")],
            ("_presence-servers._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 4, "im.b.test.")],
            ("_simps._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 5, "im.b.test.")],
            ("_simp._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 6, "im.b.test.")],
            ("im.b.test", RecordType::A) => vec![a(1)],
            _ => vec![],
        })
    });
    let found = Asker::new(&server).look_up("b.test").unwrap();
    let services: Vec<_> = found.targets.iter().map(|t| (t.service, t.port, t.addresses.len())).collect();
    let all: Vec<_> = Service::PEERS.into_iter().zip(1..).map(|(service, port)| (service, port, 1)).collect();
    assert_eq!(services, all);
}

#[test]
fn a_service_that_is_not_offered_is_left_out() {
    // RFC 2782: a target of "." says so.
    let server = Server::start(|name, kind| {
        Some(match (name, kind) {
            ("_simp._tcp.b.test", RecordType::SRV) => vec![srv(0, 0, 0, ".")],
            ("b.test", RecordType::A) => vec![a(9)],
            _ => vec![],
        })
    });
    let found = Asker::new(&server).look_up("b.test").unwrap();
    assert!(found.targets.is_empty());
    assert_eq!(found.declined, [Service::Simp]);
    assert_eq!(found.addresses.len(), 1);
}

#[test]
fn a_server_that_refuses_what_it_does_not_know_still_gives_what_it_does() {
    // dnsmasq without an upstream is such a one.
    let server = Server::start(|name, kind| {
        Some(match (name, kind) {
            ("_simp._tcp.terse.test", RecordType::SRV) => vec![srv(0, 0, 7467, "im.terse.test.")],
            ("im.terse.test", RecordType::A) => vec![a(9)],
            _ => vec![],
        })
    });
    let mut asker = Asker::new(&server);
    let found = asker.look_up("terse.test").unwrap();
    assert_eq!(found.targets.len(), 1);
    assert_eq!(found.targets[0].addresses.len(), 1);
    // Where nothing but refusals comes, nothing is known: that is no proof that there is nothing.
    assert_eq!(asker.look_up("more.terse.test"), Err(DnsError::Failed));
}

#[test]
fn a_silent_server_costs_its_own_domain_only() {
    let server = Server::start(|name, kind| match (name, kind) {
        (name, _) if name.ends_with("slow.test") => None,
        ("b.test", RecordType::A) => Some(vec![a(9)]),
        _ => Some(vec![]),
    });
    let mut asker = Asker::new(&server);
    asker.ask(10, "slow.test");
    asker.ask(11, "slow.test");
    asker.ask(12, "b.test");
    assert!(matches!(asker.answer(), (12, JobResult::Resolved(Ok(_)))));
    for number in [10, 11] {
        match asker.answer() {
            (job, JobResult::Resolved(Err(DnsError::Failed))) => assert_eq!(job, number),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nobody_waits_for_those_who_name_silent_domains() {
    // design 7: a peer that is slow costs the other peers and local users nothing
    let server = Server::start(|name, kind| match (name, kind) {
        (name, _) if name.ends_with("slow.test") => None,
        ("b.test" | "c.test" | "d.test", RecordType::A) => Some(vec![a(9)]),
        _ => Some(vec![]),
    });
    let mut asker = Asker::new(&server);
    let user = |name: &str| {
        By::User(crate::hub::address::Address::parse(name, &crate::hub::address::Domains::default()).unwrap())
    };
    let (mallory, alice) = (user("mallory@a.test"), user("alice@a.test"));
    for n in 0..100 {
        asker.ask_as(n, &format!("d{n}.slow.test"), mallory.clone());
    }
    // Nor is anybody kept from a domain by naming it after those.
    asker.ask_as(200, "b.test", mallory.clone());
    asker.ask_as(201, "b.test", alice.clone());
    for job in [200, 201] {
        let (done, result) = asker.answer();
        assert!(done == job && matches!(result, JobResult::Resolved(Ok(_))), "{done}: {result:?}");
    }
    for n in 0..100 {
        let stranger = By::Stranger(Ipv4Addr::new(10, 0, 0, n).into());
        asker.ask_as(300 + u64::from(n), &format!("s{n}.slow.test"), stranger);
    }
    asker.ask_as(400, "c.test", alice.clone());
    assert!(matches!(asker.answer(), (400, JobResult::Resolved(Ok(_)))));
    // More than a share of what may wait is turned away at once.
    for n in 100..200 {
        asker.ask_as(n, &format!("d{n}.slow.test"), mallory.clone());
    }
    asker.ask_as(500, "d.test", alice);
    let overloaded = std::iter::from_fn(|| match asker.answer() {
        (500, JobResult::Resolved(Ok(_))) => None,
        (_, JobResult::Overloaded) => Some(()),
        other => panic!("{other:?}"),
    });
    assert_eq!(overloaded.count(), 200 + 1 - 128);
}

#[test]
fn loops_and_floods_of_records_end() {
    let server = Server::start(|name, kind| {
        Some(match (name, kind) {
            ("_simp._tcp.flood.test", RecordType::SRV) => {
                (0..60).map(|n| srv(0, 0, n, &format!("h{n}.test."))).collect()
            }
            ("flood.test", RecordType::A) => (0..60).map(a).collect(),
            ("one.test" | "_simp._tcp.one.test" | "_simps._tcp.one.test", _) => {
                vec![RData::CNAME(CNAME(Name::from_ascii("two.test.").unwrap()))]
            }
            ("two.test", _) => vec![RData::CNAME(CNAME(Name::from_ascii("one.test.").unwrap()))],
            ("self.test", _) => vec![RData::CNAME(CNAME(Name::from_ascii("self.test.").unwrap()))],
            _ => vec![],
        })
    });
    let mut asker = Asker::new(&server);
    assert!(asker.look_up("one.test").is_err());
    assert!(asker.look_up("self.test").is_err());
    let found = asker.look_up("flood.test").unwrap();
    assert_eq!(found.targets.len(), 32);
    assert_eq!(found.addresses.len(), 16);
}

#[test]
fn aliases_are_followed() {
    let server = Server::start(|name, kind| {
        Some(match (name, kind) {
            ("b.test", _) => vec![RData::CNAME(CNAME(Name::from_ascii("c.test.").unwrap()))],
            ("c.test", RecordType::A) => vec![a(4)],
            _ => vec![],
        })
    });
    let found = Asker::new(&server).look_up("b.test").unwrap();
    assert_eq!(found.addresses, ["127.0.1.4".parse::<IpAddr>().unwrap()]);
}
