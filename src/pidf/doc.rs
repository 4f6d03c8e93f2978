//! What a document says: its variables by context and name, and those that the draft itself defines.
//!
//! A variable is known by its context, its vocabulary (the URL that its prefix stands for) and its name
//! within that; of several the first counts (PIDF-5-3). Whatever is not asked for is passed over with its
//! subtree (PIDF-5-1). A value that breaks its variable's rule counts as none.

use std::borrow::Cow;
use std::fmt;

use super::date;
use crate::clock::Date;

/// A document.
#[derive(Debug, Clone)]
pub struct Doc<'a> {
    /// In the order of the text, each before its subtree.
    definitions: Vec<Definition<'a>>,
}

/// A definition as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Definition<'a> {
    pub name: Name<'a>,
    pub value: Raw<'a>,
    /// The first definition after it and its subtree.
    pub end: u32,
    /// The one that declares its prefix.
    pub declared: Option<u32>,
}

/// A value as it stands in the text.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Raw<'a> {
    /// Without its quotes.
    pub text: &'a str,
    pub quoted: bool,
    /// Has it escapes?
    pub escaped: bool,
}

impl<'a> Raw<'a> {
    fn plain(self) -> Cow<'a, str> {
        if !self.escaped {
            return Cow::Borrowed(self.text);
        }
        let mut plain = String::with_capacity(self.text.len());
        let mut rest = self.text;
        while let Some(at) = rest.find('\\') {
            plain.push_str(rest.get(..at).unwrap_or_default());
            plain.extend(rest.get(at + 1..).and_then(|after| after.chars().next()));
            // Only what takes one octet is escaped.
            rest = rest.get(at + 2..).unwrap_or_default();
        }
        plain.push_str(rest);
        Cow::Owned(plain)
    }

    /// Does it begin with a scheme, and go on?
    pub fn is_url(self) -> bool {
        let Some((scheme, rest)) = self.text.split_once(':') else { return false };
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
            && !rest.is_empty()
    }
}

/// The name of a variable: a letter, then letters, digits, hyphens and colons (PIDF-4-5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name<'a>(&'a str);

impl<'a> Name<'a> {
    /// None if the text is no name.
    pub fn parse(text: &'a str) -> Option<Name<'a>> {
        (!text.is_empty() && Name::length(text) == text.len()).then_some(Name(text))
    }

    /// One of ours: it is one.
    pub(super) const fn fixed(text: &'static str) -> Name<'static> {
        Name(text)
    }

    /// How much of the beginning of a text is a name.
    pub(super) fn length(text: &str) -> usize {
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return 0;
        }
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == ':';
        text.find(|c| !is_part(c)).unwrap_or(text.len())
    }

    /// Up to the first colon, if it has one (P9).
    pub fn prefix(self) -> Option<&'a str> {
        self.0.split_once(':').map(|(prefix, _)| prefix)
    }

    /// What follows the prefix, or the whole name.
    pub fn local(self) -> &'a str {
        self.0.split_once(':').map_or(self.0, |(_, local)| local)
    }

    /// As it is written.
    pub fn as_str(self) -> &'a str {
        self.0
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<'a> Doc<'a> {
    pub(super) fn new(definitions: Vec<Definition<'a>>) -> Doc<'a> {
        Doc { definitions }
    }

    /// All of it.
    pub fn top(&self) -> Context<'_, 'a> {
        Context { definitions: &self.definitions, from: 0, to: self.definitions.len() as u32 }
    }

    /// The URL of the one it is about (PIDF-5.1-1).
    pub fn presentity(&self) -> Option<Cow<'a, str>> {
        self.top().url("presentity")
    }

    /// When it applies (PIDF-5.2-1).
    pub fn date(&self) -> Option<Date> {
        date::parse(&self.top().find(None, "date")?.value())
    }

    /// By what he can be reached (PIDF-5.4-1), in the order of the text.
    pub fn contacts(&self) -> impl Iterator<Item = Contact<'_, 'a>> {
        self.top().variables().filter_map(Contact::from)
    }

    /// The same, the most desirable one first (PIDF-5.4.3-3).
    pub fn contacts_by_preference(&self) -> Vec<Contact<'_, 'a>> {
        let mut contacts: Vec<_> = self.contacts().collect();
        // Those that are equal stay in their order.
        contacts.sort_by_key(|contact| (contact.preference.is_none(), contact.preference));
        contacts
    }
}

/// The top level of a document, or the subtree of one of its variables.
#[derive(Debug, Clone, Copy)]
pub struct Context<'d, 'a> {
    definitions: &'d [Definition<'a>],
    from: u32,
    to: u32,
}

impl<'d, 'a> Context<'d, 'a> {
    /// All definitions in it, in their order: repeated ones too.
    pub fn variables(self) -> impl Iterator<Item = Variable<'d, 'a>> {
        let mut at = self.from;
        std::iter::from_fn(move || {
            let definition = self.definitions.get(at as usize).filter(|_| at < self.to)?;
            let variable = Variable { definitions: self.definitions, definition, at };
            at = definition.end;
            Some(variable)
        })
    }

    /// The variable of this name: its own vocabulary's, or one of the draft's.
    pub fn find(self, vocabulary: Option<&str>, name: &str) -> Option<Variable<'d, 'a>> {
        self.variables().find(|variable| variable.is(vocabulary, name))
    }

    fn url(self, name: &str) -> Option<Cow<'a, str>> {
        let variable = self.find(None, name)?;
        variable.definition.value.is_url().then(|| variable.value())
    }
}

/// A definition in its context.
#[derive(Debug, Clone, Copy)]
pub struct Variable<'d, 'a> {
    definitions: &'d [Definition<'a>],
    definition: &'d Definition<'a>,
    at: u32,
}

impl<'d, 'a> Variable<'d, 'a> {
    /// As it is written, with its prefix.
    pub fn name(self) -> Name<'a> {
        self.definition.name
    }

    /// Its value; may be empty.
    pub fn value(self) -> Cow<'a, str> {
        self.definition.value.plain()
    }

    /// The URL that its prefix stands for; none if it has no prefix, or one that is not declared.
    pub fn vocabulary(self) -> Option<Cow<'a, str>> {
        let by = self.definitions.get(self.definition.declared? as usize)?;
        Some(by.value.plain())
    }

    /// Is it the one of this name, of a vocabulary or of the draft's own?
    pub fn is(self, vocabulary: Option<&str>, name: &str) -> bool {
        match vocabulary {
            None => self.definition.name.as_str() == name,
            // The name first: it mostly tells.
            Some(url) => {
                self.definition.name.local() == name && self.vocabulary().is_some_and(|own| own == url)
            }
        }
    }

    /// Its subtree; empty if it has none.
    pub fn inside(self) -> Context<'d, 'a> {
        Context { definitions: self.definitions, from: self.at + 1, to: self.definition.end }
    }
}

/// Is a contact good for messages now?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It works, and messages are read soon (PIDF-5.4.1-2).
    Open,
    /// It does not work for now (PIDF-5.4.1-3).
    Closed,
    /// Messages are read later than usual (PIDF-5.4.1-4).
    Deferred,
}

/// By what somebody can be reached.
#[derive(Debug, Clone)]
pub struct Contact<'d, 'a> {
    /// Its URL.
    pub url: Cow<'a, str>,
    /// None: it can be written to, and nothing is known about when that is read (PIDF-5.4.1-5).
    pub status: Option<Status>,
    /// What it takes, as a media feature expression of RFC 2533, unread.
    pub capabilities: Option<Cow<'a, str>>,
    /// The lower the better; contacts without one come last.
    pub preference: Option<u32>,
    /// All that is said about it.
    pub inside: Context<'d, 'a>,
}

impl<'d, 'a> Contact<'d, 'a> {
    fn from(variable: Variable<'d, 'a>) -> Option<Contact<'d, 'a>> {
        if !variable.is(None, "contact") || !variable.definition.value.is_url() {
            return None;
        }
        let inside = variable.inside();
        let status = inside.find(None, "status").and_then(|status| match &*status.value() {
            "open" => Some(Status::Open),
            "closed" => Some(Status::Closed),
            "deferred" => Some(Status::Deferred),
            _ => None,
        });
        let preference = inside.find(None, "preference").map(Variable::value);
        let preference = preference.filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
        Some(Contact {
            url: variable.value(),
            status,
            capabilities: inside.find(None, "capabilities").map(Variable::value),
            preference: preference.and_then(|text| text.parse().ok()),
            inside,
        })
    }

    /// The scheme of its URL, as it is written.
    pub fn scheme(&self) -> &str {
        self.url.split_once(':').map_or("", |(scheme, _)| scheme)
    }
}
