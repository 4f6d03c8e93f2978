//! IMTP and PITP connections: what arrives on each, by the role it plays.
//!
//! ```text
//!  accepted -> Fresh --auth--> Client   (a user's, at his home server)
//!                     \------> Server   (of another domain, here to speak for it)
//!  dialled  -> Link, which is greeted first
//!  any -> Ending: last answers, closed
//! ```
//!
//! A connection that waits to learn something (credentials, whose server it is) is blocked: what it sends stays
//! unread. Every command is answered exactly once, by us or when the one it goes to has answered; what can't be told
//! from anything else closes the connection (TOC-31, TOC-35, TOC-36).

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;

use super::adapter;
use super::command::{self, Command, Failure, Fault, Response};
use super::entrance;
use super::error_type::{ErrorType, Reason};
use super::framer::{Bounds, Step};
use super::link;
use super::message::{Kind, Message, Scratch};
use super::method::{Allowed, Method, Side};
use super::requests;
use super::session::{Greeting, NOTICES};
use super::write;
use crate::clock::Now;
use crate::hub::Leg;
use crate::hub::op::{Answer, By, Native, Reply, TxId};
use crate::limits;
use crate::node::intake::{pause, peer_ended};
use crate::node::io::ConnId;
use crate::node::{Conn, Core, Role, Wire};

/// Silence after which a client is sent a NOP (TOC-11).
pub(super) const SILENCE: Duration = Duration::from_secs(300);
/// A connection of another domain's server without outstanding commands (TOC-11).
const SERVER_IDLE: Duration = Duration::from_secs(600);
/// Answers to nothing that was asked, on one connection (TOC-36).
const STRAYS: u8 = 8;

/// A connection is there.
pub(crate) fn accepted(core: &mut Core, now: Now, id: ConnId) {
    entrance::greet(core, id);
    core.arm(id, now.tick + limits::CONNECT);
}

/// Takes messages off the front of `data` until there is no whole one or the connection has to wait.
/// Returns how many octets were taken.
pub(crate) fn process(core: &mut Core, now: Now, id: ConnId, data: &[u8]) -> usize {
    let mut scratch = std::mem::take(&mut core.imtp_scratch);
    let mut at = 0;
    while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
        let Some(taken) = step(core, now, id, rest, &mut scratch) else { break };
        at += taken;
        let ended =
            core.io.conns.get(id).is_none_or(|conn| conn.closing || matches!(conn.role, Role::Ending));
        if ended {
            at = data.len();
        }
    }
    core.imtp_scratch = scratch;
    at
}

/// One piece of the stream; none: no more can be read now.
fn step(core: &mut Core, now: Now, id: ConnId, rest: &[u8], scratch: &mut Scratch) -> Option<usize> {
    if let Some(taken) = rest.first().filter(|b| **b == b'<').and_then(|_| plain_ok(core, now, id, rest)) {
        return Some(taken);
    }
    let conn = core.io.conns.get_mut(id)?;
    if conn.blocked || conn.paused || conn.closing {
        return None;
    }
    let bounds = if matches!(conn.role, Role::Fresh) { Bounds::UNPROVEN } else { Bounds::PROVEN };
    let Wire::Imtp(session) = &mut conn.wire else { return None };
    match session.framer.step(rest, &bounds, scratch) {
        Step::More => None,
        Step::Skip(taken) => Some(taken),
        Step::Nop(taken) => {
            if !session.may_nop(now) {
                cut(core, now, id);
            }
            Some(taken)
        }
        Step::Mech(taken, mechanisms) => {
            if matches!(conn.role, Role::Link(_)) {
                link::mechanisms(core, id, mechanisms);
            } else {
                // Only who accepts a connection has a list (COMMON-10-3).
                cut(core, now, id);
            }
            Some(taken)
        }
        Step::Message(taken, message) => {
            conn.heard = now.tick;
            match message.start().kind {
                Kind::Command if has_to_wait(conn, message.start().method) => {
                    pause(core, id);
                    return None;
                }
                Kind::Command => on_command(core, now, id, &message),
                Kind::Ok | Kind::Error => on_response(core, now, id, &message, false),
            }
            Some(taken)
        }
        Step::Oversized(taken, message) => {
            conn.heard = now.tick;
            match message.start().kind {
                Kind::Command => on_oversized(core, now, id, &message),
                Kind::Ok | Kind::Error => on_response(core, now, id, &message, true),
            }
            Some(taken)
        }
        Step::Broken(bad) => {
            log::debug!("a connection from {} is closed: {bad}", conn.peer.ip());
            cut(core, now, id);
            Some(rest.len())
        }
    }
}

/// Has a command to stay unread until others have their answers? Only such as need nobody's answer but ours, so
/// that reading goes on in a moment (COMMON-7-5): whatever else is too much is refused.
fn has_to_wait(conn: &Conn, method: &str) -> bool {
    let Some(session) = conn.wire.session_ref() else { return false };
    let Some(method) = Method::of(method) else { return false };
    if method.edits() {
        session.asked.len() >= limits::REQUESTS_IN_FLIGHT && session.asked.values().all(|m| m.edits())
    } else {
        // What is read of the list is read as the edits before it have left it.
        method.reads_list() && session.asked.values().any(|m| m.edits())
    }
}

/// How many octets there are beside NOPs, which are tolerated everywhere (TOC-22).
pub(super) fn without_nops(mut data: &[u8]) -> usize {
    while let Some(rest) = data.strip_prefix(write::NOP) {
        data = rest;
    }
    data.len()
}

fn on_command(core: &mut Core, now: Now, id: ConnId, message: &Message<'_>) {
    let start = message.start();
    let Some(name) = admit(core, now, id, start.id) else { return };
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    // A peer may speak on our own connection to it, too, as who its certificate says it is (TOC-15).
    let link = matches!(conn.role, Role::Link(_));
    let deaf = link && (conn.tls.is_none() || !conn_is_greeted(&conn.wire));
    let side = if matches!(conn.role, Role::Client(_)) { Side::Client } else { Side::Peer };
    let Some(session) = conn.session() else { return };
    let (protocol, exchanging) = (session.protocol, session.exchange.is_some());
    if exchanging && start.method != Method::Auth.as_str() {
        // Nothing but the exchange while it lasts (COMMON-14.1-15, TOC-22).
        core.io.write(id, |out| {
            let why = "an authentication is under way";
            write::refuse(out, &name, start.method, ErrorType::Malformed, why);
        });
        return cut(core, now, id);
    }
    if deaf || (link && start.method == Method::Auth.as_str()) {
        let error = Fault::UnknownMethod.error_type();
        return refuse(core, id, &name, start.method, error, "not on this connection");
    }
    match Command::parse(message, protocol, side, core.hub.domains()) {
        Err(fault) => {
            // An exchange that is broken is given up.
            if start.method == Method::Auth.as_str()
                && let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session())
            {
                session.exchange = None;
            }
            let why = fault.to_string();
            refuse(core, id, &name, start.method, fault.error_type(), &why);
        }
        Ok(Command::Auth(auth)) => entrance::auth(core, now, id, &name, auth),
        Ok(command) => requests::take(core, now, id, &name, command, message),
    }
}

/// Notes that a command of this id has come; none if its answer could not be told from another's, or if too
/// many wait already.
fn admit(core: &mut Core, now: Now, id: ConnId, name: &str) -> Option<CompactString> {
    let session = core.io.conns.get_mut(id)?.session()?;
    if session.is_waiting(name) {
        cut(core, now, id);
        return None;
    }
    Some(CompactString::new(name))
}

/// A command whose payload is over the limit (TOC-33).
fn on_oversized(core: &mut Core, now: Now, id: ConnId, message: &Message<'_>) {
    let start = message.start();
    let Some(name) = admit(core, now, id, start.id) else { return };
    let error = match Method::of(start.method) {
        Some(method) => method.too_much(),
        None => ErrorType::UnknownMethod,
    };
    if let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) {
        session.exchange = None;
    }
    refuse(core, id, &name, start.method, error, "the payload is too large");
}

/// Answers a command at once with an error of our own.
pub(super) fn refuse(core: &mut Core, id: ConnId, name: &str, method: &str, error: ErrorType, why: &str) {
    core.io.write(id, |out| write::refuse(out, name, method, error, why));
}

/// A response: to something handed to a client or asked of a peer.
fn on_response(core: &mut Core, now: Now, id: ConnId, message: &Message<'_>, oversized: bool) {
    let start = message.start();
    let Some(number) = start.number() else { return stray(core, now, id) };
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let leg = match &conn.role {
        Role::Client(endpoint) => Leg::Endpoint(*endpoint),
        Role::Link(domain) if conn_is_greeted(&conn.wire) => {
            let (domain, tx) = (Arc::clone(domain), TxId(number));
            return on_answer(core, now, id, tx, (Leg::Remote(&domain), By::Server), (message, oversized));
        }
        Role::Link(_) => return link::answered(core, id, message),
        _ => return stray(core, now, id),
    };
    if number < NOTICES {
        return on_notice_answered(core, now, id, number, start.method);
    }
    on_answer(core, now, id, TxId(number), (leg, By::Endpoint), (message, oversized));
}

/// What [`on_response`] does with the ok that nearly all are, if it is a client's to what he was handed: how many
/// octets it took. None: it is something else.
fn plain_ok(core: &mut Core, now: Now, id: ConnId, rest: &[u8]) -> Option<usize> {
    let conn = core.io.conns.get_mut(id).filter(|conn| !(conn.blocked || conn.paused || conn.closing))?;
    let Role::Client(endpoint) = conn.role else { return None };
    let (tx, taken) = command::plain_ok(rest, |tx| {
        let (kind, _) = core.hub.asked(tx).filter(|_| tx.0 >= NOTICES)?;
        adapter::method_of(kind).filter(|method| method.ok_payload() != Allowed::Must)
    })?;
    let strength = conn.strength();
    match &mut conn.wire {
        Wire::Imtp(session) if session.framer.is_between() => session.framer.took(),
        _ => return None,
    }
    conn.heard = now.tick;
    let native = Some(Native { family: adapter::FAMILY, octets: (&[]).into() });
    let reply = Reply { answer: Answer::done(), by: By::Endpoint, strength, native };
    core.hub.answered(now, Leg::Endpoint(endpoint), tx, reply, &mut core.io);
    Some(taken)
}

fn conn_is_greeted(wire: &Wire) -> bool {
    matches!(wire, Wire::Imtp(session) if session.greeting == Greeting::Over)
}

/// The answer to a request that has crossed the hub.
fn on_answer(
    core: &mut Core,
    now: Now,
    id: ConnId,
    tx: TxId,
    (leg, by): (Leg<'_>, By),
    (message, oversized): (&Message<'_>, bool),
) {
    let start = message.start();
    let Some((kind, of)) = core.hub.asked(tx) else { return stray(core, now, id) };
    let Some(conn) = core.io.conns.get(id) else { return };
    let Wire::Imtp(session) = &conn.wire else { return };
    // What its answer would be to can't be told any more (TOC-36).
    let Some(method) = adapter::method_of(kind).filter(|method| method.as_str() == start.method) else {
        return cut(core, now, id);
    };
    // What can't be an answer to this method, or is too large to pass on, is none (TOC-48).
    let response = Response::parse(message, method, session.protocol).and_then(|response| match response {
        _ if oversized => Err(Fault::Response),
        Response::Error(Failure { reason: Reason::Known(known), .. }) if !method.may_fail_with(known) => {
            Err(Fault::Response)
        }
        response => Ok(response),
    });
    let mut octets = std::mem::take(&mut core.native);
    let native = adapter::native_answer(&mut octets, message, &response);
    let answer = adapter::answer_of(response, kind, of);
    let strength = adapter::weaker(conn.strength(), message.astrength());
    core.hub.answered(now, leg, tx, Reply { answer, by, strength, native }, &mut core.io);
    core.native = octets;
}

/// The answer to a command of ours that nobody waits for.
fn on_notice_answered(core: &mut Core, now: Now, id: ConnId, number: u64, method: &str) {
    let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) else { return };
    let Some(at) = session.told.iter().position(|(told, _)| u64::from(*told) == number) else {
        return stray(core, now, id);
    };
    match session.told.remove(at) {
        Some((_, told)) if told.as_str() == method => {}
        Some(_) | None => cut(core, now, id),
    }
}

/// An answer that nobody waits for: it may have come too late (TOC-36).
fn stray(core: &mut Core, now: Now, id: ConnId) {
    let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) else { return };
    session.strays += 1;
    if session.strays > STRAYS {
        cut(core, now, id);
    }
}

/// Closes a connection that has broken the rules: what was written before goes out.
pub(super) fn cut(core: &mut Core, now: Now, id: ConnId) {
    core.counters.connections_cut += 1;
    close(core, now, id);
}

/// Closes a connection once what was written has gone out.
pub(super) fn close(core: &mut Core, now: Now, id: ConnId) {
    core.leave(now, id);
    core.io.end(id);
}

/// The connection's timer.
pub(crate) fn due(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || conn.armed.is_none_or(|armed| armed > now.tick) {
        return;
    }
    conn.armed = None;
    let (opened, waiting, heard) = (conn.opened, conn.waiting, conn.heard);
    let next = match &mut conn.role {
        Role::Fresh => {
            entrance::tell_failure(core, now, id);
            Some(opened + limits::CONNECT)
        }
        Role::Client(_) | Role::Link(_) => {
            let mut at = conn.spoke + SILENCE;
            if at <= now.tick {
                if let Some(session) = conn.session() {
                    session.rest();
                }
                core.io.write(id, |out| out.extend_from_slice(write::NOP));
                at = now.tick + SILENCE;
            }
            Some(at)
        }
        Role::Server(_) if waiting != 0 => Some(now.tick + SERVER_IDLE),
        Role::Server(_) => Some(heard + SERVER_IDLE),
        Role::Handshake | Role::Routing(_) | Role::Proving(_) | Role::Endpoint { .. } | Role::Ending => None,
    };
    match next.filter(|next| *next > now.tick) {
        Some(next) => core.arm(id, next),
        None => close(core, now, id),
    }
}

/// The server ends: clients are asked to go elsewhere (COMMON-14.2-1), everybody else's connection ends.
pub(crate) fn shut_down(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    match conn.role {
        Role::Client(endpoint) => {
            core.hub.divert(endpoint);
            let Some(notice) = conn.session().and_then(|session| session.tell(Method::Shutdown, usize::MAX))
            else {
                return;
            };
            core.io.write(id, |out| {
                write::command(out, notice, &Command::Shutdown, &write::Relayed::default());
            });
        }
        Role::Fresh | Role::Handshake => close(core, now, id),
        Role::Server(_) if conn.waiting == 0 => peer_ended(core, now, id),
        _ => {}
    }
}
