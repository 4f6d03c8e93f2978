//! What is asked on a connection: each request is checked in one order (OC-71) - well-formed, on the
//! right kind of connection, by somebody who may speak for its originator, to somebody here, within the
//! rate - and handed to the hub; the recipient's access control list comes last, there.

use super::adapter;
use super::command::{Parties, Request};
use super::conn::{MALFORMED, NOT_HERE, Next, error};
use super::entrance;
use super::object::{Object, Scratch};
use super::write;
use crate::clock::Now;
use crate::config::Routing;
use crate::hub::address::{Address, Domain};
use crate::hub::op::{EndpointId, Envelope, Origin, Trail};
use crate::hub::{self, AccountKey};
use crate::limits;
use crate::node::io::ConnId;
use crate::node::{Core, Role, handle_of, tag};
use crate::store::record::Entries;

const NOT_VERIFIED: &str = "originator is not verified";
const TOO_LARGE: &str = "too large";
pub(super) const TOO_MANY: &str = "too many requests";

/// Domains that one routing connection may ask us to look up.
const VOUCHED: usize = 256;
/// Requests over the rate that are answered before the connection is closed (OC-68).
const EXCESS: u8 = 100;

/// A request of a user's client on his notification connection.
pub(super) fn on_notification(
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
pub(super) fn on_routing(
    core: &mut Core,
    now: Now,
    id: ConnId,
    name: &str,
    request: Request<'_>,
    object: Object<'_>,
) -> Next {
    if let Request::Login { user, algorithms } = request {
        entrance::login(core, now, id, name, user, algorithms);
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
    match may_speak(core, now, id, &from, matches!(request, Request::Inquire(_))) {
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
        Request::Send(message) => (adapter::message(message, &object, &core.hub), true),
        Request::Fetch(_) => (Some(hub::op::Request::Fetch), false),
        Request::Subscribe { duration, .. } => {
            (Some(hub::op::Request::Subscribe { lease: adapter::lease(duration), name: None }), false)
        }
        Request::Unsubscribe { opaque, .. } => {
            (Some(hub::op::Request::Unsubscribe { token: opaque.into() }), false)
        }
        Request::Inquire(_) => (Some(hub::op::Request::Inquire), false),
        Request::NoteChange(note) => (adapter::note(note, false, &core.hub), true),
        Request::NoteSubscriptionEnd(note) => (adapter::note(note, true, &core.hub), true),
        _ => (None, false),
    };
    let Some(request) = request else { return error(core, id, name, MALFORMED) };
    let mut octets = std::mem::take(&mut core.native);
    let native = relayed.then(|| adapter::native(&mut octets, &object, &to, &from));
    if native.as_ref().is_some_and(|native| native.octets.len() > limits::RELAYED) {
        core.native = octets;
        return error(core, id, name, TOO_LARGE);
    }
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    conn.waiting += 1;
    let trail = Trail::of(conn.strength_of(from.domain()));
    let origin = Origin::Peer { handle: handle_of(id), tag: tag(name) };
    let envelope = Envelope { to, from, request, native, trail };
    core.hub.request(now, origin, envelope, &mut core.io);
    core.native = octets;
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
            let message = entries.find("message").unwrap_or_default();
            if size > limits::PROFILE || !write::fits(message, limits::VALUE) || !fits(&profile) {
                return error(core, id, name, TOO_LARGE);
            }
            // The scratch in use holds this very command.
            let mut scratch = Scratch::new();
            match adapter::buddies(&profile, core.hub.domains(), &mut scratch) {
                Ok(contacts) => {
                    waits(core, id);
                    core.hub.set_profile(now, origin, key, (profile, contacts), &mut core.io);
                }
                Err(adapter::BadBuddies) => error(core, id, name, MALFORMED),
            }
        }
        Request::SetAcl(entries) => {
            let acl: Entries = entries.iter().map(|e| (e.key.to_owned(), e.value.to_owned())).collect();
            if acl.len() > limits::ACL_ENTRIES || !fits(&acl) {
                return error(core, id, name, TOO_LARGE);
            }
            waits(core, id);
            core.hub.set_acl(now, origin, key, acl, &mut core.io);
        }
        Request::DropSubscription { subscriber } => match core.hub.locate(subscriber.as_str()) {
            Ok(watcher) => {
                waits(core, id);
                core.hub.drop_watcher(now, origin, key, &watcher, None, &mut core.io);
            }
            Err(_) => error(core, id, name, MALFORMED),
        },
        _ => error(core, id, name, NOT_HERE),
    }
}

/// Can it be given back in one command?
fn fits(entries: &Entries) -> bool {
    let mut out = Vec::new();
    write::entries(&mut out, pairs(entries));
    out.len() <= limits::RELAYED
}

fn waits(core: &mut Core, id: ConnId) {
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.waiting += 1;
    }
}

pub(super) fn pairs(entries: &Entries) -> impl Iterator<Item = (&str, &str)> {
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
fn may_speak(core: &mut Core, now: Now, id: ConnId, from: &Address, inquiry: bool) -> Verdict {
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
    let known = vouched.0.iter().enumerate().find(|(_, (known, ..))| **known == *domain);
    if let Some((at, (_, yes, until))) = known {
        if now.tick < *until {
            return if *yes { Verdict::Yes } else { Verdict::No };
        }
        vouched.0.swap_remove(at);
    }
    let full = vouched.0.len() >= VOUCHED;
    let Ok(asked) = Domain::parse(domain) else { return Verdict::No };
    match core.io.vouches(id, &asked).or(full.then_some(false)) {
        Some(yes) => {
            if !full
                && let Some(Role::Routing(vouched)) = core.io.conns.get_mut(id).map(|conn| &mut conn.role)
            {
                let lifetime = if yes { limits::TRUST } else { limits::DISTRUST };
                vouched.0.push((domain.into(), yes, now.tick + lifetime));
            }
            if yes { Verdict::Yes } else { Verdict::No }
        }
        None => {
            core.ask_dns(id, asked);
            Verdict::Later
        }
    }
}

/// DNS has said whether the connection's address is one of the domain's: that holds for a while.
pub(crate) fn vouched(core: &mut Core, now: Now, id: ConnId, domain: &Domain, yes: bool) {
    if let Some(Role::Routing(vouched)) = core.io.conns.get_mut(id).map(|conn| &mut conn.role) {
        let lifetime = if yes { limits::TRUST } else { limits::DISTRUST };
        vouched.0.push((domain.as_str().into(), yes, now.tick + lifetime));
    }
}
