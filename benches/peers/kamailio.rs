//! Kamailio, spoken to in SIP.

use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::peer::{Idle, Logins, Messages, Peer, Watchers};
use crate::rig::Failure;
use crate::rig::crowd::Crowd;
use crate::rig::engine::Conn;
use crate::rig::group::Group;
use crate::rig::house::SECRET;
use crate::rig::pairs::{BODY, pair};
use crate::rig::sip::{self, Agent, Publisher, Registrar, SUBSCRIBED, Transport};

const PROGRAM: &str = "/usr/sbin/kamailio";
const CONFIGURATION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peers/kamailio/kamailio.cfg");
/// The tables of its text database, of which none is written to.
const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";
/// The longest start.
const PATIENCE: Duration = Duration::from_secs(20);

/// A way to run it.
pub struct Kamailio {
    name: &'static str,
    configuration: &'static str,
    transport: Transport,
    /// As it comes: relaying with a transaction for each message, with the allocator that finds faults.
    as_shipped: bool,
}

/// The best over connections: messages are forwarded without state, which is enough for the recipient's 200 to
/// come back.
pub const CONNECTED: Kamailio = Kamailio {
    name: "Kamailio",
    configuration: "TCP; one worker; the quick allocator (-x fm); registrations in memory, one password \
        in the configuration; forward() without state; senders of messages aren't asked for their passwords; for \
        presence tm, presence and presence_xml with all in memory; connections closed without deregistering",
    transport: Transport::Tcp,
    as_shipped: false,
};

/// The best over datagrams, which nobody sends again.
pub const DATAGRAMS: Kamailio = Kamailio {
    name: "Kamailio UDP",
    configuration: "the same over UDP with one worker; only one message in flight, since the system's buffer for a \
        socket does not hold sixteen of each pair; no presence, where answers to a thousand NOTIFYs at once are lost",
    transport: Transport::Udp,
    as_shipped: false,
};

/// As the package and its default configuration have it, but for the number of workers.
pub const AS_SHIPPED: Kamailio = Kamailio {
    name: "Kamailio as shipped",
    configuration: "the first with what the package has by default: a transaction for each message (t_relay()), and the \
        allocator that checks all it does (qm)",
    transport: Transport::Tcp,
    as_shipped: true,
};

fn user(index: usize) -> String {
    format!("user{index}")
}

/// A port that is free for TCP and UDP.
fn free_port(ip: IpAddr) -> Result<SocketAddr, Failure> {
    loop {
        let address = TcpListener::bind((ip, 0))?.local_addr()?;
        if UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

/// One server.
struct Site {
    domain: &'static str,
    address: SocketAddr,
    /// The server of another domain.
    other: Option<(&'static str, SocketAddr)>,
    presence: bool,
}

impl Site {
    fn alone() -> Result<Site, Failure> {
        let address = free_port(Ipv4Addr::LOCALHOST.into())?;
        Ok(Site { domain: "one.test", address, other: None, presence: false })
    }
}

impl Kamailio {
    fn registrar(&self, site: &Site) -> Registrar {
        Registrar {
            address: site.address,
            transport: self.transport,
            domain: site.domain.to_owned(),
            password: SECRET.to_owned(),
        }
    }

    /// The command for a server whose files are in this folder.
    fn command(&self, site: &Site, folder: &Path) -> Result<Command, Failure> {
        let mut command = Group::command(Path::new(PROGRAM));
        command.args(["-f", CONFIGURATION, "-DD", "-E", "-Y"]).arg(folder);
        // Room for everything; what is not used takes no memory.
        command.args(["-m", "2048", "-M", "32"]);
        let allocator = if self.as_shipped { "qm" } else { "fm" };
        command.args(["-x", allocator, "-X", allocator]);
        let mut define = |text: String| {
            command.args(["-A", &text]);
        };
        let Site { domain, address, .. } = site;
        define(format!("AT_TCP=tcp:{address}"));
        define(format!("AT_UDP=udp:{address}"));
        define(format!("DOMAIN=\"{domain}\""));
        if let Some((domain, at)) = site.other {
            let transport = if self.transport == Transport::Tcp { "tcp" } else { "udp" };
            define(format!("PEER=\"{domain}\""));
            define(format!("PEER_URI=\"sip:{at};transport={transport}\""));
            define(format!("SELF=\"{transport}:{address}\""));
        }
        if self.as_shipped {
            define("STATEFUL=1".into());
        }
        if site.presence {
            for table in ["version", "presentity", "active_watchers", "watchers", "xcap"] {
                fs::copy(Path::new(TABLES).join(table), folder.join(table))?;
            }
            define("WITH_PRESENCE=1".into());
            define(format!("PRESENCE_DB=\"text://{}\"", folder.display()));
        }
        Ok(command)
    }

    /// Starts a server and waits until it accepts connections.
    fn start(&self, bench: &Bench, site: &Site) -> Result<Group, Failure> {
        let folder: PathBuf = bench.folder("kamailio")?;
        let log = folder.join("log");
        let mut command = self.command(site, &folder)?;
        command.stderr(File::create(&log)?);
        let mut server = Group::start(command)?;
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(site.address).is_err() {
            if server.check().is_err() || Instant::now() > deadline {
                let said = fs::read_to_string(&log)?;
                let last = said.lines().rev().find(|line| line.contains("ERROR")).unwrap_or_default();
                return Err(Failure(format!("Kamailio did not start: {last}")));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    /// Pairs of agents: senders registered at one server, recipients at the other, which may be the same.
    fn pairs(&self, bench: &Bench, from: &Site, to: &Site, servers: Vec<Group>) -> Result<Messages, Failure> {
        let (here, there) = (self.registrar(from), self.registrar(to));
        let (mut senders, mut recipients, mut names): (Vec<Agent>, Vec<Conn>, Vec<String>) =
            Default::default();
        for (alice, bob) in (0..bench.pairs).map(pair) {
            recipients.push(Agent::register(&there, &bob)?.into_conn()?);
            senders.push(Agent::register(&here, &alice)?);
            names.push(format!("{bob}@{}", to.domain));
        }
        let texts: Vec<(&Agent, String)> = senders.iter().zip(names).collect();
        let wire = Box::new(sip::Messages::new(&texts, BODY));
        let conns = senders.into_iter().map(Agent::into_conn).collect::<Result<Vec<_>, _>>()?;
        let pairs = conns.into_iter().zip(recipients).collect();
        let most = if self.transport == Transport::Udp { 1 } else { u64::MAX };
        Ok(Messages { servers, wire, pairs, most })
    }
}

impl Peer for Kamailio {
    fn name(&self) -> &'static str {
        self.name
    }

    fn version(&self) -> Result<String, Failure> {
        let said = String::from_utf8(Command::new(PROGRAM).arg("-v").output()?.stdout)?;
        let line = said.lines().next().ok_or("no version")?;
        Ok(line.trim_start_matches("version: ").trim_end().to_owned())
    }

    fn configuration(&self) -> &'static str {
        self.configuration
    }

    fn messages(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let site = Site::alone()?;
        let server = self.start(bench, &site)?;
        self.pairs(bench, &site, &site, vec![server]).map(Some)
    }

    fn federated(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let [a, b] = [[127, 0, 0, 2], [127, 0, 0, 3]].map(|ip| free_port(ip.into()));
        let (a, b) = (("a.test", a?), ("b.test", b?));
        let site = |own: (&'static str, SocketAddr), other| Site {
            domain: own.0,
            address: own.1,
            other: Some(other),
            presence: false,
        };
        let (here, there) = (site(a, b), site(b, a));
        let servers = vec![self.start(bench, &here)?, self.start(bench, &there)?];
        self.pairs(bench, &here, &there, servers).map(Some)
    }

    fn watchers(&self, bench: &Bench) -> Result<Option<Watchers>, Failure> {
        if self.transport == Transport::Udp {
            return Ok(None);
        }
        let site = Site { presence: true, ..Site::alone()? };
        let server = self.start(bench, &site)?;
        let registrar = self.registrar(&site);
        let star = Agent::register(&registrar, "star")?;
        let publisher = Publisher::new(&star);
        let mut crowd = Crowd::new(star.into_conn()?, Box::new(publisher))?;
        for index in 0..bench.watchers {
            let mut agent = Agent::register(&registrar, &user(index))?;
            let subscription = agent.subscribe(&format!("star@{}", site.domain));
            let mut conn = agent.into_conn()?;
            conn.out = subscription.into_bytes();
            crowd.add(conn)?;
        }
        crowd.until(0, SUBSCRIBED, crowd.watchers())?;
        Ok(Some(Watchers { server, crowd }))
    }

    fn logins(&self, bench: &Bench) -> Result<Option<Logins>, Failure> {
        let site = Site::alone()?;
        let server = self.start(bench, &site)?;
        let registrar = self.registrar(&site);
        let log_in = move |index| Agent::register(&registrar, &user(index)).map(drop);
        Ok(Some(Logins { server, log_in: Box::new(log_in) }))
    }

    fn idle(&self, bench: &Bench) -> Result<Option<Idle>, Failure> {
        if self.transport == Transport::Udp {
            return Ok(None);
        }
        let site = Site::alone()?;
        let server = self.start(bench, &site)?;
        let registrar = self.registrar(&site);
        let log_in = move |index| Agent::register(&registrar, &user(index))?.into_stream();
        Ok(Some(Idle { server, log_in: Box::new(log_in) }))
    }
}
