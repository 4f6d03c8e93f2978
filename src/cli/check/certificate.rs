//! The certificate: is it valid, for how long, and does it name our domains?

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use x509_parser::extensions::GeneralName;
use x509_parser::pem::Pem;
use x509_parser::prelude::X509Certificate;

use super::Finding;
use crate::cli::house::day;
use crate::clock::Date;
use crate::config::{Config, Tls};

/// Days before its end from which a certificate should have been renewed: by then Let's Encrypt's have been
/// for a fortnight.
const SOON: i64 = 14;
const DAY: i64 = 24 * 3600 * 1000;

/// Looks at it.
pub(super) fn look(config: &Config, now: Date) -> Vec<Finding> {
    let Some(tls) = &config.tls else {
        return vec![Finding::note(
            "certificate: none; without [tls] nobody beyond this machine can be served safely",
        )];
    };
    let mut findings = Vec::new();
    match fs::read(&tls.certificate) {
        Ok(pem) => findings.extend(chain(config, &tls.certificate, &pem, now)),
        Err(error) => findings.push(Finding::wrong(format!(
            "certificate {}: cannot be read: {error}; correct [tls] certificate",
            tls.certificate.display()
        ))),
    }
    findings.extend(key(tls));
    findings
}

fn key(tls: &Tls) -> Option<Finding> {
    let path = tls.key.display();
    match fs::metadata(&tls.key).map(|meta| meta.permissions().mode()) {
        Err(error) => {
            Some(Finding::wrong(format!("private key {path}: cannot be read: {error}; correct [tls] key")))
        }
        Ok(mode) if mode & 0o007 != 0 => {
            Some(Finding::wrong(format!("private key {path}: open to everybody: `chmod o= {path}`")))
        }
        Ok(_) => crate::server::check_tls(tls).err().map(|why| Finding::wrong(format!("TLS: {why}"))),
    }
}

/// The server's own certificate is the first of its file.
fn chain(config: &Config, path: &Path, pem: &[u8], now: Date) -> Vec<Finding> {
    let path = path.display();
    let no_pem = || vec![Finding::wrong(format!("certificate {path}: not a PEM certificate"))];
    let Some(Ok(pem)) = Pem::iter_from_buffer(pem).next() else { return no_pem() };
    let Ok(certificate) = pem.parse_x509() else { return no_pem() };
    let mut findings = Vec::new();
    let from = certificate.validity().not_before.timestamp() * 1000;
    let to = certificate.validity().not_after.timestamp() * 1000;
    let until = day(Date(to));
    findings.push(if now.0 < from {
        Finding::wrong(format!(
            "certificate {path}: not valid before {}: is the clock right?",
            day(Date(from))
        ))
    } else if now.0 > to {
        Finding::wrong(format!("certificate {path}: ended on {until}: renew it, then SIGHUP the server"))
    } else if now.0 > to - SOON * DAY {
        Finding::wrong(format!("certificate {path}: ends on {until}: renew it now, then SIGHUP the server"))
    } else {
        Finding::ok(format!("certificate {path}: valid until {until}"))
    });
    if certificate.subject() == certificate.issuer() {
        findings.push(Finding::note(format!(
            "certificate {path}: self-signed; other servers trust it only if it is in their [tls] ca"
        )));
    }
    let names = names(&certificate);
    for domain in config.domains.iter() {
        findings.push(if names.iter().any(|name| name == domain.as_str()) {
            Finding::ok(format!("certificate {path}: names {domain}"))
        } else {
            Finding::wrong(format!(
                "certificate {path}: does not name {domain} (but {}): have it issued for {domain} itself, or no peer believes it",
                if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
            ))
        });
    }
    findings
}

/// Its DNS names, lower-case.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(san)) = certificate.subject_alternative_name() else { return Vec::new() };
    san.value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::check::Mark;

    const YEAR_2030: i64 = 1_893_456_000_000;

    fn looked_at(names: &[&str], days_left: i64) -> Vec<(Mark, String)> {
        let mut params =
            rcgen::CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
                .unwrap();
        params.not_before = rcgen::date_time_ymd(2029, 1, 1);
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let pem = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().pem();
        let config = Config::parse(
            "domains=['a.test']\ndata_dir='d'\n[[listen]]\nprotocol='simp'\naddress='127.0.0.1:1'",
            Path::new("hearth.toml"),
        )
        .unwrap();
        let now = Date(YEAR_2030 - days_left * DAY);
        let found = chain(&config, Path::new("c.pem"), pem.as_bytes(), now);
        found.into_iter().map(|f| (f.mark, f.text)).collect()
    }

    #[test]
    fn a_certificate_must_be_valid_for_a_while() {
        let first = |left| looked_at(&["a.test"], left).remove(0);
        assert_eq!(first(100).0, Mark::Ok);
        assert!(first(100).1.contains("valid until 2030-01-01"));
        assert_eq!(first(13).0, Mark::Wrong);
        assert!(first(13).1.contains("renew it now"));
        assert!(first(-1).1.contains("ended on 2030-01-01"));
        assert!(first(400).1.contains("is the clock right?"));
    }

    #[test]
    fn it_must_name_the_domain_itself() {
        let last = |names: &[&str]| looked_at(names, 100).pop().unwrap();
        assert_eq!(last(&["im.a.test", "a.test"]).0, Mark::Ok);
        let (mark, text) = last(&["im.a.test", "*.a.test"]);
        assert_eq!(mark, Mark::Wrong);
        assert!(text.contains("does not name a.test (but im.a.test, *.a.test)"), "{text}");
    }
}
