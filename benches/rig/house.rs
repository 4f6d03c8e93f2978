//! A home server to be measured: its folder with configuration, accounts and certificate, and its
//! process.

use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hearth::clock::Date;
use hearth::credential::{Cost, PasswordRecord, Secret};
use hearth::hub::address::{Address, Domain, Domains};
use hearth::store::record::{Change, Write};
use hearth::store::{DATABASE_FILE, KEY_FILE, KeyFile, Mode, Store};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use super::pipe::Target;
use super::proc::{self, Process};
use super::shim::Shim;
use super::transfer::Keys;
use super::{Failure, hearth_binary};

/// The device key of every account, and the password.
pub const SECRET: &str = "benchmark-device-key";
/// Of every password.
const SALTS: [u8; 32] = [7; 32];
/// Accounts written in one transaction.
const BATCH: usize = 5000;
/// The longest start.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is spoken at a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// SIMP.
    Simp,
    /// IMTP.
    Imtp,
    /// PITP.
    Pitp,
}

impl Service {
    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Service::Simp => "simp",
            Service::Imtp => "imtp",
            Service::Pitp => "pitp",
        }
    }
}

/// A server's folder.
pub struct House {
    dir: PathBuf,
    /// The domain it is home to.
    pub domain: String,
    /// Its listener for SIMP.
    pub address: SocketAddr,
    imtp: SocketAddr,
    pitp: SocketAddr,
    /// The roots that its TLS listener is to be checked by, if that is one.
    tls: Option<Arc<ClientConfig>>,
    /// The port of all protocols on TLS, if it stands beside those in clear.
    beside: Option<(SocketAddr, Arc<ClientConfig>)>,
}

/// Limits for a benchmark that is one address and does what thousands would.
const LIMITS: &str = "[limits]\nconnections_per_address = 100000\nunproven_per_address = 100000\n\
                      logins_per_second = 1000000\nrequests_per_second_user = 1000000\n\
                      requests_per_second_peer = 10000000\n";

impl House {
    /// Prepares a folder for a domain at an address of this machine. `peers` are set by hand.
    ///
    /// # Errors
    /// Whatever keeps the files from being written.
    pub fn build(
        parent: &Path,
        domain: &str,
        address: SocketAddr,
        peers: &[(&str, SocketAddr)],
        tls: bool,
    ) -> Result<House, Failure> {
        let addresses = [address, free_port(address.ip())?, free_port(address.ip())?];
        let peers: Vec<_> = peers.iter().map(|(peer, at)| (*peer, Service::Simp, *at)).collect();
        House::build_at(parent, domain, addresses, &peers, tls)
    }

    /// The same at addresses for SIMP, IMTP and PITP, with peers of either family.
    ///
    /// # Errors
    /// Whatever keeps the files from being written.
    pub fn build_at(
        parent: &Path,
        domain: &str,
        [address, imtp, pitp]: [SocketAddr; 3],
        peers: &[(&str, Service, SocketAddr)],
        tls: bool,
    ) -> Result<House, Failure> {
        let dir = parent.join(domain);
        fs::create_dir_all(&dir)?;
        let mut text = format!("domains = [\"{domain}\"]\ndata_dir = \"{}\"\n\n", dir.display());
        for (service, at) in [(Service::Simp, address), (Service::Imtp, imtp), (Service::Pitp, pitp)] {
            let name = service.name();
            write!(text, "[[listen]]\nprotocol = \"{name}\"\naddress = \"{at}\"\ntls = {tls}\n\n")?;
        }
        for (peer, service, at) in peers {
            let name = service.name();
            write!(text, "[[peer]]\ndomain = \"{peer}\"\nprotocol = \"{name}\"\naddress = \"{at}\"\n\n")?;
        }
        let client = if tls {
            text.push_str("[tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n\n");
            Some(Arc::new(certify(&dir, domain)?))
        } else {
            None
        };
        text.push_str(LIMITS);
        fs::write(dir.join("hearth.toml"), text)?;
        Ok(House { dir, domain: domain.to_owned(), address, imtp, pitp, tls: client, beside: None })
    }

    /// Prepares a folder as an operator would have it: limits as they are by default, the protocols in clear
    /// and, beside them, the port of all on TLS. `further` stands at the end of the configuration.
    ///
    /// # Errors
    /// Whatever keeps the files from being written.
    pub fn ordinary(parent: &Path, domain: &str, ip: IpAddr, further: &str) -> Result<House, Failure> {
        let address = free_port(ip)?;
        let mut house = House::build(parent, domain, address, &[], false)?;
        let tls = free_port(ip)?;
        let mut client = certify(&house.dir, domain)?;
        client.alpn_protocols = vec![b"simp/1.0".to_vec()];
        house.beside = Some((tls, Arc::new(client)));
        let file = house.dir.join("hearth.toml");
        let text = fs::read_to_string(&file)?.replace(LIMITS, "");
        fs::write(
            file,
            format!(
                "{text}[[listen]]\nprotocol = \"tls\"\naddress = \"{tls}\"\n\n\
                 [tls]\ncertificate = \"certificate.pem\"\nkey = \"key.pem\"\n\n{further}"
            ),
        )?;
        Ok(house)
    }

    /// How to reach SIMP on the port of all protocols on TLS.
    pub fn beside(&self) -> Option<Target> {
        let (address, config) = self.beside.clone()?;
        Some(Target { address, tls: Some((config, self.domain.clone())), from: None })
    }

    /// Writes the database with accounts of one password, each with the same device key if `keys`.
    ///
    /// # Errors
    /// The store's.
    pub fn populate(&self, users: impl Iterator<Item = String>, keys: bool) -> Result<(), Failure> {
        let key = KeyFile::create(&self.dir.join(KEY_FILE), [7; 32])?;
        let mut store = Store::open(&self.dir.join(DATABASE_FILE), &key, Mode::Create)?;
        let password =
            PasswordRecord::with_cost(SECRET, SALTS, Cost::LEAST).map_err(|_| "the password is not taken")?;
        let domains = Domains::new(vec![Domain::parse(&self.domain)?]);
        let mut writes = Vec::with_capacity(2 * BATCH);
        for user in users {
            let address = Address::parse(&format!("{user}@{}", self.domain), &domains)?.to_string();
            let (password, date) = (password.clone(), Date(0));
            writes.push(Write::Admin(Change::AddAccount { address: address.clone(), password, date }));
            if keys {
                let (label, secret) = ("bench".to_owned(), Secret::new(SECRET.to_owned()));
                writes.push(Write::Admin(Change::AddKey { address, label, secret, date }));
            }
            if writes.len() >= 2 * BATCH {
                store.commit(&writes)?;
                writes.clear();
            }
        }
        store.commit(&writes)?;
        Ok(())
    }

    /// Starts the server and waits until it accepts connections.
    ///
    /// # Errors
    /// If it ends, or takes too long.
    pub fn serve(&self, shim: Option<&Shim>) -> Result<Process, Failure> {
        let mut command = proc::on_core(proc::SERVER_CORE, &hearth_binary());
        command.arg("--config").arg(self.dir.join("hearth.toml")).arg("serve").stdout(Stdio::null());
        // What it uses is read from /proc, by whoever measures.
        command.env("HEARTH_TRACEABLE", "1");
        if let Some(shim) = shim {
            shim.load(&mut command);
        }
        let mut process = Process::start(command)?;
        let deadline = Instant::now() + PATIENCE;
        while [self.address, self.imtp, self.pitp].iter().any(|at| TcpStream::connect(at).is_err()) {
            if let Some(status) = process.ended()? {
                return Err(Failure(format!("the server ended at once: {status}")));
            }
            if Instant::now() > deadline {
                return Err(Failure("the server did not start to listen".into()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(process)
    }

    /// Where its files are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The address of a user.
    pub fn user(&self, local: &str) -> String {
        format!("{local}@{}", self.domain)
    }

    /// How to reach one of its listeners.
    pub fn target(&self, service: Service) -> Target {
        let tls = self.tls.clone().map(|config| (config, self.domain.clone()));
        let address = match service {
            Service::Simp => self.address,
            Service::Imtp => self.imtp,
            Service::Pitp => self.pitp,
        };
        Target { address, tls, from: None }
    }
}

/// What every user proves himself with by SCRAM.
///
/// # Errors
/// None that can happen.
pub fn keys() -> Result<Keys, Failure> {
    Keys::new(SECRET, &SALTS[16..])
}

/// A free port of an address of this machine.
///
/// # Errors
/// If there is none.
pub fn free_port(ip: IpAddr) -> Result<SocketAddr, Failure> {
    Ok(TcpListener::bind((ip, 0))?.local_addr()?)
}

/// Makes the server's certificate, and a client that trusts nothing else.
fn certify(dir: &Path, domain: &str) -> Result<ClientConfig, Failure> {
    let certified = rcgen::generate_simple_self_signed(vec![domain.to_owned()])?;
    fs::write(dir.join("certificate.pem"), certified.cert.pem())?;
    fs::write(dir.join("key.pem"), certified.signing_key.serialize_pem())?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certified.cert.der().to_vec()))?;
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = [&b"simp/1.0"[..], b"imtp", b"pitp"].map(<[u8]>::to_vec).to_vec();
    Ok(config)
}
