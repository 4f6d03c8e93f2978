//! The DNS records that a domain must publish to be found, as lines of a zone file.

use std::net::IpAddr;

use super::{Certificate, Plan, TLS};
use crate::federation::Service;

/// Seconds that others may keep an answer.
const TTL: u32 = 3600;

/// The records, with what there is to say about them behind ';'.
pub(super) fn zone(plan: &Plan) -> String {
    let (domain, host) = (&plan.domain, &plan.host);
    let mut lines = vec![format!("; DNS records of {domain}, to be added to its zone:")];
    let (kind, address, made_up) = match plan.bind {
        IpAddr::V4(ip) if ip.is_unspecified() => ("A", "192.0.2.1".to_owned(), true),
        IpAddr::V6(ip) if ip.is_unspecified() => ("AAAA", "2001:db8::1".to_owned(), true),
        IpAddr::V4(ip) => ("A", ip.to_string(), false),
        IpAddr::V6(ip) => ("AAAA", ip.to_string(), false),
    };
    if made_up {
        lines.push(format!("; (put this machine's public address in place of {address})"));
    }
    lines.push(record(host.as_str(), kind, &address));
    let target = |port: u16| format!("0 5 {port} {host}.");
    let records = |tls: bool| {
        let services = Service::ALL.into_iter().filter(move |service| service.tls() == tls);
        services.map(move |service| {
            let port = if tls { TLS } else { service.protocol().port() };
            record(&format!("{}.{domain}", service.label()), "SRV", &target(port))
        })
    };
    if !plan.is_public() {
        lines.extend(records(false));
    }
    match plan.certificate {
        Certificate::Given { .. } => lines.extend(records(true)),
        Certificate::Dev => {
            lines.push("; and, once the certificate is from an authority that others trust:".to_owned());
            lines.extend(records(true).map(|line| format!("; {line}")));
        }
        Certificate::None if plan.is_public() => {
            lines.push("; and, once there is a certificate and its listener (see hearth.toml):".to_owned());
            lines.extend(records(true).map(|line| format!("; {line}")));
        }
        Certificate::None => {}
    }
    lines.join("\n")
}

fn record(owner: &str, kind: &str, data: &str) -> String {
    format!("{:<40} {TTL} IN {kind:<4} {data}", format!("{owner}."))
}
