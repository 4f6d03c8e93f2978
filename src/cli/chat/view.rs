//! The screen, as a function of the state. Only the terminal's own colours are used, so that it looks right on
//! dark and on light.
//!
//! ```text
//!  ● alice@a.test  in the lab                              title
//! ───────────────┬─────────────────────────────
//! ▌● bob       2 │ bob@b.test  ● at lunch                 list, head
//!    at lunch    │ 14:02 bob  lunch?
//!  ○ carol       │ 14:03 you  sure ✓                      talk
//!                ├─────────────────────────────            rule, with notices
//!  F1 help       │ › well_                                input
//! ```

mod talk;

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Clear, Paragraph};

use super::commands::COMMANDS;
use super::presence::{Mood, Seen};
use super::state::{Link, Person, State};
use super::text::{fit, width};
use crate::cli::harmless::one_line;

/// Fewer columns than this have no room for the list.
const NARROW: u16 = 56;
/// What is written takes no more rows than this.
const INPUT_ROWS: usize = 5;
const PROMPT: &str = " › ";

const PLAIN: Style = Style::new();
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const GOOD: Style = Style::new().fg(Color::Green);
const WARN: Style = Style::new().fg(Color::Yellow);
const BAD: Style = Style::new().fg(Color::Red);

/// Where everything is.
struct Plan {
    title: Rect,
    top: Rect,
    list: Rect,
    bar: Rect,
    head: Rect,
    talk: Rect,
    rule: Rect,
    input: Rect,
}

fn plan(state: &State) -> Plan {
    let (columns, rows) = state.size;
    let left = if columns < NARROW { 0 } else { (columns * 3 / 10).clamp(18, 30) };
    let bar = u16::from(left > 0);
    let right = columns.saturating_sub(left + bar);
    let (written, _) = state.written().rows(usize::from(right.saturating_sub(PROMPT_WIDTH + 1)));
    let input = (written.len().min(INPUT_ROWS) as u16).min(rows.saturating_sub(4).max(1));
    let body = rows.saturating_sub(2);
    let talk = body.saturating_sub(2 + input);
    let x = left + bar;
    Plan {
        title: Rect::new(0, 0, columns, rows.min(1)),
        top: Rect::new(0, 1.min(rows), columns, rows.saturating_sub(1).min(1)),
        list: Rect::new(0, 2.min(rows), left, body),
        bar: Rect::new(left, 2.min(rows), bar, body),
        head: Rect::new(x, 2.min(rows), right, body.min(1)),
        talk: Rect::new(x, 3.min(rows), right, talk),
        rule: Rect::new(x, (3 + talk).min(rows), right, rows.saturating_sub(3 + talk).min(1)),
        input: Rect::new(x, (4 + talk).min(rows), right, rows.saturating_sub(4 + talk).min(input)),
    }
}

const PROMPT_WIDTH: u16 = 3;

/// How many rows of the open conversation are seen.
pub fn conversation_rows(state: &State) -> usize {
    usize::from(plan(state).talk.height)
}

/// How many of its rows there is no room for.
pub fn overflow(state: &State) -> usize {
    let talk = plan(state).talk;
    let rows = state.opened().map_or(0, |person| talk::rows(state, person, usize::from(talk.width)).len());
    rows.saturating_sub(usize::from(talk.height))
}

/// Draws all of it.
pub fn draw(frame: &mut Frame<'_>, state: &State) {
    let plan = plan(state);
    title(frame, state, plan.title);
    lines(frame, &plan);
    list(frame, state, plan.list);
    match state.opened() {
        Some(person) => {
            put(frame, plan.head, head(state, person, usize::from(plan.head.width)));
            conversation(frame, state, person, plan.talk);
        }
        None => welcome(frame, plan.talk),
    }
    rule(frame, state, plan.rule);
    input(frame, state, plan.input);
    if state.help {
        help(frame);
    }
}

fn put(frame: &mut Frame<'_>, area: Rect, line: Line<'_>) {
    frame.render_widget(line, area.intersection(frame.area()));
}

fn title(frame: &mut Frame<'_>, state: &State, area: Rect) {
    let (dot, style) = match (&state.messages, state.mood) {
        (Link::Up, Mood::Here) => ("●", GOOD),
        (Link::Up, Mood::Away) => ("◐", WARN),
        _ => ("○", DIM),
    };
    let name = width(state.me.as_str()) + 3;
    let free = usize::from(area.width).saturating_sub(name + 3);
    let (said, trouble) = links(state, free);
    let room = free.saturating_sub(width(&said) + 2);
    let unread: usize = if area.width < NARROW { state.people.iter().map(|p| p.unread).sum() } else { 0 };
    let mut spans = vec![
        Span::raw(" "),
        Span::styled(dot, style),
        Span::raw(" "),
        Span::styled(state.me.as_str().to_owned(), BOLD),
        Span::styled(format!("  {}", fit(&state.words, room)), DIM),
    ];
    if unread > 0 {
        spans.push(Span::styled(format!(" {unread} new"), WARN.add_modifier(Modifier::BOLD)));
    }
    put(frame, area, Line::from(spans));
    let said = format!("{said} ");
    let columns = (width(&said) as u16).min(area.width);
    let place = Rect { x: area.right() - columns, width: columns, ..area };
    put(frame, place, Line::styled(said, trouble));
}

/// What is to be said of the connections, in so many columns; why one is down gives way to when it is tried again.
fn links(state: &State, room: usize) -> (String, Style) {
    let down = |what: &str, why: &str, again: time::OffsetDateTime| {
        let left = (again - state.now).whole_seconds().max(0);
        let rest = format!("; again in {left} s");
        let why = fit(why, room.saturating_sub(width(what) + 2 + width(&rest)));
        let what = if why.is_empty() { what.to_owned() } else { format!("{what}: {why}") };
        (format!("{what}{rest}"), BAD)
    };
    match (&state.messages, &state.presence) {
        (Link::Down(why, again), _) => down("no connection", why, *again),
        (Link::Connecting, _) => ("connecting …".to_owned(), WARN),
        (_, Link::Down(why, again)) => down("no presence", why, *again),
        (Link::None, _) | (_, Link::None) => ("without presence".to_owned(), DIM),
        _ => ("hearth".to_owned(), DIM),
    }
}

fn lines(frame: &mut Frame<'_>, plan: &Plan) {
    let mut top: String = "─".repeat(usize::from(plan.top.width));
    if plan.bar.width > 0 {
        top = top
            .chars()
            .enumerate()
            .map(|(x, c)| if x == usize::from(plan.bar.x) { '┬' } else { c })
            .collect();
    }
    put(frame, plan.top, Line::styled(top, DIM));
    for y in plan.bar.top()..plan.bar.bottom() {
        let sign = if y == plan.rule.y { "├" } else { "│" };
        put(frame, Rect::new(plan.bar.x, y, plan.bar.width, 1), Line::styled(sign, DIM));
    }
}

fn dot(seen: &Seen) -> Span<'static> {
    match seen {
        Seen::Shown(Mood::Here, _) => Span::styled("●", GOOD),
        Seen::Shown(Mood::Away, _) => Span::styled("◐", WARN),
        Seen::Shown(Mood::Gone, _) => Span::styled("○", DIM),
        Seen::Unknown => Span::styled("·", DIM),
        Seen::Hidden(_) => Span::styled("-", DIM),
    }
}

fn list(frame: &mut Frame<'_>, state: &State, area: Rect) {
    if area.width == 0 {
        return;
    }
    let (mut rows, mut seen_to) = (Vec::new(), 0);
    let mut others = false;
    for person in &state.people {
        if !person.contact && !std::mem::replace(&mut others, true) {
            rows.push(Line::styled(" others", DIM));
        }
        let is_open = Some(&person.address) == state.open.as_ref();
        listed(state, person, is_open, usize::from(area.width), &mut rows);
        if is_open {
            seen_to = rows.len();
        }
    }
    let height = usize::from(area.height.saturating_sub(1));
    let from = seen_to.saturating_sub(height);
    for (row, y) in rows.into_iter().skip(from).take(height).zip(area.top()..) {
        put(frame, Rect::new(area.x, y, area.width, 1), row);
    }
    let last = Rect::new(area.x, area.bottom().saturating_sub(1), area.width, area.height.min(1));
    put(frame, last, Line::styled(fit(" F1 help · Tab next", usize::from(area.width)), DIM));
}

/// One person's rows of the list.
fn listed(state: &State, person: &Person, is_open: bool, room: usize, rows: &mut Vec<Line<'static>>) {
    let unread = if person.unread > 0 { format!(" {} ", person.unread) } else { String::new() };
    let left = room.saturating_sub(4 + width(&unread));
    let name = fit(&state.label(person), left);
    let gap = left.saturating_sub(width(&name));
    let weight = if is_open || person.unread > 0 { BOLD } else { PLAIN };
    rows.push(Line::from(vec![
        Span::styled(if is_open { "▌" } else { " " }, Style::new().fg(Color::Cyan)),
        dot(&person.seen),
        Span::raw(" "),
        Span::styled(name, weight),
        Span::raw(" ".repeat(gap)),
        Span::styled(unread, WARN.add_modifier(Modifier::BOLD)),
    ]));
    if let Seen::Shown(_, words) = &person.seen
        && !words.is_empty()
    {
        rows.push(Line::from(vec![
            Span::styled(if is_open { "▌" } else { " " }, Style::new().fg(Color::Cyan)),
            Span::styled(format!("  {}", fit(words, room.saturating_sub(4))), DIM),
        ]));
    }
}

fn head(state: &State, person: &Person, room: usize) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    if person.name.is_some() {
        spans.push(Span::styled(state.label(person), BOLD));
        spans.push(Span::styled(format!("  {}", one_line(&person.address)), DIM));
    } else {
        spans.push(Span::styled(one_line(&person.address), BOLD));
    }
    let says = match &person.seen {
        Seen::Unknown if !person.contact => "not a contact; /add makes one".to_owned(),
        Seen::Unknown => String::new(),
        Seen::Hidden(why) => why.clone(),
        Seen::Shown(mood, words) => {
            let mood = match mood {
                Mood::Here => "online",
                Mood::Away => "away",
                Mood::Gone => "offline",
            };
            if words.is_empty() { mood.to_owned() } else { format!("{mood}: {words}") }
        }
    };
    let used: usize = spans.iter().map(|span| width(&span.content)).sum();
    let says = fit(&says, room.saturating_sub(used + 5));
    if !says.is_empty() {
        spans.extend([Span::raw("  "), dot(&person.seen), Span::raw(" "), Span::styled(says, DIM)]);
    }
    Line::from(spans)
}

fn conversation(frame: &mut Frame<'_>, state: &State, person: &Person, area: Rect) {
    let rows = talk::rows(state, person, usize::from(area.width));
    let height = usize::from(area.height);
    let from = rows.len().saturating_sub(height).saturating_sub(person.scroll);
    // What there is stands at the bottom, next to what is being written.
    let top = area.top() + height.saturating_sub(rows.len()) as u16;
    for (row, y) in rows.into_iter().skip(from).take(height).zip(top..) {
        put(frame, Rect::new(area.x, y, area.width, 1), row);
    }
}

fn welcome(frame: &mut Frame<'_>, area: Rect) {
    let said = [
        "Nobody is here yet.",
        "",
        "/add bob@b.test   makes a contact",
        "/help             shows what else there is",
    ];
    let top = area.top() + (area.height / 2).saturating_sub(2);
    for (text, y) in said.iter().zip(top..area.bottom()) {
        put(frame, Rect::new(area.x, y, area.width, 1), Line::styled(format!("   {text}"), DIM));
    }
}

fn rule(frame: &mut Frame<'_>, state: &State, area: Rect) {
    put(frame, area, Line::styled("─".repeat(usize::from(area.width)), DIM));
    let below = state.opened().map_or(0, |person| person.scroll);
    let (text, style) = match &state.notice {
        Some(notice) => (notice.text.clone(), if notice.bad { BAD } else { PLAIN }),
        None if below > 0 => (format!("{below} rows further down; Esc goes there"), WARN),
        None => return,
    };
    let text = format!(" {} ", fit(&text, usize::from(area.width).saturating_sub(4)));
    // The rule's own style must not show through.
    let place = Rect { x: area.x + 1, width: width(&text) as u16, ..area };
    frame.render_widget(Clear, place.intersection(area));
    put(frame, place.intersection(area), Line::styled(text, style));
}

fn input(frame: &mut Frame<'_>, state: &State, area: Rect) {
    if area.is_empty() {
        return;
    }
    let (rows, (row, column)) =
        state.written().rows(usize::from(area.width.saturating_sub(PROMPT_WIDTH + 1)));
    let from = (row + 1).saturating_sub(usize::from(area.height));
    put(frame, area, Line::from(Span::styled(PROMPT, Style::new().fg(Color::Cyan))));
    for (text, y) in rows.iter().skip(from).zip(area.top()..area.bottom()) {
        let place =
            Rect { x: area.x + PROMPT_WIDTH, y, width: area.width.saturating_sub(PROMPT_WIDTH), height: 1 };
        put(frame, place, Line::raw(text.clone()));
    }
    if !state.help {
        let x = area.x + PROMPT_WIDTH + column as u16;
        frame.set_cursor_position(Position::new(x, area.y + (row - from) as u16));
    }
}

const KEYS: [(&str, &str); 7] = [
    ("Enter", "send; Alt-Enter begins a new line"),
    ("Tab ↓ ↑", "the other conversations"),
    ("PgUp PgDn", "what was said before; Esc comes back"),
    ("Ctrl-P Ctrl-N", "what you wrote before"),
    ("Ctrl-W Ctrl-U", "take away a word, or all"),
    ("Ctrl-C", "take away what is written, or leave"),
    ("✓ ✗ ?", "he has it, he does not, nobody knows"),
];

fn help(frame: &mut Frame<'_>) {
    let row = |(what, does): &(&str, &str)| {
        let pad = 20_usize.saturating_sub(width(what));
        Line::from(vec![
            Span::styled(format!(" {what}{}", " ".repeat(pad)), BOLD),
            Span::raw(format!(" {does} ")),
        ])
    };
    let mut rows: Vec<Line<'_>> = COMMANDS.iter().map(row).collect();
    rows.push(Line::raw(""));
    rows.extend(KEYS.iter().map(row));
    let area = frame.area();
    let columns = rows.iter().map(Line::width).max().unwrap_or_default() as u16 + 2;
    let (columns, height) = (columns.min(area.width), (rows.len() as u16 + 2).min(area.height));
    let place = Rect::new((area.width - columns) / 2, (area.height - height) / 2, columns, height);
    let block = Block::bordered().border_type(BorderType::Rounded).border_style(DIM).title(" hearth chat ");
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(rows).block(block), place);
}
