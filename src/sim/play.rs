//! Acts conversations out in a simulated world.
//!
//! Steps of the world:
//!
//! | step | what happens |
//! | --- | --- |
//! | `home DOMAIN… [routing=verified/open/closed] [require=medium/strong] [dns=simp/simps/imtp/imtps/none] [divert=HOST:PORT] [host=H] [port=P]` | a server starts; `kept_messages=` and other limits by name |
//! | `user ADDRESS [keeps=yes] [watchers=refuse/ask/allow]` | an account with the device key `key-of-LOCAL` and the password `password-of-LOCAL` |
//! | `operator lock/unlock/delete/unkey ADDRESS`, `operator keeps/watchers ADDRESS VALUE`, `operator deny/allow/forget DOMAIN at HOME` | what an operator changes |
//! | `crash/start/restart/shutdown HOME` | the process ends at once, begins, both, ends in order |
//! | `reconfigure HOME SETTING=VALUE…` | a running server's configuration changes (SIGHUP) |
//! | `part X Y`, `heal`, `cut X Y` | homes, played servers or `clients` can't reach each other; all is well again; connections break |
//! | `dns DOMAIN nothing/fails/is IP [by=…] [own=IP]/late SPAN` | what the resolvers come to know; `own`: the domain's own address, which is no server's |
//! | `disk HOME well/full/broken/stuck` | how a disk does |
//! | `clock HOME SPAN` | a wall clock jumps (`-1h`: back) |
//! | `wait SPAN`, `settle` | time passes; until nothing is under way |
//! | `server DOMAIN at IP [by=simp/imtp/simp+imtp]` | the test itself plays that domain's server |
//! | `status HOME COUNTER=NUMBER…` | how a server says it is |
//!
//! Steps of a connection:
//!
//! | step | what happens |
//! | --- | --- |
//! | `NAME logs in [as ADDRESS] [user=U] [key=K] [algorithms=A] [version=V] [from=IP] [at=HOME]` | login and connect; `self` is taken unless `keep=self` |
//! | `NAME is refused …` | the same, but it fails, with `error` |
//! | `NAME/im logs in [as ADDRESS] [user=U] [password=P] [mechanism=M] [tls=yes] [from=IP] [at=HOME]` | by SASL, SCRAM unless something else is said; `/pr`, `is refused` alike |
//! | `NAME/im listens [Inbox=URL] [Only=P] [Except=P]` | to his own inbox, and is answered ok |
//! | `NAME/im speaks for DOMAIN at HOME [tls=NAME,…] [from=IP]`, `NAME/im is refused for DOMAIN at HOME …` | a played server connects and authenticates by EXTERNAL |
//! | `NAME connects to HOME/IP:PORT [port=P] [from=IP] [tls=NAME,…] [alpn=P] [header=no]` | a connection, with SIMP's header written; of IMTP and PITP the list of mechanisms is unread |
//! | `NAME connects to HOME as DOMAIN` | the played server of that domain connects |
//! | `NAME accepts at DOMAIN` | a connection made to a played server; its header is written, or who authenticates is believed |
//! | `NAME raw TEXT` | octets as they are |
//! | `NAME leaves/closes/half-closes/resets/breaks` | ends its stream and closes; closes; writes no more; resets; its connection is lost |
//! | `NAME pauses/resumes` | stops reading; goes on |
//! | `NAME answers [sends=okay/error/never] [notes=…]` | by itself; notes (and PITP's notifications) are answered `okay` if nothing is said |
//! | `NAME forgets` | what is unread |

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::federation::Protocol;
use crate::node::io::Alpn;

use super::client::{Answer, ClientId, Speech, Stage, digest};
use super::clients::{PATIENCE, client_address};
use super::entering::protocol_of;
use super::net::WireId;
use super::reader::Object;
use super::script::{Script, Step, Value, Wanted, What};
use super::transfer::octets;
use super::world::{HostId, World};

type Options = BTreeMap<String, String>;

/// The actions that answer a request.
const REPLIES: [&str; 6] = ["okay", "ok", "error", "describe", "challenge", "self"];

/// Acts a conversation out.
pub struct Player {
    /// Where it happens.
    pub world: World,
    pub(super) names: BTreeMap<String, ClientId>,
    pub(super) servers: BTreeMap<String, SocketAddr>,
    pub(super) variables: BTreeMap<String, String>,
}

/// Acts a conversation out in a world of its own.
///
/// # Errors
/// The step that failed and why, with what happened before it.
pub fn play(script: &Script, seed: u64) -> Result<(), String> {
    let mut player = Player::new(seed);
    for step in &script.steps {
        player.step(step).map_err(|why| player.report(script, Some(step), &why))?;
    }
    player.finish().map_err(|why| player.report(script, None, &why))
}

impl Player {
    /// In an empty world.
    pub fn new(seed: u64) -> Player {
        Player {
            world: World::new(seed),
            names: BTreeMap::new(),
            servers: BTreeMap::new(),
            variables: BTreeMap::new(),
        }
    }

    fn report(&self, script: &Script, step: Option<&Step>, why: &str) -> String {
        let place = step.map_or("at the end".to_owned(), |s| format!("line {}: {}", s.line, s.text));
        let (title, seed) = (&script.title, self.world.seed);
        format!("{title} (seed {seed})\n  {place}\n  {why}\n{}", self.world.transcript())
    }

    /// Does one step.
    ///
    /// # Errors
    /// Why it failed.
    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        match &step.what {
            What::Says { who, entries } => self.says(who, entries),
            What::Hears { who, next, wanted } => self.hears(who, *next, wanted),
            What::HearsNothing(who) => {
                let client = self.named(who)?;
                self.world.settle(PATIENCE);
                self.nothing_unread(client)
            }
            What::Reads { who, text } => self.reads(who, text),
            What::HearsEnd(who, in_order) => self.hears_end(who, *in_order),
            What::Verb { words, options } => {
                let words = words.iter().map(|w| self.evaluate(w)).collect::<Result<Vec<_>, _>>()?;
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let mut given = BTreeMap::new();
                for (key, value) in options {
                    given.insert(key.clone(), self.evaluate(value)?);
                }
                self.verb(&words, &mut given)?;
                match given.keys().next() {
                    Some(key) => Err(format!("{key}= means nothing here")),
                    None => Ok(()),
                }
            }
        }
    }

    /// At the end nobody may have anything unread.
    fn finish(&mut self) -> Result<(), String> {
        self.world.settle(PATIENCE);
        let names: Vec<ClientId> = self.names.values().copied().collect();
        names.into_iter().try_for_each(|client| self.nothing_unread(client))
    }

    fn nothing_unread(&self, client: ClientId) -> Result<(), String> {
        let client = self.world.peek(client);
        match client.inbox.front() {
            Some((_, object)) => Err(format!("{} has unread: {object}", client.name)),
            None => Ok(()),
        }
    }

    pub(super) fn named(&self, who: &str) -> Result<ClientId, String> {
        self.names.get(who).copied().ok_or_else(|| format!("who is {who}?"))
    }

    pub(super) fn home(&self, name: &str) -> Result<HostId, String> {
        self.world.home_of(name).ok_or_else(|| format!("{name} is no home here"))
    }

    fn says(&mut self, who: &str, entries: &[(String, String)]) -> Result<(), String> {
        let client = self.named(who)?;
        let mut object = Object::default();
        for (key, value) in entries {
            object.entries.push((key.clone(), self.evaluate(value)?));
        }
        let reply = REPLIES.contains(&object.action());
        let given = object.get("request").is_some() || object.get("response").is_some();
        object.entries.retain(|(k, v)| !(matches!(k.as_str(), "request" | "response") && v == "none"));
        if !given && reply {
            let asked = self.world.client(client).asked.clone();
            let (id, action) = asked.ok_or_else(|| format!("{who} was not asked"))?;
            object.entries.insert(1, ("response".to_owned(), id));
            if self.world.peek(client).speech.protocol() != Protocol::Simp {
                object.entries.insert(2, ("method".to_owned(), action));
            }
        } else if !given {
            let client = self.world.client(client);
            let id = client.next_request.to_string();
            client.next_request += 1;
            object.entries.push(("request".to_owned(), id));
        }
        self.world.send(client, &object);
        Ok(())
    }

    fn hears(&mut self, who: &str, next: bool, wanted: &Wanted) -> Result<(), String> {
        let client = self.named(who)?;
        let mut tests = Vec::new();
        let mut keeps = Vec::new();
        for (key, value) in &wanted.entries {
            match value {
                Value::Is(text) => match self.unbound(text) {
                    Some(name) => {
                        keeps.push((name, key.clone()));
                        tests.push((key.clone(), Value::Any));
                    }
                    None => tests.push((key.clone(), Value::Is(self.evaluate(text)?))),
                },
                other => tests.push((key.clone(), other.clone())),
            }
        }
        let fits = |object: &Object| fits(object, wanted, &tests);
        if next {
            self.world.run_until(PATIENCE, |w| !w.peek(client).inbox.is_empty());
            let first = self.world.peek(client).inbox.front();
            if let Some((_, object)) = first.filter(|(_, object)| !fits(object)) {
                return Err(format!("{who} has heard {object} next"));
            }
        }
        let Some(object) = self.world.expect(client, PATIENCE, fits) else {
            let unread = &self.world.peek(client).inbox;
            let unread: Vec<String> = unread.iter().map(|(_, object)| object.to_string()).collect();
            return Err(format!("{who} has not heard it; unread: {unread:?}"));
        };
        for (name, key) in keeps {
            let value = object.get(&key).unwrap_or_default().to_owned();
            self.variables.insert(name, value);
        }
        Ok(())
    }

    fn hears_end(&mut self, who: &str, in_order: bool) -> Result<(), String> {
        let client = self.named(who)?;
        if !self.world.run_until(PATIENCE, |w| w.peek(client).closed) {
            return Err(format!("{who} is not closed"));
        }
        if in_order && !self.world.peek(client).speech.ended() {
            return Err(format!("{who}'s stream was not ended"));
        }
        Ok(())
    }

    /// The name in a text that is nothing but a name that stands for nothing yet.
    fn unbound(&self, text: &str) -> Option<String> {
        let name = text.strip_prefix('$')?;
        let is_name = !name.is_empty() && name.chars().all(char::is_alphanumeric);
        (is_name && !self.variables.contains_key(name)).then(|| name.to_owned())
    }

    /// Puts in what names stand for, then computes.
    fn evaluate(&self, text: &str) -> Result<String, String> {
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            plain.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
            let name = &rest[..end];
            let value = self.variables.get(name).ok_or_else(|| format!("what is ${name}?"))?;
            plain.push_str(value);
            rest = &rest[end..];
        }
        plain.push_str(rest);
        let inner = |name: &str| plain.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        for algorithm in ["md5", "sha-256", "plain"] {
            if let Some(text) = inner(algorithm) {
                return Ok(digest(algorithm, text));
            }
        }
        if let Some((text, count)) = inner("repeat").and_then(|i| i.rsplit_once(',')) {
            return count.parse().map(|n| text.repeat(n)).map_err(|_| format!("{count} is no count"));
        }
        Ok(plain)
    }

    fn verb(&mut self, words: &[&str], options: &mut Options) -> Result<(), String> {
        if self.world_verb(words, options)? {
            return Ok(());
        }
        match words {
            [who, rest @ ..] if protocol_of(who) != Protocol::Simp => match rest {
                ["logs", "in"] => self.enters(who, None, options, Stage::In),
                ["logs", "in", "as", address] => self.enters(who, Some(address), options, Stage::In),
                ["is", "refused"] => self.enters(who, None, options, Stage::Refused),
                ["is", "refused", "as", address] => self.enters(who, Some(address), options, Stage::Refused),
                ["listens"] => self.listens(who, options),
                ["speaks", "for", domain, "at", home] => {
                    self.speaks_for(who, domain, home, options, Stage::In)
                }
                ["is", "refused", "for", domain, "at", home] => {
                    self.speaks_for(who, domain, home, options, Stage::Refused)
                }
                _ => self.connection_verb(words, options),
            },
            [who, "logs", "in"] => self.logs_in(who, None, options, Stage::In),
            [who, "logs", "in", "as", address] => self.logs_in(who, Some(address), options, Stage::In),
            [who, "is", "refused"] => self.logs_in(who, None, options, Stage::Refused),
            [who, "is", "refused", "as", address] => {
                self.logs_in(who, Some(address), options, Stage::Refused)
            }
            _ => self.connection_verb(words, options),
        }
    }

    /// A step of a connection of any protocol.
    fn connection_verb(&mut self, words: &[&str], options: &mut Options) -> Result<(), String> {
        let mut option = |name: &str| options.remove(name);
        match words {
            [who, "connects", "to", place] => self.connects(who, place, options),
            [who, "connects", "to", place, "as", domain] => {
                let server = *self.servers.get(*domain).ok_or("no such server")?;
                options.insert("from".to_owned(), server.ip().to_string());
                self.connects(who, place, options)
            }
            [who, "accepts", "at", domain] => self.accepts(who, domain),
            [who, "raw", text] => self.named(who).map(|c| self.world.write(c, &octets(text))),
            [who, "leaves"] => self.named(who).map(|c| {
                self.world.write(c, b"</stream>\n");
                self.world.close(c, false);
            }),
            [who, "closes"] => self.named(who).map(|c| self.world.close(c, false)),
            [who, "resets"] => self.named(who).map(|c| self.world.close(c, true)),
            [who, "half-closes"] => self.named(who).map(|c| self.world.half_close(c)),
            [who, "breaks"] => {
                let client = self.named(who)?;
                if let Some((WireId(wire), _)) = self.world.peek(client).wire {
                    self.world.break_wire(wire);
                }
                Ok(())
            }
            [who, "pauses"] => self.named(who).map(|c| self.world.set_reading(c, false)),
            [who, "resumes"] => self.named(who).map(|c| self.world.set_reading(c, true)),
            [who, "forgets"] => {
                let client = self.named(who)?;
                self.world.settle(PATIENCE);
                self.world.client(client).inbox.clear();
                Ok(())
            }
            [who, "answers"] => {
                let client = self.named(who)?;
                for (name, is_send) in [("sends", true), ("notes", false)] {
                    if let Some(value) = option(name) {
                        let client = self.world.client(client);
                        *(if is_send { &mut client.sends } else { &mut client.notes }) = answer(&value)?;
                    }
                }
                Ok(())
            }
            _ => Err("what is to be done?".to_owned()),
        }
    }

    fn logs_in(
        &mut self,
        who: &str,
        address: Option<&str>,
        options: &mut Options,
        wanted: Stage,
    ) -> Result<(), String> {
        let mut option = |name: &str| options.remove(name);
        let address = match address {
            Some(address) => address.to_owned(),
            None => self.address_of(who)?,
        };
        let (local, domain) = address.split_once('@').ok_or("an address has an @")?;
        let home = self.home(&option("at").unwrap_or(domain.to_owned()))?;
        let default = self.world.host(home).name == domain;
        let user = option("user").unwrap_or(if default { local.to_owned() } else { address.clone() });
        let key = option("key").unwrap_or(format!("key-of-{local}"));
        let algorithms = option("algorithms");
        let version = option("version").unwrap_or("1.0".to_owned());
        let from = option("from").map_or(Ok(client_address()), |ip| ip.parse()).map_err(|_| "no IP")?;
        let keep = option("keep").is_some();
        let client =
            self.world.begin_login_with(home, who, &user, &key, algorithms.as_deref(), &version, from);
        self.names.insert(who.to_owned(), client);
        let stage = self.world.await_login(client);
        if stage != wanted {
            return Err(format!("{who}'s login is {stage:?}"));
        }
        if stage == Stage::In && !keep {
            self.world.client(client).take(|o| o.get("response") == Some("connect"));
        }
        Ok(())
    }

    pub(super) fn address_of(&self, who: &str) -> Result<String, String> {
        let local = self.variables.get(&format!("address of {who}"));
        local.cloned().ok_or_else(|| format!("no user is called {who}"))
    }

    /// Lets a user's local part stand for him.
    pub(super) fn remember(&mut self, address: &str) {
        let local = address.split('@').next().unwrap_or_default();
        self.variables.entry(format!("address of {local}")).or_insert(address.to_owned());
    }

    fn connects(&mut self, who: &str, place: &str, options: &mut Options) -> Result<(), String> {
        let mut option = |name: &str| options.remove(name);
        let protocol = protocol_of(who);
        let port = option("port").map_or(Ok(protocol.port()), |p| p.parse()).map_err(|_| "no port")?;
        let place = match place.parse() {
            Ok(place) => place,
            Err(_) => self.world.place(self.home(place)?, port),
        };
        let from: IpAddr = match option("from") {
            Some(ip) => ip.parse().map_err(|_| "no IP")?,
            None => client_address(),
        };
        let client = self.world.new_client(who, from);
        self.world.client(client).tls = option("tls")
            .map(|names| names.split(',').filter(|n| !n.is_empty()).map(str::to_owned).collect());
        self.world.client(client).speech = Speech::of(protocol);
        self.world.client(client).alpn = match option("alpn").as_deref() {
            None => Alpn::from(protocol),
            Some("simp") => Alpn::Simp,
            Some("imtp") => Alpn::Imtp,
            Some("pitp") => Alpn::Pitp,
            Some(other) => return Err(format!("what protocol is {other}?")),
        };
        self.names.insert(who.to_owned(), client);
        self.world.open(client, place);
        if option("header").is_none() && protocol == Protocol::Simp {
            self.world.write_header(client);
        }
        self.world.run_until(PATIENCE, |w| w.peek(client).wire.is_some() || w.peek(client).closed);
        Ok(())
    }

    fn accepts(&mut self, who: &str, domain: &str) -> Result<(), String> {
        let mut at = *self.servers.get(domain).ok_or("no such server")?;
        let protocol = protocol_of(who);
        at.set_port(protocol.port());
        if !self.world.run_until(PATIENCE, |w| w.waiting_at(at) > 0) {
            return Err(format!("nobody connects to {domain}"));
        }
        let client = self.world.accept(at).ok_or("nobody")?;
        self.world.client(client).name = who.to_owned();
        if protocol == Protocol::Simp {
            self.world.write_header(client);
        }
        self.names.insert(who.to_owned(), client);
        Ok(())
    }
}

fn answer(text: &str) -> Result<Answer, String> {
    Ok(match text {
        "okay" => Answer::Okay,
        "error" => Answer::Error,
        "never" | "by-hand" => Answer::ByHand,
        other => return Err(format!("what answer is {other}?")),
    })
}

fn fits(object: &Object, wanted: &Wanted, tests: &[(String, Value)]) -> bool {
    let is_whole = |value: &Value| matches!(value, Value::Is(_) | Value::Any);
    let whole = |key: &str| tests.iter().filter(|(k, value)| k == key && is_whole(value)).count();
    let named = |key: &str| {
        matches!(key, "action" | "request" | "response" | "method")
            || tests.iter().any(|(k, _)| k == key) && object.all(key).count() == whole(key).max(1)
    };
    let fits = |at: usize| {
        let (key, value) = &tests[at];
        // What is said of a key a second time is said of its second value.
        let before = tests[..at].iter().filter(|(k, value)| k == key && is_whole(value)).count();
        match (object.all(key).nth(before), value) {
            (None, Value::Absent) | (Some(_), Value::Any) => true,
            (Some(got), Value::Is(text)) => got == text,
            (_, Value::Contains(text)) => object.all(key).any(|got| got.contains(text.as_str())),
            _ => false,
        }
    };
    object.action() == wanted.action
        && (0..tests.len()).all(fits)
        && (!wanted.only || object.entries.iter().all(|(key, _)| named(key)))
}

/// Reads a span of time: `500ms`, `5s`, `3m`, `24h`; `-` for back.
pub(super) fn span(text: &str) -> Result<i64, String> {
    let digits = text.trim_start_matches(['-', '+']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let count: i64 = digits[..end].parse().map_err(|_| format!("{text} is no span"))?;
    let unit = match &digits[end..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(format!("{text} has no unit")),
    };
    Ok(if text.starts_with('-') { -count * unit } else { count * unit })
}

/// A span that lies ahead.
pub(super) fn ahead(text: &str) -> Result<Duration, String> {
    u64::try_from(span(text)?).map(Duration::from_millis).map_err(|_| format!("{text} is past"))
}
