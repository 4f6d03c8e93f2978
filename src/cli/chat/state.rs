//! What the chat knows: people, conversations, connections, and what is being written. Changed by
//! [`update`](super::update) only, drawn by [`view`](super::view).

use std::collections::VecDeque;

use time::OffsetDateTime;

use super::input::{History, Input};
use super::presence::{Mood, Seen};
use crate::cli::harmless::one_line;
use crate::hub::address::{Address, Domain, Domains};

/// Entries of a conversation that are kept; older ones are forgotten.
const ENTRIES: usize = 2000;

/// A message of ours, to find it again when its answer comes.
pub type Token = u64;

/// What has become of a message of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// It goes out as soon as there is a connection.
    Waiting,
    /// It is on its way.
    Sending,
    /// He has it.
    Delivered,
    /// He has it, or will have it, and this is said of him: that he is away, for example.
    Answered(String),
    /// He does not have it.
    Failed(String),
    /// Nobody can tell.
    Unknown(String),
}

/// One thing in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When, in local time.
    pub at: OffsetDateTime,
    /// What.
    pub kind: Kind,
    /// What was said; harmless.
    pub text: String,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Ours.
    Mine(Token, Delivery),
    /// His; of whom, where a list has passed it on.
    His(Option<String>),
}

/// Somebody: a contact, or who else there is a conversation with.
#[derive(Debug)]
pub struct Person {
    /// His address.
    pub address: String,
    /// What the user calls him.
    pub name: Option<String>,
    /// Is he a contact?
    pub contact: bool,
    /// What is seen of him.
    pub seen: Seen,
    /// The conversation, oldest first.
    pub entries: VecDeque<Entry>,
    /// Messages that were not seen yet.
    pub unread: usize,
    /// What is being written to him.
    pub draft: Input,
    /// Rows that the end of the conversation is below the window.
    pub scroll: usize,
}

impl Person {
    fn new(address: String, name: Option<String>, contact: bool) -> Person {
        Person {
            address,
            name,
            contact,
            seen: Seen::Unknown,
            entries: VecDeque::new(),
            unread: 0,
            draft: Input::default(),
            scroll: 0,
        }
    }

    /// Another entry.
    pub fn push(&mut self, entry: Entry) {
        if self.entries.len() == ENTRIES {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
    }
}

/// How a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Link {
    /// It is being made.
    Connecting,
    /// It works.
    Up,
    /// It does not, why, and when it is tried again.
    Down(String, OffsetDateTime),
    /// The server has none of the kind.
    None,
}

/// Something to be said at the bottom until the next key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub text: String,
    /// Has something gone wrong?
    pub bad: bool,
}

/// All of it.
#[derive(Debug)]
pub struct State {
    /// Who we are.
    pub me: Address,
    /// How we are seen.
    pub mood: Mood,
    /// What we say of ourselves.
    pub words: String,
    /// Contacts by name, then everybody else in the order of coming.
    pub people: Vec<Person>,
    /// Whose conversation is open.
    pub open: Option<String>,
    /// What is being written while no conversation is open.
    pub nobody: Input,
    /// Lines written before.
    pub history: History,
    /// The connection for messages.
    pub messages: Link,
    /// The connection for presence.
    pub presence: Link,
    /// What is to be said.
    pub notice: Option<Notice>,
    /// Is the help shown?
    pub help: bool,
    /// The terminal's columns and rows.
    pub size: (u16, u16),
    /// The time, as far as it is shown.
    pub now: OffsetDateTime,
    tokens: Token,
}

impl State {
    /// At the beginning: online, and nobody is open.
    pub fn new(me: Address, contacts: Vec<(String, Option<String>)>, now: OffsetDateTime) -> State {
        let mut state = State {
            me,
            mood: Mood::Here,
            words: String::new(),
            people: Vec::new(),
            open: None,
            nobody: Input::default(),
            history: History::default(),
            messages: Link::Up,
            presence: Link::Connecting,
            notice: None,
            help: false,
            size: (80, 24),
            now,
            tokens: 0,
        };
        for (address, name) in contacts {
            state.people.push(Person::new(address, name, true));
        }
        state.sort();
        state.open = state.people.first().map(|person| person.address.clone());
        state
    }

    /// An address as typed: without a domain it is in our own. None if it is no address.
    pub fn resolve(&self, typed: &str) -> Option<String> {
        let typed = typed.strip_prefix("im:").or(typed.strip_prefix("presence:")).unwrap_or(typed);
        let whole =
            if typed.contains('@') { typed.to_owned() } else { format!("{typed}@{}", self.me.domain()) };
        let ours = Domains::new(Domain::parse(self.me.domain()).into_iter().collect());
        let address = Address::parse_quoted(&whole, &ours).ok().filter(|address| address.as_str().is_ascii());
        address.map(|address| address.to_string())
    }

    /// An address as short as it can be said.
    pub fn short<'a>(&self, address: &'a str) -> &'a str {
        match address.rsplit_once('@') {
            Some((local, domain)) if domain == self.me.domain() => local,
            _ => address,
        }
    }

    /// What somebody is called in the list.
    pub fn label(&self, person: &Person) -> String {
        match &person.name {
            Some(name) => name.clone(),
            None => one_line(self.short(&person.address)),
        }
    }

    /// Somebody, if he is known.
    pub fn person(&self, address: &str) -> Option<&Person> {
        self.people.iter().find(|person| person.address == address)
    }

    /// The same, to be changed.
    pub fn person_mut(&mut self, address: &str) -> Option<&mut Person> {
        self.people.iter_mut().find(|person| person.address == address)
    }

    /// Makes somebody known, and a contact if asked for.
    pub fn meet(&mut self, address: &str, name: Option<String>, contact: bool) {
        match self.person_mut(address) {
            Some(person) => {
                person.contact |= contact;
                if name.is_some() {
                    person.name = name;
                }
            }
            None => self.people.push(Person::new(address.to_owned(), name, contact)),
        }
        self.sort();
    }

    /// No longer a contact; forgotten, unless something was said.
    pub fn drop_contact(&mut self, address: &str) {
        if let Some(person) = self.person_mut(address) {
            (person.contact, person.name, person.seen) = (false, None, Seen::Unknown);
        }
        self.people.retain(|person| person.contact || !person.entries.is_empty());
        if self.opened().is_none() {
            self.open = self.people.first().map(|person| person.address.clone());
        }
        self.sort();
    }

    /// The contacts.
    pub fn contacts(&self) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(|person| person.contact)
    }

    /// Whose conversation is open.
    pub fn opened(&self) -> Option<&Person> {
        self.person(self.open.as_deref()?)
    }

    /// The same, to be changed.
    pub fn opened_mut(&mut self) -> Option<&mut Person> {
        let open = self.open.clone()?;
        self.person_mut(&open)
    }

    /// What is being written.
    pub fn input(&mut self) -> &mut Input {
        let at = self.people.iter().position(|person| Some(&person.address) == self.open.as_ref());
        match at.and_then(|at| self.people.get_mut(at)) {
            Some(person) => &mut person.draft,
            None => &mut self.nobody,
        }
    }

    /// The same, to be seen.
    pub fn written(&self) -> &Input {
        self.opened().map_or(&self.nobody, |person| &person.draft)
    }

    /// A name for a message.
    pub fn token(&mut self) -> Token {
        self.tokens += 1;
        self.tokens
    }

    /// Says something at the bottom.
    pub fn say(&mut self, text: impl Into<String>, bad: bool) {
        self.notice = Some(Notice { text: text.into(), bad });
    }

    fn sort(&mut self) {
        let mut people = std::mem::take(&mut self.people);
        people.sort_by_cached_key(|person| {
            (!person.contact, if person.contact { self.label(person).to_lowercase() } else { String::new() })
        });
        self.people = people;
    }
}
