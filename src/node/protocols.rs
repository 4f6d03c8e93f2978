//! Which protocol's code takes what happens on a connection: the only place of the node that knows them all.

use super::conns::Wire;
use super::io::ConnId;
use super::{Core, Io};
use crate::clock::Now;
use crate::hub::AccountKey;
use crate::hub::address::Domain;
use crate::store::record::CredentialRecord;
use crate::{imtp, simp};

/// Whose connection it is; none: it is gone.
fn is_simp(io: &Io, id: ConnId) -> Option<bool> {
    io.conns.get(id).map(|conn| matches!(conn.wire, Wire::Simp(_)))
}

macro_rules! by_protocol {
    ($core:expr, $id:expr, $simp:expr, $imtp:expr) => {
        match is_simp(&$core.io, $id) {
            Some(true) => $simp,
            Some(false) => $imtp,
            None => {}
        }
    };
}

/// A connection is there to be spoken on.
pub(super) fn accepted(core: &mut Core, now: Now, id: ConnId) {
    by_protocol!(core, id, simp::conn::accepted(core, id), imtp::conn::accepted(core, now, id));
}

/// Takes what can be taken off the front of `data`; says how many octets that were.
pub(super) fn process(core: &mut Core, now: Now, id: ConnId, data: &[u8]) -> usize {
    match is_simp(&core.io, id) {
        Some(true) => simp::conn::process(core, now, id, data),
        Some(false) => imtp::conn::process(core, now, id, data),
        None => data.len(),
    }
}

/// The connection's timer.
pub(super) fn due(core: &mut Core, now: Now, id: ConnId) {
    by_protocol!(core, id, simp::conn::due(core, now, id), imtp::conn::due(core, now, id));
}

/// The server ends.
pub(super) fn shut_down(core: &mut Core, now: Now, id: ConnId) {
    by_protocol!(core, id, simp::conn::shut_down(core, now, id), imtp::conn::shut_down(core, now, id));
}

/// The account of a login is in memory, or can't be had.
pub(super) fn account_ready(core: &mut Core, now: Now, id: ConnId, key: Option<AccountKey>) {
    by_protocol!(
        core,
        id,
        simp::entrance::account_ready(core, now, id, key),
        imtp::entrance::account_ready(core, now, id, key)
    );
}

/// What a login is checked against; `Err`: it could not be read.
pub(super) fn credentials_read(
    core: &mut Core,
    now: Now,
    id: ConnId,
    record: Result<Option<Box<CredentialRecord>>, ()>,
) {
    by_protocol!(
        core,
        id,
        simp::entrance::credentials_read(core, now, id, record),
        imtp::entrance::credentials_read(core, now, id, record)
    );
}

/// A login's password has been checked; none: the helpers have too much to do.
pub(super) fn verified(core: &mut Core, now: Now, id: ConnId, fits: Option<bool>) {
    by_protocol!(
        core,
        id,
        simp::entrance::verified(core, now, id, fits),
        imtp::entrance::verified(core, now, id, fits)
    );
}

/// DNS has said whether the connection's address is one of the domain's servers.
pub(super) fn vouched(core: &mut Core, now: Now, id: ConnId, domain: &Domain, yes: bool) {
    by_protocol!(
        core,
        id,
        simp::requests::vouched(core, now, id, domain, yes),
        imtp::entrance::vouched(core, now, id, domain, yes)
    );
}

/// DNS may be asked for this connection now.
pub(super) fn turn(core: &mut Core, now: Now, id: ConnId) {
    // A routing connection looks at its command again by itself.
    by_protocol!(core, id, {}, imtp::entrance::turn(core, now, id));
}
