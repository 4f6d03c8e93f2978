//! A DNS server for tests: a fixed list of records, over UDP on loopback.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, SRV};
use hickory_proto::rr::{Name, RData, Record};

/// One that has an address, and is yet to know anything.
pub struct Later(UdpSocket);

/// Its address must be known to those who print the records that it is to hold.
pub fn later() -> Later {
    Later(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap())
}

impl Later {
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    /// Answers for as long as the test lives, from lines as `hearth init` prints them.
    pub fn publish(self, zone: &str) {
        let records: Vec<Record> = zone.lines().filter_map(record).collect();
        std::thread::spawn(move || serve(&self.0, &records));
    }
}

fn serve(socket: &UdpSocket, records: &[Record]) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let asked = Message::from_vec(&buffer[..length]).unwrap();
        let query = asked.queries[0].clone();
        let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
        let known: Vec<&Record> = records.iter().filter(|record| record.name == query.name).collect();
        if known.is_empty() {
            reply.metadata.response_code = ResponseCode::NXDomain;
        }
        for record in known.into_iter().filter(|record| record.record_type() == query.query_type) {
            reply.add_answer(record.clone());
        }
        reply.add_query(query);
        let _ = socket.send_to(&reply.to_vec().unwrap(), from);
    }
}

fn name(text: &str) -> Name {
    Name::from_ascii(text).unwrap()
}

/// `owner TTL IN TYPE data`; comments are none.
fn record(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let data = match words.as_slice() {
        [_, _, "IN", "A", ip] => RData::A(A(ip.parse().unwrap())),
        [_, _, "IN", "SRV", priority, weight, port, host] => RData::SRV(SRV::new(
            priority.parse().unwrap(),
            weight.parse().unwrap(),
            port.parse().unwrap(),
            name(host),
        )),
        _ => return None,
    };
    Some(Record::from_rdata(name(words[0]), words[1].parse().unwrap(), data))
}
