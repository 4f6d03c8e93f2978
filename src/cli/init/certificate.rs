//! Certificates: one made for trying things out, or a first look at the operator's.

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType};

use crate::cli::failure::{Done, Failure};
use crate::credential::Secret;

/// How long a certificate of our own making is good for.
const LIFE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Clocks differ: it is good from a little earlier.
const SLACK: Duration = Duration::from_secs(3600);

/// A self-signed certificate for these names, the first being the subject, and for the address if it
/// is one of this machine alone: the PEM of the certificate and of its private key.
pub(super) fn make(names: &[&str], bind: IpAddr) -> Result<(String, Secret), Failure> {
    let failed = |error: rcgen::Error| Failure::new(format!("no certificate could be made: {error}"));
    let names_owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names_owned).map_err(failed)?;
    if !bind.is_unspecified() {
        params.subject_alt_names.push(SanType::IpAddress(bind));
    }
    params.distinguished_name.remove(DnType::CommonName);
    if let Some(subject) = names.first() {
        params.distinguished_name.push(DnType::CommonName, *subject);
    }
    // An end entity that is its own authority: put into another server's `ca`, it is trusted.
    params.is_ca = IsCa::ExplicitNoCa;
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(SLACK);
    params.not_after = epoch + (now + LIFE);
    let key = KeyPair::generate().map_err(failed)?;
    let certificate = params.self_signed(&key).map_err(failed)?;
    Ok((certificate.pem(), Secret::new(key.serialize_pem())))
}

/// Can they be read, and are they what they should be? `hearth check` looks closer.
pub(super) fn look_at(chain: &Path, key: &Path) -> Done {
    for (path, what, mark) in
        [(chain, "certificate", "-----BEGIN CERTIFICATE-----"), (key, "private key", "PRIVATE KEY-----")]
    {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::new(format!("{}: cannot be read: {error}", path.display())))?;
        if !text.contains(mark) {
            return Err(Failure::new(format!("{}: holds no PEM {what}", path.display())));
        }
    }
    Ok(())
}
