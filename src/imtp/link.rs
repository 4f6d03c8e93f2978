//! Our own connections to the servers of other domains: greeted with EXTERNAL before anything is asked (8.1).
//!
//! ```text
//!  connected, =mech --auth EXTERNAL our-domain--> asked --ok--> granted --the same =mech--> over: the link is up
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};

use super::command::{Auth, Command};
use super::framer::Mechanisms;
use super::message::{Kind, Message};
use super::session::Greeting;
use super::write::{self, Relayed};
use crate::credential::sasl::Mechanism;
use crate::federation::peer;
use crate::hub::address::Domain;
use crate::node::io::ConnId;
use crate::node::{Core, Role};

/// The id of the one command that comes before all others.
const AUTH: u64 = 1;

/// The peer's list of mechanisms.
pub(super) fn mechanisms(core: &mut Core, id: ConnId, mechanisms: Mechanisms<'_>) {
    let Some(conn) = core.io.conns.get(id) else { return };
    let Role::Link(name) = &conn.role else { return };
    let first = core.hub.domains().default_domain().map(Domain::as_str);
    let Some(ours) = peer::ours(name).or(first).map(str::to_owned) else { return };
    let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) else { return };
    let seen = fingerprint(mechanisms);
    match session.greeting {
        Greeting::Listening if mechanisms.has(Mechanism::External.name()) => {
            session.greeting = Greeting::Asked(seen);
            let auth = Auth::Begin { mechanism: Mechanism::External.name(), initial: Some(ours.as_bytes()) };
            core.io.write(id, |out| write::command(out, AUTH, &Command::Auth(auth), &Relayed::default()));
        }
        Greeting::Listening => core.io.link_refused(id, "it does not offer EXTERNAL".to_owned()),
        // Another list than before: somebody has changed one of them (COMMON-14.1-19).
        Greeting::Granted(first) if first != seen => {
            core.io.link_refused(id, "its list of mechanisms was changed on the way".to_owned());
        }
        Greeting::Granted(_) => {
            session.greeting = Greeting::Over;
            core.io.link_ready(id);
        }
        Greeting::Asked(_) | Greeting::Over => {
            core.io.link_refused(id, "it sent a list out of turn".to_owned())
        }
    }
}

/// What makes two lists the same: all their names, in order, whether we know them or not.
fn fingerprint(mechanisms: Mechanisms<'_>) -> u32 {
    let mut hasher = DefaultHasher::new();
    mechanisms.names().for_each(|name| name.to_ascii_uppercase().hash(&mut hasher));
    hasher.finish() as u32
}

/// An answer while we are being greeted: there is but one command of ours.
pub(super) fn answered(core: &mut Core, id: ConnId, message: &Message<'_>) {
    let Some(session) = core.io.conns.get_mut(id).and_then(|conn| conn.session()) else { return };
    let start = message.start();
    if let Greeting::Asked(list) = session.greeting
        && start.kind == Kind::Ok
        && start.method == "auth"
    {
        session.greeting = Greeting::Granted(list);
    } else {
        core.io.link_refused(id, "it does not believe that we speak for our domain".to_owned());
    }
}
