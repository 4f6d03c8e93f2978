//! The connection for presence: whom the user watches, and what others see of him.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Events, Home, Inbox, SILENCE, Stop, keep};
use crate::cli::chat::audience::{self, Edit, Mapping, Owner, Wish};
use crate::cli::chat::presence::{self, Mood, Seen};
use crate::cli::chat::update::Event;
use crate::client::Error;
use crate::client::blocking::transfer::Client;
use crate::client::transfer::pitp::{Answer, Notice, Pitp};
use crate::client::transfer::{self, RequestId};
use crate::hub::address::Address;
use crate::imtp::error_type::ErrorType;
use crate::limits;

/// Whom we could not watch is asked again after so long: he may have let us in.
const AGAIN: Duration = Duration::from_secs(60);
/// How often an edit is tried that others were quicker than.
const RACES: usize = 3;

/// What it is told.
#[derive(Debug)]
pub enum Command {
    /// Somebody is to be watched.
    Watch(String),
    /// No longer.
    Unwatch(String),
    /// What others see is to change.
    Wish(Wish),
}

/// What there is to do for one user.
struct Desk<'e> {
    own: Address,
    /// Whom he watches, or wants to.
    watched: BTreeSet<String>,
    mood: Mood,
    words: String,
    events: &'e Events,
    /// Asked and not answered yet.
    waiting: BTreeMap<RequestId, String>,
    /// To be asked again after a while.
    refused: BTreeSet<String>,
    /// To be asked again at once, should they refuse.
    eager: BTreeSet<String>,
}

/// Works until it is told to end. What the user has said of himself is taken back at the end: he is seen offline.
pub fn run(home: &Home, own: Address, contacts: Vec<String>, mut inbox: Inbox<Command>, events: &Events) {
    let mut desk = Desk {
        own,
        watched: contacts.into_iter().collect(),
        mood: Mood::Here,
        words: String::new(),
        events,
        waiting: BTreeMap::new(),
        refused: BTreeSet::new(),
        eager: BTreeSet::new(),
    };
    let tell = |line| drop(events.send(Event::Presence(line)));
    keep(home, None, &mut inbox, tell, |mut client, inbox| {
        desk.waiting.clear();
        desk.refused.clear();
        desk.eager.clear();
        match desk.serve(&mut client, inbox) {
            Ok(()) => {
                // If this fails there is nobody left to be told.
                let _ = desk.leave(&mut client);
                let _ = client.close();
                Stop::Over
            }
            Err(error) => Stop::Lost(error),
        }
    });
}

impl Desk<'_> {
    fn serve(&mut self, client: &mut Client<Pitp>, inbox: &mut Inbox<Command>) -> Result<(), Error> {
        self.arrive(client)?;
        // To hear of those who let us in.
        client.start_wi()?;
        for who in self.watched.clone() {
            self.watch(client, who)?;
        }
        let mut again = Instant::now() + AGAIN;
        loop {
            while let Some(command) = inbox.next() {
                self.told(client, command)?;
            }
            if inbox.is_over() {
                return Ok(());
            }
            self.answers(client);
            for who in self.refused.extract_if(.., |who| self.eager.remove(who)).collect::<Vec<_>>() {
                self.watch(client, who)?;
            }
            let now = Instant::now();
            if now >= again {
                again = now + AGAIN;
                for who in std::mem::take(&mut self.refused) {
                    self.watch(client, who)?;
                }
                self.stay(client)?;
            }
            match client.next_event((again - now).min(SILENCE))? {
                Some(transfer::Event::Told(Notice::Subscribed(watcher)))
                    if self.watched.contains(&watcher.who) =>
                {
                    // He watches us: perhaps he lets us watch him by now.
                    self.eager.insert(watcher.who);
                }
                Some(transfer::Event::Told(notice)) => self.notice(notice),
                Some(transfer::Event::Moving | transfer::Event::Ended) => return Err(Error::Ended),
                Some(_) => {}
                None if now.elapsed() >= SILENCE.min(AGAIN) => client.nop()?,
                None => {}
            }
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    fn told(&mut self, client: &mut Client<Pitp>, command: Command) -> Result<(), Error> {
        match command {
            Command::Watch(who) => {
                self.watched.insert(who.clone());
                self.refused.remove(&who);
                self.watch(client, who)
            }
            Command::Unwatch(who) => {
                self.watched.remove(&who);
                self.refused.remove(&who);
                // Whether it was one does not matter any more.
                client.start(|session| session.unsubscribe(&who)).map(drop)
            }
            Command::Wish(wish) => self.wish(client, &wish),
        }
    }

    fn watch(&mut self, client: &mut Client<Pitp>, who: String) -> Result<(), Error> {
        match client.start(|session| session.subscribe(&who)) {
            Ok(id) => {
                self.waiting.insert(id, who);
                Ok(())
            }
            Err(Error::Caller(why)) => {
                self.tell(Event::Seen(who, Seen::Hidden(why.to_owned())));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn answers(&mut self, client: &mut Client<Pitp>) {
        let answered: Vec<RequestId> = self.waiting.keys().copied().collect();
        for id in answered {
            let Some(outcome) = client.try_reply(id) else { continue };
            let Some(who) = self.waiting.remove(&id) else { continue };
            let seen = match outcome {
                Ok(answer) => {
                    self.eager.remove(&who);
                    if let Answer::Document(body) = answer { Seen::of(&body) } else { Seen::Unknown }
                }
                Err(error) => {
                    self.refused.insert(who.clone());
                    match error {
                        Error::Failed(failure) => Seen::refused(&failure),
                        error => Seen::Hidden(super::reason(&error)),
                    }
                }
            };
            self.tell(Event::Seen(who, seen));
        }
    }

    fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Changed { presentity, document } => {
                self.tell(Event::Seen(presentity, Seen::of(&document)));
            }
            Notice::Terminated { presentity } => {
                self.refused.insert(presentity.clone());
                let why = "no longer shows you his presence".to_owned();
                self.tell(Event::Seen(presentity, Seen::Hidden(why)));
            }
            Notice::Fetched { .. } | Notice::Subscribed(_) | Notice::Unsubscribed(_) => {}
        }
    }

    /// The whole list of mappings as it is.
    fn list(client: &mut Client<Pitp>) -> Result<Vec<Mapping>, Error> {
        let mut list = Vec::new();
        for number in 1..=limits::MAPPINGS as u32 {
            let Some(class) = client.get_class(number)? else { break };
            let document = client.fetch_for_update(number)?;
            list.push(Mapping { class, document });
        }
        Ok(list)
    }

    /// What he has said of himself is shown again, and his contacts are let in.
    fn arrive(&mut self, client: &mut Client<Pitp>) -> Result<(), Error> {
        if let Some((mood, words)) = Desk::published(client)? {
            self.words = words;
            if mood != Mood::Gone {
                self.mood = mood;
            }
            self.tell(Event::Own(self.mood, self.words.clone()));
        }
        self.show(client, self.mood)
    }

    /// Another of his clients may have left, and said that he is offline.
    fn stay(&mut self, client: &mut Client<Pitp>) -> Result<(), Error> {
        match Desk::published(client)? {
            Some((Mood::Gone, _)) => self.show(client, self.mood),
            _ => Ok(()),
        }
    }

    /// He is seen offline, if it is the chat that says so.
    fn leave(&mut self, client: &mut Client<Pitp>) -> Result<(), Error> {
        match Desk::published(client)? {
            Some(_) => self.show(client, Mood::Gone),
            None => Ok(()),
        }
    }

    /// What the chat has said of him.
    fn published(client: &mut Client<Pitp>) -> Result<Option<(Mood, String)>, Error> {
        let list = Desk::list(client)?;
        let kept = audience::own(&list).and_then(|at| list.get(at)?.document.as_ref());
        Ok(kept.and_then(presence::published))
    }

    fn show(&mut self, client: &mut Client<Pitp>, mood: Mood) -> Result<(), Error> {
        self.grant(client, &Wish::Show(mood, self.words.clone())).map(drop)
    }

    fn wish(&mut self, client: &mut Client<Pitp>, wish: &Wish) -> Result<(), Error> {
        if let Wish::Show(mood, words) = wish {
            (self.mood, self.words) = (*mood, words.clone());
        }
        match self.grant(client, wish) {
            Ok(changed) => {
                if matches!(wish, Wish::Show(..)) {
                    self.tell(Event::Own(self.mood, self.words.clone()));
                }
                if let Some(said) = said(wish, changed) {
                    self.tell(Event::Told(said, false));
                }
                Ok(())
            }
            Err(Error::Failed(failure)) => {
                let why = crate::cli::harmless::one_line(&failure.to_string());
                self.tell(Event::Told(format!("not done: {why}"), true));
                Ok(())
            }
            Err(Error::Caller(why)) => {
                self.tell(Event::Told(format!("not done: {why}"), true));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Plans by the list as it is, and does it; anew if somebody else has changed it meanwhile.
    fn grant(&mut self, client: &mut Client<Pitp>, wish: &Wish) -> Result<bool, Error> {
        let contacts: Vec<String> = self.watched.iter().cloned().collect();
        let mut tries = 0;
        loop {
            let list = Desk::list(client)?;
            let owner =
                Owner { address: &self.own, contacts: &contacts, mood: self.mood, words: &self.words };
            let edits = owner.plan(&list, wish);
            let outcome = edits.iter().try_for_each(|edit| apply(client, edit));
            tries += 1;
            match outcome {
                Err(Error::Failed(failure))
                    if tries < RACES && failure.known() == Some(ErrorType::UpdateRace) => {}
                outcome => return outcome.map(|()| !edits.is_empty()),
            }
        }
    }
}

fn apply(client: &mut Client<Pitp>, edit: &Edit) -> Result<(), Error> {
    match edit {
        Edit::Insert(at, class, document) => {
            let class: Vec<&str> = class.iter().map(String::as_str).collect();
            client.insert_mapping(*at, &class, document.as_ref())
        }
        Edit::Change(at, document) => client.change(*at, Some(document)),
        Edit::Classify(at, class) => {
            let class: Vec<&str> = class.iter().map(String::as_str).collect();
            client.set_class(*at, &class)
        }
        Edit::Delete(at) => client.delete_mapping(*at),
    }
}

/// What to say of a wish that was granted.
fn said(wish: &Wish, changed: bool) -> Option<String> {
    Some(match wish {
        Wish::Show(..) => "others see it".to_owned(),
        Wish::Allow(who) if changed => format!("{who} may see your presence"),
        Wish::Allow(who) => format!("{who} may see your presence already"),
        Wish::Deny(who) if changed => format!("{who} can't see your presence any more"),
        Wish::Deny(who) => format!("{who} can't see your presence as it is"),
        Wish::Added(_) | Wish::Removed(_) => return None,
    })
}
