//! The model, played; and the screen that follows from it, as text.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use time::{Date, Month, OffsetDateTime, Time};

use super::audience::Wish;
use super::presence::{Mood, Seen};
use super::state::{Delivery, Link, State};
use super::update::{Effect, Event, Line, update};
use super::view;
use crate::client::transfer::imtp::Received;
use crate::client::transfer::{Body, Failure};
use crate::hub::address::{Address, Domains};

fn at(hour: u8, minute: u8) -> OffsetDateTime {
    let date = Date::from_calendar_date(2026, Month::November, 20).unwrap();
    OffsetDateTime::new_utc(date, Time::from_hms(hour, minute, 0).unwrap())
}

/// A chat that is played; its clock is moved by hand.
struct Play {
    state: State,
    now: OffsetDateTime,
}

impl Play {
    fn new(contacts: &[(&str, Option<&str>)]) -> Play {
        let me = Address::parse("alice@a.test", &Domains::default()).unwrap();
        let contacts = contacts.iter().map(|(a, n)| ((*a).to_owned(), n.map(str::to_owned))).collect();
        let mut play = Play { state: State::new(me, contacts, at(14, 0)), now: at(14, 0) };
        play.does(Event::Presence(Line::Up));
        play.does(Event::Resize(64, 14));
        play
    }

    fn does(&mut self, event: Event) -> Vec<Effect> {
        update(&mut self.state, event, self.now)
    }

    fn key(&mut self, code: KeyCode) -> Vec<Effect> {
        self.does(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
    }

    fn control(&mut self, key: char) -> Vec<Effect> {
        self.does(Event::Key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::CONTROL)))
    }

    fn types(&mut self, text: &str) {
        for c in text.chars() {
            assert_eq!(self.key(KeyCode::Char(c)), []);
        }
    }

    /// Types a line and Enter.
    fn line(&mut self, text: &str) -> Vec<Effect> {
        self.types(text);
        self.key(KeyCode::Enter)
    }

    fn hears(&mut self, from: &str, text: &str) -> Vec<Effect> {
        self.does(Event::Received(message(from, Body::plain(text))))
    }

    fn sees(&mut self, who: &str, mood: Mood, words: &str) {
        self.does(Event::Seen(who.to_owned(), Seen::Shown(mood, words.to_owned())));
    }

    fn screen(&self) -> String {
        let mut terminal = Terminal::new(TestBackend::new(self.state.size.0, self.state.size.1)).unwrap();
        terminal.draw(|frame| view::draw(frame, &self.state)).unwrap();
        let rows = terminal.backend().to_string();
        let rows = rows.lines().map(|row| row.trim_matches('"').trim_end().to_owned());
        rows.collect::<Vec<_>>().join("\n")
    }

    fn shows(&self, text: &str) -> bool {
        self.screen().contains(text)
    }

    fn notice(&self) -> &str {
        self.state.notice.as_ref().map_or("", |notice| &notice.text)
    }
}

fn message(sender: &str, body: Body) -> Received {
    Received { sender: sender.to_owned(), original_sender: None, sent: None, regarding: None, body }
}

const BOB: &str = "bob@b.test";

fn sent(token: u64, text: &str) -> Vec<Effect> {
    vec![Effect::Send(token, BOB.to_owned(), text.to_owned())]
}

#[test]
fn an_evening() {
    let mut play = Play::new(&[(BOB, None), ("carol@a.test", Some("Carol"))]);
    play.sees(BOB, Mood::Away, "at lunch");
    play.sees("carol@a.test", Mood::Gone, "");
    play.does(Event::Own(Mood::Here, "in the lab".to_owned()));
    assert_eq!(play.line("hello"), sent(1, "hello"));
    assert_eq!(
        play.line("are you there? It is about the report of last week"),
        sent(2, "are you there? It is about the report of last week")
    );
    play.now = at(14, 2);
    play.does(Event::Answered(1, Delivery::Delivered));
    play.does(Event::Answered(2, Delivery::Answered("at lunch".to_owned())));
    assert_eq!(play.hears(BOB, "now I am\nback"), []);
    assert_eq!(play.line("good"), sent(3, "good"));
    play.does(Event::Answered(3, Delivery::Failed("he is not online".to_owned())));
    assert_eq!(play.hears("Dan@d.test", "psst"), [Effect::Bell]);
    play.types("well");
    assert_eq!(
        play.screen(),
        [
            " ● alice@a.test  in the lab                              hearth",
            "───────────────────┬────────────────────────────────────────────",
            "▌◐ bob@b.test      │ bob@b.test  ◐ away: at lunch",
            "▌  at lunch        │ ── Friday, 20 November 2026 ──",
            " ○ Carol           │ 14:00 you  hello ✓",
            " others            │            are you there? It is about the",
            " · Dan@d.test   1  │            report of last week ✓",
            "                   │            ↳ at lunch",
            "                   │ 14:02 bob  now I am",
            "                   │            back",
            "                   │ 14:02 you  good ✗",
            "                   │            not delivered: he is not online",
            "                   ├────────────────────────────────────────────",
            " F1 help · Tab next│ › well",
        ]
        .join("\n")
    );
}

#[test]
fn conversations_are_turned_over_and_unread_ones_are_marked() {
    let mut play = Play::new(&[(BOB, None), ("carol@a.test", None)]);
    play.types("half");
    for _ in 0..12 {
        play.hears("carol@a.test", "x");
    }
    assert!(play.shows("carol       12"), "{}", play.screen());
    play.key(KeyCode::Tab);
    assert!(!play.shows(" 12") && play.shows("▌· carol"), "{}", play.screen());
    // What was being written to him is still there.
    assert!(!play.shows("half"));
    play.key(KeyCode::Up);
    assert!(play.shows("▌· bob@b.test") && play.shows("› half"));
    play.key(KeyCode::BackTab);
    assert_eq!(play.state.open.as_deref(), Some("carol@a.test"));
}

#[test]
fn what_was_said_before_is_seen_by_pages_and_stays_while_more_comes() {
    let mut play = Play::new(&[(BOB, None)]);
    for number in 0..30 {
        play.hears(BOB, &format!("number {number}."));
        play.now += Duration::from_secs(60);
    }
    assert!(play.shows("number 29.") && !play.shows("number 15."));
    play.key(KeyCode::PageUp);
    play.key(KeyCode::PageUp);
    let before = play.screen();
    assert!(before.contains("number 15.") && before.contains("rows further down"), "{before}");
    play.hears(BOB, "a last one");
    let rows = |screen: &str| screen.lines().skip(3).take(8).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&play.screen()), rows(&before));
    for _ in 0..9 {
        play.key(KeyCode::PageUp);
    }
    assert!(play.shows("Friday, 20 November 2026") && play.shows("number 0."));
    // A larger window has room for all that is further down, and never scrolls beyond it.
    play.does(Event::Resize(64, 60));
    assert!(play.shows("number 0.") && play.shows("a last one"));
    play.does(Event::Resize(64, 14));
    play.key(KeyCode::PageUp);
    play.key(KeyCode::Esc);
    assert!(play.shows("a last one") && !play.shows("further down"));
}

#[test]
fn contacts_come_and_go() {
    let mut play = Play::new(&[]);
    assert!(play.shows("Nobody is here yet."));
    assert_eq!(play.line("hello?"), []);
    assert!(play.notice().starts_with("to whom?"), "{}", play.notice());
    play.control('u');
    let watched = |who: &str| {
        vec![Effect::Save, Effect::Wish(Wish::Added(who.to_owned())), Effect::Watch(who.to_owned())]
    };
    assert_eq!(play.line("/add Bob@B.test  Bobby"), watched("Bob@b.test"));
    assert_eq!(play.line("/add CAROL"), watched("carol@a.test"));
    assert!(play.shows("Bobby") && play.shows("▌· carol"), "{}", play.screen());
    assert_eq!(play.line("/add not an@address@x"), watched("not@a.test"));
    assert_eq!(play.line("/add a@b@c"), []);
    assert!(play.notice().contains("no address"));
    play.control('u');
    let gone = |who: &str| {
        vec![Effect::Save, Effect::Unwatch(who.to_owned()), Effect::Wish(Wish::Removed(who.to_owned()))]
    };
    assert_eq!(play.line("/remove not"), gone("not@a.test"));
    assert!(!play.shows("not@a.test") || play.notice().contains("not@a.test"));
    assert_eq!(play.line("/remove dan"), []);
    assert_eq!(play.line("/remove"), gone("Bob@b.test"));
    assert_eq!(play.state.contacts().count(), 1);
}

#[test]
fn presence_is_wished_for_and_told() {
    let mut play = Play::new(&[(BOB, None)]);
    let show = |mood, words: &str| Effect::Wish(Wish::Show(mood, words.to_owned()));
    assert_eq!(
        play.line("/away at  lunch"),
        [Effect::Away(Some("at lunch".into())), show(Mood::Away, "at lunch")]
    );
    assert!(play.shows("◐ alice@a.test  at lunch"));
    assert_eq!(play.line("/status"), [Effect::Away(None), show(Mood::Here, "")]);
    assert_eq!(play.line("/allow bob@b.test"), [Effect::Wish(Wish::Allow(BOB.into()))]);
    assert_eq!(play.line("/deny *@c.test"), [Effect::Wish(Wish::Deny("*@c.test".into()))]);
    play.does(Event::Told("*@c.test can't see you".into(), false));
    assert_eq!(play.notice(), "*@c.test can't see you");
    play.sees(BOB, Mood::Here, "");
    let refused = Failure { kind: "target-authorization".into(), description: None, originator: None };
    play.does(Event::Seen(BOB.into(), Seen::refused(&refused)));
    assert!(play.shows("- does not show you his"), "{}", play.screen());
    // He may have let us in since.
    assert_eq!(play.hears(BOB, "hi"), [Effect::Watch(BOB.into())]);
    play.does(Event::Presence(Line::Down("gone".into(), Duration::from_secs(4))));
    assert!(play.shows("no presence: gone; again in 4 s"), "{}", play.screen());
    assert_eq!(play.line("/deny bob@b.test"), [Effect::Wish(Wish::Deny(BOB.into()))]);
    assert_eq!(play.notice(), "as soon as there is a connection");
    play.does(Event::Presence(Line::None));
    assert_eq!(play.line("/status x"), []);
    assert!(play.notice().contains("no presence"));
}

#[test]
fn without_a_connection_messages_wait_and_the_user_knows() {
    let mut play = Play::new(&[(BOB, None)]);
    play.does(Event::Messages(Line::Down(
        "the server does\u{1b}[2J not answer".into(),
        Duration::from_secs(8),
    )));
    play.now += Duration::from_secs(3);
    play.does(Event::Tick);
    assert!(play.shows("again in 5 s"), "{}", play.screen());
    assert_eq!(play.line("hello"), sent(1, "hello"));
    assert!(play.shows("waits for a connection"));
    play.does(Event::Messages(Line::Up));
    play.does(Event::Answered(1, Delivery::Sending));
    assert!(play.shows("hello …") && !play.shows("waits") && !play.shows("again in"));
    play.does(Event::Answered(1, Delivery::Unknown("the connection was cut".into())));
    assert!(play.shows("hello ?") && play.shows("perhaps not delivered"));
    assert_eq!(play.state.messages, Link::Up);
}

#[test]
fn what_others_send_can_do_no_harm() {
    // G5, PIDF-5.4.1-2
    let mut play = Play::new(&[(BOB, None)]);
    play.hears(BOB, "\u{1b}[2J\u{202e}live\u{7}\u{9b}31m");
    play.sees(BOB, Mood::Here, "");
    play.hears("\"x\u{7f}\"@e.test", "y");
    let image = Body::of_type("image/\u{1b}png", &[0; 9]);
    let listed = Received { original_sender: Some("l\u{1b}@list.test".into()), ..message(BOB, image) };
    play.does(Event::Received(listed));
    let screen = play.screen();
    assert!(screen.contains("␛[2Jlive␇") && screen.contains("[image/␛png, 9 octets]"), "{screen}");
    assert!(screen.contains("by l␛@list.test"), "{screen}");
    assert!(screen.chars().all(|c| c == '\n' || !c.is_control() && !('\u{202a}'..='\u{202e}').contains(&c)));
}

#[test]
fn the_line_is_edited_as_in_a_shell() {
    let mut play = Play::new(&[(BOB, None)]);
    play.line("first");
    play.line("second");
    play.types("draft");
    play.control('p');
    play.control('p');
    assert!(play.shows("› first"));
    play.control('n');
    play.control('n');
    play.control('w');
    play.does(Event::Paste("two\r\nlines\u{7}".into()));
    assert_eq!(play.state.written().text(), "two\nlines␇");
    assert_eq!(play.key(KeyCode::Enter), sent(3, "two\nlines␇"));
    play.types("x");
    assert_eq!(play.control('c'), []);
    assert_eq!(play.control('c'), [Effect::Quit]);
    assert_eq!(play.line("//etc/hosts"), sent(4, "/etc/hosts"));
    assert_eq!(play.line("/frob"), []);
    // It can be corrected.
    assert!(play.notice().contains("no command") && play.shows("› /frob"));
    assert_eq!(play.does(Event::End), [Effect::Quit]);
}

#[test]
fn help_covers_the_rest_until_a_key() {
    let mut play = Play::new(&[(BOB, None)]);
    play.does(Event::Resize(90, 24));
    play.line("/help");
    assert!(play.shows("/allow WHO") && play.shows("hearth chat"), "{}", play.screen());
    play.key(KeyCode::Esc);
    assert!(!play.shows("/allow WHO"));
}

#[test]
fn any_size_will_do() {
    let mut play = Play::new(&[(BOB, Some("漢字漢字漢字漢字漢字漢字")), ("carol@a.test", None)]);
    play.sees(BOB, Mood::Here, "漢字漢字漢字漢字漢字漢字漢字");
    play.hears(BOB, "a rather long message with 漢字 and 👩\u{200d}🚀 in it");
    play.hears("carol@a.test", "one");
    play.line("ok");
    play.does(Event::Answered(1, Delivery::Failed("because of this and that and more".into())));
    play.types("something that is longer than a narrow window has room for");
    for columns in 0..70 {
        for rows in 0..20 {
            play.does(Event::Resize(columns, rows));
            play.state.help = columns % 7 == 0;
            if columns > 0 && rows > 0 {
                play.screen();
            }
            play.key(KeyCode::PageUp);
        }
    }
    play.does(Event::Resize(40, 12));
    assert!(!play.shows("▌") && play.shows(" 1 new"), "{}", play.screen());
}

#[test]
fn what_has_waited_tells_when_it_was_sent_and_reports_where_they_belong() {
    let mut play = Play::new(&[(BOB, None), ("carol@a.test", None)]);
    play.does(Event::Resize(80, 14));
    let yesterday = Some((at(9, 30).unix_timestamp() - 24 * 3600) * 1000);
    play.does(Event::Received(Received { sent: yesterday, ..message(BOB, Body::plain("early")) }));
    assert!(play.shows("Thursday, 19 November 2026") && play.shows("09:30 bob  early"), "{}", play.screen());
    let report = |from: &str| Received {
        regarding: Some("carol@a.test".into()),
        ..message(from, Body::plain("not delivered"))
    };
    play.does(Event::Received(report("notifier@a.test")));
    assert_eq!(play.state.person("carol@a.test").unwrap().unread, 1);
    // Nobody else can speak in her conversation, or from the future.
    play.does(Event::Received(report("notifier@b.test")));
    let late = Some(at(23, 0).unix_timestamp() * 1000);
    play.does(Event::Received(Received { sent: late, ..message(BOB, Body::plain("late")) }));
    assert_eq!(play.state.person("carol@a.test").unwrap().unread, 1);
    assert!(play.shows("notifier@b") && play.shows("14:00 bob  late"), "{}", play.screen());
    play.key(KeyCode::Tab);
    assert!(play.shows("by notifier@a.test"), "{}", play.screen());
}
