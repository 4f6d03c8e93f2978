//! The server's configuration and files, as commands see them: found, read, and changed by whichever way
//! is open: through the control socket of the server that runs, or on the database when none does.

use std::env;
use std::io::{BufRead, stdin};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use super::args::UserName;
use super::failure::Failure;
use crate::admin::{AdminReply, AdminRequest};
use crate::clock::Date;
use crate::config::Config;
use crate::credential::Secret;
use crate::hub::address::Address;
use crate::server::control::{self, AskError};
use crate::store::record::{Change, Outcome, Write};
use crate::store::{KeyFile, Lock, Mode, Reader, Store, StoreError, Trouble};

/// Where a configuration is looked for last.
const SYSTEM: &str = "/etc/hearth/hearth.toml";
/// The environment's name for it.
const VARIABLE: &str = "HEARTH_CONFIG";
/// Longest line that is read from stdin as a secret, octets.
const LINE: u64 = 4096;

/// The longest path of a Unix socket, octets (unix(7): `sun_path` without its end).
const SOCKET_PATH: usize = 107;

/// A server: its configuration and all that this leads to.
#[derive(Debug)]
pub struct House {
    /// The configuration.
    pub config: Config,
    /// The file it is from.
    pub file: PathBuf,
}

/// Paths in the configuration are relative to its folder, paths given on the command line to this one.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}

/// Can the control socket have its path?
pub fn socket_fits(config: &Config) -> Result<(), Failure> {
    let socket = absolute(&config.control_socket())?;
    if socket.as_os_str().len() <= SOCKET_PATH {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{}: too long for a Unix socket ({SOCKET_PATH} octets at most): use a shorter data directory",
        socket.display()
    )))
}

impl House {
    /// Finds and reads the configuration.
    pub fn open(given: Option<&Path>) -> Result<House, Failure> {
        let file = locate(given).ok_or_else(|| {
            Failure::new(format!(
                "no configuration: make one with `hearth init --domain YOUR.DOMAIN`, or name it with --config or ${VARIABLE}"
            ))
        })?;
        let config = Config::load(&file).map_err(Failure::new)?;
        Ok(House { config, file })
    }

    /// As [`open`](House::open), for commands that also work elsewhere: none if there is none.
    pub fn open_if_any(given: Option<&Path>) -> Result<Option<House>, Failure> {
        if locate(given).is_none() { Ok(None) } else { House::open(given).map(Some) }
    }

    /// The address of one of our users.
    pub fn user(&self, name: &UserName) -> Result<Address, Failure> {
        let domains = &self.config.domains;
        // Its form was checked when the command line was.
        let address =
            name.resolve(domains).ok_or_else(|| Failure::usage(format!("{name}: not an address")))?;
        if domains.contains(address.domain()) {
            return Ok(address);
        }
        let ours: Vec<&str> = domains.iter().map(|d| d.as_str()).collect();
        Err(Failure::new(format!(
            "{} is no domain of this server, which serves {}: is that the right --config? ({})",
            address.domain(),
            ours.join(", "),
            self.file.display()
        )))
    }

    /// The key file, opened.
    pub fn key(&self) -> Result<KeyFile, Failure> {
        KeyFile::load(&self.config.key_file()).map_err(Failure::new)
    }

    /// The database, for reading: whether a server runs or not.
    pub fn reader(&self) -> Result<Reader, Failure> {
        let (path, key) = (self.config.database(), self.key()?);
        match Reader::open(&path, &key) {
            // Nobody serves it, so it is brought up to date here, as `serve` would.
            Err(StoreError { trouble: Trouble::Older { .. }, .. }) => {
                let _lock = Lock::command(&self.config.data_dir).map_err(Failure::new)?;
                Store::open(&path, &key, Mode::Open).map_err(Failure::new)?;
                Reader::open(&path, &key).map_err(Failure::new)
            }
            opened => opened.map_err(Failure::new),
        }
    }

    /// Makes a change, durable when this returns.
    pub fn change(&self, change: Change) -> Result<Outcome, Failure> {
        match Lock::command(&self.config.data_dir) {
            Ok(_lock) => {
                let store = Store::open(&self.config.database(), &self.key()?, Mode::Open);
                let outcomes = store.and_then(|mut store| store.commit(&[Write::Admin(change)]));
                let first = outcomes.map_err(Failure::new)?.first().copied();
                first.ok_or_else(|| Failure::new("the database did not say what became of the change"))
            }
            Err(StoreError { trouble: Trouble::Running { .. }, .. }) => {
                match self.ask(&AdminRequest::Change(change))? {
                    Some(AdminReply::Outcome(outcome)) => Ok(outcome),
                    Some(other) => Err(self.unexpected(&other)),
                    None => Err(Failure::new(
                        "the server is just starting or ending, and can't be asked: try again in a moment",
                    )),
                }
            }
            Err(error) => Err(Failure::new(error)),
        }
    }

    /// Asks the running server; none if none runs.
    pub fn ask(&self, request: &AdminRequest) -> Result<Option<AdminReply>, Failure> {
        match control::ask(&self.config.data_dir, request) {
            Ok(reply) => Ok(Some(reply)),
            Err(AskError::NotRunning) => Ok(None),
            Err(error) => Err(Failure::new(error)),
        }
    }

    /// The server answered, but not the question.
    pub fn unexpected(&self, reply: &AdminReply) -> Failure {
        match reply {
            AdminReply::Failed(why) => Failure::new(why),
            _ => Failure::new(
                "the server's answer was not understood: does it run the same version as this program?",
            ),
        }
    }

    /// What was asked needs a running server.
    pub fn not_running(&self) -> Failure {
        Failure::new(format!(
            "no server runs on {}: start it with `hearth --config {} serve`",
            self.config.data_dir.display(),
            self.file.display()
        ))
    }

    /// There is no such user.
    pub fn no_user(&self, address: &Address) -> Failure {
        Failure::new(format!("there is no user {address}: see `hearth user list`"))
    }
}

/// The configuration's file: what was given, or the first place where there is one.
fn locate(given: Option<&Path>) -> Option<PathBuf> {
    if let Some(file) = given {
        return Some(file.to_owned());
    }
    if let Some(file) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return Some(file.into());
    }
    ["hearth.toml", SYSTEM].iter().map(PathBuf::from).find(|file| file.exists())
}

/// Makes the key file and an empty database.
pub fn found(config: &Config) -> Result<(), Failure> {
    let key = KeyFile::create(&config.key_file(), random()?).map_err(Failure::new)?;
    Store::open(&config.database(), &key, Mode::Create).map_err(Failure::new)?;
    Ok(())
}

/// Random octets of the operating system.
pub fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut octets = [0; N];
    getrandom::fill(&mut octets)
        .map_err(|error| Failure::new(format!("the system gives no random numbers: {error}")))?;
    Ok(octets)
}

/// The date.
pub fn now() -> Date {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Date(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A date for people: the day, in UTC.
pub fn day(date: Date) -> String {
    match time::OffsetDateTime::from_unix_timestamp(date.0.div_euclid(1000)) {
        Ok(moment) => moment.date().to_string(),
        Err(_) => "unknown".to_owned(),
    }
}

/// Where a listener is reached from this machine: it may listen on a wildcard.
pub fn here(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The first line of stdin, which is a secret.
pub fn first_line_of_stdin(what: &str) -> Result<Secret, Failure> {
    let mut line = zeroize::Zeroizing::new(String::new());
    let mut input = std::io::Read::take(stdin().lock(), LINE);
    input
        .read_line(&mut line)
        .map_err(|error| Failure::new(format!("the {what} can't be read from stdin: {error}")))?;
    let text = line.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        return Err(Failure::new(format!("stdin has no {what}: give it on the first line")));
    }
    Ok(Secret::new(text.to_owned()))
}
