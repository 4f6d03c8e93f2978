//! The hub's way out: turns what it wants done into octets on connections, requests on links, and jobs.

use compact_str::CompactString;

use super::conns::{NoRoom, Role, conn_of};
use super::io::{ConnId, ControlId, Job, Output};
use super::jobs::Purpose;
use super::{Event, Io};
use crate::admin::AdminReply;
use crate::hub::address::Address;
use crate::hub::op::{Answer, Envelope, Handle, News, Refusal, Reply, TxId};
use crate::hub::{self, AccountKey, Kind, Outlet};
use crate::limits;
use crate::simp::{adapter, write};
use crate::store::record::{Change, Outcome, Read};

impl Io {
    /// Appends to what a connection is to be sent; one that does not read is cut.
    pub(crate) fn write(&mut self, id: ConnId, write: impl FnOnce(&mut Vec<u8>)) -> bool {
        match self.conns.write(self.now, id, &mut self.outputs, write) {
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
        self.write(id, |out| out.extend_from_slice(write::END));
        self.close_conn(id, true);
    }

    /// Closes a connection; `Closed` will tell when it is gone.
    pub(crate) fn close_conn(&mut self, id: ConnId, flush: bool) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if std::mem::replace(&mut conn.closing, true) {
            return;
        }
        conn.partial = Vec::new();
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

impl Outlet for Io {
    fn answer(&mut self, handle: Handle, tag: &str, kind: Kind, _: &Address, reply: &Reply<'_>) -> bool {
        let answer = &reply.answer;
        let id = conn_of(handle);
        // Whether somebody who has logged out still reads can't be known, so he is told of a failure
        // once, at his next login, and not here (design 5).
        let late = kind == Kind::Message
            && matches!(answer, Answer::Refused { .. })
            && self.conns.get(id).is_some_and(|conn| conn.logged_out);
        let told = !late && self.write(id, |out| adapter::answer(out, tag, kind, answer));
        self.answered_one(id);
        told
    }

    fn deliver(&mut self, handle: Handle, tx: TxId, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        adapter::can_say(envelope)?;
        self.write(conn_of(handle), |out| adapter::request(out, tx, envelope));
        Ok(())
    }

    fn forward(&mut self, domain: &str, tx: TxId, envelope: &Envelope<'_>) -> Result<(), Refusal> {
        self.forward_to(domain, tx, envelope)
    }

    fn tell(&mut self, handle: Handle, news: News<'_>) {
        self.write(conn_of(handle), |out| adapter::news(out, news));
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
