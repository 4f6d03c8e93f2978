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
use super::command::{Challenge, Command, Reply, Request, plain_okay};
use super::entrance;
use super::framer::{BadStream, Step};
use super::object::{BadObject, Concerns, Fault, Malformed, Object, Scratch};
use super::requests::{on_notification, on_routing};
use super::write;
use crate::clock::Now;
use crate::hub::Leg;
use crate::hub::op::{Answer, By, Refusal, Reply as HubReply, TxId};
use crate::limits;
use crate::node::intake::{pause, peer_ended};
use crate::node::io::ConnId;
use crate::node::{Core, Role, Wire};

pub(super) const NOT_HERE: &str = "not allowed on this connection";
pub(super) const MALFORMED: &str = "malformed command";

/// What becomes of a connection after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Read on.
    Go,
    /// The command has to wait: show it again when the connection is no longer blocked.
    Again,
}

/// A connection is there: our stream opens at once (OC-27).
pub(crate) fn accepted(core: &mut Core, id: ConnId) {
    core.io.write(id, |out| out.extend_from_slice(write::HEADER));
}

/// Takes commands off the front of `data` until there is no whole one or the connection has to wait.
/// Returns how many octets were taken.
pub(crate) fn process(core: &mut Core, now: Now, id: ConnId, data: &[u8]) -> usize {
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
            pause(core, id);
            break;
        }
        let limit = match conn.role {
            Role::Fresh if conn.notification => limits::COMMAND_UNPROVEN,
            Role::Proving(_) => limits::COMMAND_UNPROVEN,
            _ => limits::COMMAND,
        };
        let Some(Wire::Simp(framer)) = core.io.conns.get_mut(id).map(|conn| &mut conn.wire) else { break };
        if framer.is_between()
            && let Some((tx, n)) = plain_okay(rest)
        {
            on_okay(core, now, id, tx);
            at += n + line_feed(rest, n);
            continue;
        }
        match framer.step(rest, limit) {
            Step::Skip(n) => at += n,
            Step::Opened(n) => {
                at += n;
                // A link's greeting; to others it means nothing.
                core.io.link_ready(id);
            }
            Step::Object(n) => {
                let next = object(core, now, id, rest.get(..n).unwrap_or(rest), &mut scratch);
                if next == Next::Again {
                    break;
                }
                at += n + line_feed(rest, n);
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

/// The line feed that nearly everybody writes behind a command goes with it: octets that are to be skipped.
fn line_feed(data: &[u8], at: usize) -> usize {
    usize::from(data.get(at) == Some(&b'\n'))
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

/// One `<properties>` element.
fn object(core: &mut Core, now: Now, id: ConnId, data: &[u8], scratch: &mut Scratch) -> Next {
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.heard = now.tick;
    }
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

/// What [`object`] does with the `okay` that nearly all are.
fn on_okay(core: &mut Core, now: Now, id: ConnId, tx: TxId) {
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.heard = now.tick;
    }
    answered(core, now, id, tx, Some(Reply::Okay { message: "okay", unreliable: None }));
    first_must_be_connect(core, now, id, None);
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
    // A value that a person mistyped is no sign of a broken or hostile program.
    if !matches!(malformed.fault, Fault::Value(_) | Fault::Missing(_)) {
        conn.malformed += 1;
    }
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
    let Ok(tx) = name.parse().map(TxId) else { return };
    answered(core, now, id, tx, reply);
}

/// The same, for a reply to something of this name.
fn answered(core: &mut Core, now: Now, id: ConnId, tx: TxId, reply: Option<Reply<'_>>) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let strength = conn.strength();
    match &conn.role {
        Role::Endpoint { endpoint, .. } => {
            let leg = Leg::Endpoint(*endpoint);
            let answer = match reply {
                Some(reply) => adapter::client_reply(reply),
                None => adapter::refused_by_client(MALFORMED),
            };
            let reply = HubReply { answer, by: By::Endpoint, strength, native: None };
            core.hub.answered(now, leg, tx, reply, &mut core.io);
        }
        Role::Link(domain) => {
            let domain = Arc::clone(domain);
            let answer = match reply {
                Some(reply) => adapter::server_reply(reply, &core.hub),
                None => Answer::refused(Refusal::Communications),
            };
            let reply = HubReply { answer, by: By::Server, strength, native: None };
            core.hub.answered(now, Leg::Remote(&domain), tx, reply, &mut core.io);
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
                entrance::connect(core, now, id, name, authorization, opaque, version);
                return Next::Go;
            }
            if conn.notification {
                return first_must_be_connect(core, now, id, Some(name));
            }
            conn.role = Role::Routing(Default::default());
            core.io.conns.visits(id);
            on_routing(core, now, id, name, request, object)
        }
        Role::Routing(_) => on_routing(core, now, id, name, request, object),
        Role::Link(_) => {
            // Who has something to ask of us connects to us (OC-73).
            error(core, id, name, NOT_HERE);
            Next::Go
        }
        Role::Handshake | Role::Proving(_) | Role::Client(_) | Role::Server(_) | Role::Ending => Next::Go,
    }
}

pub(super) fn error(core: &mut Core, id: ConnId, name: &str, text: &str) {
    core.io.write(id, |out| write::error(out, name, text));
}

/// The connection's timer.
pub(crate) fn due(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || conn.armed.is_none_or(|armed| armed > now.tick) {
        return;
    }
    conn.armed = None;
    let waiting = conn.waiting;
    let open = conn.stream_is_open();
    let next = match &mut conn.role {
        Role::Handshake => None,
        Role::Fresh if !open => None,
        Role::Fresh => Some(conn.opened + limits::CONNECT),
        Role::Routing(_) if waiting != 0 || conn.blocked => Some(now.tick + limits::ROUTING_IDLE),
        Role::Routing(_) => Some(conn.heard + limits::ROUTING_IDLE),
        Role::Proving(attempt) => match attempt.fails {
            Some(at) if at <= now.tick => return entrance::refuse_connect(core, now, id, entrance::FAILED),
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
        Role::Client(_) | Role::Server(_) | Role::Ending => None,
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
