//! `hearth chat`: a user's client in the terminal, over IMTP and PITP.
//!
//! ```text
//! terminal ---keys---> update ---> state ---> view ---> terminal
//!                       |  ^
//!               effects |  | events
//!                       v  |
//!                  wire (a thread for each connection)
//! ```
//!
//! [`state`], [`update`] and [`view`] are pure; [`terminal`] and [`lines`] carry. Nothing is stored but the
//! contacts: the protocols' servers keep no conversations, and neither does this.

mod audience;
mod commands;
mod contacts;
mod input;
mod lines;
pub(super) mod presence;
mod state;
mod terminal;
#[cfg(test)]
mod tests;
mod text;
mod update;
mod view;
mod wire;

use std::env;
use std::io::{IsTerminal, stdout};
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::sync::mpsc::channel;

use time::{OffsetDateTime, UtcOffset};

use super::args::{self, Chat};
use super::failure::{Done, Failure};
use super::house::{self, House};
use super::places::Finder;
use crate::cli::chat::state::State;
use crate::cli::chat::update::{Event, Line};
use crate::cli::chat::wire::{Handle, Home};
use crate::cli::harmless::one_line;
use crate::client::blocking::Place;
use crate::client::{Account, Error, Proof};
use crate::credential::Secret;
use crate::federation::Protocol;
use crate::hub::address::{Address, Domains};
use crate::imtp::error_type::ErrorType;

/// The environment's name for the user's address.
const ADDRESS: &str = "HEARTH_ADDRESS";
/// The port for everything on TLS (design 8).
const TLS_PORT: u16 = 7443;

/// Runs it.
pub fn run(config: Option<&Path>, chat: &Chat) -> Done {
    let house = House::open_if_any(config)?;
    let ours = house.as_ref().map(|house| house.config.domains.clone()).unwrap_or_default();
    let me = me(chat, &ours)?;
    let places = |protocol| places(chat, house.as_ref(), &me, protocol);
    let account = Account::new(me.as_str(), Proof::Password(password(chat, &me)?)).map_err(Failure::usage)?;
    let home = Home { places: places(Protocol::Imtp)?, account };
    let presence = Home { places: places(Protocol::Pitp).unwrap_or_default(), ..home.clone() };
    let file = chat.contacts.clone().map_or_else(|| contacts::place(&me), Ok)?;
    let known = contacts::load(&file)?;
    let first = home.login().map_err(|error| refused(&me, &error))?;
    // Only known while there is one thread; else it is shown as it is in Greenwich.
    let offset = UtcOffset::current_local_offset().unwrap_or(UtcOffset::UTC);
    let (events, happening) = channel();
    let messages = {
        let (home, events) = (home, events.clone());
        Handle::spawn(move |inbox| wire::messages::run(&home, first, inbox, &events))
    };
    let now = OffsetDateTime::now_utc().to_offset(offset);
    let state = State::new(me.clone(), known.clone(), now);
    if chat.lines || !stdout().is_terminal() {
        return lines::run(state, messages, happening);
    }
    let presence = if presence.places.is_empty() {
        let _ = events.send(Event::Presence(Line::None));
        None
    } else {
        let (events, watched) = (events.clone(), known.into_iter().map(|(address, _)| address).collect());
        Some(Handle::spawn(move |inbox| wire::presence::run(&presence, me, watched, inbox, &events)))
    };
    let behind = terminal::Behind { messages, presence, contacts: file, offset };
    terminal::run(state, behind, &events, &happening)
}

fn me(chat: &Chat, ours: &Domains) -> Result<Address, Failure> {
    let name = match &chat.address {
        Some(name) => name.clone(),
        None => match env::var(ADDRESS) {
            Ok(text) => args::user(&text).map_err(|why| Failure::usage(format!("${ADDRESS}: {why}")))?,
            Err(_) => return Err(Failure::usage(format!("who are you? Say ADDRESS, or set ${ADDRESS}"))),
        },
    };
    name.resolve(ours).ok_or_else(|| {
        Failure::usage(format!("{name} is in which domain? Without a configuration, write {name}@DOMAIN"))
    })
}

fn password(chat: &Chat, me: &Address) -> Result<Secret, Failure> {
    if chat.password_stdin {
        return house::first_line_of_stdin("password");
    }
    let asked = rpassword::prompt_password(format!("Password of {me}: "));
    let secret = asked.map(Secret::new).map_err(|error| {
        Failure::new(format!("the password can't be asked for: {error}; give it with --password-stdin"))
    })?;
    if secret.expose().is_empty() { Err(Failure::new("no password was given")) } else { Ok(secret) }
}

/// Where the server is: as said, else as for every client.
fn places(
    chat: &Chat,
    house: Option<&House>,
    me: &Address,
    protocol: Protocol,
) -> Result<Vec<Place>, Failure> {
    let finder = Finder { house, dns: chat.dns };
    let Some(server) = &chat.server else { return finder.places(protocol, me.domain()) };
    let (host, port) = split(server);
    let unknown = |why: &dyn std::fmt::Display| Failure::new(format!("--server {server}: {why}"));
    let found = (host, 0).to_socket_addrs().map_err(|error| unknown(&error))?;
    found
        .map(|mut address| {
            let tls = !address.ip().is_loopback() || port == Some(TLS_PORT);
            address.set_port(port.unwrap_or(if tls { TLS_PORT } else { protocol.port() }));
            finder.at(address, tls, me.domain())
        })
        .collect()
}

/// A host, and a port if one is said.
fn split(server: &str) -> (&str, Option<u16>) {
    if server.parse::<IpAddr>().is_ok() {
        return (server, None);
    }
    match server.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
        Some((host, Ok(port))) => (host.trim_start_matches('[').trim_end_matches(']'), Some(port)),
        _ => (server, None),
    }
}

fn refused(me: &Address, error: &Error) -> Failure {
    match error {
        Error::Failed(failure) if failure.known() == Some(ErrorType::SaslFailure) => {
            Failure::new(format!("{me} can't log in: is that the password?"))
        }
        Error::Failed(failure) => {
            Failure::new(format!("{me} can't log in: {}", one_line(&failure.to_string())))
        }
        error => Failure::new(format!("the server of {me} can't be reached: {}", wire::reason(error))),
    }
}
