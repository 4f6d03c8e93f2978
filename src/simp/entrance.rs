//! The way in: `login` on a routing connection, and what becomes of a `connect` (part 7 of the draft).
//!
//! ```text
//!  connect -> challenge redeemed -> credentials read -> proof checked -> account in memory -> self
//!                 \-------------------\-------------------\-> error, after a time that tells nothing
//! ```

use super::adapter;
use super::command::{Challenge, Version};
use super::conn::{MALFORMED, error};
use super::login::{Attempt, Claim, FAILURE, choose, claim};
use super::requests::{TOO_MANY, pairs};
use super::write;
use crate::clock::Now;
use crate::credential::{Algorithm, Secret, check_digest, decoy_verifier, open_plain};
use crate::hub::op::Seat;
use crate::hub::{self, AccountKey, Kind};
use crate::limits;
use crate::node::io::{ConnId, Job, Output};
use crate::node::{Core, Purpose, Role, handle_of, intake};
use crate::store::record::{CredentialRecord, Read};

/// Told to whoever fails, whatever was wrong.
pub(super) const FAILED: &str = "authentication failed";

/// `login` (SIMP-7.1-1): always a challenge, whoever asks (OC-15).
pub(super) fn login(core: &mut Core, now: Now, id: ConnId, name: &str, user: &str, algorithms: Option<&str>) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let (ip, exposed, local, listener) = (conn.peer.ip(), conn.exposed(), conn.local, conn.listener);
    if !core.guard.may_ask(now, ip, &core.io.config.limits) {
        return error(core, id, name, TOO_MANY);
    }
    let claim = claim(user, core.hub.domains());
    if claim == Claim::Foreign {
        return error(core, id, name, "not a local address");
    }
    let Some(algorithm) = choose(algorithms, !exposed) else {
        return error(core, id, name, "no algorithm of these is served here");
    };
    let guess = algorithm == Algorithm::Plain;
    if matches!(claim, Claim::Ours(address) if !core.guard.may_try(now, ip, &address, guess)) {
        return error(core, id, name, TOO_MANY);
    }
    let challenge = core.desk.challenge(now, user, algorithm, &mut core.io.random);
    let Some((nonce, opaque)) = challenge else { return error(core, id, name, MALFORMED) };
    let (host, port) = notification_place(core, local, usize::from(listener));
    let challenge =
        Challenge { nonce: &nonce, opaque: &opaque, algorithm: algorithm.name(), host: &host, port };
    core.io.write(id, |out| write::challenge(out, name, &challenge));
}

/// Where the client is to open its notification connection: what the configuration says, else the address
/// it has reached us at, and the port of the notification listener that is like the one it came by.
fn notification_place(core: &Core, local: std::net::SocketAddr, listener: usize) -> (String, u16) {
    let config = &core.io.config;
    let host = config.simp.host.clone().unwrap_or_else(|| local.ip().to_string());
    let came_by = config.listen.get(listener);
    let tls = came_by.is_some_and(|l| l.tls || l.protocol == crate::config::ListenProtocol::Tls);
    let port = config.simp.port.filter(|_| !tls).or_else(|| {
        config
            .listen
            .iter()
            .find(|l| {
                l.notification
                    && l.tls == tls
                    && l.address.port() != 0
                    && (l.address.ip() == local.ip() || l.address.ip().is_unspecified())
            })
            .map(|l| l.address.port())
    });
    (host, port.unwrap_or_else(|| local.port()))
}

/// `connect` (SIMP-7.2-3).
pub(super) fn connect(
    core: &mut Core,
    now: Now,
    id: ConnId,
    name: &str,
    authorization: &str,
    opaque: &str,
    version: Version,
) {
    let ticket = core.desk.redeem(now, opaque);
    let address = ticket.as_ref().and_then(|ticket| match claim(&ticket.user, core.hub.domains()) {
        Claim::Ours(address) => Some(address),
        Claim::Nobody | Claim::Foreign => None,
    });
    let guess = ticket.as_ref().is_some_and(|ticket| ticket.algorithm == Algorithm::Plain);
    let epoch = core.hub.epoch();
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let ip = conn.peer.ip();
    conn.blocked = true;
    conn.role = Role::Proving(Box::new(Attempt {
        id: name.to_owned(),
        ticket,
        authorization: Secret::new(authorization.to_owned()),
        address: address.clone(),
        proof: compact_str::CompactString::default(),
        epoch,
        fails: None,
    }));
    match address {
        Some(address) if !core.guard.may_try(now, ip, &address, guess) => put_off(core, now, id),
        // Only 1.0 is offered (OC-18).
        Some(_) if version == Version::V1_0 => ask_credentials(core, id),
        Some(_) | None => fail(core, now, id),
    }
}

/// Asks the store what the login is to be checked against.
fn ask_credentials(core: &mut Core, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let Role::Proving(attempt) = &mut conn.role else { return };
    let Some(address) = attempt.address.clone() else { return };
    attempt.epoch = core.hub.epoch();
    let job = core.io.jobs.open(Purpose::Credentials(id));
    core.io.outputs.push_back(Output::Job { job, work: Job::Read(Read::Credentials(address)) });
}

/// The login has failed, and that counts.
fn fail(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let ip = conn.peer.ip();
    let Role::Proving(attempt) = &conn.role else { return };
    let guess = attempt.ticket.as_ref().is_some_and(|ticket| ticket.algorithm == Algorithm::Plain);
    core.guard.failed(now, ip, attempt.address.as_ref(), guess);
    put_off(core, now, id);
}

/// The client hears of the failure after a time that does not tell why (OC-15). What was not even looked into
/// does not count as a failure: a stranger must not be able to keep a user waiting for ever.
fn put_off(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let Role::Proving(attempt) = &mut conn.role else { return };
    let at = now.tick + FAILURE;
    attempt.fails = Some(at);
    core.counters.logins_failed += 1;
    core.arm(id, at);
}

/// Refuses a `connect` at once, for a reason that is not the client's.
pub(crate) fn refuse_connect(core: &mut Core, now: Now, id: ConnId, text: &str) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let Role::Proving(attempt) = &mut conn.role else { return };
    let name = std::mem::take(&mut attempt.id);
    error(core, id, &name, text);
    core.leave(now, id);
    core.io.end(id);
}

/// What the login is checked against has been read.
pub(crate) fn credentials_read(
    core: &mut Core,
    now: Now,
    id: ConnId,
    record: Result<Option<Box<CredentialRecord>>, ()>,
) {
    let Ok(record) = record else { return refuse_connect(core, now, id, TOO_MANY) };
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let Role::Proving(attempt) = &mut conn.role else { return };
    let Some(ticket) = &attempt.ticket else { return };
    let record = record.filter(|record| !record.locked);
    if ticket.algorithm == Algorithm::Plain {
        let Some(password) = open_plain(attempt.authorization.expose(), &ticket.user, &ticket.nonce) else {
            return fail(core, now, id);
        };
        attempt.proof = hub::PASSWORD.into();
        let verifier =
            record.map_or_else(|| decoy_verifier().to_owned(), |record| record.password.argon2.clone());
        let ip = conn.peer.ip();
        let known = attempt.address.as_ref().is_some_and(|address| core.guard.knows(now, ip, address));
        let job = core.io.jobs.open(Purpose::Password(id));
        let work = Job::VerifyPassword { verifier, password, known };
        return core.io.outputs.push_back(Output::Job { job, work });
    }
    let check = |secret: Option<&Secret>| {
        let authorization = attempt.authorization.expose();
        check_digest(ticket.algorithm, &ticket.user, secret, &ticket.nonce, authorization)
    };
    let mut found = None;
    for key in record.iter().flat_map(|record| &record.keys) {
        if check(Some(&key.secret)) && found.is_none() {
            found = Some(hub::key_proof(&key.label));
        }
    }
    match found {
        Some(proof) => {
            attempt.proof = proof;
            proved(core, now, id);
        }
        None => {
            check(None);
            fail(core, now, id);
        }
    }
}

/// A password has been checked.
pub(crate) fn verified(core: &mut Core, now: Now, id: ConnId, fits: Option<bool>) {
    match fits {
        Some(true) => proved(core, now, id),
        Some(false) => fail(core, now, id),
        None => refuse_connect(core, now, id, TOO_MANY),
    }
}

fn proved(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let Role::Proving(attempt) = &conn.role else { return };
    let Some(address) = attempt.address.clone() else { return };
    core.hub.prepare(now, address, handle_of(id), &mut core.io);
}

/// The account of a login that has proved itself is in memory: the user is online from now on.
pub(crate) fn account_ready(core: &mut Core, now: Now, id: ConnId, key: Option<AccountKey>) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let ip = conn.peer.ip();
    let Role::Proving(attempt) = &mut conn.role else { return };
    if attempt.epoch != core.hub.epoch() {
        // The operator has changed something meanwhile, the user's password maybe: from the start.
        return ask_credentials(core, id);
    }
    let Some(key) = key else { return fail(core, now, id) };
    let proof = std::mem::take(&mut attempt.proof);
    let endpoint = match core.hub.attach(now, key, handle_of(id), proof, Seat::Whole) {
        Ok(endpoint) => endpoint,
        Err(refusal) => return refuse_connect(core, now, id, adapter::text(refusal, Kind::Own)),
    };
    let name = std::mem::take(&mut attempt.id);
    let ticket = attempt.ticket.take();
    let (user, algorithm) = ticket.map_or((String::new(), Algorithm::Md5), |t| (t.user, t.algorithm));
    conn.role = Role::Endpoint { endpoint, user: user.into_boxed_str(), algorithm };
    conn.blocked = false;
    core.disown(ip, id);
    if let Some((_, address)) = core.hub.account_of(endpoint) {
        core.guard.succeeded(now, ip, address);
    }
    if let Some(profile) = core.hub.profile(key) {
        core.io.write(id, |out| write::own(out, &name, pairs(profile)));
    }
    core.hub.welcome(now, endpoint, &mut core.io);
    core.hub.refresh_contacts(now, key, &mut core.io);
    core.hub.watch_contacts(now, key, &mut core.io);
    core.arm(id, now.tick + limits::KEEP_ALIVE);
    intake::resume(core, now, id);
}
