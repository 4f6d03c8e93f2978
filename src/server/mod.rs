//! The shell around a [`Node`]: the only place with sockets, threads and clocks.
//!
//! [`Server::open`] takes the data directory, binds the listeners and starts the helpers: the
//! resolver, the password pool, the store's writer and reader. [`Server::run`] is the loop: one thread
//! carries octets between the sockets and the node, and never waits for anything but the poll.
//! Several servers may run in one process.
//!
//! * `poll`: the loop; `open`: how connections begin; `transfer`: how octets leave; `conn`: the
//!   table of connections; `socket`: options and limits of sockets
//! * `tls`: one TLS connection without its socket; `keys`: certificates and whom to believe
//! * `confine`: what the process gives up before it begins
//! * `answers`: the way back from the helpers `dns`, `password` and `disk`
//! * `control`: the operator's socket; `signals` and `reload`: SIGTERM, SIGHUP

mod answers;
mod confine;
mod conn;
pub mod control;
mod disk;
mod dns;
pub mod fuzz;
mod keys;
mod open;
mod password;
mod poll;
mod reload;
mod signals;
mod socket;
#[cfg(test)]
mod tests;
mod tls;
mod transfer;

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mio::{Interest, Poll, Registry};

use crate::config::{Config, Tls};
use crate::federation::{DnsError, Published, Service};
use crate::hub::address::Domain;
use crate::limits;
use crate::node::io::{Job, JobId};
use crate::node::{Node, Seed};
use crate::store::record::Batch;
use crate::store::{Lock, Mode, Store, StoreError};
use answers::{Answer, Answers};
use control::Control;
use disk::{Reader, Writer};
use dns::Dns;
use password::Passwords;
use poll::{Clock, Driver, Listener, Parts, Source, Work};
use signals::Signals;

/// Why a server could not start. Its `Display` is one line for the operator.
#[derive(Debug)]
pub enum ServerError {
    /// The data directory: taken by another server, of a newer version, a key file open to others.
    Store(StoreError),
    /// A listener can't be bound.
    Listen(SocketAddr, io::Error),
    /// TLS: a file is missing or wrong.
    Tls(String),
    /// The control socket can't be made.
    Control(PathBuf, io::Error),
    /// DNS can't be set up.
    Dns(io::Error),
    /// The operating system refuses something that can't be done without.
    System(io::Error),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServerError::Store(e) => e.fmt(f),
            ServerError::Listen(address, e) => match e.kind() {
                ErrorKind::AddrInUse => write!(
                    f,
                    "cannot listen on {address}: the port is taken; end the program that has it (ss -ltnp \
                     shows it) or change the listener's address"
                ),
                ErrorKind::PermissionDenied => write!(
                    f,
                    "cannot listen on {address}: ports below 1024 need privileges; use a higher port or \
                     give hearth CAP_NET_BIND_SERVICE"
                ),
                ErrorKind::AddrNotAvailable => {
                    write!(f, "cannot listen on {address}: this machine has no such address")
                }
                _ => write!(f, "cannot listen on {address}: {e}"),
            },
            ServerError::Tls(why) => f.write_str(why),
            ServerError::Control(path, e) => {
                write!(f, "cannot make the control socket {}: {e}", path.display())
            }
            ServerError::Dns(e) => {
                write!(f, "cannot set up DNS: {e}; check /etc/resolv.conf or set nameservers under [dns]")
            }
            ServerError::System(e) => write!(f, "the system refuses: {e}"),
        }
    }
}

impl std::error::Error for ServerError {}

impl From<StoreError> for ServerError {
    fn from(error: StoreError) -> ServerError {
        ServerError::Store(error)
    }
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> ServerError {
        ServerError::System(error)
    }
}

/// Runs a server until SIGTERM or SIGINT, in a process that can write beneath its data directory only; SIGHUP reads `config_path` and the certificates again.
///
/// # Errors
/// Why it could not start, or go on.
pub fn run(config: Arc<Config>, config_path: Option<PathBuf>) -> Result<(), ServerError> {
    confine::keep_memory_private();
    match confine::confine(&config) {
        Ok(said) => log::info!("{said}"),
        Err(said) => log::warn!("{said}"),
    }
    let mut server = Server::open(config)?;
    let token = |index| Source::Signals(index).token();
    server.parts.signals = Some(Signals::install(server.parts.poll.registry(), token)?);
    server.parts.config_path = config_path;
    server.run()
}

/// Asks DNS about these services of a domain as the server does, and waits for the answer: for commands.
///
/// # Errors
/// The resolver can't be set up: see [`ServerError::Dns`].
pub fn find_domain(
    nameservers: &[SocketAddr],
    domain: &Domain,
    services: &[Service],
) -> Result<Result<Published, DnsError>, ServerError> {
    dns::find(nameservers, domain, services).map_err(ServerError::Dns)
}

/// Can TLS be set up from these files? For commands.
///
/// # Errors
/// One line that says which file is wrong or missing.
pub fn check_tls(tls: &Tls) -> Result<(), String> {
    keys::Keys::load(Some(tls)).map(drop)
}

/// A server that is ready to run: everything that can fail has been tried.
pub struct Server {
    parts: Parts<Seed>,
    addresses: Vec<SocketAddr>,
}

/// Ends a server in order, from any thread.
#[derive(Debug, Clone)]
pub struct Stopper(Answers);

impl Stopper {
    /// Ends it: clients and peers are told, then [`Server::run`] returns. A second call cuts that short.
    pub fn stop(&self) {
        self.0.send(Answer::Stop);
    }
}

impl Server {
    /// Takes the data directory, binds the listeners, starts the helpers. From now on clients can
    /// connect; they are served once it runs.
    ///
    /// # Errors
    /// Why it can't start, in one line.
    pub fn open(config: Arc<Config>) -> Result<Server, ServerError> {
        let clock = Clock::start();
        let room = socket::room()?;
        let lock = Lock::serve(&config.data_dir)?;
        let key = crate::store::KeyFile::load(&config.key_file())?;
        let store = Store::open(&config.database(), &key, Mode::Open)?;
        let calendar = store.calendar()?;
        let reader = crate::store::Reader::open(&config.database(), &key)?;
        let keys = reload::load_keys(&config).map_err(ServerError::Tls)?;
        let poll = Poll::new()?;
        let registry = poll.registry();
        let (listeners, config) = listen(&config, registry)?;
        let in_control = |e| ServerError::Control(config.control_socket(), e);
        let mut control = Control::open(&config.data_dir).map_err(in_control)?;
        control.register(registry, Source::ControlListener.token()).map_err(in_control)?;
        let (answers, inbox) = Answers::new(registry, Source::Inbox.token())?;
        let helpers = Helpers::start(&config, &answers, (lock, store), reader)?;
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(|e| ServerError::System(io::Error::other(e.to_string())))?;
        let seed = Seed { config: config.clone(), random, key: key.derive("simp challenge"), calendar };
        let addresses = config.listen.iter().map(|l| l.address).collect();
        let parts = Parts {
            node: seed,
            clock,
            poll,
            inbox,
            answers,
            work: Box::new(helpers),
            listeners,
            control: Some(control),
            keys,
            signals: None,
            config,
            config_path: None,
            room,
        };
        Ok(Server { parts, addresses })
    }

    /// Where it listens, in the order of the configuration; the real ports, where that says 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For ending it from another thread.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.parts.answers.clone())
    }

    /// Runs it on this thread until it has ended.
    ///
    /// # Errors
    /// The operating system refuses to go on.
    pub fn run(self) -> Result<(), ServerError> {
        for listener in &self.parts.listeners {
            let kind = if listener.listen.tls { "TLS" } else { "clear text" };
            log::info!("listening on {} ({kind})", listener.listen.address);
        }
        let now = self.parts.clock.now();
        let mut driver = Driver::new(self.parts.with_node(|seed| Node::new(now, seed)));
        driver.run()?;
        log::info!("ended");
        Ok(())
    }
}

/// Binds the listeners; the configuration that comes back has their real addresses.
fn listen(config: &Config, registry: &Registry) -> Result<(Vec<Listener>, Arc<Config>), ServerError> {
    let mut config = config.clone();
    let mut listeners = Vec::new();
    for (index, listen) in config.listen.iter_mut().enumerate() {
        let bind = || -> io::Result<_> {
            let mut socket = socket::listen(listen.address)?;
            registry.register(&mut socket, Source::Listener(index as u32).token(), Interest::READABLE)?;
            Ok((socket.local_addr()?, socket))
        };
        let (address, socket) = bind().map_err(|e| ServerError::Listen(listen.address, e))?;
        listen.address = address;
        listeners.push(Listener { socket, listen: listen.clone(), ready: false });
    }
    Ok((listeners, Arc::new(config)))
}

/// The threads that do what would block.
struct Helpers {
    dns: Dns,
    passwords: Passwords,
    reader: Reader,
    writer: Writer,
}

impl Helpers {
    fn start(
        config: &Config,
        answers: &Answers,
        (lock, mut store): (Lock, Store),
        reader: crate::store::Reader,
    ) -> Result<Helpers, ServerError> {
        let dns = Dns::start(&config.nameservers, answers.clone()).map_err(ServerError::Dns)?;
        let passwords = Passwords::start(answers.clone())?;
        let reader = Reader::start(answers.clone(), move |questions| reader.read_all(questions))?;
        // The lock goes with the writer: the data directory is free when the last commit is over.
        let commit = move |batches: &[Batch]| {
            let _held = &lock;
            store.commit_batches(batches)
        };
        let writer = Writer::start(answers.clone(), commit)?;
        Ok(Helpers { dns, passwords, reader, writer })
    }
}

impl Work for Helpers {
    fn job(&self, job: JobId, work: Job) {
        match work {
            Job::Resolve(domain, asker) => self.dns.ask(job, domain, asker),
            Job::Read(question) => self.reader.ask(job, question),
            Job::VerifyPassword { verifier, password, known } => {
                self.passwords.check(job, verifier, password, known);
            }
        }
    }

    fn begin(&self) {
        self.reader.begin();
    }

    fn commit(&self, batch: Batch) {
        self.writer.commit(batch);
    }
}

impl Drop for Helpers {
    fn drop(&mut self) {
        let patience: Duration = limits::SHUTDOWN;
        // The writer's connection is the last to be closed, and leaves the whole database in one file.
        self.reader.finish(patience);
        if !self.writer.finish(patience) {
            log::error!("the disk did not take the last changes in time");
        }
    }
}
