//! `hearth send`: a message from the command line, over SIMP like any other client's.

use std::env;
use std::fs;
use std::io::{IsTerminal, Read, stdin};
use std::net::SocketAddr;
use std::path::Path;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use rustls::RootCertStore;

use super::args::{self, Send, UserName};
use super::failure::{Done, Failure, one_line};
use super::house::{self, House};
use crate::cli::output::say;
use crate::client::blocking::{Client, Place, Tls};
use crate::client::{Account, Error, Proof};
use crate::clock::Now;
use crate::config::{Config, Listen, ListenProtocol};
use crate::credential::Secret;
use crate::federation::route::{self, Dead};
use crate::federation::{DnsError, Family, Service, Traffic};
use crate::hub::address::{Address, Domain, Domains};
use crate::limits;
use crate::server;

/// The environment's names for sender and key.
const ADDRESS: &str = "HEARTH_ADDRESS";
const KEY: &str = "HEARTH_KEY";
/// Longest key, octets.
const LONGEST_KEY: u64 = 4096;

/// Sends it.
pub fn run(config: Option<&Path>, send: Send) -> Done {
    let house = House::open_if_any(config)?;
    let ours = house.as_ref().map(|house| house.config.domains.clone()).unwrap_or_default();
    let sender = sender(&send, &ours)?;
    let to = recipient(&send.to, &sender, &ours)?;
    let proof = Proof::DeviceKey(key(&send, &sender)?);
    let text = text(&send)?;
    let account = Account::new(sender.as_str(), proof).map_err(Failure::usage)?;
    let mut client = login(&places(&send, house.as_ref(), &sender)?, &account)?;
    let outcome = client.send(to.as_str(), &text);
    // The message's fate is known: whether the farewell arrives changes nothing.
    let _ = client.close();
    match outcome {
        Ok(said) if said == crate::hub::KEPT => {
            say!("{to} is away: the message is kept and will be read later");
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(Error::Refused(why)) => Err(Failure::new(format!("not delivered to {to}: {why}"))),
        Err(error) => Err(Failure::new(format!("not known to be delivered to {to}: {error}"))),
    }
}

fn sender(send: &Send, ours: &Domains) -> Result<Address, Failure> {
    let name = match &send.sender {
        Some(name) => name.clone(),
        None => match env::var(ADDRESS) {
            Ok(text) => args::user(&text).map_err(|why| Failure::usage(format!("${ADDRESS}: {why}")))?,
            Err(_) => {
                return Err(Failure::usage(format!("who sends it? Say --as ADDRESS, or set ${ADDRESS}")));
            }
        },
    };
    whole(&name, ours)
}

/// A recipient without a domain is in the sender's.
fn recipient(name: &UserName, sender: &Address, ours: &Domains) -> Result<Address, Failure> {
    if name.as_str().contains('@') {
        return whole(name, ours);
    }
    let whole = format!("{name}@{}", sender.domain());
    Address::parse(&whole, ours).map_err(Failure::usage)
}

fn whole(name: &UserName, ours: &Domains) -> Result<Address, Failure> {
    name.resolve(ours).ok_or_else(|| {
        Failure::usage(format!("{name} is in which domain? Without a configuration, write {name}@DOMAIN"))
    })
}

fn key(send: &Send, sender: &Address) -> Result<Secret, Failure> {
    let key = if let Some(file) = &send.key_file {
        let mut text = String::new();
        fs::File::open(file)
            .and_then(|file| file.take(LONGEST_KEY).read_to_string(&mut text))
            .map_err(|error| Failure::new(format!("{}: cannot be read: {error}", file.display())))?;
        Secret::new(text)
    } else if let Ok(text) = env::var(KEY) {
        Secret::new(text)
    } else if stdin().is_terminal() {
        let asked = rpassword::prompt_password(format!("Device key of {sender}: "));
        Secret::new(asked.map_err(|error| Failure::new(format!("the key can't be read: {error}")))?)
    } else {
        return Err(Failure::usage(format!(
            "no device key of {sender}: give --key-file or set ${KEY} (`hearth user key add` makes one)"
        )));
    };
    let trimmed = key.expose().trim();
    if trimmed.is_empty() {
        return Err(Failure::new(format!("the device key of {sender} is empty")));
    }
    Ok(Secret::new(trimmed.to_owned()))
}

fn text(send: &Send) -> Result<String, Failure> {
    let text = match &send.text {
        Some(text) => text.clone(),
        None => {
            let mut text = String::new();
            // One octet more than a message may have, so that one too long is seen to be.
            let read = stdin().lock().take(limits::BODY as u64 + 1).read_to_string(&mut text);
            read.map_err(|error| Failure::new(format!("the message can't be read from stdin: {error}")))?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    if text.len() > limits::BODY {
        return Err(Failure::new(format!("the message is longer than {} octets", limits::BODY)));
    }
    Ok(text)
}

/// Where the server of the sender's domain may be, in the order to try.
fn places(send: &Send, house: Option<&House>, sender: &Address) -> Result<Vec<Place>, Failure> {
    if let Some(address) = send.server {
        let tls = send.tls.then(|| trust(sender.domain(), house.map(|h| &h.config))).transpose()?;
        return Ok(vec![place(address, tls)]);
    }
    match house.filter(|house| house.config.domains.contains(sender.domain())) {
        Some(house) => own(&house.config, sender.domain()),
        None => published(send, house, sender.domain()),
    }
}

/// Our own server, on this machine: in clear if it can be had.
fn own(config: &Config, domain: &str) -> Result<Vec<Place>, Failure> {
    let clear =
        config.listen.iter().find(|l| l.protocol == ListenProtocol::Simp && !l.tls && !l.notification);
    let tls = || {
        let speaks = |l: &&Listen| matches!(l.protocol, ListenProtocol::Simp | ListenProtocol::Tls);
        config.listen.iter().filter(speaks).find(|l| l.tls && !l.notification)
    };
    if let Some(listen) = clear {
        return Ok(vec![place(house::here(listen.address), None)]);
    }
    let listen = tls().ok_or_else(|| {
        Failure::new("the configuration has no listener for logins: add [[listen]] with protocol = \"simp\"")
    })?;
    Ok(vec![place(house::here(listen.address), Some(trust(domain, Some(config))?))])
}

fn published(send: &Send, house: Option<&House>, domain: &str) -> Result<Vec<Place>, Failure> {
    let nameservers = match send.dns {
        Some(dns) => vec![dns],
        None => house.map(|house| house.config.nameservers.clone()).unwrap_or_default(),
    };
    let name = Domain::parse(domain).map_err(Failure::usage)?;
    let found = server::find_domain(&nameservers, &name, &Service::CLIENTS).map_err(Failure::new)?.map_err(
        |error| {
            Failure::new(match error {
                DnsError::Nothing => format!("{domain} publishes no server in DNS: say --server IP:PORT"),
                DnsError::Failed => {
                    format!("DNS does not answer about {domain}: try later, or say --server IP:PORT")
                }
            })
        },
    )?;
    let mut random = ChaCha20Rng::from_seed(house::random()?);
    let order = [Family::Simp];
    route::published(Now::default(), &found, &order, Traffic::Messages, &Dead::default(), &mut random)
        .into_iter()
        .map(|at| {
            let tls = at.tls.then(|| trust(domain, house.map(|h| &h.config))).transpose()?;
            Ok(place(at.address, tls))
        })
        .collect()
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

/// Logs in at the first place that can be reached.
fn login(places: &[Place], account: &Account) -> Result<Client, Failure> {
    let mut last = None;
    for place in places {
        match Client::login(place, account.clone()) {
            Ok(client) => return Ok(client),
            Err(Error::Refused(why)) => {
                return Err(Failure::new(format!(
                    "{} can't log in: {}: is it a device key of his that was not taken away?",
                    account.address(),
                    one_line(&why)
                )));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(Failure::new(match last {
        Some(error) => format!("the server of {} can't be reached: {error}", account.address()),
        None => format!("the server of {} has no address", account.address()),
    }))
}
