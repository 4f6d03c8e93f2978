//! What XMPP servers have in common: each measure's users, whichever server they use.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Bench;
use crate::peer::{Idle, Logins, Messages, Peer, Watchers};
use crate::rig::Failure;
use crate::rig::group::Group;
use crate::rig::pairs::{BODY, pair};
use crate::rig::proc::note;
use crate::rig::xmpp::{self, Keys, Session};

/// The longest start.
const PATIENCE: Duration = Duration::from_secs(180);

/// Where servers of other domains are to be found.
pub struct Other {
    /// The domain.
    pub domain: &'static str,
    /// Its server.
    pub ip: IpAddr,
}

/// What one server is to be.
pub struct Site {
    /// For its files.
    pub folder: PathBuf,
    /// The domain it is home to.
    pub domain: &'static str,
    /// Where clients come.
    pub clients: SocketAddr,
    /// So many accounts of each name, numbered from 0.
    pub accounts: Vec<(&'static str, usize)>,
    /// Is presence needed?
    pub presence: bool,
    /// So many users watch `star0`: that stands in his roster and theirs.
    pub watchers: usize,
    /// The other domain, where there is one. Servers come to this one's address at XMPP's own port.
    pub other: Option<Other>,
}

/// A kind of XMPP server.
pub trait Kind {
    /// As the results call it.
    const NAME: &'static str;
    /// How it is configured.
    const CONFIGURATION: &'static str;
    /// Of two federating servers: the domain, and an address. They use XMPP's own port, so no other kind may be
    /// there.
    const DOMAINS: [(&'static str, [u8; 4]); 2];

    /// Which version.
    ///
    /// # Errors
    /// If it can't be asked.
    fn version() -> Result<String, Failure>;

    /// Starts one.
    ///
    /// # Errors
    /// If it does not start.
    fn start(site: &Site) -> Result<Group, Failure>;
}

/// That kind as a peer.
pub struct Xmpp<K>(pub K);

/// A server of the benchmark's own folder: a text with what stands between `@` filled in.
///
/// # Errors
/// If a file can't be read or written.
pub fn fill_in(template: &str, to: &Path, values: &[(&str, &str)]) -> Result<(), Failure> {
    let mut text = fs::read_to_string(kept(template))?;
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    fs::write(to, text)?;
    Ok(())
}

/// A file that is kept beside the benchmark.
pub fn kept(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers").join(name)
}

/// A running server.
struct Running {
    server: Group,
    site: Site,
    keys: Arc<Keys>,
}

impl Running {
    /// Starts it, and waits until the last of its accounts can log in.
    fn start<K: Kind>(site: Site) -> Result<Running, Failure> {
        let mut server = K::start(&site)?;
        let keys = Arc::new(Keys::default());
        let deadline = Instant::now() + PATIENCE;
        let last = site.accounts.last().map(|(name, count)| format!("{name}{}", count - 1));
        let last = last.unwrap_or_default();
        loop {
            server.check()?;
            let tried = Session::login(site.clients, site.domain, &last, &keys).and_then(Session::close);
            match tried {
                Ok(()) => return Ok(Running { server, site, keys }),
                Err(e) if Instant::now() > deadline => return Err(e),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    fn login(&self, user: &str) -> Result<Session, Failure> {
        Session::login(self.site.clients, self.site.domain, user, &self.keys)
    }
}

/// Logs pairs in: senders at one server, recipients at the other, which may be the same.
fn pairs(count: usize, from: &Running, to: &Running) -> Result<Messages, Failure> {
    let (mut conns, mut names) = (Vec::new(), Vec::new());
    for (alice, bob) in (0..count).map(pair) {
        let recipient = to.login(&bob)?.into_conn()?;
        conns.push((from.login(&alice)?.into_conn()?, recipient));
        names.push((format!("{alice}@{}", from.site.domain), format!("{bob}@{}", to.site.domain)));
    }
    let wire = Box::new(xmpp::Messages::new(&names, BODY));
    Ok(Messages { servers: Vec::new(), wire, pairs: conns, most: u64::MAX })
}

impl<K: Kind> Xmpp<K> {
    fn site(
        &self,
        bench: &Bench,
        measure: &str,
        accounts: Vec<(&'static str, usize)>,
    ) -> Result<Site, Failure> {
        Ok(Site {
            folder: bench.folder(&format!("{}-{measure}", K::NAME))?,
            domain: "one.test",
            clients: bench.address([127, 0, 0, 1])?,
            accounts,
            presence: false,
            watchers: 0,
            other: None,
        })
    }
}

impl<K: Kind> Peer for Xmpp<K> {
    fn name(&self) -> &'static str {
        K::NAME
    }

    fn version(&self) -> Result<String, Failure> {
        K::version()
    }

    fn configuration(&self) -> &'static str {
        K::CONFIGURATION
    }

    fn messages(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let users = vec![("alice", bench.pairs), ("bob", bench.pairs)];
        let running = Running::start::<K>(self.site(bench, "messages", users)?)?;
        let messages = pairs(bench.pairs, &running, &running)?;
        Ok(Some(Messages { servers: vec![running.server], ..messages }))
    }

    fn federated(&self, bench: &Bench) -> Result<Option<Messages>, Failure> {
        let half = |user, (domain, ip): (_, [u8; 4]), (other, at): (_, [u8; 4])| {
            let mut site = self.site(bench, domain, vec![(user, bench.pairs)])?;
            site.domain = domain;
            site.clients = bench.address(ip)?;
            site.other = Some(Other { domain: other, ip: at.into() });
            Running::start::<K>(site)
        };
        let [a, b] = K::DOMAINS;
        let (here, there) = (half("alice", a, b)?, half("bob", b, a)?);
        let messages = pairs(bench.pairs, &here, &there)?;
        Ok(Some(Messages { servers: vec![here.server, there.server], ..messages }))
    }

    fn watchers(&self, bench: &Bench) -> Result<Option<Watchers>, Failure> {
        let mut site = self.site(bench, "watchers", vec![("star", 1), ("user", bench.watchers)])?;
        (site.presence, site.watchers) = (true, bench.watchers);
        let running = Running::start::<K>(site)?;
        let crowd = xmpp::crowd(|user| running.login(user), "star0", bench.watchers, |i| format!("user{i}"))?;
        Ok(Some(Watchers { server: running.server, crowd }))
    }

    fn logins(&self, bench: &Bench) -> Result<Option<Logins>, Failure> {
        let site = self.site(bench, "logins", vec![("user", bench.accounts)])?;
        let Running { server, site, keys } = Running::start::<K>(site)?;
        let log_in =
            move |index| Session::login(site.clients, site.domain, &format!("user{index}"), &keys)?.close();
        Ok(Some(Logins { server, log_in: Box::new(log_in) }))
    }

    fn idle(&self, bench: &Bench) -> Result<Option<Idle>, Failure> {
        let mut site = self.site(bench, "idle", vec![("user", bench.most_idle())])?;
        site.presence = true;
        let Running { server, site, keys } = Running::start::<K>(site)?;
        note(&format!("{} has {} accounts", K::NAME, bench.most_idle()));
        let log_in = move |index| -> Result<TcpStream, Failure> {
            let mut session = Session::login(site.clients, site.domain, &format!("user{index}"), &keys)?;
            session.say("<presence/>")?;
            Ok(session.into_stream())
        };
        Ok(Some(Idle { server, log_in: Box::new(log_in) }))
    }
}
