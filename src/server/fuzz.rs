//! Entry points for fuzzing what DNS answers come to, and what strangers send in TLS.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hickory_resolver::proto::op::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::sign::CertifiedKey;

use super::dns::Gathered;
use super::keys::{self, Keys};
use super::tls::{Event, Outgoing, Session};
use crate::clock::Now;
use crate::config::ListenProtocol;
use crate::credential::channel;
use crate::federation::route::{self, Dead};
use crate::federation::{Family, Protocol, Service, Traffic};
use crate::fuzz::script;
use crate::hub::address::Domain;

/// The answers to the queries about one domain, as a script of messages, the letter saying for which service, or
/// for which host's addresses: the places that come of them are few, and each is one of the addresses that were given.
pub fn dns(data: &[u8]) {
    let Ok(domain) = Domain::parse("c.test") else { return };
    let mut gathered = Gathered::of(&domain);
    let mut hosts = vec![domain.to_string()];
    for (op, message) in script(data).take(10) {
        let Ok(message) = Message::from_vec(message) else { continue };
        let found: Vec<_> = message.answers.into_iter().map(|record| record.data).collect();
        if op >= 128 {
            if let Some(host) = hosts.get(usize::from(op) % hosts.len().max(1)) {
                gathered.addresses(host.clone(), &found);
            }
        } else if let Some(service) = Service::ALL.get(usize::from(op) % Service::ALL.len()) {
            hosts.extend(gathered.service(*service, &found));
        }
    }
    let Ok(published) = gathered.publish(&domain, false) else { return };
    let mut random = ChaCha8Rng::from_seed([1; 32]);
    for traffic in Traffic::ALL {
        let dead = Dead::default();
        let places = route::published(Now::default(), &published, &Family::ALL, traffic, &dead, &mut random);
        assert!(places.len() <= 64, "{} places", places.len());
        for place in places {
            assert!(route::publishes(&published, place.address.ip()), "{place:?} was not published");
            assert!(place.protocol.carries(traffic));
        }
    }
}

/// Both ends of the connections here: they trust each other, and nobody else.
fn keys() -> Option<&'static Keys> {
    static KEYS: OnceLock<Option<Keys>> = OnceLock::new();
    KEYS.get_or_init(|| {
        let key = KeyPair::generate().ok()?;
        let certificate = CertificateParams::new(["c.test".to_owned()]).ok()?.self_signed(&key).ok()?;
        let signing = any_supported_type(&PrivateKeyDer::Pkcs8(key.serialize_der().into())).ok()?;
        let own = CertifiedKey::new(vec![certificate.der().clone()], signing);
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).ok()?;
        Keys::with(roots, Some(Arc::new(own))).ok()
    })
    .as_ref()
}

/// A certificate that somebody shows: it gives a few names, each of which is one, and what it binds to is a hash; without
/// an authority's word it speaks for nobody.
pub fn certificate(data: &[u8]) {
    let Some(keys) = keys() else { return };
    let shown = CertificateDer::from(data);
    let names = keys::dns_names(&shown);
    assert!(names.len() <= keys::NAMES, "{} names", names.len());
    for name in names {
        assert!(!name.contains('*') && !name.contains(|c: char| c.is_ascii_uppercase()), "{name:?}");
    }
    let bound = channel::end_point(data);
    assert!(bound.is_none_or(|hash| matches!(hash.len(), 32 | 48 | 64)));
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    assert!(keys.trust.names(&[shown.clone(), shown], now).is_empty(), "nobody stands behind it");
}

/// Of a record, with its header and all that TLS may add to it.
const RECORD: usize = 16 * 1024 + 5 + 256;

/// One end of a connection on TLS.
struct Side {
    session: Session,
    /// What the other end has written and this one has not read.
    coming: VecDeque<u8>,
    /// What it has read, in clear.
    heard: Vec<u8>,
    /// What the other end has said, in clear.
    said: Vec<u8>,
    /// Its handshake is done.
    secured: bool,
    /// It has failed, and is not asked any more.
    failed: bool,
    /// Something was changed on the way to it.
    deceived: bool,
}

impl Side {
    fn new(session: Session) -> Side {
        Side {
            session,
            coming: VecDeque::new(),
            heard: Vec::new(),
            said: Vec::new(),
            secured: false,
            failed: false,
            deceived: false,
        }
    }

    /// Reads these octets; what it writes goes to the other end.
    fn read(&mut self, mut octets: Vec<u8>, other: &mut Side) {
        let Some(keys) = keys().filter(|_| !self.failed) else { return };
        let (mut out, count) = (Outgoing::default(), octets.len());
        let (secured, heard) = (&mut self.secured, &mut self.heard);
        let result = self.session.receive(&mut octets, &mut out, &keys.trust, &mut |event| match event {
            Event::Secured(_) => assert!(!std::mem::replace(secured, true), "secured once"),
            Event::Data(data) => {
                assert!(*secured, "nothing is heard before");
                heard.extend_from_slice(data);
            }
            Event::HalfClosed => {}
        });
        self.failed = result.is_err();
        let held = self.session.held();
        assert!(self.failed || held <= RECORD, "{held} octets are kept");
        assert!(out.filled().len() <= RECORD + count, "{} are written", out.filled().len());
        other.coming.extend(out.filled());
        assert!(self.said.starts_with(&self.heard), "what is heard was said");
        let reason = self.deceived || other.deceived || other.failed;
        assert!(!self.failed || reason, "it fails without reason");
    }

    /// The first so many octets that come, all if there are none; the first of them changed by this much.
    fn deliver(&mut self, count: usize, change: u8, other: &mut Side) {
        let count = if count == 0 { self.coming.len() } else { count.min(self.coming.len()) };
        let mut octets: Vec<u8> = self.coming.drain(..count).collect();
        if let Some(first) = octets.first_mut() {
            *first ^= change;
            self.deceived |= change != 0;
        }
        self.read(octets, other);
    }

    /// Writes this, if it may.
    fn write(&mut self, clear: &[u8], other: &mut Side) {
        if !self.secured || self.failed {
            return;
        }
        let mut out = Outgoing::default();
        let Ok(count) = self.session.cipher(clear, &mut out) else { return };
        other.said.extend_from_slice(clear.get(..count).unwrap_or_default());
        other.coming.extend(out.filled());
    }

    /// Says that no more comes.
    fn close(&mut self, other: &mut Side) {
        let mut out = Outgoing::default();
        if !self.failed && self.session.close(&mut out).is_ok() {
            other.coming.extend(out.filled());
        }
    }
}

/// A server and a client of ours on TLS, and a script of what happens between them: octets arrive whole, in pieces,
/// changed, or from somebody else. Neither panics or keeps much; what is heard was said, and only after the handshake;
/// and nobody fails to whom nothing was done.
pub fn session(data: &[u8]) {
    let _ends = play(data);
}

/// The server and the client after such a script.
fn play(data: &[u8]) -> Option<(Side, Side)> {
    let keys = keys()?;
    let domain = Domain::parse("c.test").ok()?;
    let server = keys.server.as_ref()?.accept(ListenProtocol::Tls).ok()?;
    let client = Session::connect(keys.client.clone(), &domain, Protocol::Simp).ok()?;
    let (mut server, mut client) = (Side::new(server), Side::new(client));
    client.read(Vec::new(), &mut server);
    for (op, with) in script(data).take(64) {
        let (at, from) = if op & 1 == 0 { (&mut server, &mut client) } else { (&mut client, &mut server) };
        let of = |index: usize| with.get(index).copied().unwrap_or_default();
        match op >> 1 & 3 {
            0 => at.deliver(usize::from(of(0)), 0, from),
            1 => at.deliver(usize::from(of(0)), of(1), from),
            2 => at.write(with, from),
            _ if with.is_empty() => at.close(from),
            _ => {
                at.deceived = true;
                at.read(with.to_vec(), from);
            }
        }
    }
    Some((server, client))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What the fuzzer begins with gets to the end of a handshake, and beyond.
    #[test]
    fn two_ends_understand_each_other_over_the_scripts_of_the_corpus() {
        let script =
            b"\0\xff\x01\xff\0\xff\x01\xff\x04hello\xff\x01\xff\x05hi\xff\0\xff\x06\xff\x01\xff\x07\xff\0";
        let (server, client) = play(script).unwrap();
        assert!(server.secured && client.secured && !server.failed && !client.failed);
        assert_eq!((&*server.heard, &*client.heard), (&b"hi"[..], &b"hello"[..]));
        assert!(client.session.has_ended(), "the server's last word");
        let (server, client) = play(b"\x02\x40\x01\xff\0\xff\x01").unwrap();
        assert!(server.failed && !server.secured && client.failed);
    }
}
