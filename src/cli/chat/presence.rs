//! Presence documents as the chat shows and makes them.

use crate::client::transfer::{Body, Failure};
use crate::hub::address::Address;
use crate::imtp::error_type::ErrorType;
use crate::pidf::{self, Doc, Name, Status, Writer};

use crate::cli::harmless::one_line;

/// Can somebody be written to?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Yes, and he reads it soon.
    Here,
    /// Yes, and he reads it later.
    Away,
    /// No.
    Gone,
}

/// What is seen of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Not known yet, or nothing is said.
    Unknown,
    /// What he shows: his mood, and what he says of himself.
    Shown(Mood, String),
    /// Nothing, and why.
    Hidden(String),
}

impl Seen {
    /// What a document says.
    pub fn of(body: &Body) -> Seen {
        let Ok(gist) = pidf::gist(body.content_type.as_deref(), &body.octets) else { return Seen::Unknown };
        let words = one_line(&gist.description.unwrap_or_default());
        match gist.open {
            Some(true) if is_deferred(body) => Seen::Shown(Mood::Away, words),
            Some(true) => Seen::Shown(Mood::Here, words),
            Some(false) => Seen::Shown(Mood::Gone, words),
            None => Seen::Unknown,
        }
    }

    /// Why there is nothing to see.
    pub fn refused(failure: &Failure) -> Seen {
        Seen::Hidden(match failure.known() {
            Some(ErrorType::TargetAuthorization) => "does not show you his presence".to_owned(),
            Some(ErrorType::TargetNotFound) => "no such address".to_owned(),
            Some(ErrorType::Communications) => "his server can't be reached".to_owned(),
            _ => one_line(&failure.to_string()),
        })
    }
}

/// Is whatever of it is open only read later?
fn is_deferred(body: &Body) -> bool {
    let Ok(doc) = pidf::parse(&body.octets) else { return false };
    let mut open = doc.contacts().filter(|contact| contact.status != Some(Status::Closed)).peekable();
    open.peek().is_some() && open.all(|contact| contact.status == Some(Status::Deferred))
}

/// The document that the chat publishes: by our variable in it, which is always there, it is known again.
pub fn document(own: &Address, mood: Mood, words: &str) -> Body {
    let status = match mood {
        Mood::Here => "open",
        Mood::Away => "deferred",
        Mood::Gone => "closed",
    };
    let mut writer = Writer::new();
    let (contact, words) = (format!("im:{own}"), one_line(words).replace('%', "%25"));
    for (what, value) in [
        ("presentity", &*format!("presence:{own}")),
        ("contact", &*contact),
        ("namespace:hearth", pidf::VOCABULARY),
        ("hearth:message", &*words),
    ] {
        match (Name::parse(what), Name::parse("status")) {
            (Some(name), Some(inner)) if what == "contact" => {
                writer.open(name, value);
                writer.define(inner, status);
                writer.close();
            }
            (Some(name), _) => writer.define(name, value),
            (None, _) => {}
        }
    }
    Body::plain(&writer.finish())
}

/// What the chat has published, if the document is one of its own.
pub fn published(body: &Body) -> Option<(Mood, String)> {
    let doc: Doc<'_> = pidf::parse(&body.octets).ok()?;
    doc.top().find(Some(pidf::VOCABULARY), "message")?;
    match Seen::of(body) {
        Seen::Shown(mood, words) => Some((mood, words)),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::hub::address::Domains;

    fn alice() -> Address {
        Address::parse("alice@a.test", &Domains::default()).unwrap()
    }

    #[test]
    fn what_is_published_is_seen() {
        // PIDF-5.4.1-2, PIDF-5.4.1-3, PIDF-5.4.1-4
        for mood in [Mood::Here, Mood::Away, Mood::Gone] {
            for words in ["", "at 100% \"speed\" \\o/ {漢}"] {
                let body = document(&alice(), mood, words);
                assert_eq!(Seen::of(&body), Seen::Shown(mood, words.to_owned()));
                assert_eq!(published(&body), Some((mood, words.to_owned())));
            }
        }
        let body = document(&alice(), Mood::Away, "a\u{1b}\nb");
        assert_eq!(
            body.text(),
            "presentity = presence:alice@a.test\r\ncontact = im:alice@a.test {\r\n  status = deferred\r\n}\r\n\
             namespace:hearth = urn:hearth:presence\r\nhearth:message = \"a␛ b\"\r\n"
        );
    }

    #[test]
    fn documents_of_others_say_what_they_can() {
        for (text, seen) in [
            ("contact = im:b@b.test", Seen::Shown(Mood::Here, String::new())),
            (
                "contact = im:b@b.test { status = deferred } contact = im:c@b.test { status = open }",
                Seen::Shown(Mood::Here, String::new()),
            ),
            ("contact = tel:1", Seen::Unknown),
            ("}", Seen::Unknown),
        ] {
            let body = Body::plain(text);
            assert_eq!((Seen::of(&body), published(&body)), (seen, None), "{text}");
        }
        assert_eq!(Seen::of(&Body::of_type("application/pidf+xml", b"contact = im:b@b")), Seen::Unknown);
    }
}
