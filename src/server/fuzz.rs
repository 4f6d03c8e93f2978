//! Entry point for fuzzing what DNS answers come to.

use hickory_resolver::proto::op::Message;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::dns::Gathered;
use crate::clock::Now;
use crate::federation::route::{self, Dead};
use crate::federation::{Family, Service, Traffic};
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
