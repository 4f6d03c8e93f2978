//! A simulated DNS: what is published of each domain, and how late it is told.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::federation::{DnsError, Published, Service, Target};

/// What the resolver would come to know of one domain.
#[derive(Debug, Clone)]
pub struct Zone {
    /// The answer.
    pub answer: Result<Published, DnsError>,
    /// Milliseconds until it is there, besides the usual few.
    pub delay: u64,
}

/// All zones by domain name. A domain without one has [`DnsError::Nothing`].
#[derive(Debug, Clone, Default)]
pub struct Dns {
    zones: BTreeMap<String, Zone>,
}

impl Dns {
    /// Publishes an SRV record for `service` that points to one address.
    pub fn publish(&mut self, domain: &str, service: Service, address: IpAddr, port: u16) {
        let target = Target {
            service,
            priority: 0,
            weight: 0,
            port,
            host: format!("im.{domain}"),
            addresses: vec![address],
        };
        match self.zones.get_mut(domain).map(|z| &mut z.answer) {
            Some(Ok(published)) => {
                published.targets.push(target);
                let order = |s: Service| Service::ALL.iter().position(|&o| o == s);
                published.targets.sort_by_key(|t| order(t.service));
            }
            _ => {
                let published =
                    Published { targets: vec![target], addresses: vec![address], ..Published::default() };
                self.set(domain, Ok(published));
            }
        }
    }

    /// Replaces what is known of a domain.
    pub fn set(&mut self, domain: &str, answer: Result<Published, DnsError>) {
        self.zones.insert(domain.to_owned(), Zone { answer, delay: 0 });
    }

    /// Makes the answers about a domain late by so many milliseconds.
    pub fn slow(&mut self, domain: &str, delay: u64) {
        let empty = Zone { answer: Err(DnsError::Nothing), delay };
        self.zones.entry(domain.to_owned()).or_insert(empty).delay = delay;
    }

    /// What is known of a domain, and its delay.
    pub fn look_up(&self, domain: &str) -> (Result<Published, DnsError>, u64) {
        match self.zones.get(domain) {
            Some(zone) => (zone.answer.clone(), zone.delay),
            None => (Err(DnsError::Nothing), 0),
        }
    }
}
