//! Error types: why a command has failed.
//!
//! A response carries one of the fifteen of the draft, or a word that we don't know, which is taken for a
//! permanent failure and passed on as it is.

use std::fmt;

macro_rules! types {
    ($($name:ident $text:literal $meaning:literal)*) => {
        /// The error types of the draft (section 12, 14 to 16).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorType {
            $(#[doc = concat!("`", $text, "`: ", $meaning)] $name,)*
        }

        impl ErrorType {
            /// All of them.
            pub const ALL: [ErrorType; 15] = [$(ErrorType::$name),*];

            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self { $(ErrorType::$name => $text,)* }
            }

            /// The type so written; the case counts (COMMON-12-2).
            pub fn of(text: &str) -> Option<ErrorType> {
                match text { $($text => Some(ErrorType::$name),)* _ => None }
            }
        }
    };
}

types! {
    Malformed "malformed" "the command is not properly formed."
    UnknownMethod "unknown-method" "the receiver does not know the method, or not from this side."
    Resources "resources" "a temporary lack of resources."
    Communications "communications" "another party can't be reached just now."
    SourceAuthorization "source-authorization" "the requestor may not speak for the source."
    Quota "quota" "too much on behalf of the source."
    TargetAuthorization "target-authorization" "the source may not do this to the target."
    TargetNotFound "target-not-found" "there is no such target."
    SaslChallenge "sasl-challenge" "not a failure: another token is wanted."
    SaslFailure "sasl-failure" "authentication has failed."
    MappingRange "mapping-range" "there is no mapping of that number."
    UpdateRace "update-race" "the document has changed since it was fetched for update."
    NotSubscribed "not-subscribed" "there is no such subscription."
    NoListeners "no-listeners" "nobody listens to the inbox."
    Loop "loop" "the message went round in a loop."
}

impl ErrorType {
    /// May the same command succeed later as it is?
    pub fn is_temporary(self) -> bool {
        matches!(self, ErrorType::Resources | ErrorType::Communications | ErrorType::NoListeners)
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The type of an error that came: one of the draft's, or another word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason<'a> {
    /// One of the fifteen.
    Known(ErrorType),
    /// Letters, digits and hyphens: a permanent failure.
    Other(&'a str),
}

impl<'a> Reason<'a> {
    /// Reads an `Error-Type` without the white space around it.
    pub fn parse(text: &'a str) -> Option<Reason<'a>> {
        if let Some(known) = ErrorType::of(text) {
            return Some(Reason::Known(known));
        }
        let is_word = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        is_word.then_some(Reason::Other(text))
    }

    /// As it is written.
    pub fn as_str(self) -> &'a str {
        match self {
            Reason::Known(known) => known.as_str(),
            Reason::Other(text) => text,
        }
    }
}

impl From<ErrorType> for Reason<'_> {
    fn from(known: ErrorType) -> Self {
        Reason::Known(known)
    }
}
