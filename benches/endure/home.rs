//! A home server with its folder, its users and its process, which can be killed and started again.

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hearth::admin::{AdminReply, AdminRequest, Status};
use hearth::client::blocking::Place;
use hearth::client::{Account, Error, Proof};
use hearth::clock::Date;
use hearth::credential::{Cost, PasswordRecord, Secret};
use hearth::hub::address::{Address, Domain, Domains};
use hearth::server::control;
use hearth::store::record::{AccountRecord, Change, WatcherPolicy, Write};
use hearth::store::{DATABASE_FILE, KEY_FILE, KeyFile, Mode, Reader, Store};

use crate::rig::house::{SECRET, Service, free_port};
use crate::rig::pipe::Target;
use crate::rig::proc::Process;
use crate::rig::simp::Routing;
use crate::rig::{Failure, hearth_binary};

/// The longest start.
const START: Duration = Duration::from_secs(30);
/// The longest that anything is under way.
const SETTLED: Duration = Duration::from_secs(60);
/// Between two looks at what gives no event.
const LOOK: Duration = Duration::from_millis(2);

/// A user to begin with.
#[derive(Debug, Clone)]
pub struct Resident {
    /// The local part of his address.
    pub local: String,
    /// Are messages kept for him while he is away?
    pub keeps: bool,
}

/// A home server.
pub struct Home {
    /// Its domain.
    pub domain: &'static str,
    dir: PathBuf,
    simp: SocketAddr,
    imtp: SocketAddr,
    pitp: SocketAddr,
    key: KeyFile,
    process: Mutex<Option<Process>>,
    starts: AtomicU64,
}

impl Home {
    /// Makes its folder and its key file.
    ///
    /// # Errors
    /// The file system's.
    pub fn new(parent: &Path, domain: &'static str, ip: IpAddr) -> Result<Home, Failure> {
        let dir = parent.join(domain);
        fs::create_dir_all(&dir)?;
        let [simp, imtp, pitp] = [free_port(ip)?, free_port(ip)?, free_port(ip)?];
        let key = KeyFile::create(&dir.join(KEY_FILE), [7; 32])?;
        let process = Mutex::new(None);
        Ok(Home { domain, dir, simp, imtp, pitp, key, process, starts: AtomicU64::new(0) })
    }

    /// Writes its configuration: whom it knows as a peer, the families in the order to try them, and whatever
    /// else there is to say.
    ///
    /// # Errors
    /// The file system's.
    pub fn configure(&self, peers: &[&Home], order: &str, more: &str) -> Result<(), Failure> {
        let mut text = format!("domains = [\"{}\"]\ndata_dir = \"{}\"\n\n", self.domain, self.dir.display());
        for (service, at) in self.listeners() {
            write!(text, "[[listen]]\nprotocol = \"{}\"\naddress = \"{at}\"\n\n", service.name())?;
        }
        for peer in peers {
            for (service, at) in peer.listeners() {
                let (domain, name) = (peer.domain, service.name());
                write!(
                    text,
                    "[[peer]]\ndomain = \"{domain}\"\nprotocol = \"{name}\"\naddress = \"{at}\"\n\n"
                )?;
            }
        }
        write!(text, "[federation]\norder = {order}\n\n{more}")?;
        fs::write(self.config(), text)?;
        Ok(())
    }

    /// Writes the database with users of one password and one device key each, whom anybody may watch.
    ///
    /// # Errors
    /// The store's.
    pub fn populate(&self, residents: &[Resident]) -> Result<(), Failure> {
        let mut store = Store::open(&self.dir.join(DATABASE_FILE), &self.key, Mode::Create)?;
        let password = PasswordRecord::with_cost(SECRET, [7; 32], Cost::LEAST)
            .map_err(|_| "the password is not taken")?;
        let domains = Domains::new(vec![Domain::parse(self.domain)?]);
        let (mut writes, date) = (Vec::new(), Date(0));
        for Resident { local, keeps } in residents {
            let address = Address::parse(&self.address(local), &domains)?.to_string();
            let (label, secret) = ("bench".to_owned(), Secret::new(SECRET.to_owned()));
            let watchers = WatcherPolicy::Allow;
            writes.extend(
                [
                    Change::AddAccount { address: address.clone(), password: password.clone(), date },
                    Change::AddKey { address: address.clone(), label, secret, date },
                    Change::SetWatchers { address: address.clone(), watchers },
                    Change::SetKeepsMessages { address, keeps: *keeps },
                ]
                .map(Write::Admin),
            );
        }
        store.commit(&writes)?;
        Ok(())
    }

    /// Starts the server and waits for the challenge to its first login: how long that took, and how much of it
    /// was the server's own work.
    ///
    /// # Errors
    /// If it ends, or takes too long.
    pub fn start(&self) -> Result<Ready, Failure> {
        let log = OpenOptions::new().create(true).append(true).open(self.log())?;
        let mut command = Command::new(hearth_binary());
        command.arg("--config").arg(self.config()).arg("serve").env("RUST_LOG", "warn");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let target = Target { address: self.simp, tls: None, from: None };
        let begun = Instant::now();
        let mut process = Process::start(command)?;
        loop {
            if let Ok(mut routing) = Routing::open(&target) {
                routing.challenge(&self.address("anybody"))?;
                break;
            }
            if let Some(status) = process.ended()? {
                return Err(Failure(format!("{} ended at once: {status}\n{}", self.domain, self.tail())));
            }
            if begun.elapsed() > START {
                return Err(Failure(format!("{} did not start in time\n{}", self.domain, self.tail())));
            }
            std::thread::sleep(LOOK / 2);
        }
        let ready = Ready { took: begun.elapsed(), work: process.cpu()? };
        *self.process() = Some(process);
        self.starts.fetch_add(1, Ordering::SeqCst);
        Ok(ready)
    }

    /// SIGKILL.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Asks the running server through its control socket.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn ask(&self, request: &AdminRequest) -> Result<AdminReply, Failure> {
        Ok(control::ask(&self.dir, request)?)
    }

    /// How the running server is.
    ///
    /// # Errors
    /// If it does not say.
    pub fn status(&self) -> Result<Status, Failure> {
        match self.ask(&AdminRequest::Status)? {
            AdminReply::Status(status) => Ok(*status),
            other => Err(Failure(format!("instead of a status {other:?}"))),
        }
    }

    /// How many peer domains the running server knows.
    ///
    /// # Errors
    /// If it does not say.
    pub fn peers(&self) -> Result<usize, Failure> {
        match self.ask(&AdminRequest::Peers)? {
            AdminReply::Peers(peers) => Ok(peers.len()),
            other => Err(Failure(format!("instead of its peers {other:?}"))),
        }
    }

    /// Waits until nothing waits for an answer and all that was to be written is.
    ///
    /// # Errors
    /// If that takes too long.
    pub fn settle(&self) -> Result<(), Failure> {
        until("all requests answered", SETTLED, || Ok(self.status()?.requests_waiting == 0))?;
        // Answered when it is committed, after whatever came before it.
        let change = Change::SetPeerRule { domain: "fence.example".to_owned(), rule: None };
        self.ask(&AdminRequest::Change(change)).map(drop)
    }

    /// How often it was started: sessions of an earlier start are dead.
    pub fn starts(&self) -> u64 {
        self.starts.load(Ordering::SeqCst)
    }

    /// Looks at the process.
    ///
    /// # Errors
    /// What `look` says, or that there is no process.
    pub fn with_process<T>(
        &self,
        look: impl FnOnce(&mut Process) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        look(self.process().as_mut().ok_or("it does not run")?)
    }

    /// Where a service is.
    pub fn place(&self, service: Service) -> Place {
        let at = self.at(service);
        Place::clear(&at.ip().to_string(), at.port())
    }

    /// The address of a service's listener.
    pub fn at(&self, service: Service) -> SocketAddr {
        match service {
            Service::Simp => self.simp,
            Service::Imtp => self.imtp,
            Service::Pitp => self.pitp,
        }
    }

    /// The address of a user.
    pub fn address(&self, local: &str) -> String {
        format!("{local}@{}", self.domain)
    }

    /// A user with what he logs in with: a device key for SIMP, else his password.
    ///
    /// # Errors
    /// None that can happen.
    pub fn account(&self, local: &str, service: Service) -> Result<Account, Error> {
        let secret = Secret::new(SECRET.to_owned());
        let proof = match service {
            Service::Simp => Proof::DeviceKey(secret),
            Service::Imtp | Service::Pitp => Proof::Password(secret),
        };
        Account::new(&self.address(local), proof)
    }

    /// The command line, with this input: its exit status is the answer.
    ///
    /// # Errors
    /// If it could not be run.
    pub fn command(&self, arguments: &[&str], input: &str) -> Result<Commanded, Failure> {
        let mut child = Command::new(hearth_binary())
            .arg("--config")
            .arg(self.config())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // It may have ended without reading.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output()?;
        let text = |octets: Vec<u8>| String::from_utf8_lossy(&octets).trim().to_owned();
        Ok(Commanded {
            done: output.status.success(),
            printed: text(output.stdout),
            complaint: text(output.stderr),
        })
    }

    /// The database as it is now.
    ///
    /// # Errors
    /// The store's.
    pub fn reader(&self) -> Result<Reader, Failure> {
        Ok(Reader::open(&self.dir.join(DATABASE_FILE), &self.key)?)
    }

    /// What the database has about a user.
    ///
    /// # Errors
    /// If it has nothing.
    pub fn kept(&self, local: &str) -> Result<AccountRecord, Failure> {
        let address = self.address(local);
        let user = self.reader()?.user(&address)?;
        Ok(user.ok_or_else(|| Failure(format!("{address} is gone")))?.account)
    }

    /// Database and write-ahead log, octets.
    pub fn octets(&self) -> (u64, u64) {
        let size = |name: String| fs::metadata(self.dir.join(name)).map_or(0, |m| m.len());
        (size(DATABASE_FILE.to_owned()), size(format!("{DATABASE_FILE}-wal")))
    }

    /// The end of its log.
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// How long its log is, octets.
    pub fn log_octets(&self) -> u64 {
        File::open(self.log()).and_then(|file| file.metadata()).map_or(0, |m| m.len())
    }

    /// Its folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn listeners(&self) -> [(Service, SocketAddr); 3] {
        [Service::Simp, Service::Imtp, Service::Pitp].map(|service| (service, self.at(service)))
    }

    fn config(&self) -> PathBuf {
        self.dir.join("hearth.toml")
    }

    fn log(&self) -> PathBuf {
        self.dir.join("serve.log")
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A start.
#[derive(Debug, Clone, Copy)]
pub struct Ready {
    /// From the start of the process to the first login challenge.
    pub took: Duration,
    /// CPU time of the process until then.
    pub work: Duration,
}

/// What came of a command.
pub struct Commanded {
    /// Exit status 0.
    pub done: bool,
    /// What it said on stdout.
    pub printed: String,
    /// What it said on stderr.
    pub complaint: String,
}

/// Waits until `ready` says yes, looking again and again.
///
/// # Errors
/// If that takes longer than `within`, or looking fails.
pub fn until(
    what: &str,
    within: Duration,
    mut ready: impl FnMut() -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let deadline = Instant::now() + within;
    while !ready()? {
        if Instant::now() > deadline {
            return Err(Failure(format!("{what}: not within {within:?}")));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}
