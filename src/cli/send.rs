//! `hearth send`: a message from the command line, over IMTP or SIMP like any other client's.

use std::env;
use std::fs;
use std::io::{IsTerminal, Read, stdin};
use std::path::Path;

use super::args::{self, Over, Send, UserName};
use super::failure::{Done, Failure};
use super::house::{self, House};
use super::places::Finder;
use crate::cli::harmless::one_line;
use crate::cli::output::say;
use crate::client::blocking::transfer::Messages;
use crate::client::blocking::{Client, Place};
use crate::client::transfer::Body;
use crate::client::transfer::imtp::Sent;
use crate::client::{Account, Error, Proof};
use crate::credential::Secret;
use crate::federation::{Protocol, SIMP_PORT};
use crate::hub::KEPT;
use crate::hub::address::{Address, Domains};
use crate::limits;

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
    let finder = Finder { house: house.as_ref(), dns: send.dns };
    let over = over(&send, &finder, &sender);
    let proof = proof(&send, over, &sender)?;
    let text = text(&send)?;
    let account = Account::new(sender.as_str(), proof).map_err(Failure::usage)?;
    let places = places(&send, &finder, over, &sender)?;
    match over {
        Over::Imtp => over_imtp(&places, &account, &to, &text),
        Over::Simp => over_simp(&places, &account, &to, &text),
    }
}

fn over_simp(places: &[Place], account: &Account, to: &Address, text: &str) -> Done {
    let mut client = login(places, account, |place| Client::login(place, account.clone()))?;
    let outcome = client.send(to.as_str(), text);
    // The message's fate is known: whether the farewell arrives changes nothing.
    let _ = client.close();
    match outcome {
        Ok(said) if said == KEPT => {
            say!("{to} is away: the message is kept and will be read later");
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(Error::Refused(why)) => Err(Failure::new(format!("not delivered to {to}: {why}"))),
        Err(error) => Err(Failure::new(format!("not known to be delivered to {to}: {error}"))),
    }
}

fn over_imtp(places: &[Place], account: &Account, to: &Address, text: &str) -> Done {
    let mut client = login(places, account, |place| Messages::login(place, account))?;
    let outcome = client.send(to.as_str(), &Body::plain(text));
    let _ = client.close();
    match outcome {
        Ok(Sent { said: Some(said), .. }) if said.octets == KEPT.as_bytes() => {
            say!("{to} is away: the message is kept and will be read later");
            Ok(())
        }
        // What a recipient's side has to say, when he is away for example (IMTP-16.2-14).
        Ok(Sent { said: Some(said), .. }) => {
            say!("{to} says: {}", one_line(&said.text()));
            Ok(())
        }
        Ok(Sent { unreliable: Some(who), .. }) => {
            say!("{to} will have it later: {} can't tell when", one_line(&who));
            Ok(())
        }
        Ok(_) => Ok(()),
        Err(Error::Failed(why)) => Err(Failure::new(format!("not delivered to {to}: {why}"))),
        Err(error) => Err(Failure::new(format!("not known to be delivered to {to}: {error}"))),
    }
}

/// What to speak, unless it is said: with a password IMTP, where the server has it; with a device key SIMP.
fn over(send: &Send, finder: &Finder<'_>, sender: &Address) -> Over {
    if let Some(over) = send.over {
        return over;
    }
    let has_key = send.key_file.is_some() || env::var_os(KEY).is_some();
    let asks = send.password_stdin || (!has_key && stdin().is_terminal());
    let serves = || match send.server {
        Some(server) => server.port() != SIMP_PORT,
        None => finder.serves(Protocol::Imtp, sender.domain()),
    };
    if asks && serves() { Over::Imtp } else { Over::Simp }
}

/// What the sender logs in with. A password is good for SIMP too, where nobody can listen in.
fn proof(send: &Send, over: Over, sender: &Address) -> Result<Proof, Failure> {
    if send.password_stdin {
        return house::first_line_of_stdin("password").map(Proof::Password);
    }
    match over {
        Over::Simp => key(send, sender).map(Proof::DeviceKey),
        Over::Imtp if stdin().is_terminal() => {
            let asked = rpassword::prompt_password(format!("Password of {sender}: "));
            let asked =
                asked.map_err(|error| Failure::new(format!("the password can't be read: {error}")))?;
            Ok(Proof::Password(Secret::new(asked)))
        }
        Over::Imtp => {
            let hint = "give it with --password-stdin, or use --over simp with a device key";
            Err(Failure::usage(format!("no password of {sender}: {hint}")))
        }
    }
}

/// Where the server of the sender's domain may be, in the order to try.
fn places(send: &Send, finder: &Finder<'_>, over: Over, sender: &Address) -> Result<Vec<Place>, Failure> {
    let protocol = match over {
        Over::Imtp => Protocol::Imtp,
        Over::Simp => Protocol::Simp,
    };
    match send.server {
        Some(address) => Ok(vec![finder.at(address, send.tls, sender.domain())?]),
        None => finder.places(protocol, sender.domain()),
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

/// Logs in at the first place that can be reached.
fn login<C>(
    places: &[Place],
    account: &Account,
    login: impl Fn(&Place) -> Result<C, Error>,
) -> Result<C, Failure> {
    let mut last = None;
    let refused = |why: &str, hint: &str| {
        Failure::new(format!("{} can't log in: {}: {hint}", account.address(), one_line(why)))
    };
    for place in places {
        match login(place) {
            Ok(client) => return Ok(client),
            Err(Error::Refused(why)) => {
                return Err(refused(&why, "is it a device key of his that was not taken away?"));
            }
            Err(Error::Failed(why)) => return Err(refused(&why.to_string(), "is that his password?")),
            Err(error) => last = Some(error),
        }
    }
    Err(Failure::new(match last {
        Some(error) => format!("the server of {} can't be reached: {error}", account.address()),
        None => format!("the server of {} has no address", account.address()),
    }))
}
