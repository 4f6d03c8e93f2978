//! The hub's way out: turns what it wants done into octets on connections, requests on links, and jobs.

use compact_str::CompactString;

use super::conns::{NoRoom, Role, conn_of};
use super::io::{ConnId, ControlId, Job, Output};
use super::jobs::Purpose;
use super::{Event, Io};
use crate::admin::AdminReply;
use crate::config::Config;
use crate::federation::Protocol;
use crate::hub::address::Address;
use crate::hub::op::{Answer, Envelope, Handle, News, Refusal, Reply, TxId};
use crate::hub::{self, AccountKey, Kind, Outlet};
use crate::imtp;
use crate::imtp::adapter::Portrait;
use crate::limits;
use crate::simp::{adapter, write};
use crate::store::record::{Change, Outcome, Read};

impl Io {
    /// Appends to what a connection is to be sent; one that does not read is cut.
    pub(crate) fn write(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        let written = self.conns.write(self.now, id, &mut self.outputs, write);
        self.is_there(id, written)
    }

    /// Is there somebody who was written to? One who does not read is cut.
    fn is_there(&mut self, id: ConnId, written: Result<(), NoRoom>) -> bool {
        match written {
            Ok(()) => true,
            Err(NoRoom::Gone) => false,
            Err(NoRoom::Slow) => {
                self.events.push_back(Event::Cut(id));
                true
            }
        }
    }

    /// Ends our stream in order and closes once it is written.
    pub(crate) fn end(&mut self, id: ConnId) {
        if self.conns.get(id).is_some_and(|conn| conn.wire.protocol() == Protocol::Simp) {
            self.write(id, |out| out.extend_from_slice(write::END));
        }
        self.close_conn(id, true);
    }

    /// Closes a connection; `Closed` will tell when it is gone.
    pub(crate) fn close_conn(&mut self, id: ConnId, flush: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if std::mem::replace(&mut conn.closing, true) {
            return;
        }
        conn.wipe();
        self.outputs.push_back(Output::Close { conn: id, flush });
    }

    /// One request of this peer's has been answered: it may have waited to send more, or to end.
    pub(crate) fn answered_one(&mut self, id: ConnId) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        conn.waiting = conn.waiting.saturating_sub(1);
        let ending = matches!(conn.role, Role::Ending) && conn.waiting == 0;
        let resume =
            conn.paused && !conn.blocked && usize::from(conn.waiting) <= limits::REQUESTS_IN_FLIGHT / 2;
        if ending {
            self.events.push_back(Event::Finish(id));
        } else if resume {
            self.events.push_back(Event::Resume(id));
        }
    }
}

/// Can the request be said in a protocol?
///
/// # Errors
/// Why not.
pub(super) fn can_say(protocol: Protocol, envelope: &Envelope<'_>) -> Result<(), Refusal> {
    match protocol {
        Protocol::Simp => adapter::can_say(envelope),
        Protocol::Imtp => imtp::adapter::can_say(imtp::Protocol::Imtp, envelope),
        Protocol::Pitp => imtp::adapter::can_say(imtp::Protocol::Pitp, envelope),
    }
}

/// The presence that was told last, as it is said: all who watch somebody are told the same.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    told: adapter::Told,
    portrait: Portrait,
}

/// Says it: to a client of ours, or to another server.
pub(super) fn say(
    protocol: Protocol,
    out: &mut Vec<u8>,
    tx: TxId,
    envelope: &Envelope<'_>,
    config: &Config,
    recent: &mut Recent,
    to_client: bool,
) {
    match protocol {
        Protocol::Simp => adapter::request(out, tx, envelope, &mut recent.told),
        Protocol::Imtp | Protocol::Pitp => {
            // The domain that stands for us is the sender's, if it is one of ours.
            let (from, to) = (envelope.from.domain(), envelope.to.domain());
            let here = if config.domains.contains(from) { from } else { to };
            imtp::adapter::request(out, tx, envelope, here, to_client, &mut recent.portrait);
        }
    }
}

impl Io {
    /// Writes an answer in the words of whoever waits for it; false if he is gone.
    fn write_answer(&mut self, id: ConnId, tag: &str, kind: Kind, of: &Address, reply: &Reply<'_>) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        let Some(session) = conn.session() else {
            return self.write(id, |out| adapter::answer(out, tag, kind, &reply.answer));
        };
        let Some(method) = session.answered(tag) else { return false };
        let stranger = session.user.as_ref().is_none_or(|user| user.domain() != of.domain());
        let asker = imtp::adapter::Asker { id: tag, method, protocol: session.protocol, stranger };
        self.write(id, |out| imtp::adapter::answer(out, &asker, of, reply))
    }
}

impl Outlet for Io {
    fn answer(&mut self, handle: Handle, tag: &str, kind: Kind, of: &Address, reply: &Reply<'_>) -> bool {
        let id = conn_of(handle);
        // Whether somebody who has logged out still reads can't be known, so he is told of a failure
        // once, at his next login, and not here (design 5).
        let late = kind == Kind::Message
            && matches!(reply.answer, Answer::Refused { .. })
            && self.conns.get(id).is_some_and(|conn| conn.logged_out);
        let told = !late && self.write_answer(id, tag, kind, of, reply);
        self.answered_one(id);
        told
    }

    fn deliver(&mut self, handle: Handle, tx: TxId, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        let id = conn_of(handle);
        let Some(conn) = self.conns.get(id) else { return Ok(()) };
        let protocol = conn.wire.protocol();
        can_say(protocol, envelope)?;
        // Whoever writes more to a user than he can take in is told so; it is not the user who has to go.
        if conn.unsent().len() > limits::UNSENT / 2 {
            return Err(Refusal::Resources);
        }
        let (config, recent) = (&self.config, &mut self.recent);
        let say = |out: &mut Vec<u8>| say(protocol, out, tx, envelope, config, recent, true);
        let written = self.conns.write(self.now, id, &mut self.outputs, say);
        self.is_there(id, written);
        Ok(())
    }

    fn forward(&mut self, domain: &str, tx: TxId, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        self.forward_to(domain, tx, envelope)
    }

    fn tell(&mut self, handle: Handle, news: News<'_>) {
        let id = conn_of(handle);
        let Some(conn) = self.conns.get_mut(id) else { return };
        let Some(session) = conn.session() else {
            self.write(id, |out| adapter::news(out, news));
            return;
        };
        let (Some(method), Some(user)) = (imtp::adapter::news_method(news), session.user.clone()) else {
            return;
        };
        match session.tell(method, limits::REQUESTS_IN_FLIGHT_LINK) {
            Some(notice) => {
                self.write(id, |out| imtp::adapter::news(out, notice, &user, news));
            }
            // Who leaves so many unanswered does not listen.
            None => self.events.push_back(Event::Cut(id)),
        }
    }

    fn read(&mut self, read: Read, purpose: hub::Purpose) {
        let job = self.jobs.open(Purpose::Hub(purpose));
        self.outputs.push_back(Output::Job { job, work: Job::Read(read) });
    }

    fn ready(&mut self, handle: Handle, key: Option<AccountKey>) {
        self.events.push_back(Event::Ready(conn_of(handle), key));
    }

    fn close(&mut self, handle: Handle) {
        let id = conn_of(handle);
        if let Some(conn) = self.conns.get_mut(id) {
            conn.role = Role::Ending;
        }
        self.end(id);
    }

    fn admin(&mut self, id: ControlId, change: &Change, outcome: Result<Outcome, String>) {
        if let (Change::SetPeerRule { domain, rule }, Ok(Outcome::Done)) = (change, &outcome) {
            self.rule_changed(domain, *rule);
        }
        let reply = match outcome {
            Ok(outcome) => AdminReply::Outcome(outcome),
            Err(why) => AdminReply::Failed(why),
        };
        self.outputs.push_back(Output::Control { id, reply });
    }
}

/// A peer's name for his request, kept until it is answered.
pub(crate) fn tag(id: &str) -> CompactString {
    CompactString::new(id)
}
