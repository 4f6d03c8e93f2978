//! A conversation as rows.

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use time::{Date, OffsetDateTime};

use super::{BAD, DIM, GOOD, PLAIN, WARN};
use crate::cli::chat::state::{Delivery, Entry, Kind, Person, State};
use crate::cli::chat::text::{fit, width, wrap};
use crate::cli::harmless::one_line;

/// Columns of a name, at most.
const NAME: usize = 10;
const YOU: &str = "you";

/// Who says an entry, and when: what the rows before have said already is not said again.
#[derive(PartialEq, Eq)]
struct Voice {
    mine: bool,
    minute: (Date, u8, u8),
    original: Option<String>,
}

/// All rows of a conversation, oldest first.
pub fn rows(state: &State, person: &Person, room: usize) -> Vec<Line<'static>> {
    let name = fit(&called(state, person), NAME);
    let names = width(&name).max(width(YOU));
    let indent = 7 + names + 2;
    let mut rows = Vec::new();
    let mut before: Option<Voice> = None;
    for entry in &person.entries {
        let date = entry.at.date();
        if before.as_ref().is_none_or(|before| before.minute.0 != date) {
            rows.push(Line::styled(format!(" ── {} ──", day(date)), DIM));
            before = None;
        }
        let voice = voice(entry);
        let who = if voice.mine { YOU } else { &name };
        let gutter = if before.as_ref() == Some(&voice) {
            vec![Span::raw(" ".repeat(indent))]
        } else {
            if let Some(original) = &voice.original {
                rows.push(Line::styled(format!("{}by {original}", " ".repeat(indent)), DIM));
            }
            let pad = " ".repeat(indent - 7 - width(who));
            vec![
                Span::styled(format!(" {} ", clock(entry.at)), DIM),
                Span::styled(format!("{who}{pad}"), style(voice.mine)),
            ]
        };
        said(entry, gutter, indent, room, &mut rows);
        before = Some(voice);
    }
    rows
}

fn style(mine: bool) -> Style {
    if mine { DIM } else { Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD) }
}

/// The rows of one entry.
fn said(
    entry: &Entry,
    gutter: Vec<Span<'static>>,
    indent: usize,
    room: usize,
    rows: &mut Vec<Line<'static>>,
) {
    let columns = room.saturating_sub(indent + 1).max(8);
    let blank = || Span::raw(" ".repeat(indent));
    let mut gutter = Some(gutter);
    let texts = wrap(&entry.text, columns);
    let last = texts.len() - 1;
    let (mark, more) = match &entry.kind {
        Kind::His(_) => (None, None),
        Kind::Mine(_, delivery) => fate(delivery),
    };
    for (at, text) in texts.into_iter().enumerate() {
        let mut spans = gutter.take().unwrap_or_else(|| vec![blank()]);
        let fits = width(&text) + 2 <= columns;
        spans.push(Span::styled(text, PLAIN));
        match mark {
            Some((mark, style)) if at == last && fits => {
                spans.push(Span::styled(format!(" {mark}"), style));
                rows.push(Line::from(spans));
            }
            Some((mark, style)) if at == last => {
                rows.push(Line::from(spans));
                rows.push(Line::from(vec![blank(), Span::styled(mark, style)]));
            }
            _ => rows.push(Line::from(spans)),
        }
    }
    if let Some((text, style)) = more {
        for text in wrap(&text, columns) {
            rows.push(Line::from(vec![blank(), Span::styled(text, style)]));
        }
    }
}

type Styled<T> = (T, Style);

/// What is shown of what has become of a message.
fn fate(delivery: &Delivery) -> (Option<Styled<&'static str>>, Option<Styled<String>>) {
    match delivery {
        Delivery::Waiting => (Some(("…", DIM)), Some(("waits for a connection".to_owned(), DIM))),
        Delivery::Sending => (Some(("…", DIM)), None),
        Delivery::Delivered => (Some(("✓", GOOD)), None),
        Delivery::Answered(text) => (Some(("✓", GOOD)), Some((format!("↳ {text}"), WARN))),
        Delivery::Failed(why) => {
            (Some(("✗", BAD.add_modifier(Modifier::BOLD))), Some((format!("not delivered: {why}"), BAD)))
        }
        Delivery::Unknown(why) => (Some(("?", WARN)), Some((format!("perhaps not delivered: {why}"), WARN))),
    }
}

fn voice(entry: &Entry) -> Voice {
    let minute = (entry.at.date(), entry.at.hour(), entry.at.minute());
    match &entry.kind {
        Kind::Mine(..) => Voice { mine: true, minute, original: None },
        Kind::His(original) => Voice { mine: false, minute, original: original.clone() },
    }
}

/// What somebody is called in a conversation.
fn called(state: &State, person: &Person) -> String {
    match &person.name {
        Some(name) => name.clone(),
        None => {
            let short = state.short(&person.address);
            one_line(short.rsplit_once('@').map_or(short, |(local, _)| local))
        }
    }
}

fn clock(at: OffsetDateTime) -> String {
    format!("{:02}:{:02}", at.hour(), at.minute())
}

fn day(date: Date) -> String {
    format!("{}, {} {} {}", date.weekday(), date.day(), date.month(), date.year())
}
