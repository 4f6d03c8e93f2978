//! What a program handles with both services: payloads, and why a command has failed.

use std::borrow::Cow;
use std::fmt;

use crate::imtp::command::{self, Payload, unfolded};
use crate::imtp::error_type::{ErrorType, Reason};

/// A message's or document's octets with their type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The media type; none: the service's own, which is text for messages and `application/presence` for
    /// presence.
    pub content_type: Option<String>,
    /// Any octets, at most 64 KiB.
    pub octets: Vec<u8>,
}

impl Body {
    /// Text as a message, or a document of PIDF-00 as presence: the type that needs no saying.
    pub fn plain(text: &str) -> Body {
        Body { content_type: None, octets: text.as_bytes().to_vec() }
    }

    /// With its type.
    pub fn of_type(content_type: &str, octets: &[u8]) -> Body {
        Body { content_type: Some(content_type.to_owned()), octets: octets.to_vec() }
    }

    /// As text; what is not UTF-8 in it is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.octets)
    }

    pub(super) fn payload(&self) -> Payload<'_> {
        Payload { content_type: self.content_type.as_deref().map(Cow::Borrowed), octets: &self.octets }
    }
}

impl From<&Payload<'_>> for Body {
    fn from(payload: &Payload<'_>) -> Body {
        Body {
            content_type: payload.content_type.as_deref().map(str::to_owned),
            octets: payload.octets.to_vec(),
        }
    }
}

/// Why a command has failed, as the other side says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error type, as it came.
    pub kind: String,
    /// For people.
    pub description: Option<String>,
    /// Who has failed, if it is not our server: a domain or a URL.
    pub originator: Option<String>,
}

impl Failure {
    /// Which of the draft's types it is, if one of them.
    pub fn known(&self) -> Option<ErrorType> {
        ErrorType::of(&self.kind)
    }

    /// May the same succeed later?
    pub fn is_temporary(&self) -> bool {
        self.known().is_some_and(ErrorType::is_temporary)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if let Some(description) = &self.description {
            write!(f, ": {description}")?;
        }
        match &self.originator {
            Some(originator) => write!(f, " (says {originator})"),
            None => Ok(()),
        }
    }
}

impl From<&command::Failure<'_>> for Failure {
    fn from(failure: &command::Failure<'_>) -> Failure {
        let owned = |text: Option<&str>| text.map(|text| unfolded(text).into_owned());
        Failure {
            kind: Reason::as_str(failure.reason).to_owned(),
            description: owned(failure.description),
            originator: owned(failure.originator),
        }
    }
}
