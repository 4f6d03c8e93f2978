//! A name server on loopback that knows of hosts where nobody listens, and of nothing else.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{RData, Record, RecordType};

/// Seconds that an answer may be kept.
const TTL: u32 = 5;
/// What the names of hosts begin with that are there.
pub const DEAD: &str = "dead";

/// Where it answers; its thread ends with the process.
pub struct Names(SocketAddr);

impl Names {
    /// Starts it.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start() -> io::Result<Names> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                // An error here is about an earlier answer that found nobody.
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                if let Some(reply) = reply(&buffer[..length]) {
                    let _ = socket.send_to(&reply, from);
                }
            }
        });
        Ok(Names(address))
    }

    /// Where it answers.
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}

fn reply(question: &[u8]) -> Option<Vec<u8>> {
    let asked = Message::from_vec(question).ok()?;
    let query = asked.queries.first().filter(|_| asked.metadata.message_type == MessageType::Query)?;
    let mut reply = Message::response(asked.metadata.id, asked.metadata.op_code);
    reply.metadata.authoritative = true;
    reply.metadata.recursion_desired = asked.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_query(query.clone());
    let name = query.name.to_ascii();
    match name.strip_prefix(DEAD).and_then(|rest| rest.split('.').next()?.parse::<u32>().ok()) {
        Some(number) if query.query_type == RecordType::A => {
            let [_, _, high, low] = number.to_be_bytes();
            let nobody = Ipv4Addr::new(127, 93, high, low);
            reply.add_answer(Record::from_rdata(query.name.clone(), TTL, RData::A(A(nobody))));
        }
        Some(_) => {}
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    reply.to_vec().ok()
}
