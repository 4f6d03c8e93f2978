//! What alice@a.test and bob@b.test do, and what they see of each other.

use crate::cli::output::say;
use std::time::Duration;

use super::world::{User, World};
use crate::cli::failure::{Done, Failure};
use crate::cli::harmless::one_line;
use crate::client::blocking::Client;
use crate::client::{Answer, Error, Event, Incoming, Message, Presence, ReceivedMessage, RequestId, Status};

/// How long anything here may take: all of it is on this machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long each watches the other.
pub(super) const WATCH: Duration = Duration::from_secs(600);

/// Plays all scenes, in order; each begins where the one before has ended.
pub(super) fn play(world: &World) -> Done {
    let mut alice = Actor::enter(world.alice())?;
    let mut bob = Actor::enter(world.bob())?;
    scene("SIMP: a message goes across, and its okay comes back");
    deliver(&mut alice, &mut bob)?;
    scene("Each watches the other's presence");
    watch(&mut alice, &mut bob)?;
    watch(&mut bob, &mut alice)?;
    change(&mut bob, &mut alice)?;
    scene("A message to somebody who is away is refused, not dropped");
    refuse(&mut alice, bob)?;
    scene("A failure that the sender could not be told of waits for his next login");
    report(world, alice)
}

pub(super) fn scene(title: &str) {
    say!("* {title}\n");
}

/// Who does what, or what passes from whom to whom.
pub(super) fn tell(from: &str, to: &str, what: &str) {
    say!("  {from:<17} --> {to:<17}  {}", one_line(what));
}

fn deliver(alice: &mut Actor, bob: &mut Actor) -> Done {
    let id = alice.start_sending(bob, "Lunch?")?;
    let (message, said) = bob.next_message()?;
    expect(said.from == alice.name && said.body == "Lunch?", "the message did not arrive as it was sent")?;
    bob.client.okay(message, "read").map_err(Failure::new)?;
    tell(&bob.name, &alice.name, "okay: read");
    match alice.client.reply(id, PATIENCE) {
        Ok(Answer::Okay(text)) => expect(text == "read", "alice was told something else than what bob said"),
        other => Err(unexpected(&alice.name, other)),
    }?;
    say!();
    Ok(())
}

fn watch(watcher: &mut Actor, presentity: &mut Actor) -> Done {
    tell(&watcher.name, &presentity.name, "subscribe");
    let (presence, _, _) = watcher.client.subscribe(&presentity.name, Some(WATCH)).map_err(Failure::new)?;
    tell(&presentity.name, &watcher.name, &described(&presence));
    expect(presence.status == Status::Online, "the presentity is not online")?;
    match presentity.next()? {
        Event::Subscriber(who) => {
            expect(who == watcher.name, "the presentity was told of somebody else")?;
            say!("  {:<17}     is told that {who} watches\n", presentity.name);
            Ok(())
        }
        other => Err(unexpected(&presentity.name, other)),
    }
}

fn change(bob: &mut Actor, alice: &mut Actor) -> Done {
    let profile = [("message".to_owned(), "at lunch".to_owned())];
    bob.client.set_profile(&profile).map_err(Failure::new)?;
    say!("  {:<17}     sets his message to \"at lunch\"", bob.name);
    let seen = alice.next_change()?;
    tell(&bob.name, &alice.name, &described(&seen));
    say!();
    expect(seen.message == "at lunch", "alice did not see the change")
}

fn refuse(alice: &mut Actor, bob: Actor) -> Done {
    let name = bob.leave()?;
    let seen = alice.next_change()?;
    tell(&name, &alice.name, &described(&seen));
    expect(seen.status == Status::Offline, "alice did not see bob go")?;
    let text = "Still there?";
    tell(&alice.name, &name, &format!("send \"{text}\""));
    match alice.client.send(&name, text) {
        Err(Error::Refused(why)) => {
            tell(&format!("(for {name})"), &alice.name, &format!("error: {why}"));
            say!();
            Ok(())
        }
        other => Err(unexpected(&alice.name, other)),
    }
}

fn report(world: &World, mut alice: Actor) -> Done {
    let mut bob = Actor::enter(world.bob())?;
    let seen = alice.next_change()?;
    tell(&bob.name, &alice.name, &described(&seen));
    bob.client.subscribe(&alice.name, Some(WATCH)).map_err(Failure::new)?;
    alice.start_sending(&bob, "I must go; tell me later?")?;
    let (message, _) = bob.next_message()?;
    let name = alice.leave()?;
    let seen = bob.next_change()?;
    tell(&name, &bob.name, &described(&seen));
    expect(seen.status == Status::Offline, "bob did not see alice go")?;
    bob.client.refuse(message, "too late").map_err(Failure::new)?;
    tell(&bob.name, &name, "error: too late (alice can't be told: she is away)");
    let mut alice = Actor::enter(world.alice())?;
    let (message, report) = alice.next_message()?;
    tell(&report.from, &alice.name, &report.body);
    say!();
    alice.client.okay(message, "read").map_err(Failure::new)?;
    expect(report.from == "notifier@a.test", "the report is from somebody else")?;
    expect(report.body.contains(&bob.name), "the report does not say whom the message was for")?;
    bob.leave()?;
    alice.leave()?;
    say!();
    Ok(())
}

/// Somebody with his client.
pub(super) struct Actor {
    pub name: String,
    pub client: Client,
}

impl Actor {
    /// Goes online.
    pub fn enter(user: &User) -> Result<Actor, Failure> {
        let failed = |error| Failure::new(format!("{} can't log in: {error}", user.address));
        let mut client = user.login().map_err(failed)?;
        client.set_patience(PATIENCE);
        say!("  {:<17}     logs in", user.address);
        Ok(Actor { name: user.address.clone(), client })
    }

    /// Goes offline; who it was.
    pub fn leave(self) -> Result<String, Failure> {
        self.client.close().map_err(Failure::new)?;
        say!("  {:<17}     logs out", self.name);
        Ok(self.name)
    }

    fn start_sending(&mut self, to: &Actor, text: &str) -> Result<RequestId, Failure> {
        tell(&self.name, &to.name, &format!("send \"{text}\""));
        let message = Message::text(&to.name, text);
        self.client.start(|session| session.send(&message)).map_err(Failure::new)
    }

    /// What happens next.
    pub fn next(&mut self) -> Result<Event, Failure> {
        match self.client.next_event(PATIENCE) {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(Failure::new(format!("nothing happened to {} in time", self.name))),
            Err(error) => Err(Failure::new(format!("{}: {error}", self.name))),
        }
    }

    /// The next message; who watches is not the matter then.
    pub fn next_message(&mut self) -> Result<(Incoming, ReceivedMessage), Failure> {
        loop {
            match self.next()? {
                Event::Message { id, message } => return Ok((id, message)),
                Event::Subscriber(_) | Event::SubscriberGone(_) | Event::Changed(_) => {}
                other => return Err(unexpected(&self.name, other)),
            }
        }
    }

    /// The next change of somebody's presence.
    pub fn next_change(&mut self) -> Result<Presence, Failure> {
        loop {
            match self.next()? {
                Event::Changed(presence) => return Ok(presence),
                Event::Subscriber(_) | Event::SubscriberGone(_) => {}
                other => return Err(unexpected(&self.name, other)),
            }
        }
    }
}

pub(super) fn described(presence: &Presence) -> String {
    let status = match presence.status {
        Status::Online => "online",
        Status::Offline => "offline",
    };
    match presence.message.as_str() {
        "" => format!("presence: {status}"),
        message => format!("presence: {status}, \"{message}\""),
    }
}

pub(super) fn expect(so: bool, otherwise: &str) -> Done {
    if so { Ok(()) } else { Err(Failure::new(otherwise)) }
}

pub(super) fn unexpected(who: &str, what: impl std::fmt::Debug) -> Failure {
    Failure::new(format!("{who} did not expect {what:?}"))
}
