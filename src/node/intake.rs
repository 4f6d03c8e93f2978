//! What comes in on a connection: octets are shown to the protocol's reader, and what it can't take yet is
//! kept; a connection whose reader has to wait is not read beyond a bound.

use zeroize::Zeroize;

use super::io::{ConnId, Output};
use super::{Core, Role, protocols};
use crate::clock::Now;
use crate::limits;

/// A buffer is not too large for whatever it holds up to so many octets.
const ROOMY: usize = 4096;

/// Octets have arrived.
pub(crate) fn received(core: &mut Core, now: Now, id: ConnId, data: &[u8]) {
    take_in(core, now, id, data);
    weigh(core, now, id);
}

/// What strangers leave unfinished is counted, and bounded all together: each may hold as much as the longest
/// command has, and there may be very many of them.
fn weigh(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let (before, after) = (conn.held as usize, conn.partial.len());
    if before == after || !conn.unproven() {
        return;
    }
    conn.held = after as u32;
    let ip = conn.peer.ip();
    for stranger in core.guard.holds(ip, before, after).unwrap_or_default() {
        if core.io.conns.get(stranger).is_some_and(|conn| conn.held > 0) {
            core.cut(now, stranger);
        }
    }
}

fn take_in(core: &mut Core, now: Now, id: ConnId, data: &[u8]) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || matches!(conn.role, Role::Handshake | Role::Ending) {
        return;
    }
    if conn.blocked || conn.paused {
        conn.hold(data);
        if !conn.paused && conn.partial.len() > limits::COMMAND_UNPROVEN {
            pause(core, id);
        }
        return;
    }
    if conn.partial.is_empty() {
        let read = protocols::process(core, now, id, data);
        if let (Some(conn), Some(rest)) = (core.io.conns.get_mut(id), data.get(read..))
            && !rest.is_empty()
            && !conn.closing
        {
            conn.hold(rest);
        }
    } else {
        conn.hold(data);
        reprocess(core, now, id);
    }
}

/// What the peer sends stays with him until we have got on with what he has sent.
pub(crate) fn pause(core: &mut Core, id: ConnId) {
    if let Some(conn) = core.io.conns.get_mut(id) {
        conn.paused = true;
        core.io.outputs.push_back(Output::Reading { conn: id, on: false });
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
        weigh(core, now, id);
    }
    let Some(conn) = core.io.conns.get(id) else { return };
    if conn.ended && !conn.blocked && !conn.paused {
        peer_ended(core, now, id);
    } else if paused && !conn.paused && !conn.closing {
        core.io.outputs.push_back(Output::Reading { conn: id, on: true });
    }
}

fn reprocess(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    let mut data = std::mem::take(&mut conn.partial);
    let secret = conn.unproven();
    let read = protocols::process(core, now, id, &data);
    let conn = core.io.conns.get_mut(id).filter(|conn| read < data.len() && !conn.closing);
    let rest = if conn.is_some() { data.len() - read } else { 0 };
    // A password may have been among them; where nothing is left, nothing but that has to be done.
    if rest != 0 {
        data.copy_within(read.., 0);
    }
    if secret && let Some(dealt_with) = data.get_mut(rest..) {
        dealt_with.zeroize();
    }
    data.truncate(rest);
    if let Some(conn) = conn {
        if data.capacity() > ROOMY && data.len() < data.capacity() / 4 {
            // A long command is over: the start of the next does not keep its room.
            data.shrink_to_fit();
        }
        conn.partial = data;
    }
}

/// The peer will send nothing more: presence ends at once, his answers still come (OC-29).
pub(crate) fn peer_ended(core: &mut Core, now: Now, id: ConnId) {
    let Some(conn) = core.io.conns.get_mut(id) else { return };
    if conn.closing || matches!(conn.role, Role::Ending) {
        return;
    }
    if conn.blocked && matches!(conn.role, Role::Routing(_)) {
        // What he has asked before is answered first (OC-29).
        conn.ended = true;
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
