//! The terminal: what happens goes to the model, what the model wants is done, and the screen follows. However
//! the program ends, the terminal is as it was before.

use std::io::{Read, Write, stdout};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, DisableBracketedPaste, EnableBracketedPaste, KeyEventKind};
use ratatui::crossterm::execute;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use time::{OffsetDateTime, UtcOffset};

use super::state::{Link, State};
use super::update::{Effect, Event, update};
use super::wire::{Events, Handle, messages, presence};
use super::{contacts, view};
use crate::cli::failure::{Done, Failure};

/// While something is counted down, it is seen to go.
const TICK: Duration = Duration::from_secs(1);

/// The threads behind the screen.
pub struct Behind {
    /// For messages.
    pub messages: Handle<messages::Command>,
    /// For presence, if the server has any.
    pub presence: Option<Handle<presence::Command>>,
    /// Where contacts are kept.
    pub contacts: std::path::PathBuf,
    /// The difference of local time.
    pub offset: UtcOffset,
}

/// Runs until the user leaves.
pub fn run(mut state: State, behind: Behind, events: &Events, happening: &Receiver<Event>) -> Done {
    signals(events).map_err(|error| Failure::new(format!("signals can't be heard: {error}")))?;
    let mut screen = Screen::open().map_err(unusable)?;
    let size = screen.0.size().map_err(unusable)?;
    state.size = (size.width, size.height);
    keys(events.clone());
    let outcome = talk(&mut state, &mut screen, &behind, happening);
    drop(screen);
    if let Some(presence) = behind.presence {
        presence.end();
    }
    behind.messages.end();
    outcome
}

fn talk(state: &mut State, screen: &mut Screen, behind: &Behind, happening: &Receiver<Event>) -> Done {
    loop {
        screen.0.draw(|frame| view::draw(frame, state)).map_err(unusable)?;
        let first = match next(state, happening) {
            Some(event) => event,
            None => return Ok(()),
        };
        // All that has happened by now is drawn at once.
        for event in std::iter::once(first).chain(happening.try_iter()) {
            let now = OffsetDateTime::now_utc().to_offset(behind.offset);
            for effect in update(state, event, now) {
                if effect == Effect::Quit {
                    return Ok(());
                }
                perform(state, screen, behind, effect).map_err(unusable)?;
            }
        }
    }
}

/// Waits for the next thing; none, if nothing can happen any more.
fn next(state: &State, happening: &Receiver<Event>) -> Option<Event> {
    let counts = |link: &Link| matches!(link, Link::Down(..));
    if !counts(&state.messages) && !counts(&state.presence) {
        return happening.recv().ok();
    }
    match happening.recv_timeout(TICK) {
        Ok(event) => Some(event),
        Err(RecvTimeoutError::Timeout) => Some(Event::Tick),
        Err(RecvTimeoutError::Disconnected) => None,
    }
}

fn perform(state: &mut State, screen: &mut Screen, behind: &Behind, effect: Effect) -> std::io::Result<()> {
    let presence = |command| {
        if let Some(presence) = &behind.presence {
            presence.tell(command);
        }
    };
    match effect {
        Effect::Send(token, to, text) => behind.messages.tell(messages::Command::Send(token, to, text)),
        Effect::Away(words) => behind.messages.tell(messages::Command::Away(words)),
        Effect::Watch(who) => presence(presence::Command::Watch(who)),
        Effect::Unwatch(who) => presence(presence::Command::Unwatch(who)),
        Effect::Wish(wish) => presence(presence::Command::Wish(wish)),
        Effect::Save => {
            let named = state.contacts().map(|person| (person.address.as_str(), person.name.as_deref()));
            if let Err(failure) = contacts::save(&behind.contacts, named) {
                state.say(failure.to_string(), true);
            }
        }
        Effect::Bell => {
            let mut out = stdout().lock();
            out.write_all(b"\x07")?;
            out.flush()?;
        }
        Effect::Redraw => screen.0.clear()?,
        Effect::Quit => {}
    }
    Ok(())
}

fn unusable(error: std::io::Error) -> Failure {
    Failure::new(format!("the terminal can't be used: {error}; `| cat` makes it a plain program of lines"))
}

/// The terminal while it is ours.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> std::io::Result<Screen> {
        // The terminal is given back ahead of the panic's own words; this is ahead of that.
        let terminal = ratatui::try_init()?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let _ = execute!(stdout(), DisableBracketedPaste);
            before(panic);
        }));
        let screen = Screen(terminal);
        execute!(stdout(), EnableBracketedPaste)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = execute!(stdout(), DisableBracketedPaste);
        let _ = ratatui::try_restore();
    }
}

/// Hands on what the user types, for as long as the program runs.
fn keys(events: Events) {
    std::thread::spawn(move || {
        while let Ok(happened) = event::read() {
            let event = match happened {
                event::Event::Key(key) if key.kind != KeyEventKind::Release => Event::Key(key),
                event::Event::Paste(text) => Event::Paste(text),
                event::Event::Resize(columns, rows) => Event::Resize(columns, rows),
                _ => continue,
            };
            if events.send(event).is_err() {
                return;
            }
        }
        let _ = events.send(Event::End);
    });
}

/// The signals that end a program end this one in order.
fn signals(events: &Events) -> std::io::Result<()> {
    let (theirs, mut ours) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGHUP, SIGINT] {
        signal_hook::low_level::pipe::register(signal, theirs.try_clone()?)?;
    }
    let events = events.clone();
    std::thread::spawn(move || {
        if ours.read(&mut [0]).is_ok() {
            let _ = events.send(Event::End);
        }
    });
    Ok(())
}
