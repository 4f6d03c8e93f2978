//! The scenes in which IMTP and PITP are spoken: by both users, then by one of them while the other speaks SIMP.

use super::scenes::{Actor, PATIENCE, WATCH, described, expect, scene, tell, unexpected};
use super::world::{User, World};
use crate::cli::chat::presence::{Mood, document};
use crate::cli::failure::{Done, Failure};
use crate::cli::output::say;
use crate::client::blocking::transfer::{Messages, Presence};
use crate::client::transfer::imtp::Incoming;
use crate::client::transfer::pitp::Notice;
use crate::client::transfer::{Body, Event};
use crate::client::{Answer, Message};
use crate::hub::address::{Address, Domains};

/// Plays them, in order.
pub(super) fn play(world: &World) -> Done {
    scene("IMTP and PITP: a message goes across, and each watches the other");
    let mut alice = Both::enter(world.alice())?;
    let mut bob = Both::enter(world.bob())?;
    deliver(&mut alice, &mut bob)?;
    watch(&mut alice, &mut bob)?;
    watch(&mut bob, &mut alice)?;
    change(&mut bob, &mut alice)?;
    alice.leave()?;
    say!();
    scene("Across the families: alice speaks SIMP, bob IMTP and PITP");
    let mut alice = Actor::enter(world.alice())?;
    deliver_across(&mut alice, &mut bob)?;
    watch_across(&mut alice, &mut bob)?;
    bob.leave()?;
    alice.leave()?;
    say!();
    Ok(())
}

fn deliver(alice: &mut Both, bob: &mut Both) -> Done {
    let text = "Dinner?";
    tell(&alice.name, &bob.name, &format!("send \"{text}\""));
    let to = bob.name.clone();
    let id = alice.messages.start(|session| session.send(&to, &Body::plain(text))).map_err(Failure::new)?;
    let message = bob.next_message(&alice.name, text)?;
    bob.okay(message, &alice.name)?;
    alice.messages.reply(id, PATIENCE).map_err(Failure::new)?;
    say!();
    Ok(())
}

fn watch(watcher: &mut Both, presentity: &mut Both) -> Done {
    tell(&watcher.name, &presentity.name, "subscribe");
    let seen = watcher.presence.subscribe(&presentity.name).map_err(Failure::new)?;
    tell(&presentity.name, &watcher.name, &shown(&seen));
    expect(seen.text().contains("open"), "the presentity can't be written to")?;
    say!();
    Ok(())
}

fn change(bob: &mut Both, alice: &mut Both) -> Done {
    bob.shows("at dinner")?;
    let seen = alice.next_change("at dinner")?;
    tell(&bob.name, &alice.name, &shown(&seen));
    say!();
    Ok(())
}

fn deliver_across(alice: &mut Actor, bob: &mut Both) -> Done {
    let there = "From SIMP to IMTP";
    tell(&alice.name, &bob.name, &format!("send \"{there}\""));
    let message = Message::text(&bob.name, there);
    let id = alice.client.start(|session| session.send(&message)).map_err(Failure::new)?;
    let message = bob.next_message(&alice.name, there)?;
    bob.okay(message, &alice.name)?;
    match alice.client.reply(id, PATIENCE) {
        Ok(Answer::Okay(_)) => {}
        other => return Err(unexpected(&alice.name, other)),
    }
    let back = "From IMTP to SIMP";
    tell(&bob.name, &alice.name, &format!("send \"{back}\""));
    let to = alice.name.clone();
    let id = bob.messages.start(|session| session.send(&to, &Body::plain(back))).map_err(Failure::new)?;
    let (message, said) = alice.next_message()?;
    expect(said.from == bob.name && said.body == back, "the message did not arrive as it was sent")?;
    alice.client.okay(message, "read").map_err(Failure::new)?;
    tell(&alice.name, &bob.name, "okay: read");
    bob.messages.reply(id, PATIENCE).map_err(Failure::new)?;
    say!();
    Ok(())
}

fn watch_across(alice: &mut Actor, bob: &mut Both) -> Done {
    tell(&alice.name, &bob.name, "subscribe");
    let (seen, ..) = alice.client.subscribe(&bob.name, Some(WATCH)).map_err(Failure::new)?;
    tell(&bob.name, &alice.name, &described(&seen));
    bob.shows("at home")?;
    let seen = loop {
        let seen = alice.next_change()?;
        if seen.message == "at home" {
            break seen;
        }
    };
    tell(&bob.name, &alice.name, &described(&seen));
    // He has watched her since she spoke PITP.
    let profile = [("message".to_owned(), "on the train".to_owned())];
    alice.client.set_profile(&profile).map_err(Failure::new)?;
    say!("  {:<17}     sets her message to \"on the train\"", alice.name);
    let seen = bob.next_change("on the train")?;
    tell(&alice.name, &bob.name, &shown(&seen));
    say!();
    Ok(())
}

/// Somebody with his clients of both services.
struct Both {
    name: String,
    messages: Messages,
    presence: Presence,
    /// Does the mapping exist in which he says how he is?
    mapped: bool,
}

impl Both {
    /// Goes online.
    fn enter(user: &User) -> Result<Both, Failure> {
        let failed = |error| Failure::new(format!("{} can't log in: {error}", user.address));
        let (mut messages, mut presence) = user.login_to_both().map_err(failed)?;
        messages.set_patience(PATIENCE);
        presence.set_patience(PATIENCE);
        messages.listen(&[], &[]).map_err(Failure::new)?;
        say!("  {:<17}     logs in by IMTP and PITP, and listens", user.address);
        Ok(Both { name: user.address.clone(), messages, presence, mapped: false })
    }

    /// Goes offline.
    fn leave(self) -> Done {
        self.messages.close().map_err(Failure::new)?;
        self.presence.close().map_err(Failure::new)?;
        say!("  {:<17}     logs out", self.name);
        Ok(())
    }

    /// Everybody is to see these words.
    fn shows(&mut self, words: &str) -> Done {
        let address = Address::parse(&self.name, &Domains::default()).map_err(Failure::new)?;
        let body = document(&address, Mood::Here, words);
        match self.mapped {
            true => self.presence.change(1, Some(&body)),
            false => self.presence.insert_mapping(1, &["*"], Some(&body)),
        }
        .map_err(Failure::new)?;
        self.mapped = true;
        say!("  {:<17}     shows \"{words}\"", self.name);
        Ok(())
    }

    /// The next message, which has to be this one.
    fn next_message(&mut self, from: &str, text: &str) -> Result<Incoming, Failure> {
        match self.messages.next_event(PATIENCE) {
            Ok(Some(Event::Told(notice))) => {
                let is_it = notice.message.sender == from && notice.message.body.text() == text;
                expect(is_it, "the message did not arrive as it was sent")?;
                Ok(notice.id)
            }
            other => Err(unexpected(&self.name, other)),
        }
    }

    fn okay(&mut self, message: Incoming, to: &str) -> Done {
        self.messages.okay(message, None).map_err(Failure::new)?;
        tell(&self.name, to, "ok");
        Ok(())
    }

    /// What somebody whom he watches shows, once these words are in it.
    fn next_change(&mut self, words: &str) -> Result<Body, Failure> {
        loop {
            match self.presence.next_event(PATIENCE) {
                Ok(Some(Event::Told(Notice::Changed { document: seen, .. })))
                    if seen.text().contains(words) =>
                {
                    return Ok(seen);
                }
                Ok(Some(Event::Told(Notice::Changed { .. }))) => {}
                other => return Err(unexpected(&self.name, other)),
            }
        }
    }
}

/// What a document says, in a few words.
fn shown(seen: &Body) -> String {
    let text = seen.text();
    let told =
        |line: &&str| !["namespace:", "presentity", "hearth:since"].iter().any(|s| line.starts_with(s));
    let lines = text.lines().map(str::trim).filter(told);
    format!("presence: {}", lines.collect::<Vec<_>>().join(" "))
}
