//! The configuration, typed: what `hearth.toml` says, checked once and then believed.
//!
//! [`Config::load`] reads a file. Every mistake is one line that names the file, the line and what to do;
//! nothing is guessed and no unknown key is passed over. Relative paths are relative to the file's
//! folder. All that can be said, with the defaults:
//!
//! ```toml
#![doc = include_str!("../contrib/hearth.toml")]
//! ```

mod read;
mod section;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::federation::{Family, StaticPeer, Strength};
use crate::hub::address::Domains;
use crate::limits::Limits;

/// Longest file, octets: room for tens of thousands of peers.
const LONGEST: u64 = 16 * 1024 * 1024;

/// All of it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The domains this server is home to; the first is the default one. Not empty.
    pub domains: Domains,
    /// Where `hearth.db`, `hearth.key` and `control.sock` are.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// The server's certificate.
    pub tls: Option<Tls>,
    /// DNS servers to ask; none: the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Rules about other domains.
    pub federation: Federation,
    /// Peers set by hand.
    pub peers: Vec<StaticPeer>,
    /// SIMP's own settings.
    pub simp: Simp,
    /// Limits.
    pub limits: Limits,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// [`ConfigError`], in one line.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let wrong = |what| ConfigError { origin: path.to_owned(), line: None, what };
        let mut text = String::new();
        File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text)).map_err(
            |error| {
                wrong(match error.kind() {
                    ErrorKind::NotFound => {
                        "no such file: make one with `hearth init --domain YOUR.DOMAIN`".to_owned()
                    }
                    ErrorKind::InvalidData => "not UTF-8: save it as UTF-8".to_owned(),
                    _ => format!("cannot be read: {error}"),
                })
            },
        )?;
        if text.len() as u64 > LONGEST {
            return Err(wrong(format!("longer than {LONGEST} octets: not a configuration")));
        }
        Config::parse(&text, path)
    }

    /// Checks a text. `origin` is the file it is from: named in errors, and relative paths start from
    /// its folder.
    ///
    /// # Errors
    /// [`ConfigError`], in one line.
    pub fn parse(text: &str, origin: &Path) -> Result<Config, ConfigError> {
        read::config(text, origin)
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join("hearth.db")
    }

    /// The key file: device keys and login challenges are sealed with it.
    pub fn key_file(&self) -> PathBuf {
        self.data_dir.join("hearth.key")
    }

    /// The socket on which a running server listens to the command line.
    pub fn control_socket(&self) -> PathBuf {
        self.data_dir.join("control.sock")
    }
}

/// What is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    origin: PathBuf,
    line: Option<usize>,
    what: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.origin.display();
        match self.line {
            Some(line) => write!(f, "{origin}:{line}: {}", self.what),
            None => write!(f, "{origin}: {}", self.what),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What is spoken on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenProtocol {
    /// SIMP, routing and notification connections.
    Simp,
    /// IMTP, from clients and servers.
    Imtp,
    /// PITP, from clients and servers.
    Pitp,
    /// TLS, with the protocol chosen by ALPN.
    Tls,
}

/// A listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// What is spoken.
    pub protocol: ListenProtocol,
    /// Where.
    pub address: SocketAddr,
    /// TLS from the first octet.
    pub tls: bool,
    /// SIMP: only notification connections here. By default so on port 7468.
    pub notification: bool,
    /// Serve clients that are not on loopback without TLS.
    pub clear: bool,
}

/// The server's certificate and the authorities it trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// PEM chain, the server's own first.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// Authorities trusted beside the system's, PEM.
    pub ca: Option<PathBuf>,
}

/// Rules about other domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// Families of protocols to try, in order.
    pub order: Vec<Family>,
    /// How sure we must be of a peer.
    pub require: Strength,
    /// Talk to any domain that is not denied, or only to those that are allowed.
    pub open: bool,
}

/// Who may use SIMP routing connections (OC-01).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Routing {
    /// Peers that have proved their domain.
    #[default]
    Verified,
    /// Anybody, as drafted: for closed networks and tests of conformance.
    Open,
    /// Nobody: only `login` and `inquire`.
    Closed,
}

/// SIMP's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Simp {
    /// The host that a challenge names for the notification connection; by default the address that
    /// the client has reached us at.
    pub host: Option<String>,
    /// The port that a challenge names; by default that of the notification listener.
    pub port: Option<u16>,
    /// Who may use routing connections.
    pub routing: Routing,
    /// Where clients are diverted to at an orderly shutdown: a server with the same accounts and key file.
    pub divert: Option<(String, u16)>,
}
