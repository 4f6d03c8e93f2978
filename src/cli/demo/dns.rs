//! A small DNS server of the demonstration's own: answers from a fixed list, over UDP on loopback.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// Seconds that an answer may be kept.
const TTL: u32 = 60;
/// Largest question that is read, octets.
const QUESTION: usize = 4096;

/// What the server knows: owners and their data.
#[derive(Debug, Default)]
pub(super) struct Zone(Vec<(Name, RData)>);

impl Zone {
    /// Adds an address of a host.
    pub(super) fn address(&mut self, host: &str, ip: Ipv4Addr) {
        self.0.push((name(host), RData::A(A(ip))));
    }

    /// Adds a place where a service is offered.
    pub(super) fn service(&mut self, owner: &str, port: u16, host: &str) {
        self.0.push((name(owner), RData::SRV(SRV::new(0, 5, port, name(host)))));
    }

    /// The answer to a question, or nothing if it is none.
    fn answer(&self, question: &[u8]) -> Option<Vec<u8>> {
        let asked = Message::from_vec(question).ok()?;
        let query = asked.queries.first().filter(|_| asked.metadata.message_type == MessageType::Query)?;
        let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
        reply.metadata.authoritative = true;
        reply.metadata.recursion_desired = asked.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.add_query(query.clone());
        let mut known = false;
        for (owner, data) in self.0.iter().filter(|(owner, _)| *owner == query.name) {
            known = true;
            if query.query_type == data.record_type() || query.query_type == RecordType::ANY {
                reply.add_answer(Record::from_rdata(owner.clone(), TTL, data.clone()));
            }
        }
        if !known {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        reply.to_vec().ok()
    }
}

/// Names of the demonstration are constants, and right.
fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap_or_else(|_| Name::root());
    name.set_fqdn(true);
    name
}

/// The server; ends when dropped.
#[derive(Debug)]
pub(super) struct Dns {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    /// Starts it on a free port of loopback.
    ///
    /// # Errors
    /// The operating system's.
    pub(super) fn start(zone: Zone) -> io::Result<Dns> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        let ending = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ending);
        let thread =
            std::thread::Builder::new().name("demo-dns".into()).spawn(move || serve(&socket, &zone, &end))?;
        Ok(Dns { address, ending, thread: Some(thread) })
    }

    /// Where it answers.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn serve(socket: &UdpSocket, zone: &Zone, end: &AtomicBool) {
    let mut buffer = [0; QUESTION];
    while !end.load(Ordering::Acquire) {
        // An error here is about an earlier answer that found nobody (ICMP): the next question may be good.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(answer) = buffer.get(..length).and_then(|question| zone.answer(question)) {
            // Whoever gets no answer asks again.
            let _ = socket.send_to(&answer, from);
        }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.ending.store(true, Ordering::Release);
        // Wakes the thread, which then sees that it is to end.
        let woken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|s| s.send_to(&[], self.address));
        if woken.is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use hickory_proto::op::Query;

    use super::*;

    fn ask(dns: &Dns, owner: &str, kind: RecordType) -> Message {
        let mut question = Message::query();
        question.metadata.id = 7;
        question.add_query(Query::query(name(owner), kind));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.send_to(&question.to_vec().unwrap(), dns.address()).unwrap();
        let mut buffer = [0; QUESTION];
        let length = socket.recv(&mut buffer).unwrap();
        Message::from_vec(&buffer[..length]).unwrap()
    }

    #[test]
    fn it_answers_what_it_knows_and_denies_the_rest() {
        let mut zone = Zone::default();
        zone.address("im.a.test", Ipv4Addr::new(127, 0, 0, 2));
        zone.service("_simp._tcp.a.test", 7467, "im.a.test");
        let dns = Dns::start(zone).unwrap();

        let service = ask(&dns, "_simp._tcp.A.test", RecordType::SRV);
        let RData::SRV(srv) = &service.answers[0].data else { unreachable!() };
        assert_eq!((srv.port, srv.target.to_string()), (7467, "im.a.test.".to_owned()));
        assert_eq!(service.metadata.id, 7);

        let address = ask(&dns, "im.a.test", RecordType::A);
        assert_eq!(address.answers[0].data, RData::A(A(Ipv4Addr::new(127, 0, 0, 2))));
        let other = ask(&dns, "im.a.test", RecordType::AAAA);
        assert_eq!((other.answers.len(), other.metadata.response_code), (0, ResponseCode::NoError));
        let unknown = ask(&dns, "b.test", RecordType::A);
        assert_eq!(unknown.metadata.response_code, ResponseCode::NXDomain);
    }
}
