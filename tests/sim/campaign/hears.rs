//! What its users hear in a campaign, and what of it would break a promise. Looked at after every step.

use hearth::sim::client::{ClientId, Stage};
use hearth::sim::reader::Object;

use super::{ANSWERED, Campaign, Conn, Line, Purpose, Sent, User, plain, state};

impl Campaign {
    /// Takes what everybody has received and checks it.
    pub(super) fn collect(&mut self) {
        let mut all = Vec::new();
        for who in 0..self.users.len() {
            for at in 0..self.users[who].conns.len() {
                let Conn { id, line, asked } = self.users[who].conns[at];
                if line == Line::Inbox && !asked && self.world.peek(id).stage == Stage::In {
                    self.users[who].conns[at].asked = true;
                    let inbox = format!("im:{}", self.users[who].address);
                    self.ask(id, Purpose::Other, &[("action", "listen"), ("Inbox", &*inbox)]);
                }
                let inbox = std::mem::take(&mut self.world.client(id).inbox);
                all.extend(inbox.into_iter().map(|(time, object)| (time, id, object)));
            }
        }
        // In the order of their arrival anywhere: what was delivered comes before the word that it was.
        // The end of a subscription stays behind the answer that granted it.
        let later = |object: &Object| {
            let end = matches!(object.action(), "terminate-notify" | "note subscription end");
            end || object.get("response").is_some()
        };
        all.sort_by_key(|(time, _, object)| (*time, later(object)));
        all.into_iter().for_each(|(time, client, object)| self.heard(client, time, &object));
        let (now, world) = (self.world.now, &self.world);
        let unanswered = &mut self.unanswered;
        self.open.retain(|(client, id), (since, purpose)| {
            let closed = world.peek(*client).closed;
            let name = &world.peek(*client).name;
            assert!(
                closed || now - *since < ANSWERED,
                "{id} of {name}, of {since}, is not answered at {now}"
            );
            if let (true, Purpose::Message(body)) = (closed, purpose) {
                unanswered.insert(body.clone());
            }
            !closed
        });
        self.check_reports();
    }

    pub(super) fn heard(&mut self, client: ClientId, time: u64, object: &Object) {
        if let Some(id) = object.get("response") {
            return self.answered(client, id, object);
        }
        let about = object.get("regarding").or(object.get("Presentity")).map(plain).unwrap_or_default();
        let key = (client, about);
        let watcher = object.get("subscriber").or(object.get("Subscription")).map(plain).unwrap_or_default();
        match object.action() {
            "send" => self.received(client, time, object),
            "note change" | "change-notify" => {
                self.check_words(client, &state(object));
                self.news.insert(key.clone(), state(object));
                if let Some(belief) = self.beliefs.get_mut(&key) {
                    *belief = state(object);
                }
            }
            "note subscription end" | "terminate-notify" => {
                self.beliefs.remove(&key);
            }
            "subscribe-notify" => {
                let name = object.get("Subscription").unwrap_or_default().to_owned();
                self.names.entry(client).or_default().insert(name);
            }
            "note subscription" => {
                self.watchers.entry(client).or_default().insert(watcher);
            }
            "note subscription lapse" => {
                self.watchers.entry(client).or_default().remove(&watcher);
            }
            _ => {}
        }
    }

    pub(super) fn answered(&mut self, client: ClientId, id: &str, answer: &Object) {
        // The answers to a login are none of ours.
        let Some((since, purpose)) = self.open.remove(&(client, id.to_owned())) else {
            assert!(matches!(id, "connect" | "auth1" | "auth2"), "an answer to nothing: {answer}");
            return;
        };
        let okay = matches!(answer.action(), "okay" | "ok" | "describe");
        self.check_words(client, &state(answer));
        match purpose {
            Purpose::Message(body) if okay => {
                let (arrived, whom) = (self.arrived.contains(&body), self.sent[&body].to);
                let kept = self.users[whom].keeps && !arrived;
                assert!(arrived || kept, "{body} was okayed and is lost");
                let sure = answer.get("Unreliable").is_none();
                assert!(sure || self.users[whom].keeps, "{body} has arrived: {answer}");
                if kept {
                    self.owed.insert(body.clone());
                } else if !sure {
                    self.offered.insert(body.clone());
                }
                self.okayed.insert(body);
            }
            Purpose::Message(body) => {
                self.refused.insert(body, self.world.now);
            }
            Purpose::Keep(who, what, text) if okay => {
                let now = self.world.now;
                self.kept.entry((who, what)).or_default().insert(text, (since, Some(now)));
            }
            Purpose::Rule(who, which) => {
                let (now, rule) = (self.world.now, &mut self.users[who].rules[which]);
                rule.done = now;
                rule.okayed = okay.then_some(now);
            }
            Purpose::Subscribe(about) if okay => {
                let key = (client, about);
                let newer = self.news.get(&key).cloned();
                self.beliefs.insert(key, newer.unwrap_or(state(answer)));
            }
            // It is over if it is not wanted; else what was granted before goes on.
            Purpose::Subscribe(about) => {
                let lasting = ["target-authorization", "target-not-found", "not-subscribed", "malformed"];
                if answer.get("Error-Type").is_some_and(|error| lasting.contains(&error)) {
                    self.beliefs.remove(&(client, about));
                }
            }
            Purpose::Keep(..) => {}
            Purpose::Other => {
                let names = answer.all("Subscription").map(str::to_owned);
                self.names.entry(client).or_default().extend(names);
                let watchers = answer.all("Subscription").map(plain);
                self.watchers.entry(client).or_default().extend(watchers);
            }
        }
    }

    pub(super) fn received(&mut self, client: ClientId, at: u64, object: &Object) {
        let body = object.get("body").unwrap_or_default().to_owned();
        if body.starts_with("Your message to ") {
            return self.reported(client, object, &body);
        }
        assert!(self.sent.contains_key(&body), "nobody has written {body:?}");
        self.check_ends(client, &body, object);
        if let Some(refused) = self.refused.get(&body).filter(|_| body.ends_with("near")) {
            assert!(at <= *refused, "{body} was refused at {refused} and delivered at {at}");
        }
        self.arrived.insert(body.clone());
        let fresh = self.delivered.insert((client, body.clone()));
        // What was kept comes again, under its name, until it is answered.
        let keeps = self.users.iter().any(|u| u.keeps && u.conns.iter().any(|c| c.id == client));
        assert!(fresh || keeps, "{body} came twice to one connection");
    }

    /// Who has this connection?
    fn owner(&self, client: ClientId) -> usize {
        let his = |user: &User| user.conns.iter().any(|conn| conn.id == client);
        self.users.iter().position(his).expect("a connection of somebody's")
    }

    /// A message comes to whom it is for, from the one who wrote it, who was not shut out when he did.
    fn check_ends(&self, client: ClientId, body: &str, object: &Object) {
        let Sent { from, to, at } = self.sent[body];
        let (from, to, owner) = (&self.users[from], &self.users[to], &self.users[self.owner(client)]);
        assert_eq!(owner.address, to.address, "whose is {body}?");
        let sender = object.get("from").or(object.get("Sender")).map(plain);
        assert_eq!(sender.as_ref(), Some(&from.address), "who wrote {body}?");
        assert!(!to.shuts_out(&from.address, at), "{body} was written by whom {} has shut out", to.address);
    }

    /// A report has its name; there are no more of them than there are messages to him which may have failed
    /// without his having been told.
    fn reported(&mut self, client: ClientId, object: &Object, body: &str) {
        let to = body.strip_prefix("Your message to ").and_then(|rest| rest.split_once(' '));
        let to = to.expect("whom a report is about").0.to_owned();
        let name = object.get("item").or(object.get("Hearth-Item")).expect("a report's name").to_owned();
        let owner = self.owner(client);
        let known = self.reports.insert(name.clone(), (owner, to.clone()));
        assert!(known.is_none_or(|known| known == (owner, to)), "{name} is another report now");
    }

    fn check_reports(&self) {
        for (owner, to) in self.reports.values() {
            let reports = self.reports.values().filter(|report| **report == (*owner, to.clone())).count();
            let failed = self.may_have_failed(*owner, to).count();
            let from = &self.users[*owner].address;
            assert!(reports <= failed, "{reports} reports to {from} of {failed} messages to {to}");
        }
    }

    /// Messages from one to another whose sender was not told, or not yet, or was told that they are kept. His
    /// connection may be gone for the server before he hears of that.
    pub(super) fn may_have_failed<'a>(
        &'a self,
        from: usize,
        to: &'a str,
    ) -> impl Iterator<Item = &'a String> {
        let theirs = move |body: &&String| {
            let sent = self.sent[*body];
            sent.from == from && self.users[sent.to].address == to
        };
        let open = self.open.values().filter_map(|(_, purpose)| match purpose {
            Purpose::Message(body) => Some(body),
            _ => None,
        });
        self.unanswered.iter().chain(&self.owed).chain(&self.offered).chain(open).filter(theirs)
    }

    /// Nobody hears what somebody says of himself after he has shut him out.
    fn check_words(&self, client: ClientId, state: &str) {
        let number = state.rsplit_once("description ").map(|(_, rest)| rest);
        let number = number.or_else(|| state.rsplit_once("note = \"").map(|(_, rest)| rest));
        let number = number.map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        let number = number.or_else(|| state.rsplit_once(' ').map(|(_, rest)| rest.to_owned()));
        let Some((who, since)) = number.and_then(|n| n.parse().ok()).and_then(|n| self.words.get(&n)) else {
            return;
        };
        let hearer = &self.users[self.owner(client)].address;
        assert!(
            !self.users[*who].shuts_out(hearer, *since),
            "{hearer} hears {state:?} of {}, who has shut him out",
            self.users[*who].address
        );
    }
}
