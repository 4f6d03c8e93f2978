//! `hearth init`: makes a server, and says what its domain must publish.

mod certificate;
mod files;
mod records;
mod template;

use crate::cli::output::say;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::args::Init;
use super::failure::{Done, Failure};
use super::house;
use crate::config::Config;
use crate::hub::address::Domain;
use files::NewFiles;

/// SIMP's notification connections.
const NOTIFICATION: u16 = 7468;
/// TLS, for all protocols.
const TLS: u16 = 7443;

/// What is to be made, decided.
struct Plan {
    domain: Domain,
    host: Domain,
    bind: IpAddr,
    certificate: Certificate,
    data_dir: PathBuf,
    dns: Option<std::net::SocketAddr>,
}

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Certificate {
    /// There is none.
    None,
    /// Made by us: nobody else trusts it.
    Dev,
    /// The operator's.
    Given {
        /// The chain, as the configuration names it.
        chain: PathBuf,
        /// The private key.
        key: PathBuf,
    },
}

impl Plan {
    fn new(init: &Init) -> Result<Plan, Failure> {
        let host = match &init.host {
            Some(host) => host.clone(),
            None => Domain::parse(&format!("im.{}", init.domain))
                .map_err(|_| Failure::usage("the domain is too long for im.DOMAIN: give --host NAME"))?,
        };
        let certificate = match (&init.certificate, &init.key) {
            (Some(chain), Some(key)) => {
                Certificate::Given { chain: house::absolute(chain)?, key: house::absolute(key)? }
            }
            _ if init.dev => Certificate::Dev,
            _ => Certificate::None,
        };
        let data_dir = match &init.data_dir {
            Some(dir) => house::absolute(dir)?,
            None => PathBuf::from("."),
        };
        Ok(Plan { domain: init.domain.clone(), host, bind: init.bind, certificate, data_dir, dns: init.dns })
    }

    /// Is a listener on the address reached from other machines?
    fn is_public(&self) -> bool {
        !self.bind.is_loopback()
    }

    fn has_tls(&self) -> bool {
        self.certificate != Certificate::None
    }
}

/// Makes everything, or nothing.
pub fn run(init: &Init) -> Done {
    let plan = Plan::new(init)?;
    let mut made = NewFiles::default();
    let config = make(&plan, &init.dir, &mut made)?;
    made.keep()?;
    tell(&plan, init, &config);
    Ok(())
}

fn make(plan: &Plan, dir: &Path, made: &mut NewFiles) -> Result<Config, Failure> {
    if let Certificate::Given { chain, key } = &plan.certificate {
        certificate::look_at(chain, key)?;
    }
    // A folder of nothing but the configuration may be looked into; one that holds the data may not.
    made.folder(dir, if plan.data_dir == Path::new(".") { 0o700 } else { 0o755 })?;
    let file = dir.join("hearth.toml");
    let text = template::config(plan);
    made.file(&file, text.as_bytes(), 0o644)?;
    let config = Config::parse(&text, &file).map_err(Failure::new)?;
    house::socket_fits(&config)?;
    made.folder(&config.data_dir, 0o700)?;
    if plan.certificate == Certificate::Dev
        && let Some(tls) = &config.tls
    {
        let (chain, key) = certificate::make(&[plan.domain.as_str(), plan.host.as_str()], plan.bind)?;
        made.file(&tls.certificate, chain.as_bytes(), 0o644)?;
        made.file(&tls.key, key.expose().as_bytes(), 0o600)?;
    }
    made.claim(&config.key_file())?;
    made.claim(&config.database())?;
    house::found(&config)?;
    Ok(config)
}

fn tell(plan: &Plan, init: &Init, config: &Config) {
    let here = init.dir == Path::new(".");
    let file = if here { PathBuf::from("hearth.toml") } else { init.dir.join("hearth.toml") };
    say!("; hearth for {} is made: {}", plan.domain, file.display());
    say!(";   database {}, key file {}", config.database().display(), config.key_file().display());
    say!(";");
    say!("{}", records::zone(plan));
    say!(";");
    say!("; Next:");
    let at = if here { String::new() } else { format!("--config {} ", file.display()) };
    say!(";   hearth {at}user add alice");
    say!(";   hearth {at}user key add alice phone");
    say!(";   hearth {at}serve");
    say!(";   hearth {at}check");
}
