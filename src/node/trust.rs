//! Whom a connection may speak for, by the same rule for every protocol (design 7): a domain that its
//! certificate names, or whose server the configuration says is there, or, if that is enough, whose own DNS
//! publishes its address.

use super::conns::{Conn, Role, Vouched};
use super::guard::customer;
use super::io::{Asker, ConnId, Job, Output};
use super::jobs::Purpose;
use super::{Core, Event, Io, intake, protocols};
use crate::clock::Now;
use crate::config::Config;
use crate::federation::{Published, Strength, route};
use crate::hub::address::Domain;

impl Io {
    /// May this connection speak for the domain? None: only DNS can tell ([`Core::ask_dns`]).
    pub fn vouches(&self, id: ConnId, domain: &Domain) -> Option<bool> {
        judge(self.conns.get(id)?, domain, &self.config)
    }

    /// The configuration is another: what was let in under the old one, and would no longer be, ends; so do our own
    /// links that would no longer be made.
    pub(super) fn judge_anew(&mut self, old: &Config) {
        for id in self.conns.visitors() {
            let Some(conn) = self.conns.get_mut(id) else { continue };
            match &mut conn.role {
                Role::Server(domain) => {
                    let Ok(domain) = Domain::parse(domain) else { continue };
                    let now = judge(conn, &domain, &self.config);
                    // Who was set by hand, and no longer is, is asked about when he comes again.
                    if now == Some(false) || now.is_none() && judge(conn, &domain, old) == Some(true) {
                        log::info!("{domain} is no longer believed: its connection is closed");
                        self.events.push_back(Event::Cut(id));
                    }
                }
                Role::Routing(Vouched(known)) => known.clear(),
                _ => {}
            }
        }
        self.give_up_clear_links();
    }
}

/// Who is there by this configuration? None: only DNS can tell.
fn judge(conn: &Conn, domain: &Domain, config: &Config) -> Option<bool> {
    let certified = conn.tls.as_ref().is_some_and(|tls| tls.names.iter().any(|name| name == domain.as_str()));
    if certified || route::named_by_hand(&config.peers, domain, conn.peer.ip()) {
        return Some(true);
    }
    (config.federation.require == Strength::Strong).then_some(false)
}

impl Core {
    /// Asks DNS; the connection waits until [`Core::dns_says`] so, in its turn.
    pub fn ask_dns(&mut self, id: ConnId, domain: Domain) {
        let Some(conn) = self.io.conns.get_mut(id) else { return };
        conn.blocked = true;
        let ip = conn.peer.ip();
        if self.turns.take(ip, id) {
            let job = self.io.jobs.open(Purpose::Vouch(id, (ip, domain.clone())));
            let work = Job::Resolve(domain, Asker::Stranger(customer(ip)));
            self.io.outputs.push_back(Output::Job { job, work });
        }
    }

    /// DNS has said which addresses are a domain's.
    pub(super) fn dns_says(
        &mut self,
        now: Now,
        id: ConnId,
        (ip, domain): (std::net::IpAddr, Domain),
        dns: Option<Published>,
    ) {
        self.turns.done(ip);
        // What DNS says may be no longer enough.
        let yes = match self.io.vouches(id, &domain) {
            Some(yes) => yes,
            None => dns.is_some_and(|published| route::publishes(&published, ip)),
        };
        if let Some(conn) = self.io.conns.get_mut(id) {
            conn.blocked = false;
            protocols::vouched(self, now, id, &domain, yes);
            intake::resume(self, now, id);
        }
        while let Some(next) = self.turns.next(ip) {
            if let Some(conn) = self.io.conns.get_mut(next) {
                conn.blocked = false;
                protocols::turn(self, now, next);
                intake::resume(self, now, next);
            }
        }
    }
}
