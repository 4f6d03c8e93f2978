//! What its users do in a campaign, by chance.

use hearth::sim::client::{ClientId, Stage};
use hearth::sim::clients::client_address;
use hearth::sim::sasl::Entrance;

use super::{Campaign, Conn, Line, Purpose, Rule, Sent, User, document};

impl Campaign {
    /// Some have a list of mappings from the beginning.
    pub(super) fn open_lists(&mut self) {
        for who in 0..self.users.len() {
            if self.users[who].name == "s" || self.world.chance.percent(60) {
                continue;
            }
            let client = self.come(who, Line::Watcher);
            assert_eq!(self.world.await_login(client), Stage::In);
            let (address, text) = (self.users[who].address.clone(), format!("first of {who}"));
            let (presentity, document) = (format!("presence:{address}"), document(&address, &text));
            let insert = [
                ("action", "insert-mapping"),
                ("Presentity", &*presentity),
                ("Mapping", "1"),
                ("Wpattern", "*"),
                ("body", &*document),
            ];
            let id = self.world.request(client, &insert);
            assert_eq!(self.world.reply(client, &id).expect("an answer").action(), "ok");
            self.users[who].publishes = true;
            let now = self.world.now;
            self.kept.entry((who, "document")).or_default().insert(document, (now, Some(now)));
        }
    }

    pub(super) fn come(&mut self, who: usize, line: Line) -> ClientId {
        let User { address, name, home, conns, .. } = &mut self.users[who];
        let label = format!("{address}#{}", conns.len());
        let world = &mut self.world;
        let id = match line {
            Line::Simp => world.begin_login(*home, &label, name, &format!("key-of-{name}")),
            Line::Inbox | Line::Watcher => {
                let label = label + if line == Line::Inbox { "/im" } else { "/pr" };
                // Some come on TLS.
                let tls = world.chance.percent(30).then(Vec::new);
                let credentials = world.credentials(name, &format!("password-of-{name}"));
                world.connect(*home, &label, client_address(), tls, Some(Entrance::new(credentials)))
            }
        };
        conns.push(Conn { id, line, asked: false });
        id
    }

    pub(super) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.world.chance.below(from.len())]
    }

    /// A live connection of a user for one of these purposes.
    pub(super) fn live(&mut self, who: usize, lines: &[Line]) -> Option<(ClientId, Line)> {
        let world = &self.world;
        let ready = |c: &&Conn| {
            let client = world.peek(c.id);
            lines.contains(&c.line) && client.stage == Stage::In && !client.closed
        };
        let live: Vec<_> = self.users[who].conns.iter().filter(ready).map(|c| (c.id, c.line)).collect();
        (!live.is_empty()).then(|| self.choose(&live))
    }

    /// A presentity lets somebody watch him no more, or everybody again.
    pub(super) fn end(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Watcher]) else { return };
        let presentity = format!("presence:{}", self.users[who].address);
        let whom = self.world.chance.below(self.users.len());
        let whom = self.users[whom].address.clone();
        let names = self.names.get(&client).into_iter().flatten().last().cloned();
        let class = self.choose(&["*", "*", "presence:*@a.test", "presence:nobody@a.test"]);
        match (line, names, self.world.chance.percent(50)) {
            (Line::Simp, ..) => {
                let drop = [("action", "drop subscription"), ("subscriber", &*whom)];
                self.ask(client, Purpose::Other, &drop);
            }
            (_, None, _) => {
                self.ask(client, Purpose::Other, &[("action", "start-wi"), ("Presentity", &*presentity)]);
            }
            (_, Some(name), true) => {
                self.names.entry(client).or_default().remove(&name);
                let entries =
                    [("action", "terminate"), ("Presentity", &*presentity), ("Subscription", &*name)];
                self.ask(client, Purpose::Other, &entries);
            }
            _ if self.users[who].publishes => {
                let entries = [
                    ("action", "set-class"),
                    ("Presentity", &*presentity),
                    ("Mapping", "1"),
                    ("Wpattern", class),
                ];
                self.ask(client, Purpose::Other, &entries);
            }
            _ => {}
        }
    }

    /// Whom somebody writes to, or watches: often one who has shut him out.
    fn whom(&mut self, who: usize) -> usize {
        let own = &self.users[who].address;
        let shuts = |user: &User| user.rules.last().is_some_and(|rule| rule.shut_out.as_ref() == Some(own));
        let shut: Vec<usize> = (0..self.users.len()).filter(|&at| shuts(&self.users[at])).collect();
        if !shut.is_empty() && self.world.chance.percent(50) {
            return self.choose(&shut);
        }
        self.world.chance.below(self.users.len())
    }

    /// Somebody may have no more to do with a user, or may again.
    pub(super) fn shut_out(&mut self, who: usize) {
        let Some((client, _)) = self.live(who, &[Line::Simp]) else { return };
        let whom = self.world.chance.below(self.users.len());
        let shut_out =
            (whom != who && self.world.chance.percent(50)).then(|| self.users[whom].address.clone());
        let all = "send fetch subscribe unsubscribe change end";
        let mut entries = vec![("action", "set acl"), ("everybody", all)];
        if let Some(whom) = &shut_out {
            entries.push((whom, ""));
            self.estranged.insert((self.users[who].address.clone(), whom.clone()));
        }
        let purpose = Purpose::Rule(who, self.users[who].rules.len());
        self.ask(client, purpose, &entries);
        self.users[who].rules.push(Rule { shut_out, asked: self.world.now, okayed: None, done: u64::MAX });
    }

    pub(super) fn ask(&mut self, client: ClientId, purpose: Purpose, entries: &[(&str, &str)]) {
        let id = self.world.request(client, entries);
        self.open.insert((client, id), (self.world.now, purpose));
    }

    pub(super) fn write(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Inbox]) else { return };
        let whom = self.whom(who);
        let near = self.users[who].home == self.users[whom].home;
        let (from, to) = (self.users[who].address.clone(), self.users[whom].address.clone());
        self.next += 1;
        // Between two homes a message may be on its way when its sender is told that it failed.
        let body = format!("message {} {}", self.next, if near { "near" } else { "far" });
        let purpose = Purpose::Message(body.clone());
        self.sent.insert(body.clone(), Sent { from: who, to: whom, at: self.world.now });
        let (sender, inbox) = (format!("im:{from}"), format!("im:{to}"));
        let simp =
            [("action", "send"), ("to", &*to), ("from", &*from), ("type", "text/plain"), ("body", &*body)];
        let imtp = [("action", "send"), ("Sender", &*sender), ("Inbox", &*inbox), ("body", &*body)];
        self.ask(client, purpose, if line == Line::Simp { &simp } else { &imtp });
    }

    /// Something that is to be kept: a profile, or what others are shown.
    pub(super) fn keep(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Watcher]) else { return };
        self.next += 1;
        let address = self.users[who].address.clone();
        let presentity = format!("presence:{address}");
        let (what, text) = match line {
            Line::Watcher => ("document", document(&address, &self.next.to_string())),
            _ => ("profile", format!("description {}", self.next)),
        };
        let profile = [("action", "set profile"), ("message", &*text)];
        let change = [("action", "change"), ("Presentity", &*presentity), ("Mapping", "1"), ("body", &*text)];
        let entries = if line == Line::Watcher { &change[..] } else { &profile[..] };
        if line == Line::Watcher && !self.users[who].publishes {
            return;
        }
        self.words.insert(self.next, (who, self.world.now));
        self.kept.entry((who, what)).or_default().insert(text.clone(), (self.world.now, None));
        self.ask(client, Purpose::Keep(who, what, text.clone()), entries);
    }

    pub(super) fn watch(&mut self, who: usize) {
        let Some((client, line)) = self.live(who, &[Line::Simp, Line::Watcher]) else { return };
        let to = self.whom(who);
        let (from, to) = (self.users[who].address.clone(), self.users[to].address.clone());
        let what = self.choose(&["subscribe", "subscribe", "subscribe", "fetch", "unsubscribe"]);
        let duration = self.choose(&["-1", "-1", "3000"]);
        let purpose = match (what, line) {
            // A short lease is over before the end, and promises nothing of it.
            ("subscribe", Line::Simp) if duration != "-1" => Purpose::Other,
            ("subscribe", _) => {
                self.news.remove(&(client, to.clone()));
                Purpose::Subscribe(to.clone())
            }
            _ => Purpose::Other,
        };
        let (watcher, presentity) = (format!("presence:{from}"), format!("presence:{to}"));
        let subscription = format!("/{watcher}");
        match (line, what) {
            (Line::Simp, "unsubscribe") => {}
            (Line::Simp, _) => {
                let entries = [("action", what), ("to", &*to), ("from", &*from), ("duration", duration)];
                self.ask(client, purpose, &entries);
            }
            (_, "fetch") => {
                let entries = [("action", what), ("Watcher", &*watcher), ("Presentity", &*presentity)];
                self.ask(client, purpose, &entries);
            }
            _ => {
                if what == "unsubscribe" {
                    self.beliefs.remove(&(client, to.clone()));
                    // What was asked for before this is taken back with it.
                    self.open.values_mut().for_each(|(_, purpose)| {
                        if matches!(purpose, Purpose::Subscribe(whom) if *whom == to) {
                            *purpose = Purpose::Other;
                        }
                    });
                }
                let entries =
                    [("action", what), ("Subscription", &*subscription), ("Presentity", &*presentity)];
                self.ask(client, purpose, &entries);
            }
        }
    }
}
