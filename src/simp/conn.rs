//! SIMP connections: what arrives on each, by the role it plays.
//!
//! ```text
//!  accepted -> Fresh --connect--> Proving --self--> Endpoint   (a notification connection)
//!                \--anything else--> Routing                   (a routing connection)
//!  dialled  -> Link                                            (a routing connection of ours)
//!  any -> Ending: last answers, </stream>, closed
//! ```
//!
//! A connection that waits to learn something (credentials, whom a peer speaks for) is blocked: what
//! it sends stays unread, so that waiting costs nobody else anything.

use std::sync::Arc;

use super::adapter;
use super::command::{Challenge, Command, Message, Note, Parties, Reply, Request, Version};
use super::framer::{BadStream, Step};
use super::login::{Attempt, Claim, FAILURE, choose, claim};
use super::object::{BadObject, Concerns, Malformed, Object, Scratch};
use super::write;
use crate::clock::Now;
use crate::config::Routing;
use crate::credential::{Algorithm, Secret, check_digest, decoy_verifier, open_plain};
use crate::federation::{Published, Strength, route};
use crate::hub::address::{Address, Domain};
use crate::hub::op::{Answer, EndpointId, Envelope, Origin, Refusal, TxId};
use crate::hub::{self, AccountKey, Hub, Kind, Leg};
use crate::limits;
use crate::node::io::{ConnId, Job, Output};
use crate::node::{Core, Purpose, Role, handle_of, tag};
use crate::store::record::{CredentialRecord, Entries, Read};

const NOT_HERE: &str = "not allowed on this connection";
const NOT_VERIFIED: &str = "originator is not verified";
const FAILED: &str = "authentication failed";
const TOO_MANY: &str = "too many requests";
const MALFORMED: &str = "malformed command";

/// Domains that one routing connection may ask us to look up.
const VOUCHED: usize = 256;
/// Requests over the rate that are answered before the connection is closed (OC-68).
const EXCESS: u8 = 100;

/// What becomes of a connection after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Read on.
    Go,
    /// The command has to wait: show it again when the connection is no longer blocked.
    Again,
}

/// A connection is there: our stream opens at once (OC-27).
pub(crate) fn accepted(core: &mut Core, id: ConnId) {
    core.io.write(id, |out| out.extend_from_slice(write::HEADER));
}

/// Octets have arrived.
pub(crate) fn received(core: &mut Core, now: Now, id: ConnId, data: &[u8]) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || matches!(conn.role, Role::Handshake | Role::Ending) {
        return;
    }
    conn.heard = now.tick;
    if conn.blocked || conn.paused {
        conn.partial.extend_from_slice(data);
        return;
    }
    if conn.partial.is_empty() {
        let read = process(core, now, id, data);
        if let (Some(conn), Some(rest)) = (core.io.conns.get_mut(id), data.get(read..))
            && !rest.is_empty()
            && !conn.closing
        {
            conn.partial = rest.to_vec();
        }
    } else {
        conn.partial.extend_from_slice(data);
        reprocess(core, now, id);
    }
}

/// What was held back may be looked at now.
pub(crate) fn resume(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.blocked || conn.closing {
        return;
    }
    let paused = std::mem::take(&mut conn.paused);
    if !conn.partial.is_empty() {
        reprocess(core, now, id);
    }
    if let Some(conn) = core.io.conns.get(id)
        && paused
        && !conn.paused
        && !conn.closing
    {
        core.io.outputs.push_back(Output::Reading { conn: id, on: true });
    }
}

fn reprocess(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let mut data = std::mem::take(&mut conn.partial);
    let read = process(core, now, id, &data);
    if let Some(conn) = core.io.conns.get_mut(id)
        && read < data.len()
        && !conn.closing
    {
        data.drain(..read);
        conn.partial = data;
    }
}

/// Takes commands off the front of `data` until there is no whole one or the connection has to wait.
/// Returns how many octets were taken.
fn process(core: &mut Core, now: Now, id: ConnId, data: &[u8]) -> usize {
    let mut scratch = std::mem::take(&mut core.scratch);
    let mut at = 0;
    while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(conn) = core.io.conns.get_mut(id) else { break };
        if conn.closing || matches!(conn.role, Role::Ending) {
            at = data.len();
            break;
        }
        if conn.blocked || conn.paused {
            break;
        }
        let in_flight = match conn.role {
            Role::Routing(_) => limits::REQUESTS_IN_FLIGHT_LINK,
            _ => limits::REQUESTS_IN_FLIGHT,
        };
        if usize::from(conn.waiting) >= in_flight {
            conn.paused = true;
            core.io.outputs.push_back(Output::Reading { conn: id, on: false });
            break;
        }
        let limit = match conn.role {
            Role::Fresh if conn.notification => limits::COMMAND_UNPROVEN,
            Role::Proving(_) => limits::COMMAND_UNPROVEN,
            _ => limits::COMMAND,
        };
        let Some(conn) = core.io.conns.get_mut(id) else { break };
        match conn.framer.step(rest, limit) {
            Step::Skip(n) | Step::Opened(n) => at += n,
            Step::Object(n) => {
                let next = object(core, now, id, rest.get(..n).unwrap_or(rest), &mut scratch);
                if next == Next::Again {
                    break;
                }
                at += n;
            }
            Step::Ended(_) => {
                at = data.len();
                peer_ended(core, now, id);
            }
            Step::More => break,
            Step::Broken(bad) => {
                at = data.len();
                broken(core, now, id, bad);
            }
        }
    }
    core.scratch = scratch;
    at
}

/// The peer's stream can't be read on (OC-26, OC-27, OC-30).
fn broken(core: &mut Core, now: Now, id: ConnId, bad: BadStream) {
    if let Some(conn) = core.io.conns.get(id) {
        log::debug!("a stream from {} is closed: {bad}", conn.peer.ip());
    }
    core.counters.connections_cut += 1;
    core.leave(now, id);
    core.io.end(id);
}

/// The peer will send nothing more: presence ends at once, his answers still come (OC-29).
pub(crate) fn peer_ended(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || matches!(conn.role, Role::Ending) {
        return;
    }
    let waiting = conn.waiting;
    core.leave(now, id);
    if waiting == 0 {
        core.io.end(id);
    } else {
        core.arm(id, now.tick + limits::LINGER);
    }
}

/// One `<properties>` element.
fn object(core: &mut Core, now: Now, id: ConnId, data: &[u8], scratch: &mut Scratch) -> Next {
    match Command::read(data, scratch) {
        Ok(Command::Request { id: name, request, object }) => {
            on_request(core, now, id, name, request, object)
        }
        Ok(Command::Reply { id: name, reply }) => {
            on_reply(core, now, id, name, Some(reply));
            first_must_be_connect(core, now, id, None)
        }
        Ok(Command::OneWay(_) | Command::Ignored) => first_must_be_connect(core, now, id, None),
        Err(BadObject::Stream(bad)) => {
            broken(core, now, id, bad);
            Next::Go
        }
        Err(BadObject::Malformed(malformed)) => {
            on_malformed(core, now, id, malformed);
            Next::Go
        }
    }
}

/// On a listener for notification connections nothing may come before `connect` (SIMP-7.2-2, OC-17).
fn first_must_be_connect(core: &mut Core, now: Now, id: ConnId, name: Option<&str>) -> Next {
    let first = |conn: &crate::node::Conn| conn.notification && matches!(conn.role, Role::Fresh);
    if core.io.conns.get(id).is_some_and(first) {
        if let Some(name) = name {
            core.io.write(id, |out| write::error(out, name, NOT_HERE));
        }
        core.leave(now, id);
        core.io.end(id);
    }
    Next::Go
}

fn on_malformed(core: &mut Core, now: Now, id: ConnId, malformed: Malformed<'_>) {
    match malformed.concerns {
        Concerns::Request(name) => {
            core.io.write(id, |out| write::error(out, name, &malformed.fault.to_string()));
        }
        Concerns::Response(name) => on_reply(core, now, id, name, None),
        Concerns::Nobody => {}
    }
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.malformed += 1;
    let first = conn.notification && matches!(conn.role, Role::Fresh);
    if conn.malformed >= limits::MALFORMED || first {
        core.counters.connections_cut += 1;
        core.leave(now, id);
        core.io.end(id);
    }
}

/// A reply: to something handed to an endpoint or asked of a peer; else nobody waits for it (OC-61).
/// None: it was meant as one, but is ill-formed (SIMP-6.1-7).
fn on_reply(core: &mut Core, now: Now, id: ConnId, name: &str, reply: Option<Reply<'_>>) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let Ok(tx) = name.parse().map(TxId) else { return };
    match &conn.role {
        Role::Endpoint { endpoint, .. } => {
            let leg = Leg::Endpoint(*endpoint);
            let answer = match reply {
                Some(reply) => adapter::client_reply(reply),
                None => adapter::refused_by_client(MALFORMED),
            };
            core.hub.answered(now, leg, tx, answer, &mut core.io);
        }
        Role::Link(domain) => {
            let domain = Arc::clone(domain);
            let answer = match reply {
                Some(reply) => adapter::server_reply(reply, &core.hub),
                None => Answer::refused(Refusal::Communications),
            };
            core.hub.answered(now, Leg::Remote(&domain), tx, answer, &mut core.io);
        }
        _ => {}
    }
}

fn on_request(
    core: &mut Core,
    now: Now,
    id: ConnId,
    name: &str,
    request: Request<'_>,
    object: Object<'_>,
) -> Next {
    let Some(conn) = core.io.conns.get_mut(id) else { return Next::Go };
    match &conn.role {
        Role::Endpoint { endpoint, .. } => {
            let endpoint = *endpoint;
            on_notification(core, now, id, endpoint, name, request, object);
            Next::Go
        }
        Role::Fresh => {
            if let Request::Connect { authorization, opaque, version } = request {
                connect(core, now, id, name, authorization, opaque, version);
                return Next::Go;
            }
            if conn.notification {
                return first_must_be_connect(core, now, id, Some(name));
            }
            conn.role = Role::Routing(Default::default());
            on_routing(core, now, id, name, request, object)
        }
        Role::Routing(_) => on_routing(core, now, id, name, request, object),
        Role::Link(_) => {
            // Who has something to ask of us connects to us (OC-73).
            error(core, id, name, NOT_HERE);
            Next::Go
        }
        Role::Handshake | Role::Proving(_) | Role::Ending => Next::Go,
    }
}

fn error(core: &mut Core, id: ConnId, name: &str, text: &str) {
    core.io.write(id, |out| write::error(out, name, text));
}

/// A request of a user's client on his notification connection.
fn on_notification(
    core: &mut Core,
    now: Now,
    id: ConnId,
    endpoint: EndpointId,
    name: &str,
    request: Request<'_>,
    object: Object<'_>,
) {
    let Some((key, user)) = core.hub.account_of(endpoint) else { return };
    let asked = match general(&request) {
        Ok(asked) => asked,
        Err(Asked::Own) => return on_own(core, now, id, key, name, request),
        Err(Asked::Unknown) => return error(core, id, name, "unrecognized request"),
        Err(Asked::Elsewhere) => return error(core, id, name, NOT_HERE),
    };
    // From is whom the connection belongs to (OC-02).
    let from = if asked.from.as_str() == user.as_str() {
        user.clone()
    } else {
        match core.hub.locate(asked.from.as_str()) {
            Ok(address) if address == *user => address,
            Ok(_) => return error(core, id, name, NOT_VERIFIED),
            Err(_) => return error(core, id, name, MALFORMED),
        }
    };
    if !within_rate(core, now, id, name, core.io.config.limits.requests_per_second_user) {
        return;
    }
    ask(core, now, id, name, from, asked, request, object);
}

/// A request on a routing connection: of a client that wants to log in, or of another domain's server.
fn on_routing(
    core: &mut Core,
    now: Now,
    id: ConnId,
    name: &str,
    request: Request<'_>,
    object: Object<'_>,
) -> Next {
    if let Request::Login { user, algorithms } = request {
        login(core, now, id, name, user, algorithms);
        return Next::Go;
    }
    let parties = match (&request, general(&request)) {
        (_, Ok(parties)) => parties,
        (Request::NoteChange(note) | Request::NoteSubscriptionEnd(note), _) => note.parties,
        (_, Err(Asked::Unknown)) => {
            error(core, id, name, "unrecognized request");
            return Next::Go;
        }
        (_, Err(Asked::Own | Asked::Elsewhere)) => {
            error(core, id, name, NOT_HERE);
            return Next::Go;
        }
    };
    let Ok(from) = core.hub.locate(parties.from.as_str()) else {
        error(core, id, name, MALFORMED);
        return Next::Go;
    };
    match may_speak(core, id, &from, matches!(request, Request::Inquire(_))) {
        Verdict::Yes => {}
        Verdict::No => {
            error(core, id, name, NOT_VERIFIED);
            return Next::Go;
        }
        Verdict::Later => return Next::Again,
    }
    if !within_rate(core, now, id, name, core.io.config.limits.requests_per_second_peer) {
        return Next::Go;
    }
    ask(core, now, id, name, from, parties, request, object);
    Next::Go
}

/// Why a request is none of those that one address asks of another.
enum Asked {
    /// Of the user's own contact place.
    Own,
    /// Not on this kind of connection.
    Elsewhere,
    /// Of nothing that we know.
    Unknown,
}

/// The parties of a request that a client may make on any connection (part 5 of the draft).
fn general<'a>(request: &Request<'a>) -> Result<Parties<'a>, Asked> {
    match request {
        Request::Send(message) => Ok(message.parties),
        Request::Fetch(parties) | Request::Inquire(parties) => Ok(*parties),
        Request::Subscribe { parties, .. } | Request::Unsubscribe { parties, .. } => Ok(*parties),
        Request::GetProfile
        | Request::SetProfile(_)
        | Request::GetAcl
        | Request::SetAcl(_)
        | Request::DropSubscription { .. } => Err(Asked::Own),
        Request::NoteChange(_)
        | Request::NoteSubscriptionEnd(_)
        | Request::Login { .. }
        | Request::Connect { .. } => Err(Asked::Elsewhere),
        Request::Unrecognized => Err(Asked::Unknown),
    }
}

/// Hands a request to the hub.
#[allow(clippy::too_many_arguments)] // the connection, the request, and who may ask it
fn ask(
    core: &mut Core,
    now: Now,
    id: ConnId,
    name: &str,
    from: Address,
    parties: Parties<'_>,
    request: Request<'_>,
    object: Object<'_>,
) {
    let Ok(to) = core.hub.locate(parties.to.as_str()) else { return error(core, id, name, MALFORMED) };
    let (request, relayed) = match request {
        Request::Send(message) => (message_of(message, &core.hub), true),
        Request::Fetch(_) => (Some(hub::op::Request::Fetch), false),
        Request::Subscribe { duration, .. } => {
            (Some(hub::op::Request::Subscribe(adapter::lease(duration))), false)
        }
        Request::Unsubscribe { opaque, .. } => {
            (Some(hub::op::Request::Unsubscribe { token: opaque.into() }), false)
        }
        Request::Inquire(_) => (Some(hub::op::Request::Inquire), false),
        Request::NoteChange(note) => (note_of(note, false, &core.hub), true),
        Request::NoteSubscriptionEnd(note) => (note_of(note, true, &core.hub), true),
        _ => (None, false),
    };
    let Some(request) = request else { return error(core, id, name, MALFORMED) };
    let mut octets = std::mem::take(&mut core.native);
    let native = relayed.then(|| adapter::native(&mut octets, &object));
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.waiting += 1;
    }
    let origin = Origin::Peer { handle: handle_of(id), tag: tag(name) };
    let envelope = Envelope { to, from, request, native };
    core.hub.request(now, origin, envelope, &mut core.io);
    core.native = octets;
}

fn message_of<'a>(message: Message<'a>, hub: &Hub) -> Option<hub::op::Request<'a>> {
    adapter::message(message, hub)
}

fn note_of(note: Note<'_>, end: bool, hub: &Hub) -> Option<hub::op::Request<'static>> {
    adapter::note(note, end, hub)
}

fn within_rate(core: &mut Core, now: Now, id: ConnId, name: &str, per_second: u32) -> bool {
    let Some(conn) = core.io.conns.get_mut(id) else { return false };
    if conn.bucket.take(now, per_second) {
        return true;
    }
    conn.excess = conn.excess.saturating_add(1);
    let enough = conn.excess >= EXCESS;
    error(core, id, name, TOO_MANY);
    if enough {
        core.counters.connections_cut += 1;
        core.leave(now, id);
        core.io.end(id);
    }
    false
}

/// A request of a user's to his own contact place (parts 8 to 10 of the draft).
fn on_own(core: &mut Core, now: Now, id: ConnId, key: AccountKey, name: &str, request: Request<'_>) {
    let origin = Origin::Peer { handle: handle_of(id), tag: tag(name) };
    match request {
        Request::GetProfile => {
            let Some(profile) = core.hub.profile(key) else { return };
            core.io.write(id, |out| write::own(out, name, pairs(profile)));
        }
        Request::GetAcl => {
            let Some(acl) = core.hub.acl(key) else { return };
            core.io.write(id, |out| write::own(out, name, pairs(&acl)));
        }
        Request::SetProfile(entries) => {
            let profile: Entries = entries.iter().map(|e| (e.key.to_owned(), e.value.to_owned())).collect();
            let size: usize = profile.iter().map(|(key, value)| key.len() + value.len()).sum();
            if size > limits::PROFILE {
                return error(core, id, name, "too large");
            }
            // The scratch in use holds this very command.
            let mut scratch = Scratch::new();
            match adapter::buddies(&profile, core.hub.domains(), &mut scratch) {
                Ok(contacts) => {
                    waits(core, id);
                    core.hub.set_profile(origin, key, profile, contacts);
                }
                Err(adapter::BadBuddies) => error(core, id, name, MALFORMED),
            }
        }
        Request::SetAcl(entries) => {
            let acl: Entries = entries.iter().map(|e| (e.key.to_owned(), e.value.to_owned())).collect();
            if acl.len() > limits::ACL_ENTRIES {
                return error(core, id, name, "too large");
            }
            waits(core, id);
            core.hub.set_acl(now, origin, key, acl, &mut core.io);
        }
        Request::DropSubscription { subscriber } => match core.hub.locate(subscriber.as_str()) {
            Ok(watcher) => {
                waits(core, id);
                core.hub.drop_watcher(now, origin, key, &watcher, &mut core.io);
            }
            Err(_) => error(core, id, name, MALFORMED),
        },
        _ => error(core, id, name, NOT_HERE),
    }
}

fn waits(core: &mut Core, id: ConnId) {
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.waiting += 1;
    }
}

fn pairs(entries: &Entries) -> impl Iterator<Item = (&str, &str)> {
    entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// May a routing connection speak for an originator?
enum Verdict {
    Yes,
    No,
    /// DNS is being asked.
    Later,
}

/// The same rule for every protocol (design 7): a certificate that names the domain, an address set by
/// hand, or, if that is enough, an address that the domain's own DNS publishes. Nobody speaks for our
/// own users here (OC-01).
fn may_speak(core: &mut Core, id: ConnId, from: &Address, inquiry: bool) -> Verdict {
    let domain = from.domain();
    let config = &core.io.config;
    if core.hub.domains().contains(domain) || !core.io.links.admits(domain, &config.federation) {
        return Verdict::No;
    }
    if inquiry {
        return Verdict::Yes;
    }
    match config.simp.routing {
        Routing::Open => return Verdict::Yes,
        Routing::Closed => return Verdict::No,
        Routing::Verified => {}
    }
    let Some(conn) = core.io.conns.get_mut(id) else { return Verdict::No };
    let Role::Routing(vouched) = &mut conn.role else { return Verdict::No };
    if let Some((_, yes)) = vouched.0.iter().find(|(known, _)| **known == *domain) {
        return if *yes { Verdict::Yes } else { Verdict::No };
    }
    let Ok(asked) = Domain::parse(domain) else { return Verdict::No };
    let named = conn.tls.as_ref().is_some_and(|names| names.iter().any(|name| name == domain))
        || route::named_by_hand(&config.peers, &asked, conn.peer.ip());
    if named || config.federation.require == Strength::Strong || vouched.0.len() >= VOUCHED {
        if vouched.0.len() < VOUCHED {
            vouched.0.push((domain.into(), named));
        }
        return if named { Verdict::Yes } else { Verdict::No };
    }
    conn.blocked = true;
    let job = core.io.jobs.open(Purpose::Vouch(id, domain.into()));
    core.io.outputs.push_back(Output::Job { job, work: Job::Resolve(asked) });
    Verdict::Later
}

/// DNS has said which addresses are a domain's.
pub(crate) fn vouched(core: &mut Core, now: Now, id: ConnId, domain: Arc<str>, dns: Option<Published>) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let ip = conn.peer.ip();
    if let Role::Routing(vouched) = &mut conn.role {
        vouched.0.push((domain, dns.is_some_and(|published| route::publishes(&published, ip))));
    }
    conn.blocked = false;
    resume_blocked(core, now, id);
}

fn resume_blocked(core: &mut Core, now: Now, id: ConnId) {
    let ended = core.io.conns.get(id).is_some_and(|conn| conn.paused);
    if ended {
        resume(core, now, id);
    } else {
        reprocess(core, now, id);
    }
}

/// `login` (SIMP-7.1-1): always a challenge, whoever asks (OC-15).
fn login(core: &mut Core, now: Now, id: ConnId, name: &str, user: &str, algorithms: Option<&str>) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let (ip, exposed, local, listener) = (conn.peer.ip(), conn.exposed(), conn.local, conn.listener);
    if !core.guard.may_ask(now, ip, &core.io.config.limits) {
        return error(core, id, name, TOO_MANY);
    }
    match claim(user, core.hub.domains()) {
        Claim::Foreign => return error(core, id, name, "not a local address"),
        Claim::Ours(address) if !core.guard.may_try(now, ip, &address) => {
            return error(core, id, name, TOO_MANY);
        }
        Claim::Ours(_) | Claim::Nobody => {}
    }
    let Some(algorithm) = choose(algorithms, !exposed) else {
        return error(core, id, name, "no algorithm of these is served here");
    };
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
fn connect(
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
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let ip = conn.peer.ip();
    conn.blocked = true;
    conn.role = Role::Proving(Box::new(Attempt {
        id: name.to_owned(),
        ticket,
        authorization: Secret::new(authorization.to_owned()),
        address: address.clone(),
        proof: compact_str::CompactString::default(),
        fails: None,
    }));
    // Only 1.0 is offered (OC-18).
    match address {
        Some(address) if version == Version::V1_0 && core.guard.may_try(now, ip, &address) => {
            let job = core.io.jobs.open(Purpose::Credentials(id));
            core.io.outputs.push_back(Output::Job { job, work: Job::Read(Read::Credentials(address)) });
        }
        _ => fail(core, now, id),
    }
}

/// The login has failed: the client hears of it after a time that does not tell why (OC-15).
fn fail(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let ip = conn.peer.ip();
    let Role::Proving(attempt) = &mut conn.role else { return };
    let at = now.tick + FAILURE;
    attempt.fails = Some(at);
    let address = attempt.address.clone();
    core.counters.logins_failed += 1;
    core.guard.failed(now, ip, address.as_ref());
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
pub(crate) fn credentials_read(core: &mut Core, now: Now, id: ConnId, record: Option<Box<CredentialRecord>>) {
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
        let job = core.io.jobs.open(Purpose::Password(id));
        return core
            .io
            .outputs
            .push_back(Output::Job { job, work: Job::VerifyPassword { verifier, password } });
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
pub(crate) fn verified(core: &mut Core, now: Now, id: ConnId, fits: bool) {
    if fits { proved(core, now, id) } else { fail(core, now, id) }
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
    let Some(key) = key else { return fail(core, now, id) };
    let proof = std::mem::take(&mut attempt.proof);
    let endpoint = match core.hub.attach(now, key, handle_of(id), proof) {
        Ok(endpoint) => endpoint,
        Err(refusal) => return refuse_connect(core, now, id, adapter::text(refusal, Kind::Own)),
    };
    let name = std::mem::take(&mut attempt.id);
    let ticket = attempt.ticket.take();
    let (user, algorithm) = ticket.map_or((String::new(), Algorithm::Md5), |t| (t.user, t.algorithm));
    conn.role = Role::Endpoint { endpoint, user: user.into_boxed_str(), algorithm };
    conn.blocked = false;
    core.guard.proved(ip);
    if let Some((_, address)) = core.hub.account_of(endpoint) {
        core.guard.succeeded(now, ip, address);
    }
    let mut contacts = Vec::new();
    if let Some(profile) = core.hub.profile(key) {
        let mut scratch = std::mem::take(&mut core.scratch);
        contacts = adapter::buddies(profile, core.hub.domains(), &mut scratch).unwrap_or_default();
        core.scratch = scratch;
        core.io.write(id, |out| write::own(out, &name, pairs(profile)));
    }
    core.hub.welcome(now, endpoint, &mut core.io);
    core.hub.refresh_contacts(now, key, &mut core.io);
    core.hub.set_contacts(now, key, contacts, &mut core.io);
    core.arm(id, now.tick + limits::KEEP_ALIVE);
    resume_blocked(core, now, id);
}

/// The connection's timer.
pub(crate) fn due(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || conn.armed.is_none_or(|armed| armed > now.tick) {
        return;
    }
    conn.armed = None;
    let waiting = conn.waiting;
    let next = match &mut conn.role {
        Role::Handshake => None,
        Role::Fresh if !conn.framer.is_open() => None,
        Role::Fresh => Some(conn.opened + limits::CONNECT),
        Role::Routing(_) if waiting != 0 || conn.blocked => Some(now.tick + limits::ROUTING_IDLE),
        Role::Routing(_) => Some(conn.heard + limits::ROUTING_IDLE),
        Role::Proving(attempt) => match attempt.fails {
            Some(at) if at <= now.tick => return refuse_connect(core, now, id, FAILED),
            fails => Some(fails.unwrap_or(now.tick + limits::CONNECT)),
        },
        Role::Endpoint { .. } | Role::Link(_) => {
            let mut at = conn.spoke + limits::KEEP_ALIVE;
            if at <= now.tick {
                core.io.write(id, |out| out.extend_from_slice(write::KEEP_ALIVE));
                at = now.tick + limits::KEEP_ALIVE;
            }
            Some(at)
        }
        Role::Ending => None,
    };
    match next.filter(|next| *next > now.tick) {
        Some(next) => core.arm(id, next),
        None => {
            core.leave(now, id);
            core.io.end(id);
        }
    }
}

/// The server ends: a client is diverted if there is somewhere to go, else its stream ends (SIMP-6.5-2).
pub(crate) fn shut_down(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let Role::Endpoint { endpoint, user, algorithm } = &conn.role else {
        if matches!(conn.role, Role::Fresh | Role::Handshake | Role::Proving(_)) {
            core.leave(now, id);
            core.io.end(id);
        }
        return;
    };
    let (endpoint, algorithm) = (*endpoint, *algorithm);
    let challenge = core.io.config.simp.divert.clone().zip(core.desk.challenge(
        now,
        user,
        algorithm,
        &mut core.io.random,
    ));
    match challenge {
        Some(((host, port), (nonce, opaque))) => {
            let challenge =
                Challenge { nonce: &nonce, opaque: &opaque, algorithm: algorithm.name(), host: &host, port };
            core.hub.divert(endpoint);
            core.io.write(id, |out| write::divert(out, &challenge));
        }
        None => {
            core.leave(now, id);
            core.io.end(id);
        }
    }
}
