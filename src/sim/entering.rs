//! How clients and played servers of IMTP and PITP come in: what the world does for them, and the steps of a
//! script that ask for it.
//!
//! A connection's protocol is told by its name: `ana/im` speaks IMTP, `ana/pr` PITP, `ana` SIMP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client::{Answer, ClientId, Speech, Stage};
use super::clients::{PATIENCE, client_address};
use super::play::Player;
use super::reader::Object;
use super::sasl::{self, Credentials, Entrance, Next};
use super::world::{HostId, TLS, World};
use crate::federation::Protocol;
use crate::node::io::Alpn;

type Options = BTreeMap<String, String>;

/// The protocol of a connection of this name.
pub fn protocol_of(name: &str) -> Protocol {
    match name.split_once('/') {
        Some((_, kind)) if kind.starts_with("im") => Protocol::Imtp,
        Some((_, kind)) if kind.starts_with("pr") => Protocol::Pitp,
        _ => Protocol::Simp,
    }
}

impl World {
    /// Opens a connection of the protocol that its name tells, to the port of that protocol, or to that of TLS if
    /// the client has `tls`.
    pub fn connect(
        &mut self,
        home: HostId,
        name: &str,
        from: IpAddr,
        tls: Option<Vec<String>>,
        entrance: Option<Entrance>,
    ) -> ClientId {
        let protocol = protocol_of(name);
        let client = self.new_client(name, from);
        let port = if tls.is_some() { TLS } else { protocol.port() };
        let c = self.client(client);
        c.speech = Speech::of(protocol);
        c.tls = tls;
        c.alpn = Alpn::from(protocol);
        if entrance.is_some() {
            c.stage = Stage::LoggingIn;
        }
        c.entrance = entrance;
        let to = self.place(home, port);
        self.open(client, to);
        client
    }

    /// What a user logs in with, by SCRAM unless that is changed.
    pub fn credentials(&mut self, user: &str, password: &str) -> Credentials {
        let nonce = STANDARD.encode(&self.chance.octets()[..18]);
        Credentials {
            mechanism: "SCRAM-SHA-256".to_owned(),
            user: user.to_owned(),
            password: password.to_owned(),
            nonce,
            end_point: Vec::new(),
        }
    }

    /// Begins a login by SCRAM with the password that [`World::add_user`] has given.
    pub fn begin_enter(&mut self, home: HostId, name: &str, user: &str) -> ClientId {
        let local = user.split('@').next().unwrap_or_default();
        let credentials = self.credentials(user, &format!("password-of-{local}"));
        self.connect(home, name, client_address(), None, Some(Entrance::new(credentials)))
    }

    /// Logs in and waits for it. Panics if it is refused.
    pub fn enter(&mut self, home: HostId, name: &str, user: &str) -> ClientId {
        let client = self.begin_enter(home, name, user);
        let stage = self.await_login(client);
        assert_eq!(stage, Stage::In, "{name} logs in");
        client
    }

    /// Asks for the messages of an inbox and waits for the answer. Panics if it is refused.
    pub fn listen(&mut self, client: ClientId, inbox: &str) {
        let id = self.request(client, &[("action", "listen"), ("Inbox", inbox)]);
        let answer = self.reply(client, &id).expect("an answer to listen");
        assert_eq!(answer.action(), "ok", "{answer}");
    }

    /// Takes what belongs to an authentication; gives back what does not.
    pub(super) fn authenticating(&mut self, client: ClientId, object: Object) -> Option<Object> {
        let c = self.client(client);
        if c.welcoming
            && let Some(answers) = sasl::welcome(&object)
        {
            answers.iter().for_each(|answer| self.send(client, answer));
            return None;
        }
        let Some(mut entrance) = c.entrance.take() else { return Some(object) };
        match entrance.heard(&object) {
            Next::Say(said) => self.send(client, &said),
            Next::Wait => {}
            Next::In => {
                c.stage = Stage::In;
                return None;
            }
            Next::Refused => {
                c.stage = Stage::Refused;
                return Some(object);
            }
        }
        self.client(client).entrance = Some(entrance);
        None
    }
}

impl Player {
    /// A user's connection of IMTP or PITP logs in, or is refused.
    pub(super) fn enters(
        &mut self,
        who: &str,
        address: Option<&str>,
        options: &mut Options,
        wanted: Stage,
    ) -> Result<(), String> {
        let mut option = |name: &str| options.remove(name);
        let address = match address {
            Some(address) => address.to_owned(),
            None => self.address_of(who.split('/').next().unwrap_or_default())?,
        };
        let (local, domain) = address.split_once('@').ok_or("an address has an @")?;
        let home = self.home(&option("at").unwrap_or(domain.to_owned()))?;
        let default = self.world.host(home).name == domain;
        let user = option("user").unwrap_or(if default { local.to_owned() } else { address.clone() });
        let password = option("password").unwrap_or(format!("password-of-{local}"));
        let mut credentials = self.world.credentials(&user, &password);
        credentials.mechanism = option("mechanism").unwrap_or(credentials.mechanism);
        let end_point = self.world.host(home).end_point();
        credentials.end_point = end_point.to_vec();
        let from = option("from").map_or(Ok(client_address()), |ip| ip.parse()).map_err(|_| "no IP")?;
        let tls = option("tls").map(|_| Vec::new());
        let client = self.world.connect(home, who, from, tls, Some(Entrance::new(credentials)));
        self.names.insert(who.to_owned(), client);
        self.came(who, client, wanted)
    }

    /// A played server connects and authenticates, or is refused.
    pub(super) fn speaks_for(
        &mut self,
        who: &str,
        domain: &str,
        home: &str,
        options: &mut Options,
        wanted: Stage,
    ) -> Result<(), String> {
        let mut option = |name: &str| options.remove(name);
        let home = self.home(home)?;
        let from = match (option("from"), self.servers.get(domain)) {
            (Some(ip), _) => ip.parse().map_err(|_| "no IP")?,
            (None, Some(place)) => place.ip(),
            (None, None) => return Err(format!("{domain} is no played server, and from= is not given")),
        };
        let names = |names: String| names.split(',').map(str::to_owned).filter(|n| !n.is_empty()).collect();
        let tls = option("tls").map(names);
        let mut credentials = self.world.credentials(domain, "");
        credentials.mechanism = "EXTERNAL".to_owned();
        let client = self.world.connect(home, who, from, tls, Some(Entrance::new(credentials)));
        self.world.answers(client, Answer::ByHand, Answer::ByHand);
        self.names.insert(who.to_owned(), client);
        self.came(who, client, wanted)
    }

    fn came(&mut self, who: &str, client: ClientId, wanted: Stage) -> Result<(), String> {
        let stage = self.world.await_login(client);
        if stage == wanted { Ok(()) } else { Err(format!("{who}'s authentication is {stage:?}")) }
    }

    /// `listen` to the user's own inbox, answered with ok.
    pub(super) fn listens(&mut self, who: &str, options: &mut Options) -> Result<(), String> {
        let client = self.named(who)?;
        let own = || self.address_of(who.split('/').next().unwrap_or_default()).map(|a| format!("im:{a}"));
        let inbox = options.remove("Inbox").map_or_else(own, Ok)?;
        let mut listen = vec![("action", "listen"), ("Inbox", inbox.as_str())];
        let filters = std::mem::take(options);
        listen.extend(filters.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let id = self.world.request(client, &listen);
        match self.world.expect(client, PATIENCE, |o| o.get("response") == Some(&id)) {
            Some(answer) if answer.action() == "ok" => Ok(()),
            other => Err(format!("listen was answered with {other:?}")),
        }
    }

    /// The next unread message is these octets. `$name` stands for letters and digits: those that it stands for
    /// already, or else those that are there.
    pub(super) fn reads(&mut self, who: &str, wanted: &str) -> Result<(), String> {
        let client = self.named(who)?;
        self.world.run_until(PATIENCE, |w| !w.peek(client).inbox.is_empty());
        let object = self.world.client(client).take(|_| true).ok_or("nothing has come")?;
        let got = super::transfer::text(&object.octets);
        let (mut rest, mut pattern) = (got.as_str(), wanted);
        let differs = || format!("{who} has read {got:?}");
        loop {
            let (literal, name) = match pattern.split_once('$') {
                Some((literal, after)) => {
                    let end = after.find(|c: char| !c.is_alphanumeric()).unwrap_or(after.len());
                    pattern = &after[end..];
                    (literal, Some(&after[..end]))
                }
                None => (pattern, None),
            };
            rest = rest.strip_prefix(literal).ok_or_else(differs)?;
            let Some(name) = name else { break };
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
            let value = self.variables.entry(name.to_owned()).or_insert_with(|| rest[..end].to_owned());
            rest = rest.strip_prefix(value.as_str()).ok_or_else(differs)?;
        }
        if rest.is_empty() { Ok(()) } else { Err(differs()) }
    }
}
