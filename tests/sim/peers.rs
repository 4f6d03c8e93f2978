//! Peers with several addresses, services and certificates: which is tried, which is believed.

use std::net::IpAddr;
use std::time::Duration;

use hearth::federation::{DnsError, Place, Protocol, Published, Service, StaticPeer, Strength, Target};
use hearth::hub::address::Domain;
use hearth::sim::client::{Answer, ClientId};
use hearth::sim::world::{HostId, ROUTING, TLS, World, config};

use crate::seeds;

struct Two {
    world: World,
    alice: ClientId,
    bob: ClientId,
}

fn two(seed: u64, prepare: impl Fn(&mut World, HostId, HostId)) -> Two {
    let mut world = World::new(seed);
    let a = world.add_home(&["a.test"]);
    let b = world.add_home(&["b.test"]);
    world.add_user(a, "alice@a.test");
    world.add_user(b, "bob@b.test");
    prepare(&mut world, a, b);
    let alice = world.login(a, "alice", "alice", "key-of-alice");
    let bob = world.login(b, "bob", "bob", "key-of-bob");
    world.answers(bob, Answer::Okay, Answer::Okay);
    Two { world, alice, bob }
}

impl Two {
    /// What alice is told of a message to bob.
    fn message(&mut self) -> String {
        let entries = [
            ("action", "send"),
            ("to", "bob@b.test"),
            ("from", "alice@a.test"),
            ("type", "text/plain"),
            ("body", "hello"),
        ];
        let id = self.world.request(self.alice, &entries);
        let reply =
            self.world.expect(self.alice, Duration::from_secs(40), |o| o.get("response") == Some(&id));
        reply.expect("an answer").action().to_owned()
    }
}

fn target(service: Service, priority: u16, port: u16, addresses: &[IpAddr]) -> Target {
    let host = "im.b.test".to_owned();
    Target { service, priority, weight: 0, port, host, addresses: addresses.to_vec() }
}

fn dead(last: u8) -> IpAddr {
    IpAddr::from([127, 9, 9, last])
}

// SIMP-2-3 OC-06 OC-08
#[test]
fn every_address_and_every_target_is_tried() {
    for seed in seeds(8) {
        let mut two = two(seed, |world, _, b| {
            let alive = world.hosts[b.0].ip();
            let targets = vec![
                target(Service::Simp, 10, ROUTING, &[dead(1), dead(2)]),
                target(Service::Simp, 20, 1, &[alive]),
                target(Service::Simp, 30, ROUTING, &[dead(3), alive]),
            ];
            world
                .dns
                .set("b.test", Ok(Published { targets, addresses: vec![dead(4)], ..Published::default() }));
        });
        assert_eq!(two.message(), "okay", "seed {seed}");
        let sends = two.world.peek(two.bob).inbox.iter().filter(|(_, o)| o.action() == "send").count();
        assert_eq!(sends, 1, "delivered once");
    }
}

// SIMP-3.1-2 OC-06
#[test]
fn without_srv_records_the_domains_own_address_and_the_drafts_port() {
    for seed in seeds(3) {
        let mut two = two(seed, |world, a, b| {
            for (domain, host) in [("a.test", a), ("b.test", b)] {
                let addresses = vec![world.hosts[host.0].ip()];
                world.dns.set(domain, Ok(Published { addresses, ..Published::default() }));
            }
        });
        assert_eq!(two.message(), "okay");
    }
}

// OC-05 OC-06
#[test]
fn tls_is_tried_first_and_a_certificate_for_another_domain_is_not_taken() {
    for seed in seeds(3) {
        let publish = |world: &mut World, b: HostId| {
            let alive = world.hosts[b.0].ip();
            let targets = vec![target(Service::Simps, 0, TLS, &[alive])];
            world
                .dns
                .set("b.test", Ok(Published { targets, addresses: vec![dead(4)], ..Published::default() }));
        };
        let mut good = two(seed, |world, _, b| publish(world, b));
        assert_eq!(good.message(), "okay");
        let mut bad = two(seed, |world, _, b| {
            publish(world, b);
            world.hosts[b.0].certificate = vec!["c.test".to_owned()];
        });
        assert_eq!(bad.message(), "error");
    }
}

// OC-06
#[test]
fn a_peer_set_by_hand_goes_before_dns() {
    for seed in seeds(3) {
        let mut world = World::new(seed);
        let address = "127.0.2.1:7467".parse().unwrap();
        let mut settings = config(&["a.test"], world.next_address());
        let place = Place { protocol: Protocol::Simp, tls: false, address };
        settings.peers.push(StaticPeer { domain: Domain::parse("b.test").unwrap(), place });
        let a = world.add_host(settings);
        let mut settings = config(&["b.test"], world.next_address());
        let place = Place { address: "127.0.1.1:7467".parse().unwrap(), ..place };
        settings.peers.push(StaticPeer { domain: Domain::parse("a.test").unwrap(), place });
        let b = world.add_host(settings);
        world.dns.set("b.test", Err(DnsError::Nothing));
        world.add_user(a, "alice@a.test");
        world.add_user(b, "bob@b.test");
        let alice = world.login(a, "alice", "alice", "key-of-alice");
        let bob = world.login(b, "bob", "bob", "key-of-bob");
        world.answers(bob, Answer::Okay, Answer::Okay);
        let mut two = Two { world, alice, bob };
        assert_eq!(two.message(), "okay");
    }
}

// design 7: what `require` asks of others we ask of ourselves; whom the operator has set by hand is his choice
#[test]
fn where_tls_is_required_clear_text_is_for_peers_set_by_hand_only() {
    for seed in seeds(3) {
        let strong = |by_hand: bool, b_on_tls: bool| {
            let mut two = two(seed, |world, _, b| {
                let ip = world.hosts[b.0].ip();
                let mut targets = vec![
                    target(Service::ImServers, 0, 4687, &[ip]),
                    target(Service::PresenceServers, 0, 7487, &[ip]),
                    target(Service::Simp, 0, ROUTING, &[ip]),
                ];
                if b_on_tls {
                    targets.insert(0, target(Service::ImServersTls, 0, TLS, &[ip]));
                }
                world.dns.set("b.test", Ok(Published { targets, ..Published::default() }));
            });
            let mut config = (*two.world.hosts[0].config).clone();
            config.federation.require = Strength::Strong;
            if by_hand {
                let address = (two.world.hosts[1].ip(), ROUTING).into();
                let place = Place { protocol: Protocol::Simp, tls: false, address };
                config.peers.push(StaticPeer { domain: Domain::parse("b.test").unwrap(), place });
            }
            two.world.reconfigure(HostId(0), config);
            let before = two.world.hosts[1].connections();
            let answer = two.message();
            (answer, two.world.hosts[1].connections() - before)
        };
        assert_eq!(strong(false, false), ("error".to_owned(), 0), "seed {seed}");
        assert_eq!(strong(false, true), ("okay".to_owned(), 1), "seed {seed}");
        assert_eq!(strong(true, false), ("okay".to_owned(), 1), "seed {seed}");
    }
}

// IMTP-6.3-1, design 7: what one protocol's servers don't take goes to another's
#[test]
fn behind_dead_servers_of_one_protocol_stand_those_of_another() {
    for seed in seeds(6) {
        let mut two = two(seed, |world, _, b| {
            let alive = world.hosts[b.0].ip();
            let targets = vec![
                target(Service::ImServers, 0, 4687, &[dead(1), dead(2)]),
                target(Service::PresenceServers, 0, 7487, &[dead(3)]),
                target(Service::Simp, 0, ROUTING, &[alive]),
            ];
            world.dns.set("b.test", Ok(Published { targets, ..Published::default() }));
        });
        assert_eq!(two.message(), "okay", "seed {seed}");
        let inquiry = [("action", "fetch"), ("to", "bob@b.test"), ("from", "alice@a.test")];
        let id = two.world.request(two.alice, &inquiry);
        assert!(two.world.reply(two.alice, &id).is_some());
        let links = two.world.status(HostId(0)).links_by_protocol;
        assert_eq!(links.into_iter().filter(|(_, up)| *up > 0).collect::<Vec<_>>(), [("simp".to_owned(), 1)]);
    }
}

// IMTP-6.3-1, PITP-6.3-1, TOC-10: each kind of traffic has its link, and one may fail alone
#[test]
fn messages_arrive_by_imtp_while_the_servers_for_presence_are_down() {
    for seed in seeds(6) {
        let mut two = two(seed, |world, a, b| {
            for (domain, host, presence) in [("a.test", a, None), ("b.test", b, Some(dead(1)))] {
                let alive = world.hosts[host.0].ip();
                let targets = vec![
                    target(Service::ImServers, 0, 4687, &[alive]),
                    target(Service::PresenceServers, 0, 7487, &[presence.unwrap_or(alive)]),
                ];
                world.dns.set(domain, Ok(Published { targets, ..Published::default() }));
            }
        });
        let links = |two: &mut Two| {
            let links = two.world.status(HostId(0)).links_by_protocol;
            links.into_iter().filter(|(_, up)| *up > 0).map(|(protocol, _)| protocol).collect::<Vec<_>>()
        };
        let fetch = [("action", "fetch"), ("to", "bob@b.test"), ("from", "alice@a.test")];
        let id = two.world.request(two.alice, &fetch);
        assert_eq!(two.message(), "okay", "seed {seed}");
        assert_eq!(links(&mut two), ["imtp"]);
        let reply = two.world.expect(two.alice, Duration::from_secs(40), |o| o.get("response") == Some(&id));
        assert_eq!(reply.expect("an answer").get("message"), Some("remote server is not available"));
        assert_eq!(two.message(), "okay", "seed {seed}");
    }
}

// COMMON-7-8, TOC-11: nothing is lost by it, and the next message finds its way again
#[test]
fn a_link_without_outstanding_commands_ends() {
    for seed in seeds(3) {
        let mut two = two(seed, |world, a, b| {
            for (domain, host) in [("a.test", a), ("b.test", b)] {
                let targets = vec![target(Service::ImServers, 0, 4687, &[world.hosts[host.0].ip()])];
                world.dns.set(domain, Ok(Published { targets, ..Published::default() }));
            }
        });
        for _ in 0..2 {
            assert_eq!(two.message(), "okay", "seed {seed}");
            let up = |two: &mut Two| two.world.status(HostId(0)).links_by_protocol["imtp"];
            let connections = two.world.hosts[1].connections();
            assert_eq!(up(&mut two), 1, "seed {seed}");
            two.world.run_for(Duration::from_secs(500));
            assert_eq!(up(&mut two), 1, "seed {seed}");
            two.world.run_for(Duration::from_secs(200));
            assert_eq!(up(&mut two), 0, "seed {seed}");
            assert_eq!(two.world.hosts[1].connections(), connections - 1, "seed {seed}");
        }
    }
}

// TOC-6
#[test]
fn a_domain_that_leads_to_ourselves_is_not_connected_to() {
    for seed in seeds(3) {
        let mut two = two(seed, |world, a, _| {
            let own = world.hosts[a.0].ip();
            let targets = vec![target(Service::Simp, 0, ROUTING, &[own])];
            world.dns.set("b.test", Ok(Published { targets, addresses: vec![own], ..Published::default() }));
        });
        let before = two.world.hosts[0].connections();
        assert_eq!(two.message(), "error", "seed {seed}");
        assert_eq!(two.world.hosts[0].connections(), before);
    }
}
