//! What happens, and what becomes of it: pure, so that a test can play a whole evening.

use std::time::Duration;

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use time::OffsetDateTime;

use super::audience::Wish;
use super::commands::{self, Typed};
use super::presence::{Mood, Seen};
use super::state::{Delivery, Entry, Kind, Link, State, Token};
use super::view;
use crate::cli::harmless::{harmless, one_line};
use crate::client::transfer::Body;
use crate::client::transfer::imtp::Received;

/// The local part that is a server's own.
const NOTIFIER: &str = "notifier";

/// What happens.
#[derive(Debug)]
pub enum Event {
    /// A key.
    Key(KeyEvent),
    /// Something was pasted.
    Paste(String),
    /// The terminal has so many columns and rows.
    Resize(u16, u16),
    /// Time goes by.
    Tick,
    /// The process is asked to end.
    End,
    /// The connection for messages.
    Messages(Line),
    /// The connection for presence.
    Presence(Line),
    /// A message has come.
    Received(Received),
    /// What has become of a message of ours.
    Answered(Token, Delivery),
    /// What is seen of somebody.
    Seen(String, Seen),
    /// How we are seen, as our server has kept it.
    Own(Mood, String),
    /// What has become of a wish: what to say, and whether it went wrong.
    Told(String, bool),
}

/// How a connection is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It works.
    Up,
    /// It does not, and why; it is tried again after a time.
    Down(String, Duration),
    /// It is tried again.
    Connecting,
    /// There is none.
    None,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// A message goes out.
    Send(Token, String, String),
    /// Somebody's presence is wanted.
    Watch(String),
    /// It isn't any more.
    Unwatch(String),
    /// What others see of us changes.
    Wish(Wish),
    /// What those who write to us are told; none: nothing.
    Away(Option<String>),
    /// The contacts have changed.
    Save,
    /// A message has come that is not seen.
    Bell,
    /// All is drawn anew.
    Redraw,
    /// It is over.
    Quit,
}

/// Changes the state by what happens, and says what is to be done.
pub fn update(state: &mut State, event: Event, now: OffsetDateTime) -> Vec<Effect> {
    state.now = now;
    let mut effects = Vec::new();
    match event {
        Event::Key(key) => pressed(state, key, &mut effects),
        Event::Paste(text) => state.input().insert(&harmless(&text)),
        Event::Resize(columns, rows) => {
            state.size = (columns, rows);
            scroll(state, 0);
        }
        Event::Tick => {}
        Event::End => effects.push(Effect::Quit),
        Event::Messages(line) => state.messages = link(line, now),
        Event::Presence(line) => {
            if line != Line::Up && state.presence == Link::Up {
                state.people.iter_mut().for_each(|person| person.seen = Seen::Unknown);
            }
            state.presence = link(line, now);
        }
        Event::Received(message) => received(state, &message, &mut effects),
        Event::Answered(token, delivery) => answered(state, token, delivery),
        Event::Seen(who, seen) => {
            if let Some(person) = state.person_mut(&who) {
                person.seen = seen;
            }
        }
        Event::Own(mood, words) => {
            effects.push(Effect::Away((mood == Mood::Away).then(|| words.clone())));
            (state.mood, state.words) = (mood, words);
        }
        Event::Told(text, bad) => state.say(text, bad),
    }
    effects
}

fn link(line: Line, now: OffsetDateTime) -> Link {
    match line {
        Line::Up => Link::Up,
        Line::Down(why, again) => Link::Down(one_line(&why), now + again),
        Line::Connecting => Link::Connecting,
        Line::None => Link::None,
    }
}

fn pressed(state: &mut State, key: KeyEvent, effects: &mut Vec<Effect>) {
    state.notice = None;
    if std::mem::take(&mut state.help) && matches!(key.code, KeyCode::Esc | KeyCode::Enter | KeyCode::F(1)) {
        return;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let alt = key.modifiers.contains(KeyModifiers::ALT);
    match key.code {
        KeyCode::Char(c) if control => controlled(state, c, effects),
        KeyCode::Char('b') if alt => state.input().word_left(),
        KeyCode::Char('f') if alt => state.input().word_right(),
        KeyCode::Char(_) if alt => {}
        KeyCode::Enter if alt => state.input().insert("\n"),
        KeyCode::Enter => entered(state, effects),
        KeyCode::Char(c) => state.input().insert(c.encode_utf8(&mut [0; 4])),
        KeyCode::Backspace if alt || control => state.input().delete_word(),
        KeyCode::Backspace => state.input().backspace(),
        KeyCode::Delete => state.input().delete(),
        KeyCode::Left if control => state.input().word_left(),
        KeyCode::Right if control => state.input().word_right(),
        KeyCode::Left => state.input().left(),
        KeyCode::Right => state.input().right(),
        KeyCode::Home if control => scroll(state, isize::MAX),
        KeyCode::End if control => scroll(state, isize::MIN),
        KeyCode::Home => state.input().home(),
        KeyCode::End => state.input().end(),
        KeyCode::Tab | KeyCode::Down => turn(state, 1),
        KeyCode::BackTab | KeyCode::Up => turn(state, -1),
        KeyCode::PageUp => scroll(state, page(state)),
        KeyCode::PageDown => scroll(state, -page(state)),
        KeyCode::F(1) => state.help = true,
        KeyCode::Esc => scroll(state, isize::MIN),
        _ => {}
    }
}

/// With the control key, as in shells.
fn controlled(state: &mut State, key: char, effects: &mut Vec<Effect>) {
    match key {
        'c' if state.written().is_empty() => effects.push(Effect::Quit),
        'c' => drop(state.input().take()),
        'd' if state.written().is_empty() => effects.push(Effect::Quit),
        'd' => state.input().delete(),
        'q' => effects.push(Effect::Quit),
        'a' => state.input().home(),
        'e' => state.input().end(),
        'b' => state.input().left(),
        'f' => state.input().right(),
        'h' => state.input().backspace(),
        'w' => state.input().delete_word(),
        'u' => state.input().delete_before(),
        'k' => state.input().delete_after(),
        'l' => effects.push(Effect::Redraw),
        'p' | 'n' => {
            let mut input = std::mem::take(state.input());
            if key == 'p' {
                state.history.earlier(&mut input);
            } else {
                state.history.later(&mut input);
            }
            *state.input() = input;
        }
        _ => {}
    }
}

/// How far a page goes: two rows are seen again.
fn page(state: &State) -> isize {
    view::conversation_rows(state).saturating_sub(2).max(1) as isize
}

/// Moves the window over the open conversation; up is positive.
fn scroll(state: &mut State, rows: isize) {
    let most = view::overflow(state);
    if let Some(person) = state.opened_mut() {
        person.scroll = person.scroll.saturating_add_signed(rows).min(most);
    }
}

/// The next conversation, or the one before.
fn turn(state: &mut State, by: isize) {
    let count = state.people.len() as isize;
    if count == 0 {
        return;
    }
    let at = state.people.iter().position(|person| Some(&person.address) == state.open.as_ref());
    let next = at.map_or(0, |at| (at as isize + by).rem_euclid(count));
    let address = state.people.get(next as usize).map(|person| person.address.clone());
    if let Some(address) = address {
        open(state, &address);
    }
}

fn open(state: &mut State, address: &str) {
    state.open = Some(address.to_owned());
    if let Some(person) = state.opened_mut() {
        person.unread = 0;
    }
}

/// A line was written.
fn entered(state: &mut State, effects: &mut Vec<Effect>) {
    let line = state.input().take();
    if line.trim().is_empty() {
        return;
    }
    state.history.push(&line);
    match commands::parse(&line) {
        Typed::Say(text) => say(state, text, effects),
        Typed::Add(who, name) => match state.resolve(who) {
            Some(address) => {
                let name = name.map(one_line);
                state.meet(&address, name, true);
                open(state, &address);
                state.say(format!("{address} is a contact now"), false);
                // He is let in first, so that his client finds us when it hears that we watch.
                let more = [Effect::Save, Effect::Wish(Wish::Added(address.clone())), Effect::Watch(address)];
                effects.extend(more);
            }
            None => state.say(format!("{who} is no address"), true),
        },
        Typed::Remove(who) => removed(state, who, effects),
        Typed::To(who, text) => match state.resolve(who) {
            Some(address) => {
                state.meet(&address, None, false);
                open(state, &address);
                if !text.is_empty() {
                    say(state, text, effects);
                }
            }
            None => state.say(format!("{who} is no address"), true),
        },
        Typed::Status(words) => show(state, Mood::Here, words, effects),
        Typed::Away(words) => show(state, Mood::Away, words, effects),
        Typed::Allow(who) => wish(state, who, Wish::Allow, effects),
        Typed::Deny(who) => wish(state, who, Wish::Deny, effects),
        Typed::Help => state.help = true,
        Typed::Quit => effects.push(Effect::Quit),
        Typed::Wrong(why) => {
            state.say(why, true);
            state.input().set(&line);
        }
    }
}

fn say(state: &mut State, text: &str, effects: &mut Vec<Effect>) {
    let Some(to) = state.open.clone() else {
        state.say("to whom? /add bob@b.test, or /to bob@b.test", true);
        return state.input().set(text);
    };
    let (token, at) = (state.token(), state.now);
    let delivery = if state.messages == Link::Up { Delivery::Sending } else { Delivery::Waiting };
    if let Some(person) = state.opened_mut() {
        let kind = Kind::Mine(token, delivery);
        person.push(Entry { at, kind, text: harmless(text) });
        person.scroll = 0;
    }
    effects.push(Effect::Send(token, to, text.to_owned()));
}

fn removed(state: &mut State, who: Option<&str>, effects: &mut Vec<Effect>) {
    let address = match who {
        Some(who) => state.resolve(who),
        None => state.open.clone(),
    };
    let contact = address.filter(|address| state.person(address).is_some_and(|person| person.contact));
    let Some(address) = contact else { return state.say("that is no contact of yours", true) };
    state.drop_contact(&address);
    state.say(format!("{address} is no longer a contact"), false);
    effects.extend([Effect::Save, Effect::Unwatch(address.clone()), Effect::Wish(Wish::Removed(address))]);
}

fn show(state: &mut State, mood: Mood, words: &str, effects: &mut Vec<Effect>) {
    if !has_presence(state) {
        return;
    }
    let words = one_line(words);
    (state.mood, state.words) = (mood, words.clone());
    effects.push(Effect::Away((mood == Mood::Away).then(|| words.clone())));
    effects.push(Effect::Wish(Wish::Show(mood, words)));
}

/// Says so if there is none, or if what is wanted has to wait.
fn has_presence(state: &mut State) -> bool {
    match state.presence {
        Link::Up => {}
        Link::None => state.say("your server has no presence", true),
        Link::Connecting | Link::Down(..) => state.say("as soon as there is a connection", false),
    }
    state.presence != Link::None
}

fn wish(state: &mut State, who: &str, wish: fn(String) -> Wish, effects: &mut Vec<Effect>) {
    if !has_presence(state) {
        return;
    }
    let who = if who.contains('*') { Some(who.to_owned()) } else { state.resolve(who) };
    match who {
        Some(who) => effects.push(Effect::Wish(wish(who))),
        None => state.say("whom? Write bob@b.test, *@b.test, or *", true),
    }
}

fn received(state: &mut State, message: &Received, effects: &mut Vec<Effect>) {
    let from = conversation(state, message);
    state.meet(from, None, false);
    let before = view::overflow(state);
    let is_open = state.open.as_deref() == Some(from);
    let original = message.original_sender.as_ref().or(Some(&message.sender)).filter(|o| *o != from);
    let original = original.map(|original| one_line(original));
    let (at, text) = (moment(message.sent, state.now), shown(&message.body));
    if let Some(person) = state.person_mut(from) {
        person.push(Entry { at, kind: Kind::His(original), text });
        person.unread += usize::from(!is_open);
    }
    if state.open.is_none() {
        open(state, from);
    } else if !is_open {
        effects.push(Effect::Bell);
    }
    // Who reads further up goes on reading there.
    let grown = view::overflow(state).saturating_sub(before);
    if let Some(person) = state.opened_mut().filter(|person| is_open && person.scroll > 0) {
        person.scroll += grown;
    }
    // He may have let us in.
    let hidden = state.person(from).is_some_and(|p| p.contact && matches!(p.seen, Seen::Hidden(_)));
    if hidden {
        effects.push(Effect::Watch(from.to_owned()));
    }
}

/// In whose conversation a message is shown: what our own server reports, in that of whom it is about.
fn conversation<'m>(state: &State, message: &'m Received) -> &'m str {
    let own = format!("{NOTIFIER}@{}", state.me.domain());
    message.regarding.as_deref().filter(|_| message.sender == own).unwrap_or(&message.sender)
}

/// When a message was sent, if it has waited; else now.
fn moment(sent: Option<i64>, now: OffsetDateTime) -> OffsetDateTime {
    let sent = sent.and_then(|ms| OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).ok());
    sent.filter(|sent| *sent < now).map_or(now, |sent| sent.to_offset(now.offset()))
}

/// What is shown of a message.
pub fn shown(body: &Body) -> String {
    let kind = body.content_type.as_deref().unwrap_or("text/plain");
    if kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/")) {
        let text = harmless(&body.text());
        return text.trim_end_matches('\n').to_owned();
    }
    format!("[{}, {} octets]", one_line(kind), body.octets.len())
}

fn answered(state: &mut State, token: Token, delivery: Delivery) {
    let entries = state.people.iter_mut().flat_map(|person| person.entries.iter_mut().rev());
    for entry in entries {
        match &mut entry.kind {
            Kind::Mine(own, fate) if *own == token => {
                *fate = delivery;
                return;
            }
            _ => {}
        }
    }
}
