//! The steps of a script that concern the world: homes, users, operators, faults, time.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use crate::admin::{AdminReply, AdminRequest};
use crate::clock::Date;
use crate::config::{Config, Routing};
use crate::credential::{Cost, PasswordRecord, Secret};
use crate::federation::{DnsError, IMTP_PORT, PITP_PORT, Protocol, Service, Strength};
use crate::store::record::{Change, Outcome, PeerRule, WatcherPolicy};

use super::clients::{PATIENCE, client_address};
use super::disk::Health;
use super::host::START;
use super::play::{Player, ahead, span};
use super::world::{HostId, ROUTING, TLS, World, config};

type Options = BTreeMap<String, String>;

/// A password's verifiers as the simulation's helper knows them, with SCRAM keys of the least cost. They are
/// made once for each password: a thousand seeds have the same few.
pub fn password(text: &str) -> PasswordRecord {
    static MADE: Mutex<BTreeMap<String, PasswordRecord>> = Mutex::new(BTreeMap::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(record) = made.get(text) {
        return record.clone();
    }
    let keys = PasswordRecord::with_cost(text, *b"salts of those who are simulated", Cost::LEAST);
    let record = PasswordRecord { argon2: format!("sim:{text}"), ..keys.expect("a password") };
    made.insert(text.to_owned(), record.clone());
    record
}

impl World {
    /// Makes an account with the device key `key-of-LOCAL` and the password `password-of-LOCAL`.
    pub fn add_user(&mut self, home: HostId, address: &str) {
        let local = address.split('@').next().unwrap_or_default();
        let date = Date(START + self.now as i64);
        let address = address.to_owned();
        let password = password(&format!("password-of-{local}"));
        let secret = Secret::new(format!("key-of-{local}"));
        self.change(home, Change::AddAccount { address: address.clone(), password, date });
        self.change(home, Change::AddKey { address, label: "sim".to_owned(), secret, date });
    }

    /// Makes a change as the operator; it must be done.
    pub fn change(&mut self, home: HostId, change: Change) {
        let what = format!("{change:?}");
        let reply = self.control(home, AdminRequest::Change(change));
        assert_eq!(reply, AdminReply::Outcome(Outcome::Done), "{what}");
    }

    /// How a server says it is.
    pub fn status(&mut self, home: HostId) -> crate::admin::Status {
        match self.control(home, AdminRequest::Status) {
            AdminReply::Status(status) => *status,
            other => panic!("{other:?} is no status"),
        }
    }
}

impl Player {
    /// Does a step of the world; false if it is none.
    pub(super) fn world_verb(&mut self, words: &[&str], options: &mut Options) -> Result<bool, String> {
        match words {
            ["home", domains @ ..] => self.add_home(domains, options)?,
            ["user", address] => self.add_user(address, options)?,
            ["operator", rest @ ..] => self.operator(rest)?,
            ["crash", home] => self.world.crash(self.home(home)?),
            ["start", home] => self.world.start(self.home(home)?),
            ["restart", home] => {
                let home = self.home(home)?;
                self.world.crash(home);
                self.world.start(home);
            }
            ["shutdown", home] => {
                if !self.world.shutdown(self.home(home)?) {
                    return Err("it does not end".to_owned());
                }
            }
            ["part", x, y] => {
                let (x, y) = (self.address(x)?, self.address(y)?);
                self.world.partition(x, y);
            }
            ["cut", x, y] => {
                let (x, y) = (self.address(x)?, self.address(y)?);
                self.world.cut(x, y);
            }
            ["reconfigure", home] => {
                let home = self.home(home)?;
                let mut config = (*self.world.host(home).config).clone();
                for (key, value) in std::mem::take(options) {
                    set(&mut config, &key, &value)?;
                }
                self.world.reconfigure(home, config);
            }
            ["heal"] => self.world.heal(),
            ["dns", domain, "nothing"] => self.world.dns.set(domain, Err(DnsError::Nothing)),
            ["dns", domain, "fails"] => self.world.dns.set(domain, Err(DnsError::Failed)),
            ["dns", domain, "is", ip] => {
                let ip = ip.parse().map_err(|_| "no IP")?;
                self.world.dns.set(domain, Err(DnsError::Nothing));
                let by = options.remove("by").unwrap_or("simp".to_owned());
                publish(&mut self.world, domain, &by, ip);
                if let Some(own) = options.remove("own") {
                    let own = own.parse().map_err(|_| "no IP")?;
                    let mut published = self.world.dns.look_up(domain).0.unwrap_or_default();
                    published.addresses = vec![own];
                    self.world.dns.set(domain, Ok(published));
                }
            }
            ["dns", domain, "late", delay] => {
                self.world.dns.slow(domain, ahead(delay)?.as_millis() as u64);
            }
            ["disk", home, health] => {
                let home = self.home(home)?;
                self.world.host(home).disk.health = health_of(health)?;
            }
            ["clock", home, by] => {
                let home = self.home(home)?;
                self.world.host(home).clock += span(by)?;
            }
            ["wait", time] => self.world.run_for(ahead(time)?),
            ["settle"] => {
                if !self.world.settle(PATIENCE) {
                    return Err("it does not come to rest".to_owned());
                }
            }
            ["server", domain, "at", ip] => self.play_server(domain, ip, options)?,
            ["status", home] => self.status(home, options)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// The network address of a home, of a played server, or of the clients.
    fn address(&self, name: &str) -> Result<IpAddr, String> {
        if name == "clients" {
            return Ok(client_address());
        }
        if let Some(server) = self.servers.get(name) {
            return Ok(server.ip());
        }
        Ok(self.world.place(self.home(name)?, ROUTING).ip())
    }

    fn add_home(&mut self, domains: &[&str], options: &mut Options) -> Result<(), String> {
        let address = self.world.next_address();
        let mut config = config(domains, address);
        let dns = options.remove("dns").unwrap_or("simp".to_owned());
        for (key, value) in std::mem::take(options) {
            set(&mut config, &key, &value)?;
        }
        for domain in domains {
            publish(&mut self.world, domain, &dns, address);
        }
        self.world.add_host(config);
        Ok(())
    }

    fn add_user(&mut self, address: &str, options: &mut Options) -> Result<(), String> {
        let (local, domain) = address.split_once('@').ok_or("an address has an @")?;
        let home = self.home(domain)?;
        self.remember(&format!("{local}@{domain}"));
        self.world.add_user(home, address);
        for (key, value) in std::mem::take(options) {
            self.operator(&[&key, address, &value])?;
        }
        Ok(())
    }

    fn operator(&mut self, words: &[&str]) -> Result<(), String> {
        let own = |address: &str| address.to_owned();
        let change = match words {
            ["lock", a] => Change::SetLocked { address: own(a), locked: true },
            ["unlock", a] => Change::SetLocked { address: own(a), locked: false },
            ["delete", a] => Change::RemoveAccount { address: own(a) },
            ["unkey", a] => Change::RemoveKey { address: own(a), label: "sim".to_owned() },
            ["keeps", a, yes] => Change::SetKeepsMessages { address: own(a), keeps: *yes == "yes" },
            ["watchers", a, policy] => Change::SetWatchers { address: own(a), watchers: policy_of(policy)? },
            [rule, domain, "at", home] => {
                let rule = match *rule {
                    "allow" => Some(PeerRule::Allow),
                    "deny" => Some(PeerRule::Deny),
                    "forget" => None,
                    other => return Err(format!("what rule is {other}?")),
                };
                let home = self.home(home)?;
                self.world.change(home, Change::SetPeerRule { domain: own(domain), rule });
                return Ok(());
            }
            _ => return Err("what does the operator do?".to_owned()),
        };
        let domain = words[1].split('@').nth(1).unwrap_or_default();
        let home = self.home(domain)?;
        self.world.change(home, change);
        Ok(())
    }

    fn play_server(&mut self, domain: &str, ip: &str, options: &mut Options) -> Result<(), String> {
        let ip: IpAddr = ip.parse().map_err(|_| "no IP")?;
        for protocol in Protocol::ALL {
            self.world.play_server(SocketAddr::new(ip, protocol.port()));
        }
        let by = options.remove("by").unwrap_or("simp".to_owned());
        publish(&mut self.world, domain, &by, ip);
        self.servers.insert(domain.to_owned(), SocketAddr::new(ip, ROUTING));
        Ok(())
    }

    fn status(&mut self, home: &str, options: &mut Options) -> Result<(), String> {
        let home = self.home(home)?;
        let status = self.world.status(home);
        let status = serde_json::to_value(status).map_err(|e| e.to_string())?;
        for (key, wanted) in std::mem::take(options) {
            let got = status[&key].to_string();
            if got != wanted {
                return Err(format!("{key} is {got}"));
            }
        }
        Ok(())
    }
}

/// Publishes a domain's services in DNS: those of one family, on TLS with an `s` behind it, or of several with `+`
/// between them.
pub fn publish(world: &mut World, domain: &str, families: &str, address: IpAddr) {
    for family in families.split('+') {
        let services: &[(Service, u16)] = match family {
            "simp" => &[(Service::Simp, ROUTING)],
            "simps" => &[(Service::Simps, TLS)],
            "imtp" => &[(Service::ImServers, IMTP_PORT), (Service::PresenceServers, PITP_PORT)],
            "imtps" => &[(Service::ImServersTls, TLS), (Service::PresenceServersTls, TLS)],
            _ => &[],
        };
        for (service, port) in services {
            world.dns.publish(domain, *service, address, *port);
        }
    }
}

fn set(config: &mut Config, key: &str, value: &str) -> Result<(), String> {
    let number = || value.parse::<u32>().map_err(|_| format!("{value} is no number"));
    let limits = &mut config.limits;
    match key {
        "routing" => {
            config.simp.routing = match value {
                "verified" => Routing::Verified,
                "open" => Routing::Open,
                "closed" => Routing::Closed,
                other => return Err(format!("what routing is {other}?")),
            }
        }
        "require" => {
            config.federation.require = if value == "strong" { Strength::Strong } else { Strength::Medium }
        }
        "federation" => config.federation.open = value == "open",
        "divert" => {
            let (host, port) = value.split_once(':').ok_or("HOST:PORT")?;
            let port = port.parse().map_err(|_| "no port")?;
            config.simp.divert = Some((host.to_owned(), port));
        }
        "host" => config.simp.host = Some(value.to_owned()),
        "port" => config.simp.port = Some(number()? as u16),
        "kept_messages" => limits.kept_messages = number()?,
        "kept_octets" => limits.kept_octets = number()?,
        "kept_days" => limits.kept_days = number()?,
        "logins_per_second" => limits.logins_per_second = number()?,
        "requests_per_second_user" => limits.requests_per_second_user = number()?,
        "requests_per_second_peer" => limits.requests_per_second_peer = number()?,
        "unproven_per_address" => limits.unproven_per_address = number()? as usize,
        "connections_per_address" => limits.connections_per_address = number()? as usize,
        other => return Err(format!("what setting is {other}?")),
    }
    Ok(())
}

fn policy_of(text: &str) -> Result<WatcherPolicy, String> {
    Ok(match text {
        "refuse" => WatcherPolicy::Refuse,
        "ask" => WatcherPolicy::Ask,
        "allow" => WatcherPolicy::Allow,
        other => return Err(format!("what policy is {other}?")),
    })
}

fn health_of(text: &str) -> Result<Health, String> {
    Ok(match text {
        "well" => Health::Well,
        "full" => Health::Full,
        "broken" => Health::Broken,
        "stuck" => Health::Stuck,
        "slow" => Health::Slow,
        "tight" => Health::Tight,
        other => return Err(format!("how is {other}?")),
    })
}
