//! Channel binding: what both ends of a TLS connection know of it and nobody between them can make the
//! same, so that a login is worth nothing on another connection (RFC 5056).
//!
//! The one type here is `tls-server-end-point` (RFC 5929 4), the hash of the server's certificate. It is
//! made once for each certificate. `tls-exporter` (RFC 9266) needs keys of the session, which rustls
//! does not export from the kind of connection that the server has ([`tls`](crate::server)); `tls-unique`
//! is not to be had in TLS 1.3.

use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_parser::oid_registry::{
    OID_HASH_SHA1, OID_NIST_HASH_SHA256, OID_NIST_HASH_SHA384, OID_NIST_HASH_SHA512, OID_PKCS1_MD5WITHRSAENC,
    OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ECDSA_WITH_SHA512,
};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::signature_algorithm::SignatureAlgorithm;
use x509_parser::x509::AlgorithmIdentifier;

/// `tls-server-end-point` of a server's certificate (DER). `None` where RFC 5929 defines none: for
/// signatures of no hash or of several (Ed25519), or of one that is not known here.
pub fn end_point(certificate: &[u8]) -> Option<Box<[u8]>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(match hash_of(&parsed.signature_algorithm)? {
        Hash::Sha256 => Sha256::digest(certificate).as_slice().into(),
        Hash::Sha384 => Sha384::digest(certificate).as_slice().into(),
        Hash::Sha512 => Sha512::digest(certificate).as_slice().into(),
    })
}

#[derive(Debug, Clone, Copy)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// The hash of a signature; SHA-256 in place of MD5 and SHA-1.
fn hash_of(signature: &AlgorithmIdentifier<'_>) -> Option<Hash> {
    let oid = &signature.algorithm;
    let is = |known: &[x509_parser::der_parser::Oid<'_>]| known.contains(oid);
    if is(&[
        OID_PKCS1_SHA256WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
        OID_PKCS1_SHA1WITHRSA,
        OID_PKCS1_MD5WITHRSAENC,
    ]) {
        return Some(Hash::Sha256);
    }
    if is(&[OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384]) {
        return Some(Hash::Sha384);
    }
    if is(&[OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512]) {
        return Some(Hash::Sha512);
    }
    let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(signature) else {
        return None;
    };
    let hash = parameters.hash_algorithm_oid();
    match () {
        () if *hash == OID_NIST_HASH_SHA256 || *hash == OID_HASH_SHA1 => Some(Hash::Sha256),
        () if *hash == OID_NIST_HASH_SHA384 => Some(Hash::Sha384),
        () if *hash == OID_NIST_HASH_SHA512 => Some(Hash::Sha512),
        () => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    use super::*;

    #[test]
    fn the_hash_is_the_signature_s() {
        // RFC 5929 4.1
        for (algorithm, length) in
            [(&PKCS_ECDSA_P256_SHA256, Some(32)), (&PKCS_ECDSA_P384_SHA384, Some(48)), (&PKCS_ED25519, None)]
        {
            let key = KeyPair::generate_for(algorithm).unwrap();
            let made = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().self_signed(&key).unwrap();
            let bound = end_point(made.der());
            assert_eq!(bound.as_ref().map(|b| b.len()), length);
            if length == Some(32) {
                assert_eq!(*bound.unwrap(), *Sha256::digest(made.der()));
            }
        }
        assert_eq!(end_point(b"no certificate"), None);
    }
}
