//! Where a client's server is: said on the command line, else in the configuration if the domain is ours, else
//! in DNS.

use std::net::SocketAddr;
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustls::RootCertStore;

use super::failure::Failure;
use super::house::{self, House};
use crate::client::blocking::{Place, Tls};
use crate::clock::Now;
use crate::config::{Config, Listen, ListenProtocol};
use crate::federation::route::{self, Dead};
use crate::federation::{DnsError, Protocol, Published, Service, Traffic};
use crate::hub::address::Domain;
use crate::server;

/// Finds the server of a user's domain.
#[derive(Debug)]
pub struct Finder<'h> {
    /// The configuration, if there is one here.
    pub house: Option<&'h House>,
    /// A name server to ask instead of the system's.
    pub dns: Option<SocketAddr>,
}

impl Finder<'_> {
    /// Where the server of a domain may be, in the order to try.
    ///
    /// # Errors
    /// There is none to be found, and what to do.
    pub fn places(&self, protocol: Protocol, domain: &str) -> Result<Vec<Place>, Failure> {
        match self.own(domain) {
            Some(config) => own(config, protocol, domain),
            None => self.published(protocol, domain),
        }
    }

    /// Does the server of a domain speak this, as far as the configuration or DNS say?
    pub fn serves(&self, protocol: Protocol, domain: &str) -> bool {
        match self.own(domain) {
            Some(config) => listener(config, protocol).is_some(),
            None => self.published(protocol, domain).is_ok_and(|places| !places.is_empty()),
        }
    }

    /// At this address; `tls`: it speaks TLS there.
    ///
    /// # Errors
    /// The certificates that are to be trusted can't be read.
    pub fn at(&self, address: SocketAddr, tls: bool, domain: &str) -> Result<Place, Failure> {
        let tls = tls.then(|| trust(domain, self.house.map(|house| &house.config))).transpose()?;
        Ok(place(address, tls))
    }

    fn own(&self, domain: &str) -> Option<&Config> {
        self.house.map(|house| &house.config).filter(|config| config.domains.contains(domain))
    }

    fn published(&self, protocol: Protocol, domain: &str) -> Result<Vec<Place>, Failure> {
        let found = self.ask(domain)?;
        let mut random = ChaCha20Rng::from_seed(house::random()?);
        let order = [protocol.family()];
        let traffic = if protocol == Protocol::Pitp { Traffic::Presence } else { Traffic::Messages };
        route::published(Now::default(), &found, &order, traffic, &Dead::default(), &mut random)
            .into_iter()
            .map(|at| self.at(at.address, at.tls, domain))
            .collect()
    }

    fn ask(&self, domain: &str) -> Result<Published, Failure> {
        let nameservers = match self.dns {
            Some(dns) => vec![dns],
            None => self.house.map(|house| house.config.nameservers.clone()).unwrap_or_default(),
        };
        let name = Domain::parse(domain).map_err(Failure::usage)?;
        server::find_domain(&nameservers, &name, &Service::CLIENTS).map_err(Failure::new)?.map_err(|error| {
            Failure::new(match error {
                DnsError::Nothing => format!("{domain} publishes no server in DNS: say --server"),
                DnsError::Failed => format!("DNS does not answer about {domain}: try later, or say --server"),
            })
        })
    }
}

/// Our own listener for clients, on this machine: in clear if it can be had.
fn listener(config: &Config, protocol: Protocol) -> Option<&Listen> {
    let own = match protocol {
        Protocol::Simp => ListenProtocol::Simp,
        Protocol::Imtp => ListenProtocol::Imtp,
        Protocol::Pitp => ListenProtocol::Pitp,
    };
    let mut all = config.listen.iter().filter(|listen| !listen.notification);
    let clear = all.clone().find(|listen| listen.protocol == own && !listen.tls);
    clear.or_else(|| all.find(|listen| listen.tls && (listen.protocol == own || is_for_all(listen))))
}

fn is_for_all(listen: &Listen) -> bool {
    listen.protocol == ListenProtocol::Tls
}

fn own(config: &Config, protocol: Protocol, domain: &str) -> Result<Vec<Place>, Failure> {
    let listen = listener(config, protocol).ok_or_else(|| {
        let name = match protocol {
            Protocol::Simp => "simp",
            Protocol::Imtp => "imtp",
            Protocol::Pitp => "pitp",
        };
        Failure::new(format!(
            "the configuration has no listener for logins: add [[listen]] with protocol = \"{name}\""
        ))
    })?;
    let tls = (listen.tls || is_for_all(listen)).then(|| trust(domain, Some(config))).transpose()?;
    Ok(vec![place(house::here(listen.address), tls)])
}

fn place(address: SocketAddr, tls: Option<Tls>) -> Place {
    let host = address.ip().to_string();
    match tls {
        Some(tls) => Place::secured(&host, address.port(), tls),
        None => Place::clear(&host, address.port()),
    }
}

/// Whose certificates are believed: the system's authorities, those of the configuration, and, for
/// our own domain, our own certificate.
fn trust(domain: &str, config: Option<&Config>) -> Result<Tls, Failure> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(tls) = config.and_then(|config| config.tls.as_ref()) {
        for file in tls.ca.iter().chain([&tls.certificate]) {
            roots.add_parsable_certificates(certificates(file)?);
        }
    }
    Tls::new(domain, roots).map_err(Failure::usage)
}

fn certificates(file: &Path) -> Result<Vec<rustls::pki_types::CertificateDer<'static>>, Failure> {
    use rustls::pki_types::pem::PemObject;
    rustls::pki_types::CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect)
        .map_err(|error| Failure::new(format!("{}: not PEM certificates: {error}", file.display())))
}
