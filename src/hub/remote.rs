//! What the servers of other domains have yet to answer, and what becomes of it when they don't.

use std::sync::Arc;

use super::op::{Answer, Refusal, Reply};
use super::transaction::Queue;
use super::{Due, Hub, Outlet};
use crate::clock::Now;
use crate::federation::Traffic;

/// What another domain's servers have yet to answer.
#[derive(Debug, Default)]
pub(super) struct Remote([Queue; 3]);

impl Remote {
    /// Its server for one kind of traffic: may be another one than for the other kind.
    pub fn lane(&self, traffic: Traffic) -> &Queue {
        match traffic {
            Traffic::Messages => &self.0[0],
            Traffic::Presence => &self.0[1],
            Traffic::Inquiries => &self.0[2],
        }
    }

    pub fn lane_mut(&mut self, traffic: Traffic) -> &mut Queue {
        match traffic {
            Traffic::Messages => &mut self.0[0],
            Traffic::Presence => &mut self.0[1],
            Traffic::Inquiries => &mut self.0[2],
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|queue| queue.len() == 0)
    }
}

impl Hub {
    /// A peer's server has not answered in time.
    pub(super) fn remote_due(
        &mut self,
        now: Now,
        domain: &Arc<str>,
        traffic: Traffic,
        out: &mut impl Outlet,
    ) {
        // A timer may be left from before all had failed.
        if !self.remotes.get(domain).is_some_and(|remote| remote.lane(traffic).is_due(now.tick)) {
            return;
        }
        while let Some(remote) = self.remotes.get_mut(domain) {
            let queue = remote.lane_mut(traffic);
            let Some(tx) = queue.overdue(now.tick) else {
                match queue.rearm() {
                    Some(at) => self.timers.arm(at, Due::Remote(domain.clone(), traffic)),
                    None if remote.is_empty() => {
                        self.remotes.remove(domain);
                    }
                    None => {}
                }
                return;
            };
            self.leg_done(now, None, tx, Reply::ours(Answer::refused(Refusal::NoAnswer)), out);
        }
    }

    /// A peer's server is gone, or could not be reached: all that waits for it has failed.
    pub fn remote_failed(
        &mut self,
        now: Now,
        domain: &str,
        traffic: Traffic,
        refusal: Refusal,
        out: &mut impl Outlet,
    ) {
        let Some(remote) = self.remotes.get_mut(domain) else { return };
        for tx in remote.lane_mut(traffic).drain() {
            self.leg_done(now, None, tx, Reply::ours(Answer::refused(refusal)), out);
        }
        // Of ever new domains that can't be reached nothing is left.
        if self.remotes.get(domain).is_some_and(|remote| remote.is_empty()) {
            self.remotes.remove(domain);
        }
    }

    /// Requests that wait for the server of a domain, and how many in a row it has left unanswered.
    pub fn remote_load(&self, domain: &str, traffic: Traffic) -> (usize, u8) {
        let queue = self.remotes.get(domain).map(|remote| remote.lane(traffic));
        queue.map_or((0, 0), |queue| (queue.len(), queue.unanswered))
    }
}
