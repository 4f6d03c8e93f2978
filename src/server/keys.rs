//! What TLS is set up from: the server's certificate and key, the authorities it trusts, and how
//! peers' certificates are read.
//!
//! All files are read and checked in [`Keys::load`], so that a bad new certificate leaves the old
//! one in place.

use std::path::Path;
use std::sync::Arc;
use std::{fmt, fs};

use rustls::client::Resumption;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::{Zeroize, Zeroizing};

use crate::config::{ListenProtocol, Tls};
use crate::credential::channel;
use crate::node::io::Alpn;
use crate::server::tls::Session;

/// The protocols that are chosen by ALPN, the best first, with their names (design 8).
pub(super) const ALPN: [(Alpn, &[u8]); 3] =
    [(Alpn::Imtp, b"imtp"), (Alpn::Pitp, b"pitp"), (Alpn::Simp, b"simp/1.0")];
/// Sessions with peers that may be resumed; a few, since links are few.
const REMEMBERED_PEERS: usize = 64;
/// Names taken from one certificate.
pub(super) const NAMES: usize = 100;

/// Ready to speak TLS.
#[derive(Clone)]
pub(super) struct Keys {
    /// For accepted connections; none without a certificate.
    pub server: Option<Accepting>,
    /// For dialled ones.
    pub client: Arc<ClientConfig>,
    /// Who is believed.
    pub trust: Trust,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(keys)")
    }
}

impl Keys {
    /// Reads and checks the files that the configuration names. Blocks on the disk.
    ///
    /// # Errors
    /// One line that says which file is wrong, and how.
    pub(super) fn load(tls: Option<&Tls>) -> Result<Keys, String> {
        let roots = roots(tls.and_then(|t| t.ca.as_deref()))?;
        Keys::with(roots, tls.map(own_key).transpose()?)
    }

    /// The same without files: who is trusted, and who we are.
    ///
    /// # Errors
    /// One line, if TLS can't be set up.
    pub(super) fn with(roots: RootCertStore, own: Option<Arc<CertifiedKey>>) -> Result<Keys, String> {
        let provider = Arc::new(ring::default_provider());
        let algorithms = provider.signature_verification_algorithms;
        let trust = Trust { roots: Arc::new(roots), algorithms };
        let server = match &own {
            Some(own) => Some(Accepting::new(server_config(&provider, &trust, own)?, &own.cert)),
            None => None,
        };
        let client = Arc::new(client_config(&provider, &trust, own)?);
        Ok(Keys { server, client, trust })
    }
}

/// What accepted connections need.
#[derive(Clone)]
pub(super) struct Accepting {
    /// For the port of all protocols.
    any: Arc<ServerConfig>,
    /// For ports of one protocol, in the order of [`ALPN`]: a client may name others beside it.
    one: [Arc<ServerConfig>; ALPN.len()],
    /// Of the certificate, for SCRAM-PLUS.
    end_point: Option<Arc<[u8]>>,
}

impl Accepting {
    fn new(config: ServerConfig, chain: &[CertificateDer<'_>]) -> Accepting {
        let one = ALPN.map(|(_, name)| {
            let mut config = config.clone();
            config.alpn_protocols = vec![name.to_vec()];
            Arc::new(config)
        });
        let end_point = chain.first().and_then(|first| channel::end_point(first)).map(Arc::from);
        Accepting { any: Arc::new(config), one, end_point }
    }

    /// A session on a listener for this protocol.
    ///
    /// # Errors
    /// rustls' own, if the configuration is no good.
    pub(super) fn accept(&self, protocol: ListenProtocol) -> Result<Session, rustls::Error> {
        let [imtp, pitp, simp] = &self.one;
        let config = match protocol {
            ListenProtocol::Tls => &self.any,
            ListenProtocol::Imtp => imtp,
            ListenProtocol::Pitp => pitp,
            ListenProtocol::Simp => simp,
        };
        Session::accept(config.clone(), self.end_point.clone())
    }
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    trust: &Trust,
    own: &Arc<CertifiedKey>,
) -> Result<ServerConfig, String> {
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?
        .with_client_cert_verifier(Arc::new(Asking(trust.clone())))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(own.clone())));
    config.alpn_protocols = ALPN.iter().map(|(_, name)| name.to_vec()).collect();
    // Nothing is kept per connection: sessions live in tickets, which the client keeps.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ring::Ticketer::new().map_err(|e| format!("TLS cannot be set up: {e}"))?;
    config.send_tls13_tickets = 1;
    Ok(config)
}

fn client_config(
    provider: &Arc<CryptoProvider>,
    trust: &Trust,
    own: Option<Arc<CertifiedKey>>,
) -> Result<ClientConfig, String> {
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS cannot be set up: {e}"))?
        .with_root_certificates(trust.roots.clone());
    let mut config = match own {
        Some(own) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_PEERS);
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    match read() {
        Ok(chain) if chain.is_empty() => Err(format!("{} holds no certificate (PEM)", path.display())),
        Ok(chain) => Ok(chain),
        Err(e) => Err(format!("certificate {} cannot be read: {e}", path.display())),
    }
}

/// Our certificate with its key, which are for each other.
fn own_key(files: &Tls) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates(&files.certificate)?;
    let unreadable = |e: &dyn fmt::Display| format!("key {} cannot be read: {e}", files.key.display());
    // ring's form of the key is all that stays.
    let text = Zeroizing::new(fs::read(&files.key).map_err(|e| unreadable(&e))?);
    let mut key = PrivateKeyDer::from_pem_slice(&text).map_err(|e| unreadable(&e))?;
    let signing = ring::sign::any_supported_type(&key);
    key.zeroize();
    let own = signing.map(|signing| CertifiedKey::new(chain, signing));
    own.and_then(|own| own.keys_match().map(|()| Arc::new(own))).map_err(|e| {
        format!(
            "certificate {} and key {} do not go together: {e}",
            files.certificate.display(),
            files.key.display()
        )
    })
}

/// The system's authorities and the configuration's own.
fn roots(extra: Option<&Path>) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        log::warn!("a trusted root of the system cannot be read: {error}");
    }
    roots.add_parsable_certificates(native.certs);
    if let Some(path) = extra {
        for certificate in certificates(path)? {
            roots
                .add(certificate)
                .map_err(|e| format!("{} holds a certificate that cannot be trusted: {e}", path.display()))?;
        }
    }
    Ok(roots)
}

/// Who is believed, and by which algorithms.
#[derive(Clone)]
pub(super) struct Trust {
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Trust {
    /// The DNS names of a chain's first certificate: lower-case, wildcards left out; none if no trusted
    /// authority stands behind it. Servers show their server certificate as clients too, so either
    /// purpose will do.
    pub(super) fn names(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Vec<String> {
        let Some((first, rest)) = chain.split_first() else { return Vec::new() };
        let Ok(end_entity) = EndEntityCert::try_from(first) else { return Vec::new() };
        let verifies = |usage| {
            let roots = &self.roots.roots;
            let algorithms = self.algorithms.all;
            end_entity.verify_for_usage(algorithms, roots, rest, now, usage, None, None).map(|_| ())
        };
        let verdict = verifies(KeyUsage::server_auth()).or_else(|_| verifies(KeyUsage::client_auth()));
        if let Err(e) = verdict {
            log::debug!("a peer's certificate is not trusted: {e}");
            return Vec::new();
        }
        dns_names(first)
    }
}

/// The DNS names in a certificate, whoever has signed it; as [`Trust::names`] gives them.
pub(super) fn dns_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let dns = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) if !name.contains('*') => Some(name.to_ascii_lowercase()),
        _ => None,
    });
    dns.take(NAMES).collect()
}

/// Asks for a client certificate and lets anybody in: only that the client holds the key is checked in
/// the handshake. Whether the certificate says anything is [`Trust::names`]' business.
struct Asking(Trust);

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Asking")
    }
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// No hints: the list of all roots would be sent in every handshake.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if EndEntityCert::try_from(cert).is_err() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        rustls::crypto::verify_tls12_signature(message, cert, signature, &self.0.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // A certificate that can't be read gives no names either (`Trust::names` reads it the same way).
        if EndEntityCert::try_from(cert).is_err() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        rustls::crypto::verify_tls13_signature(message, cert, signature, &self.0.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.algorithms.supported_schemes()
    }
}
