//! The way in: the `auth` exchange (part 8 of the catalogue of clauses, section 14.1 of the draft), for users by
//! SCRAM and PLAIN, for the servers of other domains by EXTERNAL.
//!
//! ```text
//!  auth -> mechanism's first message -> credentials read -> challenge -> proof -> account in memory -> ok, =mech
//!                 \-----------------------\------------------\-> sasl-failure, after a time that tells nothing
//! ```
//!
//! The list of mechanisms is what this connection can use: PLUS where the TLS channel can be bound to, PLAIN where
//! nobody can listen, EXTERNAL where a certificate, the configuration or DNS can say whose server the peer is.

use std::time::Duration;

use compact_str::CompactString;

use super::command::{Auth, Failure};
use super::conn::{close, cut};
use super::error_type::{ErrorType, Reason};
use super::method::Method;
use super::session::{Exchange, Stage};
use super::write::{self, Relayed};
use super::{Protocol, command};
use crate::clock::Now;
use crate::credential::sasl::{self, Mechanism, Plain};
use crate::credential::{decoy_verifier, scram};
use crate::federation::Strength;
use crate::hub::address::{Address, Domain};
use crate::hub::op::Seat;
use crate::hub::{self, AccountKey};
use crate::limits;
use crate::node::io::{ConnId, Job, Output};
use crate::node::{Core, Purpose, Role, handle_of, intake};
use crate::store::record::{CredentialRecord, Read};

/// Whoever fails hears of it after this time, whatever was wrong (TOC-24).
const FAILURE: Duration = Duration::from_millis(500);
/// Failures on one connection; then it is closed.
const FAILURES: u8 = 3;

/// Sends the list of mechanisms for the first time (COMMON-6.4-1).
pub(super) fn greet(core: &mut Core, id: ConnId) {
    let strong_only = core.io.config.federation.require == Strength::Strong;
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let exposed = conn.exposed();
    let secured = conn.tls.is_some();
    let (bound, certified) =
        conn.tls.as_ref().map_or((false, false), |tls| (tls.end_point.is_some(), !tls.names.is_empty()));
    let Some(session) = conn.session() else { return };
    if bound {
        session.offer(Mechanism::ScramPlus);
    }
    session.offer(Mechanism::Scram);
    if !exposed {
        session.offer(Mechanism::Plain);
    }
    if certified || !(secured || strong_only) {
        session.offer(Mechanism::External);
    }
    let names = session.mechanisms();
    core.io.write(id, |out| write::mech(out, names));
}

/// An `auth` command.
pub(super) fn auth(core: &mut Core, now: Now, id: ConnId, name: &str, auth: Auth<'_>) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let fresh = matches!(conn.role, Role::Fresh);
    let ip = conn.peer.ip();
    let Some(session) = conn.session() else { return };
    if !fresh {
        return refuse(core, id, name, ErrorType::SaslFailure, "this connection is authenticated already");
    }
    match (auth, session.exchange.take()) {
        (Auth::Begin { .. }, Some(_)) => {
            refuse(core, id, name, ErrorType::Malformed, "an exchange is under way: it is given up");
        }
        (Auth::Begin { mechanism, initial }, None) => {
            let known = Mechanism::ALL.into_iter().find(|m| m.name().eq_ignore_ascii_case(mechanism));
            let Some(mechanism) = known.filter(|m| session.offers(*m)) else {
                return refuse(core, id, name, ErrorType::SaslFailure, "this mechanism is not offered here");
            };
            if !core.guard.may_ask(now, ip, &core.io.config.limits) {
                return refuse(core, id, name, ErrorType::Resources, "too many attempts: try later");
            }
            begin(core, now, id, name, mechanism, initial);
        }
        (Auth::Continue { response }, Some(exchange)) => go_on(core, now, id, name, *exchange, response),
        (Auth::Abort, Some(_)) => {
            core.io.write(id, |out| write::ok(out, name, Method::Auth, None, None, &Relayed::default()));
        }
        (Auth::Continue { .. } | Auth::Abort, None) => {
            refuse(
                core,
                id,
                name,
                ErrorType::Malformed,
                "there is no Mechanism, and no exchange to go on with",
            );
        }
    }
}

fn refuse(core: &mut Core, id: ConnId, name: &str, error: ErrorType, why: &str) {
    core.io.write(id, |out| write::refuse(out, name, Method::Auth.as_str(), error, why));
}

fn begin(core: &mut Core, now: Now, id: ConnId, name: &str, mechanism: Mechanism, initial: Option<&[u8]>) {
    let exchange = Exchange {
        id: CompactString::new(name),
        stage: Stage::Begun(mechanism),
        address: None,
        proof: CompactString::default(),
        against: "".into(),
        epoch: core.hub.epoch(),
        last: Vec::new(),
    };
    match initial {
        Some(message) => first(core, now, id, exchange, mechanism, message),
        None => challenge(core, id, exchange, &[]),
    }
}

/// Asks for more (COMMON-14.1-13).
fn challenge(core: &mut Core, id: ConnId, exchange: Exchange, octets: &[u8]) {
    let name = exchange.id.clone();
    keep(core, id, exchange);
    let failure = Failure {
        reason: Reason::Known(ErrorType::SaslChallenge),
        description: None,
        originator: None,
        challenge: Some(octets),
    };
    core.io.write(id, |out| write::error(out, &name, Method::Auth.as_str(), &failure, &Relayed::default()));
}

fn keep(core: &mut Core, id: ConnId, exchange: Exchange) {
    if let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) {
        session.exchange = Some(Box::new(exchange));
    }
}

/// The peer's next message.
fn go_on(core: &mut Core, now: Now, id: ConnId, name: &str, mut exchange: Exchange, message: &[u8]) {
    exchange.id = CompactString::new(name);
    match std::mem::replace(&mut exchange.stage, Stage::Proved) {
        Stage::Begun(mechanism) => first(core, now, id, exchange, mechanism, message),
        Stage::Challenged(scram) => match scram.answer(message) {
            Ok(last) => {
                exchange.last = last;
                exchange.proof = hub::PASSWORD.into();
                keep(core, id, exchange);
                proved(core, now, id);
            }
            Err(_) => fail(core, now, id, exchange),
        },
        // Nothing is read while these last.
        Stage::Looking(_) | Stage::Password(_) | Stage::Asking(_) | Stage::Proved | Stage::Failed(_) => {
            close(core, now, id);
        }
    }
}

/// The first message of a mechanism.
fn first(
    core: &mut Core,
    now: Now,
    id: ConnId,
    mut exchange: Exchange,
    mechanism: Mechanism,
    message: &[u8],
) {
    let (user, authzid) = match mechanism {
        Mechanism::External => {
            return match sasl::external(message) {
                Ok(domain) => external(core, now, id, exchange, domain),
                Err(_) => fail(core, now, id, exchange),
            };
        }
        Mechanism::Plain => match Plain::parse(message) {
            Ok(plain) => {
                exchange.stage = Stage::Password(Some(plain.password));
                (plain.user, plain.authzid)
            }
            Err(_) => return fail(core, now, id, exchange),
        },
        Mechanism::Scram | Mechanism::ScramPlus => {
            let Some(conn) = core.io.conns.get(id) else { return };
            let binding = conn.tls.as_ref().and_then(|tls| tls.end_point.clone());
            let plus = mechanism == Mechanism::ScramPlus;
            match scram::ClientFirst::parse(message, plus, binding.as_deref()) {
                Ok(first) => {
                    let (user, authzid) = (first.user.clone(), first.authzid.clone());
                    exchange.stage = Stage::Looking(first);
                    (user, authzid)
                }
                Err(_) => return fail(core, now, id, exchange),
            }
        }
    };
    exchange.address = claimed(core, &user, authzid.as_deref());
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let ip = conn.peer.ip();
    match &exchange.address {
        Some(address) if !core.guard.may_try(now, ip, address, true) => put_off(core, now, id, exchange),
        Some(_) => {
            conn.blocked = true;
            keep(core, id, exchange);
            ask_credentials(core, id);
        }
        None => nobody(core, now, id, exchange, &user),
    }
}

/// The account that a name means: in the default domain, or with its domain; `authzid` must mean the same, since
/// nobody may act for another (TOC-21).
fn claimed(core: &Core, user: &str, authzid: Option<&str>) -> Option<Address> {
    let domains = core.hub.domains();
    let address = domains.user(user)?;
    let as_himself = authzid.is_none_or(|authzid| {
        let plain = ["im:", "presence:"].iter().find_map(|scheme| authzid.strip_prefix(scheme));
        domains.user(plain.unwrap_or(authzid)).as_ref() == Some(&address)
    });
    as_himself.then_some(address)
}

/// A name that no account can have is treated like one that none has.
fn nobody(core: &mut Core, now: Now, id: ConnId, exchange: Exchange, user: &str) {
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.blocked = true;
    }
    let user = user.to_owned();
    look_up(core, now, id, exchange, None, &user);
}

/// Asks the store what the login is to be checked against.
fn ask_credentials(core: &mut Core, id: ConnId) {
    let epoch = core.hub.epoch();
    let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) else { return };
    let Some(exchange) = &mut session.exchange else { return };
    let Some(address) = exchange.address.clone() else { return };
    exchange.epoch = epoch;
    let job = core.io.jobs.open(Purpose::Credentials(id));
    core.io.outputs.push_back(Output::Job { job, work: Job::Read(Read::Credentials(address)) });
}

/// What the login is checked against has been read.
pub(crate) fn credentials_read(
    core: &mut Core,
    now: Now,
    id: ConnId,
    record: Result<Option<Box<CredentialRecord>>, ()>,
) {
    let Some(exchange) = take(core, id) else { return };
    match record {
        Ok(record) => {
            let user = exchange.address.as_ref().map(ToString::to_string).unwrap_or_default();
            look_up(core, now, id, exchange, record, &user);
        }
        Err(()) => shorthanded(core, now, id, exchange),
    }
}

/// Goes on with a user's verifiers, or with those of nobody.
fn look_up(
    core: &mut Core,
    now: Now,
    id: ConnId,
    mut exchange: Exchange,
    record: Option<Box<CredentialRecord>>,
    user: &str,
) {
    match std::mem::replace(&mut exchange.stage, Stage::Proved) {
        Stage::Looking(first) => {
            let keys = record.as_ref().and_then(|record| {
                let keys = scram::Keys::of(&record.password);
                if record.locked { keys.map(scram::Keys::locked) } else { keys }
            });
            let keys = keys.unwrap_or_else(|| scram::Keys::decoy(&core.key, user));
            exchange.against = record.map_or_else(Box::default, |r| r.password.scram_stored_key.into());
            let mut random = [0; scram::NONCE];
            rand_core::Rng::fill_bytes(&mut core.io.random, &mut random);
            let (scram, octets) = first.challenge(&keys, &scram::nonce(random));
            exchange.stage = Stage::Challenged(scram);
            if let Some(conn) = core.io.conns.get_mut(id) {
                conn.blocked = false;
            }
            challenge(core, id, exchange, &octets);
            intake::resume(core, now, id);
        }
        Stage::Password(Some(password)) => {
            exchange.stage = Stage::Password(None);
            exchange.proof = hub::PASSWORD.into();
            let open = record.filter(|record| !record.locked);
            let verifier = open.map_or_else(|| decoy_verifier().to_owned(), |record| record.password.argon2);
            exchange.against = verifier.as_str().into();
            let known = exchange.address.as_ref().is_some_and(|address| {
                core.io.conns.get(id).is_some_and(|conn| core.guard.knows(now, conn.peer.ip(), address))
            });
            keep(core, id, exchange);
            let job = core.io.jobs.open(Purpose::Password(id));
            let work = Job::VerifyPassword { verifier, password, known };
            core.io.outputs.push_back(Output::Job { job, work });
        }
        // The operator has changed something while the proof was on its way: is it still one?
        Stage::Proved
            if record.filter(|record| !record.locked).is_some_and(|record| {
                let known = record.password;
                [known.scram_stored_key, known.argon2].iter().any(|known| **known == *exchange.against)
            }) =>
        {
            keep(core, id, exchange);
            proved(core, now, id);
        }
        _ => fail(core, now, id, exchange),
    }
}

/// A password has been checked; none: the helpers have too much to do.
pub(crate) fn verified(core: &mut Core, now: Now, id: ConnId, fits: Option<bool>) {
    match fits {
        Some(true) => proved(core, now, id),
        Some(false) => {
            if let Some(exchange) = take(core, id) {
                fail(core, now, id, exchange);
            }
        }
        None => {
            if let Some(exchange) = take(core, id) {
                shorthanded(core, now, id, exchange);
            }
        }
    }
}

fn take(core: &mut Core, id: ConnId) -> Option<Exchange> {
    core.io.conns.get_mut(id)?.session()?.exchange.take().map(|exchange| *exchange)
}

/// He is who he says: his account has to be in memory.
fn proved(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.blocked = true;
    let Some(exchange) = conn.session().and_then(|session| session.exchange.as_mut()) else { return };
    exchange.stage = Stage::Proved;
    let Some(address) = exchange.address.clone() else {
        if let Some(exchange) = take(core, id) {
            fail(core, now, id, exchange);
        }
        return;
    };
    core.hub.prepare(now, address, handle_of(id), &mut core.io);
}

/// The account of a user who has proved himself is in memory: the connection is his.
pub(crate) fn account_ready(core: &mut Core, now: Now, id: ConnId, key: Option<AccountKey>) {
    let epoch = core.hub.epoch();
    let Some(mut exchange) = take(core, id) else { return };
    if exchange.epoch != epoch {
        // The operator has changed something meanwhile, the password maybe.
        keep(core, id, exchange);
        return ask_credentials(core, id);
    }
    let Some(key) = key else { return fail(core, now, id, exchange) };
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let Some(session) = conn.session() else { return };
    let seat = match session.protocol {
        Protocol::Imtp => Seat::Inbox,
        Protocol::Pitp => Seat::Watcher,
    };
    let proof = std::mem::take(&mut exchange.proof);
    let Ok(endpoint) = core.hub.attach(now, key, handle_of(id), proof, seat) else {
        return shorthanded(core, now, id, exchange);
    };
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.role = Role::Client(endpoint);
    let ip = conn.peer.ip();
    if let Some(session) = conn.session() {
        session.user.clone_from(&exchange.address);
        session.by_password = exchange.last.is_empty();
    }
    core.disown(ip, id);
    if let Some(address) = &exchange.address {
        core.guard.succeeded(now, ip, address);
    }
    complete(core, now, id, &exchange);
}

/// The exchange is complete: the ok, and the same list again (COMMON-14.1-17, COMMON-14.1-18).
fn complete(core: &mut Core, now: Now, id: ConnId, exchange: &Exchange) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.blocked = false;
    // Whatever was sent before our ok has come from somebody who could not know who he would be (TOC-22).
    let hasty = super::conn::without_nops(&conn.partial) != 0;
    let Some(session) = conn.session() else { return };
    let names = session.mechanisms();
    let last =
        (!exchange.last.is_empty()).then(|| command::Payload { content_type: None, octets: &exchange.last });
    core.io.write(id, |out| {
        write::ok(out, &exchange.id, Method::Auth, None, last.as_ref(), &Relayed::default());
        write::mech(out, names);
    });
    if hasty {
        return close(core, now, id);
    }
    core.arm(id, now.tick + super::conn::SILENCE);
    intake::resume(core, now, id);
}

/// The server of another domain wants to speak for it (TOC-19).
fn external(core: &mut Core, now: Now, id: ConnId, mut exchange: Exchange, domain: Domain) {
    let ours = core.hub.domains().contains(domain.as_str());
    if ours || !core.io.links.admits(domain.as_str(), &core.io.config.federation) {
        return fail(core, now, id, exchange);
    }
    // Where there is TLS, nothing but a certificate says who it is; in clear, the address has to do.
    let tls = core.io.conns.get(id).and_then(|conn| conn.tls.as_ref());
    let certified = tls.map(|tls| tls.names.iter().any(|name| name == domain.as_str()));
    match certified.or_else(|| core.io.vouches(id, &domain)) {
        Some(true) => server(core, now, id, &exchange, &domain),
        Some(false) => fail(core, now, id, exchange),
        None => {
            exchange.stage = Stage::Asking(domain.clone());
            keep(core, id, exchange);
            core.ask_dns(id, domain);
        }
    }
}

/// DNS has said whether this is one of the domain's servers.
pub(crate) fn vouched(core: &mut Core, now: Now, id: ConnId, domain: &Domain, yes: bool) {
    let Some(exchange) = take(core, id) else { return };
    // The rules may have changed meanwhile.
    let yes = yes && core.io.links.admits(domain.as_str(), &core.io.config.federation);
    match &exchange.stage {
        Stage::Asking(asked) if asked == domain && yes => server(core, now, id, &exchange, domain),
        _ => fail(core, now, id, exchange),
    }
}

/// It is this connection's turn to ask DNS.
pub(crate) fn turn(core: &mut Core, now: Now, id: ConnId) {
    let Some(exchange) = take(core, id) else { return };
    match exchange.stage {
        Stage::Asking(ref domain) => {
            let domain = domain.clone();
            external(core, now, id, exchange, domain);
        }
        _ => fail(core, now, id, exchange),
    }
}

fn server(core: &mut Core, now: Now, id: ConnId, exchange: &Exchange, domain: &Domain) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.role = Role::Server(domain.as_str().into());
    let ip = conn.peer.ip();
    core.io.conns.visits(id);
    core.disown(ip, id);
    complete(core, now, id, exchange);
}

/// The exchange has failed, and that counts.
fn fail(core: &mut Core, now: Now, id: ConnId, exchange: Exchange) {
    let Some(conn) = core.io.conns.get(id) else { return };
    core.guard.failed(now, conn.peer.ip(), exchange.address.as_ref(), true);
    put_off(core, now, id, exchange);
}

/// The client hears of the failure after a time that does not tell why. What was not even looked into does not
/// count: a stranger must not be able to keep a user waiting for ever.
fn put_off(core: &mut Core, now: Now, id: ConnId, mut exchange: Exchange) {
    let at = now.tick + FAILURE;
    exchange.stage = Stage::Failed(at);
    core.counters.logins_failed += 1;
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.blocked = true;
    }
    keep(core, id, exchange);
    core.arm(id, at);
}

/// The time has come to tell it, if there is something to tell.
pub(super) fn tell_failure(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let Some(session) = conn.session() else { return };
    let due = matches!(session.exchange.as_deref(), Some(Exchange { stage: Stage::Failed(at), .. }) if *at <= now.tick);
    let Some(exchange) = session.exchange.take_if(|_| due) else { return };
    session.failures += 1;
    let enough = session.failures >= FAILURES;
    refuse(core, id, &exchange.id, ErrorType::SaslFailure, "wrong name or password");
    if enough {
        return cut(core, now, id);
    }
    go_on_reading(core, now, id);
}

/// It failed for a reason that is ours.
fn shorthanded(core: &mut Core, now: Now, id: ConnId, exchange: Exchange) {
    refuse(core, id, &exchange.id, ErrorType::Resources, "not now: try again");
    go_on_reading(core, now, id);
}

fn go_on_reading(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.blocked = false;
    let opened = conn.opened;
    core.arm(id, opened + limits::CONNECT);
    intake::resume(core, now, id);
}
