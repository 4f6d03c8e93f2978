//! DNS: does each of our domains say where it is served, and is that here?

use std::net::{IpAddr, UdpSocket};

use super::Finding;
use crate::config::{Config, Listen, ListenProtocol};
use crate::federation::{DnsError, Protocol, Published, Service, Target};
use crate::hub::address::Domain;
use crate::server;

/// Asks about each domain.
pub(super) fn look(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    for domain in config.domains.iter() {
        match server::find_domain(&config.nameservers, domain, &Service::ALL) {
            Ok(Ok(published)) => findings.extend(judge(config, domain, &published, is_here)),
            Ok(Err(DnsError::Nothing)) => findings.push(nothing(config, domain)),
            Ok(Err(DnsError::Failed)) => findings.push(Finding::wrong(format!(
                "DNS of {domain}: no answer from the name servers: see [dns] nameservers, or ask again later"
            ))),
            Err(error) => findings.push(Finding::wrong(format!("DNS: cannot be asked: {error}"))),
        }
    }
    findings
}

/// Is it an address of this machine? Only those can be bound.
fn is_here(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// Which of our listeners others could use for a service, if it is published.
fn serves(listen: &Listen, service: Service) -> bool {
    let one = match service.protocol() {
        Protocol::Simp => ListenProtocol::Simp,
        Protocol::Imtp => ListenProtocol::Imtp,
        Protocol::Pitp => ListenProtocol::Pitp,
    };
    if listen.notification {
        return false;
    }
    if service.tls() {
        listen.tls && (listen.protocol == one || listen.protocol == ListenProtocol::Tls)
    } else {
        let reached = listen.address.ip().is_loopback() || listen.clear;
        listen.protocol == one && !listen.tls && reached
    }
}

fn record(domain: &Domain, service: Service, port: u16) -> String {
    format!("{}.{domain}. IN SRV 0 5 {port} im.{domain}.", service.label())
}

/// What a domain should publish for us, by the listeners that others are to use.
fn wanted(config: &Config) -> Vec<(Service, u16)> {
    Service::ALL
        .into_iter()
        .filter_map(|service| {
            let listen = config.listen.iter().find(|listen| serves(listen, service))?;
            Some((service, listen.address.port()))
        })
        .collect()
}

/// The records that a domain lacks, ready to be added. Those who insist on TLS find us by its records alone; what
/// is served in clear and told to nobody matters only where there is no TLS.
fn missing(config: &Config, domain: &Domain, published: &[Target]) -> (bool, String) {
    let wanted = wanted(config);
    let any_tls = wanted.iter().any(|(service, _)| service.tls());
    let has = |service| published.iter().any(|target| target.service == service);
    let records: Vec<String> = wanted
        .into_iter()
        .filter(|(service, _)| service.tls() == any_tls && !has(*service))
        .map(|(service, port)| format!("`{}`", record(domain, service, port)))
        .collect();
    (any_tls, records.join(", "))
}

fn nothing(config: &Config, domain: &Domain) -> Finding {
    let (_, records) = missing(config, domain, &[]);
    if records.is_empty() {
        return Finding::wrong(format!(
            "DNS of {domain}: nothing is published, and no listener is open to others: add one for TLS first"
        ));
    }
    Finding::wrong(format!(
        "DNS of {domain}: nothing is published: add {records} and an address of im.{domain} to its zone"
    ))
}

fn judge(
    config: &Config,
    domain: &Domain,
    published: &Published,
    is_here: impl Fn(IpAddr) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for target in &published.targets {
        findings.push(judge_target(config, domain, target, &is_here));
    }
    let (tls, missing) = missing(config, domain, &published.targets);
    if published.targets.is_empty() {
        let hint = if missing.is_empty() {
            String::new()
        } else {
            format!(": others try its address at the protocols' own ports; better add {missing}")
        };
        findings.push(Finding::wrong(format!("DNS of {domain}: no SRV record{hint}")));
    } else if !missing.is_empty() {
        findings.push(Finding::note(if tls {
            format!(
                "DNS of {domain}: served on TLS and not published; once the certificate is one that others trust, \
                 add {missing}"
            )
        } else {
            format!("DNS of {domain}: served and not published; add {missing}")
        }));
    }
    findings
}

fn judge_target(
    config: &Config,
    domain: &Domain,
    target: &Target,
    is_here: impl Fn(IpAddr) -> bool,
) -> Finding {
    let (service, host, port) = (target.service.label(), &target.host, target.port);
    let name = format!("DNS of {domain}: {service} is {host} port {port}");
    if target.addresses.is_empty() {
        return Finding::wrong(format!("{name}, which has no address: add an A or AAAA record of {host}"));
    }
    let at = |ip: IpAddr, listen: &Listen| {
        listen.address.port() == port
            && serves(listen, target.service)
            && (listen.address.ip() == ip || listen.address.ip().is_unspecified() && is_here(ip))
    };
    let (ours, others): (Vec<IpAddr>, Vec<IpAddr>) =
        target.addresses.iter().partition(|ip| config.listen.iter().any(|listen| at(**ip, listen)));
    let list = |ips: &[IpAddr]| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    if others.is_empty() {
        return Finding::ok(format!("{name} at {}: that is here", list(&ours)));
    }
    if others.iter().any(|ip| is_here(*ip)) {
        return Finding::wrong(format!(
            "{name} at {}, where no listener serves {service} to others: add a [[listen]], or correct the record",
            list(&others)
        ));
    }
    Finding::note(format!(
        "{name} at {}, no address of this machine: right only if it is forwarded here",
        list(&others)
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::cli::check::Mark;

    fn config(listen: &str) -> Config {
        let text = format!("domains=['a.test']\ndata_dir='d'\n{listen}\n[tls]\ncertificate='c'\nkey='k'\n");
        Config::parse(&text, Path::new("hearth.toml")).unwrap()
    }

    fn target(service: Service, port: u16, addresses: &[&str]) -> Target {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Target { service, priority: 0, weight: 5, port, host: "im.a.test".into(), addresses }
    }

    fn judged(listen: &str, targets: Vec<Target>, here: &[&str]) -> Vec<(Mark, String)> {
        let here: Vec<IpAddr> = here.iter().map(|ip| ip.parse().unwrap()).collect();
        let published = Published { targets, ..Published::default() };
        let domain = Domain::parse("a.test").unwrap();
        let found = judge(&config(listen), &domain, &published, |ip| here.contains(&ip));
        found.into_iter().map(|finding| (finding.mark, finding.text)).collect()
    }

    const CLEAR: &str = "[[listen]]\nprotocol='simp'\naddress='127.0.0.2:7467'";
    const TLS: &str = "[[listen]]\nprotocol='tls'\naddress='0.0.0.0:7443'";

    #[test]
    fn records_that_lead_here_are_right() {
        let found = judged(CLEAR, vec![target(Service::Simp, 7467, &["127.0.0.2"])], &["127.0.0.2"]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Mark::Ok, "{found:?}");
        let found = judged(TLS, vec![target(Service::Simps, 7443, &["192.0.2.7"])], &["192.0.2.7"]);
        assert_eq!((found.len(), found[0].0), (2, Mark::Ok), "{found:?}");
        // One port serves all that is found by TLS's records.
        let all = Service::ALL.into_iter().filter(|service| service.tls());
        let found = judged(TLS, all.map(|s| target(s, 7443, &["192.0.2.7"])).collect(), &["192.0.2.7"]);
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [Mark::Ok; 5], "{found:?}");
        let clear = "[[listen]]\nprotocol='pitp'\naddress='127.0.0.2:7487'";
        let both = vec![
            target(Service::PresenceServers, 7487, &["127.0.0.2"]),
            target(Service::PresenceClients, 7487, &["127.0.0.2"]),
        ];
        let found = judged(clear, both, &["127.0.0.2"]);
        assert_eq!(found.iter().map(|f| f.0).collect::<Vec<_>>(), [Mark::Ok; 2], "{found:?}");
    }

    #[test]
    fn records_that_lead_to_a_closed_port_are_wrong() {
        for (listen, service, port) in [
            (CLEAR, Service::Simp, 7468),
            (CLEAR, Service::Simps, 7467),
            (TLS, Service::Simp, 7443),
            (CLEAR, Service::ImServers, 7467),
            (TLS, Service::ImClients, 7443),
        ] {
            let found = judged(listen, vec![target(service, port, &["127.0.0.2"])], &["127.0.0.2"]);
            assert_eq!(found[0].0, Mark::Wrong, "{found:?}");
            assert!(found[0].1.contains("no listener serves"), "{found:?}");
        }
        // A clear listener beyond loopback serves nobody unless it is told to.
        let public = "[[listen]]\nprotocol='simp'\naddress='192.0.2.7:7467'";
        let simp = || vec![target(Service::Simp, 7467, &["192.0.2.7"])];
        assert_eq!(judged(public, simp(), &["192.0.2.7"])[0].0, Mark::Wrong);
        assert_eq!(judged(&format!("{public}\nclear=true"), simp(), &["192.0.2.7"])[0].0, Mark::Ok);
    }

    #[test]
    fn records_that_lead_elsewhere_are_noted() {
        let found = judged(TLS, vec![target(Service::Simps, 7443, &["192.0.2.7"])], &[]);
        assert_eq!(found[0].0, Mark::Note, "{found:?}");
        let found = judged(TLS, vec![target(Service::Simps, 7443, &[])], &[]);
        assert!(found[0].1.contains("has no address"), "{found:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let none = judged(TLS, Vec::new(), &[]);
        assert!(none[0].1.contains("_ims-servers._tcp.a.test. IN SRV 0 5 7443 im.a.test."), "{none:?}");
        let both = format!("{CLEAR}\n{TLS}");
        let found = judged(&both, vec![target(Service::Simp, 7467, &["127.0.0.2"])], &["127.0.0.2"]);
        assert_eq!(found[1].0, Mark::Note, "{found:?}");
        assert!(found[1].1.contains(", `_simps._tcp.a.test. IN SRV 0 5 7443 im.a.test.`"), "{found:?}");
        let imtp = format!("{CLEAR}\n[[listen]]\nprotocol='imtp'\naddress='127.0.0.2:4687'");
        let found = judged(&imtp, vec![target(Service::Simp, 7467, &["127.0.0.2"])], &["127.0.0.2"]);
        let wanted =
            "add `_im-servers._tcp.a.test. IN SRV 0 5 4687 im.a.test.`, `_im-clients._tcp.a.test. IN";
        assert!(found[1].0 == Mark::Note && found[1].1.contains(wanted), "{found:?}");
        let nothing = nothing(&config(CLEAR), &Domain::parse("a.test").unwrap());
        assert!(nothing.text.contains("add `_simp._tcp.a.test. IN SRV 0 5 7467"), "{nothing}");
    }
}
