//! Where to try to reach a domain, in order: what the configuration says, else what its DNS publishes
//! (RFC 2782 for priority and weight), else its own addresses on the default ports.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use rand_core::Rng;

use super::{Family, Place, Published, Service, StaticPeer, Target, Traffic};
use crate::clock::{Now, Tick};
use crate::config::Config;
use crate::hub::address::Domain;

/// A place that did not answer is tried last for this long.
const DEAD: std::time::Duration = std::time::Duration::from_secs(300);
/// Dead places remembered at most.
const DEAD_PLACES: usize = 1000;
/// Places tried for one domain at most.
const PLACES: usize = 16;

/// Places that did not answer lately.
#[derive(Debug, Default)]
pub struct Dead(HashMap<SocketAddr, Tick>);

impl Dead {
    /// How many are remembered.
    pub fn size(&self) -> usize {
        self.0.len()
    }

    /// It did not answer.
    pub fn insert(&mut self, now: Now, address: SocketAddr) {
        if self.0.len() >= DEAD_PLACES {
            self.0.retain(|_, until| *until > now.tick);
        }
        if self.0.len() < DEAD_PLACES {
            self.0.insert(address, now.tick + DEAD);
        }
    }

    /// It answered.
    pub fn remove(&mut self, address: SocketAddr) {
        self.0.remove(&address);
    }

    fn contains(&self, now: Now, address: SocketAddr) -> bool {
        self.0.get(&address).is_some_and(|until| *until > now.tick)
    }
}

/// The places set by hand for a domain that are good for this traffic, in the order to try them; they
/// go ahead of DNS. A family that `order` does not list comes last: the operator has named it all the
/// same.
pub fn by_hand(peers: &[StaticPeer], domain: &str, order: &[Family], traffic: Traffic) -> Vec<Place> {
    let mut places: Vec<Place> = peers
        .iter()
        .filter(|peer| peer.domain.as_str() == domain)
        .map(|peer| peer.place)
        .filter(|place| place.protocol.carries(traffic))
        .collect();
    let rank = |place: &Place| {
        let family = place.protocol.family();
        order.iter().position(|listed| *listed == family).unwrap_or(order.len())
    };
    places.sort_by_key(rank);
    places
}

/// The places that a domain publishes and that are good for this traffic, in the order to try them.
/// `order` lists the families that we use. Those that clients look for have places for clients.
pub fn published(
    now: Now,
    published: &Published,
    order: &[Family],
    traffic: Traffic,
    dead: &Dead,
    random: &mut impl Rng,
) -> Vec<Place> {
    let mut places = Vec::new();
    let protocols = || order.iter().filter_map(|family| family.protocol(traffic));
    for protocol in protocols() {
        for service in Service::ALL.into_iter().filter(|s| s.protocol() == protocol) {
            let targets = published.targets.iter().filter(|t| t.service == service).collect();
            for target in by_weight(targets, random) {
                places.extend(target.addresses.iter().map(|ip| Place {
                    protocol,
                    tls: service.tls(),
                    address: SocketAddr::new(*ip, target.port),
                }));
            }
        }
    }
    if stands_for_itself(published) {
        for protocol in protocols() {
            places.extend(published.addresses.iter().map(|ip| Place {
                protocol,
                tls: false,
                address: SocketAddr::new(*ip, protocol.port()),
            }));
        }
    }
    places.sort_by_key(|place| dead.contains(now, place.address));
    places.truncate(PLACES);
    places
}

/// Is what DNS says the operator's own: does this server serve its machine alone, or are all name servers set by
/// hand on this machine, at another port than DNS's (a zone for trying things out)?
pub fn is_own_dns(config: &Config) -> bool {
    let own = |server: &SocketAddr| server.ip().is_loopback() && server.port() != 53;
    config.listen.iter().all(|listen| listen.address.ip().is_loopback())
        || !config.nameservers.is_empty() && config.nameservers.iter().all(own)
}

/// Is this address, which DNS gave for somebody else's domain, one to connect to? Whoever has a domain may write
/// any address into its zone: those of this machine and its link, and those of nobody in particular, are for
/// `[[peer]]`; this machine's also where the zone is the operator's own ([`is_own_dns`]).
pub fn may_be_dialled(address: IpAddr, own_dns: bool) -> bool {
    let address = address.to_canonical();
    if address.is_loopback() {
        return own_dns;
    }
    let nobodys = match address {
        IpAddr::V4(v4) => v4.octets()[0] == 0 || v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_unicast_link_local(),
    };
    !nobodys && !address.is_multicast()
}

/// RFC 2782: lowest priority first; among equals drawn by weight.
fn by_weight<'a>(mut targets: Vec<&'a Target>, random: &mut impl Rng) -> Vec<&'a Target> {
    let mut ordered = Vec::with_capacity(targets.len());
    targets.sort_by_key(|t| (t.priority, t.weight));
    while let Some(first) = targets.first() {
        let equals = targets.iter().take_while(|t| t.priority == first.priority).count();
        let total: u64 = targets.iter().take(equals).map(|t| u64::from(t.weight)).sum();
        let mut draw = random.next_u64() % (total + 1);
        let mut chosen = 0;
        for (at, target) in targets.iter().take(equals).enumerate() {
            chosen = at;
            match draw.checked_sub(u64::from(target.weight)) {
                Some(0) | None => break,
                Some(left) => draw = left,
            }
        }
        ordered.push(targets.remove(chosen));
    }
    ordered
}

/// The domain's own addresses are for domains that publish nothing of any service, not even that they don't offer
/// it (RFC 2782 "Usage rules", TOC-4).
fn stands_for_itself(published: &Published) -> bool {
    published.targets.is_empty() && published.declined.is_empty()
}

/// Is this one of the addresses that a domain publishes for its servers? The same ones that we would try: a web
/// server at the domain's own address is none of them where SRV records lead elsewhere.
pub fn publishes(published: &Published, address: std::net::IpAddr) -> bool {
    published.targets.iter().any(|target| target.addresses.contains(&address))
        || stands_for_itself(published) && published.addresses.contains(&address)
}

/// Does the configuration name this address for the domain?
pub fn named_by_hand(peers: &[StaticPeer], domain: &Domain, address: std::net::IpAddr) -> bool {
    peers.iter().any(|peer| peer.domain == *domain && peer.place.address.ip() == address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;
    use crate::federation::Protocol;

    fn target(service: Service, priority: u16, weight: u16, last: u8) -> Target {
        let addresses = vec![std::net::Ipv4Addr::new(127, 0, 0, last).into()];
        Target { service, priority, weight, port: 1, host: String::new(), addresses }
    }

    fn lasts(places: &[Place]) -> Vec<u8> {
        places
            .iter()
            .map(|p| p.address.ip().to_string().rsplit('.').next().unwrap().parse().unwrap())
            .collect()
    }

    #[test]
    fn priority_rules_and_weight_draws() {
        // RFC 2782: priorities in order; weights share
        let dns = Published {
            targets: vec![
                target(Service::Simp, 20, 0, 4),
                target(Service::Simp, 10, 90, 2),
                target(Service::Simp, 10, 10, 3),
                target(Service::Simps, 99, 0, 1),
            ],
            ..Published::default()
        };
        let mut random = ChaCha8Rng::from_seed([7; 32]);
        let mut heavy_first = 0;
        for _ in 0..1000 {
            let places = published(
                Now::default(),
                &dns,
                &[Family::Simp],
                Traffic::Messages,
                &Dead::default(),
                &mut random,
            );
            let order = lasts(&places);
            assert_eq!((order[0], order[3]), (1, 4));
            assert!(places[0].tls && !places[1].tls);
            heavy_first += usize::from(order[1] == 2);
        }
        assert!((850..950).contains(&heavy_first), "{heavy_first}");
    }

    #[test]
    fn addresses_stand_in_and_the_dead_come_last() {
        // OC-06, SIMP-2-3
        let dns = Published {
            addresses: vec!["127.0.0.1".parse().unwrap(), "127.0.0.2".parse().unwrap()],
            ..Published::default()
        };
        let mut random = ChaCha8Rng::from_seed([7; 32]);
        let mut dead = Dead::default();
        dead.insert(Now::default(), "127.0.0.1:7467".parse().unwrap());
        let places = published(Now::default(), &dns, &[Family::Simp], Traffic::Messages, &dead, &mut random);
        assert_eq!(lasts(&places), [2, 1]);
        assert_eq!(places[0].address.port(), 7467);
        let later = Now { tick: Tick::at(301_000), ..Now::default() };
        assert_eq!(
            lasts(&published(later, &dns, &[Family::Simp], Traffic::Messages, &dead, &mut random)),
            [1, 2]
        );
    }

    #[test]
    fn what_dns_names_on_this_machine_or_its_link_is_not_dialled() {
        // design 7; RFC 6890
        let may = |address: &str, own| may_be_dialled(address.parse().unwrap(), own);
        for address in ["192.0.2.1", "10.1.2.3", "192.168.1.1", "100.64.0.1", "2001:db8::1", "fd00::1"] {
            assert!(may(address, false) && may(address, true), "{address}");
        }
        for address in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert!(!may(address, false) && may(address, true), "{address}");
        }
        let never = ["0.0.0.0", "0.1.2.3", "::", "::ffff:0.0.0.0", "169.254.169.254", "fe80::1", "224.0.0.1"];
        for address in never.into_iter().chain(["ff02::1", "255.255.255.255"]) {
            assert!(!may(address, false) && !may(address, true), "{address}");
        }
        let mut config = crate::sim::world::config(&["a.test"], [127, 0, 0, 1].into());
        assert!(is_own_dns(&config), "it serves this machine alone");
        config.listen[2].address = "0.0.0.0:7443".parse().unwrap();
        assert!(!is_own_dns(&config));
        config.nameservers = vec!["127.0.0.1:53".parse().unwrap()];
        assert!(!is_own_dns(&config), "a resolver for all of DNS");
        config.nameservers = vec!["127.0.0.1:5353".parse().unwrap()];
        assert!(is_own_dns(&config));
        config.nameservers.push("192.0.2.53:5353".parse().unwrap());
        assert!(!is_own_dns(&config));
    }

    fn ways(places: &[Place]) -> Vec<(Protocol, bool, u8)> {
        places.iter().zip(lasts(places)).map(|(place, last)| (place.protocol, place.tls, last)).collect()
    }

    #[test]
    fn each_traffic_has_its_protocols_in_the_order_of_the_configuration() {
        // design 7; IMTP-6.3-1, PITP-6.3-1
        let dns = Published {
            targets: Service::PEERS.into_iter().zip(1..).map(|(s, last)| target(s, 0, 0, last)).collect(),
            ..Published::default()
        };
        let mut random = ChaCha8Rng::from_seed([7; 32]);
        let mut ask = |order: &[Family], traffic| {
            ways(&published(Now::default(), &dns, order, traffic, &Dead::default(), &mut random))
        };
        use Protocol::{Imtp, Pitp, Simp};
        let (imtp, pitp) = ([(Imtp, true, 1), (Imtp, false, 2)], [(Pitp, true, 3), (Pitp, false, 4)]);
        let simp = [(Simp, true, 5), (Simp, false, 6)];
        assert_eq!(ask(&Family::ALL, Traffic::Messages), [imtp, simp].concat());
        assert_eq!(ask(&Family::ALL, Traffic::Presence), [pitp, simp].concat());
        assert_eq!(ask(&[Family::Simp, Family::Imtp], Traffic::Messages), [simp, imtp].concat());
        assert_eq!(ask(&[Family::Imtp], Traffic::Presence), pitp);
    }

    #[test]
    fn default_ports_are_for_domains_that_publish_nothing() {
        // COMMON-6.3-2, TOC-4, RFC 2782: an SRV record of whatever service, and be it `.`, ends the guessing
        let mut dns = Published { addresses: vec!["127.0.0.9".parse().unwrap()], ..Published::default() };
        let mut random = ChaCha8Rng::from_seed([7; 32]);
        let mut ask = |dns: &Published, traffic| {
            let places = published(Now::default(), dns, &Family::ALL, traffic, &Dead::default(), &mut random);
            places.iter().map(|place| (place.protocol, place.address.port())).collect::<Vec<_>>()
        };
        use Protocol::{Imtp, Pitp, Simp};
        assert_eq!(ask(&dns, Traffic::Messages), [(Imtp, 4687), (Simp, 7467)]);
        assert_eq!(ask(&dns, Traffic::Presence), [(Pitp, 7487), (Simp, 7467)]);
        dns.declined = vec![Service::ImServers];
        assert_eq!(ask(&dns, Traffic::Messages), []);
        assert_eq!(ask(&dns, Traffic::Presence), []);
        dns.declined.clear();
        dns.targets = vec![target(Service::PresenceServers, 0, 0, 1)];
        assert_eq!(ask(&dns, Traffic::Messages), []);
        assert_eq!(ask(&dns, Traffic::Presence), [(Pitp, 1)]);
    }

    #[test]
    fn peers_by_hand_are_for_their_traffic() {
        let peer = |domain: &str, protocol, last: u8| StaticPeer {
            domain: Domain::parse(domain).unwrap(),
            place: Place { protocol, tls: false, address: ([127, 0, 0, last], 1).into() },
        };
        use Protocol::{Imtp, Pitp, Simp};
        let peers = [
            peer("b.test", Simp, 1),
            peer("b.test", Pitp, 2),
            peer("c.test", Imtp, 3),
            peer("b.test", Imtp, 4),
        ];
        let ask = |domain, order: &[Family], traffic| lasts(&by_hand(&peers, domain, order, traffic));
        assert_eq!(ask("b.test", &Family::ALL, Traffic::Messages), [4, 1]);
        assert_eq!(ask("b.test", &Family::ALL, Traffic::Presence), [2, 1]);
        assert_eq!(ask("b.test", &[Family::Simp], Traffic::Messages), [1, 4]);
        assert_eq!(ask("c.test", &Family::ALL, Traffic::Messages), [3]);
        assert!(ask("c.test", &Family::ALL, Traffic::Presence).is_empty());
    }
}
