//! Between domains: which server of another domain to talk to, and which to believe.
//!
//! [`route`] turns what DNS and the configuration say of a domain into an ordered list of places to
//! try; the node keeps one link per peer domain, opened on demand, and decides by the same facts
//! whether a connection may speak for a domain. Nothing here does I/O or knows a wire format.

pub mod peer;
pub mod route;

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::hub::address::Domain;

/// A protocol that another domain can be reached by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// SIMP 1.0 on a routing connection: messages and presence.
    Simp,
    /// IMTP: messages.
    Imtp,
    /// PITP: presence.
    Pitp,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 3] = [Protocol::Simp, Protocol::Imtp, Protocol::Pitp];

    /// Its name in the configuration and for people.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::Simp => "simp",
            Protocol::Imtp => "imtp",
            Protocol::Pitp => "pitp",
        }
    }

    /// Is this kind of traffic carried by it?
    pub fn carries(self, traffic: Traffic) -> bool {
        self.family().protocol(traffic) == Some(self)
    }

    /// The port that it is on where nothing else is said: SIMP-3.1-2, and design 8 for the ports that the
    /// transfer drafts leave blank.
    pub fn port(self) -> u16 {
        match self {
            Protocol::Simp => SIMP_PORT,
            Protocol::Imtp => IMTP_PORT,
            Protocol::Pitp => PITP_PORT,
        }
    }

    /// Whose member it is.
    pub fn family(self) -> Family {
        match self {
            Protocol::Simp => Family::Simp,
            Protocol::Imtp | Protocol::Pitp => Family::Imtp,
        }
    }
}

/// SIMP's port.
pub const SIMP_PORT: u16 = 7467;
/// IMTP's port.
pub const IMTP_PORT: u16 = 4687;
/// PITP's port.
pub const PITP_PORT: u16 = 7487;

/// Protocols that belong together: what `[federation] order` puts in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    /// IMTP and PITP.
    Imtp,
    /// SIMP.
    Simp,
}

impl Family {
    /// All, in the order that they are tried in unless the configuration says otherwise.
    pub const ALL: [Family; 2] = [Family::Imtp, Family::Simp];

    /// Its protocol for this kind of traffic, if it has one.
    pub fn protocol(self, traffic: Traffic) -> Option<Protocol> {
        match (self, traffic) {
            (Family::Simp, _) => Some(Protocol::Simp),
            (Family::Imtp, Traffic::Messages) => Some(Protocol::Imtp),
            (Family::Imtp, Traffic::Presence) => Some(Protocol::Pitp),
            (Family::Imtp, Traffic::Inquiries) => None,
        }
    }
}

/// What a peer's server is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// Messages, and the reports about them.
    Messages,
    /// Presence: fetching, subscriptions, notifications.
    Presence,
    /// Whether an address exists: what only some protocols have a word for (SIMP-5.5-1).
    Inquiries,
}

impl Traffic {
    /// All kinds.
    pub const ALL: [Traffic; 3] = [Traffic::Messages, Traffic::Presence, Traffic::Inquiries];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Traffic::Messages => "messages",
            Traffic::Presence => "presence",
            Traffic::Inquiries => "inquiries",
        }
    }
}

/// A service that a domain publishes in DNS as an SRV record: for servers of other domains, for its own
/// clients, or, with SIMP, for both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// `_ims-servers._tcp`: IMTP between servers, on TLS.
    ImServersTls,
    /// `_im-servers._tcp`: the same in clear.
    ImServers,
    /// `_presences-servers._tcp`: PITP between servers, on TLS.
    PresenceServersTls,
    /// `_presence-servers._tcp`: the same in clear.
    PresenceServers,
    /// `_ims-clients._tcp`: IMTP for clients, on TLS.
    ImClientsTls,
    /// `_im-clients._tcp`: the same in clear.
    ImClients,
    /// `_presences-clients._tcp`: PITP for clients, on TLS.
    PresenceClientsTls,
    /// `_presence-clients._tcp`: the same in clear.
    PresenceClients,
    /// `_simps._tcp`: SIMP on TLS.
    Simps,
    /// `_simp._tcp`: SIMP in clear.
    Simp,
}

impl Service {
    /// All, those on TLS ahead of the same in clear.
    pub const ALL: [Service; 10] = [
        Service::ImServersTls,
        Service::ImServers,
        Service::PresenceServersTls,
        Service::PresenceServers,
        Service::ImClientsTls,
        Service::ImClients,
        Service::PresenceClientsTls,
        Service::PresenceClients,
        Service::Simps,
        Service::Simp,
    ];
    /// What servers of other domains look for (design 7).
    pub const PEERS: [Service; 6] = [
        Service::ImServersTls,
        Service::ImServers,
        Service::PresenceServersTls,
        Service::PresenceServers,
        Service::Simps,
        Service::Simp,
    ];
    /// What clients look for.
    pub const CLIENTS: [Service; 6] = [
        Service::ImClientsTls,
        Service::ImClients,
        Service::PresenceClientsTls,
        Service::PresenceClients,
        Service::Simps,
        Service::Simp,
    ];

    /// The owner name's first two labels.
    pub fn label(self) -> &'static str {
        match self {
            Service::ImServersTls => "_ims-servers._tcp",
            Service::ImServers => "_im-servers._tcp",
            Service::PresenceServersTls => "_presences-servers._tcp",
            Service::PresenceServers => "_presence-servers._tcp",
            Service::ImClientsTls => "_ims-clients._tcp",
            Service::ImClients => "_im-clients._tcp",
            Service::PresenceClientsTls => "_presences-clients._tcp",
            Service::PresenceClients => "_presence-clients._tcp",
            Service::Simps => "_simps._tcp",
            Service::Simp => "_simp._tcp",
        }
    }

    /// What is spoken there.
    pub fn protocol(self) -> Protocol {
        match self {
            Service::ImServersTls | Service::ImServers | Service::ImClientsTls | Service::ImClients => {
                Protocol::Imtp
            }
            Service::PresenceServersTls
            | Service::PresenceServers
            | Service::PresenceClientsTls
            | Service::PresenceClients => Protocol::Pitp,
            Service::Simps | Service::Simp => Protocol::Simp,
        }
    }

    /// On TLS from the first octet?
    pub fn tls(self) -> bool {
        match self {
            Service::ImServersTls
            | Service::PresenceServersTls
            | Service::ImClientsTls
            | Service::PresenceClientsTls
            | Service::Simps => true,
            Service::ImServers
            | Service::PresenceServers
            | Service::ImClients
            | Service::PresenceClients
            | Service::Simp => false,
        }
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
    /// The SRV records of the services that were asked for ([`Service::PEERS`], [`Service::CLIENTS`]), in the
    /// order of [`Service::ALL`].
    pub targets: Vec<Target>,
    /// Services that the domain says it does not offer: their target is `.` (RFC 2782).
    pub declined: Vec<Service>,
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
