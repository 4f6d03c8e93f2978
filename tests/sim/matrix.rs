//! The matrix: every pairing of families (SIMP, IMTP/PITP), within a domain and between two domains that are
//! linked by either family, for all that can become of a message and of a subscription.
//!
//! A cell is a sender or watcher (ana) of one family, a recipient or presentity (ben) of the other or the same,
//! and the way between them. What is expected stands in each case; what differs by family only in its words is
//! translated by [`Party`]. All cells of a case are run, and all that fail are told.

use std::fmt;
use std::time::Duration;

use hearth::sim::client::{Answer, ClientId};
use hearth::sim::reader::Object;
use hearth::sim::stage::publish;
use hearth::sim::world::{HostId, World, config};
use hearth::store::record::{Change, WatcherPolicy};

use crate::seeds;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Simp,
    Transfer,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Family::Simp { "SIMP" } else { "IMTP/PITP" })
    }
}

/// What is between the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    SameServer,
    LinkedByTransfer,
    LinkedBySimp,
}

/// Everything that may be waited for comes within this time; what takes longer says so.
const SOON: Duration = Duration::from_secs(8);
/// Longer than any answer takes.
const LONG: Duration = Duration::from_secs(60);

type Checked<T = ()> = Result<T, String>;

/// One of the two, and his connections; of SIMP both are the same.
struct Party {
    family: Family,
    name: &'static str,
    address: String,
    home: HostId,
    messages: Option<ClientId>,
    presence: Option<ClientId>,
}

impl Party {
    /// A word of SIMP's, or the same of the other family.
    fn word<'w>(&self, simp: &'w str, transfer: &'w str) -> &'w str {
        if self.family == Family::Simp { simp } else { transfer }
    }
}

struct Scene {
    world: World,
    way: Way,
    ana: Party,
    ben: Party,
}

/// Something that was asked and is to be answered.
struct Asked {
    client: ClientId,
    id: String,
}

impl Scene {
    fn new(seed: u64, way: Way, from: Family, to: Family) -> Scene {
        let mut world = World::new(seed);
        let families = if way == Way::LinkedBySimp { "simp" } else { "imtp" };
        let mut homes = Vec::new();
        for domain in ["a.test", "b.test"] {
            let address = world.next_address();
            homes.push(world.add_host(config(&[domain], address)));
            publish(&mut world, domain, families, address);
        }
        let ben_at = if way == Way::SameServer { 0 } else { 1 };
        let party = |family, name, at: usize| Party {
            family,
            name,
            address: format!("{name}@{}", ["a.test", "b.test"][at]),
            home: homes[at],
            messages: None,
            presence: None,
        };
        let (ana, ben) = (party(from, "ana", 0), party(to, "ben", ben_at));
        for party in [&ana, &ben] {
            world.add_user(party.home, &party.address);
            let (address, watchers) = (party.address.clone(), WatcherPolicy::Allow);
            world.change(party.home, Change::SetWatchers { address, watchers });
        }
        Scene { world, way, ana, ben }
    }

    /// The domain of the recipient: for addresses there that nobody has.
    fn there(&self) -> String {
        self.ben.address.split('@').nth(1).unwrap().to_owned()
    }

    fn ana_comes(&mut self) {
        come(&mut self.world, &mut self.ana);
    }

    fn ben_comes(&mut self) {
        come(&mut self.world, &mut self.ben);
    }

    fn both_come(&mut self) {
        self.ben_comes();
        self.ana_comes();
    }

    /// Ben takes messages no more.
    fn ben_goes(&mut self) {
        self.world.close(self.ben.messages.take().unwrap(), false);
        if self.ben.family == Family::Simp {
            self.ben.presence = None;
        }
    }

    fn restart(&mut self, home: HostId) {
        self.world.crash(home);
        self.world.start(home);
        for party in [&mut self.ana, &mut self.ben] {
            if party.home == home {
                (party.messages, party.presence) = (None, None);
            }
        }
    }

    fn ana_says(&mut self, to: &str, body: &str) -> Asked {
        let (from, own) = (self.ana.address.clone(), self.ana.messages.unwrap());
        let (from_im, to_im) = (format!("im:{from}"), format!("im:{to}"));
        let id = match self.ana.family {
            Family::Simp => {
                let entries =
                    [("action", "send"), ("to", to), ("from", &from), ("type", "text/plain"), ("body", body)];
                self.world.request(own, &entries)
            }
            Family::Transfer => {
                let entries = [("action", "send"), ("Sender", &*from_im), ("Inbox", &*to_im), ("body", body)];
                self.world.request(own, &entries)
            }
        };
        Asked { client: own, id }
    }

    /// Ben hears the message and answers it.
    fn ben_hears(&mut self, body: &str, answer: &[(&str, &str)]) -> Checked {
        let (own, ana) = (self.ben.messages.unwrap(), &self.ana.address);
        let from = match self.ben.family {
            Family::Simp => ("from", ana.clone()),
            Family::Transfer => ("Sender", format!("im:{ana}")),
        };
        let fits = |o: &Object| o.action() == "send" && o.get("body") == Some(body);
        let heard = self.world.expect(own, SOON, fits).ok_or("ben does not hear it")?;
        if heard.get(from.0) != Some(&from.1) {
            return Err(format!("ben hears it from somebody else: {heard}"));
        }
        let mut answer = Object::new(answer);
        answer.entries.push(("response".to_owned(), heard.get("request").unwrap_or_default().to_owned()));
        answer.entries.push(("method".to_owned(), "send".to_owned()));
        if self.ben.family == Family::Simp {
            answer.entries.retain(|(key, _)| key != "method");
        }
        self.world.send(own, &answer);
        Ok(())
    }

    fn answer(&mut self, asked: &Asked) -> Checked<Object> {
        let fits = |o: &Object| o.get("response") == Some(asked.id.as_str());
        self.world.expect(asked.client, LONG, fits).ok_or("no answer has come".to_owned())
    }

    /// What ana is told: in SIMP that it failed, in the others why.
    fn told(&mut self, asked: &Asked, simp: &str, transfer: &str) -> Checked<Object> {
        let answer = self.answer(asked)?;
        let said = answer.get("Error-Type").unwrap_or(answer.action());
        let wanted = self.ana.word(simp, transfer);
        if said == wanted { Ok(answer) } else { Err(format!("ana is told {answer}, not {wanted}")) }
    }

    fn ana_asks(&mut self, what: &str, whom: &str, more: &[(&str, &str)]) -> Asked {
        let own = self.ana.presence.unwrap();
        let from = self.ana.address.clone();
        let (watcher, presentity) = (format!("presence:{from}"), format!("presence:{whom}"));
        let subscription = format!("/{watcher}");
        let mut entries = vec![("action", what)];
        match (self.ana.family, what) {
            (Family::Simp, _) => entries.extend([("to", whom), ("from", &from)]),
            (_, "fetch") => entries.extend([("Watcher", &*watcher), ("Presentity", &*presentity)]),
            _ => entries.extend([("Subscription", &*subscription), ("Presentity", &*presentity)]),
        }
        if self.ana.family == Family::Simp {
            entries.extend(more);
        }
        let id = self.world.request(own, &entries);
        Asked { client: own, id }
    }

    fn ben_is(&mut self, asked: &Asked, wanted: &str) -> Checked<Object> {
        let answer = self.answer(asked)?;
        match state(&answer) {
            Some(seen) if seen == wanted => Ok(answer),
            _ => Err(format!("ana is told {answer}, not that ben is {wanted}")),
        }
    }

    /// Ana subscribes; he is there. Gives what ends it.
    fn ana_subscribes(&mut self, millis: &str) -> Checked<String> {
        let ben = self.ben.address.clone();
        let asked = self.ana_asks("subscribe", &ben, &[("duration", millis)]);
        let answer = self.ben_is(&asked, "online")?;
        Ok(answer.get("opaque").unwrap_or_default().to_owned())
    }

    /// Ben hears that ana watches him, or watches him no more. Gives what the subscription is called, if that is
    /// told.
    fn ben_notices(&mut self, simp: &str, transfer: &str) -> Checked<String> {
        let (own, wanted) = (self.ben.presence.unwrap(), self.ben.word(simp, transfer));
        let ana = self.ana.address.clone();
        let fits = |o: &Object| {
            o.action() == wanted
                && (o.get("subscriber") == Some(&ana)
                    || o.get("Subscription").is_some_and(|s| s.ends_with(&format!("/presence:{ana}"))))
        };
        let told = self.world.expect(own, LONG, fits).ok_or_else(|| format!("ben does not hear {wanted}"))?;
        Ok(told.get("Subscription").unwrap_or_default().to_owned())
    }

    fn ben_hears_of_a_watcher(&mut self) -> Checked<String> {
        self.ben_notices("note subscription", "subscribe-notify")
    }

    fn ben_hears_of_an_end(&mut self) -> Checked {
        self.ben_notices("note subscription lapse", "unsubscribe-notify").map(|_| ())
    }

    /// The next news of ben that ana gets says that he is there, or not.
    fn ana_learns(&mut self, wanted: &str, limit: Duration) -> Checked {
        let (own, news) = (self.ana.presence.unwrap(), self.ana.word("note change", "change-notify"));
        let told = self.world.expect(own, limit, |o| o.action() == news).ok_or("ana gets no news")?;
        match state(&told) {
            Some(seen) if seen == wanted => Ok(()),
            _ => Err(format!("ana gets {told}, not that ben is {wanted}")),
        }
    }

    /// Nothing more is said to ana.
    fn ana_hears_nothing(&mut self) -> Checked {
        self.world.settle(SOON);
        let own = self.ana.presence.unwrap();
        let about = |(_, o): &&(u64, Object)| {
            ["note change", "change-notify", "note subscription end", "terminate-notify"]
                .contains(&o.action())
        };
        match self.world.peek(own).inbox.iter().find(about) {
            Some((_, told)) => Err(format!("ana hears {told}")),
            None => Ok(()),
        }
    }

    /// Ben's state changes, and nobody who does not watch is told.
    fn nothing_comes_of_a_change(&mut self) -> Checked {
        self.ben_goes();
        self.ana_hears_nothing()?;
        self.ben_comes();
        self.ana_hears_nothing()
    }
}

/// Logs in, and asks for all that there is: messages, and who watches.
fn come(world: &mut World, party: &mut Party) {
    let Party { family, name, address, home, .. } = party;
    match family {
        Family::Simp => {
            let client = world.login(*home, name, name, &format!("key-of-{name}"));
            world.answers(client, Answer::ByHand, Answer::Okay);
            world.client(client).take(|o| o.action() == "self");
            (party.messages, party.presence) = (Some(client), Some(client));
        }
        Family::Transfer => {
            let messages = world.enter(*home, &format!("{name}/im"), name);
            world.listen(messages, &format!("im:{address}"));
            party.messages = Some(messages);
            if party.presence.is_none() {
                let presence = world.enter(*home, &format!("{name}/pr"), name);
                let presentity = format!("presence:{address}");
                let id = world.request(presence, &[("action", "start-wi"), ("Presentity", &presentity)]);
                world.reply(presence, &id).expect("who watches");
                party.presence = Some(presence);
            }
        }
    }
}

/// What is said of a presentity.
fn state(object: &Object) -> Option<&str> {
    match (object.get("status"), object.get("body")) {
        (Some(status), _) => Some(status),
        (None, Some(document)) if document.contains("status = open") => Some("online"),
        (None, Some(document)) if document.contains("status = closed") => Some("offline"),
        _ => None,
    }
}

/// Runs a case in all its cells.
fn every(case: &str, ways: &[Way], check: impl Fn(&mut Scene) -> Checked) {
    let (mut failures, mut cells) = (Vec::new(), 0);
    for way in ways {
        for from in [Family::Simp, Family::Transfer] {
            for to in [Family::Simp, Family::Transfer] {
                cells += 1;
                for seed in seeds(2) {
                    let mut scene = Scene::new(seed, *way, from, to);
                    if let Err(why) = check(&mut scene) {
                        let transcript = scene.world.transcript();
                        let lines: Vec<&str> = transcript.lines().collect();
                        let tail = lines[lines.len().saturating_sub(14)..].join("\n    ");
                        failures.push(format!("{from} -> {to}, {way:?} (seed {seed}): {why}\n    {tail}"));
                        break;
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{case}: {} of {cells} cells:\n\n{}", failures.len(), failures.join("\n\n"));
}

const ALL: &[Way] = &[Way::SameServer, Way::LinkedByTransfer, Way::LinkedBySimp];
const BETWEEN: &[Way] = &[Way::LinkedByTransfer, Way::LinkedBySimp];

// IMTP-16.2-10 IMTP-16.2-13 SIMP-5.1-3 SIMP-5.1-6, design 5
#[test]
fn a_message_is_delivered() {
    every("delivered", ALL, |scene| {
        scene.both_come();
        let to = scene.ben.address.clone();
        let asked = scene.ana_says(&to, "hello");
        scene.ben_hears(
            "hello",
            match scene.ben.family {
                Family::Simp => &[("action", "okay"), ("message", "thanks")],
                Family::Transfer => &[("action", "ok"), ("body", "thanks")],
            },
        )?;
        let answer = scene.told(&asked, "okay", "ok")?;
        // He has said that he has it, and what he says on top is passed on: nothing is uncertain.
        let words = answer.get(scene.ana.word("message", "body"));
        if words != Some("thanks") || answer.get("Unreliable").is_some() {
            return Err(format!("ana is told {answer}"));
        }
        Ok(())
    });
}

// IMTP-16.2-18 COMMON-12-4 COMMON-12-10 SIMP-5.1-6: what he says himself is his to say
#[test]
fn a_message_is_refused_by_the_recipient_himself() {
    every("refused by hand", ALL, |scene| {
        scene.both_come();
        let to = scene.ben.address.clone();
        let asked = scene.ana_says(&to, "hello");
        scene.ben_hears(
            "hello",
            match scene.ben.family {
                Family::Simp => &[("action", "error"), ("message", "busy")],
                Family::Transfer => {
                    &[("action", "error"), ("Error-Type", "resources"), ("Error-Description", "busy")]
                }
            },
        )?;
        // SIMP has but one error: at home it means that he does not want it; to strangers all refusals are alike.
        let why = match (scene.way, scene.ben.family) {
            (Way::SameServer, Family::Simp) => "target-authorization",
            (Way::LinkedByTransfer, Family::Simp) | (Way::LinkedBySimp, _) => "no-listeners",
            (_, Family::Transfer) => "resources",
        };
        let answer = scene.told(&asked, "error", why)?;
        let words = answer.get(scene.ana.word("message", "Error-Description"));
        if words.is_some_and(|words| words.contains("busy")) { Ok(()) } else { Err(format!("{answer}")) }
    });
}

/// What a message to somebody who does not take it comes to. To a stranger one is like another.
fn refused(scene: &mut Scene, to: &str, at_home: &str) -> Checked {
    let asked = scene.ana_says(to, "hello");
    let wanted = match scene.way {
        Way::SameServer => at_home,
        Way::LinkedByTransfer | Way::LinkedBySimp => "no-listeners",
    };
    scene.told(&asked, "error", wanted).map(|_| ())
}

// IMTP-16.2-19 SIMP-1-3 SIMP-1-4
#[test]
fn a_message_is_refused_offline() {
    every("offline", ALL, |scene| {
        scene.ana_comes();
        let to = scene.ben.address.clone();
        refused(scene, &to, "no-listeners")
    });
}

// IMTP-16.1-4 IMTP-16.1-5 COMMON-12-14 SIMP-3.8-1
#[test]
fn a_message_is_refused_by_policy() {
    every("policy", ALL, |scene| {
        scene.both_come();
        let (to, own) = (scene.ben.address.clone(), scene.ben.messages.unwrap());
        let (ana, inbox) = (scene.ana.address.clone(), format!("im:{to}"));
        let unwanted = format!("im:{ana}");
        let id = match scene.ben.family {
            Family::Simp => scene.world.request(own, &[("action", "set acl"), (&*ana, "")]),
            Family::Transfer => {
                scene.world.request(own, &[("action", "listen"), ("Inbox", &*inbox), ("Except", &*unwanted)])
            }
        };
        scene.world.reply(own, &id).ok_or("no list is set")?;
        let simp = scene.ben.family == Family::Simp;
        refused(scene, &to, if simp { "target-authorization" } else { "no-listeners" })?;
        scene.world.settle(SOON);
        match scene.world.client(own).take(|o| o.action() == "send") {
            Some(heard) => Err(format!("ben hears {heard}")),
            None => Ok(()),
        }
    });
}

// COMMON-12-15 SIMP-1-4, design 4
#[test]
fn a_message_to_nobody() {
    every("unknown user", ALL, |scene| {
        scene.ana_comes();
        let to = format!("nobody@{}", scene.there());
        refused(scene, &to, "target-not-found")
    });
}

// COMMON-12-11 COMMON-7-9 SIMP-1-5
#[test]
fn the_peer_is_down() {
    every("peer down", BETWEEN, |scene| {
        scene.ana_comes();
        scene.world.crash(scene.ben.home);
        let to = scene.ben.address.clone();
        let asked = scene.ana_says(&to, "hello");
        scene.told(&asked, "error", "communications")?;
        let asked = scene.ana_asks("fetch", &to, &[]);
        scene.told(&asked, "error", "communications")?;
        let asked = scene.ana_asks("subscribe", &to, &[("duration", "-1")]);
        scene.told(&asked, "error", "communications").map(|_| ())
    });
}

// COMMON-7-9 OC-72 TOC-46
#[test]
fn the_peer_goes_down_while_a_message_is_there() {
    every("peer goes down", BETWEEN, |scene| {
        scene.both_come();
        let to = scene.ben.address.clone();
        let asked = scene.ana_says(&to, "hello");
        scene.world.settle(SOON);
        scene.restart(scene.ben.home);
        scene.told(&asked, "error", "communications")?;
        // And later all is well.
        scene.world.run_for(LONG);
        scene.ben_comes();
        let asked = scene.ana_says(&to, "again");
        let ok: &[_] = if scene.ben.family == Family::Simp {
            &[("action", "okay"), ("message", "")]
        } else {
            &[("action", "ok")]
        };
        scene.ben_hears("again", ok)?;
        scene.told(&asked, "okay", "ok").map(|_| ())
    });
}

// PITP-15.4-2 SIMP-5.2-4, design 6
#[test]
fn presence_is_fetched() {
    every("fetched", ALL, |scene| {
        scene.both_come();
        let ben = scene.ben.address.clone();
        let asked = scene.ana_asks("fetch", &ben, &[]);
        scene.ben_is(&asked, "online")?;
        scene.ben_goes();
        scene.world.settle(SOON);
        let asked = scene.ana_asks("fetch", &ben, &[]);
        scene.ben_is(&asked, "offline").map(|_| ())
    });
}

// PITP-5-6 SIMP-5.2-7 SIMP-5.3-8 COMMON-12-14, design 4: strangers are told one thing
#[test]
fn presence_is_refused() {
    every("presence refused", ALL, |scene| {
        scene.both_come();
        let ben = scene.ben.address.clone();
        match scene.ben.family {
            Family::Simp => {
                let own = scene.ben.presence.unwrap();
                let ana = scene.ana.address.clone();
                let id = scene.world.request(own, &[("action", "set acl"), (&*ana, "send")]);
                scene.world.reply(own, &id).ok_or("no list is set")?;
            }
            Family::Transfer => {
                let own = scene.ben.presence.unwrap();
                let presentity = format!("presence:{ben}");
                let entries = [("action", "insert-mapping"), ("Presentity", &*presentity), ("Mapping", "1")];
                let id = scene.world.request(own, &entries);
                scene.world.reply(own, &id).ok_or("no mapping is made")?;
            }
        }
        let nobody = format!("nobody@{}", scene.there());
        let unknown = if scene.way == Way::SameServer { "target-not-found" } else { "target-authorization" };
        for (whom, wanted) in [(&ben, "target-authorization"), (&nobody, unknown)] {
            for what in ["fetch", "subscribe"] {
                let asked = scene.ana_asks(what, whom, &[("duration", "-1")]);
                scene.told(&asked, "error", wanted).map_err(|why| format!("{what} {whom}: {why}"))?;
            }
        }
        Ok(())
    });
}

// PITP-15.11-2 PITP-15.12-1 PITP-15.1-5 SIMP-5.3-3 SIMP-6.1-2 SIMP-6.3-1
#[test]
fn presence_is_subscribed_and_changes() {
    every("subscribed, changed", ALL, |scene| {
        scene.both_come();
        scene.ana_subscribes("-1")?;
        scene.ben_hears_of_a_watcher()?;
        scene.ben_goes();
        scene.ana_learns("offline", SOON)?;
        scene.ben_comes();
        scene.ana_learns("online", SOON)?;
        scene.ana_hears_nothing()
    });
}

// PITP-15.13-3 PITP-15.14-1 PITP-15.13-4 SIMP-6.2-2 SIMP-10.1-2
#[test]
fn presence_is_terminated_by_the_presentity() {
    every("terminated", ALL, |scene| {
        scene.both_come();
        scene.ana_subscribes("-1")?;
        let name = scene.ben_hears_of_a_watcher()?;
        let (own, ben, ana) =
            (scene.ben.presence.unwrap(), scene.ben.address.clone(), scene.ana.address.clone());
        let presentity = format!("presence:{ben}");
        let id = match scene.ben.family {
            Family::Simp => {
                scene.world.request(own, &[("action", "drop subscription"), ("subscriber", &*ana)])
            }
            Family::Transfer => {
                let entries =
                    [("action", "terminate"), ("Presentity", &*presentity), ("Subscription", &*name)];
                scene.world.request(own, &entries)
            }
        };
        let answer = scene.world.reply(own, &id).ok_or("no answer to ben")?;
        if answer.action() != scene.ben.word("okay", "ok") {
            return Err(format!("ben is told {answer}"));
        }
        scene.ben_hears_of_an_end()?;
        let (own, end) =
            (scene.ana.presence.unwrap(), scene.ana.word("note subscription end", "terminate-notify"));
        scene.world.expect(own, SOON, |o| o.action() == end).ok_or("ana does not hear of the end")?;
        scene.nothing_comes_of_a_change()
    });
}

// PITP-15.15-2 PITP-15.15-3 PITP-15.16-1 SIMP-5.4-3 SIMP-6.3-2
#[test]
fn presence_is_unsubscribed() {
    every("unsubscribed", ALL, |scene| {
        scene.both_come();
        let opaque = scene.ana_subscribes("-1")?;
        scene.ben_hears_of_a_watcher()?;
        let ben = scene.ben.address.clone();
        let asked = scene.ana_asks("unsubscribe", &ben, &[("opaque", &opaque)]);
        scene.told(&asked, "okay", "ok")?;
        scene.ben_hears_of_an_end()?;
        let asked = scene.ana_asks("unsubscribe", &ben, &[("opaque", &opaque)]);
        scene.told(&asked, "error", "not-subscribed")?;
        scene.nothing_comes_of_a_change()
    });
}

// SIMP-5.3-4 SIMP-6.1-7 PITP-15.11-5: a lease ends by itself, a connection takes its subscriptions with it
#[test]
fn presence_expires() {
    every("expired", ALL, |scene| {
        scene.both_come();
        scene.ana_subscribes("4000")?;
        scene.ben_hears_of_a_watcher()?;
        match scene.ana.family {
            Family::Simp => scene.world.run_for(Duration::from_secs(6)),
            Family::Transfer => scene.world.close(scene.ana.presence.take().unwrap(), false),
        }
        scene.ben_hears_of_an_end()?;
        if scene.ana.family == Family::Transfer {
            scene.ana_comes();
        }
        scene.nothing_comes_of_a_change()
    });
}

// TOC-83 SIMP-5.3-6: what a SIMP client or a watcher elsewhere has asked for is kept; what hangs on a connection of
// this server ends with it
#[test]
fn the_presentitys_server_restarts() {
    every("restart of the presentity's server", ALL, |scene| {
        scene.both_come();
        scene.ana_subscribes("-1")?;
        scene.ben_hears_of_a_watcher()?;
        scene.restart(scene.ben.home);
        if scene.way == Way::SameServer {
            scene.ana_comes();
            scene.ben_comes();
            if scene.ana.family == Family::Transfer {
                return scene.nothing_comes_of_a_change();
            }
            scene.ana_learns("online", LONG)?;
            scene.ben_goes();
            return scene.ana_learns("offline", LONG);
        }
        // Nobody is back after a while: that is told. He is back: that, too.
        scene.ana_learns("offline", 3 * LONG)?;
        scene.ben_comes();
        scene.ana_learns("online", 3 * LONG)
    });
}

// TOC-83 TOC-85 PITP-15.11-6 SIMP-15-1
#[test]
fn the_watchers_server_restarts() {
    every("restart of the watcher's server", BETWEEN, |scene| {
        scene.both_come();
        scene.ana_subscribes("-1")?;
        scene.ben_hears_of_a_watcher()?;
        scene.restart(scene.ana.home);
        scene.ana_comes();
        if scene.ana.family == Family::Simp {
            scene.ben_goes();
            return scene.ana_learns("offline", LONG);
        }
        // Her connection has gone, and with it what it has asked for: the next news finds nobody.
        scene.ben_goes();
        scene.ana_hears_nothing()?;
        scene.ben_comes();
        scene.ana_hears_nothing()
    });
}
