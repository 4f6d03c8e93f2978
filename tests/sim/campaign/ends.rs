//! The end of a campaign: all is mended, all is quiet, and what was promised is looked for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId, Stage};
use hearth::sim::clients::PATIENCE;
use hearth::sim::world::HostId;

use super::{ANSWERED, Campaign, Conn, Line, Purpose, Trouble, agree, state};
use crate::people::{DOMAINS, MONTH, mend};

/// The longest lease of a subscription between servers, in milliseconds.
const LEASE: i64 = hearth::limits::LEASE.as_millis() as i64;

impl Campaign {
    /// All is mended, and it is quiet. Gives how many beliefs were looked at.
    pub(super) fn finish(mut self) -> usize {
        mend(&mut self.world);
        self.run(ANSWERED);
        // Those who came last have asked for their messages only now.
        self.run(PATIENCE.as_millis() as u64);
        assert!(self.open.is_empty(), "{} requests are not answered", self.open.len());
        let counted = self.all_come();
        let believed = self.check_beliefs(&counted);
        self.check_owed();
        // What is kept is on the disk, not only remembered.
        for host in 0..DOMAINS.len() {
            self.world.crash(HostId(host));
            self.world.start(HostId(host));
        }
        (0..self.users.len()).for_each(|who| self.check_kept(who));
        for client in self.users.iter().flat_map(|u| &u.conns).map(|c| c.id).collect::<Vec<_>>() {
            self.world.close(client, false);
        }
        // Whoever watches from elsewhere and is away is tried for a day.
        self.world.run_for(Duration::from_secs(26 * 3600));
        for (host, domain) in DOMAINS.iter().enumerate() {
            let status = self.world.status(HostId(host));
            let left = (status.endpoints, status.users_online, status.connections, status.requests_waiting);
            assert_eq!(left, (0, 0, 0, 0), "{domain} when all is quiet: {status:?}");
            assert_eq!(self.world.hosts[host].connections(), 0);
        }
        self.measure_rest();
        believed
    }

    pub(super) fn run(&mut self, millis: u64) {
        self.world.run_for(Duration::from_millis(millis));
        self.collect();
        self.measure();
    }

    /// What was kept comes to him who was away.
    pub(super) fn check_owed(&mut self) {
        for who in 0..self.users.len() {
            if self.users[who].keeps {
                let client = self.come(who, Line::Inbox);
                self.world.answers(client, Answer::Okay, Answer::Okay);
                assert_eq!(self.world.await_login(client), Stage::In);
            }
        }
        for _ in 0..6 {
            self.run(30_000);
        }
        // What was too old by a clock that had jumped is not delivered any more.
        let aged = |body: &&String| self.world.hosts[self.users[self.sent[*body].to].home.0].leapt >= MONTH;
        let missing = self.owed.iter().filter(|body| !self.arrived.contains(*body));
        let lost: Vec<&String> = missing.filter(|body| !aged(body)).collect();
        assert!(lost.is_empty(), "{lost:?} were kept, and never came");
    }

    /// Everybody comes once more, learns who watches him, and all settles. By the one who is watched.
    pub(super) fn all_come(&mut self) -> BTreeMap<String, BTreeSet<String>> {
        let mut last = Vec::new();
        for who in 0..self.users.len() {
            let line = if self.users[who].name == "s" { Line::Simp } else { Line::Watcher };
            if line == Line::Simp
                && let Some((client, _)) = self.live(who, &[Line::Simp])
            {
                // There is room for eight.
                self.world.close(client, false);
                self.world.run_for(Duration::from_millis(600));
            }
            let client = self.come(who, line);
            assert_eq!(self.world.await_login(client), Stage::In, "{} comes again", self.users[who].address);
            last.push(client);
        }
        self.run(600_000);
        for (who, client) in last.iter().enumerate() {
            if self.users[who].name != "s" {
                let presentity = format!("presence:{}", self.users[who].address);
                let start = [("action", "start-wi"), ("Presentity", &*presentity)];
                self.ask(*client, Purpose::Other, &start);
            }
        }
        self.run(2000);
        let watchers = last.iter().map(|c| self.watchers.remove(c).unwrap_or_default());
        self.users.iter().map(|u| u.address.clone()).zip(watchers).collect()
    }

    /// What live watchers believe is what a fetch says. A watcher of SIMP, whose subscriptions outlive his
    /// connections, may have lost one while something was broken; then he is not counted either.
    pub(super) fn check_beliefs(&mut self, counted: &BTreeMap<String, BTreeSet<String>>) -> usize {
        let crosswise = self.crosswise;
        let mut checked = 0;
        for who in 0..self.users.len() {
            let from = self.users[who].address.clone();
            for at in 0..self.users[who].conns.len() {
                let Conn { id, line, .. } = self.users[who].conns[at];
                if self.world.peek(id).closed {
                    continue;
                }
                let beliefs: Vec<_> =
                    self.beliefs.range((id, String::new())..).take_while(|((c, _), _)| *c == id).collect();
                let beliefs: Vec<_> =
                    beliefs.into_iter().map(|((_, about), state)| (about.clone(), state.clone())).collect();
                for (about, believed) in beliefs {
                    if line == Line::Simp && !counted[&about].contains(&from) {
                        continue;
                    }
                    // A lease in the store may have been over by a clock that had jumped, when its server was started
                    // again, unnoticed by the other side.
                    let leapt = |host: HostId| self.world.hosts[host.0].calendar_leapt >= LEASE;
                    let home = self.users.iter().find(|user| user.address == about).expect("a user").home;
                    if leapt(home) || leapt(self.users[who].home) {
                        continue;
                    }
                    if self.trouble != Trouble::None
                        && self.estranged.contains(&(about.clone(), from.clone()))
                    {
                        continue;
                    }
                    let Some(truth) = self.truth(id, line, &from, &about) else { continue };
                    let published = self.users.iter().any(|u| u.address == about && u.publishes);
                    assert!(
                        agree(&believed, &truth, published && crosswise),
                        "{believed:?} {truth:?} what {from} believes of {about} on {:?}",
                        self.world.peek(id).name
                    );
                    assert!(counted[&about].contains(&from), "{from} watches {about}, who does not know it");
                    checked += 1;
                }
            }
        }
        checked
    }

    /// What a fetch says; none if he may not see it any more, and may have missed the word of that.
    pub(super) fn truth(&mut self, client: ClientId, line: Line, from: &str, about: &str) -> Option<String> {
        let (watcher, presentity) = (format!("presence:{from}"), format!("presence:{about}"));
        let simp = [("action", "fetch"), ("to", about), ("from", from)];
        let pitp = [("action", "fetch"), ("Watcher", &*watcher), ("Presentity", &*presentity)];
        let id = self.world.request(client, if line == Line::Simp { &simp } else { &pitp });
        let answer = self.world.expect(client, PATIENCE, |o| o.get("response") == Some(&id));
        let answer = answer.expect("an answer");
        let denied = answer.get("Error-Type") == Some("target-authorization")
            || answer.get("message").is_some_and(|words| words.contains("not available"));
        if denied {
            assert!(self.trouble != Trouble::None, "{from} believes to watch {about}, and is told {answer}");
            return None;
        }
        assert!(matches!(answer.action(), "describe" | "ok"), "the truth about {about} is {answer}");
        Some(state(&answer))
    }

    /// What is kept is what was okayed last, or something asked for since.
    pub(super) fn check_kept(&mut self, who: usize) {
        for what in ["profile", "document"] {
            let Some(kept) = self.kept.remove(&(who, what)) else { continue };
            let found = self.find(who, what);
            let since = match found.as_ref().map(|text| kept.get(text)) {
                None => 0,
                Some(None) => {
                    panic!("{what} of {} is {found:?}, which nobody asked for", self.users[who].address)
                }
                Some(Some((_, okayed))) => okayed.unwrap_or(u64::MAX),
            };
            let newer = kept.values().any(|(asked, okayed)| okayed.is_some() && *asked > since);
            let lost = found.is_none() && kept.values().any(|(_, okayed)| okayed.is_some());
            assert!(!newer && !lost, "{what} of {} is {found:?} after {kept:?}", self.users[who].address);
        }
    }

    pub(super) fn find(&mut self, who: usize, what: &str) -> Option<String> {
        if what == "profile" {
            let (home, name) = (self.users[who].home, self.users[who].name);
            let client = self.world.login(home, "looker", name, &format!("key-of-{name}"));
            let profile = self.world.client(client).take(|o| o.action() == "self").expect("a profile");
            self.world.close(client, false);
            return profile.get("message").map(str::to_owned);
        }
        let client = self.come(who, Line::Watcher);
        assert_eq!(self.world.await_login(client), Stage::In);
        let presentity = format!("presence:{}", self.users[who].address);
        let fetch = [("action", "fetch-for-update"), ("Presentity", &*presentity), ("Mapping", "1")];
        let id = self.world.request(client, &fetch);
        self.world.reply(client, &id).expect("an answer").get("body").map(str::to_owned)
    }
}
