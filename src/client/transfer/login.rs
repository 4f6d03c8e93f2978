//! Logging in by SASL: the best mechanism that both ends have and the channel allows (TOC-18).
//!
//! SCRAM-SHA-256 everywhere, bound to the channel where the server offers that; PLAIN only where nobody can
//! listen in. The server has to prove that it knows the account too, and to repeat its list of mechanisms, so that
//! somebody between us who has shortened the first one is found out (COMMON-14.1-19).

use crate::client::{Account, Error, Proof};
use crate::credential::Secret;
use crate::credential::sasl::{Mechanism, Plain, SaslError};
use crate::credential::scram::{self, Binding, NONCE};
use crate::hub::address::{Address, Domains};
use crate::imtp::framer::Mechanisms;

/// What the connection is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Channel {
    /// In clear over a network.
    Clear,
    /// In clear within this machine.
    Loopback,
    /// TLS, with `tls-server-end-point` of the server's certificate, where that is defined (RFC 5929 4).
    Tls(Option<Box<[u8]>>),
}

/// What a session begins with: who logs in, over what, with random octets that no other login has.
#[derive(Debug)]
pub struct Login {
    pub(super) address: Address,
    password: Secret,
    channel: Channel,
    nonce: [u8; NONCE],
}

impl Login {
    /// Of an account with its password.
    ///
    /// # Errors
    /// [`Error::Caller`] if the address can't be written in these protocols, which have ASCII only, or all there is
    /// is a device key.
    pub fn new(account: &Account, channel: Channel, nonce: [u8; NONCE]) -> Result<Login, Error> {
        let Proof::Password(password) = account.proof() else {
            return Err(Error::Caller("IMTP and PITP log in with the account's password, not a device key"));
        };
        let address = Address::parse(account.address(), &Domains::default())
            .map_err(|_| Error::Caller("an address has the form user@domain"))?;
        if !address.as_str().is_ascii() {
            return Err(Error::Caller("IMTP and PITP have no names but ASCII"));
        }
        Ok(Login { address, password: password.clone(), channel, nonce })
    }

    fn choose(&self, list: Mechanisms<'_>) -> Result<Mechanism, Error> {
        let private = self.channel != Channel::Clear;
        let usable = |mechanism: &Mechanism| match mechanism {
            Mechanism::ScramPlus => matches!(self.channel, Channel::Tls(Some(_))),
            Mechanism::Scram => true,
            Mechanism::Plain => private,
            Mechanism::External => false,
        };
        Mechanism::ALL.into_iter().filter(usable).find(|mechanism| list.has(mechanism.name())).ok_or_else(
            || {
                let names: Vec<&str> = list.names().collect();
                Error::Server(format!("it offers no login that is safe here, only {:?}", names.join(" ")))
            },
        )
    }
}

/// What is to be said next in an exchange.
pub(super) enum Turn {
    /// `auth` with this mechanism and initial response.
    Begin(Mechanism, Vec<u8>),
    /// We are logged in.
    Done,
}

/// An exchange.
#[derive(Debug)]
pub(super) struct Exchange {
    login: Login,
    /// The server's first list.
    list: Vec<String>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The server's list of mechanisms is to come.
    Greeting,
    Scram(scram::Client),
    Plain,
    /// The server's list is to come again.
    Accepted,
    Done,
}

impl Exchange {
    pub fn new(login: Login) -> Exchange {
        Exchange { login, list: Vec::new(), state: State::Greeting }
    }

    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// A list of mechanisms has come.
    pub fn listed(&mut self, list: Mechanisms<'_>) -> Result<Turn, Error> {
        let names = list.names().map(str::to_ascii_uppercase).collect();
        match self.state {
            State::Greeting => {
                let mechanism = self.login.choose(list)?;
                self.list = names;
                self.begin(mechanism)
            }
            State::Accepted if names == self.list => {
                self.state = State::Done;
                Ok(Turn::Done)
            }
            State::Accepted => Err(Error::Server(
                "its list of mechanisms has changed: somebody between may have tampered with it".into(),
            )),
            _ => Err(Error::Server("a list of mechanisms out of turn".into())),
        }
    }

    fn begin(&mut self, mechanism: Mechanism) -> Result<Turn, Error> {
        let Login { address, password, channel, nonce } = &self.login;
        // In full: its server may be home to several domains.
        let user = address.as_str();
        let initial = if mechanism == Mechanism::Plain {
            self.state = State::Plain;
            Plain::write("", user, password).to_vec()
        } else {
            let binding = match (mechanism, channel) {
                (Mechanism::ScramPlus, Channel::Tls(Some(end_point))) => Binding::EndPoint(end_point),
                (_, Channel::Tls(Some(_))) => Binding::NotOffered,
                _ => Binding::None,
            };
            let nonce = scram::nonce(*nonce);
            let (client, first) =
                scram::Client::start(user, password.clone(), &nonce, binding).map_err(wrong)?;
            self.state = State::Scram(client);
            first
        };
        Ok(Turn::Begin(mechanism, initial))
    }

    /// The server wants an answer.
    pub fn challenged(&mut self, challenge: &[u8]) -> Result<Vec<u8>, Error> {
        match &mut self.state {
            State::Scram(client) => client.respond(challenge).map_err(wrong),
            _ => Err(Error::Server("a challenge out of turn".into())),
        }
    }

    /// The server says that we are who we say.
    pub fn accepted(&mut self, data: Option<&[u8]>) -> Result<(), Error> {
        match &mut self.state {
            State::Scram(client) => client.verify(data).map_err(wrong)?,
            State::Plain => {}
            _ => return Err(Error::Server("an ok to no login".into())),
        }
        self.state = State::Accepted;
        Ok(())
    }
}

fn wrong(error: SaslError) -> Error {
    Error::Server(format!("login: {error}"))
}
