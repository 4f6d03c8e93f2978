//! The demonstration's world: two servers, their folders, their users, and DNS.

use crate::cli::output::complain;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use tempfile::TempDir;

use super::dns::{Dns, Zone};
use crate::cli::failure::Failure;
use crate::cli::house;
use crate::client::blocking::transfer::{Messages, Presence};
use crate::client::blocking::{Client, Place};
use crate::client::{Account, Proof};
use crate::config::Config;
use crate::credential::{self, Cost, PasswordRecord, Secret};
use crate::federation::{IMTP_PORT, PITP_PORT, Protocol, SIMP_PORT, Service};
use crate::server::{Server, Stopper};
use crate::store::record::{Change, WatcherPolicy, Write};
use crate::store::{KeyFile, Mode, Store};

/// The ports that are used if they are free, in the order of [`Sites`].
const PORTS: [u16; 4] = [SIMP_PORT, 7468, IMTP_PORT, PITP_PORT];

/// A user of the demonstration.
#[derive(Debug)]
pub(super) struct User {
    /// His address.
    pub address: String,
    /// The device key his client of SIMP logs in with.
    key: Secret,
    /// Where it logs in.
    place: Place,
    /// What his clients of IMTP and PITP log in with.
    password: Secret,
    /// Where they do.
    messages: Place,
    presence: Place,
}

impl User {
    /// Goes online.
    pub(super) fn login(&self) -> Result<Client, crate::client::Error> {
        let account = Account::new(&self.address, Proof::DeviceKey(self.key.clone()))?;
        Client::login(&self.place, account)
    }

    /// Goes online by IMTP and PITP.
    pub(super) fn login_to_both(&self) -> Result<(Messages, Presence), crate::client::Error> {
        let account = Account::new(&self.address, Proof::Password(self.password.clone()))?;
        Ok((Messages::login(&self.messages, &account)?, Presence::login(&self.presence, &account)?))
    }
}

/// A domain of the demonstration, and its server.
#[derive(Debug)]
struct Home {
    domain: &'static str,
    routing: SocketAddr,
    config: PathBuf,
    user: User,
    stopper: Stopper,
    thread: JoinHandle<()>,
}

/// Both of them.
#[derive(Debug)]
pub(super) struct World {
    homes: [Home; 2],
    dns: Dns,
    /// Removed at the end.
    room: TempDir,
}

impl World {
    /// Sets it up and lets it run.
    pub(super) fn start() -> Result<World, Failure> {
        let room = tempfile::Builder::new()
            .prefix("hearth-demo-")
            .tempdir()
            .map_err(|error| Failure::new(format!("no temporary folder can be made: {error}")))?;
        let (a, b) =
            (Sites::choose(Ipv4Addr::new(127, 87, 0, 1))?, Sites::choose(Ipv4Addr::new(127, 87, 0, 2))?);
        let mut zone = Zone::default();
        for (domain, sites) in [("a.test", &a), ("b.test", &b)] {
            zone.address(&format!("im.{domain}"), sites.ip);
            for service in Service::ALL.into_iter().filter(|service| !service.tls()) {
                let port = match service.protocol() {
                    Protocol::Simp => sites.routing,
                    Protocol::Imtp => sites.imtp,
                    Protocol::Pitp => sites.pitp,
                };
                zone.service(&format!("{}.{domain}", service.label()), port, &format!("im.{domain}"));
            }
        }
        let dns = Dns::start(zone).map_err(|error| Failure::new(format!("the demo's DNS: {error}")))?;
        let home = |domain, user, sites: &Sites| Home::start(&room, domain, user, sites, dns.address());
        let homes = [home("a.test", "alice", &a)?, home("b.test", "bob", &b)?];
        Ok(World { homes, dns, room })
    }

    /// alice@a.test.
    pub(super) fn alice(&self) -> &User {
        &self.homes[0].user
    }

    /// bob@b.test.
    pub(super) fn bob(&self) -> &User {
        &self.homes[1].user
    }

    /// Who is where.
    pub(super) fn described(&self) -> String {
        let mut text = "Two domains on this machine, each with a server of its own:\n\n".to_owned();
        for home in &self.homes {
            text.push_str(&format!(
                "  {}   SIMP on {}   user {}\n",
                home.domain, home.routing, home.user.address
            ));
        }
        text.push_str(&format!("  DNS      {} knows where they are\n", self.dns.address()));
        text
    }

    /// What can be tried while it stays up.
    pub(super) fn how_to_join(&self) -> String {
        let [a, b] = &self.homes;
        let hearth = std::env::args().next().unwrap_or_else(|| "hearth".to_owned());
        format!(
            "Both stay online and answer. From another terminal, try\n\n\
             \x20 HEARTH_KEY={} {hearth} send --as {} --server {} {} \"hello\"\n\
             \x20 HEARTH_KEY={} {hearth} send --as {} --dns {} {} \"hello yourself\"\n\
             \x20 {hearth} --config {} status\n\
             \x20 {hearth} --config {} user add carol\n\n\
             or log in with any SIMP 1.0 client, with the key as its password. Ctrl-C ends it and removes {}.\n",
            a.user.key.expose(),
            a.user.address,
            a.routing,
            b.user.address,
            b.user.key.expose(),
            b.user.address,
            self.dns.address(),
            a.user.address,
            a.config.display(),
            b.config.display(),
            self.room.path().display(),
        )
    }

    /// Ends the servers in order, and removes what they kept.
    pub(super) fn stop(self) {
        for home in &self.homes {
            home.stopper.stop();
        }
        for home in self.homes {
            // A server that panicked has said so on stderr.
            let _ = home.thread.join();
        }
    }
}

/// Where a server listens.
struct Sites {
    ip: Ipv4Addr,
    routing: u16,
    notification: u16,
    imtp: u16,
    pitp: u16,
}

impl Sites {
    /// The usual ports on an address of its own, else free ones, if need be on the usual address.
    fn choose(wanted: Ipv4Addr) -> Result<Sites, Failure> {
        // All are held until all are had.
        let bind = |ip: Ipv4Addr, ports: [u16; 4]| -> std::io::Result<Sites> {
            let held = ports.map(|port| TcpListener::bind((ip, port)));
            let mut ports = [0; 4];
            for (port, listener) in ports.iter_mut().zip(held) {
                *port = listener?.local_addr()?.port();
            }
            let [routing, notification, imtp, pitp] = ports;
            Ok(Sites { ip, routing, notification, imtp, pitp })
        };
        bind(wanted, PORTS)
            .or_else(|_| bind(wanted, [0; 4]))
            .or_else(|_| bind(Ipv4Addr::LOCALHOST, [0; 4]))
            .map_err(|error| Failure::new(format!("no free port on loopback: {error}")))
    }
}

impl Home {
    fn start(
        room: &TempDir,
        domain: &'static str,
        name: &str,
        sites: &Sites,
        dns: SocketAddr,
    ) -> Result<Home, Failure> {
        let dir = room.path().join(domain);
        fs::create_dir(&dir).map_err(|error| Failure::new(format!("{}: {error}", dir.display())))?;
        let (file, text) = (dir.join("hearth.toml"), configuration(domain, sites, dns));
        fs::write(&file, &text).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
        let config = Config::parse(&text, &file).map_err(Failure::new)?;
        house::found(&config)?;
        let address = format!("{name}@{domain}");
        let (key, password) = settle(&config, &address)?;
        let server = Server::open(Arc::new(config)).map_err(Failure::new)?;
        let stopper = server.stopper();
        let run = move || {
            if let Err(error) = server.run() {
                complain!("hearth: the server of {domain} ended: {error}");
            }
        };
        let thread = std::thread::Builder::new()
            .name(domain.to_owned())
            .spawn(run)
            .map_err(|error| Failure::new(format!("no thread for {domain}: {error}")))?;
        let at = |port| Place::clear(&sites.ip.to_string(), port);
        let (place, messages, presence) = (at(sites.routing), at(sites.imtp), at(sites.pitp));
        let user = User { address, key, place, password, messages, presence };
        let routing = SocketAddr::new(IpAddr::V4(sites.ip), sites.routing);
        Ok(Home { domain, routing, config: file, user, stopper, thread })
    }
}

fn configuration(domain: &str, sites: &Sites, dns: SocketAddr) -> String {
    let Sites { ip, routing, notification, imtp, pitp } = sites;
    format!(
        "domains = [\"{domain}\"]\n\
         data_dir = \".\"\n\
         [[listen]]\n\
         protocol = \"simp\"\n\
         address = \"{ip}:{routing}\"\n\
         [[listen]]\n\
         protocol = \"simp\"\n\
         address = \"{ip}:{notification}\"\n\
         notification = true\n\
         [[listen]]\n\
         protocol = \"imtp\"\n\
         address = \"{ip}:{imtp}\"\n\
         [[listen]]\n\
         protocol = \"pitp\"\n\
         address = \"{ip}:{pitp}\"\n\
         [dns]\n\
         nameservers = [\"{dns}\"]\n"
    )
}

/// Gives a domain its user, whom anybody may watch; his device key and his password.
fn settle(config: &Config, address: &str) -> Result<(Secret, Secret), Failure> {
    let key = KeyFile::load(&config.key_file()).map_err(Failure::new)?;
    let mut store = Store::open(&config.database(), &key, Mode::Open).map_err(Failure::new)?;
    let chosen = credential::device_key(house::random()?);
    let password =
        PasswordRecord::with_cost(chosen.expose(), house::random()?, Cost::LEAST).map_err(Failure::new)?;
    let secret = credential::device_key(house::random()?);
    let address = address.to_owned();
    let changes = [
        Change::AddAccount { address: address.clone(), password, date: house::now() },
        Change::SetWatchers { address: address.clone(), watchers: WatcherPolicy::Allow },
        Change::AddKey { address, label: "demo".into(), secret: secret.clone(), date: house::now() },
    ];
    store.commit(&changes.map(Write::Admin)).map_err(Failure::new)?;
    Ok((secret, chosen))
}
