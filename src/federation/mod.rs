//! Between domains: which server of another domain to talk to, and which to believe.
//!
//! [`route`] turns what DNS and the configuration say of a domain into an ordered list of places to
//! try; the node keeps one link per peer domain, opened on demand, and decides by the same facts
//! whether a connection may speak for a domain. Nothing here does I/O or knows a wire format.

pub mod route;

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::hub::address::Domain;

/// A protocol that another domain can be reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SIMP 1.0 on a routing connection.
    Simp,
}

/// A service that a domain publishes in DNS as an SRV record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `_simps._tcp`: SIMP on TLS.
    Simps,
    /// `_simp._tcp`: SIMP in clear.
    Simp,
}

impl Service {
    /// In the order of design 7.
    pub const ALL: [Service; 2] = [Service::Simps, Service::Simp];

    /// The owner name's first two labels.
    pub fn label(self) -> &'static str {
        match self {
            Service::Simps => "_simps._tcp",
            Service::Simp => "_simp._tcp",
        }
    }

    /// What is spoken there.
    pub fn protocol(self) -> Protocol {
        match self {
            Service::Simps | Service::Simp => Protocol::Simp,
        }
    }

    /// On TLS from the first octet?
    pub fn tls(self) -> bool {
        matches!(self, Service::Simps)
    }
}

/// An SRV record with the addresses of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Which service's.
    pub service: Service,
    /// Lower first.
    pub priority: u16,
    /// Share among equals.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host's name.
    pub host: String,
    /// The host's addresses, in the order DNS gave them; may be empty.
    pub addresses: Vec<IpAddr>,
}

/// What DNS says of a domain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Published {
    /// All SRV records of [`Service::ALL`], in the order of that list. A target `.` (service not
    /// offered, RFC 2782) is left out.
    pub targets: Vec<Target>,
    /// The domain's own addresses (A, AAAA).
    pub addresses: Vec<IpAddr>,
}

/// Why DNS told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsError {
    /// Neither SRV nor address records, or no such domain.
    Nothing,
    /// No answer in time, or a server's failure: may work later.
    Failed,
}

/// How sure we are that a connection speaks for a domain (design 7). Ordered: more is surer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strength {
    /// Its address is one that the domain's own DNS publishes, or the configuration names.
    #[default]
    Medium,
    /// Its certificate, from an authority we trust, names the domain.
    Strong,
}

/// A place to try: an address and how to talk there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// What is spoken.
    pub protocol: Protocol,
    /// On TLS? The certificate must name the peer's domain.
    pub tls: bool,
    /// Where.
    pub address: SocketAddr,
}

/// A peer set by hand, ahead of DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticPeer {
    /// Which domain.
    pub domain: Domain,
    /// Where.
    pub place: Place,
}
